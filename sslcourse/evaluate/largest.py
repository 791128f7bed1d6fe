"""The k largest products of each row with many others: exact, tile by tile, whatever the number of rows.

Two things make it little more than the product itself. Of points among themselves only half the products are computed,
for the one of i with j is that of j with i. And of a tile only those groups of GROUP products are looked into whose
maximum is above the k-th best so far, or at least that of the k-th best group: maxima cost next to nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sslcourse.evaluate.products import Product

WIDE = 4096  # columns of a tile: with 1,024 rows 16 MB, which large caches hold
GROUP = 16


class Best:
    """The k largest scores of each of n rows so far, falling, and which candidates had them: (n, k) each."""

    def __init__(self, n: int, k: int, like: Tensor) -> None:
        self.k = k
        self.scores = like.new_full((n, k), float("-inf"))
        self.where = torch.zeros(n, k, dtype=torch.int64, device=like.device)

    def take(self, rows: slice, scores: Tensor, first: int) -> None:
        """Scores (rows, m), or the transpose of what lies in memory, of the candidates first, first + 1, ..."""
        grouped = scores.shape[1] // GROUP * GROUP
        if grouped < 2 * GROUP * self.k:  # too few for groups to be of use
            grouped = 0
        parts = [(self.scores[rows], self.where[rows])]
        if grouped:
            values, where = top(scores[:, :grouped].unflatten(1, (GROUP, -1)), self.k, self.scores[rows, -1])
            parts.append((values, where.add_(first)))
        if rest := scores.shape[1] - grouped:
            values, where = scores[:, grouped:].topk(min(self.k, rest), dim=1)
            parts.append((values, where.add_(first + grouped)))
        values, where = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        self.scores[rows], order = values.topk(self.k, dim=1)
        self.where[rows] = where.gather(1, order)


def largest(
    left: Callable[[slice], Tensor],
    right: Callable[[slice], Tensor],
    n: int,
    m: int,
    k: int,
    chunk: int,
    own: Tensor | None = None,
) -> Best:
    """The k largest of left(all) @ right(all).T in each of its n rows, of m columns.

    left, right: rows (end - start, D) of a slice, made anew each time, so that no copy of all need be kept. own (n,):
    the column that each row leaves out.
    """
    best = product = None
    for first in range(0, m, WIDE):
        columns = right(slice(first, min(first + WIDE, m)))  # (w, D)
        if best is None:
            best, product = Best(n, k, columns), Product(min(chunk, n) * len(columns), columns)
        for start in range(0, n, chunk):
            rows = slice(start, min(start + chunk, n))
            scores = product(left(rows), columns)
            if own is not None:
                place = own[rows] - first
                inside = ((place >= 0) & (place < len(columns))).nonzero().squeeze(1)
                scores[inside, place[inside]] = float("-inf")
            best.take(rows, scores, first)
    return best


def largest_among(
    left: Callable[[slice], Tensor], right: Callable[[slice], Tensor], n: int, k: int, chunk: int, alone: bool
) -> Best:
    """`largest` where the product is symmetric: row i against column j as row j against column i. alone: without i."""
    best = product = None
    wide = chunk * max(1, WIDE // chunk)  # so that a block of rows lies inside a tile or behind it
    for first in range(0, n, wide):
        end = min(first + wide, n)
        columns = right(slice(first, end))  # (w, D)
        if best is None:
            best, product = Best(n, k, columns), Product(min(chunk, n) * len(columns), columns)
        for start in range(first, n, chunk):
            rows = slice(start, min(start + chunk, n))
            begin, others = (start, rows.stop) if start < end else (first, first)
            scores = product(left(rows), columns[begin - first :])  # what lies before was done the other way
            if alone and start < end:
                scores.fill_diagonal_(float("-inf"))
            best.take(rows, scores, begin)
            if others < end:
                best.take(slice(others, end), scores[:, others - begin :].T, start)
    return best


def top(boxes: Tensor, k: int, bound: Tensor) -> tuple[Tensor, Tensor]:
    """What of each row is among its k largest and above its bound (n,), perhaps more; values and columns, (n, some).

    boxes: scores (n, GROUP, groups), group g of columns g, g + groups, ... Filled up with -inf where rows have fewer.
    """
    maxima = _maxima(boxes)  # (n, groups)
    many = 2 * k * len(maxima)
    hit = maxima > bound[:, None]
    if int(hit.count_nonzero()) > many:  # the first tile, or one of better ones: the k-th largest maximum bounds these
        chosen = maxima.topk(k, dim=1)
        bound = bound.maximum(chosen.values[:, -1].nextafter(bound.new_tensor(float("-inf"))))
        hit = maxima > bound[:, None]
        if int(hit.count_nonzero()) > many:  # of ties
            return _of_groups(boxes, chosen.indices)
    row, group = hit.nonzero(as_tuple=True)
    values = boxes[row, :, group]  # (hits, GROUP)
    which, member = (values > bound[row, None]).nonzero(as_tuple=True)
    row, column, value = row[which], group[which] + maxima.shape[1] * member, values[which, member]

    # Those of each row side by side.
    count = row.bincount(minlength=len(maxima))
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    values = boxes.new_full((len(maxima), int(count.max())), float("-inf"))
    columns = torch.zeros(values.shape, dtype=torch.int64, device=row.device)
    values[row, place], columns[row, place] = value, column
    return values, columns


def _maxima(boxes: Tensor) -> Tensor:
    """boxes.amax(dim=1), where the transpose of a tile is given too: by comparing whole rows of memory."""
    if boxes.stride(2) == 1:
        return boxes.amax(dim=1)
    return boxes.permute(1, 2, 0).amax(dim=0).T.contiguous()


def _of_groups(boxes: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """All scores of some groups (n, k) of each row, and their columns: (n, GROUP k)."""
    groups = boxes.shape[2]
    values = boxes.gather(2, chosen[:, None].expand(-1, GROUP, -1))
    columns = chosen[:, None] + groups * torch.arange(GROUP, device=chosen.device)[:, None]
    return values.flatten(1), columns.flatten(1)


def best(
    left: Callable[[Tensor], Tensor],
    right: Callable[[Tensor], Tensor],
    sides: tuple[Tensor, Tensor],
    rows: Tensor,
    k: int,
    alone: bool,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """The k largest products (n, k) of rows of the queries with the bank and where they are; sides: (queries, bank).

    left, right: what is multiplied, made of rows of the queries and of the bank, some at a time.
    """
    queries, bank = sides
    if bank is queries and len(rows) == len(bank):
        found = largest_among(lambda s: left(bank[s]), lambda s: right(bank[s]), len(bank), k, chunk, alone)
    else:
        own = rows if alone else None
        some = (lambda s: queries[s]) if len(rows) == len(queries) else (lambda s: queries[rows[s]])
        found = largest(lambda s: left(some(s)), lambda s: right(bank[s]), len(rows), len(bank), k, chunk, own)
    return found.scores, found.where
