"""Week 1: a linear probe in float64 by Newton's method, and the mistakes that have a name."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from sslcourse.check.compare import Mistake


def logistic_regression(
    x: Tensor, y: Tensor, classes: int, C: float = 1.0, *, weights: Tensor | None = None, intercept: bool = True
) -> tuple[Tensor, Tensor]:
    """Weights (D, K) and intercepts (K,) that minimise |W|^2 / 2 + C * the summed cross-entropy, by Newton's method.

    Of two classes only the difference counts, and scikit-learn penalises that. weights: (N,) of the samples.
    """
    x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)  # (N, D + 1): the last column is for the intercepts
    w = torch.zeros(x.shape[1], classes, dtype=x.dtype)
    penalty = torch.full_like(w, 2.0 if classes == 2 else 1.0)
    penalty[-1] = 1e-9 if intercept else 1e12  # none on the intercepts but for what makes them unique
    each = C * (torch.ones(len(x), dtype=x.dtype) if weights is None else weights)

    def cost(w: Tensor) -> Tensor:
        return (penalty * w.square()).sum() / 2 + (each * F.cross_entropy(x @ w, y, reduction="none")).sum()

    for _ in range(30):
        p = (x @ w).softmax(dim=1)  # (N, K)
        slope = penalty * w + (each[:, None] * x).T @ (p - F.one_hot(y, classes))
        spread = each[:, None, None] * (p.diag_embed() - p[:, :, None] * p[:, None, :])  # (N, K, K)
        curvature = torch.einsum("nd,ne,nkl->dkel", x, x, spread).reshape(w.numel(), w.numel())
        step = torch.linalg.solve_ex(curvature + penalty.flatten().diag(), slope.flatten())[0].view_as(w)
        length = next((0.5**n for n in range(30) if cost(w - 0.5**n * step) <= cost(w)), 0.0)
        w = w - length * step
        if slope.abs().max() < 1e-8 or not length:
            break
    return w[:-1], w[-1]


def one_against_the_rest(
    x: Tensor, y: Tensor, classes: int, C: float = 1.0, *, squares: bool = False, **others
) -> tuple[Tensor, Tensor]:
    """Weights (D, K) and intercepts (K,) of a classifier for each class, this one (1) against all others (-1).

    LinearSVC's squared hinge, which counts the intercepts in its penalty; squares: RidgeClassifier's plain squares,
    which do not. Newton's method finds the minimum exactly once it knows which samples lie within the margin.
    """
    x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    penalty = torch.ones(x.shape[1], dtype=x.dtype)
    penalty[-1] = 1e-9 if squares else 1.0
    if classes == 2:  # one classifier; the other is its mirror image
        w, b = one_against_the_rest(x[:, :-1], torch.where(y == 1, 0, 2), 3, C, squares=squares)
        return torch.stack([-w[:, 0], w[:, 0]], dim=1), torch.stack([-b[0], b[0]])
    columns = []
    for k in range(classes):
        sign = 2.0 * (y == k).to(x.dtype) - 1
        scale = C if squares else 2 * C

        def cost(w: Tensor, sign: Tensor = sign, scale: float = scale) -> Tensor:
            missing = 1 - sign * (x @ w)
            missing = missing if squares else missing.clamp(min=0)
            return (penalty * w.square()).sum() + scale * missing.square().sum()

        w = torch.zeros(x.shape[1], dtype=x.dtype)
        for _ in range(60):
            within = (sign * (x @ w) < 1) | squares
            part = x[within]
            step = w - torch.linalg.solve(penalty.diag() + scale * part.T @ part, scale * part.T @ sign[within])
            length = next((0.5**n for n in range(20) if cost(w - 0.5**n * step) <= cost(w)), 0.0)
            w = w - length * step
            if step.abs().max() < 1e-9 or not length:
                break
        columns.append(w)
    w = torch.stack(columns, dim=1)
    return w[:-1], w[-1]


def _each_alone(x: Tensor, y: Tensor, classes: int, C: float = 1.0, **others) -> tuple[Tensor, Tensor]:
    """Weights and intercepts of a logistic regression for each class, this one against all others."""
    if classes == 2:
        return logistic_regression(x, y, classes, C)
    fits = [logistic_regression(x, (y == k).long(), 2, C) for k in range(classes)]
    return torch.stack([w[:, 1] - w[:, 0] for w, _ in fits], dim=1), torch.stack([b[1] - b[0] for _, b in fits])


def _standard(x: Tensor, source: Tensor) -> Tensor:
    return (x - source.mean(dim=0)) / source.std(dim=0, correction=0)


def _share(answers: Tensor, labels: Tensor) -> float:
    return float((answers == labels).double().mean())


def _mean_of_classes(answers: Tensor, labels: Tensor) -> float:
    return sum(_share(answers[labels == c], labels[labels == c]) for c in labels.unique()) / len(labels.unique())


def linear_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    scaled: Callable[[Tensor, Tensor], Tensor] = _standard,
    fit: Callable = logistic_regression,
    statistics: str = "train",
    fit_on: str = "train",
    score_on: str = "test",
    C: float = 1.0,
    balanced: bool = False,
    intercept: bool = True,
    columns: bool = False,
    metric: Callable[[Tensor, Tensor], float] = _share,
) -> float:
    """The accuracy of a linear probe; right with the defaults.

    scaled: how; statistics: of train, test, both, each its own, or of train for the train set only. columns: numbers
    of columns are taken for labels.
    """
    sets = {"train": (train_x.double(), train_y), "test": (test_x.double(), test_y)}
    sets["both"] = tuple(torch.cat(parts) for parts in zip(*sets.values(), strict=True))

    def features(which: str) -> Tensor:
        if statistics == "train set only":
            return scaled(sets["train"][0], sets["train"][0]) if which == "train" else sets[which][0]
        return scaled(sets[which][0], sets[which if statistics == "own" else statistics][0])

    ids, y = sets[fit_on][1].unique(return_inverse=True)
    weights = (len(y) / len(ids) / torch.bincount(y).double())[y] if balanced else None
    w, b = fit(features(fit_on), y, len(ids), C, weights=weights, intercept=intercept)
    best = (features(score_on) @ w + b).argmax(dim=1)
    return metric(best if columns else ids[best], sets[score_on][1])


def _min_max(x: Tensor, source: Tensor) -> Tensor:
    low, high = source.amin(dim=0), source.amax(dim=0)
    return (x - low) / (high - low)


def _robust(x: Tensor, source: Tensor) -> Tensor:
    low, middle, high = source.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=source.dtype), dim=0)
    return (x - middle) / (high - low)


def _support_vectors(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    x, z = _standard(train_x, train_x).numpy(), _standard(test_x, train_x).numpy()
    from sklearn.svm import SVC

    return float(SVC(kernel="linear").fit(x, train_y.numpy()).score(z, test_y.numpy()))


def _probe(**what) -> partial:
    return partial(linear_probe, **what)


ALONE = (
    "each class is told from all others alone, by a hinge, by squares or by a logistic regression of its own, as "
    "LinearSVC, RidgeClassifier and OneVsRestClassifier do: use LogisticRegression, one softmax over all classes."
)
HINGE = (
    'the classifier is a support vector machine, such as SVC(kernel="linear"): its hinge counts the samples at the '
    "border alone, and gives up a minority. Use LogisticRegression."
)

LINEAR_PROBE_MISTAKES = (
    Mistake(
        "the features are not standardised: subtract the mean of the training set, divide by its standard deviation.",
        (_probe(scaled=lambda x, source: x), _probe(scaled=lambda x, source: x - source.mean(dim=0))),
    ),
    Mistake(
        "the features are scaled by their extremes: divide by the standard deviation, which a single value moves less.",
        (
            _probe(scaled=_min_max),
            _probe(scaled=lambda x, source: 2 * _min_max(x, source) - 1),
            _probe(scaled=lambda x, source: x / source.abs().amax(dim=0)),
        ),
    ),
    Mistake(
        "the features are scaled by median and quartiles, as by RobustScaler: subtract the mean, divide by the "
        "standard deviation.",
        (_probe(scaled=_robust),),
    ),
    Mistake(
        ALONE,
        (
            _probe(fit=_each_alone),
            _probe(fit=one_against_the_rest),
            _probe(fit=partial(one_against_the_rest, squares=True)),
        ),
    ),
    Mistake(HINGE, (_support_vectors,)),
    Mistake(
        "every row is divided by its length: standardise each feature, over the rows of the training set.",
        (
            _probe(scaled=lambda x, source: x / x.norm(dim=1, keepdim=True)),
            _probe(scaled=lambda x, source: (x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)),
        ),
    ),
    Mistake(
        "the variance divides the features: take its root, the standard deviation.",
        (_probe(scaled=lambda x, source: (x - source.mean(dim=0)) / source.var(dim=0, correction=0)),),
    ),
    Mistake(
        "the test set is not standardised: mean and standard deviation of train_x are for both sets.",
        (_probe(statistics="train set only"),),
    ),
    Mistake(
        "the regularisation is missing or far weaker than C = 1 (a larger C is a weaker one), or the features are "
        "whitened, so that noise counts as much as they do.",
        tuple(_probe(C=C) for C in (1e3, 1e4, 1e6)),
    ),
    Mistake(
        "the regularisation is far stronger than C = 1: a smaller C is a stronger one.",
        tuple(_probe(C=C) for C in (1e-3, 1e-4, 1e-6)),
    ),
    Mistake("the classes are weighted: every training sample counts the same.", (_probe(balanced=True),)),
    Mistake("the probe has no intercept: leave fit_intercept as it is.", (_probe(intercept=False),)),
    Mistake(
        "the accuracy is averaged over the classes: it is the share of all test labels.",
        (_probe(metric=_mean_of_classes),),
    ),
    Mistake(
        "the number of a column is taken for a label: ids may have gaps, column k belongs to classes_[k].",
        (_probe(columns=True),),
    ),
    Mistake(
        "statistics of the test set are used for standardising: mean and standard deviation come from train_x alone.",
        tuple(partial(linear_probe, statistics=of) for of in ("own", "both", "test")),
    ),
    Mistake(
        "the probe is fitted on the test set: fit on train_x and train_y alone.",
        (
            partial(linear_probe, fit_on="test"),
            partial(linear_probe, fit_on="both"),
            partial(linear_probe, fit_on="test", statistics="own"),
            partial(linear_probe, fit_on="both", statistics="both"),
        ),
    ),
    Mistake(
        "the accuracy is that on the training set: score the probe on the test set.",
        (partial(linear_probe, score_on="train"),),
    ),
    Mistake("a percentage is returned: the accuracy lies in [0, 1].", (lambda *case: 100 * linear_probe(*case),)),
    Mistake(
        "the error rate is returned: the accuracy is the share that is right.", (lambda *case: 1 - linear_probe(*case),)
    ),
    Mistake(
        "the number of right answers is returned: divide by the number of test samples.",
        (lambda *case: len(case[3]) * linear_probe(*case),),
    ),
)
