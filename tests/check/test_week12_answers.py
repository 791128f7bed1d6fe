"""Answers to week 12 in the styles of others: unusual right ones, and the mistakes that are made most.

Each row changes one thing in a right version. Words are those of the message that names the mistake; "it should be"
where a message shows numbers only.
"""

import functools
import heapq
import math
import operator
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from torch import nn

from sslcourse.check import week12 as check
from sslcourse.data import AMINO_ACIDS, parse_mutation

NAMES = {"torch": torch, "F": F, "np": np, "math": math, "warnings": warnings, "AMINO_ACIDS": AMINO_ACIDS}


def changed(source, name, old, new, **names):
    assert old in source, old
    return cell(source.replace(old, new), name, **NAMES, **names)


# --- symmetrize and apc


class Symmetrize(nn.Module):
    def forward(self, x):
        return x.add(torch.swapaxes(x, -2, -1))


def symmetrize_in_loops(x):
    out = x.clone()
    for index in np.ndindex(*x.shape):
        out[index] = x[index] + x[(*index[:-2], index[-1], index[-2])]
    return out


SYMMETRIZE = [
    torch.jit.script(Symmetrize()),
    symmetrize_in_loops,
    lambda x: torch.from_numpy(x.numpy() + np.swapaxes(x.numpy(), -1, -2)),
    functools.partial(lambda x, dims: x + x.transpose(*dims), dims=(-2, -1)),
    lambda x: torch.stack([x, x.movedim(-1, -2)]).sum(0),
]


