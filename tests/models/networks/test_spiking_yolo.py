"""spiking-yolo: its grids and sizes, beside a loop over its parts, and what it refuses."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv3d, pad

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.measure.cost.ann import ann_config
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from asnn.models.layers.temporal import GatedSpikes, TapConv2d, TemporalConv
from asnn.models.network import SpikingNetwork
from asnn.models.readouts.detection import DetectionReadout, Grid
from asnn.tasks.classification import Classification

CLASSES = 3
CHANNELS = {"granularity": "channel", "learn_reset_size": True}


def _model(in_shape: tuple[int, ...] = (1, 20, 16), steps: int = 3, **options) -> SpikingNetwork:
    torch.manual_seed(0)
    settings = {"coding": "direct", "widths": [16, 16, 16, 16]} | options
    return create_model(
        "spiking-yolo", in_shape=in_shape, classes=CLASSES + 5, steps=steps, **settings
    )


def _images(model: SpikingNetwork) -> Tensor:
    return torch.rand(2, *model.config["in_shape"], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(20, 16), (17, 9), (8, 8)])
@pytest.mark.parametrize("scales", [1, 3])
def test_cells_are_those_of_the_grids(size: tuple[int, int], scales: int) -> None:
    model = _model((1, *size), scales=scales)
    assert isinstance(model.readout, DetectionReadout)
    outputs = model(_images(model))
    grids = model.readout.grids
    assert [grid.stride for grid in grids] == [8, 16, 32][:scales]
    for grid in grids:  # a cell for each 8 px begun, each 16, ...
        assert grid[1:] == tuple(-(-side // grid.stride) for side in size)
    cells = sum(grid.height * grid.width for grid in grids)
    assert outputs.shape == (3, 2, CLASSES + 5, cells)


def test_the_default_has_the_parameters_of_the_published_prototype() -> None:
    """183,587 of one channel, ten digits, T = 4 and adaptive neurons: by hand

    kernels 27 (1·16 + 16·32 + 32·64 + 64·64), norms 2 a channel, leak, gain and reset size by
    step and channel, the head with a bias and a scale by step.
    """
    model = create_model(
        "spiking-yolo",
        in_shape=(1, 64, 64),
        classes=15,
        coding="direct",
        steps=4,
        neuron_options=CHANNELS,
    )
    kernels = 27 * (16 + 16 * 32 + 32 * 64 + 64 * 64)
    channels = 16 + 32 + 64 + 64
    expected = kernels + 2 * channels + 3 * 4 * channels + (64 * 15 + 15) + 4
    assert sum(p.numel() for p in model.parameters()) == expected == 183_587


@pytest.mark.parametrize(
    ("temporal", "expected"), [("none", []), ("first", [1]), ("all", [1, 2, 3, 4])]
)
def test_which_convolutions_are_over_time(temporal: str, expected: list[int]) -> None:
    model = _model(temporal=temporal)
    found = [i for i in range(1, 5) if isinstance(getattr(model.body, f"conv{i}"), TemporalConv)]
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_the_network_is_conv3d_norm_neuron_in_turn(causal: bool) -> None:
    model = _model(causal=causal).double().train()
    with torch.no_grad():
        model(_images(model).double())
    model.eval()
    x = model.coding.encode(_images(model).double())
    for i in range(1, 5):
        conv, spikes = getattr(model.body, f"conv{i}"), getattr(model.body, f"spikes{i}")
        taps = conv.taps.analog if i == 1 else conv.taps.layer
        volume = pad(x.permute(1, 2, 0, 3, 4), (0, 0, 0, 0, *((2, 0) if causal else (1, 1))))
        stride = 2 if i < 4 else 1
        y = conv3d(volume, taps.weight, stride=(1, stride, stride), padding=(0, 1, 1))
        y = nn.functional.batch_norm(
            y,
            spikes.norm.norm.running_mean,
            spikes.norm.norm.running_var,
            spikes.norm.norm.weight,
            spikes.norm.norm.bias,
        )
        x = spikes.neuron(y.permute(2, 0, 1, 3, 4))
    assert 0 < float(x.detach().mean()) < 1
    weight = model.readout.linear.weight[:, :, None, None]
    expected = torch.stack([conv2d(step, weight, model.readout.linear.bias) for step in x])
    torch.testing.assert_close(model(_images(model).double()), expected.flatten(3))


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["direct", "hybrid"])
@pytest.mark.parametrize(
    "options", [{}, {"variant": "author", "start": "last-input"}, {"causal": True}], ids=str
)
def test_every_parameter_learns(coding: str, options: dict) -> None:
    model = _model(coding=coding, neuron_options=CHANNELS, **options).train()
    model(_images(model)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0 or "reset_size" in name, name


def test_it_takes_events() -> None:
    spec = SampleSpec("events", (2, 16, 16), duration=100)
    model = _model((2, 16, 16), sample=spec, coding="frames")
    x = (torch.rand(3, 2, 2, 16, 16) < 0.1).float()
    assert model.run(x).shape == (3, 2, CLASSES + 5, 4)
    assert ann_config(model)["steps"] == 3  # events bring their time


def test_a_frozen_copy_gives_the_same() -> None:
    model = _model(variant="author").eval()
    x = _images(model)
    torch.testing.assert_close(model.predict(x), model(x).mean(0), rtol=1e-4, atol=1e-4)


def test_a_causal_network_runs_step_by_step() -> None:
    model = _model(causal=True, scales=2).eval()
    with torch.no_grad():
        expected = model(_images(model))
        found = model.run_until(_images(model), lambda so_far: torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_counterpart_of_images_sees_one_step_and_has_plain_convolutions() -> None:
    config = ann_config(_model(variant="author"))
    ann = create_model(config.pop("name"), **config)
    assert config["steps"] == 1
    assert not any(isinstance(part, TapConv2d) for part in ann.modules())
    # A temporal kernel in one step is its middle slice: the function is the same.
    spiking = _model(steps=1)
    assert spiking(_images(spiking)).shape == ann(_images(spiking))[..., :6].shape


def test_the_gate_is_the_product_of_its_parts() -> None:
    model = _model(temporal="first", gate=True).eval()
    gated = model.body.spikes1
    assert isinstance(gated, GatedSpikes)
    x = 3 * torch.rand(3, 2, 16, 10, 8)
    normed = gated.norm(x)
    over_time = torch.stack(  # one sample at a time, its steps as channels
        [gated.over_time(normed[:, b].unsqueeze(0))[0] for b in range(2)], 1
    )
    first, second = (layer for layer in gated.over_space if isinstance(layer, nn.Conv2d))

    def same(z: Tensor, conv: nn.Conv2d) -> Tensor:
        return conv2d(pad(z, (1, 2, 1, 2)), conv.weight, conv.bias)

    over_space = torch.stack([same(nn.functional.silu(same(z, first)), second) for z in normed])
    with layer_outputs(gated) as sent:
        out = gated(x)
    spikes = sent["spikes"]
    assert set(spikes.unique().tolist()) == {0, 1}
    torch.testing.assert_close(out, spikes * torch.sigmoid(over_time * over_space))
    # Negative control: it is not a gate of each step alone.
    later = x.clone()
    later[2] += 1
    assert not torch.equal(gated(later)[0], out[0])


def test_the_gate_refuses_fewer_steps() -> None:
    model = _model(gate=True).eval()
    with pytest.raises(ConfigError) as found:
        model(_images(model), steps=2)
    assert found.value.what == "the gate needs all 3 steps, not 2"
    assert found.value.remedy == "compute 3 steps, or train with model.gate=false"


def test_another_task_is_refused() -> None:
    with pytest.raises(ConfigError) as found:
        Classification().use_readout(_model().readout)
    assert found.value.what == "this network is for the task detection, not classification"
    assert found.value.remedy == "set task.name=detection, or choose another model.name"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"scales": 4}, "scales must be from 1 to 3, not 4"),
        ({"widths": []}, "widths must be positive, one a convolution, not []"),
        ({"temporal": "none", "causal": True}, "model.causal is for convolutions over time"),
        ({"gate": True, "causal": True}, "a gate is not causal"),
        ({"start": "last-input", "causal": True}, "a start from the last input is not causal"),
        ({"start": "first"}, "unknown start 'first'"),
        ({"readout": "last"}, "spiking-yolo has no readout last"),
        ({"variant": "large"}, "unknown variant 'large'"),
        ({"temporal": "some"}, "unknown temporal 'some'"),
    ],
)
def test_what_it_refuses(options: dict, what: str) -> None:
    with pytest.raises(ConfigError) as found:
        _model(**options)
    assert found.value.what == what


def test_outputs_that_are_no_boxes_are_refused() -> None:
    with pytest.raises(ConfigError, match="spiking-yolo has 5 outputs in each cell"):
        create_model("spiking-yolo", in_shape=(1, 16, 16), classes=5, coding="direct")


def test_grids_are_named() -> None:
    assert _model(scales=2).readout.grids == (Grid(8, 3, 2), Grid(16, 2, 1))
