"""The extensions of the book, function by function; whole builds are in test_build_gates."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import downloads
import katexmath
import places
import pytest
import slim
import yaml
from provenance import varying

from nnbook.claims.cards import FACTS

BOOK = Path(__file__).parent.parent / "book"
MACROS = yaml.safe_load((BOOK / "_config.yml").read_text("utf-8"))["sphinx"]["config"][
    "katex_macros"
]


def typeset(tex: str, display: bool = False) -> str:
    return katexmath.render(tex, display, json.dumps(MACROS))


@pytest.mark.parametrize("name", MACROS)
def test_each_macro_of_the_book_is_typeset(name):
    page = typeset(f"{name}{{x}}" if "#1" in MACROS[name] else f"{name} x")
    assert "<math" in page
    assert 'class="katex-html" aria-hidden="true"' in page


def test_a_display_is_typeset_as_one():
    assert "katex-display" in typeset("x", display=True)
    assert "katex-display" not in typeset("x")


@pytest.mark.parametrize("tex", [r"\frac{1", r"\nosuchmacro", r"\begin{aligned} x", "x^2^3", "}"])
def test_a_mistake_in_tex_is_an_error_in_words(tex):
    with pytest.raises(katexmath.TexError) as caught:
        typeset(tex)
    assert str(caught.value)
    assert "ParseError" not in str(caught.value)
    assert "\u0332" not in str(caught.value)


@pytest.mark.parametrize(
    ("tex", "nowrap", "wanted"),
    [
        ("x", False, "x"),
        (r"\begin{align}a&=b\end{align}", True, r"\begin{align*}a&=b\end{align*}"),
        (r"a \\ b", False, r"\begin{aligned}a \\ b\end{aligned}"),
        (r"a \\ b", True, r"a \\ b"),
        ("a\n\nb", False, r"\begin{aligned}a\\b\end{aligned}"),
        (r"\begin{cases}a \\ b\end{cases}", False, r"\begin{cases}a \\ b\end{cases}"),
    ],
)
def test_a_display_has_one_number_and_its_rows_none(tex, nowrap, wanted):
    assert katexmath.display_tex(tex, nowrap) == wanted
    assert "<math" in typeset(wanted, display=True)


def test_the_style_sheet_of_katex_has_its_fonts_and_names_no_others():
    folder = BOOK / "assets" / "katex"
    named = set(re.findall(r"url\(([^)]+)\)", (folder / "katex.min.css").read_text("utf-8")))
    there = {path.relative_to(folder).as_posix() for path in (folder / "fonts").iterdir()}
    assert named == there
    assert {f"fonts/KaTeX_{name}.woff2" for name in katexmath.PRELOAD} <= there
    assert (folder / "LICENSE").read_text("utf-8").startswith("The MIT License")


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://a.org/x.js"></script>',
        '<link rel="stylesheet" href="//a.org/x.css">',
        "<link rel='preconnect' href='https://a.org'>",
        '<img alt="" srcset="https://a.org/x.png 2x">',
        '<iframe src="http://a.org"></iframe>',
        '<object data="https://a.org/x.svg"></object>',
        '<p style="background: url(https://a.org/x.png)">',
        "<style>@import 'https://a.org/x.css';</style>",
    ],
)
def test_what_loads_from_another_host_is_seen(text):
    assert len(slim.foreign(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://a.org">a link loads nothing</a>',
        '<link rel="canonical" href="https://a.org/x.html">',
        '<img alt="" src="x.png"><script src="y.js"></script>',
        '<img alt="" src="data:image/png;base64,//8=">',
        "<code>url(https://a.org)</code>",
    ],
)
def test_what_loads_nothing_from_another_host_passes(text):
    assert slim.foreign(text) == []


def test_only_the_icons_that_are_named_are_kept():
    css = '.fa-list:before{content:"\\f03a"}.fa-x:before,.fa-y:before{content:"\\f00d"}'
    assert slim.used_icons(css, {"y"}, "") == {0xF00D}
    assert slim.used_icons(css, set(), '.a:after{content:"\\f123"}') == {0xF123}
    assert slim.used_icons(css, {"list"}, '.a:after{content:"\\f123"}') == {0xF03A, 0xF123}


class TestFindings:
    """What was found in a page is kept while the page is the same, and only then."""

    BAD = '<i class="fas fa-list"></i><img alt="" src="https://a.org/x.png">'

    def kept(self, folder, monkeypatch):
        """Look at a page in one build and again in the next; return what the next one reads."""
        page = folder / "page.html"
        page.write_text(self.BAD)
        first = slim.Findings(folder / "kept.json")
        first.of(page)
        first.save()
        read = []
        look = slim.foreign
        monkeypatch.setattr(slim, "foreign", lambda text: read.append(text) or look(text))
        return page, slim.Findings(folder / "kept.json"), read

    def test_a_page_that_is_the_same_is_not_read_but_reported_again(self, tmp_path, monkeypatch):
        page, findings, read = self.kept(tmp_path, monkeypatch)
        assert findings.of(page).hosts == ["https://a.org/x.png"]
        assert findings.of(page).icons == ["list"]
        assert read == []

    def test_a_page_that_was_written_again_is_read(self, tmp_path, monkeypatch):
        page, findings, read = self.kept(tmp_path, monkeypatch)
        page.write_text("<p>good, and longer than before it was mended: no other host at all</p>")
        assert findings.of(page).hosts == []
        assert len(read) == 1

    def test_a_page_of_the_same_size_is_read(self, tmp_path, monkeypatch):
        page, findings, read = self.kept(tmp_path, monkeypatch)
        page.write_text(self.BAD.replace("a.org", "b.org"))
        assert findings.of(page).hosts == ["https://b.org/x.png"]
        assert len(read) == 1

    @pytest.mark.parametrize("damage", ["", "{", "[1, 2]", '["x", {}]', "[]"])
    def test_findings_that_are_no_use_are_none(self, tmp_path, monkeypatch, damage):
        page, _, read = self.kept(tmp_path, monkeypatch)
        (tmp_path / "kept.json").write_text(damage)
        assert slim.Findings(tmp_path / "kept.json").of(page).icons == ["list"]
        assert len(read) == 1


def test_a_download_is_the_same_in_every_build_and_keeps_its_outputs():
    card = {"metadata": {FACTS: {"measured": ["seconds", "1.2"]}, "other": 1}}
    cell = {"cell_type": "code", "metadata": {"execution": {}, "tags": ["x"]}}
    cell["outputs"] = [{"text": "x"}, card]
    notebooks = [
        downloads.clean(
            {"cells": [{**copy.deepcopy(cell), "id": name}],
             "metadata": {"source_map": [1], "file_format": "mystnb", "kernelspec": {}}},
            "the book",
            {"\\R": "\\mathbb{R}", "\\norm": "\\lVert #1 \\rVert"},
        )
        for name in ("one", "two")
    ]  # fmt: skip
    assert notebooks[0] == notebooks[1]
    first, second = notebooks[0]["cells"]
    assert "\\newcommand{\\R}{\\mathbb{R}}\\newcommand{\\norm}[1]{" in first["source"]
    assert second["outputs"] == [{"text": "x"}, {"metadata": {"other": 1}}]
    assert second["metadata"] == {"tags": ["x"]}
    assert notebooks[0]["metadata"] == {"kernelspec": {}}


def test_numbers_that_vary_are_listed_for_the_status_page():
    facts = {"b-c": {"measured": ["seconds", "1.5", "2"]}, "a-b": {"lines": ["measured 3"]}}
    assert varying(facts).splitlines()[2:] == ["| {ref}`b-c <card-b-c>` | seconds | 1.5, 2 |"]


PAGE = """---
file_format: mystnb
---
{}# Title


