"""The areas that a classifier gives each class of the plane, below the points of the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgba

from nnbook._check.values import check_count
from nnbook.plot.alt import note
from nnbook.plot.curves import legend_above
from nnbook.plot.style import MARKERS, SERIES, colors

TINT = 0.28
"""How strongly an area has the colour of its class."""


@runtime_checkable
class Labelled(Protocol):
    """Points with a class each, such as `nnbook.data.Points`."""

    @property
    def x(self) -> np.ndarray:
        """Points of shape (n, 2)."""

    @property
    def y(self) -> np.ndarray:
        """Class numbers of shape (n,), from 0."""


def decision_boundary(
    predict: Callable[[np.ndarray], Any],
    data: Labelled,
    *,
    names: Sequence[str] | None = None,
    resolution: int = 240,
    ax: Axes | None = None,
) -> Axes:
    """Draw points in the colour of their class over the areas that a classifier gives each class.

    Args:
        predict: the classifier: it gets float64 of shape (k, 2) and returns k class numbers.
        data: the points.
        names: the names of the classes; None means ``class 0``, ``class 1`` and so on.
        resolution: the number of places along each axis at which the classifier is asked.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the classifier gives no class number of 0 ... 5 for each place, or there are
            fewer names than classes.
    """
    check_count("decision_boundary", "resolution", resolution, least=2)
    x, y = np.asarray(data.x), np.asarray(data.y)
    grids = [_places(x[:, axis], resolution) for axis in (0, 1)]
    shape = np.ptp(grids[1]) / np.ptp(grids[0])
    ax = ax or plt.subplots(figsize=(4.8, float(np.clip(4.1 * shape + 0.8, 2.0, 7.0))))[1]
    right, up = np.meshgrid(*grids)  # both (up, right): row 0 is the lowest
    area = _ask(predict, np.stack([right.ravel(), up.ravel()], axis=1)).reshape(right.shape)
    count = int(max(area.max(), y.max())) + 1
    names = names or [f"class {k}" for k in range(count)]
    if not 1 <= count <= min(len(SERIES), len(names)):
        raise ValueError(
            f"decision_boundary: {count} classes with {len(names)} names; "
            f"there are {len(SERIES)} colours, and each class needs a name."
        )
    _draw_areas(ax, area, grids, count)
    edge = colors()["paper"]
    for k in range(count):
        mine = x[y == k]
        ax.scatter(
            mine[:, 0],
            mine[:, 1],
            s=26,
            marker=MARKERS[k],
            color=f"C{k}",
            edgecolors=edge,
            linewidths=0.6,
            label=names[k],
        )
    ax.set(xlabel="x₁", ylabel="x₂", aspect="equal")
    ax.grid(visible=False)
    legend_above(ax, count)
    note(ax, _words(area, _ask(predict, x), y, names, grids))
    return ax


def _places(values: np.ndarray, resolution: int) -> np.ndarray:
    """Return the middles of ``resolution`` cells that cover the values with a margin."""
    margin = 0.08 * float(np.ptp(values)) or 1.0
    edges = np.linspace(values.min() - margin, values.max() + margin, resolution + 1)
    return (edges[:-1] + edges[1:]) / 2


def _ask(predict: Callable[[np.ndarray], Any], points: np.ndarray) -> np.ndarray:
    classes = np.asarray(predict(points))
    whole = np.issubdtype(classes.dtype, np.integer) or classes.dtype == bool
    if classes.shape != (len(points),) or not whole or classes.min() < 0:
        raise ValueError(
            f"decision_boundary: predict gave {classes.dtype} of shape {classes.shape} for "
            f"{len(points)} points; wanted one class number (0, 1, ...) for each."
        )
    return classes.astype(np.int64)


def _draw_areas(ax: Axes, area: np.ndarray, grids: list[np.ndarray], count: int) -> None:
    half = [(grid[1] - grid[0]) / 2 for grid in grids]
    (left, right), (low, high) = (
        (grid[0] - h, grid[-1] + h) for grid, h in zip(grids, half, strict=True)
    )
    house = colors()
    tints = ListedColormap([to_rgba(house[name], TINT) for name in SERIES[:count]])
    ax.imshow(
        area,
        origin="lower",  # row 0 is the lowest
        extent=(left, right, low, high),
        cmap=tints,
        vmin=-0.5,
        vmax=count - 0.5,
        interpolation="nearest",
    )
    for k in range(count):
        if 0 < np.mean(area == k) < 1:
            ax.contour(*grids, area == k, levels=[0.5], colors=[house["ink"]], linewidths=1.0)


def _words(
    area: np.ndarray,
    predicted: np.ndarray,
    y: np.ndarray,
    names: Sequence[str],
    grids: list[np.ndarray],
) -> str:
    shares = [f"{name} {np.mean(area == k):.0%}" for k, name in enumerate(names)]
    spans = [f"{grid[0]:.2g} to {grid[-1]:.2g}" for grid in grids]
    return (
        f"Decision areas in the plane, x₁ from {spans[0]}, x₂ from {spans[1]}. "
        f"Share of the area: {', '.join(shares)}. {len(y)} points on top, "
        f"{np.mean(predicted == y):.0%} of them in the area of their class."
    )
