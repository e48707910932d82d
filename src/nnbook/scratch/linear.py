"""Affine maps: the module MM and its vector-Jacobian product."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped

from nnbook._check.shapes import check_bias, check_last_axis, check_matrix


def mm(
    z: Shaped[np.ndarray, "*batch m"],
    W: Shaped[np.ndarray, "n m"],
    b: Shaped[np.ndarray, " n"] | None = None,
) -> Shaped[np.ndarray, "*batch n"]:
    r"""Apply the matrix-multiplication module to each vector along the last axis.

    .. math:: \operatorname{MM}_{W,b}(z) = W z + b

    The map is affine; it is linear exactly when b is zero. Row i of W holds the weights of
    output i. A batch is kept as rows, so the product is written as z W^T.

    Args:
        z: vectors of length m, with any axes in front.
        W: weights, shape (n, m).
        b: bias, shape (n,); None means zero.

    Returns:
        Vectors of length n, with the axes of z in front.

    Raises:
        ValueError: if z does not end in m entries, or b is not one number per row of W.

    Examples:
        >>> mm(np.array([1.0, 2.0]), np.array([[3.0, 4.0]]), np.array([0.5]))
        array([11.5])
    """
    check_matrix("mm", "W", W.shape)
    check_last_axis("mm", "z", z.shape, W.shape[1], "columns of W")
    check_bias("mm", None if b is None else b.shape, W.shape[0])
    y = z @ W.T  # *batch n, eq. mm-batch
    return y if b is None else y + b  # *batch n, eq. mm-batch


def mm_vjp(
    v: Float[np.ndarray, "*batch n"],
    z: Float[np.ndarray, "*batch m"],
    W: Float[np.ndarray, "n m"],
    b: Float[np.ndarray, " n"] | None = None,
) -> tuple[np.ndarray, ...]:
    r"""Return the gradients of the scalar <v, mm(z, W, b)>.

    .. math:: \bar z = W^\top v, \qquad \bar W = \sum v z^\top, \qquad \bar b = \sum v

    The sums run over the batch, because every vector of it meets the same W and b.

    Args:
        v: gradient at the output.
        z: input of `mm`.
        W: weights.
        b: bias, or None.

    Returns:
        The gradients of z and W, and that of b unless b is None.
    """
    v_rows, z_rows = _rows(v), _rows(z)  # B n and B m
    grad_z = v @ W  # *batch m, eq. mm-vjp
    grad_W = v_rows.T @ z_rows  # n m, eq. mm-vjp
    grad_b = v_rows.sum(axis=0)  # n, eq. mm-vjp
    return (grad_z, grad_W) if b is None else (grad_z, grad_W, grad_b)


def _rows(x: Float[np.ndarray, "*batch m"]) -> Float[np.ndarray, "rows m"]:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def mm_parameters(n: int, m: int, *, bias: bool = True) -> int:
    """Return how many numbers W of shape (n, m) and b of shape (n,) hold together.

    Examples:
        >>> mm_parameters(3, 4)
        15
    """
    return n * m + n * bias  # eq. mm-parameters
