"""Files answer as the network that they were exported from, and refuse what they do not say."""

import json

import numpy as np
import onnx
import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError, DataError
from asnn.exporters import export_nir, export_onnx, source_of
from asnn.exporters.prediction.description import Description
from asnn.exporters.prediction.open import open_file
from asnn.measure.early_exit import ExitRule
from asnn.measure.prediction.answers import answers_of
from asnn.measure.prediction.answers.classes import ClassAnswers
from asnn.measure.prediction.inputs.given import samples_given
from asnn.measure.prediction.inputs.images import ImageReader
from asnn.measure.prediction.predictor import Predictor
from asnn.measure.prediction.runtimes import TorchRuntime
from asnn.models import create_model
from asnn.tasks import create_task
from tests.support.exported_networks import CONSTANT_SCHEDULE

LABELS = ["ant", "bee", "cat"]
SHAPE = (1, 6, 6)


def model_of(**options):
    torch.manual_seed(5)
    options = {"coding": "hybrid", "steps": 3, "features": [9], **options}
    model = create_model("mlp", in_shape=SHAPE, classes=3, neuron="adaptive", **options).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:  # weights, so that answers differ
            parameter.data.mul_(3)
    return model


def export(model, path, about=None, **options):
    write = export_onnx if path.suffix == ".onnx" else export_nir
    source = source_of(model, {"classes": LABELS, **(about or {})})
    return next(iter(write(source, path, samples=None, **options).files))


IMAGES = np.random.default_rng(0).random((7, *SHAPE), np.float32)


def predictions_of(predictor, reader, x=IMAGES):
    found = list(predictor.predict(samples_given(reader, x), batch_size=3))
    assert [each.error for each in found] == [None] * len(found)
    return found


def expected_of(model, reader, *, steps=None, exit=None):
    answers = ClassAnswers(create_task("classification"), LABELS, 3, model.readout, exit)
    return predictions_of(
        Predictor(TorchRuntime(model, steps=steps), answers, model.sample), reader
    )


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert (a.label, a.step, a.decided) == (b.label, b.step, b.decided)
        assert a.confidence == pytest.approx(b.confidence, abs=1e-5)
        assert a.spikes is None and a.reasons["spikes"]


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["direct", "hybrid", "embedding"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("m.onnx", {}),
        ("m.onnx", {"input": "spikes"}),
        ("m.onnx", {"form": "stream"}),
        ("m.onnx", {"form": "stream", "input": "spikes"}),
        ("m.onnx", {"form": "scan"}),
        ("m.nir", {"form": "portable"}),
        ("m.nir", {"form": "pure"}),
    ],
)
def test_each_form_answers_as_the_network(tmp_path, coding, name, options):
    model = model_of(coding=coding)
    file = export(model, tmp_path / name, **options)
    opened = open_file(file)
    assert opened.notes == [] and opened.predictor.spec.shape == SHAPE
    assert_same(predictions_of(opened.predictor, opened.reader), expected_of(model, opened.reader))
    changed = predictions_of(opened.predictor, opened.reader, 1 - IMAGES)  # a negative control
    assert [each.confidence for each in changed] != [
        each.confidence for each in predictions_of(opened.predictor, opened.reader)
    ]


@pytest.mark.parametrize("readout", ["mean", "last", "membrane", "first-crossing"])
def test_each_readout_answers_as_the_network(tmp_path, readout):
    options = {"quantity": "probability", "level": 0.4} if readout == "first-crossing" else {}
    model = model_of(readout=readout, readout_options=options)
    opened = open_file(export(model, tmp_path / "m.onnx"))
    expected = expected_of(model, opened.reader)
    assert_same(predictions_of(opened.predictor, opened.reader), expected)
    if readout == "first-crossing":
        assert {each.step for each in expected} != {3}


@pytest.mark.slow
def test_one_lif_node_a_layer_answers_as_the_network(tmp_path):
    model = model_of(**CONSTANT_SCHEDULE)
    opened = open_file(export(model, tmp_path / "m.nir", form="lif"), steps=2)
    found = predictions_of(opened.predictor, opened.reader)
    assert_same(found, expected_of(model, opened.reader, steps=2))


