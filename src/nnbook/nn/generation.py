"""Write text with a language model: what the next token is drawn from, and a cache of the past."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nnbook._check.attention import check_fits_context
from nnbook._check.values import check_count, check_range, check_whole

from ._gptconfig import GPTConfig
from .languagemodel import GPT

Row = Float[Tensor, "*batch v"]
Tokens = Int64[Tensor, "b t"]


class KVCache:
    """The keys and values of every block for the tokens that a `GPT` has read.

    The room for a whole context is taken once. `GPT.forward` appends to it and reads it; the
    tokens themselves are not kept.

    Args:
        config: of the model.
        batch: how many texts are written at the same time.
        like: a tensor whose dtype and device the numbers have; None means torch's defaults.

    Attributes:
        length: how many positions are stored.

    Raises:
        ValueError: when more is appended than the context holds, or another number of texts.

    Examples:
        >>> model = GPT(GPTConfig(vocab_size=9, context=6, layers=1, heads=2, d_model=4))
        >>> tokens, cache = torch.tensor([[3, 1, 4, 1]]), KVCache(model.config)
        >>> parts = [model(tokens[:, :3], cache), model(tokens[:, 3:], cache)]
        >>> torch.allclose(torch.cat(parts, 1), model(tokens), atol=1e-6), cache.length
        (True, 4)
    """

    def __init__(self, config: GPTConfig, batch: int = 1, like: Tensor | None = None) -> None:
        check_count("KVCache", "batch", batch)
        self.context, self.length = config.context, 0
        shape = (config.layers, 2, batch, config.groups, config.context, config.d_head)
        self.store = torch.empty(shape) if like is None else like.new_empty(shape)

    @property
    def numbers(self) -> int:
        """How many numbers the positions stored so far take."""
        return self.store[..., : self.length, :].numel()

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values of new positions; return all that the layer has."""
        end = self.length + k.shape[2]
        check_fits_context("KVCache", self.length, k.shape[2], self.context)
        if len(k) != self.store.shape[2]:
            raise ValueError(
                f"KVCache: {len(k)} texts where the cache was made for {self.store.shape[2]}; "
                "make it with batch= that number."
            )
        self.store[layer, 0, :, :, self.length : end] = k  # b g t e, eq. gen-append
        self.store[layer, 1, :, :, self.length : end] = v
        keys, values = self.store[layer, :, :, :, :end]
        return keys, values

    def advance(self, count: int) -> None:
        """Note that every layer has stored so many positions."""
        self.length += count


def sampling_distribution(
    logits: Row,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
) -> Row:
    """Return the probabilities to draw the next token from: temperature, then top-k, then top-p.

    After each cut the rest is made to sum to 1 again. Temperature 0 is the limit: the largest
    logits share the probability. Of equal tokens at a cut the one with the smaller number is kept.

    Args:
        logits: a logit for each token.
        temperature: at least 0.
        top_k: keep so many tokens; None keeps all.
        top_p: keep the smallest set with this share, in (0, 1]; None keeps all.

    Raises:
        ValueError: if an argument is out of its range.

    Examples:
        >>> p = torch.tensor([0.5, 0.3, 0.15, 0.05])
        >>> sampling_distribution(p.log(), top_p=0.7)
        tensor([0.6250, 0.3750, 0.0000, 0.0000])
    """
    who = "sampling_distribution"
    check_range(who, "temperature", temperature, 0.0, ends="[]")
    below = logits - logits.amax(dim=-1, keepdim=True)
    if temperature == 0:
        p = (below == 0).to(logits.dtype)  # *batch v, eq. gen-eq-limits
        p = p / p.sum(dim=-1, keepdim=True)
    else:
        warm = torch.where(below > -torch.inf, below / temperature, below)
        p = torch.softmax(warm, dim=-1)  # *batch v, eq. gen-temperature
    if top_k is not None:
        check_count(who, "top_k", top_k)
        p = _only(p, torch.arange(p.shape[-1], device=p.device) < top_k)  # eq. gen-top-k
    if top_p is not None:
        check_range(who, "top_p", top_p, 0.0, 1.0, ends="(]")
        ranked = p.sort(dim=-1, descending=True, stable=True).values
        keep = ranked.cumsum(dim=-1) - ranked < top_p  # *batch v, eq. gen-eq-top-p
        keep[..., 0] = True
        p = _only(p, keep)
    return p


def _only(p: Row, keep_rank: Tensor) -> Row:
    """Keep the tokens of these ranks; the rest sums to 1 again."""
    ranks = p.argsort(dim=-1, descending=True, stable=True)
    kept = torch.zeros_like(p, dtype=torch.bool)
    kept = kept.scatter(-1, ranks, keep_rank.expand_as(p))
    rest = p.where(kept, torch.zeros_like(p))
    return rest / rest.sum(dim=-1, keepdim=True)  # *batch v, eq. gen-cut


@torch.no_grad()
def generate(
    model: GPT,
    prompt: Tokens | Sequence[int],
    count: int,
    *,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Int64[Tensor, "b n"]:
    """Write on: draw the next token, append it, again and again.

    Dropout is off while it writes. When the context is full, the model reads the last half of it
    anew and goes on; both ways, with a cache and without, do the same.

    Args:
        model: the language model.
        prompt: tokens to start from, at least one: of shape (b, t), or one row of numbers.
        count: how many tokens to write.
        temperature: 0 takes a most probable token, of equals the first.
        top_k: see `sampling_distribution`.
        top_p: see `sampling_distribution`.
        generator: the source of randomness; None means torch's own.
        use_cache: whether to keep keys and values; without, everything is read again every time.

    Returns:
        The prompt and what was written, of shape (b, t + count).

    Raises:
        ValueError: if the prompt is empty or longer than the context, or an argument is out of its
            range.

    Examples:
        >>> model = GPT(GPTConfig(vocab_size=9, context=6, layers=1, heads=2, d_model=4))
        >>> generate(model, [3, 1, 4], count=5, temperature=0).shape
        torch.Size([1, 8])
    """
    device, context = model.wte.weight.device, model.config.context
    text = torch.as_tensor(prompt, device=device)
    text = text[None] if text.dim() == 1 else text
    check_whole("generate", "prompt", text.dtype, not text.dtype.is_floating_point)
    check_count("generate", "count", count, 0)
    check_count("generate", "number of tokens of the prompt", text.shape[1])
    check_fits_context("generate", 0, text.shape[1], context)
    was = model.training
    model.eval()
    try:
        start, cache = 0, KVCache(model.config, len(text), model.wte.weight)
        for _ in range(count):
            if text.shape[1] - start > context:
                start, cache.length = text.shape[1] - (context + 1) // 2, 0
            new = text[:, start + cache.length :]
            logits = model(new, cache if use_cache else None)[:, -1]  # b v, eq. gen-step
            p = sampling_distribution(logits, temperature, top_k, top_p)
            drawn = p.argmax(-1) if temperature == 0 else _draw(p, generator)
            text = torch.cat((text, drawn[:, None]), dim=1)  # b t+1
    finally:
        model.train(was)
    return text


def _draw(p: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.multinomial(p, 1, generator=generator)[:, 0]
