"""Tiles of a product of two sets of rows, by the library that is fastest at it on this processor."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 2**18  # numbers that oneDNN makes at a time: 1 MB, which the system does not take back each time
WORTH = 2**24  # multiplications in a tile from which oneDNN is worth its start


class Product:
    """rows @ columns.T, (n, m), in the same memory of `size` numbers each time: new pages cost as much as a search.

    On a processor numpy's OpenBLAS multiplies: torch's wheels have MKL, which takes a quarter longer where it does not
    know the processor (AMD). But there OpenBLAS makes nothing of AVX-512, and oneDNN takes about half as long.
    """

    def __init__(self, size: int, like: Tensor) -> None:
        self.memory = like.new_empty(size)
        self.onednn = size * like.shape[1] >= WORTH and by_onednn(like)

    def __call__(self, rows: Tensor, columns: Tensor) -> Tensor:
        out = self.memory[: len(rows) * len(columns)].view(len(rows), len(columns))
        if out.device.type != "cpu":
            return torch.mm(rows, columns.T, out=out)
        if not self.onednn:
            np.dot(rows.numpy(), columns.numpy().T, out=out.numpy())
            return out
        rows, width = rows.to_mkldnn(), max(64, BLOCK // len(rows))
        for block, some in zip(out.split(width, dim=1), columns.split(width), strict=True):
            block.copy_(F.linear(rows, some).to_dense())
        return out


def by_onednn(like: Tensor) -> bool:
    """Whether oneDNN should multiply such numbers: where it is the faster one, and as long as it rounds nothing.

    It can be told to, by ONEDNN_DEFAULT_FPMATH_MODE, and then on some processors takes a few digits of each factor, for
    which no bound of a search allows. Numbers that all end in a 1 show it, times the unit matrix.
    """
    if like.device.type != "cpu" or like.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return False
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    x = 1 + torch.arange(1, 2**17, 2, device="cpu").view(256, 256) * 2.0**-23
    return torch.equal(F.linear(x.to_mkldnn(), torch.eye(256, device="cpu")).to_dense(), x)
