"""Boxes as answers: found by hand, in pixels of the file, as lines of JSON and rows of a table."""

import math

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.measure.prediction.answers import answers_of
from asnn.measure.prediction.inputs.sample import Placement, Sample
from asnn.measure.prediction.prediction import Prediction
from asnn.measure.prediction.predictor import Predictor
from asnn.measure.prediction.runtimes import Outputs
from asnn.models.readouts import create_readout
from asnn.models.readouts.detection import DetectionReadout, Grid
from asnn.tasks import create_task

SPEC = SampleSpec("image", (1, 16, 24))
GRID = Grid(8, 2, 3)


def answers(score=None):
    task = create_task("detection")
    task.restore(["ant", "bee"], SPEC)
    with torch.device("meta"):
        readout = DetectionReadout(1, 7, grid=GRID, steps=2, scaled=False)
    return answers_of(task)(task, ["ant", "bee"], 7, readout, score=score)


def outputs():
    """Two inputs: one with a bee of 8×16 around (12, 8) in the cell at row 0, column 1."""
    found = torch.zeros(2, 2, 7, 6)
    found[:, :, 2] = 9.0  # the background
    found[:, 0, :3, 1] = torch.tensor([0.0, 3.0, 1.0])
    found[:, 0, 3:, 1] = torch.tensor([0.0, 0.5, math.log(1.0), math.log(2.0)])
    return found


def test_a_box_has_the_corners_of_its_cell_and_values():
    first, second = answers().of(outputs())
    (box,) = first["boxes"]
    assert box.label == "bee" and box.index == 1
    e = [math.exp(each) for each in (0, 3, 1)]
    assert box.confidence == pytest.approx(e[1] / sum(e), rel=1e-6)
    assert box.corners == pytest.approx((8, 0, 16, 16), abs=1e-5)
    assert second["boxes"] == () and second["step"] == 2 and second["decided"]


def test_boxes_are_rows_and_an_input_without_any_has_one():
    of = answers()
    documents = [Prediction("x", **each).document() for each in of.of(outputs())]
    assert documents[0]["boxes"][0]["box"] == [8, 0, 16, 16]
    (row,) = of.rows(documents[0])
    assert [row[key] for key in of.columns[:2]] == ["bee", 1]
    assert [row[key] for key in ("x1", "y1", "x2", "y2")] == [8, 0, 16, 16]
    assert of.rows(documents[1]) == [documents[1]]
    found = Prediction("x", **of.of(outputs())[0])
    assert of.cells(found) == ["1", "bee 84"] and of.caption(found) == "1 box"


class Given:
    """A runtime whose outputs are known."""

    readout = None

    def run(self, x, first, decided=None):
        return Outputs(outputs()[:, : len(x)], None, None, {})


def test_boxes_are_in_pixels_of_the_file():
    place = Placement((0.5, 0.25), (40, 80), left=2.0, top=4.0)
    samples = [Sample("a.png", torch.zeros(SPEC.shape), placement=place)]
    (found,) = Predictor(Given(), answers(), SPEC).predict(samples)
    corners = found.boxes[0].corners
    whole = ((8 - 2) / 0.5, (0 - 4) / 0.25, (16 - 2) / 0.5, (16 - 4) / 0.25)
    assert corners == pytest.approx((whole[0], 0, *whole[2:]))  # cut off at the top edge
    assert place.to_sample(whole) == pytest.approx((8, 0, 16, 16))


def test_boxes_in_the_frame_around_a_picture_are_left_out():
    place = Placement((1.0, 1.0), (8, 16), left=0.0, top=0.0)  # the box is right of it
    samples = [Sample("a.png", torch.zeros(SPEC.shape), placement=place)]
    (found,) = Predictor(Given(), answers(), SPEC).predict(samples)
    assert found.boxes == ()


def test_classes_are_those_of_a_cell_without_background_and_box():
    assert type(answers()).class_count(7) == 2


def test_unlikely_boxes_are_left_out():
    e = [math.exp(each) for each in (0, 3, 1)]
    likely = answers().of(outputs())[0]["boxes"]
    assert [each.label for each in likely] == ["bee"]  # of 25 % and more
    all_of_cell = answers(0.01).of(outputs())[0]["boxes"]
    assert [each.label for each in all_of_cell] == ["bee", "ant"]
    assert all_of_cell[1].confidence == pytest.approx(e[0] / sum(e), rel=1e-5)
    assert answers(0.9).of(outputs())[0]["boxes"] == ()


def test_other_answers_have_no_boxes_to_leave_out():
    task = create_task("classification")
    with torch.device("meta"):
        readout = create_readout("mean", 1, 1, steps=1, scaled=False)
    with pytest.raises(ConfigError, match="--score is for networks that answer with boxes"):
        answers_of(task)(task, ["a"], 1, readout, score=0.5)
