"""The paths of a stack of residual blocks, by their length."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from tools import close

from nnbook import scratch


@pytest.mark.parametrize(("L", "d"), [(1, 1), (1, 3), (4, 2), (5, 3)])
def test_paths_are_the_products_over_subsets(L, d, rng):
    A = rng.normal(size=(L, d, d))
    sums = scratch.paths_by_length(A)
    assert sums.shape == (L + 1, d, d)
    for k in range(L + 1):
        want = np.zeros((d, d))
        for chosen in combinations(range(L), k):
            product = np.eye(d)
            for at in chosen:
                product = A[at] @ product
            want += product
        close(sums[k], want)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept_and_the_input_too(dtype, rng):
    A = rng.normal(size=(4, 3, 3)).astype(dtype)
    before = A.copy()
    sums = scratch.paths_by_length(A)
    assert sums.dtype == dtype
    assert np.array_equal(A, before)
    close(scratch.paths_by_length(list(A)), sums)


def test_the_sum_is_the_jacobian_of_the_stack(rng):
    shapes = ((3, 4), (3,), (4, 3), (4,))
    blocks = [tuple(rng.normal(size=shape) for shape in shapes) for _ in range(5)]
    z = rng.normal(size=3)
    options = {"activation": (scratch.tanh, scratch.tanh_vjp), "scale": 0.7}
    at, jacobians = z, []
    for block in blocks:
        jacobians.append(scratch.branch_jacobian(at, *block, **options))
        at = scratch.residual_block(at, *block, **options)
    rows = [scratch.residual_stack_vjp(v, z, blocks, **options)[0] for v in np.eye(3)]
    close(scratch.paths_by_length(jacobians).sum(axis=0), np.stack(rows))


@pytest.mark.errors
def test_no_block_is_no_stack():
    with pytest.raises(ValueError, match="paths_by_length: jacobians is empty"):
        scratch.paths_by_length([])
