"""What the convolutions of one, two and more axes share: sizes, padding, patches, the product.

A convolution is a product of the weights with a matrix of patches: each column of it holds the
numbers under the kernel at one position. Everything here works for any number n of axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from nnbook._check.convolution import (
    check_channel_axis,
    check_pad_fits,
    check_stride_one,
    check_window,
)
from nnbook._check.shapes import check_groups, check_same_shape
from nnbook._check.values import check_choice, check_count, check_real, check_same_length

Sizes = int | Sequence[int]
Widths = tuple[tuple[int, int], ...]
"""For each axis the number of entries added in front and behind."""
Maybe = Tensor | None
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")

_fused: ContextVar[bool] = ContextVar("fused", default=False)


@contextmanager
def fused_convolution(on: bool = True) -> Iterator[None]:
    """Let the convolutions inside the ``with`` block call the fused kernels of torch.

    The values and gradients are the same up to rounding; what changes is the time. The
    switch for attention is `fused_attention`; no other module has one.

    Args:
        on: False goes back to the products of the book inside an outer block.

    Yields:
        Nothing.

    Examples:
        >>> import torch
        >>> from nnbook import nn
        >>> conv = nn.Conv1d(2, 3, 5)
        >>> x = torch.randn(4, 2, 9)
        >>> with nn.fused_convolution():
        ...     y = conv(x)
        >>> torch.allclose(y, conv(x), atol=1e-6)
        True
    """
    token = _fused.set(on)
    try:
        yield
    finally:
        _fused.reset(token)


def as_sizes(who: str, name: str, got: Sizes, n: int, least: int = 1) -> tuple[int, ...]:
    """Return one whole number per axis: a single one is taken for all of them."""
    if isinstance(got, Iterable):
        numbers = tuple(got)
        check_same_length(who, name, numbers, "the axes", range(n))
    else:
        numbers = (got,) * n
    return tuple(check_count(who, name, number, least) for number in numbers)


def span(kernel: int, dilation: int) -> int:
    """Return the number of entries from the first to the last one that a kernel touches."""
    return dilation * (kernel - 1) + 1


def pad_widths(
    padding: str | tuple[int, ...], kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> Widths:
    """Return how many entries are added at both ends of each axis.

    For ``"same"`` an even span needs an odd number of entries; the odd one goes behind.
    """
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if isinstance(padding, str):
        added = [span(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
        return tuple((a // 2, a - a // 2) for a in added)
    return tuple((p, p) for p in padding)


def output_size(size: int, kernel: int, stride: int = 1, dilation: int = 1, added: int = 0) -> int:
    """Return the number of positions of a kernel on ``size + added`` entries."""
    return (size + added - span(kernel, dilation)) // stride + 1


def pad(who: str, x: Tensor, widths: Widths, mode: str) -> Tensor:
    """Add entries at both ends of the last axes: zeros, or copies of entries of x."""
    if not any(map(any, widths)):
        return x
    for size, width in zip(x.shape[x.dim() - len(widths) :], widths, strict=True):
        check_pad_fits(who, mode, size, max(width))
    flat = [w for width in reversed(widths) for w in width]
    return functional.pad(x, flat, mode="constant" if mode == "zeros" else mode)


def patches(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """Return the view of x that holds the entries under the kernel at every position.

    Args:
        x: of shape (B, C, *sizes).
        kernel: the number of weights along each axis.
        stride: the step from one position to the next.
        dilation: the step from one weight to the next.

    Returns:
        A view of shape (B, C, *positions, *kernel).
    """
    for axis, (k, s, d) in enumerate(zip(kernel, stride, dilation, strict=True), start=2):
        x = x.unfold(axis, span(k, d), s)[..., ::d]
    return x


def columns(x: Tensor, groups: int, kernel: Sequence[int], *steps: Sequence[int]) -> Tensor:
    """Return the matrix of patches of each group, of shape (B, groups, weights, positions)."""
    n = len(kernel)
    view = patches(x, kernel, *steps)  # B C *positions *kernel
    front = view.permute(0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n))
    batch, channels = x.shape[:2]
    weights = channels // groups * math.prod(kernel)
    return front.reshape(batch, groups, weights, math.prod(view.shape[2 : 2 + n]))


def spread(
    entries: Tensor, shape: Sequence[int], kernel: Sequence[int], *steps: Sequence[int]
) -> Tensor:
    """Add the entries of the columns up where they came from: the transpose of `columns`.

    Args:
        entries: of shape (B, groups, weights, positions).
        shape: the shape (B, C, *sizes) of what the columns were taken from.
        kernel: the number of weights along each axis.
        *steps: stride and dilation.

    Returns:
        A tensor of that shape.
    """
    stride, dilation = steps
    sizes = [
        output_size(m, k, s, d)
        for m, k, s, d in zip(shape[2:], kernel, stride, dilation, strict=True)
    ]
    parts = entries.reshape(shape[0], shape[1], math.prod(kernel), *sizes)
    total = entries.new_zeros(tuple(shape))
    for number, offset in enumerate(_offsets(kernel)):
        where: list[Any] = [
            slice(j * d, j * d + s * (out - 1) + 1, s)
            for j, d, s, out in zip(offset, dilation, stride, sizes, strict=True)
        ]
        total[(..., *where)] += parts[:, :, number]
    return total


def _offsets(kernel: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Return the positions in a kernel, the last axis fastest."""
    return iter(torch.cartesian_prod(*map(torch.arange, kernel)).reshape(-1, len(kernel)).tolist())


