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
        modes: list[tuple[str, bool]] = []
        for who, module in (("encoder", encoder), ("head", head)):
            module.register_forward_hook(lambda module, *_, who=who, modes=modes: modes.append((who, module.training)))
        for step in ("In the first step", "In the second step"):
            log.clear()
            before = spies.weights(both)
            images = [student.normal(n, 3, 4, 4) * (1 + i) for i in range(v)]
            modes.clear()
            generator = seeded(1)
            states = generator.get_state(), torch.get_rng_state()
            result = student(encoder, head, update, list(images), lam, 3, generator)
            if result is None:
                raise Wrong("It returns None: return the loss.")
            for who, training in [*modes, ("encoder", encoder.training), ("head", head.training)]:
                if not training:
                    raise Wrong(f"{step} the {who} is in eval mode: a step trains it, so leave its mode as it came.")
            _judge(step, log, images, before, both, lam)
            _drawn(step, states, generator)
            if not spies.same(spies.weights(both), spies.the_update(log, step).weights):
                raise Wrong(f"{step} something other than update(loss) changes the encoder or the head.")
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


def _drawn(step: str, before: tuple[Tensor, Tensor], generator: torch.Generator) -> None:
    """In one dimension directions are 1 or -1, so that no value tells where they come from."""
    if not torch.equal(torch.get_rng_state(), before[1]):
        raise Wrong(
            f"{step} torch's global random numbers are used or seeded, though there is a generator: hand it on, "
            "lejepa_loss(..., generator)."
        )
    if torch.equal(generator.get_state(), before[0]):
        raise Wrong(
            f"{step} nothing is drawn from the generator: hand it on to lejepa_loss as it is. One that is made anew in "
            "every step gives the same directions in all of them."
        )


def _twins(both: nn.ModuleList, weights: list[Tensor]) -> nn.ModuleList:
    twins = copy.deepcopy(both).double()
    with torch.no_grad():
        for parameter, value in zip(twins.parameters(), weights, strict=True):
            parameter.copy_(value)
    return twins


def _mixed(z: Tensor) -> list[Tensor]:
    """Projections (V, N, 1) cut into views the wrong way."""
    v, n, _ = z.shape
    flat = z.flatten(0, 1)
    wrong = [flat.unflatten(0, (n, v)), flat.unflatten(0, (n, v)).transpose(0, 1), z.transpose(0, 1)]
    return wrong + [flat.unflatten(0, (2, -1))] * (v > 2 and v * n % 2 == 0)


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
        *((lambda mixed=mixed: oracle.lejepa_line(mixed, lam),
           "views and images are mixed up: torch.cat puts all images of one view together, so that "
           "unflatten(0, (V, -1)) gives (V, N, D).") for mixed in _mixed(z)),
        (lambda: oracle.lejepa_line(torch.stack([z[0]] * len(z)), lam),
         "the first view stands for all of them: each view goes through the networks."),
        (lambda: oracle.lejepa_line(z[:2], lam), "only the first two views count: all of them do."),
        (lambda: 0 * wanted, "the loss that is given to update is multiplied by 0."),
        (lambda: oracle.lejepa_line(z, 1.0), "the distance between views is missing."),
        (lambda: oracle.lejepa_line(z, 0.0), "SIGReg is missing."),
        *((lambda fixed=fixed: oracle.lejepa_line(z, fixed), "the argument lam is not used.")
          for fixed in (0.01, 0.02, 0.05, 0.5)),
    ]  # fmt: skip
    with torch.no_grad():
        said = spies.named(value, wanted, readings)
    raise Wrong(found + (said or "\nIt is lejepa_loss of the projections, head(encoder(view)) for each view."))
