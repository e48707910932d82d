"""Networks that are written down, and that the claims about them can fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp

from nnbook import scratch
from nnbook.claims import ClaimFailed, approximation, run
from nnbook.claims._core import get


@pytest.mark.parametrize("batch", [(), (1,), (4, 2), (0,)])
def test_relu_network_is_torch(batch, rng):
    layers = [(rng.normal(size=(n, m)), rng.normal(size=n)) for m, n in ((3, 5), (5, 4), (4, 2))]
    weights = [torch.tensor(t) for layer in layers for t in layer]

    def by_torch(x):
        lin = torch.nn.functional.linear
        first = torch.relu(lin(x, weights[0], weights[1]))
        return lin(torch.relu(lin(first, weights[2], weights[3])), weights[4], weights[5])

    f, f_vjp = scratch.relu_network(layers)
    x, v = rng.normal(size=(*batch, 3)), rng.normal(size=(*batch, 2))
    value, (grad,) = torch_vjp(by_torch, (x,), v)
    close(f(x), value)
    close(f_vjp(v, x), grad)
    if batch == (1,):
        close(f_vjp(v, x), numeric_vjp(f, (x,), v)[0], 1e-6, 1e-6)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_relu_interpolant_is_linear_interpolation(n, rng):
    knots = np.sort(rng.normal(size=n + 1) * 3)
    values = rng.normal(size=n + 1)
    layers = scratch.relu_interpolant(knots, values)
    assert [(W.shape, b.shape) for W, b in layers] == [((n, 1), (n,)), ((1, n), (1,))]
    x = np.linspace(knots[0], knots[-1], 101)
    close(scratch.relu_network(layers)[0](x[:, None])[:, 0], np.interp(x, knots, values))


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_tent_network_is_the_tent_map_again_and_again(k):
    layers = scratch.tent_network(k)
    assert [len(b) for _, b in layers] == [2] * k + [1]
    x = np.linspace(0, 1, 1001)
    y = x
    for _ in range(k):
        y = np.minimum(2 * y, 2 - 2 * y)
    close(scratch.relu_network(layers)[0](x[:, None])[:, 0], y, 1e-9 * 2**k, 1e-12 * 2**k)


@pytest.mark.errors
@pytest.mark.parametrize("knots", [[1.0], [1.0, 1.0], [2.0, 1.0], [0.0, float("nan")]])
def test_knots_must_increase(knots):
    with pytest.raises(ValueError, match="relu_interpolant: knots must be two or more increasing"):
        scratch.relu_interpolant(np.array(knots), np.zeros(len(knots)))


@pytest.mark.errors
def test_other_texts():
    with pytest.raises(ValueError, match="knots has 2 entries and values has 3"):
        scratch.relu_interpolant(np.arange(2.0), np.arange(3.0))
    with pytest.raises(ValueError, match="tent_network: k=0 is too small"):
        scratch.tent_network(0)


# --- the claims can fail -----------------------------------------------------------------------


def one_unit_more(k):
    first, *rest = scratch.tent_network(k)
    split, kink = first
    more = [(np.vstack([split, split[:1]]), np.append(kink, -0.25))]
    merge, bias = rest[0]
    return [*more, (np.hstack([merge, np.zeros((len(merge), 1))]), bias), *rest[1:]]


def wrong_kink(k):
    return [(W, b * 0.9) for W, b in scratch.tent_network(k)]


@pytest.mark.parametrize("broken", [one_unit_more, wrong_kink])
def test_the_tent_claim_notices_another_network(broken, monkeypatch):
    monkeypatch.setattr(approximation, "tent_network", broken)
    with pytest.raises(ClaimFailed):
        run(get("app-tent"))


def test_the_interpolation_claim_notices_a_wrong_slope(monkeypatch):
    def wrong(knots, values):
        (split, kink), (merge, bias) = scratch.relu_interpolant(knots, values)
        return [(split, kink), (1.01 * merge, bias)]

    monkeypatch.setattr(approximation, "relu_interpolant", wrong)
    with pytest.raises(ClaimFailed):
        run(get("app-interp"))


@pytest.mark.parametrize("label", ["app-width1", "app-cpa"])
def test_the_claims_about_relu_notice_another_activation(label, monkeypatch):
    monkeypatch.setattr(approximation, "relu", lambda z: 1.7 * np.abs(z))
    monkeypatch.setattr(approximation, "run_relu", lambda layers, x: np.abs(x) * layers[0][0][0, 0])
    with pytest.raises(ClaimFailed):
        run(get(label))
