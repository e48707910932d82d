"""Claims of the topic walkthrough that are measured: two moons, and the same run in torch."""

from __future__ import annotations

import time

import numpy as np

from nnbook.scratch import network_values, start_network, train_network
from nnbook.scratch.walkthrough import Activation, Layers

from ._core import claim, measured, refutation
from ._outcomes import All, AtMost, Close, Outcome
from .domains import Choice

Array = np.ndarray
NOISE, RATE, EPOCHS, BATCH = 0.2, 0.5, 60, 20


def classes(layers: Layers, x: Array, activation: Activation = "tanh") -> Array:
    """Return the class that a network gives each point; one logit above 0 means class 1."""
    z = network_values(x, layers, activation)[-1]
    return z.argmax(axis=1) if z.shape[1] > 1 else (z[:, 0] > 0).astype(np.int64)


def train_on_moons(
    seed: int, widths: tuple[int, ...] = (2, 16, 2), activation: Activation = "tanh"
) -> tuple[Layers, float, float]:
    """Train on 400 points of two moons; return the layers, the accuracy on 4000 others, seconds."""
    from nnbook import data

    train, test = data.moons(400, NOISE, seed=seed), data.moons(4000, NOISE, seed=10_000 + seed)
    start = time.perf_counter()
    layers, _ = train_network(
        train.x,
        train.y,
        start_network(np.random.default_rng(seed), widths, activation),
        rate=RATE,
        epochs=EPOCHS,
        batch_size=BATCH,
        rng=np.random.default_rng(seed),
        activation=activation,
    )
    seconds = time.perf_counter() - start
    return layers, float((classes(layers, test.x, activation) == test.y).mean()), seconds


def epoch_ratio(rounds: int = 15) -> float:
    """Return the seconds of an epoch by hand over those of PyTorch: moons, 2-64-64-2, float32.

    Both draw their parameters, go once through 700 points in batches of 32, and record the loss.
    """
    import torch

    from nnbook import data

    points, widths = data.moons(700, NOISE, seed=0), (2, 64, 64, 2)
    X = points.x.astype(np.float32)

    def by_hand() -> None:
        rng = np.random.default_rng(0)
        start = start_network(rng, widths, "relu", np.float32)
        train_network(
            X, points.y, start, rate=0.1, epochs=1, batch_size=32, rng=rng, activation="relu"
        )

    def by_torch() -> None:
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        model = torch.nn.Sequential(linear(2, 64), relu(), linear(64, 64), relu(), linear(64, 2))
        measure, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)
        x, y = torch.tensor(X), torch.tensor(points.y)
        total = 0.0
        for part in torch.randperm(700).split(32):
            optimizer.zero_grad()
            loss = measure(model(x[part]), y[part])
            loss.backward()
            optimizer.step()
            total += loss.item()

    seconds: dict[str, list[float]] = {"hand": [], "torch": []}
    for _ in range(rounds):  # in turn, so that a busy machine slows both
        for name, run in (("hand", by_hand), ("torch", by_torch)):
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return float(np.median(seconds["hand"]) / np.median(seconds["torch"]))


@measured(
    "wal-moons",
    says="A network with 16 tanh units, trained by hand-made gradients on 400 points of two moons "
    "with noise 0.2: its accuracy on 4000 fresh points.",
    band=(0.93, 0.99),
    seeds=range(5),
    unit="accuracy",
)
def moons(seed: int) -> float:
    return train_on_moons(seed)[1]


@measured(
    "wal-moons-linear",
    says="The same without a hidden layer, a linear model: its accuracy on fresh points.",
    band=(0.83, 0.90),
    seeds=range(5),
    unit="accuracy",
)
def moons_linear(seed: int) -> float:
    return train_on_moons(seed, (2, 2))[1]


@measured(
    "wal-seconds",
    says="The training of `wal-moons` (60 epochs) on a processor, with NumPy and no GPU: the "
    "seconds that it takes.",
    band=(0.0, 20.0),
    unit="seconds",
    varies=True,
)
def seconds(seed: int) -> float:
    return train_on_moons(seed)[2]


@measured(
    "wal-epoch-time",
    says="An epoch of a network 2-64-64-2 on 700 points, batches of 32, plain gradient steps, "
    "float32: the time of the gradients by hand over that of PyTorch's, the medians of fifteen "
    "epochs of each, in turn.",
    band=(0, 1),
    seeds=(0,),
    unit="time by hand over time of PyTorch",
    varies=True,
)
def epoch_time(seed: int) -> float:
    return epoch_ratio()


@refutation(
    "wal-gpu-source",
    says="The two-layer network of this chapter needs a GPU: without one it does not reach an "
    "accuracy of 0.93 within a minute.",
    given={"activation": Choice(("tanh", "relu"))},
    right="wal-seconds",
)
def needs_gpu(activation: Activation) -> Outcome:
    _, accuracy, took = train_on_moons(0, activation=activation)
    return AtMost(accuracy if took < 60 else 0.0, 0.93)


@claim(
    "wal-same-run",
    says="From the same start and with the same batches, PyTorch's autograd and optimizer give the "
    "same parameters after every epoch as the gradients of this chapter, up to rounding.",
    given={"activation": Choice(("tanh", "relu", "sigmoid"))},
    cases=3,
    also=[{"activation": name} for name in ("tanh", "relu", "sigmoid")],
)
def same_run(activation: Activation) -> Outcome:
    import torch

    from nnbook import data

    points = data.moons(50, NOISE, seed=0)
    layers = start_network(np.random.default_rng(0), (2, 5, 2), activation)
    leaves = [torch.tensor(p, requires_grad=True) for layer in layers for p in layer]
    optimizer = torch.optim.SGD(leaves, lr=RATE)
    outcomes: list[Outcome] = []
    for epoch in range(3):
        order = np.random.default_rng(epoch).permutation(50)
        for start in range(0, 50, 16):  # the last batch is smaller
            part = order[start : start + 16]
            hidden = torch.tensor(points.x[part]) @ leaves[0].T + leaves[1]
            z = getattr(torch, activation)(hidden) @ leaves[2].T + leaves[3]
            loss = torch.nn.functional.cross_entropy(z, torch.tensor(points.y[part]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        layers, _ = train_network(
            points.x,
            points.y,
            layers,
            rate=RATE,
            epochs=1,
            batch_size=16,
            rng=np.random.default_rng(epoch),
            activation=activation,
        )
        ours = [p for layer in layers for p in layer]
        pairs = zip(ours, leaves, strict=True)
        outcomes += [Close(p, q.detach().numpy().copy(), tol=1e-12) for p, q in pairs]
    return All(*outcomes)
