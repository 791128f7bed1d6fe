"""Week 12, mutations: masked marginals, one mutation at a time, as the paper writes them.

Reference: Meier et al. 2021, "Language models enable zero-shot prediction of the effects of mutations on protein
function".
"""

import math
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week12.mutations_oracle import AMINO_ACIDS


def masked_marginal(log_probs_at, sequence: str, mutations: list[str]) -> Tensor:
    """Meier et al. 2021, eq. 1, for single mutations: log p(mutant) - log p(wild type) at the masked position."""
    scores = []
    for mutation in mutations:
        wild, place, mutant = mutation[0], int(mutation[1:-1]) - 1, mutation[-1]
        log_p = log_probs_at(sequence, place)
        scores.append(log_p[AMINO_ACIDS.index(mutant)] - log_p[AMINO_ACIDS.index(wild)])
    return torch.stack(scores)


def _marginal(
    log_probs_at,
    sequence,
    mutations,
    *,
    shift=0,
    order=AMINO_ACIDS,
    value=lambda x: x,
    wild_sign=-1,
    sign=1,
    only=None,
    digits=None,
) -> Tensor:
    """masked_marginal with something wrong; right with the defaults. only: the mutation whose place serves for all."""
    scores = []
    for mutation in mutations:
        place = int((mutation if only is None else mutations[only])[1:-1][:digits]) - 1 + shift
        log_p = value(log_probs_at(sequence, place % len(sequence)))
        scores.append(sign * (log_p[order.index(mutation[-1])] + wild_sign * log_p[order.index(mutation[0])]))
    return torch.stack(scores)


def _one_after_another(log_probs_at, sequence: str, mutations: list[str]) -> Tensor:
    scores = []
    for mutation in mutations:
        scores.append(masked_marginal(log_probs_at, sequence, [mutation])[0])
        place = int(mutation[1:-1]) - 1
        sequence = sequence[:place] + mutation[-1] + sequence[place + 1 :]
    return torch.stack(scores)


def _against(log_probs_at, sequence: str, mutations: list[str], of) -> Tensor:
    rows = [log_probs_at(sequence, int(m[1:-1]) - 1) for m in mutations]
    return torch.stack([row[AMINO_ACIDS.index(m[-1])] - of(row) for row, m in zip(rows, mutations, strict=True)])


def _of_letters(log_probs_at, sequence: str, mutations: list[str]) -> Tensor:
    """What is asked once a letter of the wild type, for the first mutation of it."""
    rows: dict[str, Tensor] = {}
    for m in mutations:
        rows.setdefault(m[0], log_probs_at(sequence, int(m[1:-1]) - 1))
    pairs = [(rows[m[0]], m) for m in mutations]
    return torch.stack([row[AMINO_ACIDS.index(m[-1])] - row[AMINO_ACIDS.index(m[0])] for row, m in pairs])


def _neighbour(log_probs_at, sequence: str, mutations: list[str], step: int) -> Tensor:
    """The wild type's letter is read beside its place."""
    scores = []
    for m in mutations:
        place = int(m[1:-1]) - 1
        row = log_probs_at(sequence, place)
        letter = sequence[(place + step) % len(sequence)]
        scores.append(row[AMINO_ACIDS.index(m[-1])] - row[AMINO_ACIDS.index(letter)])
    return torch.stack(scores)


def _by_alphabet(log_probs_at, sequence: str, mutations: list[str]) -> Tensor:
    """The place of a letter in the alphabet of 26, modulo 20."""
    scores = []
    for m in mutations:
        row = log_probs_at(sequence, int(m[1:-1]) - 1)
        scores.append(row[(ord(m[-1]) - 65) % 20] - row[(ord(m[0]) - 65) % 20])
    return torch.stack(scores)


def _by_alphabet_mutant(log_probs_at, sequence: str, mutations: list[str]) -> Tensor:
    """The same for the mutant alone."""
    rows = [(log_probs_at(sequence, int(m[1:-1]) - 1), m) for m in mutations]
    return torch.stack([row[(ord(m[-1]) - 65) % 20] - row[AMINO_ACIDS.index(m[0])] for row, m in rows])


def _two_sequences(log_probs_at, sequence: str, mutations: list[str]) -> Tensor:
    """Each letter's probability at the place of the mutation, in a sequence of its own at position 0."""
    scores = []
    for m in mutations:
        place = int(m[1:-1]) - 1
        mutant = sequence[:place] + m[-1] + sequence[place + 1 :]
        scores.append(log_probs_at(mutant, 0)[AMINO_ACIDS.index(m[-1])] -
                      log_probs_at(sequence, place)[AMINO_ACIDS.index(m[0])])  # fmt: skip
    return torch.stack(scores)


