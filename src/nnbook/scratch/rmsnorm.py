"""Root-mean-square normalization: scale is taken out, the mean stays in."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nnbook._check.shapes import check_last_axes, check_same_shape
from nnbook._check.values import check_floating, check_nonzero, check_range

Array = Float[np.ndarray, "..."]


def rms_norm(x: Array, gamma: Array | None = None, *, eps: float = 1e-5, axes: int = 1) -> Array:
    r"""Divide each sample by its root mean square, then scale; nothing is centred.

    .. math:: y = \gamma \odot x / \sqrt{\overline{x^2} + \varepsilon}

    Args:
        x: samples; the batch axes come first and are not mixed.
        gamma: scale, of the shape of the last axes; None means 1.
        eps: added to the mean square, in the units of x squared.
        axes: how many of the last axes one root mean square is taken over.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if gamma does not fit the last axes of x, if these have no entries, if eps is
            negative, or if eps is 0 and a sample is zero.
        TypeError: if x holds no floating point numbers.

    Source:
        Zhang and Sennrich (2019), "Root Mean Square Layer Normalization", arXiv:1910.07467.

    Examples:
        >>> rms_norm(np.array([7.0, 1.0]), eps=0.0)
        array([1.4, 0.2])
    """
    wide, root = _root_mean_square("rms_norm", x, gamma, eps, axes)
    u = wide / root  # *batch *s, eq. rms-hat
    return (u if gamma is None else gamma * u).astype(x.dtype)  # *batch *s, eq. rms-full


def rms_norm_vjp(
    v: Array, x: Array, gamma: Array | None = None, *, eps: float = 1e-5, axes: int = 1
) -> tuple[Array, Array | None]:
    r"""Return the gradients of :math:`\langle v, \mathrm{rms\_norm}(x)\rangle`.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        gamma: as in `rms_norm`.
        eps: as in `rms_norm`.
        axes: as in `rms_norm`.

    Returns:
        The gradients at x and gamma; None for a gamma that is None.

    Raises:
        ValueError: as `rms_norm`, and if v and x differ in shape.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> rms_norm_vjp(np.array([1.0, 0.0]), np.array([7.0, 1.0]), eps=0.0)[0].round(3)
        array([ 0.004, -0.028])
    """
    check_same_shape("rms_norm_vjp", "v", v.shape, x.shape)
    wide, root = _root_mean_square("rms_norm_vjp", x, gamma, eps, axes)
    v, u = v.astype(wide.dtype, copy=False), wide / root
    q = v if gamma is None else gamma * v  # *batch *s, eq. rms-q
    along = (q * u).mean(axis=_last(axes), keepdims=True)  # *batch 1
    at_x = ((q - u * along) / root).astype(x.dtype)  # *batch *s, eq. rms-backward-x
    if gamma is None:
        return at_x, None
    at_gamma = (v * u).sum(axis=tuple(range(x.ndim - axes)))  # *s, eq. rms-backward-gamma
    return at_x, np.asarray(at_gamma, gamma.dtype)


def _root_mean_square(
    who: str, x: Array, gamma: Array | None, eps: float, axes: int
) -> tuple[Array, Array]:
    """Check everything and return x and its root mean square, in at least float32."""
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_range(who, "eps", eps, 0.0)
    check_last_axes(who, "x", x.shape, axes)
    if gamma is not None:
        check_same_shape(who, "gamma", gamma.shape, x.shape[-axes:])
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
    square = (wide**2).mean(axis=_last(axes), keepdims=True)  # *batch 1
    root = np.sqrt(square + np.asarray(eps, square.dtype))  # *batch 1, eq. rms-root
    check_nonzero(who, "x", bool((root == 0).any()))
    return wide, root


def _last(axes: int) -> tuple[int, ...]:
    return tuple(range(-axes, 0))
