"""Rules of the normalizations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def check_spread(who: str, name: str, constant: Any, what: str = "row") -> None:
    """Raise ValueError if any row is constant, and say which; one flag per row."""
    rows = constant.nonzero() if constant.ndim else ()
    if constant.any():
        where = f"{what} {tuple(int(axis[0]) for axis in rows)} of {name}" if rows else name
        raise ValueError(
            f"{who}: {where} is constant, its standard deviation is 0 and 0/0 has no value; "
            "give eps > 0 or leave the row out."
        )


def check_values(who: str, name: str, shape: Sequence[int], least: int) -> None:
    """Raise ValueError unless each channel of a shape (n, c, *s) holds enough values."""
    values = math.prod((*shape[:1], *shape[2:]))
    if values < least:
        raise ValueError(
            f"{who}: expected more than {least - 1} value per channel when training, got "
            f"{values} in {name} of shape {tuple(shape)}; give a larger batch, or use running "
            "statistics (eval mode)."
        )


def check_foldable(who: str, layer: str, rows: bool, training: bool) -> None:
    """Raise ValueError unless a layer has one row per channel and its norm is in eval mode."""
    if not rows:
        raise ValueError(
            f"{who}: {layer} has no weight with one row per output channel; give an affine map or "
            "a convolution that is not transposed."
        )
    if training:
        raise ValueError(
            f"{who}: the batch normalization is in train mode, where it depends on the batch; "
            "call eval() on it first."
        )


def check_maps(who: str, name: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a shape has samples and channels, and numbers in each sample."""
    if len(shape) < 2:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} has {len(shape)} axes; give (n, c, *s), with "
            f"samples first and channels second: {name}[None] for one sample."
        )
    if math.prod(shape[1:]) == 0:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} has no numbers in a sample, and no numbers "
            "have no mean; only the axis of the samples may be empty."
        )


def check_per_channel(who: str, name: str, shape: Sequence[int], channels: int) -> None:
    """Raise ValueError unless there is one number per channel."""
    if tuple(shape) != (channels,):
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} must have shape ({channels},), one number per "
            "channel (axis 1 of the input); reshape it or change the number of channels."
        )


def check_positions(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError if a channel has one position only."""
    if math.prod(shape[2:]) == 1:
        raise ValueError(
            f"{who}: an input of shape {tuple(shape)} has one number per channel, which would be "
            "normalized to 0 whatever it is; give more positions or normalize groups of channels."
        )


def check_several(who: str, shape: Sequence[int], numbers: int) -> None:
    """Raise ValueError if one sample with one number per group is all there is."""
    if numbers == 1:
        raise ValueError(
            f"{who}: an input of shape {tuple(shape)} has one number per group, which would be "
            "normalized to 0 whatever it is; give fewer groups or more positions."
        )
