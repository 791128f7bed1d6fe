"""TwoNN against the bare matrix product that exact neighbours cannot do without, and against scikit-dimension.

    python benchmarks/two_nn.py

10,000 x 512. All alternate within one run, so that a slower minute of the machine hits all; the ratio of each round is
taken. scikit-dimension takes minutes, so there are few rounds; where it is not installed it is left out.
"""

import statistics

import torch
from neighbours import D, N, product, seconds

from sslcourse.evaluate import two_nn

ROUNDS = 3


def main() -> None:
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    rivals = {"product": lambda: product(x), "two_nn": lambda: two_nn(x)}
    try:
        import skdim

        rivals["scikit-dimension"] = lambda: skdim.id.TwoNN().fit(x.numpy())
    except ImportError:
        print('scikit-dimension is not installed (pip install -e ".[bench]"): compared with the product alone')
    two_nn(x), product(x)  # the first calls warm up
    rounds = [{name: seconds(work) for name, work in rivals.items()} for _ in range(ROUNDS)]
    for name in rivals:
        ratio = statistics.median(r["two_nn"] / r[name] for r in rounds)
        print(f"{name}: {statistics.median(r[name] for r in rounds):.2f} s; two_nn takes {ratio:.2f} times as long")
    print(f"on {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
