"""Group and instance normalization: which numbers share one statistic."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from nnbook._check.normalization import check_maps, check_per_channel, check_positions
from nnbook._check.shapes import check_groups, check_same_shape
from nnbook._check.values import check_floating

from .layernorm import ln_s, ln_s_vjp

Array = Float[np.ndarray, "..."]
Maps = Float[np.ndarray, "n c *s"]
Channels = Float[np.ndarray, " c"] | None


def group_norm(
    x: Maps,
    gamma: Channels = None,
    beta: Channels = None,
    *,
    groups: int,
    eps: float = 1e-5,
) -> Maps:
    r"""Normalize each group of channels of each sample, then scale and shift each channel.

    .. math:: y_{nc} = \beta_c + \gamma_c (x_{nc} - \mu_{ng}) / \sqrt{\sigma^2_{ng} + \varepsilon}

    Mean and biased variance are taken over one sample's channels of one group and all their
    positions. A group that holds a single number gives beta, whatever the number is.

    Args:
        x: maps of shape ``(n, c, *s)``: samples, channels, any number of axes of positions.
        gamma: scale of each channel; None means 1.
        beta: shift of each channel; None means 0.
        groups: number of groups; it must divide c. Neighbouring channels share a group.
        eps: added to the variance, in the units of x squared.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if groups does not divide c, if gamma or beta does not have c entries, if there
            are no positions, if eps is negative, or if eps is 0 and a group is constant.
        TypeError: if x holds no floating point numbers.

    Source:
        Wu and He (2018), "Group Normalization", arXiv:1803.08494.

    Examples:
        >>> x = np.array([[[3.0], [1.0], [-2.0], [5.0]]])  # one sample, four channels of one number
        >>> group_norm(x, groups=2, eps=0.0)[0, :, 0]
        array([ 1., -1., -1.,  1.])
    """
    z = _grouped("group_norm", x, gamma, beta, groups)
    u = ln_s(z, eps).reshape(x.shape)  # n c *s, eq. gn-hat
    y = u if gamma is None else _per_channel(gamma, x) * u
    y = y if beta is None else _per_channel(beta, x) + y  # n c *s, eq. gn-affine
    return y.astype(x.dtype)


def group_norm_vjp(
    v: Maps,
    x: Maps,
    gamma: Channels = None,
    beta: Channels = None,
    *,
    groups: int,
    eps: float = 1e-5,
) -> tuple[Maps, Channels, Channels]:
    r"""Return the gradients of :math:`\langle v, \mathrm{group\_norm}(x)\rangle`.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        gamma: as in `group_norm`.
        beta: as in `group_norm`; its values do not matter.
        groups: as in `group_norm`.
        eps: as in `group_norm`.

    Returns:
        The gradients at x, gamma and beta; None for a gamma or beta that is None.

    Raises:
        ValueError: as `group_norm`, and if v and x differ in shape.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> x, v = np.array([[[3.0, 1.0]]]), np.array([[[1.0, 5.0]]])
        >>> group_norm_vjp(v, x, np.array([2.0]), np.array([0.0]), groups=1, eps=0.0)[1:]
        (array([-4.]), array([6.]))
    """
    check_same_shape("group_norm_vjp", "v", v.shape, x.shape)
    z = _grouped("group_norm_vjp", x, gamma, beta, groups)
    v = v.astype(z.dtype, copy=False)
    u = ln_s(z, eps).reshape(x.shape)
    q = v if gamma is None else _per_channel(gamma, x) * v  # n c *s, eq. gn-q
    at_x = ln_s_vjp(q.reshape(z.shape), z, eps).reshape(x.shape)  # n c *s, eq. gn-backward-x
    others = (0, *range(2, x.ndim))
    at_gamma, at_beta = (v * u).sum(axis=others), v.sum(axis=others)  # c, eq. gn-backward-affine
    return (
        at_x.astype(x.dtype),
        None if gamma is None else at_gamma.astype(gamma.dtype),
        None if beta is None else at_beta.astype(beta.dtype),
    )


def instance_norm(
    x: Maps, gamma: Channels = None, beta: Channels = None, *, eps: float = 1e-5
) -> Maps:
    r"""Normalize each channel of each sample over its positions: a group for every channel.

    Args:
        x: maps of shape ``(n, c, *s)``.
        gamma: scale of each channel; None means 1.
        beta: shift of each channel; None means 0.
        eps: added to the variance, in the units of x squared.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if a channel has one position only, as its output would be beta for every
            input, and as `group_norm`.
        TypeError: if x holds no floating point numbers.

    Source:
        Ulyanov, Vedaldi and Lempitsky (2016), "Instance Normalization: The Missing Ingredient for
        Fast Stylization", arXiv:1607.08022.

    Examples:
        >>> instance_norm(np.array([[[3.0, 1.0], [-2.0, 5.0]]]), eps=0.0)[0]
        array([[ 1., -1.],
               [-1.,  1.]])
    """
    _several_positions("instance_norm", x)
    return group_norm(x, gamma, beta, groups=x.shape[1], eps=eps)


def instance_norm_vjp(
    v: Maps, x: Maps, gamma: Channels = None, beta: Channels = None, *, eps: float = 1e-5
) -> tuple[Maps, Channels, Channels]:
    r"""Return the gradients of :math:`\langle v, \mathrm{instance\_norm}(x)\rangle`.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        gamma: as in `instance_norm`.
        beta: as in `instance_norm`; its values do not matter.
        eps: as in `instance_norm`.

    Returns:
        The gradients at x, gamma and beta; None for a gamma or beta that is None.

    Raises:
        ValueError: as `instance_norm`, and if v and x differ in shape.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> x, v = np.array([[[3.0, 1.0]]]), np.array([[[1.0, 5.0]]])
        >>> instance_norm_vjp(v, x, eps=0.0)[0].round(9) + 0.0
        array([[[0., 0.]]])
    """
    _several_positions("instance_norm_vjp", x)
    return group_norm_vjp(v, x, gamma, beta, groups=x.shape[1], eps=eps)


def _grouped(who: str, x: Maps, gamma: Channels, beta: Channels, groups: int) -> Array:
    """Check everything and return x with the numbers of a group on one axis, n g m."""
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_maps(who, "x", x.shape)
    check_groups(who, x.shape[1], groups)
    for name, value in (("gamma", gamma), ("beta", beta)):
        if value is not None:
            check_per_channel(who, name, value.shape, x.shape[1])
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    return wide.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)


def _per_channel(value: Array, x: Maps) -> Array:
    """Give one number per channel the axes that it needs to be spread over the maps."""
    return value.reshape(-1, *(1,) * (x.ndim - 2))


def _several_positions(who: str, x: Maps) -> None:
    check_maps(who, "x", x.shape)
    check_positions(who, x.shape)
