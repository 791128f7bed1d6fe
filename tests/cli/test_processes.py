"""`sslcourse run --processes`: what cannot be started gets a sentence, and of several processes one alone speaks."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from sslcourse import cli, plot
from sslcourse.check import week04 as check
from sslcourse.cli import processes
from sslcourse.train.processes import Processes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--processes", "2"], "--processes runs one week at a time"),
        (["4", "5", "--processes", "2"], "--processes runs one week at a time"),
        (["4", "--processes", "2", "--record"], "records nothing"),
        (["4", "--processes", "2", "--jobs", "2"], "--jobs and --profile are for notebooks"),
        (["4", "--processes", "2", "--profile"], "--jobs and --profile are for notebooks"),
        (["4", "--processes", "9999", "--scale", "full"], "--processes 9999 needs 9999 GPUs, and torch finds"),
    ],
)
def test_what_cannot_be_started_gets_a_sentence(arguments, sentence, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SSLCOURSE_DEVICE", "cuda")
    assert cli.main(["run", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5"])
def test_no_number_of_processes(count, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "4", "--processes", count])
    assert end.value.code == 2 and "number of processes" in capsys.readouterr().err


@pytest.mark.parametrize("rank", ["0", "1"])
def test_one_process_alone_prints_plots_and_checks(rank, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("SSLCOURSE_FIGURES", str(tmp_path / "figures"))
    script, printed = tmp_path / "script.py", tmp_path / "printed.txt"
    script.write_text("print('hello')")
    processes.main(str(script), str(printed))
    plot.show(plot.bars({"a": 1.0}), alt="One bar.")

    def wrong(z0, z1, temperature=0.5):
        return (z0 * z1).sum()

    if rank == "0":
        with pytest.raises(AssertionError):
            check.nt_xent(wrong, strict=True)
        assert printed.read_text() == "hello\n" and "hello" in capsys.readouterr().out
        assert (tmp_path / "figures" / "01.png").is_file()
    else:
        assert check.nt_xent(wrong, strict=True) is wrong
        assert not printed.exists() and capsys.readouterr().out == ""
        assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("end", ["exit()", "raise SystemExit", "import sys; sys.exit(0)"])
def test_a_program_that_ends_itself_has_not_gone_through(end, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", sys.path[:])
    (tmp_path / "script.py").write_text(f"print('hello')\n{end}\nprint('below')")
    with pytest.raises(SystemExit, match=r"^script: exit\(\) or quit\(\) ends the program before its end"):
        processes.main(str(tmp_path / "script.py"), str(tmp_path / "printed.txt"))
    assert (tmp_path / "printed.txt").read_text() == "hello\n"


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there are no groups of processes")
def test_a_program_has_a_time_limit_and_leaves_no_process_behind(tmp_path):
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', sys.argv[1]]); time.sleep(60)"
    grown = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    command = [sys.executable, "-c", child, grown]
    assert processes._wait(command, tmp_path, dict(os.environ), limit=2 / 60) is None
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert processes._wait([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, dict(os.environ), limit=1) == 3


@pytest.mark.parametrize("backend", ["nccl", "carrier pigeon"])
def test_a_backend_that_cannot_be_had_gets_a_sentence(backend, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("SSLCOURSE_BACKEND", backend)
    with pytest.raises(ValueError, match=f"SSLCOURSE_BACKEND is '{backend}', which cannot be had on cpu.*choose gloo"):
        Processes(torch.device("cpu"))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SSLCOURSE_BACKEND", "carrier pigeon", "SSLCOURSE_BACKEND is 'carrier pigeon', which cannot be had on cpu"),
        ("SSLCOURSE_DEVICE", "gpu", "SSLCOURSE_DEVICE is 'gpu'; it should be a device"),
        ("SSLCOURSE_DEVICE", "meta", "SSLCOURSE_DEVICE is 'meta', which torch cannot compute on here"),
    ],
)
def test_a_wrong_setting_is_refused_once_and_not_by_every_process(name, value, sentence, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SSLCOURSE_DEVICE", "cpu")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "_wait", lambda *_, **__: pytest.fail("it was started"))
    assert cli.main(["run", "4", "--processes", "2", "--scale", "small"]) == 2
    assert capsys.readouterr().err.startswith(f"sslcourse: {sentence}")


def test_a_process_without_a_gpu_gets_a_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "200")
    monkeypatch.setenv("LOCAL_RANK", "199")
    with pytest.raises(ValueError, match="Process 199 of this machine has no GPU"):
        Processes(torch.device("cuda"))


def test_more_processes_than_rows_get_a_sentence():
    three = Processes(torch.device("cpu"))
    three.count = 3
    with pytest.raises(ValueError, match="A batch of 2 cannot be shared by 3 processes; make it larger"):
        three.share(torch.arange(2))
