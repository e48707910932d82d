"""Rules of losses, optimizers, training and automatic differentiation."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from nnbook._check.values import check_count


def check_dense_real(who: str, shape: Sequence[int], sparse: bool, is_complex: bool) -> None:
    """Raise NotImplementedError for a parameter with a sparse gradient or complex numbers."""
    if sparse or is_complex:
        kind = "a sparse gradient" if sparse else "complex numbers"
        cure = "sparse=False in the embedding" if sparse else "real numbers"
        raise NotImplementedError(
            f"{who}: the parameter of shape {tuple(shape)} has {kind}, which is not taught in "
            f"this book; use {cure} or torch's own optimizers."
        )


def check_nesterov(who: str, nesterov: bool, momentum: float | int, dampening: float | int) -> None:
    """Raise ValueError if Nesterov's form is asked for without momentum, or with dampening."""
    if nesterov and (momentum <= 0 or dampening != 0):
        raise ValueError(
            f"{who}: nesterov=True with momentum={momentum} and dampening={dampening}; it looks "
            "ahead along the velocity, so give momentum > 0 and dampening=0."
        )


def check_labels(who: str, shape: Sequence[int], wanted: Sequence[int], classes: str) -> None:
    """Raise ValueError unless there is one class per position of the scores."""
    if tuple(shape) != tuple(wanted):
        raise ValueError(
            f"{who}: target has shape {tuple(shape)} where {tuple(wanted)} is wanted, one class "
            f"per position; the classes of the input are on {classes}."
        )


def check_known_class(who: str, wrong: bool, count: int) -> None:
    """Raise IndexError if a target is no class."""
    if wrong:
        raise IndexError(
            f"{who}: a target is out of bounds; with {count} classes the targets are whole numbers "
            f"from 0 to {count - 1}, or ignore_index."
        )


def check_signs(who: str, name: str, other: bool) -> None:
    """Raise ValueError if a label of two classes is neither -1 nor 1."""
    if other:
        raise ValueError(f"{who}: a number of {name} is neither -1 nor 1; write 2 * y - 1 for 0/1.")


def check_picture_axes(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a shape has an axis of samples and two of a picture."""
    if len(shape) < 3:
        raise ValueError(
            f"{who}: input of shape {tuple(shape)} has {len(shape)} axes; give (n, h, w) or "
            "(n, c, h, w), one picture with an axis for the sample in front."
        )


def check_offsets(who: str, by: Sequence[int], shape: Sequence[int], whole: bool) -> None:
    """Raise unless there is a pair of whole numbers for each picture."""
    check_picture_axes(who, shape)
    if not whole:
        raise TypeError(f"{who}: by does not hold whole numbers; pictures move by whole pixels.")
    if tuple(by) != (shape[0], 2):
        raise ValueError(
            f"{who}: by of shape {tuple(by)} must have shape ({shape[0]}, 2), rows down and "
            "columns to the right for each picture."
        )


def check_class_numbers(who: str, name: str, outside: bool, count: int) -> None:
    """Raise IndexError if a class is not one of 0 to count - 1."""
    if outside:
        raise IndexError(
            f"{who}: a class in {name} is out of bounds; with {count} classes give whole numbers "
            f"from 0 to {count - 1}."
        )


def check_layers(who: str, count: int) -> None:
    """Raise ValueError if a network has no layer."""
    if count == 0:
        raise ValueError(f"{who}: there are no layers; give at least one pair of W and b.")


def check_widths(who: str, widths: Sequence[int]) -> None:
    """Raise ValueError unless there are the widths of at least an input and an output."""
    if len(widths) < 2:
        raise ValueError(
            f"{who}: widths={tuple(widths)} has {len(widths)} entries; give the numbers of inputs, "
            "of the units of each hidden layer, and of outputs, at least two numbers."
        )
    for width in widths:
        check_count(who, "a width", width)


def check_logits(who: str, name: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless the last axis holds at least one logit."""
    if len(shape) == 0 or shape[-1] == 0:
        raise ValueError(
            f"{who}: {name} of shape {tuple(shape)} has no logits; give at least one on the last "
            "axis."
        )


def check_varied(who: str, what: str, spread: float) -> None:
    """Raise ValueError unless a spread is a positive finite number."""
    if not 0 < spread < math.inf:
        raise ValueError(
            f"{who}: {what} has a spread of {spread:g} on these data and cannot be scaled; give "
            "samples that differ, and weights that are not all 0."
        )


def check_has_layers(who: str, count: int, names: Collection[str]) -> None:
    """Raise ValueError if a model used no layer of these classes."""
    if count == 0:
        raise ValueError(
            f"{who}: the model used no layer of the classes {list(names)}; give a model with one."
        )


def check_recorded(who: str, recorded: bool) -> None:
    """Raise RuntimeError unless a tensor was computed from one that requires a gradient."""
    if not recorded:
        raise RuntimeError(
            f"{who}: nothing was recorded that leads to this tensor, so there is no way back; "
            "set requires_grad=True where the computation starts, and do not compute in no_grad()."
        )


def check_one_number(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a shape is that of a single number."""
    if math.prod(shape) != 1:
        raise ValueError(
            f"{who}: a tensor of shape {tuple(shape)} is not a single number; "
            "give v, a gradient of that shape, or sum the tensor first."
        )


def check_same_result(who: str, same: bool) -> None:
    """Raise RuntimeError unless a function gave the same result as before."""
    if not same:
        raise RuntimeError(
            f"{who}: the function gave another result the second time, so its gradient would be "
            "that of another computation; draw random numbers before and hand them in."
        )


def check_seen(who: str, seen: bool) -> None:
    """Raise RuntimeError unless every leaf of a function was among its inputs."""
    if not seen:
        raise RuntimeError(
            f"{who}: the function uses a tensor that requires a gradient and is not among its "
            "inputs, so its gradient would be lost; hand it in as an input."
        )
