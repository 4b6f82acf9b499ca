"""Flow as an answer: its mean over pixels with events, its measures, rows and texts."""

import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.measure.prediction.answers import answers_of
from asnn.measure.prediction.prediction import Prediction
from asnn.models.readouts.flow import FlowReadout
from asnn.tasks import create_task

SHAPE, DURATION = (2, 8, 12), 6000


def answers(duration=None):
    task = create_task("flow")
    spec = SampleSpec("events", SHAPE, duration=DURATION)
    task.restore([], spec, create_coding("frames", steps=2, duration=duration))
    with torch.device("meta"):
        readout = FlowReadout(1, steps=2, limit=9.0)
    return answers_of(task)(task, [], 2, readout)


def recordings():
    """A dot that moves by one pixel to the right each ms; then a recording without events."""
    steps = torch.arange(6)
    one = torch.ones_like(steps)
    return EventBatch(1000 * steps, 2 + steps, 3 * one, one, 0 * one, 2, SHAPE, DURATION)


def outputs():
    """Steps whose mean is the flow (6, 0) in row 3, and (0, 9) elsewhere."""
    flow = torch.zeros(2, *SHAPE[1:])
    flow[1] = 9.0
    flow[:, 3] = torch.tensor([6.0, 0.0]).view(2, 1)
    return torch.stack([0.5 * flow, 1.5 * flow]).unsqueeze(1).expand(2, 2, -1, -1, -1)


def test_the_flow_is_told_of_pixels_with_events():
    found, empty = answers().of(outputs(), recordings())
    flow = found["flow"]
    assert flow.mean == pytest.approx((6, 0), abs=1e-6)
    assert flow.fwl > 3 and flow.rsat < 1 and flow.milliseconds == 6
    assert (found["step"], found["decided"]) == (2, True)
    assert empty["flow"].mean is None and empty["flow"].fwl is None
    torch.testing.assert_close(flow.field[:, 0, 0], torch.tensor([0.0, 9.0]))


def test_events_that_the_code_leaves_out_do_not_count():
    whole, part = (answers(ms).of(outputs(), recordings())[0]["flow"] for ms in (None, 3.0))
    assert int(whole.events.sum()) == 6 and int(part.events.sum()) == 3
    assert part.fwl != whole.fwl


def test_rows_and_texts():
    of = answers()
    found, empty = (Prediction("x", **each) for each in of.of(outputs(), recordings()))
    document = found.document()
    assert document["flow"]["mean"] == pytest.approx([6, 0], abs=1e-6)
    assert document["flow"]["pixels"] == 6
    (row,) = of.rows(document)
    assert [row["right"], row["down"]] == document["flow"]["mean"] and row["fwl"] > 3
    assert set(of.columns) <= row.keys() and row["milliseconds"] == 6
    assert of.cells(found)[:2] == ["+6.00", "+0.00"]
    assert of.caption(found) == "(+6.0, +0.0) px in 6 ms"
    assert of.cells(empty) == ["–", "–", "–"] and of.caption(empty) == "no events"
    assert of.rows(empty.document())[0]["right"] is None
