"""Outputs of windows: evaluated, left early and predicted, each in steps of the network."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.datasets.base import Split
from asnn.measure import evaluate
from asnn.measure.cost.energy import energy_of_samples
from asnn.measure.cost.tables import read_cost_table
from asnn.measure.early_exit import ExitRule, at_steps, tradeoff
from asnn.measure.prediction.answers import answers_of
from asnn.measure.prediction.inputs.sample import Sample
from asnn.measure.prediction.predictor import Predictor
from asnn.measure.prediction.runtimes import TorchRuntime
from asnn.models import create_model
from asnn.tasks.classification import Classification

STEPS, SAMPLES, CLASSES = 6, 20, 3
FIRST = {  # decides at the first output, which any level is below
    "readout": "first-crossing",
    "readout_options": {"quantity": "potential", "level": -10.0},
}


def network(windows=3, **options):
    torch.manual_seed(0)
    model = create_model(
        "hybrid", in_shape=(1, 8, 8), classes=CLASSES, coding="direct", steps=STEPS,
        neuron_options={"threshold": 0.3}, backbone=[4], windows=windows, convs=[5], hidden=[],
        **options,
    )  # fmt: skip
    return model.eval()


def split():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(SAMPLES, 1, 8, 8, generator=generator)
    return Split(images, torch.arange(SAMPLES) % CLASSES)


def evaluated(model, **options):
    return evaluate(model, split(), full_scale=1.0, classes=CLASSES, **options)


@torch.no_grad()
def test_accuracy_is_that_of_the_windows_so_far():
    model = network()
    found = evaluated(model)

    outputs = model(split().images)
    assert len(outputs) == 3
    expected = [
        float((outputs[: w + 1].mean(0).argmax(1) == split().labels).float().mean())
        for w in range(3)
    ]
    assert found.accuracy_per_step == pytest.approx(expected)
    assert all(len(rates) == STEPS for rates in found.spike_rates.values())


def test_of_some_steps_the_whole_windows_are_evaluated():
    model = network()
    four, five = (evaluated(model, steps=steps) for steps in (4, 5))

    assert four.accuracy_per_step == five.accuracy_per_step and len(five.accuracy_per_step) == 2
    assert five.spikes_per_sample == four.spikes_per_sample  # no step runs for nothing
    with pytest.raises(ConfigError, match="steps must be from 2 to 6, not 1"):
        evaluated(model, steps=1)


def test_early_exits_are_counted_in_steps_with_the_energy_until_then():
    found = evaluated(network(), count=True)
    energy = energy_of_samples(found.counts, read_cost_table())
    rows = tradeoff(found.outcomes, [ExitRule("confidence", 0.35)], energy, found.sample_spikes)

    assert [row["steps"] for row in rows[:3]] == [2, 4, 6]
    until = energy.cumsum(0).mean(1)[[1, 3, 5]].tolist()
    assert [row["picojoules"] for row in rows[:3]] == pytest.approx(until)
    assert rows[2]["spikes"] == pytest.approx(found.spikes_per_sample)
    assert 2 <= rows[3]["steps"] <= 6
    last = at_steps(found.outcomes, torch.full((SAMPLES,), 2), energy)
    assert last["picojoules"] == pytest.approx(float(energy.sum(0).mean()))


def test_a_readout_that_decides_does_so_at_the_end_of_a_window():
    options = {
        "readout": "first-crossing",
        "readout_options": {"quantity": "potential", "level": -10.0},
    }
    found = evaluated(network(**options))
    assert found.values["mean_step"] == 2
    until = found.sample_spikes.cumsum(0)[1].mean()
    assert found.spikes_to_decision == pytest.approx(float(until))


@pytest.mark.parametrize(("steps", "answered"), [(None, 6), (5, 4)])
def test_predictions_name_the_step_that_their_window_ends_with(steps, answered):
    model = network()
    task = Classification.of(CLASSES)
    answers = answers_of(task)(task, ["a", "b", "c"], CLASSES, model.readout)
    predictor = Predictor(TorchRuntime(model, steps=steps), answers, model.sample)
    samples = [Sample(f"{i}", image) for i, image in enumerate(split().images[:3])]

    found = list(predictor.predict(samples))

    assert [each.step for each in found] == [answered] * 3
    with pytest.raises(ConfigError, match="--steps must be from 2 to 6") as error:
        TorchRuntime(model, steps=1)
    assert "each window of 2 steps" in str(error.value)


@torch.no_grad()
def test_no_step_runs_after_the_window_of_the_decision():
    model = network(
        readout="first-crossing", readout_options={"quantity": "potential", "level": -10.0}
    )
    seen = []
    outputs = model.run_until(
        split().images, lambda so_far: torch.ones(SAMPLES, dtype=torch.bool),
        each_step=lambda: seen.append(1),
    )  # fmt: skip
    assert len(outputs) == 1 and len(seen) == 2
