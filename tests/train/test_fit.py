"""`fit`: what it minimises and in which order, how it stops, what it refuses."""

import copy
import math
import re
import signal
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslcourse.train import NotFinite, fit

X = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
Y = X.sum(dim=1, keepdim=True)


def network() -> nn.Module:
    # No bias before batch norm: its gradient is rounding alone, which Adam would blow up to a full step.
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def squared(model):
    return lambda x, y: F.mse_loss(model(x), y)


def quiet(loss_fn, modules, data=(X, Y), **settings):
    return fit(loss_fn, modules, data, **{"epochs": 2, "batch_size": 8, "progress": False, **settings})


def state(*modules) -> list[torch.Tensor]:
    return [tensor.clone() for module in modules for tensor in module.state_dict().values()]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# The loop itself


def slow_fit(model, epochs, batch_size, lr, warmup, seed, clip):
    """The same training written out, with torch's own schedulers."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    steps = epochs * (len(X) // batch_size)
    rising = round(warmup * steps)
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / (rising + 1), 1.0, rising),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - rising),
        ],
        [rising],
    )
    means = []
    for _ in range(epochs):
        losses = []
        order = torch.randperm(len(X), generator=generator)
        for start in range(0, len(X) - batch_size + 1, batch_size):
            index = order[start : start + batch_size]
            loss = F.mse_loss(model(X[index]), Y[index])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
        means.append(sum(losses) / len(losses))
    return means


def test_fit_is_the_loop_written_out():
    ours, slow = network(), network()
    settings = {"epochs": 4, "batch_size": 8, "lr": 0.01, "warmup": 0.25, "clip": 0.5}
    history = quiet(squared(ours), ours, weight_decay=0.01, generator=torch.Generator().manual_seed(3), **settings)
    means = slow_fit(slow, seed=3, **settings)
    assert history.loss == pytest.approx(means, rel=1e-4)
    for a, b in zip(state(ours), state(slow), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert history.steps == 4 * 6 and history.stopped is None and history.seconds > 0


def test_each_epoch_is_one_shuffled_pass_and_drops_a_smaller_last_batch():
    model, seen = nn.Linear(1, 1), []

    def loss_fn(x):
        seen.append(x.flatten().int().tolist())
        return model(x).square().mean()

    quiet(loss_fn, model, torch.arange(10.0)[:, None], epochs=2, batch_size=4)
    assert [len(batch) for batch in seen] == [4, 4, 4, 4]
    first, second = seen[0] + seen[1], seen[2] + seen[3]
    assert len(set(first)) == len(set(second)) == 8 and first != second != sorted(second)


def test_a_set_smaller_than_one_batch_is_one_batch():
    model, seen = nn.Linear(1, 1), []

    def loss_fn(x):
        seen.append(sorted(x.flatten().tolist()))
        return model(x).square().mean()

    assert quiet(loss_fn, model, torch.arange(3.0)[:, None], epochs=2, batch_size=4).steps == 2
    assert seen == [[0, 1, 2], [0, 1, 2]]


def test_batches_keep_their_type_and_rows_stay_together():
    model = nn.Linear(1, 1)

    def loss_fn(images, labels):
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        assert torch.equal(images[:, 0].long(), labels)
        return model(images.float()).square().mean()

    quiet(loss_fn, model, (torch.arange(20, dtype=torch.uint8)[:, None], torch.arange(20)))


def test_the_order_comes_from_the_generator_or_the_global_seed():
    def losses(seed=None, global_seed=0):
        model = network()
        torch.manual_seed(global_seed)
        return quiet(squared(model), model, generator=seed and torch.Generator().manual_seed(seed)).loss

    assert losses(seed=1) == losses(seed=1, global_seed=9)
    assert losses(seed=1) != losses(seed=2)
    assert losses(global_seed=3) == losses(global_seed=3)
    assert losses(global_seed=3) != losses(global_seed=4)


def test_logged_numbers_are_means_over_an_epoch():
    model, logged = network(), []

    def loss_fn(x, y):
        loss = F.mse_loss(model(x), y)
        logged.append(loss.item())
        return loss, {"twice": 2 * loss, "one": 1}

    history = quiet(loss_fn, model, on_epoch=lambda epoch: {"epoch": epoch})
    assert history.loss == pytest.approx([sum(logged[:6]) / 6, sum(logged[6:]) / 6])
    assert history.metrics["twice"] == pytest.approx([2 * loss for loss in history.loss])
    assert history.metrics["one"] == [1, 1] and history.metrics["epoch"] == [0, 1]


def test_after_step_follows_the_update():
    model, seen = network(), []
    before = state(model)

    def after_step(step):
        seen.append(step)
        assert not equal(before, state(model))

    quiet(squared(model), model, after_step=after_step)
    assert seen == list(range(12))


def test_modes_are_train_in_every_epoch_and_as_before_afterwards():
    model, frozen, modes = network(), nn.Dropout(), []
    model[1].eval()

    def loss_fn(x, y):
        modes.append((model.training, model[1].training, frozen.training))
        return F.mse_loss(model(x), y)

    frozen.eval()
    quiet(loss_fn, [model, frozen], on_epoch=lambda epoch: model.eval() and None)
    assert set(modes) == {(True, True, True)}
    assert (model.training, model[1].training, frozen.training) == (True, False, False)


def test_frozen_parameters_stay_and_shared_ones_count_once():
    body, head = nn.Linear(4, 4), nn.Linear(4, 1)
    body.requires_grad_(False)
    before = state(body)
    quiet(lambda x, y: F.mse_loss(head(body(x)), y), [body, head, head, nn.Sequential(body, head)])
    assert equal(before, state(body)) and head.weight.grad is None


def test_an_optimizer_of_ones_own_keeps_its_peak_for_the_next_training():
    model = network()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters()}], lr=0.2
    )
    rates, kept = [], state(model[1])[:2]
    history = quiet(
        squared(model),
        model,
        optimizer=optimizer,
        warmup=0.0,
        after_step=lambda step: rates.append([group["lr"] for group in optimizer.param_groups]),
    )
    assert rates[0] == [0.1, 0.2] and rates[-1] == pytest.approx(
        [0.1 * 0.5 * (1 + math.cos(math.pi * 11 / 12)), 2 * rates[-1][0]]
    )
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    assert equal(kept, state(model[1])[:2])  # batch norm's weights are not in the optimizer
    assert history.loss[1] < history.loss[0]


def test_clipping_bounds_the_gradient():
    model = nn.Linear(4, 1)
    norms = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    step = optimizer.step
    optimizer.step = lambda: (norms.append(nn.utils.get_total_norm([p.grad for p in model.parameters()])), step())
    quiet(lambda x, y: 1000 * F.mse_loss(model(x), y), model, optimizer=optimizer, clip=0.5)
    assert max(norms) <= 0.5 + 1e-5 and len(norms) == 12


# Ways to stop


def test_max_steps_cuts_within_an_epoch_and_still_evaluates():
    model, epochs = network(), []
    history = quiet(squared(model), model, max_steps=8, on_epoch=lambda epoch: epochs.append(epoch) or {"knn": 0.5})
    assert history.steps == 8 and epochs == [0, 1] and history.stopped is None
    assert len(history.loss) == 2 and history.metrics["knn"] == [0.5, 0.5]
    assert quiet(squared(model), model, max_steps=1000).steps == 12


def test_time_budget_stops_after_the_step_that_passes_it(capsys):
    model = network()

    def loss_fn(x, y):
        time.sleep(0.03)
        return F.mse_loss(model(x), y)

    history = quiet(loss_fn, model, epochs=100, time_budget=0.1, progress=True)
    assert history.stopped == "time budget" and 1 <= history.steps <= 4
    assert len(history.loss) == 1
    assert capsys.readouterr().out.rstrip().endswith("; stopped early: time budget")


def test_a_budget_passed_by_the_very_last_step_stops_nothing():
    model = network()
    assert quiet(squared(model), model, epochs=1, batch_size=50, time_budget=1e-9).stopped is None


def measured(model):
    """on_epoch that says how often it was asked."""
    return lambda epoch: {"knn": float(model[0].weight.detach().sum())}


@pytest.mark.parametrize("at", [0, 1, 6, 7])
def test_an_interrupt_keeps_the_model_and_the_history(at, capsys):
    model, kept = network(), []
    calls = iter(range(100))

    def loss_fn(x, y):
        if next(calls) == at:
            kept.extend(state(model[0], model[3]))
            raise KeyboardInterrupt
        loss = F.mse_loss(model(x), y)
        return loss, {"twice": 2 * loss}

    history = quiet(loss_fn, model, progress=True, on_epoch=measured(model))
    assert history.stopped == "interrupted" and history.steps == at
    assert len(history.loss) == max(1, math.ceil(at / 6))  # before the first step: of the untrained model
    assert history.metrics["twice"] == pytest.approx([2 * loss for loss in history.loss])
    assert len(history.metrics["knn"]) == len(history.loss) and all(map(math.isfinite, history.loss))
    assert history.metrics["knn"][-1] == float(kept[0].sum())
    assert equal(kept, state(model[0], model[3]))
    assert "stopped early: interrupted" in capsys.readouterr().out


@pytest.mark.parametrize("own_step", [False, True])
@pytest.mark.parametrize("at", [0, 3, 6, 11])
def test_a_signal_waits_for_the_end_of_the_step(own_step, at):
    """The interrupt of a kernel: the step is finished, the epoch closed and measured; then the handler is Python's."""
    model, done = network(), []

    def step(update, x, y):
        if len(done) == at:
            signal.raise_signal(signal.SIGINT)
        update(F.mse_loss(model(x), y))
        done.append(1)  # a queue, a moving average: it is never left out

    def loss_fn(x, y):
        if len(done) == at:
            signal.raise_signal(signal.SIGINT)
        done.append(1)
        return F.mse_loss(model(x), y)

    function = step if own_step else loss_fn
    history = quiet(function, model, own_step=own_step, on_epoch=measured(model))
    assert history.steps == len(done) == at + 1
    assert history.stopped == (None if at == 11 else "interrupted")  # the last step was the last anyway
    assert len(history.loss) == len(history.metrics["knn"]) == at // 6 + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_signal_ends_a_step_that_takes_too_long():
    model = network()
    before = state(model)

    def loss_fn(x, y):
        if not called:
            called.append(1)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return F.mse_loss(model(x), y)

    called = []
    history = quiet(loss_fn, model, on_epoch=measured(model))
    assert history.steps == 0 and history.stopped == "interrupted" and equal(before, state(model))
    assert len(history.loss) == len(history.metrics["knn"]) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("at", [0, 1])
