"""Layer normalization: parity with torch, precision, second derivatives, costs, error texts."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tools import close, numeric_vjp, torch_vjp
from torch.utils._python_dispatch import TorchDispatchMode

from nnbook import nn, scratch

fused = torch.nn.functional.layer_norm
# torch itself calls what it deprecates when it sets up the forward mode
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
# (axes in front, normalized shape): all lengths distinct, one number in a row, an empty batch
CASES = [((), (5,)), ((4,), (1,)), ((3,), (2,)), ((2,), (3,)), ((2, 3), (4,)), ((5,), (2, 3))]
CASES += [((0,), (4,)), ((), (3, 2)), ((2,), (3, 1, 4)), ((7, 2), (64,))]
UNITS = [(1.0, 0.0), (30.0, -7.0), (1.0, 1e6), (1e-3, 0.0)]
EPS = [1e-5, 0.7]


def arrays(rng, front, shape, scale=1.0, shift=0.0):
    """Return x, gamma, beta and a cotangent, of random numbers."""
    x = scale * rng.normal(size=(*front, *shape)) + shift
    return x, *rng.normal(size=(2, *shape)), rng.normal(size=(*front, *shape))


def precision(scale, shift):
    """The relative tolerance that float64 allows at such a mean: half an ulp of it, over sigma."""
    return 1e-9 + 4e-16 * abs(shift) / scale * 10


@pytest.mark.parametrize(("front", "shape"), CASES)
@pytest.mark.parametrize(("scale", "shift"), UNITS)
@pytest.mark.parametrize("eps", EPS)
def test_the_numpy_form_and_its_vjp_agree_with_torch(front, shape, scale, shift, eps, rng):
    x, gamma, beta, v = arrays(rng, front, shape, scale, shift)
    expected, grads = torch_vjp(lambda x, g, b: fused(x, shape, g, b, eps), (x, gamma, beta), v)
    tol = precision(scale, shift)
    close(scratch.layer_norm(x, gamma, beta, eps=eps), expected, tol, tol)
    size = max([eps**-0.5, *(np.abs(g).max(initial=0.0) for g in grads)])  # what cancels
    close(scratch.layer_norm_vjp(v, x, gamma, beta, eps=eps), grads, tol, tol * size)


@pytest.mark.parametrize(("front", "m"), [((), 2), ((3,), 3), ((2, 4), 5), ((0,), 2), ((1,), 300)])
@pytest.mark.parametrize("eps", [0.0, 1e-5, 2.0])
def test_ln_s_and_its_vjp_agree_with_torch(front, m, eps, rng):
    z, _, _, v = arrays(rng, front, (m,), scale=3.0, shift=1.0)
    expected, (grad,) = torch_vjp(lambda z: fused(z, (m,), None, None, eps), (z,), v)
    close(scratch.ln_s(z, eps), expected)
    close(scratch.ln_s_vjp(v, z, eps), grad)


@pytest.mark.parametrize("shape", [(2,), (3,), (2, 3)])
@pytest.mark.parametrize("eps", [1e-5, 0.7])
def test_the_vjps_agree_with_central_differences(shape, eps, rng):
    x, gamma, beta, v = arrays(rng, (4,), shape, scale=2.0)
    got = scratch.layer_norm_vjp(v, x, gamma, beta, eps=eps)
    want = numeric_vjp(lambda *a: scratch.layer_norm(*a, eps=eps), (x, gamma, beta), v)
    close(got, want, 1e-6, 1e-6)
    want = numeric_vjp(lambda z: scratch.ln_s(z, eps), (x,), v)[0]
    close(scratch.ln_s_vjp(v, x, eps), want, 1e-6, 1e-6)


@pytest.mark.parametrize("scalar", ["gamma", "beta", "both"])
def test_gamma_and_beta_may_be_numbers(scalar, rng):
    x, gamma, beta, v = arrays(rng, (3, 2), (5,))
    gamma = np.array(1.7) if scalar in ("gamma", "both") else gamma
    beta = np.array(-0.4) if scalar in ("beta", "both") else beta
    expected, grads = torch_vjp(lambda x, g, b: b + g * fused(x, (5,)), (x, gamma, beta), v)
    close(scratch.layer_norm(x, gamma, beta), expected)
    close(scratch.layer_norm_vjp(v, x, gamma, beta), grads)


@pytest.mark.parametrize("have", ["", "gamma", "beta"])
@pytest.mark.parametrize("axes", [1, 2, None])
def test_a_missing_gamma_or_beta_has_no_gradient(have, axes, rng):
    x, _, _, v = arrays(rng, (3,), (2, 5))
    shape = (2, 5) if axes == 2 else (5,)
    given = {have: rng.normal(size=shape)} if have else {}
    gamma, beta = given.get("gamma"), given.get("beta")
    there = [a for a in (gamma, beta) if a is not None]
    expected, grads = torch_vjp(
        lambda x, *a: fused(x, shape, *((None, *a) if have == "beta" else a)), (x, *there), v
    )
    close(scratch.layer_norm(x, gamma, beta, axes=axes), expected)
    got = scratch.layer_norm_vjp(v, x, gamma, beta, axes=axes)
    assert [g is None for g in got[1:]] == [gamma is None, beta is None]
    close([g for g in got if g is not None], list(grads))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    x, gamma, beta, v = (a.astype(dtype) for a in arrays(rng, (3,), (4,)))
    got = [scratch.ln_s(x), scratch.ln_s_vjp(v, x), scratch.layer_norm(x, gamma, beta)]
    got += scratch.layer_norm_vjp(v, x, gamma, beta)
    assert {a.dtype for a in got} == {np.dtype(dtype)}


def test_float16_is_computed_in_float32(rng):
    x, gamma, beta, v = (a.astype(np.float16) for a in arrays(rng, (3,), (4,), scale=2000.0))
    wide = [a.astype(np.float32) for a in (x, gamma, beta)]
    want = scratch.layer_norm(*wide).astype(np.float16)
    assert np.array_equal(scratch.layer_norm(x, gamma, beta), want)
    grads = scratch.layer_norm_vjp(v.astype(np.float32), *wide)
    got = scratch.layer_norm_vjp(v, x, gamma, beta)
    assert all(np.array_equal(g, w.astype(np.float16)) for g, w in zip(got, grads, strict=True))


def float32_error(f, mean, rng):
    """How far f on float32 rows of that mean is from the exact answer for the same numbers."""
    x = (mean + rng.normal(size=(64, 192))).astype(np.float32)
    return np.abs(f(x) - scratch.ln_s(x.astype(np.float64), 1e-5)).max()


def on_torch(f):
    return lambda x: f(torch.tensor(x), (192,), eps=1e-5).numpy()


@pytest.mark.parametrize(("mean", "allowed"), [(0.0, 3e-6), (1e4, 2e-3)])
def test_float32_rows_of_large_mean_are_right(mean, allowed, rng):
    assert float32_error(lambda x: scratch.ln_s(x, 1e-5), mean, rng) < allowed
    assert float32_error(on_torch(nn.layer_norm), mean, rng) < allowed

    def one_pass(x):
        var = (x**2).mean(-1, keepdims=True) - x.mean(-1, keepdims=True) ** 2
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(np.maximum(var, 0) + np.float32(1e-5))

    assert mean == 0 or float32_error(one_pass, mean, rng) > 100 * allowed


def test_float32_at_a_mean_of_a_million_is_as_good_as_torch(rng):
    ours, theirs = on_torch(nn.layer_norm), on_torch(fused)
    seeds = range(5)
    errors = [
        [float32_error(f, 1e6, np.random.default_rng(s)) for s in seeds] for f in (ours, theirs)
    ]
    assert max(errors[0]) <= 1.5 * max(errors[1])
    numpy = [
        float32_error(lambda x: scratch.ln_s(x, 1e-5), 1e6, np.random.default_rng(s)) for s in seeds
    ]
    assert max(numpy) <= 1.5 * max(errors[1])


@FORWARD_MODE
@pytest.mark.parametrize("m", [768, 2**16, 2**16 + 1, 2**20])
def test_float32_rows_of_many_numbers_are_right(m):
    x = torch.randn(3, m)
    exact = fused(x.double(), (m,))
    got = nn.layer_norm(x, (m,))
    assert got.dtype == torch.float32
    assert (got - exact).abs().max() < 4e-6
    x.requires_grad_()
    (grad,) = torch.autograd.grad(nn.layer_norm(x, (m,)), x, torch.randn(3, m))
    _, pushed = torch.func.jvp(lambda x: nn.layer_norm(x, (m,)), (x.detach(),), (exact.float(),))
    assert grad.dtype == pushed.dtype == torch.float32


@given(st.floats(-1e3, 1e3), st.integers(1, 6))
def test_a_constant_row_gives_beta(value, m):
    x, beta = np.full((2, m), value), np.linspace(-1, 1, m)
    close(scratch.layer_norm(x, np.full(m, 3.0), beta), np.stack([beta, beta]), atol=1e-7)
    got = nn.layer_norm(torch.tensor(x), (m,), torch.full((m,), 3.0), torch.tensor(beta))
    close(got, np.stack([beta, beta]), atol=1e-7)


def test_without_eps_a_constant_row_is_an_error_or_nan_as_in_torch():
    z = np.array([[1.0, 2.0], [0.1, 0.1]])
    with pytest.raises(ValueError, match="constant"):
        scratch.ln_s(z)
    got, want = (f(torch.tensor(z), (2,), eps=0.0) for f in (nn.layer_norm, fused))
    assert torch.equal(got[0], want[0])
    ones = torch.ones(1, 4)
    assert nn.layer_norm(ones, (4,), eps=0.0).isnan().all()
    assert fused(ones, (4,), eps=0.0).isnan().all()


def test_no_row_depends_on_another(rng):
    x, gamma, beta, v = arrays(rng, (6,), (4,))
    y, grad = scratch.layer_norm(x, gamma, beta), scratch.layer_norm_vjp(v, x, gamma, beta)[0]
    for i in range(6):
        assert np.array_equal(scratch.layer_norm(x[i], gamma, beta), y[i])
        assert np.array_equal(scratch.layer_norm_vjp(v[i], x[i], gamma, beta)[0], grad[i])


# the torch form

OPTIONS = [
    {},
    {"eps": 0.3},
    {"elementwise_affine": False},
    {"bias": False},
    {"elementwise_affine": False, "bias": False},
]
DTYPES = [
    (torch.float64, 1e-9),
    (torch.float32, 2e-5),
    (torch.bfloat16, 1.6e-2),
    (torch.float16, 2e-3),
]


def pair(shape, dtype, **options):
    """Return torch's module with random parameters, and ours with the same."""
    theirs = torch.nn.LayerNorm(shape, dtype=dtype, **options)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn(p.shape))
    ours = nn.LayerNorm(shape, dtype=dtype, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def run(module, x, v):
    """Return the output and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    y = module(x)
    return y, *torch.autograd.grad(y, (x, *module.parameters()), v)


@pytest.mark.parametrize(("front", "shape"), CASES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("dtype", "tol"), DTYPES, ids=lambda p: str(p))
@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_the_module_agrees_with_torch(front, shape, options, dtype, tol, mode):
    """The reference is torch in float64 on the same numbers; its float16 gradients are worse."""
    theirs, ours = pair(shape, dtype, **options)
    x, v = (2 * torch.randn(2, *front, *shape) + 1).to(dtype)
    got, dtypes = run(ours.train(mode), x, v), [t.dtype for t in run(theirs, x, v)]
    assert [t.dtype for t in got] == dtypes
    want = run(theirs.double().train(mode), x.double(), v.double())
    for g, w in zip(got, want, strict=True):
        size = max(1.0, float(w.detach().abs().max())) if w.numel() else 1.0
        close(g, w, tol, tol * size)


def test_the_function_takes_a_bias_alone_and_a_strided_input(rng):
    x = torch.tensor(rng.normal(size=(5, 3, 4))).transpose(0, 2)
    bias = torch.tensor(rng.normal(size=5))
    close(nn.layer_norm(x, (5,), None, bias), fused(x, (5,), None, bias))
    close(nn.layer_norm(x, [3, 5]), fused(x, [3, 5]))
    want = torch_vjp(lambda x, b: fused(x, (5,), None, b), (x.numpy(), bias.numpy()), x.numpy())
    got = torch_vjp(
        lambda x, b: nn.layer_norm(x, (5,), None, b), (x.numpy(), bias.numpy()), x.numpy()
    )
    close(got, want)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [4, (2, 3), [5], torch.Size([2])], ids=repr)
def test_constructor_state_and_repr_are_those_of_torch(options, shape):
    torch.manual_seed(3)
    theirs = torch.nn.LayerNorm(shape, **options)
    after_theirs = torch.rand(1)
    torch.manual_seed(3)
    ours = nn.LayerNorm(shape, **options)
    assert torch.equal(torch.rand(1), after_theirs)
    assert repr(ours) == repr(theirs)
    assert ours.normalized_shape == theirs.normalized_shape
    assert (ours.eps, ours.elementwise_affine) == (theirs.eps, theirs.elementwise_affine)
    assert (ours.weight is None, ours.bias is None) == (theirs.weight is None, theirs.bias is None)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    assert all(torch.equal(state[k], w) for k, w in theirs.state_dict().items())
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(torch.randn(p.shape))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert all(torch.equal(ours.state_dict()[k], w) for k, w in theirs.state_dict().items())


def test_device_and_dtype_reach_the_parameters():
    norm = nn.LayerNorm(3, device="meta", dtype=torch.float16)
    kinds = {(p.device.type, p.dtype) for p in norm.parameters()}
    assert kinds == {("meta", torch.float16)}


def test_a_module_can_be_copied_pickled_and_reset(rng):
    _, norm = pair((2, 3), torch.float64)
    x = torch.tensor(rng.normal(size=(4, 2, 3)))
    for other in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert torch.equal(other(x), norm(x))
    norm.reset_parameters()
    assert torch.equal(norm.weight, torch.ones(2, 3, dtype=torch.float64))
    assert torch.equal(norm.bias, torch.zeros(2, 3, dtype=torch.float64))


def test_every_parameter_learns(rng):
    theirs, ours = pair(5, torch.float64)
    x, target = torch.tensor(rng.normal(size=(2, 7, 5)))
    for norm in (theirs, ours):
        optimizer = torch.optim.SGD(norm.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(norm(x), target).backward()
            optimizer.step()
    close(list(ours.parameters()), list(theirs.parameters()))
    assert all((p != 1).all() and (p != 0).all() for p in ours.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("wide", [True, False])
def test_half_precision_is_torchs_within_one_rounding(dtype, wide):
    x = (300 * torch.randn(6, 48)).to(dtype)
    weight, bias = torch.randn(2, 48, dtype=torch.float32 if wide else dtype)
    got, want = nn.layer_norm(x, (48,), weight, bias), fused(x, (48,), weight, bias)
    assert got.dtype == want.dtype == dtype
    close(got, want, rtol=torch.finfo(dtype).eps, atol=1e-6)
    exact = fused(x.double(), (48,), weight.double(), bias.double())
    assert (got.double() - exact).abs().max() <= 0.51 * torch.finfo(dtype).eps * exact.abs().max()


# derivatives of every order


@FORWARD_MODE
@pytest.mark.parametrize("front", [(), (3,), (2, 1)], ids=str)
@pytest.mark.parametrize("have", ["", "weight", "bias", "weight bias"])
def test_first_and_second_derivatives(front, have, rng):
    shape, eps = (4,), 1e-2
    x = torch.tensor(rng.normal(size=(*front, *shape)), requires_grad=True)
    there = {n: torch.tensor(rng.normal(size=shape), requires_grad=True) for n in have.split()}

    def f(x, *values):
        return nn.layer_norm(x, shape, **dict(zip(there, values, strict=True)), eps=eps)

    inputs = (x, *there.values())
    assert torch.autograd.gradcheck(f, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_a_second_derivative_agrees_with_torch(rng):
    x, gamma, beta, v = (torch.tensor(a) for a in arrays(rng, (3,), (2, 4)))
    grads = []
    for f in (nn.layer_norm, fused):
        leaves = [t.clone().requires_grad_() for t in (x, gamma, beta)]
        y = f(leaves[0], (2, 4), *leaves[1:])
        first = torch.autograd.grad(y, leaves, v, create_graph=True)
        penalty = sum((g**3).sum() for g in first)
        grads.append(torch.autograd.grad(penalty, leaves, allow_unused=True)[:2])
    close(grads[0], grads[1])


TRANSFORMS = {
    "vmap over samples": lambda f, x, w, b: torch.func.vmap(f, (0, None, None))(x, w, b),
    "vmap over weights": lambda f, x, w, b: torch.func.vmap(f, (None, 0, 0))(
        x, torch.stack([w, b]), torch.stack([b, w])
    ),
    "gradient per sample": lambda f, x, w, b: torch.func.vmap(
        torch.func.grad(lambda x, w: f(x, w, b).pow(3).sum(), argnums=(0, 1)), (0, None)
    )(x, w),
    "jacrev": lambda f, x, w, b: torch.func.jacrev(f, (0, 1, 2))(x, w, b),
    "jacfwd": lambda f, x, w, b: torch.func.jacfwd(f, (0, 1, 2))(x, w, b),
    "hessian": lambda f, x, w, b: torch.func.hessian(lambda x: f(x, w, b).pow(3).sum())(x),
}


@FORWARD_MODE
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_transforms_of_torch_func_work(name, rng):
    x, w, b, _ = (torch.tensor(a) for a in arrays(rng, (3,), (4,)))
    got, want = (
        TRANSFORMS[name](lambda x, w, b, f=f: f(x, (4,), w, b, 1e-3), x, w, b)
        for f in (nn.layer_norm, fused)
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


def test_the_operations_are_few_and_none_is_a_variance():
    norm = nn.LayerNorm(192)
    x, v = torch.randn(8, 256, 192, requires_grad=True), torch.randn(8, 256, 192)
    with Counter() as forward:
        y = norm(x)
    with Counter() as backward:
        torch.autograd.grad(y, (x, norm.weight, norm.bias), v)
    assert 5 <= len(forward.names) <= 8, forward.names
    assert 8 <= len(backward.names) <= 13, backward.names
    assert not [n for n in forward.names + backward.names if "var" in n or "std" in n]


def test_only_the_input_is_kept_for_the_backward():
    kept = []

    def pack(t):
        kept.append(t.numel() * t.element_size())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        nn.LayerNorm(192)(torch.randn(8, 256, 192, requires_grad=True))
    assert 1.5e6 < sum(kept) <= 1.6e6, kept


# what is refused

X = np.ones((2, 3))
REFUSED = [
    (lambda: scratch.ln_s(X), r"ln_s: row \(0,\) of z is constant.*eps > 0"),
    (lambda: scratch.ln_s(np.array([1e-200, 0.0])), "ln_s: z is constant"),
    (lambda: scratch.ln_s(np.full(3, 0.1)), "ln_s: z is constant"),  # whose float mean is not 0.1
    (lambda: scratch.ln_s(np.array([[1.0, 2.0], [5.0, 5.0]])), r"row \(1,\) of z"),
    (lambda: scratch.ln_s_vjp(X, X), r"ln_s_vjp: row \(0,\) of z is constant"),
    (lambda: scratch.ln_s(X, -1.0), r"ln_s: eps=-1.0 lies outside \[0, inf\)"),
    (lambda: scratch.ln_s(np.ones((2, 0)), 1.0), r"ln_s: z of shape \(2, 0\) has no numbers"),
    (lambda: scratch.ln_s(np.array(1.0), 1.0), r"ln_s: z of shape \(\) has 0 axes"),
    (lambda: scratch.ln_s_vjp(X[0], X), r"v has shape \(3,\) where \(2, 3\) is wanted"),
    (lambda: scratch.layer_norm(X, np.ones(2)), r"layer_norm: gamma has shape \(2,\) where \(3,\)"),
    (
        lambda: scratch.layer_norm(X, None, np.ones((3, 2))),
        r"beta has shape \(3, 2\) where \(2, 3\)",
    ),
    (lambda: scratch.layer_norm(X, np.ones(3), axes=2), r"gamma has shape \(3,\) where \(2, 3\)"),
    (lambda: scratch.layer_norm(X, axes=3), "has 2 axes, and its last 3 are to be normalized"),
    (lambda: scratch.layer_norm(X, axes=0), "give a count from 1 to 2"),
    (lambda: scratch.layer_norm_vjp(X[:1], X), r"layer_norm_vjp: v has shape \(1, 3\)"),
    (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape is empty"),
    (lambda: nn.LayerNorm((3, 0)), "LayerNorm: normalized_shape=0 is too small"),
    (lambda: nn.LayerNorm(3, eps=-1e-5), r"LayerNorm: eps=-1e-05 lies outside"),
    (lambda: nn.LayerNorm(3)(torch.ones(2, 4)), r"input has shape \(2, 4\).*should be \(3,\)"),
    (lambda: nn.layer_norm(torch.ones(3), (3,), torch.ones(2)), r"weight has shape \(2,\)"),
    (lambda: nn.layer_norm(torch.ones(3), (3,), None, torch.ones(1)), r"bias has shape \(1,\)"),
    (lambda: nn.layer_norm(torch.ones(3), ()), "layer_norm: normalized_shape is empty"),
    (lambda: nn.layer_norm(torch.ones(3), (3,), eps=float("nan")), "eps=nan lies outside"),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_cannot_be_normalized_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.errors
def test_whole_numbers_and_complex_ones_are_refused():
    with pytest.raises(TypeError, match="ln_s: z holds int64, and a mean needs fractions"):
        scratch.ln_s(np.arange(3))
    with pytest.raises(TypeError, match=r"layer_norm: input holds torch.complex64"):
        nn.layer_norm(torch.ones(3, dtype=torch.complex64), (3,))
    with pytest.raises(TypeError, match=r"LayerNorm: normalized_shape=2.5 is a float"):
        nn.LayerNorm(2.5)
