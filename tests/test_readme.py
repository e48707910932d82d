"""What the README tells a newcomer to type is run, and what it names exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_example_runs_as_printed():
    (example,) = blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) <= 16
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "Checked: `ln-scale`" in run.stdout


def test_every_make_target_that_is_named_exists():
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)\b", README))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"book", "test"} <= named
    assert named <= targets


def test_every_file_that_is_named_exists():
    named = set(re.findall(r"`((?:src|tests|book|\.github)/[\w./-]+)`", README))
    named |= set(re.findall(r"\]\((?!https?:)([\w./-]+)\)", README))
    assert [n for n in sorted(named) if not (ROOT / n).exists()] == []
    assert len(named) >= 6


def test_every_environment_variable_is_named():
    source = "".join(p.read_text() for p in (ROOT / "src").rglob("*.py"))
    used = set(re.findall(r"[\"'](NNBOOK_(?:PROFILE|DEVICE|DATA))[\"']", source))
    assert used == set(re.findall(r"`(NNBOOK_(?:PROFILE|DEVICE|DATA))`", README))
