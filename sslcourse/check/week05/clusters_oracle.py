"""Week 5: two losses for clusters and a matching, one number at a time, as the papers write them.

References: Van Gansbeke et al. 2020, "SCAN: learning to classify images without labels", eq. 2; Adaloglou et al. 2023,
"Exploring the limits of deep image clustering using pretrained models" (TEMI); Kuhn 1955 for the matching.
"""

from functools import partial
from itertools import permutations
from math import log

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake

# --- scan_loss


def scan_loss(anchor_logits: Tensor, neighbour_logits: Tensor, entropy_weight: float = 5.0) -> Tensor:
    """SCAN, eq. 2, with the entropy of the anchors' mean."""
    p, other = (_softmax(x) for x in (anchor_logits, neighbour_logits))
    consistency = -sum(a.dot(b).log() for a, b in zip(p, other, strict=True)) / len(p)
    mean = sum(p) / len(p)
    return consistency - entropy_weight * -sum(m * m.log() for m in mean)


def _softmax(logits: Tensor) -> list[Tensor]:
    return [row.exp() / row.exp().sum() for row in logits]


def _scan_loss(
    anchor_logits: Tensor,
    neighbour_logits: Tensor,
    entropy_weight: float = 5.0,
    *,
    to_p=lambda x: x.softmax(dim=1),
    agree: str = "product",
    entropy_of: str = "mean",
    sign: float = -1,
    fixed: float | None = None,
    consistency_factor=lambda n: 1,
    weighted: str = "entropy",
    eps: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """scan_loss with something wrong; right with the defaults. eps: added inside the two logarithms."""
    p, other = to_p(anchor_logits), to_p(neighbour_logits)
    inner = (p * other).sum(dim=1) + eps[0]
    consistency = {
        "product": lambda: -inner.log().mean(),
        "log of the mean": lambda: -inner.mean().log(),
        "no logarithm": lambda: -inner.mean(),
        "one minus": lambda: 1 - inner.mean(),
        "divergence": lambda: (p * (p / other).log()).sum(dim=1).mean(),
        "divergence from the neighbour": lambda: (other * (other / p).log()).sum(dim=1).mean(),
        "cross-entropy": lambda: -(other * p.log()).sum(dim=1).mean(),
        "cross-entropy of the neighbour": lambda: -(p * other.log()).sum(dim=1).mean(),
        "logits": lambda: -(anchor_logits * neighbour_logits).sum(dim=1).clamp(min=1e-12).log().mean(),
        "logits, as scores": lambda: -(anchor_logits * neighbour_logits).sum(dim=1).mean(),
        "logits, sigmoid": lambda: -(anchor_logits * neighbour_logits).sum(dim=1).sigmoid().log().mean(),
        "plus": lambda: inner.log().mean(),
        "mean over clusters": lambda: -inner.div(p.shape[1]).log().mean(),
        "all pairs": lambda: -(p @ other.T).log().mean(),
        "anchors": lambda: -(p * p).sum(dim=1).log().mean(),
        "neighbours": lambda: -(other * other).sum(dim=1).log().mean(),
        "cosine": lambda: -torch.cosine_similarity(p, other, dim=1).log().mean(),
        "distance": lambda: (p - other).square().sum(dim=1).mean(),
    }[agree]() * consistency_factor(len(p))

    def entropy(x: Tensor) -> Tensor:
        return -(x * (x + eps[1]).log()).sum(dim=-1)

    which = {
        "mean": lambda: entropy(p.mean(dim=0)),
        "samples": lambda: entropy(p).mean(),
        "neighbours": lambda: entropy(other.mean(dim=0)),
        "both": lambda: entropy(torch.cat([p, other]).mean(dim=0)),
        "batch": lambda: entropy(p.mean(dim=1)),
        "sum": lambda: entropy(p.sum(dim=0)),
        "mean logits": lambda: entropy(to_p(anchor_logits.mean(dim=0, keepdim=True))[0]),
        "mean over clusters": lambda: entropy(p.mean(dim=0)) / p.shape[1],
        "bits": lambda: entropy(p.mean(dim=0)) / log(2),
        "from ln C": lambda: entropy(p.mean(dim=0)) - log(p.shape[1]),
        "from uniform": lambda: p.mean(dim=0).log().mean() + log(p.shape[1]),
        "to uniform": lambda: p.mean(dim=0).log().mean(),
        "from uniform, a mean": lambda: (p.mean(dim=0).log().mean() + log(p.shape[1])) / p.shape[1],
        "from ln C, a mean": lambda: (entropy(p.mean(dim=0)) - log(p.shape[1])) / p.shape[1],
    }[entropy_of]()
    weight = entropy_weight if fixed is None else fixed
    if weighted == "divided":
        return consistency + sign * which / weight
    if weighted != "entropy":
        return weight * consistency + sign * (weight if weighted == "both" else 1) * which
    return consistency + sign * weight * which


def _scan(**what) -> partial:
    return partial(_scan_loss, **what)


def _raw_logits(a: Tensor, b: Tensor, weight: float = 5.0, *, which: str, low: float) -> Tensor:
    """Logits in place of probabilities, of one side or both; what is below low is cut off before a logarithm."""
    p, other = (x if side in which else x.softmax(dim=1) for side, x in (("a", a), ("b", b)))
    mean = p.mean(dim=0)
    entropy = -(mean * mean.clamp(min=low).log()).sum()
    return -(p * other).sum(dim=1).clamp(min=low).log().mean() - weight * entropy


SCAN_LOSS_MISTAKES = (
    Mistake(
        "it is the dot product of logits: take the softmax of both first, over the clusters.",
        (
            _scan(agree="logits"),
            _scan(agree="logits, as scores"),
            _scan(agree="logits, sigmoid"),
            *(
                partial(_raw_logits, which=w, low=low)
                for w in ("a", "b", "ab")
                for low in (1e-8, 1e-10, 1e-12, 1e-20, 1e-30)
            ),
        ),
    ),
    Mistake(
        "the softmax runs over the batch: probabilities of an image sum to 1 over the clusters, dim=1.",
        (_scan(to_p=lambda x: x.softmax(dim=0)),),
    ),
    Mistake(
        "it is the entropy of each sample: average the probabilities over the batch first, then take the entropy once.",
        (_scan(entropy_of="samples"),),
    ),
    Mistake(
        "the entropy is added: it is to become large, so it is subtracted from the loss.",
        (_scan(sign=1), _scan(sign=1, entropy_of="samples")),
    ),
    Mistake(
        "the entropy is that of the neighbours too: the mean runs over the anchors only.",
        (_scan(entropy_of="neighbours"), _scan(entropy_of="both")),
    ),
    Mistake(
        "entropy_weight is not used: the entropy is multiplied by it.",
        (_scan(fixed=1.0), _scan(fixed=5.0), _scan(fixed=2.0)),
    ),
    Mistake(
        "entropy_weight multiplies the consistency: it belongs to the entropy alone.",
        (_scan(weighted="consistency"), _scan(weighted="both")),
    ),
    Mistake("the entropy is divided by entropy_weight: multiply.", (_scan(weighted="divided"),)),
    Mistake(
        "a number is added inside a logarithm that is large enough to count: take log_softmax, or add 1e-8.",
        tuple(_scan(eps=eps) for e in (0.1, 0.01, 0.001) for eps in ((e, 0.0), (0.0, e), (e, e))),
    ),
    Mistake("the entropy term is missing.", (_scan(fixed=0.0),)),
    Mistake(
        "the logarithm and the mean are swapped: first the logarithm for every pair, then the mean.",
        (_scan(agree="log of the mean"),),
    ),
    Mistake("the logarithm of the inner product is missing.", (_scan(agree="no logarithm"), _scan(agree="one minus"))),
    Mistake(
        "it is a cross-entropy or a divergence: the consistency is the logarithm of the inner product, "
        "log sum_c p_c p'_c.",
        (
            _scan(agree="cross-entropy"),
            _scan(agree="cross-entropy of the neighbour"),
            _scan(agree="divergence"),
            _scan(agree="divergence from the neighbour"),
        ),
    ),
    Mistake(
        "every anchor is compared with every neighbour: row n of the one belongs to row n of the other.",
        (_scan(agree="all pairs"),),
    ),
    Mistake(
        "one side is compared with itself: the inner product is that of an anchor and its neighbour.",
        (_scan(agree="anchors"), _scan(agree="neighbours")),
    ),
    Mistake("the sign of the consistency is wrong: agreement makes the loss smaller.", (_scan(agree="plus"),)),
    Mistake("the pairs are summed: take the mean over them.", (_scan(consistency_factor=lambda n: n),)),
    Mistake(
        "a softmax is taken twice: the arguments are logits, one softmax makes them probabilities.",
        (_scan(to_p=lambda x: x.softmax(dim=1).softmax(dim=1)),),
    ),
    Mistake(
        "the consistency averages over the clusters: the inner product is a sum over them.",
        (_scan(agree="mean over clusters"),),
    ),
    Mistake(
        "the probabilities are compared by cosine: take their inner product, which also asks for confidence.",
        (_scan(agree="cosine"),),
    ),
    Mistake(
        "the probabilities are compared by squared distance: take the logarithm of their inner product.",
        (_scan(agree="distance"),),
    ),
    Mistake("the entropy is that of summed probabilities: take their mean over the batch.", (_scan(entropy_of="sum"),)),
    Mistake(
        "the logits are averaged: take the softmax of each image first, then the mean.",
        (_scan(entropy_of="mean logits"),),
    ),
    Mistake(
        "the entropy averages over the clusters: it is a sum over them.", (_scan(entropy_of="mean over clusters"),)
    ),
    Mistake("the entropy is in bits: take the natural logarithm.", (_scan(entropy_of="bits"),)),
    Mistake(
        "the mean is compared with uniform probabilities, by a divergence or a cross-entropy: the entropy of the mean "
        "is asked for, -sum_c m_c log m_c.",
        tuple(
            _scan(entropy_of=of)
            for of in ("from ln C", "from uniform", "to uniform", "from uniform, a mean", "from ln C, a mean")
        ),
    ),
    Mistake(
        "the mean probabilities run over the clusters: take their mean over the batch, dim=0.",
        (_scan(entropy_of="batch"),),
    ),
)


# --- pmi_loss and update_marginal


def pmi_loss(student_probs: Tensor, teacher_probs: Tensor, marginal: Tensor, gamma: float = 0.65) -> Tensor:
    """-mean log sum_c (p_s p_t)^gamma / marginal_c."""
    loss = 0.0
    for p, t in zip(student_probs, teacher_probs, strict=True):
        loss = loss - sum((p[c] * t[c]) ** gamma / marginal[c] for c in range(len(marginal))).log()
    return loss / len(student_probs)


def _pmi_loss(p: Tensor, t: Tensor, marginal: Tensor, gamma: float = 0.65, *, kind: str = "", factor=lambda n: 1):
    n = len(p)
    terms = {
        "no marginal": lambda: (p * t) ** gamma,
        "marginal times": lambda: (p * t) ** gamma * marginal,
        "gamma outside": lambda: p * t / marginal,
        "gamma on all": lambda: (p * t / marginal) ** gamma,
        "student only": lambda: p**gamma * t / marginal,
        "gamma 0.65": lambda: (p * t) ** 0.65 / marginal,
        "root": lambda: (p * t) ** (1 / gamma) / marginal,
        "complement": lambda: (p * t) ** (1 - gamma) / marginal,
        "even": lambda: (p * t) ** gamma * p.shape[1],
        "batch": lambda: (p * t) ** gamma / p.mean(dim=0),
        "teacher's batch": lambda: (p * t) ** gamma / t.mean(dim=0),
        "root of the marginal": lambda: (p * t) ** gamma / marginal.sqrt(),
    }
    inner = terms.get(kind, lambda: (p * t) ** gamma / marginal)().sum(dim=1)
    loss = -inner.mean().log() if kind == "log of the mean" else -inner.log().mean()
    if kind == "gamma outside":
        loss = gamma * loss
    if kind == "no logarithm":
        loss = -inner.mean()
    return factor(n) * loss


PMI_LOSS_MISTAKES = (
    Mistake(
        "another marginal divides: it is the argument, a running mean, neither that of this batch nor an even one.",
        tuple(partial(_pmi_loss, kind=kind) for kind in ("even", "batch", "teacher's batch", "root of the marginal")),
    ),
    Mistake("the exponent is 1 - gamma: it is gamma.", (partial(_pmi_loss, kind="complement"),)),
    Mistake(
        "the logarithm is taken of each cluster's term: first the sum over the clusters, then its logarithm.",
        (lambda p, t, marginal, gamma=0.65: -((p * t) ** gamma / marginal).log().sum(dim=1).mean(),),
    ),
    Mistake(
        "the marginal is missing: each cluster's term is divided by it.", (partial(_pmi_loss, kind="no marginal"),)
    ),
    Mistake("the terms are multiplied by the marginal: divide by it.", (partial(_pmi_loss, kind="marginal times"),)),
    Mistake(
        "gamma is at the wrong place: it is the exponent of the product p_s p_t alone, before dividing and summing.",
        (
            partial(_pmi_loss, kind="gamma outside"),
            partial(_pmi_loss, kind="gamma on all"),
            partial(_pmi_loss, kind="student only"),
            partial(_pmi_loss, kind="root"),
        ),
    ),
    Mistake(
        "the argument gamma is not used.", (partial(_pmi_loss, kind="gamma 0.65"), lambda *a: pmi_loss(*a[:3], 1.0))
    ),
    Mistake(
        "the logarithm and the mean are swapped: first the logarithm for every pair, then the mean.",
        (partial(_pmi_loss, kind="log of the mean"),),
    ),
    Mistake("the logarithm is missing.", (partial(_pmi_loss, kind="no logarithm"),)),
    Mistake(
        "the sign is wrong: more mutual information makes the loss smaller.", (partial(_pmi_loss, factor=lambda n: -1),)
    ),
    Mistake("the pairs are summed: take the mean over them.", (partial(_pmi_loss, factor=lambda n: n),)),
)


# --- cluster_accuracy


def best_matching(assignments: list[int], labels: list[int]) -> float:
    """The largest share of agreement over all one-to-one matchings, by trying every one of them."""
    clusters, classes = sorted(set(assignments)), sorted(set(labels))
    names = classes + [-1] * max(0, len(clusters) - len(classes))
    best = 0
    for chosen in permutations(names, len(clusters)):
        mapping = dict(zip(clusters, chosen, strict=True))
        best = max(best, sum(mapping[a] == y for a, y in zip(assignments, labels, strict=True)))
    return best / len(labels)


def majority(assignments: list[int], labels: list[int]) -> float:
    """Every cluster named after its commonest class, the same class as often as it likes."""
    right = 0
    for cluster in set(assignments):
        inside = [y for a, y in zip(assignments, labels, strict=True) if a == cluster]
        right += max(map(inside.count, set(inside)))
    return right / len(labels)


def greedy(assignments: list[int], labels: list[int], by: str = "largest") -> float:
    """One-to-one, but one after another: the largest count first, or cluster after cluster (or class after class)."""
    pairs = list(zip(assignments, labels, strict=True))
    clusters, classes = sorted(set(assignments)), sorted(set(labels))
    right = 0
    while clusters and classes:
        rows = clusters if by in ("largest", "class") else clusters[:1]
        columns = classes[:1] if by == "class" else classes
        count, row, column = max(
            ((pairs.count((c, y)), c, y) for c in rows for y in columns), key=lambda found: found[0]
        )
        right += count
        clusters.remove(row)
        classes.remove(column)
    return right / len(labels)


def worst_matching(assignments: list[int], labels: list[int]) -> float:
    """What linear_sum_assignment finds where it minimises."""
    clusters, classes = sorted(set(assignments)), sorted(set(labels))
    if len(clusters) > len(classes):
        found = [zip(chosen, classes, strict=True) for chosen in permutations(clusters, len(classes))]
    else:
        found = [zip(clusters, chosen, strict=True) for chosen in permutations(classes, len(clusters))]
    pairs = list(zip(assignments, labels, strict=True))
    return min(sum(pairs.count(pair) for pair in matching) for matching in map(list, found)) / len(labels)
