"""The ledger and the errata, made from the registry and from what the source states."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ._core import Claim, of_topic, registry
from ._run import run
from .cards import Card, lines
from .statements import WITH_CLAIM, WITHOUT, Statement, statements

KINDS = ("proof", "exact", "cases", "measured", "refuted")
WRONG = ("refuted", "corrected", "conditional", "editorial")


def ledger(topic: str, shown: Mapping[str, Sequence[str]] | None = None) -> Card:
    """Return the list of what each claim of a topic asserts and how it is known.

    Args:
        topic: the name of the topic, such as ``"layernorm"``.
        shown: for each label the lines of evidence on its card in the book; None means that every
            claim is run now.

    Raises:
        ClaimFailed: if a claim does not hold.
        ValueError: if the topic has no claim.
        KeyError: if ``shown`` lacks a claim of the topic.
    """
    claims = of_topic(topic)
    if not claims:
        raise ValueError(f"ledger: the topic {topic!r} has no claims.")
    return Card(
        "\n".join(_entry(c, lines(run(c)) if shown is None else shown[c.label]) for c in claims)
    )


def _entry(claim: Claim, evidence: Sequence[str]) -> str:
    """Return a claim as a term and its description, with a target that cards link to."""
    false = "*False:* " if claim.refutes else ""
    term = f"[]{{#claim-{claim.label}}} {{ref}}`{claim.label} <card-{claim.label}>`"
    return _item(term, false + claim.says, *(f"- {line}" for line in evidence))


def _item(term: str, *lines: str) -> str:
    """Return an item of a definition list: readable at any width, where a table would be too wide.

    >>> print(_item("term", "what it is", "- why"))
    term
    : what it is
      - why
    <BLANKLINE>
    """
    text = "\n  ".join(re.sub(r"[ \n]+", " ", line) for line in lines if line)
    return f"{term}\n: {text}\n"


def became(topic: str) -> Card:
    """Return what became of each statement that the source makes on a topic."""
    return _list(s for s in statements() if s.topic == topic)


def errata(topic: str) -> Card:
    """Return the source's wrong or conditional statements on a topic, each with the right form."""
    return _list(
        (s for s in statements() if s.topic == topic and s.became in WRONG),
        right=True,
        none="Every statement of the source on this topic holds as it stands.",
    )


def _list(
    chosen: Iterable[Statement], right: bool = False, none: str = "The source states nothing here."
) -> Card:
    items = [
        _item(
            f"{s.id}: {s.became}",
            f"*The source, in our words:* {s.states}",
            f"- **Right:** {s.right}" if right and s.right else "",
            f"- **Shown by** {_shown(s)}" if s.claims else "",
            f"- **Why:** {s.right}" if not right and s.became in WITHOUT else "",
        )
        for s in chosen
    ]
    return Card("\n".join(items) or none)


def _shown(statement: Statement) -> str:
    return ", ".join(f"{{ref}}`{label} <claim-{label}>`" for label in statement.claims)


def summary() -> Card:
    """Return how many claims there are by kind of evidence, and how many statements by verdict."""
    kinds = Counter(kind for c in registry().values() for kind in c.evidence)
    verdicts = Counter(s.became for s in statements())
    rows = ["| evidence | claims |", "|---|---|", *(f"| {k} | {kinds[k]} |" for k in KINDS)]
    rows += [f"| **all claims** | **{len(registry())}** |", ""]
    rows += ["| statement of the source | number |", "|---|---|"]
    rows += [f"| {v} | {verdicts[v]} |" for v in (*WITH_CLAIM, *WITHOUT)]
    rows += [f"| **all statements** | **{len(statements())}** |"]
    return Card("\n".join(rows) + "\n")
