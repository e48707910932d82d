"""What the claims about training rest on, and that each of them can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tools import close

from nnbook import data, nn, scratch
from nnbook.claims import ClaimFailed, gradientflow, run
from nnbook.claims._core import get

F = torch.nn.functional


@pytest.mark.parametrize("variance", [2 / 256, 1 / 256])
def test_the_norm_ratio_is_what_autograd_says(variance):
    rng = np.random.default_rng(3)
    shape = (gradientflow.DEPTH, gradientflow.WIDTH, gradientflow.WIDTH)
    weights = torch.tensor(rng.normal(scale=np.sqrt(variance), size=shape))
    x = torch.tensor(rng.normal(size=gradientflow.WIDTH), requires_grad=True)
    v = torch.tensor(rng.normal(size=gradientflow.WIDTH))
    h = x
    for w in weights:
        h = torch.relu(w @ h)
    (g,) = torch.autograd.grad(h, x, v)
    close(gradientflow._norm_ratio(variance, 3), (g.norm() / v.norm()).item())


def test_fitting_the_absolute_value_is_gradient_descent_on_the_loss():
    x = torch.linspace(-1, 1, 8, dtype=torch.float64)
    w, b, u = (torch.tensor(p, dtype=torch.float64) for p in ([0.6, -0.4], [0.1, 0.1], [0.5, 0.7]))
    losses = []
    for _ in range(5):
        w, b = w.detach().requires_grad_(), b.detach().requires_grad_()
        loss = ((torch.relu(x[:, None] * w + b) @ u - x.abs()) ** 2).mean()
        losses.append(loss.item())
        loss.backward()
        w, b = w - 0.3 * w.grad, b - 0.3 * b.grad
    close(
        gradientflow._descend(scratch.relu, scratch.relu_derivative, steps=5),
        (losses[0], losses[-1]),
    )


@pytest.mark.parametrize("rate", [0.3, 30.0])
def test_the_share_of_dead_units_is_that_of_a_training_by_autograd(rate):
    points = data.moons(200, 0.1, 1)
    x, y = torch.tensor(points.x), torch.tensor(points.y, dtype=torch.float64)
    rng = np.random.default_rng(1)
    start = [scratch.he_normal(rng, 64, 2), np.zeros(64), scratch.he_normal(rng, 1, 64)[0], 0.0]
    parameters = [torch.tensor(p, dtype=torch.float64) for p in start]
    for _ in range(60):
        W, b, u, c = parameters = [p.detach().requires_grad_() for p in parameters]
        z = torch.relu(x @ W.T + b) @ u + c
        F.binary_cross_entropy_with_logits(z, y).backward()
        parameters = [p - rate * p.grad for p in parameters]
    W, b, _, _ = parameters
    want = (x @ W.T + b <= 0).all(0).double().mean().item()
    close(gradientflow._dead_share(rate, 1), want, atol=0.02)  # a unit may sit on the edge


def test_the_comparison_trains_what_it_says():
    right = gradientflow.fashion_correct("ReLU", 0)
    assert right.shape == (1000,)
    assert right.dtype == bool
    assert right.mean() > 0.75
    assert gradientflow.compare(0) == gradientflow.fashion_correct("GELU", 0).mean() - right.mean()


def test_operations_are_counted_forward_and_backward():
    assert gradientflow._operations("relu") >= 3
    assert gradientflow._operations("gelu") > gradientflow._operations("relu")


def shifted(f, by):
    return lambda *args: f(*args) + by


BROKEN = [
    ("flow-step", gradientflow, "_step", lambda z: z),
    ("flow-dead", scratch, "relu_vjp", lambda v, z: v),
    ("flow-dead", scratch, "relu_vjp", lambda v, z: v * (z >= 0)),
    ("flow-revive", scratch, "relu_vjp", lambda v, z: 0 * v),
    ("flow-norm", scratch, "relu_derivative", lambda z: np.ones_like(z)),
    ("flow-norm", scratch, "relu_derivative", lambda z: np.where(z > 0, 1.0, 0.01)),
    ("flow-he", scratch, "relu_derivative", lambda z: np.ones_like(z)),
    ("flow-xavier", scratch, "relu", lambda z: 0 * z),
    ("flow-half", scratch, "relu_derivative", lambda z: np.ones_like(z)),
    ("flow-sigmoid-chain", scratch, "sigmoid_derivative", lambda z: 0.3 + 0 * z),
    ("flow-large-step", gradientflow, "_dead_share", lambda rate, seed: 0.1),
    ("flow-saturation-libraries", scratch, "tanh", lambda z: np.clip(z, -1, 1)),
    ("flow-kink", nn, "relu", lambda z: z),
    ("flow-kink", nn, "relu", lambda z: z.clamp(min=0)),
    ("flow-compare", gradientflow, "fashion_correct", lambda n, s: np.array([n == "ReLU"])),
    ("flow-cost", gradientflow, "_operations", lambda name: 3),
]


@pytest.mark.parametrize(
    ("label", "where", "name", "wrong"), BROKEN, ids=[f"{b[0]}-{i}" for i, b in enumerate(BROKEN)]
)
def test_a_broken_rule_breaks_its_claim(label, where, name, wrong, monkeypatch):
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(ClaimFailed):
        run(get(label))


@pytest.mark.parametrize(
    ("label", "name", "cured"),
    [
        ("flow-no-vanishing", "relu_derivative", lambda z: np.where(z > 0, 1.0, 0.01)),
        ("flow-tanh-strict", "tanh", lambda z: 0.999 * np.tanh(z)),
    ],
)
def test_a_refutation_fails_when_the_statement_is_true(label, name, cured, monkeypatch):
    monkeypatch.setattr(scratch, name, cured)
    with pytest.raises(ClaimFailed, match="no counterexample"):
        run(get(label))
