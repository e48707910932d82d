"""The computational graph of a composition, recorded while an input goes through it."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .composition import Parallel, Residual, Sequential, Skip

Path = Literal["main", "branch", "residual", "skip"]


@dataclass(frozen=True)
class Node:
    """One step of a computation and what it returned.

    Attributes:
        name: the name of the module in the model, such as ``"1.f.0"``; that of a combination is
            the name of the composition, such as ``"1"``; ``"input"`` and ``"output"``.
        kind: ``"input"``, ``"module"``, ``"combine"`` or ``"output"``.
        operation: the class of the module, or how a combination combines (``"sum"``, ...).
        shape: the shape of what it returned.
        dtype: the type, such as ``"float32"``.
        parameters: how many parameters it brought in; those met before count 0.
        shared: the name under which the same module was met before, or None.
        low, high, mean, std: minimum, maximum, mean and (biased) deviation of what it returned.
        zeros: the share of exact zeros in it.
    """

    name: str
    kind: Literal["input", "module", "combine", "output"]
    operation: str
    shape: tuple[int, ...]
    dtype: str
    parameters: int
    shared: str | None
    low: float
    high: float
    mean: float
    std: float
    zeros: float


@dataclass(frozen=True)
class Edge:
    """A value on its way from node ``source`` to node ``target``, both numbers of nodes."""

    source: int
    target: int
    path: Path


@dataclass(frozen=True)
class Fork:
    """Branches that leave one node and meet in the node ``join``.

    Attributes:
        branches: a chain for each, which may be empty.
        paths: what each branch is.
        join: the number of the node where they are combined.
    """

    branches: tuple[Chain, ...]
    paths: tuple[Path, ...]
    join: int


Chain = tuple["int | Fork", ...]
"""Numbers of nodes in order, with forks in between: how the graph nests."""


@dataclass(frozen=True)
class Graph:
    """What `trace` recorded.

    Attributes:
        nodes: in the order of the computation, which is a topological order.
        edges: by numbers of nodes; ``source < target`` for each.
        chain: how the graph nests, from input to output.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    chain: Chain

    @property
    def parameters(self) -> int:
        """The number of parameters, shared ones counted once."""
        return sum(node.parameters for node in self.nodes)

    def table(self) -> str:
        """Return the nodes as a table in Markdown."""
        rows = [
            "| node | module | shape | parameters | range | mean ± std | zeros |",
            "|---|---|---|---:|---|---|---:|",
        ]
        for node in self.nodes:
            count = f"as {node.shared}" if node.shared else f"{node.parameters:,}"
            cells = [node.name or "whole", node.operation, write_shape(node.shape), count]
            cells += [f"{node.low:.3g} to {node.high:.3g}", f"{node.mean:.3g} ± {node.std:.2g}"]
            rows.append(f"| {' | '.join(cells)} | {node.zeros:.0%} |")
        return "\n".join([*rows, f"| **all** | | | **{self.parameters:,}** | | | |"]) + "\n"

    def _repr_markdown_(self) -> str:
        return self.table()


def write_shape(shape: tuple[int, ...]) -> str:
    """Write a shape as on paper.

    >>> write_shape((5, 2))
    '5 × 2'
    """
    return " × ".join(map(str, shape)) or "scalar"


def trace(model: nn.Module, x: Tensor) -> Graph:
    """Send an input through a model and record every step.

    It opens `Sequential` (torch's too), `Parallel`, `Residual`, `Skip` and what is made of them,
    such as `MLP`, in any nesting. Every other module is one node, also a class that replaces
    their ``forward`` or adds parameters of its own. The model runs once, in eval mode and without
    gradients, and is left as it was.

    Args:
        model: a module with one tensor in and one out.
        x: an input for it, on its device.

    Returns:
        The `Graph`.

    Raises:
        TypeError: if a module returns something else than one real tensor.
        ValueError: if a module of a composition cannot take its input.

    Examples:
        >>> from nnbook.nn import MLP
        >>> graph = trace(MLP([2, 5, 1]), torch.zeros(4, 2))
        >>> [node.operation for node in graph.nodes], graph.parameters
        (['input', 'Linear', 'ReLU', 'Linear', 'output'], 21)
    """
    seen: dict[nn.Module, deque[Summary]] = defaultdict(deque)

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        seen[module].append(_summary(output, type(module).__name__))

    modes = {module: module.training for module in model.modules()}
    hooks = [module.register_forward_hook(record) for module in set(_steps(model))]
    try:
        model.eval()
        with torch.no_grad():
            y = model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return _Walk(seen).whole(model, _summary(x, "the caller"), _summary(y, "the model"))


