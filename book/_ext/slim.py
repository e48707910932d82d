"""After an HTML build: keep only what the pages need, and nothing from another host.

- The icons come from a subset of the webfont; the theme's 1.5 MB of icon scripts go.
- Source maps, fonts for old browsers and templates that are no pages go.
- ``index.html``, which leads to the first page, becomes a complete page; ``404.html`` is added.
- A page or a style sheet that would load anything from another host fails the build.
"""

from __future__ import annotations

import html
import json
import logging as std_logging
import re
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from fontTools import subset
from sphinx.util import logging
from store import digest

if TYPE_CHECKING:
    from sphinx.application import Sphinx

log = logging.getLogger(__name__)
std_logging.getLogger("fontTools").setLevel(std_logging.WARNING)

THEME = files("pydata_sphinx_theme") / "theme/pydata_sphinx_theme/static"
ICON_RULE = re.compile(r'((?:\.fa-[a-z0-9-]+:{1,2}before,?)+)\{content:"\\([0-9a-f]+)"\}')
ICON = re.compile(r"\bfa-([a-z0-9-]+)")
OLD_FONT = re.compile(r',url\([^)]*\.ttf[^)]*\)(?: ?format\("truetype"\))?')
LOADING_TAG = re.compile(
    r"<(?:script|link|img|iframe|source|video|audio|track|embed|object|input|use|image)\b[^>]*>",
    re.I,
)
FOREIGN = re.compile(
    r"""\b(?:src|srcset|href|data|poster)\s*=\s*["']?\s*((?:https?:)?//[^"'\s>]+)""", re.I
)
# sphinx-proof and sphinx-exercise give these to every statement, proof, exercise and solution
REPEATED_ID = re.compile(
    r'(<(?:section|div)(?: class="[^"]*")?) id="(?:proof|(?:proof|exercise|solution)-content)"'
)
FOREIGN_STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""", re.I)
NOT_LOADED = re.compile(r'rel="(?:canonical|alternate|license|author|me|help|next|prev)"')
STYLE = re.compile(r'<style\b.*?</style>|\bstyle="[^"]*"', re.I | re.S)
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="icon" href="data:,">{head}</head>
<body style="font-family: sans-serif; margin: 3rem 1rem; overflow-wrap: anywhere"><main>
<h1>{title}</h1><p>{text} <a href="{link}">{title}</a></p></main></body></html>
"""


def foreign(text: str) -> list[str]:
    """Return the addresses on other hosts that a page or a style sheet would load.

    >>> foreign('<a href="https://a.org">x</a><img alt="" src="https://b.org/c.png">')
    ['https://b.org/c.png']
    >>> foreign("@import url(//c.org/d.css);")
    ['//c.org/d.css']
    """
    tags = [tag for tag in LOADING_TAG.findall(text) if not NOT_LOADED.search(tag)]
    found = [address for tag in tags for address in FOREIGN.findall(tag)]
    styles = STYLE.findall(text) if "<" in text else [text]
    return found + [address for style in styles for address in FOREIGN_STYLE.findall(style)]


@dataclass
class Looked:
    """What was found in a file: its size and time then, foreign addresses, names of icons."""

    size: int
    time: int
    hosts: list[str]
    icons: list[str]


class Findings:
    """What was found in the files of the site, kept from build to build.

    A file that is the same as when it was looked through is not looked through again; what was
    found in it is reported again.
    """

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.before: dict[str, Looked] = {}
        self.now: dict[str, Looked] = {}
        self.version = digest(Path(__file__).read_bytes())
        try:
            version, files = json.loads(kept.read_text("utf-8"))
            if version == self.version:
                self.before = {name: Looked(**found) for name, found in files.items()}
        except (OSError, ValueError, TypeError):
            pass  # the first build, or a file that was damaged: all are looked through

    def of(self, path: Path) -> Looked:
        """Return what is in a file, which is mended first if it is a page."""
        stat, found = path.stat(), self.before.get(str(path))
        if found is None or (found.size, found.time) != (stat.st_size, stat.st_mtime_ns):
            text = path.read_text("utf-8")
            if path.suffix == ".html" and (mended := mend(text)) != text:
                path.write_text(mended, "utf-8")
                text, stat = mended, path.stat()
            hosts = list(dict.fromkeys(foreign(text)))
            found = Looked(stat.st_size, stat.st_mtime_ns, hosts, sorted(set(ICON.findall(text))))
        self.now[str(path)] = found
        return found

    def save(self) -> None:
        """Keep what was found for the next build."""
        files = {name: asdict(found) for name, found in self.now.items()}
        self.kept.write_text(json.dumps([self.version, files]), "utf-8")


