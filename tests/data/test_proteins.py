"""Protein sets: the toy families and their truths, readers that name the line, real sets from fakes in their layout."""

import gzip
import hashlib
import io
import itertools
import zipfile

import numpy as np
import pytest
import torch

from sslcourse import weeks
from sslcourse.data import (
    AMINO_ACIDS,
    DataCorrupted,
    DataMissing,
    ProteinSet,
    load_proteins,
    parse_mutation,
    prefetch,
)
from sslcourse.data.proteins import potts, sources
from sslcourse.data.proteins.homologues import cluster, split_by_group
from sslcourse.data.proteins.records import number, read_fasta, read_table
from sslcourse.data.proteins.sets import decode, encode, mutate

SHA256 = "da022bbc27e216f8c04214d6a696772c97e16362a8babf59553234cf45ae1021"  # of 200 sequences and labels, version 1
MAPS_SHA256 = "7870a8bb3668994790a96ba330a7b0bfea6a116617ed020486c1935e4c851a06"


def make(**changes):
    parts = {"sequences": ["ACD", "AXW"], "labels": torch.tensor([0, 1]), "class_names": ("a", "b"), "name": "some"}
    return ProteinSet(**(parts | {"split": "train"} | changes))


# --- ProteinSet


def test_a_set_selects_all_that_belongs_to_a_protein():
    s = make(
        structure=["HHH", "EC-"], scores=torch.tensor([1.0, 2.0]), mutations=["", "C2X"], wild_types=["ACD", "AXW"]
    )
    for index in (1, slice(1, 2), [1], torch.tensor([False, True]), np.array([1])):
        part = s[index]
        assert part.sequences == ("AXW",) and part.labels.tolist() == [1] and part.structure == ("EC-",)
        assert part.scores.tolist() == [2.0] and part.mutations == ("C2X",) and part.wild_types == ("ACD", "AXW")
    assert len(s) == 2 and [len(one) for one in s] == [1, 1]
    assert s.subset(1, seed=3).sequences == s.subset(1, seed=3).sequences
    assert repr(s) == (
        "ProteinSet(some train: 2 sequences of 3 residues, 2 classes, with structure, scores, mutations, wild_types)"
    )
    with pytest.raises(ValueError, match="has 2 proteins, so n should be from 1 to 2, not 3"):
        s.subset(3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sequences": ["ACD", ""]}, "Sequence 1 of some is empty"),
        ({"sequences": ["ACD", "aCD"]}, "'a' at position 1 \\(write capitals\\)"),
        ({"sequences": ["AC*", "ACD"]}, r"Sequence 0 of some has '\*' at position 3"),
        ({"labels": torch.tensor([0, 2])}, "between -1 and 1"),
        ({"labels": torch.tensor([0])}, "has 1 labels; it needs 2"),
        ({"labels": torch.tensor([0.0, 1.0])}, "int64"),
        ({"structure": ["HHH", "HH"]}, "3 residues and 2 structure letters"),
        ({"contacts": torch.zeros(3, 3, 3)}, "has 3 contacts; it needs 2"),
    ],
)
def test_parts_that_do_not_fit(changes, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make(**changes)


def test_mutations():
    assert (
        parse_mutation("C2W", "ACD") == ("C", 1, "W")
        and mutate("ACD", "C2W:D3A") == "AWA"
        and mutate("ACD", "") == "ACD"
    )
    for wrong, words in (
        ("A2W", "starts from A, but residue 2 is C"),
        ("C4W", "outside the sequence, which has 3"),
        ("C0W", "no single mutation"),
        ("2W", "no single mutation"),
        ("C2B", "no single mutation"),
    ):
        with pytest.raises(ValueError, match=words):
            parse_mutation(wrong, "ACD")
    assert decode(encode(["ACX", "YWA"])) == ("ACX", "YWA") and encode(["AY"]).tolist() == [[0, 19]]
    with pytest.raises(ValueError, match="several lengths"):
        encode(["A", "AC"])


# --- the toy


def test_same_sequences_everywhere():
    """After a wanted change raise VERSION and note the new sums; else a platform draws differently."""
    s = load_proteins("potts", "test", n=200, seed=1000)
    drawn = "".join(s.sequences).encode() + s.labels.numpy().astype("<i8").tobytes()
    maps = b"".join(family.contacts.numpy().tobytes() for family in s.families)
    assert hashlib.sha256(maps).hexdigest() == MAPS_SHA256, f"version {potts.VERSION}"
    assert hashlib.sha256(drawn).hexdigest() == SHA256, f"version {potts.VERSION}"


def test_maps_of_the_families():
    families = potts.families()
    i, j = torch.triu_indices(potts.LENGTH, potts.LENGTH, potts.SEPARATION)
    for family in families:
        assert family.contacts.equal(family.contacts.T) and family.contacts.sum(dim=1).max() <= potts.PARTNERS
        assert family.contacts[i, j].sum() == potts.LENGTH == family.contacts.sum() // 2  # all in the scored range
        conserved = family.fields.abs().sum(dim=1) > 0
        assert conserved.sum() == potts.CONSERVED and not family.contacts[conserved].any()
        assert family.potential.equal(family.potential.T)
    for a, b in itertools.combinations(families, 2):  # hardly a contact in common
        assert (a.contacts & b.contacts).sum() <= 0.4 * a.contacts.sum()


def test_energies_against_a_sum_over_pairs():
    family = potts.families()[1]
    x = potts.sample(family, 3, seed=1000)
    j = family.couplings()
    for numbers, energy in zip(x, family.energy(x), strict=True):
        fields = sum(family.fields[n, numbers[n]] for n in range(potts.LENGTH))
        pairs = sum(j[a, b, numbers[a], numbers[b]] for a, b in itertools.combinations(range(potts.LENGTH), 2))
        assert energy.item() == pytest.approx(-(fields + pairs).item())

    effects = family.effects(x[0])
    for place, letter in ((0, 3), (17, 19), (31, 0)):
        mutant = x[:1].clone()
        mutant[0, place] = letter
        assert effects[place, letter].item() == pytest.approx((family.energy(x[:1]) - family.energy(mutant)).item())


def test_the_sampler_draws_from_the_model():
    """A family small enough to sum over all sequences: two residues in contact beside a third with a field."""
    contacts = torch.zeros(3, 3, dtype=torch.bool)
    contacts[0, 1] = contacts[1, 0] = True
    full = potts.families()[0]
    fields = torch.zeros(3, 20, dtype=torch.float64)
    fields[2, 7] = np.log(171)
    small = potts.Potts(contacts, fields, full.potential)
    x = potts.sample(small, 40_000, seed=1000)
    wanted = full.potential.exp() / full.potential.exp().sum()
    came = torch.zeros(20, 20, dtype=torch.float64).index_put_(
        (x[:, 0], x[:, 1]), torch.tensor(1 / 40_000, dtype=torch.float64), True
    )
    assert (came - wanted).abs().max() < 5 * (wanted.max() / 40_000) ** 0.5
    assert (x[:, 2] == 7).double().mean().item() == pytest.approx(0.9, abs=0.01)


def test_burn_in_is_long_enough():
    for family in potts.families():
        i, j = family.contacts.triu(1).nonzero(as_tuple=True)
        short, long = (potts.sample(family, 1500, 1000 + s, s) for s in (potts.SWEEPS, 4 * potts.SWEEPS))
        energies = [family.energy(x) for x in (short, long)]
        error = (sum(e.var() for e in energies) / 1500).sqrt()
        assert abs(energies[0].mean() - energies[1].mean()) < 5 * error + 0.05 * energies[1].std()


def test_toy_sets():
    s = load_proteins("potts", "val", n=42, seed=5)
    assert len(s) == 42 and s.labels.bincount().tolist() == [11, 11, 10, 10] and s.contacts.shape == (4, 32, 32)
    assert s.sequences == load_proteins("potts", "val", n=42, seed=5).sequences
    others = [load_proteins("potts", split, n=42, seed=seed) for split, seed in (("test", 5), ("train", 5), ("val", 6))]
    assert all(not set(s.sequences) & set(other.sequences) for other in others)

    scan = load_proteins("potts_scan", "test", n=4, seed=5)
    assert len(scan) == 4 * 32 * 19 and len(scan.wild_types) == len(scan.class_names) == len(scan.families) == 4
    for n in (0, 700, 2000):
        k = int(scan.labels[n])
        wild, mutant = encode([scan.wild_types[k]]), encode([scan.sequences[n]])
        assert scan.sequences[n] == mutate(scan.wild_types[k], scan.mutations[n])
        difference = scan.families[k].energy(wild) - scan.families[k].energy(mutant)
        assert scan.scores[n].item() == pytest.approx(difference.item())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pots", "train"), "no protein set 'pots'; choose one of potts, potts_scan, secondary_structure"),
        (("potts", "hard"), "no split 'hard'; choose one of train, val, test"),
        (("gb1", "train"), "gb1 has no split 'train'; choose one of test"),
        (("potts", "train", 0), "n is 0"),
        (("potts", "train", 4, -1), "seed is -1"),
    ],
)
def test_bad_requests(arguments, words):
    name, split, *rest = arguments
    with pytest.raises(ValueError, match=words):
        load_proteins(name, split, **dict(zip(("n", "seed"), rest, strict=False)))


