"""Ready figures of functions and numbers; each draws into ``ax`` or a new one, and returns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from nnbook._check.values import check_choice, check_not_empty, check_same_length
from nnbook.plot.alt import note, number
from nnbook.plot.style import MARKERS, Numbers, colors


def function_and_derivative(
    f: Callable[[np.ndarray], np.ndarray],
    derivative: Callable[[np.ndarray], np.ndarray],
    *,
    name: str = "f",
    span: tuple[float | int, float | int] = (-5.0, 5.0),
    kinks: Numbers = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw a function of one variable and its derivative.

    Args:
        f: the function; it gets float64 of shape (k,).
        derivative: its derivative.
        name: its name, for the legend and the alt text.
        span: from where to where to draw.
        kinks: where the derivative jumps: its line is broken there.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.
    """
    ax = ax or plt.subplots()[1]
    x = np.linspace(*span, 601)
    gap = (span[1] - span[0]) * 1e-9
    broken = np.sort(np.concatenate([x, *([k - gap, k, k + gap] for k in kinks)]))
    slope = np.where(np.isin(broken, kinks), np.nan, derivative(broken))
    muted = colors()["muted"]
    ax.axhline(0, color=muted, linewidth=0.8, linestyle="-")
    ax.axvline(0, color=muted, linewidth=0.8, linestyle="-")
    ax.plot(x, f(x), color="C0", linestyle="-", label=name)
    ax.plot(broken, slope, color="C1", linestyle="--", label="derivative")
    ax.set_xlabel("z")
    ax.legend()
    return ax


def learning_curve(
    history: Mapping[str, Numbers],
    columns: Sequence[str] | None = None,
    *,
    labels: Sequence[str] | None = None,
    ylabel: str = "loss",
    best: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw columns of a history (see `nnbook.training.fit`) against the epoch.

    Args:
        history: lists of numbers by name.
        columns: which to draw; None means ``loss``, and ``val_loss`` where there is one.
        labels: what to call them in the legend; None means their names.
        ylabel: the label of the vertical axis.
        best: an epoch to mark, such as ``history.best.epoch``.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the history lacks a column, or the labels are not as many as the columns.
    """
    if columns is None:
        columns = [name for name in ("loss", "val_loss") if name in history]
    check_not_empty("learning_curve", "columns", columns)
    for name in columns:
        check_choice("learning_curve", "column", name, list(history))
    labels = labels or columns
    check_same_length("learning_curve", "columns", columns, "labels", labels)
    ax = ax or plt.subplots()[1]
    for k, (name, label) in enumerate(zip(columns, labels, strict=True)):
        values = history[name]
        marker = MARKERS[k % len(MARKERS)] if len(values) <= 30 else None
        ax.plot(range(1, len(values) + 1), values, marker=marker, label=label)
    if best is not None:
        muted = colors()["muted"]
        ax.axvline(best, color=muted, linestyle=":", linewidth=1.5, label=f"best epoch ({best})")
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def bars(
    values: Mapping[str, Numbers],
    groups: Sequence[str],
    *,
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw groups of bars side by side: a group per entry of ``groups``, in it a bar per series.

    Args:
        values: by the name of the series, one number per group.
        groups: the names of the groups.
        ylabel: the label of the vertical axis.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if there is no series, or one has not as many numbers as there are groups.
    """
    check_not_empty("bars", "values", values)
    for name, series in values.items():
        check_same_length("bars", f"series {name!r}", series, "groups", groups)
    ax = ax or plt.subplots()[1]
    middle = np.arange(len(groups))
    width = 0.8 / len(values)
    hatches = ("", "//", "..", "xx", "\\\\", "++")
    for k, (name, series) in enumerate(values.items()):
        ax.bar(
            middle + (k - (len(values) - 1) / 2) * width,
            series,
            width,
            label=name,
            color=f"C{k}",
            edgecolor=colors()["paper"],
            hatch=hatches[k % len(hatches)],
        )
    ax.axhline(0, color=colors()["muted"], linewidth=0.8, linestyle="-")
    ax.set_xticks(middle, [fill(name, 12) for name in groups])
    ax.grid(visible=False, axis="x")
    ax.set_ylabel(ylabel)
    if len(values) > 1:
        legend_above(ax, len(values))
    return ax


def activation_ranges(
    activations: Mapping[str, Any], *, xlabel: str = "activation", ax: Axes | None = None
) -> Axes:
    """Draw the spread of each module's output: from min to max, the middle 90 %, the median.

    At the right of each row stands the share of outputs that are exactly zero, if there are any.

    Args:
        activations: by the name of the module, its outputs: anything that NumPy makes an array of.
        xlabel: the label of the horizontal axis.
        ax: where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if there is no module, or one has no outputs or outputs that are not finite.
    """
    check_not_empty("activation_ranges", "activations", activations)
    if ax is None:
        ax = plt.subplots(figsize=(5.6, 1.2 + 0.42 * len(activations)))[1]
    texts = []
    for row, (name, values) in enumerate(activations.items()):
        flat = np.asarray(values, dtype=np.float64).ravel()
        check_not_empty("activation_ranges", name, flat)
        if not np.isfinite(flat).all():
            raise ValueError(
                f"activation_ranges: {np.sum(~np.isfinite(flat))} of the {flat.size} outputs of "
                f"{name!r} are not finite; wanted numbers. Look for an overflow in this module."
            )
        low, left, median, right, high = np.quantile(flat, [0, 0.05, 0.5, 0.95, 1])
        ax.plot([low, high], [row, row], "-", color="C0", linewidth=1.5, marker="|")
        ax.plot([left, right], [row, row], "-", color="C0", linewidth=7, solid_capstyle="butt")
        ax.plot([median], [row], "o", color="C1", markeredgecolor=colors()["paper"], markersize=8)
        zeros = np.mean(flat == 0)
        texts.append(
            f"{name}: {number(low)} to {number(high)}, middle 90 % {number(left)} to "
            f"{number(right)}, median {number(median)}, {zeros:.0%} zeros."
        )
        if zeros > 0:
            ax.annotate(
                f"{zeros:.0%} zeros",
                (1.01, row),
                xycoords=ax.get_yaxis_transform(),
                va="center",
                fontsize=9.5,
                annotation_clip=False,
            )
    ax.set_yticks(range(len(activations)), [str(name) for name in activations])
    ax.set_ylim(len(activations) - 0.5, -0.5)  # the first module on top
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(xlabel)
    note(ax, f"Ranges of outputs by module. {' '.join(texts)}")
    return ax


def legend_above(ax: Axes, entries: int) -> None:
    """Put the legend above the axes, where it covers nothing."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(entries, 3), frameon=False)
