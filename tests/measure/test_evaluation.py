"""Evaluation against a naive loop over single samples."""

import json
import math

import pytest
import torch

from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.models import create_model

CLASSES, SAMPLES, STEPS = 3, 23, 4


def network(**options):
    torch.manual_seed(0)
    model = create_model(
        "lenet",
        **{
            "in_shape": (1, 6, 6),
            "classes": CLASSES,
            "steps": STEPS,
            "widths": [4],
            "hidden": 6,
            "neuron_options": {"gain": 1.5},
            **options,
        },
    )
    for _ in range(10):
        model(torch.rand(16, 1, 6, 6))
    return model.eval()


def samples() -> Split:
    seeded = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (SAMPLES, 1, 6, 6), generator=seeded, dtype=torch.uint8)
    return Split(images, torch.randint(0, CLASSES, (SAMPLES,), generator=seeded))


def naive(model, split, steps, full_scale=255.0):
    """All results in Python floats, one sample at a time."""
    neurons = {
        name.removeprefix("body.").removesuffix(".neuron"): module
        for name, module in model.named_modules()
        if name.endswith(".neuron")
    }
    counts = {name: [0.0] * steps for name in neurons}
    sizes = {}

    def counter(name):
        def count(module, inputs, spikes):
            for t, step in enumerate(spikes[:steps]):
                counts[name][t] += step.sum().item()
            sizes[name] = spikes[0].numel()

        return count

    handles = [m.register_forward_hook(counter(name)) for name, m in neurons.items()]
    hits, loss = [0] * steps, 0.0
    confusion = [[0] * CLASSES for _ in range(CLASSES)]
    for image, label in zip(split.inputs, split.targets.tolist(), strict=True):
        pixels = image.double() / full_scale if image.dtype == torch.uint8 else image
        with torch.no_grad():
            logits = model(pixels.float()[None])[:steps, 0].double().tolist()
        for t in range(steps):
            mean = [sum(step[c] for step in logits[: t + 1]) / (t + 1) for c in range(CLASSES)]
            prediction = max(range(CLASSES), key=mean.__getitem__)
            hits[t] += prediction == label
        confusion[label][prediction] += 1
        loss -= math.log(math.exp(mean[label]) / sum(math.exp(value) for value in mean))
    for handle in handles:
        handle.remove()
    rates = {n: [c / (SAMPLES * sizes[n]) for c in counts[n]] for n in counts}
    total = sum(sum(c) for c in counts.values())
    outputs = sum(SAMPLES * sizes[n] * steps for n in counts)
    return hits, confusion, loss / SAMPLES, rates, total / outputs, total


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
@pytest.mark.parametrize("coding", ["hybrid", "direct"])
def test_equals_a_naive_loop(coding, batch_size):
    model, split = network(coding=coding), samples()
    found = evaluate(model, split, classes=CLASSES, full_scale=255.0, batch_size=batch_size)
    hits, confusion, loss, rates, rate, spikes = naive(model, split, STEPS)
    assert found.samples == SAMPLES
    assert found.accuracy == hits[-1] / SAMPLES
    assert found.accuracy_per_step == pytest.approx([h / SAMPLES for h in hits], rel=1e-6)
    assert found.confusion == confusion
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.spike_rates.keys() == rates.keys() == {"spikes1", "spikes2"}
    for name in rates:
        assert found.spike_rates[name] == pytest.approx(rates[name], rel=1e-9)
    assert found.spike_rate == pytest.approx(rate, rel=1e-9)
    assert found.spikes_per_sample == spikes / SAMPLES
    assert found.samples_per_second > 0
    # A silent or perfect network would not show much.
    assert 0.02 < rate < 0.9
    assert 0 < found.accuracy < 1


def test_confusion_has_true_classes_in_rows():
    model, split = network(), samples()
    found = evaluate(model, split, classes=CLASSES, full_scale=255.0)
    true = [sum(row) for row in found.confusion]
    assert true == split.targets.bincount(minlength=CLASSES).tolist()
    assert sum(found.confusion[c][c] for c in range(CLASSES)) / SAMPLES == found.accuracy
    predictions = model.predict(split.inputs.float() / 255).argmax(1)
    columns = [sum(column) for column in zip(*found.confusion, strict=True)]
    assert columns == predictions.bincount(minlength=CLASSES).tolist()
    assert true != columns  # otherwise swapped rows and columns would not be found


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_first_steps_only(steps):
    model, split = network(), samples()
    found = evaluate(model, split, classes=CLASSES, full_scale=255.0, steps=steps)
    hits, confusion, loss, rates, *_ = naive(model, split, steps)
    assert found.accuracy_per_step == pytest.approx([h / SAMPLES for h in hits], rel=1e-6)
    assert found.confusion == confusion
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert all(len(found.spike_rates[name]) == steps for name in rates)


