"""Claims of the topic equivariance: what happens to a convolution when the signal moves.

Stacks of convolutions, the Fourier transform and what was measured in training have a file of
their own, which this one loads at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Outcome, claim, exact, refutation
from nnbook.claims.conv1d import Array, Identities, Kernel, row
from nnbook.claims.domains import Choice, Matrix, Size, Vector
from nnbook.scratch import (
    circulant,
    conv1d_circular,
    conv1d_s,
    correlate1d,
    first_row,
    shift,
    slide,
)

Z = Vector(7, 10)
W = Kernel()
T = Size(0, 12)


@claim(
    "eqv-circular",
    says=r"On a circle $\operatorname{Conv}(S^t z) = S^t \operatorname{Conv}(z)$ for every "
    r"signal, every kernel with $k \le m$ and every shift $t$.",
    proof=True,
    given={"z": Z, "w": W, "t": T},
)
def circular(z: Array, w: Array, t: int) -> Outcome:
    C = circulant(first_row(w, len(z)))
    return All(
        Close(conv1d_circular(shift(z, t), w), shift(conv1d_circular(z, w), t)),
        Close(C @ z, conv1d_circular(z, w)),
    )


@exact("eqv-circular")
def circular_exact() -> Identities:
    import sympy

    found: Identities = []
    for m in (3, 4, 5):
        w = row("w", 3)
        C = sympy.Matrix(
            m, m, lambda a, b, m=m, w=w: {m - 1: w[0], 0: w[1], 1: w[2]}.get((b - a) % m, 0)
        )
        S = sympy.Matrix(m, m, lambda a, b, m=m: int((a - b) % m == 1))
        found.append((f"CS = SC, m = {m}, l = 1", C * S - S * C))
    return found


@claim(
    "eqv-converse",
    says=r"A matrix $A$ commutes with the shift $S$ of the circle if and only if it is circulant, "
    r"$A_{ab} = c_{(b-a) \bmod m}$. Then it is $\sum_t c_t S^{-t}$, a convolution of $m$ weights; "
    r"with an odd number $k \le m$ of weights it is one if and only if $m$ is odd or "
    r"$c_{m/2} = 0$.",
    proof=True,
    given={
        "m": Size(1, 6),
        "A": Matrix("m", "m"),
        "round": Choice((False, True)),
        "hole": Choice((False, True)),
    },
)
def converse(m: int, A: Array, round: bool, hole: bool) -> Outcome:  # noqa: A002
    if round:  # the mean over all shifts commutes with them
        turned = [np.roll(A, (t, t), axis=(0, 1)) for t in range(m)]
        A = np.mean(turned, axis=0)
        if hole:  # nothing comes from the place that lies opposite
            A -= A[0, m // 2] * np.roll(np.eye(m), m // 2, axis=1)
    S = shift(np.eye(m)).T  # S e_a = e_{a+1}
    commutes = np.allclose(A @ S, S @ A, rtol=0, atol=1e-9)
    is_circulant = np.allclose(A, circulant(A[0]), rtol=0, atol=1e-9)
    whole = All(Equal(commutes, is_circulant), Equal(commutes or not round, True))
    if not commutes:
        return whole
    c, units = A[0], np.eye(m)
    half = (m - 1) // 2
    w = c[np.arange(-half, half + 1) % m]  # all that an odd number of weights can hold
    odd = np.allclose(conv1d_circular(units, w).T, A, rtol=0, atol=1e-9)
    return All(
        whole,
        Close(sum(c[t] * np.linalg.matrix_power(S.T, t) for t in range(m)), A),
        Equal(odd, m % 2 == 1 or abs(c[m // 2]) < 1e-9),
    )


@exact("eqv-converse")
def converse_exact() -> Identities:
    import sympy

    found: Identities = []
    for m in (2, 3, 4):
        A = sympy.Matrix(m, m, row("a", m * m))
        S = sympy.Matrix(m, m, lambda a, b, m=m: int((a - b) % m == 1))
        solution = sympy.solve(list(A * S - S * A), list(A), dict=True)[0]
        B = A.subs(solution)
        moved = sympy.Matrix(m, m, lambda a, b, B=B, m=m: B[0, (b - a) % m])
        found.append((f"m = {m}: the solutions are circulant", B - moved))
        found.append((f"m = {m}: of dimension m", len(B.free_symbols) - m))
    return found


@refutation(
    "eqv-invariant-source",
    says=r"A convolution does not notice where a pattern is: "
    r"$\operatorname{Conv}(S^t z) = \operatorname{Conv}(z)$.",
    given={"z": Z, "w": W, "t": T},
    right="eqv-circular",
)
def invariant_source(z: Array, w: Array, t: int) -> Outcome:
    return Close(conv1d_circular(shift(z, t), w), conv1d_circular(z, w))


@claim(
    "eqv-zeros",
    says=r"With zero padding, let $D_t$ move a signal by $t$ places and fill with zeros. Then "
    r"$\operatorname{Conv1D\text{-}S}(D_t z) = D_t \operatorname{Conv1D\text{-}S}(z)$ if the first "
    r"$l$ and the last $t$ entries of $z$ are zero. For any $z$ the two can differ only in the "
    r"first $t$ entries and in the last $l$.",
    proof=True,
    given={"z": Vector(7, 12), "w": W, "t": Size(0, 5)},
)
def zeros(z: Array, w: Array, t: int) -> Outcome:
    half, m = len(w) // 2, len(z)
    gap = conv1d_s(slide(z, t), w) - slide(conv1d_s(z, w), t)
    inside = z.copy()
    inside[:half] = inside[m - t :] = 0
    return All(
        Close(conv1d_s(slide(inside, t), w), slide(conv1d_s(inside, w), t)),
        Close(gap[t : m - half], np.zeros(max(m - half - t, 0))),
    )


@refutation(
    "eqv-zeros-source",
    says=r"With zero padding, $\operatorname{Conv1D\text{-}S}(D_t z) = "
    r"D_t \operatorname{Conv1D\text{-}S}(z)$ for every $z$.",
    given={"z": Vector(3, 8), "w": W, "t": Size(0, 5)},
    right="eqv-zeros",
)
def zeros_source(z: Array, w: Array, t: int) -> Outcome:
    return Close(conv1d_s(slide(z, t), w), slide(conv1d_s(z, w), t))


def strided(z: Array, w: Array, s: int) -> Array:
    """Keep every entry number 1, s + 1, 2 s + 1, ... of a convolution on a circle."""
    return conv1d_circular(z, w)[::s]


@claim(
    "eqv-stride",
    says=r"Keep every $s$-th entry of a convolution on a circle of $m = sn$ entries. A shift "
    r"of the signal by $st$ shifts the output by $t$; a shift by $r$ that is no multiple of $s$ "
    r"gives other entries of the convolution, those at $si - r$.",
    proof=True,
    given={
        "n": Size(4, 5),
        "s": Size(1, 3),
        "w": Kernel(0, 1),
        "t": T,
        "r": T,
        "seed": Size(0, 99),
    },
)
def stride(n: int, s: int, w: Array, t: int, r: int, seed: int) -> Outcome:
    z = np.random.default_rng(seed).normal(size=s * n)
    every = conv1d_circular(z, w)
    return All(
        Close(strided(shift(z, s * t), w, s), shift(strided(z, w, s), t)),
        Close(strided(shift(z, r), w, s), every[(s * np.arange(n) - r) % (s * n)]),
    )


@refutation(
    "eqv-stride-source",
    says=r"A convolution with stride 2 commutes with shifts: when the signal moves by one place, "
    r"the output is $S^t$ of what it was, for some $t$.",
    given={"z": Vector(4, lo=0), "w": Kernel(0, 1)},
    right="eqv-stride",
)
def stride_source(z: Array, w: Array) -> Outcome:
    before, after = strided(z, w, 2), strided(shift(z), w, 2)
    gaps = [np.abs(after - shift(before, t)).max() for t in range(2)]
    return AtMost(min(gaps), 0.0)


POOLS: dict[str, Callable[[Array], Any]] = {"sum": np.sum, "mean": np.mean, "largest": np.max}


@claim(
    "eqv-pool",
    says=r"On a circle, any function of the entries that does not look at their order, such as "
    r"the sum, the mean or the largest of $\varphi(\operatorname{Conv}(z)_i)$ with a function "
    r"$\varphi$ of one number, is invariant: the same for $S^t z$ and $z$.",
    proof=True,
    given={"z": Z, "w": W, "t": T, "pool": Choice(tuple(POOLS))},
)
def pool(z: Array, w: Array, t: int, pool: str) -> Outcome:
    def answer(z: Array) -> float:
        return float(POOLS[pool](np.tanh(conv1d_circular(z, w))))

    return Close(answer(shift(z, t)), answer(z))


@claim(
    "eqv-largest",
    says=r"With zero padding, a pattern of $n$ entries that starts at entry $a$, with zeros around "
    r"it, has the same largest answer wherever it starts, as long as $l \le a - 1$ and "
    r"$a + n - 1 \le m - l$, so that all its windows fit.",
    proof=True,
    given={"n": Size(1, 4), "q": Vector("n"), "w": W, "room": Size(0, 7)},
)
def largest(q: Array, w: Array, room: int) -> Outcome:
    half = len(w) // 2

    def answer(start: int) -> float:
        z = np.zeros(2 * half + len(q) + room)
        z[half + start : half + start + len(q)] = q
        return float(conv1d_s(z, w).max())

    answers = np.array([answer(start) for start in range(room + 1)])  # all places that fit
    return Close(answers, np.full(room + 1, answers[0]))


@refutation(
    "eqv-largest-source",
    says="The largest answer to a pattern is the same wherever the pattern is, with zero padding "
    "also at the ends.",
    given={"q": Vector(3, lo=0), "w": Kernel(1, 1, lo=0), "a": Size(0, 6)},
    right="eqv-largest",
)
def largest_source(q: Array, w: Array, a: int) -> Outcome:
    def answer(start: int) -> float:
        wide = np.zeros(12)
        wide[start : start + 3] = q
        return float(conv1d_s(wide[2:], w).max())  # the signal begins at the third entry

    return Close(answer(a), answer(5))


@claim(
    "eqv-stack",
    says=r"Without padding, or on a circle that holds $k_1 + k_2 - 1$ weights, a convolution with "
    r"$w$ of $k_1$ weights and then one with $u$ of $k_2$ is one convolution with $w * u$, of "
    r"$k_1 + k_2 - 1$ weights. When both are zero padded, the stack differs from the single one "
    r"at most in the first and the last $l_2$ entries.",
    proof=True,
    given={"z": Vector(13, 16), "w": Kernel(half="l_1"), "u": Kernel(half="l_2")},
)
def stack(z: Array, w: Array, u: Array) -> Outcome:
    m, half = len(z), len(u) // 2
    both = np.array(
        [
            sum(w[j] * u[n - j] for j in range(len(w)) if 0 <= n - j < len(u))
            for n in range(len(w) + len(u) - 1)
        ]
    )
    inner = slice(half, m - half)
    twice = conv1d_s(conv1d_s(z, w), u)
    return All(
        Close(correlate1d(correlate1d(z, w), u), correlate1d(z, both)),
        Close(twice[inner], conv1d_s(z, both)[inner]),
        Close(conv1d_circular(conv1d_circular(z, w), u), conv1d_circular(z, both)),
    )


@refutation(
    "eqv-stack-source",
    says=r"Two zero-padded convolutions are one, with the kernel $w * u$, in every entry.",
    given={"z": Vector(3, 8), "w": Kernel(1, 1, "l_1"), "u": Kernel(1, 1, "l_2")},
    right="eqv-stack",
)
def stack_source(z: Array, w: Array, u: Array) -> Outcome:
    return Close(conv1d_s(conv1d_s(z, w), u), conv1d_s(z, np.convolve(w, u)))


from nnbook.claims._equivariance_fourier import (  # noqa: E402
    accuracies,
    border_error,
    halves,
    model,
    stride_error,
)

__all__ = ["accuracies", "border_error", "halves", "model", "stride_error"]
