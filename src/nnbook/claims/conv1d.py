"""Claims of the topic conv1d: what the sum is, its matrix, its sizes and costs, its gradients.

The matched filter and what a network learns have a file of their own, which this one loads at its
end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nnbook.claims import All, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Choice, Scalar, Size, Vector
from nnbook.scratch import (
    conv1d_s,
    conv1d_s_loops,
    conv1d_s_vjp,
    correlate1d,
    correlate1d_transposed,
    output_size,
    toeplitz,
)

Array = np.ndarray
Identities = list[tuple[str, Any]]


class Kernel(Vector):
    """A kernel of an odd number of weights, ``2 l + 1`` with l from least to most."""

    def __init__(self, least: int = 0, most: int = 3, half: str = "l", **conditions: Any) -> None:
        super().__init__("k", **conditions)
        self.halves, self.half = Size(least, most), half

    def names(self) -> tuple[str, ...]:
        """Need no size: the length is the kernel's own."""
        return ()

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[Any]:
        """Draw l, then the weights."""
        draw = super().strategy
        return self.halves.strategy({}).flatmap(lambda half: draw({"k": 2 * half + 1}))

    def text(self, name: str) -> str:
        """Name the space and the range of l."""
        power = f"^{{2{self.half}+1}}"
        return super().text(name).replace("^{k}", power) + rf",\ {self.halves.text(self.half)}"


Z = Vector(1, 9)
W = Kernel()


def row(name: str, size: int) -> Any:
    """Return a list of real symbols."""
    import sympy

    return [sympy.Symbol(f"{name}{i}", real=True) for i in range(1, size + 1)]


def symbolic(z: Any, w: Any) -> list[Any]:
    """Write Conv1D-S with symbols, straight from its definition."""
    half, m = len(w) // 2, len(z)
    return [
        sum(w[j] * z[i - half + j] for j in range(len(w)) if 0 <= i - half + j < m)
        for i in range(m)
    ]


def symbolic_matrix(w: Any, m: int) -> Any:
    """Write Q with symbols: entry (a, b) is the weight number b - a + l + 1."""
    import sympy

    half = len(w) // 2
    return sympy.Matrix(m, m, lambda a, b: w[b - a + half] if abs(b - a) <= half else 0)


@claim(
    "cvo-flip",
    says=r"The convolution of mathematics, $(z * w)_i = \sum_j w_j z_{i+l-j+1}$, is "
    r"$\operatorname{Conv1D\text{-}S}$ with the kernel turned around. Both agree on every signal "
    r"of length $m \ge 2l + 1$ if and only if $w$ is its own mirror image.",
    proof=True,
    given={"z": Vector(7, 9), "w": W},
)
def flip(z: Array, w: Array) -> Outcome:
    half, m = len(w) // 2, len(z)
    convolved = np.convolve(z, w)[half : half + m]  # numpy's own, another program
    impulse = np.eye(m)[half]
    differ = not np.array_equal(conv1d_s(impulse, w), conv1d_s(impulse, w[::-1]))
    return All(
        Close(conv1d_s(z, w[::-1]), convolved),
        Close(conv1d_s(z, w + w[::-1]), np.convolve(z, w + w[::-1])[half : half + m]),
        Equal(differ, not np.array_equal(w, w[::-1])),
    )


@exact("cvo-flip")
def flip_exact() -> Identities:
    import sympy

    z, w = row("z", 4), row("w", 3)
    t = sympy.Symbol("t")
    product = sympy.Poly(
        sum(a * t**i for i, a in enumerate(z)) * sum(a * t**i for i, a in enumerate(w)), t
    )
    there = [product.coeff_monomial(t**i) for i in range(1, 5)]
    got = symbolic(z, w[::-1])
    return [
        (f"entry {i + 1}, m = 4, l = 1", a - b)
        for i, (a, b) in enumerate(zip(got, there, strict=True))
    ]


@refutation(
    "cvo-flip-source",
    says=r"$\operatorname{Conv1D\text{-}S}(z)$ is the convolution $z * w$.",
    given={"z": Z, "w": W},
    right="cvo-flip",
)
def flip_source(z: Array, w: Array) -> Outcome:
    half = len(w) // 2
    return Close(conv1d_s(z, w), np.convolve(z, w)[half : half + len(z)])


