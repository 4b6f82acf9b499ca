"""A file that computes something else is found out, and the first layer and step are named."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from asnn.core.errors import VerificationError
from asnn.exporters import export_nir, export_onnx, exporting, verify
from asnn.exporters.graph import Neuron
from asnn.exporters.interpreter import run
from asnn.exporters.parity import Parity, count_near_threshold, near_threshold

from .networks import PLAIN, images, samples, subject


def test_exports_are_verified(tmp_path):
    out = subject()
    for export, name in ((export_onnx, "model.onnx"), (export_nir, "model.nir")):
        result = export(out, tmp_path / name, samples=samples())
        assert result.report.fault is None
        assert all(result.report.spikes.values())
        told = json.loads(result.parity.read_text())
        assert told["verified"] is True
        assert told["samples"] == {"from": "noise", "number": 24}
        runtimes = {each["runtime"]: each for each in told["runtimes"]}
        assert runtimes["torch"]["agrees"]
        for each in runtimes.values():
            assert each["greatest_logit_difference"] <= 1e-5
            assert sum(map(sum, each["spike_mismatches"].values())) == 0
        assert set(told["files"]) <= {path.name for path in tmp_path.iterdir()}
        assert not list(tmp_path.glob("*.unverified"))
    assert {"numpy, from the file", "snntorch"} <= set(runtimes)


def tampered(monkeypatch, change):
    """Let every model be changed before it is written."""
    genuine = exporting.build_models

    def build(*arguments, **options):
        models = genuine(*arguments, **options)
        for model in models.values():
            for initializer in model.graph.initializer:
                values = numpy_helper.to_array(initializer).copy()
                if change(initializer.name, values):
                    initializer.CopyFrom(numpy_helper.from_array(values, initializer.name))
        return models

    monkeypatch.setattr(exporting, "build_models", build)


def changes(name, by=0.5):
    """One value of a constant changes."""

    def change(found, values):
        if found != name:
            return False
        values.reshape(-1)[0] += by
        return True

    return change


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
        export_onnx(subject(), tmp_path / "model.onnx", samples=samples(), form=form)
    assert layer in refused.value.why
    assert not (tmp_path / "model.onnx").exists()
    assert len(list(tmp_path.glob("*.onnx.unverified"))) == (2 if form == "stream" else 1)
    assert json.loads((tmp_path / "parity.json").read_text())["verified"] is False


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
        export_onnx(subject(), tmp_path / "model.onnx", samples=samples())
    assert layer in refused.value.why


def test_a_changed_threshold_is_named(tmp_path, monkeypatch):
    out = subject(neuron_options={"learn_threshold": True})
    tampered(monkeypatch, changes("spikes1.threshold0", 0.3))
    with pytest.raises(VerificationError) as refused:
        export_onnx(out, tmp_path / "model.onnx", samples=samples())
    assert "layer spikes1, step 0" in refused.value.why


@pytest.mark.parametrize(
    ("node", "field", "layer"),
    [
        ("conv2_t1", "weight", "layer conv2, step 1"),
        ("spikes2_t1_leak", "weight", "layer spikes2, step 1"),
        ("spikes1_t0", "v_threshold", "layer spikes1, step 0"),
        ("readout_t2", "bias", "layer readout"),
    ],
)
def test_a_changed_nir_file_is_named(tmp_path, monkeypatch, node, field, layer):
    genuine = exporting.write_nir

    def write(path, graph, **options):
        values = np.array(getattr(graph.nodes[node], field))
        if field == "v_threshold":
            values += 0.5
        else:
            values.reshape(-1)[0] += 0.7
        setattr(graph.nodes[node], field, values)
        genuine(path, graph, **options)

    monkeypatch.setattr(exporting, "write_nir", write)
    with pytest.raises(VerificationError) as refused:
        export_nir(subject(), tmp_path / "model.nir", samples=samples())
    assert layer in refused.value.why
    assert (tmp_path / "model.nir.unverified").exists()
    assert not (tmp_path / "model.nir").exists()


def test_a_failed_export_leaves_no_earlier_one_in_its_place(tmp_path, monkeypatch):
    export_onnx(subject(), tmp_path, samples=samples())
    assert (tmp_path / "model.onnx").exists()
    tampered(monkeypatch, changes("conv2.weight"))
    with pytest.raises(VerificationError):
        export_onnx(subject(), tmp_path, samples=samples())
    assert not (tmp_path / "model.onnx").exists()


def test_an_earlier_export_can_be_checked_again(tmp_path):
    out = subject()
    export_onnx(out, tmp_path / "a.onnx", samples=None, weights="int8")
    export_onnx(out, tmp_path / "b.onnx", samples=None, form="stream")
    export_nir(out, tmp_path / "c.nir", samples=None)
    for name in ("a.onnx", "b-step.onnx", "b-init.onnx", "c.nir"):
        assert verify(out, tmp_path / name, samples()).fault is None
    other = subject(seed=5)
    for name in ("a.onnx", "b-step.onnx", "c.nir"):
        assert verify(other, tmp_path / name, samples()).fault is not None


def test_an_unverified_file_says_so(tmp_path):
    export_onnx(subject(), tmp_path / "model.onnx", samples=None)
    about = {e.key: e.value for e in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert about["verification"] == "skipped"


@pytest.mark.parametrize("weights", ["fp16", "int8"])
def test_rounded_weights_are_held_to_the_same_and_the_loss_is_told(tmp_path, weights):
    result = export_onnx(subject(), tmp_path, samples=samples(), weights=weights)
    assert result.report.fault is None
    assert set(result.report.accuracy) == {"file", "network"}
    loss = result.report.parities[-1]
    assert loss.runtime == "before rounding"
    assert not loss.gates
    assert loss.logit_difference > 0


def test_an_approximation_tells_its_loss(tmp_path):
    out = subject(coding="temporal")
    result = export_nir(out, tmp_path, samples=samples(), form="lif", approximate=True)
    assert any("spikes1: its reset is 'subtract'" in note for note in result.notes)
    assert result.report.fault is None
    loss = result.report.parities[-1].as_dict()
    assert sum(map(sum, loss["spike_mismatches"].values())) > 0
    assert json.loads(result.parity.read_text())["approximates"] is True
    assert verify(out, tmp_path / "model.nir", samples()).fault is None


def test_the_truth_is_no_approximation(tmp_path):
    result = export_nir(subject(**PLAIN), tmp_path, samples=samples(), form="lif", approximate=True)
    assert json.loads(result.parity.read_text())["approximates"] is False


class TestParity:
    """The gate on its own."""

    def setup_method(self):
        self.out = subject("mlp")
        self.trace = run(self.out.graph, self.out.encode(images().numpy()))
        self.answer = self.trace.logits.mean(0)
        self.layers = {name: value.copy() for name, value in self.trace.values.items()}

    def parity(self, answer=None, layers=None):
        parity = Parity(self.out.graph, "test")
        parity.add(self.trace, self.answer if answer is None else answer, layers)
        return parity

    def flip(self, distance):
        """One spike of sample 2 differs, its membrane that far from the threshold."""
        self.layers["spikes1"][1, 2, 0] = 1 - self.layers["spikes1"][1, 2, 0]
        self.trace.distances["spikes1"][1, 2, 0] = distance
        self.answer = self.answer.copy()
        self.answer[2] += 1

    def test_equal_is_equal(self):
        parity = self.parity(layers=self.layers)
        assert parity.agrees
        assert parity.logit_difference == 0

    def test_a_flip_at_the_threshold_is_explained(self):
        self.flip(5e-7)
        parity = self.parity(self.answer, self.layers)
        assert parity.agrees
        assert parity.explained == 1
        assert parity.mismatches["spikes1"].tolist() == [0, 1, 0]

    def test_a_flip_far_from_it_is_not(self):
        self.flip(1e-3)
        parity = self.parity(self.answer, self.layers)
        assert str(parity.fault).startswith("layer spikes1, step 1: 1 spikes differ")

    def test_an_explained_flip_excuses_its_own_sample_only(self):
        self.flip(5e-7)
        self.layers["spikes2"][0, 4, 3] = 1 - self.layers["spikes2"][0, 4, 3]
        self.trace.distances["spikes2"][0, 4, 3] = 0.2
        assert self.parity(self.answer, self.layers).fault.layer == "spikes2"

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e9])
    def test_nonsense_is_a_difference(self, wrong):
        self.answer = self.answer.copy()
        self.answer[0, 0] = wrong
        assert not self.parity(self.answer, self.layers).agrees
        self.layers["linear2"][0, 0, 0] = wrong
        assert self.parity(self.answer, self.layers).fault.layer == "linear2"

    def test_the_first_layer_is_blamed(self):
        self.layers["spikes2"] = 1 - self.layers["spikes2"]
        self.layers["linear1"] += 1
        assert self.parity(layers=self.layers).fault.layer == "linear1"

    def test_logits_alone_are_excused_by_a_near_membrane_only(self):
        for values in self.trace.distances.values():
            values[np.abs(values) < 1e-3] = 1e-3
        answer = self.answer + 1
        assert not self.parity(answer).agrees
        self.trace.distances["spikes1"][0, :2, 0] = 0
        answer[2:] = self.answer[2:]
        assert self.parity(answer).agrees

    def test_too_many_excuses_are_a_fault(self):
        self.layers["spikes1"][0, :, 0] = 1 - self.layers["spikes1"][0, :, 0]
        self.trace.distances["spikes1"][0, :, 0] = 0
        parity = self.parity(layers=self.layers)
        assert parity.fault is None
        assert not parity.agrees
        assert "6 samples differ by spikes at the threshold" in parity.verdict

    def test_membranes_near_the_threshold_are_counted(self):
        self.trace.distances["spikes2"][:] = 1
        self.trace.distances["spikes2"][0, 3, :2] = 5e-7
        assert count_near_threshold(self.out.graph, self.trace)["spikes2"] == 2
        assert near_threshold(self.out.graph, self.trace)[3]
        assert [n.name for n in self.out.graph.nodes if isinstance(n, Neuron)] == [
            "spikes1",
            "spikes2",
        ]
