"""Points in the plane: two moons and two circles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from nnbook._check.values import check_count, check_range


@dataclass(frozen=True, eq=False)
class Points:
    """Points of the plane with a class each.

    Args:
        x: the points, float64 of shape (n, 2).
        y: the class of each point, int64 of shape (n,).
    """

    x: Float64[np.ndarray, "n 2"]
    y: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.y)

    def split(self, test: float = 0.3, seed: int = 0) -> tuple[Points, Points]:
        """Split into a training and a test part that have the same share of each class.

        The split depends on the classes, ``test`` and ``seed`` only. The points keep their order.

        Args:
            test: the share of the points that go to the test part, in (0, 1); in each class the
                number is rounded, and at least one point goes to each part.
            seed: the seed of the random choice.

        Returns:
            The training part and the test part.

        Raises:
            ValueError: if test is not in (0, 1) or a class has fewer than two points.

        Examples:
            >>> from nnbook import data
            >>> train, held_out = data.moons(10, noise=0.1, seed=0).split(0.2)
            >>> len(train), len(held_out), sorted(held_out.y.tolist())
            (8, 2, [0, 1])
        """
        check_range("Points.split", "test", test, 0.0, 1.0, ends="()")
        rng = np.random.default_rng(seed)
        held_out = np.zeros(len(self), dtype=bool)
        for label in np.unique(self.y):
            members = np.flatnonzero(self.y == label)
            if len(members) < 2:
                raise ValueError(
                    f"Points.split: class {label} has {len(members)} point; "
                    "both parts need one, so give every class at least 2."
                )
            count = min(max(round(test * len(members)), 1), len(members) - 1)
            held_out[rng.permutation(members)[:count]] = True
        return (
            Points(self.x[~held_out], self.y[~held_out]),
            Points(self.x[held_out], self.y[held_out]),
        )


def moons(n: int, noise: float, seed: int) -> Points:
    """Draw two half circles that reach into each other (``sklearn.datasets.make_moons``).

    Args:
        n: the number of points, at least 1.
        noise: the standard deviation of the Gaussian noise on both coordinates.
        seed: the seed (``random_state``).

    Returns:
        The points in random order; class 0 is the upper moon.

    Raises:
        ValueError: if n < 1 or noise < 0.

    Examples:
        >>> from nnbook import data
        >>> data.moons(100, noise=0.1, seed=0).x.shape
        (100, 2)
    """
    from sklearn.datasets import make_moons  # half a second: only for those who draw

    check_count("moons", "n", n)
    check_range("moons", "noise", noise, 0.0)
    x, y = make_moons(n, noise=noise, random_state=seed)
    return Points(x.astype(np.float64), y.astype(np.int64))


def circles(n: int, noise: float, factor: float, seed: int) -> Points:
    """Draw two circles around 0 (``sklearn.datasets.make_circles``).

    Args:
        n: the number of points, at least 1.
        noise: the standard deviation of the Gaussian noise on both coordinates.
        factor: the radius of the inner circle, in [0, 1); the outer one has radius 1.
        seed: the seed (``random_state``).

    Returns:
        The points in random order; class 0 is the outer circle, class 1 the inner one.

    Raises:
        ValueError: if n < 1, noise < 0 or factor is not in [0, 1).

    Examples:
        >>> from nnbook import data
        >>> data.circles(100, noise=0.1, factor=0.8, seed=0).x.shape
        (100, 2)
    """
    from sklearn.datasets import make_circles

    check_count("circles", "n", n)
    check_circles("circles", noise, factor)
    x, y = make_circles(n, noise=noise, factor=factor, random_state=seed)
    return Points(x.astype(np.float64), y.astype(np.int64))


def check_circles(who: str, noise: float, factor: float) -> None:
    """Raise ValueError unless the arguments describe two circles."""
    check_range(who, "noise", noise, 0.0)
    check_range(who, "factor", factor, 0.0, 1.0)
