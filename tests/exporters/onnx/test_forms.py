"""ONNX models compute the same as the graph in every form, and their metadata describe them."""

import json

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from asnn.coding import create_coding
from asnn.core.errors import ConfigError
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.quantisation import quantise, rounded, with_rounded_weights
from asnn.exporters.onnx.builder import OPSETS, Builder, model_of, value
from asnn.exporters.onnx.encoder import add_encoder
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.onnx.operators import check_operators
from asnn.exporters.onnx.runtime import OnnxSession, run_stream
from tests.support.exported_networks import CODES, SHAPE, images, make_source, spikes_of

ENCODED = [
    *((code, {"thresholds": rule}) for code in CODES[1:] for rule in ("linear", "quantile")),
    ("direct", {}),
    ("direct", {"levels": 5}),
    ("ttfs", {}),
    ("ttfs", {"window": 2}),
    ("delta", {}),
    ("delta", {"threshold": 0.2}),
    ("latency", {}),
    ("latency", {"linear": True, "clip": True}),
    ("latency", {"normalize": False, "tau": 2.0}),
    ("phase", {}),
    ("phase", {"period": 2}),
    ("burst", {}),
    ("bins", {}),
    ("bins", {"background": "last"}),
    ("impulse", {}),
    ("impulse", {"spread": True}),
    ("burst", {"most": 2, "shortest": 2, "longest": 3}),
]


def session_of(model):
    return OnnxSession(model.SerializeToString(), threads=1)


def encoder(name, steps, options):
    coding = create_coding(name, steps=steps, **options)
    b = Builder()
    out = add_encoder(b, coding, "image", "code")
    graph = onnx.helper.make_graph(
        b.nodes, "g", [value("image", ["N", *SHAPE])], [value(out, [None] * 5)], b.initializers
    )
    model = model_of(graph, 20, {"asnn": "0"})
    check_operators([model])
    return coding, session_of(model)


@pytest.mark.parametrize("steps", [2, 4, 7])
@pytest.mark.parametrize(("name", "options"), ENCODED)
def test_encoders_equal_their_codings(name, options, steps):
    coding, session = encoder(name, steps, options)
    x = images(5)
    x[0] = torch.linspace(0, 1, x[0].numel()).view(SHAPE)  # thresholds and both ends
    x[1, 0] = 0
    expected = coding.encode(x).numpy()
    found = session.run({"image": x.numpy()})["code"]
    np.testing.assert_array_equal(np.broadcast_to(found, expected.shape), expected)


@given(
    x=arrays.arrays(
        np.float32,
        (1, *SHAPE),
        elements=st.sampled_from([float(np.float32(i / 24)) for i in range(25)]),
    )
)
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("name", ["temporal", "embedding"])
def test_values_on_a_threshold_count_as_below_it(name, x):
    coding, session = encoder(name, 3, {})
    found = session.run({"image": x})["code"]
    np.testing.assert_array_equal(found, coding.encode(torch.from_numpy(x)).numpy())


