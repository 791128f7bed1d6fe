"""Real protein sets: which files they are, where to fetch them, how to read them.

They share one folder of the data root, `protein`, whose files may be packed by gzip. Every source answers as those of
the images do (data/images/sources.py), but `read(split)` returns a ProteinSet.

References: Dallago et al. 2021, "FLIP: benchmark tasks in fitness landscape inference for proteins" (secondary
structure, the splits of Klausen et al. 2019); Almagro Armenteros et al. 2017, "DeepLoc"; Staerk et al. 2021, "Light
attention predicts protein location from the language of life" (validation and hard set); Olson et al. 2014 (GB1);
Stiffler et al. 2015 (TEM-1); Sarkisyan et al. 2016 (GFP); Gelman et al. 2021 (the tables of GB1 and GFP).
"""

import io
import math
import zipfile

import torch

from sslcourse.data import advice
from sslcourse.data.fetch import Download
from sslcourse.data.images.sources import Source
from sslcourse.data.proteins.alphabet import EITHER, RARE, UNKNOWN, capitals, wrong_letters
from sslcourse.data.proteins.homologues import cluster, split_by_group
from sslcourse.data.proteins.records import number, read_fasta, read_table
from sslcourse.data.proteins.sets import ProteinSet, mutate, parse_mutation
from sslcourse.data.root import DataCorrupted, data_root

_GITHUB = "https://raw.githubusercontent.com"
_FLIP = f"{_GITHUB}/J-SNACKKB/FLIP/62cace8735f5610e2743cf06ce0f944b37fffaa6/splits"
_ESM = f"{_GITHUB}/facebookresearch/esm/2b369911bb5b4b0dda914521b9475cad1656b2ac/examples"
_NN4DMS = f"{_GITHUB}/gitter-lab/nn4dms/434e354828f306cbb6796033ef1169cbe5207350"
_LOCALISATION = f"{_GITHUB}/HannesStark/protein-localization/7b0be1e64a91db8ad1a8feae994a4d09aa9d7b1b/data_files"

LOCATIONS = {  # as DeepLoc writes them: as the course names them
    "Cell.membrane": "cell membrane",
    "Cytoplasm": "cytoplasm",
    "Endoplasmic.reticulum": "endoplasmic reticulum",
    "Extracellular": "extracellular",
    "Golgi.apparatus": "Golgi apparatus",
    "Lysosome/Vacuole": "lysosome or vacuole",
    "Mitochondrion": "mitochondrion",
    "Nucleus": "nucleus",
    "Peroxisome": "peroxisome",
    "Plastid": "plastid",
}
_BOTH = "Cytoplasm-Nucleus"  # DeepLoc's class of proteins at home in both; too few to learn, left out
GFP = (  # of Aequorea victoria, the wild type of the scan, without its first M
    "SKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTLSYGVQCFSRYPDHMKQHDFFKSAMPEGYVQERTIFFKDDGNYKTRAEVKFEGDTLV"
    "NRIELKGIDFKEDGNILGHKLEYNYNSHNVYIMADKQKNGIKVNFKIRHNIEDGSVQLADHYQQNTPIGDGPVLLPDNHYLSTQSALSKDPNEKRDHMVLLEFVTAAGITHGMDELYK"
)
GB1 = "MQYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"
_RARE = str.maketrans(dict.fromkeys(RARE + EITHER, UNKNOWN))  # these sets are published in twenty letters and X


class ProteinSource(Source):
    """What the protein sets share. table: {file: (MD5 sum of its unpacked content, address)}."""

    parts = ("all",)
    splits = ("test",)
    table: dict[str, tuple[str, str]] = {}

    @property
    def folder(self):
        return data_root() / "protein"

    def files(self, part):
        return {file: (md5,) for file, (md5, _) in self.table.items()}

    def downloads(self, part):
        absent = {file: known for file, known in self.table.items() if not self.path(file).exists()}
        return [Download((url,), md5, (file,)) for file, (md5, url) in absent.items()]

    def command(self):
        return advice.fetching(self.name, f"load_proteins('{self.name}', '{self.splits[0]}')")

    def text(self, file: str) -> str:
        return self.content("all", file).decode("utf-8")

    def read(self, split: str) -> ProteinSet:
        """Raises DataCorrupted, naming file and line, for a record that is not what it should be."""
        try:
            return self.parse(split)
        except ValueError as error:
            raise DataCorrupted(f"{self.name} cannot be read: {error}") from None


