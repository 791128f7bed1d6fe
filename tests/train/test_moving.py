"""Random generators, iterators and attributes of optimizers: in a fresh process they are what they were, or it is told.

One process forks all trainings (fresh.py): whole, cut off after an epoch, resumed, called once more, twice in one
process, and changed.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh import CASES
from torch import nn

from sslcourse.train import fingerprint, fit, moving

COMPARED_ONLY = {"iterator", "generator", "generator's code", "generator's variable"}
TOLD = {"NumPy's, moved on", "torch's, moved on", "order, moved on", "Python's own", "NumPy's own, imported inside"}
NOT_KEPT = {*COMPARED_ONLY, "lines of a file", "counter"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fresh.py")), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES)
def test_unchanged_in_a_fresh_process_it_goes_on(results, case):
    found = results[case]
    for name, words in (("resumed", "resumed from epoch 1 of 3 ("), ("finished", "finished already, nothing")):
        assert found[name][0] != "refused", found[name]
        line = found[name][1].splitlines()[0]
        assert words in line and line.count(";") == (case == "lines of a file"), line
    if case not in NOT_KEPT:
        assert found["resumed"][0] == found["finished"][0] == found["whole"][0]
    assert ("not in the checkpoint" in found["resumed"][1]) == (case in COMPARED_ONLY | {"counter"})


@pytest.mark.parametrize("case", CASES)
def test_in_the_same_process_a_second_call_finds_what_the_first_one_left(results, case):
    found = results[case]["again"]
    assert found[0] == results[case]["finished"][0] and found[1].count("nothing was trained") == 2


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("nothing", "counter")])
def test_a_changed_one_is_refused_or_told(results, case):
    outcome, said = results[case]["changed"]
    if case in TOLD:
        assert "; the random numbers of " in said and said.endswith("began elsewhere.\n")
    elif case == "lines of a file":
        assert "loss.r cannot be compared with what it was (reader)" in said
    else:
        assert outcome == "refused" and "of a training with other settings" in said


GENERATORS = {
    "torch": lambda: torch.Generator().manual_seed(3),
    "Python": lambda: random.Random(3),
    "RandomState": lambda: np.random.RandomState(3),
    **{
        kind.__name__: lambda kind=kind: np.random.Generator(kind(3))
        for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64, np.random.MT19937)
    },
}


def drawn(generator):
    if isinstance(generator, torch.Generator):
        return torch.rand(5, generator=generator).tolist()
    if isinstance(generator, random.Random):
        return [generator.gauss(0, 1) for _ in range(5)]
    return generator.normal(size=5).tolist() + generator.bytes(3).hex().split()


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_random_generator_is_put_back(kind, tmp_path):
    generator = GENERATORS[kind]()
    drawn(generator)
    torch.save(moving.state_of(generator), tmp_path / "state.pt")
    wanted = drawn(generator)
    moving.put(generator, torch.load(tmp_path / "state.pt", weights_only=True))
    assert drawn(generator) == wanted


def test_two_trainings_that_share_a_generator_both_go_on(tmp_path):
    def both():
        torch.manual_seed(0)
        shared, losses = random.Random(5), []
        for name in "ab":
            net = nn.Linear(3, 1)
            loss = lambda x, net=net: net(x).square().mean() * shared.random()  # noqa: E731
            settings = {"epochs": 2, "checkpoint": tmp_path / f"{name}.pt", "progress": False}
            losses += fit(loss, net, torch.ones(8, 3), **settings).loss
        return losses

    assert both() == both()


def test_a_weight_that_is_computed_does_not_count_and_a_constant_does():
    net = torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    with pytest.warns(FutureWarning):
        old = torch.nn.utils.weight_norm(nn.Linear(3, 2))
    for network in (net, old):
        before = fingerprint.of_code({"loss": lambda x, network=network: x @ network.weight.T}, [network])
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(2)
        network(torch.ones(1, 3))
        assert fingerprint.of_code({"loss": lambda x, network=network: x @ network.weight.T}, [network]) == before


def test_a_trained_weight_in_the_loss_is_no_constant():
    def of(net):
        weight = net.weight
        return fingerprint.of_code({"loss": lambda x: net(x).sum() + weight.square().sum()}, [net])

    assert of(nn.Linear(3, 2)) == of(nn.Linear(3, 2))
