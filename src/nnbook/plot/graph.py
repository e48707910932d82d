"""Draw a computational graph: boxes from top to bottom, a lane of its own for every long edge.

The layout needs no search, because a composition nests: a chain stands in one column, the branches
of a fork stand side by side, and what leads around them runs in a lane beside them. Lengths are in
inches, so that the text, whose size is fixed, can be measured and stays in its box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve

from .alt import note
from .style import colors

if TYPE_CHECKING:
    from nnbook.nn import Fork, Graph, Node

POINTS = 9.0
LINE, PAD, GAP, LANE, ROW = 0.17, 0.09, 0.22, 0.34, 0.34
AROUND = ("residual", "skip")


@dataclass
class Box:
    """A node on the page: its lines of text, half its width, its height, and where it stands."""

    lines: list[str]
    half: float
    height: float
    x: float = 0.0
    top: float = 0.0

    @property
    def bottom(self) -> float:
        """The vertical coordinate of the lower side; it grows downwards."""
        return self.top + self.height


@dataclass(frozen=True)
class Route:
    """An edge on the page: from a box down a lane to a box."""

    source: int
    target: int
    lane: float
    path: str


@dataclass
class Layout:
    """Boxes with places, and routes between them."""

    boxes: list[Box]
    rows: list[int]
    routes: list[Route] = field(default_factory=list)

    def extent(self, chain: Iterable[int | Fork]) -> tuple[float, float]:
        """Return how far a chain reaches to the left and to the right of its column."""
        sides = [(LANE / 2, LANE / 2)]
        for step in chain:
            if isinstance(step, int):
                sides.append((self.boxes[step].half, self.boxes[step].half))
                continue
            columns = self.columns(step)
            reach = [self.extent(branch) for branch in step.branches]
            half = self.boxes[step.join].half
            sides.append((half, half))
            sides.append(
                (
                    max(r[0] - c for r, c in zip(reach, columns, strict=True)),
                    max(r[1] + c for r, c in zip(reach, columns, strict=True)),
                )
            )
        return max(s[0] for s in sides), max(s[1] for s in sides)

    def columns(self, fork: Fork) -> list[float]:
        """Return where the columns of the branches are, relative to that of the fork."""
        reach = [self.extent(branch) for branch in fork.branches]
        columns, end = [], 0.0
        for left, right in reach:
            columns.append(end + left)
            end += left + right + GAP
        around = any(path in AROUND for path in fork.paths)
        middle = columns[0] if around else (end - GAP) / 2
        return [column - middle for column in columns]

    def place(self, chain: Iterable[int | Fork], x: float, at: Route | None) -> Route | None:
        """Put a chain into a column; ``at`` is the open end before it, the result that after it."""
        for step in chain:
            if isinstance(step, int):
                at = self.arrive(step, x, [at])
                continue
            ends = []
            for branch, path, dx in zip(step.branches, step.paths, self.columns(step), strict=True):
                assert at is not None
                kind = at.path if path == "main" else path
                end = self.place(branch, x + dx, Route(at.source, -1, x + dx, kind))
                assert end is not None
                ends.append(Route(end.source, -1, end.lane, path))
            at = self.arrive(step.join, x, ends)
        return at

    def arrive(self, node: int, x: float, ends: Sequence[Route | None]) -> Route:
        """Put a box into a column and end the open routes in it."""
        self.boxes[node].x = x
        self.routes += [Route(e.source, node, e.lane, e.path) for e in ends if e is not None]
        return Route(node, -1, x, "main")


def lay_out(graph: Graph, *, ranges: bool = True) -> Layout:
    """Return where the boxes and the edges of a graph stand, in inches, from the top left corner.

    Args:
        graph: what `nnbook.nn.trace` returned.
        ranges: whether the boxes name the range of the activations.
    """
    boxes = [_box(node, ranges) for node in graph.nodes]
    rows = [0] * len(boxes)
    for edge in graph.edges:  # sorted by target, so that a source has its row already
        rows[edge.target] = max(rows[edge.target], rows[edge.source] + 1)
    layout = Layout(boxes, rows)
    layout.place(graph.chain, layout.extent(graph.chain)[0] + PAD, None)
    top = PAD
    for row in range(max(rows) + 1):
        inside = [box for box, r in zip(boxes, rows, strict=True) if r == row]
        for box in inside:
            box.top = top
        top += max(box.height for box in inside) + ROW
    return layout


def draw_graph(graph: Graph, *, ranges: bool = True, ax: Axes | None = None) -> Axes:
    """Draw a computational graph from top to bottom.

    Blue boxes have parameters, orange ones have none, green ones combine; a dashed line leads
    around modules.

    Args:
        graph: what `nnbook.nn.trace` returned.
        ranges: whether the boxes name the range of the activations.
        ax: where to draw; None makes a figure of the size that the graph needs.

    Returns:
        The axes, whose units are inches.
    """
    layout = lay_out(graph, ranges=ranges)
    width = sum(layout.extent(graph.chain)) + 2 * PAD
    height = max(box.bottom for box in layout.boxes) + PAD
    if ax is None:
        figure = plt.figure(figsize=(width, height))
        figure.set_layout_engine("none")  # the axes fills the figure, so that units are inches
        ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    ax.axis("off")
    for node, box in zip(graph.nodes, layout.boxes, strict=True):
        _draw_box(ax, box, _color(node))
    for route in layout.routes:
        _draw_route(ax, layout, route)
    note(ax, graph_alt(graph))
    return ax


def graph_alt(graph: Graph) -> str:
    """Return the graph in words, for those who do not see its picture."""
    parts = [
        f"{_title(node)} of shape {_shape(node)} from " + " and ".join(sources)
        if (sources := _sources(graph, place))
        else f"{_title(node)} of shape {_shape(node)}"
        for place, node in enumerate(graph.nodes)
    ]
    return f"Computational graph with {graph.parameters} parameters: {'; '.join(parts)}."


def _sources(graph: Graph, place: int) -> list[str]:
    return [
        _title(graph.nodes[e.source]) + (f" by the {e.path} path" if e.path in AROUND else "")
        for e in graph.edges
        if e.target == place
    ]


def _title(node: Node) -> str:
    ends = node.kind in ("input", "output")
    return node.operation if ends else f"{node.name} {node.operation}".strip()


def _shape(node: Node) -> str:
    return " × ".join(map(str, node.shape)) or "scalar"


def _box(node: Node, ranges: bool) -> Box:
    count = f"as {node.shared}" if node.shared else f"{node.parameters:,} parameters"
    named = node.kind == "module" and (node.parameters or node.shared)
    lines = [_title(node), f"{_shape(node)}, {count}" if named else _shape(node)]
    if ranges:
        lines.append(f"{node.low:.3g} to {node.high:.3g}".replace("-", "−"))
    half = max(_width(line, bold=i == 0) for i, line in enumerate(lines)) / 2 + PAD
    return Box(lines, half, LINE * len(lines) + PAD)


def _width(text: str, *, bold: bool) -> float:
    """Return the width of a line of text in inches."""
    wanted = font_manager.FontProperties(weight="bold" if bold else "normal")
    font = font_manager.get_font(font_manager.findfont(wanted))
    font.set_size(POINTS, 7200)  # so fine that rounding to pixels does not matter
    font.set_text(text, 0.0)
    return float(font.get_width_height()[0]) / 64 / 7200


def _color(node: Node) -> str:
    if node.kind in ("input", "output"):
        return colors()["ink"]
    if node.kind == "combine":
        return colors()["green"]
    return colors()["blue" if node.parameters or node.shared else "orange"]


def _draw_box(ax: Axes, box: Box, color: str) -> None:
    shape = FancyBboxPatch(
        (box.x - box.half, box.top),
        2 * box.half,
        box.height,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor="none",
        edgecolor=color,
        linewidth=1.5,
    )
    ax.add_patch(shape)
    for i, line in enumerate(box.lines):
        y = box.top + PAD / 2 + LINE * (i + 0.5)
        weight = "bold" if i == 0 else "normal"
        ax.text(
            box.x, y, line, ha="center", va="center", fontsize=POINTS, fontweight=weight,
            color=colors()["ink"],
        )  # fmt: skip


def _draw_route(ax: Axes, layout: Layout, route: Route) -> None:
    source, target = layout.boxes[route.source], layout.boxes[route.target]
    around = route.path in AROUND
    points = [(source.x, source.bottom)]
    between = range(layout.rows[route.source] + 1, layout.rows[route.target])
    passed = [b for b, r in zip(layout.boxes, layout.rows, strict=True) if r in between]
    if passed:
        points += [(route.lane, min(b.top for b in passed))]
        points += [(route.lane, max(b.bottom for b in passed))]
    points.append((_entry(layout, route), target.top))
    patch = FancyArrowPatch(
        path=_smooth(points),
        arrowstyle="-|>",
        mutation_scale=9,
        color=colors()["purple" if around else "ink"],
        linewidth=1.3,
        linestyle=(0, (4, 2)) if around else "solid",
    )
    ax.add_patch(patch)
    if around and passed:
        middle = (points[1][1] + points[2][1]) / 2
        ax.text(
            route.lane + 0.1, middle, route.path, rotation=90, ha="center", va="center",
            fontsize=POINTS, color=colors()["ink"],
        )  # fmt: skip


def _entry(layout: Layout, route: Route) -> float:
    """Return where a route enters its box: several side by side, what leads around on the right."""
    box = layout.boxes[route.target]
    inside = [r for r in layout.routes if r.target == route.target and r.path not in AROUND]
    if route.path in AROUND:
        return box.x + 0.5 * box.half
    step = 1.2 * box.half / len(inside)
    return box.x + step * (inside.index(route) - (len(inside) - 1) / 2)


def _smooth(points: Sequence[tuple[float, float]]) -> Curve:
    """Join points by curves that are vertical at both ends."""
    vertices, codes = [points[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        vertices += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    return Curve(vertices, codes)
