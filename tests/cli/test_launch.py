"""The cell that installs the course on Colab and Kaggle, and the links that open a notebook there."""

import importlib.util
import os
import subprocess
import sys
import types

import pytest
from nbformat import v4

from sslcourse.cli import Refusal, launch


def run(source, monkeypatch, colab=True, installed=False):
    """What pip was asked to install, when the cell ran there."""
    asked = []
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    if colab == "kaggle":
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    elif colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed or None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: asked.append(command[1:]))
    exec(source, {"__name__": "__main__"})
    return asked


@pytest.mark.parametrize("where", [True, "kaggle"])
def test_without_a_stamp_the_cell_says_what_to_do_and_installs_nothing(where, monkeypatch):
    with pytest.raises(RuntimeError, match=r"write the address into COURSE above, git\+https"):
        run(launch.CELL, monkeypatch, where)


@pytest.mark.parametrize("what", ["git+https://github.com/OWNER/NAME", "https://example.org/a-1.0-py3-none-any.whl"])
@pytest.mark.parametrize("where", [True, "kaggle"])
def test_a_stamped_cell_installs_that_address_and_no_name(what, where, monkeypatch):
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell('COURSE = ""'), v4.new_code_cell(launch.CELL)])
    assert launch.stamp(notebook, what) and notebook.cells[0].source == 'COURSE = ""'
    assert run(notebook.cells[1].source, monkeypatch, where) == [["-m", "pip", "install", "-q", what]]
    assert not launch.stamp(notebook, what)  # once


@pytest.mark.parametrize("where, installed", [(False, True), (False, False), (True, True), ("kaggle", True)])
def test_anywhere_else_and_where_it_is_installed_the_cell_does_nothing(where, installed, monkeypatch):
    assert run(launch.CELL, monkeypatch, where, installed) == []
    assert "google.colab" not in os.environ


@pytest.mark.parametrize(
    "given, address",
    [
        ("https://github.com/OWNER/NAME", "https://github.com/OWNER/NAME"),
        ("https://github.com/OWNER/NAME.git", "https://github.com/OWNER/NAME"),
        ("https://github.com/OWNER/NAME/", "https://github.com/OWNER/NAME"),
        ("git@github.com:OWNER/NAME.git", "https://github.com/OWNER/NAME"),
        ("ssh://git@gitlab.example.org:2222/a/b/c.git", "https://gitlab.example.org/a/b/c"),
        ("https://me:secret@github.com/OWNER/NAME.git", "https://github.com/OWNER/NAME"),
    ],
)
def test_addresses_of_repositories_lose_what_is_private(given, address):
    assert launch.repository(given) == address


@pytest.mark.parametrize(
    "given",
    [
        *("sslcourse", "", "http://github.com/OWNER/NAME", "https://github.com/OWNER", "/srv/git/course.git"),
        *('https://github.com/OWNER/NA"ME', "https://github.com/OWNER/NAME\nx", "https://github.com/a/../b/c"),
        *("git+https://github.com/OWNER/NAME", "https://github.com/OWNER/NAME?x=1", "ext::sh -c id/x/y"),
    ],
)
def test_what_is_no_address_of_a_repository_is_refused(given):
    with pytest.raises(Refusal, match="is no address of a repository"):
        launch.repository(given)


@pytest.mark.parametrize(
    "given",
    ["sslcourse", "sslcourse-0.1.0-py3-none-any.whl", "http://example.org/a.whl", 'https://a.org/".whl', "a\n.whl"],
)
def test_what_is_no_address_of_a_wheel_is_refused(given):
    with pytest.raises(Refusal, match="is no address of a wheel"):
        launch.wheel(given)


def test_links_for_public_hosts_and_for_no_other():
    there = launch.links("https://github.com/OWNER/NAME", "spring/26", "notebooks/week04_simclr.ipynb")
    assert there == {
        "Colab": "https://colab.research.google.com/github/OWNER/NAME/blob/spring/26/notebooks/week04_simclr.ipynb",
        "Binder": "https://mybinder.org/v2/gh/OWNER/NAME/spring%2F26?labpath=notebooks/week04_simclr.ipynb",
        "Kaggle": "https://kaggle.com/kernels/welcome?src="
        "https://github.com/OWNER/NAME/blob/spring/26/notebooks/week04_simclr.ipynb",
    }
    assert launch.links("https://gitlab.com/a/b", "main", "n.ipynb") == {
        "Binder": "https://mybinder.org/v2/gl/a%2Fb/main?labpath=n.ipynb"
    }
    assert launch.links("https://git.example.org/a/b", "main", "n.ipynb") == launch.links(None, "main", "n.ipynb") == {}
