"""Say at the end of each page what it was made from, and for machines in ``provenance.json``.

The folded box holds what is the same for two builds of one commit: the commit, the versions, the
device, the profile and the files that the page depends on. How long the page ran, and whether in
this build or an earlier one, stands in ``provenance.json`` and on the status page; a small script
puts it into the box, so that the pages themselves are the same bytes in every build.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from ledgerpage import shown
from sphinx.util.docutils import SphinxDirective
from store import gpu

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

NAMES = ("nnbook", "torch", "numpy", "scipy", "matplotlib", "scikit-learn", "sympy", "hypothesis")
BUILDERS = ("jupyter-book", "sphinx", "myst-nb")


def commit(root: Path) -> str:
    """Return the commit of the project, with ``+`` when its files differ from it."""
    if named := os.environ.get("NNBOOK_COMMIT"):
        return named

    def git(*words: str) -> str:
        ran = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
        )
        return ran.stdout.strip() if ran.returncode == 0 else ""

    head = git("rev-parse", "--short=12", "HEAD")
    changed = git("status", "--porcelain", "--", "book", "src") if head else ""
    return head + ("+" if changed else "") or "unknown"


def about(app: Sphinx) -> dict[str, Any]:
    """Return what is the same for all pages of a build."""
    return {
        "commit": app.config.provenance_commit,
        "profile": os.environ.get("NNBOOK_PROFILE", "quick"),
        "device": ", ".join(gpu()) or "cpu",
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in (*NAMES, *BUILDERS)},
    }


def files(app: Sphinx, page: str) -> dict[str, str]:
    """Return the files on which the outputs of a page depend, with their digests."""
    entry = app.nnbook_fresh.entry(page)  # type: ignore[attr-defined]
    return entry.files if entry else {}


def box(app: Sphinx, page: str) -> str:
    """Return the folded box of a page."""
    facts = about(app)
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    rows = [
        ("Commit", facts["commit"]),
        ("Profile and device", f"{facts['profile']}, {facts['device']}"),
        ("Versions", versions),
    ]
    used = files(app, page)
    listed = "".join(f"<li><code>{escape(name)}</code></li>" for name in used)
    ran = (
        f'<dt>Executed</dt><dd data-provenance="{escape(page)}">see the status page</dd>'
        if used
        else ""
    )
    pairs = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    deps = f"<dt>The outputs depend on</dt><dd><ul>{listed}</ul></dd>" if used else ""
    return (
        '<details class="provenance"><summary>How this page was made</summary>'
        f"<dl>{pairs}{ran}{deps}</dl></details>"
    )


def add_box(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Put the box at the end of a page of the book."""
    if app.builder.format == "html" and doctree is not None and "body" in context:
        context["body"] += box(app, pagename)


def write(app: Sphinx, error: Exception | None) -> None:
    """Write ``provenance.json`` beside the pages."""
    if error is not None or app.builder.format != "html":
        return
    pages = {}
    for page in sorted(app.env.found_docs):
        if entry := app.nnbook_fresh.entry(page):  # type: ignore[attr-defined]
            run = app.nnbook_fresh.runs.get(page)  # type: ignore[attr-defined]
            pages[page] = {
                "executed": "in this build"
                if run
                else "in an earlier build, nothing changed since",
                "seconds": round(entry.seconds, 2),
                "dependencies": entry.files,
            }
    text = json.dumps(about(app) | {"pages": pages}, indent=1)
    Path(app.outdir, "provenance.json").write_text(text + "\n", "utf-8")


def name_commit(app: Sphinx, config: Config) -> None:
    """Let Sphinx write all pages again when the commit has changed."""
    config["provenance_commit"] = commit(Path(app.srcdir))


class BuildStatus(SphinxDirective):
    """What a build was made with; with ``bench``, what builds cost when last measured.

    With ``measured``, the numbers of claims that are others in each run.
    """

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the table as Markdown and let the page's parser read it."""
        app = self.env.app
        texts = {"bench": lambda: bench(app), "measured": lambda: varying(shown(app))}
        text = texts[self.arguments[0]]() if self.arguments else table(about(app))
        box = nodes.container()
        source, line = self.get_source_info()
        self.state.nested_parse(StringList(text.splitlines(), source), line, box)
        return [box]


def table(facts: dict[str, Any]) -> str:
    """Return the facts of a build as a Markdown table.

    >>> print(table({"commit": "abc", "versions": {"numpy": "2"}}))
    | fact | value |
    |---|---|
    | commit | abc |
    | numpy | 2 |
    """
    rows = {k: v for k, v in facts.items() if k != "versions"} | facts["versions"]
    return "| fact | value |\n|---|---|\n" + "\n".join(
        f"| {name} | {value} |" for name, value in rows.items()
    )


def varying(facts: dict[str, dict[str, Any]]) -> str:
    """Return the measurements that differ from run to run as a Markdown table.

    >>> print(varying({"a-b": {"measured": ["seconds", "1", "2"]}, "a-c": {"lines": []}}))
    | claim | what | measured |
    |---|---|---|
    | {ref}`a-b <card-a-b>` | seconds | 1, 2 |
    """
    measured = sorted((n, fact["measured"]) for n, fact in facts.items() if "measured" in fact)
    rows = [
        f"| {{ref}}`{label} <card-{label}>` | {unit} | {', '.join(numbers)} |"
        for label, (unit, *numbers) in measured
    ]
    return "\n".join(["| claim | what | measured |", "|---|---|---|", *rows])


def bench(app: Sphinx) -> str:
    """Return the last measurement of builds on this machine as a Markdown table."""
    path = Path(app.outdir).resolve().parent / "bench-build.json"
    if not path.exists():
        return "Not measured on this machine; `make bench-build` does it."
    measured = json.loads(path.read_text("utf-8"))
    head = f"On {measured['cores']} cores, measured side by side in one run:\n\n"
    rows = ["| build | seconds | pages executed | times faster |", "|---|---|---|---|"]
    rows += [
        f"| {r['build']} | {r['seconds']:.1f} | {r['pages executed']} | {r['times faster']:.1f} |"
        for r in measured["rows"]
    ]
    return head + "\n".join(rows)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the box to each page."""
    app.add_config_value("provenance_commit", "", "html")
    app.add_directive("build-status", BuildStatus)
    app.connect("config-inited", name_commit)
    app.connect("html-page-context", add_box)
    app.connect("build-finished", write, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
