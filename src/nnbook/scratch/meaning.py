"""Search: the rows with the largest products with a query."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_count


def nearest(
    query: Float[np.ndarray, " d"], rows: Float[np.ndarray, "n d"], count: int
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    r"""Return the rows with the largest products with the query, the largest first.

    Of rows with the same product the earlier one comes first.

    Args:
        query: a vector.
        rows: what to search in.
        count: how many to return; all, if there are fewer.

    Returns:
        The numbers of the rows, and their products with the query.

    Raises:
        ValueError: if the rows have another length than the query, or count is less than 1.

    Examples:
        >>> nearest(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]), 2)
        (array([2, 1]), array([1. , 0.6]))
    """
    check_same_shape("nearest", "query", query.shape, rows.shape[1:])
    most = check_count("nearest", "count", count)
    products = rows @ query  # n, eq. mea-search-dot
    first = np.argsort(-products, kind="stable")[:most]
    return first, products[first]
