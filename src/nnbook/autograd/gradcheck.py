"""Compare the gradients of a function of tensors with central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnbook._check.values import check_float64
from nnbook.scratch import central_differences

from .backward import grad
from .tensor import Tensor


class GradientError(AssertionError):
    """A gradient differs from the central differences."""


def gradcheck(
    f: Callable[..., Tensor],
    inputs: Sequence[Any],
    *,
    step: float | None = None,
    tol: float = 1e-6,
    seed: int = 0,
) -> float:
    r"""Check the gradients of :math:`\langle v, f(\ldots)\rangle` for a random v.

    Args:
        f: a function of tensors with one tensor as result.
        inputs: a float64 array for each argument.
        step: h; None means the cube root of the machine precision, times the size of the entry.
        tol: the largest difference allowed, relative to the largest gradient or 1.
        seed: of the random v.

    Returns:
        The largest difference found.

    Raises:
        GradientError: if a difference is larger than ``tol``; it names the input and the entry.
        TypeError: if an input is not float64.

    Examples:
        >>> gradcheck(lambda x: x * x + x, [np.array([3.0, -1.0])]) < 1e-8
        True
    """
    arrays = [np.asarray(x) for x in inputs]
    for x in arrays:
        check_float64("gradcheck", x.dtype, x.dtype == np.float64)
    tensors = [Tensor(x, requires_grad=True) for x in arrays]
    y = f(*tensors)
    v = np.random.default_rng(seed).standard_normal(y.shape)
    ours = grad(y, tensors, v)
    numeric = central_differences(
        lambda *xs: float(np.vdot(v, f(*map(Tensor, xs)).data)), arrays, step
    )
    worst = 0.0
    for place, (got, want) in enumerate(zip(ours, numeric, strict=True)):
        gap = np.abs(got - want) / max(1.0, float(np.abs(want).max(initial=0.0)))
        if gap.size and not gap.max() <= tol:
            at = tuple(
                map(
                    int, np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape)
                )
            )
            raise GradientError(
                f"gradcheck: input {place} at {at}: the gradient is {got[at]:.6g}, central "
                f"differences give {want[at]:.6g}; relative gap {gap[at]:.2g}, allowed {tol:g}."
            )
        worst = max(worst, float(gap.max(initial=0.0)))
    return worst