class SecondaryStructure(ProteinSource):
    """11,156 proteins of known structure; the validation and test proteins are no relatives of the training ones."""

    splits = ("train", "val", "test")
    file = "flip_secondary_structure_splits.zip"
    table = {file: ("9298ce249fbe83523f203b16db259541", f"{_FLIP}/secondary_structure/splits.zip")}

    def parse(self, split):
        with zipfile.ZipFile(io.BytesIO(self.content("all", self.file))) as archive:
            read = {
                kind: read_fasta(archive.read(f"splits/{kind}.fasta").decode(), f"{kind}.fasta")
                for kind in ("sequences", "sampled", "mask")
            }
        wanted = {"train": "SET=train VALIDATION=False", "val": "SET=train VALIDATION=True", "test": "SET=test"}[split]
        seen = {record.name: record.text for record in read["mask"]}
        letters = {record.name: record for record in read["sampled"]}
        sequences, structure = [], []
        for record in read["sequences"]:
            if record.name not in letters or record.name not in seen:
                raise ValueError(f"sequences.fasta: {record.name!r} has no structure or no mask.")
            if not letters[record.name].description.startswith(wanted):
                continue
            three, mask = letters[record.name].text, seen[record.name]
            if not len(three) == len(mask) == len(record.text):
                raise ValueError(f"sampled.fasta: {record.name!r} has not one structure letter for each residue.")
            sequences.append(_residues(record.text, f"sequences.fasta: {record.name!r}"))
            structure.append("".join(s if m == "1" else "-" for s, m in zip(three, mask, strict=True)))
        unknown = torch.full((len(sequences),), -1)
        return ProteinSet(sequences, unknown, ("protein",), self.name, split, structure=structure)


class Localisation(ProteinSource):
    """DeepLoc: where in the cell a protein is at home, ten places.

    Of DeepLoc the test set, the validation set that others cut from its training proteins, and a harder test set are to
    be had as files; the first of them for testing. train and val are the second one, split by cluster.
    """

    splits = ("train", "val", "test", "hard")
    table = {
        "deeploc_our_val_set.fasta": ("ef7e8f25b907fd89fcec2951f49ad7f9", f"{_LOCALISATION}/deeploc_our_val_set.fasta"),
        "deeploc_test_set.fasta": ("4ff304eb7b2882ff399c3075de13bc0e", f"{_LOCALISATION}/deeploc_test_set.fasta"),
        "setHARD.fasta": ("43e4b1a2b06517530df660386b15f045", f"{_LOCALISATION}/setHARD.fasta"),
    }

    def parse(self, split):
        file = dict(zip(("test", "hard"), list(self.table)[1:], strict=True)).get(split, next(iter(self.table)))
        sequences, labels, seen = [], [], set()
        for record in read_fasta(self.text(file), file):
            place = record.description.split(" ")[0].rsplit("-", 1)[0]  # "Nucleus-U": place, then whether in a membrane
            if place == _BOTH:
                continue
            if place not in LOCATIONS:
                raise ValueError(f"{file}: {record.name!r} has the unknown location {place!r}.")
            sequence = _residues(record.text, f"{file}: {record.name!r}")
            if sequence not in seen:
                seen.add(sequence)
                sequences.append(sequence)
                labels.append(list(LOCATIONS).index(place))
        whole = ProteinSet(sequences, torch.tensor(labels), tuple(LOCATIONS.values()), self.name, split)
        if split in ("test", "hard"):
            return whole
        train, val = split_by_group(cluster(sequences), (0.8, 0.2))
        return whole[train if split == "train" else val]


