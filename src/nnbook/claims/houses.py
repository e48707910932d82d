"""Claims of the topic houses: a table of weights, its units, a tax, and interactions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Array as Box
from nnbook.claims.domains import Matrix, Scalar, Vector
from nnbook.data import houses
from nnbook.scratch import mm

Array = np.ndarray
ALLOWANCE, THRESHOLD, RATE, TOP_RATE = 10_000.0, 50_000.0, 0.2, 0.4


def progressive_tax(income: float) -> float:
    """Return the tax with 0 below 10 000, 20 per cent up to 50 000, 40 per cent above, as ReLUs."""
    above_allowance = max(income - ALLOWANCE, 0.0)
    above_threshold = max(income - THRESHOLD, 0.0)
    return RATE * above_allowance + (TOP_RATE - RATE) * above_threshold


def tax_by_brackets(income: float) -> float:
    """Return the same tax, bracket by bracket, as a tax office writes it."""
    if income <= ALLOWANCE:
        return 0.0
    if income <= THRESHOLD:
        return RATE * (income - ALLOWANCE)
    return RATE * (THRESHOLD - ALLOWANCE) + TOP_RATE * (income - THRESHOLD)


@claim(
    "hou-prices",
    says=r"The table's prices under the three models are 272000, 241750, 212500; 219000, 201500, "
    r"185000; 373000, 318000, 264000; 185000, 176250, 167900. With all features doubled each is "
    r"$2P - b$. The area has the smallest weight in every model, in absolute value, and the "
    r"largest contribution to every price: between 0.35 and 0.81 of it.",
)
def house() -> Outcome:
    table = houses()
    x, W, b = table.x, table.weights, table.biases
    parts = W[None, :, :] * x[:, None, :]  # house model feature
    price = mm(x, W, b)
    by_hand = [
        [272000, 241750, 212500],
        [219000, 201500, 185000],
        [373000, 318000, 264000],
        [185000, 176250, 167900],
    ]
    share = parts[:, :, 0] / price
    return All(
        Equal(price, by_hand),
        Equal(parts.sum(axis=-1) + b, by_hand),
        Equal(mm(2 * x, W, b), 2 * price - b),
        Holds(np.abs(W).argmin(axis=1) == 0, "the area's weight is not the smallest"),
        Holds(np.abs(parts).argmax(axis=-1) == 0, "the area's contribution is not the largest"),
        AtMost([share.max(), -share.min()], [0.81, -0.35]),
    )


@refutation(
    "hou-doubling-source",
    says="In the house table, doubling all features doubles the prices.",
    right="mm-defect",
)
def doubling_source() -> Outcome:
    table = houses()
    price = mm(table.x, table.weights, table.biases)
    return Equal(mm(2 * table.x, table.weights, table.biases)[0], 2 * price[0])


def source_line() -> tuple[float, int, float]:
    """Return of the line from 0 to (max P, max D): its slope, points on it, largest gap below."""
    table = houses()
    price = mm(table.x, table.weights, table.biases)
    doubled = mm(2 * table.x, table.weights, table.biases)
    slope = doubled.max() / price.max()
    gap = slope * price - doubled
    return float(slope), int(np.sum(np.abs(gap) < 1e-6)), float(gap.max())


@refutation(
    "hou-dashed-source",
    says="The line through (0, 0) and (largest price, largest doubled price) is the line of "
    "perfect linearity, whose slope is 2.",
    right="hou-lines",
)
def dashed_source() -> Outcome:
    return Close(source_line()[0], 2.0)


@claim(
    "hou-lines",
    says=r"Doubled prices against prices lie on three parallel lines of slope 2, $D = 2P - b_j$, "
    r"one per model, and each is below the line $D = 2P$ by the bias. The line through (0, 0) and "
    r"the largest pair has the slope 696/373; exactly one of the twelve points is on it, and the "
    r"others are below it, by up to a third of their value.",
)
def house_lines() -> Outcome:
    table = houses()
    price = mm(table.x, table.weights, table.biases)
    doubled = mm(2 * table.x, table.weights, table.biases)
    slope, on_it, _ = source_line()
    gap = slope * price - doubled
    return All(
        *(
            Close(np.polyfit(p, d, 1), [2.0, -b], tol=1e-6)
            for p, d, b in zip(price.T, doubled.T, table.biases, strict=True)
        ),
        Close(slope, 696 / 373),
        Equal(on_it, 1),
        AtMost(-gap, 1e-6),
        AtMost([(gap / doubled).max(), -(gap / doubled).max()], [1 / 3, -0.32]),
    )


@claim(
    "hou-units",
    says=r"Measuring feature $j$ in another unit, $z_j' = d_j z_j$, divides its weights by $d_j$ "
    r"and changes no output: $\MM_{W \diag(d)^{-1},\,b}(\diag(d)\, z) = \MM_{W,b}(z)$.",
    proof=True,
    given={
        "W": Matrix("n", "m"),
        "b": Vector("n"),
        "z": Vector("m"),
        "d": Vector("m", lo=0.01, hi=100),
    },
)
def units(W: Array, b: Array, z: Array, d: Array) -> Outcome:
    return Close(mm(d * z, W / d, b), mm(z, W, b))


@exact("hou-units")
def units_exact() -> list[tuple[str, Any]]:
    import sympy

    w, d, z = (sympy.symbols(f"{name}1:4", nonzero=True) for name in "wdz")
    terms = zip(w, d, z, strict=True)
    return [("m = 3", sum((i / j) * (j * k) - i * k for i, j, k in terms))]


@claim(
    "hou-fit",
    says="Whatever prices four people name for the four houses, some weights and bias give exactly "
    "these prices: four equations in five unknowns, of rank 4.",
    given={"prices": Box(4, lo=0, hi=1e6)},
)
def house_fit(prices: Array) -> Outcome:
    with_one = np.column_stack([houses().x, np.ones(4)])
    best = np.linalg.lstsq(with_one, prices, rcond=None)[0]
    return All(
        Close(mm(houses().x, best[None, :4], best[4:])[:, 0], prices),
        Equal(np.linalg.matrix_rank(with_one), 4),
    )


INCOMES = {"x": Scalar(0, 200_000), "y": Scalar(0, 200_000)}


@claim(
    "hou-tax",
    says=r"The tax with rates 0, 20 and 40 per cent from 0, 10 000 and 50 000 on is the sum of "
    r"ReLUs $T(x) = 0.2 \relu(x - 10000) + 0.2 \relu(x - 50000)$. $T(x) + T(y) \le T(x + y)$: "
    r"two incomes together never pay less. A flat tax $\tau x$ is linear.",
    proof=True,
    given=INCOMES,
    also=[{"x": 40_000.0, "y": 40_000.0}, {"x": 10_000.0, "y": 50_000.0}],
)
def tax(x: float, y: float) -> Outcome:
    flat = np.array([[RATE]])
    apart = mm(np.array([x]), flat) + mm(np.array([y]), flat)
    return All(
        Close(progressive_tax(x), tax_by_brackets(x)),
        AtMost(progressive_tax(x) + progressive_tax(y), progressive_tax(x + y)),
        Close(mm(np.array([x + y]), flat), apart),
    )


@refutation(
    "hou-tax-source",
    says="Twice the income is twice the tax, also with an allowance and a higher rate above it.",
    given={"x": Scalar(0, 200_000)},
    right="hou-tax",
)
def tax_source(x: float) -> Outcome:
    return Close(progressive_tax(2 * x), 2 * progressive_tax(x))


MAP = {"W": Matrix("n", "m"), "b": Vector("n")}


@claim(
    "hou-interaction",
    says=r"Every second derivative of $\MM_{W,b}$ in $z$ is zero, so the effect of a step $u$ does "
    r"not depend on a step $v$. On $\{-1,1\}^2$ the product $x_1 x_2$ is orthogonal to every "
    r"affine function: the best affine fit to it is the constant 0.",
    proof=True,
    given={**MAP, "z": Vector("m"), "u": Vector("m"), "v": Vector("m"), "w": Vector(2)},
)
def no_interaction(W: Array, b: Array, z: Array, u: Array, v: Array, w: Array) -> Outcome:
    effect = mm(z + u, W, b) - mm(z, W, b)
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=2)))
    inner = corners.prod(axis=1) @ mm(corners, w[None, :], b[:1])
    return All(
        Close(mm(z + u + v, W, b) - mm(z + v, W, b), effect),
        Close(inner, np.zeros(1)),
    )


@exact("hou-interaction")
def no_interaction_exact() -> list[tuple[str, Any]]:
    import sympy

    w1, w2, c, x1, x2 = sympy.symbols("w1 w2 c x1 x2", real=True)
    f = w1 * x1 + w2 * x2 + c
    corners = itertools.product([-1, 1], repeat=2)
    inner = sum(i * j * f.subs({x1: i, x2: j}) for i, j in corners)
    return [("Hessian", sympy.hessian(f, (x1, x2))), ("inner product with x1 x2", inner)]


@refutation(
    "hou-interaction-source",
    says=r"The weights of a dense layer encode interactions: the best affine fit to $x_1 x_2$ on "
    r"$\{-1,1\}^2$ has a smaller mean squared error than the constant 0, whose error is 1.",
    right="hou-interaction",
)
def interactions_source() -> Outcome:
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=2)))
    target, with_one = corners.prod(axis=1), np.column_stack([corners, np.ones(4)])
    best = np.linalg.lstsq(with_one, target, rcond=None)[0]
    error = np.mean((with_one @ best - target) ** 2)
    return Holds(error < 1 - 1e-9, f"mean squared error of the best fit {error:.6g}")
