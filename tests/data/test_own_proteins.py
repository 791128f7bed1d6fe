"""A student's own proteins: one alphabet for files, sets and models; a record that is wrong is named."""

import numpy as np
import pytest
import torch

from sslcourse import models
from sslcourse.data import AMINO_ACIDS, ProteinSet
from sslcourse.data.own import own_proteins
from sslcourse.data.proteins import alphabet, encode
from sslcourse.data.proteins.homologues import cluster
from sslcourse.data.proteins.records import read_fasta
from sslcourse.models import protein

ACCEPTED = "ACDEFGHIKLMNPQRSTVWYXUBZOJ"  # as IUPAC has them, all that may stand in a sequence
NOT_ACCEPTED = "-.*?1 aujx\u0131\u017f\u212a\u00df\u0410\n"


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.esm(16, 1, 2).eval()


def sequence_set(sequences):
    return ProteinSet(sequences, torch.zeros(len(sequences), dtype=torch.int64), ("one",), "some", "all")


def test_proteins_with_and_without_classes(tmp_path):
    path = write(tmp_path / "some.fasta", ">p1 human kinase\nmkt\nAYI\n\n>p2 lyase\nMX\n")
    found = own_proteins(path, classes=True)
    assert found.items == ("MKTAYI", "MX") and found.class_names == ("kinase", "lyase")
    assert found.names == ("p1", "p2") and found[1].names == ("p2",)
    assert own_proteins(path).class_names == ()


# --- the alphabet


@pytest.mark.parametrize("letter", ACCEPTED)
def test_one_alphabet_for_files_sets_and_models(tmp_path, model, letter):
    """Each letter is accepted everywhere, and J is X everywhere."""
    read = "X" if letter == "J" else letter
    path = write(tmp_path / "a.fasta", f">p1\nMK{letter}\n>p2\nmk{letter.lower()}\n")
    assert own_proteins(path).items == (f"MK{read}",) * 2
    assert sequence_set([f"MK{letter}"]).sequences == (f"MK{read}",)
    ids, _ = model.tokens([f"MK{letter}", f"MK{read}"])
    assert ids[0].equal(ids[1]) and protein.ALPHABET[ids[0, 3]] == read
    assert model.hidden([f"MK{letter}"])[0].isfinite().all()
    assert encode([f"MK{letter}"])[0, 2] == (AMINO_ACIDS.index(letter) if letter in AMINO_ACIDS else 20)


@pytest.mark.parametrize("letter", NOT_ACCEPTED)
def test_what_is_no_letter_is_none_anywhere(tmp_path, model, letter):
    assert letter not in alphabet.LETTERS
    for call in (
        lambda: sequence_set(["MKT", f"MK{letter}T"]),
        lambda: model.tokens(["MKT", f"MK{letter}T"]),
        lambda: model.hidden(["MKT", f"MK{letter}T"]),  # sorted by length within: the number is that of the list
        lambda: encode(["MKTA", f"MK{letter}T"]),
    ):
        with pytest.raises(ValueError, match=r"Sequence 1 .*has .* at position 3"):
            call()
    if letter not in "aujx \n":  # in files small letters are welcome, spaces and line ends no letters
        with pytest.raises(ValueError, match="The record p1 of .* at position 3, which is no amino acid"):
            own_proteins(write(tmp_path / "a.fasta", f">p1\nMK{letter}T\n"))


def test_the_models_alphabet_is_that_of_the_files():
    single = {token for token in protein.ALPHABET if len(token) == 1}
    assert single - {".", "-"} == alphabet.LETTERS - {"J"}


def test_j_is_said(tmp_path, capsys):
    own_proteins(write(tmp_path / "a.fasta", ">p1\nMJJ\n>p2\nMKT\n>p3\nAJ\n"))
    assert "J (leucine or isoleucine) becomes X, unknown, in 2 of 3 sequences" in capsys.readouterr().out


# --- FASTA


