"""The networks of the depth experiment, and that what is measured on them can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnbook import nn
from nnbook.claims import _depth_trained as trained
from nnbook.claims.depth import squares

SMALL = 3


@pytest.mark.parametrize("kind", trained.KINDS)
def test_all_kinds_have_the_same_affine_maps(kind):
    model = trained.network(kind, SMALL, seed=1)
    maps = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert [(m.out_features, m.in_features) for m in maps] == [(32, 784), *[(32, 32)] * 6, (10, 32)]
    assert all(m.bias.abs().max() == 0 for m in maps)
    again = trained.network(kind, SMALL, seed=1)
    other = trained.network(kind, SMALL, seed=2)
    weights = [next(p for p in m.parameters() if p.ndim == 2) for m in (model, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_weights_are_drawn_by_hes_rule():
    model = trained.network("residual", 64, seed=0)
    inside = torch.cat([p.detach().flatten() for p in model.blocks.parameters() if p.ndim == 2])
    assert abs(float(inside.var()) / (2 / 32) - 1) < 0.03
    assert abs(float(model.enter.weight.detach().var()) / (1 / 784) - 1) < 0.05


def test_the_kinds_differ_where_they_should():
    x = torch.tensor(trained.pictures(1)[0][:5])
    plain, residual, scaled, zero, normalized = (
        trained.network(kind, SMALL, seed=1) for kind in trained.KINDS
    )
    z = residual.enter(x)
    f = residual.blocks[0].f
    assert torch.equal(plain.blocks[0](z), f(z))
    assert torch.equal(residual.blocks[0](z), z + f(z))
    torch.testing.assert_close(scaled.blocks[0](z), z + f(z) / SMALL)
    assert torch.equal(zero.blocks(z), z)
    branch = normalized[1][0].f
    assert isinstance(branch[0], nn.LayerNorm)
    torch.testing.assert_close(normalized[1][0](3 * z), 3 * z + branch(z), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", ["residual", "normalized"])
def test_sizes_at_the_start_are_those_of_the_states(kind):
    values, slopes = trained.at_start(kind, SMALL, 1)
    assert values.shape == slopes.shape == (SMALL + 1,)
    x, y = (torch.tensor(t[:100]) for t in trained.pictures(1))
    enter, chain, *rest = trained.network(kind, SMALL, 1)
    z = enter(x).detach().requires_grad_()
    out = chain(z)
    np.testing.assert_allclose(values[[0, -1]], [t.square().mean().sqrt().item() for t in (z, out)])
    for part in rest:
        out = part(out)
    grad = torch.autograd.grad(torch.nn.functional.cross_entropy(out, y), z)[0]
    np.testing.assert_allclose(slopes[0], grad.square().mean().sqrt().item(), rtol=1e-5)


def test_pictures_differ_by_seed_and_are_standardized():
    (x, y), (other, _) = trained.pictures(1), trained.pictures(2)
    assert x.shape == (400, 784)
    assert y.shape == (400,)
    assert not np.array_equal(x, other)
    assert abs(x.mean()) < 0.05


def test_a_run_that_diverges_counts_as_guessing():
    assert trained.trained("residual", 64, 0.03, 1) == (float(np.log(10)), 0.1)


def test_training_lowers_the_loss_and_the_rate_is_chosen_on_seed_0():
    rate = trained.best_rate("scaled", 2)
    assert rate in trained.RATES
    losses = [trained.trained("scaled", 2, r, 0)[0] for r in trained.RATES]
    assert trained.trained("scaled", 2, rate, 0)[0] == min(losses)
    assert trained.result("scaled", 2, 1)[0] < 1.2


def test_alike_knows_different_from_equal():
    assert trained.alike("plain", 64, 1) > 0.99
    assert trained.alike("zero", 64, 1) < 0.9


def test_squares_start_at_the_input_and_never_shrink():
    sizes = squares(10, 0.5, seed=0, width=8)
    assert sizes.shape == (11,)
    assert np.all(sizes[5:] > sizes[:-5])
    assert not np.array_equal(sizes, squares(10, 0.5, seed=1, width=8))
