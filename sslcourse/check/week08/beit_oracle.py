"""Week 8, masked tokens: the loss of BEiT, one patch at a time, as the paper writes it.

Reference: Bao et al. 2022, "BEiT: BERT pre-training of image transformers", section 2.3.
"""

from collections.abc import Callable
from functools import partial
from math import log

from torch import Tensor, nn

from sslcourse.check.compare import Mistake


def level_of(size: int) -> float:
    """The loss of equal logits for a vocabulary of this size: ln K."""
    return log(size)


def beit_loss(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the masked patches of minus the log-probability of their visual token."""
    losses = []
    for n, row in enumerate(mask.tolist()):
        for i, masked in enumerate(row):
            if masked:
                powers = logits[n, i].exp()
                losses.append(-(powers[tokens[n, i]] / powers.sum()).log())
    return sum(losses) / len(losses)


def beit_loss_per_image(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    """The same, averaged within each image first: another reading, which differs where the counts do."""
    rows = zip(logits.split(1), tokens.split(1), mask.split(1), strict=True)
    losses = [beit_loss(x, t, m) for x, t, m in rows]
    return sum(losses) / len(losses)


def _beit_loss(
    logits: Tensor,
    tokens: Tensor,
    mask: Tensor,
    *,
    over: int = 2,
    reduce: Callable,
    before: Callable = lambda x: x,
) -> Tensor:
    log_p = before(logits).log_softmax(dim=over)
    return reduce(-log_p.gather(2, tokens[..., None])[..., 0], mask)


def _masked_mean(loss: Tensor, mask: Tensor) -> Tensor:
    return loss[mask].mean()


def _mean_of_all(loss: Tensor, mask: Tensor) -> Tensor:
    return loss.mean()


def _sigmoid(logits: Tensor, tokens: Tensor, mask: Tensor, *, reduce: Callable) -> Tensor:
    signs = 1 - 2 * nn.functional.one_hot(tokens, logits.shape[2]).to(logits)
    return reduce(nn.functional.softplus(signs * logits))[mask].mean()


BEIT_LOSS_MISTAKES = (
    Mistake(
        "the loss runs over all patches: only the masked ones count.",
        (partial(_beit_loss, reduce=lambda loss, mask: loss.mean()),),
    ),
    Mistake(
        "the loss runs over the visible patches: True in the mask is masked.",
        (partial(_beit_loss, reduce=lambda loss, mask: loss[~mask].mean()),),
    ),
    Mistake(
        "the masked patches are summed, or their sum is divided by another number: take the mean over them.",
        (
            partial(_beit_loss, reduce=lambda loss, mask: loss[mask].sum()),
            partial(_beit_loss, reduce=lambda loss, mask: (loss * mask).mean()),
            partial(_beit_loss, reduce=lambda loss, mask: (loss * mask).sum(dim=1).mean()),
            partial(_beit_loss, reduce=lambda loss, mask: (loss * mask).sum(dim=0).mean()),
            partial(_beit_loss, reduce=lambda loss, mask: loss[mask].sum() / (~mask).sum()),
        ),
    ),
    Mistake(
        "visible patches are set to 0 but still counted, in the logits or in the tokens: leave them out.",
        (
            lambda x, t, m: _beit_loss(x * m[..., None], t, m, reduce=_mean_of_all),
            lambda x, t, m: _beit_loss(x, t * m, m, reduce=_mean_of_all),
            lambda x, t, m: _beit_loss(x * m[..., None], t * m, m, reduce=_mean_of_all),
        ),
    ),
    Mistake(
        "the labels are smoothed: the visual word has all of the target.",
        tuple(
            lambda x, t, m, share=share: nn.functional.cross_entropy(x[m], t[m], label_smoothing=share)
            for share in (0.1, 0.05, 0.2)
        ),
    ),
    Mistake(
        "probabilities are compared by their squared difference: it is the cross-entropy.",
        tuple(
            lambda x, t, m, of=of: of((x.softmax(dim=2) - nn.functional.one_hot(t, x.shape[2]))[m].square())
            for of in (lambda d: d.mean(), lambda d: d.sum(dim=1).mean())
        ),
    ),
    Mistake(
        "the logits are divided by a temperature: take them as they are.",
        tuple(
            partial(_beit_loss, before=lambda x, temp=temp: x / temp, reduce=_masked_mean)
            for temp in (0.07, 0.1, 0.5, 2)
        ),
    ),
    Mistake(
        "the logarithm is the one to base 2 or 10: the loss is in nats.",
        tuple(
            partial(_beit_loss, reduce=lambda loss, mask, base=base: loss[mask].mean() / log(base)) for base in (2, 10)
        ),
    ),
    Mistake(
        "the mean is taken over the vocabulary too: the loss of a patch is one number.",
        (lambda x, t, m: beit_loss(x, t, m) / x.shape[2],),
    ),
    Mistake(
        "the perplexity is returned: leave the loss as it is, without exp.",
        (partial(_beit_loss, reduce=lambda loss, mask: loss[mask].mean().exp()),),
    ),
    Mistake(
        "patches are weighted by how sure the network is, or by how rare their word is: all masked ones count alike.",
        (
            partial(_beit_loss, reduce=lambda loss, mask: ((1 - (-loss).exp()) ** 2 * loss)[mask].mean()),
            lambda x, t, m: nn.functional.cross_entropy(
                x[m], t[m], weight=1 / t[m].bincount(minlength=x.shape[2]).clamp(min=1).to(x)
            ),
        ),
    ),
    Mistake(
        "a small number is added to the probabilities that is large enough to count: use log_softmax.",
        tuple(
            partial(_beit_loss, reduce=lambda loss, mask, eps=eps: -((-loss[mask]).exp() + eps).log().mean())
            for eps in (0.1, 0.01, 0.001)
        ),
    ),
    Mistake(
        "only the first image counts: take the mean over the masked patches of all.",
        (partial(_beit_loss, reduce=lambda loss, mask: loss[0][mask[0]].mean()),),
    ),
    Mistake(
        "the softmax is taken before the cross-entropy, which takes one itself: hand in the logits.",
        (partial(_beit_loss, before=lambda x: x.softmax(dim=2), reduce=_masked_mean),),
    ),
    Mistake(
        "the logarithm is taken of a mean, or missing: the mean of minus the logarithms of the probabilities.",
        (
            partial(_beit_loss, reduce=lambda loss, mask: -(-loss[mask]).exp().mean().log()),
            partial(_beit_loss, reduce=lambda loss, mask: -(-loss[mask]).exp().mean()),
            partial(_beit_loss, reduce=lambda loss, mask: 1 - (-loss[mask]).exp().mean()),
            lambda x, t, m: -x.gather(2, t[..., None])[..., 0][m].mean(),
        ),
    ),
    Mistake(
        "patches whose token is number 0 are left out: it is a visual word like any other.",
        (lambda x, t, m: beit_loss(x, t, m & (t != 0)),),
    ),
    Mistake(
        "every token is judged alone, by a sigmoid: it is a softmax over the vocabulary.",
        tuple(partial(_sigmoid, reduce=reduce) for reduce in (lambda x: x.mean(2), lambda x: x.sum(2))),
    ),
    Mistake(
        "the softmax runs over the patches: it runs over the vocabulary, the last dimension.",
        (partial(_beit_loss, over=1, reduce=_masked_mean), partial(_beit_loss, over=0, reduce=_masked_mean)),
    ),
    Mistake(
        "the sign is wrong: the loss is minus the logarithm of a probability.",
        (partial(_beit_loss, reduce=lambda loss, mask: -loss[mask].mean()),),
    ),
)
