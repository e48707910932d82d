"""Claims of the topic linear: what an affine map is and keeps.

How far it stretches and what it loses has a file of its own, which this one loads at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Outcome, claim, exact, refutation
from nnbook.claims.domains import Choice, Matrix, Scalar, Vector
from nnbook.scratch import mm, mm_parameters, mm_vjp

Array = np.ndarray
MAP = {"W": Matrix("n", "m"), "b": Vector("n")}
POINTS = {"z1": Vector("m"), "z2": Vector("m")}


def _symbols(name: str, *shape: int) -> Any:
    import sympy

    rows, columns = (*shape, 1)[:2]
    return sympy.Matrix(rows, columns, lambda i, j: sympy.Symbol(f"{name}{i}{j}", real=True))


@claim(
    "mm-entries",
    says=r"Output $i$ of $\MM_{W,b}$ is $\sum_j W_{ij} z_j + b_i$, for every row of a batch alike.",
    given={**MAP, "z": Matrix("B", "m")},
)
def entries(W: Array, b: Array, z: Array) -> Outcome:
    by_hand = [[sum(w * x for w, x in zip(row, one, strict=True)) for row in W] for one in z]
    return Close(mm(z, W, b), np.array(by_hand) + b)


@claim(
    "mm-defect",
    says=r"$\MM(a z_1 + c z_2) - a \MM(z_1) - c \MM(z_2) = (1 - a - c)\, b$ for all real $a, c$.",
    proof=True,
    given={**MAP, **POINTS, "a": Scalar(), "c": Scalar()},
)
def defect(W: Array, b: Array, z1: Array, z2: Array, a: float, c: float) -> Outcome:
    gap = mm(a * z1 + c * z2, W, b) - a * mm(z1, W, b) - c * mm(z2, W, b)
    return Close(gap, (1 - a - c) * b)


@exact("mm-defect")
def defect_exact() -> list[tuple[str, Any]]:
    import sympy

    a, c = sympy.symbols("a c", real=True)
    W, b, z1, z2 = _symbols("W", 2, 3), _symbols("b", 2), _symbols("x", 3), _symbols("y", 3)
    gap = W * (a * z1 + c * z2) + b - a * (W * z1 + b) - c * (W * z2 + b)
    return [("n = 2, m = 3", gap - (1 - a - c) * b)]


@refutation(
    "mm-linearity-source",
    says=r"$\MM_{W,b}(a z_1 + c z_2) = a \MM_{W,b}(z_1) + c \MM_{W,b}(z_2)$ for all $a, c$.",
    given={**MAP, **POINTS, "a": Scalar(), "c": Scalar()},
    right="mm-defect",
)
def linearity_source(W: Array, b: Array, z1: Array, z2: Array, a: float, c: float) -> Outcome:
    return Close(mm(a * z1 + c * z2, W, b), a * mm(z1, W, b) + c * mm(z2, W, b))


@claim(
    "mm-linear-iff",
    says=r"$\MM_{W,b}$ is linear if and only if $b = 0$.",
    proof=True,
    given={**MAP, **POINTS, "a": Scalar()},
    also=[{"W": np.eye(2), "b": np.zeros(2), "z1": np.ones(2), "z2": -np.ones(2), "a": 3.0}],
)
def linear_iff(W: Array, b: Array, z1: Array, z2: Array, a: float) -> Outcome:
    zero = np.zeros_like(z1)
    doubles = np.array_equal(mm(2 * zero, W, b), 2 * mm(zero, W, b))
    return All(
        Close(mm(a * z1 + z2, W), a * mm(z1, W) + mm(z2, W)),
        Equal(doubles, not b.any()),
    )


@claim(
    "mm-affine",
    says=r"$\MM(t z_1 + (1-t) z_2) = t \MM(z_1) + (1-t) \MM(z_2)$ for every real $t$; and "
    r"every map $f$ with this property is $\MM_{W,b}$ with $b = f(0)$ and columns "
    r"$W e_j = f(e_j) - f(0)$.",
    proof=True,
    given={"corner": Vector("n"), "F": Matrix("m", "n"), **POINTS, "t": Scalar(-5, 5)},
)
def affine(corner: Array, F: Array, z1: Array, z2: Array, t: float) -> Outcome:
    def f(z: Array) -> Array:  # mixes its values at 0 and e_1 ... e_m
        return (1 - z.sum()) * corner + z @ F

    unit = np.eye(len(F))
    W, b = np.column_stack([f(e) - f(0 * e) for e in unit]), f(0 * unit[0])
    mixed = t * mm(z1, W, b) + (1 - t) * mm(z2, W, b)
    return All(Close(mm(z1, W, b), f(z1)), Close(mm(t * z1 + (1 - t) * z2, W, b), mixed))


@claim(
    "mm-augmented",
    says=r"$\MM_{W,b}(z) = [W \; b] \begin{bmatrix} z \\ 1 \end{bmatrix}$: affine in $z$ is linear "
    r"in $z$ with a 1 appended.",
    proof=True,
    given={**MAP, "z": Vector("m")},
)
def augmented(W: Array, b: Array, z: Array) -> Outcome:
    return Close(mm(np.append(z, 1.0), np.column_stack([W, b])), mm(z, W, b))


@exact("mm-augmented")
def augmented_exact() -> list[tuple[str, Any]]:
    import sympy

    W, b, z = _symbols("W", 2, 3), _symbols("b", 2), _symbols("z", 3)
    return [("n = 2, m = 3", W.row_join(b) * z.col_join(sympy.Matrix([1])) - (W * z + b))]


OPERATORS: dict[str, Callable[[Array], Array]] = {
    "reverse": lambda z: z[::-1],
    "running sum": np.cumsum,
    "differences": np.diff,
    "shift": lambda z: np.roll(z, 1),
    "derivative of a polynomial": lambda z: np.arange(1, len(z)) * z[1:],
    "convolution with (1, 2, 1)": lambda z: np.convolve(z, [1.0, 2.0, 1.0], "valid"),
}


@claim(
    "mm-matrix",
    says=r"Every linear $f: \R^m \to \R^n$ is $z \mapsto Wz$ for exactly one matrix, whose column "
    r"$j$ is $f(e_j)$. Running sums, derivatives of polynomials and convolutions are examples.",
    proof=True,
    given={"f": Choice(tuple(OPERATORS)), "z": Vector(3, 8)},
)
def matrix(f: str, z: Array) -> Outcome:
    W = np.column_stack([OPERATORS[f](e) for e in np.eye(len(z))])
    return Close(mm(z, W), OPERATORS[f](z))


@claim(
    "mm-parameters",
    says=r"$\MM_{W,b}$ has $nm + n$ parameters, and no two settings of them give the same map.",
    proof=True,
    given=MAP,
)
def parameters(W: Array, b: Array) -> Outcome:
    n, m = W.shape
    at_zero = mm(np.zeros(m), W, b)
    found = (mm(np.eye(m), W, b) - at_zero).T
    return All(Close(found, W), Close(at_zero, b), Equal(W.size + b.size, mm_parameters(n, m)))


@claim(
    "mm-vjp",
    says=r"For a loss with gradient $\delta$ at the output: $\bar z = W^\top \delta$, "
    r"$\bar W = \delta z^\top$, $\bar b = \delta$; for a batch, $\bar W = \Delta^\top Z$ and "
    r"$\bar b$ has the column sums of $\Delta$.",
    proof=True,
    given={
        **MAP,
        "Z": Matrix("B", "m"),
        "Delta": Matrix("B", "n"),
        "U": Matrix("n", "m"),
        "h": Vector("n"),
        "Y": Matrix("B", "m"),
    },
)
def vjp(W: Array, b: Array, Z: Array, Delta: Array, U: Array, h: Array, Y: Array) -> Outcome:
    # the step (Y, U, h) changes <Delta, MM> by the gradients' share and one second-order term
    change = np.vdot(Delta, mm(Z + Y, W + U, b + h) - mm(Z, W, b) - Y @ U.T)
    of_z, of_W, of_b = mm_vjp(Delta, Z, W, b)
    singles = [mm_vjp(d, z, W, b)[1] for d, z in zip(Delta, Z, strict=True)]
    return All(
        Close(np.vdot(of_z, Y) + np.vdot(of_W, U) + np.vdot(of_b, h), change),
        Close(of_W, np.sum(singles, axis=0)),
    )


@exact("mm-vjp")
def vjp_exact() -> list[tuple[str, Any]]:
    W, b, z, d = _symbols("W", 2, 3), _symbols("b", 2), _symbols("z", 3), _symbols("d", 2)
    loss = (d.T * (W * z + b))[0]
    return [
        ("input", z.applyfunc(lambda s: loss.diff(s)) - W.T * d),
        ("weights", W.applyfunc(lambda s: loss.diff(s)) - d * z.T),
        ("bias", b.applyfunc(lambda s: loss.diff(s)) - d),
    ]


@claim(
    "mm-homogeneous",
    says=r"$\MM_{aW,ab}(z) = a \MM_{W,b}(z)$ for every real $a$.",
    proof=True,
    given={**MAP, "z": Vector("m"), "a": Scalar()},
)
def homogeneous(W: Array, b: Array, z: Array, a: float) -> Outcome:
    return Close(mm(z, a * W, a * b), a * mm(z, W, b))


@exact("mm-homogeneous")
def homogeneous_exact() -> list[tuple[str, Any]]:
    import sympy

    a, W, b, z = sympy.Symbol("a"), _symbols("W", 2, 3), _symbols("b", 2), _symbols("z", 3)
    return [("n = 2, m = 3", (a * W) * z + a * b - a * (W * z + b))]


@claim(
    "mm-compose",
    says=r"$\MM_{W_2,b_2} \circ \MM_{W_1,b_1} = \MM_{W_2 W_1,\; W_2 b_1 + b_2}$, and "
    r"$\operatorname{rank}(W_2 W_1) \le k$, the width between them.",
    proof=True,
    given={
        "W1": Matrix("k", "m"),
        "b1": Vector("k"),
        "W2": Matrix("n", "k"),
        "b2": Vector("n"),
        "z": Vector("m"),
    },
)
def compose(W1: Array, b1: Array, W2: Array, b2: Array, z: Array) -> Outcome:
    rank = np.linalg.matrix_rank(np.round(W2) @ np.round(W1))
    one = mm(z, W2 @ W1, mm(b1, W2, b2))
    return All(Close(mm(mm(z, W1, b1), W2, b2), one), AtMost(rank, len(W1), tol=0.0))


@exact("mm-compose")
def compose_exact() -> list[tuple[str, Any]]:
    W1, b1, W2, b2 = _symbols("V", 2, 3), _symbols("a", 2), _symbols("W", 2, 2), _symbols("b", 2)
    z = _symbols("z", 3)
    return [("widths 3, 2, 2", W2 * (W1 * z + b1) + b2 - ((W2 * W1) * z + (W2 * b1 + b2)))]


from nnbook.claims import _linear_limits  # noqa: E402

__all__ = ["_linear_limits"]
