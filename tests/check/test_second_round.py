"""Answers from outside the checks' own tests, in styles of all kinds: right ones are right, wrong ones are rejected.

Where a message is named here, it must be that one; elsewhere a rejection is enough.
"""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, verdict

from sslcourse.check import week02, week03, week05, week06, week07, week09, week10, week11, week12
from sslcourse.data import AMINO_ACIDS

# --- right


def pmi_einsum(student_probs, teacher_probs, marginal, gamma=0.65):
    t = teacher_probs.detach()
    logs = gamma * (student_probs.clamp_min(1e-12).log() + t.clamp_min(1e-12).log()) - marginal.detach().log()
    return -logs.logsumexp(-1).mean()


def byol_lengths(predictions, targets):
    p = predictions / predictions.norm(dim=-1, keepdim=True)
    with torch.no_grad():
        t = targets / targets.norm(dim=-1, keepdim=True)
    return F.mse_loss(p, t, reduction="sum") / len(p)


def byol_einsum(predictions, targets):
    unit = functools.partial(F.normalize, dim=1)
    return 2 - 2 * torch.einsum("nd,nd->n", unit(predictions), unit(targets.detach())).mean()


def hard_onehot(class_logits, distill_logits, teacher_logits, labels):
    k = class_logits.shape[1]
    choice = F.one_hot(teacher_logits.max(1).indices, k).to(class_logits)
    truth = F.one_hot(labels, k).to(class_logits)
    return -0.5 * ((truth * class_logits.log_softmax(1)) + (choice * distill_logits.log_softmax(1))).sum(1).mean()


def hard_by_hand(class_logits, distill_logits, teacher_logits, labels):
    rows = torch.arange(len(labels))
    ce = lambda z, y: (z.logsumexp(1) - z[rows, y]).mean()  # noqa: E731
    return 0.5 * ce(class_logits, labels) + 0.5 * ce(distill_logits, torch.argmax(teacher_logits, -1))


def sensitivity_loop(encoder, images):
    mode = encoder.training
    encoder.train(False)
    try:
        with torch.inference_mode():
            h = F.normalize(encoder(images), dim=1)
            turned = [F.normalize(encoder(images.rot90(-k, (2, 3))), dim=1) for k in (1, 2, 3)]
            total = sum(float((1 - (h * g).sum(1)).mean()) for g in turned)
    finally:
        encoder.train(mode)
    return total / 3


def accuracy_of_masked(logits, labels):
    chosen = labels.ne(-100)
    return logits[chosen].argmax(-1).eq(labels[chosen]).double().mean().item()


def distillation_by_sums(student_logits, teacher_logits, labels, temperature=4.0, alpha=0.7):
    t = (teacher_logits.detach() / temperature).softmax(-1)
    gap = t * (torch.special.xlogy(t, t) / t.clamp_min(1e-30) - (student_logits / temperature).log_softmax(-1))
    return alpha * temperature**2 * gap.sum(-1).mean() + (1 - alpha) * F.cross_entropy(student_logits, labels)


def patchify_unfold(images, patch_size):
    n, c = images.shape[:2]
    tiles = images.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)  # (N, C, rows, columns, p, p)
    return tiles.permute(0, 2, 3, 4, 5, 1).reshape(n, -1, patch_size * patch_size * c)


def distance_loop(weights, grid, patch_size):
    rows, columns = grid
    at = torch.tensor([(r, c) for r in range(rows) for c in range(columns)], dtype=weights.dtype)
    return patch_size * torch.einsum("nhqk,qk->h", weights, torch.cdist(at, at)) / (len(weights) * len(at))


def collapse_by_categorical(teacher_probs):
    entropy = lambda p: -torch.xlogy(p, p).sum(-1)  # noqa: E731
    return float(entropy(teacher_probs).mean()), float(entropy(teacher_probs.mean(0)))


def clip_logsumexp(image_emb, text_emb, logit_scale):
    z, t = (x / x.norm(dim=-1, keepdim=True) for x in (image_emb, text_emb))
    s = logit_scale * torch.einsum("id,jd->ij", z, t)
    right = s.diagonal()
    return 0.5 * ((s.logsumexp(1) - right).mean() + (s.logsumexp(0) - right).mean())


def energy_shifted(logits, temperature=1.0):
    scaled = logits.div(temperature)
    top = scaled.amax(1, keepdim=True)
    return temperature * (top.squeeze(1) + (scaled - top).exp().sum(1).log())


def auroc_by_ranks(in_scores, out_scores):
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(in_scores.numpy(), out_scores.numpy()).statistic / (len(in_scores) * len(out_scores)))


