"""A small book in a temporary folder, with the real configuration and extensions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
FRONT = """---
file_format: mystnb
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
STRICT = ("-W", "-n", "--keep-going")

# a topic that the package does not have, put into a copy of it
TOPIC = '''"""Claims of a topic for tests."""

import numpy as np

from ._core import claim
from ._outcomes import Close
from .domains import Scalar, Vector


def ln(z, eps=0.0):
    centred = z - z.mean()
    with np.errstate(invalid="ignore"):
        return centred / np.sqrt(centred @ centred / len(z) + eps)


@claim("tst-scale", says="Scaling the input keeps the output up to sign.", proof=True,
       given={"z": Vector(2, 8, nonconstant=True), "a": Scalar(-5, 5, nonzero=True)})
def scale(z, a):
    return Close(ln(a * z), np.sign(a) * ln(z))


@claim("tst-shift", says="Adding a number changes nothing.",
       given={"z": Vector(2, 8, nonconstant=True), "c": Scalar(-5, 5)})
def shift(z, c):
    return Close(ln(z + c), ln(z), tol=1e-6)
'''
PROVEN = (
    FRONT
    + """
# Testing

```{prf:theorem} Scale
:label: tst-scale

$\\LNS(az) = \\sign(a)\\,\\LNS(z)$ for $a \\ne 0$.
```

```{prf:proof}
Numerator and denominator are homogeneous.
```

```{code-cell} ipython3
from nnbook.claims import verify

verify("tst-scale")
```

```{code-cell} ipython3
verify("tst-shift")
```
"""
)
LEDGER = """# Ledger

[]{#claim-tst-scale} scale, []{#claim-tst-shift} shift.
"""


@dataclass
class Built:
    """What a build printed and how it ended."""

    code: int
    output: str
    folder: Path

    @property
    def problems(self) -> dict[str, str]:
        """The problems in the last lines, by place; several of one place are joined."""
        head = re.search(r"^The book (failed|was built), with \d+ problems?:$", self.output, re.M)
        found: dict[str, str] = {}
        if head:
            for line in self.output[head.end() :].strip().splitlines():
                place, _, text = line.partition(": ")
                found[place] = f"{found[place]} {text}" if place in found else text
        return found

    @property
    def html(self) -> Path:
        """The folder of the pages."""
        return self.folder / "book" / "_build" / "html"


@dataclass
class SmallBook:
    """A book of a few pages; the first is the root."""

    folder: Path
    pages: dict[str, str]
    topics: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Copy the real configuration and write the pages."""
        book = self.folder / "book"
        for name in ("_ext", "assets"):
            shutil.copytree(
                ROOT / "book" / name, book / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        shutil.copy(ROOT / "book" / "references.bib", book)
        config = (ROOT / "book" / "_config.yml").read_text("utf-8")
        place = "\n  config:\n"
        assert place in config
        config = config.replace(place, f"{place}    claimgate_topics: {list(self.topics)}\n")
        (book / "_config.yml").write_text(config, "utf-8")
        root, *others = self.pages
        toc = f"format: jb-book\nroot: {root}\n" + ("chapters:\n" if others else "")
        toc += "".join(f"- file: {page}\n" for page in others)
        (book / "_toc.yml").write_text(toc, "utf-8")
        for page, text in self.pages.items():
            self.write(page, text)

    def write(self, page: str, text: str) -> None:
        """Write one page."""
        path = self.folder / "book" / f"{page}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def with_topic(self, source: str = TOPIC) -> SmallBook:
        """Give the book a copy of the package with a topic of its own."""
        package = self.folder / "src" / "nnbook"
        if not package.exists():
            shutil.copytree(
                ROOT / "src" / "nnbook", package, ignore=shutil.ignore_patterns("__pycache__")
            )
            core = package / "claims" / "_core.py"
            text = core.read_text("utf-8")
            assert "TOPICS = {\n" in text
            core.write_text(text.replace("TOPICS = {\n", 'TOPICS = {\n    "tst": "testing",\n'))
            (package / "claims" / "testing.toml").write_text("")
        (package / "claims" / "testing.py").write_text(source, "utf-8")
        self.environment["PYTHONPATH"] = str(package.parent)
        return self

    def build(self, *options: str) -> Built:
        """Build with `jupyter-book build book/` and return what came of it."""
        command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/", *options]
        run = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        output = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout)
        return Built(run.returncode, output, self.folder)
