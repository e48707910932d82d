"""Attention in blocks: the same values and gradients, masks, empty rows, memory, errors."""

from __future__ import annotations

import numpy as np
import pytest
from tools import close, numeric_vjp, torch_vjp
from torch.nn.functional import scaled_dot_product_attention as fused

from nnbook.claims._memory import peak_bytes
from nnbook.scratch import (
    attention,
    attention_vjp,
    finish,
    merge,
    partial,
    tiled_attention,
    tiled_attention_vjp,
)

CASES = [((), 3, 5), ((2,), 1, 1), ((2, 3), 5, 4), ((0,), 2, 3), ((2,), 0, 3), ((2,), 3, 0)]
CASES += [((), 7, 2), ((), 2, 7)]


def arrays(rng, front, n, m, d=4, e=3):
    """Return q, k, v and a cotangent, of random numbers."""
    shapes = [(*front, n, d), (*front, m, d), (*front, m, e), (*front, n, e)]
    return [1.5 * rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize(("front", "n", "m"), CASES)
@pytest.mark.parametrize("kind", ["none", "bool", "float", "row", "vector", "causal"])
@pytest.mark.parametrize("block", [1, 2, 3, 64])
@pytest.mark.parametrize("scale", [None, 0.4])
def test_the_blocks_do_not_show(front, n, m, kind, block, scale, rng):
    q, k, v, g = arrays(rng, front, n, m)
    some = rng.random((n, m)) < 0.5
    some[:1] = False
    mask = {"bool": some, "float": rng.normal(size=(n, m)), "row": some[:, :1]}.get(kind)
    mask = rng.normal(size=m) if kind == "vector" else mask
    options = {"mask": mask, "causal": kind == "causal", "scale": scale}
    close(tiled_attention(q, k, v, **options, block=block), attention(q, k, v, **options))
    got = tiled_attention_vjp(g, q, k, v, **options, block=block)
    close(got, attention_vjp(g, q, k, v, **options))


def test_values_and_gradients_agree_with_torch_and_with_differences(rng):
    q, k, v, g = arrays(rng, (2,), 5, 5)
    want, grads = torch_vjp(lambda *a: fused(*a, is_causal=True), (q, k, v), g)
    close(tiled_attention(q, k, v, causal=True, block=2), want)
    got = tiled_attention_vjp(g, q, k, v, causal=True, block=2)
    close(got, grads)
    f = numeric_vjp(lambda *a: tiled_attention(*a, causal=True, block=2), (q, k, v), g)
    close(got, f, 1e-6, 1e-6)


def test_axes_in_front_are_broadcast(rng):
    q, k, v = (rng.normal(size=s) for s in ((4, 1, 3, 5), (2, 6, 5), (1, 6, 7)))
    g = rng.normal(size=(4, 2, 3, 7))
    close(tiled_attention(q, k, v, block=2), attention(q, k, v))
    close(tiled_attention_vjp(g, q, k, v, block=2), attention_vjp(g, q, k, v))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_dtype_is_kept(dtype, rng):
    q, k, v, g = (a.astype(dtype) for a in arrays(rng, (2,), 3, 4))
    got = [tiled_attention(q, k, v, block=2), *tiled_attention_vjp(g, q, k, v, block=2)]
    assert {a.dtype for a in got} == {np.dtype(dtype)}
    wide = attention(*(a.astype(np.float64) for a in (q, k, v)))
    close(got[0].astype(float), wide, 3e-3, 3e-3)


def test_huge_scores_do_no_harm(rng):
    q, k, v, _ = arrays(rng, (), 3, 6)
    close(tiled_attention(1e5 * q, k, v, block=2), attention(1e5 * q, k, v))


def test_merging_takes_the_states_of_no_key_and_of_forbidden_keys(rng):
    z, v = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))
    none = partial(np.full((2, 3), -np.inf), v)
    known = partial(z, v)
    for got in (merge(none, known), merge(known, none)):
        close(list(got), list(known))
    y, lse = finish(merge(none, none))
    assert (y == 0).all()
    assert (lse == -np.inf).all()
    close(finish(known)[1][:, 0], np.log(np.exp(z).sum(axis=1)))


def test_the_memory_of_both_passes_grows_with_the_length_only(rng):
    peaks = []
    for n in (300, 1200):
        q, k, v, g = arrays(rng, (), n, n, 8, 8)
        peaks.append(peak_bytes(lambda a=(g, q, k, v): tiled_attention_vjp(*a, block=32)))
    assert peaks[1] < 5 * peaks[0]
    assert peaks[1] < 1200 * 1200 * 8 / 4


@pytest.mark.errors
def test_what_does_not_fit_is_refused(rng):
    q, k, v, g = arrays(rng, (), 3, 5)
    with pytest.raises(ValueError, match="tiled_attention: block=0 is too small"):
        tiled_attention(q, k, v, block=0)
    with pytest.raises(ValueError, match="tiled_attention_vjp: block=-1 is too small"):
        tiled_attention_vjp(g, q, k, v, block=-1)
    with pytest.raises(ValueError, match=r"g has shape \(5, 3\) where \(3, 3\) is wanted"):
        tiled_attention_vjp(v, q, k, v)
    with pytest.raises(ValueError, match=r"tiled_attention: k of shape .* has 5 rows and v"):
        tiled_attention(q, k, v[:4])
