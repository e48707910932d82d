"""Attention without the matrix of weights: keys and values arrive in blocks, as in FlashAttention.

What is known after some of the keys is a `Partial`: three numbers or vectors per query. Two of them
can be put together to what is known after the keys of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_count

from ._precision import wide as _wide
from .attention import (
    Keys,
    Mask,
    Number,
    Queries,
    Values,
    _check,
    _scale,
    _scores,
    _sum_to,
    causal_mask,
)

Array = np.ndarray


class Partial(NamedTuple):
    """What is known of each query after some of the keys.

    Attributes:
        top: the largest score so far, minus infinity before the first key.
        total: the sum of exp(score - top).
        mixed: the sum of exp(score - top) times the value.
    """

    top: Array
    total: Array
    mixed: Array


def partial(z: Array, v: Array) -> Partial:
    """Return what is known from the scores of some keys and their values.

    Args:
        z: scores, of shape ``(*batch, n_q, keys)``.
        v: the values of these keys, ``(*batch, keys, d_v)``.

    Returns:
        The top score and the two sums, with an axis of length 1 in place of the keys.

    Examples:
        >>> partial(np.array([[1.0, 1.0]]), np.array([[2.0], [4.0]]))
        Partial(top=array([[1.]]), total=array([[2.]]), mixed=array([[6.]]))
    """
    top = z.max(axis=-1, keepdims=True, initial=-np.inf)  # *batch n_q 1, eq. til-partial
    e = np.exp(z - _finite(top))  # *batch n_q keys
    return Partial(top, e.sum(axis=-1, keepdims=True), e @ v)  # eq. til-partial


def merge(a: Partial, b: Partial) -> Partial:
    """Put together what is known from two sets of keys without a common key.

    Args:
        a: what is known from the first.
        b: what is known from the second.

    Returns:
        What `partial` would return for the keys of both.

    Examples:
        >>> z, v = np.array([[5.0, 5.0]]), np.array([[2.0], [4.0]])
        >>> merge(partial(z[:, :1], v[:1]), partial(z[:, 1:], v[1:]))
        Partial(top=array([[5.]]), total=array([[2.]]), mixed=array([[6.]]))
    """
    top = np.maximum(a.top, b.top)  # *batch n_q 1, eq. til-top
    down_a, down_b = np.exp(a.top - _finite(top)), np.exp(b.top - _finite(top))  # eq. til-down
    total = down_a * a.total + down_b * b.total  # *batch n_q 1, eq. til-merge
    return Partial(top, total, down_a * a.mixed + down_b * b.mixed)  # eq. til-merge


def finish(known: Partial) -> tuple[Array, Array]:
    """Return the outputs, and the logarithm of the sum of exponentials of the scores.

    A query that has seen no key gets zeros and minus infinity.

    Args:
        known: what is known after all keys.

    Returns:
        The outputs, of the shape of ``known.mixed``, and one number per query, with its axis.

    Examples:
        >>> finish(partial(np.array([[0.0, 0.0]]), np.array([[2.0], [4.0]])))[0]
        array([[3.]])
    """
    seen = known.total > 0
    total = np.where(seen, known.total, 1)
    lse = np.where(seen, known.top + np.log(total), -np.inf)  # *batch n_q 1, eq. til-lse
    return known.mixed / total, lse.astype(known.top.dtype)  # *batch n_q d_v, eq. til-finish


def tiled_attention(
    q: Queries,
    k: Keys,
    v: Values,
    *,
    mask: Mask = None,
    causal: bool = False,
    scale: Number = None,
    block: int = 64,
) -> Any:
    r"""Do what `attention` does with a block of the scores at a time.

    Args:
        q: queries, one per row.
        k: keys, one per row, as long as the queries.
        v: values, one for each key.
        mask: as in `attention`.
        causal: let query i attend to the keys 0 to i only; blocks in which nothing is allowed are
            left out.
        scale: as in `attention`.
        block: how many queries, and how many keys, a block has.

    Returns:
        The output of `attention`, up to rounding.

    Raises:
        ValueError: if the shapes do not fit, or block is less than 1.
        TypeError: as `attention`.

    Source:
        Milakov and Gimelshein (2018), "Online normalizer calculation for softmax",
        arXiv:1805.02867; Dao et al. (2022), "FlashAttention", arXiv:2205.14135.

    Examples:
        >>> x = np.eye(3)
        >>> tiled_attention(x, x, x, causal=True, block=2).round(2)
        array([[1.  , 0.  , 0.  ],
               [0.36, 0.64, 0.  ],
               [0.26, 0.26, 0.47]])
    """
    _check("tiled_attention", q, k, v, mask)
    check_count("tiled_attention", "block", block)
    y, _ = _forward(_wide(q), _wide(k), _wide(v), mask, causal, scale, block)
    return y.astype(q.dtype)


def tiled_attention_vjp(
    g: Array,
    q: Queries,
    k: Keys,
    v: Values,
    *,
    mask: Mask = None,
    causal: bool = False,
    scale: Number = None,
    block: int = 64,
) -> tuple[Any, Any, Any]:
    r"""Return the gradients of :math:`\langle g, \mathrm{tiled\_attention}(q, k, v)\rangle`.

    Nothing of the size of the scores is kept: each block of weights is computed again, from the
    scores and one number per query, :math:`p_{ij} = e^{z_{ij} - L_i}`.

    Args:
        g: the gradient at the output, of its shape.
        q: queries, as in `tiled_attention`.
        k: keys.
        v: values.
        mask: as in `attention`.
        causal: as in `attention`.
        scale: as in `attention`.
        block: as in `tiled_attention`.

    Returns:
        The gradients at q, k and v, each of the shape of its array.

    Raises:
        ValueError: as `tiled_attention`, and if g has not the shape of the output.
        TypeError: as `attention`.

    Examples:
        >>> g, q, k, v = np.ones((1, 1)), np.zeros((1, 1)), np.ones((2, 1)), np.array([[0.], [2.]])
        >>> tiled_attention_vjp(g, q, k, v, block=1)[2].tolist()
        [[0.5], [0.5]]
    """
    _check("tiled_attention_vjp", q, k, v, mask)
    check_count("tiled_attention_vjp", "block", block)
    wide_q, wide_k, wide_v = _wide(q), _wide(k), _wide(v)
    y, lse = _forward(wide_q, wide_k, wide_v, mask, causal, scale, block)
    check_same_shape("tiled_attention_vjp", "g", g.shape, y.shape)
    g, c, front = _wide(g), _scale(scale, q), y.shape[:-2]
    mean = (g * y).sum(axis=-1, keepdims=True)  # *batch n_q 1, eq. til-mean
    at_q, at_k, at_v = (
        np.zeros((*front, *t.shape[-2:]), t.dtype) for t in (wide_q, wide_k, wide_v)
    )
    for i, j in _pairs(q.shape[-2], k.shape[-2], causal, block):
        z = _tile(wide_q, wide_k, mask, causal, scale, i, j)  # *batch rows keys
        p = np.exp(z - _finite(lse[..., i, :]))  # *batch rows keys, eq. til-again
        dp = g[..., i, :] @ wide_v[..., j, :].swapaxes(-1, -2)
        s = p * (dp - mean[..., i, :])  # *batch rows keys, eq. til-vjp
        at_v[..., j, :] += p.swapaxes(-1, -2) @ g[..., i, :]  # eq. til-vjp
        at_q[..., i, :] += c * (s @ wide_k[..., j, :])  # eq. til-vjp
        at_k[..., j, :] += c * (s.swapaxes(-1, -2) @ wide_q[..., i, :])  # eq. til-vjp
    return _sum_to(at_q, q), _sum_to(at_k, k), _sum_to(at_v, v)


def _forward(
    q: Any, k: Any, v: Any, mask: Mask, causal: bool, scale: Number, block: int
) -> tuple[Any, Any]:
    """Return the outputs and the logarithms of the sums of exponentials."""
    front = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    y = np.zeros((*front, q.shape[-2], v.shape[-1]), q.dtype)
    lse = np.full((*front, q.shape[-2], 1), -np.inf, q.dtype)
    for i in _steps(q.shape[-2], block):
        known = None
        for j in _steps(k.shape[-2], block, until=i.stop if causal else None):
            now = partial(_tile(q, k, mask, causal, scale, i, j), v[..., j, :])
            known = now if known is None else merge(known, now)
        if known is not None:
            y[..., i, :], lse[..., i, :] = finish(known)
    return y, lse


def _steps(length: int, block: int, until: int | None = None) -> list[slice]:
    """Return the blocks of an axis that start before ``until``."""
    starts = range(0, length if until is None else min(length, until), block)
    return [slice(start, min(start + block, length)) for start in starts]


def _pairs(queries: int, keys: int, causal: bool, block: int) -> Iterator[tuple[slice, slice]]:
    """Return the blocks of queries and keys between which something is allowed."""
    for i in _steps(queries, block):
        for j in _steps(keys, block, until=i.stop if causal else None):
            yield i, j


def _tile(q: Any, k: Any, mask: Mask, causal: bool, scale: Number, i: slice, j: slice) -> Any:
    """Return one block of the scores, minus infinity where attention is not allowed."""
    part = mask
    if mask is not None:
        grid = np.atleast_2d(mask)
        part = grid if grid.shape[-2] == 1 else grid[..., i, :]
        part = part if grid.shape[-1] == 1 else part[..., j]
    z = _scores(q[..., i, :], k[..., j, :], part, False, scale).astype(q.dtype)
    if causal and j.stop > i.start:  # the block crosses the diagonal
        z = np.where(causal_mask(*z.shape[-2:], past=i.start - j.start), z, -np.inf)
    return z.astype(q.dtype)


def _finite(top: Any) -> Any:
    """Return 0 in place of minus infinity, which cannot be taken off itself."""
    return np.where(top == -np.inf, 0, top).astype(top.dtype)
