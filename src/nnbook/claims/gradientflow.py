"""Claims of the topic gradientflow: kinks, saturation, dead units, gradients through depth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from nnbook import scratch

from ._clock import ratio_of_times
from ._core import claim, exact, measured, refutation
from ._outcomes import All, AtMost, Close, Equal, Holds, Outcome
from .domains import Matrix, Scalar, Vector

Vec = Float[np.ndarray, "..."]
Mat = Float[np.ndarray, "..."]
Map = Callable[[Vec], Vec]
DEPTH, WIDTH = 20, 256


# ---------------------------------------------------------------- differentiability


@claim(
    "flow-kink",
    says=r"Automatic differentiation of $\relu(x) - \relu(-x)$, which is the function $x$, gives "
    r"the slope 0 at $x = 0$; the true slope is 1. Everywhere else it is right.",
    given={"x": Scalar()},
    also=({"x": 0.0},),
)
def kink(x: float) -> Outcome:
    import torch

    from nnbook import nn

    z = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    want = 0.0 if x == 0 else 1.0
    slopes = []
    for f in (torch.relu, nn.relu):
        (g,) = torch.autograd.grad(f(z) - f(-z), z)
        slopes.append(float(g))
    return Equal(slopes, [want, want])


def _descend(activation: Map, slope: Map, steps: int = 400) -> tuple[float, float]:
    """Fit |x| with 2 hidden units, descend in w and b only; return first and last loss."""
    x = np.linspace(-1, 1, 8)
    w, b, u = np.array([0.6, -0.4]), np.array([0.1, 0.1]), np.array([0.5, 0.7])
    losses = []
    for _ in range(steps):
        z = x[:, None] * w + b
        gap = activation(z) @ u - np.abs(x)
        losses.append(float((gap**2).mean()))
        gz = 2 / len(x) * np.outer(gap, u) * slope(z)
        w, b = w - 0.3 * x @ gz, b - 0.3 * gz.sum(0)
    return losses[0], losses[-1]


def _step(z: Vec) -> Vec:
    return (z > 0).astype(z.dtype)


@refutation(
    "flow-differentiable-needed",
    says=r"Gradient descent needs modules that are differentiable everywhere: a network with ReLU, "
    r"which has no derivative at 0, cannot be trained.",
    right="flow-step",
)
def differentiable_needed() -> Outcome:
    first, last = _descend(scratch.relu, scratch.relu_derivative)
    return Holds(last > first / 10, f"two ReLUs fitted |x|: loss from {first:.3g} to {last:.3g}")


@claim(
    "flow-step",
    says=r"With the step function $\1\{z > 0\}$ as activation, the gradient of any loss of "
    r"the outputs for finitely many samples with respect to every weight before a step is 0 "
    r"wherever it exists, so gradient descent never moves these weights.",
    proof=True,
    given={"W": Matrix("n", "m", lo=-2, hi=2), "x": Vector("m"), "u": Vector("n")},
    cases=50,
)
def step_gradient(W: Mat, x: Vec, u: Vec) -> Outcome:
    b = np.where(np.abs(W @ x) < 1e-3, 0.5, 0.0)  # no unit on its threshold
    h = 1e-6

    def loss(weights: Mat) -> float:
        return float((u @ _step(weights @ x + b) - 1) ** 2)

    bumps = [h * np.eye(W.size)[i].reshape(W.shape) for i in range(W.size)]
    return Equal([loss(W + bump) for bump in bumps], [loss(W)] * W.size)


@refutation(
    "flow-differentiable-enough",
    says=r"Differentiability is what gradient descent needs: a network whose modules are all "
    r"differentiable almost everywhere, such as the step function, can learn the weights before "
    r"its activations.",
    right="flow-step",
)
def differentiable_enough() -> Outcome:
    first, last = _descend(_step, lambda z: 0 * z)
    return Holds(last < first / 10, f"two steps on |x|: loss from {first:.3g} to {last:.3g}")


# ---------------------------------------------------------------- floating point


@claim(
    "flow-saturation",
    says=r"With $p$ bits of precision (24 in float32, 53 in float64) and correctly rounded "
    r"operations, $1/(1 + e^{-z})$ is exactly 1 if and only if $e^{-z}$ rounds to at most "
    r"$2^{-p}$: up to the last digits of $z$, from $z = p \log 2 \approx 16.64$ and $36.74$ on.",
    proof=True,
    given={"z": Scalar(0, 60)},
    also=({"z": 16.63}, {"z": 16.64}, {"z": 36.73}, {"z": 36.74}),
)
def saturation(z: float) -> Outcome:
    outcomes = []
    for dtype, p in ((np.float32, 24), (np.float64, 53)):
        if abs(z - p * math.log(2)) > 1e-4:  # the last digit of the exponential decides there
            one = dtype(1)
            is_one = bool(one / (one + np.exp(-dtype(z))) == 1)
            outcomes.append(Equal(is_one, z > p * math.log(2)))
    return All(*outcomes)


@claim(
    "flow-saturation-libraries",
    says=r"In float32 the sigmoid of this book, of PyTorch and of SciPy first reaches exactly 1 "
    r"between 16.6 and 17.4. Tanh does so between 8.3 and 10.1, not at the same place in all of "
    r"them; rounding the true value would give 1 from $13 \log 2 \approx 9.01$ on.",
)
def saturation_libraries() -> Outcome:
    import torch

    from nnbook import nn

    def first_one(f: Map, lo: float, hi: float) -> float:
        z = np.linspace(lo, hi, 20001, dtype=np.float32)
        return float(z[np.argmax(f(z) == 1)])

    def tensor(f: Callable[[Any], Any]) -> Map:
        return lambda z: f(torch.tensor(z)).numpy()

    sigmoids = (scratch.sigmoid, tensor(nn.sigmoid), tensor(torch.sigmoid), special.expit)
    tanhs = (scratch.tanh, tensor(nn.tanh), tensor(torch.tanh), np.tanh)
    s = np.array([first_one(f, 16.0, 18.0) for f in sigmoids])
    t = np.array([first_one(f, 8.0, 12.0) for f in tanhs])
    return Holds(
        ((s > 16.6) & (s < 17.4)).all() and ((t > 8.3) & (t < 10.1)).all() and np.ptp(t) > 0.1,
        f"sigmoid {s}, tanh {t}",
    )


@refutation(
    "flow-tanh-strict",
    says=r"A test may assert that tanh lies strictly inside $(-1, 1)$, in float32 too.",
    given={"z": Scalar(0, 20)},
    right="flow-saturation-libraries",
)
def tanh_strict(z: float) -> Outcome:
    y = scratch.tanh(np.array([z], np.float32))
    return Holds(y < 1, f"tanh({z:g}) is {y[0]:.9g} in float32")


# ---------------------------------------------------------------- dead units


@claim(
    "flow-dead",
    says=r"If $w \cdot x_i + b \le 0$ for every sample, a ReLU unit receives a gradient of exactly "
    r"0 for $w$ and $b$, whatever the loss. While its inputs stay the same, as in a first layer, "
    r"gradient descent without momentum and weight decay leaves it dead for ever.",
    proof=True,
    given={"X": Matrix("n", "m"), "w": Vector("m"), "v": Vector("n")},
)
def dead(X: Mat, w: Vec, v: Vec) -> Outcome:
    b = -np.max(X @ w)
    for _ in range(3):
        gz = scratch.relu_vjp(v, X @ w + b)
        w, b = w - 0.1 * X.T @ gz, b - 0.1 * gz.sum()
    return All(
        Equal(X.T @ gz, 0 * w), Equal(gz.sum(), 0.0), AtMost(scratch.relu(X @ w + b), 0, tol=0.0)
    )


@refutation(
    "flow-no-vanishing",
    says=r"ReLU has no vanishing gradient: $\relu(wx + b)$ has a gradient other than 0 with "
    r"respect to $(w, b)$ wherever it is differentiable.",
    given={
        "x": Scalar(nonzero=True),
        "w": Scalar(nonzero=True),
        "b": Scalar(nonzero=True),
    },
    right="flow-dead",
)
def no_vanishing(x: float, w: float, b: float) -> Outcome:
    z = np.array([w * x + b])
    gradient = np.append(scratch.relu_derivative(z) * x, scratch.relu_derivative(z))
    return Holds(z[0] == 0 or gradient.any(), f"wx + b = {z[0]:g}, gradient {gradient.tolist()}")


@claim(
    "flow-revive",
    says=r"A dead unit of a deeper layer can come back without a gradient of its own: in $y = h + "
    r"\relu(1 - h)$, $h = \relu(a)$, from $a = 2$, gradient descent on $y^2$ moves $a$ below 1.",
)
def revive() -> Outcome:
    a, alive = np.array([2.0]), []
    for _ in range(10):
        h = scratch.relu(a)
        alive.append(bool(scratch.relu(1 - h)[0] > 0))
        gy = 2 * (h + scratch.relu(1 - h))
        gh = gy - scratch.relu_vjp(gy, 1 - h)
        a = a - 0.1 * scratch.relu_vjp(gh, a)
    return Holds(not alive[0] and alive[-1], f"alive at each step: {alive}")


def _dead_share(rate: float, seed: int) -> float:
    """Train 2-64-1 with ReLU on the moons, full batch; return the share of dead hidden units."""
    from nnbook import data

    points = data.moons(200, 0.1, seed)
    x, y = points.x, points.y.astype(float)
    rng = np.random.default_rng(seed)
    W, b = scratch.he_normal(rng, 64, 2), np.zeros(64)
    u, c = scratch.he_normal(rng, 1, 64)[0], 0.0
    for _ in range(60):
        z = x @ W.T + b
        h = scratch.relu(z)
        gap = (scratch.sigmoid(h @ u + c) - y) / len(y)
        gz = scratch.relu_vjp(np.outer(gap, u), z)
        u, c = u - rate * gap @ h, c - rate * gap.sum()
        W, b = W - rate * gz.T @ x, b - rate * gz.sum(0)
    return float((x @ W.T + b <= 0).all(0).mean())


@measured(
    "flow-large-step",
    says=r"A large step kills ReLU units: after 60 steps of gradient descent on the moons with "
    r"rate 30, the share of hidden units that are 0 on all data, less that share with rate "
    r"$0.3$.",
    band=(0.3, 1.0),
    unit="share of 64 units",
)
def large_step(seed: int) -> float:
    return _dead_share(30.0, seed) - _dead_share(0.3, seed)


# ---------------------------------------------------------------- depth


@claim(
    "flow-norm",
    says=r"In a bias-free ReLU network with independent weights, layer $l$ symmetric about 0, "
    r"without atoms and with variance $s_l^2$, a fixed input $x \ne 0$, and a gradient $v$ at the "
    r"output that is independent of the weights and has uncorrelated entries of mean 0, the "
    r"gradient at the input satisfies $\E\norm{g}^2 = \E\norm{v}^2\prod_l \frac12 n_{l-1}s_l^2$, "
    r"where $n_{l-1}$ is the number of inputs of layer $l$.",
    proof=True,
    given={
        "x": Vector(3, lo=-5, hi=5),
        "v": Vector(2),
        "s": Scalar(0.1, 3),
        "t": Scalar(0.1, 3),
    },
    cases=20,
)
def flow(x: Vec, v: Vec, s: float, t: float) -> Outcome:
    # layers 3-2-2; each entry takes few values, all of which are tried: an exact expectation.
    # Atoms do no harm as long as no z is 0, which the last digits of x and the irrational a and c
    # see to.
    x = x + np.array([0.1234567, 0.2718281, 0.3141593])
    signs = np.array(list(itertools.product((-s, s), repeat=6)))
    first = signs.reshape(-1, 1, 2, 3)
    a, c = math.sqrt(1.3), math.sqrt(0.7)
    rows = list(itertools.product((-1, 1), (-a, a, -c, c)))
    second = t * np.array(list(itertools.product(rows, repeat=2)))  # variance t^2 in every entry
    z1 = first @ x
    z2 = (second @ scratch.relu(z1)[..., None])[..., 0]
    norms = []
    for e in itertools.product((-1, 1), repeat=2):
        u1 = ((scratch.relu_derivative(z2) * v * e)[..., None, :] @ second)[..., 0, :]
        g = ((scratch.relu_derivative(z1) * u1)[..., None, :] @ first)[..., 0, :]
        norms.append((g**2).sum(-1).mean())
    return Close(np.mean(norms), 3 * s**2 / 2 * (2 * t**2 / 2) * (v @ v))


def _norm_ratio(variance: float, seed: int) -> float:
    """Return the ratio of gradient norms, input over output, through DEPTH ReLU layers."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(scale=math.sqrt(variance), size=(DEPTH, WIDTH, WIDTH))
    h, masks = rng.normal(size=WIDTH), []
    for W in weights:
        z = W @ h
        masks.append(scratch.relu_derivative(z))
        h = scratch.relu(z)
    v = g = rng.normal(size=WIDTH)
    for W, mask in zip(weights[::-1], masks[::-1], strict=True):
        g = W.T @ (mask * g)
    return float(np.linalg.norm(g) / np.linalg.norm(v))


