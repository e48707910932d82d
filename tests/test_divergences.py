"""Divergence, hinge and focal losses: parity with torch and with torchvision's formula, errors."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch

F = torch.nn.functional
REDUCTIONS = ["none", "mean", "sum"]
SHAPES = [(1,), (2,), (3, 4), (2, 3, 5)]


def torchvision_focal(z, y, alpha, gamma):
    """The formula of torchvision.ops.sigmoid_focal_loss, line by line."""
    p = torch.sigmoid(z)
    ce = F.binary_cross_entropy_with_logits(z, y, reduction="none")
    p_t = p * y + (1 - p) * (1 - y)
    loss = ce * (1 - p_t) ** gamma
    return (alpha * y + (1 - alpha) * (1 - y)) * loss if alpha >= 0 else loss


def reduced(terms, reduction):
    return terms if reduction == "none" else getattr(terms, reduction)()


def cotangent(rng, shape, reduction):
    return rng.normal(size=shape if reduction == "none" else ())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
@pytest.mark.filterwarnings("ignore:.*reduction")
def test_kl_div_agrees_with_torch(shape, reduction, log_target, rng):
    log_q, log_p = (scratch.log_softmax(rng.normal(size=shape)) for _ in range(2))
    p = log_p if log_target else np.exp(log_p)
    v, options = (
        cotangent(rng, shape, reduction),
        {"reduction": reduction, "log_target": log_target},
    )
    want, grads = torch_vjp(lambda q, p: F.kl_div(q, p, **options), (log_q, p), v)
    got, pulled = torch_vjp(lambda q, p: nn.kl_div(q, p, **options), (log_q, p), v)
    close([got, *pulled], [want, *grads])
    close(scratch.kl_div(log_q, p, **options), want)
    close(scratch.kl_div_vjp(v, log_q, p, **options), grads[0])
    near = numeric_vjp(lambda q: scratch.kl_div(q, p, **options), (log_q,), v)
    close(scratch.kl_div_vjp(v, log_q, p, **options), near[0], 1e-6, 1e-6)


def test_a_share_of_zero_adds_nothing():
    p, log_q = np.array([[0.0, 1.0]]), np.array([[-np.inf, 0.0]])
    assert scratch.kl_div(np.log([[0.5, 0.5]]), p, "sum") == np.log(2)
    assert scratch.kl_div(log_q, p, "sum") == 0
    log_p = np.array([[-np.inf, 0.0]])
    assert scratch.kl_div(np.log([[0.5, 0.5]]), log_p, "sum", log_target=True) == np.log(2)
    got = nn.kl_div(torch.tensor(np.log([[0.5, 0.5]])), torch.tensor(p), reduction="sum")
    close(got, np.array(np.log(2)))


def test_the_mean_that_is_none_warns_as_torchs():
    x = torch.rand(3, 4).log()
    for f in (nn.kl_div, F.kl_div):
        with pytest.warns(UserWarning, match="batchmean"):
            f(x, x.exp(), reduction="mean")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.kl_div(x, x.exp(), reduction="batchmean")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_the_hinge_agrees_with_its_formula_in_torch(shape, reduction, margin, rng):
    z, y = 2 * rng.normal(size=shape), rng.choice([-1.0, 1.0], shape)
    v = cotangent(rng, shape, reduction)

    def theirs(z):
        return reduced((margin - torch.tensor(y) * z).clamp(min=0), reduction)

    want, (grad,) = torch_vjp(theirs, (z,), v)
    ours = lambda z: nn.hinge_loss(z, torch.tensor(y), margin, reduction=reduction)  # noqa: E731
    got, (pulled,) = torch_vjp(ours, (z,), v)
    close([got, pulled], [want, grad])
    close(scratch.hinge(z, y, margin, reduction), want)
    close(scratch.hinge_vjp(v, z, y, margin, reduction), grad)
    near = numeric_vjp(lambda z: scratch.hinge(z, y, margin, reduction), (z,), v)[0]
    close(scratch.hinge_vjp(v, z, y, margin, reduction), near, 1e-6, 1e-6)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (5, 3), (1, 6), (0, 3)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_multi_class_hinge_agrees_with_torch(shape, reduction, p, weighted, rng):
    if 0 in shape and reduction == "mean":
        return
    z, y = 2 * rng.normal(size=shape), np.asarray(rng.integers(shape[-1], size=shape[:-1]))
    v, w = cotangent(rng, shape[:-1], reduction), torch.rand(shape[-1]).double()
    options = {"p": p, "margin": 0.7, "weight": w if weighted else None, "reduction": reduction}
    ty = torch.tensor(y)
    ours = lambda z: nn.multi_margin_loss(z, ty, **options)  # noqa: E731
    got, (pulled,) = torch_vjp(ours, (z,), v)
    if 0 not in shape:
        want, (grad,) = torch_vjp(lambda z: F.multi_margin_loss(z, ty, **options), (z,), v)
        close([got, pulled], [want, grad])
    if p == 1 and not weighted:
        close(scratch.multi_margin(z, y, 0.7, reduction), got)
        close(scratch.multi_margin_vjp(v, z, y, 0.7, reduction), pulled)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("alpha", [0.25, 0.8, -1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("soft", [False, True])
def test_the_focal_loss_agrees_with_torchvisions_formula(shape, reduction, alpha, gamma, soft, rng):
    z = 3 * rng.normal(size=shape)
    y = rng.uniform(size=shape) if soft else rng.integers(2, size=shape).astype(float)
    v, ty = cotangent(rng, shape, reduction), torch.tensor(y)
    theirs = lambda z: reduced(torchvision_focal(z, ty, alpha, gamma), reduction)  # noqa: E731
    want, (grad,) = torch_vjp(theirs, (z,), v)
    ours = lambda z: nn.sigmoid_focal_loss(z, ty, alpha, gamma, reduction)  # noqa: E731
    got, (pulled,) = torch_vjp(ours, (z,), v)
    close([got, pulled], [want, grad])
    a = None if alpha < 0 else alpha
    close(scratch.focal(z, y, a, gamma, reduction), want)
    close(scratch.focal_vjp(v, z, y, a, gamma, reduction), grad)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_ten_thousand(dtype):
    z, y = np.array([1e4, -1e4, 1e4, -1e4], dtype), np.array([1, 0, 0, 1], dtype)
    v, want = np.ones(4, dtype), np.array([0, 0, 1e4, 1e4])
    leaf = torch.tensor(z, requires_grad=True)
    for gamma in (0.0, 0.5, 1.0, 2.0):
        close(scratch.focal(z, y, None, gamma), want, 1e-6, 0)
        close(scratch.focal_vjp(v, z, y, None, gamma), np.array([0, 0, 1, -1.0]), 1e-6, 0)
        loss = nn.sigmoid_focal_loss(leaf, torch.tensor(y), -1.0, gamma)
        close(loss, want, 1e-6, 0)
    (grad,) = torch.autograd.grad(loss, leaf, torch.tensor(v))
    close(grad, np.array([0, 0, 1, -1.0]), 1e-6, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    z, c = rng.normal(size=(4, 3)).astype(dtype), np.array([0, 2, 1, 1])
    y = rng.choice([-1, 1], (4, 3)).astype(dtype)
    p, v, row = scratch.softmax(z), np.ones((4, 3), dtype), np.ones(4, dtype)
    got = [scratch.kl_div(z, p, "batchmean"), scratch.kl_div_vjp(v, z, p, "none")]
    got += [scratch.hinge(z, y), scratch.hinge_vjp(v, z, y, reduction="none")]
    got += [scratch.multi_margin(z, c), scratch.multi_margin_vjp(row, z, c, reduction="none")]
    got += [scratch.focal(z, p), scratch.focal_vjp(v, z, p)]
    tz, ty, tp = (torch.tensor(a) for a in (z, y, p))
    got += [nn.kl_div(tz, tp, reduction="sum").numpy(), nn.hinge_loss(tz, ty).numpy()]
    got += [
        nn.multi_margin_loss(tz, torch.tensor(c)).numpy(),
        nn.sigmoid_focal_loss(tz, tp).numpy(),
    ]
    assert {a.dtype for a in got} == {np.dtype(dtype)}


def test_second_derivatives(rng):
    z = torch.tensor(3 * rng.normal(size=6), requires_grad=True)
    y, p = torch.tensor([0.0, 1, 1, 0, 1, 0]).double(), torch.tensor(rng.uniform(size=6))
    for f in (
        lambda z: nn.sigmoid_focal_loss(z, y),
        lambda z: nn.sigmoid_focal_loss(z, y, gamma=0.5),
        lambda z: nn.kl_div(z, p, reduction="none"),
        lambda z: nn.hinge_loss(z, 2 * y - 1, reduction="none"),
        lambda z: nn.multi_margin_loss(z[None], torch.tensor([2]), p=2),
    ):
        assert torch.autograd.gradcheck(f, z)
        assert torch.autograd.gradgradcheck(f, z)
    rows = torch.func.vmap(torch.func.grad(lambda z, y: nn.hinge_loss(z, 2 * y - 1)))(z.detach(), y)
    close(rows, torch.autograd.grad(nn.hinge_loss(z, 2 * y - 1, reduction="sum"), z)[0])


MODULES = [
    ("KLDivLoss", {"reduction": "batchmean"}),
    ("KLDivLoss", {"reduction": "none", "log_target": True}),
    ("MultiMarginLoss", {}),
    ("MultiMarginLoss", {"p": 2, "margin": 0.4, "weight": torch.tensor([1.0, 2, 3]).double()}),
]


@pytest.mark.parametrize(("name", "options"), MODULES)
def test_a_module_takes_the_place_of_torchs(name, options, rng):
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    x = torch.tensor(rng.normal(size=(5, 3))).log_softmax(1)
    y = torch.tensor([0, 2, 1, 0, 2])
    y = y if name == "MultiMarginLoss" else torch.tensor(rng.uniform(0.1, 1, size=(5, 3)))
    close(ours(x, y), theirs(x, y))
    close(pickle.loads(pickle.dumps(ours))(x, y), theirs(x, y))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())


def test_our_own_modules_call_their_functions(rng):
    z = torch.tensor(rng.normal(size=7))
    y = torch.tensor([0.0, 1, 1, 0, 1, 0, 0]).double()
    got = nn.FocalLoss(0.6, 1.5, "sum")(z, y)
    close(got, nn.sigmoid_focal_loss(z, y, 0.6, 1.5, "sum"))
    got = nn.HingeLoss(0.4, "sum")(z, 2 * y - 1)
    close(got, nn.hinge_loss(z, 2 * y - 1, 0.4, reduction="sum"))
    assert nn.MultiMarginLoss(2, 0.5, None, None, None, "sum").reduction == "sum"


# errors


@pytest.mark.errors
def test_what_is_refused():
    z, y = np.zeros((2, 3)), np.array([0, 3])
    for call in (
        lambda: scratch.multi_margin(z, y),
        lambda: nn.multi_margin_loss(torch.tensor(z), torch.tensor(y)),
        lambda: nn.multi_margin_loss(torch.tensor(z), torch.tensor([-1, 0])),
    ):
        with pytest.raises(IndexError, match="out of bounds; with 3 classes"):
            call()
    ones = np.array([1.0, 0.0])
    for call in (
        lambda: scratch.hinge(ones, ones),
        lambda: nn.hinge_loss(torch.tensor(ones), torch.tensor(ones)),
    ):
        with pytest.raises(ValueError, match="neither -1 nor 1"):
            call()
    for call in (
        lambda: scratch.focal(ones, ones, gamma=-1.0),
        lambda: nn.sigmoid_focal_loss(torch.tensor(ones), torch.tensor(ones), gamma=-1.0),
        lambda: nn.FocalLoss(gamma=-1.0),
    ):
        with pytest.raises(ValueError, match=r"gamma=-1.0 lies outside"):
            call()
    with pytest.raises(ValueError, match=r"p=3\.0 lies outside"):
        nn.MultiMarginLoss(p=3)
    with pytest.raises(ValueError, match=r"has shape \(2,\) where \(3,\)"):
        nn.multi_margin_loss(torch.tensor(z), torch.tensor([0, 1]), weight=torch.ones(2))
    with pytest.raises(ValueError, match="batchmean"):
        scratch.kl_div(z, z, "avg")
    with pytest.raises(ValueError, match="batchmean"):
        nn.KLDivLoss(reduction="avg")
    for f in (scratch.kl_div, scratch.hinge, scratch.focal):
        with pytest.raises(ValueError, match=r"has shape \(2,\) where \(2, 3\)"):
            f(z, ones)
    for name in ("KLDivLoss", "MultiMarginLoss"):
        with pytest.raises(NotImplementedError, match=f"{name}: size_average=True"):
            getattr(nn, name)(size_average=True)
