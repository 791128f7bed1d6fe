"""Protein language models against transformers, and precision at L on input that makes no sense."""

import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import EsmForMaskedLM

from sslcourse import evaluate, models, train
from sslcourse.data import AMINO_ACIDS, DataCorrupted, DataMissing
from sslcourse.models import protein


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.esm(16, 2, 2).eval()


def test_tokens_are_those_of_esm2(model, tmp_path):
    from transformers import EsmTokenizer

    (tmp_path / "vocab.txt").write_text("\n".join(protein.ALPHABET))
    peer = EsmTokenizer(str(tmp_path / "vocab.txt"))
    sequences = ["ACDEFGHIKLMNPQRSTVWYX", "MK"]
    wanted = peer(sequences, padding=True, return_tensors="pt")
    ids, mask = model.tokens(sequences)
    assert ids.equal(wanted["input_ids"]) and mask.equal(wanted["attention_mask"])
    assert [protein.ALPHABET[n] for n in protein.RESIDUES] == list(AMINO_ACIDS)


def test_contacts_are_those_of_transformers(model):
    """Their contact head on a sequence is a regression on our features."""
    from sslcourse import solution

    features = solution("week12", "attention_features")(model.attentions("MKTAYIAKQRQ"))
    head = model.network.esm.contact_head.regression
    with torch.no_grad():
        wanted = model.network.predict_contacts(*model.tokens(["MKTAYIAKQRQ"]))[0]
        torch.testing.assert_close(head(features)[..., 0].sigmoid(), wanted, atol=1e-5, rtol=1e-4)


def test_log_probabilities(model):
    plain = model.log_probs(["MKTAY"])
    assert plain.shape == (1, 5, 20) and torch.allclose(plain.exp().sum(-1), torch.ones(1, 5))
    masked = model.log_probs(["MKTAY", "MKTAY"], masked=[2, None])
    torch.testing.assert_close(masked[1], plain[0])
    other = model.log_probs(["MKWAY"], masked=[2])  # what is masked cannot matter
    torch.testing.assert_close(masked[0], other[0])
    with pytest.raises(ValueError, match="whole number from 0 to 4"):
        model.log_probs(["MKTAY"], masked=[5])
    with pytest.raises(ValueError, match="one length"):
        model.log_probs(["MKTAY", "MK"])


def test_features_do_not_depend_on_the_batch(model):
    sequences = ["MKTAYIAKQR", "MK", "ACDEFG"]
    together = model.hidden(sequences)
    for sequence, features in zip(sequences, together, strict=True):
        assert features.shape == (len(sequence), 16)
        torch.testing.assert_close(features, model.hidden([sequence])[0], atol=1e-5, rtol=1e-4)
    assert model.hidden(["MK"], layer=0)[0].shape == (2, 16)


@torch.no_grad()
def test_habits_that_the_week_teaches(model):
    """Padding without an attention mask changes logits; token dropout rescales embeddings at inference too."""
    alone = model(*model.tokens(["MKTAY"]))[0, 1:6]
    ids, mask = model.tokens(["MKTAY", "MKTAYIAKQRQISFVK"])
    torch.testing.assert_close(model(ids, mask)[0, 1:6], alone, atol=1e-5, rtol=1e-4)
    assert (model(ids, torch.ones_like(ids))[0, 1:6] - alone).abs().max() > 1e-3

    embeddings = model.network.esm.embeddings  # rotary positions: nothing is added to the words
    ids, mask = model.tokens(["MKTAYIAKQR"])
    half = ids.clone()
    half[0, 1:7] = protein.MASK  # 6 of 12 tokens
    for given, scale in ((ids, 0.88), (half, 0.88 / 0.5)):
        raw = embeddings.word_embeddings(given) * (given != protein.MASK)[..., None]
        torch.testing.assert_close(embeddings(input_ids=given, attention_mask=mask), scale * raw)


def test_modes_are_put_back(model):
    model.train()
    model.attentions("MK"), model.hidden(["MK"]), model.log_probs(["MK"])
    assert all(part.training for part in model.modules())
    model.eval()