def check_hosts(app: Sphinx, findings: Findings) -> None:
    """Report each page and style sheet that loads from another host."""
    out = Path(app.outdir)
    for path in sorted([*out.rglob("*.html"), *out.rglob("*.css")]):
        name = path.relative_to(out).with_suffix("").as_posix()
        place = name if name in app.env.found_docs else str(path)
        for address in findings.of(path).hosts:
            log.error(
                "the page loads from another host: '%s'", address, location=place, type="slim"
            )


def used_icons(css: str, named: set[str], other_css: str) -> set[int]:
    """Return the code points of the icons that are named, and those that style sheets hold."""
    codes = {
        name: int(code, 16)
        for names, code in ICON_RULE.findall(css)
        for name in re.findall(r"\.fa-([a-z0-9-]+)", names)
    }
    rest = ICON_RULE.sub("", css) + other_css
    used = {codes[name] for name in named if name in codes}
    return used | {int(code, 16) for code in re.findall(r'"\\(f[0-9a-f]{3})"', rest)}


def slim_icons(static: Path, named: set[str]) -> int:
    """Replace the icon fonts by their used parts; return how many icons are kept."""
    css = (THEME / "styles/pydata-sphinx-theme.css").read_text("utf-8")
    scripts = [static / f"scripts/{n}.js" for n in ("pydata-sphinx-theme", "sphinx-book-theme")]
    named = named.union(*(ICON.findall(path.read_text("utf-8")) for path in scripts))
    sheets = [path for path in static.rglob("*.css") if path.name != "pydata-sphinx-theme.css"]
    used = used_icons(css, named, "".join(path.read_text("utf-8") for path in sheets))
    fonts = "vendor/fontawesome/webfonts"
    # always from the theme's own files: those in the output may be a subset from an earlier build
    for source in sorted(Path(str(THEME), fonts).glob("*.woff2")):
        options = subset.Options(flavor="woff2", layout_features=["*"])
        font = subset.load_font(str(source), options)
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=sorted(used))
        cutter.subset(font)
        subset.save_font(font, str(static / fonts / source.name), options)
    (static / "styles/pydata-sphinx-theme.css").write_text(OLD_FONT.sub("", css), "utf-8")
    (static / "scripts/fontawesome.js").write_text("/* the icons come from the webfont */\n")
    return len(used)


def remove_unused(out: Path) -> None:
    """Remove files that no page loads."""
    static = out / "_static"
    unused = [*static.glob("vendor/fontawesome/webfonts/*.ttf"), *out.rglob("*.map")]
    unused += [*static.glob("*webpack-macros.html"), *static.glob("katex/katex.min.js")]
    for path in unused:
        path.unlink()


def write_entries(app: Sphinx) -> None:
    """Write the page at the root, unless the book has one, and the page for a wrong address."""
    out, title = Path(app.outdir), html.escape(app.config.html_title)
    first = f"{app.config.master_doc}.html"
    if app.config.master_doc != "index":
        head = f'<meta http-equiv="refresh" content="0; url={first}">'
        page = PAGE.format(title=title, head=head, text="The book begins here:", link=first)
        (out / "index.html").write_text(page, "utf-8")
    link = app.config.html_baseurl.rstrip("/") + "/" if app.config.html_baseurl else first
    page = PAGE.format(title=title, head="", text="There is no such page. The book:", link=link)
    (out / "404.html").write_text(page, "utf-8")


def mend(text: str) -> str:
    """Mend what the theme and MyST-NB write into a page.

    >>> mend('<a href="../_sources/a.ipynb" target="_blank"')
    '<a href="../_sources/a.ipynb" download'
    >>> mend('<section id="exercise-content"><section id="exercises">')
    '<section><section id="exercises">'
    """
    # names that differ from what the button shows: who speaks to the machine says what is shown
    text = re.sub(
        r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1", text
    )
    text = text.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    text = text.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    text = REPEATED_ID.sub(r"\1", text)
    # a browser shows a notebook as text unless it is told to keep it
    text = re.sub(r'(<a href="[^"]*_sources/[^"]*") target="_blank"', r"\1 download", text)
    # the table of run times marks success by signs that many fonts lack
    return text.replace("<p>\u2705</p>", "<p>done</p>").replace("<p>\u274c</p>", "<p>failed</p>")


def finish(app: Sphinx, error: Exception | None) -> None:
    """Do all of it, when the pages are written."""
    if error is not None or app.builder.name not in ("html", "dirhtml"):
        return
    out = Path(app.outdir)
    remove_unused(out)
    write_entries(app)
    findings = Findings(out.parent / ".slim.json")
    icons = {name for page in out.rglob("*.html") for name in findings.of(page).icons}
    kept = slim_icons(out / "_static", icons)
    check_hosts(app, findings)
    findings.save()
    log.info("slim: %d icons kept, %d files of the site in order", kept, len(findings.now))


def setup(app: Sphinx) -> dict[str, bool]:
    """Run after the other extensions have written their files."""
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
