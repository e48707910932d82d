"""Measured claims of the topic resnet: residual against plain networks on Fashion-MNIST."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import measured

if TYPE_CHECKING:
    from nnbook import nn

Array = np.ndarray
BLOCKS, WIDTHS = 5, (4, 8, 16)
FULL = "full pre-activation"


def halved(x: Array) -> Array:
    """Take the mean of each two by two pixels, and add an axis for the channel."""
    n, h, w = x.shape
    small: Array = x.reshape(n, h // 2, 2, w // 2, 2).mean(axis=(2, 4))[:, None]
    return small


@cache
def pictures() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return training and test pictures of 14 by 14 pixels with their classes."""
    from nnbook import data

    train, test = data.fashion_mnist("sample")
    x, z = (halved(part.standardized(train)) for part in (train, test))
    return (x, train.y), (z, test.y)


def network(order: str, skip: bool, seed: int, blocks: int = BLOCKS) -> nn.ResNet:
    """Return a ResNet, or the plain network of the same depth, with the seed's initial weights."""
    import torch

    from nnbook import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ResNet(blocks, WIDTHS, order=order, shortcut="A", skip=skip)


@cache
def trained(
    order: str, skip: bool, seed: int, blocks: int = BLOCKS, steps: int = 30, rate: float = 0.1
) -> tuple[float, ...]:
    """Train on batches of 50 pictures with momentum; return the loss of each batch."""
    import torch

    (x, y), _ = pictures()
    model = network(order, skip, seed, blocks)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    rng, losses = np.random.default_rng(seed), []
    for _ in range(steps):
        rows = rng.integers(0, len(y), size=50)
        loss = torch.nn.functional.cross_entropy(
            model(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return tuple(losses)


def late(losses: tuple[float, ...]) -> float:
    """Return the mean of the last ten losses."""
    return float(np.mean(losses[-10:]))


@cache
def gradient_norms(order: str, skip: bool, seed: int, blocks: int = BLOCKS) -> tuple[float, ...]:
    """Return the length of the gradient at the input of every block, before any training."""
    import torch

    (x, y), _ = pictures()
    model = network(order, skip, seed, blocks)
    seen: list[torch.Tensor] = []

    def keep(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        inputs[0].retain_grad()
        seen.append(inputs[0])

    hooks = [block.register_forward_pre_hook(keep) for block in model.blocks]
    rows = slice(0, 100)
    loss = torch.nn.functional.cross_entropy(
        model(torch.from_numpy(x[rows])), torch.from_numpy(y[rows])
    )
    loss.backward()
    for hook in hooks:
        hook.remove()
    return tuple(float(torch.linalg.vector_norm(z.grad)) for z in seen)


@measured(
    "rn-plain",
    says=r"Fashion-MNIST, pictures of 14 by 14, networks of 32 layers with batch normalization, "
    "30 steps: by how much the training loss of the plain network exceeds that of the ResNet of "
    "the same depth, in the mean of the last ten steps.",
    band=(0.1, 2.0),
    unit="difference of losses",
)
def plain(seed: int) -> float:
    return late(trained("original", False, seed)) - late(trained("original", True, seed))


@measured(
    "rn-gradients",
    says="Networks of 32 layers with batch normalization before training: the factor by which the "
    "gradient is longer at the input of the first block than at that of the last one, in the plain "
    "network divided by that in the ResNet.",
    band=(3.0, 100.0),
    unit="times",
)
def gradients(seed: int) -> float:
    plain, residual = (gradient_norms("original", skip, seed) for skip in (False, True))
    return (plain[0] / plain[-1]) / (residual[0] / residual[-1])
