"""What strings, tokens, masks and labels have to look like: one clear sentence where they do not.

Each function but `strings` returns nothing; all raise TypeError for a wrong type, ValueError for a wrong shape or
value.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from sslcourse import arguments, wording

WHOLE = (torch.int64, torch.int32)


def masking(input_ids: Tensor, special: Tensor, mask_id: int | None, vocab_size: int, p: float) -> None:
    """The arguments of masking: ids (N, L) below vocab_size, a bool mask of their shape, a [MASK], p within (0, 1)."""
    vocab_size, p = arguments.whole("vocab_size", vocab_size, 1), arguments.real("p", p)
    mask_id = None if mask_id is None else arguments.whole("mask_id", mask_id)
    ids(input_ids, vocab_size)
    mask(special, tuple(input_ids.shape), "special_tokens_mask", "True where nothing may be chosen", (torch.bool,))
    if mask_id is None or not 0 <= mask_id < vocab_size:
        raise ValueError(
            f"mask_id is {mask_id}, it should be an id below {vocab_size}: take a vocabulary that has [MASK], as that "
            "of data.train_tokenizer."
        )
    if not 0 < p < 1:
        raise ValueError(f"p is {p}; it is the share of words to hide and lies between 0 and 1.")


def ids(input_ids: Tensor, vocab_size: int) -> None:
    """Token ids: whole numbers (N, L) from 0 to vocab_size - 1."""
    _tensor(input_ids, "input_ids")
    if input_ids.dtype not in WHOLE:
        raise TypeError(f"input_ids are {input_ids.dtype}; ids are whole numbers: torch.int64.")
    if input_ids.dim() != 2:
        raise ValueError(f"input_ids have shape {tuple(input_ids.shape)}; they should be (N, L), a row for each text.")
    if input_ids.numel() and not 0 <= input_ids.min() <= input_ids.max() < vocab_size:
        raise ValueError(
            f"input_ids run from {input_ids.min()} to {input_ids.max()}; with a vocabulary of {vocab_size} they lie "
            f"between 0 and {vocab_size - 1}: use the tokenizer that belongs to the model."
        )


def mask(
    values: Tensor, shape: tuple[int, ...], name: str, means: str, dtypes: Sequence[torch.dtype] = (torch.bool, *WHOLE)
) -> None:
    """A mask of this shape and of one of these types; `means` says what its values stand for."""
    _tensor(values, name)
    if values.dtype not in dtypes:
        raise TypeError(f"{name} is {values.dtype}; it should be {dtypes[0]}, {means}.")
    if tuple(values.shape) != tuple(shape):
        raise ValueError(f"{name} has shape {tuple(values.shape)}; it should be {tuple(shape)}, {means}.")


def attention(q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None) -> None:
    """Queries, keys and values of one shape (N, heads, L, d), and a bool mask (N, L) where there is one."""
    for name, part in (("q", q), ("k", k), ("v", v)):
        _tensor(part, name)
        if part.dim() != 4 or part.shape != q.shape:
            raise ValueError(
                f"{name} has shape {tuple(part.shape)}; q, k and v should have one shape, (N, heads, L, d)."
            )
    if padding is not None:
        mask(padding, (q.shape[0], q.shape[2]), "key_padding_mask", "True where a token is padding", (torch.bool,))


def predictions(logits: Tensor, labels: Tensor) -> None:
    """Logits (..., V) and labels (...): whole numbers below V, or -100 where nothing is to be predicted."""
    _tensor(logits, "logits")
    _tensor(labels, "labels")
    if labels.dtype not in WHOLE:
        raise TypeError(f"labels are {labels.dtype}; they are ids: torch.int64, -100 where nothing was chosen.")
    if not logits.dim() or logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}; for logits of shape {tuple(logits.shape)} they should be "
            f"{tuple(logits.shape[:-1])}."
        )
    vocab_size, known = logits.shape[-1], labels[labels != -100]
    if known.numel() and not 0 <= known.min() <= known.max() < vocab_size:
        raise ValueError(
            f"labels run from {known.min()} to {known.max()}; they should be ids below {vocab_size}, or -100."
        )


def strings(values: Iterable[str], name: str) -> tuple[str, ...]:
    """The strings of a list. A single one is a sequence of strings too, one a letter, and that is never meant."""
    if isinstance(values, str | bytes):
        raise TypeError(f"{name} is one string, {values[:20]!r}; give a list of strings, a single one in brackets.")
    given, values = values, arguments.listed(values)
    if values is None:
        raise TypeError(f"{name} is of type {type(given).__name__}; give a list of strings.")
    for n, value in enumerate(values):
        if not isinstance(value, str):
            raise TypeError(f"{name} holds {type(value).__name__} at place {n}; give a list of strings.")
        wording.whole_characters(f"{name}, at place {n},", value)
    return tuple(values)


def documents(parts: Sequence[Sequence[str]]) -> None:
    """Documents to draw sentence pairs from: two or more, none empty, one of which has two sentences."""
    parts = arguments.rows("documents", parts, "one list of sentences for each document")
    if any(isinstance(part, str) for part in parts):
        raise TypeError("documents holds strings; give a list of documents, each of them a list of sentences.")
    parts = [arguments.texts(f"Document {n}", part) for n, part in enumerate(parts)]
    if empty := [n for n, part in enumerate(parts) if not len(part)]:
        raise ValueError(f"Document {empty[0]} has no sentence; leave it out.")
    if len(parts) < 2:
        raise ValueError(f"There are {len(parts)} documents; a negative pair needs two.")
    if all(len(part) < 2 for part in parts):
        raise ValueError("All documents are of one sentence, so none has a next one; give some of two or more.")


def _tensor(value: object, name: str) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is of type {type(value).__name__}; it should be a tensor.")
    if arguments.tensor(name, value).is_complex():
        raise TypeError(f"{name} holds complex numbers; it should be a tensor of real ones.")
