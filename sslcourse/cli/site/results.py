"""The page of recorded results: how they are made, and every expected value, from sslcourse/expected/."""

import html
from pathlib import Path

from sslcourse.check import recorded
from sslcourse.check.report import shown
from sslcourse.cli.site.links import Links
from sslcourse.weeks import WEEKS

HOW = """# Recorded results

What a notebook is compared with comes from recorded runs: `sslcourse run week04 --record --seeds 0 1 2`
executes the solved notebook once a seed and writes what its reports and sweeps say to `sslcourse/expected/`. Mean and
sample deviation are over these seeds; *chance* is what guessing gives, *baseline* what an untrained or collapsed
network gives. A claim of a run is asserted whenever the notebook runs strictly, as CI does; a
claim of a sweep is checked when the sweep is recorded. A scale that nobody has run has no
numbers here.
"""


def write(pages: Path, links: Links) -> None:
    """Write results.md."""
    parts = [HOW]
    for week in WEEKS.values():
        known = recorded.expected(week.id)
        parts.append(f"## [{week.title}]({week.notebook}.md)")
        scales = {scale: known.get(scale) for scale in recorded.SCALES if known.get(scale)}
        if not scales:
            parts.append("Nothing is recorded.")
        for scale, once in scales.items():
            parts += [f"### {week.id} at scale {scale}", _run(once["recorded"]), *_tables(once)]
        missing = [scale for scale in recorded.SCALES if scale not in scales]
        if scales and missing:
            parts.append(f"Not recorded: {', '.join(missing)}.")
    (pages / "results.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _run(run: dict) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    seeds = f"seed{'s' * (len(run['seeds']) > 1)} {', '.join(map(str, run['seeds']))}"
    return (
        f"Recorded {run['date']} on {run['hardware']}, {_threads(run.get('threads'))}; {seeds}; "
        f"{run['seconds']:.0f} s and {run['peak_memory_mb']:,} MB a run; {packages}."
    )


def _threads(threads: int | None) -> str:
    return f"{threads} thread{'s' * (threads != 1)}" if threads else "threads unknown"


def _tables(once: dict) -> list[str]:
    seeds = len(once["recorded"]["seeds"])
    rows = [
        (name, shown(m["mean"]), _spread(m["std"], seeds), shown(m.get("chance")), shown(m.get("baseline")))
        for name, m in once["metrics"].items()
    ]
    tables = [_table(("metric", "mean", "+-", "chance", "baseline"), rows)]
    for kind, head in (("must_show", "claim"), ("sweep_claims", "claim of a sweep")):
        if claims := [(one["claim"], shown(one["value"]), shown(one["at_least"])) for one in once.get(kind, ())]:
            tables.append(_table((head, "recorded", "at least"), claims))
    for name, sweep in (once.get("sweeps") or {}).items():
        points = zip(sweep["points"], sweep["mean"], sweep["std"], strict=True)
        seeds = len(sweep["recorded"]["seeds"])
        rows = [(str(point), shown(mean), _spread(std, seeds)) for point, mean, std in points]
        tables.append(_table((name, "mean", "+-"), rows))
    return tables


def _spread(std: float | None, seeds: int) -> str:
    """The sample deviation; one seed has none, whatever an older record says."""
    return shown(std) if seeds > 1 else "1 seed"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """HTML, which scrolls by itself on a narrow screen where Markdown's table would widen the page."""

    def line(tag: str, cells: tuple[str, ...]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return f'<div class="wide"><table class="results">\n{line("th", heads)}\n{body}\n</table></div>'
