"""Layer normalization: the numbers of each row are centred, divided by their spread, rescaled."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from nnbook._check.normalization import check_spread
from nnbook._check.shapes import check_last_axes, check_same_shape
from nnbook._check.values import check_floating, check_range

from ._precision import wide as _wide

Array = Float[np.ndarray, "..."]
Row = Float[np.ndarray, "*batch m"]
Affine = Float[np.ndarray, "..."] | float | None


def ln_s(z: Row, eps: float = 0.0) -> Row:
    r"""Centre each row and divide it by its standard deviation.

    .. math:: u_i = (z_i - \mu) / \sqrt{\sigma^2 + \varepsilon}

    The variance is the biased one, a mean of squares of centred numbers. The mean of squares less
    the square of the mean is the same on paper and loses every digit when the mean is large.
    float16 is computed in float32.

    Args:
        z: rows of m numbers.
        eps: added to the variance, in the units of z squared.

    Returns:
        An array of the shape and dtype of z.

    Raises:
        ValueError: if eps is negative, if m is 0, or if eps is 0 and a row is constant.
        TypeError: if z holds no floating point numbers.

    Source:
        Ba, Kiros and Hinton (2016), "Layer Normalization", arXiv:1607.06450.

    Examples:
        >>> ln_s(np.array([[3.0, 1.0], [-2.0, 5.0]]))
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    centred, sigma = _centre("ln_s", z, eps)
    return (centred / sigma).astype(z.dtype)  # *batch m, eq. ln-s


def _centre(who: str, z: Array, eps: float) -> tuple[Array, Array]:
    """Return z less its mean, and the root of its variance plus eps, in at least float32."""
    check_floating(who, "z", z.dtype, np.issubdtype(z.dtype, np.floating))
    check_range(who, "eps", eps, 0.0)
    check_last_axes(who, "z", z.shape, 1)
    wide = _wide(z)
    mu = wide.mean(axis=-1, keepdims=True)  # *batch 1, eq. ln-mean
    centred = wide - mu  # *batch m
    var = (centred**2).mean(axis=-1, keepdims=True)  # *batch 1, eq. ln-var
    sigma = np.sqrt(var + np.asarray(eps, var.dtype))  # *batch 1, eq. ln-sigma
    if eps == 0:
        varied = (z != z[..., :1]).any(axis=-1) & (sigma[..., 0] != 0)
        check_spread(who, "z", ~varied)
    return centred, sigma


def ln_s_vjp(v: Row, z: Row, eps: float = 0.0) -> Row:
    r"""Return the gradient of :math:`\langle v, \mathrm{ln\_s}(z)\rangle` at z.

    .. math:: g = (v - \bar v - u\, \overline{v u}) / \sqrt{\sigma^2 + \varepsilon}

    The Jacobian is symmetric, so this is also the directional derivative along v.

    Args:
        v: the gradient at the output, of the shape of z.
        z: the input.
        eps: as in `ln_s`.

    Returns:
        An array of the shape and dtype of z.

    Raises:
        ValueError: as `ln_s`, and if v and z differ in shape.
        TypeError: if z holds no floating point numbers.

    Examples:
        >>> ln_s_vjp(np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, 4.0])).round(4)
        array([ 0.2291, -0.3436,  0.1145])
    """
    check_same_shape("ln_s_vjp", "v", v.shape, z.shape)
    centred, sigma = _centre("ln_s_vjp", z, eps)
    u = centred / sigma
    across = v - v.mean(axis=-1, keepdims=True)  # *batch m
    along = (v * u).mean(axis=-1, keepdims=True)  # *batch 1
    return ((across - u * along) / sigma).astype(z.dtype)  # *batch m, eq. ln-vjp


