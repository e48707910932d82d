"""Losses of regression: parity with torch, gradients, dtypes, drop-in modules, error texts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch

F = torch.nn.functional
# torch itself calls what it deprecates when it sets up the forward mode
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
# name, torch's function, the NumPy form with its vjp, our function, options
KINDS = {
    "mse": (F.mse_loss, scratch.mse, scratch.mse_vjp, nn.mse_loss, {}),
    "l1": (F.l1_loss, scratch.l1, scratch.l1_vjp, nn.l1_loss, {}),
    "huber": (F.huber_loss, scratch.huber, scratch.huber_vjp, nn.huber_loss, {"delta": 0.7}),
    "smooth": (
        F.smooth_l1_loss,
        scratch.smooth_l1,
        scratch.smooth_l1_vjp,
        nn.smooth_l1_loss,
        {"beta": 0.4},
    ),
    "smooth0": (
        F.smooth_l1_loss,
        scratch.smooth_l1,
        scratch.smooth_l1_vjp,
        nn.smooth_l1_loss,
        {"beta": 0.0},
    ),
}
SHAPES = [(1,), (2,), (3, 4), (2, 3, 5)]
REDUCTIONS = ["none", "mean", "sum"]


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kind(request):
    return request.param


def draw(rng, shape, reduction, scale=2.0):
    x, y = scale * rng.normal(size=(2, *shape))
    v = rng.normal(size=shape if reduction == "none" else ())
    return x, y, v


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("scale", [1e-3, 2.0, 1e4])
def test_both_forms_agree_with_torch(kind, shape, reduction, scale, rng):
    theirs, f, vjp, ours, options = kind
    x, y, v = draw(rng, shape, reduction, scale)
    want, grads = torch_vjp(lambda x, y: theirs(x, y, reduction=reduction, **options), (x, y), v)
    close(f(x, y, reduction=reduction, **options), want)
    close(vjp(v, x, y, reduction=reduction, **options), grads)
    got, pulled = torch_vjp(lambda x, y: ours(x, y, reduction=reduction, **options), (x, y), v)
    close(got, want)
    close(pulled, grads)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_vjps_agree_with_central_differences(kind, reduction, rng):
    _, f, vjp, _, options = kind
    x, y, v = draw(rng, (4, 3), reduction)
    want = numeric_vjp(lambda x, y: f(x, y, reduction=reduction, **options), (x, y), v)
    close(vjp(v, x, y, reduction=reduction, **options), want, 1e-6, 1e-6)


def test_at_the_kinks_the_slopes_are_those_of_torch(kind):
    theirs, _f, vjp, ours, options = kind
    edge = next(iter(options.values()), 1.0)
    x, y = np.array([0.0, edge, -edge, 2.0]), np.zeros(4)
    v = np.array([1.0, 2.0, 3.0, 4.0])
    _, grads = torch_vjp(lambda x, y: theirs(x, y, reduction="none", **options), (x, y), v)
    close(vjp(v, x, y, reduction="none", **options), grads)
    close(torch_vjp(lambda x, y: ours(x, y, reduction="none", **options), (x, y), v)[1], grads)


@given(st.floats(-50, 50), st.floats(0.01, 5))
def test_hubers_slope_is_the_clipped_error(e, delta):
    x, y = np.array([e]), np.zeros(1)
    close(scratch.huber_vjp(np.ones(1), x, y, delta, "none")[0], np.clip(x, -delta, delta))
    smooth = scratch.smooth_l1(x, y, delta, "none")
    close(smooth * delta, scratch.huber(x, y, delta, "none"), 1e-9, 1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept_and_float16_is_computed_in_float32(kind, dtype, rng):
    _, f, vjp, ours, options = kind
    x, y = (5 * rng.normal(size=(2, 5, 3))).astype(dtype)
    for reduction in REDUCTIONS:
        v = np.ones(x.shape if reduction == "none" else (), dtype)
        got = [f(x, y, reduction=reduction, **options)]
        got += vjp(v, x, y, reduction=reduction, **options)
        got += [ours(torch.tensor(x), torch.tensor(y), reduction=reduction, **options).numpy()]
        assert {a.dtype for a in got} == {np.dtype(dtype)}
    exact = f(x.astype(np.float64), y.astype(np.float64), **options)
    for mean in (f(x, y, **options), ours(torch.tensor(x), torch.tensor(y), **options)):
        close(mean, np.asarray(exact), 4 * float(np.finfo(dtype).eps), 0)


def test_a_sum_of_float16_may_be_larger_than_float16(kind):
    _, f, _, ours, options = kind
    x, y = np.full((2, 5000), [[20.0], [0.0]], np.float16)
    want = f(x.astype(np.float64), y.astype(np.float64), **options)
    for got in (f(x, y, **options), ours(torch.tensor(x), torch.tensor(y), **options)):
        close(got, want.astype(np.float16))


def test_bfloat16_is_rounded_once(kind):
    theirs, _, _, ours, options = kind
    x, y = torch.randn(2, 300).bfloat16()
    for reduction in REDUCTIONS:
        want = theirs(x.float(), y.float(), reduction=reduction, **options).bfloat16()
        assert torch.equal(ours(x, y, reduction=reduction, **options), want)


def test_an_empty_batch(kind):
    _, f, vjp, ours, options = kind
    x = np.zeros((0, 3))
    assert f(x, x, reduction="sum", **options) == 0
    assert f(x, x, reduction="none", **options).shape == (0, 3)
    assert vjp(np.ones(()), x, x, reduction="mean", **options)[0].shape == (0, 3)
    with pytest.raises(ValueError, match="no number to take the mean of"):
        f(x, x, **options)
    assert ours(torch.tensor(x), torch.tensor(x), **options).isnan()


@FORWARD_MODE
def test_second_derivatives_and_torch_func(kind):
    _, _, _, ours, options = kind
    x, y = torch.randn(2, 4, dtype=torch.float64).unbind()
    x = (3 * x).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ours(x, y, reduction="none", **options), x)
    assert torch.autograd.gradgradcheck(lambda x: ours(x, y, reduction="none", **options), x)
    rows = torch.func.vmap(torch.func.grad(lambda a, b: ours(a, b, reduction="sum", **options)))(
        x, y
    )
    (want,) = torch.autograd.grad(ours(x, y, reduction="sum", **options), x)
    close(rows, want)
    _, pushed = torch.func.jvp(lambda x: ours(x, y, **options), (x.detach(),), (y,))
    close(pushed, want.detach() @ y / 4)


MODULES = [
    ("MSELoss", {}),
    ("MSELoss", {"reduction": "sum"}),
    ("L1Loss", {}),
    ("L1Loss", {"reduction": "none"}),
    ("HuberLoss", {}),
    ("HuberLoss", {"reduction": "sum", "delta": 0.3}),
    ("SmoothL1Loss", {}),
    ("SmoothL1Loss", {"beta": 0.0}),
    ("SmoothL1Loss", {"beta": 0.3, "reduction": "none"}),
]


@pytest.mark.parametrize(("name", "options"), MODULES)
def test_a_module_takes_the_place_of_torchs(name, options):
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    x, y = torch.randn(2, 6, 5, dtype=torch.float64)
    close(ours(x, y), theirs(x, y))
    close(pickle.loads(pickle.dumps(ours))(x, y), theirs(x, y))
    assert repr(ours) == repr(theirs)
    assert ours.state_dict() == theirs.state_dict() == {}
    assert ours.reduction == theirs.reduction


def test_the_arguments_stand_in_torchs_order():
    assert nn.SmoothL1Loss(None, None, "sum", 0.5).beta == 0.5
    assert nn.HuberLoss("sum", 0.5).delta == 0.5
    assert nn.MSELoss(None, None, "none").reduction == "none"


# errors


@pytest.mark.errors
def test_nothing_is_broadcast(kind):
    _, f, vjp, ours, _ = kind
    x, y = np.zeros((4, 1)), np.zeros(4)
    for call in (
        lambda: f(x, y),
        lambda: vjp(np.ones(()), x, y),
        lambda: ours(torch.tensor(x), torch.tensor(y)),
    ):
        with pytest.raises(ValueError, match=r"has shape \(4,\) where \(4, 1\) is wanted"):
            call()


@pytest.mark.errors
def test_what_is_refused(kind):
    _, f, vjp, ours, _ = kind
    x = np.zeros(3)
    for call in (
        lambda: f(x, x, reduction="avg"),
        lambda: vjp(np.ones(()), x, x, reduction="avg"),
        lambda: ours(torch.tensor(x), torch.tensor(x), reduction="avg"),
    ):
        with pytest.raises(ValueError, match=r"reduction='avg' is not known; use one of"):
            call()
    with pytest.raises(TypeError, match="holds int64"):
        f(np.arange(3), np.arange(3))
    with pytest.raises(TypeError, match=r"holds torch.int64"):
        ours(torch.arange(3), torch.arange(3))


@pytest.mark.errors
@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "SmoothL1Loss"])
def test_a_deprecated_argument_is_named(name):
    for argument in ("size_average", "reduce"):
        with pytest.raises(NotImplementedError, match=f"{name}: {argument}=False"):
            getattr(nn, name)(**{argument: False})
    with pytest.raises(ValueError, match="reduction='avg'"):
        getattr(nn, name)(reduction="avg")


@pytest.mark.errors
@pytest.mark.parametrize("delta", [0.0, -1.0, float("inf"), float("nan")])
def test_a_threshold_is_positive(delta):
    x = np.zeros(2)
    for call in (
        lambda: scratch.huber(x, x, delta),
        lambda: scratch.huber_vjp(np.ones(()), x, x, delta),
        lambda: nn.huber_loss(torch.tensor(x), torch.tensor(x), delta=delta),
        lambda: nn.HuberLoss(delta=delta),
    ):
        with pytest.raises(ValueError, match=r"delta=.* lies outside"):
            call()
    for make in (lambda: scratch.smooth_l1(x, x, -1.0), lambda: nn.SmoothL1Loss(beta=-1.0)):
        with pytest.raises(ValueError, match="beta=-1"):
            make()
