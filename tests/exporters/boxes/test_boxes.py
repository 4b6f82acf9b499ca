"""Boxes as an output of ONNX files, beside those of the task."""

import numpy as np
import onnxruntime
import pytest
import torch

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir, export_onnx, random_samples, source_of, verify
from asnn.exporters.boxes.rule import BoxRule, with_boxes
from asnn.models import create_model
from asnn.tasks.classification import Classification
from asnn.tasks.detection.task import Detection

SIDE, STEPS = 24, 2


def detector(scales=1, **options):
    """An untrained network whose task finds many boxes in anything."""
    torch.manual_seed(0)
    task = Detection(**{"score": 0.09, "overlap": 0.4, "top": 20} | options)
    # As `bind` does of data, which are not needed here.
    task.classes, task.outputs, task.size = list("0123456789"), 15, (SIDE, SIDE)
    model = create_model(
        "spiking-yolo", in_shape=(1, SIDE, SIDE), classes=task.outputs, coding="direct",
        steps=STEPS, widths=[16, 16], scales=scales, causal=True, neuron_options={"gain": 3.0},
    )  # fmt: skip
    for _ in range(3):
        model(torch.rand(4, 1, SIDE, SIDE))
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, torch.nn.Linear):
                part.weight.mul_(3)
    task.use_readout(model.readout)
    return model.eval(), task


@pytest.mark.slow
@pytest.mark.parametrize("opset", [17, 25])
def test_opsets(tmp_path, opset):
    model, task = detector()
    source = with_boxes(source_of(model), task)
    samples = random_samples(source.sample_shape, 4)
    options = {"samples": samples, "opset": opset, "weights": "int8"}
    assert export_onnx(source, tmp_path / "a.onnx", **options).report.verified


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"scales": 2, "top": 7}, {"overlap": 0.9}], ids=str)
def test_the_file_finds_the_boxes_of_the_task(tmp_path, options):
    model, task = detector(**options)
    source = with_boxes(source_of(model), task)
    samples = random_samples(source.sample_shape, 16)
    exported = export_onnx(source, tmp_path / "a.onnx", samples=samples)
    assert exported.report.verified
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    found = session.run(["detections"], {"image": samples.images})[0]
    expected = task.detections(model.predict(torch.from_numpy(samples.images))).numpy()
    assert (expected[:, :, 5] > 0).sum(1).min() >= 2  # there is something to suppress
    np.testing.assert_allclose(found, np.nan_to_num(expected)[:, : found.shape[1]], atol=1e-3)
    # Negative control: other limits find other boxes, and the verification says so.
    other = with_boxes(source_of(model), detector(**{**options, "overlap": 0.05})[1])
    report = verify(other, tmp_path / "a.onnx", samples, structure=False)
    assert "the boxes of" in report.fault
    assert "differ" in report.fault
    assert "detections" in verify(other, tmp_path / "a.onnx", samples).fault


def test_a_rule_tells_other_boxes_apart():
    model, task = detector()
    rule = BoxRule(task)
    answer = model.predict(torch.rand(4, 1, SIDE, SIDE)).numpy()
    found = rule.detections(answer)
    assert not rule.differing(answer, found).any()
    moved = found.copy()
    moved[1, 0, 0] += 1  # px
    assert rule.differing(answer, moved).tolist() == [False, True, False, False]
    assert rule.differing(answer, found[:, 1:]).all()
    worse = found.copy()  # without the best box, and without one that follows from no other
    worse[2, :-1], worse[2, -1] = found[2, 1:], 0
    assert rule.differing(answer, worse).tolist() == [False, False, True, False]
    twice = found.copy()
    twice[3, 1] = found[3, 0]
    assert rule.differing(answer, twice).tolist() == [False, False, False, True]


def test_of_equal_scores_any_may_stay():
    """Two cells with the same outputs in all but their place, and boxes that overlap."""
    _, task = detector(score=0.5)
    rule, classes = BoxRule(task), len(task.classes)
    answer = np.zeros((1, classes + 5, len(task.cells)), np.float32)
    answer[:, classes] = 9  # the background
    answer[0, 3, [0, 1]] = 20
    answer[:, -2:] = 3  # sides of e³ strides, more than the image
    found = rule.detections(answer)
    assert (found[0, :, 5] > 0).sum() == 1
    turned = found.copy()
    turned[0, 0, :4] = task.cells.decode(torch.from_numpy(answer[:, -4:]))[0, 1].clamp(0, SIDE)
    assert not rule.differing(answer, turned).any()
    answer[0, 3, 0] = 30  # now one is the better
    assert rule.differing(answer, turned).tolist() == [False]


def test_forms_and_tasks_without_boxes_are_refused(tmp_path):
    model, task = detector()
    source = source_of(model)
    with pytest.raises(ConfigError, match="the form stream has no boxes"):
        export_onnx(with_boxes(source, task), tmp_path / "a.onnx", samples=None, form="stream")
    with pytest.raises(ConfigError, match="boxes are of the task detection, this network is for"):
        with_boxes(source, Classification())
    export_nir(with_boxes(source, task), tmp_path / "a.nir", samples=None)  # raw outputs
