"""The checks of week 12: right versions in several styles are accepted, each named mistake has a message of its own.

The wrong versions are written as students write them, not with the transcriptions that the checks know them by.
"""

import functools
import math
import warnings

import numpy as np
import pytest
import torch
from harness import assert_right, assert_wrong, verdict
from transformers.models.esm import modeling_esm

import sslcourse
from sslcourse import data, evaluate
from sslcourse.check import week12 as check
from sslcourse.check.week12 import oracle
from sslcourse.data import AMINO_ACIDS

NAMES = (
    "symmetrize",
    "apc",
    "attention_features",
    "ContactHead",
    "precision_at_l",
    "parse_mutation",
    "masked_marginal",
)
NAMES += ("pool_residues", "categorical_jacobian")


def reference(name):
    """The solved exercise, without the mark of a reference."""
    solved = sslcourse.solution("week12", name)
    if isinstance(solved, type):
        return type(name, (solved,), {"fit": lambda self, *a: super(type(self), self).fit(*a)})
    return lambda *args, **kwargs: solved(*args, **kwargs)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_is_right(name, seeds):
    assert_right(getattr(check, name), reference(name))


@pytest.mark.parametrize("name", NAMES)
def test_blank_is_not_attempted(name):
    if name != "ContactHead":

        def blank(*args, **kwargs):
            raise NotImplementedError()

        assert verdict(getattr(check, name), blank)[0] == "not attempted"


# --- symmetrize and apc


def symmetrize(x):
    return x + x.transpose(-1, -2)


@pytest.mark.parametrize(
    "right",
    [lambda x: x + x.mT, lambda x: torch.einsum("...ij->...ji", x) + x, modeling_esm.symmetrize],
)
def test_right_symmetrize(right, seeds):
    assert_right(check.symmetrize, right)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: (x + x.mT) / 2, "the mean of the two"),
        (lambda x: x - x.mT, "subtracted"),
        (lambda x: x @ x.mT, "multiplied"),
        (lambda x: x.triu() + x.triu(1).mT, "one triangle"),
        (lambda x: x.mT, "the transpose alone"),
        (lambda x: x, "it should be"),
        (lambda x: x + x.flip(-1), "it should be"),
        (lambda x: x + x.mT + 1e-2, "it should be"),
        (lambda x: x + x.transpose(0, 1) if len(set(x.shape)) < 3 or x.dim() == 2 else x + x.mT, "other dimensions"),
        (lambda x: x.add_(x.mT.clone()), "in place"),
        (lambda x: print(), "returns None"),
        (lambda x: x.sum(), "shape ()"),
    ],
)
def test_wrong_symmetrize(wrong, words):
    assert_wrong(check.symmetrize, wrong, words)


def apc(x):
    return x - x.sum(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.sum((-1, -2), keepdim=True)


def apc_of_means(x):
    return x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True) / x.mean((-1, -2), keepdim=True)


def apc_in_a_loop(x):
    flat = [m - torch.outer(m.sum(1), m.sum(0)) / m.sum() for m in x.reshape(-1, *x.shape[-2:])]
    return torch.stack(flat).view_as(x)


@pytest.mark.parametrize("right", [apc, apc_of_means, apc_in_a_loop, modeling_esm.average_product_correct])
def test_right_apc(right, seeds):
    assert_right(check.apc, right)


def off(x):
    return x - torch.diag_embed(x.diagonal(dim1=-1, dim2=-2))


