"""Claims of the topic composition."""

from __future__ import annotations

from itertools import pairwise, permutations
from math import factorial
from typing import TYPE_CHECKING, Any

import numpy as np

from nnbook.scratch import (
    Map,
    bind,
    identity,
    mm,
    mm_vjp,
    parallel,
    relu,
    relu_vjp,
    sequential,
    tanh,
    tanh_vjp,
)

from ._core import claim, exact, measured, refutation
from ._outcomes import All, AtMost, Close, Equal, Holds, Outcome
from .domains import Choice, Matrix, Scalar, Size, Vector

if TYPE_CHECKING:
    from nnbook.nn import MLP

Array = np.ndarray
RELU: Map = (relu, relu_vjp)
TANH: Map = (tanh, tanh_vjp)
SIZES = Choice(((3, 2), (2, 5, 1), (4, 3, 6, 2), (1, 6, 2, 5, 3)))


def _affine(W: Array, b: Array) -> Map:
    return bind(mm, mm_vjp, W, b)


def _mlp(sizes: tuple[int, ...], seed: int) -> MLP:
    """Return a float64 MLP whose weights depend on nothing but the seed."""
    import torch

    from nnbook.nn import MLP

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MLP(sizes, dtype=torch.float64)


# --- the algebra of composition ----------------------------------------------------------------


@claim(
    "cmp-monoid",
    says=r"Composition is associative, $(h \circ g) \circ f = h \circ (g \circ f)$, and the "
    r"identity is neutral, $f \circ \mathrm{id} = \mathrm{id} \circ f = f$.",
    proof=True,
    given={"W": Matrix("n", "m"), "V": Matrix("p", "n"), "x": Vector("m"), "v": Vector("p")},
)
def monoid(W: Array, V: Array, x: Array, v: Array) -> Outcome:
    f, g, h = _affine(W, W.sum(1)), TANH, _affine(V, V.sum(1))
    chain, chain_vjp = sequential(f, g, h)
    others = (
        sequential(sequential(f, g), h),
        sequential(f, sequential(g, h)),
        sequential(identity, f, g, identity, h),
    )
    values = [Equal(other(x), chain(x)) for other, _ in others]
    return All(*values, *(Equal(vjp(v, x), chain_vjp(v, x)) for _, vjp in others))


@refutation(
    "cmp-commutes",
    says=r"The order of two modules does not matter: $g \circ f = f \circ g$.",
    given={"w": Scalar(-9, 9), "b": Scalar(-9, 9), "x": Scalar(-9, 9)},
    right="cmp-monoid",
)
def commutes(w: float, b: float, x: float) -> Outcome:
    f, g = _affine(np.array([[w]]), np.array([b])), RELU
    one = np.array([x])
    return Close(sequential(f, g)[0](one), sequential(g, f)[0](one))


@claim(
    "cmp-chain",
    says=r"The Jacobian of a composition of differentiable maps is the product of the Jacobians in "
    r"reverse order, "
    r"$J_{f_n \circ \dots \circ f_1}(x) = J_n(x_{n-1}) \cdots J_1(x_0)$ with $x_0 = x$, "
    r"$x_l = f_l(x_{l-1})$.",
    proof=True,
    given={
        "W": Matrix("n", "m", lo=-2, hi=2),
        "b": Vector("n", lo=-2, hi=2),
        "V": Matrix("p", "n"),
        "x": Vector("m", lo=-2, hi=2),
    },
)
def chain(W: Array, b: Array, V: Array, x: Array) -> Outcome:
    _, vjp = sequential(_affine(W, b), TANH, _affine(V, V.sum(1)))
    rows = np.stack([vjp(row, x) for row in np.eye(len(V))])
    return Close(rows, V @ np.diag(1 - np.tanh(W @ x + b) ** 2) @ W)


@exact("cmp-chain")
def chain_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    x, y, u, v, w = sp.symbols("x y u v w", real=True)
    f = sp.Matrix([x**2 * y, x + sp.sin(y), x * y])
    g = sp.Matrix([u * w + v**2, u - w**3])
    inner = dict(zip((u, v, w), f, strict=True))
    left = g.subs(inner).jacobian([x, y])
    right = g.jacobian([u, v, w]).subs(inner) * f.jacobian([x, y])
    return [("maps R² → R³ → R²", (left - right).expand())]


