"""Answers at exact times: when each is given, and what has no steps to stop at."""

import math

import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError
from asnn.measure.early_exit import ExitRule
from asnn.measure.prediction.answers.classes import ClassAnswers
from asnn.measure.prediction.inputs.sample import Sample
from asnn.measure.prediction.predictor import Predictor
from asnn.measure.prediction.runtimes import TorchRuntime
from asnn.models import create_model
from asnn.models.stepwise import NotStepwise, stepper
from asnn.tasks import create_task

SPEC = SampleSpec("image", (1, 3, 3))


def network(weight=6.0, readout="earliest"):
    torch.manual_seed(0)
    return create_model(
        "timing-mlp",
        in_shape=(1, 3, 3),
        classes=3,
        features=[8],
        coding="times",
        steps=1,
        neuron="rel-psp",
        readout=readout,
        weight_mean=[weight],
    ).eval()


def predictions(model):
    x = torch.randint(0, 256, (5, 1, 3, 3), dtype=torch.uint8)
    answers = ClassAnswers(create_task("classification"), ["a", "b", "c"], 3, model.readout)
    samples = [Sample(f"{i}", value) for i, value in enumerate(x)]
    found = Predictor(TorchRuntime(model), answers, SPEC).predict(samples)
    return x.float() / 255, list(found)


def test_an_answer_has_the_time_of_the_first_output_spike():
    model = network()
    x, found = predictions(model)
    with torch.no_grad():
        times = -model(x)[0].amax(1) * model.readout.tau
    assert [each.time for each in found] == pytest.approx(times.tolist(), rel=1e-6)
    assert all(each.decided and each.document()["time"] == each.time for each in found)


def test_without_an_output_spike_there_is_no_time():
    for each in predictions(network(weight=-6.0))[1]:
        assert each.time == math.inf and each.decided is False
        assert each.document()["time"] is None and each.document()["decided"] is False


def test_a_count_of_spikes_has_no_time():
    _, found = predictions(network(readout="spike-count"))
    assert all(each.time is None and "time" not in each.document() for each in found)


def test_there_are_no_steps_to_exit_at():
    model = network()
    with pytest.raises(ConfigError, match="--exit is for networks of time steps") as caught:
        ClassAnswers(
            create_task("classification"),
            ["a", "b", "c"],
            3,
            model.readout,
            ExitRule("confidence", 0.9),
        )
    assert caught.value.remedy == "leave --exit out"
    with pytest.raises(NotStepwise, match="layers of exact times have no steps"):
        stepper(model.body)
    decision = model.decide(torch.rand(2, 1, 3, 3), confidence=0.5)
    assert decision.step.tolist() == [0, 0]
