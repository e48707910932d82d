"""Batch normalization: each channel is centred and divided by its spread over the batch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nnbook._check.normalization import check_spread, check_values
from nnbook._check.shapes import check_channels, check_same_shape
from nnbook._check.values import check_floating, check_range

from ._precision import wide as _wide

Array = Float[np.ndarray, "..."]
Batch = Float[np.ndarray, "n c *s"]
Channels = Float[np.ndarray, " c"]
PerChannel = Channels | None


def bn_s(x: Batch, eps: float = 0.0) -> Batch:
    r"""Centre each channel and divide it by its standard deviation over the batch.

    .. math:: u_{nci} = (x_{nci} - \mu_c) / \sqrt{\sigma_c^2 + \varepsilon}

    Mean and biased variance are taken over the samples and over all positions, so that the samples
    of a batch are mixed. float16 is computed in float32.

    Args:
        x: a batch of shape ``(n, c, *s)``; s may be empty.
        eps: added to the variance, in the units of x squared.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if x has fewer than two axes or no values in a channel, if eps is negative, or
            if eps is 0 and a channel is constant.
        TypeError: if x holds no floating point numbers.

    Source:
        Ioffe and Szegedy (2015), "Batch Normalization", arXiv:1502.03167.

    Examples:
        >>> bn_s(np.array([[3.0, 1.0], [5.0, 9.0]]))
        array([[-1., -1.],
               [ 1.,  1.]])
    """
    centred, sigma = _centre("bn_s", x, eps)
    return (centred / sigma).astype(x.dtype)  # n c *s, eq. bn-s


def _centre(who: str, x: Array, eps: float) -> tuple[Array, Array]:
    """Return x less its mean, and the root of its variance plus eps, in at least float32."""
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_range(who, "eps", eps, 0.0)
    check_channels(who, "x", x.shape)
    check_values(who, "x", x.shape, least=1)
    wide, axes = _wide(x), _axes(x)
    mu = wide.mean(axis=axes, keepdims=True)  # 1 c *1, eq. bn-mean
    centred = wide - mu  # n c *s
    var = (centred**2).mean(axis=axes, keepdims=True)  # 1 c *1, eq. bn-var
    sigma = np.sqrt(var + np.asarray(eps, var.dtype))  # 1 c *1, eq. bn-sigma
    if eps == 0:
        first = x[(slice(0, 1), slice(None), *(slice(0, 1),) * (x.ndim - 2))]
        varied = (x != first).any(axis=axes) & (sigma.reshape(-1) != 0)
        check_spread(who, "x", ~varied, "channel")
    return centred, sigma


def _axes(x: Array) -> tuple[int, ...]:
    """Return all axes but that of the channels."""
    return (0, *range(2, x.ndim))


def _per(values: Array, x: Array) -> Array:
    """Give one number per channel the axes of x."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def bn_s_vjp(v: Batch, x: Batch, eps: float = 0.0) -> Batch:
    r"""Return the gradient of :math:`\langle v, \mathrm{bn\_s}(x)\rangle` at x.

    .. math:: g = (v - \bar v - u\, \overline{v u}) / \sqrt{\sigma^2 + \varepsilon}

    The bars are means over one channel of the whole batch. The Jacobian is symmetric, so this is
    also the directional derivative along v.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        eps: as in `bn_s`.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: as `bn_s`, and if v and x differ in shape.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> bn_s_vjp(np.array([[1.0], [0.0], [0.0]]), np.array([[1.0], [2.0], [4.0]])).round(4)
        array([[ 0.2291],
               [-0.3436],
               [ 0.1145]])
    """
    check_same_shape("bn_s_vjp", "v", v.shape, x.shape)
    centred, sigma = _centre("bn_s_vjp", x, eps)
    u, axes = centred / sigma, _axes(x)
    across = v - v.mean(axis=axes, keepdims=True)  # n c *s
    along = (v * u).mean(axis=axes, keepdims=True)  # 1 c *1
    return ((across - u * along) / sigma).astype(x.dtype)  # n c *s, eq. bn-jacobian


def batch_norm(
    x: Batch, gamma: PerChannel = None, beta: PerChannel = None, *, eps: float = 1e-5
) -> Batch:
    r"""Normalize each channel with the statistics of this batch, then scale and shift.

    .. math:: y = \beta + \gamma \odot \mathrm{bn\_s}(x)

    Args:
        x: a batch of shape ``(n, c, *s)``.
        gamma: scale of each channel, shape (c,); None means 1.
        beta: shift of each channel, shape (c,); None means 0.
        eps: added to the variance, in the units of x squared.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if gamma or beta does not fit axis 1 of x, if a channel holds fewer than two
            values, if eps is negative, or if eps is 0 and a channel is constant.
        TypeError: if x holds no floating point numbers.

    Source:
        Ioffe and Szegedy (2015), "Batch Normalization", arXiv:1502.03167.

    Examples:
        >>> x = np.array([[3.0, 1.0], [5.0, 9.0]])
        >>> batch_norm(x, np.array([1.0, 2.0]), np.array([0.0, 10.0]), eps=0.0)
        array([[-1.,  8.],
               [ 1., 12.]])
    """
    _check_affine("batch_norm", x, gamma, beta)
    check_values("batch_norm", "x", x.shape, least=2)
    return _affine(bn_s(_wide(x), eps), gamma, beta).astype(x.dtype)  # n c *s, eq. bn-full


def _check_affine(who: str, x: Batch, gamma: PerChannel, beta: PerChannel) -> None:
    check_channels(who, "x", x.shape)
    for name, value in (("gamma", gamma), ("beta", beta)):
        if value is not None:
            check_same_shape(who, name, value.shape, x.shape[1:2])


def _affine(u: Batch, gamma: PerChannel, beta: PerChannel) -> Batch:
    y = u if gamma is None else _per(gamma, u) * u
    return y if beta is None else _per(beta, u) + y


def batch_norm_vjp(
    v: Batch,
    x: Batch,
    gamma: PerChannel = None,
    beta: PerChannel = None,
    *,
    eps: float = 1e-5,
) -> tuple[Batch, PerChannel, PerChannel]:
    r"""Return the gradients of :math:`\langle v, \mathrm{batch\_norm}(x)\rangle`.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        gamma: as in `batch_norm`.
        beta: as in `batch_norm`; only its shape matters.
        eps: as in `batch_norm`.

    Returns:
        The gradients at x, gamma and beta; None for a gamma or beta that is None.

    Raises:
        ValueError: as `batch_norm`, and if v and x differ in shape.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> v, x = np.array([[1.0], [5.0]]), np.array([[3.0], [1.0]])
        >>> batch_norm_vjp(v, x, np.ones(1), np.zeros(1), eps=0.0)[1:]
        (array([-4.]), array([6.]))
    """
    who = "batch_norm_vjp"
    check_same_shape(who, "v", v.shape, x.shape)
    _check_affine(who, x, gamma, beta)
    check_values(who, "x", x.shape, least=2)
    v, wide, axes = _wide(v), _wide(x), _axes(x)
    q = v if gamma is None else _per(gamma, x) * v  # n c *s, eq. bn-q
    grad_x = bn_s_vjp(q, wide, eps).astype(x.dtype)  # n c *s, eq. bn-backward-x
    at_gamma, at_beta = (v * bn_s(wide, eps)).sum(axes), v.sum(axes)  # c, eq. bn-backward-affine
    return (
        grad_x,
        None if gamma is None else at_gamma.astype(gamma.dtype),
        None if beta is None else at_beta.astype(beta.dtype),
    )
