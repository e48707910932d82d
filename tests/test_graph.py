"""The recorded graph of any nesting, and its picture: nothing overlaps, no text leaves its box."""

from __future__ import annotations

from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import close

from nnbook.nn import MLP, Identity, Linear, Parallel, ReLU, Residual, Sequential, Skip, trace
from nnbook.plot import describe, draw_graph, show, use_style
from nnbook.plot.graph import GAP, LANE, graph_alt, lay_out

tnn = torch.nn
WIDTH = 3


class Half(tnn.Module):
    """A leaf that is written with functions only."""

    def forward(self, x):
        return torch.nn.functional.relu(x) * 0.5


def leaves():
    return st.sampled_from([lambda: Linear(WIDTH, WIDTH), ReLU, Half, Identity, tnn.Tanh])


def build(makers):
    return [make() for make in makers]


def three_times(make):
    shared = make()
    return Sequential(shared, Residual(shared), shared)


def compositions(inner):
    """Draw a recipe for one more level of nesting; each keeps the width."""
    some, ways = st.lists(inner, max_size=3), st.lists(inner, min_size=1, max_size=3)
    how = st.sampled_from(["sum", "mean"])
    return st.one_of(
        some.map(lambda ms: lambda: Sequential(*build(ms))),
        some.map(lambda ms: lambda: tnn.Sequential(*build(ms))),
        st.tuples(ways, how).map(lambda mh: lambda: Parallel(*build(mh[0]), combine=mh[1])),
        inner.map(lambda m: lambda: Residual(m())),
        st.tuples(inner, inner).map(lambda fp: lambda: Residual(fp[0](), projection=fp[1]())),
        some.map(lambda ms: lambda: Skip(*build(ms))),
        inner.map(lambda m: lambda: three_times(m)),
        st.just(lambda: MLP([WIDTH, 2, WIDTH])),
    )


def models():
    """Draw a function that makes a model."""
    return st.recursive(leaves(), compositions, max_leaves=6)


def draw_input(rows=4):
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(1))


@settings(max_examples=100)
@given(models())
def test_any_nesting(make):
    """The graph ends in the model's own output, in topological order, with every parameter once."""
    model, x = make(), draw_input()
    graph = trace(model, x)
    first, last = graph.nodes[0], graph.nodes[-1]
    y = model(x).detach().double()
    assert (first.kind, last.kind) == ("input", "output")
    assert last.shape == tuple(y.shape)
    close([last.low, last.high, last.mean], [float(v) for v in (y.min(), y.max(), y.mean())])
    assert graph.parameters == sum(p.numel() for p in model.parameters())
    assert all(e.source < e.target for e in graph.edges)
    assert list(graph.edges) == sorted(graph.edges, key=lambda e: e.target)
    into, out = Counter(e.target for e in graph.edges), Counter(e.source for e in graph.edges)
    for i, node in enumerate(graph.nodes):
        assert (into[i] == 0) == (node.kind == "input")
        assert (out[i] == 0) == (node.kind == "output")
        assert into[i] == 1 or node.kind in ("input", "combine")


@settings(max_examples=100)
@given(models())
def test_no_box_overlaps_and_no_lane_crosses_a_box(make):
    graph = trace(make(), draw_input())
    layout = lay_out(graph)
    for i, a in enumerate(layout.boxes):
        for b in layout.boxes[:i]:
            beside = abs(a.x - b.x) >= a.half + b.half + GAP / 2
            assert beside or a.top >= b.bottom or b.top >= a.bottom
    assert len(layout.routes) == len(graph.edges)
    assert Counter((r.source, r.target) for r in layout.routes) == Counter(
        (e.source, e.target) for e in graph.edges
    )
    for route in layout.routes:
        between = range(layout.rows[route.source] + 1, layout.rows[route.target])
        for box, row in zip(layout.boxes, layout.rows, strict=True):
            assert row not in between or abs(box.x - route.lane) >= box.half + LANE / 4
    left, right = (min(b.x - b.half for b in layout.boxes), max(b.x + b.half for b in layout.boxes))
    width = sum(layout.extent(graph.chain)) + 2 * 0.09
    assert left >= 0
    assert right <= width


class WhatANameForAModule(Half):
    """Its name is its longest line, and bold."""


