"""The built site, a browser and a server for the tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browser import chromium, serve
from playwright.sync_api import Browser

SITE = Path(
    os.environ.get("NNBOOK_SITE", Path(__file__).resolve().parents[2] / "book/_build/html")
).resolve()


def page_names() -> list[str]:
    """Return the pages of the site, or one name that no page has when it is not built."""
    names = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    return names or ["not-built"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a page once for each page."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", page_names())


@pytest.fixture(scope="session")
def site() -> Path:
    """Return the folder of the built pages."""
    assert (SITE / "index.html").exists(), f"there is no site in {SITE}; run `make book` first"
    return SITE


@pytest.fixture(scope="session")
def chapters(site: Path) -> list[str]:
    """Return the executed pages, which are those that can be had as a notebook."""
    folder = site / "_sources"
    names = sorted(p.relative_to(folder).with_suffix("") for p in folder.rglob("*.ipynb"))
    assert names, "the site has no executed page"
    return [name.as_posix() for name in names]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a running browser."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Return the address of the site, below a sub-path."""
    with serve(site) as root:
        yield root
