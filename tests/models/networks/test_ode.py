"""Networks of a differential equation and of lsq-leaky neurons: exported, counted, refused."""

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of
from asnn.measure import Operations
from asnn.models import create_model, use_kernels

STEPS = 6


def network(name="ode", steps=STEPS, inputs=3, **options):
    torch.manual_seed(0)
    spec = SampleSpec("series", (inputs,), steps=steps)
    model = create_model(
        name, in_shape=spec.shape, sample=spec, classes=3, coding="given", steps=steps, **options
    )
    model(torch.randn(8, steps, inputs)).square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


NETWORKS = {
    "variables": {"start": "data", "answer": "variables", "output_scale": False},
    "terms": {
        "terms": ["1", "x0", "x1*x2"], "variables": 4, "order": 3, "start": "learned",
        "readout": "last",
    },
    "neurons": {
        "name": "mlp", "features": [5, 4], "neuron": "lsq-leaky",
        "neuron_options": {"granularity": "channel"},
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_is_verified(name, tmp_path):
    source = source_of(network(**NETWORKS[name]))
    samples = random_samples(source.sample_shape, 6)
    exported = export_onnx(source, tmp_path / "a.onnx", samples=samples)
    assert len(exported.report.parities) > 1
    assert all(each.agrees and each.samples == 6 for each in exported.report.parities)


@pytest.mark.slow
def test_one_step_is_exported(tmp_path):
    source = source_of(network(steps=1))
    samples = random_samples(source.sample_shape, 4)
    exported = export_onnx(source, tmp_path / "a.onnx", samples=samples)
    assert all(each.agrees for each in exported.report.parities)


@pytest.mark.parametrize("name", ["terms", "neurons"])
def test_what_looks_ahead_has_no_steps_and_no_nir(name, tmp_path):
    source = source_of(network(**NETWORKS[name]))
    for form in ("stream", "scan"):
        with pytest.raises(ConfigError, match=f"looks ahead, the form {form} computes one step"):
            export_onnx(source, tmp_path / "a.onnx", samples=None, form=form)
    for form in ("portable", "lif"):
        with pytest.raises(ConfigError, match="looks ahead, which NIR cannot express.*LI node"):
            export_nir(source, tmp_path / "a.nir", samples=None, form=form)


def counted(model):
    """Operations of a sample, by layer."""
    with torch.no_grad(), Operations(model) as operations:
        model(torch.randn(2, STEPS, 3))
    layers = operations.counts().layers
    return {each.name: (float(each.effective.sum()) / 2, each.operation) for each in layers}


def test_operations_are_those_of_the_two_passes():
    found, unknowns = counted(network(**NETWORKS["terms"])), 4 * 3
    passes = STEPS * unknowns * 4 + 2 * (STEPS - 1) * unknowns**2
    assert found["equation"] == (passes + STEPS * 4 * 3, "mac")  # with W θ
    assert found["terms"] == (STEPS * 3, "mac")  # x0, and two factors
    found = counted(network(**NETWORKS["neurons"]))
    assert found["spikes1.membrane"] == (5 * (STEPS * 2 + 2 * (STEPS - 1) * 4), "mac")
    assert found["linear2"][1] == "ac"


def test_kernels_agree():
    x = torch.randn(4, STEPS, 3)
    for options in NETWORKS.values():
        model = network(**options)
        fast = model(x)
        use_kernels(model, "reference")
        torch.testing.assert_close(model(x), fast, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"start": "data", "terms": ["x0", "x2"]}, "start=data needs the term x1"),
        ({"start": "input"}, "unknown start 'input'"),
        ({"answer": "all"}, "unknown answer 'all'"),
        ({"answer": "variables", "variables": 2, "output_scale": False}, "gives 2 outputs"),
        ({"answer": "variables"}, "does not scale the outputs"),
        ({"neuron": "relu"}, "ode has no ANN counterpart"),
    ],
)
def test_refusals(options, match):
    with pytest.raises(ConfigError, match=match):
        network(**options)
