"""Kullback-Leibler divergence, hinge losses and the focal loss."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from nnbook._check.learning import check_known_class, check_labels, check_signs
from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_choice, check_floating, check_range, check_some
from nnbook.scratch.activations import sigmoid
from nnbook.scratch.losses import REDUCTIONS, Reduction, reduce_terms, spread, wide

Array = Float[np.ndarray, "..."]
Classes = Int[np.ndarray, "..."]


def kl_div(log_q: Array, p: Array, reduction: str = "mean", *, log_target: bool = False) -> Array:
    r"""Return the terms of the divergence of p from q, the first argument being log q.

    .. math:: \ell_c = p_c \, (\log p_c - \log q_c)

    Their sum over the classes is KL(p || q): the target comes first in the mathematics and second
    in the call. The default, ``"mean"``, divides by the number of entries, as PyTorch does, and is
    not the mean of the divergences of the rows; that is ``"batchmean"``.

    Args:
        log_q: logarithms of the model's probabilities, of any shape.
        p: the target's probabilities, of the shape of log_q, or their logarithms.
        reduction: ``"none"``, ``"mean"``, ``"sum"``, or ``"batchmean"``: the sum over the length of
            the first axis.
        log_target: whether p holds logarithms.

    Returns:
        An array of the shape of log_q, or one without axes; the dtype of log_q.

    Raises:
        ValueError: if the shapes differ, reduction is another word, or a mean has no numbers.
        TypeError: if log_q holds no floating point numbers.

    Examples:
        >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
        >>> kl_div(np.log(q), p, "batchmean").round(4)
        np.float64(0.1438)
    """
    terms, divisor = _kl_terms("kl_div", log_q, p, reduction, log_target)
    kind = "mean" if reduction == "batchmean" else reduction
    return reduce_terms("kl_div", terms, kind, divisor).astype(log_q.dtype)


def kl_div_vjp(
    v: Array, log_q: Array, p: Array, reduction: str = "mean", *, log_target: bool = False
) -> Array:
    """Return the gradient of <v, kl_div(log_q, p)> at log_q: -p, before the reduction."""
    _, divisor = _kl_terms("kl_div_vjp", log_q, p, reduction, log_target)
    kind = "mean" if reduction == "batchmean" else reduction
    slope = -(np.exp(wide(p)) if log_target else wide(p))  # *s, eq. div-kl
    return (spread(np.asarray(v), log_q.shape, kind, divisor) * slope).astype(log_q.dtype)


def _kl_terms(
    who: str, log_q: Array, p: Array, reduction: str, log_target: bool
) -> tuple[Array, float | None]:
    check_choice(who, "reduction", reduction, (*REDUCTIONS, "batchmean"))
    check_floating(who, "log_q", log_q.dtype, np.issubdtype(log_q.dtype, np.floating))
    check_same_shape(who, "p", p.shape, log_q.shape)
    wide_q, wide_p = wide(log_q), wide(p)
    share = np.exp(wide_p) if log_target else wide_p
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = (wide_p if log_target else np.log(wide_p)) - wide_q
        terms = np.where(share == 0, 0, share * gap)  # *s, eq. div-kl
    if reduction == "batchmean":
        check_some(who, terms.size)
    return terms, float(log_q.shape[0]) if reduction == "batchmean" else None  # eq. div-batchmean


def hinge(z: Array, y: Array, margin: float = 1.0, reduction: Reduction = "mean") -> Array:
    r"""Return by how much scores of two classes miss the margin.

    .. math:: \ell = \max(0, m - y z), \qquad y \in \{-1, 1\}

    Args:
        z: scores, of any shape.
        y: the class of each, -1 or 1, of the shape of z.
        margin: what y z is to reach.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        An array of the shape of z, or one without axes; the dtype of z.

    Raises:
        ValueError: if the shapes differ, a y is neither -1 nor 1, or a mean has no numbers.
        TypeError: if z holds no floating point numbers.

    Source:
        Cortes and Vapnik (1995), "Support-Vector Networks", Machine Learning 20.

    Examples:
        >>> hinge(np.array([2.0, 0.5, -1.0]), np.array([1.0, 1.0, 1.0]), reduction="none")
        array([0. , 0.5, 2. ])
    """
    gap = _gap("hinge", z, y, margin, reduction)
    return reduce_terms("hinge", np.maximum(gap, 0), reduction).astype(z.dtype)  # eq. div-hinge


def hinge_vjp(
    v: Array, z: Array, y: Array, margin: float = 1.0, reduction: Reduction = "mean"
) -> Array:
    """Return a subgradient of <v, hinge(z, y)> at z; at the kink it is 0."""
    gap = _gap("hinge_vjp", z, y, margin, reduction)
    slope = np.where(gap > 0, -wide(y), 0)  # *s, eq. div-hinge
    return (spread(np.asarray(v), z.shape, reduction) * slope).astype(z.dtype)


def _gap(who: str, z: Array, y: Array, margin: float, reduction: str) -> Array:
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "z", z.dtype, np.issubdtype(z.dtype, np.floating))
    check_same_shape(who, "y", y.shape, z.shape)
    check_signs(who, "y", bool((np.abs(y) != 1).any()))
    return margin - wide(y) * wide(z)


def multi_margin(
    z: Array, target: Classes, margin: float = 1.0, reduction: Reduction = "mean"
) -> Array:
    r"""Return by how much the score of the right class fails to lead all others by a margin.

    .. math:: \ell = \frac1k \sum_{c \ne y} \max(0, m - z_y + z_c)

    Args:
        z: scores, of shape ``(*batch, k)``.
        target: classes, of shape ``(*batch)``.
        margin: the lead that is asked for.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        An array of shape ``(*batch)``, or one without axes; the dtype of z.

    Raises:
        ValueError: if the shapes do not fit, or a mean has no numbers.
        IndexError: if a target is no class.
        TypeError: if z holds no floating point numbers.

    Source:
        Weston and Watkins (1999), "Support Vector Machines for Multi-Class Pattern Recognition",
        ESANN; the factor 1/k is PyTorch's.

    Examples:
        >>> multi_margin(np.array([[2.0, 0.5, 1.5]]), np.array([0]), reduction="none").round(4)
        array([0.1667])
    """
    gap = _leads("multi_margin", z, target, margin, reduction)
    terms = np.maximum(gap, 0).sum(-1) / z.shape[-1]  # *batch, eq. div-margin
    return reduce_terms("multi_margin", terms, reduction).astype(z.dtype)


def multi_margin_vjp(
    v: Array, z: Array, target: Classes, margin: float = 1.0, reduction: Reduction = "mean"
) -> Array:
    """Return a subgradient of <v, multi_margin(z, target)> at z; 0 at each kink."""
    behind = _leads("multi_margin_vjp", z, target, margin, reduction) > 0  # *batch k
    right = target[..., None] == np.arange(z.shape[-1])
    slope = np.where(right, -behind.sum(-1, keepdims=True), behind) / z.shape[-1]  # eq. div-margin
    rows = spread(np.asarray(v), target.shape, reduction)
    return (rows[..., None] * slope).astype(z.dtype)


def _leads(who: str, z: Array, target: Classes, margin: float, reduction: str) -> Array:
    """Return margin - z_y + z_c, and 0 for the right class."""
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "z", z.dtype, np.issubdtype(z.dtype, np.floating))
    check_labels(who, target.shape, z.shape[:-1], "the last axis")
    k = z.shape[-1]
    check_known_class(who, bool(((target < 0) | (target >= k)).any()), k)
    own = np.take_along_axis(wide(z), target[..., None], -1)
    return np.where(target[..., None] == np.arange(k), 0, margin - own + wide(z))


def focal(
    z: Array,
    y: Array,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: Reduction = "none",
) -> Array:
    r"""Return the cross-entropy of logits, made small where the answer is good already.

    .. math:: \ell = -\alpha_t (1 - p_t)^\gamma \log p_t

    Here :math:`p_t = \sigma(z)` and :math:`\alpha_t = \alpha` where y = 1, and 1 less these where
    y = 0; between the two the formula is torchvision's, with the mixtures of both.

    Args:
        z: logits of class 1, of any shape.
        y: targets in [0, 1], of the shape of z.
        alpha: the weight of class 1, that of class 0 being 1 - alpha; None (in torchvision a
            negative number) means no weights.
        gamma: the power, at least 0; 0 leaves the weighted cross-entropy.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        An array of the shape of z, or one without axes; the dtype of z.

    Raises:
        ValueError: if the shapes differ, gamma is negative, or a mean has no numbers.
        TypeError: if z holds no floating point numbers.

    Source:
        Lin et al. (2017), "Focal Loss for Dense Object Detection", arXiv:1708.02002.

    Examples:
        >>> focal(np.array([3.0]), np.array([1.0]), alpha=None).round(6)
        array([0.000109])
    """
    _, weight, other, ce = _focal_parts("focal", z, y, alpha, gamma, reduction)
    terms = weight * other**gamma * ce  # *s, eq. div-focal
    return reduce_terms("focal", terms, reduction).astype(z.dtype)


def focal_vjp(
    v: Array,
    z: Array,
    y: Array,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
    reduction: Reduction = "none",
) -> Array:
    """Return the gradient of <v, focal(z, y)> at z."""
    t, weight, other, ce = _focal_parts("focal_vjp", z, y, alpha, gamma, reduction)
    p, q = sigmoid(wide(z)), sigmoid(-wide(z))
    outer = other**gamma * (p - t)  # *s
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.where(other > 0, other ** (gamma - 1), 0.0) if gamma else 0 * other
    inner = gamma * power * (1 - 2 * t) * p * q * ce  # *s
    slope = weight * (outer + inner)  # *s, eq. div-focal-vjp
    return (spread(np.asarray(v), z.shape, reduction) * slope).astype(z.dtype)


def _focal_parts(
    who: str, z: Array, y: Array, alpha: float | None, gamma: float, reduction: str
) -> tuple[Array, Array | float, Array, Array]:
    """Return y, the weight, 1 - p_t and the cross-entropy."""
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_range(who, "gamma", gamma, 0.0)
    check_floating(who, "z", z.dtype, np.issubdtype(z.dtype, np.floating))
    check_same_shape(who, "y", y.shape, z.shape)
    s, t = wide(z), wide(y)
    other = t * sigmoid(-s) + (1 - t) * sigmoid(s)  # *s, 1 - p_t without cancellation
    weight = 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    ce = t * np.logaddexp(0, -s) + (1 - t) * np.logaddexp(0, s)  # *s
    return t, weight, other, ce
