"""Figures that are not known: None with the reason, never a number."""

import pytest
import torch
from torch import nn

from asnn.cli.commands.eval.energy import show_energy, show_tradeoff
from asnn.coding import create_coding
from asnn.core import ConfigError
from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.measure.cost.ann import ann_config, dense_ann_counts, why_no_ann
from asnn.measure.cost.ann_comparison import energy_beside_ann
from asnn.measure.cost.energy import energy_of_samples, energy_report, why_unknown
from asnn.measure.cost.tables import read_cost_table
from asnn.measure.early_exit import tradeoff
from asnn.models import SpikingNetwork, create_model
from asnn.models.factory import model_registry
from asnn.models.layers.stem import Stem
from asnn.models.networks import blocks
from asnn.models.neurons.leaky import FixedLeaky
from asnn.models.readouts import Readout

TABLE = read_cost_table()
TOTALS = (
    "picojoules_per_sample", "picojoules_by_step", "accumulates", "multiply_accumulates",
    "bytes_moved",
)  # fmt: skip


class Scaled(nn.Module):
    """A layer of another package, whose arithmetic is not counted."""

    def __init__(self, features, *, learned):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features)) if learned else 1.0

    def forward(self, x):
        return x * self.scale


def plugin(ctx, *, learned: bool = True):
    """A network with that layer between two linear layers."""
    size = ctx.in_shape[0] * ctx.in_shape[1] * ctx.in_shape[2]

    def first():
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 5))

    body = blocks.sequence(
        linear=Stem(ctx.coding, first, mean=ctx.mean, std=ctx.std),
        spikes=blocks.SpikingLayer(None, ctx.make_neuron(5)),
        scaled=Scaled(5, learned=learned),
        readout=Readout(5, ctx.classes, steps=ctx.steps, scaled=False),
    )
    return SpikingNetwork(ctx.coding, body)


@pytest.fixture
def evaluated(monkeypatch):
    """A function that returns a network of the registry and its evaluation on random images."""
    monkeypatch.setattr(
        model_registry, "get", lambda name, get=model_registry.get: plugin
        if name == "plugin"
        else get(name),
    )  # fmt: skip

    def make(name, **options):
        torch.manual_seed(0)
        model = create_model(name, in_shape=(1, 3, 3), classes=3, steps=3, **options).eval()
        split = Split(torch.rand(8, 1, 3, 3), torch.arange(8) % 3)
        return model, evaluate(model, split, classes=3, full_scale=1.0, count=True)

    return make


def test_totals_with_an_uncounted_layer_are_unknown(evaluated):
    _, result = evaluated("plugin")
    found = energy_report(result.counts, TABLE)
    reason = "operations are not counted in layers of unknown type: scaled"
    assert found["reason"] == why_unknown(result.counts) == reason
    assert found["uncounted"] == ["scaled"]
    assert [found[key] for key in TOTALS] == [None] * len(TOTALS)
    assert set(found["picojoules_by_part"].values()) == {None}
    assert set(found["synaptic_operations"].values()) == {None}
    assert energy_of_samples(result.counts, TABLE) is None
    # What is counted stays.
    assert [layer["name"] for layer in found["layers"]] == [
        "linear.analog.1", "linear.spikes.1", "readout",
    ]  # fmt: skip
    assert all(sum(layer["picojoules"]) > 0 for layer in found["layers"][:1])
    assert found["neuron_updates"] == 3 * 5
    rows = tradeoff(result.class_outcomes, [], energy_of_samples(result.counts, TABLE))
    assert [row["picojoules"] for row in rows] == [None] * 3


def test_negative_control_a_layer_without_parameters_leaves_them_known(evaluated):
    _, unknown = evaluated("plugin")
    _, result = evaluated("plugin", learned=False)
    found = energy_report(result.counts, TABLE)
    assert found["reason"] is None and found["uncounted"] == []
    assert all(found[key] is not None for key in TOTALS)
    assert set(found) == set(energy_report(unknown.counts, TABLE))  # the same keys


def test_the_counterpart_of_a_network_with_an_uncounted_layer_is_unknown_too(evaluated):
    model, result = evaluated("plugin")
    dense = energy_beside_ann(model, result, TABLE)["ann_twin"]["dense"]
    assert dense["picojoules_per_sample"] is dense["accumulates"] is None
    assert dense["reason"] == "operations are not counted in layers of unknown type: scaled"
    assert [layer["name"] for layer in dense["layers"]] == ["linear.analog.1", "readout"]


def test_a_recurrent_network_has_no_ann_counterpart(evaluated):
    model, result = evaluated("rsnn", features=[5])
    why = "recurrent weights receive spikes, and ReLU has none"
    assert why_no_ann(model) == why
    found = energy_beside_ann(model, result, TABLE)
    assert found["reason"] is None and found["picojoules_per_sample"] > 0
    dense = found["ann_twin"]["dense"]
    assert dense == {
        "accumulates": None, "multiply_accumulates": None, "picojoules_per_sample": None,
        "layers": [], "reason": why,
    }  # fmt: skip
    for refused in (ann_config, dense_ann_counts):
        with pytest.raises(ConfigError) as caught:
            refused(model)
        assert caught.value.what == "rsnn has no ANN counterpart" and caught.value.why == why
    # Negative control: without recurrence there is one, with the same keys.
    plain, result = evaluated("mlp", features=[5])
    known = energy_beside_ann(plain, result, TABLE)["ann_twin"]["dense"]
    assert known["reason"] is None and known["picojoules_per_sample"] > 0
    assert set(known) == set(dense) and why_no_ann(plain) is None


@pytest.mark.parametrize("name", ["plugin", "rsnn", "mlp"])
def test_the_tables_of_asnn_eval_show_what_is_unknown(evaluated, name, capsys):
    model, result = evaluated(name)
    found = energy_beside_ann(model, result, TABLE)
    show_energy(found)
    show_tradeoff(tradeoff(result.class_outcomes, [], energy_of_samples(result.counts, TABLE)))
    said = " ".join(capsys.readouterr().err.split())
    unknown = "total unknown: operations are not counted in layers of unknown type: scaled"
    assert (unknown in said) == (name == "plugin")
    assert ("total " in said and " moved" in said) == (name != "plugin")
    no_ann = "ANN, dense: unknown: recurrent weights receive spikes, and ReLU has none"
    assert (no_ann in said) == (name == "rsnn")


def test_a_network_by_hand_with_an_uncounted_layer():
    coding = create_coding("temporal", steps=2)
    body = blocks.sequence(
        stem=Stem(
            coding, lambda: nn.Sequential(nn.Flatten(), nn.Linear(9, 5)), mean=[0.0], std=[1.0]
        ),
        spikes=blocks.SpikingLayer(None, FixedLeaky(2, 5)),
        scaled=Scaled(5, learned=True),
        readout=Readout(5, 3, steps=2, scaled=False),
    )
    split = Split(torch.rand(4, 1, 3, 3), torch.arange(4) % 3)
    network = SpikingNetwork(coding, body).eval()
    counts = evaluate(network, split, classes=3, full_scale=1.0, count=True).counts
    assert energy_report(counts, TABLE)["picojoules_per_sample"] is None