@claim(
    "cvo-matrix",
    says=r"$\operatorname{Conv1D\text{-}S}(z) = Qz$ with the $m \times m$ matrix "
    r"$Q_{ab} = w_{b-a+l+1}$ for $\lvert b - a \rvert \le l$ and $0$ elsewhere.",
    proof=True,
    given={"z": Z, "w": W},
)
def matrix(z: Array, w: Array) -> Outcome:
    half, m = len(w) // 2, len(z)
    Q = np.zeros((m, m))
    for a in range(m):
        for b in range(max(0, a - half), min(m, a + half + 1)):
            Q[a, b] = w[b - a + half]
    return All(
        Equal(toeplitz(w, m), Q), Close(Q @ z, conv1d_s(z, w)), Close(Q @ z, conv1d_s_loops(z, w))
    )


@exact("cvo-matrix")
def matrix_exact() -> Identities:
    import sympy

    return [
        (
            f"m = {m}, l = {half}",
            symbolic_matrix(w, m) * sympy.Matrix(z) - sympy.Matrix(symbolic(z, w)),
        )
        for m, half in ((1, 1), (2, 1), (4, 1), (3, 2), (5, 2))
        for z, w in [(row("z", m), row("w", 2 * half + 1))]
    ]


@refutation(
    "cvo-matrix-source",
    says=r"$\operatorname{Conv1D\text{-}S}(z) = Qz$ with the matrix whose rows are "
    r"$(w_1 \dots w_{2l+1}\, 0 \dots 0)$ to $(0 \dots 0\, w_1 \dots w_{2l+1})$.",
    given={"z": Vector(3, 9, nonzero=True), "w": Kernel(1, 1, nonzero=True)},
    right="cvo-matrix",
)
def matrix_source(z: Array, w: Array) -> Outcome:
    return Close(toeplitz(w, len(z), padding=0) @ z, conv1d_s(z, w))


@claim(
    "cvo-valid",
    says=r"For $m \ge 2l + 1$ the matrix $V$ with the rows $(w_1 \dots w_{2l+1}\, 0 \dots 0)$ to "
    r"$(0 \dots 0\, w_1 \dots w_{2l+1})$ is $(m - 2l) \times m$, and $Vz$ holds the entries "
    r"$l+1$ to $m-l$ of $\operatorname{Conv1D\text{-}S}(z)$. The one with $m$ such rows and "
    r"$m + 2l$ columns gives all of it, from $z$ with $l$ zeros at both ends.",
    proof=True,
    given={"z": Vector(7, 9), "w": W},
)
def valid(z: Array, w: Array) -> Outcome:
    half, m = len(w) // 2, len(z)
    V, wide = toeplitz(w, m, padding=0), toeplitz(w, m + 2 * half, padding=0)
    return All(
        Equal(V.shape, (m - 2 * half, m)),
        Equal(wide.shape, (m, m + 2 * half)),
        Close(V @ z, conv1d_s(z, w)[half : m - half]),
        Close(wide @ np.pad(z, half), conv1d_s(z, w)),
    )


@claim(
    "cvo-sharing",
    says=r"A matrix $A$ is the $Q$ of some kernel of $2l + 1$ weights if and only if it is local, "
    r"$A_{ab} = 0$ for $\lvert a - b \rvert > l$, and shares, $A_{ab} = A_{a+1,b+1}$.",
    proof=True,
    given={"m": Size(1, 8), "w": W, "at": Size(0, 63), "by": Scalar(1, 2)},
)
def sharing(m: int, w: Array, at: int, by: float) -> Outcome:
    half, Q = len(w) // 2, toeplitz(w, m)

    def both(A: Array) -> bool:
        far = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) > half
        return bool(np.all(A[far] == 0) and np.array_equal(A[1:, 1:], A[:-1, :-1]))

    def some_kernel(A: Array) -> bool:
        read = [
            np.diagonal(A, j - half)[0] if abs(j - half) < m else 0.0 for j in range(2 * half + 1)
        ]
        return np.array_equal(A, toeplitz(np.array(read), m))

    changed = Q.copy()
    changed.flat[at % m**2] += by
    return All(
        Holds(both(Q), "Q is not local or does not share"),
        Equal(both(changed), some_kernel(changed)),
    )


