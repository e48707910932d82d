"""The transformer block, drop-ins for torch's encoder, and the pre-norm block of later models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.values import check_choice, check_count
from nnbook.scratch.transformer import swiglu_hidden

from .activations import gelu, relu, silu
from .dropout import Dropout
from .layernorm import LayerNorm
from .linear import Linear
from .multihead import MultiheadAttention
from .rmsnorm import RMSNorm

Sequences = Float[Tensor, "..."]
Activation = Callable[[Tensor], Tensor]
Place = torch.device | str | None
NAMED: dict[str, Activation] = {"relu": relu, "gelu": gelu}
NORMS = ("layer", "rms")
FFNS = ("relu", "gelu", "swiglu")


def _activation(who: str, given: str | Activation) -> Activation:
    if not isinstance(given, str):
        return given
    check_choice(who, "activation", given, NAMED)
    return NAMED[given]


class FeedForward(nn.Module):
    r"""The position-wise network: widen, apply an activation, go back.

    .. math:: \mathrm{FFN}(x) = W_2\, \sigma(W_1 x + b_1) + b_2

    Args:
        d_model: the number of features of a position.
        dim_feedforward: the hidden width; None means 4 d_model.
        activation: ``"relu"``, ``"gelu"`` or a function.
        dropout: applied to the hidden features.
        bias: learn b_1 and b_2.
        device: where the parameters are made.
        dtype: the dtype of the parameters.

    Shape:
        - Input: ``(*, d_model)``
        - Output: the same.

    Raises:
        ValueError: if the activation is not known.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", section 3.3, arXiv:1706.03762.

    Examples:
        >>> FeedForward(3)(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        d_model: int,
        dim_feedforward: int | None = None,
        activation: str | Activation = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
        device: Place = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        hidden = 4 * d_model if dim_feedforward is None else dim_feedforward
        self.linear1 = Linear(d_model, hidden, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(hidden, d_model, bias, device, dtype)
        self.activation = _activation("FeedForward", activation)

    def forward(self, x: Sequences) -> Sequences:
        """Treat each position alone."""
        hidden = self.dropout(self.activation(self.linear1(x)))  # *batch h, eq. trf-ffn
        return self.linear2(hidden)  # *batch d, eq. trf-ffn


class SwiGLU(nn.Module):
    r"""The gated position-wise network.

    .. math:: y = W_d \big( \mathrm{SiLU}(W_g x) \odot W_u x \big)

    Args:
        d_model: the number of features of a position.
        hidden: the hidden width; None means `nnbook.scratch.swiglu_hidden`, about 8/3 d_model, with
            about as many weights as a `FeedForward` of width 4 d_model.
        bias: learn shifts.
        device: where the parameters are made.
        dtype: the dtype of the parameters.

    Shape:
        - Input: ``(*, d_model)``
        - Output: the same.

    Raises:
        ValueError: if a size is below 1.

    Source:
        Shazeer (2020), "GLU Variants Improve Transformer", arXiv:2002.05202.

    Examples:
        >>> SwiGLU(6)
        SwiGLU(
          (gate): Linear(in_features=6, out_features=16, bias=False)
          (up): Linear(in_features=6, out_features=16, bias=False)
          (down): Linear(in_features=16, out_features=6, bias=False)
        )
    """

    def __init__(
        self,
        d_model: int,
        hidden: int | None = None,
        bias: bool = False,
        device: Place = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        h = swiglu_hidden(d_model) if hidden is None else check_count("SwiGLU", "hidden", hidden)
        self.gate = Linear(d_model, h, bias, device, dtype)
        self.up = Linear(d_model, h, bias, device, dtype)
        self.down = Linear(h, d_model, bias, device, dtype)

    def forward(self, x: Sequences) -> Sequences:
        """Treat each position alone."""
        return self.down(silu(self.gate(x)) * self.up(x))  # *batch d, eq. trf-swiglu


class TransformerEncoderLayer(nn.Module):
    r"""The transformer block, a drop-in for ``torch.nn.TransformerEncoderLayer``.

    .. math:: u = \mathrm{LN}_1(x + \mathrm{MHA}(x)), \quad y = \mathrm{LN}_2(u + \mathrm{FFN}(u))

    with ``norm_first=False`` (post-LN), and with ``norm_first=True`` (pre-LN)

    .. math:: u = x + \mathrm{MHA}(\mathrm{LN}_1(x)), \quad y = u + \mathrm{FFN}(\mathrm{LN}_2(u))

    Dropout acts on the attention weights, on the hidden features of the FFN, and on what each
    sublayer adds. torch's fused kernel for inference is not used.

    Args:
        d_model: the number of features of a position.
        nhead: the number of heads; it divides d_model.
        dim_feedforward: the hidden width of the FFN.
        dropout: the probability that a number is dropped.
        activation: ``"relu"``, ``"gelu"`` or a function.
        layer_norm_eps: the eps of both norms.
        batch_first: the input is (batch, positions, features) instead of (positions, batch,
            features).
        norm_first: pre-LN instead of post-LN.
        bias: learn the shifts of all maps and norms.
        device: where the parameters are made.
        dtype: the dtype of the parameters.

    Shape:
        - src: ``(t, batch, d_model)``, ``(batch, t, d_model)`` with ``batch_first``, or
          ``(t, d_model)``.
        - Output: the same.

    Raises:
        ValueError: if the activation is not known or the heads do not divide d_model.

    Source:
        Vaswani et al. (2017), arXiv:1706.03762; pre-LN as in Xiong et al. (2020),
        arXiv:2002.04745.

    Examples:
        >>> TransformerEncoderLayer(8, 2, batch_first=True)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Activation = relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Place = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **place
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **place)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **place)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.activation = _activation("TransformerEncoderLayer", activation)

    def forward(
        self,
        src: Sequences,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Sequences:
        """Apply the block; masks mean what they mean in torch: True may not be attended to.

        Args:
            src: the sequences.
            src_mask: of shape (t, t) or (batch * nhead, t, t), boolean or added to the scores.
            src_key_padding_mask: of shape (batch, t), the keys to leave out.
            is_causal: a hint that ``src_mask`` is the causal mask.
        """
        masks = (src_mask, src_key_padding_mask, is_causal)
        x = src
        if self.norm_first:
            u = x + self._attend(self.norm1(x), *masks)  # *batch t d, eq. trf-pre
            return u + self._feed(self.norm2(u))  # *batch t d, eq. trf-pre
        u = self.norm1(x + self._attend(x, *masks))  # *batch t d, eq. trf-post
        return self.norm2(u + self._feed(u))  # *batch t d, eq. trf-post

    def _attend(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool
    ) -> Tensor:
        y, _ = self.self_attn(
            x,
            x,
            x,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=is_causal,
        )
        return self.dropout1(y)

    def _feed(self, x: Tensor) -> Tensor:
        hidden = self.dropout(self.activation(self.linear1(x)))  # *batch t h, eq. trf-ffn
        return self.dropout2(self.linear2(hidden))  # *batch t d, eq. trf-ffn


class TransformerEncoder(nn.Module):
    """A stack of blocks, a drop-in for ``torch.nn.TransformerEncoder``.

    Each block is a deep copy of the one given, as in torch, so that all of them start with the
    same weights; `reset_parameters` of their parts draws new ones. With pre-LN blocks give a
    ``norm`` for the end, because nothing normalizes their sum. torch turns padded sequences into
    nested tensors in eval mode and then puts zeros where the padding was; here the padded positions
    are computed like all others.

    Args:
        encoder_layer: the block.
        num_layers: how many copies.
        norm: applied to the output of the last block.
        enable_nested_tensor: kept for torch's sake, without effect.
        mask_check: likewise.

    Shape:
        - src: as in `TransformerEncoderLayer`.
        - Output: the same.

    Raises:
        ValueError: if the number of layers is below 1.

    Examples:
        >>> layer = TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        >>> TransformerEncoder(layer, 3, norm=LayerNorm(8))(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        encoder_layer: nn.Module,
        num_layers: int,
        norm: nn.Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.num_layers = check_count("TransformerEncoder", "num_layers", num_layers)
        copies = [copy.deepcopy(encoder_layer) for _ in range(self.num_layers)]
        self.layers = nn.ModuleList(copies)
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Sequences,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Sequences:
        """Apply the blocks in turn, then the norm; the masks are given to every block."""
        x = src
        for layer in self.layers:
            x = layer(x, mask, src_key_padding_mask, bool(is_causal))  # eq. trf-stack
        return x if self.norm is None else self.norm(x)


class PreNormBlock(nn.Module):
    r"""A pre-norm block to build decoders from, with a choice of norm, FFN and attention.

    .. math:: u = x + \mathrm{A}(\mathrm{N}_1(x)), \qquad y = u + \mathrm{FFN}(\mathrm{N}_2(u))

    ``norm="layer", ffn="gelu"`` is the block of GPT-2; ``norm="rms", ffn="swiglu", bias=False`` is
    that of LLaMA, which also rotates queries and keys: give such an attention as ``attention``.

    Args:
        d_model: the number of features of a position.
        nhead: the number of heads.
        hidden: the hidden width of the FFN; None means 4 d_model, or the SwiGLU width that has
            about as many weights.
        norm: ``"layer"`` or ``"rms"``.
        ffn: ``"gelu"``, ``"relu"`` or ``"swiglu"``.
        dropout: of what each sublayer adds, and of the default attention's weights.
        bias: learn shifts.
        eps: of both norms.
        attention: a module called as ``attention(x, **options)``; None makes a
            `MultiheadAttention` with the batch first. If it returns a pair, such as the output and
            a cache of keys, the block returns its own output with the second of them.
        device: where the parameters are made.
        dtype: the dtype of the parameters.

    Shape:
        - Input: ``(batch, t, d_model)``
        - Output: the same.

    Raises:
        ValueError: if a name is not known or the heads do not divide d_model.

    Source:
        Xiong et al. (2020), arXiv:2002.04745.

    Examples:
        >>> block = PreNormBlock(8, 2, norm="rms", ffn="swiglu", bias=False)
        >>> block(torch.zeros(3, 5, 8), is_causal=True).shape
        torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        hidden: int | None = None,
        *,
        norm: Literal["layer", "rms"] = "layer",
        ffn: Literal["gelu", "relu", "swiglu"] = "gelu",
        dropout: float = 0.0,
        bias: bool = True,
        eps: float = 1e-5,
        attention: nn.Module | None = None,
        device: Place = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        check_choice("PreNormBlock", "norm", norm, NORMS)
        check_choice("PreNormBlock", "ffn", ffn, FFNS)

        def new_norm() -> nn.Module:
            if norm == "rms":
                return RMSNorm(d_model, eps=eps, **place)
            return LayerNorm(d_model, eps=eps, bias=bias, **place)

        self.norm1 = new_norm()
        self.attn = attention or MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=True, **place
        )
        self.norm2 = new_norm()
        self.ffn = (
            SwiGLU(d_model, hidden, bias=bias, **place)
            if ffn == "swiglu"
            else FeedForward(d_model, hidden, activation=ffn, bias=bias, **place)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Sequences, **options: Any) -> Any:
        """Apply the block; the options go to the attention.

        The default attention takes ``attn_mask`` as `MultiheadAttention` does, and
        ``is_causal=True`` alone for the causal mask.
        """
        read = self._attend(self.norm1(x), **options)
        heads, *cache = read if isinstance(read, tuple) else (read,)
        u = x + self.dropout(heads)  # *batch t d, eq. trf-pre
        y = u + self.dropout(self.ffn(self.norm2(u)))  # *batch t d, eq. trf-pre
        return (y, *cache) if cache else y

    def _attend(self, x: Tensor, **options: Any) -> Any:
        if not isinstance(self.attn, MultiheadAttention):
            return self.attn(x, **options)
        if options.get("is_causal") and options.get("attn_mask") is None:
            t = x.shape[-2]
            ahead = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)  # q k
            options["attn_mask"] = ahead  # True may not be attended to, as in torch
        return self.attn(x, x, x, need_weights=False, **options)[0]
