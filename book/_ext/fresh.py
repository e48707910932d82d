"""Read a page again when what its cells run may have changed.

Sphinx reads a page again when its own text changed. The outputs of a page also depend on the
package, on the versions of the libraries, and on the environment variables that choose device and
profile. This extension keeps a fingerprint of all that and, when it changed, reads all pages again.
Some pages (``fresh_always``) are read in every build.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

LIBRARIES = ("numpy", "torch", "matplotlib", "scikit-learn", "sympy", "hypothesis", "myst-nb")
SKIPPED = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def fingerprint(package: Path) -> str:
    """Return a digest of the files of a package, of the libraries and of the environment."""
    digest = hashlib.sha256(sys.version.encode())
    for name in LIBRARIES:
        digest.update(f"{name} {metadata.version(name)}\n".encode())
    for name in sorted(os.environ):
        if name.startswith("NNBOOK_"):
            digest.update(f"{name}={os.environ[name]}\n".encode())
    for path in sorted(package.rglob("*")):
        if path.is_file() and not SKIPPED & set(path.parts):
            digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Return the pages to read although their text did not change."""
    spec = find_spec("nnbook")
    assert spec is not None
    assert spec.origin is not None
    now = fingerprint(Path(spec.origin).parent)
    before, env.nnbook_fingerprint = getattr(env, "nnbook_fingerprint", now), now  # type: ignore[attr-defined]
    again = [page for page in app.config.fresh_always if page in env.found_docs]
    if now != before:
        again += env.found_docs
    return again


def setup(app: Sphinx) -> dict[str, bool]:
    """Ask before each reading."""
    app.add_config_value("fresh_always", [], "")
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
