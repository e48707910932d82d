"""Rules of convolution, pooling and residual nets."""

from __future__ import annotations

from collections.abc import Sequence

from nnbook._check.shapes import check_bias, check_matrix
from nnbook._check.values import check_count


def check_pictures(who: str, shape: Sequence[int], channels: int) -> None:
    """Raise ValueError unless a shape is that of pictures with so many channels."""
    if len(shape) != 4 or shape[1] != channels:
        raise ValueError(
            f"{who}: input has shape {tuple(shape)} where (n, {channels}, h, w) is wanted; "
            "add the axes that are missing, or build the module for other channels."
        )


def check_odd_kernel(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a kernel has two axes, both of odd length."""
    check_matrix(who, "w", shape)
    if not all(k % 2 for k in shape):
        raise ValueError(
            f"{who}: w of shape {tuple(shape)} has a side of even length and so no entry in its "
            "middle; give odd lengths, or use conv2d, where the padding is yours to choose."
        )


def check_windows(who: str, window: Sequence[int], size: Sequence[int], padded: str) -> None:
    """Raise ValueError unless at least one window fits into a padded picture."""
    if any(k > m for k, m in zip(window, size, strict=True)):
        raise ValueError(
            f"{who}: a window that reaches over {tuple(window)} does not fit into a picture of "
            f"{tuple(size)}{padded}; make the kernel or its dilation smaller, or pad more."
        )


def check_filters(
    who: str,
    channels: int,
    weight: Sequence[int],
    bias: Sequence[int] | None,
    groups: int,
    axes: int = 2,
) -> None:
    """Raise ValueError unless weight and bias fit a picture's channels, split into groups."""
    if len(weight) != axes + 2:
        raise ValueError(
            f"{who}: weight of shape {tuple(weight)} has {len(weight)} axes; give {axes + 2}: "
            f"outputs, inputs of a group, and {axes} of the kernel."
        )
    check_count(who, "groups", groups)
    if channels != weight[1] * groups:
        raise ValueError(
            f"{who}: the input has {channels} channels where weight of shape {tuple(weight)} with "
            f"groups={groups} takes {weight[1] * groups}; give the input that many, or change "
            "weight or groups."
        )
    if weight[0] % groups:
        raise ValueError(
            f"{who}: {weight[0]} outputs cannot be split into groups={groups} equal groups; give a "
            "number of outputs that groups divides."
        )
    check_bias(who, bias, weight[0])


def check_pool_padding(who: str, padding: Sequence[int], kernel: Sequence[int]) -> None:
    """Raise ValueError if a window could lie in the padding alone."""
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(
            f"{who}: padding={tuple(padding)} is more than half of the kernel {tuple(kernel)}, so "
            "that a window could hold no number of the picture; pad at most half of the kernel."
        )


def check_planes(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a shape is (B, C, H, W) or (C, H, W) with pixels."""
    if len(shape) not in (3, 4) or 0 in shape[-2:]:
        raise ValueError(
            f"{who}: input of shape {tuple(shape)} is no picture; give (B, C, H, W) or (C, H, W) "
            "with at least one row and one column."
        )


def check_stride_one(who: str, padding: str, stride: Sequence[int]) -> None:
    """Raise ValueError if 'same' is asked for with a stride."""
    if padding == "same" and any(s != 1 for s in stride):
        raise ValueError(
            f"{who}: padding='same' keeps the size only for stride 1, got stride={tuple(stride)}; "
            "give the padding as a number."
        )


def check_window(who: str, sizes: Sequence[int], spans: Sequence[int]) -> None:
    """Raise ValueError if a kernel does not fit on the padded input."""
    if any(m < k for m, k in zip(sizes, spans, strict=True)):
        raise ValueError(
            f"{who}: the kernel spans {tuple(spans)} entries and the padded input has only "
            f"{tuple(sizes)}; give a longer input, more padding or a smaller kernel."
        )


def check_pad_fits(who: str, mode: str, size: int, width: int) -> None:
    """Raise ValueError if an axis has too few entries to be copied into its padding."""
    most = {"reflect": size - 1, "circular": size, "replicate": width if size else 0}
    if width > most.get(mode, width):
        raise ValueError(
            f"{who}: padding_mode={mode!r} can add at most {most[mode]} entries at each end of an "
            f"axis of {size}, got {width}; give less padding or use 'zeros'."
        )


def check_axis_of_weights(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless a kernel has one axis with at least one weight."""
    if len(shape) != 1 or shape[0] == 0:
        raise ValueError(
            f"{who}: w has shape {tuple(shape)} where (k,) with k >= 1 is wanted; "
            "give one axis of weights."
        )


def check_fits_circle(who: str, k: int, m: int) -> None:
    """Raise ValueError if a kernel is longer than the circle."""
    if k > m:
        raise ValueError(
            f"{who}: {k} weights on a circle of {m} entries would meet some entries twice; "
            f"give at most {m} weights."
        )


def check_three_axes(who: str, shape: Sequence[int]) -> None:
    """Raise ValueError unless weights have the axes output channel, input channel, offset."""
    if len(shape) != 3 or 0 in shape:
        raise ValueError(
            f"{who}: w has shape {tuple(shape)} where (outputs, inputs, k) is wanted, each at "
            "least 1; add the axes of the channels."
        )


def check_channel_axis(who: str, shape: Sequence[int], channels: int, n: int) -> None:
    """Raise ValueError unless a shape is (B, C, *sizes) or (C, *sizes) with n sizes."""
    if len(shape) not in (n + 1, n + 2) or shape[-n - 1] != channels:
        sizes = ", ".join(("H", "W") if n == 2 else ("L",) if n == 1 else ("*",) * n)
        raise ValueError(
            f"{who}: input of shape {tuple(shape)} must be (B, {channels}, {sizes}) or "
            f"({channels}, {sizes}), with {channels} channels; change in_channels or move the axes."
        )


def check_keeps_width(who: str, got: int, wanted: int, do: str) -> None:
    """Raise ValueError unless a branch returns vectors as long as those that it is added to."""
    if got != wanted:
        raise ValueError(
            f"{who}: the branch returns vectors of length {got} and its input has length {wanted}; "
            f"to be added both must be equal: {do}."
        )


def check_starts_at_zero(who: str, activation: str, value: float, slope: float) -> None:
    """Raise ValueError unless a branch that ends in an activation can start at zero and leave it.

    ``value`` and ``slope`` are those of the activation at 0.
    """
    if value != 0:
        raise ValueError(
            f"{who}: zero_init with {activation} at the end of the branch starts at {value:g} and "
            "not at 0; give outer=False."
        )
    if slope == 0:
        raise ValueError(
            f"{who}: zero_init with {activation} at the end of the branch would stay zero for "
            "ever, because the slope there is 0 and no gradient comes through; give outer=False."
        )
