"""Residual blocks with batch normalization on vectors, in six orders, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from nnbook._check.shapes import check_same_shape
from nnbook._check.values import check_choice, check_count, check_not_empty

from .batchnorm import bn_s, bn_s_vjp

Rows = Float[np.ndarray, "B c"]
Matrix = Float[np.ndarray, "h c"]
Back = Float[np.ndarray, "c h"]

ORDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "original": (("conv", "bn", "relu", "conv", "bn"), ("relu",)),
    "bn after addition": (("conv", "bn", "relu", "conv"), ("bn", "relu")),
    "relu before addition": (("conv", "bn", "relu", "conv", "bn", "relu"), ()),
    "relu-only pre-activation": (("relu", "conv", "bn", "relu", "conv", "bn"), ()),
    "full pre-activation": (("bn", "relu", "conv", "bn", "relu", "conv"), ()),
    "normalized last": (("conv", "relu", "bn", "conv", "relu", "bn"), ()),
}
"""The steps of the branch and those after the addition; the first five by their published names."""

ENDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "relu-only pre-activation": (("bn",), ("relu",)),
    "full pre-activation": ((), ("bn", "relu")),
}
"""The steps after a network's first convolution and before its pooling, where not the usual."""

SHORTCUTS = ("A", "B", "identity")


def ordered_block(
    x: Rows, W1: Matrix, W2: Back, order: str = "original", *, eps: float = 1e-5
) -> Rows:
    r"""Add a branch of two products to its input, with normalization and ReLU in a given order.

    .. math:: y = a(x + F(x))

    F and a are the steps that ``ORDERS`` names: ``conv`` is a product with the next of W1 and W2,
    ``bn`` normalizes each feature over the rows without scale and shift, ``relu`` is the maximum
    with 0.

    Args:
        x: rows of c features; the statistics are those of these rows.
        W1: weights of shape (h, c).
        W2: weights of shape (c, h).
        order: one of the names in ``ORDERS``.
        eps: added to the variances.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if the order is not known or a weight does not fit.

    Source:
        He, Zhang, Ren and Sun (2016), "Identity Mappings in Deep Residual Networks",
        arXiv:1603.05027, figure 4; "normalized last" is none of theirs.

    Examples:
        >>> x = np.array([[1.0, 0.0], [-1.0, 2.0]])
        >>> ordered_block(x, np.eye(2), np.zeros((2, 2)), "original")
        array([[1., 0.],
               [0., 2.]])
        >>> ordered_block(x, np.eye(2), np.zeros((2, 2)), "full pre-activation")
        array([[ 1.,  0.],
               [-1.,  2.]])
    """
    branch, after = _steps("ordered_block", x, W1, W2, order)
    weights = iter((W1, W2))
    out, _ = _walk(x, branch, weights, eps)  # B c, eq. rn-block
    return _walk(x + out, after, weights, eps)[0]  # B c, eq. rn-block


def ordered_block_vjp(
    v: Rows, x: Rows, W1: Matrix, W2: Back, order: str = "original", *, eps: float = 1e-5
) -> tuple[Rows, Matrix, Back]:
    r"""Return the gradients of :math:`\langle v, \mathrm{ordered\_block}(x)\rangle`.

    Args:
        v: the gradient at the output, of the shape of x.
        x: the input.
        W1: as in `ordered_block`.
        W2: as in `ordered_block`.
        order: as in `ordered_block`.
        eps: as in `ordered_block`.

    Returns:
        The gradients at x, W1 and W2.

    Raises:
        ValueError: as `ordered_block`, and if v and x differ in shape.

    Examples:
        >>> x, W = np.array([[1.0, 0.0], [-1.0, 2.0]]), np.zeros((2, 2))
        >>> ordered_block_vjp(np.ones((2, 2)), x, W, W, "full pre-activation")[0]
        array([[1., 1.],
               [1., 1.]])
    """
    branch, after = _steps("ordered_block_vjp", x, W1, W2, order)
    check_same_shape("ordered_block_vjp", "v", v.shape, x.shape)
    weights = iter((W1, W2))
    out, inside = _walk(x, branch, weights, eps)
    _, outside = _walk(x + out, after, weights, eps)
    at_sum, _ = _walk_back(v, outside, [], eps)
    through, grads = _walk_back(at_sum, inside, [W2, W1], eps)
    return at_sum + through, grads[1], grads[0]  # B c, eq. rn-block-vjp


