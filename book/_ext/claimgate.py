"""Hold the theorems of the pages and the claims of the package together.

- Each theorem, lemma, proposition, corollary, conjecture has a label that `nnbook.claims` knows.
- A claim that says ``proof=True`` stands in a page as such a statement, with its proof directly
  below.
- Each claim is shown, by `verify` or `refute` in a code cell, in exactly one page.

``claimgate_topics`` names the topics to hold to this; without it, all. A book of a few pages only
(for a look at one chapter) names the topics of its pages.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.environment.collectors import EnvironmentCollector
from sphinx.util import logging
from sphinx_proof import nodes as proofs

from nnbook.claims import _core

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from nnbook.claims import Claim

log = logging.getLogger(__name__)

STATEMENTS = ("theorem", "lemma", "proposition", "corollary", "property", "conjecture")
CARD = "card-"
"""`verify` and `refute` put a target of this name and the label above the card."""


@dataclass
class Statement:
    """A theorem or the like: its place in the pages, and whether its proof follows."""

    label: str
    kind: str
    place: tuple[str, int]
    proven: bool


@dataclass
class Pages:
    """What the pages hold: statements by label and the pages that show each claim."""

    statements: dict[str, Statement] = field(default_factory=dict)
    shown: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class Collector(EnvironmentCollector):
    """Notes what a page holds when it is read, so that no page must be loaded again for it."""

    def clear_doc(self, app: Sphinx, env: BuildEnvironment, docname: str) -> None:
        """Forget a page."""
        found(env).pop(docname, None)

    def merge_other(
        self, app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment
    ) -> None:
        """Take over what another process has read."""
        found(env).update({name: found(other)[name] for name in docnames})

    def process_doc(self, app: Sphinx, doctree: nodes.document) -> None:
        """Note the statements and the cards of a page."""
        docname = app.env.docname
        lines = Path(app.env.doc2path(docname)).read_text("utf-8").splitlines()
        statements = [
            Statement(
                node["label"],
                node["realtype"],
                (docname, line_of_label(lines, node["label"])),
                has_proof(node),
            )
            for node in doctree.findall(nodes.Element)
            if node.get("realtype") in STATEMENTS
        ]
        cards = [n.removeprefix(CARD) for n in doctree.nameids if n.startswith(CARD)]
        found(app.env)[docname] = (statements, cards)


def found(env: BuildEnvironment) -> dict[str, tuple[list[Statement], list[str]]]:
    """Return what each page holds, kept with the environment."""
    kept: dict[str, tuple[list[Statement], list[str]]] = env.__dict__.setdefault("nnbook_found", {})
    return kept


def load_claims(topics: list[str]) -> dict[str, Claim]:
    """Return the claims of some topics by label."""
    for topic in topics:
        importlib.import_module(f"nnbook.claims.{topic}")
    return {label: c for label, c in _core._registry.items() if c.topic in topics}


def read_pages(env: BuildEnvironment) -> Pages:
    """Collect the statements and the cards of all pages."""
    pages = Pages()
    for docname, (statements, cards) in sorted(found(env).items()):
        for statement in statements:
            pages.statements[statement.label] = statement
        for label in cards:
            pages.shown[label].append(docname)
    return pages


def line_of_label(lines: list[str], label: str) -> int:
    """Return the number of the line that gives a directive its label.

    >>> line_of_label(["see `ln-a`", "```{prf:lemma}", ":label: ln-a"], "ln-a")
    3
    """
    wanted = re.compile(rf"\s*:?label:\s*{re.escape(label)}\s*$")
    return next((number for number, line in enumerate(lines, 1) if wanted.match(line)), 1)


def has_proof(node: nodes.Element) -> bool:
    """Whether a proof follows a statement directly."""
    following = node.next_node(nodes.Element, descend=False, siblings=True)
    while isinstance(following, nodes.comment | nodes.target):
        following = following.next_node(nodes.Element, descend=False, siblings=True)
    return isinstance(following, proofs.proof_node)


def _defined_at(claim: Claim) -> str:
    """Return ``path:line`` of the function that checks or measures a claim."""
    function = claim.check or claim.measure or claim.exact
    if function is None:
        return f"nnbook.claims.{claim.topic}"
    function = inspect.unwrap(function)
    return f"{inspect.getsourcefile(function)}:{inspect.getsourcelines(function)[1]}"


def check_statement(statement: Statement, claims: dict[str, Claim]) -> str:
    """Return what is wrong with a statement of a page, or nothing."""
    name = f"{statement.kind} {statement.label!r}"
    if statement.label not in claims:
        return f"{name} is not a claim of nnbook.claims; each one must be"
    if statement.kind != "conjecture" and not claims[statement.label].proof:
        return f"{name}: its claim does not say proof=True"
    if claims[statement.label].proof and not statement.proven:
        return f"{name} is not followed by its proof"
    return ""


def check_claim(claim: Claim, pages: Pages) -> str:
    """Return what is wrong with where a claim stands in the pages, or nothing."""
    label, shown = claim.label, pages.shown.get(claim.label.lower(), [])
    call = "refute" if claim.refutes else "verify"
    if claim.proof and label not in pages.statements:
        return f"claim {label!r} says proof=True, but no page states and proves it"
    if not shown:
        return f'claim {label!r} is shown in no page; add a cell with {call}("{label}")'
    if len(shown) > 1:
        return f"claim {label!r} is shown in {len(shown)} pages: {', '.join(shown)}"
    return ""


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Report each statement without claim and each claim without its place."""
    topics = list(_core.TOPICS.values())
    if app.config.claimgate_topics is not None:
        topics = [topic for topic in topics if topic in app.config.claimgate_topics]
    claims, pages = load_claims(topics), read_pages(env)
    for statement in pages.statements.values():
        if text := check_statement(statement, claims):
            log.error(text, location=statement.place, type="claims")
    for claim in claims.values():
        if text := check_claim(claim, pages):
            log.error(text, location=_defined_at(claim), type="claims")


def setup(app: Sphinx) -> dict[str, bool | int]:
    """Look when all pages are read."""
    app.add_config_value("claimgate_topics", None, "")
    app.add_env_collector(Collector)
    app.connect("env-check-consistency", check)
    return {"env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
