"""A training that is cut off and goes on ends exactly where one that was not does; a wrong file changes nothing."""

import errno
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslcourse.train import fit, update_ema

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))


class Method:
    """A student, a teacher that follows it, dropout and noise: everything that could go astray."""

    def __init__(self, drawn=0, width=6, seed=0):
        torch.manual_seed(seed)
        torch.rand(drawn)  # other weights, other random numbers, the same seed
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
    later, generator_after = Method(drawn=99 if cut > 5 else 0), order()
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
    again = Method(drawn=5)
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
    other, twin = Method(drawn=3, width=width), Method(drawn=3, width=width)
    with pytest.raises(ValueError, match=sentence + ".*delete it or name another file"):
        other.run(tmp_path / "run.pt", **settings)
    assert all(torch.equal(a, b) for a, b in zip(other.student.parameters(), twin.student.parameters(), strict=True))
    assert (tmp_path / "run.pt").read_bytes() == content


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ("harm",))


def refused(file, method, sentence, **settings):
    """The refusal says why, and leaves weights, random numbers and file as they were."""
    before, content = [tensor.clone() for tensor in method.state()], file.read_bytes()
    with pytest.raises(ValueError, match=sentence + ".*delete it or name another file") as caught:
        method.run(file, **settings)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(before, method.state(), strict=True))
    assert file.read_bytes() == content


def adamw(parameters, **settings):
    """The optimizer of `fit`, but for the settings."""
    return torch.optim.AdamW(parameters, **{"lr": 1e-3, "weight_decay": 0.0, "fused": True, **settings})


OPTIMIZERS = {
    "class": (lambda p: torch.optim.SGD(p, 1e-3), "optimizer torch.optim.adamw.AdamW there, torch.optim.sgd.SGD here"),
    "subclass": (lambda p: torch.optim.Adam(p, 1e-3), "optimizer torch.optim.adamw.AdamW there, .*Adam here"),
    "betas": (lambda p: adamw(p, betas=(0.5, 0.9)), r"betas .*0.999.* there, .*0.5.* here"),
    "groups": (
        lambda p: adamw([{"params": p[:1]}, {"params": p[1:]}]),
        r"lr \[0.001\] there, \[0.001, 0.001\] here",
    ),
    "trained": (lambda p: adamw(p[1:]), "trained parameters: 0.0.weight only there"),
}


@pytest.mark.parametrize("what", OPTIMIZERS)
def test_another_optimizer_is_refused_with_both_values(tmp_path, what):
    Method().run(tmp_path / "run.pt")
    make, sentence = OPTIMIZERS[what]
    method = Method(drawn=3)
    optimizer = make(list(method.student.parameters()))
    refused(tmp_path / "run.pt", method, sentence, optimizer=optimizer)
    assert not optimizer.state


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"weight_decay": 0.1}, r"weight_decay \[0.0\] there, \[0.1\] here"),
        ({"warmup": 0.3}, "warmup 0.1 there, 0.3 here"),
        ({"clip": None}, "clip 1.0 there, None here"),
        ({"max_steps": 9}, "steps 20 there, 9 here"),
    ],
)
def test_other_settings_are_refused_with_both_values(tmp_path, settings, sentence):
    Method().run(tmp_path / "run.pt")
    refused(tmp_path / "run.pt", Method(drawn=3), sentence, **settings)


def test_a_layer_that_was_frozen_since_is_named(tmp_path):
    Method().run(tmp_path / "run.pt")
    method = Method(drawn=3)
    method.student[0].requires_grad_(False)
    refused(tmp_path / "run.pt", method, "trained parameters: 0.0.weight, 0.0.bias only there")


def test_other_data_of_equal_length_are_refused(tmp_path, monkeypatch):
    Method().run(tmp_path / "run.pt")
    other = X.clone()
    other[-1, -1] += 1e-6
    monkeypatch.setitem(globals(), "X", other)
    refused(tmp_path / "run.pt", Method(drawn=3), r"data float32 \(40, 4\) \w+ there, float32 \(40, 4\) \w+ here")


def test_another_loss_is_refused_and_an_earlier_result_not_taken_for_its_own(tmp_path):
    class Other(Method):
        def loss_fn(self, x):
            return 2 * super().loss_fn(x)

    Method().run(tmp_path / "run.pt")
    refused(tmp_path / "run.pt", Other(drawn=3), r"loss code \w+ there, code \w+ here")


def test_a_network_of_other_layers_without_weights_is_refused(tmp_path):
    Method().run(tmp_path / "run.pt")
    method = Method(drawn=3)
    method.student[2].p = 0.5
    refused(tmp_path / "run.pt", method, r"module 0 Sequential \w+ there, Sequential \w+ here")


class Stubborn(nn.Linear):
    """Will not take weights that hold a 7."""

    def _load_from_state_dict(self, state_dict, prefix, *others):
        super()._load_from_state_dict(state_dict, prefix, *others)
        if (state_dict[prefix + "bias"] == 7).any():
            raise RuntimeError("no sevens")


