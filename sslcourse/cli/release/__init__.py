"""`sslcourse release --to FOLDER week04`: the repository that students get, from week to week.

FOLDER is new, a git repository, or an earlier hand-out, which is brought up to date: the named weeks join it, and what
somebody changed there stays as it is (folder.py). It holds the notebooks of the released weeks, the library, and pages
of its own (pages.py). The solutions of the newest week and of all later ones stay behind; those of the weeks before the
named one are handed out with --with-solutions. A check goes on all the same, with references that nobody reads by
accident (sslcourse/references.py). FOLDER may end in .zip.
"""

import re
import subprocess
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sslcourse.cli import Refusal, lab, launch, source
from sslcourse.cli.release import content, folder
from sslcourse.cli.release.folder import Manifest

_YEAR_ZERO = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell: the same content makes the same file


@dataclass(frozen=True)
class Stamp:
    """Where the hand-out lies: repository, an address or ""; wheel, an address or ""; branch, for links."""

    repository: str = ""
    wheel: str = ""
    branch: str = "main"

    @property
    def install(self) -> str:
        """What pip installs, "" without an address."""
        return self.wheel or (f"git+{self.repository}" if self.repository else "")


def release(
    root: Path,
    weeks: list[str],
    to: Path,
    with_solutions: bool = False,
    repository: str | None = None,
    wheel: str | None = None,
) -> int:
    """Make or refresh a hand-out; weeks: "week04", none for those that are there, or all. Raises Refusal."""
    repository = repository and launch.repository(repository)
    wheel = wheel and launch.wheel(wheel)
    names = {source.week_of(path.stem): path.stem for path in sorted((root / "notebooks").glob("*.ipynb"))}
    if not names:
        raise Refusal("There are no student notebooks in notebooks/; make them with: sslcourse build.")
    chosen = [source.week_of(lab.find_notebook(root, week).stem) for week in weeks]

    if to.suffix == ".zip":
        return _zipped(root, names, chosen, to, with_solutions, repository, wheel)
    said = _release(root, names, chosen, to, with_solutions, repository, wheel)
    print("\n".join(said))
    if (to / ".git").exists():
        print(f"Publish it: git -C {to} add -A, commit, push.")
    return 0


def _release(root, names, chosen, to, with_solutions, repository, wheel) -> list[str]:
    """Write the hand-out; returns what there is to say."""
    old = folder.must_fit(to, root)
    order = sorted(names, key=in_order)
    weeks = sorted({*chosen, *old.weeks} & {*names} or names, key=in_order)
    newest = order.index(weeks[-1])
    allowed = set(order[:newest])
    past = set(order[: min(map(order.index, chosen or [weeks[-1]]))]) if with_solutions else set()
    solved = sorted((past | {*old.solutions}) & allowed, key=in_order)
    stamp = Stamp(
        repository or old.repository or _own_address(to),
        wheel or old.wheel,
        _branch(to) if (to / ".git").exists() else "main",
    )
    released = [names[week] for week in weeks]
    references = [week for week in order[: newest + 1] if week not in solved]
    files, left_out = content.of(root, released, [names[week] for week in solved], references, stamp)
    new = Manifest(weeks, solved, stamp.repository, stamp.wheel)
    kept = folder.update(to, files, old, new)

    said = [f"Handed out {', '.join(weeks)} in {to}; the solutions from {order[newest]} on stay behind."]
    if solved:
        said.append(f"With the solutions of {', '.join(solved)}.")
    said.append("A check goes on with packed references there, which nobody reads by accident.")
    if left_out:
        said.append(f"Links are not followed, and were left out: {', '.join(left_out)}.")
    if kept:
        said.append("Changed there since, and left as it is; what is new lies beside it:")
        said += [f"  {mine}{f' ({new})' if new else ''}" for mine, new in kept.items()]
    if not stamp.install:
        said.append(
            "Its notebooks do not know their address, so that Colab cannot install the course: give --repository "
            "https://github.com/OWNER/NAME or --wheel ADDRESS."
        )
    return said


def in_order(week: str) -> tuple:
    """The order in which weeks are taught: bonus and project come last."""
    return (not week.startswith("week"), week)


def _zipped(root, names, chosen, to, with_solutions, repository, wheel) -> int:
    """The same in a zip; one that is there is brought up to date."""
    with tempfile.TemporaryDirectory() as place:
        inside = Path(place) / "handout"
        if to.exists():
            try:
                with zipfile.ZipFile(to) as archive:
                    archive.extractall(inside)
            except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                raise Refusal(f"{to} cannot be read as a zip ({error}); name another file.") from error
            if not (inside / folder.NAME).is_file():
                raise Refusal(f"{to} is a zip of something else; name a new file.")
        said = _release(root, names, chosen, inside, with_solutions, repository, wheel)
        part = Path(place) / "whole.zip"
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(inside.rglob("*")):
                if path.is_file():
                    entry = zipfile.ZipInfo(path.relative_to(inside).as_posix(), _YEAR_ZERO)
                    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(entry, path.read_bytes())
        content.write(to, part.read_bytes())
    print("\n".join(line.replace(str(inside), str(to)) for line in said))
    return 0


def _own_address(to: Path) -> str:
    """The address that the hand-out's own repository is pushed to, "" where there is none that a browser opens."""
    if not (to / ".git").exists():  # git would look in the folders above
        return ""
    try:
        return launch.repository(_git(to, "remote", "get-url", "origin"))
    except Refusal:
        return ""


def _branch(to: Path) -> str:
    branch = _git(to, "symbolic-ref", "--short", "HEAD")
    return branch if re.fullmatch(r"[\w./-]+", branch) else "main"


def _git(to: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(to), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
