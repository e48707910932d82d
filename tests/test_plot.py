"""The figures: colours that everybody can tell apart, both pages, alt text from the data."""

from __future__ import annotations

import base64
import html.parser
import re
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image
from tools import close

from nnbook import data, plot
from nnbook.plot import recolor, style
from nnbook.plot.display import make_picture

THEMES = ("light", "dark")


def near(got: Any, want: Any, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    close(np.asarray(got, float), np.asarray(want, float), rtol, atol)


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with plt.rc_context():
        plot.use_style()
        yield
    plt.close("all")


# Colours.

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.072175],
        [0.0193339, 0.119192, 0.9503041],
    ]
)
VISION = {  # Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


def linear(color: str) -> np.ndarray:
    c = np.array(to_rgb(color))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    low, high = sorted(float(TO_XYZ[1] @ linear(color)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(color: str, vision: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as it looks to somebody."""
    seen = np.clip(np.asarray(VISION[vision]) @ linear(color), 0, 1)
    t = TO_XYZ @ seen / [0.95047, 1.0, 1.08883]
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_ruler_of_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    near(lab("#ffffff", "normal"), [100, 0, 0], rtol=0, atol=0.01)
    near(lab("#ff0000", "normal"), [53.24, 80.09, 67.20], rtol=0, atol=0.02)
    for vision in VISION:  # grey stays grey
        near(lab("#808080", vision)[1:], [0, 0], rtol=0, atol=0.05)
    apart = {v: np.linalg.norm(lab("#d62728", v) - lab("#2ca02c", v)) for v in VISION}
    assert apart["deuteranopia"] < 30 < apart["normal"]  # matplotlib's own red and green


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES)
def test_series_are_far_apart_for_every_eye(theme: str, vision: str) -> None:
    house = plot.colors(theme)
    seen = [lab(house[name], vision) for name in style.SERIES]
    apart = [np.linalg.norm(a - b) for k, a in enumerate(seen) for b in seen[:k]]
    assert min(apart) > 20
    assert len(set(style.LINES)) == len(set(style.MARKERS)) == len(style.SERIES)


@pytest.mark.parametrize("theme", THEMES)
def test_everything_stands_out_from_the_page(theme: str) -> None:
    house = plot.colors(theme)
    for name in style.SERIES:
        assert contrast(house[name], house["paper"]) >= 3
    for name in ("ink", "muted"):
        assert contrast(house[name], house["paper"]) >= 4.5  # text


@pytest.mark.parametrize("theme", THEMES)
def test_colour_maps_change_evenly(theme: str) -> None:
    sequential = plt.get_cmap(style.color_map("sequential", theme))
    lightness = [lab(to_hex(sequential(v)), "normal")[0] for v in np.linspace(0, 1, 50)]
    steps = np.diff(lightness) * (1 if theme == "dark" else -1)
    assert (steps > 0).all()
    diverging = plt.get_cmap(style.color_map("diverging", theme))
    paper = lab(plot.colors(theme)["paper"], "normal")
    middle = lab(to_hex(diverging(0.5)), "normal")
    assert np.linalg.norm(middle - paper) < 12
    for vision in VISION:
        ends = [lab(to_hex(diverging(v)), vision) for v in (0.2, 0.8)]
        assert np.linalg.norm(ends[0] - ends[1]) > 20


def test_letters_are_large_enough() -> None:
    """At 7 inches wide no letter is below 9 points; the house figure is narrower."""
    width = plt.rcParams["figure.figsize"][0]
    fig, ax = plt.subplots()
    ax.plot([1, 2], label="a")
    ax.set(xlabel="x", ylabel="y", title="t")
    ax.legend()
    fig.canvas.draw()
    sizes = [text.get_fontsize() for text in fig.findobj(plt.Text) if text.get_text()]
    assert min(sizes) * min(1, 7 / width) >= 9
    assert 96 * width <= 560
    assert min(sizes) * (390 - 40) / (72 * width) > 8  # in pixels on a phone


@pytest.mark.errors
def test_errors_of_the_style() -> None:
    with pytest.raises(ValueError, match=r"colors: theme='grey' is not known; .*'dark', 'light'"):
        plot.colors("grey")
    with pytest.raises(ValueError, match="panels: n=0 is too small"):
        plot.panels(0)


# From the light page to the dark one.


def example() -> plt.Figure:
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], marker="s", label="line")
    ax.axhline(0.5, color="k")
    ax.bar([0, 1], [0.2, 0.4], edgecolor="white", label="bars", alpha=0.5)
    ax.bar([2], [0.3], edgecolor="none", alpha=0.5)
    ax.scatter([0, 1], [1, 0], color=["C2", "C3"], edgecolors="none")
    ax.annotate("here", (0.5, 0.5), (0.2, 0.8), arrowprops={"arrowstyle": "->"})
    ax.text(0.1, 0.9, "boxed", bbox={"facecolor": plot.colors()["paper"]})
    ax.fill_between([0, 1], [0, 1], color="C4", alpha=0.3)
    ax.contourf([[0, 1], [1, 2]], colors=["C0", "C1"], levels=[0, 1, 2])
    ax.set(title="title", xlabel="x")
    ax.legend()
    fig.canvas.draw()
    return fig


def colors_of(fig: plt.Figure) -> list[tuple[str, float]]:
    """All colours of the figure as (hex, alpha), invisible ones left out."""
    found = []
    for artist in fig.findobj():
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
            get = getattr(artist, f"get_{name}", None)
            value = None if get is None else get()
            if value is None or (isinstance(value, str) and value in ("none", "auto")):
                continue
            rows = value if isinstance(value, np.ndarray) and value.ndim == 2 else [value]
            found += [(to_hex(c), round(style.mpl.colors.to_rgba(c)[3], 6)) for c in rows]
    return [pair for pair in found if pair[1] > 0]


def test_no_colour_of_the_light_page_is_left_on_the_dark_one() -> None:
    fig = example()
    recolor.set_theme(fig, "dark")
    light = set(plot.colors("light").values()) | {"#000000", "#ffffff"}
    dark = set(plot.colors("dark").values())
    used = {color for color, _ in colors_of(fig)}
    assert used & light == set()
    assert used <= dark
    assert len(used) >= 8


def test_there_and_back_again() -> None:
    fig = example()
    before = colors_of(fig)
    recolor.set_theme(fig, "dark")
    dark = colors_of(fig)
    recolor.set_theme(fig, "light")
    house = plot.colors()
    same_ink = {"#000000": house["ink"], "#ffffff": house["paper"]}
    assert colors_of(fig) == [(same_ink.get(color, color), alpha) for color, alpha in before]
    assert [alpha for _, alpha in dark] == [alpha for _, alpha in before]


def test_arrows_and_boxes_of_texts_change_too() -> None:
    fig = example()
    recolor.set_theme(fig, "dark")
    boxed, arrow = sorted(fig.axes[0].texts, key=lambda text: hasattr(text, "arrow_patch"))
    house = plot.colors("dark")
    assert to_hex(arrow.arrow_patch.get_edgecolor()) == house["ink"]
    assert to_hex(boxed.get_bbox_patch().get_facecolor()) == house["paper"]


def test_foreign_colours_stay() -> None:
    fig, ax = plt.subplots()
    ax.plot([1, 2], color="#123456")
    recolor.set_theme(fig, "dark")
    assert ax.lines[0].get_color() in ("#123456", style.mpl.colors.to_rgba("#123456"))


def test_colour_maps_change_with_the_page() -> None:
    fig, ax = plt.subplots()
    ours = ax.imshow([[0, 1]])
    grey = ax.imshow([[0, 1]], cmap="gray")
    mesh = ax.pcolormesh([[0, 1]], cmap=style.color_map("diverging"))
    recolor.set_theme(fig, "dark")
    names = [picture.get_cmap().name for picture in (ours, grey, mesh)]
    assert names == ["nnbook-sequential-dark", "gray", "nnbook-diverging-dark"]


def test_redraws_are_called_for_each_page() -> None:
    fig, _ = plt.subplots()
    seen: list[str] = []
    plot.on_theme(fig, seen.append)
    make_picture(fig, caption="A caption.", alt="An alt.")
    assert seen == ["dark", "light"]


# What the page gets.


class Tags(html.parser.HTMLParser):
    """Collects the tags and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str]]) -> None:
        self.tags.append((tag, dict(attrs)))


def simple(slope: float = 1.0) -> plt.Figure:
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, slope], label="line")
    return fig


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def test_html_of_a_picture() -> None:
    picture = make_picture(
        simple(), caption='With `a < b` & "c".', alt='Says "no" & <yes>', label="fig-a"
    )
    text = picture._repr_html_()
    tags = Tags(text).tags
    assert [tag for tag, _ in tags] == ["figure", "div", "div", "img", "img", "figcaption", "code"]
    assert tags[0][1]["class"] == "nn-figure"
    assert tags[0][1]["id"] == "fig-a"
    assert "With <code>a &lt; b</code> &amp; &quot;c&quot;." in text
    for (_, img), theme in zip(tags[3:5], THEMES, strict=True):
        assert img["class"] == f"only-{theme}"
        assert img["alt"] == 'Says "no" & <yes>'
        assert (img["width"], img["height"]) == ("538", "336")
        assert "max-width:100%" in img["style"]
        assert ("display:none" in img["style"]) is (theme == "dark")  # a page without the theme
        png = base64.b64decode(img["src"].removeprefix("data:image/png;base64,"))
        house = plot.colors(theme)
        shot = pixels(png)
        assert shot.shape[:2] == (672, 1075)  # twice the size
        assert to_hex(shot[2, 2] / 255) == house["paper"]
        blue = np.array(to_rgb(house["blue"])) * 255
        assert np.abs(shot - blue).max(axis=2).min() < 12
        assert len(png) < 30_000
    assert not re.search(r"https?://|<script|<style", text)


