"""The experiments of the topic batchsize: the same work for all, and a table that was measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tools import close

from nnbook import nn
from nnbook.claims import _batchsize_trained as trained
from nnbook.claims import batchsize


def test_the_normalizations_of_the_claims_are_those_of_torch(rng):
    x = rng.normal(size=(3, 4, 5))
    t = torch.tensor(x)
    want = {
        "batch": torch.nn.BatchNorm1d(4, affine=False),
        "layer": torch.nn.LayerNorm((4, 5), elementwise_affine=False),
        "instance": torch.nn.InstanceNorm1d(4),
        "group": torch.nn.GroupNorm(2, 4, affine=False),
        "RMS": torch.nn.RMSNorm((4, 5), eps=1e-5, elementwise_affine=False),
    }
    got = batchsize.norms(2)
    assert list(got) == list(want)
    for name, f in got.items():
        close(f(x), want[name].double()(t))


def test_dependence_is_found_by_moving_numbers():
    x = np.arange(4.0).reshape(2, 2, 1)
    assert np.array_equal(batchsize.depends(lambda x: 2 * x, x), np.eye(4, dtype=bool))
    assert batchsize.depends(lambda x: x - x.mean(), x).all()
    assert not batchsize.depends(np.zeros_like, x).any()
    first = batchsize.depends(lambda x: x - x[:1], x)  # output 3 depends on inputs 1 and 3
    assert np.array_equal(first[3], [False, True, False, True])


def test_sets_are_those_of_the_definitions():
    shape, sizes = (3, 4, 5), {"batch": 15, "layer": 20, "instance": 5, "group": 10, "RMS": 20}
    for kind, size in sizes.items():
        same = batchsize.shares(kind, 2, shape)
        assert np.array_equal(same, same.T)
        assert (same.sum(axis=0) == size).all()
    group = batchsize.shares("group", 2, shape)[0].reshape(shape)
    assert group[0, :2].all()  # neighbours share a group
    assert group.sum() == 10


class Peeks(torch.nn.Module):
    """Looks at the other samples in eval mode only, and keeps a number."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(7))

    def forward(self, x):
        return x if self.training else x - x.mean(0)


def test_a_row_of_the_table_is_found_by_running():
    row = batchsize.measure("peeks", Peeks())
    assert (row.parameters, row.buffers, row.train_is_eval) == (0, 7, False)
    assert (row.statistics, row.other_samples, row.shift, row.scale) == ("", False, False, False)
    row = batchsize.measure("tokens", nn.LayerNorm(3))
    assert (row.statistics, row.parameters, row.shift, row.scale) == ("W", 6, True, True)
    row = batchsize.measure("group", nn.GroupNorm(2, 4))
    assert row.statistics == "C (2 of 4), H, W"
    assert not row.other_samples
    assert batchsize.measure("batch", nn.BatchNorm2d(4)).other_samples


def test_an_experiment_takes_the_same_number_of_samples_or_of_steps(monkeypatch):
    seen = []
    real = trained.train

    def watched(model, batch, steps, seed, **options):
        seen.append((batch, steps))
        real(model, batch, min(steps, 2), seed, **options)

    monkeypatch.setattr(trained, "train", watched)
    trained.trained.cache_clear()
    f = trained.accuracy
    for batch in (1, 32, 256):
        assert 0 <= f("none", batch, "samples", 0) <= 1
        f("none", batch, "steps", 0)
    assert [b * s for b, s in seen[::2]] == [trained.SAMPLES] * 3
    assert [s for _, s in seen[1::2]] == [trained.STEPS] * 3
    assert math.isnan(f("batch", 1, "samples", 0))
    assert math.isnan(f("batch", 1, "steps", 0))
    assert len(seen) == 6
    trained.trained.cache_clear()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("batch", "BatchNorm1d"),
        ("layer", "LayerNorm"),
        ("group", "GroupNorm"),
        ("none", "Identity"),
    ],
)
def test_a_network_has_the_normalization_where_it_says_so(kind, name):
    names = [type(m).__name__ for m in trained.mlp(kind).children()]
    assert names == ["Flatten", *["Linear", name, "ReLU"] * 2, "Linear"]


def test_all_kinds_start_from_the_same_weights_and_see_the_same_pictures():
    weights = []
    for kind in trained.KINDS:
        torch.manual_seed(4)
        weights.append([m.weight for m in trained.mlp(kind) if isinstance(m, nn.Linear)])
    close(weights[1:], [weights[0]] * 3)
    (x, y), (z, w) = trained.pictures(1)
    assert x.shape == (4096, 1, 14, 14)
    assert z.shape == (1000, 1, 14, 14)
    assert abs(float(x.mean())) < 0.01
    assert (len(y), len(w)) == (4096, 1000)
    assert not torch.equal(trained.pictures(0)[0][1], y)


def test_training_of_one_sample_at_a_time_is_that_of_instance_norm_only_in_train_mode():
    batch, instance = trained.one_by_one(1, 5)
    x = trained.pictures(1)[1][0][:1].double()
    with torch.no_grad():
        close(batch.train()(x), instance(x), 1e-6, 1e-6)
        assert (batch.eval()(x) - instance(x)).abs().max() > 0.01
    kinds = [type(m).__name__ for m in batch]
    assert kinds.count("BatchNorm2d") == 2


def test_fresh_statistics_are_those_of_the_test_sample_and_change_nothing_else():
    before = [t.clone() for t in trained.trained("batch", 2, "samples", 0).state_dict().values()]
    with_running = trained.accuracy("batch", 2, "samples", 0)
    fresh = trained.accuracy_with_fresh_statistics(0)
    assert fresh != with_running
    assert trained.accuracy_with_fresh_statistics(0, 1000) == fresh
    assert 0.1 < trained.accuracy_with_fresh_statistics(0, 2) < fresh
    after = list(trained.trained("batch", 2, "samples", 0).state_dict().values())
    close(after, before)
