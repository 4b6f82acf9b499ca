"""`asnn inspect RUN` lists layers, parameters and schedules by the names of the layers."""

import pytest

from asnn.inspection import inspect
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.saved import save_model
from tests.support.exported_networks import architecture, network


@pytest.mark.parametrize("name", ["ms", "sew-add", "vgg-11", "spikformer"])
def test_layers_and_schedules_within_blocks_are_listed_by_name(tmp_path, name):
    model, _ = architecture(name, steps=2)
    save_model(tmp_path / "model.safetensors", model)
    (tmp_path / "config.toml").write_text('name = "test"\n[coding]\n')
    about = inspect(tmp_path)
    neurons = [key for key, part in model.body.named_modules() if isinstance(part, SpikingLayer)]
    assert set(about["schedules"]) == {*neurons, "readout"}
    parameters = {layer["name"]: layer["parameters"] for layer in about["layers"]}
    assert set(neurons) < set(parameters)
    for layer in neurons:
        module = model.body.get_submodule(layer)
        assert parameters[layer] == sum(value.numel() for value in module.parameters())
    assert sum(parameters.values()) == sum(value.numel() for value in model.parameters())


@pytest.mark.parametrize(
    ("neuron", "options"),
    [
        ("fixed", {}),
        ("adaptive", {"learn_threshold": True, "learn_reset_size": True}),
        ("relu", {}),
        ("integrate", {}),
        ("integrate", {"learn_amplitude": True}),
    ],
)
def test_learned_parameters_are_counted_and_nothing_else(tmp_path, neuron, options):
    model = network("ms-resnet", steps=2, neuron=neuron, neuron_options=options)
    save_model(tmp_path / "model.safetensors", model)
    (tmp_path / "config.toml").write_text('name = "test"\n[coding]\n')
    learned = sum(value.numel() for value in model.parameters())
    assert inspect(tmp_path)["parameters"] == learned
