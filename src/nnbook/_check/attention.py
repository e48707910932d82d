"""Rules of attention, positions and language models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnbook._check.values import check_count, divisors


def check_attention_shapes(
    who: str,
    q: Sequence[int],
    k: Sequence[int],
    v: Sequence[int],
    names: tuple[str, str, str] = ("q", "k", "v"),
) -> None:
    """Raise ValueError unless queries and keys are equally long, and there is a value per key."""
    a, b, c = names
    for name, shape in ((a, q), (b, k), (c, v)):
        if len(shape) < 2:
            raise ValueError(
                f"{who}: {name} of shape {tuple(shape)} has {len(shape)} axes; give one row per "
                "position, with any axes in front."
            )
    if q[-1] != k[-1]:
        raise ValueError(
            f"{who}: {a} of shape {tuple(q)} and {b} of shape {tuple(k)} have rows of different "
            "length, and so no scalar products; project both to the same length."
        )
    if k[-2] != v[-2]:
        raise ValueError(
            f"{who}: {b} of shape {tuple(k)} has {k[-2]} rows and {c} of shape {tuple(v)} has "
            f"{v[-2]}; give one row of {c} for each row of {b}."
        )
    try:
        np.broadcast_shapes(tuple(q[:-2]), tuple(k[:-2]), tuple(v[:-2]))
    except ValueError:
        raise ValueError(
            f"{who}: the axes in front of {a}, {b}, {c} of shapes {tuple(q)}, {tuple(k)}, "
            f"{tuple(v)} cannot be broadcast; give all the same, or heads in groups."
        ) from None


def check_head_groups(who: str, heads: int, groups: int) -> None:
    """Raise ValueError unless each head of keys serves the same number of heads of queries."""
    if groups < 1 or heads % groups:
        fits = divisors(heads)
        raise ValueError(
            f"{who}: {heads} heads of queries cannot share {groups} heads of keys and values "
            f"equally; for {heads} heads use one of {fits}."
        )


def check_heads(who: str, width: int, heads: int, name: str = "embed_dim") -> None:
    """Raise ValueError unless a width can be split into so many equal heads."""
    if width % heads:
        fits = divisors(width)
        raise ValueError(
            f"{who}: {name}={width} cannot be split into {heads} heads of the same length; for "
            f"{width} use one of {fits}."
        )


def check_mask(who: str, name: str, dtype: object, fits: bool) -> None:
    """Raise TypeError unless a mask is boolean or holds numbers that can be added to scores."""
    if not fits:
        raise TypeError(
            f"{who}: {name} holds {dtype}; give booleans, or floating point numbers of the type "
            "of the query that are added to the scores."
        )


def check_table(who: str, rows: int, outside: bool) -> None:
    """Raise IndexError if a number names no row of a table."""
    if outside:
        raise IndexError(
            f"{who}: an index is out of range; a table of {rows} rows takes whole numbers from 0 "
            f"to {rows - 1}."
        )


def check_row(who: str, name: str, got: int, rows: int) -> None:
    """Raise ValueError unless a number names a row, counted from the front or from the end."""
    if not -rows <= got < rows:
        raise ValueError(
            f"{who}: {name}={got} lies outside a table of {rows} rows; give a number from "
            f"{-rows} to {rows - 1}."
        )


def check_table_length(who: str, last: int, rows: int) -> None:
    """Raise ValueError if a sequence goes on after the last position that has a vector."""
    if last > rows:
        raise ValueError(
            f"{who}: the sequence ends at position {last - 1} and the table has {rows} rows; a "
            "position that was not learnt has no vector: cut the sequence or make a longer table."
        )


def check_rotary(who: str, name: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a shape has an axis of positions and an even axis of features."""
    if len(shape) < 2 or shape[-1] % 2 or shape[-1] == 0:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} must be (*batch, t, d) with an even d, because "
            "features are rotated in pairs; give an even number of features."
        )


def check_tokens(who: str, tokens: np.ndarray, vocab_size: int) -> None:
    """Raise ValueError unless every token is a number from 0 to V - 1."""
    check_count(who, "vocab_size", vocab_size)
    if tokens.ndim != 1:
        raise ValueError(f"{who}: tokens have shape {tokens.shape}; give one row of numbers.")
    if len(tokens) and not (tokens.min() >= 0 and tokens.max() < vocab_size):
        raise ValueError(
            f"{who}: there are tokens from {tokens.min()} to {tokens.max()}, and with "
            f"vocab_size={vocab_size} they go from 0 to {vocab_size - 1}; change one or the other."
        )


def check_shared(who: str, name: str, got: int, count_name: str, count: int) -> None:
    """Raise ValueError unless so many heads share something equally."""
    check_count(who, count_name, count)
    if got % count:
        fits = divisors(got)
        raise ValueError(
            f"{who}: {name}={got} cannot be shared equally by {count_name}={count}; use one of "
            f"{fits}."
        )


def check_fits_context(who: str, past: int, count: int, context: int) -> None:
    """Raise ValueError if a text is longer than a model can read."""
    if past + count > context:
        before = f" after {past} in the cache" if past else ""
        raise ValueError(
            f"{who}: {count} tokens{before} do not fit into context={context}; give a shorter "
            "text, or start again with the last tokens and an empty cache."
        )
