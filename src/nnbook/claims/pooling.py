"""Claims of the topic pooling: gradients, averages, and which shifts pooling does not notice."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Array as Box
from nnbook.claims.domains import Domain, Matrix, Size
from nnbook.scratch import (
    adaptive_avg_pool2d,
    adaptive_bins,
    avg_pool2d,
    conv2d,
    max_pool2d,
    max_pool2d_vjp,
)

Array = np.ndarray
Identities = list[tuple[str, Any]]
# windows of k by k side by side: a picture of (k a) by (k b)
TILES: dict[str, Domain] = {"k": Size(1, 3), "a": Size(1, 3), "b": Size(1, 3)}


def around(x: Array, by: int) -> Array:
    """Pad the last two axes as if the picture were bent to a ring in both directions."""
    return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(by, by)] * 2, mode="wrap")


def shift(x: Array, down: int, right: int) -> Array:
    """Move a picture; what leaves at one border comes back at the other."""
    return np.roll(x, (down, right), axis=(-2, -1))


@claim(
    "pool-grad",
    says=r"Where the largest entry of each window is the only one, max pooling is differentiable, "
    r"and the gradient of $\langle v, y \rangle$ brings each entry of $v$ to that largest entry.",
    proof=True,
    given={"h": Size(2, 5), "w": Size(2, 5), "x": Matrix("h", "w", distinct=True), "d": Size(1, 2)},
)
def grad(x: Array, d: int) -> Outcome:
    y = max_pool2d(x, 2, stride=d)
    v = np.arange(1.0, 1 + y.size).reshape(y.shape)
    step, found = 1e-4, np.zeros_like(x)
    for at in np.ndindex(x.shape):  # no entry overtakes another: the quotient is exact
        moved = x.copy()
        moved[at] += step
        found[at] = np.sum(v * (max_pool2d(moved, 2, stride=d) - y)) / step
    return Close(max_pool2d_vjp(v, x, 2, stride=d), found, 1e-6)


@refutation(
    "pool-tie",
    says=r"Max pooling has a derivative everywhere: the slope towards $+\delta$ and the slope "
    r"towards $-\delta$ are the same, in every direction $\delta$.",
    given={"x": Matrix(2, 2, lo=-2, hi=2), "delta": Matrix(2, 2, lo=-2, hi=2)},
    right="pool-grad",
)
def tie(x: Array, delta: Array) -> Outcome:
    step = 1e-6
    up = (max_pool2d(x + step * delta, 2) - max_pool2d(x, 2)) / step
    down = (max_pool2d(x, 2) - max_pool2d(x - step * delta, 2)) / step
    return Close(up, down, 1e-3)


@claim(
    "pool-subgradient",
    says=r"For $v \ge 0$ the gradient $g$ that is sent to the first of several largest entries is "
    r"a subgradient: $\langle v, y(x') \rangle \ge \langle v, y(x) \rangle + "
    r"\langle g, x' - x \rangle$ for all $x'$.",
    proof=True,
    given={"x": Matrix(4, 3, lo=-2, hi=2), "other": Matrix(4, 3), "v": Matrix(3, 2, lo=0)},
)
def subgradient(x: Array, other: Array, v: Array) -> Outcome:
    x = np.round(x)  # many ties
    g = max_pool2d_vjp(v, x, 2, stride=1)
    line = np.vdot(v, max_pool2d(x, 2, stride=1)) + np.vdot(g, other - x)
    return AtMost(line, np.vdot(v, max_pool2d(other, 2, stride=1)))


@claim(
    "pool-average",
    says=r"Average pooling with $k \times k$ windows is the depthwise convolution with the kernel "
    r"whose entries are all $1/k^2$, with the same stride and padding.",
    proof=True,
    given={
        "h": Size(3, 7),
        "w": Size(3, 7),
        "k": Size(1, 3),
        "s": Size(1, 3),
        "x": Box(2, "h", "w"),
    },
)
def average(x: Array, k: int, s: int) -> Outcome:
    kernel = np.full((2, 1, k, k), 1 / k**2)
    half = k // 2
    return Close(
        avg_pool2d(x, k, stride=s, padding=half),
        conv2d(x, kernel, stride=s, padding=half, groups=2),
    )


@claim(
    "pool-adaptive-bins",
    says=r"The bins $[\lfloor im/s \rfloor, \lceil (i+1)m/s \rceil)$ cover an axis of $m$ entries, "
    r"none is empty, and neighbours share at most one entry. If $s$ divides $m$ they "
    r"are the windows of average pooling with kernel and stride $m/s$.",
    proof=True,
    given={"m": Size(1, 12), "s": Size(1, 12), "x": Matrix("m", "m")},
)
def adaptive(m: int, s: int, x: Array) -> Outcome:
    bins = adaptive_bins(m, s)
    covered = {p for a, b in bins for p in range(a, b)} == set(range(m))
    shared = [b - a for (_, b), (a, _) in pairwise(bins)]
    fine = all(a < b for a, b in bins) and all(0 <= n <= 1 for n in shared)
    checks: list[Outcome] = [Holds(covered and fine, f"bins {bins} of {m} entries")]
    if m % s == 0:
        checks.append(Close(adaptive_avg_pool2d(x, s), avg_pool2d(x, m // s)))
    means = [[x[a:b, c:d].mean() for c, d in bins] for a, b in bins]
    return All(*checks, Close(adaptive_avg_pool2d(x, s), np.array(means)))


@claim(
    "pool-window",
    says="With windows side by side neither the maximum nor the mean of a window changes when the "
    "numbers inside it change places.",
    proof=True,
    given={**TILES, "seed": Size(0, 1000)},
)
def window(k: int, a: int, b: int, seed: int) -> Outcome:
    rng = np.random.default_rng(seed)
    tiles = rng.normal(size=(a, b, k * k))
    mixed = rng.permuted(tiles, axis=-1)

    def picture(t: Array) -> Array:
        return t.reshape(a, b, k, k).transpose(0, 2, 1, 3).reshape(k * a, k * b)

    x, y = picture(tiles), picture(mixed)
    return All(Equal(max_pool2d(x, k), max_pool2d(y, k)), Close(avg_pool2d(x, k), avg_pool2d(y, k)))


CONV: dict[str, Domain] = {
    "h": Size(2, 6),
    "w": Size(2, 6),
    "x": Box(2, "h", "w"),
    "kernel": Box(3, 2, 3, 3),
    "down": Size(0, 5),
    "right": Size(0, 5),
}


def features(x: Array, kernel: Array, circular: bool) -> Array:
    """Return ReLU of a convolution that keeps the size of the picture."""
    y = conv2d(around(x, 1), kernel) if circular else conv2d(x, kernel, padding=1)
    return np.maximum(y, 0)


@claim(
    "pool-invariant",
    says=r"Convolutions with circular padding and stride $1$, any elementwise activation, then the "
    "mean or the maximum over all places: the result does not change when the picture is shifted "
    "around, by any number of pixels.",
    proof=True,
    given=CONV,
)
def invariant(x: Array, kernel: Array, down: int, right: int) -> Outcome:
    y, moved = features(x, kernel, True), features(shift(x, down, right), kernel, True)
    return All(
        Close(moved, shift(y, down, right)),
        Close(moved.mean(axis=(1, 2)), y.mean(axis=(1, 2))),
        Close(moved.max(axis=(1, 2)), y.max(axis=(1, 2))),
    )


@refutation(
    "pool-invariant-zeros",
    says="The mean over all places does not change either when the convolution has zeros around "
    "the picture.",
    given={"x": Box(1, 1, 3), "kernel": Box(1, 1, 3, 3), "right": Size(1, 2)},
    right="pool-invariant",
)
def invariant_zeros(x: Array, kernel: Array, right: int) -> Outcome:
    y, moved = features(x, kernel, False), features(shift(x, 0, right), kernel, False)
    return Close(moved.mean(axis=(1, 2)), y.mean(axis=(1, 2)))


@claim(
    "pool-stride",
    says=r"On a ring whose sides $s$ divides, pooling or convolving with stride $s$ turns a shift "
    r"by $s t$ pixels into a shift by $t$ places, for every whole $t$.",
    proof=True,
    given={
        "k": Size(1, 3),
        "s": Size(1, 3),
        "t": Size(-3, 3),
        "rows": Size(1, 3),
        "columns": Size(1, 3),
        "x": Box(9, 9),
    },
)
def stride(x: Array, k: int, s: int, t: int, rows: int, columns: int) -> Outcome:
    h, w = s * rows, s * columns
    x = x[:h, :w]

    kernel = np.arange(1.0, 1 + k * k).reshape(1, 1, k, k)

    def both(x: Array) -> Array:
        ring = np.pad(x, (0, k - 1), mode="wrap") if k > 1 else x
        return np.stack([max_pool2d(ring, k, stride=s), conv2d(ring[None], kernel, stride=s)[0]])

    moved = np.roll(x, (s * t, -s * t), axis=(0, 1))
    return Close(both(moved), np.roll(both(x), (t, -t), axis=(1, 2)))


@refutation(
    "pool-stride-source",
    says=r"Max pooling with $2 \times 2$ windows side by side makes the output indifferent to a "
    "shift of the picture by one pixel.",
    given={"a": Size(1, 3), "x": Box(2, 6)},
    right="pool-stride",
)
def stride_source(x: Array, a: int) -> Outcome:
    x = x[:, : 2 * a]
    return Close(max_pool2d(shift(x, 0, 1), 2), max_pool2d(x, 2))


@claim(
    "pool-commute",
    says=r"Global average pooling commutes with a $1 \times 1$ convolution: the mean of $Wx + b$ "
    r"over all places is $W$ times the mean of $x$, plus $b$.",
    proof=True,
    given={
        "h": Size(1, 5),
        "w": Size(1, 5),
        "x": Box(3, "h", "w"),
        "W": Matrix(2, 3),
        "b": Box(2),
    },
)
def commute(x: Array, W: Array, b: Array) -> Outcome:
    first = conv2d(x, W[:, :, None, None], b).mean(axis=(1, 2))
    return Close(first, W @ x.mean(axis=(1, 2)) + b)


@exact("pool-commute")
def commute_exact() -> Identities:
    import sympy

    found: Identities = []
    for places in (2, 3):
        x = sympy.Matrix(3, places, lambda c, p: sympy.Symbol(f"x{c}{p}"))
        W = sympy.Matrix(2, 3, lambda o, c: sympy.Symbol(f"W{o}{c}"))
        b = sympy.Matrix(2, 1, lambda o, _: sympy.Symbol(f"b{o}"))
        ones = sympy.ones(places, 1) / places
        gap = (W * x + b * sympy.ones(1, places)) * ones - (W * x * ones + b)
        found.append((f"{places} places", gap.applyfunc(sympy.expand)))
    return found


@refutation(
    "pool-commute-max",
    says=r"Global max pooling commutes with a $1 \times 1$ convolution, too.",
    given={"x": Box(1, 1, 2), "W": Matrix(1, 1)},
    right="pool-commute",
)
def commute_max(x: Array, W: Array) -> Outcome:
    first = conv2d(x, W[:, :, None, None]).max(axis=(1, 2))
    return Close(first, W @ x.max(axis=(1, 2)))
