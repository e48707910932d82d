"""Every error about an argument: one function per rule, shared by both forms of a module.

A message says who complains, what was got, what is wanted and what to do. The first argument of
each function, ``who``, is the name that the caller sees, such as ``"LayerNorm"``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Sized
from typing import Any


def check_choice(who: str, name: str, got: object, allowed: Collection[str]) -> None:
    """Raise ValueError unless ``got`` is one of the allowed words."""
    if got not in allowed:
        raise ValueError(f"{who}: {name}={got!r} is not known; use one of {sorted(allowed)}.")


def check_count(who: str, name: str, got: Any, least: int = 1) -> int:
    """Return ``got`` as an int; raise unless it is a whole number of at least ``least``."""
    try:
        number = operator.index(got)
    except TypeError:
        number = None
    if number is None or isinstance(got, bool):
        raise TypeError(f"{who}: {name}={got!r} is a {type(got).__name__}; give an int.")
    if number < least:
        raise ValueError(f"{who}: {name}={got!r} is too small; give a whole number >= {least}.")
    return number


def check_range(
    who: str, name: str, got: float, low: float, high: float = math.inf, *, ends: str = "[)"
) -> None:
    """Raise ValueError unless ``got`` lies between the ends; ``[`` and ``]`` take an end in."""
    above = low <= got if ends[0] == "[" else low < got  # both are false for NaN
    below = got <= high if ends[1] == "]" else got < high
    if not (above and below):
        interval = f"{ends[0]}{low:g}, {high:g}{ends[1]}"
        raise ValueError(f"{who}: {name}={got!r} lies outside {interval}; give a number inside.")


def check_same_length(who: str, first: str, a: Sized, second: str, b: Sized) -> None:
    """Raise ValueError unless both have the same number of entries."""
    if len(a) != len(b):
        raise ValueError(
            f"{who}: {first} has {len(a)} entries and {second} has {len(b)}; "
            "give both the same number, in the same order."
        )


def check_not_empty(who: str, name: str, got: Sized) -> None:
    """Raise ValueError if there is nothing in it."""
    if len(got) == 0:
        raise ValueError(f"{who}: {name} is empty; give at least one entry.")
