"""Grey pictures with classes, and the numbers that a model takes in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8


@dataclass(frozen=True, eq=False)
class Images:
    """Grey pictures with a class each.

    Args:
        x: the pictures, uint8 of shape (n, 28, 28): 0 is black (the background), 255 white.
        y: the class of each picture, int64 of shape (n,).
        names: the names of the classes.
        index: the place of each picture in the original file, int64 of shape (n,).
    """

    x: UInt8[np.ndarray, "n 28 28"]
    y: Int64[np.ndarray, " n"]
    names: tuple[str, ...]
    index: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.y)

    def take(self, which: slice | Sequence[int] | np.ndarray) -> Images:
        """Return the pictures at these positions, in this order."""
        return Images(self.x[which], self.y[which], self.names, self.index[which])

    def mean_std(self) -> tuple[float, float]:
        """Return mean and (biased) standard deviation of all pixels, scaled to [0, 1].

        They are exact but for the last rounding: the 256 grey values are counted first.
        """
        counts = np.bincount(self.x.ravel(), minlength=256)
        grey = np.arange(256) / 255
        mean = counts @ grey / self.x.size
        variance = counts @ (grey - mean) ** 2 / self.x.size
        return float(mean), float(np.sqrt(variance))

    def scaled(self) -> Float32[np.ndarray, "n 28 28"]:
        """Return the pictures as float32 in [0, 1]."""
        return self.x.astype(np.float32) / np.float32(255)

    def standardized(self, train: Images) -> Float32[np.ndarray, "n 28 28"]:
        """Return the pictures as float32, less the mean and over the deviation of ``train``.

        Args:
            train: the **training** pictures, for test pictures too: what is learned from test
                pictures, be it a mean, must not get into the model.

        Returns:
            The pictures; those of ``train`` itself get mean 0 and variance 1.

        Raises:
            ValueError: if all pixels of ``train`` are equal.
        """
        mean, std = train.mean_std()
        if std == 0:
            raise ValueError(
                "Images.standardized: all pixels of train are equal, so their deviation is 0; "
                "give training pictures that differ."
            )
        grey = (np.arange(256) / 255 - mean) / std  # each of the 256 values once
        return grey.astype(np.float32)[self.x]


class Split(NamedTuple):
    """The two parts of a data set."""

    train: Images
    test: Images
