"""Week 9's CLIP without training: right versions in several styles, and each named mistake by its message."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong
from sklearn.metrics.pairwise import cosine_similarity

from sslcourse.check import week09 as check
from sslcourse.check.week09 import without_training_oracle as oracle

# --- right versions


def by_sklearn(image_x, text_x, image_anchors, text_anchors, k, power=1.0):
    def described(x, anchors):
        similar = np.maximum(cosine_similarity(x.numpy(), anchors.numpy()), 0)
        similar[np.argsort(np.argsort(-similar, axis=1), axis=1) >= k] = 0
        return similar**power

    return torch.from_numpy(
        cosine_similarity(described(image_x, image_anchors), described(text_x, text_anchors))
    ).float()


def by_threshold(image_x, text_x, image_anchors, text_anchors, k, power=1.0):
    kept = []
    for x, anchors in ((image_x, image_anchors), (text_x, text_anchors)):
        similar = F.cosine_similarity(x[:, None], anchors[None], dim=2)
        least = similar.sort(dim=1, descending=True).values[:, k - 1 : k]
        kept.append(torch.where(similar >= least, similar, 0).relu().pow(power))
    return F.cosine_similarity(kept[0][:, None], kept[1], dim=-1)


def by_loops(image_x, text_x, image_anchors, text_anchors, k, power=1):
    return torch.stack(
        [
            oracle.asif(one[None].double(), text_x.double(), image_anchors.double(), text_anchors.double(), k, power)[0]
            for one in image_x
        ]
    )


@pytest.mark.parametrize("right", [by_sklearn, by_threshold, by_loops])
def test_right_asif(right, seeds):
    assert_right(check.asif, right)


# --- wrong versions, each one change in this


def version(
    *,
    unit=lambda z: F.normalize(z, dim=1),
    anchor_unit=lambda z: F.normalize(z, dim=1),
    near=lambda c, k: c.topk(min(k, c.shape[1]), dim=1).indices,
    raised=lambda c, p: c.clamp(min=0) ** p,
    end=lambda z: F.normalize(z, dim=1),
    before=lambda x, a: (x, a),
    out=lambda z: z,
):
    def asif(image_x, text_x, image_anchors, text_anchors, k, power=1.0):
        made = []
        for x, anchors in ((image_x, image_anchors), (text_x, text_anchors)):
            x, anchors = before(x, anchors)
            cosines = unit(x) @ anchor_unit(anchors).T
            mask = torch.zeros_like(cosines).scatter(1, near(cosines, k), 1.0)
            made.append(end(raised(cosines, power) * mask))
        return out(made[0] @ made[1].T)

    return asif


def everything(cosines, k):
    return torch.arange(cosines.shape[1]).expand(len(cosines), -1)


def images_only(image_x, text_x, image_anchors, text_anchors, k, power=1.0):
    images, texts = (
        (F.normalize(x) @ F.normalize(a).T).clamp(min=0) ** power
        for x, a in ((image_x, image_anchors), (text_x, text_anchors))
    )
    images = torch.zeros_like(images).scatter(1, images.topk(k).indices, images.topk(k).values)
    return F.normalize(images) @ F.normalize(texts).T


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (version(unit=lambda z: z, anchor_unit=lambda z: z), "the features are not normalised"),
        (version(anchor_unit=lambda z: z), "the features are not normalised"),
        (version(near=everything), "all anchors are kept"),
        (images_only, "only one of the two sides is made sparse"),
        (version(raised=lambda c, p: c.clamp(min=0)), "the power is not used"),
        (version(raised=lambda c, p: c.abs() ** p), "an even one makes them positive"),
        (version(raised=lambda c, p: c.sign() * c.abs() ** p), "negative similarities keep their sign"),
        (version(before=lambda x, a: (x, a - a.mean(0))), "the anchors' mean is taken off"),
        (version(raised=lambda c, p: c.clamp(min=0) ** (1 / p)), "the root is taken"),
        (version(raised=lambda c, p: (c > 0).float()), "counts as 1"),
        (version(raised=lambda c, p: (c / 0.1).exp()), "a softmax makes weights"),
        (version(out=lambda z: z.softmax(1)), "a softmax runs over the result"),
        (version(end=lambda z: F.normalize(z - z.mean(1, keepdim=True))), "standardised at the end"),
        (version(end=lambda z: z, out=lambda z: z / 30), "it should be"),
        (version(end=lambda z: z), "not normalised at the end"),
        (version(before=lambda x, a: (x - a.mean(0), a - a.mean(0))), "the anchors' mean is taken off"),
        (version(near=lambda c, k: c.abs().topk(k, dim=1).indices), "by size are kept"),
        (version(near=lambda c, k: c.topk(k, dim=1, largest=False).indices), "the k smallest"),
        (version(near=lambda c, k: c.topk(min(k + 1, c.shape[1]), dim=1).indices), "one anchor too many or too few"),
        (version(near=lambda c, k: c.topk(max(k - 1, 1), dim=1).indices), "one anchor too many or too few"),
        (version(out=lambda z: z.T), "a row for every image"),
        (version(out=lambda z: z.argmax(dim=1)), "it should be (7, 4)"),
        (version(out=lambda z: 1 - z), "it should be"),
        (version(out=lambda z: None), "returns None"),
        (lambda i, t, ia, ta, k, power=2.0: version()(i, t, ia, ta, k, power), "which is the default"),
    ],
)
def test_wrong_asif(wrong, words):
    assert_wrong(check.asif, wrong, words)
