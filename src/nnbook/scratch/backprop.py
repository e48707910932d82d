"""Backpropagation by hand through a multilayer perceptron, and central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_choice, check_same_length

from .activations import relu, relu_vjp, sigmoid, sigmoid_vjp, tanh, tanh_vjp
from .linear import mm, mm_vjp

Array = Float[np.ndarray, "..."]
Arrays = Sequence[np.ndarray]
ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "relu": (relu, relu_vjp),
    "tanh": (tanh, tanh_vjp),
    "sigmoid": (sigmoid, sigmoid_vjp),
}


def mlp(x: Array, weights: Arrays, biases: Arrays, activation: str = "relu") -> Array:
    r"""Return the output of a multilayer perceptron.

    .. math:: z_l = W_l h_{l-1} + b_l, \qquad h_l = \varphi(z_l), \qquad h_0 = x

    The last layer has no activation: the result is :math:`z_L`.

    Args:
        x: inputs, as rows, with any axes in front.
        weights: a matrix of shape (outputs, inputs) for each layer.
        biases: a vector for each layer.
        activation: "relu", "tanh" or "sigmoid".

    Raises:
        ValueError: if there are not as many biases as weights, shapes do not fit, or the
            activation is none of these.

    Examples:
        >>> mlp(np.array([1.0, -2.0]), [np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
        array([1.])
    """
    return _forward("mlp", x, weights, biases, activation)[0][-1]


def _forward(
    who: str, x: Array, weights: Arrays, biases: Arrays, activation: str
) -> tuple[list[Array], list[Array]]:
    """Return the pre-activations of all layers, and the inputs of all layers."""
    check_same_length(who, "weights", weights, "biases", biases)
    check_choice(who, "activation", activation, ACTIVATIONS)
    f, _ = ACTIVATIONS[activation]
    inputs, before = [x], []
    for W, b in zip(weights, biases, strict=True):
        before.append(mm(inputs[-1], W, b))  # *batch n_l, eq. bkp-eq-z
        inputs.append(f(before[-1]))  # *batch n_l, eq. bkp-eq-h
    return before, inputs[:-1]


def mlp_vjp(
    v: Array, x: Array, weights: Arrays, biases: Arrays, activation: str = "relu"
) -> tuple[Array, list[Array], list[Array]]:
    r"""Return the gradients of :math:`\langle v, \mathrm{mlp}(x)\rangle`.

    .. math:: \bar z_L = v, \qquad \bar h_{l-1} = W_l^\top \bar z_l, \qquad
        \bar z_l = \varphi'(z_l) \odot \bar h_l

    Args:
        v: the gradient at the output.
        x: the inputs.
        weights: as in `mlp`.
        biases: as in `mlp`.
        activation: as in `mlp`.

    Returns:
        The gradient at x, those at the weights and those at the biases.

    Raises:
        ValueError: as `mlp`, and if v does not have the shape of the output.

    Source:
        Rumelhart, Hinton and Williams (1986), "Learning representations by back-propagating
        errors", Nature 323.

    Examples:
        >>> x, weights = np.array([1.0, -2.0]), [np.eye(2), np.ones((1, 2))]
        >>> mlp_vjp(np.ones(1), x, weights, [np.zeros(2), np.zeros(1)])[0]
        array([1., 0.])
    """
    before, inputs = _forward("mlp_vjp", x, weights, biases, activation)
    check_same_shape("mlp_vjp", "v", v.shape, before[-1].shape)
    _, f_vjp = ACTIVATIONS[activation]
    at_weights: list[Array] = []
    at_biases: list[Array] = []
    at_z = v  # *batch n_L, eq. bkp-eq-start
    for layer in reversed(range(len(weights))):
        z, h, W, b = before[layer - 1], inputs[layer], weights[layer], biases[layer]
        at_h, at_W, at_b = mm_vjp(at_z, h, W, b)  # eq. bkp-eq-layer
        at_weights.append(at_W)
        at_biases.append(at_b)
        at_z = f_vjp(at_h, z) if layer else at_h  # *batch n_l, eq. bkp-eq-delta
    return at_z, at_weights[::-1], at_biases[::-1]


def central_differences(
    f: Callable[..., float], inputs: Sequence[Any], step: float | None = None
) -> list[Any]:
    r"""Return the gradient of a number at each input, one entry after the other.

    .. math:: g_i = \frac{f(x + h e_i) - f(x - h e_i)}{2h}

    Args:
        f: a function of arrays that returns a number.
        inputs: the arrays.
        step: h; None means the cube root of the machine precision of each array, times the size of
            the entry or 1.

    Examples:
        >>> central_differences(lambda x: float((x**3).sum()), [np.array([1.0, 2.0])])[0].round(6)
        array([ 3., 12.])
    """
    points = [np.array(x) for x in inputs]
    gradients = []
    for x in points:
        gradient = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            kept = x[index]
            scale = float(np.finfo(x.dtype).eps) ** (1 / 3) * max(1.0, abs(float(kept)))
            h = scale if step is None else step
            x[index] = above = kept + h
            upper = f(*points)
            x[index] = below = kept - h
            lower = f(*points)
            x[index] = kept
            gradient[index] = (upper - lower) / (above - below)  # eq. bkp-eq-central
        gradients.append(gradient)
    return gradients
