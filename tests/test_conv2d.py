"""Convolution of pictures: both forms against torch and central differences, and their laws."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from nnbook import nn, scratch
from nnbook.claims import _conv2d_kernels as kernels
from nnbook.claims import conv2d as claims

fused = functional.conv2d
FORWARD_MODE = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
# kernels, pictures and options: every axis of another length, sizes 1 to 3, each option alone
CASES = [
    ((3, 2), (5, 7), 4, 6, {}),
    ((1, 1), (1, 1), 1, 1, {}),
    ((2, 3), (2, 3), 3, 2, {}),
    ((3, 1), (6, 5), 2, 3, {"stride": (2, 1)}),
    ((2, 2), (4, 3), 1, 2, {"padding": (1, 2)}),
    ((2, 3), (7, 9), 3, 2, {"dilation": (3, 2)}),
    ((3, 3), (5, 4), 4, 6, {"groups": 2, "padding": 1}),
    ((2, 3), (5, 6), 3, 6, {"groups": 3, "stride": (1, 3)}),
    ((3, 2), (9, 8), 4, 2, {"stride": (3, 2), "padding": (2, 0), "dilation": (2, 3), "groups": 2}),
    ((5, 4), (6, 7), 1, 3, {"stride": 2, "padding": 2}),
]


def arrays(rng, kernel, size, c, o, options, batch=(2,)):
    """Return x, weight and bias of a random scale, and a random cotangent."""
    scale = float(rng.uniform(0.5, 3))
    x = scale * rng.normal(size=(*batch, c, *size)) + 1
    weight = rng.normal(size=(o, c // options.get("groups", 1), *kernel))
    bias = rng.normal(size=o)
    y = scratch.conv2d(x, weight, bias, **options)
    return x, weight, bias, rng.normal(size=y.shape)


# the NumPy form


@pytest.mark.parametrize(("kernel", "size", "c", "o", "options"), CASES)
def test_values_and_gradients_are_those_of_torch(kernel, size, c, o, options, rng):
    x, weight, bias, v = arrays(rng, kernel, size, c, o, options)
    want, grads = torch_vjp(lambda x, w, b: fused(x, w, b, **options), (x, weight, bias), v)
    close(scratch.conv2d(x, weight, bias, **options), want)
    close(scratch.conv2d_loops(x[0], weight, bias, **options), want[0])
    close(scratch.conv2d_vjp(v, x, weight, bias, **options), grads)
    assert scratch.conv2d_vjp(v, x, weight, **options)[2] is None


@pytest.mark.parametrize("case", CASES[2:9:3])
def test_gradients_are_central_differences(case, rng):
    kernel, size, c, o, options = case
    x, weight, bias, v = arrays(rng, kernel, size, c, o, options, batch=(1,))

    def f(*arguments):
        return scratch.conv2d(*arguments, **options)

    got = scratch.conv2d_vjp(v, x, weight, bias, **options)
    close(got, numeric_vjp(f, (x, weight, bias), v), 1e-6, 1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 2), (6, 7)])
@pytest.mark.parametrize("sides", [(1, 1), (3, 1), (3, 5)])
def test_one_channel_in_all_its_forms(shape, sides, rng):
    z, v = rng.normal(size=(2, 3, *shape))
    w = rng.normal(size=sides)
    pad = (sides[0] // 2, sides[1] // 2)

    def f(z, w):
        return fused(z[:, None], w[None, None], padding=pad)[:, 0]

    want, grads = torch_vjp(f, (z, w), v)
    close(scratch.conv2d_s(z, w), want)
    close(scratch.conv2d_s_loops(z[1], w), want[1])
    close(scratch.conv2d_s_vjp(v, z, w), grads)
    Q = scratch.conv2d_matrix(w, shape)
    close(z.reshape(3, -1) @ Q.T, want.reshape(3, -1))


@pytest.mark.parametrize(("kernel", "size", "c", "o", "options"), CASES)
def test_im2col_and_col2im_are_unfold_and_fold(kernel, size, c, o, options, rng):
    steps = {k: v for k, v in options.items() if k != "groups"}
    x = rng.normal(size=(2, c, *size))
    cols = scratch.im2col(x, kernel, **steps)
    close(cols, functional.unfold(torch.tensor(x), kernel, **steps))
    V = rng.normal(size=cols.shape)
    want = functional.fold(torch.tensor(V), size, kernel, **steps)
    close(scratch.col2im(V, size, kernel, **steps), want)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(("kernel", "size", "c", "o", "options"), CASES)
def test_the_transposed_convolution_is_that_of_torch(kernel, size, c, o, options, extra, rng):
    _, weight, _, v = arrays(rng, kernel, size, c, o, options)
    steps = options.get("stride", 1)
    more = tuple(min(extra, s - 1) for s in (steps if isinstance(steps, tuple) else (steps,) * 2))
    bias = rng.normal(size=c)
    tensors = [torch.tensor(t) for t in (v, weight, bias)]
    want = functional.conv_transpose2d(*tensors, output_padding=more, **options)
    got = scratch.conv_transpose2d(v, weight, bias, output_padding=more, **options)
    close(got, want)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    x, weight, bias, v = (a.astype(dtype) for a in arrays(rng, *CASES[6]))
    y = scratch.conv2d(x, weight, bias, padding=1, groups=2)
    grads = scratch.conv2d_vjp(v, x, weight, bias, padding=1, groups=2)
    assert {a.dtype for a in (y, *grads)} == {np.dtype(dtype)}
    exact = scratch.conv2d(*(a.astype(np.float64) for a in (x, weight, bias)), padding=1, groups=2)
    assert np.abs(y - exact).max() <= 2 * np.finfo(dtype).eps * np.abs(exact).max()
    z = x[0, 0]
    assert scratch.conv2d_s(z, weight[0, 0]).dtype == dtype
    assert scratch.conv2d_s_vjp(z, z, weight[0, 0])[1].dtype == dtype


def test_batch_axes_may_be_none_many_or_empty(rng):
    x, weight, bias, _ = arrays(rng, *CASES[0], batch=(2, 3))
    y = scratch.conv2d(x, weight, bias)
    close(scratch.conv2d(x[1, 2], weight, bias), y[1, 2])
    assert scratch.conv2d(x[:0], weight, bias).shape == (0, *y.shape[1:])
    grads = scratch.conv2d_vjp(y[:, :0], x[:, :0], weight, bias)
    assert grads[0].shape == (2, 0, *x.shape[2:])
    assert not grads[1].any()
    assert grads[1].shape == weight.shape


# the PyTorch form

MODES = ["zeros", "circular", "reflect", "replicate"]
OPTIONS = [
    {},
    {"stride": (2, 1), "padding": (1, 2)},
    {"padding": "same", "dilation": (1, 2)},
    {"padding": "valid", "bias": False},
    {"groups": 2, "dilation": 2, "padding": 1},
    {"groups": 4},
]
WARNING = "ignore:Using padding='same' with even kernel:UserWarning"


def pair(*sizes, dtype=torch.float64, **options):
    """Return torch's module and ours, with the same weights."""
    theirs = torch.nn.Conv2d(*sizes, dtype=dtype, **options)
    ours = nn.Conv2d(*sizes, dtype=dtype, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def run(module, x, v):
    """Return the output and the gradients of input and parameters."""
    x = x.clone().requires_grad_()
    y = module(x)
    return y, *torch.autograd.grad(y, (x, *module.parameters()), v)


@pytest.mark.filterwarnings(WARNING)
@pytest.mark.parametrize("batch", [(3,), (), (1,)], ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_module_agrees_with_torch(options, mode, batch):
    theirs, ours = pair(4, 8, (3, 2), padding_mode=mode, **options)
    x = 2 * torch.randn(*batch, 4, 7, 9, dtype=torch.float64) + 1
    v = torch.randn_like(theirs(x))
    close(run(ours, x, v), run(theirs, x, v))
    with torch.no_grad():
        close(ours(x), theirs(x))
    with nn.fused_convolution():
        close(run(ours, x, v), run(theirs, x, v))


@pytest.mark.parametrize(("kernel", "size", "c", "o", "options"), CASES)
def test_the_function_agrees_with_both(kernel, size, c, o, options, rng):
    x, weight, bias, v = arrays(rng, kernel, size, c, o, options)
    got = torch_vjp(lambda x, w, b: nn.conv2d(x, w, b, **options), (x, weight, bias), v)
    close(got[0], scratch.conv2d(x, weight, bias, **options))
    close(got[1], scratch.conv2d_vjp(v, x, weight, bias, **options))


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_smaller_dtypes_are_torchs_within_rounding(dtype, tol):
    theirs, ours = pair(3, 5, 3, dtype=dtype, padding=1)
    x, v = torch.randn(2, 3, 8, 7).to(dtype), torch.randn(2, 5, 8, 7).to(dtype)
    got = run(ours, x, v)
    assert {t.dtype for t in got} == {dtype}
    want = run(theirs.double(), x.double(), v.double())
    for g, w in zip(got, want, strict=True):
        close(g, w, tol, tol * float(w.detach().abs().max()))


def test_autocast_gives_the_dtypes_of_torch():
    theirs, ours = pair(3, 5, 3, dtype=torch.float32, padding=1)
    x, v = torch.randn(2, 3, 8, 7), torch.randn(2, 5, 8, 7)
    found = []
    for conv in (ours, theirs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = conv(x.requires_grad_())
        found.append([y, *torch.autograd.grad(y, (x, *conv.parameters()), v.to(y.dtype))])
    assert [t.dtype for t in found[0]] == [t.dtype for t in found[1]]
    close(found[0], found[1], 0.03, 0.3)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_the_memory_format_is_that_of_torch(mode, groups):
    theirs, ours = pair(4, 6, 3, padding=1, padding_mode=mode, groups=groups)
    x = torch.randn(2, 4, 5, 7, dtype=torch.float64)
    assert ours(x).is_contiguous()
    x = x.to(memory_format=torch.channels_last)
    y = ours(x)
    assert y.stride() == theirs(x).stride()
    assert y.is_contiguous(memory_format=torch.channels_last) or mode == "circular"
    close(y, theirs(x))


def test_nothing_kept_in_parts_and_empty_batches(monkeypatch):
    theirs, ours = pair(2, 3, 3, padding=1)
    x = torch.randn(7, 2, 5, 6, dtype=torch.float64)
    monkeypatch.setattr(sys.modules["nnbook.nn.conv2d"], "CACHE", 2 * 2 * 9 * 56 + 5)
    with torch.no_grad():
        close(ours(x), theirs(x))
        assert ours(x[:0]).shape == theirs(x[:0]).shape == (0, 3, 5, 6)
    y = ours(x[:0].requires_grad_())
    assert torch.autograd.grad(y, ours.weight, torch.zeros_like(y))[0].abs().max() == 0


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_constructor_state_and_repr_are_those_of_torch(options):
    torch.manual_seed(3)
    theirs = torch.nn.Conv2d(4, 8, (3, 2), **options)
    after = torch.rand(1)
    torch.manual_seed(3)
    ours = nn.Conv2d(4, 8, (3, 2), **options)
    assert torch.equal(torch.rand(1), after)
    assert repr(ours) == repr(theirs)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    close(list(state.values()), list(theirs.state_dict().values()), 1e-6, 1e-7)
    theirs.load_state_dict(state, strict=True)
    for name in ("stride", "padding", "dilation", "groups", "padding_mode", "kernel_size"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_device_dtype_copies_and_pickles():
    conv = nn.Conv2d(2, 3, 2, device="meta", dtype=torch.float16)
    assert {(p.device.type, p.dtype) for p in conv.parameters()} == {("meta", torch.float16)}
    _, conv = pair(2, 3, 2)
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64)
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert torch.equal(other(x), conv(x))


def test_every_parameter_learns():
    theirs, ours = pair(2, 3, 3, padding=1)
    x, target = torch.randn(4, 2, 5, 5), torch.randn(4, 3, 5, 5)
    before = [p.clone() for p in ours.parameters()]
    for conv in (theirs, ours):
        optimizer = torch.optim.SGD(conv.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            functional.mse_loss(conv(x.double()), target.double()).backward()
            optimizer.step()
    close(list(ours.parameters()), list(theirs.parameters()))
    assert all((p != b).all() for p, b in zip(ours.parameters(), before, strict=True))


@FORWARD_MODE
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2}], ids=str
)
def test_first_and_second_derivatives(options, channels):
    x = torch.randn(1, channels, 4, 5, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, channels, 2, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def f(x, w, b):
        return nn.conv2d(x, w, b, **options)

    checks = {"check_forward_ad": True, "check_batched_grad": True}
    assert torch.autograd.gradcheck(f, (x, w, b), **checks)
    assert torch.autograd.gradgradcheck(f, (x, w, b))
    assert torch.autograd.gradcheck(lambda x, w: f(x, w, None), (x, w))


TRANSFORMS = {
    "vmap over samples": lambda f, x, w: torch.func.vmap(f, (0, None))(x, w),
    "vmap over weights": lambda f, x, w: torch.func.vmap(f, (None, 0))(x, torch.stack([w, 2 * w])),
    "gradient per sample": lambda f, x, w: torch.func.vmap(
        torch.func.grad(lambda x, w: f(x, w).pow(3).sum(), argnums=(0, 1)), (0, None)
    )(x, w),
    "jacrev": lambda f, x, w: torch.func.jacrev(f, (0, 1))(x, w),
    "jacfwd": lambda f, x, w: torch.func.jacfwd(f, (0, 1))(x, w),
    "hessian": lambda f, x, w: torch.func.hessian(lambda w: f(x, w).pow(3).sum())(w),
}


@FORWARD_MODE
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_transforms_of_torch_func_work(name):
    x = torch.randn(3, 2, 4, 3, dtype=torch.float64)
    w = torch.randn(2, 2, 2, 2, dtype=torch.float64)
    got, want = (TRANSFORMS[name](lambda x, w, f=f: f(x, w), x, w) for f in (nn.conv2d, fused))
    close(got, want)


def test_a_second_derivative_agrees_with_torch():
    x, w = torch.randn(2, 2, 5, 4).double(), torch.randn(3, 2, 3, 2).double()
    found = []
    for f in (nn.conv2d, fused):
        leaves = [t.clone().requires_grad_() for t in (x, w)]
        y = f(*leaves, padding=1)
        first = torch.autograd.grad((y**2).sin().sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum((g**3).sum() for g in first), leaves))
    close(found[0], found[1])


# what the claims rest on


def test_the_sum_of_the_source_is_read_as_it_is_printed():
    z = np.arange(9.0).reshape(3, 3)
    w = claims.centre(3)
    np.testing.assert_array_equal(claims.source_sum(z, w), [[4, 5, 0], [7, 8, 0], [0, 0, 0]])


def test_a_separation_has_as_many_parts_as_the_rank():
    assert [len(kernels.separate(np.ones((3, 5)))), len(kernels.separate(np.eye(3)))] == [1, 3]
    assert kernels.separate(np.zeros((3, 3))) == []


@pytest.mark.parametrize(
    ("layers", "side"),
    [([(3, 1, 1), (3, 1, 1)], 5), ([(5, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1)], 16)],
)
def test_receptive_fields_are_those_of_torch(layers, side):
    x = torch.zeros(1, 1, 40, 40, dtype=torch.float64, requires_grad=True)
    y = x
    for k, s, d in layers:
        y = fused(y, torch.ones(1, 1, k, k, dtype=torch.float64), stride=s, dilation=d)
    (grad,) = torch.autograd.grad(y[0, 0, 2, 3], x)
    rows, columns = np.nonzero(grad[0, 0].numpy())
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (side, side)
    assert kernels.field(layers) == side


# what is refused

X, W = np.ones((2, 5, 6)), np.ones((3, 2, 2, 3))
REFUSED = [
    (lambda: scratch.conv2d_s(X[0], np.ones((2, 3))), r"conv2d_s: w of shape \(2, 3\) .* even"),
    (lambda: scratch.conv2d_s_loops(X[0], np.ones(3)), "conv2d_s_loops: w of shape .* 1 axes"),
    (lambda: scratch.conv2d_matrix(np.ones((1, 4)), (2, 2)), "conv2d_matrix: w of shape"),
    (lambda: scratch.conv2d_s_vjp(X[0, :1], X[0], np.ones((1, 1))), r"v has shape \(1, 6\)"),
    (lambda: scratch.conv2d(X[:1], W), "conv2d: the input has 1 channels where .* takes 2"),
    (lambda: scratch.conv2d(X, W, groups=2), "groups=2 takes 4"),
    (lambda: scratch.conv2d(X, W[:, :1], groups=2), "3 outputs cannot be split into groups=2"),
    (lambda: scratch.conv2d(X, W[0]), r"weight of shape \(2, 2, 3\) has 3 axes; give 4"),
    (lambda: scratch.conv2d(X, W, np.ones(2)), r"conv2d: b of shape \(2,\) must have shape \(3,\)"),
    (lambda: scratch.conv2d(X, W, dilation=5), r"reaches over \(6, 11\) .* \(5, 6\)"),
    (lambda: scratch.conv2d(X, W, stride=0), "conv2d: stride=0 is too small"),
    (lambda: scratch.conv2d(X, W, padding=-1), "conv2d: padding=-1 is too small"),
    (lambda: scratch.conv2d_vjp(X, X, W), r"conv2d_vjp: v has shape \(2, 5, 6\) where \(3, 4, 4\)"),
    (lambda: scratch.im2col(X, 7), "im2col: a window that reaches over"),
    (lambda: scratch.col2im(np.ones((3, 4)), (3, 3), 2), "col2im: columns has shape"),
    (lambda: scratch.conv_transpose2d(X, W), "conv_transpose2d: v has shape"),
    (
        lambda: scratch.conv_transpose2d(np.ones((3, 2, 2)), W, output_padding=1),
        "stride less output_padding=0 is too small",
    ),
    (lambda: nn.Conv2d(0, 2, 3), "Conv2d: in_channels=0 is too small"),
    (lambda: nn.Conv2d(4, 6, 3, groups=4), r"Conv2d: out_channels=6 .* groups=4"),
    (lambda: nn.Conv2d(1, 2, 3, padding="same", stride=2), "Conv2d: padding='same'"),
    (lambda: nn.Conv2d(1, 2, 3, padding="full"), "Conv2d: padding='full' is not known"),
    (lambda: nn.Conv2d(1, 2, 3, padding_mode="wrap"), "padding_mode='wrap' is not known"),
    (lambda: nn.Conv2d(2, 3, 3)(torch.ones(1, 3, 5, 5)), r"Conv2d: input of shape \(1, 3, 5, 5\)"),
    (lambda: nn.Conv2d(2, 3, 3)(torch.ones(2, 2, 5)), "Conv2d: the kernel spans|Conv2d: input of"),
    (lambda: nn.conv2d(torch.ones(1, 4, 4), torch.ones(2, 1, 3)), "conv2d: weight of shape"),
    (lambda: nn.conv2d(torch.ones(1, 2, 2), torch.ones(1, 1, 3, 3)), "conv2d: the kernel spans"),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_cannot_be_convolved_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.errors
def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match=r"conv2d: input holds torch.int64"):
        nn.conv2d(torch.ones(1, 3, 3, dtype=torch.int64), torch.ones(1, 1, 2, 2))
    with pytest.raises(TypeError, match="Conv2d: kernel_size"):
        nn.Conv2d(1, 2, 2.5)


# costs, as counts: a clock would measure the machine


class Counter(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_there_are_three_products_and_the_rows_are_made_once():
    conv = nn.Conv2d(6, 16, 5)
    x, v = torch.randn(8, 6, 14, 14, requires_grad=True), torch.randn(8, 16, 10, 10)
    with Counter() as forward:
        y = conv(x)
    with Counter() as backward:
        torch.autograd.grad(y, (x, *conv.parameters()), v)

    def count(names, word):
        return sum(word in name for name in names)

    assert count(forward.names, "bmm") + count(forward.names, "aten.mm") == 1, forward.names
    assert count(backward.names, "bmm") + count(backward.names, "aten.mm") == 2, backward.names
    assert count(forward.names, "unfold") == 2
    assert count(backward.names, "unfold") == 0
    assert count(backward.names, "add_") == 25


def test_inside_the_switch_one_kernel_runs():
    conv, x = nn.Conv2d(6, 16, 5), torch.randn(8, 6, 14, 14)
    with nn.fused_convolution(), Counter() as forward:
        conv(x)
    assert sum("convolution" in name for name in forward.names) == 1
    assert not [name for name in forward.names if "mm" in name]
    with Counter() as forward:
        conv(x)
    assert not [name for name in forward.names if "convolution" in name]
