"""Divergence, hinge and focal losses; ``torch.nn`` has two of them, torchvision a third."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nnbook._check.learning import check_known_class, check_labels, check_signs
from nnbook._check.shapes import check_channels, check_same_shape
from nnbook._check.values import check_choice, check_count, check_floating, check_range
from nnbook.nn.activations import sigmoid
from nnbook.nn.classification import seen
from nnbook.nn.losses import REDUCTIONS, Loss, WeightedLoss, reduce_terms, wide

AnyShape = Float[Tensor, "..."]
Classes = Int[Tensor, "..."]
Maybe = Float[Tensor, "..."] | None
DIVERGENCE = (*REDUCTIONS, "batchmean")
NO_MEAN = (
    "kl_div: reduction='mean' divides by the number of entries, not of rows, and is no mean of "
    "divergences; use reduction='batchmean'."
)


def kl_div(
    input: AnyShape,  # noqa: A002  (the name that torch uses)
    target: AnyShape,
    *,
    reduction: str = "mean",
    log_target: bool = False,
) -> AnyShape:
    r"""Return the terms of the divergence of the target from the model, or a reduction.

    .. math:: \ell_c = p_c \, (\log p_c - \log q_c)

    The sum over the classes is KL(p || q) with the target p and the model q; the first argument is
    log q. ``"mean"`` warns, as in torch.

    Args:
        input: logarithms of the model's probabilities, of any shape.
        target: the target's probabilities, of the shape of the input, or their logarithms.
        reduction: ``"none"``, ``"mean"``, ``"sum"``, or ``"batchmean"``: the sum over the length of
            the first axis.
        log_target: whether the target holds logarithms.

    Returns:
        A tensor of the shape of the input, or one without axes.

    Raises:
        ValueError: if the shapes differ or reduction is another word.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
        >>> kl_div(q.log(), p, reduction="batchmean")
        tensor(0.1438)
    """
    check_choice("kl_div", "reduction", reduction, DIVERGENCE)
    check_floating("kl_div", "input", input.dtype, input.dtype.is_floating_point)
    check_same_shape("kl_div", "target", tuple(target.shape), tuple(input.shape))
    if reduction == "mean":
        warnings.warn(NO_MEAN, UserWarning, stacklevel=2)
    log_q, p = wide(input), wide(target)
    # xlogy: 0 log 0 = 0
    terms = p.exp() * (p - log_q) if log_target else torch.xlogy(p, p) - p * log_q  # eq. div-kl
    if reduction == "batchmean" and input.dim() > 0:
        return (terms.sum() / input.shape[0]).to(input.dtype)  # eq. div-batchmean
    return reduce_terms(terms, reduction.removeprefix("batch")).to(input.dtype)


def hinge_loss(
    input: AnyShape,  # noqa: A002
    target: AnyShape,
    margin: float = 1.0,
    *,
    reduction: str = "mean",
) -> AnyShape:
    r"""Return by how much scores of two classes miss the margin; the slope at the kink is 0.

    .. math:: \ell = \max(0, m - y z), \qquad y \in \{-1, 1\}

    torch has no such function: its hinge embedding loss is another one.

    Args:
        input: scores, of any shape.
        target: the class of each, -1 or 1, of the shape of the input.
        margin: what y z is to reach.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        A tensor of the shape of the input, or one without axes.

    Raises:
        ValueError: if the shapes differ, or a target is neither -1 nor 1.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> hinge_loss(torch.tensor([2.0, 0.5, -1.0]), torch.ones(3), reduction="none")
        tensor([0.0000, 0.5000, 2.0000])
    """
    check_choice("hinge_loss", "reduction", reduction, REDUCTIONS)
    check_floating("hinge_loss", "input", input.dtype, input.dtype.is_floating_point)
    check_same_shape("hinge_loss", "target", tuple(target.shape), tuple(input.shape))
    check_signs("hinge_loss", "target", seen(lambda: (target.abs() != 1).any()))
    terms = torch.relu(margin - wide(target) * wide(input))  # *s, eq. div-hinge
    return reduce_terms(terms, reduction).to(input.dtype)


def multi_margin_loss(
    input: AnyShape,  # noqa: A002
    target: Classes,
    p: int = 1,
    margin: float = 1.0,
    weight: Maybe = None,
    *,
    reduction: str = "mean",
) -> AnyShape:
    r"""Return by how much the score of the right class fails to lead all others by a margin.

    .. math:: \ell = \frac{w_y}{k} \sum_{c \ne y} \max(0, m - z_y + z_c)^p

    Args:
        input: scores, of shape (k) or (n, k).
        target: classes, of shape () or (n).
        p: the power, 1 or 2.
        margin: the lead that is asked for.
        weight: a factor for each class, of shape (k,); a mean still divides by n.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        A tensor of shape (n), or one without axes.

    Raises:
        ValueError: if the shapes do not fit, or p is neither 1 nor 2.
        IndexError: if a target is no class.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> multi_margin_loss(torch.tensor([[2.0, 0.5, 1.5]]), torch.tensor([0]))
        tensor(0.1667)
    """
    who = "multi_margin_loss"
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "input", input.dtype, input.dtype.is_floating_point)
    _check_power(who, p)
    z = wide(input)[None] if input.dim() == 1 else wide(input)
    check_channels(who, "input", tuple(z.shape))
    check_labels(who, tuple(target.shape), tuple(input.shape[:-1]), "the last axis")
    y, k = target.reshape(z.shape[:-1]).unsqueeze(-1), z.shape[-1]
    check_known_class(who, seen(lambda: ((y < 0) | (y >= k)).any()), k)
    if weight is not None:
        check_same_shape(who, "weight", tuple(weight.shape), (k,))
    own = z.gather(-1, y)  # n 1
    behind = torch.relu(margin - own + z) ** p  # n k
    behind = behind if weight is None else wide(weight)[y] * behind
    behind = behind.masked_fill(torch.arange(k, device=z.device) == y, 0.0)
    terms = (behind.sum(-1) / k).reshape(target.shape)  # n, eq. div-margin
    return reduce_terms(terms, reduction).to(input.dtype)


def _check_power(who: str, p: int) -> None:
    check_range(who, "p", float(check_count(who, "p", p)), 1.0, 2.0, ends="[]")


def sigmoid_focal_loss(
    inputs: AnyShape,
    targets: AnyShape,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
) -> AnyShape:
    r"""Return the cross-entropy of logits, made small where the answer is good already.

    .. math:: \ell = -\alpha_t (1 - p_t)^\gamma \log p_t

    Names, arguments and defaults are those of ``torchvision.ops.sigmoid_focal_loss``; torch.nn
    itself has no focal loss.

    Args:
        inputs: logits of class 1, of any shape.
        targets: 0 or 1 (or between), of the shape of the inputs.
        alpha: the weight of class 1, that of class 0 being 1 - alpha; negative means no weights.
        gamma: the power, at least 0; 0 leaves the weighted cross-entropy.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        A tensor of the shape of the inputs, or one without axes.

    Raises:
        ValueError: if the shapes differ, or gamma is negative.
        TypeError: if the inputs hold no real floating point numbers.

    Source:
        Lin et al. (2017), "Focal Loss for Dense Object Detection", arXiv:1708.02002.

    Examples:
        >>> sigmoid_focal_loss(torch.tensor([0.0]), torch.tensor([1.0]), alpha=-1.0)
        tensor([0.1733])
    """
    who = "sigmoid_focal_loss"
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_range(who, "gamma", gamma, 0.0)
    check_floating(who, "inputs", inputs.dtype, inputs.dtype.is_floating_point)
    check_same_shape(who, "targets", tuple(targets.shape), tuple(inputs.shape))
    z, y = wide(inputs), wide(targets)
    log_p, log_q = (torch.nn.functional.logsigmoid(s) for s in (z, -z))  # *s
    ce = -y * log_p - (1 - y) * log_q  # *s, -log p_t for y = 0 or 1
    other = y * sigmoid(-z) + (1 - y) * sigmoid(z)  # *s, 1 - p_t
    terms = other**gamma * ce if gamma else ce  # *s, eq. div-focal
    if alpha >= 0:
        terms = (alpha * y + (1 - alpha) * (1 - y)) * terms  # *s, eq. div-focal
    return reduce_terms(terms, reduction).to(inputs.dtype)


class KLDivLoss(Loss):
    r"""The divergence of the target from the model.

    .. math:: \ell_c = p_c \, (\log p_c - \log q_c)

    Args:
        size_average, reduce: deprecated in torch, not taught.
        reduction: ``"none"``, ``"mean"``, ``"sum"`` or ``"batchmean"``, as in `kl_div`.
        log_target: whether the target holds logarithms.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Examples:
        >>> loss = KLDivLoss(reduction="batchmean", log_target=True)
        >>> loss(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([[0.5, 0.5]]).log())
        tensor(0.1438)
    """

    reductions = DIVERGENCE

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return kl_div(input, target)."""
        return kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class HingeLoss(Loss):
    r"""By how much scores of two classes miss the margin; torch.nn has no such module.

    .. math:: \ell = \max(0, m - y z), \qquad y \in \{-1, 1\}

    Args:
        margin: what y z is to reach.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Examples:
        >>> HingeLoss()(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 1.0]))
        tensor(1.)
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return hinge_loss(input, target)."""
        return hinge_loss(input, target, self.margin, reduction=self.reduction)


