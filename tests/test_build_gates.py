"""A broken book does not build, and the last lines say on which page and line.

Each test builds a small book with the real configuration; every breakage must be named where it
is, and the same book without it must pass.
"""

from __future__ import annotations

import doctest
import importlib
import json
import re
import runpy

import pytest
from smallbook import FRONT, LEDGER, PROVEN, STRICT, TOPIC, SmallBook

pytestmark = pytest.mark.slow

GOOD = (
    FRONT
    + """
# A page

By {cite}`ba2016layer`, see {eq}`good-eq` and {ref}`the number <good-number>`.

$$ \\norm{z} = \\sqrt{z^\\top z} $$ (good-eq)

```{code-cell} ipython3
from IPython.display import Markdown
from myst_nb import glue

glue("two", 2.0, display=False)
Markdown("[]{#good-number} $\\\\R^2$ in {eq}`good-eq`")
```

Two is {glue:text}`two:.1f`.
"""
)
BIBLIOGRAPHY = "# Bibliography\n\n```{bibliography}\n```\n"

# each line is one breakage; what the last lines must say about it stands behind the bar
BROKEN = """
{ref}`no-label` | undefined label: 'no-label'
{cite}`nobody1900nothing` | could not find bibtex key "nobody1900nothing"
{eq}`no-equation` | equation not found: no-equation
{prf:ref}`no-theorem` | label 'no-theorem' not found
{numref}`no-figure` | undefined label: 'no-figure'
{ref}`no-exercise` | undefined label: 'no-exercise'
{doc}`no-page` | unknown document: 'no-page'
[text](no-page.md) | 'no-page.md'
[text](#no-anchor) | 'no-anchor'
![alt](no-image.png) | image file not readable: part/no-image.png
$\\\\frac{1$ | TeX: Unexpected end of input
$\\\\nosuchmacro$ | TeX: Undefined control sequence: \\\\nosuchmacro
{glue:text}`no-number:.2f` | No key 'no-number'
{nosuchrole}`x` | "nosuchrole"
{py:func}`nnbook.nothing` | reference target not found: nnbook.nothing
<img alt="" src="https://example.org/a.png"> | loads from another host: 'https://example.org/a.png'
""".replace("\\\\", "\\").strip()


def test_the_doctests_of_the_extensions():
    for name in ("places", "slim", "claimgate"):
        failed, tried = doctest.testmod(importlib.import_module(name))
        assert tried > 0
        assert failed == 0


def test_a_good_book_passes_and_is_built_again_only_where_something_changed(tmp_path):
    book = SmallBook(tmp_path, {"intro": "# Intro\n", "page": GOOD, "bib": BIBLIOGRAPHY})
    book.with_topic()
    first = book.build(*STRICT)
    assert (first.code, first.problems) == (0, {}), first.output[-3000:]
    assert "page: done in" in first.output
    page = (first.html / "page.html").read_text("utf-8")
    assert 'class="katex"' in page
    assert "Two is 2.0" in re.sub("<[^>]*>", "", page)
    entry = (first.html / "index.html").read_text("utf-8")
    again = book.build(*STRICT)
    assert again.code == 0
    assert ": done in" not in again.output
    assert (first.html / "index.html").read_text("utf-8") == entry
    book.environment["NNBOOK_PROFILE"] = "full"
    assert "page: done in" in book.build(*STRICT).output


def test_every_broken_reference_is_named_by_page_and_line(tmp_path):
    lines = [line.split(" | ") for line in BROKEN.splitlines()]
    text = FRONT + "# Broken\n\n" + "\n\n".join(breakage for breakage, _ in lines) + "\n"
    pages = {"intro": "# Intro\n", "part/broken": text, "gone": "# Gone\n", "bib": BIBLIOGRAPHY}
    book = SmallBook(tmp_path, pages)
    (tmp_path / "book" / "gone.md").unlink()
    book.write("orphan", "# Nobody knows me\n")
    built = book.build(*STRICT)
    assert built.code != 0
    for number, (_, message) in zip(range(7, 7 + 2 * len(lines), 2), lines, strict=True):
        assert message in built.problems.get(f"book/part/broken.md:{number}", ""), built.problems
    assert "no page 'gone'" in built.problems["book/_toc.yml:5"]
    assert "not in _toc.yml" in built.problems["book/orphan.md:1"]
    assert len(built.problems) == len(lines) + 2


