"""Products by loops, the dense layer, counted operations."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tools import close, numeric_vjp, torch_vjp

from nnbook import scratch

# (axes in front, m, n): all lengths distinct, sizes 1 to 3, an empty batch, no batch at all
CASES = [((), 4, 3), ((1,), 1, 2), ((2,), 3, 1), ((5,), 2, 7), ((2, 3), 5, 4), ((0,), 3, 2)]
CASES += [((3,), 0, 2), ((4, 0), 2, 3), ((2,), 3, 0)]


def arrays(rng, front, m, n):
    """Return x, W of shape (n, m), b and a cotangent, of random numbers."""
    return [rng.normal(size=s) for s in ((*front, m), (n, m), (n,), (*front, n))]


@pytest.mark.parametrize(("front", "m", "n"), CASES)
def test_dense_is_mm_with_the_transposed_weights(front, m, n, rng):
    x, W, b, v = arrays(rng, front, m, n)
    close(scratch.dense(x, W.T, b), scratch.mm(x, W, b))
    expected, grads = torch_vjp(lambda x, V, b: x @ V + b, (x, W.T, b), v)
    close(scratch.dense(x, W.T, b), expected)
    close(scratch.dense_vjp(v, x, W.T, b), grads)
    close(scratch.dense_vjp(v, x, W.T), grads[:2])


KINDS = ["float16", "float32", "float64", "int8", "int64", "bool", "complex64", "complex128"]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_the_loops_give_numpys_product_and_type(first, second, rng):
    A = rng.integers(-3, 4, (3, 4)) + 1j * rng.integers(-3, 4, (3, 4))
    B = rng.integers(-3, 4, (4, 2)) - 2j * rng.integers(-3, 4, (4, 2))
    A = A.astype(first) if first.startswith("c") else A.real.astype(first)
    B = B.astype(second) if second.startswith("c") else B.real.astype(second)
    got = scratch.matmul_loops(A, B)
    assert got.dtype == (A @ B).dtype == scratch.matmul(A, B).dtype
    close(got, A @ B, 1e-6, 1e-6)
    close(scratch.matmul(A, B), A @ B)


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 99))
def test_the_loops_are_right_for_every_shape(m, n, p, seed):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(m, n)), rng.normal(size=(n, p))
    close(scratch.matmul_loops(A, B), np.einsum("ij,jk->ik", A, B))


def test_the_loops_multiply_fractions():
    half = np.array([[Fraction(1, 2), Fraction(1, 3)]], dtype=object)
    assert scratch.matmul_loops(half, half.T)[0, 0] == Fraction(13, 36)


def test_an_imaginary_matrix_keeps_its_imaginary_part():
    ones = 1j * np.ones((2, 2))
    close(scratch.matmul_loops(ones, np.eye(2)), ones)


@pytest.mark.parametrize(("n", "m", "batch"), [(3, 4, 1), (1, 5, 2), (2, 1, 3), (2, 0, 2)])
def test_operations_counted_are_those_of_the_closed_form(n, m, batch, rng):
    z, W, b = rng.normal(size=(batch, m)), rng.normal(size=(n, m)), rng.normal(size=n)
    with_bias = scratch.count_operations(scratch.mm, z, W, b)
    without = scratch.count_operations(scratch.mm, z, W)
    assert without == scratch.mm_operations(n, m, bias=False, batch=batch)
    assert with_bias == scratch.mm_operations(n, m, batch=batch)
    assert without.multiplications == batch * n * m
    assert without.additions == batch * n * max(m - 1, 0)


def test_counting_does_not_change_the_result():
    seen = []
    scratch.count_operations(lambda a, b: seen.append(scratch.mm(a, b)[0, 0]), *np.ones((2, 1, 3)))
    assert seen[0].value == 3.0


def test_the_vjps_agree_with_central_differences(rng):
    x, W, b, v = arrays(rng, (2, 3), 4, 5)
    close(scratch.dense_vjp(v, x, W.T, b), numeric_vjp(scratch.dense, (x, W.T, b), v), 1e-7, 1e-7)
    A, B, u = x[0], W.T, v[0]
    close(scratch.matmul_vjp(u, A, B), numeric_vjp(scratch.matmul, (A, B), u), 1e-7, 1e-7)
    close(scratch.matmul_vjp(u, A, B), torch_vjp(torch.matmul, (A, B), u)[1])


def test_float32_stays_float32(rng):
    x, W, b, v = (a.astype(np.float32) for a in arrays(rng, (2, 3), 4, 5))
    kept = [scratch.dense(x, W.T, b), *scratch.dense_vjp(v, x, W.T, b)]
    kept += [*scratch.matmul_vjp(v[0], x[0], W.T)]
    assert {a.dtype for a in kept} == {np.dtype("float32")}


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.errors
@pytest.mark.parametrize("product", [scratch.matmul, scratch.matmul_loops])
def test_matrices_that_do_not_fit(product):
    text = r"^Incompatible matrix dimensions: .* A of shape \(1, 2\) and B of shape \(3, 1\).*"
    with pytest.raises(ValueError, match=text + r"2 columns of A .* 3 rows of B; transpose"):
        product(np.ones((1, 2)), np.ones((3, 1)))


@pytest.mark.errors
@pytest.mark.parametrize("product", [scratch.matmul, scratch.matmul_loops])
@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        ((3,), (3, 2), r"A of shape \(3,\) has 1 axes; .* A\[None, :\] for one row"),
        ((2, 3), (3,), r"B of shape \(3,\) has 1 axes; .* B\[:, None\] for one column"),
        ((2, 3, 4), (4, 2), r"A of shape \(2, 3, 4\) has 3 axes; give a matrix, which has 2\.$"),
        ((2, 3), (), r"B of shape \(\) has 0 axes"),
    ],
)
def test_what_is_no_matrix(product, a, b, text):
    with pytest.raises(ValueError, match=text):
        product(np.ones(a), np.ones(b))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: scratch.dense(np.ones((2, 4)), np.ones((5, 3))),
            r"^dense: x of shape \(2, 4\) must end in an axis of length 5, the number of rows of W",
        ),
        (
            lambda: scratch.dense(np.ones(4), np.ones((4, 3)), np.ones((1, 3))),
            r"^dense: b of shape \(1, 3\) must have shape \(3,\)",
        ),
        (lambda: scratch.dense(np.ones(4), np.ones((1, 4, 3))), r"^dense: W of shape \(1, 4, 3\)"),
    ],
)
def test_layers_that_do_not_fit(call, text):
    with pytest.raises(ValueError, match=text):
        call()
