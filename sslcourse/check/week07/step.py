"""The check of dino_step: spies write down what is done with both networks, the loss and update, and in which order."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sslcourse.check import spies
from sslcourse.check.compare import close
from sslcourse.check.machinery import Student, Wrong

ORDER = "view i of both lists is the same crop, global ones first."


@dataclass
class Asked:
    """One call of the loss, as it was made."""

    answers: object
    targets: object


class SpyLoss(nn.Module):
    """A loss for DINO's lists, with a centre that moves in every call; it writes down what it is asked."""

    def __init__(self, log: spies.Log, dim: int):
        super().__init__()
        self.log = log
        self.register_buffer("center", torch.zeros(dim))
        self.teacher_temp, self.student_temp = 0.5, 1.0

    def forward(self, student_views: object, teacher_views: object) -> Tensor:
        self.log.append(Asked(student_views, teacher_views))
        try:
            answers, targets = list(student_views), list(teacher_views)
            pairs = [
                _agreement(s, t - self.center) for j, s in enumerate(answers) for i, t in enumerate(targets) if i != j
            ]
            self.center = 0.5 * self.center + 0.5 * torch.cat(targets).detach().mean(dim=0)
            return torch.stack(pairs).mean()
        except (
            TypeError,
            RuntimeError,
            ValueError,
            IndexError,
        ):  # lists that fit nothing: what is wrong with them is said later
            return sum((view.sum() for view in _tensors(student_views)), torch.zeros((), requires_grad=True))


def _agreement(answer: Tensor, target: Tensor) -> Tensor:
    return (answer.log_softmax(dim=1) * (2 * target.detach()).softmax(dim=1)).sum(dim=1).mean().neg()


def _tensors(views: object) -> list[Tensor]:
    views = [views] if isinstance(views, Tensor) else views
    return [view for view in views if isinstance(view, Tensor)] if isinstance(views, list | tuple) else []


def examine_step(student: Student) -> str:
    # (images, local crops, outputs, momentum, is the teacher frozen?)
    for n, n_local, dim, momentum, frozen in ((3, 3, 5, 0.77, False), (4, 0, 3, 0.6, True), (2, 1, 4, 0.7, True)):
        log = spies.Log()
        learner, teacher = (spies.Network(who, log, student, dim) for who in ("student", "teacher"))
        teacher.requires_grad_(not frozen)
        loss, update = SpyLoss(log, dim), spies.Update(log, learner, teacher)
        for which in ("first", "second"):
            step = f"With {n_local} local crops, in the {which} step"
            log.clear()
            crops = [student.normal(n, 3, 4, 4) for _ in range(2)] + [
                student.normal(n, 3, 2, 2) for _ in range(n_local)
            ]
            before = spies.weights(learner), spies.weights(teacher), loss.center.clone()
            result = student(learner, teacher, loss, update, list(crops), momentum)
            if result is None:
                raise Wrong("It returns None: return the loss.")
            _judge(step, log, crops, before, (learner, teacher, loss), momentum)
            spies.judge_return(result, spies.the_update(log, step).loss, step)
    return "The teacher sees the global crops, the student all; one loss, update, moving average, in two steps."


def _judge(step: str, log: spies.Log, crops: list[Tensor], before: tuple, parts: tuple, momentum: float) -> None:
    (student_was, teacher_was, center), (learner, teacher, loss) = before, parts
    updated = spies.the_update(log, step)
    asked = [event for event in log if isinstance(event, Asked)]
    if not asked:
        raise Wrong(f"{step} the loss is never called: it takes the student's views and the teacher's.")
    if len(asked) > 1:
        raise Wrong(
            f"{step} the loss is called {len(asked)} times, and its centre moves every time: call it once, with the "
            "list of all the student's views and that of the teacher's."
        )
    passes = [event for event in log if isinstance(event, spies.Pass)]
    if any(event.who == "teacher" and not spies.same(event.weights, teacher_was) for event in passes):
        raise Wrong(
            f"{step} the teacher has moved before it answers. It looks as if the moving average comes before the "
            f"update. {spies.ORDER}"
        )
    if any(not spies.same(event.weights, student_was) for event in passes if event.who == "student"):
        raise Wrong(f"{step} the student answers after the update: the loss needs its answers before.")
    answers, targets = _views(step, asked[0], passes, crops)
    spies.must_learn(updated, step)
    moved = 0.5 * center + 0.5 * torch.cat(targets).detach().mean(dim=0)
    if not close(loss.center, moved):
        raise Wrong(f"{step} the centre is not where the loss left it: the loss moves its centre itself.")

    wanted = torch.stack(
        [_agreement(s, t - center) for j, s in enumerate(answers) for i, t in enumerate(targets) if i != j]
    ).mean()
    if not close(updated.loss, wanted):
        raise Wrong(
            f"{step} update is given {float(updated.loss.detach()):.4g}, but the loss of these views is "
            f"{float(wanted.detach()):.4g}: give it what the loss returned, as it is."
        )
    if any(view.requires_grad for view in _tensors(list(asked[0].targets))) or updated.strangers:
        raise Wrong(f"{step} the teacher's answers carry a gradient: the teacher answers under torch.no_grad().")
    if any(gradient is None or not gradient.any() for gradient in updated.gradients):
        raise Wrong(f"{step} no gradient reaches the student: its answers are detached on the way.")
    names = "student", "teacher", "update_ema(student, teacher, momentum)"
    spies.judge_average(
        teacher, spies.weights(teacher), teacher_was, learner, student_was, updated.weights, momentum, step, names
    )