class MultiMarginLoss(WeightedLoss):
    r"""The hinge loss for several classes, a drop-in for ``torch.nn.MultiMarginLoss``.

    .. math:: \ell = \frac{w_y}{k} \sum_{c \ne y} \max(0, m - z_y + z_c)^p

    Args:
        p: the power, 1 or 2.
        margin: the lead that is asked for.
        weight: a factor for each class, kept as a buffer.
        size_average, reduce: deprecated in torch, not taught.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Shape:
        - Input: (k) or (n, k); target: () or (n); output: as the target, or no axes.

    Examples:
        >>> MultiMarginLoss()(torch.tensor([[2.0, 0.5, 1.5]]), torch.tensor([0]))
        tensor(0.1667)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        _check_power("MultiMarginLoss", p)
        self.p, self.margin = p, margin

    def forward(self, input: AnyShape, target: Classes) -> AnyShape:  # noqa: A002
        """Return multi_margin_loss(input, target)."""
        return multi_margin_loss(
            input, target, self.p, self.margin, self.weight, reduction=self.reduction
        )


class FocalLoss(Loss):
    r"""The cross-entropy of logits, made small where the answer is good already.

    .. math:: \ell = -\alpha_t (1 - p_t)^\gamma \log p_t

    Args:
        alpha: the weight of class 1; negative means no weights.
        gamma: the power, at least 0.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``; the default is torchvision's.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Examples:
        >>> FocalLoss(alpha=-1.0)(torch.tensor([0.0]), torch.tensor([1.0]))
        tensor([0.1733])
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none") -> None:
        super().__init__(reduction=reduction)
        check_range("FocalLoss", "gamma", gamma, 0.0)
        self.alpha, self.gamma = alpha, gamma

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return sigmoid_focal_loss(input, target)."""
        return sigmoid_focal_loss(input, target, self.alpha, self.gamma, self.reduction)