@pytest.mark.parametrize("strange", ["\u2028", "\x0b", "\x0c", "\x1c", "\x85", "\u2029"])
def test_only_line_feeds_end_a_line(tmp_path, strange):
    """Python's splitlines cuts at all of these, and the rest of the header would be sequence."""
    text = f">p1 a{strange}MKLV kin{strange}ase\r\nMKT\r\nAYI\r\n>p2 b lyase\nMK\n"
    found = own_proteins(write(tmp_path / "a.fasta", text), classes=True)
    assert found.items == ("MKTAYI", "MK") and found.class_names == (f"kin{strange}ase", "lyase")
    assert [record.text for record in read_fasta(text, "a.fasta")] == ["MKTAYI", "MK"]
    with pytest.raises(ValueError, match="record p1 .* at position 3"):
        own_proteins(write(tmp_path / "b.fasta", f">p1\nMK{strange}T\n"))


def test_blocks_of_ten_and_a_byte_order_mark(tmp_path):
    text = "\ufeff>p1 kinase\r\nMKTAYIAKQR QISFVKSHFS\r\n\tRQLEERLGLI \r\n"
    assert own_proteins(write(tmp_path / "a.fasta", text)).items == ("MKTAYIAKQRQISFVKSHFSRQLEERLGLI",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (">p1 a\nMK-T\n", "record p1 .* '-' at position 3, which is no amino acid .*gaps"),
        (">p1 a\nMKT*\n", r"record p1 .* '\*' at position 4, which is no amino acid .*stop signs"),
        (">p1 a\nMK.T\n", "gaps"),
        (">p1 a\nMK1\n", "'1' at position 3"),
        (">p1 a\n>p2 a\nMK\n", "record p1 .* has no sequence"),
        (">p1 a\nMK\n>\n\n", r"record without a name of .* \(line 3\) has no sequence"),
        ("", "holds no records"),
        ("MKT\n>p1 a\nMKT\n", "line 1: 'MKT' before any record"),
        (">p1\nMKT\n", "record p1 .* has no class in its header"),
        (">p1 a\rMKT\r", "Line 1 of .* has a carriage return within it; where these end the lines"),
        (">p1 a\rMKTAYI\nAYI\n>p2 b\nMK\n", "Line 1 of .* has a carriage return within it"),  # half would be lost
        (">p1 a\nMKT\n>p2\u2028\x1b b\nM1\n", r"record p2 of .* \(line 3\) has '1' at position 2"),
        (">" + "p" * 5000 + "\nMKT\n", r"record p{37}\.\.\. of .* \(line 1\) has no class"),
        (">p1 a\0\nMKT\n", "has a NUL character in line 1"),
        (">sp|P1|A_HUMAN Kinase OS=Homo sapiens SV=2\nMKT\n", "header of a database, which ends in 'SV=2'"),
        (">NP_1.1 kinase [Homo sapiens]\nMKT\n", "header of a database, which ends in 'sapiens]'"),
        (">p1 a\nATGGCGTACGTTAACG\n", "record p1 .* looks like DNA or RNA: its 16 letters"),
        (">p1 a\natggcguacg\n", "looks like DNA or RNA"),
        (">p1 a\nMKTAYI\n>p2 a\nMKV\n>p3 a\nACGTNNACGTACGTTACGTACGATTACGATTACA\n", "record p3 .* looks like DNA"),
        (">p1 a\n" + "ACGTTGCA" * 10 + "RYK\n", "record p1 .* looks like DNA"),
    ],
)
def test_a_fasta_that_will_not_do(text, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence) as caught:
        own_proteins(write(tmp_path / "a.fasta", text), classes=True)
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 400


def test_headers_of_databases_are_welcome_without_classes(tmp_path):
    text = ">sp|P1|A_HUMAN Kinase OS=Homo sapiens SV=2\nMKT\n>NP_1.1 kinase [Homo sapiens]\nMKV\n"
    assert own_proteins(write(tmp_path / "a.fasta", text)).names == ("sp|P1|A_HUMAN", "NP_1.1")
    with pytest.raises(TypeError, match="classes is 'kinase'; True takes the last word"):
        own_proteins(tmp_path / "a.fasta", classes="kinase")


