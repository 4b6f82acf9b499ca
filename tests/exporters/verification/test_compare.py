"""A file that computes something else is refused, with the first layer and step that differ."""

import copy
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of, verify
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Neuron
from asnn.exporters.nir import export as nir_export
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.onnx.checks import recoded
from asnn.exporters.verification.margins import count_near_threshold, near_threshold
from asnn.exporters.verification.parity import Parity
from asnn.models import use_kernels
from tests.support.exported_networks import CONSTANT_SCHEDULE, images, make_source, network, samples


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "nir"])
def test_exports_are_verified(exported, format):
    export = exported(format, make_source("mlp"), samples())
    report = export.result.report
    assert report.verified and report.fault is None
    assert all(report.spikes.values())
    parity = export.parity
    assert parity["verified"] is True
    assert parity["samples"] == {"from": "noise", "number": 24}
    runtimes = {each["runtime"]: each for each in parity["runtimes"]}
    assert runtimes["torch"]["agrees"]
    for each in runtimes.values():
        assert each["greatest_logit_difference"] <= 1e-5
        assert sum(map(sum, each["spike_mismatches"].values())) == 0
    assert set(parity["files"]) <= {path.name for path in export.folder.iterdir()}
    assert not list(export.folder.glob("*.unverified"))
    expected = {"onnx": {"onnxruntime"}, "nir": {"numpy, from the file", "snntorch"}}[format]
    assert expected <= set(runtimes)


def tampered(monkeypatch, change):
    """Change initializers of every model before it is written."""
    genuine = onnx_export.build_models

    def build(*arguments, **options):
        models = genuine(*arguments, **options)
        for model in models.values():
            for initializer in model.graph.initializer:
                values = numpy_helper.to_array(initializer).copy()
                if change(initializer.name, values):
                    initializer.CopyFrom(numpy_helper.from_array(values, initializer.name))
        return models

    monkeypatch.setattr(onnx_export, "build_models", build)


def changes(name, by=0.5):
    """A change of the first value of an initializer."""

    def change(found, values):
        if found != name:
            return False
        values.reshape(-1)[0] += by
        return True

    return change


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream"])
@pytest.mark.parametrize(
    ("constant", "layer"),
    [
        ("conv2.weight", "layer conv2, step"),
        ("readout.bias", "layer readout, step 0"),
        ("conv1.bias1", "layer conv1, step 1"),
    ],
)
def test_a_changed_weight_is_named(tmp_path, monkeypatch, constant, layer, form):
    constant = (
        {"conv1.bias1": "conv1.biases"}.get(constant, constant) if form == "stream" else constant
    )
    if constant == "conv1.biases":

        def change(name, values):
            if name == constant:
                values[1, 0] += 0.5
            return name == constant

        tampered(monkeypatch, change)
    else:
        tampered(monkeypatch, changes(constant))
    with pytest.raises(VerificationError, match="does not compute what the network") as refused:
        export_onnx(make_source(), tmp_path / "model.onnx", samples=samples(), form=form)
    assert layer in refused.value.why
    assert not (tmp_path / "model.onnx").exists()
    assert len(list(tmp_path.glob("*.onnx.unverified"))) == (2 if form == "stream" else 1)
    assert json.loads((tmp_path / "model.onnx.parity.json").read_text())["verified"] is False


@pytest.mark.parametrize(
    ("constant", "by", "layer"),
    [
        ("spikes2.leak1", 0.6, "layer spikes2, step 1"),
        ("spikes3.gain0", 1.0, "layer spikes3, step 0"),
    ],
)
def test_a_changed_schedule_is_named(tmp_path, monkeypatch, constant, by, layer):
    tampered(monkeypatch, changes(constant, by))
    with pytest.raises(VerificationError) as refused:
        export_onnx(make_source(), tmp_path / "model.onnx", samples=samples())
    assert layer in refused.value.why


