"""`sslcourse run --profile`: where the time of a run went."""

from sslcourse.cli.kernel import Usage

CELLS = 10


def table(usages: dict[str, Usage]) -> str:
    """The slowest cells of some notebooks, by name, with their shares of the time of all."""
    cells = [(took, name, cell) for name, usage in usages.items() for cell, took in usage.cells.items()]
    total = sum(usage.seconds for usage in usages.values())
    if not cells:
        return "No notebook went through, so there is nothing to profile."
    starts = total - sum(took for took, *_ in cells)
    slowest = sorted(cells, reverse=True)[:CELLS]
    share = sum(took for took, *_ in slowest) / total
    lines = [f"The {len(slowest)} slowest of {len(cells)} cells take {share:.0%} of {total:.0f} s:"]
    lines += [f"{took:8.1f} s {took / total:6.1%}  {name}, cell {cell}" for took, name, cell in slowest]
    lines += [f"{starts:8.1f} s {starts / total:6.1%}  starts and ends of {len(usages)} kernels"]
    return "\n".join(lines)
