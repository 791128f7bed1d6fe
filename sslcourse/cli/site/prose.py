"""Pages from the prose of the repository, and the front page."""

import re
import shutil
from pathlib import Path

from sslcourse.cli import Refusal
from sslcourse.cli.site.links import PROSE, Links
from sslcourse.weeks import WEEKS

DATASHEETS = [page for page in PROSE.values() if page.startswith("data")]


def write_all(pages: Path, links: Links) -> None:
    """Write the pages of docs/ and data/, and index.md from docs/site/index.md."""
    for name, page in PROSE.items():
        text = links.rewritten(_read(links.root / name), links.root / name, name)
        target = pages / f"{page}.md"
        if target.exists():
            raise Refusal(f"The page {page} would be written twice; rename {name}.")
        text = _with_pictures(text, (links.root / name).parent, pages)
        target.write_text(links.with_weeks(text, own=""), encoding="utf-8")

    path = links.root / "docs" / "site" / "index.md"
    text = links.rewritten(_read(path), path, "docs/site/index.md").replace("WEEKS", _weeks(links))
    text = _with_pictures(text, path.parent, pages)
    (pages / "index.md").write_text(text + _contents(links), encoding="utf-8")


def _with_pictures(text: str, folder: Path, pages: Path) -> str:
    """The pictures that a text in this folder shows, copied to where the site has its figures."""
    for picture in re.findall(r"!\[[^\]]*\]\(([^()\s]+)\)", text):
        source = folder / picture
        shutil.copyfile(source, pages / "figures" / source.name)
        text = text.replace(picture, f"figures/{source.name}")
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read ({error}), and the site has a page of it.") from error


def _weeks(links: Links) -> str:
    """The table of weeks, with the versions that are built."""
    head = "| week | topic |" + (" solved |" if links.solved else "") + "\n| --- | --- |" + " --- |" * links.solved
    rows = []
    for week in WEEKS.values():
        name = re.sub(r"^week0?", "", week.id)
        solved = f" [solved](solved_{week.notebook}.md) |" if links.solved else ""
        rows.append(f"| {name} | [{week.title}]({week.notebook}.md) |{solved}")
    return "\n".join([head, *rows])


def _contents(links: Links) -> str:
    """What the navigation shows, in order."""
    notebooks = [week.notebook for week in WEEKS.values()]
    groups = {
        "The weeks": notebooks,
        "Solved": [f"solved_{name}" for name in notebooks] if links.solved else [],
        "The course": ["syllabus", "teaching", "teaching_weeks", "glossary", "results", "board", *DATASHEETS],
        "The library": ["reference", "architecture", "contributing"],
    }
    parts = []
    for caption, names in groups.items():
        if names:
            lines = "\n".join(names)
            parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n:maxdepth: 1\n\n{lines}\n```\n")
    return "".join(parts)
