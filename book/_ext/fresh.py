"""Execute a page when something it depends on has changed, and only then.

Plain ``jupyter-book build book/`` does all of it: pages without valid outputs are executed side
by side (`runner`), what each kernel loaded and read is noted (`witness`), and outputs are kept with
the digests of all that (`store`). Meanwhile Sphinx reads the pages, first those that need not be
executed, and MyST-NB is given the outputs of each when they are there.

Settings of the environment: ``NNBOOK_JOBS``, pages executed at a time (the number of cores; 1 with
a GPU); ``NNBOOK_THREADS``, threads of each kernel (1; with a GPU the number of cores). A page whose
front matter holds ``nnbook: {alone: true}`` is executed when no other page is.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from functools import cached_property
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any

import nbformat
from filelock import FileLock, Timeout
from myst_nb.core import execute as myst_execute
from myst_nb.core import read as myst_read
from myst_nb.core.execute.base import NotebookClientBase
from runner import Page, Run, kernel_environment, run_page, run_pages, widths
from sphinx.errors import SphinxError
from sphinx.util import logging
from store import Entry, Store, digest, environment, gpu

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

log = logging.getLogger(__name__)
MANY = 4  # pages from which on a fork server saves more than it costs


class BuildLocked(SphinxError):
    """Two builds in one folder."""

    category = "Build stopped"


class BuildStopped(SphinxError):
    """A page was to be shown whose execution had been given up."""

    category = "Build stopped"


class Freshness:
    """The state of one build: the store, and what became of each page."""

    def __init__(self, app: Sphinx) -> None:
        self.app = app
        source = Path(app.srcdir).resolve()
        self.root = source.parent
        folder = Path(app.outdir).resolve().parent / ".executed"
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / ".lock", timeout=0)
        self.take_lock()
        self.env = environment(Path(__file__).parent)
        self.store = Store(folder, self.root, self.env)
        self.runs: dict[str, Run] = {}
        self.entries: dict[str, Entry] = {}
        self.notebooks: dict[str, Any | None] = {}
        self.sources: dict[str, str] = {}
        self.pending: dict[str, Event] = {}
        self.stop = Event()
        self.worker: Thread | None = None
        self.failure: BaseException | None = None

    def take_lock(self) -> None:
        """Refuse to build where another build is at work."""
        try:
            self.lock.acquire()
        except Timeout:
            raise BuildLocked(
                f"another build is writing to {self.lock.lock_file.rsplit('/', 2)[0]}; "
                "wait until it ends, or build into another folder with --path-output."
            ) from None

    # -- which pages ------------------------------------------------------------------------------

    def notebook(self, name: str) -> Any | None:
        """Read a page as MyST-NB will, once in a build; None if it has no code cells."""
        if name not in self.notebooks:
            self.source(name)  # first: an edit from here on is one for the next build
            self.notebooks[name] = self.read(name)
        return self.notebooks[name]

    def read(self, page: str) -> Any | None:
        """Read a page from its file."""
        env: Any = self.app.env
        path = env.doc2path(page)
        content = Path(path).read_text("utf-8")
        reader = myst_read.create_nb_reader(path, env.myst_config, env.mystnb_config, content)
        if reader is None:
            return None
        notebook = reader.read(content)
        has_code = any(c.cell_type == "code" and c.source.strip() for c in notebook.cells)
        return notebook if has_code else None

    def page(self, name: str) -> Page | None:
        """Return what there is to execute on a page."""
        notebook = self.notebook(name)
        if notebook is None:
            return None
        last = self.store.last(name)
        return Page(
            name,
            notebook,
            Path(self.app.env.doc2path(name)).parent,
            self.store.key(notebook),
            bool(notebook.metadata.get("nnbook", {}).get("alone", False)),
            last.seconds if last else float("inf"),
            self.source(name),
        )

    def outdated(self, app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
        """Return the pages that Sphinx must read again because their outputs no longer hold."""
        added, changed, removed = changes
        known = set(env.found_docs) - added - changed - removed
        for name in removed:
            self.forget(name)
        stale = {name for name in known if self.stale(name)}
        # Sphinx looks at the time of a file only, and an older file may take the place of a page
        other = {name for name in known if self.read_as.get(name) != self.source(name)}
        again = stale | other | (set(app.config.fresh_always) & known)
        if removed or stale or any(self.stale(name) for name in added | changed):
            again |= set(app.config.fresh_after) & known
        return sorted(again)

    @property
    def read_as(self) -> dict[str, str]:
        """The digest of each page when it was last read, kept with the environment."""
        kept: dict[str, str] = self.app.env.__dict__.setdefault("nnbook_read_as", {})
        return kept

    def stale(self, name: str) -> str:
        """Return why a page must be executed, or nothing."""
        entry = self.store.last(name)
        if entry and entry.source == self.source(name):  # then so are the cells
            return self.store.reason(name, entry.key, entry)
        page = self.page(name)
        return self.store.reason(name, page.key, entry) if page else ""

    def source(self, name: str) -> str:
        """Return the digest of all that the cells of a page come from, taken once in a build."""
        if name not in self.sources:
            env: Any = self.app.env
            self.sources[name] = digest(Path(env.doc2path(name)).read_bytes(), self.how)
        return self.sources[name]

    @cached_property
    def how(self) -> bytes:
        """What besides its file decides what the cells of a page are."""
        env: Any = self.app.env
        how = [env.myst_config.as_dict(), env.mystnb_config.as_dict(), self.store.env]
        return json.dumps(how, sort_keys=True, default=lambda v: sorted(map(str, v))).encode()

    def forget(self, name: str) -> None:
        """Remove what earlier builds wrote for a page that has left the book."""
        out = Path(self.app.outdir)
        written = [
            out / f"{name}.html",
            *(out / "_sources" / f"{name}.{e}" for e in ("md", "ipynb")),
        ]
        for path in (self.store.path(name), *written):
            path.unlink(missing_ok=True)

    def entry(self, name: str) -> Entry | None:
        """Return the outputs of a page that this build shows, from this build or an earlier one."""
        self.wait_for(name)
        if name not in self.entries and (kept := self.store.last(name)):
            self.entries[name] = kept
        return self.entries.get(name)

    # -- execution --------------------------------------------------------------------------------

    def prepare(self, app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
        """Begin to execute what must be among the pages that Sphinx is about to read."""
        todo: list[Page] = []
        for name in names:
            self.read_as[name] = self.source(name)
            page = self.page(name)
            if page is None:
                continue
            entry = self.store.last(name)
            reason = self.store.reason(name, page.key, entry)
            if reason or entry is None:
                log.info("%s: to be executed, %s", name, reason)
                todo.append(page)
            else:
                self.keep_source(name, entry)
        if not todo:
            return
        rank = {page.name: page.rank for page in todo}
        last = set(app.config.fresh_after)
        names.sort(key=lambda n: (n in last, n in rank, rank.get(n, ()), n))
        forget_bytecode(self.root / "src")
        self.pending = {page.name: Event() for page in todo}
        self.worker = Thread(target=self.execute, args=(todo,), name="execution")
        self.interruptible()
        self.worker.start()

    def keep_source(self, name: str, entry: Entry) -> None:
        """Show an entry that holds; note with it that it does for the page as it is now."""
        self.entries[name] = entry
        source = self.source(name)
        if entry.source != source:
            entry.source = source
            self.save(name, entry)

    def save(self, name: str, entry: Entry) -> bool:
        """Keep an entry for later builds; say whether that went well."""
        try:
            self.store.save(name, entry)
        except OSError as error:
            log.warning(
                "the outputs of this page cannot be kept: %s", error, location=name, type="fresh"
            )
            return False
        return True

    def execute(self, todo: list[Page]) -> None:
        """Execute pages, in a thread of its own; an error that is no page's goes to the reader."""
        jobs, threads = widths(gpu())
        timeout = self.app.config["nb_execution_timeout"]
        env = kernel_environment(threads)
        # a process must not be forked once it has used CUDA, nor on macOS
        fork = len(todo) >= MANY and sys.platform == "linux" and not gpu()
        log.info("executing %d pages, %d at a time", len(todo), min(jobs, len(todo)))
        try:
            run_pages(todo, jobs, timeout, env, self.keep, log.info, self.stop, fork=fork)
        except BaseException as error:  # noqa: BLE001  (raised again by `wait_for`)
            self.failure = error
        for event in self.pending.values():
            event.set()

    def wait_for(self, name: str) -> None:
        """Wait until a page that this build executes has run.

        Raises:
            BuildStopped: if it did not come to that.
        """
        if name in self.pending and current_thread() is not self.worker:
            self.pending[name].wait()
            if name not in self.entries:
                raise BuildStopped(f"{name} was not executed") from self.failure

    def interruptible(self) -> None:
        """On Ctrl-C, stop the kernels and say what is kept, whatever Sphinx is doing."""
        if current_thread() is not main_thread():
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            self.halt()
            kept = sum(run.kept for run in self.runs.values())
            log.error(
                "interrupted; %d of %d pages were executed and are kept", kept, len(self.pending)
            )
            raise KeyboardInterrupt

        signal.signal(signal.SIGINT, interrupt)

    def halt(self) -> None:
        """End the execution if it is still at work."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.stop.set()
        if self.worker is not None:
            self.worker.join()

    def keep(self, run: Run) -> None:
        """Note a finished run, and keep its outputs if it went well."""
        name, notebook = run.page.name, run.page.notebook
        self.runs[name] = run
        seen = run.witness or {"modules": [], "read": [], "processes": ["the page did not end"]}
        cells = [
            {"execution_count": c.get("execution_count"), "outputs": merged(c.get("outputs", []))}
            for c in notebook.cells
            if c.cell_type == "code"
        ]
        unknown = [f"it started {p}" for p in seen["processes"]]
        files = self.store.dependencies(seen)
        language = dict(notebook.metadata.get("language_info", {}))
        entry = Entry(
            key=run.page.key,
            files=files,
            unknown=unknown,
            cells=cells,
            seconds=run.seconds,
            language=language,
            when=time.time(),
            source=run.page.source,
        )
        self.entries[name] = entry
        run.kept = not run.error and self.save(name, entry)
        if name in self.pending:
            self.pending[name].set()

    def fill(self, name: str, notebook: Any) -> dict[str, Any]:
        """Put the outputs of a page into its notebook and return MyST-NB's record of the run."""
        self.wait_for(name)
        if name not in self.entries:
            page = self.page(name)
            assert page is not None
            self.keep(
                run_page(
                    page,
                    self.app.config["nb_execution_timeout"],
                    kernel_environment(widths(gpu())[1]),
                )
            )
        entry, run = self.entries[name], self.runs.get(name)
        code = [c for c in notebook.cells if c.cell_type == "code"]
        for cell, kept in zip(code, entry.cells, strict=True):
            cell["execution_count"] = kept["execution_count"]
            cell["outputs"] = [nbformat.from_dict(o) for o in kept["outputs"]]  # type: ignore[no-untyped-call]
        notebook.metadata["language_info"] = nbformat.from_dict(entry.language)  # type: ignore[no-untyped-call]
        return {
            "mtime": entry.when,
            "runtime": entry.seconds,
            "method": "executed" if run else "kept",
            "succeeded": not (run and run.error),
            "error": run.error or None if run else None,
            "traceback": run.trace or None if run else None,
        }

    def close(self, app: Sphinx, error: Exception | None) -> None:
        """Let the next build begin."""
        if current_thread() is main_thread():
            self.halt()
        self.lock.release()


