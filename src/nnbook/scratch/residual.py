"""The residual block of two affine maps, its Jacobian, and stacks of it.

The block is z + c s(MM_1(s(MM_2(z)))). An activation is a map, a pair ``(f, f_vjp)`` as in
`nnbook.scratch.composition`; ``last`` is the one at the end of the branch, and `identity` leaves
it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nnbook._check.convolution import check_keeps_width

from .activations import relu, relu_vjp
from .composition import Map
from .linear import mm, mm_vjp

Array = np.ndarray
Block = tuple[Array, Array, Array, Array]
"""The parameters (W1, b1, W2, b2) of one block: W2 comes first on the way, as in the equation."""
RELU: Map = (relu, relu_vjp)


def residual_block(
    z: Float[np.ndarray, "*batch d"],
    W1: Float[np.ndarray, "d h"],
    b1: Float[np.ndarray, " d"],
    W2: Float[np.ndarray, "h d"],
    b2: Float[np.ndarray, " h"],
    *,
    activation: Map = RELU,
    last: Map | None = None,
    scale: float | int = 1.0,
) -> Float[np.ndarray, "*batch d"]:
    r"""Add to each vector what a branch of two affine maps makes of it.

    .. math:: \operatorname{Res}(z) = z + c\, \sigma\big(W_1\, \sigma(W_2 z + b_2) + b_1\big)

    The branch must return vectors of the length that it takes, because nothing is broadcast. For
    another length use `residual` with a projection.

    Args:
        z: vectors of length d, with any axes in front.
        W1, b1: the second affine map, from h to d numbers.
        W2, b2: the first affine map, from d to h numbers.
        activation: a pair ``(f, f_vjp)`` between the two maps.
        last: the one at the end of the branch; None means the same again, `identity` none.
        scale: the factor c of the branch.

    Returns:
        Vectors of length d, with the axes of z in front.

    Raises:
        ValueError: if the shapes do not fit.

    Source:
        He, Zhang, Ren and Sun (2016), "Deep Residual Learning for Image Recognition",
        arXiv:1512.03385, for the sum; theirs has an activation after the addition.

    Examples:
        >>> one, zero = np.eye(2), np.zeros(2)
        >>> residual_block(np.array([3.0, -4.0]), one, zero, one, zero)
        array([ 6., -4.])
    """
    check_keeps_width("residual_block", W1.shape[0], z.shape[-1] if z.ndim else 0, WIDTHS)
    hidden = activation[0](mm(z, W2, b2))  # *batch h, eq. res-eq-branch
    branch = (last or activation)[0](mm(hidden, W1, b1))  # *batch d, eq. res-eq-branch
    return z + scale * branch  # *batch d, eq. res-eq-block


WIDTHS = "give W1 as many rows as z has entries, or add a projection of z with `residual`"


def residual_block_vjp(
    v: Float[np.ndarray, "*batch d"],
    z: Float[np.ndarray, "*batch d"],
    W1: Float[np.ndarray, "d h"],
    b1: Float[np.ndarray, " d"],
    W2: Float[np.ndarray, "h d"],
    b2: Float[np.ndarray, " h"],
    *,
    activation: Map = RELU,
    last: Map | None = None,
    scale: float | int = 1.0,
) -> tuple[Array, Array, Array, Array, Array]:
    r"""Return the gradients of the scalar <v, residual_block(z, ...)>.

    .. math:: \bar z = v + c\, W_2^\top D_2 W_1^\top D_1 v

    Args:
        v: gradient at the output.
        z: input of `residual_block`.
        W1, b1, W2, b2: its parameters.
        activation, last, scale: as there.

    Returns:
        The gradients of z, W1, b1, W2 and b2.
    """
    check_keeps_width("residual_block_vjp", W1.shape[0], z.shape[-1] if z.ndim else 0, WIDTHS)
    inner = mm(z, W2, b2)  # *batch h
    hidden = activation[0](inner)  # *batch h
    outer = mm(hidden, W1, b1)  # *batch d
    at_outer = (last or activation)[1](scale * v, outer)  # *batch d, eq. res-eq-vjp
    at_hidden, at_W1, at_b1 = mm_vjp(at_outer, hidden, W1, b1)
    at_inner = activation[1](at_hidden, inner)  # *batch h, eq. res-eq-vjp
    at_branch, at_W2, at_b2 = mm_vjp(at_inner, z, W2, b2)
    return v + at_branch, at_W1, at_b1, at_W2, at_b2  # eq. res-eq-vjp


def branch_jacobian(
    z: Float[np.ndarray, "*batch d"],
    W1: Float[np.ndarray, "d h"],
    b1: Float[np.ndarray, " d"],
    W2: Float[np.ndarray, "h d"],
    b2: Float[np.ndarray, " h"],
    *,
    activation: Map = RELU,
    last: Map | None = None,
    scale: float | int = 1.0,
) -> Float[np.ndarray, "*batch d d"]:
    r"""Return the Jacobian A of the branch; that of the block is I + A.

    .. math:: A = c\, D_1 W_1 D_2 W_2

    :math:`D_1` and :math:`D_2` are diagonal and hold the slopes of the activations, which must act
    on each entry alone.

    Args:
        z: input of `residual_block`.
        W1, b1, W2, b2: its parameters.
        activation, last, scale: as there.

    Returns:
        A matrix for each vector of z.
    """
    check_keeps_width("branch_jacobian", W1.shape[0], z.shape[-1] if z.ndim else 0, WIDTHS)
    inner = mm(z, W2, b2)  # *batch h
    outer = mm(activation[0](inner), W1, b1)  # *batch d
    slopes_2 = activation[1](np.ones_like(inner), inner)  # *batch h, eq. res-eq-slopes
    slopes_1 = (last or activation)[1](np.ones_like(outer), outer)  # *batch d, eq. res-eq-slopes
    D1, D2 = slopes_1[..., None], slopes_2[..., None]  # they scale rows, as diagonal matrices do
    return scale * (D1 * (W1 @ (D2 * W2)))  # *batch d d, eq. res-eq-jacobian


def residual_stack(
    z: Float[np.ndarray, "*batch d"],
    blocks: Sequence[Block],
    *,
    activation: Map = RELU,
    last: Map | None = None,
    scale: float | int = 1.0,
) -> Float[np.ndarray, "*batch d"]:
    r"""Apply residual blocks one after the other; none gives the input.

    .. math:: z_l = \operatorname{Res}_l(z_{l-1})

    Args:
        z: vectors of length d, with any axes in front.
        blocks: the parameters (W1, b1, W2, b2) of each block.
        activation, last, scale: as in `residual_block`, the same in all blocks.

    Returns:
        Vectors of length d.
    """
    for parameters in blocks:
        z = residual_block(z, *parameters, activation=activation, last=last, scale=scale)
    return z  # *batch d, eq. res-eq-stack


def residual_stack_vjp(
    v: Float[np.ndarray, "*batch d"],
    z: Float[np.ndarray, "*batch d"],
    blocks: Sequence[Block],
    *,
    activation: Map = RELU,
    last: Map | None = None,
    scale: float | int = 1.0,
) -> tuple[Array, list[Block]]:
    r"""Return the gradients of the scalar <v, residual_stack(z, blocks)>.

    .. math:: \bar z = (I + A_1^\top)(I + A_2^\top) \cdots (I + A_L^\top)\, v

    The last block is the first to act on v.

    Args:
        v: gradient at the output.
        z: input of `residual_stack`.
        blocks: the parameters of each block.
        activation, last, scale: as in `residual_block`.

    Returns:
        The gradient of z, and for each block the gradients of (W1, b1, W2, b2).
    """
    inputs = [z]
    for parameters in blocks:
        inputs.append(
            residual_block(inputs[-1], *parameters, activation=activation, last=last, scale=scale)
        )
    grads: list[Block] = []
    for parameters, x in zip(reversed(blocks), reversed(inputs[:-1]), strict=True):
        v, at_W1, at_b1, at_W2, at_b2 = residual_block_vjp(
            v, x, *parameters, activation=activation, last=last, scale=scale
        )  # eq. res-eq-stack-vjp
        grads.append((at_W1, at_b1, at_W2, at_b2))
    return v, grads[::-1]
