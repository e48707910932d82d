"""Positions for attention: tables of vectors, sines and cosines, rotations, and slopes."""

from __future__ import annotations

from typing import Literal

import numpy as np

from nnbook._check.attention import check_rotary, check_table
from nnbook._check.shapes import check_matrix, check_same_shape
from nnbook._check.values import (
    check_choice,
    check_count,
    check_even,
    check_floating,
    check_index,
    check_range,
)

Array = np.ndarray
Pairing = Literal["interleaved", "halves"]
PAIRINGS = ("interleaved", "halves")


def embedding(index: Array, weight: Array) -> Array:
    r"""Look up a row of a table for each whole number.

    .. math:: y_i = W_{k_i} = W^\top e_{k_i}

    Args:
        index: whole numbers from 0 to the number of rows less one, of any shape.
        weight: the table W, shape (n, d).

    Returns:
        An array of shape ``(*index.shape, d)``.

    Raises:
        TypeError: if the index holds no whole numbers.
        ValueError: if W is no matrix.
        IndexError: if an index is negative or too large.

    Examples:
        >>> embedding(np.array([2, 0]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
        array([[5., 6.],
               [1., 2.]])
    """
    _check_index("embedding", index, weight)
    return weight[index]  # *batch d, eq. pos-embedding


def embedding_vjp(v: Array, index: Array, weight: Array) -> Array:
    r"""Return the gradient of :math:`\langle v, \mathrm{embedding}(k, W)\rangle` at W.

    A row that was looked up several times receives the sum of what reaches its copies.

    Args:
        v: the gradient at the output, of shape ``(*index.shape, d)``.
        index: as in `embedding`.
        weight: the table; only its shape and dtype matter.

    Returns:
        An array of the shape and dtype of W.

    Raises:
        TypeError, ValueError, IndexError: as `embedding`, and if v has another shape.

    Examples:
        >>> embedding_vjp(np.array([[1.0], [10.0]]), np.array([1, 1]), np.zeros((3, 1))).ravel()
        array([ 0., 11.,  0.])
    """
    _check_index("embedding_vjp", index, weight)
    check_same_shape("embedding_vjp", "v", v.shape, (*index.shape, weight.shape[1]))
    grad = np.zeros_like(weight)
    np.add.at(grad, index, v)  # n d, eq. pos-embedding-vjp
    return grad


def _check_index(who: str, index: Array, weight: Array) -> None:
    check_index(who, index.dtype, np.issubdtype(index.dtype, np.integer))
    check_matrix(who, "weight", weight.shape)
    rows = weight.shape[0]
    check_table(who, rows, bool(((index < 0) | (index >= rows)).any()))


def frequencies(dim: int, base: float = 10000.0) -> Array:
    r"""Return the angular frequency of each pair of features.

    .. math:: \omega_i = b^{-2i/d}, \qquad 0 \le i < d/2

    Args:
        dim: d, the number of features; for an odd d the last pair is half a pair.
        base: b.

    Returns:
        An array of ceil(d / 2) falling numbers, the first of which is 1.

    Raises:
        ValueError: if d is below 1, or the base is not positive.

    Examples:
        >>> frequencies(4)
        array([1.  , 0.01])
    """
    check_count("frequencies", "dim", dim)
    check_range("frequencies", "base", base, 0.0, ends="()")
    return np.power(float(base), -np.arange(0, dim, 2) / dim)  # d/2, eq. pos-frequencies


def sinusoidal(positions: Array, dim: int, base: float = 10000.0) -> Array:
    r"""Write each position as sines and cosines of falling frequency.

    .. math:: \mathrm{PE}(p)_{2i} = \sin(\omega_i p), \qquad
        \mathrm{PE}(p)_{2i+1} = \cos(\omega_i p)

    Args:
        positions: numbers, of any shape; fractions and negative numbers are allowed.
        dim: d, the number of features. An odd d ends in a sine without its cosine.
        base: as in `frequencies`.

    Returns:
        An array of shape ``(*positions.shape, d)``, in float64.

    Raises:
        ValueError: as `frequencies`.

    Source:
        Vaswani et al. (2017), "Attention Is All You Need", section 3.5, arXiv:1706.03762.

    Examples:
        >>> sinusoidal(np.array([0, 1]), 4, base=100.0).round(4)
        array([[0.    , 1.    , 0.    , 1.    ],
               [0.8415, 0.5403, 0.0998, 0.995 ]])
    """
    angles = np.multiply.outer(positions, frequencies(dim, base))  # *batch d/2, eq. pos-angle
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # *batch d/2 2, eq. pos-sinusoidal
    return waves.reshape(*np.shape(positions), -1)[..., :dim]


def rope(
    x: Array,
    positions: Array,
    *,
    base: float = 10000.0,
    pairing: Pairing = "interleaved",
) -> Array:
    r"""Rotate each pair of features by an angle that grows with the position.

    .. math:: y_{2i} + \mathrm{i}\, y_{2i+1} = e^{\mathrm{i} \omega_i p}
        (x_{2i} + \mathrm{i}\, x_{2i+1})

    ``pairing="interleaved"`` pairs neighbours, as the equation says and as RoFormer and GPT-J do;
    ``"halves"`` pairs feature i with feature i + d/2, as GPT-NeoX and LLaMA in its Hugging Face
    form do. `rope_permutation` maps one into the other.

    Args:
        x: queries or keys, shape ``(*batch, t, d)`` with an even d.
        positions: of each row, shape (t,).
        base: as in `frequencies`.
        pairing: which features form a pair.

    Returns:
        An array of the shape and dtype of x.

    Raises:
        ValueError: if d is odd, if there is not one position per row, or the pairing is unknown.
        TypeError: if x holds no floating point numbers.

    Source:
        Su et al. (2021), "RoFormer: Enhanced Transformer with Rotary Position Embedding",
        arXiv:2104.09864.

    Examples:
        >>> rope(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])).round(4)
        array([[1.    , 0.    ],
               [0.5403, 0.8415]])
    """
    return _rotate("rope", x, positions, base, pairing, 1)


