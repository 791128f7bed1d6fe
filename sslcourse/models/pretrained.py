"""Networks that come with weights: tiny ones in the package, published ones fetched on first use.

One row a checkpoint. A row of SHIPPED says how the file was made and is all that `make checkpoints` needs to make it
again; what the network reached is measured then, kept in the file, and listed in sslcourse/checkpoints/README.md.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sslcourse import arguments
from sslcourse.data.images import scenes, tissue
from sslcourse.data.proteins import potts
from sslcourse.data.texts import reviews
from sslcourse.models.autoencoder import conv_decoder, conv_encoder
from sslcourse.models.backbones import backbone
from sslcourse.models.bert import bert
from sslcourse.models.masked import WithDecoder
from sslcourse.models.protein import esm
from sslcourse.models.published import moco_v2_resnet50
from sslcourse.models.vit import ViT

FOLDER = Path(__file__).parents[1] / "checkpoints"
WORLDS = {"scenes": scenes, "tissue": tissue, "reviews": reviews, "potts": potts}


@dataclass(frozen=True)
class Shipped:
    """A checkpoint in the package: files of half-precision safetensors, about 2 bytes a weight.

    build() gives the empty network; trained is the recipe in words, recipe(seed) the function that follows it and
    measure(network) the one that says what it reached, {measure: value}, both as "module:function"; seed is the one of
    weights and images; toy names the world that it was trained on (a key of WORLDS), version the VERSION that it had
    then: images of another would look different to it. A real data set stands in the place of a toy with version None:
    its files are known by their hash.

    resumes: recipe(seed, file) goes on from a file where a training was cut off. again: like measure, on a small part
    of the data, which is what tests measure again where `measure` itself takes minutes; "" where it takes seconds.
    """

    build: Callable[[], nn.Module]
    trained: str
    recipe: str
    measure: str
    seed: int
    toy: str
    version: int | None
    resumes: bool = False
    again: str = ""


def _autoencoder() -> nn.Module:
    """Week 1's largest: images to a code of 128 numbers and back."""
    return nn.Sequential(
        conv_encoder(3),
        nn.Flatten(),
        nn.Linear(1024, 128),
        nn.Linear(128, 1024),
        nn.Unflatten(1, (64, 4, 4)),
        conv_decoder(3, 32),
    )


def _cifar(build: Callable[[], nn.Module], recipe: str, trained: str, seed: int) -> Shipped:
    place = "sslcourse.cli.recipes.cifar:"
    return Shipped(
        build=build,
        trained=trained,
        recipe=place + recipe,
        measure=f"{place}probe_of_cifar10",
        again=f"{place}probe_of_part",
        seed=seed,
        toy="cifar10",
        version=None,
        resumes=True,
    )


def _of_jepa(recipe: str, method: str, views: str = "") -> Shipped:
    place = "sslcourse.cli.recipes.lejepa:"
    return Shipped(
        build=lambda: backbone("conv4"),
        trained=f"{method} as in the bonus on JEPA (conv4, 128 features){views}: 30 epochs of 3,000 images",
        recipe=place + recipe,
        measure=f"{place}neighbours_of_scenes",
        again=f"{place}neighbours_of_few",
        seed=600,
        toy="scenes",
        version=1,
        resumes=True,
    )


