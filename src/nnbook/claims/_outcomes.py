"""What a check returns: an outcome knows whether it holds, how far off it is, and what to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable  # for the run with run-time type checks
class Outcome(Protocol):
    """The result of checking a statement on one input."""

    @property
    def error(self) -> float:
        """How far from true, 0 when exactly true, inf when not comparable."""

    @property
    def allowed(self) -> float:
        """The largest error that still counts as true."""

    def say(self) -> str:
        """The two sides, for a person."""


def holds(outcome: Outcome) -> bool:
    """Whether the statement held; an error that is NaN counts as false."""
    return bool(outcome.error <= outcome.allowed)


def show(value: Any) -> str:
    """Write a number or an array the way a page shows it, short and without a type name.

    >>> show(np.array([0.5, -1.0]))
    '[0.5, -1]'
    """
    if isinstance(value, np.ndarray | np.generic):
        return show(value.tolist())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(show(v) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


@dataclass(frozen=True)
class Close:
    """Two numbers or arrays agree up to ``tol``, relative to the larger of 1 and the right side.

    Shapes must be the same (no broadcasting). NaN never agrees; equal infinities do.
    """

    got: Any
    want: Any
    tol: float = 1e-9

    @property
    def error(self) -> float:
        """Largest absolute difference over max(1, largest absolute value of ``want``)."""
        got, want = np.asarray(self.got), np.asarray(self.want)
        if got.shape != want.shape:
            return float("inf")
        same = got == want
        if same.all():
            return 0.0
        gap = np.abs(np.where(same, 0.0, got) - np.where(same, 0.0, want))
        size = np.abs(want[np.isfinite(want)])
        error = float(gap.max() / max(1.0, size.max(initial=0.0)))
        return float("inf") if np.isnan(error) else error

    @property
    def allowed(self) -> float:
        """The tolerance."""
        return self.tol

    def say(self) -> str:
        """Both sides."""
        return f"left side {show(self.got)}, right side {show(self.want)}"


@dataclass(frozen=True)
class Equal:
    """Two values are the same, bit for bit for arrays."""

    got: Any
    want: Any

    @property
    def error(self) -> float:
        """0 or inf."""
        return 0.0 if np.array_equal(self.got, self.want) else float("inf")

    @property
    def allowed(self) -> float:
        """Nothing but equality is allowed."""
        return 0.0

    def say(self) -> str:
        """Both sides."""
        return f"left side {show(self.got)}, right side {show(self.want)}"


@dataclass(frozen=True)
class Holds:
    """A condition is true; ``text`` says what was seen."""

    condition: Any
    text: str = ""

    @property
    def error(self) -> float:
        """0 or inf."""
        return 0.0 if bool(np.all(self.condition)) else float("inf")

    @property
    def allowed(self) -> float:
        """Nothing but truth is allowed."""
        return 0.0

    def say(self) -> str:
        """What was seen."""
        return self.text or f"condition {show(self.condition)}"


@dataclass(frozen=True)
class AtMost:
    """Every entry of ``value`` is at most ``bound``, up to ``tol`` times max(1, abs(bound))."""

    value: Any
    bound: Any
    tol: float = 1e-9

    @property
    def error(self) -> float:
        """By how much the bound is exceeded."""
        value, bound = np.asarray(self.value, float), np.asarray(self.bound, float)
        over = np.max((value - bound) / np.maximum(1.0, np.abs(bound)), initial=0.0)
        return float("inf") if np.isnan(over) else max(0.0, float(over))

    @property
    def allowed(self) -> float:
        """The tolerance."""
        return self.tol

    def say(self) -> str:
        """Value and bound."""
        return f"value {show(self.value)}, bound {show(self.bound)}"


class All:
    """Several outcomes that must all hold; it reports the worst."""

    def __init__(self, *outcomes: Outcome) -> None:
        if not outcomes:
            raise ValueError(
                "All: got no outcome, wanted at least one; a check of nothing is true."
            )
        self.worst = max(outcomes, key=lambda o: (not holds(o), _finite(o.error)))

    @property
    def error(self) -> float:
        """The error of the worst outcome."""
        return self.worst.error

    @property
    def allowed(self) -> float:
        """What the worst outcome is allowed."""
        return self.worst.allowed

    def say(self) -> str:
        """What the worst outcome says."""
        return self.worst.say()


def _finite(error: float) -> float:
    return float("inf") if np.isnan(error) else error
