"""Losses of classification: parity with torch, huge logits, weights, drop-in modules, errors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch

F = torch.nn.functional
# torch itself calls what it deprecates when it sets up the forward mode
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
REDUCTIONS = ["none", "mean", "sum"]
# shapes with the classes last, as in NumPy; torch has them on axis 1
SHAPES = [(3,), (1, 2), (4, 3), (2, 1), (5, 2, 3), (2, 3, 4, 6)]


def front(x):
    """Move the classes from the last axis to torch's."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 0 if x.ndim == 1 else 1))


def draw(rng, shape, reduction, scale=3.0):
    """Return logits, classes, class weights and a cotangent."""
    z = scale * rng.normal(size=shape)
    y = rng.integers(shape[-1], size=shape[:-1])
    v = rng.normal(size=shape[:-1] if reduction == "none" else ())
    return z, np.asarray(y), rng.uniform(0.2, 3, shape[-1]), np.asarray(v)


def probabilities(rng, shape):
    return rng.dirichlet(np.ones(shape[-1]), shape[:-1])


def on_torch(f, y, **options):
    return lambda z: f(z, torch.tensor(y), **options)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", ["classes", "probabilities", "ignored"])
def test_cross_entropy_agrees_with_torch(shape, reduction, weighted, smoothing, kind, rng):
    z, y, w, v = draw(rng, shape, reduction)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    w = w if weighted else None
    if kind == "probabilities":
        y = probabilities(rng, shape)
    if kind == "ignored":
        y = np.asarray(y)
        y.flat[-1] = 1
        options["ignore_index"] = 1 if y.size > 1 and not (y == 1).all() else -100
    there = front(y) if kind == "probabilities" else y
    tw = None if w is None else torch.tensor(w)
    want, (grad,) = torch_vjp(
        on_torch(F.cross_entropy, there, weight=tw, **options), (front(z),), v
    )
    got, (pulled,) = torch_vjp(
        on_torch(nn.cross_entropy, there, weight=tw, **options), (front(z),), v
    )
    close(got, want)
    close(pulled, grad)
    close(scratch.cross_entropy(z, y, weight=w, **options), want)
    close(front(scratch.cross_entropy_vjp(v, z, y, weight=w, **options)), grad)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [-100, 0])
def test_nll_agrees_with_torch(shape, reduction, weighted, ignored, rng):
    z, y, w, v = draw(rng, shape, reduction)
    if (y == ignored).all():
        ignored = -100
    log_p, w = scratch.log_softmax(z), w if weighted else None
    options = {"reduction": reduction, "ignore_index": ignored}
    tw = None if w is None else torch.tensor(w)
    want, (grad,) = torch_vjp(on_torch(F.nll_loss, y, weight=tw, **options), (front(log_p),), v)
    got, (pulled,) = torch_vjp(on_torch(nn.nll_loss, y, weight=tw, **options), (front(log_p),), v)
    close(got, want)
    close(pulled, grad)
    close(scratch.nll(log_p, y, weight=w, **options), want)
    close(front(scratch.nll_vjp(v, log_p, y, weight=w, **options)), grad)


