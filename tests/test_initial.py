"""Initial values: the same numbers as torch's, and the variances that the equations state."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from tools import close

from nnbook import nn, scratch
from nnbook.claims import initial

NAMES = ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"]
SHAPES = [(3, 2), (1, 7), (4, 3, 5), (2, 3, 4, 5), (64, 33)]
SLOPES = ["relu", "leaky_relu", "linear", "tanh", "sigmoid", "conv2d"]


def both(name, shape, dtype=torch.float32, **options):
    """Fill a weight by our function and by torch's, from the same seed, and check the return."""
    results = []
    for package in (nn.init, torch.nn.init):
        weight = torch.nn.Parameter(torch.zeros(shape, dtype=dtype))
        torch.manual_seed(5)
        assert getattr(package, name)(weight, **options) is weight
        assert weight.requires_grad
        assert weight.grad_fn is None
        results.append((weight.detach(), torch.rand(1)))
    return results


def same(results):
    """Assert that the weights, and what the generator gives next, are bit for bit the same."""
    (ours, next_ours), (theirs, next_theirs) = results
    assert torch.equal(ours, theirs)
    assert torch.equal(next_ours, next_theirs)
    assert ours.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_values_are_torchs(name, shape, dtype):
    same(both(name, shape, dtype))


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("gain", [0.5, 5 / 3])
def test_xavier_takes_a_gain(name, gain):
    same(both(name, (4, 3), gain=gain))


@pytest.mark.parametrize("name", NAMES[2:])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "FAN_OUT"])
@pytest.mark.parametrize("nonlinearity", SLOPES)
@pytest.mark.parametrize("a", [0, 0.3, math.sqrt(5)])
def test_kaiming_takes_slope_mode_and_nonlinearity(name, mode, nonlinearity, a):
    same(both(name, (4, 3, 2), a=a, mode=mode, nonlinearity=nonlinearity))


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_of_ones_own(name):
    drawn = []
    for package in (nn.init, torch.nn.init, torch.nn.init):
        seed = 7 if len(drawn) < 2 else 8
        generator = torch.Generator().manual_seed(seed)
        drawn.append(getattr(package, name)(torch.zeros(4, 3), generator=generator))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("nonlinearity", [*SLOPES, "conv1d", "conv3d"])
@pytest.mark.parametrize("param", [None, 0, 0.2, -3])
def test_gains_are_torchs(nonlinearity, param):
    theirs = torch.nn.init.calculate_gain(nonlinearity, param)
    assert nn.init.calculate_gain(nonlinearity, param) == theirs


@pytest.mark.parametrize("shape", [(3, 2), (4, 3, 5), (2, 3, 4, 5)])
def test_fans_are_torchs(shape):
    theirs = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert nn.init.fans(shape) == theirs


@pytest.mark.parametrize("name", NAMES[2:])
def test_an_empty_weight_is_left_alone_with_torchs_warning(name):
    for package in (nn.init, torch.nn.init):
        with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
            assert getattr(package, name)(torch.empty(0, 3)).shape == (0, 3)


# (draw, its variance for n outputs and m inputs, whether it is uniform)
DRAWS = [
    (lambda r, n, m: scratch.xavier_uniform(r, n, m), lambda n, m: 2 / (n + m), True),
    (lambda r, n, m: scratch.xavier_normal(r, n, m), lambda n, m: 2 / (n + m), False),
    (lambda r, n, m: scratch.xavier_uniform(r, n, m, 3.0), lambda n, m: 18 / (n + m), True),
    (lambda r, n, m: scratch.xavier_normal(r, n, m, 3.0), lambda n, m: 18 / (n + m), False),
    (lambda r, n, m: scratch.he_uniform(r, n, m), lambda n, m: 2 / m, True),
    (lambda r, n, m: scratch.he_normal(r, n, m), lambda n, m: 2 / m, False),
    (lambda r, n, m: scratch.he_uniform(r, n, m, mode="fan_out"), lambda n, m: 2 / n, True),
    (lambda r, n, m: scratch.he_normal(r, n, m, mode="fan_out"), lambda n, m: 2 / n, False),
    (lambda r, n, m: scratch.he_uniform(r, n, m, negative_slope=2), lambda n, m: 0.4 / m, True),
    (lambda r, n, m: scratch.he_normal(r, n, m, negative_slope=2), lambda n, m: 0.4 / m, False),
]


