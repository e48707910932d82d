"""Losses of classification: cross-entropy from probabilities, logarithms and logits.

The classes are on the last axis, the batch axes in front. A target is a whole number per row, or
a row of probabilities. The gradients are those at the first argument: targets are given.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from nnbook._check.learning import check_known_class, check_labels
from nnbook._check.shapes import check_same_shape
from nnbook._check.values import (
    check_choice,
    check_floating,
    check_range,
    check_some,
    check_unit,
    check_whole,
)
from nnbook.scratch.activations import log_softmax, sigmoid, softmax
from nnbook.scratch.losses import REDUCTIONS, Reduction, reduce_terms, spread, wide

Array = Float[np.ndarray, "..."]
Target = Shaped[np.ndarray, "..."]
Weight = Float[np.ndarray, " k"] | None
FLOOR = -100.0
"""`bce` takes no logarithm below this number, as PyTorch."""


def bce(p: Array, y: Array, reduction: Reduction = "mean") -> Array:
    r"""Return the binary cross-entropy of probabilities; logarithms below -100 are cut there.

    .. math:: \ell = -y \log p - (1 - y) \log(1 - p)

    Args:
        p: probabilities of class 1, in [0, 1], of any shape.
        y: targets in [0, 1], of the shape of p.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        An array of the shape of p, or one without axes; the dtype of p.

    Raises:
        ValueError: if the shapes differ, a p is outside [0, 1], or a mean has no numbers.
        TypeError: if p holds no floating point numbers.

    Examples:
        >>> bce(np.array([0.25, 1.0]), np.array([1.0, 1.0]), "none").round(3)
        array([1.386, 0.   ])
    """
    q, t = _two_classes("bce", "p", p, y, reduction)
    check_unit("bce", "p", not ((q >= 0) & (q <= 1)).all())
    with np.errstate(divide="ignore"):
        yes, no = (np.maximum(part, FLOOR) for part in (np.log(q), np.log1p(-q)))
    return reduce_terms("bce", -t * yes - (1 - t) * no, reduction).astype(p.dtype)  # eq. cls-bce


def bce_vjp(v: Array, p: Array, y: Array, reduction: Reduction = "mean") -> Array:
    """Return the gradient of <v, bce(p, y)> at p; p(1 - p) is kept above 1e-12, as in PyTorch."""
    q, t = _two_classes("bce_vjp", "p", p, y, reduction)
    check_unit("bce_vjp", "p", not ((q >= 0) & (q <= 1)).all())
    slope = (q - t) / np.maximum(q * (1 - q), 1e-12)  # *s, eq. cls-bce
    return (spread(np.asarray(v), p.shape, reduction) * slope).astype(p.dtype)


def bce_with_logits(
    z: Array, y: Array, reduction: Reduction = "mean", pos_weight: Array | float = 1.0
) -> Array:
    r"""Return the binary cross-entropy of logits, right for logits of any size.

    .. math:: \ell = a\, y\, s(-z) + (1 - y)\, s(z), \qquad s(z) = \max(0, z) + \log(1 + e^{-|z|})

    Args:
        z: logits of class 1, of any shape.
        y: targets in [0, 1], of the shape of z.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        pos_weight: the factor a of the positive class; its axes are the last of z.

    Returns:
        An array of the shape of z, or one without axes; the dtype of z.

    Raises:
        ValueError: if the shapes differ, or a mean has no numbers.
        TypeError: if z holds no floating point numbers.

    Examples:
        >>> bce_with_logits(np.array([1e4, 0.0]), np.array([0.0, 1.0]), "none").round(3)
        array([1.00e+04, 6.93e-01])
    """
    wide_z, t = _two_classes("bce_with_logits", "z", z, y, reduction)
    terms = pos_weight * t * _softplus(-wide_z) + (1 - t) * _softplus(wide_z)  # eq. cls-logit
    return reduce_terms("bce_with_logits", terms, reduction).astype(z.dtype)


def bce_with_logits_vjp(
    v: Array,
    z: Array,
    y: Array,
    reduction: Reduction = "mean",
    pos_weight: Array | float = 1.0,
) -> Array:
    r"""Return the gradient of <v, bce_with_logits(z, y)> at z: with a = 1 it is sigma(z) - y."""
    wide_z, t = _two_classes("bce_with_logits_vjp", "z", z, y, reduction)
    slope = (1 - t) * sigmoid(wide_z) - pos_weight * t * sigmoid(-wide_z)  # *s, eq. cls-logit-vjp
    return (spread(np.asarray(v), z.shape, reduction) * slope).astype(z.dtype)


def _two_classes(who: str, name: str, x: Array, y: Array, reduction: str) -> tuple[Array, Array]:
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, name, x.dtype, np.issubdtype(x.dtype, np.floating))
    check_same_shape(who, "y", y.shape, x.shape)
    return wide(x), wide(y)


def _softplus(z: Array) -> Array:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))  # *s, eq. cls-softplus


def nll(
    log_p: Array,
    target: Target,
    reduction: Reduction = "mean",
    weight: Weight = None,
    ignore_index: int = -100,
) -> Array:
    r"""Return the negative log-likelihood of classes, given logarithms of probabilities.

    .. math:: \ell = -w_y \log p_y, \qquad \text{mean} = \sum_i \ell_i \Big/ \sum_i w_{y_i}

    Args:
        log_p: logarithms of the probabilities, of shape ``(*batch, k)``.
        target: classes, whole numbers of shape ``(*batch)``.
        reduction: ``"none"``, ``"mean"`` (divided by the sum of the weights) or ``"sum"``.
        weight: a factor for each class, of shape (k,); None means 1.
        ignore_index: a row with this target counts neither above nor below the line.

    Returns:
        An array of shape ``(*batch)``, or one without axes; the dtype of log_p.

    Raises:
        ValueError: if the shapes do not fit, or if a mean has no row that counts.
        IndexError: if a target is no class.
        TypeError: if log_p holds no floating point numbers, or target no whole numbers.

    Examples:
        >>> nll(np.log([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 1]), "none").round(3)
        array([0.693, 0.288])
    """
    wanted, counted = _rows("nll", log_p, target, reduction, weight, ignore_index)
    terms = -(wanted * np.where(wanted == 0, 0, wide(log_p))).sum(-1)  # *batch, eq. cls-nll
    return reduce_terms("nll", terms, reduction, counted).astype(log_p.dtype)


def nll_vjp(
    v: Array,
    log_p: Array,
    target: Target,
    reduction: Reduction = "mean",
    weight: Weight = None,
    ignore_index: int = -100,
) -> Array:
    """Return the gradient of <v, nll(log_p, target)> at log_p."""
    wanted, counted = _rows("nll_vjp", log_p, target, reduction, weight, ignore_index)
    rows = spread(np.asarray(v), target.shape, reduction, counted)
    return (-rows[..., None] * wanted).astype(log_p.dtype)  # *batch k, eq. cls-nll


def cross_entropy(
    z: Array,
    target: Target,
    reduction: Reduction = "mean",
    weight: Weight = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    r"""Return the cross-entropy of logits with classes or with probabilities.

    .. math:: \ell = -\sum_c w_c \, t_c \log p_c, \qquad p = \mathrm{softmax}(z)

    Args:
        z: logits, of shape ``(*batch, k)``.
        target: classes of shape ``(*batch)``, or probabilities of the shape of z.
        reduction: as in `nll`; with probabilities a mean divides by the number of rows.
        weight: a factor for each class, of shape (k,); None means 1.
        ignore_index: as in `nll`; it is not used with probabilities.
        label_smoothing: the share of the target that is given to all classes alike.

    Returns:
        An array of shape ``(*batch)``, or one without axes; the dtype of z.

    Raises:
        ValueError: if shapes do not fit, label_smoothing is outside [0, 1], or a mean is empty.
        IndexError: if a target is no class.
        TypeError: if z holds no floating point numbers, or a target no classes.

    Examples:
        >>> cross_entropy(np.array([[1e4, 0.0], [0.0, 0.0]]), np.array([1, 0]), "none").round(3)
        array([1.00e+04, 6.93e-01])
    """
    who = "cross_entropy"
    t, counted = _targets(who, z, target, reduction, weight, ignore_index, label_smoothing)
    log_p = log_softmax(wide(z))  # *batch k
    terms = -(t * np.where(t == 0, 0, log_p)).sum(-1)  # *batch, eq. cls-ce
    return reduce_terms(who, terms, reduction, counted).astype(z.dtype)


def cross_entropy_vjp(
    v: Array,
    z: Array,
    target: Target,
    reduction: Reduction = "mean",
    weight: Weight = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Array:
    """Return the gradient of <v, cross_entropy(z, target)> at z: p times the sum of t, less t."""
    who = "cross_entropy_vjp"
    t, counted = _targets(who, z, target, reduction, weight, ignore_index, label_smoothing)
    slope = softmax(wide(z)) * t.sum(-1, keepdims=True) - t  # *batch k, eq. cls-ce-vjp
    rows = spread(np.asarray(v), z.shape[:-1], reduction, counted)
    return (rows[..., None] * slope).astype(z.dtype)


def _rows(
    who: str, x: Array, target: Target, reduction: str, weight: Weight, ignore_index: int
) -> tuple[Array, float]:
    """Return w_y times a one-hot row per target, zero if ignored, and the sum of the weights."""
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "input", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_labels(who, target.shape, x.shape[:-1], "the last axis")
    check_whole(who, "target", target.dtype, np.issubdtype(target.dtype, np.integer))
    k, kept = x.shape[-1], target != ignore_index
    check_known_class(who, bool((kept & ((target < 0) | (target >= k))).any()), k)
    if weight is not None:
        check_same_shape(who, "weight", weight.shape, (k,))
    w = np.ones(k, wide(x).dtype) if weight is None else wide(weight)
    one_hot = (target[..., None] == np.arange(k)) & kept[..., None]  # *batch k
    rows = one_hot * w
    if reduction == "mean":
        check_some(who, int(kept.sum()))
    return rows, float(rows.sum())


def _targets(
    who: str,
    z: Array,
    target: Target,
    reduction: str,
    weight: Weight,
    ignore_index: int,
    smoothing: float,
) -> tuple[Array, float]:
    """Return the weighted and smoothed targets, and what a mean divides by."""
    check_range(who, "label_smoothing", smoothing, 0.0, 1.0, ends="[]")
    if target.shape != z.shape:
        rows, counted = _rows(who, z, target, reduction, weight, ignore_index)
        t = (target[..., None] == np.arange(z.shape[-1])).astype(rows.dtype)
        kept = (target != ignore_index)[..., None]
    else:
        check_choice(who, "reduction", reduction, REDUCTIONS)
        check_floating(who, "z", z.dtype, np.issubdtype(z.dtype, np.floating))
        check_whole(who, "target", target.dtype, np.issubdtype(target.dtype, np.floating))
        t, counted, kept = wide(target), float(np.prod(z.shape[:-1])), np.True_
    smooth = (1 - smoothing) * t + smoothing / z.shape[-1]  # *batch k, eq. cls-smooth
    return kept * smooth * (1.0 if weight is None else wide(weight)), counted
