"""What the claims about two circles rest on, and that each of them can fail."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tools import close

from nnbook import data
from nnbook.claims import ClaimFailed, _circles_trained, circles, run
from nnbook.claims._core import get

SETTINGS = [(0.1, 0.8), (0.3, 0.5), (0.05, 0.0)]

# ---------------------------------------------------------------- two circles


@pytest.mark.parametrize(("noise", "factor"), SETTINGS)
@pytest.mark.parametrize("cut", [0.0, 0.3, 0.9, 1.4])
def test_the_share_inside_a_circle_is_rices_distribution(cut, noise, factor):
    for radius in (1.0, factor):
        want = stats.rice.cdf(cut, radius / noise, scale=noise)
        close(circles.inside(cut, radius, noise), want, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("noise", "factor"), SETTINGS)
def test_the_best_circle_is_what_the_densities_of_the_plane_say(noise, factor, rng):
    points = rng.uniform(-1.6, 1.6, size=(300, 2))
    angles = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def log_density(radius):
        squares = ((points[:, None] - radius * ring) ** 2).sum(axis=-1)
        return stats.norm.logpdf(np.sqrt(squares) / noise) - np.log(len(ring))

    inner, outer = (np.logaddexp.reduce(log_density(r), axis=1) for r in (factor, 1.0))
    near = np.abs(inner - outer) < 1e-9
    want = (inner > outer).astype(np.int64)
    got = data.circles_bayes_predict(points, noise, factor)
    assert len({*want}) == 2
    np.testing.assert_array_equal(got[~near], want[~near])


@pytest.mark.parametrize(("noise", "factor"), SETTINGS)
def test_the_accuracy_of_a_half_plane_is_what_drawn_points_say(noise, factor):
    points = data.circles(100_000, noise, factor, seed=1)
    for cut, angle in [(0.0, 0.3), (0.7, 2.0), (-0.9, 4.0)]:
        along = points.x @ np.array([np.cos(angle), np.sin(angle)])
        share = ((along < cut) == (points.y == 1)).mean()
        want = circles.half_plane_accuracy(cut, noise, factor)
        close(max(share, 1 - share), want, rtol=0, atol=0.0065)


def test_the_bound_for_half_planes_is_nearly_reached_with_little_noise():
    for factor in (0.3, 0.8):
        bound = 0.5 + np.arccos(factor) / (2 * np.pi)
        best = max(circles.half_plane_accuracy(c, 0.005, factor) for c in np.linspace(0, 1.2, 241))
        assert bound - 0.02 < best < bound


def test_a_fit_on_classes_with_the_same_mean_is_constant(rng):
    from sklearn.linear_model import LogisticRegression

    x0, x1 = rng.normal(size=(50, 3)), 4 * rng.normal(size=(50, 3))
    x = np.concatenate([x0 - x0.mean(axis=0), x1 - x1.mean(axis=0)])
    model = LogisticRegression(C=1e6, tol=1e-10).fit(x, np.repeat([0, 1], 50))
    close(model.coef_, np.zeros((1, 3)), atol=1e-6)
    close(model.intercept_, np.zeros(1), atol=1e-6)


WRONG = {
    "the radius of the mean": ("cir-bayes", "inside", lambda c, r, s: float(c > r)),
    "the disc": ("cir-bayes", "disc_accuracy", lambda c, s, q: 0.9),
    "half-planes are better": ("cir-half-plane", "half_plane_accuracy", lambda c, s, q: 0.9),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_claim_about_circles_fails_where_its_mathematics_is_broken(case, monkeypatch):
    label, name, wrong = WRONG[case]
    monkeypatch.setattr(circles, name, wrong)
    with pytest.raises(ClaimFailed, match=f"'{label}' is false"):
        run(get(label))


@pytest.mark.parametrize("label", ["cir-linear", "cir-network", "cir-squares"])
def test_a_model_that_knows_nothing_or_too_much_leaves_the_band(label, monkeypatch):
    for score in (0.3, 0.9):
        monkeypatch.setattr(_circles_trained, "_score", lambda *arguments, score=score: score)
        with pytest.raises(ClaimFailed, match=f"'{label}' was measured outside its band"):
            run(get(label))


def test_a_network_with_a_part_from_elsewhere_is_noticed(monkeypatch):
    import torch

    from nnbook import nn

    monkeypatch.setattr(nn, "ReLU", torch.nn.ReLU)
    with pytest.raises(ClaimFailed, match=r"torch\.nn"):
        run(get("cir-own-modules"))
