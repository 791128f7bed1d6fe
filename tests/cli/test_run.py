"""`sslcourse run`: the right interpreter, a page that works offline, failures that stop nothing, honest records."""

import errno
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from example_source import SOURCE, write_course
from tqdm import std

import sslcourse
from sslcourse import weeks
from sslcourse.cli import Refusal, build, cells, kernel, main, page, record, run, source
from sslcourse.cli import files as cli_files
from sslcourse.cli.kernel import NotebookFailed, Usage

NAME = "week98_example"


def write_notebook(root, text=SOURCE, name=NAME):
    """A solution notebook that has not been executed."""
    write_course(root, text, name)
    notebook = cells.solution_notebook(source.read(root / source.FOLDER / f"{name}.py"))
    path = build.products(root, name).solution
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    return path


def notebook_of(*codes):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code, id=f"c{i}") for i, code in enumerate(codes)])


# --- the kernel


def test_the_kernel_is_this_interpreter_in_the_folder_given(tmp_path, monkeypatch):
    # A kernel called python3 that is something else altogether must not be taken.
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("SSLCOURSE_RECORD", "elsewhere")

    seen = "import os, sys; print([sys.executable, os.getcwd(), *map(os.environ.get, names)])"
    names = "names = ['SSLCOURSE_SCALE', 'SSLCOURSE_RECORD', 'MPLBACKEND']"
    fill = "import numpy; block = numpy.ones(2**26); del block"  # 512 MB for a moment
    notebook = notebook_of(names, seen, fill)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "x"}
    usage = kernel.execute(notebook, tmp_path, {"SSLCOURSE_SCALE": "dry", "SSLCOURSE_RECORD": None})

    executable, folder, scale, recorded, backend = eval(notebook.cells[1].outputs[0].text)
    assert (executable, folder, scale, recorded) == (sys.executable, os.path.realpath(tmp_path), "dry", None)
    assert backend != "Agg"
    assert 512 < usage.peak_memory_mb < 900 and 0 < usage.seconds < 60
    assert len(notebook.cells) == 3


def test_an_error_is_named_with_its_cell_and_the_earlier_outputs_stay(tmp_path):
    notebook = notebook_of("print('before')", "{}['key']", "print('after')")
    with pytest.raises(NotebookFailed, match="^cell c1: KeyError: 'key'$") as failure:
        kernel.execute(notebook, tmp_path, {})
    assert "key" in failure.value.traceback and "\x1b" not in failure.value.traceback
    assert notebook.cells[0].outputs[0].text == "before\n" and not notebook.cells[2].outputs


def test_a_kernel_that_dies_is_noticed_at_once(tmp_path):
    with pytest.raises(NotebookFailed, match="cell c0: the kernel died"):
        kernel.execute(notebook_of("import os; os._exit(1)"), tmp_path, {})


@pytest.mark.parametrize("code", ["exit()", "get_ipython().ask_exit()"])
def test_a_cell_that_ends_the_kernel_is_a_failure_also_when_it_is_the_last(tmp_path, code):
    notebook = notebook_of("print('before')", code)
    with pytest.raises(NotebookFailed, match=r"^cell c1: exit\(\) or quit\(\) ends the kernel"):
        kernel.execute(notebook, tmp_path, {})
    assert notebook.cells[0].outputs[0].text == "before\n"


# A message to the kernel's own control channel, as a front end sends it.
SHUTDOWN = """
import ipykernel
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient(connection_file=ipykernel.get_connection_file())
client.load_connection_file()
client.start_channels()
client.shutdown()
"""


@pytest.mark.parametrize(
    "codes",
    [("1", "get_ipython().kernel.do_shutdown(False)"), ("get_ipython().exit_now = True", "2"), ("1", SHUTDOWN)],
    ids=["by itself", "before the end", "by message"],
)
def test_a_kernel_that_is_shut_down_by_its_notebook_is_no_notebook_that_went_through(tmp_path, codes):
    with pytest.raises(NotebookFailed, match=r"^cell c1.*(shuts the kernel down|shut down by a cell)"):
        kernel.execute(notebook_of(*codes), tmp_path, {})


def test_a_kernel_that_answers_no_more_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "PARTING", 1)
    hold = 'get_ipython().events.register("pre_run_cell", lambda info: __import__("time").sleep(600))'
    with pytest.raises(NotebookFailed, match="^cell c0 or one before it: the kernel is held up, or was shut down"):
        kernel.execute(notebook_of(hold), tmp_path, {})


