"""Claims of the topic batchnorm: small batches and the order of modules."""

from __future__ import annotations

import numpy as np

from nnbook.claims import All, AtMost, Close, Holds, Outcome, claim, exact, refutation
from nnbook.claims.batchnorm import CHANNELS, EPS
from nnbook.claims.domains import Matrix, Size, Vector
from nnbook.claims.layernorm import Identities, ln_symbolic, symbols
from nnbook.scratch import batch_norm, bn_s, bn_s_vjp


@claim(
    "bn-one",
    says=r"With one value per channel $u = 0$ whatever the value is, for every "
    r"$\varepsilon > 0$, and the gradient at $x$ is $0$. `batch_norm` refuses such a batch.",
    proof=True,
    given={"x": Matrix(1, "c"), "v": Matrix(1, "c"), "eps": EPS},
)
def one(x: np.ndarray, v: np.ndarray, eps: float) -> Outcome:
    try:
        batch_norm(x, eps=eps)
        refused = False
    except ValueError:
        refused = True
    zero = np.zeros_like(x)
    return All(
        Close(bn_s(x, eps), zero),
        Close(bn_s_vjp(v, x, eps), zero),
        Holds(refused, "batch_norm gave a value"),
    )


@claim(
    "bn-two",
    says=r"With two values $x_1 \ne x_2$ per channel, $u_1 = d / \sqrt{d^2 + \varepsilon} = -u_2$ "
    r"with $d = (x_1 - x_2) / 2$. For $\varepsilon = 0$ this is $\pm 1$: nothing but the order is "
    "left.",
    proof=True,
    given={"x": Vector(2, nonconstant=True), "eps": EPS},
)
def two(x: np.ndarray, eps: float) -> Outcome:
    d = (x[0] - x[1]) / 2
    u = d / np.sqrt(d**2 + eps)
    return All(
        Close(bn_s(x[:, None], eps)[:, 0], np.array([u, -u])),
        Close(bn_s(x[:, None])[:, 0], np.sign(d) * np.array([1.0, -1.0])),
    )


@exact("bn-two")
def two_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    x = symbols("x", 2)
    d = (x[0] - x[1]) / 2
    u, want = ln_symbolic(x, eps), d / sympy.sqrt(d**2 + eps)
    return [("first", u[0] - want), ("second", u[1] + want)]


@claim(
    "bn-order",
    says=r"With $\gamma = \mathbf{1}$, $\beta = 0$: the numbers of a channel after "
    r"$\relu \circ \BN$ are never negative and their mean is positive; after $\BN \circ \relu$ "
    "their mean is 0. (No channel is constant.)",
    proof=True,
    given={**CHANNELS, "eps": EPS},
)
def order(X: np.ndarray, eps: float) -> Outcome:
    before = np.maximum(batch_norm(X.T, eps=eps), 0)
    after = batch_norm(np.maximum(X.T, 0), eps=eps)
    return All(
        AtMost(-before, 0.0, 0.0),
        Holds(before.mean(axis=0) > 0, "a mean that is not positive"),
        Close(after.mean(axis=0), np.zeros(len(X))),
    )


@refutation(
    "bn-order-source",
    says=r"It does not matter whether batch normalization stands before or after the ReLU: "
    r"$\relu(\BN(x)) = \BN(\relu(x))$.",
    given={"n": Size(2, 4), "x": Matrix("n", 1)},
    right="bn-order",
)
def order_source(x: np.ndarray) -> Outcome:
    return Close(np.maximum(batch_norm(x), 0), batch_norm(np.maximum(x, 0)))


@claim(
    "bn-batchmean",
    says=r"The mean of $N$ independent draws with variance $\sigma^2$ has the variance "
    r"$\sigma^2 / N$.",
    proof=True,
    given={"k": Size(2, 4), "values": Vector("k"), "N": Size(1, 4)},
)
def batch_mean(k: int, values: np.ndarray, N: int) -> Outcome:
    every = values[np.indices((k,) * N).reshape(N, -1)]  # all draws of N out of k numbers
    return Close(every.mean(axis=0).var(), values.var() / N)
