"""Spikes and operations up to the first output spike, against loops over the spike times."""

import math

import pytest
import torch

from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.measure.cost.energy import energy_of_samples
from asnn.measure.cost.tables import read_cost_table
from asnn.measure.early_exit import decided_when, decision
from asnn.models import create_model
from asnn.models.timing.layer import TimingConv2d, timing_layers

MULTI = {"neuron": "multi-spike", "weight_mean": [8.0], "weight_std": [2.0]}
NETWORKS = {
    "rel-psp": {
        "features": [8],
        "neuron_options": {"window": 3.0, "output_window": 4.0},
        "weight_mean": [23.5, 30.0],
        "weight_std": [20.0],
    },
    "conv": {
        "name": "timing-conv",
        "widths": [3],
        "kernel": 3,
        "stride": 1,
        "weight_mean": [23.5, 20.0],
        "weight_std": [20.0],
    },
    "multi-spike": {
        **MULTI,
        "features": [8],
        "neuron_options": {"window": 2.0, "threshold": 0.03, "most": 5},
    },
}
TABLE = read_cost_table()


def network(name):
    torch.manual_seed(1)
    options = {"coding": "times", "steps": 1, "neuron": "rel-psp", "readout": "earliest"}
    options |= {"name": "timing-mlp", **NETWORKS[name]}
    return create_model(options.pop("name"), in_shape=(1, 4, 4), classes=3, **options).eval()


def images():
    return torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def counted(model):
    split = Split(images(), torch.arange(9) % 3)
    return evaluate(model, split, full_scale=1.0, classes=3, batch_size=4, count=True)


@torch.no_grad()
def trains(model):
    """Return what each layer reads and sends, `[1, B, ..., S]`."""
    found, x = [], model.coding.encode(images())
    for layer in timing_layers(model).values():
        y = layer(x)
        found.append((layer, x, y))
        x = y
    return found


def groups(layer, x, y, sample):
    """Yield the spike times of the inputs and of the neurons of each place of a layer."""
    if not isinstance(layer, TimingConv2d):
        yield x[0, sample].flatten(0, -2), y[0, sample]
        return
    for i in range(y.shape[3]):
        for j in range(y.shape[4]):
            rows, columns = slice(i, i + layer.kernel), slice(j, j + layer.kernel)
            yield x[0, sample, :, rows, columns].flatten(0, -2), y[0, sample, :, i, j]


def pairs_before(layer, x, y, sample, until):
    """Count the inputs before a time, each with the neurons that may still fire."""
    window = min(until, layer.neuron.window)
    number = 0
    for inputs, neurons in groups(layer, x, y, sample):
        ends = neurons[:, -1].tolist()  # of the last spike that a neuron may have
        for t in inputs.flatten().tolist():
            number += sum(end >= t for end in ends) if t < window else 0
    return number


def expected(model, last=None):
    """Return spikes, operations of one kind and events of each sample until its first output
    spike, or until `last`."""
    found, operations = trains(model), 2 if many(model) else 1
    spikes, pairs, events = [], [], []
    for sample in range(9):
        until = found[-1][2][0, sample].min().item() if last is None else last
        sent = [y[0, sample].flatten() for _, _, y in found]
        spikes.append(sum(int(((t <= until) & t.isfinite()).sum()) for t in sent))
        of_layers = [pairs_before(*each, sample, until) for each in found]
        pairs.append(operations * sum(of_layers))
        read = [x[0, sample].flatten() for _, x, _ in found]
        events.append(sum(int((t < until).sum()) for t in read))
    return spikes, pairs, events


def many(model):
    return any(layer.neuron.most > 1 for layer in timing_layers(model).values())


@pytest.mark.parametrize("name", NETWORKS)
def test_they_are_those_of_loops_over_the_spike_times(name):
    model = network(name)
    result, (spikes, pairs, events) = counted(model), expected(model)
    found = result.counts_to_decision
    assert result.spikes_to_decision == pytest.approx(sum(spikes) / 9)
    assert found.ac[0].tolist() == found.mac[0].tolist() == pairs
    # Both parts of a layer read its events.
    assert (found.events[0] / 2).tolist() == events
    energy = sum(TABLE.picojoules.ac * n + TABLE.picojoules.mac * n for n in pairs) / 9
    row = decision(result, TABLE)
    assert row["picojoules"] == pytest.approx(energy)
    assert row["spikes"] == result.spikes_to_decision
    assert row["time"] == pytest.approx(result.values["mean_time"])
    assert row["accuracy"] == result.accuracy
    assert decided_when(row) == f"at the time {row['time']:.4g}"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_whole_pass_has_more(name):
    """Negative control: all times give the counts of the whole pass, which are not these."""
    model = network(name)
    result, (spikes, pairs, _) = counted(model), expected(model, last=math.inf)
    assert result.counts.ac[0].tolist() == pairs
    assert result.spikes_per_sample == pytest.approx(sum(spikes) / 9)
    assert (result.counts_to_decision.ac <= result.counts.ac).all()
    assert result.counts_to_decision.ac.sum() < result.counts.ac.sum()
    assert 0 < result.spikes_to_decision < result.spikes_per_sample


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_what_comes_later_does_not_change_the_decision(name):
    """Without the pixels from the decision on, each sample is decided at the same time."""
    model = network(name)
    code = model.coding.encode(images())
    times = model.readout.decision_times(model.run(code))
    early = torch.where(code < times.view(1, -1, 1, 1, 1, 1), code, math.inf)
    assert (early != code).any()
    found = model.readout.decision_times(model.run(early))
    assert torch.allclose(found, times, rtol=1e-12)


def test_a_sample_without_a_decision_costs_all():
    model = network("multi-spike")
    with torch.no_grad():
        model.body.timing2.weight.neg_()
    result = counted(model)
    row = decision(result, TABLE)
    assert result.spikes_to_decision == result.spikes_per_sample > 0
    assert result.counts_to_decision.ac.equal(result.counts.ac)
    assert row["time"] is None and decided_when(row) == "never"
    assert row["picojoules"] == pytest.approx(float(energy_of_samples(result.counts, TABLE).mean()))


def test_a_readout_of_counts_has_no_decision():
    torch.manual_seed(0)
    options = {"coding": "times", "steps": 1, "readout": "spike-count", **NETWORKS["multi-spike"]}
    model = create_model("timing-mlp", in_shape=(1, 4, 4), classes=3, **options).eval()
    result = counted(model)
    assert decision(result, TABLE) is None and result.counts is not None
    assert result.counts_to_decision is None and result.spikes_to_decision is None
