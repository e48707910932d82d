"""Cut a row of tokens into what a language model is trained and judged on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from nnbook._check.values import check_count, check_range

Tokens = Int64[np.ndarray, " n"]
Windows = Int64[np.ndarray, "b t"]
IGNORED = -100  # what torch's cross_entropy leaves out


def token_batches(
    tokens: Tokens, context: int, batch_size: int, steps: int, seed: int
) -> Iterator[tuple[Windows, Windows]]:
    """Draw windows at random places: inputs, and the same one token further as targets.

    Args:
        tokens: the text.
        context: the length of a window.
        batch_size: windows in a batch.
        steps: how many batches.
        seed: of the random places.

    Yields:
        Inputs and targets of shape (batch_size, context); target t is input t + 1.

    Raises:
        ValueError: if the text is not longer than a window.

    Examples:
        >>> x, y = next(token_batches(np.arange(9), context=3, batch_size=2, steps=1, seed=0))
        >>> x.shape, bool((y == x + 1).all())
        ((2, 3), True)
    """
    check_count("token_batches", "batch_size", batch_size)
    _check_longer("token_batches", tokens, context)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        start = rng.integers(0, len(tokens) - context, size=(batch_size, 1))
        place = start + np.arange(context + 1)  # b t+1
        window = tokens[place]
        yield window[:, :-1], window[:, 1:]


def token_windows(
    tokens: Tokens, context: int, stride: int | None = None
) -> tuple[Windows, Windows]:
    """Cut the whole text into windows so that every token but the first is a target once.

    With a stride smaller than the context the windows overlap, and a target that the window before
    had already is not counted again: every prediction but the first few then has at least
    ``context - stride`` tokens before it.

    Args:
        tokens: the text.
        context: the length of a window.
        stride: how far one window lies from the next; None means the context.

    Returns:
        Inputs and targets of shape (windows, context). What is not to be counted is target -100,
        which ``cross_entropy`` ignores; the last window is filled up with input 0.

    Raises:
        ValueError: if the text is not longer than a window, or the stride longer than it.

    Examples:
        >>> token_windows(np.arange(6), context=3)
        (array([[0, 1, 2], [3, 4, 0]]), array([[ 1,  2,  3], [ 4,  5, -100]]))
        >>> token_windows(np.arange(6), context=3, stride=2)[1]
        array([[   1,    2,    3], [-100,    4,    5]])
    """
    _check_longer("token_windows", tokens, context)
    step = context if stride is None else check_count("token_windows", "stride", stride)
    check_range("token_windows", "stride", step, 1, context, ends="[]")
    count = 1 + -(-(len(tokens) - 1 - context) // step)
    place = np.arange(count)[:, None] * step + np.arange(context)  # b t
    there = place < len(tokens) - 1
    x = np.where(there, tokens[np.minimum(place, len(tokens) - 1)], 0)
    y = np.where(there, tokens[np.minimum(place + 1, len(tokens) - 1)], IGNORED)
    y[1:, : context - step] = IGNORED
    return x, y


def _check_longer(who: str, tokens: Tokens, context: int) -> None:
    check_count(who, "context", context)
    if len(tokens) <= context:
        raise ValueError(
            f"{who}: {len(tokens)} tokens are not more than context={context}; give a longer text "
            "or a shorter context."
        )
