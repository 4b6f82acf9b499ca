"""Networks of exact times."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.measure.cost.operations import Operations
from asnn.measure.spikes import SpikeRates
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from asnn.models.saved import load_model, save_model
from asnn.models.timing.layer import TimingConv2d, timing_layers
from asnn.models.timing.rel_psp import RelPsp

INF = float("inf")
TIMES = {"coding": "times", "steps": 1, "neuron": "rel-psp", "readout": "earliest"}
MODELS = {"timing-mlp": {"features": [12]}, "timing-conv": {"widths": [3], "kernel": 3}}


def network(name="timing-mlp", seed=0, **options):
    torch.manual_seed(seed)
    options = {**TIMES, **MODELS[name], **options}
    return create_model(name, in_shape=(1, 6, 6), classes=4, **options)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_files_and_the_frozen_copy(name, tmp_path):
    model, x = network(name), torch.rand(5, 1, 6, 6)
    outputs = model(x)
    assert outputs.shape == (1, 5, 4) and outputs.dtype == torch.float64
    assert torch.equal(model.eval().frozen()(x), outputs)
    save_model(tmp_path / "model.safetensors", model)
    assert torch.equal(load_model(tmp_path / "model.safetensors")(x), outputs)
    scores = model.predict(x)
    assert torch.equal(scores.argmax(1), outputs[0].argmax(1))
    assert model.decide(x).decided.all()


def test_a_convolution_is_the_neuron_at_every_place():
    neuron = RelPsp(1, 3, window=4.0)
    layer = TimingConv2d(2, neuron, kernel=3, stride=2, padding=1)
    layer.draw(6.0, 2.0, "normal")
    x = torch.rand(1, 2, 2, 5, 4, 2, dtype=torch.float64).sort(-1).values
    x[torch.rand(x.shape) < 0.2] = INF
    x = x.sort(-1).values.requires_grad_()
    y = layer(x)
    assert y.shape == (1, 2, 3, 3, 2, 1)
    padded = torch.full((2, 2, 7, 6, 2), INF, dtype=torch.float64)
    padded[:, :, 1:-1, 1:-1] = x[0]
    for row in range(3):
        for column in range(2):
            part = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            expected = neuron.fire(part.flatten(1, 3), layer.matrix)
            assert torch.equal(y[0, :, :, row, column], expected)
    assert y.isfinite().any()
    torch.where(y.isfinite(), y, 0).sum().backward()
    assert x.grad.isfinite().all() and (x.grad != 0).any()


def test_convolutions_make_a_stack():
    model = network("timing-conv", widths=[3, 5], kernel=2, stride=1, features=[7])
    with layer_outputs(model) as outputs:
        model(torch.rand(2, 1, 6, 6))
    shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    assert shapes == {
        "timing1": (1, 2, 3, 5, 5, 1),
        "timing2": (1, 2, 5, 4, 4, 1),
        "timing3": (1, 2, 7, 1),
        "timing4": (1, 2, 4, 1),
    }


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_weights_have_the_moments_that_are_asked_for(law):
    model = network(features=[400, 300], weight_mean=[8.0, 2.0], weight_std=[2.0], weight_law=law)
    for layer, mean in zip(timing_layers(model).values(), (8.0, 2.0, 2.0), strict=True):
        weight, inputs = layer.weight, layer.weight.shape[1]
        error = 2.0 / inputs**0.5 / weight.numel() ** 0.5
        assert abs(float(weight.mean()) - mean / inputs) < 5 * error
        assert float(weight.std()) == pytest.approx(2.0 / inputs**0.5, rel=0.1)
        bounded = float((weight - mean / inputs).abs().max()) <= 3**0.5 * 2.0 / inputs**0.5
        assert bounded == (law == "uniform")


def test_windows_of_hidden_and_output_layers():
    model = network(neuron_options={"window": 2.0, "output_window": 5.0})
    assert [layer.neuron.window for layer in timing_layers(model).values()] == [2.0, 5.0]


def test_spikes_are_counted_as_those_of_one_step():
    model, x = network().eval(), torch.rand(5, 1, 6, 6)
    with SpikeRates(model) as rates, layer_outputs(model) as outputs, torch.no_grad():
        model(x)
    for name, rate in rates.by_layer().items():
        assert rate == [pytest.approx(float(outputs[name].isfinite().double().mean()))]


def test_operations_are_those_before_each_neuron_fires():
    model, x = network().eval(), torch.rand(5, 1, 6, 6)
    with Operations(model) as operations, layer_outputs(model) as outputs, torch.no_grad():
        model(x)
    counts = operations.counts()
    code = model.coding.encode(x)[0].flatten(1)
    expected = []
    for times, out in (
        (code, outputs["timing1"]),
        (outputs["timing1"][0, ..., 0], outputs["timing2"]),
    ):
        earlier = times.unsqueeze(1) < out[0, ..., 0].unsqueeze(2)
        expected.append(float((earlier & times.isfinite().unsqueeze(1)).sum()))
    assert float(counts.ac.sum()) == float(counts.mac.sum()) == sum(expected)
    assert not counts.uncounted


@pytest.mark.parametrize(
    ("name", "options", "text", "remedy"),
    [
        ("timing-mlp", {"coding": "direct"}, "cannot read the code direct", "coding.name=times"),
        ("timing-mlp", {"neuron": "adaptive"}, "not AdaptiveLeaky", "model.neuron=rel-psp"),
        ("timing-mlp", {"readout": "mean"}, "the readout mean", "readout.name=earliest"),
        ("timing-mlp", {"features": []}, "features must be positive", ""),
        ("timing-mlp", {"weight_std": [-1.0]}, "none below 0", ""),
        ("timing-mlp", {"weight_mean": []}, "a value for the first layer", ""),
        ("timing-mlp", {"synapse": "exp"}, "has no synapses", "synapse.name=none"),
        ("timing-conv", {"kernel": 9}, "is too small for 1 convolutions", "model.kernel"),
        ("timing-conv", {"kernel": 0}, "kernel must be 1 or more", ""),
        ("mlp", {"neuron": "adaptive", "readout": "mean"}, "the code times", "model.name=timing"),
        ("mlp", {"coding": "direct", "readout": "mean"}, "the neuron RelPsp", "model.name=timing"),
        (
            "mlp",
            {"coding": "direct", "neuron": "adaptive", "features": [4]},
            "the readout EarliestReadout",
            "model.name=timing",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(name, options, text, remedy):
    given = {**TIMES, **MODELS.get(name, {"features": [12]}), **options}
    with pytest.raises(ConfigError) as error:
        create_model(name, in_shape=(1, 6, 6), classes=4, **given)
    assert text in f"{error.value}" and remedy in error.value.remedy
