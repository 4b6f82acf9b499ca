"""Predictions and confidence: calibration, early exit and its energy, by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.measure.early_exit import ExitRule, exit_steps, parse_exit_rules, tradeoff
from asnn.tasks.outcomes import Outcomes, calibration

# Three samples, three steps.
LABELS = torch.tensor([0, 1, 2])
PREDICTIONS = torch.tensor([[0, 0, 1], [0, 1, 1], [0, 1, 2]])
CONFIDENCE = torch.tensor([[0.9, 0.4, 0.95], [0.8, 0.7, 0.5], [0.99, 0.9, 0.6]])
THREE = Outcomes(LABELS, PREDICTIONS, CONFIDENCE)


def test_of_a_batch():
    logits = torch.tensor([[[0.0, 2.0], [3.0, 1.0]]])
    found = Outcomes.of(logits, torch.tensor([1, 1]))
    assert found.predictions.tolist() == [[1, 0]]
    sure = 1 / (1 + np.exp(-2.0))
    torch.testing.assert_close(found.confidence, torch.full((1, 2), float(sure)))
    assert found.correct.tolist() == [[True, False]]
    assert found.confusion(2) == [[0, 0], [1, 1]]


def test_predictions_follow_logits_where_probabilities_round_to_the_same():
    logits = torch.tensor([[[0.0, 1e-8, -1.0]]])
    assert logits.softmax(2)[0, 0, 0] == logits.softmax(2)[0, 0, 1]
    assert Outcomes.of(logits, torch.tensor([1])).predictions.tolist() == [[1]]


def test_exit_rules_by_hand():
    assert exit_steps(THREE, ExitRule("confidence", 0.9)).tolist() == [0, 2, 0]
    assert exit_steps(THREE, ExitRule("confidence", 0.7)).tolist() == [0, 1, 0]
    assert exit_steps(THREE, ExitRule("confidence", 1.0)).tolist() == [2, 2, 2]
    energy = torch.tensor([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0], [4.0, 40.0, 400.0]])
    rows = tradeoff(THREE, [ExitRule("confidence", 0.9)], energy.double())
    assert [row["exit"] for row in rows] == [None, None, None, "confidence=0.9"]
    assert [row["steps"] for row in rows] == pytest.approx([1, 2, 3, 5 / 3])
    assert [row["accuracy"] for row in rows] == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3])
    assert [row["picojoules"] for row in rows] == pytest.approx(
        [111 / 3, 333 / 3, 777 / 3, (1 + 70 + 100) / 3]
    )
    assert rows[-1]["leaving"] == pytest.approx([2 / 3, 0, 1 / 3])
    assert rows[-1]["spikes"] is None
    counted = tradeoff(THREE, [ExitRule("confidence", 0.9)], spikes=energy.double())
    assert [row["spikes"] for row in counted] == [row["picojoules"] for row in rows]
    assert tradeoff(THREE, [])[0]["picojoules"] is None


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 30), st.floats(0.01, 1), st.integers(0, 99))
def test_exit_rules_equal_a_loop_over_samples(steps, samples, threshold, seed):
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.rand(steps, samples, generator=generator)
    predictions = torch.randint(3, (steps, samples), generator=generator)
    labels = torch.randint(3, (samples,), generator=generator)
    energy = torch.rand(steps, samples, generator=generator).double()
    correct, energy_sum, steps_sum = 0, 0.0, 0
    for n in range(samples):
        for t in range(steps):
            energy_sum += float(energy[t, n])
            steps_sum += 1
            if float(confidence[t, n]) >= threshold or t == steps - 1:
                correct += bool(predictions[t, n] == labels[n])
                break
    found = tradeoff(
        Outcomes(labels, predictions, confidence), [ExitRule("confidence", threshold)], energy
    )
    assert found[-1]["accuracy"] == pytest.approx(correct / samples)
    assert found[-1]["steps"] == pytest.approx(steps_sum / samples)
    assert found[-1]["picojoules"] == pytest.approx(energy_sum / samples)


def test_rules_are_parsed():
    assert parse_exit_rules(["confidence=0.9", "confidence=0.5,1"]) == [
        ExitRule("confidence", 0.9), ExitRule("confidence", 0.5), ExitRule("confidence", 1.0)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["0.9", "confidence", "confidence=", "confidence=2", "confidence=0", "sure=0.9",
             "confidence=nan", "confidence=0.9,x", "=0.9"]
)  # fmt: skip
def test_invalid_rule_is_refused(text):
    with pytest.raises(ConfigError) as error:
        parse_exit_rules(["confidence=0.5", text])
    assert repr(text) in error.value.why and "confidence=0.9" in error.value.remedy


def reference_ece(confidence, correct, bins):
    """Expected calibration error as written in the paper, sample by sample."""
    error = 0.0
    for m in range(bins):
        inside = [i for i, c in enumerate(confidence) if m / bins < c <= (m + 1) / bins]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            sure = sum(confidence[i] for i in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - sure)
    return error


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 999))
def test_calibration_is_that_of_the_paper(samples, seed):
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.rand(1, samples, generator=generator).clamp(min=1e-3)
    predictions = torch.randint(2, (1, samples), generator=generator)
    labels = torch.randint(2, (samples,), generator=generator)
    found = calibration(Outcomes(labels, predictions, confidence))
    correct = (predictions[0] == labels).tolist()
    assert found.error == pytest.approx(reference_ece(confidence[0].double().tolist(), correct, 15))
    assert sum(b["samples"] for b in found.bins) == samples
    hits = sum(b["samples"] * (b["accuracy"] or 0) for b in found.bins)
    assert hits == pytest.approx(sum(correct))


def test_always_confident_and_half_correct():
    labels = torch.tensor([0, 1] * 10)
    found = calibration(Outcomes(labels, torch.zeros(1, 20).long(), torch.ones(1, 20)))
    assert found.error == 0.5
    assert found.bins[-1]["samples"] == 20 and found.bins[0]["accuracy"] is None
