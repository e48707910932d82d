"""Rounding: the bound is one, its parts are right, and a program that adds wrongly breaks it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnbook.claims import _devices_trained, devices
from nnbook.claims._outcomes import holds
from nnbook.claims.devices import any_device, any_order, float32, gamma, sum_in_some_order

U = 2.0**-24


def test_gamma_is_n_u_over_one_minus_n_u_and_has_an_end():
    assert gamma(4, 0.125) == 1.0
    assert gamma(0, U) == 0.0
    with pytest.raises(ValueError, match=r"gamma: 4 roundings of 0\.25 have no bound"):
        gamma(4, 0.25)


@pytest.mark.parametrize("m", [0, 1, 2, 3, 50])
def test_every_order_adds_every_term_once(m, rng):
    terms = rng.integers(-100, 100, m).astype(np.float32)
    sums = {float(sum_in_some_order(terms, order)) for order in range(5)}
    assert sums == {float(terms.astype(float).sum())}


def test_orders_differ(rng):
    terms = rng.normal(size=200).astype(np.float32)
    assert len({float(sum_in_some_order(terms, order)) for order in range(10)}) > 1


def test_the_grid_keeps_products_away_from_underflow(rng):
    x = float32(rng.normal(size=100) * 10)
    assert x.dtype == np.float32
    assert set(np.abs(x[x != 0]) >= 1 / 1024) == {True}
    assert np.array_equal(x * 1024, np.round(x * 1024))


def test_the_bound_of_a_sum_is_nearly_reached():
    """With u per addition of equal sign: 1 + u is rounded down to 1, again and again."""
    terms = np.array([1.0] + [U] * 400, np.float32)
    total = np.float32(0)
    for t in terms:
        total += t
    off = abs(float(total) - math.fsum(terms.astype(float)))
    bound = gamma(len(terms), U) * math.fsum(terms.astype(float))
    assert 0.9 * bound < off <= bound


@pytest.mark.parametrize("lost", ["a term", "digits"])
def test_a_wrong_sum_breaks_the_claim(monkeypatch, lost, rng):
    def wrong(terms, order):
        if lost == "a term":
            return sum_in_some_order(terms[1:], order)
        return np.float32(sum_in_some_order(terms.astype(np.float16), order))

    w, x = rng.uniform(1, 2, (2, 12))
    assert holds(any_order(12, w, x, 0))
    monkeypatch.setattr(devices, "sum_in_some_order", wrong)
    assert not holds(any_order(12, w, x, 0))


def test_a_device_with_fewer_digits_breaks_the_claim(monkeypatch, rng):
    W, X = rng.uniform(1, 2, (3, 20)), rng.uniform(1, 2, (20, 2))
    assert holds(any_device(W, X, 20, 0))
    honest = devices.products

    def coarse(W, X, order):
        half = (W.astype(np.float16) @ X.astype(np.float16)).astype(np.float32)
        return honest(W, X, order) | {"half": half}

    monkeypatch.setattr(devices, "products", coarse)
    assert not holds(any_device(W, X, 20, 0))


def test_all_programs_are_compared():
    W, X = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    found = devices.products(W, X, 0)
    assert {"one by one", "BLAS", "BLAS, permuted", "cpu"} <= set(found)
    assert all(np.array_equal(a, np.full((2, 4), 3.0)) for a in found.values())


def test_the_twins_start_alike_and_come_apart():
    both = _devices_trained.twins(0)
    assert 0 < both.first_gradient < 1e-6
    assert len(both.apart) == 3
    assert all(0 < gap < 1e-3 for gap in both.apart)
    assert all(0.5 < right < 1 for right in both.accuracies)
