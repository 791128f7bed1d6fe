"""Display a figure with its alternative text, and say when a reference solution stood in for an exercise.

The alternative text is in the output's metadata, {"image/png": {"alt": ...}}. nbconvert's `classic` template writes
it into the page; its `lab` template (7.17) and JupyterLab (4.6) do not look there. It is the output's plain text, too.
"""

import base64
import io
import os
import sys
from pathlib import Path

from sslcourse import files, notices
from sslcourse.plot.style import DPI, GREY


def show(figure, alt: str) -> None:
    """Display a figure in a notebook and close it; in a plain program only close it, or keep it in SSLCOURSE_FIGURES.

    figure: a matplotlib Figure. alt: what it shows, for those who cannot see it; one or two sentences.
    Where results rest on a reference solution, a line under the figure names it.
    Raises TypeError for something that is no Figure, ValueError for an empty alternative text.
    """
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        raise TypeError(f"show takes a figure, such as plot.curves(...) returns, and got {_name(figure)}.")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError('A figure needs an alternative text: plot.show(figure, alt="what a reader should see in it").')
    if notice := notices.notice():
        # Below the figure's edge, where nothing else is drawn; bbox_inches="tight" makes room for it.
        figure.text(0.5, -0.01, notice, ha="center", va="top", fontsize=10, style="italic", color=GREY)
    _powers(figure)
    if _in_notebook():
        _display(figure, alt.strip())
    elif notices.first() and (folder := os.environ.get("SSLCOURSE_FIGURES")):
        _keep(figure, Path(folder))
    _close(figure)


def _powers(figure) -> None:
    """Let powers of ten be drawn as such: on an axis that was made logarithmic they are formulas, and no names."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if axis.get_scale() == "log":
                for label in axis.get_ticklabels(which="both"):
                    label.set_parse_math(True)


def _keep(figure, folder: Path) -> None:
    """The next figure of a program that several processes run: 01.png, 02.png, ..."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / f"{len(list(folder.glob('*.png'))) + 1:02d}.png", memory.getvalue())


def _in_notebook() -> bool:
    """Whether IPython runs us; IPython is not imported for asking."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _display(figure, alt: str) -> None:
    from IPython.display import display
    from PIL import Image

    # 256 colours are a third of the bytes, and a notebook is committed with its figures in it. They are chosen to cover
    # all colours that occur, then moved to the means of what they stand for: chosen by how often a colour occurs, as
    # Pillow does unasked, the ends of a colour bar were painted grey where few cells had their colour.
    full, png = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    all_colours = Image.open(full).convert("RGB")
    few = all_colours.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    few.save(png, format="png", optimize=True)
    data = {"image/png": base64.b64encode(png.getvalue()).decode("ascii"), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


def _close(figure) -> None:
    """Free the pixels, and strike a figure that a student made with pyplot from pyplot's list."""
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(figure)
    for ax in figure.axes:  # figure.clear would set up every panel anew before it drops it
        for image in list(ax.images):
            image.remove()
        ax.figure.delaxes(ax)
    figure.clear()


def _name(thing) -> str:
    return f"an object of type {type(thing).__name__}"
