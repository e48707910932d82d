"""Activation functions in NumPy: each with its derivative and its vjp.

Element-wise functions take an array of any shape and keep its dtype; softmax and its logarithm act
along one axis. No formula overflows for any finite input. At a kink the derivative is the slope
from the left, as in PyTorch.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import erfc

from nnbook._check.values import check_choice

Array = Float[np.ndarray, "*s"]
Reduced = Float[np.ndarray, "*r"]
"""One axis of `Array` has length 1."""
Approximate = Literal["none", "tanh"]

SLOPE = float(np.sqrt(8 / np.pi))
"""Twice the slope of 2 Φ(z) - 1 at 0: the constant of the tanh form of GELU as a sigmoid."""
CUBIC = 0.044715
"""The coefficient of the cube in the tanh form of GELU."""
FAR = 40.0
"""Beyond this number GELU is z or 0 to the last bit; inputs are clipped to it before powers."""


def relu(z: Array) -> Array:
    """Return max(0, z)."""
    return np.maximum(z, 0)  # *s, eq. act-relu


def relu_derivative(z: Array) -> Array:
    """Return 1 for z > 0, else 0; at 0 the slope from the left is taken."""
    return (z > 0).astype(z.dtype)  # *s, eq. act-relu


def leaky_relu(z: Array, slope: float = 0.01) -> Array:
    """Return z for z > 0, else slope times z."""
    return np.maximum(z, 0) + slope * np.minimum(z, 0)  # *s, eq. act-leaky


def leaky_relu_derivative(z: Array, slope: float = 0.01) -> Array:
    """Return 1 for z > 0, else slope."""
    return np.where(z > 0, 1, slope).astype(z.dtype)  # *s, eq. act-leaky


def elu(z: Array, alpha: float = 1.0) -> Array:
    r"""Return z for z > 0, else :math:`\alpha (e^z - 1)`, by ``expm1``: exact for tiny z."""
    return np.maximum(z, 0) + alpha * np.expm1(np.minimum(z, 0))  # *s, eq. act-elu


def elu_derivative(z: Array, alpha: float = 1.0) -> Array:
    r"""Return 1 for z > 0, else :math:`\alpha e^z`."""
    return np.where(z > 0, 1, alpha * np.exp(np.minimum(z, 0))).astype(z.dtype)  # eq. act-elu


def sigmoid(z: Array) -> Array:
    r"""Return :math:`1 / (1 + e^{-z})`, with an exponent that is never positive.

    Examples:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    e = np.exp(-np.abs(z))  # *s, at most 1
    return np.where(z >= 0, 1, e).astype(z.dtype) / (1 + e)  # *s, eq. act-sigmoid


def sigmoid_derivative(z: Array) -> Array:
    r"""Return :math:`\sigma(z) \sigma(-z)`, which keeps its digits where :math:`\sigma = 1`."""
    return sigmoid(z) * sigmoid(-z)  # *s, eq. act-sigmoid


def tanh(z: Array) -> Array:
    r"""Return :math:`(e^z - e^{-z}) / (e^z + e^{-z})`, with an exponent that is never positive."""
    e = np.expm1(-2 * np.abs(z))  # *s, in (-1, 0]
    return np.copysign(e / (2 + e), z)  # *s, eq. act-tanh


def tanh_derivative(z: Array) -> Array:
    r"""Return :math:`1 - \tanh^2 z = 4 \sigma(2z) \sigma(-2z)`."""
    return 4 * sigmoid_derivative(2 * z)  # *s, eq. act-tanh


def silu(z: Array) -> Array:
    r"""Return :math:`z \sigma(z)`, also called Swish with :math:`\beta = 1`."""
    return z * sigmoid(z)  # *s, eq. act-silu


def silu_derivative(z: Array) -> Array:
    r"""Return :math:`\sigma(z) (1 + z \sigma(-z))`."""
    return sigmoid(z) * (1 + z * sigmoid(-z))  # *s, eq. act-silu


def gelu(z: Array, approximate: Approximate = "none") -> Array:
    r"""Return :math:`z \Phi(z)`, with the normal distribution function or its tanh form.

    .. math:: z \Phi(z) = \tfrac{z}{2} \operatorname{erfc}(-z / \sqrt 2)
        \approx z \sigma(\sqrt{8/\pi} \, (z + 0.044715 z^3))

    Args:
        z: an array of any shape.
        approximate: ``"none"`` for the error function, ``"tanh"`` for the second formula, which
            is :math:`\tfrac{z}{2} (1 + \tanh(\sqrt{2/\pi} (z + 0.044715 z^3)))`.

    Returns:
        An array of the shape and dtype of z.

    Raises:
        ValueError: if approximate is another word.

    Source:
        Hendrycks and Gimpel (2016), "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.
    """
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    if approximate == "tanh":
        return z * sigmoid(_cubic(z))  # *s, eq. act-gelu-tanh
    return z * _normal_cdf(z)  # *s, eq. act-gelu


