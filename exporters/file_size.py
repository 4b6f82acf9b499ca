"""Networks whose weights are too large for a file are refused before they are written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.errors import ConfigError
from ..core.units import size
from ..formats.files import MAX_SIZE
from .graph.ir import Array, Graph
from .graph.quantisation import Weights

BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


def require_size(graph: Graph, format: str, weights: Weights = "fp32") -> None:
    """Refuse a graph whose weights do not fit into a file.

    A protobuf message, and so an ONNX file without others beside it, ends at 2 GiB. So do the NIR
    files that asnn reads, to verify them.

    Raises:
        ConfigError: names the size, and storage of weights that fits.
    """
    values = sum(array.size for array in _arrays(graph))
    if values * BYTES[weights] <= MAX_SIZE:
        return
    fits = [kind for kind, each in BYTES.items() if values * each <= MAX_SIZE]
    smaller = " or ".join(f"--weights {kind} ({size(values * BYTES[kind])})" for kind in fits)
    raise ConfigError(
        f"the weights of the network take {size(values * BYTES[weights])}",
        why=f"a file of {format.upper()} holds at most {size(MAX_SIZE)}",
        remedy=(smaller if format == "onnx" else f"use --format onnx {smaller}" if smaller else "")
        or "export the network in parts, each a module of its own",
    )


def _arrays(graph: Graph) -> Iterator[Array]:
    """Yield the arrays of all nodes, each once."""
    seen: set[int] = set()
    for node in graph.nodes:
        for value in vars(node).values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, np.ndarray) and id(part) not in seen:
                    seen.add(id(part))
                    yield part
