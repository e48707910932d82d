"""Claims of the topic groupnorm that are measured: what a network can learn from an average."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from nnbook.claims import AtMost, Outcome, claim, measured

if TYPE_CHECKING:
    import torch


@cache
def pooled_accuracy(norm: str, seed: int) -> float:
    """Train convolution, ReLU, normalization, global average, linear; return the test accuracy."""
    import torch

    from nnbook import data, nn, training

    train, test = data.fashion_mnist("sample")
    few = train.take(slice(0, 1000))
    x, z = (
        torch.nn.functional.avg_pool2d(torch.as_tensor(part.standardized(few))[:, None], 2)
        for part in (few, test)
    )
    middle: torch.nn.Module = nn.GroupNorm(2, 16)
    if norm == "instance":
        middle = nn.InstanceNorm2d(16, affine=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            torch.nn.Conv2d(1, 16, 3),
            nn.ReLU(),
            middle,
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            nn.Linear(16, 10),
        )
    training.fit(
        model,
        (x, torch.as_tensor(few.y)),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(model.parameters(), 0.02),
        epochs=4,
        batch_size=50,
        seed=seed,
    )
    metrics = {"accuracy": training.accuracy}
    return training.evaluate(model, (z, torch.as_tensor(test.y)), metrics=metrics)["accuracy"]


@measured(
    "gn-pooled",
    says="A net that averages each map right after group normalization (two groups of eight "
    "channels) learns to recognise clothes: its accuracy on the test sample of Fashion-MNIST "
    "after four epochs on 1000 pictures.",
    band=(0.35, 0.85),
    unit="accuracy",
)
def pooled_group(seed: int) -> float:
    return pooled_accuracy("group", seed)


@claim(
    "gn-pooled-instance",
    says="The same net with instance normalization in that place learns nothing: its accuracy is "
    "at most 0.15 for each of three seeds, where one class in ten is right by chance.",
)
def pooled_instance() -> Outcome:
    return AtMost(max(pooled_accuracy("instance", seed) for seed in range(3)), 0.15)
