"""One word finds everything: topic <-> files <-> chapter <-> equation labels <-> claims.

The map is checked as text, without running a page, so that a broken link in it fails in a second.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from nnbook.claims import registry
from nnbook.claims._core import TOPICS

ROOT = Path(__file__).parent.parent
BOOK, SRC = ROOT / "book", ROOT / "src" / "nnbook"
# topics that have no code of their own form: what a module is, experiments, comparisons; what
# equivariance and channels have in torch is in conv1d
WITHOUT_FORMS = {"modules", "circles", "gradientflow", "denselayer", "houses", "initial"}
WITHOUT_FORMS |= {"softmax", "nonlinear", "lngeometry", "scalefree", "clothes", "approximation"}
WITHOUT_FORMS |= {"devices", "batchsize", "equivariance", "channels", "cnn"}
WITHOUT_FORMS |= {"paths", "depth"}
WITHOUT_FORMS |= {"pytorch"}
# networks, units and their rules written in NumPy only
WITHOUT_FORMS |= {"walkthrough", "perceptron"}
WITHOUT_FORMS |= {"tiled"}  # its PyTorch form is in attention
WITHOUT_FORMS |= {"meaning"}
WITHOUT_FORMS |= {"normorder"}
WITHOUT_FORMS |= {"ngrams", "languagemodel"}  # counts in NumPy, a GPT in torch
# topics whose one form is an optimizer or what surrounds it, with the files that they have
OPTIM_TOPICS = {
    "sgd": ("sgd", "_base"),
    "adaptive": ("adaptive", "variants", "_base"),
    "schedules": ("schedules", "clipping", "finder"),
}
# topics in NumPy alone, with the files that they have beside those of claims, tests and chapter
NUMPY_TOPICS = {
    "graphs": [
        f"autograd/{name}.py"
        for name in ("tensor", "backward", "rules", "shaping", "layers", "checkpoint", "training")
    ],
    "backprop": ["scratch/backprop.py", "autograd/gradcheck.py"],
}
CELL = re.compile(r"^(`{3,})\{code-cell\}[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1`*\s*$", re.MULTILINE | re.DOTALL)


def pages() -> list[str]:
    """Return the pages of the book in the order of its table of contents."""
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    chapters = [c["file"] for part in toc["parts"] for c in part["chapters"]]
    return [toc["root"], *chapters]


def chapter(topic: str) -> Path:
    """Return the chapter of a topic: the page of that name in some part."""
    found = [p for p in pages() if "/" in p and p.split("/")[1] == topic]
    assert len(found) == 1, f"{topic}: got chapters {found} in _toc.yml, wanted one part/{topic}"
    return BOOK / f"{found[0]}.md"


def cells(path: Path) -> list[str]:
    """Return the code cells of a page."""
    return [m.group(2) for m in CELL.finditer(path.read_text())]


def equation_labels(text: str) -> list[str]:
    """Return the labels of the equations that a page defines."""
    return re.findall(r"^\$\$(?:.+\$\$)?\s*\(([\w-]+)\)", text, re.MULTILINE) + re.findall(
        r"^(?:`{3,}|:{3,})\{math\}\s*\n:label:\s*([\w-]+)", text, re.MULTILINE
    )


def test_every_page_of_the_toc_exists_and_every_page_is_in_the_toc():
    files = {str(p.relative_to(BOOK).with_suffix("")) for p in BOOK.rglob("*.md")}
    files = {f for f in files if not f.startswith(("_build/", "_ext/", "assets/", "api/generated"))}
    assert files == set(pages())


@pytest.mark.parametrize("topic", TOPICS.values())
def test_a_topic_has_its_files(topic):
    wanted = [SRC / "claims" / f"{topic}.py", SRC / "claims" / f"{topic}.toml"]
    wanted += [ROOT / "tests" / f"test_{topic}.py", chapter(topic)]
    wanted += [SRC / "optim" / f"{name}.py" for name in OPTIM_TOPICS.get(topic, ())]
    wanted += [SRC / name for name in NUMPY_TOPICS.get(topic, ())]
    if topic not in WITHOUT_FORMS | set(OPTIM_TOPICS) | set(NUMPY_TOPICS):
        wanted += [SRC / "scratch" / f"{topic}.py", SRC / "nn" / f"{topic}.py"]
    assert [str(p.relative_to(ROOT)) for p in wanted if not p.is_file()] == []


def test_no_form_is_without_a_topic():
    helpers = {"__init__", "init", "tracing", "registration"}
    files = {
        p.stem for form in ("scratch", "nn") for p in (SRC / form).glob("*.py") if p.stem[0] != "_"
    }
    assert files - helpers - set(TOPICS.values()) == set()
    optimizers = {p.stem for p in (SRC / "optim").glob("*.py")} - {"__init__", "lr_scheduler"}
    assert optimizers == {name for several in OPTIM_TOPICS.values() for name in several}


@pytest.mark.parametrize("topic", TOPICS.values())
def test_an_equation_named_in_the_code_is_defined_in_the_chapter(topic):
    there = set(equation_labels(chapter(topic).read_text()))
    files = [SRC / form / f"{topic}.py" for form in ("scratch", "nn", "claims")]
    forms = [name for name in OPTIM_TOPICS.get(topic, ()) if name != "_base"]
    files += [SRC / "optim" / f"{name}.py" for name in forms]
    files += [SRC / name for name in NUMPY_TOPICS.get(topic, ())]
    named = {
        label
        for f in files
        if f.is_file()
        for comment in re.findall(r"#.*\beqs?\. (.+)$", f.read_text(), re.MULTILINE)
        for label in re.findall(r"[a-z]+(?:-[a-z0-9]+)+", comment)
    }
    assert named <= there, (
        f"{topic}: the code names {sorted(named - there)}, not in {chapter(topic)}"
    )
    assert named or topic in WITHOUT_FORMS, f"{topic}: no line of the code names its equation"


def test_an_equation_label_is_defined_once():
    labels = Counter(n for p in pages() for n in equation_labels((BOOK / f"{p}.md").read_text()))
    assert [n for n, times in labels.items() if times > 1] == []


def imported_topics(path: Path) -> set[str]:
    """Return the topics that a file imports, by any form of import."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{a.name}" for a in node.names)]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        else:
            continue
        for name in names:
            found |= set(name.split(".")) & set(TOPICS.values())
    return found