@pytest.mark.slow
def test_exit_keeps_build_from_writing_a_notebook(tmp_path, capfd):
    root = write_course(tmp_path, SOURCE.replace("print(double(21))", "exit()"))
    assert build.build(root) == 1
    assert "exit() or quit() ends the kernel" in capfd.readouterr().out
    assert not build.products(root, NAME).solution.exists()


@pytest.mark.slow
def test_a_notebook_that_takes_too_long_is_ended(tmp_path, capfd):
    began = time.monotonic()
    with pytest.raises(NotebookFailed, match="^cell c1: the notebook has had its 0.1 minutes; set SSLCOURSE_MINUTES"):
        kernel.execute(notebook_of("1", "while True: pass", "2"), tmp_path, {}, minutes=0.1)
    assert time.monotonic() - began < 60
    assert capfd.readouterr().err == ""


def test_the_time_limit_is_that_of_the_scale_or_of_the_environment(monkeypatch):
    monkeypatch.delenv("SSLCOURSE_MINUTES", raising=False)
    limits = [kernel.minutes(scale) for scale in weeks.SCALES]
    assert limits == sorted(limits) and limits[0] >= 5
    slowest = {scale: max(week.minutes.get(scale, 0) for week in weeks.WEEKS.values()) for scale in weeks.SCALES}
    assert all(kernel.minutes(scale) >= 10 * slowest[scale] for scale in weeks.SCALES)
    assert kernel.minutes("tiny", sweeps=True) >= 2 * 60  # week 8's sweeps took over 20 minutes on a slow core
    monkeypatch.setenv("SSLCOURSE_MINUTES", "2.5")
    assert kernel.minutes("tiny") == kernel.minutes("tiny", sweeps=True) == 2.5
    for wrong in ("0", "-3", "soon", "1e9", "\u00b2"):
        monkeypatch.setenv("SSLCOURSE_MINUTES", wrong)
        with pytest.raises(Refusal, match="SSLCOURSE_MINUTES is .*should be the minutes"):
            kernel.minutes("tiny")


