"""Tests run offline, on the CPU and without a screen; those that need real data say so where it is missing."""

import os
import shutil
import signal

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SSLCOURSE_OFFLINE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
for variable in ("SSLCOURSE_SCALE", "SSLCOURSE_SEED", "SSLCOURSE_STRICT", "SSLCOURSE_RECORD", "SSLCOURSE_MINUTES"):
    os.environ.pop(variable, None)
os.environ.pop("NBGRADER_EXECUTION", None)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in whatever a shell starts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
import torch  # noqa: E402


def pytest_collection_modifyitems(items):
    """Files with slow tests first, so that no worker begins one when the others are done; no real data, no test of it.

    Whole files, since what a file's tests share is made once for all that follow each other.
    """
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)
    if os.environ.get("SSLCOURSE_DATA"):
        return
    missing = pytest.mark.skip(reason="needs real data: set SSLCOURSE_DATA to the folder of it (data/README.md)")
    for item in items:
        if "real_data" in item.keywords:
            item.add_marker(missing)


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def browser():
    """A real one, without a window: Debian's Chromium, or another named by CHROMIUM."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a browser: apt install chromium, or name one with CHROMIUM=/path/to/it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()
