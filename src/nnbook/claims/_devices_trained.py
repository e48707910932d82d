"""Claims of the topic devices: how far two runs of one training come apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from nnbook.claims import measured

Array = np.ndarray
WIDTHS = (784, 32, 10)


@dataclass(frozen=True)
class Twins:
    """Two trainings of one network that differ in nothing but the order of additions.

    Attributes:
        other: what the second one ran on.
        first_gradient: relative difference of the gradients at the common start.
        apart: relative difference of the weights after each epoch.
        accuracies: on the test pictures, after the last epoch.
    """

    other: str
    first_gradient: float
    apart: tuple[float, ...]
    accuracies: tuple[float, float]


@cache
def twins(seed: int, epochs: int = 3, images: int = 2000) -> Twins:
    """Train an MLP on the CPU, and once more on the GPU, or on the CPU in another order.

    Where there is no GPU the second network has its hidden units in reverse order: the same
    function of the same weights, whose sums over the hidden units are added the other way around.

    Args:
        seed: of the initial values and the shuffling.
        epochs: how often to go through the pictures.
        images: how many training pictures to use.
    """
    import torch

    from nnbook import data, nn, training

    train, test = data.fashion_mnist("sample")
    train = train.take(slice(0, images))
    x, x_test = (part.standardized(train).reshape(len(part), -1) for part in (train, test))
    gpu = torch.cuda.is_available()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # drawn on the CPU, then copied: the same bits on both devices
        one = nn.MLP(WIDTHS)
    two = nn.MLP(WIDTHS)
    turn = torch.arange(WIDTHS[1]) if gpu else torch.arange(WIDTHS[1]).flip(0)
    places = ((turn, None), (turn, None), (None, turn), (None, None))

    def aligned(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        rows = [
            t.cpu() if r is None else t.cpu()[r] for t, (r, _) in zip(tensors, places, strict=True)
        ]
        return [t if c is None else t[:, c] for t, (_, c) in zip(rows, places, strict=True)]

    with torch.no_grad():
        for p, q in zip(two.parameters(), aligned(list(one.parameters())), strict=True):
            p.copy_(q)
    models = [(one, torch.device("cpu")), (two, torch.device("cuda" if gpu else "cpu"))]
    loss = torch.nn.CrossEntropyLoss()

    def gradient(model: torch.nn.Module, device: torch.device) -> list[torch.Tensor]:
        model.to(device)
        value = loss(
            model(torch.tensor(x[:200], device=device)), torch.tensor(train.y[:200], device=device)
        )
        return list(torch.autograd.grad(value, list(model.parameters())))

    def gap(first: list[torch.Tensor], second: list[torch.Tensor]) -> float:
        a, b = (
            torch.cat([t.detach().cpu().double().flatten() for t in ts]) for ts in (first, second)
        )
        return float((a - b).norm() / a.norm())

    at_start = gap(gradient(*models[0]), aligned(gradient(*models[1])))
    optimizers = [torch.optim.Adam(m.parameters(), 2e-3) for m, _ in models]
    apart = []
    for epoch in range(epochs):
        for (model, device), optimizer in zip(models, optimizers, strict=True):
            training.fit(
                model,
                (x, train.y),
                loss=loss,
                optimizer=optimizer,
                epochs=1,
                batch_size=100,
                seed=100 * seed + epoch,
                device=device,
            )
        apart.append(gap(list(one.parameters()), aligned(list(two.parameters()))))
    right = [float(np.mean(training.predict(m, x_test) == test.y)) for m, _ in models]
    other = torch.cuda.get_device_name() if gpu else "the same CPU, in another order"
    return Twins(other, at_start, tuple(apart), (right[0], right[1]))


@measured(
    "dev-gradient",
    says=r"Relative difference of the first gradients of one MLP 784-32-10, computed in float32 on "
    r"the CPU and on the GPU (without one: on the CPU in another order of the hidden units).",
    band=(0.0, 1e-5),
    unit="relative difference",
)
def first_gradient(seed: int) -> float:
    return twins(seed).first_gradient


@measured(
    "dev-training",
    says=r"Difference of the test accuracies after both have been trained in the same way from the "
    r"same start.",
    band=(0.0, 0.03),
    unit="difference of accuracies",
)
def trained(seed: int) -> float:
    a, b = twins(seed).accuracies
    return abs(a - b)


@measured(
    "dev-apart",
    says=r"Relative difference of the weights of the two after training.",
    band=(0.0, 0.05),
    unit="relative difference",
)
def apart(seed: int) -> float:
    return twins(seed).apart[-1]
