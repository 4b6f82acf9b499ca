"""Networks with paths that join, and deep ones, as ONNX models."""

import numpy as np
import onnx
import pytest

from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import ChannelScale, Flatten, Graph, Product, Readout
from asnn.exporters.graph.quantisation import with_rounded_weights
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.onnx.runtime import OnnxSession, run_stream
from asnn.exporters.verification.margins import near_threshold
from tests.support.exported_networks import ARCHITECTURES, architecture_source

QUICK = ["ms", "sew-iand", "spikformer"]
SLOW = [name for name in ARCHITECTURES if name not in QUICK] + ["ms-104", "sew-34"]


def session_of(model):
    return OnnxSession(model.SerializeToString(), threads=1)


def assert_close_where_clear(found, graph, trace):
    """Compare logits, of samples without a membrane within rounding of a threshold."""
    clear = ~near_threshold(graph.neurons, trace)
    assert clear.sum() >= 6
    np.testing.assert_allclose(found[:, clear], trace.logits[:, clear], atol=1e-5)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_files_are_verified(exported, name):
    source, some = architecture_source(name)
    report = exported("onnx", source, some).result.report
    assert report.verified
    assert all(report.spikes.values())
    torch, onnxruntime = report.parities
    assert torch.explained <= 1
    assert list(onnxruntime.spike_mismatches) == [node.name for node in source.graph.neurons]


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("coding", ["direct", "hybrid"])
@pytest.mark.parametrize("name", ["ms", "sew-iand", "spikformer"])
def test_forms_equal_the_graph(name, coding, form, weights):
    source, some = architecture_source(name, coding=coding)
    graph = with_rounded_weights(source.graph, weights)
    code = np.ascontiguousarray(source.encode(some.images))
    trace = run(graph, code)
    models = build_models(source.graph, source.coding, form=form, weights=weights)
    inputs = {"image": some.images, "count": np.array([len(code)])}
    if form == "stream":
        found = run_stream(*map(session_of, models.values()), inputs, len(code))["logits"]
    else:
        session = session_of(models["model"])
        found = session.run({key: inputs[key] for key in session.inputs})["logits_per_step"]
    assert_close_where_clear(found, graph, trace)


@pytest.mark.parametrize("opset", [17, 25])
@pytest.mark.parametrize("name", ["sew-iand", "spikformer"])
def test_opsets(name, opset):
    source, some = architecture_source(name)
    session = session_of(build_models(source.graph, source.coding, opset=opset)["model"])
    found = session.run({"image": some.images})["logits_per_step"]
    assert_close_where_clear(found, source.graph, run(source.graph, source.encode(some.images)))


def test_any_batch_size():
    source, some = architecture_source("spikformer")
    session = session_of(build_models(source.graph, source.coding)["model"])
    together = session.run({"image": some.images})["logits"]
    one = session.run({"image": some.images[2:3]})["logits"]
    np.testing.assert_allclose(one, together[2:3], atol=1e-5)
    assert session.run({"image": some.images[:0]})["logits"].shape == (0, 4)


def test_a_time_invariant_value_joins_one_that_is_not():
    """A static code is computed once, and broadcasts over the steps of a sum and of a product."""
    source, _ = architecture_source("ms", coding="direct")
    assert {"stem"} <= source.graph.time_invariant
    assert "block1" not in source.graph.time_invariant
    nodes = [
        Product(name="product", inputs=("input", "scaled"), inverted=True),
        Flatten(name="flatten", inputs=("product",)),
        Readout(
            name="readout", inputs=("flatten",), weight=np.eye(2, 12, dtype=np.float32),
            bias=np.zeros(2, np.float32), scale=np.ones(2, np.float32),
        ),
    ]  # fmt: skip
    schedule = np.float32([[1, 1, 1], [2, 2, 2]])
    scaled = ChannelScale(
        name="scaled", inputs=("input",), factor=schedule, offset=np.zeros_like(schedule)
    )
    small = Graph((scaled, *nodes), (3, 2, 2), 2, static=True)
    x = np.random.default_rng(0).random((5, 3, 2, 2), np.float32)
    session = session_of(build_models(small, source.coding)["model"])
    found = session.run({"image": x})["logits_per_step"]
    expected = np.stack([(1 - x) * x * factor for factor in (1, 2)]).reshape(2, 5, 12)
    np.testing.assert_allclose(found, expected[..., :2], atol=1e-6)


def test_weights_are_named_like_their_layers():
    source, _ = architecture_source("ms")
    model = build_models(source.graph, source.coding)["model"]
    assert isinstance(model, onnx.ModelProto)
    names = {initializer.name for initializer in model.graph.initializer}
    assert {"block1.main.conv1.weight", "block3.shortcut.conv.weight", "stem.weight0"} <= names
