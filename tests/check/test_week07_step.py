"""The check of dino_step: right in any style, and each way to get the order, the views or a part wrong by name."""

import pytest
import torch
import torch.nn.functional as F
from harness import assert_right, assert_wrong, cell

import sslcourse
from sslcourse import train
from sslcourse.check import machinery
from sslcourse.check import week07 as check

STEP = """
def dino_step(student, teacher, loss, update, crops, momentum):
    with torch.no_grad():
        targets = [teacher(crop) for crop in crops[:2]]
    answers = [student(crop) for crop in crops]
    value = loss(answers, targets)
    update(value)
    train.update_ema(student, teacher, momentum)
    return value
"""
# As the authors do: one pass for each size, cut afterwards.
BY_SIZE = """
def dino_step(student, teacher, loss, update, crops, momentum):
    n = len(crops[0])
    large, small = torch.cat(crops[:2]), crops[2:]
    targets = teacher(large).detach().split(n)
    answers = student(large)
    if len(small) > 0:
        answers = torch.cat([answers, student(torch.cat(small))])
    value = loss(answers.chunk(len(crops)), targets)
    update(value)
    with torch.no_grad():
        for new, old in zip(student.parameters(), teacher.parameters()):
            old.data.mul_(momentum).add_((1 - momentum) * new.detach().data)
    return value.item()
"""
STACKED = """
def dino_step(student, teacher, loss, update, crops, momentum):
    answers = torch.stack(list(map(student, crops)))
    with torch.no_grad():
        targets = teacher(torch.stack(crops[:2]).flatten(0, 1)).unflatten(0, (2, -1))
    value = loss(list(answers), list(targets))
    update(value)
    with torch.no_grad():
        torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)
    return value.detach()
"""


def step(*changes, source=STEP):
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    return cell(source, "dino_step", torch=torch, F=F, train=train)


CALL = "train.update_ema(student, teacher, momentum)"
VALUE, UPDATE, EMA = (f"    {line}\n" for line in ("value = loss(answers, targets)", "update(value)", CALL))
TARGETS = "    with torch.no_grad():\n        targets = [teacher(crop) for crop in crops[:2]]\n"
ANSWERS = "    answers = [student(crop) for crop in crops]\n"
LARGE = "    answers = list(student(torch.cat(crops[:2])).chunk(2{})) + [student(c) for c in crops[2:]]\n"


