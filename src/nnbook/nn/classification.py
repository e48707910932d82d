"""Losses of classification, drop-ins for those of ``torch.nn``: the functions, then the modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from nnbook._check.learning import check_known_class, check_labels
from nnbook._check.shapes import check_channels, check_same_shape
from nnbook._check.values import check_choice, check_floating, check_range, check_unit, check_whole
from nnbook.nn.activations import log_softmax, softmax
from nnbook.nn.losses import REDUCTIONS, Loss, WeightedLoss, reduce_terms, wide

AnyShape = Float[Tensor, "..."]
Target = Shaped[Tensor, "..."]
Maybe = Float[Tensor, "..."] | None
FLOOR, LEAST = -100.0, 1e-12


def seen(condition: Callable[[], Tensor]) -> bool:
    """Return whether a condition on values holds; False where `torch.func` hides them."""
    try:
        return bool(condition())
    except RuntimeError:
        return False


class _Bce(torch.autograd.Function):
    """Binary cross-entropy of probabilities; the slope keeps torch's lower bound of p(1 - p)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(p: Tensor, y: Tensor) -> Tensor:
        yes, no = p.log().clamp(min=FLOOR), (-p).log1p().clamp(min=FLOOR)
        return -y * yes - (1 - y) * no  # *s, eq. cls-bce

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, Tensor]:
        at_p, at_y = _bce_slopes(*ctx.saved_tensors)
        return v * at_p, v * at_y

    @staticmethod
    def jvp(ctx: Any, dp: Tensor | None, dy: Tensor | None) -> Tensor:
        at_p, at_y = _bce_slopes(*ctx.saved_tensors)
        pushed = torch.zeros_like(at_p) if dp is None else dp * at_p
        return pushed if dy is None else pushed + dy * at_y


def _bce_slopes(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    at_y = (-p).log1p().clamp(min=FLOOR) - p.log().clamp(min=FLOOR)
    return (p - y) / (p * (1 - p)).clamp(min=LEAST), at_y  # *s, eq. cls-bce


def binary_cross_entropy(
    input: AnyShape,  # noqa: A002  (the name that torch uses)
    target: AnyShape,
    weight: Maybe = None,
    *,
    reduction: str = "mean",
) -> AnyShape:
    r"""Return the binary cross-entropy of probabilities.

    .. math:: \ell = -w \, (y \log p + (1 - y) \log(1 - p))

    No logarithm below -100 is taken, as in torch. Prefer the form that takes logits.

    Args:
        input: probabilities in [0, 1], of any shape.
        target: targets in [0, 1], of the shape of the input.
        weight: a factor for each number, of a shape that broadcasts to the input's; a mean still
            divides by their number.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Returns:
        A tensor of the shape of the input, or one without axes.

    Raises:
        ValueError: if the shapes differ, or a probability lies outside [0, 1].
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> binary_cross_entropy(torch.tensor([0.25]), torch.tensor([1.0]))
        tensor(1.3863)
    """
    who = "binary_cross_entropy"
    _check_two(who, input, target, reduction)
    p = wide(input)
    check_unit(who, "input", seen(lambda: ~((p >= 0) & (p <= 1)).all()))
    terms: Tensor = _Bce.apply(p, wide(target))  # type: ignore[no-untyped-call]
    terms = terms if weight is None else wide(weight) * terms
    return reduce_terms(terms, reduction).to(input.dtype)


def binary_cross_entropy_with_logits(
    input: AnyShape,  # noqa: A002
    target: AnyShape,
    weight: Maybe = None,
    *,
    reduction: str = "mean",
    pos_weight: Maybe = None,
) -> AnyShape:
    r"""Return the binary cross-entropy of logits, right for logits of any size.

    .. math:: \ell = w \, (a\, y\, s(-z) + (1 - y)\, s(z)), \qquad s(z) = \log(1 + e^z)

    Args:
        input: logits, of any shape.
        target: targets in [0, 1], of the shape of the input.
        weight: a factor for each number, of a shape that broadcasts to the input's.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        pos_weight: the factor a of the positive class, which broadcasts to the input.

    Returns:
        A tensor of the shape of the input, or one without axes.

    Raises:
        ValueError: if the shapes differ or reduction is another word.
        TypeError: if the input holds no real floating point numbers.

    Examples:
        >>> logits, y = torch.tensor([1e4, 0.0]), torch.tensor([0.0, 1.0])
        >>> binary_cross_entropy_with_logits(logits, y, reduction="none")
        tensor([1.0000e+04, 6.9315e-01])
    """
    _check_two("binary_cross_entropy_with_logits", input, target, reduction)
    z, y = wide(input), wide(target)
    yes = y if pos_weight is None else wide(pos_weight) * y
    terms = yes * _softplus(-z) + (1 - y) * _softplus(z)  # *s, eq. cls-logit
    terms = terms if weight is None else wide(weight) * terms
    return reduce_terms(terms, reduction).to(input.dtype)


def _softplus(z: Tensor) -> Tensor:
    return -torch.nn.functional.logsigmoid(-z)  # *s, eq. cls-softplus


def _check_two(who: str, x: Tensor, y: Tensor, reduction: str) -> None:
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "input", x.dtype, x.dtype.is_floating_point)
    check_same_shape(who, "target", tuple(y.shape), tuple(x.shape))