def test_a_state_that_does_not_go_in_leaves_nothing_half(tmp_path):
    def run(bias):
        torch.manual_seed(0)
        torch.rand(bias)
        modules = [nn.Linear(4, 2), Stubborn(4, 2).requires_grad_(False)]
        nn.init.constant_(modules[1].bias, bias)
        before = [tensor.clone() for module in modules for tensor in module.state_dict().values()]
        after = [tensor for module in modules for tensor in module.state_dict().values()]

        def loss(x):
            return (modules[0](x) - modules[1](x)).square().mean()

        random = torch.get_rng_state()
        try:
            fit(loss, modules, X, epochs=1, checkpoint=tmp_path / "run.pt", progress=False)
        except ValueError as error:
            assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
            assert torch.equal(random, torch.get_rng_state())
            raise error

    run(7)
    with pytest.raises(ValueError, match="does not fit this training .no sevens.; delete it"):
        run(1)


def test_what_was_done_is_said_once_also_without_progress(tmp_path, capsys):
    file = tmp_path / "run.pt"
    Method().run(file, cut=12, label="first")
    counted = (
        ": loss.self.calls changed during the epoch and is not in the checkpoint, so that a resumed training would "
        "differ in it: add a network to modules, and keep other state in a module there.\n"
    )
    assert capsys.readouterr().out == f"first{counted}"
    Method().run(file, label="second")
    assert capsys.readouterr().out == f"second: resumed from epoch 2 of 4 ({file}).\nsecond{counted}"
    Method().run(file, label="third")
    assert capsys.readouterr().out == f"third: finished already, nothing was trained ({file}).\n"


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Method().run("~/runs/run.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"] and (tmp_path / "runs" / "run.pt").is_file()
    with pytest.raises(ValueError, match="in no home folder"):
        Method().run("~nobody-of-that-name/run.pt")


def test_what_killed_runs_left_is_removed_and_what_others_write_is_not(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead, alive = int(done.stdout), os.getppid()
    orphans = [f"run.pt.{dead}.part", f"run.pt.{os.getpid()}.part", "run.pt.99999999999.part"]
    others = [f"run.pt.{alive}.part", f"other.pt.{dead}.part", "run.pt.part.pt", "run.pt.old"]
    for name in orphans + others:
        (tmp_path / name).write_bytes(b"half")
    Method().run(tmp_path / "run.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"run.pt", *others}


def test_a_file_of_the_first_format_is_refused_by_name(tmp_path):
    state = {"format": "sslcourse training 1", "plan": {"epochs": 4}, "modules": [], "optimizer": {}}
    torch.save(state, tmp_path / "run.pt")
    refused(tmp_path / "run.pt", Method(drawn=3), "run.pt is a checkpoint of the first format")


def test_the_file_is_readable_without_pickled_code(tmp_path):
    Method().run(tmp_path / "run.pt")
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    assert saved["format"] == "sslcourse training 2" and len(saved["history"]["loss"]) == 4


def test_settings_as_numpy_numbers_are_the_same_settings(tmp_path):
    def run(number, settings):
        method = Method()
        optimizer = adamw(list(method.student.parameters()), lr=number(0.5), betas=(number(0.5), number(0.75)))
        return method.run(tmp_path / "run.pt", optimizer=optimizer, **settings)

    run(np.float64, {"clip": np.float64(1.0), "warmup": np.float64(0.25)})
    assert run(float, {"clip": 1.0, "warmup": 0.25}).steps == 20


def test_a_forged_file_with_a_right_hash_is_refused(tmp_path):
    for content in ({"format": "sslcourse training 2"}, {"plan": 3, "modules": 4}, [1]):
        memory = io.BytesIO()
        torch.save(content, memory)
        digest = hashlib.sha256(memory.getvalue()).hexdigest()
        (tmp_path / "run.pt").write_bytes(memory.getvalue() + f"\nsslcourse training 2 sha256 {digest}\n".encode())
        refused(tmp_path / "run.pt", Method(drawn=3), "is damaged or no checkpoint")


def test_a_folder_or_a_pipe_is_no_checkpoint(tmp_path):
    method = Method()
    with pytest.raises(OSError, match="is a folder, but it should be a file"):
        method.run(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="is a named pipe, but it should be a file"):
            method.run(tmp_path / "pipe")
    assert method.calls == 0


def test_a_link_is_followed(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "run.pt").symlink_to(tmp_path / "scratch" / "run.pt")
    Method().run(tmp_path / "run.pt")
    assert (tmp_path / "run.pt").is_symlink() and (tmp_path / "scratch" / "run.pt").is_file()


def test_a_finished_training_needs_no_right_to_write(tmp_path, monkeypatch):
    Method().run(tmp_path / "run.pt")
    monkeypatch.setattr(Path, "write_bytes", lambda *arguments: pytest.fail("wrote"))
    assert Method().run(tmp_path / "run.pt").steps == 20


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
