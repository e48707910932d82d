"""Claims of the topic linear: what an affine map cannot do, and how far it stretches and loses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Matrix, Scalar, Size, Vector
from nnbook.scratch import mm

Array = np.ndarray
MAP = {"W": Matrix("n", "m"), "b": Vector("n")}


@claim(
    "mm-no-interaction",
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


@exact("mm-no-interaction")
def no_interaction_exact() -> list[tuple[str, Any]]:
    import sympy

    w1, w2, c, x1, x2 = sympy.symbols("w1 w2 c x1 x2", real=True)
    f = w1 * x1 + w2 * x2 + c
    corners = itertools.product([-1, 1], repeat=2)
    inner = sum(i * j * f.subs({x1: i, x2: j}) for i, j in corners)
    return [("Hessian", sympy.hessian(f, (x1, x2))), ("inner product with x1 x2", inner)]


@refutation(
    "mm-interactions-source",
    says=r"The weights of a dense layer encode interactions: the best affine fit to $x_1 x_2$ on "
    r"$\{-1,1\}^2$ has a smaller mean squared error than the constant 0, whose error is 1.",
    right="mm-no-interaction",
)
def interactions_source() -> Outcome:
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=2)))
    target, with_one = corners.prod(axis=1), np.column_stack([corners, np.ones(4)])
    best = np.linalg.lstsq(with_one, target, rcond=None)[0]
    error = np.mean((with_one @ best - target) ** 2)
    return Holds(error < 1 - 1e-9, f"mean squared error of the best fit {error:.6g}")


@claim(
    "mm-lipschitz",
    says=r"$\norm{\MM(x) - \MM(y)} \le \sigma_{\max}(W) \norm{x - y}$, with equality for some "
    r"$x \ne y$: the Lipschitz constant is the largest singular value.",
    proof=True,
    given={**MAP, "x": Vector("m"), "y": Vector("m")},
)
def lipschitz(W: Array, b: Array, x: Array, y: Array) -> Outcome:
    _, sigma, right = np.linalg.svd(W)
    apart = mm(x, W, b) - mm(y, W, b)
    top = mm(right[0], W, b) - mm(0 * right[0], W, b)
    return All(
        AtMost(np.linalg.norm(apart), sigma[0] * np.linalg.norm(x - y)),
        Close(np.linalg.norm(top), sigma[0]),
    )


@claim(
    "mm-injective",
    says=r"$\norm{\MM(x) - \MM(y)} \ge \sigma_m \norm{x - y}$ with $\sigma_m$ the $m$-th singular "
    r"value of $W$ (0 if $n < m$), and equality occurs. So different inputs always give "
    r"different outputs if and only if $W$ has rank $m$.",
    proof=True,
    given={**MAP, "x": Vector("m"), "y": Vector("m")},
    also=[{"W": np.zeros((1, 2)), "b": np.ones(1), "x": np.ones(2), "y": np.zeros(2)}],
)
def injective(W: Array, b: Array, x: Array, y: Array) -> Outcome:
    n, m = W.shape
    _, sigma, right = np.linalg.svd(W)
    least = sigma[m - 1] if n >= m else 0.0
    apart = np.linalg.norm(mm(x, W, b) - mm(y, W, b))
    lost = np.linalg.norm(mm(right[-1], W, b) - mm(0 * right[-1], W, b))
    return All(AtMost(least * np.linalg.norm(x - y), apart), Close(lost, least))


@claim(
    "mm-lowrank",
    says=r"With $W = AB$, $A \in \R^{n \times r}$, $B \in \R^{r \times m}$: $\MM_{W,b}(z) = "
    r"A(Bz) + b$, $\operatorname{rank} W \le r$, and $A, B$ hold $r(n+m)$ numbers, fewer "
    r"than $nm$ exactly when $r < nm/(n+m)$.",
    proof=True,
    given={
        "A": Matrix("n", "r"),
        "B": Matrix("r", "m"),
        "b": Vector("n"),
        "z": Vector("m"),
        "r": Size(1, 4),
    },
)
def lowrank(A: Array, B: Array, b: Array, z: Array, r: int) -> Outcome:
    n, m = len(A), len(z)
    return All(
        Close(mm(mm(z, B), A, b), mm(z, A @ B, b)),
        AtMost(np.linalg.matrix_rank(np.round(A) @ np.round(B)), r, tol=0.0),
        Equal(A.size + B.size, r * (n + m)),
        Equal(A.size + B.size < n * m, r < n * m / (n + m)),
    )


@claim(
    "mm-projection",
    says=r"The outputs $Wz$ fill a space of dimension $\operatorname{rank} W \le \min(n, m)$. "
    r"$P$ is a projection, $P^2 = P$, exactly when it leaves each $Pz$ where it is; "
    r"$P = a a^\top / a^\top a$ is one, and $cP$ is none for $c \ne 0, 1$.",
    proof=True,
    given={"W": Matrix("n", "m"), "a": Vector(1, 5, nonzero=True), "c": Scalar(1.1, 9)},
)
def projection(W: Array, a: Array, c: float) -> Outcome:
    P = np.outer(a, a) / (a @ a)
    gap = np.linalg.norm((c * P) @ (c * P) - c * P)
    return All(
        AtMost(np.linalg.matrix_rank(np.round(W)), min(W.shape), tol=0.0),
        Close(P @ P, P),
        Close(gap, c * c - c),
    )
