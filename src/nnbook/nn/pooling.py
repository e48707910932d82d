"""Pooling and flattening, drop-ins for ``torch.nn.MaxPool2d``, ``AvgPool2d`` and others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nnbook._check.convolution import check_planes, check_pool_padding, check_windows
from nnbook._check.values import check_count, check_real
from nnbook.nn._convolution import Sizes, as_sizes

from ._precision import wide as _wide

Pictures = Float[Tensor, "..."]
MaybeSizes = int | None | Sequence[int | None]


class _Axis:
    """One axis of a pooling: where the windows begin, and how many there are."""

    def __init__(
        self, length: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool
    ) -> None:
        self.stride, self.padding, self.dilation = stride, padding, dilation
        reach = dilation * (kernel - 1) + 1
        room = length + 2 * padding - reach
        self.out = (-(-room // stride) if ceil else room // stride) + 1  # eq. pool-eq-size
        if ceil and (self.out - 1) * stride >= length + padding:
            self.out -= 1  # a window has to begin in the picture or in front of it
        self.behind = max(padding, (self.out - 1) * stride + reach - length - padding)
        starts = [i * stride - padding for i in range(self.out)]
        stops = [min(start + kernel, length + padding) for start in starts]
        self.with_padding = [b - a for a, b in zip(starts, stops, strict=True)]
        self.inside = [min(b, length) - max(a, 0) for a, b in zip(starts, stops, strict=True)]

        self.length = length

    def entries(self, k: int) -> slice:
        """Return where, on the padded axis, entry k of all windows lies."""
        first = self.dilation * k
        return slice(first, first + self.stride * (self.out - 1) + 1, self.stride)

    def inside_at(self, k: int, device: Any) -> Tensor:
        """Return for which windows entry k is one of the picture, not of the padding."""
        place = torch.arange(self.out, device=device) * self.stride + self.dilation * k
        return (place >= self.padding) & (place < self.padding + self.length)


def _axes(
    who: str, x: Tensor, options: tuple[tuple[int, ...], ...], ceil_mode: bool
) -> tuple[_Axis, _Axis]:
    """Check a picture against kernel, stride, padding and dilation, and lay out the windows."""
    kernel, stride, padding, dilation = options
    check_real(who, "input", x.dtype, x.dtype.is_floating_point)
    check_planes(who, tuple(x.shape))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    check_pool_padding(who, padding, reach)
    size = [m + 2 * p for m, p in zip(x.shape[-2:], padding, strict=True)]
    check_windows(who, reach, size, " with its padding")
    down, right = (
        _Axis(x.shape[i - 2], kernel[i], stride[i], padding[i], dilation[i], ceil_mode)
        for i in range(2)
    )
    return down, right


def _pad(x: Tensor, down: _Axis, right: _Axis, value: float) -> Tensor:
    widths = [right.padding, right.behind, down.padding, down.behind]
    return functional.pad(x, widths, value=value) if any(widths) else x


class _Largest(torch.autograd.Function):
    """The largest entry of each window; which one it was is found again in the backward pass."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, down: _Axis, right: _Axis, kernel: Any) -> Tensor:
        entries = [x[(..., *places)] for places in _entries(down, right, kernel)]
        best = entries[0].clone() if len(entries) == 1 else entries[0]
        for entry in entries[1:]:
            best = torch.maximum(best, entry)  # *batch h' w', eq. pool-eq-max
        return best

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.down, ctx.right, ctx.kernel = inputs
        ctx.save_for_backward(x, output)
        ctx.save_for_forward(x, output)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None, None, None]:
        x, best = (t.detach() for t in ctx.saved_tensors)
        grad = v.new_zeros(x.shape)
        for places, first in _firsts(x, best, ctx.down, ctx.right, ctx.kernel):
            grad[(..., *places)] += v * first  # *batch h' w', eq. pool-eq-max-grad
        return grad, None, None, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: Any) -> Tensor:
        """Take the direction's entry where the largest one is."""
        x, best = (t.detach() for t in ctx.saved_tensors)
        dy = torch.zeros_like(best)
        for places, first in _firsts(x, best, ctx.down, ctx.right, ctx.kernel):
            dy = dy + dx[(..., *places)] * first
        return dy


