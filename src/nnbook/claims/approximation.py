"""Claims of the topic approximation: what networks of a given size can represent."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from nnbook.scratch import (
    bind,
    mm,
    mm_vjp,
    relu,
    relu_interpolant,
    relu_network,
    sequential,
    tanh,
    tanh_vjp,
    tent_network,
)
from nnbook.scratch.approximation import Layers

from ._core import claim, exact, refutation
from ._outcomes import All, AtMost, Close, Equal, Holds, Outcome
from .domains import Choice, Matrix, Scalar, Size, Vector

Array = np.ndarray
NOTHING = np.zeros(1)


@claim(
    "app-cpa",
    says=r"A ReLU MLP is continuous and piecewise affine: where the same units are active it is "
    r"$x \mapsto W_L D_{L-1} W_{L-1} \cdots D_1 W_1 x + c$ with diagonal matrices $D_l$ of zeros "
    r"and ones, and $\lVert f(x) - f(y) \rVert \le \prod_l \lVert W_l \rVert\, \lVert x - y "
    r"\rVert$.",
    proof=True,
    given={
        "A": Matrix("n", "m", lo=-3, hi=3),
        "B": Matrix("p", "n", lo=-3, hi=3),
        "C": Matrix("q", "p", lo=-3, hi=3),
        "x": Vector("m"),
        "y": Vector("m"),
    },
)
def cpa(A: Array, B: Array, C: Array, x: Array, y: Array) -> Outcome:
    a, b = A.sum(1), B.sum(1)

    def run(z: Array) -> tuple[Array, Array, Array]:
        first = A @ z + a
        second = B @ relu(first) + b
        return C @ relu(second), first > 0, second > 0

    value, d1, d2 = run(x)
    slope = C @ np.diag(d2) @ B @ np.diag(d1) @ A
    outcomes: list[Outcome] = []
    for t in (1.0, 0.1, 1e-3, 1e-6):
        z = x + t * (y - x)
        other, e1, e2 = run(z)
        bound = np.prod([np.linalg.norm(M, 2) for M in (A, B, C)]) * np.linalg.norm(z - x)
        outcomes.append(AtMost(np.linalg.norm(other - value), bound))
        if np.array_equal(d1, e1) and np.array_equal(d2, e2):
            outcomes.append(Close(other, value + slope @ (z - x)))
    return All(*outcomes)


@claim(
    "app-pieces",
    says=r"On $\R$ a network with one hidden layer of $n$ ReLU units, "
    r"$c + \sum_{i=1}^{n} a_i \relu(w_i x + b_i)$, has at most $n + 1$ affine pieces.",
    proof=True,
    given={"w": Vector("n"), "b": Vector("n"), "a": Vector("n")},
)
def pieces(w: Array, b: Array, a: Array) -> Outcome:
    W, B, A = ([Fraction(str(v)) for v in u.tolist()] for u in (w, b, a))

    def f(x: Fraction) -> Fraction:
        units = (r * max(p * x + q, Fraction(0)) for p, q, r in zip(W, B, A, strict=True))
        return sum(units, Fraction(0))

    kinks = sorted({-q / p for p, q in zip(W, B, strict=True) if p})
    ends = [*kinks[:1], *kinks[-1:], Fraction(0)]
    knots = sorted({min(ends) - 9, *kinks, max(ends) + 9})
    chords = [
        f(lo + t * (hi - lo)) == f(lo) + t * (f(hi) - f(lo))
        for lo, hi in pairwise(knots)
        for t in (Fraction(1, 7), Fraction(1, 2), Fraction(8, 9))
    ]
    return All(Holds(chords), AtMost(len(knots) - 1, len(w) + 1))


def run_relu(layers: Layers, x: Array) -> Array:
    """Apply a ReLU network to numbers x of shape (k,)."""
    return relu_network(layers)[0](x[:, None])[:, 0]


@claim(
    "app-tent",
    says=r"The tent map composed $k$ times has $2^k$ affine pieces on $[0, 1]$. A network of $k$ "
    r"layers with 2 ReLUs each is that function there; with one hidden layer, at least $2^k - 1$ "
    r"ReLUs are needed.",
    proof=True,
    given={"k": Size(1, 12)},
    cases=12,
)
def tent(k: int) -> Outcome:
    grid = np.arange(2 ** (k + 2) + 1) / 2 ** (k + 2)  # four steps per piece, all exact in binary
    weights, y = tent_network(k), grid
    for _ in range(k):
        y = 1 - np.abs(2 * y - 1)
    value = run_relu(weights, grid)
    turns = np.count_nonzero(np.diff(value, n=2))
    units = sum(len(b) for _, b in weights[:-1])
    return All(Equal(value, y), Equal(turns + 1, 2**k), Equal(units, 2 * k))


@claim(
    "app-width1",
    says=r"A ReLU network $\R \to \R$ of width one is monotone, however deep it is; so its error "
    r"against $\lvert x \rvert$ on $[-1, 1]$ is at least $\tfrac12$.",
    proof=True,
    given={"n": Size(1, 8), "w": Vector("n"), "b": Vector("n"), "a": Scalar(), "c": Scalar()},
    also=[{"n": 1, "w": NOTHING, "b": NOTHING, "a": 0.0, "c": 0.5}],  # attains the bound
)
def width1(n: int, w: Array, b: Array, a: float, c: float) -> Outcome:
    weights = [(v.reshape(1, 1), q.reshape(1)) for v, q in zip(w, b, strict=True)]
    grid = np.linspace(-1, 1, 41)
    y = run_relu([*weights, (np.array([[a]]), np.array([c]))], grid)
    steps = np.diff(y)
    return All(
        Holds(np.all(steps >= 0) or np.all(steps <= 0), f"values {y}"),
        AtMost(0.5, np.abs(y - np.abs(grid)).max()),
    )


@refutation(
    "app-stack-source",
    says=r"Stacking enough layers approximates any function: among 500 networks of width one and "
    r"up to 100 layers there is one within $0.49$ of $\lvert x \rvert$ on $[-1, 1]$.",
    right="app-width1",
)
def stack() -> Outcome:
    rng, grid = np.random.default_rng(0), np.linspace(-1, 1, 41)
    best = np.inf
    for depth in np.repeat(np.arange(1, 101), 5):
        y = grid
        for w, b in rng.normal(size=(depth, 2)):
            y = np.maximum(w * y + b, 0)
        a, c = rng.choice([-1, 1]) / (float(np.ptp(y)) or 1.0), rng.normal()
        best = min(best, float(np.abs(a * y + c - np.abs(grid)).max()))
    return Holds(best <= 0.49, f"the smallest error of all 500 networks was {best:.4f}")


@claim(
    "app-step",
    says=r"On every interval around the jump of the step function, the supremum of the difference "
    r"from it is at least $\tfrac12$ for every continuous function, so for every network with "
    r"continuous activations.",
    proof=True,
    given={"w": Vector("n"), "b": Vector("n"), "a": Vector("n"), "c": Scalar()},
    also=[{"w": NOTHING, "b": NOTHING, "a": NOTHING, "c": 0.5}],  # attains the bound
)
def step(w: Array, b: Array, a: Array, c: float) -> Outcome:
    h = 1e-9
    below, above = (float(a @ relu(w * x + b) + c) for x in (-h, h))
    lipschitz = float(np.abs(a) @ np.abs(w))
    return AtMost(0.5 - h * lipschitz, max(abs(below), abs(1 - above)))


@refutation(
    "app-any-source",
    says=r"With enough units a network approximates any function on $[-1, 1]$ to within $0.4$; "
    r"tried here: the step, by ramps that become steeper, with up to 4096 units.",
    right="app-step",
)
def anything() -> Outcome:
    x = np.concatenate([[-1e-12, 1e-12], np.linspace(-1, 1, 2000)])  # the even grid misses 0
    errors = []
    for n in 2 ** np.arange(1, 13):
        knots = np.linspace(-1, 1, n + 1)
        ramp = relu_interpolant(knots, np.heaviside(knots, 0.5))
        errors.append(np.abs(run_relu(ramp, x) - (x > 0)).max())
    return Holds(min(errors) <= 0.4, f"the smallest error was {min(errors):.4f}")


Real = Callable[[float], float]
FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Real, float | None]] = {
    "sine": (lambda x: np.sin(5 * x), lambda h: 2 * np.sin(min(5 * h, np.pi) / 2), 25.0),
    "exp": (np.exp, lambda h: np.e - np.exp(1 - h), float(np.e)),
    "square": (lambda x: x**2, lambda h: min(h, 1) * (2 - min(h, 1)), 2.0),
    "root": (lambda x: np.sqrt(np.abs(x)), lambda h: min(h, 1) ** 0.5, None),
}
"""Functions on [-1, 1], their moduli of continuity and bounds of the second derivatives, if any."""


@claim(
    "app-interp",
    says=r"For a continuous $f$ on $[a, b]$ and $h = (b - a)/n$ there is a network with one hidden "
    r"layer of $n$ ReLUs and error at most $\omega_f(h) = \max_{\lvert x - y \rvert \le h} "
    r"\lvert f(x) - f(y) \rvert$, and at most $\tfrac{h^2}{8} \max \lvert f'' \rvert$ if $f$ is "
    r"twice continuously differentiable.",
    proof=True,
    given={"n": Size(1, 200), "f": Choice(tuple(FUNCTIONS))},
)
def interp(n: int, f: str) -> Outcome:
    function, modulus, bend = FUNCTIONS[f]
    knots, x = np.linspace(-1, 1, n + 1), np.linspace(-1, 1, 1009)
    layers = relu_interpolant(knots, function(knots))
    error = np.abs(run_relu(layers, x) - function(x)).max()
    h = 2 / n
    bends = [] if bend is None else [AtMost(error, bend * h**2 / 8)]
    return All(Equal(len(layers[0][1]), n), AtMost(error, modulus(h)), *bends)


@exact("app-interp")
def interp_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    p, q, r, x, h, t = sp.symbols("p q r x h t", positive=True)

    def f(z: Any) -> Any:
        return p * z**2 + q * z + r

    chord = (1 - t) * f(x) + t * f(x + h)
    gap = chord - f(x + t * h)
    return [
        ("the gap of a parabola is t(1 − t) h² f″/2", gap - t * (1 - t) * h**2 * p),
        ("in the middle it is h² f″/8", gap.subs(t, sp.Rational(1, 2)) - h**2 * 2 * p / 8),
    ]


@claim(
    "app-rank",
    says=r"What a module loses stays lost: $f(x) = f(y)$ implies $g(f(x)) = g(f(y))$, and "
    r"$\operatorname{rank} J_{g \circ f} \le \min(\operatorname{rank} J_g, \operatorname{rank} "
    r"J_f)$ where both are differentiable.",
    proof=True,
    given={
        "u": Vector("n", lo=-2, hi=2),
        "w": Vector("m", lo=-2, hi=2, nonzero=True),
        "V": Matrix("p", "n"),
        "x": Vector("m", lo=-2, hi=2),
        "d": Vector("m", lo=-2, hi=2),
    },
)
def rank(u: Array, w: Array, V: Array, x: Array, d: Array) -> Outcome:
    f, g = (
        bind(mm, mm_vjp, np.outer(u, w), u),
        sequential((tanh, tanh_vjp), bind(mm, mm_vjp, V, V.sum(1))),
    )
    whole, vjp = sequential(f, g)
    unseen = d - (d @ w) / (w @ w) * w  # f maps x and x + unseen to the same point
    last = bind(mm, mm_vjp, np.outer(u, V.sum(1)), u)  # of rank 1 again, now after g
    points = ((vjp, x, len(V)), (sequential(g, last)[1], u, len(u)))
    jacobians = [np.stack([back(row, at) for row in np.eye(k)]) for back, at, k in points]
    size = float(np.linalg.norm(V) ** 2 * np.linalg.norm(u) * (1 + np.linalg.norm(w)))
    ranks = [np.linalg.matrix_rank(J, tol=1e-9 * max(1.0, size)) for J in jacobians]
    return All(Close(whole(x + unseen), whole(x)), AtMost(ranks, 1))


@refutation(
    "app-useful-source",
    says=r"Every layer makes the representation more useful for the task: two inputs that have to "
    r"be told apart can be told apart after a ReLU layer, too.",
    given={
        "w": Scalar(-5, 5, nonzero=True),
        "b": Scalar(-5, 5),
        "x": Scalar(-5, 5),
        "y": Scalar(-5, 5),
    },
    right="app-rank",
)
def useful(w: float, b: float, x: float, y: float) -> Outcome:
    before, after = np.array([x, y]), relu(w * np.array([x, y]) + b)
    told = x == y or after[0] != after[1]
    return Holds(told, f"the inputs {before} have different labels and both become {after[0]:g}")
