"""Single layers of an ONNX file, cut out of it and run in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..graph.ir import INPUT, Array, Graph, Node
from ..graph.noise import noise_name
from ..parts.models import SUMS
from ..parts.split import split
from .runtime import CPU, OnnxSession
from .states import noise_in_loop, states_of_node


def cut_out(
    model: onnx.ModelProto, graph: onnx.GraphProto, inputs: Iterable[str], outputs: Iterable[str]
) -> onnx.ModelProto | None:
    """Return the part of a graph between two sets of values; None if it reads anything else.

    Args:
        model: whose opsets the part uses.
        graph: of the model, or of a loop in it.
        inputs: names of values, float32; `t` is an int64.
        outputs: names of values.
    """
    inputs, outputs = list(inputs), list(outputs)
    makers = {name: node for node in graph.node for name in node.output}
    constants = {each.name: each for each in graph.initializer}
    used: set[str] = set()
    todo, wanted = [*outputs], set()
    while todo:
        name = todo.pop()
        if name in inputs or name in wanted or not name:
            continue
        wanted.add(name)
        if name in constants:
            used.add(name)
        elif name in makers:
            todo += makers[name].input
        else:
            return None
    nodes = [node for node in graph.node if wanted.intersection(node.output)]
    stated = {each.name: each for each in (*graph.input, *graph.value_info)}
    stated["t"] = helper.make_tensor_value_info("t", TensorProto.INT64, [])
    ins, outs = (
        [stated.get(n) or helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]
        for names in (inputs, outputs)
    )
    part = helper.make_graph(nodes, "part", ins, outs, [constants[name] for name in sorted(used)])
    between = wanted.difference(outputs)
    part.value_info.extend(each for each in graph.value_info if each.name in between)
    return helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)


def layers_of(
    models: Mapping[str, onnx.ModelProto], graph: Graph
) -> tuple[Graph, SequenceLayers | StepLayers | PartLayers]:
    """Return what runs the layers of the models of a form, and the graph that they compute."""
    steps = replace(graph, static=False)
    if "head" in models:
        backbone = models.get("backbone")
        takes_steps = backbone is None or "steps" in [each.name for each in backbone.graph.input]
        read = steps if takes_steps else graph
        return read, PartLayers(models, read)
    if "step" in models:
        return steps, StepLayers(models["step"], models["step"].graph, steps)
    model = models["model"]
    loops = [node for node in model.graph.node if node.op_type == "Scan"]
    if loops:
        body = next(each.g for each in loops[0].attribute if each.name == "body")
        return steps, StepLayers(model, body, steps)
    inputs = [each.name for each in model.graph.input]
    read = steps if "steps" in inputs else graph
    return read, SequenceLayers(model, read)


class SequenceLayers:
    """The layers of a model over all steps."""

    def __init__(self, model: onnx.ModelProto, graph: Graph) -> None:
        self._model, self._graph = model, graph

    def __call__(self, node: Node, given: Mapping[str, Array]) -> Array | None:
        names = {self._name(name): value for name, value in given.items()}
        part = cut_out(self._model, self._model.graph, names, [node.name])
        if part is None:
            return None
        return OnnxSession(part.SerializeToString(), CPU).run(names)[node.name]

    def _name(self, name: str) -> str:
        """Return the value that layers read: the code is an input, or made by the encoder."""
        if name != INPUT:
            return name
        inputs = [each.name for each in self._model.graph.input]
        return "steps" if "steps" in inputs else "code"


class StepLayers:
    """The layers of one step, run in a loop: a model `step`, or the body of a Scan.

    Args:
        model: whose opsets they use.
        body: the graph of one step.
        graph: the network.
        input: what the input of the graph is called.
    """

    def __init__(
        self, model: onnx.ModelProto, body: onnx.GraphProto, graph: Graph, input: str = "x"
    ) -> None:
        self._model, self._body, self._graph, self._input = model, body, graph, input

    def __call__(self, node: Node, given: Mapping[str, Array]) -> Array | None:
        states = states_of_node(self._graph, node)
        after = {state.name: f"{state.name}_after" for state in states}
        called = {INPUT: self._input}
        if self._body is not self._model.graph:
            called[noise_name(node.name)] = noise_in_loop(node.name)
        names = {called.get(name, name): value for name, value in given.items()}
        inputs = [*names, "t", *after]
        part = cut_out(self._model, self._body, inputs, [node.name, *after.values()])
        if part is None:
            return None
        session = OnnxSession(part.SerializeToString(), CPU)
        batch = len(next(iter(given.values()))[0])
        values: dict[str, Array] = {}
        for state in states:
            rest = np.zeros((batch, *state.shape), np.float32)
            if state.start is not None:
                rest = rest + state.start.reshape(1, -1, *[1] * (len(state.shape) - 1))
            values[state.name] = rest
        found = []
        for t in range(len(next(iter(names.values())))):
            step = {name: value[t] for name, value in names.items()}
            out = session.run({**step, "t": np.array(t, np.int64), **values})
            found.append(out[node.name])
            values = {name: out[key] for name, key in after.items()}
        return np.stack(found)


class PartLayers:
    """The layers of the models of a network with an accumulator: those of `head` by window.

    Args:
        models: `backbone` and `head`, or `init`, `step` and `head`.
        graph: the network.
    """

    def __init__(self, models: Mapping[str, onnx.ModelProto], graph: Graph) -> None:
        parts, head = split(graph), models["head"]
        self._sums = parts.sums
        self._backbone: SequenceLayers | StepLayers
        if "backbone" in models:
            self._backbone = SequenceLayers(models["backbone"], parts.backbone)
        else:
            self._backbone = StepLayers(models["step"], models["step"].graph, parts.backbone)
        self._head = StepLayers(head, head.graph, parts.head, SUMS)
        self._nodes = {node.name: node for node in parts.head.nodes}

    def __call__(self, node: Node, given: Mapping[str, Array]) -> Array | None:
        if node.name not in self._nodes:
            return self._backbone(node, given)
        named = {INPUT if name == self._sums else name: value for name, value in given.items()}
        return self._head(self._nodes[node.name], named)
