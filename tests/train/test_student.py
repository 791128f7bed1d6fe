"""fit_student: the teacher sees what the student sees, stays as it is, and has to know the same classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslcourse import train


class Spy(nn.Module):
    """Logits of images; keeps what it saw and in which mode."""

    def __init__(self, classes=3):
        super().__init__()
        self.layer, self.norm = nn.Linear(12, classes), nn.BatchNorm1d(classes)
        self.seen, self.modes = [], []

    def forward(self, images):
        self.seen.append(images.detach().clone())
        self.modes.append(self.training)
        return self.norm(self.layer(images.flatten(1)))


def soft(student_logits, teacher_logits, labels):
    return F.kl_div(student_logits.log_softmax(1), teacher_logits.softmax(1), reduction="batchmean")


def noisy(images):
    return (images.float() / 255 + 0.1 * torch.rand(images.shape)).clamp(0, 1)


def test_both_see_the_same_views_and_only_the_student_learns():
    student, teacher = Spy(), Spy()
    images, labels = torch.randint(0, 256, (16, 3, 2, 2), dtype=torch.uint8), torch.arange(16) % 3
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    start = student.layer.weight.clone()
    history = train.fit_student(
        student, teacher, images, labels, soft, epochs=3, augment=noisy, batch_size=8, lr=0.05, progress=False
    )
    assert len(student.seen) == 6 and all(a.equal(b) for a, b in zip(student.seen, teacher.seen, strict=True))
    assert not student.seen[0].equal(student.seen[2])  # drawn anew
    assert all(student.modes) and not any(teacher.modes) and teacher.training
    assert all(value.equal(before[name]) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters()) and not student.layer.weight.equal(start)
    assert set(history.metrics) == {"accuracy"} and len(history.loss) == 3


def test_a_student_copies_its_teacher():
    torch.manual_seed(0)
    student, teacher = Spy(), Spy().eval()
    images = torch.rand(64, 3, 2, 2)
    history = train.fit_student(
        student,
        teacher,
        images,
        torch.zeros(64, dtype=torch.long),
        soft,
        epochs=100,
        batch_size=64,
        lr=0.05,
        progress=False,
    )
    assert history.loss[-1] < 0.05 * history.loss[0] and not teacher.training


def test_different_classes_get_one_sentence():
    with pytest.raises(ValueError, match=r"student returned logits of shape \(4, 3\) and the teacher \(4, 5\)"):
        train.fit_student(
            Spy(3),
            Spy(5),
            torch.rand(4, 3, 2, 2),
            torch.zeros(4, dtype=torch.long),
            soft,
            epochs=1,
            batch_size=4,
            progress=False,
        )


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [(torch.zeros(4), TypeError, "whole numbers"), (torch.tensor([0, 1, -1, 2]), ValueError, "the smallest is -1")],
)
def test_labels_are_judged_as_those_of_a_classifier(labels, error, words):
    with pytest.raises(error, match=words):
        train.fit_student(Spy(), Spy(), torch.rand(4, 3, 2, 2), labels, soft, epochs=1, batch_size=4, progress=False)
