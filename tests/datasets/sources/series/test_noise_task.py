"""The noise task: its statistics, and the ceiling that no method can exceed."""

import math

import numpy as np
import pytest
import torch

from asnn.core import ConfigError
from asnn.datasets import load_dataset
from asnn.datasets.sources.series.noise_task import ceiling, load_noise_task

FIRST = (-0.11484575, -0.17081165, -0.11294017)


def accuracy_of_the_sum(split, steps):
    sums = split.inputs[:, :steps, 0].double().sum(1)
    return float(((sums > 0).long() == split.targets).double().mean())


def test_shapes_and_values():
    source = load_noise_task(samples=20_000)
    assert [len(part) for part in (source.train, source.validation, source.test)] == [
        20_000, 5_000, 20_000,
    ]  # fmt: skip
    x, y = source.train.inputs[..., 0].double(), source.train.targets
    assert x.shape == (20_000, 40) and source.train.inputs.dtype == torch.float32
    assert (source.spec.kind, source.spec.shape, source.spec.steps) == ("series", (1,), 40)
    sign = 2 * y - 1
    assert abs(float(sign.double().mean())) < 0.03
    assert float((x * sign[:, None]).mean()) == pytest.approx(0.05, abs=2e-3)
    deviations = x.std(1)
    # σ ~ U(0.05, 0.25), as 40 values estimate it: relative error 1 / sqrt(2 · 39).
    assert float(deviations.mean()) == pytest.approx(0.15, abs=3e-3)
    spread = math.hypot(0.2 / math.sqrt(12), 0.15 / math.sqrt(78))
    assert float(deviations.std()) == pytest.approx(spread, rel=0.05)


@pytest.mark.parametrize("steps", [1, 10, 40])
def test_the_sign_of_the_sum_reaches_the_ceiling_and_not_more(steps):
    source = load_noise_task(samples=2)
    noise = 3 * math.sqrt(0.25 / len(source.test))
    # By a sum over a grid of deviations, without the integral of the module.
    sigma = np.linspace(0.05, 0.25, 20_001)
    z = math.sqrt(steps) * 0.05 / sigma
    expected = float(np.mean([0.5 * math.erfc(-each / math.sqrt(2)) for each in z]))
    assert ceiling(steps) == pytest.approx(expected, abs=1e-5)
    assert accuracy_of_the_sum(source.test, steps) == pytest.approx(expected, abs=noise)
    assert ceiling(40) == pytest.approx(0.9693, abs=1e-4)


def test_negative_control_steps_of_other_sequences_say_nothing():
    test = load_noise_task(samples=2).test
    generator = torch.Generator().manual_seed(0)
    columns = [torch.randperm(len(test), generator=generator) for _ in range(40)]
    x = torch.stack([test.inputs[order, t, 0] for t, order in enumerate(columns)], 1)
    accuracy = float(((x.double().sum(1) > 0).long() == test.targets).double().mean())
    assert abs(accuracy - 0.5) < 0.015


def test_it_is_the_same_each_time_and_another_with_another_seed():
    one, two = load_noise_task(samples=50), load_noise_task(samples=50)
    assert torch.equal(one.train.inputs, two.train.inputs)
    assert torch.equal(one.test.targets, two.test.targets)
    assert not torch.equal(load_noise_task(samples=50, seed=1).test.inputs, one.test.inputs)
    # The stream is that of NumPy's legacy generator, which does not change between versions.
    assert one.train.inputs[0, :3, 0].tolist() == pytest.approx(FIRST, abs=1e-7)
    data = load_dataset("noise-task", samples=50)
    assert data.fingerprint == load_dataset("noise-task", samples=50).fingerprint


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"samples": 1}, "data.samples must be 2 or more, not 1"),
        ({"steps": 0}, "data.steps must be 1 or more, not 0"),
        ({"seed": -1}, "data.seed must be 0 or more, not -1"),
        ({"length": 3}, "length"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(ConfigError, match=text):
        load_dataset("noise-task", **options)
