"""Attention whose heads share keys and values, with a cache, and how rows are cut into heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.attention import check_head_groups, check_heads
from nnbook._check.shapes import check_axes, check_last_axis
from nnbook._check.values import check_count, check_range

from .attention import attend_after
from .linear import Linear

AnyShape = Float[Tensor, "..."]
Cache = tuple[Tensor, Tensor]
Positions = Callable[[Tensor, int], Tensor]


def heads_of(x: Tensor, heads: int) -> Tensor:
    """Cut each row into heads: (B, n, h e) becomes (B, h, n, e)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # B h n e, eq. mha-heads


def concat(y: Tensor) -> Tensor:
    """Put the rows of all heads side by side."""
    return y.transpose(1, 2).flatten(2)  # B n (h e), eq. mha-concat


class GroupedQueryAttention(nn.Module):
    r"""Causal self-attention whose heads share keys and values in groups, with a cache of both.

    .. math:: H_i = \mathrm{attention}(q_i, k_j, v_j), \qquad j = \lfloor i g / h \rfloor

    With g = h this is multi-head attention, with g = 1 multi-query attention. Keys and values of
    what was read before are passed on, so that each new position costs one row of scores. Rows are
    (B, n, d). There is no such module in ``torch.nn``.

    Args:
        embed_dim: d, the length of the rows.
        num_heads: h, the heads of the queries; it must divide d.
        num_kv_heads: g, the heads of keys and values; it must divide h. None means h.
        bias: whether the projections have biases.
        dropout: the probability with which a weight of attention is set to 0 in training.
        positions: what is applied to the heads (B, heads, n, e) of queries and of keys, with the
            position of the first of them, such as a rotation; None means nothing.
        causal: whether a position may attend only to itself and what came before.
        device: where the parameters are made.
        dtype: their type.

    Shape:
        - Input: ``(B, n, d)``; the cache: keys and values, each ``(B, g, past, d / h)``
        - Output: ``(B, n, d)``; the new cache, with past + n positions

    Raises:
        ValueError: if the heads cannot be cut or shared equally.

    Source:
        Ainslie et al. (2023), "GQA: Training Generalized Multi-Query Transformer Models from
        Multi-Head Checkpoints", arXiv:2305.13245.

    Examples:
        >>> import torch
        >>> attend = GroupedQueryAttention(8, 4, 2)
        >>> x = torch.randn(1, 5, 8)
        >>> whole, _ = attend(x)
        >>> first, cache = attend(x[:, :3])
        >>> rest, cache = attend(x[:, 3:], cache)
        >>> torch.allclose(torch.cat([first, rest], 1), whole, atol=1e-6), cache[0].shape
        (True, torch.Size([1, 2, 5, 2]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        positions: Positions | None = None,
        causal: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "GroupedQueryAttention"
        d = self.embed_dim = check_count(who, "embed_dim", embed_dim)
        h = self.num_heads = check_count(who, "num_heads", num_heads)
        g = h if num_kv_heads is None else check_count(who, "num_kv_heads", num_kv_heads)
        check_heads(who, d, h)
        check_head_groups(who, h, g)
        check_range(who, "dropout", dropout, 0.0, 1.0, ends="[]")
        self.num_kv_heads, self.dropout, self.causal = g, dropout, causal
        self.positions = positions
        made: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        self.q_proj = Linear(d, d, **made)
        self.k_proj = Linear(d, d // h * g, **made)
        self.v_proj = Linear(d, d // h * g, **made)
        self.out_proj = Linear(d, d, **made)

    def forward(
        self, x: AnyShape, past: Cache | None = None, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, Cache]:
        """Attend to what was read before and to x.

        Args:
            x: rows of the next positions.
            past: the cache that the call before returned, or None at the start.
            attn_mask: True where attention is allowed, or numbers to add, broadcast to
                (B, h, n, past + n); in addition to the causal order.

        Returns:
            The output and the new cache.
        """
        who = "GroupedQueryAttention"
        check_axes(who, "x", tuple(x.shape), (3,))
        check_last_axis(who, "x", tuple(x.shape), self.embed_dim, "columns of the projections")
        q = heads_of(self.q_proj(x), self.num_heads)  # B h n e, eq. mha-project
        k = heads_of(self.k_proj(x), self.num_kv_heads)  # B g n e, eq. mha-project
        v = heads_of(self.v_proj(x), self.num_kv_heads)  # B g n e, eq. mha-project
        before = 0 if past is None else past[0].shape[2]
        if self.positions is not None:
            q, k = self.positions(q, before), self.positions(k, before)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)  # eq. mha-cache
        drop = self.dropout if self.training else 0.0
        order = before if self.causal else None
        y = attend_after(q, k, v, attn_mask, drop, order, grouped=True)
        return self.out_proj(concat(y)), (k, v)  # B n d, eq. mha-output

    def extra_repr(self) -> str:
        """Name the heads."""
        return f"{self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"
