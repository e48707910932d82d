"""Pooling: both forms against torch and central differences; ties, padding, flattening."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp
from torch.nn import functional

from nnbook import nn, scratch

FORWARD_MODE = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
CASES = [  # kernel, options, size
    (2, {}, (5, 7)),
    ((1, 1), {}, (1, 1)),
    ((3, 2), {}, (3, 2)),
    (3, {"stride": 1}, (4, 6)),
    (3, {"stride": 2, "padding": 1}, (6, 7)),
    ((2, 4), {"stride": (3, 1), "padding": (1, 2)}, (5, 3)),
]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(("kernel", "options", "size"), CASES)
def test_max_pooling_is_that_of_torch(kernel, options, size, ties, rng):
    x = rng.normal(size=(2, 3, *size))
    x = np.round(x) if ties else x
    v = rng.normal(size=scratch.max_pool2d(x, kernel, **options).shape)
    want, (grad,) = torch_vjp(lambda x: functional.max_pool2d(x, kernel, **options), (x,), v)
    close(scratch.max_pool2d(x, kernel, **options), want)
    close(scratch.max_pool2d_vjp(v, x, kernel, **options), grad)
    got, (ours,) = torch_vjp(lambda x: nn.max_pool2d(x, kernel, **options), (x,), v)
    close((got, ours), (want, grad))


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize(("kernel", "options", "size"), CASES)
def test_average_pooling_is_that_of_torch(kernel, options, size, include, rng):
    x, options = rng.normal(size=(2, 3, *size)), options | {"count_include_pad": include}
    v = rng.normal(size=scratch.avg_pool2d(x, kernel, **options).shape)
    want, (grad,) = torch_vjp(lambda x: functional.avg_pool2d(x, kernel, **options), (x,), v)
    close(scratch.avg_pool2d(x, kernel, **options), want)
    close(scratch.avg_pool2d_vjp(v, x, kernel, **options), grad)
    got, (ours,) = torch_vjp(lambda x: nn.avg_pool2d(x, kernel, **options), (x,), v)
    close((got, ours), (want, grad))


@pytest.mark.parametrize("size", [1, (2, 3), (5, 4), (7, 11)], ids=str)
def test_adaptive_pooling_is_that_of_torch(size, rng):
    x = rng.normal(size=(2, 3, 5, 7))
    v = rng.normal(size=scratch.adaptive_avg_pool2d(x, size).shape)
    want, (grad,) = torch_vjp(lambda x: functional.adaptive_avg_pool2d(x, size), (x,), v)
    close(scratch.adaptive_avg_pool2d(x, size), want)
    close(scratch.adaptive_avg_pool2d_vjp(v, x, size), grad)
    close(torch_vjp(lambda x: nn.adaptive_avg_pool2d(x, size), (x,), v), (want, (grad,)))


def test_gradients_are_central_differences(rng):
    x = rng.permutation(84).reshape(2, 6, 7).astype(float)  # no ties
    for f, vjp in (
        (scratch.max_pool2d, scratch.max_pool2d_vjp),
        (scratch.avg_pool2d, scratch.avg_pool2d_vjp),
    ):
        v = rng.normal(size=f(x, 3, stride=2, padding=1).shape)
        want = numeric_vjp(lambda x, f=f: f(x, 3, stride=2, padding=1), (x,), v)
        close(vjp(v, x, 3, stride=2, padding=1), want[0], 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_dtype_is_kept_and_batches_may_be_empty(dtype, rng):
    x = rng.normal(size=(4, 6)).astype(dtype)
    for y in (
        scratch.max_pool2d(x, 2),
        scratch.avg_pool2d(x, 2),
        scratch.adaptive_avg_pool2d(x, (2, 3)),
        scratch.max_pool2d_vjp(x[:2, :3], x, 2),
        scratch.avg_pool2d_vjp(x[:2, :3], x, 2),
        scratch.adaptive_avg_pool2d_vjp(x[:2, :3], x, (2, 3)),
    ):
        assert y.dtype == dtype
    assert scratch.max_pool2d(np.ones((0, 3, 4, 4)), 2).shape == (0, 3, 2, 2)
    assert nn.MaxPool2d(2)(torch.ones(0, 3, 4, 4)).shape == (0, 3, 2, 2)


MODULES = [
    ("MaxPool2d", {"kernel_size": 2}),
    ("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("MaxPool2d", {"kernel_size": (2, 3), "stride": 1, "dilation": (2, 1)}),
    ("MaxPool2d", {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}),
    ("AvgPool2d", {"kernel_size": (3, 2), "stride": 2}),
    ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (
        "AvgPool2d",
        {
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "ceil_mode": True,
            "count_include_pad": False,
        },
    ),
    ("AvgPool2d", {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True}),
    ("AvgPool2d", {"kernel_size": 2, "divisor_override": 3}),
    ("AdaptiveAvgPool2d", {"output_size": 1}),
    ("AdaptiveAvgPool2d", {"output_size": (None, 3)}),
    ("Flatten", {}),
    ("Flatten", {"start_dim": -2, "end_dim": 2}),
]


@pytest.mark.parametrize("batch", [(2,), ()], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("name", "options"), MODULES, ids=str)
def test_the_modules_agree_with_torch(name, options, dtype, batch):
    theirs, ours = (getattr(home, name)(**options) for home in (torch.nn, nn))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == []
    x = torch.randn(*batch, 3, 8, 9).to(dtype).requires_grad_()
    if name == "Flatten" and options and not batch:
        pytest.skip("three axes have no axis -2 before axis 2")
    want, got = theirs(x), ours(x)
    assert got.dtype == want.dtype
    v = torch.randn_like(want)
    tol = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 0.02}[dtype]
    close(got, want, tol, tol)
    close(*(torch.autograd.grad(y, x, v)[0] for y in (got, want)), tol, tol)
    other = pickle.loads(pickle.dumps(copy.deepcopy(ours)))
    assert torch.equal(other(x), got)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 1, "padding": 1}, {"stride": 3, "dilation": 2, "ceil_mode": True}]
)
def test_indices_are_those_of_torch(options):
    x = torch.randint(0, 4, (2, 3, 9, 8)).double()  # many ties
    got = nn.MaxPool2d(3, return_indices=True, **options)(x)
    want = torch.nn.MaxPool2d(3, return_indices=True, **options)(x)
    assert all(torch.equal(g, w) for g, w in zip(got, want, strict=True))


def test_infinities_and_nan_pass_as_in_torch():
    x = torch.randn(1, 1, 4, 6)
    x[0, 0, 0, 0], x[0, 0, 2, 3], x[0, 0, 3, 5] = -torch.inf, torch.nan, torch.inf
    for ours, theirs in (
        (nn.MaxPool2d(2), torch.nn.MaxPool2d(2)),
        (nn.AvgPool2d(2), torch.nn.AvgPool2d(2)),
        (nn.AdaptiveAvgPool2d((2, 3)), torch.nn.AdaptiveAvgPool2d((2, 3))),
    ):
        torch.testing.assert_close(ours(x), theirs(x), equal_nan=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 1, "padding": 1}, {"stride": 2, "padding": 1, "ceil_mode": True}],
    ids=str,
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("share", [0.2, 0.8, 1.0])
def test_gradients_and_indices_at_infinities_and_nan_are_those_of_torch(options, value, share):
    x = torch.randint(0, 3, (2, 3, 7, 8)).double()
    x[torch.rand(x.shape) < share] = value
    want, index = functional.max_pool2d(x, 3, return_indices=True, **options)
    v = torch.randn_like(want)
    x.requires_grad_()
    (grad,) = torch.autograd.grad(functional.max_pool2d(x, 3, **options), x, v)
    assert torch.equal(nn.max_pool2d(x, 3, return_indices=True, **options)[1], index)
    (got,) = torch.autograd.grad(nn.max_pool2d(x, 3, **options), x, v)
    close(got, grad)
    weighed = torch.func.grad(lambda x, v: (nn.max_pool2d(x, 3, **options) * v).sum())
    close(torch.func.vmap(weighed)(x.detach(), v), grad)
    if "ceil_mode" not in options:
        close(scratch.max_pool2d_vjp(v.numpy(), x.detach().numpy(), 3, **options), grad)


def test_channels_last_is_kept():
    x = torch.randn(2, 3, 6, 8).to(memory_format=torch.channels_last)
    for module in (nn.MaxPool2d(2), nn.AvgPool2d(2)):
        assert module(x).is_contiguous(memory_format=torch.channels_last)
        assert module(x.contiguous()).is_contiguous()


@FORWARD_MODE
@pytest.mark.parametrize(
    "f",
    [
        lambda x: nn.max_pool2d(x, 2, 1),
        lambda x: nn.max_pool2d(x, 3, 2, 1, ceil_mode=True),
        lambda x: nn.avg_pool2d(x, 2, 1, 1),
        lambda x: nn.adaptive_avg_pool2d(x, (3, 2)),
    ],
)
def test_derivatives_and_transforms(f):
    x = torch.randperm(2 * 20).double().reshape(2, 1, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(f, x, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, x)
    per_sample = torch.func.vmap(torch.func.grad(lambda x: f(x).pow(2).sum()))(x.detach())
    (want,) = torch.autograd.grad(f(x).pow(2).sum(), x)
    close(per_sample, want)


X, T = np.ones((4, 5)), torch.ones(1, 4, 5)
REFUSED = [
    (lambda: scratch.max_pool2d(X, 6), r"max_pool2d: a window that reaches over \(6, 6\)"),
    (lambda: scratch.max_pool2d(X, 2, padding=2), r"padding=\(2, 2\) is more than half"),
    (lambda: scratch.avg_pool2d(X, 0), "avg_pool2d: kernel=0 is too small"),
    (lambda: scratch.avg_pool2d(X, 2, stride=0), "avg_pool2d: stride=0 is too small"),
    (lambda: scratch.max_pool2d_vjp(X, X, 2), r"max_pool2d_vjp: v has shape \(4, 5\)"),
    (lambda: scratch.avg_pool2d_vjp(X, X, 2), r"avg_pool2d_vjp: v has shape \(4, 5\)"),
    (lambda: scratch.adaptive_avg_pool2d(X, 0), "adaptive_avg_pool2d: size=0 is too small"),
    (lambda: scratch.adaptive_avg_pool2d_vjp(X, X, 2), "adaptive_avg_pool2d_vjp: v has shape"),
    (lambda: scratch.adaptive_bins(0, 1), "adaptive_bins: length=0 is too small"),
    (lambda: nn.MaxPool2d(2)(T[0]), r"max_pool2d: input of shape \(4, 5\) is no picture"),
    (lambda: nn.MaxPool2d(7)(T), "max_pool2d: a window that reaches over"),
    (lambda: nn.AvgPool2d(2, padding=2)(T), "avg_pool2d: padding="),
    (lambda: nn.AvgPool2d(2, divisor_override=0)(T), "divisor_override=0 is too small"),
    (lambda: nn.AdaptiveAvgPool2d(0)(T), "adaptive_avg_pool2d: output_size=0 is too small"),
    (lambda: nn.AdaptiveAvgPool2d(1)(torch.ones(1, 0, 3)), "at least one row and one column"),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_cannot_be_pooled_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()


@pytest.mark.errors
def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match=r"max_pool2d: input holds torch.int64"):
        nn.MaxPool2d(2)(torch.ones(1, 4, 4, dtype=torch.int64))