CELLS = {
    "raises": ("```{code-cell} ipython3\n:tags: [hide-input]\nx = 0\n1 / x\n```\n", 10,
               "raised ZeroDivisionError: division by zero"),
    "hidden": ("```{code-cell} ipython3\n:tags: [remove-output]\n1 / 0\n```\n", 9,
               "raised ZeroDivisionError"),
    "syntax": ("```{code-cell} ipython3\nx = (\n```\n", 8, "raised SyntaxError"),
    "warns": ("```{code-cell} ipython3\nimport warnings\n\nwarnings.warn('careful')\n```\n", 10,
              "warned: UserWarning: careful"),
    "stderr": ("```{code-cell} ipython3\nimport sys\nprint('oops', file=sys.stderr)\n```\n", 8,
               "wrote to stderr: oops"),
    "dies": ("```{code-cell} ipython3\nimport os\n\nos._exit(3)\n```\n", 8, "DeadKernelError"),
    "claim": ("```{code-cell} ipython3\nfrom nnbook.claims import verify\n\n"
              "verify('tst-scale')\n```\n", 10, "raised ClaimFailed"),
}  # fmt: skip


def test_a_failing_cell_fails_the_plain_build_every_time(tmp_path):
    pages = {"intro": "# Intro\n"}
    pages |= {name: f"{FRONT}# Page\n\n{cell}" for name, (cell, _, _) in CELLS.items()}
    book = SmallBook(tmp_path, pages).with_topic(TOPIC.replace("np.sign(a) * ", ""))
    for _ in range(2):  # the second build finds the pages of the first, and must not trust them
        built = book.build()
        assert built.code != 0
        assert len(built.problems) == len(CELLS), built.problems
        for name, (_, line, message) in CELLS.items():
            assert message in built.problems[f"book/{name}.md:{line}"]


def test_a_cell_that_takes_too_long_is_named_and_the_build_goes_on(tmp_path):
    cell = "```{code-cell} ipython3\nimport time\n\ntime.sleep(60)\n```\n"
    front = FRONT.replace("---\n", "---\nmystnb: {execution_timeout: 1}\n", 1)
    pages = {"intro": f"{front}# Page\n\n{cell}", "other": "# Other\n\n{ref}`nowhere`\n"}
    built = SmallBook(tmp_path, pages).build("-W")  # which alone would stop at the first warning
    assert built.code != 0
    assert "CellTimeoutError" in built.problems["book/intro.md:9"]
    assert "nowhere" in built.problems["book/other.md:3"]