def sums_by_the_mean(x):
    return x - x.sum(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.mean((-1, -2), keepdim=True)


def means_by_the_sum(x):
    return x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True) / x.sum((-1, -2), keepdim=True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: 2 * x - apc(x), "is added"),
        (lambda x: x - apc(x), "correction alone"),
        (lambda x: x - x.sum(-1, keepdim=True) * x.sum(-2, keepdim=True), "not divided by the total"),
        (sums_by_the_mean, "sums and means are mixed"),
        (means_by_the_sum, "sums and means are mixed"),
        (lambda x: x - x.sum(-1, keepdim=True) * x.sum(-2, keepdim=True) / x.sum(), "of the batch"),
        (lambda x: x - (off(x) - apc(off(x))), "the diagonal"),
        (lambda x: off(apc(off(x))), "the diagonal"),
        (lambda x: x - (x - apc(x)).mT, "rows and columns are mixed up"),
        (
            lambda x: x - x.sum(-1, keepdim=True) * x.sum(-1, keepdim=True).mT / x.sum((-1, -2), keepdim=True),
            "rows and columns are mixed up",
        ),
        (lambda x: x - x.mean(-1, keepdim=True) * x.mean(-2, keepdim=True), "dividing by the mean of all"),
        (
            lambda x: x - x.mean(-1, keepdim=True) - x.mean(-2, keepdim=True) + x.mean((-1, -2), keepdim=True),
            "additive",
        ),
        (lambda x: apc(x + x.mT), "it should be"),
        (lambda x: x - x.mean((-1, -2), keepdim=True), "it should be"),
        (lambda x: apc(x).sum(-1), "it should be (5, 5)"),
    ],
)
def test_wrong_apc(wrong, words):
    assert_wrong(check.apc, wrong, words)


def test_the_oracle_of_apc_is_a_count_by_hand():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    wanted = [[1 - 3 * 4 / 10, 2 - 3 * 6 / 10], [3 - 7 * 4 / 10, 4 - 7 * 6 / 10]]
    torch.testing.assert_close(oracle.apc(x), torch.tensor(wanted, dtype=torch.float64))


# --- attention_features


def attention_features(attentions):
    maps = torch.cat(attentions, 1)[0, :, 1:-1, 1:-1]
    return apc(maps + maps.mT).permute(1, 2, 0)


def features_one_by_one(attentions):
    channels = []
    for layer in attentions:
        for head in layer.squeeze(0).unbind():
            a = head[1:-1, 1:-1].clone()
            a += head[1:-1, 1:-1].T
            channels.append(apc(a))
    return torch.stack(channels, -1)


def features_of_esm(attentions):
    """What transformers' contact head hands to its regression, one channel at a time."""
    stacked = torch.stack(attentions, dim=1)  # (1, layers, heads, T, T)
    tokens = torch.full((1, stacked.shape[-1]), 5)
    tokens[0, 0], tokens[0, -1] = 0, 2
    head = modeling_esm.EsmContactPredictionHead(stacked.shape[1] * stacked.shape[2], bias=False)
    head.activation = torch.nn.Identity()
    channels = []
    for c in range(head.in_features):
        with torch.no_grad():
            head.regression.weight.copy_(torch.eye(head.in_features)[c : c + 1])
            channels.append(head(tokens, stacked)[0])
    return torch.stack(channels, dim=-1)


@pytest.mark.parametrize("right", [attention_features, features_one_by_one, features_of_esm])
def test_right_attention_features(right, seeds):
    assert_right(check.attention_features, right)


def cat(attentions):
    return torch.cat(attentions, 1)[0]


def mean_of_directions(attentions):
    a = cat(attentions)[:, 1:-1, 1:-1]
    return apc((a + a.mT) / 2).permute(1, 2, 0)


def corrected_first(attentions):
    a = apc(cat(attentions)[:, 1:-1, 1:-1])
    return (a + a.mT).permute(1, 2, 0)


def renormalised(attentions):
    a = cat(attentions)[:, 1:-1, 1:-1]
    a = a / a.sum(-1, keepdim=True)
    return apc(a + a.mT).permute(1, 2, 0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a: apc(symmetrize(cat(a))).permute(1, 2, 0), "special tokens are left in"),
        (lambda a: apc(symmetrize(cat(a)))[:, 1:-1, 1:-1].permute(1, 2, 0), "inside the sums"),
        (lambda a: symmetrize(apc(cat(a)))[:, 1:-1, 1:-1].permute(1, 2, 0), "inside the sums"),
        (corrected_first, "before symmetrising"),
        (mean_of_directions, "the mean of the two directions"),
        (lambda a: apc(cat(a)[:, 1:-1, 1:-1]).permute(1, 2, 0), "not symmetrised"),
        (lambda a: symmetrize(cat(a)[:, 1:-1, 1:-1]).permute(1, 2, 0), "correction is missing"),
        (lambda a: apc(symmetrize(cat(a)[:, 2:, 2:])).permute(1, 2, 0), "at one end"),
        (lambda a: apc(symmetrize(cat(a)[:, :-2, :-2])).permute(1, 2, 0), "at one end"),
        (lambda a: attention_features([torch.stack(a, 2).flatten(1, 2)]), "heads first"),
        (renormalised, "sum to 1 again"),
        (lambda a: apc(symmetrize(cat(a)[:, 1:-1, 1:-1])), "channels first"),
        (lambda a: attention_features(a)[None], "it should be"),
        (lambda a: attention_features(a[-1:]), "it should be"),
        (lambda a: attention_features([sum(a) / len(a)]), "it should be"),
        (lambda a: attention_features(a).softmax(-1), "it should be"),
        (lambda a: print(), "returns None"),
    ],
)
def test_wrong_attention_features(wrong, words):
    assert_wrong(check.attention_features, wrong, words)


