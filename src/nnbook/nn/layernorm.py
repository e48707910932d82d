"""Layer normalization with its own backward formula, a drop-in for ``torch.nn.LayerNorm``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.shapes import check_ends_in, check_same_shape
from nnbook._check.values import check_count, check_floating, check_not_empty, check_range

from ._precision import wide as _wide

AnyShape = Float[Tensor, "..."]
Maybe = Tensor | None


def _normalize(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return u, the mean and 1/sigma of each row."""
    m = x.shape[-1]
    mu = x.mean(-1, keepdim=True)  # *batch 1, eq. ln-mean
    centred = x - mu  # *batch m
    wide = torch.float64 if m > 2**16 else None  # float32 adds so many squares up badly
    norm = torch.linalg.vector_norm(centred, dim=-1, keepdim=True, dtype=wide).to(x.dtype)
    s2 = torch.rsub(norm.square(), eps, alpha=-1 / m)  # *batch 1, eps + norm²/m, eq. ln-var
    rstd = s2.rsqrt_()  # *batch 1, eq. ln-sigma
    return centred.mul_(rstd), mu, rstd  # *batch m, eq. ln-s


class _LayerNorm(torch.autograd.Function):
    """Scale and shift u; the derivative is that of the whole, from x to y."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, u: Tensor, mu: Tensor, rstd: Tensor, weight: Maybe, bias: Maybe, eps: float
    ) -> Tensor:
        return _affine(u, weight, bias)  # *batch m, eq. ln-full

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, u, mu, rstd, weight, bias, ctx.eps = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, mu, rstd, weight)
        ctx.save_for_forward(u, rstd, weight)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Maybe, ...]:
        x, mu, rstd, weight = ctx.saved_tensors
        pull = _pull
        if torch.is_grad_enabled():  # a second derivative is wanted: show how u depends on x
            mu, pull = _mean(x), _pull_traced
            rstd = (x.var(-1, correction=0, keepdim=True) + ctx.eps).rsqrt()
        u = (x - mu).mul_(rstd)  # *batch m, eq. ln-s
        grad_x, grad_weight, grad_bias = pull(v, u, rstd, weight, ctx.has_bias)
        return grad_x, None, None, None, grad_weight, grad_bias, None

    @staticmethod
    def jvp(ctx: Any, dx: Maybe, *rest: Any) -> Tensor:
        """Push directions forward; the Jacobian of ln_s is symmetric, so `_jacobian` does both."""
        u, rstd, weight = ctx.saved_tensors
        dweight, dbias = rest[3:5]
        du = torch.zeros_like(u) if dx is None else _jacobian(dx, u, rstd)
        dy = _affine(du, weight, dbias)
        return dy if dweight is None else dy + u * dweight


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1, keepdim=True)


def _sum(terms: Tensor) -> Tensor:
    # a sum over no axes would be one over all
    return terms.sum(tuple(range(terms.dim() - 1))) if terms.dim() > 1 else terms.clone()


def _affine(u: Tensor, weight: Maybe, bias: Maybe) -> Tensor:
    if weight is None:
        return u.clone() if bias is None else u + bias
    return u * weight if bias is None else torch.addcmul(bias, u, weight)


def _jacobian(q: Tensor, u: Tensor, rstd: Tensor) -> Tensor:
    """Return the Jacobian of ln_s times q: q less its parts along 1 and u, over sigma."""
    return (q - _mean(q) - u * _mean(q * u)) * rstd  # *batch m, eq. ln-vjp


def _pull_traced(
    v: Tensor, u: Tensor, rstd: Tensor, weight: Maybe, has_bias: bool
) -> tuple[Tensor, Maybe, Maybe]:
    q = v if weight is None else v * weight  # *batch m, eq. ln-q
    grad_weight = None if weight is None else _sum(v * u)  # m, eq. ln-backward-affine
    return _jacobian(q, u, rstd), grad_weight, _sum(v) if has_bias else None  # eq. ln-backward-x


def _pull(
    v: Tensor, u: Tensor, rstd: Tensor, weight: Maybe, has_bias: bool
) -> tuple[Tensor, Maybe, Maybe]:
    """Do what `_pull_traced` does with half the memory, in place and untraced."""
    vu = v * u  # *batch m
    grad_weight = None if weight is None else _sum(vu)  # m
    along = _mean(vu if weight is None else vu.mul_(weight))  # *batch 1, the mean of q u
    del vu  # its memory serves for q
    q = v.clone() if weight is None else v * weight  # *batch m
    grad_x = q.sub_(_mean(q)).addcmul_(u, along, value=-1).mul_(rstd)  # *batch m
    return grad_x, grad_weight, _sum(v) if has_bias else None


def layer_norm(
    input: AnyShape,  # noqa: A002  (the name that torch uses)
    normalized_shape: Sequence[int],
    weight: AnyShape | None = None,
    bias: AnyShape | None = None,
    eps: float = 1e-5,
) -> AnyShape:
    r"""Normalize each sample over its last axes, then scale and shift.

    .. math:: y = \beta + \gamma \odot (x - \mu) / \sqrt{\sigma^2 + \varepsilon}

    The backward pass is the formula of the book, not a trace of the steps, so that only the
    input, gamma and two numbers per sample are kept. float16 and bfloat16 are computed in
    float32 and cast back, as torch does. A constant sample gives beta; with eps = 0 it
    gives NaN, as in torch (the NumPy form raises, which costs a look at all numbers). Second
    derivatives, forward mode and `torch.func` work. On a CPU the fused
    ``torch.nn.functional.layer_norm`` is faster by a factor of two to four.

    Args:
        input: samples, of shape ``(*batch, *normalized_shape)``.
        normalized_shape: the shape of the axes that one mean and one variance are taken over.
        weight: gamma, of the shape ``normalized_shape``; None means 1.
        bias: beta, likewise; None means 0.
        eps: added to the variance, in the units of the input squared.

    Returns:
        A tensor of the shape and dtype of the input.

    Raises:
        ValueError: if the input does not end in ``normalized_shape``, if weight or bias has
            another shape, or if eps is negative.
        TypeError: if the input holds no real floating point numbers.

    Source:
        Ba, Kiros and Hinton (2016), "Layer Normalization", arXiv:1607.06450.

    Examples:
        >>> layer_norm(torch.tensor([[3.0, 1.0], [-2.0, 5.0]]), (2,), eps=0.0).round(decimals=4)
        tensor([[ 1., -1.],
                [-1.,  1.]])
    """
    shape = tuple(normalized_shape)
    check_floating("layer_norm", "input", input.dtype, input.dtype.is_floating_point)
    check_ends_in("layer_norm", "input", tuple(input.shape), shape)
    check_range("layer_norm", "eps", eps, 0.0)
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            check_same_shape("layer_norm", name, tuple(value.shape), shape)
    x = _wide(input).flatten(input.dim() - len(shape))
    gamma, beta = (None if t is None else _wide(t).flatten() for t in (weight, bias))
    with torch.no_grad():
        u, mu, rstd = _normalize(x, eps)
    y: Tensor = _LayerNorm.apply(x, u, mu, rstd, gamma, beta, eps)  # type: ignore[no-untyped-call]
    y = y if len(shape) == 1 else y.reshape(input.shape)
    return y if y.dtype == input.dtype else y.to(input.dtype)


class LayerNorm(nn.Module):
    r"""Normalize each sample over its last axes, with a learnt scale and shift.

    .. math:: y = \beta + \gamma \odot (x - \mu) / \sqrt{\sigma^2 + \varepsilon}

    Mean and biased variance are taken over one sample's last axes; nothing is shared between
    samples, and train and eval mode do the same. See `layer_norm` for precision and speed.

    Args:
        normalized_shape: the lengths of the last axes, an int for one axis.
        eps: added to the variance, in the units of the input squared.
        elementwise_affine: learn gamma (and beta).
        bias: learn beta; only looked at with ``elementwise_affine``.
        device: where the parameters are made.
        dtype: the dtype of the parameters.

    Shape:
        - Input: ``(*batch, *normalized_shape)``
        - Output: the same.

    Raises:
        ValueError: if ``normalized_shape`` is empty or has a length below 1, or eps is negative.
        TypeError: if a length is not an int.

    Source:
        Ba, Kiros and Hinton (2016), "Layer Normalization", arXiv:1607.06450.

    Examples:
        >>> norm = LayerNorm(2, eps=0.0)
        >>> norm(torch.tensor([3.0, 1.0])).round(decimals=4).tolist()
        [1.0, -1.0]
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        given = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        check_not_empty("LayerNorm", "normalized_shape", given)
        check_range("LayerNorm", "eps", eps, 0.0)
        lengths = (check_count("LayerNorm", "normalized_shape", n) for n in given)
        self.normalized_shape = tuple(lengths)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        for name, there in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            empty = torch.empty(self.normalized_shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty) if there else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set gamma to 1 and beta to 0: at first the module is ln_s."""
        with torch.no_grad():
            if self.weight is not None:
                self.weight.fill_(1.0)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, input: AnyShape) -> AnyShape:  # noqa: A002
        """Call `layer_norm` with the module's parameters."""
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Name the shape and the options, as torch does."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
