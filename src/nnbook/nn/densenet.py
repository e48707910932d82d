"""Dense blocks: every layer reads all earlier ones, joined; and the network made of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nnbook._check.convolution import check_pictures
from nnbook._check.values import check_count, check_not_empty, check_range

from .activations import relu
from .linear import Linear
from .resnet import BatchNorm2d, Conv2d, conv1x1, conv3x3

Pictures = Float[Tensor, "n c h w"]
Made = Float[Tensor, "n k i j"]  # channels and sizes may be others


class DenseLayer(nn.Module):
    r"""Normalize all that is there, cut off, and make ``growth`` new channels of it.

    .. math:: H(z) = K \, \sigma(BN(z))

    With a bottleneck b, a 1x1 convolution to ``b * growth`` channels comes first:
    :math:`K_2 \, \sigma(BN_2(K_1 \, \sigma(BN_1(z))))`. With a bottleneck the parameters have the
    names of torchvision's ``_DenseLayer``, whose ``bn_size`` is b.

    Args:
        inputs: channels that are there.
        growth: new channels.
        bottleneck: None, or b; the paper takes 4.

    Shape:
        - Input: ``(n, inputs, h, w)``
        - Output: ``(n, growth, h, w)``

    Raises:
        ValueError: if a count is too small.

    Source:
        Huang, Liu, van der Maaten and Weinberger (2017), "Densely Connected Convolutional
        Networks", arXiv:1608.06993, section 3.

    Examples:
        >>> DenseLayer(5, 2)(torch.randn(3, 5, 4, 6)).shape
        torch.Size([3, 2, 4, 6])
    """

    def __init__(self, inputs: int, growth: int, bottleneck: int | None = None) -> None:
        super().__init__()
        self.inputs = check_count("DenseLayer", "inputs", inputs)
        check_count("DenseLayer", "growth", growth)
        self.bottleneck, inside = bottleneck, inputs
        self.norm1 = BatchNorm2d(inputs)
        if bottleneck is not None:
            inside = check_count("DenseLayer", "bottleneck", bottleneck) * growth
            self.conv1 = conv1x1(inputs, inside)
            self.norm2 = BatchNorm2d(inside)
            self.conv2 = conv3x3(inside, growth)
        else:
            self.conv1 = conv3x3(inputs, growth)

    def forward(self, x: Pictures) -> Made:
        """Normalize, cut off, convolve; with a bottleneck, twice."""
        check_pictures("DenseLayer", tuple(x.shape), self.inputs)
        new: Tensor = self.conv1(relu(self.norm1(x)))  # n k h w, eq. dn-eq-layer
        if self.bottleneck is not None:
            new = self.conv2(relu(self.norm2(new)))  # n k h w, eq. dn-bottleneck
        return new


class DenseBlock(nn.ModuleDict):
    r"""Layers of which each reads the input of the block and all earlier outputs, joined.

    .. math:: x_l = H_l([x_0, \dots, x_{l-1}])

    The output is :math:`[x_0, \dots, x_L]`, with :math:`k_0 + kL` channels. Written as it stands,
    every layer keeps its own copy of what it reads, so that training takes memory that grows with
    the square of L. ``memory_efficient`` keeps none of the copies and computes them again
    in the backward pass, at the price of time; the running statistics are moved once.

    Args:
        layers: how many layers, L.
        inputs: channels of the input, k0.
        growth: channels that each layer adds, k.
        bottleneck: see `DenseLayer`.
        memory_efficient: compute again instead of keeping.

    Shape:
        - Input: ``(n, inputs, h, w)``
        - Output: ``(n, inputs + growth * layers, h, w)``

    Raises:
        ValueError: if a count is too small.

    Source:
        Huang, Liu, van der Maaten and Weinberger (2017), arXiv:1608.06993; Pleiss and others
        (2017), "Memory-Efficient Implementation of DenseNets", arXiv:1707.06990.

    Examples:
        >>> block = DenseBlock(3, 4, growth=2)
        >>> block(torch.randn(5, 4, 6, 6)).shape, block.channels
        (torch.Size([5, 10, 6, 6]), 10)
    """

    def __init__(
        self,
        layers: int,
        inputs: int,
        growth: int,
        bottleneck: int | None = None,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        check_count("DenseBlock", "layers", layers)
        self.memory_efficient = memory_efficient
        self.channels = inputs
        for number in range(1, layers + 1):
            self[f"denselayer{number}"] = DenseLayer(self.channels, growth, bottleneck)
            self.channels += growth

    def forward(self, x: Pictures) -> Made:
        """Join what is there, make new channels of it, keep them beside the others."""
        features = [x]
        for layer in self.values():
            if self.memory_efficient and torch.is_grad_enabled():
                new = _recomputed(layer, features)
            else:
                new = layer(torch.cat(features, dim=1))  # n k h w, eq. dn-eq-block
            features.append(new)
        return torch.cat(features, dim=1)  # n c h w, eq. dn-eq-block


def _recomputed(layer: nn.Module, features: list[Tensor]) -> Tensor:
    """Join and call, keeping only the parts; later calls leave the running statistics alone."""
    seen: list[bool] = []

    def join_and_call(*parts: Tensor) -> Tensor:
        kept = [b.clone() for b in layer.buffers()] if seen else []
        seen.append(True)
        try:
            out: Tensor = layer(torch.cat(parts, dim=1))
        finally:  # the second call is broken off when it has made what is needed
            for buffer, value in zip(layer.buffers(), kept, strict=False):
                buffer.data.copy_(value)
        return out

    out: Tensor = checkpoint(join_and_call, *features, use_reentrant=False)
    return out


class Transition(nn.Module):
    """Between two dense blocks: normalize, cut off, mix by a 1x1 convolution, halve the picture.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.

    Shape:
        - Input: ``(n, inputs, h, w)`` with h, w of at least 2
        - Output: ``(n, outputs, h // 2, w // 2)``

    Raises:
        ValueError: if a count is too small.

    Source:
        Huang, Liu, van der Maaten and Weinberger (2017), arXiv:1608.06993, section 3; the ReLU is
        in the authors' program and in torchvision, not in the paper's text.

    Examples:
        >>> Transition(6, 3)(torch.randn(2, 6, 7, 4)).shape
        torch.Size([2, 3, 3, 2])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs = check_count("Transition", "inputs", inputs)
        check_count("Transition", "outputs", outputs)
        self.norm = BatchNorm2d(inputs)
        self.conv = conv1x1(inputs, outputs)

    def forward(self, x: Pictures) -> Made:
        """Mix the channels, then take the mean of each two by two positions."""
        check_pictures("Transition", tuple(x.shape), self.inputs)
        mixed = self.conv(relu(self.norm(x)))  # n c h w, eq. dn-transition
        return nn.functional.avg_pool2d(mixed, 2)  # n c h w, eq. dn-transition


class DenseNet(nn.Module):
    """The densely connected network for small pictures.

    A 3x3 convolution, blocks with transitions between them, a last normalization, the mean of
    every channel, a linear layer.

    Args:
        layers: layers of each block.
        growth: channels that each layer adds, k.
        inputs: channels of the pictures.
        classes: outputs.
        first: channels after the first convolution.
        bottleneck: see `DenseLayer`; the paper's DenseNet-B takes 4.
        compression: share of the channels that a transition keeps; the paper's DenseNet-C takes a
            half.
        memory_efficient: see `DenseBlock`.

    Shape:
        - Input: ``(n, inputs, h, w)``
        - Output: ``(n, classes)``

    Raises:
        ValueError: if a count is too small, there is no block, or compression is not in (0, 1].

    Source:
        Huang, Liu, van der Maaten and Weinberger (2017), "Densely Connected Convolutional
        Networks", arXiv:1608.06993.

    Examples:
        >>> DenseNet([2, 2], growth=4, first=8)(torch.randn(3, 1, 28, 28)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        layers: Sequence[int],
        growth: int = 12,
        inputs: int = 1,
        classes: int = 10,
        *,
        first: int = 16,
        bottleneck: int | None = None,
        compression: float = 1.0,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        check_not_empty("DenseNet", "layers", layers)
        check_range("DenseNet", "compression", compression, 0.0, 1.0, ends="(]")
        self.conv0 = conv3x3(inputs, first)
        parts: list[nn.Module] = []
        channels = first
        for place, count in enumerate(layers):
            if place > 0:
                kept = int(channels * compression)
                parts.append(Transition(channels, kept))
                channels = kept
            block = DenseBlock(count, channels, growth, bottleneck, memory_efficient)
            parts.append(block)
            channels = block.channels
        self.blocks = nn.Sequential(*parts)
        self.norm = BatchNorm2d(channels)
        self.classifier = Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Pictures) -> Float[Tensor, "n k"]:
        """Go through the blocks, normalize, take the mean of every channel, classify."""
        x = relu(self.norm(self.blocks(self.conv0(x))))  # n c h w
        out: Tensor = self.classifier(x.mean(dim=(2, 3)))  # n k, eq. dn-net
        return out
