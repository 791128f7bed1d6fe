"""Checks of the optional exercises of week 2: the sensitivity of features to rotation, and jigsaw puzzles."""

import math

import torch
from torch import Tensor, nn

from sslcourse.check.compare import agree, close, gives, number, tensor, two_parts
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week02 import oracle

# --- rotation_sensitivity


class _Encoder(nn.Module):
    """A bent map of images to features, another one in train mode."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.layers = nn.Sequential(nn.Sequential(nn.Dropout(0.0)))  # with modes of their own
        self.modes: list[tuple[bool, bool]] = []  # of itself and of what is inside

    def inside(self) -> bool:
        return any(module.training for module in self.layers.modules())

    def forward(self, images: Tensor) -> Tensor:
        self.modes.append((self.training, self.inside()))
        h = ((images.flatten(1) - 0.5) @ self.weights.to(images.dtype)).tanh()  # either sign: so are the cosines
        return h.roll(1, dims=1) * torch.linspace(0.2, 3, h.shape[1]) if self.training else h


def _encoded(encoder: nn.Module, images: Tensor) -> str:
    return f"{len(images)} images"


@exercise("week02")
def rotation_sensitivity(student: Student) -> str:
    """rotation_sensitivity(encoder, images) -> mean cosine distance to the rotations by 90, 180 and 270 degrees."""
    cases = []
    for n, training in ((6, True), (4, False), (1, True)):
        encoder = _Encoder(0.4 * student.normal(75, 7)).train(training)
        cases.append((encoder, student.uniform(n, 3, 5, 5)))
    modes = [encoder.training for encoder, _ in cases]
    for (encoder, images), training in zip(cases, modes, strict=True):
        result = student(encoder, images)
        number(result)
        if any(inside and not own for own, inside in encoder.modes):
            raise Wrong(
                "Only the flag of the encoder itself is set, its layers are still in train mode: call encoder.eval()."
            )
        if any(own for own, _ in encoder.modes):
            raise Wrong("The encoder is in train mode while it is measured: call encoder.eval() before.")
        if encoder.training != training:
            came, left = ("train", "eval") if training else ("eval", "train")
            raise Wrong(f"The encoder came in {came} mode and is left in {left} mode: restore the mode.")
        if encoder.inside() != training:
            raise Wrong("Layers inside the encoder are left in the other mode: encoder.train(mode) sets that of all.")
        if isinstance(result, Tensor) and result.requires_grad:
            raise Wrong("It returns a tensor with its graph: use torch.no_grad() and return a float.")
    agree(
        student,
        cases,
        oracle.rotation_sensitivity,
        oracle.ROTATION_SENSITIVITY_MISTAKES,
        words=_encoded,
        hint="For every image: 1 - cos between its features and those of each of its three rotations; then the mean.",
    )

    # What does not change under rotation has a sensitivity of 0.
    mean_colour = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if not close(came := number(student(mean_colour, cases[0][1])), 0.0, 1e-4):
        raise Wrong(f"For the mean colour, which no rotation changes, {gives(came, 0.0)}")
    return "Equal to the definition; 0 for features that no rotation changes; eval mode, and the mode is restored."


# --- jigsaw_batch


@exercise("week02")
def jigsaw_batch(student: Student) -> str:
    """jigsaw_batch(images, permutations, generator) -> (shuffled (N, C, H, W), labels (N,)).

    permutations (P, T), T a square number: the tile at place i of a shuffled image is tile permutations[label][i].
    """
    cycle = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0], [3, 0, 1, 2], [1, 3, 2, 0], [2, 0, 3, 1]])
    nine = torch.stack([torch.randperm(9, generator=student.generator) for _ in range(4)])
    for shape, permutations in (
        ((80, 3, 6, 6), cycle),
        ((60, 1, 9, 9), nine),
        ((1, 3, 6, 6), nine),
    ):
        _one_puzzle(student, student.uniform(*shape), permutations)

    images = student.uniform(24, 3, 6, 6)
    draws = [
        two_parts(student(images, cycle, torch.Generator().manual_seed(s)), "shuffled, labels")[1] for s in (1, 1, 2)
    ]
    if not torch.equal(draws[0], draws[1]):
        raise Wrong("The argument generator is not used: the same generator should give the same permutations.")
    if torch.equal(draws[0], draws[2]):
        raise Wrong("Every call gives the same permutations, whatever the generator: draw anew, without seeding.")
    shared = torch.Generator().manual_seed(4)
    one, other = (two_parts(student(images, cycle, shared), "shuffled, labels")[1] for _ in range(2))
    if torch.equal(one, other):
        raise Wrong("Two calls with one generator give the same permutations: it is set back in every call.")
    _independent(student, cycle)
    return "A permutation of its own for every image, tiles in their places, labels that match, from the generator."


def _independent(student: Student, permutations: Tensor) -> None:
    """Every permutation as often as any other, and after any other: 1,000 images, 6 standard deviations."""
    n, kinds = 1000, len(permutations)
    result = student(student.uniform(n, 1, 2, 2), permutations, student.generator)
    labels = tensor(two_parts(result, "shuffled, labels")[1], (n,), "labels is")
    often = labels.bincount(minlength=kinds)
    if (often - n / kinds).abs().max() > 6 * (n / kinds * (1 - 1 / kinds)) ** 0.5:
        raise Wrong(f"Among {n} images the permutations occur {often.tolist()} times: draw all of them equally often.")
    rounds = labels[: n // kinds * kinds].view(-1, kinds).sort(dim=1).values
    if (rounds == torch.arange(kinds)).all():
        raise Wrong(
            f"Of every {kinds} images each has another permutation: draw every one by itself, from all of them, so "
            "that one may come twice."
        )
    pairs = (kinds * labels[:-1] + labels[1:]).bincount(minlength=kinds**2)
    if (pairs - n / kinds**2).abs().max() > 6 * (n / kinds**2) ** 0.5:
        raise Wrong(
            "The permutation of an image can be told from that of the image before: draw every one by itself, neither "
            "sorted nor in turn."
        )


def _one_puzzle(student: Student, images: Tensor, permutations: Tensor) -> None:
    n = len(images)
    result = student(images, permutations, torch.Generator().manual_seed(3))
    shuffled, labels = two_parts(result, "shuffled, labels")
    shuffled, labels = tensor(shuffled, tuple(images.shape), "shuffled is"), tensor(labels, (n,), "labels is")
    if labels.dtype != torch.int64:
        raise Wrong(f"The labels are of type {labels.dtype}: they should be torch.int64.")

    if n >= 20 and torch.equal(shuffled, images):
        raise Wrong("The images come back as they were: no tile has moved.")
    rows = permutations.tolist()
    found = [_which(image, source, rows) for image, source in zip(shuffled, images, strict=True)]
    if None in found:
        for how, sentence in (
            (
                oracle.inverse,
                "tile t is put to place permutation[t]: the other way, place i shows tile permutation[i].",
            ),
            (oracle.by_columns, "tiles are counted column by column: count them row by row."),
            (oracle.places_by_columns, "places are counted column by column, and tiles row by row: count both so."),
            (oracle.tiles_by_columns, "tiles are counted column by column, and places row by row: count both so."),
        ):
            others = [how(row) for row in rows]
            if all(_which(image, source, others) is not None for image, source in zip(shuffled, images, strict=True)):
                raise Wrong(f"It looks as if {sentence}")
        first = found.index(None)
        why = _no_permutation(shuffled[first], first, images, math.isqrt(len(rows[0])))
        raise Wrong(f"Image {first} is not shuffled by any of the permutations: {why}")
    if labels.tolist() != found:
        wrong = next(i for i in range(n) if int(labels[i]) != found[i])
        raise Wrong(
            f"Image {wrong} is shuffled by permutation {found[wrong]}, and its label is {int(labels[wrong])}: "
            "the labels do not match the images."
        )
    if n >= 20 and len(set(found)) == 1:
        raise Wrong("One permutation serves the whole batch: draw one for every image.")
    if n >= 20 and len(set(found)) < len(rows):
        raise Wrong(f"Only {len(set(found))} of {len(rows)} permutations occur among {n} images: draw from all.")


def _no_permutation(image: Tensor, n: int, images: Tensor, grid: int) -> str:
    """What became of the tiles of the n-th image."""
    came, own = oracle.tiles(image, grid), oracle.tiles(images[n], grid)
    all_tiles = [tile for source in images for tile in oracle.tiles(source, grid)]

    def from_(known: list[Tensor]) -> bool:
        return all(any(torch.equal(tile, other) for other in known) for tile in came)

    if from_(own):
        return "its tiles are whole, in an order that is no row of permutations. Its label says which row it takes."
    if from_(all_tiles):
        return "some of its tiles come from other images."
    if torch.equal(image.flatten().sort().values, images[n].flatten().sort().values):
        return (
            "whole tiles move as they are, here they are torn. Is (N, C, H, W) viewed as (N, C, g, H/g, g, W/g), and "
            "are the axes brought back in the same order?"
        )
    return "whole tiles move as they are, here pixels have other values."


def _which(image: Tensor, source: Tensor, rows: list[list[int]]) -> int | None:
    """Which of the permutations makes the image of its source."""
    return next((p for p, row in enumerate(rows) if torch.equal(oracle.jigsaw(source, row), image)), None)
