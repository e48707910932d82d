"""Claims of the topic channels: sums over channels, what is learnt, groups, 1 by 1 kernels.

What a network of channels does with real text has a file of its own, which this one loads at its
end.
"""

from __future__ import annotations

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims.conv1d import Array, Identities
from nnbook.claims.domains import Array as Cube
from nnbook.claims.domains import Choice, Domain, Matrix, Size, Vector
from nnbook.scratch import (
    channel_matrix,
    conv_channels,
    conv_channels_loops,
    conv_channels_vjp,
    conv_parameters,
    mm,
    toeplitz,
)

# C channels of m numbers, and C' = n by C kernels of 3 weights
LAYER: dict[str, Domain] = {
    "C": Size(1, 4),
    "n": Size(1, 4),
    "m": Size(1, 6),
    "x": Matrix("C", "m"),
    "w": Cube("n", "C", 3),
    "b": Vector("n"),
}


@claim(
    "chn-sum",
    says=r"$\operatorname{Conv1D}(z)_i = b_i + \sum_{j=1}^{C} Q_{ij} z_j$, where $Q_{ij}$ is the "
    r"matrix of the kernel from channel $j$ to channel $i$: the channels laid end to end go "
    r"through one matrix of $C' \times C$ such blocks.",
    proof=True,
    given=LAYER,
)
def total(x: Array, w: Array, b: Array) -> Outcome:
    m = x.shape[1]
    blocks = channel_matrix(w, m, padding=1)
    got = conv_channels_loops(x, w, b, padding=1)
    return All(
        Close(conv_channels(x, w, b, padding=1), got),
        Close((blocks @ x.ravel()).reshape(len(w), m) + b[:, None], got),
        Equal(blocks[:m, :m], toeplitz(w[0, 0], m)),
    )


