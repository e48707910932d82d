"""Claims of the topic batchnorm that are measured: noise of small batches, training."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import measured
from nnbook.claims._scalefree_trained import pictures
from nnbook.scratch import bn_s

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch


def spread(size: int, seed: int, trials: int = 200) -> float:
    """Return how much u of the same pictures varies with the company they are in.

    Args:
        size: the number of pictures of a batch.
        seed: of the pictures, the weights and the batches.
        trials: the number of batches.

    Returns:
        The standard deviation of u over the batches, averaged over pictures and units.
    """
    (x, _), (z, _) = pictures(seed)
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(32, x.shape[1])) / np.sqrt(x.shape[1])
    pool, ours = z.astype(float) @ W.T, (x[:10].astype(float) @ W.T)[:, None]
    seen = []
    for _ in range(trials):
        others = pool[rng.integers(0, len(pool), size=(10, size - 1))]
        batches = np.concatenate([ours, others], axis=1)  # pictures, batch, units
        seen.append([bn_s(batch, 1e-5)[0] for batch in batches])
    return float(np.std(seen, axis=0).mean())


@measured(
    "bn-noise",
    says=r"Fashion-MNIST after a random affine map: by how much $u$ of a picture varies with the "
    r"other pictures of its batch falls with the size $N$ of the batch about as $N^{-1/2}$. The "
    "number is the exponent between 8 and 128.",
    band=(-0.62, -0.42),
    unit="exponent",
)
def noise(seed: int) -> float:
    return float(np.log(spread(128, seed, 60) / spread(8, seed, 60)) / np.log(16))


def network(norm: bool, *, depth: int = 6, width: int = 64) -> torch.nn.Module:
    """Return an MLP from 784 pixels to 10 classes, with or without BN before each ReLU."""
    from nnbook import nn

    layers: list[torch.nn.Module] = []
    for inputs in (784, *[width] * (depth - 1)):
        layers.append(nn.Linear(inputs, width, bias=not norm))
        layers += [nn.BatchNorm1d(width), nn.ReLU()] if norm else [nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


@cache
def trained(
    norm: bool, seed: int, start: Callable[[torch.nn.Module], None] | None = None
) -> tuple[float, ...]:
    """Train on 1000 pictures of Fashion-MNIST; return the loss of each epoch, then the accuracy.

    The accuracy is that in eval mode on the test pictures of the sample; `start` may set other
    initial weights than torch's usual ones.
    """
    import torch

    from nnbook import training

    train, test = pictures(seed)
    training.seed_everything(seed)
    model = network(norm)
    if start is not None:
        start(model)
    history = training.fit(
        model,
        train,
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        epochs=3,
        batch_size=50,
        seed=seed,
    )
    metrics = {"accuracy": training.accuracy}
    return (*history["loss"], training.evaluate(model, test, metrics=metrics)["accuracy"])


@measured(
    "bn-trains",
    says="Fashion-MNIST, 1000 pictures, 3 epochs of plain gradient descent with the learning rate "
    "0.1 and torch's usual initial weights: by how much the test accuracy of an MLP with six "
    "hidden layers is larger with batch normalization than without.",
    band=(0.2, 0.8),
    unit="difference of accuracies",
)
def trains(seed: int) -> float:
    return trained(True, seed)[-1] - trained(False, seed)[-1]
