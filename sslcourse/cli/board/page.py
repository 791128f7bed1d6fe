"""docs/board.md and its figures, from the recorded results and from nothing else."""

import io
from pathlib import Path

from sslcourse import files
from sslcourse.check.board import NOT_RUN, Row, rate, rows, why
from sslcourse.plot.style import BLUE, GREY, LEVELS, ORANGE, new_figure, styled

PAGE = "docs/board.md"
HEAD = """# The board: every method under equal terms

`sslcourse board` trains the methods of the course on the same images with the same encoder, for as many epochs, in
batches of the same size; each method's learning rate is the best of one small grid on validation images, which is
extended for a method whose best rate is an end of it. It goes on where it was cut off, and writes this page. A method
that is *not yet run* has no numbers: none is taken from elsewhere.

How to read it: accuracies are on test images, of 20 nearest neighbours (kNN) and of a linear probe, mean and standard
deviation over the seeds; a seed draws its own weights, order and, of a toy world, images. The interval is the 95 %
Wilson interval of the probe: it covers the choice of the test images, as ± covers the seeds. Rankme is the effective
rank of the features. Seconds of the processor are those of one training. A rate with a star is an end of the extended
grid: one beyond it may be better. These are small budgets: a method that needs long trainings looks worse here than in
its paper, and order at such a budget is no order of methods. Supervised training sees every label that the probe sees,
CLIP the captions, the others pictures alone. MAE needs patches and has a transformer of about as many weights for its
encoder, MoCo the same encoder with group norm.
"""


def write(root: Path, board: dict) -> None:
    """Write the page, and a figure for every world with results."""
    files.write(root / PAGE, text(board).encode())
    for world, entry in board["worlds"].items():
        there = rows(world, board)
        if any(there.values()):
            files.write(root / "docs" / _picture(world), _png(_figure(world, _chance(entry), there)))


def text(board: dict) -> str:
    """The page."""
    parts = [HEAD]
    for world, entry in board["worlds"].items():
        there = rows(world, board)
        parts += [f"## {world}", _terms(entry), _table(entry, there)]
        if any(there.values()):
            parts.append(f"![Test accuracies on {world}, as in the table]({_picture(world)})")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _picture(world: str) -> str:
    return f"images/board_{world}.png"


def _chance(entry: dict) -> float:
    return 1 / entry["terms"]["classes"]


def _terms(entry: dict) -> str:
    t = entry["terms"]
    return (
        f"{t['train']:,} training, {t['val']:,} validation and {t['test']:,} test images; encoder {t['encoder']}; "
        f"{t['epochs']} epochs in batches of {t['batch_size']}; AdamW, peak rates "
        f"{', '.join(map(str, t['rates']))} and beyond, "
        f"weight decay {t['weight_decay']}, gradients cut at {t['clip']}, warm-up {t['warmup']:.0%}, then cosine; "
        f"views: crops of {t['crop'][0]:.0%} of the area or more, colour jitter {t['jitter']}, grey {t['grey']:.0%}; "
        f"temperature {t['temperature']} of contrastive losses. Machine: {'; '.join(entry['hardware']) or NOT_RUN}."
    )


def _table(entry: dict, there: dict[str, Row | None]) -> str:
    heads = ("method", "week", "rate", "kNN", "probe", "95 % interval", "rankme", "seconds", "seeds")
    lines = [heads, ("---",) * len(heads)]
    chance = f"{_chance(entry):.3f}"
    lines.append(("chance", "", "", chance, chance, "", "", "", ""))
    for name, row in there.items():
        week = entry["methods"][name]["week"].removeprefix("week").lstrip("0")
        lines.append((name, week, *(_numbers(row) if row else (why(entry, name), *[""] * 6))))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(row: Row) -> tuple[str, ...]:
    def spread(mean: float, std: float | None) -> str:
        return f"{mean:.3f}" if std is None else f"{mean:.3f} ± {std:.3f}"

    return (
        rate(row),
        spread(row.knn, row.knn_std),
        spread(row.probe, row.probe_std),
        f"{row.low:.3f} to {row.high:.3f}",
        f"{row.rankme:.1f}",
        "" if row.rate is None or row.seconds is None else f"{row.seconds:.0f}",
        ", ".join(map(str, row.seeds)) + (f"; {row.diverged} diverged" if row.diverged else ""),
    )


@styled
def _figure(world: str, chance: float, there: dict[str, Row | None]):
    """Methods from top to bottom; a dot for each accuracy, whiskers for the probe's interval."""
    found = [row for row in there.values() if row]
    figure = new_figure(8.0, 1.2 + 0.36 * len(found))
    ax = figure.subplots()
    places = range(len(found))
    probes = [row.probe for row in found]
    whiskers = [[row.probe - row.low for row in found], [row.high - row.probe for row in found]]
    ax.errorbar(probes, places, xerr=whiskers, fmt="o", color=BLUE, capsize=4, linewidth=1.5, label="linear probe")
    ax.plot([row.knn for row in found], places, "s", color=ORANGE, label="20 nearest neighbours")
    ax.axvline(chance, color=GREY, linestyle="--", linewidth=1.3, zorder=LEVELS, label="chance")
    ax.set_yticks(places, [row.method for row in found])
    ax.invert_yaxis()
    ax.grid(True, axis="x")
    ax.set_xlabel(f"test accuracy on {world}")
    ax.legend(loc="best")
    return figure


def _png(figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})  # the same results, the same bytes
    return stream.getvalue()