@claim(
    "cvo-size",
    says=r"A kernel of $k$ weights with stride $s$, padding $p$ and dilation $d$ has "
    r"$\lfloor (m + 2p - d(k-1) - 1)/s \rfloor + 1$ positions on $m$ numbers, if "
    r"$m + 2p \ge d(k-1) + 1$.",
    proof=True,
    given={
        "m": Size(1, 12),
        "k": Size(1, 5),
        "s": Size(1, 4),
        "p": Size(0, 5),
        "d": Size(1, 3),
    },
    cases=300,
)
def size(m: int, k: int, s: int, p: int, d: int) -> Outcome:
    starts = [i for i in range(-p, m + p, s) if i + d * (k - 1) < m + p]  # counted one by one
    if not starts:
        return Holds(m + 2 * p < d * (k - 1) + 1, "no position, though the kernel should fit")
    got = correlate1d(np.ones(m), np.ones(k), stride=s, padding=p, dilation=d)
    return All(
        Equal(output_size(m, k, stride=s, padding=p, dilation=d), len(starts)),
        Equal(len(got), len(starts)),
    )


@claim(
    "cvo-same",
    says=r"With stride 1, the output is as long as the input if and only if $2p = d(k-1)$. So an "
    r"odd $d(k-1)$ has no such $p$. With a stride $s \ge 2$ no $p$ keeps three lengths $m$, "
    r"$m + 1$ and $m + 2$ in a row.",
    proof=True,
    given={
        "m": Size(1, 30),
        "k": Size(1, 6),
        "s": Size(1, 4),
        "p": Size(0, 12),
        "d": Size(1, 3),
    },
    cases=300,
)
def same(m: int, k: int, s: int, p: int, d: int) -> Outcome:
    steps = {"stride": s, "padding": p, "dilation": d}
    if m + 2 * p < d * (k - 1) + 1:  # it does not fit even once
        return Holds(2 * p != d * (k - 1), "no position, though 2p = d(k-1)")
    there = [m, m + 1, m + 2]
    lengths = [output_size(n, k, **steps) for n in there]
    if s == 1:
        return All(
            *(Equal(a == b, 2 * p == d * (k - 1)) for a, b in zip(lengths, there, strict=True))
        )
    return Holds(lengths != there, f"lengths {lengths} from {there}")


