"""Splits of a student's own data: of every class the same share, and what belongs together on one side.

Slices of one patient, frames of one film, relatives of one protein are near copies: in both parts they measure memory.
With groups a split is a choice of groups, and the shares come as near as such a choice allows.
"""

import numbers
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data.images.sets import whole

_EXACT = 14  # groups up to which all choices are tried
_STARTS = 6  # random choices that are improved, where there are more groups
_NOTED = 0.1  # a share that is further off is said
_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def split_own(
    labels: Tensor, test: float = 0.25, seed: int = 0, groups: Sequence[str | float] | Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Positions of a training and a test split, sorted: of every class the same share, at least one in each.

    labels: int64 (N,); all -1, a set without classes, is split as one class. groups: N texts or numbers, equal where
    samples belong together (patients, clusters of homologues): no group is in both parts, and the shares of the classes
    are as near to `test` as such a choice allows; a printed line says where one is off by more than 0.1.

    Raises ValueError for a share that is not between 0 and 1, for a class with a single sample, and where no choice of
    groups has every class in both parts; TypeError for labels and groups of another kind.
    """
    if not isinstance(labels, Tensor) or labels.dim() != 1 or labels.dtype not in _WHOLE:
        raise TypeError("labels should be an int64 tensor (N,), such as the labels of own_images and its like.")
    if not len(labels):
        raise ValueError("There are no labels, so there is nothing to split.")
    if isinstance(test, bool) or not isinstance(test, numbers.Real) or not 0 < test < 1:
        raise ValueError(f"test is {arguments.shown(test)}; it is the share of the test split, above 0 and below 1.")
    whole("seed", seed, 0)
    labels = labels.cpu()
    for y in labels.unique().tolist():
        if (n := int((labels == y).sum())) < 2:
            raise ValueError(f"Class {y} has {n} sample; a class needs at least two, one of them to test.")

    rng = np.random.default_rng(seed)
    tested = torch.zeros(len(labels), dtype=torch.bool)
    if groups is None:
        for y in labels.unique().tolist():
            places = (labels == y).nonzero()[:, 0].numpy()
            n = min(len(places) - 1, max(1, round(test * len(places))))
            tested[rng.permutation(places)[:n]] = True
    else:
        names, which = _numbered(groups, len(labels))
        classes, columns = labels.unique(return_inverse=True)
        counts = np.zeros((len(names), len(classes)))
        np.add.at(counts, (which, columns.numpy()), 1)
        for y, column in zip(classes.tolist(), counts.T, strict=True):
            if (column > 0).sum() < 2:
                only = names[int(column.argmax())]
                raise ValueError(
                    f"All {int(column.sum())} samples of class {y} are of one group, {only!r}, so they cannot be in "
                    "both parts; leave the class out, or find it in a second group."
                )
        tested = torch.from_numpy(_choose(counts, float(test), rng)[which])
        _say(labels, tested, float(test))
    return (~tested).nonzero()[:, 0], tested.nonzero()[:, 0]


def _numbered(groups: Sequence[str | float] | Tensor, n: int) -> tuple[list, np.ndarray]:
    """The groups in order of appearance, and the number (N,) of each sample's group."""
    if isinstance(groups, str | bytes):
        raise TypeError("groups is one string; give a list with the group of every sample.")
    given, groups = groups, arguments.listed(groups)
    if groups is None:
        raise TypeError(f"groups is of type {type(given).__name__}; give a list with the group of every sample.")
    # A list of a tensor holds tensors, each of which is a key of its own to a dictionary.
    groups = [group.item() if isinstance(group, Tensor | np.ndarray) and group.ndim == 0 else group for group in groups]
    if not groups and n:
        raise ValueError("There are no groups; name their column where the set is read, own_texts(..., group=...).")
    if len(groups) != n:
        raise ValueError(f"There are {len(groups)} groups for {n} labels; give one for every sample.")
    for place, group in enumerate(groups):
        if group is None or type(group).__name__ in ("NAType", "NaTType") or _is_nothing(group):
            raise ValueError(f"Sample {place} has no group ({group!r}); give it one of its own if it belongs to none.")
        if not all(isinstance(part, str | numbers.Real) for part in (group if isinstance(group, tuple) else [group])):
            raise TypeError(f"groups holds {type(group).__name__} for sample {place}; give a text or a number.")
    names = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return list(names), np.array([names[group] for group in groups])


def _is_nothing(group: object) -> bool:
    """Whether a group is a text of spaces, or NaN."""
    return not group.strip() if isinstance(group, str) else isinstance(group, numbers.Real) and group != group


def _choose(counts: np.ndarray, test: float, rng: np.random.Generator) -> np.ndarray:
    """bool (G,), the groups to test, for counts (G, K) of samples; raises ValueError where every choice lacks a class.

    What is to be small: the distances of the classes' shares from `test`, added up.
    """
    shares = counts / counts.sum(axis=0)  # (G, K)
    if len(counts) <= _EXACT:
        choices = (np.arange(2 ** len(counts))[:, None] >> np.arange(len(counts))) & 1 == 1  # (2^G, G)
        choices = choices[rng.permutation(len(choices))]  # so that equally good ones take turns
    else:
        starts = [_improved(_dealt(shares, test, rng), shares, test, rng) for _ in range(_STARTS)]
        choices = np.array(starts)
    costs = _cost(choices @ shares, test)
    if costs.min() >= len(shares.T) + 1:  # chains of classes that share groups can hide a choice from small steps
        found = _any_choice(counts)
        choices = _improved(found, shares, test, rng)[None]
        costs = _cost(choices @ shares, test)
    return choices[costs.argmin()]


def _cost(reached: np.ndarray, test: float) -> np.ndarray:
    """For reached shares (..., K); a class that is missing in one part costs more than all distances together."""
    missing = (reached < 1e-9) | (reached > 1 - 1e-9)
    return np.round(np.abs(reached - test).sum(axis=-1), 9) + (reached.shape[-1] + 1) * missing.sum(axis=-1)


def _dealt(shares: np.ndarray, test: float, rng: np.random.Generator) -> np.ndarray:
    """Groups in random order, each to test where that brings the shares nearer: bool (G,)."""
    chosen, reached = np.zeros(len(shares), dtype=bool), np.zeros(shares.shape[1])
    for n in rng.permutation(len(shares)):
        if np.abs(reached + shares[n] - test).sum() < np.abs(reached - test).sum():
            chosen[n], reached = True, reached + shares[n]
    return chosen


def _improved(chosen: np.ndarray, shares: np.ndarray, test: float, rng: np.random.Generator) -> np.ndarray:
    """Move one group, or exchange two, as long as that makes the choice better."""
    chosen = chosen.copy()
    cost = _cost(chosen @ shares, test)
    while True:
        signs = np.where(chosen, -1.0, 1.0)[:, None] * shares  # what moving each group adds, (G, K)
        reached = chosen @ shares
        moves = _cost(reached + signs, test)
        best = int(moves.argmin())
        pair = (best,)
        inside, outside = chosen.nonzero()[0], (~chosen).nonzero()[0]
        if moves[best] >= cost and len(inside) and len(outside):
            # All exchanges of thousands of groups would take long; a random part of them does.
            inside, outside = rng.permutation(inside)[:60], rng.permutation(outside)[:60]
            swaps = _cost(reached + signs[inside][:, None] + signs[outside][None], test)  # (I, O)
            a, b = np.unravel_index(swaps.argmin(), swaps.shape)
            pair, moves[best] = (inside[a], outside[b]), swaps[a, b]
        if moves[best] >= cost:
            return chosen
        chosen[list(pair)] ^= True
        cost = moves[best]


def _any_choice(counts: np.ndarray) -> np.ndarray:
    """A choice with every class in both parts, by integer programming. Raises ValueError where there is none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    held = (counts > 0).T.astype(float)  # (K, G)
    constraint = LinearConstraint(held, 1, held.sum(axis=1) - 1)
    found = milp(np.zeros(len(counts)), integrality=np.ones(len(counts)), bounds=Bounds(0, 1), constraints=constraint)
    if found.x is None:
        raise ValueError(
            "No choice of groups has every class in both parts: classes share their few groups in such a way that one "
            "is always left out. Leave a class out, or find more groups."
        )
    return found.x > 0.5


def _say(labels: Tensor, tested: Tensor, test: float) -> None:
    """One line about the class whose share is furthest off."""
    shares = {y: tested[labels == y].double().mean().item() for y in labels.unique().tolist()}
    y = max(shares, key=lambda y: abs(shares[y] - test))
    if abs(shares[y] - test) > _NOTED:
        print(f"Groups stay together, so {shares[y]:.0%} of class {y} are in the test part; {test:.0%} were asked for.")
