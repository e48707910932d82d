"""Claims of the topic residual: what the identity in I + A guarantees and what it does not."""

from __future__ import annotations

from math import exp, prod

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Choice, Scalar, Size, Vector
from nnbook.claims.residual import MAPS, Array, Identities, stack
from nnbook.scratch import (
    branch_jacobian,
    residual_block,
    residual_block_vjp,
    residual_stack,
    residual_stack_vjp,
)
from nnbook.scratch.residual import Block

WHOLE = Choice((0, 1, -1, 2, -2))


@refutation(
    "res-vanish-source",
    says=r"The identity keeps gradients from vanishing: the slope of "
    r"$z + \relu(w_1 \relu(w_2 z + b_2) + b_1)$ is not zero, for whole numbers from $-2$ to $2$.",
    given={"z": WHOLE, "w1": WHOLE, "b1": WHOLE, "w2": WHOLE, "b2": WHOLE},
    right="res-zero",
)
def vanish_source(z: int, w1: int, b1: int, w2: int, b2: int) -> Outcome:
    point, one = np.array([float(z)]), np.ones((1, 1))
    parameters = (w1 * one, b1 * one[0], w2 * one, b2 * one[0])
    slope = residual_block_vjp(np.ones(1), point, *parameters)[0]
    return Holds(slope != 0, f"slope {slope[0]:g}")


def flat_block(d: int, a: float) -> Block:
    """Return the parameters of a ReLU block that maps the whole cube (-a, a)^d to one point."""
    one = np.eye(d)
    return -one, np.full(d, 2 * a), one, np.full(d, a)


@claim(
    "res-zero",
    says=r"Take $\relu$ at both places, $W_2 = I$, $b_2 = a\1$, $W_1 = -I$, $b_1 = 2a\1$, $a > 0$. "
    r"Then $\operatorname{Res}(z) = a\1$ on the whole cube $\lvert z_i \rvert < a$: there "
    r"$A = -I$, the Jacobian is exactly zero, and no gradient passes this block nor any stack "
    r"that contains it.",
    proof=True,
    given={"t": Vector(1, 6, lo=-0.99, hi=0.99), "a": Scalar(0.1, 10), "seed": Size(0, 99)},
)
def zero(t: Array, a: float, seed: int) -> Outcome:
    d, z = len(t), a * t
    block = flat_block(d, a)
    v = np.random.default_rng(seed).normal(size=d)
    behind = stack(2, d, 3, seed)
    back = residual_stack_vjp(v, z, [block, *behind])[0]
    return All(
        Close(residual_block(z, *block), np.full(d, a)),
        Equal(np.eye(d) + branch_jacobian(z, *block), np.zeros((d, d))),
        Equal(residual_block_vjp(v, z, *block)[0], np.zeros(d)),
        Equal(back, np.zeros(d)),
    )


@exact("res-zero")
def zero_exact() -> Identities:
    import sympy as sp

    # a number in (-a, a) is a (2s - 1) with 0 < s < 1, written as s = p / (p + q)
    a, p, q = sp.symbols("a p q", positive=True)
    z = sp.cancel(a * (2 * p / (p + q) - 1))
    inner = sp.Max(sp.factor(z + a), 0)
    outer = sp.Max(sp.factor(2 * a - inner), 0)
    return [("one entry", z + outer - a)]


