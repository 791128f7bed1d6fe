"""TwoNN against the bare matrix product that exact neighbours cannot do without, and against scikit-dimension.

    python benchmarks/two_nn.py

10,000 x 512. All alternate within one run, so that a slower minute of the machine hits all; the ratio of each round is
taken. Where scikit-dimension is not installed it is left out.
"""

import statistics

import torch
from neighbours import D, N, product, seconds

from sslcourse.evaluate import two_nn

ROUNDS = 5


def main() -> None:
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    work = {
        "product": lambda: product(x),
        "two_nn, float32": lambda: two_nn(x),
        "two_nn, float64": lambda: two_nn(x.double()),
    }
    try:
        import skdim

        for kind, given in (("float32", x.numpy()), ("float64", x.double().numpy())):
            work[f"scikit-dimension, {kind}"] = lambda given=given: skdim.id.TwoNN().fit(given)
    except ImportError:
        print('scikit-dimension is not installed (pip install -e ".[bench]"): compared with the product alone')
    for one in work.values():  # the first calls warm up
        one()
    rounds = [{name: seconds(one) for name, one in work.items()} for _ in range(ROUNDS)]
    for name in work:
        ratio = statistics.median(r[name] / r["two_nn, float32"] for r in rounds)
        print(f"{name}: {statistics.median(r[name] for r in rounds):.2f} s, {ratio:.2f} times two_nn in float32")
    print(f"on {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
