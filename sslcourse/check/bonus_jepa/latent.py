"""The check of jepa_step: spies write down which patches each network is given, and what it is asked for."""

import copy
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslcourse.check import spies
from sslcourse.check.compare import close
from sslcourse.check.machinery import Student, Wrong

ORDER = "First the loss, then update(loss), then the moving average of the encoder."


@dataclass
class Encoded:
    """One pass of an encoder: who, of which images, at which patches (None: all), and what came out."""

    who: str
    images: Tensor
    places: Tensor | None
    out: Tensor
    weights: list[Tensor]


@dataclass
class Predicted:
    """One call of the predictor: the features that it was given, where they lie, and which block it was asked for."""

    features: Tensor
    context: Tensor | None
    block: Tensor | None


class Patches(nn.Module):
    """Images (N, 3, H, H) to features (N, L, D) of patches, of some of them where places (L,) says so.

    Like a transformer: each feature depends on what it sees of the others, and on its place.
    """

    def __init__(self, who: str, log: spies.Log, student: Student, side: int, dim: int):
        super().__init__()
        self.who, self.log, self.side = who, log, side
        self.embed, self.mix = nn.Linear(12, dim), nn.Linear(2 * dim, dim)
        self.place = nn.Parameter(student.normal(side**2, dim))
        with torch.no_grad():
            for layer in (self.embed, self.mix):
                for parameter in layer.parameters():
                    parameter.copy_(student.normal(*parameter.shape) * parameter.shape[-1] ** -0.5)

    def forward(self, images: Tensor, places: Tensor | None = None) -> Tensor:
        cut = F.unfold(F.adaptive_avg_pool2d(images, 2 * self.side), 2, stride=2)  # (N, 12, L)
        x = self.embed(cut.transpose(1, 2)) + self.place  # (N, L, D)
        x = x if places is None else x[:, places]
        out = self.mix(torch.cat([x, x.mean(dim=1, keepdim=True).tanh().expand_as(x)], dim=2))
        self.log.append(Encoded(self.who, images.detach().clone(), _copy(places), out, spies.weights(self)))
        return out


class Predictor(nn.Module):
    """Features (N, C, D) at the patches of context to features (N, T, D) at those of block; a forgiving witness."""

    def __init__(self, log: spies.Log, student: Student, side: int, dim: int):
        super().__init__()
        self.log = log
        self.look, self.say = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.place = nn.Parameter(student.normal(side**2, dim))
        with torch.no_grad():
            for layer in (self.look, self.say):
                for parameter in layer.parameters():
                    parameter.copy_(student.normal(*parameter.shape) * parameter.shape[-1] ** -0.5)

    def forward(self, features: Tensor, context: Tensor | None = None, block: Tensor | None = None) -> Tensor:
        self.log.append(Predicted(features, _copy(context), _copy(block)))
        seen = self.place.mean(dim=0) if context is None else self.place[context]
        if len(seen) != features.shape[1]:
            seen = self.place.mean(dim=0)
        hint = self.look((features + seen).tanh()).mean(dim=1, keepdim=True)  # (N, 1, D)
        return self.say((hint + (self.place if block is None else self.place[block])).tanh())


def _copy(places: object) -> object:
    return places.detach().clone() if isinstance(places, Tensor) else places


def examine_latent(student: Student) -> str:
    # (images, patches of a side, targets, dimensions, momentum, is the target encoder frozen?)
    # Three blocks first: of two a sum is what is twice the mean.
    for n, side, n_targets, dim, momentum, frozen in ((4, 4, 3, 5, 0.77, True), (3, 5, 2, 4, 0.6, False)):
        log = spies.Log()
        encoder, slow = (Patches(who, log, student, side, dim) for who in ("encoder", "target"))
        slow.requires_grad_(not frozen)
        predictor = Predictor(log, student, side, dim)
        both = nn.ModuleList([encoder, predictor])
        update = spies.Update(log, both, slow)
        for step in ("In the first step", "In the second step"):
            log.clear()
            images = student.normal(n, 3, 2 * side, 2 * side)
            context, targets = _blocks(student, side, n_targets)
            before = spies.weights(both), spies.weights(slow)
            try:
                result = student(encoder, predictor, slow, update, images, context, targets, momentum)
            except Wrong:
                _calls(step, log, images, context, targets, finished=False)  # what was asked may say why it stopped
                raise
            if result is None:
                raise Wrong("It returns None: return the loss.")
            updated = spies.the_update(log, step)
            _calls(step, log, images, context, targets, finished=True)
            _loss(step, log, updated, images, context, targets, before, both, slow)
            names = "encoder", "target encoder", "update_ema(encoder, target, momentum)"
            n_own = len(list(encoder.parameters()))
            old, new = before[0][:n_own], updated.weights[:n_own]
            spies.judge_average(slow, spies.weights(slow), before[1], encoder, old, new, momentum, step, names)
            spies.judge_return(result, updated.loss, step)
    return "The encoder sees the context only, the target encoder everything; each block predicted at its own places."