@refutation(
    "cvo-same-source",
    says="The output has the same length as the input: with stride 1, the padding "
    r"$p = \lfloor d(k-1)/2 \rfloor$ keeps it for every kernel.",
    given={"m": Size(6, 9), "k": Size(1, 6), "d": Size(1, 2)},
    right="cvo-same",
)
def same_source(m: int, k: int, d: int) -> Outcome:
    return Equal(output_size(m, k, padding=d * (k - 1) // 2, dilation=d), m)


def products(m: int, k: int) -> int:
    """Count the products of Conv1D-S that do not meet the padding, one by one."""
    half = k // 2
    return sum(0 <= i - half + j < m for i in range(m) for j in range(k))


@claim(
    "cvo-products",
    says=r"For $m \ge l$, $\operatorname{Conv1D\text{-}S}$ takes exactly $mk - l(l+1)$ products "
    r"with numbers of $z$, where $k = 2l+1$. That is $(m - l)(m - l - 1)$ fewer than the $m^2$ "
    r"of a full matrix. For every $m$, it is $m^2$ if and only if $m \le l + 1$.",
    proof=True,
    given={"m": Size(1, 40), "l": Size(0, 9)},
    also=[{"m": 4, "l": 4}, {"m": 5, "l": 4}, {"m": 3, "l": 4}],
)
def products_law(m: int, l: int) -> Outcome:  # noqa: E741  (the letter of the equation)
    k = 2 * l + 1
    found = products(m, k)
    want = [Equal(np.count_nonzero(toeplitz(np.ones(k), m)), found)]
    if m >= l:
        want += [Equal(found, m * k - l * (l + 1)), Equal(m**2 - found, (m - l) * (m - l - 1))]
    return All(*want, Equal(found == m**2, m <= l + 1))


@exact("cvo-products")
def products_exact() -> Identities:
    import sympy

    m, half, a = sympy.symbols("m l a", positive=True, integer=True)
    lost = 2 * sympy.summation(half + 1 - a, (a, 1, half))
    count = m * (2 * half + 1) - half * (half + 1)
    return [
        ("lost at both ends", lost - half * (half + 1)),
        ("saved", m**2 - count - (m - half) * (m - half - 1)),
    ]


@claim(
    "cvo-adjoint",
    says=r"With $v$ the gradient at $\operatorname{Conv1D\text{-}S}(z)$: the gradient at $z$ is "
    r"$Q^\top v$, which is $\operatorname{Conv1D\text{-}S}(v)$ with the kernel turned around; the "
    r"gradient at $w_j$ is $\sum_i v_i z_{i-l+j-1}$.",
    proof=True,
    given={"m": Size(1, 9), "z": Vector("m"), "v": Vector("m"), "w": W},
)
def adjoint(z: Array, v: Array, w: Array) -> Outcome:
    at_z, at_w = conv1d_s_vjp(v, z, w)
    units, weights = np.eye(len(z)), np.eye(len(w))
    return All(  # the map is linear in z and in w: unit vectors give the derivatives
        Close(at_z, [v @ conv1d_s_loops(e, w) for e in units]),
        Close(at_w, [v @ conv1d_s_loops(z, e) for e in weights]),
        Close(at_z, toeplitz(w, len(z)).T @ v),
        Close(at_z, conv1d_s(v, w[::-1])),
    )


@exact("cvo-adjoint")
def adjoint_exact() -> Identities:
    import sympy

    found: Identities = []
    for m, half in ((3, 1), (4, 1), (3, 2)):
        z, w, v = row("z", m), row("w", 2 * half + 1), row("v", m)
        inner = sympy.expand(sum(a * b for a, b in zip(v, symbolic(z, w), strict=True)))
        at_z = [sympy.diff(inner, x) for x in z]
        turned = symbolic(v, w[::-1])
        name = f"m = {m}, l = {half}"
        found.append((f"at z, {name}", sympy.Matrix(at_z) - sympy.Matrix(turned)))
        shifted = [
            sum(v[i] * z[i - half + j] for i in range(m) if 0 <= i - half + j < m)
            for j in range(len(w))
        ]
        at_w = [sympy.diff(inner, x) for x in w]
        found.append((f"at w, {name}", sympy.Matrix(at_w) - sympy.Matrix(shifted)))
    return found


@claim(
    "cvo-transposed",
    says=r"For every stride, padding and dilation, $\langle v, Qz \rangle = \langle Q^\top v, z "
    r"\rangle$ where $Q^\top v$ adds the kernel up at each position, times $v$ there.",
    proof=True,
    given={
        "m": Size(6, 9),
        "k": Size(1, 4),
        "z": Vector("m"),
        "w": Vector("k"),
        "s": Size(1, 3),
        "p": Size(0, 2),
        "d": Choice((1, 2)),
        "seed": Size(0, 99),
    },
)
def transposed(z: Array, w: Array, s: int, p: int, d: int, seed: int) -> Outcome:
    steps = {"stride": s, "padding": p, "dilation": d}
    if len(z) + 2 * p < d * (len(w) - 1) + 1:
        return Holds(True)
    y = correlate1d(z, w, **steps)
    v = np.random.default_rng(seed).normal(size=len(y))
    u = correlate1d_transposed(v, w, len(z), **steps)
    Q = toeplitz(w, len(z), **steps)
    return All(Close(u @ z, v @ y), Close(u, Q.T @ v), Close(y, Q @ z))


from nnbook.claims._conv1d_filters import found, learned_kernel, noisy, pattern  # noqa: E402

__all__ = ["found", "learned_kernel", "noisy", "pattern"]