@pytest.mark.parametrize("shape", [(1,), (3,), (4, 3), (0, 2)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_binary_forms_agree_with_torch(shape, reduction, weighted, rng):
    if reduction == "mean" and 0 in shape:
        return
    z, y = 4 * rng.normal(size=shape), rng.uniform(0, 1, shape)
    v = rng.normal(size=shape if reduction == "none" else ())
    p, options = scratch.sigmoid(z), {"reduction": reduction}
    w = rng.uniform(0.2, 2, shape[-1:]) if weighted else np.ones(shape[-1:])
    tw = torch.tensor(w)
    for theirs, ours in (
        (F.binary_cross_entropy, nn.binary_cross_entropy),
        (F.binary_cross_entropy_with_logits, nn.binary_cross_entropy_with_logits),
    ):
        x = p if ours is nn.binary_cross_entropy else z
        want, grads = torch_vjp(lambda x, y, f=theirs: f(x, y, tw, **options), (x, y), v)
        got, pulled = torch_vjp(lambda x, y, f=ours: f(x, y, tw, **options), (x, y), v)
        close(got, want)
        close(pulled, grads)
        if not weighted:
            numpy = scratch.bce if x is p else scratch.bce_with_logits
            vjp = scratch.bce_vjp if x is p else scratch.bce_with_logits_vjp
            close(numpy(x, y, **options), want)
            close(vjp(v, x, y, **options), grads[0])
    pos = {"reduction": reduction, "pos_weight": tw}
    want, (grad,) = torch_vjp(on_torch(F.binary_cross_entropy_with_logits, y, **pos), (z,), v)
    got, (pulled,) = torch_vjp(on_torch(nn.binary_cross_entropy_with_logits, y, **pos), (z,), v)
    close([got, pulled], [want, grad])
    close(scratch.bce_with_logits(z, y, reduction, w), want)
    close(scratch.bce_with_logits_vjp(v, z, y, reduction, w), grad)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_vjps_agree_with_central_differences(reduction, rng):
    z, y, w, v = draw(rng, (4, 3), reduction)
    y[0] = -1
    for smoothing in (0.0, 0.2):
        options = (reduction, w, -1, smoothing)
        want = numeric_vjp(lambda z, o=options: scratch.cross_entropy(z, y, *o), (z,), v)[0]
        close(scratch.cross_entropy_vjp(v, z, y, *options), want, 1e-6, 1e-6)
    t, u = rng.uniform(size=4), rng.normal(size=4 if reduction == "none" else ())
    logits = z[:, 0]
    want = numeric_vjp(lambda z: scratch.bce_with_logits(z, t, reduction, 2.5), (logits,), u)[0]
    close(scratch.bce_with_logits_vjp(u, logits, t, reduction, 2.5), want, 1e-6, 1e-6)
    p = rng.uniform(0.1, 0.9, 4)
    want = numeric_vjp(lambda p: scratch.bce(p, t, reduction), (p,), u)[0]
    close(scratch.bce_vjp(u, p, t, reduction), want, 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_ten_thousand(dtype):
    z = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4 - 1, 1e4], [1e4, 1e4, 1e4]], dtype)
    y = np.array([2, 1, 0])
    want = np.array([2e4, np.log1p(np.e), np.log(3)])
    slope = np.array([[1, 0, -1], [0, 0, 0], [-2 / 3, 1 / 3, 1 / 3]], dtype)
    slope[1, 1:] = np.array([-1, 1]) / (1 + np.exp(-1))
    leaf = torch.tensor(z, requires_grad=True)
    loss = nn.cross_entropy(leaf, torch.tensor(y), reduction="none")
    (grad,) = torch.autograd.grad(loss, leaf, torch.ones(3, dtype=leaf.dtype))
    tol = 1e-6 if dtype == np.float32 else 1e-12
    close([loss, grad], [want, slope], tol, tol)
    close(scratch.cross_entropy(z, y, "none"), want, tol, tol)
    close(scratch.cross_entropy_vjp(np.ones(3, dtype), z, y, "none"), slope, tol, tol)
    logits = np.array([1e4, -1e4, 1e4, -1e4, 40.0, -40.0], dtype)
    t = np.array([0, 1, 1, 0, 1, 0], dtype)
    want = np.array([1e4, 1e4, 0, 0, np.exp(-40), np.exp(-40)])
    close(scratch.bce_with_logits(logits, t, "none"), want, tol, 0)
    got = nn.binary_cross_entropy_with_logits(
        torch.tensor(logits), torch.tensor(t), reduction="none"
    )
    close(got, want, tol, 0)
    leaf = torch.tensor(logits, requires_grad=True)
    got = nn.binary_cross_entropy_with_logits(leaf, torch.tensor(t), reduction="none")
    (grad,) = torch.autograd.grad(got, leaf, torch.ones_like(leaf), create_graph=True)
    close(grad, np.array([1, -1, 0, 0, -np.exp(-40), np.exp(-40)]), tol, 0)
    close(torch.autograd.grad(grad, leaf, torch.ones_like(leaf))[0], np.zeros(6), 0, 1e-15)


