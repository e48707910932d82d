"""Claims of the topic scalefree that are measured: gradients in depth, learning rates."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import AtMost, Outcome, claim, measured
from nnbook.claims.layernorm import Array
from nnbook.scratch import layer_norm, layer_norm_vjp, mm, mm_vjp

if TYPE_CHECKING:
    import torch

RATES = tuple(10.0 ** (k / 2) for k in range(-6, 3))


def gradient_size(scale: float, normalized: bool, seed: int, depth: int = 20) -> float:
    """Return the length of the gradient at the input of a deep ReLU network of width 32."""
    rng = np.random.default_rng(seed)
    layers = scale * rng.normal(size=(depth, 32, 32)) / 4
    z, v = rng.normal(size=(2, 32))
    seen = []
    for W in layers:
        out = mm(z, W)
        act = layer_norm(out) if normalized else out
        seen.append((z, out, act))
        z = np.maximum(act, 0)
    for W, (z, out, act) in zip(layers[::-1], seen[::-1], strict=True):
        v = v * (act > 0)
        v = mm_vjp(layer_norm_vjp(v, out)[0] if normalized else v, z, W)[0]
    return float(np.linalg.norm(v))


@measured(
    "sf-stable",
    says=r"In a ReLU network of 20 layers, doubling all weights instead of halving them moves "
    r"the gradient at the input by $20 \log_{10} 4 \approx 12$ powers of ten; with $\LN$ in each "
    "layer by next to none.",
    band=(0.0, 0.02),
    unit="powers of ten, with LN",
)
def stable(seed: int) -> float:
    with_ln, without = (
        abs(np.log10(gradient_size(2.0, norm, seed) / gradient_size(0.5, norm, seed)))
        for norm in (True, False)
    )
    if not np.isclose(without, 20 * np.log10(4)):
        raise AssertionError(f"without LN: {without} powers of ten, wanted {20 * np.log10(4)}")
    return float(with_ln)


def network(normalized: bool, depth: int = 4, width: int = 64) -> torch.nn.Module:
    """Return an MLP from 784 pixels to 10 classes, with or without LN before each ReLU."""
    from nnbook import nn

    layers: list[torch.nn.Module] = []
    for inputs in (784, *[width] * (depth - 1)):
        layers.append(nn.Linear(inputs, width))
        layers += [nn.LayerNorm(width), nn.ReLU()] if normalized else [nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


@cache
def pictures(seed: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return 1000 pictures of Fashion-MNIST, other ones for each seed, and the test pictures."""
    from nnbook import data

    train, test = data.fashion_mnist("sample")
    few = train.take(np.random.default_rng(seed).permutation(len(train))[:1000])
    flat = [s.standardized(few).reshape(len(s), -1) for s in (few, test)]
    return (flat[0], few.y), (flat[1], test.y)


@cache
def accuracy_after(normalized: bool, rate: float, seed: int) -> float:
    """Train for three epochs of plain gradient descent; return the share of right answers.

    A run whose loss is no longer a finite number counts as guessing, 0.1.
    """
    import torch

    from nnbook import training

    train, test = pictures(seed)
    training.seed_everything(seed)
    model = network(normalized)
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    try:
        training.fit(
            model, train, loss=loss, optimizer=optimizer, epochs=3, batch_size=50, seed=seed
        )
    except FloatingPointError:
        return 0.1
    return training.evaluate(model, test, metrics={"accuracy": training.accuracy})["accuracy"]


@measured(
    "sf-rates",
    says=r"Fashion-MNIST, 1000 pictures, 3 epochs, an MLP with four hidden layers: of nine "
    r"learning rates from $10^{-3}$ to $10$, the number that reach an accuracy of 0.5 is larger "
    r"with $\LN$ than without. The number is how many more.",
    band=(2, 7),
    unit="learning rates more",
)
def rates(seed: int) -> float:
    with_ln, without = (
        sum(accuracy_after(norm, rate, seed) >= 0.5 for rate in RATES) for norm in (True, False)
    )
    return float(with_ln - without)


@claim(
    "sf-rates-end",
    says=r"$\LN$ does not make every learning rate work: with it, the MLP of `sf-rates` "
    r"ends below an accuracy of 0.3 at the learning rate 10, for each of three seeds.",
)
def rates_end() -> Outcome:
    return AtMost(max(accuracy_after(True, RATES[-1], seed) for seed in range(3)), 0.3)
