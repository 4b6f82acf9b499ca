"""The trace of one sample equals the counted spikes and the predictions."""

import pytest
import torch

from asnn.datasets import Split
from asnn.measure import evaluate
from asnn.measure.spikes import SpikeRates
from asnn.models import create_model
from asnn.reports.sample_trace import MAX_NEURONS, trace_sample


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return create_model(
        "lenet", in_shape=(1, 12, 12), classes=4, coding="hybrid", steps=3, widths=[6, 8], hidden=32
    ).eval()


@pytest.fixture
def image():
    return torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(1))


def test_spikes_equal_the_counted_spikes(model, image):
    found = trace_sample(model, image)
    with torch.no_grad(), SpikeRates(model) as rates:
        logits = model(image.unsqueeze(0))
    by_layer = rates.by_layer()
    assert [layer.name for layer in found.layers] == list(by_layer)
    for layer in found.layers:
        assert layer.total == pytest.approx(sum(by_layer[layer.name]) * layer.neurons)
        assert layer.spikes.shape == (3, min(layer.neurons, MAX_NEURONS))
    for t in range(3):
        probabilities = logits[: t + 1].mean(0).softmax(1)[0]
        assert found.predictions[t] == int(probabilities.argmax())
        assert found.confidence[t] == pytest.approx(float(probabilities.max()), abs=1e-5)


def test_small_layers_show_all_neurons(model, image):
    small = [layer for layer in trace_sample(model, image).layers if layer.neurons <= MAX_NEURONS]
    assert small
    assert all(int(layer.spikes.sum()) == layer.total for layer in small)


def test_the_network_is_not_changed(model, image):
    kernels = [module.kernels for module in model.modules() if hasattr(module, "kernels")]
    trace_sample(model, image)
    assert [m.kernels for m in model.modules() if hasattr(m, "kernels")] == kernels
    assert not any(module._forward_hooks for module in model.modules())


def test_a_random_code_is_drawn_the_same_each_time(image):
    model = create_model("mlp", in_shape=(1, 12, 12), classes=4, coding="rate", steps=8).eval()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = trace_sample(model, image)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(trace_sample(model, image).encoded.steps, first.encoded.steps)
    assert first.random


def test_a_random_code_is_drawn_as_in_an_evaluation():
    model = create_model("mlp", in_shape=(1, 12, 12), classes=4, coding="rate", steps=8).eval()
    images = torch.rand(9, 1, 12, 12, generator=torch.Generator().manual_seed(2))
    split = Split(images, torch.zeros(9, dtype=torch.int64))
    found = evaluate(model, split, classes=4, batch_size=4, full_scale=1)
    traces = [trace_sample(model, image, index=i) for i, image in enumerate(images)]
    spikes = sum(layer.total for trace in traces for layer in trace.layers)
    assert spikes / 9 == pytest.approx(found.spikes_per_sample)
    others = [trace_sample(model, image, index=0) for image in images]  # draws of another sample
    assert spikes != sum(layer.total for trace in others for layer in trace.layers)


def test_deterministic_code_is_not_random(model, image):
    assert not trace_sample(model, image).random