def layer_norm(
    x: Array,
    gamma: Affine = None,
    beta: Affine = None,
    *,
    eps: float = 1e-5,
    axes: int | None = None,
) -> Array:
    r"""Normalize each sample over its last axes, then scale and shift.

    .. math:: y = \beta + \gamma \odot \mathrm{ln\_s}(x)

    Args:
        x: samples; the batch axes come first and are not mixed.
        gamma: scale, a number or an array of the shape of the last axes; None means 1.
        beta: shift, likewise; None means 0.
        eps: added to the variance, in the units of x squared.
        axes: how many of the last axes one mean and one variance are taken over; None means as
            many as gamma or beta has, and one if neither has any.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if gamma or beta does not fit the last axes of x, if one of these has no
            entries, if eps is negative, or if eps is 0 and a sample is constant.
        TypeError: if x holds no floating point numbers.

    Source:
        Ba, Kiros and Hinton (2016), "Layer Normalization", arXiv:1607.06450.

    Examples:
        >>> layer_norm(np.array([3.0, 1.0]), gamma=2.0, beta=np.array([0.0, 10.0]), eps=0.0)
        array([2., 8.])
    """
    count = _axes("layer_norm", x, gamma, beta, axes)
    u = _over(x, ln_s(_rows(_wide(x), count), eps))  # *batch *s
    y = u if gamma is None else gamma * u
    return (y if beta is None else beta + y).astype(x.dtype)  # *batch *s, eq. ln-full


def layer_norm_vjp(
    v: Array,
    x: Array,
    gamma: Affine = None,
    beta: Affine = None,
    *,
    eps: float = 1e-5,
    axes: int | None = None,
) -> tuple[Array, Array | None, Array | None]:
    r"""Return the gradients of :math:`\langle v, \mathrm{layer\_norm}(x)\rangle`.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        gamma: as in `layer_norm`.
        beta: as in `layer_norm`; only its shape matters.
        eps: as in `layer_norm`.
        axes: as in `layer_norm`.

    Returns:
        The gradients at x, gamma and beta, each of the shape of its array; None for a gamma or
        beta that is None.

    Raises:
        ValueError: as `layer_norm`, and if v and x differ in shape.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> layer_norm_vjp(np.array([1.0, 5.0]), np.array([3.0, 1.0]), 2.0, 0.0, eps=0.0)[1:]
        (array(-4.), array(6.))
    """
    who = "layer_norm_vjp"
    check_same_shape(who, "v", v.shape, x.shape)
    count = _axes(who, x, gamma, beta, axes)
    v, rows = _wide(v), _rows(_wide(x), count)
    u = _over(x, ln_s(rows, eps))
    q = v if gamma is None else gamma * v  # *batch *s, eq. ln-q
    grad_x = _over(x, ln_s_vjp(_rows(q, count), rows, eps))  # *batch *s, eq. ln-backward-x
    grads = _sum_to(v * u, gamma), _sum_to(v, beta)  # *s, eq. ln-backward-affine
    return grad_x.astype(x.dtype), *grads


def _axes(who: str, x: Array, gamma: Affine, beta: Affine, axes: int | None) -> int:
    """Return how many last axes are normalized, after checking that gamma and beta fit them."""
    count = max(1, np.ndim(_or_zero(gamma)), np.ndim(_or_zero(beta))) if axes is None else axes
    check_last_axes(who, "x", x.shape, count)
    for name, value in (("gamma", gamma), ("beta", beta)):
        if np.ndim(_or_zero(value)) > 0:
            check_same_shape(who, name, np.shape(_or_zero(value)), x.shape[-count:])
    return count


def _or_zero(value: Affine) -> Any:
    return 0.0 if value is None else value


def _rows(x: Array, axes: int) -> Array:
    """Put the last axes of x into one."""
    kept = x.shape[: x.ndim - axes]
    return x.reshape(*kept, int(np.prod(x.shape[x.ndim - axes :])))


def _over(x: Array, rows: Array) -> Array:
    """Undo `_rows`."""
    return rows.reshape(x.shape)


def _sum_to(terms: Array, value: Affine) -> Array | None:
    """Sum what reaches a broadcast gamma or beta, over every axis that it does not have."""
    if value is None:
        return None
    total = terms.sum(axis=tuple(range(terms.ndim - np.ndim(value))))
    return np.asarray(total, np.asarray(value).dtype if np.ndim(value) else terms.dtype)
