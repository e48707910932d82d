"""Claims of the topic conv1d: a pattern in noise, the best kernel for it, and the learnt one."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from nnbook.claims import All, AtMost, Close, Outcome, claim, measured
from nnbook.claims.domains import Scalar, Size, Vector
from nnbook.scratch import conv1d_s

Array = np.ndarray
LENGTH, WIDTH, NOISE = 96, 15, 0.7


def pattern() -> Array:
    """Return the shape that is hidden in the noise: a short chirp with zero mean."""
    t = np.linspace(-1, 1, WIDTH)
    shape = np.cos(4.5 * (t + 0.5) ** 2) * np.exp(-1.5 * t**2)
    shape = shape - shape.mean()
    return shape / np.abs(shape).max()


def noisy(count: int, seed: int, noise: float = NOISE) -> tuple[Array, Array]:
    """Return signals with the pattern somewhere in white noise, and where its middle is.

    Args:
        count: the number of signals.
        seed: of the noise and the places.
        noise: the standard deviation of the noise.

    Returns:
        Signals of ``LENGTH`` numbers, one per row, and one place per signal.
    """
    rng = np.random.default_rng(seed)
    signals = rng.normal(scale=noise, size=(count, LENGTH))
    places = rng.integers(WIDTH // 2, LENGTH - WIDTH // 2, size=count)
    for signal, at in zip(signals, places, strict=True):
        signal[at - WIDTH // 2 : at + WIDTH // 2 + 1] += pattern()
    return signals, places


@claim(
    "cvo-matched",
    says=r"A pattern $q \in \R^k$, $q \ne 0$, lies in uncorrelated noise of mean 0 and variance "
    r"$\sigma^2 > 0$. The answer of a kernel $w \ne 0$ has the mean $\langle w, q \rangle$ and the "
    r"standard deviation $\sigma \norm{w}$. Their ratio is at most $\norm{q} / \sigma$, which "
    r"is reached for $w = cq$, $c > 0$, and only for these.",
    proof=True,
    given={
        "k": Size(1, 7),
        "w": Vector("k", nonzero=True),
        "q": Vector("k", nonzero=True),
        "sigma": Scalar(0.1, 5),
        "c": Scalar(0.1, 5),
    },
)
def matched(w: Array, q: Array, sigma: float, c: float) -> Outcome:
    best = np.linalg.norm(q) / sigma

    def ratio(w: Array) -> float:
        return float(w @ q / (sigma * np.linalg.norm(w)))

    # noise that is sigma or -sigma at each entry, all cases: its mean and deviation, exactly
    noise = sigma * np.array(list(product((-1.0, 1.0), repeat=len(q))))
    answers = (q + noise) @ w
    # what is missing to the bound is the distance of w from the line of q
    off = w - (w @ q) / (q @ q) * q
    gap = (q @ q) * (off @ off) / (w @ w) / sigma**2
    return All(
        Close(answers.mean(), w @ q),
        Close(answers.std(), sigma * np.linalg.norm(w)),
        AtMost(ratio(w), best),
        Close(ratio(c * q), best),
        Close((best**2 - ratio(w) ** 2) / best**2, gap / best**2, 1e-8),
    )


@cache
def learned_kernel(seed: int) -> Array:
    """Train one convolution of one channel to say where the pattern is; return its weights.

    The softmax over the positions of its output is the probability of each place; the loss is the
    cross-entropy with the true place. It starts at random weights and sees no pattern but in noise.
    """
    import torch

    from nnbook import nn

    signals, places = noisy(1024, seed)
    torch.manual_seed(seed)
    conv = nn.Conv1d(1, 1, WIDTH, padding="same", bias=False)
    optimizer = torch.optim.Adam(conv.parameters(), lr=0.1)
    x, y = torch.tensor(signals[:, None], dtype=torch.float32), torch.tensor(places)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(conv(x)[:, 0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return conv.weight.detach().numpy()[0, 0].astype(float)


def cosine(a: Array, b: Array) -> float:
    """Return the cosine of the angle between two vectors."""
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@measured(
    "cvo-learned",
    says="A single convolution, trained to say where the pattern is and never shown it without "
    "noise, ends with a kernel whose cosine with the pattern is close to 1.",
    band=(0.95, 1.0),
    unit="cosine",
)
def learned(seed: int) -> float:
    return cosine(learned_kernel(seed), pattern())


def found(kernel: Array, seed: int = 1000, noise: float = NOISE) -> float:
    """Return the share of fresh signals in which the largest answer is at the true place."""
    signals, places = noisy(2000, seed, noise)
    return float((conv1d_s(signals, kernel).argmax(axis=1) == places).mean())


@measured(
    "cvo-found",
    says="On fresh signals the learnt kernel finds the place about as often as the pattern "
    "itself used as the kernel: the difference of the two shares of right answers is small.",
    band=(-0.03, 0.05),
    unit="share of signals",
)
def found_as_often(seed: int) -> float:
    best = found(pattern())
    if best < 0.4:
        raise AssertionError(f"the pattern itself finds too few places: {best}")
    return best - found(learned_kernel(seed))
