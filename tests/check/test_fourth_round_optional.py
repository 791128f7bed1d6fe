"""Fresh answers to the optional exercises and some losses: what was accepted, misnamed or told in numbers only.

Each row changes one thing in a right version; words are those of the message that names it.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_wrong, cell, verdict
from torch import nn

from sslcourse import evaluate
from sslcourse.check import week03, week04, week05, week06, week07, week08, week09, week10, week11

NAMES = {"torch": torch, "F": F, "math": math, "nn": nn, "evaluate": evaluate}

ROTARY = """
def rotary(q, k, positions):
    half = q.shape[3] // 2
    angles = positions[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    cos, sin = angles.cos(), angles.sin()

    def turned(x):
        a, b = x.chunk(2, dim=3)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=3)

    return turned(q), turned(k)
"""
SIGMOID = """
def sigmoid_loss(z0, z1, scaling=10.0, bias=-10.0):
    cosines = F.normalize(z0, dim=1) @ F.normalize(z1, dim=1).T
    scores = scaling * cosines + bias
    return -F.logsigmoid((2 * torch.eye(len(z0)) - 1) * scores).sum() / len(z0)
"""
LABELS = """
def self_label_loss(weak_logits, strong_logits, threshold=0.99):
    confidence, guess = weak_logits.detach().softmax(dim=1).max(dim=1)
    confident = confidence > threshold
    counts = torch.bincount(guess[confident], minlength=weak_logits.shape[1])
    weights = confident / counts.clamp(min=1)[guess]
    losses = F.cross_entropy(strong_logits, guess, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=1e-12)
"""
FEATURES = """
def feature_distillation_loss(student_features, teacher_features, mapping):
    return (1 - F.cosine_similarity(mapping(student_features), teacher_features.detach(), dim=1)).mean()
"""
SINKHORN = """
def sinkhorn(scores, temperature=0.05, iterations=3):
    q = scores.detach() / temperature
    for _ in range(iterations):
        q = q.log_softmax(dim=0).log_softmax(dim=1)
    return q.exp()
"""
KOLEO = """
def koleo(features):
    z = F.normalize(features, dim=1)
    with torch.no_grad():
        nearest = (z @ z.T).fill_diagonal_(-2).argmax(dim=1)
    d = (z - z[nearest]).norm(dim=1)
    return -(d + 1e-8).log().mean()
"""
IBOT = """
def ibot_loss(student_logits, teacher_logits, mask, center, student_temp=0.1, teacher_temp=0.04):
    told = ((teacher_logits.detach() - center) / teacher_temp).softmax(dim=2)
    loss = -(told * (student_logits / student_temp).log_softmax(dim=2)).sum(dim=2)
    some = mask.any(dim=1)
    return ((loss * mask).sum(dim=1)[some] / mask.sum(dim=1)[some]).mean()
"""
ASIF = """
def asif(image_x, text_x, image_anchors, text_anchors, k, power=1.0):
    def described(x, anchors, power):
        cosines = F.normalize(x, dim=1) @ F.normalize(anchors, dim=1).T
        values, places = cosines.topk(k, dim=1)
        return F.normalize(torch.zeros_like(cosines).scatter(1, places, values.clamp(min=0) ** power), dim=1)

    return described(image_x, image_anchors, power) @ described(text_x, text_anchors, power).T
"""
IMBALANCE = """
def information_imbalance(a, b):
    nearest = torch.cdist(a.double(), a.double()).fill_diagonal_(math.inf).argmin(1, keepdim=True)
    far = torch.cdist(b.double(), b.double()).fill_diagonal_(math.inf)
    rank = 1 + (far < far.gather(1, nearest)).sum(dim=1)
    return (2 * rank.double().mean() / len(a)).item()
"""
MUTUAL = """
def mutual_knn(x, y, k=10):
    near = [(z @ z.T).fill_diagonal_(-torch.inf).topk(k).indices for z in (F.normalize(x), F.normalize(y))]
    share = (near[0][:, :, None] == near[1][:, None, :]).sum().item() / near[0].numel()
    return share
