"""TwoNN against scikit-dimension and the bare matrix product of all points with all.

python benchmarks/two_nn.py
"""

import torch
from neighbours import D, N, product
from rows import compare, one_thread, peer, show

from sslcourse.evaluate import two_nn


def rows():
    one_thread()
    x = torch.randn(N, D, generator=torch.Generator().manual_seed(0))
    skdim, given = peer("skdim"), x.numpy()
    peers = {
        "scikit-dimension": skdim and (lambda: skdim.id.TwoNN().fit(given)),
        "bare product": lambda: product(x),
    }
    yield from compare(f"TwoNN, {N} x {D}", lambda: two_nn(x), peers, rounds=1)


if __name__ == "__main__":
    show(rows())
