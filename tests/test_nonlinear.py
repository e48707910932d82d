"""That each claim about the use of non-linearity can fail."""

from __future__ import annotations

import numpy as np
import pytest

from nnbook import scratch
from nnbook.claims import ClaimFailed, nonlinear, run
from nnbook.claims._core import get


@pytest.mark.parametrize("wrong", [np.abs, np.square, lambda z: z], ids=["abs", "square", "none"])
def test_xor_needs_the_relu(wrong, monkeypatch):
    monkeypatch.setattr(scratch, "relu", wrong)
    with pytest.raises(ClaimFailed):
        run(get("nl-xor"))


def test_and_would_be_separable(monkeypatch):
    monkeypatch.setattr(nonlinear, "XOR", np.array([0.0, 0.0, 0.0, 1.0]))
    with pytest.raises(ClaimFailed):
        run(get("nl-xor"))


def test_other_points_give_another_count(monkeypatch):
    line = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    monkeypatch.setattr(nonlinear, "SQUARE", line)
    with pytest.raises(ClaimFailed):
        run(get("nl-boolean"))


def test_the_degree_bound_is_sharp(monkeypatch):
    real = np.diff
    monkeypatch.setattr(np, "diff", lambda a, n=1, **k: real(a, n - 1, **k)[:1])
    with pytest.raises(ClaimFailed):
        run(get("nl-polynomial"))


def test_a_parabola_would_reach_a_parabola(monkeypatch):
    monkeypatch.setattr(np, "sin", lambda x: x**2 / 10)
    with pytest.raises(ClaimFailed):
        run(get("nl-sine"))
    with pytest.raises(ClaimFailed, match="the statement holds"):
        run(get("nl-any"))
