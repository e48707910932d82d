"""Claims of the topic densenet: who reads whom, and what follows for sums, gradients and counts.

What it costs and what was measured have a file of their own, which this one loads at its end.
"""

from __future__ import annotations

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Choice, Domain, Matrix, Scalar, Size, Vector
from nnbook.scratch import (
    dense_block,
    dense_block_vjp,
    dense_channels,
    dense_connections,
)

Array = np.ndarray
# three layers of k features behind k0 of them
LAYERS: dict[str, Domain] = {"a": Size(1, 3), "b": Size(1, 3)}
LAYERS |= {"x": Vector("a"), "seed": Size(0, 999)}


def random_weights(k0: int, k: int, layers: int, seed: int) -> list[Array]:
    """Return one weight for each layer, with standard normal entries."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(k, k0 + k * l)) for l in range(layers)]  # noqa: E741


@claim(
    "dn-connections",
    says=r"In a dense block of $L$ layers, layer $l$ has $l$ direct connections, from $x_0$ to "
    r"$x_{l-1}$: together $L(L+1)/2$. So many tensors are joined for the layers in the graph that "
    "autograd records.",
    proof=True,
    given={"L": Size(1, 8), "k": Size(1, 3)},
    cases=16,
)
def connections(L: int, k: int) -> Outcome:
    return All(
        Equal(joined(L, k), dense_connections(L)),
        Equal(dense_connections(L), sum(range(1, L + 1))),
    )


def joined(layers: int, growth: int) -> int:
    """Count the inputs of all joins in the graph of a block but for that of its output."""
    import torch

    from nnbook import nn

    block = nn.DenseBlock(layers, 2, growth)
    out = block(torch.zeros(2, 2, 3, 3, requires_grad=True))
    inputs, seen, todo = 0, set(), [f for f, _ in out.grad_fn.next_functions]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nexts = [f for f, _ in node.next_functions]
        inputs += len(nexts) if "Cat" in node.name() else 0
        todo += nexts
    return inputs


@refutation(
    "dn-every-source",
    says="In a dense block each layer is connected to every other layer: changing the output of "
    r"layer $i$ changes the output of every layer $j \ne i$.",
    given={"L": Size(1, 4), "i": Size(1, 4), "j": Size(1, 4)},
    right="dn-connections",
)
def every_source(L: int, i: int, j: int) -> Outcome:
    if i == j or max(i, j) > L:
        return Holds(True)
    weights = [np.ones((1, layer)) for layer in range(1, L + 1)]
    before = dense_block(np.ones(1), weights)
    weights[i - 1] = 2 * weights[i - 1]
    after = dense_block(np.ones(1), weights)
    return Holds(before[j] != after[j], f"layer {j} stays {before[j]:g} when layer {i} changes")


@claim(
    "dn-block",
    says=r"The output of a dense block begins with its input, unchanged, and each $x_l$ stays as "
    "it was made: a longer block only appends.",
    given=LAYERS,
)
def appended(a: int, b: int, x: Array, seed: int) -> Outcome:
    weights = random_weights(a, b, 3, seed)
    outputs = [dense_block(x, weights[:layers]) for layers in range(4)]
    return All(
        *(Equal(outputs[l + 1][: len(outputs[l])], outputs[l]) for l in range(3)),  # noqa: E741
        *(
            Close(outputs[l + 1][len(outputs[l]) :], np.maximum(weights[l] @ outputs[l], 0))
            for l in range(3)  # noqa: E741
        ),
        Equal(len(outputs[3]), dense_channels(a, b, 3)),
    )


RESIDUAL: dict[str, Domain] = {"d": Size(1, 4), "h": Size(1, 4), "x": Vector("d", lo=-3, hi=3)}
RESIDUAL |= {
    f"{n}{i}": Matrix(*s, lo=-1, hi=1)
    for i in "123"
    for n, s in (("W", ("h", "d")), ("U", ("d", "h")))
}


@claim(
    "dn-residual",
    says=r"A residual stack $x_l = x_{l-1} + F_l(x_{l-1})$ is a dense block with growth "
    r"$k = k_0 = d$ whose layers first add up what they read: with $y_0 = x_0$ and "
    r"$y_l = F_l(y_0 + \dots + y_{l-1})$, $x_l = y_0 + \dots + y_l$. For "
    r"$F(x) = U \relu(W x)$ the layer is $U \relu([W, \dots, W]\,z)$.",
    proof=True,
    given=RESIDUAL,
)
def residual(x: Array, W1: Array, U1: Array, W2: Array, U2: Array, W3: Array, U3: Array) -> Outcome:
    stacked, joined = x, x
    for W, U in ((W1, U1), (W2, U2), (W3, U3)):
        stacked = stacked + U @ np.maximum(W @ stacked, 0)
        repeated = np.concatenate([W] * (len(joined) // len(x)), axis=1)
        joined = np.concatenate([joined, U @ np.maximum(repeated @ joined, 0)])
    return Close(joined.reshape(4, -1).sum(axis=0), stacked, 1e-7)


@claim(
    "dn-blank",
    says=r"Every dense block of three layers is a residual stack on $k_0 + 3k$ features: from "
    r"$z_0 = [x_0, 0, 0, 0]$, each block adds $x_l = H_l([x_0, \dots, x_{l-1}])$ at places that "
    r"are still 0. For $H_l = \relu(W_l\, \cdot)$ it is $z + E \relu(V z)$ with $V = [W_l, 0]$, "
    "and the columns of $E$ are unit vectors.",
    proof=True,
    given=LAYERS,
)
def blank(a: int, b: int, x: Array, seed: int) -> Outcome:
    weights = random_weights(a, b, 3, seed)
    width = a + 3 * b
    z = np.concatenate([x, np.zeros(3 * b)])
    for W in weights:
        known = W.shape[1]
        V = np.concatenate([W, np.zeros((b, width - known))], axis=1)
        z = z + np.eye(width)[:, known : known + b] @ np.maximum(V @ z, 0)
    return Close(z, dense_block(x, weights))


def jacobian(x: Array, weights: list[Array]) -> Array:
    """Return the Jacobian of a dense block, row by row from its backward pass."""
    size = len(dense_block(x, weights))
    return np.stack([dense_block_vjp(e, x, weights)[0] for e in np.eye(size)])


@claim(
    "dn-jacobian",
    says=r"The Jacobian $J$ of $x_0 \mapsto [x_0, \dots, x_L]$ has the identity as its first rows. "
    r"All its singular values are at least 1, so that $\norm{J u} \ge \norm u$. The gradient "
    r"$J^\top v$ can still be 0 for $v \ne 0$: with $A$ the other rows, for $v = (-A^\top w, w)$.",
    proof=True,
    given=LAYERS,
)
def singular(a: int, b: int, x: Array, seed: int) -> Outcome:
    weights = random_weights(a, b, 3, seed)
    J = jacobian(x, weights)
    w = np.random.default_rng(seed + 1).normal(size=len(J) - a)
    v = np.concatenate([-J[a:].T @ w, w])
    size = 1 + np.abs(J).max() ** 2
    return All(
        Equal(J[:a], np.eye(a)),
        AtMost(1.0, np.linalg.svd(J, compute_uv=False).min()),
        Close(dense_block_vjp(v, x, weights)[0] / size, np.zeros(a)),
    )


@exact("dn-jacobian")
def singular_exact() -> list[tuple[str, object]]:
    import sympy

    found: list[tuple[str, object]] = []
    for a, more in ((2, 2), (2, 3)):
        A = sympy.Matrix(more, a, lambda i, j: sympy.Symbol(f"a{i}{j}", real=True))
        u = sympy.Matrix([sympy.Symbol(f"u{i}", real=True) for i in range(a)])
        J = sympy.eye(a).col_join(A)
        rest: object = (J * u).dot(J * u) - u.dot(u) - (A * u).dot(A * u)
        found.append((f"square of the length, {a} and {more} rows", sympy.expand(rest)))
    return found


@claim(
    "dn-direct",
    says=r"With $v_l$ the gradient that reaches $x_l$ from the output of the block directly, the "
    r"gradient at $x_l$ is $v_l$ plus one term for each later layer. If no later layer reads "
    r"$x_l$, it is $v_l$, however many layers follow.",
    given={**LAYERS, "l": Choice((0, 1, 2))},
)
def direct(a: int, b: int, x: Array, seed: int, l: int) -> Outcome:  # noqa: E741
    weights = random_weights(a, b, 3, seed)
    v = np.random.default_rng(seed + 1).normal(size=a + 3 * b)
    start, end = (0, a) if l == 0 else (a + b * (l - 1), a + b * l)
    known = dense_block(x, weights)[:end]
    got, want = dense_block_vjp(v, known, weights[l:])[0][start:], by_parts(v, x, weights)[l]
    size = 1 + np.abs(want).max()
    for W in weights[l:]:
        W[:, start:end] = 0
    alone, _ = dense_block_vjp(v, known, weights[l:])
    return All(Close(got / size, want / size), Equal(alone[start:], v[start:end]))


def by_parts(v: Array, x: Array, weights: list[Array]) -> list[Array]:
    """Return the gradient at each part of a block, one term for each direct connection."""
    out, k = dense_block(x, weights), len(weights[0])
    ends = [len(x) + k * i for i in range(len(weights) + 1)]
    parts = [slice(0, ends[0]), *(slice(e - k, e) for e in ends[1:])]
    at: list[Array] = [v[part] for part in parts]
    for i in range(len(weights), 0, -1):
        arrived = at[i] * (out[parts[i]] > 0)
        for j in range(i):
            at[j] = at[j] + weights[i - 1][:, parts[j]].T @ arrived
    return at


@claim(
    "dn-sigma",
    says=r"With $\sigma = \relu$ last, as in $x_l = \sigma(W_l [x_0, \dots, x_{l-1}])$, no output "
    r"is negative, and doubling the input doubles all of them: $x_l(t x_0) = t\, x_l(x_0)$ for "
    "$t > 0$.",
    proof=True,
    given={**LAYERS, "t": Scalar(0.1, 10)},
)
def sigma(a: int, b: int, x: Array, seed: int, t: float) -> Outcome:
    weights = random_weights(a, b, 3, seed)
    out = dense_block(x, weights)
    size = 1 + np.abs(out).max()
    return All(
        AtMost(-out[a:], 0.0, 0.0), Close(dense_block(t * x, weights) / size, t * out / size, 1e-8)
    )


from nnbook.claims import _densenet_modules  # noqa: E402

__all__ = ["_densenet_modules"]
