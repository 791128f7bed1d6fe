"""`sslcourse release --to FOLDER`: a hand-out for students, without the solutions.

Student notebooks and library; the solution modules of the named weeks, or of all, stay behind. Without them a check has
no reference to go on with and says so; everything else works.
"""

import shutil
from pathlib import Path

from sslcourse.cli import Refusal, lab, source

FILES = (
    *("README.md", "LICENSE", "CITATION.cff", "data/README.md"),
    *("pyproject.toml", "constraints.txt", "environment.yml"),
)


def release(root: Path, weeks: list[str], folder: Path) -> int:
    """Copy the hand-out into a new folder. Weeks that are not named are handed out with their solutions."""
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    withheld = [source.week_of(lab.find_notebook(root, week).stem) for week in weeks]
    withheld = withheld or [source.week_of(path.stem) for path in notebooks]
    if not notebooks:
        raise Refusal("There are no student notebooks in notebooks/; make them with: sslcourse build.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal(f"{folder} is not empty; name a new folder.")

    try:
        _copy_all(root, folder, notebooks, withheld)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)  # it was new or empty
        raise Refusal(f"{folder} cannot be written ({error.strerror}); nothing was handed out.") from error
    print(f"Handed out {len(notebooks)} notebooks in {folder}, without the solutions of {', '.join(withheld)}.")
    print("In these weeks a check has no reference solution to go on with, and says so.")
    return 0


def _copy_all(root: Path, folder: Path, notebooks: list[Path], withheld: list[str]) -> None:
    for path in notebooks:
        _copy(path, folder / "notebooks" / path.name)
    for name in FILES:
        if (root / name).is_file():
            _copy(root / name, folder / name)

    # Only the folder of solutions loses files: check/week04/ is what makes the hand-out work.
    def leave(place: str, names: list[str]) -> list[str]:
        modules = [f"{week}.py" for week in withheld] if Path(place) == root / "sslcourse" / "solutions" else []
        return [name for name in names if name == "__pycache__" or name in modules]

    shutil.copytree(root / "sslcourse", folder / "sslcourse", ignore=leave)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
