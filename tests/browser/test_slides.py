"""Slides and report in a real browser, without network: no slide is taller than the screen, every formula is set."""

from pathlib import Path

import nbformat
import pytest

from sslcourse.cli import export

pytestmark = [pytest.mark.slow, pytest.mark.browser]

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "runs" / "screenshots"
v4 = nbformat.v4

# What of the slide that is shown lies outside the window: the farthest edges of all its elements.
EDGES = """() => { const all = [...Reveal.getCurrentSlide().querySelectorAll(".box, .box *")].filter((e) =>
  e.checkVisibility()).map((e) => e.getBoundingClientRect()).filter((r) => r.width && r.height);
  return [Math.min(...all.map((r) => r.left)), Math.min(...all.map((r) => r.top)),
          innerWidth - Math.max(...all.map((r) => r.right)), innerHeight - Math.max(...all.map((r) => r.bottom))]; }"""
WORDS = "() => Reveal.getSlides().map((slide) => slide.textContent).join(' ')"


def pixel_wall() -> nbformat.NotebookNode:
    """What is hard to show: long text, code, tables, lists, a wide formula, tall and wide pictures, a long hint."""
    svg = "<svg xmlns='http://www.w3.org/2000/svg' width='{}' height='{}'><rect width='100%' height='100%'/></svg>"
    rows = "".join(f"<tr><td>row {n}</td><td>{'wide ' * 12}</td><td>{n}</td></tr>" for n in range(60))
    table = f"<table><thead><tr><th>a</th><th>b</th><th>c</th></tr></thead><tbody>{rows}</tbody></table>"
    wide = "".join(f"<td>column {n}</td>" for n in range(60))
    cells = [
        v4.new_markdown_cell("# A long talk\n\n" + "\n\n".join(f"Paragraph {n}. " + "words " * 90 for n in range(9))),
        v4.new_markdown_cell("## One paragraph\n\n" + "endless " * 1500),
        v4.new_markdown_cell("## Lists\n\n" + "\n".join(f"{n}. item {n} {'of many ' * 12}" for n in range(1, 50))),
        v4.new_markdown_cell("## A formula\n\n$$" + " + ".join(f"x_{{{n}}}^{{{n}}}" for n in range(70)) + "$$"),
        v4.new_markdown_cell("## One item\n\n- " + "the only one " * 600),
        v4.new_markdown_cell("## Loose\n\n<div>loose " + "<b>bold</b> words " * 900 + "end of the loose</div>"),
        v4.new_markdown_cell("## A word\n\n" + "unbroken" * 80),
        v4.new_markdown_cell(
            "## A hint\n\n<details><summary>open</summary>" + "<p>hidden text</p>" * 60 + "</details>"
        ),
        v4.new_markdown_cell("## Results"),
        v4.new_code_cell("1", execution_count=1),
        v4.new_markdown_cell("The last words."),
    ]
    cells[-2].outputs = [
        v4.new_output("stream", name="stdout", text="".join(f"line {n} {'x' * 150}\n" for n in range(120))),
        v4.new_output("display_data", data={"text/html": table}),
        v4.new_output("display_data", data={"text/html": f"<table><tbody><tr>{wide}</tr></tbody></table>"}),
        v4.new_output("display_data", data={"image/svg+xml": svg.format(300, 4000)}),
        v4.new_output("display_data", data={"image/svg+xml": svg.format(6000, 200)}),
    ]
    return v4.new_notebook(cells=cells)


@pytest.fixture
def page(browser, request):
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    tab = context.new_page()
    tab.asked, tab.faults = [], []
    tab.on("request", lambda asked: tab.asked.append(asked.url))
    tab.on("console", lambda said: tab.faults.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    yield tab
    context.close()


def opened(page, folder, notebook, to):
    file = folder / f"made.{to}.html"
    file.write_text(export.as_html(notebook, to), encoding="utf-8")
    page.goto(file.as_uri())
    if to == "slides":
        page.wait_for_function("document.body.dataset.ready", timeout=300_000)
    if page.evaluate("Boolean(window.MathJax)"):
        page.evaluate("MathJax.startup.promise.then(() => null)")
        assert page.locator("mjx-merror").count() == 0 and page.locator("mjx-container").count() > 0
    assert page.faults == [] and [url for url in page.asked if not url.startswith(("file:", "data:"))] == []


def too_far(page) -> list:
    """[(slide, pixels beyond the four edges)] of all slides that overflow."""
    found = []
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate(f"Reveal.slide({number})")
        edges = page.evaluate(EDGES)
        if min(edges) < -1:
            found.append((number, edges))
    return found


@pytest.mark.parametrize("name", ["week04_simclr", "project_template"])
def test_no_slide_of_a_notebook_overflows(name, page, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / "solutions" / f"{name}.ipynb", 4)
    opened(page, tmp_path, notebook, "slides")
    assert page.evaluate("Reveal.getTotalSlides()") > 15
    for width, height in ((1280, 720), (1024, 768), (800, 500)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)
        assert too_far(page) == [], (width, height)
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.set_viewport_size({"width": 1280, "height": 720})
    for number in (0, 3, 12):
        page.evaluate(f"Reveal.slide({number})")
        page.screenshot(path=ARTEFACTS / f"slide_{name}_{number}.png")


def test_what_is_hard_to_show_is_divided_or_made_smaller_and_nothing_is_lost(page, tmp_path):
    opened(page, tmp_path, pixel_wall(), "slides")
    assert too_far(page) == []
    words = page.evaluate(WORDS)
    for text in (
        "Paragraph 8.",
        "item 49",
        "line 0 ",
        "line 119 ",
        "row 0",
        "row 59",
        "column 59",
        "end of the loose",
        "The last words.",
    ):
        assert text in words, text
    assert words.count("endless") == 1500 and words.count("the only one") == 600 and "Lists (continued)" in words
    assert words.count("bold") == 900 and all(words.count(f"row {n}wide") == 1 for n in range(60))
    order = [words.index(f"line {n} ") for n in range(120)]
    assert order == sorted(order)
    titles = page.evaluate("Reveal.getSlides().map((slide) => slide.textContent)")
    page.evaluate(f"Reveal.slide({next(n for n, text in enumerate(titles) if 'hidden text' in text)})")
    page.locator("section.present summary").click()
    page.wait_for_timeout(300)
    assert min(page.evaluate(EDGES)) >= -1


def test_a_report_sets_its_formulas_without_network(page, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks" / "solutions" / "week04_simclr.ipynb", 4)
    opened(page, tmp_path, notebook, "report")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
