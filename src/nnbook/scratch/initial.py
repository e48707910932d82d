"""Initial values: random weights of the two classical scales, for W of shape (n, m)."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from nnbook._check.values import check_choice, check_count

Mode = Literal["fan_in", "fan_out"]


def xavier_normal(
    rng: np.random.Generator, n: int, m: int, gain: float | int = 1.0, dtype: Any = np.float64
) -> Float[np.ndarray, "n m"]:
    r"""Draw W with normal entries of mean 0 and Xavier's variance.

    .. math:: \operatorname{Var} W_{ij} = g^2 \, \frac{2}{m + n}

    Args:
        rng: where the random numbers come from.
        n: number of outputs (fan out), the rows of W.
        m: number of inputs (fan in), the columns of W.
        gain: the factor g.
        dtype: the type of the result.

    Source:
        Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward
        neural networks"; there the uniform form is given.
    """
    std = gain * math.sqrt(2 / _xavier(n, m))  # eq. ini-xavier
    return (std * rng.standard_normal((n, m))).astype(dtype)


def xavier_uniform(
    rng: np.random.Generator, n: int, m: int, gain: float | int = 1.0, dtype: Any = np.float64
) -> Float[np.ndarray, "n m"]:
    r"""Draw W uniformly from an interval around 0, with the variance of `xavier_normal`.

    .. math:: W_{ij} \sim U(-a, a), \qquad a = g \sqrt{\frac{6}{m + n}}

    Args:
        rng: where the random numbers come from.
        n: number of outputs (fan out), the rows of W.
        m: number of inputs (fan in), the columns of W.
        gain: the factor g.
        dtype: the type of the result.

    Source:
        Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward
        neural networks".
    """
    bound = gain * math.sqrt(6 / _xavier(n, m))  # eq. ini-xavier
    return rng.uniform(-bound, bound, (n, m)).astype(dtype)


def he_normal(
    rng: np.random.Generator,
    n: int,
    m: int,
    *,
    negative_slope: float | int = 0.0,
    mode: Mode = "fan_in",
    dtype: Any = np.float64,
) -> Float[np.ndarray, "n m"]:
    r"""Draw W with normal entries of mean 0 and He's variance, made for (leaky) ReLU.

    .. math:: \operatorname{Var} W_{ij} = \frac{2}{(1 + s^2)\, m}

    Args:
        rng: where the random numbers come from.
        n: number of outputs, the rows of W.
        m: number of inputs, the columns of W.
        negative_slope: the slope s of the leaky ReLU that follows; 0 is ReLU.
        mode: "fan_in" keeps the mean square of the values, "fan_out" that of the gradients
            (n takes the place of m).
        dtype: the type of the result.

    Source:
        He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", arXiv:1502.01852.
    """
    fan = _fan("he_normal", n, m, mode)
    std = math.sqrt(2 / (1 + negative_slope**2) / fan)  # eq. ini-he
    return (std * rng.standard_normal((n, m))).astype(dtype)


def he_uniform(
    rng: np.random.Generator,
    n: int,
    m: int,
    *,
    negative_slope: float | int = 0.0,
    mode: Mode = "fan_in",
    dtype: Any = np.float64,
) -> Float[np.ndarray, "n m"]:
    r"""Draw W uniformly from an interval around 0, with the variance of `he_normal`.

    .. math:: W_{ij} \sim U(-a, a), \qquad a = \sqrt{\frac{6}{(1 + s^2)\, m}}

    Args:
        rng: where the random numbers come from.
        n: number of outputs, the rows of W.
        m: number of inputs, the columns of W.
        negative_slope: the slope s of the leaky ReLU that follows; 0 is ReLU.
        mode: "fan_in" or "fan_out", as for `he_normal`.
        dtype: the type of the result.

    Source:
        He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", arXiv:1502.01852.
    """
    fan = _fan("he_uniform", n, m, mode)
    bound = math.sqrt(6 / (1 + negative_slope**2) / fan)  # eq. ini-he
    return rng.uniform(-bound, bound, (n, m)).astype(dtype)


def _xavier(n: int, m: int) -> int:
    return check_count("xavier", "n", n) + check_count("xavier", "m", m)


def _fan(who: str, n: int, m: int, mode: str) -> int:
    check_choice(who, "mode", mode, ("fan_in", "fan_out"))
    fans = {"fan_in": check_count(who, "m", m), "fan_out": check_count(who, "n", n)}
    return fans[mode]
