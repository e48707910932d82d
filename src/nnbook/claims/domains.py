"""The inputs over which a claim is stated: each domain draws values and says what it draws.

Sizes are named: ``{"W": Matrix("n", "m"), "z": Vector("m")}`` draws n and m first, so that the
shapes fit. A name that is not itself in ``given`` is ``Size(1, 6)``. Numbers have at most six
decimals, so that a printed counterexample is the one that was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Dim = int | str
Real = float | int


@runtime_checkable  # for the run with run-time type checks
class Domain(Protocol):
    """A set of values with a strategy to draw from it and a text that names it."""

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[Any]:
        """Return the Hypothesis strategy, given the sizes drawn so far."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the sizes that this domain needs."""

    def text(self, name: str) -> str:
        """Return the domain in LaTeX, for the page."""


def numbers(lo: Real, hi: Real, *, nonzero: bool = False) -> st.SearchStrategy[float]:
    """Draw a number in [lo, hi] with at most six decimals, the bounds included."""
    drawn = st.floats(lo, hi, allow_nan=False, allow_infinity=False).map(
        lambda v: round(v, 6) + 0.0
    )
    return drawn.filter(lambda v: abs(v) >= 1e-3) if nonzero else drawn


@dataclass(frozen=True)
class Size:
    """A length from lo to hi."""

    lo: int = 1
    hi: int = 6

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[int]:
        """Draw a whole number."""
        return st.integers(self.lo, self.hi)

    def names(self) -> tuple[str, ...]:
        """Need no other size."""
        return ()

    def text(self, name: str) -> str:
        """Name the range."""
        return rf"{self.lo} \le {name} \le {self.hi}"


Integer = Size


@dataclass(frozen=True)
class Scalar:
    """A real number in [lo, hi]; ``nonzero`` keeps it at least 0.001 away from zero."""

    lo: Real = -10.0
    hi: Real = 10.0
    nonzero: bool = False

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[float]:
        """Draw a number."""
        return numbers(self.lo, self.hi, nonzero=self.nonzero)

    def names(self) -> tuple[str, ...]:
        """Need no size."""
        return ()

    def text(self, name: str) -> str:
        """Name the interval."""
        return rf"{name} \in [{self.lo:g}, {self.hi:g}]" + (
            r" \setminus \{0\}" if self.nonzero else ""
        )


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[Any]:
        """Draw one of the values; the first is the simplest."""
        return st.sampled_from(self.values)

    def names(self) -> tuple[str, ...]:
        """Need no size."""
        return ()

    def text(self, name: str) -> str:
        """List the values."""
        words = [rf"\text{{{v}}}" if isinstance(v, str) else str(v) for v in self.values]
        listed = r", \allowbreak ".join(words)
        return rf"{name} \in \{{{listed}\}}"


class Array:
    """A real array with named or fixed axes and entries in [lo, hi].

    Args:
        dims: the axes, each a number or the name of a size.
        lo, hi: bounds of the entries.
        nonconstant: the standard deviation over the last axis is at least 0.05 in every row.
        nonzero: the largest entry is at least 0.001 in absolute value.
        distinct: no two entries are closer than 0.001.
    """

    def __init__(
        self,
        *dims: Dim,
        lo: Real = -10.0,
        hi: Real = 10.0,
        nonconstant: bool = False,
        nonzero: bool = False,
        distinct: bool = False,
    ) -> None:
        self.dims, self.lo, self.hi = dims, lo, hi
        self.nonconstant, self.nonzero, self.distinct = nonconstant, nonzero, distinct

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[Any]:
        """Draw an array of the shape that the sizes give."""
        shape = tuple(sizes[d] if isinstance(d, str) else d for d in self.dims)
        return hnp.arrays(
            np.float64, shape, elements=numbers(self.lo, self.hi), fill=st.nothing()
        ).filter(self.admits)

    def admits(self, value: Any) -> bool:
        """Whether an array meets the conditions on its spread."""
        if self.nonconstant and not (value.shape[-1] > 1 and np.all(value.std(axis=-1) >= 0.05)):
            return False
        if self.nonzero and not np.abs(value).max(initial=0.0) >= 1e-3:
            return False
        return not self.distinct or bool(np.all(np.diff(np.sort(value, axis=None)) >= 1e-3))

    def names(self) -> tuple[str, ...]:
        """Return the names among the axes."""
        return tuple(d for d in self.dims if isinstance(d, str))

    def text(self, name: str) -> str:
        """Name the space, the bounds and the conditions."""
        space = r" \times ".join(str(d) for d in self.dims)
        notes = [n for n in ("nonconstant", "nonzero", "distinct") if getattr(self, n)]
        words = {
            "nonconstant": "not constant",
            "nonzero": "not zero",
            "distinct": "entries distinct",
        }
        note = rf"\ (\text{{{', '.join(words[n] for n in notes)}}})" if notes else ""
        return rf"{name} \in [{self.lo:g}, {self.hi:g}]^{{{space}}}{note}"


class Vector(Array):
    """A real vector: ``Vector("m")`` has a named length, ``Vector(2, 32)`` one from 2 to 32."""

    def __init__(self, dim: Dim, most: int | None = None, **conditions: Any) -> None:
        self.range = None if most is None else Size(int(dim), most)
        super().__init__("m" if most is not None else dim, **conditions)

    def names(self) -> tuple[str, ...]:
        """Return the name of the length, unless the length is the vector's own."""
        return () if self.range else super().names()

    def strategy(self, sizes: Mapping[str, int]) -> st.SearchStrategy[Any]:
        """Draw the length if it is the vector's own, then the entries."""
        if self.range is None:
            return super().strategy(sizes)
        draw = super().strategy
        return self.range.strategy({}).flatmap(lambda m: draw({"m": m}))

    def text(self, name: str) -> str:
        """Name the space and, for an own length, its range."""
        own = rf",\ {self.range.text('m')}" if self.range else ""
        return super().text(name) + own


class Matrix(Array):
    """A real matrix: ``Matrix("n", "m")``."""

    def __init__(self, rows: Dim, columns: Dim, **conditions: Any) -> None:
        super().__init__(rows, columns, **conditions)


def inputs(given: Mapping[str, Domain]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw all inputs of a claim: first the sizes, then everything else."""
    needed = [n for domain in given.values() for n in domain.names()]
    sizes = {n: d for n, d in given.items() if isinstance(d, Size)}
    sizes |= {n: Size() for n in needed if n not in sizes}

    def rest(drawn: dict[str, int]) -> st.SearchStrategy[dict[str, Any]]:
        others = {n: d.strategy(drawn) for n, d in given.items() if n not in drawn}
        return st.fixed_dictionaries(others).map(lambda values: {**drawn, **values})

    return st.fixed_dictionaries({n: d.strategy({}) for n, d in sizes.items()}).flatmap(rest)
