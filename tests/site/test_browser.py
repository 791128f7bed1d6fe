"""The pages in a real browser, on a phone and on a desk, in the light and in the dark."""

from pathlib import Path

import pytest

from sslcourse.weeks import WEEKS

pytestmark = [pytest.mark.slow, pytest.mark.browser]

WIDTHS = (390, 1280)
ARTEFACTS = Path(__file__).parents[2] / "runs" / "screenshots"
NAMES = [
    *("index", "syllabus", "teaching", "teaching_weeks", "glossary", "data", "results"),
    *("reference", "reference_sslcourse_evaluate"),
    *(f"{kind}{week.notebook}" for week in WEEKS.values() for kind in ("", "solved_")),
]

# Text whose colour is too near to what lies behind it: [(words, ratio)].
CONTRAST = """() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const over = (top, below) => { const a = top[3] ?? 1; return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a)); };
  const behind = (element) => { const layers = [];
    for (let e = element; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
      if ((c[3] ?? 1) > 0) { layers.push(c); if ((c[3] ?? 1) === 1) break; } }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]); };
  const faults = [];
  const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, element = text.parentElement;
    if (!text.textContent.trim() || element.closest("details:not([open]), script, style, .visually-hidden")) continue;
    const style = getComputedStyle(element);
    if (style.visibility === "hidden" || style.display === "none" || style.opacity === "0") continue;
    const back = behind(element), front = over(parse(style.color), back);
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) faults.push([text.textContent.trim().slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return faults;
}"""


@pytest.fixture(scope="module", params=WIDTHS)
def page(request, browser, address):
    """A page of this width that notes what it asked for and what went wrong."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    tab = context.new_page()
    tab.asked, tab.faults, tab.sizes, tab.wide = [], [], [], request.param
    tab.on("request", lambda asked: tab.asked.append(asked.url))
    tab.on("response", lambda answer: tab.sizes.append(int(answer.headers.get("content-length", 0))))
    tab.on("console", lambda said: tab.faults.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    context.route("**", lambda route: route.continue_(headers=route.request.headers | {"cache-control": "no-store"}))
    yield tab
    context.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_page(name, page, address):
    for noted in (page.asked, page.faults, page.sizes):
        noted.clear()
    page.goto(f"{address}/{name}.html")
    if page.locator(".math").count():
        page.wait_for_function("window.MathJax && MathJax.startup.promise")
        page.evaluate("MathJax.startup.promise.then(fold)")
        assert page.locator("mjx-merror").count() == 0 and page.locator("mjx-container").count() > 0
    assert page.faults == []
    assert [url for url in page.asked if not url.startswith((address, "data:"))] == []
    assert sum(page.sizes) < 2e6
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= page.wide, f"{wide} pixels"
    for theme in ("light", "dark"):
        page.evaluate(f"document.body.dataset.theme = '{theme}'")
        assert page.evaluate(CONTRAST) == [], theme


def test_reading_from_page_to_page(page, address):
    """Previous and next, search, a hint that opens, the dark side; screenshots are kept."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.goto(f"{address}/week04_simclr.html")
    hint = page.locator("article details").first
    assert not hint.evaluate("hint => hint.open")
    hint.locator("summary").click()
    assert hint.evaluate("hint => hint.open")
    page.screenshot(path=ARTEFACTS / f"week04_{page.wide}.png")
    page.locator(".related-pages .next-page").click()
    assert page.url.endswith("/week05_moco_scan.html")
    page.goto(f"{address}/search.html?q=uniformity")
    page.wait_for_selector("#search-results li a")
    assert "week04_simclr.html" in " ".join(
        link.get_attribute("href") for link in page.locator("#search-results li a").all()
    )
    page.goto(f"{address}/index.html")
    page.screenshot(path=ARTEFACTS / f"home_{page.wide}.png")
    page.evaluate("document.body.dataset.theme = 'dark'")
    page.goto(f"{address}/solved_week09_clip_ood.html")
    page.evaluate("document.body.dataset.theme = 'dark'")
    page.screenshot(path=ARTEFACTS / f"week09_dark_{page.wide}.png", full_page=False)