def test_contact_head_rejects_what_is_none():
    solved = sslcourse.solution("week12", "ContactHead")

    class Near(solved):
        def __init__(self):
            super().__init__(min_separation=1)

    class Sum(solved):
        def __call__(self, features):
            return features.sum(-1)

    class OneSided(solved):
        def __call__(self, features):
            return super().__call__(features).triu()

    assert_wrong(check.ContactHead, Near, "does not find contacts")
    assert_wrong(check.ContactHead, Sum, "probabilities lie in")
    assert_wrong(check.ContactHead, OneSided, "not symmetric")


# --- precision_at_l


def precision_at_l(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    n = len(scores)
    i, j = np.triu_indices(n, min_separation)
    if max_separation is not None:
        i, j = i[j - i <= max_separation], j[j - i <= max_separation]
    if not len(i):
        warnings.warn("no pair", stacklevel=2)
        return math.nan
    order = np.argsort(-scores.numpy()[i, j])[: max(1, int(fraction * n))]
    return float(contacts.numpy()[i, j][order].mean())


def precision_by_mask(scores, contacts, min_separation=6, max_separation=None, fraction=1.0):
    n = len(scores)
    apart = torch.arange(n)[None] - torch.arange(n)[:, None]
    kept = (apart >= min_separation) & (apart <= (n if max_separation is None else max_separation))
    if not kept.any():
        warnings.warn("no pair", stacklevel=2)
        return torch.tensor(float("nan"))
    k = min(max(1, int(n * fraction)), int(kept.sum()))
    return contacts[kept][scores[kept].topk(k).indices].float().mean()


@pytest.mark.parametrize("right", [precision_at_l, precision_by_mask, evaluate.precision_at_l])
def test_right_precision(right, seeds):
    assert_right(check.precision_at_l, right)


def both_triangles(scores, contacts, low=6, high=None, fraction=1.0):
    n = len(scores)
    apart = (torch.arange(n)[None] - torch.arange(n)[:, None]).abs()
    kept = (apart >= low) & (apart <= (high or n))
    best = scores[kept].argsort(descending=True)[: max(1, int(fraction * n))]
    return contacts[kept][best].double().mean()


def with_count(count, over=None):
    def wrong(scores, contacts, low=6, high=None, fraction=1.0):
        n = len(scores)
        i, j = torch.triu_indices(n, n, low)
        keep = j - i <= (high or n)
        i, j = i[keep], j[keep]
        k = max(1, int(count(n, contacts[i, j], fraction)))
        hits = contacts[i, j][scores[i, j].argsort(descending=True)[:k]].double()
        return hits.mean() if over is None else hits.sum() / over(k, contacts[i, j])

    return wrong


def by_topk(s, c, low=6, high=None, f=1.0, lowest=False, first=False):
    """With topk. first: the best of all pairs are chosen, and those out of range dropped."""
    n = len(s)
    i, j = torch.triu_indices(n, n, 1)
    taken = max(1, int(f * n))
    if first:
        best = s[i, j].topk(min(taken, len(i))).indices
        i, j = i[best], j[best]
    kept = (j - i >= low) & (j - i <= (n if high is None else high))
    i, j = i[kept], j[kept]
    if not len(i):
        return math.nan
    return c[i, j][s[i, j].topk(min(taken, len(i)), largest=not lowest).indices].double().mean().item()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (both_triangles, "counts twice"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, low + 1, high, f), "off by one"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, low, high and high - 1, f), "off by one"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, low - 1, high, f), "nearer than min_separation"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, 1, high, f), "min_separation is not used"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, low, None, f), "max_separation is not used"),
        (
            lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, low, high and low + high, f),
            "max_separation is counted from min_separation on",
        ),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, low, high, 1.0), "fraction is not used"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(-s, c, low, high, f), "the lowest scores"),
        (functools.partial(by_topk, lowest=True), "the lowest scores"),
        (functools.partial(by_topk, first=True), "before the range is applied"),
        (with_count(lambda n, c, f: f * c.sum()), "the number of contacts"),
        (with_count(lambda n, c, f: math.ceil(f * n)), "rounded up"),
        (with_count(lambda n, c, f: f * len(c)), "of all pairs"),
        (with_count(lambda n, c, f: f * n, lambda k, c: c.sum()), "which is recall"),
        (with_count(lambda n, c, f: f * n, lambda k, c: k), "those asked for"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s, c, low, high, f) / 2, "Count by hand"),
        (lambda s, c, low=6, high=None, f=1.0: precision_at_l(s.flip(0), c, low, high, f), "Count by hand"),
        (lambda s, c, low=6, high=None, f=1.0: s, "should be a scalar"),
    ],
)
def test_wrong_precision(wrong, words):
    assert_wrong(check.precision_at_l, wrong, words)


