"""What the paths of each length bring to the Jacobian of a stack of residual blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nnbook._check.values import check_not_empty


def paths_by_length(
    jacobians: Sequence[Float[np.ndarray, "d d"]] | Float[np.ndarray, "L d d"],
) -> Float[np.ndarray, "K d d"]:
    r"""Return for each k what the paths through exactly k branches add to the Jacobian of a stack.

    .. math:: \sum_{\lvert S \rvert = k} \prod_{l \in S} A_l, \qquad k = 0, \dots, L

    The latest block stands on the left in each product. There are L choose k such paths, but the
    sum takes only about L^2 products of matrices: adding block l turns :math:`P_k` into
    :math:`P_k + A_l P_{k-1}`.

    Args:
        jacobians: the Jacobians :math:`A_1, \dots, A_L` of the branches.

    Returns:
        L + 1 matrices, whose sum is :math:`(I + A_L) \cdots (I + A_1)`.

    Raises:
        ValueError: if there is no matrix.

    Examples:
        >>> paths_by_length(np.full((3, 1, 1), 2.0))[:, 0, 0]
        array([ 1.,  6., 12.,  8.])
    """
    check_not_empty("paths_by_length", "jacobians", jacobians)
    first = np.asarray(jacobians[0])
    sums = np.zeros((len(jacobians) + 1, *first.shape), first.dtype)
    sums[0] = np.eye(len(first), dtype=first.dtype)
    for at, A in enumerate(jacobians, start=1):
        sums[1 : at + 1] += A @ sums[:at]  # l d d, eq. pth-eq-sum
    return sums
