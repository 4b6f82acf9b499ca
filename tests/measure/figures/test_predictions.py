"""Pictures of inputs with their answers."""

import numpy as np
import pytest
import torch
from PIL import Image

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.formats.events import Recording
from asnn.measure.figures.predictions import MAX_DRAWN, draw_predictions
from asnn.measure.prediction.answers import answers_of
from asnn.measure.prediction.inputs.sample import Sample
from asnn.measure.prediction.prediction import Prediction
from asnn.models.readouts import create_readout
from asnn.tasks import create_task

GREY = SampleSpec("image", (1, 4, 4))


def answers_to(task, **options):
    task = create_task(task, **options)
    with torch.device("meta"):
        readout = create_readout("mean", 1, 1, steps=1, scaled=False)
    return answers_of(task)(task, ["ant", "b$e$e"], 2, readout)


def pictures(count):
    samples = [Sample(f"in/{i}.png", torch.full((1, 4, 4), i / count)) for i in range(count)]
    answers = [
        Prediction(f"in/{i}.png", "ant", 0, 0.25, expected=None if i % 2 else "b$e$e")
        for i in range(count)
    ]
    return samples, answers


@pytest.mark.slow
def test_names_answers_and_known_classes_are_written(tmp_path):
    samples, answers = pictures(MAX_DRAWN + 1)
    draw_predictions(tmp_path / "p.svg", samples, answers, GREY, answers_to("classification"))
    text = (tmp_path / "p.svg").read_text()
    assert text.count("ant  25 %") == MAX_DRAWN and text.count("not b$e$e") == MAX_DRAWN // 2
    assert "15.png" in text and "16.png" not in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grey", "colour", "events", "series"])
def test_each_kind_is_drawn(tmp_path, kind):
    events = np.array([0, 1, 3])
    value, spec = {
        "grey": (torch.rand(1, 4, 4), GREY),
        "colour": (torch.zeros(3, 4, 4, dtype=torch.uint8), SampleSpec("image", (3, 4, 4))),
        "events": (
            Recording(events, events, events, np.array([0, 1, 1], np.uint8)),
            SampleSpec("events", (2, 4, 4), duration=9),
        ),
        "series": (torch.rand(5, 3), SampleSpec("series", (3,), steps=5)),
    }[kind]
    found = {
        "grey": Prediction("x", "ant", 0, 0.5),
        "colour": Prediction("x", values=[0.5, 1.25, 3.0, 4.0]),
        "events": Prediction("x", values=[[0.5], [0.25]]),
        "series": Prediction("x", labels=("a", "b", "a"), confidences=(1.0, 1.0, 1.0)),
    }[kind]
    task = {
        "grey": answers_to("classification"),
        "colour": answers_to("regression"),
        "events": answers_to("regression", at="steps"),
        "series": answers_to("step-classification"),
    }[kind]
    draw_predictions(tmp_path / "p.png", [Sample("x", value)], [found], spec, task)
    assert (np.asarray(Image.open(tmp_path / "p.png").convert("L")) < 250).mean() > 0.005


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="a picture cannot be written"):
        draw_predictions(tmp_path / "p.bmp", *pictures(1), GREY, answers_to("classification"))
