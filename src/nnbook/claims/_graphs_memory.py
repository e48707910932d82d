"""Claims of the topic graphs: what is kept for the way back, and what checkpoints change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnbook import autograd as ag

from ._core import claim, exact, measured, refutation
from ._memory import peak_bytes
from ._outcomes import All, AtMost, Close, Equal, Holds, Outcome
from .domains import Scalar, Size

Array = np.ndarray
LAYERS = {"L": Size(1, 24), "B": Size(2, 5), "n": Size(2, 5)}


class Chain:
    """L layers tanh(h W) of width n on a batch of B rows, which count how often they run."""

    def __init__(self, L: int, B: int, n: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.weights = [[ag.parameter(rng.normal(size=(n, n)) / n**0.5)] for _ in range(L)]
        self.x = ag.parameter(rng.normal(size=(B, n)))
        self.v = rng.normal(size=(B, n))
        self.runs = 0

    def layer(self, h: ag.Tensor, W: ag.Tensor) -> ag.Tensor:
        self.runs += 1
        return ag.tanh(h @ W)

    def run(self, every: int | None) -> ag.Tensor:
        """Go through the layers, with checkpoints of segments unless ``every`` is None."""
        if every is not None:
            layers = [self.layer] * len(self.weights)
            return ag.checkpoint_sequential(layers, self.weights, self.x, every)  # type: ignore[arg-type]
        h = self.x
        for own in self.weights:
            h = self.layer(h, *own)
        return h

    def gradients(self, y: ag.Tensor) -> tuple[Array, ...]:
        return ag.grad(y, [self.x, *(W for own in self.weights for W in own)], self.v)


@claim(
    "gra-memory",
    says=r"Through $L$ layers $h_l = \tanh(h_{l-1}W_l)$ of width $n$ on a batch of $B$ rows in "
    r"float64, the record keeps the $L$ arrays $h_1, \dots, h_L$ and nothing else, beside the "
    r"leaves: $8BnL$ bytes, in proportion to the depth. Without a record it keeps nothing.",
    proof=True,
    given=LAYERS,
)
def memory(L: int, B: int, n: int) -> Outcome:
    chain = Chain(L, B, n)
    with ag.no_grad():
        nothing = ag.kept_bytes(chain.run(None))
    return Equal([ag.kept_bytes(chain.run(None)), nothing], [8 * B * n * L, 0])


@claim(
    "gra-checkpoint",
    says=r"With checkpoints the gradients are the same, bit for bit; the record keeps the inputs "
    r"of the segments: $8Bn(\lceil L/k \rceil - 1)$ bytes for segments of $k$ layers, the first "
    r"input being a leaf; and every layer runs twice in all, once more than without.",
    proof=True,
    given={**LAYERS, "k": Size(1, 8)},
    cases=60,
)
def checkpoints(L: int, B: int, n: int, k: int) -> Outcome:
    chain = Chain(L, B, n)
    want = chain.gradients(chain.run(None))
    chain.runs = 0
    y = chain.run(k)
    kept, forward = ag.kept_bytes(y), chain.runs
    got = chain.gradients(y)
    return All(
        Equal([kept, forward, chain.runs], [8 * B * n * (math.ceil(L / k) - 1), L, 2 * L]),
        *(Equal(g, w) for g, w in zip(got, want, strict=True)),
    )


def held(L: int, k: int) -> int:
    """Return the most activations held at once: one per segment, and those of one segment."""
    return math.ceil(L / k) + k


@claim(
    "gra-root",
    says=r"With segments of length $k$ the most activations held at once are at most "
    r"$\lceil L/k \rceil + k$. As a function of a real $k > 0$, $L/k + k$ is smallest at "
    r"$k = \sqrt L$, with the value $2\sqrt L$; and $k = \lceil\sqrt L\rceil$ holds at most "
    r"$2\lceil\sqrt L\rceil$.",
    proof=True,
    given={"L": Size(1, 5000), "k": Size(1, 5000)},
)
def root(L: int, k: int) -> Outcome:
    best = math.isqrt(L - 1) + 1  # the root, rounded up
    return All(
        AtMost(2 * math.sqrt(L), L / k + k),
        AtMost(held(L, best), 2 * best, tol=0.0),
        AtMost(2 * math.sqrt(L), held(L, k)),
    )


@exact("gra-root")
def root_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    L, k = sp.symbols("L k", positive=True)
    held = L / k + k
    gap = (k - sp.sqrt(L)) ** 2 / k
    return [
        ("value", held.subs(k, sp.sqrt(L)) - 2 * sp.sqrt(L)),
        ("the gap is a square over k", held - 2 * sp.sqrt(L) - gap),
    ]


def peak(chain: Chain, every: int | None) -> int:
    """Return the peak of the memory from the first layer to the gradients at x.

    In activations of a layer, rounded: what else is allocated is small, and never quite the same.
    """
    size = peak_bytes(lambda: ag.grad(chain.run(every), [chain.x], chain.v))
    return round(size / chain.x.data.nbytes)


@measured(
    "gra-peak",
    says=r"Peak memory of a forward and a backward pass, 64 layers of width 16 on 2000 rows, with "
    r"segments of 8 layers over without checkpoints, as the allocator counts it, both rounded to "
    r"whole activations. Activations alone give $16/64$; gradients on the way come on top.",
    band=(0.15, 0.5),
    unit="ratio",
)
def peak_ratio(seed: int) -> float:
    chain = Chain(64, 2000, 16, seed)
    return peak(chain, 8) / peak(chain, None)


@refutation(
    "gra-checkpoint-free",
    says="Checkpoints of segments save memory for every length of the segments.",
    given={"L": Size(2, 24), "k": Size(1, 24)},
    right="gra-root",
)
def checkpoint_free(L: int, k: int) -> Outcome:
    return Holds(held(L, k) < L, f"up to {held(L, k)} activations held, {L} without checkpoints")


@claim(
    "gra-recompute",
    says=r"If the way back costs $r$ times as much as the way forward, checkpoints of segments "
    r"make the whole $(2 + r)/(1 + r)$ times as expensive: $4/3$ for $r = 2$.",
    proof=True,
    given={"L": Size(1, 12), "k": Size(1, 6), "r": Scalar(0, 10)},
    cases=40,
)
def recompute(L: int, k: int, r: float) -> Outcome:
    plain, spared = Chain(L, 2, 2), Chain(L, 2, 2)
    for chain, every in ((plain, None), (spared, k)):
        chain.gradients(chain.run(every))
    return Close((spared.runs + r * L) / (plain.runs + r * L), (2 + r) / (1 + r))