def test_what_may_be_dna_is_said(tmp_path, capsys):
    """Too short, too few or too poor in letters to be sure."""
    proteins = "".join(f">p{n}\nMKTAYIAKQR\n" for n in range(4))
    for doubtful in ("ACGTTGCAACGTACGTTAGC", "ATATATTTAATATATATTTATATATAATATA"):
        own_proteins(write(tmp_path / "a.fasta", f"{proteins}>d\n{doubtful}\n"))
        said = capsys.readouterr().out
        assert "record d of " in said and "(line 9) may be DNA or RNA: it has no other letters (1 of 5 records)" in said
    own_proteins(write(tmp_path / "a.fasta", proteins))
    assert capsys.readouterr().out == ""


def test_proteins_are_not_taken_for_dna(tmp_path):
    """Poor in letters, or short and few among many: silk, an antifreeze protein, a peptide that spells GATTACAT."""
    sequences = ["GAGAGSGAGAGSGAGAGSGAGAGS", "DTASDAAAAAALTAANAAAAAKLTADNAAAAAAATA", "GATTACAT", "ACGT", "TTCCAAGG" * 3]
    text = "".join(f">p{n}\n{sequence}\n" for n, sequence in enumerate(["MKTAYIAKQR"] * 5 + sequences))
    assert own_proteins(write(tmp_path / "a.fasta", text)).items[5:] == tuple(sequences)
    letters = np.random.default_rng(1000).choice(list(AMINO_ACIDS), (2000, 12))
    assert not any(alphabet.is_dna("".join(row)) for row in letters)


def test_what_is_no_text_at_all(tmp_path):
    (tmp_path / "a.fasta").write_bytes(b">p1\nMKT\n\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match=r"UTF-8 \(line 3\)"):
        own_proteins(tmp_path / "a.fasta")
    with pytest.raises(FileNotFoundError, match="There is no file .*; check the path"):
        own_proteins(tmp_path / "none")
    with pytest.raises(TypeError, match="The file is given as int"):
        own_proteins(7)


# --- models


def test_a_sequence_longer_than_the_places():
    """The shipped model has 32 places, ESM-1b 1,022; rotary models have no end."""
    shipped = models.load_pretrained("esm_potts")
    assert shipped.places == 32 and shipped.hidden(["A" * 32])[0].shape == (32, 64)
    calls = (shipped.tokens, shipped.hidden, shipped.log_probs, lambda given: shipped.attentions(given[0]))
    for call in calls:
        with pytest.raises(ValueError, match="begins with 'MKTA.*, has 40 residues, and this model has 32 places"):
            call(["MKTA" * 10])
    with pytest.raises(ValueError, match="Sequence 1, .* has 33 residues"):
        shipped.hidden(["A", "A" * 33])
    with pytest.raises(ValueError, match="A row of ids has 33 residues, and this model has 32 places"):
        shipped(torch.full((2, 35), 5))
    padded = torch.full((2, 40), protein.PAD)
    padded[:, :34] = 5
    assert shipped(padded).shape == (2, 40, 33)  # padding takes no places

    assert models.esm(16, 1, 2, positions="absolute", max_length=1022).network.config.max_position_embeddings == 1026
    assert models.esm(16, 1, 2, positions="absolute", max_length=1022).places == 1022
    rotary = models.esm(16, 1, 2, max_length=8)
    assert rotary.places is None and rotary.hidden(["MKTA" * 10])[0].shape == (40, 16)


def test_a_bare_string_is_not_five_proteins(model):
    for call in (model.tokens, model.hidden, model.log_probs):
        for given in ("MKTAY", [], None, 5):
            with pytest.raises(ValueError, match="list of sequences, one or more; put a single one in brackets"):
                call(given)
    with pytest.raises(ValueError, match="masked has 1 places for 2 sequences"):
        model.log_probs(["MK", "AY"], masked=[0])
    assert sequence_set(["MKTAY"]).sequences == sequence_set("MKTAY".split()).sequences
    for call in (cluster, encode, sequence_set):
        with pytest.raises(TypeError, match="sequences.* is one string, 'MKTAY'; give a list of strings"):
            call("MKTAY")
    with pytest.raises(TypeError, match="class_names of some is one string"):
        ProteinSet(["MKT"], torch.tensor([0]), "a", "some", "all")
    with pytest.raises(TypeError, match="sequences of some holds int at place 1"):
        sequence_set(["MKT", 3])
    with pytest.raises(ValueError, match="Sequence 1 is of type int; a sequence is a string"):
        model.tokens(["MKT", 3])
