"""Claims of the topic linear: how far an affine map stretches and what it loses."""

from __future__ import annotations

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Outcome, claim
from nnbook.claims.domains import Matrix, Scalar, Size, Vector
from nnbook.scratch import mm

Array = np.ndarray
MAP = {"W": Matrix("n", "m"), "b": Vector("n")}


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
    r"value of $W$ (0 if $n < m$), with equality for some $x \ne y$. So different inputs always "
    r"give different outputs if and only if $W$ has rank $m$.",
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
    r"$P = a a^\top / a^\top a$ is one, and $cP$ is none for $c \ne 0, 1$: $(cP)^2 - cP$ has the "
    r"length $\lvert c^2 - c \rvert$.",
    proof=True,
    given={"W": Matrix("n", "m"), "a": Vector(1, 5, nonzero=True), "c": Scalar(-9, 9)},
)
def projection(W: Array, a: Array, c: float) -> Outcome:
    P = np.outer(a, a) / (a @ a)
    gap = np.linalg.norm((c * P) @ (c * P) - c * P)
    return All(
        AtMost(np.linalg.matrix_rank(np.round(W)), min(W.shape), tol=0.0),
        Close(P @ P, P),
        Close(gap, abs(c * c - c)),
    )
