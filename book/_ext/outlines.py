"""Number figures and statements without loading every page again.

Sphinx numbers them anew in each build and loads every page for it, whole, though it looks only at
sections, tables of contents and what bears a number. Here these alone are kept, with the
environment, for as long as the page's own file is the same. What sphinx-exercise keeps of each
exercise is cut to what it uses, so that the environment holds no whole page.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    Load = Callable[[str], nodes.document]


def kind(env: BuildEnvironment, node: nodes.Node) -> str | None:
    """Return the kind of number that a node bears ("figure", "theorem"), as Sphinx decides it."""
    for domain in env.domains.values():
        found = domain.get_enumerable_node_type(node)
        untitled = domain.name == "std" and not domain.get_numfig_title(node)  # type: ignore[attr-defined]
        if found and not untitled:
            return found
    return None


def outline(env: BuildEnvironment, parent: nodes.Element) -> Iterator[nodes.Element]:
    """Yield copies of what bears or orders numbers below a node, without the rest."""
    for child in parent.children:
        if not isinstance(child, nodes.Element):
            continue
        if isinstance(child, addnodes.toctree):
            yield child.copy()
        elif isinstance(child, nodes.section):
            yield type(child)("", *outline(env, child), **child.attributes)
        elif (number := kind(env, child)) is None:
            yield from outline(env, child)
        else:
            titles = [c.deepcopy() for c in child if isinstance(c, nodes.caption | nodes.title)]
            short = child.copy()
            short.extend([*titles, *outline(env, child)])
            # what a kind is known by may be more than its title: then all of it
            yield short if kind(env, short) == number else child.deepcopy()


def load(env: BuildEnvironment, whole: Load, docname: str) -> nodes.Element:
    """Return the outline of a page: the kept one if its file is the same, else a new one."""
    kept: dict[str, tuple[Any, nodes.Element]] = env.__dict__.setdefault("nnbook_outlines", {})
    file = Path(env.doctreedir, f"{docname}.doctree").stat()
    stamp = (file.st_mtime_ns, file.st_size)
    if docname not in kept or kept[docname][0] != stamp:
        kept[docname] = (stamp, detached(nodes.Element("", *outline(env, whole(docname)))))
    return kept[docname][1]


def detached(node: nodes.Element) -> nodes.Element:
    """Cut what ties a node and those below it to the page that they come from, and return it."""
    node.parent = None
    for part in node.findall():
        part._document = None
    return node


def cut_exercises(app: Sphinx, env: BuildEnvironment) -> None:
    """Keep of each exercise and solution its label and title: no more of them is used."""
    for entry in env.__dict__.get("sphinx_exercise_registry", {}).values():
        node = entry["node"]
        short = node.copy()
        short.extend(child.deepcopy() for child in node.children[:1])
        entry["node"] = detached(short)


def begin(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """While numbers are given, let pages be loaded as outlines."""
    env.get_doctree = partial(load, env, env.get_doctree)  # type: ignore[method-assign]
    return []


def end(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """From here on, let pages be loaded whole, and forget those that are gone."""
    del env.get_doctree
    kept = env.__dict__.get("nnbook_outlines", {})
    for docname in set(kept) - set(env.found_docs):
        del kept[docname]
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Stand around Sphinx's own listener, which gives the numbers."""
    app.connect("env-updated", cut_exercises)
    app.connect("env-get-updated", begin, priority=499)
    app.connect("env-get-updated", end, priority=501)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