def test_a_signal_while_evaluating_lets_the_evaluation_finish(at):
    model = network()

    def on_epoch(epoch):
        if epoch == at:
            signal.raise_signal(signal.SIGINT)
        return {"knn": epoch}

    history = quiet(squared(model), model, epochs=3, on_epoch=on_epoch)
    assert history.steps == 6 * (at + 1) and history.metrics["knn"] == [*range(at + 1)]
    assert history.stopped == "interrupted"


def test_a_training_inside_another_ends_with_it():
    outer, inner, steps = network(), network(), []

    def on_epoch(epoch):
        def loss_fn(x, y):
            if not steps:
                signal.raise_signal(signal.SIGINT)
            steps.append(1)
            return F.mse_loss(inner(x), y)

        return {"probe": quiet(loss_fn, inner, epochs=50).steps}

    history = quiet(squared(outer), outer, epochs=3, on_epoch=on_epoch)
    assert len(steps) == 1 and history.metrics["probe"] == [1]
    assert history.stopped == "interrupted" and history.steps == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_while_evaluating_counts_no_epoch_twice():
    model, asked = network(), []

    def on_epoch(epoch):
        asked.append(epoch)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"knn": epoch}

    history = quiet(squared(model), model, epochs=3, on_epoch=on_epoch)
    assert history.steps == 12 and len(history.loss) == 2 and model.training
    assert asked == [0, 1, 1] and history.metrics["knn"] == [0, 1]


