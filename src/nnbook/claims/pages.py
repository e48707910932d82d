"""The ledger and the errata, made from the registry and from what the source states."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from ._core import Claim, get, of_topic, registry
from ._run import Result, run
from .cards import Card, evidence, found
from .statements import WITH_CLAIM, WITHOUT, Statement, statements

KINDS = ("proof", "exact", "cases", "measured", "refuted")
WRONG = ("refuted", "corrected", "conditional", "editorial")


_results: dict[str, Result] = {}
_running: dict[str, Future[Result]] = {}


def gather(labels: Iterable[str] | None = None, *, processes: int | None = None) -> None:
    """Start claims in processes of their own, for a page that shows many; `ledger` waits for them.

    Args:
        labels: which claims; None means every claim of the book.
        processes: how many at a time; None means one for each processor.
    """
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    for label in registry() if labels is None else labels:
        _running[label] = pool.submit(_apart, label)
    pool.shutdown(wait=False)  # the processes end when all is done


def _apart(label: str) -> Result:
    """Run a claim in another process; its functions stay there, for they need not travel."""
    result = run(get(label))
    return replace(result, claim=Claim(label, result.claim.says))


def _result(label: str) -> Result:
    if label in _running:
        _results[label] = replace(_running.pop(label).result(), claim=get(label))
    elif label not in _results:
        _results[label] = run(get(label))
    return _results[label]


def ledger(topic: str) -> Card:
    """Run every claim of a topic and return the list of what each asserts and how it is known.

    Args:
        topic: the name of the topic, such as ``"layernorm"``.

    Raises:
        ClaimFailed: if a claim does not hold.
        ValueError: if the topic has no claim.
    """
    claims = of_topic(topic)
    if not claims:
        raise ValueError(f"ledger: the topic {topic!r} has no claims.")
    return Card("\n".join(_entry(c) for c in claims))


def _entry(claim: Claim) -> str:
    """Return a claim as a term and its description, with a target that cards link to."""
    result = _result(claim.label)
    false = "*False:* " if claim.refutes else ""
    lines = [f"**refuted** {found(result)}"] if claim.refutes else evidence(result)
    term = f"[]{{#claim-{claim.label}}} {{ref}}`{claim.label} <card-{claim.label}>`"
    return _item(term, false + claim.says, *(f"- {line}" for line in lines))


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
