"""Offer each chapter as an executed notebook, beside its Markdown source.

The theme shows a button for the notebook when a page context has ``ipynb_source``. The notebook is
the one that was executed in the build, with the TeX macros of the book in front, so that Jupyter
shows the formulas as the page does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places import notebook_path

from nnbook.claims.cards import FACTS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PRIVATE = ("source_map", "file_format")
"""Metadata that only this build needs."""


def macros_cell(title: str, macros: dict[str, str]) -> dict[str, Any]:
    """Return a Markdown cell that says where the notebook is from and defines the macros."""
    definitions = "".join(
        rf"\newcommand{{{name}}}{'[1]' if '#1' in tex else ''}{{{tex}}}"
        for name, tex in macros.items()
    )
    text = f"*A chapter of {title}, as a notebook with its outputs.* $\\,{definitions}$"
    return {"cell_type": "markdown", "id": "macros", "metadata": {}, "source": text}


def clean(notebook: dict[str, Any], title: str, macros: dict[str, str]) -> dict[str, Any]:
    """Return a notebook for readers: the same bytes in every build of the same outputs."""
    cells = [macros_cell(title, macros), *notebook["cells"]]
    for number, cell in enumerate(cells[1:], 1):
        cell["id"] = f"cell-{number}"
        cell["metadata"].pop("execution", None)
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).pop(FACTS, None)
    kept = {key: v for key, v in notebook["metadata"].items() if key not in PRIVATE}
    return {**notebook, "cells": cells, "metadata": kept}


def offer(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Write the notebook of a page among the sources, and tell the theme."""
    if app.builder.format != "html" or "source_map" not in app.env.metadata.get(pagename, {}):
        return
    notebook = json.loads(notebook_path(app, pagename).read_text("utf-8"))
    target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    cleaned = clean(notebook, app.config.html_title, app.config.katex_macros)
    target.write_text(json.dumps(cleaned, indent=1, ensure_ascii=False) + "\n", "utf-8")
    context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before the theme makes its buttons."""
    app.connect("html-page-context", offer, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
