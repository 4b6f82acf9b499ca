"""LSTM layers in ONNX: every form computes what torch and the interpreter do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx
from asnn.exporters.graph.interpreter import lstm_steps, run, sigmoid
from asnn.exporters.graph.ir import Lstm
from asnn.exporters.graph.quantisation import quantise, with_rounded_weights
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.onnx.forms import build_models
from asnn.exporters.onnx.runtime import OnnxSession, run_stream
from asnn.exporters.onnx.states import states_of
from tests.support.recurrent_networks import CODINGS, recurrent_source

FORMS = ["sequence", "stream", "scan"]


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("coding", CODINGS)
def test_exports_are_verified(tmp_path, coding, form):
    source, samples = recurrent_source("lstm", coding)
    report = export_onnx(source, tmp_path, samples=samples, form=form).report
    assert report.verified and report.spikes == {} and report.quiet == []
    for parity in report.parities:
        assert parity.logit_difference <= 1e-5, parity.runtime
        assert parity.explained == 0 and parity.spike_mismatches == {}


@pytest.mark.parametrize("weights", ["fp16", "int8"])
@pytest.mark.parametrize("form", FORMS)
def test_weights_are_rounded_as_all_weights(tmp_path, form, weights):
    source, samples = recurrent_source("lstm")
    assert export_onnx(
        source, tmp_path, samples=samples, form=form, weights=weights
    ).report.verified
    before = {node.name: node for node in source.graph.nodes}["lstm1"]
    rounded = {n.name: n for n in with_rounded_weights(source.graph, weights).nodes}["lstm1"]
    for field in ("weight", "recurrent"):
        values = getattr(before, field)
        expected = {
            "fp16": values.astype(np.float16).astype(np.float32),
            "int8": quantise(values).restored(),
        }[weights]
        np.testing.assert_array_equal(getattr(rounded, field), expected)
        assert (expected != values).any()
    np.testing.assert_array_equal(rounded.bias, before.bias)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", ["weight", "recurrent", "bias"])
def test_negative_control_a_changed_weight_is_found(tmp_path, monkeypatch, form, field):
    source, samples = recurrent_source("lstm")
    genuine = onnx_export.build_models

    def changed(graph, *given, **options):
        node = {node.name: node for node in graph.nodes}["lstm1"]
        values = getattr(node, field).copy()
        values.reshape(len(values), -1)[:, 0] += 0.3
        graph = graph.with_nodes({node.name: replace(node, **{field: values})})
        return genuine(graph, *given, **options)

    monkeypatch.setattr(onnx_export, "build_models", changed)
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path, samples=samples, form=form)
    first = 1 if field == "recurrent" else 0  # the first step has no state
    where = "layer readout" if form == "scan" else f"layer lstm1, step {first}"
    assert where in refused.value.why


def test_the_interpreter_equals_torch():
    torch.manual_seed(0)
    plain = torch.nn.LSTM(5, 4)
    node = Lstm(
        name="n",
        inputs=("input",),
        weight=plain.weight_ih_l0.detach().numpy(),
        recurrent=plain.weight_hh_l0.detach().numpy(),
        bias=(plain.bias_ih_l0 + plain.bias_hh_l0).detach().numpy(),
    )
    x = torch.randn(6, 3, 5)
    with torch.no_grad():
        expected = plain(x)[0].numpy()
    np.testing.assert_allclose(lstm_steps(node, x.numpy()), expected, atol=1e-6)
    assert node.features == 4


def test_the_sigmoid_of_large_values_does_not_overflow():
    x = np.array([-200, -1, 0, 1, 200], np.float32)
    with np.errstate(all="raise"):
        found = sigmoid(x)
    expected = torch.sigmoid(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert found.dtype == np.float32


@pytest.mark.parametrize("input", ["image", "spikes"])
def test_a_scan_and_a_stream_can_stop_early(input):
    source, samples = recurrent_source("lstm", "hybrid")
    code = np.ascontiguousarray(source.encode(samples.images))
    every = {"image": samples.images, "steps": code[:3], "count": np.array([3])}
    expected = run(source.graph, code[:3]).logits
    models = build_models(source.graph, source.coding, form="scan", input=input)
    session = OnnxSession(models["model"].SerializeToString(), threads=1)
    found = session.run({name: every[name] for name in session.inputs})["logits_per_step"]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    models = build_models(source.graph, source.coding, form="stream", input=input)
    sessions = [OnnxSession(models[k].SerializeToString(), threads=1) for k in ("init", "step")]
    found = run_stream(*sessions, every, 3)["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps(tmp_path, steps):
    source, samples = recurrent_source("lstm", steps=steps)
    assert export_onnx(source, tmp_path, samples=samples).report.verified


def test_output_and_cell_are_states():
    source, _ = recurrent_source("lstm")
    names = ["h_lstm1", "c_lstm1", "h_lstm2", "c_lstm2"]
    assert [state.name for state in states_of(source.graph)] == names
    models = build_models(source.graph, source.coding, form="stream", input="spikes")
    assert [each.name for each in models["step"].graph.input] == ["t", "x", *names]
    assert [each.name for each in models["init"].graph.output] == names
    text = models["step"].graph.doc_string
    assert "One time step of a network" in text and "`h_*` and `c_*`" in text


def test_any_batch_size():
    source, samples = recurrent_source("lstm")
    model = build_models(source.graph, source.coding, input="spikes")["model"]
    session = OnnxSession(model.SerializeToString(), threads=1)
    code = np.ascontiguousarray(source.encode(samples.images))
    together = session.run({"steps": code})["logits"]
    one = session.run({"steps": np.ascontiguousarray(code[:, :1])})["logits"]
    np.testing.assert_allclose(one, together[:1], atol=1e-6)


@pytest.mark.parametrize("form", ["pure", "portable", "lif"])
def test_nir_is_refused(tmp_path, form):
    source, samples = recurrent_source("lstm")
    with pytest.raises(ConfigError) as refused:
        export_nir(source, tmp_path, samples=samples, form=form)
    assert refused.value.what == (
        "layer 'lstm1' multiplies its gates and its cell, which NIR cannot express"
    )
    assert refused.value.remedy == "use --format onnx"
    assert not list(tmp_path.iterdir())


def test_inputs_of_another_size_are_refused():
    source, _ = recurrent_source("lstm")
    node = {node.name: node for node in source.graph.nodes}["lstm1"]
    graph = source.graph.with_nodes({"lstm1": replace(node, weight=node.weight[:, :-1])})
    with pytest.raises(ConfigError, match=r"layer 'lstm1' expects 23 features, not \(24,\)"):
        assert graph.shapes
