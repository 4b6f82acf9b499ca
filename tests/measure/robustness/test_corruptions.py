"""Each corruption against its formula, and properties of all corruptions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import nn

from asnn.coding import create_coding
from asnn.core import ConfigError
from asnn.datasets.base import Split
from asnn.exporters.graph.quantisation import quantise
from asnn.measure import evaluate
from asnn.measure.robustness.corruptions import corrupt, corruption_registry, robustness
from asnn.measure.robustness.inputs import (
    SampleRandom,
    blur,
    contrast,
    gaussian_noise,
    salt_and_pepper,
    spike_drop,
    spike_jitter,
)
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer

CLASSES, SAMPLES, STEPS = 3, 24, 4
NAMES = list(corruption_registry.builtin)
HARDEST = {name: corruption_registry.get(name).severities[-1] for name in NAMES}
OPTIONS = {"classes": CLASSES, "full_scale": 1.0}


def network(name="lenet", **options):
    torch.manual_seed(0)
    sizes = {"widths": [4, 8], "hidden": 12} if name == "lenet" else {}
    model = create_model(
        name,
        **{
            "in_shape": (1, 8, 8),
            "classes": CLASSES,
            "steps": STEPS,
            "coding": "hybrid",
            "neuron_options": {"gain": 1.5},
            **sizes,
            **options,
        },
    )
    for _ in range(10):
        model(images(16, *model.config["in_shape"]))
    return model.eval()


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def samples():
    labels = torch.randint(0, CLASSES, (SAMPLES,), generator=torch.Generator().manual_seed(1))
    return Split(images(SAMPLES, 1, 8, 8), labels)


def random(x, key="a 0"):
    return SampleRandom(x, key)


def share(values):
    return values.double().mean().item()


# Images


@pytest.mark.parametrize("sigma", [0.04, 0.1])
def test_gaussian_noise_has_its_deviation_and_stays_in_range(sigma):
    grey = torch.full((40, 1, 32, 32), 0.5) + images(40, 1, 1, 1) * 0.01
    noise = gaussian_noise(grey, sigma, random(grey)) - grey
    n = noise.numel()
    assert noise.mean().abs() < 5 * sigma / math.sqrt(n)
    assert noise.std().item() == pytest.approx(sigma, rel=5 / math.sqrt(2 * n))
    # The noise of pixels and images is independent.
    assert torch.corrcoef(noise.flatten(1)).fill_diagonal_(0).abs().max() < 0.2
    white = torch.ones(1, 1, 32, 32)
    noisy = gaussian_noise(white, sigma, random(white))
    assert (noisy.min() < 1, noisy.max() <= 1) == (True, True)
    assert share(noisy == 1) == pytest.approx(0.5, abs=0.1)  # values above 1 are clipped


@pytest.mark.parametrize("p", [0.07, 0.5, 1.0])
def test_salt_and_pepper_have_equal_shares_and_other_values_are_kept(p):
    x = 0.1 + 0.8 * images(40, 3, 20, 20)
    out = salt_and_pepper(x, p, random(x))
    tolerance = 5 * math.sqrt(p / 2 / x.numel())
    assert share(out == 1) == pytest.approx(p / 2, abs=tolerance)
    assert share(out == 0) == pytest.approx(p / 2, abs=tolerance)
    kept = (out != 0) & (out != 1)
    assert torch.equal(out[kept], x[kept])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3]),
    st.sampled_from([0.05, 0.4, 1.0, 3.3]),
)
def test_blur_equals_scipy(height, width, channels, sigma):
    x = images(2, channels, height, width).double()
    expected = gaussian_filter(x.numpy(), sigma, mode="nearest", truncate=4.0, axes=(2, 3))
    np.testing.assert_allclose(blur(x, sigma, random(x)).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("lost", [0.25, 0.85, 1.0])
def test_contrast_shrinks_towards_the_mean_of_each_channel(lost):
    x = images(5, 3, 6, 7).double()
    values = x.numpy()
    mean = values.mean(axis=(2, 3), keepdims=True)
    expected = (values - mean) * (1 - lost) + mean
    np.testing.assert_allclose(contrast(x, lost, random(x)).numpy(), expected, atol=1e-12)


# Spikes


@pytest.mark.parametrize("p", [0.05, 0.5, 1.0])
def test_spikes_are_dropped_and_none_is_added(p):
    spikes = (images(30, 4, 3, 16, 16) < 0.4).float()
    kept = spike_drop(spikes, p, random(spikes))
    assert ((kept == spikes) | (kept == 0)).all()
    n = int(spikes.sum())
    assert kept.sum().item() / n == pytest.approx(1 - p, abs=5 * math.sqrt(p * (1 - p) / n))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.floats(0.1, 4), st.integers(0, 9))
def test_jitter_equals_a_loop_over_spikes(steps, width, sigma, seed):
    spikes = (images(2, steps, 1, 2, width, seed=seed) < 0.5).float()
    moved = spike_jitter(spikes, sigma, random(spikes))
    shift = random(spikes).normal(spikes)
    expected = torch.zeros_like(spikes)
    for b, t, c, i, j in spikes.nonzero().tolist():
        to = t + round(sigma * shift[b, t, c, i, j].item())
        expected[b, min(max(to, 0), steps - 1), c, i, j] = 1
    assert torch.equal(moved, expected)


def test_shifts_are_rounded_normal_numbers():
    spikes = torch.zeros(40, 21, 1, 20, 20)
    spikes[:, 10] = 1
    spikes[:, 0, 0, 0, 0] = torch.arange(40) % 2  # so that images differ
    moved = spike_jitter(spikes, 1.5, random(torch.arange(40.0))).sum((0, 2, 3, 4))
    n = 40 * 400
    for t in range(4, 17):
        low, high = ((t - 10 + half) / 1.5 / math.sqrt(2) for half in (-0.5, 0.5))
        expected = (math.erf(high) - math.erf(low)) / 2
        assert moved[t].item() / n == pytest.approx(expected, abs=5 * math.sqrt(expected / n))


@pytest.mark.parametrize("name", ["temporal", "hybrid"])
def test_jitter_keeps_the_number_of_single_spikes(name):
    model = network(coding=name)
    x = images(9, 1, 8, 8)
    clean = model.coding.encode(x)
    moved = corrupt(model, "spike-jitter", 1.0).coding.encode(x)
    analog = model.coding.analog_steps
    assert torch.equal(moved[:analog], clean[:analog])
    assert torch.equal(moved[analog:].sum(0), clean[analog:].sum(0))
    assert not torch.equal(moved[analog:], clean[analog:])


@pytest.mark.parametrize("name", ["spike-drop", "spike-jitter"])
@pytest.mark.parametrize("coding", ["hybrid", "hybrid-embedding", "temporal", "rate"])
def test_analog_steps_are_kept_and_spikes_are_binary(name, coding):
    model = network(coding=coding, coding_options={"seed": 0} if coding == "rate" else {})
    x = images(4, 1, 8, 8)
    clean, code = (m.coding.encode(x) for m in (model, corrupt(model, name, 0.5)))
    analog = model.coding.analog_steps
    assert code.shape == clean.shape
    assert torch.equal(code[:analog], clean[:analog])
    assert set(code[analog:].unique().tolist()) <= {0, 1}
    assert not torch.equal(code, clean)


@pytest.mark.parametrize("name", ["gaussian-noise", "salt-and-pepper", "blur", "contrast"])
def test_a_static_code_stays_static(name):
    model = network(coding="direct")
    corrupted = corrupt(model, name, HARDEST[name])
    assert (corrupted.coding.static, corrupted.coding.analog_steps) == (True, STEPS)
    x = images(3, 1, 8, 8)
    code = corrupted.coding.encode(x)
    assert code.stride(0) == 0
    change = {"blur": blur, "contrast": contrast}.get(name)
    if change:
        assert torch.equal(code[0], change(x, HARDEST[name], random(x)))


# Random numbers


@pytest.mark.parametrize("name", NAMES[:6])
def test_corruption_of_a_sample_does_not_depend_on_the_batch(name):
    model = network(coding="temporal")
    code = corrupt(model, name, HARDEST[name], seed=3).coding.encode
    x = images(7, 1, 8, 8)
    together = code(x)
    assert torch.equal(together, torch.cat([code(x[:2]), code(x[2:])], dim=1))
    assert torch.equal(together.flip(1), code(x.flip(0)))
    assert torch.equal(together, corrupt(model, name, HARDEST[name], seed=3).coding.encode(x))
    other = corrupt(model, name, HARDEST[name], seed=4).coding.encode(x)
    assert torch.equal(together, other) == (name in ("blur", "contrast"))  # which are not random


def test_stronger_corruption_extends_a_weaker_one():
    x = images(5, 1, 9, 9)
    for change in (salt_and_pepper, spike_drop):
        weak, strong = (change(x, severity, random(x)) for severity in (0.2, 0.5))
        changed = weak != x
        assert torch.equal(strong[changed], weak[changed])
        assert (strong != x).sum() > changed.sum() > 0
    weak, strong = (gaussian_noise(x, sigma, random(x)) - x for sigma in (1e-3, 1e-2))
    inside = (x > 0.1) & (x < 0.9)
    torch.testing.assert_close(strong[inside], 10 * weak[inside], atol=1e-5, rtol=1e-2)


def test_corruptions_are_independent_and_compose():
    x = images(4, 1, 9, 9)
    assert not torch.equal(random(x, "a 0").uniform(x), random(x, "b 0").uniform(x))
    model = network(coding="temporal")
    both = corrupt(corrupt(model, "contrast", 0.5), "spike-drop", 0.3).coding.encode(x)
    dim = model.coding.encode(contrast(x, 0.5, random(x))).transpose(0, 1)
    expected = spike_drop(dim, 0.3, random(x, "spike-drop 0")).transpose(0, 1)
    assert torch.equal(both, expected)


def test_empty_batch():
    x = torch.empty(0, 1, 8, 8)
    for name in NAMES[:6]:
        code = corrupt(network(), name, HARDEST[name]).coding.encode(x)
        assert code.shape == (STEPS, 0, 1, 8, 8)


# The network itself


def quantized_by_hand(weight, bits):
    """Row by row, value by value, in float64."""
    q_max = 2 ** (bits - 1) - 1
    rows = []
    for row in weight.astype(np.float64).reshape(len(weight), -1):
        d = max(abs(row)) / q_max or 1.0
        rows.append([d * float(np.rint(value / d)) for value in row])
    return np.array(rows).reshape(weight.shape)


def affine(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


@pytest.mark.parametrize("bits", [8, 6, 4, 2])
@pytest.mark.parametrize("name", ["lenet", "ms-resnet"])
def test_quantized_weights_by_hand(bits, name):
    model = network(name, **({} if name == "lenet" else {"width": 4}))
    frozen = affine(model.frozen())
    found = affine(corrupt(model, "quantize", bits))
    assert found.keys() == frozen.keys()
    for each, layer in found.items():
        weight, got = frozen[each].weight.numpy(), layer.weight.numpy()
        np.testing.assert_allclose(got, quantized_by_hand(weight, bits), rtol=1e-5, atol=1e-7)
        other = quantized_by_hand(weight, bits + 1)
        assert not np.allclose(got, other, rtol=1e-5, atol=1e-7) or not weight.any()
        for row in got.reshape(len(got), -1):
            assert len(np.unique(row)) <= 2**bits - 1
        if bits == 8:  # the weights of an int8 file
            np.testing.assert_array_equal(got, quantise(weight).restored())
        if layer.bias is not None:
            assert torch.equal(layer.bias, frozen[each].bias)


def test_quantized_channel_of_zeros_stays_zero():
    model = network()
    with torch.no_grad():
        model.body.readout.linear.weight[1] = 0
    weight = corrupt(model, "quantize", 4).body.readout.linear.weight
    assert torch.equal(weight[1], torch.zeros_like(weight[1]))
    assert torch.isfinite(weight).all()


def spikes_before_pools(model, x):
    """The spikes of the neurons of each layer, `[T, B, ...]`."""
    seen, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, SpikingLayer):
            hook = lambda layer, given, out, name=name: seen.update({name: out})  # noqa: E731
            handles.append(module.neuron.register_forward_hook(hook))
    model(x)
    for handle in handles:
        handle.remove()
    return seen


@torch.no_grad()
def test_dead_neurons_never_fire_and_others_are_not_changed():
    model = network(coding="direct")
    x = images(200, 1, 8, 8)
    clean = spikes_before_pools(model.frozen(), x)
    corrupted = corrupt(model, "dead-neurons", 0.25, seed=1)
    found = spikes_before_pools(corrupted, x)
    for name, layer in corrupted.named_modules():
        if not isinstance(layer, SpikingLayer):
            continue
        shape = found[name].shape[2:]
        dead = layer.neuron.alive(shape) == 0
        assert dead.sum() == round(0.25 * shape.numel())
        assert not found[name][:, :, dead].any()
        assert found[name][:, :, ~dead].any()
        assert clean[name][:, :, dead].any()  # otherwise it would not show anything
        if name == "body.spikes1":  # the only layer with unchanged input
            assert torch.equal(found[name][:, :, ~dead], clean[name][:, :, ~dead])


@torch.no_grad()
def test_dead_neurons_are_nested_and_differ_by_seed_and_layer():
    def alive(share, seed):
        corrupted = corrupt(network(), "dead-neurons", share, seed)
        shape = torch.Size([8, 4, 4])
        return [m.neuron.alive(shape) for m in corrupted.modules() if isinstance(m, SpikingLayer)]

    some, more, other = alive(0.1, 0), alive(0.5, 0), alive(0.1, 1)
    for a, b, c in zip(some, more, other, strict=True):
        assert (a >= b).all()
        assert not torch.equal(a, c)
    assert not torch.equal(some[0], some[1])
    assert not any(mask.any() for mask in alive(1.0, 0))


@torch.no_grad()
def test_logits_without_live_neurons_are_the_biases():
    model = network()
    logits = corrupt(model, "dead-neurons", 1.0)(images(3, 1, 8, 8))
    readout = model.body.readout
    expected = readout.linear.bias * readout.scale.view(-1, 1, 1)
    torch.testing.assert_close(logits, expected.expand_as(logits))


# All corruptions


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
        ("spike-drop", 0.1, "spike-drop cannot corrupt the code 'direct'"),
        ("spike-jitter", 1.0, "all of its steps are analog"),
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
