"""What is read off the files of the site, without a browser: each check returns its complaints."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
# what a page shows when TeX was not typeset; code is left out before it is looked for
RAW_TEX = re.compile(
    r"\$\$|\\(?:frac|sum|mathbb|mathrm|operatorname|left|right|begin|text|norm|LNS)\b"
)
RUBBISH = re.compile(
    r"<Figure size|Traceback \(most recent call last\)|site-packages|ipykernel_"
    r"|<matplotlib\.|object at 0x[0-9a-f]{6}"
)
# a formula may have drawings of its own: the lines of a root
PICTURES = "img, svg:not(.katex svg)"


@cache
def soup(path: Path) -> BeautifulSoup:
    """Return the parsed page."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def raw_tex(path: Path) -> list[str]:
    """Complain about formulas that a reader would see as TeX, and about those KaTeX refused."""
    page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    found = [str(tag) for tag in page.select(".katex-error, .math-error, mjx-container")]
    for tag in page.select("script, style, pre, code, annotation, head"):
        tag.decompose()
    return found + [match.group() for match in RAW_TEX.finditer(page.get_text(" "))]


def without_text(path: Path) -> list[str]:
    """Complain about images without alternative text, and figures without caption."""
    page = soup(path)
    found = [f"no alt: {str(tag)[:120]}" for tag in page.select("img") if tag.get("alt") is None]
    for figure in page.select("figure"):
        images = figure.select(PICTURES)
        found += [
            f"a figure whose alt says too little: {tag.get('alt')!r}"
            for tag in images
            if len(tag.get("alt") or tag.get("aria-label") or "") < 12
        ]
        caption = figure.find("figcaption")
        if images and not (caption and caption.get_text(strip=True)):
            found.append(f"a figure without caption: {str(figure)[:120]}")
    return found


def bare_pictures(path: Path) -> list[str]:
    """Complain about a picture in the output of a cell that is not in a figure."""
    outputs = soup(path).select("div.cell_output")
    images = [tag for output in outputs for tag in output.select(PICTURES)]
    return [str(tag)[:120] for tag in images if not tag.find_parent("figure")]


def broken_links(path: Path, site: Path) -> list[str]:
    """Complain about links, images, scripts and anchors inside the site that lead nowhere."""
    found = []
    for tag in soup(path).select("[href], [src]"):
        address = str(tag.get("href") or tag.get("src") or "")
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or address.startswith(("data:", "javascript:")):
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        if target.is_dir():
            target = target / "index.html"
        if not target.is_relative_to(site.resolve()) or not target.exists():
            found.append(f"no such file: {address}")
        elif parts.fragment and target.suffix == ".html":
            if unquote(parts.fragment) not in anchors(target):
                found.append(f"no such anchor: {address}")
    return found


@cache
def anchors(path: Path) -> set[str]:
    """Return what a link to a page may name after the hash."""
    names = {str(tag["id"]) for tag in soup(path).select("[id]")}
    return names | {"", "top"}


def repeated_ids(path: Path) -> list[str]:
    """Complain about an id that two elements of a page share."""
    counts = Counter(str(tag["id"]) for tag in soup(path).select("[id]"))
    return [f"{count} elements have the id {name!r}" for name, count in counts.items() if count > 1]


def rubbish(path: Path) -> list[str]:
    """Complain about leftovers of a run and paths of the machine, in a page or a download."""
    text = path.read_text("utf-8")
    found = [match.group() for match in RUBBISH.finditer(text)]
    machine = {str(ROOT), str(Path.home()), tempfile.gettempdir()} - {"/", "/root"}
    return found + [f"a path of the machine: {name}" for name in machine if f"{name}/" in text]
