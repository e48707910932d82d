"""What the source states and what became of it: one TOML file beside the claims of each topic."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ._core import TOPICS

WITH_CLAIM = ("as stated", "conditional", "corrected", "refuted", "empirical")
WITHOUT = ("convention", "opinion", "editorial")


@dataclass(frozen=True)
class Statement:
    """A statement of the source in our words, and the right form of it.

    Attributes:
        id: its number in the audit of the source.
        topic: the topic whose chapter treats it.
        states: what the source says.
        became: one of `WITH_CLAIM` or `WITHOUT`.
        right: the right form, or the reason why there is nothing to prove.
        claims: the labels of the claims that settle it.
    """

    id: str
    topic: str
    states: str
    became: str
    right: str
    claims: tuple[str, ...]


def _read(topic: str) -> list[Statement]:
    path = files("nnbook.claims") / f"{topic}.toml"
    try:
        rows = tomllib.loads(path.read_text("utf-8")).get("statement", [])
        return [Statement(topic=topic, **{**row, "claims": tuple(row["claims"])}) for row in rows]
    except (tomllib.TOMLDecodeError, TypeError, KeyError) as e:
        raise ValueError(
            f"{path}: {e}; each [[statement]] has id, states, became, right, claims."
        ) from e


@cache
def statements() -> tuple[Statement, ...]:
    """Return every statement of the source that the book treats, in the order of the topics."""
    return tuple(s for topic in TOPICS.values() for s in _read(topic))
