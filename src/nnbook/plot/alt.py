"""Alt text: what a figure shows, read off what is drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, SupportsFloat
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, YAxis
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

MANY = 12
"""Of more series or bars than this only the extremes are told."""

_NOTES: WeakKeyDictionary[Axes, str] = WeakKeyDictionary()


def note(ax: Axes, text: str) -> None:
    """Keep a sentence about what the axes shows, for `describe` to take in place of the artists.

    Args:
        ax: the axes.
        text: made from the data that were drawn.
    """
    _NOTES[ax] = text


def describe(figure: Figure | Axes) -> str:
    """Say in words what is drawn: kind, axes, ranges, and of each series its ends and extremes.

    Args:
        figure: a figure, or one axes of it.

    Returns:
        The text, made from the artists, not from what the author believes.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from nnbook import plot
        >>> figure, ax = plt.subplots()
        >>> line = ax.plot([1, 2, 3], [9, 4, 5], label="loss")
        >>> text = ax.set_xlabel("epoch")
        >>> plot.describe(ax)
        'Line plot; epoch from 1 to 3. loss: from 9 to 5, lowest 4 at 2, highest 9 at 1.'
        >>> plt.close(figure)
    """
    parts = [figure] if isinstance(figure, Axes) else figure.get_axes()
    parts = [ax for ax in parts if ax.get_label() != "<colorbar>" and ax.get_visible()]
    texts = [_describe_axes(ax) for ax in parts]
    if len(texts) > 1:
        texts = [f"Panel {k} of {len(texts)}: {text}" for k, text in enumerate(texts, start=1)]
    return " ".join(texts)


def _describe_axes(ax: Axes) -> str:
    title = _plain(ax.get_title())
    head = f"{title}. " if title else ""
    if ax in _NOTES:
        return head + _NOTES[ax]
    bars = [c for c in ax.containers if isinstance(c, BarContainer)]
    lines = [line for line in ax.get_lines() if _is_data(line, ax)]
    clouds = [c for c in ax.collections if isinstance(c, PathCollection)]
    clouds = [cloud for cloud in clouds if np.size(cloud.get_offsets())]
    pictures = ax.get_images()
    kinds = [
        kind
        for kind, found in [
            ("bar chart", bars),
            ("line plot", lines),
            ("scatter plot", clouds),
            ("coloured table", pictures),
        ]
        if found
    ]
    kind = " and ".join(kinds) or "drawing"
    sentences = [
        *_limited([_bar_text(ax, container) for container in bars]),
        *_limited([_line_text(line) for line in lines]),
        *_limited([_cloud_text(cloud) for cloud in clouds]),
        *[_picture_text(ax, picture) for picture in pictures],
    ]
    axes = "" if pictures and len(kinds) == 1 else _axes_text(ax, bars)
    return " ".join([f"{head}{kind[0].upper()}{kind[1:]}{axes}.", *sentences])


def _is_data(line: Line2D, ax: Axes) -> bool:
    """Return whether a line shows data: not a zero line, a mark across the axes, or nothing."""
    in_data = all(line.get_transform().contains_branch_seperately(ax.transData))
    return in_data and len(np.atleast_1d(line.get_xdata())) > 1


def _axes_text(ax: Axes, bars: Sequence[BarContainer]) -> str:
    """Return the ranges of the axes, of the data where there are lines or points only."""
    texts = []
    for name, axis, limits, data in (
        ("x", ax.xaxis, ax.get_xlim(), ax.dataLim.intervalx),
        ("y", ax.yaxis, ax.get_ylim(), ax.dataLim.intervaly),
    ):
        label = _plain(axis.get_label_text())
        log = ", logarithmic" if axis.get_scale() == "log" else ""
        low, high = sorted(data if np.isfinite(data).all() else limits)
        if label and not (name == "x" and bars) and name == "x":
            texts.append(f"{label} from {number(low)} to {number(high)}{log}")
        elif label:
            texts.append(f"{label}{log}")
    return f"; {', '.join(texts)}" if texts else ""


def _line_text(line: Line2D) -> str:
    x, y = (np.asarray(v, dtype=float) for v in (line.get_xdata(), line.get_ydata()))
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    x = np.where(np.abs(x) < 1e-6 * np.abs(x).max(initial=0), 0, x)  # 1e-9 is 0 to a reader
    name = _name(line.get_label(), "The line")
    if not len(y):
        return f"{name}: no points."
    steps = np.diff(y)
    if not steps.any():
        return f"{name}: stays at {number(y[0])}."
    if np.all(steps >= 0) or np.all(steps <= 0):
        verb = "rises" if y[-1] > y[0] else "falls"
        ends = [f"{number(y[k])} at {number(x[k])}" for k in (0, -1)]
        return f"{name}: {verb} from {ends[0]} to {ends[1]}."
    low, high = int(y.argmin()), int(y.argmax())
    return (
        f"{name}: from {number(y[0])} to {number(y[-1])}, lowest {number(y[low])} at "
        f"{number(x[low])}, highest {number(y[high])} at {number(x[high])}."
    )


def _bar_text(ax: Axes, container: BarContainer) -> str:
    flat = container.orientation == "horizontal"
    values = [bar.get_width() if flat else bar.get_height() for bar in container.patches]
    labels = [
        _tick_name(
            ax.yaxis if flat else ax.xaxis,
            bar.get_y() + bar.get_height() / 2 if flat else bar.get_x() + bar.get_width() / 2,
        )
        for bar in container.patches
    ]
    name = _name(container.get_label(), "Bars")
    if len(values) <= MANY:
        pairs = zip(labels, values, strict=True)
        return f"{name}: {', '.join(f'{label} {number(value)}' for label, value in pairs)}."
    low, high = int(np.argmin(values)), int(np.argmax(values))
    return (
        f"{name}: {len(values)} bars, lowest {number(values[low])} ({labels[low]}), "
        f"highest {number(values[high])} ({labels[high]})."
    )


def _cloud_text(cloud: PathCollection) -> str:
    points = np.asarray(cloud.get_offsets(), dtype=float)
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return (
        f"{_name(cloud.get_label(), 'Points')}: {len(points)} points, x from {number(x0)} to "
        f"{number(x1)}, y from {number(y0)} to {number(y1)}."
    )


def _picture_text(ax: Axes, picture: AxesImage) -> str:
    values: Any = np.ma.asarray(picture.get_array())  # imshow has masked NaN
    if values.ndim != 2:
        return f"A colour picture of {values.shape[0]} by {values.shape[1]} pixels."
    low, high = (np.unravel_index(at, values.shape) for at in (values.argmin(), values.argmax()))
    where = [
        f"{number(values[cell])} at {_tick_name(ax.yaxis, int(cell[0]))}, "
        f"{_tick_name(ax.xaxis, int(cell[1]))}"
        for cell in (low, high)
    ]
    rows, columns = values.shape
    return f"{rows} rows by {columns} columns; smallest {where[0]}; largest {where[1]}."


def _tick_name(axis: Axis, at: float | int) -> str:
    """Return what the axis says next to this place: the tick's text, or the number."""
    places, texts = axis.get_majorticklocs(), axis.get_majorticklabels()
    named = zip(places, (_plain(text.get_text()) for text in texts), strict=False)
    near = [(abs(place - at), text) for place, text in named if abs(place - at) < 0.5 and text]
    kind = "row" if isinstance(axis, YAxis) else "column"
    text = min(near)[1] if near else number(at)
    return f"{kind} {text}" if _is_number(text) else text


def _limited(texts: list[str]) -> list[str]:
    if len(texts) <= MANY:
        return texts
    return [*texts[:MANY], f"And {len(texts) - MANY} more."]


def _name(label: object, otherwise: str) -> str:
    """Return the legend's text; matplotlib gives those without one a name with an underscore."""
    text = _plain(str(label))
    return otherwise if not text or str(label).startswith("_") else text


def _plain(text: str) -> str:
    """Return a label without the marks of mathtext."""
    return " ".join(re.sub(r"[${}]|\\(?=[a-zA-Z])", "", text).split())


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-\u2212]?[\d.]+(e[-+]?\d+)?", text) is not None


def number(value: SupportsFloat) -> str:
    """Return three digits of a number, as one would say it."""
    value = float(value)
    text = f"{value:.3g}"
    if "e+" in text and abs(value) < 1e7:  # 272000 rather than 2.72e+05
        text = f"{value:.0f}"
    return "0" if text == "-0" else text
