"""Claims of the topic layernorm: the Jacobian and the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook.claims import All, Close, Outcome, claim, exact
from nnbook.claims.domains import Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import EPS, Array, Identities, Z, ln_symbolic, symbols
from nnbook.scratch import layer_norm, layer_norm_vjp, ln_s, ln_s_vjp


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
    "ln-jacobian",
    says=r"The Jacobian of $\LNS$ is $\frac{1}{\hat\sigma} P$ with "
    r"$P = I - \frac1m \mathbf{1}\mathbf{1}^\top - \frac1m u u^\top$, $u = \LNS(z)$. $P$ is the "
    r"orthogonal projection of rank $m - 2$ whose kernel is spanned by $\mathbf{1}$ and $z$.",
    proof=True,
    given={"z": Z},
)
def jacobian(z: Array) -> Outcome:
    m, u = len(z), ln_s(z)
    P = np.eye(m) - np.ones((m, m)) / m - np.outer(u, u) / m
    J = ln_s_vjp(np.eye(m), np.tile(z, (m, 1)))
    return All(
        Close(z.std() * J, P),
        Close(z.std() * complex_jacobian(ln_complex, z), P),
        Close(P @ P, P),
        Close(np.trace(P), m - 2.0),
        Close(P @ np.column_stack([np.ones(m), z]), np.zeros((m, 2))),
    )


@exact("ln-jacobian")
def jacobian_exact() -> Identities:
    import sympy

    half = ln_symbolic(symbols("z", 2))
    found: Identities = [("P = 0, m = 2", sympy.eye(2) - sympy.ones(2) / 2 - half * half.T / 2)]
    for m in (3, 4):
        z, one = symbols("z", m), sympy.ones(m, 1)
        u = ln_symbolic(z)
        var = sympy.factor(sum(x**2 for x in z) / m - (sum(z) / sympy.Integer(m)) ** 2)
        P = sympy.eye(m) - one * one.T / m - u * u.T / m
        found.append((f"Jacobian, m = {m}", u.jacobian(z) - P / sympy.sqrt(var)))
        found.append((f"kernel, m = {m}", P * one.row_join(z)))
        if m < 4:
            found.append((f"P² = P, m = {m}", P * P - P))
        found.append((f"trace, m = {m}", P.trace() - (m - 2)))
    return found


@claim(
    "ln-jacobian-eps",
    says=r"With $s = \sqrt{\hat\sigma^2 + \varepsilon}$ and $u = (z - \hat\mu\mathbf{1})/s$, the "
    r"Jacobian is $\frac1s (I - \frac1m \mathbf{1}\mathbf{1}^\top - \frac1m u u^\top)$. Its "
    r"eigenvalues are $0$ (along $\mathbf{1}$), $\varepsilon / s^3$ (along $u$) and $1/s$ "
    r"($m - 2$ times).",
    proof=True,
    given={"z": Z, "eps": EPS},
)
def jacobian_eps(z: Array, eps: float) -> Outcome:
    m, s, u = len(z), np.sqrt(z.var() + eps), ln_s(z, eps)
    J = (np.eye(m) - np.ones((m, m)) / m - np.outer(u, u) / m) / s
    eigenvalues = sorted([0.0, eps / s**3, *[1 / s] * (m - 2)])
    return All(
        Close(s * ln_s_vjp(np.eye(m), np.tile(z, (m, 1)), eps), s * J),
        Close(s * complex_jacobian(lambda x: ln_complex(x, eps), z), s * J),
        Close(s * np.linalg.eigvalsh(J), s * np.array(eigenvalues)),
        Close(s * J @ u, eps / s**2 * u),
    )


@exact("ln-jacobian-eps")
def jacobian_eps_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for m in (2, 3):
        z, one = symbols("z", m), sympy.ones(m, 1)
        u = ln_symbolic(z, eps)
        var = sympy.factor(sum(x**2 for x in z) / m - (sum(z) / sympy.Integer(m)) ** 2)
        J = (sympy.eye(m) - one * one.T / m - u * u.T / m) / sympy.sqrt(var + eps)
        found.append((f"Jacobian, m = {m}", u.jacobian(z) - J))
        found.append((f"along u, m = {m}", J * u - eps / (var + eps) ** sympy.Rational(3, 2) * u))
        trace = (m - 2) / sympy.sqrt(var + eps) + eps / (var + eps) ** sympy.Rational(3, 2)
        found.append((f"trace, m = {m}", J.trace() - trace))
    return found


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
