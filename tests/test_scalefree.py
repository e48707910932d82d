"""The experiments of the topic scalefree: right gradients, and able to see a difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tools import close, torch_vjp

from nnbook.claims import _scalefree_trained as trained
from nnbook.claims import scalefree
from nnbook.scratch import layer_norm, mm

fused = torch.nn.functional.layer_norm


def test_the_gradient_of_the_claims_is_that_of_torch(rng):
    W, b, z = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)
    gamma, y = rng.normal(size=(2, 4))

    def loss(W, b):
        out = fused(W @ torch.tensor(z) + b, (4,), torch.tensor(gamma), None, 0.01)
        return (out - torch.tensor(y)).square().sum().reshape(1) / 2

    _, want = torch_vjp(loss, (W, b), np.ones(1))
    close(scalefree.gradient(W, b, z, gamma, y, eps=0.01), want)


def test_descent_goes_down_and_keeps_every_step(rng):
    W, b, z = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)
    gamma, y = np.ones(4), rng.normal(size=4)
    path = scalefree.descend(W, b, 1e-3, 5, (z, gamma, y))
    losses = [((layer_norm(mm(z, *t), gamma, eps=0.0) - y) ** 2).sum() for t in path]
    assert len(path) == 6
    assert np.all(np.diff(losses) < 0)


def test_the_gradient_of_the_deep_network_is_that_of_torch():
    rng = np.random.default_rng(5)
    layers = 1.3 * rng.normal(size=(6, 32, 32)) / 4
    z, v = rng.normal(size=(2, 32))
    for normalized in (True, False):

        def net(z, normalized=normalized):
            for W in torch.tensor(layers):
                z = torch.relu(fused(W @ z, (32,)) if normalized else W @ z)
            return z

        _, (want,) = torch_vjp(net, (z,), v)
        got = trained.gradient_size(1.3, normalized, 5, depth=6)
        assert got == pytest.approx(np.linalg.norm(want), rel=1e-9)


def test_a_network_has_layer_norm_where_it_says_so():
    with_ln, without = trained.network(True), trained.network(False)
    count = [sum("LayerNorm" in type(m).__name__ for m in n.modules()) for n in (with_ln, without)]
    assert count == [4, 0]
    assert with_ln(torch.zeros(2, 784)).shape == without(torch.zeros(2, 784)).shape == (2, 10)


def test_pictures_are_other_ones_for_each_seed_and_standardized():
    (x, y), (x_test, y_test) = trained.pictures(0)
    other, _ = trained.pictures(1)[0]
    assert x.shape == (1000, 784)
    assert y.shape == (1000,)
    assert x_test.shape[1:] == (784,)
    assert len(x_test) == len(y_test)
    assert abs(x.mean()) < 1e-3
    assert abs(x.std() - 1) < 1e-3
    assert not np.array_equal(x, other)


def test_a_run_that_diverges_counts_as_guessing():
    assert trained.accuracy_after(False, 1e6, 0) == 0.1
