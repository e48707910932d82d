"""The house style: colours, line styles and sizes, for a light page and a dark one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from nnbook._check.values import check_choice, check_count

Theme = Literal["light", "dark"]
Numbers = Sequence[float | int] | np.ndarray
"""Some numbers, as a list or an array."""
SERIES = ("blue", "orange", "green", "red", "purple", "brown")
"""The colours of the series C0 ... C5. Any two are far apart for the colour-blind too (tested)."""
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (9, 2)))
"""The line styles of the series, so that a series is known without its colour."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""The markers of the series."""

_COLORS: dict[str, tuple[str, str]] = {  # name: on the light page, on the dark page
    "blue": ("#15469a", "#3279f4"),
    "orange": ("#c28026", "#f38e28"),
    "green": ("#3c9e8b", "#49bca2"),
    "red": ("#b7054a", "#c74159"),
    "purple": ("#a279db", "#c6aff9"),
    "brown": ("#3a2d02", "#f9e8a8"),
    "ink": ("#1b1f24", "#ced6dd"),
    "muted": ("#59636e", "#9ca4af"),
    "grid": ("#dfe4e9", "#333c47"),
    "paper": ("#ffffff", "#121212"),
}
_MAPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # colour maps, in the same way
    "sequential": (
        ("#f3f7fc", "#a9c4ea", "#4f7fc6", "#15469a", "#071c45"),
        ("#1a212b", "#1f3f78", "#2f6cd6", "#7aabf9", "#e3eefe"),
    ),
    "diverging": (
        ("#5c2f00", "#c28026", "#f7f5f2", "#5c88cc", "#0b2f6e"),
        ("#ffc68a", "#c8701a", "#1c1d1f", "#3279f4", "#b4d0ff"),
    ),
}


def _register_maps() -> None:
    for name, shades in _MAPS.items():
        for theme, points in zip(("light", "dark"), shades, strict=True):
            full = f"nnbook-{name}-{theme}"
            cmap = LinearSegmentedColormap.from_list(full, points)
            mpl.colormaps.register(cmap, force=True)


_register_maps()


def colors(theme: Theme = "light") -> dict[str, str]:
    """Return the colours of the house by name.

    Args:
        theme: the page that they are for. Draw with those of the light page, `show` exchanges them
            for the dark one.

    Returns:
        The six series (blue, orange, green, red, purple, brown), and ink (text), muted (less
        important text and lines), grid and paper (the page).

    Raises:
        ValueError: if the theme is not known.

    Examples:
        >>> from nnbook import plot
        >>> list(plot.colors())[:6]
        ['blue', 'orange', 'green', 'red', 'purple', 'brown']
    """
    check_choice("colors", "theme", theme, ("light", "dark"))
    return {name: pair[theme == "dark"] for name, pair in _COLORS.items()}


def color_map(name: Literal["sequential", "diverging"], theme: Theme = "light") -> str:
    """Return the name under which matplotlib knows a colour map of the house.

    Args:
        name: ``"sequential"`` from paper to dark blue, ``"diverging"`` from orange over paper (0)
            to blue.
        theme: the page that it is for; `show` exchanges the one for the other.

    Returns:
        A name for ``cmap=``.
    """
    return f"nnbook-{name}-{theme}"


def use_style() -> None:
    """Set matplotlib to the style of the book; call it in the first cell of a chapter.

    Figures are drawn for the light page. `show` draws them again for the dark page, with every
    colour of `colors` (and black and white) exchanged for its counterpart. Other colours stay as
    they are, so take the series ``C0`` ... ``C5`` and the names of `colors`.

    A figure is 5.6 inches wide, so that its letters can still be read on a phone; make wider ones
    only if you must, and prefer `panels`.
    """
    house = colors()
    mpl.style.use("default")
    plt.rcParams.update(
        {
            "axes.edgecolor": house["muted"],
            "axes.facecolor": "none",
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.labelcolor": house["ink"],
            "axes.prop_cycle": cycler(color=[house[name] for name in SERIES])
            + cycler(linestyle=LINES),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 11,
            "axes.titlecolor": house["ink"],
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "figure.facecolor": "none",
            "figure.figsize": (5.6, 3.5),
            "font.size": 10.5,
            "grid.color": house["grid"],
            "grid.linewidth": 0.8,
            "image.cmap": color_map("sequential"),
            "legend.edgecolor": house["grid"],
            "legend.facecolor": house["paper"],
            "legend.fontsize": 9.5,
            "legend.framealpha": 0.85,
            "legend.handlelength": 2.8,
            "lines.linewidth": 2.0,
            "lines.markersize": 5.5,
            "mathtext.fontset": "dejavusans",
            "patch.edgecolor": house["ink"],
            "text.color": house["ink"],
            "xtick.color": house["muted"],
            "xtick.labelcolor": house["ink"],
            "xtick.labelsize": 9.5,
            "ytick.color": house["muted"],
            "ytick.labelcolor": house["ink"],
            "ytick.labelsize": 9.5,
        }
    )


def panels(n: int, *, size: tuple[float, float] = (3.5, 2.8)) -> tuple[list[Figure], list[Axes]]:
    """Return n small figures with one axes each, for panels that belong together.

    Give the list of figures to `show`: the page sets the panels side by side where there is room
    for it and one below the other on a phone, so that their letters keep their size.

    Args:
        n: the number of panels.
        size: width and height of a panel in inches.

    Returns:
        The figures, and the axes of each.

    Raises:
        ValueError: if n < 1.

    Examples:
        >>> from nnbook import plot
        >>> figures, axes = plot.panels(2)
        >>> for ax, slope in zip(axes, (1, 2)):
        ...     lines = ax.plot([0, 1], [0, slope])
        >>> plot.show(figures, caption="Two slopes.")
        <Picture: Two slopes.>
    """
    check_count("panels", "n", n)
    pairs = [plt.subplots(figsize=size) for _ in range(n)]
    return [figure for figure, _ in pairs], [ax for _, ax in pairs]


_REDRAWS: WeakKeyDictionary[Figure, list[Callable[[Theme], Any]]] = WeakKeyDictionary()


def on_theme(figure: Figure, redraw: Callable[[Theme], Any]) -> None:
    """Have ``redraw(theme)`` called before the figure is drawn for a page.

    For colours that depend on data, such as numbers written on coloured cells.

    Args:
        figure: the figure.
        redraw: called with ``"light"`` or ``"dark"``, after the colours of the house have been
            exchanged.
    """
    _REDRAWS.setdefault(figure, []).append(redraw)


def redraws(figure: Figure) -> list[Callable[[Theme], Any]]:
    """Return what `on_theme` was given for this figure."""
    return _REDRAWS.get(figure, [])
