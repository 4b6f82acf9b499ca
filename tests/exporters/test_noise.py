"""Networks that draw, with the random numbers as inputs of the file: spike by spike the same."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding.draws import drawing, sample_keys, uniforms
from asnn.core.errors import ConfigError, DataError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of, verify
from asnn.exporters.draws import draw_noise, keys_of
from asnn.exporters.graph.interpreter import neuron_steps, run
from asnn.exporters.graph.ir import Neuron
from asnn.exporters.graph.noise import SIGMOID_ERROR, drawn, drawn_margin
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.onnx.runtime import OnnxSession, run_stream
from asnn.exporters.prediction.description import Description
from asnn.exporters.verification import parity as parity_module
from asnn.exporters.verification.parity import Parity
from asnn.models import create_model
from asnn.models.neurons import AdaptiveLeaky
from tests.support.exported_networks import SHAPE, images, network, samples, spikes_of

FORMS = ["sequence", "stream", "scan"]
DRAWN = {"quantity": "drawn", "level": 0.5, "kappa": 3.0, "leak": 0.9}
VARIANTS = [
    {}, {"learn_reset_size": True}, {"granularity": "channel"}, {"once": True}, {"reset": "zero"},
]  # fmt: skip
CPU = "CPUExecutionProvider"


def noisy(name="mlp", *, neuron=(), **options):
    """A network whose neurons and readout draw, and its source."""
    given = {"readout": "first-crossing", "readout_options": DRAWN, "steps": 4, **options}
    model = network(name, neuron_options={"noise": "logistic", **dict(neuron)}, **given)
    return model, source_of(model, {"noise": "input"}, noise=True)


def neuron_node(kappa=(4.0,), steps=3, **fields):
    one = np.ones((steps, 1), np.float32)
    own = {"leak": one, "gain": one, "threshold": one, "size": one}
    slope = np.broadcast_to(np.float32(kappa), (steps, len(kappa)))
    return Neuron(name="n", inputs=("input",), kappa=slope, stream=1, **{**own, **fields})


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_graph_draws_what_the_network_draws(options):
    model, source = noisy(neuron=options)
    x = images(12)
    with drawing(keys_of(0, 12)), torch.no_grad():
        spikes = {}
        for name, layer in model.body.named_modules():
            if isinstance(layer, AdaptiveLeaky):
                layer.register_forward_hook(
                    lambda _, __, y, name=name: spikes.__setitem__(name.removesuffix(".neuron"), y)
                )
        outputs = model(x)
        expected = model.readout.decide(outputs)
    noise = source.noise(12)
    trace = run(source.graph, source.encode(x.numpy()), noise)
    assert [*noise] == ["noise.spikes1", "noise.spikes2", "noise.readout"]
    assert spikes_of(trace, source.graph) and len(spikes) == 2
    for name, found in spikes.items():
        np.testing.assert_array_equal(trace.values[name], found.numpy())
    answer, of_answer = source.graph.answer, noise["noise.readout"]
    step, decided = answer.decision(trace.logits, of_answer)
    np.testing.assert_array_equal(step, expected.step.numpy())
    np.testing.assert_array_equal(decided, expected.decided.numpy())
    np.testing.assert_allclose(answer.of(trace.logits, of_answer), expected.scores, atol=1e-5)
    # Several classes fire at once somewhere, and another one than the greatest answers.
    assert (expected.scores.argmax(1) != outputs.gather(
        0, expected.step.view(1, -1, 1).expand(1, -1, 4))[0].argmax(1)).any()  # fmt: skip


def test_negative_control_another_draw_is_another_answer():
    _, source = noisy()
    code = source.encode(images(12).numpy())
    first, other = (run(source.graph, code, source.noise(12, begin)) for begin in (0, 1))
    for node in source.graph.neurons:
        assert (first.values[node.name] != other.values[node.name]).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "options"),
    [("mlp", each) for each in VARIANTS] + [pytest.param("lenet", {}, marks=pytest.mark.slow)],
    ids=str,
)
def test_onnx_is_exact_in_every_form(tmp_path, name, options, form):
    _, source = noisy(name, neuron=options)
    report = export_onnx(source, tmp_path, samples=samples(), form=form).report
    assert report.verified and all(report.spikes.values())
    of_layers = [parity for parity in report.parities if parity.spike_mismatches]
    assert len(of_layers) == 1 + (form != "scan")
    for parity in of_layers:
        assert sum(int(steps.sum()) for steps in parity.spike_mismatches.values()) == 0
    assert {*report.driven.neurons} == {node.name for node in source.graph.neurons}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "options",
    [
        {"coding": "direct"},  # equal at every step: layers before the first neuron run once
        {"steps": 1, "coding": "direct"},
        {"readout": "mean", "readout_options": {}},
        {"neuron": {"noise": "off"}},  # the readout alone draws
    ],
    ids=str,
)
def test_networks_that_draw_in_parts(tmp_path, options, form):
    _, source = noisy(**options)
    assert export_onnx(source, tmp_path, samples=samples(), form=form).report.verified


@pytest.mark.parametrize("form", FORMS)
def test_recurrent_neurons_draw(tmp_path, form):
    torch.manual_seed(0)
    model = create_model(
        "rsnn", in_shape=SHAPE, classes=4, steps=4, features=[9],
        neuron_options={"noise": "logistic", "gain": 1.5, "threshold": 0.5},
    ).eval()  # fmt: skip
    source = source_of(model, noise=True)
    report = export_onnx(source, tmp_path, samples=samples(), form=form, input="spikes").report
    assert report.verified and all(report.spikes.values())


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "options", [{"weights": "int8"}, {"weights": "fp16"}, {"opset": 17}, {"opset": 25}], ids=str
)
def test_weights_and_operators(tmp_path, form, options):
    _, source = noisy("lenet")
    report = export_onnx(source, tmp_path, samples=samples(), form=form, **options).report
    assert report.verified
    assert any(not parity.gates for parity in report.parities) == ("weights" in options)


@pytest.mark.parametrize("form", FORMS)
def test_the_file_answers_as_the_network_with_the_numbers_of_asnn(tmp_path, form):
    """Fed with `asnn.coding.draws.uniforms` alone, whatever the exporter calls them by."""
    model, source = noisy()
    export_onnx(source, tmp_path, samples=None, form=form)
    x, indices = images(12), torch.tensor([7, 0, 3, 40, 41, 5, 6, 100, 1, 2, 9, 8])
    keys = sample_keys(indices, 0)
    with drawing(keys), torch.no_grad():
        expected = model.readout.decide(model(x))
    streams = {name: each.stream for name, each in source.graph.noise.items()}
    assert streams == {"noise.spikes1": 1, "noise.spikes2": 2, "noise.readout": 3}
    widths = {"noise.spikes1": 14, "noise.spikes2": 11, "noise.readout": 4}
    cpu = torch.device("cpu")
    noise = {
        name: uniforms(keys, 4, (widths[name],), device=cpu, stream=stream).numpy()
        for name, stream in streams.items()
    }
    if form == "stream":
        sessions = [OnnxSession(tmp_path / f"model-{each}.onnx", CPU) for each in ("init", "step")]
        found = run_stream(*sessions, {"image": x.numpy(), **noise}, 4)
        step = found["crossed"].argmax(0)
        decided = found["crossed"].any(0)
        step = np.where(decided, step, 3)
        logits = found["answer"][step, np.arange(12)]
    else:
        session = OnnxSession(tmp_path / "model.onnx", CPU)
        count = {"count": np.array([4])} if form == "scan" else {}
        found = session.run({"image": x.numpy(), **noise, **count})
        step, decided, logits = (found[key] for key in ("decision_step", "decided", "logits"))
    np.testing.assert_array_equal(step, expected.step.numpy())
    np.testing.assert_array_equal(decided, expected.decided.numpy())
    np.testing.assert_allclose(logits, expected.scores.numpy(), atol=1e-5)
    assert len({*step.tolist()}) > 1


def test_fewer_steps_of_a_scan_need_fewer_numbers(tmp_path):
    model, source = noisy()
    export_onnx(source, tmp_path, samples=None, form="scan")
    x, noise = images(6), source.noise(6)
    with drawing(keys_of(0, 6)), torch.no_grad():
        expected = model(x, 2)
    session = OnnxSession(tmp_path / "model.onnx", CPU)
    for numbers in (noise, {name: each[:2] for name, each in noise.items()}):
        found = session.run({"image": x.numpy(), "count": np.array([2]), **numbers})
        np.testing.assert_allclose(found["logits_per_step"], expected.numpy(), atol=1e-5)


def test_the_metadata_say_how_the_numbers_are_drawn(tmp_path):
    _, source = noisy()
    export_onnx(source, tmp_path, samples=None)
    model = onnx.load(tmp_path / "model.onnx")
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["noise"] == "input"
    assert json.loads(about["noise_streams"]) == {
        "noise.readout": 3, "noise.spikes1": 1, "noise.spikes2": 2,
    }  # fmt: skip
    assert (about["quantity"], about["kappa"], about["stream"]) == ("drawn", "3.0", "3")
    assert [each.name for each in model.graph.input] == ["image", *source.graph.noise]
    description = Description.of(tmp_path / "model.onnx", about)
    assert description.readout.stream == 3 and description.readout.kappa == 3
    shapes = {name: each.shape for name, each in source.graph.noise.items()}
    assert description.noise(shapes) == source.graph.noise
    for damaged in ({"noise_streams": "{}"}, {"noise_streams": '{"noise.readout": -1}'}):
        lost = Description.of(tmp_path / "model.onnx", {**about, **damaged})
        with pytest.raises(DataError, match="metadata of .* are damaged: noise_streams"):
            lost.noise({"noise.readout": (4,)})


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    d=st.integers(-6000, 6000).map(lambda n: np.float32(n / 1000)),
    kappa=st.integers(1, 500).map(lambda n: np.float32(n / 10)),
    uniform=st.integers(0, 2**24 - 1).map(lambda n: n / 2**24),
)
def test_the_margin_is_the_way_to_the_membrane_at_which_the_draw_changes(d, kappa, uniform):
    arrays = (np.array([d]), np.array([kappa]), np.float32([uniform]))
    margin, fires = float(drawn_margin(*arrays)[0]), bool(drawn(*arrays)[0])

    def fires_at(membrane, error):
        """In float64, with a sigmoid that is wrong by `error`."""
        return uniform < 1 / (1 + np.exp(-np.float64(kappa) * membrane)) + error

    way = -1 if fires else 1  # down to be silent, up to fire
    if margin > 0:
        near, far = (float(d) + way * (margin * part) for part in (1 - 1e-6, 1 + 1e-6))
        assert fires_at(near - way * 1e-6, way * SIGMOID_ERROR) == fires
        assert fires_at(far + way * 1e-6, way * SIGMOID_ERROR) != fires
    else:
        assert abs(1 / (1 + np.exp(-np.float64(kappa) * d)) - uniform) <= 1.01 * SIGMOID_ERROR


def test_numbers_by_hand():
    """θ = 1, κ = ln 3, one input: d = v - 1; σ(κ d) is 3^d / (1 + 3^d): 1/4, 1/2, 3/4."""
    node = neuron_node((np.log(3),), reset="none")
    x = np.float32([0, 1, 1]).reshape(3, 1, 1)  # membranes 0, 1, 2
    for below, above in ((0.24, 0.26), (0.49, 0.51), (0.74, 0.76)):
        low, high = (
            neuron_steps(node, x, np.full((3, 1, 1), each, np.float32))[0].flatten().tolist()
            for each in (below, above)
        )
        assert sum(low) == sum(high) + 1
    spikes, margin = neuron_steps(node, x, np.full((3, 1, 1), 0.25, np.float32))
    assert spikes.flatten().tolist()[1:] == [1, 1]
    assert margin.flatten().tolist() == pytest.approx([0, 1, 2], abs=1e-5)


def test_a_neuron_that_has_fired_draws_no_more():
    node = neuron_node(steps=3, reset="none", once=True)
    x = np.ones((3, 1, 1), np.float32)
    spikes, margin = neuron_steps(node, x, np.float32([0.9, 0.1, 0.1]).reshape(3, 1, 1))
    assert spikes.flatten().tolist() == [0, 1, 0] and margin[2] == np.inf


def with_other_noise(graph, change):
    return graph.with_nodes({node.name: replace(node, **change(node)) for node in graph.neurons})


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "change",
    [
        lambda node: {"kappa": node.kappa * np.float32(1.05)},
        lambda node: {"threshold": node.threshold + np.float32(0.01)},
    ],
    ids=["kappa", "threshold"],
)
def test_negative_control_a_file_that_draws_otherwise_is_found(tmp_path, monkeypatch, form, change):
    genuine = onnx_export.build_models

    def build(graph, *given, **options):
        return genuine(with_other_noise(graph, change), *given, **options)

    monkeypatch.setattr(onnx_export, "build_models", build)
    _, source = noisy()
    with pytest.raises(VerificationError) as caught:
        export_onnx(source, tmp_path, samples=samples(), form=form)
    assert "spikes" in caught.value.why or "logits" in caught.value.why


def test_negative_control_a_file_that_ignores_its_numbers_is_found(tmp_path):
    """The numbers of the first layer are compared with 1/2 instead: that is no noise at all."""
    _, source = noisy()
    export_onnx(source, tmp_path, samples=None)
    path = tmp_path / "model.onnx"
    model = onnx.load(path)
    (split,) = [node for node in model.graph.node if node.input[:1] == ["noise.spikes1"]]
    half = onnx.helper.make_node("Clip", ["noise.spikes1", "half", "half"], ["constant"])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "half"))
    model.graph.node.insert(0, half)
    split.input[0] = "constant"
    onnx.save(model, path)
    report = verify(source, path, samples(), structure=False)
    assert not report.verified and "layer spikes1, step 0" in report.fault
    assert verify(source, path, samples()).structure


@pytest.mark.parametrize(("away", "excused"), [(0.0, True), (1e-3, False)])
def test_a_flip_is_excused_if_the_number_is_within_rounding_of_the_probability(away, excused):
    _, source = noisy(readout="mean", readout_options={})
    code, (node, *_) = source.encode(samples().images), source.graph.neurons
    noise = source.noise(24)
    x = run(source.graph, code, noise).values[node.inputs[0]][0]
    p = 1 / (1 + np.exp(-node.kappa[0] * (node.gain[0] * x - node.threshold[0])))
    noise["noise.spikes1"][0, 0, 0] = p[0, 0] + away  # of the first neuron in the first sample
    trace = run(source.graph, code, noise)
    flipped = trace.values["spikes1"].copy()
    flipped[0, 0, 0] = 1 - flipped[0, 0, 0]
    parity = Parity(source.graph, "other")
    answer = source.graph.answer.of(trace.logits)
    parity.add(trace, answer, {**trace.values, "spikes1": flipped})
    if excused:
        assert parity.explained == 1 and parity.first_mismatch is None
    else:
        assert str(parity.first_mismatch).startswith("layer spikes1, step 0: 1 spikes differ")


@pytest.mark.parametrize("is_near", [True, False])
def test_a_flip_after_the_decision_shows_in_the_logits_of_its_step_alone(monkeypatch, is_near):
    """A scan gives no spikes: the sample is excused if it has a membrane near its threshold."""
    _, source = noisy()
    noise = source.noise(24)
    trace = run(source.graph, source.encode(samples().images), noise)
    answer = source.graph.answer
    step, _ = answer.decision(trace.logits, noise["noise.readout"])
    sample = int(step.argmin())
    assert step[sample] < 3
    changed = trace.logits.copy()
    changed[3, sample] += 0.1
    near = np.zeros(24, bool)
    near[sample] = is_near
    monkeypatch.setattr(parity_module, "near_threshold", lambda *_: near)
    parity = Parity(source.graph, "other")
    expected = answer.of(trace.logits, noise["noise.readout"])
    parity.add(trace, expected, None, outputs={"logits_per_step": changed})
    assert parity.explained == int(is_near) and parity.agrees == is_near
    if not is_near:
        assert "step 3: logits_per_step: values differ by up to 0.1" in str(parity.first_mismatch)


def test_what_cannot_be_is_refused_with_what_to_do(tmp_path):
    model, source = noisy()
    with pytest.raises(ConfigError) as caught:
        source_of(model)
    assert "its spikes are drawn at random: a file draws nothing by itself" in caught.value.why
    assert "--noise input" in caught.value.remedy and "--noise off" in caught.value.remedy
    for form in ("portable", "pure", "lif"):
        with pytest.raises(ConfigError) as caught:
            export_nir(source, tmp_path / "a.nir", samples=None, form=form)
        assert caught.value.what == "layer 'spikes1' draws at random, which NIR cannot express"
        assert caught.value.why == "it has no node that draws or that takes random numbers"
        assert "--noise off" in caught.value.remedy
    with pytest.raises(ConfigError) as caught:
        source_of(noisy(neuron={"noise": "off"})[0])
    assert "the readout draws its answer at random" in str(caught.value)


def test_other_neurons_have_no_numbers():
    model = network("mlp")
    with_noise, without = source_of(model, noise=True), source_of(model)
    assert with_noise.graph.noise == {} == with_noise.noise(3)
    assert with_noise.graph.answer == without.graph.answer


def test_noise_of_steps_and_of_samples_do_not_depend_on_the_batch():
    _, source = noisy()
    all_of = draw_noise(source.graph.noise, keys_of(0, 9), 4)
    for name, part in source.noise(4, first=5).items():
        np.testing.assert_array_equal(part, all_of[name][:, 5:])
        assert part.dtype == np.float32 and part.min() >= 0 and part.max() < 1


class Gentle(AdaptiveLeaky):
    """Of another package, which says a steepness."""

    says = 4.0

    def neuron_fields(self):
        fields = super().neuron_fields()
        return {**fields, "kappa": fields["kappa"] * (self.says / 4)}


class Wrong(Gentle):
    """It says another steepness than it draws with."""

    says = 4.2


@pytest.mark.parametrize("kind", [Gentle, Wrong])
def test_a_neuron_of_another_package_is_driven_with_its_own_numbers(tmp_path, kind):
    model = network("mlp", steps=4, neuron_options={"noise": "logistic"})
    ours = kind(4, 14, noise="logistic", gain=2.0)
    ours.stream = 7
    model.body.spikes1.neuron = ours.eval()
    if kind is Gentle:
        source = source_of(model, noise=True)
        assert source.graph.noise["noise.spikes1"].stream == 7
        assert export_onnx(source, tmp_path, samples=samples()).report.verified
        return
    with pytest.raises(VerificationError) as caught:
        source_of(model, noise=True)
    assert "Wrong computes something else than it says" in str(caught.value)
