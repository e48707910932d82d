"""What the claims of the topic modules share: maps between finite sets, and ReLU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Array = np.ndarray


@dataclass(frozen=True)
class Table:
    """A map of the set {0, ..., m-1} into itself, as the list of its m values."""

    size: str = "m"

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[Any]:
        """Draw the values."""
        m = sizes[self.size]
        return hnp.arrays(np.int64, m, elements=st.integers(0, m - 1), fill=st.nothing())

    def names(self) -> tuple[str, ...]:
        """Need the number of points."""
        return (self.size,)

    def text(self, name: str) -> str:
        """Name the two sets."""
        points = rf"\{{0, \dots, {self.size}-1\}}"
        return rf"{name} : {points} \to {points}"


def relu(z: Array) -> Array:
    """Return max(z, 0)."""
    return np.maximum(z, 0.0)
