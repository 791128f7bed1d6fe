"""Masked language modelling of proteins: which residues are hidden, and the loss at these.

References: Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language understanding" (15 %
chosen, of these 80 / 10 / 10); Rives et al. 2021, "Biological structure and function emerge from scaling unsupervised
learning to 250 million protein sequences" (the same for proteins).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslcourse import arguments
from sslcourse.models.protein import ALPHABET, MASK, RESIDUES

_SPECIAL = torch.tensor([token.startswith("<") for token in ALPHABET])  # (33,): no letters


def mask_residues(
    ids: Tensor,
    shares: tuple[float, float] = (0.8, 0.1),
    p: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Inputs and labels, int64 (N, T), drawn anew at every call; labels are -100 where nothing is asked.

    ids: int64 (N, T) tokens of ESM. Every residue is chosen with probability p, special tokens never. shares: of the
    chosen ones those that become <mask> and those that become a random residue; the rest, which is not named, stays as
    it is. Raises ValueError for shares that are not two parts of 1, for such a p and for unknown tokens.
    """
    shares = arguments.pair("shares", shares, "(0.8, 0.1)")
    shares = tuple(arguments.real("A part of shares", share) for share in shares)
    p, generator = arguments.real("p", p), arguments.generator(generator)
    if not (min(shares) >= 0 and sum(shares) <= 1 + 1e-9 and 0 < p <= 1):
        raise ValueError(f"shares should be parts of 1 and p lie in (0, 1], but they are {shares} and {p}.")
    if not isinstance(ids, Tensor) or ids.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"ids is {arguments.shown(ids)}; it should be int64 (N, T), as ProteinLM.tokens gives it.")
    ids = arguments.tensor("ids", ids).long()
    if ids.numel() and not 0 <= ids.min() <= ids.max() < len(ALPHABET):
        raise ValueError(f"ids run from {ids.min()} to {ids.max()}; the alphabet has {len(ALPHABET)} tokens.")

    def uniform() -> Tensor:
        return torch.rand(ids.shape, device=ids.device, generator=generator)

    chosen = (uniform() < p) & ~_SPECIAL.to(ids.device)[ids]
    fate = uniform()
    random = RESIDUES.to(ids.device)[torch.randint(20, ids.shape, device=ids.device, generator=generator)]
    inputs = torch.where(chosen & (fate < shares[0]), MASK, ids)
    inputs = torch.where(chosen & (fate >= shares[0]) & (fate < sum(shares)), random, inputs)
    return inputs, torch.where(chosen, ids, -100)


def masked_residue_loss(model: nn.Module, ids: Tensor, shares: tuple[float, float] = (0.8, 0.1)) -> Tensor:
    """Cross-entropy in nats, averaged over the chosen residues, of a model from token numbers to logits (N, T, V).

    Of so few residues that none is chosen it is drawn again, since the mean of nothing is NaN. Raises ValueError where
    there is no residue at all, for a model of another alphabet than ESM's and for logits of another shape.
    """
    arguments.function("model", model, "token numbers")
    if getattr(model, "mask", MASK) != MASK:
        raise ValueError("The model has other tokens than ESM's, so that other numbers would have to be hidden in it.")
    inputs, labels = mask_residues(ids, shares)
    while not (labels >= 0).any():
        if _SPECIAL.to(ids.device)[ids.long()].all():
            raise ValueError(f"ids, {tuple(ids.shape)}, holds no residue that could be hidden, only special tokens.")
        inputs, labels = mask_residues(ids, shares)
    logits = model(inputs)
    if not isinstance(logits, Tensor) or logits.shape[:-1] != labels.shape or logits.shape[-1] <= labels.max():
        found = tuple(logits.shape) if isinstance(logits, Tensor) else arguments.shown(logits)
        raise ValueError(f"The model returned {found}; it should be logits {(*labels.shape, len(ALPHABET))}.")
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=-100)
