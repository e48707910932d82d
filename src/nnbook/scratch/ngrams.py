"""Language models that count: interpolated n-grams, and how to measure any language model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from nnbook._check.attention import check_tokens
from nnbook._check.values import check_count

Tokens = Int64[np.ndarray, " n"]
Keys = Int64[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class Table:
    """What was counted for histories of one length, each history as one whole number.

    Args:
        history: the histories that were seen, in increasing order.
        seen: c(h), how often each was followed by something.
        kinds: T(h), by how many different tokens.
        pair: histories followed by a token, as one whole number, in increasing order.
        count: c(hw), how often each.
    """

    history: Keys
    seen: Keys
    kinds: Keys
    pair: Keys
    count: Keys


@dataclass(frozen=True, eq=False)
class NGram:
    """An interpolated n-gram model.

    Args:
        vocab_size: how many tokens there are, V.
        tables: one table for each length of history, 0 first.
    """

    vocab_size: int
    tables: tuple[Table, ...]

    @property
    def order(self) -> int:
        """The n of the model: one more than the longest history; 0 is the uniform model."""
        return len(self.tables)


def ngram_fit(tokens: Tokens, order: int, vocab_size: int) -> NGram:
    """Count all histories of up to ``order - 1`` tokens and what follows them.

    Args:
        tokens: the text to learn from.
        order: the n of the model; 0 counts nothing and is the uniform model.
        vocab_size: how many tokens there are, V; V to the power of the order must be below 2^63.

    Returns:
        The counts.

    Raises:
        ValueError: if a token is not in 0..V-1, or the order is negative or too large.

    Examples:
        >>> model = ngram_fit(np.array([0, 1, 0, 1, 1]), order=2, vocab_size=3)
        >>> model.tables[1].seen.tolist(), model.tables[1].kinds.tolist()
        ([2, 2], [1, 2])
    """
    check_tokens("ngram_fit", tokens, vocab_size)
    check_count("ngram_fit", "order", order, 0)
    if order > 0 and vocab_size**order >= 2**63:
        raise ValueError(
            f"ngram_fit: {vocab_size} tokens to the power of order={order} do not fit into 63 "
            "bits; give a smaller order."
        )
    return NGram(vocab_size, tuple(_table(tokens, n, vocab_size) for n in range(order)))


def _table(tokens: Tokens, length: int, vocab_size: int) -> Table:
    pair, count = np.unique(_codes(tokens, length + 1, vocab_size), return_counts=True)
    history, first = np.unique(pair // vocab_size, return_index=True)  # pairs are in order
    if len(pair) == 0:
        return Table(history, count, count, pair, count)
    seen = np.add.reduceat(count, first)  # c(h)
    kinds = np.diff(np.append(first, len(pair)))  # T(h)
    return Table(history, seen, kinds, pair, count)


def _codes(tokens: Tokens, length: int, vocab_size: int) -> Keys:
    """Return every run of so many tokens as one whole number in base V."""
    runs = max(len(tokens) - length + 1, 0)
    code = np.zeros(runs, np.int64)
    for k in range(length):
        code = code * vocab_size + tokens[k : k + runs]
    return code


def ngram_log_probs(model: NGram, tokens: Tokens) -> Float64[np.ndarray, " n"]:
    r"""Return the logarithm of the probability of each token after those before it.

    .. math:: p(w \mid h) = \frac{c(hw) + T(h)\, p(w \mid h')}{c(h) + T(h)}

    Here h' is h without its first token, and a history that was never seen counts for nothing. The
    first tokens have only as much history as there is.

    Args:
        model: the counts.
        tokens: a text.

    Returns:
        One number for each token; their sum is the logarithm of the probability of the text.

    Raises:
        ValueError: if a token is not one of the model's.

    Source:
        Witten and Bell (1991), "The zero-frequency problem", IEEE Transactions on Information
        Theory 37(4), method C; interpolated as in Chen and Goodman (1996).

    Examples:
        >>> model = ngram_fit(np.array([0, 1, 0, 1, 1]), order=1, vocab_size=2)
        >>> np.exp(ngram_log_probs(model, np.array([0, 1]))).round(4).tolist()
        [0.4286, 0.5714]
    """
    check_tokens("ngram_log_probs", tokens, model.vocab_size)
    p = np.full(len(tokens), 1 / model.vocab_size)  # n, eq. ngr-uniform
    for length, table in enumerate(model.tables):
        pair = _codes(tokens, length + 1, model.vocab_size)
        c_hw = _look_up(pair, table.pair, table.count)
        c_h = _look_up(pair // model.vocab_size, table.history, table.seen)
        T_h = _look_up(pair // model.vocab_size, table.history, table.kinds)
        lower = p[length:]
        p[length:] = _interpolate(c_hw, c_h, T_h, lower)
    return np.log(p)


def _interpolate(c_hw: Keys, c_h: Keys, T_h: Keys, lower: np.ndarray) -> np.ndarray:
    weighed = (c_hw + T_h * lower) / np.maximum(c_h + T_h, 1)  # n, eq. ngr-witten-bell
    return np.where(c_h > 0, weighed, lower)  # n, eq. ngr-witten-bell


def _look_up(wanted: Keys, keys: Keys, values: Keys) -> Keys:
    """Return the value of each wanted key, 0 for one that is not there."""
    if len(keys) == 0:
        return np.zeros(len(wanted), np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)


def ngram_distribution(model: NGram, history: Tokens) -> Float64[np.ndarray, " v"]:
    """Return the probability of every token after a history.

    Args:
        model: the counts.
        history: the tokens before; only the last ``order - 1`` of them matter.

    Returns:
        V positive numbers with the sum 1.

    Raises:
        ValueError: if a token is not one of the model's.

    Examples:
        >>> model = ngram_fit(np.array([0, 1, 0, 1, 1]), order=2, vocab_size=3)
        >>> ngram_distribution(model, np.array([0])).round(4).tolist()
        [0.127, 0.8413, 0.0317]
    """
    short = history[max(len(history) - max(model.order - 1, 0), 0) :]
    everything = [np.append(short, w) for w in range(model.vocab_size)]
    return np.exp([ngram_log_probs(model, text)[-1] for text in everything])


def bits_per_character(nll: float, characters: int) -> float:
    r"""Return how many bits a model needs for a character of a text.

    .. math:: \frac{-\log p(\text{text})}{\text{characters} \cdot \log 2}

    Args:
        nll: minus the natural logarithm of the probability of the text, a sum over its tokens.
        characters: the number of characters (not of tokens) of the text.

    Raises:
        ValueError: if there is no character.

    Examples:
        >>> bits_per_character(4 * np.log(8), characters=4)
        3.0
    """
    check_count("bits_per_character", "characters", characters)
    return float(nll) / (characters * float(np.log(2)))  # eq. ngr-eq-bits


def perplexity(nll: float, tokens: int) -> float:
    r"""Return exp of the mean loss per token: as hard as choosing among so many equal tokens.

    Args:
        nll: minus the natural logarithm of the probability of the text, a sum over its tokens.
        tokens: the number of tokens of the text.

    Raises:
        ValueError: if there is no token.

    Examples:
        >>> round(perplexity(4 * np.log(8), tokens=4), 9)
        8.0
    """
    check_count("perplexity", "tokens", tokens)
    return float(np.exp(nll / tokens))  # eq. ngr-perplexity
