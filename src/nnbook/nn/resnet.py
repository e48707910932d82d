"""Residual blocks with batch normalization, and the network for small pictures made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import Conv2d as Conv2d

from nnbook._check.convolution import check_pictures
from nnbook._check.shapes import check_addable
from nnbook._check.values import check_choice, check_count, check_not_empty
from nnbook.scratch.resnet import ENDS, ORDERS, SHORTCUTS

from .activations import relu
from .batchnorm import BatchNorm2d as BatchNorm2d
from .linear import Linear

Pictures = Float[Tensor, "n c h w"]
Made = Float[Tensor, "n k i j"]  # channels and sizes may be others


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> Conv2d:
    """Return a 3x3 convolution with padding 1 and no bias, which a normalization would undo.

    It is `torch.nn.Conv2d`, the fused kernel: written out as a product of matrices a convolution
    takes two to three times as long, and a network here has dozens.

    >>> conv3x3(1, 16)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 16, 28, 28])
    """
    return Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> Conv2d:
    """Return a 1x1 convolution without bias: one matrix for the channels of every position.

    >>> conv1x1(16, 32, stride=2)(torch.zeros(2, 16, 7, 7)).shape
    torch.Size([2, 32, 4, 4])
    """
    return Conv2d(inputs, outputs, 1, stride, bias=False)


class PadShortcut(nn.Module):
    """Take every ``stride``-th position and add channels of zeros: shortcut A, no parameters.

    Args:
        inputs: channels of the input.
        outputs: channels of the output, at least as many.
        stride: step between the positions that are taken.

    Raises:
        ValueError: if there are fewer outputs than inputs.

    Source:
        He, Zhang, Ren and Sun (2015), "Deep Residual Learning for Image Recognition",
        arXiv:1512.03385, section 3.3.

    Examples:
        >>> PadShortcut(1, 3, 2)(torch.ones(1, 1, 4, 5)).sum(dim=(0, 2, 3)).tolist()
        [6.0, 0.0, 0.0]
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        check_count("PadShortcut", "outputs", outputs, inputs)
        self.added, self.stride = outputs - inputs, stride

    def forward(self, x: Pictures) -> Made:
        """Pick positions, append channels."""
        picked = x[:, :, :: self.stride, :: self.stride]  # n c h w
        return nn.functional.pad(picked, (0, 0, 0, 0, 0, self.added))  # n c h w, eq. rn-pad

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"added={self.added}, stride={self.stride}"


class OrderedBlock(nn.Module):
    r"""Two 3x3 convolutions and a shortcut, with normalization and ReLU in a given order.

    .. math:: y = a(P(x) + F(x))

    `PostActBlock` and `PreActBlock` are the two orders in wide use, with ``forward`` written out;
    this class takes the steps of any order one by one, to compare them.

    Where the shape changes, P must change it too. With shortcut ``"B"`` it is a 1x1 convolution
    with the same stride. It reads what the first convolution of the branch reads, and is
    normalized if the branch ends in more than a convolution. Parameters are named as in
    torchvision's ``BasicBlock``.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        stride: of the first convolution (and of the shortcut).
        order: one of the names in ``nnbook.scratch.resnet.ORDERS``.
        shortcut: what to do where the shape changes: ``"A"``, positions left out and channels of
            zeros added, ``"B"``, the projection, or ``"identity"``, which refuses.
        skip: False leaves the shortcut out: two plain layers.

    Shape:
        - Input: ``(n, inputs, h, w)``
        - Output: ``(n, outputs, ceil(h / stride), ceil(w / stride))``

    Raises:
        ValueError: if a name is not known, a count is too small, or the shape changes and the
            shortcut is the identity.

    Source:
        He, Zhang, Ren and Sun (2016), "Identity Mappings in Deep Residual Networks",
        arXiv:1603.05027, figure 4.

    Examples:
        >>> block = OrderedBlock(4, 8, stride=2, order="relu before addition")
        >>> block(torch.randn(3, 4, 7, 7)).shape
        torch.Size([3, 8, 4, 4])
    """

    conv1: Conv2d
    conv2: Conv2d
    bn1: BatchNorm2d
    bn2: BatchNorm2d

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        *,
        order: str = "original",
        shortcut: str = "B",
        skip: bool = True,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        check_choice(who, "order", order, ORDERS)
        check_choice(who, "shortcut", shortcut, SHORTCUTS)
        for name, count in (("inputs", inputs), ("outputs", outputs), ("stride", stride)):
            check_count(who, name, count)
        self.inputs, self.order, self.skip = inputs, order, skip
        branch, after = ORDERS[order]
        channels, made = inputs, {"conv": 0, "bn": 0}
        for step in (s for s in branch + after if s != "relu"):
            made[step] += 1
            module: nn.Module = BatchNorm2d(channels)
            if step == "conv":
                module = conv3x3(channels, outputs, stride if made["conv"] == 1 else 1)
                channels = outputs
            self.add_module(f"{step}{made[step]}", module)
        self.downsample = self._shortcut(inputs, outputs, stride, shortcut) if skip else None

    def _shortcut(self, inputs: int, outputs: int, stride: int, kind: str) -> nn.Module | None:
        if inputs == outputs and stride == 1:
            return None
        if kind == "identity":
            # a size of 2 s stands for any picture
            shapes = {"x": (inputs, 2 * stride, 2 * stride), "F(x)": (outputs, 2, 2)}
            check_addable(type(self).__name__, shapes, "use shortcut='A' or 'B'")
        if kind == "A":
            return PadShortcut(inputs, outputs, stride)
        projection = [conv1x1(inputs, outputs, stride)]
        ends_in_conv = ORDERS[self.order][0][-1] == "conv"
        return nn.Sequential(*projection, *([] if ends_in_conv else [BatchNorm2d(outputs)]))

    def forward(self, x: Pictures) -> Made:
        """Take the steps of the branch, add, take the steps after it."""
        check_pictures(type(self).__name__, tuple(x.shape), self.inputs)
        branch, after = ORDERS[self.order]
        modules = {kind: iter((f"{kind}1", f"{kind}2")) for kind in ("conv", "bn")}
        out, seen = x, None
        for step in branch:
            seen = out if step == "conv" and seen is None else seen
            out = self._step(step, out, modules)
        assert seen is not None  # every branch has a convolution
        out = self._add(x, seen, out)  # n c h w, eq. rn-block
        for step in after:
            out = self._step(step, out, modules)
        return out

    def _step(self, step: str, x: Tensor, modules: dict[str, Iterator[str]]) -> Tensor:
        if step == "relu":
            return relu(x)
        out: Tensor = getattr(self, next(modules[step]))(x)
        return out

    def _add(self, x: Tensor, seen: Tensor, out: Tensor) -> Tensor:
        """Add the shortcut; a projection reads what the first convolution reads."""
        if not self.skip:
            return out
        if self.downsample is None:
            return x + out
        start = x if isinstance(self.downsample, PadShortcut) else seen
        return out + self.downsample(start)

    def extra_repr(self) -> str:
        """Name what the modules inside do not show."""
        return f"order={self.order!r}" + ("" if self.skip else ", skip=False")