def test_a_changed_threshold_is_named(tmp_path, monkeypatch):
    source = make_source(neuron_options={"learn_threshold": True})
    tampered(monkeypatch, changes("spikes1.threshold0", 0.3))
    with pytest.raises(VerificationError) as refused:
        export_onnx(source, tmp_path / "model.onnx", samples=samples())
    assert "layer spikes1, step 0" in refused.value.why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node", "field", "layer"),
    [
        ("conv2_t1", "weight", "layer conv2, step 1"),
        ("spikes2_t1_leak", "weight", "layer spikes2, step 1"),
        ("spikes1_t0", "v_threshold", "layer spikes1, step 0"),
        ("readout_t2", "bias", "layer readout"),
    ],
)
def test_a_changed_nir_file_is_named(tmp_path, monkeypatch, no_simulators, node, field, layer):
    genuine = nir_export.write_nir

    def write(path, graph, **options):
        values = np.array(getattr(graph.nodes[node], field))
        if field == "v_threshold":
            values += 0.5
        else:
            values.reshape(-1)[0] += 0.7
        setattr(graph.nodes[node], field, values)
        genuine(path, graph, **options)

    monkeypatch.setattr(nir_export, "write_nir", write)
    with pytest.raises(VerificationError) as refused:
        export_nir(make_source(), tmp_path / "model.nir", samples=samples())
    assert layer in refused.value.why
    assert (tmp_path / "model.nir.unverified").exists()
    assert not (tmp_path / "model.nir").exists()


@pytest.mark.slow
def test_a_failed_export_removes_the_earlier_one(tmp_path, monkeypatch):
    export_onnx(make_source(), tmp_path, samples=samples())
    assert (tmp_path / "model.onnx").exists()
    tampered(monkeypatch, changes("conv2.weight"))
    with pytest.raises(VerificationError):
        export_onnx(make_source(), tmp_path, samples=samples())
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "options", "names"),
    [
        ("onnx", {"weights": "int8"}, ["model.onnx"]),
        ("onnx", {"form": "stream"}, ["model-step.onnx", "model-init.onnx"]),
        ("nir", {}, ["model.nir"]),
    ],
)
def test_an_earlier_export_can_be_checked_again(exported, no_simulators, format, options, names):
    source = make_source()
    export = exported(format, source, None, **options)
    for name in names:
        assert verify(source, export.folder / name, samples()).verified
    other = make_source(seed=5)
    assert not verify(other, export.folder / names[0], samples()).verified


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"name": "mlp"}, {"coding": "direct"}, {"steps": 4}], ids=str)
@pytest.mark.parametrize("format", ["onnx", "nir"])
def test_a_file_of_another_network_is_refused(exported, no_simulators, format, other):
    export = exported(format, make_source(**other), None)
    assert not verify(make_source(), export.folder / f"model.{format}", samples()).verified


@pytest.mark.slow
def test_a_random_code_is_drawn_once(tmp_path, no_simulators):
    source = make_source(coding="rate")
    result = export_onnx(source, tmp_path, samples=samples(), input="spikes")
    assert all(result.report.spikes.values())
    assert export_nir(source, tmp_path, samples=samples()).report.verified


def test_no_samples_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no samples"):
        export_onnx(make_source(), tmp_path, samples=samples(0))


def test_exports_do_not_change_the_network():
    model = network().train()
    use_kernels(model, "auto")
    before = copy.deepcopy(model.state_dict())
    source = source_of(model)
    source.eager(source.coding.encode(images()))
    assert model.training
    assert model.body.spikes1.kernels == "auto"
    assert not model.body.spikes1.neuron._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_pixel_on_a_threshold_may_count_as_above_or_below(monkeypatch):
    source = make_source(coding="embedding", coding_options={"thresholds": "quantile"}, steps=4)
    x = images(8).numpy()
    code = source.encode(x)
    found = code.copy()
    found[:, 3, 0, 0, 0] = 1 - found[:, 3, 0, 0, 0]
    parity = Parity(source.graph, "test")
    assert recoded(source, x, code, found, parity).tolist() == [False] * 3 + [True] + [False] * 4
    assert "code: the encoder differs for 1 samples" in parity.verdict
    z = source.coding.thresholds._standardise(torch.from_numpy(x))
    theta = source.coding.thresholds.boundaries(torch.float32)
    nearest = (z.unsqueeze(-1) - theta).abs().min(-1).values
    torch.testing.assert_close(source.coding.thresholds.distance(torch.from_numpy(x)), nearest)
    sample, *pixel = np.unravel_index(int(nearest.argmin()), nearest.shape)
    found = code.copy()
    found[(slice(None), sample, *pixel)] = 1 - found[(slice(None), sample, *pixel)]
    parity = Parity(source.graph, "test")
    monkeypatch.setattr(type(source.coding.thresholds), "distance", lambda self, x: x * 0)
    assert recoded(source, x, code, found, parity)[sample]
    assert parity.verdict is None


