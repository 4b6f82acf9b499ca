"""Flow on a page: which events are shown, and what the picture says."""

import pytest
import torch

from asnn.coding.event_frames import Frames
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.datasets.base import DataSet, Split
from asnn.datasets.events import Events
from asnn.models import create_model
from asnn.reports.answers.flow import ShownFlow, shown_flow
from asnn.tasks import create_task

SHAPE, DURATION = (2, 8, 12), 6000


@pytest.mark.slow
def test_the_picture_says_flow_and_sharpness():
    """A dot that moves by one pixel to the right each ms; then a recording without events."""
    steps = torch.arange(6)
    one = torch.ones_like(steps)
    dot = EventBatch(1000 * steps, 2 + steps, 3 * one, one, 0 * one, 1, SHAPE, DURATION)
    nothing = dot.kept(dot.t < 0)
    flow = torch.tensor([6.0, 0.0]).view(1, 2, 1, 1).expand(2, 2, 8, 12)
    truth = torch.full((2, 2, 1, 1), torch.nan)
    ((drawing, caption),) = ShownFlow([3, 7], [dot, nothing], flow, truth, DURATION).drawings()
    said = drawing.alt.replace("\N{NO-BREAK SPACE}", " ")
    assert "sample 3 (+6.0, +0.0) px, FWL " in said
    assert said.endswith("sample 7 (+0.0, +0.0) px, FWL not known.")
    assert "true flow" not in caption


@pytest.mark.slow
def test_events_behind_the_end_of_the_code_are_not_shown():
    spec = SampleSpec("events", SHAPE, duration=DURATION)
    t = torch.arange(0, DURATION, 500).numpy()
    columns = [(0 * t).astype(kind) for kind in ("int16", "int16", "uint8")]
    start, count = (torch.tensor([n]).numpy() for n in (0, len(t)))
    split = Split(
        Events(t, *columns, start, count, SHAPE, DURATION), torch.full((1, 2, 1, 1), torch.nan)
    )
    code, task = Frames(steps=2, duration=4.0), create_task("flow")
    code.bind(spec)
    task.bind(DataSet("made", split, split, split, [], 1.0, "", spec, target="flow"), code)
    options = {"coding": "frames", "coding_options": {"duration": 4.0}, "steps": 2, "width": 2}
    model = create_model("firenet", in_shape=SHAPE, classes=2, sample=spec, neuron="lif", **options)
    found = shown_flow(task, model, split, "cpu")
    assert found.until == 4000
    assert found.events[0].t.tolist() == list(range(0, 4000, 500))
