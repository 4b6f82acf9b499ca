"""The length of a time step of a NIR graph, which the format has no field for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ConfigError
from .execution_order import STATEFUL

if TYPE_CHECKING:
    from nir import NIRGraph

LEAKY = ("LI", "LIF", "CubaLI", "CubaLIF")


def require_length(dt: float | None) -> None:
    """Refuse a length of a step that is none.

    Raises:
        ConfigError: it is not a number above 0.
    """
    if dt is not None and not 0 < dt < math.inf:
        raise ConfigError(f"--dt is {dt}", why="it is the length of a step in seconds, above 0")


def needs_dt(graph: NIRGraph) -> bool:
    """Return whether the graph has a node that computes something else with another step."""
    return any(type(node).__name__ in STATEFUL for node in _nodes(graph))


def stated_dt(graph: NIRGraph) -> float | None:
    """Return the step that the metadata of the graph or of its nodes state as `dt`, in seconds;
    None if they state none, or several."""
    all_metadata = [graph.metadata or {}, *(node.metadata or {} for node in _nodes(graph))]
    found = {_positive(metadata["dt"]) for metadata in all_metadata if "dt" in metadata}
    return found.pop() if len(found) == 1 else None


def decided_dt(graph: NIRGraph) -> float | None:
    """Return the step that the parameters of the neurons decide, in seconds; None if they do not.

    It is dt = τ / r, with which a neuron adds its input as it is, v ← (1 - dt/τ) v + x, if that is
    one number for all neurons that leak. They decide nothing where r = 1.
    """
    found: list[np.ndarray] = []
    for node in _nodes(graph):
        kind = type(node).__name__
        if kind in ("I", "IF"):
            return None
        if kind in LEAKY:
            parameters: Any = node
            tau = np.ravel(getattr(parameters, "tau_mem", getattr(parameters, "tau", ())))
            r = np.ravel(parameters.r)
            if (r <= 0).any() or (r == 1).any():
                return None
            found.append(tau / r)
    values = np.concatenate(found) if found else np.zeros(0)
    if not values.size or not np.allclose(values, values[0], rtol=1e-5, atol=0):
        return None
    return _positive(_rounded(float(values[0])))


def _nodes(graph: NIRGraph) -> Iterator[Any]:
    """Yield all nodes, those of nested graphs too."""
    for node in graph.nodes.values():
        if type(node).__name__ == "NIRGraph":
            yield from _nodes(node)  # type: ignore[arg-type]
        else:
            yield node


def _positive(value: Any) -> float | None:
    try:
        number = float(np.asarray(value).item())
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _rounded(value: float) -> float:
    """Return a number without the rounding of float32, such as 1e-4 for 0.00010000001."""
    return float(f"{value:.5g}") if value else value
