"""A map of a feature space in two dimensions.

A t-SNE map keeps who is near whom; the sizes of its clusters and the distances between them mean nothing.

References: van der Maaten and Hinton 2008, "Visualizing data using t-SNE"; Kobak and Berens 2019, "The art of using
t-SNE for single-cell transcriptomics" (why the start should be PCA rather than random).
"""

from collections.abc import Sequence

import numpy as np
import torch

from sslcourse import arguments
from sslcourse.plot.style import COLOURS, MARKERS, check_size, fitting, legend, look, named, new_figure, styled

_MOST = 1500  # points: more take longer than they show
_COLUMN = 16  # names of classes that fit below each other


def plane(features, seed: int = 0) -> torch.Tensor:
    """t-SNE of standardised features (N, D), started from PCA: points (N, 2), to be drawn by `clouds` or measured."""
    seed = arguments.whole("seed", seed, 0, 2**32 - 1)
    return torch.from_numpy(_tsne(_points("features", features), seed))


@styled
def embedding(features, labels, class_names: Sequence[str], title: str | None = None, seed: int = 0):
    """t-SNE of standardised features, started from PCA, coloured by class.

    features: (N, D); labels: (N,) numbers into class_names. Of more than 1,500 points a random 1,500 are drawn.
    Classes differ in marker as well as in colour.
    """
    arguments.text("title", title, optional=True)
    seed = arguments.whole("seed", seed, 0, 2**32 - 1)
    x = _points("features", features)
    y, class_names = _classes(labels, class_names, len(x))
    chosen = np.random.default_rng(seed).permutation(len(x))[:_MOST]
    figure = new_figure(8.2 + _further(class_names), 5.6)
    _cloud(figure.subplots(), _tsne(x[chosen], seed), y[chosen], class_names, title or "t-SNE of the features")
    _name(figure.axes[0], class_names)
    return figure


@styled
def clouds(panels, labels, class_names: Sequence[str], title: str | None = None):
    """The same samples in several planes side by side, coloured by class as in `embedding`.

    panels: {name: points (N, 2)}, such as `plane` gives; labels: (N,) numbers into class_names.
    """
    arguments.text("title", title, optional=True)
    panels = named("panels", panels, '{"this run": points}')
    if not panels:
        raise ValueError('There is nothing to draw: give at least one cloud, such as {"this run": points}.')
    places = {name: _points(repr(name), points) for name, points in panels.items()}
    for name, points in places.items():
        if points.shape[1] != 2:
            raise ValueError(f"{name!r} has shape {points.shape}; points in a plane are (N, 2).")
        y, class_names = _classes(labels, class_names, len(points))
    figure = new_figure(4.6 * len(places) + 1.6 + _further(class_names), 4.9)
    axes = figure.subplots(1, len(places), squeeze=False)[0]
    for ax, (name, points) in zip(axes, places.items(), strict=True):
        _cloud(ax, points, y, class_names, name)
    _name(axes[-1], class_names)
    if title:
        figure.suptitle(title)
    return figure


def _points(name: str, features) -> np.ndarray:
    x = arguments.tensor(name, features, "(N, D)").detach().cpu()
    if x.dim() < 2 or x.is_complex() or not len(x):
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it should hold real numbers (N, D).")
    x = x.double().flatten(1).numpy()
    if len(x) < 5:
        raise ValueError(f"A map needs at least 5 points, not {len(x)}.")
    if not x.shape[1]:
        raise ValueError("The features have no columns; there is nothing to map.")
    if not np.isfinite(x).all():
        raise ValueError("Some features are not finite numbers; look at them before drawing a map.")
    check_size(name, x)
    return x


def _classes(labels, class_names: Sequence[str], n: int) -> tuple[np.ndarray, list]:
    y = arguments.tensor("labels", labels, "whole numbers (N,)").detach().cpu()
    class_names = fitting("class_names", class_names)
    if len(class_names) > len(COLOURS) * len(MARKERS):
        raise ValueError(f"There are {len(class_names)} classes; {len(COLOURS) * len(MARKERS)} can be told apart.")
    if y.dim() != 1 or n != len(y):
        raise ValueError(f"There are {n} features for {y.numel()} labels; they must be equally many.")
    if y.is_complex() or y.dtype == torch.bool or not (y.isfinite() & (y == y.round())).all():
        raise ValueError("labels should hold whole numbers; points of other ones would be missing from the map.")
    y = y.long().numpy()
    if y.min() < 0 or y.max() >= len(class_names):
        raise ValueError(f"Labels run from {y.min()} to {y.max()}, and there are {len(class_names)} class names.")
    return y, class_names


def _tsne(x: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2); constant features (a dead unit) stay at 0 instead of dividing by zero."""
    from sklearn.manifold import TSNE

    x = x / np.maximum(np.abs(x).max(axis=0), np.finfo(float).tiny)  # squares of the rest stay within range
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    collapsed = not spread.any()
    start = "random" if collapsed or x.shape[1] < 2 else "pca"
    perplexity = min(30.0, (len(x) - 1) / 3)
    return TSNE(init=start, perplexity=perplexity, random_state=seed).fit_transform(x)


def _further(class_names: Sequence[str]) -> float:
    """Inches that further columns of the legend need."""
    longest = max(map(len, class_names), default=0)
    return (-(-len(class_names) // _COLUMN) - 1) * (0.6 + 0.1 * longest)


def _name(ax, class_names: Sequence[str]) -> None:
    columns = -(-len(class_names) // _COLUMN)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.6, ncols=columns)


def _cloud(ax, points: np.ndarray, y: np.ndarray, class_names: Sequence[str], title: str) -> None:
    for n, name in enumerate(class_names):
        here = points[y == n]
        colour, marker = look(n)
        style = {"s": 22, "marker": marker, "color": colour, "alpha": 0.8, "linewidths": 0}
        ax.scatter(here[:, 0], here[:, 1], label=legend(name), **style)
    ax.set(xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
    ax.set_title(title)
