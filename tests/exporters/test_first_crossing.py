"""Networks that answer at the first crossing of a level, in ONNX and NIR."""

import nir
import numpy as np
import pytest
import torch

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.graph.answer import Answer
from asnn.exporters.nir import unrolled
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.unrolled import input_of, outputs_of_steps
from asnn.exporters.onnx.runtime import OnnxSession, run_stream
from asnn.models import create_model
from asnn.models.readouts import create_readout
from tests.support.exported_networks import SHAPE, network, samples

QUANTITIES = {"potential": 0.8, "probability": 0.5, "sigmoid": 0.7, "count": 1.0}


def crossing(quantity, **options):
    model = network(
        "mlp", steps=5, readout="first-crossing",
        readout_options={"quantity": quantity, "level": QUANTITIES[quantity], "leak": 0.9},
        **options,
    )  # fmt: skip
    return model, source_of(model)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_the_answer_of_the_graph_is_that_of_the_readout(quantity):
    level = QUANTITIES[quantity]
    readout = create_readout(
        "first-crossing", 2, 3, steps=6, scaled=False, quantity=quantity, level=level
    )
    outputs = torch.randn(6, 40, 3, generator=torch.Generator().manual_seed(0)) + 0.3
    expected = readout.decide(outputs)
    answer = Answer("first-crossing", quantity, level)
    step, decided = answer.decision(outputs.numpy())
    np.testing.assert_array_equal(step, expected.step.numpy())
    np.testing.assert_array_equal(decided, expected.decided.numpy())
    np.testing.assert_array_equal(answer.of(outputs.numpy()), expected.scores.numpy())
    assert decided.mean() > 0 and len(set(step)) > 2


def test_one_output_decides_for_either_side(tmp_path):
    torch.manual_seed(0)
    model = create_model(
        "lstm", in_shape=SHAPE, classes=1, features=[8], coding="direct", steps=5,
        readout="first-crossing", readout_options={"level": 0.7, "leak": 0.9},
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.readout.linear.weight.mul_(9)
    source, images = source_of(model), samples().images
    export_onnx(source, tmp_path / "a.onnx", samples=samples())
    found = OnnxSession(tmp_path / "a.onnx", "CPUExecutionProvider").run({"image": images})
    with torch.no_grad():
        outputs = model(torch.from_numpy(images))
    expected, near = model.readout.decide(outputs), source.graph.answer.near(outputs.numpy())
    p = expected.scores[expected.decided, 0].sigmoid()
    assert bool((p > 0.7).any()) and bool((p < 0.3).any())
    assert bool(((p > 0.7) | (p < 0.3)).all())
    np.testing.assert_array_equal(found["decision_step"][~near], expected.step.numpy()[~near])
    np.testing.assert_array_equal(found["decided"][~near], expected.decided.numpy()[~near])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "scan"])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_decisions_in_onnx(tmp_path, quantity, form):
    model, source = crossing(quantity)
    done = export_onnx(source, tmp_path / "a.onnx", samples=samples(), form=form)
    assert done.report.verified
    session = OnnxSession(tmp_path / "a.onnx", "CPUExecutionProvider")
    images = samples().images
    inputs = {"image": images} | ({"count": np.array([5])} if form == "scan" else {})
    found = session.run(inputs)
    with torch.no_grad():
        expected = model.readout.decide(model(torch.from_numpy(images)))
    near = source.graph.answer.near(found["logits_per_step"])
    assert near.mean() < 0.2
    for name, value in (("decision_step", expected.step), ("decided", expected.decided)):
        np.testing.assert_array_equal(found[name][~near], value.numpy()[~near])
    assert found["decided"].mean() > 0 and len(set(found["decision_step"].tolist())) > 1


