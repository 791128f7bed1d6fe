"""Check of week 4's training step: three calls with networks that keep what they were given."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, gives, number
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week04 import oracle


class _Watched(nn.Module):
    """A network that keeps its inputs, and whether all of it was in train mode."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.seen: list[Tensor] = []
        self.trained: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        self.trained.append(all(module.training for module in self.modules()))
        return self.layers(x)


@dataclass(frozen=True)
class _Call:
    """One call of the step: its loss, and the embeddings of the views that the backbone saw, in float64.

    h0, h1, z0, z1: features and projections, row n of image n; seen: the projections in the order of the backbone.
    """

    loss: object
    temperature: float
    h0: Tensor
    h1: Tensor
    z0: Tensor
    z1: Tensor
    seen: Tensor

    @property
    def wanted(self) -> Tensor:
        return oracle.nt_xent(self.z0, self.z1, self.temperature)


def _pairs_seen(backbone: _Watched, images: Tensor) -> Tensor:
    """(2, N) places among all that the backbone saw: of the first and of the second view of every image."""
    seen = torch.cat(backbone.seen) if backbone.seen else images[:0]
    source = (seen.flatten(1)[:, None] - images.flatten(1)).square().sum(dim=2).argmin(dim=1)  # (seen,)
    counts = torch.bincount(source, minlength=len(images))
    if (counts != 2).any():
        raise Wrong(f"The backbone saw {len(seen)} images for a batch of {len(images)}, not two views of each.")
    places = source.argsort(stable=True).view(-1, 2).T
    view0, view1 = seen[places[0]], seen[places[1]]
    if close(view0, images, 1e-6) or close(view1, images, 1e-6):
        raise Wrong("The backbone saw the images themselves: it should see the two augmented views.")
    if close(view0, view1, 1e-6):
        raise Wrong("It looks as if both views are the same: the backbone saw every image twice in one version.")
    return places


def _normalised_features(call: _Call, head: nn.Module) -> Tensor:
    return oracle.nt_xent(*(head(oracle.unit(h)) for h in (call.h0, call.h1)), call.temperature)


# What the loss of a call may be instead, with its sentence.
MISTAKES: dict[str, tuple[Callable[[_Call, nn.Module], Tensor], ...]] = {
    "the head is left out: the loss compares z = head(h), not h.": (
        lambda c, head: oracle.nt_xent(c.h0, c.h1, c.temperature),
    ),
    "the temperature is not passed on to nt_xent.": tuple(
        lambda c, head, t=t: oracle.nt_xent(c.z0, c.z1, t) for t in (0.07, 0.1, 0.5, 1.0)
    ),
    "1 / temperature is passed on: nt_xent divides by it already.": (
        lambda c, head: oracle.nt_xent(c.z0, c.z1, 1 / c.temperature),
    ),
    "the projections are divided along the wrong dimension: chunk(2) along the rows, not the columns.": (
        lambda c, head: oracle.nt_xent(*c.seen.chunk(2, dim=1), c.temperature),
    ),
    "the rows of z0 and z1 do not belong together: take apart as was put together, row n of both is image n.": (
        lambda c, head: oracle.nt_xent(c.seen[0::2], c.seen[1::2], c.temperature),
        lambda c, head: oracle.nt_xent(*c.seen.chunk(2), c.temperature),
        lambda c, head: oracle.nt_xent(c.z0, c.z1.flip(0), c.temperature),
        lambda c, head: oracle.nt_xent(c.z0, c.z1.roll(1, 0), c.temperature),
        lambda c, head: oracle.nt_xent(c.z0, c.z1.roll(-1, 0), c.temperature),
    ),
    "one view is compared with itself: the loss gets z0 and z1.": (
        lambda c, head: oracle.nt_xent(c.z0, c.z0, c.temperature),
        lambda c, head: oracle.nt_xent(c.z1, c.z1, c.temperature),
    ),
    "the features are normalised before the head, which takes them as they are.": (_normalised_features,),
    "the loss is added up or divided once more: nt_xent is a mean over all 2N embeddings already.": tuple(
        lambda c, head, f=f: f(len(c.z0)) * c.wanted
        for f in (lambda n: 2, lambda n: 0.5, lambda n: n, lambda n: 2 * n, lambda n: 1 / n, lambda n: 0.5 / n)
    ),
    "the sign is wrong: the loss itself is minimised.": (lambda c, head: -c.wanted,),
    "the temperature scales the loss: it belongs inside nt_xent alone.": (
        lambda c, head: c.temperature * c.wanted,
        lambda c, head: c.wanted / c.temperature,
    ),
    "the squared distance of the views is the loss, without negatives: call nt_xent.": (
        lambda c, head: (c.z0 - c.z1).square().mean(),
        lambda c, head: (oracle.unit(c.z0) - oracle.unit(c.z1)).square().sum(dim=1).mean(),
    ),
}


