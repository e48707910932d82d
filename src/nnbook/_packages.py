"""Packages whose functions may have the name of the file that they, or others, are in."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType


def keep_names(package: str, file: str) -> None:
    """Let the names that a package exports win over its files of the same name.

    Python binds each file of a package that is imported as an attribute of the package. A function
    of the same name, which the package's stub says it exports, would then be hidden: whether
    ``nnbook.scratch.conv2d`` is the function or the file would hang on what was imported before.

    Args:
        package: the name of the package, ``__name__`` in it.
        file: its ``__file__``; the stub beside it lists the exported names.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text("utf-8"))
    imports = (node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module)
    exported = {alias.asname or alias.name for node in imports for alias in node.names}

    class Package(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            if not (name in exported and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

    sys.modules[package].__class__ = Package
