"""Claims of the topic modules: what no layer can do, and what one layer means alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from ._core import claim, exact, refutation
from ._modules_tools import Array, Table, relu
from ._outcomes import All, AtMost, Close, Holds, Outcome
from .domains import Array as Numbers
from .domains import Choice, Matrix, Scalar, Size, Vector

# ---------------------------------------------------------------- information


def _after(P: Array, f: Array) -> Array:
    """Return the joint distribution of Y and f(X) from that of Y (rows) and X (columns)."""
    joint = np.zeros_like(P)
    np.add.at(joint.T, f, P.T)
    return joint


def _information(P: Array) -> float:
    """Return I(Y; X) in nats."""
    product = P.sum(axis=1, keepdims=True) * P.sum(axis=0, keepdims=True)
    return float(special.rel_entr(P, product).sum())


@claim(
    "mod-information",
    says=r"Let $X$ and $Y$ take finitely many values and let $f$ be any deterministic module. Then "
    r"$I(Y; f(X)) \le I(Y; X)$, and no rule that sees $f(X)$ guesses $Y$ more often than the best "
    r"rule that sees $X$. Both are equalities if $f$ is injective.",
    proof=True,
    given={"m": Size(1, 6), "P": Numbers("k", "m", lo=0, hi=1, nonzero=True), "f": Table("m")},
    cases=200,
)
def information(P: Array, f: Array) -> Outcome:
    P = P / P.sum()
    Q = _after(P, f)
    parts: list[Outcome] = [
        AtMost(_information(Q), _information(P)),
        AtMost(Q.max(axis=0).sum(), P.max(axis=0).sum()),
    ]
    if len(set(f.tolist())) == len(f):
        parts.append(Close(_information(Q), _information(P)))
        parts.append(Close(Q.max(axis=0).sum(), P.max(axis=0).sum()))
    return All(*parts)


@refutation(
    "mod-useful",
    says="Each module gives a representation that is at least as useful as its input: two classes "
    r"that a threshold separates at $x$ are still separated by one at $\relu(x)$.",
    given={"a": Scalar(), "b": Scalar()},
    right="mod-information",
)
def useful(a: float, b: float) -> Outcome:
    before, after = a != b, max(a, 0.0) != max(b, 0.0)
    return Holds(after or not before, f"relu maps both to {max(a, 0.0):g}")


@claim(
    "mod-rank",
    says=r"$\rank(W_2 W_1) \le \min(\rank W_1, \rank W_2)$: a narrow or rank-deficient layer "
    r"cannot be repaired by what follows it.",
    proof=True,
    given={
        "W2": Matrix("k", "n", lo=-3, hi=3),
        "A": Matrix("n", "r", lo=-3, hi=3),
        "B": Matrix("r", "m", lo=-3, hi=3),
    },
    also=[{"W2": np.array([[1.0, 0.0]]), "A": np.array([[0.0], [1.0]]), "B": np.eye(1)}],
)
def rank(W2: Array, A: Array, B: Array) -> Outcome:
    last, first = np.rint(W2), np.rint(A) @ np.rint(B)  # whole numbers: ranks are exact
    ranks = [int(np.linalg.matrix_rank(M)) for M in (last @ first, last, first)]
    return AtMost(ranks[0], min(ranks[1:]), tol=0.0)


# ---------------------------------------------------------------- activations are no filters


@claim(
    "mod-injective",
    says=r"The logistic function $\sigma(z) = 1/(1+e^{-z})$ and $\tanh$ are injective: "
    r"$z = \log\frac{\sigma(z)}{1-\sigma(z)}$ and $z = \frac12\log\frac{1+\tanh z}{1-\tanh z}$.",
    proof=True,
    given={"z": Scalar(-5, 5)},
)
def injective(z: float) -> Outcome:
    s, t = special.expit(z), np.tanh(z)
    return All(Close(np.log(s / (1 - s)), z), Close(0.5 * np.log((1 + t) / (1 - t)), z))


@exact("mod-injective")
def injective_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    u = sp.Symbol("u", positive=True)  # u = exp(z)
    s, t = u / (u + 1), (u - 1 / u) / (u + 1 / u)
    return [("logistic", s / (1 - s) - u), ("tanh", (1 + t) / (1 - t) - u**2)]


@refutation(
    "mod-filter",
    says="An activation is a filter that removes something: from what it lets through, its input "
    "cannot be computed any more.",
    given={"name": Choice(("sigmoid", "tanh")), "z": Scalar(-5, 5, nonzero=True)},
    right="mod-injective",
)
def is_filter(name: str, z: float) -> Outcome:
    forward = {"sigmoid": special.expit, "tanh": np.tanh}[name]
    back = {"sigmoid": special.logit, "tanh": np.arctanh}[name]
    again = float(back(forward(z)))
    return Holds(abs(again - z) > 1e-9, f"the inverse function gives back {again + 0.0:g}")


@claim(
    "mod-relu-noise",
    says=r"For noise $N$ that is normal with mean 0 and deviation $s$: $\E \relu(N) = "
    r"s/\sqrt{2\pi}$ and $\Var \relu(N) = s^2\left(\frac12 - \frac1{2\pi}\right)$. ReLU turns "
    r"noise into smaller noise with a bias; it does not remove it.",
    proof=True,
    given={"s": Scalar(0.01, 10)},
)
def relu_noise(s: float) -> Outcome:
    edge, weight = np.polynomial.legendre.leggauss(80)
    t = 6.0 * (edge + 1)  # the normal density is below 1e-31 beyond 12
    density = 6.0 * weight * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    mean = s * (t * density).sum()
    variance = s**2 * (t**2 * density).sum() - mean**2
    return All(Close(mean, s / np.sqrt(2 * np.pi)), Close(variance, s**2 * (0.5 - 1 / (2 * np.pi))))


@exact("mod-relu-noise")
def relu_noise_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    t, s = sp.symbols("t s", positive=True)
    density = sp.exp(-(t**2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi))
    mean, square = (sp.integrate(t**k * density, (t, 0, sp.oo)) for k in (1, 2))
    wanted = s**2 * (sp.Rational(1, 2) - 1 / (2 * sp.pi))
    return [("mean", mean - s / sp.sqrt(2 * sp.pi)), ("variance", square - mean**2 - wanted)]


# ---------------------------------------------------------------- one module does not stand alone


def network(x: Array, W1: Array, b1: Array, W2: Array) -> Array:
    """Return W2 relu(W1 x + b1)."""
    return W2 @ relu(W1 @ x + b1)


@claim(
    "mod-symmetry",
    says=r"Let $P$ be a permutation matrix and $D$ diagonal with positive entries. The network "
    r"with $W_1' = DPW_1$, $b_1' = DPb_1$, $W_2' = W_2 P^\top D^{-1}$ computes the same function: "
    r"$W_2' \relu(W_1' x + b_1') = W_2 \relu(W_1 x + b_1)$ for every $x$. With $D = I$ this holds "
    r"for every elementwise activation.",
    proof=True,
    given={
        "x": Vector("m"),
        "W1": Matrix("h", "m"),
        "b1": Vector("h"),
        "W2": Matrix("k", "h"),
        "d": Vector("h", lo=0.01, hi=10),
        "order": Vector("h"),
    },
)
def symmetry(x: Array, W1: Array, b1: Array, W2: Array, d: Array, order: Array) -> Outcome:
    P = np.eye(len(d))[np.argsort(order)]
    D = np.diag(d)
    scaled = network(x, D @ P @ W1, D @ P @ b1, W2 @ P.T / d)
    permuted = (W2 @ P.T) @ np.tanh(P @ W1 @ x + P @ b1)
    return All(Close(scaled, network(x, W1, b1, W2)), Close(permuted, W2 @ np.tanh(W1 @ x + b1)))


@exact("mod-symmetry")
def symmetry_exact() -> list[tuple[str, Any]]:
    import sympy as sp

    def at(name: str, rows: int, columns: int) -> Any:
        return sp.Matrix(rows, columns, sp.symbols(f"{name}:{rows * columns}", real=True))

    x, W1, b1, W2 = at("x", 2, 1), at("w", 2, 2), at("b", 2, 1), at("v", 1, 2)
    D = sp.diag(*sp.symbols("d:2", positive=True))
    P, sigma = sp.Matrix([[0, 1], [1, 0]]), sp.Function("sigma")

    def net(f: Any, W1: Any, b1: Any, W2: Any) -> Any:
        return (W2 * sp.expand(W1 * x + b1).applyfunc(f))[0]

    def positive_part(t: Any) -> Any:
        return (t + sp.Abs(sp.factor(t))) / 2

    scaled = net(positive_part, D * W1, D * b1, W2 * D.inv())
    permuted = net(sigma, P * W1, P * b1, W2 * P.T)
    return [
        ("scaling, two hidden units", scaled - net(positive_part, W1, b1, W2)),
        ("swap, two hidden units, any activation", permuted - net(sigma, W1, b1, W2)),
    ]


@refutation(
    "mod-unique",
    says="Each module can be understood on its own: two networks of the same shape that compute "
    "the same function have the same first weight matrix.",
    given={"W1": Matrix("h", 1, nonzero=True), "W2": Matrix(1, "h", nonzero=True)},
    right="mod-symmetry",
)
def unique(W1: Array, W2: Array) -> Outcome:
    twin, b1 = (2 * W1, W2 / 2), np.zeros(len(W1))
    points = np.linspace(-3, 3, 25)[:, None]
    same = all(
        np.allclose(network(x, W1, b1, W2), network(x, twin[0], b1, twin[1])) for x in points
    )
    return Holds(
        not same or np.array_equal(W1, twin[0]),
        f"the first weights {twin[0].tolist()} with the second {twin[1].tolist()} give the same "
        "outputs",
    )
