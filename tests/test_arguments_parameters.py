"""Malformed calls, the third table: what the other two leave out, and that nothing is left out of all three.

The public names are those of every package's __all__ and their parameters those of Python's own signatures, so that a
new argument without a row fails here.
"""

import importlib
import inspect
import re

import pytest
import test_arguments as first
import test_arguments_objects as second
import torch
from test_arguments import BAD, FEW, LABELS, MANY, NOTHING, PICTURES, TENSOR, TEXTS, answer, equal, offline

from sslcourse import augment, data, models, plot, train
from sslcourse.check import board
from sslcourse.check import week04 as check
from sslcourse.data import expect, own

assert offline  # a fixture for every test here too
PACKAGES = ("", ".data", ".data.own", ".augment", ".models", ".train", ".evaluate", ".plot", ".check")
HANDED_OUT = {  # made by the library, whose functions ask for all that goes into them
    *("Scale", "Tokens", "Germlines", "History", "Probe", "SentenceEncoder", "AntibodyLM"),
    *("DataMissing", "DataCorrupted", "NotFinite", "NotAttempted", "Wrong", "CheckFailed"),
}
TWO = torch.tensor([[4, 5, 2], [4, 6, 2]])
BAD |= {
    "checkpoint": [*NOTHING[1:], *MANY, 3, 2.5, True, "", " ", "\0", "a\0b", ["a"]],
    "correct": [*TENSOR[1:], torch.ones(3), torch.ones(2, 1), torch.full((3, 1), 0.5), torch.ones(3, 1).to("meta")],
    "ids": [*TENSOR, TWO.float(), TWO[0], TWO - 5, TWO + 5, TWO.to("meta"), TWO.to_sparse()],
    "special": [*TENSOR, TWO, TWO[0] > 3, (TWO > 3).to("meta")],
    "share of words": [*BAD["share"], 0, 1, 0.0, 1.0],
    "id": [*BAD["count"], 9],
    "q": [*TENSOR, torch.ones(2, 3), torch.ones(2, 1, 3, 5), torch.ones(2, 1, 3, 4).to("meta")],
    "padding": [*TENSOR[1:], TWO, TWO[0] > 3],
    "logits": [*TENSOR, torch.tensor(1.0), torch.ones(2, 9), torch.ones(3, 3, 9), torch.ones(2, 3, 9).to("meta")],
    "labels of words": [*TENSOR, TWO.float(), TWO[0], TWO + 5, TWO - 5, TWO.to("meta"), TWO > 3],
    "documents": [*NOTHING, *MANY, 3, "text", [], ["a", "b"], [["a", "b"]], [[], ["a", "b"]], [["a"], ["b"]], [1, 2]],
    "far labels": [LABELS[:3] + 9, LABELS[:3] - 2, LABELS[:3].to("meta")],
}
SETS = {"name": ("text", "own"), "split": ("text", "all")}
IMAGES = {"images": ("images", PICTURES), "generator": ("generator", None)}


def images(**names):
    return data.ImageSet((255 * PICTURES).byte(), LABELS[:3], ["a", "b", "c"], **names).name


def trained(**rest):
    return train.fit(lambda x: first.MLP(x).square().mean(), first.MLP, FEW, epochs=1, lr=1e-9, **rest).loss


def classified(**rest):
    return train.fit_classifier(first.linear(), PICTURES, LABELS[:3], lr=1e-9, progress=False, **rest).loss


def taught(**rest):
    return first.stepped(first.linear(), first.linear(), PICTURES, LABELS[:3], first.simple, lr=1e-9, **rest)


