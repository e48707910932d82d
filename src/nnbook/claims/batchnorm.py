"""Claims of the topic batchnorm: what the samples of a batch share, and what follows from it.

Small batches, the order of modules and what was measured have files of their own, which this one
loads at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import All, Close, Outcome, claim, exact, refutation
from nnbook.claims._layernorm_module import complex_jacobian, ln_complex
from nnbook.claims.domains import Array, Domain, Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import Identities, ln_symbolic, symbols
from nnbook.scratch import batch_norm, batch_norm_vjp, bn_s, mm, mm_vjp

EPS = Scalar(1e-6, 1)
# one row per channel, so that no channel is constant; X.T is the batch
CHANNELS: dict[str, Domain] = {"n": Size(2, 6), "X": Matrix("c", "n", nonconstant=True)}
IMAGES: dict[str, Domain] = {"n": Size(2, 4), "h": Size(1, 3), "w": Size(1, 3)}
IMAGES |= {"x": Array("n", "c", "h", "w"), "gamma": Vector("c"), "beta": Vector("c")}


def rows(x: np.ndarray) -> np.ndarray:
    """Make one row of channels out of each position of each picture."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


@claim(
    "bn-images",
    says=r"Batch normalization of pictures of shape $(n, c, h, w)$ is that of the matrix whose "
    r"$nhw$ rows are the positions of all pictures: each channel has one mean and one deviation.",
    given={**IMAGES, "eps": EPS},
)
def images(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float) -> Outcome:
    got = batch_norm(x, gamma, beta, eps=eps)
    return Close(rows(got), batch_norm(rows(x), gamma, beta, eps=eps))


@refutation(
    "bn-axis-source",
    says="Batch normalization of pictures takes its statistics across the batch axis alone, one "
    "mean for each channel and position.",
    given={"x": Array(2, 1, 1, 2)},
    right="bn-images",
)
def axis_source(x: np.ndarray) -> Outcome:
    centred = x - x.mean(axis=0)
    alone = centred / np.sqrt((centred**2).mean(axis=0) + 1e-5)
    return Close(alone, batch_norm(x))


@claim(
    "bn-moments",
    says=r"After $\BNS_\varepsilon$ each channel has the mean $0$ and the mean square "
    r"$\hat\sigma_c^2 / (\hat\sigma_c^2 + \varepsilon)$, which is 1 for $\varepsilon = 0$. "
    r"The variance is the biased one.",
    proof=True,
    given={**CHANNELS, "eps": EPS},
)
def moments(X: np.ndarray, eps: float) -> Outcome:
    u, var = bn_s(X.T, eps), X.var(axis=1)
    exactly = bn_s(X.T)
    return All(
        Close(u.mean(axis=0), np.zeros(len(X))),
        Close((u**2).mean(axis=0), var / (var + eps)),
        Close((exactly**2).mean(axis=0), np.ones(len(X))),
    )


@exact("bn-moments")
def moments_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for n in (2, 3):
        x = symbols("x", n)
        u = ln_symbolic(x, eps)
        var = sum(a**2 for a in x) / n - (sum(x) / sympy.Integer(n)) ** 2
        square: Any = sum(a**2 for a in u)
        found.append((f"mean, n = {n}", sum(u)))
        found.append((f"mean square, n = {n}", square / n - var / (var + eps)))
    return found


@claim(
    "bn-sign",
    says=r"$\BNS(a \odot x + d) = \sign(a) \odot \BNS(x)$ for all vectors $a, d$ with one number "
    r"per channel and $a_c \ne 0$ ($\varepsilon = 0$, no channel constant).",
    proof=True,
    given={**CHANNELS, "a": Vector("c", lo=0.1, hi=10), "b": Vector("c"), "shift": Vector("c")},
)
def sign(X: np.ndarray, a: np.ndarray, b: np.ndarray, shift: np.ndarray) -> Outcome:
    a = np.where(b < 0, -a, a)
    return Close(bn_s(a * X.T + shift), np.sign(a) * bn_s(X.T), 1e-8)


@exact("bn-sign")
def sign_exact() -> Identities:
    import sympy

    a = sympy.Symbol("a", positive=True)
    c = sympy.Symbol("c", real=True)
    found: Identities = []
    for n in (2, 3):
        x, one = symbols("x", n), sympy.ones(n, 1)
        found.append((f"n = {n}, a > 0", ln_symbolic(a * x + c * one) - ln_symbolic(x)))
        found.append((f"n = {n}, a < 0", ln_symbolic(-a * x + c * one) + ln_symbolic(x)))
    return found


@refutation(
    "bn-scale-source",
    says=r"$\mathrm{BN}(ax) = \mathrm{BN}(x)$ for every $a \ne 0$.",
    given={**CHANNELS, "a": Scalar(-10, 10, nonzero=True)},
    right="bn-sign",
)
def scale_source(X: np.ndarray, a: float) -> Outcome:
    return Close(bn_s(a * X.T), bn_s(X.T))


LAYER: dict[str, Domain] = {"B": Size(2, 5), "Z": Matrix("B", "m"), "W": Matrix("c", "m")}
LAYER |= {"b": Vector("c"), "v": Matrix("B", "c"), "gamma": Vector("c"), "beta": Vector("c")}


