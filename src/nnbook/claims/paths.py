"""Claims of the topic paths: the Jacobian of a stack as a sum, and branches that start at zero."""

from __future__ import annotations

from itertools import combinations
from math import comb, prod

import numpy as np

from nnbook.claims import All, Close, Equal, Outcome, claim, exact, refutation
from nnbook.claims.domains import Choice, Scalar, Size
from nnbook.claims.residual import MAPS, Array, Identities, stack
from nnbook.scratch import (
    identity,
    paths_by_length,
    relu,
    residual_block_vjp,
    residual_stack,
    sigmoid,
    sigmoid_vjp,
)
from nnbook.scratch.residual import Block

# --- paths ----------------------------------------------------------------------------------------


@claim(
    "pth-sum",
    says=r"$(I + A_L) \cdots (I + A_1)$ is the sum over the $2^L$ subsets $S$ of the blocks of "
    r"$\prod_{l \in S} A_l$, the latest block on the left; $\binom{L}{k}$ of the terms have $k$ "
    r"factors.",
    proof=True,
    given={"d": Size(1, 4), "L": Size(1, 6), "seed": Size(0, 999)},
)
def paths(d: int, L: int, seed: int) -> Outcome:
    A = np.random.default_rng(seed).normal(size=(L, d, d)) / d**0.5
    whole, total, counts = np.eye(d), np.zeros((d, d)), []
    for jacobian in A:
        whole = (np.eye(d) + jacobian) @ whole
    for k in range(L + 1):
        chosen = list(combinations(range(L), k))
        counts.append(len(chosen))
        for places in chosen:
            product = np.eye(d)
            for at in places:
                product = A[at] @ product
            total += product
    return All(
        Close(total, whole, tol=1e-8),
        Close(paths_by_length(A).sum(axis=0), whole, tol=1e-8),
        Equal(counts, [comb(L, k) for k in range(L + 1)]),
        Equal(sum(counts), 2**L),
    )


@exact("pth-sum")
def paths_exact() -> Identities:
    import sympy as sp

    found = []
    for L in range(1, 6):
        A = sp.symbols(f"A1:{L + 1}", commutative=False)
        whole = sp.S.One
        for factor in A:
            whole = (1 + factor) * whole
        terms = [
            prod(reversed(chosen), start=sp.S.One)
            for k in range(L + 1)
            for chosen in combinations(A, k)
        ]
        found.append((f"L = {L}", sp.expand(whole) - sp.Add(*terms)))
    return found


@refutation(
    "pth-unravel",
    says=r"What holds for Jacobians holds for the maps: two blocks are the sum of their four "
    r"paths, $z + f_1(z) + f_2(z) + f_2(f_1(z))$, with $f_l(z) = \relu(z + b_l)$.",
    given={"z": Scalar(-9, 9), "b1": Scalar(-9, 9), "b2": Scalar(-9, 9)},
    right="pth-sum",
)
def unravel(z: float, b1: float, b2: float) -> Outcome:
    def f(x: Array, b: float) -> Array:
        return relu(x + b)

    one, point = np.ones((1, 1)), np.array([z])
    # a second ReLU does nothing to what the first one returns
    blocks = [(one, np.zeros(1), one, np.array([b])) for b in (b1, b2)]
    four = point + f(point, b1) + f(point, b2) + f(f(point, b1), b2)
    return Close(residual_stack(point, blocks), four)


# --- blocks that start at zero ---


def zeroed(block: Block) -> Block:
    """Return the block with W1 and b1 set to zero."""
    W1, b1, W2, b2 = block
    return 0 * W1, 0 * b1, W2, b2


