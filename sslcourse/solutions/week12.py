# ruff: noqa
"""The solved exercises of week12; generated from notebooks/source/week12_protein_language_models.py: edit that."""


import functools
import math
import re
import warnings

import numpy as np
import torch
import torch.nn.functional as F

import sslcourse
from sslcourse import data, evaluate, models, plot, train
from sslcourse.check import week12 as check
from sslcourse.data import AMINO_ACIDS
from sslcourse.data.own import split_own
from sslcourse.data.proteins import encode
from sslcourse.models.protein import MASK, PAD
from sslcourse.plot.schematics.contact_from_attention import contact_from_attention


def symmetrize(x: torch.Tensor) -> torch.Tensor:
    """x plus its transpose (Rao et al. 2021). x: (..., L, L). Returns (..., L, L)."""
    return x + x.transpose(-1, -2)


def apc(x: torch.Tensor) -> torch.Tensor:
    """Average product correction (Dunn et al. 2008). x: (..., L, L). Returns (..., L, L); every matrix by itself."""
    rows = x.sum(dim=-1, keepdim=True)                        # (..., L, 1)
    columns = x.sum(dim=-2, keepdim=True)                     # (..., 1, L)
    return x - rows * columns / rows.sum(dim=-2, keepdim=True)


def attention_features(attentions: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Corrected attention of every pair of residues (Rao et al. 2021, section 3).

    attentions: one tensor a layer, (1, heads, L + 2, L + 2), first token <cls>, last token <eos>.
    Returns (L, L, layers * heads), symmetric in the residues.
    """
    maps = torch.cat(attentions, dim=1)[0]                    # (layers * heads, L + 2, L + 2)
    maps = maps[:, 1:-1, 1:-1]                                # before any sum: special tokens draw much attention
    return apc(symmetrize(maps)).permute(1, 2, 0)             # (L, L, layers * heads)


class ContactHead:
    """Logistic regression from features of residue pairs to contacts (Rao et al. 2021, section 3)."""

    def __init__(self, C: float = 0.15, min_separation: int = 6):
        self.C, self.min_separation = C, min_separation

    def pairs(self, matrix: torch.Tensor) -> np.ndarray:
        """The entries (P, ...) of (L, L, ...) at pairs i < j, min_separation or more apart."""
        i, j = torch.triu_indices(len(matrix), len(matrix), self.min_separation)
        return matrix[i, j].numpy()

    def fit(self, features: list[torch.Tensor], contacts: list[torch.Tensor]) -> "ContactHead":
        """features: (L, L, C) for each protein; contacts: (L, L) bool."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        x = np.concatenate([self.pairs(f) for f in features])
        y = np.concatenate([self.pairs(c) for c in contacts])
        self.model = make_pipeline(StandardScaler(), LogisticRegression(C=self.C)).fit(x, y)
        return self

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Probabilities (L, L) of contact."""
        flat = self.model.predict_proba(features.flatten(0, 1).numpy())[:, 1]
        return torch.from_numpy(flat).view(features.shape[:2])


def precision_at_l(
    scores: torch.Tensor,
    contacts: torch.Tensor,
    min_separation: int = 6,
    max_separation: int | None = None,
    fraction: float = 1.0,
) -> float:
    """Share of true contacts among the int(fraction * L) best-scored pairs (Rao et al. 2021, appendix).

    scores: (L, L), higher is more likely. contacts: (L, L) bool. Returns a number in [0, 1], NaN for no pair in range.
    """
    length = len(scores)
    i, j = torch.triu_indices(length, length, offset=min_separation)
    if max_separation is not None:
        near = j - i <= max_separation
        i, j = i[near], j[near]
    if len(i) == 0:
        warnings.warn(f"No pair of {length} residues is {min_separation} or more apart: NaN.", stacklevel=2)
        return math.nan
    best = scores[i, j].argsort(descending=True)[: max(1, int(fraction * length))]
    return contacts[i, j][best].double().mean().item()


def parse_mutation(mutation: str, sequence: str) -> tuple[str, int, str]:
    """("A", 22, "T") for "A23T": wild type, 0-based position, mutant. ValueError for a name that does not fit."""
    found = re.fullmatch(rf"([{AMINO_ACIDS}])(\d+)([{AMINO_ACIDS}])", mutation)
    if found is None:
        raise ValueError(f"{mutation!r} is no single mutation of the twenty amino acids, such as A23T.")
    wild, position, mutant = found[1], int(found[2]) - 1, found[3]
    if not 0 <= position < len(sequence):
        raise ValueError(f"{mutation} is outside the sequence, whose residues count from 1 to {len(sequence)}.")
    if sequence[position] != wild:
        raise ValueError(f"{mutation} starts from {wild}, but residue {position + 1} is {sequence[position]}.")
    return wild, position, mutant


def masked_marginal(log_probs_at, sequence: str, mutations: list[str]) -> torch.Tensor:
    """log p(mutant) - log p(wild type) at the masked position (Meier et al. 2021, eq. 1), for single mutations.

    log_probs_at: (sequence, 0-based position) -> (20,). sequence: the wild type. mutations: M names such as "A23T".
    Returns (M,); negative where the mutation is less likely than the wild type.
    """
    scores = []
    for mutation in mutations:
        wild, position, mutant = parse_mutation(mutation, sequence)
        log_p = log_probs_at(sequence, position)
        scores.append(log_p[AMINO_ACIDS.index(mutant)] - log_p[AMINO_ACIDS.index(wild)])
    return torch.stack(scores)


def pool_residues(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """hidden: (N, T, D); mask: (N, T), 1 = residue, 0 = padding or special token. Returns (N, D)."""
    if mask.shape != hidden.shape[:2]:
        raise ValueError(f"The mask is {tuple(mask.shape)}; features {tuple(hidden.shape)} need one of (N, T).")
    weights = mask.to(hidden.dtype)[..., None]                # (N, T, 1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def categorical_jacobian(model, sequence: str) -> torch.Tensor:
    """Change of all logits for all single mutations (Zhang et al. 2024). Returns (L, 20, L, 20): (i, a, j, b)."""
    before = model([sequence])[0]                             # (L, 20)
    rows = []
    for i in range(len(sequence)):
        mutants = [sequence[:i] + a + sequence[i + 1 :] for a in AMINO_ACIDS]
        rows.append(model(mutants) - before)                  # (20, L, 20)
    return torch.stack(rows)


def proteingym(scores: torch.Tensor, measured: torch.Tensor) -> dict[str, float]:
    """How well scores rank the mutants of a scan (Notin et al. 2023, section 4).

    scores, measured: (M,), higher is better in both. Returns {"spearman", "ndcg", "recall"}: over all mutants, and two
    of the best tenth.
    """
    from scipy.stats import spearmanr

    k = max(1, len(scores) // 10)
    best, wanted = scores.topk(k).indices, measured.topk(k).indices
    gains = (measured - measured.min()) / (measured.max() - measured.min())
    discount = torch.arange(2, k + 2).log2()                   # log2(rank + 1)
    return {
        "spearman": float(spearmanr(scores, measured).statistic),
        "ndcg": float((gains[best] / discount).sum() / (gains[wanted] / discount).sum()),
        "recall": float(torch.isin(best, wanted).double().mean()),
    }
