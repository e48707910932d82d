"""The dense layer, the matrix product by three loops, and how many operations things take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from nnbook._check.shapes import check_bias, check_inner, check_last_axis, check_matrix

from .linear import mm_vjp


def dense(
    x: Shaped[np.ndarray, "*batch m"],
    W: Shaped[np.ndarray, "m n"],
    b: Shaped[np.ndarray, " n"] | None = None,
) -> Shaped[np.ndarray, "*batch n"]:
    r"""Apply the dense layer, whose weights have one row per input.

    .. math:: \operatorname{Dense}_{W,b}(x) = x W + b = \operatorname{MM}_{W^\top,b}(x)

    Args:
        x: row vectors of length m, with any axes in front.
        W: weights, shape (m, n): the transpose of what `mm` takes.
        b: bias, shape (n,); None means zero.

    Returns:
        Row vectors of length n, with the axes of x in front.

    Raises:
        ValueError: if x does not end in m entries, or b is not one number per column of W.

    Examples:
        >>> dense(np.array([1.0, 2.0]), np.array([[3.0], [4.0]]), np.array([0.5]))
        array([11.5])
    """
    check_matrix("dense", "W", W.shape)
    check_last_axis("dense", "x", x.shape, W.shape[0], "rows of W")
    check_bias("dense", None if b is None else b.shape, W.shape[1])
    y = x @ W  # *batch n, eq. den-layer
    return y if b is None else y + b  # *batch n, eq. den-layer


def dense_vjp(
    v: Float[np.ndarray, "*batch n"],
    x: Float[np.ndarray, "*batch m"],
    W: Float[np.ndarray, "m n"],
    b: Float[np.ndarray, " n"] | None = None,
) -> tuple[np.ndarray, ...]:
    """Return the gradients of the scalar <v, dense(x, W, b)>: of x and W, and of b if it is given.

    Args:
        v: gradient at the output.
        x: input of `dense`.
        W: weights.
        b: bias, or None.
    """
    grad_x, grad_A, *grad_b = mm_vjp(v, x, W.T, b)
    return grad_x, grad_A.T, *grad_b


def matmul_loops(
    A: Shaped[np.ndarray, "m n"], B: Shaped[np.ndarray, "n p"]
) -> Shaped[np.ndarray, "m p"]:
    r"""Multiply two matrices by three loops, one scalar product at a time.

    .. math:: C_{ij} = \sum_{k=1}^{n} A_{ik} B_{kj}

    The result has the type that NumPy gives to a product of the two types. With n = 0 every
    sum is empty and the result is zero. Whole numbers that overflow wrap, with a warning.

    Args:
        A: matrix of shape (m, n), of any type that can be multiplied and added.
        B: matrix of shape (n, p).

    Returns:
        The product, of shape (m, p).

    Raises:
        ValueError: if one of them is not a matrix, or A has not as many columns as B has rows.

    Examples:
        >>> matmul_loops(np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]]))
        array([[19, 22], [43, 50]])
    """
    check_inner("matmul_loops", A.shape, B.shape)
    product = np.zeros((A.shape[0], B.shape[1]), dtype=np.result_type(A, B))  # m p
    for row in range(A.shape[0]):
        for column in range(B.shape[1]):
            for inner in range(A.shape[1]):
                product[row, column] += A[row, inner] * B[inner, column]  # eq. den-product
    return product


def matmul(A: Shaped[np.ndarray, "m n"], B: Shaped[np.ndarray, "n p"]) -> Shaped[np.ndarray, "m p"]:
    """Do what `matmul_loops` does, with the loops in compiled code.

    Args:
        A: matrix of shape (m, n).
        B: matrix of shape (n, p).

    Returns:
        The product, of shape (m, p).

    Raises:
        ValueError: as `matmul_loops` does.
    """
    check_inner("matmul", A.shape, B.shape)
    return A @ B  # m p, eq. den-product


def matmul_vjp(
    v: Float[np.ndarray, "m p"], A: Float[np.ndarray, "m n"], B: Float[np.ndarray, "n p"]
) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, "n p"]]:
    """Return the gradients of the scalar <v, matmul(A, B)> with respect to A and B."""
    return v @ B.T, A.T @ v


@dataclass(frozen=True)
class Operations:
    """How many multiplications and additions of two numbers a computation does."""

    multiplications: int
    additions: int


def mm_operations(n: int, m: int, *, bias: bool = True, batch: int = 1) -> Operations:
    """Return what `mm` costs on a batch: n dot products of length m, and n sums with the bias.

    Examples:
        >>> mm_operations(3, 4, batch=10)
        Operations(multiplications=120, additions=120)
    """
    return Operations(batch * n * m, batch * n * (max(m - 1, 0) + bias))  # eq. den-cost


def count_operations(f: Callable[..., Any], *inputs: np.ndarray) -> Operations:
    """Run a function on numbers that count, and return how many operations it did.

    Args:
        f: a function of arrays that only multiplies and adds, such as `mm` or `matmul_loops`.
        *inputs: its inputs; every entry is replaced by a number that counts.

    Examples:
        >>> count_operations(matmul_loops, np.ones((2, 3)), np.ones((3, 4)))
        Operations(multiplications=24, additions=24)
    """
    tally = {"multiplications": 0, "additions": 0}
    counting = np.frompyfunc(lambda value: _Counted(value, tally), 1, 1)
    f(*(np.asarray(counting(x), dtype=object) for x in inputs))
    return Operations(**tally)


class _Counted:
    """A number that notes each multiplication and each addition it takes part in."""

    def __init__(self, value: Any, tally: dict[str, int]) -> None:
        self.value, self.tally = value, tally

    def __mul__(self, other: Any) -> _Counted:
        self.tally["multiplications"] += 1
        return _Counted(self.value * getattr(other, "value", other), self.tally)

    def __add__(self, other: Any) -> _Counted:
        self.tally["additions"] += 1
        return _Counted(self.value + getattr(other, "value", other), self.tally)

    __rmul__, __radd__ = __mul__, __add__
