"""Convolution of pictures: one small kernel at every place, channels, im2col and the adjoint."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from nnbook._check.convolution import check_filters, check_odd_kernel, check_windows
from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_count

from ._precision import wide as _wide

Array = Float[np.ndarray, "..."]
Plane = Float[np.ndarray, "*batch h w"]
Kernel = Float[np.ndarray, "a b"]
Picture = Float[np.ndarray, "*batch c h w"]
Output = Float[np.ndarray, "*batch o h2 w2"]
Columns = Float[np.ndarray, "*batch k p"]
Pair = int | tuple[int, int]


def conv2d_s_loops(z: Float[np.ndarray, "h w"], w: Kernel) -> Float[np.ndarray, "h w"]:
    r"""Compute Conv2D-S entry by entry, as it is defined.

    .. math:: y_{i,j} = \sum_{p=1}^{a} \sum_{q=1}^{b} w_{p,q}\, z_{i+p-l-1,\; j+q-l'-1}

    with :math:`l = (a-1)/2`, :math:`l' = (b-1)/2` and zeros outside of z. Python counts from 0,
    which takes one off i, p and the index of z, so that the -1 vanishes.

    Args:
        z: the picture.
        w: the kernel; both of its lengths are odd.

    Returns:
        An array of the shape of z.

    Raises:
        ValueError: if a length of the kernel is even.

    Examples:
        >>> conv2d_s_loops(np.eye(3), np.array([[1.0, 0.0, 2.0]]))
        array([[0., 1., 0.],
               [2., 0., 1.],
               [0., 2., 0.]])
    """
    half, other = _halves("conv2d_s_loops", w)
    y = np.zeros_like(z)
    for i, j in np.ndindex(z.shape):
        for p, q in np.ndindex(w.shape):
            r, s = i + p - half, j + q - other
            if 0 <= r < z.shape[0] and 0 <= s < z.shape[1]:
                y[i, j] += w[p, q] * z[r, s]  # one number, eq. cvt-eq-s
    return y


def _halves(who: str, w: Kernel) -> tuple[int, int]:
    check_odd_kernel(who, w.shape)
    return (w.shape[0] - 1) // 2, (w.shape[1] - 1) // 2


def conv2d_s(z: Plane, w: Kernel) -> Plane:
    r"""Slide one kernel over one channel, with zeros around; the output has the shape of z.

    The windows are a view of the padded picture, and one matrix product weighs them all.

    Args:
        z: the pictures.
        w: the kernel; both of its lengths are odd.

    Returns:
        An array of the shape and dtype of z.

    Raises:
        ValueError: if a length of the kernel is even.

    Examples:
        >>> conv2d_s(np.eye(3), np.array([[1.0, 0.0, 2.0]]))
        array([[0., 1., 0.],
               [2., 0., 1.],
               [0., 2., 0.]])
    """
    return (_windows_s("conv2d_s", z, w) @ w.ravel()).astype(z.dtype)  # *batch h w, eq. cvt-eq-s


def _windows_s(who: str, z: Plane, w: Kernel) -> Array:
    half, other = _halves(who, w)
    around = [(0, 0)] * (z.ndim - 2) + [(half, half), (other, other)]
    padded = np.pad(_wide(z), around)
    windows = sliding_window_view(padded, w.shape, axis=(-2, -1))  # *batch h w a b
    return windows.reshape(*z.shape, w.size)  # *batch h w (a b)


def conv2d_s_vjp(v: Plane, z: Plane, w: Kernel) -> tuple[Plane, Kernel]:
    r"""Return the gradients of :math:`\langle v, \mathrm{conv2d\_s}(z, w)\rangle` at z and w.

    The first is again such a sum, with the kernel turned by half a turn.

    Args:
        v: the gradient at the output, of the shape of z.
        z: the pictures.
        w: the kernel.

    Returns:
        The gradients at z and w.

    Raises:
        ValueError: if a length of the kernel is even, or v and z differ in shape.

    Examples:
        >>> conv2d_s_vjp(np.eye(2), np.eye(2), np.array([[1.0, 0.0, 2.0]]))[1]
        array([[0., 2., 0.]])
    """
    check_same_shape("conv2d_s_vjp", "v", v.shape, z.shape)
    windows = _windows_s("conv2d_s_vjp", z, w).reshape(-1, w.size)
    grad_w = (_wide(v).reshape(-1) @ windows).reshape(w.shape)  # a b, eq. cvt-eq-s-grad-w
    return conv2d_s(v, w[::-1, ::-1]), grad_w.astype(w.dtype)  # eq. cvt-eq-s-grad-z


def conv2d_matrix(w: Kernel, size: tuple[int, int]) -> Float[np.ndarray, "m m"]:
    r"""Return the matrix of Conv2D-S on pictures that are read row by row.

    .. math:: Q_{(i,j),(r,u)} = w_{r-i+l+1,\; u-j+l'+1}

    where these indices exist, and 0 elsewhere: block (i, r) depends on r - i alone, and within a
    block an entry depends on u - j alone.

    Args:
        w: the kernel; both of its lengths are odd.
        size: height and width of the pictures.

    Returns:
        The square matrix.

    Raises:
        ValueError: if a length of the kernel is even.

    Examples:
        >>> conv2d_matrix(np.array([[1.0, 2.0, 3.0]]), (1, 3))
        array([[2., 3., 0.],
               [1., 2., 3.],
               [0., 1., 2.]])
    """
    halves = _halves("conv2d_matrix", w)
    at = []
    for n, half in zip(size, halves, strict=True):
        places = np.arange(n)
        at.append(places - places[:, None] + half)  # from place i (row) to place r (column)
    down, right = at[0][:, None, :, None], at[1][None, :, None, :]
    inside = (down >= 0) & (down < w.shape[0]) & (right >= 0) & (right < w.shape[1])
    entries = w[np.clip(down, 0, w.shape[0] - 1), np.clip(right, 0, w.shape[1] - 1)]
    total = size[0] * size[1]
    return np.where(inside, entries, 0).reshape(total, total)  # hw hw, eq. cvt-eq-q


def _pair(who: str, name: str, value: Pair, least: int = 1) -> tuple[int, int]:
    pair = value if isinstance(value, tuple) else (value, value)
    return check_count(who, name, pair[0], least), check_count(who, name, pair[1], least)


class _Grid:
    """Where the windows of a convolution lie: the options as pairs, and the output size."""

    def __init__(
        self,
        who: str,
        size: tuple[int, ...],
        kernel: Pair,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
    ) -> None:
        self.size = (size[-2], size[-1])
        self.kernel = _pair(who, "kernel", kernel)
        self.stride, self.dilation = _pair(who, "stride", stride), _pair(who, "dilation", dilation)
        self.padding = _pair(who, "padding", padding, 0)
        self.reach = tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        self.padded = tuple(m + 2 * p for m, p in zip(self.size, self.padding, strict=True))
        check_windows(who, self.reach, self.padded, " with its padding")
        self.out = tuple(
            (m - r) // s + 1  # eq. cvt-eq-size
            for m, r, s in zip(self.padded, self.reach, self.stride, strict=True)
        )

    def places(self, p: int, q: int) -> tuple[slice, slice]:
        """Return where, in the padded picture, entry (p, q) of the kernel lies in all windows."""
        return tuple(
            slice(d * o, d * o + s * (n - 1) + 1, s)
            for o, d, s, n in zip((p, q), self.dilation, self.stride, self.out, strict=True)
        )  # type: ignore[return-value]

    def crop(self, padded: Array) -> Array:
        """Take the padding off again."""
        (a, b), (h, w) = self.padding, self.size
        return padded[..., a : a + h, b : b + w]


def im2col(
    x: Picture, kernel: Pair, *, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> Columns:
    """Write each window of a picture, over all channels, into a column.

    Args:
        x: pictures.
        kernel: height and width of the windows.
        stride: the step from one window to the next.
        padding: how many zeros are put on each side.
        dilation: the step from one entry of a window to the next.

    Returns:
        An array of shape ``(*batch, channels * entries, windows)``; the entries are read channel by
        channel and row by row, the windows row by row.

    Raises:
        ValueError: if no window fits, or an option is out of range.

    Examples:
        >>> im2col(np.arange(9.0).reshape(1, 3, 3), 2)
        array([[0., 1., 3., 4.],
               [1., 2., 4., 5.],
               [3., 4., 6., 7.],
               [4., 5., 7., 8.]])
    """
    grid = _Grid("im2col", x.shape, kernel, stride, padding, dilation)
    columns = _windows(x, grid)  # *batch c a b h' w'
    *batch, c = x.shape[:-2]
    return columns.reshape(*batch, c * _area(grid.kernel), _area(grid.out))  # eq. cvt-eq-im2col


def _area(pair: tuple[int, ...]) -> int:
    return pair[0] * pair[1]


def _windows(x: Array, grid: _Grid) -> Array:
    """Return a view of all windows, with the axes kernel height, kernel width, place, place."""
    around = [(0, 0)] * (x.ndim - 2) + [(p, p) for p in grid.padding]
    view = sliding_window_view(np.pad(x, around), grid.reach, axis=(-2, -1))
    (s, t), (d, e) = grid.stride, grid.dilation
    return np.moveaxis(view[..., ::s, ::t, ::d, ::e], (-2, -1), (-4, -3))


def col2im(
    columns: Columns,
    size: tuple[int, int],
    kernel: Pair,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Picture:
    """Add each column back into the window that `im2col` took it from: its adjoint.

    It is not the inverse: an entry that lies in several windows is added several times.

    Args:
        columns: of the shape that `im2col` returns.
        size: height and width of the pictures.
        kernel: as in `im2col`.
        stride: as in `im2col`.
        padding: as in `im2col`.
        dilation: as in `im2col`.

    Returns:
        Pictures of shape ``(*batch, channels, height, width)``.

    Raises:
        ValueError: if the columns are not those of such windows.

    Examples:
        >>> col2im(np.ones((4, 4)), (3, 3), 2)
        array([[[1., 2., 1.],
                [2., 4., 2.],
                [1., 2., 1.]]])
    """
    grid = _Grid("col2im", size, kernel, stride, padding, dilation)
    *batch, k, _ = columns.shape
    c = max(1, k // _area(grid.kernel))
    wanted = (*batch, c * _area(grid.kernel), _area(grid.out))
    check_same_shape("col2im", "columns", columns.shape, wanted)
    return _gather(columns.reshape(*batch, c, *grid.kernel, *grid.out), grid)


def _gather(windows: Array, grid: _Grid) -> Array:
    """Add windows, with the axes kernel height, kernel width, place, place, into a picture."""
    x = np.zeros((*windows.shape[:-4], *grid.padded), windows.dtype)
    for p, q in np.ndindex(*grid.kernel):
        x[..., *grid.places(p, q)] += windows[..., p, q, :, :]  # eq. cvt-eq-col2im
    return grid.crop(x)


def conv2d_loops(
    x: Float[np.ndarray, "c h w"],
    weight: Float[np.ndarray, "o c2 a b"],
    bias: Float[np.ndarray, " o"] | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Float[np.ndarray, "o h2 w2"]:
    """Do what `conv2d` does, entry by entry, for one picture.

    Args:
        x: the picture.
        weight: the kernels.
        bias: one number for each output channel, or None.
        stride: as in `conv2d`.
        padding: as in `conv2d`.
        dilation: as in `conv2d`.
        groups: as in `conv2d`.

    Returns:
        The output channels.

    Raises:
        ValueError: as `conv2d`.

    Examples:
        >>> conv2d_loops(np.ones((1, 2, 2)), np.ones((1, 1, 2, 2)), np.ones(1))
        array([[[5.]]])
    """
    who = "conv2d_loops"
    check_filters(who, x.shape[0], weight.shape, None if bias is None else bias.shape, groups)
    grid = _Grid(who, x.shape, weight.shape[2:], stride, padding, dilation)
    (s, t), (d, e), (a, b) = grid.stride, grid.dilation, grid.padding
    y = np.zeros((len(weight), *grid.out), x.dtype)
    channels = weight.shape[1]
    for o, i, j in np.ndindex(y.shape):
        first = o // (len(weight) // groups) * channels  # the first channel of this group
        for c, p, q in np.ndindex(weight.shape[1:]):
            r, u = s * i + d * p - a, t * j + e * q - b
            if 0 <= r < x.shape[1] and 0 <= u < x.shape[2]:
                y[o, i, j] += weight[o, c, p, q] * x[first + c, r, u]  # eq. cvt-eq-conv
        if bias is not None:
            y[o, i, j] += bias[o]  # once for a place, not once for each weight
    return y


def conv2d(
    x: Picture,
    weight: Float[np.ndarray, "o c2 a b"],
    bias: Float[np.ndarray, " o"] | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Output:
    r"""Weigh every window of a picture with each kernel: one matrix product with `im2col`.

    .. math:: y = b + \mathrm{reshape}(W)\, \mathrm{im2col}(x)

    Args:
        x: pictures.
        weight: a kernel for each output channel and each input channel of its group.
        bias: one number for each output channel, or None.
        stride: the step from one window to the next.
        padding: how many zeros are put on each side.
        dilation: the step from one entry of a window to the next.
        groups: into how many groups input and output channels are split; an output channel sees
            the inputs of its own group only. With as many groups as input channels the
            convolution is called depthwise.

    Returns:
        An array of shape ``(*batch, outputs, *places)`` and of the dtype of x.

    Raises:
        ValueError: if channels, groups, weight and bias do not fit, or no window fits.

    Source:
        LeCun et al. (1998), "Gradient-Based Learning Applied to Document Recognition".

    Examples:
        >>> conv2d(np.arange(9.0).reshape(1, 3, 3), np.array([[[[-1.0, 1.0]]]]))
        array([[[1., 1.],
                [1., 1.],
                [1., 1.]]])
    """
    grid = _check("conv2d", x, weight, bias, (stride, padding, dilation, groups))
    y = _kernels(weight, groups) @ _columns(_wide(x), grid, groups)  # *batch g o p, eq. cvt-eq-conv
    y = y.reshape(*x.shape[:-3], len(weight), *grid.out)
    return (y if bias is None else y + bias[:, None, None]).astype(x.dtype)  # eq. cvt-eq-bias


def _check(
    who: str, x: Array, weight: Array, bias: Array | None, options: tuple[Pair, Pair, Pair, int]
) -> _Grid:
    stride, padding, dilation, groups = options
    check_filters(who, x.shape[-3], weight.shape, None if bias is None else bias.shape, groups)
    return _Grid(who, x.shape, weight.shape[2:], stride, padding, dilation)


def _kernels(weight: Array, groups: int) -> Array:
    """Return one matrix for each group: a row for each output."""
    per = int(np.prod(weight.shape[1:]))
    return weight.reshape(groups, len(weight) // groups, per)  # g o (c a b)


def _columns(x: Array, grid: _Grid, groups: int) -> Array:
    """Return the columns of `im2col`, for each group of channels its own."""
    *batch, c = x.shape[:-2]
    rows = c // groups * _area(grid.kernel)
    return _windows(x, grid).reshape(*batch, groups, rows, _area(grid.out))


def conv2d_vjp(
    v: Output,
    x: Picture,
    weight: Float[np.ndarray, "o c2 a b"],
    bias: Float[np.ndarray, " o"] | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[Picture, Float[np.ndarray, "o c2 a b"], Float[np.ndarray, " o"] | None]:
    r"""Return the gradients of :math:`\langle v, \mathrm{conv2d}(x)\rangle`.

    Args:
        v: the gradient at the output.
        x: pictures.
        weight: the kernels.
        bias: as in `conv2d`.
        stride: as in `conv2d`.
        padding: as in `conv2d`.
        dilation: as in `conv2d`.
        groups: as in `conv2d`.

    Returns:
        The gradients at x, weight and bias; None for a bias that is None.

    Raises:
        ValueError: as `conv2d`, and if v does not have the shape of the output.

    Examples:
        >>> conv2d_vjp(np.ones((1, 1, 2)), np.arange(3.0).reshape(1, 1, 3), np.ones((1, 1, 1, 2)))
        (array([[[1., 2., 1.]]]), array([[[[1., 3.]]]]), None)
    """
    grid = _check("conv2d_vjp", x, weight, bias, (stride, padding, dilation, groups))
    check_same_shape("conv2d_vjp", "v", v.shape, (*x.shape[:-3], len(weight), *grid.out))
    grad_x = _adjoint(v, weight, grid, groups).astype(x.dtype)  # eq. cvt-eq-grad-x
    columns = _columns(_wide(x), grid, groups).swapaxes(-1, -2)
    at_weight = _by_group(v, grid, groups) @ columns  # *batch g o (c a b), eq. cvt-eq-grad-w
    grad_weight = _sum_batch(at_weight, 3).reshape(weight.shape).astype(weight.dtype)
    if bias is None:
        return grad_x, grad_weight, None
    return grad_x, grad_weight, _sum_batch(v.sum(axis=(-2, -1)), 1)  # eq. cvt-eq-grad-b


def _by_group(v: Array, grid: _Grid, groups: int) -> Array:
    *batch, o = v.shape[:-2]
    return _wide(v).reshape(*batch, groups, o // groups, _area(grid.out))  # *batch g o p


def _sum_batch(terms: Array, kept: int) -> Array:
    return terms.sum(axis=tuple(range(terms.ndim - kept)))


def _adjoint(v: Array, weight: Array, grid: _Grid, groups: int) -> Array:
    """Take v back through the matrix product and through im2col."""
    columns = _kernels(weight, groups).swapaxes(-1, -2) @ _by_group(v, grid, groups)
    channels = groups * weight.shape[1]
    return _gather(columns.reshape(*v.shape[:-3], channels, *grid.kernel, *grid.out), grid)


def conv_transpose2d(
    v: Output,
    weight: Float[np.ndarray, "o c2 a b"],
    bias: Float[np.ndarray, " c"] | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Picture:
    r"""Apply the transposed matrix of `conv2d` with the same weight, then add a bias.

    .. math:: \langle v, \mathrm{conv2d}(x)\rangle = \langle \mathrm{conv\_transpose2d}(v), x\rangle

    Args:
        v: pictures with as many channels as `conv2d` has outputs.
        weight: the kernels of that convolution, not those of its inverse.
        bias: one number for each channel of the result, or None.
        stride: as in `conv2d`.
        padding: as in `conv2d`; here it makes the result smaller.
        output_padding: how much longer the result is than the smallest picture that `conv2d`
            takes to the size of v; less than the stride.
        dilation: as in `conv2d`.
        groups: as in `conv2d`.

    Returns:
        Pictures with as many channels as the convolution has inputs.

    Raises:
        ValueError: if shapes do not fit or an option is out of range.

    Examples:
        >>> conv_transpose2d(np.ones((1, 1, 2)), np.array([[[[1.0, 2.0, 3.0]]]]), stride=2)[0, :1]
        array([[1., 2., 4., 2., 3.]])
    """
    who = "conv_transpose2d"
    a, b = weight.shape[2:]
    (s, t), (d, e) = _pair(who, "stride", stride), _pair(who, "dilation", dilation)
    p, q = _pair(who, "padding", padding, 0)
    f, g = _pair(who, "output_padding", output_padding, 0)
    check_count(who, "stride less output_padding", min(s - f, t - g))
    size = (
        s * (v.shape[-2] - 1) + d * (a - 1) + 1 - 2 * p + f,
        t * (v.shape[-1] - 1) + e * (b - 1) + 1 - 2 * q + g,
    )
    grid = _Grid(who, size, (a, b), (s, t), (p, q), (d, e))
    channels = groups * weight.shape[1]
    check_filters(who, channels, weight.shape, None, groups)
    check_same_shape(who, "v", v.shape[-3:], (len(weight), *grid.out))
    x = _adjoint(v, weight, grid, groups)
    return (x if bias is None else x + bias[:, None, None]).astype(v.dtype)  # eq. cvt-eq-adjoint
