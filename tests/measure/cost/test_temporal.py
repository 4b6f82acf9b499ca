"""Operations of temporal convolutions, counted by hand: one product after the other."""

from itertools import product

import pytest
import torch

from asnn.measure.cost.operations import Counts, Operations
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from asnn.models.network import SpikingNetwork

STEPS, SIDE = 3, 6


def _model(**options) -> SpikingNetwork:
    torch.manual_seed(0)
    settings = {"coding": "direct", "widths": [2, 3], "neuron_options": {"gain": 8.0}} | options
    model = create_model(
        "spiking-yolo", in_shape=(1, SIDE, SIDE), classes=6, steps=STEPS, **settings
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 5:
                parameter[parameter.abs() < parameter.abs().median() / 2] = 0  # pruned
    return model.eval()


def _counted(model: SpikingNetwork) -> tuple[Counts, dict[str, torch.Tensor]]:
    images = torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), layer_outputs(model) as outputs, Operations(model) as operations:
        model(images)
    return operations.counts(), outputs


def _by_hand(
    x: torch.Tensor, weight: torch.Tensor, offsets: tuple[int, ...], stride: int = 2
) -> list[float]:
    """Count for each input step the products of values and weights that are not 0."""
    steps, height = len(x), x.shape[-1]
    out = -(-height // stride)
    found = [0.0] * steps
    for b, t, k, o, c, ky, kx in product(
        range(x.shape[1]), range(steps), range(3), range(len(weight)), range(x.shape[2]),
        range(3), range(3),
    ):  # fmt: skip
        source = t + offsets[k]
        if not 0 <= source < steps or weight[o, c, k, ky, kx] == 0:
            continue
        for oy, ox in product(range(out), repeat=2):
            y, z = oy * stride + ky - 1, ox * stride + kx - 1
            if 0 <= y < height and 0 <= z < height and x[source, b, c, y, z] != 0:
                found[source] += 1
    return found


@pytest.mark.parametrize("causal", [False, True])
def test_a_spike_counts_for_the_taps_within_the_steps(causal: bool) -> None:
    model = _model(causal=causal)
    counts, outputs = _counted(model)
    spikes = outputs["spikes1"]
    assert spikes.sum() > 20
    layer = next(each for each in counts.layers if each.name.startswith("conv2"))
    weight = model.body.conv2.taps.layer.weight
    offsets = (-2, -1, 0) if causal else (-1, 0, 1)
    expected = _by_hand(spikes, weight, offsets)
    assert layer.operation == "ac"
    assert layer.effective.tolist() == expected
    assert layer.events.tolist() == spikes.flatten(1).sum(1).tolist()
    # Negative control: all three taps at every step would be more, at the ends alone.
    everywhere = [
        sum(_by_hand(spikes[t : t + 1].expand(3, *spikes.shape[1:]), weight, (-1, 0, 1))[1:2])
        for t in range(STEPS)
    ]
    more = [a > b for a, b in zip(everywhere, layer.effective.tolist(), strict=True)]
    assert more == ([False, True, True] if causal else [True, False, True])


def test_equal_steps_are_counted_once() -> None:
    model = _model()
    counts, _ = _counted(model)
    stem = counts.layers[0]
    weight = model.body.conv1.taps.analog.weight
    image = torch.ones(1, 2, 1, SIDE, SIDE)
    in_middle = image.expand(3, *image.shape[1:])
    assert stem.operation == "mac"
    assert stem.effective.tolist() == [_by_hand(in_middle, weight, (-1, 0, 1))[1], 0, 0]


def test_a_dual_stem_counts_its_steps() -> None:
    model = _model(coding="hybrid")
    counts, _ = _counted(model)
    names = {each.name: each for each in counts.layers}
    assert names["conv1.analog"].operation == "mac"
    assert names["conv1.spikes"].operation == "ac"
    assert not counts.uncounted


def test_every_part_of_a_network_with_a_gate_and_scales_is_counted() -> None:
    model = _model(variant="author", widths=[2, 3, 4])
    counts, outputs = _counted(model)
    assert not counts.uncounted
    found = {each.name: each for each in counts.layers}
    assert found["conv2"].operation == "mac"  # behind the gate are values
    gate = found["spikes1.gate"]
    # Products that a window of zeros around [C, H, W] leaves, counted one by one.
    along = {size: _pairs(size, 5) for size in (2, 3)}
    over_time = 2 * 2 * STEPS * along[2] * along[3] ** 2
    over_space = 2 * 2**2 * _pairs(3, 4) ** 2
    values = 2 * 3 * 3
    each_step = over_time / STEPS + over_space + values
    assert gate.dense.tolist() == pytest.approx([2 * each_step] * STEPS)
    grids = model.readout.grids
    heads = [each for name, each in found.items() if name.startswith("readout") and
             each.kind == "linear"]  # fmt: skip
    assert [each.dense[0] for each in heads] == [
        2 * grid.height * grid.width * 4 * 6 for grid in grids
    ]
    sent = outputs["spikes3"].sum((2, 3, 4)).sum(1)
    assert heads[0].events.tolist() == sent.tolist()


def _pairs(size: int, kernel: int) -> int:
    before = (kernel - 1) // 2
    return sum(0 <= out + tap - before < size for out in range(size) for tap in range(kernel))
