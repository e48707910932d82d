"""Copies of the book in a folder of their own, to be built without touching the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
SKIP = shutil.ignore_patterns("_build", "__pycache__", "generated", "*.egg-info")
BUILDER = str(Path(sys.executable).with_name("jupyter-book"))


def copy(target: Path) -> Path:
    """Copy the book and the package into a folder and return the book there."""
    for name in ("book", "src"):
        shutil.copytree(ROOT / name, target / name, ignore=SKIP)
    shutil.copy(ROOT / "pyproject.toml", target)
    return target / "book"


def configure(book: Path, **changes: Any) -> None:
    """Change values of the Sphinx configuration of a copy; None takes a value out."""
    path = book / "_config.yml"
    config = yaml.safe_load(path.read_text())
    values = config["sphinx"]["config"] | changes
    config["sphinx"]["config"] = {name: v for name, v in values.items() if v is not None}
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def extensions(book: Path) -> list[str]:
    """Return the extensions of a copy."""
    config = yaml.safe_load((book / "_config.yml").read_text())
    return list(config["sphinx"]["config"]["extensions"])


def keep_pages(book: Path, part: str) -> None:
    """Leave only the root and one part in a copy.

    Raises:
        SystemExit: if there is no such part.
    """
    path = book / "_toc.yml"
    toc = yaml.safe_load(path.read_text())
    kept = [p for p in toc["parts"] if p["caption"].lower() == part.lower()]
    if not kept:
        names = ", ".join(p["caption"] for p in toc["parts"])
        raise SystemExit(f"there is no part {part!r} in _toc.yml; it has {names}.")
    named = {toc["root"], *(c["file"] for p in kept for c in p["chapters"])}
    for page in book.rglob("*.md"):
        if page.relative_to(book).with_suffix("").as_posix() not in named:
            page.unlink()
    path.write_text(yaml.safe_dump(toc | {"parts": kept}, sort_keys=False))
    configure(book, claimgate_topics=[name.split("/")[-1] for name in named])


def build(book: Path, *options: str, **env: str) -> tuple[float, str]:
    """Build a copy; return the seconds it took and what it printed.

    Raises:
        SystemExit: if no page was written, with the end of what was printed.
    """
    settings = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(book.parent / "src"), **env}
    start = time.monotonic()
    ran = subprocess.run(
        [BUILDER, "build", str(book), *options],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if not (book / "_build" / "html" / "index.html").exists():
        raise SystemExit(
            f"the copy {book} was not built:\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
        )
    return seconds, ran.stdout + ran.stderr