Way = tuple[str, "nn.Module | None", Path]
"""A way through a composition: the name of the part, the part (None: straight on), the path."""
Place = tuple[int, Path]
"""The node that made a value, and the path that the value is on."""
Summary = dict[str, Any]
"""The entries of a `Node` that describe a value."""


class _Walk:
    """Goes through the structure of a model and writes down nodes and edges."""

    def __init__(self, seen: dict[nn.Module, deque[Summary]]) -> None:
        self.seen = seen
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.names: dict[nn.Module, str] = {}
        self.counted: set[Tensor] = set()

    def whole(self, model: nn.Module, x: Summary, y: Summary) -> Graph:
        start = self.node([], "input", "input", "input", x)
        place, chain = self.follow(model, "", (start, "main"))
        end = self.node([place], "output", "output", "output", y)
        return Graph(tuple(self.nodes), tuple(self.edges), (start, *chain, end))

    def node(self, sources: list[Place], name: str, kind: Any, operation: str, value: Any) -> int:
        self.edges += [Edge(source, len(self.nodes), path) for source, path in sources]
        rest = {"parameters": 0, "shared": None, **value}
        self.nodes.append(Node(name, kind, operation, **rest))
        return len(self.nodes) - 1

    def follow(self, module: nn.Module, name: str, at: Place) -> tuple[Place, Chain]:
        """Return where the output of a module is, and what was met on the way there."""
        if (ways := _ways(module)) is not None:
            return self.fork(module, ways, name, at)
        if (parts := _parts(module)) is None:
            return self.leaf(module, name, at)
        chain: list[int | Fork] = []
        for child, part in parts.items():
            at, steps = self.follow(part, _join(name, child), at)
            chain += steps
        return at, tuple(chain)

    def leaf(self, module: nn.Module, name: str, at: Place) -> tuple[Place, Chain]:
        new = set(module.parameters()) - self.counted
        self.counted |= new
        value = self.seen[module].popleft()
        value |= {"parameters": sum(p.numel() for p in new), "shared": self.names.get(module)}
        self.names.setdefault(module, name or "whole")
        step = self.node([at], name, "module", type(module).__name__, value)
        return (step, "main"), (step,)

    def fork(self, module: nn.Module, ways: list[Way], name: str, at: Place) -> tuple[Place, Chain]:
        ends: list[Place] = []
        chains: list[Chain] = []
        for child, part, path in ways:
            end: Place = (at[0], at[1] if path == "main" else path)
            chain: Chain = ()
            if part is not None:
                end, chain = self.follow(part, _join(name, child), end)
            ends.append((end[0], path))
            chains.append(chain)
        operation = getattr(module, "combine", "sum")
        join = self.node(ends, name, "combine", operation, self.seen[module].popleft())
        return (join, "main"), (Fork(tuple(chains), tuple(p for _, _, p in ways), join),)


def _ways(module: nn.Module) -> list[Way] | None:
    """Return the ways through a composition that forks, None for any other module."""
    if isinstance(module, Parallel) and _is_plain(module, Parallel):
        return [(name, part, "branch") for name, part in module._modules.items()]
    if isinstance(module, Residual) and _is_plain(module, Residual):
        return [("f", module.f, "main"), ("projection", module.projection, "residual")]
    if isinstance(module, Skip) and _is_plain(module, Skip):
        return [("body", module.body, "main"), ("", None, "skip")]
    return None


def _parts(module: nn.Module) -> dict[str, nn.Module] | None:
    """Return the modules of a sequence by name, None for any other module."""
    if _is_plain(module, Sequential) or _is_plain(module, nn.Sequential):
        return {name: part for name, part in module._modules.items() if part is not None}
    return None


def _is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module does what its class does, and has no parameters but those of its parts."""
    return type(module).forward is kind.forward and not module._parameters


def _steps(module: nn.Module) -> Iterator[nn.Module]:
    """Go through the modules that become nodes."""
    ways, parts = _ways(module), _parts(module)
    if parts is None:
        yield module
    inside = [part for _, part, _ in ways] if ways else (parts or {}).values()
    for part in inside:
        if part is not None:
            yield from _steps(part)


def _join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _summary(value: Any, who: str) -> Summary:
    if not isinstance(value, Tensor) or value.is_complex():
        raise TypeError(
            f"trace: {who} gave a value of type {type(value).__name__}; "
            "it follows modules that take and return one real tensor."
        )
    y = value.detach().to(torch.float64)
    low, high = (y.min(), y.max()) if y.numel() else (y.sum() * torch.nan,) * 2
    center = y.mean()
    numbers = {"low": low, "high": high, "mean": center, "zeros": (y == 0).double().mean()}
    numbers["std"] = (y - center).square().mean().sqrt()
    kind = str(value.dtype).removeprefix("torch.")
    return {"shape": tuple(value.shape), "dtype": kind, **{k: float(v) for k, v in numbers.items()}}
