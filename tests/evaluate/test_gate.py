"""Every metric, every kind of input: the right number, as it comes out in forty digits, or one sentence.

A metric is a function of a matrix here; what else it needs is fixed. Kinds in RIGHT have a right number, which has to
come; those in REFUSED have none, which has to be said; of those in EITHER some metrics can make something.
"""

import math
import warnings

import numpy as np
import pytest
import torch
from oracles import exact
from sklearn.linear_model import LogisticRegression

from sslcourse import evaluate

N, K = 12, 3
LABELS = torch.arange(N) % 3


def drawn(seed, n=N, d=4):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x + 1.5 * torch.eye(d, dtype=torch.float64)[torch.arange(n) % 3] + 0.5).mul(256).round() / 256


X, OTHER = drawn(0), drawn(1)
CONTACTS = torch.rand(N, N, generator=torch.Generator().manual_seed(2)) < 0.3
FIXED = exact.rows(OTHER)
MASKS = evaluate.sample_masks(12, 2, 4, generator=torch.Generator().manual_seed(3))
PICTURE = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(4))
WHOLE = (100 * X).round().long()


def scaled(factor, dtype):
    return lambda: (X.to(dtype) * factor).to(dtype)


def mixed(one, other):
    """Every second row at one scale, the others at another."""
    return lambda: X * torch.tensor([one, other], dtype=torch.float64).repeat(N // 2)[:, None]


RIGHT = {
    "float32": lambda: X.float(),
    "float64": lambda: X,
    "float16": lambda: X.half(),
    "bfloat16": lambda: X.bfloat16(),
    "a graph": lambda: X.float().requires_grad_(),
    "no rows in order of memory": lambda: X.float().T.contiguous().T,
    "int64": lambda: WHOLE,
    "int32": lambda: WHOLE.int(),
    "int8": lambda: WHOLE.remainder(256).sub(128).to(torch.int8),
    "uint8": lambda: WHOLE.remainder(256).to(torch.uint8),
    "uint16": lambda: WHOLE.sub(WHOLE.min()).to(torch.uint16),
    "int64 from 2**30 on": lambda: WHOLE + 2**30,
    "array": lambda: X.numpy(),
    "array of float32": lambda: X.float().numpy(),
    "array, back to front": lambda: X.numpy()[::-1],
    "array, another byte order": lambda: X.numpy().astype(">f8"),
    "array, not to be written to": lambda: np.broadcast_to(X.numpy(), X.shape),
    "array of int32": lambda: WHOLE.int().numpy(),
    "array of uint64": lambda: WHOLE.sub(WHOLE.min()).numpy().astype(np.uint64),
    "lists": lambda: X.tolist(),
    "list of tensors": lambda: list(X.float()),
    "lists at 1e300": lambda: (X * 1e300).tolist(),
    "far from 0": lambda: X + 1000,
    "far from 0 in float32": lambda: (X + 100).float(),
    **{f"float32 at {factor:g}": scaled(factor, torch.float32) for factor in (1e-30, 1e-13, 1e-10, 1e19, 1e30, 3e37)},
    **{f"float64 at {factor:g}": scaled(factor, torch.float64) for factor in (1e-300, 1e-200, 1e-30, 1e30, 1e200)},
    **{f"rows at {a:g} and {b:g}": mixed(a, b) for a, b in ((1e200, 1e-200), (1e300, 1e-300), (1, 1e-170))},
    "a row at 1e180": lambda: torch.cat([X[:-1], X[-1:] * 1e180]),
    "a row at 1e-180": lambda: torch.cat([X[:-1], X[-1:] * 1e-180]),
    "columns at 1e8 and 1e-8": lambda: X * torch.tensor([1e8, 1, 1, 1e-8]).double(),
    "close to the largest number": lambda: X / X.abs().max() * 1.7e308,
    **{f"denormal at {factor:g}": scaled(factor, torch.float64) for factor in (1e-310, 1e-318, 3e-322)},
    "a subclass": lambda: X.as_subclass(type("Sub", (torch.Tensor,), {})),
}


def with_entry(value, dtype=torch.float32):
    x = X.to(dtype, copy=True)
    x[3, 2] = value
    return x


REFUSED = {
    "NaN": lambda: with_entry(math.nan),
    "infinity": lambda: with_entry(math.inf),
    "NaN in half": lambda: with_entry(math.nan, torch.float16),
    "int64 that float64 cannot tell apart": lambda: WHOLE + 2**60,
    "uint64 from 2**63 on": lambda: WHOLE.numpy().astype(np.uint64) + np.uint64(2**63),
    "complex": lambda: X.to(torch.complex64),
    "sparse": lambda: X.to_sparse(),
    "no values": lambda: X.to("meta"),
    "one number": lambda: 3.0,
    "a vector where a matrix is asked for": lambda: X[None],
    "none": lambda: None,
    "text": lambda: "features",
    "rows of several lengths": lambda: [[1.0, 2.0], [3.0]],
    "a dict": lambda: {"x": X},
    "a masked array": lambda: np.ma.masked_greater(X.numpy(), 1),
    "no rows": lambda: X[:0],
    "no columns": lambda: X[:, :0],
}
EITHER = {
    "a constant column of 1e300": lambda: torch.cat([X[:, 1:], torch.full((N, 1), 1e300, dtype=torch.float64)], dim=1),
    "every row twice": lambda: torch.cat([X[: N // 2], X[: N // 2]]),
    "zeros": lambda: torch.zeros(N, 4),
    "a row of zeros": lambda: torch.cat([X[:-1], torch.zeros(1, 4)]),
    "ones": lambda: torch.ones(N, 4),
    "a constant that is no binary fraction": lambda: torch.full((N, 4), 0.1),
    "one row many times": lambda: X[:1].float().repeat(N, 1),
    "bool": lambda: X > X.mean(),
    "one sample": lambda: X[:1],
    "two samples": lambda: X[:2],
    "pairs that differ by rounding": lambda: torch.cat([X[: N // 2], X[: N // 2] * (1 + 1e-7)]).float(),
    "int64, two of them next to each other": lambda: torch.cat([WHOLE[:-1] + 2**30, WHOLE[:1] + 2**30 + 1]),
    "one column": lambda: X[:, :1],
    "numbers from 1e-6 to 1e6": lambda: X.float() * torch.logspace(-6, 6, N)[:, None],
}


def probe_accuracy(x):
    """scikit-learn on columns that were standardised in forty digits."""
    columns = []
    for column in zip(*exact.centred(x), strict=True):
        spread = exact.mpmath.sqrt(exact.dot(column, column) / len(column))
        columns.append([float(v / spread) if spread else 0.0 for v in column])
    z = np.array(columns).T
    model = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(z, LABELS.numpy())
    return float((model.predict(z) == LABELS.numpy()).mean())


def representation(x):
    """An encoder whose features are linear in the pixels, with the numbers of x as weights."""
    weights = x.detach().double() if isinstance(x, torch.Tensor) else torch.tensor(np.array(x, dtype=float))
    return lambda images: images.flatten(1).double() @ weights.flatten()[: 16 * 2].view(16, 2)


def relax(x):
    importance, uncertainty = evaluate.relax(representation(x), PICTURE, MASKS)
    return [*importance.flatten()[::3].tolist(), *uncertainty.flatten()[::3].tolist()]


def exact_relax(x):
    weights = [v for row in x for v in row][: 16 * 2]

    def encode(pixels):
        return [exact.dot(pixels, weights[d::2]) for d in range(2)]

    pixels = exact.rows(PICTURE.view(1, -1))[0]
    masks = exact.rows(MASKS.flatten(1))
    whole = encode(pixels)
    s = [exact.cosine(encode([p * m for p, m in zip(pixels, mask, strict=True)]), whole) for mask in masks]
    total = [sum(column) for column in zip(*masks, strict=True)]
    importance = [exact.dot(s, column) / t for column, t in zip(zip(*masks, strict=True), total, strict=True)]
    spread = [
        sum((a - r) ** 2 * m for a, m in zip(s, column, strict=True)) / t
        for r, column, t in zip(importance, zip(*masks, strict=True), total, strict=True)
    ]
    return [float(v) for v in importance[::3] + spread[::3]]


BEYOND_FLOAT32 = ("e300", "e-300", "e+200", "e-200", "denormal", "largest number")


def measured(metric, between):
    """Scores as they came, and as they are of the neighbours that came: of equally near ones any may come."""

    def metric_of(x):
        scores, indices = evaluate.nearest_neighbours(x, k=K, metric=metric)
        assert all(i not in row and len(set(row)) == K for i, row in enumerate(indices.tolist()))
        return [scores.double().tolist(), between_all(exact.rows(x), indices.tolist())]

    def between_all(x, found):
        return [[float(between(a, x[j])) for j in row] for a, row in zip(x, found, strict=True)]

    def oracle(x):
        sign = 1 if metric == "euclidean" else -1
        right = between_all(x, exact.nearest(x, K, lambda a, b: sign * between(a, b)))
        return [right, right]

    return metric_of, oracle


def first(x):
    """Some rows of what has rows."""
    return x[:5] if isinstance(x, torch.Tensor | np.ndarray | list) and x is not None and not sparse(x) else x


def sparse(x):
    return isinstance(x, torch.Tensor) and x.layout != torch.strided


METRICS = {  # name: (the metric of a matrix, the same in forty digits)
    "alignment": (lambda x: evaluate.alignment(x, OTHER), lambda x: exact.alignment(x, FIXED)),
    "uniformity": (evaluate.uniformity, exact.uniformity),
    "rankme": (evaluate.rankme, exact.rankme),
    "linear_cka": (lambda x: evaluate.linear_cka(x, OTHER), lambda x: exact.linear_cka(x, FIXED)),
    "two_nn": (evaluate.two_nn, exact.two_nn),
    "participation_ratio": (evaluate.participation_ratio, exact.participation_ratio),
    "neighbourhood_overlap": (
        lambda x: evaluate.neighbourhood_overlap(x, OTHER, K),
        lambda x: exact.neighbourhood_overlap(x, FIXED, K),
    ),
    "retrieval": (
        lambda x: list(evaluate.retrieval(x, OTHER, K).values()),
        lambda x: list(exact.retrieval(x, FIXED, K).values()),
    ),
    "knn_accuracy": (
        lambda x: evaluate.knn_accuracy(x, LABELS, first(x), LABELS[:5], K, 0.5),
        lambda x: exact.knn_accuracy(x, LABELS.tolist(), x[:5], LABELS[:5].tolist(), K, 0.5),
    ),
    "linear_probe": (lambda x: evaluate.linear_probe(x, LABELS, x, LABELS, Cs=(0.1,)).accuracy, probe_accuracy),
    "nearest_neighbours, cosine": measured("cosine", exact.cosine),
    "nearest_neighbours, euclidean": measured("euclidean", exact.distance),
    "relax": (relax, exact_relax),
}


def outcome(metric, x):
    """What came out, as a flat list, or the sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.array(flat(metric(x)), dtype=float)
    except (ValueError, TypeError) as error:
        said = str(error)
        assert said[-1] in ".?" and "\n" not in said and len(said) > 20, said
        frame = error.__traceback__
        while frame.tb_next:
            frame = frame.tb_next
        assert "sslcourse" in frame.tb_frame.f_code.co_filename, f"raised elsewhere: {error!r}"
        return said


def flat(value):
    return [number for part in value for number in flat(part)] if isinstance(value, list | tuple) else [float(value)]


def agree(came, x, oracle, atol=1e-14):
    wanted = np.array(flat(oracle(exact.rows(x))), dtype=float)
    np.testing.assert_allclose(came, wanted, rtol=2e-5, atol=5e-6 if np.abs(wanted).max() > 1e-3 else atol)


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("name", METRICS)
def test_the_right_number(name, kind):
    metric, oracle = METRICS[name]
    x = RIGHT[kind]()
    came = outcome(metric, x)
    if name == "relax" and any(size in kind for size in BEYOND_FLOAT32):
        assert "float32, cannot hold" in came  # what an encoder returns is kept in float32
        return
    assert not isinstance(came, str), came
    agree(came, x, oracle, 0 if "euclidean" in name else 1e-14)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", [name for name in METRICS if name != "relax"])
def test_one_sentence(name, kind):
    came = outcome(METRICS[name][0], REFUSED[kind]())
    assert isinstance(came, str), came


@pytest.mark.parametrize("kind", EITHER)
@pytest.mark.parametrize("name", [name for name in METRICS if name != "relax"])
def test_the_right_number_or_one_sentence(name, kind):
    metric, oracle = METRICS[name]
    x = EITHER[kind]()
    came = outcome(metric, x)
    if isinstance(came, str) or (name == "rankme" and kind == "zeros"):  # 1, as its docstring says
        return
    agree(came, x, oracle, 0 if "euclidean" in name else 1e-14)


# Vectors of scores, matrices of pairs, labels

COLUMN = (X[:6, 0], X[6:, 0])
SCORES = {
    "auroc": (evaluate.auroc, exact.auroc),
    "fpr_at_95_tpr": (evaluate.fpr_at_95_tpr, exact.fpr_at_95_tpr),
    "auroc_interval": (lambda a, b: list(evaluate.auroc_interval(a, b)), None),
}
KINDS_OF_SCORES = {
    "float64": lambda x: x,
    "float32 at 1e30": lambda x: x.float() * 1e30,
    "float32 at 1e-30": lambda x: x.float() * 1e-30,
    "float64 at 1e-300": lambda x: x * 1e-300,
    "infinity among them": lambda x: torch.cat([x, torch.tensor([math.inf, -math.inf])]),
    "half": lambda x: x.half(),
    "int64 next to 2**52": lambda x: (x * 4).round().long() + 2**52,
    "uint8 with ties": lambda x: x.mul(2).round().remainder(4).to(torch.uint8),
    "bool": lambda x: x > 0.5,
    "one sample": lambda x: x[:1],
    "all equal": torch.ones_like,
    "array": lambda x: x.numpy()[::-1],
    "list": lambda x: x.tolist(),
    "far from 0": lambda x: x + 1e12,
}
NO_SCORES = {
    "NaN": lambda x: torch.cat([x, torch.tensor([math.nan])]),
    "none at all": lambda x: x[:0],
    "a matrix": lambda x: x[None],
    "int64 that float64 cannot tell apart": lambda x: torch.tensor([2**60, 2**60 + 1]),
    "text": lambda x: "abc",
    "nothing": lambda x: None,
    "complex": lambda x: x.to(torch.complex64),
}


@pytest.mark.parametrize("kind", KINDS_OF_SCORES)
@pytest.mark.parametrize("name", SCORES)
def test_scores(name, kind):
    measure, oracle = SCORES[name]
    a, b = (KINDS_OF_SCORES[kind](x) for x in COLUMN)
    came = measure(a, b)
    one, other = ([float(v) for v in x] for x in (a, b))
    if oracle is None:  # the interval depends on the order alone, holds the area and is no point
        low, high = came
        assert low <= exact.auroc(one, other) <= high and 0.05 < high - low < 1
        ranks = {v: r for r, v in enumerate(sorted({*one, *other}))}
        again = measure(*(torch.tensor([ranks[v] for v in x]) for x in (one, other)))
        assert came == pytest.approx(again, rel=1e-9)
    else:
        assert came == pytest.approx(oracle(one, other), abs=1e-12)


@pytest.mark.parametrize("kind", NO_SCORES)
@pytest.mark.parametrize("name", SCORES)
def test_scores_that_are_none(name, kind):
    assert isinstance(outcome(lambda x: SCORES[name][0](x, COLUMN[1]), NO_SCORES[kind](COLUMN[0])), str)
    assert isinstance(outcome(lambda x: SCORES[name][0](COLUMN[0], x), NO_SCORES[kind](COLUMN[1])), str)


PAIRS = drawn(5, N, N)


@pytest.mark.parametrize("scores", [PAIRS, PAIRS.float() * 1e30, PAIRS.numpy() * 1e-300, (256 * PAIRS).long() + 2**40])
@pytest.mark.parametrize("contacts", [CONTACTS, CONTACTS.int(), CONTACTS.float(), CONTACTS.numpy(), CONTACTS.tolist()])
def test_precision_of_contacts(scores, contacts):
    came = evaluate.precision_at_l(scores, contacts, 3)
    assert came == exact.precision_at_l(exact.rows(scores), CONTACTS.tolist(), 3) and 0 < came < 1


def test_precision_of_a_network_that_scores_all_pairs_alike_is_the_share_of_contacts():
    contacts = torch.zeros(30, 30, dtype=torch.bool)
    contacts[0, 6:] = True  # where a sort of equal scores would look first
    assert evaluate.precision_at_l(torch.zeros(30, 30), contacts) == pytest.approx(24 / 300)


@pytest.mark.parametrize("value", [math.nan, -1, 0.01, 2, math.inf])
def test_contacts_that_are_none(value):
    contacts = CONTACTS.double()
    contacts[2, 7] = value
    assert "0 and 1" in outcome(lambda c: evaluate.precision_at_l(PAIRS, c, 3), contacts)
    assert "0 and 1" in outcome(lambda c: evaluate.precision_at_l(PAIRS, c, 3), torch.full((N, N), float(value)))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int32, torch.int64, torch.uint16, np.uint64, list])
def test_labels_of_any_whole_type(kind):
    y = LABELS.to(kind) if isinstance(kind, torch.dtype) else kind(LABELS.tolist()) if kind is list else None
    y = LABELS.numpy().astype(kind) if y is None else y
    assert evaluate.cluster_accuracy(y, y) == (1.0, {0: 0, 1: 1, 2: 2})
    wanted = exact.knn_accuracy(exact.rows(X), LABELS.tolist(), exact.rows(X), LABELS.tolist(), K)
    assert evaluate.knn_accuracy(X, y, X, y, K) == wanted
    assert evaluate.linear_probe(X, y, X, y, Cs=(0.1,)).accuracy == probe_accuracy(exact.rows(X))


@pytest.mark.parametrize(
    "y",
    [LABELS.float(), LABELS.bool(), LABELS - 1, LABELS[:, None], LABELS[1:], None, "abc", [0.5] * N, 3, ["a"] * N],
)
def test_labels_that_are_none(y):
    assert isinstance(outcome(lambda y: evaluate.knn_accuracy(X, y, X, LABELS, K), y), str)
    assert isinstance(outcome(lambda y: evaluate.linear_probe(X, LABELS, X, y, Cs=(0.1,)).accuracy, y), str)
    if y is not LABELS:
        assert isinstance(outcome(lambda y: evaluate.cluster_accuracy(LABELS, y)[0], y), str)


def test_an_insertion_at_any_size_of_features():
    importance = PICTURE[0]
    wanted = evaluate.insertion_deletion(representation(X), PICTURE, importance, 6)
    for size in (1e-30, 1e-10, 1e10, 1e30):
        came = evaluate.insertion_deletion(representation(X * size), PICTURE, importance, 6)
        for a, b in zip(came, wanted, strict=True):
            torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=1e-5, atol=1e-6)
    for dead in (torch.zeros(N, 4), X * math.nan):
        came = outcome(lambda x: evaluate.insertion_deletion(representation(x), PICTURE, importance, 4)[2], dead)
        assert isinstance(came, str)


def test_neighbours_that_float32_cosines_cannot_order():
    """Two tight bundles of directions: within one, cosines differ by 1e-9."""
    x = torch.cat([drawn(7) * 1e-4 + 3, drawn(8) * 1e-4 - 3]).float()
    labels = (x[:, 0] * 1e4).long().remainder(2)
    wanted = exact.knn_accuracy(exact.rows(x), labels.tolist(), exact.rows(x), labels.tolist(), 3, 0.07)
    assert evaluate.knn_accuracy(x, labels, x, labels, 3) == wanted
    exact_ones = exact.nearest(exact.rows(x), 3, lambda a, b: -exact.cosine(a, b))
    assert evaluate.nearest_neighbours(x, k=3)[1].tolist() == exact_ones


def test_a_cold_vote_and_a_steep_potential():
    assert evaluate.uniformity(X, 5e4) == pytest.approx(exact.uniformity(exact.rows(X), 50_000), rel=1e-9)
    wanted = exact.knn_accuracy(exact.rows(OTHER), LABELS.tolist(), exact.rows(X), LABELS.tolist(), K, 1e-6)
    assert evaluate.knn_accuracy(OTHER.float(), LABELS, X.float(), LABELS, K, 1e-6) == wanted


def test_a_network_in_another_precision_gets_images_in_it():
    for dtype in (torch.float64, torch.bfloat16, torch.float32):
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 4)).to(dtype)
        for images in (PICTURE[None], PICTURE[None].double()):
            assert evaluate.extract_features(network, images).dtype == torch.float32
