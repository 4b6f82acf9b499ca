"""Both parts of a network with an accumulator in ONNX: `backbone` and `head`.

`backbone` runs once, from the samples or their code to the sums of all windows, which are whole
numbers. `head` runs once a window. `asnn.exporters.onnx.runtime.run_parts` is the loop.
"""

from __future__ import annotations

from dataclasses import replace

import onnx
from onnx import TensorProto, helper

from ...coding.base import Coding
from ..graph.ir import Graph
from ..graph.quantisation import Weights
from ..onnx.builder import BATCH, Builder, value
from ..onnx.encoder import add_encoder
from ..onnx.layers import all_steps, one_step
from .split import split

SUMS = "sums"
SPIKES = "spikes_out"  # layers are called spikes


def parts_of(
    graph: Graph, coding: Coding, input: str, weights: Weights
) -> dict[str, onnx.GraphProto]:
    """Return the graphs of `backbone` and `head`.

    Args:
        graph: the network.
        coding: becomes part of the backbone if its input is an image.
        input: `image` or `spikes`, the encoded steps.
        weights: how weights are stored.

    Raises:
        ConfigError: the network does not come in two parts, or the code has no form in ONNX.
    """
    parts = split(graph)
    return {
        "backbone": _backbone(parts.backbone, coding, input, weights),
        "head": head_of(parts.head, weights),
    }


def _backbone(graph: Graph, coding: Coding, input: str, weights: Weights) -> onnx.GraphProto:
    b = Builder(weights)
    if input == "image":
        info = value("image", [BATCH, *graph.in_shape])
        code = add_encoder(b, coding, "image", "code")
    else:
        info, code = value("steps", [graph.steps, BATCH, *graph.in_shape]), "steps"
        graph = replace(graph, static=False)  # a code from outside may differ from step to step
    b.op("Identity", [all_steps(b, graph, code)], SUMS)
    text = (
        f"The spiking part of a network, over {graph.steps} time steps: `sums` are the numbers of "
        f"spikes of each of {graph.outputs} windows of {graph.steps // graph.outputs} steps. "
    )
    outputs = [value(SUMS, [graph.outputs, BATCH, *graph.output_shape])]
    found = helper.make_graph(
        b.nodes, "asnn_backbone", [info], outputs, b.initializers, doc_string=text
    )
    found.value_info.extend(b.shapes)
    return found


def head_of(graph: Graph, weights: Weights) -> onnx.GraphProto:
    """Return the graph of `head`, of the part that reads the sums of a window."""
    b = Builder(weights)
    logits, _ = one_step(b, graph, SUMS, "t", {})
    b.op("Identity", [logits], "logits")
    inputs = [value("t", [], TensorProto.INT64), value(SUMS, [BATCH, *graph.in_shape])]
    text = (
        f"The part of a network that reads the sums of one window, t = 0 .. {graph.steps - 1}. "
        "The answer so far is the mean of the `logits` of the windows so far."
        if graph.answer.kind == "mean"
        else f"The part of a network that reads the sums of one window, t = 0 .. {graph.steps - 1}."
    )
    outputs = [value("logits", [BATCH, *graph.output_shape])]
    return helper.make_graph(b.nodes, "asnn_head", inputs, outputs, b.initializers, doc_string=text)