class _CrossEntropy(torch.autograd.Function):
    """-log softmax at one class per row; of the probabilities nothing is kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor, target: Tensor) -> Tensor:
        if z.numel() == 0:
            return z.new_zeros(target.shape)
        shifted = z - z.amax(1, keepdim=True)  # n c *s
        own = shifted.gather(1, target.unsqueeze(1))  # n 1 *s
        return shifted.exp_().sum(1, keepdim=True).log_().sub_(own).squeeze(1)  # n *s, eq. cls-ce

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        z, target = ctx.saved_tensors
        p, one = softmax(z, 1), target.unsqueeze(1)
        less = -torch.ones_like(one, dtype=p.dtype)
        if torch.is_grad_enabled():  # a second derivative is wanted
            return p.scatter_add(1, one, less) * v.unsqueeze(1), None  # eq. cls-ce-vjp
        return p.scatter_add_(1, one, less).mul_(v.unsqueeze(1)), None

    @staticmethod
    def jvp(ctx: Any, dz: Tensor, _: None) -> Tensor:
        z, target = ctx.saved_tensors
        return (softmax(z, 1) * dz).sum(1) - dz.gather(1, target.unsqueeze(1)).squeeze(1)


def nll_loss(
    input: AnyShape,  # noqa: A002
    target: Target,
    weight: Maybe = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> AnyShape:
    r"""Return the negative log-likelihood of classes, given logarithms of probabilities.

    .. math:: \ell = -w_y \log p_y, \qquad \text{mean} = \sum_i \ell_i \Big/ \sum_i w_{y_i}

    Args:
        input: logarithms of probabilities, of shape (c), (n, c) or ``(n, c, *s)``.
        target: classes, whole numbers of shape (), (n) or ``(n, *s)``.
        weight: a factor for each class, of shape (c,).
        ignore_index: a target that counts neither above nor below the line.
        reduction: ``"none"``, ``"mean"`` (divided by the sum of the weights) or ``"sum"``.

    Returns:
        A tensor of the shape of the target, or one without axes.

    Raises:
        ValueError: if the shapes do not fit.
        IndexError: if a target is no class (on a CPU; on a GPU the device stops).
        TypeError: if the dtypes are wrong.

    Examples:
        >>> log_p = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
        >>> nll_loss(log_p, torch.tensor([0, 1]), reduction="none")
        tensor([0.6931, 0.2877])
    """
    x, t = _rows("nll_loss", input, target, weight, reduction)
    kept = t != ignore_index
    own = -_pick("nll_loss", lambda i: x.gather(1, i.unsqueeze(1)).squeeze(1), x, t, kept)
    return (
        _weighted(own, t, kept, weight, reduction).reshape(_out(target, reduction)).to(input.dtype)
    )


def _rows(
    who: str, x: Tensor, target: Tensor, weight: Maybe, reduction: str
) -> tuple[Tensor, Tensor]:
    """Return the scores and classes with an axis of samples, after checks."""
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "input", x.dtype, x.dtype.is_floating_point)
    scores = x.unsqueeze(0) if x.dim() == 1 else x
    check_channels(who, "input", tuple(scores.shape))
    where = tuple(x.shape[:0] if x.dim() == 1 else (*x.shape[:1], *x.shape[2:]))
    check_labels(who, tuple(target.shape), where, "axis 1")
    whole = not (target.dtype.is_floating_point or target.dtype.is_complex)
    check_whole(who, "target", target.dtype, whole and target.dtype != torch.bool)
    _check_weight(who, weight, scores.shape[1])
    return wide(scores), (target.unsqueeze(0) if x.dim() == 1 else target).long()


def _check_weight(who: str, weight: Maybe, classes: int) -> None:
    if weight is not None:
        check_same_shape(who, "weight", tuple(weight.shape), (classes,))


def _pick(
    who: str, take: Callable[[Tensor], Tensor], x: Tensor, target: Tensor, kept: Tensor
) -> Tensor:
    """Take from each row what stands at its class; an ignored row takes class 0."""
    try:
        return take(target.where(kept, 0))
    except RuntimeError as error:
        check_known_class(who, "out of bounds" in str(error), x.shape[1])
        raise


def _weighted(
    terms: Tensor, target: Tensor, kept: Tensor, weight: Maybe, reduction: str, smooth: Maybe = None
) -> Tensor:
    """Weigh the terms by class, add what is smoothed, drop what is ignored, and reduce."""
    w = kept.to(terms.dtype) if weight is None else wide(weight)[target.where(kept, 0)] * kept
    terms = torch.where(kept, terms * w if smooth is None else terms * w + smooth, 0.0)
    if reduction != "mean":
        return reduce_terms(terms, reduction)
    return terms.sum() / w.sum()  # eq. cls-weighted


def _out(target: Tensor, reduction: str) -> tuple[int, ...]:
    return tuple(target.shape) if reduction == "none" else ()


def cross_entropy(
    input: AnyShape,  # noqa: A002
    target: Target,
    weight: Maybe = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> AnyShape:
    r"""Return the cross-entropy of logits with classes or with probabilities.

    .. math:: \ell = -\sum_c w_c \, t_c \log p_c, \qquad p = \mathrm{softmax}(z)

    With classes t is 1 at the class; smoothing by s makes it (1 - s) t + s/c. The backward pass is
    p - t, computed from the logits, so that no table of logarithms is kept.

    Args:
        input: logits, of shape (c), (n, c) or ``(n, c, *s)``.
        target: classes of shape (), (n) or ``(n, *s)``, or probabilities of the shape of the input.
        weight: a factor for each class, of shape (c,).
        ignore_index: a class that counts neither above nor below the line.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``. A mean divides by the sum of the weights of
            the targets, or with probabilities by the number of rows.
        label_smoothing: the share of the target that is given to all classes alike.

    Returns:
        A tensor of the input's shape without its classes, or one without axes.

    Raises:
        ValueError: if shapes do not fit, label_smoothing is outside [0, 1], or ignore_index is
            given with probabilities.
        IndexError: if a target is no class (on a CPU; on a GPU the device stops).
        TypeError: if the dtypes are wrong.

    Examples:
        >>> z = torch.tensor([[1e4, 0.0], [0.0, 0.0]])
        >>> cross_entropy(z, torch.tensor([1, 0]), reduction="none")
        tensor([1.0000e+04, 6.9315e-01])
    """
    who = "cross_entropy"
    check_range(who, "label_smoothing", label_smoothing, 0.0, 1.0, ends="[]")
    if target.shape == input.shape:
        least, ignored = -torch.inf, float(ignore_index)
        check_range(who, "ignore_index with probabilities", ignored, least, 0.0, ends="()")
        terms = _with_probabilities(input, target, weight, reduction, label_smoothing)
        return reduce_terms(terms, reduction).to(input.dtype)
    x, t = _rows(who, input, target, weight, reduction)
    kept = t != ignore_index
    smooth = None
    if label_smoothing == 0:
        own = _pick(who, lambda i: _CrossEntropy.apply(x, i), x, t, kept)  # type: ignore[no-untyped-call]
    else:
        log_p = log_softmax(x, 1)  # n c *s
        own = _pick(who, lambda i: log_p.gather(1, i.unsqueeze(1)).squeeze(1), x, t, kept)
        own = (label_smoothing - 1) * own
        smooth = label_smoothing / x.shape[1] * -_weigh(log_p, weight).sum(1)  # eq. cls-smooth
    terms = _weighted(own, t, kept, weight, reduction, smooth)
    return terms.reshape(_out(target, reduction)).to(input.dtype)


def _with_probabilities(
    z: Tensor, target: Tensor, weight: Maybe, reduction: str, smoothing: float
) -> Tensor:
    who = "cross_entropy"
    check_choice(who, "reduction", reduction, REDUCTIONS)
    check_floating(who, "input", z.dtype, z.dtype.is_floating_point)
    check_whole(who, "target", target.dtype, target.dtype.is_floating_point)
    axis = 0 if z.dim() == 1 else 1
    _check_weight(who, weight, z.shape[axis])
    log_p, t = log_softmax(wide(z), axis), wide(target)
    t = (1 - smoothing) * t + smoothing / z.shape[axis]  # n c *s, eq. cls-smooth
    return -(t * _weigh(log_p, weight, axis)).sum(axis)  # n *s, eq. cls-ce


def _weigh(x: Tensor, weight: Maybe, axis: int = 1) -> Tensor:
    if weight is None:
        return x
    return x * wide(weight).reshape(-1, *[1] * (x.dim() - axis - 1))


class BCELoss(WeightedLoss):
    r"""The binary cross-entropy of probabilities.

    .. math:: \ell = -w \, (y \log p + (1 - y) \log(1 - p))

    Args:
        weight: a factor for each number, kept as a buffer.
        size_average, reduce: deprecated in torch, not taught.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Examples:
        >>> BCELoss()(torch.tensor([0.25]), torch.tensor([1.0]))
        tensor(1.3863)
    """

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return binary_cross_entropy(input, target)."""
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    r"""The binary cross-entropy of logits, right for logits of any size.

    .. math:: \ell = w \, (a\, y\, s(-z) + (1 - y)\, s(z)), \qquad s(z) = \log(1 + e^z)

    Args:
        weight: a factor for each number, kept as a buffer.
        size_average, reduce: deprecated in torch, not taught.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``.
        pos_weight: the factor a of the positive class, kept as a buffer.

    Shape:
        - Input and target: any shape, the same; output: that shape, or no axes.

    Examples:
        >>> BCEWithLogitsLoss()(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]))
        tensor(0.6931)
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: AnyShape, target: AnyShape) -> AnyShape:  # noqa: A002
        """Return binary_cross_entropy_with_logits(input, target)."""
        return binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class NLLLoss(WeightedLoss):
    r"""The negative log-likelihood of classes, given logarithms of probabilities.

    Args:
        weight: a factor for each class, kept as a buffer.
        size_average, reduce: deprecated in torch, not taught.
        ignore_index: a target that counts neither above nor below the line.
        reduction: ``"none"``, ``"mean"`` (divided by the sum of the weights) or ``"sum"``.

    Shape:
        - Input: (c), (n, c) or ``(n, c, *s)``.
        - Target: (), (n) or ``(n, *s)``; output: as the target.

    Examples:
        >>> NLLLoss()(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([1]))
        tensor(0.2877)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: AnyShape, target: Target) -> AnyShape:  # noqa: A002
        """Return nll_loss(input, target)."""
        return nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class CrossEntropyLoss(NLLLoss):
    r"""The cross-entropy of logits with classes or with probabilities.

    .. math:: \ell = -\sum_c w_c \, t_c \log p_c, \qquad p = \mathrm{softmax}(z)

    Args:
        weight: a factor for each class, kept as a buffer.
        size_average, reduce: deprecated in torch, not taught.
        ignore_index: a class that counts neither above nor below the line.
        reduction: ``"none"``, ``"mean"`` or ``"sum"``, as in `cross_entropy`.
        label_smoothing: the share of the target that is given to all classes alike.

    Shape:
        - Input: logits (c), (n, c) or ``(n, c, *s)``.
        - Target: classes (), (n) or ``(n, *s)``, or probabilities of the shape of the input.
        - Output: the shape of the classes, or no axes.

    Examples:
        >>> CrossEntropyLoss()(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
        tensor(0.6931)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction)
        check_range("CrossEntropyLoss", "label_smoothing", label_smoothing, 0.0, 1.0, ends="[]")
        self.label_smoothing = label_smoothing

    def forward(self, input: AnyShape, target: Target) -> AnyShape:  # noqa: A002
        """Return cross_entropy(input, target)."""
        return cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
