"""A third round of answers from outside, to weeks 8 and 12 and RELAX: each with the mistake it should be told."""

import pytest
import torch
import torch.nn.functional as F
from harness import assert_wrong
from torch import nn

import sslcourse
from sslcourse.check import bonus, week08, week12

# --- week 8


def masking(order):
    def random_mask(n, n_patches, ratio, generator=None):
        return order(torch.rand(n, n_patches, generator=generator), int(ratio * n_patches), generator)

    return random_mask


def ranks(x, dim=1):
    return x.argsort(dim).argsort(dim)


def drawn_again(noise, k, generator):
    places = torch.randint(noise.shape[1], (len(noise), k), generator=generator)
    return torch.zeros_like(noise).bool().scatter(1, places, True)


def mae(error=lambda d: d.square().mean(2), reduce=lambda e, m: e[m].mean(), change=lambda p: p):
    def mae_loss(predictions, patches, mask, norm_pix=True):
        if norm_pix:
            patches = (patches - patches.mean(2, True)) / (patches.var(2, keepdim=True) + 1e-6).sqrt()
        return reduce(error(change(predictions) - patches), mask)

    return mae_loss


def encoded(tokens):
    """The solved MAE with another encode_visible; tokens: of it, the patches and the mask."""
    return type("MAE", (sslcourse.solution("week08", "MAE"),), {"encode_visible": tokens})


def visible(self, patches, mask, places=slice(1, None)):
    x = patches + self.encoder.pos_embed[:, places]
    return x[~mask].unflatten(0, (len(x), -1))


def in_rows(grid, ratio, generator=None):
    """A run of patches, row after row."""
    n = grid[0] * grid[1]
    start = torch.randint(n, (1,), generator=generator)
    return ((torch.arange(n) - start) % n < int(ratio * n)).view(*grid)


def squares(grid, ratio, generator=None):
    mask, masked = torch.zeros(grid, dtype=torch.bool), int(ratio * grid[0] * grid[1])
    while (missing := masked - int(mask.sum())) > 0:
        size, down, across = torch.rand(3, generator=generator).tolist()
        side = min(*grid, max(1, round((4 + size * max(0, missing - 4)) ** 0.5)))
        top, left = int(down * (grid[0] - side + 1)), int(across * (grid[1] - side + 1))
        block = torch.zeros_like(mask)
        block[top : top + side, left : left + side] = True
        mask.view(-1)[(block & ~mask).flatten().nonzero()[:missing, 0]] = True
    return mask


# --- week 12 and RELAX


def features(maps=lambda attentions: torch.cat(attentions, dim=1)[0], last=-1):
    def attention_features(attentions):
        x = maps(attentions)[:, 1:last, 1:last]
        x = x + x.mT
        return (x - x.sum(1, True) * x.sum(2, True) / x.sum((1, 2), True)).permute(1, 2, 0)

    return attention_features


def zero_based(mutation, sequence):
    wild, place, mutant = mutation[0], int(mutation[1:-1]), mutation[-1]
    if place >= len(sequence) or sequence[place] != wild:
        raise ValueError("it does not fit")
    return wild, place, mutant


def from_the_end(mutation, sequence):
    wild, place, mutant = mutation[0], int(mutation[1:-1]) - 1, mutation[-1]
    if place >= len(sequence) or sequence[place] != wild:
        raise ValueError("it does not fit")
    return wild, place, mutant


class Decided(sslcourse.solution("week12", "ContactHead")):
    def __call__(self, features):
        return (super().__call__(features) > 0.5).float()


def pooled(hidden, mask):
    weights = mask.to(hidden)[..., None]
    return (hidden * weights).sum(1) / weights.sum(1)


def first_to_last(hidden, mask):
    places = [row.nonzero().flatten() for row in mask]
    return torch.stack([h[p.min() : p.max() + 1].mean(0) for h, p in zip(hidden, places, strict=True)])


def stretch(x):
    return (x - x.min()) / (x.max() - x.min())


def relax(importance=lambda r, s, w: r, uncertainty=lambda u, s, w, r: u):
    def explained(encoder, image, masks):
        was = isinstance(encoder, nn.Module) and encoder.training
        if isinstance(encoder, nn.Module):
            encoder.eval()
        with torch.no_grad():
            s = F.cosine_similarity(encoder(image * masks), encoder(image[None]))[:, None, None]
        if isinstance(encoder, nn.Module):
            encoder.train(was)
        w = masks[:, 0]
        r = (s * w).sum(0) / w.sum(0)
        u = ((s - r) ** 2 * w).sum(0) / w.sum(0)
        return importance(r, s, w), uncertainty(u, s, w, r)

    return explained


