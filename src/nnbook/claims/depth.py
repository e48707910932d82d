"""Claims of the topic depth: how values grow through residual blocks, in theory and measured.

What training does to such networks has a file of its own, which this one loads at its end.
"""

from __future__ import annotations

from itertools import product
from math import pi, sqrt
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Outcome, claim, exact, measured, refutation
from nnbook.claims.domains import Scalar, Size, Vector
from nnbook.scratch import he_normal, relu, residual_block

Array = np.ndarray


# --- branches that go up and down -----------------------------------------------------------------


def _signs(*shape: int) -> Array:
    """Return all matrices of a shape with entries 1 and -1, which stand for random ones."""
    every = product((-1.0, 1.0), repeat=int(np.prod(shape)))
    return np.array(list(every)).reshape(-1, *shape)


def _all_outcomes(z: Array, W1: Array, W2: Array, c: float) -> Array:
    """Return z + c W1 relu(W2 z) for every z, W1 and W2, as rows."""
    u = relu(np.einsum("phd,zd->zph", W2, z))
    branch = np.einsum("qdh,zph->zpqd", W1, u)
    return (z[:, None, None] + c * branch).reshape(-1, z.shape[1])


@claim(
    "dep-variance",
    says=r"Let the entries of $W_1$ and $W_2$ be independent with mean 0 and variances $s_1^2$ and "
    r"$s_2^2$, those of $W_2$ symmetric about 0, and let there be no biases. For "
    r"$\operatorname{Res}(z) = z + c\,W_1 \relu(W_2 z)$, $W_1 \in \R^{d \times h}$, "
    r"$\E \norm{\operatorname{Res}(z)}^2 = (1 + \kappa) \norm z^2$ with "
    r"$\kappa = \tfrac12 c^2 s_1^2 s_2^2\, d h$, and $(1 + \kappa)^L \norm{z}^2$ for $L$ "
    r"independent blocks.",
    proof=True,
    given={
        "d": Size(1, 2),
        "h": Size(1, 2),
        "z": Vector("d"),
        "s1": Scalar(0.1, 2),
        "s2": Scalar(0.1, 2),
        "c": Scalar(-2, 2),
    },
)
def variance(d: int, h: int, z: Array, s1: float, s2: float, c: float) -> Outcome:
    W1, W2 = s1 * _signs(d, h), s2 * _signs(h, d)  # every outcome is equally likely
    kappa = c**2 * s1**2 * s2**2 * d * h / 2
    rows, outcomes = z[None], []
    for blocks in (1, 2) if d * h <= 2 else (1,):
        rows = _all_outcomes(rows, W1, W2, c)
        mean = float((rows**2).sum(axis=1).mean())
        outcomes.append(Close(mean, (1 + kappa) ** blocks * float(z @ z)))
    return All(*outcomes)


@exact("dep-variance")
def variance_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z, s1, s2 = sp.symbols("z s1 s2", positive=True)
    c, v, w = sp.symbols("c v w", real=True)
    L = sp.Symbol("L", positive=True)

    def mean(expression: Any, x: Any, s: Any, low: Any) -> Any:
        density = sp.exp(-(x**2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi))
        return sp.integrate(sp.expand(expression) * density, (x, low, sp.oo))

    over_v = mean((z + c * v * w * z) ** 2, v, s1, -sp.oo)  # where the ReLU is open, w > 0
    whole = mean(over_v, w, s2, 0) + z**2 / 2  # where it is shut, z stays
    return [
        ("normal entries, d = h = 1", whole - (1 + c**2 * s1**2 * s2**2 / 2) * z**2),
        ("1 + 1/L to the power of L", sp.limit((1 + 1 / L) ** L, L, sp.oo) - sp.E),
    ]


# --- branches that only go up ---------------------------------------------------------------------


@claim(
    "dep-drift",
    says=r"Let $W_1, W_2$ be independent, normal by He's rule (variances $2/h$ and $2/d$), without "
    r"biases, and $\operatorname{Res}(z) = z + c \relu(W_1 \relu(W_2 z))$, $c > 0$. With "
    r"$\operatorname{ms}(z) = \tfrac1d \norm z^2$, "
    r"$\E \operatorname{ms}(\operatorname{Res}(z)) \le "
    r"(1 + c^2 + \tfrac{2c}{\sqrt\pi}) \operatorname{ms}(z)$, and if the mean of the entries of "
    r"$z$ is not negative, it is at least $(1 + c^2) \operatorname{ms}(z)$.",
    proof=True,
    given={
        "z": Vector(2, 5, lo=0, hi=3, nonzero=True),
        "h": Size(1, 4),
        "c": Scalar(0.3, 1),
        "seed": Size(0, 99),
    },
    also=[{"z": np.ones(5), "h": 4, "c": 1.0, "seed": 0}],
    cases=30,
)
def drift(z: Array, h: int, c: float, seed: int) -> Outcome:
    d, rng, n = len(z), np.random.default_rng(seed), 20_000
    W2 = sqrt(2 / d) * rng.normal(size=(n, h, d))
    W1 = sqrt(2 / h) * rng.normal(size=(n, d, h))
    u = relu(W2 @ z)
    rows = z + c * relu(np.einsum("ndh,nh->nd", W1, u))
    mean = float((rows**2).mean() / (z**2).mean())
    # what the proof finds on the way, with the mean length of u as it was drawn
    length = np.linalg.norm(u, axis=1).mean() / sqrt(h)
    between = 1 + c**2 + 2 * c * z.mean() * length / sqrt(pi) / (z**2).mean()
    return All(
        Close(mean, between, tol=0.1),
        AtMost(1 + c**2, mean, tol=0.1),
        AtMost(mean, 1 + c**2 + 2 * c / sqrt(pi), tol=0.1),
    )