# --- run and its page


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Two notebooks, the first of which fails."""
    root = tmp_path_factory.mktemp("course")
    write_notebook(
        root, SOURCE.replace("print(double(21))", "print(double(21) / 0)").replace("98", "97"), "week97_fails"
    )
    write_notebook(root)
    return root, run.run(root, [], "tiny")


def test_a_notebook_that_fails_does_not_stop_the_next(ran):
    root, code = ran
    assert code == 1
    failed = nbformat.read(root / "runs" / "week97_fails.ipynb", 4).metadata.sslcourse.run
    assert failed.error == "cell week97-double-4: ZeroDivisionError: float division by zero" and "seconds" not in failed
    went = nbformat.read(root / "runs" / f"{NAME}.ipynb", 4).metadata.sslcourse.run
    assert went.error == "" and went.scale == "tiny" and went.seconds > 0 and went.peak_memory_mb > 10


def test_the_page_shows_every_figure_and_result_and_loads_nothing(ran):
    root, _ = ran
    text = (root / "runs" / "index.html").read_text(encoding="utf-8")
    assert "ZeroDivisionError" in text and "double: right." in text and "42.0" in text
    assert '<img alt="one pixel"' in text and text.count("data:image/png;base64") == 1
    headings = re.findall(r"<h\d>(.*?)</h\d>", text)
    assert headings.count("3 Results") == 1  # the notebook that failed did not come to it
    assert headings.count("Week 98 · An example") == 1
    assert not re.search(r"(src|href)=.https?:|@import|<script|url\(", text)
    assert "Because of the sum" not in text  # text stays in the notebook
    for link in re.findall(r'href="([^"#]+)"', text):
        assert (root / "runs" / link).is_file()
    for anchor in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{anchor}"' in text


def test_the_page_holds_earlier_runs_too(ran):
    root, _ = ran
    (root / "runs" / "index.html").unlink()
    assert "week97_fails" in page.write(root / "runs").read_text(encoding="utf-8")


def test_run_leaves_the_solution_notebooks_as_they_are(ran):
    root, _ = ran
    notebook = nbformat.read(build.products(root, NAME).solution, 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["run", "5"], "no solution notebook of week05"),
        (["run", "--scale", "huge"], "no scale 'huge'; choose one of dry, tiny, small, full"),
        (["run", "--seeds", "1"], "belong to --record"),
        (["run", "--sweeps"], "belong to --record"),
        (["run", "--record", "--seeds", "-1"], "a seed is a whole number"),
        (["run", "--record", "--seeds", "x"], "a seed is a whole number"),
        (["run", "--record", "--scale", "dry"], "record at tiny, small or full"),
        (["walk"], "invalid choice: 'walk'"),
        ([], "required: COMMAND"),
    ],
)
def test_a_request_that_cannot_be_met_gets_one_sentence(arguments, sentence, ran, monkeypatch, capsys):
    monkeypatch.chdir(ran[0])
    try:
        code = main(arguments)
    except SystemExit as exit:
        code = exit.code
    out, error = capsys.readouterr()
    assert code == 2 and out == "" and error.count("\n") == 1 and sentence in error, error


def test_runs_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    path = write_notebook(tmp_path)
    (tmp_path / "runs").write_text("a file where the folder should be")
    monkeypatch.setattr(run, "execute", lambda *arguments, **keywords: Usage(1.0, 1.0))
    with pytest.raises(Refusal, match="cannot be written"):
        run.run_notebook(tmp_path, path, "tiny")


EVIL = [
    "<script>alert('evil')</script>",
    "<script>alert('evil')",
    "<!-- evil",
    "<img src=x onerror=evil()>",
    "<img src='http://evil/x.png'>",
    "</pre></section></body><iframe src='http://evil'></iframe>",
    "<div style='position: fixed; background: url(http://evil)'>a",
    "<a href='javascript:evil()'>a</a>",
    "<svg onload=evil()></svg>",
    "<style>body { display: none } @import 'http://evil';</style>",
    "<base href='http://evil'><link rel=stylesheet href='http://evil'><meta http-equiv=refresh content='0;url=evil'>",
    "<form action='http://evil'><button onclick=evil()>a</button></form>",
    "<noscript><p title='</noscript><img src=x onerror=evil()>'>",
    "<table><td>a<b onmouseover=evil()>b",
]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("place", ["heading", "text/html", "text/markdown", "image/svg+xml", "application/javascript"])
def test_nothing_that_a_notebook_shows_acts_on_the_page(tmp_path, evil, place):
    """What is below it is shown, and between the page's own tags stands nothing that runs or loads."""
    data = {"text/plain": "plain"} if place == "heading" else {place: evil}
    outputs = [nbformat.v4.new_output("display_data", data=data), nbformat.v4.new_output("stream", text="shown below")]
    cells = [
        nbformat.v4.new_markdown_cell(f"# A {evil if place == 'heading' else 'b'}"),
        nbformat.v4.new_code_cell("1", outputs=outputs, id="c0"),
        nbformat.v4.new_markdown_cell("# Last"),
        nbformat.v4.new_code_cell("2", outputs=outputs[1:], id="c1"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    text = page.write(tmp_path).read_text(encoding="utf-8").split("</style>", 1)[1]
    for tag in re.findall(r"<[^>]*>", text):
        assert re.fullmatch(r'</?\w+(\s(class|id|lang|charset|alt|href)="[^"<>]*")*/?>', tag), tag
        assert "evil" not in tag and not re.match(r"<(script|style|iframe|svg|form|base|link|meta)", tag)
    assert text.count("shown below") == 2 and "<h3>Last</h3>" in text
    assert text.count("<section") == text.count("</section>") == 1


def test_harmless_html_stays_as_it_is(tmp_path):
    table = "<table><thead><tr><th>k</th></tr></thead><tbody><tr><td><b>0.9</b> &lt; 1</td></tr></tbody></table>"
    output = nbformat.v4.new_output("display_data", data={"text/html": table, "text/plain": "plain"})
    cells = [
        nbformat.v4.new_markdown_cell("# A title\n\n# Loss `a < b` & *more*"),
        nbformat.v4.new_code_cell("1", outputs=[output], id="c0"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    text = page.write(tmp_path).read_text(encoding="utf-8")
    assert table in text and "<h3>Loss <code>a &lt; b</code> &amp; <em>more</em></h3>" in text


def test_what_a_run_noted_is_shown_as_text(tmp_path):
    notebook = notebook_of("1")
    notebook.metadata.sslcourse = {"run": {"scale": "<b>", "error": "<script>", "date": "<i>", "seconds": "<u>"}}
    nbformat.write(notebook, tmp_path / "a&b.ipynb")
    text = page.write(tmp_path).read_text(encoding="utf-8")
    assert not re.search("<b>|<script>|<i>|<u>", text) and "a&amp;b" in text and 'href="a%26b.ipynb"' in text


# --- several at once, interrupts, full disks


def test_a_second_run_in_one_checkout_is_refused(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path)
    monkeypatch.chdir(tmp_path)
    script = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True)"
    script += "; sys.stdin.read()"
    command = [sys.executable, "-c", script, str(tmp_path / ".runs.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        for arguments in (["run"], ["run", "--record"]):
            assert main(arguments) == 2
            out, error = capsys.readouterr()
            assert out == "" and error.count("\n") == 1 and "Another sslcourse run is writing to" in error
        other.stdin.close()
    monkeypatch.setattr(run, "run_notebook", lambda *arguments, **keywords: run.Result(NAME, Usage(1.0, 1.0), ""))
    (tmp_path / "runs").mkdir()
    assert main(["run"]) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("when", ["importing", "running"])
def test_an_interrupt_is_one_line(tmp_path, when):
    write_notebook(tmp_path, "# %% [markdown]\n# # Week 98\n\n# %%\nopen('started', 'w').close()\nwhile True: pass\n")
    # Who starts tests in the background starts them deaf to interrupts, and children inherit that.
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.path.pop(0); "
        "from sslcourse.cli import main; print('up', flush=True); sys.exit(main())"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(sslcourse.__file__).parents[1])}
    command = [sys.executable, "-c", script, "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        assert process.stdout.readline() == "up\n"
        while when == "running" and not (tmp_path / "notebooks" / "solutions" / "started").exists():
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        try:
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    said = [line for line in error.split("\n") if line and not re.search(r"week98_example at tiny: .*cell", line)]
    assert said == ["sslcourse: interrupted."] and out == "" and process.returncode == 130
    assert not list(tmp_path.rglob("*.part"))


def test_a_full_disk_leaves_no_part_and_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "runs" / "index.html"
    cli_files.write(path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Refusal, match="index.html cannot be written .No space left on device. and is left as it was"):
        cli_files.write(path, "new")
    assert path.read_text() == "old" and os.listdir(path.parent) == ["index.html"]


def test_a_refusal_after_an_open_bar_has_a_line_of_its_own(monkeypatch, capsys):
    def full(*arguments):
        std.tqdm(total=10, mininterval=0).update(3)  # as a library leaves it when the disk is full
        open_bars.append(std.tqdm._instances)
        raise Refusal("the disk is full.")

    open_bars = []
    monkeypatch.setattr(run, "run", full)
    assert main(["run"]) == 2
    assert capsys.readouterr().err.split("\n")[-2:] == ["sslcourse: the disk is full.", ""]


def test_a_folder_or_pipe_in_place_of_a_notebook_is_refused(tmp_path):
    (tmp_path / "a.ipynb").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "b.ipynb")
        os.mkfifo(tmp_path / "index.html")
    for path in tmp_path.iterdir():
        with pytest.raises(Refusal, match="cannot be read as a notebook"):
            cli_files.must_read(path)
        with pytest.raises(Refusal, match="is a (folder|named pipe), but it should be a file"):
            cli_files.write(path, "text")


# --- records


PROBE, SPREAD = [0.52, 0.48, 0.53], [1.0, 2.0, 4.0]


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A course whose notebook is played: it records what its seed says, and fails for seed 7."""
    write_notebook(tmp_path)

    def play(root, path, scale, seed, environment):
        lines = [
            {
                "kind": "report",
                "metrics": {"probe": {"value": PROBE[seed % 3], "chance": 0.1, "baseline": 0.2 + 0.01 * (seed % 3)}},
                "claims": [{"claim": "probe over random", "value": PROBE[seed % 3] - 0.2, "at_least": 0.25}],
                "swept": [{"claim": "tau", "sweep": "temperature", "value": SPREAD[seed % 3], "at_least": 1.5}],
                "threads": 1 + seed // 8,
            }
        ]
        if environment["SSLCOURSE_SWEEPS"]:
            values = [SPREAD[seed % 3], 0.0]
            lines.append({"kind": "sweep", "name": "temperature", "points": [0.1, 0.5], "values": values})
        with open(environment["SSLCOURSE_RECORD"], "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        failed = seed == 7
        return run.Result(path.stem, None if failed else Usage(30.0 + seed, 600.0 + seed), "cell x" if failed else "")

    monkeypatch.setattr(run, "run_notebook", play)
    (tmp_path / "runs").mkdir()
    return tmp_path


def expected(root):
    return json.loads((root / "sslcourse" / "expected" / "week98.json").read_text())


def test_a_record_holds_mean_and_spread_over_the_seeds(recorded):
    assert record.record(recorded, ["week98"], "tiny", [0, 1, 2], sweeps=False) == 0
    tiny = expected(recorded)["tiny"]
    assert tiny["metrics"]["probe"]["mean"] == pytest.approx(statistics.mean(PROBE), rel=1e-5)
    assert tiny["metrics"]["probe"]["std"] == pytest.approx(statistics.stdev(PROBE), rel=1e-5)
    assert tiny["metrics"]["probe"]["chance"] == 0.1 and tiny["metrics"]["probe"]["baseline"] == pytest.approx(0.21)
    (claim,) = tiny["must_show"]
    assert claim["value"] == pytest.approx(0.31) and claim["at_least"] == 0.25
    assert claim["values"] == pytest.approx([0.32, 0.28, 0.33])
    assert tiny["recorded"]["seeds"] == [0, 1, 2] and tiny["recorded"]["seconds"] == 31.0
    assert tiny["recorded"]["peak_memory_mb"] == 602 and "torch" in tiny["recorded"]["packages"]
    assert re.search(r", \d+ cores$", tiny["recorded"]["hardware"]) and len(tiny["recorded"]["date"]) == 10
    assert expected(recorded)["small"] is None and expected(recorded)["full"] is None


def test_a_record_leaves_other_scales_and_sweeps_alone(recorded):
    record.record(recorded, [], "tiny", [0, 1, 2], sweeps=False)
    record.record(recorded, [], "tiny", [0, 1, 2], sweeps=True)
    first = expected(recorded)["tiny"]
    record.record(recorded, [], "small", [0], sweeps=False)
    record.record(recorded, [], "tiny", [1], sweeps=False)
    now = expected(recorded)
    assert now["small"]["recorded"]["seeds"] == [0] and now["tiny"]["recorded"]["seeds"] == [1]
    assert now["tiny"]["sweeps"] == first["sweeps"] and now["tiny"]["sweep_claims"] == first["sweep_claims"]
    assert now["tiny"]["metrics"]["probe"]["std"] is None  # one seed tells nothing of the spread


def test_sweeps_are_recorded_beside_the_results(recorded):
    record.record(recorded, [], "tiny", [0], sweeps=False)
    before = expected(recorded)["tiny"]
    assert record.record(recorded, [], "tiny", [0, 1, 2], sweeps=True) == 0
    after = expected(recorded)["tiny"]
    sweep = after.pop("sweeps")["temperature"]
    (claim,) = after.pop("sweep_claims")
    assert claim["value"] == pytest.approx(statistics.mean(SPREAD), rel=1e-5) and claim["values"] == SPREAD
    assert after == before and before["recorded"]["threads"] == 1
    assert sweep["values"] == [SPREAD, [0, 0, 0]]
    assert sweep["points"] == [0.1, 0.5] and sweep["recorded"]["seeds"] == [0, 1, 2]
    assert sweep["mean"] == pytest.approx([statistics.mean(SPREAD), 0], rel=1e-5)
    assert sweep["std"] == pytest.approx([statistics.stdev(SPREAD), 0], rel=1e-5)


def test_sweeps_may_come_first(recorded):
    assert record.record(recorded, [], "tiny", [0, 1], sweeps=True) == 0
    tiny = expected(recorded)["tiny"]
    assert tiny["metrics"] == {} and tiny["must_show"] == [] and tiny["recorded"]["seeds"] == [0, 1]
    assert record.record(recorded, [], "tiny", [0], sweeps=False) == 0
    assert expected(recorded)["tiny"]["metrics"].keys() == {"probe"}
    assert expected(recorded)["tiny"]["sweeps"] == tiny["sweeps"]


def test_nothing_is_recorded_with_the_code_of_yesterday(recorded):
    path = recorded / source.FOLDER / f"{NAME}.py"
    path.write_text(path.read_text(encoding="utf-8").replace("double(21)", "double(4)"), encoding="utf-8")
    with pytest.raises(Refusal, match="sslcourse build --no-execute"):
        record.record(recorded, [], "tiny", [0], sweeps=False)
    build.build(recorded, execute=False)
    assert record.record(recorded, [], "tiny", [0], sweeps=False) == 0


def test_a_claim_that_fails_is_written_as_it_is_and_told(recorded, monkeypatch, capsys):
    monkeypatch.setitem(globals(), "PROBE", [0.3, 0.3, 0.3])
    assert record.record(recorded, [], "tiny", [0, 1, 2], sweeps=False) == 1
    assert expected(recorded)["tiny"]["must_show"][0]["value"] == pytest.approx(0.1)
    assert "'probe over random' came out as 0.1 in the mean, below 0.25" in capsys.readouterr().out


def test_a_claim_of_a_sweep_that_fails_is_told_when_the_sweep_is_recorded(recorded, monkeypatch, capsys):
    monkeypatch.setitem(globals(), "SPREAD", [1.0, 1.0, 1.0])
    assert record.record(recorded, [], "tiny", [0, 1, 2], sweeps=False) == 0
    assert record.record(recorded, [], "tiny", [0, 1, 8], sweeps=True) == 1
    assert "'tau' came out as 1 in the mean, below 1.5" in capsys.readouterr().out
    sweep = expected(recorded)["tiny"]["sweeps"]["temperature"]
    assert sweep["recorded"]["threads"] is None  # the seeds had different numbers


def test_a_seed_that_fails_costs_only_itself(recorded, capsys):
    assert record.record(recorded, [], "tiny", [0, 7, 2], sweeps=False) == 1
    assert expected(recorded)["tiny"]["recorded"]["seeds"] == [0, 2]
    assert "seed 7 failed and is not in the record" in capsys.readouterr().out


def test_an_interrupt_keeps_the_finished_seeds(recorded, monkeypatch):
    play = run.run_notebook

    def interrupted(root, path, scale, seed, environment):
        if seed == 2:
            raise KeyboardInterrupt
        return play(root, path, scale, seed, environment)

    monkeypatch.setattr(run, "run_notebook", interrupted)
    monkeypatch.chdir(recorded)
    assert main(["run", "--record"]) == 130
    assert expected(recorded)["tiny"]["recorded"]["seeds"] == [0, 1]


def test_a_broken_record_is_named_before_the_work(recorded, monkeypatch):
    (recorded / "sslcourse" / "expected").mkdir()
    (recorded / "sslcourse" / "expected" / "week98.json").write_text("<<<<<<< HEAD")
    monkeypatch.setattr(run, "run_notebook", lambda *arguments: pytest.fail("worked for nothing"))
    with pytest.raises(Refusal, match="is not valid JSON"):
        record.record(recorded, [], "tiny", [0], sweeps=False)


def test_a_notebook_without_report_is_named(recorded, monkeypatch, capsys):
    monkeypatch.setattr(run, "run_notebook", lambda *arguments, **keywords: run.Result(NAME, Usage(1.0, 1.0), ""))
    assert record.record(recorded, [], "tiny", [0], sweeps=False) == 1
    assert "should end with check.report" in capsys.readouterr().out
    assert not (recorded / "sslcourse" / "expected").exists()


def test_a_real_notebook_is_told_to_record_with_its_seed(tmp_path):
    metrics = "{'seed': {'value': int(os.environ['SSLCOURSE_SEED'])}}"
    line = f"{{'kind': 'report', 'metrics': {metrics}, 'claims': [], 'swept': [], 'threads': 1}}"
    code = f"import json, os\nwith open(os.environ['SSLCOURSE_RECORD'], 'a') as file:\n    json.dump({line}, file)\n"
    write_notebook(tmp_path, f"# %% [markdown]\n# # Week 98\n\n# %%\n{code}")
    assert record.record(tmp_path, [], "tiny", [3, 5], sweeps=False) == 0
    seed = expected(tmp_path)["tiny"]["metrics"]["seed"]
    assert seed["mean"] == 4 and seed["chance"] is None
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {f"{NAME}_seed3.ipynb", f"{NAME}_seed5.ipynb", "index.html"}


def test_the_page_has_titles_a_viewport_and_a_way_to_the_site(tmp_path):
    """Titles in place of file names; of a notebook without a heading its name, which is all that it has."""
    runs = tmp_path / "runs"
    runs.mkdir()
    title = "# Week 97 · A title"
    for name, text in (("week97_a", title), ("week97_a_seed3", title), ("b", "no title")):
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)]), runs / f"{name}.ipynb")
    text = page.write(runs).read_text(encoding="utf-8")
    assert '<meta name="viewport"' in text and "site/index.html" not in text
    assert '<a href="#week97_a">Week 97 · A title</a>' in text and "<h2>Week 97 · A title</h2>" in text
    assert '<a href="#week97_a_seed3">Week 97 · A title, seed 3</a>' in text and '<a href="#b">b</a>' in text
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("")
    assert '<a href="../site/index.html">' in page.write(runs).read_text(encoding="utf-8")