def test_a_class_with_the_logit_minus_infinity_costs_nothing_unless_it_is_right():
    z, y = np.array([[0.0, -np.inf, 1.0]] * 2), np.array([0, 1])
    want = [np.log1p(np.e), np.inf]
    got = nn.cross_entropy(torch.tensor(z), torch.tensor(y), reduction="none")
    for loss in (got.numpy(), scratch.cross_entropy(z, y, "none")):
        np.testing.assert_allclose(loss, want, rtol=1e-12)


def test_probabilities_of_zero_and_one_are_cut_as_in_torch():
    p, y = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    v = np.array([1.0, 2.0, 3.0, 4.0])
    options = {"reduction": "none"}
    want, grads = torch_vjp(lambda p, y: F.binary_cross_entropy(p, y, **options), (p, y), v)
    got, pulled = torch_vjp(lambda p, y: nn.binary_cross_entropy(p, y, **options), (p, y), v)
    close([got, pulled[0]], [want, grads[0]], 1e-8)  # torch keeps its bound in float32
    numpy = [scratch.bce(p, y, "none"), scratch.bce_vjp(v, p, y, "none")]
    close(numpy, [want, grads[0]], 1e-8)


def test_a_weighted_mean_divides_by_the_weights_of_the_targets():
    z, y = np.zeros((3, 2)), np.array([0, 1, 1])
    w = np.array([5.0, 1.0])
    close(scratch.cross_entropy(z, y, weight=w), np.array(np.log(2)))
    z[0] = [-10.0, 10.0]
    terms = scratch.cross_entropy(z, y, "none")
    close(scratch.cross_entropy(z, y, weight=w), (w[y] @ terms) / 7)


def test_if_everything_is_ignored_the_mean_is_nan_as_in_torch_or_an_error():
    z, y = torch.zeros(2, 3), torch.full((2,), -100)
    assert nn.cross_entropy(z, y).isnan()
    assert F.cross_entropy(z, y).isnan()
    assert nn.cross_entropy(z, y, reduction="sum") == 0
    with pytest.raises(ValueError, match="no number to take the mean of"):
        scratch.cross_entropy(z.numpy(), y.numpy())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    z, y, w, _ = draw(rng, (5, 3), "none")
    z, w, v = z.astype(dtype), w.astype(dtype), np.ones(5, dtype)
    t, tz, ty = probabilities(rng, (5, 3)).astype(dtype), torch.tensor(z), torch.tensor(y)
    got = [scratch.cross_entropy(z, y, "none", w), scratch.cross_entropy_vjp(v, z, y, "none", w)]
    got += [scratch.cross_entropy(z, t), scratch.nll(z, y), scratch.nll_vjp(v, z, y, "none")]
    got += [scratch.bce(t, t), scratch.bce_vjp(t, t, t, "none"), scratch.bce_with_logits(z, t)]
    got += [scratch.bce_with_logits_vjp(z, z, t, "none")]
    tt, tw = torch.tensor(t), torch.tensor(w)
    got += [nn.cross_entropy(tz, ty, tw).numpy(), nn.cross_entropy(tz, tt).numpy()]
    got += [nn.nll_loss(tz, ty, tw).numpy(), nn.binary_cross_entropy(tt, tt).numpy()]
    got += [nn.binary_cross_entropy_with_logits(tz, tt).numpy()]
    assert {a.dtype for a in got} == {np.dtype(dtype)}


