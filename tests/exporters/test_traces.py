"""Networks of traces, as local rules train them: files, operations, inspection."""

import numpy as np
import onnxruntime
import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.inspection import inspect
from asnn.measure.cost.energy import energy_report
from asnn.measure.cost.operations import Operations
from asnn.measure.cost.tables import read_cost_table
from asnn.models import create_model
from asnn.models.saved import save_model

STEPS, TAUS = 6, [1.5, 5.0]
REFRACTORY = {"tau": 2.0, "threshold": 0.2}
WITHOUT_RESET = {"leak": 0.0, "gain": 1.0, "threshold": 0.2, "reset": "none"}


def network(neuron="iir", options=None, **more):
    torch.manual_seed(0)
    return create_model(
        "trace-mlp",
        **{
            "in_shape": (4,), "classes": 3, "coding": "given", "steps": STEPS,
            "sample": {"kind": "series", "shape": [4], "steps": STEPS, "binary": True},
            "neuron": neuron, "neuron_options": REFRACTORY if options is None else options,
            "features": [7, 5], "bias": 0.2, "synapse": "traces",
            "synapse_options": {"tau": TAUS}, "output_scale": False, "readout_synapse": False,
            **more,
        },
    ).eval()  # fmt: skip


def verified(exported):
    parities = exported.report.parities
    return len(parities) > 1 and all(each.agrees for each in parities)


@pytest.mark.slow
@pytest.mark.parametrize("readout_synapse", [True, False])
@pytest.mark.parametrize("form", ["sequence", "stream"])
def test_onnx(tmp_path, form, readout_synapse):
    source = source_of(network(readout_synapse=readout_synapse))
    samples = random_samples(source.sample_shape, 8)
    assert verified(export_onnx(source, tmp_path / "a.onnx", samples=samples, form=form))


@pytest.mark.slow
def test_nir_without_refractoriness(tmp_path):
    source = source_of(network("fixed", WITHOUT_RESET))
    samples = random_samples(source.sample_shape, 8)
    assert verified(export_nir(source, tmp_path / "a.nir", samples=samples))


def test_nir_of_refractory_neurons_is_refused(tmp_path):
    source = source_of(network())
    samples = random_samples(source.sample_shape, 8)
    with pytest.raises(ConfigError) as refused:
        export_nir(source, tmp_path / "a.nir", samples=samples)
    assert "spikes1" in str(refused.value)


@pytest.mark.slow
def test_drawn_neurons_take_their_noise_as_an_input(tmp_path):
    model = network("fixed", {**WITHOUT_RESET, "noise": "logistic"}, readout_synapse=True)
    source = source_of(model, {"noise": "input"}, noise=True)
    samples = random_samples(source.sample_shape, 8)
    assert verified(export_onnx(source, tmp_path / "a.onnx", samples=samples))
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    names = [each.name for each in session.get_inputs()]
    assert names[1:] == ["noise.spikes1", "noise.spikes2"]


def test_operations_are_those_of_the_equations():
    """A trace is a product with its pole and one with its gain, at every step, whatever comes in;
    weights that read traces multiply."""
    model = network()
    x = (torch.rand(3, STEPS, 4) < 0.5).float()
    with torch.no_grad(), Operations(model) as operations:
        model(x)
    report = energy_report(operations.counts(), read_cost_table())
    layers = {each["name"]: each for each in report["layers"]}
    assert layers["synapse1"]["effective"] == [4 * 2 * len(TAUS)] * STEPS
    assert layers["synapse2"]["effective"] == [7 * 2 * len(TAUS)] * STEPS
    assert layers["linear1"]["given"] == "values" and layers["linear1"]["operation"] == "mac"
    assert layers["linear1"]["dense"] == [4 * len(TAUS) * 7] * STEPS
    assert layers["readout"]["given"] == "spikes" and layers["readout"]["operation"] == "ac"


def test_inspect_shows_poles_and_counts_what_is_learned(tmp_path):
    model = network()
    save_model(tmp_path / "model.safetensors", model)
    (tmp_path / "config.toml").write_text('name = "test"\n[coding]\n')
    about = inspect(tmp_path)
    poles = np.exp(-1 / np.array(TAUS))
    expected = [poles.min(), poles.mean(), poles.max()]
    np.testing.assert_allclose(about["poles"]["synapse1"]["p"], expected, rtol=1e-5)
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert about["parameters"] == learned
