"""Convolution along one axis, a drop-in for ``torch.nn.Conv1d``."""

from __future__ import annotations

import torch

from nnbook.nn._convolution import ConvNd, PaddingMode, Sizes


class Conv1d(ConvNd):
    r"""Convolve signals of several channels along their last axis.

    .. math:: y_{c', i} = b_{c'} + \sum_{c} \sum_{j=0}^{k-1} w_{c', c, j}\, x_{c,\, s i + d j - p}

    The kernel is not turned around, as in every library of this kind. Entries of x before its
    first and after its last are zero, or what ``padding_mode`` says. Written as a product with
    the matrix of patches, with its own backward pass, which keeps only the input and the weights;
    inside ``nnbook.nn.fused_convolution()`` the fused kernel of torch is called instead. For the
    same seed the initial values are those of ``torch.nn.Conv1d``, up to rounding.

    Args:
        in_channels: C, the number of channels that come in.
        out_channels: C', the number of channels that go out.
        kernel_size: k, the number of weights along the axis.
        stride: s, the step from one position to the next.
        padding: p, the number of entries added at both ends; ``"valid"`` adds none, ``"same"`` as
            many as keep the length (for an even span one more behind than in front).
        dilation: d, the step from one weight to the next.
        groups: the number of equal groups of channels; each output sees the inputs of its group.
        bias: False leaves b out.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        device: where the parameters live.
        dtype: the type of the parameters.

    Shape:
        - Input: ``(B, C, L)`` or ``(C, L)``.
        - Output: ``(B, C', L')`` or ``(C', L')`` with
          ``L' = (L + 2 p - d (k - 1) - 1) // s + 1``.

    Raises:
        ValueError: if a size is out of range, groups do not divide the channels, or the input
            does not fit.
        TypeError: if a size is not a whole number, or the input holds no real floating point
            numbers.

    Examples:
        >>> import torch
        >>> Conv1d(3, 8, kernel_size=5, padding="same")(torch.zeros(2, 3, 11)).shape
        torch.Size([2, 8, 11])
    """

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
            1,
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
