"""What a `GPT` is made of, and what that makes of parameters, operations and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from nnbook._check.attention import check_shared
from nnbook._check.values import check_choice, check_count, check_range

CHOICES = {
    "positions": ("learned", "rope", "alibi", "none"),
    "norm": ("layer", "rms"),
    "ffn": ("gelu", "swiglu"),
}


@dataclass(frozen=True)
class GPTConfig:
    """What a `GPT` is made of; the default values are those of a small GPT-2.

    Args:
        vocab_size: how many tokens there are, V.
        context: the longest text that it can read, T.
        layers: the number of blocks, L.
        heads: the number of heads of queries, H; it must divide d_model.
        kv_heads: the number of heads of keys and values, a divisor of heads; None means heads.
        d_model: the width of the residual stream, d.
        dropout: the probability with which a number is dropped in training.
        positions: "learned" vectors, "rope", "alibi", or "none".
        norm: "layer" or "rms".
        ffn: "gelu", of width 4d, or "swiglu", of width 8d/3 rounded up to a multiple of 8.
        bias: whether linear maps and layer norms have one.
        tie_weights: whether the matrix of the embedding is also that of the output.

    Raises:
        ValueError: if a number or a word does not fit.

    Examples:
        >>> GPTConfig(vocab_size=50257, context=1024, layers=12, heads=12, d_model=768).parameters
        124439808
    """

    vocab_size: int
    context: int = 64
    layers: int = 4
    heads: int = 4
    kv_heads: int | None = None
    d_model: int = 128
    dropout: float = 0.0
    positions: str = "learned"
    norm: str = "layer"
    ffn: str = "gelu"
    bias: bool = True
    tie_weights: bool = True

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "layers", "heads", "d_model"):
            check_count("GPTConfig", name, getattr(self, name))
        for name, words in CHOICES.items():
            check_choice("GPTConfig", name, getattr(self, name), words)
        check_range("GPTConfig", "dropout", self.dropout, 0.0, 1.0, ends="[]")
        check_shared("GPTConfig", "d_model", self.d_model, "heads", self.heads)
        check_shared("GPTConfig", "heads", self.heads, "kv_heads", self.groups)
        if self.positions == "rope" and self.d_head % 2:
            raise ValueError(
                f"GPTConfig: rope turns pairs of numbers, and a head has {self.d_head}; "
                "give d_model = 2 * heads * k."
            )

    @property
    def groups(self) -> int:
        """The number of heads of keys and values."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def d_head(self) -> int:
        """The width of a head."""
        return self.d_model // self.heads

    @property
    def d_ffn(self) -> int:
        """The width inside the feed-forward part."""
        d = self.d_model
        return 4 * d if self.ffn == "gelu" else 8 * math.ceil(d / 3)

    @property
    def _block_matrices(self) -> int:
        d, kv = self.d_model, self.groups * self.d_head
        return 2 * d * d + 2 * d * kv + (2 if self.ffn == "gelu" else 3) * d * self.d_ffn

    @property
    def parameters(self) -> int:
        """How many numbers are learnt, those that are used twice counted once."""
        d, L, V = self.d_model, self.layers, self.vocab_size
        kv, f = self.groups * self.d_head, self.d_ffn
        norm = 2 * d if self.norm == "layer" and self.bias else d
        biases = 2 * d + 2 * kv + d + (f if self.ffn == "gelu" else 2 * f) if self.bias else 0
        block = self._block_matrices + biases + 2 * norm  # eq. lmo-eq-parameters
        tables = V * d * (1 if self.tie_weights else 2)
        tables += self.context * d if self.positions == "learned" else 0
        return L * block + tables + norm  # eq. lmo-eq-parameters

    def flops(self, length: int | None = None) -> int:
        """Return the operations for a token of a text, forward: products and additions of matrices.

        Training takes three times as many: every product of matrices has two more in the backward
        pass.

        Args:
            length: the length of the text, of which every token looks at all positions, forbidden
                ones too; None means the context.
        """
        length = self.context if length is None else length
        inner = self._block_matrices * self.layers + self.vocab_size * self.d_model
        return 2 * inner + 4 * self.layers * length * self.d_model  # eq. lmo-flops

    def cache_numbers(self, length: int | None = None) -> int:
        """Return how many numbers the cache of one text of this length holds; None: the context."""
        length = self.context if length is None else length
        return 2 * self.layers * self.groups * self.d_head * length  # eq. lmo-cache


@runtime_checkable  # for the run with run-time type checks
class Cache(Protocol):
    """What a model needs of the keys and values that it has seen; see `nnbook.nn.KVCache`."""

    length: int

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values; return all of the layer."""

    def advance(self, count: int) -> None:
        """Note that every layer has stored so many positions."""
