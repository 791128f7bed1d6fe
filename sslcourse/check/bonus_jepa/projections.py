"""The check of lejepa_step: features and projections of one dimension, where SIGReg is exact."""

import copy

import torch
from torch import Tensor, nn

from sslcourse.check import spies
from sslcourse.check.bonus_jepa import oracle
from sslcourse.check.bonus_jepa.slices import seeded
from sslcourse.check.compare import close
from sslcourse.check.machinery import Student, Wrong


class Head(nn.Module):
    """Features (N, 1) to projections (N, 1), bent; it writes down what it is given."""

    def __init__(self, log: spies.Log, student: Student):
        super().__init__()
        self.log = log
        self.first, self.last = nn.Linear(1, 4), nn.Linear(4, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(student.normal(*parameter.shape))

    def forward(self, features: Tensor) -> Tensor:
        out = self.last(self.first(features).tanh())
        self.log.append(spies.Pass("head", features.detach().clone(), out, spies.weights(self)))
        return out


def examine_projections(student: Student) -> str:
    for n, v, lam in ((5, 2, 0.3), (4, 3, 0.1)):
        log = spies.Log()
        encoder, head = spies.Network("encoder", log, student, 1), Head(log, student)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.mul_(1.5)
        both = nn.ModuleList([encoder, head])
        update = spies.Update(log, both, nn.Module())
        for step in ("In the first step", "In the second step"):
            log.clear()
            before = spies.weights(both)
            images = [student.normal(n, 3, 4, 4) * (1 + i) for i in range(v)]
            result = student(encoder, head, update, list(images), lam, 3, seeded(1))
            if result is None:
                raise Wrong("It returns None: return the loss.")
            _judge(step, log, images, before, both, lam)
            spies.judge_return(result, spies.the_update(log, step).loss, step)
    return "Both terms on the projections of all views; one update, in two steps."


def _judge(step: str, log: spies.Log, images: list[Tensor], before: list[Tensor], both: nn.ModuleList, lam) -> None:
    updated = spies.the_update(log, step)
    for who in ("encoder", "head"):
        if not any(isinstance(event, spies.Pass) and event.who == who for event in log):
            raise Wrong(f"{step} the {who} is never used: features are encoder(view), projections head(features).")
    twins = _twins(both, before)
    encoder, head = twins
    h = torch.stack([encoder(view.double()) for view in images])  # (V, N, 1)
    z = torch.stack([head(features) for features in h])
    wanted = oracle.lejepa_line(z, lam)
    if not close(updated.loss, wanted):
        _explain(step, updated.loss, h, z, lam, wanted)
    spies.must_learn(updated, step)
    spies.gradients_right(updated, torch.autograd.grad(wanted, list(twins.parameters())), step, "encoder and head")


def _twins(both: nn.ModuleList, weights: list[Tensor]) -> nn.ModuleList:
    twins = copy.deepcopy(both).double()
    with torch.no_grad():
        for parameter, value in zip(twins.parameters(), weights, strict=True):
            parameter.copy_(value)
    return twins


def _explain(step: str, value: Tensor, h: Tensor, z: Tensor, lam: float, wanted: Tensor) -> None:
    found = f"{step} the loss that is given to update is {float(value.detach()):.4g}, it should be {float(wanted):.4g}."

    def statistic(views: Tensor) -> Tensor:
        return sum(oracle.sigreg_line(view) for view in views) / len(views)

    readings = [
        (lambda: (1 - lam) * oracle.agreement(z) + lam * statistic(h),
         "the statistic is taken of the features instead of the projections: both terms belong to what the head gives; "
         "features may have any distribution."),
        (lambda: (1 - lam) * oracle.agreement(h) + lam * statistic(z),
         "the distance between views is taken of the features: both terms belong to the projections."),
        (lambda: oracle.lejepa_line(h, lam), "the loss is taken of the features: it is taken of head(features)."),
        *((lambda wrong=wrong: wrong(z, lam), mistake.sentence) for mistake in oracle.LEJEPA_LOSS_MISTAKES
          for wrong in mistake.variants),
        (lambda: oracle.lejepa_line(z, 1.0), "the distance between views is missing."),
        (lambda: oracle.lejepa_line(z, 0.0), "SIGReg is missing."),
        *((lambda fixed=fixed: oracle.lejepa_line(z, fixed), "the argument lam is not used.")
          for fixed in (0.01, 0.02, 0.05, 0.5)),
    ]  # fmt: skip
    with torch.no_grad():
        said = spies.named(value, wanted, readings)
    raise Wrong(found + (said or "\nIt is lejepa_loss of the projections, head(encoder(view)) for each view."))
