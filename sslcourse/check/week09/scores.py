"""Checks of week 9's scores: logits, cosines, neighbours, Mahalanobis. Definitions: scores_oracle.py."""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake, by_hand, close, doubled, gives, shown, tensor
from sslcourse.check.machinery import NotAttempted, Student, Wrong, exercise
from sslcourse.check.week09 import scores_oracle as oracle


def _scores_agree(
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
        tensor(score(*case), tuple(wanted.shape), f"On {words(*case)}: {what[0].lower()}{what[1:]}").detach().double()
        for case, wanted in zip(cases, right, strict=True)
    ]
    agrees = [close(*pair, tolerance) for pair in zip(values, right, strict=True)]
    if all(agrees):
        return
    n = agrees.index(False)
    row = int((values[n] - right[n]).abs().nan_to_num(nan=torch.inf).argmax())
    found = f"On {words(*cases[n])}, for the sample at row {row}, {gives(float(values[n][row]), float(right[n][row]))}"

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
        came = tensor(score(*small), tuple(wanted.shape), what).detach().double()
        if not close(came, wanted, tolerance):
            inputs = ", ".join(f"{name} = {shown(x)}" for name, x in zip(names, small, strict=True))
            found = f"Yours gives {shown(came)}, it should be {shown(wanted)}. The inputs were {inputs}."
            raise Wrong(f"{found}\nTry that case by hand: {hint}")
    raise Wrong(found)


# --- from logits


def _logits(logits: Tensor, temperature: float | None = None) -> str:
    size = f"logits of {len(logits)} sample{'s' * (len(logits) > 1)} and {logits.shape[1]} classes"
    return size if temperature is None else f"{size} at temperature {temperature:g}"


def _with_temperature(student: Student, definition: Callable, mistakes: Sequence[Mistake], hint: str) -> None:
    """Cases that msp and energy share."""
    x = 2 * student.normal(9, 5)
    few = by_hand(student.normal(2, 3)), 0.5
    _scores_agree(
        student,
        [(x, 1.0), (x, 0.5), (x, 4.0), (x[:4] - 3, 2.0)],
        definition,
        mistakes,
        words=_logits,
        small=few,
        names=("logits", "temperature"),
        hint=hint,
    )
    _scores_agree(student, [few, (x[:1], 0.1), (x,), (x[:, :1], 3.0)], definition, words=_logits)


@exercise("week09")
def msp(student: Student) -> str:
    """msp(logits, temperature=1.0) -> (N,): the largest softmax probability of logits / T."""
    _with_temperature(student, oracle.msp, oracle.MSP_MISTAKES, "softmax of the logits times 2, then the largest.")
    large = student(torch.tensor([[1000.0, 0.0], [-1000.0, -1000.0]]))
    if not close(large, torch.tensor([1.0, 0.5])):
        raise Wrong(f"For logits of 1000 and -1000 yours gives {shown(large)}: subtract the largest, or use softmax.")
    return "Equal to the definition at five temperatures, also for large logits."


@exercise("week09")
def max_logit(student: Student) -> str:
    """max_logit(logits) -> (N,)."""
    x = 2 * student.normal(9, 5)
    _scores_agree(
        student, [(x,), (x - 5,), (x[:1],), (x[:, :1],)], oracle.max_logit, oracle.MAX_LOGIT_MISTAKES, words=_logits
    )
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
                f"For four logits of {value:g} yours gives {shown(came)}: use logsumexp, exp alone leaves float32."
            )
    return "Equal to the definition at five temperatures, also for large logits."


# --- from embeddings


@exercise("week09")
def mcm(student: Student) -> str:
    """mcm(image_emb, text_weights, temperature=1.0) -> (N,): largest softmax probability of cosines / T."""
    x, w = student.normal(8, 6) * (0.5 + 2 * student.uniform(8, 1)), student.normal(6, 4)
    w = w / w.norm(dim=0)

    def words(x: Tensor, w: Tensor, temperature: float = 1.0) -> str:
        return f"{len(x)} images, {w.shape[1]} classes and temperature {temperature:g}"

    few = by_hand(student.normal(2, 2)), torch.eye(2), 0.5
    _scores_agree(
        student,
        [(x, w, 1.0), (x, w, 0.1), (x[:3], w, 2.0)],
        oracle.mcm,
        oracle.MCM_MISTAKES,
        words=words,
        small=few,
        names=("image_emb", "text_weights", "temperature"),
        hint="the cosines with two orthogonal classes are the entries of the image after it was divided by its length.",
    )
    _scores_agree(student, [few, (x, w), (x[:1], w, 0.02), (x, w[:, :1], 1.0)], oracle.mcm, words=words)
    return "Equal to the definition at five temperatures; the length of an embedding does not count."


@exercise("week09")
def knn_score(student: Student) -> str:
    """knn_score(train_x, x, k=1) -> (N,): minus the distance to the k-th neighbour after l2 normalisation."""
    bank = student.normal(30, 4) * (0.2 + 3 * student.uniform(30, 1))
    x = student.normal(7, 4) * (0.2 + 3 * student.uniform(7, 1))

    def words(bank: Tensor, x: Tensor, k: int = 1) -> str:
        return f"{len(x)} samples, {len(bank)} training samples and k = {k}"

    few = by_hand(student.normal(3, 2)), by_hand(student.normal(1, 2)), 2
    _scores_agree(
        student,
        [(bank, x, 3), (bank, x, 1), (bank[:12], x, 10)],
        oracle.knn_score,
        oracle.KNN_MISTAKES,
        words=words,
        small=few,
        names=("train_x", "x", "k"),
        hint="divide all four points by their lengths, then take minus the second smallest of three distances.",
    )
    _scores_agree(student, [few, (bank, x), (bank[:5], x[:1], 5), (bank[:1], x, 1)], oracle.knn_score, words=words)

    # Products in float32 cannot tell a distance of 0 from 3e-4: a training sample is at distance 0 of itself.
    itself = student(bank, bank[:5], 1)
    if not close(itself, torch.zeros(5), 2e-3):
        raise Wrong(f"Training samples are at distance 0 of themselves; yours gives {shown(itself.double())}.")
    return "Equal to the definition for five k; lengths do not count; 0 for the training samples themselves."