NAMED = {
    "title": WhatANameForAModule,
    "deep": lambda: MLP([WIDTH, 256, 128, 64, 32, 10]),
    "three": lambda: Sequential(
        Linear(WIDTH, 6),
        Parallel(short=Identity(), mid=Sequential(Linear(6, 6), ReLU()), long=MLP([6, 8, 8, 6])),
        Linear(6, 2),
    ),
    "nested": lambda: Residual(Sequential(Linear(WIDTH, WIDTH), Residual(Half()), ReLU())),
    "skip": lambda: Sequential(
        Linear(WIDTH, 4), Skip(Linear(4, 4), ReLU(), Linear(4, 4), combine="concat"), Linear(8, 2)
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_no_text_leaves_its_box(name):
    use_style()  # as in the book; a warning would be an error
    graph = trace(NAMED[name](), 1e3 * draw_input())
    ax = draw_graph(graph)
    renderer = ax.figure.canvas.get_renderer()
    boxes = [p.get_window_extent(renderer) for p in ax.patches if hasattr(p, "get_boxstyle")]
    texts = [t.get_window_extent(renderer) for t in ax.texts if t.get_rotation() == 0]
    assert len(boxes) == len(graph.nodes)
    assert len(texts) == 3 * len(graph.nodes)
    for text in texts:
        inside = [b for b in boxes if b.x0 <= text.x0 and text.x1 <= b.x1]
        assert any(b.y0 - 1 <= text.y0 and text.y1 <= b.y1 + 1 for b in inside)
    for lane in (t for t in ax.texts if t.get_rotation() == 90):
        extent = lane.get_window_extent(renderer)
        assert not any(extent.overlaps(b) for b in boxes)
        assert ax.figure.bbox.x1 >= extent.x1
    assert show(ax, caption="A graph.").panels[0].alt == graph_alt(graph)


def test_a_chain_is_straight_and_branches_are_centred():
    straight = lay_out(trace(Sequential(Residual(ReLU()), Skip(Half(), Half())), draw_input()))
    assert len({box.x for box in straight.boxes}) == 1
    fork = lay_out(trace(Parallel(ReLU(), ReLU(), ReLU()), draw_input()))
    start, left, middle, right, join, _ = (box.x for box in fork.boxes)
    assert left < middle < right
    close([start, join, (left + right) / 2], [middle] * 3)


def test_the_drawing_has_a_box_and_an_arrow_for_everything():
    graph = trace(NAMED["nested"](), draw_input())
    ax = draw_graph(graph, ranges=False)
    shown = [t.get_text() for t in ax.texts]
    assert shown.count("residual") == 2
    assert len(ax.patches) == len(graph.nodes) + len(graph.edges)
    assert {"f.0 Linear", "4 × 3, 12 parameters"} <= set(shown)
    assert not any(" to " in text for text in shown)
    again = plt.figure().add_subplot()
    assert draw_graph(graph, ax=again) is again
    assert describe(again) == graph_alt(graph)
    plt.close("all")


# --- one small graph, entry by entry -----------------------------------------------------------


def small():
    first = Linear(2, 3, dtype=torch.float64)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]))
        first.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    model = Sequential(first, Residual(ReLU()))
    return trace(model, torch.tensor([[1.0, -2.0], [0.0, 3.0]], dtype=torch.float64))


def test_nodes_entry_by_entry():
    graph = small()
    given_nodes = [(n.name, n.kind, n.operation, n.shape, n.parameters) for n in graph.nodes]
    assert given_nodes == [
        ("input", "input", "input", (2, 2), 0),
        ("0", "module", "Linear", (2, 3), 9),
        ("1.f", "module", "ReLU", (2, 3), 0),
        ("1", "combine", "sum", (2, 3), 0),
        ("output", "output", "output", (2, 3), 0),
    ]
    y = np.array([[1.0, -2.0, 2.0], [0.0, 3.0, -4.0]])
    linear, rectified, total = graph.nodes[1:4]
    for node, value in ((linear, y), (rectified, y.clip(0)), (total, y + y.clip(0))):
        close([node.low, node.high], [value.min(), value.max()])
        close([node.mean, node.std], [value.mean(), value.std()])
        close(node.zeros, (value == 0).mean())
    assert {n.dtype for n in graph.nodes} == {"float64"}
    assert [(e.source, e.target, e.path) for e in graph.edges] == [
        (0, 1, "main"),
        (1, 2, "main"),
        (2, 3, "main"),
        (1, 3, "residual"),
        (3, 4, "main"),
    ]


def test_paths_say_what_they_are():
    model = Parallel(Linear(WIDTH, WIDTH), Skip(Sequential(ReLU(), ReLU())), Sequential())
    edges = {(e.source, e.target): e.path for e in trace(model, draw_input()).edges}
    assert edges == {
        (0, 1): "branch",
        (0, 2): "branch",
        (2, 3): "main",
        (3, 4): "main",
        (0, 4): "skip",
        (1, 5): "branch",
        (4, 5): "branch",
        (0, 5): "branch",
        (5, 6): "main",
    }
    projected = trace(Residual(ReLU(), projection=Linear(WIDTH, WIDTH)), draw_input())
    assert [e.path for e in projected.edges] == ["main", "residual", "main", "residual", "main"]