@claim(
    "cmp-affine",
    says=r"$L$ affine maps in a chain are one affine map: $W = W_L \cdots W_1$ and "
    r"$b = \sum_l W_L \cdots W_{l+1} b_l$; the rank of $W$ is at most the smallest width.",
    proof=True,
    given={
        "A": Matrix("n", "m"),
        "a": Vector("n"),
        "B": Matrix("p", "n"),
        "b": Vector("p"),
        "C": Matrix("q", "p"),
        "c": Vector("q"),
        "x": Vector("m"),
    },
)
def affine(A: Array, a: Array, B: Array, b: Array, C: Array, c: Array, x: Array) -> Outcome:
    value = sequential(_affine(A, a), _affine(B, b), _affine(C, c))[0](x)
    W, bias = C @ B @ A, C @ B @ a + C @ b + c
    size = float(np.prod([np.linalg.norm(M) for M in (A, B, C)]))  # rounding errors are below it
    rank = np.linalg.matrix_rank(W, tol=1e-12 * max(1.0, size))
    return All(Close(value, W @ x + bias), AtMost(rank, min(*A.shape, *B.shape, *C.shape)))


@exact("cmp-affine")
def affine_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    A, B, C = (sp.Matrix(n, m, sp.symbols(f"{s}:{n * m}")) for s, n, m in _SHAPES)
    a, b, c = (sp.Matrix(sp.symbols(f"{s.lower()}_:{n}")) for s, n, _ in _SHAPES)
    x = sp.Matrix(sp.symbols("x:2"))
    value = C * (B * (A * x + a) + b) + c
    return [("widths 2, 3, 1, 2", (value - (C * B * A * x + C * B * a + C * b + c)).expand())]


_SHAPES = (("A", 3, 2), ("B", 1, 3), ("C", 2, 1))


@claim(
    "cmp-idem",
    says=r"$\relu \circ \relu = \relu$: a chain of ReLUs of any length is one ReLU.",
    proof=True,
    given={"z": Vector(1, 8), "n": Size(1, 30)},
)
def idem(z: Array, n: int) -> Outcome:
    return Equal(sequential(*[RELU] * n)[0](z), relu(z))


@exact("cmp-idem")
def idem_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z = sp.Symbol("z", real=True)
    return [("for every real z", sp.Max(sp.Max(z, 0), 0) - sp.Max(z, 0))]


# --- the multi-layer perceptron ------------------------------------------------------------------