# --- Mahalanobis


def _methods(student: Student) -> None:
    for name in ("fit", "score", "relative_score"):
        if not inspect.isfunction(getattr(student.submission, name, None)):
            raise Wrong(f"It has no method {name}.")


def _fitted(student: Student, train_x: Tensor, train_y: Tensor):
    detector = student()
    student.run(detector.fit, train_x, train_y)  # it may return itself or nothing
    return detector


@exercise("week09")
def Mahalanobis(student: Student) -> str:
    """class Mahalanobis: fit(train_x, train_y), score(x), relative_score(x); shared covariance, divisor N."""
    if not isinstance(student.submission, type):
        raise Wrong("It should be a class with the methods fit, score and relative_score.")
    _methods(student)

    # Three correlated classes apart from each other and from 0, of unequal sizes; labels are any whole numbers.
    mix = torch.eye(4) + 0.6 * student.normal(4, 4)
    y = torch.tensor([7] * 14 + [-2] * 9 + [100] * 6)[torch.randperm(29, generator=student.generator)]
    centres = {7: 3, -2: 4, 100: 5}
    train_x = student.normal(29, 4) @ mix
    for label, far in centres.items():
        train_x[y == label] += far * student.normal(4) / 2 + 1.0
    x = torch.cat([train_x[:4] + 0.5 * student.normal(4, 4), 4 * student.normal(5, 4)])

    def words(train_x: Tensor, train_y: Tensor, x: Tensor) -> str:
        return f"{len(x)} samples after fit on {len(train_x)} of {len(train_y.unique())} classes"

    def score(train_x: Tensor, train_y: Tensor, x: Tensor) -> Tensor:
        return student.run(_fitted(student, train_x, train_y).score, x)

    def relative(train_x: Tensor, train_y: Tensor, x: Tensor) -> Tensor:
        return student.run(_fitted(student, train_x, train_y).relative_score, x)

    two = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, -1.0], [2.0, -3.0]]), torch.tensor([0, 0, 1, 1])
    few = *two, torch.tensor([[1.0, 0.0]])
    cases = [(train_x, y, x), (train_x[:20], y[:20] * 0 + (torch.arange(20) % 2), x), (train_x + 5, y, x + 5)]
    _scores_agree(
        score,
        cases,
        oracle.mahalanobis,
        oracle.MAHALANOBIS_MISTAKES,
        words=words,
        small=few,
        names=("train_x", "train_y", "x"),
        hint="the class means are (1, 1) and (1, -2); the deviations from them give the covariance.",
        tolerance=1e-3,
        what="score returns",
    )
    _scores_agree(
        relative,
        cases,
        oracle.relative,
        oracle.RELATIVE_MISTAKES,
        words=words,
        tolerance=1e-3,
        what="relative_score returns",
    )

    # One sample alone in its class has deviation 0, which the shared covariance can bear.
    alone = torch.tensor([5] + [0] * 28)
    _scores_agree(score, [(train_x, alone, x)], oracle.mahalanobis, words=words, tolerance=1e-3, what="score returns")
    _delicate(student, score)

    # Fitted once, asked twice; fitted anew, the old data are forgotten.
    detector = _fitted(student, train_x, y)
    once, again = (student.run(detector.score, x) for _ in range(2))
    if not close(once, again):
        raise Wrong("score gives other values when it is called again: it should leave what was fitted as it is.")
    student.run(detector.fit, *cases[1][:2])
    if not close(student.run(detector.score, x), oracle.mahalanobis(*doubled(cases[1])), 1e-3):
        raise Wrong("After a second fit, the first training set is still in the scores: start anew in fit.")
    try:
        student.run(student().score, x)
    except (Wrong, NotAttempted):
        pass
    else:
        raise Wrong("score before fit gives numbers: it should raise an error that says to call fit first.")
    return (
        "Both scores equal the definition; any labels, a class of one sample, collinear features and far origins too."
    )


def _delicate(student: Student, score: Callable) -> None:
    """Features that lie in a plane: the ridge decides there; and an origin far away, where float32 is too short."""
    flat = student.normal(20, 2) @ student.normal(2, 4)
    y = torch.arange(20) % 2
    near = flat[:5] + 0.3 * flat[5:10]
    came, wanted = score(flat, y, near), oracle.mahalanobis(flat.double(), y, near.double())
    if not close(came, wanted, 1e-2):
        raise Wrong(
            "For features that lie in a plane the scores are off: the covariance has no inverse there. Add 1e-6 times "
            "trace / D to its diagonal, and compute in float64 with a Cholesky factor."
        )
    # A step out of the plane costs much, and how much is what the ridge says.
    step = near + student.normal(5, 4)
    came, wanted = score(flat, y, step), oracle.mahalanobis(flat.double(), y, step.double())
    if not close(came / wanted.abs().max(), wanted / wanted.abs().max(), 1e-2):
        raise Wrong(
            "For a sample outside the plane in which all training features lie, "
            f"{gives(float(came[0]), float(wanted[0]))} The ridge on the diagonal is 1e-6 times trace / D."
        )
