"""Checks of week 2, rotation prediction. The definitions and the named mistakes are in oracle.py.

Rotations are recognised, not computed: the images are random, so that every row of a result is either one rotation of
one image, pixel by pixel, or something else. The optional exercises are in optional.py.
"""

import copy

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, gives, number, shown, tensor, two_parts
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.report import report
from sslcourse.check.sweep import sweep
from sslcourse.check.week02 import oracle
from sslcourse.check.week02.optional import jigsaw_batch, rotation_sensitivity

__all__ = ["RotationNet", "jigsaw_batch", "report", "rotate_batch", "rotation_accuracy", "rotation_sensitivity"]
__all__ += ["sweep"]

ANGLES = (0, 90, 180, 270)


def _recognised(rows: Tensor, versions: Tensor) -> list[tuple[int, int] | None]:
    """For every row (C, S, S) which of versions (N, V, C, S, S) it equals, as (n, v); None where it equals none."""
    n, v = versions.shape[:2]
    if tuple(rows.shape[1:]) != tuple(versions.shape[2:]):
        return [None] * len(rows)
    known = versions.double().flatten(2).flatten(0, 1)  # (N V, pixels)
    same = (rows.detach().double().flatten(1)[:, None] - known).abs().amax(dim=2) < 1e-6  # (rows, N V)
    found = same.float().argmax(dim=1)
    return [divmod(int(i), v) if bool(row[i]) else None for row, i in zip(same, found, strict=True)]


# --- rotate_batch


@exercise("week02")
def rotate_batch(student: Student) -> str:
    """rotate_batch(images) -> (rotated (4N, C, H, W), labels (4N,)), counter-clockwise by 0, 90, 180, 270 degrees.

    All rotations of the batch after each other (blocks) or all of an image after each other (adjacent).
    """
    # As many images as channels as pixels: whoever turns the wrong axes gets a result here, and with it a message.
    for shape in ((3, 3, 3, 3), (5, 3, 8, 8), (4, 1, 6, 6), (1, 3, 5, 5)):
        _all_rotations(student, student.uniform(*shape))
    return "All four rotations of every image, counter-clockwise, unchanged but for the turn, with labels that match."


def _all_rotations(student: Student, images: Tensor) -> None:
    n = len(images)
    rotated, labels = two_parts(student(images), "rotated, labels")
    if isinstance(rotated, Tensor) and tuple(rotated.shape) == tuple(images.shape):
        raise Wrong(f"It returns {n} rotated images for {n} images: all four rotations of each are wanted, {4 * n}.")
    if isinstance(rotated, Tensor) and tuple(rotated.shape) in {(n, 4, *images.shape[1:]), (4, n, *images.shape[1:])}:
        raise Wrong(f"rotated is of shape {tuple(rotated.shape)}: join the first two axes, to (4N, C, H, W).")
    rotated = tensor(rotated, (4 * n, *images.shape[1:]), "rotated is")
    labels = tensor(labels, (4 * n,), "labels is")

    found = _recognised(rotated, oracle.all_turned(images))
    _nothing_but_rotations(images, rotated, found)
    if len(set(found)) < 4 * n:
        missing = next((i, k) for i in range(n) for k in range(4) if (i, k) not in found)
        raise Wrong(
            f"{4 * n - len(set(found))} of {4 * n} rotations are missing, others come twice: image {missing[0]} turned "
            f"by {ANGLES[missing[1]]} degrees is not there."
        )
    _labels_match(labels, found, n)
    sources = [source for source, _ in found]
    if sources not in (list(range(n)) * 4, [source for source in range(n) for _ in range(4)]):
        raise Wrong(
            "The order is lost: keep the images in order, in blocks of one rotation or the four of one side by side."
        )