def test_full_scale_and_float_images():
    model, split = network(), samples()
    options = {"classes": CLASSES, "full_scale": 255.0}
    found = evaluate(model, split, **options)
    floats = evaluate(model, Split(split.inputs.float() / 255, split.targets), **options)
    assert floats.loss == pytest.approx(found.loss, rel=1e-6)
    other = evaluate(model, split, classes=CLASSES, full_scale=510.0)
    assert other.loss == pytest.approx(naive(model, split, STEPS, full_scale=510.0)[2], rel=1e-5)
    assert other.loss != pytest.approx(found.loss, rel=1e-3)


def test_random_codes_draw_the_same_each_time_and_the_random_state_is_kept():
    model, split = network(coding="rate"), samples()
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found = evaluate(model, split, classes=CLASSES, full_scale=255.0)
        assert torch.equal(torch.get_rng_state(), before)
        results.append({**found.as_dict(), "samples_per_second": None})
    assert results[0] == results[1]
    # Negative control: two passes of the network differ.
    x = split.inputs.float() / 255
    assert not torch.equal(model(x), model(x))


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_weights_are_kept(training):
    model, split = network(), samples()
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = evaluate(model, split, classes=CLASSES, full_scale=255.0)
    assert model.training is training
    assert all(module.training is training for module in model.modules())
    # The evaluation does not update the statistics of batch norms.
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    expected = evaluate(model.eval(), split, classes=CLASSES, full_scale=255.0)
    assert found.loss == expected.loss


def test_the_accuracy_of_each_step_alone():
    """By the logits of that step, not by their mean up to it."""
    model, split = network(coding="hybrid"), samples()
    found = evaluate(model, split, classes=CLASSES, full_scale=255.0).values
    with torch.no_grad():
        outputs = model.eval()(split.inputs.float() / 255)
    alone = [(step.argmax(1) == split.targets).float().mean().item() for step in outputs]
    assert found["accuracy_of_each_step"] == pytest.approx(alone)
    assert alone[0] == pytest.approx(found["accuracy_per_step"][0])
    assert alone != pytest.approx(found["accuracy_per_step"])


def test_as_dict_is_plain_json():
    found = evaluate(network(), samples(), classes=CLASSES, full_scale=255.0)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain == found.as_dict()
    assert list(plain) == [
        "samples",
        "accuracy",
        "loss",
        "accuracy_per_step",
        "accuracy_of_each_step",
        "confusion",
        "calibration_error",
        "spike_rate",
        "spike_rates",
        "spikes_per_sample",
        "spikes_to_decision",
        "samples_per_second",
        "burst_shares",
        "divergence",
        "overflows",
    ]


def test_empty_split_gives_zeros_and_not_nan():
    empty = Split(torch.zeros(0, 1, 6, 6), torch.zeros(0, dtype=torch.long))
    found = evaluate(network(), empty, classes=CLASSES, full_scale=255.0)
    assert (found.samples, found.accuracy, found.loss, found.spike_rate) == (0, 0, 0, 0)
    assert found.accuracy_per_step == [0] * STEPS


def test_spikes_to_the_decision_equal_a_loop_over_samples():
    model = network(readout="first-crossing", readout_options={"level": 0.05, "leak": 0.5})
    split = samples()
    result = evaluate(model, split, full_scale=255.0, classes=CLASSES, batch_size=5)
    frozen, total = model.frozen(), 0.0
    layers = [module for name, module in frozen.named_modules() if name.endswith(".neuron")]
    spikes = []
    handles = [m.register_forward_hook(lambda _m, _i, out: spikes.append(out)) for m in layers]
    for image in split.inputs:
        spikes.clear()
        with torch.no_grad():
            outputs = frozen(image[None] / 255.0)
        step = int(model.readout.decide(outputs).step)
        total += sum(float(each[: step + 1].sum()) for each in spikes)
    for handle in handles:
        handle.remove()
    assert result.values["mean_step"] < STEPS  # some decide early
    assert result.spikes_to_decision == pytest.approx(total / SAMPLES)
    assert 0 < result.spikes_to_decision < result.spikes_per_sample
    assert evaluate(network(), split, full_scale=255.0, classes=CLASSES).spikes_to_decision is None