def test_the_name_of_a_folder_is_refused(tmp_path):
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(ConfigError, match="a.onnx is a folder"):
        export_onnx(make_source(), tmp_path / "a.onnx", samples=samples())
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.slow
def test_files_of_earlier_exports_are_removed(tmp_path, no_simulators):
    export_onnx(make_source(), tmp_path, samples=None)
    export_onnx(make_source(), tmp_path, samples=None, form="stream")
    export_nir(make_source(), tmp_path, samples=samples(8))
    export_nir(make_source(), tmp_path, samples=None)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model-init.onnx", "model-step.onnx", "model.nir"]


def test_metadata_of_an_unverified_file(tmp_path):
    export_onnx(make_source(), tmp_path / "model.onnx", samples=None)
    about = {e.key: e.value for e in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert about["verification"] == "skipped"


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["fp16", "int8"])
def test_rounded_weights_are_compared_with_the_same_and_the_loss_is_reported(exported, weights):
    result = exported("onnx", make_source(), samples(), weights=weights).result
    assert result.report.verified
    assert set(result.report.accuracy) == {"graph", "network"}
    loss = result.report.parities[-1]
    assert loss.runtime == "before the change"
    assert not loss.gates
    assert loss.logit_difference > 0


@pytest.mark.slow
def test_an_approximation_reports_its_loss(exported, no_simulators):
    source = make_source(coding="temporal")
    export = exported("nir", source, samples(), form="lif", approximate=True)
    result = export.result
    assert any("spikes1: its reset is 'subtract'" in note for note in result.notes)
    assert result.report.verified
    loss = result.report.parities[-1].as_dict()
    assert sum(map(sum, loss["spike_mismatches"].values())) > 0
    assert export.parity["approximates"] is True
    assert verify(source, export.folder / "model.nir", samples()).verified


def test_an_exact_export_approximates_nothing(exported, no_simulators):
    source = make_source(**CONSTANT_SCHEDULE)
    export = exported("nir", source, samples(), form="lif", approximate=True)
    assert export.parity["approximates"] is False


