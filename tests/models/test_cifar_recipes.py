"""The recipes of checkpoints on CIFAR-10: each makes a step, resumes, and gives the network that its row builds."""

import functools

import pytest
import torch

from sslcourse import data
from sslcourse.cli import checkpoints
from sslcourse.cli.recipes import cifar
from sslcourse.models import pretrained

ROWS = {name: row for name, row in pretrained.SHIPPED.items() if row.toy == "cifar10"}


@pytest.fixture
def pictures(monkeypatch):
    """Three hundred of them in the place of CIFAR-10."""
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (300, 3, 32, 32), dtype=torch.uint8, generator=drawn)
    few = data.ImageSet(images, torch.arange(300) % 10, tuple("abcdefghij"), "cifar10", "train")
    monkeypatch.setattr(cifar.data, "load_images", lambda name, split, n=None, seed=0: few)
    return few


@pytest.mark.parametrize("name", ROWS)
def test_a_recipe_makes_its_network(name, pictures, tmp_path, monkeypatch, capfd):
    row, steps = ROWS[name], {}
    fit = cifar.train.fit

    def one_step(*args, **kwargs):
        steps.update(epochs=kwargs["epochs"], history=fit(*args, **kwargs | {"max_steps": 1, "progress": False}))
        return steps["history"]

    monkeypatch.setattr(cifar.train, "fit", one_step)
    monkeypatch.setattr(cifar, "QUEUE", cifar.BATCH)  # filled by one batch, as the true one by those of an epoch
    network = checkpoints.function(row.recipe)(row.seed, tmp_path / "state.pt")
    empty = row.build()
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in empty.state_dict().items()
    }
    assert all(value.is_contiguous() for value in network.state_dict().values())
    assert steps["history"].steps == 1 and f"{steps['epochs']} epochs" in row.trained

    again = checkpoints.function(row.recipe)(row.seed, tmp_path / "state.pt")  # nothing is left to do
    for key, value in network.state_dict().items():
        assert value.equal(again.state_dict()[key]), key
    assert "changed during the epoch" not in "".join(capfd.readouterr())  # all that a training keeps is in its file


def test_an_interrupted_training_is_no_network(pictures, tmp_path, monkeypatch):
    def interrupt(step):
        raise KeyboardInterrupt

    monkeypatch.setattr(cifar.train, "fit", functools.partial(cifar.train.fit, after_step=interrupt, progress=False))
    with pytest.raises(KeyboardInterrupt):
        cifar.supervised_cifar10_conv4(0, tmp_path / "state.pt")


def test_every_epoch_begins_at_the_first_place_of_the_queue():
    """The queue's keys are saved with the training, its place is not; so it has to be 0 whenever an epoch ends."""
    assert 45_000 // cifar.BATCH * cifar.BATCH % cifar.QUEUE == 0


@pytest.mark.parametrize("name", ["simclr_cifar10_wide", "mae_cifar10_whole", "autoencoder_cifar10"])
def test_what_is_measured_lies_between_0_and_1(name, pictures):
    for measure in (cifar.probe_of_cifar10, cifar.probe_of_part):
        found = measure(ROWS[name].build().eval())
        assert found.keys() == {"linear probe", "kNN"} and all(0 <= value <= 1 for value in found.values())
