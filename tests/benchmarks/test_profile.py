"""The profile lists every layer, and its parts add up."""

import pytest

from asnn.benchmarks.case import Case
from asnn.benchmarks.profile import kind_of, parts_of, profile
from asnn.models import create_model

TOGETHER = ["code, readout, loss", "optimiser", "all"]


def test_every_layer_is_listed():
    case = Case(model="mlp", coding="hybrid", steps=2, batch=4, in_shape=(1, 4, 4), classes=3)
    found = profile(case, repeats=2)
    layers = ["linear1", "spikes1", "linear2", "spikes2"]
    assert list(found) == [*layers, *TOGETHER]
    assert all(found[name][0] > 0 and found[name][1] > 0 for name in layers)


def test_layers_of_two_paths():
    network = create_model("ms-resnet", in_shape=(1, 8, 8), classes=3, width=8)
    names = [name for name, _ in parts_of(network.body)]
    main = ["spikes1", "conv1", "spikes2", "conv2", "norm"]
    assert names[:2] == ["stem", "norm"]
    assert names[2:8] == [f"block1.{name}" for name in [*main, "join"]]
    third = [f"block3.{name}" for name in [*main, "shortcut.conv", "shortcut.norm", "join"]]
    assert names[14:22] == third
    assert names[-3:] == ["spikes", "mean", "flatten"]
    kinds = {name: kind_of(part) for name, part in parts_of(network.body)}
    assert [kinds[f"block3.{name}"] for name in (*main, "shortcut.conv", "join")] == [
        *("neurons", "convolutions 3×3", "norms with neurons", "convolutions 3×3", "norms"),
        *("convolutions 1×1", "joins"),
    ]


@pytest.mark.slow
def test_kinds_are_the_sums_of_their_layers():
    case = Case(model="spikformer", in_shape=(1, 8, 8), classes=3, steps=2, batch=2)
    found = profile(case, repeats=2, kinds=True)
    assert list(found) == [
        *("Stem", "norms with neurons", "convolutions 3×3", "MaxPool2d", "joins"),
        *("convolutions 1×1", "SelfAttention", "neurons", "AvgPool2d", "Flatten", *TOGETHER),
    ]
    layers = [times for name, times in found.items() if name not in ("optimiser", "all")]
    forward, backward = (sum(times) for times in zip(*layers, strict=True))
    # Medians of parts: their sum is near that of all, not equal to it.
    assert 0.5 < (forward + found["optimiser"][0]) / found["all"][0] < 2
    assert 0.5 < backward / found["all"][1] < 2
