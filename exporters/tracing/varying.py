"""Nodes of a layer whose numbers differ from step to step, as nodes with schedules."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from ...core.errors import ConfigError
from ..graph import ir as g


def over_steps_of(where: str, of_steps: list[list[g.Node]], source: str) -> list[g.Node]:
    """Return the nodes of all steps as nodes with parameters for each step.

    Args:
        where: the path of the layer, in errors.
        of_steps: for each step the nodes of the layer; none where it is the identity.
        source: what the layer reads.

    Raises:
        ConfigError: something else than weights, biases, factors and offsets differs.
    """
    most = max(of_steps, key=len)
    if not most:
        return []
    if any(not nodes for nodes in of_steps) and isinstance(most[0], g.ChannelScale):
        one = np.ones_like(most[0].factor)
        identity = replace(most[0], inputs=(source,), factor=one, offset=0 * one)
        of_steps = [nodes or [identity] for nodes in of_steps]
    if len({len(nodes) for nodes in of_steps}) > 1:
        raise _refusal(where)
    return [_joined(where, list(nodes)) for nodes in zip(*of_steps, strict=True)]


def _joined(where: str, nodes: list[g.Node]) -> g.Node:
    first = nodes[0]
    varying: dict[str, Any] = {}
    if any(type(node) is not type(first) for node in nodes):
        raise _refusal(where)
    if isinstance(first, g.Affine):
        sets: list[tuple[g.Array, g.Array]] = []
        of_step = []
        for node in nodes:
            assert isinstance(node, g.Affine)
            pair = (node.weights[0], node.biases[0])
            known = [i for i, own in enumerate(sets) if all(map(np.array_equal, own, pair))]
            of_step.append(known[0] if known else len(sets))
            sets += [] if known else [pair]
        weights, biases = (tuple(part) for part in zip(*sets, strict=True))
        varying = {"weights": weights, "biases": biases, "of_step": tuple(of_step)}
    elif isinstance(first, g.ChannelScale):
        for name in ("factor", "offset"):
            rows = [getattr(node, name) for node in nodes]
            width = max(row.shape[1] for row in rows)
            varying[name] = np.concatenate([np.broadcast_to(row, (1, width)) for row in rows])
        width = max(table.shape[1] for table in varying.values())
        varying = {
            name: np.ascontiguousarray(np.broadcast_to(table, (len(nodes), width)))
            for name, table in varying.items()
        }
    for node in nodes[1:]:
        if not _same(node, first, varying):
            raise _refusal(where)
    return replace(first, **varying)


def _same(node: g.Node, first: g.Node, varying: dict[str, Any]) -> bool:
    """Return whether two nodes are equal but for some fields."""
    return all(
        _equal(getattr(node, field.name), getattr(first, field.name))
        for field in fields(first)
        if field.name not in varying
    )


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return all(map(_equal, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def _refusal(where: str) -> ConfigError:
    return ConfigError(
        f"{where!r} computes something else in other steps",
        why="of layers that differ from step to step, exports have linear layers, convolutions, "
        "batch norms, and sums and products with one number for each channel",
        remedy="use the same layer in every step",
    )