def test_precision_without_pairs():
    def silent(*args):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return precision_at_l(*args)

    def zero(*args):
        value = silent(*args)
        return 0.0 if math.isnan(value) else value

    assert_wrong(check.precision_at_l, silent, "without a word")
    assert_wrong(check.precision_at_l, zero, "NaN, yours gives 0")
    assert "your code warned" not in verdict(check.precision_at_l, precision_at_l)[1]


# --- mutations


@pytest.mark.parametrize(
    "right",
    [data.parse_mutation, lambda m, s: reference("parse_mutation")(m, s)],
)
def test_right_parse_mutation(right):
    assert_right(check.parse_mutation, right)


def test_wrong_parse_mutation():
    from_zero = lambda m, s: (m[0], int(m[1:-1]), m[-1])  # noqa: E731
    trusting = lambda m, s: (m[0], int(m[1:-1]) - 1, m[-1])  # noqa: E731
    assert_wrong(check.parse_mutation, from_zero, "the name counts from 1")
    assert_wrong(check.parse_mutation, trusting, "It accepts A1T")


def masked_marginal(log_probs_at, sequence, mutations):
    places = [data.parse_mutation(m, sequence) for m in mutations]
    return torch.stack([log_probs_at(sequence, p) @ (one(b) - one(a)) for a, p, b in places])


def one(letter):
    return torch.eye(20)[AMINO_ACIDS.index(letter)]


def marginal_by_table(log_probs_at, sequence, mutations):
    parsed = [data.parse_mutation(m, sequence) for m in mutations]
    table = {p: log_probs_at(sequence, p) for p in {p for _, p, _ in parsed}}
    return torch.tensor([float(table[p][AMINO_ACIDS.index(b)] - table[p][AMINO_ACIDS.index(a)]) for a, p, b in parsed])


@pytest.mark.parametrize("right", [masked_marginal, marginal_by_table])
def test_right_masked_marginal(right, seeds):
    assert_right(check.masked_marginal, right)


def marginal(difference, place=lambda p, n: p, order=AMINO_ACIDS):
    def wrong(log_probs_at, sequence, mutations):
        scores = []
        for mutation in mutations:
            a, p, b = data.parse_mutation(mutation, sequence)
            log_p = log_probs_at(sequence, place(p, len(sequence)))
            scores.append(difference(log_p[order.index(b)], log_p[order.index(a)]))
        return torch.stack(scores)

    return wrong


def one_mask(log_probs_at, sequence, mutations):
    log_p = log_probs_at(sequence, data.parse_mutation(mutations[0], sequence)[1])
    return torch.stack([log_p[AMINO_ACIDS.index(m[-1])] - log_p[AMINO_ACIDS.index(m[0])] for m in mutations])


