"""Claims of the topic conv2d: separable kernels, stacks of convolutions, receptive fields."""

from __future__ import annotations

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Outcome, claim, refutation
from nnbook.claims.conv2d import ODD, SIDES, Array, Identities, odd, unknowns
from nnbook.claims.domains import Choice, Domain, Matrix, Size
from nnbook.scratch import conv2d_s, conv_transpose2d

from ._clock import ratio_of_times
from ._core import exact, measured


def separate(w: Array) -> list[tuple[Array, Array]]:
    """Return columns u and rows v, as few as possible, whose products u vᵀ sum to w."""
    U, sizes, V = np.linalg.svd(w)
    rank = int(np.sum(sizes > 1e-12 * max(1.0, sizes[0])))
    return [(sizes[r] * U[:, r : r + 1], V[r : r + 1]) for r in range(rank)]


@claim(
    "cvt-separable",
    says=r"$\ConvTwoS$ with $u v^\top$ is $\ConvTwoS$ with the row $v^\top$, then with the column "
    r"$u$. Every kernel is a sum of $\rank w$ such products, by its singular value decomposition, "
    "and of no fewer.",
    proof=True,
    given={**SIDES, **ODD, "z": Matrix("m", "n")},
)
def separable(z: Array, half: int, other: int, w: Array) -> Outcome:
    w = odd(w, half, other)
    parts = separate(w)
    total = np.zeros_like(z)
    for u, v in parts:
        total = total + conv2d_s(conv2d_s(z, v), u)
    return All(Close(total, conv2d_s(z, w)), Equal(len(parts), np.linalg.matrix_rank(w, 1e-12)))


@exact("cvt-separable")
def separable_exact() -> Identities:
    import sympy

    from nnbook.scratch import conv2d_s_loops

    z, u, v = unknowns("z", (3, 4)), unknowns("u", (3, 1)), unknowns("v", (1, 3))
    gap = conv2d_s_loops(conv2d_s_loops(z, v), u) - conv2d_s_loops(z, u * v)
    return [("3 by 4, k = 3, borders too", sympy.Matrix(gap).applyfunc(sympy.expand))]


def valid(z: Array, w: Array) -> Array:
    """Convolve without padding: the places where the kernel lies inside."""
    from nnbook.scratch import conv2d

    return conv2d(z[None], w[None, None])[0]


def join(w1: Array, w2: Array) -> Array:
    """Return the kernel of first w1, then w2: the full convolution, of sides k1 + k2 - 1."""
    return conv_transpose2d(w1[None], w2[None, None])[0]


PAIR: dict[str, Domain] = {"w1": Matrix(3, 3), "w2": Matrix(3, 3)}


@claim(
    "cvt-stack",
    says=r"Without padding, stride, dilation and activation, convolutions with $w_1$, then "
    r"$w_2$, are one convolution, with the kernel $\sum_p (w_1)_p (w_2)_{r-p}$, whose sides are "
    r"$k_1 + k_2 - 1$: two of $3 \times 3$ give one of $5 \times 5$, three give $7 \times 7$.",
    proof=True,
    given={**PAIR, "w3": Matrix(3, 3), "m": Size(7, 9), "z": Matrix("m", "m", lo=-2, hi=2)},
)
def stack(z: Array, w1: Array, w2: Array, w3: Array) -> Outcome:
    two, three = join(w1, w2), join(join(w1, w2), w3)
    twice = valid(valid(z, w1), w2)
    return All(
        Equal([two.shape, three.shape], [(5, 5), (7, 7)]),
        Close(twice, valid(z, two)),
        Close(valid(twice, w3), valid(z, three)),
    )


@refutation(
    "cvt-stack-border",
    says=r"Two $3 \times 3$ convolutions, each with zeros around, are the $5 \times 5$ "
    r"convolution with the joined kernel and zeros around, at the border too.",
    given={**PAIR, "m": Size(1, 4), "z": Matrix("m", "m")},
    right="cvt-stack",
)
def stack_border(z: Array, w1: Array, w2: Array) -> Outcome:
    return Close(conv2d_s(conv2d_s(z, w1), w2), conv2d_s(z, join(w1, w2)))


