"""Dropout with a given mask: what is left of the numbers is scaled up, so that the mean stays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_boolean, check_range, check_real

Array = Float[np.ndarray, "*s"]
Mask = Bool[np.ndarray, "*s"]


def draw_kept(shape: tuple[int, ...], p: float, rng: np.random.Generator) -> Mask:
    """Draw which numbers are kept: each with probability 1 - p, on its own.

    Args:
        shape: the shape of the mask.
        p: the probability that a number is dropped.
        rng: where the randomness comes from; the same state gives the same mask.

    Returns:
        A boolean array; True means kept.

    Raises:
        ValueError: if p lies outside [0, 1].

    Examples:
        >>> draw_kept((6,), 0.5, np.random.default_rng(1))
        array([ True,  True, False,  True, False, False])
    """
    check_range("draw_kept", "p", p, 0.0, 1.0, ends="[]")
    return np.asarray(rng.random(shape) >= p)  # *s, eq. dro-mask


def dropout(x: Array, kept: Mask, p: float, *, inverted: bool = True) -> Array:
    r"""Set the numbers that are not kept to 0 and divide the others by 1 - p.

    .. math:: y_i = \frac{k_i}{1 - p}\, x_i, \qquad k_i \in \{0, 1\}

    Args:
        x: numbers of any shape.
        kept: of the shape of x; True means kept. `draw_kept` draws it.
        p: the probability that a number is dropped.
        inverted: whether to divide by 1 - p here. The standard form does not; at test time it
            multiplies by 1 - p instead, as `dropout_test` does.

    Returns:
        An array of the shape and dtype of x. With p = 1 it is 0 everywhere, not 0/0.

    Raises:
        ValueError: if p lies outside [0, 1], the shapes differ, or p is 1 and a number is kept.
        TypeError: if x holds no floating point numbers or kept is not boolean.

    Source:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014), "Dropout: A Simple Way
        to Prevent Neural Networks from Overfitting", JMLR 15.

    Examples:
        >>> dropout(np.array([3.0, 1.0, -2.0]), np.array([True, False, True]), 0.5)
        array([ 6.,  0., -4.])
    """
    return np.asarray(x * _factors("dropout", x, kept, p, inverted))  # *s, eq. dro-inverted


def dropout_vjp(v: Array, x: Array, kept: Mask, p: float, *, inverted: bool = True) -> Array:
    r"""Return the gradient of :math:`\langle v, \mathrm{dropout}(x)\rangle` at x: v, dropped alike.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input; only its shape and dtype matter, because dropout is linear in x.
        kept: the mask of the forward pass.
        p: as in `dropout`.
        inverted: as in `dropout`.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: as `dropout`, and if v and x differ in shape.
        TypeError: as `dropout`.

    Examples:
        >>> kept = np.array([True, False, True])
        >>> dropout_vjp(np.array([1.0, 10.0, 100.0]), np.zeros(3), kept, 0.75)
        array([  4.,   0., 400.])
    """
    check_same_shape("dropout_vjp", "v", v.shape, x.shape)
    factors = _factors("dropout_vjp", x, kept, p, inverted)
    return np.asarray(v * factors, x.dtype)  # *s, eq. dro-vjp


def dropout_test(x: Array, p: float, *, inverted: bool = True) -> Array:
    r"""Return what dropout gives at test time: x, or (1 - p) x in the standard form.

    Args:
        x: numbers of any shape.
        p: as in `dropout`.
        inverted: as in `dropout`.

    Returns:
        An array of the shape and dtype of x; for the inverted form it is x itself.

    Raises:
        ValueError: if p lies outside [0, 1].
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> dropout_test(np.array([3.0, 1.0]), 0.5, inverted=False)
        array([1.5, 0.5])
    """
    check_real("dropout_test", "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_range("dropout_test", "p", p, 0.0, 1.0, ends="[]")
    return (
        x if inverted else np.asarray(x * np.asarray(1 - p, x.dtype))
    )  # *s, eq. dro-standard-test


def _factors(who: str, x: Array, kept: Mask, p: float, inverted: bool) -> Array:
    """Return k / (1 - p), or k for the standard form, in the dtype of x."""
    check_real(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_range(who, "p", p, 0.0, 1.0, ends="[]")
    check_boolean(who, "kept", kept.dtype, kept.dtype == np.bool_)
    check_same_shape(who, "kept", kept.shape, x.shape)
    if p == 1 and kept.any():
        raise ValueError(
            f"{who}: a number is kept although p=1 drops every number; give a mask of False only, "
            "or p < 1."
        )
    scale = 1 / (1 - p) if inverted and p < 1 else 1.0
    return np.asarray(kept * np.asarray(scale, x.dtype))
