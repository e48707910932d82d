"""Claims of the topic layernorm that are measured: float32 and the size of gradients."""

from __future__ import annotations

import numpy as np

from nnbook.claims import Close, Outcome, measured, refutation
from nnbook.claims.domains import Scalar, Vector
from nnbook.claims.layernorm import Array
from nnbook.scratch import layer_norm_vjp, ln_s


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


@measured(
    "ln-gain",
    says=r"$\LN$ makes a gradient larger where the spread is small: rows with $\hat\sigma$ near "
    r"$10^{-3}$ multiply its length by about $1/\sqrt{\hat\sigma^2 + \varepsilon}$, here "
    r"$\varepsilon = 10^{-5}$.",
    band=(250, 320),
    unit="factor",
)
def gain(seed: int) -> float:
    x, v = np.random.default_rng(seed).normal(size=(2, 256, 64))
    return float(np.linalg.norm(layer_norm_vjp(v, 1e-3 * x)[0]) / np.linalg.norm(v))
