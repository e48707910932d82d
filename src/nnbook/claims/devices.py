"""Claims of the topic devices: what rounding allows two machines to differ by."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnbook.claims import All, AtMost, Equal, Outcome, claim, refutation
from nnbook.claims.domains import Matrix, Scalar, Size, Vector

Array = np.ndarray
UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}
ORDER = Size(0, 19)  # seed of a random order


def gamma(count: int, unit: float) -> float:
    """Return the bound n u / (1 - n u) on the relative error of n roundings.

    Raises:
        ValueError: if n u is not below 1, where there is no bound.
    """
    if not count * unit < 1:
        raise ValueError(
            f"gamma: {count} roundings of {unit:g} have no bound; n u must be below 1."
        )
    return count * unit / (1 - count * unit)


def float32(values: Array) -> Array:
    """Return values as float32 on a grid of 1/1024, so that no product of two is subnormal."""
    return (np.round(values * 1024) / 1024).astype(np.float32)


def sum_in_some_order(terms: Array, order: int) -> Any:
    """Add two randomly chosen numbers, put the sum back, and go on until one is left."""
    rng = np.random.default_rng(order)
    left = list(terms)
    while len(left) > 1:
        a, b = (left.pop(rng.integers(len(left))) for _ in range(2))
        left.append(a + b)
    return left[0] if left else terms.dtype.type(0)


def products(W: Array, X: Array, order: int) -> dict[str, Array]:
    """Return W X in float32 by every means at hand: orders of NumPy's own and each device."""
    import torch

    turned = np.random.default_rng(order).permutation(W.shape[1])
    one = np.array([[sum_in_some_order(w * x, order) for x in X.T] for w in W], np.float32)
    found = {"one by one": one, "BLAS": W @ X, "BLAS, permuted": W[:, turned] @ X[turned]}
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        w, x = (torch.tensor(a, device=device) for a in (W, X))
        found[device] = (w @ x).cpu().numpy()
    return found


@refutation(
    "dev-associative",
    says=r"In float32, $(a + b) + c = a + (b + c)$.",
    given={"a": Scalar(), "b": Scalar(), "c": Scalar()},
    right="dev-sum",
)
def associative(a: float, b: float, c: float) -> Outcome:
    p, q, r = (np.float32(v) for v in (a, b, c))
    return Equal((p + q) + r, p + (q + r))


@claim(
    "dev-sum",
    says=r"In whatever order the $m$ products $w_i x_i$ are added in float32, the result is within "
    r"$\gamma_m \sum_i \lvert w_i x_i \rvert$ of $\sum_i w_i x_i$, with "
    r"$\gamma_m = mu / (1 - mu)$ and $u = 2^{-24}$, if nothing over- or underflows.",
    proof=True,
    given={"m": Size(1, 40), "w": Vector("m"), "x": Vector("m"), "order": ORDER},
)
def any_order(m: int, w: Array, x: Array, order: int) -> Outcome:
    w, x = float32(w), float32(x)
    terms = w.astype(float) * x.astype(float)  # exact: 24 bits times 24 bits
    off = abs(float(sum_in_some_order(w * x, order)) - math.fsum(terms))
    return AtMost(off, gamma(m, UNIT[w.dtype]) * math.fsum(abs(terms)), tol=0.0)


@claim(
    "dev-product",
    says=r"Two devices, or two programs on one, that compute each entry of $WX$ as the sum of its "
    r"$m$ products in float32 differ there by at most "
    r"$2\gamma_m (\lvert W \rvert \lvert X \rvert)_{ij}$, if nothing over- or underflows.",
    proof=True,
    given={
        "n": Size(1, 3),
        "m": Size(1, 30),
        "W": Matrix("n", "m"),
        "X": Matrix("m", "k"),
        "k": Size(1, 3),
        "order": ORDER,
    },
    cases=60,
)
def any_device(W: Array, X: Array, m: int, order: int) -> Outcome:
    W, X = float32(W), float32(X)
    bound = 2 * gamma(m, UNIT[W.dtype]) * (abs(W.astype(float)) @ abs(X.astype(float)))
    found = np.stack(list(products(W, X, order).values())).astype(float)
    gap = np.ptp(found, axis=0)  # the two that differ most
    # the bound itself is computed with the rounding of float64
    return AtMost(gap - bound * (1 + 1e-12), 0.0, tol=0.0)


@claim(
    "dev-exact",
    says=r"If all $w_i$ and $x_i$ are whole and $\sum_i \lvert w_i x_i \rvert \le 2^{24}$, no "
    r"order of the additions rounds at all: every device gives the same bits.",
    proof=True,
    given={
        "m": Size(1, 40),
        "w": Vector("m", lo=-600, hi=600),
        "x": Vector("m", lo=-600, hi=600),
        "order": ORDER,
    },
)
def whole_numbers(w: Array, x: Array, order: int) -> Outcome:
    w, x = np.round(w).astype(np.float32), np.round(x).astype(np.float32)
    want = math.fsum(w.astype(float) * x.astype(float))
    found = products(w[None], x[:, None], order)
    return All(*(Equal(float(a[0, 0]), want) for a in found.values()))


from nnbook.claims import _devices_trained  # noqa: E402

__all__ = ["_devices_trained"]