def _firsts(
    x: Tensor, best: Tensor, down: _Axis, right: _Axis, kernel: Sequence[int]
) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Yield, for each entry of the windows, where it is the one that is chosen.

    That is the first of the largest ones in the picture, never one of the padding, and the last
    NaN where there are any, as in torch.
    """
    spots = list(_entries(down, right, kernel))
    offsets = itertools.product(range(kernel[0]), range(kernel[1]))
    taken = torch.zeros_like(best, dtype=torch.bool)
    lost = []
    for places in reversed(spots) if _has_nan(best) else ():
        lost.append(x[(..., *places)].isnan() & ~taken)
        taken = taken | lost[-1]
    for places, (p, q) in zip(spots, offsets, strict=True):
        first = (x[(..., *places)] == best) & ~taken
        if down.behind or right.behind:
            first = first & (down.inside_at(p, x.device)[:, None] & right.inside_at(q, x.device))
        taken = taken | first
        yield places, first | lost.pop() if lost else first


def _has_nan(t: Tensor) -> bool:
    try:
        return bool(t.isnan().any())
    except RuntimeError:  # inside vmap no value can be asked for: take the careful way
        return True


def _entries(down: _Axis, right: _Axis, kernel: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Yield the places of each entry of the windows, row by row."""
    for p in range(kernel[0]):
        for q in range(kernel[1]):
            yield down.entries(p), right.entries(q)


