"""Claims of the topic equivariance: the Fourier transform, and what was measured."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import All, Close, Outcome, claim, exact, measured
from nnbook.claims._conv1d_filters import LENGTH, WIDTH, pattern
from nnbook.claims.conv1d import Array, Identities, Kernel, row
from nnbook.claims.domains import Vector
from nnbook.scratch import (
    circulant,
    conv1d_circular,
    conv1d_circular_fft,
    conv1d_s,
    conv1d_s_fft,
    first_row,
    shift,
    slide,
)

if TYPE_CHECKING:
    import torch


@claim(
    "eqv-fourier",
    says=r"The waves $f_q = (e^{2 \pi i q a / m})_{a = 0, \dots, m-1}$ are eigenvectors of every "
    r"circulant matrix, with the eigenvalues $\overline{(Fc)_q}$, where $c$ is its first row, real,"
    r" and $F$ the discrete Fourier transform. So $\operatorname{Conv}(z) = "
    r"F^{-1}(\overline{Fc} \odot Fz)$ on a circle, and with zero padding the same holds for $z$ "
    r"with $l$ zeros behind it, if the circle then holds the kernel.",
    proof=True,
    given={"z": Vector(7, 12), "w": Kernel()},
)
def fourier(z: Array, w: Array) -> Outcome:
    m = len(z)
    a = np.arange(m)
    waves = np.exp(2j * np.pi * np.outer(a, a) / m)  # column q is the wave number q
    c = first_row(w, m)
    eigenvalues = np.array([(c * waves[:, q]).sum() for q in range(m)])
    return All(
        Close(circulant(c) @ waves, waves * eigenvalues),
        Close(eigenvalues, np.conj(np.fft.fft(c))),
        Close(conv1d_circular_fft(z, w), conv1d_circular(z, w)),
        Close(conv1d_s_fft(z, w), conv1d_s(z, w)),
    )


@exact("eqv-fourier")
def fourier_exact() -> Identities:
    import sympy

    found: Identities = []
    for m in (2, 3, 4):
        c = row("c", m)
        C = sympy.Matrix(m, m, lambda a, b, c=c, m=m: c[(b - a) % m])
        for q in range(m):
            root = sympy.expand_complex(sympy.exp(2 * sympy.pi * sympy.I * q / m))
            wave = sympy.Matrix([sympy.expand(root**a) for a in range(m)])
            value = sum(c[t] * root**t for t in range(m))
            found.append((f"m = {m}, wave {q}", (C * wave - value * wave).applyfunc(sympy.expand)))
    return found


def relative(got: Array, want: Array) -> float:
    """Return the length of the difference over the length of what is wanted."""
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def border_error(m: int, seed: int, half: int = 3, t: int = 1) -> float:
    """Return how far Conv1D-S is from commuting with a move by t, for white noise of length m."""
    rng = np.random.default_rng(seed)
    w, z = rng.normal(size=2 * half + 1), rng.normal(size=(400, m))
    return relative(conv1d_s(slide(z, t), w), slide(conv1d_s(z, w), t))


@measured(
    "eqv-border",
    says=r"White noise, a random kernel of 7 weights, zero padding: the relative error of "
    r"$\operatorname{Conv1D\text{-}S}(D_1 z) = D_1\operatorname{Conv1D\text{-}S}(z)$ falls like "
    r"$1/\sqrt m$, as entries at the ends only are wrong. The number is the error at $m = 16$ over "
    r"that at $m = 256$; $1/\sqrt m$ would give 4.",
    band=(3.5, 5.0),
    unit="ratio of errors",
)
def border(seed: int) -> float:
    return border_error(16, seed) / border_error(256, seed)


def stride_error(s: int, t: int, seed: int, noise: bool = True) -> float:
    """Return how far a circular convolution of stride s is from moving with the signal.

    The best shift of the output is taken. The kernel is random; the signal is white noise or,
    without noise, a bump that changes slowly.
    """
    rng = np.random.default_rng(seed)
    m = 96
    packet = np.exp(-(((np.arange(m) - 40) / 9) ** 2))
    z, w = rng.normal(size=m), rng.normal(size=7)
    z = z if noise else packet
    before, after = (conv1d_circular(x, w)[::s] for x in (z, shift(z, t)))
    return min(relative(after, shift(before, r)) for r in range(len(before)))


@measured(
    "eqv-aliasing",
    says="Circle, stride 2, white noise and a random kernel: after a shift by one place no shift "
    "of the old output comes near the new one. The number is the smallest relative error.",
    band=(0.7, 1.6),
    unit="relative error",
)
def aliasing(seed: int) -> float:
    if stride_error(2, 2, seed) > 1e-12:
        raise AssertionError("a shift by two places should be exact at stride 2")
    return stride_error(2, 1, seed)


def halves(count: int, seed: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return noise with the pattern or with its mirror image: on the left, and on the right.

    Args:
        count: the number of signals of each of the two sets.
        seed: of noise, places and classes.

    Returns:
        Signals and classes (1 for the pattern, 0 for its mirror image) with the pattern in the
        left half, and the same with the pattern in the right half.
    """
    found = []
    for side in (0, 1):
        rng = np.random.default_rng((seed, side))
        signals = rng.normal(scale=0.3, size=(count, LENGTH))
        half = LENGTH // 2
        classes = rng.integers(0, 2, size=count)
        places = rng.integers(side * half, (side + 1) * half - WIDTH, size=count)
        for signal, at, kind in zip(signals, places, classes, strict=True):
            signal[at : at + WIDTH] += pattern() if kind else pattern()[::-1]
        found.append((signals.astype(np.float32), classes))
    return found[0], found[1]


