"""Several attentions side by side on projections of the same input, and their counts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nnbook._check.attention import check_head_groups, check_heads
from nnbook._check.shapes import check_last_axis
from nnbook._check.values import check_count

from .attention import Mask, Number, _sum_to, attention, attention_vjp
from .linear import mm, mm_vjp

Array = np.ndarray


class Projections(NamedTuple):
    """The weights of multi-head attention, each a matrix (out, in), each with a bias or None.

    Attributes:
        W_q: from the input to the queries of all heads, (h d_k, d).
        W_k: to the keys, (h d_k, d_key), or fewer rows if heads share keys and values.
        W_v: to the values, (h d_v, d_value), or fewer rows.
        W_o: from the outputs of all heads side by side to the output, (d, h d_v).
        b_q: one number per row of W_q, or None.
        b_k: one number per row of W_k, or None.
        b_v: one number per row of W_v, or None.
        b_o: one number per row of W_o, or None.
    """

    W_q: Array
    W_k: Array
    W_v: Array
    W_o: Array
    b_q: Array | None = None
    b_k: Array | None = None
    b_v: Array | None = None
    b_o: Array | None = None


def split_heads(x: Array, heads: int) -> Array:
    """Cut each row into heads of the same length: ``(*, n, h e)`` becomes ``(*, h, n, e)``.

    Raises:
        ValueError: if the rows cannot be cut into so many equal heads.

    Examples:
        >>> split_heads(np.arange(8).reshape(2, 4), 2)[1]
        array([[2, 3],
               [6, 7]])
    """
    check_heads("split_heads", x.shape[-1], check_count("split_heads", "heads", heads), "rows of")
    parts = x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)  # *batch n h e
    return parts.swapaxes(-2, -3)  # *batch h n e, eq. mha-heads


def merge_heads(y: Array) -> Array:
    """Undo `split_heads`: put the rows of all heads side by side.

    Examples:
        >>> x = np.arange(12).reshape(2, 6)
        >>> np.array_equal(merge_heads(split_heads(x, 3)), x)
        True
    """
    rows = y.swapaxes(-2, -3)  # *batch n h e
    return rows.reshape(*rows.shape[:-2], rows.shape[-2] * rows.shape[-1])  # eq. mha-concat


def repeat_heads(x: Array, heads: int) -> Array:
    """Repeat each head of keys or values for the neighbouring heads of queries that share it.

    Raises:
        ValueError: if the heads cannot be shared equally.

    Examples:
        >>> repeat_heads(np.array([1, 2]).reshape(2, 1, 1), 4).ravel()
        array([1, 1, 2, 2])
    """
    check_head_groups("repeat_heads", heads, x.shape[-3])
    return np.repeat(x, heads // x.shape[-3], axis=-3)  # *batch h n e, eq. mha-grouped


def multi_head_attention(
    query: Array,
    key: Array,
    value: Array,
    weights: Projections,
    *,
    heads: int,
    kv_heads: int | None = None,
    mask: Mask = None,
    causal: bool = False,
    scale: Number = None,
) -> Array:
    r"""Attend with several heads, each with its own projections, and mix what they return.

    .. math:: Y = [H_1 \cdots H_h]\, W_o^\top, \qquad
        H_i = \mathrm{attention}(X_q W_{q,i}^\top, X_k W_{k,i}^\top, X_v W_{v,i}^\top)

    Args:
        query: what asks, ``(*, n_q, d)``.
        key: what is asked, ``(*, n_k, d_key)``; the same array as the query in self-attention.
        value: what is averaged, ``(*, n_k, d_value)``.
        weights: the projections.
        heads: h, the number of heads of the queries.
        kv_heads: the number of heads of keys and values; None means h. Fewer are shared.
        mask: True where attention is allowed, or numbers to add; broadcast to ``(*, h, n_q, n_k)``.
        causal: let query i attend to the keys 0 to i only.
        scale: the factor of the scores; None means one over the root of the length of a head's key.

    Returns:
        An array of shape ``(*, n_q, d)``.

    Raises:
        ValueError: if the shapes do not fit.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", arXiv:1706.03762.

    Examples:
        >>> x, eye = np.eye(2), np.eye(2)
        >>> multi_head_attention(x, x, x, Projections(eye, eye, eye, eye), heads=2).round(2)
        array([[0.73, 0.5 ],
               [0.5 , 0.73]])
    """
    heads_qkv = _project("multi_head_attention", query, key, value, weights, heads, kv_heads)
    q, k, v = (repeat_heads(t, heads) for t in heads_qkv)
    out = merge_heads(attention(q, k, v, mask=mask, causal=causal, scale=scale))
    return mm(out, weights.W_o, weights.b_o)  # *batch n_q d, eq. mha-output


def multi_head_attention_vjp(
    g: Array,
    query: Array,
    key: Array,
    value: Array,
    weights: Projections,
    *,
    heads: int,
    kv_heads: int | None = None,
    mask: Mask = None,
    causal: bool = False,
    scale: Number = None,
) -> tuple[Array, Array, Array, Projections]:
    r"""Return the gradients of :math:`\langle g, \mathrm{multi\_head\_attention}\rangle`.

    Args:
        g: the gradient at the output, of its shape.
        query: as in `multi_head_attention`.
        key: as there.
        value: as there.
        weights: as there.
        heads: as there.
        kv_heads: as there.
        mask: as there.
        causal: as there.
        scale: as there.

    Returns:
        The gradients at query, key, value and at the weights. In self-attention the gradient at the
        input is the sum of the first three.

    Raises:
        ValueError: as `multi_head_attention`.

    Examples:
        >>> x, eye = np.eye(2), np.eye(2)
        >>> grads = multi_head_attention_vjp(x, x, x, x, Projections(eye, eye, eye, eye), heads=1)
        >>> grads[2].round(2)
        array([[0.67, 0.33],
               [0.33, 0.67]])
    """
    who = "multi_head_attention_vjp"
    shared = _project(who, query, key, value, weights, heads, kv_heads)
    q, k, v = (repeat_heads(t, heads) for t in shared)
    masks: dict[str, Any] = {"mask": mask, "causal": causal, "scale": scale}
    out = merge_heads(attention(q, k, v, **masks))
    at_out, at_W_o, *at_b_o = mm_vjp(g, out, weights.W_o, weights.b_o)
    at_heads = attention_vjp(split_heads(at_out, heads), q, k, v, **masks)
    at_shared = [_share(t, like.shape[-3]) for t, like in zip(at_heads, shared, strict=True)]
    of_q, of_k, of_v = (
        mm_vjp(_match(merge_heads(at), x), x, W, b)
        for at, x, W, b in (
            (at_shared[0], query, weights.W_q, weights.b_q),
            (at_shared[1], key, weights.W_k, weights.b_k),
            (at_shared[2], value, weights.W_v, weights.b_v),
        )
    )
    biases = [None if not b else b[-1] for b in (of_q[2:], of_k[2:], of_v[2:], at_b_o)]
    at_weights = Projections(of_q[1], of_k[1], of_v[1], at_W_o, *biases)
    return of_q[0], of_k[0], of_v[0], at_weights


def _match(grad: Array, x: Array) -> Array:
    """Sum a gradient over the axes in front that x does not have."""
    return _sum_to(grad, np.broadcast_to(x[..., :1], (*x.shape[:-1], grad.shape[-1])))


def _share(grad: Array, groups: int) -> Array:
    """Add up the gradients of the heads that share one head of keys: the transpose of repeating."""
    split = grad.reshape(*grad.shape[:-3], groups, grad.shape[-3] // groups, *grad.shape[-2:])
    return split.sum(axis=-3)  # *batch groups n e, eq. mha-grouped


def _project(
    who: str, query: Array, key: Array, value: Array, w: Projections, heads: int, kv_heads: Any
) -> tuple[Array, Array, Array]:
    """Return queries, keys and values of each head."""
    groups = check_count(who, "heads", heads) if kv_heads is None else kv_heads
    check_head_groups(who, heads, check_count(who, "kv_heads", groups))
    for name, rows, count in (
        ("W_q", w.W_q, heads),
        ("W_k", w.W_k, groups),
        ("W_v", w.W_v, groups),
    ):
        check_heads(who, rows.shape[0], count, f"rows of {name}")
    check_last_axis(
        who, "W_o", w.W_o.shape, w.W_v.shape[0] * heads // groups, "values of all heads"
    )
    q = split_heads(mm(query, w.W_q, w.b_q), heads)  # *batch h n_q d_k, eq. mha-project
    k = split_heads(mm(key, w.W_k, w.b_k), groups)  # *batch groups n_k d_k, eq. mha-project
    v = split_heads(mm(value, w.W_v, w.b_v), groups)  # *batch groups n_k d_v, eq. mha-project
    return q, k, v


def heads_parameters(d: int, heads: int, kv_heads: int | None = None, *, bias: bool = True) -> int:
    r"""Return the number of parameters of multi-head attention with :math:`d_k = d_v = d/h`.

    .. math:: 2 d^2 + 2 d^2 \frac{g}{h} + 2 d + 2 d \frac{g}{h}

    Raises:
        ValueError: if d cannot be split into so many heads, or these cannot share keys equally.

    Examples:
        >>> heads_parameters(512, 8), heads_parameters(512, 1), heads_parameters(512, 8, 2)
        (1050624, 1050624, 656640)
    """
    groups = heads if kv_heads is None else kv_heads
    check_heads("heads_parameters", d, check_count("heads_parameters", "heads", heads), "d")
    check_head_groups("heads_parameters", heads, groups)
    shared = d // heads * groups
    weights = 2 * d * d + 2 * d * shared  # eq. mha-parameters
    return weights + (2 * d + 2 * shared if bias else 0)  # eq. mha-parameters


def attention_operations(n_q: int, n_k: int, d_k: int, d_v: int | None = None) -> int:
    r"""Return the multiplications of attention: for the scores, and for the averages.

    .. math:: n_q\, n_k\, d_k + n_q\, n_k\, d_v

    Examples:
        >>> attention_operations(10, 10, 64)
        12800
    """
    return n_q * n_k * (d_k + (d_k if d_v is None else d_v))  # eq. mha-cost
