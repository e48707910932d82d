"""Say at the very end of a build what is wrong, as ``page:line: message``, and fail the build.

Sphinx prints a problem where it meets it, between hundreds of other lines, and Jupyter Book ends
with "look above". This extension

- collects each warning and error of the build and prints them last, after everything else;
- finds the line of a cell that raised, wrote to stderr or killed its kernel, and goes on with the
  other pages, so that one build names all such cells;
- lets every build fail on an error, also without ``-W`` (a warning fails it only with ``-W``);
- checks that each page is in ``_toc.yml`` and each entry of ``_toc.yml`` has a page;
- forgets the pickled environment of a failed build, so that the next one reads every page again.
"""

from __future__ import annotations

import atexit
import io
import logging
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from places import Cell, code_cells, joined, locate
from sphinx.util import logging as sphinx_logging

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.config import Config

log = sphinx_logging.getLogger(__name__)

# Said again by `check_cells` and `check_toc` with the line and the reason.
REPLACED = ("mystnb.exec", "mystnb.stderr")
ALSO_REPLACED = re.compile(r"\[etoc\.ref\]$")
TOC_ENTRY = re.compile(r"^\s*(?:-\s*)?(?:file|root)\s*:\s*[\"']?([^\s\"'#]+)")
WARNED_AT = re.compile(r"ipykernel_\d+[/\\]\d+\.py:(\d+): (.*)")
"""How Python writes a warning that a cell caused: file, line, category and text."""


@dataclass
class Problem:
    """One thing that is wrong with the book."""

    where: str
    what: str
    fatal: bool


@dataclass
class Report:
    """The problems of a build, in the order in which they were met."""

    root: Path = field(default_factory=Path.cwd)
    problems: list[Problem] = field(default_factory=list)
    failed: bool = False

    def add(self, where: str, what: str, fatal: bool) -> None:
        """Note a problem, once; ``where`` becomes relative to the folder that holds the book."""
        where = where.replace(f"{self.root}/", "") or "book"
        problem = Problem(where, " ".join(what.split()).replace(f"{self.root}/", ""), fatal)
        if problem not in self.problems:
            self.problems.append(problem)

    def text(self) -> str:
        """Return the lines to print, or nothing when all is well."""
        if not self.problems:
            return ""
        count = len(self.problems)
        result = "failed" if self.failed else "was built"
        head = f"The book {result}, with {count} problem{'s' if count > 1 else ''}:"
        return "\n".join(["", head, *(f"{p.where}: {p.what}" for p in self.problems), ""])

    def show(self) -> None:
        """Print the problems, after whatever else is waiting to be printed."""
        sys.stdout.flush()
        sys.stderr.write(self.text())
        sys.stderr.flush()


class Collector(sphinx_logging.WarningStreamHandler):
    """A handler of Sphinx's log that writes into the report."""

    def __init__(self, app: Sphinx, report: Report) -> None:
        super().__init__(io.StringIO())
        self.app, self.report = app, report
        self.setLevel(logging.WARNING)
        self.addFilter(sphinx_logging.WarningLogRecordTranslator(app))

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record, unless the configuration suppresses it or a better one replaces it."""
        kind, subtype = getattr(record, "type", ""), getattr(record, "subtype", "")
        message = logging.LogRecord.getMessage(record)
        if f"{kind}.{subtype}" in REPLACED or ALSO_REPLACED.search(message):
            return
        if sphinx_logging.is_suppressed_warning(kind, subtype, self.app.config.suppress_warnings):
            return
        project = getattr(self.app, "project", None)  # none yet while the configuration is read
        pages = [Path(self.app.srcdir, f"{n}.md") for n in (project.docnames if project else ())]
        where = locate(str(getattr(record, "location", "") or ""), message, sorted(pages))
        self.report.add(where, message, record.levelno >= logging.ERROR)


def go_on(app: Sphinx, config: Config) -> None:
    """Let the build go on after the first problem: `close` makes it fail at the end."""
    config["nb_execution_raise_on_error"] = False
    if app.warningiserror:
        app.warningiserror, app.keep_going = False, True


def _complaint(cell: Cell) -> tuple[int, str] | None:
    """Return the line and the text of what went wrong in a cell, if anything did."""
    for output in reversed(cell.outputs):
        if output["output_type"] == "error":
            reason = output["evalue"].strip().splitlines() or [""]
            traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output["traceback"]))
            at = re.search(r"Cell In\[\d+\], line (\d+)", traceback)  # the first is this cell
            line = cell.line + int(at[1]) - 1 if at else cell.line
            return line, f"the cell raised {output['ename']}: {reason[0]}"
    for output in cell.outputs:
        if output.get("name") == "stderr":
            text = joined(output["text"])
            if at := WARNED_AT.search(text):
                return cell.line + int(at[1]) - 1, f"the cell warned: {at[2]}"
            last = text.strip().splitlines() or [""]
            return cell.line, f"the cell wrote to stderr: {last[-1]}"
    return None


def check_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Report each cell of a page that raised or wrote to stderr."""
    env = app.env
    if "source_map" not in env.metadata[env.docname]:
        return
    for cell in code_cells(app, env.docname):
        if found := _complaint(cell):
            log.error(found[1], location=(env.docname, found[0]), type="cell")


def check_toc(app: Sphinx) -> None:
    """Report pages that `_toc.yml` does not name, and entries without a page."""
    source = Path(app.srcdir)
    toc = Path(app.config["external_toc_path"])
    named: dict[str, int] = {}
    for number, line in enumerate((source / toc).read_text("utf-8").splitlines(), 1):
        if entry := TOC_ENTRY.match(line):
            named[entry[1].removesuffix(".md")] = number
    for page, number in named.items():
        if not (source / f"{page}.md").exists():
            log.error("there is no page %r", page, location=f"{source / toc}:{number}", type="toc")
    for path in sorted(source.rglob("*.md")):
        page = path.relative_to(source).with_suffix("").as_posix()
        if page not in named and not page.startswith(("_build/", "_ext/", "assets/")):
            log.error("this page is not in %s", toc.name, location=f"{path}:1", type="toc")


def close(app: Sphinx, error: Exception | None) -> None:
    """Decide whether the build failed."""
    report: Report = app.nnbook_report  # type: ignore[attr-defined]
    if error is not None:
        page = app.env.temp_data.get("docname") if app.env else None
        where = app.env.doc2path(page) if page else ""
        report.add(where, f"the build stopped: {type(error).__name__}: {error}", fatal=True)
    if any(problem.fatal or app.keep_going for problem in report.problems):
        report.failed = True
        app.statuscode = 1
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Begin to collect, and print when the program ends."""
    report = Report(root=Path(app.srcdir).resolve().parent)
    app.nnbook_report = report  # type: ignore[attr-defined]
    logging.getLogger(sphinx_logging.NAMESPACE).addHandler(Collector(app, report))
    atexit.register(report.show)
    app.connect("config-inited", go_on)
    app.connect("builder-inited", check_toc)
    app.connect("doctree-read", check_cells)
    app.connect("build-finished", close, priority=999)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
