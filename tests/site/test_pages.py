"""The built pages as files: links and anchors lead somewhere, figures have words, formulas and weights are right."""

import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup

from sslcourse.weeks import WEEKS

pytestmark = [pytest.mark.slow, pytest.mark.browser]  # of one build with the browser's tests


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, BeautifulSoup]:
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in site.glob("*.html")}


def test_every_week_has_two_pages_and_the_whole_fits(site):
    for week in WEEKS.values():
        assert (site / f"{week.notebook}.html").is_file() and (site / f"solved_{week.notebook}.html").is_file()
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 25e6


def test_links_and_anchors_lead_somewhere(pages):
    anchors = {path.name: {tag["id"] for tag in soup.find_all(id=True)} for path, soup in pages.items()}
    for path, soup in pages.items():
        for link in soup.find_all("a", href=True):
            target, anchor = urldefrag(link["href"])
            if re.match(r"[a-z]+:", target):
                continue
            file = path.parent / unquote(target) if target else path
            assert file.is_file(), f"{path.name}: {link['href']}"
            if anchor and file.suffix == ".html":
                assert anchor in anchors[file.name], f"{path.name}: {link['href']}"


def test_nothing_is_loaded_from_elsewhere(pages):
    for path, soup in pages.items():
        for tag in soup.find_all(["script", "img", "iframe", "source"], src=True) + soup.find_all("link", href=True):
            place = tag.get("src") or tag.get("href")
            assert not re.match(r"(https?:)?//", place), f"{path.name}: {place}"


def test_figures_have_alternative_text(pages):
    for path, soup in pages.items():
        for image in soup.find_all("img"):
            assert image.get("alt", "").strip(), f"{path.name}: {image.get('src')}"
            assert (path.parent / unquote(image["src"])).is_file()


def test_no_formula_is_left_as_text(pages):
    for path, soup in pages.items():
        article = soup.find("article") or soup
        for tag in article.find_all(["pre", "code", "script", "style"]):
            tag.extract()
        for tag in article.find_all(class_="math"):
            tag.extract()
        assert "$" not in article.get_text(), path.name


def test_solved_pages_show_solutions_and_students_pages_do_not(site):
    solved, blank = ((site / f"{name}week04_simclr.html").read_text(encoding="utf-8") for name in ("solved_", ""))
    text = BeautifulSoup(solved, "html.parser").get_text()
    assert "fill_diagonal_" in text and "nt_xent: right." in text
    text = BeautifulSoup(blank, "html.parser").get_text()
    assert "fill_diagonal_" not in text and "BEGIN SOLUTION" not in text
    assert "solved notebook: what you should see" in text


def test_weeks_refer_to_each_other_and_to_their_notebooks(pages, site):
    soup = pages[site / "week07_dino.html"]
    targets = {link["href"] for link in soup.find("article").find_all("a", href=True)}
    assert "week04_simclr.html" in targets and "_static/notebooks/week07_dino.ipynb" in targets
    assert "https://colab.research.google.com/github/OWNER/NAME/blob/main/notebooks/week07_dino.ipynb" in targets
    kaggle = "https://kaggle.com/kernels/welcome?src=https://github.com/OWNER/NAME/blob/main/notebooks/week07_dino.ipynb"
    assert kaggle in targets
    assert 'COURSE = \\"git+https://github.com/OWNER/NAME\\"' in (
        site / "_static" / "notebooks" / "week07_dino.ipynb"
    ).read_text(encoding="utf-8")
    assert "https://mybinder.org/v2/gh/OWNER/NAME/main?labpath=notebooks/week07_dino.ipynb" in targets
    assert "https://github.com/OWNER/NAME/blob/main/notebooks/source/week07_dino.py" in targets


def test_hints_stay_folded(pages, site):
    hints = pages[site / "week04_simclr.html"].find("article").find_all("details")
    assert len(hints) > 10 and not any(hint.has_attr("open") for hint in hints)
    assert all(hint.find("summary") and len(hint.get_text(strip=True)) > 10 for hint in hints)
