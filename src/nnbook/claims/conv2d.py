"""Claims of the topic conv2d: the right index, the matrix, im2col, counts and gradients.

What is true of single kernels, and of convolutions on top of each other, has a file of its own,
which this one loads at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import All, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.domains import Array as Box
from nnbook.claims.domains import Domain, Matrix, Size
from nnbook.scratch import (
    col2im,
    conv2d,
    conv2d_loops,
    conv2d_matrix,
    conv2d_s,
    conv2d_s_loops,
    conv2d_s_vjp,
    conv2d_vjp,
    conv_transpose2d,
    im2col,
)

Array = np.ndarray
Identities = list[tuple[str, Any]]
SIDES: dict[str, Domain] = {"m": Size(1, 5), "n": Size(1, 5)}
# a kernel of odd sides up to 5: the upper left corner of w
ODD: dict[str, Domain] = {"half": Size(0, 2), "other": Size(0, 2), "w": Matrix(5, 5)}
# a picture, kernels and options of a convolution
GRID: dict[str, Domain] = {
    "m": Size(3, 6),
    "n": Size(3, 6),
    "a": Size(1, 3),
    "b": Size(1, 3),
    "s": Size(1, 3),
    "p": Size(0, 2),
    "g": Size(1, 2),
    "x": Box(4, "m", "n"),
    "w": Box(2, 4, "a", "b"),
    "bias": Box(2),
}


def odd(w: Array, half: int, other: int) -> Array:
    """Return a kernel with the sides 2 half + 1 and 2 other + 1."""
    return w[: 2 * half + 1, : 2 * other + 1]


def source_sum(z: Array, w: Array) -> Array:
    """Compute the sum as the source prints it, counting from 1, with z_{i+p-l, j+q-l}."""
    (m, n), k = z.shape, len(w)
    half = (k - 1) // 2
    y = np.zeros_like(z)
    for i, j in np.ndindex(m, n):
        for p, q in np.ndindex(k, k):
            r, s = (i + 1) + (p + 1) - half, (j + 1) + (q + 1) - half
            if 1 <= r <= m and 1 <= s <= n:
                y[i, j] += w[p, q] * z[r - 1, s - 1]
    return y


def centre(k: int) -> Array:
    """Return the kernel with a 1 in its middle."""
    w = np.zeros((k, k))
    w[k // 2, k // 2] = 1
    return w


@claim(
    "cvt-index",
    says=r"With the index $z_{i+p-l-1,\,j+q-l-1}$ a kernel with a $1$ in its middle and $0$ "
    r"elsewhere is the identity. With $z_{i+p-l,\,j+q-l}$ the entry $(i, j)$ of the output is the "
    r"entry $(i+1, j+1)$ of the right one, where that exists.",
    proof=True,
    given={"m": Size(2, 6), "half": Size(0, 2), "z": Matrix("m", "m"), "w": Matrix(5, 5)},
)
def index(half: int, z: Array, w: Array) -> Outcome:
    w = odd(w, half, half)
    right = conv2d_s_loops(z, w)
    return All(
        Equal(conv2d_s_loops(z, centre(len(w))), z),
        Close(source_sum(z, w)[:-1, :-1], right[1:, 1:]),
        Close(conv2d_s(z, w), right),
    )


@refutation(
    "cvt-index-source",
    says=r"With $\sum_{p,q} w_{p,q}\, z_{i+p-l,\,j+q-l}$ the $3 \times 3$ kernel with a $1$ in its "
    "middle leaves every picture as it is.",
    given={"m": Size(1, 4), "z": Matrix("m", "m")},
    right="cvt-index",
)
def index_source(z: Array) -> Outcome:
    return Close(source_sum(z, centre(3)), z)


@claim(
    "cvt-size",
    says=r"A window that reaches over $d(k-1)+1$ entries has "
    r"$\lfloor (m + 2p - d(k-1) - 1)/s \rfloor + 1$ places on an axis of $m$ entries, padded by "
    r"$p$ on each side. For $s = 1$ this is $m$ if and only if $2p = d(k-1)$.",
    proof=True,
    given={"m": Size(1, 9), "k": Size(1, 4), "s": Size(1, 3), "p": Size(0, 4), "d": Size(1, 3)},
)
def size(m: int, k: int, s: int, p: int, d: int) -> Outcome:
    reach = d * (k - 1) + 1
    starts = [i for i in range(-p, m + p, s) if i + reach <= m + p]  # every window, one by one
    formula = max(0, (m + 2 * p - reach) // s + 1)
    same = s != 1 or not starts or (formula == m) == (2 * p == d * (k - 1))
    if not starts:
        return Equal(formula, 0)
    got = conv2d(np.zeros((1, 1, m)), np.zeros((1, 1, 1, k)), stride=s, padding=(0, p), dilation=d)
    return All(Equal(formula, len(starts)), Holds(same), Equal(got.shape[-1], formula))


@claim(
    "cvt-conv",
    says=r"$y_i = b_i + \sum_j \ConvTwoS_{i,j}(x_j)$: each pair of an input and an "
    "output channel has its own kernel, and the bias is added once, after the sum.",
    given={
        "m": Size(1, 5),
        "n": Size(1, 5),
        "x": Box(3, "m", "n"),
        "w": Box(2, 3, 3, 3),
        "bias": Box(2),
    },
)
def channels(x: Array, w: Array, bias: Array) -> Outcome:
    sums = [sum(conv2d_s_loops(x[j], w[i, j]) for j in range(3)) + bias[i] for i in range(2)]
    return Close(conv2d(x, w, bias, padding=1), np.stack(sums))


@claim(
    "cvt-count",
    says=r"A convolution from $C$ to $C'$ channels with $k \times k$ kernels has $k^2 C C' + C'$ "
    r"parameters, and $k^2 C C'$ without bias. In $g$ groups the first term is $k^2 C C' / g$.",
    given={"C": Size(1, 4), "out": Size(1, 4), "k": Size(1, 5), "g": Size(1, 3)},
    cases=40,
)
def count(C: int, out: int, k: int, g: int) -> Outcome:
    from nnbook import nn

    with_bias = nn.Conv2d(g * C, g * out, k, groups=g)
    without = nn.Conv2d(g * C, g * out, k, groups=g, bias=False)
    counted = [sum(p.numel() for p in conv.parameters()) for conv in (with_bias, without)]
    weights = k * k * (g * C) * (g * out) // g
    return Equal(counted, [weights + g * out, weights])


@refutation(
    "cvt-count-source",
    says=r"The convolution of PyTorch, with its default options, has $C C' k^2$ parameters.",
    given={"C": Size(1, 4), "out": Size(1, 4), "k": Size(1, 5)},
    right="cvt-count",
)
def count_source(C: int, out: int, k: int) -> Outcome:
    from nnbook import nn

    counted = sum(p.numel() for p in nn.Conv2d(C, out, k).parameters())
    return Equal(counted, C * out * k * k)


@claim(
    "cvt-products",
    says=r"On an $m \times n$ picture with $m, n \ge l$ and zeros around, Conv2D-S with a "
    r"$k \times k$ kernel, $k = 2l + 1$, multiplies $(mk - l(l+1))(nk - l(l+1))$ times, products "
    "with a padded zero left out.",
    proof=True,
    given={"m": Size(1, 7), "n": Size(1, 7), "half": Size(0, 3)},
)
def products(m: int, n: int, half: int) -> Outcome:
    k = 2 * half + 1
    if min(m, n) < half:
        return Equal(0, 0)
    formula = (m * k - half * (half + 1)) * (n * k - half * (half + 1))
    return Equal(np.count_nonzero(conv2d_matrix(np.ones((k, k)), (m, n))), formula)


@claim(
    "cvt-toeplitz",
    says=r"$\vect(\ConvTwoS(z)) = Q \vect(z)$ with $Q_{(i,j),(r,u)} = w_{r-i+l+1,\,u-j+l+1}$: "
    r"block $(i, r)$ depends on $r - i$ alone, and within a block an entry on $u - j$ alone.",
    proof=True,
    given={**SIDES, **ODD, "z": Matrix("m", "n")},
)
def toeplitz(z: Array, half: int, other: int, w: Array) -> Outcome:
    w = odd(w, half, other)
    Q = conv2d_matrix(w, z.shape)
    blocks = Q.reshape(*z.shape, *z.shape)
    return All(
        Close((Q @ z.ravel()).reshape(z.shape), conv2d_s_loops(z, w)),
        Equal(blocks[1:, :, 1:, :], blocks[:-1, :, :-1, :]),
        Equal(blocks[:, 1:, :, 1:], blocks[:, :-1, :, :-1]),
    )


def unknowns(name: str, shape: tuple[int, ...]) -> Array:
    """Return an array of real symbols."""
    import sympy

    names = ["".join(map(str, at)) for at in np.ndindex(*shape)]
    return np.array([sympy.Symbol(f"{name}{n}", real=True) for n in names], object).reshape(shape)


@exact("cvt-toeplitz")
def toeplitz_exact() -> Identities:
    import sympy

    found: Identities = []
    for shape in ((2, 2), (3, 2), (3, 4)):
        z, w = unknowns("z", shape), unknowns("w", (3, 3))
        gap = conv2d_matrix(w, shape) @ z.ravel() - conv2d_s_loops(z, w).ravel()
        found.append((f"{shape[0]} by {shape[1]}, k = 3", sympy.Matrix(list(gap))))
    return found


def options(s: int, p: int, g: int) -> Any:
    """Return the options of a convolution of 4 channels into 2."""
    return {"stride": s, "padding": p, "groups": g}


@claim(
    "cvt-im2col",
    says=r"$y = b + \operatorname{reshape}(W)\,\operatorname{im2col}(x)$, for every "
    "stride, padding and number of groups, with the columns of each group of channels for itself.",
    proof=True,
    given=GRID,
)
def by_columns(x: Array, w: Array, bias: Array, s: int, p: int, g: int) -> Outcome:
    w = w[:, : 4 // g]
    kernel = w.shape[2:]
    parts = []
    for one, few in zip(np.split(x, g), np.split(w, g), strict=True):
        cols = im2col(one, kernel, stride=s, padding=p)
        parts.append(few.reshape(len(few), -1) @ cols)
    want = conv2d_loops(x, w, bias, **options(s, p, g))
    got = np.concatenate(parts).reshape(want.shape) + bias[:, None, None]
    return All(Close(got, want), Close(conv2d(x, w, bias, **options(s, p, g)), want))


@claim(
    "cvt-adjoint",
    says=r"col2im is the adjoint of im2col, and the transposed convolution that of the "
    r"convolution: $\langle V, \operatorname{im2col}(x) \rangle = "
    r"\langle \operatorname{col2im}(V), x \rangle$, and the same for $\ConvTwo$ without bias.",
    proof=True,
    given={**GRID, "seed": Size(0, 1000)},
)
def adjoint(x: Array, w: Array, s: int, p: int, g: int, seed: int) -> Outcome:
    w, rng = w[:, : 4 // g], np.random.default_rng(seed)
    cols = im2col(x, w.shape[2:], stride=s, padding=p)
    V = rng.normal(size=cols.shape)
    back = col2im(V, x.shape[1:], w.shape[2:], stride=s, padding=p)
    y = conv2d(x, w, **options(s, p, g))
    v = rng.normal(size=y.shape)
    longer = [(n + 2 * p - k) % s for n, k in zip(x.shape[1:], w.shape[2:], strict=True)]
    up = conv_transpose2d(v, w, output_padding=(longer[0], longer[1]), **options(s, p, g))
    return All(Close(np.vdot(V, cols), np.vdot(back, x)), Close(np.vdot(v, y), np.vdot(up, x)))


@claim(
    "cvt-backward",
    says=r"With $v$ the gradient at $y = b + \ConvTwo(x)$: the gradient at $x$ is the transposed "
    r"convolution of $v$, at $W$ it is $v$ times the transposed columns, at $b$ it is the sum of "
    r"$v$ over all places.",
    proof=True,
    given={**GRID, "seed": Size(0, 1000)},
    cases=25,
)
def backward(x: Array, w: Array, bias: Array, s: int, p: int, g: int, seed: int) -> Outcome:
    x, w = x[:, :4, :4], w[:, : 4 // g]
    y = conv2d_loops(x, w, bias, **options(s, p, g))
    v = np.random.default_rng(seed).normal(size=y.shape)
    # y is linear in x, in W and in b, each: unit vectors give the derivatives
    at_x = [np.sum(v * conv2d_loops(e, w, **options(s, p, g))) for e in units(x.shape)]
    at_w = [np.sum(v * conv2d_loops(x, e, **options(s, p, g))) for e in units(w.shape)]
    got = conv2d_vjp(v, x, w, bias, **options(s, p, g))
    return All(
        Close(got[0].ravel(), at_x), Close(got[1].ravel(), at_w), Close(got[2], v.sum(axis=(1, 2)))
    )


def units(shape: tuple[int, ...]) -> Array:
    """Return every array of this shape with one 1 and zeros."""
    size = int(np.prod(shape))
    return np.eye(size).reshape(size, *shape)


@claim(
    "cvt-backward-s",
    says=r"For one channel and stride 1 the gradient at $z$ is $\ConvTwoS$ of $v$ with the kernel "
    r"turned by half a turn, $w_{k+1-p,\,k+1-q}$, and at $w$ it is the sum of all windows of $z$, "
    r"each times its entry of $v$.",
    proof=True,
    given={**SIDES, **ODD, "z": Matrix("m", "n"), "v": Matrix("m", "n")},
)
def backward_s(z: Array, v: Array, half: int, other: int, w: Array) -> Outcome:
    w = odd(w, half, other)
    at_z, at_w = conv2d_s_vjp(v, z, w)
    want = [np.vdot(v, conv2d_s_loops(z, e)) for e in units(w.shape)]
    return All(
        Close(at_z.ravel(), conv2d_matrix(w, z.shape).T @ v.ravel()),
        Close(at_z, conv2d_s_loops(v, w[::-1, ::-1])),
        Close(at_w.ravel(), want),
    )


from nnbook.claims import _conv2d_kernels  # noqa: E402

__all__ = ["_conv2d_kernels"]