@measured(
    "flow-he",
    says=r"Gradient norm at the input over that at the output, 20 ReLU layers of width 256, He "
    r"($s^2 = 2/256$): theory 1 for the root of the mean square.",
    band=(0.3, 2.5),
    unit="ratio",
)
def flow_he(seed: int) -> float:
    return _norm_ratio(2 / WIDTH, seed)


@measured(
    "flow-xavier",
    says=r"The same with Xavier ($s^2 = 1/256$): theory $2^{-10} \approx 0.00098$.",
    band=(3e-4, 2.5e-3),
    unit="ratio",
)
def flow_xavier(seed: int) -> float:
    return _norm_ratio(1 / WIDTH, seed)


@measured(
    "flow-half",
    says=r"The same with half of He's weights ($s^2 = 0.5/256$): theory $2^{-20} \approx "
    r"9.5\cdot10^{-7}$.",
    band=(3e-7, 2.5e-6),
    unit="ratio",
)
def flow_half(seed: int) -> float:
    return _norm_ratio(0.5 / WIDTH, seed)


@claim(
    "flow-sigmoid-chain",
    says=r"Through $L$ sigmoid layers a gradient grows at most by the factor "
    r"$\prod_l \frac14\norm{W_l}$ (spectral norms). The weights can compensate: "
    r"$z \mapsto \sigma(4z - 2)$ keeps $z = \frac12$ and has slope exactly 1 there, at any depth.",
    proof=True,
    given={"W": Matrix("n", "m"), "V": Matrix("k", "n"), "x": Vector("m")},
    cases=50,
)
def sigmoid_chain(W: Mat, V: Mat, x: Vec) -> Outcome:
    first = W @ x
    second = V @ scratch.sigmoid(first)
    inner, outer = scratch.sigmoid_derivative(first), scratch.sigmoid_derivative(second)
    jacobian = (outer[:, None] * V * inner) @ W
    z, slope = np.array([0.5]), np.ones(1)
    for _ in range(50):
        slope = slope * 4 * scratch.sigmoid_derivative(4 * z - 2)
        z = scratch.sigmoid(4 * z - 2)
    return All(
        AtMost(np.linalg.norm(jacobian, 2), np.linalg.norm(W, 2) * np.linalg.norm(V, 2) / 16),
        Equal(slope, [1.0]),
    )


