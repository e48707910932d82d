"""Claims of the topic batchsize that are measured: training with batches of 1 to 256."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nnbook.claims import All, Close, Holds, Outcome, claim, measured

if TYPE_CHECKING:
    import torch

SIZES = (1, 2, 4, 8, 16, 64, 256)
KINDS = ("batch", "layer", "group", "none")
SAMPLES, STEPS = 768, 100  # pictures seen in all, or steps taken
Same = Literal["samples", "steps"]


@cache
def pictures(seed: int) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return training and test pictures of Fashion-MNIST, 14 by 14, in an order for each seed."""
    import torch

    from nnbook import data

    train, test = data.fashion_mnist("sample")
    few = train.take(np.random.default_rng(seed).permutation(len(train))[:4096])
    halves = [
        torch.nn.functional.avg_pool2d(torch.as_tensor(p.standardized(few))[:, None], 2)
        for p in (few, test)
    ]
    return (halves[0], torch.as_tensor(few.y)), (halves[1], torch.as_tensor(test.y))


def mlp(kind: str, width: int = 64) -> torch.nn.Module:
    """Return an MLP with two hidden layers and a normalization of that kind before each ReLU."""
    import torch

    from nnbook import nn

    def norm() -> torch.nn.Module:
        if kind == "batch":
            return nn.BatchNorm1d(width)
        if kind == "layer":
            return nn.LayerNorm(width)
        return nn.GroupNorm(8, width) if kind == "group" else nn.Identity()

    layers: list[torch.nn.Module] = [torch.nn.Flatten()]
    for inputs in (196, width):
        layers += [nn.Linear(inputs, width), norm(), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def train(model: torch.nn.Module, batch: int, steps: int, seed: int, rate: float = 2e-3) -> None:
    """Take so many steps of Adam, with batches drawn without repetition while there are some."""
    import torch

    from nnbook import training

    (x, y), _ = pictures(seed)
    rows = torch.arange(steps * batch) % len(x)
    training.fit(
        model,
        (x[rows], y[rows]),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(model.parameters(), rate, fused=True),
        epochs=1,
        batch_size=batch,
        seed=seed,
    )


def judged(model: torch.nn.Module, seed: int) -> float:
    """Return the share of right answers on the test pictures, in eval mode."""
    from nnbook import training

    test = pictures(seed)[1]
    return training.evaluate(model, test, metrics={"accuracy": training.accuracy})["accuracy"]


@cache
def trained(kind: str, batch: int, same: Same, seed: int) -> torch.nn.Module:
    """Return the MLP after training with batches of one size."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = mlp(kind)
    train(model, batch, SAMPLES // batch if same == "samples" else STEPS, seed)
    return model


def accuracy(kind: str, batch: int, same: Same, seed: int) -> float:
    """Train the MLP with batches of one size; return the test accuracy.

    NaN for batch normalization with batches of one, which has no value.
    """
    if kind == "batch" and batch == 1:
        return float("nan")
    return judged(trained(kind, batch, same, seed), seed)


def accuracy_with_fresh_statistics(seed: int, batch: int | None = None) -> float:
    """Judge the MLP of batches of two with the statistics of test batches; None means one batch."""
    import copy

    import torch

    model = copy.deepcopy(trained("batch", 2, "samples", seed)).train()
    x, y = pictures(seed)[1]
    order = torch.as_tensor(np.random.default_rng(seed).permutation(len(x)))
    with torch.no_grad():
        parts = order.split(batch or len(x))
        right = sum(float((model(x[p]).argmax(1) == y[p]).sum()) for p in parts)
    return right / len(x)


@measured(
    "bs-small",
    says="With batches of two, an MLP with group normalization beats the same MLP with batch "
    "normalization, both trained on the same 768 pictures of Fashion-MNIST: the difference of "
    "the accuracies on the test sample.",
    band=(0.05, 0.8),
    unit="difference of accuracies",
)
def small(seed: int) -> float:
    return accuracy("group", 2, "samples", seed) - accuracy("batch", 2, "samples", seed)


@measured(
    "bs-large",
    says="With batches of 64 and 100 steps there is little between them: the accuracy with batch "
    "normalization less that with group normalization.",
    band=(-0.04, 0.06),
    unit="difference of accuracies",
)
def large(seed: int) -> float:
    return accuracy("batch", 64, "steps", seed) - accuracy("group", 64, "steps", seed)


@measured(
    "bs-steady",
    says="Group normalization itself does not need large batches: from batches of 16 to batches "
    "of 2, on the same 768 pictures, its accuracy changes by this much.",
    band=(-0.08, 0.12),
    unit="difference of accuracies",
)
def steady(seed: int) -> float:
    return accuracy("group", 2, "samples", seed) - accuracy("group", 16, "samples", seed)


@measured(
    "bs-spoilt",
    says="It is not the running statistics alone that small batches spoil: with the statistics of "
    "the whole test sample in their place, or with those of pairs of test pictures as in training, "
    "the MLP with batch normalization that was trained with batches of two is still behind the one "
    "with group normalization, by this much for the better of the two.",
    band=(0.04, 0.8),
    unit="difference of accuracies",
)
def spoilt(seed: int) -> float:
    best = max(accuracy_with_fresh_statistics(seed, batch) for batch in (None, 2))
    return accuracy("group", 2, "samples", seed) - best


def convnet(norm: type[torch.nn.Module], **options: Any) -> torch.nn.Module:
    """Return a net of two convolutions, each followed by a normalization and a ReLU."""
    import torch

    from nnbook import nn

    return nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, stride=2),
        norm(8, **options),
        nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2),
        norm(16, **options),
        nn.ReLU(),
        torch.nn.Flatten(),
        nn.Linear(64, 10),
    )


@cache
def one_by_one(seed: int, steps: int = 400) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Train a net with batch normalization and one with instance normalization, batch size 1."""
    import torch

    from nnbook import nn

    models = []
    for norm, options in ((nn.BatchNorm2d, {}), (nn.InstanceNorm2d, {"affine": True})):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            models.append(convnet(norm, **options).double())
        (x, y), _ = pictures(seed)
        optimizer = torch.optim.Adam(models[-1].parameters(), 2e-3)
        for i in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(
                models[-1](x[i : i + 1].double()), y[i : i + 1]
            ).backward()
            optimizer.step()
    return models[0], models[1]


@claim(
    "bs-one-trained",
    says="A convolutional net with batch normalization, trained one picture at a time, has after "
    "50 steps the same weights as one with instance normalization, and the same outputs in train "
    "mode; in eval mode it gives other outputs.",
)
def same_weights() -> Outcome:
    import torch

    batch, instance = one_by_one(0, 50)
    picture = pictures(0)[1][0][:1].double()
    with torch.no_grad():
        outputs = [m(picture).numpy() for m in (batch.train(), instance.train())]
        used = batch.eval()(picture).numpy()
    weights = [
        Close(p.detach().numpy(), q.detach().numpy(), 1e-6)
        for p, q in zip(batch.parameters(), instance.parameters(), strict=True)
    ]
    gap = float(np.abs(used - outputs[1]).max())
    return All(
        *weights,
        Close(outputs[0], outputs[1], 1e-6),
        Holds(gap > 0.1, f"eval differs by {gap:.2g}"),
    )


@cache
def one_by_one_accuracies(seed: int) -> tuple[float, float]:
    """Return the accuracy with running statistics and with those of each picture."""
    from nnbook import training

    batch, instance = one_by_one(seed)
    x, y = pictures(seed)[1]
    test = (x.double(), y)
    found = [
        training.evaluate(m, test, metrics={"accuracy": training.accuracy})["accuracy"]
        for m in (batch, instance)
    ]
    return found[0], found[1]


@measured(
    "bs-mismatch",
    says="What the net trained one picture at a time loses in use: its accuracy with each "
    "picture's own statistics, as in training, less that with the running ones, as in eval mode.",
    band=(0.02, 0.6),
    unit="difference of accuracies",
)
def mismatch(seed: int) -> float:
    running, own = one_by_one_accuracies(seed)
    return own - running
