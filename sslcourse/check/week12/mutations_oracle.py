"""Week 12, proteins as a whole: pooling, the categorical Jacobian, one entry at a time, as the paper writes it.

Reference: Zhang et al. 2024, "Protein language models learn evolutionary statistics of interacting sequence motifs"
(categorical Jacobian). Masked marginals: marginal_oracle.py.
"""

from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


# --- pool_residues


def pool_residues(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean over the positions whose mask is 1."""
    return torch.stack(
        [_mean_of([h for h, m in zip(*row, strict=True) if m]) for row in zip(hidden, mask, strict=True)]
    )


def _hull(hidden: Tensor, mask: Tensor) -> Tensor:
    places = [keep.nonzero().flatten() for keep in mask]
    return torch.stack([h[int(p[0]) : int(p[-1]) + 1].mean(dim=0) for h, p in zip(hidden, places, strict=True)])


def _mean_of(vectors: list[Tensor]) -> Tensor:
    return sum(vectors) / len(vectors)


def _first(hidden: Tensor, mask: Tensor, skip: int = 0) -> Tensor:
    counts = mask.sum(dim=1).long().tolist()
    return torch.stack([h[skip : skip + n].mean(dim=0) for h, n in zip(hidden, counts, strict=True)])


POOL_MISTAKES = (
    Mistake(
        "padding and special tokens are averaged in: only positions whose mask is 1 count.",
        (lambda h, m: h.mean(dim=1), lambda h, m: h[:, 1:-1].mean(dim=1), lambda h, m: h[:, 1:].mean(dim=1)),
    ),
    Mistake(
        "it divides by the number of positions: divide by the number of residues, the sum of the mask.",
        (
            lambda h, m: (h * m[..., None]).mean(dim=1),
            lambda h, m: (h * m[..., None]).sum(dim=1) / (h.shape[1] - 2),
        ),
    ),
    Mistake(
        "it divides by something near the number of residues: by the sum of the mask itself.",
        tuple(
            lambda h, m, by=by: (h * m[..., None]).sum(dim=1) / by(m.sum(dim=1, keepdim=True).to(h))
            for by in (lambda n: n + 1, lambda n: n.sqrt(), lambda n: n + 2)
        ),
    ),
    Mistake(
        "the mask of the first protein serves for all: each has its own.",
        (lambda h, m: pool_residues(h, m[:1].expand_as(m)),),
    ),
    Mistake(
        "all positions from the first residue to the last are averaged: those between whose mask is 0 do not count.",
        (lambda h, m: _hull(h, m),),
    ),
    Mistake(
        "the result is divided by its length: return the mean as it is.",
        (lambda h, m: pool_residues(h, m) / pool_residues(h, m).norm(dim=1, keepdim=True),),
    ),
    Mistake(
        "a softmax over the mask gives the weights: positions whose mask is 0 have none.",
        (lambda h, m: (h * m.to(h).softmax(dim=1)[..., None]).sum(dim=1),),
    ),
    Mistake(
        "the median is taken: average over the residues.",
        (lambda h, m: torch.stack([row[keep > 0].median(dim=0).values for row, keep in zip(h, m, strict=True)]),),
    ),
    Mistake(
        "it divides by the number of all residues of the batch: every protein has its own.",
        (
            lambda h, m: (h * m[..., None]).sum(dim=1) / m.sum(),
            lambda h, m: h[m > 0].mean(dim=0).expand(len(h), -1),
        ),
    ),
    Mistake("the mask is read the other way round: 1 marks a residue.", (lambda h, m: pool_residues(h, m == 0),)),
    Mistake("the residues are added up: divide by their number.", (lambda h, m: (h * m[..., None]).sum(dim=1),)),
    Mistake(
        "the first positions are averaged, as many as there are residues: the mask says which ones they are.",
        (_first, lambda h, m: _first(h, m, 1)),
    ),
    Mistake("the first token is taken: average over the residues.", (lambda h, m: h[:, 0], lambda h, m: h[:, 1])),
    Mistake(
        "one position is taken, the last or that of one residue: average over the residues.",
        (
            lambda h, m: h[:, -1],
            lambda h, m: torch.stack([row[keep > 0][0] for row, keep in zip(h, m, strict=True)]),
            lambda h, m: torch.stack([row[keep > 0][-1] for row, keep in zip(h, m, strict=True)]),
        ),
    ),
    Mistake(
        "the maximum is taken: average over the residues.",
        (
            lambda h, m: torch.where(m[..., None] > 0, h, -torch.inf).amax(dim=1),
            lambda h, m: (h * m[..., None]).amax(dim=1),
            lambda h, m: h.amax(dim=1),
        ),
    ),
)


# --- categorical_jacobian


def categorical_jacobian(model, sequence: str) -> Tensor:
    """J[i, a, j, b]: how the logit of b at j changes when residue i becomes a."""
    before = model([sequence])[0]
    rows = []
    for i in range(len(sequence)):
        for a in AMINO_ACIDS:
            rows.append(model([sequence[:i] + a + sequence[i + 1 :]])[0] - before)
    return torch.stack(rows).reshape(len(sequence), 20, *before.shape)


def _centred(model, sequence: str, dim) -> Tensor:
    jacobian = categorical_jacobian(model, sequence)
    return jacobian - jacobian.mean(dim, keepdim=True)


def _centred_over(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """One dimension after another."""
    for dim in dims:
        x = x - x.mean(dim, keepdim=True)
    return x


def _piled_up(model, sequence: str) -> Tensor:
    before, rows = model([sequence])[0], []
    for i in range(len(sequence)):
        for a in AMINO_ACIDS:
            sequence = sequence[:i] + a + sequence[i + 1 :]
            rows.append(model([sequence])[0] - before)
    return torch.stack(rows).reshape(len(sequence), 20, *before.shape)


def _replaced(model, sequence: str, count: int) -> Tensor:
    before = model([sequence])[0]
    rows = [model([sequence.replace(letter, a, count)])[0] - before for letter in sequence for a in AMINO_ACIDS]
    return torch.stack(rows).reshape(len(sequence), 20, *before.shape)


JACOBIAN_MISTAKES = (
    Mistake(
        "the logits of the sequence itself are not subtracted: the change counts.",
        (lambda model, s: categorical_jacobian(model, s) + model([s])[0],),
    ),
    Mistake("the sign is wrong: after the mutation minus before.", (lambda m, s: -categorical_jacobian(m, s),)),
    Mistake(
        "input and output are swapped: J[i, a, j, b] is the change at j, of b, when residue i becomes a.",
        tuple(
            lambda m, s, order=order: categorical_jacobian(m, s).permute(order)
            for order in ((2, 3, 0, 1), (2, 1, 0, 3), (0, 3, 2, 1))
        ),
    ),
    Mistake(
        "probabilities are compared, or their logarithms: the model gives logits, leave them as they are.",
        (
            lambda m, s: categorical_jacobian(lambda x: m(x).softmax(-1), s),
            lambda m, s: categorical_jacobian(lambda x: m(x).log_softmax(-1), s),
        ),
    ),
    Mistake(
        "the sign is lost: a logit may fall.",
        (
            lambda m, s: categorical_jacobian(m, s).abs(),
            lambda m, s: categorical_jacobian(m, s).square(),
            lambda m, s: categorical_jacobian(m, s).clamp(min=0),
        ),
    ),
    Mistake(
        "the amino acids are in another order: ACDEFGHIKLMNPQRSTVWY.",
        tuple(
            lambda m, s, order=order: categorical_jacobian(m, s)[:, [AMINO_ACIDS.index(a) for a in order]]
            for order in ("ARNDCQEGHILKMFPSTWYV", "LAGVSERTIDPKQNFYMHWC", AMINO_ACIDS[::-1])
        ),
    ),
    Mistake(
        "a letter is replaced wherever it occurs, or where it occurs first, as str.replace does: residue i alone "
        "becomes a.",
        tuple(partial(_replaced, count=count) for count in (-1, 1)),
    ),
    Mistake(
        "both directions are averaged: the notebook symmetrises later.",
        (lambda m, s: (categorical_jacobian(m, s) + categorical_jacobian(m, s).permute(2, 3, 0, 1)) / 2,),
    ),
    Mistake(
        "the change at the mutated residue itself is set to 0: leave it as it is.",
        (lambda m, s: categorical_jacobian(m, s) * (1 - torch.eye(len(s)))[:, None, :, None],),
    ),
    Mistake(
        "a mean is taken off: the notebook centres later.",
        (
            *(partial(_centred, dim=dim) for dim in (1, 3, (1, 3), (0, 1, 2, 3))),
            lambda m, s: _centred_over(categorical_jacobian(m, s), (0, 1, 2, 3)),
            lambda m, s: _centred_over(categorical_jacobian(m, s), (1, 3)),
        ),
    ),
    Mistake(
        "mutations pile up: each of them is made in the sequence itself, alone.",
        (_piled_up,),
    ),
)
