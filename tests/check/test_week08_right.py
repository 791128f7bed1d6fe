"""Right answers to week 8 in styles of their own: numpy, gather, loops, other random numbers, both means of iBOT."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, verdict

import sslcourse
from sslcourse.check import week08 as check

Reference = sslcourse.solution("week08", "MAE")


# --- right answers


def by_rank(n, n_patches, ratio, generator=None):
    return torch.rand((n, n_patches), generator=generator).argsort(1).argsort(1) < int(ratio * n_patches)


def by_multinomial(n, n_patches, ratio, generator=None):
    places = torch.ones(n, n_patches).multinomial(int(ratio * n_patches), generator=generator)
    return F.one_hot(places, n_patches).sum(1).bool()


def by_global_generator(n, n_patches, ratio, generator=None):
    generator = generator or torch.default_generator
    rows = [torch.randperm(n_patches, generator=generator) < int(ratio * n_patches) for _ in range(n)]
    return torch.stack(rows)


def by_kthvalue(n, n_patches, ratio, generator=None):
    noise = torch.empty(n, n_patches).uniform_(generator=generator)
    return noise <= noise.kthvalue(int(ratio * n_patches), dim=1, keepdim=True).values


def by_normal(n, n_patches, ratio, generator=None):
    noise = torch.randn(n, n_patches, generator=generator)
    mask = np.zeros((n, n_patches), dtype=bool)
    np.put_along_axis(mask, np.argsort(noise.numpy(), 1)[:, : int(ratio * n_patches)], True, axis=1)
    return torch.from_numpy(mask)


def mae(encode=None, **given):
    return type("MAE", (Reference,), ({"encode_visible": encode} if encode else {}) | given)


def by_masked_select(self, patches, mask):
    x = patches + self.encoder.pos_embed[:, 1:]
    seen = torch.masked_select(x, ~mask[..., None])
    return self.encoder.encode(seen.view(len(x), -1, x.shape[-1]))


def by_nonzero(self, patches, mask):
    n, visible = len(mask), int((~mask[0]).sum())
    places = (~mask).nonzero()[:, 1].view(n, visible)
    rows = torch.arange(n)[:, None]
    return self.encoder.encode(patches[rows, places] + self.encoder.pos_embed[0, 1:][places])


def by_noise(self, patches, mask):
    kept = torch.topk(mask.float() + torch.arange(mask.shape[1]) * 1e-4, int((~mask[0]).sum()), largest=False).indices
    kept = kept.sort(dim=1).values[..., None].expand(-1, -1, patches.shape[-1])
    return self.encoder.encode(torch.gather(patches + self.encoder.pos_embed[:, 1:], 1, kept))


def mae_loss_in_loops(predictions, patches, mask, norm_pix=True):
    losses = []
    for n, i in mask.nonzero().tolist():
        target = patches[n, i]
        if norm_pix:
            target = (target - target.mean()) / torch.sqrt(target.var() + 1e-6)
        losses.append(F.mse_loss(predictions[n, i], target))
    return torch.stack(losses).mean()


def mae_loss_with_weights(predictions, patches, mask, norm_pix=True):
    if norm_pix:
        std = torch.sqrt(patches.var(-1, unbiased=False) * patches.shape[-1] / (patches.shape[-1] - 1) + 1e-6)
        patches = (patches - patches.mean(-1, True)).div(std[..., None])
    weight = mask[..., None].to(patches) / (mask.sum() * patches.shape[-1])
    return torch.einsum("nlp,nlp->", weight.expand_as(patches), (predictions - patches).pow(2))


def ibot(s, t, mask, center, student_temp=0.1, teacher_temp=0.04, *, weigh):
    told = F.softmax((t - center) / teacher_temp, dim=-1).detach()
    loss = torch.sum(-told * F.log_softmax(s / student_temp, dim=-1), dim=-1)
    return weigh(loss, mask)


def over_all(loss, mask):
    """As iBOT, DINOv2 and lightly: an image without a masked patch counts as 0."""
    return (torch.sum(loss * mask.float(), dim=-1) / mask.sum(dim=-1).clamp(min=1.0)).mean()


def over_some(loss, mask):
    return torch.stack([row[hidden].mean() for row, hidden in zip(loss, mask, strict=True) if hidden.any()]).mean()


def ibot_of(weigh):
    return lambda s, t, m, c, student_temp=0.1, teacher_temp=0.04: ibot(
        s, t, m, c, student_temp, teacher_temp, weigh=weigh
    )


RIGHT = {
    "random_mask": [by_rank, by_multinomial, by_global_generator, by_kthvalue, by_normal],
    "MAE": [mae(by_masked_select), mae(by_nonzero), mae(by_noise)],
    "mae_loss": [
        mae_loss_in_loops,
        mae_loss_with_weights,
        functools.partial(lambda eps, x, t, m, norm_pix=True: mae_loss_in_loops(x, t, m, norm_pix), 1e-6),
        lambda x, t, m, norm_pix=True: torch.stack(
            [mae_loss_with_weights(*(part[n : n + 1] for part in (x, t, m)), norm_pix) for n in range(len(x))]
        ).mean(),
    ],
    "beit_loss": [
        lambda x, t, m: -(x.log_softmax(-1) * F.one_hot(t, x.shape[-1])).sum(-1)[m].mean(),
        lambda x, t, m: (F.cross_entropy(x.mT, t, reduction="none") * m).sum() / m.sum(),
    ],
    "ibot_loss": [ibot_of(over_all), ibot_of(over_some)],
}


@pytest.mark.parametrize(("name", "right"), [(name, answer) for name in RIGHT for answer in RIGHT[name]])
def test_right_answers(name, right, seeds):
    assert_right(getattr(check, name), right)


def test_ibot_over_all_images_is_told_what_the_text_means():
    outcome, text = verdict(check.ibot_loss, ibot_of(over_all))
    assert outcome == "right" and "the text means the images that have any" in text, text
