"""A training that is cut off and goes on ends exactly where one that was not does; a wrong file changes nothing."""

import errno
import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslcourse.train import fit, update_ema

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))


class Method:
    """A student, a teacher that follows it, dropout and noise: everything that could go astray."""

    def __init__(self, seed=0, width=6):
        torch.manual_seed(seed)
        self.student = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, 3))
        self.teacher = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, 3))
        self.teacher.requires_grad_(False)
        self.calls = 0

    def loss_fn(self, x):
        self.calls += 1
        if self.calls == self.cut:
            raise KeyboardInterrupt
        noisy = x + 0.1 * torch.randn_like(x)
        return F.mse_loss(self.student(noisy), self.teacher(x)) + self.student(x).square().mean()

    def run(self, checkpoint=None, cut=None, **settings):
        self.cut, self.calls = cut, 0
        settings = {"epochs": 4, "batch_size": 8, "clip": 1.0, "progress": False, **settings}
        return fit(
            self.loss_fn,
            [self.student, self.teacher],
            X,
            after_step=lambda step: update_ema(self.student, self.teacher, 0.9),
            on_epoch=lambda epoch: {"random": torch.rand(()).item()},
            checkpoint=checkpoint,
            **settings,
        )

    def state(self):
        return [*self.student.state_dict().values(), *self.teacher.state_dict().values(), torch.get_rng_state()]


def same(a: Method, b: Method) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state(), b.state(), strict=True))


@pytest.mark.parametrize("cut", [1, 6, 9, 20])
@pytest.mark.parametrize("own_generator", [True, False])
def test_a_resumed_training_is_bitwise_the_uninterrupted_one(tmp_path, cut, own_generator):
    def order():
        return torch.Generator().manual_seed(11) if own_generator else None

    whole, generator = Method(), order()
    expected = whole.run(generator=generator)
    expected_state = whole.state()

    file = tmp_path / "new folder" / "run.pt"
    assert Method().run(file, cut, generator=order()).stopped == "interrupted"
    assert file.exists() == (cut > 5)  # one epoch is five steps
    # A fresh start of Python has other weights and other random numbers, until the file is read.
    later, generator_after = Method(seed=99 if cut > 5 else 0), order()
    history = later.run(file, generator=generator_after)
    for a, b in zip(expected_state, later.state(), strict=True):
        assert torch.equal(a, b)
    assert history.loss == expected.loss and history.metrics == expected.metrics
    assert history.steps == expected.steps == 20 and history.stopped is None
    if own_generator:
        assert torch.equal(generator.get_state(), generator_after.get_state())
    assert [path.name for path in file.parent.iterdir()] == ["run.pt"]


def test_a_finished_training_is_only_read(tmp_path):
    first = Method()
    expected, after = first.run(tmp_path / "run.pt"), first.state()
    again = Method(seed=5)
    history = again.run(tmp_path / "run.pt")
    assert again.calls == 0 and history.loss == expected.loss and history.seconds > 0
    assert all(torch.equal(a, b) for a, b in zip(after, again.state(), strict=True))


def test_a_time_budget_in_the_middle_of_an_epoch_goes_on_from_the_epoch_before(tmp_path):
    whole = Method()
    whole.run()
    expected = whole.state()
    Method().run(tmp_path / "run.pt", max_steps=None, time_budget=1e-9)
    assert not (tmp_path / "run.pt").exists()
    later = Method()
    later.run(tmp_path / "run.pt")
    assert all(torch.equal(a, b) for a, b in zip(expected, later.state(), strict=True))


@pytest.mark.parametrize(
    ("settings", "width", "sentence"),
    [
        ({}, 7, "is of another model"),
        ({"epochs": 5}, 6, "epochs 4 there, 5 here"),
        ({"batch_size": 10}, 6, "batch_size 8 there, 10 here"),
        ({"lr": 0.5}, 6, r"lr \[0.001\] there, \[0.5\] here"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_nothing_changes(tmp_path, settings, width, sentence):
    Method().run(tmp_path / "run.pt")
    content = (tmp_path / "run.pt").read_bytes()
    other, twin = Method(seed=3, width=width), Method(seed=3, width=width)
    with pytest.raises(ValueError, match=sentence + ".*delete it or name another file"):
        other.run(tmp_path / "run.pt", **settings)
    assert all(torch.equal(a, b) for a, b in zip(other.student.parameters(), twin.student.parameters(), strict=True))
    assert (tmp_path / "run.pt").read_bytes() == content


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "weights", "flipped", "code"])
def test_a_damaged_or_foreign_file_gets_a_sentence(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run.pt"
    Method().run(file)
    content = bytearray(file.read_bytes())
    if kind == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif kind == "flipped":
        content[:64] = bytes(64)
        file.write_bytes(content)
    elif kind == "weights":
        torch.save(nn.Linear(2, 2).state_dict(), file)
    elif kind == "code":
        torch.save(Harmful(), file)
    else:
        file.write_bytes(b"" if kind == "empty" else b"not a checkpoint")
    with pytest.raises(ValueError, match="damaged or no checkpoint of a training; delete it or name another file"):
        Method().run(file)
    assert not (tmp_path / "harm").exists()


def test_a_file_where_the_folder_should_be_is_told_before_the_training(tmp_path):
    (tmp_path / "folder").write_text("a file")
    method = Method()
    with pytest.raises(OSError, match="could not be written"):
        method.run(tmp_path / "folder" / "run.pt")
    assert method.calls == 0


def test_a_full_disk_keeps_the_older_checkpoint_and_the_model(tmp_path, monkeypatch):
    file = tmp_path / "run.pt"
    Method().run(file, cut=8)
    content = file.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    method = Method()
    with pytest.raises(OSError, match=r"No space left.*an older checkpoint is untouched"):
        method.run(file)
    assert file.read_bytes() == content and method.calls == 5
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