@claim(
    "cmp-mlp",
    says=r"The class `MLP` computes "
    r"$W_L\,\sigma(W_{L-1} \cdots \sigma(W_1 x + b_1) \cdots + b_{L-1}) + b_L$: $L$ affine maps, "
    r"$L - 1$ activations, and none after the last map.",
    given={"sizes": SIZES, "seed": Size(0, 999)},
)
def mlp(sizes: tuple[int, ...], seed: int) -> Outcome:
    import torch

    model = _mlp(sizes, seed)
    x = np.random.default_rng(seed).normal(size=(2, sizes[0]))
    y = x
    weights = [p.detach().numpy() for p in model.parameters()]
    for layer, (W, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        y = (np.maximum(y, 0) if layer else y) @ W.T + b
    got = model(torch.tensor(x)).detach().numpy()
    return All(Close(got, y), Equal(len(model), 2 * (len(sizes) - 1) - 1))


@claim(
    "cmp-count",
    says=r"An MLP with widths $n_0, \dots, n_L$ has $\sum_{l=1}^{L} (n_l n_{l-1} + n_l)$ "
    r"parameters.",
    proof=True,
    given={"k": Size(1, 40), "m": Size(1, 40), "n": Size(1, 40), "p": Size(1, 40)},
    also=[{"k": 784, "m": 256, "n": 128, "p": 10}],
)
def count(k: int, m: int, n: int, p: int) -> Outcome:
    tensors = [q.shape for q in _mlp((k, m, n, p), 0).parameters()]
    return Equal(sum(int(np.prod(s)) for s in tensors), k * m + m + m * n + n + n * p + p)


@claim(
    "cmp-graph",
    says=r"The graph that `trace` records for an MLP is the chain input, "
    r"$\MM_1, \sigma, \MM_2, \dots, \sigma, \MM_L$, output; it holds every parameter once.",
    given={"sizes": SIZES, "seed": Size(0, 99)},
    cases=20,
)
def graph(sizes: tuple[int, ...], seed: int) -> Outcome:
    import torch

    from nnbook.nn import mlp_parameters, trace

    seen = trace(_mlp(sizes, seed), torch.ones(1, sizes[0], dtype=torch.float64))
    inside = ["Linear", "ReLU"] * (len(sizes) - 1)
    wanted = ["input", *inside[:-1], "output"]
    steps = [(edge.source, edge.target) for edge in seen.edges]
    return All(
        Equal([node.operation for node in seen.nodes], wanted),
        Equal(steps, list(pairwise(range(len(wanted))))),
        Equal(seen.parameters, mlp_parameters(sizes)),
    )


@claim(
    "cmp-permute",
    says=r"Renumbering the $n$ units of a hidden layer (the rows of $W_1$ and $b_1$ and the "
    r"columns of $W_2$ alike) leaves the function as it is if $\sigma$ acts on each entry alone: "
    r"$n!$ settings of the parameters, all different if no two units are equal.",
    proof=True,
    given={
        "n": Size(1, 4),
        "W": Matrix("n", "m"),
        "b": Vector("n", distinct=True),
        "V": Matrix("p", "n"),
        "x": Vector("m"),
    },
)
def permute(n: int, W: Array, b: Array, V: Array, x: Array) -> Outcome:
    value = V @ relu(W @ x + b)
    orders = [list(order) for order in permutations(range(n))]
    same = [Close(V[:, o] @ relu(W[o] @ x + b[o]), value) for o in orders]
    return All(*same, Equal(len({tuple(b[o]) for o in orders}), factorial(n)))


# --- branches and skips --------------------------------------------------------------------------


@claim(
    "cmp-parallel",
    says=r"Affine branches in parallel are one affine map: joined outputs stack the weights, "
    r"added outputs add them.",
    proof=True,
    given={
        "A": Matrix("n", "m"),
        "a": Vector("n"),
        "B": Matrix("n", "m"),
        "b": Vector("n"),
        "C": Matrix("p", "m"),
        "x": Vector("m"),
    },
)
def branches(A: Array, a: Array, B: Array, b: Array, C: Array, x: Array) -> Outcome:
    f, g, h = _affine(A, a), _affine(B, b), _affine(C, C.sum(1))
    joined = np.vstack([A, C]) @ x + np.concatenate([a, C.sum(1)])
    return All(
        Close(parallel(f, h, combine="concat")[0](x), joined),
        Close(parallel(f, g)[0](x), (A + B) @ x + (a + b)),
        Close(parallel(f, g, combine="mean")[0](x), (A + B) / 2 @ x + (a + b) / 2),
    )


@exact("cmp-parallel")
def branches_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    A, B = (sp.Matrix(2, 3, sp.symbols(f"{s}:6")) for s in "AB")
    a, b = (sp.Matrix(sp.symbols(f"{s}_:2")) for s in "ab")
    x = sp.Matrix(sp.symbols("x:3"))
    stacked = A.col_join(B) * x + a.col_join(b)
    joined = (A * x + a).col_join(B * x + b)
    added = (A * x + a) + (B * x + b)
    return [
        ("joined", (joined - stacked).expand()),
        ("added", (added - ((A + B) * x + (a + b))).expand()),
    ]


@claim(
    "cmp-skip",
    says=r"A long skip that adds is a residual composition: $x + f_n(\cdots f_1(x))$ is "
    r"$x + g(x)$ with $g = f_n \circ \dots \circ f_1$, in values and gradients, and its Jacobian "
    r"is $I + J_g$ wherever $g$ is differentiable.",
    proof=True,
    given={"n": Size(1, 5), "seed": Size(0, 999)},
)
def skip(n: int, seed: int) -> Outcome:
    import torch

    from nnbook.nn import Residual, Sequential, Skip, Tanh

    layers = [part for i in range(n) for part in (_mlp((3, 3), seed + i), Tanh())]
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=3), requires_grad=True)
    v = torch.tensor(rng.normal(size=3))
    body = Sequential(*layers)
    outputs = [Skip(*layers)(x), Residual(body)(x)]
    grads = [torch.autograd.grad(y, x, v, retain_graph=True)[0] for y in outputs]
    jacobian = torch.autograd.functional.jacobian(body, x)
    return All(
        Equal(*(y.detach().numpy() for y in outputs)),
        Equal(*(g.numpy() for g in grads)),
        Close(grads[0].numpy(), (v + jacobian.T @ v).numpy()),
    )


