"""Properties of all corruptions, and refusals."""

import math

import pytest
import torch

from asnn.coding import create_coding
from asnn.core import ConfigError
from asnn.measure import evaluate
from asnn.measure.robustness.corruptions import corrupt, corruption_registry, robustness
from asnn.models.layers.spiking import SpikingLayer
from tests.support.small_lenet import HARDEST, NAMES, OPTIONS, STEPS, network, samples


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_not_changed(name):
    model, split = network(), samples()
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    before = evaluate(model, split, **OPTIONS)
    corrupted = corrupt(model, name, HARDEST[name])
    evaluate(corrupted, split, **OPTIONS)
    assert corrupted.config == model.config
    assert not corrupted.training
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert not any(m.spike_observers for m in model.modules() if isinstance(m, SpikingLayer))
    after = evaluate(model, split, **OPTIONS)
    assert (after.loss, after.spike_rates) == (before.loss, before.spike_rates)
    corrupt(model.train(), name, HARDEST[name])
    assert all(module.training for module in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("coding", ["hybrid", "rate"])
def test_rows_start_clean_and_do_not_depend_on_the_batch(name, coding):
    options = {"coding_options": {"seed": 0}} if coding == "rate" else {}
    model, split = network(coding=coding, **options), samples()
    expected = {name: [HARDEST[name]]}
    rows = robustness(model, split, expected, **OPTIONS)
    clean = evaluate(model, split, **OPTIONS)
    assert [row["severity"] for row in rows] == [0, HARDEST[name]]
    assert {row["corruption"] for row in rows} == {name}
    for key in ("accuracy", "loss", "spike_rate", "spikes_per_sample"):
        assert rows[0][key] == getattr(clean, key)
    assert rows[1]["loss"] != clean.loss
    assert rows == robustness(model, split, expected, clean=clean, **OPTIONS)
    if coding != "rate":  # a rate code draws for a whole batch
        again = robustness(model, split, expected, batch_size=5, **OPTIONS)
        assert again[1]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)
        assert again[1]["spike_rate"] == pytest.approx(rows[1]["spike_rate"], rel=1e-9)


@pytest.mark.parametrize("name", ["gaussian-noise", "salt-and-pepper", "dead-neurons"])
def test_seeds_repeat_and_differ(name):
    model, split = network(), samples()
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(losses))  # the global generator is not used
        rows = robustness(model, split, {name: [HARDEST[name]]}, seed=seed, **OPTIONS)
        losses.append(rows[1]["loss"])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("sew-resnet", {"width": 4}),
        ("spikformer", {"size": "1-16", "heads": 2}),
        ("mlp", {"features": [6]}),
        ("lenet", {"neuron": "relu", "coding": "direct", "steps": 1, "neuron_options": {}}),
        ("lenet", {"norm": "per-step"}),
    ],
)
def test_every_architecture_can_be_corrupted(architecture, options):
    model, split = network(architecture, **options), samples()
    for name in NAMES:
        if corruption_registry.get(name).fits(model):
            result = evaluate(corrupt(model, name, HARDEST[name]), split, **OPTIONS)
            assert math.isfinite(result.loss)


@pytest.mark.parametrize(
    ("name", "severity", "says"),
    [
        ("gausian-noise", 0.1, "unknown corruption 'gausian-noise'"),
        (
            "spike-drop",
            0.1,
            "spike-drop corrupts spikes, the code 'direct' has no spikes to corrupt",
        ),
        (
            "spike-jitter",
            1.0,
            "choose from gaussian-noise, salt-and-pepper, blur, contrast, quantize, dead",
        ),
        ("blur", -1, "the severity of blur must be from 0 to 100, not -1"),
        ("blur", math.nan, "not nan"),
        ("gaussian-noise", math.inf, "must be from 0 to 100, not inf"),
        ("contrast", 1.5, "from 0 to 1, not 1.5: it is the share of the contrast"),
        ("quantize", 1, "a whole number from 2 to 16, not 1"),
        ("quantize", 4.5, "a whole number from 2 to 16, not 4.5"),
    ],
)
def test_refusals(name, severity, says):
    model = network(coding="direct")
    with pytest.raises(ConfigError, match=says):
        corrupt(model, name, severity)
    evaluated = []
    with pytest.raises(ConfigError, match=says):
        robustness(
            model, samples(), {"blur": [1], name: [severity]},
            each_batch=lambda: evaluated.append(1), **OPTIONS,
        )  # fmt: skip
    assert not evaluated


def test_severity_0_is_the_network_itself():
    model = network()
    for name in NAMES:
        assert corrupt(model, name, 0) is model
        severities = corruption_registry.get(name).severities
        assert len(severities) == (3 if name == "quantize" else 5)


def test_spike_corruptions_apply_to_codes_with_spikes():
    for coding in ("direct", "temporal", "hybrid"):
        fits = corruption_registry.get("spike-drop").fits(network(coding=coding))
        assert fits == (create_coding(coding, steps=STEPS).analog_steps < STEPS)


def test_dead_neurons_keep_the_amplitude_of_the_others():
    from asnn.measure.robustness.networks import with_dead_neurons
    from asnn.measure.spikes import SpikeRates
    from asnn.models import create_model

    torch.manual_seed(0)
    model = create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=4, neuron="integrate", features=[20],
        neuron_options={"most": 5, "amplitude": 0.1}, coding="direct",
    ).eval()  # fmt: skip
    x = torch.rand(6, 1, 4, 4)
    rates = []
    for part in (model.frozen(), with_dead_neurons(model, 0.0)):
        with torch.no_grad(), SpikeRates(part) as spikes:
            part(x)
        rates.append(spikes.mean())
    assert rates[0] == rates[1] > 0
