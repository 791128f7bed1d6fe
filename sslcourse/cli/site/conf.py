"""Sphinx's configuration: MyST for Markdown, Furo for the look, MathJax from a file, nothing from elsewhere."""

import importlib.metadata
import importlib.util
import json
import shutil
from pathlib import Path

from sslcourse.cli import Refusal
from sslcourse.cli.site.links import Links

MARK = ".sslcourse-site"  # the file that tells a site of ours from another folder
MATHJAX = (
    *("startup.js", "core.js", "input/tex.js", "input/tex/extensions", "output/chtml.js"),
    *("output/chtml/fonts/tex.js", "output/chtml/fonts/woff-v2"),
)
STATIC = Path(__file__).parent / "static"
NEEDED = {"sphinx": "sphinx", "myst_parser": "myst-parser", "furo": "furo"}

_CONF = """
project = "Self-supervised learning, a course you can run"
author = "The sslcourse authors"
copyright = "the sslcourse authors; text CC BY 4.0, code MIT"
html_title = "Self-supervised learning"
extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
mathjax_path = "mathjax/startup.js"
mathjax3_config = {"loader": {"load": ["input/tex", "output/chtml"]}}
html_theme_options = {"navigation_with_keys": True, "source_repository": None}
"""


def mathjax() -> Path:
    """The folder of MathJax's files. Raises Refusal where what builds the site is not installed."""
    lacking = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    try:
        files = importlib.metadata.files("sphinx-mathjax-offline") or []
    except importlib.metadata.PackageNotFoundError:
        files, lacking = [], [*lacking, "sphinx-mathjax-offline"]
    if lacking:
        raise Refusal(f'The site needs {", ".join(lacking)}; make site installs them, or pip install -e ".[docs]".')
    script = next(file for file in files if file.name == "startup.js")
    return Path(script.locate()).parent


def write(pages: Path, links: Links) -> None:
    """Write conf.py, the style, and of MathJax the parts that formulas need: its menu alone is as heavy as the rest."""
    text = _CONF
    if links.repository:
        text += f"html_theme_options['source_repository'] = {json.dumps(links.repository)}\n"
    (pages / "conf.py").write_text(text.replace(', "source_repository": None', ""), encoding="utf-8")
    static = pages / "_static"
    static.mkdir(exist_ok=True)
    for file in STATIC.iterdir():
        shutil.copyfile(file, static / file.name)
    source = mathjax()
    for part in MATHJAX:
        target = static / "mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (source / part).is_dir() else shutil.copyfile)(source / part, target)
