"""What the values in a traced forward are."""

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
        step: the time step that it belongs to; None: any, it rests on the image alone.
    """

    name: str
    step: int | None


@dataclass(frozen=True)
class Membrane:
    """What a neuron remembers after a step."""

    neuron: str
    step: int


@dataclass(frozen=True)
class Pair:
    """Spikes and membrane, as a neuron returns them."""

    spikes: Signal
    membrane: Membrane


@dataclass(frozen=True)
class Stack:
    """A layer's values over all steps; the name is None where it is no node's."""

    name: str | None
    steps: int


@dataclass(frozen=True)
class State:
    """A membrane that the forward is given."""

    name: str


@dataclass(frozen=True)
class Mark:
    """Something that there is one of."""

    name: str


REST = Mark("a membrane at rest")
SIZE = Mark("the shape of a batch")
BATCH = Mark("the number of samples")


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give every value inside of another one, with the indices that lead to it."""
    if isinstance(value, Pair):
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


def at(value: Any, path: Path) -> Any:
    """Return the value that the indices lead to."""
    for index in path:
        value = value[index]
    return value
