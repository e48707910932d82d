"""Claims of the topic channels that are measured: letters as channels, on Python's own manual."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from nnbook.claims import measured
from nnbook.claims.conv1d import Array

if TYPE_CHECKING:
    import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz "
LENGTH = 24


@cache
def corpus() -> tuple[str, str]:
    """Return the manual that comes with Python as letters and spaces: four fifths, the rest.

    Its topics share whole paragraphs. Each is taken once, so none of the rest is in the first part.
    """
    from pydoc_data.topics import topics

    found = (
        re.sub("[^a-z]+", " ", p.lower()).strip()
        for n in sorted(topics)
        for p in re.split(r"\n\s*\n", topics[n])
    )
    once = list(dict.fromkeys(found))
    cut = len(once) * 4 // 5
    return " ".join(once[:cut]), " ".join(once[cut:])


def snippets(count: int, seed: int, fresh: bool = False) -> tuple[Array, Array]:
    """Return pieces of text, half of them with their letters in random order.

    Args:
        count: how many, an even number.
        seed: of the places and the orders.
        fresh: take them from the fifth of the manual that is kept for tests.

    Returns:
        Numbers of letters, ``LENGTH`` per row, and 1 for text or 0 for shuffled text. Each piece
        occurs twice, once as it is and once shuffled.
    """
    text = corpus()[fresh]
    rng = np.random.default_rng((seed, fresh))
    starts = rng.integers(0, len(text) - LENGTH, size=count // 2)
    real = np.array([[LETTERS.index(c) for c in text[a : a + LENGTH]] for a in starts])
    return np.concatenate([real, rng.permuted(real, axis=1)]), np.repeat([1, 0], count // 2)


def one_hot(x: Array) -> Array:
    """Return one channel per letter: 1 where the letter stands."""
    return np.eye(len(LETTERS), dtype=np.float32)[x].transpose(0, 2, 1)


def text_model(k: int, width: int = 48) -> torch.nn.Module:
    """Return a convolution of k letters, the mean over all positions, and an affine map."""
    import torch

    from nnbook import nn

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=-1)

    conv = nn.Conv1d(len(LETTERS), width, k, padding="same", padding_mode="circular")
    return nn.Sequential(conv, nn.ReLU(), Mean(), nn.Linear(width, 2))


@cache
def trained(k: int, seed: int) -> torch.nn.Module:
    """Train a model of kernels of k letters to tell text from shuffled text."""
    import torch

    from nnbook import training

    x, y = snippets(4000, seed)
    torch.manual_seed(seed)
    net = text_model(k)
    training.fit(
        net,
        (torch.tensor(one_hot(x)), torch.tensor(y)),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(net.parameters(), lr=0.005),
        epochs=8,
        batch_size=50,
        seed=seed,
    )
    return net


@cache
def score(k: int, seed: int) -> float:
    """Return the share right on pieces from the part of the manual kept for tests."""
    import torch

    x, y = snippets(2000, seed, fresh=True)
    net = trained(k, seed)
    with torch.no_grad():
        guess = net(torch.tensor(one_hot(x))).argmax(1)
    return float((guess.numpy() == y).mean())


@measured(
    "chn-text",
    says="Python's own manual, pieces of 24 letters: a convolution with kernels of three letters, "
    "averaged over all positions, tells text from the same letters in random order, on paragraphs "
    "that it was not trained on.",
    band=(0.8, 1.0),
    unit="share right",
    seeds=(0, 1),
)
def text(seed: int) -> float:
    return score(3, seed)


@measured(
    "chn-letters",
    says="The same model with kernels of one letter sees which letters there are and not their "
    "order. Each piece occurs with both answers, so it is right for exactly half of them.",
    band=(0.49, 0.51),
    unit="share right",
    seeds=(0, 1),
)
def letters(seed: int) -> float:
    return score(1, seed)
