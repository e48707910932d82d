"""Rules of shapes that more than one topic needs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from nnbook._check.values import check_count, check_not_empty, divisors


def check_matrix(who: str, name: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a shape has two axes."""
    if len(shape) != 2:
        hint = f"; write {name}[None, :] for one row, {name}[:, None] for one column"
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} has {len(shape)} axes; give a matrix, which "
            f"has 2{hint if len(shape) == 1 else ''}."
        )


def check_inner(who: str, a: Sequence[int], b: Sequence[int]) -> None:
    """Raise ValueError unless two shapes are those of matrices that can be multiplied."""
    check_matrix(who, "A", a)
    check_matrix(who, "B", b)
    if a[1] != b[0]:
        raise ValueError(
            f"Incompatible matrix dimensions: {who} got A of shape {tuple(a)} and B of shape "
            f"{tuple(b)}, but the {a[1]} columns of A must be as many as the {b[0]} rows of B; "
            "transpose one of them or exchange them."
        )


def check_last_axis(who: str, name: str, shape: Sequence[int], wanted: int, why: str) -> None:
    """Raise ValueError unless the last axis has the wanted length; ``why`` says what it fits."""
    if not shape or shape[-1] != wanted:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} must end in an axis of length {wanted}, the "
            f"number of {why}; transpose {name} or give weights of another shape."
        )


def check_bias(who: str, shape: Sequence[int] | None, outputs: int) -> None:
    """Raise ValueError unless there is no bias, or one number per output."""
    if shape is not None and tuple(shape) != (outputs,):
        raise ValueError(
            f"{who}: b of shape {tuple(shape)} must have shape ({outputs},), one number per "
            "output; reshape it."
        )


def check_fans(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a weight has at least an output axis and an input axis."""
    if len(shape) < 2:
        raise ValueError(
            f"{who}: a weight of shape {tuple(shape)} has no fan in and fan out; give one of "
            "shape (out, in) or (out, in, *kernel)."
        )


def check_takes(who: str, got: Sequence[int], wanted: Sequence[int], before: str) -> None:
    """Raise ValueError unless a shape ends in the lengths that a module wants."""
    if tuple(got[-len(wanted) :]) != tuple(wanted):
        text = ", ".join(map(str, ("*", *wanted)))
        raise ValueError(
            f"{who} cannot take shape {tuple(got)} from {before}, it wants ({text}); "
            "change the width of one of the two."
        )


def check_addable(
    who: str, shapes: Mapping[str, Sequence[int]], do: str = "make them equal or use 'concat'"
) -> None:
    """Raise ValueError unless all shapes are the same; nothing is broadcast."""
    if len({tuple(shape) for shape in shapes.values()}) > 1:
        text = ", ".join(f"{name} of shape {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(f"{who}: got {text}; to be added their shapes must be equal: {do}.")


def check_joinable(who: str, shapes: Mapping[str, Sequence[int]], dim: int) -> None:
    """Raise ValueError unless all shapes are the same but for the axis ``dim``."""
    axes = min(len(shape) for shape in shapes.values())
    others = {
        tuple(n for i, n in enumerate(shape) if i != dim % len(shape))
        for shape in shapes.values()
        if -axes <= dim < axes
    }
    if len(others) != 1:
        text = ", ".join(f"{name} of shape {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(
            f"{who}: got {text}; to be joined along axis {dim} they must have that axis and agree "
            "in all others: change a branch or the axis."
        )


def check_same_shape(who: str, name: str, shape: Sequence[int], wanted: Sequence[int]) -> None:
    """Raise ValueError unless a shape is exactly the wanted one; nothing is broadcast."""
    if tuple(shape) != tuple(wanted):
        raise ValueError(
            f"{who}: {name} has shape {tuple(shape)} where {tuple(wanted)} is wanted; "
            "give it that shape."
        )


def check_last_axes(who: str, name: str, shape: Sequence[int], count: int) -> None:
    """Raise ValueError unless the last ``count`` axes exist and hold at least one number."""
    if not 1 <= count <= len(shape):
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} has {len(shape)} axes, and its last {count} "
            f"are to be normalized; give a count from 1 to {len(shape)}, or more axes."
        )
    if math.prod(shape[len(shape) - count :]) == 0:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} has no numbers in its last {count} axes, and "
            "no numbers have no mean; only axes before these may be empty."
        )


def check_ends_in(who: str, name: str, shape: Sequence[int], wanted: Sequence[int]) -> None:
    """Raise ValueError unless a shape ends in the wanted lengths, one at least."""
    check_not_empty(who, "normalized_shape", wanted)
    if tuple(shape[-len(wanted) :]) != tuple(wanted):
        raise ValueError(
            f"{who}: {name} has shape {tuple(shape)}, and its last axes should be {tuple(wanted)}; "
            "change normalized_shape or the input."
        )


def check_channels(who: str, name: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a shape has an axis of samples and one of channels."""
    if len(shape) < 2:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} has {len(shape)} axes; give (n, c, *s), with "
            "the samples on axis 0 and the channels on axis 1."
        )


def check_axes(who: str, name: str, shape: Sequence[int], allowed: Sequence[int]) -> None:
    """Raise ValueError unless a shape has one of the allowed numbers of axes."""
    if len(shape) not in allowed:
        wanted = " or ".join(f"{n}D" for n in allowed)
        raise ValueError(
            f"{who}: expected {wanted} input (got {len(shape)}D input): {name} has shape "
            f"{tuple(shape)}; give one with {' or '.join(map(str, allowed))} axes."
        )


def check_groups(who: str, channels: int, groups: int, name: str = "") -> None:
    """Raise ValueError unless the channels can be split into so many equal groups."""
    groups = check_count(who, "groups", groups)
    if channels % groups:
        fits = divisors(channels)
        raise ValueError(
            f"{who}: {name and name + '='}{channels} channels cannot be split into groups={groups} "
            f"equal groups; for {channels} channels use one of {fits}."
        )


def check_axis_count(who: str, got: Sequence[int], wanted: Collection[int], axes: str) -> None:
    """Raise ValueError unless a shape has one of the wanted numbers of axes."""
    if len(got) not in wanted:
        raise ValueError(f"{who}: an input of shape {tuple(got)} has {len(got)} axes; give {axes}.")


def check_broadcastable(
    who: str, name: str, shape: Sequence[int], wanted: Sequence[int], least: int = 2
) -> None:
    """Raise ValueError unless a shape broadcasts to the wanted one, and has enough axes."""
    fits = least <= len(shape) <= len(wanted) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(wanted), strict=False)
    )
    if not fits:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} cannot be broadcast to {tuple(wanted)}, the "
            "shape of the scores (queries and keys last); reshape it."
        )


def check_rows(who: str, shape: Sequence[int], dim: int) -> None:
    """Raise ValueError unless a shape is that of sequences of vectors with ``dim`` features."""
    if len(shape) < 2 or shape[-1] != dim:
        raise ValueError(
            f"{who}: input of shape {tuple(shape)} must be (*batch, t, {dim}), positions before "
            f"features; move the axes, or build the module for other features."
        )