@pytest.mark.parametrize("topic", TOPICS.values())
def test_code_imports_only_topics_of_earlier_chapters(topic):
    order = [p.split("/")[1] for p in pages() if "/" in p]
    later = set(order[order.index(topic) + 1 :])
    for form in ("scratch", "nn"):
        path = SRC / form / f"{topic}.py"
        if path.is_file():
            assert imported_topics(path) & later == set(), f"{path.name} in {form}"


def test_every_claim_is_shown_in_the_chapter_of_its_topic_and_nowhere_else():
    shown = Counter(
        (label, page)
        for page in pages()
        if page not in ("ledger", "errata")
        for cell in cells(BOOK / f"{page}.md")
        for label in re.findall(r"\b(?:verify|refute)\(\s*[\"']([\w-]+)[\"']", cell)
    )
    by_label: dict[str, list[str]] = {}
    for (label, page), times in shown.items():
        by_label.setdefault(label, []).extend([page] * times)
    wrong = {n: by_label.get(n, []) for n in registry() if len(by_label.get(n, [])) != 1}
    assert wrong == {}, "claims not shown exactly once"
    assert sorted(set(by_label) - set(registry())) == []
    home = {
        n: str(chapter(c.topic).relative_to(BOOK).with_suffix("")) for n, c in registry().items()
    }
    assert {n: p for n, p in by_label.items() if p != [home[n]]} == {}