def _blocks(student: Student, side: int, n_targets: int) -> tuple[Tensor, Tensor]:
    """Targets of 2 or 3 patches side by side, one a row, and a context of what is left but the last patch."""
    targets = torch.zeros(n_targets, side, side, dtype=torch.bool)
    for n in range(n_targets):
        long = 2 + (side > 4 and n % 2)  # of one size first, so that a block can be taken for another
        left = int(torch.randint(side - long + 1, (), generator=student.generator))
        targets[n, n, left : left + long] = True
    targets = targets.flatten(1)
    context = ~targets.any(dim=0)
    context[-1] = False  # no part of anything
    return context, targets


def _is(places: object, mask: Tensor) -> bool:
    """Whether places (a mask, or numbers of patches) are those of a mask."""
    if not isinstance(places, Tensor):
        return False
    if places.dtype == torch.bool:
        return torch.equal(places.flatten(), mask)
    return torch.equal(places.flatten(), mask.nonzero()[:, 0])


def _whole(places: object, mask: Tensor) -> bool:
    """Whether places are all patches, of which mask is one choice."""
    return places is None or _is(places, torch.ones_like(mask))


def _calls(step: str, log: spies.Log, images: Tensor, context: Tensor, targets: Tensor, finished: bool) -> None:
    """Who was given what. finished: False where the step stopped with an error: what is missing says nothing then."""
    passes = {who: [event for event in log if isinstance(event, Encoded) and event.who == who]
              for who in ("encoder", "target")}  # fmt: skip
    asked = [event for event in log if isinstance(event, Predicted)]
    hidden = targets.any(dim=0)
    for event in passes["encoder"] + passes["target"]:
        if not all(row.shape == images.shape[1:] and (row == images).flatten(1).all(1).any() for row in event.images):
            whose = "encoder" if event.who == "encoder" else "target encoder"
            raise Wrong(f"{step} the {whose} is given something else than the images: it sees them as they are.")
    others = [event for event in passes["encoder"] if not _is(event.places, context)]
    if finished and others and len(others) < len(passes["encoder"]) and not passes["target"]:
        which = "all" if all(_whole(event.places, context) for event in others) else "other"
        raise Wrong(
            f"{step} the encoder is given {which} patches besides the context, and the target encoder is never called. "
            "It looks as if the targets come from the encoder that learns. They come from its moving average, "
            "target(images)."
        )
    for event in passes["encoder"]:
        if _whole(event.places, context):
            raise Wrong(
                f"{step} the encoder is given all patches: then what is to be predicted is seen. It is "
                "encoder(images, context), and the targets come from target(images)."
            )
        if not _is(event.places, context):
            raise Wrong(f"{step} the encoder is given other patches than the context: encoder(images, context).")
    for event in passes["target"]:
        if event.places is not None:
            raise Wrong(
                f"{step} the target encoder sees a part of the image only: features of a block should know the whole "
                "image, so target(images) first, and then [:, block]."
            )
    for event in asked:
        made = [one.out for one in passes["encoder"] if one.out.shape == event.features.shape]
        if made and not any(close(event.features, out) for out in made):
            raise Wrong(
                f"{step} the predictor is given something else than features of the encoder: hand over what "
                "encoder(images, context) gave, as it is."
            )
        if made and made[0].requires_grad and not event.features.requires_grad:
            raise Wrong(
                f"{step} what the predictor is given is detached from the encoder, which then learns nothing: only the "
                "targets are made under torch.no_grad()."
            )
        if event.block is None or event.context is None:
            raise Wrong(
                f"{step} positions are not given to the predictor: it is predictor(features, context, block), else it "
                "cannot know what it is asked for, and answers the mean of everything."
            )
        if _is(event.block, context) and any(_is(event.context, block) for block in targets):
            raise Wrong(f"{step} context and block are swapped: predictor(features, context, block).")
        if _is(event.block, context):
            raise Wrong(
                f"{step} the context itself is predicted, which the encoder has seen: the predictor is asked for the "
                "target blocks, predictor(features, context, block)."
            )
        if len(targets) > 1 and (_is(event.block, hidden) or getattr(event.block, "ndim", 1) > 1):
            raise Wrong(f"{step} the predictor is asked for all targets at once: each block is predicted by itself.")
        if not _is(event.context, context):
            raise Wrong(f"{step} the predictor is not told where its features lie: give it context.")
        if not any(_is(event.block, block) for block in targets):
            raise Wrong(f"{step} the predictor is asked for patches that are no target block.")
    if not finished:
        return
    if not passes["target"]:
        raise Wrong(f"{step} the target encoder is never used: what is predicted are features of target(images).")
    if not passes["encoder"]:
        raise Wrong(f"{step} the encoder is never used: the predictor starts from encoder(images, context).")
    if not asked:
        raise Wrong(f"{step} the predictor is never used: predictor(features, context, block), once a block.")
    for n, block in enumerate(targets):
        if not any(_is(event.block, block) for event in asked):
            raise Wrong(f"{step} block {n} is never predicted: the predictor is asked for every target.")


