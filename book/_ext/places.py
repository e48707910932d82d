"""Where in the pages something stands: cells, and what a warning without a line speaks of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myst_nb.core import read as myst_read

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_read_page = myst_read.read_myst_markdown_notebook


@dataclass
class Cell:
    """A code cell: its first line of code in the page, and its outputs."""

    line: int
    outputs: list[dict[str, Any]]


def notebook_path(app: Sphinx, docname: str) -> Path:
    """Return where MyST-NB writes the executed notebook of a page."""
    folder = Path(app.env.mystnb_config.output_folder)  # type: ignore[attr-defined]
    return folder / f"{docname}.ipynb"


def code_cells(app: Sphinx, docname: str) -> list[Cell]:
    """Return the code cells of a page that was executed in this build or an earlier one."""
    notebook = json.loads(notebook_path(app, docname).read_text("utf-8"))
    lines = Path(app.env.doc2path(docname)).read_text("utf-8").splitlines()
    starts = notebook["metadata"]["source_map"]
    return [
        Cell(find_block(lines, at, joined(cell["source"])) + 1, cell["outputs"])
        for cell, at in zip(notebook["cells"], starts, strict=True)
        if cell["cell_type"] == "code"
    ]


def joined(text: str | list[str]) -> str:
    """Return text that a notebook file may hold as one string or as a list of lines."""
    return text if isinstance(text, str) else "".join(text)


def find_block(lines: list[str], start: int, block: str) -> int:
    """Return the index of the line where a block begins, at ``start`` or below it.

    >>> find_block(["```{code-cell}", ":tags: [x]", "", "a = 1", "```"], 1, "a = 1")
    3
    """
    wanted = [line.rstrip() for line in block.splitlines()]
    for index in range(start, len(lines) - len(wanted) + 1):
        if [line.rstrip() for line in lines[index : index + len(wanted)]] == wanted:
            return index
    return start


def read_with_lines(text: str, *args: Any, **kwargs: Any) -> Any:
    """Read a page as MyST-NB does, but with the right lines for its text.

    MyST-NB drops the blank lines above a piece of text and counts as if there were always one, so
    that its warnings name a wrong line whenever there are none or two.
    """
    notebook = _read_page(text, *args, **kwargs)
    starts, lines = notebook.metadata.get("source_map", []), text.splitlines()
    for index, (cell, start) in enumerate(zip(notebook.cells, starts, strict=False)):
        if cell.cell_type == "markdown":
            starts[index] = find_block(lines, start, cell.source) - 1
    return notebook


# sphinx-exercise gives the page that was written before the one with the mistake
WRONG_PAGE = re.compile(r"undefined label: [^']*$")


def _word(message: str) -> str:
    """Return the word that a message speaks of: the last one in quotes, else its last word."""
    quoted = re.findall(r"""['"]([^'"]+)['"]""", message)
    return str(quoted[-1] if quoted else message.split()[-1])


def locate(where: str, message: str, pages: list[Path]) -> str:
    """Return ``path:line`` for a warning whose place lacks the suffix or the line.

    Args:
        where: what the warning says: a path with or without suffix and line, or nothing.
        message: its text; the word in quotes is looked up in the page, without page in all.
        pages: the pages of the book.
    """
    path, _, line = where.rstrip(":").rpartition(":")
    path, line = (path, line) if line.isdigit() else (where.rstrip(":"), "")
    stem = re.sub(r"(\.rst|\.md)*$", "", path)
    own = [page for page in pages if str(page.with_suffix("")) == stem]
    if own and line:
        return f"{own[0]}:{line}"
    if line or not (own or path):
        return where
    word = _word(message)
    for page in pages if WRONG_PAGE.match(message) or not own else own:
        for number, text in enumerate(page.read_text("utf-8").splitlines(), 1):
            if word in text:
                return f"{page}:{number}"
    return f"{own[0]}:1" if own else where


def setup(app: Sphinx) -> dict[str, bool]:
    """Give MyST-NB the reader with the right lines."""
    myst_read.read_myst_markdown_notebook = read_with_lines
    return {"parallel_read_safe": True, "parallel_write_safe": True}
