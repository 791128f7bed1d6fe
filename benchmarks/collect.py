"""Run every benchmark of this folder, one after another, and write docs/benchmarks.md.

    make bench, or python benchmarks/collect.py [NAME ...]

Each script runs in a process of its own, with one thread. One that yields rows (benchmarks/rows.py) fills the table;
what another prints is quoted below it. A peer that is missing, a script that fails or one that takes longer than
BENCH_MINUTES (default 8; 90 for all notebooks, then and now) is named as "not run" with the reason, and the others go
on. Names choose scripts; of the others the page keeps what it says.
"""

import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from rows import Row, cells

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
PACKAGES = (
    *("torch", "torchvision", "numpy", "scikit-learn", "transformers", "accelerate"),
    *("faiss-cpu", "kornia", "lightly", "lightning", "scikit-dimension"),
)
LONGER = {"run": 90}
MARK = "@row "  # before a row that a script hands over
HEAD = ("What", "Ours", "Against", "Peer", "Ratio", "Rounds", "Goal", "Remark")
ABOUT = """# Benchmarks

Written by `make bench`, not edited by hand; below each table stands when it was measured. A ratio is the peer's time
over ours, the median of rounds that alternate between the two: above 1, ours is faster. Seconds are those of the
processor, one thread, unless a row says otherwise.

{machine}

Versions: {versions}.
"""


def main(names: list[str]) -> int:
    scripts = [path for path in sorted(HERE.glob("*.py")) if path.stem not in ("rows", "collect")]
    if unknown := set(names) - {path.stem for path in scripts}:
        print(f"There is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(p.stem for p in scripts)}.")
        return 2
    said = sections(PAGE.read_text(encoding="utf-8")) if names and PAGE.exists() else {}
    parts = {path.stem: said.get(path.stem, "Not run.") for path in scripts}
    about = ABOUT.format(machine=machine(), versions=versions())
    for path in scripts:
        if names and path.stem not in names:
            continue
        print(f"{path.stem} ...", flush=True)
        began = measured()
        rows, text = run(path)
        body = [first_line(path), *([table(rows)] if rows else []), *([quoted(text)] if text else []), began]
        parts[path.stem] = "\n\n".join(body)
        page = [about, *(f"## {stem}\n\n{part}" for stem, part in parts.items())]  # after each: an interrupt costs one
        PAGE.write_text("\n\n".join(page).rstrip() + "\n", encoding="utf-8")
    print(f"Written: {PAGE.relative_to(HERE.parent)}")
    return 0


def run(path: Path) -> tuple[list[Row], str]:
    """Rows of a script, and what it says beside them."""
    minutes = float(os.environ.get("BENCH_MINUTES", LONGER.get(path.stem, 8)))
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "SSLCOURSE_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, __file__, "--one", str(path)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 * minutes)
    except subprocess.TimeoutExpired as late:
        rows, text = _read(late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or "")
        return rows, f"{text}\nnot run to its end: longer than {minutes:g} minutes".strip()
    rows, text = _read(done.stdout)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        text = f"{text}\nnot run to its end: {last}".strip()
    return rows, text


def one(path: Path) -> None:
    """In a process of its own: rows as lines of JSON, whatever else is printed as it is."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "rows") or not callable(module.rows):
        module.main()
        return
    for row in module.rows():
        row = Row(**row) if isinstance(row, Mapping) else Row(*row)
        print(MARK + json.dumps(row), flush=True)


def _read(output: str) -> tuple[list[Row], str]:
    lines = output.splitlines()
    rows = [Row(*json.loads(line.removeprefix(MARK))) for line in lines if line.startswith(MARK)]
    return rows, "\n".join(line for line in lines if not line.startswith(MARK)).strip()


def table(rows: list[Row]) -> str:
    body = [HEAD, ["---"] * len(HEAD), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in body)


def quoted(text: str) -> str:
    return f"```\n{text}\n```"


def first_line(path: Path) -> str:
    """The first paragraph of a script's docstring says what it measures."""
    paragraph = path.read_text(encoding="utf-8").removeprefix('"""').split('"""')[0].split("\n\n")[0]
    return " ".join(paragraph.split())


def sections(page: str) -> dict[str, str]:
    """What a page says below each of its headings."""
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    return {name.strip(): text.strip() for name, _, text in parts}


def measured() -> str:
    load = f", load {os.getloadavg()[0]:.1f} when it began" if hasattr(os, "getloadavg") else ""
    return f"Measured on {datetime.date.today():%d %B %Y}, commit {commit()}{load}."


def machine() -> str:
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    python = f"{platform.system()}, Python {platform.python_version()}"
    return f"Machine: {_processor()}, {cores} cores, {memory:.0f} GiB, {python}."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(Path(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