def test_an_evaluation_that_is_interrupted_twice_leaves_a_gap():
    model = network()

    def on_epoch(epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        return {"knn": epoch}

    history = quiet(squared(model), model, epochs=3, on_epoch=on_epoch)
    assert len(history.loss) == 2 and history.metrics["knn"][0] == 0 and math.isnan(history.metrics["knn"][1])


def test_an_interrupt_that_somebody_else_handles_is_theirs():
    model, heard = network(), []
    handler = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        history = quiet(squared(model), model, on_epoch=lambda epoch: signal.raise_signal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, handler)
    assert heard == [1, 1] and history.stopped is None and history.steps == 12


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_loss_that_is_not_finite_stops_before_the_update(value, clip):
    model, kept = network(), []
    calls = iter(range(100))

    def loss_fn(x, y):
        if next(calls) == 7:
            kept.extend(state(model))
            x = x * 1e30  # so that batch norm's statistics are spoiled too
            return F.mse_loss(model(x), y) * value
        return F.mse_loss(model(x), y)

    with pytest.raises(NotFinite, match=re.escape(f"The loss is {value}") + " at step 7, epoch 1; .*smaller lr"):
        quiet(loss_fn, model, clip=clip)
    assert equal(kept, state(model)) and model.training


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_gradient_that_is_not_finite_stops_before_the_update(clip):
    model = nn.Linear(4, 2)
    nn.init.zeros_(model.weight), nn.init.zeros_(model.bias)
    with pytest.raises(NotFinite, match="The gradient is not finite at step 0, epoch 0"):
        quiet(lambda x, y: model(x).square().sum(dim=1).sqrt().mean(), model, clip=clip)  # the root of 0
    assert not model.weight.any()


def test_an_error_in_the_loss_leaves_modes_and_rates_as_they_were():
    model = network().eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)

    def loss_fn(x, y):
        raise RuntimeError("of the student")

    with pytest.raises(RuntimeError, match="of the student"):
        quiet(loss_fn, model, optimizer=optimizer)
    assert not any(part.training for part in model.modules())
    assert optimizer.param_groups[0]["lr"] == 0.5


