"""Convolution on a circle, which the Fourier transform makes diagonal, and what moves a signal.

A signal on a circle has no ends: the entry after the last one is the first.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nnbook._check.convolution import check_fits_circle
from nnbook._check.values import check_count
from nnbook.scratch.conv1d import Kernel, Signal, half_width

Square = Float[np.ndarray, "m m"]


def shift(z: Signal, t: int = 1) -> Signal:
    """Move a signal on a circle by t places; what leaves at one end comes in at the other.

    Args:
        z: signals of m numbers, with any axes in front.
        t: how far to the right, any whole number.

    Returns:
        An array of the shape of z.

    Examples:
        >>> shift(np.array([1.0, 2.0, 4.0]))
        array([4., 1., 2.])
    """
    return np.roll(z, t, axis=-1)  # *batch m, eq. eqv-shift


def slide(z: Signal, t: int) -> Signal:
    """Move a signal by t places to the right; what leaves is lost and zeros come in.

    Args:
        z: signals of m numbers, with any axes in front.
        t: how far, at least 0.

    Returns:
        An array of the shape of z.

    Examples:
        >>> slide(np.array([1.0, 2.0, 4.0]), 1)
        array([0., 1., 2.])
    """
    t = check_count("slide", "t", t, least=0)
    moved = np.zeros_like(z)
    moved[..., t:] = z[..., : max(z.shape[-1] - t, 0)]  # *batch m, eq. eqv-slide
    return moved


def conv1d_circular(z: Signal, w: Kernel) -> Signal:
    r"""Slide a kernel of odd length around a circle.

    .. math:: y_i = \sum_{j=1}^{2l+1} w_j z_{(i - l + j - 1) \bmod m}

    Args:
        z: signals of m numbers, with any axes in front.
        w: k = 2 l + 1 weights, at most m.

    Returns:
        An array of the shape and dtype of z.

    Raises:
        ValueError: if k is even or larger than m.

    Examples:
        >>> conv1d_circular(np.array([1.0, 2.0, 4.0]), np.array([1.0, 0.0, -1.0]))
        array([ 2., -3.,  1.])
    """
    half = half_width("conv1d_circular", w)
    check_fits_circle("conv1d_circular", len(w), z.shape[-1])
    terms = [weight * shift(z, half - j) for j, weight in enumerate(w)]
    return np.sum(terms, axis=0).astype(z.dtype)  # *batch m, eq. eqv-round


def circulant(row: Float[np.ndarray, " m"]) -> Square:
    r"""Return the matrix whose rows are a row and the row moved by 1, 2, ... places.

    .. math:: C_{ab} = c_{(b - a) \bmod m}

    Args:
        row: c, the first row.

    Returns:
        A square matrix.

    Examples:
        >>> circulant(np.array([1.0, 2.0, 3.0]))
        array([[1., 2., 3.],
               [3., 1., 2.],
               [2., 3., 1.]])
    """
    m = len(row)
    return row[(np.arange(m) - np.arange(m)[:, None]) % m]  # m m, eq. eqv-circulant


def first_row(w: Kernel, m: int) -> Float[np.ndarray, " m"]:
    """Return the first row of the matrix of `conv1d_circular`: the kernel, its middle in front.

    Args:
        w: k = 2 l + 1 weights, at most m.
        m: the length of the signals.

    Returns:
        m numbers.

    Examples:
        >>> first_row(np.array([1.0, 2.0, 3.0]), 5)
        array([2., 3., 0., 0., 1.])
    """
    half = half_width("first_row", w)
    check_fits_circle("first_row", len(w), m)
    row = np.zeros(m, w.dtype)
    row[np.arange(-half, half + 1) % m] = w  # m, eq. eqv-row
    return row


def conv1d_circular_fft(z: Signal, w: Kernel) -> Signal:
    r"""Do what `conv1d_circular` does, by the fast Fourier transform.

    .. math:: y = F^{-1} \big( \overline{F c} \odot F z \big)

    Args:
        z: signals of m numbers, with any axes in front.
        w: k = 2 l + 1 weights, at most m.

    Returns:
        An array of the shape and dtype of z.
    """
    m = z.shape[-1]
    factors = np.conj(np.fft.rfft(first_row(w, m)))
    return np.fft.irfft(factors * np.fft.rfft(z), m).astype(z.dtype)  # *batch m, eq. eqv-fft


def conv1d_s_fft(z: Signal, w: Kernel) -> Signal:
    """Do what `conv1d_s` does, on a circle on which l zeros keep the two ends apart.

    Args:
        z: signals of m numbers, with any axes in front.
        w: k = 2 l + 1 weights.

    Returns:
        An array of the shape and dtype of z.
    """
    m, half = z.shape[-1], half_width("conv1d_s_fft", w)
    room = max(half, len(w) - m)  # the circle must also hold the kernel
    wide = np.pad(z, [(0, 0)] * (z.ndim - 1) + [(0, room)])
    return conv1d_circular_fft(wide, w)[..., :m]  # *batch m, eq. eqv-wide
