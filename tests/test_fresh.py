"""Outputs are never stale, and nothing is executed that need not be.

A small book over a small package is built with the real configuration and extensions; its pages
write down that they ran. Then one thing is changed at a time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import pytest
from fresh import merged
from runner import Page, run_pages, widths
from smallbook import FRONT, ROOT, SmallBook
from store import Entry, Store, digest, environment

COMMAND = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"]
MODULES = {
    "one": "def one():\n    return 1\n",
    "two": "from .one import one\n\n\ndef two():\n    return one() + one()\n",
    "other": "def other():\n    return 'other'\n",
}
PAGES = {
    "uses_one": "from small.one import one\none() * 100",
    "uses_two": "from small.two import two\ntwo() * 100",
    "uses_none": "6 * 7",
    "reads_data": "from small.other import other\nother() + open('data.txt').read()",
    "lists": "import os\nlen(os.listdir('pictures')) * 1000",
}
TOUCHED = {"one": {"uses_one", "uses_two"}, "two": {"uses_two"}, "other": {"reads_data"}}


def page(title: str, code: str) -> str:
    """Return a page with some prose and one code cell that finds the package."""
    find = "import sys; sys.path.insert(0, '../src')"
    return f"{FRONT}# {title}\n\nSome prose.\n\n```{{code-cell}} ipython3\n{find}\n{code}\n```\n"


class Library(SmallBook):
    """A book of four pages over a package of three modules."""

    def __init__(self, folder: Path) -> None:
        pages = {name: page(name, code) for name, code in PAGES.items()}
        super().__init__(folder, {"intro": "# Small book\n\nNothing to execute.\n"} | pages)
        self.book, self.package = folder / "book", folder / "src" / "small"
        self.kept = self.book / "_build" / ".executed"
        self.package.mkdir(parents=True)
        (self.book / "data.txt").write_text(" data")
        (self.book / "pictures").mkdir()
        (self.book / "pictures" / "first.txt").write_text("")
        (self.package / "__init__.py").write_text("")
        for name, code in MODULES.items():
            (self.package / f"{name}.py").write_text(code)

    def cell(self, name: str, code: str) -> None:
        """Give a page another cell."""
        self.write(name, page(name, code))

    def executed(self, **settings: str) -> set[str]:
        """Build the book, which must succeed, and return the pages that ran."""
        self.environment |= settings
        built = self.build()
        for name in settings:
            del self.environment[name]
        assert built.code == 0, built.output[-3000:]
        return set(re.findall(r"^(\w+): done in", built.output, re.MULTILINE))

    def start(self, **settings: str) -> subprocess.Popen[str]:
        """Begin a build and return at once."""
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **settings}
        return subprocess.Popen(
            COMMAND,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, pages: int) -> None:
        """Wait until some pages are kept."""
        deadline = time.monotonic() + 90
        while len(list(self.kept.glob("*.json"))) < pages:
            assert time.monotonic() < deadline, "the pages did not finish"
            time.sleep(0.1)

    def html(self, name: str) -> str:
        """Return a built page."""
        return (self.book / "_build" / "html" / f"{name}.html").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Return a book that was built once; the tests that take it leave it as it was."""
    book = Library(tmp_path_factory.mktemp("fresh"))
    assert book.executed() == set(PAGES)
    return book


