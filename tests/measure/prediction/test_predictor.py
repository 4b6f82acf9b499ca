"""A stream of inputs: in order, in batches, none lost; the same answers as an evaluation."""

import numpy as np
import pytest
import torch

from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError, DataError
from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.measure.cost.energy import energy_of_samples
from asnn.measure.cost.tables import DEFAULT, read_cost_table
from asnn.measure.early_exit import ExitRule
from asnn.measure.prediction import Prediction, predictor
from asnn.measure.prediction.answers.classes import ClassAnswers
from asnn.measure.prediction.inputs.sample import Sample, Unreadable
from asnn.measure.prediction.predictor import Predictor
from asnn.measure.prediction.runtimes import Outputs, TorchRuntime
from asnn.models import create_model
from asnn.tasks import create_task

SPEC = SampleSpec("image", (1, 8, 8))


def network(**options):
    torch.manual_seed(1)
    options = {"coding": "hybrid", "steps": 4, "widths": [4, 6], "hidden": 8, **options}
    model = create_model("lenet", in_shape=(1, 8, 8), classes=3, **options)
    for parameter in model.parameters():
        parameter.data.abs_()  # so that all layers fire
    return model.eval()


def predictor_of(model, *, exit=None, **options):
    answers = ClassAnswers(create_task("classification"), ["a", "b", "c"], 3, model.readout, exit)
    return Predictor(TorchRuntime(model, **options), answers, SPEC)


def images(count, seed=0):
    return torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    )


def samples(values):
    return [Sample(f"{i}.png", value) for i, value in enumerate(values)]


@pytest.mark.parametrize("coding", ["hybrid", "rate"])
@pytest.mark.parametrize("steps", [None, 2])
def test_answers_are_those_of_an_evaluation(coding, steps):
    model, x = network(coding=coding), images(23)
    split = Split(x, torch.zeros(23, dtype=torch.int64))
    result = evaluate(model, split, classes=3, full_scale=255, batch_size=7, steps=steps)
    found = list(predictor_of(model, steps=steps).predict(samples(x), batch_size=5))
    assert [each.source for each in found] == [f"{i}.png" for i in range(23)]
    assert [each.index for each in found] == result.class_outcomes.predictions[-1].tolist()
    expected = result.class_outcomes.confidence[-1].tolist()
    assert [each.confidence for each in found] == pytest.approx(expected, abs=1e-6)
    assert sum(each.spikes for each in found) / 23 == pytest.approx(result.spikes_per_sample)
    assert sum(each.spikes for each in found) > 0


def test_spikes_and_energy_end_with_the_exit():
    model, x = network(), images(6)
    table = read_cost_table(DEFAULT)
    split = Split(x, torch.zeros(6, dtype=torch.int64))
    result = evaluate(model, split, classes=3, full_scale=255, count=True)
    energy = energy_of_samples(result.counts, table)
    every = list(predictor_of(model, energy=table).predict(samples(x)))
    assert [each.picojoules for each in every] == pytest.approx(energy.sum(0).tolist())
    confidence = result.class_outcomes.confidence
    threshold = float(confidence[1].median())
    rule = ExitRule("confidence", threshold)
    early = list(predictor_of(model, exit=rule, energy=table).predict(samples(x)))
    assert 1 <= min(each.step for each in early) < 4
    for b, each in enumerate(early):
        assert each.picojoules == pytest.approx(float(energy[: each.step, b].sum()))
        (first,) = predictor_of(model, steps=each.step).predict(samples(x[b : b + 1]))
        assert each.spikes == first.spikes <= every[b].spikes


def test_at_exact_times_they_end_with_the_first_output_spike():
    torch.manual_seed(0)
    model = create_model(
        "timing-mlp", in_shape=(1, 4, 4), classes=3, features=[8], coding="times", steps=1,
        neuron="multi-spike", neuron_options={"window": 2.0, "threshold": 0.03, "most": 5},
        readout="earliest", weight_mean=[8.0],
    ).eval()  # fmt: skip
    x, table = images(6)[:, :1, :4, :4], read_cost_table(DEFAULT)
    split = Split(x, torch.zeros(6, dtype=torch.int64))
    result = evaluate(model, split, classes=3, full_scale=255, count=True)
    found = list(predictor_of(model, energy=table).predict(samples(x)))
    energy = energy_of_samples(result.counts_to_decision, table)[0]
    assert [each.picojoules for each in found] == pytest.approx(energy.tolist())
    assert sum(each.spikes for each in found) / 6 == pytest.approx(result.spikes_to_decision)
    assert 0 < result.spikes_to_decision < result.spikes_per_sample
    without = list(predictor_of(model).predict(samples(x)))
    assert [each.spikes for each in without] == [each.spikes for each in found]


