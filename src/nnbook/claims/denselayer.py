"""Claims of the topic denselayer: products of matrices, a layer made of one, what is none."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnbook.claims import (
    All,
    Close,
    Equal,
    Holds,
    Outcome,
    claim,
    exact,
    measured,
    refutation,
)
from nnbook.claims._clock import least_seconds, ratio_of_times
from nnbook.claims._outcomes import show
from nnbook.claims.domains import Choice, Matrix, Scalar, Size, Vector
from nnbook.scratch import (
    Operations,
    count_operations,
    dense,
    matmul,
    matmul_loops,
    mm,
    mm_operations,
)

Array = np.ndarray


@claim(
    "den-layouts",
    says=r"$\MM_{W,b}(z) = Wz + b$ on columns, the dense layer $x V + b$ on rows and PyTorch's "
    r"$x A^\top + b$ are the same map with $A = W = V^\top$.",
    proof=True,
    given={"W": Matrix("n", "m"), "b": Vector("n"), "z": Matrix("B", "m")},
)
def layouts(W: Array, b: Array, z: Array) -> Outcome:
    import torch

    ours = mm(z, W, b)
    theirs = torch.nn.functional.linear(*(torch.from_numpy(a) for a in (z, W, b))).numpy()
    columns = (W @ z.T + b[:, None]).T
    return All(Close(dense(z, W.T, b), ours), Close(theirs, ours), Close(columns, ours))


@exact("den-layouts")
def layouts_exact() -> list[tuple[str, Any]]:
    import sympy

    W = sympy.Matrix(2, 3, sympy.symbols("w:6"))
    z = sympy.Matrix(3, 1, sympy.symbols("z:3"))
    return [("n = 2, m = 3", (W * z).T - z.T * W.T)]


@claim(
    "den-loops",
    says="The three loops and the vectorised product give the same matrix and the same type of "
    "number, for real, whole and complex entries; an empty inner axis gives zeros.",
    given={
        "A": Matrix("m", "n"),
        "B": Matrix("n", "p"),
        "kind": Choice(("float64", "float32", "int64", "complex128")),
        "n": Size(0, 5),
    },
)
def loops(A: Array, B: Array, kind: str) -> Outcome:
    turn = 1 + 2j if kind == "complex128" else 1
    A, B = (A * turn).astype(kind), B.astype(kind)
    got, want = matmul_loops(A, B), np.einsum("ij,jk->ik", A, B)
    tol = 1e-5 if kind == "float32" else 1e-9
    return All(Close(got, want, tol), Close(matmul(A, B), want, tol), Equal(str(got.dtype), kind))


@claim(
    "den-example",
    says=r"$\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix} \begin{bmatrix} 5 & 6 \\ 7 & 8 "
    r"\end{bmatrix} = \begin{bmatrix} 19 & 22 \\ 43 & 50 \end{bmatrix}$ and "
    r"$(1, 2, 3) \cdot (4, 5, 6) = 32$.",
)
def example() -> Outcome:
    A, B = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    row, column = np.array([[1, 2, 3]]), np.array([[4], [5], [6]])
    return All(
        Equal(matmul_loops(A, B), [[19, 22], [43, 50]]), Equal(matmul_loops(row, column), [[32]])
    )


@claim(
    "den-shapes",
    says=r"$AB$ exists exactly when $A$ has as many columns as $B$ has rows; otherwise the product "
    "raises a ValueError that begins with `Incompatible matrix dimensions`.",
    given={"k": Size(0, 4), "l": Size(0, 4)},
)
def shapes(k: int, l: int) -> Outcome:  # noqa: E741
    # the function itself: under run-time type checks the wrapper around it would speak first
    product = getattr(matmul_loops, "__wrapped__", matmul_loops)
    said = ""
    try:
        product(np.ones((2, k)), np.ones((l, 3)))
    except ValueError as error:
        said = str(error)
    return Equal(said.startswith("Incompatible matrix dimensions"), k != l)


@claim(
    "den-operations",
    says=r"$\MM_{W,b}$ takes exactly $nm$ multiplications and $nm$ additions per vector, $Bnm$ of "
    r"each for a batch of $B$. Three loops that start from zero take $mnp$ of each for the "
    r"product of an $m \times n$ and an $n \times p$ matrix.",
    proof=True,
    given={
        "W": Matrix("n", "m"),
        "b": Vector("n"),
        "z": Matrix("B", "m"),
        "V": Matrix("m", "p"),
    },
)
def operations(W: Array, b: Array, z: Array, V: Array) -> Outcome:
    (n, m), batch, p = W.shape, len(z), V.shape[1]
    return All(
        Equal(count_operations(mm, z, W, b), Operations(batch * n * m, batch * n * m)),
        Equal(mm_operations(n, m, batch=batch), Operations(batch * n * m, batch * n * m)),
        Equal(count_operations(matmul_loops, W, V), Operations(n * m * p, n * m * p)),
    )


@claim(
    "den-embedding",
    says=r"Row $i$ of a table $E \in \R^{N \times d}$ is the product of the one-hot vector $e_i$ "
    r"with $E$, without rounding; the product takes $Nd$ multiplications, looking up takes none.",
    proof=True,
    given={"E": Matrix("N", "d"), "k": Size(0, 5)},
)
def embedding(E: Array, k: int) -> Outcome:
    i = k % len(E)
    one_hot = np.zeros((1, len(E)))
    one_hot[0, i] = 1.0
    return All(
        Equal(matmul(one_hot, E)[0], E[i]),
        Equal(count_operations(matmul, one_hot, E).multiplications, E.size),
    )


@measured(
    "den-loops-slow",
    says="The three loops take at least 20 times as long as the vectorised product, for two "
    "matrices of shape (48, 48).",
    band=(20, 1e9),
    unit="time of the loops over time of the vectorised product",
    varies=True,
)
def loops_slow(seed: int) -> float:
    A, B = np.random.default_rng(seed).normal(size=(2, 48, 48))
    fast = least_seconds(lambda: matmul(A, B), 20)
    return least_seconds(lambda: matmul_loops(A, B), 3) / fast


@measured(
    "den-linear-time",
    says="`nnbook.nn.Linear` takes less than twice the time of `torch.nn.Linear`, forward, for 512 "
    "inputs of length 512.",
    band=(0, 2),
    seeds=(0,),
    unit="time of ours over time of torch's",
    varies=True,
)
def linear_time(seed: int) -> float:
    import torch

    from nnbook import nn

    x = torch.randn(512, 512, generator=torch.Generator().manual_seed(seed))
    return ratio_of_times(partial(nn.Linear(512, 512), x), partial(torch.nn.Linear(512, 512), x))


@refutation(
    "den-zero-bias-source",
    says=r"A dense layer at its start, with $b = 0$, does not exactly double when its input does.",
    given={"W": Matrix("n", "m", nonzero=True), "z": Vector("m", nonzero=True)},
    right="mm-linear-iff",
)
def zero_bias_source(W: Array, z: Array) -> Outcome:
    b = np.zeros(len(W))
    same = np.array_equal(mm(2 * z, W, b), 2 * mm(z, W, b))
    return Holds(
        not same, f"of 2z {show(mm(2 * z, W, b))}, twice that of z {show(2 * mm(z, W, b))}"
    )


@refutation(
    "den-shared-source",
    says=r"A dense layer shares its weights between positions: shifting the input by one place "
    r"shifts the output by one place.",
    given={"W": Matrix("n", "n"), "z": Vector("n")},
    right="mm-parameters",
)
def shared_source(W: Array, z: Array) -> Outcome:
    return Close(mm(np.roll(z, 1), W), np.roll(mm(z, W), 1))


@claim(
    "den-max",
    says=r"$\max(x_1, x_2)$ is not $g(w \cdot x + c)$ for any function $g$, weights $w$ and number "
    r"$c$.",
    proof=True,
    given={"w": Vector(2, nonzero=True)},
)
def two_max(w: Array) -> Outcome:
    across = np.array([-w[1], w[0]])  # w . across = 0: g(w . x + c) is the same on this line
    seen = [max(across), max(-across), 0.0]
    return Holds(len(set(seen)) > 1, f"max on a line where w . x = 0: {seen}")


@refutation(
    "den-every-layer-source",
    says=r"Every layer is an activation of $w \cdot x + c$, also one that takes the maximum of two "
    r"numbers: along a direction $d$ with $w \cdot d = 0$ it does not change.",
    given={"w": Vector(2)},
    right="den-max",
)
def every_layer_source(w: Array) -> Outcome:
    across = np.array([-w[1], w[0]])
    return Close([max(across), max(-across)], [0.0, 0.0])


@refutation(
    "den-all-products-source",
    says=r"Every operation of a network is a matrix product with a bias, ReLU too: it maps "
    r"$t x + (1-t) y$ to $t \relu(x) + (1-t) \relu(y)$.",
    given={"x": Scalar(), "y": Scalar(), "t": Scalar(-5, 5)},
    right="mm-affine",
)
def all_products_source(x: float, y: float, t: float) -> Outcome:
    mixed = max(t * x + (1 - t) * y, 0.0)
    return Close(mixed, t * max(x, 0.0) + (1 - t) * max(y, 0.0))
