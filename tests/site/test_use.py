"""What a reader does on the site: search, switch the theme, copy, download, tab through."""

from __future__ import annotations

import json
import re
from pathlib import Path

import html_checks
import nbformat
import pytest
from browser import PHONE, open_page, watched
from playwright.sync_api import Browser

pytestmark = pytest.mark.site


def test_search_finds_each_chapter_by_its_title(
    site: Path, browser: Browser, address: str, chapters: list[str]
):
    for chapter in chapters:
        title = html_checks.soup(site / f"{chapter}.html").select_one("h1")
        words = re.findall(r"[A-Za-z]{4,}", title.get_text()) if title else []
        assert words, f"{chapter} has no title"
        with watched(browser) as (page, wrong):
            open_page(page, f"{address}search.html?q={max(words, key=len)}")
            page.wait_for_selector(f"#search-results a[href*='{chapter}.html']", timeout=10_000)
            # Sphinx does not find the anchor of a module, whose name has dots, for its excerpt
            assert [text for text in wrong if "Anchored content block" not in text] == []


def test_the_search_field_leads_to_the_results(browser: Browser, address: str, chapters: list[str]):
    with watched(browser) as (page, wrong):
        open_page(page, f"{address}{chapters[0]}.html")
        page.keyboard.press("Control+k")
        page.keyboard.type("neural")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=neural")
        page.wait_for_function("document.querySelector('.search-summary')?.textContent.length > 0")
        assert wrong == []


def test_search_works_from_a_folder(site: Path, browser: Browser, chapters: list[str]):
    """Only the excerpts below the titles are missing there: a browser lets no file read another."""
    chapter = chapters[0]
    title = html_checks.soup(site / f"{chapter}.html").select_one("h1")
    word = max(re.findall(r"[A-Za-z]{4,}", title.get_text() if title else ""), key=len)
    with watched(browser) as (page, _):
        open_page(page, f"{(site / 'search.html').as_uri()}?q={word}")
        page.wait_for_selector(f"#search-results a[href*='{chapter}.html']", timeout=10_000)


def test_the_theme_can_be_switched_and_is_remembered(
    browser: Browser, address: str, chapters: list[str]
):
    with watched(browser, scheme="light") as (page, wrong):
        open_page(page, f"{address}{chapters[0]}.html")
        seen = set()
        for _ in range(3):
            page.locator("button.theme-switch-button").first.click()
            seen.add(page.evaluate("document.documentElement.dataset.theme"))
            if page.evaluate("document.documentElement.dataset.theme") == "dark":
                break
        assert "dark" in seen
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, re.findall(r"\d+", background)[:3])) < 200
        open_page(page, f"{address}search.html")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert wrong == []


def test_figures_change_with_the_theme(
    site: Path, browser: Browser, address: str, chapters: list[str]
):
    pages = [c for c in chapters if html_checks.soup(site / f"{c}.html").select("figure img")]
    for chapter in pages[:2]:
        for scheme, other in (("light", "dark"), ("dark", "light")):
            with watched(browser, scheme=scheme) as (page, _):
                open_page(page, f"{address}{chapter}.html")
                shown = page.locator(f"figure img.only-{scheme}").first
                assert shown.evaluate("e => getComputedStyle(e).display") != "none"
                assert shown.evaluate("e => getComputedStyle(e).backgroundColor").endswith(", 0)")
                hidden = page.locator(f"figure img.only-{other}").first
                assert hidden.evaluate("e => getComputedStyle(e).display") == "none"
                caption = page.locator("figure figcaption").first
                assert caption.evaluate("e => e.offsetHeight") > 0


@pytest.mark.parametrize("where", ["server", "folder"])
def test_the_copy_button_copies_a_cell(
    site: Path, browser: Browser, address: str, chapters: list[str], where: str
):
    base = address if where == "server" else f"{site.as_uri()}/"
    allowed = ["clipboard-read", "clipboard-write"]
    with watched(browser, permissions=allowed) as (page, wrong):
        open_page(page, f"{base}{chapters[0]}.html")
        cells = page.locator("div.cell_input div.highlight:visible")
        assert cells.count() > 0 or page.locator("details.hide summary").count() > 0
        if cells.count() == 0:
            page.locator("details.hide summary").first.click()
        cell = cells.first
        cell.hover()
        cell.locator("button.copybtn").click()
        page.wait_for_timeout(200)
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.strip() == cell.locator("pre").inner_text().strip()
        assert wrong == []


def test_each_chapter_can_be_had_as_notebook_and_as_markdown(
    site: Path, browser: Browser, address: str, chapters: list[str]
):
    for chapter in chapters:
        source = site / "_sources" / f"{chapter}.md"
        notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
        nbformat.validate(notebook)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert any(cell.outputs for cell in cells), f"{chapter}: no outputs"
        assert all(cell.execution_count for cell in cells if cell.source.strip())
        assert "{code-cell}" in source.read_text("utf-8")
        assert html_checks.rubbish(source.with_suffix(".ipynb")) == []
    with watched(browser, accept_downloads=True) as (page, wrong):
        open_page(page, f"{address}{chapters[0]}.html")
        for kind in ("notebook", "source"):
            page.locator(".dropdown-download-buttons > button").click()
            with page.expect_download() as download:
                page.locator(f".btn-download-{kind}-button").click()
            text = Path(download.value.path()).read_text("utf-8")
            assert json.loads(text)["cells"] if kind == "notebook" else "{code-cell}" in text
        assert wrong == []


def test_what_scrolls_can_be_reached_by_keyboard(
    browser: Browser, address: str, chapters: list[str]
):
    for chapter in chapters:
        with watched(browser, PHONE) as (page, _):
            open_page(page, f"{address}{chapter}.html")
            lost = page.evaluate(
                """() => [...document.querySelectorAll('.bd-article :not(.katex *)')].filter(e => {
                    const style = getComputedStyle(e);
                    return /auto|scroll/.test(style.overflowX) && e.scrollWidth > e.clientWidth + 1
                        && e.offsetParent && e.tabIndex < 0
                        && !e.querySelector('a, button, [tabindex="0"]');
                }).map(e => e.outerHTML.slice(0, 120))"""
            )
            assert lost == [], chapter
