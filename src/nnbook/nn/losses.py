"""Losses of regression, drop-ins for those of ``torch.nn``."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_choice, check_deprecated, check_floating, check_range

AnyShape = Float[Tensor, "..."]
REDUCTIONS = ("none", "mean", "sum")


def wide(t: Tensor) -> Tensor:
    """Return float16 and bfloat16 as float32, everything else as it is."""
    return t.float() if t.dtype in (torch.float16, torch.bfloat16) else t


def reduce_terms(terms: Tensor, reduction: str) -> Tensor:
    """Return the terms, their sum, or their mean; the mean of nothing is NaN, as in torch."""
    if reduction == "none":
        return terms
    return terms.sum() if reduction == "sum" else terms.mean()  # eq. loss-sum, loss-mean


def _error(who: str, input: Tensor, target: Tensor, reduction: str) -> Tensor:  # noqa: A002
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "input", input.dtype, input.dtype.is_floating_point)
    check_same_shape(who, "target", tuple(target.shape), tuple(input.shape))
    return wide(input) - wide(target)  # *s


def mse_loss(
    input: AnyShape,  # noqa: A002  (the name that torch uses)
    target: AnyShape,
    *,
    reduction: str = "mean",
) -> AnyShape:
    r"""Return the squared errors, their mean or their sum.

    .. math:: \ell(e) = e^2, \qquad e = x - y

    Where torch warns and broadcasts, as for shapes (n, 1) and (n,), this is an error. float16 and
    bfloat16 are computed in float32 and rounded once.

    Args:
        input: predictions, of any shape.
        target: targets, of the shape of the input.
        reduction: ``"none"``, ``"mean"`` over all numbers, or ``"sum"``.

    Returns:
        A tensor of the shape of the input, or one without axes.

    Raises:
        ValueError: if the shapes differ or reduction is another word.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> mse_loss(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0]))
        tensor(5.)
    """
    terms = _error("mse_loss", input, target, reduction).square()  # *s, eq. loss-mse
    return reduce_terms(terms, reduction).to(input.dtype)


def l1_loss(
    input: AnyShape,  # noqa: A002
    target: AnyShape,
    *,
    reduction: str = "mean",
) -> AnyShape:
    r"""Return the absolute errors :math:`|x - y|`, their mean or their sum; see `mse_loss`.

    Examples:
        >>> l1_loss(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0]))
        tensor(2.)
    """
    terms = _error("l1_loss", input, target, reduction).abs()  # *s, eq. loss-l1
    return reduce_terms(terms, reduction).to(input.dtype)


def huber_loss(
    input: AnyShape,  # noqa: A002
    target: AnyShape,
    *,
    reduction: str = "mean",
    delta: float = 1.0,
) -> AnyShape:
    r"""Return half the square of small errors and a straight line for large ones.

    .. math:: \ell_\delta(e) = c \, (e - c/2), \qquad c = \max(-\delta, \min(\delta, e))

    Args:
        input: predictions, of any shape.
        target: targets, of the shape of the input.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        delta: the error at which the line begins, positive.

    Returns:
        A tensor of the shape of the input, or one without axes.

    Raises:
        ValueError: as `mse_loss`, and if delta is not positive.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> huber_loss(torch.tensor([1.0, 5.0]), torch.zeros(2), delta=2.0, reduction="none")
        tensor([0.5000, 8.0000])
    """
    check_range("huber_loss", "delta", delta, 0.0, ends="()")
    terms = _huber(_error("huber_loss", input, target, reduction), delta)
    return reduce_terms(terms, reduction).to(input.dtype)


def _huber(e: Tensor, delta: float) -> Tensor:
    c = e.clamp(-delta, delta)  # *s, eq. loss-clip
    return c * (e - c / 2)  # *s, eq. loss-huber


def smooth_l1_loss(
    input: AnyShape,  # noqa: A002
    target: AnyShape,
    *,
    reduction: str = "mean",
    beta: float = 1.0,
) -> AnyShape:
    r"""Return :math:`\ell_\beta(e) / \beta`, Huber's loss with slopes of size 1; beta = 0 is L1.

    Examples:
        >>> smooth_l1_loss(torch.tensor([1.0, 5.0]), torch.zeros(2), beta=2.0, reduction="none")
        tensor([0.2500, 4.0000])
    """
    check_range("smooth_l1_loss", "beta", beta, 0.0)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    e = _error("smooth_l1_loss", input, target, reduction)
    return reduce_terms(_huber(e, beta) / beta, reduction).to(input.dtype)  # eq. loss-smooth


class Loss(nn.Module):
    """What all losses share: the reduction, and the refusal of what torch has deprecated."""

    reduction: str
    reductions: tuple[str, ...] = REDUCTIONS

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        check_deprecated(name, {"size_average": size_average, "reduce": reduce})
        check_choice(name, "reduction", reduction, self.reductions)
        self.reduction = reduction


class WeightedLoss(Loss):
    """A loss with a buffer ``weight``."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class MSELoss(Loss):
    r"""The mean of the squared errors.

    .. math:: \ell(e) = e^2, \qquad e = x - y

    Args:
        size_average, reduce: deprecated in torch, not taught.
        reduction: ``"none"``, ``"mean"`` over all numbers, or ``"sum"``.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Raises:
        NotImplementedError: if size_average or reduce is given.
        ValueError: if reduction is another word; in ``forward`` if the shapes differ.

    Examples:
        >>> MSELoss()(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0]))
        tensor(5.)
    """

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return mse_loss(input, target)."""
        return mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    r"""The mean of the absolute errors :math:`|x - y|`; arguments and errors as in `MSELoss`.

    Examples:
        >>> L1Loss()(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0]))
        tensor(2.)
    """

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return l1_loss(input, target)."""
        return l1_loss(input, target, reduction=self.reduction)


class HuberLoss(Loss):
    r"""Half the square of small errors, a straight line for large ones.

    .. math:: \ell_\delta(e) = c \, (e - c/2), \qquad c = \max(-\delta, \min(\delta, e))

    Args:
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        delta: the error at which the line begins, positive.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Source:
        Huber (1964), "Robust Estimation of a Location Parameter", Annals of Mathematical
        Statistics 35.

    Examples:
        >>> HuberLoss(delta=2.0)(torch.tensor([1.0, 5.0]), torch.zeros(2))
        tensor(4.2500)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        check_range("HuberLoss", "delta", delta, 0.0, ends="()")
        self.delta = delta

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return huber_loss(input, target)."""
        return huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(Loss):
    r"""Huber's loss divided by its threshold, so that the lines have slopes of size 1.

    Args:
        size_average, reduce: deprecated in torch, not taught.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        beta: the error at which the line begins; 0 is `L1Loss`.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Examples:
        >>> SmoothL1Loss(beta=2.0)(torch.tensor([1.0, 5.0]), torch.zeros(2))
        tensor(2.1250)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        check_range("SmoothL1Loss", "beta", beta, 0.0)
        self.beta = beta

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return smooth_l1_loss(input, target)."""
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)