@claim(
    "res-narrow",
    says=r"If $L$ branches of width $h$ have $Lh < d$, then at every point and for all weights "
    r"there is a space of at least $d - Lh$ dimensions of gradients $v$ that pass the whole stack "
    r"unchanged. With $\relu$ at both places it can be exactly $d - Lh$ dimensions, and for "
    r"$Lh = d$ the Jacobian can be zero.",
    proof=True,
    given={"d": Size(3, 8), "h": Size(1, 2), "seed": Size(0, 999), "name": Choice(tuple(MAPS))},
)
def narrow(d: int, h: int, seed: int, name: str) -> Outcome:
    L = (d - 1) // h
    blocks, at = stack(L, d, h, seed), np.random.default_rng(seed + 1).normal(size=d)
    z, tall, sigma = at, [], MAPS[name]
    for block in blocks:
        tall.append(branch_jacobian(at, *block, activation=sigma))
        at = residual_block(at, *block, activation=sigma)
    _, sizes, rows = np.linalg.svd(np.concatenate(tall, axis=1).T)
    rank = int(np.sum(sizes > 1e-9 * max(1.0, sizes.max())))
    free = rows[rank:]
    back = residual_stack_vjp(free, np.tile(z, (len(free), 1)), blocks, activation=sigma)[0]
    size = max(1.0, float(np.abs(tall).max()))
    inside = np.random.default_rng(seed + 2).uniform(-0.9, 0.9, size=d)
    outcomes: list[Outcome] = [AtMost(d - L * h, len(free)), Close(back, free, tol=1e-7 * size)]
    for count in {L, d // h}:  # blocks that flatten h entries each, the others passing
        taken, flat = np.arange(d) < count * h, thin_blocks(d, h, count)
        rows = residual_stack_vjp(np.eye(d), np.tile(inside, (d, 1)), flat)[0]
        outcomes.append(Close(rows, np.diag(1.0 - taken)))
        outcomes.append(Close(residual_stack(inside, flat), np.where(taken, 1.0, inside)))
    return All(*outcomes)


def thin_blocks(d: int, h: int, count: int) -> list[Block]:
    """Return ReLU blocks of hidden width h; each one sets h further entries in (-1, 1) to 1."""
    blocks = []
    for at in range(0, count * h, h):
        pick = np.eye(d)[at : at + h]
        shut = -np.ones(d)  # the outer ReLU of all other entries stays shut
        shut[at : at + h] = 2
        blocks.append((-pick.T, shut, pick, np.ones(h)))
    return blocks


def _norms(L: int, d: int, seed: int, deltas: Array) -> Array:
    """Return L random matrices, the spectral norm of each being the number wanted."""
    A = np.random.default_rng(seed).normal(size=(L, d, d))
    return A * (deltas / np.linalg.norm(A, 2, axis=(1, 2)))[:, None, None]


@claim(
    "res-bounds",
    says=r"Let $\norm{A_l} \le \delta_l \le 1$ in the spectral norm. Then a gradient $v$ comes out "
    r"of the stack with a length between $\prod_l (1 - \delta_l) \norm v$ and "
    r"$\prod_l (1 + \delta_l) \norm v$; with $A_l = -\delta_l I$ and $A_l = \delta_l I$ the "
    r"bounds are reached.",
    proof=True,
    given={"d": Size(1, 6), "deltas": Vector(1, 8, lo=0, hi=1), "seed": Size(0, 999)},
)
def bounds(d: int, deltas: Array, seed: int) -> Outcome:
    one, v = np.eye(d), np.random.default_rng(seed + 1).normal(size=d)
    low, high = (prod(1 + sign * deltas) * np.linalg.norm(v) for sign in (-1, 1))

    def length(A: Array) -> float:
        back = v
        for jacobian in A[::-1]:
            back = back + jacobian.T @ back
        return float(np.linalg.norm(back))

    drawn = length(_norms(len(deltas), d, seed, deltas))
    tight = [length(sign * deltas[:, None, None] * one) for sign in (-1, 1)]
    sizes = np.linalg.svd(one + _norms(1, d, seed, deltas[:1])[0], compute_uv=False)
    return All(
        AtMost(low, drawn),
        AtMost(drawn, high),
        Close(tight[0], low),
        Close(tight[1], high),
        AtMost(1 - deltas[0], sizes.min()),
        AtMost(sizes.max(), 1 + deltas[0]),
    )


@claim(
    "res-depthfree",
    says=r"If $\lvert \sigma' \rvert \le 1$ and $\norm{W_1} \norm{W_2} \le K$ in each of $L$ "
    r"blocks, the factor $c = 1/L$ keeps the length of a gradient between $(1 - K) \norm v$ and "
    r"$e^K \norm v$, for every $L$.",
    proof=True,
    given={
        "d": Size(1, 5),
        "h": Size(1, 5),
        "L": Size(1, 12),
        "K": Scalar(0.1, 3),
        "name": Choice(("ReLU", "tanh")),
        "seed": Size(0, 999),
    },
    also=[{"d": 4, "h": 5, "L": 200, "K": 2.0, "name": "ReLU", "seed": 0}],
)
def depthfree(d: int, h: int, L: int, K: float, name: str, seed: int) -> Outcome:
    blocks = []
    for W1, b1, W2, b2 in stack(L, d, h, seed):
        size = np.linalg.norm(W1, 2) * np.linalg.norm(W2, 2)
        blocks.append((W1 * (K / size), b1, W2, b2))
    z, v = np.random.default_rng(seed + 1).normal(size=(2, d))
    back = residual_stack_vjp(v, z, blocks, activation=MAPS[name], scale=1 / L)[0]
    length = np.linalg.norm(back) / np.linalg.norm(v)
    return All(AtMost(1 - K, length), AtMost(length, exp(K)))
