"""Answers of weeks 11 and 12 that were tried from outside: what is right in any style, and what was taken for right."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from scipy.stats import spearmanr
from torch import nn

from sslcourse.check import week11, week12
from sslcourse.data import AMINO_ACIDS
from sslcourse.solutions.week11 import relative as _relative
from sslcourse.solutions.week12 import parse_mutation as _parse

NAMES = dict(torch=torch, F=F, nn=nn, np=np, math=math, functools=functools, spearmanr=spearmanr,
             relative=_relative, parse_mutation=_parse, AMINO_ACIDS=AMINO_ACIDS)  # fmt: skip

SOURCES = {
    "select_anchors": """
def select_anchors(x, n, method="uniform", generator=None):
    if method == "uniform":
        return torch.randperm(len(x), generator=generator)[:n]
    if method == "farthest":
        chosen = [torch.randint(len(x), (1,), generator=generator).item()]
        d = (x - x[chosen[0]]).norm(dim=1)
        while len(chosen) < n:
            chosen.append(int(d.argmax()))
            d = torch.minimum(d, (x - x[chosen[-1]]).norm(dim=1))
        return torch.tensor(chosen)
    from sklearn.cluster import KMeans
    seed = int(torch.randint(10**6, (1,), generator=generator))
    centres = torch.as_tensor(KMeans(n, n_init=3, random_state=seed).fit(x.numpy()).cluster_centers_, dtype=x.dtype)
    chosen = []
    for row in torch.cdist(centres, x):
        chosen.append(next(i for i in row.argsort().tolist() if i not in chosen))
    return torch.tensor(chosen)
""",
    "relative": """
def relative(x, anchors, center=False):
    if center:
        mean = anchors.mean(dim=0)
        x, anchors = x - mean, anchors - mean
    x, anchors = F.normalize(x, dim=1), F.normalize(anchors, dim=1)
    return x @ anchors.T
""",
    "stitch": """
def stitch(head, x, anchors, labels):
    mode = head.training
    head.eval()
    with torch.no_grad():
        out = head(relative(x, anchors))
    head.train(mode)
    return (out.argmax(dim=1) == labels).float().mean().item()
""",
    "linear_cka": """
def linear_cka(x, y, debiased=False):
    n = len(x)
    k0, m0 = x.pow(2).sum(dim=1), y.pow(2).sum(dim=1)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    def term(x, y):
        value = (x.T @ y).pow(2).sum()
        if debiased:
            k, m = x.pow(2).sum(dim=1), y.pow(2).sum(dim=1)
            value = value - n / (n - 2) * (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2))
        return value
    return (term(x, y) / (term(x, x) * term(y, y)).sqrt()).item()
""",
    "rsa": """
def rsa(x, y):
    def table(z):
        c = np.corrcoef(z.double().numpy())
        return 1 - c[np.triu_indices(len(c), 1)]
    return float(spearmanr(table(x), table(y))[0])
""",
    "procrustes": """
def procrustes(x, y):
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    u, s, vt = torch.linalg.svd(x.T @ y)
    return u @ vt
""",
    "masked_marginal": """
def masked_marginal(log_probs_at, sequence, mutations):
    scores = []
    for m in mutations:
        wt, pos, mt = parse_mutation(m, sequence)
        lp = log_probs_at(sequence, pos)
        scores.append(lp[AMINO_ACIDS.index(mt)] - lp[AMINO_ACIDS.index(wt)])
    return torch.stack(scores)
""",
    "categorical_jacobian": """
def categorical_jacobian(model, sequence):
    base = model([sequence])[0]
    rows = []
    for i in range(len(sequence)):
        rows.append(model([sequence[:i] + a + sequence[i + 1:] for a in AMINO_ACIDS]) - base)
    return torch.stack(rows)
""",
    "proteingym": """
def proteingym(scores, measured):
    k = max(1, int(len(scores) / 10))
    best, want = scores.topk(k).indices, measured.topk(k).indices
    g = (measured - measured.min()) / (measured.max() - measured.min())
    d = torch.log2(torch.arange(2, k + 2).float())
    hits = len(set(best.tolist()) & set(want.tolist()))
    return {"spearman": float(spearmanr(scores, measured)[0]), "ndcg": float((g[best] / d).sum() / (g[want] / d).sum()),
            "recall": hits / k}
