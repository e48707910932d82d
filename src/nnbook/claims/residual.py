"""Claims of the topic residual: the block, the difference that it learns, and its Jacobian.

What the identity guarantees, and what not, has a file of its own, which this one loads at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import All, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Choice, Domain, Matrix, Scalar, Size, Vector
from nnbook.scratch import (
    Map,
    branch_jacobian,
    gelu,
    gelu_vjp,
    identity,
    relu,
    relu_vjp,
    residual_block,
    residual_block_vjp,
    residual_stack,
    residual_stack_vjp,
    tanh,
    tanh_vjp,
)
from nnbook.scratch.residual import Block

Array = np.ndarray
Identities = list[tuple[str, Any]]
MAPS: dict[str, Map] = {
    "ReLU": (relu, relu_vjp),
    "tanh": (tanh, tanh_vjp),
    "GELU": (gelu, gelu_vjp),
    "none": identity,
}
SMOOTH = Choice(("tanh", "GELU"))
BLOCK: dict[str, Domain] = {
    "z": Vector("d", lo=-3, hi=3),
    "W1": Matrix("d", "h", lo=-2, hi=2),
    "b1": Vector("d", lo=-2, hi=2),
    "W2": Matrix("h", "d", lo=-2, hi=2),
    "b2": Vector("h", lo=-2, hi=2),
}


def stack(blocks: int, d: int, h: int, seed: int, size: float = 1.0) -> list[Block]:
    """Return the parameters of several blocks, normal with standard deviation ``size``."""
    rng = np.random.default_rng(seed)
    shapes = ((d, h), (d,), (h, d), (h,))
    drawn = [[size * rng.normal(size=shape) for shape in shapes] for _ in range(blocks)]
    return [(W1, b1, W2, b2) for W1, b1, W2, b2 in drawn]


# --- the block ------------------------------------------------------------------------------------


@claim(
    "res-defined",
    says=r"A branch $\R^d \to \R^h \to \R^n$ can be added to its input exactly if $n = d$: the "
    r"class `ResidualBlock` refuses every other $n$ and names both lengths, also $n = 1$, which "
    r"would broadcast. With a projection $P: \R^d \to \R^n$ the sum is $P(z) + f(z)$.",
    given={"d": Size(1, 6), "h": Size(1, 6), "n": Size(1, 6), "seed": Size(0, 99)},
    also=[{"d": 5, "h": 3, "n": 1, "seed": 0}],
)
def defined(d: int, h: int, n: int, seed: int) -> Outcome:
    import torch

    from nnbook.nn import Linear, ResidualBlock

    torch.manual_seed(seed)
    kind, z = torch.float64, torch.randn(4, d, dtype=torch.float64)
    projection = Linear(d, n, dtype=kind)
    around = ResidualBlock(d, h, projection=projection, out_features=n, dtype=kind)
    added = Close(*(t.detach().numpy() for t in (around(z), projection(z) + around.f(z))))
    try:
        shape = ResidualBlock(d, h, out_features=n, dtype=kind)(z).shape
    except ValueError as error:
        text = str(error)
        named = n != d and f"length {n}" in text and f"length {d}" in text
        return All(added, Holds(named, text))
    return All(added, Equal(tuple(shape), (4, d)), Equal(n, d))


@claim(
    "res-module",
    says=r"The class `ResidualBlock` computes $z + c\,\sigma(W_1\,\sigma(W_2 z + b_2) + b_1)$, "
    r"with $W_2$ of shape $h \times d$ and $W_1$ of shape $d \times h$; `outer=False` leaves out "
    r"the second $\sigma$.",
    given={
        "name": Choice(("ReLU", "Tanh", "GELU")),
        "outer": Choice((True, False)),
        "d": Size(1, 6),
        "h": Size(1, 6),
        "c": Scalar(-2, 2),
        "seed": Size(0, 999),
    },
)
def module(name: str, outer: bool, d: int, h: int, c: float, seed: int) -> Outcome:
    import torch

    from nnbook import nn

    torch.manual_seed(seed)
    sigma = getattr(nn, name)
    block = nn.ResidualBlock(d, h, sigma, outer, c, dtype=torch.float64)
    z = torch.randn(3, d, dtype=torch.float64)
    named = {n: p.detach() for n, p in block.named_parameters()}
    W1, b1, W2, b2 = (named[f"f.{m}.{p}"] for m in ("mm1", "mm2") for p in ("weight", "bias"))
    branch = sigma()(z @ W2.T + b2) @ W1.T + b1
    want = z + c * (sigma()(branch) if outer else branch)
    fits = Equal((tuple(W1.shape), tuple(W2.shape)), ((d, h), (h, d)))
    return All(Close(block(z).detach().numpy(), want.numpy()), fits)


@claim(
    "res-net",
    says=r"Blocks of width $d$ take inputs of length $m$ only if $m = d$. `ResidualMLP` puts an "
    r"affine map in front and takes every $m$; it computes "
    r"$\MM \circ \operatorname{Res}_L \circ \dots \circ \operatorname{Res}_1 \circ \MM_0$.",
    given={"m": Size(1, 6), "d": Size(1, 6), "L": Size(0, 4), "seed": Size(0, 99)},
)
def network(m: int, d: int, L: int, seed: int) -> Outcome:
    import torch

    from nnbook import nn

    torch.manual_seed(seed)
    model: Any = nn.ResidualMLP(m, 3, d, L, hidden=2, dtype=torch.float64)
    x = torch.randn(5, m, dtype=torch.float64)
    z = model.enter(x)
    for block in model.blocks:
        z = z + block.f(z)
    want = model.leave(z)
    same = Close(model(x).detach().numpy(), want.detach().numpy())
    try:
        nn.ResidualBlock(d, 2, dtype=torch.float64)(x)
    except ValueError:
        return All(same, Holds(m != d, "vectors of the right length were refused"))
    return All(same, Equal(m, d))


# --- the difference -------------------------------------------------------------------------------


def difference_block(M: Array, t: Array) -> Block:
    """Return W1, b1, W2, b2 of the ReLU branch (M - I) z + t, to be used without an end."""
    one = np.eye(len(M))
    return (M - one) @ np.hstack([one, -one]), t, np.vstack([one, -one]), np.zeros(2 * len(M))


TARGET: dict[str, Domain] = {"M": Matrix("d", "d", lo=-3, hi=3), "t": Vector("d"), "z": Vector("d")}


@claim(
    "res-difference",
    says=r"$z + f(z) = H(z)$ exactly if $f(z) = H(z) - z$. Without an activation at the end of the "
    r"branch every affine $H(z) = Mz + t$ is a block: with $\relu$, $h = 2d$, "
    r"$W_2 = \binom{I}{-I}$, $b_2 = 0$, $W_1 = (M - I)(I, -I)$, $b_1 = t$.",
    proof=True,
    given=TARGET,
)
def difference(M: Array, t: Array, z: Array) -> Outcome:
    return Close(residual_block(z, *difference_block(M, t), last=identity), M @ z + t)


@refutation(
    "res-difference-source",
    says=r"A block learns the difference $H(z) - z$, whatever it is: with the weights of "
    r"`res-difference` the block with $\relu$ at its end returns $H(z) = Mz + t$ too.",
    given=TARGET,
    right="res-up",
)
def difference_source(M: Array, t: Array, z: Array) -> Outcome:
    return Close(residual_block(z, *difference_block(M, t)), M @ z + t)


@claim(
    "res-up",
    says=r"With $\relu$ at the end of the branches and $c \ge 0$, no block lowers any entry: "
    r"$z_0 \le z_1 \le \dots \le z_L$ entry by entry, for all weights.",
    proof=True,
    given={
        "d": Size(1, 6),
        "h": Size(1, 6),
        "L": Size(1, 6),
        "c": Scalar(0, 2),
        "seed": Size(0, 999),
    },
)
def up(d: int, h: int, L: int, c: float, seed: int) -> Outcome:
    z = [3 * np.random.default_rng(seed).normal(size=(4, d))]
    for block in stack(L, d, h, seed):
        z.append(residual_block(z[-1], *block, scale=c))
    return Holds(np.diff(z, axis=0) >= 0, f"smallest step {np.diff(z, axis=0).min():.3g}")


# --- the Jacobian ---------------------------------------------------------------------------------


@claim(
    "res-jacobian",
    says=r"Where $\sigma$ is differentiable at all entries, the Jacobian of the block is $I + A$ "
    r"with $A = c\,D_1 W_1 D_2 W_2$, $D_2 = \diag(\sigma'(W_2 z + b_2))$ and "
    r"$D_1 = \diag(\sigma'(W_1 u + b_1))$, $u = \sigma(W_2 z + b_2)$; "
    r"a gradient $v$ becomes $v + A^\top v$.",
    proof=True,
    given=BLOCK | {"name": SMOOTH, "end": Choice(("tanh", "GELU", "none")), "c": Scalar(-2, 2)},
)
def jacobian(
    z: Array, W1: Array, b1: Array, W2: Array, b2: Array, name: str, end: str, c: float
) -> Outcome:
    options: Any = {"activation": MAPS[name], "last": MAPS[end], "scale": c}
    parameters, step, one = (W1, b1, W2, b2), 1e-5, np.eye(len(z))
    whole = one + branch_jacobian(z, *parameters, **options)
    ahead, behind = (
        residual_block(z + sign * step * one, *parameters, **options) for sign in (1, -1)
    )
    rows = residual_block_vjp(one, np.tile(z, (len(z), 1)), *parameters, **options)[0]
    return All(
        Close((ahead - behind).T / (2 * step), whole, tol=1e-6),
        Close(rows, whole),
    )


@exact("res-jacobian")
def jacobian_exact() -> Identities:
    import sympy as sp

    d, h = 2, 1
    z, b1, b2 = (sp.Matrix(sp.symbols(f"{s}:{n}")) for s, n in (("z", d), ("p", d), ("q", h)))
    W1, W2 = sp.Matrix(d, h, sp.symbols("r:2")), sp.Matrix(h, d, sp.symbols("s:2"))
    c, inner = sp.Symbol("c"), W2 * z + b2
    outer = W1 * inner.applyfunc(sp.tanh) + b1
    whole = (z + c * outer.applyfunc(sp.tanh)).jacobian(list(z))
    D1, D2 = (sp.diag(*[1 - sp.tanh(t) ** 2 for t in part]) for part in (outer, inner))
    return [("tanh, d = 2, h = 1", (whole - sp.eye(d) - c * D1 * W1 * D2 * W2).expand())]


STACK: dict[str, Domain] = {
    "d": Size(1, 6),
    "h": Size(1, 6),
    "L": Size(1, 5),
    "name": SMOOTH,
    "seed": Size(0, 999),
}


@claim(
    "res-stack",
    says=r"With $A_l$ taken at $z_{l-1}$, the Jacobian of a stack is "
    r"$(I + A_L) \cdots (I + A_1)$, the last block on the left; a gradient $v$ becomes "
    r"$(I + A_1^\top) \cdots (I + A_L^\top)\, v$, the last block first on the way back.",
    proof=True,
    given=STACK,
)
def chain(d: int, h: int, L: int, name: str, seed: int) -> Outcome:
    blocks, sigma = stack(L, d, h, seed, 0.7), MAPS[name]
    z, v = np.random.default_rng(seed + 1).normal(size=(2, d))
    back, product, at = v, np.eye(d), z
    jacobians = []
    for block in blocks:
        jacobians.append(branch_jacobian(at, *block, activation=sigma))
        at = residual_block(at, *block, activation=sigma)
        product = (np.eye(d) + jacobians[-1]) @ product
    for A in reversed(jacobians):
        back = back + A.T @ back
    seen = residual_stack_vjp(v, z, blocks, activation=sigma)[0]
    step, one = 1e-5, np.eye(d)
    ahead, behind = (
        residual_stack(z + sign * step * one, blocks, activation=sigma) for sign in (1, -1)
    )
    slopes = (ahead - behind).T / (2 * step)
    size = max(1.0, float(np.abs(product).max()))
    return All(Close(seen, back), Close(back, product.T @ v), Close(slopes, product, 1e-6 * size))


@refutation(
    "res-order",
    says="The order of the factors does not matter: $(I + A)(I + B) = (I + B)(I + A)$.",
    given={"A": Matrix(2, 2, lo=-2, hi=2), "B": Matrix(2, 2, lo=-2, hi=2)},
    right="res-stack",
)
def order(A: Array, B: Array) -> Outcome:
    one = np.eye(2)
    return Close((one + A) @ (one + B), (one + B) @ (one + A))


from . import _residual_identity  # noqa: E402, F401