SHIPPED = {
    "moco_scenes_conv4": Shipped(
        build=lambda: backbone("conv4_gn"),
        trained="MoCo as in week 5 (conv4 with group norm, 128 features): 25 epochs of 20,000 images, momentum 0.996",
        recipe="sslcourse.cli.recipes.moco:moco_scenes_conv4",
        measure="sslcourse.cli.recipes.moco:probe_of_scenes",
        seed=500,
        toy="scenes",
        version=1,
    ),
    "autoencoder_scenes": Shipped(
        build=_autoencoder,
        trained="autoencoder as in week 1, latent size 128: 15 epochs of 20,000 images",
        recipe="sslcourse.cli.recipes.autoencoder:autoencoder_scenes",
        measure="sslcourse.cli.recipes.autoencoder:variance_of_scenes",
        again="sslcourse.cli.recipes.autoencoder:variance_of_few",
        seed=509,
        toy="scenes",
        version=1,
    ),
    "lejepa_scenes_conv4": _of_jepa("lejepa_scenes_conv4", "LeJEPA"),
    "lejepa_four_scenes_conv4": _of_jepa("lejepa_four_scenes_conv4", "LeJEPA", ", four views"),
    "simclr_scenes_conv4": _of_jepa("simclr_scenes_conv4", "SimCLR"),
    "esm_potts": Shipped(
        build=lambda: esm(64, 3, 4, positions="absolute", max_length=32),
        trained="masked residues as in week 12 (3 blocks of width 64): 11 epochs of 60,000 sequences",
        recipe="sslcourse.cli.recipes.esm:esm_potts",
        measure="sslcourse.cli.recipes.esm:contacts_and_effects",
        seed=512,
        toy="potts",
        version=1,
    ),
    "dino_tissue_vit8": Shipped(
        build=lambda: backbone("vit8_conv"),
        trained="DINO as in week 7 (vit8_conv, 128 prototypes): 20 epochs of 20,000 images, momentum 0.98 to 1",
        recipe="sslcourse.cli.recipes.dino:dino_tissue_vit8",
        measure="sslcourse.cli.recipes.dino:neighbours_of_tissue",
        seed=700,
        toy="tissue",
        version=1,
    ),
    "mae_scenes_vit8": Shipped(
        build=lambda: ViT(32, 8, dim=96, depth=3, num_heads=3),
        trained="MAE as in week 8 (patches of 8, 96 features, 3 blocks, half masked): 25 epochs of 20,000 images",
        recipe="sslcourse.cli.recipes.mae:mae_scenes_vit8",
        measure="sslcourse.cli.recipes.mae:probe_of_scenes",
        seed=508,
        toy="scenes",
        version=1,
    ),
    "mae_scenes_whole": Shipped(
        build=lambda: WithDecoder(ViT(32, 8, dim=96, depth=3, num_heads=3)),
        trained="encoder of mae_scenes_vit8, standing still, and a decoder trained on it: 8 epochs of 20,000 images",
        recipe="sslcourse.cli.recipes.mae:mae_scenes_whole",
        measure="sslcourse.cli.recipes.mae:error_of_scenes",
        seed=518,
        toy="scenes",
        version=1,
    ),
    "bert_reviews": Shipped(
        build=lambda: bert(286, max_length=16),
        trained="masked language modelling as in week 3 (BERT of 2 layers, width 64): 12 epochs of 60,000 reviews",
        recipe="sslcourse.cli.recipes.bert:bert_reviews",
        measure="sslcourse.cli.recipes.bert:gaps_of_reviews",
        seed=500,
        toy="reviews",
        version=1,
    ),
    "simclr_cifar10_wide": _cifar(
        lambda: backbone("conv4_wide"),
        "simclr_cifar10_wide",
        "SimCLR as in week 4 (conv4_wide, temperature 0.2, bfloat16): 80 epochs of all 45,000 training images",
        seed=504,
    ),
    "supervised_cifar10_conv4": _cifar(
        lambda: backbone("conv4"),
        "supervised_cifar10_conv4",
        "by labels (conv4, crops and flips): 6 epochs of all 45,000 training images",
        seed=501,
    ),
    "mae_cifar10_whole": _cifar(
        lambda: WithDecoder(ViT(32, 4, dim=96, depth=3, num_heads=3)),
        "mae_cifar10_whole",
        "MAE as in week 8 (patches of 4, 96 features, 3 blocks, 60 % masked), with decoder: 14 epochs of 45,000 images",
        seed=508,
    ),
    "dino_cifar10_vit8": _cifar(
        lambda: backbone("vit8_conv"),
        "dino_cifar10_vit8",
        "DINO as in week 7 (vit8_conv, 256 prototypes): 12 epochs of all 45,000 training images, momentum 0.99 to 1",
        seed=507,
    ),
    "rotation_cifar10_conv4": _cifar(
        lambda: backbone("conv4"),
        "rotation_cifar10_conv4",
        "rotation as in week 2 (conv4, crops and flips, bfloat16): 12 epochs of all 45,000 images in four angles",
        seed=502,
    ),
    "vicreg_cifar10_conv4": _cifar(
        lambda: backbone("conv4"),
        "vicreg_cifar10_conv4",
        "VICReg as in week 4 (conv4, 512 dimensions, bfloat16): 24 epochs of all 45,000 training images",
        seed=506,
    ),
    "lejepa_cifar10_conv4": _cifar(
        lambda: backbone("conv4"),
        "lejepa_cifar10_conv4",
        "LeJEPA as in the bonus on JEPA (conv4, bfloat16): 24 epochs of all 45,000 training images",
        seed=510,
    ),
    "moco_cifar10_conv4": _cifar(
        lambda: backbone("conv4_gn"),
        "moco_cifar10_conv4",
        "MoCo as in week 5 (conv4 with group norm, queue of 6,400): 24 epochs of all 45,000 training images",
        seed=505,
    ),
    "autoencoder_cifar10": _cifar(
        _autoencoder,
        "autoencoder_cifar10",
        "autoencoder as in week 1, latent size 128: 20 epochs of all 45,000 training images",
        seed=509,
    ),
}