WRONG = [
    (week08.random_mask, masking(lambda noise, k, g: noise < k / noise.shape[1]), "every patch is drawn by itself"),
    (week08.random_mask, masking(drawn_again), "draw without replacement"),
    (
        week08.random_mask,
        masking(lambda noise, k, g: ranks(noise.flatten(), 0).view_as(noise) < k * len(noise)),
        "exact over the batch",
    ),
    (week08.random_mask, masking(lambda noise, k, g: ranks(noise, 0) < k), "not the patches of an image"),
    (week08.MAE, encoded(lambda self, x, m: self.encoder.encode(visible(self, x, m)).mean(1)), "of shape (3, 8)"),
    (
        week08.MAE,
        encoded(lambda self, x, m: self.encoder.encode(F.dropout(visible(self, x, m), 0.5))),
        "draw nothing at random",
    ),
    (
        week08.MAE,
        encoded(lambda self, x, m: self.encoder.norm(self.encoder.encode(visible(self, x, m)))),
        "is applied twice",
    ),
    (
        week08.MAE,
        encoded(lambda self, x, m: self.encoder.encode(visible(self, x, m, slice(0, 1)))),
        "the embedding of the class token's place",
    ),
    (
        week08.MAE,
        encoded(
            lambda self, x, m: self.encoder.encode(
                (x + self.encoder.pos_embed[:, 1:].detach())[~m].unflatten(0, (len(x), -1))
            )
        ),
        "the positions of the patches",
    ),
    (week08.mae_loss, mae(change=lambda p: p.sigmoid()), "squeezed into [0, 1]"),
    (week08.mae_loss, mae(reduce=lambda e, m: -e[m].mean()), "the sign is wrong"),
    (week08.mae_loss, mae(lambda d: d.square().sum(2), lambda e, m: e[m].sum()), "the masked patches are summed"),
    (week08.block_mask, in_rows, "no pieces of rows or columns"),
    (week08.block_mask, squares, "all are 2 x 2"),
    (week08.beit_loss, lambda z, t, m: F.cross_entropy((z * m[..., None]).flatten(0, 1), t.flatten()), "still counted"),
    (week08.beit_loss, lambda z, t, m: F.cross_entropy(z.flatten(0, 1), (t * m).flatten()), "still counted"),
    (week08.beit_loss, lambda z, t, m: F.cross_entropy(z[m], t[m], label_smoothing=0.1), "the labels are smoothed"),
    (week08.beit_loss, lambda z, t, m: F.cross_entropy(z[m] / 0.1, t[m]), "divided by a temperature"),
    (week12.symmetrize, lambda x: x * x.mT, "the matrices are multiplied"),
    (week12.symmetrize, lambda x: (x + x.mT) * (1 - torch.eye(x.shape[-1])), "the diagonal is set to 0"),
    (week12.apc, lambda x: x - x.mean(-1, True) - x.mean(-2, True), "the correction is additive"),
    (week12.apc, lambda x: x - x.mean(-1, True) * x.mean(-2, True) / x.mean(), "runs over all matrices"),
    (week12.attention_features, features(last=None), "one special token is left in"),
    (week12.attention_features, features(maps=lambda a: a[-1][0]), "every head of every layer is one"),
    (week12.parse_mutation, zero_based, "M1A fits the sequence, whose residue 1, counted from 1, is M"),
    (week12.parse_mutation, from_the_end, "It accepts Q0A"),
    (week12.ContactHead, Decided, "two different scores and nothing between"),
    (week12.pool_residues, lambda h, m: F.normalize(pooled(h, m), dim=1), "divided by its length"),
    (week12.pool_residues, lambda h, m: h[m > 0].mean(0).expand(len(h), -1), "all residues of the batch"),
    (week12.pool_residues, lambda h, m: h[:, -1], "one position is taken"),
    (
        week12.pool_residues,
        first_to_last,
        "from the first residue to the last",
    ),
    (bonus.relax, relax(lambda r, s, w: stretch(r)), "stretched to run from 0 to 1"),
    (bonus.relax, relax(lambda r, s, w: r - s.mean()), "taken off the importance"),
    (bonus.relax, relax(uncertainty=lambda u, s, w, r: ((s - r).abs() * w).sum(0) / w.sum(0)), "absolute values stand"),
]


@pytest.mark.parametrize(("check", "wrong", "words"), WRONG, ids=lambda x: getattr(x, "__name__", ""))
def test_wrong(check, wrong, words):
    assert_wrong(check, wrong, words)
