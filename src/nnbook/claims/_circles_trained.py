"""Claims of the topic circles: what models reach that are trained on two noisy circles.

The models are modules of `nnbook.nn`, trained by `nnbook.training.fit`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ._core import claim, measured, refutation
from ._outcomes import All, AtMost, Equal, Holds, Outcome
from .circles import BEST, FACTOR, HALF_PLANE, NOISE, TEST, band, room
from .domains import Choice, Size

Array = np.ndarray


def fresh(seed: int) -> tuple[Any, Any]:
    """Return 700 points to train on and 20000 fresh ones to test on."""
    from nnbook import data

    train = data.circles(700, NOISE, FACTOR, seed=seed)
    return train, data.circles(TEST, NOISE, FACTOR, seed=10_000 + seed)


def trained(seed: int, widths: tuple[int, ...], x: Array, y: Any, epochs: int, lr: float) -> Any:
    """Return a multilayer perceptron with these hidden widths, trained on the points."""
    import torch

    from nnbook import nn
    from nnbook.training import fit

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes, layers = (x.shape[1], *widths), []
        for m, n in pairwise(sizes):
            layers += [nn.Linear(m, n), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(sizes[-1], 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    loss = torch.nn.CrossEntropyLoss()
    fit(
        model,
        (x.astype(np.float32), y),
        loss=loss,
        optimizer=optimizer,
        epochs=epochs,
        batch_size=32,
        seed=seed,
        progress=False,
    )
    return model


def _score(seed: int, widths: tuple[int, ...], power: int, epochs: int, lr: float) -> float:
    from nnbook.training import predict

    train, test = fresh(seed)
    model = trained(seed, widths, train.x**power, train.y, epochs, lr)
    return float((predict(model, test.x**power) == test.y).mean())


@measured(
    "cir-linear",
    says="A linear model of the coordinates, trained on 700 points of the circles with noise 0.1 "
    "and factor 0.8, is near chance on fresh points; but for the scatter of the test points it "
    "stays below the bound for half-planes.",
    band=band(0.42, HALF_PLANE + 1.4 * room(TEST)),
    seeds=range(3),
    unit="accuracy",
)
def circles_linear(seed: int) -> float:
    return _score(seed, (), 1, 15, 0.01)


@measured(
    "cir-network",
    says="A multilayer perceptron of modules of this book (two hidden layers of 16 ReLU units), "
    "trained on the same points, comes close to the best possible accuracy on fresh points.",
    band=band(0.80, BEST + room(TEST)),
    seeds=range(3),
    unit="accuracy",
)
def circles_mlp(seed: int) -> float:
    return _score(seed, (16, 16), 1, 60, 0.01)


@measured(
    "cir-squares",
    says=r"The same linear model, given $(x_1^2, x_2^2)$ in place of $(x_1, x_2)$, comes close to "
    "the best possible accuracy without any hidden layer.",
    band=band(0.82, BEST + room(TEST)),
    seeds=range(3),
    unit="accuracy",
)
def circles_squares(seed: int) -> float:
    return _score(seed, (), 2, 40, 0.05)


@refutation(
    "cir-needs-hidden",
    says="On the circles a linear model stays far (more than 0.05) below the best possible "
    "accuracy, whatever features it is given; only a network with hidden layers comes near.",
    given={"features": Choice(("coordinates", "squares"))},
    right="cir-squares",
)
def needs_hidden(features: str) -> Outcome:
    from nnbook import data

    score = _score(0, (), 1 if features == "coordinates" else 2, 40, 0.05)
    best = data.circles_bayes_accuracy(NOISE, FACTOR)
    return AtMost(score, best - 0.05)


@refutation(
    "cir-linear-fails",
    says="Where the classes are not linearly separable a linear model is near chance: its accuracy "
    "stays below 0.65.",
    given={"points": Choice(("circles", "moons"))},
)
def linear_fails(points: str) -> Outcome:
    from nnbook import data
    from nnbook.training import predict

    train, test = fresh(0)
    if points == "moons":
        train, test = data.moons(700, 0.2, seed=0), data.moons(TEST, 0.2, seed=1)
    model = trained(0, (), train.x, train.y, 15, 0.05)
    return AtMost(float((predict(model, test.x) == test.y).mean()), 0.65)


def _short_run(draw: int, initial: int, shuffle: int) -> tuple[Any, list[Any], list[Any]]:
    """Train a small network for a moment; return it, its first and its last parameters."""
    import torch

    from nnbook import data, nn
    from nnbook.training import fit

    points = data.circles(40, NOISE, FACTOR, seed=draw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(initial)
        model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    first = [p.detach().numpy().copy() for p in model.parameters()]
    fit(
        model,
        (points.x.astype(np.float32), points.y),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        epochs=2,
        batch_size=8,
        seed=shuffle,
        progress=False,
    )
    return model, first, [p.detach().numpy().copy() for p in model.parameters()]


@claim(
    "cir-own-modules",
    says="The network of this chapter consists of modules of this book only, and training changes "
    "every one of its parameters.",
)
def own_modules() -> Outcome:
    model, first, last = _short_run(0, 0, 0)
    homes = {type(m).__module__.rpartition(".")[0] for m in model.modules()}
    moved = [not np.array_equal(p, q) for p, q in zip(first, last, strict=True)]
    return All(Equal(sorted(homes), ["nnbook.nn"]), Holds(moved, "a parameter did not move"))


@claim(
    "cir-seed",
    says="A run of this chapter draws from three generators: the data, the initial weights and the "
    "order of the batches. With all three seeds the same, two runs on the same machine end with "
    "the same weights, bit for bit.",
    given={"draw": Size(0, 1000), "initial": Size(0, 1000), "shuffle": Size(0, 1000)},
    cases=10,
)
def seed_repeats(draw: int, initial: int, shuffle: int) -> Outcome:
    runs = [_short_run(draw, initial, shuffle)[2] for _ in range(2)]
    return All(*(Equal(p, q) for p, q in zip(*runs, strict=True)))


@refutation(
    "cir-one-seed",
    says="One seed at the start of a program, for the generator of the initial weights, makes the "
    "training repeatable, whatever the other generators do.",
    given={"initial": Size(0, 1000), "shuffle": Size(0, 1000), "other": Size(0, 1000)},
    right="cir-seed",
    cases=50,
)
def one_seed(initial: int, shuffle: int, other: int) -> Outcome:
    runs = [_short_run(0, initial, s)[2] for s in (shuffle, other)]
    gap = max(float(np.abs(p - q).max()) for p, q in zip(*runs, strict=True))
    return Holds(gap == 0.0, f"the final weights differ by up to {gap:.3g}")
