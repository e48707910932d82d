"""The residual block of two affine maps as a module, and a residual network made of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from nnbook._check.convolution import check_keeps_width, check_starts_at_zero
from nnbook._check.values import check_count

from .activations import ReLU
from .composition import Residual, Sequential
from .linear import Linear


class Scale(nn.Module):
    r"""Multiply by a fixed number.

    .. math:: y = c\, x

    Args:
        factor: the number c; it is not learned.

    Shape:
        Any, and the output has the shape of the input.

    Examples:
        >>> Scale(0.5)(torch.ones(3))
        tensor([0.5000, 0.5000, 0.5000])
    """

    def __init__(self, factor: float | int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, input: Shaped[Tensor, "*s"]) -> Shaped[Tensor, "*s"]:  # noqa: A002
        """Return factor times the input."""
        return self.factor * input  # *s, eq. res-eq-block

    def extra_repr(self) -> str:
        """Return the factor, for the printed form."""
        return f"{self.factor:g}"


class ResidualBlock(Residual):
    r"""A residual sum whose branch is affine map, activation, affine map, activation.

    .. math:: \operatorname{Res}(z) = z + c\, \sigma\big(W_1\, \sigma(W_2 z + b_2) + b_1\big)

    It is a `Residual`; its ``f`` is a `Sequential` of the modules ``mm2``, ``inner``, ``mm1``, and
    where they are wanted ``outer`` and ``scale``. So the weights are ``f.mm2.weight`` (W2, h x d)
    and ``f.mm1.weight`` (W1, d x h), the biases ``f.mm2.bias`` and ``f.mm1.bias``.

    Args:
        features: d, the length of the vectors.
        hidden: h, the width between the two affine maps; None means d.
        activation: called without arguments for each activation, such as ``ReLU``.
        outer: whether an activation ends the branch. With ``ReLU`` there, the block can only add
            numbers that are not negative; False lets the branch go up and down.
        scale: the factor c of the branch, which is not learned.
        zero_init: whether W1 and b1 start at zero, which makes the block the identity, or the
            projection where there is one.
        projection: a module for the input where the branch changes the length.
        out_features: the length that the branch returns; None means d.
        device: where the parameters lie.
        dtype: their type.

    Shape:
        ``(*, d)`` to ``(*, d)``; with a projection to ``(*, out_features)``.

    Raises:
        ValueError: if the branch changes the length and there is no projection; or if
            ``zero_init`` would make a branch that is not zero, or that gets no gradient.

    Source:
        He, Zhang, Ren and Sun (2016), "Deep Residual Learning for Image Recognition",
        arXiv:1512.03385, for the sum; theirs has an activation after the addition.

    Examples:
        >>> block = ResidualBlock(3, 8, outer=False, zero_init=True)
        >>> z = torch.tensor([1.0, -2.0, 3.0])
        >>> bool((block(z) == z).all())
        True
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        activation: Callable[[], nn.Module] = ReLU,
        outer: bool = True,
        scale: float | int = 1.0,
        zero_init: bool = False,
        projection: nn.Module | None = None,
        out_features: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        d = check_count("ResidualBlock", "features", features)
        h = d if hidden is None else check_count("ResidualBlock", "hidden", hidden)
        n = (
            d
            if out_features is None
            else check_count("ResidualBlock", "out_features", out_features)
        )
        if projection is None:
            check_keeps_width("ResidualBlock", n, d, f"give out_features={d} or a projection")
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        modules["mm2"] = Linear(d, h, True, device, dtype)  # eq. res-eq-branch
        modules["inner"] = activation()
        modules["mm1"] = Linear(h, n, True, device, dtype)  # eq. res-eq-branch
        if outer:
            modules["outer"] = activation()
        if scale != 1:
            modules["scale"] = Scale(scale)
        super().__init__(Sequential(modules), projection)
        if zero_init:
            self._start_at_zero()

    def _start_at_zero(self) -> None:
        assert isinstance(self.f, Sequential)
        named = self.f._modules
        if (outer := named.get("outer")) is not None:
            name = type(outer).__name__
            check_starts_at_zero("ResidualBlock", name, *_at_zero(outer))
        for parameter in named["mm1"].parameters():
            nn.init.zeros_(parameter)


@torch.enable_grad()
def _at_zero(activation: nn.Module) -> tuple[float, float]:
    """Return value and slope of an activation at 0."""
    at = torch.zeros((), device="cpu", requires_grad=True)
    value = activation(at)
    (slope,) = torch.autograd.grad(value, at)
    return float(value.detach()), float(slope)


class ResidualMLP(Sequential):
    r"""Affine map, residual blocks, affine map.

    .. math:: \operatorname{MM} \circ \operatorname{Res}_L \circ \dots \circ \operatorname{Res}_1
        \circ \operatorname{MM}_0

    All blocks have one width, so the first map brings the input to it. The modules are ``enter``,
    ``blocks`` (a `Sequential` of `ResidualBlock`) and ``leave``.

    Args:
        in_features: the length of the vectors that come in.
        out_features: the length of the vectors that go out.
        width: d, the length on which the blocks work.
        blocks: L, how many there are; 0 leaves two affine maps in a chain.
        hidden: h, the width inside each block; None means d.
        activation: called without arguments for each activation.
        outer: whether an activation ends each branch.
        scale: the factor of each branch.
        zero_init: whether all blocks start as the identity.
        skip: False leaves out every addition, so that only the branches are left in a chain: a
            plain network with the same number of parameters.
        device: where the parameters lie.
        dtype: their type.

    Shape:
        ``(*, in_features)`` to ``(*, out_features)``.

    Raises:
        ValueError: as `ResidualBlock`; and for ``zero_init`` without ``skip``, which would make
            the output the same for every input.

    Examples:
        >>> model = ResidualMLP(2, 3, width=8, blocks=5)
        >>> model(torch.zeros(4, 2)).shape
        torch.Size([4, 3])
        >>> sum(p.numel() for p in model.parameters())
        771
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int,
        blocks: int,
        hidden: int | None = None,
        activation: Callable[[], nn.Module] = ReLU,
        outer: bool = True,
        scale: float | int = 1.0,
        zero_init: bool = False,
        skip: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if zero_init and not skip:
            raise ValueError(
                "ResidualMLP: zero_init=True with skip=False gives the same output for every "
                "input; give zero_init=False or skip=True."
            )
        made = [
            ResidualBlock(
                width, hidden, activation, outer, scale, zero_init, device=device, dtype=dtype
            )
            for _ in range(check_count("ResidualMLP", "blocks", blocks, least=0))
        ]
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["enter"] = Linear(in_features, width, True, device, dtype)  # eq. res-eq-net
        parts["blocks"] = Sequential(*(block if skip else block.f for block in made))
        parts["leave"] = Linear(width, out_features, True, device, dtype)  # eq. res-eq-net
        super().__init__(parts)