def merged(outputs: list[Any]) -> list[Any]:
    """Join neighbouring pieces of one stream: where a kernel cuts it depends on the clock."""
    whole: list[Any] = []
    for output in outputs:
        last = whole[-1] if whole else {}
        if output["output_type"] == "stream" and output.get("name") == last.get("name"):
            last["text"] += output["text"]
        else:
            whole.append(output)
    return whole


def forget_bytecode(source: Path) -> None:
    """Remove the compiled modules of the project.

    Python takes a compiled module for current when the time, in whole seconds, and the size of the
    source are the same: an edit right after a build could go unseen.
    """
    for folder in source.rglob("__pycache__"):
        shutil.rmtree(folder, ignore_errors=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Take the place of MyST-NB's own execution."""

    class KeptOutputs(NotebookClientBase):
        """A client of MyST-NB whose notebook was executed before, or is taken from the store."""

        def start_client(self) -> None:
            """Fill in the outputs."""
            state: Freshness = app.nnbook_fresh  # type: ignore[attr-defined]
            name = app.env.path2doc(str(self.path))
            if name is None or not any(c.cell_type == "code" for c in self.notebook.cells):
                return
            if self.notebook.cells and state.notebook(name) is not None:
                self.exec_metadata = state.fill(name, self.notebook)

    def begin(app: Sphinx) -> None:
        state = Freshness(app)
        app.nnbook_fresh = state  # type: ignore[attr-defined]
        app.connect("env-get-outdated", state.outdated)
        app.connect("env-before-read-docs", state.prepare)
        app.connect("build-finished", state.close, priority=1000)

    myst_execute.NotebookClientDirect = KeptOutputs
    app.add_config_value("fresh_always", [], "")  # read in each build
    app.add_config_value("fresh_after", [], "")  # read after all others, when a page was executed
    app.connect("builder-inited", begin)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
