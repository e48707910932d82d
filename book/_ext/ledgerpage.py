"""The directive ``claim-ledger``: what each claim of a topic asserts, and what its card shows.

`nnbook.claims.verify` and `refute` put the evidence of a claim on its card in two forms, one for
the reader and one for a machine. The pages are executed, or their outputs found to hold, before any
page is read; so the ledger can take the evidence from the cards of the very build, and no claim
has to be run twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from nnbook.claims.cards import FACTS
from nnbook.claims.pages import ledger

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def cards(outputs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what each card among the outputs of a page says for a machine.

    >>> cards([{"metadata": {FACTS: {"label": "a-b", "lines": ["proof"]}}}, {"text": "no card"}])
    {'a-b': {'label': 'a-b', 'lines': ['proof']}}
    """
    facts = (output.get("metadata", {}).get(FACTS) for output in outputs)
    return {fact["label"]: fact for fact in facts if fact}


def shown(app: Sphinx) -> dict[str, dict[str, Any]]:
    """Return what all cards of the book say for a machine."""
    state = getattr(app, "nnbook_fresh", None)
    found: dict[str, dict[str, Any]] = {}
    for page in sorted(app.env.found_docs) if state else ():
        entry = state.entry(page)  # type: ignore[union-attr]
        for cell in entry.cells if entry else ():
            found |= cards(cell["outputs"])
    return found


class ClaimLedger(SphinxDirective):
    """List the claims of a topic, the directive's argument."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the list as Markdown and let the page's parser read it."""
        try:
            lines = {label: fact["lines"] for label, fact in shown(self.env.app).items()}
            text = ledger(self.arguments[0], lines).text
        except (KeyError, ValueError) as error:
            reason = (
                f"claim-ledger: {error}; no card of this build shows it, or there is no such topic"
            )
            return [self.state.document.reporter.error(reason, line=self.lineno)]
        box = nodes.container()
        source, line = self.get_source_info()
        self.state.nested_parse(StringList(text.splitlines(), source), line, box)
        return [box]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("claim-ledger", ClaimLedger)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
