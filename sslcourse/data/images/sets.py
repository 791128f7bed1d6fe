"""Image sets: one uint8 tensor, one label tensor, and what belongs to each image.

Every loader and every toy world returns an `ImageSet`. Images stay uint8 until a batch is used (a quarter of the memory
of float32, and nothing is normalised twice); `as_float` is the one place where they become numbers in [0, 1].
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sslcourse import arguments
from sslcourse.arguments import whole
from sslcourse.data import expect

__all__ = ["ImageSet", "as_float", "balanced", "positions", "whole"]

ROUNDING = 1e-3  # how far outside [0, 1] interpolation in half precision may go


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images with labels; `len(s)` counts them and `s[index]` selects some, with all that belongs to them.

    images: uint8 (N, C, H, W). labels: int64 (N,), -1 where unknown; (N, K) of 0 and 1 where an image may have several.
    factors: {name: tensor (N, ...)} of what generated each image. masks: bool (N, 1, H, W), the object.
    captions: N texts. The last three are None where a data set has none.
    Raises ValueError or TypeError where the parts do not fit together.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    name: str
    split: str
    factors: dict[str, Tensor] | None = None
    masks: Tensor | None = None
    captions: tuple[str, ...] | None = None

    def __post_init__(self):
        arguments.text("name", self.name), arguments.text("split", self.split)
        # Lists are welcome, tuples are kept: a frozen set should not change through a list that somebody still holds.
        object.__setattr__(self, "class_names", expect.strings(self.class_names, f"class_names of {self.name}"))
        if self.captions is not None:
            object.__setattr__(self, "captions", expect.strings(self.captions, f"captions of {self.name}"))

        for part in (self.images, self.labels):
            if not isinstance(part, Tensor):
                raise TypeError(f"Images and labels of {self.name} should be torch tensors, not {type(part).__name__}.")
        for part, values in (("images", self.images), ("labels", self.labels), ("masks", self.masks)):
            arguments.dense(part, values)
        for part, values in arguments.mapping(
            "factors", {} if self.factors is None else self.factors, '{"hue": tensor (N,)}'
        ).items():
            arguments.dense(f"The factor {part}", values)
        if self.masks is not None and self.masks.dtype != torch.bool:
            raise TypeError(f"The masks of {self.name} are {self.masks.dtype}; they should be torch.bool.")
        if self.images.dtype != torch.uint8 or self.images.dim() != 4:
            raise ValueError(
                f"The images of {self.name} are {self.images.dtype} of shape {tuple(self.images.shape)}; "
                "an image set holds torch.uint8 of shape (N, C, H, W)."
            )
        if self.labels.dtype != torch.int64:
            raise ValueError(f"The labels of {self.name} are {self.labels.dtype}; they should be torch.int64.")
        self._check_labels()
        parts = {"masks": self.masks, "captions": self.captions, **(self.factors or {})}
        for part, values in {"labels": self.labels, **parts}.items():
            if values is not None and len(values) != len(self):
                raise ValueError(f"{self.name} has {len(self)} images but {len(values)} {part}; it needs as many.")

    def _check_labels(self) -> None:
        """Single labels run from -1 (unknown) to K - 1; several labels an image are K columns of 0 and 1."""
        k, labels = len(self.class_names), self.labels
        if labels.dim() == 2 and labels.shape[1] != k or labels.dim() not in (1, 2):
            raise ValueError(
                f"The labels of {self.name} have shape {tuple(labels.shape)}; "
                f"they should be (N,), or (N, {k}) where an image may have several."
            )
        low, high = (-1, k - 1) if labels.dim() == 1 else (0, 1)
        if labels.numel() and not low <= labels.min() <= labels.max() <= high:
            raise ValueError(
                f"The labels of {self.name} run from {labels.min()} to {labels.max()}; "
                f"with {k} classes they should lie between {low} and {high}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index) -> "ImageSet":
        """The images at `index`: a slice, a bool mask (N,), a list or tensor of positions, or one position."""
        index = positions(index, len(self))
        if isinstance(index, slice):
            captions = self.captions and self.captions[index]  # a slice is a view: no pixel is copied
        else:
            captions = self.captions and tuple(self.captions[i] for i in index.tolist())
        return replace(
            self,
            images=self.images[index],
            labels=self.labels[index],
            factors=self.factors and {name: values[index] for name, values in self.factors.items()},
            masks=None if self.masks is None else self.masks[index],
            captions=captions,
        )

    def subset(self, n: int, seed: int = 0) -> "ImageSet":
        """n images, as equally many of each class as can be, in shuffled order; the same ones for the same seed.

        Sets with several labels an image, or with none, have no classes to balance: there it is a plain random draw.
        Raises ValueError where there are fewer than n images.
        """
        return self[balanced(self.labels, n, seed, f"{self.name} {self.split}")]

    def __repr__(self) -> str:
        n, c, h, w = self.images.shape
        extras = [part for part in ("factors", "masks", "captions") if getattr(self, part) is not None]
        also = f", with {', '.join(extras)}" if extras else ""
        return f"ImageSet({self.name} {self.split}: {n} images, {c} x {h} x {w}, {len(self.class_names)} classes{also})"


def positions(index, n: int, what: str = "image") -> slice | Tensor:
    """A slice as it is, anything else as one int64 tensor of positions (M,). what: one of the things, for messages."""
    if isinstance(index, slice):
        # Tensors do not go backwards, so a negative step becomes a list of positions.
        return index if (index.step or 1) > 0 else torch.tensor(range(n)[index], dtype=torch.int64)
    if isinstance(index, int):
        if not -n <= index < n:  # IndexError, which ends a `for` loop
            raise IndexError(f"Position {arguments.shown(index)} is outside a set of {n} {what}s.")
        return torch.tensor([index % n])
    try:
        index = torch.tensor([]) if isinstance(index, list | tuple) and not index else arguments.tensor("index", index)
    except TypeError:
        raise TypeError(
            f"A set of {what}s is indexed by a slice, a bool mask or a list of positions, not by "
            f"{arguments.shown(index)}."
        ) from None
    index = index.cpu()
    if index.dim() != 1 or index.numel() and (index.dtype.is_floating_point or index.is_complex()):
        raise TypeError(
            f"A set of {what}s is indexed by a slice, a bool mask or a list of positions, not by {index.dtype} "
            f"of shape {tuple(index.shape)}."
        )
    if index.dtype == torch.bool:
        if len(index) != n:
            raise IndexError(f"The mask has {len(index)} entries for {n} {what}s; it needs one for each.")
        return index.nonzero()[:, 0]
    index = index.long()
    if index.numel() and not -n <= index.min() <= index.max() < n:
        raise IndexError(f"Position {index.abs().max()} is outside a set of {n} {what}s.")
    return index


def balanced(labels: Tensor, n: int, seed: int, what: str, things: str = "images") -> Tensor:
    """Positions (n,) of a class-balanced draw, shuffled.

    Counts differ by at most one; where a class runs out, the others share the rest. For one seed the draw of n is part
    of the draw of n + 1, so that the label budgets of a learning curve are nested. Labels (N, K) are not balanced.
    Raises ValueError, naming `what` it was to draw from and the things drawn, where n is not from 1 to N.
    """
    n, seed = whole("n", n), whole("seed", seed, 0)
    if not 0 < n <= len(labels):
        raise ValueError(f"{what} has {len(labels)} {things}, so n should be from 1 to {len(labels)}, not {n}.")
    if labels.dim() == 2:
        labels = torch.zeros(len(labels))
    # Shuffled by sorting uniform keys: unlike `permutation`, their stream is the same in every version of NumPy.
    uniform = np.random.Generator(np.random.PCG64(seed)).random
    order = np.argsort(uniform(len(labels)))
    classes, which = np.unique(labels.numpy()[order], return_inverse=True)

    # Deal like cards: every class's first image, then every class's second, ... and keep the first n dealt. The order
    # of the classes in a round is random, so that it is not always class 0 that gets the one more.
    by_class = np.argsort(which, kind="stable")
    counts = np.bincount(which, minlength=len(classes))
    deal = np.empty(len(labels), dtype=np.int64)
    deal[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    turn = np.argsort(uniform(len(classes)))[which]
    dealt = order[np.argsort(deal * len(classes) + turn)[:n]]
    return torch.from_numpy(dealt[np.argsort(uniform(n))])


def as_float(images: Tensor) -> Tensor:
    """Images as numbers in [0, 1], any shape: uint8 becomes float32 / 255, float is checked and returned as it is.

    Raises ValueError for other dtypes, for NaN or infinity and for values outside [0, 1] (by more than rounding).
    """
    if not isinstance(images, Tensor):
        kind = type(images).__name__
        raise TypeError(f"Images should be a tensor, not {kind}; torch.from_numpy makes one of an array.")
    if images.layout != torch.strided:
        raise TypeError("Images should be a dense tensor, and these are sparse: images.to_dense().")
    if images.dtype == torch.uint8:
        return images.float().div_(255)
    if not images.dtype.is_floating_point:
        raise ValueError(f"Images should be uint8 or float in [0, 1], but these are {images.dtype}.")
    if images.numel():
        images = arguments.tensor("The batch of images", images)  # none on "meta", which has no values
        low, high = (x.item() for x in images.detach().aminmax())
        if not -ROUNDING <= low <= high <= 1 + ROUNDING:  # false for NaN, too
            raise ValueError(_out_of_range(low, high))
    return images


def _out_of_range(low: float, high: float) -> str:
    if not math.isfinite(low) or not math.isfinite(high):
        return f"Images should be finite numbers in [0, 1], but these run from {low} to {high}."
    if low >= 0 and 2 < high <= 255:
        cure = "divide them by 255, or pass them as uint8"
    else:
        cure = "undo their normalisation, since models here normalise in their first layer"
    return f"Float images should lie in [0, 1], but these run from {low:.3g} to {high:.3g}: {cure}."
