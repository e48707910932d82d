"""Rules of numbers, words and types of numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence, Sized
from itertools import pairwise
from typing import Any

import numpy as np


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
    who: str,
    name: str,
    got: float | int,
    low: float | int,
    high: float | int = math.inf,
    *,
    ends: str = "[)",
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


def check_taught(who: str, name: str, got: object, left_out: Collection[str], what: str) -> None:
    """Raise NotImplementedError if an option is one that the book leaves out."""
    if got in left_out:
        raise NotImplementedError(
            f"{who}: {name}={got!r} is not taught in this book ({what}); use torch's own {who}."
        )


def check_free(who: str, name: str, taken: Collection[str]) -> None:
    """Raise ValueError if a name is taken already."""
    if name in taken:
        raise ValueError(
            f"{who}: the name {name!r} is taken, the names are {list(taken)}; "
            f"number the modules anew, {who}(*modules), before you add one."
        )


def check_numbered(who: str, names: Collection[str]) -> None:
    """Raise ValueError unless the names are 0, 1, 2, ... in order."""
    if list(names) != [str(i) for i in range(len(names))]:
        raise ValueError(
            f"{who}: the modules have the names {list(names)}, which inserting would shift; "
            "make a new one from an OrderedDict."
        )


def check_floating(who: str, name: str, dtype: object, floating: bool) -> None:
    """Raise TypeError unless an array holds real floating point numbers."""
    if not floating:
        raise TypeError(
            f"{who}: {name} holds {dtype}, and a mean needs fractions; "
            "give a real floating point dtype."
        )


def check_increasing(who: str, name: str, got: Sequence[float] | np.ndarray) -> None:
    """Raise ValueError unless there are at least two numbers and each is above the one before."""
    if len(got) < 2 or not all(a < b for a, b in pairwise(got)):
        raise ValueError(
            f"{who}: {name} must be two or more increasing numbers, got {list(map(float, got))}; "
            "sort them and drop those that occur twice."
        )


def check_both_or_neither(
    who: str, given: Mapping[str, object], names: tuple[str, str], *, needed: bool
) -> None:
    """Raise ValueError if one of two is None and the other is not, or if both are and needed."""
    there = [name for name in names if given[name] is not None]
    if len(there) == 1 or (needed and not there):
        raise ValueError(
            f"{who}: got {' and '.join(there) or 'neither'} of {' and '.join(names)}; give both"
            f"{', or training=True' if needed else ' or neither'}."
        )


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def check_nonzero(who: str, name: str, zero: bool) -> None:
    """Raise ValueError if a row is zero where it is to be divided by its length."""
    if zero:
        raise ValueError(
            f"{who}: a row of {name} is zero, so is its root mean square, and 0/0 has no value; "
            "give eps > 0 or leave the row out."
        )


def check_plain(who: str, options: Mapping[str, object]) -> None:
    """Raise NotImplementedError if one of the options that only change how it runs is set."""
    for name, got in options.items():
        if got:
            raise NotImplementedError(
                f"{who}: {name}={got!r} is not taught in this book, where one plain loop updates "
                f"the parameters; leave it out or use torch's own {who}."
            )


def check_real(who: str, name: str, dtype: object, floating: bool) -> None:
    """Raise TypeError unless an array holds real floating point numbers."""
    if not floating:
        raise TypeError(f"{who}: {name} holds {dtype}; give a real floating point dtype.")


def check_odd(who: str, k: int) -> None:
    """Raise ValueError unless a kernel has a middle."""
    if k % 2 == 0:
        raise ValueError(
            f"{who}: a kernel of {k} weights has no middle, so the output cannot be as long as "
            f"the input with equal padding; give {k - 1} or {k + 1} weights, or use correlate1d."
        )


def check_deprecated(who: str, given: Mapping[str, object]) -> None:
    """Raise NotImplementedError if an argument that torch has given up is used."""
    for name, value in given.items():
        if value is not None:
            raise NotImplementedError(
                f"{who}: {name}={value!r} is an argument that torch has deprecated, and it is not "
                "taught here; give reduction='none', 'mean' or 'sum'."
            )


def check_whole(who: str, name: str, dtype: object, whole: bool) -> None:
    """Raise TypeError unless an array holds whole numbers."""
    if not whole:
        raise TypeError(
            f"{who}: {name} holds {dtype}; give whole numbers for classes, or fractions of the "
            "shape of the input for probabilities."
        )


def check_unit(who: str, name: str, outside: bool) -> None:
    """Raise ValueError if a number lies outside [0, 1]."""
    if outside:
        raise ValueError(
            f"{who}: a number of {name} lies outside [0, 1] or is NaN; give probabilities, or use "
            "the loss that takes logits."
        )


def check_some(who: str, size: int) -> None:
    """Raise ValueError if a mean is to be taken of nothing."""
    if size == 0:
        raise ValueError(
            f"{who}: there is no number to take the mean of; give samples or reduction='sum'."
        )


def check_boolean(who: str, name: str, dtype: object, boolean: bool) -> None:
    """Raise TypeError unless a mask is boolean."""
    if not boolean:
        raise TypeError(f"{who}: {name} holds {dtype}; give True and False, such as {name} != 0.")


def check_real_numbers(who: str, dtype: object, real: bool) -> None:
    """Raise TypeError unless an array holds real numbers."""
    if not real:
        raise TypeError(f"{who}: the data are of type {dtype}; give real numbers.")


def check_float64(who: str, dtype: object, double: bool) -> None:
    """Raise TypeError unless an array is in float64."""
    if not double:
        raise TypeError(
            f"{who}: an input holds {dtype}, in which differences lose too many digits; "
            "give float64."
        )


def check_same_dtype(who: str, dtypes: Mapping[str, object]) -> None:
    """Raise TypeError unless all arrays hold numbers of one type."""
    if len(set(dtypes.values())) > 1:
        text = ", ".join(f"{name} of {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"{who}: got {text}; convert all to one type.")


def check_even(who: str, name: str, got: int) -> None:
    """Raise ValueError if a number of features cannot be split into pairs."""
    if got % 2:
        raise ValueError(
            f"{who}: {name}={got} is odd, and features are rotated in pairs; give an even number."
        )


def check_index(who: str, dtype: object, whole: bool) -> None:
    """Raise TypeError unless an array that names rows of a table holds whole numbers."""
    if not whole:
        raise TypeError(
            f"{who}: the index holds {dtype}; give whole numbers, int32 or int64, that name rows "
            "of the table."
        )


def check_texts(who: str, got: Iterable[object]) -> None:
    """Raise TypeError unless there is a list of strings; one string would be cut into letters."""
    if isinstance(got, str) or not all(isinstance(text, str) for text in got):
        kind = "one string" if isinstance(got, str) else "something that is no string"
        raise TypeError(f"{who}: got {kind}; give a list of strings, [text] for one.")


def check_same_names(who: str, got: Collection[str], wanted: Collection[str]) -> None:
    """Raise ValueError unless a checkpoint holds exactly the wanted names."""
    missing, unknown = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
    if missing or unknown:
        raise ValueError(
            f"{who}: the checkpoint lacks {missing[:3]} ({len(missing)} in all) and has "
            f"{unknown[:3]} ({len(unknown)} in all), which nothing reads; build the model with the "
            "sizes of its config.json, and give all of its tensors and no others."
        )
