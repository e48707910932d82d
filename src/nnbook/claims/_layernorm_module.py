"""Claims of the topic layernorm: the module itself, its backward pass, float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook.claims import All, Close, Holds, Outcome, claim, exact, measured, refutation
from nnbook.claims.domains import Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import AFFINE, EPS, Array, Identities, Z, ln_symbolic, symbols
from nnbook.scratch import layer_norm, layer_norm_vjp, ln_s


@claim(
    "ln-constant",
    says=r"$\LN(c\mathbf{1}) = \beta$ for every $\varepsilon > 0$. For $\varepsilon = 0$, which "
    r"would mean $0/0$, `nnbook.scratch.ln_s` raises an error.",
    proof=True,
    given={**AFFINE, "m": Size(1, 8), "c": Scalar(), "eps": EPS},
)
def constant(m: int, c: float, gamma: Array, beta: Array, eps: float) -> Outcome:
    z = np.full(m, c)
    try:
        ln_s(z)
        refused = False
    except ValueError:
        refused = True
    return All(
        Close(layer_norm(z, gamma, beta, eps=eps), beta), Holds(refused, "ln_s gave a value")
    )


@claim(
    "ln-unbiased",
    says=r"Dividing by $\sqrt{\tfrac{1}{m-1}\sum_i (z_i - \hat\mu)^2}$ instead of $\hat\sigma$ "
    r"multiplies $\LNS(z)$ by $\sqrt{(m-1)/m}$.",
    proof=True,
    given={"z": Z},
)
def unbiased(z: Array) -> Outcome:
    m = len(z)
    return Close((z - z.mean()) / z.std(ddof=1), np.sqrt((m - 1) / m) * ln_s(z))


@exact("ln-unbiased")
def unbiased_exact() -> Identities:
    import sympy

    found: Identities = []
    for m in (2, 3, 4):
        z = symbols("z", m)
        centred = z - sum(z) / sympy.Integer(m) * sympy.ones(m, 1)
        unbiased = sympy.factor(sum(x**2 for x in centred)) / (m - 1)
        factor = sympy.sqrt(sympy.Rational(m - 1, m))
        found.append((f"m = {m}", centred / sympy.sqrt(unbiased) - factor * ln_symbolic(z)))
    return found


def complex_jacobian(f: Callable[[Any], Any], z: Array) -> Array:
    """Differentiate f by a step along the imaginary axis, exact to the last digits of a float."""
    step = 1e-30
    columns = [np.imag(f(z + 1j * step * e)) / step for e in np.eye(len(z))]
    return np.stack(columns, axis=-1)


def ln_complex(z: Any, eps: float = 0.0) -> Any:
    """Write LN-S out again, in a form that takes complex numbers."""
    c = z - z.mean()
    return c / np.sqrt((c * c).mean() + eps)


@claim(
    "ln-backward",
    says=r"With $v$ the gradient at $y = \LN(x)$ and $q = \gamma \odot v$: the gradient at $x$ is "
    r"$\frac1s (q - \overline{q} - u\,\overline{q u})$, at $\gamma$ it is $\sum v \odot u$ and at "
    r"$\beta$ it is $\sum v$, both sums over the samples.",
    proof=True,
    given={
        "m": Size(1, 6),
        "x": Matrix("B", "m"),
        "v": Matrix("B", "m"),
        "gamma": Vector("m"),
        "beta": Vector("m"),
        "eps": Scalar(0.001, 1),
    },
)
def backward(x: Array, v: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    got = layer_norm_vjp(v, x, gamma, beta, eps=eps)
    # LN is linear in (gamma, beta): unit vectors give these derivatives
    units = np.eye(x.shape[1])
    of_gamma = [np.vdot(v, layer_norm(x, e, eps=eps)) for e in units]
    of_beta = [np.vdot(v, np.tile(e, (len(x), 1))) for e in units]
    jacobians = [complex_jacobian(lambda z: ln_complex(z, eps), row) for row in x]
    of_x = np.stack([J.T @ (gamma * w) for J, w in zip(jacobians, v, strict=True)])
    return All(Close(got[0], of_x), Close(got[1], of_gamma), Close(got[2], of_beta))


@exact("ln-backward")
def backward_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for m in (2, 3):
        x, v, gamma = symbols("x", m), symbols("v", m), symbols("gamma", m)
        u = ln_symbolic(x, eps)
        s = sympy.sqrt(
            sympy.factor(sum(a**2 for a in x) / m - (sum(x) / sympy.Integer(m)) ** 2) + eps
        )
        q = gamma.multiply_elementwise(v)
        mean_qu = q.dot(u) / m
        grad = (q - sum(q) / sympy.Integer(m) * sympy.ones(m, 1) - mean_qu * u) / s
        found.append((f"m = {m}", sympy.Matrix([q.dot(u)]).jacobian(x).T - grad))
    return found


def one_pass(z: Array) -> Array:
    """Return the mean of the squares less the square of the mean, which is right on paper."""
    return np.asarray((z**2).mean() - z.mean() ** 2)


@refutation(
    "ln-onepass-source",
    says=r"In float32 the variance may as well be computed as $\overline{z^2} - \overline{z}^2$: "
    r"for numbers $c + z_i$ it is right to one per cent of $\hat\sigma^2$.",
    given={"z": Vector(3, nonconstant=True, lo=-2, hi=2), "c": Scalar(0, 10000)},
    right="ln-float32",
)
def one_pass_source(z: Array, c: float) -> Outcome:
    x = (c + z).astype(np.float32)
    return Close(one_pass(x) / x.astype(np.float64).var(), 1.0, 0.01)


@measured(
    "ln-float32",
    says=r"`ln_s` centres first. On 64 float32 rows of mean $10^4$ and standard deviation 1 its "
    "largest error, against float64 on the same numbers, is a rounding of the mean.",
    band=(1e-6, 2e-3),
    unit="largest error",
)
def float32(seed: int) -> float:
    x = (1e4 + np.random.default_rng(seed).normal(size=(64, 192))).astype(np.float32)
    return float(np.abs(ln_s(x) - ln_s(x.astype(np.float64))).max())