@claim(
    "pth-contains",
    says=r"With $W_1 = 0$, $b_1 = 0$ and $\sigma(0) = 0$ a block is the identity, bit for bit. So "
    r"for every stack of $L$ blocks and every $M > L$ there is a stack of $M$ blocks with the same "
    r"function, wherever the new blocks are put in.",
    proof=True,
    given={
        "d": Size(1, 6),
        "h": Size(1, 6),
        "L": Size(0, 4),
        "more": Size(1, 4),
        "name": Choice(("ReLU", "tanh", "GELU")),
        "seed": Size(0, 999),
    },
)
def contains(d: int, h: int, L: int, more: int, name: str, seed: int) -> Outcome:
    rng, sigma = np.random.default_rng(seed), MAPS[name]
    z, shallow = rng.normal(size=(5, d)), stack(L, d, h, seed)
    deep = list(shallow)
    for block in stack(more, d, h, seed + 1):
        deep.insert(int(rng.integers(len(deep) + 1)), zeroed(block))
    values = [residual_stack(z, blocks, activation=sigma) for blocks in (deep, shallow)]
    return All(Equal(len(deep), L + more), Equal(*values))


@refutation(
    "pth-contains-source",
    says=r"With $W_1 = 0$ and $b_1 = 0$ a block is the identity whatever its activation is, also "
    r"with the sigmoid.",
    given={"z": Scalar(-9, 9), "w": Scalar(-9, 9), "b": Scalar(-9, 9)},
    right="pth-contains",
)
def contains_source(z: float, w: float, b: float) -> Outcome:
    point, one = np.array([z]), np.ones((1, 1))
    block = (0 * one, np.zeros(1), w * one, np.array([b]))
    return Close(residual_stack(point, [block], activation=(sigmoid, sigmoid_vjp)), point)


START = {"d": Size(1, 6), "h": Size(1, 6), "B": Size(1, 5), "seed": Size(0, 999)}


def _gradients(d: int, h: int, B: int, seed: int, **options: object) -> list[Array]:
    z, v = np.random.default_rng(seed + 1).normal(size=(2, B, d))
    block = zeroed(stack(1, d, h, seed)[0])
    return [v, z, *block, *residual_block_vjp(v, z, *block, **options)]  # type: ignore[arg-type]


@claim(
    "pth-stuck",
    says=r"With $\relu$ at the end of the branch and $W_1 = 0$, $b_1 = 0$, the gradients of "
    r"$W_1$, $b_1$, $W_2$ and $b_2$ are exactly zero, whatever loss is put on the output: gradient "
    r"descent never moves such a block (with the slope 0 at 0, as PyTorch has it).",
    proof=True,
    given=START,
)
def stuck(d: int, h: int, B: int, seed: int) -> Outcome:
    v, *_, at_z, at_W1, at_b1, at_W2, at_b2 = _gradients(d, h, B, seed)
    still = [Equal(g, np.zeros_like(g)) for g in (at_W1, at_b1, at_W2, at_b2)]
    return All(Equal(at_z, v), *still)


@claim(
    "pth-start",
    says=r"Without an activation at the end and with $W_1 = 0$, $b_1 = 0$, the first gradients are "
    r"$\bar W_1 = c \sum v u^\top$ and $\bar b_1 = c \sum v$ with $u = \sigma(W_2 z + b_2)$, and "
    r"those of $W_2$ and $b_2$ are zero: in the first step only the last map moves.",
    proof=True,
    given=START | {"name": Choice(("ReLU", "tanh", "GELU")), "c": Scalar(-2, 2, nonzero=True)},
)
def start(d: int, h: int, B: int, seed: int, name: str, c: float) -> Outcome:
    sigma = MAPS[name]
    v, z, _, _, W2, b2, at_z, at_W1, at_b1, at_W2, at_b2 = _gradients(
        d, h, B, seed, activation=sigma, last=identity, scale=c
    )
    u = sigma[0](z @ W2.T + b2)
    still = [Equal(g, np.zeros_like(g)) for g in (at_W2, at_b2)]
    return All(
        Equal(at_z, v),
        Close(at_W1, c * sum(np.outer(*pair) for pair in zip(v, u, strict=True))),
        Close(at_b1, c * v.sum(axis=0)),
        *still,
    )
