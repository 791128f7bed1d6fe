"""What is neither a weight nor a setting: seeds, hooks, and state that modules keep beside their state_dict."""

import collections

import numpy as np
import pytest
import torch
from torch import nn

from sslcourse.train import fit, update_ema
from sslcourse.train.attributes import Attributes

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))


class Bank:
    """A student's own object, which no state_dict knows."""

    def __init__(self):
        self.count, self.sum = 0, torch.zeros(3)


class Queue(nn.Module):
    """State in every kind of attribute, each of which the loss feels."""

    def __init__(self):
        super().__init__()
        self.register_buffer("keys", torch.randn(8, 3))
        self.next, self.mean, self.bank = 0, torch.zeros(3), Bank()
        self.log, self.array, self.shares = collections.deque(maxlen=3), np.zeros(2), {"last": [0.0]}
        self.noise = torch.Generator().manual_seed(3)

    def forward(self, z):
        felt = self.mean.sum() + self.bank.sum.sum() + sum(self.log) + self.array.sum() + self.shares["last"][0]
        return (z @ self.keys.clone().T).square().mean() + (felt + torch.rand((), generator=self.noise)) * z.mean()

    def enqueue(self, z):
        self.keys[(self.next + torch.arange(len(z))) % 8] = z
        self.next = (self.next + 3) % 8
        self.mean = 0.9 * self.mean + 0.1 * z.mean(dim=0)
        self.bank.count += 1
        self.bank.sum.add_(z[0])
        self.log.append(z[0, 0].item())
        self.array[0] += z[0, 1].item()
        self.shares["last"] = [z[0, 2].item()]
        self.late = z[1]  # an attribute that is not there at the start


def run(checkpoint=None, cut=None, drawn=0, seed=0, **settings):
    """(network, queue, history)."""
    torch.manual_seed(seed)
    torch.rand(drawn)
    network, queue = nn.Linear(4, 3), Queue()
    queue.next = drawn  # wherever a fresh one begins
    calls = [0, cut]

    def loss(x):
        calls[0] += 1
        if calls[0] == calls[1]:
            raise KeyboardInterrupt
        z = network(x)
        cost = queue(z)
        queue.enqueue(z.detach())
        return cost

    settings = {"epochs": 3, "batch_size": 8, "progress": False} | settings
    return network, queue, fit(loss, [network, queue], X, checkpoint=checkpoint, **settings)


def test_state_outside_the_state_dict_goes_on_where_it_was(tmp_path):
    network, queue, history = run()
    run(tmp_path / "run.pt", cut=8)
    later, resumed, found = run(tmp_path / "run.pt", drawn=5)
    assert found.loss == history.loss and torch.equal(later.weight, network.weight)
    assert (resumed.next, resumed.bank.count, resumed.shares) == (queue.next, queue.bank.count, queue.shares)
    assert resumed.log == queue.log and resumed.log.maxlen == 3 and np.array_equal(resumed.array, queue.array)
    for a, b in ((resumed.mean, queue.mean), (resumed.bank.sum, queue.bank.sum), (resumed.late, queue.late)):
        assert torch.equal(a, b)
    assert torch.equal(resumed.noise.get_state(), queue.noise.get_state())


def test_attributes_are_put_in_place_and_a_refusal_puts_all_back():
    queue = Queue()
    kept, sum_before, log_before = Attributes(queue), queue.bank.sum, queue.log
    assert kept.changed() == {}  # settings, such as in_features, are no state
    queue.enqueue(torch.ones(2, 3))
    changed = kept.changed()
    assert set(changed) == {*("next", "mean", "log", "array", "shares", "late", "bank.count", "bank.sum")}
    kept.put({})
    assert (queue.next, queue.bank.count, list(queue.log), queue.array[0]) == (0, 0, [], 0) and not queue.mean.any()
    kept.put(changed)
    assert queue.next == 3 and queue.bank.count == 1 and queue.mean[0] == pytest.approx(0.1)
    assert queue.bank.sum is sum_before and sum_before[0] == 1 and queue.log is log_before and list(log_before) == [1.0]


def test_another_seed_is_another_training(tmp_path):
    run(tmp_path / "run.pt")
    with pytest.raises(ValueError, match="seed 0 there, 1 here"):
        run(tmp_path / "run.pt", seed=1)
    order = torch.Generator().manual_seed(4)
    run(tmp_path / "order.pt", generator=order)
    run(tmp_path / "order.pt", generator=order)  # which has moved on since
    with pytest.raises(ValueError, match="seed of generator 4 there, 5 here"):
        run(tmp_path / "order.pt", generator=torch.Generator().manual_seed(5))
    with pytest.raises(ValueError, match="seed of generator 4 there, not given here"):
        run(tmp_path / "order.pt")


def test_other_weights_to_begin_with_and_another_on_epoch_are_told(tmp_path, capsys):
    run(tmp_path / "run.pt", on_epoch=lambda epoch: {"one": 1})
    told = capsys.readouterr().out  # the loss counts its calls in a list
    assert told.startswith("training: loss.calls changed during the epoch") and told.count("\n") == 1
    run(tmp_path / "run.pt", on_epoch=lambda epoch: {"one": 1})
    assert capsys.readouterr().out.endswith("nothing was trained (" + str(tmp_path / "run.pt") + ").\n")
    run(tmp_path / "run.pt", drawn=5, on_epoch=lambda epoch: {"two": 2})
    assert capsys.readouterr().out.endswith("; it began with other weights; its on_epoch was another.\n")


def test_hooks_are_part_of_a_training(tmp_path):
    def follow(momentum):
        return {"after_step": lambda step: momentum * step, "on_epoch": lambda epoch: {}}

    run(tmp_path / "run.pt", **follow(0.9))
    run(tmp_path / "run.pt", **follow(0.9))
    with pytest.raises(ValueError, match=r"after_step.momentum 0.9 there, 0.99 here"):
        run(tmp_path / "run.pt", **follow(0.99))
    with pytest.raises(ValueError, match=r"on_epoch given there, not given here; after_step code \w+ there, nothing"):
        run(tmp_path / "run.pt")


def test_what_changes_and_cannot_be_kept_is_told_once(tmp_path, capsys):
    torch.manual_seed(0)
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)

    def train(modules):
        fit(
            lambda x: (student(x) - teacher(x)).square().mean(),
            modules,
            X,
            epochs=3,
            batch_size=8,
            progress=False,
            checkpoint=tmp_path / f"{len(modules)}.pt",
            after_step=lambda step: update_ema(student, teacher, 0.9),
        )
        return capsys.readouterr().out

    assert train([student, teacher.requires_grad_(False)]) == ""
    told = train([student])
    assert told.startswith("training: loss.teacher changed during the epoch and is not in the checkpoint")
    assert told.count("\n") == 1
