"""The number of samples of a verification is bounded by what a network computes."""

from dataclasses import replace

import pytest

from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.verification.amount import MAX_SAMPLES, MIN_SAMPLES, VALUES, default_samples
from tests.support.snn_modules import leaky


@pytest.mark.parametrize(
    ("steps", "number"),
    [
        (1, MAX_SAMPLES),
        (1000, VALUES // (1000 * (8 + 3 * 3))),  # input, linear, neurons, readout
        (10**7, MIN_SAMPLES),
    ],
)
def test_it_follows_from_values_and_steps(steps, number) -> None:
    from torch import nn

    source = source_of_module(nn.Sequential(nn.Linear(8, 3), leaky()), in_shape=(8,), steps=2)
    long = replace(source, graph=replace(source.graph, steps=steps))
    assert default_samples(long) == min(MAX_SAMPLES, number)
