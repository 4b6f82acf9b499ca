"""The values in a traced forward, as the importer represents them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Signal:
    """The value of a node of the graph.

    Attributes:
        name: of the node, or `input`.
        step: its time step; None if it depends on the image alone, at every step the same.
    """

    name: str
    step: int | None


@dataclass(frozen=True)
class Membrane:
    """The membrane of a neuron after a step."""

    neuron: str
    step: int


@dataclass(frozen=True)
class NeuronOutput:
    """Spikes and membrane, as a neuron returns them."""

    spikes: Signal
    membrane: Membrane


@dataclass(frozen=True)
class Stack:
    """The values of a node over all steps, stacked; the name is None for membranes."""

    name: str | None
    steps: int


@dataclass(frozen=True)
class State:
    """A membrane that the forward takes as an argument."""

    name: str


@dataclass(frozen=True)
class Sentinel:
    """A value that is known by its name alone."""

    name: str


REST = Sentinel("a membrane at rest")
SIZE = Sentinel("the shape of a batch")
BATCH = Sentinel("the number of samples")


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every leaf of nested tuples, lists and dicts, with its path of indices."""
    if isinstance(value, NeuronOutput):
        yield (*path, 0), value.spikes
        yield (*path, 1), value.membrane
    elif isinstance(value, tuple | list):
        for i, part in enumerate(value):
            yield from leaves(part, (*path, i))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    else:
        yield path, value


def item_at(value: Any, path: Path) -> Any:
    """Return the value at a path of indices."""
    for index in path:
        value = value[index]
    return value
