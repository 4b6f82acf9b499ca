"""The search for loops of nirtorch, by which importers read NIR, in less time.

nirtorch 2.6 asks for every edge whether the graph has a path back, and scans all edges at every
node on the way: time grows with the cube of the nodes, 8 s for 400 of them. `fast_search` replaces
that one function by a search that gives the same answer from a table of the edges.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

Edges = Collection[tuple[str, str]]


def path_search() -> Callable[[str, str, Edges], bool]:
    """Return a function of a start, an end and edges that says whether there is a path."""
    tables: dict[int, tuple[Edges, dict[str, list[str]], dict[str, set[str]]]] = {}

    def has_path(start: str, end: str, edges: Edges) -> bool:
        known = tables.get(id(edges))
        if known is None or known[0] is not edges:
            readers: dict[str, list[str]] = {}
            for source, target in edges:
                readers.setdefault(source, []).append(target)
            known = tables[id(edges)] = (edges, readers, {})
        _, readers, reached = known
        if start not in reached:
            found, waiting = {start}, [start]
            while waiting:
                for target in readers.get(waiting.pop(), ()):
                    if target not in found:
                        found.add(target)
                        waiting.append(target)
            reached[start] = found
        return end in reached[start]

    return has_path


@contextlib.contextmanager
def fast_search() -> Iterator[None]:
    """Give nirtorch the faster search inside the block, if it has the function that is replaced."""
    module: Any = None
    with contextlib.suppress(ImportError):
        module = importlib.import_module("nirtorch.nir_interpreter")
    original = getattr(module, "_can_reach", None)
    if original is None:
        yield
        return
    module._can_reach = path_search()
    try:
        yield
    finally:
        module._can_reach = original