"""
RATIO = """
def participation_ratio(x):
    x = x.double()
    x = x - x.mean(dim=0)
    values = torch.linalg.svdvals(x).square()
    return (values.sum() ** 2 / values.square().sum()).item()
"""
GRIDE = """
def gride(x, n1=1):
    from scipy.optimize import brentq
    distances = evaluate.nearest_neighbours(x, k=2 * n1, metric="euclidean")[0].double()
    log_mu = (distances[:, 2 * n1 - 1] / distances[:, n1 - 1]).log()

    def slope(d):
        grown = 1 / -torch.expm1(-d * log_mu)
        return (1 / d - (2 * n1 - 1) * log_mu + (n1 - 1) * log_mu * grown).sum().item()

    return brentq(slope, 1e-3, 1e3)
"""
NT_XENT = """
def nt_xent(z0, z1, temperature=0.5):
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    similarity = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(len(z0)))
"""
CLIP = """
def clip_loss(image_emb, text_emb, logit_scale):
    logits = logit_scale * F.normalize(image_emb, dim=1) @ F.normalize(text_emb, dim=1).T
    partner = torch.arange(len(logits))
    return (F.cross_entropy(logits, partner) + F.cross_entropy(logits.T, partner)) / 2
"""
DISTIL = """
def distillation_loss(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.7):
    q = F.log_softmax(student_logits / temperature, dim=1)
    p = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    soft = F.kl_div(q, p, log_target=True, reduction="batchmean")
    return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student_logits, labels)
"""
BYOL = """
def byol_loss(predictions, targets):
    return (2 - 2 * F.cosine_similarity(predictions, targets.detach(), dim=1)).mean()
"""
PMI = """
def pmi_loss(student_probs, teacher_probs, marginal, gamma=0.65):
    return -((student_probs * teacher_probs.detach()) ** gamma / marginal).sum(dim=1).log().mean()
"""
COLLAPSE = """
def collapse_report(teacher_probs):
    each = torch.special.entr(teacher_probs).sum(dim=1).mean().item()
    return each, torch.special.entr(teacher_probs.mean(dim=0)).sum().item()