@claim(
    "chn-count",
    says=r"$\operatorname{Conv1D}$ from $C$ to $C'$ channels learns $kCC'$ weights, and $C'$ "
    r"numbers more with a bias. A full matrix between the same $Cm$ and $C'm$ numbers has "
    r"$m^2CC'$ weights, and $C'm$ numbers more with a bias.",
    proof=True,
    given={"C": Size(1, 4), "n": Size(1, 4), "m": Size(1, 5), "k": Choice((1, 3, 5))},
)
def count(C: int, n: int, m: int, k: int) -> Outcome:
    import torch

    from nnbook import nn

    w = np.ones((n, C, k))
    full = channel_matrix(w, m, padding=k // 2)
    sizes = [
        sum(p.numel() for p in module.parameters())
        for bias in (False, True)
        for module in (nn.Conv1d(C, n, k, bias=bias), torch.nn.Linear(C * m, n * m, bias=bias))
    ]
    mine = [conv_parameters(C, n, k, bias=False), conv_parameters(C, n, k)]
    return All(
        Equal(sizes, [k * C * n, m**2 * C * n, k * C * n + n, m**2 * C * n + n * m]),
        Equal(mine, sizes[::2]),
        Equal(full.size, m**2 * C * n),
    )


@claim(
    "chn-steps",
    says=r"Let $m \ge l + 1$. From the $m^2$ entries of a full matrix, locality keeps "
    r"$mk - l(l+1)$, and sharing makes them $k$ numbers.",
    proof=True,
    given={"l": Size(0, 6), "more": Size(1, 20)},
)
def steps(l: int, more: int) -> Outcome:  # noqa: E741  (the letter of the equation)
    m, k = l + more, 2 * l + 1
    there = np.abs(np.subtract.outer(np.arange(m), np.arange(m))) <= l
    Q = toeplitz(np.arange(1.0, k + 1), m)
    return All(
        Equal(Q != 0, there),
        Equal(int(there.sum()), m * k - l * (l + 1)),
        Equal(len(np.unique(Q[there])), k),
    )


@claim(
    "chn-more",
    says=r"Between the same numbers of channels and $m \to m'$ positions, a convolution has more "
    r"weights than the full matrix if and only if $k > m m'$. Then some of the weights meet "
    r"nothing but padding.",
    proof=True,
    given={
        "C": Size(1, 4),
        "n": Size(1, 4),
        "m": Size(1, 4),
        "k": Size(1, 9),
        "p": Size(0, 4),
    },
    cases=300,
)
def more(C: int, n: int, m: int, k: int, p: int) -> Outcome:
    if m + 2 * p < k:
        return Holds(True)
    Q = toeplitz(np.arange(1.0, k + 1), m, padding=p)
    is_more = conv_parameters(C, n, k, bias=False) > Q.size * C * n
    idle = k - len(np.unique(Q[Q != 0]))
    return All(Equal(is_more, k > Q.size), Holds(not is_more or idle > 0, "every weight is used"))


@refutation(
    "chn-more-source",
    says="A convolution that keeps the length never has more weights than the full matrix "
    "between the same numbers.",
    given={"m": Size(1, 6), "l": Size(0, 3)},
    right="chn-more",
)
def more_source(m: int, l: int) -> Outcome:  # noqa: E741
    return AtMost(2 * l + 1, m**2)


@claim(
    "chn-pointwise",
    says=r"A convolution with $k = 1$ applies one affine map $\operatorname{MM}_{W,b}$ to the "
    r"$C$ numbers at each position.",
    proof=True,
    given={**LAYER, "w": Cube("n", "C", 1)},
)
def pointwise(x: Array, w: Array, b: Array) -> Outcome:
    return Close(conv_channels(x, w, b), mm(x.T, w[..., 0], b).T)


@claim(
    "chn-groups",
    says=r"With $g$ groups, the channels are split into $g$ equal parts, each with a convolution "
    r"of its own, and the outputs are laid end to end: $kCC'/g$ weights.",
    proof=True,
    given={
        "g": Size(1, 3),
        "c": Size(1, 3),
        "n": Size(1, 3),
        "m": Size(3, 6),
        "seed": Size(0, 99),
    },
)
def groups(g: int, c: int, n: int, m: int, seed: int) -> Outcome:
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(g * c, m)), rng.normal(size=(g * n, c, 3))
    parts = [
        conv_channels(x[i * c : (i + 1) * c], w[i * n : (i + 1) * n], padding=1) for i in range(g)
    ]
    return All(
        Close(conv_channels(x, w, groups=g, padding=1), np.concatenate(parts)),
        Equal(w.size, 3 * (g * c) * (g * n) // g),
        Equal(w.size, conv_parameters(g * c, g * n, 3, groups=g, bias=False)),
    )


@claim(
    "chn-separable",
    says=r"A depthwise convolution ($C$ groups, kernels $u_j$) and then one with $k = 1$ and the "
    r"matrix $P$ is the convolution with the kernels $w_{ij} = P_{ij} u_j$. It has $kC + CC'$ "
    r"weights instead of $kCC'$, which is the fraction $1/C' + 1/k$; with $k \times k$ kernels "
    r"$k^2C + CC'$ and $1/C' + 1/k^2$.",
    proof=True,
    given={
        "x": Matrix("C", "m"),
        "u": Matrix("C", 3),
        "P": Matrix("n", "C"),
        "axes": Choice((1, 2)),
    },
)
def separable(x: Array, u: Array, P: Array, axes: int) -> Outcome:
    (n, C), k = P.shape, 3
    deep = conv_channels(x, u[:, None], groups=C, padding=1)
    two = conv_parameters(C, C, k, groups=C, bias=False, axes=axes)
    two += conv_parameters(C, n, 1, bias=False)
    full = conv_parameters(C, n, k, bias=False, axes=axes)
    return All(
        Close(conv_channels(deep, P[..., None]), conv_channels(x, P[..., None] * u, padding=1)),
        Equal(two, k**axes * C + C * n),
        Close(two / full, 1 / n + 1 / k**axes),
    )


@exact("chn-separable")
def separable_exact() -> Identities:
    import sympy

    C, n, k = sympy.symbols("C n k", positive=True)
    return [
        (
            f"kernel with {axes} of 2 axes",
            (k**axes * C + C * n) / (k**axes * C * n) - 1 / n - 1 / k**axes,
        )
        for axes in (1, 2)
    ]


@refutation(
    "chn-separable-source",
    says=r"Every convolution is a depthwise one followed by one with $k = 1$: each block of "
    r"kernels $(w_{ij})_{i}$ of an input channel $j$ has rank at most 1.",
    given={"w": Cube(2, 1, 2, lo=0, hi=2)},
    right="chn-separable",
)
def separable_source(w: Array) -> Outcome:
    return AtMost(np.linalg.matrix_rank(w[:, 0], tol=1e-6), 1)


@claim(
    "chn-backward",
    says=r"With $v$ the gradient at the output: the gradient at $z_j$ is $\sum_i Q_{ij}^\top v_i$, "
    r"at $w_{ij}$ it is the correlation of $z_j$ with $v_i$ for one pair of channels, and at "
    r"$b_i$ it is $\sum v_i$.",
    proof=True,
    given={**LAYER, "v": Matrix("n", "m")},
)
def backward(x: Array, w: Array, b: Array, v: Array) -> Outcome:
    at_x, at_w, at_b = conv_channels_vjp(v, x, w, b, padding=1)
    m = x.shape[1]
    blocks = channel_matrix(w, m, padding=1)
    padded = np.pad(x, ((0, 0), (1, 1)))
    pairs = [[[u @ z[j : j + m] for j in range(3)] for z in padded] for u in v]
    return All(
        Close(at_x.ravel(), blocks.T @ v.ravel()), Close(at_w, pairs), Close(at_b, v.sum(axis=1))
    )


from nnbook.claims._channels_text import (  # noqa: E402
    LETTERS,
    score,
    snippets,
    text_model,
    trained,
)

__all__ = ["LETTERS", "score", "snippets", "text_model", "trained"]