@exact("dep-drift")
def drift_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z = sp.Symbol("z", positive=True)
    c, v, w = sp.symbols("c v w", real=True)

    def half(expression: Any, x: Any) -> Any:
        density = sp.exp(-(x**2) / 4) / sp.sqrt(4 * sp.pi)  # variance 2
        return sp.integrate(sp.expand(expression) * density, (x, 0, sp.oo))

    both = half(half((z + c * v * w * z) ** 2, v), w)  # both ReLUs open
    whole = both + sp.Rational(3, 4) * z**2
    return [("d = h = 1", whole - (1 + c**2 + 2 * c / sp.pi) * z**2)]


def squares(blocks: int, c: float, seed: int, width: int = 64) -> Array:
    """Return the mean square of the values before and behind each block of `dep-drift`.

    The first values are normal, with mean 0.
    """
    rng = np.random.default_rng(seed)
    z, zero = rng.normal(size=width), np.zeros(width)
    z -= z.mean()
    sizes = [np.mean(z**2)]
    for _ in range(blocks):
        W1, W2 = he_normal(rng, width, width), he_normal(rng, width, width)
        z = residual_block(z, W1, zero, W2, zero, scale=c)
        sizes.append(np.mean(z**2))
    return np.array(sizes)


@measured(
    "dep-growth",
    says=r"By which factor a block of `dep-drift` with $c = 1$ multiplies the mean square, in the "
    r"geometric mean over blocks 6 to 20, at width 64. (In expectation it is between 2 and "
    r"$2 + 2/\sqrt\pi \approx 3.13$; the band is the upper half.)",
    band=(2.57, 3.13),
    seeds=range(5),
    unit="times per block",
)
def growth(seed: int) -> float:
    sizes = squares(20, 1.0, seed)
    return float((sizes[20] / sizes[5]) ** (1 / 15))


@refutation(
    "dep-sqrt-source",
    says=r"The factor $1/\sqrt L$ keeps the mean square of the values below $e$ times that of the "
    r"input, also with $\relu$ at the end of the branches (mean of ten networks with 64 blocks of "
    r"width 64).",
    right="dep-inverse",
)
def sqrt_source() -> Outcome:
    grown = [squares(64, 1 / 8, seed) for seed in range(10)]
    return AtMost(float(np.mean([g[-1] / g[0] for g in grown])), np.e)


@claim(
    "dep-inverse",
    says=r"In a stack of $L$ blocks of `dep-drift` "
    r"$\E \operatorname{ms}(z_L) \le e^{L(c^2 + 2c/\sqrt\pi)} \operatorname{ms}(z_0)$, and if the "
    r"entries of $z_0$ have a mean $m_0 \ge 0$, $\E \operatorname{ms}(z_L) \ge "
    r"(1 + \tfrac c\pi)^{2(L-1)} \big(m_0 + \tfrac c\pi \sqrt{\operatorname{ms}(z_0)}\big)^2$. "
    r"So $c = 1/L$ keeps the values below $e^{1/L + 2/\sqrt\pi} \operatorname{ms}(z_0)$ for every "
    r"$L$, and $c = 1/\sqrt L$ lets them grow without bound with $L$.",
    proof=True,
    given={"L": Size(1, 64), "h": Size(1, 3), "seed": Size(0, 99)},
    also=[{"L": 64, "h": 1, "seed": 0}],
    cases=10,
)
def inverse(L: int, h: int, seed: int) -> Outcome:
    outcomes = []
    for c in (1 / L, 1 / sqrt(L)):
        grown = [squares(L, c, seed + k, width=16) for k in range(8)]
        mean = float(np.mean([g[-1] / g[0] for g in grown]))
        low = 2 * (L - 1) * np.log(1 + c / pi) + 2 * np.log(c / pi)  # these start with mean 0
        outcomes.append(AtMost(np.log(mean), L * (c**2 + 2 * c / sqrt(pi))))
        outcomes.append(AtMost(low, np.log(mean)))
    outcomes.append(AtMost(L * (1 / L**2 + 2 / (L * sqrt(pi))), 1 / L + 2 / sqrt(pi)))
    # one block: by how much the mean of the entries rises
    rng, n, d = np.random.default_rng(seed), 40_000, 3
    z = rng.normal(size=d)
    u = relu(sqrt(2 / d) * rng.normal(size=(n, h, d)) @ z)
    f = relu(np.einsum("ndh,nh->nd", sqrt(2 / h) * rng.normal(size=(n, d, h)), u))
    rise = float(f.mean() / sqrt(np.mean(z**2)))
    bound = AtMost(1 / pi, rise, tol=0.02)
    exactly = [Close(rise, 1 / pi, tol=0.02)] if h == 1 else []  # one unit reaches the bound
    return All(*outcomes, bound, *exactly)


@exact("dep-inverse")
def inverse_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    x = sp.Symbol("x", positive=True)
    L = sp.Symbol("L", positive=True)
    half = sp.integrate(x * sp.exp(-(x**2) / 4) / sp.sqrt(4 * sp.pi), (x, 0, sp.oo))  # variance 2
    power = 2 * (L - 1) * sp.log(1 + 1 / (sp.pi * sp.sqrt(L)))  # of the lower bound, c = 1/sqrt(L)
    return [
        ("one unit raises the mean by c/pi", half**2 - 1 / sp.pi),
        ("the lower bound grows like this", sp.limit(power / sp.sqrt(L), L, sp.oo) - 2 / sp.pi),
    ]


from . import _depth_claims  # noqa: E402, F401
