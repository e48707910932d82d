"""What the claims of the first chapter rest on, and that each of them can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from tools import close

from nnbook.claims import ClaimFailed, modules, run
from nnbook.claims import _modules_limits as limits
from nnbook.claims._core import get
from nnbook.claims._modules_tools import Table
from nnbook.claims.domains import inputs

# ---------------------------------------------------------------- finite sets


def test_information_of_known_tables():
    same = np.eye(2) / 2
    close(limits._information(same), np.log(2))
    close(limits._information(np.full((2, 3), 1 / 6)), 0.0)
    close(limits._after(same, np.array([1, 1])), np.array([[0, 0.5], [0, 0.5]]))
    close(limits._information(limits._after(same, np.array([1, 1]))), 0.0)


@given(st.data())
def test_a_table_maps_its_points_to_its_points(drawn):
    case = drawn.draw(inputs({"f": Table("m")}))
    assert len(case["f"]) == case["m"]
    assert set(case["f"].tolist()) <= set(range(case["m"]))


def test_relu_on_noise_has_the_moments_that_integration_says():
    def moment(k):
        return integrate.quad(lambda t: t**k * stats.norm.pdf(t, scale=2.0), 0, 40)[0]

    close(moment(1), 2 / np.sqrt(2 * np.pi))
    close(moment(2) - moment(1) ** 2, 4 * (0.5 - 1 / (2 * np.pi)))


# ---------------------------------------------------------------- each claim can fail


def _leak(z):
    return np.where(z > 0, z, 0.1 * z)


WRONG = {
    # the label of the claim, the file and the name in it, what takes its place
    "symmetry needs relu(dz) = d relu(z)": ("mod-symmetry", limits, "relu", np.tanh),
    "a layer tells nothing new": ("mod-information", limits, "_information", np.max),
    "the layer is not skipped": ("mod-information", limits, "_after", lambda P, f: 2 * P),
    "the library must refuse": ("mod-compose", modules, "_joined", lambda W1, W2, x: x),
    "the library must compute": ("mod-compose", modules, "_joined", lambda W1, W2, x: None),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_claim_fails_where_its_mathematics_is_broken(case, monkeypatch):
    label, file, name, wrong = WRONG[case]
    monkeypatch.setattr(file, name, wrong)
    with pytest.raises(ClaimFailed, match=f"'{label}' is false"):
        run(get(label))


@pytest.mark.parametrize(
    ("label", "file"), [("mod-remove", modules), ("mod-useful", None), ("mod-filter", limits)]
)
def test_a_refutation_finds_nothing_when_the_statement_is_true(label, file, monkeypatch):
    if file is None:  # an activation that keeps every pair apart
        monkeypatch.setattr(limits, "max", lambda a, b: a, raising=False)
    elif label == "mod-remove":
        monkeypatch.setattr(file, "relu", lambda z: z)
    else:  # two activations that forget everything
        for name in ("expit", "logit"):
            monkeypatch.setattr(limits.special, name, lambda z: 0.0 * z)
        monkeypatch.setattr(limits.np, "tanh", lambda z: 0.0 * z)
    with pytest.raises(ClaimFailed, match="no counterexample"):
        run(replace(get(label), cases=50))


def test_the_scaling_symmetry_is_of_every_positively_homogeneous_activation(monkeypatch):
    monkeypatch.setattr(limits, "relu", _leak)
    assert run(get("mod-symmetry")).worst < 1e-9


# ---------------------------------------------------------------- the example of the source


@pytest.mark.errors
def test_five_numbers_do_not_go_into_a_map_on_three():
    from nnbook.scratch import mm

    with pytest.raises(ValueError, match=r"(?s)5.*3|3.*5"):
        mm(np.zeros(5), np.zeros((2, 3)))