def gelu_derivative(z: Array, approximate: Approximate = "none") -> Array:
    r"""Return :math:`\Phi(z) + z \varphi(z)`, or the exact derivative of the tanh form."""
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    c = np.clip(z, -FAR, FAR)  # beyond, every term below is 0 or 1
    if approximate == "tanh":
        u, du = _cubic(z), SLOPE * (1 + 3 * CUBIC * c**2)
        return sigmoid(u) * (1 + c * sigmoid(-u) * du)  # *s, eq. act-gelu-tanh
    density = np.exp(-(c**2) / 2) / float(np.sqrt(2 * np.pi))
    return _normal_cdf(z) + c * density  # *s, eq. act-gelu


def _normal_cdf(z: Array) -> Array:
    return erfc(z * -float(np.sqrt(0.5))).astype(z.dtype) / 2  # erfc: no cancellation on the left


def _cubic(z: Array) -> Array:
    c = np.clip(z, -FAR, FAR)
    return SLOPE * (c + CUBIC * c**3)


def relu_vjp(v: Array, z: Array) -> Array:
    """Return the gradient of <v, relu(z)>: an element-wise map has a diagonal Jacobian."""
    return v * relu_derivative(z)  # *s, eq. act-vjp


def leaky_relu_vjp(v: Array, z: Array, slope: float = 0.01) -> Array:
    """Return the gradient of <v, leaky_relu(z)>."""
    return v * leaky_relu_derivative(z, slope)  # *s, eq. act-vjp


def elu_vjp(v: Array, z: Array, alpha: float = 1.0) -> Array:
    """Return the gradient of <v, elu(z)>."""
    return v * elu_derivative(z, alpha)  # *s, eq. act-vjp


def sigmoid_vjp(v: Array, z: Array) -> Array:
    """Return the gradient of <v, sigmoid(z)>."""
    return v * sigmoid_derivative(z)  # *s, eq. act-vjp


def tanh_vjp(v: Array, z: Array) -> Array:
    """Return the gradient of <v, tanh(z)>."""
    return v * tanh_derivative(z)  # *s, eq. act-vjp


def silu_vjp(v: Array, z: Array) -> Array:
    """Return the gradient of <v, silu(z)>."""
    return v * silu_derivative(z)  # *s, eq. act-vjp


def gelu_vjp(v: Array, z: Array, approximate: Approximate = "none") -> Array:
    """Return the gradient of <v, gelu(z)>."""
    return v * gelu_derivative(z, approximate)  # *s, eq. act-vjp


def log_sum_exp(z: Array, axis: int = -1) -> Reduced:
    r"""Return :math:`\log \sum_i e^{z_i}` along an axis, which is kept with length 1."""
    top = _top(z, axis)
    return top + np.log(np.exp(z - top).sum(axis, keepdims=True))  # eq. act-logsumexp


def log_sum_exp_vjp(v: Reduced, z: Array, axis: int = -1) -> Array:
    """Return the gradient of <v, log_sum_exp(z)>: v times softmax."""
    return v * softmax(z, axis)


def softmax(z: Array, axis: int = -1) -> Array:
    r"""Return :math:`e^{z_i} / \sum_j e^{z_j}` along an axis; the largest exponent is 0.

    An entry of minus infinity gets 0. A row of nothing else has no softmax: NaN, as in PyTorch.
    """
    e = np.exp(z - _top(z, axis))
    return e / e.sum(axis, keepdims=True)  # *s, eq. act-softmax


def softmax_vjp(v: Array, z: Array, axis: int = -1) -> Array:
    """Return the gradient of <v, softmax(z)>, without the Jacobian matrix."""
    p = softmax(z, axis)
    return p * (v - (v * p).sum(axis, keepdims=True))  # *s, eq. act-softmax


def log_softmax(z: Array, axis: int = -1) -> Array:
    """Return the logarithm of softmax, finite where softmax itself rounds to 0."""
    shifted = z - _top(z, axis)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))  # *s, eq. act-logsoftmax


def log_softmax_vjp(v: Array, z: Array, axis: int = -1) -> Array:
    """Return the gradient of <v, log_softmax(z)>."""
    return v - softmax(z, axis) * v.sum(axis, keepdims=True)  # *s, eq. act-logsoftmax


def _top(z: Array, axis: int) -> Reduced:
    return z.max(axis, keepdims=True, initial=-np.inf)  # initial: also for an axis of length 0
