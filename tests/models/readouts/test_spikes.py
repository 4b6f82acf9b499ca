"""The readout of spiking outputs."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.exporters import export_onnx, source_of
from asnn.models import create_model
from asnn.models.neurons.iir import Iir
from asnn.models.readouts import create_readout
from asnn.models.stepwise import stepper
from tests.support.exported_networks import network, samples

T, B, F, K = 7, 5, 8, 3


def readout(**options):
    torch.manual_seed(0)
    made = create_readout("spikes", F, K, steps=T, scaled=True, **options)
    with torch.no_grad():
        made.linear.weight.mul_(5)
        made.scale.copy_(torch.linspace(0.5, 1.5, T))
    return made


def features():
    return (torch.rand(T, B, F, generator=torch.Generator().manual_seed(0)) < 0.5).float()


@torch.no_grad()
def test_outputs_and_answers():
    layer, x = readout(tau=2.0, threshold=0.8), features()
    inputs = (x @ layer.linear.weight.T + layer.linear.bias) * layer.scale.view(-1, 1, 1)
    outputs = layer(x)
    torch.testing.assert_close(outputs, Iir(T, tau=2.0, threshold=0.8)(inputs))
    assert set(outputs.unique().tolist()) == {0, 1}
    means = torch.stack([outputs[: t + 1].mean(0) for t in range(T)])
    torch.testing.assert_close(layer.so_far(outputs), means)
    assert torch.equal(layer.answer(outputs), outputs.sum(0))
    decision = layer.decide(outputs)
    torch.testing.assert_close(decision.scores, means[-1])
    assert decision.decided.all() and decision.step.tolist() == [T - 1] * B
    step = stepper(layer)
    assert torch.equal(torch.stack([step(x_t) for x_t in x]), outputs)


@torch.no_grad()
def test_predictions_are_those_of_the_spikes():
    """Not those of the mean of the features, which is cheaper."""
    torch.manual_seed(0)
    model = create_model("mlp", in_shape=(1, 4, 4), classes=K, steps=T, readout="spikes").eval()
    model.readout.linear.bias.copy_(torch.tensor([0.5, 1.2, 2.0]))
    x = torch.rand(6, 1, 4, 4)
    found = model.predict(x)
    torch.testing.assert_close(found, model(x).mean(0))
    counts = found * T
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-4)
    assert found.any()


def test_gradients_reach_the_weights():
    layer = readout()
    layer.answer(layer(features())).square().sum().backward()
    assert layer.linear.weight.grad.abs().sum() > 0 and layer.scale.grad.abs().sum() > 0


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_exports(tmp_path, form):
    model = network("mlp", readout="spikes", readout_options={"threshold": 0.2}, synapse="exp")
    report = export_onnx(source_of(model), tmp_path, samples=samples(), form=form).report
    assert report.verified


def test_refusals():
    with pytest.raises(ConfigError, match="tau must be above 0, not 0"):
        readout(tau=0)