@pytest.mark.parametrize(
    "right",
    [
        step(),
        step(source=BY_SIZE),
        step(source=STACKED),
        step(TARGETS + ANSWERS, ANSWERS + TARGETS),
        step(ANSWERS, LARGE.format("")),
        step("return value", "return float(value)"),
        sslcourse.solution("week07", "dino_step"),
    ],
)
def test_right_dino_step(right, seeds, monkeypatch):
    monkeypatch.setattr(machinery, "_is_reference", lambda *arguments: False)
    assert_right(check.dino_step, right)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("for crop in crops[:2]", "for crop in crops"), "the teacher sees local crops"),
        (("for crop in crops[:2]", "for crop in (crops[2:] or crops)"), "the teacher sees local crops"),
        (("for crop in crops[:2]", "for crop in crops[:1]"), "one global crop only"),
        ((ANSWERS, ANSWERS.replace("in crops", "in crops[:2]")), "the student sees the global crops only"),
        ((ANSWERS, ANSWERS.replace("in crops", "in crops[2:] or crops")), "the student sees the local crops only"),
        ((ANSWERS, ANSWERS.replace("in crops", "in crops[:3]")), "the student sees 3 of 5 crops only"),
        ((ANSWERS, ANSWERS.replace("in crops", "in crops[::-1]")), "out of order"),
        ((ANSWERS, ANSWERS.replace("in crops", "in crops[2:] + crops[:2]")), "out of order"),
        (("crops[:2]]", "crops[1::-1]]"), "out of order"),
        ((ANSWERS, LARGE.format(", dim=1")), "cut along the outputs"),
        (
            (ANSWERS, LARGE.replace(".chunk(2{})", ".unflatten(0, (-1, 2)).unbind(1)")),
            "the rows of the student's views",
        ),
        ((ANSWERS, "    answers = torch.cat([student(crop) for crop in crops])\n"), "one tensor of shape"),
        (("teacher(crop)", "student(crop)"), "the teacher is never asked"),
        ((ANSWERS, ANSWERS.replace("student", "teacher")), "the student is never asked"),
        (("(student, teacher, loss", "(teacher, student, loss"), "student and teacher are swapped"),
        (("loss(answers, targets)", "loss(targets, answers)"), "the arguments of the loss are swapped"),
        ((TARGETS, "    targets = [teacher(crop) for crop in crops[:2]]\n"), "the teacher's answers carry a gradient"),
        ((ANSWERS, ANSWERS.replace("student(crop)", "student(crop).detach()")), "carries no gradient"),
        ((ANSWERS, ANSWERS.replace("student(crop)", "student(crop).softmax(1)")), "not what the network said"),
        (("loss(answers, targets)", "loss(answers, [t - t.mean(0) for t in targets])"), "not what the network said"),
        ((UPDATE + EMA, EMA + UPDATE), "the moving average comes before the update"),
        ((TARGETS, EMA + TARGETS, UPDATE + EMA, UPDATE), "the moving average comes before the update"),
        ((EMA, ""), "It has not moved"),
        ((EMA, 2 * EMA), "it moves twice"),
        ((CALL, "train.update_ema(teacher, student, momentum)"), "runs the wrong way"),
        ((CALL, "train.update_ema(student, teacher, 1 - momentum)"), "the wrong way round"),
        ((CALL, "train.update_ema(student, teacher, 0.996)"), "the momentum is 0.996 whatever"),
        ((CALL, "teacher.load_state_dict(student.state_dict())"), "a copy of the student"),
        ((UPDATE, ""), "update(loss) is never called"),
        ((UPDATE, 2 * UPDATE), "update is called 2 times"),
        (("update(value)", "value.backward(); update(value)"), "backward() is called by hand"),
        (("update(value)", "update(value.detach())"), "carries no gradient"),
        (("update(value)", "update(value / 2)"), "give it what the loss returned"),
        ((VALUE, VALUE + VALUE), "the loss is called 2 times"),
        (
            (VALUE, "    value = sum(loss(answers, [t]) for t in targets) / 2\n"),
            "the loss is called 2 times",
        ),
        ((VALUE, "    value = F.mse_loss(answers[0], targets[1])\n"), "the loss is never called"),
        ((UPDATE, "    loss.center *= 0.9\n" + UPDATE), "the centre is not where the loss left it"),
        (("return value", "return"), "returns None"),
        (("return value", "return value * len(crops)"), "it should return the loss"),
    ],
)
def test_wrong_dino_step(changes, words):
    assert_wrong(check.dino_step, step(*changes), words)


def test_a_step_with_the_real_parts_trains_in_fit():
    """The exercise as the notebook uses it: the centre moves once a step, the teacher ends at the moving average."""
    torch.manual_seed(3)
    parts = (sslcourse.solution("week07", name) for name in ("dino_step", "DINOLoss"))
    dino_step, loss = (part for part in parts)
    loss = loss(4)
    student, teacher = (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4)) for _ in range(2))
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False)
    path, center = [], torch.zeros(4)

    def one(update, x):
        nonlocal center
        center = 0.9 * center + 0.1 * torch.cat([teacher(x), teacher(x.flip(0))]).mean(0)
        value = dino_step(student, teacher, loss, update, [x, x.flip(0)], 0.8)
        path.append(student[1].weight.detach().clone())
        return value

    start = teacher[1].weight.clone()
    train.fit(one, [student, teacher, loss], torch.randn(8, 3, 2, 2), epochs=2, batch_size=4, lr=0.1, own_step=True,
              progress=False)  # fmt: skip
    wanted = start
    for weight in path:
        wanted = 0.8 * wanted + 0.2 * weight
    torch.testing.assert_close(teacher[1].weight, wanted)
    torch.testing.assert_close(loss.center, center)
    assert len(path) == 4
