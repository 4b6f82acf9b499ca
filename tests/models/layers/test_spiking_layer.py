"""Tests of what a spiking layer tells of its output."""

import pytest
import torch
from torch import nn

from asnn.models import create_model, use_kernels
from asnn.models.layers.spiking import SpikingLayer, layer_outputs, used_kernels

LENET = {"in_shape": (1, 12, 12), "classes": 3, "coding": "hybrid", "steps": 4, "widths": [4, 8]}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return create_model("lenet", **LENET)


def test_the_output_of_each_layer_is_that_of_its_pool(model):
    with layer_outputs(model) as outputs:
        model(torch.rand(2, 1, 12, 12))
    assert {name: tuple(output.shape[2:]) for name, output in outputs.items()} == {
        "spikes1": (4, 6, 6),
        "spikes2": (8, 3, 3),
        "spikes3": (outputs["spikes3"].shape[2],),
    }


def test_taps_leave_the_fused_kernels_in_use_and_hooks_do_not(model):
    x = torch.rand(2, 1, 12, 12)
    with layer_outputs(model) as fused:
        model(x)
    assert used_kernels(model) == "fused"
    use_kernels(model, "reference")
    with layer_outputs(model) as reference:
        model(x)
    for name, output in fused.items():
        assert torch.equal(output, reference[name])
    use_kernels(model, "auto")
    model.body.spikes1.neuron.register_forward_hook(lambda *_: None)
    model(x)
    assert used_kernels(model) == "mixed"


def test_gradients_flow_through_taps_to_the_layers_before_them_alone(model):
    with layer_outputs(model) as outputs:
        model(torch.rand(2, 1, 12, 12))
    outputs["spikes2"].mean().backward()
    reached = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert {"conv1", "spikes1", "conv2", "spikes2"} <= reached | {"spikes1", "spikes2"}
    assert not {"linear3", "spikes3", "readout"} & reached
    assert float(model.body.conv2.layer.weight.grad.abs().sum()) > 0


def test_a_frozen_copy_tells_its_outputs_too(model):
    model.eval()
    x = torch.rand(2, 1, 12, 12)
    with torch.no_grad():
        model.predict(x)
        with layer_outputs(model) as outputs:
            model.predict(x)
    assert set(outputs) == {"spikes1", "spikes2", "spikes3"}


def test_taps_are_gone_after_the_context_and_after_an_error(model):
    with pytest.raises(RuntimeError), layer_outputs(model):
        raise RuntimeError
    assert not any(m.taps for m in model.modules() if isinstance(m, SpikingLayer))


def test_a_layer_without_spikes_tells_its_values():
    layer = nn.Sequential()
    layer.add_module("spikes", SpikingLayer(None, nn.ReLU()))
    with layer_outputs(layer) as outputs:
        layer(torch.tensor([[[-1.0, 2.0]]]))
    assert outputs["spikes"].tolist() == [[[0.0, 2.0]]]
