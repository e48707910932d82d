"""Training for the claims of the topics sgd, adaptive and schedules: one small MLP on clothes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

RATES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


@cache
def pictures(seed: int) -> Any:
    """Return 2000 pictures of Fashion-MNIST, other ones for each seed, and the test pictures."""
    from nnbook import data

    train, test = data.fashion_mnist("sample")
    few = train.take(np.random.default_rng(seed).permutation(len(train))[:2000])
    flat = [s.standardized(few).reshape(len(s), -1) for s in (few, test)]
    return (flat[0], few.y), (flat[1], test.y)


def network(seed: int) -> torch.nn.Module:
    """Return an MLP with one hidden layer of 64."""
    from nnbook import nn, training

    training.seed_everything(seed)
    return nn.MLP([784, 64, 10])


@cache
def accuracy_after(
    kind: str,
    rate: float,
    seed: int,
    batch_size: int = 50,
    epochs: int = 3,
    options: tuple[tuple[str, Any], ...] = (),
) -> float:
    """Train with an optimizer of `nnbook.optim`; return the share of right test answers.

    A run whose loss is no longer a finite number counts as guessing, 0.1.
    """
    import torch

    from nnbook import optim, training

    train, test = pictures(seed)
    model = network(seed)
    optimizer = getattr(optim, kind)(model.parameters(), lr=rate, **dict(options))
    try:
        training.fit(
            model,
            train,
            loss=torch.nn.CrossEntropyLoss(),
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
        )
    except FloatingPointError:
        return 0.1
    return training.evaluate(model, test, metrics={"accuracy": training.accuracy})["accuracy"]


def gradient_noise(batch_size: int, seed: int, draws: int = 100) -> float:
    """Return the mean squared distance of a batch's gradient from that of all pictures."""
    import torch

    (x, y), _ = pictures(seed)
    inputs, classes, model = torch.from_numpy(x), torch.from_numpy(y), network(seed)
    loss = torch.nn.CrossEntropyLoss()

    def gradient(rows: Any) -> torch.Tensor:
        parts = torch.autograd.grad(loss(model(inputs[rows]), classes[rows]), [*model.parameters()])
        return torch.cat([p.flatten() for p in parts])

    whole, rng = gradient(slice(None)), np.random.default_rng(seed)
    far = [
        (gradient(rng.permutation(len(x))[:batch_size]) - whole).square().sum().item()
        for _ in range(draws)
    ]
    return float(np.mean(far))
