"""Week 8, the network of masked autoencoders: one patch at a time, as the paper writes it.

Reference: He et al. 2022, "Masked autoencoders are scalable vision learners", section 3.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sslcourse.check.compare import Mistake
from sslcourse.check.week06.oracle import block, layer_norm


def encode_visible(patches: Tensor, mask: Tensor, weights: dict[str, Tensor], depth: int, heads: int) -> Tensor:
    """Class token and visible patches, each with the embedding of its own place, through the encoder's blocks.

    patches: (N, L, D), embedded; weights: the encoder's state; returns (N, 1 + visible, D).
    """
    return _encode(patches, mask, weights, depth, heads)


def _encode(
    patches: Tensor,
    mask: Tensor,
    weights: dict[str, Tensor],
    depth: int,
    heads: int,
    *,
    take: Callable = lambda row: [i for i, masked in enumerate(row) if not masked],
    place: Callable = lambda i, k: 1 + i,
    times: int = 1,
    first_row: bool = False,
    mixed: bool = False,
    blocks: bool = True,
    norm: bool = True,
    placed: bool = True,
) -> Tensor:
    """encode_visible with something wrong; right with the defaults.

    take: from a row of the mask to the patches that are taken; place: from a patch's number, and how many were taken
    before it, to the position embedding that it gets (None for none), so many times; mixed: the patches of all images
    in one list are dealt out one by one, as from a wrong reshape; placed: whether the class token has its embedding.
    """
    places = times * weights["pos_embed"][0]
    mask = mask[:1].expand_as(mask) if first_row else mask
    sequences = []
    for image, row in zip(patches, mask.tolist(), strict=True):
        tokens = [weights["cls_token"][0, 0] + placed * places[0]]
        for k, i in enumerate(take(row)):
            at = place(i, k)
            tokens.append(image[i] if at is None else image[i] + places[at])
        sequences.append(torch.stack(tokens))
    x = torch.stack(sequences)
    if times > 1:
        x[:, 0] = weights["cls_token"][0, 0] + weights["pos_embed"][0, 0]
    if mixed:
        x = torch.cat([x[:, :1], x[:, 1:].reshape(x.shape[1] - 1, len(x), -1).transpose(0, 1)], dim=1)
    for number in range(depth if blocks else 0):
        x = block(x, inside(weights, f"blocks.{number}."), heads)
    return layer_norm(x, weights["norm.weight"], weights["norm.bias"]) if norm else x


def _picked_late(patches: Tensor, mask: Tensor, *rest, hide: Callable | None = None, **what) -> Tensor:
    """All patches, or what `hide` leaves of them, are encoded; the visible ones are picked from the result."""
    patches = patches if hide is None else hide(patches, mask, rest[0]["pos_embed"][:, 1:])
    out = _encode(patches, torch.zeros_like(mask), *rest, **what)
    return torch.stack([torch.cat([x[:1], x[1:][~m]]) for x, m in zip(out, mask, strict=True)])


def inside(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}


ENCODER_MISTAKES = (
    Mistake(
        "the whole image is encoded and the visible tokens are picked afterwards: what is masked leaks into them "
        "through attention. Pick first, then encode.",
        (
            _picked_late,
            partial(_picked_late, hide=lambda patches, mask, places: patches * ~mask[..., None]),
            # hidden after the positions were added
            partial(_picked_late, hide=lambda patches, mask, places: torch.where(mask[..., None], -places, patches)),
            partial(_picked_late, place=lambda i, k: None),
        ),
    ),
    Mistake(
        "the patches of different images are mixed: x[~mask] holds those of the first image first, so its first "
        "dimension splits into (N, visible).",
        (partial(_encode, mixed=True),),
    ),
    Mistake("the mask of the first image is used for all images.", (partial(_encode, first_row=True),)),
    Mistake("the positions are added twice.", (partial(_encode, times=2),)),
    Mistake(
        "the encoder's blocks or its last norm are left out: self.encoder.encode applies both.",
        (
            partial(_encode, norm=False),
            partial(_encode, blocks=False),
            partial(_encode, blocks=False, norm=False),
            partial(_encode, blocks=False, norm=False, placed=False),
        ),
    ),
    Mistake(
        "the encoder, or its last norm, is applied twice: self.encoder.encode applies both, once.",
        (
            lambda patches, mask, weights, depth, heads: layer_norm(
                _encode(patches, mask, weights, depth, heads), weights["norm.weight"], weights["norm.bias"]
            ),
            lambda patches, mask, weights, depth, heads: _encode(
                _encode(patches, mask, weights, depth, heads)[:, 1:],
                mask.new_zeros(len(mask), int((~mask[0]).sum())),
                weights,
                depth,
                heads,
                place=lambda i, k: None,
            ),
        ),
    ),
    Mistake(
        "the mask is inverted: True is a masked patch, and the encoder sees the others.",
        (
            partial(_encode, take=lambda row: [i for i, masked in enumerate(row) if masked]),
            partial(_encode, take=lambda row: [i for i, masked in enumerate(row) if masked], place=lambda i, k: 1 + k),
        ),
    ),
    Mistake(
        "the position embeddings of the visible patches are lost: add pos_embed before the patches are picked.",
        (partial(_encode, place=lambda i, k: None),),
    ),
    Mistake(
        "the visible patches get the embeddings of the first places, not of their own: add pos_embed before the "
        "patches are picked.",
        (partial(_encode, place=lambda i, k: 1 + k),),
    ),
    Mistake(
        "the position embeddings are shifted by one: the first of pos_embed belongs to the class token.",
        (partial(_encode, place=lambda i, k: i), partial(_encode, place=lambda i, k: k)),
    ),
    Mistake(
        "every patch gets the embedding of the class token's place: those of the patches are pos_embed[:, 1:].",
        (partial(_encode, place=lambda i, k: 0),),
    ),
    Mistake(
        "the first patches are taken, whatever the mask says.",
        (partial(_encode, take=lambda row: list(range(row.count(False)))),),
    ),
)


def decode(hidden: Tensor, mask: Tensor, weights: dict[str, Tensor], depth: int, heads: int) -> Tensor:
    """The decoder: visible tokens back at their places, mask tokens at the others; (N, 1 + visible, D) to (N, L, P)."""
    narrow = hidden @ weights["decoder_embed.weight"].T + weights["decoder_embed.bias"]
    sequences = []
    for tokens, row in zip(narrow, mask.tolist(), strict=True):
        coming = iter(tokens)
        placed = [next(coming)] + [weights["mask_token"][0, 0] if masked else next(coming) for masked in row]
        sequences.append(torch.stack(placed) + weights["decoder_pos_embed"][0])
    x = torch.stack(sequences)
    for number in range(depth):
        x = block(x, inside(weights, f"decoder_blocks.{number}."), heads)
    x = layer_norm(x, weights["decoder_norm.weight"], weights["decoder_norm.bias"])
    return (x @ weights["decoder_pred.weight"].T + weights["decoder_pred.bias"])[:, 1:]
