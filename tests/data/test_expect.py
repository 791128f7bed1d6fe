"""Bad tokens, masks, labels and documents: one sentence each, here from the solved exercises."""

import pytest
import torch

import sslcourse
from sslcourse.data import encode, expect, train_tokenizer

IDS = torch.zeros(2, 5, dtype=torch.int64)
NONE = torch.zeros(2, 5, dtype=torch.bool)
QKV = torch.zeros(2, 3, 5, 4)


def refused(error, words, name, *arguments):
    with pytest.raises(error, match=words) as caught:
        sslcourse.solution("week03", name)(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((IDS[0], NONE[0], 4, 9), ValueError, r"shape \(5,\); they should be \(N, L\)"),
        ((IDS.float(), NONE, 4, 9), TypeError, "float32; ids are whole numbers"),
        ((IDS.tolist(), NONE, 4, 9), TypeError, "input_ids is of type list"),
        ((IDS + 9, NONE, 4, 9), ValueError, "from 9 to 9; with a vocabulary of 9"),
        ((IDS, NONE[:, :4], 4, 9), ValueError, r"special_tokens_mask has shape \(2, 4\); it should be \(2, 5\)"),
        ((IDS, NONE.long(), 4, 9), TypeError, "special_tokens_mask is torch.int64; it should be torch.bool"),
        ((IDS, NONE, None, 9), ValueError, "a vocabulary that has .MASK."),
        ((IDS, NONE, 9, 9), ValueError, "mask_id is 9"),
        *(((IDS, NONE, 4, 9, p), ValueError, "p is .*lies between 0 and 1") for p in (0.0, 1.0, -0.1, 15)),
    ],
)
def test_masking(arguments, error, words):
    refused(error, words, "mask_tokens", *arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((QKV[0], QKV, QKV), ValueError, r"q has shape \(3, 5, 4\)|k has shape"),
        ((QKV, QKV[:, :, :4], QKV), ValueError, r"k has shape \(2, 3, 4, 4\); q, k and v should have one shape"),
        ((QKV, QKV, QKV, NONE[:, :4]), ValueError, r"key_padding_mask has shape \(2, 4\); it should be \(2, 5\)"),
        ((QKV, QKV, QKV, NONE.float()), TypeError, "key_padding_mask is torch.float32; it should be torch.bool"),
    ],
)
def test_attention(arguments, error, words):
    refused(error, words, "attention", *arguments)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (IDS[:, :4], ValueError, r"labels have shape \(2, 4\); for logits of .* they should be \(2, 5\)"),
        (IDS.double(), TypeError, "labels are torch.float64"),
        (IDS + 9, ValueError, "labels run from 9 to 9"),
        (None, TypeError, "labels is of type NoneType"),
    ],
)
def test_labels(labels, error, words):
    refused(error, words, "mlm_loss", torch.zeros(2, 5, 9), labels)


def test_pooling():
    refused(ValueError, r"attention_mask has shape \(2, 4\); it should be \(2, 5\)", "pool", QKV[:, 0], IDS[:, :4])
    refused(TypeError, "attention_mask is torch.float32", "pool", QKV[:, 0], IDS.float())


def test_documents():
    for documents, error, words in (
        ([["a"], ["b"]], ValueError, "All documents are of one sentence"),
        ([["a", "b"]], ValueError, "a negative pair needs two"),
        ([["a", "b"], []], ValueError, "Document 1 has no sentence"),
        (["a b", "c d"], TypeError, "a list of documents, each of them a list of sentences"),
    ):
        refused(error, words, "sentence_pairs", documents, 4)


def test_what_fits_passes():
    expect.masking(IDS, NONE, 4, 9, 0.15)
    expect.mask(IDS, (2, 5), "attention_mask", "1 where a token is real")
    expect.attention(QKV, QKV, QKV, None)
    expect.predictions(torch.zeros(0, 9), torch.zeros(0, dtype=torch.int64))
    expect.documents([["a"], ["b", "c"]])


def test_a_vocabulary_without_special_tokens_is_refused():
    from tokenizers import Tokenizer, models

    with pytest.raises(ValueError, match=r"vocabulary has no \[PAD\]"):
        encode(Tokenizer(models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]")), ["a"], 8)
    assert train_tokenizer(["a b", "b a"], 20).token_to_id("[MASK]") == 4