def _nothing_but_rotations(images: Tensor, rotated: Tensor, found: list) -> None:
    """Wrong where a row is no rotation of an image, with what it is instead."""
    if None not in found:
        return
    row = found.index(None)
    mirrored = _recognised(rotated, oracle.all_turned(images.flip(3)))
    if mirrored[row] is not None:
        raise Wrong(
            f"Row {row} is mirrored: a transpose or a flip is no rotation. torch.rot90(images, k, dims=(2, 3)) turns."
        )
    if len(set(images.shape)) == 1:
        for axes, names in oracle.WRONG_AXES.items():
            turned = [torch.rot90(images, k, dims=axes) for k in range(4)]
            if None not in _recognised(rotated, torch.stack(turned, dim=1)):
                raise Wrong(f"It looks as if {names} are turned into each other: rows and columns are axes 2 and 3.")
    raise Wrong(f"Row {row} of the result is no rotation of any image by 0, 90, 180 or 270 degrees.")


def _labels_match(labels: Tensor, found: list[tuple[int, int]], n: int) -> None:
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise Wrong(f"The labels are of type {labels.dtype}: they should be whole numbers, torch.int64.")
    quarters = [quarter for _, quarter in found]
    if labels.tolist() != quarters:
        for sentence, label in oracle.LABEL_MISTAKES.items():
            if labels.tolist() == [label(quarter, source, n) for source, quarter in found]:
                raise Wrong(f"It looks as if {sentence}")
        row = next(i for i, label in enumerate(labels.tolist()) if label != quarters[i])
        source, quarter = found[row]
        said = f"Row {row} is image {source} turned by {ANGLES[quarter]} degrees, and its label is {int(labels[row])}"
        if sorted(labels.tolist()) == sorted(quarters):
            raise Wrong(f"{said}: the labels are in another order than the images.")
        raise Wrong(f"{said}, it should be {quarter}.")
    if labels.dtype != torch.int64:
        raise Wrong(f"The labels are of type {labels.dtype}: cross-entropy takes torch.int64.")


# --- RotationNet


