"""The check of week 2's accuracy, by a model that says what it was told to. Definitions and mistakes: oracle.py."""

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, gives, number, shown, tensor, two_parts
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week02 import oracle


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
    again = _accuracies(student, images, says, training)
    if again[0] != results[-1][1] or not torch.equal(again[1].nan_to_num(), results[-1][2].nan_to_num()):
        raise Wrong("A second call on the same images gives something else: right answers of the first are kept.")
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
            + ("" if random else _missing(seen, n))
        )
    return value, per_angle


def _missing(seen: set, n: int) -> str:
    """What is common to the rotations that were not seen."""
    missing = {(i, k) for i in range(n) for k in range(4)} - seen
    images, quarters = {i for i, _ in missing}, {k for _, k in missing}
    if len(quarters) == 4 and images == set(range(min(images), n)):
        return f" Those of the last {len(images)} images are missing: the last batch is smaller than the others."
    if len(quarters) < 4 and len(images) == n:
        return f" Missing are those by {' and '.join(str(90 * k) for k in sorted(quarters))} degrees."
    return ""


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
    for sentence, reading in oracle.OTHER_SHARES.items():
        if any(
            all(close(value, guess) for (_, value, *_), guess in zip(calls, guesses, strict=True))
            for guesses in zip(*(reading(says) for says, *_ in calls), strict=True)
        ):
            return sentence
    if not all(close(value, wanted) for _, value, _, wanted, _ in calls):
        return None
    for sentence, reading in oracle.OTHER_ANGLES.items():
        if any(
            all(close(per_angle, guess) for (_, _, per_angle, *_), guess in zip(calls, guesses, strict=True))
            for guesses in zip(*(reading(says) for says, *_ in calls), strict=True)
        ):
            return sentence
    if all(_close_where_predicted(per_angle, says) for says, _, per_angle, *_ in calls):
        return "angles are sorted by prediction: sort by the true angle."
    for factor, sentence in (
        (lambda n: 0.25, "right answers of one angle are divided by all 4N rotations: divide by the N of that angle."),
        (lambda n: 4, "right answers of one angle are divided by a quarter of the images: all N come in every angle."),
        (lambda n: n, "correct answers per angle are counted: divide by N."),
        (lambda n: 4 * n, "correct answers per angle are counted, and more than once: divide by N."),
        (lambda n: 100, "the accuracies per angle are in per cent: they should be in [0, 1]."),
    ):
        if all(close(per_angle, factor(len(says)) * torch.tensor(right)) for says, _, per_angle, _, right in calls):
            return sentence
    if all(close(per_angle, 1 - torch.tensor(right)) for _, _, per_angle, _, right in calls):
        return "the error rates per angle are returned: the accuracy is the share that is right."
    if all(close(per_angle, torch.tensor(right).floor()) for _, _, per_angle, _, right in calls):
        return "shares per angle are rounded down to whole numbers, as // does: divide by /."
    if all(close(per_angle.sort().values, torch.tensor(right).sort().values) for _, _, per_angle, _, right in calls):
        return "the angles are in another order: 0, 90, 180, 270 degrees."
    return None


def _close_where_predicted(per_angle: Tensor, says: Tensor) -> bool:
    """Whether these are the shares of right answers among all of one prediction, where there is one."""
    shares = torch.tensor(oracle.by_prediction(says))
    said = torch.tensor([bool((says == k).any()) for k in range(4)])
    return close(per_angle[said], shares[said])