@claim(
    "cmp-shapes",
    says=r"`Residual` without a projection takes $g: \R^m \to \R^n$ exactly if $n = m$; otherwise "
    r"it raises an error that names both shapes, also for $n = 1$, where adding would broadcast.",
    given={"m": Size(1, 6), "n": Size(1, 6)},
    also=[{"m": 5, "n": 1}],
)
def shapes(m: int, n: int) -> Outcome:
    import torch

    from nnbook.nn import Residual

    try:
        Residual(_mlp((m, n), 0))(torch.zeros(2, m, dtype=torch.float64))
    except ValueError as error:
        text = str(error)
        return Holds(n != m and f"(2, {m})" in text and f"(2, {n})" in text, text)
    return Holds(n == m, f"a map of R^{m} to R^{n} was added to its input")


# --- gradients and their cost --------------------------------------------------------------------


@claim(
    "cmp-flops",
    says=r"For a chain of $L$ affine maps, forward and backward together cost "
    r"$3F - 2 N n_0 n_1$ operations in matrix products, where $F = 2N \sum_l n_l n_{l-1}$ is the "
    r"forward pass over $N$ samples: less than three forward passes, however many parameters there "
    r"are.",
    proof=True,
    given={"N": Size(1, 9), "k": Size(1, 9), "m": Size(1, 9), "n": Size(1, 9), "p": Size(1, 9)},
    cases=40,
)
def flops(N: int, k: int, m: int, n: int, p: int) -> Outcome:
    forward, total = count_flops((k, m, n, p), N)
    wanted = 2 * N * (k * m + m * n + n * p)
    return All(
        Equal(forward, wanted),
        Equal(total, 3 * wanted - 2 * N * k * m),
        Holds(total < 3 * forward),
    )


