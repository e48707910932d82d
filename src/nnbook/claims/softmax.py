"""Claims of the topic softmax: its Jacobian, log-sum-exp, proper losses, attention weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

from nnbook import scratch

from ._activation_shapes import at
from ._core import claim, exact, refutation
from ._outcomes import All, AtMost, Close, Equal, Holds, Outcome
from .domains import Matrix, Scalar, Vector

Vec = Float[np.ndarray, "..."]
Mat = Float[np.ndarray, "..."]


@claim(
    "sm-jacobian",
    says=r"The Jacobian of softmax is $J = \diag(p) - pp^\top$: symmetric, positive semidefinite, "
    r"$J\1 = 0$, rank $n - 1$, no eigenvalue above $\frac12$.",
    proof=True,
    given={"z": Vector(2, 6, lo=-5, hi=5)},
    cases=50,
)
def softmax_jacobian(z: Vec) -> Outcome:
    p = scratch.softmax(z)
    jacobian = np.diag(p) - np.outer(p, p)
    steps = 1e-6 * np.eye(len(z))
    numeric = (scratch.softmax(z + steps) - scratch.softmax(z - steps)).T / 2e-6
    rows = np.stack([scratch.softmax_vjp(e, z) for e in np.eye(len(z))])
    values = np.linalg.eigvalsh(jacobian)
    return All(
        Close(numeric, jacobian, tol=1e-8),
        Close(rows, jacobian, tol=1e-12),
        Close(jacobian.sum(1), 0 * p, tol=1e-12),
        Close(values[0], 0.0, tol=1e-12),
        Holds(values[1] > 1e-12, f"second eigenvalue {values[1]}"),
        AtMost(values[-1], 0.5),
    )


@exact("sm-jacobian")
def softmax_jacobian_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    found = []
    for n in (2, 3):
        z = sp.Matrix(sp.symbols(f"z1:{n + 1}", real=True))
        p = z.applyfunc(sp.exp) / sum(sp.exp(t) for t in z)
        jacobian = sp.diag(*p) - p * p.T
        found += [(f"Jacobian, n = {n}", p.jacobian(z) - jacobian)]
        found += [(f"null vector, n = {n}", jacobian * sp.ones(n, 1))]
    return found


@refutation(
    "sm-elementwise",
    says=r"Softmax works element by element, like the other activations: a change of $z_1$ leaves "
    r"the other outputs as they are.",
    given={"z": Vector(2, 4), "d": Scalar(nonzero=True)},
    right="sm-jacobian",
)
def softmax_elementwise(z: Vec, d: float) -> Outcome:
    moved = z + d * np.eye(len(z))[0]
    return Close(scratch.softmax(moved)[1:], scratch.softmax(z)[1:], tol=1e-3)


@claim(
    "sm-lse",
    says=r"$\max_i z_i \le \operatorname{LSE}(z) \le \max_i z_i + \log n$; the gradient of LSE is "
    r"softmax; for a number $c$, $\operatorname{LSE}(z + c) = \operatorname{LSE}(z) + c$, hence "
    r"$\softmax(z + c) = \softmax(z)$.",
    proof=True,
    given={"z": Vector(1, 6, lo=-1000, hi=1000), "c": Scalar(-1000, 1000)},
)
def lse(z: Vec, c: float) -> Outcome:
    value = scratch.log_sum_exp(z)
    near = scratch.tanh(z / 100)  # small enough for central differences
    steps = 1e-6 * np.eye(len(z))
    slope = (scratch.log_sum_exp(near + steps) - scratch.log_sum_exp(near - steps))[:, 0] / 2e-6
    return All(
        AtMost(z.max(), value),
        AtMost(value, z.max() + math.log(len(z))),
        Close(slope, scratch.softmax(near), tol=1e-8),
        Close(scratch.log_sum_exp(z + c), value + c),
        Close(scratch.softmax(z + c), scratch.softmax(z), tol=1e-8),
    )


@exact("sm-lse")
def lse_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    a, b, d, c = sp.symbols("a b d c", real=True)
    total = sp.exp(a) + sp.exp(b) + sp.exp(d)
    shifted = total.subs({a: a + c, b: b + c, d: d + c}, simultaneous=True)
    return [
        ("gradient, n = 3", sp.diff(sp.log(total), a) - sp.exp(a) / total),
        ("shift, n = 3", shifted - sp.exp(c) * total),
    ]


@claim(
    "sm-proper",
    says=r"If an event has probability $q \in (0, 1)$, the expected loss $-q\log\sigma(z) - "
    r"(1-q)\log(1-\sigma(z))$ has derivative $\sigma(z) - q$ and its only minimum where "
    r"$\sigma(z) = q$.",
    proof=True,
    given={"z": Scalar(-20, 20), "q": Scalar(0.01, 0.99)},
    cases=50,
)
def proper(z: float, q: float) -> Outcome:
    def loss(t: float) -> float:
        return float(-q * special.log_expit(t) - (1 - q) * special.log_expit(-t))

    slope = (loss(z + 1e-5) - loss(z - 1e-5)) / 2e-5
    return All(
        AtMost(loss(float(special.logit(q))), loss(z)),
        Close(np.array([slope]), at(scratch.sigmoid, z) - q, tol=1e-8),
    )


@exact("sm-proper")
def proper_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z, q = sp.symbols("z q", real=True)
    s = 1 / (1 + sp.exp(-z))
    return [("derivative", sp.diff(-q * sp.log(s) - (1 - q) * sp.log(1 - s), z) - (s - q))]


@claim(
    "sm-log-of-zero",
    says=r"In float32, $\log(1 - \sigma(z))$ computed from the probability is $-\infty$ for $z \ge "
    r"17.4$, where the true value is about $-z$; from the logits, as $-\log(1 + e^z)$ by "
    r"log-softmax, it is right.",
    given={"z": Scalar(17.4, 1e4)},
)
def log_of_zero(z: float) -> Outcome:
    logits = np.array([0.0, z], np.float32)
    with np.errstate(divide="ignore"):
        from_p = np.log(1 - scratch.sigmoid(logits[1:]))
    from_logits = scratch.log_softmax(logits)[:1]
    want = np.array([special.log_expit(-float(logits[1]))])
    return All(Equal(from_p, [-np.inf]), Close(from_logits, want, tol=1e-6))


@claim(
    "sm-attention",
    says=r"The rows of $X$ are tokens. The attention logits $QK^\top/\sqrt d$ with $Q = XW_Q$, "
    r"$K = XW_K$ of $d$ columns are quadratic in the tokens: $X \mapsto cX$ multiplies them by "
    r"$c^2$. Unless $W_QW_K^\top = 0$, no Dense layer followed by softmax gives the weights, row "
    r"by row the softmax of these logits, for every $X$ with two tokens or more.",
    proof=True,
    given={
        "X": Matrix("t", "e", lo=-2, hi=2),
        "A": Matrix("e", "d", lo=-2, hi=2),
        "B": Matrix("e", "d", lo=-2, hi=2),
        "c": Scalar(-3, 3),
        "a": Vector("e", lo=-2, hi=2),
        "b": Vector("e", lo=-2, hi=2),
    },
    cases=50,
)
def attention(X: Mat, A: Mat, B: Mat, c: float, a: Vec, b: Vec) -> Outcome:
    def f(first: Vec, second: Vec) -> float:
        row = _logits(np.stack([first, second]), A, B)[0]
        return float(row[0] - row[1])

    mixed = f(a, b) - f(a, 0 * b) - f(0 * a, b) + f(0 * a, 0 * b)  # 0 for every affine f
    return All(
        Close(_logits(c * X, A, B), c**2 * _logits(X, A, B)),
        Close(mixed, -(a @ A @ B.T @ b) / math.sqrt(A.shape[1])),
    )


def _logits(X: Mat, A: Mat, B: Mat) -> Mat:
    return (X @ A) @ (X @ B).T / math.sqrt(A.shape[1])


@refutation(
    "sm-attention-source",
    says=r"Attention weights are a Dense layer followed by softmax, so the differences $f$ of "
    r"their logits in a row are affine in the tokens: $f(2X) - f(X) = f(X) - f(0)$.",
    given={"X": Matrix(2, 1, lo=-2, hi=2), "A": Matrix(1, 1, lo=-2, hi=2)},
    right="sm-attention",
)
def attention_source(X: Mat, A: Mat) -> Outcome:
    one = np.ones((1, 1))
    logits = [_logits(s * X, A, one) for s in (0, 1, 2)]
    f0, f1, f2 = (table - table[:, :1] for table in logits)
    return Close(f2 - f1, f1 - f0, tol=1e-3)
