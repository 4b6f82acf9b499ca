"""Layers of torch as nodes of the graph, for one step; `over_steps` repeats them for T steps.

A batch norm becomes a scale of channels in float64. `fold_norms` folds it into the affine layer
before it, W' = W w / √(v + eps), if nothing else reads that layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ...core.errors import ConfigError
from ..graph import ir as g
from .refusal import refusal


def layer_of(name: str, where: str, source: str, layer: nn.Module, shape: g.Shape) -> g.Node | None:
    """Return a stateless layer as a node; None if it is the identity in evaluation mode.

    Args:
        name: of the node.
        where: the layer's path in its network.
        source: the node that it reads.
        layer: the layer.
        shape: of one sample of its input.

    Raises:
        ConfigError: the graph has no such layer.
    """
    at: dict[str, Any] = {"name": name, "inputs": (source,)}
    kind = type(layer)
    if isinstance(layer, nn.Identity | _DropoutNd):
        return None
    if isinstance(layer, nn.Flatten):
        if layer.start_dim != 1 or layer.end_dim not in (-1, len(shape)):
            raise refusal(where, layer, "it does not flatten complete samples", "use nn.Flatten()")
        return g.Flatten(**at) if len(shape) > 1 else None
    if isinstance(layer, nn.Linear) and kind is nn.Linear:
        return g.Linear(**at, **_affine(layer))
    if isinstance(layer, nn.Conv2d) and kind is nn.Conv2d:
        return g.Conv(**at, **_affine(layer), **_geometry(where, layer))
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        factor, offset = _norm(where, layer)
        return g.ChannelScale(**at, factor=factor[None], offset=offset[None])
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        return g.Pool(**at, **_pool(where, layer))
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return g.Pool(**at, **_adaptive(where, layer, shape))
    raise refusal(
        where,
        layer,
        "the graph has no such layer",
        "use Conv2d, Linear, BatchNorm, AvgPool2d, MaxPool2d, Flatten, snn.Leaky and asnn's "
        "neurons, or give the layer a method lower(graph, name), see 'A layer' in CONTRIBUTING.md",
    )


def fold_norms(nodes: Sequence[g.Node]) -> list[g.Node]:
    """Fold every norm into the affine layer before it, if no other layer reads that one."""
    readers: dict[str, int] = {}
    for node in nodes:
        for source in node.inputs:
            readers[source] = readers.get(source, 0) + 1
    kept: dict[str, g.Node] = {}
    renamed: dict[str, str] = {}
    for node in nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        before = kept.get(node.inputs[0])
        if (
            isinstance(node, g.ChannelScale)
            and isinstance(before, g.Affine)
            and readers[before.name] == 1
        ):
            factor, offset = node.factor[0], node.offset[0]
            weight = before.weights[0] * factor.reshape(-1, *[1] * (before.weights[0].ndim - 1))
            bias = before.biases[0] * factor + offset
            kept[before.name] = replace(before, weights=(_f32(weight),), biases=(_f32(bias),))
            renamed[node.name] = before.name
            readers[before.name] = readers.get(node.name, 0)
        else:
            kept[node.name] = node
    return list(kept.values())


def end_with_readout(nodes: list[g.Node], output: str, shape: g.Shape) -> list[g.Node]:
    """Return the nodes with a readout at the end: the last linear layer, or an added identity."""
    last = nodes[-1]
    if isinstance(last, g.Readout):  # of asnn
        return nodes
    if isinstance(last, g.Linear) and last.name == output:
        weight, bias = last.weights[0], last.biases[0]
        nodes, source, name = nodes[:-1], last.inputs, last.name
    else:
        weight, bias = np.eye(shape[0], dtype=np.float32), np.zeros(shape[0], np.float32)
        source, name = (output,), "readout"
        while any(node.name == name for node in nodes):
            name += "_"
    scale = np.ones(1, np.float32)
    return [*nodes, g.Readout(name=name, inputs=source, weight=weight, bias=bias, scale=scale)]


def over_steps(node: g.Node, steps: int) -> g.Node:
    """Return a node for T steps, in float32: one of a single step is repeated, one of more cut.

    Raises:
        ConfigError: it has parameters for some of the steps only.
    """
    if isinstance(node, g.Affine):
        of_step = _for_steps(node, np.array(node.of_step), steps)
        return replace(node, of_step=tuple(of_step.tolist()))
    if isinstance(node, g.Cell):
        tables = tuple(_f32(_for_steps(node, table, steps)) for table in node.schedules)
        return replace(node, schedules=tables)
    names = {
        g.ChannelScale: ("factor", "offset"),
        g.Neuron: ("leak", "gain", "threshold", "size"),
        g.Readout: ("scale",),
    }.get(type(node), ())
    return replace(
        node, **{name: _f32(_for_steps(node, getattr(node, name), steps)) for name in names}
    )


def _for_steps(node: g.Node, rows: g.Array, steps: int) -> Any:
    if len(rows) == 1:
        rows = np.repeat(rows, steps, axis=0)
    if len(rows) < steps:
        raise ConfigError(
            f"layer {node.name!r} has parameters for {len(rows)} steps, the network makes {steps}",
            remedy=f"build the layer with steps={steps}, or give --steps {len(rows)}",
        )
    return rows[:steps]


def _affine(layer: nn.Conv2d | nn.Linear) -> dict[str, Any]:
    weight = _array(layer.weight)
    bias = np.zeros(len(weight), np.float32) if layer.bias is None else _array(layer.bias)
    return {"weights": (weight,), "biases": (bias,), "of_step": (0,)}


def _geometry(where: str, conv: nn.Conv2d) -> dict[str, Any]:
    padding = conv.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        spans = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        padding = None if any(span % 2 for span in spans) else tuple(s // 2 for s in spans)
    if conv.padding_mode != "zeros" or padding is None:
        why = "its padding is not the same number of zeros on both sides"
        raise refusal(where, conv, why, "pad with zeros, as many on both sides")
    return {
        "stride": _pair(conv.stride),
        "padding": _pair(padding),
        "dilation": _pair(conv.dilation),
        "groups": conv.groups,
    }


def _norm(where: str, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[g.Array, g.Array]:
    """Return factor and offset of a norm in evaluation, float64."""
    if norm.running_mean is None or norm.running_var is None:
        why = "it has no running statistics: its output depends on the other samples"
        raise refusal(where, norm, why, "train with track_running_stats=True")
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    factor = 1 / (variance + norm.eps).sqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.double()
    offset = -mean * factor
    if norm.bias is not None:
        offset = offset + norm.bias.double()
    return factor.detach().cpu().numpy(), offset.detach().cpu().numpy()


def _pool(where: str, pool: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    if pool.ceil_mode:
        raise refusal(where, pool, "ceil_mode: it rounds sizes up", "use ceil_mode=False")
    if isinstance(pool, nn.MaxPool2d):
        if pool.return_indices or _pair(pool.dilation) != (1, 1):
            why = "it returns indices or has a dilation"
            raise refusal(where, pool, why, "use return_indices=False and dilation=1")
    elif pool.divisor_override or (_pair(pool.padding) != (0, 0) and not pool.count_include_pad):
        why = "it does not divide by the size of its window"
        raise refusal(where, pool, why, "use count_include_pad=True and no divisor")
    return {
        "kind": "max" if isinstance(pool, nn.MaxPool2d) else "average",
        "kernel": _pair(pool.kernel_size),
        "stride": _pair(pool.kernel_size if pool.stride is None else pool.stride),
        "padding": _pair(pool.padding),
    }


def _adaptive(where: str, pool: nn.AdaptiveAvgPool2d, shape: g.Shape) -> dict[str, Any]:
    size = pool.output_size
    sizes = (size, size) if isinstance(size, int) or size is None else tuple(size)
    fits = len(shape) == 3
    windows = []
    for before, after in zip(shape[1:], sizes, strict=False):
        after = before if after is None else int(after)
        fits = fits and before % after == 0
        windows.append(before // after)
    if not fits:
        why = f"an image {list(shape)} to {list(sizes)} takes windows of unequal size"
        raise refusal(where, pool, why, "pool to sizes that divide the image")
    return {"kind": "average", "kernel": tuple(windows), "stride": tuple(windows)}


def _pair(value: Any) -> g.Pair:
    height, width = (value, value) if isinstance(value, int) else (value * 2)[:2]
    return int(height), int(width)


def _array(tensor: Tensor) -> g.Array:
    return np.array(tensor.detach().cpu().contiguous().numpy(), np.float32)


def _f32(values: g.Array) -> g.Array:
    return np.asarray(values, np.float32)
