"""Time per image is what a clock in the test says, and ways that answer otherwise are found."""

import json

import numpy as np
import pytest
import torch

from asnn.cli.commands.eval.latency import EAGER, FUSED, ONNX, latency, show
from asnn.datasets.base import Split
from asnn.measure import timing
from asnn.measure.latency import differing, time_each
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer

pytestmark = pytest.mark.slow

SHAPE = (1, 4, 4)
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))


def network(coding="hybrid", neuron="adaptive"):
    torch.manual_seed(1)
    model = create_model(
        "mlp", in_shape=SHAPE, classes=3, features=[6], coding=coding, steps=3, neuron=neuron
    )
    return model.eval()


def split():
    pixels = (IMAGES * 255).to(torch.uint8)
    return Split(pixels, torch.zeros(len(pixels), dtype=torch.int64))


@pytest.fixture
def now(monkeypatch):
    """Time passes only where a way says so."""

    class Clock:
        seconds = 0.0

        def perf_counter(self):
            return self.seconds

        def process_time(self):
            return 0.0

    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    monkeypatch.setattr(timing, "_busy_seconds", lambda: None)
    return clock


def test_seconds_are_those_of_one_image(now):
    seen = []

    def takes(seconds):
        def way(image):
            seen.append(image)
            now.seconds += seconds(image)

        return way

    ways = {
        "even": takes(lambda image: 2.0),
        "by content": takes(lambda image: float(image.sum())),
    }
    found = time_each(ways, IMAGES, rounds=3, visit=0)
    assert found.seconds["even"] == pytest.approx([2, 2, 2])
    assert found.seconds["by content"] == pytest.approx([float(IMAGES.sum()) / 5] * 3)
    assert {tuple(image.shape) for image in seen} == {(1, *SHAPE)}
    # Each way: three passes to warm up, and in each round one to settle and one that is timed.
    assert len(seen) == 2 * (3 + 3 * 2) * len(IMAGES)


def test_other_answers_are_counted():
    """The way that answers 1 - the first one's answer on some images differs on just these."""

    def first(image):
        return torch.tensor([[0.0, 1.0]])

    def other(image):  # an array, as onnxruntime gives it
        return np.array([[1.0, 0.0]] if image[0, 0, 0, 0] > 0.5 else [[0.0, 2.0]])

    expected = int((IMAGES[:, 0, 0, 0] > 0.5).sum())
    assert 0 < expected < len(IMAGES)
    ways = {"first": first, "other": other}
    assert differing(ways, IMAGES, base="first") == {"first": 0, "other": expected}


def test_random_codes_draw_the_same_for_all_ways_and_leave_the_generator_alone():
    def way(image):
        return torch.rand(1, 1000)

    before = torch.get_rng_state()
    assert differing({"a": way, "b": way}, IMAGES, base="a") == {"a": 0, "b": 0}
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("coding", ["direct", "hybrid", "rate"])
def test_all_ways_of_a_network_answer_the_same(coding, capsys):
    model = network(coding)
    found = latency(model, split(), full_scale=255, images=4, rounds=1)
    assert list(found["ways"]) == [EAGER, FUSED, ONNX]
    assert found["images"] == 4 and found["threads"] == torch.get_num_threads()
    for way in found["ways"].values():
        low, high = way["quartiles"]
        assert 0 < low <= way["milliseconds"] <= high
        assert way["differing"] == 0
    assert found["ways"][EAGER]["speedup"] == 1
    note = found["ways"][ONNX]["note"]
    if coding == "rate":
        assert "torch makes the code" in note and "it is random" in note
    else:
        assert note is None
    json.dumps(found, allow_nan=False)
    show(found)
    shown = capsys.readouterr().err
    assert all(name in shown for name in (EAGER, FUSED, ONNX)) and "4 images" in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(ONNX))


def test_a_changed_file_is_found(monkeypatch):
    """The negative control: onnxruntime with other weights in the readout answers otherwise."""
    from asnn.exporters.onnx import forms as onnx_forms

    real = onnx_forms.build_models
    model = network()
    with torch.no_grad():
        answers = model.mean_logits(IMAGES).argmax(1)
        other = (int(answers[0]) + 1) % 3

    def other_class(graph, coding, **options):
        graph.nodes[-1].bias[other] += 100
        return real(graph, coding, **options)

    monkeypatch.setattr(onnx_forms, "build_models", other_class)
    found = latency(model, split(), full_scale=255, rounds=1)
    assert found["ways"][ONNX]["differing"] == int((answers != other).sum()) > 0
    assert found["ways"][FUSED]["differing"] == 0


def test_what_cannot_be_exported_says_why(capsys):
    found = latency(network("direct", "relu"), split(), full_scale=255, images=2, rounds=1)
    assert "milliseconds" in found["ways"][FUSED]
    assert (
        list(found["ways"][ONNX]) == ["reason"] and "relu" in found["ways"][ONNX]["reason"].lower()
    )
    show(found)
    assert "onnxruntime is not timed: " in capsys.readouterr().err


def test_the_network_is_left_as_it_is():
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    kernels = [each.kernels for each in model.modules() if isinstance(each, SpikingLayer)]
    latency(model, split(), full_scale=255, images=2, rounds=1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert kernels == [each.kernels for each in model.modules() if isinstance(each, SpikingLayer)]
