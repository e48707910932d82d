"""Affine maps: parity with torch, laws, shapes at the edges, and the texts of the errors."""

from __future__ import annotations

import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch

linear = torch.nn.functional.linear
# (axes in front, m, n): all lengths distinct, sizes 1 to 3, an empty batch, no batch at all
CASES = [((), 4, 3), ((1,), 1, 2), ((2,), 3, 1), ((5,), 2, 7), ((2, 3), 5, 4), ((0,), 3, 2)]
CASES += [((3,), 0, 2), ((4, 0), 2, 3), ((2,), 3, 0)]
DTYPES = [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]


def arrays(rng, front, m, n, scale=1.0, shift=0.0):
    """Return z, W, b and a cotangent, of random numbers."""
    shapes = ((*front, m), (n, m), (n,), (*front, n))
    return [scale * rng.normal(size=s) + shift for s in shapes]


@pytest.mark.parametrize(("front", "m", "n"), CASES)
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (37.0, 1e6)])
def test_mm_and_its_vjp_agree_with_torch(front, m, n, scale, shift, rng):
    z, W, b, v = arrays(rng, front, m, n, scale, shift)
    expected, grads = torch_vjp(linear, (z, W, b), v)
    close(scratch.mm(z, W, b), expected)
    close(scratch.mm_vjp(v, z, W, b), grads)
    expected, grads = torch_vjp(linear, (z, W), v)
    close(scratch.mm(z, W), expected)
    close(scratch.mm_vjp(v, z, W), grads)


def test_the_vjps_agree_with_central_differences(rng):
    z, W, b, v = arrays(rng, (2, 3), 4, 5)
    close(scratch.mm_vjp(v, z, W, b), numeric_vjp(scratch.mm, (z, W, b), v), 1e-7, 1e-7)
    close(scratch.dense_vjp(v, z, W.T, b), numeric_vjp(scratch.dense, (z, W.T, b), v), 1e-7, 1e-7)
    A, B, u = z[0], W.T, v[0]
    close(scratch.matmul_vjp(u, A, B), numeric_vjp(scratch.matmul, (A, B), u), 1e-7, 1e-7)


@pytest.mark.parametrize(("front", "m", "n"), CASES)
def test_dense_is_mm_with_the_transposed_weights(front, m, n, rng):
    x, W, b, v = arrays(rng, front, m, n)
    close(scratch.dense(x, W.T, b), scratch.mm(x, W, b))
    expected, grads = torch_vjp(lambda x, V, b: x @ V + b, (x, W.T, b), v)
    close(scratch.dense(x, W.T, b), expected)
    close(scratch.dense_vjp(v, x, W.T, b), grads)
    close(scratch.dense_vjp(v, x, W.T), grads[:2])


def test_float32_stays_float32(rng):
    z, W, b, v = (a.astype(np.float32) for a in arrays(rng, (2, 3), 4, 5))
    kept = [scratch.mm(z, W, b), *scratch.mm_vjp(v, z, W, b)]
    kept += [scratch.dense(z, W.T, b), *scratch.dense_vjp(v, z, W.T, b)]
    kept += [*scratch.matmul_vjp(v[0], z[0], W.T)]
    assert {a.dtype for a in kept} == {np.dtype("float32")}


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
    if m > 0:  # with m = 0 the sums are the whole number 0, to which the bias is still added
        assert with_bias == scratch.mm_operations(n, m, batch=batch)
    assert without.multiplications == batch * n * m
    assert without.additions == batch * n * max(m - 1, 0)


def test_counting_does_not_change_the_result():
    seen = []
    scratch.count_operations(lambda a, b: seen.append(scratch.mm(a, b)[0, 0]), *np.ones((2, 1, 3)))
    assert seen[0].value == 3.0


@pytest.mark.parametrize(("n", "m"), [(3, 4), (1, 1), (5, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_those_of_torch(n, m, bias):
    theirs = sum(p.numel() for p in torch.nn.Linear(m, n, bias=bias).parameters())
    assert scratch.mm_parameters(n, m, bias=bias) == theirs


# --- the module -------------------------------------------------------------------------------


def pair(m, n, **options):
    """Return our layer and torch's, from the same seed."""
    torch.manual_seed(3)
    ours = nn.Linear(m, n, **options)
    after = torch.rand(2)
    torch.manual_seed(3)
    theirs = torch.nn.Linear(m, n, **options)
    assert torch.equal(after, torch.rand(2)), "the layers drew different amounts"
    return ours, theirs


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (5, 2), (7, 11), (64, 10)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 0.0), (torch.float64, 1e-15)])
def test_the_initial_values_are_torchs(m, n, bias, dtype, tol):
    ours, theirs = pair(m, n, bias=bias, dtype=dtype)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert ours.state_dict()[name].dtype == dtype
        close(ours.state_dict()[name], value, rtol=tol, atol=0.0)