@pytest.mark.parametrize("weights", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("input", ["image", "spikes"])
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("coding", ["direct", "hybrid"])
@pytest.mark.parametrize("norm", ["folded", pytest.param("per-step", marks=pytest.mark.slow)])
def test_forms_equal_the_graph(coding, norm, form, input, weights):
    source = make_source(coding=coding, norm=norm)
    graph = with_rounded_weights(source.graph, weights)
    x = images().numpy()
    code = np.ascontiguousarray(source.encode(x))
    trace = run(graph, code)
    spikes_of(trace, graph)
    models = build_models(source.graph, source.coding, form=form, input=input, weights=weights)
    every = {"image": x, "steps": code, "count": np.array([3])}
    if form == "stream":
        sessions = session_of(models["init"]), session_of(models["step"])
        found = run_stream(*sessions, every, 3)["logits"]
    else:
        session = session_of(models["model"])
        outputs = session.run({name: every[name] for name in session.inputs})
        found = outputs["logits_per_step"]
        np.testing.assert_allclose(outputs["logits"], found.mean(0), atol=1e-6)
    np.testing.assert_allclose(found, trace.logits, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet", "mlp"])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_resets(name, reset):
    source = make_source(name, neuron_options={"reset": reset, "granularity": "channel"})
    x = images().numpy()
    for form in ("sequence", "scan"):
        session = session_of(build_models(source.graph, source.coding, form=form)["model"])
        inputs = {"image": x, "count": np.array([3])}
        found = session.run({key: inputs[key] for key in session.inputs})["logits_per_step"]
        np.testing.assert_allclose(found, run(source.graph, source.encode(x)).logits, atol=1e-5)


def test_any_batch_size():
    source = make_source()
    session = session_of(build_models(source.graph, source.coding)["model"])
    x = images(7).numpy()
    together = session.run({"image": x})["logits"]
    one = [session.run({"image": x[i : i + 1]})["logits"][0] for i in range(7)]
    np.testing.assert_allclose(together, np.stack(one), atol=1e-5)
    assert session.run({"image": x[:0]})["logits"].shape == (0, 4)


@pytest.mark.parametrize("input", ["image", "spikes"])
def test_a_scan_runs_any_number_of_steps(input):
    source = make_source()
    session = session_of(
        build_models(source.graph, source.coding, form="scan", input=input)["model"]
    )
    x = images().numpy()
    code = np.ascontiguousarray(source.encode(x))
    for count in (1, 2):
        inputs = {"image": x, "count": np.array([count]), "steps": code[:count]}
        found = session.run({name: inputs[name] for name in session.inputs})
        expected = run(source.graph, code[:count]).logits
        np.testing.assert_allclose(found["logits_per_step"], expected, atol=1e-5)


def test_a_stream_can_stop_early():
    source = make_source()
    models = build_models(source.graph, source.coding, form="stream")
    sessions = session_of(models["init"]), session_of(models["step"])
    x = images().numpy()
    found = run_stream(*sessions, {"image": x}, 2)["logits"]
    np.testing.assert_allclose(found, run(source.graph, source.encode(x)[:2]).logits, atol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
def test_opsets(opset):
    source = make_source(coding="embedding", coding_options={"thresholds": "quantile"})
    model = build_models(source.graph, source.coding, opset=opset)["model"]
    assert model.opset_import[0].version == opset
    found = session_of(model).run({"image": images().numpy()})["logits_per_step"]
    np.testing.assert_allclose(
        found, run(source.graph, source.encode(images().numpy())).logits, atol=1e-5
    )


@pytest.mark.parametrize("opset", [16, 26])
def test_other_opsets_are_refused(opset):
    source = make_source()
    with pytest.raises(
        ConfigError, match=f"opset {opset} is not supported: supported are 17 to 25"
    ):
        build_models(source.graph, source.coding, opset=opset)


def test_metadata_describe_the_file():
    source = make_source()
    model = build_models(source.graph, source.coding, weights="int8")["model"]
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["recipe"] == "test"
    assert about["weights"] == "int8"
    assert json.loads(about["classes"]) == list("abcd")
    assert json.loads(about["network"])["mean"] == [0.4, 0.5]
    assert about["steps"] == "3"
    assert "mean of `logits_per_step`" in model.doc_string
    shapes = {
        each.name: [d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim]
        for each in [*model.graph.input, *model.graph.output]
    }
    assert shapes == {"image": ["N", *SHAPE], "logits": ["N", 4], "logits_per_step": [3, "N", 4]}
    names = {node.name for node in model.graph.node}
    assert {"conv1", "spikes1/1/membrane", "spikes2", "readout"} <= names
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b"/home" not in model.SerializeToString()


def test_equal_arrays_are_stored_once():
    b = Builder()
    first = b.constant("a", np.ones(3))
    assert b.constant("b", np.ones(3)) == first
    assert b.constant("c", np.ones((3, 1))) != first
    assert len(b.initializers) == 2


@pytest.mark.parametrize(
    ("coding", "options", "why"),
    [
        ("rate", {}, "it is random"),
        ("temporal", {"variant": "published"}, "published variant"),
        ("hybrid", {"variant": "published"}, "published variant"),
    ],
)
def test_codes_without_a_form_in_onnx_are_refused_with_a_remedy(coding, options, why):
    source = make_source(coding=coding, coding_options=options)
    with pytest.raises(ConfigError, match=why) as refused:
        build_models(source.graph, source.coding)
    assert "--input spikes" in refused.value.remedy
    code = np.ascontiguousarray(source.encode(images().numpy()))
    model = build_models(source.graph, source.coding, input="spikes")["model"]
    found = session_of(model).run({"steps": code})["logits_per_step"]
    np.testing.assert_allclose(found, run(source.graph, code).logits, atol=1e-5)


@pytest.mark.slow
@given(
    arrays.arrays(
        np.float32, (3, 4), elements=st.floats(-100, 100, width=32, allow_subnormal=False)
    )
)
def test_int8_is_within_half_a_step(weight):
    packed = quantise(weight)
    assert packed.values.dtype == np.int8
    error = np.abs(packed.restored() - weight)
    assert (error <= packed.scale[:, None] * 0.5001 + 1e-30).all()


def test_fp16_refuses_large_weights():
    with pytest.raises(ConfigError, match="too large for fp16"):
        rounded(np.array([[1e5]], np.float32), "fp16")


def test_rounding_changes_weights_only():
    graph = make_source().graph
    changed = with_rounded_weights(graph, "int8")
    for before, after in zip(graph.nodes, changed.nodes, strict=True):
        if hasattr(before, "biases"):
            assert all((a == b).all() for a, b in zip(before.biases, after.biases, strict=True))
        if hasattr(before, "leak"):
            assert before is after
