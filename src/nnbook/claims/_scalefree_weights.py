"""Claims of the topic scalefree: which changes of the weights before it layer norm absorbs."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import Close, Equal, Outcome, claim, exact, refutation
from nnbook.claims.domains import Domain, Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import EPS, A, Array, Identities, Z, ln_symbolic, symbols
from nnbook.scratch import layer_norm, ln_s, mm

# an affine map of z and its outputs, which are normalized: b = out - Wz gives every map once
MAP: dict[str, Domain] = {"n": Size(2, 6), "W": Matrix("n", "m"), "z": Vector("m")}
MAP |= {"out": Vector("n", nonconstant=True)}
AFTER: dict[str, Domain] = {"gamma": Vector("n"), "beta": Vector("n")}


@claim(
    "sf-mm",
    says=r"$\MM_{aW, ab}(z) = a \MM_{W,b}(z)$ for every real $a$.",
    proof=True,
    given={**MAP, "a": Scalar()},
)
def homogeneous(W: Array, z: Array, out: Array, a: float) -> Outcome:
    b = out - W @ z
    return Close(mm(z, a * W, a * b), a * mm(z, W, b))


@exact("sf-mm")
def homogeneous_exact() -> Identities:
    import sympy

    a = sympy.Symbol("a", real=True)
    W = sympy.Matrix(2, 3, lambda i, j: sympy.Symbol(f"w{i}{j}", real=True))
    z, b = symbols("z", 3), symbols("b", 2)
    return [("n = 2, m = 3", a * W * z + a * b - a * (W * z + b))]


@claim(
    "sf-weights",
    says=r"If $Wz + b$ is not constant, $\LN(\MM_{aW,ab}(z))$ is $\LN(\MM_{W,b}(z))$ for $a > 0$ "
    r"and $2\beta - \LN(\MM_{W,b}(z))$ for $a < 0$ ($\varepsilon = 0$).",
    proof=True,
    given={**MAP, **AFTER, "a": A},
)
def weights(W: Array, z: Array, out: Array, gamma: Array, beta: Array, a: float) -> Outcome:
    b = out - W @ z
    before = layer_norm(mm(z, W, b), gamma, beta, eps=0.0)
    after = layer_norm(mm(z, a * W, a * b), gamma, beta, eps=0.0)
    return Close(after, before if a > 0 else 2 * beta - before)


@exact("sf-weights")
def weights_exact() -> Identities:
    import sympy

    a = sympy.Symbol("a", positive=True)
    found: Identities = []
    for n, m in ((2, 2), (3, 1)):
        W = sympy.Matrix(n, m, lambda i, j: sympy.Symbol(f"w{i}{j}", real=True))
        out = W * symbols("z", m) + symbols("b", n)
        gamma, beta = symbols("gamma", n), symbols("beta", n)

        def ln(z: Any, gamma: Any = gamma, beta: Any = beta) -> Any:
            return beta + gamma.multiply_elementwise(ln_symbolic(z))

        found.append((f"n = {n}, m = {m}, a > 0", ln(a * out) - ln(out)))
        found.append((f"n = {n}, m = {m}, a < 0", ln(-a * out) - 2 * beta + ln(out)))
    return found


@refutation(
    "sf-weights-source",
    says=r"$\LN(\MM_{aW,ab}(z)) = \LN(\MM_{W,b}(z))$ for every $a \ne 0$.",
    given={"W": Matrix(2, 1, distinct=True), "z": Vector(1, nonzero=True), "a": A},
    right="sf-weights",
)
def weights_source(W: Array, z: Array, a: float) -> Outcome:
    b = np.zeros(2)  # it fails without a bias already
    return Close(ln_s(mm(z, a * W, a * b)), ln_s(mm(z, W, b)))


@refutation(
    "sf-weight-alone",
    says=r"A normalized network is robust to the scale of its weights: "
    r"$\LN(\MM_{aW,b}(z)) = \LN(\MM_{W,b}(z))$ for every $a > 0$, also with $b \ne 0$, where both "
    r"sides are defined.",
    given={"W": Matrix(2, 1), "b": Vector(2), "z": Vector(1), "a": Scalar(0.1, 10)},
    right="sf-weights",
)
def weight_alone(W: Array, b: Array, z: Array, a: float) -> Outcome:
    before, after = mm(z, W, b), mm(z, a * W, b)
    if min(before.std(), after.std()) < 0.05:
        return Equal(0, 0)  # an output is constant, or nearly so: no counterexample to this
    return Close(ln_s(after), ln_s(before))


@refutation(
    "sf-gamma-source",
    says=r"$\LN$ absorbs the scale of its own parameter too: $a\gamma$ gives what $\gamma$ gives, "
    r"for $a > 0$.",
    given={"z": Z, "a": Scalar(0.1, 10)},
    right="sf-weights",
)
def gamma_source(z: Array, a: float) -> Outcome:
    return Close(layer_norm(z, a * np.ones_like(z)), layer_norm(z, np.ones_like(z)))


@claim(
    "sf-blind",
    says=r"$\LN$ does not see a constant added to $b$, nor one row $r$ added to every row of $W$: "
    r"$\LN(\MM_{W + \mathbf{1} r^\top,\, b + c\mathbf{1}}(z)) = \LN(\MM_{W,b}(z))$.",
    proof=True,
    given={**MAP, **AFTER, "r": Vector("m"), "c": Scalar(), "eps": EPS},
)
def blind(
    W: Array, z: Array, out: Array, gamma: Array, beta: Array, r: Array, c: float, eps: float
) -> Outcome:
    b = out - W @ z
    changed = layer_norm(mm(z, W + r, b + c), gamma, beta, eps=eps)
    return Close(changed, layer_norm(mm(z, W, b), gamma, beta, eps=eps), 1e-8)


@exact("sf-blind")
def blind_exact() -> Identities:
    import sympy

    c, eps = sympy.Symbol("c", real=True), sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for n in (2, 3):
        W = sympy.Matrix(n, 2, lambda i, j: sympy.Symbol(f"w{i}{j}", real=True))
        z, b, r, one = symbols("z", 2), symbols("b", n), symbols("r", 2), sympy.ones(n, 1)
        changed = (W + one * r.T) * z + b + c * one
        found.append((f"n = {n}", ln_symbolic(changed, eps) - ln_symbolic(W * z + b, eps)))
    return found
