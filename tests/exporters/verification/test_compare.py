"""A file that computes something else is found out, and the first layer and step are named."""

import copy
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export as exporting
from asnn.exporters import export_nir, export_onnx, source_of, verify
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Neuron
from asnn.exporters.verification.compare import recoded
from asnn.exporters.verification.parity import Parity, count_near_threshold, near_threshold
from asnn.models import use_kernels
from tests.support.exported_networks import PLAIN, images, network, samples, subject

pytestmark = pytest.mark.slow


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


def test_a_file_of_another_network_is_refused(tmp_path):
    others = [subject("mlp"), subject(coding="direct"), subject(steps=4)]
    for other in others:
        export_onnx(other, tmp_path / "a.onnx", samples=None)
        export_nir(other, tmp_path / "a.nir", samples=None)
        for name in ("a.onnx", "a.nir"):
            assert verify(subject(), tmp_path / name, samples()).fault is not None


def test_a_random_code_is_drawn_once(tmp_path):
    out = subject(coding="rate")
    result = export_onnx(out, tmp_path, samples=samples(), input="spikes")
    assert all(result.report.spikes.values())
    assert export_nir(out, tmp_path, samples=samples()).report.fault is None


def test_nothing_to_compare_on(tmp_path):
    with pytest.raises(ConfigError, match="no samples"):
        export_onnx(subject(), tmp_path, samples=samples(0))


def test_exports_leave_the_network_as_it_is():
    model = network().train()
    use_kernels(model, "auto")
    before = copy.deepcopy(model.state_dict())
    out = source_of(model)
    out.eager(out.coding.encode(images()))
    assert model.training
    assert model.body.spikes1.kernels == "auto"
    assert not model.body.spikes1.neuron._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_pixel_on_a_threshold_may_lie_on_either_side(tmp_path):
    out = subject(coding="embedding", coding_options={"thresholds": "quantile"}, steps=4)
    x = images(8).numpy()
    code = out.encode(x)
    found = code.copy()
    found[:, 3, 0, 0, 0] = 1 - found[:, 3, 0, 0, 0]
    parity = Parity(out.graph, "test")
    assert recoded(out, x, code, found, parity).tolist() == [False] * 3 + [True] + [False] * 4
    assert "code: the encoder differs for 1 samples" in parity.verdict
    z = out.coding.thresholds._standardise(torch.from_numpy(x))
    theta = out.coding.thresholds.boundaries(torch.float32)
    nearest = (z.unsqueeze(-1) - theta).abs().min(-1).values
    torch.testing.assert_close(out.coding.thresholds.distance(torch.from_numpy(x)), nearest)
    sample, *place = np.unravel_index(int(nearest.argmin()), nearest.shape)
    monkey = type(out.coding.thresholds).distance
    found = code.copy()
    found[(slice(None), sample, *place)] = 1 - found[(slice(None), sample, *place)]
    parity = Parity(out.graph, "test")
    try:
        type(out.coding.thresholds).distance = lambda self, x: torch.zeros_like(x)
        assert recoded(out, x, code, found, parity)[sample]
    finally:
        type(out.coding.thresholds).distance = monkey
    assert parity.verdict is None


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(ConfigError, match="a.onnx is a folder"):
        export_onnx(subject(), tmp_path / "a.onnx", samples=samples())
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_nothing_of_an_earlier_export_stays(tmp_path):
    export_onnx(subject(), tmp_path, samples=None)
    export_onnx(subject(), tmp_path, samples=None, form="stream")
    export_nir(subject(), tmp_path, samples=samples(8))
    export_nir(subject(), tmp_path, samples=None)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model-init.onnx", "model-step.onnx", "model.nir"]


def test_an_unverified_file_says_so(tmp_path):
    export_onnx(subject(), tmp_path / "model.onnx", samples=None)
    about = {e.key: e.value for e in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert about["verification"] == "skipped"


@pytest.mark.parametrize("weights", ["fp16", "int8"])
def test_rounded_weights_are_held_to_the_same_and_the_loss_is_told(tmp_path, weights):
    result = export_onnx(subject(), tmp_path, samples=samples(), weights=weights)
    assert result.report.fault is None
    assert set(result.report.accuracy) == {"graph", "network"}
    loss = result.report.parities[-1]
    assert loss.runtime == "before the change"
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

    def test_a_late_flip_does_not_excuse_what_came_before_it(self):
        self.flip(5e-7)  # at step 1
        self.layers["linear2"][0, 2, 0] += 5
        assert str(self.parity(self.answer, self.layers).fault).startswith("layer linear2, step 0")
        self.layers["linear2"][0, 2, 0] -= 5
        self.layers["linear2"][1, 2, 0] += 5
        assert self.parity(self.answer, self.layers).agrees

    def test_a_margin_is_of_its_own_sample(self):
        self.trace.values["linear1"][:, 5] *= 1e4
        self.flip(2e-6)
        assert not self.parity(self.answer, self.layers).agrees

    def test_other_shapes_are_a_difference(self):
        assert "it has the shape [6, 3]" in self.parity(self.answer[:, :3]).verdict
        self.layers["spikes1"] = self.layers["spikes1"][:, :, :5]
        assert "layer spikes1: it has the shape" in self.parity(self.answer, self.layers).verdict

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
        self.trace.distances["spikes1"][0, :1, 0] = 0
        answer[1:] = self.answer[1:]
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
