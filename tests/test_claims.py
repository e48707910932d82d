"""Every claim of the book runs here, and the gates themselves are shown to close.

The second half breaks claims on purpose: a wrong sign, a forgotten eps, a missing hypothesis, a
refutation of something true. Each must fail, with a message that says where.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import sympy

from nnbook.claims import (
    All,
    AtMost,
    ClaimFailed,
    Close,
    Equal,
    Holds,
    _core,
    claim,
    exact,
    measured,
    refutation,
    refute,
    registry,
    run,
    statements,
    verify,
)
from nnbook.claims._clock import least_seconds, ratio_of_times
from nnbook.claims._core import get
from nnbook.claims._memory import peak_bytes
from nnbook.claims._outcomes import holds, show
from nnbook.claims.domains import Array, Choice, Matrix, Scalar, Size, Vector, inputs
from nnbook.claims.statements import WITH_CLAIM, WITHOUT
from nnbook.data import minilm_files
from nnbook.scratch import layer_norm, ln_s

REGISTRY = registry()
# the statements of the source that the book treats: how many of each series the audit lists
AUDIT = {"INT": 14, "MM": 15, "HD": 6, "ACT": 12, "AD": 16, "CMP": 6, "CD": 5, "LN": 15, "TT": 57}
AUDIT |= {"MM-X": 7, "ACT-X": 8, "CMP-X": 7, "LN-X": 7, "TT-X": 2, "CPS": 4, "FMT": 3}
AUDIT |= {"NRM": 6, "NRM-X": 4, "CV1": 9, "CV1-X": 7, "CVM": 4, "CV2": 5, "CV2-X": 5, "CNN": 5}
AUDIT |= {"PRC": 11, "RES": 7, "RES-X": 4, "RSB": 2, "DEN": 2}
AUDIT |= {"TRF": 5}
OTHERS = {"BRG-01"}
OTHERS |= {f"C5-08{x}" for x in "abcde"} | {f"C5-09{x}" for x in "abcdefghi"}
OTHERS |= {f"C5-05{x}" for x in "abcd"} | {f"C5-06{x}" for x in "abcdfg"}
OTHERS |= {"C5-X4", "C5-X5", "C5-06e", "C5-06e2", "C5-10c"}
OTHERS |= {f"C5-07{x}" for x in "abc"} | {f"C5-10{x}" for x in "abdefgh"}
OTHERS |= {"C5-X6", "C5-00e", "C5-CC2"}
AUDIT |= {"ATT": 5}
OTHERS |= {f"ATT-X{i}" for i in (1, 2, 4, 5, 6, 8)}
OTHERS |= {f"C5-04{x}" for x in "abcdefghij"} | {"C5-03f", "C5-X2", "C5-X3"}
OTHERS |= {f"C5-00{x}" for x in "abcde"} | {"C5-01a", "C5-01b", "C5-X1", "C5-X10", "C5-X11"}
OTHERS |= {f"C5-02{x}" for x in "abcdefgh"} | {f"C5-03{x}" for x in "abcde"}
OTHERS |= {f"C5-CC{i}" for i in range(1, 6)} | {"C5-X7", "C5-X8", "C5-X9"}
OTHERS |= {f"ATT-X{i}" for i in (3, 7, 9, 10, 11)}


# claims about what the library refuses: with shapes checked at run time the check refuses first
REFUSALS = {"mod-compose", "mod-snap"}
# claims about weights that are installed apart
PRETRAINED = {"pre-reference", "mea-length", "mea-paraphrase", "mea-negation", "mea-swapped"}
PRETRAINED |= {"mea-numbers", "mea-previous"}


@pytest.mark.parametrize(
    "label",
    [pytest.param(n, marks=pytest.mark.errors) if n in REFUSALS else n for n in REGISTRY],
)
def test_claim(label):
    if label in PRETRAINED:
        try:
            minilm_files()
        except FileNotFoundError as error:
            pytest.skip(str(error))
    run(REGISTRY[label])


# ---------------------------------------------------------------- what the source states


def test_every_statement_of_the_audit_has_a_place():
    series = {
        f"{name}{i}" if name.endswith("X") else f"{name}-{i:02d}"
        for name, most in AUDIT.items()
        for i in range(1, most + 1)
    }
    assert sorted(s.id for s in statements()) == sorted(series | OTHERS)


@pytest.mark.parametrize("statement", statements(), ids=lambda s: s.id)
def test_a_statement_is_settled(statement):
    s = statement
    assert s.became in WITH_CLAIM + WITHOUT
    assert len(s.states) > 15
    unknown = [n for n in s.claims if n not in REGISTRY]
    assert unknown == []
    if s.became in WITH_CLAIM:
        assert s.claims, f"{s.id} became {s.became!r}: name the claims that settle it"
    if s.became != "as stated":
        assert len(s.right) > 15, f"{s.id} became {s.became!r}: say what is right, or why"
    if s.became == "refuted":
        assert any(REGISTRY[n].refutes for n in s.claims), f"{s.id}: no refutation among its claims"


@pytest.mark.parametrize("label", REGISTRY)
def test_a_claim_has_evidence_and_words(label):
    one = REGISTRY[label]
    assert one.evidence
    assert one.evidence != ("proof",), "a proof alone is not checked by a machine"
    assert len(one.says) > 20
    assert "|" not in one.says.replace(r"\|", ""), (
        "a bare | ends a table cell: write \\lvert, \\mid"
    )
    if one.refutes and one.right is not None:
        assert not REGISTRY[one.right].refutes


# ---------------------------------------------------------------- the gates, broken on purpose


@pytest.fixture
def scratchpad(monkeypatch):
    """Register claims that vanish after the test."""
    monkeypatch.setattr(_core, "_registry", dict(_core._registry))


VECTOR = {"z": Vector(2, 16, nonconstant=True)}
SCALED = VECTOR | {"a": Scalar(nonzero=True)}


def test_a_wrong_sign_fails(scratchpad):
    @claim("ln-test", says="LN-S(az) = LN-S(z)", given=SCALED)
    def wrong(z, a):
        return Close(ln_s(a * z), ln_s(z))

    with pytest.raises(ClaimFailed, match=r"'ln-test' is false.*(?s:.*)a = -"):
        verify("ln-test")


def test_a_forgotten_eps_fails(scratchpad):
    @claim("ln-test", says="the scale law, with eps left alone", given=SCALED)
    def wrong(z, a):
        return Close(layer_norm(a * z, eps=1e-3), np.sign(a) * layer_norm(z, eps=1e-3))

    with pytest.raises(ClaimFailed, match="is false"):
        verify("ln-test")


def test_a_missing_hypothesis_fails(scratchpad):
    @claim("act-test", says="max(z) is positive", given={"z": Vector(1, 5)})
    def wrong(z):
        return Holds(z.max() > 0, f"max {z.max()}")

    with pytest.raises(ClaimFailed, match=r"z = \[0\]"):
        verify("act-test")


def test_an_edge_that_is_always_tried_fails(scratchpad):
    @claim("act-test", says="1/z is finite", given={"z": Scalar(1, 2)}, also=[{"z": 0.0}])
    def wrong(z):
        return Holds(z != 0)

    with pytest.raises(ClaimFailed, match="z = 0"):
        verify("act-test")


def test_a_false_identity_fails_exactly(scratchpad):
    @claim("mm-test", says="a square of a sum", given={"a": Scalar()})
    def fine(a):
        return Close(a, a)

    @exact("mm-test")
    def wrong():
        a, b = sympy.symbols("a b")
        return [("n = 2", (a + b) ** 2 - a**2 - b**2)]

    with pytest.raises(ClaimFailed, match=r"not exact for n = 2: 2\*a\*b"):
        verify("mm-test")


@pytest.mark.parametrize("value", [True, False])
def test_a_python_bool_is_no_exact_proof(scratchpad, value):
    @claim("mm-test", says="nothing", given={"a": Scalar()})
    def fine(a):
        return Close(a, a)

    exact("mm-test")(lambda: [("size 1", value)])
    with pytest.raises(ClaimFailed, match="Python value"):
        verify("mm-test")


def test_a_refutation_of_a_true_statement_fails(scratchpad):
    @refutation("ln-test", says="LN-S(z + c) = LN-S(z)", given=VECTOR | {"c": Scalar()})
    def true(z, c):
        return Close(ln_s(z + c), ln_s(z), tol=1e-6)

    with pytest.raises(ClaimFailed, match="no counterexample"):
        refute("ln-test")


def test_a_refutation_prints_the_smallest_counterexample(scratchpad):
    @refutation("mm-test", says="doubling is adding one", given={"a": Vector("n"), "n": Size(1, 4)})
    def false(a):
        return Close(2 * a, a + 1)

    text = refute("mm-test").text.replace("\N{NO-BREAK SPACE}", " ")
    assert "`n = 1`, `a = [0]`" in text


def test_a_measurement_outside_its_band_fails_and_names_the_seed(scratchpad):
    @measured("cmp-test", says="a number near one", band=(0.9, 1.1), seeds=range(3))
    def drifts(seed):
        return 1.0 + 0.2 * (seed == 2)

    with pytest.raises(ClaimFailed, match=r"1\.2 for seed 2, wanted 0\.9 to 1\.1"):
        verify("cmp-test")


def test_a_number_that_varies_is_kept_for_the_status_page_and_not_shown(scratchpad):
    @measured("cmp-test", says="a time", band=(0, 9), seeds=range(2), unit="seconds", varies=True)
    def takes(seed):
        return 1.25 + seed

    card = verify("cmp-test")
    assert "1.25" not in card.text
    assert "seconds, between 0 and 9 for seeds 0, 1" in card.text
    assert card.facts["measured"] == ["seconds", "1.25", "2.25"]
    assert "1.25" not in "".join(card.facts["lines"])
    with pytest.raises(ClaimFailed, match=r"2\.2"):
        run(replace(get("cmp-test"), band=(0, 2)))


def test_a_measurement_that_is_nan_fails(scratchpad):
    measured("cmp-test", says="a number near one", band=(-np.inf, np.inf))(lambda seed: np.nan)
    with pytest.raises(ClaimFailed, match="outside its band"):
        verify("cmp-test")


def test_verify_and_refute_are_not_exchanged(scratchpad):
    refuted = next(n for n, c in REGISTRY.items() if c.refutes)
    true = next(n for n, c in REGISTRY.items() if not c.refutes)
    with pytest.raises(ClaimFailed, match=f"refute\\('{refuted}'\\)"):
        verify(refuted)
    with pytest.raises(ClaimFailed, match=f"verify\\('{true}'\\)"):
        refute(true)


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ("ln-nothing", "no claim 'ln-nothing'.*there are: ln-"),
        ("xx-y", "no topic has the prefix 'xx'"),
    ],
)
def test_an_unknown_label_is_named(label, match):
    with pytest.raises(KeyError, match=match):
        verify(label)


def test_a_label_names_one_claim(scratchpad):
    with pytest.raises(ValueError, match="registered twice"):
        claim("ln-scale", says="again")(lambda: Equal(1, 1))


def test_a_parameter_without_a_domain_is_named():
    with pytest.raises(ValueError, match=r"takes \['b'\]"):
        claim("mm-test", says="x", given={"a": Scalar()})(lambda a, b: Equal(a, b))


def test_a_claim_with_nothing_to_run_fails():
    with pytest.raises(ClaimFailed, match="nothing that can be run"):
        run(_core.Claim("mm-test", "a bare assertion", proof=True))


# ---------------------------------------------------------------- outcomes and domains


@pytest.mark.parametrize(
    "outcome",
    [
        Close(np.ones(3), np.ones(2)),
        Close(np.ones(3), np.ones((3, 1))),
        Close(np.nan, np.nan),
        Close([1.0, np.nan], [1.0, 2.0]),
        Close(np.inf, -np.inf),
        Close(1 + 1e-6, 1.0),
        Close(1e6 + 1, 1e6, tol=1e-7),
        Equal(1.0, 1.0 + 1e-15),
        Holds([True, False]),
        AtMost(1.1, 1.0),
        AtMost([0.0, np.nan], 1.0),
        All(Equal(1, 1), Equal(1, 2)),
        All(Close(np.nan, 0.0), Equal(1, 1)),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_an_outcome_that_does_not_hold(outcome):
    assert not holds(outcome)


@pytest.mark.parametrize(
    "outcome",
    [
        Close(np.inf, np.inf),
        Close(1e6 + 1e-4, 1e6),
        Equal(np.arange(3), [0, 1, 2]),
        Holds(True),
        AtMost([0.5, 1.0], 1.0),
        AtMost([], 1.0),
        All(Equal(1, 1), Close(1, 1)),
    ],
    ids=lambda outcome: type(outcome).__name__,
)
def test_an_outcome_that_holds(outcome):
    assert holds(outcome)


def test_all_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a check of nothing"):
        All()


def test_numbers_are_shown_short():
    assert show((np.array([[1.0, -0.5]]), 3, "x")) == "[[[1, -0.5]], 3, x]"


def drawn(domains, n=60):
    """Return n draws of the inputs."""
    from hypothesis import given

    seen = []

    @given(inputs(domains))
    def keep(values):
        seen.append(values)

    keep()
    assert len(seen) >= n
    return seen


def test_named_sizes_fit_and_vary():
    seen = drawn({"W": Matrix("n", "m"), "z": Vector("m"), "b": Vector("n"), "m": Size(2, 5)})
    assert all(v["W"].shape == (v["b"].size, v["z"].size) and v["z"].size == v["m"] for v in seen)
    assert {v["m"] for v in seen} == {2, 3, 4, 5}
    assert {v["n"] for v in seen} == set(range(1, 7))


def test_conditions_are_met_and_bounds_kept():
    seen = drawn(
        {
            "z": Vector(2, 9, nonconstant=True, lo=-2, hi=3),
            "a": Scalar(-1, 1, nonzero=True),
            "d": Vector(1, 4, distinct=True),
            "x": Array("n", 2, nonzero=True),
            "c": Choice(("p", "q")),
        }
    )
    assert all(v["z"].std() >= 0.05 and v["z"].min() >= -2 and v["z"].max() <= 3 for v in seen)
    assert all(abs(v["a"]) >= 1e-3 for v in seen)
    assert {np.sign(v["a"]) for v in seen} == {-1.0, 1.0}
    assert all(np.unique(v["d"]).size == v["d"].size for v in seen)
    assert all(np.abs(v["x"]).max() > 0 for v in seen)
    assert {v["c"] for v in seen} == {"p", "q"}


def test_a_card_names_its_evidence():
    text = verify("ln-scale").text
    assert "{prf:ref}`ln-scale`" in text
    assert "by SymPy" in text
    assert "100 drawn" in text
    assert "(card-ln-scale)=" in text


def test_a_claim_changes_when_its_tolerance_is_broken():
    tight = replace(
        REGISTRY["ln-scale"], exact=None, check=lambda z, a: Close(ln_s(a * z), ln_s(z) * 2)
    )
    with pytest.raises(ClaimFailed, match="'ln-scale' is false"):
        run(tight)


def test_the_peak_of_the_memory_is_what_is_there_at_a_time():
    def two_then_one():
        a, b = np.zeros(1000), np.zeros(1000)
        del a
        return b, np.zeros(500)

    assert 16_000 <= peak_bytes(two_then_one) < 17_000
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        peak_bytes(lambda: 1 / 0)
    assert gc.isenabled()
    assert not tracemalloc.is_tracing()


def test_times_are_compared_at_their_least():
    slow, fast = iter([0.02, 0.001, 0.02]), iter([0.0, 0.03, 0.0])
    ratio = ratio_of_times(lambda: time.sleep(next(slow)), lambda: time.sleep(next(fast)), 3)
    assert ratio > 1
    assert 0.001 <= least_seconds(lambda: time.sleep(0.001), 2) < 1