MUTANTS = {
    "sign": ("np.sign(a) * ", ""),
    "eps": ("eps=0.0", "eps=1e-2"),
    "hypothesis": ("Vector(2, 8, nonconstant=True), \"a\"", 'Vector(2, 8), "a"'),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_claim_broken_on_purpose_fails_when_it_is_run(tmp_path, name, monkeypatch):
    from nnbook.claims import ClaimFailed, run
    from nnbook.claims import _core as core

    monkeypatch.setattr(core, "_registry", {})
    monkeypatch.setattr(core, "TOPICS", {"tst": "testing"})
    path = tmp_path / "testing.py"
    for source, fails in ((TOPIC, False), (TOPIC.replace(*MUTANTS[name]), True)):
        core._registry.clear()
        path.write_text(source)
        runpy.run_path(str(path), {"__package__": "nnbook.claims"}, "nnbook.claims.testing")
        if fails:
            with pytest.raises(ClaimFailed):
                run(core._registry["tst-scale"])
        else:
            run(core._registry["tst-scale"])


def test_pages_and_claims_hold_each_other(tmp_path):
    pages = {"intro": "# Intro\n", "testing": PROVEN, "ledger": LEDGER}
    book = SmallBook(tmp_path, pages, topics=("testing",)).with_topic()
    good = book.build(*STRICT)
    assert (good.code, good.problems) == (0, {}), good.output[-3000:]

    theorem = "```{prf:theorem} Scale\n:label: tst-scale\n\n$1 = 1$.\n```\n"
    second = "```{prf:lemma} Other\n:label: tst-other\n\n$1 = 1$.\n```\n"
    third = "```{prf:corollary}\nIt has no label.\n```\n"
    text = "\nNot a proof.\n\n".join(["# Testing\n", theorem, second, third])
    cell = '\n```{code-cell} ipython3\nfrom nnbook.claims import verify\nverify("tst-scale")\n```\n'
    book.write("testing", FRONT + text + cell)
    book.write("intro", FRONT + "# Intro\n" + cell)
    unproven = (
        '\n\n@claim("tst-lost", says="A.", proof=True)\ndef lost():\n    return Close(1, 1)\n'
    )
    book.with_topic(TOPIC + unproven)
    built = book.build()
    assert built.code != 0
    found = built.problems
    lines = (FRONT + text).splitlines()
    first = lines.index(":label: tst-scale") + 1
    assert "'tst-scale' is not followed by its proof" in found[f"book/testing.md:{first}"]
    other = lines.index(":label: tst-other") + 1
    assert "'tst-other' is not a claim" in found[f"book/testing.md:{other}"]
    claims = (TOPIC + unproven).splitlines()
    where = {
        name: "src/nnbook/claims/testing.py:"
        + str(next(n for n, line in enumerate(claims, 1) if f'@claim("{name}"' in line))
        for name in ("tst-scale", "tst-shift", "tst-lost")
    }
    assert "shown in 2 pages: intro, testing" in found[where["tst-scale"]]
    assert "shown in no page" in found[where["tst-shift"]]
    assert "no page states and proves it" in found[where["tst-lost"]]
    assert any("corollary" in text and "not a claim" in text for text in found.values())
    assert len(found) == 6


def test_the_ledger_follows_the_cards_of_other_pages(tmp_path):
    own = "# Ledger\n\n```{claim-ledger} testing\n```\n"
    pages = {"intro": "# Intro\n", "testing": PROVEN, "ledger": own}
    book = SmallBook(tmp_path, pages, topics=("testing",)).with_topic()
    good = book.build(*STRICT)
    assert (good.code, good.problems) == (0, {}), good.output[-3000:]
    assert (good.html / "ledger.html").read_text("utf-8").count("100 drawn") == 2
    few = TOPIC.replace('"c": Scalar(-5, 5)})', '"c": Scalar(-5, 5)}, cases=61)')
    book.with_topic(few)
    again = book.build(*STRICT)
    assert again.code == 0
    assert "61 drawn" in (again.html / "ledger.html").read_text("utf-8")
    toc = tmp_path / "book" / "_toc.yml"
    toc.write_text(toc.read_text("utf-8").replace("- file: testing\n", ""))
    (tmp_path / "book" / "testing.md").unlink()
    gone = book.build()
    assert gone.code != 0
    assert "no card of this build shows it" in str(gone.problems)


def test_downloads_are_the_executed_notebook_and_the_source(tmp_path):
    book = SmallBook(tmp_path, {"intro": "# Intro\n", "part/page": GOOD, "bib": BIBLIOGRAPHY})
    built = book.build(*STRICT)
    sources = built.html / "_sources" / "part"
    assert (sources / "page.md").read_text("utf-8") == GOOD
    notebook = json.loads((sources / "page.ipynb").read_text("utf-8"))
    assert str(tmp_path) not in json.dumps(notebook)
    outputs = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert "\\R^2" in json.dumps(outputs).replace("\\\\", "\\")
    page = (built.html / "part" / "page.html").read_text("utf-8")
    for name in ("page.md", "page.ipynb"):
        assert f'href="../_sources/part/{name}" download' in page


def test_a_mistake_in_the_configuration_is_named(tmp_path):
    book = SmallBook(tmp_path, {"intro": "# A page\n\nWords.\n"})
    config = book.folder / "book" / "_config.yml"
    text = config.read_text("utf-8")
    config.write_text(text.replace("default_role: code", "default_role: 5"))
    built = book.build(*STRICT)
    assert built.code != 0
    assert "default_role" in str(built.problems)
