"""Losses of regression: squared and absolute error, Huber, and how terms become one number."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_choice, check_floating, check_range, check_some

Array = Float[np.ndarray, "..."]
Terms = Array | np.floating
"""Numbers with axes, or one number: what NumPy makes of a sum over the only axis."""
Reduction = Literal["none", "mean", "sum"]
REDUCTIONS = ("none", "mean", "sum")


def wide(x: Array) -> Array:
    """Return float16 as float32 and everything else as it is."""
    return x.astype(np.promote_types(x.dtype, np.float32), copy=False)


def reduce_terms(who: str, terms: Terms, reduction: str, divisor: float | None = None) -> Array:
    """Return the terms, their sum, or their sum over a divisor, by default their number.

    Args:
        who: the function that complains.
        terms: the losses of the single numbers.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        divisor: what a mean divides by; None means the number of terms.

    Returns:
        An array of the shape of terms, or one without axes.

    Raises:
        ValueError: if reduction is another word, or a mean is to be taken of nothing.

    Examples:
        >>> reduce_terms("f", np.array([1.0, 5.0]), "mean")
        array(3.)
    """
    check_choice(who, "reduction", reduction, REDUCTIONS)
    if reduction == "none":
        return np.asarray(terms)
    total = np.asarray(terms.sum(), terms.dtype)
    if reduction == "sum":
        return total  # eq. loss-sum
    check_some(who, terms.size)
    return np.asarray(total / (terms.size if divisor is None else divisor))  # eq. loss-mean


def spread(v: Array, shape: tuple[int, ...], reduction: str, divisor: float | None = None) -> Array:
    """Return the gradient at each term: the vjp of `reduce_terms`."""
    if reduction == "none":
        return v
    count = max(1, int(np.prod(shape))) if divisor is None else divisor
    return np.broadcast_to(v / count if reduction == "mean" else v, shape)


def _error(who: str, x: Array, y: Array, reduction: str) -> Array:
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_same_shape(who, "y", y.shape, x.shape)
    return wide(x) - wide(y)  # *s


def _pull(v: Array, slope: Array, x: Array, reduction: str) -> tuple[Array, Array]:
    """Return the gradients at x and y of a loss of x - y with that slope."""
    grad = spread(wide(np.asarray(v)), slope.shape, reduction) * slope
    return grad.astype(x.dtype), (-grad).astype(x.dtype)


def mse(x: Array, y: Array, reduction: Reduction = "mean") -> Array:
    r"""Return the squared errors, their mean or their sum.

    .. math:: \ell(e) = e^2, \qquad e = x - y

    Args:
        x: predictions, of any shape.
        y: targets, of the shape of x; nothing is broadcast.
        reduction: ``"none"``, ``"mean"`` over all numbers, or ``"sum"``.

    Returns:
        An array of the shape of x, or one without axes; the dtype of x.

    Raises:
        ValueError: if the shapes differ, reduction is another word, or a mean has no numbers.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> mse(np.array([1.0, 5.0]), np.array([0.0, 2.0]))
        array(5.)
    """
    terms = _error("mse", x, y, reduction) ** 2  # *s, eq. loss-mse
    return reduce_terms("mse", terms, reduction).astype(x.dtype)


def mse_vjp(v: Array, x: Array, y: Array, reduction: Reduction = "mean") -> tuple[Array, Array]:
    """Return the gradients of <v, mse(x, y)> at x and y."""
    e = _error("mse_vjp", x, y, reduction)
    return _pull(v, 2 * e, x, reduction)  # *s, eq. loss-mse


def l1(x: Array, y: Array, reduction: Reduction = "mean") -> Array:
    r"""Return the absolute errors :math:`|x - y|`, their mean or their sum; see `mse`.

    Examples:
        >>> l1(np.array([1.0, 5.0]), np.array([0.0, 2.0]))
        array(2.)
    """
    terms = np.abs(_error("l1", x, y, reduction))  # *s, eq. loss-l1
    return reduce_terms("l1", terms, reduction).astype(x.dtype)


def l1_vjp(v: Array, x: Array, y: Array, reduction: Reduction = "mean") -> tuple[Array, Array]:
    """Return the gradients of <v, l1(x, y)> at x and y; where x = y it is 0, as in PyTorch."""
    e = _error("l1_vjp", x, y, reduction)
    return _pull(v, np.sign(e), x, reduction)  # *s, eq. loss-l1


def huber(x: Array, y: Array, delta: float = 1.0, reduction: Reduction = "mean") -> Array:
    r"""Return half the square of small errors and a straight line for large ones.

    .. math:: \ell_\delta(e) = c \, (e - c/2), \qquad c = \max(-\delta, \min(\delta, e))

    Args:
        x: predictions, of any shape.
        y: targets, of the shape of x.
        delta: the error at which the line begins, positive.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        An array of the shape of x, or one without axes; the dtype of x.

    Raises:
        ValueError: as `mse`, and if delta is not positive.
        TypeError: if x holds no floating point numbers.

    Source:
        Huber (1964), "Robust Estimation of a Location Parameter", Annals of Mathematical
        Statistics 35.

    Examples:
        >>> huber(np.array([1.0, 5.0]), np.array([0.0, 2.0]), delta=2.0, reduction="none")
        array([0.5, 4. ])
    """
    check_range("huber", "delta", delta, 0.0, ends="()")
    e = _error("huber", x, y, reduction)
    c = np.clip(e, -delta, delta)  # *s, eq. loss-clip
    return reduce_terms("huber", c * (e - c / 2), reduction).astype(x.dtype)  # *s, eq. loss-huber


def huber_vjp(
    v: Array, x: Array, y: Array, delta: float = 1.0, reduction: Reduction = "mean"
) -> tuple[Array, Array]:
    """Return the gradients of <v, huber(x, y)> at x and y: the error, clipped."""
    check_range("huber_vjp", "delta", delta, 0.0, ends="()")
    e = _error("huber_vjp", x, y, reduction)
    return _pull(v, np.clip(e, -delta, delta), x, reduction)  # *s, eq. loss-clip


def smooth_l1(x: Array, y: Array, beta: float = 1.0, reduction: Reduction = "mean") -> Array:
    r"""Return :math:`\ell_\beta(e) / \beta`, Huber's loss with slopes of size 1; beta = 0 is `l1`.

    Examples:
        >>> smooth_l1(np.array([1.0, 5.0]), np.array([0.0, 2.0]), beta=2.0, reduction="none")
        array([0.25, 2.  ])
    """
    check_range("smooth_l1", "beta", beta, 0.0)
    if beta == 0:
        return l1(x, y, reduction)
    e = _error("smooth_l1", x, y, reduction)
    c = np.clip(e, -beta, beta) / beta  # *s, eq. loss-clip
    terms = c * (e - beta * c / 2)  # *s, eq. loss-smooth
    return reduce_terms("smooth_l1", terms, reduction).astype(x.dtype)


def smooth_l1_vjp(
    v: Array, x: Array, y: Array, beta: float = 1.0, reduction: Reduction = "mean"
) -> tuple[Array, Array]:
    """Return the gradients of <v, smooth_l1(x, y)> at x and y."""
    check_range("smooth_l1_vjp", "beta", beta, 0.0)
    if beta == 0:
        return l1_vjp(v, x, y, reduction)
    e = _error("smooth_l1_vjp", x, y, reduction)
    return _pull(v, np.clip(e, -beta, beta) / beta, x, reduction)  # *s, eq. loss-smooth
