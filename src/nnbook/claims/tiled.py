"""Claims of the topic tiled: attention from blocks of keys, and the memory that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Outcome, claim, exact, measured, refutation
from nnbook.claims._memory import peak_bytes
from nnbook.claims.domains import Choice, Domain, Matrix, Scalar, Size
from nnbook.scratch import (
    Partial,
    attention,
    attention_vjp,
    finish,
    merge,
    partial,
    tiled_attention,
    tiled_attention_vjp,
)

Array = np.ndarray
Given = dict[str, Domain]
# scores and values of three sets of keys, for n queries
SETS: Given = {
    "z": Matrix("n", "a", lo=-50, hi=50),
    "u": Matrix("n", "b", lo=-50, hi=50),
    "w": Matrix("n", "c", lo=-50, hi=50),
    "v": Matrix(18, "e"),
}
BLOCKS: Given = {
    "n": Size(1, 9),
    "m": Size(1, 9),
    "q": Matrix("n", "d", lo=-3, hi=3),
    "k": Matrix("m", "d", lo=-3, hi=3),
    "v": Matrix("m", "e"),
    "g": Matrix("n", "e"),
    "block": Size(1, 5),
    "causal": Choice((False, True)),
}


def same(one: Partial, other: Partial) -> Outcome:
    """Whether two say the same of all queries."""
    return All(*(Close(a, b) for a, b in zip(one, other, strict=True)))


@claim(
    "til-merge",
    says=r"Merging what is known from two disjoint sets of keys gives what is known from their "
    r"union. So $\oplus$ is associative and commutative, and the state of no key, "
    r"$(-\infty, 0, 0)$, changes nothing.",
    proof=True,
    given=SETS,
)
def merging(z: Array, u: Array, w: Array, v: Array) -> Outcome:
    a, b = z.shape[1], u.shape[1]
    first, second = partial(z, v[:a]), partial(u, v[a : a + b])
    third = partial(w, v[a + b : a + b + w.shape[1]])
    nothing = partial(z[:, :0], v[:0])
    return All(
        same(merge(first, second), partial(np.hstack([z, u]), v[: a + b])),
        same(merge(merge(first, second), third), merge(first, merge(second, third))),
        same(merge(first, second), merge(second, first)),
        same(merge(nothing, first), first),
        same(merge(nothing, nothing), nothing),
    )


@exact("til-merge")
def merging_exact() -> list[tuple[str, Any]]:
    import sympy

    z, u, v, w = sympy.symbols("z u v w", real=True)
    m = sympy.Symbol("m", real=True)  # the larger top, whichever it is
    # one key each: (z, 1, v) and (u, 1, w)
    total = sympy.exp(z - m) + sympy.exp(u - m)
    mixed = sympy.exp(z - m) * v + sympy.exp(u - m) * w
    direct = (sympy.exp(z) * v + sympy.exp(u) * w) / (sympy.exp(z) + sympy.exp(u))
    log_sum = m + sympy.log(total)
    return [
        ("output of two keys", sympy.simplify(mixed / total - direct)),
        (
            "sum of exponentials",
            sympy.simplify(sympy.expand(sympy.exp(log_sum)) - sympy.exp(z) - sympy.exp(u)),
        ),
    ]


@claim(
    "til-equal",
    says=r"Whatever the size of the blocks, tiled attention returns what attention returns, and "
    r"its backward pass the same gradients.",
    proof=True,
    given=BLOCKS,
)
def equal(q: Array, k: Array, v: Array, g: Array, block: int, causal: bool) -> Outcome:
    got = tiled_attention_vjp(g, q, k, v, causal=causal, block=block)
    want = attention_vjp(g, q, k, v, causal=causal)
    return All(
        Close(
            tiled_attention(q, k, v, causal=causal, block=block), attention(q, k, v, causal=causal)
        ),
        *(Close(a, b) for a, b in zip(got, want, strict=True)),
    )


@refutation(
    "til-average-source",
    says=r"The output for two sets of keys is the mean of the outputs for each (here of one key "
    r"each).",
    given={"q": Matrix(1, 1, lo=-3, hi=3), "k": Matrix(2, 1, lo=-3, hi=3), "v": Matrix(2, 1)},
    right="til-merge",
)
def average(q: Array, k: Array, v: Array) -> Outcome:
    halves = [attention(q, k[i : i + 1], v[i : i + 1]) for i in (0, 1)]
    return Close(sum(halves) / 2, attention(q, k, v))


@refutation(
    "til-naive-source",
    says=r"The running top score may be left out: the sums of $e^{z_j}$ and $e^{z_j} v_j$ are "
    r"enough, and in float64 their quotient is right.",
    given={"top": Scalar(0, 1000), "v": Matrix(2, 1, lo=1, hi=2)},
    right="til-stable",
)
def naive(top: float, v: Array) -> Outcome:
    z = np.array([[top, top - 1]])
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(z)
        got = e @ v / e.sum(axis=-1, keepdims=True)
    return Close(got, finish(partial(z, v))[0])


@claim(
    "til-stable",
    says=r"For real scores the exponents are at most 0, the running total lies between 1 and the "
    r"number $m$ of keys, and the mixed values are at most $m$ times the largest absolute value.",
    proof=True,
    given={**SETS, "shift": Scalar(-1e5, 1e5)},
)
def stable(z: Array, u: Array, w: Array, v: Array, shift: float) -> Outcome:
    a, b = z.shape[1], u.shape[1]
    known = merge(partial(z + shift, v[:a]), partial(u + shift, v[a : a + b]))
    return All(
        AtMost(known.total, float(a + b)),
        AtMost(-known.total, -1.0),
        AtMost(np.abs(known.mixed), (a + b) * np.abs(v).max(initial=0.0)),
        Equal(known.top[:, 0], np.hstack([z, u]).max(axis=1) + shift),
    )


def peak(f: Callable[..., Any], n: int, seed: int, d: int = 16) -> int:
    """Return the bytes that f needs at most for n queries and keys, beyond what it is given."""
    q, k, v = np.random.default_rng(seed).normal(size=(3, n, d))
    f(q[:2], k[:2], v[:2])  # what is made once only
    return peak_bytes(lambda: f(q, k, v))


@measured(
    "til-memory",
    says=r"From 512 to 1024 positions the memory of attention grows by a factor of about 4, that "
    r"of tiled attention by what is shown, about 2 or less.",
    band=(1.0, 2.3),
    unit="times the bytes",
)
def memory(seed: int) -> float:
    plain, tiled = (peak(f, 1024, seed) / peak(f, 512, seed) for f in (attention, tiled_attention))
    if not 3.5 < plain < 4.5:
        raise AssertionError(f"the plain form grew by {plain}, wanted about 4")
    return round(tiled, 2)  # how much Python itself needs is never quite the same
