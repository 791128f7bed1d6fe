"""The shapes of the toy scenes, drawn once as signed distances and looked up ever after.

A shape is a silhouette (the union of its parts) and some details painted on it, both in a box from -1 to 1 with y
pointing down. Each part is a polygon or an ellipse. A signed distance (negative inside) gives an anti-aliased edge at
any size: coverage of a pixel is about 1/2 minus the distance in pixels. Only +, -, *, / and square roots are used,
which IEEE 754 rounds alike on every platform.

Reference: Quilez, "2D distance functions", https://iquilezles.org/articles/distfunctions2d/
"""

from functools import lru_cache

import numpy as np

EXTENT = 1.5  # the tables reach a little over the box, for the outline and the edge
CELLS = 192

Part = tuple  # ("polygon", corners) or ("ellipse", x, y, radius_x, radius_y)


def _polygon(*corners: tuple[float, float]) -> Part:
    return ("polygon", corners)


def _box(left: float, top: float, right: float, bottom: float) -> Part:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _ellipse(x: float, y: float, radius_x: float, radius_y: float | None = None) -> Part:
    return ("ellipse", x, y, radius_x, radius_x if radius_y is None else radius_y)


# name: (silhouette, details). Every shape has a top and a bottom, and none looks the same after a quarter or half turn.
SHAPES: dict[str, tuple[list[Part], list[Part]]] = {
    "house": (
        [_polygon((0, -0.95), (1, -0.1), (-1, -0.1)), _box(-0.75, -0.15, 0.75, 0.9), _box(0.4, -0.95, 0.68, -0.3)],
        [_box(0.1, 0.3, 0.48, 0.9), _box(-0.52, 0.12, -0.15, 0.48)],
    ),
    "tree": (
        [
            _polygon((0, -1), (0.5, -0.4), (-0.5, -0.4)),
            _polygon((0, -0.75), (0.7, 0.1), (-0.7, 0.1)),
            _polygon((0, -0.4), (0.85, 0.6), (-0.85, 0.6)),
            _box(-0.17, 0.5, 0.17, 1),
        ],
        [_ellipse(-0.2, 0.3, 0.14), _ellipse(0.25, -0.1, 0.14), _box(-0.17, 0.66, 0.17, 1)],
    ),
    "boat": (
        [
            _polygon((-1, 0.35), (1, 0.35), (0.6, 0.9), (-0.6, 0.9)),
            _box(-0.07, -1, 0.07, 0.4),
            _polygon((-0.1, -0.85), (-0.1, 0.18), (-0.85, 0.18)),
            _polygon((0.1, -1), (0.1, 0.18), (0.8, 0.18)),
        ],
        [_box(-0.07, -1, 0.07, 0.35), _box(-0.6, 0.5, 0.6, 0.64)],
    ),
    "car": (
        [
            _box(-1, -0.1, 1, 0.45),
            _polygon((-0.7, -0.05), (-0.45, -0.6), (0.3, -0.6), (0.65, -0.05)),
            _ellipse(-0.55, 0.42, 0.3),
            _ellipse(0.55, 0.42, 0.3),
        ],
        [
            _ellipse(-0.55, 0.42, 0.17),
            _ellipse(0.55, 0.42, 0.17),
            _polygon((-0.5, -0.1), (-0.35, -0.45), (-0.12, -0.45), (-0.12, -0.1)),
            _polygon((0.05, -0.1), (0.05, -0.45), (0.23, -0.45), (0.42, -0.1)),
        ],
    ),
    "mushroom": (
        [
            _polygon(
                (-1, 0.15),
                (-0.93, -0.25),
                (-0.7, -0.6),
                (-0.35, -0.83),
                (0, -0.9),
                (0.35, -0.83),
                (0.7, -0.6),
                (0.93, -0.25),
                (1, 0.15),
            ),
            _polygon((-0.25, 0.1), (0.25, 0.1), (0.4, 0.95), (-0.4, 0.95)),
        ],
        [_ellipse(-0.5, -0.25, 0.17), _ellipse(0.05, -0.5, 0.17), _ellipse(0.5, -0.15, 0.17)],
    ),
    "rocket": (
        [
            _polygon((0, -1), (0.3, -0.6), (0.38, -0.1), (0.38, 0.6), (-0.38, 0.6), (-0.38, -0.1), (-0.3, -0.6)),
            _polygon((-0.3, 0.05), (-0.85, 0.6), (-0.85, 0.95), (-0.3, 0.6)),
            _polygon((0.3, 0.05), (0.85, 0.6), (0.85, 0.95), (0.3, 0.6)),
            _polygon((-0.2, 0.55), (0.2, 0.55), (0, 1)),
        ],
        [_ellipse(0, -0.25, 0.2), _polygon((-0.18, 0.66), (0.18, 0.66), (0, 1))],
    ),
    "cup": (
        [
            _polygon((-0.85, -0.6), (0.5, -0.6), (0.35, 0.75), (-0.7, 0.75)),
            _box(0.4, -0.4, 0.9, -0.2),
            _box(0.72, -0.4, 0.92, 0.35),
            _box(0.35, 0.17, 0.92, 0.37),
        ],
        [_ellipse(-0.175, -0.52, 0.55, 0.12)],
    ),
    "flower": (
        [
            _polygon(
                (-0.6, -0.95),
                (-0.28, -0.6),
                (0, -1),
                (0.28, -0.6),
                (0.6, -0.95),
                (0.55, -0.25),
                (0.25, 0),
                (-0.25, 0),
                (-0.55, -0.25),
            ),
            _box(-0.1, -0.1, 0.1, 1),
            _polygon((0, 0.9), (0.3, 0.4), (0.85, 0.1), (0.65, 0.65)),
            _polygon((0, 0.9), (-0.3, 0.4), (-0.85, 0.1), (-0.65, 0.65)),
        ],
        [_ellipse(0, -0.35, 0.2)],
    ),
    "cat": (
        [
            _ellipse(0, 0.15, 0.9, 0.75),
            _polygon((-0.85, 0.1), (-0.8, -0.95), (-0.15, -0.45)),
            _polygon((0.85, 0.1), (0.8, -0.95), (0.15, -0.45)),
        ],
        [_ellipse(-0.38, 0.02, 0.16), _ellipse(0.38, 0.02, 0.16), _polygon((-0.17, 0.35), (0.17, 0.35), (0, 0.56))],
    ),
    "duck": (
        [
            _ellipse(-0.1, 0.4, 0.75, 0.48),
            _ellipse(0.42, -0.38, 0.38),
            _polygon((0.7, -0.5), (1.05, -0.3), (0.7, -0.15)),
            _polygon((0.1, -0.3), (0.75, -0.2), (0.6, 0.4), (0, 0.4)),
            _polygon((-0.5, 0.3), (-1, -0.15), (-0.8, 0.55)),
        ],
        [_ellipse(0.45, -0.45, 0.13), _polygon((-0.5, 0.3), (0.2, 0.25), (-0.15, 0.65))],
    ),
    "umbrella": (
        [
            _polygon(
                (-1, 0.05),
                (-0.85, -0.45),
                (-0.5, -0.8),
                (0, -0.95),
                (0.5, -0.8),
                (0.85, -0.45),
                (1, 0.05),
                (0.66, -0.12),
                (0.33, 0.05),
                (0, -0.12),
                (-0.33, 0.05),
                (-0.66, -0.12),
            ),
            _box(-0.09, -0.2, 0.09, 0.9),
            _box(0, 0.75, 0.4, 0.93),
            _box(0.25, 0.55, 0.4, 0.93),
        ],
        [_polygon((-0.33, 0.05), (0, -0.95), (0.33, 0.05), (0, -0.12))],
    ),
    "snowman": (
        [
            _ellipse(0, 0.5, 0.58, 0.5),
            _ellipse(0, -0.25, 0.4),
            _box(-0.5, -0.68, 0.5, -0.55),
            _box(-0.28, -1, 0.28, -0.6),
        ],
        [_ellipse(0, 0.3, 0.12), _ellipse(0, 0.65, 0.12), _ellipse(-0.16, -0.32, 0.09), _ellipse(0.16, -0.32, 0.09)],
    ),
    "crown": (
        [_polygon((-0.95, -0.7), (-0.45, -0.1), (0, -0.85), (0.45, -0.1), (0.95, -0.7), (0.8, 0.75), (-0.8, 0.75))],
        [_box(-0.72, 0.4, 0.72, 0.56), _ellipse(0, 0.05, 0.17)],
    ),
    "fish": (
        [
            _ellipse(0.15, 0.05, 0.75, 0.5),
            _polygon((-0.4, 0.05), (-1, -0.45), (-0.85, 0.05), (-1, 0.55)),
            _polygon((-0.2, -0.3), (-0.25, -0.9), (0.5, -0.3)),
        ],
        [_ellipse(0.5, -0.08, 0.13), _polygon((0.05, 0.1), (-0.3, 0.3), (0.1, 0.38))],
    ),
    "lamp": (
        [
            _polygon((-0.4, -0.95), (0.4, -0.95), (0.85, 0), (-0.85, 0)),
            _box(-0.1, -0.1, 0.1, 0.8),
            _box(-0.5, 0.68, 0.5, 0.92),
        ],
        [_box(-0.75, -0.22, 0.75, -0.08), _box(0.4, -0.1, 0.48, 0.3)],
    ),
}


