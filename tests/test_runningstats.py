"""Running statistics and the map they make: parity with torch, folding, errors."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tools import close, numeric_vjp, torch_vjp

from nnbook import nn, scratch
from nnbook.claims import runningstats as claims

fused = torch.nn.functional.batch_norm
SHAPES = [(5, 3), (2, 1), (3, 2, 4), (2, 3, 4, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, 0.35])
def test_the_update_is_torchs(shape, momentum, rng):
    x = 3 * rng.normal(size=shape) + 1
    mean, var = rng.normal(size=shape[1]), rng.uniform(0.5, 2, size=shape[1])
    kept = torch.tensor(mean), torch.tensor(var)
    fused(torch.tensor(x), *kept, training=True, momentum=momentum)
    close(scratch.running_update(mean, var, x, momentum), kept)


def test_no_momentum_gives_plain_means_as_in_torch(rng):
    norm = torch.nn.BatchNorm1d(2, momentum=None, dtype=torch.float64)
    batches = rng.normal(size=(4, 5, 2)) + np.arange(4.0)[:, None, None]
    mean, var = np.zeros(2), np.ones(2)
    for seen, x in enumerate(batches):
        norm(torch.tensor(x))
        mean, var = scratch.running_update(mean, var, x, None, seen)
    close((mean, var), (batches.mean((0, 1)), batches.var(1, ddof=1).mean(0)))
    close((mean, var), (norm.running_mean, norm.running_var))


@pytest.mark.parametrize("shape", [*SHAPES, (0, 3), (1, 2)], ids=str)
@pytest.mark.parametrize("have", ["", "gamma", "beta", "gamma beta"])
def test_eval_and_its_vjp_agree_with_torch(shape, have, rng):
    x, v = rng.normal(size=(2, *shape))
    mean, var = rng.normal(size=shape[1]), rng.uniform(0.5, 2, size=shape[1])
    affine = {n: rng.normal(size=shape[1]) for n in have.split()}
    stats = torch.tensor(mean), torch.tensor(var)

    def f(x, *values):
        given = dict(zip(affine, values, strict=True))
        return fused(x, *stats, given.get("gamma"), given.get("beta"), False, 0.0, 0.3)

    expected, grads = torch_vjp(f, (x, *affine.values()), v)
    close(scratch.batch_norm_eval(x, mean, var, **affine, eps=0.3), expected)
    got = scratch.batch_norm_eval_vjp(v, x, mean, var, **affine, eps=0.3)
    assert [g is None for g in got[1:]] == ["gamma" not in affine, "beta" not in affine]
    close([g for g in got if g is not None], list(grads))
    numeric = numeric_vjp(
        lambda x: scratch.batch_norm_eval(x, mean, var, **affine, eps=0.3), (x,), v
    )
    close(got[0], numeric[0], 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_dtype_is_kept(dtype, rng):
    x, v = rng.normal(size=(2, 4, 3)).astype(dtype)
    mean, var, gamma, beta = rng.uniform(1, 2, size=(4, 3)).astype(dtype)
    got = [*scratch.running_update(mean, var, x), scratch.batch_norm_eval(x, mean, var)]
    got += scratch.batch_norm_eval_vjp(v, x, mean, var, gamma, beta)
    got += scratch.fold_batch_norm(rng.normal(size=(3, 2)).astype(dtype), beta, mean, var, gamma)
    assert {a.dtype for a in got} == {np.dtype(dtype)}


def conv(name, groups, bias):
    options = {"groups": groups, "bias": bias, "stride": 2, "padding": 1, "dilation": 1}
    return getattr(torch.nn, name)(4, 6, 3, **options).double()


LAYERS = {
    "Linear": (lambda: torch.nn.Linear(3, 6).double(), (5, 3)),
    "Linear of nnbook": (lambda: nn.Linear(3, 6).double(), (5, 3)),
    "Linear without bias": (lambda: nn.Linear(3, 6, bias=False).double(), (5, 3)),
    "Conv1d": (lambda: conv("Conv1d", 1, True), (3, 4, 7)),
    "Conv1d in groups": (lambda: conv("Conv1d", 2, False), (3, 4, 7)),
    "Conv2d": (lambda: conv("Conv2d", 1, False), (2, 4, 7, 5)),
    "Conv2d in groups": (lambda: conv("Conv2d", 2, True), (2, 4, 7, 5)),
    "Conv2d, one group per channel": (
        lambda: torch.nn.Conv2d(6, 6, (3, 2), groups=6, padding_mode="reflect", padding=1).double(),
        (2, 6, 7, 5),
    ),
}
NORMS = [{}, {"affine": False}, {"bias": False}, {"eps": 0.5}]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", NORMS, ids=str)
@pytest.mark.parametrize("lib", [nn, torch.nn], ids=["nnbook", "torch"])
def test_a_folded_layer_does_what_the_two_did(name, options, lib):
    make, shape = LAYERS[name]
    layer, x = make(), 2 * torch.randn(shape, dtype=torch.float64) + 1
    cls = lib.BatchNorm2d if len(shape) == 4 else lib.BatchNorm1d
    norm = cls(6, **options, dtype=torch.float64)
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.randn(6))
    for _ in range(3):
        norm(layer(x + torch.randn(shape)))
    norm.eval()
    before = copy.deepcopy((layer.state_dict(), norm.state_dict()))
    folded = nn.fold_batch_norm(layer, norm)
    x = torch.randn(shape, dtype=torch.float64)
    close(folded(x), norm(layer(x)))
    assert type(folded) is type(layer)
    assert folded.bias.requires_grad
    for state, kept in zip((layer.state_dict(), norm.state_dict()), before, strict=True):
        assert all(torch.equal(state[k], w) for k, w in kept.items())
    names = ("running_mean", "running_var", "weight", "bias")
    arrays = [None if t is None else t.detach().numpy() for t in (getattr(norm, n) for n in names)]
    b = None if layer.bias is None else layer.bias.detach().numpy()
    got = scratch.fold_batch_norm(layer.weight.detach().numpy(), b, *arrays, eps=norm.eps)
    close(got, (folded.weight, folded.bias))


def test_a_layer_in_half_precision_stays_so():
    layer, norm = nn.Linear(3, 2).bfloat16(), nn.BatchNorm1d(2).eval()
    layer.weight.requires_grad_(False)
    folded = nn.fold_batch_norm(layer, norm)
    assert folded.weight.dtype == folded.bias.dtype == torch.bfloat16
    assert not folded.weight.requires_grad


# the experiments are right, and able to see a difference


def test_the_convolution_of_the_claims_is_torchs(rng):
    for how in ((1, 1, 0, 1), (2, 1, 0, 1), (1, 2, 1, 1), (2, 3, 2, 2), (1, 1, 2, 3)):
        x, W = rng.normal(size=(2, 4, 7)), rng.normal(size=(6, 4 // how[0], 3))
        b, (groups, stride, padding, dilation) = rng.normal(size=6), how
        options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        want = torch.nn.functional.conv1d(*map(torch.tensor, (x, W, b)), **options)
        close(claims.convolve(x, W, b, *how), want)


def test_taking_statistics_anew_changes_nothing_else():
    model = torch.nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double().eval()
    before = copy.deepcopy(model.state_dict())
    x = 5 + torch.randn(40, 3).double()
    anew = claims.recalibrated(model, x, 20)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())
    assert not anew.training
    assert all(
        torch.equal(a, b) for a, b in zip(anew.parameters(), model.parameters(), strict=True)
    )
    out = model[0](x).detach()
    close(anew[1].running_mean, out.mean(0))
    close(anew[1].running_var, out.view(2, 20, 2).var(1).mean(0))


def test_the_share_of_right_answers():
    x = torch.eye(4).repeat(3, 1)
    y = x.argmax(1)
    assert claims.right(torch.nn.Identity(), x, y, 5) == 1
    assert claims.right(torch.nn.Identity(), x, (y + 1) % 4, 5) == 0
    y[:3] = 3
    assert claims.right(torch.nn.Identity(), x, y, 5) == 0.75


def test_a_model_of_the_experiments_has_learned_and_its_weights_do_not_know_the_momentum():
    models = [claims.model_after(3, 0, m) for m in (0.01, 0.1)]
    first, second = (list(m.parameters()) for m in models)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(models[0][1].running_mean, models[1][1].running_mean)
    assert models[0][1].num_batches_tracked == 3


X, ONE = np.ones((2, 3)), np.ones(3)
REFUSED = [
    (lambda: scratch.running_update(ONE[:2], ONE, X), r"running_update: mean has shape \(2,\)"),
    (lambda: scratch.running_update(ONE, ONE, X[:1]), "more than 1 value per channel"),
    (lambda: scratch.running_update(ONE, ONE, X, 1.5), r"momentum=1.5 lies outside \[0, 1\]"),
    (lambda: scratch.running_update(ONE, ONE, X, None, -1), "seen=-1 is too small"),
    (lambda: scratch.batch_norm_eval(X, ONE, ONE[:1]), r"batch_norm_eval: var has shape \(1,\)"),
    (lambda: scratch.batch_norm_eval(X, ONE, ONE, eps=-1.0), "batch_norm_eval: eps=-1.0"),
    (lambda: scratch.batch_norm_eval(ONE, ONE, ONE), r"x of shape \(3,\) has 1 axes"),
    (lambda: scratch.batch_norm_eval_vjp(X[:1], X, ONE, ONE), r"v has shape \(1, 3\)"),
    (lambda: scratch.fold_batch_norm(X, None, ONE, ONE), r"mean has shape \(3,\) where \(2,\)"),
    (lambda: scratch.fold_batch_norm(X.T, ONE[:2], ONE, ONE), r"b has shape \(2,\) where \(3,\)"),
    (
        lambda: nn.fold_batch_norm(nn.Linear(2, 3), nn.BatchNorm1d(3)),
        "fold_batch_norm: the batch normalization is in train mode",
    ),
    (
        lambda: nn.fold_batch_norm(nn.Linear(2, 3), nn.BatchNorm1d(2).eval()),
        r"the running mean has shape \(2,\) where \(3,\)",
    ),
    (
        lambda: nn.fold_batch_norm(torch.nn.ConvTranspose2d(3, 3, 2), nn.BatchNorm2d(3).eval()),
        "ConvTranspose2d has no weight with one row per output channel",
    ),
    (
        lambda: nn.fold_batch_norm(torch.nn.ReLU(), nn.BatchNorm2d(3).eval()),
        "ReLU has no weight",
    ),
    (
        lambda: nn.fold_batch_norm(
            nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False).eval()
        ),
        "keeps no running statistics",
    ),
]


@pytest.mark.errors
@pytest.mark.parametrize(("call", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_what_cannot_be_done_is_refused(call, text):
    with pytest.raises(ValueError, match=text):
        call()
