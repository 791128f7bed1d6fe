"""Checks of week 9's scores: logits, cosines, neighbours. Definitions: scores_oracle.py."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake, by_hand, close, doubled, gives, shown, tensor
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week09 import scores_oracle as oracle


def scores_agree(
    score: Callable,
    cases: Sequence[tuple],
    definition: Callable,
    mistakes: Sequence[Mistake] = (),
    *,
    words: Callable[..., str],
    small: tuple | None = None,
    names: Sequence[str] = (),
    hint: str = "",
    tolerance: float = 1e-4,
    what: str = "It returns",
) -> None:
    """`compare.agree` for one score a sample: score(*case), shape (N,), against the definition, for every case.

    small: a case to work out by hand; names: of its arguments.
    """
    right = [definition(*doubled(case)) for case in cases]
    values = [
        _one_each(score(*case), wanted, f"On {words(*case)}: {what[0].lower()}{what[1:]}", case)
        for case, wanted in zip(cases, right, strict=True)
    ]
    agrees = [close(*pair, tolerance) for pair in zip(values, right, strict=True)]
    if all(agrees):
        return
    n = agrees.index(False)
    row = int((values[n] - right[n]).abs().nan_to_num(nan=torch.inf).argmax())
    came, wanted = float(values[n][row]), float(right[n][row])
    found = f"On {words(*cases[n])}, for the sample at row {row}, {gives(came, wanted)}"

    # A mistake is recognised where its numbers are those of the submission in every case.
    fitting = [
        mistake
        for mistake in mistakes
        if any(
            all(close(value, wrong(*doubled(case)), tolerance) for case, value in zip(cases, values, strict=True))
            for wrong in mistake.variants
        )
    ]
    if len(fitting) == 1:
        raise Wrong(f"{found}\nIt looks as if {fitting[0].sentence}")
    if small is not None:
        wanted = definition(*doubled(small))
        came = _one_each(score(*small), wanted, what, small)
        if not close(came, wanted, tolerance):
            inputs = ", ".join(f"{name} = {shown(x)}" for name, x in zip(names, small, strict=True))
            found = f"Yours gives {shown(came)}, it should be {shown(wanted)}. The inputs were {inputs}."
            raise Wrong(f"{found}\nTry that case by hand: {hint}")
    raise Wrong(found)


def _one_each(value: object, wanted: Tensor, what: str, case: tuple) -> Tensor:
    """The scores as float64 (N,), or Wrong: a number for each class in place of one for each sample, and so on."""
    lengths = {size for x in case if isinstance(x, Tensor) for size in x.shape} - {len(wanted)}
    if isinstance(value, Tensor) and value.dim() == 1 and len(value) in lengths:
        raise Wrong(
            f"{what} {len(value)} numbers; it should be {len(wanted)}, one for each sample to be scored. What "
            "belongs to a sample stands in a row: take the largest or smallest over dim=1."
        )
    return tensor(value, tuple(wanted.shape), what).detach().double()


# --- from logits


def _logits(logits: Tensor, temperature: float | None = None) -> str:
    size = f"logits of {len(logits)} sample{'s' * (len(logits) > 1)} and {logits.shape[1]} classes"
    return size if temperature is None else f"{size} at temperature {temperature:g}"


def _with_temperature(student: Student, definition: Callable, mistakes: Sequence[Mistake], hint: str) -> None:
    """Cases that msp and energy share."""
    x = 2 * student.normal(9, 5)
    few = by_hand(student.normal(2, 3)), 0.5
    many = student.normal(300, 4), 1.5  # more than a batch of 256
    scores_agree(
        student,
        [(x, 1.0), (x, 0.5), (x, 4.0), (x[:4] - 3, 2.0), (x[:1], 0.1), (x[:, :1], 3.0), (x,), many],
        definition,
        mistakes,
        words=_logits,
        small=few,
        names=("logits", "temperature"),
        hint=hint,
    )
    scores_agree(student, [few], definition, words=_logits)


@exercise("week09")
def msp(student: Student) -> str:
    """msp(logits, temperature=1.0) -> (N,): the largest softmax probability of logits / T."""
    _with_temperature(student, oracle.msp, oracle.MSP_MISTAKES, "softmax of the logits times 2, then the largest.")
    large = student(torch.tensor([[1000.0, 0.0], [-1000.0, -1000.0]]))
    if not close(large, torch.tensor([1.0, 0.5])):
        raise Wrong(
            f"For logits of 1000 and 0, and of -1000 twice, yours gives {shown(large)}: exp overflows, or is 0 "
            "everywhere. Subtract the largest logit first, or use softmax."
        )
    return "Equal to the definition at six temperatures, also for large logits."


@exercise("week09")
def max_logit(student: Student) -> str:
    """max_logit(logits) -> (N,)."""
    x = 2 * student.normal(9, 5)
    cases = [(x,), (x - 5,), (x[:, :1],), (student.normal(300, 4),)]
    scores_agree(student, cases, oracle.max_logit, oracle.MAX_LOGIT_MISTAKES, words=_logits)
    scores_agree(student, [(x[:1] - 20,)], oracle.max_logit, words=_logits)
    return "The largest logit of every sample."


@exercise("week09")
def energy(student: Student) -> str:
    """energy(logits, temperature=1.0) -> (N,): +T logsumexp(logits / T)."""
    hint = "with T = 1/2: exponentials of twice the logits, their sum, its logarithm, times 1/2."
    _with_temperature(student, oracle.energy, oracle.ENERGY_MISTAKES, hint)
    for value in (1000.0, -1000.0):
        came = student(torch.full((1, 4), value))
        if not close(came, torch.tensor([value + torch.tensor(4.0).log()])):
            raise Wrong(
                f"For four logits of {value:g} yours gives {shown(came)}: exp overflows, or is 0. Use logsumexp."
            )
    return "Equal to the definition at six temperatures, also for large logits."


# --- from embeddings


@exercise("week09")
def mcm(student: Student) -> str:
    """mcm(image_emb, text_weights, temperature=1.0) -> (N,): largest softmax probability of cosines / T."""
    x, w = student.normal(8, 6) * (0.5 + 2 * student.uniform(8, 1)), student.normal(6, 4)
    w = w / w.norm(dim=0)

    def words(x: Tensor, w: Tensor, temperature: float = 1.0) -> str:
        return f"{len(x)} images, {w.shape[1]} classes and temperature {temperature:g}"

    few = by_hand(student.normal(2, 2)), torch.eye(2), 0.5
    many = student.normal(300, 6), w, 0.5
    scores_agree(
        student,
        [(x, w, 1.0), (x, w, 0.1), (x[:3], w, 2.0), (x, w), (x[:1], w, 0.02), (x, w[:, :1], 1.0), many],
        oracle.mcm,
        oracle.MCM_MISTAKES,
        words=words,
        small=few,
        names=("image_emb", "text_weights", "temperature"),
        hint="the cosines with two orthogonal classes are the entries of the image after it was divided by its length.",
    )
    scores_agree(student, [few], oracle.mcm, words=words)
    # CLIP's own temperature, and an image that is its class.
    sharp = student(w.T, w, 0.01)
    if not close(sharp, oracle.mcm(w.T.double(), w.double(), 0.01)):
        raise Wrong(
            f"At temperature 0.01, with images equal to the classes, yours gives {shown(sharp)}: exp(100) is more than "
            "float32 holds. Subtract the largest first, or use softmax."
        )
    return "Equal to the definition at seven temperatures; the length of an embedding does not count."


@exercise("week09")
def knn_score(student: Student) -> str:
    """knn_score(train_x, x, k=1) -> (N,): minus the distance to the k-th neighbour after l2 normalisation."""
    bank = student.normal(30, 4) * (0.2 + 3 * student.uniform(30, 1))
    x = student.normal(7, 4) * (0.2 + 3 * student.uniform(7, 1))

    def words(bank: Tensor, x: Tensor, k: int = 1) -> str:
        return f"{len(x)} samples, {len(bank)} training samples and k = {k}"

    few = by_hand(student.normal(3, 2)), by_hand(student.normal(1, 2)), 2
    # In the fourth, every training sample occurs twice and is asked for: at distance 0, twice.
    twice = torch.cat([bank[:9], 2 * bank[:9]])
    many = bank[:20], student.normal(300, 4), 2
    scores_agree(
        student,
        [
            *((bank, x, 3), (bank, x, 1), (bank[:12], x, 10), (twice, torch.cat([bank[:4], x]), 3), (bank, x)),
            *((bank[:5], x[:1], 5), many),
        ],
        oracle.knn_score,
        oracle.KNN_MISTAKES,
        words=words,
        small=few,
        names=("train_x", "x", "k"),
        hint="divide all four points by their lengths, then take minus the second smallest of three distances.",
        tolerance=2e-3,
    )
    scores_agree(student, [few, (bank[:1], x, 1)], oracle.knn_score, words=words)

    # Products in float32 cannot tell a distance of 0 from 3e-4: a training sample is at distance 0 of itself.
    itself = student(bank, bank[:5], 1)
    if not close(itself, torch.zeros(5), 2e-3):
        raise Wrong(f"Training samples are at distance 0 of themselves; yours gives {shown(itself.double())}.")
    return "Equal to the definition for five k; lengths do not count; 0 for the training samples themselves."