class PostActBlock(OrderedBlock):
    r"""The basic block of the first residual networks: the last ReLU comes after the addition.

    .. math:: y = \sigma(P(x) + BN_2(K_2 \sigma(BN_1(K_1 x))))

    It computes what torchvision's ``BasicBlock(inplanes, planes, stride, downsample)`` does when
    its ``downsample`` is a 1x1 convolution followed by a batch normalization, and its state
    dictionary fits that class both ways.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        stride: of the first convolution (and of the shortcut).
        shortcut: see `OrderedBlock`.
        skip: False leaves the shortcut out.

    Source:
        He, Zhang, Ren and Sun (2015), "Deep Residual Learning for Image Recognition",
        arXiv:1512.03385, figure 2; figure 4 (a) of arXiv:1603.05027.

    Examples:
        >>> block = PostActBlock(4, 4)
        >>> bool((block(torch.randn(3, 4, 7, 7)) >= 0).all())
        True
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        *,
        shortcut: str = "B",
        skip: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, stride, order="original", shortcut=shortcut, skip=skip)

    def forward(self, x: Pictures) -> Made:
        """Normalize each product, add, cut off below 0."""
        check_pictures("PostActBlock", tuple(x.shape), self.inputs)
        inner = relu(self.bn1(self.conv1(x)))  # n c h w, eq. rn-post
        out = self.bn2(self.conv2(inner))  # n c h w, eq. rn-post
        return relu(self._add(x, x, out))  # n c h w, eq. rn-post


class PreActBlock(OrderedBlock):
    r"""The block with full pre-activation: nothing happens on or after the addition.

    .. math:: y = x + K_2 \sigma(BN_2(K_1 \sigma(BN_1(x))))

    A projection, where there is one, reads :math:`\sigma(BN_1(x))` and is not normalized.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        stride: of the first convolution (and of the shortcut).
        shortcut: see `OrderedBlock`.
        skip: False leaves the shortcut out.

    Source:
        He, Zhang, Ren and Sun (2016), "Identity Mappings in Deep Residual Networks",
        arXiv:1603.05027, figure 4 (e).

    Examples:
        >>> block = PreActBlock(4, 4)
        >>> _ = torch.nn.init.zeros_(block.conv2.weight)
        >>> x = torch.randn(3, 4, 7, 7)
        >>> torch.equal(block(x), x)
        True
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        *,
        shortcut: str = "B",
        skip: bool = True,
    ) -> None:
        order = "full pre-activation"
        super().__init__(inputs, outputs, stride, order=order, shortcut=shortcut, skip=skip)

    def forward(self, x: Pictures) -> Made:
        """Normalize and cut off before each product, add."""
        check_pictures("PreActBlock", tuple(x.shape), self.inputs)
        seen = relu(self.bn1(x))  # n c h w, eq. rn-pre
        inner = relu(self.bn2(self.conv1(seen)))  # n c h w, eq. rn-pre
        return self._add(x, seen, self.conv2(inner))  # n c h w, eq. rn-pre


