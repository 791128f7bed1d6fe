"""Exact neighbours, k = 10, against faiss-cpu's flat index and the bare matrix product that two sets cannot do without.

    python benchmarks/neighbours.py

Points among themselves need half the products; of two sets all of them, which faiss looks at while they lie in the
processor's registers. It multiplies with OpenBLAS, ours and the bare product with what evaluate/products.py chooses.
"""

import torch
from rows import bounded, compare, one_thread, peer, show

from sslcourse.evaluate import nearest_neighbours
from sslcourse.evaluate.products import Product

N, MANY, D, CHUNK, WIDE = 10_000, 50_000, 512, 1024, 4096


def product(x: torch.Tensor, maxima: bool = False) -> None:
    """All similarities, tile by tile into the same memory: nothing less will do for exact neighbours of two sets.

    maxima: and the largest of each sixteen, the quickest look at all of them outside of the product itself.
    """
    multiply = Product(CHUNK * WIDE, x)
    for first in range(0, N, WIDE):
        for start in range(0, N, CHUNK):
            out = multiply(x[start : start + CHUNK], x[first : first + WIDE])
            if maxima:
                out.unflatten(1, (16, -1)).amax(dim=1)


def index(faiss, bank: torch.Tensor, queries: torch.Tensor, metric: str, k: int) -> None:
    queries, bank = queries.numpy().copy(), bank.numpy().copy()
    if metric == "cosine":
        faiss.normalize_L2(queries), faiss.normalize_L2(bank)
    flat = (faiss.IndexFlatIP if metric == "cosine" else faiss.IndexFlatL2)(D)
    flat.add(bank)
    flat.search(queries, k)


def rows():
    one_thread()
    if faiss := peer("faiss"):
        faiss.omp_set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, N, D, generator=generator)
    z = torch.randn(MANY, D, generator=generator)
    for metric in ("cosine", "euclidean"):
        for what, bank in (("among themselves", None), ("in another set", y)):
            there, k = (x, 11) if bank is None else (bank, 10)  # faiss finds the point itself, too
            peers = {
                "faiss-cpu": faiss and (lambda m=metric, b=there, k=k: index(faiss, b, x, m, k)),
                "bare product": lambda: product(x),
                **({} if bank is None else {"product and maxima": lambda: product(x, maxima=True)}),
            }
            ours = lambda m=metric, b=bank: nearest_neighbours(x, b, metric=m)  # noqa: E731
            goal = {"faiss-cpu": 1}
            found = compare(f"{metric}, {N} x {D} {what}", ours, peers, goal, rounds=2)
            if bank is not None:
                found = bounded(found, "product and maxima", "the product and a look at it")
            yield from found
        ours = lambda m=metric: nearest_neighbours(x, z, metric=m)  # noqa: E731
        peers = {"faiss-cpu": faiss and (lambda m=metric: index(faiss, z, x, m, 10))}
        yield from compare(f"{metric}, {N} x {D} in {MANY}", ours, peers, {"faiss-cpu": 1}, rounds=1)


if __name__ == "__main__":
    show(rows())