def test_a_shared_module_is_counted_once():
    shared = Linear(WIDTH, WIDTH)
    graph = trace(
        Sequential(shared, ReLU(), Residual(shared), MLP([WIDTH, WIDTH]) * 2), draw_input()
    )
    seen = [(n.name, n.parameters, n.shared) for n in graph.nodes if n.operation == "Linear"]
    assert seen == [("0", 12, None), ("2.f", 0, "0"), ("3.0", 12, None), ("3.1", 0, "3.0")]
    first, second = (graph.nodes[i].low for i in (1, 3))  # each use has its own activations
    y = shared(draw_input())
    close([first, second], [y.min().item(), shared(y.relu()).min().item()], 1e-6, 1e-6)
    assert graph.parameters == 24


def test_tied_weights_are_counted_once():
    a, b = Linear(WIDTH, WIDTH), Linear(WIDTH, WIDTH)
    b.weight = a.weight
    graph = trace(Sequential(a, b), draw_input())
    assert [n.parameters for n in graph.nodes] == [0, 12, 3, 0]


def test_what_is_not_a_plain_composition_is_one_node():
    class Twice(Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    class Scaled(Residual):
        def __init__(self, f):
            super().__init__(f)
            self.scale = tnn.Parameter(torch.ones(WIDTH))

    model = Sequential(Twice(Linear(WIDTH, WIDTH)), Scaled(ReLU()), tnn.LayerNorm(WIDTH))
    graph = trace(model, draw_input())
    assert [n.operation for n in graph.nodes[1:-1]] == ["Twice", "Scaled", "LayerNorm"]
    assert graph.parameters == sum(p.numel() for p in model.parameters())
    opened = trace(tnn.Sequential(Linear(WIDTH, 2), ReLU()), draw_input())
    assert [n.operation for n in opened.nodes[1:-1]] == ["Linear", "ReLU"]
    alone = trace(tnn.GELU(), draw_input())
    assert [n.name for n in alone.nodes] == ["input", "", "output"]


def test_tracing_leaves_the_model_as_it_was():
    model = Sequential(tnn.BatchNorm1d(WIDTH), tnn.Dropout(0.5), Linear(WIDTH, 2))
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    graph = trace(model, draw_input())
    assert [m.training for m in model] == [True, False, True]
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert graph.nodes[2].zeros == 0  # eval mode: nothing was dropped
    assert not any(m._forward_hooks for m in model.modules())
    with pytest.raises(ValueError, match="module '2'"):
        trace(Sequential(tnn.Dropout(), ReLU(), Linear(9, 2)), draw_input())


def test_other_types_and_sizes():
    words = trace(Sequential(tnn.Embedding(5, 4), tnn.Flatten()), torch.tensor([[1, 4], [0, 2]]))
    assert [(n.dtype, n.shape) for n in words.nodes[:2]] == [
        ("int64", (2, 2)),
        ("float32", (2, 2, 4)),
    ]
    assert (words.nodes[0].low, words.nodes[0].high) == (0, 4)
    empty = trace(ReLU(), torch.zeros(0, 3))
    assert empty.nodes[1].shape == (0, 3)
    assert np.isnan(empty.nodes[1].low)
    half = trace(ReLU(), torch.full((1000,), 300.0, dtype=torch.float16))
    assert half.nodes[1].mean == 300.0  # summed in float64: float16 would overflow
    assert half.nodes[1].std == 0.0
    assert trace(Identity(), torch.tensor(2.0)).nodes[1].shape == ()


@pytest.mark.errors
def test_what_cannot_be_followed():
    with pytest.raises(TypeError, match=r"trace: LSTM gave a value of type tuple.*one real tensor"):
        trace(tnn.LSTM(WIDTH, 2), draw_input())
    with pytest.raises(TypeError, match="trace: Identity gave a value of type Tensor"):
        trace(Identity(), torch.zeros(2, dtype=torch.complex64))


def test_table():
    lines = small().table().splitlines()
    assert lines[3] == "| 0 | Linear | 2 × 3 | 9 | -4 to 3 | 0 ± 2.4 | 17% |"
    assert lines[4] == "| 1.f | ReLU | 2 × 3 | 0 | 0 to 3 | 1 ± 1.2 | 50% |"
    assert lines[-1].startswith("| **all** | | | **9** |")
    assert {line.count("|") for line in lines} == {8}
    shared = Linear(WIDTH, WIDTH)
    assert "as 0" in trace(Sequential(shared, shared), draw_input()).table()
    assert small()._repr_markdown_() == small().table()


def test_alt_text_names_every_edge():
    text = graph_alt(small())
    assert text == (
        "Computational graph with 9 parameters: input of shape 2 × 2; 0 Linear of shape 2 × 3 from "
        "input; 1.f ReLU of shape 2 × 3 from 0 Linear; 1 sum of shape 2 × 3 from 1.f ReLU and "
        "0 Linear by the residual path; output of shape 2 × 3 from 1 sum."
    )
