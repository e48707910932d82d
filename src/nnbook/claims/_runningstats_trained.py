"""Claims of the topic runningstats that are measured: a network with batch normalization in use."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import All, Holds, Outcome, claim, measured
from nnbook.claims._scalefree_trained import pictures
from nnbook.claims.batchnorm import network

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@cache
def model_after(steps: int, seed: int, momentum: float = 0.1) -> torch.nn.Module:
    """Return an MLP with BN after some steps of SGD on batches of 50 pictures, in eval mode."""
    import torch

    from nnbook import nn, training

    (x, y), _ = pictures(seed)
    training.seed_everything(seed)
    model = network(norm=True, depth=3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss, shuffle = torch.nn.CrossEntropyLoss(), np.random.default_rng(seed)
    for _ in range(steps):
        chosen = shuffle.integers(0, len(x), size=50)
        optimizer.zero_grad()
        loss(model(torch.tensor(x[chosen])), torch.tensor(y[chosen])).backward()
        optimizer.step()
    return model.eval()


def recalibrated(model: torch.nn.Module, x: Tensor, size: int = 100) -> torch.nn.Module:
    """Return a copy whose running statistics are plain means over the batches of x; no weights
    change and no labels are needed."""
    import torch

    from nnbook import nn

    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        for batch in x.split(size):
            model(batch)
    return model.eval()


def right(model: torch.nn.Module, x: Tensor, y: Tensor, size: int = 100) -> float:
    """Return the share of right answers, in the mode that the model is in, batch by batch."""
    import torch

    with torch.no_grad():
        answers = torch.cat([model(batch).argmax(1) for batch in x.split(size)])
    return float((answers == y).float().mean())


def tensors(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the training pictures, and the test pictures with their classes."""
    import torch

    (x, _), (z, y) = pictures(seed)
    return torch.tensor(x), torch.tensor(z), torch.tensor(y)


def accuracies(steps: int, seed: int, momentum: float = 0.1) -> tuple[float, float]:
    """Return the test accuracy with the running statistics, and with those taken anew."""
    model = model_after(steps, seed, momentum)
    x, z, y = tensors(seed)
    return right(model, z, y), right(recalibrated(model, x), z, y)


@measured(
    "rs-gap",
    says=r"Fashion-MNIST, an MLP with BN after 40 steps with $\alpha = 0.01$, so that "
    r"$0.99^{40} = 67\,\%$ of the start is left in the running statistics: by how much the test "
    "accuracy grows when they are taken anew from the training pictures, all weights as they are.",
    band=(0.02, 0.7),
    unit="difference of accuracies",
)
def gap(seed: int) -> float:
    running, anew = accuracies(40, seed, 0.01)
    return anew - running


@measured(
    "rs-sorted",
    says="Fashion-MNIST, an MLP with BN after 60 steps: by how much the test accuracy falls when "
    "`.eval()` is forgotten and the test pictures come sorted by class, 100 at a time.",
    band=(0.2, 0.9),
    unit="difference of accuracies",
)
def sorted_batches(seed: int) -> float:
    model, (_, z, y) = model_after(60, seed), tensors(seed)
    order = y.argsort(stable=True)
    forgotten = copy.deepcopy(model).train()
    return right(model, z, y) - right(forgotten, z[order], y[order])


@measured(
    "rs-changed",
    says="The same MLP on test pictures whose contrast is a third and to which 1 is added: by how "
    "much the accuracy grows when the running statistics are taken anew from such pictures, "
    "without their labels.",
    band=(0.05, 0.8),
    unit="difference of accuracies",
)
def changed(seed: int) -> float:
    model, (x, z, y) = model_after(60, seed), tensors(seed)
    darker = z / 3 + 1
    return right(recalibrated(model, x / 3 + 1), darker, y) - right(model, darker, y)


@claim(
    "rs-forgotten",
    says="A forward pass in train mode moves the running statistics even under `torch.no_grad()`, "
    "and its answer about a picture depends on the other pictures; in eval mode neither happens.",
)
def forgotten() -> Outcome:
    import torch

    model, (_, z, _) = model_after(60, 0), tensors(0)
    seen = {}
    for training in (True, False):
        twin = copy.deepcopy(model).train(training)
        before = {k: v.clone() for k, v in twin.named_buffers()}
        with torch.no_grad():
            alike = torch.equal(twin(z[:20])[:5], twin(torch.cat([z[:5], z[20:35]]))[:5])
        moved = any(not torch.equal(v, before[k]) for k, v in twin.named_buffers())
        seen[training] = (moved, alike)
    return All(
        Holds(seen[True] == (True, False), f"train mode: moved, alike = {seen[True]}"),
        Holds(seen[False] == (False, True), f"eval mode: moved, alike = {seen[False]}"),
    )
