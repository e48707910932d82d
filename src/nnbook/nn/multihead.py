"""Multi-head attention, a drop-in for ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nnbook._check.attention import check_heads, check_mask
from nnbook._check.shapes import check_axes, check_last_axis, check_same_shape
from nnbook._check.values import check_count, check_range, check_same_length

from . import init
from ._attention_blocks import weights as attention_weights
from ._grouped import GroupedQueryAttention as GroupedQueryAttention
from ._grouped import concat, heads_of
from ._precision import wide as _wide
from .attention import _full_precision, as_bias, attend_after
from .linear import Linear, affine

AnyShape = Float[Tensor, "..."]
Maybe = Tensor | None


class MultiheadAttention(nn.Module):
    r"""Several attentions side by side on projections of the input, and a mixture of the results.

    .. math:: Y = [H_1 \cdots H_h]\, W_o^\top + b_o, \qquad
        H_i = \mathrm{attention}(X_q W_{q,i}^\top, X_k W_{k,i}^\top, X_v W_{v,i}^\top)

    A drop-in for ``torch.nn.MultiheadAttention``: arguments, names and initial values are the same.
    As there, **True in a boolean mask forbids**, the opposite of `scaled_dot_product_attention`.
    There is one difference: where a query may attend to nothing, torch gives NaN if the weights are
    asked for and zeros if not. Here its weights and what the heads return are always zeros, so that
    the output is the bias. Without the weights the memory does not grow with the square of the
    length, see `scaled_dot_product_attention`.

    Args:
        embed_dim: d, the length of the rows of query and output.
        num_heads: h, which must divide d.
        dropout: the probability with which a weight of attention is set to 0 in training.
        bias: whether the projections have biases.
        add_bias_kv: append one learnt key and one learnt value.
        add_zero_attn: append a key and a value of zeros.
        kdim: the length of the rows of key; None means d.
        vdim: the length of the rows of value; None means d.
        batch_first: whether axis 0 is the batch and axis 1 the position, or the other way round.
        device: where the parameters are made.
        dtype: their type.

    Shape:
        - query: ``(n_q, B, d)``, ``(B, n_q, d)`` with ``batch_first``, or ``(n_q, d)``
        - key, value: likewise, with n_k and ``kdim``, ``vdim``
        - output: as the query; weights ``(B, n_q, n_k)``, or ``(B, h, n_q, n_k)`` for each head

    Raises:
        ValueError: if h does not divide d, or shapes do not fit.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", arXiv:1706.03762.

    Examples:
        >>> import torch
        >>> attend = MultiheadAttention(6, 2, batch_first=True)
        >>> x = torch.randn(5, 3, 6)
        >>> y, p = attend(x, x, x)
        >>> y.shape, p.shape
        (torch.Size([5, 3, 6]), torch.Size([5, 3, 3]))
    """

    __constants__ = ("batch_first",)
    in_proj_weight: Maybe
    q_proj_weight: Maybe
    k_proj_weight: Maybe
    v_proj_weight: Maybe
    in_proj_bias: Maybe
    bias_k: Maybe
    bias_v: Maybe

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "MultiheadAttention"
        d = self.embed_dim = check_count(who, "embed_dim", embed_dim)
        self.num_heads = check_count(who, "num_heads", num_heads)
        check_heads(who, d, self.num_heads)
        check_range(who, "dropout", dropout, 0.0, 1.0, ends="[]")
        self.kdim = d if kdim is None else check_count(who, "kdim", kdim)
        self.vdim = d if vdim is None else check_count(who, "vdim", vdim)
        self._qkv_same_embed_dim = self.kdim == d and self.vdim == d
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.head_dim = d // self.num_heads
        same = self._qkv_same_embed_dim
        shapes: dict[str, Any] = {"q_proj_weight": (d, d), "k_proj_weight": (d, self.kdim)}
        shapes = dict.fromkeys((*shapes, "v_proj_weight")) if same else shapes
        shapes |= {"in_proj_weight": (3 * d, d)} if same else {"v_proj_weight": (d, self.vdim)}
        shapes |= {"in_proj_bias": (3 * d,) if bias else None}
        shapes |= {} if same else {"in_proj_weight": None}
        for name, shape in shapes.items():
            self._parameter(name, shape, device, dtype)
        self.out_proj = Linear(d, d, bias=bias, device=device, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self._parameter(name, (1, 1, d) if add_bias_kv else None, device, dtype)
        self._reset_parameters()

    def _parameter(self, name: str, shape: Any, device: Any, dtype: Any) -> None:
        made = None
        if shape is not None:
            made = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.register_parameter(name, made)

    def _reset_parameters(self) -> None:
        """Draw the projections as torch does; the three of self-attention as one matrix."""
        for weight in self._projections():
            init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            nn.init.zeros_(self.in_proj_bias)
            nn.init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def _projections(self) -> list[Tensor]:
        """Return the one matrix of all projections, or the three."""
        names = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        return [weight for name in names if (weight := getattr(self, name)) is not None]

    def forward(
        self,
        query: AnyShape,
        key: AnyShape,
        value: AnyShape,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from the query to the key, and return mixed values and the weights.

        Args:
            query: what asks.
            key: what is asked; the query itself in self-attention.
            value: what is averaged.
            key_padding_mask: (B, n_k), True for keys that nobody may attend to, or numbers to add.
            need_weights: whether the weights are returned; without them it is faster.
            attn_mask: (n_q, n_k) or (B h, n_q, n_k), True where attention is forbidden, or numbers
                that are added to the scores.
            average_attn_weights: return the mean over the heads and not the weights of each.
            is_causal: says that ``attn_mask``, which must be given, is the causal mask, so that
                the half that it forbids may be left out.

        Returns:
            The output, of the shape of the query, and the weights or None.
        """
        axes = self._check(query, key, value, key_padding_mask, attn_mask, is_causal)
        single = axes == 2
        x_q, x_k, x_v = (self._batched(t, single) for t in (query, key, value))
        if single and key_padding_mask is not None:
            key_padding_mask = key_padding_mask[None]
        q, k, v = self._project(x_q, x_k, x_v, self_attention=query is key and key is value)
        skip = is_causal and key_padding_mask is None and not need_weights and k.shape == q.shape
        k, v, added = self._extended(k, v)
        skip = skip and not added
        bias = None if skip else self._bias(attn_mask, key_padding_mask, q, added)
        drop = self.dropout if self.training else 0.0
        shares: Maybe = None
        if need_weights:
            shares, heads = self._shares(q, k, v, bias, drop)
        else:
            heads = attend_after(q, k, v, bias, drop, 0 if skip else None)
        y = self.out_proj(concat(heads))  # B n_q d, eq. mha-output
        y = y[0] if single else y if self.batch_first else y.transpose(0, 1)
        if shares is None:
            return y, None
        shares = shares.mean(1) if average_attn_weights else shares
        return y, shares[0] if single else shares

    def _batched(self, t: Tensor, single: bool) -> Tensor:
        """Return t with the axes batch, position, feature."""
        return t[None] if single else t if self.batch_first else t.transpose(0, 1)

    def _project(
        self, query: Tensor, key: Tensor, value: Tensor, self_attention: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the queries, keys and values of each head."""
        if self.in_proj_weight is not None and self_attention:  # three products in one
            rows = affine(query, self.in_proj_weight, self.in_proj_bias)  # B n 3d, eq. mha-project
            parts = rows.unflatten(-1, (3, self.num_heads, self.head_dim))  # B n 3 h e
            q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()  # B h n e, eq. mha-heads
            return q, k, v
        weights = self._projections()
        matrices = weights if len(weights) == 3 else weights[0].chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        rows_qkv = zip((query, key, value), matrices, biases, strict=True)
        q, k, v = (heads_of(affine(*one), self.num_heads) for one in rows_qkv)  # eq. mha-project
        return q, k, v

    def _extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append the learnt key and value, then the zeros, and say how many keys came behind."""
        before = k.shape[2]
        if self.bias_k is not None and self.bias_v is not None:
            one_k, one_v = (heads_of(b, self.num_heads) for b in (self.bias_k, self.bias_v))
            k = torch.cat([k, one_k.to(k.dtype).expand(len(k), -1, -1, -1)], dim=2)
            v = torch.cat([v, one_v.to(v.dtype).expand(len(v), -1, -1, -1)], dim=2)
        if self.add_zero_attn:
            k, v = (functional.pad(t, (0, 0, 0, 1)) for t in (k, v))
        return k, v, k.shape[2] - before

    def _bias(self, mask: Maybe, padding: Maybe, q: Tensor, added: int) -> Maybe:
        """Return both masks as numbers to add; what was appended may always be attended to."""
        biases = []
        if mask is not None:
            many = mask.dim() == 3
            biases.append(mask.unflatten(0, (-1, self.num_heads)) if many else mask[None, None])
        if padding is not None:
            biases.append(padding[:, None, None])
        if not biases:
            return None
        allowed = [~one if one.dtype == torch.bool else one for one in biases]  # eq. mha-forbid
        return functional.pad(sum(as_bias(one, q) for one in allowed), (0, added))

    def _shares(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Maybe, drop: float
    ) -> tuple[Tensor, Tensor]:
        """Return the weights of each head, and what the heads return."""
        wide_q, wide_k, wide_v = map(_wide, (q, k, v))
        bias = None if bias is None else bias.to(wide_q.dtype)
        with _full_precision(q):
            shares = attention_weights(wide_q, wide_k, bias, 1 / math.sqrt(self.head_dim), None)
            shares = functional.dropout(shares, drop) if drop else shares
            return shares.to(q.dtype), (shares @ wide_v).to(q.dtype)

    def _check(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        padding: Maybe,
        mask: Maybe,
        is_causal: bool,
    ) -> int:
        """Check shapes, and return how many axes the query has."""
        who, axes = "MultiheadAttention", query.dim()
        named = {"query": query, "key": key, "value": value}
        for (name, t), width in zip(
            named.items(), (self.embed_dim, self.kdim, self.vdim), strict=True
        ):
            check_axes(who, name, tuple(t.shape), (axes,) if axes in (2, 3) else (2, 3))
            check_last_axis(who, name, tuple(t.shape), width, "columns of its projection")
        check_same_shape(who, "value", tuple(value.shape[:-1]), tuple(key.shape[:-1]))
        position, batch = (1, 0) if axes == 3 and self.batch_first else (0, 1)
        n_q, n_k = query.shape[position], key.shape[position]
        count = query.shape[batch] if axes == 3 else 1
        if axes == 3:
            check_same_length(
                who, "the batch of query", range(count), "that of key", range(key.shape[batch])
            )
        if padding is not None:
            check_mask(
                who,
                "key_padding_mask",
                padding.dtype,
                padding.dtype == torch.bool or padding.dtype.is_floating_point,
            )
            wanted = (count, n_k) if axes == 3 else (n_k,)
            check_same_shape(who, "key_padding_mask", tuple(padding.shape), wanted)
        if mask is not None:
            check_mask(
                who,
                "attn_mask",
                mask.dtype,
                mask.dtype == torch.bool or mask.dtype.is_floating_point,
            )
            each = () if mask.dim() == 2 else (count * self.num_heads,)
            check_same_shape(who, "attn_mask", tuple(mask.shape), (*each, n_q, n_k))
        if is_causal and mask is None:
            raise ValueError(
                f"{who}: is_causal=True without attn_mask; it only says what attn_mask is: give "
                "the causal mask too."
            )
        return axes