def _loss(step, log, updated, images, context, targets, before, both: nn.ModuleList, slow: Patches) -> None:
    twins, elder = copy.deepcopy(both).double(), copy.deepcopy(slow).double()
    with torch.no_grad():
        for parameter, value in zip(twins.parameters(), before[0], strict=True):
            parameter.copy_(value)
        for parameter, value in zip(elder.parameters(), before[1], strict=True):
            parameter.copy_(value)
        whole = elder(images.double())  # (N, L, D)
    encoder, predictor = twins
    features = encoder(images.double(), context)
    guesses = [predictor(features, context, block) for block in targets]
    truth = [_normed(whole[:, block]) for block in targets]
    right = _mean_square(guesses, truth)
    early = [event for event in log if isinstance(event, Encoded) and event.who == "target"][0]
    if not spies.same(early.weights, before[1]):
        raise Wrong(
            f"{step} the target encoder has moved before its features are taken: the moving average comes last. {ORDER}"
        )
    if not isinstance(updated.loss, Tensor) or not close(updated.loss, right):
        passes = [event for event in log if isinstance(event, Encoded) and event.images.shape == images.shape]
        if any(not torch.equal(event.images, images) for event in passes):
            raise Wrong(f"{step} one of the encoders is given the images in another order: row n of all is image n.")
        _explain(step, updated.loss, right, guesses, truth, whole, targets, context)
    if updated.strangers:
        raise Wrong(
            f"{step} a gradient reaches the target encoder: make the targets under torch.no_grad(), else target and "
            "prediction meet at a constant."
        )
    spies.must_learn(updated, step)
    wanted = torch.autograd.grad(right, list(twins.parameters()))
    spies.gradients_right(updated, wanted, step, "encoder and predictor")


