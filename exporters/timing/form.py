"""The ONNX file of a network of exact times: sorting, prefix sums, and the first crossing."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...coding.times import Times as TimesCoding
from ...core.errors import ConfigError
from ...models.readouts.earliest import EarliestReadout
from ...models.timing.layer import TimingConv2d, TimingLayer
from ...models.timing.rel_psp import RelPsp
from ..graph.ir import Array
from ..onnx.builder import OPSETS, Builder, model_of, value
from ..onnx.forms import BATCH, metadata
from .network import TimingSource

DOUBLE = TensorProto.DOUBLE


def build_times(source: TimingSource, opset: int) -> onnx.ModelProto:
    """Return the model: images to `logits`, `logits_per_step`, and `times` of the outputs, float64.

    All times are float64; +inf is no spike. The times of each layer are values called as the layer.

    Raises:
        ConfigError: an opset that is not supported.
    """
    if opset not in OPSETS or opset < 18:
        raise ConfigError(
            f"opset {opset} is not supported for exact times",
            why=f"supported are 18 to {OPSETS[-1]}",
        )
    b = Builder()
    coding = source.coding
    assert isinstance(coding, TimesCoding)
    x, shape = _code(b, coding), source.graph.in_shape
    for (name, layer), node in zip(source.layers.items(), source.graph.nodes, strict=False):
        if isinstance(layer, TimingConv2d):
            x = _convolved(b, layer, x, name, shape)
        else:
            flat = b.op("Flatten", [x], f"{name}_inputs", axis=1)
            x = _fire(b, layer, flat, name)
        shape = node.shape([])
    readout = source.network.readout
    assert isinstance(readout, EarliestReadout)
    _answer(b, readout, x)
    classes = source.graph.classes
    graph = helper.make_graph(
        b.nodes,
        "asnn_times",
        [value("image", [BATCH, *source.graph.in_shape])],
        [
            value("logits", [BATCH, classes]),
            value("logits_per_step", [1, BATCH, classes]),
            value("times", [BATCH, classes], DOUBLE),
        ],
        initializer=b.initializers,
        doc_string="Spiking network of exact times. `times` is when each output fires first, +inf "
        "if it does not; the earliest is the answer. `logits` are -times / tau, finite; "
        "`logits_per_step` are the same with -inf for silent outputs.",
    )
    model = model_of(graph, opset, metadata(source.graph, "sequence", "image", "fp32", opset))
    onnx.checker.check_model(model, full_check=True)
    return model


def _double(b: Builder, name: str, values: Array | float) -> str:
    return b.constant(name, values, np.float64)


def _code(b: Builder, coding: TimesCoding) -> str:
    """Add t = window (1 - x), and return its name `[N, C, H, W]`."""
    x = b.op("Cast", ["image"], "code_values", to=DOUBLE)
    late = b.op("Sub", [_double(b, "one", 1.0), x], "code_darkness")
    times = b.op("Mul", [_double(b, "code_window", coding.window), late], "code_times")
    if coding.black == "late":
        return times
    lit = b.op("Greater", [x, _double(b, "zero", 0.0)], "code_lit")
    return b.op("Where", [lit, times, _double(b, "never", np.inf)], "code")


def _convolved(b: Builder, layer: TimingConv2d, x: str, name: str, shape: tuple[int, ...]) -> str:
    """Add the neurons of each place of a convolution of an image `[C, H, W]`."""
    index = layer.index(*shape).numpy()
    flat = b.op("Flatten", [x], f"{name}_pixels", axis=1)
    windows = b.op(
        "Gather", [flat, b.constant(f"{name}_index", index, np.int64)], f"{name}_windows", axis=1
    )
    inputs = b.reshape(windows, [-1, layer.weight[0].numel()], f"{name}_inputs")
    places = _fire(b, layer, inputs, f"{name}_places")
    grid = [-1, layer.size(shape[1]), layer.size(shape[2]), len(layer.weight)]
    image = b.reshape(places, grid, f"{name}_grid")
    return b.op("Transpose", [image], name, perm=[0, 3, 1, 2])


def _fire(b: Builder, layer: TimingLayer, x: str, name: str) -> str:
    """Add neurons that read times `[N, n]`, and return when they fire, `[N, M]`.

    In the order of time, with S_k and M_k the prefix sums of w and w t, a neuron fires in the first
    interval with S_k t_{k+1} - M_k > θ, at (θ + M_k) / S_k: the operations of
    `asnn.models.timing.functional.rel_psp`.
    """
    neuron = layer.neuron
    assert isinstance(neuron, RelPsp)
    rows = layer.matrix.detach().t().numpy()
    inputs = len(rows)
    window, threshold = (
        _double(b, f"{name}_{key}", value)
        for key, value in (("window", neuron.window), ("threshold", neuron.threshold))
    )
    # All axes of prefix sums are [N, n, M].
    names = [f"{name}_sorted", f"{name}_order"]
    sorted_times, order = b.ops("TopK", [x, b.integers(inputs)], names, axis=1, largest=0)
    opens = b.op("Less", [sorted_times, window], f"{name}_opens")
    times = b.op("Where", [opens, sorted_times, window], f"{name}_times")
    at = b.op("Unsqueeze", [times, b.integers(2)], f"{name}_at")
    opened = b.op("Cast", [opens], f"{name}_opened", to=DOUBLE)
    factor = b.op("Unsqueeze", [opened, b.integers(2)], f"{name}_factor")
    weight = _double(b, f"{name}_weight", rows)
    gathered = b.op("Gather", [weight, order], f"{name}_gathered", axis=0)
    w = b.op("Mul", [gathered, factor], f"{name}_w")
    axis = b.constant("axis_of_inputs", np.int64(1), np.int64)
    slope = b.op("CumSum", [w, axis], f"{name}_slope")
    products = b.op("Mul", [w, at], f"{name}_products")
    moment = b.op("CumSum", [products, axis], f"{name}_moment")
    # The next input, and the end of the window behind the last.
    first = b.op("Slice", [times, b.integers(0), b.integers(1), b.integers(1)], f"{name}_first")
    nothing = b.op("Mul", [first, _double(b, "zero", 0.0)], f"{name}_nothing")
    last = b.op("Add", [nothing, window], f"{name}_last")
    rest = b.op("Slice", [times, b.integers(1), b.integers(inputs), b.integers(1)], f"{name}_rest")
    until = b.op("Concat", [rest, last], f"{name}_next", axis=1)
    lasts = b.op("Greater", [until, times], f"{name}_has_length")
    until = b.op("Unsqueeze", [until, b.integers(2)], f"{name}_until")
    lasts = b.op("Unsqueeze", [lasts, b.integers(2)], f"{name}_lasts")
    raised = b.op("Mul", [slope, until], f"{name}_raised")
    potential = b.op("Sub", [raised, moment], f"{name}_potential")
    above = b.op("Greater", [potential, threshold], f"{name}_above")
    crosses = b.op("And", [above, lasts], f"{name}_crosses")
    numbers = b.constant(f"{name}_numbers", np.arange(inputs).reshape(1, -1, 1), np.int64)
    none = b.constant(f"{name}_none", np.int64(inputs), np.int64)
    number = b.op("Where", [crosses, numbers, none], f"{name}_number")
    k = b.op("ReduceMin", [number, b.integers(1)], f"{name}_first_crossing", keepdims=1)
    fires = b.op("Less", [k, none], f"{name}_fires")
    k = b.op("Where", [fires, k, b.constant("number_0", np.int64(0), np.int64)], f"{name}_k")
    slope = b.op("GatherElements", [slope, k], f"{name}_slope_k", axis=1)
    moment = b.op("GatherElements", [moment, k], f"{name}_moment_k", axis=1)
    steep = b.op("Where", [fires, slope, _double(b, "one", 1.0)], f"{name}_steep")
    height = b.op("Add", [moment, threshold], f"{name}_height")
    crossing = b.op("Div", [height, steep], f"{name}_crossing")
    never = _double(b, "never", np.inf)
    fired = b.op("Where", [fires, crossing, never], f"{name}_fired")
    return b.op("Squeeze", [fired, b.integers(1)], name)


def _answer(b: Builder, readout: EarliestReadout, x: str) -> None:
    """Add the outputs of the file, from the times `[N, K]` of the last layer."""
    times = b.op("Identity", [x], "times")
    late = b.op("Div", [times, _double(b, "tau", readout.tau)], "late")
    values = b.op("Neg", [late], "outputs")
    fired = b.op("Less", [times, _double(b, "never", np.inf)], "fired")
    finite = b.op("Where", [fired, values, _double(b, "zero", 0.0)], "finite")
    least = b.op("ReduceMin", [finite, b.integers(1)], "least", keepdims=1)
    cap = _double(b, "cap", readout.loss_cap / readout.tau)
    silent = b.op("Sub", [least, cap], "silent")
    scores = b.op("Where", [fired, values, silent], "scores")
    b.op("Cast", [scores], "logits", to=TensorProto.FLOAT)
    outputs = b.op("Cast", [values], "outputs_float32", to=TensorProto.FLOAT)  # -inf is silent
    b.op("Unsqueeze", [outputs, b.integers(0)], "logits_per_step")
