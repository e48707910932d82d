"""A browser, a server below a sub-path, and what is seen in the browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PREFIX = "/nnbook"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PHONE, DESKTOP = 390, 1280
SERIOUS = ("serious", "critical")


class Handler(SimpleHTTPRequestHandler):
    """Serve a folder below a sub-path, as GitHub Pages does."""

    def translate_path(self, path: str) -> str:
        """Return the file of an address; outside the sub-path there is none."""
        if not path.startswith(f"{PREFIX}/"):
            return os.devnull + "/none"
        return super().translate_path(path.removeprefix(PREFIX))

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


class Server(ThreadingHTTPServer):
    """A server that does not mind a browser that hangs up."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be quiet: a page that is left closes its connections."""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder and give the address of its root."""
    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{PREFIX}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser that the environment variable CHROMIUM or the search path names."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    assert path, f"no browser: install one of {', '.join(NAMES)}, or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def watched(
    browser: Browser, width: int = DESKTOP, scheme: str = "light", **options: Any
) -> Iterator[tuple[Page, list[str]]]:
    """Give a new page, and the list of what goes wrong while it is used."""
    viewport = {"width": width, "height": 900}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, **options)  # type: ignore[arg-type]
    page, wrong = context.new_page(), []
    page.on("console", lambda m: wrong.append(f"console {m.type}: {m.text}") if bad(m) else None)
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.on("request", lambda r: wrong.append(f"another host: {r.url}") if foreign(r.url) else None)
    page.on("response", lambda r: wrong.append(f"{r.status}: {r.url}") if r.status > 399 else None)
    try:
        yield page, wrong
    finally:
        context.close()


def bad(message: Any) -> bool:
    """Whether a message of the console is a complaint."""
    return message.type in ("error", "warning")


def foreign(address: str) -> bool:
    """Whether an address is neither of the test's server nor inside the page."""
    return not address.startswith(("http://127.0.0.1:", "data:", "blob:", "file:"))


def open_page(page: Page, address: str) -> None:
    """Open a page and wait until its fonts are there and its scripts have run."""
    page.goto(address, wait_until="load")
    if address.endswith("/index.html"):  # it leads on to the first page
        page.wait_for_url(lambda url: not url.endswith("/index.html"), wait_until="load")
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(250)


def too_wide(page: Page) -> list[str]:
    """Complain when the page as a whole scrolls sideways; name the elements that stand out."""
    return page.evaluate(
        """() => {
        const root = document.documentElement, limit = root.clientWidth;
        if (root.scrollWidth <= limit) return [];
        const out = [...document.body.querySelectorAll('*')].filter(
            e => e.getBoundingClientRect().right > limit + 1);
        return [`the page is ${root.scrollWidth} wide, the screen ${limit}`].concat(
            out.slice(0, 5).map(e => e.outerHTML.slice(0, 120)));
        }"""
    )  # fmt: skip


def accessibility(page: Page) -> list[str]:
    """Return the serious and critical violations that axe-core finds.

    Formulas are left out: their visual half is hidden from those who listen, for the other half,
    MathML, axe has no rules, and the many boxes of a long page of formulas take it minutes.
    """
    page.evaluate("document.querySelectorAll('.katex').forEach(e => e.replaceWith('formula'))")
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{v['id']} ({v['impact']}): {node['html'][:160]}"
        for v in found["violations"]
        if v["impact"] in SERIOUS
        for node in v["nodes"][:3]
    ]
