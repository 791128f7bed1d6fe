"""The check of week 1's training loop, by a small model that keeps what passes through it."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from sslcourse.check.compare import close, gives, number, shown
from sslcourse.check.machinery import Student, Wrong, exercise
from sslcourse.check.week01 import oracle


class _Line(nn.Module):
    """The model y = gain * x + offset; keeps the batches that went through it and the mode that all of it was in."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.ParameterList([torch.tensor([0.3, 0.4])]))
        self.batches: list[Tensor] = []
        self.modes: list[bool] = []

    @property
    def weights(self) -> Tensor:
        return self.inner[0][0]

    def all_training(self) -> bool:
        return all(module.training for module in self.modules())

    def forward(self, images: Tensor) -> Tensor:
        self.batches.append(images.detach().clone())
        self.modes.append(self.all_training())
        return self.weights[0] * images + self.weights[1]


class _CountedSGD(torch.optim.SGD):
    """Keeps how many steps were taken."""

    steps = 0

    def step(self, *args, **kwargs):
        self.steps += 1
        return super().step(*args, **kwargs)


@exercise("week01")
def train_epoch(student: Student) -> str:
    """train_epoch(model, images, optimizer, batch_size, generator=None) -> the mean loss per image, a float."""
    images = student.uniform(10, 1, 4, 4)
    first = _one_epoch(student, images, 4, torch.Generator().manual_seed(1))
    if sum(after == before + 1 for before, after in pairwise(first)) >= 6:  # about one of nine by chance
        raise Wrong("Only the order of the batches is shuffled: shuffle the images, so that batches are mixed anew.")

    # The same generator state must give the same order, and the next epoch another, with and without a generator.
    generator = torch.Generator().manual_seed(1)
    if _one_epoch(student, images, 4, generator) != first:
        raise Wrong("The argument generator is not used: the same generator should give the same order.")
    without = [_one_epoch(student, images, 4) for _ in range(2)]
    if _one_epoch(student, images, 4, generator) == first or without[0] == without[1]:
        raise Wrong("Every epoch has the same order: draw a new one each time, without seeding.")
    for n, batch_size in ((8, 4), (3, 8), (9, 4)):
        _one_epoch(student, images[:n], batch_size)
    _one_epoch(student, student.uniform(300, 1, 2, 2), 256)  # nobody has a limit of their own
    return (
        "One shuffled pass of plain steps, every image once, also in a smaller last batch; the mean loss per image; "
        "the model is left in train mode."
    )


def _one_epoch(
    student: Student, images: Tensor, batch_size: int, generator: torch.Generator | None = None
) -> list[int]:
    """Run one epoch and compare everything about it; returns the order in which the images were seen."""
    model = _Line().eval()
    optimizer, lr = _CountedSGD(model.parameters(), lr=0.4), 0.4
    start = model.weights.detach().clone()
    result = student(model, images, optimizer, batch_size, generator)
    value = number(result)
    if isinstance(result, Tensor) and result.requires_grad:
        raise Wrong("It returns a tensor with its graph: return a float, such as loss.item() gives.")
    if not all(model.modes):
        raise Wrong("The model is in eval mode while it learns: it may come from an evaluation, call model.train().")
    if not model.all_training():
        raise Wrong("It leaves the model in eval mode: the contract is train mode at the end.")

    order = _order(model.batches, images, batch_size)
    if len(images) > 9 and order == list(range(len(images))):
        raise Wrong(
            "The images come in their own order: shuffle them anew in every epoch (torch.randperm). A shuffled "
            "batch is what goes in and the target as well."
        )
    if not optimizer.steps:
        raise Wrong("optimizer.step() is never called: the weights are changed by the argument optimizer alone.")
    if torch.equal(model.weights.detach(), start):
        raise Wrong("The weights do not change: each batch needs zero_grad, backward and step, in this order.")
    if optimizer.steps != len(model.batches):
        raise Wrong(
            f"optimizer.step() is called {optimizer.steps} time{'s' * (optimizer.steps > 1)} for {len(model.batches)} "
            "batches: one step a batch."
        )

    # The pass as it should have been, and as it would be with mistakes in the steps, in the result, or in both.
    plain = oracle.train_epoch(model.batches, start, lr)
    if close(value, plain.mean) and close(model.weights, plain.weights):
        return order
    found = f"On {len(images)} images in batches of {batch_size} {gives(value, plain.mean)}"
    if not close(model.weights, plain.weights):
        found += f" The weights after it are {shown(model.weights)}, they should be {shown(plain.weights)}."
    steps = {"": ({},), **oracle.STEP_MISTAKES, **_other_targets(images, model.batches)}
    results = {"": lambda epoch, _: epoch.mean, **oracle.RETURN_MISTAKES}
    for step, how in ((step, how) for step, variants in steps.items() for how in variants):
        epoch = oracle.train_epoch(model.batches, start, lr, **how)
        if not close(model.weights, epoch.weights):
            continue
        for result, of in results.items():
            if close(value, of(epoch, batch_size)):
                raise Wrong(f"{found}\nIt looks as if {' Also, '.join(filter(None, (step, result)))}")
    raise Wrong(found)


def _other_targets(images: Tensor, batches: list[Tensor]) -> dict:
    sentence = "the results are compared with other images than went in: the target is the same shuffled batch."
    return {sentence: ({"targets": images.split([len(batch) for batch in batches])},)}


def _order(batches: list[Tensor], images: Tensor, batch_size: int) -> list[int]:
    """Which images the model saw, in order; Wrong unless each was seen once, in batches of the right size."""
    if not batches:
        raise Wrong("The model was never called: model(batch) gives the reconstruction of a batch.")
    seen = torch.cat(batches)
    apart = (seen.flatten(1)[:, None] - images.flatten(1)).abs().amax(dim=2)  # (seen, N)
    if apart.amin(dim=1).max() > 0:
        raise Wrong("The model was given something else than the images of the set.")
    order = apart.argmin(dim=1).tolist()
    missing = len(images) - len(set(order))
    if len(batches) > 1 and all(torch.equal(a, b) for a, b in zip(batches[0::2], batches[1::2], strict=False)):
        raise Wrong("The model runs on every batch twice: each batch's loss is the one that its step is made from.")
    if missing and len(order) == len(set(order)):
        dropped = "the last batch is dropped" if missing == len(images) % batch_size else "one pass takes all of them"
        dropped += " (does `return` stand inside the loop?)" if len(batches) == 1 and missing >= batch_size else ""
        raise Wrong(f"{missing} of {len(images)} images were never seen: {dropped}.")
    if missing:
        raise Wrong("Some images were seen several times, others never: shuffle without replacement (torch.randperm).")
    if len(order) > len(images):
        raise Wrong(f"The model saw {len(order)} images, the set has {len(images)}: one pass takes each once.")
    sizes, wanted = [len(batch) for batch in batches], [len(part) for part in images.split(batch_size)]
    if sizes != wanted:
        raise Wrong(f"The batches have {sizes} images, they should have {wanted}.")
    return order
