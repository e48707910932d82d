"""Claims of the topic batchsize: what each normalization shares, and what small batches do.

What is measured in training has a file of its own, which this one loads at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from nnbook.claims import All, Close, Equal, Holds, Outcome, claim, exact
from nnbook.claims.domains import Choice, Matrix, Scalar, Size, Vector
from nnbook.claims.layernorm import Array, Identities, symbols
from nnbook.scratch import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    ln_s,
    relu,
    rms_norm,
)


def norms(groups: int) -> dict[str, Callable[[Array], Array]]:
    """Return the normalizations of maps n, c, s by name."""
    return {
        "batch": batch_norm,
        "layer": lambda x: layer_norm(x, axes=2),
        "instance": instance_norm,
        "group": lambda x: group_norm(x, groups=groups),
        "RMS": lambda x: rms_norm(x, axes=2),
    }


def shares(kind: str, groups: int, shape: tuple[int, ...]) -> Array:
    """Return which numbers have the same statistics: true at [i, j] for entries i and j."""
    n, c, _ = (axis.ravel() for axis in np.indices(shape))
    g = c // (shape[1] // groups)
    same_n, same_c, same_g = (a[:, None] == a for a in (n, c, g))
    if kind == "batch":
        return same_c
    if kind == "instance":
        return same_n & same_c
    return same_n & same_g if kind == "group" else same_n


def depends(f: Callable[[Array], Array], x: Array) -> Array:
    """Return which outputs change with which inputs: true at [i, j] if input j moves output i."""
    before, columns = f(x), []
    for j in range(x.size):
        moved = x.copy()
        moved.flat[j] += 0.7
        columns.append((np.abs(f(moved) - before) > 1e-12).ravel())
    return np.stack(columns, axis=1)


@claim(
    "bs-shared",
    says="No output depends on a number outside of its own set, and each number of the set moved "
    "it in every case that was drawn. The sets are, for maps with samples, channels and positions: "
    "a channel in all samples (batch); a sample (layer, RMS); a channel of a sample (instance); a "
    "group of channels of a sample (group).",
    proof=True,
    given={
        "kind": Choice(("batch", "layer", "instance", "group", "RMS")),
        "seed": Size(0, 999),
        "n": Size(1, 3),
        "G": Size(1, 2),
        "k": Size(1, 2),
        "s": Size(2, 3),
    },
    cases=60,
)
def shared(kind: str, seed: int, n: int, G: int, k: int, s: int) -> Outcome:
    shape = (n, G * k, s)
    x = np.random.default_rng(seed).normal(size=shape)
    return Equal(depends(norms(G)[kind], x), shares(kind, G, shape))


@dataclass(frozen=True)
class Row:
    """What was found out about one module by running it."""

    name: str
    statistics: str
    parameters: int
    buffers: int
    other_samples: bool
    train_is_eval: bool
    shift: bool
    scale: bool


def measure(name: str, module: Any, shape: tuple[int, ...] = (3, 4, 2, 3)) -> Row:
    """Run a module for maps n, c, h, w and find out what the comparison table says about it."""
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, generator=generator)
    module = module.double()

    def run(x: Any, training: bool = True) -> Any:
        with torch.no_grad():
            return module.train(training)(x)

    y = run(x)
    moved = []
    for axis in range(4):  # change one number and see along which axes another output moves
        changed = x.clone()
        changed[0, 0, 0, 0] += 0.7
        along = (run(changed) - y).abs().amax([a for a in range(4) if a != axis]) > 1e-12
        moved.append(int(along.sum()))
    names = ("N", "C", "H", "W")
    words = [
        n if m == s else f"{n} ({m} of {s})"
        for n, m, s in zip(names, moved, shape, strict=True)
        if m > 1
    ]
    return Row(
        name,
        ", ".join(words),
        sum(p.numel() for p in module.parameters()),
        sum(b.numel() for b in module.buffers()),
        moved[0] > 1,
        bool(torch.allclose(run(x, True), run(x, False))),
        bool(torch.allclose(run(x + 3.0), y)),
        bool(torch.allclose(run(3.0 * x), y, atol=1e-3)),
    )


def table() -> list[Row]:
    """Return the comparison: every normalization of the part, on maps of four channels, 2 by 3."""
    from nnbook import nn

    modules = {
        "batch": nn.BatchNorm2d(4),
        "layer, of maps": nn.LayerNorm((4, 2, 3)),
        "layer, last axis": nn.LayerNorm(3),
        "instance": nn.InstanceNorm2d(4, affine=True),
        "group, G = 2": nn.GroupNorm(2, 4),
        "RMS, of maps": nn.RMSNorm((4, 2, 3)),
    }
    return [measure(name, module) for name, module in modules.items()]


@claim(
    "bs-table",
    says="Of batch, layer, instance, group and RMS normalization, run on maps with the default "
    "options: only batch normalization mixes samples, keeps state and does something else in eval "
    "mode; all ignore scale up to what epsilon does; all but RMS ignore a shift of the whole "
    "input.",
)
def comparison() -> Outcome:
    rows = {row.name: row for row in table()}
    only_batch = all(
        (row.other_samples, row.buffers > 0, not row.train_is_eval) == (name == "batch",) * 3
        for name, row in rows.items()
    )
    shift = all(row.shift == (not name.startswith("RMS")) for name, row in rows.items())
    axes = {name: row.statistics for name, row in rows.items()}
    want = {
        "batch": "N, H, W",
        "layer, of maps": "C, H, W",
        "layer, last axis": "W",
        "instance": "H, W",
        "group, G = 2": "C (2 of 4), H, W",
        "RMS, of maps": "C, H, W",
    }
    return All(
        Holds(only_batch, "what only batch normalization does"),
        Holds(shift, "what ignores a shift"),
        Holds(all(row.scale for row in rows.values()), "scale"),
        Equal(list(axes.items()), list(want.items())),
    )


@claim(
    "bs-one",
    says="In training, batch normalization of a batch with one sample is instance normalization, "
    "with any number of positions above one.",
    proof=True,
    given={"c": Size(1, 4), "s": Size(2, 5), "x": Matrix("c", "s"), "eps": Scalar(1e-4, 1)},
)
def one_sample(x: Array, eps: float) -> Outcome:
    return Close(batch_norm(x[None], eps=eps), instance_norm(x[None], eps=eps))


@claim(
    "bs-two",
    says=r"Without positions, batch normalization in training turns a batch of two samples $x, y$ "
    r"into $d_c / \sqrt{d_c^2 + 4\varepsilon}$ for $x$ and its negative for $y$, with $d = x - y$ "
    r"and $\varepsilon > 0$, before scale and shift. For $\varepsilon = 0$ and $d_c \ne 0$ these "
    "are signs.",
    proof=True,
    given={"x": Vector("c"), "y": Vector("c"), "eps": Scalar(1e-4, 1)},
)
def two_samples(x: Array, y: Array, eps: float) -> Outcome:
    pair, d = np.stack([x, y])[..., None], x - y
    want = d / np.sqrt(d**2 + 4 * eps)
    apart = np.where(np.abs(d) < 1e-3, 1.0, d)
    signs = batch_norm(np.stack([y + apart, y])[..., None], eps=0.0)[..., 0]
    return All(
        Close(batch_norm(pair, eps=eps)[..., 0], np.stack([want, -want])),
        Close(signs, np.stack([np.sign(apart), -np.sign(apart)]), 1e-6),
    )


@claim(
    "bs-noise",
    says=r"For $B$ independent draws from a distribution of mean $\mu$ and variance $\sigma^2$: "
    r"the batch mean has the mean $\mu$ and the variance $\sigma^2 / B$, and the biased batch "
    r"variance has the mean $\frac{B-1}{B} \sigma^2$.",
    proof=True,
    given={"z": Vector(2, 4), "B": Size(1, 3)},
)
def noise(z: Array, B: int) -> Outcome:
    """Take all batches of B draws, with repetition, from the numbers z."""
    batches = np.array(list(product(z, repeat=B)))
    means = batches.mean(axis=1)
    return All(
        Close(means.mean(), z.mean()),
        Close(means.var(), z.var() / B),
        Close(batches.var(axis=1).mean(), (B - 1) / B * z.var()),
    )


@exact("bs-noise")
def noise_exact() -> Identities:
    import sympy

    found: Identities = []
    for N, B in ((2, 2), (2, 3), (3, 2)):
        z = list(symbols("z", N))
        mu = sum(z) / sympy.Integer(N)
        var = sum((t - mu) ** 2 for t in z) / N
        batches = [(b, sum(b) / sympy.Integer(B)) for b in product(z, repeat=B)]
        spread = sum((m - mu) ** 2 for _, m in batches) / len(batches)
        within = sum(sum((t - m) ** 2 for t in b) / B for b, m in batches) / len(batches)
        found.append((f"variance of the mean, {N} values, B = {B}", spread - var / B))
        share = sympy.Rational(B - 1, B)
        found.append((f"mean of the variance, {N} values, B = {B}", within - share * var))
    return found


@claim(
    "bs-order",
    says=r"Let $\varepsilon = 0$ and $f$ be any map. After the sum, $\LNS(x + f(x))$, a block "
    r"has an output of length $\sqrt m$ whatever came in. Inside the branch, $x + f(\LNS(x))$, "
    r"the block adds to $ax$ what it adds to $x$, for every $a > 0$, and passes $x$ on unchanged.",
    proof=True,
    given={
        "m": Size(3, 6),
        "W": Matrix("m", "m"),
        "x": Vector("m", nonconstant=True),
        "a": Scalar(0.1, 10),
    },
)
def order(W: Array, x: Array, a: float) -> Outcome:
    def f(z: Array) -> Array:
        return relu(z @ W.T)

    inside = a * x + f(ln_s(a * x))
    total = x + f(x)
    found = [Close(inside - a * x, f(ln_s(x)))]
    if total.std() > 1e-3:
        found.append(Close(np.linalg.norm(ln_s(total)), np.sqrt(len(x))))
    return All(*found)


from nnbook.claims._batchsize_trained import (  # noqa: E402
    KINDS,
    SAMPLES,
    SIZES,
    STEPS,
    accuracy,
    mlp,
    one_by_one_accuracies,
)

__all__ = ["KINDS", "SAMPLES", "SIZES", "STEPS", "accuracy", "mlp", "one_by_one_accuracies"]
