"""Convolution along one axis: the sum, the same as windows times weights, and its transpose."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nnbook._check.convolution import check_axis_of_weights, check_window
from nnbook._check.shapes import check_last_axis
from nnbook._check.values import check_count, check_odd

Signal = Float[np.ndarray, "*batch m"]
Filtered = Float[np.ndarray, "*batch out"]
Kernel = Float[np.ndarray, " k"]


def conv1d_s_loops(z: Signal, w: Kernel) -> Signal:
    r"""Slide a kernel of odd length over a signal: the definition, one product at a time.

    .. math:: y_i = \sum_{j=1}^{2l+1} w_j z_{i-l+j-1}

    What lies before the first and after the last entry of z counts as zero.

    Args:
        z: signals of m numbers, with any axes in front.
        w: k = 2 l + 1 weights.

    Returns:
        An array of the shape and dtype of z.

    Raises:
        ValueError: if w is no row of an odd number of weights.

    Examples:
        >>> conv1d_s_loops(np.array([1.0, 2.0, 4.0]), np.array([1.0, 0.0, -1.0]))
        array([-2., -3.,  2.])
    """
    half, m = half_width("conv1d_s_loops", w), z.shape[-1]
    y = np.zeros_like(z)
    for i in range(m):
        for j in range(len(w)):
            if 0 <= i - half + j < m:
                y[..., i] += w[j] * z[..., i - half + j]  # *batch, eq. cvo-s
    return y


def conv1d_s(z: Signal, w: Kernel) -> Signal:
    r"""Do what `conv1d_s_loops` does, as a product of all windows with the weights.

    Args:
        z: signals of m numbers, with any axes in front.
        w: k = 2 l + 1 weights.

    Returns:
        An array of the shape and dtype of z.

    Raises:
        ValueError: if w is no row of an odd number of weights.

    Examples:
        >>> conv1d_s(np.array([1.0, 2.0, 4.0]), np.array([1.0, 0.0, -1.0]))
        array([-2., -3.,  2.])
    """
    return correlate1d(z, w, padding=half_width("conv1d_s", w))  # *batch m, eq. cvo-s


def conv1d_s_vjp(v: Signal, z: Signal, w: Kernel) -> tuple[Signal, Kernel]:
    r"""Return the gradients of :math:`\langle v, \mathrm{conv1d\_s}(z, w)\rangle` at z and w.

    .. math:: \bar z = Q^\top v, \qquad \bar w_j = \sum_i v_i z_{i-l+j-1}

    Args:
        v: the gradient at the output, of the shape of z.
        z: the signals.
        w: k = 2 l + 1 weights.

    Returns:
        The gradients at z and w.

    Raises:
        ValueError: as `conv1d_s`, and if v and z differ in length.
    """
    return correlate1d_vjp(v, z, w, padding=half_width("conv1d_s_vjp", w))


def output_size(m: int, k: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Return how many positions a kernel of k weights has on m numbers.

    Args:
        m: the length of the signal.
        k: the number of weights.
        stride: the step from one position to the next.
        padding: the number of zeros added at both ends.
        dilation: the step from one weight to the next.

    Returns:
        The length of the output.

    Raises:
        ValueError: if a number is too small, or the kernel does not fit even once.

    Examples:
        >>> output_size(100, 5, stride=2, padding=2)
        50
    """
    who = "output_size"
    k, stride = check_count(who, "k", k), check_count(who, "stride", stride)
    padding = check_count(who, "padding", padding, least=0)
    span = check_count(who, "dilation", dilation) * (k - 1) + 1
    check_window(who, [m + 2 * padding], [span])
    return (m + 2 * padding - span) // stride + 1  # eq. cvo-length