def knn_by_topk(train_x, x, k=1):
    a, b = F.normalize(x.double(), dim=-1), F.normalize(train_x.double(), dim=-1)
    squared = (a[:, None, :] - b[None, :, :]).pow(2).sum(-1)
    return -squared.topk(k, dim=1, largest=False).values[:, -1].sqrt().to(x.dtype)


def relative_keyword(x, anchors, center=False):
    middle = anchors.mean(0, keepdim=True) if center else torch.zeros(1, x.shape[1], dtype=x.dtype)
    a, b = x.sub(middle), anchors.sub(middle)
    return torch.einsum("nd,ad->na", a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True))


def apc_einsum(x):
    return x - torch.einsum("...ij,...kl->...il", x, x) / torch.einsum("...ij->...", x)[..., None, None]


def pool_masked(hidden, mask):
    filled = torch.where(mask.bool().unsqueeze(-1), hidden, torch.zeros((), dtype=hidden.dtype))
    return filled.sum(1) / mask.sum(1, keepdim=True).clamp(min=1).to(hidden.dtype)


def marginal_in_a_table(log_probs_at, sequence, mutations):
    scores = torch.empty(len(mutations))
    for row, name in enumerate(mutations):
        wild, place, mutant = week12_parse(name, sequence)
        table = dict(zip(AMINO_ACIDS, log_probs_at(sequence, place).tolist(), strict=True))
        scores[row] = table[mutant] - table[wild]
    return scores


def week12_parse(mutation, sequence):
    wild, place, mutant = mutation[:1], mutation[1:-1], mutation[-1:]
    if wild not in AMINO_ACIDS or mutant not in AMINO_ACIDS or not place.isdecimal() or not wild or not mutant:
        raise ValueError(mutation)
    n = int(place) - 1
    if n < 0 or n >= len(sequence) or sequence[n] != wild:
        raise ValueError(f"{mutation} does not fit")
    return wild, n, mutant


RIGHT = [
    (week05.pmi_loss, pmi_einsum),
    (week05.pmi_loss, lambda s, t, m, gamma=0.65: -((s * t + 1e-20) ** gamma / m).sum(1).log().mean()),
    (week07.byol_loss, byol_lengths),
    (week07.byol_loss, byol_einsum),
    (week06.hard_distillation_loss, hard_onehot),
    (week06.hard_distillation_loss, hard_by_hand),
    (week02.rotation_sensitivity, sensitivity_loop),
    (week03.mlm_accuracy, accuracy_of_masked),
    (week06.distillation_loss, distillation_by_sums),
    (week06.patchify, patchify_unfold),
    (week06.attention_distance, distance_loop),
    (week07.collapse_report, collapse_by_categorical),
    (week09.clip_loss, clip_logsumexp),
    (week09.energy, energy_shifted),
    (week09.auroc, auroc_by_ranks),
    (week09.knn_score, knn_by_topk),
    (week11.relative, relative_keyword),
    (week12.apc, apc_einsum),
    (week12.pool_residues, pool_masked),
    (week12.masked_marginal, marginal_in_a_table),
    (week12.parse_mutation, week12_parse),
    (week09.max_logit, lambda logits: torch.amax(logits, dim=-1)),
    (week09.msp, lambda logits, temperature=1.0: F.softmax(logits / temperature, -1).amax(-1)),
    (week12.symmetrize, lambda x: torch.add(x, x.mT)),
]


@pytest.mark.parametrize(("check", "right"), RIGHT, ids=lambda x: getattr(x, "__name__", ""))
def test_right(check, right):
    assert_right(check, right)


# --- wrong


def nce(q, k, queue, temperature, *, target, candidates):
    q, k, queue = F.normalize(q, dim=1), F.normalize(k.detach(), dim=1), F.normalize(queue.detach(), dim=1)
    parts = {"positive": (q * k).sum(1, keepdim=True), "queue": q @ queue.T, "batch": q @ k.T}
    logits = torch.cat([parts[part] for part in candidates], dim=1) / temperature
    return F.cross_entropy(logits, torch.full((len(q),), target % logits.shape[1]))


def nce_of(target, *candidates):
    return lambda q, k, queue, temperature=0.07: nce(
        q, k, queue, temperature, target=target, candidates=candidates
    )


def two_nn_unsorted(x, fraction=0.9):
    near = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    r = near.topk(2, largest=False).values
    r = r[r[:, 0] > 0]
    mu = (r[:, 1] / r[:, 0]).log()
    keep = min(int(fraction * len(mu)), len(mu) - 1)
    level = -(1 - torch.arange(1, keep + 1) / len(mu)).log().double()
    return float((mu[:keep] @ level) / (mu[:keep] @ mu[:keep]))