def test_the_same_figure_has_the_same_bytes() -> None:
    one, two, other = (
        make_picture(simple(slope), caption="C.", alt="A.").panels[0] for slope in (1, 1, 2)
    )
    assert (one.light, one.dark) == (two.light, two.dark)
    assert one.light != other.light != one.dark != one.light


def test_ticks_that_were_never_drawn_change_their_colour_too() -> None:
    table = np.arange(-3.0, 3.0).reshape(2, 3)
    fresh, drawn = (plot.heatmap(table, value_label="v") for _ in range(2))
    drawn.get_figure().canvas.draw()
    one, two = (make_picture(ax, caption="C.").panels[0] for ax in (fresh, drawn))
    assert one.dark == two.dark


def test_bytes_do_not_depend_on_the_process(tmp_path) -> None:
    code = """
import matplotlib; matplotlib.use("agg")
import hashlib, matplotlib.pyplot as plt
from nnbook import plot
from nnbook.plot.display import make_picture
plot.use_style()
fig, ax = plt.subplots()
ax.plot([0, 1], [0, 1]); ax.set_title("t")
print(hashlib.sha256(make_picture(fig, "C.", "A.")._repr_html_().encode()).hexdigest())
"""
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "", "HOME": "/", "MPLCONFIGDIR": str(tmp_path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] != ""


