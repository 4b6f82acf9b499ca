"""The LSTM network: against torch.nn.LSTM, and a training step in every kind of sample."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from asnn.core import ConfigError
from asnn.datasets.base import Split
from asnn.learning.optimizer import make_optimizer
from asnn.learning.recipe.schema import TrainSection
from asnn.measure import evaluate
from asnn.models import create_model
from tests.support.samples import CODES, batch_of, spec_for

STEPS, CLASSES = 4, 3


def network(coding="given", *, seed=0, shape=(2, 4, 3), **options):
    spec = spec_for(coding, shape, STEPS)
    torch.manual_seed(seed)
    model = create_model(
        "lstm", in_shape=spec.shape, classes=CLASSES, sample=spec, coding=coding, steps=STEPS,
        **{"features": [6, 6], **options},
    )  # fmt: skip
    return model.eval(), spec


@pytest.mark.parametrize("coding", ["given", "hybrid", "temporal"])
def test_logits_equal_those_of_torch(coding):
    mean, std = [0.25, 0.75], [0.5, 2.0]  # exact in float32
    model, spec = network(coding, mean=mean, std=std)
    model = model.double()
    weights = model.state_dict()
    plain = nn.LSTM(24, 6, num_layers=2).double()
    for layer in range(2):
        for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            value = weights[f"body.lstm{layer + 1}.{key}_l0"]
            getattr(plain, f"{key}_l{layer}").data.copy_(value)
    x = batch_of(spec, 5).double()
    code = model.coding.encode(x).clone()
    for channel in range(2):
        analog = code[: model.coding.analog_steps, :, channel]
        analog -= mean[channel]
        analog /= std[channel]
    h, _ = plain(code.flatten(2))
    rows = h @ weights["body.readout.linear.weight"].T + weights["body.readout.linear.bias"]
    expected = weights["body.readout.scale"].view(-1, 1, 1) * rows
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(model.frozen()(x), expected, rtol=0, atol=1e-12)
        # Negative control: without the standardisation of analog steps.
        model.body.input.std.fill_(1.0)
        differs = (model(x) - expected).abs().max() > 1e-3
        assert differs == (model.coding.analog_steps > 0)


@pytest.mark.parametrize("coding", CODES)
def test_a_training_step_in_every_kind_of_sample(coding):
    model, spec = network(coding)
    model.train()
    optimizer = make_optimizer(TrainSection(lr=0.01, weight_decay=0.1), model)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    cross_entropy(model(batch_of(spec, 8)).mean(0), torch.arange(8) % CLASSES).backward()
    optimizer.step()
    for name, value in model.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), name
        assert value.isfinite().all() and not torch.equal(value, before[name]), name
    assert model.eval()(batch_of(spec, 0)).shape == (STEPS, 0, CLASSES)


def test_training_learns_the_order_of_a_series():
    """Whether a pulse came first in channel 0 or 1: its last step alone does not say it."""
    spec = spec_for("given", (2,), 6)
    torch.manual_seed(0)
    model = create_model(
        "lstm", in_shape=(2,), classes=2, sample=spec, coding="given", steps=6, features=[8]
    )
    labels = torch.arange(64) % 2
    x = 0.1 * torch.randn(64, 6, 2)
    for i, label in enumerate(labels.tolist()):
        x[i, 1, label] += 1
        x[i, 3, 1 - label] += 1
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(model(x)[-1], labels).backward()
        optimizer.step()
    assert (model(x)[-1].argmax(1) == labels).float().mean() == 1


def test_it_has_no_spikes():
    model, _ = network("direct")
    split = Split(torch.rand(6, 2, 4, 3), torch.arange(6) % CLASSES)
    found = evaluate(model, split, classes=CLASSES, full_scale=1.0, count=True)
    assert found.spike_rates == {} and found.spike_rate == found.spikes_per_sample == 0
    assert found.counts.neurons == [] and found.counts.activation_sparsity() is None


def test_number_of_parameters():
    model, _ = network(features=[6, 5])
    first, second = 4 * 6 * (24 + 6 + 2), 4 * 5 * (6 + 5 + 2)
    readout = 5 * CLASSES + CLASSES + STEPS
    assert sum(p.numel() for p in model.parameters()) == first + second + readout


def test_it_has_no_ann_counterpart():
    with pytest.raises(ConfigError) as caught:
        network(neuron="relu")
    assert caught.value.what == "lstm has no ANN counterpart"
    assert caught.value.why == "an LSTM has no neurons that ReLU could replace"


@pytest.mark.parametrize("features", [[], [0], [4, -1]])
def test_features_must_be_positive(features):
    with pytest.raises(ConfigError, match="features must be positive, not"):
        network(features=features)