def _per_group(t: Tensor, groups: int) -> Tensor:
    """Give the channels of (B, C, *positions) two axes, and the positions one."""
    return t.reshape(t.shape[0], groups, t.shape[1] // groups, math.prod(t.shape[2:]))


class _Convolve(torch.autograd.Function):
    """The product of the weights with the columns, and its three derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Maybe, stride: Any, dilation: Any, groups: int
    ) -> Tensor:
        kernel = weight.shape[2:]
        cols = columns(x, groups, kernel, stride, dilation)  # B g weights positions
        rows = weight.reshape(groups, weight.shape[0] // groups, cols.shape[2])  # g out weights
        sizes = map(output_size, x.shape[2:], kernel, stride, dilation)
        shape = (x.shape[0], weight.shape[0], *sizes)
        if groups == 1 and bias is not None:  # the sum and the product in one pass
            batch = rows.expand(x.shape[0], -1, -1)
            return torch.baddbmm(bias[:, None], batch, cols[:, 0]).reshape(shape)  # eq. chn-matrix
        y = torch.matmul(rows[0], cols[:, 0]) if groups == 1 else torch.matmul(rows, cols)
        y = y.reshape(shape)  # B out *positions, eq. chn-matrix
        return y if bias is None else y + bias.reshape(-1, *[1] * len(kernel))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, weight, bias, ctx.stride, ctx.dilation, ctx.groups = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        steps, groups, kernel = (ctx.stride, ctx.dilation), ctx.groups, weight.shape[2:]
        at_x = at_weight = at_bias = None
        signal = _per_group(v, groups)  # B g out positions
        if ctx.needs_input_grad[0]:
            rows = weight.reshape(groups, weight.shape[0] // groups, -1)  # g out weights
            entries = torch.matmul(rows.mT, signal)  # B g weights positions
            at_x = spread(entries, x.shape, kernel, *steps)
        if ctx.needs_input_grad[1]:
            cols = columns(x, groups, kernel, *steps)
            at_weight = torch.matmul(signal, cols.mT).sum(0).reshape(weight.shape)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            at_bias = v.sum((0, *range(2, v.dim())))
        return at_x, at_weight, at_bias, None, None, None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, dweight: Maybe, dbias: Maybe, *rest: Any) -> Maybe:
        """Push directions forward: the product rule, as y is linear in x and in the weights."""
        x, weight = ctx.saved_tensors
        steps = ctx.stride, ctx.dilation, ctx.groups
        dy = None
        if dx is not None:
            dy = _Convolve.apply(dx, weight, None, *steps)  # type: ignore[no-untyped-call]
        if dweight is not None:
            other = _Convolve.apply(x, dweight, None, *steps)  # type: ignore[no-untyped-call]
            dy = other if dy is None else dy + other
        if dbias is not None:
            column = dbias.reshape(-1, *[1] * (x.dim() - 2))
            dy = column if dy is None else dy + column
        return dy


def convolve(
    who: str,
    x: Tensor,
    weight: Tensor,
    bias: Maybe,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    widths: Widths,
    mode: str = "zeros",
    product: Any = None,
) -> Tensor:
    """Convolve (B, C, *sizes) or (C, *sizes) with weights, after padding; checks all shapes.

    Args:
        who: the name for error messages.
        x: the signals or images.
        weight: of shape (out, in / groups, *kernel).
        bias: one number per channel of the output, or None.
        stride: the step from one position to the next, one number per axis.
        dilation: the step from one weight to the next, one number per axis.
        groups: the number of groups that the channels are split into.
        widths: as `pad_widths` returns them.
        mode: what is added at the ends.
        product: what takes the padded batch, weight, bias, stride, dilation and groups to the
            output; None means `_Convolve`.

    Returns:
        A tensor of shape (B, out, *positions) or (out, *positions).
    """
    n, kernel = weight.dim() - 2, tuple(weight.shape[2:])
    check_real(who, "input", x.dtype, x.dtype.is_floating_point)
    check_channel_axis(who, tuple(x.shape), weight.shape[1] * groups, n)
    if bias is not None:
        check_same_shape(who, "bias", tuple(bias.shape), (weight.shape[0],))
    added = [sum(w) for w in widths]
    spans = [span(k, d) for k, d in zip(kernel, dilation, strict=True)]
    check_window(who, [a + m for a, m in zip(added, x.shape[-n:], strict=True)], spans)
    if _fused.get():
        return _fused_kernel(who, x, weight, bias, stride, dilation, groups, widths, mode)
    batch = x if x.dim() == n + 2 else x[None]
    batch, weight, bias = map(_mixed, (pad(who, batch, widths, mode), weight, bias))
    y: Tensor = (product or _Convolve.apply)(batch, weight, bias, stride, dilation, groups)
    return y if x.dim() == n + 2 else y[0]


def _mixed(t: Maybe) -> Any:
    """Inside ``torch.autocast``, give t the type of that block, as torch does before it convolves.

    The backward pass runs outside the block, so both passes must see the same types.
    """
    if t is None or t.dtype == torch.float64 or not torch.is_autocast_enabled(t.device.type):
        return t
    return t.to(torch.get_autocast_dtype(t.device.type))


def _fused_kernel(
    who: str,
    x: Tensor,
    weight: Tensor,
    bias: Maybe,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    widths: Widths,
    mode: str,
) -> Tensor:
    """Call the function of torch, which pads with zeros itself where both ends get as many."""
    kernels: Any = (functional.conv1d, functional.conv2d, functional.conv3d)
    inside = mode == "zeros" and all(a == b for a, b in widths)
    if not inside:
        x = pad(who, x, widths, mode)
    zeros = tuple(a for a, _ in widths) if inside else (0,) * len(widths)
    y: Tensor = kernels[len(widths) - 1](x, weight, bias, stride, zeros, dilation, groups)
    return y


class ConvNd(nn.Module):
    """The constructor, the parameters and the forward pass of `Conv1d`, `Conv2d`, and so on."""

    __constants__ = (
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "output_padding",
        "in_channels",
        "out_channels",
        "kernel_size",
    )
    weight: Tensor
    bias: Tensor | None
    _product: Any = None

    def __init__(
        self,
        n: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: str | Sizes,
        dilation: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.in_channels = check_count(who, "in_channels", in_channels)
        self.out_channels = check_count(who, "out_channels", out_channels)
        self.groups = check_count(who, "groups", groups)
        check_groups(who, self.in_channels, self.groups, "in_channels")
        check_groups(who, self.out_channels, self.groups, "out_channels")
        self.kernel_size = as_sizes(who, "kernel_size", kernel_size, n)
        self.stride = as_sizes(who, "stride", stride, n)
        self.dilation = as_sizes(who, "dilation", dilation, n)
        self.padding: str | tuple[int, ...]
        if isinstance(padding, str):
            check_choice(who, "padding", padding, ("same", "valid"))
            check_stride_one(who, padding, self.stride)
            self.padding = padding
        else:
            self.padding = as_sizes(who, "padding", padding, n, least=0)
        check_choice(who, "padding_mode", padding_mode, PADDING_MODES)
        self.padding_mode = padding_mode
        self.transposed, self.output_padding = False, (0,) * n  # as in torch, for printed forms
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(self.out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights, then biases, uniform on (-b, b), b = 1 / sqrt(weights of one output)."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        for parameter in self.parameters(recurse=False):
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the name that torch uses)
        """Return the convolution of each signal with the weights, plus the bias."""
        return convolve(
            type(self).__name__,
            input,
            self.weight,
            self.bias,
            self.stride,
            self.dilation,
            self.groups,
            pad_widths(self.padding, self.kernel_size, self.dilation),
            self.padding_mode,
            self._product,
        )

    def extra_repr(self) -> str:
        """Return the sizes and what differs from the defaults, for the printed form."""
        n = len(self.kernel_size)
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={self.stride}"
        text += "" if self.padding == (0,) * n else f", padding={self.padding}"
        text += "" if self.dilation == (1,) * n else f", dilation={self.dilation}"
        text += "" if self.groups == 1 else f", groups={self.groups}"
        text += "" if self.bias is not None else ", bias=False"
        return text + (
            "" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode}"
        )