@pytest.mark.parametrize(("front", "m", "n"), CASES[:6])
@pytest.mark.parametrize(("dtype", "tol"), DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_torchs(front, m, n, dtype, tol, bias, rng):
    ours, theirs = pair(m, n, bias=bias, dtype=dtype)
    x = torch.tensor(rng.normal(size=(*front, m)), dtype=dtype)
    v = torch.tensor(3.7 * rng.normal(size=(*front, n)), dtype=dtype)
    for mode in (True, False):
        results = []
        for layer in (ours.train(mode), theirs.train(mode)):
            leaf = x.clone().requires_grad_()
            out = layer(leaf)
            assert out.dtype == dtype
            results.append((out, *torch.autograd.grad(out, [leaf, *layer.parameters()], v)))
        close(results[0], results[1], rtol=tol, atol=tol)


def test_the_gradient_has_a_gradient():
    z, W, b = (torch.randn(*s, dtype=torch.float64) for s in ((2, 3), (4, 3), (4,)))
    leaves = [t.requires_grad_() for t in (z, W, b)]
    assert torch.autograd.gradcheck(nn.affine, leaves)
    assert torch.autograd.gradgradcheck(nn.affine, leaves)


def test_an_input_that_is_not_contiguous(rng):
    ours, theirs = pair(5, 3, dtype=torch.float64)
    x = torch.tensor(rng.normal(size=(5, 2, 4))).transpose(0, 2)
    close(ours(x), theirs(x))


def test_state_moves_both_ways_and_strictly():
    ours, theirs = nn.Linear(4, 3), torch.nn.Linear(4, 3)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 4)
    close(ours(x), theirs(x), 1e-6, 1e-6)
    fresh = torch.nn.Linear(4, 3)
    fresh.load_state_dict(nn.Linear(4, 3).state_dict(), strict=True)
    with pytest.raises(RuntimeError, match="Missing key"):
        nn.Linear(4, 3).load_state_dict(torch.nn.Linear(4, 3, bias=False).state_dict())


def test_what_is_printed_copied_and_pickled_is_as_in_torch():
    ours, theirs = pair(4, 3, bias=False)
    assert repr(ours) == repr(theirs) == "Linear(in_features=4, out_features=3, bias=False)"
    assert repr(nn.Linear(4, 3)) == repr(torch.nn.Linear(4, 3))
    x = torch.randn(2, 4)
    close(copy.deepcopy(ours)(x), ours(x))
    close(pickle.loads(pickle.dumps(ours))(x), ours(x))
    assert ours.bias is None


def test_device_and_dtype_are_passed_on():
    layer = nn.Linear(4, 3, device="meta", dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.float16)}
    assert layer(torch.empty(2, 4, device="meta", dtype=torch.float16)).shape == (2, 3)


def test_no_inputs_gives_the_zero_bias_of_torch():
    with pytest.warns(UserWarning, match="zero-element"):
        theirs = torch.nn.Linear(0, 3)
    ours = nn.Linear(0, 3)
    close(ours.bias, theirs.bias)
    close(ours(torch.ones(2, 0)), theirs(torch.ones(2, 0)))


def test_reset_draws_new_values_and_a_step_moves_all(rng):
    layer = nn.Linear(4, 3)
    before = copy.deepcopy(layer.state_dict())
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before["weight"])
    x, v = torch.randn(5, 4), torch.randn(5, 3)
    for p, g in zip(
        layer.parameters(),
        torch.autograd.grad(layer(x), list(layer.parameters()), v),
        strict=True,
    ):
        assert bool((g != 0).all())
        assert p.shape == g.shape


def test_mixed_precision_gives_torchs_type():
    ours, theirs = pair(4, 3)
    x = torch.randn(2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, want = ours(x), theirs(x)
    assert got.dtype == want.dtype == torch.bfloat16
    close(got, want, 1e-2, 1e-2)


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
            lambda: scratch.mm(np.ones((2, 4)), np.ones((3, 5))),
            r"^mm: z of shape \(2, 4\) must end in an axis of length 5, the number of columns of W",
        ),
        (lambda: scratch.mm(np.float64(1.0), np.ones((3, 5))), r"z of shape \(\) must end in"),
        (
            lambda: scratch.mm(np.ones(5), np.ones((3, 5)), np.ones(1)),
            r"^mm: b of shape \(1,\) must have shape \(3,\), one number per output",
        ),
        (lambda: scratch.mm(np.ones(5), np.ones(5)), r"^mm: W of shape \(5,\) has 1 axes"),
        (
            lambda: scratch.dense(np.ones((2, 4)), np.ones((5, 3))),
            r"^dense: x of shape \(2, 4\) must end in an axis of length 5, the number of rows of W",
        ),
        (
            lambda: scratch.dense(np.ones(4), np.ones((4, 3)), np.ones((1, 3))),
            r"^dense: b of shape \(1, 3\) must have shape \(3,\)",
        ),
        (lambda: scratch.dense(np.ones(4), np.ones((1, 4, 3))), r"^dense: W of shape \(1, 4, 3\)"),
        (
            lambda: nn.affine(torch.ones(2, 4), torch.ones(3, 5)),
            r"^affine: z of shape \(2, 4\) must end in an axis of length 5",
        ),
        (
            lambda: nn.affine(torch.ones(5), torch.ones(3, 5), torch.ones(1)),
            r"^affine: b of shape \(1,\) must have shape \(3,\)",
        ),
        (
            lambda: nn.Linear(3, -1),
            r"^Linear: out_features=-1 is too small; give a whole number >= 0",
        ),
        (lambda: nn.Linear(-2, 1), r"^Linear: in_features=-2 is too small"),
    ],
)
def test_shapes_that_do_not_fit(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.errors
def test_a_size_that_is_no_whole_number():
    with pytest.raises(TypeError, match=r"Linear: in_features=2\.5 is a float; give an int"):
        nn.Linear(2.5, 1)
