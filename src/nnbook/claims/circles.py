"""Claims of the topic circles: how good a rule for two noisy circles can be.

A point of class 0 lies on the circle of radius 1, one of class 1 on that of radius ``factor``; both
coordinates then get Gaussian noise. What is reached by training is in a file of its own, which
this one loads at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from nnbook.data import circles_bayes_accuracy

from ._core import claim, exact, measured
from ._outcomes import All, AtMost, Close, Outcome
from .domains import Matrix, Scalar, Size, Vector

Array = np.ndarray

NOISE, FACTOR = 0.1, 0.8
BEST = circles_bayes_accuracy(NOISE, FACTOR)
HALF_PLANE = 0.5 + np.arccos(FACTOR) / (2 * np.pi)
TEST = 20_000  # points to test on
SAMPLE = 200_000  # points to compare the integral with


def room(points: int) -> float:
    """Return four standard deviations of the best accuracy measured on so many points."""
    return float(4 * np.sqrt(BEST * (1 - BEST) / points))


def band(low: float, high: float) -> tuple[float, float]:
    """Return both ends with four decimals, for the page."""
    return round(low, 4), round(high, 4)


def inside(cut: float, radius: float, noise: float) -> float:
    """Return how likely a noisy point of the circle of this radius lies within ``cut`` of 0."""
    if cut <= 0:
        return 0.0
    return float(special.chndtr((cut / noise) ** 2, 2, (radius / noise) ** 2))


def disc_accuracy(cut: float, noise: float, factor: float) -> float:
    """Return the accuracy of the rule "class 1 within ``cut`` of 0, else class 0"."""
    return 0.5 + 0.5 * (inside(cut, factor, noise) - inside(cut, 1.0, noise))


def half_plane_accuracy(cut: float, noise: float, factor: float) -> float:
    """Return the accuracy of the better of the two rules that split the plane at x_1 = cut."""
    angles = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    beyond = [special.ndtr((r * np.cos(angles) - cut) / noise).mean() for r in (1.0, factor)]
    return float(0.5 + 0.5 * abs(beyond[0] - beyond[1]))


@claim(
    "cir-bayes",
    says=r"On two circles of radius $1$ and $q < 1$ with noise of deviation $s > 0$, the best of "
    r"all rules says inner circle if and only if $\norm{x} < r^*$, where $r^* > 0$ is the one "
    r"solution of $\log I_0(r/s^2) - \log I_0(qr/s^2) = (1 - q^2)/(2s^2)$. Its accuracy is "
    r"$\frac12 + \frac12\left(F_q(r^*) - F_1(r^*)\right)$ with Rice's distribution function $F$. "
    r"`nnbook.data` computes both.",
    proof=True,
    given={"s": Scalar(0.05, 0.5), "q": Scalar(0, 0.95), "r": Scalar(0, 2)},
)
def circles_bayes(s: float, q: float, r: float) -> Outcome:
    from nnbook import data

    best = data.circles_bayes_radius(s, q)
    ratio = [np.log(special.i0e(c * best / s**2)) + c * best / s**2 for c in (1.0, q)]
    accuracy = data.circles_bayes_accuracy(s, q)
    return All(
        Close((ratio[0] - ratio[1]) * s**2, (1 - q**2) / 2),
        Close(accuracy, disc_accuracy(best, s, q)),
        AtMost(disc_accuracy(r, s, q), accuracy),
    )


@claim(
    "cir-half-plane",
    says=r"Whatever the noise, no half-plane has an accuracy above "
    r"$\frac12 + \frac1{2\pi}\arccos q$ on two circles of radius $1$ and $q$; without noise the "
    r"half-plane $x_1 > q$ reaches it.",
    proof=True,
    given={"s": Scalar(0.01, 1), "q": Scalar(0.01, 0.95), "c": Scalar(-2, 2)},
)
def half_plane(s: float, q: float, c: float) -> Outcome:
    bound = 0.5 + np.arccos(q) / (2 * np.pi)
    angles = np.linspace(0, 2 * np.pi, 10_000, endpoint=False)
    beyond = [(r * np.cos(angles) > q + 1e-12).mean() for r in (1.0, q)]  # without noise, x_1 > q
    reached = 0.5 + 0.5 * (beyond[0] - beyond[1])
    return All(
        AtMost(half_plane_accuracy(c, s, q), bound),
        AtMost(abs(reached - bound), 1e-4),  # one point more or less in 10 000
    )


@claim(
    "cir-same-mean",
    says=r"If two equally large classes have the same mean, then no linear model has a smaller "
    r"logistic loss than the constant one: the loss at every $w, b$ is at least $\log 2$, its "
    r"value at $w = 0$, $b = 0$, where the model answers $\frac12$ for every point.",
    proof=True,
    given={
        "n": Size(1, 6),
        "X0": Matrix("n", "d"),
        "X1": Matrix("n", "d"),
        "w": Vector("d"),
        "b": Scalar(),
    },
)
def same_mean(X0: Array, X1: Array, w: Array, b: float) -> Outcome:
    X1 = X1 - X1.mean(axis=0) + X0.mean(axis=0)

    def loss(w: Array, b: float) -> float:
        wrong = np.concatenate([X0 @ w + b, -(X1 @ w + b)])
        return float(np.logaddexp(0.0, wrong).mean())

    return All(AtMost(np.log(2), loss(w, b)), Close(loss(0 * w, 0.0), np.log(2)))


@exact("cir-same-mean")
def same_mean_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    t = sp.Symbol("t", real=True)
    softplus = sp.log(1 + sp.exp(t))
    curve = sp.diff(softplus, t, 2) - sp.exp(t) / (1 + sp.exp(t)) ** 2
    e = sp.Symbol("e", positive=True)  # exp(t)
    above = (1 + e) * (1 + 1 / e) - 4 - (e - 1) ** 2 / e  # sum of both losses, as a product
    return [("softplus is convex", curve), ("softplus(t) + softplus(-t) >= log 4", above)]


@measured(
    "cir-sample",
    says="The best circle has the accuracy on 200000 drawn points that the integral says.",
    band=band(BEST - room(SAMPLE), BEST + room(SAMPLE)),
    seeds=range(3),
    unit="accuracy",
)
def circles_sample(seed: int) -> float:
    from nnbook import data

    points = data.circles(SAMPLE, NOISE, FACTOR, seed=seed)
    return float((data.circles_bayes_predict(points.x, NOISE, FACTOR) == points.y).mean())


from . import _circles_trained  # noqa: E402, F401  the rest of the claims of this topic