def test_print_gets_the_light_drawing_on_white() -> None:
    picture = make_picture([simple(), simple()], caption="Two.")
    png, size = picture._repr_png_()
    assert size == {"width": 538, "height": 672}
    shot = pixels(png)
    assert shot.shape == (1344, 1075, 3)
    one = pixels(picture.panels[0].light)
    assert np.array_equal(shot[:672], one)
    assert np.array_equal(shot[672:], one)
    assert make_picture(simple(), caption="One.")._repr_png_()[0] == picture.panels[0].light


def test_several_panels_have_an_alt_text_each() -> None:
    figures, axes = plot.panels(3)
    for k, ax in enumerate(axes):
        ax.plot([0, 1], [0, k + 1])
    assert [tuple(figure.get_size_inches()) for figure in figures] == [(3.5, 2.8)] * 3
    text = make_picture(axes, caption="Three.")._repr_html_()
    alts = [img["alt"] for tag, img in Tags(text).tags if tag == "img"]
    assert len(alts) == 6
    for k in range(3):
        assert f"to {k + 1} at 1." in alts[2 * k] == alts[2 * k + 1]
    given = make_picture([simple(), simple()], caption="Two.", alt=["first", "second"])
    assert [panel.alt for panel in given.panels] == ["first", "second"]
    numbered = make_picture([simple(), simple()], caption="Two.", alt="Both")
    assert [panel.alt for panel in numbered.panels] == [
        "Both (panel 1 of 2)",
        "Both (panel 2 of 2)",
    ]


