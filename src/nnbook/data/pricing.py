"""Four houses, four features, and three sets of hand-picked weights that price them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Houses:
    """A table of houses and affine maps that turn a row of it into prices.

    Nothing here is fitted to data: the weights are picked by hand, so that every price can be
    checked with pencil and paper.

    Args:
        x: the features, one house per row, float64 of shape (4, 4).
        feature_names: the name of each column of ``x``.
        feature_units: the unit of each column of ``x``.
        house_names: the name of each row of ``x``.
        weights: one model per row, float64 of shape (3, 4); entry (k, j) is in dollars per
            unit of column j.
        biases: the base price of each model in dollars, float64 of shape (3,).
        model_names: the name of each model.
    """

    x: Float[np.ndarray, "houses features"]
    feature_names: tuple[str, ...]
    feature_units: tuple[str, ...]
    house_names: tuple[str, ...]
    weights: Float[np.ndarray, "models features"]
    biases: Float[np.ndarray, " models"]
    model_names: tuple[str, ...]


def houses() -> Houses:
    """Return the table of four houses and the three pricing models.

    Returns:
        A new `Houses`; changing its arrays changes nothing else.

    Examples:
        >>> from nnbook import data
        >>> table = data.houses()
        >>> (table.x @ table.weights.T + table.biases)[0].tolist()
        [272000.0, 241750.0, 212500.0]
    """
    return Houses(
        x=np.array(
            [
                [2000.0, 3.0, 10.0, 8.5],
                [1500.0, 2.0, 5.0, 7.0],
                [3000.0, 4.0, 15.0, 9.0],
                [1200.0, 1.0, 3.0, 6.5],
            ]
        ),
        feature_names=("area", "bedrooms", "age", "location"),
        feature_units=("square feet", "rooms", "years", "points out of 10"),
        house_names=("house 1", "house 2", "house 3", "house 4"),
        weights=np.array(
            [
                [100.0, 5000.0, -1000.0, 2000.0],
                [75.0, 3000.0, -500.0, 1500.0],
                [50.0, 2000.0, -200.0, 1000.0],
            ]
        ),
        biases=np.array([50_000.0, 75_000.0, 100_000.0]),
        model_names=("price-focused", "balanced", "budget-focused"),
    )
