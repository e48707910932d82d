"""Build the book twice from nothing and name the files that differ.

Usage: ``python scripts/repro.py [PART]``; with the name of a part, only its pages. The status page
and ``provenance.json`` hold times and are expected to differ. Exit status 1 if another file does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from copies import build, copy, keep_pages

EXPECTED = {"status.html", "_sources/status.ipynb", "provenance.json"}


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def differing(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Return the files that are not the same in both, without those that are expected to differ."""
    names = sorted(one.keys() | other.keys())
    return [n for n in names if one.get(n) != other.get(n) and n not in EXPECTED]


def first_difference(one: bytes, other: bytes) -> str:
    """Return the surroundings of the first byte that differs."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    near = slice(max(0, at - 60), at + 60)
    return f"{one[near]!r}\n    {other[near]!r}"


def main(part: str | None) -> int:
    """Build, compare, report."""
    trees = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            book = copy(Path(folder) / name)
            if part:
                keep_pages(book, part)
            seconds, _ = build(book, SOURCE_DATE_EPOCH="1000000000")
            trees.append(tree(book / "_build" / "html"))
            print(f"{name} build: {len(trees[-1])} files in {seconds:.0f} s")
    bad = differing(*trees)
    for name in bad:
        print(f"  {name}\n    {first_difference(trees[0].get(name, b''), trees[1].get(name, b''))}")
    print(f"{len(bad)} of {len(trees[0])} files differ; {', '.join(sorted(EXPECTED))} may.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