def test_a_sample_that_never_crosses_is_undecided(tmp_path):
    model, _ = crossing("potential")
    model.readout.level = 1e6
    export_onnx(source_of(model), tmp_path / "a.onnx", samples=samples())
    found = OnnxSession(tmp_path / "a.onnx", "CPUExecutionProvider").run(
        {"image": samples().images}
    )
    assert not found["decided"].any() and (found["decision_step"] == 4).all()
    np.testing.assert_array_equal(found["logits"], found["logits_per_step"][-1])


@pytest.mark.parametrize("quantity", ["potential", "probability", "sigmoid"])
def test_a_stream_says_when_to_stop(tmp_path, quantity):
    model, source = crossing(quantity)
    export_onnx(source, tmp_path, samples=samples(), form="stream")
    (init,), (step,) = tmp_path.glob("*-init.onnx"), tmp_path.glob("*-step.onnx")
    sessions = [OnnxSession(path, "CPUExecutionProvider") for path in (init, step)]
    images = samples().images
    found = run_stream(*sessions, {"image": images}, 5)
    with torch.no_grad():
        outputs = model(torch.from_numpy(images))
    near = source.graph.answer.near(outputs.numpy())
    crossed = model.readout.crossed(outputs).numpy()
    np.testing.assert_array_equal(found["crossed"][:, ~near], crossed[:, ~near])


def test_what_cannot_be_written_is_refused(tmp_path):
    _, source = crossing("count")
    with pytest.raises(ConfigError, match="no output for a readout that counts"):
        export_onnx(source, tmp_path, samples=samples(), form="stream")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["portable", "pure"])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_an_unrolled_nir_file_gives_the_outputs_of_all_steps(tmp_path, quantity, form):
    """NIR has no node that chooses a step: the file says so, and its reader decides."""
    model, source = crossing(quantity)
    path = tmp_path / "a.nir"
    done = export_nir(source, path, samples=samples(), form=form)
    assert done.report.verified
    read = nir.read(path)
    assert "one step behind the other" in str(read.metadata["runs"])
    images = samples().images
    found = run_nir(read, input_of(source.graph, source.encode(images))[None])["output"][0]
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(outputs_of_steps(found, 5), expected, atol=1e-5)
    # The negative control: the outputs of one step are not those of the next.
    assert not np.allclose(found[:, :3], found[:, 3:6], atol=1e-3)


@pytest.mark.slow
def test_negative_control_steps_in_another_order_are_found(tmp_path, monkeypatch):
    _, source = crossing("potential")
    kept = unrolled.outputs_of_steps
    monkeypatch.setattr(unrolled, "outputs_of_steps", lambda *given: kept(*given)[::-1])
    with pytest.raises(VerificationError):
        export_nir(source, tmp_path / "a.nir", samples=samples())


ANSWERS = [
    Answer(),
    Answer("last"),
    *(Answer("first-crossing", quantity, 0.75) for quantity in QUANTITIES),
    Answer("first-crossing", "drawn", 0.25, kappa=3.0, stream=7),
]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_file_describes_its_answer(answer):
    about = {key: str(each) for key, each in answer.about().items()}
    assert Answer.of_file(about) == answer
    readout = create_readout(answer.kind, 2, 3, steps=4, scaled=False, **answer.options())
    assert callable(getattr(readout, "crossed", None)) == answer.chooses_step


def test_what_a_file_holds_of_an_answer():
    """Only a first crossing chooses a step; a step alone does not say if a count crosses."""
    assert [each.chooses_step for each in ANSWERS] == [False, False, *[True] * 5]
    counts = [each.quantity for each in ANSWERS if each.needs_former_steps]
    assert counts == ["count"]


@pytest.mark.parametrize(
    "about",
    [
        {"answer": "first"},
        {"answer": "first-crossing", "quantity": "count"},
        {"answer": "first-crossing", "quantity": "count", "level": "high"},
        {"answer": "first-crossing", "quantity": "drawn", "level": "1", "kappa": "1"},
    ],
)
def test_metadata_that_describe_no_answer_are_refused(about):
    with pytest.raises((KeyError, ValueError)):
        Answer.of_file(about)
