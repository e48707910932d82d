"""A language model of transformer blocks that look to the left only, in the form of GPT-2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from nnbook._check.attention import check_fits_context

from ._gptconfig import Cache, GPTConfig
from ._gptparts import CausalAttention, make_feed_forward, make_norm
from .classification import cross_entropy
from .dropout import Dropout
from .linear import Linear
from .positions import Embedding, LearnedPositions, alibi

Tokens = Int64[Tensor, "b t"]
Logits = Float[Tensor, "b t v"]


class Block(nn.Module):
    """One pre-norm block: attention to the left, then the feed-forward part, each added.

    Args:
        config: of the model.

    Shape:
        - Input: ``(b, t, d)``
        - Output: ``(b, t, d)``
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = make_norm(config)
        self.attn = CausalAttention(config)
        self.ln_2 = make_norm(config)
        self.mlp = make_feed_forward(config)

    def forward(
        self, x: Tensor, bias: Tensor | None = None, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        """Add what attention finds, then what the feed-forward part makes of it."""
        u = x + self.attn(self.ln_1(x), bias, cache, layer)  # b t d, eq. lmo-block
        out: Tensor = u + self.mlp(self.ln_2(u))  # b t d, eq. lmo-block
        return out


class GPT(nn.Module):
    r"""A decoder-only transformer: the logits of the next token at every position.

    .. math:: z = E \, \mathrm{LN}_f(B_L(\dots B_1(E^\top e_w + p) \dots))

    Parameters have the names of GPT-2; weights are stored as (out, in). Initial values are those of
    GPT-2: normal with deviation 0.02, in the two projections that end in the residual stream
    divided by the root of their number, 2L; biases 0.

    Args:
        config: what it is made of.

    Shape:
        - Input: tokens ``(b, t)`` with t up to the context
        - Output: logits ``(b, t, vocab_size)``

    Raises:
        ValueError: if a text is longer than the context, or its cache has no room for it.

    Source:
        Radford, Wu, Child, Luan, Amodei and Sutskever (2019), "Language Models are Unsupervised
        Multitask Learners"; the table of names is that of its published weights.

    Examples:
        >>> model = GPT(GPTConfig(vocab_size=10, context=8, layers=2, heads=2, d_model=12))
        >>> model(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 10])
        >>> sum(p.numel() for p in model.parameters()) == model.config.parameters
        True
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.wte = Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.wpe = LearnedPositions(config.context, config.d_model)
        self.drop = Dropout(config.dropout)
        self.h = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.ln_f = make_norm(config)
        self.lm_head = Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_weights:
            self.lm_head.weight = self.wte.weight
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the initial values of GPT-2."""
        deep = 0.02 / math.sqrt(2 * self.config.layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                deviation = deep if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, std=deviation)  # eq. lmo-init
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.ones_(parameter)

    def forward(self, tokens: Tokens, cache: Cache | None = None) -> Logits:
        """Return the logits after every token; with a cache, of the new tokens only."""
        past = 0 if cache is None else cache.length
        count = tokens.shape[1]
        check_fits_context("GPT", past, count, self.config.context)
        x = self._embed(tokens, past)
        bias = self._distances(past, count, x)  # the same for every block
        for layer, block in enumerate(self.h):
            x = block(x, bias, cache, layer)
        if cache is not None:
            cache.advance(count)
        logits: Tensor = self.lm_head(self.ln_f(x))  # b t v, eq. lmo-logits
        return logits

    def _embed(self, tokens: Tensor, past: int) -> Tensor:
        x: Tensor = self.wte(tokens)  # b t d, eq. lmo-embedding
        if self.config.positions == "learned":
            x = self.wpe(x, past)  # b t d, eq. lmo-embedding
        return self.drop(x)

    def _distances(self, past: int, count: int, like: Tensor) -> Tensor | None:
        c = self.config
        if c.positions != "alibi":
            return None
        return alibi(  # h t past+t
            c.heads, count, past + count, offset=past, device=like.device, dtype=like.dtype
        )

    @torch.no_grad()
    def attention_maps(self, tokens: Tokens) -> list[Float[Tensor, "b h t t"]]:
        """Return the weights of every head, one tensor for each block; row i sums to 1."""
        check_fits_context("GPT", 0, tokens.shape[1], self.config.context)
        x = self._embed(tokens, 0)
        maps = []
        bias = self._distances(0, tokens.shape[1], x)
        for block in self.h:
            assert isinstance(block, Block)
            maps.append(block.attn.weights(block.ln_1(x), bias))
            x = block(x, bias)
        return maps

    @classmethod
    def from_gpt2(cls, state: Mapping[str, Tensor], heads: int) -> GPT:
        """Make a model of the weights of a GPT-2, as transformers' ``GPT2LMHeadModel`` names them.

        The maps of a block are stored there as (in, out), and are transposed here.

        Args:
            state: its ``state_dict()``.
            heads: the number of heads, which the weights do not tell.
        """
        own = {name.removeprefix("transformer."): value for name, value in state.items()}
        own = {
            name: v for name, v in own.items() if not name.endswith((".attn.bias", "masked_bias"))
        }
        for name in own:
            if name.startswith("h.") and ".ln_" not in name and name.endswith("weight"):
                own[name] = own[name].T
        own.setdefault("lm_head.weight", own["wte.weight"])
        (vocab_size, d_model), context = own["wte.weight"].shape, len(own["wpe.weight"])
        layers = 1 + max(int(name.split(".")[1]) for name in own if name.startswith("h."))
        tied = torch.equal(own["lm_head.weight"], own["wte.weight"])
        config = GPTConfig(vocab_size, context, layers, heads, d_model=d_model, tie_weights=tied)
        model = cls(config).to(own["wte.weight"].dtype)
        model.load_state_dict(own)
        return model


@torch.no_grad()
def text_nll(
    model: nn.Module,
    windows: tuple[Any, Any],
    batch_size: int = 32,
) -> float:
    """Return minus the logarithm of the probability of a text, in nats: a sum over its tokens.

    Args:
        model: gives logits after every token.
        windows: inputs and targets, from `nnbook.data.token_windows`.
        batch_size: how many windows at a time.

    Examples:
        >>> from nnbook import data
        >>> import numpy as np
        >>> model = GPT(GPTConfig(vocab_size=7, context=8, layers=1, heads=1, d_model=4))
        >>> nll = text_nll(model, data.token_windows(np.arange(21) % 7, context=8))
        >>> abs(nll / 20 - math.log(7)) < 0.1  # nothing learnt yet
        True
    """
    device = next(model.parameters()).device
    x, y = (torch.as_tensor(part, device=device) for part in windows)
    was, total = model.training, 0.0
    model.eval()
    for a, b in zip(x.split(batch_size), y.split(batch_size), strict=True):
        logits = model(a).flatten(0, 1)
        total += float(cross_entropy(logits, b.flatten(), reduction="sum"))  # eq. lmo-loss
    model.train(was)
    return total
