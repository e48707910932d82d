"""The transformer block: attention and a position-wise network, each with a norm and a sum."""

from __future__ import annotations

import numpy as np

from nnbook._check.shapes import check_inner, check_last_axis
from nnbook._check.values import check_count

from .activations import silu, silu_derivative
from .composition import Map, residual, sequential

Array = np.ndarray


def post_norm(attention: Map, ffn: Map, norm1: Map, norm2: Map) -> Map:
    r"""Compose the block of 2017, which normalizes each sum.

    .. math:: u = \mathrm{LN}_1(x + \mathrm{MHA}(x)), \qquad
        y = \mathrm{LN}_2(u + \mathrm{FFN}(u))

    The second sum adds u, not x: it is the same map, a residual followed by a norm, twice.

    Args:
        attention: a pair ``(f, f_vjp)`` on sequences, see `nnbook.scratch.bind`.
        ffn: a pair that treats each position alone.
        norm1: the norm after the first sum.
        norm2: the norm after the second sum.

    Returns:
        The pair of the block.

    Raises:
        ValueError: when it is applied, if a sublayer changes the shape.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", section 3.1, arXiv:1706.03762.

    Examples:
        >>> halve, zero = (lambda x: x / 2, lambda v, x: v / 2), (np.zeros_like, lambda v, x: 0 * v)
        >>> post_norm(zero, zero, halve, halve)[0](np.array([8.0]))  # each norm is on the path
        array([2.])
    """
    return sequential(residual(attention), norm1, residual(ffn), norm2)  # eq. trf-post


def pre_norm(attention: Map, ffn: Map, norm1: Map, norm2: Map) -> Map:
    r"""Compose the block that normalizes what each sublayer reads.

    .. math:: u = x + \mathrm{MHA}(\mathrm{LN}_1(x)), \qquad y = u + \mathrm{FFN}(\mathrm{LN}_2(u))

    Args:
        attention: as in `post_norm`.
        ffn: as in `post_norm`.
        norm1: the norm in front of the attention.
        norm2: the norm in front of the position-wise network.

    Returns:
        The pair of the block.

    Raises:
        ValueError: when it is applied, if a sublayer changes the shape.

    Source:
        Xiong et al. (2020), "On Layer Normalization in the Transformer Architecture",
        arXiv:2002.04745.

    Examples:
        >>> halve, zero = (lambda x: x / 2, lambda v, x: v / 2), (np.zeros_like, lambda v, x: 0 * v)
        >>> pre_norm(zero, zero, halve, halve)[0](np.array([8.0]))  # no norm is on the path
        array([8.])
    """
    first = residual(sequential(norm1, attention))  # eq. trf-pre
    return sequential(first, residual(sequential(norm2, ffn)))  # eq. trf-pre


def swiglu(x: Array, gate: Array, up: Array, down: Array) -> Array:
    r"""Apply two maps, let one gate the other, and map back.

    .. math:: y = W_d \big( \mathrm{SiLU}(W_g x) \odot W_u x \big)

    Args:
        x: vectors, shape ``(*batch, d)``.
        gate: :math:`W_g`, shape (h, d).
        up: :math:`W_u`, shape (h, d).
        down: :math:`W_d`, shape (d, h).

    Returns:
        An array of shape ``(*batch, d)``.

    Raises:
        ValueError: if the shapes do not fit.

    Source:
        Shazeer (2020), "GLU Variants Improve Transformer", arXiv:2002.05202.

    Examples:
        >>> one = np.eye(1)
        >>> swiglu(np.array([2.0]), one, one, one).round(4)
        array([3.5232])
    """
    _check_swiglu("swiglu", x, gate, up, down)
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T  # *batch d, eq. trf-swiglu