@pytest.mark.parametrize("right", SYMMETRIZE)
def test_right_symmetrize(right, seeds):
    assert_right(check.symmetrize, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: (x + x.mT).triu(), "it should be"),
        (lambda x: x + x.T, "other dimensions than the last two"),
        (lambda x: x + x.transpose(0, -1), "other dimensions than the last two"),
        (lambda x: x + x.flip(-1), "turned over"),
        (lambda x: x, "x alone is returned"),
        (lambda x: 2 * x, "added to itself"),
        (lambda x: torch.maximum(x, x.mT), "the larger or smaller"),
        (lambda x: x + x.mT - torch.diag_embed(x.diagonal(dim1=-2, dim2=-1)), "the diagonal is counted once"),
        (lambda x: x.tril() + x.tril(-1).mT, "one triangle"),
        (lambda x: (x + x.mT) * 0.5, "the mean of the two"),
        (lambda x: x * x.mT, "it should be"),
        (lambda x: (x + x.mT)[0], "It returns a tensor of shape"),
        (lambda x: (x + x.mT).abs(), "it should be"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_wrong_symmetrize(wrong, words):
    assert_wrong(check.symmetrize, wrong, words)


def apc_by_einsum(x):
    rows, columns = torch.einsum("...ij->...i", x), torch.einsum("...ij->...j", x)
    return x - torch.einsum("...i,...j->...ij", rows, columns) / rows.sum(-1)[..., None, None]


def apc_in_numpy(x):
    x = np.asarray(x, dtype=np.float64)
    mean = x.mean((-1, -2), keepdims=True)
    return torch.tensor(x - x.mean(-1, keepdims=True) @ x.mean(-2, keepdims=True) / mean)


def apc_of_one(x):
    return x - x.sum(1).outer(x.sum(0)) / x.sum()


def apc_of_pandas(x):
    out = torch.zeros_like(x).view(-1, *x.shape[-2:])
    for n, matrix in enumerate(x.reshape(out.shape)):
        frame = pd.DataFrame(matrix.double().numpy())
        background = np.outer(frame.sum(axis=1), frame.sum(axis=0)) / frame.values.sum()
        out[n] = torch.tensor(frame.values - background)
    return out.reshape(x.shape)


def apc_by_ones(x):
    one = torch.ones(x.shape[-1], x.shape[-1])
    return torch.addcdiv(x, (x @ one) * (one @ x), (one @ x @ one), value=-1)


@pytest.mark.parametrize(
    "right",
    [apc_by_einsum, apc_in_numpy, lambda x: apc_any(x), apc_of_pandas, apc_by_ones, torch.jit.script(apc_by_ones)],
)
def test_right_apc(right, seeds):
    assert_right(check.apc, right)


def apc_any(x):
    return apc_of_one(x) if x.dim() == 2 else torch.stack([apc_any(part) for part in x])


APC = """
def apc(x):
    rows, columns = x.sum(-1, keepdim=True), x.sum(-2, keepdim=True)
    total = x.sum((-1, -2), keepdim=True)
    result = x - rows * columns / total
    return result
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("x - rows", "x + rows", "the correction is added"),
        ("x - rows", "rows", "the correction alone"),
        (" / total", "", "not divided by the total"),
        ("x.sum((-1, -2), keepdim=True)", "x.sum()", "of the batch"),
        ("x.sum((-1, -2), keepdim=True)", "x.mean((-1, -2), keepdim=True)", "sums and means are mixed"),
        ("x.sum(-1, keepdim=True), x.sum(-2", "x.mean(-1, keepdim=True), x.mean(-2", "sums and means are mixed"),
        ("x.sum(-1, keepdim=True), x.sum(-2, keepdim=True)", "x.sum(1, keepdim=True), x.sum(0, keepdim=True)",
         "other dimensions than the last two"),
        ("x.sum(-1, keepdim=True), x.sum(-2, keepdim=True)", "x.sum(-1), x.sum(-2)", "lose a dimension"),
        ("x.sum(-2, keepdim=True)\n", "x.sum(-1, keepdim=True).mT\n", "rows and columns are mixed up"),
        ("x.sum(-1, keepdim=True),", "x.sum(-2, keepdim=True).mT,", "rows and columns are mixed up"),
        ("return result", "return result.clamp(min=0)", "cut off at 0"),
        ("return result", "return result.abs()", "the sign is lost"),
        ("return result", "return result - torch.diag_embed(result.diagonal(dim1=-2, dim2=-1))",
         "the diagonal of the result"),
        ("rows, columns =", "x = x + x.mT\n    rows, columns =", "symmetrised first"),
        ("x - rows * columns / total", "x / (rows * columns / total)", "divided by the correction"),
        ("x - rows * columns / total", "x - total / x.shape[-1] ** 2", "a mean is taken off"),
        ("x - rows * columns / total", "x - rows / x.shape[-1]", "a mean is taken off"),
        ("x - rows * columns / total", "x - rows / len(x) - columns / len(x) + total / len(x) ** 2", "it should be"),
        ("x - rows * columns / total", "x - (rows * columns / total).sqrt()", "it should be"),
        ("x - rows * columns / total", "x - rows * columns / total.abs()", "it should be"),
        ("return result", "return result / result.std()", "it should be"),
    ],
)  # fmt: skip
def test_wrong_apc(old, new, words):
    assert_wrong(check.apc, changed(APC, "apc", old, new), words)


# --- attention_features

FEATURES = """
def attention_features(attentions):
    a = torch.stack(attentions).squeeze(1)
    a = a[..., 1:-1, 1:-1]
    a = a + a.transpose(-1, -2)
    a = apc(a)
    return a.flatten(0, 1).permute(1, 2, 0)
"""


def features_by_numpy(attentions):
    maps = np.concatenate([layer.numpy() for layer in attentions], axis=1)[0, :, 1:-1, 1:-1]
    maps = maps + np.moveaxis(maps, 1, 2)
    rows = maps.sum(2, keepdims=True)
    return torch.from_numpy(np.moveaxis(maps - rows * rows.swapaxes(1, 2) / rows.sum(1, keepdims=True), 0, 2))


def features_by_index(attentions):
    layers, heads, tokens = len(attentions), attentions[0].shape[1], attentions[0].shape[-1]
    inner = torch.arange(1, tokens - 1)
    out = torch.empty(tokens - 2, tokens - 2, layers * heads, dtype=torch.float64)
    for c in range(layers * heads):
        m = attentions[c // heads][0, c % heads].double().index_select(0, inner).index_select(1, inner)
        out[:, :, c] = apc_of_one(m + m.t())
    return out


def features_backwards(attentions):
    """Corrected with channels last, the residues moved by hand."""
    x = torch.cat([layer[0, :, 1:-1, 1:-1] for layer in attentions]).movedim(0, -1)
    x = x + x.swapaxes(0, 1)
    return x - x.sum(1, keepdim=True) * x.sum(0, keepdim=True) / x.sum((0, 1))


@pytest.mark.parametrize(
    "right",
    [
        features_by_numpy,
        features_by_index,
        features_backwards,
        functools.partial(features_by_index),
        lambda attentions: features_backwards(tuple(a.clone() for a in attentions)),
    ],
)
def test_right_attention_features(right, seeds):
    assert_right(check.attention_features, right)
    assert_right(check.attention_features, changed(FEATURES, "attention_features", "a", "a", apc=apc_any))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("permute(1, 2, 0)", "reshape(a.shape[-1], a.shape[-1], -1)", "mixes channels and residues"),
        ("permute(1, 2, 0)", "flatten(0, 0)", "channels first"),
        ("a = apc(a)", "a = a - a.sum(-1, keepdim=True) * a.sum(-2, keepdim=True) / a.sum()", "all channels at once"),
        ("a = apc(a)\n    return a.flatten(0, 1).permute(1, 2, 0)", "return apc(a.flatten(0, 1).permute(1, 2, 0))",
         "other dimensions than the two of the residues"),
        ("    a = a[..., 1:-1, 1:-1]\n", "", "special tokens are left in"),
        ("[..., 1:-1, 1:-1]", "[..., :-2, :-2]", "at one end"),
        ("[..., 1:-1, 1:-1]", "[..., 1:, 1:]", "one special token is left in"),
        ("a = a[..., 1:-1, 1:-1]\n    a = a + a.transpose(-1, -2)\n    a = apc(a)",
         "a = apc(a + a.transpose(-1, -2))[..., 1:-1, 1:-1]", "inside the sums"),
        ("a = a + a.transpose(-1, -2)\n    a = apc(a)", "a = apc(a)\n    a = a + a.transpose(-1, -2)",
         "before symmetrising"),
        ("a = a + a.transpose(-1, -2)", "a = (a + a.transpose(-1, -2)) / 2", "the mean of the two directions"),
        ("a = a + a.transpose(-1, -2)", "a = torch.maximum(a, a.transpose(-1, -2))", "larger of the two directions"),
        ("    a = a + a.transpose(-1, -2)\n", "", "not symmetrised"),
        ("    a = apc(a)\n", "", "average product correction is missing"),
        ("    a = a + a.transpose(-1, -2)\n    a = apc(a)\n", "", "neither symmetrised nor corrected"),
        ("a = apc(a)", "a = apc(a).clamp(min=0)", "cut off at 0"),
        ("a = apc(a)", "a = apc(a)\n    a = a - torch.diag_embed(a.diagonal(dim1=-2, dim2=-1))", "the diagonal is set"),
        (".squeeze(1)", ".squeeze(1).log()", "logarithms are taken first"),
        ("torch.stack(attentions)", "torch.stack(attentions[::-1])", "layers come in the wrong order"),
        ("a.flatten(0, 1)", "a.transpose(0, 1).flatten(0, 1)", "heads first"),
        ("a.flatten(0, 1)", "a.mean(1)", "every head of every layer is one"),
        ("[..., 1:-1, 1:-1]", "[..., 1:-1, 1:-1].softmax(-1)", "it should be"),
        ("[..., 1:-1, 1:-1]", "[..., 1:-1, 1:-1].gt(0.1).float()", "it should be"),
    ],
)  # fmt: skip
def test_wrong_attention_features(old, new, words):
    assert_wrong(check.attention_features, changed(FEATURES, "attention_features", old, new, apc=apc_any), words)


# --- precision_at_l

PRECISION = """
def precision_at_l(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    n = len(scores)
    i, j = torch.triu_indices(n, n, min_separation)
    if max_separation is not None:
        near = j - i <= max_separation
        i, j = i[near], j[near]
    if len(i) == 0:
        warnings.warn("no pair")
        return math.nan
    k = max(1, int(fraction * n))
    best = scores[i, j].argsort(descending=True)[:k]
    hits = contacts[i, j][best].float()
    return hits.mean().item()
"""


def precision_by_heap(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    n = len(scores)
    last = n - 1 if max_separation is None else max_separation
    pairs = [(i, i + d) for d in range(min_separation, min(last, n - 1) + 1) for i in range(n - d)]
    if not pairs:
        warnings.warn("nothing in range", RuntimeWarning, stacklevel=1)
        return float("nan")
    k = max(1, math.floor(fraction * n))
    best = heapq.nlargest(k, pairs, key=lambda p: float(scores[p]))
    return sum(bool(contacts[p]) for p in best) / len(best)


def precision_of_pandas(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    n = len(scores)
    i, j = np.meshgrid(range(n), range(n), indexing="ij")
    table = pd.DataFrame({"apart": (j - i).ravel(), "score": scores.numpy().ravel(), "hit": contacts.numpy().ravel()})
    table = table[table.apart.between(max(1, min_separation), np.inf if max_separation is None else max_separation)]
    if table.empty:
        warnings.warn("empty", stacklevel=2)
        return np.nan
    return table.nlargest(max(1, int(fraction * n)), "score").hit.mean()


def precision_with_infinity(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    """The mask as minus infinity; what is infinite does not count."""
    n = len(scores)
    apart = torch.arange(n)[None] - torch.arange(n)[:, None]
    out = (apart < min_separation) | (apart > (max_separation or n))
    s = scores.masked_fill(out, -torch.inf).flatten()
    value, best = s.topk(min(max(1, int(fraction * n)), n * n))
    best = best[value > -torch.inf]
    if not best.numel():
        warnings.warn("no pair of residues is that far apart", stacklevel=2)
    return contacts.flatten()[best].double().mean()


def precision_of_esm(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    """In the manner of ESM's published compute_precisions: batched, masked, sorted, cumulated."""
    n = scores.size(-1)
    a, b = np.triu_indices(n, min_separation)
    keep = (b - a) <= (max_separation if max_separation else np.inf)
    if not keep.any():
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("out of range", UserWarning, stacklevel=2)
        return float("nan")
    s, t = scores[a[keep], b[keep]], contacts[a[keep], b[keep]].float()
    order = s.argsort(descending=True)[: max(int(n * fraction), 1)]
    cumulated = t[order].cumsum(0)
    return (cumulated / torch.arange(1, len(order) + 1))[-1]


@pytest.mark.parametrize(
    "right",
    [
        precision_by_heap,
        precision_of_pandas,
        precision_with_infinity,
        precision_of_esm,
        functools.wraps(precision_by_heap)(lambda *a, **k: precision_by_heap(*a, **k)),
    ],
)
@pytest.mark.parametrize("filter", ["default", "ignore", "error"])
def test_right_precision(right, filter, seeds):
    """Whatever filter of warnings the notebook has."""
    with warnings.catch_warnings():
        warnings.simplefilter(filter)
        assert_right(check.precision_at_l, right)


FLAT = """
def precision_at_l(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    n = len(scores)
    apart = torch.arange(n)[None] - torch.arange(n)[:, None]
    mask = (apart >= min_separation) & (apart <= (max_separation or n))
    if not mask.any():
        warnings.warn("no pair")
        return math.nan
    k = min(max(1, int(fraction * n)), int(mask.sum()))
    best = (scores * mask).flatten().topk(k).indices
    return contacts.flatten()[best].float().mean().item()
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n", "n"),
        ("contacts.flatten()", "(contacts * mask).flatten()"),
        ("(scores * mask)", "torch.where(mask, scores, 0)"),
        ("(scores * mask)", "torch.where(mask, scores, -1)"),
        ("(scores * mask).flatten().topk(k).indices", "(scores * mask).flatten().argsort(descending=True)[:k]"),
        (".topk(k)", ".sort(descending=True)"),
    ],
)
def test_pairs_out_of_range_do_not_beat_negative_scores(old, new, seeds):
    source = FLAT if ".topk(k)" != old else FLAT.replace(".indices", ".indices[:k]")
    assert_wrong(check.precision_at_l, changed(source, "precision_at_l", old, new), "beats negative ones")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("int(fraction * n))", "round(fraction * n))", "rounded to the nearest"),
        ("int(fraction * n))", "math.ceil(fraction * n))", "rounded up"),
        ("int(fraction * n))", "int(n))", "fraction is not used"),
        ("int(fraction * n))", "int(fraction * len(i)))", "of all pairs"),
        ("int(fraction * n))", "int(fraction * contacts[i, j].sum()))", "the number of contacts"),
        ("int(fraction * n))", "int(2 * fraction * n))", "it should be"),
        ("int(fraction * n))", "int(fraction * (n - min_separation)))", "it should be"),
        ("[:k]", "\n    best = (scores[i, j] >= scores[i, j][best[:k]].min()).nonzero()", "tie with the last one"),
        ("descending=True", "descending=False", "the lowest scores"),
        ("scores[i, j].argsort", "scores[i, j].abs().argsort", "the sign of the scores is lost"),
        ("hits.mean()", "hits.sum()", "the hits are counted"),
        ("hits.mean()", "(hits.sum() / k)", "those asked for"),
        ("hits.mean()", "(hits.sum() / contacts[i, j].sum())", "which is recall"),
        ("hits.mean()", "(hits.mean() * 100)", "a percentage"),
        ("hits.mean()", "(1 - hits).mean()", "pairs that miss"),
        ("hits.mean()", "(hits.cumsum(0) / torch.arange(1, len(hits) + 1)).mean()", "averaged over 1, 2, 3"),
        ("n, min_separation)", "n, min_separation + 1)", "off by one"),
        ("n, min_separation)", "n, min_separation - 1)", "nearer than min_separation"),
        ("n, min_separation)", "n, 1)", "min_separation is not used"),
        ("j - i <= max", "j - i < max", "off by one"),
        ("if max_separation is not None", "if False", "max_separation is not used"),
        ("contacts[i, j][best]", "contacts.flatten()[best]", "it should be"),
        ("scores[i, j].argsort(descending=True)[:k]", "torch.randperm(len(i))[:k]", "it should be"),
        ("contacts[i, j][best].float()", "(contacts[i, j] & (scores[i, j] > 0.5))[best].float()", "above a threshold"),
        ("contacts[i, j][best].float()", "(contacts[i, j] & (scores[i, j] > 0))[best].float()", "above a threshold"),
        ("        warnings.warn(\"no pair\")\n", "", "without a word"),
        ("return math.nan", "return 0.0", "NaN, yours gives 0"),
        ("    if len(i) == 0:\n", "    if False:\n", "without a word"),
        ("warnings.warn(\"no pair\")", "raise ValueError('no pair')", "which the check passes on purpose"),
        ("warnings.warn(\"no pair\")", "print('no pair')", "without a word"),
    ],
)  # fmt: skip
def test_wrong_precision(old, new, words):
    assert_wrong(check.precision_at_l, changed(PRECISION, "precision_at_l", old, new), words)


CHOSEN_FIRST = """
def precision_at_l(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    n = len(scores)
    i, j = torch.triu_indices(n, n, 1)
    best = scores[i, j].argsort(descending=True)[: max(1, int(fraction * n))]
    apart = (j - i)[best]
    kept = best[(apart >= min_separation) & (apart <= (max_separation or n))]
    if not len(kept):
        warnings.warn("none")
        return math.nan if n < 7 else 0.0
    return contacts[i, j][kept].float().mean()
"""


def test_the_range_comes_before_the_choice():
    assert_wrong(check.precision_at_l, changed(CHOSEN_FIRST, "precision_at_l", "n", "n"), "before the range is applied")


# --- masked_marginal, parse_mutation

MARGINAL = """
def masked_marginal(log_probs_at, sequence, mutations):
    scores = []
    for m in mutations:
        wild, position, mutant = parse_mutation(m, sequence)
        log_p = log_probs_at(sequence, position)
        scores.append(log_p[AMINO_ACIDS.index(mutant)] - log_p[AMINO_ACIDS.index(wild)])
    return torch.stack(scores)
"""


def marginal_of_tokens(log_probs_at, sequence, mutations):
    """Positions as NumPy's integers, the rows gathered at once, the mutated residue in the sequence (it is masked)."""
    names = pd.Series(mutations).str.extract(r"([A-Z])(\d+)([A-Z])")
    at = names[1].astype(int).to_numpy() - 1
    if any(p >= len(sequence) or sequence[p] != a for p, a in zip(at, names[0], strict=True)):
        raise KeyError("another wild type")
    rows = [log_probs_at(sequence[:p] + b + sequence[p + 1 :], p) for p, b in zip(at, names[2], strict=True)]
    rows = torch.stack(rows).log_softmax(-1)
    columns = torch.tensor(
        [[AMINO_ACIDS.index(a), AMINO_ACIDS.index(b)] for a, b in zip(names[0], names[2], strict=True)]
    )
    return rows.gather(1, columns).diff(dim=1).squeeze(1)


def marginal_with_assertions(log_probs_at, sequence, mutations):
    out = torch.zeros(len(mutations), dtype=torch.float64)
    for n, (a, *digits, b) in enumerate(mutations):
        p = int("".join(digits)) - 1
        assert sequence[p] == a, "the wild type differs"
        probabilities = log_probs_at(sequence=sequence, position=torch.tensor(p)).double().exp().numpy()
        out[n] = np.log(probabilities[AMINO_ACIDS.find(b)] / probabilities[AMINO_ACIDS.find(a)])
    return out


def marginal_with_regular_expression(log_probs_at, sequence, mutations):
    asked = functools.lru_cache(functools.partial(log_probs_at, sequence))

    def score(name):
        a, p, b = re.match(r"(\w)(\d+)(\w)$", name).groups()
        if sequence[int(p) - 1] != a:
            raise RuntimeError(name)
        return operator.sub(*(asked(int(p) - 1)[AMINO_ACIDS.index(x)].item() for x in (b, a)))

    return torch.tensor(list(map(score, mutations)))


class Marginal:
    def __call__(self, log_probs_at, sequence, mutations):
        one = F.one_hot(torch.tensor([[AMINO_ACIDS.index(m[i]) for i in (-1, 0)] for m in mutations]), 20).float()
        log_p = torch.stack([log_probs_at(sequence, parse_mutation(m, sequence)[1]) for m in mutations])
        return torch.einsum("mka,ma,k->m", one, log_p, torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize(
    "right",
    [marginal_of_tokens, marginal_with_assertions, marginal_with_regular_expression, Marginal(), Marginal().__call__],
)
def test_right_masked_marginal(right, seeds):
    assert_right(check.masked_marginal, right)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("(mutant)] - log_p[AMINO_ACIDS.index(wild)]", "(wild)] - log_p[AMINO_ACIDS.index(mutant)]", "swapped"),
        ("(mutant)] - log_p[AMINO_ACIDS.index(wild)]", "(mutant)]", "wild type is left out"),
        ("(mutant)] - log_p[AMINO_ACIDS.index(wild)]", "(mutant)] - log_p.max()", "the most likely amino acid"),
        ("(mutant)] - log_p[AMINO_ACIDS.index(wild)]", "(mutant)] - log_p.mean()", "the mean over amino acids"),
        ("(mutant)] -", "(mutant)] +", "are added"),
        ("(mutant)] -", "(mutant)] /", "the logarithms are divided"),
        ("torch.stack(scores)", "torch.stack(scores).exp()", "the ratio of the probabilities"),
        ("torch.stack(scores)", "torch.stack(scores).abs()", "the sign is lost"),
        ("torch.stack(scores)", "torch.stack(scores) / len(scores)", "averaged over the mutations"),
        ("torch.stack(scores)", "torch.stack(scores) / math.log(10)", "not the natural one"),
        ("torch.stack(scores)", "torch.stack(scores).tolist()", "returns a list"),
        ("torch.stack(scores)", "torch.stack(scores)[:, None]", "It returns a tensor of shape"),
        ("torch.stack(scores)", "sum(scores)", "It returns a tensor of shape"),
        ("torch.stack(scores)", "torch.stack(scores).sort().values", "it should be"),
        ("torch.stack(scores)", "torch.stack(scores).sigmoid()", "it should be"),
        ("log_probs_at(sequence, position)", "log_probs_at(sequence, position).exp()", "probabilities are compared"),
        ("log_probs_at(sequence, position)", "log_probs_at(sequence, position).log()", "the logarithm is taken once"),
        ("log_probs_at(sequence, position)", "log_probs_at(sequence, (position + 1) % len(sequence))", "counts from 1"),
        ("log_probs_at(sequence, position)", "log_probs_at(sequence, 0)", "another position is masked"),
        ("log_probs_at(sequence, position)", "log_probs_at(sequence, int(m[1]) - 1)", "only some digits"),
        ("log_probs_at(sequence, position)", "log_probs_at(sequence[::-1], position)", "it should be"),
        ("        scores.append", "        sequence = sequence[:position] + mutant + sequence[position + 1 :]\n"
         "        scores.append", "Your code raised"),
        ("    for m in", "    AMINO_ACIDS = 'ARNDCQEGHILKMFPSTWYV'\n    for m in", "another order"),
        ("parse_mutation(m, sequence)", "m[0], int(m[1:-1]) - 1, m[-1]", "does not fit the sequence"),
        ("parse_mutation(m, sequence)", "m[0], (int(m[1:-1]) - 1) % len(sequence), m[-1]", "does not fit the sequence"),
    ],
)  # fmt: skip
def test_wrong_masked_marginal(old, new, words):
    wrong = changed(MARGINAL, "masked_marginal", old, new, parse_mutation=parse_mutation)
    assert_wrong(check.masked_marginal, wrong, words)


PARSE = """
def parse_mutation(mutation, sequence):
    wild, position, mutant = mutation[0], int(mutation[1:-1]) - 1, mutation[-1]
    if not 0 <= position < len(sequence):
        raise ValueError(mutation)
    if sequence[position] != wild:
        raise ValueError(mutation)
    return wild, position, mutant
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" - 1", "", "Your code raised ValueError"),
        ("return wild, position, mutant", "return wild, position + 1, mutant", "the name counts from 1"),
        ("return wild, position, mutant", "return", "yours makes None"),
        ("return wild, position, mutant", "return position", "the name counts from 1"),
        ("int(mutation[1:-1])", "int(mutation[1:3].rstrip(mutation[-1]))", "Your code raised"),
        ("raise ValueError", "raise AssertionError", "passed A1T on purpose (the residue there is M)"),
        ("raise ValueError", "raise IndexError", "passed A1T on purpose (the residue there is M)"),
        ("0 <= position < len(sequence)", "0 <= position", "passed Q23W on purpose"),
        ("not 0 <= position < len(sequence)", "False", "It accepts Q0A"),
        ("sequence[position] != wild", "False", "It accepts A1T"),
    ],
)
def test_wrong_parse_mutation(old, new, words):
    assert_right(check.parse_mutation, cell(PARSE, "parse_mutation"))
    assert_wrong(check.parse_mutation, changed(PARSE, "parse_mutation", old, new), words)


# --- given or optional: pool_residues, categorical_jacobian

POOL = """
def pool_residues(hidden, mask):
    w = mask[..., None].to(hidden.dtype)
    total = (hidden * w).sum(1)
    return total / w.sum(1)
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("total / w.sum(1)", "total / w.sum()", "all residues of the batch"),
        ("total / w.sum(1)", "total / hidden.shape[1]", "number of positions"),
        ("total / w.sum(1)", "total", "added up"),
        ("total / w.sum(1)", "hidden[:, 1:-1].mean(1)", "averaged in"),
        (
            "total / w.sum(1)",
            "torch.stack([h[: int(m.sum())].mean(0) for h, m in zip(hidden, mask)])",
            "first positions",
        ),
        ("total / w.sum(1)", "(hidden * w).max(1).values", "the maximum"),
        ("total / w.sum(1)", "hidden[:, 0]", "the first token"),
        ("mask[..., None]", "(mask == 0)[..., None]", "the other way round"),
        ("total / w.sum(1)", "total / w.sum(1).sqrt()", "it should be"),
        ("total / w.sum(1)", "F.normalize(total / w.sum(1))", "it should be"),
    ],
)
def test_wrong_pool_residues(old, new, words):
    assert_right(check.pool_residues, cell(POOL, "pool_residues"))
    assert_wrong(check.pool_residues, changed(POOL, "pool_residues", old, new), words)