@exact("flow-sigmoid-chain")
def sigmoid_chain_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    z = sp.symbols("z", real=True)
    link = 1 / (1 + sp.exp(2 - 4 * z))
    half = sp.Rational(1, 2)
    return [
        ("fixed point", link.subs(z, half) - half),
        ("slope", sp.diff(link, z).subs(z, half) - 1),
    ]


# ---------------------------------------------------------------- practice


@measured(
    "flow-compare",
    says=r"Test accuracy with GELU less that with ReLU on Fashion-MNIST (the sample of 5000, MLP "
    r"784-64-10, 4 epochs of Adam): no seed is further from 0 than the band.",
    band=(-0.04, 0.04),
    unit="difference of accuracies",
)
def compare(seed: int) -> float:
    gelu, relu = (fashion_correct(name, seed).mean() for name in ("GELU", "ReLU"))
    return float(gelu - relu)


@cache
def fashion_correct(name: str, seed: int) -> Bool[np.ndarray, " n"]:
    """Train an MLP 784-64-10 with a named activation; say which test pictures it gets right."""
    import torch

    from nnbook import data, nn, training

    train, test = data.fashion_mnist("sample")
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(784, 64), getattr(nn, name)(), nn.Linear(64, 10))
    x, x_test = (part.standardized(train).reshape(-1, 784) for part in (train, test))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loss = torch.nn.CrossEntropyLoss()
    training.fit(
        model, (x, train.y), loss=loss, optimizer=optimizer, epochs=4, batch_size=100, seed=seed
    )
    return training.predict(model, x_test) == test.y


