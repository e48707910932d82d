"""Render all mathematics at build time with KaTeX, so that pages need no script for it.

KaTeX itself (``assets/katex/katex.min.js``) runs inside Python, in the V8 engine of the package
``mini-racer``. A formula that KaTeX refuses is a Sphinx warning with page and line.

Configuration: ``html_math_renderer = "katex"`` and ``katex_macros`` (a dictionary of TeX macros).
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from py_mini_racer import JSEvalException, MiniRacer
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)

KATEX = Path(__file__).resolve().parent.parent / "assets" / "katex"
# Sphinx numbers the whole block; the plain environments would number each row as well.
NUMBERED = re.compile(r"\\(begin|end)\{(align|alignat|gather|equation)\}")
# The faces that nearly every formula needs: fetched at once, so that lines do not move.
PRELOAD = ("Main-Regular", "Math-Italic", "Size1-Regular", "Size2-Regular", "AMS-Regular")
PRELOADER = (
    '<script>if (location.protocol !== "file:") for (const name of NAMES) {'
    ' const link = Object.assign(document.createElement("link"), {rel: "preload", as: "font",'
    ' type: "font/woff2", crossOrigin: "", href: FONTS + "KaTeX_" + name + ".woff2"});'
    " document.head.append(link); }</script>"
)


class TexError(ValueError):
    """KaTeX could not read a formula."""


@cache
def _engine() -> MiniRacer:
    """Return the JavaScript engine with KaTeX loaded into it."""
    engine = MiniRacer()
    engine.eval((KATEX / "katex.min.js").read_text("utf-8"))
    # Errors come back as data: an exception would carry the engine's stack, not the reason.
    engine.eval(
        "function nnbookTex(tex, display, macros) {"
        " try { return JSON.stringify({html: katex.renderToString(tex, {displayMode: display,"
        " macros: JSON.parse(macros), throwOnError: true, strict: 'ignore'})}); }"
        " catch (e) { return JSON.stringify({error: String(e.message)}); } }"
    )
    return engine


@cache
def render(tex: str, display: bool, macros: str) -> str:
    """Return the HTML and MathML of one formula.

    Args:
        tex: The formula, without dollar signs.
        display: Whether it stands in a line of its own.
        macros: JSON text of a dictionary from macro names to their TeX.

    Raises:
        TexError: If KaTeX cannot read ``tex``; the message is KaTeX's.
    """
    try:
        answer = json.loads(str(_engine().call("nnbookTex", tex, display, macros)))
    except JSEvalException as error:
        raise TexError(str(error)) from error
    if "error" in answer:
        # the wrong part comes underlined with combining characters
        reason = answer["error"].replace("\u0332", "")
        raise TexError(reason.removeprefix("KaTeX parse error: "))
    return str(answer["html"])


def display_tex(tex: str, nowrap: bool) -> str:
    """Return ``tex`` in the form that KaTeX wants for a display, without row numbers of its own."""
    tex = NUMBERED.sub(r"\\\1{\2*}", tex)
    if nowrap:
        return tex
    rows = [part for part in tex.split("\n\n") if part.strip()]
    if len(rows) > 1:
        return r"\begin{aligned}" + r"\\".join(rows) + r"\end{aligned}"
    if r"\\" in tex and r"\begin" not in tex:
        return r"\begin{aligned}" + tex + r"\end{aligned}"
    return tex


def _html(self: HTML5Translator, node: nodes.Element, tex: str, display: bool) -> str:
    macros = json.dumps(self.builder.config.katex_macros, sort_keys=True)
    try:
        return render(tex, display, macros)
    except TexError as error:
        log.error("TeX: %s", error, location=node, type="math", subtype="tex")
        return f'<code class="math-error">{self.encode(tex)}</code>'


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula inside a line of text."""
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(_html(self, node, node.astext(), False) + "</span>")
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula in a line of its own, with its number when it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    tex = display_tex(node.astext(), bool(node["nowrap"]))
    self.body.append(_html(self, node, tex, True) + "</div>\n")
    raise nodes.SkipNode


def preload(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Ask for the fonts early on pages that have formulas."""
    if app.builder.format != "html" or 'class="katex"' not in context.get("body", ""):
        return
    fonts = context["pathto"]("_static/katex/fonts/", 1)
    # by a script: from a folder (file:) a browser refuses to preload and complains
    context["metatags"] += PRELOADER.replace("FONTS", json.dumps(fonts)).replace(
        "NAMES", json.dumps(PRELOAD)
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer with Sphinx."""
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.add_config_value("katex_macros", {}, "html")
    app.connect("html-page-context", preload)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
