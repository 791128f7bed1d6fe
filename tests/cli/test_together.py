"""Notebooks side by side: who waits, who is ended, what stays; played, without kernels wherever that will do."""

import subprocess
import sys
import threading
import time

import psutil
import pytest
from nbformat import v4

from sslcourse.cli import forked, kernel, memory, slowest, together
from sslcourse.cli.kernel import Usage, Watch
from sslcourse.cli.together import Task, side_by_side

GB = 2**30


class Played(Watch):
    """A kernel that holds what it is told to, until it is ended."""

    def __init__(self, held=0):
        super().__init__()
        self.held, self.ended = held, threading.Event()

    def memory(self):
        return 0 if self.ended.is_set() else self.held

    def end(self, why):
        super().end(why)
        self.ended.set()


@pytest.fixture
def machine(monkeypatch):
    """Memory that is free, and the kernels in the order in which they started."""
    watches = []

    def watch():
        watches.append(Played())
        return watches[-1]

    monkeypatch.setattr(together, "Watch", watch)
    monkeypatch.setattr(together, "LOOK", 0.01)
    machine = {"free": 8 * GB, "watches": watches}
    monkeypatch.setattr(memory, "free", lambda: machine["free"] - sum(watch.memory() for watch in watches))
    return machine


def test_as_many_as_asked_for_run_at_once_and_each_is_given_as_it_ends(machine):
    at_once, most, order = 0, 0, []
    lock, meet = threading.Lock(), threading.Barrier(2)

    def do(name, watch):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
            order.append(name)
        if name in "ab":
            meet.wait(10)  # only together
        with lock:
            at_once -= 1
        return name

    tasks = [Task(name, lambda watch, name=name: do(name, watch), 0) for name in "abcde"]
    assert sorted(side_by_side(tasks, 2)) == list("abcde")
    assert most == 2 and sorted(order[:2]) == ["a", "b"]


def test_one_waits_until_there_is_room_for_it_and_says_so_once(machine):
    machine["free"] = 3 * GB + together.RESERVE
    said, first = [], threading.Event()

    def large(watch):
        assert first.is_set(), "started beside the one that left no room"
        return "large"

    def small(watch):
        watch.held = GB
        time.sleep(0.1)
        first.set()
        watch.held = 0
        return "small"

    tasks = [Task("small", small, 2 * GB), Task("large", large, 2 * GB)]
    assert list(side_by_side(tasks, 2, tell=said.append)) == ["small", "large"]
    # Of the small one's 2 GB one is still to come.
    assert said == ["large waits: it takes about 2048 MB, and 1024 MB of memory are left."]


def test_the_first_has_its_try_whatever_it_takes(machine):
    machine["free"] = 0
    assert list(side_by_side([Task("a", lambda watch: "a", 100 * GB)], 4)) == ["a"]


def test_where_memory_runs_short_the_largest_is_ended_and_the_other_goes_on(machine):
    machine["free"] = 4 * GB
    grown = threading.Event()

    def greedy(watch):
        watch.held = 4 * GB - together.RESERVE - 2**20
        grown.set()
        assert watch.ended.wait(10)
        return watch.why

    def modest(watch):
        assert grown.wait(10)
        watch.held = 2**21
        while not machine["watches"][0].ended.is_set():
            time.sleep(0.01)
        return "went through" if not watch.ended.is_set() else watch.why

    tasks = [Task("greedy", greedy, 0), Task("modest", modest, 0)]
    why = f"it held 3895 MB and 199 MB of memory were left, so it was ended; {kernel.ROOM}"
    assert set(side_by_side(tasks, 2)) == {"went through", why}  # either may be the first to return


@pytest.mark.parametrize("error", [KeyboardInterrupt, kernel.Refusal])
def test_an_interrupt_or_an_error_ends_all_and_starts_no_more(machine, error):
    def do(watch):
        assert watch.ended.wait(10)

    def failing(watch):
        machine["watches"][0].started = True
        raise error

    begun = []
    tasks = [Task("a", do, 0), Task("b", failing, 0), Task("c", lambda watch: begun.append(1), 0)]
    with pytest.raises(error):
        list(side_by_side(tasks, 2))
    assert machine["watches"][0].interrupted and begun == []