def test_a_network_that_builds_no_maps(model):
    from transformers import EsmConfig

    config = EsmConfig(**(model.network.config.to_dict() | {"attn_implementation": "sdpa"}))
    fast = models.ProteinLM(EsmForMaskedLM(config))
    with pytest.raises(ValueError, match='no attention maps.*attn_implementation="eager"'):
        fast.attentions("MKTAY")


@pytest.mark.parametrize(
    ("given", "words"),
    [("MK", "put a single one in brackets"), ([], "one or more"), (["MK", "m"], "Sequence 1 has 'm'")],
)
def test_bad_sequences(model, given, words):
    with pytest.raises(ValueError, match=words):
        model.tokens(given)


def test_positions():
    torch.manual_seed(0)
    learnt = models.esm(16, 1, 2, positions="absolute", max_length=7).eval()
    assert learnt.log_probs(["MKTAYIA"]).isfinite().all()
    same = learnt.log_probs(["AAAAAAA"])[0]
    assert not torch.allclose(same[0], same[3])  # places differ though letters do not
    with pytest.raises(ValueError, match="positions is 'learnt'; choose rotary or absolute"):
        models.esm(16, 1, 2, positions="learnt")


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="3 heads do not divide the 16 features"):
        models.esm(16, 1, 3)


def test_a_saved_model_comes_back(model, tmp_path):
    model.network.save_pretrained(tmp_path / "esm")
    again = models.load_esm(str(tmp_path / "esm"))
    assert isinstance(again.network, EsmForMaskedLM) and not again.training
    torch.testing.assert_close(again.log_probs(["MKTAY"]), model.log_probs(["MKTAY"]))
    assert len(again.attentions("MKTAY")) == 2


def test_models_that_are_missing_or_damaged(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    with pytest.raises(DataMissing, match="facebook/esm2_t6_8M_UR50D is not in .*huggingface and could not be fetched"):
        models.load_esm("facebook/esm2_t6_8M_UR50D")
    with pytest.raises(DataMissing, match="pass a folder that holds it"):
        models.load_esm(str(tmp_path / "nowhere"))

    folder = tmp_path / "esm"
    model.network.save_pretrained(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: len(weights.read_bytes()) // 2])
    with pytest.raises(DataCorrupted, match="cannot be read"):
        models.load_esm(str(folder))

    state = {key: value.clone() for key, value in model.network.state_dict().items() if "key.bias" not in key}
    save_file(state, weights, {"format": "pt"})
    with pytest.raises(DataCorrupted, match=r"lack \d of the model's weights, such as '.*key.bias'"):
        models.load_esm(str(folder))  # transformers would draw them at random
    with pytest.raises(DataMissing, match=r"^The model x+\.\.\. is not in"):
        models.load_esm("x" * 5000)

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(ValueError, match="type bert"):
        models.load_esm(str(folder))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.rand(4, 5), torch.ones(4, 5)), "should both be"),
        ((torch.rand(9, 9), torch.ones(8, 8)), "should both be"),
        ((torch.rand(9, 9), torch.ones(9, 9), 6, None, 0.0), "fraction should be a positive number"),
        ((torch.rand(9, 9), torch.ones(9, 9), 0), "1 <= min_separation"),
        ((torch.rand(9, 9), torch.ones(9, 9), 6, 5), "1 <= min_separation"),
        ((torch.full((9, 9), float("nan")), torch.ones(9, 9)), "not finite"),
    ],
)
def test_precision_of_nonsense(arguments, words):
    with pytest.raises(ValueError, match=words):
        evaluate.precision_at_l(*arguments)


def test_precision_without_pairs():
    with pytest.warns(UserWarning, match="No pair of a protein of 5 residues is 6 or more apart"):
        assert evaluate.precision_at_l(torch.rand(5, 5), torch.ones(5, 5)) != evaluate.precision_at_l(
            torch.rand(9, 9), torch.ones(9, 9)
        )


