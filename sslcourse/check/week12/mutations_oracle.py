"""Week 12, mutations: masked marginals and the categorical Jacobian, one entry at a time, as the papers write them.

References: Meier et al. 2021, "Language models enable zero-shot prediction of the effects of mutations on protein
function" (masked marginals); Zhang et al. 2024, "Protein language models learn evolutionary statistics of interacting
sequence motifs" (categorical Jacobian).
"""

import math
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


# --- masked_marginal


def masked_marginal(log_probs_at, sequence: str, mutations: list[str]) -> Tensor:
    """Meier et al. 2021, eq. 1, for single mutations: log p(mutant) - log p(wild type) at the masked position."""
    scores = []
    for mutation in mutations:
        wild, place, mutant = mutation[0], int(mutation[1:-1]) - 1, mutation[-1]
        log_p = log_probs_at(sequence, place)
        scores.append(log_p[AMINO_ACIDS.index(mutant)] - log_p[AMINO_ACIDS.index(wild)])
    return torch.stack(scores)


def _marginal(
    log_probs_at, sequence, mutations, *, shift=0, order=AMINO_ACIDS, value=lambda x: x, wild_sign=-1, sign=1, only=None
) -> Tensor:
    """masked_marginal with something wrong; right with the defaults. only: the mutation whose place serves for all."""
    scores = []
    for mutation in mutations:
        place = int((mutation if only is None else mutations[only])[1:-1]) - 1 + shift
        log_p = value(log_probs_at(sequence, place % len(sequence)))
        scores.append(sign * (log_p[order.index(mutation[-1])] + wild_sign * log_p[order.index(mutation[0])]))
    return torch.stack(scores)


MARGINAL_MISTAKES = (
    Mistake(
        "mutant and wild type are swapped: log p(mutant) - log p(wild type), negative where a mutation harms.",
        (partial(_marginal, sign=-1),),
    ),
    Mistake(
        'positions are counted wrongly: the 23 of "A23T" counts from 1, log_probs_at counts from 0.',
        (partial(_marginal, shift=1), partial(_marginal, shift=-1)),
    ),
    Mistake(
        "another position is masked than that of the mutation: every mutation asks log_probs_at for its own.",
        (partial(_marginal, only=0), partial(_marginal, only=-1)),
    ),
    Mistake("the wild type is left out: subtract its log probability.", (partial(_marginal, wild_sign=0),)),
    Mistake("the two are added: log p(mutant) minus log p(wild type).", (partial(_marginal, wild_sign=1),)),
    Mistake("probabilities are compared instead of their logarithms.", (partial(_marginal, value=torch.exp),)),
    Mistake(
        "the logarithm is not the natural one: what log_probs_at gives is natural already.",
        (partial(_marginal, value=lambda x: x / math.log(2)), partial(_marginal, value=lambda x: x / math.log(10))),
    ),
    Mistake(
        "the logarithm is taken once more: log_probs_at gives log probabilities.",
        (partial(_marginal, value=lambda x: x.log()),),
    ),
    Mistake(
        "the amino acids are in another order: ACDEFGHIKLMNPQRSTVWY.",
        (partial(_marginal, order="ARNDCQEGHILKMFPSTWYV"), partial(_marginal, order="LAGVSERTIDPKQNFYMHWC")),
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


JACOBIAN_MISTAKES = (
    Mistake(
        "the logits of the sequence itself are not subtracted: the change counts.",
        (lambda model, s: categorical_jacobian(model, s) + model([s])[0],),
    ),
    Mistake("the sign is wrong: after the mutation minus before.", (lambda m, s: -categorical_jacobian(m, s),)),
    Mistake(
        "input and output are swapped: J[i, a, j, b] is the change at j, of b, when residue i becomes a.",
        (lambda m, s: categorical_jacobian(m, s).permute(2, 3, 0, 1),),
    ),
    Mistake(
        "probabilities are compared: the model gives logits, leave them as they are.",
        (
            lambda m, s: categorical_jacobian(lambda x: m(x).softmax(-1), s),
            lambda m, s: categorical_jacobian(lambda x: m(x).log_softmax(-1), s),
        ),
    ),
)
