"""Random graphs of all nodes of the export graph that one step after another computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from asnn.exporters.graph import ir as g
from asnn.exporters.graph.equations import traced
from asnn.models import spike

T = 3
MAX_VALUES = 400  # of a node


class Maker:
    """Makes nodes with random arrays.

    Attributes:
        rng: of the arrays.
        draw: a choice of hypothesis.
    """

    def __init__(self, draw: Callable[[Any], Any], seed: int) -> None:
        self.draw, self.rng = draw, np.random.default_rng(seed)

    def normal(self, *shape: int, size: float = 1.0) -> g.Array:
        return (size * self.rng.standard_normal(shape)).astype(np.float32)

    def uniform(self, low: float, high: float, *shape: int) -> g.Array:
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.integer(low, high), self.integer(low, high)

    def schedule(self, low: float, high: float, channels: int) -> g.Array:
        """Values `[T, C]` or `[T, 1]`, at times the same at every step."""
        width = self.draw(st.sampled_from([1, channels]))
        rows = self.uniform(low, high, T, width)
        return rows if self.draw(st.booleans()) else np.repeat(rows[:1], T, axis=0)

    def sets(self, *shape: int, outs: int) -> dict[str, Any]:
        """Weights, biases and of_step of one set or two."""
        number = self.integer(1, 2)
        size = 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return {
            "weights": tuple(self.normal(*shape, size=size) for _ in range(number)),
            "biases": tuple(self.normal(outs, size=0.3) for _ in range(number)),
            "of_step": tuple(self.integer(0, number - 1) for _ in range(T)),
        }


def conv(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    groups = m.draw(st.sampled_from([n for n in (1, 2) if shape[0] % n == 0]))
    outs = groups * m.integer(1, 2)
    sets = m.sets(outs, shape[0] // groups, *m.pair(1, 3), outs=outs)
    options = {"stride": m.pair(1, 2), "padding": m.pair(0, 2), "dilation": m.pair(1, 2)}
    return g.Conv(**at, **sets, **options, groups=groups)


def conv_transpose(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    groups = m.draw(st.sampled_from([n for n in (1, 2) if shape[0] % n == 0]))
    outs = groups * m.integer(1, 2)
    sets = m.sets(outs, shape[0] // groups, *m.pair(1, 3), outs=outs)
    return g.ConvTranspose(**at, **sets, stride=m.pair(1, 2), padding=m.pair(0, 1), groups=groups)


def pool(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    kernel = m.pair(1, 3)
    padding = tuple(m.integer(0, size // 2) for size in kernel)
    options = {"kernel": kernel, "stride": m.pair(1, 2), "padding": padding}
    options["ceil_mode"] = m.draw(st.booleans())
    if m.draw(st.booleans()):
        return g.Pool(**at, kind="max", dilation=m.pair(1, 2), **options)
    counts, divisor = m.draw(st.booleans()), m.draw(st.sampled_from([None, 3]))
    return g.Pool(
        **at, kind="average", count_include_pad=counts, divisor_override=divisor, **options
    )


def pad(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    return g.Pad(**at, before=m.pair(0, 1), behind=m.pair(0, 2))


def linear(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    outs = m.integer(1, 5)
    return g.Linear(**at, **m.sets(outs, *shape, outs=outs))


def lstm(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    outs = m.integer(1, 3)
    arrays = m.normal(4 * outs, *shape), m.normal(4 * outs, outs), m.normal(4 * outs)
    return g.Lstm(**at, weight=arrays[0], recurrent=arrays[1], bias=arrays[2])


def recurrent_weights(m: Maker, shape: g.Shape) -> g.Array | None:
    if len(shape) == 2 or not m.draw(st.booleans()):
        return None
    kernel = () if len(shape) == 1 else (1, 3)
    return m.normal(shape[0], shape[0], *kernel, size=0.4)


def neuron(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    channels = shape[0]
    parts = {key: m.schedule(0.3, 1.1, channels) for key in ("leak", "gain", "threshold", "size")}
    width = max(part.shape[1] for part in parts.values())
    parts = {key: np.repeat(part, width // part.shape[1], 1) for key, part in parts.items()}
    reset = m.draw(st.sampled_from(["subtract", "zero", "none"]))
    synapse = m.uniform(0, 1, m.draw(st.sampled_from([1, channels])))
    kind: dict[str, Any] = {"reset": reset}
    if reset == "subtract" and m.draw(st.booleans()):
        kind["most"] = 3
    if reset == "none" and m.draw(st.booleans()):
        kind["once"] = True
    return g.Neuron(
        **at, **parts, **kind, recurrent=recurrent_weights(m, shape),
        synapse=synapse if m.draw(st.booleans()) else None,
    )  # fmt: skip


def cell(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    by_channel = (shape[0], *[1] * (len(shape) - 1))
    leak = torch.from_numpy(m.uniform(0, 1, *by_channel))
    levels = torch.from_numpy(m.uniform(0.2, 0.6, T, *by_channel))
    weight = recurrent_weights(m, shape)

    def step(x: Any, s: Any, v: Any, level: Any) -> tuple[Any, ...]:
        v = (1 - s) * (leak * v + torch.tanh(x))
        s = spike(v - level)
        return s, s, v

    return traced(
        g.Cell, at["name"], at["inputs"], step, ["s", "v"], {"level": levels}, T,
        None if weight is None else torch.from_numpy(weight),
    )  # fmt: skip


def dynamics(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    leak = torch.from_numpy(m.uniform(0, 1, shape[0], *[1] * (len(shape) - 1)))

    def step(x: Any, v: Any, w: Any) -> tuple[Any, ...]:
        v = leak * v + x - w / 2
        return torch.sigmoid(v) - w, v, torch.relu(x) / 3

    return traced(g.Dynamics, at["name"], at["inputs"], step, ["v", "w"], {}, T)


def function(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    mask = torch.from_numpy(m.uniform(-1, 1, *shape))

    def of(x: Any) -> Any:
        return torch.sigmoid(x) * mask + (x - mask).abs().clamp(max=2)

    return traced(g.Dynamics, at["name"], at["inputs"], of, [], {}, T)


def filtered(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    poles = m.uniform(0, 1, m.integer(1, 2), m.draw(st.sampled_from([1, shape[0]])))
    start = m.draw(st.sampled_from([None, m.normal(shape[0])]))
    return g.Filter(**at, poles=poles, gain=m.uniform(0.5, 1, 1), start=start)


def scale(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    factor = m.schedule(0.5, 1.5, shape[0])
    return g.ChannelScale(**at, factor=factor, offset=m.uniform(-1, 1, *factor.shape))


def layer_norm(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    over = m.integer(1, len(shape))
    axes = shape[len(shape) - over :]
    weight, bias = (m.draw(st.sampled_from([None, m.normal(*axes)])) for _ in range(2))
    return g.LayerNorm(**at, over=over, weight=weight, bias=bias, eps=0.1)


def group_norm(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    groups = m.draw(st.sampled_from([n for n in (1, 2, 3) if shape[0] % n == 0]))
    weight, bias = (m.draw(st.sampled_from([None, m.normal(shape[0])])) for _ in range(2))
    return g.GroupNorm(**at, groups=groups, weight=weight, bias=bias, eps=0.1)


def reshape(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    values = int(np.prod(shape))
    first = m.draw(st.sampled_from([n for n in range(1, 7) if values % n == 0]))
    rest = values // first
    return g.Reshape(**at, to=m.draw(st.sampled_from([(first, rest), (first, 1, rest)])))


def transpose(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    return g.Transpose(**at, axes=tuple(m.draw(st.permutations(range(len(shape))))))


def shift(m: Maker, at: dict[str, Any], shape: g.Shape) -> g.Node:
    return g.Shift(**at, by=1)


def plain(kind: Any, **options: Any) -> Callable[..., g.Node]:
    return lambda m, at, shape: kind(**at, **options)


OF_IMAGES = [conv, conv_transpose, pool, pad]
OF_FEATURES = [linear, lstm]
OF_ALL = [
    neuron, neuron, cell, dynamics, function, filtered, scale, layer_norm, group_norm, reshape,
    transpose, shift, plain(g.Relu), plain(g.Tanh, scale=0.5), plain(g.Flatten),
]  # fmt: skip


@st.composite
def graphs(draw: Callable[[Any], Any], nodes: int = 7) -> g.Graph:
    """A graph whose nodes read the last node, and at times another one of the same shape."""
    m = Maker(draw, draw(st.integers(0, 2**16)))
    shape = draw(st.sampled_from([(4,), (2, 6), (2, 4, 5)]))
    found: list[g.Node] = []
    graph = g.Graph((), shape, T, static=draw(st.booleans()))
    last = g.INPUT
    for i in range(draw(st.integers(1, nodes))):
        now = graph.shapes[last]
        others = [name for name, each in graph.shapes.items() if each == now]
        kinds = OF_ALL + {1: OF_FEATURES, 2: [], 3: OF_IMAGES}[len(now)]
        name = f"n{i}"
        kind = draw(st.integers(0, len(kinds) + 2))
        if kind < len(kinds):
            node = kinds[kind](m, {"name": name, "inputs": (last,)}, now)
        else:
            join = [g.Add, g.Product, g.Concat][kind - len(kinds)]
            node = join(name=name, inputs=(last, draw(st.sampled_from(others))))
        try:
            size = int(np.prod(node.shape([graph.shapes[each] for each in node.inputs])))
        except Exception:  # of an image smaller than the kernel
            continue
        if size > MAX_VALUES:
            continue
        found.append(node)
        last = name
        graph = g.Graph(tuple(found), shape, T, static=graph.static)
    return graph