# What it refuses

MODEL = nn.Linear(4, 1)
LOSS = squared(MODEL)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"epochs": 0}, ValueError, "epochs is 0; it should be a whole number"),
        ({"epochs": 1.5}, ValueError, "epochs is 1.5"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"max_steps": 0}, ValueError, "max_steps is 0"),
        ({"lr": 0.0}, ValueError, "lr is 0.0; it should be greater than 0"),
        ({"clip": -1.0}, ValueError, "clip is -1.0"),
        ({"time_budget": 0}, ValueError, "time_budget is 0"),
        ({"warmup": 1.5}, ValueError, "warmup is 1.5; it is a share"),
        ({"modules": []}, ValueError, "nothing to train"),
        ({"modules": nn.ReLU()}, ValueError, "nothing to train"),
        ({"modules": copy.deepcopy(MODEL).requires_grad_(False)}, ValueError, "nothing to train"),
        ({"modules": copy.deepcopy(MODEL)}, ValueError, "depends on no parameter that is trained"),
        ({"modules": [MODEL, "head"]}, TypeError, "holds str"),
        ({"data": (X, Y[:-1])}, ValueError, "50 and 49 rows"),
        ({"data": (X[:0], Y[:0])}, ValueError, "data is empty"),
        ({"data": ()}, ValueError, "data is empty"),
        ({"data": (X, Y.numpy())}, TypeError, "holds ndarray"),
        ({"optimizer": torch.optim.SGD}, TypeError, "optimizer should be a torch optimizer or None, not type"),
        ({"loss_fn": lambda x, y: 1.0}, TypeError, "loss_fn returned float"),
        ({"loss_fn": lambda x, y: None}, TypeError, "loss_fn returned NoneType"),
        ({"loss_fn": lambda x, y: (MODEL(x) - y).square()}, ValueError, r"shape \(8, 1\); expected a scalar"),
        ({"loss_fn": lambda x, y: LOSS(x, y).detach()}, ValueError, "without a graph"),
        ({"loss_fn": lambda x, y: (LOSS(x, y), 3)}, TypeError, "loss_fn should return a dict .* not int"),
        ({"on_epoch": lambda epoch: 0.5}, TypeError, "on_epoch should return a dict .* not float"),
    ],
)
def test_bad_arguments_get_a_sentence(change, error, sentence):
    arguments = {"loss_fn": LOSS, "modules": MODEL, "data": (X, Y), **change}
    with pytest.raises(error, match=sentence):
        quiet(**arguments)


# A step of one's own


def test_a_step_of_ones_own_is_the_same_training():
    plain, own = network(), network()
    settings = {"clip": 0.5, "warmup": 0.25}
    order = []

    def step(update, x, y):
        loss = F.mse_loss(own(x), y)
        before = own[0].weight.clone()
        update(loss)
        order.append(torch.equal(before, own[0].weight))
        return loss.detach(), {"twice": 2 * loss.item()}

    wanted = quiet(squared(plain), plain, generator=torch.Generator().manual_seed(3), **settings)
    history = quiet(step, own, generator=torch.Generator().manual_seed(3), own_step=True, **settings)
    assert equal(state(plain), state(own)) and history.loss == wanted.loss
    assert history.metrics["twice"] == pytest.approx([2 * value for value in wanted.loss])
    assert order == [False] * history.steps  # the network has moved when update returns


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (lambda update, loss: None, "never called update"),
        (lambda update, loss: (update(loss), update(loss)), "a second time"),
        (lambda update, loss: update(loss.detach()), "update was given a tensor without a graph"),
        (lambda update, loss: update(loss[None]), r"update was given shape \(1,\)"),
    ],
)
def test_what_a_step_of_ones_own_must_do(calls, words):
    model = network()
    with pytest.raises(ValueError, match=words):
        quiet(lambda update, x, y: calls(update, F.mse_loss(model(x), y)), model, own_step=True)


def test_a_loss_of_nan_in_a_step_of_ones_own_changes_nothing():
    model = network()
    before, after = state(model), []

    def step(update, x, y):
        update(F.mse_loss(model(x), y) * math.nan)
        after.append("went on")

    with pytest.raises(NotFinite, match="step 0, epoch 0"):
        quiet(step, model, own_step=True)
    assert equal(before, state(model)) and not after
