"""Claims of the topic rmsnorm: what is ignored where no mean is taken off, and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.claims import All, Close, Outcome, claim, exact
from nnbook.claims._layernorm_module import complex_jacobian
from nnbook.claims.domains import Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import A, Array, Identities, ln_symbolic, symbols
from nnbook.scratch import ln_s, rms_norm, rms_norm_vjp

EPS = Scalar(1e-4, 1)
NONZERO = Vector(1, 12, nonzero=True)


def rms_symbolic(z: Any, eps: Any = 0) -> Any:
    """Write the normalized part of RMS normalization with symbols."""
    import sympy

    return z / sympy.sqrt(sum(t**2 for t in z) / len(z) + eps)


@claim(
    "rms-scale",
    says=r"$\operatorname{RMS}_\varepsilon(az) = \operatorname{sign}(a)\, "
    r"\operatorname{RMS}_{\varepsilon/a^2}(z)$ for $a \ne 0$; for $\varepsilon = 0$ and "
    r"$z \ne 0$ only the sign of $a$ is left, and the output has the length $\sqrt m$.",
    proof=True,
    given={"z": NONZERO, "a": A, "eps": EPS},
)
def rms_scale(z: Array, a: float, eps: float) -> Outcome:
    return All(
        Close(rms_norm(a * z, eps=eps), np.sign(a) * rms_norm(z, eps=eps / a**2)),
        Close(rms_norm(a * z, eps=0.0), np.sign(a) * rms_norm(z, eps=0.0)),
        Close(np.linalg.norm(rms_norm(z, eps=0.0)), np.sqrt(len(z))),
    )


@exact("rms-scale")
def rms_scale_exact() -> Identities:
    import sympy

    a, eps = sympy.symbols("a epsilon", positive=True)
    z = symbols("z", 3)
    other = rms_symbolic(z, eps / a**2)
    return [
        ("m = 3, a > 0", rms_symbolic(a * z, eps) - other),
        ("m = 3, a < 0", rms_symbolic(-a * z, eps) + other),
        ("square of the length, m = 3", sum(t**2 for t in rms_symbolic(z)) - 3),
    ]


@claim(
    "rms-centred",
    says=r"RMS normalization of the centred input is layer normalization: "
    r"$\operatorname{RMS}_\varepsilon(z - \hat\mu\mathbf{1}) = \LNS_\varepsilon(z)$. The two agree "
    r"on $z$ itself, for $\varepsilon > 0$, if and only if the mean of $z$ is 0.",
    proof=True,
    given={"z": Vector(1, 12), "eps": EPS},
)
def rms_centred(z: Array, eps: float) -> Outcome:
    same = Close(rms_norm(z - z.mean(), eps=eps), ln_s(z, eps))
    # the outputs have different means when the mean of z is not 0
    gap = rms_norm(z, eps=eps).mean() - ln_s(z, eps).mean()
    root = np.sqrt((z**2).mean() + eps)
    return All(same, Close(gap, z.mean() / root))


@exact("rms-centred")
def rms_centred_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    z = symbols("z", 3)
    centred = z - sum(z) / sympy.Integer(3) * sympy.ones(3, 1)
    return [("m = 3", rms_symbolic(centred, eps) - ln_symbolic(z, eps))]


@claim(
    "rms-mixture",
    says=r"For $z$ not constant, $\operatorname{RMS}(z) = \cos\theta\, \LNS(z) + \sin\theta\, "
    r"\mathbf{1}$ with $\tan\theta = \hat\mu / \hat\sigma$: the larger the mean against the "
    r"deviation, the closer the output is to $\pm\mathbf{1}$, whatever $z$ is otherwise.",
    proof=True,
    given={"z": Vector(2, 12, nonconstant=True)},
)
def rms_mixture(z: Array) -> Outcome:
    theta = np.arctan2(z.mean(), z.std())
    return Close(rms_norm(z, eps=0.0), np.cos(theta) * ln_s(z) + np.sin(theta))


@exact("rms-mixture")
def rms_mixture_exact() -> Identities:
    import sympy

    z = symbols("z", 3)
    mean = sum(z) / sympy.Integer(3)
    var = sympy.factor(sum((t - mean) ** 2 for t in z) / 3)
    mixed = (sympy.sqrt(var) * ln_symbolic(z) + mean * sympy.ones(3, 1)) / sympy.sqrt(var + mean**2)
    return [("m = 3", mixed - rms_symbolic(z))]


@claim(
    "rms-alike",
    says=r"Let $z$ and $z'$ not be constant. The cosine of the angle between "
    r"$\operatorname{RMS}(z)$ and $\operatorname{RMS}(z')$ is $\varrho \cos\theta \cos\theta' + "
    r"\sin\theta \sin\theta'$, with $\tan\theta = \hat\mu / \hat\sigma$ and $\varrho$ the "
    "correlation.",
    proof=True,
    given={
        "m": Size(2, 12),
        "z": Vector("m", nonconstant=True),
        "w": Vector("m", nonconstant=True),
    },
)
def alike(z: Array, w: Array) -> Outcome:
    u, v = rms_norm(z, eps=0.0), rms_norm(w, eps=0.0)
    cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
    a, b = (np.arctan2(t.mean(), t.std()) for t in (z, w))
    correlation = np.corrcoef(z, w)[0, 1]
    return Close(cosine, correlation * np.cos(a) * np.cos(b) + np.sin(a) * np.sin(b))


@claim(
    "rms-backward",
    says=r"With $v$ the gradient at $y = \gamma \odot u$, $u = \operatorname{RMS}_\varepsilon(x)$, "
    r"$r$ the number that $x$ is divided by and $q = \gamma \odot v$: the gradient at $x$ is "
    r"$\frac1r (q - u\,\overline{q u})$, and at $\gamma$ it is $\sum v \odot u$ over the samples.",
    proof=True,
    given={
        "m": Size(1, 6),
        "x": Matrix("B", "m"),
        "v": Matrix("B", "m"),
        "gamma": Vector("m"),
        "eps": Scalar(0.001, 1),
    },
)
def rms_backward(x: Array, v: Array, gamma: Array, eps: float) -> Outcome:
    at_x, at_gamma = rms_norm_vjp(v, x, gamma, eps=eps)

    def f(z: Any) -> Any:
        return z / np.sqrt((z * z).mean() + eps)

    want = [complex_jacobian(f, z).T @ (gamma * w) for z, w in zip(x, v, strict=True)]
    units = [np.vdot(v, rms_norm(x, e, eps=eps)) for e in np.eye(x.shape[1])]
    return All(Close(at_x, np.stack(want)), Close(at_gamma, units))


@exact("rms-backward")
def rms_backward_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    found: Identities = []
    for m in (2, 3):
        x, q = symbols("x", m), symbols("q", m)
        u = rms_symbolic(x, eps)
        root = sympy.sqrt(sum(t**2 for t in x) / m + eps)
        grad = (q - q.dot(u) / m * u) / root
        found.append((f"m = {m}", sympy.Matrix([q.dot(u)]).jacobian(x).T - grad))
    return found
