"""Bottlenecks: drawn spikes and the decoder of their window in one file."""

import numpy as np
import pytest
import torch

from asnn.coding.draws import drawing
from asnn.core import ConfigError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.draws import keys_of
from asnn.exporters.graph.interpreter import run
from asnn.models.noise import without_noise
from tests.support.exported_networks import images, network, samples

FORMS = ["sequence", "stream", "scan"]
DECODERS = [
    {"decoder": "time"},
    {"decoder": "rate"},
    {"decoder": "time", "hidden": [7]},
    {"decoder": "rate", "hidden": [7, 5]},
]


def bottleneck(*, noise=True, **options):
    torch.manual_seed(0)
    readout = {"neurons": 6, "kappa": 2.0, **options}
    model = network("mlp", readout="bottleneck", readout_options=readout, steps=4)
    if not noise:
        model = without_noise(model)
    return model, source_of(model, noise=noise)


@pytest.mark.parametrize("options", DECODERS, ids=str)
def test_the_graph_computes_the_network(options):
    model, source = bottleneck(**options)
    x = images(12)
    with drawing(keys_of(0, 12)), torch.no_grad():
        expected = model(x).numpy()
    trace = run(source.graph, source.encode(x.numpy()), source.noise(12))
    assert [*source.graph.noise] == ["noise.readout.spikes"]
    assert 0 < trace.values["readout.spikes"].mean() < 1
    np.testing.assert_allclose(trace.logits, expected, atol=1e-5)
    np.testing.assert_array_equal(source.graph.answer.of(trace.logits), trace.logits[-1])
    other = run(source.graph, source.encode(x.numpy()), source.noise(12, 1))
    assert np.abs(other.logits - expected).max() > 1e-2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(each, marks=[] if i == 2 else pytest.mark.slow)
        for i, each in enumerate(DECODERS)
    ],
    ids=str,
)
def test_onnx_is_exact_in_every_form(tmp_path, options, form):
    _, source = bottleneck(**options)
    report = export_onnx(source, tmp_path, samples=samples(), form=form).report
    assert report.verified and "readout.spikes" in report.spikes


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["time", "rate"])
def test_a_linear_decoder_without_noise_goes_to_nir(tmp_path, decoder):
    _, source = bottleneck(noise=False, decoder=decoder)
    report = export_nir(source, tmp_path, samples=samples()).report
    assert report.verified and "readout.spikes" in report.spikes


def test_nir_refuses_draws_and_values_through_a_relu(tmp_path):
    with pytest.raises(ConfigError, match="draws at random, which NIR cannot express"):
        export_nir(bottleneck()[1], tmp_path, samples=None)
    with pytest.raises(ConfigError, match="ReLU of values") as caught:
        export_nir(bottleneck(noise=False, hidden=[7])[1], tmp_path, samples=None)
    assert "readout.hidden=[]" in caught.value.remedy
