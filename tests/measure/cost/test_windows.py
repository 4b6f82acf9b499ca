"""Cost of a network with an accumulator: where its head is counted, and the bits that cross."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from asnn.measure.cost.ann import ann_config, dense_ann_counts
from asnn.measure.cost.crossing import crossings
from asnn.measure.cost.energy import energy_of_samples, energy_report, layer_cost, total_cost
from asnn.measure.cost.operations import Operations
from asnn.measure.cost.tables import read_cost_table
from asnn.measure.spikes import SampleSpikes, SpikeRates
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.network import SpikingNetwork
from asnn.models.neurons import FixedLeaky

STEPS, SHAPE = 6, (2, 8, 8)


def network(**options):
    torch.manual_seed(0)
    defaults = {
        "in_shape": SHAPE, "classes": 3, "coding": "frames", "steps": STEPS,
        "sample": {"kind": "events", "shape": list(SHAPE), "duration": 60_000},
        "neuron": "fixed", "neuron_options": {"gain": 2.0, "threshold": 0.3},
        "output_scale": False, "backbone": [4], "windows": 2, "convs": [5], "hidden": [],
    }  # fmt: skip
    return create_model("hybrid", **{**defaults, **options}).eval()


@torch.no_grad()
def counted(model, steps=STEPS, rate=0.3):
    generator = torch.Generator().manual_seed(1)
    code = (torch.rand(steps, 3, *SHAPE, generator=generator) < rate).float()
    sums = []
    handle = model.body.accumulate.register_forward_hook(lambda _, x, y: sums.append((x[0], y)))
    with Operations(model) as operations:
        model.run(code)
    handle.remove()
    return operations.counts(), *sums[0]


def test_spikes_are_accumulated_and_sums_multiplied_at_the_ends_of_windows():
    counts, spikes, sums = counted(network())
    layers = {layer.name: layer for layer in counts.layers}

    added = layers["accumulate"]
    assert (added.operation, added.given) == ("ac", "spikes")
    assert added.effective.tolist() == spikes.flatten(1).sum(1).tolist()

    head = layers["head_conv1"]
    assert (head.operation, head.given) == ("mac", "values")
    # 3×3 with stride 2 over 4×4: rows and columns 0 to 3 are read by 1, 2, 1 and 1 outputs.
    reads = torch.tensor([1.0, 2.0, 1.0, 1.0])
    fan_out = 5 * reads.outer(reads)
    expected = [float((window != 0).mul(fan_out).sum()) for window in sums]
    assert head.effective.tolist() == [0, 0, expected[0], 0, 0, expected[1]]
    assert head.effective.sum() < (sums * fan_out).sum()  # a sum of 2 is one product, not two
    assert not counts.uncounted


def test_energy_by_step_and_sample_adds_up():
    counts, *_ = counted(network())
    table = read_cost_table()

    by_step = energy_of_samples(counts, table)

    assert by_step.shape == (STEPS, 3)
    assert float(by_step.sum()) == pytest.approx(total_cost(counts, table).total(table))
    assert (counts.mac[[2, 5]] > 0).all() and not counts.mac[[0, 1, 3, 4]].any()


@pytest.mark.parametrize("rate", [0.02, 0.9])
def test_bits_that_cross_are_the_lesser_of_addresses_and_counts(rate):
    counts, spikes, sums = counted(network(), rate=rate)
    neurons = sums[0, 0].numel()

    (found,) = crossings(counts)

    assert (found["neurons"], found["windows"], found["window_steps"]) == (neurons, 2, 3)
    addresses = float(spikes.sum()) / 3 * math.ceil(math.log2(neurons))
    of_counts = 2 * neurons * math.ceil(math.log2(STEPS / 2 + 1))
    assert found["bits_as_addresses"] == pytest.approx(addresses)
    assert found["bits_as_counts"] == of_counts
    assert found["bits"] == min(addresses, of_counts)
    assert (found["bits"] == of_counts) is (rate == 0.9)
    assert energy_report(counts, read_cost_table())["crossings"] == [found]


def test_of_the_first_windows_alone_their_part_is_counted():
    counts, *_ = counted(network(), steps=3)
    assert counts.steps == 3 and crossings(counts)[0]["windows"] == 1


def test_a_window_of_one_step_adds_nothing_and_costs_nothing_but_spikes_cross_it():
    counts, spikes, _ = counted(network(windows=STEPS))
    names = ["conv1.spikes", "accumulate", "head_conv1", "readout"]
    assert [layer.name for layer in counts.layers] == names
    passed, head = counts.layers[1:3]
    assert (passed.given, head.given) == ("spikes", "spikes")
    assert passed.effective.sum() == passed.dense.sum() == 0
    assert float(passed.events.sum()) == float(spikes.sum()) > 0

    (found,) = crossings(counts)
    neurons = spikes[0, 0].numel()
    assert (found["windows"], found["window_steps"], found["count_bits"]) == (STEPS, 1, 1)
    assert found["bits_as_counts"] == STEPS * neurons
    assert found["bits"] == min(found["bits_as_addresses"], STEPS * neurons)

    with_memory = read_cost_table("45nm-fp32-memory")
    assert layer_cost(passed, with_memory).total(with_memory) == 0
    without = replace(counts, layers=[each for each in counts.layers if each is not passed])
    expected = total_cost(without, with_memory).total(with_memory)
    assert total_cost(counts, with_memory).total(with_memory) == expected
    by_sample = float(energy_of_samples(counts, with_memory).sum())
    assert by_sample == pytest.approx(expected)
    assert float(counts.events.sum()) == sum(
        float(each.events.sum()) for each in without.layers if each.given == "spikes"
    )


def test_nothing_crosses_where_nothing_spikes():
    model = network(neuron="relu", neuron_options={}, steps=2, coding_options={"value": "count"})
    counts, *_ = counted(model, steps=2)
    assert crossings(counts) == []


def test_the_counterpart_of_events_has_a_frame_of_counts_for_each_window():
    model = network()
    found = ann_config(model)
    assert (found["neuron"], found["steps"], found["windows"]) == ("relu", 2, 2)
    assert found["coding_options"] == {"value": "log-count"}
    convolution = dense_ann_counts(model).layers[0]
    assert convolution.operation == "mac"
    assert convolution.dense[0] * 2 == convolution.dense.sum()  # of two steps


def test_the_counterpart_of_images_has_one_step():
    image = {"sample": None, "in_shape": (1, 8, 8), "coding": "direct"}
    found = ann_config(network(**image))
    assert (found["coding"], found["steps"], found["windows"]) == ("direct", 1, 1)
    assert dense_ann_counts(network(**image)).steps == 1


@torch.no_grad()
def test_neurons_behind_an_accumulator_are_counted_at_the_ends_of_windows():
    model = network()
    torch.manual_seed(1)
    spiking = SpikingLayer(None, FixedLeaky(steps=2, threshold=0.01))
    layers = [each for name, each in model.body.named_children() if name != "readout"]
    own = nn.Sequential(*layers[:-1], spiking, nn.Flatten(2), model.body.readout)
    code = (torch.rand(STEPS, 3, *SHAPE) < 0.4).float()
    behind = SpikingNetwork(model.coding, own).eval()

    with (
        Operations(behind) as operations,
        SampleSpikes(behind) as spikes,
        SpikeRates(behind) as rates,
    ):
        behind.run(code)

    counts, by_sample = operations.counts(), spikes.take()
    last = counts.neurons[-1]
    assert last.every == 3 and last.updates.tolist() == [0, 0, 3 * last.neurons] * 2
    assert last.active[[2, 5]].sum() == last.active.sum() > 0
    assert by_sample.shape == (STEPS, 3) and float(by_sample.sum()) == rates.total()
    outputs = 3 * (STEPS * counts.neurons[0].neurons + 2 * last.neurons)
    active = sum(float(each.active.sum()) for each in counts.neurons)
    assert counts.activation_sparsity() == pytest.approx(1 - active / outputs)
    assert total_cost(counts, read_cost_table()).updates.shape == (STEPS,)
