"""Measure what a build costs, against the plain serial build of the same book, in one run.

Prints a table and writes it to ``book/_build/bench-build.json``, which the status
page shows.
Seconds depend on the machine; the ratios are what to compare.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from copies import ROOT, build, configure, copy, extensions

OURS = ("fresh", "provenance")
EDITED = Path("src/nnbook/scratch/layernorm.py")
PROSE = Path("book/normalization/layernorm.md")


def plain(book: Path) -> float:
    """Return the seconds of a build without our execution: every page, one after the other."""
    others = [e for e in extensions(book) if e not in OURS]
    configure(book, extensions=others, fresh_always=None, fresh_after=None)
    return build(book, "--all")[0]


def executed(log: str) -> int:
    """Return how many pages a build executed."""
    return len(re.findall(r"^\S+: done in", log, re.MULTILINE))


def edit(path: Path) -> None:
    """Change a file in a way that changes no result."""
    mark = "\n# touched\n" if path.suffix == ".py" else "\nA sentence more.\n"
    path.write_text(path.read_text() + mark)


def measure(folder: Path) -> list[dict[str, float | str | int]]:
    """Build the cases one after the other."""
    serial = plain(copy(folder / "plain"))
    book = copy(folder / "ours")
    cases = [
        ("cold", None),
        ("nothing changed", None),
        ("prose of one page", PROSE),
        ("one function", EDITED),
    ]
    rows: list[dict[str, float | str | int]] = [
        {
            "build": "plain, serial, force",
            "seconds": serial,
            "pages executed": 0,
            "times faster": 1.0,
        }
    ]
    for name, path in cases:
        if path is not None:
            edit(folder / "ours" / path)
        seconds, log = build(book)
        rows.append(
            {
                "build": name,
                "seconds": seconds,
                "pages executed": executed(log),
                "times faster": serial / seconds,
            }
        )
    return rows


def main() -> None:
    """Measure, print, keep."""
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    width = max(len(str(r["build"])) for r in rows)
    print(f"{'build':{width}}  seconds  pages executed  times faster   ({os.cpu_count()} cores)")
    for r in rows:
        pages = r["pages executed"] if r["build"] != "plain, serial, force" else "all"
        print(f"{r['build']:{width}}  {r['seconds']:7.1f}  {pages:>14}  {r['times faster']:12.1f}")
    target = ROOT / "book" / "_build" / "bench-build.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