"""
COSINES, CROSS = "F.normalize(z1, dim=1).T", 'F.cross_entropy(strong_logits, guess, reduction="none")'
COSINE = "1 - F.cosine_similarity(mapping(student_features), teacher_features.detach(), dim=1)"
FAR, SHARE = "(far < far.gather(1, nearest)).sum(dim=1)", "    return share"
FIRST = "    return brentq"
ROWS = [
    (week03.rotary, ROTARY, "angles.cos(), angles.sin()", "angles.sin(), angles.cos()", "sine and cosine are swapped"),
    (week03.rotary, ROTARY, "turned(k)", "turned(k) / half**0.5", "4 k["),
    (week03.rotary, ROTARY, "turned(q), turned", "turned(q.detach()), turned", "no gradient reaches q"),
    (week03.rotary, ROTARY, "(-torch.arange(half) / half)", "(-torch.arange(half).flip(0) / half)", "in reverse order"),
    (week03.rotary, ROTARY, "positions[:, None]", "(positions - positions.float().mean())[:, None]",
     "the mean is taken off"),
    (week03.rotary, ROTARY, "turned(q),", "torch.stack([q[..., ::2] * cos - q[..., 1::2] * sin, q[..., ::2] * sin + "
     "q[..., 1::2] * cos], -1).flatten(-2),", "one convention serves for both"),
    (week04.sigmoid_loss, SIGMOID, COSINES, "z1.T", "only one of the two views is normalised"),
    (week04.sigmoid_loss, SIGMOID, COSINES, "F.normalize(z0, dim=1).T", "a view is compared with itself"),
    (week04.sigmoid_loss, SIGMOID, "torch.eye(len(z0))", "torch.eye(len(z0)).flip(0)", "the pairs are mixed up"),
    (week04.sigmoid_loss, SIGMOID, "    cosines", "    z0, z1 = z0 - z0.mean(0), z1 - z1.mean(0)\n    cosines",
     "of the batch"),
    (week04.sigmoid_loss, SIGMOID, "+ bias", "+ bias * torch.eye(len(z0))", "one kind of pair only"),
    (week04.sigmoid_loss, SIGMOID, "scaling * cosines", "scaling * cosines ** 2", "the cosine is squared"),
    (week04.sigmoid_loss, SIGMOID, "+ bias", "+ abs(bias)", "the sign of the bias is lost"),
    (week05.self_label_loss, LABELS, ".softmax(dim=1).max", ".max", "the threshold is compared with logits"),
    (week05.self_label_loss, LABELS, ".softmax(dim=1)", ".sigmoid()", "or with a sigmoid of them"),
    (week05.self_label_loss, LABELS, "F.cross_entropy", "F.nll_loss", "logits stand where log probabilities should"),
    (week05.self_label_loss, LABELS, 'reduction="none"', 'reduction="none", ignore_index=0',
     "cluster 0 counts as no label"),
    (week05.self_label_loss, LABELS, CROSS, "-(strong_logits.softmax(1) * strong_logits.log_softmax(1)).sum(1)",
     "the entropy of the strong view"),
    (week05.self_label_loss, LABELS, CROSS, CROSS.replace("guess", "guess.roll(1)"), "belong to other images"),
    (week06.feature_distillation_loss, FEATURES, COSINE, f"({COSINE}).square()", "1 - cosine is squared"),
    (week06.feature_distillation_loss, FEATURES, ".detach()", ".detach().flip(0)",
     "the features belong to other images"),
    (week07.sinkhorn, SINKHORN, "range(iterations)", "range(iterations - 1)", "one round too many or too few"),
    (week07.sinkhorn, SINKHORN, "/ temperature\n", "/ temperature\n    q = q.softmax(1)\n", "a softmax comes before"),
    (week07.koleo, KOLEO, "F.normalize(features, dim=1)", "features", "the features are not normalised"),
    (week07.koleo, KOLEO, "features, dim=1", "features, dim=0", "the normalisation runs over the batch"),
    (week07.koleo, KOLEO, "fill_diagonal_(-2)", "fill_diagonal_(0)", "set it below -1"),
    (week07.koleo, KOLEO, "(d + 1e-8)", "(d[torch.arange(len(z)) < nearest] + 1e-8)",
     "nearest to each other count once"),
    (week07.koleo, KOLEO, "-(d + 1e-8).log().mean()", "(-d).exp().mean()", "the exponential of minus the distance"),
    (week08.ibot_loss, IBOT, "softmax(dim=2)\n    loss", "softmax(dim=1)\n    loss",
     "the softmax runs over the patches"),
    (week08.ibot_loss, IBOT, "    told", "    center = 0.9 * center + 0.1 * teacher_logits.mean((0, 1))\n    told",
     "the centre takes in this batch"),
    (week08.ibot_loss, IBOT, ".mean()", "[0]", "one image alone counts"),
    (week08.ibot_loss, IBOT, "log_softmax(dim=2)", "log_softmax(dim=2) / student_temp", "a temperature once more"),
    (week09.asif, ASIF, "cosines.topk", "cosines.abs().topk", "the k largest by size are kept"),
    (week09.asif, ASIF, "(text_x, text_anchors, power)", "(text_x, text_anchors, 1)", "the power is used for one"),
    (week09.asif, ASIF, "text_x, text_anchors,", "text_x, text_anchors.flip(0),", "in different orders"),
    (week09.asif, ASIF, "** power), dim=1)", "** power), dim=0)", "normalised over the samples"),
    (week10.information_imbalance, IMBALANCE, f"1 + {FAR}", "far.gather(1, nearest)",
     "the distance of the nearest in b"),
    (week10.information_imbalance, IMBALANCE, "torch.cdist(b.double(), b.double())",
     "(1 - F.normalize(b.double()) @ F.normalize(b.double()).T)", "neighbours are compared by cosine"),
    (week10.information_imbalance, IMBALANCE, FAR, "(far < far.gather(1, nearest).T).sum(dim=0)", "in a column"),
    (week10.information_imbalance, IMBALANCE, "/ len(a)", "/ len(a) ** 2", "one division by N is too many"),
    (week11.mutual_knn, MUTUAL, SHARE, "    return 100 * share", "a percentage"),
    (week11.mutual_knn, MUTUAL, SHARE, "    c = k / (len(x) - 1)\n    return (share - c) / max(1 - c, 1e-9)",
     "level of chance"),
    (week11.mutual_knn, MUTUAL, SHARE, "    return share * k / (len(x) - 1)", "is divided by N - 1"),
    (week10.participation_ratio, RATIO, "values.square().sum()", "values.sum() ** 2", "the denominator is squared"),
    (week10.participation_ratio, RATIO, "x = x.double()", "x = F.normalize(x.double())",
     "the rows are divided by their"),
    (week10.participation_ratio, RATIO, "torch.linalg.svdvals(x).square()", "x.var(0)", "the variances of the single"),
    (week10.participation_ratio, RATIO, "x.mean(dim=0)", "x.median(dim=0).values", "the median is taken off"),
    (week10.participation_ratio, RATIO, ".square()\n", ".square()[1:]\n", "the largest eigenvalue is left out"),
    (week10.gride, GRIDE, " + (n1 - 1) * log_mu * grown", "", "the slope of the log-likelihood is another"),
    (week10.gride, GRIDE, FIRST, "    return (math.log(2) / log_mu.median()).item()\n" + FIRST, "log 2 over a mean"),
    (week05.pmi_loss, PMI, "** gamma", "** (1 - gamma)", "the exponent is 1 - gamma"),
    (week05.pmi_loss, PMI, "/ marginal", "/ student_probs.mean(0).detach()", "another marginal divides"),
    (week05.pmi_loss, PMI, ".sum(dim=1).log()", ".log().sum(dim=1)", "taken of each cluster's term"),
    (week07.collapse_report, COLLAPSE, "    return each", "    return each / math.log(2)",
     "as with logarithms to base 2"),
    (week04.nt_xent, NT_XENT, ".roll(len(z0))", ".roll(1)", "a neighbouring row"),
    (week04.nt_xent, NT_XENT, "/ temperature", "/ math.exp(temperature)", "the temperature is exponentiated"),
    (week04.nt_xent, NT_XENT, "    similarity", "    z = F.normalize(z - z.mean(0))\n    similarity",
     "the mean of the batch"),
    (week09.clip_loss, CLIP, ".T\n    partner", ".T\n    logits = logits.softmax(1)\n    partner",
     "a softmax is taken before"),
    (week09.clip_loss, CLIP, "torch.arange(len(logits))", "torch.arange(len(logits)).flip(0)",
     "the pairs are mixed up"),
    (week06.distillation_loss, DISTIL, "logits, labels)", "logits, labels, label_smoothing=0.1)",
     "the labels are smoothed"),
    (week06.distillation_loss, DISTIL, "logits, labels)", "logits, teacher_logits.argmax(1))", "the teacher's choices"),
    (week07.byol_loss, BYOL, "dim=1", "dim=0", "the vectors are normalised over the batch"),
    (week07.byol_loss, BYOL, ".detach()", ".detach().flip(0)", "are of different images"),
    (week07.byol_loss, BYOL, "dim=1)", "dim=1).abs()", "the sign of the cosine is lost"),
    (week10.gride, GRIDE, FIRST, "    return (1 / log_mu).mean().item()\n" + FIRST,
     "the dimensions of single points are averaged"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "source", "old", "new", "words"), ROWS)
def test_a_wrong_version_is_named(check, source, old, new, words):
    assert old in source, old
    assert_wrong(check, cell(source.replace(old, new, 1), check.__name__, **NAMES), words)


@pytest.mark.parametrize("check", dict.fromkeys(row[0] for row in ROWS))
def test_what_the_rows_change_is_right(check):
    source = next(row[1] for row in ROWS if row[0] is check)
    outcome, text = verdict(check, cell(source, check.__name__, **NAMES))
    assert outcome == "right", text
