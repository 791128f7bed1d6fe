"""Wrong answers to week 9's losses, weights and rates, each with the words of its message."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_wrong
from sklearn.metrics import average_precision_score, roc_curve

from sslcourse.check import week09 as check


def unit(z):
    return z / z.norm(dim=-1, keepdim=True)


def both(x, t):
    return F.normalize(x, dim=-1) @ F.normalize(t, dim=-1).T


# Answers and words of their messages; None where it is only rejected.


def clip(scaled=lambda c, s: s * c, loss=F.cross_entropy, norm=unit, back=lambda logits: logits.T):
    """clip_loss with one of its parts replaced."""

    def clip_loss(image_emb, text_emb, logit_scale):
        logits = scaled(norm(image_emb) @ norm(text_emb).T, logit_scale)
        labels = torch.arange(len(logits))
        return (loss(logits, labels) + loss(back(logits), labels)) / 2

    return clip_loss


def right_ones(p):
    return p.diagonal()


def naive(logits, labels):
    return -(logits.exp().diagonal() / logits.exp().sum(1)).log().mean()


def with_eps(logits, labels):
    return -(logits.softmax(1).diagonal() + 1e-8).log().mean()


def ntxent(x, t, s):
    z = unit(torch.cat([x, t]))
    logits = (s * z @ z.T).fill_diagonal_(-torch.inf)
    n = len(x)
    return F.cross_entropy(logits, torch.arange(2 * n).roll(n))


def siglip(x, t, s):
    logits = s * both(x, t)
    return -F.logsigmoid((2 * torch.eye(len(x)) - 1) * logits).sum() / len(x)


def in_chunks(x, t, s):
    parts = list(zip(x.split(256), t.split(256), strict=True))
    return sum(clip()(a, b, s) for a, b in parts) / len(parts)


CLIP = [
    (clip(loss=lambda logits, y: F.cross_entropy(logits.softmax(1), y)), "softmax is taken before"),
    (clip(loss=lambda logits, y: -right_ones(logits.softmax(1)).mean().log()), "logarithm is taken of a mean"),
    (clip(loss=naive), "exp(100)"),
    (clip(loss=with_eps), "ogarithm"),
    (clip(scaled=lambda c, s: s * c.relu()), "clamped at 0"),
    (clip(scaled=lambda c, s: s * s * c), "multiplied twice"),
    (clip(scaled=lambda c, s: c / s), "divided by logit_scale"),
    (clip(back=lambda logits: logits), "one direction only"),
    (
        lambda x, t, s: (
            (F.cross_entropy(s * both(x, t), torch.arange(len(x))) + F.cross_entropy(both(t, x), torch.arange(len(x))))
            / 2
        ),
        "missing in one of the two",
    ),
    (clip(loss=lambda logits, y: F.cross_entropy(logits.masked_fill(torch.eye(len(y)) > 0, -1e9), y.roll(1))), None),
    (
        clip(loss=lambda logits, y: (logits - torch.eye(len(y)) * 1e9).logsumexp(1).mean() - right_ones(logits).mean()),
        "missing from the denominator",
    ),
    (clip(loss=lambda logits, y: -right_ones(logits.softmax(1)).mean()), "the logarithm is missing"),
    (clip(norm=lambda z: F.normalize(z, dim=0)), "runs over the batch"),
    (clip(norm=lambda z: F.normalize(z, p=1, dim=1)), "something other than their length"),
    (clip(norm=lambda z: z / z.norm()), "something other than their length"),
    (ntxent, "texts with texts"),
    (siglip, "by a sigmoid"),
    (in_chunks, "cut into parts"),
    (lambda x, t, s: (1 - F.cosine_similarity(x, t)).mean(), "only the cosine of the right pairs"),
    (lambda x, t, s: clip()(x, t, s) / math.log(2), "in nats"),
    (clip(loss=lambda logits, y: F.cross_entropy(logits, y, reduction="sum")), "the losses are summed"),
    (clip(loss=lambda logits, y: F.cross_entropy(logits, y, label_smoothing=0.1)), None),
    (lambda x, t, s: clip()(x, t, min(float(s), 4.6052)), None),
    (lambda x, t, s: clip()(x, t, s.detach() if isinstance(s, torch.Tensor) else s), "no gradient reaches logit_scale"),
]


def weights(rows=unit, mean=lambda r: r.mean(0), column=unit, text=str.format, pick=slice(None)):
    def zero_shot_weights(class_names, templates, encode_text):
        made = [mean(rows(encode_text([text(t, name) for t in templates[pick]]))) for name in class_names]
        return torch.stack([column(part) for part in made], dim=1)

    return zero_shot_weights


def regrouped(class_names, templates, encode_text):
    t = unit(encode_text([template.format(name) for name in class_names for template in templates]))
    return unit(t.view(len(templates), len(class_names), -1).mean(0)).T


def regrouped_back(class_names, templates, encode_text):
    t = unit(encode_text([template.format(name) for template in templates for name in class_names]))
    return unit(t.view(len(class_names), len(templates), -1).mean(1)).T


def remembers(class_names, templates, encode_text, columns=[]):  # noqa: B006
    for name in class_names:
        columns.append(unit(unit(encode_text([t.format(name) for t in templates])).mean(0)))
    return torch.stack(columns, dim=1)


def running(r):
    so_far = r[0]
    for row in r[1:]:
        so_far = (so_far + row) / 2
    return so_far


WEIGHTS = [
    (weights(rows=lambda r: F.normalize(r, dim=0)), "over its prompts"),
    (lambda *a: F.normalize(weights(column=lambda c: c)(*a), dim=1), "over the classes"),
    (lambda *a: (w := weights(column=lambda c: c)(*a)) / w.norm(), "by one number"),
    (regrouped, "different classes are mixed"),
    (regrouped_back, "different classes are mixed"),
    (remembers, "of an earlier call"),
    (weights(mean=running), "do not count equally"),
    (weights(mean=lambda r: r.median(0).values), "are not averaged"),
    (weights(mean=lambda r: r.sum(0), column=lambda c: c), "summed and not normalised"),
    (weights(text=lambda t, name: t.format(name.lower())), "none of the prompts"),
    (weights(text=lambda t, name: t.format(name.replace(" ", "_"))), "none of the prompts"),
    (weights(text=lambda t, name: t.format(f"a {name}")), "none of the prompts"),
    (weights(text=lambda t, name: t.format(name) + "."), "none of the prompts"),
    (weights(pick=slice(1, None)), "one template is left out"),
    (weights(column=lambda c: c / c.abs().sum()), "have length"),
    (weights(rows=lambda r: r / r.norm(dim=1, keepdim=True) ** 2), "another direction"),
    (weights(rows=lambda r: r - r.mean(0)), None),
]


def turned(a, b):
    return torch.sign(a[:, None] - b).double().mean() / 2 + 0.5


def roc(a, b, **kwargs):
    return roc_curve(np.r_[np.ones(len(a)), np.zeros(len(b))], torch.cat([a, b]).numpy(), **kwargs)


def at(a, b, cut):
    return float((b >= cut).double().mean())


def falling(a):
    return a.sort(descending=True).values


RATES = [
    ("auroc", lambda a, b: max(turned(a, b), 1 - turned(a, b)), "turned over"),
    ("auroc", lambda a, b: torch.sign(a[:, None] - b).double().mean(), "2 AUROC - 1"),
    ("auroc", lambda a, b: 100 * turned(a, b), "in per cent"),
    ("auroc", lambda a, b: turned(a.abs(), b.abs()), "without their sign"),
    ("auroc", lambda a, b: turned(a.clamp(0, 1), b.clamp(0, 1)), "clamped before"),
    ("auroc", lambda a, b: turned(a.sigmoid(), b.sigmoid()), "squashes"),
    (
        "auroc",
        lambda a, b: average_precision_score(np.r_[np.ones(len(a)), np.zeros(len(b))], torch.cat([a, b])),
        "average precision",
    ),
    (
        "auroc",
        lambda a, b: float((a[: min(len(a), len(b))] > b[: min(len(a), len(b))]).double().mean()),
        "sample n only",
    ),
    (
        "auroc",
        lambda a, b: float(((a[:, None] >= b).double() + 0.5 * (a[:, None] == b)).mean()),
        "more or less than half",
    ),
    (
        "auroc",
        lambda a, b: float((a[:, None] > b).sum() / (a[:, None] != b).sum().clamp(min=1)),
        "equal pairs are left out",
    ),
    ("auroc", lambda a, b: turned(a, b) * len(a) * len(b) / (len(a) + len(b)) ** 2, "divide by N times M"),
    ("auroc", lambda a, b: turned(b, a), "sides are swapped"),
    (
        "auroc",
        lambda a, b: float(np.trapezoid(*[[(p.numpy() >= c).mean() for c in falling(a).numpy()] for p in (a, b)])),
        "lacks an end",
    ),
    ("auroc", lambda a, b: float((a > b.mean()).double().mean()), None),
    ("fpr_at_95_tpr", lambda a, b: roc(a, b)[0][np.argmax(roc(a, b)[1] >= 0.95)], "straight line are dropped"),
    ("fpr_at_95_tpr", lambda a, b: float(np.interp(0.95, roc(a, b)[1], roc(a, b)[0])), "interpolated"),
    (
        "fpr_at_95_tpr",
        lambda a, b: roc(a, b, drop_intermediate=False)[0][
            np.argmin(np.abs(roc(a, b, drop_intermediate=False)[1] - 0.95))
        ],
        "one score too high or too low",
    ),
    ("fpr_at_95_tpr", lambda a, b: at(a, b, np.percentile(a.numpy(), 5)), "interpolated"),
    (
        "fpr_at_95_tpr",
        lambda a, b: float((b > falling(a)[math.ceil(0.95 * len(a) - 1e-9) - 1]).double().mean()),
        "equal to the threshold",
    ),
    (
        "fpr_at_95_tpr",
        lambda a, b: at(a, b, falling(a)[max(int(0.95 * len(a)) - 1, 0)]),
        "one score too high or too low",
    ),
    ("fpr_at_95_tpr", lambda a, b: at(a, b, falling(a)[int(0.95 * len(a))]), "one score too high or too low"),
    ("fpr_at_95_tpr", lambda a, b: at(a, b, falling(a)[round(0.95 * len(a)) - 1]), "one score too high or too low"),
    ("fpr_at_95_tpr", lambda a, b: at(a, b, falling(a)[math.ceil(0.9 * len(a)) - 1]), "another share"),
    ("fpr_at_95_tpr", lambda a, b: at(a, b, a.min()), "another share"),
    ("fpr_at_95_tpr", lambda a, b: float(falling(a)[math.ceil(0.95 * len(a) - 1e-9) - 1]), "it is the threshold"),
    ("fpr_at_95_tpr", lambda a, b: at(b, a, falling(a)[math.ceil(0.95 * len(a) - 1e-9) - 1]), "that is the TPR"),
    ("fpr_at_95_tpr", lambda a, b: at(a, b, falling(b)[math.ceil(0.95 * len(b) - 1e-9) - 1]), "found on the out-of"),
    ("fpr_at_95_tpr", lambda a, b: at(b, a, torch.quantile(b, 0.95)), "where 5 % of the others pass"),
    ("fpr_at_95_tpr", lambda a, b: 100 * at(a, b, falling(a)[math.ceil(0.95 * len(a) - 1e-9) - 1]), "in per cent"),
    ("fpr_at_95_tpr", lambda a, b: 1 - at(a, b, falling(a)[math.ceil(0.95 * len(a) - 1e-9) - 1]), "the wrong side"),
    (
        "fpr_at_95_tpr",
        lambda a, b: float((b >= falling(a)[math.ceil(0.95 * len(a) - 1e-9) - 1]).sum() / len(a)),
        "number of all samples, or of the inside",
    ),
]

WRONG = [
    *(("clip_loss", *row) for row in CLIP),
    *(("zero_shot_weights", *row) for row in WEIGHTS),
    *RATES,
]


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG)
def test_wrong_answers(name, wrong, words):
    assert_wrong(getattr(check, name), wrong, words or "not yet right")
