"""A student's evening in JupyterLab, in a real browser: week 4 as it is handed out.

`sslcourse lab 4`, run all untouched, a wrong answer, a right one, restart and go on, interrupt a training, the dark
theme. What a person would see is kept in runs/screenshots. Scale dry, and tiny where a training has to last.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sslcourse.cli import release

pytestmark = [pytest.mark.slow, pytest.mark.browser]

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "runs" / "screenshots"
CHECK, EXERCISE = "nt_xent = check.nt_xent(nt_xent)", "def nt_xent("
SLOW = 400_000  # milliseconds: for a machine with other things to do

WRONG = """def nt_xent(z0: torch.Tensor, z1: torch.Tensor, temperature: float = 0.5) -> torch.Tensor:
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    similarity = z @ z.T / temperature
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(len(z0)))"""
RIGHT = WRONG.replace("    return", "    similarity.fill_diagonal_(-torch.inf)\n    return")

# The notebook as JupyterLab has it in its model: cells out of sight are not in the page.
CELLS = """() => jupyterapp.shell.currentWidget.content.widgets.map((cell) => ({
  kind: cell.model.type, source: cell.model.sharedModel.getSource(), count: cell.model.executionCount ?? null,
  outputs: cell.model.outputs ? cell.model.outputs.toJSON() : [] }))"""
IDLE = """() => { const session = jupyterapp.shell.currentWidget?.sessionContext?.session;
  return session?.kernel?.status === "idle" && !jupyterapp.shell.currentWidget.content.widgets.some(
    (cell) => cell.model.type === "code" && ["running", "scheduled"].includes(cell.model.executionState)); }"""


class Lab:
    """The page of a notebook in JupyterLab, by JupyterLab's own commands."""

    def __init__(self, tab):
        self.tab = tab

    def command(self, name, **arguments):
        return self.tab.evaluate(
            "([name, given]) => { jupyterapp.commands.execute(name, given); return null; }", [name, arguments]
        )

    def cells(self):
        return self.tab.evaluate(CELLS)

    def find(self, words, kind="code"):
        """The number of the cell that begins with these words."""
        return next(n for n, c in enumerate(self.cells()) if c["kind"] == kind and c["source"].startswith(words))

    def write(self, words, source):
        number = self.find(words)
        put = "([n, text]) => jupyterapp.shell.currentWidget.content.widgets[n].model.sharedModel.setSource(text)"
        self.tab.evaluate(put, [number, source])

    def show(self, number, name):
        """Scroll to a cell and keep a picture."""
        self.tab.evaluate(
            "async (n) => { const book = jupyterapp.shell.currentWidget.content; book.activeCellIndex = n; "
            "await book.scrollToItem(n, 'center'); }",
            number,
        )
        self.tab.wait_for_timeout(700)
        self.tab.screenshot(path=ARTEFACTS / f"lab_{name}.png")

    def run(self, *numbers):
        for number in numbers:
            self.tab.evaluate("(n) => { jupyterapp.shell.currentWidget.content.activeCellIndex = n; }", number)
            self.command("notebook:run-cell")
            self.wait()
        return [text(self.cells()[number]) for number in numbers]

    def run_all(self):
        self.command("notebook:run-all-cells")
        self.tab.wait_for_timeout(1000)

    def wait(self):
        self.tab.wait_for_timeout(300)
        self.tab.wait_for_function(IDLE, timeout=SLOW)

    def restart(self):
        self.tab.evaluate(
            "async () => { await jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
        )
        self.wait()


