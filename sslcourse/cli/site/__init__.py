"""`sslcourse site`: the course as a web site that needs no network, from the executed notebooks; nothing is executed.

Sphinx builds it from Markdown that is written here: pages of notebooks (notebook.py), tables of what is recorded
(results.py), a reference from the docstrings (reference.py), and the prose of docs/ and data/ (prose.py). All of it
happens in a folder of its own, which takes the place of the old site only when every page stands.

Reference: https://www.sphinx-doc.org, https://myst-parser.readthedocs.io
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sslcourse.cli import Refusal
from sslcourse.cli.site import conf, notebook, prose, reference, results
from sslcourse.cli.site.links import Links


def site(root: Path, to: Path, solved: bool = True, repository: str | None = None) -> int:
    """Build the site of the checkout `root` in the folder `to`.

    solved: with the solved pages too, else students' ones only. repository: the address of the repository that pages
    link to, such as https://github.com/OWNER/NAME; without it they link to the notebook alone. Raises Refusal, with the
    page and cell, for what cannot stand on a page; the old site is then as it was.
    """
    begin = time.perf_counter()
    conf.mathjax()  # refuses before anything is written where the libraries are missing
    _refuse_strangers(to)
    links = Links(root, repository, solved)
    with tempfile.TemporaryDirectory() as scratch:
        pages, built = Path(scratch) / "pages", Path(scratch) / "site"
        pages.mkdir()
        notebook.write_all(pages, links)
        prose.write_all(pages, links)
        results.write(pages, links)
        reference.write_all(pages)
        conf.write(pages, links)
        _sphinx(pages, built)
        _replace(built, to)
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    print(f"{to / 'index.html'}: {size / 1e6:.1f} MB in {time.perf_counter() - begin:.0f} s.")
    return 0


def _refuse_strangers(to: Path) -> None:
    """What is replaced is a site and nothing else."""
    if to.exists() and (not to.is_dir() or (any(to.iterdir()) and not (to / conf.MARK).is_file())):
        raise Refusal(f"{to} is there and is no site of this course; name another folder with --to.")


def _sphinx(pages: Path, built: Path) -> None:
    """Run Sphinx; a warning is a fault, and the first one is told."""
    command = [sys.executable, "-m", "sphinx", "-q", "-N", "-W", "--keep-going", "-b", "html", str(pages), str(built)]
    environment = os.environ | {"SPHINX_NO_NETWORK": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    if ended.returncode:
        faults = [line for line in ended.stderr.splitlines() if "WARNING" in line or "ERROR" in line] or [ended.stderr]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise Refusal(f"The site was not built: {faults[0].replace(f'{pages}/', '').strip()}{more}.")
    for waste in (".buildinfo", "objects.inv"):
        (built / waste).unlink(missing_ok=True)
    shutil.rmtree(built / ".doctrees", ignore_errors=True)
    (built / conf.MARK).write_text("built by sslcourse site\n")


def _replace(built: Path, to: Path) -> None:
    """The new site takes the name of the old one, which goes only then."""
    to.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = to.with_name(f".{to.name}.new-{os.getpid()}"), to.with_name(f".{to.name}.old-{os.getpid()}")
    try:
        shutil.move(built, fresh)
        if to.exists():
            os.replace(to, old)
        os.replace(fresh, to)
    except OSError as error:
        if old.exists() and not to.exists():
            os.replace(old, to)
        raise Refusal(f"{to} cannot be written ({error.strerror}); the old site is as it was.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
