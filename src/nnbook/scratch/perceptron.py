"""The perceptron and its rule; the pieces of ReLU networks on a line, and one that squares."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Shaped

from nnbook._check.learning import check_layers, check_signs
from nnbook._check.shapes import check_last_axis, check_matrix
from nnbook._check.values import check_count, check_range, check_same_length

from .approximation import Layers

Array = np.ndarray


def perceptron(
    x: Shaped[Array, "*batch m"], w: Shaped[Array, " m"], b: float | int
) -> Shaped[Array, "*batch"]:
    r"""Return the answers of a perceptron: 1 where :math:`w^\top x + b > 0`, else -1.

    Args:
        x: inputs of m numbers, with any axes in front.
        w: weights.
        b: bias.

    Raises:
        ValueError: if x does not end in as many numbers as there are weights.

    Examples:
        >>> perceptron(np.array([[0, 0], [1, 1]]), np.array([1, 1]), -1)
        array([-1,  1])
    """
    check_last_axis("perceptron", "x", x.shape, len(w), "the weights")
    return np.where(x @ w + b > 0, 1, -1)  # *batch, eq. per-unit


def perceptron_round(
    x: Shaped[Array, "n m"], y: Shaped[Array, " n"], w: Shaped[Array, " m"], b: float | int
) -> tuple[Array, float | int, int]:
    r"""Go once through the examples and repair the weights at each one that is not right.

    .. math:: y_i (w^\top x_i + b) \le 0 \implies
        w \leftarrow w + y_i x_i, \quad b \leftarrow b + y_i

    Args:
        x: inputs, in the order in which they are seen.
        y: labels, 1 or -1.
        w: weights before the round; they are left as they are.
        b: bias before the round.

    Returns:
        The weights and the bias after the round, and the number of updates.

    Raises:
        ValueError: if there are not as many labels as inputs, or a label is neither 1 nor -1.

    Source:
        Rosenblatt (1958), "The perceptron".
    """
    check_same_length("perceptron_round", "x", x, "y", y)
    check_signs("perceptron_round", "y", bool((np.abs(y) != 1).any()))
    updates = 0
    for x_i, y_i in zip(x, y, strict=True):
        if y_i * (x_i @ w + b) <= 0:  # eq. per-rule
            w, b = w + y_i * x_i, b + int(y_i)  # m, eq. per-rule
            updates += 1
    return w, b, updates


def perceptron_fit(
    x: Shaped[Array, "n m"], y: Shaped[Array, " n"], rounds: int = 1000
) -> tuple[Array, float | int, list[int]]:
    """Start at zero and repeat `perceptron_round` until a round needs no update.

    Whole numbers stay whole numbers.

    Args:
        x: inputs.
        y: labels, 1 or -1.
        rounds: when to give up.

    Returns:
        The weights, the bias, and the number of updates of each round. The last number is 0 if
        and only if all examples are classified rightly.

    Raises:
        ValueError: as `perceptron_round`.

    Examples:
        >>> corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> w, b, updates = perceptron_fit(corners, np.array([-1, -1, -1, 1]))  # AND
        >>> perceptron(corners, w, b), updates[-1]
        (array([-1, -1, -1,  1]), 0)
    """
    check_count("perceptron_fit", "rounds", rounds)
    check_matrix("perceptron_fit", "x", x.shape)
    b: float | int
    w, b, history = np.zeros(x.shape[1], x.dtype), 0, []
    for _ in range(rounds):
        w, b, updates = perceptron_round(x, y, w, b)
        history.append(updates)
        if updates == 0:
            break
    return w, b, history


def margin(
    x: Shaped[Array, "n m"], y: Shaped[Array, " n"], w: Shaped[Array, " m"], b: float | int
) -> float:
    r"""Return by how much a perceptron is right at the example where it is least so.

    .. math:: \gamma = \min_i \frac{y_i (w^\top x_i + b)}{\sqrt{\lVert w \rVert^2 + b^2}}

    Args:
        x: inputs.
        y: labels, 1 or -1.
        w: weights, not all 0 unless b is not 0.
        b: bias.

    Returns:
        A positive number if and only if all examples are right.

    Examples:
        >>> margin(np.array([[3.0], [-1.0]]), np.array([1, -1]), np.array([2.0]), 0.0)
        1.0
    """
    check_same_length("margin", "x", x, "y", y)
    length = float(np.sqrt((w * w).sum() + b * b))
    check_range("margin", "the length of (w, b)", length, 0.0, ends="()")
    return float((y * (x @ w + b)).min() / length)  # eq. per-margin


def relu_pieces(
    layers: Layers, lo: float | int = 0.0, hi: float | int = 1.0
) -> tuple[Array, Array]:
    """Return where the pieces of a ReLU network of one variable end, and its values there.

    Between two neighbours the network is affine, and on both sides of one it is not the same
    affine map (but for rounding: slopes that differ by less than 1e-9 of the largest are one).

    Args:
        layers: weights and bias of each affine map, from one input to one output.
        lo: left end of the interval.
        hi: right end.

    Returns:
        The ends of the pieces in rising order, with ``lo`` and ``hi``, and the values there. With
        arrays of Python's fractions (dtype object) they are exact.

    Raises:
        ValueError: if there is no layer, or the interval is empty.

    Examples:
        >>> from nnbook.scratch import tent_network
        >>> relu_pieces(tent_network(1))
        (array([0. , 0.5, 1. ]), array([0., 1., 0.]))
    """
    check_layers("relu_pieces", len(layers))
    check_range("relu_pieces", "hi", float(hi), float(lo), ends="()")
    ends = np.array([lo, hi], dtype=layers[0][0].dtype)
    h = ends[:, None]  # one row per end, one column per unit: affine between the rows
    for W, b in layers[:-1]:
        z = h @ W.T + b
        cuts = [(k, t) for k, pair in enumerate(pairwise(z)) for t in _turns(*pair)]
        ends, z = _cut(ends, cuts), _cut(z, cuts)
        h = np.where(z > 0, z, 0 * z)  # k n, eq. per-cut
    W, b = layers[-1]
    y = (h @ W.T + b)[:, 0]
    slopes = np.diff(y) / np.diff(ends)
    room = 0 if slopes.dtype == object else 1e-9 * np.abs(slopes).max()
    kept = np.concatenate([[True], np.abs(np.diff(slopes)) > room, [True]])
    return ends[kept], y[kept]


def _cut(rows: Array, cuts: list[tuple[int, Any]]) -> Array:
    """Return the first row, and for each (k, t) what is at the part t of the way from row k on."""
    return np.stack([rows[0], *(rows[k] + t * (rows[k + 1] - rows[k]) for k, t in cuts)])


def _turns(left: Array, right: Array) -> list[Any]:
    """Return where on the way from left (0) to right (1) a unit changes its sign, and 1."""
    pairs = zip(left, right, strict=True)
    return [*sorted({a / (a - c) for a, c in pairs if a * c < 0}), 1]  # eq. per-cut


def square_network(m: int) -> Layers:
    r"""Return a ReLU network of m layers with three units each that nearly squares on [0, 1].

    .. math:: x - \sum_{s=1}^{m} \frac{T^s(x)}{4^s}

    Two units make the tent map T as in `tent_network`, the third carries the sum. It never falls
    below x squared, so ReLU does nothing to it.

    Args:
        m: how many tents are taken off, at least one.

    Returns:
        The weights and biases of its m+1 affine maps, for `relu_network`.

    Source:
        Yarotsky (2017), "Error bounds for approximations with deep ReLU networks".

    Examples:
        >>> from nnbook.scratch import relu_network
        >>> f, _ = relu_network(square_network(2))
        >>> f(np.array([[0.0], [0.25], [0.5], [1.0]]))[:, 0]
        array([0.    , 0.0625, 0.25  , 1.    ])
    """
    check_count("square_network", "m", m)
    kinks = np.array([0.0, -0.5, 0.0])
    layers = [(np.ones((3, 1)), kinks)]
    for s in range(1, m):
        tent, rest = [2.0, -4.0, 0.0], [-2.0 / 4**s, 4.0 / 4**s, 1.0]
        layers.append((np.array([tent, tent, rest]), kinks))  # 3 3, eq. per-sum
    layers.append((np.array([[-2.0 / 4**m, 4.0 / 4**m, 1.0]]), np.zeros(1)))  # 1 3, eq. per-sum
    return layers
