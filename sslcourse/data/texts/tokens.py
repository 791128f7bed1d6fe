"""From texts to tensors: a WordPiece vocabulary learnt from a corpus, and token ids of equal length.

The tokenizer is the one of BERT (Devlin et al. 2019; Schuster and Nakajima 2012): lower case, words and punctuation
apart, rare words in pieces. It is trained by the library `tokenizers`, as a tokenizer of `transformers` is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.data.texts.load import load_texts

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # ids 0 to 4


class Tokens(NamedTuple):
    """N texts as tensors (N, L), L the longest of them: ids, and which places are real (1) or padding (0).

    special: bool, true at padding and at special tokens except [UNK], which stands for a word. truncated: how many
    texts were longer than allowed and lost their ends.
    """

    input_ids: Tensor
    attention_mask: Tensor
    special: Tensor
    truncated: int


def train_tokenizer(texts: Sequence[str], vocab_size: int, min_frequency: int = 2):
    """A `tokenizers.Tokenizer` with a WordPiece vocabulary of at most vocab_size pieces (but all letters), special ones
    included.

    Every text becomes [CLS] pieces [SEP]; a word with a character that the corpus lacks becomes [UNK]. The same texts
    give the same vocabulary. Raises ValueError for an empty corpus or text, or a vocab_size that leaves no room.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    texts = checked(texts)
    vocab_size = arguments.whole("vocab_size", vocab_size)
    min_frequency = arguments.whole("min_frequency", min_frequency, 1)
    if vocab_size <= len(SPECIAL):
        raise ValueError(f"vocab_size is {vocab_size}; it should be above {len(SPECIAL)}, the special tokens.")
    normalizer, cutter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()

    # The trainer numbers the letters within words in an order that changes from run to run, and breaks ties by number.
    # So these letters are named beforehand, and the pieces it finds are numbered alphabetically.
    words = {word for text in texts for word, _ in cutter.pre_tokenize_str(normalizer.normalize_str(text))}
    letters = sorted({f"##{letter}" for word in words for letter in word[1:]})
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer, trained.pre_tokenizer = normalizer, cutter
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(vocab_size, len(SPECIAL) + len(letters)),
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL, *letters],
        show_progress=False,
    )
    trained.train_from_iterator(texts, trainer, length=len(texts))
    pieces = sorted(set(trained.get_vocab()) - set(SPECIAL))
    vocab = {piece: n for n, piece in enumerate((*SPECIAL, *pieces))}

    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, cutter
    tokenizer.add_special_tokens(list(SPECIAL))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def reviews_tokenizer():
    """The tokenizer of the toy reviews, the same for everybody: a shipped BERT knows pieces by these numbers.

    Trained on 16,000 reviews of a seed that no recorded run uses; other texts would number the pieces otherwise.
    """
    return train_tokenizer(load_texts("reviews", "train", n=16_000, seed=500).texts, 400)


def encode(tokenizer, texts: Sequence[str], max_length: int) -> Tokens:
    """Texts as ids, padded at the end to the longest of them; longer texts lose their ends, [CLS] and [SEP] stay.

    max_length: the most tokens of a text, special ones included; what the model has positions for.
    Raises ValueError for an empty text, also for one without a word (only spaces), for a max_length below 3 and for a
    vocabulary that lacks a special token.
    """
    texts, max_length = checked(texts), arguments.whole("max_length", max_length)
    if not hasattr(tokenizer, "encode_batch") or not hasattr(tokenizer, "enable_padding"):
        found = arguments.shown(tokenizer)
        raise TypeError(f"tokenizer is {found}; it should be one of the library tokenizers: data.train_tokenizer.")
    if max_length < 3:
        raise ValueError(f"max_length is {max_length}; it should be at least 3: [CLS], one token, [SEP].")
    if missing := [token for token in SPECIAL if tokenizer.token_to_id(token) is None]:
        raise ValueError(f"The vocabulary has no {missing[0]}; take a tokenizer of data.train_tokenizer.")
    tokenizer.enable_truncation(max_length)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]")
    coded = tokenizer.encode_batch(texts)
    ids = torch.tensor([code.ids for code in coded])  # (N, L)
    mask = torch.tensor([code.attention_mask for code in coded])  # (N, L)
    if len(none := (mask.sum(dim=1) <= 2).nonzero()):
        raise ValueError(f"Text {int(none[0])} has no tokens: {texts[int(none[0])]!r}; leave it out.")

    # Not the tokenizer's own special_tokens_mask: it counts what the template added, not padding.
    ends = torch.tensor([tokenizer.token_to_id(token) for token in SPECIAL if token != "[UNK]"])
    return Tokens(ids, mask, torch.isin(ids, ends), sum(bool(code.overflowing) for code in coded))


def checked(texts: Sequence[str]) -> list[str]:
    """The texts as a list; ValueError where there is none, or where one is empty."""
    if isinstance(texts, str):
        raise ValueError("texts is one string; give a list of strings, one a text.")
    texts = arguments.several("texts", texts)
    if not texts:
        raise ValueError("There are no texts.")
    for n, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"Text {n} is empty; leave texts without a word out.")
    return texts
