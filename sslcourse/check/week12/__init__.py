"""Checks of week 12, protein language models. Definitions and mistakes: the files that end in oracle.py.

precision_at_l is examined in precision.py, proteingym in fitness.py.
"""

import operator
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week12 import features_oracle as features
from sslcourse.check.week12 import marginal_oracle as marginal
from sslcourse.check.week12 import mutations_oracle as mutations
from sslcourse.check.week12 import oracle
from sslcourse.check.week12.fitness import examine_proteingym
from sslcourse.check.week12.precision import examine_precision
from sslcourse.check.week12.tables import same

__all__ = ["ContactHead", "apc", "attention_features", "categorical_jacobian", "masked_marginal", "parse_mutation"]
__all__ += ["pool_residues", "precision_at_l", "proteingym", "report", "sweep", "symmetrize"]


# --- symmetrize, apc


def _matrices(x: Tensor) -> str:
    return f"x of shape {tuple(x.shape)}"


@exercise("week12")
def symmetrize(student: Student) -> str:
    """symmetrize(x) = x + its transpose, on (..., L, L)."""
    # Where all dimensions are equal, swapping the wrong ones gives wrong numbers, elsewhere an error of shapes.
    for shapes in ([(5, 5), (4, 4, 4), (3, 3, 3, 3)], [(3, 6, 6), (2, 3, 4, 4), (2, 1, 1)]):
        cases = [(student.normal(*shape),) for shape in shapes]
        same(student, cases, oracle.symmetrize, oracle.SYMMETRIZE_MISTAKES, _matrices)
    return "The sum of every matrix and its transpose, for one matrix and for batches."


@exercise("week12")
def apc(student: Student) -> str:
    """apc(x) = x - row sums * column sums / total on (..., L, L), the diagonal included (Dunn et al. 2008)."""
    for shapes in ([(5, 5), (4, 4, 4), (3, 3, 3, 3)], [(3, 6, 6), (2, 2, 4, 4), (1, 7, 7)]):
        # Entries of either sign, totals far from 0; the last of the first three are negative nearly everywhere.
        cases = [((0.7 - n) * (1 + 0.7 * student.normal(*shape)),) for n, shape in enumerate(shapes)]
        same(student, cases, oracle.apc, oracle.APC_MISTAKES, _matrices)

    # A product of two vectors is background and nothing else.
    background = torch.outer(student.uniform(5) + 0.1, student.uniform(5) + 0.1)
    left = tensor(student(background), (5, 5), "It returns")
    if not close(left, torch.zeros(5, 5)):
        raise Wrong("Of a product of two vectors nothing should be left, since all of it is background.")
    return "Equal to the definition, for one matrix and for batches; nothing is left of a pure background."


# --- attention_features, ContactHead


def _attentions(student: Student, layers: int, heads: int, tokens: int) -> tuple[Tensor, ...]:
    """Attention maps with much weight on the special tokens, as real ones have: forgetting to cut them shows."""
    maps = []
    for _ in range(layers):
        scores = 1.5 * student.normal(1, heads, tokens, tokens)
        scores[..., 0] += 2
        scores[..., -1] += 1
        maps.append(scores.softmax(dim=-1))
    return tuple(maps)


def _layers(attentions: Sequence[Tensor]) -> str:
    return f"{len(attentions)} layers of attention {tuple(attentions[0].shape)}"


@exercise("week12")
def attention_features(student: Student) -> str:
    """attention_features(attentions) -> (L, L, layers * heads) from a tuple of (1, heads, L + 2, L + 2)."""
    cases = [(_attentions(student, 3, 2, 9),), (_attentions(student, 1, 4, 7),)]
    for (attentions,) in cases:
        tokens, channels = attentions[0].shape[-1], len(attentions) * attentions[0].shape[1]
        came = student(attentions)
        if came is None:
            raise Wrong("It returns None: is the `return` missing?")
        shape = tuple(getattr(came, "shape", ()))
        if shape and sorted(shape)[-2:] == [tokens] * 2 and tokens - 2 not in shape:
            raise Wrong(
                f"It returns shape {shape}: the special tokens are left in. Cut the first and the last token, so that "
                f"{tokens} tokens give L = {tokens - 2}."
            )
        if shape == (tokens - 1, tokens - 1, channels):
            raise Wrong(
                f"It returns shape {shape}: one special token is left in. Cut the first and the last, so that {tokens} "
                f"tokens give L = {tokens - 2}."
            )
        if len(shape) == 3 and shape[:2] == (tokens - 2, tokens - 2) and shape[2] != channels:
            raise Wrong(
                f"It returns {shape[2]} channels, it should be {channels}: every head of every layer is one, and none "
                "are averaged."
            )
        if shape == (channels, tokens - 2, tokens - 2):
            raise Wrong(f"It returns shape {shape}, channels first; the last dimension should be the channels.")
        tensor(came, (tokens - 2, tokens - 2, channels), "It returns")
    same(student, cases, features.attention_features, features.FEATURES_MISTAKES, _layers)
    return "Cut, symmetrised, corrected, layer after layer and head after head: equal to the definition."


