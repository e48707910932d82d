"""Initial values in place, drop-ins for the functions of the same names in ``torch.nn.init``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from nnbook._check.shapes import check_fans
from nnbook._check.values import check_choice, check_taught

FLAT = ("linear", "conv1d", "conv2d", "conv3d", "sigmoid")
TAUGHT = (*FLAT, "tanh", "relu", "leaky_relu")
NOT_TAUGHT = ("selu", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


def calculate_gain(nonlinearity: str, param: float | int | None = None) -> float:
    r"""Return the factor by which the standard deviation is multiplied for a non-linearity.

    It is 1 for linear maps and sigmoid, 5/3 for tanh (a value found by trial, not derived),
    :math:`\sqrt 2` for ReLU and :math:`\sqrt{2 / (1 + s^2)}` for leaky ReLU of slope s.

    Args:
        nonlinearity: the name of the function, such as "relu".
        param: the slope of leaky ReLU; None means 0.01.

    Raises:
        NotImplementedError: for "selu" and the transposed convolutions, which the book leaves out.
        ValueError: for a name that is not known, or a slope that is not a number.

    Examples:
        >>> calculate_gain("tanh")
        1.6666666666666667
    """
    check_taught("calculate_gain", "nonlinearity", nonlinearity, NOT_TAUGHT, "fixed gains")
    check_choice("calculate_gain", "nonlinearity", nonlinearity, TAUGHT)
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity in FLAT:
        return 1.0
    if nonlinearity == "relu":
        return math.sqrt(2)
    slope: float | int = 0.01 if param is None else param
    if isinstance(slope, bool) or not isinstance(slope, int | float):
        raise ValueError(f"calculate_gain: param={param!r} is not a number; give the slope.")
    return math.sqrt(2 / (1 + slope**2))  # eq. ini-gain


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return fan in and fan out of a weight: how many numbers each output and each input touches.

    Args:
        shape: ``(out, in, *kernel)``, as ``torch.nn`` stores weights.

    Raises:
        ValueError: if there are fewer than two axes.

    Examples:
        >>> fans((8, 3, 5, 5))
        (75, 200)
    """
    check_fans("fans", tuple(shape))
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def xavier_uniform_(
    tensor: Tensor, gain: float | int = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a weight from U(-a, a) with a = gain sqrt(6 / (fan in + fan out)), and return it.

    Args:
        tensor: the weight, changed in place.
        gain: see `calculate_gain`.
        generator: where the random numbers come from; None means torch's own.
    """
    return _uniform(tensor, gain * math.sqrt(2 / sum(fans(tensor.shape))), generator)


def xavier_normal_(
    tensor: Tensor, gain: float | int = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a weight from N(0, s^2) with s^2 = gain^2 2 / (fan in + fan out), and return it.

    Args:
        tensor: the weight, changed in place.
        gain: see `calculate_gain`.
        generator: where the random numbers come from; None means torch's own.
    """
    return _normal(
        tensor, gain * math.sqrt(2 / sum(fans(tensor.shape))), generator
    )  # eq. ini-xavier


def kaiming_uniform_(
    tensor: Tensor,
    a: float | int = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a weight from U(-c, c) with He's variance gain^2 / fan, and return it.

    Args:
        tensor: the weight, changed in place.
        a: slope of the leaky ReLU that follows; 0 is ReLU.
        mode: "fan_in" or "fan_out".
        nonlinearity: see `calculate_gain`.
        generator: where the random numbers come from; None means torch's own.
    """
    std = _he_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return tensor if std is None else _uniform(tensor, std, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float | int = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a weight from N(0, gain^2 / fan), and return it.

    Args:
        tensor: the weight, changed in place.
        a: slope of the leaky ReLU that follows; 0 is ReLU.
        mode: "fan_in" or "fan_out".
        nonlinearity: see `calculate_gain`.
        generator: where the random numbers come from; None means torch's own.
    """
    std = _he_std("kaiming_normal_", tensor, a, mode, nonlinearity)
    return tensor if std is None else _normal(tensor, std, generator)


@torch.no_grad()
def orthogonal_(
    tensor: Tensor, gain: float | int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a weight with orthonormal rows, or columns if it has more rows, times the gain.

    Args:
        tensor: the weight, changed in place; all axes but the first count as columns.
        gain: see `calculate_gain`.
        generator: where the random numbers come from; None means torch's own.
    """
    check_fans("orthogonal_", tuple(tensor.shape))
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    drawn = tensor.new_empty(rows, tensor.numel() // rows).normal_(0, 1, generator=generator)
    Q, R = torch.linalg.qr(drawn.T if rows < drawn.shape[1] else drawn)
    Q = Q * torch.diag(R).sign()  # without this the draw is not even
    return tensor.copy_(gain * (Q.T if rows < drawn.shape[1] else Q).reshape(tensor.shape))


def _he_std(who: str, tensor: Tensor, a: float | int, mode: str, nonlinearity: str) -> float | None:
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return None
    check_choice(who, "mode", mode.lower(), ("fan_in", "fan_out"))
    fan_in, fan_out = fans(tensor.shape)
    fan = fan_in if mode.lower() == "fan_in" else fan_out
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)  # eq. ini-he


@torch.no_grad()
def _uniform(tensor: Tensor, std: float, generator: torch.Generator | None) -> Tensor:
    bound = math.sqrt(3) * std  # eq. ini-uniform
    return tensor.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def _normal(tensor: Tensor, std: float, generator: torch.Generator | None) -> Tensor:
    return tensor.normal_(0, std, generator=generator)
