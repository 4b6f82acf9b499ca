"""Filters over time in exports: synapses and readouts that integrate."""

from dataclasses import replace

import nir
import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.graph.interpreter import evaluate
from asnn.exporters.graph.ir import Filter
from asnn.exporters.onnx import export as onnx_export
from tests.support.exported_networks import make_source, network, samples

SYNAPSES = {
    "exp": {"tau": 2.0},
    "dual-exp": {"tau": 3.0, "tau_rise": 1.0},
}
LIF = {"schedule": "shared", "reset": "zero", "bounded": True}


def filtered(synapse, name="mlp", **options):
    return make_source(name, synapse=synapse, synapse_options=SYNAPSES[synapse], **options)


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("poles", [[0.7], [0.2, 0.9]])
def test_the_node_is_the_filter_of_scipy(poles, start):
    x = np.random.default_rng(0).random((9, 2, 3, 4), np.float32)
    begin = np.array([0.5, -1.0, 2.0], np.float32) if start else None
    node = Filter(
        name="f", inputs=("input",), poles=np.float32(poles)[:, None], gain=np.float32([1.5]),
        start=begin,
    )  # fmt: skip
    a = np.poly(poles)  # the product of 1 - p z⁻¹
    expected = lfilter([1.5], a, x, axis=0)
    if start:  # the last state decays from it
        expected += poles[-1] ** np.arange(1, 10)[:, None, None, None] * begin[:, None]
    np.testing.assert_allclose(evaluate(node, [x]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("synapse", SYNAPSES)
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_synapses_in_onnx(tmp_path, name, synapse, form):
    report = export_onnx(filtered(synapse, name), tmp_path, samples=samples(), form=form).report
    assert report.verified and all(report.spikes.values())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pure", "portable"])
@pytest.mark.parametrize("synapse", SYNAPSES)
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_synapses_unrolled_in_nir(tmp_path, name, synapse, form):
    done = export_nir(filtered(synapse, name), tmp_path / "a.nir", samples=samples(), form=form)
    assert done.report.verified


@pytest.mark.parametrize("synapse", SYNAPSES)
def test_synapses_as_li_nodes(tmp_path, synapse):
    source = filtered(synapse, coding="temporal", neuron_options=LIF, output_scale=False)
    done = export_nir(source, tmp_path / "a.nir", samples=samples(), form="lif")
    assert done.report.verified
    kinds = [type(node) for node in nir.read(tmp_path / "a.nir").nodes.values()]
    assert kinds.count(nir.LI) == 2 * len(source.graph.nodes[-2].poles)


def test_negative_control_another_pole_is_found(tmp_path, monkeypatch):
    source = filtered("exp")
    genuine = onnx_export.build_models

    def changed(graph, *given, **options):
        node = next(node for node in graph.nodes if isinstance(node, Filter))
        other = replace(node, poles=node.poles * np.float32(0.9))
        return genuine(graph.with_nodes({node.name: other}), *given, **options)

    monkeypatch.setattr(onnx_export, "build_models", changed)
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path, samples=samples())
    assert "layer synapse2" in refused.value.why


READOUTS = {
    "last": {},
    "membrane": {},
    "membrane-leaky": {"leak": 0.8, "learn_leak": True},
    "membrane-start": {"leak": 0.8, "learn_start": True},
}


def answering(readout, options, name="mlp", **others):
    model = network(
        name, readout=readout.split("-")[0], readout_options=options, output_scale=True, **others
    )
    with torch.no_grad():
        if getattr(model.readout, "start", None) is not None:
            model.readout.start.copy_(torch.linspace(-1, 1, 4))
    return source_of(model)


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("readout", READOUTS)
def test_readouts_in_onnx(tmp_path, readout, form):
    source = answering(readout, READOUTS[readout])
    assert source.graph.answer.kind == "last"
    assert export_onnx(source, tmp_path, samples=samples(), form=form).report.verified


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pure", "portable"])
@pytest.mark.parametrize("readout", READOUTS)
def test_readouts_unrolled_in_nir(tmp_path, readout, form):
    source = answering(readout, READOUTS[readout])
    if readout == "membrane-start":
        with pytest.raises(ConfigError, match="starts from a learned value"):
            export_nir(source, tmp_path / "a.nir", samples=samples(), form=form)
    else:
        done = export_nir(source, tmp_path / "a.nir", samples=samples(), form=form)
        assert done.report.verified


@pytest.mark.parametrize("readout", ["last", "membrane", "membrane-leaky"])
def test_readouts_of_one_lif_node_a_layer(tmp_path, readout):
    model = network(
        "mlp", readout=readout.split("-")[0], readout_options=READOUTS[readout],
        coding="temporal", neuron_options=LIF, output_scale=False,
    )  # fmt: skip
    done = export_nir(source_of(model), tmp_path / "a.nir", samples=samples(), form="lif")
    assert done.report.verified
    kinds = [type(node) for node in nir.read(tmp_path / "a.nir").nodes.values()]
    assert (nir.I in kinds, nir.LI in kinds) == {
        "last": (False, False), "membrane": (True, False), "membrane-leaky": (False, True),
    }[readout]  # fmt: skip


def test_negative_control_the_mean_is_not_the_last(tmp_path, monkeypatch):
    source = answering("last", {})
    genuine = onnx_export.build_models

    def changed(graph, *given, **options):
        return genuine(replace(graph, answer=type(graph.answer)()), *given, **options)

    monkeypatch.setattr(onnx_export, "build_models", changed)
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path, samples=samples())
    assert "the logits differ" in refused.value.why
