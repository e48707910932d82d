"""The tools of the tests must themselves be able to fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp


def test_close_accepts_the_same_values(rng):
    x = rng.normal(size=(2, 3))
    close(x, x.copy())
    close((x, torch.tensor(x)), (x, x))


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (-7 * np.ones(3), np.ones(3)),
        (np.ones((3, 1)), np.ones(3)),
        (np.ones(1), np.ones(3)),
        (np.full(3, np.nan), np.full(3, np.nan)),
        (np.array([1.0, 1.0, 1.0 + 1e-6]), np.ones(3)),
        ((np.ones(3),), (np.ones(3), np.ones(3))),
        (np.ones(3), (np.ones(3),)),
    ],
    ids=["values", "axis added", "broadcast", "nan", "one entry", "too few", "no sequence"],
)
def test_close_refuses(got, want):
    with pytest.raises(AssertionError):
        close(got, want)


def test_the_two_gradients_agree_and_see_a_transposed_weight(rng):
    w, x, v = rng.normal(size=(2, 3)), rng.normal(size=3), rng.normal(size=2)
    _, grads = torch_vjp(lambda w, x: w @ x, (w, x), v)
    close(numeric_vjp(lambda w, x: w @ x, (w, x), v), grads, rtol=1e-6, atol=1e-8)
    wrong = numeric_vjp(lambda w, x: 2 * (w @ x), (w, x), v)
    with pytest.raises(AssertionError):
        close(wrong, grads, rtol=1e-6, atol=1e-8)


def test_torch_vjp_refuses_a_cotangent_of_another_shape():
    with pytest.raises(AssertionError, match="cotangent of shape"):
        torch_vjp(lambda x: x, (np.ones(3),), np.ones((3, 1)))
