"""The check of week 1's features, by an encoder that keeps how it was called."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, tensor
from sslcourse.check.machinery import Student, Wrong, exercise


class _Inner(nn.Module):
    """A linear map that, like batch norm, gives something else in train mode."""

    def __init__(self, weights: Tensor):
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weights + float(self.training)


class _Encoder(nn.Module):
    """What has a mode lies two levels down, as in every real network; keeps how it was called, copies of it too."""

    def __init__(self, weights: Tensor, calls: list[tuple[int, bool, bool]]):
        super().__init__()
        self.layers = nn.Sequential(nn.Sequential(_Inner(weights), nn.Dropout(0.0)))
        self.log = calls.append

    def forward(self, images: Tensor) -> Tensor:
        self.log((len(images), self.training, any(module.training for module in self.layers.modules())))
        return self.layers(images)


@exercise("week01")
def extract_features(student: Student) -> str:
    """extract_features(encoder, images, batch_size=256) -> (N, D): eval mode, no gradients, order and mode kept."""
    images, weights = student.uniform(300, 3, 4, 4), student.normal(48, 5)
    wanted = images.flatten(1) @ weights
    for n, batch_size, training in (
        (10, 4, True), (10, 4, False), (8, 4, True), (9, 2, True), (1, 4, True), (5, 16, False),
    ):  # fmt: skip
        small = n % batch_size
        last = f"The last batch here is smaller than the others, {small} of {batch_size}: torch.cat joins both kinds."
        with student.meaning(last) if batch_size < n and small else nullcontext():
            _one_extraction(student, images[:n], weights, wanted[:n], batch_size, training)
    _one_extraction(student, images, weights, wanted, None, True)
    with student.meaning("The check gave a plain function here, which has no mode: only a module has."):
        plain = student(lambda batch: batch.flatten(1) @ weights, images[:10], 4)
    _compare_features(plain, wanted[:10], 4)
    return "In the order of the images, in eval mode, without gradients; the mode is restored; functions work too."


def _one_extraction(
    student: Student, images: Tensor, weights: Tensor, wanted: Tensor, batch_size: int | None, training: bool
) -> None:
    calls: list[tuple[int, bool, bool]] = []
    encoder = _Encoder(weights, calls).train(training)
    features = student(encoder, images) if batch_size is None else student(encoder, images, batch_size)
    size = batch_size or 256
    if any(inner and not outer for _, outer, inner in calls):
        raise Wrong(
            "Only the flag of the encoder itself is set, the layers inside are still in train mode: call "
            "encoder.eval(), which reaches all of them."
        )
    _compare_features(features, wanted, size)
    if any(outer or inner for _, outer, inner in calls):
        raise Wrong("The encoder is in train mode while it computes features: call encoder.eval() before.")
    if encoder.training != training:
        modes = ("train", "eval") if training else ("eval", "train")
        raise Wrong(f"The encoder came in {modes[0]} mode and is left in {modes[1]} mode: restore the mode.")
    if any(module.training != training for module in encoder.modules()):
        raise Wrong("Layers inside the encoder are left in the other mode: encoder.train(mode) sets that of all.")
    if not all(weights.requires_grad for weights in encoder.parameters()):
        raise Wrong("It leaves the weights of the encoder frozen: use torch.no_grad() instead of requires_grad.")
    if features.requires_grad:
        raise Wrong("The features carry a graph, which keeps every batch in memory: use torch.no_grad().")
    if not calls:
        return  # a copy of its own, called without the log
    if (most := max(number_of for number_of, *_ in calls)) > size:
        raise Wrong(f"{most} images went through the encoder at once, batch_size is {size}.")


def _compare_features(features: object, wanted: Tensor, batch_size: int) -> None:
    """Wrong unless features (N, D) are those wanted."""
    n = len(wanted)
    if isinstance(features, Tensor) and features.ndim == 2 and len(features) == n - n % batch_size < n:
        raise Wrong(f"It returns {len(features)} rows for {n} images: the last batch is dropped.")
    if isinstance(features, Tensor) and n == 1 and features.shape == wanted.shape[1:]:
        shapes = f"shape {tuple(features.shape)}, it should be {tuple(wanted.shape)}"
        raise Wrong(f"For one image it returns {shapes}: squeeze takes that dimension away, too.")
    tensor(features, tuple(wanted.shape), "It returns")
    if close(features, wanted):
        return
    nearest = torch.cdist(features.detach().double(), wanted.double()).min(dim=1)
    if nearest.values.max() < 1e-4 and len(set(nearest.indices.tolist())) == n:
        raise Wrong("The order is lost: row n of the features belongs to image n, so do not shuffle.")
    if close(features - 1, wanted):
        raise Wrong("The features are those of train mode: call encoder.eval() before.")
    if close(features, wanted / wanted.norm(dim=1, keepdim=True)):
        raise Wrong("The features are normalised: return them as the encoder gives them.")
    if close(features, wanted[torch.arange(n) % batch_size]):
        raise Wrong("The features of the first batch stand in the place of all later ones.")
    centred = wanted - wanted.mean(dim=0)
    for sentence, other in (
        ("The mean of the features is taken off", (centred,)),
        ("The features are standardised", tuple(centred / wanted.std(dim=0, correction=c) for c in (0, 1) if n > c)),
        ("Features below 0 are cut off", (wanted.relu(),)),
        ("A softmax is taken of the features", (wanted.softmax(dim=1),)),
        ("The features are rounded to 16 bits", (wanted.half(), wanted.bfloat16())),
        ("The images are divided by 255, but they lie in [0, 1] already", (wanted / 255,)),
    ):
        if any(close(features, value) for value in other):
            raise Wrong(f"{sentence}: return the results of the encoder as they are.")
    raise Wrong("The features are not what the encoder gives for these images: return its results as they are.")