def _block(order: str, inputs: int, outputs: int, stride: int, **options: object) -> OrderedBlock:
    """Return the written-out block where there is one."""
    written = {"original": PostActBlock, "full pre-activation": PreActBlock}
    if order in written:
        return written[order](inputs, outputs, stride, **options)  # type: ignore[arg-type]
    return OrderedBlock(inputs, outputs, stride, order=order, **options)  # type: ignore[arg-type]


class ResNet(nn.Module):
    r"""The residual network for small pictures: a convolution, stages of blocks, mean, linear.

    Each stage but the first halves height and width in its first block. With three stages the
    depth, counted in layers with a weight and without projections, is :math:`6n + 2` for n
    blocks a stage. ``skip=False`` gives the plain network of the same depth and width.

    In the pre-activation orders the first convolution is not activated, and the sum of all blocks
    is activated once before the mean. (The paper moves the first activation before the first
    split instead; that differs in one shortcut.)

    Args:
        blocks: blocks of each stage.
        widths: channels of each stage.
        inputs: channels of the pictures.
        classes: outputs.
        order: see `OrderedBlock`.
        shortcut: see `OrderedBlock`.
        skip: False leaves all shortcuts out.
        zero_init_residual: start with branches that are 0. Which weight that takes depends on the
            order: see `zero_branches`.

    Shape:
        - Input: ``(n, inputs, h, w)``
        - Output: ``(n, classes)``

    Raises:
        ValueError: if a name is not known, a count is too small or there is no stage.

    Source:
        He, Zhang, Ren and Sun (2015), "Deep Residual Learning for Image Recognition",
        arXiv:1512.03385, section 4.2.

    Examples:
        >>> net = ResNet(1, widths=(4, 8))
        >>> net(torch.randn(2, 1, 28, 28)).shape, net.depth
        (torch.Size([2, 10]), 6)
    """

    def __init__(
        self,
        blocks: int,
        widths: Sequence[int] = (16, 32, 64),
        inputs: int = 1,
        classes: int = 10,
        order: str = "original",
        *,
        shortcut: str = "B",
        skip: bool = True,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        check_not_empty("ResNet", "widths", widths)
        check_count("ResNet", "blocks", blocks)
        check_choice("ResNet", "order", order, ORDERS)
        first, last = ENDS.get(order, (("bn", "relu"), ()))
        self.order, self.depth = order, 2 * blocks * len(widths) + 2
        self.conv1 = conv3x3(inputs, widths[0])
        self.first = nn.Sequential(*_activation(first, widths[0]))
        stages, before = [], widths[0]
        for stage, width in enumerate(widths):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            channels = [before] + [width] * (blocks - 1)
            stages += [
                _block(order, c, width, s, shortcut=shortcut, skip=skip)
                for c, s in zip(channels, strides, strict=True)
            ]
            before = width
        self.blocks = nn.Sequential(*stages)
        self.last = nn.Sequential(*_activation(last, before))
        self.fc = Linear(before, classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual:
            zero_branches(self)

    def forward(self, x: Pictures) -> Float[Tensor, "n k"]:
        """Go through the stages, take the mean of every channel, classify."""
        x = self.first(self.conv1(x))  # n c h w
        x = self.last(self.blocks(x))  # n c h w
        out: Tensor = self.fc(torch.mean(x, dim=(2, 3)))  # n k, eq. rn-net
        return out


def _activation(steps: Sequence[str], channels: int) -> list[nn.Module]:
    return [BatchNorm2d(channels) if step == "bn" else nn.ReLU() for step in steps]


def zero_branches(model: nn.Module) -> None:
    """Make the branch of every block 0 in a way from which it can learn.

    Where the branch ends in a batch normalization, its gamma becomes 0. Where it ends in a
    convolution, that weight does: a gamma of 0 in front of the last ReLU would also make the
    branch 0, but then no gradient would ever reach it. An order that ends in a ReLU is refused.

    Args:
        model: a block, or a module that has some.

    Raises:
        ValueError: if a branch ends in a ReLU.

    Examples:
        >>> block = OrderedBlock(2, 2, order="normalized last")
        >>> zero_branches(block)
        >>> x = torch.randn(3, 2, 4, 4)
        >>> torch.equal(block(x), x)
        True
    """
    for block in (m for m in model.modules() if isinstance(m, OrderedBlock)):
        end = ORDERS[block.order][0][-1]
        check_choice("zero_branches", f"last step of {block.order!r}", end, ("bn", "conv"))
        last: nn.Module = block.bn2 if end == "bn" else block.conv2
        nn.init.zeros_(last.get_parameter("weight"))
