"""A small text tower: words to numbers, numbers to one embedding a text.

References: Vaswani et al. 2017, "Attention is all you need"; Radford et al. 2021, "Learning transferable visual models
from natural language supervision" (CLIP), whose text tower is such a transformer, only larger.
"""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from sslcourse import arguments

PADDING = 0


def split_words(text: str) -> list[str]:
    """Lower-case words; punctuation is dropped."""
    return re.findall(r"[a-z0-9]+", text.lower())


class Vocabulary:
    """The words of some texts, numbered from 1 in alphabetical order; 0 is padding.

    A closed vocabulary: a word that no text held has no number, and asking for it is an error, not a guess.
    """

    def __init__(self, texts: Iterable[str], length: int = 24):
        """length: words a text, at most; shorter ones are padded. Raises TypeError for a single string."""
        texts, length = arguments.texts("texts", texts), arguments.whole("length", length, 1)
        self.words = tuple(sorted({word for text in texts for word in split_words(text)}))
        if not self.words:
            raise ValueError("There is no word in these texts; give at least one caption.")
        self.length = length
        self._numbers = {word: n for n, word in enumerate(self.words, 1)}

    def __len__(self) -> int:
        return 1 + len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._numbers

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Numbers of the words, int64 (N, length). Raises ValueError for an unknown word and a text that is too long
        or empty, TypeError for a single string."""
        if isinstance(texts, str):
            raise TypeError(f"texts should be a list of texts, got one: [{arguments.shown(texts)}].")
        texts = arguments.texts("texts", texts)
        rows, numbers = [], self._numbers
        for text in texts:
            words = split_words(text)
            if unknown := [word for word in words if word not in numbers]:
                raise ValueError(
                    f"The word {arguments.shown(unknown[0])} of {arguments.shown(text)} was in no training caption, "
                    "so the text tower cannot read it."
                )
            if not 1 <= len(words) <= self.length:
                found = f"The text {arguments.shown(text)} has {len(words)} words"
                raise ValueError(f"{found}; expected 1 to {self.length}.")
            rows.append([numbers[word] for word in words] + [PADDING] * (self.length - len(words)))
        return torch.tensor(rows, dtype=torch.int64).view(len(rows), self.length)


class TextTransformer(nn.Module):
    """Word and position embeddings, transformer blocks, mean over the words: int64 (N, L) to (N, D).

    Padding (0) is neither attended to nor averaged. Pre-norm blocks without dropout, exact GELU. Raises ValueError for
    more than `length` words and for numbers outside the vocabulary.
    """

    def __init__(self, vocabulary_size: int, dim: int = 64, length: int = 24, depth: int = 1, num_heads: int = 4):
        super().__init__()
        sizes = {"vocabulary_size": vocabulary_size, "dim": dim, "length": length}
        sizes |= {"depth": depth, "num_heads": num_heads}
        vocabulary_size, dim, length, depth, num_heads = (arguments.whole(what, n, 1) for what, n in sizes.items())
        if dim % num_heads:
            raise ValueError(f"dim is {dim}, which {num_heads} heads cannot share; take a multiple of {num_heads}.")
        self.num_features = dim
        self.words = nn.Embedding(vocabulary_size, dim, padding_idx=PADDING)
        self.positions = nn.Parameter(0.02 * torch.randn(length, dim))
        blocks = [
            nn.TransformerEncoderLayer(
                dim, num_heads, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        ]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim)

    def forward(self, ids: Tensor) -> Tensor:
        self._check(ids)
        real = ids != PADDING  # (N, L)
        x = self.words(ids) + self.positions[: ids.shape[1]]  # (N, L, D)
        for block in self.blocks:
            x = block(x, src_key_padding_mask=~real)
        weights = real.to(x.dtype)[..., None]  # (N, L, 1)
        return self.norm((x * weights).sum(dim=1) / weights.sum(dim=1))  # (N, D)

    def _check(self, ids: Tensor) -> None:
        known, most = self.words.num_embeddings, len(self.positions)
        if not isinstance(ids, Tensor) or ids.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"ids is {arguments.shown(ids)}; it should be int64 (N, L), as Vocabulary.encode gives it.")
        arguments.tensor("ids", ids, "int64 (N, L)")
        if ids.dim() == 2 and ids.shape[1] > most:
            raise ValueError(
                f"The texts have {ids.shape[1]} words, and this model has {most} places: shorten them, or build it "
                "with a larger length."
            )
        if ids.dim() != 2 or not ids.numel():
            raise ValueError(f"ids has shape {tuple(ids.shape)}; it should be (N, L), L from 1 to {most}.")
        if ids.min() < 0 or ids.max() >= known:
            raise ValueError(f"ids run from {ids.min()} to {ids.max()}; the tower has numbers from 0 to {known - 1}.")
        if not (ids != PADDING).any(dim=1).all():
            raise ValueError("A row of ids is nothing but padding; leave texts without a word out.")