def max_pool2d(
    input: Pictures,  # noqa: A002  (the name that torch uses)
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""Return the largest number of each window.

    .. math:: y_i = \max_{p \in \text{window } i} x_p

    Args:
        input: pictures, of shape ``(B, C, H, W)`` or ``(C, H, W)``.
        kernel_size: height and width of the windows.
        stride: the step from one window to the next; None means the kernel.
        padding: how many :math:`-\infty` are put on each side.
        dilation: the step from one entry of a window to the next.
        ceil_mode: keep windows that begin in the picture and end behind it.
        return_indices: also return where in its plane, counted row by row, each number stood.

    Returns:
        The numbers, or the pair of numbers and places.

    Raises:
        ValueError: if no window fits, or an option is out of range.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> max_pool2d(torch.tensor([[[1.0, 2.0, 5.0, 0.0], [4.0, 3.0, 5.0, 5.0]]]), 2)
        tensor([[[4., 5.]]])
    """
    who = "max_pool2d"
    kernel = as_sizes(who, "kernel_size", kernel_size, 2)
    steps = kernel if stride is None else as_sizes(who, "stride", stride, 2)
    around = as_sizes(who, "padding", padding, 2, least=0)
    apart = as_sizes(who, "dilation", dilation, 2)
    down, right = _axes(who, input, (kernel, steps, around, apart), ceil_mode)
    padded = _pad(input, down, right, -math.inf)
    y = _Largest.apply(padded, down, right, kernel)  # type: ignore[no-untyped-call]
    if not return_indices:
        return y
    rows = torch.arange(padded.shape[-2], device=y.device)[:, None] - down.padding
    place = rows * input.shape[-1] + torch.arange(padded.shape[-1], device=y.device) - right.padding
    indices = torch.zeros_like(y, dtype=torch.int64)
    for places, first in _firsts(padded.detach(), y.detach(), down, right, kernel):
        indices = indices + place[places] * first
    return y, indices


def avg_pool2d(
    input: Pictures,  # noqa: A002
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Pictures:
    r"""Return the mean of each window.

    Args:
        input: pictures, of shape ``(B, C, H, W)`` or ``(C, H, W)``.
        kernel_size: height and width of the windows.
        stride: the step from one window to the next; None means the kernel.
        padding: how many zeros are put on each side.
        ceil_mode: keep windows that begin in the picture and end behind it; what lies behind the
            padding does not count.
        count_include_pad: whether the zeros count as entries of the mean.
        divisor_override: divide the sum by this in place of the number of entries.

    Returns:
        A tensor of shape ``(*, H', W')`` and of the dtype of the input.

    Raises:
        ValueError: if no window fits, or an option is out of range.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> avg_pool2d(torch.tensor([[[1.0, 2.0, 5.0, 0.0], [4.0, 3.0, 5.0, 5.0]]]), 2)
        tensor([[[2.5000, 3.7500]]])
    """
    who = "avg_pool2d"
    kernel = as_sizes(who, "kernel_size", kernel_size, 2)
    steps = kernel if stride is None else as_sizes(who, "stride", stride, 2)
    around = as_sizes(who, "padding", padding, 2, least=0)
    if divisor_override is not None:
        check_count(who, "divisor_override", divisor_override)
    down, right = _axes(who, input, (kernel, steps, around, (1, 1)), ceil_mode)
    x = _pad(_wide(input), down, right, 0.0)
    rows = reduce(torch.add, [x[..., down.entries(p), :] for p in range(kernel[0])])  # *batch h' w
    total = reduce(torch.add, [rows[..., right.entries(q)] for q in range(kernel[1])])
    if divisor_override is not None:
        return (total / divisor_override).to(input.dtype)
    counts = [a.with_padding if count_include_pad else a.inside for a in (down, right)]
    heights, widths = (torch.tensor(c, device=x.device, dtype=x.dtype) for c in counts)
    return (total / (heights[:, None] * widths)).to(input.dtype)  # *batch h' w', eq. pool-eq-avg


def adaptive_avg_pool2d(input: Pictures, output_size: MaybeSizes) -> Pictures:  # noqa: A002
    r"""Return means over a grid of bins whose number is given, whatever the size of the input.

    Bin i of s bins over m entries goes from :math:`\lfloor i m / s \rfloor` to before
    :math:`\lceil (i + 1) m / s \rceil`. The size 1 is global average pooling.

    Args:
        input: pictures, of shape ``(B, C, H, W)`` or ``(C, H, W)``.
        output_size: height and width of the output; None keeps that of the input.

    Returns:
        A tensor of shape ``(*, H', W')`` and of the dtype of the input.

    Raises:
        ValueError: if a size is not positive, or the input has no entries to take a mean of.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> adaptive_avg_pool2d(torch.arange(12.0).reshape(1, 2, 6), (1, 3))
        tensor([[[3.5000, 5.5000, 7.5000]]])
    """
    who = "adaptive_avg_pool2d"
    check_real(who, "input", input.dtype, input.dtype.is_floating_point)
    check_planes(who, tuple(input.shape))
    pair = output_size if isinstance(output_size, Sequence) else (output_size, output_size)
    asked = [m if s is None else s for s, m in zip(pair, input.shape[-2:], strict=True)]
    h, w = (check_count(who, "output_size", size) for size in asked)
    x = _wide(input)
    if (h, w) == (1, 1):
        return x.mean((-2, -1), keepdim=True).to(input.dtype)
    rows = torch.stack([x[..., a:b, :].mean(-2) for a, b in _bins(x.shape[-2], h)], -2)
    y = torch.stack([rows[..., a:b].mean(-1) for a, b in _bins(x.shape[-1], w)], -1)
    return y.to(input.dtype)  # *batch h' w', eq. pool-eq-adaptive


def _bins(length: int, count: int) -> list[tuple[int, int]]:
    return [
        (i * length // count, -(-(i + 1) * length // count))  # eq. pool-eq-bins
        for i in range(count)
    ]


class MaxPool2d(nn.Module):
    r"""Take the largest number of each window.

    .. math:: y_i = \max_{p \in \text{window } i} x_p

    Args:
        kernel_size: height and width of the windows.
        stride: the step from one window to the next; None means the kernel.
        padding: how many :math:`-\infty` are put on each side; at most half of the kernel.
        dilation: the step from one entry of a window to the next.
        return_indices: return the pair of numbers and of their places in their planes.
        ceil_mode: keep windows that begin in the picture and end behind it.

    Shape:
        - Input: ``(B, C, H, W)`` or ``(C, H, W)``.
        - Output: the same with ``H' = (H + 2 p - d (k - 1) - 1) // s + 1``, and ``W'`` likewise.

    Examples:
        >>> MaxPool2d(2)(torch.zeros(3, 4, 9, 10)).shape
        torch.Size([3, 4, 4, 5])
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Pictures) -> Any:  # noqa: A002
        """Call `max_pool2d` with the module's options."""
        return max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """Name the options, as torch does."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(nn.Module):
    """Take the mean of each window.

    Args:
        kernel_size: height and width of the windows.
        stride: the step from one window to the next; None means the kernel.
        padding: how many zeros are put on each side; at most half of the kernel.
        ceil_mode: keep windows that begin in the picture and end behind it.
        count_include_pad: whether the zeros count as entries of the mean.
        divisor_override: divide the sum by this in place of the number of entries.

    Shape:
        - Input: ``(B, C, H, W)`` or ``(C, H, W)``.
        - Output: the same with ``H' = (H + 2 p - k) // s + 1``, and ``W'`` likewise.

    Examples:
        >>> AvgPool2d(3, stride=2)(torch.ones(3, 9, 8)).shape
        torch.Size([3, 4, 3])
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Pictures) -> Pictures:  # noqa: A002
        """Call `avg_pool2d` with the module's options."""
        return avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """Name the options, as torch does."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(nn.Module):
    """Take means over a grid of bins whose number is given.

    Args:
        output_size: height and width of the output; None keeps that of the input.

    Shape:
        - Input: ``(B, C, H, W)`` or ``(C, H, W)``.
        - Output: the same with the given height and width.

    Examples:
        >>> AdaptiveAvgPool2d(1)(torch.ones(3, 4, 9, 8)).shape
        torch.Size([3, 4, 1, 1])
    """

    def __init__(self, output_size: MaybeSizes) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Pictures) -> Pictures:  # noqa: A002
        """Call `adaptive_avg_pool2d` with the module's size."""
        return adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        """Name the size, as torch does."""
        return f"output_size={self.output_size}"


class Flatten(nn.Module):
    """Put several axes into one; by default all but the first, which counts the samples.

    Args:
        start_dim: the first axis of those.
        end_dim: the last one.

    Examples:
        >>> Flatten()(torch.zeros(2, 3, 4, 5)).shape
        torch.Size([2, 60])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Return the numbers in the same order."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Name the axes, as torch does."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
