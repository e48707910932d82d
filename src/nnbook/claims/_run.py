"""Run a claim: draw the cases, simplify the identities, measure, or look for a counterexample."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis.errors import NoSuchExample

from ._core import Claim, ClaimFailed
from ._outcomes import Outcome, holds, show
from .domains import inputs

# the same draws for everybody and no files left behind; the clock is no judge of a claim
SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass
class Result:
    """What running a claim gave: figures for the card and the ledger."""

    claim: Claim
    cases: int = 0
    worst: float = 0.0
    allowed: float = 0.0
    identities: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    counterexample: dict[str, Any] = field(default_factory=dict)
    seen: str = ""


def run(claim: Claim) -> Result:
    """Gather all the evidence of a claim that a machine can give.

    Raises:
        ClaimFailed: if the claim does not hold, or if a refutation finds no counterexample.
    """
    result = Result(claim)
    if claim.refutes:
        _search(claim, result)
        return result
    if claim.check is None and claim.measure is None and claim.exact is None:
        raise ClaimFailed(f"claim {claim.label!r} has nothing that can be run.")
    if claim.check is not None:
        _draw(claim, result)
    if claim.exact is not None:
        result.identities = _simplify(claim)
    if claim.measure is not None:
        result.values = _measure(claim)
    return result


def _call(claim: Claim, values: Mapping[str, Any]) -> Outcome:
    assert claim.check is not None
    wanted = inspect.signature(claim.check).parameters
    return claim.check(**{name: values[name] for name in wanted})


def write(values: Mapping[str, Any]) -> str:
    """Write the inputs of a case on one line."""
    return ", ".join(f"{name} = {show(value)}" for name, value in values.items())


def _draw(claim: Claim, result: Result) -> None:
    def one(values: Mapping[str, Any]) -> None:
        outcome = _call(claim, values)
        result.cases += 1
        if not holds(outcome):
            raise ClaimFailed(
                f"claim {claim.label!r} is false: {claim.says}\n"
                f"  at {write(values) or 'its only case'}\n  {outcome.say()}\n"
                f"  error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"
            )
        if outcome.error >= result.worst:
            result.worst, result.allowed = outcome.error, max(outcome.allowed, result.allowed)

    for values in claim.also:
        one(values)
    if not claim.given:
        one({})
        return
    check: Callable[[], None] = settings(SETTINGS, max_examples=claim.cases)(
        given(inputs(claim.given))(one)
    )
    check()
    if result.cases < claim.cases // 2:
        raise ClaimFailed(
            f"claim {claim.label!r}: only {result.cases} of {claim.cases} cases could be drawn; "
            "its domain is too narrow to mean anything."
        )


def _search(claim: Claim, result: Result) -> None:
    options = settings(SETTINGS, max_examples=claim.cases)
    if not claim.given:
        outcome = _call(claim, {})
        if holds(outcome):
            raise ClaimFailed(
                f"refutation {claim.label!r} failed: the statement holds; {outcome.say()}"
            )
        result.seen = outcome.say()
        return
    try:
        values = find(
            inputs(claim.given),
            lambda values: not holds(_call(claim, values)),
            settings=options,
            random=Random(0),
        )
    except NoSuchExample:
        raise ClaimFailed(
            f"refutation {claim.label!r} failed: no counterexample among {claim.cases} cases "
            f"to: {claim.says}"
        ) from None
    result.counterexample = values
    result.seen = _call(claim, values).say()


def _simplify(claim: Claim) -> tuple[str, ...]:
    import sympy

    assert claim.exact is not None
    found = claim.exact()
    if not found:
        raise ClaimFailed(f"claim {claim.label!r}: its exact proof lists no identity.")
    for name, expression in found:
        if isinstance(expression, bool):
            raise ClaimFailed(
                f"claim {claim.label!r}, {name}: got the Python value {expression}, wanted a SymPy "
                "expression that SymPy itself reduces to zero or true."
            )
        simple = sympy.simplify(expression)
        true = simple is sympy.true or (
            simple.is_zero_matrix if isinstance(simple, sympy.MatrixBase) else simple == 0
        )
        if not true:
            raise ClaimFailed(
                f"claim {claim.label!r} is not exact for {name}: {simple} is left over."
            )
    return tuple(name for name, _ in found)


def _measure(claim: Claim) -> tuple[float, ...]:
    assert claim.measure is not None
    assert claim.band is not None
    lo, hi = claim.band
    values = tuple(float(claim.measure(seed)) for seed in claim.seeds)
    if not values:
        raise ClaimFailed(f"claim {claim.label!r} was measured for no seed.")
    for seed, value in zip(claim.seeds, values, strict=True):
        if not (np.isfinite(value) and lo <= value <= hi):
            raise ClaimFailed(
                f"claim {claim.label!r} was measured outside its band: {value:.6g} for "
                f"seed {seed}, wanted {lo:g} to {hi:g}: {claim.says}"
            )
    return values
