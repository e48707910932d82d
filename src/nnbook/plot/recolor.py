"""Exchange the colours of a finished figure: from the light page to the dark one and back."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import ListedColormap, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text

from nnbook.plot.style import Theme, colors, redraws


def set_theme(figure: Figure, theme: Theme) -> None:
    """Give everything in the figure that has a colour of the house the colour for this page.

    Args:
        figure: a drawn figure, so that its ticks exist.
        theme: the page.
    """
    exchange = _exchange(theme)
    for artist in figure.findobj():
        _recolor(artist, exchange, theme)
    for redraw in redraws(figure):
        redraw(theme)


def _exchange(theme: Theme) -> dict[str, str]:
    """Return the new colour for each old one, whichever page the old one is for."""
    new = colors(theme)
    exchange = {"#000000": new["ink"], "#ffffff": new["paper"]} if theme == "dark" else {}
    for other in ("light", "dark"):
        exchange |= {old: new[name] for name, old in colors(other).items()}
    return exchange


def _recolor(artist: Artist, exchange: dict[str, str], theme: Theme) -> None:
    if isinstance(artist, Text):
        _set(artist, ("color",), exchange)
        extras: list[Patch | None] = [artist.get_bbox_patch()]
        extras += [artist.arrow_patch] if isinstance(artist, Annotation) else []
        for patch in extras:
            if patch is not None:
                _set(patch, ("facecolor", "edgecolor"), exchange)
    elif isinstance(artist, Line2D):
        _set(artist, ("color", "markerfacecolor", "markeredgecolor"), exchange)
    elif isinstance(artist, Patch):
        _set(artist, ("facecolor", "edgecolor"), exchange)
    elif isinstance(artist, Collection | AxesImage):
        _set_map(artist, exchange, theme)
    if isinstance(artist, Collection):
        for name in ("facecolor", "edgecolor"):
            rows = getattr(artist, f"get_{name}")()
            if len(rows) and not isinstance(rows, str):
                getattr(artist, f"set_{name}")([_new(row, exchange) for row in rows])


def _set(artist: Any, names: tuple[str, ...], exchange: dict[str, str]) -> None:
    for name in names:
        old = getattr(artist, f"get_{name}")()
        if not (isinstance(old, str) and old in ("none", "auto")):
            new = _new(old, exchange)
            if new != to_rgba(old):
                getattr(artist, f"set_{name}")(new)


def _new(color: Any, exchange: dict[str, str]) -> tuple[float, float, float, float]:
    """Return the colour in exchange, as transparent as the old one."""
    *_, alpha = old = to_rgba(color)
    found = exchange.get(to_hex(old))
    return to_rgba(old if found is None or alpha == 0 else found, float(alpha))


def _set_map(artist: Collection | AxesImage, exchange: dict[str, str], theme: Theme) -> None:
    """Exchange a colour map of the house, or one made of colours of the house."""
    cmap = artist.get_cmap()
    if isinstance(cmap, ListedColormap):
        old = [to_rgba(color) for color in np.asarray(cmap.colors)]
        new = [_new(color, exchange) for color in old]
        if new != old:
            artist.set_cmap(ListedColormap(new, name=cmap.name))
    elif cmap.name.startswith("nnbook-"):
        artist.set_cmap(mpl.colormaps[f"{cmap.name.rpartition('-')[0]}-{theme}"])