@pytest.mark.parametrize("form", ["sequence", "stream"])
def test_fewer_steps_and_early_exit(tmp_path, form):
    model = model_of()
    file = export(model, tmp_path / "m.onnx", form=form)
    rule = ExitRule("confidence", 0.45)
    for options in ({"steps": 2}, {"exit": rule}):
        opened = open_file(file, **options)
        expected = expected_of(model, opened.reader, **options)
        assert_same(predictions_of(opened.predictor, opened.reader), expected)
    with pytest.raises(ConfigError, match="--steps must be from 1 to 3"):
        open_file(file, steps=4)


@pytest.mark.slow
def test_an_unrolled_file_gives_its_answer_alone(tmp_path):
    file = export(model_of(), tmp_path / "m.nir")
    for options in ({"steps": 2}, {"exit": ExitRule("confidence", 0.5)}):
        with pytest.raises(ConfigError, match="computes all steps at once") as caught:
            open_file(file, **options)
        assert caught.value.remedy == "give the run, or an ONNX file"


def test_a_file_without_names_numbers_its_classes(tmp_path):
    source = source_of(model_of())
    file = next(iter(export_onnx(source, tmp_path / "m.onnx", samples=None).files))
    opened = open_file(file)
    assert opened.predictor.answers.labels == ["0", "1", "2"]
    assert opened.notes == [f"{file} names no classes: they are numbered from 0"]


@pytest.mark.parametrize(
    ("key", "value", "error", "says"),
    [
        ("form", None, DataError, "does not say how it is run"),
        ("steps", "many", DataError, "does not say how it is run"),
        ("classes", '["a"]', DataError, "the network has 3 outputs"),
        ("classes", "[", DataError, "are damaged: classes"),
        ("task", '{"name": "sound"}', DataError, "are damaged: task"),
        ("answer", "first", DataError, "are damaged: answer"),
        ("network", "[1]", DataError, "are damaged: network"),
    ],
)
def test_metadata_that_say_nothing_are_refused(tmp_path, key, value, error, says):
    file = export(model_of(), tmp_path / "m.onnx")
    model = onnx.load(file)
    for entry in list(model.metadata_props):
        if entry.key == key:
            model.metadata_props.remove(entry)
    if value is not None:
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, file)
    with pytest.raises(error, match="m.onnx") as caught:
        open_file(file)
    assert says in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_steps_without_a_code_are_the_samples(tmp_path, form):
    model = model_of()
    about = {"network": {"from": "SpikingNetwork"}}
    opened = open_file(export(model, tmp_path / "m.onnx", about, input="spikes", form=form))
    assert opened.predictor.spec == SampleSpec("series", SHAPE, steps=3)
    code = model.coding.encode(torch.from_numpy(IMAGES)).transpose(0, 1)
    expected = expected_of(model, ImageReader(SampleSpec("image", SHAPE), LABELS))
    assert_same(predictions_of(opened.predictor, opened.reader, code), expected)


@pytest.mark.slow
def test_nir_of_an_unknown_code_is_refused(tmp_path):
    file = export(model_of(), tmp_path / "m.nir", {"network": {"from": "snntorch"}})
    with pytest.raises(DataError, match="does not say how samples are encoded"):
        open_file(file)


def test_a_file_with_other_operators_is_not_run(tmp_path):
    node = onnx.helper.make_node("RandomUniformLike", ["image"], ["logits"])
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3])
        for name in ("image", "logits")
    ]
    graph = onnx.helper.make_graph([node], "g", infos[:1], infos[1:])
    model = onnx.helper.make_model(graph, ir_version=10)
    model.metadata_props.add(key="form", value="sequence")
    model.metadata_props.add(key="steps", value="3")
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(DataError, match="RandomUniformLike"):
        open_file(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (None, "class"),
        ({"name": "step-classification"}, "class of each step"),
        ({"name": "regression", "at": "steps"}, "values of each step"),
    ],
)
def test_the_task_says_what_is_answered(tmp_path, task, kind):
    about = {"form": "sequence", "steps": "3", "classes": json.dumps(LABELS)}
    about |= {} if task is None else {"task": json.dumps(task)}
    assert answers_of(Description.of(tmp_path, about).task).kind == kind
    untitled = Description.of(tmp_path, {**about, "classes": "[]"}).task
    assert answers_of(untitled).kind in (kind, "values")
    unrolled = Description.of(tmp_path, {**about, "form": "pure"})
    if task is None:
        assert unrolled.task.one_class
    else:
        with pytest.raises(DataError, match="gives one answer"):
            unrolled.task  # noqa: B018