def _wild_elsewhere(log_probs_at, sequence: str, mutations: list[str], at: int | None) -> Tensor:
    """The wild type's probability is read at another masked position than the mutant's."""
    scores = []
    for m in mutations:
        place = int(m[1:-1]) - 1
        elsewhere = (place + 1) % len(sequence) if at is None else at
        row, other = log_probs_at(sequence, place), log_probs_at(sequence, elsewhere)
        scores.append(row[AMINO_ACIDS.index(m[-1])] - other[AMINO_ACIDS.index(m[0])])
    return torch.stack(scores)


def _odds(log_p: Tensor) -> Tensor:
    return log_p - torch.log1p(-log_p.exp())


MARGINAL_MISTAKES = (
    Mistake(
        "the wild type alone is scored: log p(mutant) comes first, and the wild type's is subtracted.",
        (
            lambda *case: masked_marginal(*case) - _marginal(*case, wild_sign=0),
            lambda *case: _marginal(*case, wild_sign=0) - masked_marginal(*case),
        ),
    ),
    Mistake(
        "the wild type's probability is read at another masked position than the mutant's: both come from the same.",
        (partial(_wild_elsewhere, at=0), partial(_wild_elsewhere, at=None)),
    ),
    Mistake(
        "odds are compared, p / (1 - p): it is a difference of logarithms of the two probabilities.",
        (
            partial(_marginal, value=_odds),
            lambda f, s, m: _against(f, s, m, lambda log_p: 0.0)
            - torch.stack([torch.log1p(-f(s, int(x[1:-1]) - 1)[AMINO_ACIDS.index(x[0])].exp()) for x in m]),
        ),
    ),
    Mistake(
        "what was read for one letter serves wherever it occurs: every mutation asks at its own position.",
        (_of_letters,),
    ),
    Mistake(
        "the wild type's letter is read beside its place: it is mutation[0], the letter at the position itself.",
        tuple(partial(_neighbour, step=step) for step in (-1, 1)),
    ),
    Mistake(
        "places are counted from the end: position 0 is the first residue.",
        (lambda f, s, mutations: masked_marginal(lambda q, place: f(q, len(q) - 1 - place), s, mutations),),
    ),
    Mistake(
        "the scores come in another order than the mutations.",
        tuple(
            lambda f, s, mutations, key=key: masked_marginal(f, s, key(mutations))
            for key in (sorted, lambda m: m[::-1], lambda m: sorted(m, key=lambda x: int(x[1:-1])))
        ),
    ),
    Mistake("the mutant's probability is read elsewhere than at the masked position.", (_two_sequences,)),
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
        (
            partial(_marginal, only=0),
            partial(_marginal, only=-1),
            lambda f, s, mutations: masked_marginal(lambda sequence, _: f(sequence, 0), s, mutations),
        ),
    ),
    Mistake(
        "only some digits of the position are read: it is all that stands between the two letters, mutation[1:-1].",
        (partial(_marginal, digits=1), partial(_marginal, digits=2), partial(_marginal, digits=-1)),
    ),
    Mistake(
        "mutations pile up: each of them is made in the wild type, alone.",
        (_one_after_another,),
    ),
    Mistake(
        "the mutant is compared with the most likely amino acid: compare it with the wild type.",
        (lambda f, s, mutations: _against(f, s, mutations, lambda log_p: log_p.max()),),
    ),
    Mistake(
        "the mutant is compared with the mean over amino acids: compare it with the wild type.",
        (lambda f, s, mutations: _against(f, s, mutations, lambda log_p: log_p.mean()),),
    ),
    Mistake(
        "the ratio of the probabilities is returned: leave it as a difference of logarithms, without exp.",
        (lambda *case: masked_marginal(*case).exp(),),
    ),
    Mistake(
        "the logarithms are divided: a difference of logarithms is the logarithm of the ratio.",
        (lambda *case: _marginal(*case, wild_sign=0) / (_marginal(*case, wild_sign=0) - masked_marginal(*case)),),
    ),
    Mistake("the sign is lost: negative where a mutation harms.", (lambda *case: masked_marginal(*case).abs(),)),
    Mistake(
        "the scores are averaged over the mutations, or their mean is taken off: every mutation has its own.",
        (
            lambda *case: masked_marginal(*case) / len(case[2]),
            lambda *case: masked_marginal(*case) - masked_marginal(*case).mean(),
        ),
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
        (partial(_marginal, order="ARNDCQEGHILKMFPSTWYV"), partial(_marginal, order="LAGVSERTIDPKQNFYMHWC"),
         partial(_marginal, order=AMINO_ACIDS[::-1]), _by_alphabet, _by_alphabet_mutant),
    ),
)  # fmt: skip
