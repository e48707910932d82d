"""Claims of the topic batchnorm: small batches, the order of modules, what was measured."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import All, AtMost, Close, Holds, Outcome, claim, exact, measured, refutation
from nnbook.claims._scalefree_trained import pictures
from nnbook.claims.batchnorm import CHANNELS, EPS
from nnbook.claims.domains import Matrix, Size, Vector
from nnbook.claims.layernorm import Identities, ln_symbolic, symbols
from nnbook.scratch import batch_norm, bn_s, bn_s_vjp

if TYPE_CHECKING:
    import torch


@claim(
    "bn-one",
    says=r"With one value per channel $u = 0$ whatever the value is, for every "
    r"$\varepsilon > 0$, and the gradient at $x$ is $0$. `batch_norm` refuses such a batch.",
    proof=True,
    given={"x": Matrix(1, "c"), "v": Matrix(1, "c"), "eps": EPS},
)
def one(x: np.ndarray, v: np.ndarray, eps: float) -> Outcome:
    try:
        batch_norm(x, eps=eps)
        refused = False
    except ValueError:
        refused = True
    zero = np.zeros_like(x)
    return All(
        Close(bn_s(x, eps), zero),
        Close(bn_s_vjp(v, x, eps), zero),
        Holds(refused, "batch_norm gave a value"),
    )


@claim(
    "bn-two",
    says=r"With two values $x_1 \ne x_2$ per channel, $u_1 = d / \sqrt{d^2 + \varepsilon} = -u_2$ "
    r"with $d = (x_1 - x_2) / 2$. For $\varepsilon = 0$ this is $\pm 1$: nothing but the order is "
    "left.",
    proof=True,
    given={"x": Vector(2, nonconstant=True), "eps": EPS},
)
def two(x: np.ndarray, eps: float) -> Outcome:
    d = (x[0] - x[1]) / 2
    u = d / np.sqrt(d**2 + eps)
    return All(
        Close(bn_s(x[:, None], eps)[:, 0], np.array([u, -u])),
        Close(bn_s(x[:, None])[:, 0], np.sign(d) * np.array([1.0, -1.0])),
    )


@exact("bn-two")
def two_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    x = symbols("x", 2)
    d = (x[0] - x[1]) / 2
    u, want = ln_symbolic(x, eps), d / sympy.sqrt(d**2 + eps)
    return [("first", u[0] - want), ("second", u[1] + want)]


@claim(
    "bn-order",
    says=r"With $\gamma = \mathbf{1}$, $\beta = 0$: the numbers of a channel after "
    r"$\relu \circ \BN$ are never negative and their mean is positive; after $\BN \circ \relu$ "
    "their mean is 0. (No channel is constant.)",
    proof=True,
    given={**CHANNELS, "eps": EPS},
)
def order(X: np.ndarray, eps: float) -> Outcome:
    before = np.maximum(batch_norm(X.T, eps=eps), 0)
    after = batch_norm(np.maximum(X.T, 0), eps=eps)
    return All(
        AtMost(-before, 0.0, 0.0),
        Holds(before.mean(axis=0) > 0, "a mean that is not positive"),
        Close(after.mean(axis=0), np.zeros(len(X))),
    )


@refutation(
    "bn-order-source",
    says=r"It does not matter whether batch normalization stands before or after the ReLU: "
    r"$\relu(\BN(x)) = \BN(\relu(x))$.",
    given={"n": Size(2, 4), "x": Matrix("n", 1)},
    right="bn-order",
)
def order_source(x: np.ndarray) -> Outcome:
    return Close(np.maximum(batch_norm(x), 0), batch_norm(np.maximum(x, 0)))


@claim(
    "bn-batchmean",
    says=r"The mean of $N$ independent draws with variance $\sigma^2$ has the variance "
    r"$\sigma^2 / N$.",
    proof=True,
    given={"k": Size(2, 4), "values": Vector("k"), "N": Size(1, 4)},
)
def batch_mean(k: int, values: np.ndarray, N: int) -> Outcome:
    every = values[np.indices((k,) * N).reshape(N, -1)]  # all draws of N out of k numbers
    return Close(every.mean(axis=0).var(), values.var() / N)


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
def trained(norm: bool, seed: int, epochs: int = 3) -> tuple[float, ...]:
    """Train on 1000 pictures of Fashion-MNIST; return the loss of each epoch, then the accuracy.

    The accuracy is that in eval mode on the test pictures of the sample.
    """
    import torch

    from nnbook import training

    train, test = pictures(seed)
    training.seed_everything(seed)
    model = network(norm)
    history = training.fit(
        model,
        train,
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        epochs=epochs,
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
