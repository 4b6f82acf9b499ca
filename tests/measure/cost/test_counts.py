"""Counts of spikes and filters over time: each operation counted by a loop or a formula."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.measure import Operations
from asnn.measure.cost.ann import dense_ann_counts
from asnn.measure.cost.energy import energy_of_samples, energy_report, total_cost
from asnn.measure.cost.layer_graph import LayerGraph
from asnn.measure.cost.tables import CostTable
from asnn.measure.spikes import SpikeRates
from asnn.models import create_model
from asnn.models.layer import Signal
from asnn.models.layers.spiking import layer_outputs, signal_of
from asnn.models.neurons.integrate import Integrate
from tests.support import brute_force
from tests.support.sparse_layers import images, lively

TABLE = CostTable(
    name="t", source="test",
    picojoules={"mac": 5, "ac": 3, "neuron_update": 2, "memory_byte": 0.1},
    bytes={"weight": 2, "value": 3, "event": 1},
)  # fmt: skip


def burst(name="lenet", *, by_channel=False, **options):
    torch.manual_seed(0)
    model = create_model(
        name, in_shape=(1, 8, 8), classes=3, steps=4, neuron="integrate",
        neuron_options={
            "most": 3, "amplitude": 0.9, "granularity": "channel" if by_channel else "layer",
        },
        **options,
    )  # fmt: skip
    model = lively(model)
    if by_channel:
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, Integrate):
                    module.raw_amplitude.mul_(torch.linspace(0.7, 1.3, len(module.raw_amplitude)))
    return model.eval()


def counted(model, x):
    model = model.frozen()
    with torch.no_grad(), Operations(model) as operations, layer_outputs(model) as outputs:
        model(x)
    return operations.counts(), outputs, model


def test_what_a_neuron_sends():
    assert signal_of(torch.nn.ReLU()) == Signal("spikes")  # of another package
    one, many = Integrate(2, amplitude=0.5), Integrate(2, most=4, amplitude=0.5)
    assert signal_of(one).kind == "spikes" and signal_of(many).kind == "counts"
    assert float(signal_of(many).amplitude) == 0.5


@pytest.mark.parametrize("by_channel", [False, True])
def test_a_count_is_as_many_operations(by_channel):
    """conv2 and the linear layer behind a flatten read amplitude × k: k accumulates a weight."""
    model = burst(by_channel=by_channel, widths=[3, 4], hidden=5)
    found, outputs, frozen = counted(model, images(2, 1, 8, 8))
    layers = {layer.name: layer for layer in found.layers}
    for layer, before in (("conv2", "spikes1"), ("linear", "spikes2")):
        amplitude = getattr(frozen.body, before).neuron.amplitude
        k = (
            outputs[before] / amplitude.view(-1, 1, 1)
            if by_channel
            else outputs[before] / amplitude
        )
        k = k.round()
        assert {1, 2} <= set(k.unique().tolist()) <= {0, 1, 2, 3}
        module = getattr(frozen.body, layer).layer
        rows = k if layer == "conv2" else k.flatten(2)
        for t, step in enumerate(rows):
            each = [
                sum(brute_force.operations((one >= level).float(), module) for level in (1, 2, 3))
                for one in step
            ]
            assert layers[layer].effective[t] == sum(each)
            assert layers[layer].events[t] == step.sum()
        assert (layers[layer].operation, layers[layer].given) == ("ac", "counts")


def test_negative_control_a_count_taken_for_a_spike_is_found(monkeypatch):
    monkeypatch.setattr("asnn.models.layers.spiking.signal_of", lambda neuron: Signal("spikes"))
    with pytest.raises(AssertionError):
        test_a_count_is_as_many_operations(False)


def test_rates_are_of_whole_numbers_and_activity_is_of_neurons():
    model = burst(widths=[3], hidden=5)
    x = images(2, 1, 8, 8)
    with torch.no_grad(), SpikeRates(model) as rates, layer_outputs(model) as outputs:
        model(x)
    k = (outputs["spikes2"] / 0.9).round()
    assert rates.by_layer()["spikes2"] == pytest.approx(k.mean((1, 2)).tolist())
    assert float(k.max()) > 1
    found, outputs, _ = counted(model, x)
    neurons = {layer.name: layer for layer in found.neurons}["spikes2"]
    assert neurons.active.tolist() == outputs["spikes2"].ne(0).sum((1, 2)).tolist()
    assert 0 < found.activation_sparsity() < 1


@pytest.mark.parametrize(("synapse", "poles"), [("exp", 1), ("dual-exp", 2)])
def test_a_filter_updates_each_of_its_states_at_each_step(synapse, poles):
    torch.manual_seed(0)
    model = create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=5, features=[6, 7], synapse=synapse
    )
    found, _, _ = counted(lively(model).eval(), images(2, 1, 4, 4))
    layers = {layer.name: layer for layer in found.layers}
    for name, channels in (("synapse2", 6), ("synapse", 7)):
        layer = layers[name]
        assert (layer.kind, layer.operation, layer.weights) == ("filter", "mac", 0)
        assert layer.effective.tolist() == layer.dense.tolist() == [2 * channels * poles] * 5
        assert 0 < layer.events.sum() < 2 * channels * 5
    # What follows a filter reads values, at every step.
    assert layers["linear2"].operation == layers["readout"].operation == "mac"
    assert found.uncounted == []


@pytest.mark.parametrize(
    "options",
    [
        {"synapse": "dual-exp"},
        {"readout": "membrane", "readout_options": {"leak": 0.5}},
        {
            "readout": "first-crossing",
            "readout_options": {"quantity": "potential", "psp": [2.0, 0.5]},
        },
    ],
)
def test_in_a_single_step_a_filter_is_a_factor_of_the_weights(options):
    """So the ANN counterpart of one step has no filter to pay for, whatever the network has."""
    shape = {"in_shape": (1, 4, 4), "classes": 3, "features": [6], "coding": "direct"}
    model = create_model("mlp", **shape, steps=3, **options)
    found, _, _ = counted(lively(model).eval(), images(2, 1, 4, 4))
    filters = [layer for layer in found.layers if layer.kind == "filter"]
    assert filters and all(layer.dense.sum() > 0 for layer in filters)  # the negative control
    filters = [layer for layer in dense_ann_counts(model).layers if layer.kind == "filter"]
    assert filters and all(layer.dense.sum() == 0 for layer in filters)
    one = create_model("mlp", **shape, steps=1, **options)
    found, _, _ = counted(lively(one).eval(), images(2, 1, 4, 4))
    (layer,) = [layer for layer in found.layers if layer.kind == "filter"]
    assert (layer.effective.sum(), layer.dense.sum(), layer.events.sum()) == (0, 0, 0)


def test_energy_of_a_filter_by_hand():
    torch.manual_seed(0)
    model = create_model("mlp", in_shape=(1, 4, 4), classes=3, steps=5, features=[6], synapse="exp")
    found, _, _ = counted(lively(model).eval(), images(2, 1, 4, 4))
    report = energy_report(found, TABLE)
    (layer,) = [each for each in report["layers"] if each["kind"] == "filter"]
    # Six products a step; each reads and writes its state (6 bytes), and spikes come as addresses.
    for t, events in enumerate(layer["events"]):
        assert layer["bytes"][t] == pytest.approx(6 * 2 * 3 + 2 * 1 * events)
        assert layer["picojoules"][t] == pytest.approx(6 * 5 + 0.1 * layer["bytes"][t])
    by_sample = energy_of_samples(found, TABLE)
    assert float(by_sample.sum()) == pytest.approx(total_cost(found, TABLE).total(TABLE))


@pytest.mark.parametrize(
    ("options", "operation"),
    [({}, "ac"), ({"leak": 0.5}, "mac"), ({"leak": 0.5, "learn_leak": True}, "mac")],
)
def test_a_readout_that_integrates_is_counted(options, operation):
    model = create_model(
        "mlp", in_shape=(1, 4, 4), classes=3, steps=5, features=[6],
        readout="membrane", readout_options=options,
    )  # fmt: skip
    found, _, _ = counted(lively(model).eval(), images(2, 1, 4, 4))
    layer = {each.name: each for each in found.layers}["readout.membrane"]
    assert (layer.operation, layer.effective.tolist()) == (operation, [2 * 3] * 5)


POOLED = {"widths": [3, 4], "hidden": 5, "pool": "mean"}


def test_a_mean_pool_of_spikes_is_their_number():
    """Each spike of a window is an accumulate of each weight behind the pool, for one or many."""
    torch.manual_seed(0)
    model = create_model("lenet", in_shape=(1, 8, 8), classes=3, steps=4, **POOLED)
    found, outputs, frozen = counted(lively(model).eval(), images(2, 1, 8, 8))
    layers = {layer.name: layer for layer in found.layers}
    for layer in ("conv2", "linear", "readout"):
        assert layers[layer].operation == "ac"
    assert (layers["conv2"].given, layers["readout"].given) == ("counts", "spikes")
    spikes = 4 * outputs["spikes1"]  # of windows of 2 x 2
    assert {1.0, 2.0} <= set(spikes.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    for t, step in enumerate(spikes):
        expected = 0.0
        for sample in step:
            for at in sample.nonzero().tolist():
                alone = torch.zeros_like(sample)
                alone[tuple(at)] = 1
                operations = brute_force.operations(alone, frozen.body.conv2.layer)
                expected += float(sample[tuple(at)]) * operations
        assert layers["conv2"].effective[t] == expected
        assert layers["conv2"].events[t] == step.sum()


@pytest.mark.parametrize(
    ("pool", "kind"),
    [
        (torch.nn.AvgPool2d(3, 2, 1), "counts"),
        (torch.nn.AvgPool2d((1, 2), divisor_override=1), "counts"),
        (torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False), "values"),
        (torch.nn.AvgPool2d(3, 2, ceil_mode=True), "values"),
    ],
)
def test_means_of_windows_of_other_sizes_are_values(pool, kind):
    signal = LayerGraph().visit("pool", pool, Signal("spikes", torch.tensor(0.5)))
    assert signal.kind == kind
    x = 0.5 * (torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0)) > 0.5)
    if kind == "counts":
        numbers = pool(x) / signal.amplitude
        torch.testing.assert_close(numbers, numbers.round())
        assert numbers.max() > 1
    assert LayerGraph().visit("pool", pool, Signal("values")).kind == "values"


def test_graded_spikes_are_products():
    model = burst(**POOLED)
    graded = TABLE.model_copy(update={"graded": True})
    x = images(2, 1, 8, 8)
    apart, outputs, _ = counted(model, x)
    with torch.no_grad(), Operations(model.frozen(), graded=True) as operations:
        model.frozen()(x)
    found = operations.counts()
    layers = {layer.name: layer for layer in found.layers}
    (before,) = [each for each in apart.layers if each.name == "linear"]
    layer = layers["linear"]
    assert (layer.operation, layer.given, before.operation) == ("mac", "graded", "ac")
    nonzero = outputs["spikes2"].ne(0).flatten(1).sum(1).tolist()
    assert layer.events.tolist() == nonzero
    assert layer.effective.tolist() == [5 * each for each in nonzero]
    assert float(before.effective.sum()) > float(layer.effective.sum())
    by_sample = energy_of_samples(found, graded)
    assert float(by_sample.sum()) == pytest.approx(total_cost(found, graded).total(graded))
    with pytest.raises(ConfigError, match="counted for the other"):
        total_cost(found, TABLE)
    with pytest.raises(ConfigError, match="graded = true, and the operations were counted"):
        energy_of_samples(apart, graded)
