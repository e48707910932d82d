"""Regularization: ridge regression, descent that stops early, pictures moved and mirrored."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from nnbook._check.learning import check_offsets
from nnbook._check.shapes import check_matrix
from nnbook._check.values import (
    check_boolean,
    check_count,
    check_range,
    check_real,
    check_same_length,
)

Matrix = Float[np.ndarray, "n m"]
Column = Float[np.ndarray, " n"]
Pictures = Float[np.ndarray, "n *c h w"]


def ridge(X: Matrix, y: Column, alpha: float) -> Float[np.ndarray, " m"]:
    r"""Return the weights that minimize squared errors and an L2 penalty.

    .. math:: w = (X^\top X + \alpha I)^{-1} X^\top y, \quad\text{the minimum of }
        \|Xw - y\|^2 + \alpha \|w\|^2

    Args:
        X: one sample per row.
        y: one target per sample.
        alpha: the strength of the penalty, more than 0.

    Returns:
        The weights, in the dtype of X.

    Raises:
        ValueError: if alpha is not positive or the shapes do not fit.
        TypeError: if X holds no floating point numbers.

    Examples:
        >>> ridge(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), alpha=2.0)
        array([1.])
    """
    _check_data("ridge", X, y)
    check_range("ridge", "alpha", alpha, 0.0, ends="()")
    gram = X.T @ X + np.asarray(alpha, X.dtype) * np.eye(X.shape[1], dtype=X.dtype)
    return np.linalg.solve(gram, X.T @ y).astype(X.dtype)  # m, eq. reg-ridge


def descend(X: Matrix, y: Column, eta: float, steps: int) -> Float[np.ndarray, " m"]:
    r"""Return the weights after so many steps of gradient descent from 0 on half the squared error.

    .. math:: w_{t+1} = w_t - \eta\, X^\top (X w_t - y), \qquad w_0 = 0

    Args:
        X: one sample per row.
        y: one target per sample.
        eta: the learning rate.
        steps: the number of steps.

    Returns:
        The weights, in the dtype of X.

    Raises:
        ValueError: if eta or steps is negative or the shapes do not fit.
        TypeError: if X holds no floating point numbers.

    Examples:
        >>> descend(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), eta=0.25, steps=1)
        array([1.])
    """
    _check_data("descend", X, y)
    check_range("descend", "eta", eta, 0.0)
    check_count("descend", "steps", steps, least=0)
    w = np.zeros(X.shape[1], X.dtype)
    for _ in range(steps):
        w = w - np.asarray(eta, X.dtype) * (X.T @ (X @ w - y))  # m, eq. reg-descent
    return w.astype(X.dtype)


def shift_images(x: Pictures, by: Int[np.ndarray, "n 2"]) -> Pictures:
    r"""Move each picture down and to the right; what comes in from outside is 0.

    .. math:: y_{kij} = x_{k,\, i - a_k,\, j - b_k}, \qquad 0 \text{ outside the picture}

    Args:
        x: pictures; the first axis is the sample, the last two are rows and columns.
        by: rows down and columns to the right, one pair of whole numbers per picture.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if ``by`` has another shape than (n, 2).
        TypeError: if x holds no floating point numbers or ``by`` no whole numbers.

    Examples:
        >>> shift_images(np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([[0, 1]]))
        array([[[0., 1.],
                [0., 3.]]])
    """
    check_real("shift_images", "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_offsets("shift_images", by.shape, x.shape, np.issubdtype(by.dtype, np.integer))
    h, w = x.shape[-2:]
    out = np.zeros_like(x)
    for k, (a, b) in enumerate(by.tolist()):
        rows, columns = _inside(a, h), _inside(b, w)
        from_rows, from_columns = _inside(-a, h), _inside(-b, w)
        out[k][..., rows, columns] = x[k][..., from_rows, from_columns]  # *c h w, eq. reg-shift
    return out


def shift_images_vjp(v: Pictures, by: Int[np.ndarray, "n 2"]) -> Pictures:
    """Return the gradient of <v, shift_images(x, by)> at x: v, moved back.

    Args:
        v: the gradient at the output.
        by: as in `shift_images`.

    Returns:
        An array of the shape and dtype of v.
    """
    return shift_images(v, -by)  # n *c h w, eq. reg-shift-vjp


def flip_images(x: Pictures, which: Bool[np.ndarray, " n"]) -> Pictures:
    """Exchange left and right in the chosen pictures; the map is its own inverse and vjp.

    Args:
        x: pictures; the first axis is the sample, the last one runs along a row.
        which: one boolean per picture.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if there are not as many booleans as pictures.
        TypeError: if ``which`` is not boolean.

    Examples:
        >>> flip_images(np.array([[[1.0, 2.0]], [[3.0, 4.0]]]), np.array([True, False]))
        array([[[2., 1.]],
        <BLANKLINE>
               [[3., 4.]]])
    """
    check_boolean("flip_images", "which", which.dtype, which.dtype == np.bool_)
    check_same_length("flip_images", "x", x, "which", which)
    out = x.copy()
    out[which] = x[which][..., ::-1]  # n *c h w, eq. reg-flip
    return out


def _inside(a: int, size: int) -> slice:
    """Return the places of an axis that a shift by a fills from inside."""
    a = max(-size, min(size, a))
    return slice(max(a, 0), size + min(a, 0))


def _check_data(who: str, X: np.ndarray, y: np.ndarray) -> None:
    check_matrix(who, "X", X.shape)
    check_same_length(who, "X", X, "y", y)
    check_real(who, "X", X.dtype, np.issubdtype(X.dtype, np.floating))
