"""The experiments of the topic cnn: right counts, right shifts, and able to see a difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tools import close

from nnbook import nn
from nnbook.claims import _cnn_trained as lab
from nnbook.claims import cnn


def test_the_two_networks_have_as_many_parameters_and_ten_outputs():
    counts = [lab.parameters(model) for model in (lab.lenet(), lab.dense())]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)
    x = torch.zeros(2, 1, 28, 28)
    assert lab.lenet()(x).shape == lab.dense()(x).shape == (2, 10)


def test_the_layers_of_lenet_are_those_whose_fields_are_computed():
    layers = []
    for module in lab.lenet():
        if isinstance(module, nn.Conv2d):
            layers.append((module.kernel_size[0], module.stride[0], module.dilation[0]))
        if isinstance(module, nn.MaxPool2d):
            layers.append((module.kernel_size, module.stride, module.dilation))
    assert layers == cnn.LENET


def test_a_shift_moves_every_picture_and_brings_the_background_in():
    x = np.arange(2 * 12.0).reshape(2, 1, 3, 4) + 5
    up, down, left, right = lab.moved(x, 1)
    close(down[:, :, 1:], x[:, :, :-1])
    close(up[:, :, :-1], x[:, :, 1:])
    close(right[..., 1:], x[..., :-1])
    close(left[..., :-1], x[..., 1:])
    assert all((part == 5).sum() >= 6 for part in (up, down, left, right))
    assert lab.moved(x, 0) == [x]


def test_pixels_are_put_in_the_same_order_in_both_parts():
    order = np.random.default_rng(1).permutation(784)
    x, y, z, _ = lab.pictures(images=50)
    shuffled, _, other, _ = lab.pictures(order, images=50)
    assert x.shape == (50, 1, 28, 28)
    assert y.shape == (50,)
    close(shuffled.reshape(50, 784), x.reshape(50, 784)[:, order])
    close(other.reshape(-1, 784), z.reshape(-1, 784)[:, order])


def test_a_seed_decides_everything_and_the_global_generator_is_left_alone(monkeypatch):
    monkeypatch.setattr(lab, "EPOCHS", 1)
    x, y, z, classes = lab.pictures(images=200)
    monkeypatch.setattr(lab, "pictures", lambda order=None: (x, y, z[:100], classes[:100]))
    before = torch.get_rng_state()
    first, again, other = (lab.trained.__wrapped__("lenet", seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    states = [model.state_dict()["0.weight"] for model in (first, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_the_head_is_conv_then_affine():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)
    W, b = rng.normal(size=(2, 3, 3, 4)), rng.normal(size=2)
    t = [torch.tensor(a) for a in (x, kernel, bias, W, b)]
    y = torch.nn.functional.conv2d(t[0], t[1], t[2], padding=1)
    close(cnn.head(x, kernel, bias, W, b, False), t[3].reshape(2, -1) @ y.ravel() + t[4])
    want = t[3].reshape(2, -1) @ y.relu().ravel() + t[4]
    close(cnn.head(x, kernel, bias, W, b, True), want)
