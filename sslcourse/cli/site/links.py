"""Where a link in the repository leads on the site: to a page, to the repository that was stamped, or nowhere.

Text is written for the repository, where `[data](../data/README.md)` is right. On the site the same link goes to the
page of that file where it has one, and to the file in the repository else; without a repository its words stay.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from sslcourse.cli import Refusal, launch
from sslcourse.weeks import WEEKS, Week

BRANCH = "main"
PROSE = {  # files of the repository that are pages of the site
    "docs/teaching.md": "teaching",
    "docs/teaching_weeks.md": "teaching_weeks",
    "docs/board.md": "board",
    "docs/architecture.md": "architecture",
    "docs/site/syllabus.md": "syllabus",
    "docs/site/glossary.md": "glossary",
    "data/README.md": "data",
    "data/scenes.md": "data_scenes",
    "data/tissue.md": "data_tissue",
    "data/reviews.md": "data_reviews",
    "data/potts.md": "data_potts",
    "CONTRIBUTING.md": "contributing",
}
GENERATED = ("results.md", "reference.md")  # pages without a file of their own
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+(?:\([^()]*\))?)\)")
_IMAGE = re.compile(r"!\[[^\]]*\]\(([^()\s]+)\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$|<code>.*?</code>|\[[^\]]*\]\([^)]*\))", re.DOTALL)


@dataclass(frozen=True)
class Links:
    """root: the checkout; repository: its address or None; solved: whether solved pages are built."""

    root: Path
    repository: str | None
    solved: bool

    def page_of(self, path: Path) -> str | None:
        """The page for a file of the repository, or None."""
        name = path.resolve().relative_to(self.root.resolve()).as_posix()
        for week in WEEKS.values():
            if name == f"notebooks/{week.notebook}.ipynb":
                return week.notebook
            if name == f"notebooks/solutions/{week.notebook}.ipynb":
                return f"solved_{week.notebook}" if self.solved else week.notebook
        return PROSE.get(name)

    def rewritten(self, text: str, where: Path, place: str) -> str:
        """Markdown from the file `where`, with its links as they are on the site; place: for messages."""

        def one(match: re.Match) -> str:
            words, target = match[1], match[2]
            if re.match(r"[a-z]+:", target) or target.startswith("#") or target in GENERATED:
                return match[0]
            file, _, anchor = target.partition("#")
            path = where.parent / file
            if not path.exists():
                raise Refusal(f"{place}: the link to {target} leads nowhere; mend it, or take it out.")
            if path.resolve() == self.root.resolve() / "README.md":
                return f"[{words}](index.md)"
            if page := self.page_of(path):
                return f"[{words}]({page}.md{'#' + anchor if anchor else ''})"
            if self.repository:
                name = path.resolve().relative_to(self.root.resolve()).as_posix()
                return f"[{words}]({self.repository}/{'tree' if path.is_dir() else 'blob'}/{BRANCH}/{name})"
            return words

        for target in _IMAGE.findall(text):
            if not target.startswith("data:") and not (where.parent / target).is_file():
                raise Refusal(f"{place}: the figure {target} is missing; add it, or take the line out.")
        return _LINK.sub(one, text)

    def with_weeks(self, text: str, own: str, solved: bool = False) -> str:
        """Mentions of another week ("week 4's loss") become links to its page; formulas, code and links stay."""
        parts = _CODE.split(text)
        for n in range(0, len(parts), 2):
            lines = parts[n].split("\n")
            parts[n] = "\n".join(line if line.startswith("#") else self._mentions(line, own, solved) for line in lines)
        return "".join(parts)

    def _mentions(self, line: str, own: str, solved: bool) -> str:
        def one(match: re.Match) -> str:
            week = WEEKS.get(f"week{int(match[2]):02d}")
            if week is None or week.id == own:
                return match[0]
            return f"[{match[1]} {match[2]}]({'solved_' if solved else ''}{week.notebook}.md)"

        return re.sub(r"\b([Ww]eek) (\d{1,2})\b", one, line)

    def launch(self, week: Week, solved: bool) -> str:
        """One line of links at the head of a page: the notebook, and where it can be run and read."""
        folder = "notebooks/solutions" if solved else "notebooks"
        path = f"{folder}/{week.notebook}.ipynb"
        name = f"{'solved_' if solved else ''}{week.notebook}.ipynb"
        links = [f"<a href='_static/notebooks/{name}' download>the notebook</a>"]
        if self.repository:
            links.append(f"<a href='{self.repository}/blob/{BRANCH}/{path}'>in the repository</a>")
            source = f"{self.repository}/blob/{BRANCH}/notebooks/source/{week.notebook}.py"
            links.append(f"<a href='{source}'>its source</a>")
            opens = launch.links(self.repository, BRANCH, path).items()
            links += [f"<a href='{address}'>{place}</a>" for place, address in opens]
        return f"<p class='launch'>{' · '.join(links)}</p>"
