"""A whole network by hand: forward, loss, backward, step, and the loop that repeats them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from nnbook._check.learning import (
    check_class_numbers,
    check_labels,
    check_layers,
    check_logits,
    check_widths,
)
from nnbook._check.shapes import check_last_axis
from nnbook._check.values import (
    check_choice,
    check_count,
    check_range,
    check_same_length,
    check_some,
    check_whole,
)

from ._precision import wide
from .activations import relu, sigmoid, tanh
from .initial import he_normal, xavier_normal

Array = np.ndarray
Layers = list[tuple[Array, Array]]
"""Weights (n, m) and bias (n,) of each affine map, the first one first."""
Activation = Literal["tanh", "relu", "sigmoid"]

# each activation, and its slope written with the value h that it gave
HIDDEN: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (tanh, lambda h: 1 - h * h),  # eq. wal-slopes
    "relu": (relu, lambda h: h > 0),  # eq. wal-slopes
    "sigmoid": (sigmoid, lambda h: h * (1 - h)),  # eq. wal-slopes
}


def start_network(
    rng: np.random.Generator,
    widths: tuple[int, ...],
    activation: Activation = "tanh",
    dtype: Any = np.float64,
) -> Layers:
    """Draw the first parameters of a network: Xavier's weights, He's for ReLU, and biases of 0.

    Args:
        rng: where the random numbers come from.
        widths: the numbers of inputs, of the units of each hidden layer, and of logits.
        activation: ``"tanh"``, ``"relu"`` or ``"sigmoid"``.
        dtype: the type of the parameters.

    Returns:
        A pair of weights and bias for each affine map.

    Raises:
        ValueError: if there are fewer than two widths, or one of them is below 1.

    Examples:
        >>> layers = start_network(np.random.default_rng(0), (2, 8, 2))
        >>> [W.shape for W, b in layers]
        [(8, 2), (2, 8)]
    """
    check_choice("start_network", "activation", activation, HIDDEN)
    check_widths("start_network", widths)
    draw = he_normal if activation == "relu" else xavier_normal
    return [(draw(rng, n, m, dtype=dtype), np.zeros(n, dtype)) for m, n in pairwise(widths)]


def network_values(
    x: Float[Array, "*batch m"], layers: Layers, activation: Activation = "tanh"
) -> list[Array]:
    r"""Return the input, the values of every hidden layer, and the logits.

    .. math:: h_l = \varphi(W_l h_{l-1} + b_l) \quad (1 \le l < L), \qquad z = W_L h_{L-1} + b_L

    Args:
        x: samples of m numbers, with any axes in front.
        layers: weights and bias of each affine map.
        activation: what follows each affine map but the last.

    Returns:
        :math:`h_0 = x, h_1, \dots, h_{L-1}, z`. The way back needs all of them.

    Raises:
        ValueError: if there is no layer, or a map cannot take what comes before it.

    Examples:
        >>> layers = [(np.array([[1.0, -1.0]]), np.zeros(1)), (np.array([[2.0]]), np.ones(1))]
        >>> network_values(np.array([3.0, 1.0]), layers, "relu")
        [array([3., 1.]), array([2.]), array([5.])]
    """
    check_choice("network_values", "activation", activation, HIDDEN)
    check_layers("network_values", len(layers))
    arrives = x.shape
    for W, _ in layers:
        check_last_axis("network_values", "a value", arrives, W.shape[1], "columns of W")
        arrives = W.shape[:1]
    phi, _ = HIDDEN[activation]
    values = [x]
    for W, b in layers[:-1]:
        values.append(phi(values[-1] @ W.T + b))  # *batch n, eq. wal-hidden
    W, b = layers[-1]
    values.append(values[-1] @ W.T + b)  # *batch k, eq. wal-logits
    return values


def network_vjp(
    v: Float[Array, "*batch k"],
    values: list[Array],
    layers: Layers,
    activation: Activation = "tanh",
) -> tuple[Array, Layers]:
    r"""Return the gradients of the scalar :math:`\langle v, z \rangle`, z the logits.

    .. math:: \delta_L = v, \qquad
        \delta_{l-1} = (W_l^\top \delta_l) \odot \varphi'_{l-1}, \qquad
        \bar W_l = \sum \delta_l h_{l-1}^\top, \qquad \bar b_l = \sum \delta_l

    Args:
        v: the gradient at the logits.
        values: what `network_values` returned.
        layers: weights and bias of each affine map.
        activation: the one that `network_values` was given.

    Returns:
        The gradient at x, and a pair of gradients for each pair of parameters.

    Raises:
        ValueError: if the values do not belong to so many layers.
    """
    check_choice("network_vjp", "activation", activation, HIDDEN)
    check_same_length("network_vjp", "values after the input", values[1:], "layers", layers)
    _, slope = HIDDEN[activation]
    delta, grads = v, []
    for place in range(len(layers) - 1, -1, -1):
        h, (W, _) = values[place], layers[place]
        rows = _matrix(delta)
        at_W = rows.T @ _matrix(h)  # n m, eq. wal-back-W
        at_b = rows.sum(axis=0)  # n, eq. wal-back-W
        grads.append((at_W, at_b))
        delta = delta @ W  # *batch m, eq. wal-back
        if place > 0:
            delta = delta * slope(h)  # *batch m, eq. wal-back
    return delta, grads[::-1]


def _matrix(x: Array) -> Array:
    """Return the samples of any batch axes as rows."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def network_loss(z: Float[Array, "*batch k"], y: Int[Array, "*batch"]) -> Array:
    r"""Return the mean cross-entropy of logits; one logit stands for the pair (0, z).

    .. math:: \ell = \frac1B \sum_i \Big( \log \sum_c e^{z_{ic}} - z_{i y_i} \Big)

    Args:
        z: k logits for each sample; with k = 1 there are two classes.
        y: the class of each sample, from 0.

    Returns:
        An array without axes.

    Raises:
        ValueError: if y has not one class per sample, or there is no sample.
        TypeError: if y holds no whole numbers.
        IndexError: if a class has no logit.

    Examples:
        >>> network_loss(np.array([[0.0, 0.0], [0.0, 0.0]]), np.array([0, 1])).round(4)
        np.float64(0.6931)
    """
    loss, _ = _loss_and_error("network_loss", z, y)
    return np.asarray(loss, dtype=z.dtype)


