"""The forms of a network in ONNX.

- `sequence`: one model from a batch of images (or of encoded steps) to logits.
- `stream`: two models, `init` and `step`; states (membranes, and spikes for recurrent weights)
  are inputs and outputs of `step`, which is the same graph for all steps.
- `scan`: one model over any number of steps, with ONNX's Scan.
- `parts`: two models of a network with an accumulator, `backbone` and `head`, see
  `exporters.parts`; in the form `stream` it has `init`, `step` and `head`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...coding.base import Coding
from ...core.errors import ConfigError
from .. import form_names
from ..graph.ir import Accumulate, Dynamics, Graph, Shift
from ..graph.noise import noise_name
from ..graph.quantisation import Weights
from ..parts.models import SPIKES, SUMS, head_of, parts_of
from ..parts.split import split, without_sums
from .answer import add_answer, add_crossed
from .builder import BATCH, OPSETS, Builder, model_of, value
from .encoder import add_encoder
from .layers import all_steps, one_step
from .states import State, noise_in_loop, states_of

if TYPE_CHECKING:
    from ..boxes.rule import BoxRule

Form = Literal["sequence", "stream", "scan", "parts"]
Input = Literal["image", "spikes"]
FORMS = form_names.FORMS["onnx"]
INPUTS = ("image", "spikes")
OPSET = 20
# Names of values of a file that are not those of layers.
RESERVED = {
    "all_steps", "answer", "batch", "code", "count", "crossed", "decided", "decision_step",
    "detections", "first", "image", "last_t", "logits", "logits_per_step", "logits_sum", "none",
    "one", "step_logits", "steps", "steps_made", "steps_number", "t", "t_after", "wanted", "x",
}  # fmt: skip

BETWEEN = (SPIKES, SUMS)  # of the parts of a network with an accumulator


def build_models(
    graph: Graph,
    coding: Coding,
    *,
    form: Form = "sequence",
    input: Input = "image",
    opset: int = OPSET,
    weights: Weights = "fp32",
    boxes: BoxRule | None = None,
) -> dict[str, onnx.ModelProto]:
    """Return the models of a form by name: `model`, `init` and `step`, or `backbone` and `head`.

    Args:
        graph: the network.
        coding: becomes part of the model if the input is an image.
        form: `sequence`, `stream`, `scan` or `parts`.
        input: `image` `[N, C, H, W]` in [0, 1], or `spikes`: encoded steps `[T, N, C, H, W]`.
        opset: version of ONNX's operators, 17 to 25.
        weights: how weights are stored.
        boxes: how boxes follow from the answer, which are then an output; form `sequence` only.

    Raises:
        ConfigError: the opset is not supported, or the coding has no form in ONNX.
    """
    if opset not in OPSETS:
        raise ConfigError(
            f"opset {opset} is not supported", why=f"supported are {OPSETS[0]} to {OPSETS[-1]}"
        )
    reserved = {*RESERVED, *graph.noise, *(BETWEEN if graph.outputs < graph.steps else ())}
    taken = [node.name for node in graph.nodes if node.name in reserved]
    if taken:
        raise ConfigError(
            f"a layer is called {taken[0]!r}, which a value of the ONNX file is called too",
            remedy="give the layer another name",
        )
    ahead = next((node for node in graph.nodes if node.looks_ahead), None)
    if ahead is not None and form not in ("sequence", "parts"):
        shifted = isinstance(ahead, Shift)
        raise ConfigError(
            f"layer {ahead.name!r} looks ahead, the form {form} computes one step after another",
            why="it reads the next step"
            if shifted
            else "least squares solve for all steps at once",
            remedy="use --form sequence" + ", or train with model.causal=true" * shifted,
        )
    windows = [node.name for node in graph.nodes if isinstance(node, Accumulate)]
    if windows and form == "scan":
        raise ConfigError(
            f"layer {windows[0]!r} sums windows of steps, the form {form} has an output at each",
            why="the layers after it run once a window",
            remedy="use --form stream or parts, whose last file a loop runs once a window, or "
            "--form sequence",
        )
    make = {"sequence": _sequence, "stream": _stream, "scan": _scan, "parts": parts_of}[form]
    if boxes is not None and form != "sequence":
        raise ConfigError(
            f"the form {form} has no boxes",
            why="they follow from the answer after the last step",
            remedy="use --form sequence, or leave --nms out",
        )
    options: dict[str, Any] = {} if boxes is None else {"boxes": boxes}
    graphs = make(graph, coding, input, weights, **options)
    about = metadata(graph, form, input, weights, opset)
    if boxes is not None:
        about["detections"] = json.dumps(boxes.about(), sort_keys=True)
    models = {name: model_of(part, opset, about) for name, part in graphs.items()}
    for model in models.values():
        onnx.checker.check_model(model, full_check=True)
    return models


def _sequence(
    graph: Graph, coding: Coding, input: Input, weights: Weights, boxes: BoxRule | None = None
) -> dict[str, onnx.GraphProto]:
    b = Builder(weights)
    info, code, graph = _code(b, graph, coding, input)
    logits = all_steps(b, graph, code)
    outputs = _outputs(b, graph, logits)
    if boxes is not None:
        from ..boxes.onnx import add_boxes

        outputs.append(add_boxes(b, boxes, "logits", BATCH))
    text = f"{_kind(graph)} over {graph.steps} time steps. {_about_answer(graph)}"
    inputs = [info, *_noise(graph, graph.steps, BATCH)]
    model = _graph(b, "asnn", text + _about_input(graph, input), inputs, outputs)
    model.value_info.extend(b.shapes)
    return {"model": model}


def _code(
    b: Builder, graph: Graph, coding: Coding, input: Input
) -> tuple[onnx.ValueInfoProto, str, Graph]:
    """Return the input, the code computed from it, and the graph that reads the code."""
    if input == "image":
        info = value("image", [BATCH, *graph.in_shape])
        return info, add_encoder(b, coding, "image", "code"), graph
    info = value("steps", [graph.steps, BATCH, *graph.in_shape])
    # A code from outside may differ from step to step.
    return info, "steps", replace(graph, static=False)


def _noise(graph: Graph, *axes: int | str) -> list[onnx.ValueInfoProto]:
    """Return the inputs of uniform numbers, with these axes before those of a sample."""
    return [value(name, [*axes, *each.shape]) for name, each in graph.noise.items()]


def _outputs(b: Builder, graph: Graph, logits: str) -> list[onnx.ValueInfoProto]:
    b.op("Identity", [logits], "logits_per_step")
    steps = b.constant("steps_number", np.float32(graph.outputs))
    answer, *decision = add_answer(b, graph, steps, BATCH, graph.answer_noise)
    return [
        answer,
        value("logits_per_step", [graph.outputs, BATCH, *graph.output_shape]),
        *decision,
    ]


def _stream(
    graph: Graph, coding: Coding, input: Input, weights: Weights
) -> dict[str, onnx.GraphProto]:
    graph = replace(graph, static=False)
    if graph.outputs < graph.steps:
        parts = split(graph)
        backbone = without_sums(parts)
        return {
            "init": _init(backbone, coding, input),
            "step": _step(backbone, weights, SPIKES),
            "head": head_of(parts.head, weights),
        }
    return {
        "init": _init(graph, coding, input),
        "step": _step(graph, weights),
    }


def _init(graph: Graph, coding: Coding, input: Input) -> onnx.GraphProto:
    b = Builder()
    outputs = []
    if input == "image":
        source = value("image", [BATCH, *graph.in_shape])
        code = add_encoder(b, coding, "image", "code")
        shape = [graph.steps, BATCH, *graph.in_shape]
        if coding.static:
            times = b.integers(graph.steps, *[1] * (len(shape) - 1))
            b.op("Tile", [code, times], "steps")
        else:
            b.op("Identity", [code], "steps")
        outputs.append(value("steps", shape))
        text = "Encodes images into `steps`, and returns the membranes at rest."
    else:
        source = value("x", [BATCH, *graph.in_shape])
        text = "Returns the membranes at rest for the batch size of `x`, one step of the code."
    batch = b.op("Shape", [source.name], "batch", start=0, end=1)
    states = states_of(graph)
    outputs += _at_rest(b, states, batch, [state.name for state in states])
    return _graph(b, "asnn_init", text, [source], outputs)


def _at_rest(
    b: Builder, states: list[State], batch: str, names: list[str]
) -> list[onnx.ValueInfoProto]:
    """Add states at rest for a batch size `[1]`, under these names; return their ValueInfos."""
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    infos, sizes = [], {}
    for state, name in zip(states, names, strict=True):
        if state.node not in sizes:
            shape = b.integers(*state.shape)
            at = f"{state.node}/sizes"
            sizes[state.node] = b.op("Concat", [batch, shape], at, axis=0)
        if state.start is None:
            b.op("ConstantOfShape", [sizes[state.node]], name, value=zero)
        else:
            start = state.start.reshape(-1, *[1] * (len(state.shape) - 1))
            start = b.constant(f"{state.node}.start", start)
            b.op("Expand", [start, sizes[state.node]], name)
        infos.append(value(name, [BATCH, *state.shape]))
    return infos


def _step(graph: Graph, weights: Weights, output: str = "logits") -> onnx.GraphProto:
    b = Builder(weights)
    states = states_of(graph)
    logits, after = one_step(b, graph, "x", "t", {state.name: state.name for state in states})
    b.op("Identity", [logits], output)
    outputs = [
        value(output, [BATCH, *graph.output_shape]),
        *add_crossed(b, graph, output, graph.answer_noise),
    ]
    inputs = [value("t", [], TensorProto.INT64), value("x", [BATCH, *graph.in_shape])]
    inputs += _noise(graph, BATCH)
    for state in states:
        shape = [BATCH, *state.shape]
        inputs.append(value(state.name, shape))
        b.op("Identity", [after[state.name]], f"{state.name}_after")
        outputs.append(value(f"{state.name}_after", shape))
    text = (
        f"One time step of {_kind(graph).lower()}, t = 0 .. {graph.steps - 1}: "
        "`x` is that step of the code, `v_*` are the membranes before it and `v_*_after` those "
        "after it. "
    )
    if output == "logits":
        text += _about_answer_of_steps(graph)
    else:
        text += f"Sums of the `{output}` of a window are what the file of the head reads."
    if any(state.name.startswith("s_") for state in states):
        text += " `s_*` are the spikes of the step before, which recurrent weights read."
    if any(state.name.startswith("fired_") for state in states):
        text += " `fired_*` are 1 where a neuron has fired, which it does once."
    if any(state.name.startswith("h_") for state in states):
        text += " `h_*` and `c_*` are outputs and cells of LSTM layers."
    if any(state.name.startswith("f1_") for state in states):
        text += " `f*_*` are states of filters over time."
    if any(state.name.startswith("d_") for state in states):
        text += " `d_*` are values of the step before."
    if graph.noise:
        text += " `noise.*` are uniform numbers of the step, from 0 to below 1."
    if any(state.name.startswith("i_") for state in states):
        text += " `i_*` are synaptic currents."
    if any(isinstance(node, Dynamics) for node in graph.nodes):
        text += " Others are states of neurons with equations of their own."
    return _graph(b, "asnn_step", text, inputs, outputs)


def _scan(
    graph: Graph, coding: Coding, input: Input, weights: Weights
) -> dict[str, onnx.GraphProto]:
    b = Builder(weights)
    info, code, _ = _code(b, graph, coding, input)
    inputs = [info]
    graph = replace(graph, static=False)
    if input == "image":
        if coding.static:
            times = b.integers(graph.steps, *[1] * (len(graph.in_shape) + 1))
            code = b.op("Tile", [code, times], "all_steps")
        inputs.append(value("count", [1], TensorProto.INT64))
        code = b.op("Slice", [code, b.integers(0), "count", b.integers(0)], "wanted")
    else:
        inputs = [value("steps", ["steps", BATCH, *graph.in_shape])]
    inputs += _noise(graph, "steps", BATCH)
    noise = {name: name for name in graph.noise}
    if input == "image":
        for name in noise:
            noise[name] = b.op(
                "Slice", [name, b.integers(0), "count", b.integers(0)], f"{name}/wanted"
            )
    batch = b.op("Shape", [code], "batch", start=1, end=2)
    states = states_of(graph)
    _at_rest(b, states, batch, [state.at_rest for state in states])
    first = b.constant("first", 0, np.int64)
    body = Builder(weights)
    before = {state.name: state.name for state in states}
    logits, after = one_step(body, graph, "x", "t", before, noise_in_loop)
    one = body.constant("step_size", 1, np.int64)
    names = [body.op("Add", ["t", one], "t_after")]
    ins = [value("t", [], TensorProto.INT64)]
    outs = [value("t_after", [], TensorProto.INT64)]
    for state in states:
        shape = [BATCH, *state.shape]
        ins.append(value(state.name, shape))
        names.append(body.op("Identity", [after[state.name]], f"{state.name}_after"))
        outs.append(value(names[-1], shape))
    ins.append(value("x", [BATCH, *graph.in_shape]))
    drawing = [node for node in graph.neurons if noise_name(node.name) in noise]
    ins += [value(noise_in_loop(each.name), [BATCH, *graph.shapes[each.name]]) for each in drawing]
    body.op("Identity", [logits], "step_logits")
    outs.append(value("step_logits", [BATCH, *graph.output_shape]))
    loop = helper.make_graph(body.nodes, "step", ins, outs, body.initializers)
    starts = [first, *(state.at_rest for state in states)]
    ends = ["last_t", *(f"{state.name}_last" for state in states), "logits_per_step"]
    scanned = [code, *(noise[noise_name(each.name)] for each in drawing)]
    b.ops("Scan", [*starts, *scanned], ends, body=loop, num_scan_inputs=len(scanned))
    number = b.op("Shape", [code], "steps_made", start=0, end=1)
    number = b.op("Cast", [number], "steps_number", to=TensorProto.FLOAT)
    of_answer = noise.get(graph.answer_noise, "")
    answer, *decision = add_answer(b, graph, number, BATCH, of_answer)
    outputs = [answer, value("logits_per_step", ["steps", BATCH, *graph.output_shape]), *decision]
    text = (
        f"{_kind(graph)} over 1 to {graph.steps} time steps"
        + (", `count` of them. " if input == "image" else ", as many as `steps` has. ")
        + "Experimental. "
    )
    return {"model": _graph(b, "asnn_scan", text + _about_input(graph, input), inputs, outputs)}


def _graph(
    b: Builder,
    name: str,
    text: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.GraphProto:
    return helper.make_graph(b.nodes, name, inputs, outputs, b.initializers, doc_string=text)


def _kind(graph: Graph) -> str:
    return "A spiking network" if graph.neurons else "A network"


def _about_answer(graph: Graph) -> str:
    # Networks of other tasks say which; their outputs are values, or answers at places.
    text = ". " if "task" in graph.about else "; the largest is the predicted class. "
    if graph.answer.kind == "mean":
        return "`logits` is the mean of `logits_per_step` over the steps" + text
    if graph.answer.kind == "last":
        return "`logits` are the `logits_per_step` of the last step" + text
    crosses = f"{graph.answer.quantity} is above {graph.answer.level:g}"
    if graph.answer.draws:
        crosses = "class fires, with those that do not lowered behind those that do"
    return (
        f"`logits` are the `logits_per_step` of `decision_step`, the first at which a {crosses}, "
        "or of the last step, where `decided` is false" + text
    )


def _about_answer_of_steps(graph: Graph) -> str:
    if graph.answer.kind == "mean":
        return "The output so far is the mean of the logits of the steps run."
    if graph.answer.kind == "last":
        return "The output so far are the logits of the last step run."
    name = "`answer`" if graph.answer.draws else "logits"
    return f"Stop a sample where `crossed` is true: its {name} of that step are the answer."


def _about_input(graph: Graph, input: Input) -> str:
    sample = ", ".join(map(str, graph.in_shape))
    drawn = " `noise.*` are uniform numbers, from 0 to below 1." if graph.noise else ""
    if input == "image":
        return f"`image` is [N, {sample}], from 0 to 1.{drawn}"
    return f"`steps` is the code, [{graph.steps}, N, {sample}].{drawn}"


def metadata(
    graph: Graph, form: Form, input: Input, weights: Weights, opset: int
) -> dict[str, str]:
    """Return the metadata of the file: text, and JSON for nested values."""
    from importlib.metadata import version

    about = {
        "asnn": version("asnn"),
        "form": form,
        "input": input,
        "weights": weights,
        "opset": opset,
        "steps": graph.steps,
        **({"windows": graph.outputs} if graph.outputs < graph.steps else {}),
        **graph.answer.about(),
        **graph.about,
    }
    if graph.noise:
        about["noise_streams"] = {name: each.stream for name, each in graph.noise.items()}
    return {
        key: item if isinstance(item, str) else json.dumps(item, sort_keys=True)
        for key, item in about.items()
    }
