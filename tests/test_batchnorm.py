"""Batch normalization: parity with torch, precision, derivatives of every order, costs, errors."""

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
from nnbook.claims import batchnorm as claims

fused = torch.nn.functional.batch_norm
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
SHAPES = [(2, 1), (3, 5), (7, 2), (1, 3, 4), (2, 3, 5), (1, 2, 3, 4), (3, 2, 4, 5), (64, 3)]
UNITS = [(1.0, 0.0), (30.0, -7.0), (1.0, 1e6), (1e-3, 0.0)]


def arrays(rng, shape, scale=1.0, shift=0.0):
    """Return x, gamma, beta and a cotangent, of random numbers."""
    x = scale * rng.normal(size=shape) + shift
    return x, *rng.normal(size=(2, shape[1])), rng.normal(size=shape)


def train(x, gamma=None, beta=None, eps=1e-5):
    return fused(x, None, None, gamma, beta, True, 0.0, eps)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("scale", "shift"), UNITS)
@pytest.mark.parametrize("eps", [1e-5, 0.7])
def test_the_numpy_form_and_its_vjp_agree_with_torch(shape, scale, shift, eps, rng):
    x, gamma, beta, v = arrays(rng, shape, scale, shift)
    expected, grads = torch_vjp(lambda x, g, b: train(x, g, b, eps), (x, gamma, beta), v)
    tol = 1e-8 + 4e-15 * abs(shift) / scale
    close(scratch.batch_norm(x, gamma, beta, eps=eps), expected, tol, tol)
    size = max([eps**-0.5, *(np.abs(g).max(initial=0.0) for g in grads)])  # what cancels
    close(scratch.batch_norm_vjp(v, x, gamma, beta, eps=eps), grads, tol, tol * size)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (4, 1), (2, 2, 3)], ids=str)
@pytest.mark.parametrize("eps", [1e-2, 0.7])
def test_the_vjps_agree_with_central_differences(shape, eps, rng):
    x, gamma, beta, v = arrays(rng, shape, scale=2.0)
    got = scratch.batch_norm_vjp(v, x, gamma, beta, eps=eps)
    want = numeric_vjp(lambda *a: scratch.batch_norm(*a, eps=eps), (x, gamma, beta), v)
    close(got, want, 1e-6, 1e-6)
    close(
        scratch.bn_s_vjp(v, x, eps),
        numeric_vjp(lambda x: scratch.bn_s(x, eps), (x,), v)[0],
        1e-6,
        1e-6,
    )


def test_a_missing_gamma_or_beta_has_no_gradient(rng):
    x, gamma, beta, v = arrays(rng, (4, 3))
    expected, grads = torch_vjp(lambda x, g: train(x, g), (x, gamma), v)
    close(scratch.batch_norm(x, gamma), expected)
    got = scratch.batch_norm_vjp(v, x, gamma)
    assert got[2] is None
    close(got[:2], grads)
    close(scratch.batch_norm(x, None, beta), scratch.batch_norm(x) + beta)
    assert scratch.batch_norm_vjp(v, x, None, beta)[1] is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept_and_float16_is_computed_wide(dtype, rng):
    x, gamma, beta, v = (a.astype(dtype) for a in arrays(rng, (6, 4), scale=200.0))
    got = [scratch.bn_s(x), scratch.bn_s_vjp(v, x), scratch.batch_norm(x, gamma, beta)]
    got += scratch.batch_norm_vjp(v, x, gamma, beta)
    assert {a.dtype for a in got} == {np.dtype(dtype)}
    wide = [a.astype(np.float64) for a in (v, x, gamma, beta)]
    tol = float(np.finfo(dtype).eps)
    close(got[2].astype(float), scratch.batch_norm(*wide[1:]), 4 * tol, 4 * tol)
    close(got[3].astype(float), scratch.batch_norm_vjp(*wide)[0], 9 * tol, 9 * tol)


@pytest.mark.parametrize(("mean", "allowed"), [(0.0, 3e-6), (1e4, 1e-2)])
@pytest.mark.parametrize("shape", [(256, 8), (16, 8, 4, 4)], ids=str)
def test_float32_channels_of_large_mean_are_right(shape, mean, allowed, rng):
    x = (mean + rng.normal(size=shape)).astype(np.float32)
    exact = scratch.bn_s(x.astype(np.float64), 1e-5)
    assert np.abs(scratch.bn_s(x, 1e-5) - exact).max() < allowed
    got = nn.batch_norm(torch.tensor(x), None, None, training=True)
    assert np.abs(got.numpy() - exact).max() < allowed