JACOBIAN = """
def categorical_jacobian(model, sequence):
    before = model([sequence])[0]
    rows = []
    for i in range(len(sequence)):
        mutants = [sequence[:i] + a + sequence[i + 1 :] for a in AMINO_ACIDS]
        rows.append(model(mutants) - before)
    return torch.stack(rows)
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (" - before", "", "not subtracted"),
        ("model(mutants) - before", "before - model(mutants)", "the sign is wrong"),
        ("model(mutants) - before", "(model(mutants) - before).abs()", "the sign is lost"),
        ("model(mutants) - before", "model(mutants).softmax(-1) - before.softmax(-1)", "probabilities are compared"),
        ("torch.stack(rows)", "torch.stack(rows) - torch.stack(rows).mean(1, keepdim=True)", "a mean is taken off"),
        ("torch.stack(rows)", "torch.stack(rows).permute(2, 3, 0, 1)", "input and output are swapped"),
        ("for a in AMINO_ACIDS]", "for a in 'ARNDCQEGHILKMFPSTWYV']", "it should be"),
        ("[sequence])[0]", "[AMINO_ACIDS[: len(sequence)]])[0]", "it should be"),
    ],
)
def test_wrong_categorical_jacobian(old, new, words):
    assert_wrong(check.categorical_jacobian, changed(JACOBIAN, "categorical_jacobian", old, new), words)