@exercise("week12")
def ContactHead(student: Student) -> str:
    """ContactHead(): fit(features, contacts) on lists of (L, L, C) and (L, L); head(features) -> (L, L)."""
    # One channel knows the contacts of distant pairs and says the opposite of near ones, which are not to be learnt.
    truth = [(student.uniform(16, 16) < 0.25) for _ in range(2)]
    truth = [half.triu(1) | half.triu(1).T for half in truth]
    place = torch.arange(16)
    near = (place[:, None] - place).abs() < 6
    features = []
    for contacts in truth:
        signal = torch.where(near, -1.0, 1.0) * (contacts.float() - 0.5)
        noise = student.normal(16, 16)
        features.append(torch.stack([noise + noise.T, signal], dim=-1))
    head = student()
    student.run(head.fit, features[:1], truth[:1])
    scores = tensor(student.run(head, features[1]), (16, 16), "It returns")
    if not close(scores, scores.T):
        raise Wrong("Its scores are not symmetric, though the features are: (i, j) and (j, i) are one pair.")
    if scores.min() < 0 or scores.max() > 1:
        raise Wrong(f"Its scores run from {scores.min():.3g} to {scores.max():.3g}; probabilities lie in [0, 1].")
    if scores.unique().numel() <= 2:
        raise Wrong("It gives two different scores and nothing between: return probabilities, predict_proba.")
    far = ~near & (place[:, None] < place)
    if scores[far & truth[1]].min() <= scores[far & ~truth[1]].max():
        raise Wrong(
            "It does not find contacts that one channel shows: fit on pairs 6 or more apart, and on the labels."
        )
    return "Learns from pairs six or more apart; symmetric probabilities for another protein."


# --- precision_at_l


@exercise("week12")
def precision_at_l(student: Student) -> str:
    """precision_at_l(scores, contacts, min_separation=6, max_separation=None, fraction=1.0) -> float in [0, 1]."""
    return examine_precision(student)


# --- parse_mutation, masked_marginal

_SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQ"
_LONG = _SEQUENCE * 6  # 132 residues


def _refusal(student: Student, *case) -> Exception | None:
    """What the submission raises for bad input that the check passes on purpose; None where it accepts it."""

    def attempt() -> Exception | None:
        try:
            student.submission(*case)
        except NotImplementedError:  # a blank, not a refusal
            raise
        except Exception as error:
            return error
        return None

    return student.run(attempt)


@exercise("week12")
def parse_mutation(student: Student) -> str:
    """parse_mutation("A23T", sequence) -> ("A", 22, "T"); ValueError for another wild type or position."""
    for mutation, wanted in (
        ("M1A", ("M", 0, "A")),
        ("Q22W", ("Q", 21, "W")),
        ("S13S", ("S", 12, "S")),
        ("H106R", ("H", 105, "R")),
    ):
        sequence = _LONG[: max(22, wanted[1] + 1)]
        fits = f"{mutation} fits the sequence, whose residue {wanted[1] + 1}, counted from 1, is {wanted[0]}."
        with student.meaning(fits):
            came = student(mutation, sequence)
        if not isinstance(came, tuple | list) or tuple(came) != wanted:
            raise Wrong(f"Of {mutation} yours makes {came!r}, it should be {wanted!r}: the name counts from 1.")
    for mutation, why in (
        ("A1T", "the residue there is M"),
        ("Q0A", "positions start at 1, and Q is the last residue"),
        ("Q23W", "the sequence has 22"),
    ):
        error = _refusal(student, mutation, _SEQUENCE)
        if error is None:
            raise Wrong(f"It accepts {mutation} ({why}): raise a ValueError, else scores are silently those of others.")
        if not isinstance(error, ValueError):
            raise Wrong(
                f"The check passed {mutation} on purpose ({why}), and it is refused, but with {type(error).__name__}: "
                "raise a ValueError, which says what was wrong."
            )
    return "1-based names to 0-based positions; another wild type and positions outside are refused."


