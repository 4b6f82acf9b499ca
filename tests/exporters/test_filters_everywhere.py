"""Synapses and `iir` neurons in every network: files, energy, inspection."""

import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.inspection import inspect
from asnn.measure.cost.energy import energy_report
from asnn.measure.cost.operations import Operations
from asnn.measure.cost.tables import read_cost_table
from asnn.models import create_model
from asnn.models.saved import save_model
from asnn.models.synapses.base import Synapse
from tests.support.exported_networks import ARCHITECTURES, SIZES, images, network, samples

NAMES = [name for name in SIZES if name not in ("lenet", "mlp")]


def filtered(name, **options):
    given = {"synapse": "dual-exp", "synapse_options": {"tau": 3.0}, "steps": 2}
    return network(name, **{**given, **options})


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["adaptive", "iir"])
@pytest.mark.parametrize("name", NAMES)
def test_onnx_files_are_verified(tmp_path, name, neuron):
    options = {"threshold": 0.3} if neuron == "iir" else {}
    source = source_of(filtered(name, neuron=neuron, neuron_options=options))
    assert export_onnx(source, tmp_path, samples=samples()).report.verified


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nir_files_are_verified_or_refused_with_the_reason(tmp_path, name):
    source = source_of(filtered(name))
    if name == "spikformer":  # products of spikes
        with pytest.raises(ConfigError) as refused:
            export_nir(source, tmp_path / "a.nir", samples=samples())
        assert refused.value.why
    else:
        assert export_nir(source, tmp_path / "a.nir", samples=samples()).report.verified


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SIZES))
def test_what_follows_a_filter_is_given_values(name):
    """Of the weights of a network those that read a synapse, and no other, become products."""
    found = {}
    for synapse in ("none", "exp"):
        model = network(name, steps=2, synapse=synapse, synapse_options={})
        with torch.no_grad(), Operations(model) as operations:
            model(images())
        counts = operations.counts()
        found[synapse] = energy_report(counts, read_cost_table())
    layers = {layer["name"]: layer for layer in found["exp"]["layers"]}
    before = {layer["name"]: layer for layer in found["none"]["layers"]}
    synapses = [k for k, m in model.body.named_modules() if isinstance(m, Synapse)]
    assert [n for n, layer in layers.items() if layer["kind"] == "filter"] == synapses
    changed = [n for n, layer in before.items() if layers[n]["given"] != layer["given"]]
    assert changed and all(layers[n]["given"] == "values" for n in changed)
    assert all(layers[n]["operation"] == "mac" for n in changed)
    assert found["none"]["notes"] == []
    (note,) = found["exp"]["notes"]
    named = note.partition("(")[2].partition(")")[0].split(", ")
    assert set(named) <= set(synapses) and len(named) > len(synapses) / 2
    assert "the weights after them multiply (MAC)" in note
    assert found["exp"]["multiply_accumulates"] > found["none"]["multiply_accumulates"]


@pytest.mark.parametrize("name", ["mlp", "ms-resnet"])
@pytest.mark.parametrize("learn", [False, True])
def test_inspect_shows_the_poles(tmp_path, name, learn):
    model = filtered(name, synapse_options={"tau": 3.0, "learn": learn})
    save_model(tmp_path / "model.safetensors", model)
    (tmp_path / "config.toml").write_text('name = "test"\n[coding]\n')
    about = inspect(tmp_path)
    synapses = {k: m for k, m in model.body.named_modules() if isinstance(m, Synapse)}
    assert set(about["poles"]) == set(synapses)
    for key, synapse in synapses.items():
        q, p = synapse.poles.detach().double().numpy()
        for pole, shown in ((p, "p"), (q, "q")):
            expected = [pole.min(), pole.mean(), pole.max()]
            np.testing.assert_allclose(about["poles"][key][shown], expected, rtol=1e-5)
    learned = sum(v.numel() for v in model.parameters() if v.requires_grad)
    assert about["parameters"] == learned


def test_lstm_has_none():
    with pytest.raises(ConfigError, match="model lstm has no synapses"):
        create_model("lstm", in_shape=(3, 4, 4), classes=2, synapse="dual-exp")


def test_every_architecture_is_tested_here():
    assert {kind for kind, _ in ARCHITECTURES.values()} <= set(SIZES)
