"""Convolution of pictures with its own backward pass, a drop-in for ``torch.nn.Conv2d``."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nnbook._check.convolution import check_filters, check_stride_one
from nnbook._check.values import check_choice, check_count
from nnbook.nn._convolution import (
    ConvNd,
    Maybe,
    PaddingMode,
    Sizes,
    _Convolve,
    as_sizes,
    convolve,
    output_size,
    pad_widths,
    patches,
)

Pictures = Float[Tensor, "..."]
CACHE = 2**18
"""How many entries of rows are made at a time where no gradient is wanted."""


def _rows(x: Tensor, kernel: Any, stride: Any, dilation: Any) -> Tensor:
    """Return one row for each window: its entries row by row, the channels of a pixel together.

    With the channels last in memory the entries of a window lie in long runs, which is what makes
    copying them fast. A single channel has no such runs; there the windows of a line are copied
    together, entry by entry, and the rows are a transposed view.
    """
    if x.shape[1] == 1:
        view = patches(x, kernel, stride, dilation)[:, 0].permute(0, 3, 4, 1, 2)  # B a b h' w'
        count = view.shape[3] * view.shape[4]
        return view.reshape(x.shape[0], kernel[0] * kernel[1], count).mT  # B (h' w') (a b)
    last = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    view = patches(last, kernel, stride, dilation).permute(0, 2, 3, 4, 5, 1)  # B h' w' a b c
    count, entries = view.shape[1] * view.shape[2], kernel[0] * kernel[1] * x.shape[1]
    return view.reshape(x.shape[0], count, entries)  # B (h' w') (a b c), eq. cvt-eq-im2col


def _kernels(weight: Tensor) -> Tensor:
    """Return the weights as a matrix with a row for each output."""
    return weight.permute(0, 2, 3, 1).reshape(weight.shape[0], weight[0].numel())  # o (a b c)


class _Rows(torch.autograd.Function):
    """The product of the weights with the rows; the derivative is that of the whole."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, rows: Tensor, weight: Tensor, bias: Maybe, stride: Any, dilation: Any
    ) -> Tensor:
        kernels = _kernels(weight)  # o (a b c)
        if bias is None:
            y = torch.matmul(kernels, rows.mT)  # B o (h' w'), eq. cvt-eq-conv
        else:  # the sum and the product in one pass
            batch = kernels.expand(rows.shape[0], -1, -1)
            y = torch.baddbmm(bias[:, None], batch, rows.mT)  # B o (h' w'), eq. cvt-eq-bias
        size = map(output_size, x.shape[2:], weight.shape[2:], stride, dilation)
        return y.reshape(x.shape[0], weight.shape[0], *size)  # B o h' w'

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, rows, weight, bias, ctx.stride, ctx.dilation = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, rows, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Maybe, ...]:
        x, rows, weight = ctx.saved_tensors
        kernel, steps = weight.shape[2:], (ctx.stride, ctx.dilation)
        if torch.is_grad_enabled():  # a second derivative is wanted: show how rows depend on x
            rows = _rows(x, kernel, *steps)
        at_x = at_weight = at_bias = None
        signal = v.reshape(*v.shape[:2], v.shape[2] * v.shape[3])  # B o (h' w')
        signal = signal.to(rows.dtype)  # autocast makes the output narrower than the weights
        if ctx.needs_input_grad[0]:
            entries = torch.matmul(signal.mT, _kernels(weight))  # B (h' w') (a b c)
            at_x = _gather(entries, x.shape, v.shape[2:], kernel, *steps)  # eq. cvt-eq-grad-x
        if ctx.needs_input_grad[2]:
            flat = torch.matmul(signal, rows).sum(0)  # o (a b c), eq. cvt-eq-grad-w
            at_weight = flat.reshape(weight.shape[0], *kernel, weight.shape[1]).permute(0, 3, 1, 2)
        if ctx.has_bias and ctx.needs_input_grad[3]:
            at_bias = signal.sum((0, 2))  # o, eq. cvt-eq-grad-b
        return at_x, None, at_weight, at_bias, None, None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, _: Any, dweight: Maybe, dbias: Maybe, *rest: Any) -> Any:
        """Push directions forward: the product rule, as y is linear in x and in the weights."""
        x, weight = ctx.saved_tensors
        steps = ctx.stride, ctx.dilation
        terms = []
        if dx is not None:
            terms.append(_product(dx, weight, None, *steps))
        if dweight is not None:
            terms.append(_product(x, dweight, None, *steps))
        if dbias is not None:
            size = map(output_size, x.shape[2:], weight.shape[2:], *steps)
            terms.append(dbias[:, None, None].expand(x.shape[0], -1, *size).contiguous())
        return sum(terms[1:], terms[0])


def _gather(
    entries: Tensor, shape: Any, size: Any, kernel: Any, stride: Any, dilation: Any
) -> Tensor:
    """Add the entries of the rows up where they came from: the adjoint of `_rows`."""
    parts = entries.reshape(shape[0], *size, *kernel, shape[1])  # B h' w' a b c
    total = entries.new_zeros(shape[0], *shape[2:], shape[1])  # B h w c
    (s, t), (d, e) = stride, dilation
    for p in range(kernel[0]):
        for q in range(kernel[1]):
            down = slice(d * p, d * p + s * (size[0] - 1) + 1, s)
            right = slice(e * q, e * q + t * (size[1] - 1) + 1, t)
            total[:, down, right] += parts[:, :, :, p, q]  # eq. cvt-eq-col2im
    return total.permute(0, 3, 1, 2)


