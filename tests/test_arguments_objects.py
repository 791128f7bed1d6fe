"""Malformed calls, the second table: a student's own data, and the methods of what the library hands out.

Raw errors of torch's own layers stay torch's; what is asked here is of the library: one sentence, raised in it.
"""

import functools

import pytest
import torch
from test_arguments import BAD, FEW, LABELS, MANY, NOTHING, PICTURES, TENSOR, answer, bad_values, equal, offline

from sslcourse import data, models
from sslcourse.data import expect, own
from sslcourse.data.proteins.potts import families

assert offline  # a fixture for every test here too
PROTEINS = ["MKTAYIAK", "MKTAYIAW", "GGSLVPRG"]
CSV = "text,label\na good film,pos\na bad film,neg\nanother good one,pos\n"
FASTA = "".join(f">p{n} class{n % 2}\n{sequence}\n" for n, sequence in enumerate(PROTEINS))
BAD |= {
    "file": [*NOTHING, *MANY, 3, 2.5, True, "", "\0", "no/such/file", ".", "~nobody/file", "x" * 5000, ["a"]],
    "folder": [*NOTHING, *MANY, 3, 2.5, True, "", "\0", "no/such/folder", "~nobody/folder", "x" * 5000, ["a"]],
    "proteins": [*NOTHING, *MANY, "MKTA", 3, [], [""], ["M K"], ["MK1"], [3], [None], [["M"]], ["mk"], ["MK", "É"]],
    "protein": [*NOTHING, *MANY, "", 3, True, ["MKTA"], "M1", "mk", "É", "\n"],
    "masked": [*NOTHING[1:], *MANY, 3, "abc", [0], [0, 1, 2, 3], [-1, 0, 0], [8, 0, 0], [0.5, 0, 0], ["a", 0, 0]]
    + [[True, 0, 0], torch.tensor([0.5, 0, 0])],
    "layer": [*BAD["whole"], 77, -77, 3, -4],
    "groups": [*NOTHING[1:], *MANY, 3, "abcdefghijkl", [], ["a"], [None] * 12, [float("nan")] * 12, [" "] * 12]
    + [["a"] * 12, [["a"]] * 12],
    "own labels": [*TENSOR, [0, 1] * 6, LABELS.float(), LABELS > 0, LABELS[None], LABELS[:0], torch.arange(12)],
    "unknown labels": [*TENSOR, LABELS[:3].float(), LABELS[:3] > 0, LABELS[:2], LABELS[None, :3], [0.5] * 3],
    "index": [*NOTHING[1:], "text", 2.5, [99], [0.5], ["a"], FEW, LABELS > 5, torch.tensor([99]), torch.tensor(0.5)],
    "residues": [*TENSOR, torch.rand(2, 32), torch.full((2, 32), 99), torch.full((2, 32), -1), torch.ones(2, 5).long()]
    + [torch.ones(2, 2, 32).long(), torch.ones(2, 32).to("meta"), torch.ones(5).long(), torch.full((32,), 20)],
    "patches": [*TENSOR, FEW, torch.rand(2, 4, 5), torch.ones(2, 4, 8).long()],
    "one more token": [*TENSOR, torch.rand(2, 4), torch.full((2, 4), 99), torch.full((2, 4), -1), LABELS],
}


@functools.cache
def esm():
    torch.manual_seed(0)
    return models.esm(8, 2, 2, positions="absolute", max_length=9).eval()


@functools.cache
def proteins():
    return data.load_proteins("potts", n=9)


def vit():
    torch.manual_seed(0)
    return models.ViT(8, 4, 3, 8, 1, 2).eval()


def written(tmp_path):
    """The good files: {what: path}."""
    from PIL import Image

    (tmp_path / "images" / "cat").mkdir(parents=True)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "images" / "cat" / "one.png")
    (tmp_path / "own.csv").write_text(CSV)
    (tmp_path / "own.fasta").write_text(FASTA)
    return {"images": tmp_path / "images", "csv": tmp_path / "own.csv", "fasta": tmp_path / "own.fasta"}


