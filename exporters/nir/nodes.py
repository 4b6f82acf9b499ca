"""Primitive operations as nodes of NIR, in two styles.

- `pure`: Scale and Threshold, as the format defines them.
- `portable`: the same functions in nodes that the importers of SpikingJelly 2.0.0 and snnTorch
  1.0.0 read: a threshold is the first step of a LIF neuron from rest, v = dt/τ x = x/2 for
  τ = 2 dt, with half the threshold; a scale is a diagonal 1x1 convolution or linear layer.
  Neurons have one threshold a layer, convolutions have no groups.

The sum of two in-edges is the same float in either order; the sum of three is not, and importers
sum in any order. So no neuron has more than two in-edges.
"""

from __future__ import annotations

import math
from typing import Literal

import nir
import numpy as np

from ...core.errors import ConfigError
from ..graph.ir import Affine, Array, Conv, Pool, Shape
from .square_kernels import with_square_kernel

Style = Literal["pure", "portable"]
DT = 1e-4  # s, of one time step


class NirBuilder:
    """Builds a NIR graph, node by node.

    Args:
        style: which nodes a scale and a threshold become.
    """

    def __init__(self, style: Style) -> None:
        self.style = style
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, node: nir.NIRNode, *sources: str) -> str:
        """Add a node that reads `sources`, and return its name."""
        assert name not in self.nodes, name
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def one(self, name: str, shape: Shape, sources: tuple[str, ...]) -> str:
        """Return one node whose value is the sum of `sources`; it is added if they are several."""
        if len(sources) == 1:
            return sources[0]
        return self.scale(name, np.ones(1, np.float32), shape, *sources)

    def scale(self, name: str, factor: Array, shape: Shape, *sources: str) -> str:
        """y = factor x, the factor `[1]` or `[C]`, samples of that shape."""
        if self.style == "pure":
            return self.add(name, nir.Scale(_full(factor, shape)), *sources)
        return self.diagonal(name, factor, np.zeros(1, np.float32), shape, *sources)

    def placed(self, name: str, place: Array, shape: Shape, *sources: str) -> str:
        """The features or channels of samples of that shape, where a matrix `[out, in]` of 0 and 1
        puts them."""
        if len(shape) == 1:
            return self.add(name, nir.Linear(np.ascontiguousarray(place)), *sources)
        none = np.zeros(len(place), np.float32)
        return self.add(name, pointwise(place, none, shape), *sources)

    def diagonal(self, name: str, factor: Array, offset: Array, shape: Shape, *sources: str) -> str:
        """y = factor x + offset, each `[1]` or `[C]`."""
        matrix = np.diag(np.broadcast_to(factor, shape[:1]).astype(np.float32))
        bias = np.array(np.broadcast_to(offset, shape[:1]), np.float32)
        if len(shape) == 1:
            if not bias.any():
                return self.add(name, nir.Linear(weight=matrix), *sources)
            return self.add(name, nir.Affine(weight=matrix, bias=bias), *sources)
        return self.add(name, pointwise(matrix, bias, shape), *sources)

    def threshold(self, name: str, level: Array, shape: Shape, *sources: str) -> str:
        """y = H(x - level), the level `[1]` or `[C]`, above 0 in the portable style."""
        if self.style == "pure":
            return self.add(name, nir.Threshold(_full(level, shape)), *sources)
        if (level != level[0]).any():  # one threshold a layer: 1, for the input over its level
            relative = self.scale(f"{name}_relative", 1 / level, shape, *sources)
            return self.threshold(name, np.ones(1, np.float32), shape, relative)
        return self.add(name, one_step_neuron(_full(level, shape)), *sources)

    def max_pool(self, name: str, pool: Pool, after: Shape, source: str) -> str:
        """The maximum of each window of 0 and 1: whether its sum is above 0.

        Importers ignore the padding of a sum-pool, and respect that of an average pool.
        """
        level = np.full(1, 0.5, np.float32)
        if self.style == "portable" and any(pool.padding):
            mean = self.average_pool(f"{name}_mean", pool, source)
            return self.threshold(name, level / math.prod(pool.kernel), after, mean)
        node = nir.SumPool2d(
            kernel_size=np.array(pool.kernel),
            stride=np.array(pool.stride),
            padding=np.array(pool.padding),
        )
        total = self.add(f"{name}_sum", node, source)
        return self.threshold(name, level, after, total)

    def affine(self, name: str, layer: Affine, group: int, before: Shape, *sources: str) -> str:
        """A convolution or linear layer with one of its sets of weights.

        Raises:
            ConfigError: nir cannot infer the shape of the output of a kernel.
        """
        if not isinstance(layer, Conv):
            affine = nir.Affine(layer.weights[group], layer.biases[group])
            return self.add(name, affine, *sources)
        layer = with_square_kernel(layer, before)
        weight, bias, groups = layer.weights[group], layer.biases[group], layer.groups
        if self.style == "portable" and groups > 1:
            weight, groups = ungrouped(weight, groups), 1
        node = nir.Conv2d(
            input_shape=(before[1], before[2]),
            weight=weight,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=groups,
            bias=bias,
        )
        return self.add(name, node, *sources)

    def recurrence(self, name: str, weight: Array, shape: Shape, source: str) -> str:
        """What recurrent weights `[F, F]` or `[C, C, kh, kw]` make of spikes of that shape."""
        if weight.ndim == 2:
            return self.add(name, nir.Linear(np.ascontiguousarray(weight, np.float32)), source)
        sides = weight.shape[2:]
        layer = Conv(
            name=name,
            inputs=(source,),
            weights=(weight.astype(np.float32),),
            biases=(np.zeros(len(weight), np.float32),),
            of_step=(0,),
            padding=(sides[0] // 2, sides[1] // 2),
        )
        return self.affine(name, layer, 0, shape, source)

    def average_pool(self, name: str, pool: Pool, source: str) -> str:
        """The mean of each window."""
        node = nir.AvgPool2d(
            kernel_size=np.array(pool.kernel),
            stride=np.array(pool.stride),
            padding=np.array(pool.padding),
        )
        return self.add(name, node, source)

    def flatten(self, name: str, before: Shape, source: str) -> str:
        """`[C, H, W]` to `[C·H·W]`, by negative axes: importers count the batch too."""
        shape = {"input": np.array(before)}
        node = nir.Flatten(input_type=shape, start_dim=-len(before), end_dim=-1)
        return self.add(name, node, source)

    def cells(self, name: str, before: Shape, source: str) -> str:
        """`[K, H, W]` to `[K, H·W]`."""
        node = nir.Flatten(input_type={"input": np.array(before)}, start_dim=-2, end_dim=-1)
        return self.add(name, node, source)

    def finish(self, metadata: dict[str, object]) -> nir.NIRGraph:
        """Return the graph, without nodes that no other reads: a step that no output follows from,
        which importers would take for an output."""
        used = {name for name, node in self.nodes.items() if isinstance(node, nir.Output)}
        for source, target in reversed(self.edges):  # sources come first
            if target in used:
                used.add(source)
        nodes = {name: node for name, node in self.nodes.items() if name in used}
        edges = [(source, target) for source, target in self.edges if target in used]
        graph = nir.NIRGraph(nodes, edges, type_check=False)
        graph.metadata = metadata
        return graph


def one_step_neuron(level: Array) -> nir.LIF:
    """A LIF neuron that fires in its first step from rest where its input is above the level."""
    same = np.ones_like(level)
    return nir.LIF(
        tau=same * np.float32(2 * DT),
        r=same,
        v_leak=same * 0,
        v_threshold=level / 2,
        v_reset=same * 0,
    )


def pointwise(matrix: Array, bias: Array, shape: Shape) -> nir.Conv2d:
    """A 1x1 convolution `[out, in]` of images of that shape.

    Raises:
        ConfigError: the samples are no images.
    """
    if len(shape) != 3:
        raise ConfigError(
            f"NIR cannot scale or place samples of {len(shape)} axes, {list(shape)}",
            why="its linear layers take features, and its convolutions by channel images",
            remedy="give series [C, L] as images [C, 1, L], or use --format onnx",
        )
    return nir.Conv2d(
        input_shape=(shape[1], shape[2]),
        weight=np.ascontiguousarray(matrix[:, :, None, None], np.float32),
        stride=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        groups=1,
        bias=bias,
    )


def ungrouped(weight: Array, groups: int) -> Array:
    """Return the weights of a grouped convolution for one without groups, mostly zeros."""
    outs, ins = len(weight) // groups, weight.shape[1]
    full = np.zeros((len(weight), ins * groups, *weight.shape[2:]), np.float32)
    for group in range(groups):
        rows = slice(group * outs, (group + 1) * outs)
        full[rows, group * ins : (group + 1) * ins] = weight[rows]
    return full


def _full(values: Array, shape: Shape) -> Array:
    """Broadcast `[1]` or `[C]` to the shape of a sample, as parameters of NIR nodes."""
    by_channel = values.reshape(-1, *[1] * (len(shape) - 1))
    return np.array(np.broadcast_to(by_channel, shape), np.float32)
