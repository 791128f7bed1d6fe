"""The site, built once, and a browser that looks at it."""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

from sslcourse.cli.site import site as build

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/OWNER/NAME"
ARTEFACTS = ROOT / "runs" / "screenshots"


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    assert build(ROOT, folder, repository=REPOSITORY) == 0
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address(site):
    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a browser: apt install chromium, or name one with CHROMIUM=/path/to/it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()