@claim(
    "bn-bias",
    says=r"A bias in front is void: $\BN(\MM_{W,b}(Z)) = \BN(\MM_{W,0}(Z))$ for every $b$, with "
    r"any $\gamma, \beta, \varepsilon$, and the gradient of every loss at $b$ is $0$.",
    proof=True,
    given={**LAYER, "eps": Scalar(0.01, 1)},
)
def bias(
    Z: np.ndarray,
    W: np.ndarray,
    b: np.ndarray,
    v: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    eps: float,
) -> Outcome:
    out = mm(Z, W, b)
    without = batch_norm(mm(Z, W), gamma, beta, eps=eps)
    at_b = mm_vjp(batch_norm_vjp(v, out, gamma, eps=eps)[0], Z, W, b)[2]
    return All(
        Close(batch_norm(out, gamma, beta, eps=eps), without), Close(at_b, np.zeros_like(b), 1e-8)
    )


@exact("bn-bias")
def bias_exact() -> Identities:
    import sympy

    b = sympy.Symbol("b", real=True)
    eps = sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for n in (2, 3):
        shifted = ln_symbolic(symbols("x", n) + b * sympy.ones(n, 1), eps)
        found.append((f"derivative at b, n = {n}", shifted.diff(b)))
    return found


@claim(
    "bn-rows",
    says=r"For two samples $i \ne j$ of a batch of $N$, "
    r"$\partial u_i / \partial x_j = -(1 + u_i u_j) / (N s)$ in each channel: unless "
    r"$u_i u_j = -1$, the output of a sample depends on the others.",
    proof=True,
    given={"x": Vector(2, 6), "eps": Scalar(0.01, 1)},
)
def rows_mixed(x: np.ndarray, eps: float) -> Outcome:
    n, s = len(x), np.sqrt(x.var() + eps)
    u = bn_s(x[:, None], eps)[:, 0]
    J = complex_jacobian(lambda z: ln_complex(z, eps), x)
    want = (np.eye(n) - (1 + np.outer(u, u)) / n) / s
    return Close(J, want)


@exact("bn-rows")
def rows_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for n in (2, 3):
        x = symbols("x", n)
        u = ln_symbolic(x, eps)
        var = sum(a**2 for a in x) / n - (sum(x) / sympy.Integer(n)) ** 2
        want = -(1 + u[0] * u[1]) / (n * sympy.sqrt(sympy.factor(var) + eps))
        found.append((f"N = {n}", sympy.diff(u[0], x[1]) - want))
    return found


@refutation(
    "bn-alone-source",
    says="As in layer normalization, each sample is treated alone: the first row of the output "
    "does not change when the second row of the batch does.",
    given={"x": Matrix(3, 1), "z": Scalar()},
    right="bn-rows",
)
def alone_source(x: np.ndarray, z: float) -> Outcome:
    other = x.copy()
    other[1] = z
    return Close(batch_norm(other)[0], batch_norm(x)[0])


@claim(
    "bn-backward",
    says=r"With $v$ the gradient at $y = \BN(x)$ and $q = \gamma \odot v$: the gradient at $x$ is "
    r"$\frac1s (q - \overline q - u\,\overline{q u})$ with means over the batch and the positions "
    r"of a channel; at $\gamma$ it is $\sum v \odot u$, at $\beta$ it is $\sum v$.",
    proof=True,
    given={**IMAGES, "v": Array("n", "c", "h", "w"), "eps": Scalar(0.01, 1)},
)
def backward(
    x: np.ndarray, v: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float
) -> Outcome:
    got = batch_norm_vjp(v, x, gamma, beta, eps=eps)
    X, V = rows(x), rows(v)
    of_x, of_gamma = np.zeros_like(X), np.zeros_like(gamma)
    for c in range(X.shape[1]):
        J = complex_jacobian(lambda z: ln_complex(z, eps), X[:, c])
        of_x[:, c] = J.T @ (gamma[c] * V[:, c])
        # BN is linear in gamma and beta
        of_gamma[c] = V[:, c] @ np.real(ln_complex(X[:, c], eps))
    return All(Close(rows(got[0]), of_x), Close(got[1], of_gamma), Close(got[2], V.sum(axis=0)))


@exact("bn-backward")
def backward_exact() -> Identities:
    import sympy

    eps, gamma = sympy.symbols("epsilon gamma", positive=True)
    found: Identities = []
    for n in (2, 3):
        x, v = symbols("x", n), symbols("v", n)
        u, q = ln_symbolic(x, eps), gamma * v
        var = sum(a**2 for a in x) / n - (sum(x) / sympy.Integer(n)) ** 2
        s = sympy.sqrt(sympy.factor(var) + eps)
        grad = (q - sum(q) / sympy.Integer(n) * sympy.ones(n, 1) - q.dot(u) / n * u) / s
        found.append((f"one channel, n = {n}", sympy.Matrix([q.dot(u)]).jacobian(x).T - grad))
    return found


from nnbook.claims import _batchnorm_batches  # noqa: E402
from nnbook.claims._batchnorm_trained import network, spread, trained  # noqa: E402

__all__ = ["_batchnorm_batches", "network", "spread", "trained"]
