"""The answer of a network in ONNX, from its logits of the steps."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from ...core.errors import ConfigError
from ..graph.ir import Graph
from .builder import Builder, value


def add_answer(
    b: Builder, graph: Graph, steps: str, batch: str, noise: str
) -> list[onnx.ValueInfoProto]:
    """Add the outputs of a model over all steps, from its value `logits_per_step` `[T, N, K]`.

    `logits` are the answer. With `first-crossing`, `decision_step` is the step of the decision,
    from 0, and `decided` whether there was one.

    Args:
        b: the builder, whose graph has `logits_per_step`.
        graph: the network.
        steps: the number of steps, float32, a scalar or `[1]`.
        batch: name of the axis N.
        noise: uniform numbers `[T, N, K]` of an answer that is drawn.
    """
    answer, logits = graph.answer, "logits_per_step"
    outputs = [value("logits", [batch, *graph.output_shape])]
    if answer.kind == "mean":
        total = b.op("ReduceSum", [logits, b.integers(0)], "logits_sum", keepdims=0)
        b.op("Div", [total, steps], "logits")
        return outputs
    minus_one = b.constant("last_step", -1, np.int64)
    if answer.kind == "last":
        b.op("Gather", [logits, minus_one], "logits", axis=0)
        return outputs
    beyond = _beyond(b, graph, logits, noise)
    crossed = _any(b, beyond)
    scores = _firing_first(b, logits, beyond, crossed) if answer.draws else logits
    ever = b.op("ReduceSum", [crossed, b.integers(0)], "steps_beyond", keepdims=0)
    b.op("Greater", [ever, _zero(b)], "decided")
    first = b.op("ArgMax", [crossed], "first_crossing", axis=0, keepdims=0)
    last = b.op("Cast", [steps], "steps_integer", to=TensorProto.INT64)
    last = b.op("Add", [last, minus_one], "last_index")
    step = b.op("Where", ["decided", first, last], "decision_step")
    index = b.op("Unsqueeze", [step, b.integers(0, 2)], "decision_index")
    shape = b.op("Shape", [logits], "logits_shape")
    shape = b.op("Mul", [shape, b.integers(0, 1, 1)], "without_steps")
    shape = b.op("Add", [shape, b.integers(1, 0, 0)], "one_step_shape")
    index = b.op("Expand", [index, shape], "decision_of_classes")
    chosen = b.op("GatherElements", [scores, index], "logits_at_decision", axis=0)
    b.op("Squeeze", [chosen, b.integers(0)], "logits")
    outputs.append(value("decision_step", [batch], TensorProto.INT64))
    return [*outputs, value("decided", [batch], TensorProto.BOOL)]


def add_crossed(b: Builder, graph: Graph, logits: str, noise: str) -> list[onnx.ValueInfoProto]:
    """Add the output `crossed` `[N]` of one step of a network that answers at the first crossing.

    If it is drawn, from uniform numbers `noise` `[N, K]`, the output `answer` `[N, K]` are the
    logits with those classes first that fire.

    Raises:
        ConfigError: the quantity is a count, which is not a function of one step.
    """
    answer = graph.answer
    if not answer.chooses_step:
        return []
    if answer.needs_former_steps:
        raise ConfigError(
            "the form stream has no output for a readout that counts",
            why="a count of all steps is not a function of the logits of one",
            remedy="use --form sequence, or train with readout.quantity=potential",
        )
    beyond = _beyond(b, graph, logits, noise)
    crossed = _any(b, beyond)
    b.op("Greater", [crossed, _zero(b)], "crossed")
    outputs = [value("crossed", ["N"], TensorProto.BOOL)]
    if answer.draws:
        b.op("Identity", [_firing_first(b, logits, beyond, crossed)], "answer")
        outputs.append(value("answer", ["N", graph.classes]))
    return outputs


def _beyond(b: Builder, graph: Graph, logits: str, noise: str) -> str:
    """Return 1 for each class that is beyond the level, or fires, else 0."""
    q, answer, classes = logits, graph.answer, graph.classes
    if answer.quantity == "probability":
        if classes == 1:  # both sides: softmax of (0, u)
            none = b.op("Mul", [logits, _zero(b)], "no_logits")
            q = b.op("Concat", [none, logits], "two_sides", axis=-1)
        q = b.op("Softmax", [q], "probabilities", axis=-1)
    elif answer.quantity == "sigmoid":
        q = b.op("Sigmoid", [logits], "probabilities")
    elif answer.quantity == "count":
        above = b.op("Greater", [logits, b.constant("one", np.float32(1))], "above_one")
        above = b.op("Cast", [above], "counted", to=TensorProto.FLOAT)
        q = b.op("CumSum", [above, b.constant("time_axis", 0, np.int64)], "counts")
    level = b.constant("decision_level", np.float32(answer.level))
    if answer.draws:
        over = b.op("Sub", [logits, level], "over_level")
        kappa = b.constant("decision_kappa", np.float32(answer.kappa))
        p = b.op("Sigmoid", [b.op("Mul", [over, kappa], "log_odds")], "probabilities")
        beyond = b.op("Less", [noise, p], "beyond")
    else:
        beyond = b.op("Greater", [q, level], "beyond")
    return b.op("Cast", [beyond], "is_beyond", to=TensorProto.FLOAT)


def _any(b: Builder, beyond: str) -> str:
    """Return 1 where a class is beyond the level, else 0: without the axis of the classes."""
    total = b.op("ReduceSum", [beyond, b.integers(-1)], "classes_beyond", keepdims=0)
    return b.op("Min", [total, b.constant("one", np.float32(1))], "any_beyond")


def _firing_first(b: Builder, logits: str, fires: str, crossed: str) -> str:
    """Return logits in which every class that fires is before those that do not."""
    negative = b.op("Neg", [logits], "negative_logits")
    ends = []
    for values, of in ((logits, "highest"), (negative, "lowest")):
        at = b.op("ArgMax", [values], f"{of}_class", axis=-1, keepdims=1)
        ends.append(b.op("GatherElements", [logits, at], f"{of}_logit", axis=-1))
    one = b.constant("one", np.float32(1))
    span = b.op("Add", [b.op("Sub", ends, "range_of_logits"), one], "span_of_logits")
    silent = b.op("Sub", [one, fires], "is_silent")
    any_fires = b.op("Unsqueeze", [crossed, b.integers(-1)], "any_fires")
    behind = b.op("Mul", [silent, any_fires], "is_behind")
    return b.op("Sub", [logits, b.op("Mul", [span, behind], "lowered_by")], "firing_first")


def _zero(b: Builder) -> str:
    return b.constant("zero_level", np.float32(0))
