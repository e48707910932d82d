"""Activations: parity with torch, laws, large inputs, half precision, modules, messages."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch
from nnbook.claims import ClaimFailed, run
from nnbook.claims._activation_shapes import FUNCTIONS
from nnbook.claims._core import get

F = torch.nn.functional
# name, keyword arguments, the function of torch: the independent oracle
ELEMENTWISE = [
    ("relu", {}, F.relu),
    ("leaky_relu", {}, F.leaky_relu),
    ("leaky_relu", {"slope": 0.3}, lambda z: F.leaky_relu(z, 0.3)),
    ("elu", {}, F.elu),
    ("elu", {"alpha": 1.7}, lambda z: F.elu(z, 1.7)),
    ("sigmoid", {}, torch.sigmoid),
    ("tanh", {}, torch.tanh),
    ("silu", {}, F.silu),
    ("gelu", {}, F.gelu),
    ("gelu", {"approximate": "tanh"}, lambda z: F.gelu(z, approximate="tanh")),
]
ALONG = [
    ("softmax", F.softmax),
    ("log_softmax", F.log_softmax),
]
MODULES = [
    ("ReLU", {}),
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.3}),
    ("ELU", {}),
    ("ELU", {"alpha": 1.7}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("SiLU", {}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("Softmax", {"dim": 1}),
    ("Softmax", {"dim": -1}),
    ("LogSoftmax", {"dim": 0}),
    ("LogSoftmax", {"dim": -1}),
]
INPLACE = ["ReLU", "LeakyReLU", "ELU", "SiLU"]
FAR = [-1e4, -5000.0, -711.0, -104.0, -89.0, -17.0, 17.0, 89.0, 104.0, 711.0, 5000.0, 1e4]
elementwise = pytest.mark.parametrize(
    ("name", "options", "oracle"),
    ELEMENTWISE,
    ids=[n + "".join(f"-{v}" for v in o.values()) for n, o, _ in ELEMENTWISE],
)
modules = pytest.mark.parametrize(
    ("name", "options"),
    MODULES,
    ids=[n + "".join(f"-{v}" for v in o.values()) for n, o in MODULES],
)


def pair(name, options):
    return getattr(nn, name)(**options), getattr(torch.nn, name)(**options)


def value_and_grad(f, z, v):
    z = z.clone().requires_grad_()
    y = f(z)
    (g,) = torch.autograd.grad(y, z, v.to(y.dtype))
    return y.detach(), g


@elementwise
@pytest.mark.parametrize("shape", [(7,), (2, 3, 5), (0, 3), (1,)], ids=str)
def test_numpy_value_and_gradient_are_torchs(name, options, oracle, shape, rng):
    z, v = rng.normal(scale=3, size=shape), rng.normal(size=shape)
    want, grads = torch_vjp(oracle, (z,), v)
    close(getattr(scratch, name)(z, **options), want)
    close(getattr(scratch, f"{name}_vjp")(v, z, **options), grads[0])


@elementwise
def test_numpy_derivative_is_the_central_difference(name, options, oracle, rng):
    z = rng.uniform(0.05, 6, size=40) * rng.choice([-1, 1], size=40)  # away from the kink
    v = rng.normal(size=40)
    (want,) = numeric_vjp(lambda z: getattr(scratch, name)(z, **options), (z,), v)
    close(v * getattr(scratch, f"{name}_derivative")(z, **options), want, rtol=1e-6, atol=1e-8)


@elementwise
def test_the_slope_at_zero_is_torchs(name, options, oracle):
    zero, v = np.zeros(1), np.array([-1.3])
    _, grads = torch_vjp(oracle, (zero,), v)
    close(getattr(scratch, f"{name}_vjp")(v, zero, **options), grads[0])


@elementwise
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda d: d.__name__)
def test_numpy_keeps_the_dtype_and_is_stable_far_out(name, options, oracle, dtype):
    z = np.array([*FAR, 0.0, 0.3, -2.0], dtype)
    want, grads = torch_vjp(oracle, (z,), np.ones(len(z)))
    eps = {np.float16: 4e-3, np.float32: 4e-6, np.float64: 1e-12}[dtype]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        value = getattr(scratch, name)(z, **options)
        slope = getattr(scratch, f"{name}_derivative")(z, **options)
        grad = getattr(scratch, f"{name}_vjp")(np.ones_like(z), z, **options)
    assert value.dtype == slope.dtype == grad.dtype == dtype
    close(value.astype(float), want, rtol=eps, atol=eps)
    close(slope.astype(float), grads[0], rtol=eps, atol=eps)
    close(grad, slope, rtol=0, atol=0)


def test_small_inputs_and_tails_keep_their_digits():
    small = np.array([-1e-12, 1e-12, 3e-9])
    close(scratch.elu(small), np.expm1(np.minimum(small, 0)) + np.maximum(small, 0), atol=0)
    close(scratch.tanh(small), np.tanh(small), atol=0)
    close(nn.elu(torch.tensor(small)), scratch.elu(small), atol=0)
    close(nn.tanh(torch.tensor(small)), np.tanh(small), atol=0)
    tail = np.array([-30.0, -12.0, -9.0])
    close(scratch.gelu(tail), tail * special.ndtr(tail), rtol=1e-12, atol=0)
    close(scratch.sigmoid(tail), special.expit(tail), rtol=1e-14, atol=0)
    close(scratch.sigmoid_derivative(-tail), special.expit(tail) * special.expit(-tail), atol=0)
    close(scratch.tanh_derivative(-tail), np.cosh(tail) ** -2, atol=0)


@pytest.mark.parametrize(("name", "oracle"), ALONG, ids=[n for n, _ in ALONG])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 1, 1), (3, 2, 7)], ids=str)
def test_numpy_softmax_and_its_logarithm_are_torchs(name, oracle, axis, shape, rng):
    z, v = 10 ** rng.uniform(-1, 1.5) * rng.normal(size=shape), rng.normal(size=shape)
    want, grads = torch_vjp(lambda z: oracle(z, axis), (z,), v)
    close(getattr(scratch, name)(z, axis), want)
    close(getattr(scratch, f"{name}_vjp")(v, z, axis), grads[0])
    close(numeric_vjp(lambda z: getattr(scratch, name)(z, axis), (z,), v), grads, 1e-5, 1e-7)


@pytest.mark.parametrize("axis", [0, -1])
def test_numpy_log_sum_exp_is_torchs(axis, rng):
    z, v = rng.normal(scale=3, size=(3, 4)), rng.normal(size=(3, 4)).sum(axis, keepdims=True)
    want, grads = torch_vjp(lambda z: torch.logsumexp(z, axis, keepdim=True), (z,), v)
    close(scratch.log_sum_exp(z, axis), want)
    close(scratch.log_sum_exp_vjp(v, z, axis), grads[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda d: d.__name__)
def test_numpy_softmax_takes_large_logits_infinite_ones_and_empty_axes(dtype):
    z = np.array([[1e4, 1e4, -1e4], [-np.inf, 0.0, 1.0], [-1e4, -1e4, -np.inf]], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        p, log_p = scratch.softmax(z), scratch.log_softmax(z)
    want = torch.tensor(z, dtype=torch.float64)
    assert p.dtype == log_p.dtype == scratch.log_sum_exp(z).dtype == dtype
    close(p, F.softmax(want, -1), rtol=2e-3, atol=1e-3 if dtype == np.float16 else 1e-6)
    close(log_p, F.log_softmax(want, -1), rtol=2e-3 if dtype == np.float16 else 1e-6)
    assert scratch.softmax(np.zeros((0, 3), dtype)).shape == (0, 3)
    assert scratch.softmax(np.zeros((3, 0), dtype)).shape == (3, 0)
    with pytest.warns(RuntimeWarning, match="invalid"):
        assert np.isnan(scratch.softmax(np.full((1, 3), -np.inf, dtype))).all()


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-50, 50)), st.floats(-1e4, 1e4))
def test_softmax_does_not_see_a_shift_and_adds_up_to_one(z, c):
    """softmax(z + c) = softmax(z), and the shares of a row add up to 1."""
    close(scratch.softmax(z + c), scratch.softmax(z), rtol=1e-8)
    close(scratch.softmax(z).sum(-1), np.ones(3))
    close(np.exp(scratch.log_softmax(z)), scratch.softmax(z))


@given(hnp.arrays(np.float64, 5, elements=st.floats(-700, 700)))
def test_odd_and_complementary(z):
    """Negating z negates tanh and complements sigmoid; gelu and silu differ from relu evenly."""
    close(scratch.tanh(-z), -scratch.tanh(z), atol=0)
    close(scratch.sigmoid(-z), 1 - scratch.sigmoid(z))
    close(scratch.gelu(z) - scratch.gelu(-z), z)
    close(scratch.silu(z) - scratch.silu(-z), z)
    close(scratch.tanh(z), 2 * scratch.sigmoid(2 * z) - 1)


@modules
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_module_values_and_gradients_are_torchs_in_float64(name, options, mode, rng):
    mine, theirs = (getattr(m, mode)() for m in pair(name, options))
    z = torch.tensor(rng.normal(scale=4, size=(5, 3, 7)))
    z[0, 0, :3] = torch.tensor([0.0, 1e4, -1e4])
    v = torch.tensor(rng.normal(size=(5, 3, 7)))
    close(value_and_grad(mine, z, v), value_and_grad(theirs, z, v))


@modules
@pytest.mark.parametrize(
    ("dtype", "eps"),
    [(torch.float32, 5e-6), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)],
    ids=["float32", "bfloat16", "float16"],
)
def test_module_values_and_gradients_are_torchs_in_short_formats(name, options, dtype, eps, rng):
    mine, theirs = pair(name, options)
    z = torch.tensor(rng.normal(scale=4, size=(5, 3, 7)), dtype=dtype)
    z[0, 0, :] = torch.tensor([0.0, 1e4, -1e4, 88.8, -88.8, 17.0, -17.0])
    v = torch.tensor(rng.normal(size=(5, 3, 7)), dtype=dtype)
    got, want = value_and_grad(mine, z, v), value_and_grad(theirs, z, v)
    assert [t.dtype for t in got] == [t.dtype for t in want] == [dtype, dtype]
    close([t.double() for t in got], [t.double() for t in want], rtol=eps, atol=eps)


@modules
def test_module_looks_and_saves_like_torchs(name, options):
    mine, theirs = pair(name, options)
    assert repr(mine) == repr(theirs)
    assert mine.state_dict() == theirs.state_dict() == {}
    assert list(mine.parameters()) == list(mine.buffers()) == []
    z = torch.randn(2, 3)
    close(copy.deepcopy(mine)(z), theirs(z), 1e-5, 1e-6)


@modules
def test_gradients_of_first_and_second_order_are_right(name, options, rng):
    module = getattr(nn, name)(**options)
    z = torch.tensor(rng.uniform(0.1, 2, size=(2, 3)) * rng.choice([-1, 1], size=(2, 3)))
    assert torch.autograd.gradcheck(module, z.clone().requires_grad_())
    assert torch.autograd.gradgradcheck(module, z.clone().requires_grad_())


@modules
def test_vmap_and_jacobians_work(name, options, rng):
    mine, theirs = pair(name, options)
    z = torch.tensor(rng.normal(size=(2, 3)))
    close(torch.func.jacrev(mine)(z), torch.func.jacrev(theirs)(z))
    z = torch.tensor(rng.normal(size=(4, 2, 3)))
    close(torch.func.vmap(mine)(z), torch.func.vmap(theirs)(z))


@pytest.mark.parametrize("name", INPLACE)
def test_inplace_overwrites_and_keeps_the_gradient(name, rng):
    mine, theirs = pair(name, {"inplace": True})
    assert repr(mine) == repr(theirs)
    z = torch.tensor(rng.normal(size=(2, 3)))
    buffer = z.clone()
    assert mine(buffer) is buffer
    close(buffer, getattr(torch.nn, name)()(z))
    v = torch.tensor(rng.normal(size=(2, 3)))
    close(
        value_and_grad(lambda t: mine(2 * t), z, v), value_and_grad(lambda t: theirs(2 * t), z, v)
    )
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        mine(z.clone().requires_grad_())


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)], ids=str)
def test_dim_none_guesses_as_torch_does_and_warns(name, shape, rng):
    z = torch.tensor(rng.normal(size=shape))
    with pytest.warns(UserWarning, match="Implicit dimension"):
        want = getattr(torch.nn, name)()(z)
    dim = 0 if len(shape) in (1, 3) else 1
    with pytest.warns(UserWarning, match=rf"{name}: dim=None takes dim={dim} .* {len(shape)} axes"):
        close(getattr(nn, name)()(z), want)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_module_softmax_takes_infinite_logits_scalars_and_empty_batches(name):
    mine, theirs = pair(name, {"dim": -1})
    inf = float("inf")
    z = torch.tensor([[-inf, 0.0, 1.0], [-inf, -inf, 3.0], [1e4, -1e4, 1e4]])
    v = torch.tensor([[1.0, 2.0, -3.0], [0.5, 0.0, 1.0], [2.0, 1.0, 1.5]])
    close(value_and_grad(mine, z, v), value_and_grad(theirs, z, v), 1e-6, 1e-6)
    assert mine(torch.full((1, 3), -inf)).isnan().all()
    assert theirs(torch.full((1, 3), -inf)).isnan().all()
    for shape in ((0, 3), (3, 0), ()):
        close(mine(torch.ones(shape)), theirs(torch.ones(shape)))


@pytest.mark.parametrize("name", [n for n, _, _ in ELEMENTWISE])
def test_nan_stays_nan_and_nothing_warns(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(nn, name)(torch.tensor([float("nan")])).isnan().all()
        assert np.isnan(getattr(scratch, name)(np.array([np.nan]))).all()


def test_one_tensor_is_kept_for_the_backward_pass():
    z = torch.randn(64, 32, requires_grad=True)
    for name in ("relu", "sigmoid", "tanh", "silu", "gelu"):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, kept=kept: kept.append(t) or t, lambda t: t
        ):
            getattr(nn, name)(z)
        assert [t.shape for t in kept] == [z.shape], name


@pytest.mark.errors
def test_an_unknown_form_of_gelu_is_named():
    text = r"approximate='sigmoid' is not known; use one of \['none', 'tanh'\]"
    with pytest.raises(ValueError, match="GELU: " + text):
        nn.GELU("sigmoid")
    with pytest.raises(ValueError, match="gelu: " + text):
        scratch.gelu(np.zeros(1), "sigmoid")
    with pytest.raises(ValueError, match="gelu: " + text):
        scratch.gelu_derivative(np.zeros(1), "sigmoid")
    with pytest.raises(ValueError, match="gelu: " + text):
        nn.gelu(torch.zeros(1), "sigmoid")


BROKEN = [
    ("act-identities", "sigmoid", lambda z: 1 / (1 + np.exp(z / 100))),
    ("act-identities", "tanh", lambda z: np.tanh(z / 2)),
    ("act-identities", "softmax", lambda z, axis=-1: z),
    ("act-ranges", "tanh", lambda z: 1.01 * np.tanh(z)),
    ("act-ranges", "sigmoid", lambda z: np.clip(z, 0, 1)),
    ("act-ranges", "relu", lambda z: np.maximum(z, 0.1 * z)),
    ("act-relu-shape", "relu", lambda z: np.maximum(z, 0.1 * z)),
    ("act-relu-shape", "relu", lambda z: np.log1p(np.exp(np.minimum(z, 50)))),
    ("act-elu-smooth", "elu", lambda z, alpha: np.maximum(z, 0) + np.expm1(np.minimum(z, 0))),
    ("act-elu-smooth", "leaky_relu", lambda z, slope: np.maximum(z, 0.01 * z)),
    ("act-rescale", "relu", np.tanh),
    ("act-gelu-mean", "gelu", lambda z: scratch.silu(z)),
    ("act-gelu-shape", "gelu", lambda z: scratch.silu(z)),
    ("act-gelu-shape", "gelu_derivative", lambda z: scratch.silu_derivative(z)),
    ("act-gelu-limit", "gelu", lambda z: scratch.silu(z)),
    ("act-gelu-constants", "gelu", lambda z: scratch.silu(z)),
    ("act-tanh-form", "gelu", lambda z, approximate="none": scratch.silu(z)),
    ("act-silu-shape", "silu", lambda z: z * special.ndtr(z)),
    ("act-naive-sigmoid", "sigmoid", lambda z: 1e-9 + 0 * z),
]


@pytest.mark.parametrize(
    ("label", "name", "wrong"), BROKEN, ids=[f"{b[0]}-{i}" for i, b in enumerate(BROKEN)]
)
def test_a_broken_function_breaks_its_claim(label, name, wrong, monkeypatch):
    monkeypatch.setattr(scratch, name, wrong)
    with pytest.raises(ClaimFailed), np.errstate(all="ignore"):
        run(get(label))


@pytest.mark.parametrize("label", ["act-derivatives", "act-elementwise", "act-slopes"])
@pytest.mark.parametrize("name", ["relu", "sigmoid", "gelu", "silu"])
def test_a_broken_derivative_breaks_its_claim(label, name, monkeypatch):
    f, slope = FUNCTIONS[name]
    monkeypatch.setitem(FUNCTIONS, name, (f, lambda z: 1.001 * slope(z)))
    with pytest.raises(ClaimFailed):
        run(get(label))


@pytest.mark.parametrize(
    ("label", "name", "cured"),
    [
        ("act-gelu-monotone", "gelu", scratch.relu),
        ("act-gelu-convex", "gelu", scratch.relu),
        ("act-gelu-range", "gelu", lambda z: z),
        ("act-tanh-scales", "tanh", lambda z: z),
        ("act-tanh-centred", "tanh", lambda z: 0 * z),
    ],
)
def test_a_refutation_fails_when_the_statement_is_true(label, name, cured, monkeypatch):
    monkeypatch.setattr(scratch, name, cured)
    with pytest.raises(ClaimFailed, match="no counterexample"):
        run(get(label))
