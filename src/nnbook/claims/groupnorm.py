"""Claims of the topic groupnorm: which numbers share one statistic, and what that ignores.

What is measured has a file of its own, loaded at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook.claims import All, Close, Equal, Holds, Outcome, claim, exact, refutation
from nnbook.claims._layernorm_module import complex_jacobian
from nnbook.claims.domains import Array as Maps
from nnbook.claims.domains import Domain, Scalar, Size, Vector
from nnbook.claims.layernorm import Array, Identities, ln_symbolic, symbols
from nnbook.scratch import group_norm, group_norm_vjp, instance_norm, layer_norm

# maps of n samples, G groups of k channels, s positions; gamma and beta for the G k channels
X = Maps("n", "G", "k", "s")
SIZES: dict[str, Domain] = {"n": Size(1, 3), "G": Size(1, 3), "k": Size(1, 3), "s": Size(1, 4)}
AFFINE: dict[str, Domain] = {"gamma": Maps("G", "k", lo=-3, hi=3), "beta": Maps("G", "k")}
EPS = Scalar(1e-4, 1)


def maps(x: Array) -> tuple[Array, int]:
    """Return x of axes n, G, k, s as maps n, c, s, and the number of groups."""
    n, groups, k, s = x.shape
    return x.reshape(n, groups * k, s), groups


def varied(x: Array) -> Array:
    """Make every group and every channel vary: one number of each is moved far away."""
    x = x.copy()
    x[..., 0, 0] += 30.0
    x[..., 0] += 50.0
    return x


@claim(
    "gn-definition",
    says=r"`group_norm` gives each entry of group $g$ of sample $n$ the value "
    r"$\beta_c + \gamma_c (x_{ncp} - \mu_{ng}) / \sqrt{\sigma_{ng}^2 + \varepsilon}$, with mean "
    r"and biased variance over the $\tfrac{C}{G} S$ numbers of that sample and that group, and no "
    "others.",
    given={**SIZES, "x": X, **AFFINE, "eps": EPS},
)
def definition(x: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    want = np.empty_like(x)
    for n in range(x.shape[0]):
        for g in range(x.shape[1]):
            numbers = [float(t) for t in x[n, g].ravel()]
            mu = sum(numbers) / len(numbers)
            var = sum((t - mu) ** 2 for t in numbers) / len(numbers)
            u = (x[n, g] - mu) / (var + eps) ** 0.5
            want[n, g] = beta[g][:, None] + gamma[g][:, None] * u
    z, groups = maps(x)
    got = group_norm(z, gamma.ravel(), beta.ravel(), groups=groups, eps=eps)
    return Close(got.reshape(x.shape), want)


@claim(
    "gn-layer",
    says=r"With one group, $\operatorname{GN}$ is the layer normalization over channels and "
    r"positions together whose scale and shift do not depend on the position.",
    proof=True,
    given={**SIZES, "x": X, **AFFINE, "eps": EPS},
)
def one_group(x: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    z, _ = maps(x)
    spread = [np.repeat(a.reshape(-1, 1), z.shape[2], axis=1) for a in (gamma, beta)]
    got = group_norm(z, gamma.ravel(), beta.ravel(), groups=1, eps=eps)
    return Close(got, layer_norm(z, *spread, eps=eps))


@refutation(
    "gn-layer-source",
    says="With one group, group normalization is layer normalization over the channels, as in a "
    "transformer: at each position alone.",
    given={**SIZES, "k": Size(2, 3), "x": Maps("n", "G", "k", "s", lo=-3, hi=3)},
    right="gn-layer",
)
def over_channels(x: Array) -> Outcome:
    z, _ = maps(x)
    return Close(group_norm(z, groups=1), layer_norm(z.swapaxes(1, 2)).swapaxes(1, 2))


@claim(
    "gn-instance",
    says="With as many groups as channels, group normalization is instance normalization: "
    "each channel of each sample is normalized alone.",
    proof=True,
    given={**SIZES, "s": Size(2, 4), "x": X, **AFFINE, "eps": EPS},
)
def every_channel(x: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    z, _ = maps(x)
    gamma, beta = gamma.ravel(), beta.ravel()
    alone = np.stack([[layer_norm(row, eps=eps) for row in sample] for sample in z])
    want = beta[:, None] + gamma[:, None] * alone
    return All(
        Close(group_norm(z, gamma, beta, groups=z.shape[1], eps=eps), want),
        Close(instance_norm(z, gamma, beta, eps=eps), want),
    )


@claim(
    "gn-samples",
    says="Group and instance normalization treat each sample alone: what else is in the batch "
    "plays no part, bit for bit.",
    given={**SIZES, "s": Size(2, 4), "x": X, **AFFINE},
)
def samples(x: Array, gamma: Array, beta: Array) -> Outcome:
    z, groups = maps(x)
    a = gamma.ravel(), beta.ravel()
    alone = np.concatenate([group_norm(one[None], *a, groups=groups) for one in z])
    instance = np.concatenate([instance_norm(one[None], *a) for one in z])
    return All(
        Equal(group_norm(z, *a, groups=groups), alone), Equal(instance_norm(z, *a), instance)
    )


@claim(
    "gn-laws",
    says=r"Let no group be constant and $\varepsilon = 0$. Multiplying group $g$ of sample $n$ by "
    r"$a_{ng} \ne 0$ and adding $c_{ng}$ to it multiplies the normalized group by "
    r"$\operatorname{sign}(a_{ng})$, and changes no other group.",
    proof=True,
    given={
        **SIZES,
        "s": Size(2, 4),
        "x": X,
        "a": Maps("n", "G", lo=-5, hi=5),
        "c": Maps("n", "G", lo=-100, hi=100),
    },
)
def laws(x: Array, a: Array, c: Array) -> Outcome:
    x = varied(x)  # no group is constant
    a = np.where(np.abs(a) < 0.01, 0.5, a)
    changed, groups = maps(a[..., None, None] * x + c[..., None, None])
    got = group_norm(changed, groups=groups, eps=0.0).reshape(x.shape)
    plain = group_norm(maps(x)[0], groups=groups, eps=0.0).reshape(x.shape)
    return Close(got, np.sign(a)[..., None, None] * plain)


@claim(
    "gn-bias",
    says=r"Adding $b_c$ to every position of channel $c$ leaves the output as it is for every "
    r"input if and only if $b$ is constant in each group, where no $\gamma_c$ is 0. So a bias "
    "before groups of two channels or more is not void; before instance normalization it is.",
    proof=True,
    given={**SIZES, "x": X, "b": Maps("G", "k"), **AFFINE, "eps": EPS},
)
def bias(x: Array, b: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    z, groups = maps(x)
    gamma, beta = np.where(np.abs(gamma) < 0.1, 1.0, gamma).ravel(), beta.ravel()
    shared = np.repeat(b[:, :1], b.shape[1], axis=1)  # the same number in a whole group

    def after(z: Array, b: Array) -> Array:
        return group_norm(z + b.reshape(-1, 1), gamma, beta, groups=groups, eps=eps)

    kept = Close(after(z, shared), after(z, 0 * b), 1e-8)
    # where b is not constant, the input 0 shows it: its output is beta without the bias
    seen = np.abs(after(0 * z, b) - beta[:, None]).max() > 1e-9
    return All(kept, Holds(seen == bool((np.ptp(b, axis=1) > 0).any()), f"b = {b}: {seen}"))


@refutation(
    "gn-bias-source",
    says="A bias per channel directly before a normalization is cancelled by it; so it is before "
    r"group normalization with fewer groups than channels, here $\varepsilon = 10^{-5}$.",
    given={"x": Maps(1, 2, 2, lo=-3, hi=3), "b": Vector(2)},
    right="gn-bias",
)
def bias_source(x: Array, b: Array) -> Outcome:
    return Close(group_norm(x + b[:, None], groups=1), group_norm(x, groups=1), 1e-6)


@claim(
    "gn-contrast",
    says=r"After instance normalization the mean of channel $c$ over the positions is $\beta_c$ "
    r"for every input, and for $\varepsilon = 0$ and no channel constant its deviation is "
    r"$\lvert \gamma_c \rvert$. So the global average of the maps is $\beta$, whatever the picture "
    "shows.",
    proof=True,
    given={**SIZES, "s": Size(2, 4), "x": X, **AFFINE, "eps": EPS},
)
def contrast(x: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    z, _ = maps(varied(x))
    gamma, beta = gamma.ravel(), beta.ravel()
    pooled = instance_norm(z, gamma, beta, eps=eps).mean(axis=2)
    spread = instance_norm(z, gamma, beta, eps=0.0).std(axis=2)
    same = np.ones((len(z), 1))
    return All(Close(pooled, same * beta), Close(spread, same * np.abs(gamma)))


@claim(
    "gn-one",
    says=r"A group that holds one number gives $\beta$ for every input and every "
    r"$\varepsilon > 0$, and the gradient at its input is 0.",
    proof=True,
    given={
        "n": Size(1, 3),
        "c": Size(1, 4),
        "x": Maps("n", "c"),
        "v": Maps("n", "c"),
        "gamma": Vector("c"),
        "beta": Vector("c"),
        "eps": EPS,
    },
)
def one_number(x: Array, v: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    groups = x.shape[1]
    y = group_norm(x, gamma, beta, groups=groups, eps=eps)
    at_x = group_norm_vjp(v, x, gamma, beta, groups=groups, eps=eps)[0]
    return All(Close(y, np.tile(beta, (len(x), 1))), Close(at_x, 0 * x))


@claim(
    "gn-two",
    says=r"Of a group of two numbers $a$ and $b$ nothing is left but which is larger: for "
    r"$\varepsilon = 0$ and $a \ne b$ it becomes $\pm 1$. With $\varepsilon > 0$ the first becomes "
    r"$d / \sqrt{d^2 + 4\varepsilon}$ with $d = a - b$.",
    proof=True,
    given={"a": Scalar(), "b": Scalar(), "eps": EPS},
)
def two_numbers(a: float, b: float, eps: float) -> Outcome:
    pair, d = np.array([[a, b]]), a - b
    got = group_norm(pair, groups=1, eps=eps)[0]
    found = [Close(got, np.array([1, -1]) * d / np.sqrt(d**2 + 4 * eps))]
    if abs(d) > 1e-3:
        found.append(Close(group_norm(pair, groups=1, eps=0.0)[0], np.sign([d, -d])))
    return All(*found)


@exact("gn-two")
def two_exact() -> Identities:
    import sympy

    z, eps = symbols("z", 2), sympy.Symbol("epsilon", positive=True)
    d = z[0] - z[1]
    want = d / sympy.sqrt(d**2 + 4 * eps)
    return [("the first of two", ln_symbolic(z, eps)[0] - want)]


@claim(
    "gn-eps",
    says=r"$\operatorname{GN}$, instance and layer normalization all have $\varepsilon$, and in "
    r"all of them $u_\varepsilon(ax) = \operatorname{sign}(a)\, u_{\varepsilon/a^2}(x)$ for "
    r"$a \ne 0$, and a constant group gives $\beta$.",
    proof=True,
    given={
        **SIZES,
        "s": Size(2, 4),
        "x": X,
        "a": Scalar(-5, 5, nonzero=True),
        **AFFINE,
        "eps": EPS,
    },
)
def eps_everywhere(x: Array, a: float, gamma: Array, beta: Array, eps: float) -> Outcome:
    z, groups = maps(x)
    gamma, beta = gamma.ravel(), beta.ravel()
    constant, everywhere = 0 * z + a, 0 * z + beta[:, None]

    def by_group(z: Array, *, eps: float) -> Array:
        return group_norm(z, groups=groups, eps=eps)

    norms: tuple[Callable[..., Array], ...] = (by_group, instance_norm, layer_norm)
    found = []
    for norm in norms:
        found.append(Close(norm(a * z, eps=eps), np.sign(a) * norm(z, eps=eps / a**2)))
        found.append(Close(norm(constant, eps=eps), 0 * z))
    for got in (
        group_norm(constant, gamma, beta, groups=groups, eps=eps),
        instance_norm(constant, gamma, beta, eps=eps),
        layer_norm(constant, 0 * everywhere[0] + gamma[:, None], everywhere[0], eps=eps),
    ):
        found.append(Close(got, everywhere))
    return All(*found)


@claim(
    "gn-backward",
    says=r"With $v$ the gradient at $y = \operatorname{GN}(x)$ and $q_{ncp} = \gamma_c v_{ncp}$: "
    r"the gradient at a group of $x$ is $\frac1s (q - \overline{q} - u\,\overline{q u})$ with "
    r"means over the group, at $\gamma_c$ it is $\sum_{n,p} v_{ncp} u_{ncp}$ and at $\beta_c$ it "
    r"is $\sum_{n,p} v_{ncp}$.",
    proof=True,
    given={**SIZES, "x": X, "v": X, **AFFINE, "eps": Scalar(0.001, 1)},
    cases=60,
)
def backward(x: Array, v: Array, gamma: Array, beta: Array, eps: float) -> Outcome:
    (z, groups), w, c = maps(x), maps(v)[0], gamma.size
    gamma, beta = gamma.ravel(), beta.ravel()
    got = group_norm_vjp(w, z, gamma, beta, groups=groups, eps=eps)

    def loss(z: Any) -> Any:
        rows = z.reshape(len(z), groups, -1)
        centred = rows - rows.mean(axis=2, keepdims=True)
        u = centred / np.sqrt((centred * centred).mean(axis=2, keepdims=True) + eps)
        return (w * gamma[:, None] * u.reshape(z.shape)).sum()[None]

    at_x = complex_jacobian(lambda flat: loss(flat.reshape(z.shape)), z.ravel())[0]
    # GN is linear in (gamma, beta): unit vectors give these derivatives
    none = np.zeros(c)
    at_gamma = [np.vdot(w, group_norm(z, e, none, groups=groups, eps=eps)) for e in np.eye(c)]
    at_beta = [np.vdot(w, group_norm(z, none, e, groups=groups, eps=eps)) for e in np.eye(c)]
    return All(
        Close(got[0], at_x.reshape(z.shape)), Close(got[1], at_gamma), Close(got[2], at_beta)
    )


@exact("gn-backward")
def backward_exact() -> Identities:
    import sympy

    # one group of two channels with two positions: gamma is shared by positions, s by all four
    x, v = symbols("x", 4), symbols("v", 4)
    g1, g2, eps = sympy.symbols("gamma1 gamma2 epsilon", positive=True)
    q = sympy.Matrix([g1 * v[0], g1 * v[1], g2 * v[2], g2 * v[3]])
    mean = sum(x) / sympy.Integer(4)
    s2 = sum((t - mean) ** 2 for t in x) / 4 + eps
    centred = x - mean * sympy.ones(4, 1)
    # times s cubed everything is a polynomial: d/dx of <q, centred>/s
    slope = sympy.Matrix([q.dot(centred)]).jacobian(x).T * s2
    slope -= q.dot(centred) * sympy.Matrix([s2]).jacobian(x).T / 2
    want = (q - sum(q) / sympy.Integer(4) * sympy.ones(4, 1)) * s2 - q.dot(centred) / 4 * centred
    return [("two channels, two positions", (slope - want).applyfunc(sympy.expand))]


@claim(
    "gn-between",
    says=r"Let $G$ divide $G'$ and $G'$ divide $C$, let $\varepsilon = 0$ and no "
    r"group be constant. Normalizing with both, in either order, is the same as normalizing with "
    r"$G'$ groups alone.",
    proof=True,
    given={**SIZES, "s": Size(2, 4), "x": X},
)
def between(x: Array) -> Outcome:
    z, groups = maps(varied(x))
    u = {g: group_norm(z, groups=g, eps=0.0) for g in (1, groups, z.shape[1])}
    found = []
    for coarse, fine in ((1, groups), (groups, z.shape[1]), (1, z.shape[1])):
        found.append(Close(group_norm(u[coarse], groups=fine, eps=0.0), u[fine]))
        found.append(Close(group_norm(u[fine], groups=coarse, eps=0.0), u[fine]))
    return All(*found)


from nnbook.claims import _groupnorm_trained  # noqa: E402

__all__ = ["_groupnorm_trained"]
