"""Claims of the topic layernorm: what layer normalization ignores, and what it does not.

Constant input, the backward pass and float32 have a file of their own, which this one loads at its
end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import All, Close, Equal, Outcome, claim, exact, refutation
from nnbook.claims.domains import Domain, Matrix, Scalar, Size, Vector
from nnbook.scratch import layer_norm, ln_s

Array = np.ndarray
Identities = list[tuple[str, Any]]
Z = Vector(2, 16, nonconstant=True)
A = Scalar(-10, 10, nonzero=True)
EPS = Scalar(1e-6, 1)
# gamma and beta for rows of m numbers
AFFINE: dict[str, Domain] = {"m": Size(2, 8), "gamma": Vector("m"), "beta": Vector("m")}


def symbols(name: str, size: int) -> Any:
    """Return a column of real symbols."""
    import sympy

    return sympy.Matrix([sympy.Symbol(f"{name}{i}", real=True) for i in range(1, size + 1)])


def ln_symbolic(z: Any, eps: Any = 0) -> Any:
    """Write LN-S with symbols, straight from its definition."""
    import sympy

    mu = sum(z) / len(z)
    var = sum((x - mu) ** 2 for x in z) / len(z)
    return ((z - mu * sympy.ones(len(z), 1)) / sympy.sqrt(sympy.factor(var) + eps)).applyfunc(
        sympy.together
    )


@claim(
    "ln-samples",
    says=r"Layer normalization treats each sample alone: row $i$ of $\LN(Z)$ is $\LN$ of row $i$, "
    "whatever the other rows are.",
    given={**AFFINE, "Z": Matrix("B", "m")},
)
def samples(Z: Array, gamma: Array, beta: Array) -> Outcome:
    alone = np.stack([layer_norm(z, gamma, beta) for z in Z])
    return Equal(layer_norm(Z, gamma, beta), alone)


@claim(
    "ln-std",
    says=r"$\hat\sigma(az) = \lvert a \rvert \, \hat\sigma(z)$ for every real $a$.",
    proof=True,
    given={"z": Vector(1, 16), "a": Scalar()},
)
def std(z: Array, a: float) -> Outcome:
    return Close((a * z).std(), abs(a) * z.std())


@exact("ln-std")
def std_exact() -> Identities:
    import sympy

    a = sympy.Symbol("a", real=True)

    def sigma(z: Any) -> Any:
        mu = sum(z) / len(z)
        return sympy.sqrt(sympy.factor(sum((x - mu) ** 2 for x in z) / len(z)))

    return [
        (f"m = {m}", sigma(a * symbols("z", m)) - sympy.Abs(a) * sigma(symbols("z", m)))
        for m in (2, 3, 4)
    ]


@refutation(
    "ln-std-source",
    says=r"The denominator of $\LNS(az)$ is $a\,\hat\sigma(z)$ for every $a \ne 0$.",
    given={"z": Z, "a": A},
    right="ln-std",
)
def std_source(z: Array, a: float) -> Outcome:
    return Close((a * z).std(), a * z.std())


@claim(
    "ln-scale",
    says=r"$\LNS(az) = \sign(a)\,\LNS(z)$ for every $a \ne 0$ and every $z$ that is not constant.",
    proof=True,
    given={"z": Z, "a": A},
)
def scale(z: Array, a: float) -> Outcome:
    return Close(ln_s(a * z), np.sign(a) * ln_s(z))


@exact("ln-scale")
def scale_exact() -> Identities:
    import sympy

    a = sympy.Symbol("a", positive=True)
    found: Identities = []
    for m in (2, 3, 4):
        z = symbols("z", m)
        found.append((f"m = {m}, a > 0", ln_symbolic(a * z) - ln_symbolic(z)))
        found.append((f"m = {m}, a < 0", ln_symbolic(-a * z) + ln_symbolic(z)))
    return found


@refutation(
    "ln-scale-source",
    says=r"$\LN(az) = \LN(z)$ for every $a \ne 0$.",
    given={"z": Z, "a": A},
    right="ln-scale",
)
def scale_source(z: Array, a: float) -> Outcome:
    return Close(layer_norm(a * z, eps=0.0), layer_norm(z, eps=0.0))


@claim(
    "ln-shift",
    says=r"$\LN(z + c\mathbf{1}) = \LN(z)$ for every real $c$, with any "
    r"$\gamma, \beta, \varepsilon$.",
    proof=True,
    given={**AFFINE, "z": Vector("m"), "c": Scalar(-1000, 1000), "eps": EPS},
    also=[
        {"z": np.arange(1.0 * m), "gamma": np.ones(m), "beta": np.ones(m), "c": c, "eps": 0.0}
        for m, c in ((2, 1.0), (3, -7.5), (8, 1000.0))
    ],
)
def shift(z: Array, gamma: Array, beta: Array, c: float, eps: float) -> Outcome:
    shifted = layer_norm(z + c, gamma, beta, eps=eps)
    return Close(shifted, layer_norm(z, gamma, beta, eps=eps), 1e-8)


@exact("ln-shift")
def shift_exact() -> Identities:
    import sympy

    c = sympy.Symbol("c", real=True)
    eps = sympy.Symbol("epsilon", positive=True)
    pairs = [(m, symbols("z", m)) for m in (2, 3, 4)]
    return [
        (f"m = {m}", ln_symbolic(z + c * sympy.ones(m, 1), eps) - ln_symbolic(z, eps))
        for m, z in pairs
    ]


@refutation(
    "ln-shift-source",
    says=r"$\LN(z + c\mathbf{1}) = \LN(z) + c\mathbf{1}$ for every $c$.",
    given={"z": Z, "c": Scalar()},
    right="ln-shift",
)
def shift_source(z: Array, c: float) -> Outcome:
    return Close(layer_norm(z + c, eps=0.0), layer_norm(z, eps=0.0) + c)


@claim(
    "ln-eps",
    says=r"With $\varepsilon$ inside the root, "
    r"$\LNS_\varepsilon(az) = \sign(a)\,\LNS_{\varepsilon/a^2}(z)$ for every $a \ne 0$.",
    proof=True,
    given={"z": Vector(1, 16), "a": A, "eps": EPS},
)
def eps_law(z: Array, a: float, eps: float) -> Outcome:
    return Close(ln_s(a * z, eps), np.sign(a) * ln_s(z, eps / a**2))


@exact("ln-eps")
def eps_exact() -> Identities:
    import sympy

    a, eps = sympy.symbols("a epsilon", positive=True)
    found: Identities = []
    for m in (2, 3, 4):
        z = symbols("z", m)
        other = ln_symbolic(z, eps / a**2)
        found.append((f"m = {m}, a > 0", ln_symbolic(a * z, eps) - other))
        found.append((f"m = {m}, a < 0", ln_symbolic(-a * z, eps) + other))
    return found


@claim(
    "ln-eps-norm",
    says=r"For $\varepsilon > 0$, $\LNS_\varepsilon(z)$ is $\LNS(z)$ times "
    r"$\hat\sigma / \sqrt{\hat\sigma^2 + \varepsilon}$, so that its length is "
    r"$\sqrt m \, \hat\sigma / \sqrt{\hat\sigma^2 + \varepsilon}$, less than $\sqrt m$.",
    proof=True,
    given={"z": Z, "eps": EPS},
)
def eps_norm(z: Array, eps: float) -> Outcome:
    want = np.sqrt(len(z)) * z.std() / np.sqrt(z.var() + eps)
    return All(
        Close(np.linalg.norm(ln_s(z, eps)), want),
        Close(ln_s(z, eps), want / np.sqrt(len(z)) * ln_s(z)),
    )


@exact("ln-eps-norm")
def eps_norm_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for m in (2, 3, 4):
        z = symbols("z", m)
        var = sum(x**2 for x in z) / m - (sum(z) / sympy.Integer(m)) ** 2
        square: Any = sum(x**2 for x in ln_symbolic(z, eps))
        found.append((f"square of the norm, m = {m}", square - m * var / (var + eps)))
    return found


from nnbook.claims import _layernorm_module  # noqa: E402

__all__ = ["_layernorm_module"]