def _views(step: str, asked: Asked, passes: list[spies.Pass], crops: list[Tensor]) -> tuple[list, list]:
    """The student's and the teacher's answers as they should be, once it is clear that they were given."""
    for event in passes:
        if all(row is None for row in _crops_in(event.images, crops)):
            raise Wrong(
                f"{step} the {event.who} is given something that is no crop, of shape {tuple(event.images.shape)}."
            )
    seen = {who: {crop for event in passes if event.who == who for crop in _crops_in(event.images, crops)}
            for who in ("student", "teacher")}  # fmt: skip
    everything, large = set(range(len(crops))), {0, 1}
    local = len(crops) > 2
    if not seen["teacher"] or not seen["student"]:
        missing = "teacher" if not seen["teacher"] else "student"
        raise Wrong(f"{step} the {missing} is never asked: both networks answer.")
    if local and seen["teacher"] == everything and seen["student"] == large:
        raise Wrong(f"{step} student and teacher are swapped: the teacher sees the two global crops, the student all.")
    if seen["teacher"] - large:
        raise Wrong(f"{step} the teacher sees local crops: it answers to the two global ones, crops[:2], only.")
    if seen["teacher"] != large:
        raise Wrong(f"{step} the teacher sees one global crop only: it answers to both, crops[:2].")
    if seen["student"] != everything:
        part = {frozenset(large): "the global crops", frozenset(everything - large): "the local crops"}
        saw = part.get(frozenset(seen["student"]), f"{len(seen['student'])} of {len(crops)} crops")
        raise Wrong(f"{step} the student sees {saw} only: it answers to all of them.")

    answers, targets = ([_answer(passes, who, crop, crops) for crop in which]
                        for who, which in (("student", range(len(crops))), ("teacher", range(2))))  # fmt: skip
    given = {"student": _listed(step, asked.answers, "student"), "teacher": _listed(step, asked.targets, "teacher")}
    if _alike(given["student"], targets) and _alike(given["teacher"], answers):
        raise Wrong(f"{step} the arguments of the loss are swapped: the student's views come first.")
    for who, right in (("student", answers), ("teacher", targets)):
        if not _alike(given[who], right):
            raise Wrong(f"{step} {_misfit(given[who], right, who, answers, targets)}")
    return answers, targets


def _crops_in(images: Tensor, crops: list[Tensor]) -> list[int | None]:
    """Which crop every row of a pass is taken from."""
    found = []
    for row in images:
        fits = [
            i for i, crop in enumerate(crops) if crop.shape[1:] == row.shape and (crop == row).flatten(1).all(1).any()
        ]
        found.append(fits[0] if fits else None)
    return found


def _answer(passes: list[spies.Pass], who: str, crop: int, crops: list[Tensor]) -> Tensor:
    """What a network said to a crop, in the order of its images."""
    rows = []
    for image in crops[crop]:
        for event in passes:
            if event.who == who and event.images.shape[1:] == image.shape:
                same = (event.images == image).flatten(1).all(dim=1).nonzero()
                if len(same):
                    rows.append(event.out[same[0, 0]])
                    break
    return torch.stack(rows)


def _listed(step: str, views: object, who: str) -> list[Tensor]:
    if isinstance(views, Tensor) and views.dim() != 3:
        raise Wrong(f"{step} the {who}'s views are one tensor of shape {tuple(views.shape)}: give a list, a view each.")
    views = list(views) if isinstance(views, Tensor | list | tuple) else [views]
    if not all(isinstance(view, Tensor) for view in views):
        raise Wrong(f"{step} the {who}'s views should be a list of tensors (N, K).")
    return views


def _alike(came: list[Tensor], wanted: list[Tensor]) -> bool:
    return len(came) == len(wanted) and all(
        x.shape == y.shape and close(x, y, 1e-5) for x, y in zip(came, wanted, strict=True)
    )


def _misfit(came: list[Tensor], right: list[Tensor], who: str, answers: list[Tensor], targets: list[Tensor]) -> str:
    """In words, what is wrong with a list of views."""
    other = targets if who == "student" else answers
    n, k = right[0].shape
    if _alike(came, other) or (came and all(any(_alike([x], [y]) for y in other) for x in came)):
        return f"the {who}'s list holds answers of the other network."
    if all(any(_alike([x], [y]) for y in right) for x in came):
        if len(came) != len(right):
            return f"the {who}'s list holds {len(came)} views, it should hold {len(right)}."
        return f"the {who}'s views are out of order: {ORDER}"
    if any(view.dim() == 2 and view.shape[1] < k for view in came):
        return f"the {who}'s views are cut along the outputs: chunk and split run over images, dim=0."
    if all(view.shape == (n, k) for view in came) and len(came) == len(right):
        rows = torch.cat(right)
        if all(any(close(row, each, 1e-5) for each in rows) for row in torch.cat(came)):
            return f"the rows of the {who}'s views are mixed: torch.cat puts one view after the other, cut it likewise."
        return f"the {who}'s views are not what the network said of the crops: hand them over as they are."
    shapes = ", ".join(str(tuple(view.shape)) for view in came)
    return f"the {who}'s views have the shapes {shapes}: there should be {len(right)} of shape ({n}, {k}), one a crop."
