"""Claims of the topic activations: formulas, derivatives, ranges, softmax and log-sum-exp.

The shapes of the functions are in `_activation_shapes`, what networks with them can represent is in
`_activation_power`; this file loads both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import special

from nnbook import scratch

from . import _activation_power  # noqa: F401 - registers its claims
from ._activation_shapes import FUNCTIONS, Function, at
from ._core import claim, exact, refutation
from ._outcomes import All, AtMost, Close, Holds, Outcome
from .domains import Matrix, Scalar, Vector

Vec = Float[np.ndarray, "..."]
Mat = Float[np.ndarray, "..."]


@claim(
    "act-derivatives",
    says=r"Each derivative of {eq}`act-relu` to {eq}`act-gelu-tanh` is the derivative of its "
    r"function, at $z = 0$ for the smooth ones too.",
    proof=True,
    given={"z": Vector(1, 8, lo=-8, hi=8), "name": Function(tuple(FUNCTIONS))},
    cases=50,
)
def derivatives(z: Vec, name: str) -> Outcome:
    f, slope = FUNCTIONS[name]
    h = 1e-6
    z = z[np.abs(z) > 2 * h] if name in ("relu", "leaky_relu", "elu") else z
    return Close((f(z + h) - f(z - h)) / (2 * h), slope(z), tol=1e-7)


@exact("act-derivatives")
def derivatives_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z = sp.symbols("z", real=True)
    s = 1 / (1 + sp.exp(-z))
    cdf, bell = (1 + sp.erf(z / sp.sqrt(2))) / 2, sp.exp(-(z**2) / 2) / sp.sqrt(2 * sp.pi)
    u = sp.sqrt(8 / sp.pi) * (z + sp.Rational(44715, 10**6) * z**3)
    su = 1 / (1 + sp.exp(-u))
    return [
        ("sigmoid", sp.diff(s, z) - s * s.subs(z, -z)),
        ("tanh", sp.diff(sp.tanh(z), z) - 4 * (s * s.subs(z, -z)).subs(z, 2 * z)),
        ("silu", sp.diff(z * s, z) - s * (1 + z * s.subs(z, -z))),
        ("gelu", sp.diff(z * cdf, z) - cdf - z * bell),
        ("gelu, tanh form", sp.diff(z * su, z) - su * (1 + z * (1 - su) * sp.diff(u, z))),
    ]


@claim(
    "act-elementwise",
    says=r"A function applied element by element has the Jacobian $\diag(\sigma'(z))$ wherever "
    r"$\sigma$ is differentiable at every entry.",
    proof=True,
    given={"z": Vector(1, 5, lo=-4, hi=4), "name": Function(tuple(FUNCTIONS))},
    cases=50,
)
def elementwise(z: Vec, name: str) -> Outcome:
    f, slope = FUNCTIONS[name]
    z = np.where(np.abs(z) < 1e-3, 0.5, z)  # keep clear of the kinks
    steps = 1e-6 * np.eye(len(z))
    jacobian = (f(z + steps) - f(z - steps)).T / 2e-6
    return Close(jacobian, np.diag(slope(z)), tol=1e-7)


@claim(
    "act-identities",
    says=r"$\sigma(-z) = 1 - \sigma(z)$, $\tanh z = 2\sigma(2z) - 1$ and "
    r"$\softmax(a, b)_1 = \sigma(a - b)$.",
    proof=True,
    given={"z": Scalar(-700, 700), "a": Scalar(-300, 300), "b": Scalar(-300, 300)},
)
def identities(z: float, a: float, b: float) -> Outcome:
    return All(
        Close(at(scratch.sigmoid, -z), 1 - at(scratch.sigmoid, z)),
        Close(at(scratch.tanh, z), 2 * at(scratch.sigmoid, 2 * z) - 1),
        Close(at(scratch.softmax, a, b)[:1], at(scratch.sigmoid, a - b)),
    )


@exact("act-identities")
def identities_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z, a, b = sp.symbols("z a b", real=True)

    def s(t: Any) -> Any:
        return 1 / (1 + sp.exp(-t))

    tanh = (sp.exp(z) - sp.exp(-z)) / (sp.exp(z) + sp.exp(-z))
    return [
        ("sigmoid", s(-z) + s(z) - 1),
        ("tanh", tanh - 2 * s(2 * z) + 1),
        ("softmax of two", sp.exp(a) / (sp.exp(a) + sp.exp(b)) - s(a - b)),
    ]


@claim(
    "act-ranges",
    says=r"$\sigma: \R \to (0, 1)$ and $\tanh: \R \to (-1, 1)$ are strictly increasing bijections "
    r"with inverses $\log\frac{p}{1-p}$ and $\frac12\log\frac{1+y}{1-y}$; $\tanh$ is odd and "
    r"$\lvert\tanh z\rvert \le \lvert z\rvert$. ReLU maps $\R$ onto $[0, \infty)$ and is not "
    r"injective. Softmax has positive entries with sum 1.",
    proof=True,
    given={"z": Vector(1, 6, lo=-6, hi=6)},
)
def ranges(z: Vec) -> Outcome:
    p, y, shares = scratch.sigmoid(z), scratch.tanh(z), scratch.softmax(z)
    return All(
        Holds((p > 0) & (p < 1) & (np.abs(y) < 1) & (shares > 0), f"sigmoid {p}, tanh {y}"),
        Close(np.log(p / (1 - p)), z),
        Close(np.log((1 + y) / (1 - y)) / 2, z),
        Close(scratch.tanh(-z), -y),
        AtMost(np.abs(y), np.abs(z)),
        AtMost(-scratch.relu(z), 0),
        Close(scratch.relu(-np.abs(z)), 0 * z),
        Close(shares.sum(), 1.0),
    )


@refutation(
    "act-tanh-scales",
    says=r"Tanh rescales its input: $\tanh(az) = a\tanh(z)$.",
    given={"z": Scalar(), "a": Scalar()},
    right="act-ranges",
)
def tanh_scales(z: float, a: float) -> Outcome:
    return Close(at(scratch.tanh, a * z), a * at(scratch.tanh, z))


@refutation(
    "act-tanh-centred",
    says=r"Outputs of tanh lie inside $(-1, 1)$, therefore they are centred: their mean is 0.",
    given={"z": Vector(1, 4)},
    right="act-ranges",
)
def tanh_centred(z: Vec) -> Outcome:
    return Close(scratch.tanh(z).mean(), 0.0)


@claim(
    "act-proper",
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


@exact("act-proper")
def proper_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z, q = sp.symbols("z q", real=True)
    s = 1 / (1 + sp.exp(-z))
    return [("derivative", sp.diff(-q * sp.log(s) - (1 - q) * sp.log(1 - s), z) - (s - q))]


@claim(
    "act-rescale",
    says=r"For positive $d$: $W_2\,\diag(d)^{-1}\relu(\diag(d)(W_1x + b)) = W_2\relu(W_1x + b)$. "
    r"A bias-free ReLU network of depth $L$ is homogeneous of degree $L$ in its weights: all "
    r"weights times $c \ge 0$ gives the output times $c^L$.",
    proof=True,
    given={
        "V": Matrix("k", "n", lo=-3, hi=3),
        "W": Matrix("n", "m", lo=-3, hi=3),
        "x": Vector("m"),
        "b": Vector("n"),
        "d": Vector("n", lo=0.1, hi=10),
        "c": Scalar(0, 3),
    },
    cases=50,
)
def rescale(V: Mat, W: Mat, x: Vec, b: Vec, d: Vec, c: float) -> Outcome:
    plain = V @ scratch.relu(W @ x)
    return All(
        Close((V / d) @ scratch.relu(d * (W @ x + b)), V @ scratch.relu(W @ x + b)),
        Close(c * V @ scratch.relu(c * W @ x), c**2 * plain),
    )


@claim(
    "act-softmax-jacobian",
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


@exact("act-softmax-jacobian")
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
    "act-softmax-elementwise",
    says=r"Softmax works element by element, like the other activations: a change of $z_1$ leaves "
    r"the other outputs as they are.",
    given={"z": Vector(2, 4), "d": Scalar(nonzero=True)},
    right="act-softmax-jacobian",
)
def softmax_elementwise(z: Vec, d: float) -> Outcome:
    moved = z + d * np.eye(len(z))[0]
    return Close(scratch.softmax(moved)[1:], scratch.softmax(z)[1:], tol=1e-3)


@claim(
    "act-lse",
    says=r"$\max_i z_i \le \operatorname{LSE}(z) \le \max_i z_i + \log n$; the gradient of LSE is "
    r"softmax; $\operatorname{LSE}(z + c) = \operatorname{LSE}(z) + c$, hence $\softmax(z + c) = "
    r"\softmax(z)$.",
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


@exact("act-lse")
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
    "act-naive-sigmoid",
    says=r"The formula $1/(1 + e^{-z})$, typed in as it stands, overflows in its exponential for "
    r"$z < -709.8$ in float64 (NumPy warns); its value 0 is right all the same. The form with "
    r"$e^{-\lvert z\rvert}$ never overflows.",
    given={"z": Scalar(-1e4, -709.8)},
)
def naive_sigmoid(z: float) -> Outcome:
    with np.errstate(over="ignore"):
        value = 1 / (1 + np.exp(-np.array([z])))
    with np.errstate(over="raise"):
        stable = scratch.sigmoid(np.array([z]))
        try:
            np.exp(-np.array([z]))
            warned = False
        except FloatingPointError:
            warned = True
    return All(Holds(warned, "no overflow"), Close(value, stable, tol=1e-300))


@refutation(
    "act-naive-tanh",
    says=r"The formula $(e^z - e^{-z})/(e^z + e^{-z})$, typed in as it stands, computes $\tanh z$.",
    given={"z": Scalar(0, 1000)},
    right="act-ranges",
)
def naive_tanh(z: float) -> Outcome:
    with np.errstate(over="ignore", invalid="ignore"):
        up, down = np.exp(np.array([z])), np.exp(np.array([-z]))
        return Close((up - down) / (up + down), scratch.tanh(np.array([z])))
