"""The values in a traced forward, as the importer represents them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Path = tuple[Any, ...]
ALL: Literal["all"] = "all"


@dataclass(frozen=True)
class Signal:
    """The value of a node of the graph.

    Attributes:
        name: of the node, or `input`.
        step: its time step, `[B, ...]`; None if it depends on the image alone, at every step the
            same; `all` for all steps, `[T, B, ...]`.
        merged: of all steps, whether the steps are part of the batch: `[T·B, ...]`.
    """

    name: str
    step: int | Literal["all"] | None
    merged: bool = False


@dataclass(frozen=True)
class Unsqueezed:
    """An image with an axis of size 1 before it, to be repeated over the steps."""

    image: Signal


@dataclass(frozen=True)
class Reduced:
    """The values of all steps, reduced to one, `[B, ...]`: their mean, their sum, or the last."""

    signal: Signal
    kind: Literal["mean", "sum", "last"]


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
    """Membranes of all steps, stacked."""

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
TIME = Sentinel("T")
BATCH = Sentinel("B")
TIMES_BATCH = Sentinel("T·B")


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
