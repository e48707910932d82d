"""Scaled dot-product attention: masks, shared heads, precision, and the switch to torch's kernel.

How it is computed, a block of rows at a time, is in a file of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from nnbook._check.attention import check_attention_shapes, check_head_groups, check_mask
from nnbook._check.shapes import check_broadcastable
from nnbook._check.values import check_floating, check_range, check_same_dtype

from ._attention_blocks import attend, weights
from ._attention_blocks import causal_mask as causal_mask
from ._precision import wide as _wide

AnyShape = Float[Tensor, "..."]
Maybe = Tensor | None

_fused: ContextVar[bool] = ContextVar("fused_attention", default=False)


@contextmanager
def fused_attention(on: bool = True) -> Iterator[None]:
    """Let attention inside the ``with`` block call the fused kernel of torch.

    The values and gradients are the same up to rounding; what changes is the time. Dropout draws
    other numbers, and second derivatives are those that the kernel has: none on some machines.

    Args:
        on: False goes back to the products of the book inside an outer block.

    Yields:
        Nothing.

    Examples:
        >>> import torch
        >>> from nnbook import nn
        >>> q, k, v = torch.randn(3, 2, 7, 4)
        >>> with nn.fused_attention():
        ...     y = nn.scaled_dot_product_attention(q, k, v)
        >>> torch.allclose(y, nn.scaled_dot_product_attention(q, k, v), atol=1e-6)
        True
    """
    token = _fused.set(on)
    try:
        yield
    finally:
        _fused.reset(token)


def as_bias(mask: Maybe, like: Tensor) -> Any:
    """Return a mask as numbers that are added to scores: minus infinity where it is False."""
    if mask is None or mask.dtype != torch.bool:
        return mask if mask is None else mask.to(like.dtype)
    zeros = torch.zeros(mask.shape, dtype=like.dtype, device=mask.device)
    return zeros.masked_fill(~mask, -math.inf)


def scaled_dot_product_attention(
    query: AnyShape,
    key: AnyShape,
    value: AnyShape,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> AnyShape:
    r"""Average the values, for each query with its own weights.

    .. math:: Y = \mathrm{softmax}\big(c\, Q K^\top + M\big)\, V

    The arguments and their meaning are those of
    ``torch.nn.functional.scaled_dot_product_attention``. The scores are computed in blocks of rows,
    with the keys after the last row of a block left out if ``is_causal``, and computed again in the
    backward pass: the memory grows with the number of keys, not with its square. A second
    derivative, forward mode and the gradient at a mask keep all weights; so does dropout.
    `torch.func` works, ``torch.autograd.grad(..., is_grads_batched=True)`` does not. float16 and
    bfloat16 are computed in float32. `fused_attention` switches to the kernel of torch.

    Args:
        query: one row per query, ``(*, n_q, d_k)``.
        key: one row per key, ``(*, n_k, d_k)``.
        value: one row per key, ``(*, n_k, d_v)``.
        attn_mask: boolean, True where attention is allowed, or of the type of the query and added
            to the scores; broadcast to ``(*, n_q, n_k)``.
        dropout_p: the probability with which a weight is set to 0 and the others are scaled up.
            It is applied whenever it is not 0: a function knows no eval mode.
        is_causal: let query i attend to the keys 0 to i only, also where there are more keys than
            queries.
        scale: the factor c; None means one over the root of d_k.
        enable_gqa: let several heads of the query share one of key and value; heads are on the
            third axis from the end.

    Returns:
        A tensor of shape ``(*, n_q, d_v)``; zeros where a query may attend to nothing.

    Raises:
        ValueError: if the shapes do not fit, or dropout_p lies outside [0, 1].
        TypeError: if the types differ, or are not real floating point numbers.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", arXiv:1706.03762.

    Examples:
        >>> q, k = torch.tensor([[0.0, 9.0]]), torch.tensor([[9.0, 0.0], [0.0, 9.0]])
        >>> scaled_dot_product_attention(q, k, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[3., 4.]])
    """
    who = "scaled_dot_product_attention"
    query, key, value = (_mixed(t) for t in (query, key, value))
    _check(who, query, key, value, enable_gqa)
    check_range(who, "dropout_p", dropout_p, 0.0, 1.0, ends="[]")
    if attn_mask is not None:
        _check_mask(who, attn_mask, query, key, enable_gqa)
    past = 0 if is_causal else None
    return attend_after(query, key, value, attn_mask, dropout_p, past, scale, enable_gqa)


def attend_after(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Maybe = None,
    dropout_p: float = 0.0,
    past: int | None = None,
    scale: float | None = None,
    grouped: bool = False,
) -> Tensor:
    """Attend without checks; with ``past``, query i sees the keys 0 to ``past + i``."""
    if _fused.get():
        return _kernel(query, key, value, mask, dropout_p, past, scale, grouped)
    if grouped:
        key, value = (_repeat_heads(t, query.shape[-3]) for t in (key, value))
    c = 1 / math.sqrt(max(query.shape[-1], 1)) if scale is None else scale  # eq. att-scale
    q, k, v = map(_wide, (query, key, value))
    with _full_precision(q):
        bias = as_bias(mask, q)
        if dropout_p == 0:
            y = attend(q, k, v, bias, c, past)
        else:
            y = functional.dropout(weights(q, k, bias, c, past), dropout_p) @ v
    return y.to(query.dtype)


def _kernel(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Maybe,
    dropout_p: float,
    past: int | None,
    scale: float | None,
    grouped: bool,
) -> Tensor:
    """Call the fused kernel of torch, which knows no past."""
    if past is not None and (past != 0 or mask is not None):
        order = causal_mask(query.shape[-2], key.shape[-2], past, query.device)
        mask = order if mask is None else as_bias(mask, query)
        mask = order if mask is order else mask + as_bias(order, query)
        past = None
    kernel = functional.scaled_dot_product_attention
    return kernel(query, key, value, mask, dropout_p, past == 0, scale=scale, enable_gqa=grouped)


def _check(who: str, query: Tensor, key: Tensor, value: Tensor, grouped: bool) -> None:
    named = {"query": query, "key": key, "value": value}
    for name, t in named.items():
        check_floating(who, name, t.dtype, t.dtype.is_floating_point)
    check_same_dtype(who, {name: t.dtype for name, t in named.items()})
    q, k, v = (tuple(t.shape) for t in named.values())
    if grouped and min(len(q), len(k), len(v)) >= 3:
        for shape in (k, v):
            check_head_groups(who, q[-3], shape[-3])
        q, k, v = ((*s[:-3], *s[-2:]) for s in (q, k, v))
    check_attention_shapes(who, q, k, v, names=("query", "key", "value"))


def _check_mask(who: str, mask: Tensor, query: Tensor, key: Tensor, grouped: bool) -> None:
    allowed = (torch.bool, torch.float32, query.dtype)
    check_mask(who, "attn_mask", mask.dtype, mask.dtype in allowed)
    axes = -3 if grouped else -2  # the heads of the keys are repeated for those of the queries
    front = torch.broadcast_shapes(query.shape[:axes], key.shape[:axes])
    scores = (*front, *query.shape[axes:-2], query.shape[-2], key.shape[-2])
    check_broadcastable(who, "attn_mask", tuple(mask.shape), scores)


def _repeat_heads(t: Tensor, heads: int) -> Tensor:
    """Repeat each head of keys or values for the heads of queries that share it."""
    if t.shape[-3] in (1, heads):  # one head for all is broadcast
        return t
    return t.repeat_interleave(heads // t.shape[-3], dim=-3)


def _mixed(t: Tensor) -> Tensor:
    """Inside ``torch.autocast``, give t the type of that block, as torch does."""
    kind = t.device.type
    if t.dtype == torch.float64 or not torch.is_autocast_enabled(kind):
        return t
    return t.to(torch.get_autocast_dtype(kind))


def _full_precision(t: Tensor) -> torch.autocast:
    """Switch autocast off: inside, half precision has been made float32 on purpose."""
    return torch.autocast(t.device.type, enabled=False)