WITHOUT_FILES = {
    "split_own": (
        own.split_own,
        {"labels": ("own labels", LABELS), "test": ("share", 0.25), "seed": ("count", 0), "groups": ("groups", None)},
    ),
    "cluster": (own.cluster, {"sequences": ("texts", PROTEINS), "k": ("count", 3), "shared": ("share", 0.5)}),
    "OwnSet": (
        lambda **a: own.OwnSet(name="own", **a).items,
        {"items": ("texts", PROTEINS), "labels": ("unknown labels", LABELS[:3])}
        | {"class_names": ("texts", ["a", "b", "c"])}
        | {"names": ("texts", ["x", "y", "z"]), "groups": ("texts", ["x", "y", "z"])},
    ),
    "OwnSet[index]": (
        lambda index: own.OwnSet(tuple(PROTEINS), LABELS[:3], (), "own")[index].items,
        {"index": ("index", [0, 1])},
    ),
    "ImageSet[index]": (lambda index: data.load_images("scenes", n=9)[index].labels, {"index": ("index", [0, 1])}),
    "TextSet[index]": (lambda index: data.load_texts("reviews", n=9)[index].texts, {"index": ("index", [0, 1])}),
    "ProteinSet[index]": (
        lambda index: proteins()[index].sequences,
        {"index": ("index", [0, 1])},
    ),
    "expect.strings": (lambda values: expect.strings(values, "x"), {"values": ("texts", PROTEINS)}),
    "ProteinLM.tokens": (lambda sequences: esm().tokens(sequences)[0], {"sequences": ("proteins", PROTEINS)}),
    "ProteinLM.attentions": (lambda sequence: esm().attentions(sequence)[0], {"sequence": ("protein", "MKTA")}),
    "ProteinLM.log_probs": (
        lambda **a: esm().log_probs(**a),
        {"sequences": ("proteins", PROTEINS), "masked": ("masked", [0, None, 7])},
    ),
    "ProteinLM.hidden": (
        lambda **a: esm().hidden(**a)[0],
        {"sequences": ("proteins", PROTEINS), "batch_size": ("count", 2), "layer": ("layer", 1)},
    ),
    "ProteinLM, ids": (lambda ids: esm()(ids), {"ids": ("one more token", torch.tensor([[0, 5, 6, 2]]))}),
    "Potts.energy": (
        lambda numbers: families()[0].energy(numbers),
        {"numbers": ("residues", torch.ones(2, 32).long())},
    ),
    "Potts.effects": (lambda numbers: families()[0].effects(numbers), {"numbers": ("residues", torch.ones(32).long())}),
    "ViT": (lambda images: vit()(images), {"images": ("images", PICTURES)}),
    "ViT.embed": (lambda images: vit().embed(images), {"images": ("images", PICTURES)}),
    "ViT.encode": (lambda patches: vit().encode(patches), {"patches": ("patches", torch.rand(2, 3, 8))}),
    "ViT.attention_weights": (lambda images: vit().attention_weights(images)[0], {"images": ("images", PICTURES)}),
}
OF_FILES = {
    "own_images": (
        lambda **a: own.own_images(**a).images,
        {"folder": ("folder", "images"), "size": ("count", 8), "white": ("positive?", None)},
    ),
    "own_texts": (
        lambda **a: own.own_texts(**a).items,
        {"path": ("file", "csv"), "text": ("name", "text"), "label": ("name?", "label"), "group": ("name?", None)},
    ),
    "own_proteins": (lambda **a: own.own_proteins(**a).items, {"path": ("file", "fasta"), "classes": ("flag", True)}),
}


def unsaid(name: str, call, arguments: dict, good: dict) -> list[str]:
    """The malformed calls, each argument bad in every way of its kind, that were not refused by one sentence."""
    wrong = []
    for argument, (kind, _) in arguments.items():
        for value in bad_values(kind):
            result, problem = answer(call, good | {argument: value})
            if problem or not (isinstance(result, str) and result == "said"):
                shown = " ".join(repr(value).split())[:60]
                wrong.append(f"{name}({argument}={shown}): {problem or f'came back with {type(result).__name__}'}")
    return wrong


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*WITHOUT_FILES, *OF_FILES])
def test_a_malformed_call_gets_one_sentence(name, tmp_path, monkeypatch):
    paths = written(tmp_path) if name in OF_FILES else {}
    monkeypatch.chdir(tmp_path)
    call, arguments = (WITHOUT_FILES | OF_FILES)[name]
    good = {argument: paths.get(value, value) if paths else value for argument, (_, value) in arguments.items()}
    wanted, problem = answer(call, good)
    assert problem is None and not (isinstance(wanted, str) and wanted == "said"), problem
    assert not (wrong := unsaid(name, call, arguments, good)), "\n" + "\n".join(wrong)
    assert equal(answer(call, good)[0], wanted)  # no bad call left anything behind
