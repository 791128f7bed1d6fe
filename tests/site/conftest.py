"""The site, built once, and where a browser finds it."""

import functools
import http.server
import threading
from pathlib import Path

import pytest

from sslcourse.cli.site import site as build

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/OWNER/NAME"


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