def text(cell):
    """What a cell printed or displayed as text."""
    parts = (output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"])
    return "".join("".join(part) for part in parts)


def faults(cells):
    """Errors, what was written to stderr, and widgets."""
    return [
        (cell["source"][:60], output)
        for cell in cells
        for output in cell["outputs"]
        if output["output_type"] == "error"
        or output.get("name") == "stderr"
        or any("widget" in kind for kind in output.get("data", {}))
    ]


@pytest.fixture(scope="module")
def handout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student") / "course"
    assert release.release(ROOT, ["week04"], folder) == 0
    return folder


@pytest.fixture(scope="module")
def address(handout, tmp_path_factory):
    """Where `sslcourse lab 4` serves its notebook. A machine of its own for Jupyter: nobody's settings, no widgets."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = {"allow_root": True, "open_browser": False, "port": port, "ip": "127.0.0.1", "port_retries": 0}
    (home / "jupyter_server_config.json").write_text(
        json.dumps({"ServerApp": server, "LabApp": {"expose_app_in_browser": True, "news_url": None}})
    )
    (home / "ipywidgets.py").write_text("raise ImportError('a student has installed what the course needs, no more')\n")
    paths = os.pathsep.join([str(handout), str(home)])
    folders = {f"JUPYTER_{name}_DIR": str(home) for name in ("CONFIG", "RUNTIME")}
    environment = os.environ | folders | {"PYTHONPATH": paths, "SSLCOURSE_SCALE": "dry", "HOME": str(home)}
    environment.pop("MPLBACKEND", None)
    command = [sys.executable, "-c", "import sys; from sslcourse.cli import main; sys.exit(main())", "lab", "4"]
    log = (home / "log.txt").open("wb")
    started = subprocess.Popen(command, cwd=handout, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(600):
            said = (home / "log.txt").read_text(encoding="utf-8")
            if found := re.search(rf"(http://127\.0\.0\.1:{port}/lab)(\?token=\w+)", said):
                break
            assert started.poll() is None, said[-2000:]
            time.sleep(0.2)
        assert found, said[-2000:]
        yield f"{found[1]}/tree/week04_simclr.ipynb{found[2]}"
    finally:
        os.killpg(started.pid, 15)
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, 9)
        log.close()


@pytest.fixture(scope="module")
def lab(browser, address):
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.set_default_timeout(SLOW)
    tab.broken = []
    tab.on("pageerror", lambda error: tab.broken.append(str(error)))
    tab.goto(address)
    tab.wait_for_function(
        "window.jupyterapp && jupyterapp.shell.currentWidget && jupyterapp.shell.currentWidget.content"
    )
    made = Lab(tab)
    made.wait()
    yield made
    assert tab.broken == []
    context.close()


def test_an_untouched_notebook_runs_through(lab):
    assert "week04_simclr.ipynb" in lab.tab.title() or "week04" in lab.tab.url
    lab.run_all()
    lab.wait()
    cells = lab.cells()
    assert faults(cells) == []
    code = [cell for cell in cells if cell["kind"] == "code"]
    assert all(cell["count"] for cell in code)
    blank = [cell for cell in code if "check." in cell["source"] and ": not attempted" in text(cell)]
    assert len(blank) >= 6 and all("Going on with the reference" in text(cell) for cell in blank)
    lab.show(lab.find(CHECK), "untouched")


def test_a_wrong_answer_is_named_and_a_right_one_accepted(lab):
    exercise, check = lab.find(EXERCISE), lab.find(CHECK)
    lab.write(EXERCISE, WRONG)
    said = lab.run(exercise, check)[1]
    assert "not yet right" in said and "the similarity of a view with itself is still in the denominator" in said
    lab.show(check, "wrong")
    lab.write(EXERCISE, RIGHT)
    said = lab.run(exercise, check)[1]
    assert said.startswith("nt_xent: right.")
    lab.show(check, "right")
    assert faults(lab.cells()) == []


def test_after_a_restart_it_goes_on_and_an_interrupted_training_draws_its_figures(lab):
    """What was written is still right; progress is one line of text; the stop button leaves a notebook that goes on."""
    lab.write("scale = sslcourse.begin", 'scale = sslcourse.begin(week=4, scale="tiny", minutes=30)')
    lab.tab.evaluate("async () => { await jupyterapp.shell.currentWidget.context.save(); }")
    lab.restart()
    training = next(n for n, c in enumerate(lab.cells()) if "history = pretrain(train_set.images" in c["source"])
    figure = training + 1
    assert "plot.show(" in lab.cells()[figure]["source"]
    lab.command("notebook:run-all-cells")
    said = "(n) => { const out = jupyterapp.shell.currentWidget.content.widgets[n].model.outputs.toJSON();"
    said += " return out.map((o) => [o.text || ''].flat().join('')).join(''); }"
    deadline = time.monotonic() + SLOW / 1000
    while "%|" not in (bar := lab.tab.evaluate(said, training)):
        assert time.monotonic() < deadline, bar
        lab.tab.wait_for_timeout(200)
    lab.show(training, "training")
    visible = lab.tab.evaluate(
        "(n) => jupyterapp.shell.currentWidget.content.widgets[n].outputArea.node.innerText", training
    )
    lines = [line for line in visible.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("SimCLR:") and "loss" in lines[0], visible
    lab.command("notebook:interrupt-kernel")
    while lab.cells()[figure]["count"] is None or not lab.cells()[figure]["outputs"]:
        assert time.monotonic() < deadline
        lab.tab.wait_for_timeout(300)
    cells = lab.cells()
    assert faults(cells) == []
    assert text(cells[lab.find(CHECK)]).startswith("nt_xent: right.")
    assert "not attempted" in text(cells[lab.find("two_views = check.")])
    assert re.search(r"SimCLR: loss .*stopped early: interrupted", text(cells[training]))
    assert any("image/png" in output.get("data", {}) for output in cells[figure]["outputs"])
    lab.show(figure, "interrupted")


def test_the_dark_theme(lab):
    lab.command("apputils:change-theme", theme="JupyterLab Dark")
    lab.tab.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    lab.show(lab.find(CHECK), "dark")
    back = lab.tab.evaluate("getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor")
    red, green, blue = map(int, re.findall(r"\d+", back)[:3])
    assert max(red, green, blue) < 80
