"""Counted operations of an LSTM: a loop over every input, state and weight."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.datasets.base import Split
from asnn.measure import Operations, evaluate
from asnn.measure.cost.ann import why_no_ann
from asnn.measure.cost.ann_comparison import energy_beside_ann
from asnn.measure.cost.energy import energy_of_samples, energy_report, total_cost
from asnn.measure.cost.tables import read_cost_table
from asnn.models import create_model
from asnn.models.layers.lstm import Lstm
from tests.support import brute_force
from tests.support.samples import batch_of, spec_for
from tests.support.sparse_layers import sparse


def network(coding="given", *, steps=4, features=(5, 3), seed=0):
    """A network with about 30 % of the weights set to 0."""
    spec = spec_for(coding, (2, 3, 3), steps)
    torch.manual_seed(seed)
    model = create_model(
        "lstm", in_shape=spec.shape, classes=3, sample=spec, coding=coding, steps=steps,
        features=list(features),
    )  # fmt: skip
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "weight_" in name:
                value *= sparse(*value.shape, share=0.7, seed=seed)
    return model.eval(), spec


def counted(model, x):
    with torch.no_grad(), Operations(model) as operations:
        model(x)
    return operations.counts()


def assert_equal_to_brute_force(model, x):
    seen = {}
    handles = [
        module.register_forward_hook(lambda m, x, y, name=name: seen.update({name: (x[0], y)}))
        for name, module in model.body.named_modules()
        if isinstance(module, Lstm)
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    found = counted(model, x)
    layers = {layer.name: layer for layer in found.layers}
    assert found.uncounted == []
    for name, (inputs, h) in seen.items():
        lstm, layer = model.body.get_submodule(name), layers[name]
        samples, features = h.shape[1:]
        for t in range(len(h)):
            before = h[t - 1] if t else torch.zeros_like(h[0])
            count = 0
            for i in range(samples):
                count += brute_force.products(inputs[t, i], lstm.weight_ih_l0)
                count += brute_force.products(before[i], lstm.weight_hh_l0)
            assert layer.effective[t] == count, (name, t)
        per_step = 4 * features * (inputs.shape[2] + features)
        assert layer.dense.tolist() == [samples * per_step] * len(h)
        assert (layer.operation, layer.kind, layer.spikes) == ("mac", "lstm", False)
        zeros = (lstm.weight_ih_l0 == 0).sum() + (lstm.weight_hh_l0 == 0).sum()
        assert (layer.weights, layer.zeros) == (per_step, int(zeros))
        assert float(layer.effective.sum()) > 0
    assert float(found.ac.sum()) == 0
    assert torch.equal(found.mac.sum(1), sum(layer.effective for layer in found.layers))
    return found


@pytest.mark.parametrize("coding", ["given", "frames", "temporal", "direct"])
def test_products_equal_a_loop_over_inputs_and_states(coding):
    model, spec = network(coding)
    found = assert_equal_to_brute_force(model, batch_of(spec, 3))
    assert [layer.name for layer in found.layers] == ["lstm1", "lstm2", "readout"]


@given(
    steps=st.integers(1, 4),
    features=st.integers(1, 4),
    batch=st.integers(1, 2),
    seed=st.integers(0, 50),
)
@settings(max_examples=15, deadline=None)
def test_products_of_every_shape(steps, features, batch, seed):
    model, spec = network(steps=steps, features=(features, 2), seed=seed)
    assert_equal_to_brute_force(model, batch_of(spec, batch, seed))


def test_negative_control_the_state_after_the_step_is_found(monkeypatch):
    model, spec = network()
    plain = Lstm.count_operations
    monkeypatch.setattr(
        Lstm, "count_operations", lambda self, counter, x, h: plain(self, counter, x, h.roll(-1, 0))
    )
    # So that the state is 0 at some steps.
    model.body.lstm1.forward = lambda x: (
        Lstm.forward(model.body.lstm1, x) * (torch.arange(len(x)).view(-1, 1, 1) == 2)
    )
    with pytest.raises(AssertionError):
        assert_equal_to_brute_force(model, batch_of(spec, 2))


def test_energy_is_that_of_multiply_accumulates():
    model, spec = network()
    found = counted(model, batch_of(spec, 5))
    table = read_cost_table()
    report = energy_report(found, table)
    macs = sum(float(layer.effective.sum()) for layer in found.layers) / 5
    assert report["picojoules_per_sample"] == pytest.approx(4.6 * macs, rel=1e-12)
    assert report["accumulates"] == report["neuron_updates"] == 0
    assert report["activation_sparsity"] is None and report["neurons"] == []
    memory = read_cost_table("45nm-fp32-memory")
    each = energy_of_samples(found, memory).sum(1)
    total = sum(total_cost(found, memory).picojoules(memory).values())
    torch.testing.assert_close(each, total, rtol=1e-12, atol=0)


def test_it_has_no_ann_counterpart():
    model, _ = network("direct")
    split = Split(torch.rand(6, 2, 3, 3), torch.arange(6) % 3)
    result = evaluate(model, split, classes=3, full_scale=1.0, count=True)
    # A trained network in its place, such as a teacher, gives no figure either.
    found = energy_beside_ann(model, result, read_cost_table(), result)["ann_twin"]
    assert found["trained"] is None
    dense = found["dense"]
    assert dense["picojoules_per_sample"] is None
    assert dense["reason"] == why_no_ann(model) == "an LSTM has no neurons that ReLU could replace"
