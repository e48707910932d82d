"""Runs inside the kernel of a page: notes which files the page depends on.

`start` is called before the first cell, `report` after the last. Modules are those that the kernel
has loaded; other files are those that it opened for reading, and folders those whose names it
listed, seen by an audit hook. A page that
starts another process may depend on anything, so it counts as one whose dependencies are unknown.
This file is executed by path, stays out of the namespace of the page and imports nothing but the
standard library.
"""

from __future__ import annotations

import json
import os
import sys
import types
from typing import Any

PROCESSES = {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn"}
LISTINGS = {"os.listdir", "os.scandir"}
IMPORT = "<frozen importlib._bootstrap_external>"  # lists the folders of sys.path to find modules
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Witness:
    """The files that were opened and the processes that were started."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.written: set[str] = set()
        self.processes: set[str] = set()

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """Note one audit event; nothing may be raised here."""
        if event == "open" and isinstance(args[0], str | bytes):
            path = os.path.abspath(os.fsdecode(args[0]))
            flags = args[2] if isinstance(args[2], int) else 0
            mode = args[1] if isinstance(args[1], str) else ""
            writes = bool(flags & WRITING) or any(c in mode for c in "wax+")
            (self.written if writes else self.read).add(path)
        elif event in LISTINGS and isinstance(args[0], str | bytes | None):
            if sys._getframe(1).f_code.co_filename != IMPORT:
                self.read.add(os.path.abspath(os.fsdecode(args[0] or ".")))
        elif event in PROCESSES:
            self.processes.add(str(args[0]) if args else event)


def start() -> None:
    """Begin to watch."""
    witness = Witness()
    module = types.ModuleType("_nnbook_witness")
    module.witness = witness  # type: ignore[attr-defined]
    sys.modules["_nnbook_witness"] = module
    sys.addaudithook(witness.hook)


def report() -> str:
    """Return what was seen, as JSON."""
    witness: Witness = sys.modules["_nnbook_witness"].witness
    files = (getattr(m, "__file__", None) for m in list(sys.modules.values()))
    # libraries give modules that are no files a name without a folder
    real = (f for f in files if isinstance(f, str) and (os.path.isabs(f) or os.path.exists(f)))
    modules = {os.path.abspath(f) for f in real}
    return json.dumps(
        {
            "modules": sorted(modules),
            "read": sorted(witness.read - witness.written),
            "processes": sorted(witness.processes),
        }
    )
