"""Convolution of several channels: each output channel is a sum over the input channels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nnbook._check.convolution import check_channel_axis, check_three_axes
from nnbook._check.shapes import check_bias, check_groups, check_same_shape
from nnbook._check.values import check_count
from nnbook.scratch.conv1d import correlate1d, output_size, toeplitz, windows

Signals = Float[np.ndarray, "*batch c m"]
Outputs = Float[np.ndarray, "*batch n out"]
Weights = Float[np.ndarray, "n c_group k"]
Bias = Float[np.ndarray, " n"] | None


def conv_channels_loops(x: Signals, w: Weights, b: Bias = None, **steps: int) -> Outputs:
    r"""Add up one convolution per pair of channels: the definition.

    .. math:: y_{i} = b_i + \sum_{j=1}^{C} \operatorname{corr}(x_j, w_{ij})

    Args:
        x: signals of C channels and m numbers each, with any axes in front.
        w: C' by C kernels of k weights.
        b: one number per output channel; None means zero.
        **steps: stride, padding and dilation, as in `correlate1d`.

    Returns:
        Signals of C' channels.

    Raises:
        ValueError: if the channels do not fit.

    Examples:
        >>> conv_channels_loops(np.array([[1.0, 2.0], [10.0, 20.0]]), np.ones((1, 2, 1)))
        array([[11., 22.]])
    """
    _check("conv_channels_loops", x, w, b, 1)
    outputs = []
    for i in range(len(w)):
        one = 0.0 if b is None else b[i]
        for j in range(x.shape[-2]):
            one = one + correlate1d(x[..., j, :], w[i, j], **steps)  # *batch out, eq. chn-y
        outputs.append(one)
    return np.stack(outputs, axis=-2).astype(x.dtype)


def conv_channels(
    x: Signals, w: Weights, b: Bias = None, *, groups: int = 1, **steps: int
) -> Outputs:
    r"""Do what `conv_channels_loops` does as a product with the columns of windows, in groups.

    .. math:: Y = W X + b \1^\top \text{ for each group}

    Args:
        x: signals of C channels and m numbers each, with any axes in front.
        w: C' by C / groups kernels of k weights.
        b: one number per output channel; None means zero.
        groups: the number of equal groups of channels; an output sees the inputs of its group.
        **steps: stride, padding and dilation, as in `correlate1d`.

    Returns:
        Signals of C' channels.

    Raises:
        ValueError: if the channels do not fit, or cannot be split into that many groups.

    Examples:
        >>> conv_channels(np.array([[1.0, 2.0], [10.0, 20.0]]), np.ones((2, 1, 1)), groups=2)
        array([[ 1.,  2.],
               [10., 20.]])
    """
    _check("conv_channels", x, w, b, groups)
    columns = _columns(x, w.shape[-1], groups, steps)  # *batch g weights out
    rows = w.reshape(groups, len(w) // groups, -1)  # g n/g weights
    y = rows @ columns  # *batch g n/g out, eq. chn-matrix
    y = y.reshape(*x.shape[:-2], len(w), y.shape[-1])
    return (y if b is None else y + b[:, None]).astype(x.dtype)


def conv_channels_vjp(
    v: Outputs, x: Signals, w: Weights, b: Bias = None, *, groups: int = 1, **steps: int
) -> tuple[np.ndarray, ...]:
    r"""Return the gradients of :math:`\langle v, \mathrm{conv\_channels}(x, w, b)\rangle`.

    Args:
        v: the gradient at the output.
        x: the signals.
        w: the kernels.
        b: the bias, or None.
        groups: as in `conv_channels`.
        **steps: as in `conv_channels`.

    Returns:
        The gradients at x and w, and that at b unless b is None.

    Raises:
        ValueError: as `conv_channels`, and if v has not the shape of the output.
    """
    who = "conv_channels_vjp"
    _check(who, x, w, b, groups)
    k, m = w.shape[-1], x.shape[-1]
    check_same_shape(who, "v", v.shape, (*x.shape[:-2], len(w), output_size(m, k, **steps)))
    columns = _columns(x, k, groups, steps)  # *batch g weights out
    signal = v.reshape(*x.shape[:-2], groups, len(w) // groups, v.shape[-1])  # *batch g n/g out
    rows = w.reshape(groups, len(w) // groups, -1)  # g n/g weights
    parts = np.swapaxes(rows, -1, -2) @ signal  # *batch g weights out
    at_x = _spread(parts.reshape(*x.shape[:-1], k, v.shape[-1]), m, steps)  # eq. chn-at-x
    batched = signal @ np.swapaxes(columns, -1, -2)  # *batch g n/g weights, eq. chn-at-w
    at_w = batched.reshape(-1, *w.shape).sum(axis=0)
    at_b = v.reshape(-1, *v.shape[-2:]).sum(axis=(0, 2))  # n
    grads = at_x.astype(x.dtype), at_w.astype(w.dtype)
    return grads if b is None else (*grads, at_b.astype(b.dtype))


def _columns(x: Signals, k: int, groups: int, steps: dict[str, int]) -> np.ndarray:
    """Return for each group the matrix with one column of windows per position."""
    seen = np.swapaxes(windows(x, k, **steps), -1, -2)  # *batch c k out
    return seen.reshape(*x.shape[:-2], groups, x.shape[-2] // groups * k, seen.shape[-1])


def _spread(parts: np.ndarray, m: int, steps: dict[str, int]) -> np.ndarray:
    """Add the entries of the columns up where they came from."""
    stride, padding, dilation = (steps.get(n, d) for n, d in _DEFAULTS.items())
    *front, k, out = parts.shape
    total = np.zeros((*front, m + 2 * padding), parts.dtype)
    for j in range(k):
        last = dilation * j + stride * (out - 1) + 1
        total[..., dilation * j : last : stride] += parts[..., j, :]
    return total[..., padding : padding + m]


_DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1}


def channel_matrix(w: Weights, m: int, **steps: int) -> Float[np.ndarray, "n_out c_m"]:
    """Return the matrix of a convolution of channels laid end to end: a block for each pair.

    Args:
        w: C' by C kernels of k weights.
        m: the length of the signals.
        **steps: stride, padding and dilation, as in `correlate1d`.

    Returns:
        A matrix with one row per number that comes out and one column per number that goes in.

    Examples:
        >>> channel_matrix(np.array([[[1.0, 2.0], [3.0, 4.0]]]), 3)
        array([[1., 2., 0., 3., 4., 0.],
               [0., 1., 2., 0., 3., 4.]])
    """
    check_three_axes("channel_matrix", w.shape)
    padding = steps.pop("padding", 0)
    return np.block([[toeplitz(k, m, padding=padding, **steps) for k in row] for row in w])


def conv_parameters(
    c: int, n: int, k: int, *, groups: int = 1, bias: bool = True, axes: int = 1
) -> int:
    """Return how many numbers a convolution learns.

    Args:
        c: C, the number of channels that come in.
        n: C', the number of channels that go out.
        k: the number of weights of a kernel along each axis.
        groups: the number of groups of channels.
        bias: whether there is a bias.
        axes: the number of axes that the kernel has.

    Returns:
        The number of weights and biases.

    Examples:
        >>> conv_parameters(3, 8, 5)
        128
    """
    who = "conv_parameters"
    for name, size in (("c", c), ("n", n)):
        check_groups(who, check_count(who, name, size), groups, name)
    return k**axes * (c // groups) * n + bias * n  # eq. chn-n


def _check(who: str, x: Signals, w: Weights, b: Bias, groups: int) -> None:
    check_three_axes(who, w.shape)
    check_groups(who, len(w), groups, "n")
    check_channel_axis(who, x.shape[-2:], w.shape[1] * groups, 1)
    check_bias(who, None if b is None else b.shape, len(w))