def correlate1d(
    z: Signal, w: Kernel, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Filtered:
    r"""Slide a kernel of any length over a padded signal, with steps.

    .. math:: y_i = \sum_{j=0}^{k-1} w_j z_{s i + d j - p}

    Args:
        z: signals of m numbers, with any axes in front.
        w: k weights.
        stride: s, the step from one position to the next.
        padding: p, the number of zeros added at both ends.
        dilation: d, the step from one weight to the next.

    Returns:
        An array of the dtype of z, whose last axis has the length that `output_size` gives.

    Raises:
        ValueError: if a number is too small, or the kernel does not fit even once.

    Examples:
        >>> correlate1d(np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.0, 1.0]), stride=2)
        array([ 3., 12.])
    """
    check_axis_of_weights("correlate1d", w.shape)
    return windows(z, len(w), stride=stride, padding=padding, dilation=dilation) @ w  # eq. cvo-c


def windows(
    z: Signal, k: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Float[np.ndarray, "*batch out k"]:
    """Return what lies under the kernel at each position, as a view of the padded signal.

    Args:
        z: signals of m numbers, with any axes in front.
        k: the number of weights.
        stride: the step from one position to the next.
        padding: the number of zeros added at both ends.
        dilation: the step from one weight to the next.

    Returns:
        A view that cannot be written to, one row per position.

    Examples:
        >>> windows(np.array([1.0, 2.0, 4.0]), 3, padding=1)
        array([[0., 1., 2.],
               [1., 2., 4.],
               [2., 4., 0.]])
    """
    output_size(z.shape[-1], k, stride=stride, padding=padding, dilation=dilation)
    ends = [(0, 0)] * (z.ndim - 1) + [(padding, padding)]
    padded = np.pad(z, ends) if padding else z
    span = dilation * (k - 1) + 1
    every = np.lib.stride_tricks.sliding_window_view(padded, span, axis=-1)
    return every[..., ::stride, ::dilation]  # *batch out k, eq. cvo-window


def correlate1d_transposed(
    v: Filtered, w: Kernel, m: int, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Signal:
    r"""Add the kernel up at each position, times v there: the transpose of `correlate1d`.

    .. math:: u_a = \sum_{(i, j):\, s i + d j - p = a} w_j v_i

    Args:
        v: one number per position, with any axes in front.
        w: k weights.
        m: the length of the signal that comes out.
        stride: as in `correlate1d`.
        padding: as in `correlate1d`.
        dilation: as in `correlate1d`.

    Returns:
        Signals of m numbers, of the dtype of v.

    Raises:
        ValueError: if a number is too small, or v has not one number per position.

    Examples:
        >>> correlate1d_transposed(np.array([1.0, 10.0]), np.array([1.0, 2.0]), 4, stride=2)
        array([ 1.,  2., 10., 20.])
    """
    who = "correlate1d_transposed"
    check_axis_of_weights(who, w.shape)
    out = output_size(m, len(w), stride=stride, padding=padding, dilation=dilation)
    check_last_axis(who, "v", v.shape, out, "positions")
    total = np.zeros((*v.shape[:-1], m + 2 * padding), v.dtype)
    for j, weight in enumerate(w):
        first = dilation * j
        total[..., first : first + stride * (out - 1) + 1 : stride] += weight * v  # eq. cvo-t
    return total[..., padding : padding + m]


def correlate1d_vjp(
    v: Filtered, z: Signal, w: Kernel, *, stride: int = 1, padding: int = 0, dilation: int = 1
) -> tuple[Signal, Kernel]:
    r"""Return the gradients of :math:`\langle v, \mathrm{correlate1d}(z, w)\rangle` at z and w.

    Args:
        v: the gradient at the output.
        z: the signals.
        w: k weights.
        stride: as in `correlate1d`.
        padding: as in `correlate1d`.
        dilation: as in `correlate1d`.

    Returns:
        The gradients at z and w; that at w is summed over the signals.

    Raises:
        ValueError: as `correlate1d`, and if v has not one number per position.
    """
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    at_z = correlate1d_transposed(v, w, z.shape[-1], **steps)  # *batch m, eq. cvo-at-z
    seen = windows(z, len(w), **steps).reshape(-1, len(w))  # rows k
    at_w = v.reshape(-1) @ seen  # k, eq. cvo-at-w
    return at_z, at_w.astype(w.dtype)


def toeplitz(
    w: Kernel, m: int, *, stride: int = 1, padding: int | None = None, dilation: int = 1
) -> Float[np.ndarray, "out m"]:
    r"""Return the matrix Q of a convolution: ``correlate1d(z, w) = Q z``.

    .. math:: Q_{ib} = w_j \text{ if } b = s i + d j - p \text{ for some } j, \text{ else } 0

    Args:
        w: k weights.
        m: the length of the signals.
        stride: s, as in `correlate1d`.
        padding: p, as in `correlate1d`; None means half the span, so that Q is square for an
            odd number of weights and stride 1.
        dilation: d, as in `correlate1d`.

    Returns:
        One row per position.

    Examples:
        >>> toeplitz(np.array([1.0, 2.0, 3.0]), 4)
        array([[2., 3., 0., 0.],
               [1., 2., 3., 0.],
               [0., 1., 2., 3.],
               [0., 0., 1., 2.]])
        >>> toeplitz(np.array([1.0, 2.0, 3.0]), 4, padding=0)
        array([[1., 2., 3., 0.],
               [0., 1., 2., 3.]])
    """
    p = dilation * (len(w) - 1) // 2 if padding is None else padding
    out = output_size(m, len(w), stride=stride, padding=p, dilation=dilation)
    Q = np.zeros((out, m), w.dtype)
    for i in range(out):
        for j, weight in enumerate(w):
            b = stride * i + dilation * j - p
            if 0 <= b < m:
                Q[i, b] = weight  # eq. cvo-q
    return Q


def half_width(who: str, w: Kernel) -> int:
    """Return l for a kernel of 2 l + 1 weights."""
    check_axis_of_weights(who, w.shape)
    check_odd(who, len(w))
    return len(w) // 2
