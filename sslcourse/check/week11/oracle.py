"""Week 11: relative representations, one pair of samples at a time, as they are defined.

Reference: Moschella et al. 2023, "Relative representations enable zero-shot latent space communication", eq. 1.
Retrieval is in retrieval_oracle.py, the measures of alignment are in alignment_oracle.py.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

# --- relative


def cosine(u: Tensor, v: Tensor) -> Tensor:
    return u.dot(v) / (u.dot(u).sqrt() * v.dot(v).sqrt())


def relative(x: Tensor, anchors: Tensor, center: bool = False) -> Tensor:
    """Similarities of every sample to every anchor, (N, A); with center, both are seen from the anchors' mean."""
    mean = sum(anchors) / len(anchors) if center else torch.zeros_like(anchors[0])
    return torch.stack([torch.stack([cosine(point - mean, anchor - mean) for anchor in anchors]) for point in x])


def _as_is(x: Tensor) -> Tensor:
    return x


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def _unit_columns(x: Tensor) -> Tensor:
    return x / x.norm(dim=0)


def _unit_at_once(x: Tensor) -> Tensor:
    return x / x.norm()


def _squared(x: Tensor) -> Tensor:
    return x / x.square().sum(dim=1, keepdim=True)


def _manhattan(x: Tensor) -> Tensor:
    return x / x.abs().sum(dim=1, keepdim=True)


def _rows_centred(x: Tensor) -> Tensor:
    return _unit(x - x.mean(dim=1, keepdim=True))


def _relative(
    x: Tensor, anchors: Tensor, center: bool = False, *, lengths=(_unit, _unit), means: str = "anchors", then=_as_is
) -> Tensor:
    """relative with something wrong; right with the defaults.

    lengths: of samples and anchors; means: what is subtracted from (samples, anchors) where center asks for it; then:
    what becomes of the similarities.
    """
    nothing = torch.zeros_like(anchors[0])
    own, other = anchors.mean(dim=0), x.mean(dim=0)
    both = torch.cat([x, anchors]).mean(dim=0)
    from_x, from_anchors = {
        "anchors": (own, own),
        "none": (nothing, nothing),
        "samples only": (own, nothing),
        "anchors only": (nothing, own),
        "each its own": (other, own),
        "samples": (other, other),
        "both": (both, both),
        "swapped": (own, other),
        "samples, of themselves": (other, nothing),
    }["anchors" if means in ("late", "always", "rows", "entries") else means]
    if means == "late":  # first to length 1, then centred, and never to length 1 again
        x, anchors = (f(part) for f, part in zip(lengths, (x, anchors), strict=True))
        mean = anchors.mean(dim=0) if center else nothing
        return then((x - mean) @ (anchors - mean).T)
    if means == "rows" and center:
        x, anchors = (part - part.mean(dim=1, keepdim=True) for part in (x, anchors))
    elif means == "entries" and center:
        x, anchors = x - anchors.mean(), anchors - anchors.mean()
    elif center or means == "always":
        x, anchors = x - from_x, anchors - from_anchors
    x, anchors = (f(part) for f, part in zip(lengths, (x, anchors), strict=True))
    return then(x @ anchors.T)


def _wrong(**what) -> partial:
    return partial(_relative, **what)


def _between(measure) -> Callable:
    """relative with a function of samples and anchors, both centred where that is asked, in place of the cosine."""

    def wrong(x: Tensor, anchors: Tensor, center: bool = False) -> Tensor:
        mean = anchors.mean(dim=0) if center else 0
        return measure(x - mean, anchors - mean)

    return wrong


def _late(x: Tensor, anchors: Tensor, center: bool, dim: int) -> Tensor:
    similar = _relative(x, anchors)
    return similar - similar.mean(dim=dim, keepdim=True) if center else similar


def _standardised(x: Tensor, anchors: Tensor, center: bool = False) -> Tensor:
    if center:
        spread = anchors.std(dim=0)  # whatever it is divided by: a factor common to all features cancels
        x, anchors = x / spread, anchors / spread
    return _relative(x, anchors, center)


def _off(of_samples: Callable, of_anchors: Callable | None = None) -> Callable:
    """relative with something else than the anchors' mean taken off samples and anchors."""

    def wrong(x: Tensor, anchors: Tensor, center: bool = False) -> Tensor:
        if center:
            x, anchors = x - of_samples(anchors), anchors - (of_anchors or of_samples)(anchors)
        return _unit(x) @ _unit(anchors).T

    return wrong