def test_bfloat16_is_rounded_once():
    z, y = torch.randn(300, 7).bfloat16(), torch.randint(7, (300,))
    for f, x in ((nn.cross_entropy, z), (nn.nll_loss, z.log_softmax(1))):
        theirs = F.cross_entropy if f is nn.cross_entropy else F.nll_loss
        assert torch.equal(f(x, y), theirs(x.float(), y).bfloat16())


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_second_derivatives_and_torch_func(smoothing, kind, rng):
    z = torch.tensor(rng.normal(size=(4, 3)), requires_grad=True)
    y = torch.tensor([0, 2, 1, 1])
    y = torch.tensor(probabilities(rng, (4, 3))) if kind == "probabilities" else y

    def f(z, y, reduction="none"):
        return nn.cross_entropy(z, y, reduction=reduction, label_smoothing=smoothing)

    assert torch.autograd.gradcheck(lambda z: f(z, y), z)
    assert torch.autograd.gradgradcheck(lambda z: f(z, y), z)
    rows = torch.func.vmap(torch.func.grad(lambda z, y: f(z, y, "sum")))(z.detach(), y)
    close(rows, torch.autograd.grad(f(z, y, "sum"), z)[0])


@FORWARD_MODE
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_forward_mode(name, rng):
    y, ours, theirs = torch.tensor([2, 0]), getattr(nn, name), getattr(F, name)
    z, direction = torch.tensor(rng.normal(size=(2, 2, 3)))
    got = torch.func.jvp(lambda z: ours(z, y), (z,), (direction,))
    close(got, torch.func.jvp(lambda z: theirs(z, y), (z,), (direction,)))


@FORWARD_MODE
@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_hessians_of_the_binary_forms(name, rng):
    ours, theirs = getattr(nn, name), getattr(F, name)
    x, t = torch.tensor(rng.uniform(0.1, 0.9, size=(2, 2, 3)))
    got = torch.func.hessian(lambda x: ours(x, t))(x)
    close(got, torch.autograd.functional.hessian(lambda x: theirs(x, t), x))
    leaves = (x.clone().requires_grad_(), t.clone().requires_grad_())
    assert torch.autograd.gradcheck(ours, leaves)
    assert torch.autograd.gradgradcheck(ours, leaves)
    pushed = torch.func.jvp(lambda x: ours(x, t), (x,), (t,))[1]
    close(pushed, (torch.func.grad(lambda x: ours(x, t))(x) * t).sum())


MODULES = [
    ("CrossEntropyLoss", {}),
    ("CrossEntropyLoss", {"weight": [1.0, 2.0, 0.5], "ignore_index": 1, "label_smoothing": 0.1}),
    ("CrossEntropyLoss", {"reduction": "none"}),
    ("NLLLoss", {"weight": [1.0, 2.0, 0.5], "reduction": "sum"}),
    ("NLLLoss", {"ignore_index": 2}),
    ("BCELoss", {"weight": [1.0, 2.0, 0.5]}),
    ("BCELoss", {}),
    ("BCEWithLogitsLoss", {"pos_weight": [1.0, 2.0, 0.5], "weight": [0.1, 1.0, 3.0]}),
    ("BCEWithLogitsLoss", {"reduction": "sum"}),
]


@pytest.mark.parametrize(("name", "options"), MODULES)
def test_a_module_takes_the_place_of_torchs(name, options, rng):
    options = {
        k: torch.tensor(v).double() if isinstance(v, list) else v for k, v in options.items()
    }
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    x, y = torch.tensor(rng.normal(size=(6, 3))), torch.tensor(rng.integers(3, size=6))
    if name.startswith("BCE"):
        x, y = (torch.sigmoid(x) if name == "BCELoss" else x), torch.rand(6, 3).double()
    close(ours(x, y), theirs(x, y))
    close(pickle.loads(pickle.dumps(ours))(x, y), theirs(x, y))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]


def test_the_arguments_stand_in_torchs_order():
    w = torch.ones(3)
    made = nn.CrossEntropyLoss(w, None, 2, None, "sum", 0.5)
    assert (made.ignore_index, made.reduction, made.label_smoothing) == (2, "sum", 0.5)
    assert nn.BCEWithLogitsLoss(w, None, None, "sum", w).pos_weight is w
    assert nn.NLLLoss(w, None, 2, None, "sum").weight is w


