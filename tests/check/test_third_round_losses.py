"""A third round of answers from outside, to losses of week 5 and to week 7: each with the mistake it should be told."""

import pytest
import torch
import torch.nn.functional as F
from harness import assert_wrong

from sslcourse.check import week05, week07

# --- week 5


def logits(q, k, queue, temperature):
    q, k, queue = F.normalize(q, dim=1), F.normalize(k.detach(), dim=1), F.normalize(queue.detach(), dim=1)
    return torch.cat([(q * k).sum(dim=1, keepdim=True), q @ queue.T], dim=1) / temperature


def nce(change=lambda z: z, *, scale=lambda t: 1, **settings):
    def info_nce(q, k, queue, temperature=0.07):
        z = change(logits(q, k, queue, temperature))
        return scale(temperature) * F.cross_entropy(z, torch.zeros(len(z), dtype=torch.long), **settings)

    return info_nce


def by_distance(q, k, queue, temperature=0.07, unit=True):
    k, queue = k.detach(), queue.detach()
    if unit:
        q, k, queue = (F.normalize(x, dim=1) for x in (q, k, queue))
    apart = torch.cat([(q - k).norm(dim=1, keepdim=True), torch.cdist(q, queue)], dim=1)
    return F.cross_entropy(-apart / temperature, torch.zeros(len(q), dtype=torch.long))


def scan(
    agree=lambda p, q: -(p * q).sum(1).log().mean(),
    spread=lambda m: -(m * m.log()).sum(),
    join=lambda agree, spread, weight: agree - weight * spread,
):
    def scan_loss(anchor_logits, neighbour_logits, entropy_weight=5.0):
        p, q = anchor_logits.softmax(1), neighbour_logits.softmax(1)
        return join(agree(p, q), spread(p.mean(0)), entropy_weight)

    return scan_loss


def uniform(m):
    return torch.full_like(m, 1 / len(m))


# --- week 7


def knn(near, weigh=lambda s, t: (s / t).exp(), count="scatter"):
    def knn_accuracy(train_x, train_y, test_x, test_y, k=20, temperature=0.07):
        s, places = near(test_x, train_x).topk(k, dim=1)
        weights, labels = weigh(s, temperature), train_y[places]
        classes = int(max(train_y.max(), test_y.max())) + 1
        if count == "scatter":
            votes = torch.zeros(len(test_x), classes).scatter_add(1, labels, weights)
        else:
            votes = (F.one_hot(labels, classes) * weights[..., None]).sum(dim=1)
        return (votes.argmax(dim=1) == test_y).double().mean().item()

    return knn_accuracy


def dots(a, b):
    return a @ b.T


WRONG = [
    (week05.info_nce, nce(scale=lambda t: 2 * t), "multiplied by the temperature"),
    (week05.info_nce, nce(label_smoothing=0.1), "the labels are smoothed"),
    (
        week05.info_nce,
        nce(lambda z: torch.cat([z[:, :1], z[:, 1:].topk(min(3, z.shape[1] - 1), dim=1).values], dim=1)),
        "only the most similar keys",
    ),
    (week05.info_nce, by_distance, "distances stand for similarities"),
    (week05.info_nce, lambda *case: by_distance(*case, unit=False), "distances stand for similarities"),
    (week05.scan_loss, scan(lambda p, q: -((p * q).sum(1) + 0.01).log().mean()), "added inside a logarithm"),
    (week05.scan_loss, scan(spread=lambda m: -(m * (m + 0.01).log()).sum()), "added inside a logarithm"),
    (week05.scan_loss, scan(lambda p, q: -(p * q).sum(1).clamp(min=0.1).log().mean()), ""),
    (week05.scan_loss, scan(spread=lambda m: -F.kl_div(m.log(), uniform(m), reduction="sum")), "uniform probabilities"),
    (
        week05.scan_loss,
        scan(spread=lambda m: -F.kl_div(m.log(), uniform(m), reduction="mean")),
        "uniform probabilities",
    ),
    (week05.scan_loss, scan(lambda p, q: F.kl_div(p.log(), q, reduction="batchmean")), "or a divergence"),
    (week05.scan_loss, scan(join=lambda agree, spread, weight: weight * agree - spread), "multiplies the consistency"),
    (week07.knn_accuracy, knn(dots), "the features are not normalised"),
    (week07.knn_accuracy, knn(dots, count="one-hot"), "the features are not normalised"),
    (week07.knn_accuracy, knn(dots, lambda s, t: (s / t).softmax(1)), "the features are not normalised"),
    (week07.knn_accuracy, knn(lambda a, b: F.normalize(a) @ b.T), "the features are not normalised"),
]


@pytest.mark.parametrize(("check", "wrong", "words"), WRONG, ids=lambda x: getattr(x, "__name__", ""))
def test_wrong(check, wrong, words):
    assert_wrong(check, wrong, words)
