"""Activation functions in PyTorch: drop-ins for the modules of ``torch.nn``.

Functions first, then the modules that call them. Most functions bring their own derivative, the
formula of the book, and keep one tensor for the backward pass; it can be differentiated again. At a
kink the slope from the left counts. Half precision is computed in float32 and rounded once. All of
this is as in PyTorch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.values import check_choice

from ._precision import wide as _wide

Approximate = Literal["none", "tanh"]
Values = Float[Tensor, "*s"]
Map = Callable[[Tensor], Tensor]
SLOPE = math.sqrt(8 / math.pi)
CUBIC = 0.044715


def with_derivative(f: Map, derivative: Map, keep: Literal["input", "output"]) -> Map:
    """Return the element-wise f with a backward pass of its own: v times ``derivative``.

    Args:
        f: the function; it runs outside autograd and may work in place on its own tensors.
        derivative: made of differentiable operations, so that it can be differentiated again.
        keep: what is saved for the backward pass and given to ``derivative``.
    """

    class Elementwise(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(z: Tensor) -> Tensor:
            return f(z)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
            ctx.save_for_backward(inputs[0] if keep == "input" else output)

        @staticmethod
        def backward(ctx: Any, v: Tensor) -> Tensor:
            return v * derivative(*ctx.saved_tensors)  # *s, eq. act-vjp

    return Elementwise.apply


def relu(z: Values) -> Values:
    """Return max(0, z); the derivative at 0 is 0."""
    return _relu_op(z)


def leaky_relu(z: Values, slope: float = 0.01) -> Values:
    """Return z for z > 0, else slope times z."""
    return relu(z) + slope * z.clamp(max=0)  # *s, eq. act-leaky


def elu(z: Values, alpha: float = 1.0) -> Values:
    r"""Return z for z > 0, else :math:`\alpha (e^z - 1)`."""
    w = _wide(z)
    return (relu(w) + alpha * torch.expm1(w.clamp(max=0))).to(z.dtype)  # *s, eq. act-elu


def _sigmoid(z: Tensor) -> Tensor:
    return torch.exp(-z).add_(1).reciprocal_()  # *s, eq. act-sigmoid; 1 / inf = 0 is right


def sigmoid(z: Values) -> Values:
    r"""Return :math:`1 / (1 + e^{-z})`."""
    return _sigmoid_op(_wide(z)).to(z.dtype)


def _tanh(z: Tensor) -> Tensor:
    e = (-2 * z.abs()).expm1_()  # *s, in (-1, 0]: no overflow
    return torch.copysign(e / (2 + e), z)  # *s, eq. act-tanh


def tanh(z: Values) -> Values:
    r"""Return :math:`(e^z - e^{-z}) / (e^z + e^{-z})`, stable for every z."""
    return _tanh_op(_wide(z)).to(z.dtype)


def _silu_derivative(z: Tensor) -> Tensor:
    s = torch.sigmoid(z)
    return s * (1 + z * (1 - s))  # *s, eq. act-silu


def silu(z: Values) -> Values:
    r"""Return :math:`z \sigma(z)`."""
    return _silu_op(_wide(z)).to(z.dtype)


def _gelu(z: Tensor) -> Tensor:
    return (z * math.sqrt(0.5)).erf_().add_(1).mul_(z).mul_(0.5)  # *s, eq. act-gelu


def _gelu_derivative(z: Tensor) -> Tensor:
    cdf = torch.erf(z * math.sqrt(0.5)).mul_(0.5).add_(0.5)
    bell = (z * z).mul_(-0.5).exp_()
    return cdf.addcmul_(z, bell, value=1 / math.sqrt(2 * math.pi))  # *s, eq. act-gelu


def _cubic(z: Tensor) -> Tensor:
    return (z * z).mul_(SLOPE * CUBIC).add_(SLOPE).mul_(z)


def _gelu_tanh(z: Tensor) -> Tensor:
    return _cubic(z).sigmoid_().mul_(z)  # *s, eq. act-gelu-tanh


def _gelu_tanh_derivative(z: Tensor) -> Tensor:
    s = torch.sigmoid(_cubic(z))
    du = SLOPE * (1 + 3 * CUBIC * z * z)
    return s * (1 + z * (1 - s) * du)  # *s, eq. act-gelu-tanh


def gelu(z: Values, approximate: Approximate = "none") -> Values:
    r"""Return :math:`z \Phi(z)`, or its tanh form :math:`z \sigma(\sqrt{8/\pi}(z + 0.044715 z^3))`.

    Raises:
        ValueError: if approximate is neither ``"none"`` nor ``"tanh"``.
    """
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    op = _gelu_tanh_op if approximate == "tanh" else _gelu_op
    return op(_wide(z)).to(z.dtype)


_relu_op = with_derivative(lambda z: z.clamp(min=0), torch.sign, "output")  # eq. act-relu
_sigmoid_op = with_derivative(_sigmoid, lambda y: y * (1 - y), "output")  # eq. act-sigmoid
_tanh_op = with_derivative(_tanh, lambda y: 1 - y * y, "output")  # eq. act-tanh
_silu_op = with_derivative(lambda z: z * torch.sigmoid(z), _silu_derivative, "input")
_gelu_op = with_derivative(_gelu, _gelu_derivative, "input")
_gelu_tanh_op = with_derivative(_gelu_tanh, _gelu_tanh_derivative, "input")


class _Softmax(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, dim: int) -> Tensor:
        if z.numel() == 0:
            return torch.empty_like(z)
        e = (z - z.amax(dim, keepdim=True)).exp_()  # *s, the largest exponent is 0
        return e.div_(e.sum(dim, keepdim=True))  # *s, eq. act-softmax

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.dim = inputs[1]

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        (p,) = ctx.saved_tensors
        vp = v * p
        total = vp.sum(ctx.dim, keepdim=True)
        return torch.addcmul(vp, p, total, value=-1), None  # *s, eq. act-softmax


class _LogSoftmax(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, dim: int) -> Tensor:
        if z.numel() == 0:
            return torch.empty_like(z)
        shifted = z - z.amax(dim, keepdim=True)
        return shifted.sub_(shifted.exp().sum(dim, keepdim=True).log_())  # *s, eq. act-logsoftmax

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.dim = inputs[1]

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        (log_p,) = ctx.saved_tensors
        return v - log_p.exp() * v.sum(ctx.dim, keepdim=True), None  # *s, eq. act-logsoftmax


def softmax(z: Values, dim: int) -> Values:
    r"""Return :math:`e^{z_i} / \sum_j e^{z_j}` along one axis; a row of -inf only gives NaN."""
    p: Tensor = _Softmax.apply(_wide(z), dim)  # type: ignore[no-untyped-call]
    return p.to(z.dtype)


def log_softmax(z: Values, dim: int) -> Values:
    """Return the logarithm of softmax along one axis, finite where softmax rounds to 0."""
    log_p: Tensor = _LogSoftmax.apply(_wide(z), dim)  # type: ignore[no-untyped-call]
    return log_p.to(z.dtype)


class _Inplace(nn.Module):
    """An activation that may overwrite its input, as ``inplace=True`` asks.

    The result is computed beside the input and copied over it: the meaning is PyTorch's, autograd
    included, but no memory is saved.
    """

    inplace: bool

    def _run(self, f: Map, z: Tensor) -> Tensor:
        return z.copy_(f(z.clone())) if self.inplace else f(z)

    def _say(self, *options: str) -> str:
        return ", ".join((*options, "inplace=True") if self.inplace else options)


class ReLU(_Inplace):
    r"""Keep what is positive, replace the rest by 0.

    .. math:: y = \max(0, z)

    Args:
        inplace: overwrite the input with the result.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Source:
        Glorot, Bordes and Bengio (2011), "Deep Sparse Rectifier Neural Networks", AISTATS.

    Examples:
        >>> ReLU()(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0., 0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return relu(input)."""
        return self._run(relu, input)

    def extra_repr(self) -> str:
        """Return the options that differ from the defaults."""
        return self._say()


class LeakyReLU(_Inplace):
    r"""Keep what is positive, make the rest smaller.

    .. math:: y = z \text{ for } z > 0, \quad y = a z \text{ for } z \le 0

    Args:
        negative_slope: the slope a.
        inplace: overwrite the input with the result.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Examples:
        >>> LeakyReLU(0.25)(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([-0.2500,  0.0000,  2.0000])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return leaky_relu(input)."""
        return self._run(lambda z: leaky_relu(z, self.negative_slope), input)

    def extra_repr(self) -> str:
        """Return the slope."""
        return self._say(f"negative_slope={self.negative_slope}")


class ELU(_Inplace):
    r"""Keep what is positive, let the rest approach :math:`-\alpha`.

    .. math:: y = z \text{ for } z > 0, \quad y = \alpha (e^z - 1) \text{ for } z \le 0

    Args:
        alpha: the value approached on the left, and the slope there at 0.
        inplace: overwrite the input with the result.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Source:
        Clevert, Unterthiner and Hochreiter (2016), "Fast and Accurate Deep Network Learning by
        Exponential Linear Units (ELUs)", arXiv:1511.07289.

    Examples:
        >>> ELU(alpha=2.0)(torch.tensor([-100.0, 0.0, 3.0]))
        tensor([-2.,  0.,  3.])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return elu(input)."""
        return self._run(lambda z: elu(z, self.alpha), input)

    def extra_repr(self) -> str:
        """Return alpha."""
        return self._say(f"alpha={self.alpha}")


class Sigmoid(nn.Module):
    r"""Map the line onto (0, 1).

    .. math:: y = \sigma(z) = 1 / (1 + e^{-z})

    Four operations where PyTorch has one kernel, so it is slower by a small factor.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Examples:
        >>> Sigmoid()(torch.tensor([-1000.0, 0.0, 1000.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return sigmoid(input)."""
        return sigmoid(input)


class Tanh(nn.Module):
    r"""Map the line onto (-1, 1), odd around 0.

    .. math:: y = (e^z - e^{-z}) / (e^z + e^{-z})

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Examples:
        >>> Tanh()(torch.tensor([-1000.0, 0.0, 1000.0]))
        tensor([-1.,  0.,  1.])
    """

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return tanh(input)."""
        return tanh(input)


class SiLU(_Inplace):
    r"""Multiply by the sigmoid; also called Swish with :math:`\beta = 1`.

    .. math:: y = z \sigma(z)

    Args:
        inplace: overwrite the input with the result.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Source:
        Hendrycks and Gimpel (2016), arXiv:1606.08415; Ramachandran, Zoph and Le (2017), "Searching
        for Activation Functions", arXiv:1710.05941.

    Examples:
        >>> SiLU()(torch.tensor([-1000.0, 0.0, 1000.0]))
        tensor([  -0.,    0., 1000.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return silu(input)."""
        return self._run(silu, input)

    def extra_repr(self) -> str:
        """Return the options that differ from the defaults."""
        return self._say()


class GELU(nn.Module):
    r"""Multiply by the probability that a standard normal number is smaller.

    .. math:: y = z \Phi(z), \qquad \Phi(z) = \tfrac12 (1 + \operatorname{erf}(z / \sqrt 2))

    The exact form takes a few times as long as PyTorch's kernel on a CPU; the tanh form is faster
    than PyTorch's, because it computes one sigmoid instead of a tanh.

    Args:
        approximate: ``"none"``, or ``"tanh"`` for the form with a tanh, whose error is below 5e-4.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Raises:
        ValueError: if approximate is another word (PyTorch complains only in forward).

    Source:
        Hendrycks and Gimpel (2016), "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.

    Examples:
        >>> GELU()(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.1587,  0.0000,  0.8413])
    """

    def __init__(self, approximate: Approximate = "none") -> None:
        super().__init__()
        check_choice("GELU", "approximate", approximate, ("none", "tanh"))
        self.approximate = approximate

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return gelu(input)."""
        return gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """Return which form is computed."""
        return f"approximate={self.approximate!r}"


class _AlongDim(nn.Module):
    """A function along one axis; ``dim=None`` picks it as PyTorch does, with a warning."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _dim(self, z: Tensor) -> int:
        if self.dim is not None:
            return self.dim
        dim = 0 if z.dim() in (0, 1, 3) else 1
        warnings.warn(
            f"{type(self).__name__}: dim=None takes dim={dim} for an input with {z.dim()} axes, "
            f"a deprecated guess of PyTorch; give dim={dim} or the axis that you mean.",
            UserWarning,
            stacklevel=3,
        )
        return dim

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    r"""Turn the numbers along one axis into positive shares that add up to 1.

    .. math:: y_i = e^{z_i} / \textstyle\sum_j e^{z_j}

    Not element-wise: every output depends on every input along the axis. For the loss
    ``torch.nn.CrossEntropyLoss`` leave it out, that loss takes logits.

    Args:
        dim: the axis; None takes axis 0 of an input with 0, 1 or 3 axes, else axis 1, and warns.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Examples:
        >>> Softmax(dim=-1)(torch.tensor([0.0, 1e4, 1e4]))
        tensor([0.0000, 0.5000, 0.5000])
    """

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return softmax(input)."""
        return softmax(input, self._dim(input))


class LogSoftmax(_AlongDim):
    r"""Return the logarithm of softmax, by log-sum-exp.

    .. math:: y_i = z_i - \log \textstyle\sum_j e^{z_j}

    Args:
        dim: the axis; None takes axis 0 of an input with 0, 1 or 3 axes, else axis 1, and warns.

    Shape:
        - Input: any shape.
        - Output: the shape of the input.

    Examples:
        >>> LogSoftmax(dim=-1)(torch.tensor([0.0, 1e4]))
        tensor([-10000.,      0.])
    """

    def forward(self, input: Values) -> Values:  # noqa: A002 - torch's name of the argument
        """Return log_softmax(input)."""
        return log_softmax(input, self._dim(input))
