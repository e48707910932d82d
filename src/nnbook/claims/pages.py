"""The ledger and the errata, made from the registry and from what the source states."""

from __future__ import annotations

from collections import Counter
from functools import cache

from ._core import Claim, registry
from ._run import Result, run
from .cards import Card, evidence, found
from .statements import WITH_CLAIM, WITHOUT, Statement, statements

KINDS = ("proof", "exact", "cases", "measured", "refuted")
WRONG = ("refuted", "corrected", "conditional", "editorial")


@cache
def _result(label: str) -> Result:
    return run(registry()[label])


def _of(topic: str) -> list[Claim]:
    return [c for c in registry().values() if c.topic == topic]


def ledger(topic: str) -> Card:
    """Run every claim of a topic and return the table of what each asserts and how it is known.

    Args:
        topic: the name of the topic, such as ``"layernorm"``.

    Raises:
        ClaimFailed: if a claim does not hold.
        ValueError: if the topic has no claim.
    """
    claims = _of(topic)
    if not claims:
        raise ValueError(f"ledger: the topic {topic!r} has no claims.")
    rows = ["| claim | statement | evidence |", "|---|---|---|"]
    rows += [
        f"| []{{#claim-{c.label}}} {{ref}}`{c.label} <card-{c.label}>` "
        f"| {_cell(('*False:* ' if c.refutes else '') + c.says)} | {_cell(_evidence(c))} |"
        for c in claims
    ]
    return Card("\n".join(rows) + "\n")


def _evidence(claim: Claim) -> str:
    result = _result(claim.label)
    return f"**refuted** {found(result)}" if claim.refutes else "; ".join(evidence(result))


def _cell(text: str) -> str:
    """Put Markdown into one cell of a table: a bar inside mathematics would end the cell."""
    return " ".join(text.split()).replace(r"\|", r"\Vert ").replace("|", r"\vert ")


def became(topic: str) -> Card:
    """Return what became of each statement that the source makes on a topic."""
    rows = ["| no. | the source states, in our words | became | shown by |", "|---|---|---|---|"]
    rows += [
        f"| {s.id} | {_cell(s.states)} | {s.became} | {_shown(s)} |"
        for s in statements()
        if s.topic == topic
    ]
    return Card("\n".join(rows) + "\n")


def errata(topic: str) -> Card:
    """Return the source's wrong or conditional statements on a topic, each with the right form."""
    rows = [
        "| no. | the source states, in our words | verdict | what is right | shown by |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| {s.id} | {_cell(s.states)} | {s.became} | {_cell(s.right)} | {_shown(s)} |"
        for s in statements()
        if s.topic == topic and s.became in WRONG
    ]
    return Card("\n".join(rows) + "\n")


def _shown(statement: Statement) -> str:
    links = ", ".join(f"{{ref}}`{label} <claim-{label}>`" for label in statement.claims)
    return links or "its reason"


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