def count_flops(sizes: tuple[int, ...], samples: int) -> tuple[int, int]:
    """Return how many operations an MLP does forward, and forward and backward together.

    torch counts those of the matrix products, two for each multiplication and addition.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, x = _mlp(sizes, 0), torch.ones(samples, sizes[0], dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        y = model(x)
        forward = counter.get_total_flops()
        y.backward(torch.ones_like(y))
        return forward, counter.get_total_flops()


# --- the demonstration of the source --------------------------------------------------------------


def demo_data() -> Array:
    """Return the five points that the demonstration sends through its compositions."""
    return np.random.RandomState(42).randn(100, 2)[:5]


@claim(
    "cmp-shrink",
    says=r"For $W$ of shape $n \times m$ with independent entries, symmetric about 0 with variance "
    r"$s^2$ (here normal and uniform), the mean square of $Wx$ is $s^2 m$ times that of "
    r"$x$ in expectation, and the ReLU halves it: "
    r"$\E\, (Wx)_i^2 = s^2 \sum_j x_j^2$, $\E \relu((Wx)_i)^2 = \tfrac12 \E\, (Wx)_i^2$.",
    proof=True,
    given={"x": Vector(1, 8, nonzero=True), "s": Scalar(0.05, 2)},
    cases=30,
)
def shrink(x: Array, s: float) -> Outcome:
    rng, shape, wanted = np.random.default_rng(0), (20000, len(x)), s**2 * np.sum(x**2)
    outcomes = []
    for W in (rng.normal(size=shape), rng.uniform(-(3**0.5), 3**0.5, size=shape)):
        h = s * W @ x
        after, half = np.mean(h**2) / wanted, np.mean(relu(h) ** 2) / wanted
        outcomes += [Close(after, 1.0, tol=0.05), Close(half, 0.5, tol=0.05)]
    return All(*outcomes)


@exact("cmp-shrink")
def shrink_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    s, x, y = sp.symbols("s x y", positive=True)
    u, w, h = sp.symbols("u w h", real=True)

    def mean(expression: Any, *over: Any) -> Any:
        for z in over:
            density = sp.exp(-(z**2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi))
            expression = sp.integrate(sp.expand(expression) * density, (z, -sp.oo, sp.oo))
        return expression

    positive = sp.exp(-(h**2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi))
    relu_square = sp.integrate(h**2 * positive, (h, 0, sp.oo))
    return [
        ("two inputs", mean((u * x + w * y) ** 2, u, w) - s**2 * (x**2 + y**2)),
        ("ReLU halves a symmetric mean square", relu_square - s**2 / 2),
    ]


@measured(
    "cmp-demo-range",
    says=r"With weights $0.1\,N(0, 1)$ the demonstration's second composition answers almost the "
    r"same number for every input: the largest distance of its outputs from $\tfrac12$.",
    band=(0.0, 0.005),
    seeds=range(5),
    unit="distance",
)
def demo_range(seed: int) -> float:
    rng, y = np.random.default_rng(seed), demo_data()
    for m, n in pairwise((2, 5, 3, 1)):
        y = (relu(y) if m > 2 else y) @ (0.1 * rng.normal(size=(n, m))).T
    return float(np.abs(1 / (1 + np.exp(-y)) - 0.5).max())


@refutation(
    "cmp-demo-source",
    says=r"The demonstration's first composition can be computed: weights of shape $5 \times 2$, "
    r"ReLU, weights of shape $1 \times 3$, sigmoid.",
)
def demo() -> Outcome:
    import torch

    from nnbook.nn import Linear, ReLU, Sequential, Sigmoid

    model = Sequential(Linear(2, 5), ReLU(), Linear(3, 1), Sigmoid())
    try:
        model(torch.tensor(demo_data(), dtype=torch.float32))
    except ValueError as error:
        return Holds(False, str(error).rstrip("."))
    return Holds(True, "it ran")


@refutation(
    "cmp-demo-bars",
    says=r"Bars at position $k$ of the two compositions' range plot stand for the same module.",
    given={"k": Size(1, 4)},
    cases=20,
)
def demo_bars(k: int) -> Outcome:
    import torch

    from nnbook.nn import Linear, ReLU, Sequential, Sigmoid, trace

    first = Sequential(Linear(2, 5), ReLU(), Linear(5, 1), Sigmoid())
    second = Sequential(Linear(2, 5), ReLU(), Linear(5, 3), ReLU(), Linear(3, 1), Sigmoid())
    seen = [trace(model, torch.zeros(5, 2)).nodes[k] for model in (first, second)]
    text = " and ".join(f"{node.operation} of shape {node.shape}" for node in seen)
    return Holds(
        (seen[0].operation, seen[0].shape) == (seen[1].operation, seen[1].shape),
        f"they stand for {text}",
    )


@refutation(
    "cmp-double-source",
    says=r"A test that sends numbers through a subclass whose `forward` doubles its input tests "
    r"the layer it inherits from: with other weights it gives another result.",
)
def double() -> Outcome:
    import torch

    from nnbook.nn import Linear

    class Double(Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
            return 2 * input

    layer, x = Double(1, 1), torch.tensor([1.0, 2.0, 3.0])
    before = layer(x)
    torch.nn.init.constant_(layer.weight, float("nan"))
    after = layer(x)
    text = f"{before.tolist()} before the weight became NaN and {after.tolist()} after"
    return Holds(not torch.equal(before, after), text)