def swiglu_vjp(
    v: Array, x: Array, gate: Array, up: Array, down: Array
) -> tuple[Array, Array, Array, Array]:
    r"""Return the gradients of :math:`\langle v, \mathrm{swiglu}(x)\rangle`.

    Args:
        v: the gradient at the output.
        x: the input.
        gate: as in `swiglu`.
        up: as in `swiglu`.
        down: as in `swiglu`.

    Returns:
        The gradients at x, gate, up and down.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_swiglu("swiglu_vjp", x, gate, up, down)
    a, b = x @ gate.T, x @ up.T  # *batch h
    hidden = v @ down  # *batch h
    at_a, at_b = hidden * b * silu_derivative(a), hidden * silu(a)  # *batch h, eq. trf-swiglu-vjp
    rows = [t.reshape(-1, t.shape[-1]) for t in (x, v, at_a, at_b, silu(a) * b)]
    flat_x, flat_v, flat_a, flat_b, flat_h = rows
    at_x = at_a @ gate + at_b @ up  # *batch d, eq. trf-swiglu-vjp
    return at_x, flat_a.T @ flat_x, flat_b.T @ flat_x, flat_v.T @ flat_h


def _check_swiglu(who: str, x: Array, gate: Array, up: Array, down: Array) -> None:
    check_inner(who, down.shape, gate.shape)
    check_inner(who, down.shape, up.shape)
    check_last_axis(who, "x", x.shape, gate.shape[1], "columns of the gate")


def swiglu_hidden(dim: int, multiple_of: int = 1) -> int:
    r"""Return the hidden width at which SwiGLU has about the weights of an FFN of width 4d.

    .. math:: 3 d h = 2 \cdot d \cdot 4d \iff h = \tfrac{8}{3} d

    Args:
        dim: d.
        multiple_of: round to the nearest multiple of this number, at least one of it.

    Returns:
        h.

    Raises:
        ValueError: if a number is below 1.

    Examples:
        >>> swiglu_hidden(6), swiglu_hidden(512), swiglu_hidden(512, 64)
        (16, 1365, 1344)
    """
    d = check_count("swiglu_hidden", "dim", dim)
    k = check_count("swiglu_hidden", "multiple_of", multiple_of)
    return max(1, (16 * d + 3 * k) // (6 * k)) * k  # eq. trf-swiglu-hidden


def transformer_parameters(dim: int, hidden: int | None = None, *, bias: bool = True) -> int:
    r"""Count the parameters of a block: attention, an FFN of one hidden layer, two norms.

    .. math:: \underbrace{4d^2 + 4d}_{\text{attention}} + \underbrace{2dh + h + d}_{\text{FFN}} +
        \underbrace{4d}_{\text{norms}}

    Args:
        dim: d.
        hidden: h; None means 4d, which makes 12 d^2 + 13 d.
        bias: count the shifts of the maps and of the norms.

    Returns:
        The number; the number of heads plays no part.

    Raises:
        ValueError: if a number is below 1.

    Examples:
        >>> transformer_parameters(512)
        3152384
    """
    d = check_count("transformer_parameters", "dim", dim)
    h = 4 * d if hidden is None else check_count("transformer_parameters", "hidden", hidden)
    weights = 4 * d**2 + 2 * d * h + 2 * d  # eq. trf-parameters
    return weights + (4 * d + h + d + 2 * d if bias else 0)  # eq. trf-parameters


def transformer_flops(length: int, dim: int, hidden: int | None = None) -> int:
    r"""Count the multiplications and additions of the matrix products of a block, forward.

    .. math:: t\,(8 d^2 + 4 d h) + 4 t^2 d

    A multiplication with its addition counts as two. Norms, softmax and activation, which are of
    lower order, are left out, as in torch's counter.

    Args:
        length: t, the number of positions.
        dim: d.
        hidden: h; None means 4d, which makes 24 t d^2 + 4 t^2 d.

    Returns:
        The number for one sequence.

    Raises:
        ValueError: if a number is below 1.

    Examples:
        >>> transformer_flops(128, 512) == 24 * 128 * 512**2 + 4 * 128**2 * 512
        True
    """
    t = check_count("transformer_flops", "length", length)
    d = check_count("transformer_flops", "dim", dim)
    h = 4 * d if hidden is None else check_count("transformer_flops", "hidden", hidden)
    return t * (8 * d**2 + 4 * d * h) + 4 * t**2 * d  # eq. trf-flops
