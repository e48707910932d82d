"""Convolution of several channels: parity with torch, its matrix, groups, counts, errors."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp

from nnbook import scratch
from nnbook.claims._channels_text import corpus
from nnbook.claims.channels import LETTERS, snippets

# in, out, kernel, groups, steps
CASES = [
    (1, 1, 1, 1, {}),
    (3, 2, 4, 1, {"stride": 2}),
    (2, 5, 3, 1, {"padding": 1, "dilation": 2}),
    (4, 6, 3, 2, {"stride": 2, "padding": 2}),
    (3, 3, 2, 3, {"dilation": 3}),
    (6, 3, 5, 3, {"padding": 3, "stride": 3}),
]


def arrays(case, front, rng, m=9):
    c, n, k, groups, steps = case
    x, w, b = (
        rng.normal(size=(*front, c, m)),
        rng.normal(size=(n, c // groups, k)),
        rng.normal(size=n),
    )
    return x, w, b, rng.normal(size=(*front, n, scratch.output_size(m, k, **steps)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("front", [(), (4,), (2, 3), (0,)])
def test_values_and_gradients_agree_with_torch(case, front, rng):
    x, w, b, v = arrays(case, front, rng)
    groups, steps = case[3:]

    def theirs(x, w, b):
        y = torch.nn.functional.conv1d(x.reshape(-1, *x.shape[-2:]), w, b, **steps, groups=groups)
        return y.reshape(v.shape)

    expected, grads = torch_vjp(theirs, (x, w, b), v)
    close(scratch.conv_channels(x, w, b, groups=groups, **steps), expected)
    close(scratch.conv_channels_vjp(v, x, w, b, groups=groups, **steps), grads)
    without = scratch.conv_channels(x, w, groups=groups, **steps)
    close(without + b[:, None], expected)
    assert len(scratch.conv_channels_vjp(v, x, w, groups=groups, **steps)) == 2
    if groups == 1:
        close(scratch.conv_channels_loops(x, w, b, **steps), expected)
        matrix = scratch.channel_matrix(w, x.shape[-1], **steps)
        flat = x.reshape(*front, matrix.shape[1]) @ matrix.T
        close(flat.reshape(v.shape), without)


@pytest.mark.parametrize("case", CASES[3:5])
def test_the_vjp_agrees_with_central_differences(case, rng):
    x, w, b, v = arrays(case, (2,), rng, m=8)
    groups, steps = case[3:]
    want = numeric_vjp(
        lambda x, w, b: scratch.conv_channels(x, w, b, groups=groups, **steps), (x, w, b), v
    )
    close(scratch.conv_channels_vjp(v, x, w, b, groups=groups, **steps), want, 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    x, w, b, v = (a.astype(dtype) for a in arrays(CASES[1], (2,), rng))
    got = [scratch.conv_channels(x, w, b, stride=2), scratch.conv_channels_loops(x, w, b, stride=2)]
    got += scratch.conv_channels_vjp(v, x, w, b, stride=2)
    assert {a.dtype for a in got} == {np.dtype(dtype)}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_counts_are_those_of_torch(bias, groups):
    for axes, module in ((1, torch.nn.Conv1d), (2, torch.nn.Conv2d)):
        made = module(4, 6, 3, groups=groups, bias=bias)
        count = sum(p.numel() for p in made.parameters())
        assert scratch.conv_parameters(4, 6, 3, groups=groups, bias=bias, axes=axes) == count


def test_snippets_come_in_pairs_with_the_same_letters():
    x, y = snippets(20, 0)
    assert x.shape == (20, 24)
    assert x.max() < len(LETTERS)
    for real, mixed in zip(x[:10], x[10:], strict=True):
        assert sorted(real) == sorted(mixed)
    assert y.tolist() == [1] * 10 + [0] * 10
    fresh, _ = snippets(20, 0, fresh=True)
    assert not np.array_equal(fresh, x)


def test_no_paragraph_of_the_manual_is_in_both_parts():
    from pydoc_data.topics import topics

    first, second = corpus()
    assert 3 < len(first) / len(second) < 5
    long = [
        " ".join(re.findall("[a-z]+", p.lower())) for t in topics.values() for p in t.split("\n\n")
    ]
    long = [p for p in long if len(p) > 200]
    assert len(long) > 100
    assert not [p for p in long if p in first and p in second]


@pytest.mark.errors
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: scratch.conv_channels(np.ones((3, 9)), np.ones((4, 2, 3))),
            r"shape \(3, 9\) must be",
        ),
        (
            lambda: scratch.conv_channels(np.ones((4, 9)), np.ones((3, 2, 3)), groups=2),
            r"n=3 channels cannot be split",
        ),
        (lambda: scratch.conv_channels(np.ones((3, 9)), np.ones((4, 3))), "outputs, inputs, k"),
        (
            lambda: scratch.conv_channels(np.ones((1, 9)), np.ones((4, 1, 3)), np.ones(3)),
            r"b of shape \(3,\)",
        ),
        (
            lambda: scratch.conv_channels_vjp(np.ones((4, 9)), np.ones((1, 9)), np.ones((4, 1, 3))),
            r"v has shape \(4, 9\) where \(4, 7\)",
        ),
        (lambda: scratch.conv_parameters(3, 4, 5, groups=2), "c=3 channels"),
    ],
)
def test_errors_say_what_to_do(make, text):
    with pytest.raises(ValueError, match=text):
        make()
