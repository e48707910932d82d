"""Show a figure in the book: for light and dark pages, with caption and alt text."""

from __future__ import annotations

import html
import re
import sys
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from nnbook._check.values import check_not_empty
from nnbook.plot.alt import describe
from nnbook.plot.recolor import set_theme
from nnbook.plot.style import colors


@dataclass(frozen=True)
class Panel:
    """One drawing of a picture.

    Args:
        light: a PNG for the light page, at twice the size.
        dark: a PNG for the dark page.
        width: in CSS pixels.
        height: in CSS pixels.
        alt: what it shows, in words.
    """

    light: bytes
    dark: bytes
    width: int
    height: int
    alt: str


@dataclass(frozen=True, repr=False)
class Picture:
    """A finished figure that Jupyter and the book can show.

    Args:
        panels: its drawings.
        caption: what it shows, with code between backquotes.
        label: an anchor for links, or None.
    """

    panels: tuple[Panel, ...]
    caption: str
    label: str | None = None

    def __repr__(self) -> str:
        """Return the caption, for a place that shows text only."""
        return f"<Picture: {self.caption}>"

    def _repr_html_(self) -> str:
        anchor = f' id="{html.escape(self.label)}"' if self.label else ""
        inside = "\n".join(_panel_html(panel) for panel in self.panels)
        caption = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(self.caption))
        return (
            f'<figure class="nn-figure"{anchor} style="margin:1rem 0">\n'
            '<div style="display:flex;flex-wrap:wrap;justify-content:center;gap:.75rem">\n'
            f"{inside}\n</div>\n<figcaption>{caption}</figcaption>\n</figure>"
        )

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Return the light drawing, and its size, for print and for places without HTML."""
        width = max(panel.width for panel in self.panels)
        size = {"width": width, "height": sum(panel.height for panel in self.panels)}
        return _stack([panel.light for panel in self.panels]), size


def show(
    figure: Figure | Axes | Sequence[Figure] | Sequence[Axes],
    caption: str,
    alt: str | Sequence[str] | None = None,
    *,
    label: str | None = None,
) -> Picture | None:
    """Show a figure here and now, and close it; it need not be the last line of a cell.

    Args:
        figure: a figure, an axes (its figure is shown), or several of them, see `panels`.
        caption: what the figure shows, in a sentence. Text between backquotes is set as code. No
            TeX: write letters and exponents as Unicode, such as σ(z) or x².
        alt: what those who do not see it need to know: one text, or one for each of several
            figures; None means `describe`, which reads it off the drawn data.
        label: an anchor, for addresses that end in ``#label``. For a link inside of the book put a
            MyST target, ``(label)=``, before the cell instead.

    Returns:
        None inside Jupyter and the book; elsewhere the `Picture`.

    Raises:
        ValueError: if the caption or the alt text is empty or holds TeX, or the number of alt texts
            is not that of the figures.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> from nnbook import plot
        >>> figure, ax = plt.subplots()
        >>> line = ax.plot([0, 1], [0, 1])
        >>> plot.show(figure, caption="The identity.", alt="A straight line from (0, 0) to (1, 1).")
        <Picture: The identity.>
    """
    picture = make_picture(figure, caption, alt, label=label)
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from IPython.display import display

        display(picture)  # type: ignore[no-untyped-call]
        return None
    return picture


def make_picture(
    figure: Figure | Axes | Sequence[Figure] | Sequence[Axes],
    caption: str,
    alt: str | Sequence[str] | None = None,
    *,
    label: str | None = None,
) -> Picture:
    """Return what `show` shows, and close the figure."""
    _check_text("caption", caption)
    several: list[Figure | Axes] = [figure] if isinstance(figure, Figure | Axes) else list(figure)
    check_not_empty("show", "figure", several)
    figures = [_figure(one) for one in several]
    texts = _alts(figures, alt)
    panels = tuple(_panel(one, text) for one, text in zip(figures, texts, strict=True))
    for one in figures:
        plt.close(one)
    return Picture(panels, " ".join(caption.split()), label)


def _figure(one: object) -> Figure:
    figure = one.get_figure(root=True) if isinstance(one, Axes) else one
    if not isinstance(figure, Figure):
        raise TypeError(f"show: got a {type(one).__name__}; give a Figure, an Axes, or several.")
    return figure


def _alts(figures: list[Figure], alt: str | Sequence[str] | None) -> list[str]:
    if alt is None:
        texts = [describe(figure) for figure in figures]
    elif not isinstance(alt, str):
        texts = list(alt)
    elif len(figures) == 1:
        texts = [alt]
    else:
        texts = [f"{alt} (panel {k} of {len(figures)})" for k in range(1, len(figures) + 1)]
    if len(texts) != len(figures):
        raise ValueError(
            f"show: {len(texts)} alt texts for {len(figures)} figures; give one for each, or none."
        )
    for text in texts:
        _check_text("alt", text)
    return [" ".join(text.split()) for text in texts]


def _check_text(name: str, text: str) -> None:
    if not text.strip():
        raise ValueError(f"show: the {name} is empty; say in a sentence what the figure shows.")
    if re.search(r"\\[a-zA-Z(\[]|\$[^$]*[\\^_{][^$]*\$", text):
        raise ValueError(
            f"show: the {name} {text!r} holds TeX, which is not set there; "
            "write it in words or in Unicode, such as σ(z) or x²."
        )


def _panel(figure: Figure, alt: str) -> Panel:
    figure.canvas.draw()  # makes the ticks, which then change their colours with the rest
    drawn = {}
    for theme in ("dark", "light"):  # light last: it is how the author left it
        set_theme(figure, theme)
        drawn[theme] = _png(figure, colors(theme)["paper"])
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Panel(drawn["light"], drawn["dark"], width, height, alt)


def _png(figure: Figure, paper: str) -> bytes:
    """Return the figure on paper: the same bytes on any day, and few of them.

    256 colours, chosen for this figure, look like all of them and take a third of the bytes; an SVG
    drawing of the figures of this book takes more.
    """
    raw, small = BytesIO(), BytesIO()
    figure.savefig(raw, format="png", dpi=192, facecolor=paper)
    picture = Image.open(raw).convert("RGB").quantize(256, Image.Quantize.MEDIANCUT)
    picture.save(small, "png", optimize=True)
    return small.getvalue()


def _panel_html(panel: Panel) -> str:
    alt = html.escape(panel.alt)
    images = []
    for theme, png, hidden in (("light", panel.light, ""), ("dark", panel.dark, ";display:none")):
        images.append(
            f'<img class="only-{theme}" alt="{alt}" width="{panel.width}" height="{panel.height}" '
            f'style="max-width:100%;height:auto{hidden}" '
            f'src="data:image/png;base64,{b64encode(png).decode()}">'
        )
    return f'<div style="flex:0 1 {panel.width}px">{"".join(images)}</div>'


def _stack(pngs: list[bytes]) -> bytes:
    """Return the pictures one below the other, on white."""
    if len(pngs) == 1:
        return pngs[0]
    pictures = [Image.open(BytesIO(png)).convert("RGB") for png in pngs]
    size = max(p.width for p in pictures), sum(p.height for p in pictures)
    whole, top = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    buffer = BytesIO()
    whole.save(buffer, "png", optimize=True)
    return buffer.getvalue()
