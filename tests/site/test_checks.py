"""The checks of this folder find what they look for: each is shown a page with the fault."""

from __future__ import annotations

from pathlib import Path

import html_checks
import pytest
from browser import PHONE, accessibility, open_page, serve, too_wide, watched
from playwright.sync_api import Browser

pytestmark = pytest.mark.site

FINE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>T</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"></head>
<body><main><h1 id="a">T</h1><p>All is well.</p>{}</main></body></html>"""


def write(folder: Path, body: str) -> Path:
    path = folder / "page.html"
    path.write_text(FINE.format(body), "utf-8")
    return path


FIGURE = '<figure><img alt="{}" src="data:,"><figcaption>{}</figcaption></figure>'


@pytest.mark.parametrize(
    ("check", "body"),
    [
        (html_checks.raw_tex, r"<p>$$ x $$</p>"),
        (html_checks.raw_tex, r"<p>so \frac{1}{2}</p>"),
        (html_checks.raw_tex, '<code class="math-error">x</code>'),
        (html_checks.without_text, '<img src="data:,">'),
        (html_checks.without_text, FIGURE.format("", "A caption.")),
        (html_checks.without_text, FIGURE.format("a line that falls", "")),
        (html_checks.bare_pictures, '<div class="cell_output"><img alt="" src="data:,"></div>'),
        (html_checks.repeated_ids, '<p id="b"></p><p id="b"></p>'),
        (html_checks.rubbish, "<pre>Traceback (most recent call last)</pre>"),
        (html_checks.rubbish, "<pre>&lt;Figure size <Figure size 640x480></pre>"),
        (html_checks.rubbish, f"<p>{html_checks.ROOT}/src</p>"),
    ],
)
def test_a_fault_in_a_file_is_found(tmp_path, check, body):
    assert check(write(tmp_path, "<p>fine</p>")) == []
    html_checks.soup.cache_clear()
    assert check(write(tmp_path, body)) != []
    html_checks.soup.cache_clear()


@pytest.mark.parametrize(
    "body",
    [
        '<a href="nowhere.html">x</a>',
        '<a href="#nowhere">x</a>',
        '<a href="page.html#nowhere">x</a>',
        '<a href="../outside.html">x</a>',
        '<script src="nowhere.js"></script>',
    ],
)
def test_a_broken_link_is_found(tmp_path, body):
    (tmp_path / "outside.html").write_text("x")
    site = tmp_path / "site"
    site.mkdir()
    fine = write(site, '<a href="#a">x</a> <a href="page.html#a">x</a> <a href="//b.org">x</a>')
    assert html_checks.broken_links(fine, site) == []
    html_checks.soup.cache_clear()
    assert html_checks.broken_links(write(site, body), site) != []
    html_checks.soup.cache_clear()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<script>nosuchthing()</script>", "script error"),
        ("<script>console.error('oops')</script>", "console error: oops"),
        ('<img alt="" src="nowhere.png">', "404"),
        ('<img alt="" src="http://other.invalid/a.png">', "another host"),
        ("<script>fetch('/nnbook2/x')</script>", "404"),
    ],
)
def test_a_complaint_of_the_browser_is_heard(tmp_path, browser: Browser, body, message):
    with serve(tmp_path) as address:
        for text, wanted in (("", False), (body, True)):
            write(tmp_path, text)
            with watched(browser) as (page, wrong):
                open_page(page, f"{address}page.html")
                page.wait_for_timeout(300)
                assert any(message in complaint for complaint in wrong) is wanted, wrong


def test_a_page_that_is_too_wide_is_found(tmp_path, browser: Browser):
    for body, wanted in (("", False), ('<div style="width: 500px">x</div>', True)):
        with watched(browser, PHONE) as (page, _):
            open_page(page, write(tmp_path, body).as_uri())
            assert bool(too_wide(page)) is wanted


@pytest.mark.parametrize(
    "body",
    [
        '<p style="color: #bbb; background: #fff">too pale</p>',
        "<button></button>",
        '<pre style="overflow: auto; width: 9em">what scrolls and no key can reach at all</pre>',
    ],
)
def test_a_page_that_some_cannot_use_is_found(tmp_path, browser: Browser, body):
    for text, wanted in (("", False), (body, True)):
        with watched(browser) as (page, _):
            open_page(page, write(tmp_path, text).as_uri())
            assert bool(accessibility(page)) is wanted
