"""Networks that fire in windows on one clock: the same spikes and answers, in files too."""

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.onnx.runtime import OnnxSession
from asnn.exporters.source import Samples
from asnn.models import create_model
from asnn.models.clocked import ClockedTtfs, clocked, steps_before
from asnn.models.layers.spiking import layer_outputs
from tests.support.windows import ann_and_network, on_one_clock

NETWORKS = [
    ("mlp", (1, 4, 4), {"features": [12, 9]}),
    ("lenet", (1, 8, 8), {"widths": [4, 6], "hidden": 12}),
    ("lenet", (2, 8, 8), {"widths": [4], "hidden": 12, "pool": "mean"}),
    pytest.param(
        "vgg", (1, 16, 16), {"width": 4, "variant": "11", "hidden": [8]}, marks=pytest.mark.slow
    ),
]


def images(count, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=generator) / 255


@pytest.mark.parametrize("coding", ["ttfs", "direct"])
@pytest.mark.parametrize(("name", "shape", "options"), NETWORKS, ids=["mlp", "max", "mean", "vgg"])
def test_spikes_and_answers_are_those_of_the_windows(name, shape, options, coding):
    """The layer l fires in the window l + 1 as in its own, and is silent in all others."""
    _, network = ann_and_network(name, shape, 4, coding=coding, **options)
    on_clock, x = clocked(network), images(8, shape)
    with torch.no_grad(), layer_outputs(network) as own, layer_outputs(on_clock) as found:
        logits, outputs = network(x), on_clock(x)
    windows = len(own) + 1
    assert on_clock.coding.steps == len(outputs) == 4 * windows
    assert steps_before(network) + len(logits) == len(outputs)
    for number, name in enumerate(own, start=1):
        expected = torch.zeros_like(found[name])
        expected[4 * number : 4 * number + 4] = own[name]
        assert torch.equal(found[name], expected)
    assert sum(float(each.sum()) for each in own.values()) > 0
    assert float(outputs[:-4].abs().max()) == 0
    torch.testing.assert_close(outputs[-4:], windows * logits)
    torch.testing.assert_close(on_clock.predict(x), network.predict(x))


def test_its_spikes_are_those_of_the_simulation_of_single_spikes():
    _, network = ann_and_network("mlp", (1, 3, 3), 4, features=[7, 6])
    (x,) = images(1, (1, 3, 3))
    on_clock = clocked(network)
    with torch.no_grad(), layer_outputs(on_clock) as found:
        on_clock(x[None])
    times, _ = on_one_clock(network.double(), x)
    for held, expected in zip(found.values(), times, strict=True):
        fired = held[:, 0] > 0
        first = torch.where(fired.any(0), fired.float().argmax(0), 10**9)
        assert first.tolist() == expected


def test_norms_and_scales_of_channels_go_along():
    torch.manual_seed(0)
    network = create_model("lenet", in_shape=(1, 8, 8), classes=3, coding="ttfs", steps=4,
                           neuron="ttfs", neuron_options={"granularity": "channel"},
                           widths=[4], hidden=6).double()  # fmt: skip
    x = images(32, (1, 8, 8)).double()
    network.train()(x)
    for layer in network.body:
        if hasattr(layer, "neuron"):
            layer.neuron.raw_scale.data = torch.rand_like(layer.neuron.raw_scale) + 0.5
    network.eval().readout.scale.data = torch.rand(4).double()
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(clocked(network)(x).mean(0), expected.mean(0))
    assert float(expected.std()) > 0.01


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("ms-resnet", {"width": 4}, "with a layer .* has no form on one clock"),
        ("mlp", {"readout": "membrane"}, "the readout MembraneReadout has no form"),
        ("mlp", {"norm": "per-step"}, "a norm PerStepNorm has no form"),
        ("mlp", {"coding": "temporal"}, "the code 'temporal' has no form"),
    ],
)
def test_what_has_no_clock_is_refused(name, options, message):
    network = create_model(
        name, **{"in_shape": (1, 8, 8), "classes": 3, "coding": "ttfs", "steps": 4,
                 "neuron": "ttfs", **options}
    )  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        clocked(network)


@pytest.fixture(scope="module")
def exported():
    _, network = ann_and_network("lenet", (1, 8, 8), 4, widths=[4], hidden=6)
    x = images(24, (1, 8, 8))
    return network, source_of(network), Samples(x.numpy(), None, "images"), x


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream"])
def test_the_file_of_steps_has_the_answers_of_the_network(tmp_path, exported, form):
    network, source, samples, x = exported
    found = export_onnx(source, tmp_path, samples=samples, form=form)
    assert found.report.verified
    if form == "sequence":
        session = OnnxSession(tmp_path / "model.onnx", "CPUExecutionProvider")
        logits = session.run({"image": samples.images})["logits"]
        with torch.no_grad():
            np.testing.assert_allclose(logits, network(x).mean(0).numpy(), atol=1e-6)


@pytest.mark.slow
def test_negative_control_a_threshold_of_half_a_level_less(tmp_path, exported, monkeypatch):
    """The verification sees it: other spikes in the file than in the network."""
    network, source, samples, _ = exported
    for layer in network.modules():
        assert not isinstance(layer, ClockedTtfs)  # of the copy alone
    real = ClockedTtfs.schedules
    monkeypatch.setattr(
        ClockedTtfs, "schedules", lambda self: {**real(self), "level": real(self)["level"] - 0.5}
    )
    other = source_of(network)
    monkeypatch.undo()
    mixed = source.with_graph(other.graph)
    with pytest.raises(VerificationError):
        export_onnx(mixed, tmp_path, samples=samples)


def test_nir_has_no_windows(tmp_path, exported):
    _, source, samples, _ = exported
    with pytest.raises(ConfigError, match="equations of its own") as caught:
        export_nir(source, tmp_path, samples=samples)
    assert "constant thresholds and no windows of firing" in caught.value.why


@pytest.mark.parametrize(
    "name, options, remedy",
    [
        ("mlp", {"synapse": "exp"}, "set synapse.name=none"),
        ("spikformer", {"size": "2-16", "heads": 2}, "choose mlp, lenet or vgg"),
    ],
)
def test_layers_that_do_not_keep_levels_are_refused(name, options, remedy):
    with pytest.raises(ConfigError, match="neurons 'ttfs' are not for a network with") as caught:
        create_model(name, in_shape=(1, 8, 8), classes=3, coding="ttfs", steps=4, neuron="ttfs",
                     **options)  # fmt: skip
    assert caught.value.remedy == remedy
