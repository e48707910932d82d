"""Claims of the topic scalefree: what gradient descent does to weights before a layer norm.

Which changes of the weights have no effect, and what was measured in training, have files of their
own, which this one loads at its end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import All, Close, Outcome, claim, exact
from nnbook.claims.domains import Domain, Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import Array, Identities, ln_symbolic, symbols
from nnbook.scratch import layer_norm, layer_norm_vjp, mm, mm_vjp

# an affine map, b = out - Wz, and a target y for the loss ½‖γ LN-S(Wz + b) - y‖²
LOSS: dict[str, Domain] = {"n": Size(3, 6), "W": Matrix("n", "m"), "z": Vector("m")}
LOSS |= {"out": Vector("n", nonconstant=True), "gamma": Vector("n", lo=-2, hi=2)}
LOSS |= {"y": Vector("n", lo=-2, hi=2)}


def gradient(
    W: Array, b: Array, z: Array, gamma: Array, y: Array, eps: float = 0.0
) -> tuple[Array, Array]:
    """Return the gradients at W and b of ½‖γ LN-S(Wz + b) - y‖²."""
    out = mm(z, W, b)
    v = layer_norm(out, gamma, eps=eps) - y
    _, at_W, at_b = mm_vjp(layer_norm_vjp(v, out, gamma, eps=eps)[0], z, W, b)
    return at_W, at_b


@claim(
    "sf-euler",
    says=r"If $L$ is differentiable at $(W, b)$ and depends on it only through "
    r"$\LN(\MM_{W,b}(\cdot))$ with $\varepsilon = 0$, then "
    r"$\langle W, \nabla_W L \rangle + \langle b, \nabla_b L \rangle = 0$ and "
    r"$\nabla L(aW, ab) = \frac1a \nabla L(W, b)$ for every $a > 0$.",
    proof=True,
    given={**LOSS, "a": Scalar(0.1, 10)},
)
def euler(W: Array, z: Array, out: Array, gamma: Array, y: Array, a: float) -> Outcome:
    b = out - W @ z
    at_W, at_b = gradient(W, b, z, gamma, y)
    scaled_W, scaled_b = gradient(a * W, a * b, z, gamma, y)
    size = np.linalg.norm(W) * np.linalg.norm(at_W) + np.linalg.norm(b) * np.linalg.norm(at_b) + 1
    radial = np.vdot(W, at_W) + np.vdot(b, at_b)
    return All(Close(radial / size, 0.0), Close(a * scaled_W, at_W), Close(a * scaled_b, at_b))


def example() -> tuple[Any, Any]:
    """Return the gradient of L(w) = LN-S(w)₁ for three outputs, the input 1 and b = 0, and w."""
    theta = symbols("w", 3)
    return ln_symbolic(theta)[:1, :].jacobian(theta).T, theta


NAME = "L = LN-S(w)₁, n = 3"


@exact("sf-euler")
def euler_exact() -> Identities:
    import sympy

    a = sympy.Symbol("a", positive=True)
    grad, theta = example()
    scaled = grad.subs({t: a * t for t in theta}, simultaneous=True)
    return [(f"orthogonal, {NAME}", theta.dot(grad)), (f"scaled, {NAME}", a * scaled - grad)]


def descend(
    W: Array, b: Array, rate: float, steps: int, data: tuple[Array, Array, Array]
) -> list[tuple[Array, Array]]:
    """Return (W, b) before and after each step of gradient descent."""
    path = [(W, b)]
    for _ in range(steps):
        at_W, at_b = gradient(W, b, *data)
        W, b = W - rate * at_W, b - rate * at_b
        path.append((W, b))
    return path


def square(W: Array, b: Array) -> float:
    """Return the square of the length of (W, b)."""
    return float((W**2).sum() + (b**2).sum())


@claim(
    "sf-growth",
    says=r"If $L(a\theta) = L(\theta)$ for every $a > 0$, a step of gradient descent without "
    r"weight decay gives "
    r"$\norm{\theta_{t+1}}^2 = \norm{\theta_t}^2 + \eta^2 \norm{g_t}^2$ with "
    r"$\theta = (W, b)$: the weights never get shorter.",
    proof=True,
    given={**LOSS, "eta": Scalar(0.01, 10)},
)
def growth(W: Array, z: Array, out: Array, gamma: Array, y: Array, eta: float) -> Outcome:
    b = out - W @ z
    at = gradient(W, b, z, gamma, y)
    (_, after) = descend(W, b, eta, 1, (z, gamma, y))
    want = square(W, b) + eta**2 * square(*at)
    return Close(square(*after) / want, 1.0)


@exact("sf-growth")
def growth_exact() -> Identities:
    import sympy

    eta = sympy.Symbol("eta", positive=True)
    grad, theta = example()
    after = theta - eta * grad
    return [(NAME, after.dot(after) - theta.dot(theta) - eta**2 * grad.dot(grad))]


@claim(
    "sf-rate",
    says=r"If $L(a\theta) = L(\theta)$ for every $a > 0$, gradient descent from $a\theta_0$ with "
    r"learning rate $a^2\eta$ gives $a\theta_t$, where $\theta_t$ is what it gives from $\theta_0$ "
    r"with $\eta$. The directions of the $\theta_t$ depend on that of $\theta_0$ and on "
    r"$\eta / \norm{\theta_0}^2$ only.",
    proof=True,
    given={**LOSS, "a": Scalar(0.1, 10), "eta": Scalar(0.01, 1)},
)
def rate(W: Array, z: Array, out: Array, gamma: Array, y: Array, a: float, eta: float) -> Outcome:
    b = out - W @ z
    plain = descend(W, b, eta, 3, (z, gamma, y))
    scaled = descend(a * W, a * b, a**2 * eta, 3, (z, gamma, y))
    return All(
        *(
            Close(
                np.concatenate([p.ravel() for p in s]) / a, np.concatenate([p.ravel() for p in t])
            )
            for s, t in zip(scaled, plain, strict=True)
        )
    )


@exact("sf-rate")
def rate_exact() -> Identities:
    import sympy

    a, eta = sympy.symbols("a eta", positive=True)
    grad, theta = example()
    scaled = grad.subs({t: a * t for t in theta}, simultaneous=True)
    step = a * theta - a**2 * eta * scaled
    return [(f"one step, {NAME}", step - a * (theta - eta * grad))]


@claim(
    "sf-depth",
    says=r"Without normalization and biases, $f_W(z) = W_3 \relu(W_2 \relu(W_1 z))$ has "
    r"$f_{aW}(z) = a^3 f_W(z)$ for $a > 0$; with $L$ layers the factor is $a^L$.",
    proof=True,
    given={
        "W": Matrix(3, "m"),
        "V": Matrix(3, 3),
        "U": Matrix(3, 3),
        "z": Vector("m"),
        "a": Scalar(0.1, 10),
    },
)
def depth(W: Array, V: Array, U: Array, z: Array, a: float) -> Outcome:
    def net(a: float) -> Array:
        hidden = np.maximum(mm(z, a * W), 0)
        return mm(np.maximum(mm(hidden, a * V), 0), a * U)

    return Close(net(a) / a**3, net(1.0))


from nnbook.claims import _scalefree_weights  # noqa: E402
from nnbook.claims._scalefree_trained import (  # noqa: E402
    RATES,
    accuracy_after,
    gradient_size,
    network,
    pictures,
)

__all__ = [
    "RATES",
    "_scalefree_weights",
    "accuracy_after",
    "gradient_size",
    "network",
    "pictures",
]
