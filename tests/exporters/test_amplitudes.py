"""Neurons that send amplitude × whole numbers are exported as whole numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx
from asnn.exporters.graph.interpreter import neuron_steps, run
from asnn.exporters.graph.ir import ChannelScale, Neuron
from asnn.exporters.onnx import export as onnx_export
from asnn.models.neurons.integrate import Integrate
from tests.support.exported_networks import make_source, network, samples, source_of

BURST = {"most": 3, "amplitude": 0.4, "fraction": 0.5}
FORMS = ["sequence", "stream", "scan"]


def burst_source(name="lenet", **options):
    return make_source(name, neuron="integrate", neuron_options={**BURST, **options})


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("most", [1, 3])
def test_the_neuron_of_the_graph_is_that_of_torch(most, by_channel):
    neuron = Integrate(4, 5, most=most, fraction=0.5, amplitude=0.7, leak=0.9, gain=1.2)
    if by_channel:
        neuron = Integrate(4, 5, most=most, fraction=0.5, granularity="channel")
        with torch.no_grad():
            neuron.raw_amplitude.copy_(torch.linspace(0.3, 1.1, 5))
    fields = neuron.neuron_fields()
    amplitude = fields.pop("amplitude").numpy()
    arrays = {k: v.numpy().copy() if torch.is_tensor(v) else v for k, v in fields.items()}
    node = Neuron(name="n", inputs=("input",), **arrays)
    x = torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(0))
    counts, _ = neuron_steps(node, x.numpy())
    assert set(np.unique(counts)) == set(range(most + 1))
    shaped = amplitude.reshape(-1, 1) if by_channel else amplitude
    np.testing.assert_allclose(counts * shaped, neuron(x).detach().numpy(), rtol=1e-6)


NETWORKS = ["lenet", "mlp", "vgg", "sew-resnet", "ms-resnet", "spikformer"]


@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize(
    "name",
    [n if n in ("lenet", "mlp") else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS],
)
def test_every_network_is_exported(tmp_path, name, granularity):
    shape = (2, 16, 16) if name in ("vgg", "spikformer") else (2, 6, 6)
    model = network(
        name, neuron="integrate", neuron_options={**BURST, "granularity": granularity}, shape=shape
    )
    if granularity == "channel":
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, Integrate):
                    module.raw_amplitude.mul_(torch.linspace(0.8, 1.3, len(module.raw_amplitude)))
    source = source_of(model)
    report = export_onnx(source, tmp_path / "a.onnx", samples=samples(8, shape)).report
    assert report.verified and all(report.spikes.values())
    values = run(source.graph, source.encode(samples(8, shape).images)).values
    for node in source.graph.neurons:
        assert set(np.unique(values[node.name])) <= {0.0, 1.0, 2.0, 3.0}
    scales = [node.name for node in source.graph.nodes if isinstance(node, ChannelScale)]
    kept = [name for name in scales if name.endswith("_amplitude")]
    # Sums and attention read amplitudes as they are; everything else absorbs them.
    assert bool(kept) == (name in ("sew-resnet", "spikformer"))
    if name in ("lenet", "vgg", "spikformer"):  # with max-pools, or products
        with pytest.raises(ConfigError, match=r"maximum of values that are not spikes|multiplies"):
            export_nir(source, tmp_path / "a.nir", samples=samples(8, shape), form="pure")
    else:
        export_nir(source, tmp_path / "a.nir", samples=samples(8, shape), form="pure")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_onnx(tmp_path, form):
    report = export_onnx(burst_source(), tmp_path, samples=samples(), form=form).report
    assert report.verified


@pytest.mark.slow
@pytest.mark.parametrize("form", ["pure", "portable"])
def test_nir_has_a_threshold_for_each_spike_of_a_step(tmp_path, form):
    done = export_nir(burst_source("mlp"), tmp_path / "a.nir", samples=samples(), form=form)
    assert done.report.verified


def test_one_lif_node_cannot_send_several_spikes(tmp_path):
    with pytest.raises(ConfigError) as refused:
        export_nir(burst_source("mlp"), tmp_path / "a.nir", samples=samples(), form="lif")
    assert "sends up to 3 spikes in a step" in refused.value.why


@pytest.mark.parametrize("field", ["most", "size", "threshold"])
def test_negative_control_another_neuron_is_found(tmp_path, monkeypatch, field):
    source = burst_source("mlp")
    genuine = onnx_export.build_models

    def changed(graph, *given, **options):
        node = graph.neurons[0]
        value = 2 if field == "most" else getattr(node, field) * np.float32(1.2)
        return genuine(
            graph.with_nodes({node.name: replace(node, **{field: value})}), *given, **options
        )

    monkeypatch.setattr(onnx_export, "build_models", changed)
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path, samples=samples())
    assert "layer spikes1" in refused.value.why


def test_negative_control_an_amplitude_left_out_is_found(tmp_path, monkeypatch):
    """The readout without the amplitude that is folded into it."""
    source = burst_source("mlp")
    genuine = onnx_export.build_models

    def changed(graph, *given, **options):
        node = graph.nodes[-1]
        whole = replace(node, weight=node.weight / np.float32(BURST["amplitude"]))
        return genuine(graph.with_nodes({node.name: whole}), *given, **options)

    monkeypatch.setattr(onnx_export, "build_models", changed)
    with pytest.raises(VerificationError, match="does not compute"):
        export_onnx(source, tmp_path, samples=samples())
