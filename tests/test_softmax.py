"""That each claim about softmax can fail, and laws of softmax that no claim states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tools import close

from nnbook import nn, scratch
from nnbook.claims import ClaimFailed, run
from nnbook.claims import softmax as claims
from nnbook.claims._core import get

LOGITS = hnp.arrays(np.float64, (2, 5), elements=st.floats(-30, 30))


@given(LOGITS, st.permutations(range(5)))
def test_softmax_moves_with_its_entries(z, order):
    """Permuting the logits permutes the shares, and larger logits get larger shares."""
    p = scratch.softmax(z)
    close(scratch.softmax(z[:, order]), p[:, order], rtol=1e-12)
    ranks = np.argsort(z, axis=-1, kind="stable")
    assert (np.diff(np.take_along_axis(p, ranks, -1)) >= 0).all()


@given(LOGITS)
def test_the_gradient_is_orthogonal_to_a_common_shift(z):
    """No cotangent moves all logits together: the entries of a gradient add up to 0."""
    v = np.cos(np.arange(10.0)).reshape(2, 5)
    close(scratch.softmax_vjp(v, z).sum(-1), np.zeros(2), atol=1e-12)
    close(scratch.log_softmax_vjp(v, z).sum(-1), np.zeros(2), atol=1e-12)


def test_cross_entropy_from_log_softmax_is_torchs(rng):
    z = torch.tensor(rng.normal(scale=20, size=(4, 3)))
    target = torch.tensor([0, 2, 1, 1])
    mine = -nn.log_softmax(z, -1)[range(4), target].mean()
    close(mine, torch.nn.functional.cross_entropy(z, target))


BROKEN = [
    ("sm-jacobian", "softmax", lambda z, axis=-1: np.exp(z) / (1 + np.exp(z).sum(-1))[..., None]),
    ("sm-jacobian", "softmax_vjp", lambda v, z, axis=-1: scratch.softmax(z) * v),
    ("sm-jacobian", "softmax_vjp", lambda v, z, axis=-1: 0 * v),
    ("sm-lse", "log_sum_exp", lambda z, axis=-1: z.max(-1, keepdims=True) - 0.1),
    ("sm-lse", "log_sum_exp", lambda z, axis=-1: z.max(-1, keepdims=True)),
    ("sm-lse", "softmax", lambda z, axis=-1: np.exp(z - z.mean()) / 7),
    ("sm-proper", "sigmoid", lambda z: 1 / (1 + np.exp(z))),
    ("sm-log-of-zero", "log_softmax", lambda z, axis=-1: -z),
]


@pytest.mark.parametrize(
    ("label", "name", "wrong"), BROKEN, ids=[f"{b[0]}-{i}" for i, b in enumerate(BROKEN)]
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid:RuntimeWarning")
def test_a_broken_rule_breaks_its_claim(label, name, wrong, monkeypatch):
    monkeypatch.setattr(scratch, name, wrong)
    with pytest.raises(ClaimFailed):
        run(get(label))


def test_logits_of_a_dense_layer_would_break_the_claim_about_attention(monkeypatch):
    def dense(X, A, B):  # one logit for each token, affine in the tokens
        return (X @ A)[:, :1] * np.arange(len(X))

    monkeypatch.setattr(claims, "_logits", dense)
    with pytest.raises(ClaimFailed):
        run(get("sm-attention"))
    with pytest.raises(ClaimFailed, match="no counterexample"):
        run(get("sm-attention-source"))


def test_an_elementwise_softmax_would_not_be_refuted(monkeypatch):
    monkeypatch.setattr(scratch, "softmax", lambda z, axis=-1: np.exp(z))
    with pytest.raises(ClaimFailed, match="no counterexample"):
        run(get("sm-elementwise"))