def test_an_error_of_who_takes_the_results_ends_all(machine):
    tasks = [Task("a", lambda watch: "a", 0), Task("b", lambda watch: watch.ended.wait(10), 0)]
    results = side_by_side(tasks, 2)
    assert next(results) == "a"
    results.close()  # as contextlib.closing does
    assert machine["watches"][1].interrupted


def test_a_notebook_that_is_ended_before_its_kernel_is_there_never_runs(tmp_path):
    watch = Watch()
    watch.end("it was ended.")
    notebook = v4.new_notebook(cells=[v4.new_code_cell("open('ran', 'w')", id="c0")])
    with pytest.raises(kernel.NotebookFailed, match="^cell c0: it was ended.$"):
        kernel.execute(notebook, tmp_path, {}, watch=watch)
    assert not (tmp_path / "ran").exists()


def test_what_a_notebook_has_started_ends_with_it():
    program = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as kernel:
        started = psutil.Process(int(kernel.stdout.readline()))
        watch = Watch()
        watch.pid = kernel.pid
        watch.end("")
    deadline = time.monotonic() + 5
    while started.is_running() and started.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def group(folder, limit, used):
    folder.mkdir(parents=True)
    (folder / "memory.stat").write_text("anon 5\ninactive_file 30\ntotal_inactive_file 30\n")
    (folder / limit).write_text("1000\n")
    (folder / used).write_text("900\n")


def test_what_a_container_leaves_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_GROUPS", tmp_path / "none")
    of_the_machine = memory.free()
    assert of_the_machine > 2**20
    group(tmp_path / "v2", "memory.max", "memory.current")
    group(tmp_path / "v1" / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
    for version in ("v1", "v2"):
        monkeypatch.setattr(memory, "_GROUPS", tmp_path / version)
        assert memory.free() == 130
    (tmp_path / "v2" / "memory.max").write_text("max\n")
    assert memory.free() > 2**20
    (tmp_path / "v2" / "memory.max").write_text("100\n")
    assert memory.free() == 0


def test_the_profile_shows_ten_cells_and_what_the_kernels_cost():
    usages = {
        "week01_a": Usage(60.0, 1.0, {f"c{n}": float(n) for n in range(9)}),
        "week02_b": Usage(40.0, 1.0, {f"d{n}": 0.5 + n for n in range(6)}),
    }
    lines = slowest.table(usages).splitlines()
    assert lines[0] == "The 10 slowest of 15 cells take 49% of 100 s:"
    assert lines[1] == "     8.0 s   8.0%  week01_a, cell c8" and lines[-2].endswith("week02_b, cell d2")
    assert lines[-1] == "    46.0 s  46.0%  starts and ends of 2 kernels" and len(lines) == 12
    assert slowest.table({}) == "No notebook went through, so there is nothing to profile."


@pytest.mark.slow
@pytest.mark.skipif(not forked.HERE, reason="kernels are forked on Linux only")
def test_a_forked_kernel_is_as_a_fresh_one(tmp_path):
    """What a notebook sees of its process, a picture, and a kernel that is killed; without nursery it starts anew."""
    seen = "import os, sys; print(os.getcwd(), os.environ['MINE'], __name__, sys.argv[0], sys.path, sys.stdin.closed)"
    codes = [seen, "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()", "print('sslcourse' in sys.modules)"]
    begun = "print('torch._dynamo' in sys.modules)"

    def outputs(nursery):
        notebook = v4.new_notebook(cells=[v4.new_code_cell(code, id=f"c{n}") for n, code in enumerate([*codes, begun])])
        usage = kernel.execute(notebook, tmp_path, {"MINE": "here"}, nursery=nursery)
        assert usage.cells.keys() == {"c0", "c1", "c2", "c3"} and 0 < sum(usage.cells.values()) < usage.seconds
        *shown, heavy = [[out.get("text") or sorted(out.data) for out in cell.outputs] for cell in notebook.cells]
        return shown, heavy

    with forked.Nursery(kernel.merged({})) as nursery:
        shown, heavy = outputs(nursery)
        assert heavy == ["True\n"]
        killed = v4.new_notebook(cells=[v4.new_code_cell("import os; os.kill(os.getpid(), 9)", id="c0")])
        with pytest.raises(kernel.NotebookFailed, match="^cell c0: the kernel died"):
            kernel.execute(killed, tmp_path, {}, nursery=nursery)
    fresh, heavy = outputs(nursery)  # it is no more
    assert shown == fresh and ["image/png", "text/plain"] in shown[1]
    assert heavy == ["False\n"]
