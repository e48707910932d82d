"""Claims of the topic lngeometry: where the outputs of layer normalization lie, and a relative.

Jacobians have a file of their own, which this one loads at its end.
"""

from __future__ import annotations

import numpy as np

from nnbook.claims import All, AtMost, Close, Outcome, claim, exact, refutation
from nnbook.claims.domains import Scalar, Vector
from nnbook.claims.layernorm import A, Array, Identities, Z, ln_symbolic, symbols
from nnbook.scratch import ln_s


@claim(
    "lg-sphere",
    says=r"The image of $\LNS$ is the sphere $\{u : \sum_i u_i = 0,\ \norm{u} = \sqrt m\}$, and "
    r"$\LNS$ leaves each point of it where it is.",
    proof=True,
    given={"z": Z},
)
def sphere(z: Array) -> Outcome:
    u = ln_s(z)
    return All(Close(u.sum(), 0.0), Close(np.linalg.norm(u), np.sqrt(len(z))), Close(ln_s(u), u))


@exact("lg-sphere")
def sphere_exact() -> Identities:
    import sympy

    found: Identities = []
    for m in (2, 3, 4):
        u = ln_symbolic(symbols("z", m))
        found.append((f"sum, m = {m}", sum(u)))
        found.append((f"square of the norm, m = {m}", sum(x**2 for x in u) - m))
    t = sympy.Symbol("t", real=True)
    circle = [sympy.sqrt(2) * sympy.cos(t + 2 * sympy.pi * k / 3) for k in range(3)]
    point = sympy.Matrix([sympy.expand_trig(x) for x in circle])
    mu, square = sum(point) / 3, sum(x**2 for x in point) / 3
    return [*found, ("mean on the circle, m = 3", mu), ("variance there", square - mu**2 - 1)]


@claim(
    "lg-bound",
    says=r"$\lvert \LNS(z)_i \rvert \le \sqrt{m-1}$, and $\LNS(e_i)_i = \sqrt{m-1}$ for the unit "
    r"vector $e_i$.",
    proof=True,
    given={"z": Z},
    also=[{"z": np.eye(m)[0]} for m in range(2, 9)],
)
def bound(z: Array) -> Outcome:
    root = np.sqrt(len(z) - 1)
    at_units = np.diag(ln_s(np.eye(len(z))))
    return All(AtMost(np.abs(ln_s(z)), root), Close(at_units, np.full(len(z), root)))


@exact("lg-bound")
def bound_exact() -> Identities:
    found: Identities = []
    for m in (2, 3, 4):
        u = ln_symbolic(symbols("z", m))
        rest = list(u)[1:]
        pairs = sum((p - q) ** 2 for i, p in enumerate(rest) for q in rest[:i])
        found.append((f"m - 1 - u₁² is a sum of squares, m = {m}", m - 1 - u[0] ** 2 - pairs / m))
    return found


@claim(
    "lg-two",
    says=r"For $m = 2$, $\LNS(z) = (\sign(z_1 - z_2), -\sign(z_1 - z_2))$: one bit is all that "
    "is left.",
    proof=True,
    given={"z": Vector(2, nonconstant=True)},
)
def two(z: Array) -> Outcome:
    s = np.sign(z[0] - z[1])
    return Close(ln_s(z), np.array([s, -s]))


@exact("lg-two")
def two_exact() -> Identities:
    import sympy

    z = symbols("z", 2)
    s = (z[0] - z[1]) / sympy.Abs(z[0] - z[1])
    return [("m = 2", ln_symbolic(z) - sympy.Matrix([s, -s]))]


def rms_norm(z: Array) -> Array:
    """Divide by the root of the mean of squares, without a mean taken off."""
    return np.asarray(z / np.sqrt(np.mean(z**2)))


@claim(
    "lg-rms",
    says=r"With $\operatorname{RMS}(z) = z / \sqrt{\tfrac1m \sum_i z_i^2}$: "
    r"$\operatorname{RMS}(z - \hat\mu\mathbf{1}) = \LNS(z)$, and "
    r"$\operatorname{RMS}(az) = \sign(a) \operatorname{RMS}(z)$ for $a \ne 0$.",
    proof=True,
    given={"z": Z, "a": A},
)
def rms(z: Array, a: float) -> Outcome:
    return All(
        Close(rms_norm(z - z.mean()), ln_s(z)), Close(rms_norm(a * z), np.sign(a) * rms_norm(z))
    )


@exact("lg-rms")
def rms_exact() -> Identities:
    import sympy

    found: Identities = []
    for m in (2, 3, 4):
        z = symbols("z", m)
        centred = z - sum(z) / sympy.Integer(m) * sympy.ones(m, 1)
        square = sympy.factor(sum(x**2 for x in centred) / m)
        found.append((f"m = {m}", centred / sympy.sqrt(square) - ln_symbolic(z)))
    return found


@refutation(
    "lg-rms-shift",
    says=r"$\operatorname{RMS}(z + c\mathbf{1}) = \operatorname{RMS}(z)$ for every $c$.",
    given={"z": Z, "c": Scalar()},
    right="lg-rms",
)
def rms_shift(z: Array, c: float) -> Outcome:
    return Close(rms_norm(z + c), rms_norm(z))


from nnbook.claims import _lngeometry_jacobians  # noqa: E402

__all__ = ["_lngeometry_jacobians"]
