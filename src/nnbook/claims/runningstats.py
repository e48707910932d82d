"""Claims of the topic runningstats: what a running average remembers, and the map in use.

What was measured has a file of its own, which this one loads at its end.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from nnbook.claims import All, Close, Equal, Outcome, claim, exact, refutation
from nnbook.claims._layernorm_module import complex_jacobian
from nnbook.claims.domains import Array, Choice, Domain, Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import Identities, symbols
from nnbook.scratch import (
    batch_norm,
    batch_norm_eval,
    batch_norm_eval_vjp,
    fold_batch_norm,
    mm,
    running_update,
)

Numbers = np.ndarray
ALPHA = Scalar(0, 1)


def walk(start: Numbers, batches: Numbers, momentum: float | None) -> tuple[Numbers, Numbers]:
    """Return the running mean and variance after all batches of shape (t, n, c)."""
    mean, var = start, np.ones_like(start)
    for seen, x in enumerate(batches):
        mean, var = running_update(mean, var, x, momentum, seen)
    return mean, var


BATCHES: dict[str, Domain] = {"t": Size(1, 6), "n": Size(2, 4), "x": Array("t", "n", "c")}


@claim(
    "rs-average",
    says=r"After $t$ batches the running statistic is "
    r"$r_t = (1-\alpha)^t r_0 + \sum_{k=1}^t \alpha (1-\alpha)^{t-k} s_k$, and the weights of the "
    r"$s_k$ sum to $1 - (1-\alpha)^t$.",
    proof=True,
    given={**BATCHES, "start": Vector("c"), "alpha": ALPHA},
)
def average(t: int, x: Numbers, start: Numbers, alpha: float) -> Outcome:
    weights = alpha * (1 - alpha) ** (t - np.arange(1, t + 1))
    mean, var = walk(start, x, alpha)
    kept = (1 - alpha) ** t
    return All(
        Close(mean, kept * start + weights @ x.mean(axis=1)),
        Close(var, kept + weights @ x.var(axis=1, ddof=1)),
        Close(weights.sum(), 1 - kept),
    )


@exact("rs-average")
def average_exact() -> Identities:
    import sympy

    alpha, r = sympy.symbols("alpha r_0", real=True)
    found: Identities = []
    for t in (1, 2, 4):
        s, run = symbols("s", t), r
        for k in range(t):
            run = (1 - alpha) * run + alpha * s[k]
        weights = [alpha * (1 - alpha) ** (t - k) for k in range(1, t + 1)]
        want = (1 - alpha) ** t * r + sum(w * x for w, x in zip(weights, s, strict=True))
        found.append((f"t = {t}", sympy.expand(run - want)))
        found.append((f"weights, t = {t}", sympy.expand(sum(weights) - 1 + (1 - alpha) ** t)))
    return found


@claim(
    "rs-start",
    says=r"If every $s_k$ has the expectation $\theta$, then "
    r"$\E r_t - \theta = (1-\alpha)^t (r_0 - \theta)$: the start is forgotten by the factor "
    r"$1 - \alpha$ per batch, and dividing what came since by $1 - (1-\alpha)^t$ corrects it.",
    proof=True,
    given={"t": Size(1, 6), "theta": Scalar(), "start": Scalar(), "alpha": Scalar(0.01, 0.99)},
)
def start(t: int, theta: float, start: float, alpha: float) -> Outcome:
    # each statistic is theta - 1 or theta + 1 with equal chances: average over all sequences
    ends = []
    for signs in itertools.product((-1.0, 1.0), repeat=t):
        batches = np.array([[[theta + s], [theta + s]] for s in signs])
        ends.append(walk(np.array([start]), batches, alpha)[0][0])
    kept = (1 - alpha) ** t
    mean = np.mean(ends)
    return All(
        Close(mean - theta, kept * (start - theta)),
        Close((mean - kept * start) / (1 - kept), theta),
    )


@exact("rs-start")
def start_exact() -> Identities:
    import sympy

    alpha, r, theta = sympy.symbols("alpha r_0 theta", real=True)
    found: Identities = []
    for t in (1, 2, 5):
        run = r
        for _ in range(t):
            run = (1 - alpha) * run + alpha * theta
        found.append((f"t = {t}", sympy.expand(run - theta - (1 - alpha) ** t * (r - theta))))
    return found


@claim(
    "rs-plain",
    says=r"With $\alpha_t = 1/t$ (`momentum=None`), $r_t$ is the plain mean of $s_1, \dots, s_t$, "
    r"whatever $r_0$ is.",
    proof=True,
    given={**BATCHES, "start": Vector("c")},
)
def plain(x: Numbers, start: Numbers) -> Outcome:
    mean, var = walk(start, x, None)
    return All(
        Close(mean, x.mean(axis=(0, 1))),
        Close(var, x.var(axis=1, ddof=1).mean(axis=0)),
    )


@exact("rs-plain")
def plain_exact() -> Identities:
    import sympy

    s, run = symbols("s", 4), sympy.Symbol("r_0", real=True)
    found: Identities = []
    for t in range(1, 5):
        run = (1 - sympy.Rational(1, t)) * run + s[t - 1] / t
        found.append((f"t = {t}", sympy.expand(run - sum(s[:t]) / sympy.Integer(t))))
    return found


@claim(
    "rs-unbiased",
    says=r"For $N \ge 2$ independent draws of one distribution with variance $\sigma^2$: "
    r"$\E \hat\sigma^2 = \frac{N-1}{N} \sigma^2$ and "
    r"$\E \big[ \tfrac{N}{N-1} \hat\sigma^2 \big] = \sigma^2$.",
    proof=True,
    given={"k": Size(2, 4), "values": Vector("k"), "N": Size(2, 4)},
)
def unbiased(k: int, values: Numbers, N: int) -> Outcome:
    every = values[np.indices((k,) * N).reshape(N, -1)]  # all draws of N out of k numbers
    kept = [
        running_update(np.zeros(1), np.ones(1), draw[:, None], 1.0)[1][0] for draw in every.T[:64]
    ]
    return All(
        Close(every.var(axis=0).mean(), (N - 1) / N * values.var()),
        Close(every.var(axis=0, ddof=1).mean(), values.var()),
        Close(np.array(kept), every.T[:64].var(axis=1, ddof=1)),
    )


@exact("rs-unbiased")
def unbiased_exact() -> Identities:
    import sympy

    found: Identities = []
    for k, n in ((2, 2), (2, 3), (3, 2)):
        values = list(symbols("x", k))

        def biased(draw: tuple[Any, ...]) -> Any:
            mean = sum(draw) / sympy.Integer(len(draw))
            return sum((x - mean) ** 2 for x in draw) / sympy.Integer(len(draw))

        draws = list(itertools.product(values, repeat=n))
        expected = sum(biased(d) for d in draws) / sympy.Integer(len(draws))
        want = sympy.Rational(n - 1, n) * biased(tuple(values))
        found.append((f"N = {n}, {k} equally likely values", sympy.expand(expected - want)))
    return found


@refutation(
    "rs-root-source",
    says=r"Because $\tfrac{N}{N-1} \hat\sigma^2$ is unbiased, so is its root: its expectation is "
    r"the deviation $\sigma$.",
    given={"values": Vector(2)},
    right="rs-unbiased",
)
def root_source(values: Numbers) -> Outcome:
    pairs = np.array(list(itertools.product(values, repeat=2)))
    return Close(pairs.std(axis=1, ddof=1).mean(), values.std())


@claim(
    "rs-between",
    says=r"For $B$ batches of $N$ values each: the variance of all values is the mean of the "
    r"variances of the batches plus the variance of their means (all biased).",
    proof=True,
    given={"B": Size(1, 5), "N": Size(1, 5), "x": Matrix("B", "N")},
)
def between(x: Numbers) -> Outcome:
    return Close(x.var(), x.var(axis=1).mean() + x.mean(axis=1).var())


@exact("rs-between")
def between_exact() -> Identities:
    import sympy

    def var(z: list[Any]) -> Any:
        mean = sum(z) / sympy.Integer(len(z))
        return sum((x - mean) ** 2 for x in z) / sympy.Integer(len(z))

    found: Identities = []
    for b, n in ((2, 2), (2, 3), (3, 2)):
        x = list(symbols("x", b * n))
        parts = [x[i * n : (i + 1) * n] for i in range(b)]
        means = [sum(p) / sympy.Integer(n) for p in parts]
        inner = sum(var(p) for p in parts) / sympy.Integer(b)
        found.append((f"{b} batches of {n}", sympy.expand(var(x) - inner - var(means))))
    return found


@refutation(
    "rs-between-source",
    says="The mean of the unbiased variances of the batches of an epoch is the unbiased variance "
    "of all values, in whatever order the data come.",
    given={"x": Matrix(2, 2)},
    right="rs-between",
)
def between_source(x: Numbers) -> Outcome:
    return Close(x.var(axis=1, ddof=1).mean(), x.var(ddof=1))


STATS: dict[str, Domain] = {"mean": Vector("c"), "var": Vector("c", lo=0, hi=9)}
STATS |= {"gamma": Vector("c"), "beta": Vector("c"), "eps": Scalar(0.01, 1)}


@claim(
    "rs-fold",
    says=r"With fixed $\bar\mu, \bar\sigma^2$, $\BN \circ \MM_{W,b} = \MM_{W',b'}$ with "
    r"$W' = \diag(d) W$, $b' = \beta + d \odot (b - \bar\mu)$, "
    r"$d = \gamma / \sqrt{\bar\sigma^2 + \varepsilon}$.",
    proof=True,
    given={**STATS, "Z": Matrix("B", "m"), "W": Matrix("c", "m"), "b": Vector("c")},
)
def fold(
    Z: Numbers,
    W: Numbers,
    b: Numbers,
    mean: Numbers,
    var: Numbers,
    gamma: Numbers,
    beta: Numbers,
    eps: float,
) -> Outcome:
    want = batch_norm_eval(mm(Z, W, b), mean, var, gamma, beta, eps=eps)
    return Close(mm(Z, *fold_batch_norm(W, b, mean, var, gamma, beta, eps=eps)), want)


@exact("rs-fold")
def fold_exact() -> Identities:
    import sympy

    eps, var = sympy.symbols("epsilon v", positive=True)
    w, z = symbols("w", 3), symbols("z", 3)
    b, mu, gamma, beta = sympy.symbols("b mu gamma beta", real=True)
    d = gamma / sympy.sqrt(var + eps)
    two = beta + gamma * (w.dot(z) + b - mu) / sympy.sqrt(var + eps)
    return [("one channel, m = 3", sympy.expand(two - (d * w).dot(z) - beta - d * (b - mu)))]


@claim(
    "rs-foldconv",
    says=r"The same for a convolution of any stride, padding, dilation and number of groups: "
    r"filter $c$ times $d_c$, the bias $\beta + d \odot (b - \bar\mu)$.",
    proof=True,
    given={
        "eps": STATS["eps"],
        "groups": Choice((1, 2)),
        "stride": Size(1, 3),
        "padding": Size(0, 2),
        "dilation": Size(1, 2),
        "x": Array(2, 4, 5),
        "W": Array(4, 4, 3),
        "b": Vector(4),
        "mean": Vector(4),
        "var": Vector(4, lo=0, hi=9),
        "gamma": Vector(4),
        "beta": Vector(4),
    },
)
def foldconv(
    groups: int,
    stride: int,
    padding: int,
    dilation: int,
    x: Numbers,
    W: Numbers,
    b: Numbers,
    mean: Numbers,
    var: Numbers,
    gamma: Numbers,
    beta: Numbers,
    eps: float,
) -> Outcome:
    W = W[:, : 4 // groups]
    how = (groups, stride, padding, dilation)
    want = batch_norm_eval(convolve(x, W, b, *how), mean, var, gamma, beta, eps=eps)
    folded = fold_batch_norm(W, b, mean, var, gamma, beta, eps=eps)
    return Close(convolve(x, *folded, *how), want)


def convolve(
    x: Numbers, W: Numbers, b: Numbers, groups: int, stride: int, padding: int, dilation: int
) -> Numbers:
    """Slide each filter over its group of channels: x (n, c, t), W (c_out, c / groups, k)."""
    out, inside, k = W.shape
    padded, reach = np.pad(x, ((0, 0), (0, 0), (padding, padding))), dilation * (k - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=2)
    windows = windows[:, :, ::stride, ::dilation]  # n c t' k
    first = np.arange(out) // (out // groups) * inside
    parts = [
        np.einsum("nctk,ck->nt", windows[:, f : f + inside], w)
        for f, w in zip(first, W, strict=True)
    ]
    return np.stack(parts, axis=1) + b[:, None]


@refutation(
    "rs-fold-source",
    says="In train mode, too, batch normalization is an affine map of its input: the output at "
    "the middle of two batches is the middle of the two outputs.",
    given={"x": Matrix(2, 1), "z": Matrix(2, 1)},
    right="rs-fold",
)
def fold_source(x: Numbers, z: Numbers) -> Outcome:
    return Close(batch_norm((x + z) / 2), (batch_norm(x) + batch_norm(z)) / 2)


@claim(
    "rs-frozen",
    says=r"In eval mode the gradient at $x$ is $d \odot v$, and no sample depends on another.",
    proof=True,
    given={**STATS, "x": Matrix("B", "c"), "v": Matrix("B", "c")},
)
def frozen(
    x: Numbers,
    v: Numbers,
    mean: Numbers,
    var: Numbers,
    gamma: Numbers,
    beta: Numbers,
    eps: float,
) -> Outcome:
    d = gamma / np.sqrt(var + eps)
    got = batch_norm_eval_vjp(v, x, mean, var, gamma, beta, eps=eps)
    jacobian = complex_jacobian(lambda z: gamma * (z - mean) / np.sqrt(var + eps) + beta, x[0])
    alone = np.concatenate([batch_norm_eval(r[None], mean, var, gamma, beta, eps=eps) for r in x])
    return All(
        Close(got[0], d * v),
        Close(got[0][0], jacobian.T @ v[0]),
        Equal(batch_norm_eval(x, mean, var, gamma, beta, eps=eps), alone),
    )


from nnbook.claims._runningstats_trained import (  # noqa: E402
    accuracies,
    model_after,
    recalibrated,
    right,
    tensors,
)

__all__ = ["accuracies", "model_after", "recalibrated", "right", "tensors"]