```{{code-cell}}
:tags: [x]

x = 1
```
{}Text
"""


@pytest.mark.parametrize("blanks", ["", "\n", "\n\n\n"])
def test_the_source_map_names_the_right_lines(blanks):
    text = PAGE.format(blanks, blanks)
    lines = text.splitlines()
    notebook = places.read_with_lines(text, add_source_map=True)
    # MyST-NB adds 2 to the number of a piece of text: 1 to count from one, 1 for a blank line
    starts = notebook.metadata["source_map"]
    assert [lines[starts[0] + 1], lines[starts[2] + 1]] == ["# Title", "Text"]
    assert lines[starts[1] - 1] == "```{code-cell}"


@pytest.mark.parametrize(
    ("where", "message", "wanted"),
    [
        ("{page}:7", "x", "{page}:7"),
        ("{stem}:7", "x", "{page}:7"),
        ("{page}.rst:7", "x", "{page}:7"),
        ("{stem}", "label 'ln-b' not found.", "{page}:2"),
        ("{page}:", "image file not readable: c.png", "{page}:3"),
        ("{stem}.rst.rst", "label 'elsewhere' not found.", "{page}:1"),
        ("{other}", "undefined label: ln-b", "{page}:2"),
        ("", "undefined label: ln-b", ""),
        ("/lib/x.py:docstring of y:3", "z", "/lib/x.py:docstring of y:3"),
    ],
)
def test_a_warning_is_given_its_page_and_line(tmp_path, where, message, wanted):
    page, other = tmp_path / "a.md", tmp_path / "z.md"
    page.write_text("# A\n{prf:ref}`ln-b`\n![](c.png)\n")
    other.write_text("# Z\nelsewhere\n")
    names = {"page": page, "stem": page.with_suffix(""), "other": other}
    found = places.locate(where.format(**names), message, [page, other])
    assert found == wanted.format(**names)
