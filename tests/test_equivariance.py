"""Convolution on a circle, its matrices and the moves of a signal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tools import close

from nnbook import scratch
from nnbook.claims.equivariance import border_error, halves, stride_error


@pytest.mark.parametrize("front", [(), (3,), (0,), (2, 3)])
@pytest.mark.parametrize(("m", "k"), [(1, 1), (3, 3), (5, 3), (8, 5), (9, 9), (6, 1)])
def test_the_circle_agrees_with_torch(front, m, k, rng):
    z, w = rng.normal(size=(*front, m)), rng.normal(size=k)
    rows = torch.tensor(z.reshape(-1, 1, m))
    padded = torch.nn.functional.pad(rows, (k // 2, k // 2), mode="circular")
    want = torch.nn.functional.conv1d(padded, torch.tensor(w[None, None])).reshape(z.shape)
    close(scratch.conv1d_circular(z, w), want)
    close(scratch.conv1d_circular_fft(z, w), want)
    close(z @ scratch.circulant(scratch.first_row(w, m)).T, want)


@pytest.mark.parametrize(("m", "k"), [(1, 5), (2, 3), (2, 9), (7, 5), (8, 1), (8, 7)])
def test_zero_padding_by_fourier(m, k, rng):
    z, w = rng.normal(size=(4, m)), rng.normal(size=k)
    close(scratch.conv1d_s_fft(z, w), scratch.conv1d_s_loops(z, w))


def test_shift_and_slide():
    z = np.array([[1.0, 2.0, 4.0]])
    close(scratch.shift(z, 2), np.array([[2.0, 4.0, 1.0]]))
    close(scratch.shift(z, -1), np.array([[2.0, 4.0, 1.0]]))
    close(scratch.slide(z, 0), z)
    close(scratch.slide(z, 2), np.array([[0.0, 0.0, 1.0]]))
    close(scratch.slide(z, 7), np.zeros((1, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    z, w = rng.normal(size=(2, 7)).astype(dtype), rng.normal(size=3).astype(dtype)
    got = [scratch.conv1d_circular(z, w), scratch.conv1d_circular_fft(z, w)]
    got += [scratch.conv1d_s_fft(z, w), scratch.first_row(w, 7), scratch.shift(z)]
    assert {a.dtype for a in got} == {np.dtype(dtype)}


def test_what_the_chapter_measures_is_zero_where_it_must_be():
    assert stride_error(3, 6, 0) < 1e-12
    assert stride_error(3, 1, 0) > 0.1
    assert border_error(64, 0, half=0) == 0  # a kernel of one weight has no border
    assert border_error(64, 0) > 0


def test_the_two_sets_hold_the_pattern_in_their_half():
    (left, _), (right, kinds) = halves(400, 3)
    half = left.shape[1] // 2
    energy = [float((s[:, a : a + half] ** 2).mean()) for s in (left, right) for a in (0, half)]
    assert energy[0] > 1.3 * energy[1]
    assert energy[3] > 1.3 * energy[2]
    assert 0.4 < kinds.mean() < 0.6


@pytest.mark.errors
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: scratch.conv1d_circular(np.ones(2), np.ones(3)), "3 weights on a circle of 2"),
        (lambda: scratch.conv1d_circular(np.ones(4), np.ones(2)), "no middle"),
        (lambda: scratch.first_row(np.ones(5), 4), "give at most 4 weights"),
        (lambda: scratch.slide(np.ones(3), -1), "t=-1 is too small"),
    ],
)
def test_errors_say_what_to_do(make, text):
    with pytest.raises(ValueError, match=text):
        make()
