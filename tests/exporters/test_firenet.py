"""Files of optical flow: neurons that read their own spikes and their layer's input."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Cell, Neuron
from asnn.exporters.graph.network import lower_network
from asnn.models import create_model

SPEC = SampleSpec("events", (2, 6, 7), duration=1000)
STEPS = 4


def network(neuron, **options):
    torch.manual_seed(1)
    return create_model(
        "firenet",
        in_shape=SPEC.shape,
        classes=2,
        sample=SPEC,
        coding="frames",
        coding_options={"value": "count"},
        steps=STEPS,
        neuron=neuron,
        width=4,
        limit=3.0,
        **options,
    ).eval()


def frames(batch=3):
    return torch.poisson(torch.full((STEPS, batch, *SPEC.shape), 0.6), torch.manual_seed(0))


@pytest.mark.parametrize("neuron", ["lif", "alif", "plif", "xlif"])
def test_the_graph_computes_what_the_network_does(neuron):
    model, code = network(neuron), frames() - 0.3  # of either sign, as |x| is read
    graph = lower_network(model)
    with torch.no_grad():
        expected = model.run(code).numpy()
    trace = run(graph, code.numpy())
    np.testing.assert_allclose(trace.logits, expected, rtol=0, atol=2e-5)
    assert graph.output_shape == (2, 6, 7)
    kind = Neuron if neuron == "lif" else Cell
    assert [type(node) for node in graph.neurons] == [kind] * 7
    # Negative control: without the recurrent weights it is another function.
    changed = {node.name: replace(node, recurrent=None) for node in graph.neurons}
    assert np.abs(run(graph.with_nodes(changed), code.numpy()).logits - expected).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("neuron", ["lif", "alif", "plif", "xlif"])
def test_onnx(tmp_path, neuron, form):
    source = source_of(network(neuron))
    samples = random_samples(source.sample_shape, 6)
    exported = export_onnx(source, tmp_path / "a.onnx", samples=samples, form=form)
    parities = exported.report.parities
    assert len(parities) > 1 and all(each.agrees for each in parities)
    assert exported.report.driven.fault is None


@pytest.mark.slow
def test_a_stream_carries_its_states(tmp_path):
    model, code = network("xlif"), frames().numpy()
    export_onnx(source_of(model), tmp_path / "a.onnx", samples=None, form="stream")
    init, step = (
        onnxruntime.InferenceSession(path)
        for path in sorted(tmp_path.glob("**/*.onnx"), key=lambda path: "step" in path.name)
    )
    names = [each.name for each in init.get_outputs()]
    states = dict(zip(names, init.run(None, {"x": code[0]}), strict=True))
    assert {"v_g1", "s_g1", "p_g1"} <= set(names)
    flow = []
    for t, x in enumerate(code):
        found = step.run(None, {"t": np.array(t), "x": x, **states})
        by_name = dict(zip([each.name for each in step.get_outputs()], found, strict=True))
        flow.append(by_name["logits"])
        states = {name: by_name[f"{name}_after"] for name in names}
    with torch.no_grad():
        expected = model.run(torch.from_numpy(code)).numpy()
    np.testing.assert_allclose(np.stack(flow), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("neuron", ["lif", "alif"])
def test_nir_is_refused(tmp_path, neuron):
    with pytest.raises(ConfigError, match="which asnn does not write to NIR|NIR"):
        export_nir(source_of(network(neuron)), tmp_path / "a.nir", samples=None)


def test_the_ann_counterpart_is_refused():
    with pytest.raises(ConfigError, match="ReLU in place of spikes is for comparison only"):
        source_of(network("relu"))


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["lif", "alif"])
def test_other_networks_of_these_neurons(tmp_path, neuron):
    torch.manual_seed(0)
    model = create_model(
        "lenet",
        in_shape=(1, 8, 8),
        classes=3,
        widths=[4],
        hidden=6,
        coding="direct",
        neuron=neuron,
        neuron_options={"granularity": "layer" if neuron == "lif" else "channel"},
    ).eval()
    source = source_of(model)
    samples = random_samples(source.sample_shape, 6)
    exported = export_onnx(source, tmp_path / "a.onnx", samples=samples)
    assert all(each.agrees for each in exported.report.parities)
    if neuron == "lif":
        exported = export_nir(source, tmp_path / "a.nir", samples=samples, form="lif")
        assert all(each.agrees for each in exported.report.parities)
    else:
        with pytest.raises(ConfigError, match="NIR"):
            export_nir(source, tmp_path / "a.nir", samples=samples)
