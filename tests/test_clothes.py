"""The experiment on clothes: the same seed gives the same number, and nothing outside changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nnbook.claims import ClaimFailed, clothes, run
from nnbook.claims._core import get


def test_a_seed_decides_everything_and_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    short = {"epochs": 1, "images": 200}
    first = clothes.fashion_accuracy((784, 8, 10), 1, **short)
    torch.rand(3)
    again = clothes.fashion_accuracy((784, 8, 10), 1, **short)
    other = clothes.fashion_accuracy((784, 8, 10), 2, **short)
    assert first == again != other
    torch.manual_seed(5)
    assert torch.equal(before, torch.get_rng_state())
    clothes.fashion_accuracy((784, 8, 10), 1, **short)
    assert torch.equal(before, torch.get_rng_state())


def test_training_helps():
    untrained = clothes.fashion_accuracy((784, 16, 10), 0, epochs=0)
    trained = clothes.fashion_accuracy((784, 16, 10), 0, epochs=2, images=1000)
    assert trained > untrained + 0.3


def test_a_measurement_outside_its_band_fails():
    claim = get("clo-untrained")
    with pytest.raises(ClaimFailed, match="outside its band"):
        run(replace(claim, band=(0.5, 1.0)))