def unchecked(log_probs_at, sequence, mutations):
    rows = [log_probs_at(sequence, (int(m[1:-1]) - 1) % len(sequence)) for m in mutations]
    pairs = zip(rows, mutations, strict=True)
    return torch.stack([r[AMINO_ACIDS.index(m[-1])] - r[AMINO_ACIDS.index(m[0])] for r, m in pairs])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (marginal(lambda b, a: a - b), "swapped"),
        (marginal(lambda b, a: b - a, lambda p, n: (p + 1) % n), "counts from 1"),
        (one_mask, "another position is masked"),
        (marginal(lambda b, a: b), "wild type is left out"),
        (marginal(lambda b, a: a + b), "are added"),
        (marginal(lambda b, a: b.exp() - a.exp()), "probabilities are compared"),
        (marginal(lambda b, a: (b - a) / math.log(2)), "not the natural one"),
        (marginal(lambda b, a: b - a, order="ARNDCQEGHILKMFPSTWYV"), "another order"),
        (unchecked, "does not fit the sequence"),
        (marginal(lambda b, a: (b - a).abs()), "it should be"),
        (marginal(lambda b, a: b / a), "it should be"),
        (marginal(lambda b, a: b - a, lambda p, n: 0), "it should be"),
        (lambda f, s, m: masked_marginal(f, s, m).tolist(), "returns a list"),
        (lambda f, s, m: masked_marginal(f, s, m).mean(), "shape ()"),
        (lambda f, s, m: print(), "returns None"),
    ],
)
def test_wrong_masked_marginal(wrong, words):
    assert_wrong(check.masked_marginal, wrong, words)


# --- pool_residues, categorical_jacobian


def test_pool_residues():
    by_row = lambda h, m: torch.stack([a[b.bool()].mean(0) for a, b in zip(h, m, strict=True)])  # noqa: E731
    assert_right(check.pool_residues, by_row)
    for wrong, words in (
        (lambda h, m: h.mean(1), "averaged in"),
        (lambda h, m: (h * m[..., None]).mean(1), "number of positions"),
        (lambda h, m: by_row(h, 1 - m.float()), "other way round"),
        (lambda h, m: (h * m[..., None]).sum(1), "added up"),
        (lambda h, m: (h * m[..., None]).amax(1), "the maximum is taken"),
        (lambda h, m: h[:, 0], "the first token is taken"),
    ):
        assert_wrong(check.pool_residues, wrong, words)


def jacobian(model, sequence):
    mutants = [sequence[:i] + a + sequence[i + 1 :] for i in range(len(sequence)) for a in AMINO_ACIDS]
    return (model(mutants) - model([sequence])).view(len(sequence), 20, len(sequence), 20)


def test_categorical_jacobian(seeds):
    assert_right(check.categorical_jacobian, jacobian)
    for wrong, words in (
        (lambda m, s: jacobian(m, s) + m([s])[0], "not subtracted"),
        (lambda m, s: -jacobian(m, s), "sign is wrong"),
        (lambda m, s: jacobian(m, s).permute(2, 3, 0, 1), "swapped"),
        (lambda m, s: jacobian(lambda x: m(x).softmax(-1), s), "probabilities are compared"),
        (lambda m, s: jacobian(m, s).abs(), "it should be"),
        (lambda m, s: jacobian(m, s)[:, 0], "it should be (4, 20, 4, 20)"),
    ):
        assert_wrong(check.categorical_jacobian, wrong, words)


def test_given_code_refuses_in_one_sentence():
    parse, pool = reference("parse_mutation"), reference("pool_residues")
    for mutation, words in (
        ("A2W", "starts from A, but residue 2 is C"),
        ("C9W", "count from 1 to 3"),
        ("C0W", "count from 1 to 3"),
        ("C2B", "no single mutation of the twenty amino acids"),
    ):
        with pytest.raises(ValueError, match=words):
            parse(mutation, "ACD")
    with pytest.raises(ValueError, match=r"The mask is \(2, 4\)"):
        pool(torch.rand(2, 5, 3), torch.ones(2, 4))
