"""Amplitudes from the activations of the ANN on a fixed batch."""

from dataclasses import replace

import pytest
import torch

from asnn.datasets import load_dataset
from asnn.datasets.base import Split
from asnn.learning.start import calibration
from asnn.learning.start.calibration import calibrate
from asnn.models import create_model
from asnn.models.layers.neurons import calibratable
from asnn.models.neurons.ranges import activation_range

SHAPE = {"in_shape": (1, 8, 8), "classes": 10, "features": [12, 9], "mean": [0.3], "std": [0.4]}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data():
    return load_dataset("digits", validation=0.1, test=0.2, limit=300)


@pytest.fixture
def ann():
    torch.manual_seed(0)
    ann = create_model("mlp", **SHAPE, coding="direct", steps=1, neuron="relu", output_scale=False)
    for i in (1, 2):  # statistics that differ from those of a batch
        norm = getattr(ann.body, f"spikes{i}").norm.norm
        norm.running_mean.uniform_(-0.5, 0.5)
        norm.running_var.uniform_(0.5, 2)
    return ann


def network(**options):
    return create_model(
        "mlp", **SHAPE, coding="direct", steps=4, neuron="integrate", neuron_options=options
    )


def written_out(ann, images):
    """Return the activations of both layers, by matrix products."""
    x = (images.float() / 16 - 0.3) / 0.4
    x = x.flatten(1)
    found = []
    for i in (1, 2):
        linear = getattr(ann.body, f"linear{i}")
        weight = linear.analog[1].weight if i == 1 else linear.layer.weight
        norm = getattr(ann.body, f"spikes{i}").norm.norm
        x = (x @ weight.T - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        x = (x * norm.weight + norm.bias).relu()
        found.append(x.detach())
    return found


def amplitudes(model):
    return [float(neuron.amplitude) for neuron in calibratable(model).values()]


def calibrated(ann, data, rule="max", samples=100, **options):
    model = network(**options)
    names = calibrate(model, ann, data, rule=rule, samples=samples, device=CPU)
    assert names == ["spikes1", "spikes2"]
    return model


@pytest.mark.parametrize("rule", ["max", "quantile", "mse"])
def test_ranges_of_the_first_samples_by_a_loop_written_out(ann, data, rule):
    """100 samples: one batch of 64 and a part of the next."""
    model = calibrated(ann.train(), data, rule, most=3)  # calibration sets evaluation mode
    expected = [
        float(activation_range(a.flatten(), rule, levels=12)) / 3
        for a in written_out(ann, data.train.inputs[:100])
    ]
    assert amplitudes(model) == pytest.approx(expected, rel=1e-4)
    # Negative control: other samples have other ranges.
    others = [
        float(activation_range(a.flatten(), rule, levels=12)) / 3
        for a in written_out(ann, data.train.inputs[100:])
    ]
    assert amplitudes(model) != pytest.approx(others, rel=1e-4)


def test_only_the_first_samples_count(ann, data):
    def with_bright(index):
        images = data.train.inputs.clone()
        images[index] = 16
        return replace(data, train=Split(images, data.train.targets))

    plain = amplitudes(calibrated(ann, data))
    assert amplitudes(calibrated(ann, with_bright(100))) == plain
    assert amplitudes(calibrated(ann, with_bright(99))) != plain


def test_groups_of_layers_give_the_same(ann, data, monkeypatch):
    plain = amplitudes(calibrated(ann, data, "mse"))
    runs = []
    ann.body.register_forward_hook(lambda *arguments: runs.append(1))
    amplitudes(calibrated(ann, data, "mse"))
    together = len(runs)
    monkeypatch.setattr(calibration, "MAX_BYTES", 100 * 12 * 4)  # one layer at a time
    runs.clear()
    assert amplitudes(calibrated(ann, data, "mse")) == plain
    assert len(runs) > together


def test_each_channel(ann, data):
    model = calibrated(ann, data, granularity="channel")
    expected = written_out(ann, data.train.inputs[:100])[0].amax(0)
    found = model.body.spikes1.neuron.amplitude
    alive = expected > 0
    torch.testing.assert_close(found[alive], expected[alive])
    assert bool((found[~alive] == expected.max()).all())


def test_the_random_state_is_as_before(ann, data):
    torch.manual_seed(3)
    model = network()
    state = torch.get_rng_state()
    calibrate(model, ann, data, rule="max", samples=100, device=CPU)
    assert torch.equal(torch.get_rng_state(), state)


def test_more_samples_than_there_are(ann, data):
    few = amplitudes(calibrated(ann, data, samples=len(data.train)))
    assert amplitudes(calibrated(ann, data, samples=10_000)) == few


def test_neurons_without_an_amplitude_are_left_alone(ann, data):
    model = create_model("mlp", **SHAPE, coding="direct", steps=4, neuron="adaptive")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert calibrate(model, ann, data, rule="max", samples=10, device=CPU) == []
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_ranges_are_those_of_the_neurons_before_a_pool(data, pool):
    """A neuron saturates, not the mean of several: their activations are wider than their means."""
    torch.manual_seed(0)
    shape = {**SHAPE, "widths": [4, 6], "hidden": 8, "pool": pool, "coding": "direct"}
    del shape["features"]
    ann = create_model("lenet", **shape, steps=1, neuron="relu", output_scale=False)
    model = create_model("lenet", **shape, steps=4, neuron="integrate")
    calibrate(model, ann, data, rule="quantile", samples=100, device=CPU)
    x = (data.train.inputs[:100].float() / 16 - 0.3) / 0.4
    conv = next(m for m in ann.body.modules() if isinstance(m, torch.nn.Conv2d))
    norm = ann.body.spikes1.norm.norm
    with torch.no_grad():
        x = torch.nn.functional.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        x = (x - norm.running_mean.view(-1, 1, 1)) * factor.view(-1, 1, 1)
        a = (x + norm.bias.view(-1, 1, 1)).relu()
    found = float(model.body.spikes1.neuron.amplitude)
    expected = float(activation_range(a.flatten(), "quantile", levels=4))
    assert found == pytest.approx(expected, rel=1e-4)
    # Negative control: behind the pool the range is another one.
    behind = ann.body.spikes1.pool(a)
    other = float(activation_range(behind.flatten(), "quantile", levels=4))
    assert found != pytest.approx(other, rel=1e-2)
