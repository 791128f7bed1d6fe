"""One call for every image set, drawn or real: `load_images`."""

from dataclasses import replace

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.data import advice
from sslcourse.data.fetch import fetch
from sslcourse.data.images import sources
from sslcourse.data.images.scenes import make_scenes
from sslcourse.data.images.sets import ImageSet, balanced
from sslcourse.data.images.tissue import make_tissue
from sslcourse.data.root import offline

TOYS = ("scenes", "scenes_held_out", "tissue", "tissue_centre2")
TOY_SIZES = {"train": 3000, "val": 1000, "test": 2000}
VAL_SHARE, VAL_SEED = 10, 0  # a tenth of train is held back for validation, always the same images
advice.NAMES["load_images"] = (*TOYS, *sources.SOURCES)
_CHUNK = 4096  # images copied at a time


def load_images(
    name: str, split: str = "train", *, n: int | None = None, seed: int = 0, size: int | None = None
) -> ImageSet:
    """An image set: a toy world drawn on the spot, or a real one from the data root, fetched where it is not there.

    name: scenes, scenes_held_out, tissue, tissue_centre2; cifar10, cifar100, stl10, fashion_mnist, mnist; a 2D MedMNIST
        flag such as pathmnist.
    split: train, val or test; stl10 also has unlabelled (labels -1). val is a class-balanced tenth of the original
    training images, the same for everybody, train is the rest; MedMNIST has its own val.
    n: a class-balanced subset drawn with `seed`, in shuffled order; for a toy world, how many to draw.
    size: 28 (the default), 64, 128 or 224 pixels, MedMNIST only.
    Raises ValueError for an unknown name, split or size or n larger than the set; DataMissing (a FileNotFoundError)
    where the set is neither there nor to be had; DataCorrupted (an OSError) where a file is not what it should be.
    """
    name, split, seed = arguments.text("name", name), arguments.text("split", split), arguments.whole("seed", seed, 0)
    n = None if n is None else arguments.whole("n", n, 1)
    size = None if size is None else arguments.whole("size", size)
    if name in TOYS:
        if size is not None:
            raise ValueError(f"{name} comes in one size; leave out size={size}.")
        return _toy(name, split, n, seed)
    return _real(find_source(name, size), split, n, seed)


def _toy(name: str, split: str, n: int | None, seed: int) -> ImageSet:
    if split not in TOY_SIZES:
        raise ValueError(f"{name} has no split {arguments.shown(split)}; choose one of {', '.join(TOY_SIZES)}.")
    # Every pair of seed and split has a seed of its own, so that no two splits ever share their images.
    own = seed * len(TOY_SIZES) + list(TOY_SIZES).index(split)
    n = TOY_SIZES[split] if n is None else n
    if name.startswith("tissue"):
        drawn = make_tissue(n, seed=own, centre=name)
    else:
        drawn = make_scenes(n, seed=own, held_out=name == "scenes_held_out")
    return replace(drawn, name=name, split=split)


def find_source(name: str, size: int | None = None) -> sources.Source:
    """Where a real data set comes from. Raises ValueError for an unknown name, for volumes and for a wrong size."""
    if not isinstance(name, str):
        raise advice.unknown("data set", name, "load_images")
    if name in sources.SOURCES:
        if size is not None:
            raise ValueError(f"{name} comes in one size; leave out size={size}, which is for MedMNIST.")
        return sources.SOURCES[name](name)
    flags = sources.medmnist_flags()
    if name in flags:
        if size not in (None, *sources.MedMnist.sizes):
            raise ValueError(f"{name} has no size {size}; choose 28, 64, 128 or 224.")
        return sources.MedMnist(name, size)
    if str(name).endswith("mnist3d"):
        names = ", ".join((*TOYS, *sources.SOURCES, *flags))
        raise ValueError(f"{name} holds volumes, and this course loads images; choose one of {names}.")
    raise advice.unknown("data set", name, "load_images", also=flags)


def ensure(source: sources.Source, part: str) -> None:
    """Fetch the files of a part where they are not there yet."""
    if all(source.path(file).exists() for file in source.files(part)):
        return
    if offline():
        raise source.missing(part, "SSLCOURSE_OFFLINE is set")
    try:
        fetch(source.name, source.folder, source.downloads(part))
    except ConnectionError as error:
        raise source.missing(part, str(error)) from None


def _real(source: sources.Source, split: str, n: int | None, seed: int) -> ImageSet:
    splits = (*source.parts, *(() if "val" in source.parts else ("val",)))
    if split not in splits:
        raise ValueError(f"{source.name} has no split {arguments.shown(split)}; choose one of {', '.join(splits)}.")
    part = split if split in source.parts else "train"
    ensure(source, part)
    images, labels = source.read(part)
    labels = torch.from_numpy(labels)

    # Which images: the split first, then the subset. Only the chosen pixels are copied out of what was read.
    chosen = torch.arange(len(labels))
    if "val" not in source.parts and part == "train":
        held_back = torch.zeros(len(labels), dtype=torch.bool)
        held_back[balanced(labels, len(labels) // VAL_SHARE, VAL_SEED, source.name)] = True
        chosen = (held_back if split == "val" else ~held_back).nonzero()[:, 0]
    if n is not None:
        chosen = chosen[balanced(labels[chosen], n, seed, f"{source.name} {split}")]
    return ImageSet(_take(images, chosen.numpy()), labels[chosen], source.class_names(), source.name, split)


def _take(images: np.ndarray, chosen: np.ndarray) -> torch.Tensor:
    """The chosen images as one contiguous tensor, some at a time: the source may be larger than memory."""
    taken = np.empty((len(chosen), *images.shape[1:]), np.uint8)
    for start in range(0, len(chosen), _CHUNK):
        taken[start : start + _CHUNK] = images[chosen[start : start + _CHUNK]]
    return torch.from_numpy(taken)