def test_shown_figures_are_closed() -> None:
    fig = simple()
    picture = plot.show(fig, caption="C.")
    assert plt.get_fignums() == []
    assert repr(picture) == "<Picture: C.>"


def test_inside_jupyter_show_displays() -> None:
    """In a kernel a figure is sent to the page at once, and nothing is returned."""
    code = """
from IPython.testing.globalipapp import start_ipython
shell = start_ipython()
shell.display_formatter.active_types = shell.display_formatter.format_types  # as a kernel
import matplotlib; matplotlib.use("agg")
import matplotlib.pyplot as plt
from IPython.utils.capture import capture_output
from nnbook import plot
fig, ax = plt.subplots()
ax.plot([0, 1])
with capture_output() as out:
    result = plot.show(fig, caption="C.")
assert result is None
(shown,) = out.outputs
assert sorted(shown.data) == ["image/png", "text/html", "text/plain"], shown.data.keys()
assert shown.data["text/html"].startswith('<figure class="nn-figure"')
assert shown.data["text/plain"] == "<Picture: C.>"
print("good")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "good" in done.stdout, done.stderr


@pytest.mark.errors
def test_errors_of_show() -> None:
    for caption, alt, match in [
        ("", None, "show: the caption is empty; say in a sentence"),
        ("  \n", None, "the caption is empty"),
        ("C.", " ", "the alt is empty"),
        (r"The map $\sigma$.", None, "holds TeX, which is not set there; write it in words"),
        ("The map $z_1$.", None, "holds TeX"),
        (r"The map \(z\).", None, "holds TeX"),
        ("C.", "$x^2$", "the alt .* holds TeX"),
        ("C.", ["a", "b"], "2 alt texts for 1 figures; give one for each"),
    ]:
        with pytest.raises(ValueError, match=match):
            plot.show(simple(), caption=caption, alt=alt)
    make_picture(simple(), caption="From $200 to $300.")  # dollars are no TeX
    with pytest.raises(ValueError, match="show: figure is empty"):
        plot.show([], caption="C.")
    with pytest.raises(TypeError, match="show: got a int; give a Figure"):
        plot.show([3], caption="C.")


# Alt text.


def described(draw) -> str:
    fig, ax = plt.subplots()
    draw(ax)
    fig.canvas.draw()
    return plot.describe(ax)


def test_alt_of_lines() -> None:
    def draw(ax) -> None:
        ax.plot([1, 2, 3], [9, 4, 5], label="loss")
        ax.plot([1, 2, 3], [1, 2, 2], label=r"$\sigma$")
        ax.plot([1, 2, 3], [3, np.nan, 1])
        ax.plot([1, 2], [7, 7], label="flat")
        ax.plot([], [], label="empty")
        ax.axhline(0)
        ax.axvline(2, label="mark")
        ax.set(xlabel="epoch", ylabel="mean loss", title="A title", yscale="log")

    assert described(draw) == (
        "A title. Line plot; epoch from 1 to 3, mean loss, logarithmic. "
        "loss: from 9 to 5, lowest 4 at 2, highest 9 at 1. "
        "sigma: rises from 1 at 1 to 2 at 3. "
        "The line: falls from 3 at 1 to 1 at 3. flat: stays at 7."
    )


def test_alt_of_many_lines_is_cut() -> None:
    text = described(lambda ax: [ax.plot([0, 1], [0, k + 1], label=f"s{k}") for k in range(20)])
    assert "s11: rises" in text
    assert "s12" not in text
    assert text.endswith("And 8 more.")


def test_alt_of_bars_points_and_pictures() -> None:
    def bar(ax) -> None:
        ax.bar(["cat", "dog"], [272000, -0.5], label="price")

    assert described(bar) == "Bar chart. price: cat 272000, dog -0.5."
    assert described(lambda ax: ax.barh(["cat", "dog"], [3, 4])) == "Bar chart. Bars: cat 3, dog 4."
    many = described(lambda ax: ax.bar(range(30), np.arange(30) % 7 - 0.5))
    assert "Bars: 30 bars, lowest -0.5 (" in many
    assert "highest 5.5 (" in many

    def cloud(ax) -> None:
        ax.scatter([0, 1, 2], [5, -6, 7], label="c")

    assert described(cloud) == "Scatter plot. c: 3 points, x from 0 to 2, y from -6 to 7."

    def picture(ax) -> None:
        ax.imshow([[1.0, 5.0], [-2.0, 0.0], [1.0, np.nan]])
        ax.set_xticks([0, 1], ["left", "right"])
        ax.set_yticks([0, 1, 2])

    assert described(picture) == (
        "Coloured table. 3 rows by 2 columns; smallest -2 at row 1, left; "
        "largest 5 at row 0, right."
    )


def test_alt_of_a_figure_with_several_axes() -> None:
    fig, (left, right) = plt.subplots(1, 2)
    left.plot([0, 1], [0, 1])
    picture = right.imshow([[0, 1]])
    fig.colorbar(picture, ax=right)
    fig.canvas.draw()
    text = plot.describe(fig)
    assert text.startswith(
        "Panel 1 of 2: Line plot. The line: rises from 0 at 0 to 1 at 1. Panel 2"
    )
    assert text.count("Panel") == 2


# The ready figures.


def test_function_and_derivative() -> None:
    ax = plot.function_and_derivative(
        lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0, name="ReLU", span=(-2, 3), kinks=[0]
    )
    f, slope = (line for line in ax.get_lines() if line.get_label() in ("ReLU", "derivative"))
    near(f.get_ydata(), np.maximum(f.get_xdata(), 0))
    assert (f.get_xdata()[0], f.get_xdata()[-1]) == (-2, 3)
    x, y = slope.get_xdata(), slope.get_ydata()
    assert set(y[np.isfinite(y)]) == {0.0, 1.0}
    jump = np.flatnonzero(np.isnan(y))
    assert len(jump) >= 1  # the line is broken where the derivative jumps
    assert (x[jump] == 0).all()
    assert y[jump[0] - 1] == 0.0
    assert y[jump[-1] + 1] == 1.0
    assert f.get_linestyle() != slope.get_linestyle()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ReLU", "derivative"]


def half_plane(x: np.ndarray) -> np.ndarray:
    """Class 2 above, class 1 below at the right, class 0 below at the left."""
    return np.where(x[:, 1] > 3, 2, np.where(x[:, 0] > 0, 1, 0))


def shot_of(ax, theme: str = "light") -> np.ndarray:
    fig = ax.get_figure()
    fig.set_dpi(100)
    fig.canvas.draw()
    recolor.set_theme(fig, theme)
    fig.set_facecolor(plot.colors(theme)["paper"])
    fig.canvas.draw()
    return np.asarray(fig.canvas.buffer_rgba())[:, :, :3].astype(float)


@pytest.mark.parametrize("theme", THEMES)
def test_decision_areas_are_the_right_way_up_and_have_the_colour_of_their_class(theme) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform([-2, -1], [4, 5], size=(60, 2))
    points = SimpleNamespace(x=x, y=half_plane(x))
    ax = plot.decision_boundary(half_plane, points)
    for collection in ax.collections:  # leave the areas only
        collection.set_visible(False)
    shot = shot_of(ax, theme)
    house = plot.colors(theme)
    for place, label in [((-1.5, -0.5), 0), ((3, 0), 1), ((-1, 4.5), 2), ((3, 4.5), 2)]:
        column, row = ax.transData.transform(place)
        got = shot[int(shot.shape[0] - row), int(column)] / 255
        colour, paper = (np.array(to_rgb(c)) for c in (house[style.SERIES[label]], house["paper"]))
        near(got, 0.28 * colour + 0.72 * paper, rtol=0, atol=0.012)


def test_decision_areas_and_their_points_agree() -> None:
    points = data.moons(80, 0.1, seed=0)
    ax = plot.decision_boundary(
        lambda x: (x[:, 1] < 0.25).astype(int), points, names=["up", "down"]
    )
    clouds = [c for c in ax.collections if len(c.get_offsets()) == 40]
    for label, cloud in enumerate(clouds):
        assert to_hex(cloud.get_facecolor()[0]) == plot.colors()[style.SERIES[label]]
        near(np.asarray(cloud.get_offsets()), points.x[points.y == label])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["up", "down"]
    picture = ax.get_images()[0]
    assert picture.norm.vmin == -0.5
    assert picture.norm.vmax == 1.5
    hits = np.mean((points.x[:, 1] < 0.25) == points.y)
    assert f"80 points on top, {hits:.0%} of them in the area of their class" in plot.describe(ax)


def test_each_pixel_of_an_area_is_asked_at_its_middle() -> None:
    asked = []

    def predict(x: np.ndarray) -> np.ndarray:
        asked.append(x)
        return np.arange(len(x)) % 2

    points = SimpleNamespace(x=np.array([[0.0, 10.0], [1.0, 30.0]]), y=np.array([0, 1]))
    ax = plot.decision_boundary(predict, points, resolution=5)
    grid, picture = asked[0].reshape(5, 5, 2), ax.get_images()[0]
    left, right, low, high = picture.get_extent()
    near([left, right, low, high], [-0.08, 1.08, 8.4, 31.6])
    near(grid[0, :, 0], left + (right - left) * (np.arange(5) + 0.5) / 5)
    near(grid[:, 0, 1], low + (high - low) * (np.arange(5) + 0.5) / 5)
    assert np.array_equal(np.asarray(picture.get_array()), (np.arange(25) % 2).reshape(5, 5))


@pytest.mark.errors
def test_errors_of_decision_areas() -> None:
    points = data.moons(10, 0.1, seed=0)
    for predict, match in [
        (lambda x: x[:, 0], "predict gave float64 of shape .* wanted one class number"),
        (lambda x: np.zeros((len(x), 2), int), "predict gave int64 of shape .*, 2"),
        (lambda x: np.full(len(x), -1), "wanted one class number"),
        (lambda x: np.full(len(x), 6), "7 classes with 7 names; there are 6 colours"),
    ]:
        with pytest.raises(ValueError, match=match):
            plot.decision_boundary(predict, points)
    with pytest.raises(ValueError, match="2 classes with 1 names"):
        plot.decision_boundary(lambda x: np.zeros(len(x), int), points, names=["one"])


def test_learning_curve() -> None:
    history = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.5, 2.6], "lr": [0.1, 0.1, 0.1]}
    ax = plot.learning_curve(history, best=2)
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert list(lines) == ["loss", "val_loss", "best epoch (2)"]
    for name in ("loss", "val_loss"):
        assert lines[name].get_xdata().tolist() == [1, 2, 3]
        assert list(lines[name].get_ydata()) == history[name]
    assert list(lines["best epoch (2)"].get_xdata()) == [2, 2]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    styles = {(line.get_color(), line.get_linestyle()) for line in lines.values()}
    assert len(styles) == 3
    ax = plot.learning_curve({"acc": [0.5]}, ["acc"], labels=["accuracy"], ylabel="share")
    assert ax.get_lines()[0].get_label() == "accuracy"


def test_bars_stand_side_by_side() -> None:
    values = {"a": [1, 2, 3], "b": [-4, 5, 6], "c": [7, 8, 9], "d": [1, 1, 1]}
    ax = plot.bars(values, ["first", "second", "third"], ylabel="height")
    boxes = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    assert len(boxes) == 12
    for (_, right), (left, _) in pairwise(boxes):
        assert left >= right - 1e-9
    for k, (name, container) in enumerate(zip(values, ax.containers, strict=True)):
        assert [bar.get_height() for bar in container] == values[name]
        assert to_hex(container[0].get_facecolor()) == plot.colors()[style.SERIES[k]]
        for group, bar in enumerate(container):
            assert group - 0.5 < bar.get_x() < bar.get_x() + bar.get_width() < group + 0.5
    assert [text.get_text() for text in ax.get_xticklabels()] == ["first", "second", "third"]
    assert len({bar[0].get_hatch() for bar in ax.containers}) == 4
    assert "a: first 1, second 2, third 3." in plot.describe(ax)


def test_activation_ranges(rng) -> None:
    values = {"linear": rng.normal(size=(50, 4)), "relu": np.maximum(rng.normal(size=200), 0)}
    ax = plot.activation_ranges(values)
    lines = ax.get_lines()
    for row, flat in enumerate(v.ravel() for v in values.values()):
        whole, middle, median = lines[3 * row : 3 * row + 3]
        near(whole.get_xdata(), [flat.min(), flat.max()])
        near(middle.get_xdata(), np.quantile(flat, [0.05, 0.95]))
        near(median.get_xdata(), [np.median(flat)])
        assert set(whole.get_ydata()) == {row}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["linear", "relu"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top
    share = np.mean(values["relu"] == 0)
    assert [text.get_text() for text in ax.texts] == [f"{share:.0%} zeros"]
    assert f"{share:.0%} zeros" in plot.describe(ax)


def test_heatmap_has_row_0_on_top() -> None:
    values = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 50.0]])
    ax = plot.heatmap(values, rows=["a", "b"], columns=["x", "y", "z"], annotate=".1f")
    picture = ax.get_images()[0]
    assert np.array_equal(np.asarray(picture.get_array()), values)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    where = {text.get_text(): text.get_position() for text in ax.texts}
    assert where["50.0"] == (2, 1)
    assert where["1.0"] == (1, 0)
    assert picture.get_cmap().name == "nnbook-sequential-light"
    assert "smallest 0 at a, x; largest 50 at b, z" in plot.describe(ax)


def test_heatmap_of_both_signs_is_centred_at_0() -> None:
    for values in ([[-1.0, 3.0]], [[-3.0, 1.0]]):
        picture = plot.heatmap(np.array(values)).get_images()[0]
        assert (picture.norm.vmin, picture.norm.vmax) == (-3.0, 3.0)
    assert picture.get_cmap().name == "nnbook-diverging-light"
    assert plot.heatmap(np.array([[-1.0, 3.0]]), diverging=False).get_images()[0].norm.vmin == -1


@pytest.mark.parametrize("theme", THEMES)
def test_numbers_can_be_read_on_their_cells(theme: str) -> None:
    values = np.linspace(-1, 1, 24).reshape(4, 6)
    for table in (values, values + 2):
        ax = plot.heatmap(table, annotate=".1f")
        fig = ax.get_figure()
        fig.canvas.draw()
        recolor.set_theme(fig, theme)
        cells = ax.get_images()[0]
        for text in ax.texts:
            column, row = text.get_position()
            cell = to_hex(cells.cmap(cells.norm(table[int(row), int(column)])))
            assert contrast(to_hex(text.get_color()), cell) >= 4.5


def test_confusion_has_the_truth_in_rows() -> None:
    matrix = np.array([[8, 2, 0], [0, 1, 3], [0, 0, 0]])
    ax = plot.confusion(matrix, ["cat", "dog", "cow"])
    shown = np.asarray(ax.get_images()[0].get_array())
    near(shown, [[80, 20, 0], [0, 25, 75], [0, 0, 0]])
    where = {text.get_text(): text.get_position() for text in ax.texts}
    assert where == {"80": (0, 0), "20": (1, 0), "25": (1, 1), "75": (2, 1)}
    assert ax.get_ylabel() == "true class"
    assert ax.get_xlabel().startswith("predicted class")
    assert plot.describe(ax) == (
        "Confusion matrix of 3 classes, 14 samples, 64% on the diagonal. "
        "Most frequent errors: dog taken for cow (3); cat taken for dog (2)."
    )
    counts = plot.confusion(matrix, ["cat", "dog", "cow"], normalize=False)
    assert np.array_equal(np.asarray(counts.get_images()[0].get_array()), matrix)
    assert "0 samples." in plot.describe(plot.confusion(matrix * 0, ["cat", "dog", "cow"]))


def test_images_stand_in_rows_and_the_right_way_up() -> None:
    pictures = np.zeros((7, 4, 6), np.uint8)
    for k in range(7):
        pictures[k, 0, 0] = 10 * k + 100  # the corner at the top left
    ax = plot.images(pictures, titles=list("abcdefg"), columns=3)
    drawn = ax.get_images()
    assert [np.asarray(p.get_array())[0, 0] for p in drawn] == [100 + 10 * k for k in range(7)]
    limits = {(p.norm.vmin, p.norm.vmax) for p in drawn}
    assert limits == {(0.0, 160.0)}  # the same grey in each
    places = [p.get_extent() for p in drawn]  # left, right, bottom, top
    assert places[0][0] < places[1][0] < places[2][0]
    assert places[3][0] == places[0][0]
    assert places[3][3] > places[0][2]  # further down, the axis points down
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    for text, (left, right, bottom, top) in zip(ax.texts, places, strict=True):
        x, y = text.get_position()
        assert left < x < right
        assert y > bottom > top
    shot = shot_of(ax)
    for (left, _, _, top), value in zip(places, [100 + 10 * k for k in range(7)], strict=True):
        column, row = ax.transData.transform((left + 0.5, top + 0.5))
        got = shot[int(shot.shape[0] - row), int(column)]
        near(got, [255 * value / 160] * 3, rtol=0, atol=2)
    assert "7 grey pictures of 6 by 4 pixels in rows of 3: a, b, c" in plot.describe(ax)


@pytest.mark.errors
def test_errors_of_ready_figures() -> None:
    for call, match in [
        (
            lambda: plot.learning_curve({"loss": [1.0]}, ["acc"]),
            "column='acc' is not known; .*loss",
        ),
        (lambda: plot.learning_curve({"lr": [1.0]}), "learning_curve: columns is empty"),
        (lambda: plot.learning_curve({"loss": [1.0]}, labels=["a", "b"]), "labels has 2; give"),
        (lambda: plot.bars({}, ["a"]), "bars: values is empty"),
        (lambda: plot.bars({"s": [1.0]}, ["a", "b"]), "series 's' has 1 entries and groups has 2"),
        (lambda: plot.activation_ranges({}), "activation_ranges: activations is empty"),
        (lambda: plot.activation_ranges({"m": []}), "activation_ranges: m is empty"),
        (
            lambda: plot.activation_ranges({"m": [1.0, np.inf, np.nan]}),
            "2 of the 3 outputs of 'm' are not finite; wanted numbers",
        ),
        (lambda: plot.heatmap(np.zeros(3)), r"shape \(3,\); wanted \(rows, columns\)"),
        (lambda: plot.heatmap(np.zeros((2, 3)), rows=["a"]), "names has 1 entries"),
        (lambda: plot.confusion(np.zeros((2, 3)), ["a"]), r"shape \(2, 3\); wanted \(n, n\)"),
        (lambda: plot.confusion(np.zeros((2, 2)), ["a"]), "names has 1 entries and the matrix"),
        (lambda: plot.images(np.zeros((3, 4))), r"shape \(3, 4\); wanted \(n, height, width\)"),
        (lambda: plot.images(np.zeros((0, 4, 4))), "images: pictures is empty"),
        (lambda: plot.images(np.zeros((1, 4, 4)), columns=0), "images: columns=0"),
        (lambda: plot.images(np.zeros((1, 4, 4)), titles=["a", "b"]), "titles has 2"),
    ]:
        with pytest.raises(ValueError, match=match):
            call()


def test_every_ready_figure_draws_into_a_given_axes(rng) -> None:
    points = data.moons(20, 0.1, seed=0)
    for draw in (
        lambda ax: plot.function_and_derivative(np.sin, np.cos, ax=ax),
        lambda ax: plot.decision_boundary(half_plane, points, ax=ax),
        lambda ax: plot.learning_curve({"loss": [1.0, 2.0]}, ax=ax),
        lambda ax: plot.bars({"s": [1.0]}, ["a"], ax=ax),
        lambda ax: plot.activation_ranges({"m": [1.0, 2.0]}, ax=ax),
        lambda ax: plot.heatmap(rng.normal(size=(2, 3)), ax=ax),
        lambda ax: plot.confusion(np.eye(2), ["a", "b"], ax=ax),
        lambda ax: plot.images(rng.normal(size=(2, 4, 4)), ax=ax),
    ):
        _, ax = plt.subplots()
        assert draw(ax) is ax
        assert len(plt.get_fignums()) == 1
        text = make_picture(ax, caption="C.")._repr_html_()
        assert 'alt="' in text
        assert 'alt=""' not in text
