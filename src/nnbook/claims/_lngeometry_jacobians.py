"""Claims of the topic lngeometry: Jacobians that are projections, and how much they amplify."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import All, Close, Outcome, claim, exact, measured
from nnbook.claims._layernorm_module import complex_jacobian, ln_complex
from nnbook.claims.domains import Vector
from nnbook.claims.layernorm import EPS, Array, Identities, Z, ln_symbolic, symbols
from nnbook.scratch import layer_norm_vjp, ln_s, ln_s_vjp


@claim(
    "lg-jacobian",
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


@exact("lg-jacobian")
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
    "lg-jacobian-eps",
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


@exact("lg-jacobian-eps")
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
    "lg-rms-jacobian",
    says=r"The Jacobian of $\operatorname{RMS}$ at $z \ne 0$ is $1/\rho$ times the orthogonal "
    r"projection $P = I - zz^\top / \norm{z}^2$ of rank $m - 1$ with kernel spanned by $z$, where "
    r"$\rho = \norm{z}/\sqrt m$.",
    proof=True,
    given={"z": Vector(1, 16, nonzero=True)},
)
def rms_jacobian(z: Array) -> Outcome:
    m, rho = len(z), np.sqrt(np.mean(z**2))
    P = np.eye(m) - np.outer(z, z) / (z @ z)
    J = complex_jacobian(lambda x: x / np.sqrt((x**2).mean()), z)
    return All(
        Close(rho * J, P),
        Close(P @ P, P),
        Close(np.trace(P), m - 1.0),
        Close(P @ z, np.zeros(m)),
    )


@exact("lg-rms-jacobian")
def rms_jacobian_exact() -> Identities:
    import sympy

    found: Identities = []
    for m in (2, 3, 4):
        z = symbols("z", m)
        square: Any = sum(x**2 for x in z)
        rho = sympy.sqrt(square / m)
        P = sympy.eye(m) - z * z.T / square
        found.append((f"m = {m}", (z / rho).jacobian(z) - P / rho))
        found.append((f"rank, m = {m}", P.trace() - (m - 1)))
    return found


@measured(
    "lg-gain",
    says=r"$\LN$ makes a gradient larger where the spread is small: rows with $\hat\sigma$ near "
    r"$10^{-3}$ multiply its length by about $1/\sqrt{\hat\sigma^2 + \varepsilon}$, here "
    r"$\varepsilon = 10^{-5}$.",
    band=(250, 320),
    unit="factor",
)
def gain(seed: int) -> float:
    x, v = np.random.default_rng(seed).normal(size=(2, 256, 64))
    return float(np.linalg.norm(layer_norm_vjp(v, 1e-3 * x)[0]) / np.linalg.norm(v))
