"""The k largest products of each row with many others: exact, tile by tile, whatever the number of rows.

Two things make it as fast as the product itself. Of points among themselves only half the products are computed, for
the one of i with j is that of j with i. And the best of a tile are looked for among the largest of groups of GROUP
products: the k largest lie in the k groups with the largest maxima, and a maximum of whole rows costs next to nothing.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

WIDE = 4096  # columns of a tile: with 1,024 rows 16 MB, which large caches hold
GROUP = 8


class Best:
    """The k largest scores of each of n rows so far, falling, and which candidates had them: (n, k) each."""

    def __init__(self, n: int, k: int, dtype: torch.dtype, device: torch.device) -> None:
        self.k = k
        self.scores = torch.full((n, k), float("-inf"), dtype=dtype, device=device)
        self.where = torch.zeros(n, k, dtype=torch.int64, device=device)

    def take(self, rows: slice, scores: Tensor, first: int) -> None:
        """Scores (rows, m) of the candidates first, first + 1, ..."""
        groups = _groups(scores.shape[1], self.k)
        maxima = scores[:, : groups * GROUP].unflatten(1, (GROUP, groups)).amax(dim=1) if groups else None
        self._merge(rows, scores, maxima, first)

    def take_columns(self, columns: slice, scores: Tensor, first: int) -> None:
        """Scores (m, columns), read the other way: of the candidates first, first + 1, ... for each of the columns."""
        groups = _groups(len(scores), self.k)
        maxima = scores[: groups * GROUP].unflatten(0, (GROUP, groups)).amax(dim=0).T.contiguous() if groups else None
        self._merge(columns, scores.T, maxima, first)

    def _merge(self, rows: slice, scores: Tensor, maxima: Tensor | None, first: int) -> None:
        """The best of those so far and of scores (n, m); maxima (n, groups), group g of columns g, g + groups, ..."""
        found = None
        if maxima is not None:
            found = entrants(scores, maxima, self.scores[rows, -1])
        if found is None:
            found = top(scores, maxima, self.k)
        values, where = found
        values = torch.cat([self.scores[rows], values], dim=1)
        where = torch.cat([self.where[rows], where.add_(first)], dim=1)
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
    best = memory = None
    for first in range(0, m, WIDE):
        columns = right(slice(first, min(first + WIDE, m)))  # (w, D)
        if best is None:
            best, memory = Best(n, k, columns.dtype, columns.device), columns.new_empty(min(chunk, n) * len(columns))
        for start in range(0, n, chunk):
            rows = slice(start, min(start + chunk, n))
            scores = _product(left(rows), columns, memory)
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
    best = memory = None
    wide = chunk * max(1, WIDE // chunk)  # so that a block of rows lies inside a tile or behind it
    for first in range(0, n, wide):
        end = min(first + wide, n)
        columns = right(slice(first, end))  # (w, D)
        if best is None:
            best, memory = Best(n, k, columns.dtype, columns.device), columns.new_empty(min(chunk, n) * len(columns))
        for start in range(first, n, chunk):
            rows = slice(start, min(start + chunk, n))
            begin, others = (start, rows.stop) if start < end else (first, first)
            scores = _product(left(rows), columns[begin - first :], memory)  # what lies before was done the other way
            if alone and start < end:
                scores.fill_diagonal_(float("-inf"))
            best.take(rows, scores, begin)
            if others < end:
                best.take_columns(slice(others, end), scores[:, others - begin :], start)
    return best


def _product(rows: Tensor, columns: Tensor, memory: Tensor) -> Tensor:
    """(n, m), always in the same memory: asking the system for new pages costs as much as finding the best.

    On a processor by numpy's library, OpenBLAS: torch's wheels multiply with MKL, which takes a quarter longer where it
    does not know the processor (AMD).
    """
    out = memory[: len(rows) * len(columns)].view(len(rows), len(columns))
    if out.device.type != "cpu":
        return torch.mm(rows, columns.T, out=out)
    np.dot(rows.numpy(), columns.numpy().T, out=out.numpy())
    return out


def _groups(m: int, k: int) -> int:
    """How many groups of GROUP; none where there are too few scores for them to be of use."""
    groups = m // GROUP
    return groups if groups >= 4 * k else 0


def top(scores: Tensor, maxima: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """The min(k, m) largest of each row of scores (n, m), falling, and their columns."""
    if maxima is None:
        return scores.contiguous().topk(min(k, scores.shape[1]), dim=1)
    chosen = maxima.topk(k, dim=1, sorted=False).indices  # (n, k)
    rest = torch.arange(maxima.shape[1] * GROUP, scores.shape[1], device=scores.device)  # what no group holds
    columns = torch.cat([_members(chosen, maxima).flatten(1), rest.expand(len(scores), -1)], dim=1)
    scores, order = scores.gather(1, columns).topk(k, dim=1)
    return scores, columns.gather(1, order)


def entrants(scores: Tensor, maxima: Tensor, bound: Tensor) -> tuple[Tensor, Tensor] | None:
    """Scores above the bound (n,) of their row, and their columns: (n, most in a row), filled up with -inf.

    None where these are so many that `top` is faster.
    """
    n, groups = maxima.shape
    if int((hit := maxima > bound[:, None]).count_nonzero()) > 16 * n:
        return None
    row, group = hit.nonzero(as_tuple=True)
    column = _members(group, maxima)  # (hits, GROUP)
    rest = torch.arange(groups * GROUP, scores.shape[1], device=scores.device)
    row = torch.cat([row.repeat_interleave(GROUP), torch.arange(n, device=row.device).repeat_interleave(len(rest))])
    column = torch.cat([column.flatten(), rest.repeat(n)])
    value = scores[row, column]
    above = value > bound[row]
    row, column, value = row[above], column[above], value[above]
    if len(rest):
        row, order = row.sort(stable=True)
        column, value = column[order], value[order]

    # The entrants of each row side by side.
    count = row.bincount(minlength=n)
    place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    values = scores.new_full((n, int(count.max())), float("-inf"))
    columns = torch.zeros(values.shape, dtype=torch.int64, device=row.device)
    values[row, place], columns[row, place] = value, column
    return values, columns


def _members(chosen: Tensor, maxima: Tensor) -> Tensor:
    """The columns of chosen groups (...): (..., GROUP)."""
    groups = maxima.shape[1]
    return chosen[..., None] + groups * torch.arange(GROUP, device=chosen.device)


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