@lru_cache
def distance_tables(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances to the silhouettes and to the details, each (len(names), CELLS, CELLS) float32, in box units.

    Cell (row, column) stands for the point y = (row + 1/2) / CELLS * 2 EXTENT - EXTENT, x likewise.
    """
    axis = (np.arange(CELLS) + 0.5) * (2 * EXTENT / CELLS) - EXTENT
    x, y = axis[None, :], axis[:, None]
    tables = [[_union(parts, x, y) for parts in SHAPES[name]] for name in names]
    silhouettes, details = (np.stack(column).astype(np.float32) for column in zip(*tables, strict=True))
    return silhouettes, details


def _union(parts: list[Part], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    distance = np.full((y.size, x.size), np.inf)
    for kind, *numbers in parts:
        measure = _polygon_distance if kind == "polygon" else _ellipse_distance
        distance = np.minimum(distance, measure(x, y, *numbers))
    return distance


def _ellipse_distance(x, y, centre_x, centre_y, radius_x, radius_y):
    """Exact for circles; for ellipses right at the edge and near enough within a pixel of it."""
    u, v = (x - centre_x) / radius_x, (y - centre_y) / radius_y
    return (np.sqrt(u * u + v * v) - 1) * min(radius_x, radius_y)


def _polygon_distance(x, y, corners):
    """Distance to the nearest edge, negative where a ray to the right crosses the outline an odd number of times."""
    squared, inside = np.inf, False
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        edge_x, edge_y = x1 - x0, y1 - y0
        squared_length = edge_x * edge_x + edge_y * edge_y
        along = np.clip(((x - x0) * edge_x + (y - y0) * edge_y) / squared_length, 0, 1)
        off_x, off_y = x - x0 - along * edge_x, y - y0 - along * edge_y
        squared = np.minimum(squared, off_x * off_x + off_y * off_y)
        if y0 != y1:
            inside = inside ^ (((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * edge_x / edge_y))
    return np.where(inside, -1, 1) * np.sqrt(squared)
