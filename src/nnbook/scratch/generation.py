"""From logits to a distribution to draw from: temperature, top-k and top-p."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from nnbook._check.values import check_count, check_range

Row = Float[np.ndarray, "*batch v"]
Kept = Bool[np.ndarray, "*batch v"]


def with_temperature(logits: Row, temperature: float | int) -> Row:
    r"""Return the probabilities :math:`p_i \propto e^{z_i / T}`; for T = 0 those of the limit.

    The limit shares the probability equally among the largest logits.

    Args:
        logits: a logit for each token; minus infinity forbids one.
        temperature: T, at least 0; infinity is allowed and shares equally among all that are not
            forbidden.

    Returns:
        Probabilities of the shape and dtype of the logits.

    Raises:
        ValueError: if the temperature is negative.

    Examples:
        >>> with_temperature(np.array([2.0, 1.0, 2.0]), 0.0)
        array([0.5, 0. , 0.5])
    """
    check_range("with_temperature", "temperature", temperature, 0.0, ends="[]")
    below = logits - logits.max(axis=-1, keepdims=True)  # *batch v
    if temperature == 0:
        weight = (below == 0).astype(logits.dtype)  # *batch v, eq. gen-eq-limits
    else:
        allowed = below > -np.inf
        with np.errstate(over="ignore"):  # a tiny T makes minus infinity, which is right
            z = np.where(allowed, below, 0) / logits.dtype.type(temperature)
        weight = np.where(allowed, np.exp(z), 0)  # *batch v, eq. gen-temperature
    return (weight / weight.sum(axis=-1, keepdims=True)).astype(logits.dtype)


def by_rank(p: Row) -> np.ndarray:
    """Return the tokens of each row, the most probable first; of equals the first comes first."""
    return np.argsort(-p, axis=-1, kind="stable")


def top_k_kept(p: Row, k: int) -> Kept:
    """Return which tokens are among the k most probable of their row.

    Args:
        p: probabilities, or logits.
        k: how many to keep, at least 1; more than there are keeps all. Of equals the first is kept.

    Raises:
        ValueError: if k is less than 1.

    Examples:
        >>> top_k_kept(np.array([0.2, 0.5, 0.2, 0.1]), 2)
        array([ True,  True, False, False])
    """
    check_count("top_k_kept", "k", k)
    return _at_ranks(p, np.broadcast_to(np.arange(p.shape[-1]) < k, p.shape))  # eq. gen-top-k


def top_p_kept(p: Row, share: float | int) -> Kept:
    """Return the smallest set of most probable tokens with at least this share of the probability.

    Args:
        p: probabilities.
        share: in (0, 1]. Of equals the first is kept.

    Raises:
        ValueError: if the share is not in (0, 1].

    Source:
        Holtzman, Buys, Du, Forbes and Choi (2020), "The Curious Case of Neural Text Degeneration",
        arXiv:1904.09751.

    Examples:
        >>> top_p_kept(np.array([0.2, 0.5, 0.2, 0.1]), 0.6)
        array([ True,  True, False, False])
    """
    check_range("top_p_kept", "share", share, 0.0, 1.0, ends="(]")
    ranked = np.take_along_axis(p, by_rank(p), axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked  # *batch v, the share of those above
    keep = before < share  # *batch v, eq. gen-eq-top-p
    keep[..., 0] = True
    return _at_ranks(p, keep)


def _at_ranks(p: Row, keep: Kept) -> Kept:
    """Move what is said of ranks to the tokens that have them."""
    kept = np.zeros(p.shape, bool)
    np.put_along_axis(kept, by_rank(p), keep, axis=-1)
    return kept


def sampling_distribution(
    logits: Row,
    temperature: float | int = 1.0,
    top_k: int | None = None,
    top_p: float | int | None = None,
) -> Row:
    """Return the probabilities to draw the next token from: temperature, then top-k, then top-p.

    After each cut the rest is made to sum to 1 again.

    Args:
        logits: a logit for each token.
        temperature: see `with_temperature`.
        top_k: keep so many tokens; None keeps all.
        top_p: keep the smallest set with this share; None keeps all.

    Raises:
        ValueError: as the parts do.

    Examples:
        >>> sampling_distribution(np.log([0.5, 0.3, 0.15, 0.05]), top_p=0.7).round(3)
        array([0.625, 0.375, 0.   , 0.   ])
    """
    p = with_temperature(logits, temperature)
    if top_k is not None:
        p = _only(p, top_k_kept(p, top_k))
    if top_p is not None:
        p = _only(p, top_p_kept(p, top_p))
    return p


def _only(p: Row, kept: Kept) -> Row:
    rest = np.where(kept, p, 0)
    return (rest / rest.sum(axis=-1, keepdims=True)).astype(p.dtype)  # *batch v, eq. gen-cut