PUBLISHED = {"moco_v2_resnet50": moco_v2_resnet50}


def load_pretrained(name: str) -> nn.Module:
    """A network with weights, in eval mode. Backbones map images (N, C, H, W), uint8 or float in [0, 1], to (N, D).

    name: a row of SHIPPED, or of PUBLISHED (fetched into the data root on first use). `bert_reviews` is a BERT for the
    ids of `data.reviews_tokenizer()`, `esm_potts` a ProteinLM for token numbers; all others are backbones. Raises
    ValueError for an unknown name and for a file that is damaged, belongs to another network, or was trained on another
    version of its toy world; FileNotFoundError where the file is missing; DataMissing, DataCorrupted for what has to be
    fetched.
    """
    arguments.text("name", name)
    if name in PUBLISHED:
        return PUBLISHED[name]().eval()
    if name not in SHIPPED:
        names = (*SHIPPED, *PUBLISHED)
        near = arguments.near(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}."
        raise ValueError(f"There is no checkpoint {arguments.shown(name)}; {hint}")
    return from_file(name, SHIPPED[name])


def from_file(name: str, row: Shipped) -> nn.Module:
    """The network of a row, with the weights of its file, in eval mode. Raises as `load_pretrained`."""
    _same_world(name, row)
    weights = _weights(name, row, FOLDER / f"{name}.safetensors")
    model = row.build()
    _put_into(model, weights, name)
    return model.eval()


def notes(path: Path) -> dict:
    """What a checkpoint file says about itself: name, seed, toy, version, parameters, quality {measure: value}.

    Those made since it is noted also have the seconds of their training; and again {measure: value} where their row has
    such a measure.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise FileNotFoundError(
            f"The checkpoint {path.stem} is missing at {path}; install the package anew, or run `make checkpoints`."
        )
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("sslcourse")
    except (SafetensorError, struct.error, OSError) as error:
        raise ValueError(
            f"The checkpoint file {path} is damaged or cut short ({_first_line(error)}); install the package anew, or "
            "run `make checkpoints`."
        ) from None
    if text is None:
        raise ValueError(f"The file {path} is not a checkpoint of this course: `make checkpoints` writes those.")
    return json.loads(text)


def _weights(name: str, row: Shipped, path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    said = notes(path)
    if said["name"] != name:
        raise ValueError(f"The file {path} holds the checkpoint {said['name']}, not {name}; run `make checkpoints`.")
    if (said["toy"], said["version"]) != (row.toy, row.version):
        raise ValueError(
            f"The file {path} was trained on {world(said['toy'], said['version'])}, {name} should be on "
            f"{world(row.toy, row.version)}; run `make checkpoints`."
        )
    return load_file(path)


def world(toy: str, version: int | None) -> str:
    """What a network was trained on, in words."""
    return toy if version is None else f"{toy} version {version}"


def _same_world(name: str, row: Shipped) -> None:
    """The toy world as it is now is the one that the checkpoint has seen."""
    if row.version is None:
        return
    now = WORLDS[row.toy].VERSION
    if now != row.version:
        raise ValueError(
            f"The checkpoint {name} was trained on version {row.version} of {row.toy}, which are at version {now} by "
            "now; raise the version in its row of SHIPPED and run `make checkpoints`."
        )


def _put_into(model: nn.Module, weights: dict[str, torch.Tensor], name: str) -> None:
    """Strictly: every weight that the network has, of its shape, and no other. Half precision becomes float32."""
    own = model.state_dict()
    for what, keys in (("lacks", own.keys() - weights.keys()), ("has an unexpected", weights.keys() - own.keys())):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ValueError(
                f"The weights of {name} do not fit its network: the file {what} {min(keys)!r}{more}. Has one of "
                "the two changed since? Run `make checkpoints`."
            )
    for key, value in own.items():
        if weights[key].shape != value.shape:
            raise ValueError(
                f"The weights of {name} do not fit its network: {key!r} has shape {tuple(weights[key].shape)} in the "
                f"file, it should be {tuple(value.shape)}. Has one of the two changed since? Run `make checkpoints`."
            )
    model.load_state_dict({key: weights[key].to(value.dtype) for key, value in own.items()})


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
