"""Ready figures of tables and pictures; each draws into ``ax`` or a new one, and returns it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from nnbook._check.values import check_count, check_not_empty, check_same_length
from nnbook.plot.alt import note
from nnbook.plot.style import Theme, color_map, on_theme


def heatmap(
    values: np.ndarray,
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    value_label: str = "",
    diverging: bool | None = None,
    annotate: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a table of numbers as coloured cells; row 0 is at the top.

    Args:
        values: the numbers, of shape (rows, columns).
        rows: the names of the rows.
        columns: the names of the columns.
        xlabel: the label below.
        ylabel: the label at the left.
        value_label: what the colours mean, written at their bar.
        diverging: whether to use two colours that meet at 0; None means if both signs occur.
        annotate: a format such as ``".2f"``, to write each number into its cell.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if values is no table, or the names are not as many as rows or columns.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"heatmap: values have shape {values.shape}; wanted (rows, columns).")
    ax = ax or plt.subplots(figsize=_table_size(values.shape))[1]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    two_sided = low < 0 < high if diverging is None else diverging
    if two_sided:
        high = max(-low, high)
        low = -high
    cmap = color_map("diverging" if two_sided else "sequential")
    picture = ax.imshow(values, cmap=cmap, vmin=low, vmax=high, aspect="auto")
    _name_cells(ax, values.shape, rows, columns)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if annotate is not None:
        write_cells(ax, picture, [[format(v, annotate) for v in row] for row in values])
    _figure(ax).colorbar(picture, ax=ax, label=value_label)
    return ax


def confusion(
    matrix: np.ndarray, names: Sequence[str], *, normalize: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw a confusion matrix: the rows are the true classes, the columns the predicted ones.

    Args:
        matrix: counts of shape (n, n), as `nnbook.training.confusion_matrix` returns them.
        names: the names of the n classes.
        normalize: show the share of each row in per cent in place of the count.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the matrix is not square or there are not n names.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"confusion: the matrix has shape {matrix.shape}; wanted (n, n).")
    check_same_length("confusion", "names", names, "the matrix", matrix)
    totals = matrix.sum(axis=1, keepdims=True)
    shown = 100 * matrix / np.maximum(totals, 1) if normalize else matrix.astype(np.float64)
    size = 1.9 + 0.42 * len(names)
    ax = ax or plt.subplots(figsize=(max(size, 3.5), max(size, 3.5)))[1]
    picture = ax.imshow(shown, cmap=color_map("sequential"), vmin=0, vmax=shown.max() or 1)
    _name_cells(ax, matrix.shape, names, names)
    ax.tick_params(axis="x", rotation=90)
    cells = [[f"{v:.0f}" if round(v) else "" for v in row] for row in shown.tolist()]
    write_cells(ax, picture, cells)
    unit = ", in % of the row" if normalize else ""
    ax.set(xlabel=f"predicted class{unit}", ylabel="true class")
    note(ax, _confusion_words(matrix, names))
    return ax


def images(
    pictures: np.ndarray,
    *,
    titles: Sequence[str] | None = None,
    columns: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Draw grey pictures in a grid, row by row, each with its title below.

    Args:
        pictures: of shape (n, height, width), uint8 or float; the largest value is white.
        titles: one per picture.
        columns: the number of pictures in a row.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if there is no picture, or not one title for each.
    """
    pictures = np.asarray(pictures)
    if pictures.ndim != 3:
        raise ValueError(f"images: got shape {pictures.shape}; wanted (n, height, width).")
    check_not_empty("images", "pictures", pictures)
    check_count("images", "columns", columns)
    if titles is not None:
        check_same_length("images", "pictures", pictures, "titles", titles)
    count, height, width = pictures.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    below, beside = (0.32 if titles else 0.08) * height, 0.08 * width
    if ax is None:
        shape = ((1 + below / height) * height * rows, 1.08 * width * columns)
        ax = plt.subplots(figsize=(5.6, 5.6 * shape[0] / shape[1] + 0.1))[1]
    low, high = float(pictures.min()), float(pictures.max())
    for k, picture in enumerate(pictures):
        row, column = divmod(k, columns)
        left, top = column * (width + beside), row * (height + below)
        extent = (left, left + width, top + height, top)
        ax.imshow(picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), extent=extent)
        if titles is not None:
            place = (left + width / 2, top + height + 0.04 * height)
            ax.text(*place, titles[k], ha="center", va="top", fontsize=9.5)
    ax.set_xlim(-beside / 2, columns * (width + beside) - beside / 2)
    ax.set_ylim(rows * (height + below), -0.02 * height)
    ax.set_axis_off()
    listed = f": {', '.join(titles)}" if titles else ""
    note(ax, f"{count} grey pictures of {width} by {height} pixels in rows of {columns}{listed}.")
    return ax


def write_cells(ax: Axes, picture: AxesImage, texts: Sequence[Sequence[str]]) -> None:
    """Write a text into each cell of a picture, dark on light cells and light on dark ones."""
    written: list[tuple[tuple[int, int], Text]] = []
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            if text:
                drawn = ax.text(column, row, text, ha="center", va="center", fontsize=9)
                written.append(((row, column), drawn))

    def contrast(theme: Theme) -> None:
        shades = picture.to_rgba(np.asarray(picture.get_array()))  # (rows, columns, 4)
        for cell, text in written:
            text.set_color(_readable_on(shades[cell]))

    contrast("light")
    on_theme(_figure(ax), contrast)


def _figure(ax: Axes) -> Figure:
    return cast(Figure, ax.get_figure(root=True))  # an axes that was drawn into has one


def _readable_on(rgba: np.ndarray) -> str:
    """Return black or white, whichever has more contrast on this colour (WCAG's formula)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


def _table_size(shape: tuple[int, ...]) -> tuple[float, float]:
    return 5.6, min(max(1.4 + 0.36 * shape[0], 2.4), 7.0)


def _name_cells(
    ax: Axes,
    shape: tuple[int, ...],
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
) -> None:
    for axis, names, count in ((ax.yaxis, rows, shape[0]), (ax.xaxis, columns, shape[1])):
        if names is None:
            axis.set_major_locator(MaxNLocator(integer=True))
        else:
            check_same_length("heatmap", "names", names, "the axis", range(count))
            axis.set_ticks(range(count), list(names))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def _confusion_words(matrix: np.ndarray, names: Sequence[str]) -> str:
    total = int(matrix.sum())
    off = matrix - np.diag(np.diag(matrix))
    worst = sorted(zip(-off[off > 0], *np.nonzero(off), strict=True))[:3]
    said = [f"{names[i]} taken for {names[j]} ({-count})" for count, i, j in worst]
    hits = int(np.trace(matrix))
    share = f", {hits / total:.0%} on the diagonal" if total else ""
    most = f" Most frequent errors: {'; '.join(said)}." if said else ""
    return f"Confusion matrix of {len(names)} classes, {total} samples{share}.{most}"