def _normed(features: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the dimensions of each patch, without learnt weights."""
    apart = features - features.mean(dim=-1, keepdim=True)
    return apart / (apart.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()


def _over(x: Tensor, over: int | tuple[int, ...], less: int) -> Tensor:
    """Mean 0 and variance 1 over other dimensions."""
    apart = x - x.mean(over, keepdim=True)
    return apart / (x.std(over, correction=less, keepdim=True) + 1e-5)


def _spread_by(x: Tensor) -> Tensor:
    return x.std(dim=-1, keepdim=True) + 1e-5


OTHERWISE = (
    lambda x: x - x.mean(dim=-1, keepdim=True),
    lambda x: x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt(),
    lambda x: x / _spread_by(x),
    lambda x: (x - x.mean(dim=-1, keepdim=True)) / _spread_by(x),
    lambda x: (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True) + 1e-5).sqrt(),
    lambda x: (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True) + 1e-5),
)


def _mean_square(guesses: list[Tensor], truth: list[Tensor]) -> Tensor:
    return sum((guess - wanted).square().mean() for guess, wanted in zip(guesses, truth, strict=True)) / len(guesses)


def _explain(step, value, right, guesses, truth, whole, targets, context) -> None:
    if not isinstance(value, Tensor):
        raise Wrong(f"{step} update is given something of type {type(value).__name__}: give it the loss as a tensor.")
    found = f"{step} the loss that is given to update is {float(value.detach()):.4g}, it should be {float(right):.4g}."
    bare = [whole[:, block] for block in targets]
    unit = [F.normalize(features, dim=-1) for features in bare]
    readings = [
        (lambda: _mean_square(guesses, bare),
         "the targets are not normalised: F.layer_norm over the dimensions of each patch, as in the authors' code."),
        (lambda: _mean_square(guesses, unit), "the targets are divided by their length: take F.layer_norm."),
        *((lambda otherwise=otherwise: _mean_square(guesses, [otherwise(whole)[:, block] for block in targets]),
           "the targets are normalised otherwise: F.layer_norm takes off the mean over the dimensions of each patch "
           "and divides by the root of their mean square.") for otherwise in OTHERWISE),
        *((lambda of=of, over=over, less=less: _mean_square(guesses, of(partial(_over, over=over, less=less))),
           "the targets are normalised over patches or images: F.layer_norm runs over the dimensions of each patch.")
          for of in (lambda normed: [normed(whole)[:, block] for block in targets],
                     lambda normed: [normed(whole[:, block]) for block in targets])
          for over in (1, (0, 1), 0) for less in (0, 1)),
        (lambda: _mean_square(guesses, [features.softmax(dim=-1) for features in bare]),
         "the targets are made a softmax: they are features, F.layer_norm of them."),
        (lambda: sum(F.cross_entropy(g.flatten(0, 1), t.softmax(-1).flatten(0, 1))
                     for g, t in zip(guesses, bare, strict=True)) / len(guesses),
         "it is a cross-entropy, as in DINO: here the distance to the features is squared."),
        (lambda: sum(F.cross_entropy(g.flatten(0, 1), t.softmax(-1).flatten(0, 1))
                     for g, t in zip(guesses, truth, strict=True)) / len(guesses),
         "it is a cross-entropy, as in DINO: here the distance to the features is squared."),
        *((lambda factor=factor: factor * right, "the loss is doubled or halved: it is the plain mean.")
          for factor in (2.0, 0.5)),
        (lambda: len(guesses[0]) * right, "the squares are summed over the images: take the mean."),
        *((lambda beta=beta: sum(F.huber_loss(g, t, delta=beta) for g, t in zip(guesses, truth, strict=True))
           / len(guesses), "a Huber loss is taken: here it is the mean square, as in the paper.")
          for beta in (0.5, 1.5, 2.0)),
        (lambda: sum((g - t).square().sum() for g, t in zip(guesses, truth, strict=True))
         / sum(t.numel() for t in truth),
         "the patches of all blocks are averaged at once, so that a large block counts more: take the mean within a "
         "block, then over the blocks."),
        (lambda: _mean_square(guesses, [F.layer_norm(features, features.shape[1:]) for features in bare]),
         "the targets are normalised over all patches of a block: F.layer_norm over the dimensions of each patch."),
        *((lambda where=where: _mean_square(guesses, [_normed(whole)[:, where(len(t[0]))] for t in truth]),
           "predictions are compared with features of patches elsewhere than in the block: truth[:, block].")
          for where in (lambda n: torch.arange(n), lambda n: context.nonzero()[:n, 0])),
        (lambda: _mean_square([_normed(guess) for guess in guesses], truth), "the predictions are normalised too."),
        (lambda: _mean_square(guesses, [F.layer_norm(whole, whole.shape[1:])[:, block] for block in targets]),
         "the targets are normalised over all patches together: F.layer_norm over the dimensions of each patch."),
        (lambda: _mean_square(guesses, [t.flip(1) for t in truth]),
         "predictions are compared with patches in another order: those of block, in the order of the grid."),
        *((lambda one=one: one * sum((g - t).square().sum() for g, t in zip(guesses, truth, strict=True)),
           "the squares are summed: take the mean within a block, then over the blocks.")
          for one in (1.0, 1 / len(guesses), 1 / len(guesses[0]), 1 / len(guesses) / len(guesses[0]))),
        (lambda: -sum(F.cosine_similarity(g, t, dim=-1).mean() for g, t in zip(guesses, truth, strict=True))
         / len(guesses), "the cosine is taken: it is the mean squared distance."),
        (lambda: len(guesses) * right, "the losses of the blocks are summed: take their mean."),
        (lambda: right * whole.shape[-1], "the squares are summed over the dimensions: take the mean."),
        *((lambda other=other: _mean_square(guesses, other), "each prediction is compared with another block.")
          for other in (truth[1:] + truth[:1], truth[-1:] + truth[:-1], truth[::-1])
          if all(a.shape == b.shape for a, b in zip(other, truth, strict=True))),
        (lambda: _mean_square(guesses[:1], truth[:1]), "only the first block counts: take the mean over all."),
        (lambda: _mean_square(guesses[-1:], truth[-1:]), "only the last block counts: take the mean over all."),
        (lambda: sum(F.smooth_l1_loss(g, t) for g, t in zip(guesses, truth, strict=True)) / len(guesses),
         "the smooth L1 loss is taken, as in the authors' code: here it is the mean square, as in the paper."),
        (lambda: sum((g - t).abs().mean() for g, t in zip(guesses, truth, strict=True)) / len(guesses),
         "the distances are not squared."),
        (lambda: sum(1 - F.cosine_similarity(g, t, dim=-1).mean() for g, t in zip(guesses, truth, strict=True))
         / len(guesses), "the cosine is taken: it is the mean squared distance."),
    ]  # fmt: skip
    raise Wrong(found + (spies.named(value, right, readings) or (
        "\nIt is the mean over the blocks of the mean squared distance between predictor(features, context, block) and "
        "layer_norm(target(images))[:, block].")))  # fmt: skip
