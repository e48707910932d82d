"""Claims of the topic initial: random weights, their scale, and what it does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Equal, Outcome, claim, exact, measured, refutation
from nnbook.claims.domains import Matrix, Scalar, Size, Vector
from nnbook.data import fashion_mnist
from nnbook.scratch import he_normal, he_uniform, mm, mm_vjp, xavier_normal, xavier_uniform

Array = np.ndarray
Draw = Callable[[np.random.Generator, int, int], Array]


def _signs(size: int) -> Array:
    """All vectors of +1 and -1: the exact law of independent signs, of mean 0 and variance 1."""
    return np.array(list(itertools.product([-1.0, 1.0], repeat=size)))


@claim(
    "ini-variances",
    says=r"A uniform number on $(-a, a)$ has variance $a^2/3$. So $\sqrt{6/(m+n)}$ gives Xavier's "
    r"$2/(m+n)$, $\sqrt{6/m}$ gives He's $2/m$, and PyTorch's $1/\sqrt m$ gives $1/(3m)$.",
    proof=True,
    given={"n": Size(40, 90), "m": Size(40, 90), "seed": Size(0, 999)},
    cases=25,
)
def variances(n: int, m: int, seed: int) -> Outcome:
    rng = np.random.default_rng(seed)
    xavier, he = 2 / (m + n), 2 / m
    wanted: list[tuple[Draw, float]] = [(xavier_uniform, xavier), (xavier_normal, xavier)]
    wanted += [(he_uniform, he), (he_normal, he)]
    near = 6 * math.sqrt(2 / (n * m))  # six standard deviations of the sample variance
    outcomes: list[Outcome] = []
    for draw, variance in wanted:
        W = draw(rng, n, m)
        outcomes += [
            AtMost(abs((W**2).mean() / variance - 1), near),
            AtMost(abs(W.mean()), 6 * math.sqrt(variance / W.size)),
        ]
        if draw in (xavier_uniform, he_uniform):
            outcomes.append(AtMost(np.abs(W).max(), math.sqrt(3 * variance)))
    return All(*outcomes)


@exact("ini-variances")
def variances_exact() -> list[tuple[str, Any]]:
    import sympy

    x, a, n, m = sympy.symbols("x a n m", positive=True)
    uniform = sympy.integrate(x**2, (x, -a, a)) / (2 * a)
    gain = sympy.sqrt(sympy.Rational(2, 1 + 5))  # kaiming with a = sqrt(5)
    return [
        ("uniform", uniform - a**2 / 3),
        ("Xavier", uniform.subs(a, sympy.sqrt(6 / (m + n))) - 2 / (m + n)),
        ("He", uniform.subs(a, sympy.sqrt(6 / m)) - 2 / m),
        ("PyTorch", uniform.subs(a, 1 / sympy.sqrt(m)) - 1 / (3 * m)),
        ("slope sqrt(5)", gain * sympy.sqrt(3 / m) - 1 / sympy.sqrt(m)),
    ]


@claim(
    "ini-same-start",
    says="`nnbook.nn.Linear` and `torch.nn.Linear` start from the same float32 numbers for the "
    r"same seed, all of them between $-1/\sqrt m$ and $1/\sqrt m$.",
    given={"n": Size(1, 40), "m": Size(1, 40), "seed": Size(0, 999)},
    cases=25,
)
def same_start(n: int, m: int, seed: int) -> Outcome:
    import torch

    from nnbook import nn

    torch.manual_seed(seed)
    ours = nn.Linear(m, n)
    torch.manual_seed(seed)
    theirs = torch.nn.Linear(m, n)
    most = max(float(p.detach().abs().max()) for p in ours.parameters())
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return All(
        *(Equal(p.detach().numpy(), q.detach().numpy()) for p, q in pairs),
        AtMost(most, 1 / math.sqrt(m), tol=1e-6),
    )


@refutation(
    "ini-keras-source",
    says="A layer that draws Xavier's normal values starts like one that draws Xavier's uniform "
    r"values, as Keras does: no value is beyond $\sqrt{6/(m+n)}$.",
    given={"n": Size(1, 9), "m": Size(1, 9), "seed": Size(0, 999)},
    right="ini-variances",
)
def keras_source(n: int, m: int, seed: int) -> Outcome:
    W = xavier_normal(np.random.default_rng(seed), n, m)
    return AtMost(np.abs(W).max(), math.sqrt(6 / (n + m)))


@claim(
    "ini-output-variance",
    says=r"If the $W_{ij}$ are independent with mean 0 and variance $s^2$, and $b = 0$, then each "
    r"output has mean 0 and variance $s^2 \norm{x}^2$. With Xavier's variance this is "
    r"$\frac{2m}{m+n}$ times the mean square of $x$.",
    proof=True,
    given={"x": Vector(1, 8), "s": Scalar(0.1, 3)},
)
def output_variance(x: Array, s: float) -> Outcome:
    outputs = mm(x, s * _signs(len(x)))  # one row of W for each choice of signs
    return All(Close(outputs.mean(), 0.0), Close((outputs**2).mean(), s * s * (x @ x)))


@claim(
    "ini-relu-moment",
    says=r"If moreover the $W_{ij}$ are symmetric about 0, then the mean square of "
    r"$\relu(Wx)$ is, in expectation, $\frac{s^2 m}{2}$ times that of $x$. He's variance $2/m$ "
    r"keeps it; Xavier's multiplies it by $\frac{m}{m+n}$, a half for equal widths.",
    proof=True,
    given={"x": Vector(1, 8), "s": Scalar(0.1, 3)},
)
def relu_moment(x: Array, s: float) -> Outcome:
    outputs = np.maximum(mm(x, s * _signs(len(x))), 0)
    return Close((outputs**2).mean(), s * s * len(x) / 2 * (x**2).mean())


@exact("ini-relu-moment")
def relu_moment_exact() -> list[tuple[str, Any]]:
    import sympy

    h = sympy.Symbol("h", real=True)

    def relu(v: Any) -> Any:
        return (v + sympy.Abs(v)) / 2

    return [("relu(h)^2 + relu(-h)^2 = h^2", relu(h) ** 2 + relu(-h) ** 2 - h**2)]


@claim(
    "ini-balance",
    says=r"With Xavier's variance $W$ multiplies the mean square of the values by $\frac{2m}{m+n}$ "
    r"and $W^\top$ that of the gradients by $\frac{2n}{m+n}$, in expectation. The two add up to "
    r"2; both are 1 only if $m = n$.",
    proof=True,
    given={"n": Size(1, 3), "m": Size(1, 3), "x": Vector("m"), "v": Vector("n")},
    cases=60,
)
def balance(n: int, m: int, x: Array, v: Array) -> Outcome:
    draws = math.sqrt(2 / (m + n)) * _signs(n * m).reshape(-1, n, m)
    forward = np.mean([mm(x, W) ** 2 for W in draws])
    backward = np.mean([mm_vjp(v, x, W)[0] ** 2 for W in draws])
    return All(
        Close(forward, 2 * m / (m + n) * (x**2).mean()),
        Close(backward, 2 * n / (m + n) * (v**2).mean()),
    )


def train_equal_units(X: Array, y: Array, w: Array, c: float, steps: int = 5) -> Array:
    """Train c . tanh(W x + b) with three equal hidden units, and return W afterwards."""
    W, b, out = np.tile(w, (3, 1)), np.zeros(3), np.full((1, 3), c)
    for _ in range(steps):
        h = np.tanh(mm(X, W, b))  # B 3
        error = mm(h, out)[:, 0] - y
        of_h, of_out = mm_vjp(error[:, None] / len(y), h, out)
        _, of_W, of_b = mm_vjp(of_h * (1 - h**2), X, W, b)
        W, b, out = W - 0.1 * of_W, b - 0.1 * of_b, out - 0.1 * of_out
    return W


@claim(
    "ini-symmetry",
    says=r"If two hidden units of a layer have the same incoming weights, bias and outgoing "
    r"weights, then their gradients are equal, and they stay equal under every gradient step.",
    proof=True,
    given={
        "X": Matrix("B", "m", lo=-2, hi=2),
        "y": Vector("B", lo=-2, hi=2),
        "w": Vector("m", lo=-2, hi=2),
        "c": Scalar(-2, 2),
    },
)
def symmetry(X: Array, y: Array, w: Array, c: float) -> Outcome:
    W = train_equal_units(X, y, w, c)
    return Close(W, np.tile(W[:1], (3, 1)))


def relu_stack(draw: Draw, seed: int, depth: int = 30, width: int = 512) -> list[float]:
    """Return the mean square of the values after each layer of a ReLU stack with random weights."""
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((16, width))
    seen = [float((h**2).mean())]
    for _ in range(depth):
        h = np.maximum(mm(h, draw(rng, width, width)), 0)
        seen.append(float((h**2).mean()))
    return seen


def _factor(draw: Draw, seed: int) -> float:
    seen = relu_stack(draw, seed)
    return float((seen[-1] / seen[0]) ** (1 / (len(seen) - 1)))


@measured(
    "ini-he-stack",
    says="In a stack of 30 ReLU layers of width 512 with He's values the mean square is kept: its "
    "factor per layer is near 1.",
    band=(0.9, 1.1),
    unit="factor per layer",
)
def he_stack(seed: int) -> float:
    return _factor(he_normal, seed)


@measured(
    "ini-xavier-stack",
    says="In the same stack with Xavier's values the mean square halves with every layer.",
    band=(0.45, 0.55),
    unit="factor per layer",
)
def xavier_stack(seed: int) -> float:
    return _factor(xavier_normal, seed)


Layers = list[tuple[Array, ...]]


@cache
def pictures() -> tuple[Array, Array, Array, Array]:
    """Return 2000 pictures of clothes to learn from and 1000 new ones: x, y, new x, new y."""
    train, test = fashion_mnist("sample")
    few, new = train.take(slice(2000)), test.take(slice(1000))
    return (
        few.standardized(few).reshape(len(few), -1),
        few.y,
        new.standardized(few).reshape(len(new), -1),
        new.y,
    )


def train_stack(draw: Draw, seed: int, steps: int = 100, depth: int = 15, width: int = 64) -> float:
    """Train a ReLU network by gradient descent with momentum; return its accuracy on new pictures.

    Args:
        draw: the initial values of the weights, such as `he_normal`; the biases start at zero.
        seed: for the initial values and the order of the pictures.
        steps: number of steps, each on 64 pictures.
        depth: number of affine maps.
        width: width of the hidden layers.
    """
    rng = np.random.default_rng(seed)
    x, y, x_new, y_new = pictures()
    sizes = [x.shape[1], *[width] * (depth - 1), 10]
    layers: Layers = [(draw(rng, n, m), np.zeros(n)) for m, n in itertools.pairwise(sizes)]
    speed: Layers = [tuple(np.zeros_like(p) for p in layer) for layer in layers]
    for _ in range(steps):
        batch = rng.integers(0, len(x), 64)
        for i, grads in enumerate(_gradients(layers, x[batch], y[batch])):
            speed[i] = tuple(0.9 * s + g for s, g in zip(speed[i], grads, strict=True))
            layers[i] = tuple(p - 0.01 * s for p, s in zip(layers[i], speed[i], strict=True))
    return float((_values(layers, x_new)[-1].argmax(axis=1) == y_new).mean())


def _values(layers: Layers, x: Array) -> list[Array]:
    values = [x]
    for i, (W, b) in enumerate(layers):
        h = mm(values[-1], W, b)
        values.append(h if i == len(layers) - 1 else np.maximum(h, 0))
    return values


def _gradients(layers: Layers, x: Array, y: Array) -> Layers:
    values = _values(layers, x)
    share = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
    v = (share / share.sum(axis=1, keepdims=True) - np.eye(10)[y]) / len(y)  # of cross-entropy
    grads: Layers = []
    for i in reversed(range(len(layers))):
        v, *rest = mm_vjp(v, values[i], *layers[i])
        v = v * (values[i] > 0)  # of ReLU; at the input it is not used
        grads.append(tuple(rest))
    return grads[::-1]


@measured(
    "ini-start-matters",
    says="A ReLU network of 15 layers of width 64 learns for 100 steps from 2000 pictures of "
    "Fashion-MNIST. With He's values its accuracy on new pictures is higher than with Xavier's, by "
    "at least a tenth of all pictures.",
    band=(0.1, 0.9),
    unit="accuracy with He's values less accuracy with Xavier's",
)
def start_matters(seed: int) -> float:
    return train_stack(he_normal, seed) - train_stack(xavier_normal, seed)
