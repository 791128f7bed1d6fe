"""MathJax and reveal.js as files of packages, written into the page: what is exported needs no network.

References: https://docs.mathjax.org/en/v3.2/web/components/combined.html and https://revealjs.com/config/
"""

import importlib.metadata
import json
import re

from sslcourse.cli import Refusal

MATHJAX = (
    "sphinx-mathjax-offline",
    "static/mathjax/tex-svg-full.js",
)  # as SVG: without fonts that are files of their own
REVEAL = ("sphinx-revealjs", "_static/revealjs/dist/reveal.js")
REVEAL_STYLE = ("sphinx-revealjs", "_static/revealjs/dist/reveal.css")
_SETTINGS = {
    "tex": {
        "inlineMath": [["$", "$"], ["\\(", "\\)"]],
        "displayMath": [["$$", "$$"], ["\\[", "\\]"]],
        "processEscapes": True,
        "tags": "ams",
    },
    "options": {"enableMenu": False},
    "startup": {"typeset": True},
}


def text_of(package: str, ending: str) -> str:
    """A text file of an installed package. Raises Refusal where there is none."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.as_posix().endswith(ending):
            return file.locate().read_text(encoding="utf-8")
    raise Refusal(f"{package} is not installed, whose files the page needs; run: pip install {package}.")


def script(text: str) -> str:
    """A script element that holds the text; nothing in it may end the element."""
    return "<script>" + re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE) + "</script>"


def formulas(text: str) -> str:
    """What typesets the formulas in a page of this text, "" where there are none."""
    if not re.search(r"\$|\\\(|\\\[|\\begin\{", text):
        return ""
    return script(f"window.MathJax = {json.dumps(_SETTINGS)};") + script(text_of(*MATHJAX))