def _named(calls: list[_Call], head: nn.Module) -> str | None:
    """The sentence of the only mistake that fits all calls; of the list above first, then of the loss itself."""

    def fits(wrong: Callable[[_Call], Tensor]) -> bool:
        return all(close(number(call.loss), wrong(call)) for call in calls)

    found = [
        sentence
        for sentence, variants in MISTAKES.items()
        if any(fits(partial(variant, head=head)) for variant in variants)
    ]
    if not found:
        found = [
            f"the loss is not nt_xent as it should be: {mistake.sentence}"
            for mistake in oracle.NT_XENT_MISTAKES
            if any(fits(lambda c, wrong=wrong: wrong(c.z0, c.z1, c.temperature)) for wrong in mistake.variants)
        ]
    return found[0] if len(found) == 1 else None


def _rest_left_to_fit(nets: dict[str, _Watched], before: nn.ModuleDict) -> None:
    """No step, no backward pass, no change of mode."""
    for name, net in nets.items():
        if not all(map(close, net.parameters(), before[name].parameters())):
            raise Wrong(f"It changes the weights of the {name}: the step is left to `fit`.")
        if any(weights.grad is not None for weights in net.parameters()):
            raise Wrong("It calls backward: return the loss with its graph, the backward pass is left to `fit`.")
        if not all(net.trained) or not all(module.training for module in net.modules()):
            raise Wrong(f"It puts the {name} into eval mode: training needs train mode.")


def _gradients(loss: Tensor, net: nn.Module) -> Tensor:
    """The gradients for all weights of a network in one vector, 0 where none arrives."""
    parts = torch.autograd.grad(
        loss, list(net.parameters()), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return torch.cat([part.flatten() for part in parts])


def _whole_graph(call: _Call, nets: dict[str, _Watched], exact: nn.ModuleDict) -> None:
    """The gradients for all weights are those of the definition."""
    if not isinstance(call.loss, Tensor) or not call.loss.requires_grad:
        raise Wrong("The value is right, but it carries no graph: return the tensor itself, computed with gradients.")
    came = {name: _gradients(call.loss, net) for name, net in nets.items()}
    for name, gradient in came.items():
        if not gradient.any():
            raise Wrong(f"The value is right, but no gradient reaches the {name}: it is detached on the way.")
    if all(close(came[name], _gradients(call.wanted, exact[name]), 1e-3) for name in came):
        return
    head = exact["head"]
    one_view = (
        (call.z0.detach(), call.z1),
        (call.z0, call.z1.detach()),
        (head(call.h0.detach()), call.z1),
        (call.z0, head(call.h1.detach())),
    )
    for z0, z1 in one_view:
        loss = oracle.nt_xent(z0, z1, call.temperature)
        if all(close(came[name], _gradients(loss, exact[name]), 1e-3) for name in came):
            raise Wrong("The value is right, but not the gradient: one view is detached, both should learn.")
    raise Wrong("The value is right, but the gradients are not those of the loss: a part of the graph is cut off.")


@exercise("week04")
def train_step(student: Student) -> str:
    """train_step(backbone, head, images, augment, temperature) -> loss with graph; no backward, no optimiser step."""

    def augment(batch: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return batch + 0.02 + 0.05 * torch.rand(batch.shape, generator=generator)

    # Without batch norm, so that one pass or two make no difference; nested, so that all of a network is asked.
    nets = {
        "backbone": _Watched(nn.Flatten(), nn.Sequential(nn.Linear(48, 12), nn.Tanh())),
        "head": _Watched(nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 6)),
    }
    with torch.no_grad():
        for weights in (*nets["backbone"].parameters(), *nets["head"].parameters()):
            weights.copy_(student.normal(*weights.shape) * 0.7)
    exact = copy.deepcopy(nn.ModuleDict(nets)).double()

    calls, views = [], []
    levels = torch.linspace(0.05, 0.75, 5)[:, None, None, None]
    all_images = levels + 0.05 * student.uniform(5, 3, 4, 4)  # far enough apart to know an image by its views
    for n, temperature in ((5, 0.2), (5, 0.6), (3, 0.2)):
        images = all_images[:n]
        nets["backbone"].seen.clear()
        loss = student(*nets.values(), images, augment, temperature)
        number(loss)
        _rest_left_to_fit(nets, exact)
        places = _pairs_seen(nets["backbone"], images)
        seen = torch.cat(nets["backbone"].seen).double()
        h = exact["backbone"](seen)
        z = exact["head"](h)
        calls.append(_Call(loss, temperature, *(part[where] for part in (h, z) for where in places), z))
        views.append(seen)

    # The definition on exactly those views that the backbone saw; the order of the pairs does not matter to the loss.
    for call, seen in zip(calls, views, strict=True):
        if not close(number(call.loss), call.wanted):
            found = f"On {len(seen) // 2} images {gives(number(call.loss), call.wanted.item())}"
            if sentence := _named(calls, exact["head"]):
                raise Wrong(f"{found}\nIt looks as if {sentence}")
            raise Wrong(f"{found}\nThe loss is nt_xent(z0, z1, temperature) of the projections of the two views.")
    if torch.equal(views[0], views[1]):
        raise Wrong("A second call gives the same views: do not seed the random numbers, every step needs new ones.")
    _whole_graph(calls[0], nets, exact)
    return "The loss of two augmented views through backbone and head, with its graph; no backward pass, no step."
