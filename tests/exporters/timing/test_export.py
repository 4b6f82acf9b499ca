"""Networks of exact times as ONNX files."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of, verify
from asnn.exporters.onnx.runtime import OnnxSession
from asnn.exporters.source import Samples
from asnn.exporters.timing import export as exporting
from asnn.models import create_model

OPTIONS = {"coding": "times", "steps": 1, "neuron": "rel-psp", "readout": "earliest"}
MODELS = {
    "timing-mlp": {"features": [9], "neuron_options": {"window": 2.0, "output_window": 2.5}},
    "timing-conv": {"widths": [3], "kernel": 3, "features": [6]},
}


def network(name="timing-mlp", coding_options=None, seed=0, **options):
    torch.manual_seed(seed)
    given = {**OPTIONS, **MODELS[name], "coding_options": coding_options or {}, **options}
    model = create_model(name, in_shape=(1, 6, 5), classes=4, weight_std=[20.0], **given)
    return model.eval()


def samples(number=12, seed=0):
    random = np.random.default_rng(seed)
    images = (random.random((number, 1, 6, 5)) * 4).round() / 4  # simultaneous and silent pixels
    images[0] = 0
    return Samples(images.astype(np.float32), random.integers(0, 4, number), "random images")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("black", ["silent", "late"])
def test_the_file_has_the_times_of_the_network(tmp_path, name, black):
    model, given = network(name, {"black": black, "window": 1.5}), samples()
    exported = export_onnx(source_of(model), tmp_path, samples=given)
    assert exported.report.verified and exported.report.parities[0].samples == 12
    (path,) = exported.files
    times = OnnxSession(path).run({"image": given.images})
    outputs = model(torch.from_numpy(given.images))
    expected = (-outputs[0] * model.readout.tau).detach().numpy()
    assert times["times"].dtype == np.float64 and np.isfinite(expected).any()
    np.testing.assert_allclose(times["times"], expected, rtol=1e-12)
    scores = model.predict(torch.from_numpy(given.images))
    np.testing.assert_allclose(times["logits"], scores.numpy(), rtol=1e-6)
    one = OnnxSession(path).run({"image": given.images[:1]})
    np.testing.assert_array_equal(one["logits"], times["logits"][:1])
    parity = json.loads((tmp_path / "model.onnx.parity.json").read_text())
    assert parity["weights"] == "fp64" and parity["verified"]


def test_silent_outputs_are_exported_as_such(tmp_path):
    model = network()
    with torch.no_grad():
        model.body.timing2.weight[2] = -1.0
    (path,) = export_onnx(source_of(model), tmp_path, samples=samples()).files
    assert np.isposinf(OnnxSession(path).run({"image": samples().images})["times"][:, 2]).all()


def changed(path, change):
    """Change the weights of the first layer in a file."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "timing1_weight":
            tensor.CopyFrom(
                numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name)
            )
    onnx.save(model, path)


def test_an_earlier_file_is_verified_and_a_changed_one_is_not(tmp_path):
    """Negative control: a weight that is moved by a thousandth is found."""
    source = source_of(network())
    (path,) = export_onnx(source, tmp_path, samples=samples()).files
    assert verify(source, path, samples()).verified
    changed(path, lambda weight: weight * 1.001)
    report = verify(source, path, samples())
    assert not report.verified and "timing1_weight" in report.fault
    report = verify(source, path, samples(), structure=False)
    assert "layer timing1: times differ by up to" in report.fault


def test_a_file_that_does_not_compute_it_is_kept_as_unverified(tmp_path, monkeypatch):
    build = exporting.build_times

    def wrong(source, opset):
        model = build(source, opset)
        for node in model.graph.node:
            if node.name == "timing2_potential":
                node.input[0], node.input[1] = node.input[1], node.input[0]
        return model

    monkeypatch.setattr(exporting, "build_times", wrong)
    with pytest.raises(VerificationError, match="layer timing2"):
        export_onnx(source_of(network()), tmp_path, samples=samples())
    assert [path.name for path in tmp_path.glob("*.onnx*")] == [
        "model.onnx.unverified", "model.onnx.parity.json",
    ] or (tmp_path / "model.onnx.unverified").exists()  # fmt: skip


def test_nir_has_no_ramps(tmp_path):
    with pytest.raises(ConfigError, match="NIR has no node for a network of RelPsp") as error:
        export_nir(source_of(network()), tmp_path, samples=None)
    assert "opens a ramp" in error.value.why
    assert error.value.remedy == "export to ONNX: asnn export RUN --format onnx"


def test_its_file_has_no_step():
    with pytest.raises(ConfigError, match=r"has no steps, and dt is 0\.1") as error:
        source_of(network(), dt=0.1)
    assert "times that the file computes exactly" in error.value.why


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"form": "stream"}, "--form stream is not for a network of exact times"),
        ({"input": "spikes"}, "--input spikes is not"),
        ({"weights": "int8"}, "--weights int8 is not"),
        ({"opset": 17}, "opset 17 is not supported for exact times"),
    ],
)
def test_options_of_time_steps_are_refused(tmp_path, options, text):
    with pytest.raises(ConfigError, match=text):
        export_onnx(source_of(network()), tmp_path, samples=None, **options)


def test_a_layer_that_would_take_too_much_memory_is_refused(monkeypatch):
    monkeypatch.setattr("asnn.exporters.timing.network.MAX_BYTES", 1_000)
    with pytest.raises(ConfigError, match="'timing1' would take"):
        source_of(network())