class _Model:
    """log_probs_at of a made-up model: every position has its own answer, which the residue there does not change."""

    def __init__(self, student: Student, length: int):
        self.table = student.normal(length, 20)
        self.context = 0.3 * student.normal(length, 20)

    def __call__(self, sequence: str, position: int) -> Tensor:
        if not isinstance(sequence, str) or not 0 <= operator.index(position) < len(sequence):
            raise IndexError(f"log_probs_at takes a sequence and a position from 0 to {len(self.table) - 1}")
        logits = self.table[position].clone()
        for place, letter in enumerate(sequence):
            if place != position:  # masked
                logits += self.context[(place + mutations.AMINO_ACIDS.index(letter)) % len(self.context)]
        return logits.log_softmax(dim=0)


def _mutations(model, sequence: str, mutations: list[str]) -> str:
    return f"the mutations {', '.join(mutations)}"


@exercise("week12")
def masked_marginal(student: Student) -> str:
    """masked_marginal(log_probs_at, sequence, mutations) -> (M,): log p(mutant) - log p(wild type), masked there."""
    model, long = _Model(student, len(_SEQUENCE)), _Model(student, len(_LONG))
    cases = [
        (model, _SEQUENCE, ["K2A", "Y5W", "S13T", "F19L"]),
        (model, _SEQUENCE, ["T3V"]),
        (model, _SEQUENCE, ["A4C", "A4D", "S17R", "A4C"]),
        (long, _LONG, ["H106R", "K16Y", "I12M", "K2Y", "H18R"]),  # one letter at two places
    ]
    for case in cases:
        came = student(*case)
        if isinstance(came, list | tuple):
            raise Wrong(f"It returns a {type(came).__name__}, it should be a tensor (M,): torch.stack makes one.")
    same(student, cases, marginal.masked_marginal, marginal.MARGINAL_MISTAKES, _mutations)
    ends = [(model, _SEQUENCE, ["M1A", "Q22A"])]
    same(student, ends, marginal.masked_marginal, (), _mutations)
    for mutation in ("W2A", "K99A"):
        # Whatever is raised is a refusal, parse_mutation's or one of the student's own.
        if _refusal(student, model, _SEQUENCE, [mutation]) is None:
            raise Wrong(f"It scores {mutation}, which does not fit the sequence: parse_mutation refuses such a name.")
        if _refusal(student, model, _SEQUENCE, ["T3V", mutation, "Y5W"]) is None:
            raise Wrong(
                f"It leaves {mutation} out or goes on in silence where other names fit: a name that does not fit the "
                "sequence is refused, since its score would be missed or stand at another's place."
            )
    unchanged = student(model, _SEQUENCE, ["K2K"])
    if not close(unchanged, torch.zeros(1)):
        raise Wrong(f"A mutation that changes nothing (K2K) gives {float(unchanged[0]):.4g}, it should be 0.")
    return "log p(mutant) - log p(wild type) at the mutation's own masked position; names that do not fit are refused."


# --- pool_residues


@exercise("week12")
def pool_residues(student: Student) -> str:
    """pool_residues(hidden (N, T, D), mask (N, T)) -> (N, D): the mean over positions whose mask is 1."""
    hidden = student.normal(4, 7, 5) + 1
    mask = torch.tensor([[0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0, 0]])
    for kind in (mask, mask.bool(), mask.float()):
        same(student, [(hidden, kind)], mutations.pool_residues, mutations.POOL_MISTAKES, _features)
    return "The mean over residues, whatever stands in the padding."


def _features(hidden: Tensor, mask: Tensor) -> str:
    return f"features {tuple(hidden.shape)} with a mask of {str(mask.dtype).removeprefix('torch.')}"


# --- categorical_jacobian


@exercise("week12")
def categorical_jacobian(student: Student) -> str:
    """categorical_jacobian(model, sequence) -> (L, 20, L, 20); model(N sequences) gives logits (N, L, 20)."""
    sequence = "MKVM"  # a letter at two places, so that a mutation of one is not one of both
    weights, bias = student.normal(len(sequence), 20, len(sequence), 20), student.normal(len(sequence), 20)

    class Model(nn.Module):
        def forward(self, sequences):
            numbers = torch.tensor([[mutations.AMINO_ACIDS.index(letter) for letter in s] for s in sequences])
            logits = sum(weights[place, numbers[:, place]] for place in range(numbers.shape[1]))  # (N, L, 20)
            return bias + logits.tanh()

    same(
        student,
        [(Model(), sequence)],
        mutations.categorical_jacobian,
        mutations.JACOBIAN_MISTAKES,
        lambda model, s: f"the sequence {s}",
    )
    return "The change of every logit for every single mutation."


@exercise("week12")
def proteingym(student: Student) -> str:
    """proteingym(scores (M,), measured (M,)) -> {"spearman", "ndcg", "recall"}."""
    return examine_proteingym(student)