class _Backbone(nn.Module):
    """Features of images, linear in them; keeps what it was given and in which mode."""

    def __init__(self, features: int, weights: Tensor):
        super().__init__()
        self.num_features = features
        self.weights = nn.Parameter(weights)  # (C S S, D)
        self.calls: list[tuple[Tensor, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.calls.append((images.detach().clone(), self.training))
        return images.flatten(1) @ self.weights


@exercise("week02")
def RotationNet(student: Student) -> str:
    """RotationNet(backbone) with features(x) -> (N, D) and forward(x) -> (N, 4): a linear head on the features."""
    if not (isinstance(student.submission, type) and issubclass(student.submission, nn.Module)):
        raise Wrong("It should be a class that inherits from nn.Module.")
    for width, n in ((6, 5), (9, 1), (17, 3)):
        backbone = _Backbone(width, 0.3 * student.normal(48, width))
        model = student(backbone)
        if not isinstance(model, nn.Module):
            raise Wrong(f"It makes a {type(model).__name__}, it should be an nn.Module.")
        if not callable(getattr(model, "features", None)):
            raise Wrong("It has no method features: features(x) gives the backbone's features, forward(x) the scores.")
        images = student.uniform(n, 3, 4, 4)
        _features_of(student, model, backbone, images)
        _logits(student, model, backbone, images)
    _trained_together(student, model, backbone, images)
    return "Features are those of the backbone, the four scores a linear map of them; gradients reach both parts."


def _features_of(student: Student, model: nn.Module, backbone: _Backbone, images: Tensor) -> None:
    if not any(part is backbone for part in model.modules()):
        raise Wrong(
            "The backbone that was given is not a part of the model: store it itself, `self.backbone = backbone`, no "
            "copy and not in a list, so that training the model trains it."
        )
    shape = (len(images), backbone.num_features)
    h = student.run(model.features, images)
    if isinstance(h, Tensor) and tuple(h.shape) == (len(images), 4):
        raise Wrong(f"features returns the 4 scores: it should return what goes into the head, of shape {shape}.")
    h = tensor(h, shape, "features returns")
    if not close(h, images.flatten(1) @ backbone.weights, 1e-5):
        raise Wrong("features is not what the backbone gives for these images: return its results as they are.")
    if not h.requires_grad:
        raise Wrong("features carries no gradient: whoever fine-tunes needs it, so no detach and no torch.no_grad().")
    for training in (True, False):
        model.train(training)
        backbone.calls.clear()
        student.run(model.features, images)
        student.run(model, images)
        if model.training != training or any(mode != training for _, mode in backbone.calls):
            raise Wrong("It changes between train and eval mode: that is left to who calls the model.")


def _logits(student: Student, model: nn.Module, backbone: _Backbone, images: Tensor) -> None:
    n = len(images)
    backbone.calls.clear()
    logits = student.run(model, images)
    if isinstance(logits, Tensor) and tuple(logits.shape) == (4 * n, 4):
        raise Wrong("forward returns four rows for every image: the images come rotated, do not rotate them again.")
    logits = tensor(logits, (n, 4), "forward returns")
    if not all(torch.equal(seen, images) for seen, _ in backbone.calls):
        raise Wrong("The backbone is given something else than the images.")
    if n > 1 and close(logits, logits[:1].expand_as(logits), 1e-7):
        raise Wrong("forward gives the same for different images: does the head see the features?")

    # A linear map keeps sums: f(a) + f(b) = f(a + b) + f(0), and the backbone here is linear too.
    a, b = images, student.uniform(*images.shape) - 0.5
    fa, fb, both, none = (student.run(model, x) for x in (a, b, a + b, torch.zeros_like(a)))
    if close(logits.exp().sum(dim=1), torch.ones(n)) or close(logits.sum(dim=1), torch.ones(n)):
        raise Wrong("forward returns probabilities: return the scores before the softmax, cross-entropy applies it.")
    if not close(fa + fb, both + none, 1e-5):
        raise Wrong("forward is not linear in the features: the head is one nn.Linear(num_features, 4), nothing else.")


def _trained_together(student: Student, model: nn.Module, backbone: _Backbone, images: Tensor) -> None:
    """The head's weights and bias are there, belong to the model, and learn together with the backbone."""
    size = sum(weights.numel() for weights in model.parameters()) - backbone.weights.numel()
    wanted = 4 * backbone.num_features
    if size not in (wanted, wanted + 4):
        found = f"Beside the backbone the model has {size} parameters, for {backbone.num_features} features"
        raise Wrong(f"{found} it should be {wanted + 4}: one nn.Linear(backbone.num_features, 4), made in __init__.")
    model.train()
    student.run(model, images).square().sum().backward()
    for part, weights in (("backbone", [backbone.weights]), ("head", model.parameters())):
        if not all(w.grad is not None and w.grad.any() for w in weights):
            raise Wrong(f"No gradient reaches the {part}: it is detached or frozen, and would not be trained.")
    model.eval()
    quiet = student.run(model, images)
    model.train()
    if not close(student.run(model, images), quiet, 1e-6):
        raise Wrong("In train mode the head gives other scores: it is one linear layer, without dropout or batch norm.")
    again = student(copy.deepcopy(backbone))
    if close(student.run(again, images), student.run(model, images), 1e-6):
        raise Wrong("Two models start with the same head: its weights are drawn at random, as nn.Linear does.")


# --- rotation_accuracy


class _Guesser(nn.Module):
    """Knows every rotation of its images and says about it what it was told to; keeps how it was called.

    In train mode it says something else, as a network with batch norm or dropout does; what has the mode lies inside.
    """

    def __init__(self, images: Tensor, says: Tensor):
        super().__init__()
        self.versions, self.says = oracle.all_turned(images), says  # (N, 4, C, S, S) and (N, 4)
        self.middle = images[:, 0, images.shape[2] // 2, images.shape[3] // 2]  # (N,): a turn leaves it where it is
        self.layers = nn.Sequential(nn.Sequential(nn.Dropout(0.0)))
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.seen: list[tuple[int, int] | None] = []
        self.modes: list[tuple[bool, bool]] = []  # of itself and of what is inside

    def inside(self) -> bool:
        return any(module.training for module in self.layers.modules())

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4:
            raise ValueError(f"the model takes a batch (N, C, H, W), got shape {tuple(images.shape)}")
        source, quarter, known = self._recognised(images.detach())
        self.seen += [
            (i, k) if is_known else None
            for i, k, is_known in zip(source.tolist(), quarter.tolist(), known.tolist(), strict=True)
        ]
        self.modes.append((self.training, self.inside()))
        angles = self.says[source, quarter] * known
        logits = self.scale * nn.functional.one_hot((angles + int(self.inside())) % 4, 4).float()
        return logits - 0.7  # no probabilities

    def _recognised(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For every row the image and the quarter turns that it is nearest to, and whether it equals that."""
        if tuple(images.shape[1:]) != tuple(self.versions.shape[2:]):
            nothing = torch.zeros(len(images), dtype=torch.long)
            return nothing, nothing, nothing.bool()
        middle = images[:, 0, images.shape[2] // 2, images.shape[3] // 2]
        source = (middle[:, None] - self.middle).abs().argmin(dim=1)  # (rows,)
        same = (self.versions[source] - images[:, None]).abs().amax(dim=(2, 3, 4)) < 1e-6  # (rows, 4)
        return source, same.float().argmax(dim=1), same.any(dim=1)


@exercise("week02")
def rotation_accuracy(student: Student) -> str:
    """rotation_accuracy(model, images) -> (overall, per angle (4,)) over all four rotations of every image."""
    results = []
    for n, training in ((11, True), (260, False), (7, False), (1, True)):
        images = student.uniform(n, 2, 3, 3)
        images[:, 0, 1, 1] = torch.linspace(0, 1, n)  # tells them apart
        says = _answers(student, n)
        results.append((says, *_accuracies(student, images, says, training)))
    for says, value, per_angle in results:
        wanted, by_angle = oracle.rotation_accuracy(says == torch.arange(4))
        if close(value, wanted) and close(per_angle, torch.tensor(by_angle)):
            continue
        found = f"On {len(says)} images {gives(value, wanted)}"
        if close(value, wanted):
            found = f"On {len(says)} images the overall accuracy is right, per angle yours gives {_few(per_angle)}, it "
            found += f"should be {_few(by_angle)}."
        raise Wrong(found + (f"\nIt looks as if {sentence}" if (sentence := _why(results)) else ""))
    return "Over all four rotations of every image, in eval mode, and per true angle; the mode is restored."


def _answers(student: Student, n: int) -> Tensor:
    """What the model will say (n, 4): right for about 85, 30, 55 and 70 % of the four angles, so that none is alike.

    Many images come with the ones that are easy first: the last batch is smaller than the others, and worse.
    """
    rates = torch.tensor([0.85, 0.3, 0.55, 0.7])
    order = student.uniform(n, 4).argsort(dim=0) if n < 256 else torch.arange(n)[:, None].expand(n, 4)
    right = order < (rates * n).round()
    other = (torch.arange(4) + 1 + (2.5 * student.uniform(n, 4) ** 2).long()) % 4
    return torch.where(right, torch.arange(4), other)


def _accuracies(student: Student, images: Tensor, says: Tensor, training: bool) -> tuple[float, Tensor]:
    """What the submission gives for one model; Wrong where the model was not used as it should be."""
    n = len(images)
    model = _Guesser(images, says).train(training)
    overall, per_angle = two_parts(student(model, images), "overall, per_angle")
    value = number(overall)
    if not isinstance(per_angle, Tensor):
        try:
            per_angle = torch.as_tensor(per_angle, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError):
            raise Wrong(f"per_angle is a {type(per_angle).__name__}, it should be four accuracies (4,).") from None
    per_angle = tensor(per_angle, (4,), "per_angle is").detach().float()

    # How the model was used comes first: nothing else can be right where this is wrong.
    if not model.seen:
        raise Wrong("The model was never called.")
    if any(inside and not own for own, inside in model.modes):
        raise Wrong("Only the flag of the model itself is set, its layers are still in train mode: call model.eval().")
    if any(own for own, _ in model.modes):
        raise Wrong("The model is in train mode while it is measured: call model.eval() before.")
    if model.training != training:
        modes = ("train", "eval") if training else ("eval", "train")
        raise Wrong(f"The model came in {modes[0]} mode and is left in {modes[1]} mode: restore the mode.")
    if model.inside() != training:
        raise Wrong("Layers inside the model are left in the other mode: model.train(mode) sets that of all.")
    if not model.scale.requires_grad:
        raise Wrong("It leaves the weights of the model frozen: use torch.no_grad() instead of requires_grad.")
    if None in model.seen:
        raise Wrong("The model was given something else than the four rotations of the images.")
    if len(seen := set(model.seen)) < 4 * n:
        random = all(len({k for i, k in seen if i == image}) == 1 for image in range(n))
        raise Wrong(
            f"The model saw {len(seen)} of the {4 * n} rotations"
            + (", one of each image: all four of each are measured, so that no chance is in it." if random else ".")
        )
    return value, per_angle


def _few(values) -> str:
    return shown([round(float(value), 3) for value in values])


def _why(results: list[tuple[Tensor, float, Tensor]]) -> str | None:
    """The sentence of the mistake that explains the numbers of all calls, if one does."""
    calls = [(*result, *oracle.rotation_accuracy(result[0] == torch.arange(4))) for result in results]
    for sentence in oracle.mistaken_truths(1):
        if all(
            close(value, oracle.rotation_accuracy(says == oracle.mistaken_truths(len(says))[sentence])[0])
            for says, value, *_ in calls
        ):
            return sentence
    for factor, sentence in (
        (lambda n: 100, "the accuracies are in per cent: they should be in [0, 1]."),
        (lambda n: 4 * n, "correct answers are counted: divide by their number."),
        (lambda n: 4, "the sum of correct answers is divided by the number of images, not of rotations."),
    ):
        if all(close(value, factor(len(says)) * wanted) for says, value, _, wanted, _ in calls):
            return sentence
    if all(close(value, 1 - wanted) for _, value, _, wanted, _ in calls):
        return "the error rate is returned: the accuracy is the share that is right."
    # Small sets fit into one batch, so whoever has this mistake is right there.
    guesses = [oracle.unweighted_means(says == torch.arange(4)) for says, *_ in calls]
    for batches in zip(*guesses, strict=True):
        if all(close(value, guess) for (_, value, *_), guess in zip(calls, batches, strict=True)) and not all(
            close(value, wanted) for _, value, _, wanted, _ in calls
        ):
            return (
                "accuracies of batches are averaged as if all were of one size: the last is smaller, so count right "
                "answers and divide by the number of all."
            )
    if not all(close(value, wanted) for _, value, _, wanted, _ in calls):
        return None
    if all(_close_where_predicted(per_angle, says) for says, _, per_angle, *_ in calls):
        return "angles are sorted by prediction: sort by the true angle."
    for factor, sentence in (
        (lambda n: 0.25, "right answers of one angle are divided by all 4N rotations: divide by the N of that angle."),
        (lambda n: n, "correct answers per angle are counted: divide by N."),
        (lambda n: 100, "the accuracies per angle are in per cent: they should be in [0, 1]."),
    ):
        if all(close(per_angle, factor(len(says)) * torch.tensor(right)) for says, _, per_angle, _, right in calls):
            return sentence
    if all(close(per_angle, 1 - torch.tensor(right)) for _, _, per_angle, _, right in calls):
        return "the error rates per angle are returned: the accuracy is the share that is right."
    if all(close(per_angle.sort().values, torch.tensor(right).sort().values) for _, _, per_angle, _, right in calls):
        return "the angles are in another order: 0, 90, 180, 270 degrees."
    return None


def _close_where_predicted(per_angle: Tensor, says: Tensor) -> bool:
    """Whether these are the shares of right answers among all of one prediction, where there is one."""
    shares = torch.tensor(oracle.by_prediction(says))
    said = torch.tensor([bool((says == k).any()) for k in range(4)])
    return close(per_angle[said], shares[said])
