"""RMS normalization: parity with torch, derivatives of every order, precision, costs, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tools import close, numeric_vjp, torch_vjp
from torch.utils._python_dispatch import TorchDispatchMode

from nnbook import nn, scratch

# torch itself calls what it deprecates when it sets up the forward mode
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
# (shape, how many last axes): 1, 2 and 3 numbers in a row; several axes; an empty batch
ROWS = [((4, 1), 1), ((3, 2), 1), ((2, 5), 1), ((2, 3, 4), 2), ((0, 4), 1), ((7, 2, 64), 1)]
ROWS += [((3,), 1), ((2, 3), 2)]
UNITS = [(1.0, 0.0), (30.0, -7.0), (1.0, 1e6), (1e-3, 0.0)]
EPS = [1e-5, 0.7]
HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


@pytest.mark.parametrize(("shape", "axes"), ROWS)
@pytest.mark.parametrize(("scale", "shift"), UNITS)
@pytest.mark.parametrize("eps", EPS)
def test_the_numpy_form_agrees_with_torch(shape, axes, scale, shift, eps, rng):
    x, v = scale * rng.normal(size=shape) + shift, rng.normal(size=shape)
    gamma = rng.normal(size=shape[-axes:])
    expected, grads = torch_vjp(lambda x, g: F.rms_norm(x, gamma.shape, g, eps), (x, gamma), v)
    close(scratch.rms_norm(x, gamma, eps=eps, axes=axes), expected)
    got = scratch.rms_norm_vjp(v, x, gamma, eps=eps, axes=axes)
    close(got, grads, 1e-9, 1e-9 * max(1, *(np.abs(g).max(initial=0) for g in grads)))


def test_the_vjp_agrees_with_central_differences(rng):
    x, v = rng.normal(size=(2, 2, 4, 3)) + 1
    gamma = rng.normal(size=3)
    want = numeric_vjp(lambda x, g: scratch.rms_norm(x, g, eps=0.1), (x, gamma), v)
    close(scratch.rms_norm_vjp(v, x, gamma, eps=0.1), want, 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept_and_float16_is_computed_in_float32(dtype, rng):
    x, v = (1000 * rng.normal(size=(2, 4, 3))).astype(dtype)
    gamma = rng.normal(size=3).astype(dtype)
    got = [scratch.rms_norm(x, gamma), *scratch.rms_norm_vjp(v, x, gamma)]
    assert {a.dtype for a in got} == {np.dtype(dtype)}
    x, v, gamma = (a.astype(np.promote_types(dtype, np.float32)) for a in (x, v, gamma))
    wide = [scratch.rms_norm(x, gamma), *scratch.rms_norm_vjp(v, x, gamma)]
    assert all(np.array_equal(g, w.astype(dtype)) for g, w in zip(got, wide, strict=True))


def test_a_missing_gamma_has_no_gradient_and_is_one(rng):
    x, v = rng.normal(size=(2, 4, 3))
    at_x, at_gamma = scratch.rms_norm_vjp(v, x)
    assert at_gamma is None
    assert np.array_equal(at_x, scratch.rms_norm_vjp(v, x, np.ones(3))[0])
    assert np.array_equal(scratch.rms_norm(x), scratch.rms_norm(x, np.ones(3)))


# the torch form

DTYPES = [
    (torch.float64, 1e-9),
    (torch.float32, 1e-4),
    (torch.bfloat16, 1.6e-2),
    (torch.float16, 2e-3),
]
OPTIONS = [{}, {"eps": 0.3}, {"elementwise_affine": False}]


def pair(shape, dtype=torch.float64, **options):
    """Return torch's module with random parameters, and ours with the same."""
    theirs = torch.nn.RMSNorm(shape, dtype=dtype, **options)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn(p.shape))
    ours = nn.RMSNorm(shape, dtype=dtype, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def run(module, x, v):
    """Return the output and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    y = module(x)
    return y, *torch.autograd.grad(y, (x, *module.parameters()), v)


@pytest.mark.parametrize(("shape", "axes"), ROWS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("dtype", "tol"), DTYPES, ids=str)
def test_the_module_agrees_with_torch(shape, axes, options, dtype, tol):
    """The reference is torch in float64 on the same numbers."""
    if "eps" not in options and dtype != torch.float64:
        options = {**options, "eps": torch.finfo(torch.float32).eps}  # not that of float64
    theirs, ours = pair(shape[-axes:], dtype, **options)
    x, v = (2 * torch.randn(2, *shape) + 1).to(dtype)
    for mode in (True, False):
        got = run(ours.train(mode), x, v)
        assert {t.dtype for t in got} == {dtype}
        want = run(theirs.double().train(mode), x.double(), v.double())
        for g, w in zip(got, want, strict=True):
            size = max(1.0, float(w.detach().abs().max())) if w.numel() else 1.0
            close(g, w, tol, tol * size)


@pytest.mark.parametrize("args", [(4,), ((2, 3),), ((2, 3), 0.3), ((5,), None, False)], ids=str)
def test_constructor_state_and_repr_are_those_of_torch(args):
    torch.manual_seed(3)
    theirs, after_theirs = torch.nn.RMSNorm(*args), torch.rand(1)
    torch.manual_seed(3)
    ours, after_ours = nn.RMSNorm(*args), torch.rand(1)
    assert torch.equal(after_ours, after_theirs)
    assert repr(ours) == repr(theirs)
    state, want = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(want)
    assert all(torch.equal(state[k], w) and state[k].dtype == w.dtype for k, w in want.items())
    assert state._metadata == want._metadata
    plain = {k for k, t in vars(theirs).items() if not k.startswith("_")}
    assert {k: getattr(ours, k) for k in plain} == {k: getattr(theirs, k) for k in plain}
    with torch.no_grad():
        for t in ours.parameters():
            t.add_(2)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert all(torch.equal(ours.state_dict()[k], w) for k, w in theirs.state_dict().items())


def test_strided_inputs_and_inputs_left_as_they_are(rng):
    x = torch.tensor(rng.normal(size=(5, 3, 4))).transpose(0, 2)
    before = x.clone()
    close(nn.rms_norm(x, (3, 5)), F.rms_norm(x, (3, 5)))
    assert torch.equal(x, before)


def test_zeros_give_zeros_and_without_eps_nan_as_in_torch():
    x = torch.zeros(2, 3)
    assert not nn.rms_norm(x, (3,)).any()
    assert nn.rms_norm(x, (3,), eps=0.0).isnan().all()
    assert F.rms_norm(x, (3,), eps=0.0).isnan().all()


def test_the_default_eps_is_that_of_the_numbers_computed_with():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        x = torch.tensor([[1e-4, -2e-4, 1e-4]]).to(dtype) * (1e-4 if dtype == torch.float64 else 1)
        close(nn.rms_norm(x, (3,)), F.rms_norm(x, (3,)), rtol=torch.finfo(dtype).eps)


@HALF
@pytest.mark.parametrize("wide", [True, False])
def test_half_precision_is_right_within_one_rounding(dtype, wide):
    x = (300 * torch.randn(3, 6, 8)).to(dtype)
    weight = torch.randn(8, dtype=torch.float32 if wide else dtype)
    got, exact = nn.rms_norm(x, (8,), weight), F.rms_norm(x.double(), (8,), weight.double(), 1e-7)
    assert got.dtype == dtype
    assert (got.double() - exact).abs().max() <= 0.51 * torch.finfo(dtype).eps * exact.abs().max()


def test_the_module_can_be_copied_pickled_and_reset_and_made_elsewhere(rng):
    _, norm = pair(3)
    x = torch.tensor(rng.normal(size=(2, 4, 3)))
    for other in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert torch.equal(other(x), norm(x))
    norm.reset_parameters()
    assert (norm.weight == 1).all()
    weight = nn.RMSNorm(3, device="meta", dtype=torch.float16).weight
    assert (weight.device.type, weight.dtype) == ("meta", torch.float16)


def test_the_parameter_learns(rng):
    theirs, ours = pair(3)
    before = ours.weight.detach().clone()
    x, target = torch.tensor(rng.normal(size=(2, 7, 4, 3)))
    for norm in (theirs, ours):
        optimizer = torch.optim.SGD(norm.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(norm(x), target).backward()
            optimizer.step()
    close(ours.weight, theirs.weight)
    assert (ours.weight != before).all()


# derivatives of every order


@FORWARD_MODE
@pytest.mark.parametrize("affine", [True, False])
def test_first_and_second_derivatives(affine, rng):
    x = torch.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    weight = torch.tensor(rng.normal(size=4), requires_grad=True)
    inputs = (x, weight) if affine else (x,)

    def f(x, *weight):
        return nn.rms_norm(x, (4,), *weight, eps=1e-2)

    assert torch.autograd.gradcheck(f, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_second_derivatives_agree_with_torch(rng):
    x, v = torch.tensor(rng.normal(size=(2, 3, 4)))
    gamma = torch.tensor(rng.normal(size=4))
    grads = []
    for f in (nn.rms_norm, F.rms_norm):
        at = [a.clone().requires_grad_() for a in (x, gamma)]
        first = torch.autograd.grad(f(at[0], (4,), at[1]), at, v, create_graph=True)
        grads.append(torch.autograd.grad(sum((g**3).sum() for g in first), at))
    close(grads[0], grads[1])


TRANSFORMS = {
    "vmap over samples": lambda f, x, w: torch.func.vmap(f, (0, None))(x, w),
    "vmap over weights": lambda f, x, w: torch.func.vmap(f, (None, 0))(x, torch.stack([w, -w, w])),
    "gradient per sample": lambda f, x, w: torch.func.vmap(
        torch.func.grad(lambda x, w: f(x, w).pow(3).sum(), argnums=(0, 1)), (0, None)
    )(x, w),
    "jacrev": lambda f, x, w: torch.func.jacrev(f, (0, 1))(x, w),
    "jacfwd": lambda f, x, w: torch.func.jacfwd(f, (0, 1))(x, w),
    "hessian": lambda f, x, w: torch.func.hessian(lambda x: f(x, w).pow(3).sum())(x),
}


@FORWARD_MODE
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_transforms_of_torch_func_work(name, rng):
    x, w = torch.tensor(rng.normal(size=(3, 2, 4))), torch.tensor(rng.normal(size=4))
    got, want = (
        TRANSFORMS[name](lambda x, w, f=f: f(x, (4,), w, 1e-3), x, w)
        for f in (nn.rms_norm, F.rms_norm)
    )
    close(got, want)


# costs, as counts: a clock would measure the machine


class Counter(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_the_operations_are_few_and_only_the_input_is_kept():
    norm, (x, v) = nn.RMSNorm(192), torch.randn(2, 8, 256, 192)
    x.requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        with Counter() as forward:
            y = norm(x)
    with Counter() as backward:
        torch.autograd.grad(y, (x, *norm.parameters()), v)
    assert 4 <= len(forward.names) <= 8, forward.names
    assert 4 <= len(backward.names) <= 12, backward.names
    assert x.numel() < sum(kept) < 1.02 * x.numel(), kept


# what is refused

X, T = np.ones((2, 6, 3)), torch.ones(2, 6, 3)
REFUSED = [
    (lambda: scratch.rms_norm(0 * X, eps=0.0), "a row of x is zero"),
    (lambda: scratch.rms_norm(X, np.ones(2)), r"gamma has shape \(2,\) where \(3,\) is wanted"),
    (lambda: scratch.rms_norm(X, axes=4), "its last 4 are to be normalized"),
    (lambda: scratch.rms_norm(X, eps=-1.0), "eps=-1.0 lies outside"),
    (lambda: scratch.rms_norm_vjp(X[0], X), r"rms_norm_vjp: v has shape \(6, 3\)"),
    (lambda: nn.RMSNorm(()), "RMSNorm: normalized_shape is empty"),
    (lambda: nn.RMSNorm(3, eps=-1.0), "RMSNorm: eps=-1.0"),
    (lambda: nn.RMSNorm(4)(T), r"rms_norm: input has shape \(2, 6, 3\).*should be \(4,\)"),
    (lambda: nn.rms_norm(T, (3,), torch.ones(2)), r"rms_norm: weight has shape \(2,\)"),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_cannot_be_normalized_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.errors
def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="rms_norm: x holds int64"):
        scratch.rms_norm(np.arange(3))
    with pytest.raises(TypeError, match=r"rms_norm: input holds torch.int64"):
        nn.rms_norm(torch.arange(3), (3,))
