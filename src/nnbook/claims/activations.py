"""Claims of the topic activations: formulas, derivatives, ranges, overflow.

The shapes of the functions are in `_activation_shapes`, which this file loads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from nnbook import scratch

from ._activation_shapes import FUNCTIONS, at
from ._core import claim, exact, refutation
from ._outcomes import All, AtMost, Close, Holds, Outcome
from .domains import Matrix, Scalar, Vector

Vec = Float[np.ndarray, "..."]
Mat = Float[np.ndarray, "..."]


@claim(
    "act-derivatives",
    says=r"Each derivative of {eq}`act-relu` to {eq}`act-gelu-tanh` is the derivative of its "
    r"function wherever the function is differentiable; for the smooth ones that is everywhere.",
    proof=True,
    given={"z": Vector(1, 8, lo=-8, hi=8)},
    cases=50,
)
def derivatives(z: Vec) -> Outcome:
    h = 1e-6
    away = z[np.abs(z) > 2 * h]
    kinked = {"relu": away, "leaky_relu": away, "elu": away}
    outcomes = []
    for name, (f, slope) in FUNCTIONS.items():
        x = kinked.get(name, z)
        outcomes.append(Close((f(x + h) - f(x - h)) / (2 * h), slope(x), tol=1e-7))
    return All(*outcomes)


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
    given={"z": Vector(1, 5, lo=-4, hi=4)},
    cases=50,
)
def elementwise(z: Vec) -> Outcome:
    z = np.where(np.abs(z) < 1e-3, 0.5, z)  # keep clear of the kinks
    steps = 1e-6 * np.eye(len(z))
    return All(
        *(
            Close((f(z + steps) - f(z - steps)).T / 2e-6, np.diag(slope(z)), tol=1e-7)
            for f, slope in FUNCTIONS.values()
        )
    )


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
        Close(scratch.relu(np.abs(z)), np.abs(z)),
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
        Close(c * V.T @ scratch.relu(c**2 * plain), c**3 * V.T @ scratch.relu(plain)),
    )


@claim(
    "act-naive-sigmoid",
    says=r"The formula $1/(1 + e^{-z})$, typed in as it stands, overflows in its exponential for "
    r"$z < -709.8$ in float64 (NumPy warns); its value 0 is off by less than $10^{-308}$ "
    r"all the same. The form with $e^{-\lvert z\rvert}$ never overflows.",
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
    return All(Holds(warned, "no overflow"), Close(value, stable, tol=1e-308))


@refutation(
    "act-naive-tanh",
    says=r"The formula $(e^z - e^{-z})/(e^z + e^{-z})$, typed in as it stands, computes $\tanh z$.",
    given={"z": Scalar(0, 1000)},
    right="act-identities",
)
def naive_tanh(z: float) -> Outcome:
    with np.errstate(over="ignore", invalid="ignore"):
        up, down = np.exp(np.array([z])), np.exp(np.array([-z]))
        return Close((up - down) / (up + down), scratch.tanh(np.array([z])))
