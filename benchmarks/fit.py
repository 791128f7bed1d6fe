"""`fit` against a bare loop over the same steps: at most 5 % over.

    python benchmarks/fit.py

A small convolutional network, where the fixed cost of a step weighs most. The two alternate within one run, so that a
slower minute of the machine hits both; the ratio of each round is taken. Both end with the same weights, bit by bit.
"""

import copy
import statistics
import time

import torch
import torch.nn.functional as F

from sslcourse.models import backbone
from sslcourse.train import fit
from sslcourse.train.schedule import learning_rate_share

ROUNDS, N, BATCH, EPOCHS = 9, 2048, 128, 1


def bare(loss_fn, model, data, seed: int) -> None:
    """What one would write in a notebook: shuffle, schedule, forward, backward, update, loss added up."""
    steps, total = N // BATCH * EPOCHS, 0.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for epoch in range(EPOCHS):
        for i, index in enumerate(torch.randperm(N, generator=generator).split(BATCH)):
            step = epoch * (N // BATCH) + i
            optimizer.param_groups[0]["lr"] = 1e-3 * learning_rate_share(step, steps, round(0.1 * steps))
            loss = loss_fn(*(tensor[index] for tensor in data))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()


def main() -> None:
    torch.manual_seed(0)
    data = torch.randint(0, 256, (N, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (N,))
    start = torch.nn.Sequential(body := backbone("conv4"), torch.nn.Linear(body.num_features, 10))

    pairs = []
    for seed in range(ROUNDS + 1):
        models = copy.deepcopy(start), copy.deepcopy(start)
        seconds = []
        for ours, model in enumerate(models):
            begin = time.perf_counter()

            def loss_fn(x, y, model=model):
                return F.cross_entropy(model(x), y)

            if ours:
                generator = torch.Generator().manual_seed(seed)
                fit(loss_fn, model, data, epochs=EPOCHS, batch_size=BATCH, generator=generator, progress=False)
            else:
                bare(loss_fn, model, data, seed)
            seconds.append(time.perf_counter() - begin)
        for a, b in zip(*(model.parameters() for model in models), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
        pairs.append(seconds)

    ratios = sorted(ours / plain for plain, ours in pairs[1:])  # the first round warms up
    steps = N // BATCH * EPOCHS
    print(
        f"{steps} steps: bare {1000 * statistics.median(p[0] for p in pairs[1:]) / steps:.2f} ms a step, fit "
        f"{1000 * statistics.median(p[1] for p in pairs[1:]) / steps:.2f} ms, ratio {statistics.median(ratios):.3f} "
        f"({ratios[0]:.3f} to {ratios[-1]:.3f}) on {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