@refutation(
    "cvt-stack-source",
    says=r"Two $3 \times 3$ convolutions with a ReLU between them are one $5 \times 5$ convolution "
    r"(so that the output for $-z$ is that for $z$ with the other sign).",
    given={**PAIR, "z": Matrix(5, 5)},
    right="cvt-stack",
)
def stack_source(z: Array, w1: Array, w2: Array) -> Outcome:
    def f(z: Array) -> Array:
        return valid(np.maximum(valid(z, w1), 0), w2)

    return Close(f(-z), -f(z))


@claim(
    "cvt-stack-few",
    says=r"The $5 \times 5$ kernels that two stacked $3 \times 3$ ones can make are few: the "
    r"derivative of $(w_1, w_2) \mapsto$ joined kernel has rank at most $17$, in a space of $25$.",
    proof=True,
    given=PAIR,
)
def stack_few(w1: Array, w2: Array) -> Outcome:
    units = np.eye(9).reshape(9, 3, 3)
    derivative = [join(e, w2).ravel() for e in units] + [join(w1, e).ravel() for e in units]
    sizes = np.linalg.svd(np.array(derivative), compute_uv=False)
    return All(
        AtMost(np.sum(sizes > 1e-9 * max(1.0, sizes[0])), 17),
        Close(w1.ravel() @ np.array(derivative[:9]), w2.ravel() @ np.array(derivative[9:])),
    )


def field(layers: list[tuple[int, int, int]]) -> int:
    """Return the side of the receptive field of layers (kernel, stride, dilation)."""
    side, jump = 1, 1
    for k, s, d in layers:
        side += d * (k - 1) * jump
        jump *= s
    return side


def support(layers: list[tuple[int, int, int]]) -> tuple[int, int]:
    """Return height and width of what one output entry depends on, by its gradient.

    The corners of the square must have a gradient, or the answer is (0, 0).
    """
    v = np.ones((1, 1, 1))
    for k, s, d in reversed(layers):  # positive weights: nothing cancels
        v = conv_transpose2d(v, np.ones((1, 1, k, k)), stride=s, dilation=d)
    corners = v[0][:: max(1, v.shape[1] - 1), :: max(1, v.shape[2] - 1)]
    return v[0].shape if np.all(corners > 0) else (0, 0)


KERNELS, STRIDES, DILATIONS = Choice((1, 2, 3, 5)), Choice((1, 2, 3)), Choice((1, 2))


@claim(
    "cvt-field",
    says=r"An entry after $L$ layers depends on a square of side "
    r"$r = 1 + \sum_l d_l (k_l - 1) \prod_{i<l} s_i$ of the input at most; with positive weights "
    "and no activation it depends on all four corners of that square.",
    proof=True,
    given={
        "k1": KERNELS,
        "k2": KERNELS,
        "k3": KERNELS,
        "s1": STRIDES,
        "s2": STRIDES,
        "d2": DILATIONS,
    },
)
def receptive(k1: int, k2: int, k3: int, s1: int, s2: int, d2: int) -> Outcome:
    layers = [(k1, s1, 1), (k2, s2, d2), (k3, 1, 1)]
    return Equal(support(layers), (field(layers), field(layers)))


@measured(
    "cvt-time",
    says="32 pictures of 16 channels and 14 × 14 pixels, 32 kernels of 3 × 3, forward: the time of "
    "a product of matrices with the rows that it needs over the time of PyTorch's fused kernel.",
    band=(0.2, 50),
    seeds=(0,),
    unit="time of the rows over time of the fused kernel",
    varies=True,
)
def fused_time(seed: int) -> float:
    import torch

    from nnbook import nn

    x = torch.randn(32, 16, 14, 14, generator=torch.Generator().manual_seed(seed))
    conv = nn.Conv2d(16, 32, 3, padding=1)

    def fused() -> None:
        with nn.fused_convolution():
            conv(x)

    with torch.no_grad():
        return ratio_of_times(lambda: conv(x), fused, 8)
