"""Our networks with neurons of snnTorch: exported where exact, refused elsewhere."""

import nir
import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.graph.ir import Filter
from asnn.models.neurons.membranes import delayed_subtraction
from asnn.models.neurons.snntorch import SnnTorchNeuron
from tests.support.exported_networks import network, samples

EXACT = [
    ("Leaky", {"beta": 0.8}),
    ("Leaky", {"beta": 0.0, "threshold": 0.4}),
    ("Leaky", {"beta": 0.8, "reset_mechanism": "zero"}),
    ("Leaky", {"beta": 0.8, "reset_mechanism": "zero", "reset_delay": False}),
    ("Leaky", {"beta": 0.7, "reset_mechanism": "none", "threshold": 0.6}),
    ("Lapicque", {"beta": 0.8, "threshold": 0.2}),
    ("Lapicque", {"beta": 0.2, "time_step": 0.5}),  # its leak is below 0
    ("Synaptic", {"alpha": 0.6, "beta": 0.7}),
    ("Synaptic", {"alpha": 0.6, "beta": 0.7, "reset_mechanism": "none"}),
    ("RLeaky", {"beta": 0.8, "V": 0.5}),
    ("RLeaky", {"beta": 0.8, "all_to_all": True}),
    ("RSynaptic", {"alpha": 0.6, "beta": 0.7, "all_to_all": True}),
]
OF_THEIR_OWN = [
    ("Lapicque", {"beta": 0.8, "threshold": 0.2, "reset_mechanism": "zero"}),
    ("Synaptic", {"reset_mechanism": "zero"}),
    ("Alpha", {"threshold": 0.2}),
    ("RLeaky", {"beta": 0.8, "reset_mechanism": "zero"}),
    ("RSynaptic", {"V": 0.5}),
    ("RSynaptic", {"all_to_all": True, "reset_mechanism": "zero"}),
]
REFUSED = [
    ("Leaky", {"beta": 0.8, "reset_delay": False}, "subtracts again"),
    ("Synaptic", {"beta": 0.8, "reset_delay": False}, "subtracts again"),
]


def by_name(name, options, model="mlp", **others):
    return network(model, steps=6, neuron=f"snntorch.{name}", neuron_options=options, **others)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EXACT, ids=str)
def test_exact_neurons_are_exported(tmp_path, name, options):
    source = source_of(by_name(name, options))
    report = export_onnx(source, tmp_path / "a.onnx", samples=samples()).report
    assert report.verified and all(report.spikes.values())
    for parity in report.parities:
        assert parity.explained <= 1
    if options.get("reset_mechanism") == "zero":
        with pytest.raises(ConfigError, match="resets its membrane to zero"):
            export_nir(source, tmp_path / "a.nir", samples=samples())
    else:
        assert export_nir(source, tmp_path / "a.nir", samples=samples()).report.verified


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), OF_THEIR_OWN, ids=str)
def test_neurons_with_equations_of_their_own_are_exported_to_onnx(tmp_path, name, options):
    source = source_of(by_name(name, options))
    report = export_onnx(source, tmp_path / "a.onnx", samples=samples()).report
    assert report.verified and all(report.spikes.values())
    with pytest.raises(ConfigError, match="a neuron with equations of its own"):
        export_nir(source, tmp_path / "a.nir", samples=samples())


@pytest.mark.parametrize(("name", "options", "why"), REFUSED, ids=str)
def test_other_neurons_are_refused(name, options, why):
    with pytest.raises(ConfigError, match=why) as refused:
        source_of(by_name(name, options))
    assert f"'spikes1.neuron' ({name})" in refused.value.what


def test_networks_of_images():
    for name in ("Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic"):
        source_of(by_name(name, {}, "lenet"))


def test_a_leak_to_zero_is_one_lif_node_a_layer(tmp_path):
    model = by_name("Leaky", {"reset_mechanism": "zero"}, coding="temporal", output_scale=False)
    source = source_of(model)
    assert export_nir(source, tmp_path / "a.nir", samples=samples(), form="lif").report.verified
    kinds = [type(node) for node in nir.read(tmp_path / "a.nir").nodes.values()]
    assert kinds.count(nir.LIF) == 2


def test_the_current_of_synaptic_is_a_filter():
    graph = source_of(by_name("Synaptic", {"alpha": 0.6})).graph
    filters = [node for node in graph.nodes if isinstance(node, Filter)]
    assert [node.name for node in filters] == ["spikes1_current", "spikes2_current"]
    assert all(node.poles.tolist() == [[pytest.approx(0.6)]] for node in filters)


def test_delayed_subtraction_by_hand():
    leak, size = delayed_subtraction(torch.tensor([0.5, -0.5, 0.0]), torch.tensor([1.0, 1.0, 1.0]))
    assert size.tolist() == [2.0, -2.0, 2.0**40] and leak[2] == 2.0**-40
    # Either way the membrane after the spike is β v - θ.
    v = torch.tensor([1.5, 1.5, 1.5])
    torch.testing.assert_close(leak * (v - size), torch.tensor([-0.25, -1.75, -1.0]))


def test_a_subclass_with_another_forward_is_refused():
    model = by_name("Leaky", {})

    class Inverted(type(model.body.spikes1.neuron)):
        def forward(self, x):
            return 1 - super().forward(x)

    neuron = model.body.spikes1.neuron
    assert isinstance(neuron, SnnTorchNeuron) and isinstance(neuron, nn.Module)
    neuron.__class__ = Inverted
    with pytest.raises(ConfigError, match="Inverted"):
        source_of(model)