def _steps(
    who: str, x: Rows, W1: Matrix, W2: Back, order: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    check_choice(who, "order", order, ORDERS)
    check_same_shape(who, "W1", W1.shape, (W1.shape[0], x.shape[-1]))
    check_same_shape(who, "W2", W2.shape, (x.shape[-1], W1.shape[0]))
    return ORDERS[order]


def _walk(
    x: Rows, steps: Sequence[str], weights: Iterator[np.ndarray], eps: float
) -> tuple[Rows, list[tuple[str, np.ndarray]]]:
    """Take the steps one by one; return the end and each step with its input."""
    seen = []
    for step in steps:
        seen.append((step, x))
        if step == "conv":
            x = x @ next(weights).T
        else:
            x = np.maximum(x, 0) if step == "relu" else bn_s(x, eps)
    return x, seen


def _walk_back(
    v: Rows, seen: list[tuple[str, np.ndarray]], weights: list[np.ndarray], eps: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Undo `_walk` for a gradient; return the gradient at its start and those of the weights."""
    grads, left = [], iter(weights)
    for step, x in reversed(seen):
        if step == "conv":
            grads.append(v.T @ x)
            v = v @ next(left)
        elif step == "relu":
            v = v * (x > 0)
        else:
            v = bn_s_vjp(v, x, eps)
    return v, grads


def block_parameters(
    inputs: int,
    outputs: int,
    order: str = "original",
    *,
    stride: int = 1,
    shortcut: str = "B",
    skip: bool = True,
) -> int:
    """Count the parameters of a block of two 3x3 convolutions, without building it.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        order: one of the names in ``ORDERS``.
        stride: of the first convolution.
        shortcut: as in `nnbook.nn.OrderedBlock`.
        skip: whether there is a shortcut.

    Returns:
        The number of weights, scales and shifts.

    Raises:
        ValueError: if a name is not known or a count is too small.

    Examples:
        >>> block_parameters(16, 16)
        4672
        >>> block_parameters(16, 32, stride=2) - block_parameters(16, 32, stride=2, shortcut="A")
        576
    """
    who = "block_parameters"
    check_choice(who, "order", order, ORDERS)
    check_choice(who, "shortcut", shortcut, SHORTCUTS)
    for name, count in (("inputs", inputs), ("outputs", outputs), ("stride", stride)):
        check_count(who, name, count)
    branch, after = ORDERS[order]
    total, channels = 0, inputs
    for step in branch + after:
        if step == "conv":
            total += 9 * channels * outputs
            channels = outputs
        elif step == "bn":
            total += 2 * channels
    if skip and shortcut == "B" and (stride > 1 or inputs != outputs):
        total += inputs * outputs + (2 * outputs if branch[-1] != "conv" else 0)
    return total  # eq. rn-eq-count


def resnet_parameters(
    blocks: int,
    widths: Sequence[int] = (16, 32, 64),
    inputs: int = 1,
    classes: int = 10,
    order: str = "original",
    *,
    shortcut: str = "B",
    skip: bool = True,
) -> int:
    """Count the parameters of `nnbook.nn.ResNet`, without building it.

    Args:
        blocks: blocks of each stage.
        widths: channels of each stage; every stage but the first halves height and width.
        inputs: channels of the pictures.
        classes: outputs of the last layer.
        order: one of the names in ``ORDERS``.
        shortcut: as in `nnbook.nn.OrderedBlock`.
        skip: whether there are shortcuts.

    Returns:
        The number of parameters.

    Raises:
        ValueError: if a name is not known, a count is too small or there is no stage.

    Examples:
        >>> resnet_parameters(3, inputs=3, shortcut="A")
        269722
    """
    check_not_empty("resnet_parameters", "widths", widths)
    check_count("resnet_parameters", "blocks", blocks)
    check_choice("resnet_parameters", "order", order, ORDERS)
    first, last = ENDS.get(order, (("bn",), ()))
    total = 9 * inputs * widths[0] + 2 * widths[0] * first.count("bn")
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            total += block_parameters(
                before, width, order, stride=stride, shortcut=shortcut, skip=skip
            )
            before = width
    return total + 2 * before * last.count("bn") + before * classes + classes
