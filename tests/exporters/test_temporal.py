"""Files of temporal convolutions and of cells: what they compute, and what has none."""

import numpy as np
import onnxruntime
import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Shift
from asnn.exporters.graph.network import lower_network
from asnn.models import create_model

OPTIONS = {"granularity": "channel", "learn_reset_size": True, "gain": 2.0}


def _model(coding: str = "direct", **options):
    torch.manual_seed(0)
    settings = {"widths": [16, 16], "neuron_options": OPTIONS, "steps": 3} | options
    model = create_model("spiking-yolo", in_shape=(1, 9, 8), classes=6, coding=coding, **settings)
    for _ in range(5):
        model(torch.rand(4, 1, 9, 8))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("readout.scale"):
                parameter.copy_(torch.linspace(0.5, 1.5, len(parameter)))
    return model.eval()


def _verified(exported) -> bool:
    parities = exported.report.parities
    return len(parities) > 1 and all(each.agrees for each in parities)


@pytest.mark.parametrize(
    ("coding", "options"),
    [("direct", {}), ("hybrid", {"causal": True}), ("hybrid", {"scales": 2})],
    ids=str,
)
def test_the_graph_computes_what_the_network_does(coding, options):
    model = _model(coding, **options)
    graph = lower_network(model)
    code = model.coding.encode(torch.rand(3, 1, 9, 8))
    with torch.no_grad():
        expected = model.run(code).numpy()
    trace = run(graph, code.numpy())
    np.testing.assert_allclose(trace.logits, expected, rtol=0, atol=1e-5)
    assert graph.output_shape == expected.shape[2:]
    assert any(node.looks_ahead for node in graph.nodes) == ("causal" not in options)
    # Negative control: without the shifts it is another function.
    still = {
        node.name: type(node)(name=node.name, inputs=node.inputs, by=-node.by)
        for node in graph.nodes
        if isinstance(node, Shift)
    }
    turned = run(graph.with_nodes(still), code.numpy())
    assert np.abs(turned.logits - expected).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("sequence", {}),
        ("sequence", {"scales": 3, "coding": "hybrid"}),
        ("sequence", {"causal": True}),
        ("stream", {"causal": True, "scales": 2, "coding": "hybrid"}),
        ("scan", {"causal": True}),
    ],
    ids=str,
)
def test_onnx(tmp_path, form, options):
    model = _model(**options)
    source = source_of(model)
    samples = random_samples(source.sample_shape, 8)
    exported = export_onnx(source, tmp_path / "a.onnx", samples=samples, form=form)
    assert _verified(exported)
    assert exported.report.driven.fault is None
    if form == "sequence":
        session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
        found = session.run(["logits"], {"image": samples.images})[0]
        expected = model.predict(torch.from_numpy(samples.images)).numpy()
        assert found.shape == expected.shape  # [N, K, A]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pure", "portable"])
@pytest.mark.parametrize("options", [{}, {"causal": True, "coding": "hybrid"}], ids=str)
def test_nir_unrolled(tmp_path, form, options):
    source = source_of(_model(**options))
    samples = random_samples(source.sample_shape, 8)
    exported = export_nir(source, tmp_path / "a.nir", samples=samples, form=form)
    assert _verified(exported)


@pytest.mark.parametrize("form", ["stream", "scan"])
def test_a_stream_that_looks_ahead_is_refused(tmp_path, form):
    with pytest.raises(ConfigError) as found:
        export_onnx(source_of(_model()), tmp_path / "a.onnx", samples=None, form=form)
    assert "looks ahead" in found.value.what
    assert found.value.why == "it reads the next step"
    assert found.value.remedy == "use --form sequence, or train with model.causal=true"


def test_several_grids_are_refused_in_nir(tmp_path):
    with pytest.raises(ConfigError) as found:
        export_nir(source_of(_model(scales=2)), tmp_path / "a.nir", samples=None)
    assert "joins the cells of 2 grids, which NIR cannot express" in found.value.what
    assert found.value.remedy == "use --format onnx, or train with model.scales=1"


def test_one_lif_node_a_layer_cannot_read_other_steps(tmp_path):
    source = source_of(_model(causal=True))
    with pytest.raises(ConfigError) as found:
        export_nir(source, tmp_path / "a.nir", samples=None, form="lif")
    assert "it reads another step" in found.value.why


def test_a_start_from_the_last_input_is_refused():
    with pytest.raises(ConfigError) as found:
        source_of(_model(start="last-input"))
    assert found.value.why.startswith("its membranes start from the last input")
    assert found.value.remedy == "train with model.start=zero"


def test_a_gate_is_refused():
    with pytest.raises(ConfigError) as found:
        source_of(_model(gate=True))
    assert found.value.why == "its gate multiplies spikes by what it reads of all steps"
    assert found.value.remedy == "train with model.gate=false"
