"""Scaled dot-product attention: each query takes an average of the values, weighted by the keys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from nnbook._check.attention import check_attention_shapes, check_mask
from nnbook._check.shapes import check_broadcastable, check_same_shape
from nnbook._check.values import check_count, check_floating

from ._precision import wide as _wide

Queries = Float[np.ndarray, "*batch n_q d_k"]
Keys = Float[np.ndarray, "*batch_k n_k d_k"]
Values = Float[np.ndarray, "*batch_v n_k d_v"]
Weights = Float[np.ndarray, "*out n_q n_k"]
Mask = Shaped[np.ndarray, "..."] | None
Number = float | int | None


def causal_mask(queries: int, keys: int, past: int = 0) -> Bool[np.ndarray, "queries keys"]:
    """Return the mask in which query i may attend to the keys 0 to ``past + i``.

    Args:
        queries: the number of queries.
        keys: the number of keys.
        past: how many keys stand before that of the first query, as in a cache of keys.

    Returns:
        A boolean matrix, True where attention is allowed.

    Examples:
        >>> causal_mask(2, 4, past=2).astype(int)
        array([[1, 1, 1, 0],
               [1, 1, 1, 1]])
    """
    check_count("causal_mask", "queries", queries, least=0)
    check_count("causal_mask", "keys", keys, least=0)
    return np.tri(queries, keys, past, dtype=bool)


def attention_weights(
    q: Queries, k: Keys, *, mask: Mask = None, causal: bool = False, scale: Number = None
) -> Weights:
    r"""Return the weights of attention, one row of shares for each query.

    .. math:: P = \mathrm{softmax}\big(c\, Q K^\top + M\big)

    Args:
        q: queries, one per row.
        k: keys, one per row, as long as the queries.
        mask: True where attention is allowed, or numbers that are added to the scores; it is
            broadcast to the scores.
        causal: let query i attend to the keys 0 to i only.
        scale: the factor c; None means one over the root of the length of a key.

    Returns:
        Weights of shape ``(*batch, n_q, n_k)``. Each row adds up to 1, or is 0 if nothing is
        allowed.

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if q or k holds no floating point numbers, or the mask whole numbers.

    Examples:
        >>> attention_weights(np.zeros((1, 2)), np.ones((4, 2)), mask=np.array([1, 1, 0, 0]) > 0)
        array([[0.5, 0.5, 0. , 0. ]])
    """
    _check("attention_weights", q, k, k, mask)
    return _weights(_wide(q), _wide(k), mask, causal, scale).astype(q.dtype)


def attention(
    q: Queries,
    k: Keys,
    v: Values,
    *,
    mask: Mask = None,
    causal: bool = False,
    scale: Number = None,
) -> Float[np.ndarray, "*out n_q d_v"]:
    r"""Average the values, for each query with its own weights.

    .. math:: Y = \mathrm{softmax}\big(c\, Q K^\top + M\big)\, V

    Axes in front are a batch and are broadcast. float16 is computed in float32.

    Args:
        q: queries, one per row.
        k: keys, one per row, as long as the queries.
        v: values, one for each key.
        mask: True where attention is allowed, or numbers that are added to the scores; it is
            broadcast to the scores.
        causal: let query i attend to the keys 0 to i only.
        scale: the factor c; None means one over the root of the length of a key.

    Returns:
        One row of length d_v for each query; zeros where a query may attend to nothing.

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if q, k or v holds no floating point numbers, or the mask whole numbers.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", arXiv:1706.03762.

    Examples:
        >>> q, k = np.array([[0.0, 9.0]]), np.array([[9.0, 0.0], [0.0, 9.0]])
        >>> attention(q, k, np.array([[1.0, 2.0], [3.0, 4.0]])).round(3)
        array([[3., 4.]])
    """
    _check("attention", q, k, v, mask)
    p = _weights(_wide(q), _wide(k), mask, causal, scale)  # *batch n_q n_k
    return (p @ _wide(v)).astype(q.dtype)  # *batch n_q d_v, eq. att-output


def attention_vjp(
    g: Float[np.ndarray, "*out n_q d_v"],
    q: Queries,
    k: Keys,
    v: Values,
    *,
    mask: Mask = None,
    causal: bool = False,
    scale: Number = None,
) -> tuple[Queries, Keys, Values]:
    r"""Return the gradients of :math:`\langle g, \mathrm{attention}(q, k, v)\rangle`.

    .. math::
        \bar V = P^\top g, \qquad S = P \odot (g V^\top - m), \qquad
        \bar Q = c\, S K, \qquad \bar K = c\, S^\top Q

    with m the mean of each row of :math:`g V^\top` under the weights of that row.

    Args:
        g: the gradient at the output, of its shape.
        q: queries, as in `attention`.
        k: keys.
        v: values.
        mask: as in `attention`.
        causal: as in `attention`.
        scale: as in `attention`.

    Returns:
        The gradients at q, k and v, each of the shape of its array.

    Raises:
        ValueError: as `attention`, and if g has not the shape of the output.
        TypeError: as `attention`.

    Examples:
        >>> g, q, k, v = np.ones((1, 1)), np.zeros((1, 1)), np.ones((2, 1)), np.array([[0.], [2.]])
        >>> attention_vjp(g, q, k, v)[2].tolist()
        [[0.5], [0.5]]
    """
    _check("attention_vjp", q, k, v, mask)
    wide_q, wide_k, wide_v = _wide(q), _wide(k), _wide(v)
    p = _weights(wide_q, wide_k, mask, causal, scale)
    check_same_shape("attention_vjp", "g", g.shape, (*p.shape[:-1], v.shape[-1]))
    g, c = _wide(g), _scale(scale, q)
    at_v = p.swapaxes(-1, -2) @ g  # *batch n_k d_v, eq. att-vjp
    dp = g @ wide_v.swapaxes(-1, -2)  # *batch n_q n_k
    mean = (p * dp).sum(axis=-1, keepdims=True)  # *batch n_q 1, eq. att-vjp-mean
    s = p * (dp - mean)  # *batch n_q n_k, eq. att-vjp-z
    at_q, at_k = c * (s @ wide_k), c * (s.swapaxes(-1, -2) @ wide_q)  # eq. att-vjp
    return _sum_to(at_q, q), _sum_to(at_k, k), _sum_to(at_v, v)


def _check(who: str, q: Any, k: Any, v: Any, mask: Any) -> None:
    """Check the types and shapes that all functions here share."""
    for name, t in (("q", q), ("k", k), ("v", v)):
        check_floating(who, name, t.dtype, np.issubdtype(t.dtype, np.floating))
    check_attention_shapes(who, q.shape, k.shape, v.shape)
    if mask is not None:
        check_mask(who, "mask", mask.dtype, mask.dtype == bool or mask.dtype.kind == "f")
        front = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
        check_broadcastable(who, "mask", mask.shape, (*front, q.shape[-2], k.shape[-2]), least=0)


def _scale(scale: Number, q: Any) -> Any:
    """Return the factor of the scores, in the precision of q."""
    value = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale
    return _wide(q).dtype.type(value)  # eq. att-scale


def _scores(q: Any, k: Any, mask: Mask, causal: bool, scale: Number) -> Any:
    """Return the scores, minus infinity where attention is not allowed."""
    z = _scale(scale, q) * (q @ k.swapaxes(-1, -2))  # *batch n_q n_k, eq. att-scores
    if causal:
        z = np.where(causal_mask(*z.shape[-2:]), z, -np.inf)  # eq. att-causal
    if mask is None:
        return z
    return np.where(mask, z, -np.inf) if mask.dtype == bool else z + mask  # eq. att-masked


def _weights(q: Any, k: Any, mask: Mask, causal: bool, scale: Number) -> Any:
    z = _scores(q, k, mask, causal, scale).astype(q.dtype)
    top = z.max(axis=-1, keepdims=True, initial=-np.inf)  # *batch n_q 1
    e = np.exp(z - np.where(top == -np.inf, 0, top))  # *batch n_q n_k
    total = e.sum(axis=-1, keepdims=True)  # *batch n_q 1, 0 for an empty row
    return e / np.where(total == 0, 1, total)  # *batch n_q n_k, eqs. att-weights, att-empty


def _sum_to(grad: Any, like: Any) -> Any:
    """Sum over the axes along which an array was broadcast, and give it its shape and type."""
    grad = grad.sum(axis=tuple(range(grad.ndim - like.ndim)))
    repeated = tuple(i for i, n in enumerate(like.shape) if n == 1 != grad.shape[i])
    return grad.sum(axis=repeated, keepdims=True).astype(like.dtype)