WRONG = [
    (week05.info_nce, nce_of(1, "positive", "queue"), "a key of the queue is taken for the right one"),
    (week05.info_nce, nce_of(-1, "positive", "queue"), "a key of the queue is taken for the right one"),
    (week05.info_nce, nce_of(0, "queue", "positive"), "a key of the queue is taken for the right one"),
    (week05.info_nce, nce_of(0, "positive", "batch"), "the other keys of the batch are candidates too"),
    (week05.info_nce, nce_of(0, "positive", "batch", "queue"), "the other keys of the batch are candidates too"),
    (week10.two_nn, two_nn_unsorted, "the ratios are not sorted"),
    (week12.apc, lambda x: x - x.mean(-1, True) * x.sum(-2, True) / x.sum((-1, -2), True), "sums and means are mixed"),
    (week12.apc, lambda x: x - x.sum(-1, True) * x.mean(-2, True) / x.mean((-1, -2), True), "sums and means are mixed"),
    (week12.apc, lambda x: x - x.mean(-1, keepdim=True), "a mean is taken off"),
    # optional exercises
    (week05.pmi_loss, lambda s, t, m, gamma=0.65: pmi_einsum(s, t, m, 1.0), ""),
    (week05.pmi_loss, lambda s, t, m, gamma=0.65: -pmi_einsum(s, t, m, gamma), ""),
    (week05.pmi_loss, lambda s, t, m, gamma=0.65: pmi_einsum(s, t, torch.ones_like(m), gamma), ""),
    (week05.pmi_loss, lambda s, t, m, gamma=0.65: -((s * t.detach()) ** gamma / m).sum(1).mean().log(), ""),
    (week05.pmi_loss, lambda s, t, m, gamma=0.65: -((s * t.detach()) ** gamma / m**gamma).sum(1).log().mean(), ""),
    (week05.pmi_loss, lambda s, t, m, gamma=0.65: pmi_einsum(s.detach(), t, m, gamma), ""),
    (week07.byol_loss, lambda p, t: F.mse_loss(p, t.detach()), ""),
    (week07.byol_loss, lambda p, t: F.mse_loss(F.normalize(p), F.normalize(t.detach())), ""),
    (week07.byol_loss, lambda p, t: (2 - 2 * F.cosine_similarity(p, t)).mean(), ""),
    (week07.byol_loss, lambda p, t: (1 - F.cosine_similarity(p, t.detach())).mean(), ""),
    (week07.byol_loss, lambda p, t: (2 - 2 * F.cosine_similarity(p, t.detach())).sum(), ""),
    (week07.byol_loss, lambda p, t: (F.normalize(p) - F.normalize(t.detach())).norm(dim=1).mean(), ""),
    (week06.hard_distillation_loss, lambda c, d, t, y: hard_onehot(d, c, t, y), ""),
    (week06.hard_distillation_loss, lambda c, d, t, y: 2 * hard_onehot(c, d, t, y), ""),
    (week06.hard_distillation_loss, lambda c, d, t, y: F.cross_entropy((c + d) / 2, y), ""),
    (week06.hard_distillation_loss, lambda c, d, t, y: hard_onehot(c, c, t, y), ""),
    (week06.hard_distillation_loss, lambda c, d, t, y: hard_onehot(c, d, d, y), ""),
    (
        week06.hard_distillation_loss,
        lambda c, d, t, y: (F.cross_entropy(c, y) + F.cross_entropy(d, t.softmax(1))) / 2,
        "",
    ),
    (week03.mlm_accuracy, lambda z, y: (z.argmax(-1) == y).double().mean().item(), ""),
    (week03.mlm_accuracy, lambda z, y: (z.argmax(-1) == y)[y > 0].double().mean().item(), ""),
    (week03.mlm_accuracy, lambda z, y: float((z.argmax(-1) == y).sum() / (y >= 0).sum().clamp(min=1) * 100), ""),
    (week02.rotation_sensitivity, lambda e, x: sensitivity_loop(e, x) * 3, ""),
    (week02.rotation_sensitivity, lambda e, x: 1 - sensitivity_loop(e, x), ""),
    (week02.rotation_sensitivity, lambda e, x: float((e(x) - e(x.rot90(1, (2, 3)))).norm(dim=1).mean()), ""),
    # weeks 6 and 7
    (week06.distillation_loss, lambda s, t, y, T=4.0, a=0.7: distillation_by_sums(s, t, y, T, 1 - a), ""),
    (week06.distillation_loss, lambda s, t, y, T=4.0, a=0.7: distillation_by_sums(t, s, y, T, a), ""),
    (
        week06.distillation_loss,
        lambda s, t, y, temperature=4.0, alpha=0.7: distillation_by_sums(s, t, y, 1.0, alpha),
        "",
    ),
    (week06.patchify, lambda x, p: F.unfold(x.float(), p, stride=p).mT, ""),
    (week06.patchify, lambda x, p: patchify_unfold(x.mT, p), ""),
    (week06.patchify, lambda x, p: patchify_unfold(x, p).flip(1), ""),
    (week06.unpatchify, lambda x, p, grid: x.view(len(x), -1, grid[0] * p, grid[1] * p), ""),
    (week06.attention_distance, lambda w, g, p: distance_loop(w, g, 1), ""),
    (week06.attention_distance, lambda w, g, p: distance_loop(w, g[::-1], p), ""),
    (week06.attention_distance, lambda w, g, p: distance_loop(w, g, p).mean(), ""),
    (week07.collapse_report, lambda p: collapse_by_categorical(p)[::-1], ""),
    (week07.collapse_report, lambda p: tuple(v / math.log(2) for v in collapse_by_categorical(p)), ""),
    (week07.collapse_report, lambda p: collapse_by_categorical(p.log_softmax(1).exp()), ""),
    # week 9
    (
        week09.clip_loss,
        lambda a, b, s: F.cross_entropy(s * F.normalize(a) @ F.normalize(b).T, torch.arange(len(a))),
        "",
    ),
    (week09.clip_loss, lambda a, b, s: clip_logsumexp(a, b, 1 / s), ""),
    (week09.clip_loss, lambda a, b, s: 2 * clip_logsumexp(a, b, s), ""),
    (week09.clip_loss, lambda a, b, s: clip_logsumexp(a, b.detach(), s), ""),
    (week09.energy, lambda z, temperature=1.0: -energy_shifted(z, temperature), ""),
    (week09.energy, lambda z, temperature=1.0: energy_shifted(z, temperature) / temperature, ""),
    (week09.energy, lambda z, temperature=1.0: temperature * z.exp().sum(1).log(), ""),
    (week09.msp, lambda z, temperature=1.0: (z * temperature).softmax(1).amax(1), ""),
    (week09.msp, lambda z, temperature=1.0: 1 - (z / temperature).softmax(1).amax(1), ""),
    (week09.auroc, lambda a, b: float((a[:, None] > b).double().mean()), ""),
    (week09.auroc, lambda a, b: float((a[:, None] >= b).double().mean()), ""),
    (week09.auroc, lambda a, b: auroc_by_ranks(b, a), ""),
    (week09.fpr_at_95_tpr, lambda a, b: float((b > a.quantile(0.05)).double().mean()), ""),
    (week09.fpr_at_95_tpr, lambda a, b: float((b >= a.quantile(0.95)).double().mean()), ""),
    (week09.knn_score, lambda t, x, k=1: -knn_by_topk(t, x, k), ""),
    (week09.knn_score, lambda t, x, k=1: knn_by_topk(t, x, 1), ""),
    (week09.knn_score, lambda t, x, k=1: -torch.cdist(x, t).kthvalue(k, dim=1).values, ""),
    # weeks 11 and 12
    (week11.relative, lambda x, a, center=False: relative_keyword(x, a, False), ""),
    (
        week11.relative,
        lambda x, a, center=False: relative_keyword(x - center * x.mean(0), a - center * a.mean(0)),
        "",
    ),
    (week11.relative, lambda x, a, center=False: x @ a.T, ""),
    (week11.relative, lambda x, a, center=False: relative_keyword(x, a, center).T, ""),
    (week12.symmetrize, lambda x: (x + x.mT) / 2, ""),
    (week12.symmetrize, lambda x: x + x.T if x.dim() == 2 else x + x.transpose(0, 1), ""),
    (week12.pool_residues, lambda h, m: h.mean(1), ""),
    (week12.pool_residues, lambda h, m: (h * m[..., None]).mean(1), ""),
    (week12.pool_residues, lambda h, m: h[:, 0], ""),
    (week12.masked_marginal, lambda f, s, m: -marginal_in_a_table(f, s, m), ""),
    (week12.masked_marginal, lambda f, s, m: marginal_in_a_table(f, s, m).mean(), ""),
    (
        week12.masked_marginal,
        lambda f, s, m: torch.stack([f(s, int(x[1:-1]) - 1)[AMINO_ACIDS.index(x[-1])] for x in m]),
        "",
    ),
]


@pytest.mark.parametrize(("check", "wrong", "words"), WRONG, ids=lambda x: getattr(x, "__name__", ""))
def test_wrong(check, wrong, words):
    outcome, text = verdict(check, wrong)
    assert outcome == "wrong", text
    assert words in text, text