# --- readers


def test_fasta():
    records = read_fasta(">a first one\nACD\nEF\n\n>b\nWW\n", "some.fasta")
    assert records == [("a", "first one", "ACDEF"), ("b", "", "WW")]
    for text, words in (
        ("ACD\n>a\nA", "some.fasta, line 1: 'ACD' before any record"),
        (">a\n>b\nA", "line 1: the record 'a' has no sequence"),
        (">a\nA\n>", 'line 3: a ">" without a name'),
        (">a\nA\n>a\nC", "line 3: 'a' stands already in line 1"),
        (">a\nA\n>b\n", "line 3: the record 'b' has no sequence"),
    ):
        with pytest.raises(ValueError, match=words):
            read_fasta(text, "some.fasta")


def test_table():
    assert read_table("\ufeffa,b\n1,2\n\n3,4\n", "t.csv", ("b",)) == [(2, {"b": "2"}), (4, {"b": "4"})]
    with pytest.raises(ValueError, match="no column 'c'; its columns are a, b"):
        read_table("a,b\n1,2\n", "t.csv", ("c",))
    with pytest.raises(ValueError, match="t.csv, line 3: 3 fields, the header has 2"):
        read_table("a,b\n1,2\n1,2,3\n", "t.csv", ("a",))
    assert number("1e-3", "t.csv", 2) == 0.001
    for text in ("x", "nan", "inf", ""):
        with pytest.raises(ValueError, match="t.csv, line 2: .* no finite number"):
            number(text, "t.csv", 2)


