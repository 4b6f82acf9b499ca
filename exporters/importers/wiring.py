"""Which edges of a graph importers delay by a step: what they do where a file has loops.

Both build on nirtorch 2.6. A delayed edge carries the value of the step before, 0 at first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Edge = tuple[str, str]


class Listed(NamedTuple):
    """What `nirtorch.nir_to_torch` does.

    Attributes:
        delayed: edges that carry the step before.
        waited: nodes that it met before their sources.
    """

    delayed: frozenset[Edge]
    waited: frozenset[str]


def wired_by_list(nodes: Mapping[str, str], edges: Sequence[Edge]) -> Listed:
    """Return the delayed edges of `nirtorch.nir_to_torch`: SpikingJelly and snnTorch.

    It takes the nodes in the order of the file. A node waits for its sources, except for those that
    its value reaches: with several in-edges it reads of them the step before.

    Args:
        nodes: the type of each node, by name.
        edges: pairs of names.
    """
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        sources[target].append(source)
        readers[source].append(target)
    inputs = [name for name, kind in nodes.items() if kind == "Input"]
    done, delayed, waited = set(inputs), set(), set()
    waiting = deque(name for name in nodes if name not in done)
    passed = 0  # nodes that had to wait, one after another
    while waiting and passed <= len(waiting):
        name = waiting.popleft()
        missing = [source for source in sources[name] if source not in done]
        own = _reached(readers, name) if missing else set()
        if missing and (len(sources[name]) == 1 or not own.issuperset(missing)):
            waiting.append(name)
            waited.add(name)
            passed += 1
            continue
        delayed |= {(source, name) for source in missing}
        done.add(name)
        passed = 0
    return Listed(frozenset(delayed), frozenset(waited))


def _reached(readers: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Return the nodes that the value of a node reaches."""
    found: set[str] = set()
    todo = [*readers[name]]
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += readers[each]
    return found


def depth_first(nodes: Mapping[str, str], edges: Sequence[Edge]) -> list[str]:
    """Return the order of `nirtorch.load`, of Norse: depth first, each node when it is reached."""
    readers: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        readers[source].append(target)
    order: dict[str, None] = {}
    todo = [name for name, kind in nodes.items() if kind == "Input"][:1]
    while todo:
        name = todo.pop()
        if name not in order:
            order[name] = None
            todo += reversed(readers[name])
    return [*order]


def delayed_in_depth(nodes: Mapping[str, str], edges: Sequence[Edge]) -> frozenset[Edge]:
    """Return the edges that run backward in the order of `nirtorch.load`."""
    place = {name: i for i, name in enumerate(depth_first(nodes, edges))}
    return frozenset((a, b) for a, b in edges if place.get(a, -1) >= place.get(b, -1))