def test_the_backward_pass_keeps_the_logits_and_no_table_of_logarithms():
    kept = []
    z, y = torch.randn(50, 30, requires_grad=True), torch.randint(30, (50,))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        nn.cross_entropy(z, y)
    assert sum(t.numel() for t in kept if t.data_ptr() != z.data_ptr()) < 300


# errors


@pytest.mark.errors
@pytest.mark.parametrize("y", [[0, 3], [-1, 0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_target_that_is_no_class(y, smoothing):
    z = np.zeros((2, 3))
    for call in (
        lambda: scratch.cross_entropy(z, np.array(y), label_smoothing=smoothing),
        lambda: scratch.nll(z, np.array(y)),
        lambda: nn.cross_entropy(torch.tensor(z), torch.tensor(y), label_smoothing=smoothing),
        lambda: nn.nll_loss(torch.tensor(z), torch.tensor(y)),
        lambda: nn.nll_loss(torch.tensor(z), torch.tensor(y), torch.ones(3)),
    ):
        with pytest.raises(IndexError, match=r"out of bounds; with 3 classes .* from 0 to 2"):
            call()


@pytest.mark.errors
def test_shapes_and_dtypes_that_do_not_fit():
    z = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"target has shape \(3,\) where \(4,\)"):
        nn.cross_entropy(z, torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"target has shape \(3,\) where \(4,\)"):
        scratch.cross_entropy(z.numpy(), np.zeros(3, int))
    with pytest.raises(TypeError, match=r"target holds torch.float32; give whole numbers"):
        nn.nll_loss(z, torch.zeros(4))
    with pytest.raises(TypeError, match="target holds float64; give whole numbers"):
        scratch.nll(z.numpy(), np.zeros(4))
    for weight in (torch.ones(4), torch.ones(1)):
        for y in (torch.zeros(4, dtype=torch.long), torch.zeros(4, 3)):
            with pytest.raises(ValueError, match=r"weight has shape .* where \(3,\)"):
                nn.cross_entropy(z, y, weight)
    with pytest.raises(ValueError, match="weight has shape"):
        scratch.nll(z.numpy(), np.zeros(4, int), weight=np.ones(2))
    with pytest.raises(TypeError, match="target holds"):
        nn.cross_entropy(z, torch.zeros(4, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="ignore_index with probabilities"):
        nn.cross_entropy(z, torch.zeros(4, 3), ignore_index=1)
    with pytest.raises(ValueError, match="axes"):
        nn.nll_loss(torch.tensor(1.0), torch.tensor(0))


@pytest.mark.errors
@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability(bad):
    p, y = np.array([0.5, bad]), np.array([1.0, 0.0])
    for call in (
        lambda: scratch.bce(p, y),
        lambda: scratch.bce_vjp(np.ones(()), p, y),
        lambda: nn.binary_cross_entropy(torch.tensor(p), torch.tensor(y)),
    ):
        with pytest.raises(ValueError, match=r"lies outside \[0, 1\]"):
            call()
    for make in (
        lambda: nn.CrossEntropyLoss(label_smoothing=bad),
        lambda: scratch.cross_entropy(np.zeros((2, 2)), np.zeros(2, int), label_smoothing=bad),
    ):
        with pytest.raises(ValueError, match="label_smoothing="):
            make()


@pytest.mark.errors
@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss"])
def test_a_deprecated_argument_is_named(name):
    for argument in ("size_average", "reduce"):
        with pytest.raises(NotImplementedError, match=f"{name}: {argument}=True"):
            getattr(nn, name)(**{argument: True})
    with pytest.raises(ValueError, match="reduction='batchmean'"):
        getattr(nn, name)(reduction="batchmean")


@pytest.mark.errors
def test_shapes_of_the_binary_forms():
    x, y = torch.zeros(4, 1), torch.zeros(4)
    for f in (nn.binary_cross_entropy, nn.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"has shape \(4,\) where \(4, 1\)"):
            f(x, y)
    for f in (scratch.bce, scratch.bce_with_logits):
        with pytest.raises(ValueError, match=r"has shape \(4,\) where \(4, 1\)"):
            f(x.numpy(), y.numpy())
