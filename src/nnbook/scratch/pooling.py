"""Pooling: each window of a picture becomes its largest number or its mean."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from nnbook._check.convolution import check_pool_padding, check_windows
from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_count

Array = Float[np.ndarray, "..."]
Picture = Float[np.ndarray, "*batch h w"]
Pooled = Float[np.ndarray, "*batch h2 w2"]
Pair = int | tuple[int, int]


def _pair(who: str, name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    return check_count(who, name, pair[0], least), check_count(who, name, pair[1], least)


class _Pool:
    """The windows of a pooling: kernel, stride, padding and the output size."""

    def __init__(
        self, who: str, x: Array, kernel: Pair, stride: Pair | None, padding: Pair
    ) -> None:
        self.kernel = _pair(who, "kernel", kernel)
        self.stride = self.kernel if stride is None else _pair(who, "stride", stride)
        self.padding = _pair(who, "padding", padding, 0)
        check_pool_padding(who, self.padding, self.kernel)
        self.size = x.shape[-2:]
        self.padded = tuple(m + 2 * p for m, p in zip(self.size, self.padding, strict=True))
        check_windows(who, self.kernel, self.padded, " with its padding")
        self.out = tuple(
            (m - k) // s + 1  # eq. pool-eq-size
            for m, k, s in zip(self.padded, self.kernel, self.stride, strict=True)
        )

    def windows(self, x: Array, fill: float) -> Array:
        """Return each window as the last axis, its entries row by row."""
        around = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in self.padding]
        padded = np.pad(x, around, constant_values=fill)
        s, t = self.stride
        view = sliding_window_view(padded, self.kernel, axis=(-2, -1))[..., ::s, ::t, :, :]
        return view.reshape(*view.shape[:-2], self.kernel[0] * self.kernel[1])  # *batch h' w' k

    def gather(self, windows: Array) -> Array:
        """Add windows into a picture, the adjoint of `windows`."""
        x = np.zeros((*windows.shape[:-3], *self.padded), windows.dtype)
        (a, b), (s, t), (h, w) = self.kernel, self.stride, self.out
        for k, (p, q) in enumerate(np.ndindex(a, b)):
            x[..., p : p + s * (h - 1) + 1 : s, q : q + t * (w - 1) + 1 : t] += windows[..., k]
        (p, q), (m, n) = self.padding, self.size
        return x[..., p : p + m, q : q + n]


def max_pool2d(
    x: Picture, kernel: Pair, *, stride: Pair | None = None, padding: Pair = 0
) -> Pooled:
    r"""Return the largest number of each window.

    .. math:: y_i = \max_{p \in \text{window } i} x_p

    Args:
        x: pictures; the axes in front are not mixed.
        kernel: height and width of the windows.
        stride: the step from one window to the next; None means the kernel, so that the windows
            lie side by side.
        padding: how many :math:`-\infty` are put on each side; at most half of the kernel.

    Returns:
        An array of shape ``(*batch, *places)`` and of the dtype of x.

    Raises:
        ValueError: if no window fits, or an option is out of range.

    Examples:
        >>> max_pool2d(np.array([[1.0, 2.0, 5.0, 0.0], [4.0, 3.0, 5.0, 5.0]]), 2)
        array([[4., 5.]])
    """
    windows = _Pool("max_pool2d", x, kernel, stride, padding).windows(x, -np.inf)
    return windows.max(axis=-1)  # *batch h' w', eq. pool-eq-max


def max_pool2d_vjp(
    v: Pooled, x: Picture, kernel: Pair, *, stride: Pair | None = None, padding: Pair = 0
) -> Picture:
    r"""Return the gradient of :math:`\langle v, \mathrm{max\_pool2d}(x)\rangle` at x.

    Each number of v goes to the largest entry of its window; where several are equally large, to
    the first, row by row; where some are NaN, to the last of these. Both are the choices of
    PyTorch: there the maximum has no derivative. The padding is never chosen.

    Args:
        v: the gradient at the output.
        x: pictures.
        kernel: as in `max_pool2d`.
        stride: as in `max_pool2d`.
        padding: as in `max_pool2d`.

    Returns:
        An array of the shape of x.

    Raises:
        ValueError: as `max_pool2d`, and if v does not have the shape of the output.

    Examples:
        >>> max_pool2d_vjp(np.array([[7.0]]), np.array([[1.0, 4.0], [4.0, 0.0]]), 2)
        array([[0., 7.],
               [0., 0.]])
    """
    pool = _Pool("max_pool2d_vjp", x, kernel, stride, padding)
    check_same_shape("max_pool2d_vjp", "v", v.shape, (*x.shape[:-2], *pool.out))
    windows = pool.windows(x, -np.inf)
    largest = windows == windows.max(axis=-1, keepdims=True)
    inside = pool.windows(np.ones(pool.size), 0.0) > 0  # a window of -inf takes no padding
    first = (largest & inside).argmax(axis=-1)  # *batch h' w'
    unordered = np.isnan(windows)
    last = windows.shape[-1] - 1 - unordered[..., ::-1].argmax(axis=-1)  # of the NaN, if any
    chosen = np.where(unordered.any(axis=-1), last, first)[..., None]  # *batch h' w' 1
    sent = np.zeros_like(windows)
    np.put_along_axis(sent, chosen, v[..., None], axis=-1)  # *batch h' w' k, eq. pool-eq-max-grad
    return pool.gather(sent)


def avg_pool2d(
    x: Picture,
    kernel: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Pooled:
    r"""Return the mean of each window.

    Args:
        x: pictures; the axes in front are not mixed.
        kernel: height and width of the windows.
        stride: the step from one window to the next; None means the kernel.
        padding: how many zeros are put on each side; at most half of the kernel.
        count_include_pad: whether these zeros count as entries of the mean.

    Returns:
        An array of shape ``(*batch, *places)`` and of the dtype of x.

    Raises:
        ValueError: if no window fits, or an option is out of range.

    Examples:
        >>> avg_pool2d(np.array([[1.0, 2.0, 5.0, 0.0], [4.0, 3.0, 5.0, 5.0]]), 2)
        array([[2.5 , 3.75]])
    """
    pool = _Pool("avg_pool2d", x, kernel, stride, padding)
    total = pool.windows(x, 0.0).sum(axis=-1)
    return (total / _counts(pool, count_include_pad)).astype(x.dtype)  # eq. pool-eq-avg


def _counts(pool: _Pool, with_padding: bool) -> Array:
    """Return how many entries of each window count."""
    ones = np.ones(pool.size)
    return pool.windows(ones, float(with_padding)).sum(axis=-1)  # h' w'


def avg_pool2d_vjp(
    v: Pooled,
    x: Picture,
    kernel: Pair,
    *,
    stride: Pair | None = None,
    padding: Pair = 0,
    count_include_pad: bool = True,
) -> Picture:
    r"""Return the gradient of :math:`\langle v, \mathrm{avg\_pool2d}(x)\rangle` at x.

    The mean is linear, so x matters only by its shape.

    Args:
        v: the gradient at the output.
        x: pictures.
        kernel: as in `avg_pool2d`.
        stride: as in `avg_pool2d`.
        padding: as in `avg_pool2d`.
        count_include_pad: as in `avg_pool2d`.

    Returns:
        An array of the shape of x.

    Raises:
        ValueError: as `avg_pool2d`, and if v does not have the shape of the output.

    Examples:
        >>> avg_pool2d_vjp(np.array([[8.0]]), np.ones((2, 2)), 2)
        array([[2., 2.],
               [2., 2.]])
    """
    pool = _Pool("avg_pool2d_vjp", x, kernel, stride, padding)
    check_same_shape("avg_pool2d_vjp", "v", v.shape, (*x.shape[:-2], *pool.out))
    share = v / _counts(pool, count_include_pad)
    entries = pool.kernel[0] * pool.kernel[1]
    sent = np.repeat(share[..., None], entries, axis=-1)  # *batch h' w' k, eq. pool-eq-avg-grad
    return pool.gather(sent).astype(x.dtype)


def adaptive_bins(length: int, count: int) -> list[tuple[int, int]]:
    r"""Return where each of ``count`` bins of an axis begins and ends.

    .. math:: \lfloor i m / s \rfloor \le p < \lceil (i + 1) m / s \rceil

    Args:
        length: of the axis, m.
        count: of the bins, s; they overlap where s does not divide m.

    Returns:
        Pairs (start, stop).

    Raises:
        ValueError: if a number is not positive.

    Examples:
        >>> adaptive_bins(5, 3)
        [(0, 2), (1, 4), (3, 5)]
    """
    check_count("adaptive_bins", "length", length)
    check_count("adaptive_bins", "count", count)
    return [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def _averages(length: int, count: int) -> Array:
    """Return the matrix that takes an axis to the means of its bins."""
    matrix = np.zeros((count, length))
    for row, (start, stop) in zip(matrix, adaptive_bins(length, count), strict=True):
        row[start:stop] = 1 / (stop - start)  # eq. pool-eq-bins
    return matrix


def adaptive_avg_pool2d(x: Picture, size: Pair) -> Pooled:
    r"""Return means over a grid of bins whose number is given, whatever the size of x.

    .. math:: y = A\, x\, B^\top

    with one row of averages in A for each row of the output, and one in B for each column. The
    size 1 is global average pooling.

    Args:
        x: pictures; the axes in front are not mixed.
        size: height and width of the output.

    Returns:
        An array of shape ``(*batch, *size)`` and of the dtype of x.

    Raises:
        ValueError: if a length is not positive.

    Examples:
        >>> adaptive_avg_pool2d(np.arange(12.0).reshape(2, 6), (1, 3))
        array([[3.5, 5.5, 7.5]])
    """
    h, w = _pair("adaptive_avg_pool2d", "size", size)
    A, B = _averages(x.shape[-2], h), _averages(x.shape[-1], w)
    return (A @ x @ B.T).astype(x.dtype)  # *batch h' w', eq. pool-eq-adaptive


def adaptive_avg_pool2d_vjp(v: Pooled, x: Picture, size: Pair) -> Picture:
    r"""Return the gradient of :math:`\langle v, \mathrm{adaptive\_avg\_pool2d}(x)\rangle` at x.

    Args:
        v: the gradient at the output.
        x: pictures; only their shape matters.
        size: as in `adaptive_avg_pool2d`.

    Returns:
        An array of the shape of x.

    Raises:
        ValueError: as `adaptive_avg_pool2d`, and if v does not have the shape of the output.

    Examples:
        >>> adaptive_avg_pool2d_vjp(np.array([[6.0]]), np.ones((2, 3)), 1)
        array([[1., 1., 1.],
               [1., 1., 1.]])
    """
    h, w = _pair("adaptive_avg_pool2d_vjp", "size", size)
    check_same_shape("adaptive_avg_pool2d_vjp", "v", v.shape, (*x.shape[:-2], h, w))
    A, B = _averages(x.shape[-2], h), _averages(x.shape[-1], w)
    return (A.T @ v @ B).astype(x.dtype)  # *batch h w, eq. pool-eq-adaptive-grad
