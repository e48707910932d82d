"""Affine maps: parity with torch, laws, shapes at the edges, and the texts of the errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
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


def test_the_vjp_agrees_with_central_differences(rng):
    z, W, b, v = arrays(rng, (2, 3), 4, 5)
    close(scratch.mm_vjp(v, z, W, b), numeric_vjp(scratch.mm, (z, W, b), v), 1e-7, 1e-7)


def test_float32_stays_float32(rng):
    z, W, b, v = (a.astype(np.float32) for a in arrays(rng, (2, 3), 4, 5))
    kept = [scratch.mm(z, W, b), *scratch.mm_vjp(v, z, W, b)]
    assert {a.dtype for a in kept} == {np.dtype("float32")}


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