@pytest.mark.slow
class TestWhatIsExecuted:
    """One change at a time, on the same book, each undone again."""

    def test_nothing_changed_executes_nothing(self, built):
        assert built.executed() == set()

    @pytest.mark.parametrize("module", MODULES)
    def test_a_module_executes_the_pages_that_load_it_and_no_others(self, built, module):
        path = built.package / f"{module}.py"
        path.write_text(MODULES[module] + "# changed\n")
        assert built.executed() == TOUCHED[module]
        path.write_text(MODULES[module])
        assert built.executed() == TOUCHED[module]

    def test_prose_executes_nothing_and_is_shown(self, built):
        path = built.book / "uses_two.md"
        old = path.read_text()
        path.write_text(old.replace("Some prose.", "Other words."))
        assert built.executed() == set()
        assert "Other words." in built.html("uses_two")
        assert "200" in built.html("uses_two")
        path.write_text(old)
        assert built.executed() == set()

    def test_a_cell_executes_its_page(self, built):
        path = built.book / "uses_none.md"
        old = path.read_text()
        path.write_text(old.replace("6 * 7", "6 * 8"))
        assert built.executed() == {"uses_none"}
        assert ">48\n<" in built.html("uses_none")
        path.write_text(old)
        assert built.executed() == {"uses_none"}

    def test_an_older_file_in_the_place_of_a_page_is_seen(self, built):
        path = built.book / "uses_none.md"
        old = path.read_text()
        for text, runs, shown in (
            (old.replace("6 * 7", "6 * 8"), {"uses_none"}, "48"),
            (old.replace("Some prose.", "Old words."), {"uses_none"}, "Old words."),
            (old, set(), "Some prose."),
        ):
            path.write_text(text)
            os.utime(path, (1_000_000_000, 1_000_000_000))
            assert built.executed() == runs
            assert shown in built.html("uses_none")

    def test_a_data_file_executes_the_page_that_reads_it(self, built):
        (built.book / "data.txt").write_text(" news")
        assert built.executed() == {"reads_data"}
        assert "other news" in built.html("reads_data")
        (built.book / "data.txt").write_text(" data")
        assert built.executed() == {"reads_data"}

    def test_a_new_file_executes_the_page_that_lists_its_folder(self, built):
        (built.book / "pictures" / "second.txt").write_text("")
        assert built.executed() == {"lists"}
        assert ">2000\n<" in built.html("lists")
        (built.book / "pictures" / "second.txt").unlink()
        assert built.executed() == {"lists"}

    def test_a_new_module_executes_nothing(self, built):
        (built.package / "unused.py").write_text("")
        assert built.executed() == set()
        (built.package / "unused.py").unlink()

    def test_the_profile_executes_all(self, built):
        assert built.executed(NNBOOK_PROFILE="full") == set(PAGES)
        assert built.executed() == set(PAGES)

    def test_a_broken_function_shows_at_once(self, built):
        """The same size and the same second: Python's own bytecode would still be the old one."""
        path = built.package / "one.py"
        before = path.stat().st_mtime_ns
        path.write_text(MODULES["one"].replace("return 1", "return 7"))
        os.utime(path, ns=(before, before))
        assert built.executed() == {"uses_one", "uses_two"}
        assert "700" in built.html("uses_one")
        assert "1400" in built.html("uses_two")
        path.write_text(MODULES["one"])
        assert built.executed() == {"uses_one", "uses_two"}
        assert "1400" not in built.html("uses_two")

    def test_a_damaged_entry_counts_as_none(self, built):
        path = built.kept / "uses_none.json"
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b'"42"', b'"43"'))  # in the output and nowhere else
        assert path.read_bytes() != whole
        assert built.executed() == {"uses_none"}
        assert ">42\n<" in built.html("uses_none")

    def test_a_removed_output_folder_executes_nothing_but_is_written_anew(self, built):
        shutil.rmtree(built.book / "_build" / "html")
        assert built.executed() == set()
        assert "200" in built.html("uses_two")

    def test_the_pages_say_what_they_depend_on(self, built):
        built.executed()
        facts = json.loads((built.book / "_build" / "html" / "provenance.json").read_text())
        used = set(facts["pages"]["uses_two"]["dependencies"])
        assert {"src/small/__init__.py", "src/small/one.py", "src/small/two.py"} <= used
        assert "src/small/other.py" not in used
        assert "book/data.txt" in facts["pages"]["reads_data"]["dependencies"]
        assert "src/small/two.py" in built.html("uses_two")
        assert str(built.folder) not in built.html("uses_two")
        every = {name for page in facts["pages"].values() for name in page["dependencies"]}
        assert [n for n in every if n.startswith("/") or n.endswith(".pyc")] == []

    def test_a_page_that_left_the_book_leaves_the_site(self, built):
        toc, page = built.book / "_toc.yml", built.book / "uses_none.md"
        old, text = toc.read_text(), page.read_text()
        html = built.book / "_build" / "html"
        assert (html / "_sources" / "uses_none.ipynb").exists()
        toc.write_text(old.replace("- file: uses_none\n", ""))
        page.unlink()
        assert built.executed() == set()
        assert list(html.rglob("uses_none*")) == []
        assert (html / "uses_two.html").exists()
        toc.write_text(old)
        page.write_text(text)
        assert built.executed() == {"uses_none"}


@pytest.mark.slow
def test_a_page_whose_dependencies_are_unknown_is_executed_each_time(tmp_path):
    book = Library(tmp_path)
    book.cell("uses_none", "import subprocess\nsubprocess.run(['true']).returncode")
    assert book.executed() == set(PAGES)
    assert book.executed() == {"uses_none"}


