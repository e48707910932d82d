"""Claims of the topic depth that are measured on Fashion-MNIST."""

from __future__ import annotations

import numpy as np

from nnbook.claims import measured
from nnbook.claims._depth_trained import alike, at_start, result, trained

SEEDS = (1, 2, 3)  # seed 0 chose the learning rates
RECIPE = (
    "400 pictures of Fashion-MNIST, three epochs of gradient descent at the best of three learning "
    "rates, width 32"
)


@measured(
    "dep-gradients",
    says=r"Untrained networks of 64 blocks: by how many powers of ten the gradient at the input "
    r"of the first block is larger than that behind the last one; blocks $z + \sigma(\cdot)$, "
    r"drawn by He's rule.",
    band=(10.0, 18.0),
    seeds=SEEDS,
    unit="powers of ten",
)
def gradients(seed: int) -> float:
    return _powers("residual", seed)


@measured(
    "dep-gradients-scaled",
    says=r"As `dep-gradients`, with every branch divided by the number of blocks.",
    band=(-0.2, 0.3),
    seeds=SEEDS,
    unit="powers of ten",
)
def gradients_scaled(seed: int) -> float:
    return _powers("scaled", seed)


@measured(
    "dep-gradients-plain",
    says=r"As `dep-gradients`, without skips: 128 layers in a chain. The gradients neither "
    r"vanish nor explode.",
    band=(-2.0, 1.5),
    seeds=SEEDS,
    unit="powers of ten",
)
def gradients_plain(seed: int) -> float:
    return _powers("plain", seed)


def _powers(kind: str, seed: int) -> float:
    _, slopes = at_start(kind, 64, seed)
    return float(np.log10(slopes[0] / slopes[-1]))


@measured(
    "dep-alike",
    says=r"What the plain network of 64 blocks has forgotten before training: the mean cosine "
    r"between the values of two pictures behind its last block (1 is the same direction for all).",
    band=(0.97, 1.0),
    seeds=SEEDS,
    unit="cosine",
)
def forgotten(seed: int) -> float:
    return alike("plain", 64, seed)


@measured(
    "dep-alike-residual",
    says=r"As `dep-alike`, with 64 blocks $z + \sigma(\cdot)$ in place of plain ones.",
    band=(0.97, 1.0),
    seeds=SEEDS,
    unit="cosine",
)
def forgotten_residual(seed: int) -> float:
    return alike("residual", 64, seed)


@measured(
    "dep-shallow",
    says=rf"Two blocks can be trained with and without skips: the smaller accuracy of the two "
    rf"({RECIPE}).",
    band=(0.2, 0.95),
    seeds=SEEDS,
    unit="accuracy",
)
def shallow(seed: int) -> float:
    return min(result(kind, 2, seed)[1] for kind in ("plain", "residual"))


@measured(
    "dep-plain",
    says=r"Training accuracy of 64 blocks without skips (the recipe of `dep-shallow`; guessing "
    r"is 0.1).",
    band=(0.0, 0.25),
    seeds=SEEDS,
    unit="accuracy",
)
def plain(seed: int) -> float:
    return result("plain", 64, seed)[1]


@measured(
    "dep-residual",
    says=r"Training accuracy of 64 blocks $z + \sigma(\cdot)$ drawn by He's rule, without scaling "
    r"or normalization (the same recipe).",
    band=(0.0, 0.25),
    seeds=SEEDS,
    unit="accuracy",
)
def unscaled(seed: int) -> float:
    return result("residual", 64, seed)[1]


@measured(
    "dep-residual-rates",
    says=r"Smaller rates do not help: as `dep-residual`, the best accuracy with the rates "
    r"$10^{-5}$, $10^{-10}$, $10^{-15}$, $10^{-20}$.",
    band=(0.0, 0.25),
    seeds=SEEDS,
    unit="accuracy",
)
def smaller_rates(seed: int) -> float:
    return max(trained("residual", 64, 10.0**-power, seed)[1] for power in (5, 10, 15, 20))


@measured(
    "dep-scaled",
    says=r"As `dep-residual`, with every branch divided by the number of blocks.",
    band=(0.5, 0.95),
    seeds=SEEDS,
    unit="accuracy",
)
def scaled(seed: int) -> float:
    return result("scaled", 64, seed)[1]


@measured(
    "dep-zero",
    says=r"As `dep-residual`, with branches that start at zero and have no activation at the end.",
    band=(0.4, 0.95),
    seeds=SEEDS,
    unit="accuracy",
)
def zeroed(seed: int) -> float:
    return result("zero", 64, seed)[1]


@measured(
    "dep-normalized",
    says=r"As `dep-residual`, with a layer normalization at the beginning of every branch and "
    r"before the last map, and no activation at the end of a branch.",
    band=(0.4, 0.95),
    seeds=SEEDS,
    unit="accuracy",
)
def normalized(seed: int) -> float:
    return result("normalized", 64, seed)[1]
