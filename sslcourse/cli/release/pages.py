"""The hand-out's own README, Makefile, .gitignore and environment.yml: what a student needs and no more."""

from sslcourse.cli import launch, source
from sslcourse.weeks import WEEKS

_README = """# Self-supervised learning: your notebooks

One notebook a week: it explains a method, lets you write its core, checks every line you write and says *which*
mistake it saw, and trains the real thing in half a minute on a laptop, without a GPU and without a network.

## Set up once

Python 3.11, 3.12 or 3.13. With make: `make`. Without:

```
python -m venv .venv
.venv/bin/pip install -c constraints.txt -e .         # Windows: .venv\\Scripts\\pip
```

On Linux the package index gives a torch of several gigabytes for NVIDIA cards; for the small one take the line for
"CPU" from pytorch.org first. `.venv/bin/sslcourse check-env` says whether everything is there.

## Every week

```
git pull                     # or unpack the new zip over the old folder
make lab WEEK={number}              # or: .venv/bin/sslcourse lab {number}
```

Your copy of the notebook lies in `work/`, where no update overwrites it; that is the file you hand in. An exercise
that is still blank is replaced by a reference, so that "Run all" goes through from the first day, and every result
that rests on one says so.

| week | notebook |{head}
| --- | --- |{line}
{rows}
{solved}
## Trouble

`.venv/bin/sslcourse check-env` describes this machine: send what it prints. {data}
"""

_MAKEFILE = """# Every line here can also be typed by hand, see README.md.
PYTHON ?= python3
VENV   ?= .venv

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

.PHONY: setup lab check clean

setup: $(VENV)/.installed

# make lab WEEK=4
lab: setup
	$(BIN)/sslcourse lab $(WEEK)

check: setup
	$(BIN)/sslcourse check-env

# Your work in work/ stays.
clean:
	rm -rf $(VENV) runs

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@
"""

_IGNORED = """.venv/
__pycache__/
*.egg-info/
.ipynb_checkpoints/
/build/
/dist/
/runs/
/.runs.lock
work/
/data/*
!/data/*.md
"""

_ENVIRONMENT = """# conda env create -f environment.yml && conda activate sslcourse; Binder reads it too
name: sslcourse
channels:
  - conda-forge
dependencies:
  - python=3.12
  - pip
  - pip:
      - --constraint constraints.txt
      - --editable .
"""


def of(released: list[str], solved: list[str], stamp, data: list[str]) -> dict[str, bytes]:
    """{path: bytes}. released and solved: names of notebooks, in order; data: pages about data sets."""
    rows, launched = [], False
    for name in released:
        path = f"notebooks/{name}.ipynb"
        opens = launch.links(stamp.repository, stamp.branch, path)
        launched |= bool(opens)
        places = " · ".join(f"[{place}]({address})" for place, address in opens.items())
        rows.append(f"| {title(name)} | [{name}]({path}) |{f' {places} |' if opens else ''}")
    lines = "".join(f"- [{title(name)}](notebooks/solutions/{name}.ipynb)\n" for name in solved)
    newest = source.week_of(released[-1]).removeprefix("week").lstrip("0")
    text = _README.format(
        number=newest,
        head=" or without installing anything |" if launched else "",
        line=" --- |" if launched else "",
        rows="\n".join(rows),
        solved=f"\n## Solved\n\n{lines}" if solved else "",
        data="Data sets, real and generated: [data/README.md](data/README.md)." if "data/README.md" in data else "",
    )
    made = {"README.md": text, "Makefile": _MAKEFILE, ".gitignore": _IGNORED, "environment.yml": _ENVIRONMENT}
    return {name: text.encode() for name, text in made.items()}


def title(name: str) -> str:
    """ "Week 4: SimCLR ..." of "week04_simclr"."""
    week = next((week for week in WEEKS.values() if week.notebook == name), None)
    if week is None:
        return name
    return f"Week {int(week.id[4:])}: {week.title}" if week.id.startswith("week") else week.title
