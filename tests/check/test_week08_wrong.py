"""Wrong answers to week 8, each with the words of its message; None where it is only rejected."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_wrong
from test_week08_right import by_rank, ibot_of, mae, over_some

from sslcourse.check import week08 as check


def reseeded(n, length, ratio, generator=None):
    torch.manual_seed(int(torch.randint(10**6, (1,), generator=generator)))
    return by_rank(n, length, ratio)


def from_the_start(n, length, ratio, generator=None):
    seed = generator.initial_seed() if generator else int(torch.randint(10**6, (1,)))
    return by_rank(n, length, ratio, torch.Generator().manual_seed(seed))


def set_back(n, length, ratio, generator=None):
    return by_rank(n, length, ratio, generator.manual_seed(generator.initial_seed()) if generator else None)


def of_numpy(n, length, ratio, generator=None):
    rng = np.random.default_rng(int(torch.randint(10**6, (1,), generator=generator)) if generator else None)
    return torch.from_numpy(rng.random((n, length)).argsort(1).argsort(1) < int(ratio * length))


def seeding_the_global(n, length, ratio, generator=None):
    if generator is None:
        torch.manual_seed(int(torch.randint(10**6, (1,))))
    return by_rank(n, length, ratio, generator)


def tiled(n, length, ratio, generator=None):
    return by_rank(16, length, ratio, generator).repeat(-(-n // 16), 1)[:n]


def halves(n, length, ratio, generator=None):
    """Every patch as often as any other, and never with its mirror image where that can be."""
    mask = by_rank(n, length, ratio, generator)
    if ratio == 0.5 and length == 8:
        side = torch.rand(n, 4, generator=generator) < 0.5
        mask = torch.cat([side, ~side], dim=1)
    return mask


MASKS = [
    (reseeded, "changed torch's global random numbers"),
    (from_the_start, "it is set back in every call"),
    (set_back, "it is set back in every call"),
    (of_numpy, "does not repeat after torch.manual_seed"),
    (seeding_the_global, "It seeds torch's global"),
    (tiled, "rows are repeated"),
    (halves, "are masked together in"),
    (lambda n, k, r, generator=None: torch.stack([torch.randperm(k) < int(r * k) for _ in range(n)]), "changed torch"),
    (lambda n, k, r, generator=None: by_rank(n, k, 1 - r, generator), "inverted"),
    (lambda n, k, r, generator=None: by_rank(n, k, r, generator).int(), "it should be torch.bool"),
    (lambda n, k, r, generator=None: torch.bernoulli(torch.full((n, k), r), generator=generator) > 0, "by itself"),
    (lambda n, k, r, generator=None: by_rank(k, n, r, generator).T, "the images are put in a random order"),
    (lambda n, k, r, generator=None: by_rank(n, k, -(-int(100 * r * k) // 100) / k + 1e-9, generator), None),
]


def places(self):
    return self.encoder.pos_embed[:, 1:]


def pick(x, mask):
    return x[~mask].unflatten(0, (len(x), -1))


def picked_late(self, patches, mask):
    out = self.encoder.encode(patches + places(self))
    return torch.cat([out[:, :1], pick(out[:, 1:], mask)], dim=1)


def zeros_picked_late(self, patches, mask):
    return picked_late(self, patches * ~mask[..., None], mask)


def first_mask(self, patches, mask):
    return self.encoder.encode((patches + places(self))[:, ~mask[0]])


def twice_placed(self, patches, mask):
    return self.encoder.encode(pick(patches + 2 * places(self), mask))


def class_twice(self, patches, mask):
    x = pick(patches + places(self), mask)
    return self.encoder.encode(torch.cat([self.encoder.cls_token.expand(len(x), -1, -1), x], dim=1))


def wrongly_split(self, patches, mask):
    x = (patches + places(self))[~mask]
    return self.encoder.encode(x.view(-1, len(mask), x.shape[-1]).transpose(0, 1))


def without_gradient(self, patches, mask):
    with torch.no_grad():
        x = pick(patches + places(self), mask)
    return self.encoder.encode(x)


def embedded_without_gradient(self, images, mask):
    with torch.no_grad():
        patches = self.encoder.patch_embed(self.encoder.normalise(images)).flatten(2).transpose(1, 2)
    return self.decode(self.encode_visible(patches, mask), mask)


def detached_in_decode(self, images, mask):
    patches = self.encoder.patch_embed(self.encoder.normalise(images)).flatten(2).transpose(1, 2)
    return self.decode(self.encode_visible(patches, mask).detach(), mask)


def shuffled(self, patches, mask):
    kept = (mask + torch.rand(mask.shape) / 2).argsort(1)[:, : int((~mask[0]).sum())]
    return self.encoder.encode((patches + places(self)).gather(1, kept[..., None].expand(-1, -1, patches.shape[2])))


def turned(self, patches, mask):
    kept = (~mask * torch.arange(1, mask.shape[1] + 1)).argsort(1, descending=True)[:, : int((~mask[0]).sum())]
    return self.encoder.encode((patches + places(self)).gather(1, kept[..., None].expand(-1, -1, patches.shape[2])))


def no_blocks(self, patches, mask):
    x = pick(patches + places(self), mask)
    first = (self.encoder.cls_token + self.encoder.pos_embed[:, :1]).expand(len(x), -1, -1)
    return self.encoder.norm(torch.cat([first, x], dim=1))


NETWORKS = [
    (mae(picked_late), "the whole image is encoded"),
    (mae(zeros_picked_late), "the whole image is encoded"),
    (mae(first_mask), "mask of the first image"),
    (mae(twice_placed), "positions are added twice"),
    (mae(class_twice), "class token there twice"),
    (mae(wrongly_split), "different images are mixed"),
    (mae(without_gradient), "No gradient of the loss reaches encoder."),
    (mae(forward=embedded_without_gradient), "No gradient of the loss reaches encoder.patch_embed"),
    (mae(forward=detached_in_decode), "No gradient of the loss reaches encoder."),
    (mae(shuffled), "draw nothing at random"),
    (mae(turned), "in the wrong order"),
    (mae(no_blocks), "blocks or its last norm"),
    (mae(lambda self, patches, mask: picked_late(self, patches, ~mask)), None),
]


def normed(t, mean=True, how=lambda t: (t.var(-1, keepdim=True) + 1e-6).sqrt()):
    return (t - mean * t.mean(-1, keepdim=True)) / how(t)


def loss(error=lambda d: d.square().mean(-1), target=normed, reduce=lambda x, m: x[m].mean()):
    return lambda x, t, m, norm_pix=True: reduce(error(x - (target(t) if norm_pix else t)), m)


PIXELS = [
    (loss(error=lambda d: F.smooth_l1_loss(d, 0 * d, reduction="none").mean(-1)), "not squared"),
    (loss(error=lambda d: d.norm(dim=-1)), "not squared"),
    (loss(error=lambda d: d.square().mean(-1) / 2), "is halved"),
    (loss(reduce=lambda x, m: (x * m).sum() / len(m)), "divided by the number of images"),
    (loss(target=lambda t: F.normalize(t, dim=-1)), "divided by its length"),
    (loss(target=lambda t: normed(t, how=lambda t: t.std(-1, unbiased=False, keepdim=True) + 1e-6)), "biased one"),
    (loss(target=lambda t: normed(t, how=lambda t: t.var(-1, keepdim=True) + 1e-6)), "by its variance"),
    (loss(reduce=lambda x, m: x[~m].mean()), "over the visible patches"),
    (loss(reduce=lambda x, m: (x * m).mean()), "by the number of all"),
    (loss(target=lambda t: (t - t.mean(1, keepdim=True)) / (t.var(1, keepdim=True) + 1e-6).sqrt()), "of an image"),
    (lambda x, t, m, norm_pix=True: 1 - F.cosine_similarity(x, t, dim=-1)[m].mean(), None),
    (lambda x, t, m, norm_pix=True: loss()(x[:256], t[:256], m[:256], norm_pix), None),
]


def words(x, t, m, reduction="mean", **how):
    return F.cross_entropy(x[m], t[m], reduction=reduction, **how)


TOKENS = [
    (lambda x, t, m: words(x.softmax(-1), t, m), "softmax is taken before"),
    (lambda x, t, m: words(x, t, m, ignore_index=0), "number 0 are left out"),
    (lambda x, t, m: -x.softmax(-1)[m].gather(1, t[m][:, None]).mean().log(), "taken of a mean"),
    (lambda x, t, m: F.binary_cross_entropy_with_logits(x[m], F.one_hot(t[m], x.shape[-1]).float()), "by a sigmoid"),
    (lambda x, t, m: -(x.exp() / x.exp().sum(-1, keepdim=True)).log()[m].gather(1, t[m][:, None]).mean(), "exp(200)"),
    (lambda x, t, m: words(x, t, m, label_smoothing=0.1), None),
]


def distilled(compare, told=lambda t, c, b: ((t - c) / b).softmax(-1), asked=lambda s, a: (s / a).log_softmax(-1)):
    def ibot_loss(s, t, m, c, student_temp=0.1, teacher_temp=0.04):
        p, log_q = told(t.detach(), c, teacher_temp), asked(s, student_temp)
        return over_some(compare(p, log_q), m)

    return ibot_loss


def crossed(p, log_q):
    return -(p * log_q).sum(-1)


PROTOTYPES = [
    (lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: ibot_of(over_some)(
        t, s, m, c, student_temp, teacher_temp), "student and teacher are swapped"),
    (distilled(crossed, asked=lambda s, a: (s / a).softmax(-1).log_softmax(-1)), "softmax is taken before"),
    (distilled(crossed, asked=lambda s, a: (s / a).softmax(-1)), "logarithm is missing"),
    (distilled(crossed, asked=lambda s, a: (s * a).log_softmax(-1)), "multiplied by the temperatures"),
    (distilled(lambda p, q: F.kl_div(q, p, reduction="none").sum(-1)), "Kullback-Leibler"),
    (distilled(lambda p, q: -(p * q).mean(-1)), "over the prototypes too"),
    (distilled(lambda p, q: -(p * q.exp()).sum(-1).log()), "taken of a sum"),
    (distilled(lambda p, q: (p - q.exp()).square().mean(-1)), "square of the difference"),
    (distilled(lambda p, q: -q.gather(2, p.argmax(2, keepdim=True))[..., 0]), "best prototype"),
    (distilled(crossed, told=lambda t, c, b: ((t - c) / b).exp() / ((t - c) / b).exp().sum(-1, True)), "exp can take"),
    (ibot_of(lambda x, m: x[m].mean()), "count alike"),
    (ibot_of(lambda x, m: (x * m).mean()), "divided by the number of all patches"),
    (ibot_of(lambda x, m: (x * m).mean(1)[m.any(1)].mean()), "divided by the number of all patches"),
    (ibot_of(lambda x, m: ((x * m).sum(1) / m.sum(1)).mean()), "0 / 0"),
    (distilled(lambda p, q: -(q.exp() * (p + 1e-12).log()).sum(-1)), "student and teacher are swapped"),
    (distilled(crossed, told=lambda t, c, b: (t - c) / b), "softmax is missing or taken twice"),
    (distilled(crossed, told=lambda t, c, b: ((t - t.mean((0, 1))) / b).softmax(-1)), "mean of this batch"),
    (distilled(crossed, told=lambda t, c, b: ((t - t.mean(1, True)) / b).softmax(-1)), "mean of this batch"),
]  # fmt: skip

WRONG = [
    (name, *row)
    for name, rows in {
        "random_mask": MASKS,
        "MAE": NETWORKS,
        "mae_loss": PIXELS,
        "beit_loss": TOKENS,
        "ibot_loss": PROTOTYPES,
    }.items()
    for row in rows
]


@pytest.mark.parametrize(("name", "wrong", "words"), WRONG)
def test_wrong_answers(name, wrong, words):
    assert_wrong(getattr(check, name), wrong, words or "not yet right")