@pytest.mark.slow
def test_a_failing_page_is_named_and_the_finished_ones_are_kept(tmp_path):
    book = Library(tmp_path)
    book.cell("uses_none", "1\n\n1 / 0")
    built = book.build()
    assert built.code != 0
    says = r"uses_none\.md:\d+: the cell raised ZeroDivisionError"
    assert re.search(says, built.output)
    again = book.build()  # nothing was changed: it must fail once more, and nothing else run
    assert again.code != 0
    assert re.search(says, again.output)
    assert re.findall(r"^(\w+): (?:done|CellExecutionError) in", again.output, re.MULTILINE) == [
        "uses_none"
    ]
    book.cell("uses_none", "6 * 7")
    assert book.executed() == {"uses_none"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "DeadKernelError"),
        ("import time\ntime.sleep(60)", "CellTimeoutError"),
    ],
    ids=["killed kernel", "timeout"],
)
def test_a_kernel_that_does_not_answer_is_named_and_the_others_are_kept(tmp_path, code, says):
    book = Library(tmp_path)
    config = book.book.joinpath("_config.yml").read_text()
    book.book.joinpath("_config.yml").write_text(re.sub(r"timeout: \d+", "timeout: 4", config))
    book.cell("uses_none", code)
    built = book.build()
    assert built.code != 0
    assert re.search(rf"uses_none\.md:\d+: the cell raised {says}", built.output)
    book.cell("uses_none", "6 * 7")
    assert book.executed() == {"uses_none"}


@pytest.mark.slow
def test_an_interrupted_build_keeps_what_was_finished(tmp_path):
    book = Library(tmp_path)
    book.cell("uses_none", "import time\ntime.sleep(120)")
    build = book.start(NNBOOK_JOBS="2")
    book.wait_for(4)
    build.send_signal(signal.SIGINT)
    out, _ = build.communicate(timeout=30)
    assert build.returncode != 0
    assert "interrupted; 4 of 5 pages were executed and are kept" in out
    assert list(book.kept.glob(".*.json.*")) == []
    book.cell("uses_none", "6 * 7")
    assert book.executed() == {"uses_none"}


@pytest.mark.slow
def test_two_builds_at_once_do_not_meet(tmp_path):
    book = Library(tmp_path)
    book.cell("uses_none", "import time\ntime.sleep(10)")
    first = book.start()
    book.wait_for(4)
    second = book.build()
    assert second.code != 0
    assert "another build is writing to" in second.output
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert book.executed() == set()