def test_float32_channels_of_many_values_are_right():
    for shape in ((2, 2, 2**20), (2**19, 1)):
        x = torch.randn(shape)
        got = nn.batch_norm(x, None, None, training=True)
        assert (got - train(x.double())).abs().max() < 1e-5


@given(st.floats(-1e3, 1e3), st.integers(2, 6))
def test_a_constant_channel_gives_beta(value, n):
    x, beta = np.full((n, 3), value), np.linspace(-1, 1, 3)
    close(scratch.batch_norm(x, np.full(3, 3.0), beta), np.tile(beta, (n, 1)), atol=1e-7)
    got = nn.batch_norm(torch.tensor(x), None, None, None, torch.tensor(beta), True)
    close(got, np.tile(beta, (n, 1)), atol=1e-7)


# the torch form

OPTIONS = [
    {},
    {"eps": 0.3, "momentum": 0.7},
    {"momentum": None},
    {"momentum": 0.0},
    {"momentum": 1.0},
    {"affine": False},
    {"bias": False},
    {"track_running_stats": False},
    {"affine": False, "track_running_stats": False},
]
DTYPES = [(torch.float64, 1e-9), (torch.float32, 3e-5), (torch.bfloat16, 3e-2)]
INPUTS = [(5, 3), (2, 4, 3), (3, 2, 4, 5), (2, 1)]


def classes(shape):
    name = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    return getattr(torch.nn, name), getattr(nn, name)


