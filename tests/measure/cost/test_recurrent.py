"""Counted operations of recurrent weights: a loop over every spike of the step before."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asnn.measure import Operations
from asnn.measure.cost.energy import energy_of_samples, energy_report, total_cost
from asnn.measure.cost.tables import CostTable
from asnn.models import create_model
from asnn.models.layers.recurrent import Recurrent
from tests.support import brute_force
from tests.support.samples import batch_of, spec_for
from tests.support.sparse_layers import lively, with_zeros

TABLE = CostTable(
    name="odd",
    source="made up",
    picojoules={"mac": 7, "ac": 3, "neuron_update": 11, "memory_byte": 0.5},
    bytes={"weight": 2, "value": 8, "event": 5},
)


def network(coding="given", *, steps=4, features=(6, 5), seed=0, sparse=True):
    spec = spec_for(coding, (2, 3, 3), steps)
    torch.manual_seed(seed)
    model = create_model(
        "rsnn", in_shape=spec.shape, classes=3, sample=spec, coding=coding, steps=steps,
        features=list(features),
    )  # fmt: skip
    lively(model)
    for module in model.modules():
        if isinstance(module, Recurrent):
            nn.init.normal_(module.weight)
            if sparse:
                with_zeros(module, seed)
    return model.eval().frozen(), spec


def counted(model, x, steps=None):
    with torch.no_grad(), Operations(model) as operations:
        model(x, steps)
    return operations.counts()


def spikes_of(model, x, steps=None):
    """The spikes of each recurrent layer, `[T, B, F]`, by plain hooks."""
    found = {}
    handles = [
        module.register_forward_hook(lambda m, x, y, name=name: found.update({name: y}))
        for name, module in model.body.named_modules()
        if isinstance(module, Recurrent)
    ]
    with torch.no_grad():
        model(x, steps)
    for handle in handles:
        handle.remove()
    return {name.replace(".neuron", ".recurrent"): value for name, value in found.items()}


def assert_equal_to_brute_force(model, x, steps=None):
    found = counted(model, x, steps)
    layers = {layer.name: layer for layer in found.layers}
    for name, spikes in spikes_of(model, x, steps).items():
        weight = model.body.get_submodule(name.replace(".recurrent", ".neuron")).weight
        layer, samples = layers[name], spikes.shape[1]
        features = len(weight)
        each = [brute_force.recurrent_operations(spikes[:, i], weight) for i in range(samples)]
        assert layer.effective.tolist() == [sum(step) for step in zip(*each, strict=True)], name
        dense = brute_force.recurrent_operations(spikes[:, 0], weight, dense=True)
        assert layer.dense.tolist() == [samples * count for count in dense], name
        assert float(layer.dense.sum()) == samples * (len(spikes) - 1) * features**2
        sent = [0, *(int(step.sum()) for step in spikes[:-1])]
        assert layer.events.tolist() == sent, name
        assert layer.inputs.tolist() == [0] + [samples * features] * (len(spikes) - 1)
        assert (layer.operation, layer.kind, layer.spikes) == ("ac", "recurrent", True)
        assert (layer.weights, layer.zeros) == (features**2, int((weight == 0).sum()))
    return found


@pytest.mark.parametrize("coding", ["given", "frames", "temporal"])
def test_recurrent_weights_equal_a_loop_over_spikes(coding):
    model, spec = network(coding)
    found = assert_equal_to_brute_force(model, batch_of(spec, 5))
    for name in ("spikes1.recurrent", "spikes2.recurrent"):
        (layer,) = [layer for layer in found.layers if layer.name == name]
        assert 0 < layer.effective.sum() < layer.dense.sum() and layer.zeros > 0
    assert found.uncounted == []
    # By sample, over all layers.
    assert torch.equal(
        found.ac.sum(1), sum(c.effective for c in found.layers if c.operation == "ac")
    )
    assert torch.equal(found.reads, found.ac + found.mac)


@given(
    steps=st.integers(1, 5),
    first=st.integers(1, 6),
    batch=st.integers(1, 3),
    seed=st.integers(0, 50),
)
@settings(max_examples=15, deadline=None)
def test_recurrent_weights_of_every_shape(steps, first, batch, seed):
    model, spec = network(steps=steps, features=(first, 3), seed=seed)
    assert_equal_to_brute_force(model, batch_of(spec, batch, seed))


def test_the_first_steps_alone():
    model, spec = network()
    found = assert_equal_to_brute_force(model, batch_of(spec, 3), steps=2)
    assert all(len(layer.effective) == 2 for layer in found.layers)


def test_batches_add_up():
    model, spec = network()
    x = batch_of(spec, 7)
    with torch.no_grad(), Operations(model) as operations:
        model(x[:3]), model(x[3:])
    apart, together = operations.counts(), counted(model, x)
    for a, b in zip(apart.layers, together.layers, strict=True):
        assert torch.equal(a.effective, b.effective) and torch.equal(a.dense, b.dense)
    assert torch.equal(apart.ac, together.ac)


def test_negative_control_spikes_of_the_same_step_are_found(monkeypatch):
    model, spec = network()
    x = batch_of(spec, 5)
    assert_equal_to_brute_force(model, x)
    plain = Recurrent.count_operations
    monkeypatch.setattr(
        Recurrent,
        "count_operations",
        lambda self, counter, x, y: plain(self, counter, x, y.roll(-1, 0)),
    )
    with pytest.raises(AssertionError):
        assert_equal_to_brute_force(model, x)


def test_energy_of_recurrent_weights_by_hand():
    model, spec = network()
    found = counted(model, batch_of(spec, 5))
    (layer,) = [part for part in energy_report(found, TABLE)["layers"] if "1.rec" in part["name"]]
    operations, events = sum(layer["effective"]), sum(layer["events"])
    moved = (2 + 2 * 8) * operations + 2 * 5 * events
    assert sum(layer["picojoules"]) == pytest.approx(3 * operations + 0.5 * moved, rel=1e-12)
    each = energy_of_samples(found, TABLE).sum(1)
    total = sum(total_cost(found, TABLE).picojoules(TABLE).values())
    torch.testing.assert_close(each, total, rtol=1e-12, atol=0)


def test_recurrent_weights_come_before_the_layer_that_reads_the_spikes():
    model, spec = network("temporal")
    names = [layer.name for layer in counted(model, batch_of(spec, 2)).layers]
    assert names == [
        "linear1.spikes.1", "spikes1.recurrent", "linear2", "spikes2.recurrent", "readout",
    ]  # fmt: skip