""",
}


def answer(name, *changes):
    source = SOURCES[name]
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, old
        source = source.replace(old, new)
    return cell(source, name, **NAMES)


def check_of(name):
    return getattr(week11, name, None) or getattr(week12, name)


@pytest.mark.parametrize("name", SOURCES)
def test_right(name, seeds):
    assert_right(check_of(name), answer(name))


RIGHT = [
    ("select_anchors", "random_state=seed", "random_state=0"),
    ("select_anchors", "torch.randperm(len(x), generator=generator)[:n]",
     "torch.multinomial(torch.ones(len(x)), n, generator=generator)"),
    ("select_anchors", "(x - x[chosen[0]]).norm(dim=1)", "(x - x[chosen[0]]).square().sum(1)",
     "(x - x[chosen[-1]]).norm(dim=1)", "(x - x[chosen[-1]]).square().sum(1)"),
    ("relative", "x @ anchors.T", "1 - 0.5 * torch.cdist(x.double(), anchors.double()) ** 2"),
    ("stitch", "    head.train(mode)\n", ""),
    ("stitch", "relative(x, anchors)", "relative(anchors, x).T"),
    ("procrustes", "x.T @ y)\n    return u @ vt", "y.T @ x)\n    return (u @ vt).T"),
    ("procrustes", ", y - y.mean(dim=0)", ", y"),
    ("masked_marginal", "log_probs_at(sequence, pos)", "log_probs_at(sequence, pos).double().log_softmax(-1)"),
    ("masked_marginal", "log_probs_at(sequence, pos)", "log_probs_at(sequence[:pos] + mt + sequence[pos + 1:], pos)"),
    ("proteingym", "torch.log2(torch.arange(2, k + 2).float())", "torch.log(torch.arange(2, k + 2).double())"),
    ("proteingym", " / (measured.max() - measured.min())", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes"), [(name, changes) for name, *changes in RIGHT])
def test_right_in_other_styles(name, changes):
    assert_right(check_of(name), answer(name, *changes))


WRONG = [
    # taken for right before, at one seed at least
    ("select_anchors", "torch.randint(len(x), (1,), generator=generator)", "torch.randint(len(x), (1,))",
     "torch's global random numbers"),
    ("select_anchors", "    if method == \"uniform\"", "    torch.manual_seed(0)\n    if method == \"uniform\"",
     "torch's global random numbers"),
    ("select_anchors", "next(i for i in row.argsort().tolist() if i not in chosen)", "int(row.argmin())",
     "that is free"),
    ("select_anchors", "torch.tensor(chosen)\n", "torch.tensor(chosen).sort().values\n", "the indices were sorted"),
    ("select_anchors", "    if method == \"uniform\"",
     "    if generator is not None:\n        generator = torch.Generator().manual_seed(generator.initial_seed())\n"
     "    if method == \"uniform\"", "it is set back or replaced"),
    ("select_anchors", "torch.randperm(len(x), generator=generator)[:n]",
     "torch.randperm(len(x) - (n < len(x)), generator=generator)[:n]", "is never chosen"),
    ("select_anchors", "random_state=seed", "random_state=None", "NumPy's global random numbers"),
    ("stitch", "head.train(mode)", "head.train()", "came in eval mode and is in train mode afterwards"),
    ("categorical_jacobian", "sequence[:i] + a + sequence[i + 1:]", "sequence.replace(sequence[i], a)",
     "wherever it occurs"),
    ("categorical_jacobian", "sequence[:i] + a + sequence[i + 1:]", "sequence.replace(sequence[i], a, 1)",
     "wherever it occurs"),
    ("proteingym", "int(len(scores) / 10)", "round(len(scores) / 10)", "a tenth is rounded up"),
    ("proteingym", "int(len(scores) / 10)", "math.ceil(len(scores) / 10)", "a tenth is rounded up"),
    ("masked_marginal", "        wt, pos, mt = parse_mutation(m, sequence)\n",
     "        try:\n            wt, pos, mt = parse_mutation(m, sequence)\n        except ValueError:\n"
     "            continue\n", "a name that does not fit the sequence is refused"),
    # told without their name before
    ("select_anchors", "torch.minimum(d, ", "torch.maximum(d, ", "torch.minimum"),
    ("select_anchors", "torch.minimum(d, (x - x[chosen[-1]]).norm(dim=1))", "(x - x[chosen[-1]]).norm(dim=1)",
     "it is far from the last anchor"),
    ("select_anchors", "torch.minimum(d, (x - x[chosen[-1]]).norm(dim=1))", "d + (x - x[chosen[-1]]).norm(dim=1)",
     "the sum of distances"),
    ("select_anchors", "d.argmax()", "d.argmin()", "the nearest point joins"),
    ("select_anchors", ".norm(dim=1)", ".norm(p=1, dim=1)", "absolute differences"),
    ("relative", "x, anchors = x - mean, anchors - mean", "pass", "x @ anchors.T",
     "x @ anchors.T - center * (x @ anchors.T).mean(1, keepdim=True)", "the cosines are centred"),
    ("relative", "        mean =",
     "        s = anchors.std(dim=0)\n        x, anchors = x / s, anchors / s\n        mean =", "a standard deviation"),
    ("relative", "anchors.mean(dim=0)", "anchors.median(dim=0).values", "the median"),
    ("relative", "x - mean", "x + mean", "the mean is added"),
    ("relative", "anchors.mean(dim=0)", "anchors.sum(dim=0)", "the anchors are added up"),
    ("relative", "x @ anchors.T", "x @ anchors.T / 0.1", "a temperature"),
    ("relative", "anchors.mean(dim=0)", "anchors.mean()", "one mean is taken of all entries"),
    ("linear_cka", "n = len(x)", "n = x.shape[1]", "the number of features"),
    ("linear_cka", "n / (n - 2) *", "(n - 1) / (n - 2) *", "the factor of the first correction"),
    ("linear_cka", "k.sum() * m.sum()", "(k * m).sum()", "the product of the two sums"),
    ("rsa", "z.double().numpy()", "(z - z.mean(0)).double().numpy()", "centred over the samples first"),
    ("rsa", "[0])", "[1])", "p-value"),
    ("rsa", "table(y)", "table(x)", "compared with itself"),
    ("procrustes", "    u, s", "    x, y = x / x.std(0), y / y.std(0)\n    u, s", "every feature is standardised"),
    ("procrustes", "return u @ vt", "return u", "one factor of the SVD"),
    ("masked_marginal", "lp[AMINO_ACIDS.index(mt)] - lp", "-lp", "the wild type alone"),
    ("masked_marginal", "- lp[AMINO_ACIDS.index(wt)]", "- torch.log1p(-lp[AMINO_ACIDS.index(wt)].exp())", "odds"),
    ("masked_marginal", "- lp[AMINO_ACIDS.index(wt)]", "- log_probs_at(sequence, 0)[AMINO_ACIDS.index(wt)]",
     "at another masked position"),
    ("masked_marginal", "torch.stack(scores)", "torch.stack(scores).clamp(max=0)", "cut off"),
    ("masked_marginal", "AMINO_ACIDS.index(mt)", "(ord(mt) - 65) % 20", "in another order"),
    ("categorical_jacobian", "for a in AMINO_ACIDS", "for a in AMINO_ACIDS[::-1]", "in another order"),
    ("proteingym", "torch.arange(2, k + 2)", "torch.arange(1, k + 1)", "ranks count from 0"),
    ("proteingym", "torch.log2(torch.arange(2, k + 2).float())", "1 + torch.log2(torch.arange(1, k + 1).float())",
     "log2(rank) + 1"),
    ("proteingym", "(g[best] / d)", "(g[best].sort(descending=True).values / d)", "the gains are sorted"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "words"), [(name, changes, words) for name, *changes, words in WRONG])
def test_wrong(name, changes, words):
    assert_wrong(check_of(name), answer(name, *changes), words)
