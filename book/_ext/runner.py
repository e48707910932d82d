"""Execute pages, several at a time, each in a kernel of its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from uuid import uuid4

import forkserver
import psutil
from forkserver import LAUNCHER, ForkProvisioner, ForkServer
from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

POLL = 0.1  # seconds between two looks at whether to stop
OWN_PROCESSES = (LAUNCHER, forkserver.__file__)
WITNESS = Path(__file__).parent / "witness.py"


@dataclass
class Page:
    """A page to execute: its name, its notebook, the folder it runs in."""

    name: str
    notebook: NotebookNode
    folder: Path
    key: str = ""
    alone: bool = False
    guess: float = float("inf")  # seconds of the last run; a page never run goes first
    source: str = ""  # digest of what the notebook was read from

    @property
    def rank(self) -> tuple[float, int, str]:
        """Sorts pages, the longest first; of two never run, the one with more code."""
        cells = self.notebook.cells if self.notebook else []
        return -self.guess, -sum(len(c.source) for c in cells if c.cell_type == "code"), self.name


@dataclass
class Run:
    """What executing a page gave; ``error`` is empty when it went well."""

    page: Page
    seconds: float = 0.0
    witness: dict[str, list[str]] | None = None
    error: str = ""
    trace: str = ""
    kept: bool = False


class Client(NotebookClient):
    """A notebook client that asks the kernel, after the last cell, what the page depended on."""

    seen: dict[str, list[str]] | None = None
    running: int = 0
    server: ForkServer | None = None

    def create_kernel_manager(self) -> KernelManager:
        """Create what starts the kernel, by forking if there is a server for that."""
        manager = super().create_kernel_manager()
        if self.server is not None:
            manager.provisioner = ForkProvisioner(
                kernel_id=str(uuid4()), kernel_spec=manager.kernel_spec, parent=manager
            )
            manager.provisioner.server = self.server
        return manager

    async def async_execute_cell(
        self,
        cell: NotebookNode,
        cell_index: int,
        execution_count: int | None = None,
        store_history: bool = True,
    ) -> NotebookNode:
        """Execute a cell; the first and the last one with the witness around them."""
        execute = super().async_execute_cell
        self.running = cell_index

        async def hidden(call: str) -> str:
            load = f"__import__('runpy').run_path({str(WITNESS)!r})[{call!r}]()"
            own = new_code_cell(f"print({load})")  # type: ignore[no-untyped-call]
            await execute(own, cell_index, store_history=False)
            self.nb.cells[cell_index] = cell  # where nbclient has put our own
            return "".join(o["text"] for o in own.outputs if o.get("name") == "stdout")

        if cell_index == 0:
            await hidden("start")
        result = await execute(cell, cell_index, execution_count, store_history)
        if cell_index == len(self.nb.cells) - 1:
            self.seen = json.loads(await hidden("report"))
        return result


def run_page(
    page: Page, timeout: int, env: dict[str, str], server: ForkServer | None = None
) -> Run:
    """Execute one page in place; each way to fail becomes an output of the cell that failed."""
    run, started = Run(page), time.monotonic()
    own = page.notebook.metadata.get("mystnb", {})
    client = Client(
        page.notebook,
        timeout=own.get("execution_timeout", timeout),
        allow_errors=own.get("execution_allow_errors", False),
        resources={"metadata": {"path": str(page.folder)}},
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
    )
    client.server = server
    try:
        client.execute(env=env)
    except CellExecutionError as error:  # the kernel has written its output already
        run.error, run.trace = type(error).__name__, str(error)
    except (DeadKernelError, CellTimeoutError) as error:
        run.error, run.trace = type(error).__name__, str(error)
        reason = run.trace.strip().splitlines()[0]
        output = NotebookNode(output_type="error", ename=run.error, evalue=reason, traceback=[])  # type: ignore[no-untyped-call]
        page.notebook.cells[client.running].setdefault("outputs", []).append(output)
    finally:
        ensure_event_loop().close()  # that of this thread, which nbclient leaves open
    run.seconds, run.witness = time.monotonic() - started, client.seen
    return run


def kernel_environment(threads: int) -> dict[str, str]:
    """Return the environment of a kernel: fixed hash seed and threads, so that runs repeat."""
    env = dict(os.environ) | {"PYTHONHASHSEED": "0", "NNBOOK_BOOK": "1", "MPLBACKEND": "agg"}
    fixed = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return fixed | env if "OMP_NUM_THREADS" in os.environ else env | fixed


def widths(gpus: Sequence[str]) -> tuple[int, int]:
    """Return how many pages run at a time, and with how many threads each."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    jobs, threads = (1, cores) if gpus else (cores, 1)
    return (
        max(1, int(os.environ.get("NNBOOK_JOBS") or jobs)),
        max(1, int(os.environ.get("NNBOOK_THREADS") or threads)),
    )


def run_pages(
    pages: Sequence[Page],
    jobs: int,
    timeout: int,
    env: dict[str, str],
    done: Callable[[Run], None],
    say: Callable[[str], None],
    stop: Event,
    *,
    fork: bool = False,
) -> None:
    """Execute pages side by side, the longest first, then those that must run alone.

    Args:
        pages: what to execute, in place.
        jobs: how many at a time.
        timeout: seconds that a cell may take.
        env: the environment of the kernels.
        done: called in this thread with each finished run, before the next progress line.
        say: called with each progress line.
        stop: when it is set, the kernels are killed and no more pages begin.
        fork: whether the kernels are forked from one process that has loaded the libraries.
    """
    together = sorted((p for p in pages if not p.alone), key=lambda p: p.rank)
    alone = [p for p in pages if p.alone]
    finished = 0

    def report(run: Run) -> None:
        nonlocal finished
        finished += 1
        done(run)
        left = len(pages) - finished
        active = min(jobs, left)
        result = run.error or "done"
        rest = f"{active} running, {left - active} waiting"
        say(f"{run.page.name}: {result} in {run.seconds:.1f} s; {rest}")

    with ForkServer(env) if fork else nullcontext() as server:
        for group, width in ((together, jobs), (alone, 1)):
            with ThreadPoolExecutor(max_workers=max(1, width)) as pool:
                waiting: set[Future[Run]] = {
                    pool.submit(run_page, p, timeout, env, server) for p in group
                }
                try:
                    while waiting and not stop.is_set():
                        ended, waiting = wait(waiting, POLL, FIRST_COMPLETED)
                        for future in ended:
                            report(future.result())
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
                    while not all(future.done() for future in waiting):
                        stop_kernels()  # again and again: one may only just be starting
                        time.sleep(POLL)
            if stop.is_set():
                return


def stop_kernels() -> None:
    """Kill the kernels that this process started."""
    for child in psutil.Process().children(recursive=True):
        try:
            if any(own in part for part in child.cmdline() for own in OWN_PROCESSES):
                child.kill()
        except psutil.Error:  # it has ended by itself
            continue