# ---------------------------------------------------------------- the store alone


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store in a project with one file."""
    (tmp_path / "a.py").write_text("x = 1")
    return Store(tmp_path / "kept", tmp_path, {"python": "3"})


def entry(store: Store, **changes: object) -> Entry:
    """Return an entry that holds."""
    seen = {"modules": [str(store.root / "a.py")], "read": [str(store.root / "gone.txt")]}
    whole = {
        "key": "k",
        "files": store.dependencies(seen),
        "unknown": [],
        "cells": [],
        "seconds": 1.0,
    }
    return Entry(**{**whole, **changes})


def test_an_entry_holds_until_a_file_changes_appears_or_vanishes(store):
    store.save("page", entry(store))
    kept = store.last("page")
    assert kept == entry(store)
    assert store.reason("page", "k", kept) == ""
    assert "versions" in store.reason("page", "other", kept)
    for name in ("a.py", "gone.txt"):
        again = Store(store.folder, store.root, {"python": "3"})
        (store.root / name).write_text("x = 2")
        assert again.reason("page", "k", kept) == f"{name} changed"
        (store.root / name).write_text("x = 1")
        (store.root / "gone.txt").unlink(missing_ok=True)
    (store.root / "a.py").unlink()
    assert Store(store.folder, store.root, {}).reason("page", "k", kept) == "a.py changed"


def test_the_key_follows_the_cells_and_the_environment(store):
    def notebook(source, tags=(), text="prose"):
        cells = [
            {"cell_type": "markdown", "source": text, "metadata": {}},
            {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}},
        ]
        return {"cells": cells, "metadata": {}}

    key = store.key(notebook("1"))
    assert store.key(notebook("1", text="other prose")) == key
    assert store.key(notebook("2")) != key
    assert store.key(notebook("1", ["raises-exception"])) != key
    assert Store(store.folder, store.root, {"python": "4"}).key(notebook("1")) != key


def test_a_write_that_fails_keeps_the_old_entry_and_leaves_nothing(store, monkeypatch):
    store.save("page", entry(store))

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.save("page", entry(store, seconds=2.0))
    assert store.last("page") == entry(store)
    assert [p.name for p in store.folder.iterdir()] == ["page.json"]


def test_a_module_that_was_loaded_before_the_watch_began_counts(tmp_path):
    (tmp_path / "early.py").write_text("x = 1")
    code = (
        "import early, runpy, sys; w = runpy.run_path(sys.argv[1]); w['start'](); "
        "open('late.txt').close(); print(w['report']())"
    )
    (tmp_path / "late.txt").write_text("")
    witness = ROOT / "book" / "_ext" / "witness.py"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(witness)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(ran.stdout)
    assert str(tmp_path / "early.py") in seen["modules"]
    assert seen["read"] == [str(tmp_path / "late.txt")]
    assert seen["processes"] == []


def test_what_tools_write_into_the_project_is_no_dependency(store):
    own = ["__pycache__/a.txt", ".hypothesis/x", ".git/HEAD", "book/_build/page", "old.pyc"]
    for name in (*own, "data/kept.txt"):
        (store.root / name).parent.mkdir(parents=True, exist_ok=True)
        (store.root / name).write_text("1")
    seen = {"modules": [], "read": [str(store.root / n) for n in (*own, "data/kept.txt")]}
    assert set(store.dependencies(seen)) == {"data/kept.txt"}


def test_a_folder_is_the_names_in_it_without_those_of_tools(store):
    def now():
        return Store(store.folder, store.root, {}).digest("data")

    (store.root / "data").mkdir()
    (store.root / "data" / "a.txt").write_text("1")
    first = now()
    (store.root / "data" / "a.txt").write_text("2")
    (store.root / "data" / "__pycache__").mkdir()
    assert now() == first
    (store.root / "data" / "b.txt").write_text("1")
    assert now() != first


@pytest.mark.parametrize(
    "damage",
    [b" ", b"{}", b"x" * 64 + b"\n{}", b""],
    ids=["empty", "no sum", "wrong sum", "one value changed"],
)
def test_a_file_that_is_no_entry_counts_as_none(store, damage):
    store.save("page", entry(store))
    whole = store.path("page").read_bytes()
    store.path("page").write_bytes(damage or whole.replace(b'"seconds": 1.0', b'"seconds": 2.0'))
    assert store.path("page").read_bytes() != whole
    assert store.last("page") is None
    assert store.reason("page", "k", store.last("page")) == "never executed"


def test_an_entry_of_another_format_counts_as_none(store):
    store.save("page", entry(store, format=0))
    assert store.last("page") is None


def test_versions_settings_and_extensions_are_part_of_the_environment(tmp_path, monkeypatch):
    (tmp_path / "ext.py").write_text("1")
    monkeypatch.delenv("NNBOOK_PROFILE", raising=False)
    first = environment(tmp_path)
    monkeypatch.setenv("NNBOOK_PROFILE", "quick")
    assert environment(tmp_path) == first, "the default and its name are the same"
    assert {"torch", "numpy", "matplotlib", "hypothesis"} <= set(first["packages"])
    assert "nnbook" not in first["packages"]
    monkeypatch.setenv("NNBOOK_PROFILE", "full")
    second = environment(tmp_path)
    assert second != first
    monkeypatch.setenv("NNBOOK_COMMIT", "abc")
    assert environment(tmp_path) == second
    (tmp_path / "ext.py").write_text("2")
    assert environment(tmp_path) != second


def test_borders_between_the_parts_of_a_digest_count():
    assert digest(b"ab", b"c") != digest(b"a", b"bc")


def test_the_widths_can_be_set(monkeypatch):
    monkeypatch.setenv("NNBOOK_JOBS", "3")
    monkeypatch.setenv("NNBOOK_THREADS", "2")
    assert widths([]) == (3, 2)
    monkeypatch.delenv("NNBOOK_JOBS")
    monkeypatch.delenv("NNBOOK_THREADS")
    jobs, threads = widths([])
    assert jobs >= 1
    assert threads == 1
    assert widths(["a GPU"])[0] == 1


def test_the_longest_page_goes_first_and_one_that_must_be_alone_is(monkeypatch):
    import runner

    began, at_work, together = [], set(), []

    def pretend(page, timeout, env, server):
        began.append(page.name)
        at_work.add(page.name)
        together.append(set(at_work))
        time.sleep(0.05)
        at_work.discard(page.name)
        return runner.Run(page)

    monkeypatch.setattr(runner, "run_page", pretend)
    pages = [
        Page(n, None, Path(), guess=g)
        for n, g in (("short", 1.0), ("long", 9.0), ("new", float("inf")))
    ]
    pages.append(Page("timed", None, Path(), alone=True, guess=99.0))
    done, said = [], []
    run_pages(pages, 2, 10, {}, done.append, said.append, Event())
    assert began[0] == "new"
    assert began[1] == "long"
    assert began[-1] == "timed"
    assert {"timed"} in together
    assert max(len(t) for t in together) == 2
    assert len(done) == len(said) == 4
    assert "0 running, 0 waiting" in said[-1]


def test_pieces_of_a_stream_are_one_output():
    def stream(name: str, text: str) -> dict[str, str]:
        return {"output_type": "stream", "name": name, "text": text}

    shown = {"output_type": "display_data", "data": {}}
    cut = [stream("stdout", "a"), stream("stdout", "b"), stream("stderr", "c"), shown]
    cut += [stream("stdout", "d")]
    joined = [stream("stdout", "ab"), stream("stderr", "c"), shown, stream("stdout", "d")]
    assert merged(cut) == joined
    assert merged([]) == []
