"""A process that has loaded the libraries and forks kernels: each page saves the time of that.

This file is both sides. Run as a program it loads `LIBRARIES`, reads a line of JSON for each kernel
(its command, environment and folder) and answers with the number of the new process. `ForkServer`
starts it, and `ForkProvisioner` lets `jupyter_client` start a kernel by it. Nothing of the project
is loaded before the fork, so that what a page depends on is seen as in any other kernel. Whenever a
kernel cannot be started in this way, it is started in the ordinary one.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from threading import Lock
from typing import Any, Self

import psutil
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

LIBRARIES = ("numpy", "matplotlib.pyplot", "torch", "myst_nb", "ipykernel.kernelapp")
LAUNCHER = "ipykernel_launcher"


class ForkServer:
    """The process from which kernels are forked.

    Args:
        env: its environment; what libraries read when they are loaded must be in it.
        libraries: the modules to load before the first kernel is asked for.
    """

    def __init__(self, env: dict[str, str], libraries: tuple[str, ...] = LIBRARIES) -> None:
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, *libraries],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,  # Ctrl-C is for the build, which ends the kernels itself
        )

    def fork(self, cmd: list[str], env: dict[str, str], cwd: str) -> int | None:
        """Start a kernel and return the number of its process; None if that did not go well."""
        assert self._process.stdin
        assert self._process.stdout
        request = json.dumps({"argv": cmd[2:], "env": env, "cwd": str(cwd)})
        with self._lock:
            try:
                self._process.stdin.write(request + "\n")
                self._process.stdin.flush()
                return int(self._process.stdout.readline()) or None
            except (OSError, ValueError):  # it has ended, or does not answer as it should
                self._process.kill()
                return None

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the server."""
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            try:
                self._process.stdin.close()
            except OSError:  # it has ended by itself
                pass
            self._process.wait()
            self._process.stdout.close()


class Forked:
    """A forked kernel, as far as `LocalProvisioner` looks at a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._process: psutil.Process | None = psutil.Process(pid)
        except psutil.NoSuchProcess:
            self._process = None

    def poll(self) -> int | None:
        """Return None while it runs; then 1, as only its parent knows how it ended."""
        return None if self._process and self._process.is_running() else 1

    def wait(self) -> int:
        """Wait until it has ended."""
        if self._process:
            self._process.wait()
        return 1

    def send_signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self._process:
            try:
                self._process.send_signal(number)
            except psutil.NoSuchProcess:
                pass

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class ForkProvisioner(LocalProvisioner):
    """Starts a kernel by a fork server."""

    server: ForkServer

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Fork a kernel of this Python; start any other, or one that cannot be forked, as usual."""
        pid = None
        if cmd[:3] == [sys.executable, "-m", LAUNCHER]:
            pid = self.server.fork(cmd, kwargs["env"], kwargs["cwd"])
        if pid is None:
            return await super().launch_kernel(cmd, **kwargs)
        self.process = Forked(pid)  # type: ignore[assignment]
        self.pid = self.pgid = pid
        self.cwd = kwargs["cwd"]
        return self.connection_info


def become(argv: list[str], env: dict[str, str], cwd: str) -> None:
    """Run what ``python -m`` would, in a process that was just forked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    module, *sys.argv[1:] = argv
    sys.argv.append(f"--IPKernelApp.parent_handle={os.getppid()}")  # a kernel ends with its parent
    for name in ("__main__", "__mp_main__"):  # a page does not depend on this file
        sys.modules.pop(name, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def serve(libraries: list[str]) -> None:
    """Load libraries, then fork a kernel for each line that comes in, until there are no more."""
    sys.path.pop(0)  # the folder of this file, which other kernels do not have there
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library or a page prints is no answer
    for name in libraries:
        importlib.import_module(name)
    gc.freeze()  # what is shared stays shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a kernel ended
    for line in sys.stdin:
        request = json.loads(line)
        try:
            pid = os.fork()
        except OSError:
            pid = -1
        if pid == 0:
            os.setpgid(0, 0)
            answers.close()
            become(**request)
            return
        if pid > 0:
            try:
                os.setpgid(pid, pid)  # on both sides, so that it is done whoever comes first
            except OSError:
                pass  # it has ended already
        print(max(pid, 0), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1:])