def network_loss_vjp(z: Float[Array, "*batch k"], y: Int[Array, "*batch"]) -> Array:
    r"""Return the gradient of `network_loss` at the logits: (p - one-hot of y) / B.

    Args:
        z: the logits.
        y: the class of each sample.

    Returns:
        An array of the shape and dtype of z.

    Examples:
        >>> network_loss_vjp(np.array([[0.0, 0.0]]), np.array([1]))
        array([[ 0.5, -0.5]])
    """
    return _loss_and_error("network_loss_vjp", z, y)[1]


def _loss_and_error(who: str, z: Array, y: Array) -> tuple[float, Array]:
    """Return the loss and its gradient at the logits, which share their exponentials."""
    check_logits(who, "z", z.shape)
    check_labels(who, y.shape, z.shape[:-1], "the last axis")
    check_whole(who, "y", y.dtype, y.dtype.kind in "iu")
    check_some(who, y.size)
    rows, at = wide(z).reshape(y.size, z.shape[-1]), (np.arange(y.size), y.ravel())
    if rows.shape[1] == 1:
        rows = np.concatenate([np.zeros_like(rows), rows], axis=1)  # B 2, eq. wal-pair
    check_class_numbers(
        who, "y", bool(at[1].min() < 0 or at[1].max() >= rows.shape[1]), len(rows[0])
    )
    top = rows.max(axis=1, keepdims=True)
    powers = np.exp(rows - top)
    totals = powers.sum(axis=1, keepdims=True)
    loss = (np.log(totals[:, 0]) + top[:, 0] - rows[at]).sum() / y.size  # eq. wal-loss
    error = powers / totals  # B k, eq. wal-softmax
    error[at] -= 1  # B k, eq. wal-start
    error /= y.size  # B k, eq. wal-start
    error = error[:, 1:] if z.shape[-1] == 1 else error
    return float(loss), error.reshape(z.shape).astype(z.dtype, copy=False)


def sgd_step(layers: Layers, grads: Layers, rate: float | int) -> Layers:
    r"""Return new parameters, one step of the learning rate against the gradient.

    .. math:: \theta \leftarrow \theta - \eta \, \nabla_\theta \ell

    Examples:
        >>> sgd_step([(np.ones((1, 1)), np.ones(1))], [(np.full((1, 1), 5.0), np.zeros(1))], 0.1)
        [(array([[0.5]]), array([1.]))]
    """
    check_same_length("sgd_step", "layers", layers, "grads", grads)
    pairs = zip(layers, grads, strict=True)
    return [(W - rate * at_W, b - rate * at_b) for (W, b), (at_W, at_b) in pairs]  # eq. wal-step


def train_network(
    x: Float[Array, "n m"],
    y: Int[Array, " n"],
    layers: Layers,
    *,
    rate: float | int,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
    activation: Activation = "tanh",
) -> tuple[Layers, list[float]]:
    """Repeat forward, loss, backward, step over shuffled batches.

    Args:
        x: samples.
        y: their classes.
        layers: the parameters at the start; they are left as they are.
        rate: the learning rate.
        epochs: how often to go through the samples.
        batch_size: the number of samples of a step; the last one of an epoch may have fewer.
        rng: of the order of the samples.
        activation: of the hidden layers.

    Returns:
        The parameters at the end, and the mean loss of each epoch, measured before each step.

    Raises:
        ValueError: if x and y differ in length or are empty, or a number is out of range.
    """
    check_same_length("train_network", "x", x, "y", y)
    check_some("train_network", len(y))
    check_count("train_network", "batch_size", batch_size)
    check_count("train_network", "epochs", epochs, least=0)
    check_range("train_network", "rate", float(rate), 0.0)
    history = []
    for _ in range(epochs):
        order, total = rng.permutation(len(x)), 0.0
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            values = network_values(x[batch], layers, activation)
            loss, v = _loss_and_error("train_network", values[-1], y[batch])
            total += len(batch) * loss
            _, grads = network_vjp(v, values, layers, activation)
            layers = sgd_step(layers, grads, rate)
        history.append(total / len(x))
    return layers, history
