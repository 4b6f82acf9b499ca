"""Latency of one image: eager, fused and in onnxruntime."""

import json

import pytest
import torch

from asnn.benchmarks import single_image
from asnn.benchmarks.single_image import EAGER, FUSED, ONNX, latency
from asnn.cli.commands.eval.latency import show_latency
from asnn.datasets.base import Split
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer

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


@pytest.mark.slow
@pytest.mark.parametrize(
    "coding",
    [
        pytest.param("direct", marks=pytest.mark.slow),
        "hybrid",
        pytest.param("rate", marks=pytest.mark.slow),
    ],
)
def test_all_ways_predict_the_same(coding, capsys):
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
        assert "torch computes the code" in note and "it is random" in note
    else:
        assert note is None
    json.dumps(found, allow_nan=False)
    show_latency(found)
    shown = capsys.readouterr().err
    assert all(name in shown for name in (EAGER, FUSED, ONNX)) and "4 images" in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(ONNX))


@pytest.mark.slow
def test_a_network_of_windows_is_timed_up_to_each():
    model = create_model(
        "hybrid", in_shape=SHAPE, classes=3, coding="direct", steps=4, windows=2, backbone=[3],
        convs=[], hidden=[],
    ).eval()  # fmt: skip
    found = latency(model, split(), full_scale=255, images=2, rounds=1)
    assert list(found["ways"]) == [EAGER, FUSED, f"{FUSED}, 2 steps", ONNX]


@pytest.mark.slow
def test_other_weights_are_found(monkeypatch):
    """Negative control: onnxruntime with another readout bias predicts otherwise."""
    real = single_image.build_models
    model = network()
    with torch.no_grad():
        predictions = model.mean_logits(IMAGES).argmax(1)
        other = (int(predictions[0]) + 1) % 3

    def other_class(graph, coding, **options):
        graph.nodes[-1].bias[other] += 100
        return real(graph, coding, **options)

    monkeypatch.setattr(single_image, "build_models", other_class)
    found = latency(model, split(), full_scale=255, rounds=1)
    assert found["ways"][ONNX]["differing"] == int((predictions != other).sum()) > 0
    assert found["ways"][FUSED]["differing"] == 0


@pytest.mark.slow
def test_network_that_cannot_be_exported_has_a_reason(capsys):
    found = latency(network("direct", "relu"), split(), full_scale=255, images=2, rounds=1)
    assert "milliseconds" in found["ways"][FUSED]
    assert (
        list(found["ways"][ONNX]) == ["reason"] and "relu" in found["ways"][ONNX]["reason"].lower()
    )
    show_latency(found)
    assert "onnxruntime is not timed: " in capsys.readouterr().err


@pytest.mark.slow
def test_the_network_is_not_changed():
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    kernels = [each.kernels for each in model.modules() if isinstance(each, SpikingLayer)]
    latency(model, split(), full_scale=255, images=2, rounds=1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert kernels == [each.kernels for each in model.modules() if isinstance(each, SpikingLayer)]
