"""Which importer runs which NIR file exactly, by the facts of `exporters.importers`.

`asnn export --target NAME` refuses a file that the importer would misread. Every feature of a graph
was measured alone; docs/conformance.md shows the table and names the command that measures again.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir

from ...core.errors import ConfigError, DataError
from ...core.registry import unknown
from ..importers.facts import Facts, read_facts
from ..importers.features import FEATURES, TYPES, FlatGraph

VERBS = {"refused": "refuses", "fails": "fails on", "does": "does not come to an end with"}


@dataclass(frozen=True)
class Target:
    """An importer of NIR that asnn runs.

    Attributes:
        name: for `--target`.
        facts: what it does with each feature of a graph.
    """

    name: str
    facts: Facts

    @property
    def version(self) -> str:
        """The version that was measured."""
        return self.facts.version

    @property
    def reads(self) -> frozenset[str]:
        """The types of nodes that it runs exactly, in their plainest form."""
        return frozenset({"Input", "Output", *filter(self.facts.runs, TYPES)})


TARGETS = {
    name: Target(name, facts)
    for name, facts in read_facts().items()
    if name in ("snntorch", "spikingjelly", "norse")
}


def find_target(name: str) -> Target:
    """Return a target by name.

    Raises:
        ConfigError: there is no target of that name.
    """
    if name not in TARGETS:
        raise unknown("target", name, list(TARGETS))
    return TARGETS[name]


def problems(graph: nir.NIRGraph, target: Target) -> list[str]:
    """Return the reasons why an importer would not run a graph exactly; empty if it would."""
    try:
        flat = FlatGraph(graph)
    except DataError as error:
        return [error.what]
    unread = sorted({*flat.kinds.values()} - target.reads)
    found = [f"it does not read {', '.join(unread)}"] if unread else []
    for name, feature in FEATURES.items():
        if not target.facts.runs(name):
            outcome = target.facts.outcomes.get(name, "refused")
            verb = VERBS.get(outcome.split()[0], "is wrong for")
            found += [f"it {verb} {words}" for words in feature.found(flat)]
    return found


def check_target(graph: nir.NIRGraph, name: str) -> None:
    """Refuse a graph that a target would not run exactly.

    Raises:
        ConfigError: the target is unknown, or would misread the graph.
    """
    target = find_target(name)
    found = problems(graph, target)
    if found:
        raise ConfigError(
            f"{name} {target.version} would not run this file exactly",
            why="\n".join(found[:5]),
            remedy="choose another --form or --target: docs/conformance.md lists which runs what",
        )
