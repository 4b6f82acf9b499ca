"""Targets of each step, and networks with an output of each window."""

from types import SimpleNamespace

import pytest
from torch import nn

from asnn.core import ConfigError
from asnn.learning.methods.online.blocks import find_blocks
from asnn.learning.training import _require_outputs
from asnn.models import create_model
from asnn.models.layers.windows.accumulate import Accumulate
from asnn.models.network import SpikingNetwork
from asnn.tasks import create_task


def training(windows, task, **options):
    model = create_model(
        "hybrid", in_shape=(1, 4, 4), classes=2, coding="direct", steps=4, windows=windows,
        backbone=[2], convs=[], hidden=[],
    )  # fmt: skip
    return SimpleNamespace(model=model, task=create_task(task, **options))


@pytest.mark.parametrize(
    ("task", "options"), [("step-classification", {}), ("regression", {"at": "steps"})]
)
def test_a_target_of_each_step_needs_an_output_of_each_step(task, options):
    with pytest.raises(ConfigError, match=f"{task} needs an output for each step") as error:
        _require_outputs(training(2, task, **options))
    assert "one for 2" in str(error.value) and "model.windows=4" in error.value.remedy
    _require_outputs(training(4, task, **options))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_target_of_the_end_does_not(task):
    _require_outputs(training(2, task))


def test_rules_of_each_step_refuse_windows():
    model = create_model(
        "trace-mlp", in_shape=(1, 4, 4), classes=2, coding="rate", steps=4, features=[5],
        output_scale=False,
    )  # fmt: skip
    assert find_blocks(model, "decolle").hidden
    *layers, readout = model.body
    body = nn.Sequential(*layers, Accumulate(steps=4, windows=2), readout)
    with pytest.raises(ConfigError, match="a step within a window has no output to teach"):
        find_blocks(SpikingNetwork(model.coding, body), "decolle")
