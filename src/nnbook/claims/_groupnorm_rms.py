"""Claims of the topic groupnorm: RMS normalization, and what instance norm throws away."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Close, Outcome, claim, exact, measured, refutation
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
    "gn-rms-scale",
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


@exact("gn-rms-scale")
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


@refutation(
    "gn-rms-shift-source",
    says=r"RMS normalization, a simpler layer normalization, ignores shifts: "
    r"$\operatorname{RMS}(z + c\mathbf{1}) = \operatorname{RMS}(z)$.",
    given={"z": Vector(2, 6, nonconstant=True), "c": Scalar()},
    right="gn-rms-centred",
)
def rms_shift(z: Array, c: float) -> Outcome:
    return Close(rms_norm(z + c), rms_norm(z))


@claim(
    "gn-rms-centred",
    says=r"RMS normalization of the centred input is layer normalization: "
    r"$\operatorname{RMS}_\varepsilon(z - \hat\mu\mathbf{1}) = \LNS_\varepsilon(z)$. The two agree "
    r"on $z$ itself, for $\varepsilon > 0$, only if the mean of $z$ is 0.",
    proof=True,
    given={"z": Vector(1, 12), "eps": EPS},
)
def rms_centred(z: Array, eps: float) -> Outcome:
    same = Close(rms_norm(z - z.mean(), eps=eps), ln_s(z, eps))
    # the outputs have different means when the mean of z is not 0
    gap = rms_norm(z, eps=eps).mean() - ln_s(z, eps).mean()
    root = np.sqrt((z**2).mean() + eps)
    return All(same, Close(gap, z.mean() / root))


@exact("gn-rms-centred")
def rms_centred_exact() -> Identities:
    import sympy

    eps = sympy.Symbol("epsilon", positive=True)
    z = symbols("z", 3)
    centred = z - sum(z) / sympy.Integer(3) * sympy.ones(3, 1)
    return [("m = 3", rms_symbolic(centred, eps) - ln_symbolic(z, eps))]


@claim(
    "gn-rms-mixture",
    says=r"For $z$ not constant, $\operatorname{RMS}(z) = \cos\theta\, \LNS(z) + \sin\theta\, "
    r"\mathbf{1}$ with $\tan\theta = \hat\mu / \hat\sigma$: the larger the mean against the "
    r"deviation, the closer the output is to $\pm\mathbf{1}$, whatever $z$ is otherwise.",
    proof=True,
    given={"z": Vector(2, 12, nonconstant=True)},
)
def rms_mixture(z: Array) -> Outcome:
    theta = np.arctan2(z.mean(), z.std())
    return Close(rms_norm(z, eps=0.0), np.cos(theta) * ln_s(z) + np.sin(theta))


@exact("gn-rms-mixture")
def rms_mixture_exact() -> Identities:
    import sympy

    z = symbols("z", 3)
    mean = sum(z) / sympy.Integer(3)
    var = sympy.factor(sum((t - mean) ** 2 for t in z) / 3)
    mixed = (sympy.sqrt(var) * ln_symbolic(z) + mean * sympy.ones(3, 1)) / sympy.sqrt(var + mean**2)
    return [("m = 3", mixed - rms_symbolic(z))]


@claim(
    "gn-rms-backward",
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


@exact("gn-rms-backward")
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


@cache
def pooled_accuracy(norm: str, seed: int) -> float:
    """Train convolution, ReLU, normalization, global average, linear; return the test accuracy."""
    import torch

    from nnbook import data, nn, training

    train, test = data.fashion_mnist("sample")
    few = train.take(slice(0, 1000))
    x, z = (
        torch.nn.functional.avg_pool2d(torch.as_tensor(part.standardized(few))[:, None], 2)
        for part in (few, test)
    )
    middle: torch.nn.Module = nn.GroupNorm(2, 16)
    if norm == "instance":
        middle = nn.InstanceNorm2d(16, affine=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            torch.nn.Conv2d(1, 16, 3),
            nn.ReLU(),
            middle,
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            nn.Linear(16, 10),
        )
    training.fit(
        model,
        (x, torch.as_tensor(few.y)),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(model.parameters(), 0.02),
        epochs=4,
        batch_size=50,
        seed=seed,
    )
    metrics = {"accuracy": training.accuracy}
    return training.evaluate(model, (z, torch.as_tensor(test.y)), metrics=metrics)["accuracy"]


@measured(
    "gn-pooled",
    says="A net that averages each map right after group normalization (two groups of eight "
    "channels) learns to recognise clothes: its accuracy on the test sample of Fashion-MNIST "
    "after four epochs on 1000 pictures.",
    band=(0.35, 0.85),
    unit="accuracy",
)
def pooled_group(seed: int) -> float:
    return pooled_accuracy("group", seed)


@claim(
    "gn-pooled-instance",
    says="The same net with instance normalization in that place learns nothing: its accuracy is "
    "at most 0.15 for each of three seeds, where one class in ten is right by chance.",
)
def pooled_instance() -> Outcome:
    return AtMost(max(pooled_accuracy("instance", seed) for seed in range(3)), 0.15)