@pytest.mark.parametrize("topic", TOPICS.values())
def test_a_chapter_has_exercises_and_each_its_hint_and_executed_solution(topic):
    text = chapter(topic).read_text()
    exercises = re.findall(
        r"^`{3,}\{exercise\}.*?\n:label:\s*([\w-]+)", text, re.MULTILINE | re.DOTALL
    )
    gated = re.findall(r"^`{3,}\{solution-start\}\s*([\w-]+)", text, re.MULTILINE)
    assert len(exercises) >= 3
    assert sorted(exercises) == sorted(gated), "an exercise without a solution, or one not executed"
    for label in gated:
        inside = text.split(f"{{solution-start}} {label}")[1].split("{solution-end}")[0]
        assert CELL.search(inside), f"the solution of {label} has no code that runs"
    assert len(re.findall(r"^`{3,}\{admonition\} Hint", text, re.MULTILINE)) >= len(exercises)


@pytest.mark.parametrize("page", pages())
def test_no_result_is_typed_into_prose(page):
    text = (BOOK / f"{page}.md").read_text()
    text = re.sub(r"\A---.*?^---", "", text, count=1, flags=re.DOTALL | re.MULTILINE)
    for pattern in (FENCE, re.compile(r"\$\$.*?\$\$", re.DOTALL), re.compile(r"\$[^$]*\$")):
        text = pattern.sub("", text)
    text = re.sub(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|\]\([^)]*\)", "", text)
    typed = r"\b\d+\.\d+\s*%?|\b\d+\s*%|\b\d+(?:\.\d+)?\s*(?:times|x) (?:faster|slower|more|less)"
    assert re.findall(f".*(?:{typed}).*", text) == [], (
        "compute it: {glue:text}, or assert it in a cell"
    )


@pytest.mark.parametrize("page", pages())
def test_a_figure_is_shown_with_a_caption(page):
    for cell in cells(BOOK / f"{page}.md"):
        if "plt.subplots" in cell or "plt.figure" in cell or "plot.panels" in cell:
            assert re.search(r"\bshow\(", cell), f"a figure without plot.show:\n{cell}"
        for call in re.findall(r"\bshow\((.*?)\n?\)\s*$", cell, re.DOTALL):
            assert "caption" in call, f"plot.show without a caption:\n{cell}"


@pytest.mark.parametrize(
    "what",
    ["nnbook", "nnbook.scratch", "nnbook.autograd", "nnbook.claims", "nnbook.data", "nnbook.plot"],
)
def test_importing_the_numpy_side_does_not_import_torch(what):
    names = f"import {what}, sys; [getattr({what}, n) for n in dir({what}) if {what != 'nnbook'}]"
    code = f"{names}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_claims_of_a_numpy_topic_do_not_import_torch():
    code = (
        "import sys; from nnbook.claims import registry; registry(); print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_gradient_tests_use_a_random_cotangent():
    pattern = re.compile(r"\.sum\(\)\.backward\(\)|\.mean\(\)\.backward\(\)")
    files = [*(ROOT / "tests").rglob("*.py"), *SRC.rglob("*.py"), *BOOK.rglob("*.md")]
    guilty = [
        f.name for f in files if f.name != Path(__file__).name and pattern.search(f.read_text())
    ]
    assert guilty == []


CLOCK = re.compile(
    r"\b(perf_counter|process_time|monotonic|timeit|datetime|time\.time|least_seconds)\b"
)


@pytest.mark.parametrize("page", pages())
def test_a_page_reads_no_clock(page):
    code = "\n".join(cells(BOOK / f"{page}.md"))
    assert not CLOCK.search(code), "a page is the same in every build; let a claim measure times"
    assert not re.search(r"^\s*(import|from) time\b", code, re.MULTILINE)


def test_claims_that_read_a_clock_vary():
    clocked = {f.stem for f in (SRC / "claims").glob("*.py") if CLOCK.search(f.read_text())}
    clocked |= {f.stem for f in (SRC / "claims").glob("*.py") if "_clock" in f.read_text()}
    varying = {inspect.getmodule(c.measure).__name__ for c in registry().values() if c.varies}
    assert clocked - {"_clock"} == {name.rpartition(".")[2] for name in varying}
    units = [c.label for c in registry().values() if re.search(r"\b(time|seconds)\b", c.unit)]
    assert all(registry()[label].varies for label in units)
