"""Recurrent weights in ONNX: every form computes what torch and the interpreter do."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_onnx, source_of
from asnn.exporters.graph.interpreter import neuron_steps, run
from asnn.exporters.graph.ir import Graph, Neuron
from asnn.exporters.graph.quantisation import quantise, with_rounded_weights
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.onnx.runtime import OnnxSession, run_stream
from asnn.exporters.onnx.states import states_of
from asnn.exporters.verification.margins import MARGIN, margin_of, received
from tests.support.exported_networks import make_source, spikes_of
from tests.support.recurrent_networks import CODINGS, STEPS, recurrent_network, recurrent_source

FORMS = ["sequence", "stream", "scan"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("coding", CODINGS)
def test_exports_are_verified(tmp_path, coding, form):
    source, samples = recurrent_source(coding=coding)
    report = export_onnx(source, tmp_path, samples=samples, form=form).report
    assert report.verified and all(report.spikes.values())
    for parity in report.parities:
        assert parity.logit_difference <= 1e-5 and parity.explained == 0, parity.runtime
    found = {parity.runtime: parity.spike_mismatches for parity in report.parities}
    assert set(found["torch"]) == {"spikes1", "spikes2"}
    assert set(found["onnxruntime"]) == (set() if form == "scan" else {"spikes1", "spikes2"})


@pytest.mark.parametrize("weights", ["fp16", "int8"])
@pytest.mark.parametrize("form", FORMS)
def test_recurrent_weights_are_rounded_as_all_weights(tmp_path, form, weights):
    source, samples = recurrent_source()
    done = export_onnx(source, tmp_path, samples=samples, form=form, weights=weights)
    assert done.report.verified
    (node, *_) = source.graph.neurons
    rounded = with_rounded_weights(source.graph, weights).neurons[0].recurrent
    expected = {
        "fp16": node.recurrent.astype(np.float16).astype(np.float32),
        "int8": quantise(node.recurrent).restored(),
    }[weights]
    np.testing.assert_array_equal(rounded, expected)
    assert (rounded != node.recurrent).any()


def with_changed_recurrence(graph: Graph, by: float = 0.5) -> Graph:
    """The graph with the recurrent weights of its first layer changed, whichever neuron fires."""
    node = graph.neurons[0]
    return graph.with_nodes({node.name: replace(node, recurrent=node.recurrent + np.float32(by))})


@pytest.mark.parametrize("form", FORMS)
def test_negative_control_a_changed_recurrent_weight_is_found(tmp_path, monkeypatch, form):
    source, samples = recurrent_source()
    genuine = onnx_export.build_models
    monkeypatch.setattr(
        onnx_export,
        "build_models",
        lambda graph, *given, **options: genuine(with_changed_recurrence(graph), *given, **options),
    )
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path, samples=samples, form=form)
    # The first step has no recurrence; inside a scan only the logits are compared.
    where = "layer readout" if form == "scan" else "layer spikes1, step 1"
    assert where in refused.value.why
    assert not list(tmp_path.glob("*.onnx"))


def test_the_interpreter_equals_a_loop_over_numbers():
    random = np.random.default_rng(0)
    steps, batch, features = 5, 4, 6
    parts = {
        key: random.uniform(0.3, 1.2, (steps, 1)).astype(np.float32)
        for key in ("leak", "gain", "threshold", "size")
    }
    recurrent = random.normal(size=(features, features)).astype(np.float32)
    node = Neuron(name="n", inputs=("input",), recurrent=recurrent, **parts)
    x = random.uniform(0, 2, (steps, batch, features)).astype(np.float32)
    found, _ = neuron_steps(node, x)
    for b in range(batch):
        v, s = np.zeros(features), np.zeros(features)
        for t in range(steps):
            leak, gain, threshold, size = (float(parts[key][t, 0]) for key in parts)
            current = [
                float(x[t, b, i]) + sum(float(recurrent[i, j]) * s[j] for j in range(features))
                for i in range(features)
            ]
            v = leak * v + gain * np.array(current)
            s = (v > threshold).astype(float)
            np.testing.assert_array_equal(found[t, b], s)
            v = v - size * s
    plain, _ = neuron_steps(replace(node, recurrent=None), x)
    assert (plain[0] == found[0]).all() and (plain != found).any()


@pytest.mark.parametrize("input", ["image", "spikes"])
def test_a_scan_and_a_stream_can_stop_early(input):
    source, samples = recurrent_source(coding="hybrid")
    code = np.ascontiguousarray(source.encode(samples.images))
    every = {"image": samples.images, "steps": code[:3], "count": np.array([3])}
    expected = run(source.graph, code[:3]).logits
    spikes_of(run(source.graph, code), source.graph)
    models = build_models(source.graph, source.coding, form="scan", input=input)
    session = OnnxSession(models["model"].SerializeToString(), threads=1)
    found = session.run({name: every[name] for name in session.inputs})["logits_per_step"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    models = build_models(source.graph, source.coding, form="stream", input=input)
    sessions = [OnnxSession(models[k].SerializeToString(), threads=1) for k in ("init", "step")]
    found = run_stream(*sessions, every, 3)["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_spikes_of_the_step_before_are_a_state_beside_the_membrane():
    source, _ = recurrent_source()
    names = ["v_spikes1", "s_spikes1", "v_spikes2", "s_spikes2"]
    assert [state.name for state in states_of(source.graph)] == names
    models = build_models(source.graph, source.coding, form="stream", input="spikes")
    step = models["step"].graph
    assert [each.name for each in step.input] == ["t", "x", *names]
    assert [each.name for each in step.output] == ["logits", *(f"{n}_after" for n in names)]
    # The loop of docs/export.md pairs the outputs of `init` with those of `step`.
    assert [each.name for each in models["init"].graph.output] == names
    assert "`s_*` are the spikes of the step before" in step.doc_string


def test_files_of_networks_without_recurrence_have_no_such_state():
    graph = make_source("mlp").graph
    assert [state.name for state in states_of(graph)] == ["v_spikes1", "v_spikes2"]
    assert [state.at_rest for state in states_of(graph)] == ["rest_spikes1", "rest_spikes2"]
    model = build_models(graph, make_source("mlp").coding, form="stream")["step"]
    assert not any("received" in node.name for node in model.graph.node)
    assert "s_*" not in model.graph.doc_string


def test_the_weights_are_stored_once():
    source, _ = recurrent_source()
    model = build_models(source.graph, source.coding, input="spikes")["model"]
    stored = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    np.testing.assert_array_equal(stored["spikes1.recurrent"], source.graph.neurons[0].recurrent)
    assert sum("recurrent" in name for name in stored) == 2
    products = [node for node in model.graph.node if "spikes1.recurrent" in node.input]
    assert [node.op_type for node in products] == ["Gemm"] * (STEPS - 1)
    onnx.checker.check_model(model, full_check=True)


def test_margins_count_what_the_recurrent_weights_add():
    source, samples = recurrent_source()
    node = source.graph.neurons[0]
    trace = run(source.graph, np.ascontiguousarray(source.encode(samples.images)))
    spikes, x = trace.values[node.name], trace.values[node.inputs[0]]
    expected = x.copy()
    for t in range(1, STEPS):
        expected[t] += spikes[t - 1] @ node.recurrent.T
    np.testing.assert_array_equal(received(node, trace), expected)
    np.testing.assert_array_equal(received(replace(node, recurrent=None), trace), x)
    assert (margin_of(node, received(node, trace)) >= MARGIN).all()


def test_recurrent_weights_that_are_not_finite_are_refused():
    model, _ = recurrent_network()
    with torch.no_grad():
        model.body.spikes1.neuron.weight[0, 0] = float("nan")
    with pytest.raises(ConfigError, match="recurrent of layer 'spikes1' is not finite"):
        source_of(model)


def test_the_batch_has_a_name_in_all_steps():
    """So onnxruntime finds memory to reuse; its search takes long where it cannot."""
    source, _ = recurrent_source(coding="hybrid")
    model = build_models(source.graph, source.coding)["model"]

    def named(model):
        found = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.value_info
        dims = {each.name: [d.dim_param for d in each.type.tensor_type.shape.dim] for each in found}
        spikes = {name for name in dims if name.endswith("/spikes") and "code" not in name}
        assert len(spikes) >= STEPS
        return [name for name in spikes if "N" in dims[name]]

    assert len(named(model)) >= STEPS
    del model.graph.value_info[:]  # negative control
    assert not [name for name in named(model) if not name.endswith("/0/spikes")]