@claim(
    "flow-cost",
    says=r"Counted in tensor operations of the form in this book, GELU costs more than ReLU, "
    r"forward and backward together. Time is another matter: it depends on the kernel and the "
    r"machine.",
)
def cost() -> Outcome:
    relu, gelu = _operations("relu"), _operations("gelu")
    return Holds(gelu > relu, f"{relu} operations for ReLU, {gelu} for GELU")


@measured(
    "flow-time",
    says="The forms of this book, which are written for reading, and those of `torch.nn`, one "
    "kernel each, on 100 000 numbers, forward: the largest ratio of the times of ours and theirs "
    "among ReLU, SiLU, sigmoid, tanh and GELU.",
    band=(0.2, 50),
    seeds=(0,),
    unit="largest ratio of times, ours over torch's",
    varies=True,
)
def activation_time(seed: int) -> float:
    import torch

    from nnbook import nn

    z = torch.randn(100_000, generator=torch.Generator().manual_seed(seed))
    names = ("ReLU", "SiLU", "Sigmoid", "Tanh", "GELU")
    return max(
        ratio_of_times(partial(getattr(nn, n)(), z), partial(getattr(torch.nn, n)(), z))
        for n in names
    )


def _operations(name: str) -> int:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from nnbook import nn

    class Count(TorchDispatchMode):
        number = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.number += 1
            return func(*args, **(kwargs or {}))

    z = torch.zeros(3, requires_grad=True)
    with Count() as count:  # type: ignore[no-untyped-call]
        y = getattr(nn, name)(z)
        torch.autograd.grad(y, z, torch.ones(3))
    return count.number


@refutation(
    "flow-weights-attribute",
    says=r"A layer is ready for training as soon as it has attributes that hold its weights.",
)
def weights_attribute() -> Outcome:
    import torch

    class Plain(torch.nn.Module):
        """A layer whose weights are tensors, not parameters."""

        def __init__(self) -> None:
            super().__init__()
            self.weights, self.bias = torch.ones(2, 3), torch.zeros(2)

    found = list(Plain().parameters())
    return Holds(
        bool(found), f"an optimizer finds {len(found)} parameters in it: nothing can be trained"
    )
