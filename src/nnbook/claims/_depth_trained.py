"""The networks of the topic depth, what their gradients are at the start, and their training."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Array = np.ndarray
WIDTH = 32
BLOCKS = (2, 4, 8, 16, 32, 64)
KINDS = ("plain", "residual", "scaled", "zero", "normalized")
RATES = (0.03, 0.01, 0.001)


def network(kind: str, blocks: int, seed: int) -> torch.nn.Module:
    """Return a network from 784 pixels to 10 classes, its blocks drawn by He's rule.

    The first and the last map have half the variance of that rule; biases are zero.

    Args:
        kind: ``"plain"`` leaves out the additions; ``"residual"`` is the block with an activation
            at its end; ``"scaled"`` the same with every branch divided by the number of blocks;
            ``"zero"`` has no activation at the end of a branch, whose last map starts at zero;
            ``"normalized"`` has none there either, and a layer norm at its beginning.
        blocks: how many blocks, of two affine maps each.
        seed: of the weights.
    """
    import torch

    from nnbook import nn

    options: dict[str, dict[str, Any]] = {
        "plain": {"skip": False},
        "residual": {},
        "scaled": {"scale": 1 / blocks},
        "zero": {"outer": False},
        "normalized": {"outer": False},
    }
    model: Any = nn.ResidualMLP(784, 10, WIDTH, blocks, **options[kind])
    draw = torch.Generator().manual_seed(seed)
    for name, part in model.named_modules():
        if isinstance(part, nn.Linear):
            gain = 1.0 if name in ("enter", "leave") else 2.0
            torch.nn.init.zeros_(part.bias)
            scale = (gain / part.in_features) ** 0.5
            if kind == "zero" and name.endswith("mm1"):
                scale = 0.0
            torch.nn.init.normal_(part.weight, 0.0, scale, generator=draw)
    if kind == "normalized":
        around = [nn.Residual(nn.Sequential(nn.LayerNorm(WIDTH), *b.f)) for b in model.blocks]
        last = nn.LayerNorm(WIDTH)
        model = nn.Sequential(model.enter, nn.Sequential(*around), last, model.leave)
    return model


@cache
def pictures(seed: int) -> tuple[Array, Array]:
    """Return 400 pictures of Fashion-MNIST, other ones for each seed, and their classes."""
    from nnbook import data

    train, _ = data.fashion_mnist("sample")
    few = train.take(np.random.default_rng(seed).permutation(len(train))[:400])
    return few.standardized(few).reshape(len(few), -1), few.y


@cache
def at_start(kind: str, blocks: int, seed: int) -> tuple[Array, Array]:
    """Return the sizes of values and gradients before and behind each block of a new network.

    Returns:
        Two arrays of ``blocks + 1`` numbers: the root mean square of the values of 100 pictures,
        and that of the gradients of the mean cross-entropy there.
    """
    import torch

    x, y = pictures(seed)
    parts: list[Any] = list(network(kind, blocks, seed).children())
    enter, chain, *rest = parts
    states = [enter(torch.tensor(x[:100]))]
    for block in chain:
        states.append(block(states[-1]))
    out = states[-1]
    for part in rest:
        out = part(out)
    loss = torch.nn.functional.cross_entropy(out, torch.tensor(y[:100]))
    gradients = torch.autograd.grad(loss, states)
    values, slopes = (
        [float(t.detach().double().square().mean().sqrt()) for t in tensors]
        for tensors in (states, gradients)
    )
    return np.array(values), np.array(slopes)


@cache
def alike(kind: str, blocks: int, seed: int) -> float:
    """Return the mean cosine between the values of 100 pictures behind the last block, untrained.

    It is 1 if all pictures lead to the same direction. Each picture is compared with the next one.
    """
    import torch

    enter, chain, *_ = network(kind, blocks, seed).children()
    with torch.no_grad():
        z = chain(enter(torch.tensor(pictures(seed)[0][:100]))).double()
    return min(1.0, float(torch.nn.functional.cosine_similarity(z[:-1], z[1:]).mean()))


@cache
def trained(kind: str, blocks: int, rate: float, seed: int) -> tuple[float, float]:
    """Train by plain gradient descent for three epochs, in batches of 50 pictures.

    Returns:
        Loss and accuracy on the training pictures. A run whose loss is no longer a finite number
        counts as guessing: log 10 and 0.1.
    """
    import torch

    from nnbook import training

    model, train = network(kind, blocks, seed), pictures(seed)
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    try:
        training.fit(
            model, train, loss=loss, optimizer=optimizer, epochs=3, batch_size=50, seed=seed
        )
    except FloatingPointError:
        return float(np.log(10)), 0.1
    row = training.evaluate(model, train, loss=loss, metrics={"accuracy": training.accuracy})
    if not np.isfinite(row["loss"]):
        return float(np.log(10)), 0.1
    return row["loss"], row["accuracy"]


@cache
def best_rate(kind: str, blocks: int) -> float:
    """Return the learning rate with the smallest loss for seed 0, a seed used for nothing else."""
    return min(RATES, key=lambda rate: trained(kind, blocks, rate, 0)[0])


def result(kind: str, blocks: int, seed: int) -> tuple[float, float]:
    """Return loss and accuracy on the training pictures, at the best rate of another seed."""
    return trained(kind, blocks, best_rate(kind, blocks), seed)