class Gb1(ProteinSource):
    """Nearly all single mutants of the B1 domain of protein G; score: log of selected over input counts."""

    file = "gb1_single_mutants.csv"
    table = {file: ("7151b7a001325e65038aa8991ae93726", f"{_NN4DMS}/source_data/gb1/single_mutants.csv")}

    def parse(self, split):
        names = ("WT amino acid", "Position", "Mutation", "Input Count", "Selection Count")
        mutations, scores = [], []
        for line, row in read_table(self.text(self.file), self.file, names):
            before, after = (number(row[name], self.file, line) for name in names[3:])
            if before <= 0:
                raise ValueError(f"{self.file}, line {line}: an input count of {before:g} gives no ratio.")
            mutations.append((line, f"{row[names[0]]}{row[names[1]]}{row[names[2]]}"))
            scores.append(math.log((after + 0.5) / before))  # half a count, so that none selected stays finite
        return _scan(self, split, GB1, mutations, scores, "GB1")


class Tem1(ProteinSource):
    """Single mutants of the beta-lactamase TEM-1; score: fitness at 2,500 ug/ml ampicillin, column "2500"."""

    file, other = "BLAT_ECOLX_Ranganathan2015.csv", "P62593.fasta"
    table = {
        file: ("eade8a19f4170c5c9e86866bca9cc6fe", f"{_ESM}/variant-prediction/data/BLAT_ECOLX_Ranganathan2015.csv"),
        other: ("b19c69970796fd436554776c798e9e9f", f"{_ESM}/data/P62593.fasta"),
    }

    def parse(self, split):
        # The second file has the sequences: undo the mutation of its first record.
        first = read_fasta(self.text(self.other), self.other)[0]
        wild, place = first.name.split("|")[1].split("_")[1][0], int(first.name.split("|")[1].split("_")[1][1:-1])
        sequence = first.text[: place - 1] + wild + first.text[place:]
        mutations, scores = [], []
        for line, row in read_table(self.text(self.file), self.file, ("mutant", "2500")):
            if row["2500"]:  # not measured
                mutations.append((line, row["mutant"]))
                scores.append(number(row["2500"], self.file, line))
        return _scan(self, split, sequence, mutations, scores, "TEM-1")


class Gfp(ProteinSource):
    """Green fluorescent protein with 1 to 15 mutations; score: log brightness."""

    file = "avgfp.tsv"
    table = {file: ("847719a7a6a8aae5ca32dc8cf51e648c", f"{_NN4DMS}/data/avgfp/avgfp.tsv")}

    def parse(self, split):
        mutations, scores = [], []
        for line, row in read_table(self.text(self.file), self.file, ("variant", "score"), delimiter="\t"):
            if "*" in row["variant"] or row["variant"] in ("", "_wt"):  # stop codons end the protein
                continue
            each = [f"{m[0]}{int(m[1:-1]) + 1}{m[-1]}" for m in row["variant"].split(",")]  # written from 0
            mutations.append((line, ":".join(each)))
            scores.append(number(row["score"], self.file, line))
        return _scan(self, split, GFP, mutations, scores, "GFP")


SOURCES = {
    "secondary_structure": SecondaryStructure,
    "localisation": Localisation,
    "gb1": Gb1,
    "tem1": Tem1,
    "gfp": Gfp,
}


def find_protein_source(name: str) -> ProteinSource:
    return SOURCES[name](name)


def _residues(text: str, where: str) -> str:
    """Capital letters of the twenty, rare ones as X. Raises ValueError, naming the record, for anything else."""
    sequence = capitals(text).translate(_RARE)
    if problem := wrong_letters(sequence):
        raise ValueError(f"{where} {problem}")
    return sequence


def _scan(source, split: str, wild_type: str, mutations: list[tuple[int, str]], scores: list[float], title: str):
    """A mutational scan of one protein: every mutation is checked against the wild type, with its line."""
    sequences = []
    for line, several in mutations:
        try:
            for mutation in several.split(":"):
                parse_mutation(mutation, wild_type)
        except ValueError as error:
            raise ValueError(f"{source.file}, line {line}: {error}") from None
        sequences.append(mutate(wild_type, several))
    return ProteinSet(
        sequences,
        torch.zeros(len(sequences), dtype=torch.int64),
        (title,),
        source.name,
        split,
        scores=torch.tensor(scores, dtype=torch.float64),
        mutations=[several for _, several in mutations],
        wild_types=(wild_type,),
    )