@pytest.mark.parametrize(("draw", "variance", "uniform"), DRAWS)
@pytest.mark.parametrize(("n", "m"), [(150, 400), (400, 150)])
def test_numpy_values_have_the_stated_law(draw, variance, uniform, n, m, rng):
    W, var = draw(rng, n, m), variance(n, m)
    assert W.shape == (n, m)
    assert abs((W**2).mean() / var - 1) < 0.03
    assert abs(W.mean()) < 5 * math.sqrt(var / W.size)
    fourth = (W**4).mean() / var**2  # 9/5 for a uniform law, 3 for a normal one
    assert abs(fourth - (1.8 if uniform else 3.0)) < 0.1
    if uniform:
        assert 0.99 * math.sqrt(3 * var) < np.abs(W).max() <= math.sqrt(3 * var)


def test_torch_and_numpy_values_have_the_same_law(rng):
    ours = scratch.he_uniform(rng, 300, 200)
    theirs = nn.init.kaiming_uniform_(torch.empty(300, 200)).numpy()
    assert abs(ours.std() / theirs.std() - 1) < 0.02


@pytest.mark.parametrize("name", ["xavier_uniform", "xavier_normal", "he_uniform", "he_normal"])
def test_numpy_values_are_repeatable_and_typed(name):
    draw = getattr(scratch, name)
    one, two = (draw(np.random.default_rng(4), 3, 2, dtype=np.float32) for _ in range(2))
    assert one.dtype == np.float32
    assert np.array_equal(one, two)
    assert not np.array_equal(one, draw(np.random.default_rng(5), 3, 2))


# --- what the claims about initial values rest on --------------------------------------------


def test_the_gradients_of_the_trained_stack_are_torchs(rng):
    sizes = [4, 5, 3, 10]
    layers = [(rng.normal(size=(n, m)), rng.normal(size=n)) for m, n in itertools.pairwise(sizes)]
    x, y = rng.normal(size=(7, 4)), rng.integers(0, 10, 7)
    leaves = [tuple(torch.tensor(p, requires_grad=True) for p in layer) for layer in layers]
    h = torch.tensor(x)
    for i, (W, b) in enumerate(leaves):
        h = torch.nn.functional.linear(h, W, b)
        h = h if i == 2 else h.relu()
    close(initial._values(layers, x)[-1], h)
    torch.nn.functional.cross_entropy(h, torch.tensor(y)).backward()
    close(initial._gradients(layers, x, y), [tuple(p.grad for p in layer) for layer in leaves])


def test_equal_units_learn_but_stay_equal(rng):
    X, y, w = rng.normal(size=(6, 3)), rng.normal(size=6), rng.normal(size=3)
    W = initial.train_equal_units(X, y, w, 0.7)
    close(W, np.tile(W[:1], (3, 1)))
    assert np.abs(W[0] - w).max() > 1e-3


def test_all_signs_are_there_once():
    signs = initial._signs(3)
    assert signs.shape == (8, 3)
    assert len(np.unique(signs, axis=0)) == 8
    close(signs.T @ signs, 8 * np.eye(3))


@pytest.mark.parametrize(("scale", "factor"), [(1.0, 0.5), (2.0, 2.0)])
def test_the_stack_shows_a_wrong_scale(scale, factor):
    def draw(rng, n, m):
        return scale * rng.standard_normal((n, m)) / np.sqrt(m)

    seen = initial.relu_stack(draw, 0, depth=6, width=400)
    assert len(seen) == 7
    assert abs((seen[-1] / seen[0]) ** (1 / 6) / factor - 1) < 0.1


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.init.calculate_gain("selu"), NotImplementedError, "nonlinearity='selu' is not"),
        (
            lambda: nn.init.calculate_gain("rleu"),
            ValueError,
            "'rleu' is not known; use one of .*relu",
        ),
        (lambda: nn.init.calculate_gain("leaky_relu", True), ValueError, "True is not a number"),
        (lambda: nn.init.calculate_gain("leaky_relu", "x"), ValueError, "'x' is not a number"),
        (lambda: nn.init.fans((3,)), ValueError, r"shape \(3,\) has no fan in and fan out"),
        (lambda: nn.init.xavier_normal_(torch.empty(3)), ValueError, "no fan in and fan out"),
        (
            lambda: nn.init.kaiming_normal_(torch.empty(3, 2), mode="fan"),
            ValueError,
            "mode='fan' is",
        ),
        (
            lambda: scratch.he_normal(np.random.default_rng(0), 3, 2, mode="in"),
            ValueError,
            "he_normal: mode='in' is not known; use one of .*fan_in",
        ),
        (
            lambda: scratch.he_uniform(np.random.default_rng(0), 3, 0),
            ValueError,
            "m=0 is too small",
        ),
        (lambda: scratch.xavier_normal(np.random.default_rng(0), 0, 3), ValueError, "n=0 is too"),
    ],
)
def test_what_is_not_taken(call, error, text):
    with pytest.raises(error, match=text):
        call()
