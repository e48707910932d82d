"""RMS normalization with its own backward, a drop-in for ``torch.nn.RMSNorm``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.shapes import check_ends_in, check_same_shape
from nnbook._check.values import check_count, check_floating, check_not_empty, check_range

from ._precision import wide as _wide
from .layernorm import Maybe, _mean, _sum

AnyShape = Float[Tensor, "..."]


def _call(function: Any, *args: Any) -> Tensor:
    """Call an autograd function; without transforms, also without torch's look at its signature."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return function.apply(*args)
    return super(torch.autograd.Function, function).apply(*args)


class _RMSNorm(torch.autograd.Function):
    """Scale u = x / root; the derivative is that of the whole, from x to y."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, rroot: Tensor, weight: Maybe, eps: float) -> Tensor:
        u = x * rroot  # *batch m, eq. rms-hat
        return u if weight is None else u * weight  # *batch m, eq. rms-full

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, rroot, weight, ctx.eps = inputs
        ctx.save_for_backward(x, rroot, weight)
        ctx.save_for_forward(x, rroot, weight)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Maybe, ...]:
        x, rroot, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: show how it depends on x
            rroot = _inverse_root(x, ctx.eps)
        u = x * rroot
        q = v if weight is None else v * weight  # *batch m, eq. rms-q
        along = _mean(q * u)  # *batch 1
        grad_x = torch.addcmul(q, u, along, value=-1) * rroot  # *batch m, eq. rms-backward-x
        at_weight = None if weight is None else _sum(v * u)  # m, eq. rms-backward-gamma
        return grad_x, None, at_weight, None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, *rest: Any) -> Tensor:
        """Push directions forward; the Jacobian of u is symmetric."""
        x, rroot, weight = ctx.saved_tensors
        u = x * rroot
        du = torch.zeros_like(u) if dx is None else (dx - u * _mean(dx * u)) * rroot
        dy = du if weight is None else du * weight
        return dy if rest[1] is None else dy + u * rest[1]


def _inverse_root(x: Tensor, eps: float) -> Tensor:
    return (x.square().mean(-1, keepdim=True) + eps).rsqrt()  # *batch 1, eq. rms-root


def rms_norm(
    input: AnyShape,  # noqa: A002
    normalized_shape: Sequence[int],
    weight: AnyShape | None = None,
    eps: float | None = None,
) -> AnyShape:
    r"""Divide each sample by its root mean square over its last axes, then scale.

    .. math:: y = \gamma \odot x / \sqrt{\overline{x^2} + \varepsilon}

    Precision and derivatives are as in `nnbook.nn.layer_norm`. A sample of zeros gives zeros; with
    eps = 0 it gives NaN, as in torch.

    Args:
        input: samples, of shape ``(*batch, *normalized_shape)``.
        normalized_shape: the shape of the axes that one root mean square is taken over.
        weight: gamma, of the shape ``normalized_shape``; None means 1.
        eps: added to the mean square; None means the machine epsilon of the numbers that are
            computed with: float64 for float64, else float32.

    Returns:
        A tensor of the shape and dtype of the input.

    Raises:
        ValueError: if the input does not end in ``normalized_shape``, if weight has another
            shape, or if eps is negative.
        TypeError: if the input holds no real floating point numbers.

    Source:
        Zhang and Sennrich (2019), "Root Mean Square Layer Normalization", arXiv:1910.07467.

    Examples:
        >>> rms_norm(torch.tensor([7.0, 1.0]), (2,)).round(decimals=4)
        tensor([1.4000, 0.2000])
    """
    shape = tuple(normalized_shape)
    check_floating("rms_norm", "input", input.dtype, input.dtype.is_floating_point)
    check_ends_in("rms_norm", "input", tuple(input.shape), shape)
    x = _wide(input).flatten(input.dim() - len(shape))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    check_range("rms_norm", "eps", eps, 0.0)
    if weight is not None:
        check_same_shape("rms_norm", "weight", tuple(weight.shape), shape)
    gamma = None if weight is None else _wide(weight).flatten()
    with torch.no_grad():
        rroot = _inverse_root(x, eps)
    y = _call(_RMSNorm, x, rroot, gamma, eps)
    return y.reshape(input.shape).to(input.dtype)


def _fill(module: nn.Module, names: Sequence[str], value: float) -> None:
    with torch.no_grad():
        for name in names:
            if (found := getattr(module, name)) is not None:
                found.fill_(value)


class RMSNorm(nn.Module):
    r"""Divide each sample by its root mean square over its last axes, with a learnt scale.

    .. math:: y = \gamma \odot x / \sqrt{\overline{x^2} + \varepsilon}

    Args:
        normalized_shape: the lengths of the last axes, an int for one axis.
        eps: added to the mean square; None means machine epsilon, see `rms_norm`.
        elementwise_affine: learn gamma.
        device: where the parameter is made.
        dtype: the dtype of the parameter.

    Shape:
        - Input: ``(*batch, *normalized_shape)``
        - Output: the same.

    Raises:
        ValueError: if ``normalized_shape`` is empty or has a length below 1, or eps is negative.
        TypeError: if a length is not an int.

    Source:
        Zhang and Sennrich (2019), "Root Mean Square Layer Normalization", arXiv:1910.07467.

    Examples:
        >>> RMSNorm(2)(torch.tensor([7.0, 1.0])).detach().round(decimals=4)
        tensor([1.4000, 0.2000])
    """

    weight: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        given = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        check_not_empty("RMSNorm", "normalized_shape", given)
        check_range("RMSNorm", "eps", 0.0 if eps is None else eps, 0.0)
        self.normalized_shape = tuple(check_count("RMSNorm", "normalized_shape", n) for n in given)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        empty = torch.empty(self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", nn.Parameter(empty) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set gamma to 1."""
        _fill(self, ["weight"], 1.0)

    def forward(self, x: AnyShape) -> AnyShape:
        """Call `rms_norm` with the module's parameter."""
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Name the shape and the options, as torch does."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )
