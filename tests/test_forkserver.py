"""Kernels that are forked are like those that are started."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from threading import Event

import psutil
import pytest
from forkserver import ForkProvisioner, ForkServer
from nbformat.v4 import new_code_cell, new_notebook
from runner import Page, kernel_environment, run_page, run_pages

LIGHT = ("fractions", "multiprocessing", "ipykernel.kernelapp")
LOOK = """import os, signal, sys
before = "fractions" in sys.modules
facts = [
    sys.path, sys.argv[0], os.getcwd(), hash("a"), os.environ["OMP_NUM_THREADS"], __name__,
    sys.modules["__main__"].__dict__ is globals(), signal.getsignal(signal.SIGCHLD),
    signal.getsignal(signal.SIGINT), sys.flags, os.getpgid(0) == os.getpid(),
    sys.stdin.closed or os.isatty(0), "_nnbook_witness" in sys.modules,
]"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


def page(folder: Path, *cells: str) -> Page:
    """Return a page of some cells."""
    return Page("a page", new_notebook(cells=[new_code_cell(c) for c in cells]), folder)


def text(run) -> str:
    """Return what the cells of a run printed or returned."""
    outputs = [o for c in run.page.notebook.cells for o in c.outputs]
    return "".join(o.get("text") or o["data"]["text/plain"] for o in outputs)


@pytest.fixture(scope="module")
def env() -> dict[str, str]:
    """Return the environment of the kernels."""
    return kernel_environment(1)


@pytest.fixture(scope="module")
def server(env):
    """Return a server that has loaded little."""
    with ForkServer(env, LIGHT) as server:
        yield server


def test_a_forked_kernel_looks_like_a_started_one(tmp_path, env, server):
    look = page(tmp_path, LOOK, "print(facts)", "print(before)")
    forked = run_page(look, 60, env, server)
    started = run_page(page(tmp_path, LOOK, "print(facts)", "print(before)"), 60, env)
    assert not forked.error
    assert text(forked).rsplit("\n", 2)[0] == text(started).rsplit("\n", 2)[0]
    assert text(forked).endswith("True\n")  # it was forked
    assert text(started).endswith("False\n")
    ours = [set(run.witness["modules"]) for run in (forked, started)]
    assert not any("forkserver" in name for name in ours[0])
    assert ours[1] <= ours[0]  # nothing that it depends on goes unseen


def test_kernels_share_nothing_after_the_fork(tmp_path, env, server):
    mark = "import fractions, os\nfractions.mine = 1\nos.environ['MINE'] = '1'\nx = 1"
    look = "import fractions, os\n(hasattr(fractions, 'mine'), 'MINE' in os.environ, 'x' in dir())"
    assert not run_page(page(tmp_path, mark), 60, env, server).error
    assert text(run_page(page(tmp_path, look), 60, env, server)) == "(False, False, False)"


def test_a_page_may_start_processes_and_that_is_seen(tmp_path, env, server):
    run = run_page(
        page(tmp_path, "import subprocess\nsubprocess.run(['false']).returncode"), 60, env, server
    )
    assert text(run) == "1"
    assert run.witness["processes"] == ["false"]


def test_an_error_and_a_killed_kernel_are_told(tmp_path, env, server):
    assert run_page(page(tmp_path, "1 / 0"), 60, env, server).error == "CellExecutionError"
    killed = page(tmp_path, "import os\nos.kill(os.getpid(), 9)")
    assert run_page(killed, 60, env, server).error == "DeadKernelError"
    assert text(run_page(page(tmp_path, "6 * 7"), 60, env, server)) == "42"


def test_without_a_server_that_answers_kernels_are_started(tmp_path, env):
    with ForkServer(env, LIGHT) as server:
        server._process.kill()
        server._process.wait()
        run = run_page(page(tmp_path, "import sys\n'fractions' in sys.modules"), 60, env, server)
    assert text(run) == "False"


def test_what_a_library_prints_is_no_answer(tmp_path, env):
    (tmp_path / "loud_library.py").write_text("print(12345)\n")
    loud = env | {"PYTHONPATH": os.pathsep.join([str(tmp_path), env.get("PYTHONPATH", "")])}
    with ForkServer(loud, (*LIGHT, "loud_library")) as server:
        run = run_page(page(tmp_path, "import sys\n'loud_library' in sys.modules"), 60, env, server)
    assert text(run) == "True"


def test_a_library_that_is_missing_costs_the_server_only(tmp_path, env):
    with ForkServer(env, ("no_such_library",)) as server:
        assert text(run_page(page(tmp_path, "6 * 7"), 60, env, server)) == "42"


def test_only_kernels_of_this_python_are_forked(monkeypatch):
    import asyncio

    from jupyter_client.provisioning.local_provisioner import LocalProvisioner

    async def started(self, cmd, **kwargs):
        return cmd

    monkeypatch.setattr(LocalProvisioner, "launch_kernel", started)
    provisioner = ForkProvisioner()
    for cmd in (["nothing", "-m", "ipykernel_launcher"], [sys.executable, "-m", "other"]):
        assert asyncio.run(provisioner.launch_kernel(cmd, env={}, cwd=".")) == cmd


def test_no_process_is_left(tmp_path, env):
    runs, said = [], []
    pages = [page(tmp_path, "import torch, os\nos.getppid()") for _ in range(3)]
    run_pages(pages, 2, 60, env, runs.append, said.append, Event(), fork=True)
    parents = {text(run) for run in runs}
    assert len(parents) == 1  # all of one server
    assert not psutil.pid_exists(int(parents.pop()))
    assert not [c for c in psutil.Process().children(recursive=True) if "ipykernel" in str(c)]


def test_kernels_end_when_the_build_is_killed(tmp_path, env):
    server = ForkServer(env, LIGHT)
    file = tmp_path / "connection.json"
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", str(file), "--log-level=ERROR"]
    pid = server.fork(launch, env, str(tmp_path))
    assert os.getpgid(pid) == pid
    server._process.stdin.close()  # what the system does with the pipes of a dead process
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
    server._process.wait()
    server._process.stdout.close()
