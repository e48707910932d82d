"""ReLU networks that are written down instead of trained."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nnbook._check.values import check_count, check_increasing, check_same_length

from .activations import relu, relu_vjp
from .composition import Map, bind, sequential
from .linear import mm, mm_vjp

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weights and bias of each affine map, the first one first."""


def relu_network(layers: Layers) -> Map:
    """Return the ReLU network with these weights, a pair ``(f, f_vjp)``.

    Args:
        layers: weights of shape (n_l, n_{l-1}) and bias of shape (n_l,) for each affine map; a ReLU
            stands between every two.

    Examples:
        >>> split, merge = np.array([[1.0], [-1.0]]), np.ones((1, 2))
        >>> f, _ = relu_network([(split, np.zeros(2)), (merge, np.zeros(1))])
        >>> f(np.array([-3.0]))  # the absolute value
        array([3.])
    """
    steps = [step for W, b in layers for step in (bind(mm, mm_vjp, W, b), (relu, relu_vjp))]
    return sequential(*steps[:-1])


def relu_interpolant(knots: Float[np.ndarray, " k"], values: Float[np.ndarray, " k"]) -> Layers:
    r"""Return a network with one hidden layer that passes through given points.

    .. math:: g(x) = y_0 + \sum_{i=0}^{n-1} (s_i - s_{i-1}) \operatorname{relu}(x - x_i),
        \qquad s_i = \frac{y_{i+1} - y_i}{x_{i+1} - x_i}, \quad s_{-1} = 0

    Between the knots it is their linear interpolation; n units pass through n+1 points.

    Args:
        knots: :math:`x_0 < \dots < x_n`.
        values: :math:`y_0, \dots, y_n`.

    Returns:
        The weights and biases of its two affine maps, for `relu_network`.

    Raises:
        ValueError: if there are fewer than two knots, as many values as knots are not given, or
            the knots do not increase.

    Examples:
        >>> layers = relu_interpolant(np.array([0.0, 1.0, 2.0]), np.array([5.0, 6.0, 5.0]))
        >>> f, _ = relu_network(layers)
        >>> f(np.array([1.5]))
        array([5.5])
    """
    check_same_length("relu_interpolant", "knots", knots, "values", values)
    check_increasing("relu_interpolant", "knots", knots)
    slopes = np.diff(values) / np.diff(knots)  # n, eq. app-interpolant
    kinks = np.diff(slopes, prepend=0)[None, :]  # 1 n, eq. app-interpolant
    return [(np.ones_like(slopes)[:, None], -knots[:-1]), (kinks, values[:1])]


def tent_network(k: int) -> Layers:
    r"""Return the network of k layers, with two units each, that composes the tent map k times.

    .. math:: T(x) = 2 \operatorname{relu}(x) - 4 \operatorname{relu}(x - \tfrac12)

    Args:
        k: how often the tent map is applied, at least once.

    Returns:
        The weights and biases of its k+1 affine maps, for `relu_network`.

    Examples:
        >>> f, _ = relu_network(tent_network(2))
        >>> f(np.array([[0.0], [0.25], [0.5], [0.75], [1.0]]))[:, 0]
        array([0., 1., 0., 1., 0.])
    """
    check_count("tent_network", "k", k)
    split, kink, merge = np.ones((2, 1)), np.array([0.0, -0.5]), np.array([[2.0, -4.0]])
    between = [(split @ merge, kink)] * (k - 1)  # 2 2 and 2, eq. app-tent-map
    return [(split, kink), *between, (merge, np.zeros(1))]