def test_what_cannot_be_read_keeps_its_place_and_the_others_are_answered():
    bad = Unreadable("bad.png", DataError("it is damaged"))
    x = samples(images(5))
    stream = [bad, *x[:2], bad, *x[2:], bad]
    model = network()
    found = list(predictor_of(model).predict(stream, batch_size=3))
    assert [each.source for each in found] == [each.source for each in stream]
    assert [each.error is None for each in found] == [isinstance(each, Sample) for each in stream]
    alone = list(predictor_of(model).predict(x))
    assert [each.label for each in found if each.error is None] == [each.label for each in alone]
    (alone,) = predictor_of(model).predict([bad])
    assert alone.error.what == "it is damaged"
    assert list(predictor_of(model).predict([])) == []


class Sizes:
    """A runtime that keeps the sizes of its batches."""

    def __init__(self):
        self.seen = []

    def run(self, x, first, decided=None):
        assert first == sum(self.seen)
        self.seen.append(len(x))
        return Outputs(torch.zeros(4, len(x), 3), reasons=(("spikes", "it has none"),))


def test_a_batch_holds_so_many_samples_or_bytes(monkeypatch):
    model = network()
    answers = ClassAnswers(create_task("classification"), ["a", "b", "c"], 3, model.readout)
    sizes = Sizes()
    found = list(Predictor(sizes, answers, SPEC).predict(samples(images(7)), batch_size=3))
    assert sizes.seen == [3, 3, 1]
    assert found[0].spikes is None and found[0].reasons == {"spikes": "it has none"}
    monkeypatch.setattr(predictor, "MAX_BYTES", 2 * 64)
    sizes = Sizes()
    list(Predictor(sizes, answers, SPEC).predict(samples(images(7)), batch_size=256))
    assert sizes.seen == [2, 2, 2, 1]


def test_samples_are_read_as_they_are_used():
    read = []

    def stream():
        for sample in samples(images(9)):
            read.append(sample.source)
            yield sample

    answers = predictor_of(network()).predict(stream(), batch_size=3)
    next(answers)
    assert len(read) == 3


def test_more_steps_than_there_are_are_refused():
    with pytest.raises(ConfigError, match="--steps must be from 1 to 4"):
        TorchRuntime(network(), steps=5)


def test_plain_values_have_no_number_that_json_lacks():
    found = Prediction("x", values=[1.0, float("nan"), float("inf")], step=1).document()
    assert found["values"] == [1.0, None, None]
    failed = Prediction("x", error=DataError("what", why="why", remedy="remedy")).document()
    assert failed == {
        "input": "x",
        "error": {"what": "what", "why": "why", "remedy": "remedy"},
    }


@pytest.mark.parametrize("decides", ["rule", "readout"])
def test_no_step_runs_after_all_inputs_are_decided(decides):
    options = {"readout": "first-crossing", "readout_options": {"level": 0.5}}
    options = options if decides == "readout" else {}
    model = network(coding="direct", neuron_options={"threshold": 0.6}, **options)
    x = images(6)
    with torch.no_grad():
        outputs = model(x.float() / 255)
    so_far = outputs if decides == "readout" else model.readout.so_far(outputs)
    # Which all inputs reach within three steps.
    level = float(so_far[:3].softmax(2).amax(2).amax(0).min()) - 1e-4
    assert float(so_far[0].softmax(1).amax(1).min()) < level
    rule = ExitRule("confidence", level) if decides == "rule" else None
    if decides == "readout":
        model.readout.level = level
    every = list(
        predictor_of(model, exit=rule, energy=read_cost_table(DEFAULT)).predict(samples(x))
    )
    last = max(each.step for each in every)
    assert 1 <= last < 4 and all(each.decided for each in every)
    steps, readout = [], model.frozen().readout
    stepper = readout.stepper

    def counted():
        step = stepper()

        def one(spikes):
            steps.append(len(spikes))
            return step(spikes)

        return one

    readout.stepper = counted
    early = list(predictor_of(model, exit=rule).predict(samples(x)))
    assert steps == [6] * last
    for one, other in zip(early, every, strict=True):
        assert (one.index, one.step, one.decided) == (other.index, other.step, True)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
        assert one.spikes == other.spikes
    assert sum(each.spikes for each in early) > 0
