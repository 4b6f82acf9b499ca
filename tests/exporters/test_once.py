"""Neurons that fire once, exported: exact in every form of ONNX, unrolled in NIR."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx
from asnn.exporters.graph.interpreter import neuron_steps, run
from asnn.exporters.graph.ir import Neuron
from asnn.exporters.nir import export as nir_export
from asnn.exporters.onnx import export as onnx_export
from tests.support.exported_networks import make_source, network, samples, spikes_of

ONCE = {"once": True, "threshold": 0.3}


def once(name="mlp", **options):
    return make_source(name, neuron_options={**ONCE, **options.pop("neuron", {})}, **options)


def with_many(graph):
    """The graph without `once`: the same weights may fire at every step."""
    return graph.with_nodes({node.name: replace(node, once=False) for node in graph.neurons})


@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_the_graph_computes_the_network_and_fires_once(name):
    source = once(name)
    images = samples(12).images
    trace = run(source.graph, source.encode(images))
    model = network(name, neuron_options=ONCE)
    with torch.no_grad():
        np.testing.assert_allclose(
            trace.logits, model(torch.from_numpy(images)).numpy(), rtol=1e-4, atol=1e-4
        )
    assert spikes_of(trace, source.graph)
    for node in source.graph.neurons:
        assert node.once and node.reset == "none"
        assert trace.values[node.name].sum(0).max() == 1


def test_negative_control_the_same_weights_fire_more_often():
    source = once()
    graph = with_many(source.graph)
    trace = run(graph, source.encode(samples(12).images))
    assert max(trace.values[node.name].sum(0).max() for node in graph.neurons) > 1


def test_no_rounding_makes_a_neuron_fire_again():
    """Its distance from the threshold is infinite once it has fired, so no flip is excused."""
    one = np.ones((4, 1), np.float32)
    node = Neuron(
        name="n", inputs=("input",), leak=one, gain=one, threshold=one, size=one, reset="none",
        once=True,
    )  # fmt: skip
    x = np.float32([0.5, 0.75, 0.25, 0.5]).reshape(4, 1, 1)
    spikes, distances = neuron_steps(node, x)  # membranes 1/2, 5/4, 3/2, 2
    assert spikes.flatten().tolist() == [0, 1, 0, 0]
    assert distances.flatten().tolist() == [-0.5, 0.25, np.inf, np.inf]


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
@pytest.mark.parametrize("name", ["mlp", "lenet"])
def test_onnx_is_exact_in_every_form(tmp_path, name, form):
    report = export_onnx(once(name), tmp_path, samples=samples(), form=form).report
    assert report.verified and all(report.spikes.values())


@pytest.mark.parametrize("form", ["sequence", "stream"])
def test_recurrent_neurons_in_onnx(tmp_path, form):
    from asnn.exporters import source_of
    from asnn.models import create_model

    torch.manual_seed(0)
    model = create_model(
        "rsnn", in_shape=(2, 6, 6), classes=4, steps=4, features=[9], neuron_options=ONCE
    ).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            value += 0.5 * key.endswith("gain")
    source = source_of(model, {"recipe": "test", "classes": list("abcd")})
    assert export_onnx(source, tmp_path, samples=samples(), form=form).report.verified


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pure", "portable"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_nir_is_unrolled_whatever_the_reset(tmp_path, no_simulators, form, reset):
    """The reset of a neuron that fires once is not needed, so that to zero has a form too."""
    source = once(neuron={"reset": reset})
    done = export_nir(source, tmp_path / "a.nir", samples=samples(), form=form)
    assert done.report.verified


@pytest.mark.slow
def test_simulators_run_it(tmp_path):
    done = export_nir(once(), tmp_path / "a.nir", samples=samples(), form="portable")
    assert done.report.verified


def test_one_lif_node_is_refused(tmp_path):
    source = once(
        coding="temporal", output_scale=False, neuron={"schedule": "shared", "bounded": True}
    )
    with pytest.raises(ConfigError) as caught:
        export_nir(source, tmp_path / "a.nir", samples=samples(), form="lif")
    assert "it fires once, a LIF node again and again" in caught.value.why
    done = export_nir(source, tmp_path / "b.nir", samples=samples(), form="lif", approximate=True)
    assert any("it fires once" in note for note in done.notes)


@pytest.mark.parametrize("kind", ["onnx", "nir"])
def test_negative_control_a_file_that_fires_again_is_found(
    tmp_path, monkeypatch, no_simulators, kind
):
    module, name = {"onnx": (onnx_export, "build_models"), "nir": (nir_export, "_nir_graph")}[kind]
    genuine = getattr(module, name)
    monkeypatch.setattr(
        module, name, lambda graph, *given, **options: genuine(with_many(graph), *given, **options)
    )
    export = {"onnx": export_onnx, "nir": export_nir}[kind]
    path = tmp_path / ("a.nir" if kind == "nir" else "a")
    with pytest.raises(VerificationError, match="spikes"):
        export(once(), path, samples=samples())
