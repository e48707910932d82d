"""``.. api:: PACKAGE``: all public names of a package, which nobody has to list.

Functions and classes come as a table (`automodule` writes their entries); constants and aliases,
which `automodule` passes over in a package that loads lazily, as entries of their own. Submodules
are left out: they have sections of their own.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.ext.autosummary import Autosummary
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def constant_docs(package: str, name: str, value: Any) -> list[str]:
    """Return the string below the assignment of a constant, in the module that defines it."""
    for module in sorted(m for m in sys.modules if m.startswith(f"{package}.")):
        if vars(sys.modules[module]).get(name) is value:
            docs = ModuleAnalyzer.for_module(module).find_attr_docs()
            if ("", name) in docs:
                return list(docs["", name])
    raise ValueError(f"{package}.{name}: write a string below it that says what it is")


class Api(Autosummary):
    """An autosummary of everything in ``__all__``."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Make the table and the entries of constants."""
        package = self.arguments[0]
        module = importlib.import_module(package)
        public = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
        callables, entries = [], StringList()
        for name, value in public.items():
            if inspect.isroutine(value) or inspect.isclass(value):
                callables.append(f"~{package}.{name}")
            elif not inspect.ismodule(value):
                lines = [f".. py:data:: {package}.{name}", ""]
                lines += [f"   {line}" for line in constant_docs(package, name, value)]
                entries.extend(StringList([*lines, ""], source=package))
        self.content = StringList(callables, source=package)
        table = super().run()
        below = nodes.container()
        self.state.nested_parse(entries, 0, below)
        return [*table, *below.children]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.setup_extension("sphinx.ext.autosummary")
    app.add_directive("api", Api)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