def pair(shape, dtype=torch.float64, **options):
    """Return torch's module with random parameters, and ours with the same."""
    theirs, ours = (c(shape[1], dtype=dtype, **options) for c in classes(shape))
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn(p.shape))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def results(module, x, v):
    """Return the output and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    y = module(x)
    return [y, *torch.autograd.grad(y, (x, *module.parameters()), v)]


@pytest.mark.parametrize("shape", INPUTS, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("dtype", "tol"), DTYPES, ids=lambda p: str(p))
def test_three_batches_and_eval_agree_with_torch(shape, options, dtype, tol):
    theirs, ours = pair(shape, dtype, **options)
    for step in range(4):
        x, v = (2 * torch.randn(2, *shape) + step).to(dtype)
        for module in (theirs, ours):
            module.train(step < 3)
        exact = copy.deepcopy(theirs).double()  # torch's own bfloat16 gradients are worse
        got, want = results(ours, x, v), results(exact, x.double(), v.double())
        assert [t.dtype for t in got] == [t.dtype for t in results(theirs, x, v)]
        for g, w in zip(got, want, strict=True):
            size = max(1.0, float(w.detach().float().abs().max()))
            close(g, w, tol, tol * size)
        for g, w in zip(ours.buffers(), theirs.buffers(), strict=True):
            assert g.dtype == w.dtype
            close(g, w, tol, tol)


def test_half_precision_with_wide_statistics_as_under_autocast():
    theirs, ours = pair((6, 4), torch.float32)
    x = (3 * torch.randn(6, 4) + 1).bfloat16()
    got, want = ours(x), theirs(x)
    assert got.dtype == torch.bfloat16
    close(got, want, 1e-2, 1e-2)
    assert ours.running_var.dtype == torch.float32
    close(ours.running_var, theirs.running_var, 1e-5, 1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4, 5)], ids=str)
def test_constructor_state_and_repr_are_those_of_torch(options, shape):
    theirs, ours = (c(3, **options) for c in classes(shape))
    assert repr(ours) == repr(theirs)
    names = ("num_features", "eps", "momentum", "affine", "track_running_stats")
    assert all(getattr(ours, n) == getattr(theirs, n) for n in names)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata
    for got, want in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert got.dtype == want.dtype
        assert torch.equal(got, want)
    ours(torch.randn(shape))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert all(
        torch.equal(a, b)
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    )


def test_a_state_of_version_1_loads_as_in_torch():
    for lib in (torch.nn, nn):
        norm = lib.BatchNorm1d(3)
        state = norm.state_dict()
        del state["num_batches_tracked"]
        with pytest.raises(RuntimeError, match="num_batches_tracked"):
            norm.load_state_dict(state)
        state._metadata[""]["version"] = 1
        norm.load_state_dict(state, strict=True)
        assert norm.num_batches_tracked == 0


def test_tracking_can_be_switched_off_later_as_in_torch():
    theirs, ours = pair((5, 3))
    for norm in (theirs, ours):
        norm.track_running_stats = False
    x, v = torch.randn(2, 5, 3, dtype=torch.float64)
    close(results(ours, x, v), results(theirs, x, v))
    close(list(ours.buffers()), list(theirs.buffers()))
    close(ours.eval()(x), theirs.eval()(x))


def test_device_dtype_copies_and_resets(rng):
    norm = nn.BatchNorm2d(3, device="meta", dtype=torch.float16)
    tensors = [*norm.parameters(), norm.running_mean, norm.running_var]
    assert {(t.device.type, t.dtype) for t in tensors} == {("meta", torch.float16)}
    assert norm.num_batches_tracked.dtype == torch.int64
    _, norm = pair((5, 3))
    x = torch.tensor(rng.normal(size=(5, 3)))
    norm(x)
    norm.eval()
    for other in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        assert torch.equal(other(x), norm(x))
    norm.reset_parameters()
    fresh = nn.BatchNorm1d(3, dtype=torch.float64).state_dict()
    assert all(torch.equal(norm.state_dict()[k], w) for k, w in fresh.items())


def test_every_parameter_learns(rng):
    theirs, ours = pair((7, 5))
    x, target = torch.tensor(rng.normal(size=(2, 7, 5)))
    for norm in (theirs, ours):
        optimizer = torch.optim.SGD(norm.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(norm(x), target).backward()
            optimizer.step()
    close(list(ours.parameters()), list(theirs.parameters()))


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4), (2, 3, 0)], ids=str)
def test_an_empty_batch_is_counted_and_changes_nothing_else(shape):
    theirs, ours = pair(shape)
    x = torch.zeros(shape, dtype=torch.float64)
    for got, want in zip(results(ours, x, x), results(theirs, x, x), strict=True):
        close(got, want)
    close(list(ours.buffers()), list(theirs.buffers()))


@pytest.mark.parametrize("grad_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_is_kept(grad_format):
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    v = torch.randn(2, 3, 4, 5).contiguous(memory_format=grad_format)
    norm = nn.BatchNorm2d(3)
    for module in (norm.train(), norm.eval()):
        y = module(x)
        assert y.is_contiguous(memory_format=torch.channels_last)
    y = norm.train()(x)
    (grad,) = torch.autograd.grad(y, x, v)
    assert grad.is_contiguous(memory_format=torch.channels_last)
    other = torch.nn.BatchNorm2d(3)
    close(y, other(x), 1e-5, 1e-5)
    close(grad, torch.autograd.grad(other(x), x, v)[0], 1e-4, 1e-4)
    assert nn.BatchNorm2d(3)(torch.randn(2, 3, 4, 5)).is_contiguous()


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 6), (2, 3, 4, 5), (2, 1, 4, 5), (4, 1)], ids=str)
@pytest.mark.parametrize("strided", ["transposed", "sliced", "expanded", "backwards"])
def test_any_strides_of_input_and_gradient(shape, strided):
    def make(strided):
        if strided == "sliced":
            return torch.randn(*shape[:-1], 2 * shape[-1]).double()[..., ::2]
        if strided == "expanded":
            one = torch.randn(shape[0], shape[1], *(1,) * (len(shape) - 2)).double()
            return one.expand(shape)
        order = (
            (1, 0, *range(2, len(shape))) if strided == "transposed" else range(len(shape))[::-1]
        )
        return (
            torch.randn([shape[i] for i in order])
            .double()
            .permute(*np.argsort(list(order)).tolist())
        )

    theirs, ours = pair(shape)
    for x, v in ((strided, "plain"), ("plain", strided), (strided, strided)):
        x, v = (torch.randn(shape).double() if s == "plain" else make(s) for s in (x, v))
        assert x.shape == v.shape == shape
        close(results(ours, x, v), results(theirs, x, v))


# derivatives of every order


@FORWARD_MODE
@pytest.mark.parametrize("shape", [(4, 2), (2, 2, 3)], ids=str)
@pytest.mark.parametrize("have", ["", "weight", "bias", "weight bias"])
@pytest.mark.parametrize("training", [True, False])
def test_first_and_second_derivatives(shape, have, training, rng):
    x = torch.tensor(rng.normal(size=shape), requires_grad=True)
    there = {n: torch.tensor(rng.normal(size=2), requires_grad=True) for n in have.split()}
    stats = (None, None) if training else torch.tensor(rng.uniform(0.5, 2, size=(2, 2)))

    def f(x, *values):
        given = dict(zip(there, values, strict=True))
        return nn.batch_norm(x, *stats, **given, training=training, eps=1e-2)

    inputs = (x, *there.values())
    assert torch.autograd.gradcheck(f, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, inputs)


TRANSFORMS = {
    "vmap over batches": lambda f, x, w, b: torch.func.vmap(f, (0, None, None))(x, w, b),
    "vmap over the last axis": lambda f, x, w, b: torch.func.vmap(f, (3, 0, None), 1)(
        x.movedim(0, 3), torch.stack([w, b]), b
    ),
    "vmap over beta": lambda f, x, w, b: torch.func.vmap(f, (None, None, 0))(
        x[0], w, torch.stack([w, b])
    ),
    "vmap twice": lambda f, x, w, b: torch.func.vmap(
        torch.func.vmap(f, (0, None, None)), (None, 0, 0)
    )(x, torch.stack([w, b]), torch.stack([b, w])),
    "gradient per batch": lambda f, x, w, b: torch.func.vmap(
        torch.func.grad(lambda x, w: f(x, w, b).pow(3).sum(), argnums=(0, 1)), (0, None)
    )(x, w),
    "jacrev": lambda f, x, w, b: torch.func.jacrev(f, (0, 1, 2))(x[0], w, b),
    "jacfwd": lambda f, x, w, b: torch.func.jacfwd(f, (0, 1, 2))(x[0], w, b),
    "hessian": lambda f, x, w, b: torch.func.hessian(lambda x: f(x, w, b).pow(3).sum())(x[0]),
}


@FORWARD_MODE
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_transforms_of_torch_func_work(name, rng):
    x = torch.tensor(rng.normal(size=(2, 4, 3, 2)))
    w, b = torch.tensor(rng.normal(size=(2, 3)))
    got, want = (
        TRANSFORMS[name](
            lambda x, w, b, f=f: f(x, None, None, w, b, training=True, eps=1e-3), x, w, b
        )
        for f in (nn.batch_norm, fused)
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


@pytest.mark.parametrize(
    ("shape", "most"), [((64, 32), (12, 13)), ((8, 32, 5, 5), (16, 18))], ids=str
)
def test_the_operations_are_few_and_none_is_a_variance(shape, most):
    _, norm = pair(shape, torch.float32)
    x, v = torch.randn(2, *shape)
    x.requires_grad_()
    with Counter() as forward:
        y = norm(x)
    with Counter() as backward:
        torch.autograd.grad(y, (x, norm.weight, norm.bias), v)
    assert 8 <= len(forward.names) <= most[0], forward.names
    assert 9 <= len(backward.names) <= most[1], backward.names
    assert not [n for n in forward.names + backward.names if "var" in n or "std" in n]


def test_only_the_input_is_kept_for_the_backward():
    kept = []

    def pack(t):
        kept.append(t.numel())
        return t

    x = torch.randn(8, 32, 5, 5, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        nn.BatchNorm2d(32)(x)
    assert x.numel() <= sum(kept) <= x.numel() + 3 * 32, kept


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 5)], ids=str)
def test_it_compiles_in_one_graph(shape, request):
    if request.config.getoption("--jaxtyping-packages", None):
        pytest.skip("the compiler does not look into checks of types")
    theirs, ours = pair(shape)
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    x, v = torch.randn(2, *shape, dtype=torch.float64)
    close(results(compiled, x, v), results(theirs, x, v))
    close(list(ours.buffers()), list(theirs.buffers()))


# the experiments are right, and able to see a difference


def test_the_noise_of_a_batch_is_seen():
    assert claims.spread(1, 0, 5) == 0
    assert claims.spread(64, 0, 10) < claims.spread(4, 0, 10) < 1


def test_the_networks_of_the_experiment_differ_in_the_normalization_only():
    with_bn, without = (
        [type(m).__name__ for m in claims.network(n, depth=2)] for n in (True, False)
    )
    assert [n for n in with_bn if n != "BatchNorm1d"] == without
    assert with_bn[:3] == ["Linear", "BatchNorm1d", "ReLU"]


# what is refused

X = np.ones((2, 3))
T = torch.ones(2, 3)
REFUSED = [
    (lambda: scratch.bn_s(X), r"bn_s: channel \(0,\) of x is constant.*eps > 0"),
    (lambda: scratch.bn_s(np.array([[1.0, 2.0], [2.0, 2.0]])), r"channel \(1,\) of x"),
    (lambda: scratch.bn_s(np.full((3, 1), 0.1)), r"channel \(0,\) of x"),
    (lambda: scratch.bn_s(X, -1.0), r"bn_s: eps=-1.0 lies outside \[0, inf\)"),
    (lambda: scratch.bn_s(X[0], 1.0), r"bn_s: x of shape \(3,\) has 1 axes; give \(n, c, \*s\)"),
    (lambda: scratch.bn_s(X[:0], 1.0), r"more than 0 value per channel.*got 0 in x"),
    (lambda: scratch.bn_s_vjp(X[:1], X), r"bn_s_vjp: v has shape \(1, 3\) where \(2, 3\)"),
    (lambda: scratch.batch_norm(X, np.ones(2)), r"batch_norm: gamma has shape \(2,\) where \(3,\)"),
    (lambda: scratch.batch_norm(X, None, np.ones(2)), r"beta has shape \(2,\) where \(3,\)"),
    (lambda: scratch.batch_norm(X[:1]), r"more than 1 value per channel when training, got 1 in x"),
    (lambda: scratch.batch_norm_vjp(X[:1], X[:1]), "more than 1 value per channel"),
    (lambda: nn.BatchNorm1d(3)(T[:1]), "BatchNorm1d: expected more than 1 value per channel"),
    (lambda: nn.BatchNorm2d(3)(torch.ones(1, 3, 1, 1)), "BatchNorm2d: expected more than 1 value"),
    (lambda: nn.BatchNorm1d(3, track_running_stats=False).eval()(T[:1]), "more than 1 value"),
    (lambda: nn.BatchNorm1d(3)(T[0]), r"expected 2D or 3D input \(got 1D input\)"),
    (lambda: nn.BatchNorm2d(3)(T), r"BatchNorm2d: expected 4D input \(got 2D input\)"),
    (lambda: nn.BatchNorm1d(4)(T), r"axis 1 of input has shape \(3,\) where \(4,\) is wanted"),
    (lambda: nn.BatchNorm1d(0), "BatchNorm1d: num_features=0 is too small"),
    (lambda: nn.BatchNorm1d(3, momentum=1.5), r"momentum=1.5 lies outside \[0, 1\]"),
    (lambda: nn.BatchNorm1d(3, eps=-1.0), r"BatchNorm1d: eps=-1.0 lies outside"),
    (lambda: nn.BatchNorm1d(3, eps=0.0)(T), r"eps=0.0 lies outside \(0, inf\)"),
    (lambda: nn.batch_norm(T, None, None), "got neither of running_mean and running_var; give bot"),
    (lambda: nn.batch_norm(T, T[0], None, training=True), "got running_mean of running_mean and"),
    (lambda: nn.batch_norm(T, T[0, :2], T[0]), r"running_mean has shape \(2,\) where \(3,\)"),
    (lambda: nn.batch_norm(T, T[0], T[0], T[0, :1]), r"weight has shape \(1,\) where \(3,\)"),
    (lambda: nn.batch_norm(T[:1], None, None, training=True), "more than 1 value per channel"),
    (lambda: nn.batch_norm(T[0], None, None, training=True), "give .n, c, .s."),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_cannot_be_normalized_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.errors
def test_a_refused_batch_leaves_the_statistics_alone():
    norm = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="more than 1 value"):
        norm(T[:1])
    assert norm.num_batches_tracked == 0
    with pytest.raises(TypeError, match=r"batch_norm: input holds torch.int64"):
        norm(T.long())
    with pytest.raises(TypeError, match="bn_s: x holds int64"):
        scratch.bn_s(np.ones((2, 3), np.int64))
