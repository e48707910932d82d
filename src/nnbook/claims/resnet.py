"""Claims of the topic resnet: six orders of the same steps, and what each of them keeps.

Shapes and counts, zero branches, and what was measured have files of their own, which this one
loads at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, refutation
from nnbook.claims.domains import Choice, Domain, Matrix, Size
from nnbook.scratch import ordered_block
from nnbook.scratch.resnet import ORDERS

Array = np.ndarray
Branch = Callable[[Array, Array, Array], Array]
BLOCK: dict[str, Domain] = {"n": Size(2, 6), "c": Size(1, 4), "h": Size(1, 4)}
BLOCK |= {"x": Matrix("n", "c"), "W": Matrix("h", "c"), "U": Matrix("c", "h")}
EPS = 1e-5


def bn(z: Array, eps: float = EPS) -> Array:
    """Write batch normalization without scale and shift out again."""
    return (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + eps)


def relu(z: Array) -> Array:
    """Return the maximum with 0."""
    return np.maximum(z, 0)


# the branches, each written as one formula
BRANCHES: dict[str, Branch] = {
    "original": lambda x, W, U: bn(relu(bn(x @ W.T)) @ U.T),
    "bn after addition": lambda x, W, U: relu(bn(x @ W.T)) @ U.T,
    "relu before addition": lambda x, W, U: relu(bn(relu(bn(x @ W.T)) @ U.T)),
    "relu-only pre-activation": lambda x, W, U: bn(relu(bn(relu(x) @ W.T)) @ U.T),
    "full pre-activation": lambda x, W, U: relu(bn(relu(bn(x)) @ W.T)) @ U.T,
    "normalized last": lambda x, W, U: bn(relu(bn(relu(x @ W.T)) @ U.T)),
}
AFTER: dict[str, Callable[[Array], Array]] = {
    "original": relu,
    "bn after addition": lambda y: relu(bn(y)),
}
PUBLISHED = [name for name in ORDERS if name != "normalized last"]


def written(order: str, x: Array, W: Array, U: Array) -> Array:
    """Return the block of an order by its formula."""
    y = x + BRANCHES[order](x, W, U)
    return AFTER[order](y) if order in AFTER else y


@claim(
    "rn-orders",
    says=r"The steps that `nnbook.scratch.ordered_block` takes are those of the formulas of the "
    r"table, for all six orders; the original block is "
    r"$\relu(x + \BN(U \relu(\BN(W x))))$.",
    given={**BLOCK, "order": Choice(tuple(ORDERS))},
    cases=200,
)
def orders(x: Array, W: Array, U: Array, order: str) -> Outcome:
    return Close(ordered_block(x, W, U, order), written(order, x, W, U), 1e-7)


@claim(
    "rn-differ",
    says="The six orders are six different maps: for each two there are an input and weights for "
    "which a number of the output differs by more than a tenth.",
)
def differ() -> Outcome:
    rng = np.random.default_rng(0)
    x, W, U = (rng.normal(size=shape) for shape in ((8, 3), (4, 3), (3, 4)))
    out = {order: ordered_block(x, W, U, order) for order in ORDERS}
    gaps = {pair: np.abs(out[pair[0]] - out[pair[1]]).max() for pair in combinations(ORDERS, 2)}
    return Holds(min(gaps.values()) > 0.1, f"smallest gap {min(gaps.values())}")


@refutation(
    "rn-source",
    says=r"$\BN(\relu(U \BN(\relu(W x)))) + x$ is the residual block "
    "with batch normalization of the literature: on every input it agrees with one of the five "
    "published orders, up to 0.2.",
    given={**BLOCK, "n": Size(2, 3), "c": Size(1, 2), "h": Size(1, 2)},
    right="rn-orders",
)
def source(x: Array, W: Array, U: Array) -> Outcome:
    got = ordered_block(x, W, U, "normalized last")
    outcomes = [Close(got, ordered_block(x, W, U, order), 0.2) for order in PUBLISHED]
    return min(outcomes, key=lambda outcome: outcome.error)


@claim(
    "rn-mean",
    says=r"Where the branch ends in $\BN$ with $\gamma = 1$, $\beta = 0$, each "
    r"feature of the branch has mean 0 over the batch and a variance of at most 1. So it has "
    "both signs or is 0, "
    "and the mean of the features of $x$ is not changed by the addition.",
    proof=True,
    given={
        **BLOCK,
        "order": Choice(("original", "relu-only pre-activation", "normalized last")),
    },
)
def mean(x: Array, W: Array, U: Array, order: str) -> Outcome:
    F = BRANCHES[order](x, W, U)
    low, high = F.min(axis=0), F.max(axis=0)
    signs = ((low < 0) | (high < 1e-9)) & ((high > 0) | (low > -1e-9))
    return All(
        Close(F.mean(axis=0), np.zeros(x.shape[1])),
        AtMost(F.var(axis=0), 1.0),
        Close((x + F).mean(axis=0), x.mean(axis=0)),
        Holds(signs, f"branch {F}"),
    )


@claim(
    "rn-cone",
    says=r"With the identity as shortcut: a block that ends in $\relu$ is never negative. With a "
    r"branch of 0 it is "
    r"$\relu(x)$, which is $x$ exactly where $x \ge 0$.",
    proof=True,
    given=BLOCK,
)
def cone(x: Array, W: Array, U: Array) -> Outcome:
    y = ordered_block(x, W, U, "original")
    empty = ordered_block(x, W, np.zeros_like(U), "original")
    return All(
        AtMost(-y, 0.0, 0.0),
        Equal(empty, relu(x)),
        Equal((empty == x), (x >= 0)),
        Equal(ordered_block(x, W, np.zeros_like(U), "full pre-activation"), x),
    )


def stack(order: str, x: Array, weights: list[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Return the output of a stack of blocks, the sum of its branches, and what ReLU added."""
    branches, cut = np.zeros_like(x), np.zeros_like(x)
    for W, U in weights:
        F = BRANCHES[order](x, W, U)
        branches, cut = branches + F, cut + relu(-(x + F))
        x = ordered_block(x, W, U, order)
    return x, branches, cut


DEEP: dict[str, Domain] = {**BLOCK, "V": Matrix("h", "c"), "T": Matrix("c", "h")}


@claim(
    "rn-path",
    says=r"Without a step after the addition, $x_L = x_0 + \sum_l F_l(x_l)$. In the original order "
    r"$x_L = x_0 + \sum_l F_l(x_l) + \sum_l \relu(-x_l - F_l(x_l))$: what each $\relu$ cuts off is "
    "added.",
    proof=True,
    given=DEEP,
)
def path(x: Array, W: Array, U: Array, V: Array, T: Array) -> Outcome:
    weights = [(W, U), (V, T), (W, T)]
    found = []
    for order in ORDERS:
        if order != "bn after addition":
            end, branches, cut = stack(order, x, weights)
            cut = cut if order == "original" else np.zeros_like(x)
            found.append(Close(end, x + branches + cut, 1e-6))
    return All(*found)


@refutation(
    "rn-path-source",
    says=r"In the original order, too, $x_L = x_0 + \sum_l F_l(x_l)$: the input goes through all "
    "blocks unchanged.",
    given=DEEP,
    right="rn-path",
)
def path_source(x: Array, W: Array, U: Array, V: Array, T: Array) -> Outcome:
    end, branches, _ = stack("original", x, [(W, U), (V, T)])
    return Close(end, x + branches, 1e-6)


from nnbook.claims import _resnet_modules, _resnet_trained  # noqa: E402

__all__ = ["_resnet_modules", "_resnet_trained"]