ALWAYS = "it always centres: without center=True the vectors are taken as they are."
RELATIVE_MISTAKES = {
    "nothing is normalised: a cosine divides by both lengths, that of the sample and that of the anchor.": (
        _wrong(lengths=(_as_is, _as_is)),
    ),
    "only one side is normalised: a cosine divides by both lengths, that of the sample and that of the anchor.": (
        _wrong(lengths=(_unit, _as_is)),
        _wrong(lengths=(_as_is, _unit)),
    ),
    "the normalisation runs over the samples: divide every row by its length (dim=1), not every column.": (
        _wrong(lengths=(_unit_columns, _unit_columns)),
    ),
    "the lengths are squared: divide by the root of the sum of squares.": (
        _wrong(lengths=(_squared, _squared)),
        _wrong(lengths=(_squared, _unit)),
        _wrong(lengths=(_unit, _squared)),
    ),
    "the length is a sum of absolute values: a cosine divides by the root of the sum of squares.": (
        _wrong(lengths=(_manhattan, _manhattan)),
    ),
    "every vector's own mean over the features is taken off, which makes Pearson's correlation: a cosine takes the "
    "vectors as they are.": (_wrong(lengths=(_rows_centred, _rows_centred)),),
    "everything is divided by one number: every row has a length of its own.": (
        _wrong(lengths=(_unit_at_once, _unit_at_once)),
        _wrong(lengths=(_unit_at_once, _unit)),
        _wrong(lengths=(_unit, _unit_at_once)),
    ),
    "these are distances, one minus the cosine: a relative representation holds the cosines.": (
        _wrong(then=lambda s: 1 - s),
    ),
    "negative similarities are cut off at 0: a cosine runs from -1 to 1.": (_wrong(then=lambda s: s.clamp(min=0)),),
    "the sign is lost: a cosine runs from -1 to 1, and opposite directions are not the same.": (
        _wrong(then=torch.abs),
        _wrong(then=torch.square),
    ),
    "the cosines are moved into [0, 1]: leave them as they are, from -1 to 1.": (_wrong(then=lambda s: (s + 1) / 2),),
    "these are angles: leave out the arc cosine.": (
        _wrong(then=torch.acos),
        _wrong(then=lambda s: torch.acos(s) / math.pi),
        _wrong(then=lambda s: 1 - torch.acos(s) / math.pi),
    ),
    "a softmax follows: a relative representation holds the cosines themselves.": (
        _wrong(then=lambda s: s.softmax(dim=1)),
        _wrong(then=lambda s: s.softmax(dim=0)),
    ),
    "the rows of the result are brought to length 1 once more: leave the cosines as they are.": (_wrong(then=_unit),),
    "these are Euclidean distances: a relative representation holds cosines.": (
        _between(torch.cdist),
        _between(lambda x, a: -torch.cdist(x, a)),
        _between(lambda x, a: torch.cdist(x, a).square()),
        _between(lambda x, a: torch.cdist(_unit(x), _unit(a))),
        _between(lambda x, a: (-torch.cdist(x, a).square()).exp()),
        _between(lambda x, a: (-torch.cdist(x, a)).exp()),
        _between(lambda x, a: 1 / (1 + torch.cdist(x, a))),
    ),
    "only the samples are centred: the anchors' mean is taken off the anchors themselves, too.": (
        _wrong(means="samples only"),
        _wrong(means="samples, of themselves"),
    ),
    "only the anchors are centred: their mean is taken off the samples, too.": (_wrong(means="anchors only"),),
    "samples and anchors are centred by a mean of their own: one point is the origin for both, the anchors' mean.": (
        _wrong(means="each its own"),
        _wrong(means="swapped"),
    ),
    "the mean of the samples is taken off: then a representation depends on the batch it comes in; use the anchors'.": (
        _wrong(means="samples"),
        _wrong(means="both"),
    ),
    "the argument center is not used: with center=True the anchors' mean is taken off both first.": (
        _wrong(means="none"),
    ),
    ALWAYS: (_wrong(means="always"),),
    "center works the wrong way round: the mean is taken off where center is True, and only there.": (
        lambda x, anchors, center=False: _relative(x, anchors, not center),
    ),
    "it centres after normalising: take the mean off first, then divide by the lengths that are left.": (
        _wrong(means="late"),
    ),
    "the mean runs over the features: the anchors' mean is a vector, their average over dim=0.": (
        _wrong(means="rows"),
    ),
    "one mean is taken of all entries: the anchors' mean is a vector, their average over dim=0.": (
        _wrong(means="entries"),
    ),
    "the cosines are centred, after they were taken: with center the mean is taken off the vectors, before.": (
        *(lambda x, anchors, center=False, dim=dim: _late(x, anchors, center, dim) for dim in (0, 1)),
    ),
    "it also divides by a standard deviation: with center the anchors' mean is taken off, and that is all.": (
        _standardised,
    ),
    "the anchors are added up, or their sum is divided by another number than theirs: it is their mean.": (
        _off(lambda a: a.sum(dim=0)),
        _off(lambda a: a.sum(dim=0) / (len(a) - 1)),
    ),
    "the mean is that of the anchors at length 1: it is theirs as they are.": (_off(lambda a: _unit(a).mean(dim=0)),),
    "it is divided by a temperature: leave the cosines as they are.": tuple(
        _wrong(then=lambda s, t=t: s / t) for t in (0.05, 0.07, 0.1, 0.2, 0.5)
    ),
    "the median of the anchors is taken off: it is their mean.": (_off(lambda a: a.median(dim=0).values),),
    "one anchor is taken off: it is the mean of all of them.": (_off(lambda a: a[0]), _off(lambda a: a[-1])),
    "the mean is added to the samples: it is taken off samples and anchors.": (
        _off(lambda a: -a.mean(dim=0), lambda a: a.mean(dim=0)),
        _off(lambda a: -a.mean(dim=0)),
    ),
}