def model(kind: str) -> torch.nn.Module:
    """Return a convolution with the largest answer per channel, or an MLP of more weights."""
    import torch

    from nnbook import nn

    if kind == "MLP":
        return nn.Sequential(nn.Linear(LENGTH, 32), nn.ReLU(), nn.Linear(32, 2))

    class Largest(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.amax(dim=-1)

    conv = nn.Conv1d(1, 8, WIDTH, padding="same", padding_mode="circular")
    return nn.Sequential(conv, Largest(), nn.Linear(8, 2))


@cache
def accuracies(kind: str, seed: int) -> tuple[float, float]:
    """Train on patterns in the left half; return the share right on fresh ones, left and right."""
    import torch

    from nnbook import training

    (x, y), _ = halves(3000, seed)
    torch.manual_seed(seed)
    net = model(kind)

    def shaped(x: Array) -> torch.Tensor:
        return torch.tensor(x if kind == "MLP" else x[:, None])

    training.fit(
        net,
        (shaped(x), torch.tensor(y)),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(net.parameters(), lr=0.01),
        epochs=10,
        batch_size=50,
        seed=seed,
    )
    scores = []
    for x, y in halves(1000, seed + 500):
        with torch.no_grad():
            scores.append(float((net(shaped(x)).argmax(1).numpy() == y).mean()))
    return scores[0], scores[1]


@measured(
    "eqv-right",
    says="A convolution on a circle with the largest answer of each channel, trained on patterns "
    "in the left half only, tells the pattern from its mirror image in the right half as well.",
    band=(0.9, 1.0),
    unit="share right, in the right half",
)
def conv_right(seed: int) -> float:
    return accuracies("convolution", seed)[1]


@measured(
    "eqv-mlp",
    says="An MLP of more weights, trained on the same signals, guesses in the right half, where "
    "it never saw a pattern.",
    band=(0.4, 0.6),
    unit="share right, in the right half",
)
def mlp_right(seed: int) -> float:
    left, right = accuracies("MLP", seed)
    if left < 0.65:
        raise AssertionError(f"the MLP learnt nothing in the left half either: {left}")
    return right