# --- masked residues


def test_what_is_masked(model):
    """The shares of BERT, to four standard errors; special tokens and padding never."""
    ids = model.tokens(["ACDEFGHIKLMNPQRSTVWY" * 10] * 99 + ["ACD"])[0]
    inputs, labels = train.mask_residues(ids, generator=torch.Generator().manual_seed(1000))
    chosen = labels != -100
    assert labels[chosen].equal(ids[chosen]) and inputs[~chosen].equal(ids[~chosen])
    special = (ids == protein.CLS) | (ids == protein.EOS) | (ids == protein.PAD)
    assert not (chosen & special).any()

    n = int((~special).sum())
    assert chosen.sum().item() / n == pytest.approx(0.15, abs=4 * (0.15 * 0.85 / n) ** 0.5)
    masked = (inputs == protein.MASK) & chosen
    changed = chosen & ~masked & (inputs != ids)
    m = int(chosen.sum())
    assert masked.sum().item() / m == pytest.approx(0.8, abs=4 * (0.8 * 0.2 / m) ** 0.5)
    assert changed.sum().item() / m == pytest.approx(0.1 * 19 / 20, abs=4 * (0.095 * 0.905 / m) ** 0.5)
    assert set(inputs[changed].tolist()) == set(protein.RESIDUES.tolist())

    # Rows do not share their draws, and masks alone leave nothing else.
    assert len({tuple(row.tolist()) for row in chosen[:99]}) == 99
    inputs, labels = train.mask_residues(ids, (1.0, 0.0))
    assert (inputs[labels != -100] == protein.MASK).all()


def test_the_loss_of_guessing(model):
    ids = model.tokens(["ACDEFGHIKL"] * 8)[0]
    guess = lambda inputs: torch.zeros(*inputs.shape, 33)  # noqa: E731
    assert train.masked_residue_loss(guess, ids).item() == pytest.approx(torch.tensor(33.0).log().item(), rel=1e-5)


def test_only_letters_are_hidden():
    ids = torch.arange(33).repeat(50, 1)
    labels = train.mask_residues(ids, p=1.0)[1]
    letters = torch.tensor([not token.startswith("<") for token in protein.ALPHABET])
    assert torch.equal(labels >= 0, letters.repeat(50, 1))


def test_a_loss_over_few_residues_is_a_number():
    torch.manual_seed(0)
    logits = torch.randn(33)
    for _ in range(40):  # of one residue none is chosen 17 times in 20
        loss = train.masked_residue_loss(lambda inputs: logits.expand(*inputs.shape, 33), torch.tensor([[0, 7, 2]]))
        assert loss.item() == pytest.approx(-logits.log_softmax(0)[7].item(), rel=1e-5)
    with pytest.raises(ValueError, match=r"ids, \(2, 2\), holds no residue"):
        train.masked_residue_loss(lambda inputs: None, torch.tensor([[0, 2], [32, 1]]))


@pytest.mark.parametrize("returned", [3, torch.zeros(4, 33), torch.zeros(4, 50, 5), torch.zeros(4, 49, 33)])
def test_a_model_that_returns_no_logits(returned):
    with pytest.raises(ValueError, match=r"The model returned .*; it should be logits \(4, 50, 33\)"):
        train.masked_residue_loss(lambda inputs: returned, torch.full((4, 50), 9))


def test_a_model_of_another_alphabet_is_not_trained_on_tokens_of_esm():
    class Other(torch.nn.Module):
        mask = 4

    with pytest.raises(ValueError, match="other tokens than ESM's"):
        train.masked_residue_loss(Other(), torch.full((4, 50), 9))


@pytest.mark.parametrize(("shares", "p"), [((0.9, 0.2), 0.15), ((-0.1, 0.1), 0.15), ((0.8, 0.1), 0.0)])
def test_shares_that_are_no_parts(model, shares, p):
    with pytest.raises(ValueError, match="shares should be parts of 1"):
        train.mask_residues(model.tokens(["ACD"])[0], shares, p)
