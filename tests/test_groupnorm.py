"""Group and instance normalization: parity with torch, derivatives, layouts, costs, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tools import close, numeric_vjp, torch_vjp
from torch.utils._python_dispatch import TorchDispatchMode

from nnbook import nn, scratch

# torch itself calls what it deprecates when it sets up the forward mode
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
# (shape, groups): no positions, one, several; 1, 2 and 3 numbers in a group; an empty batch
CASES = [((2, 3), 3), ((3, 2), 1), ((2, 6), 2), ((5, 4, 1), 2), ((2, 6, 5), 3), ((3, 4, 2), 4)]
CASES += [((2, 6, 3, 5), 2), ((1, 6, 7, 2), 1), ((0, 4, 3), 2), ((2, 4, 3, 1, 2), 2)]
SPATIAL = [(2, 3, 5), (1, 1, 2), (4, 2, 3, 5), (2, 3, 1, 7)]
UNITS = [(1.0, 0.0), (30.0, -7.0), (1.0, 1e6), (1e-3, 0.0)]
EPS = [1e-5, 0.7]


def maps(rng, shape, scale=1.0, shift=0.0):
    """Return x, gamma, beta and a cotangent, of random numbers."""
    x = scale * rng.normal(size=shape) + shift
    return x, *rng.normal(size=(2, shape[1])), rng.normal(size=shape)


def precision(scale, shift):
    """The relative tolerance that float64 allows at such a mean."""
    return 1e-9 + 4e-15 * abs(shift) / scale


@pytest.mark.parametrize(("shape", "groups"), CASES)
@pytest.mark.parametrize(("scale", "shift"), UNITS)
@pytest.mark.parametrize("eps", EPS)
def test_the_numpy_group_norm_agrees_with_torch(shape, groups, scale, shift, eps, rng):
    """The reference centres in torch too: its own backward loses digits at a large mean."""
    x, gamma, beta, v = maps(rng, shape, scale, shift)

    def reference(x, g, b):
        z = x.reshape(shape[0], groups, int(np.prod(shape[1:])) // groups)
        z = F.layer_norm(z, z.shape[-1:], eps=eps).reshape(shape)
        one = (-1, *(1,) * (len(shape) - 2))
        return g.view(one) * z + b.view(one)

    expected, grads = torch_vjp(reference, (x, gamma, beta), v)
    tol = precision(scale, shift)
    close(scratch.group_norm(x, gamma, beta, groups=groups, eps=eps), expected, tol, tol)
    if shift == 0 and shape[0]:
        fused = F.group_norm(
            *(torch.tensor(a) for a in (x,)), groups, *map(torch.tensor, (gamma, beta)), eps
        )
        close(scratch.group_norm(x, gamma, beta, groups=groups, eps=eps), fused)
    size = max([eps**-0.5, *(np.abs(g).max(initial=0.0) for g in grads)])
    got = scratch.group_norm_vjp(v, x, gamma, beta, groups=groups, eps=eps)
    close(got, grads, tol, tol * size)


@pytest.mark.parametrize("shape", SPATIAL)
@pytest.mark.parametrize("eps", EPS)
def test_the_numpy_instance_norm_agrees_with_torch(shape, eps, rng):
    x, gamma, beta, v = maps(rng, shape, 3.0, 1.0)
    expected, grads = torch_vjp(
        lambda x, g, b: F.instance_norm(x, weight=g, bias=b, eps=eps), (x, gamma, beta), v
    )
    close(scratch.instance_norm(x, gamma, beta, eps=eps), expected)
    close(scratch.instance_norm_vjp(v, x, gamma, beta, eps=eps), grads)


def test_the_vjps_agree_with_central_differences(rng):
    x, gamma, beta, v = maps(rng, (2, 4, 3), 2.0, 1.0)
    runs = [
        (lambda *a: scratch.group_norm(*a, groups=2, eps=0.1), (x, gamma, beta)),
        (lambda *a: scratch.instance_norm(*a, eps=0.1), (x, gamma, beta)),
    ]
    got = [
        scratch.group_norm_vjp(v, x, gamma, beta, groups=2, eps=0.1),
        scratch.instance_norm_vjp(v, x, gamma, beta, eps=0.1),
    ]
    for (f, inputs), grads in zip(runs, got, strict=True):
        close(grads, numeric_vjp(f, inputs, v), 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept_and_float16_is_computed_in_float32(dtype, rng):
    arrays = tuple(a.astype(dtype) for a in maps(rng, (2, 4, 3), 1000.0))

    def every(x, gamma, beta, v):
        return [
            scratch.group_norm(x, gamma, beta, groups=2),
            *scratch.group_norm_vjp(v, x, gamma, beta, groups=2),
            scratch.instance_norm(x, gamma, beta),
        ]

    got = every(*arrays)
    assert {a.dtype for a in got} == {np.dtype(dtype)}
    wide = every(*(a.astype(np.promote_types(dtype, np.float32)) for a in arrays))
    assert all(np.array_equal(g, w.astype(dtype)) for g, w in zip(got, wide, strict=True))


@pytest.mark.parametrize("have", ["", "gamma", "beta"])
def test_a_missing_gamma_or_beta_has_no_gradient(have, rng):
    x, gamma, beta, v = maps(rng, (2, 4, 3))
    gamma, beta = (gamma if have == "gamma" else None), (beta if have == "beta" else None)
    got = scratch.group_norm_vjp(v, x, gamma, beta, groups=2)
    assert [g is None for g in got] == [False, gamma is None, beta is None]
    weight, bias = (None if a is None else torch.tensor(a) for a in (gamma, beta))
    want = F.group_norm(torch.tensor(x), 2, weight, bias)
    close(scratch.group_norm(x, gamma, beta, groups=2), want)
    close(nn.group_norm(torch.tensor(x), 2, weight, bias), want)


@given(st.floats(-1e3, 1e3), st.sampled_from([1, 2, 4]))
def test_a_constant_group_gives_beta(value, groups):
    x, beta = np.full((2, 4, 3), value), np.linspace(-1, 1, 4)
    want = np.broadcast_to(beta[:, None], x.shape)
    close(scratch.group_norm(x, np.full(4, 3.0), beta, groups=groups), want, atol=1e-7)
    weight, bias = torch.full((4,), 3.0), torch.tensor(beta)
    close(nn.group_norm(torch.tensor(x), groups, weight, bias), want, atol=1e-7)


# the torch forms

DTYPES = [
    (torch.float64, 1e-9),
    (torch.float32, 1e-4),
    (torch.bfloat16, 1.6e-2),
    (torch.float16, 2e-3),
]
AFFINE = [{}, {"eps": 0.3}, {"affine": False}, {"bias": False}]
MODULES = [("GroupNorm", (g, s[1]), s, o) for s, g in CASES for o in AFFINE]
MODULES += [
    (f"InstanceNorm{d}d", (s[1],), s, {"affine": True, **o})
    for d, shapes in ((1, [(2, 3, 5), (1, 4, 2)]), (2, [(4, 2, 3, 5), (3, 2, 1, 7)]))
    for s in shapes
    for o in AFFINE
]


def pair(name, args, dtype, **options):
    """Return torch's module with random parameters, and ours with the same."""
    theirs = getattr(torch.nn, name)(*args, dtype=dtype, **options)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn(p.shape))
    ours = getattr(nn, name)(*args, dtype=dtype, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def run(module, x, v):
    """Return the output and the gradients of input and parameters."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = module(x)
    return y, *torch.autograd.grad(y, (x, *module.parameters()), v)


@pytest.mark.parametrize(("name", "args", "shape", "options"), MODULES, ids=str)
@pytest.mark.parametrize(("dtype", "tol"), DTYPES, ids=str)
def test_a_module_agrees_with_torch(name, args, shape, options, dtype, tol):
    """The reference is torch in float64 on the same numbers."""
    theirs, ours = pair(name, args, dtype, **options)
    x, v = (2 * torch.randn(2, *shape) + 1).to(dtype)
    for mode in (True, False):
        got = run(ours.train(mode), x, v)
        assert {t.dtype for t in got} == {dtype}
        want = run(theirs.double().train(mode), x.double(), v.double())
        for g, w in zip(got, want, strict=True):
            size = max(1.0, float(w.detach().abs().max())) if w.numel() else 1.0
            close(g, w, tol, tol * size)


CONSTRUCTED = [(n, a, o) for n, a, _, o in MODULES[:4] + MODULES[40:48] + MODULES[-3:]]
CONSTRUCTED += [(f"InstanceNorm{d}d", (3,), {"track_running_stats": True}) for d in (1, 2)]
CONSTRUCTED += [("InstanceNorm1d", (3, 0.1, None, True, True), {})]
CONSTRUCTED += [("GroupNorm", (2, 4, 0.1, False), {}), ("InstanceNorm2d", (5,), {})]


@pytest.mark.parametrize(("name", "args", "options"), CONSTRUCTED, ids=str)
def test_constructor_state_and_repr_are_those_of_torch(name, args, options):
    torch.manual_seed(3)
    theirs = getattr(torch.nn, name)(*args, **options)
    after_theirs = torch.rand(1)
    torch.manual_seed(3)
    ours = getattr(nn, name)(*args, **options)
    assert torch.equal(torch.rand(1), after_theirs)
    assert repr(ours) == repr(theirs)
    state, want = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(want)
    assert all(torch.equal(state[k], w) and state[k].dtype == w.dtype for k, w in want.items())
    assert state._metadata == want._metadata
    plain = {k for k, t in vars(theirs).items() if not k.startswith("_")}
    assert {k: getattr(ours, k) for k in plain} == {k: getattr(theirs, k) for k in plain}
    with torch.no_grad():
        for t in (*ours.parameters(), *ours.buffers()):
            t.add_(2)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert all(torch.equal(ours.state_dict()[k], w) for k, w in theirs.state_dict().items())


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("dims", [1, 2])
def test_running_numbers_are_those_of_torch(momentum, dims, rng):
    options = {"momentum": momentum, "affine": True, "track_running_stats": True}
    theirs, ours = pair(f"InstanceNorm{dims}d", (3,), torch.float64, **options)
    for batch in ((4,), (1,), (), (2,)):
        x = torch.tensor(5 + 3 * rng.normal(size=(*batch, 3, *(7, 2)[:dims])))
        close(ours.train()(x), theirs.train()(x))
        close(list(ours.buffers()), list(theirs.buffers()))
        x, v = torch.tensor(rng.normal(size=(2, 2, 3, *(1, 2)[:dims])))  # one position will do
        close(run(ours.eval(), x, v), run(theirs.eval(), x, v))
    moved = (ours.running_mean != 0).all() and (ours.running_var != 1).all()
    assert moved == (momentum is not None)
    assert ours.num_batches_tracked == 0
    ours.reset_running_stats()
    assert not ours.running_mean.any()
    assert (ours.running_var == 1).all()


def test_running_numbers_are_moved_without_a_gradient_and_not_at_all_by_nothing():
    norm = nn.InstanceNorm1d(2, track_running_stats=True)
    norm(torch.randn(3, 2, 5, requires_grad=True))
    assert not norm.running_mean.requires_grad
    before = norm.running_mean.clone()
    assert norm(torch.randn(0, 2, 5)).shape == (0, 2, 5)
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tracks_like_torch(dtype):
    theirs, ours = pair("InstanceNorm1d", (3,), dtype, track_running_stats=True)
    x = (300 + torch.randn(4, 3, 8)).to(dtype)
    ours(x), theirs(x)
    close(list(ours.buffers())[:2], list(theirs.buffers())[:2], rtol=2 * torch.finfo(dtype).eps)


def test_a_checkpoint_without_a_count_of_batches_can_be_loaded():
    state = dict(torch.nn.InstanceNorm1d(2, track_running_stats=True).state_dict())
    del state["num_batches_tracked"]
    for kind in (torch.nn.InstanceNorm1d, nn.InstanceNorm1d):
        kind(2, track_running_stats=True).load_state_dict(state, strict=True)


@pytest.mark.parametrize("groups", [2, 4])
def test_the_memory_format_is_kept(groups):
    x = torch.randn(2, 4, 3, 5).to(memory_format=torch.channels_last)
    v = torch.randn(2, 4, 3, 5)
    theirs, ours = pair("GroupNorm", (groups, 4), torch.float32)
    got, want = run(ours, x, v), run(theirs, x, v)
    close(got, want, 1e-5, 1e-5)
    assert got[0].stride() == want[0].stride()
    close(run(nn.InstanceNorm2d(4), x, v), run(torch.nn.InstanceNorm2d(4), x, v), 1e-4, 1e-4)


def test_the_output_may_be_changed_in_place_and_the_input_is_not(rng):
    x, v = torch.tensor(rng.normal(size=(2, 3, 4, 2)))
    before = x.clone()
    results = []
    for f in (nn.group_norm, F.group_norm):
        leaf = x.clone().requires_grad_()
        y = torch.relu_(f(leaf, 2).mul_(2).add_(1))
        results.append((y, *torch.autograd.grad(y, leaf, v)))
        assert torch.equal(leaf, before)
    close(results[0], results[1])
    plain = nn.group_norm(x, 2)
    assert torch.equal(x, before)
    assert not plain.requires_grad


def test_strided_and_broadcast_inputs(rng):
    x = torch.tensor(rng.normal(size=(5, 3, 4))).transpose(0, 2)
    close(nn.group_norm(x, 3), F.group_norm(x, 3))
    wide = torch.tensor(rng.normal(size=(1, 4, 3))).expand(2, 4, 3)
    close(nn.group_norm(wide, 2), F.group_norm(wide, 2))
    assert nn.group_norm(torch.ones(2, 4, 0), 2).shape == (2, 4, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("wide", [True, False])
def test_half_precision_is_torchs_within_one_rounding(dtype, wide):
    x = (300 * torch.randn(3, 6, 8)).to(dtype)
    weight, bias = torch.randn(2, 6, dtype=torch.float32 if wide else dtype)
    got, want = nn.group_norm(x, 2, weight, bias), F.group_norm(x, 2, weight, bias)
    assert got.dtype == want.dtype == dtype
    exact = F.group_norm(x.double(), 2, weight.double(), bias.double())
    assert (got.double() - exact).abs().max() <= 0.51 * torch.finfo(dtype).eps * exact.abs().max()


@pytest.mark.parametrize(("mean", "allowed"), [(0.0, 3e-6), (1e4, 2e-3)])
def test_float32_maps_of_large_mean_are_right(mean, allowed, rng):
    x = (mean + rng.normal(size=(8, 4, 96))).astype(np.float32)
    exact = scratch.group_norm(x.astype(np.float64), groups=2)
    assert np.abs(scratch.group_norm(x, groups=2) - exact).max() < allowed
    leaf = torch.tensor(x, requires_grad=True)
    y = nn.group_norm(leaf, 2)
    close(y, exact, atol=allowed)
    v = rng.normal(size=x.shape)
    (grad,) = torch.autograd.grad(y, leaf, torch.tensor(v, dtype=torch.float32))
    want = scratch.group_norm_vjp(v, x.astype(np.float64), groups=2)[0]
    close(grad, want, atol=10 * allowed)


def test_float32_groups_of_many_numbers_are_right():
    x = torch.randn(2, 2, 2**18) + 1
    exact = F.group_norm(x.double(), 1)
    assert (nn.group_norm(x, 1) - exact).abs().max() < 4e-6


def test_an_empty_batch_has_gradients():
    """Torch's own instance norm with gamma fails there."""
    norm = nn.InstanceNorm1d(2, affine=True)
    y, at_x, *others = run(norm, torch.ones(0, 2, 3), torch.ones(0, 2, 3))
    assert y.shape == at_x.shape == (0, 2, 3)
    assert not any(g.any() for g in others)


def test_device_and_dtype_reach_parameters_and_buffers():
    options = {"device": "meta", "dtype": torch.float16}
    norms = [nn.GroupNorm(1, 3, **options)]
    norms += [nn.InstanceNorm1d(3, affine=True, track_running_stats=True, **options)]
    kinds = {(t.device.type, t.dtype) for m in norms for t in m.state_dict().values()}
    assert kinds == {("meta", torch.float16), ("meta", torch.int64)}


@pytest.mark.parametrize("name", ["GroupNorm", "InstanceNorm1d"])
def test_a_module_can_be_copied_pickled_and_reset(name, rng):
    args = {"GroupNorm": (2, 4), "InstanceNorm1d": (4, 1e-5, 0.1, True, True)}
    _, norm = pair(name, args[name], torch.float64)
    x = torch.tensor(rng.normal(size=(2, 4, 3)))
    for other in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert torch.equal(other(x), norm(x))
    norm.reset_parameters()
    assert (norm.weight == 1).all()
    assert not norm.bias.any()


@pytest.mark.parametrize("name", ["GroupNorm", "InstanceNorm1d"])
def test_every_parameter_learns(name, rng):
    args = {"GroupNorm": (2, 4), "InstanceNorm1d": (4, 1e-5, 0.1, True)}[name]
    theirs, ours = pair(name, args, torch.float64)
    before = copy.deepcopy(list(ours.parameters()))
    x, target = torch.tensor(rng.normal(size=(2, 7, 4, 3)))
    for norm in (theirs, ours):
        optimizer = torch.optim.SGD(norm.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(norm(x), target).backward()
            optimizer.step()
    close(list(ours.parameters()), list(theirs.parameters()))
    assert all((p != b).all() for p, b in zip(ours.parameters(), before, strict=True))


# derivatives of every order


@FORWARD_MODE
@pytest.mark.parametrize("have", ["", "weight", "bias", "weight bias"])
@pytest.mark.parametrize("groups", [1, 2])
def test_first_and_second_derivatives(have, groups, rng):
    x = torch.tensor(rng.normal(size=(2, 2, 3)), requires_grad=True)
    there = {n: torch.tensor(rng.normal(size=2), requires_grad=True) for n in have.split()}

    def f(x, *values):
        return nn.group_norm(x, groups, **dict(zip(there, values, strict=True)), eps=1e-2)

    inputs = (x, *there.values())
    assert torch.autograd.gradcheck(f, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_second_derivatives_agree_with_torch(rng):
    x, gamma, beta, v = (torch.tensor(a) for a in maps(rng, (3, 4, 2)))
    grads = []
    for f in (nn.group_norm, F.group_norm):
        at = [a.clone().requires_grad_() for a in (x, gamma, beta)]
        first = torch.autograd.grad(f(at[0], 2, *at[1:]), at, v, create_graph=True)
        penalty = sum((g**3).sum() for g in first)
        grads.append(torch.autograd.grad(penalty, at[:2]))
    close(grads[0], grads[1])


TRANSFORMS = {
    "vmap over samples": lambda f, x, w, b: torch.func.vmap(f, (0, None, None))(x, w, b),
    "vmap over weights": lambda f, x, w, b: torch.func.vmap(f, (None, 0, 0))(
        x, torch.stack([w, b]), torch.stack([b, w])
    ),
    "vmap over beta": lambda f, x, w, b: torch.func.vmap(f, (None, None, 0))(
        x, w, torch.stack([b, w])
    ),
    "gradient per sample": lambda f, x, w, b: torch.func.vmap(
        torch.func.grad(lambda x, w: f(x, w, b).pow(3).sum(), argnums=(0, 1)), (0, None)
    )(x, w),
    "gradient per weight": lambda f, x, w, b: torch.func.vmap(
        torch.func.grad(lambda w, b: f(x, w, b).pow(3).sum(), argnums=(0, 1)), (0, None)
    )(torch.stack([w, b]), b),
    "jacrev": lambda f, x, w, b: torch.func.jacrev(f, (0, 1, 2))(x, w, b),
    "jacfwd": lambda f, x, w, b: torch.func.jacfwd(f, (0, 1, 2))(x, w, b),
    "hessian": lambda f, x, w, b: torch.func.hessian(lambda x: f(x, w, b).pow(3).sum())(x),
}


@FORWARD_MODE
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_transforms_of_torch_func_work(name, rng):
    x = torch.tensor(rng.normal(size=(3, 4, 4, 2)))  # with the samples mapped, axis 1 is 4 again
    w, b = torch.tensor(rng.normal(size=(2, 4)))
    got, want = (
        TRANSFORMS[name](lambda x, w, b, f=f: f(x, 2, w, b, 1e-3), x, w, b)
        for f in (nn.group_norm, F.group_norm)
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
    norm, (x, v) = nn.GroupNorm(8, 32), torch.randn(2, 8, 32, 14, 14)
    x.requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        with Counter() as forward:
            y = norm(x)
    with Counter() as backward:
        torch.autograd.grad(y, (x, *norm.parameters()), v)
    assert 4 <= len(forward.names) <= 16, forward.names
    assert 4 <= len(backward.names) <= 28, backward.names
    assert not [n for n in forward.names + backward.names if "var" in n or "std" in n]
    assert x.numel() < sum(kept) < 1.02 * x.numel(), kept


# what is refused

X = np.ones((2, 6, 3))
T = torch.ones(2, 6, 3)
REFUSED = [
    (lambda: scratch.group_norm(X, groups=4), r"6 channels .* groups=4 .* \[1, 2, 3, 6\]"),
    (lambda: scratch.group_norm(X, groups=0), "group_norm: groups=0 is too small"),
    (lambda: scratch.group_norm(X, groups=2, eps=0.0), r"row \(0, 0\) of z is constant"),
    (lambda: scratch.group_norm(X, groups=2, eps=-1.0), "eps=-1.0 lies outside"),
    (lambda: scratch.group_norm(X[0, 0], groups=1), r"x of shape \(3,\) has 1 axes.*x\[None\]"),
    (lambda: scratch.group_norm(X[..., :0], groups=2), "has no numbers in a sample"),
    (lambda: scratch.group_norm(X, np.ones(3), groups=2), r"gamma of shape \(3,\) must .*\(6,\)"),
    (lambda: scratch.group_norm(X, None, np.ones(1), groups=2), r"beta of shape \(1,\)"),
    (lambda: scratch.group_norm_vjp(X[:1], X, groups=2), r"v has shape \(1, 6, 3\)"),
    (lambda: scratch.instance_norm(X[..., :1]), r"instance_norm: .*\(2, 6, 1\) has one number"),
    (lambda: scratch.instance_norm_vjp(X[..., 0], X[..., 0]), "has one number per channel"),
    (lambda: nn.GroupNorm(4, 6), r"GroupNorm: 6 channels .* groups=4 .* \[1, 2, 3, 6\]"),
    (lambda: nn.GroupNorm(1, 0), "GroupNorm: num_channels=0 is too small"),
    (lambda: nn.GroupNorm(1, 2, eps=-1.0), "GroupNorm: eps=-1.0"),
    (lambda: nn.GroupNorm(2, 4)(T), r"group_norm: weight of shape \(4,\) must have shape \(6,\)"),
    (lambda: nn.group_norm(T, 4), r"group_norm: 6 channels"),
    (lambda: nn.group_norm(T[0, 0], 1), r"input of shape \(3,\) has 1 axes"),
    (lambda: nn.group_norm(T, 2, eps=float("nan")), "eps=nan"),
    (lambda: nn.group_norm(T[:1, :, :1], 6), r"\(1, 6, 1\) has one number per group"),
    (lambda: nn.instance_norm(T[..., :1]), r"\(2, 6, 1\) has one number per channel"),
    (lambda: nn.instance_norm(T, use_input_stats=False), r"running_mean of shape \(\)"),
    (lambda: nn.instance_norm(T, torch.ones(2), torch.ones(6)), r"running_mean of shape \(2,\)"),
    (lambda: nn.InstanceNorm1d(6)(T[None]), r"InstanceNorm1d: .*4 axes; give \(c, s, \)"),
    (lambda: nn.InstanceNorm2d(6)(T[0]), "InstanceNorm2d: .*2 axes"),
    (lambda: nn.InstanceNorm1d(5, affine=True)(T), r"num_features of shape \(5,\).*\(6,\)"),
    (lambda: nn.InstanceNorm1d(5, track_running_stats=True)(T), r"num_features of shape \(5,\)"),
    (lambda: nn.InstanceNorm1d(0), "InstanceNorm1d: num_features=0 is too small"),
    (lambda: nn.InstanceNorm2d(2, eps=-1.0), "InstanceNorm2d: eps=-1.0"),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_cannot_be_normalized_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.errors
def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="group_norm: x holds int64, and a mean needs fractions"):
        scratch.group_norm(np.ones((2, 4), int), groups=2)
    with pytest.raises(TypeError, match=r"group_norm: input holds torch.int64"):
        nn.group_norm(torch.ones(2, 4, dtype=torch.int64), 2)


@pytest.mark.errors
def test_torch_refuses_one_number_per_group_only_for_one_sample():
    """So do we: with two samples the output is beta, without a word."""
    for f in (nn.group_norm, F.group_norm):
        assert not f(torch.randn(2, 4), 4).any()
        with pytest.raises(ValueError, match=r"(?i)more than 1 value|one number per group"):
            f(torch.randn(1, 4), 4)


@pytest.mark.errors
def test_other_channels_without_affine_are_a_warning():
    with pytest.warns(UserWarning, match="has 6 channels and num_features=5"):
        y = nn.InstanceNorm1d(5)(T)
    assert y.shape == T.shape