def rope_vjp(
    v: Array,
    positions: Array,
    *,
    base: float = 10000.0,
    pairing: Pairing = "interleaved",
) -> Array:
    r"""Return the gradient of :math:`\langle v, \mathrm{rope}(x)\rangle` at x: rotate v back.

    Args:
        v: the gradient at the output.
        positions: as in `rope`.
        base: as in `rope`.
        pairing: as in `rope`.

    Returns:
        An array of the shape and dtype of v.

    Raises:
        ValueError, TypeError: as `rope`.

    Examples:
        >>> x, p = np.array([[3.0, 4.0]]), np.array([7])
        >>> rope_vjp(rope(x, p), p).round(12)  # a rotation is undone by its transpose
        array([[3., 4.]])
    """
    return _rotate("rope_vjp", v, positions, base, pairing, -1)


def _rotate(who: str, x: Array, positions: Array, base: float, pairing: Pairing, way: int) -> Array:
    check_floating(who, "x", x.dtype, np.issubdtype(x.dtype, np.floating))
    check_choice(who, "pairing", pairing, PAIRINGS)
    check_rotary(who, "x", x.shape)
    check_same_shape(who, "positions", np.shape(positions), x.shape[-2:-1])
    angles = way * np.multiply.outer(positions, frequencies(x.shape[-1], base))  # t d/2
    cos, sin = np.cos(angles), np.sin(angles)  # t d/2, eq. pos-angle
    first, second = _pairs(x.shape[-1], pairing)
    a, b = x[..., first], x[..., second]  # *batch t d/2
    y = np.empty_like(x)
    y[..., first] = a * cos - b * sin  # *batch t d/2, eq. pos-rope
    y[..., second] = a * sin + b * cos  # *batch t d/2, eq. pos-rope
    return y


def _pairs(dim: int, pairing: Pairing) -> tuple[slice, slice]:
    if pairing == "interleaved":
        return slice(0, dim, 2), slice(1, dim, 2)
    return slice(0, dim // 2), slice(dim // 2, dim)


def rope_permutation(dim: int) -> Array:
    r"""Return the order of features that turns the interleaved pairing into that of halves.

    With ``p = rope_permutation(d)``: ``rope(x, t, pairing="interleaved")[..., p]`` equals
    ``rope(x[..., p], t, pairing="halves")``.

    Args:
        dim: d, an even number.

    Returns:
        The numbers 0, 2, 4, ..., 1, 3, 5, ...

    Raises:
        ValueError: if d is odd or below 2.

    Examples:
        >>> rope_permutation(6)
        array([0, 2, 4, 1, 3, 5])
    """
    check_count("rope_permutation", "dim", dim, least=2)
    check_even("rope_permutation", "dim", dim)
    return np.concatenate([np.arange(0, dim, 2), np.arange(1, dim, 2)])  # d, eq. pos-permutation


def alibi_slopes(heads: int) -> Array:
    r"""Return the slope of each head.

    .. math:: m_j = 2^{-8j/h}, \qquad j = 1, \dots, h

    for a power of two h. For other h, as in the authors' code: the slopes of the largest power of
    two below h, then every other slope of the next one.

    Args:
        heads: h.

    Returns:
        An array of h positive numbers.

    Raises:
        ValueError: if h is below 1.

    Source:
        Press, Smith and Lewis (2022), "Train Short, Test Long: Attention with Linear Biases
        Enables Input Length Extrapolation", arXiv:2108.12409.

    Examples:
        >>> alibi_slopes(2), alibi_slopes(3)
        (array([0.0625    , 0.00390625]), array([0.0625    , 0.00390625, 0.25      ]))
    """
    h = check_count("alibi_slopes", "heads", heads)
    power = 1 << (h.bit_length() - 1)
    slopes = 2.0 ** (-8.0 * np.arange(1, power + 1) / power)  # h, eq. pos-slopes
    between = 2.0 ** (-4.0 * np.arange(1, 2 * (h - power), 2) / power)
    return np.concatenate([slopes, between])


def alibi(heads: int, queries: int, keys: int, *, causal: bool = True, offset: int = 0) -> Array:
    r"""Return what ALiBi adds to the scores: minus the distance, times the slope of the head.

    .. math:: b_{jqk} = -m_j \lvert q + o - k \rvert

    Args:
        heads: h.
        queries: the number of queries; the first one stands at position ``offset``.
        keys: the number of keys; the first one stands at position 0.
        causal: put -inf where a key comes after the query.
        offset: o, how many keys came before the first query.

    Returns:
        An array of shape (h, queries, keys).

    Raises:
        ValueError: if a count is negative, or there are no heads.

    Source:
        Press, Smith and Lewis (2022), arXiv:2108.12409.

    Examples:
        >>> alibi(1, 3, 3)[0] * 256
        array([[  0., -inf, -inf],
               [ -1.,   0., -inf],
               [ -2.,  -1.,   0.]])
    """
    for name, count in (("queries", queries), ("keys", keys), ("offset", offset)):
        check_count("alibi", name, count, least=0)
    ahead = np.arange(keys) - (np.arange(queries) + offset)[:, None]  # q k
    bias = alibi_slopes(heads)[:, None, None] * -np.abs(ahead)  # h q k, eq. pos-alibi
    return np.where(ahead > 0, -np.inf, bias) if causal else bias
