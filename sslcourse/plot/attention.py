"""What attention looks at, laid over the images."""

import math

from sslcourse import arguments
from sslcourse.plot.images import _INCHES, _draw, _pixels
from sslcourse.plot.style import new_figure, styled


@styled
def attention(images, weights, grid: tuple[int, int] | None = None, title: str | None = None):
    """Each image, at the left, beside one overlay for every head: pale where a patch gets no more than its even share.

    images: (N, C, H, W). weights: (N, heads, L), how much one token (mostly the class token) looks at each patch, the
    token itself left out; patches row by row. grid: (rows, columns) of the patches, a square if not given. Drawn is
    each patch's share of what its head gives to all patches. The colours of a row share one scale around 1 / L, the
    even share: orange below it, down to 0, and purple above it, up to 2 / L or the largest share of the row.
    """
    from matplotlib.colors import TwoSlopeNorm

    pixels = _pixels(images)
    arguments.text("title", title, optional=True)
    weights = arguments.real_tensor("weights", weights, "(N, heads, L)").cpu().double()
    if weights.dim() != 3 or len(weights) != len(pixels) or 0 in weights.shape:
        raise ValueError(
            f"The weights are {tuple(weights.shape)}; they should be (N, heads, L), one row of patches for every head "
            f"of each of the {len(pixels)} images: of (N, heads, 1 + L, 1 + L) take [:, :, 0, 1:]."
        )
    n, heads, length = weights.shape
    if not weights.isfinite().all() or weights.min() < 0:
        raise ValueError("Some weights are negative or no finite numbers; attention is a share, from 0 on.")
    rows, columns = arguments.pair("grid", grid, "(4, 4)") if grid is not None else (math.isqrt(length),) * 2
    rows, columns = (arguments.whole("A side of grid", side, 1) for side in (rows, columns))
    if rows * columns != length:
        raise ValueError(
            f"A grid of {rows} x {columns} does not hold {length} patches; give grid=(rows, columns), and leave the "
            "class token out of the weights."
        )
    shares = weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-300)  # a head that looks at no patch: all 0
    even = 1 / length
    figure = new_figure((heads + 1) * 1.3 * _INCHES + 0.6, n * 1.3 * _INCHES + 0.3 + 0.35 * (title is not None))
    axes = figure.subplots(n, heads + 1, squeeze=False)
    for image, maps, line in zip(pixels, shares.unflatten(2, (rows, columns)).numpy(), axes, strict=True):
        _draw(line[0], image)
        height, width = image.shape[:2]
        largest = max(2 * even, float(maps.max()))
        scale = TwoSlopeNorm(even, 0, largest)
        for ax, seen in zip(line[1:], maps, strict=True):
            # The image in grey under half-transparent colours: its own colours would read as attention.
            grey = image.mean(axis=2) if image.ndim == 3 else image
            ax.imshow(grey, cmap="gray", vmin=0, vmax=1)
            picture = ax.imshow(
                seen, norm=scale, cmap="PuOr", alpha=0.6, extent=(-0.5, width - 0.5, height - 0.5, -0.5)
            )
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        bar = figure.colorbar(picture, ax=list(line), ticks=[0, even, largest], pad=0.01)
        bar.ax.set_yticklabels(["0", "1 / L", f"{largest:.2g}"])
    axes[0][0].set_title("image", fontsize=11)
    for head, ax in enumerate(axes[0][1:]):
        ax.set_title(f"head {head + 1}", fontsize=11)
    if title:
        figure.suptitle(title)
    return figure