# --- homologues


def test_clusters_and_splits():
    base = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"
    kin = base[:20] + "A" + base[21:]
    chain = kin[10:] + "WWCHHWPPC"
    other = "GGSGGTPLNWDCCYHHEMPV"
    assert cluster([base, other, kin, chain]).tolist() == [0, 1, 0, 0]
    assert cluster(["ACD", "WY", "ACD"]).tolist() == [0, 1, 0]  # shorter than a word
    with pytest.raises(ValueError, match="shared is 0; it should be a number greater than 0"):
        cluster([base], shared=0)

    # A family of any size is one: what all of its members have is no repeat.
    family = [base[:n] + "W" + base[n + 1 :] for n in range(len(base))] * 4 + [base] * 9
    assert cluster([other, *family, "GGSGG"]).tolist() == [0, *[1] * len(family), 0]
    heads = ["A" * 9 + chr(200 + n) * 7 for n in range(60)]
    assert cluster(heads).tolist() == list(range(60))  # what they share is a repeat of alanine
    assert cluster(["AAAAAAAA", base, "AAAAAAAA"] * 30).tolist() == [0, 1, 0] * 30

    groups = torch.tensor([0, 0, 0, 1, 1, 2, 3, 4, 5, 5])
    parts = split_by_group(groups, (0.5, 0.3, 0.2), seed=1)
    assert torch.cat(parts).sort().values.tolist() == list(range(10)) and all(len(part) for part in parts)
    for a, b in itertools.combinations(parts, 2):
        assert not set(groups[a].tolist()) & set(groups[b].tolist())
    for groups, shares, words in (([0, 0], (0.5, 0.5), "1 groups for 2 parts"), ([0, 1], (0.5, 0.6), "add up to 1")):
        with pytest.raises(ValueError, match=words):
            split_by_group(torch.tensor(groups), shares)


