"""Small graphs of the export graph in every ONNX form, with what onnxruntime computes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from asnn.coding import create_coding
from asnn.exporters.graph import ir as g
from asnn.exporters.graph.quantisation import with_rounded_weights
from asnn.exporters.onnx.checks import driven_onnx
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.onnx.operators import check_operators
from asnn.exporters.onnx.runtime import OnnxSession, run_stream

FORMS = ("sequence", "stream", "scan")


def graph_of(*nodes: g.Node, in_shape: g.Shape, steps: int = 3, static: bool = False) -> g.Graph:
    """A graph of these nodes, whose value is flat.

    A filter without memory at the end gives the form `stream` a state to return before the first
    step.
    """
    graph = g.Graph(nodes, in_shape, steps, static=static)
    flat = g.Flatten(name="flat_values", inputs=(graph.output,))
    one, none = np.ones(1, np.float32), np.zeros((1, 1), np.float32)
    last = g.Filter(name="same", inputs=("flat_values",), poles=none, gain=one)
    return replace(graph, nodes=(*nodes, flat, last))


def logits_in(graph: g.Graph, code: Any, form: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """The logits `[T, N, K]` of a form in onnxruntime for a code, and the models."""
    input = "image" if graph.static else "spikes"
    coding = create_coding("direct", steps=graph.steps)
    models = build_models(graph, coding, form=form, input=input, **options)
    check_operators(models.values())
    sessions = {
        name: OnnxSession(model.SerializeToString(), threads=1) for name, model in models.items()
    }
    given = {"image": code[0], "steps": code, "count": np.array([len(code)], np.int64)}
    if form == "stream":
        found = run_stream(sessions["init"], sessions["step"], given, len(code))["logits"]
    else:
        session = sessions["model"]
        found = session.run({k: given[k] for k in session.inputs})["logits_per_step"]
    return found, models


def assert_every_form(
    graph: g.Graph, code: Any, expected: Any, *, atol: float = 1e-5, **options: Any
) -> None:
    """Assert that every form computes the logits, and each of its layers what its node does."""
    rounded = with_rounded_weights(graph, options.get("weights", "fp32"))
    for form in FORMS:
        found, models = logits_in(graph, code, form, **options)
        np.testing.assert_allclose(found, expected, atol=atol, rtol=1e-5, err_msg=form)
        assert driven_onnx(models, rounded).fault is None


def operators(models: dict[str, onnx.ModelProto]) -> Iterator[str]:
    """The operators of the models."""
    return (node.op_type for model in models.values() for node in model.graph.node)