def _product(x: Tensor, weight: Tensor, bias: Maybe, stride: Any, dilation: Any) -> Tensor:
    if not torch.is_grad_enabled():  # no rows are kept: a few samples at a time stay in the cache
        few = max(1, CACHE // (math.prod(x.shape[1:]) * math.prod(weight.shape[2:])))
        parts = []
        for some in x.split(few):
            rows = _rows(some, weight.shape[2:], stride, dilation)
            parts.append(_Rows.forward(some, rows, weight, bias, stride, dilation))
        return torch.cat(parts) if len(parts) > 1 else parts[0]
    with torch.no_grad():
        rows = _rows(x, weight.shape[2:], stride, dilation)
    return _Rows.apply(x, rows, weight, bias, stride, dilation)  # type: ignore[no-untyped-call]


def _convolve(
    x: Tensor, weight: Tensor, bias: Maybe, stride: Any, dilation: Any, groups: int = 1
) -> Tensor:
    """Convolve padded pictures; the output has the memory format of x, as in torch."""
    if groups == 1:
        y = _product(x, weight, bias, stride, dilation)
    else:
        y = _Convolve.apply(x, weight, bias, stride, dilation, groups)  # type: ignore[no-untyped-call]
    return y if x.is_contiguous() else y.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def conv2d(
    input: Pictures,  # noqa: A002  (the name that torch uses)
    weight: Float[Tensor, "o c a b"],
    bias: Float[Tensor, " o"] | None = None,
    stride: Sizes = 1,
    padding: str | Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Pictures:
    r"""Weigh every window of a picture with each kernel, as ``torch.nn.functional.conv2d``.

    .. math:: y = b + \mathrm{reshape}(W)\, \mathrm{im2col}(x)

    Args:
        input: pictures of shape ``(B, C, H, W)`` or ``(C, H, W)``.
        weight: the kernels, of shape ``(C', C / groups, a, b)``.
        bias: one number per output channel, or None.
        stride: the step from one window to the next.
        padding: how many zeros are put on each side, or ``"valid"`` or ``"same"``.
        dilation: the step from one entry of a window to the next.
        groups: into how many groups the channels are split.

    Returns:
        A tensor of shape ``(B, C', H', W')`` or ``(C', H', W')``.

    Raises:
        ValueError: if shapes do not fit or an option is out of range.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> conv2d(torch.arange(9.0).reshape(1, 3, 3), torch.tensor([[[[-1.0, 1.0]]]]))
        tensor([[[1., 1.],
                 [1., 1.],
                 [1., 1.]]])
    """
    who = "conv2d"
    check_count(who, "groups", groups)
    shape = None if bias is None else tuple(bias.shape)
    check_filters(who, weight.shape[1] * groups, tuple(weight.shape), shape, groups)
    steps = as_sizes(who, "stride", stride, 2), as_sizes(who, "dilation", dilation, 2)
    around: str | tuple[int, ...]
    if isinstance(padding, str):
        check_choice(who, "padding", padding, ("same", "valid"))
        check_stride_one(who, padding, steps[0])
        around = padding
    else:
        around = as_sizes(who, "padding", padding, 2, least=0)
    widths = pad_widths(around, tuple(weight.shape[2:]), steps[1])
    return convolve(who, input, weight, bias, *steps, groups, widths, product=_convolve)


class Conv2d(ConvNd):
    r"""Convolve pictures of several channels.

    .. math:: y_{o,i,j} = b_o + \sum_{c,p,q} w_{o,c,p,q}\, x_{c,\, s i + d p,\, s j + d q}

    Indices count from 0 and x is padded. The kernel is not turned, as in every library of this
    kind. The windows become the rows of a matrix, with the channels last, and one product with
    the weights follows; the backward pass is that of the book. It keeps the rows, which are as
    many times larger than the input as the kernel has entries. On a CPU the fused kernel is
    faster by a factor of about two: it is called inside ``nnbook.nn.fused_convolution()``.

    Args:
        in_channels: C, the number of channels that come in.
        out_channels: C', the number of channels that go out.
        kernel_size: height and width of the kernels, or one number for both.
        stride: s, the step from one window to the next.
        padding: the number of entries added on each side; ``"valid"`` adds none, ``"same"`` as
            many as keep the size (for an even span one more behind than in front).
        dilation: d, the step from one entry of a window to the next.
        groups: the number of equal groups of channels; each output sees the inputs of its group.
        bias: False leaves b out.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: where the parameters live.
        dtype: the type of the parameters.

    Shape:
        - Input: ``(B, C, H, W)`` or ``(C, H, W)``; ``channels_last`` is kept.
        - Output: ``(B, C', H', W')`` or ``(C', H', W')`` with
          ``H' = (H + 2 p - d (k - 1) - 1) // s + 1``, and ``W'`` likewise.

    Raises:
        ValueError: if a size is out of range, groups do not divide the channels, or the input
            does not fit.
        TypeError: if a size is not a whole number, or the input holds no real floating point
            numbers.

    Source:
        LeCun et al. (1998), "Gradient-Based Learning Applied to Document Recognition".

    Examples:
        >>> Conv2d(3, 8, kernel_size=5, padding="same")(torch.zeros(2, 3, 11, 7)).shape
        torch.Size([2, 8, 11, 7])
    """

    _product = staticmethod(_convolve)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            2,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
