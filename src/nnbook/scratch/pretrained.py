"""From the rows of a transformer to one vector of length 1 for each text."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from nnbook._check.attention import check_mask
from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_floating, check_range

from ._precision import wide as _wide

Rows = Float[np.ndarray, "*batch t d"]
Pooled = Float[np.ndarray, "*batch d"]
Mask = Bool[np.ndarray, "*batch t"]


def mean_pool(x: Rows, mask: Mask) -> Pooled:
    r"""Return the mean of the rows that are tokens; rows of padding do not count.

    .. math:: p = \frac{1}{\lvert M \rvert} \sum_{i \in M} x_i

    A text without a single token gives zeros. float16 is computed in float32.

    Args:
        x: one row for each position.
        mask: True where a position holds a token, False where it is padding.

    Returns:
        An array of the shape of x without its second to last axis, of the dtype of x.

    Raises:
        ValueError: if the mask does not have one entry per row.
        TypeError: if x holds no floating point numbers, or the mask no booleans.

    Source:
        Reimers and Gurevych (2019), "Sentence-BERT: Sentence Embeddings using Siamese
        BERT-Networks".

    Examples:
        >>> x = np.array([[1.0, 3.0], [3.0, 5.0], [99.0, 99.0]])
        >>> mean_pool(x, np.array([True, True, False]))
        array([2., 4.])
    """
    kept, count = _tokens("mean_pool", x, mask)
    total = np.where(kept, _wide(x), 0).sum(axis=-2)  # *batch d
    return (total / count).astype(x.dtype)  # *batch d, eq. pre-pool-mean


def _tokens(who: str, x: Rows, mask: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask, and the number of tokens, as columns; 1 in place of no token."""
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_same_shape(who, "mask", mask.shape, x.shape[:-1])
    check_mask(who, "mask", mask.dtype, mask.dtype == np.bool_)
    count = np.maximum(mask.sum(axis=-1, keepdims=True), 1).astype(_wide(x).dtype)
    return mask[..., None], count  # *batch t 1, *batch 1


def mean_pool_vjp(v: Pooled, x: Rows, mask: Mask) -> Rows:
    r"""Return the gradient of :math:`\langle v, \mathrm{mean\_pool}(x)\rangle` at x.

    Each token gets an equal share of v, padding gets zero.

    Args:
        v: the gradient at the output.
        x: the input.
        mask: as in `mean_pool`.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: as `mean_pool`, and if v does not have the shape of its output.
        TypeError: as `mean_pool`.

    Examples:
        >>> mean_pool_vjp(np.array([2.0]), np.ones((3, 1)), np.array([True, True, False]))
        array([[1.],
               [1.],
               [0.]])
    """
    kept, count = _tokens("mean_pool_vjp", x, mask)
    check_same_shape("mean_pool_vjp", "v", v.shape, (*x.shape[:-2], x.shape[-1]))
    share = (_wide(v) / count)[..., None, :]  # *batch 1 d
    return np.where(kept, share, 0).astype(x.dtype)  # *batch t d


def unit(x: Float[np.ndarray, ...], eps: float = 1e-12) -> Float[np.ndarray, ...]:
    r"""Divide each row by its length.

    .. math:: u = x / \max(\lVert x \rVert, \varepsilon)

    Args:
        x: rows.
        eps: rows shorter than this are divided by it, so that a row of zeros stays one.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if eps is not positive.
        TypeError: if x holds no floating point numbers.

    Examples:
        >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    return (_wide(x) / _length("unit", x, eps)).astype(x.dtype)  # *batch d, eq. pre-unit


def _length(who: str, x: Float[np.ndarray, ...], eps: float) -> np.ndarray:
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_range(who, "eps", eps, 0.0, ends="()")
    return np.maximum(np.linalg.norm(_wide(x), axis=-1, keepdims=True), eps)


def unit_vjp(
    v: Float[np.ndarray, ...], x: Float[np.ndarray, ...], eps: float = 1e-12
) -> Float[np.ndarray, ...]:
    r"""Return the gradient of :math:`\langle v, \mathrm{unit}(x)\rangle` at x.

    .. math:: g = (v - u \langle u, v \rangle) / \lVert x \rVert

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        eps: as in `unit`; for rows shorter than this the gradient is v over eps.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: as `unit`, and if v and x differ in shape.
        TypeError: as `unit`.

    Examples:
        >>> unit_vjp(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
        array([0.5, 0. ])
    """
    check_same_shape("unit_vjp", "v", v.shape, x.shape)
    length = _length("unit_vjp", x, eps)
    u, wide = _wide(x) / length, _wide(v)
    radial = np.where(length > eps, u * (u * wide).sum(axis=-1, keepdims=True), 0)
    return ((wide - radial) / length).astype(x.dtype)  # *batch d, eq. pre-unit-vjp