class TestParity:
    """The comparison of a runtime, on made-up outputs."""

    def setup_method(self):
        self.source = make_source("mlp")
        self.trace = run(self.source.graph, self.source.encode(images().numpy()))
        self.logits = self.trace.logits.mean(0)
        self.layers = {name: value.copy() for name, value in self.trace.values.items()}

    def parity(self, logits=None, layers=None):
        parity = Parity(self.source.graph, "test")
        parity.add(self.trace, self.logits if logits is None else logits, layers)
        return parity

    def flip(self, distance):
        """Change one spike of sample 2, with its membrane at a distance from the threshold."""
        self.layers["spikes1"][1, 2, 0] = 1 - self.layers["spikes1"][1, 2, 0]
        self.trace.distances["spikes1"][1, 2, 0] = distance
        self.logits = self.logits.copy()
        self.logits[2] += 1

    def test_equal_outputs_agree(self):
        parity = self.parity(layers=self.layers)
        assert parity.agrees
        assert parity.logit_difference == 0

    def test_a_flip_at_the_threshold_is_explained(self):
        self.flip(5e-7)
        parity = self.parity(self.logits, self.layers)
        assert parity.agrees
        assert parity.explained == 1
        assert parity.spike_mismatches["spikes1"].tolist() == [0, 1, 0]

    def test_a_flip_far_from_the_threshold_is_a_mismatch(self):
        self.flip(1e-3)
        parity = self.parity(self.logits, self.layers)
        assert str(parity.first_mismatch).startswith("layer spikes1, step 1: 1 spikes differ")

    def test_a_late_flip_does_not_excuse_earlier_steps(self):
        self.flip(5e-7)  # at step 1
        self.layers["linear2"][0, 2, 0] += 5
        assert str(self.parity(self.logits, self.layers).first_mismatch).startswith(
            "layer linear2, step 0"
        )
        self.layers["linear2"][0, 2, 0] -= 5
        self.layers["linear2"][1, 2, 0] += 5
        assert self.parity(self.logits, self.layers).agrees

    def test_each_sample_has_its_own_margin(self):
        self.trace.values["linear1"][:, 5] *= 1e4
        self.flip(2e-6)
        assert not self.parity(self.logits, self.layers).agrees

    def test_another_shape_is_a_mismatch(self):
        assert "it has the shape [6, 3]" in self.parity(self.logits[:, :3]).verdict
        self.layers["spikes1"] = self.layers["spikes1"][:, :, :5]
        assert "layer spikes1: it has the shape" in self.parity(self.logits, self.layers).verdict

    def test_an_explained_flip_excuses_its_own_sample_only(self):
        self.flip(5e-7)
        self.layers["spikes2"][0, 4, 3] = 1 - self.layers["spikes2"][0, 4, 3]
        self.trace.distances["spikes2"][0, 4, 3] = 0.2
        assert self.parity(self.logits, self.layers).first_mismatch.layer == "spikes2"

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e9])
    def test_nonsense_is_a_mismatch(self, wrong):
        self.logits = self.logits.copy()
        self.logits[0, 0] = wrong
        assert not self.parity(self.logits, self.layers).agrees
        self.layers["linear2"][0, 0, 0] = wrong
        assert self.parity(self.logits, self.layers).first_mismatch.layer == "linear2"

    def test_the_first_layer_is_named(self):
        self.layers["spikes2"] = 1 - self.layers["spikes2"]
        self.layers["linear1"] += 1
        assert self.parity(layers=self.layers).first_mismatch.layer == "linear1"

    def test_logits_alone_are_excused_by_a_near_membrane_only(self):
        for values in self.trace.distances.values():
            values[np.abs(values) < 1e-3] = 1e-3
        logits = self.logits + 1
        assert not self.parity(logits).agrees
        self.trace.distances["spikes1"][0, :1, 0] = 0
        logits[1:] = self.logits[1:]
        assert self.parity(logits).agrees

    def test_a_flip_of_neurons_whose_spikes_are_not_given_is_excused_too(self):
        for values in self.trace.distances.values():
            values[np.abs(values) < 1e-3] = 1e-3
        seen = {"spikes2": self.layers["spikes2"]}
        logits = self.logits.copy()
        logits[0] += 1
        assert not self.parity(logits, seen).agrees
        self.trace.distances["spikes2"][0, 0, 0] = 0  # its spikes are equal: not the reason
        assert not self.parity(logits, seen).agrees
        self.trace.distances["spikes1"][0, 0, 0] = 0
        assert self.parity(logits, seen).agrees

    def test_a_flip_of_a_run_whose_spikes_are_not_given_is_excused_too(self):
        for values in self.trace.distances.values():
            values[np.abs(values) < 1e-3] = 1e-3
        logits = self.logits.copy()
        logits[0] += 1
        found = [Parity(self.source.graph, "test") for _ in range(3)]
        found[0].add(self.trace, logits, self.layers, same_run=False)
        self.trace.distances["spikes2"][0, 0, 0] = 0
        found[1].add(self.trace, logits, self.layers)  # its spikes are equal: not the reason
        found[2].add(self.trace, logits, self.layers, same_run=False)
        assert [each.first_mismatch is None for each in found] == [False, False, True]

    def test_too_many_explained_samples_disagree(self):
        self.layers["spikes1"][0, :, 0] = 1 - self.layers["spikes1"][0, :, 0]
        self.trace.distances["spikes1"][0, :, 0] = 0
        parity = self.parity(layers=self.layers)
        assert parity.first_mismatch is None
        assert not parity.agrees
        assert "6 samples differ by spikes at the threshold" in parity.verdict

    @pytest.mark.parametrize(("near", "agrees"), [(59, False), (60, True)])
    def test_more_are_explained_where_many_membranes_are_near(self, near, agrees):
        """3 of 20 samples, which 5 % of 60 membranes at the threshold are."""
        parity = Parity(self.source.graph, "test")
        parity.samples, parity.explained, parity.near = 20, 3, near
        assert parity.agrees == agrees
        parity.samples = 8  # never more than a quarter
        assert not parity.agrees

    def test_membranes_within_their_margin_are_counted(self):
        for values in self.trace.distances.values():
            values[:] = 1
        self.trace.distances["spikes1"][:, 2:4, :2] = 5e-7
        steps = len(self.trace.distances["spikes1"])
        self.layers["spikes1"][0, 2, 0] = 1 - self.layers["spikes1"][0, 2, 0]
        assert self.parity(layers=self.layers).near == 4 * steps

    def test_membranes_near_the_threshold_are_counted(self):
        self.trace.distances["spikes2"][:] = 1
        self.trace.distances["spikes2"][0, 3, :2] = 5e-7
        assert count_near_threshold(self.source.graph, self.trace)["spikes2"] == 2
        assert near_threshold(self.source.graph.neurons, self.trace)[3]
        assert [n.name for n in self.source.graph.nodes if isinstance(n, Neuron)] == [
            "spikes1",
            "spikes2",
        ]
