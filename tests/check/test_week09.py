"""The checks of week 9: CLIP's loss, zero-shot weights, AUROC and FPR95; right versions and named mistakes.

The wrong versions are written as students write them. The scores are in test_week09_scores.py.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell
from open_clip.loss import ClipLoss
from sklearn.metrics import roc_auc_score, roc_curve

import sslcourse
from sslcourse import evaluate
from sslcourse.check import week09 as check
from sslcourse.check.week09 import oracle, rates_oracle


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def solved(name):
    return sslcourse.solution("week09", name)


# --- the definitions against peers and known levels


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_clip_loss_is_open_clips(n, scale):
    x, t = drawn(n, 6), drawn(n, 6, seed=1)
    peer = ClipLoss()(F.normalize(x, dim=1), F.normalize(t, dim=1), torch.tensor(scale, dtype=torch.float64))
    assert float(oracle.clip_loss(x, t, scale)) == pytest.approx(float(peer), abs=1e-10)
    torch.testing.assert_close(oracle.clip_loss_at_once(x, t, scale), oracle.clip_loss(x, t, scale))


def test_clip_loss_has_the_known_levels():
    ones = torch.ones(5, 3).double()
    assert float(oracle.clip_loss(ones, ones, 7.0)) == pytest.approx(oracle.level_of(5), abs=1e-12)
    eye = torch.eye(4).double()
    assert float(oracle.clip_loss(eye, 3 * eye, 2.0)) == pytest.approx(oracle.matched(4, 2.0), abs=1e-12)


@pytest.mark.parametrize("digits", [0, 1, 6])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (20, 33), (100, 41)])
def test_auroc_and_fpr_are_sklearns(n, m, digits):
    a, b = (drawn(n) + 1).round(decimals=digits), drawn(m, seed=2).round(decimals=digits)
    truth, scores = np.r_[np.ones(n), np.zeros(m)], torch.cat([a, b]).numpy()
    area = roc_auc_score(truth, scores)
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    rate = fpr[np.argmax(tpr >= 0.95 - 1e-12)]  # the first point of the curve that is high enough
    for one in (rates_oracle, evaluate):
        assert one.auroc(a, b) == pytest.approx(area, abs=1e-12)
        assert one.fpr_at_95_tpr(a, b) == pytest.approx(rate, abs=1e-12)


# --- clip_loss


def clip_loss_by_hand(image_emb, text_emb, logit_scale):
    z = image_emb / image_emb.norm(dim=1, keepdim=True)
    t = text_emb / text_emb.norm(dim=1, keepdim=True)
    logits = logit_scale * torch.einsum("id,jd->ij", z, t)
    return -(logits.log_softmax(0).diag() + logits.log_softmax(1).diag()).mean() / 2


def clip_loss_of_open_clip(image_emb, text_emb, logit_scale):
    return ClipLoss()(F.normalize(image_emb, dim=-1), F.normalize(text_emb, dim=-1), logit_scale)


def clip_loss_with_cosines(image_emb, text_emb, logit_scale):
    logits = F.cosine_similarity(image_emb[:, None], text_emb[None], dim=2) * logit_scale
    labels = torch.arange(len(image_emb))
    return sum(F.cross_entropy(part, labels) for part in (logits, logits.t())) / 2


@pytest.mark.parametrize("right", [clip_loss_by_hand, clip_loss_of_open_clip, clip_loss_with_cosines])
def test_right_clip_loss(right, seeds):
    assert_right(check.clip_loss, right)


CLIP = """
def clip_loss(image_emb, text_emb, logit_scale):
    z, t = F.normalize(image_emb, dim=1), F.normalize(text_emb, dim=1)
    logits = logit_scale * z @ t.T
    y = torch.arange(len(z))
    return (F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2
"""
BOTH = "(F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)) / 2"
Z = "F.normalize(image_emb, dim=1), F.normalize(text_emb, dim=1)"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (BOTH, "F.cross_entropy(logits, y)", "one direction only"),
        (BOTH, "F.cross_entropy(logits.T, y)", "one direction only"),
        (BOTH, "F.cross_entropy(logits, y) + F.cross_entropy(logits.T, y)", "the two directions are added"),
        ("logit_scale * z @ t.T", "z @ t.T / logit_scale", "divided by logit_scale"),
        ("logit_scale * z @ t.T", "torch.as_tensor(logit_scale).exp() * z @ t.T", "exponential of logit_scale"),
        ("logit_scale * z @ t.T", "z @ t.T", "logit_scale is not used"),
        (Z, "image_emb, text_emb", "embeddings are not normalised"),
        (Z, "image_emb, F.normalize(text_emb, dim=1)", "only one side is normalised"),
        (Z, "F.normalize(image_emb, dim=1), text_emb", "only one side is normalised"),
        (Z, "F.normalize(image_emb, dim=0), F.normalize(text_emb, dim=0)", "runs over the batch"),
        (BOTH, BOTH + " * len(z)", "the losses are summed"),
        (BOTH, "-" + BOTH, "the sign is wrong"),
        ("z @ t.T", "z @ t.T.detach()", "no gradient reaches text_emb"),
        ("z @ t.T", "z.detach() @ t.T", "no gradient reaches image_emb"),
        ("logit_scale * z", "float(logit_scale) * z", "no gradient reaches logit_scale"),
        (BOTH, "(F.cross_entropy(logits, y) + F.cross_entropy(logits.T.detach(), y)) / 2", "a part of it is detached"),
        ("torch.arange(len(z))", "torch.zeros(len(z), dtype=torch.long)", "it should be"),
        (BOTH, "(F.cross_entropy(logits, y, reduction='none'))", "it should be a scalar"),
        ("logit_scale * z @ t.T", "logit_scale * z @ t.T + 1", None),  # softmax does not see a shift: right
    ],
)
def test_wrong_clip_loss(old, new, words):
    assert old in CLIP
    made = cell(CLIP.replace(old, new), "clip_loss", torch=torch, F=F)
    if words is None:
        assert_right(check.clip_loss, made)
    else:
        assert_wrong(check.clip_loss, made, words)


# --- zero_shot_weights


def weights_at_once(class_names, templates, encode_text):
    """All prompts in one call, as open_clip does it."""
    t = encode_text([template.format(name) for name in class_names for template in templates])
    t = F.normalize(t, dim=-1).view(len(class_names), len(templates), -1)
    return F.normalize(t.mean(dim=1), dim=-1).T


def weights_one_by_one(class_names, templates, encode_text):
    rows = []
    for name in class_names:
        total = 0
        for template in templates:
            (t,) = encode_text([template.replace("{}", name)])
            total = total + t / t.norm()
        rows.append(total / total.norm())
    return torch.stack(rows).t()


@pytest.mark.parametrize("right", [weights_at_once, weights_one_by_one])
def test_right_zero_shot_weights(right, seeds):
    assert_right(check.zero_shot_weights, right)


WEIGHTS = """
def zero_shot_weights(class_names, templates, encode_text):
    columns = []
    for name in class_names:
        t = F.normalize(encode_text([template.format(name) for template in templates]), dim=1)
        columns.append(F.normalize(t.mean(dim=0), dim=0))
    return torch.stack(columns, dim=1)
"""
NORMALISED = "F.normalize(encode_text([template.format(name) for template in templates]), dim=1)"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("F.normalize(t.mean(dim=0), dim=0)", "t.mean(dim=0)", "the mean of the prompts is not normalised again"),
        (NORMALISED, "encode_text([template.format(name) for template in templates])", "before the mean"),
        ("for template in templates]", "for template in templates[:1]]", "only one prompt is used"),
        ("F.normalize(t.mean(dim=0), dim=0)", "t[0]", "only one prompt is used"),
        ("F.normalize(t.mean(dim=0), dim=0)", "t[-1]", "only one prompt is used"),
        ("[template.format(name) for template in templates]", "[name]", "templates are not used"),
        ("template.format(name)", "template", "names are not put in"),
        ("template.format(name)", "template + name", "put a name in place of the braces"),
        ("[template.format(name) for template in templates]", "templates[0].format(name)", "takes a list of texts"),
        ("torch.stack(columns, dim=1)", "torch.stack(columns)", "(K, D), a row for each class"),
        ("in class_names:", "in sorted(class_names):", "another order"),
        ("in class_names:", "in reversed(class_names):", "another order"),
        ("F.normalize(t.mean(dim=0), dim=0)", "F.normalize(t.max(dim=0).values, dim=0)", "are not averaged"),
        (NORMALISED, "F.normalize(" + NORMALISED[12:].replace("dim=1", "dim=0"), "over its prompts"),
    ],
)
def test_wrong_zero_shot_weights(old, new, words):
    assert old in WEIGHTS
    assert_wrong(check.zero_shot_weights, cell(WEIGHTS.replace(old, new), "zero_shot_weights", torch=torch, F=F), words)


def test_neither_normalisation_has_a_message_of_its_own():
    both = WEIGHTS.replace(NORMALISED, NORMALISED[12:].replace(", dim=1)", "")).replace(
        "F.normalize(t.mean(dim=0), dim=0)", "t.mean(dim=0)"
    )
    assert_wrong(check.zero_shot_weights, cell(both, "zero_shot_weights", torch=torch, F=F), "nothing is normalised")


# --- auroc


def auroc_of_sklearn(in_scores, out_scores):
    truth = [1] * len(in_scores) + [0] * len(out_scores)
    return roc_auc_score(truth, torch.cat([in_scores, out_scores]).numpy())


def auroc_by_ranks(in_scores, out_scores):
    from scipy.stats import rankdata

    n, m = len(in_scores), len(out_scores)
    return (rankdata(torch.cat([in_scores, out_scores]).numpy())[:n].sum() - n * (n + 1) / 2) / (n * m)


def auroc_by_counting(in_scores, out_scores):
    won = torch.sign(in_scores[:, None] - out_scores[None, :])
    return (0.5 + won.mean() / 2).item()


@pytest.mark.parametrize("right", [auroc_of_sklearn, auroc_by_ranks, auroc_by_counting, evaluate.auroc])
def test_right_auroc(right, seeds):
    assert_right(check.auroc, right)


def few_thresholds(a, b, n=100):
    both = torch.cat([a, b])
    cuts = torch.linspace(both.max(), both.min(), n)
    tpr, fpr = ([float((part >= cut).float().mean()) for cut in cuts] for part in (a, b))
    return float(np.trapezoid(tpr, fpr))


def ties_by_argsort(a, b):
    order = torch.cat([b, a]).argsort(stable=True)
    ranks = torch.empty(len(order)).scatter_(0, order, torch.arange(1.0, len(order) + 1))
    return float((ranks[len(b) :].sum() - len(a) * (len(a) + 1) / 2) / (len(a) * len(b)))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: auroc_by_counting(b, a), "the sides are swapped"),
        (lambda a, b: 1 - auroc_by_counting(a, b), "the sides are swapped"),
        (lambda a, b: (a[:, None] > b).float().mean(), "ties count for nothing"),
        (lambda a, b: (a[:, None] >= b).float().mean(), "ties count in full"),
        (lambda a, b: auroc_by_counting(a, b) * len(a) * len(b), "divide by N times M"),
        (few_thresholds, "under a few thresholds"),
        (ties_by_argsort, "ties count in full"),
        (lambda a, b: a.mean() - b.mean(), "it should be"),
        (lambda a, b: float((a > b.median()).float().mean()), "it should be"),
        (lambda a, b: (a[:, None] > b).float(), "it should be a scalar"),
        (lambda a, b: max(auroc_by_counting(a, b), 1 - auroc_by_counting(a, b)), "it should be"),
    ],
)
def test_wrong_auroc(wrong, words):
    assert_wrong(check.auroc, wrong, words)


# --- fpr_at_95_tpr


def fpr_of_sklearn(in_scores, out_scores):
    truth = [1] * len(in_scores) + [0] * len(out_scores)
    fpr, tpr, _ = roc_curve(truth, torch.cat([in_scores, out_scores]).numpy(), drop_intermediate=False)
    return fpr[np.argmax(tpr >= 0.95 - 1e-9)]


def fpr_by_trying(in_scores, out_scores):
    best = 1.0
    for cut in in_scores.unique().flip(0):
        if (in_scores >= cut).double().mean() >= 0.95:
            best = float((out_scores >= cut).float().mean())
            break
    return best


def fpr_by_kth(in_scores, out_scores):
    cut = in_scores.kthvalue(len(in_scores) - math.ceil(0.95 * len(in_scores) - 1e-9) + 1).values
    return (out_scores >= cut).float().mean()


@pytest.mark.parametrize("right", [fpr_of_sklearn, fpr_by_trying, fpr_by_kth, evaluate.fpr_at_95_tpr])
def test_right_fpr(right, seeds):
    assert_right(check.fpr_at_95_tpr, right)


def thresholded(pick):
    return lambda a, b: float((b >= pick(a)).float().mean())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: fpr_by_kth(b, a), "the sides are swapped"),
        (lambda a, b: 1 - fpr_by_kth(a, b), "the share is of the wrong side"),
        (lambda a, b: fpr_by_kth(-a, -b), "low scores are taken for in-distribution"),
        (
            lambda a, b: float((b <= a.sort().values[math.ceil(0.95 * len(a) - 1e-9) - 1]).double().mean()),
            "low scores are taken for in-distribution",
        ),
        (thresholded(lambda a: torch.quantile(a, 0.05)), "the threshold is interpolated"),
        (thresholded(lambda a: torch.quantile(a, 0.05, interpolation="lower")), "one score too high or too low"),
        (thresholded(lambda a: torch.quantile(a, 0.05, interpolation="higher")), "one score too high or too low"),
        (thresholded(lambda a: a.sort(descending=True).values[math.ceil(0.05 * len(a)) - 1]), "that of 5 %"),
        (lambda a, b: float((a >= torch.quantile(b, 0.95)).float().mean()), "true positive rate where 5 %"),
        (lambda a, b: float((b > a.sort().values[int(0.05 * len(a))]).float().mean()), "it should be"),
        (thresholded(lambda a: a.min()), "it should be"),
        (lambda a, b: fpr_by_kth(a, b) * 100, "it should be"),
    ],
)
def test_wrong_fpr(wrong, words):
    assert_wrong(check.fpr_at_95_tpr, wrong, words)


# --- bad input


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("zero_shot_weights", (["cat"], [], None), "at least one each"),
        ("zero_shot_weights", ([], ["a {}"], None), "at least one each"),
        ("zero_shot_weights", (["cat"], ["a cat"], None), "'a cat' has no {}"),
        ("zero_shot_weights", ("cat", ["a {}"], None), "class_names is one string, 'cat'; give a list of strings"),
        ("zero_shot_weights", (["cat"], "a {}", None), "templates is one string, 'a {}'; give a list of strings"),
        ("auroc", (torch.zeros(0), torch.zeros(3)), "in_scores is empty"),
        ("auroc", (torch.zeros(3), torch.zeros(0)), "out_scores is empty"),
        ("auroc", (torch.tensor([math.nan, 1.0]), torch.zeros(2)), "in_scores holds NaN for 1 of 2"),
        ("fpr_at_95_tpr", (torch.zeros(0), torch.zeros(3)), "in_scores is empty"),
        ("fpr_at_95_tpr", (torch.zeros(3), torch.zeros(3, 1)), r"out_scores has shape \(3, 1\)"),
    ],
)
def test_the_references_refuse_bad_input(name, arguments, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        solved(name)(*arguments)
    if hasattr(evaluate, name):
        with pytest.raises(ValueError, match=sentence):
            getattr(evaluate, name)(*arguments)


def test_an_unknown_class_name_gets_a_sentence():
    from sslcourse import models

    vocabulary = models.Vocabulary(["a red house", "a tree"])
    tower = models.TextTransformer(len(vocabulary))
    with pytest.raises(ValueError, match="The word 'umbrella' of 'a umbrella' was in no training caption"):
        solved("zero_shot_weights")(["house", "umbrella"], ["a {}"], lambda texts: tower(vocabulary.encode(texts)))