# --- real sets, faked in their layout


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root, offline, with files that the table of sources takes for the real ones."""
    monkeypatch.setenv("SSLCOURSE_DATA", str(tmp_path))
    monkeypatch.setenv("SSLCOURSE_OFFLINE", "1")
    (tmp_path / "protein").mkdir()
    return tmp_path / "protein"


def put(root, monkeypatch, name, files, packed=False):
    table = sources.SOURCES[name].table
    monkeypatch.setattr(
        sources.SOURCES[name],
        "table",
        {file: (hashlib.md5(files[file]).hexdigest(), url) for file, (_, url) in table.items()},
    )
    for file, content in files.items():
        if packed:
            (root / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (root / file).write_bytes(content)


def archive(**parts):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as z:
        for name, text in parts.items():
            z.writestr(f"splits/{name}.fasta", text)
    return stream.getvalue()


def test_secondary_structure(root, monkeypatch):
    parts = {
        "sequences": ">1abc-A\nACDU\n>2abc-A\nWW\n>3abc-A\nGGG\n",
        "sampled": ">1abc-A SET=train VALIDATION=False\nHHEC\n>2abc-A SET=train VALIDATION=True\nCC\n"
        ">3abc-A SET=test VALIDATION=False\nEEE\n",
        "mask": ">1abc-A\n0111\n>2abc-A\n11\n>3abc-A\n110\n",
    }
    file = sources.SecondaryStructure.file
    put(root, monkeypatch, "secondary_structure", {file: archive(**parts)})
    train, val, test = (load_proteins("secondary_structure", split) for split in ("train", "val", "test"))
    assert train.sequences == ("ACDX",) and train.structure == ("-HEC",)
    assert val.sequences == ("WW",) and test.structure == ("EE-",)
    assert prefetch("week12", "tiny") == []

    put(root, monkeypatch, "secondary_structure", {file: archive(**parts | {"mask": ">1abc-A\n011\n"})})
    with pytest.raises(
        DataCorrupted, match="secondary_structure cannot be read: .*'1abc-A' has not one structure letter"
    ):
        load_proteins("secondary_structure", "train")


def test_localisation(root, monkeypatch):
    table = list(sources.Localisation.table)
    words = ["ACDEFGHIKLMN", "PQRSTVWYACCC", "WWYYHHKKRRDD", "MMLLKKJJHHGG"]
    text = (
        "".join(f">P{n} Nucleus-U\n{word}\n" for n, word in enumerate(words[:3]))
        + f">P9 Cytoplasm-Nucleus-U\n{words[3]}\n"
    )
    files = {table[0]: text, table[1]: ">Q1 Golgi.apparatus-M test\nACDE\nFF\n", table[2]: ">Q2 Plastid-S\nWY\n"}
    put(root, monkeypatch, "localisation", {file: text.encode() for file, text in files.items()}, packed=True)
    train, val, test = (load_proteins("localisation", split) for split in ("train", "val", "test"))
    assert sorted(train.sequences + val.sequences) == sorted(words[:3]) and len(val)
    assert test.sequences == ("ACDEFF",) and test.class_names[test.labels[0]] == "Golgi apparatus"

    files[table[1]] = ">Q1 Moon-M test\nACDE\n"
    put(root, monkeypatch, "localisation", {file: text.encode() for file, text in files.items()}, packed=True)
    with pytest.raises(DataCorrupted, match="'Q1' has the unknown location 'Moon'"):
        load_proteins("localisation", "test")


def test_scans(root, monkeypatch):
    header = "\ufeffWT amino acid,Position,Mutation,Input Count,Selection Count\r\n"
    file = sources.Gb1.file
    put(root, monkeypatch, "gb1", {file: (header + "Q,2,A,10,20\r\nY,3,W,10,0\r\n").encode()})
    gb1 = load_proteins("gb1", "test")
    assert gb1.mutations == ("Q2A", "Y3W") and gb1.scores[0] > gb1.scores[1]
    assert gb1.sequences[0][:3] == "MAY" and gb1.wild_types[0][:3] == "MQY"
    for row, words in (("A,2,C,1,1", "line 2: A2C starts from A"), ("Q,2,A,x,1", "line 2: 'x' is no finite number")):
        put(root, monkeypatch, "gb1", {file: (header + row).encode()})
        with pytest.raises(DataCorrupted, match=words):
            load_proteins("gb1", "test")

    wild = "MKTAY"
    files = {
        sources.Tem1.file: b",mutant,2500\n0,K2A,-1.5\n1,T3A,\n",
        sources.Tem1.other: f">0|beta-lactamase_K2W|1.0\n{wild[0]}W{wild[2:]}\n".encode(),
    }
    put(root, monkeypatch, "tem1", files)
    tem1 = load_proteins("tem1", "test")
    assert tem1.wild_types == (wild,) and tem1.mutations == ("K2A",) and tem1.scores.tolist() == [-1.5]

    rows = "variant\tnum_mutations\tscore\nS0A,G2D\t2\t1.5\nK1*\t1\t1.0\n"
    put(root, monkeypatch, "gfp", {sources.Gfp.file: rows.encode()})
    gfp = load_proteins("gfp", "test")
    assert gfp.mutations == ("S1A:G3D",) and gfp.sequences[0][:4] == "AKDE"


def test_missing_and_damaged_files(root, monkeypatch):
    with pytest.raises(DataMissing, match=r"gb1 \(all\) is not in .*protein.*sslcourse prefetch week12 --scale small"):
        load_proteins("gb1", "test")
    with pytest.raises(DataMissing, match=r"load_proteins\('gfp', 'test'\)|prefetch week12 --scale small"):
        load_proteins("gfp", "test")
    (root / sources.Gb1.file).write_text("something else")
    with pytest.raises(DataCorrupted, match="gb1_single_mutants.csv is corrupted"):
        load_proteins("gb1", "test")


@pytest.mark.real_data
@pytest.mark.parametrize("name", weeks.find(12).data["full"])
def test_the_real_sets(name):
    try:
        s = load_proteins(name, sources.find_protein_source(name).splits[-1])
    except DataMissing as error:
        pytest.skip(f"{name} is not under the data root: {error}")
    assert len(s) > 300 and set("".join(s.sequences)) <= set(AMINO_ACIDS + "X")
