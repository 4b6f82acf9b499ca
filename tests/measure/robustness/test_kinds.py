"""Which corruptions apply to which samples, and evaluation of corrupted events and series."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError
from asnn.datasets import Batches
from asnn.datasets.base import Split
from asnn.datasets.events import Events
from asnn.measure import evaluate
from asnn.measure.robustness.corrupted_coding import CorruptedCoding
from asnn.measure.robustness.corruptions import (
    Corruption,
    corrupt,
    corruption_registry,
    fitting,
    robustness,
)
from asnn.measure.robustness.inputs import spike_drop
from asnn.models import create_model
from asnn.models.network import SpikingNetwork
from tests.support.samples import recording

SENSOR, DURATION, STEPS, CLASSES = (2, 8, 9), 8_000, 4, 3
OF_IMAGES = ["gaussian-noise", "salt-and-pepper", "blur", "contrast"]
OF_EVENTS = ["event-drop", "event-noise", "hot-pixels", "event-jitter", "event-shuffle"]
OF_EVENTS += ["polarity-drop"]
OF_SPIKES = ["spike-drop", "spike-jitter"]
OF_NETWORKS = ["quantize", "dead-neurons"]
SEVERE = {"event-drop": 0.5, "event-noise": 1.0, "hot-pixels": 0.1, "event-jitter": 5.0}
SEVERE |= {"event-shuffle": 1.0, "polarity-drop": 1.0}
SEVERE |= {"spike-drop": 0.5, "spike-jitter": 1.0}
OPTIONS = {"classes": CLASSES, "full_scale": 1.0}


def network(kind="events", coding="frames", binary=False, **options):
    torch.manual_seed(0)
    spec = {
        "events": SampleSpec("events", SENSOR, duration=DURATION),
        "series": SampleSpec("series", (5,), steps=STEPS, binary=binary),
        "image": SampleSpec("image", (1, 8, 8)),
    }[kind]
    return create_model(
        "mlp", in_shape=spec.shape, classes=CLASSES, sample=spec, coding=coding, steps=STEPS,
        features=[16], neuron_options={"gain": 3.0}, coding_options=options,
    ).eval()  # fmt: skip


def recordings(count=70):
    counts = np.array([3 * (i % 11) for i in range(count)])
    parts = [recording(n, SENSOR, i, DURATION) for i, n in enumerate(counts)]
    columns = [np.concatenate([getattr(each, name) for each in parts]) for name in "txyp"]
    held = Events(*columns, np.cumsum(counts) - counts, counts, SENSOR, DURATION)
    return Split(held, torch.arange(count) % CLASSES)


def batch(count=9):
    return recordings(count).inputs.batch(torch.arange(count))


@pytest.mark.parametrize(
    ("kind", "coding", "binary", "expected"),
    [
        ("image", "temporal", False, OF_IMAGES + OF_SPIKES + OF_NETWORKS),
        ("image", "direct", False, OF_IMAGES + OF_NETWORKS),
        ("events", "frames", False, OF_EVENTS + OF_SPIKES + OF_NETWORKS),
        ("events", "voxel", False, OF_EVENTS + OF_NETWORKS),
        ("series", "given", False, ["series-noise", "series-drop", "series-shuffle", *OF_NETWORKS]),
        ("series", "given", True, ["series-drop", "series-shuffle", *OF_SPIKES, *OF_NETWORKS]),
    ],
)
def test_corruptions_that_apply(kind, coding, binary, expected):
    model = network(kind, coding, binary)
    assert fitting(model) == expected
    # A network that was built by hand, of an unbound code, tells its kind as well.
    if kind == "image":
        by_hand = SpikingNetwork(create_coding(coding, steps=STEPS), model.body)
        assert fitting(by_hand) == expected


@pytest.mark.parametrize(
    ("name", "kind", "coding", "what"),
    [
        ("gaussian-noise", "events", "frames", "corrupts images, the samples are events"),
        ("blur", "series", "given", "corrupts images, the samples are series"),
        ("event-drop", "image", "temporal", "corrupts events, the samples are images"),
        ("hot-pixels", "series", "given", "corrupts events, the samples are series"),
        ("series-drop", "events", "frames", "corrupts series, the samples are events"),
        ("series-noise", "image", "direct", "corrupts series of values, the samples are images"),
        ("spike-drop", "events", "voxel", "corrupts spikes, the code 'voxel' has no spikes"),
        ("spike-jitter", "series", "given", "corrupts spikes, the code 'given' has no spikes"),
    ],
)
def test_a_corruption_of_another_kind_is_refused_with_those_that_fit(name, kind, coding, what):
    model = network(kind, coding)
    with pytest.raises(ConfigError) as caught:
        corrupt(model, name, 0.1)
    assert caught.value.what.startswith(f"{name} {what}")
    assert caught.value.why == f"choose from {', '.join(fitting(model))}"
    assert name not in caught.value.why


@pytest.mark.parametrize(("name", "most"), [("event-noise", 10), ("hot-pixels", 0.1)])
def test_severities_have_limits(name, most):
    corrupt(network(), name, most)
    with pytest.raises(ConfigError, match=f"of {name} must be from 0 to {most:g}, not 11"):
        corrupt(network(), name, 11)


@pytest.mark.parametrize("name", OF_EVENTS + OF_SPIKES)
def test_the_corrupted_code_keeps_what_others_read(name):
    model = network(downsample=2)
    found = corrupt(model, name, SEVERE[name])
    assert (found.sample, found.step_shape) == (model.sample, model.step_shape)
    assert found.step_shape == (2, 4, 5)  # not that of the sensor
    assert found.coding.takes == {"events"}
    assert found.coding.analog_steps == 0
    assert found.config == model.config


def test_a_corrupted_code_is_bound_as_the_code_is():
    coding = CorruptedCoding(
        create_coding("given", steps=STEPS), spike_drop, 0.5, "", of_spikes=True
    )
    assert (coding.spec, coding.analog_steps) == (None, STEPS)
    spec = SampleSpec("series", (5,), steps=STEPS, binary=True)
    coding.bind(spec)
    assert (coding.spec, coding.analog_steps) == (spec, 0)
    with pytest.raises(ConfigError, match="takes series, not images"):
        coding.bind(SampleSpec("image", (1, 8, 8)))


def test_targets_of_steps_are_those_of_the_code():
    coding = create_coding("given", steps=2, fit="mean")
    coding.bind(SampleSpec("series", (5,), steps=4))
    wrapped = CorruptedCoding(coding, spike_drop, 0.5, "", of_spikes=True)
    targets = torch.tensor([[0, 1, 2, 3]])
    assert wrapped.step_targets(targets).tolist() == [[1, 3]]


@pytest.mark.parametrize("options", [{"value": "count"}, {"polarity": "signed"}])
def test_frames_of_values_have_no_spikes_to_corrupt(options):
    with pytest.raises(ConfigError, match="the code 'frames' has no spikes to corrupt"):
        corrupt(network(**options), "spike-drop", 0.5)


@pytest.mark.parametrize("name", OF_SPIKES)
@pytest.mark.parametrize("options", [{}, {"bins": "count"}, {"polarity": "off"}])
def test_spikes_of_frames_are_dropped_and_moved(name, options):
    model = network(**options)
    clean = model.coding.encode(batch(30))
    code = corrupt(model, name, SEVERE[name]).coding.encode(batch(30))
    assert code.shape == clean.shape
    assert set(code.unique().tolist()) == {0, 1}
    if name == "spike-drop":
        assert (code <= clean).all()
        n = clean.sum().item()
        assert code.sum().item() / n == pytest.approx(0.5, abs=5 * (0.25 / n) ** 0.5)
    else:  # no spike leaves its pixel
        assert torch.equal(code.amax(0), clean.amax(0))
        assert not torch.equal(code, clean)


@pytest.mark.parametrize("name", OF_EVENTS)
@pytest.mark.parametrize("coding", ["frames", "voxel", "time-surface"])
def test_events_are_corrupted_before_they_are_binned(name, coding):
    model = network(coding=coding)
    code = corrupt(model, name, SEVERE[name]).coding.encode(batch())
    clean = model.coding.encode(batch())
    assert code.shape == clean.shape
    assert not torch.equal(code, clean)
    empty = EventBatch.of([], SENSOR, DURATION)
    assert corrupt(model, name, SEVERE[name]).coding.encode(empty).shape == (
        STEPS,
        0,
        *clean.shape[2:],
    )


@pytest.mark.parametrize("name", OF_EVENTS + OF_SPIKES)
def test_the_size_of_batches_does_not_matter(name):
    model, split = network(), recordings()
    clean = evaluate(model, split, **OPTIONS)
    corrupted = corrupt(model, name, SEVERE[name])
    codes, found = [], []
    for size in (1, 7, 64):
        batches = [split.inputs.batch(index) for index in torch.arange(70).split(size)]
        codes.append(torch.cat([corrupted.coding.encode(each) for each in batches], 1))
        found.append(evaluate(corrupted, split, batch_size=size, **OPTIONS))
    assert torch.equal(codes[0], codes[1])
    assert torch.equal(codes[0], codes[2])
    assert len({each.spikes_per_sample for each in found}) == 1
    assert found[0].loss == pytest.approx(found[2].loss, rel=1e-6)
    assert found[0].loss != clean.loss


@pytest.mark.parametrize("name", OF_EVENTS + OF_SPIKES)
def test_the_number_of_processes_does_not_matter(name):
    corrupted, split = corrupt(network(), name, SEVERE[name]), recordings(23)
    alone = corrupted.coding.encode(batch(23))
    for rank in range(2):
        batches = Batches(split, batch_size=8, full_scale=1.0, part=(rank, 2))
        code = torch.cat([corrupted.coding.encode(x) for x, _ in batches], 1)
        assert torch.equal(code, alone[:, batches.sample_indices()])


def test_severity_0_is_the_clean_network():
    model, split = network(), recordings(20)
    clean = evaluate(model, split, **OPTIONS)
    for row in robustness(model, split, {name: [0] for name in fitting(model)}, **OPTIONS):
        assert (row["loss"], row["spikes_per_sample"]) == (clean.loss, clean.spikes_per_sample)
    assert all(corrupt(model, name, 0) is model for name in fitting(model))


def test_a_network_without_config_can_be_corrupted():
    model = network()
    by_hand = SpikingNetwork(model.coding, model.body).eval()
    assert not corrupt(by_hand, "event-drop", 0.5).has_config


def test_a_corruption_of_0_1_0_applies_to_every_kind(monkeypatch):
    def apply(model, severity, seed):
        return model

    old = Corruption(apply, "share of nothing", (0.1, 0.2))
    get = corruption_registry.get
    monkeypatch.setattr(
        corruption_registry, "get", lambda name: old if name == "old" else get(name)
    )
    monkeypatch.setattr(corruption_registry, "_external", {"old": None}, raising=False)
    for kind, coding in (("image", "direct"), ("events", "frames"), ("series", "given")):
        model = network(kind, coding)
        assert corrupt(model, "old", 0.2) is model
        assert fitting(model)[-1] == "old"
        with pytest.raises(ConfigError, match="must be from 0 to 1, not 2"):
            corrupt(model, "old", 2)


def test_a_broken_package_does_not_hide_a_refusal(monkeypatch):
    point = EntryPoint("broken", "no_such_module:X", "asnn.corruptions")
    monkeypatch.setattr(corruption_registry, "_external", {"broken": point}, raising=False)
    model = network()
    with pytest.raises(ConfigError, match="blur corrupts images, the samples are events"):
        corrupt(model, "blur", 0.5)
    with pytest.raises(ConfigError, match="'broken' cannot be loaded"):
        corrupt(model, "broken", 0.5)