CALLS = {
    "load_images": (lambda size: data.load_images("retinamnist", size=size), {"size": ("whole?", None)}),
    "ImageSet": (images, SETS),
    "TextSet": (lambda **a: data.TextSet(TEXTS, LABELS[:2], ["a", "b"], **a).name, SETS),
    "ProteinSet": (lambda **a: data.ProteinSet(["MA", "AM"], LABELS[:2], ["a", "b"], **a).name, SETS),
    "OwnSet": (
        lambda name="own", labels=LABELS[:3]: own.OwnSet(("a", "b", "c"), labels, ("x", "y", "z"), name).name,
        {"name": ("text", "own"), "labels": ("far labels", LABELS[:3])},
    ),
    "simclr, called": (augment.simclr(8, blur=0.5), IMAGES),
    "multi-step, called": (augment.Compose(augment.Solarise(), augment.RandomGreyscale()), IMAGES),
    "load_sentence_encoder": (
        lambda max_length: models.load_sentence_encoder("no/such", max_length=max_length),
        {"max_length": ("count", 9)},
    ),
    "backbone, called": (
        lambda images: models.backbone("conv4")(images),
        {"images": ("pixels", PICTURES)},
    ),
    "fit": (
        trained,
        {"checkpoint": ("checkpoint", None), "own_step": ("flag", False), "progress": ("flag", False)},
    ),
    "fit_classifier": (classified, {"epochs": ("count", 1), "batch_size": ("count", 2)}),
    "fit_student": (taught, {"epochs": ("count", 1), "batch_size": ("count", 2)}),
    "curves": (lambda known: plot.curves({"a": [1.0, 2.0]}, known=known), {"known": ("unknown names", ["a"])}),
    "neighbours": (
        lambda correct: plot.neighbours(PICTURES, PICTURES[:, None], correct),
        {"correct": ("correct", torch.ones(3, 1) > 0)},
    ),
    "rows": (lambda board_: len(board.rows("scenes", board_)), {"board_": ("mapping?", None)}),
    "show, the board": (lambda board_: board.show(board=board_), {"board_": ("mapping?", None)}),
    "an exercise": (lambda strict: check.nt_xent(check.nt_xent, strict), {"strict": ("flag?", False)}),
    "expect.masking": (
        expect.masking,
        {"input_ids": ("ids", TWO), "special": ("special", TWO > 3), "mask_id": ("id", 4), "vocab_size": ("count", 9)}
        | {"p": ("share of words", 0.15)},
    ),
    "expect.attention": (
        lambda q, padding: expect.attention(q, torch.ones(2, 1, 3, 4), torch.ones(2, 1, 3, 4), padding),
        {"q": ("q", torch.ones(2, 1, 3, 4)), "padding": ("padding", None)},
    ),
    "expect.predictions": (
        expect.predictions,
        {"logits": ("logits", torch.ones(2, 3, 9)), "labels": ("labels of words", TWO)},
    ),
    "expect.mask": (
        lambda values: expect.mask(values, (2, 3), "attention_mask", "1 where there is a token"),
        {"values": ("a mask", TWO > 3)},
    ),
    "expect.documents": (expect.documents, {"parts": ("documents", [["a", "b"], ["c"]])}),
}
BAD["unknown names"] = [*NOTHING, 3, 2.5, True, "abc", ["b"], torch.tensor(3)]
BAD["unknown names"] = [one for one in BAD["unknown names"] if one not in ({}, set())]
BAD["pixels"] = [*BAD["images"][:-4], PICTURES[..., :0]]
BAD["pixels"] = [one for one in BAD["pixels"] if not (isinstance(one, torch.Tensor) and one.shape == (0, 3, 8, 8))]
BAD["a mask"] = [*BAD["special"][:-3], *BAD["special"][-2:]]
BAD["id"] = [one for one in BAD["id"] if one is not None]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_a_malformed_call_gets_one_sentence(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call, arguments = CALLS[name]
    good = {argument: value for argument, (_, value) in arguments.items()}
    wanted, problem = answer(call, good)
    assert problem is None, problem
    assert not (wrong := second.unsaid(name, call, arguments, good)), "\n" + "\n".join(wrong)
    assert equal(answer(call, good)[0], wanted) and not list(tmp_path.iterdir())


def public():
    """(name, parameter) of all that the packages offer and that takes arguments one by one."""
    for package in PACKAGES:
        module = importlib.import_module(f"sslcourse{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and name not in HANDED_OUT:
                for parameter in inspect.signature(thing).parameters.values():
                    if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                        yield name, parameter.name


def test_every_parameter_of_every_public_function_is_in_a_table():
    known = {
        (re.split(r"[ ,.\[]", name)[0], argument.rstrip("_"))
        for table in (first.CALLS, second.WITHOUT_FILES, second.OF_FILES, CALLS)
        for name, (_, arguments) in table.items()
        for argument in arguments
    }
    names = list(public())
    assert len(names) > 250
    assert not [f"{name}({parameter})" for name, parameter in names if (name, parameter) not in known]
