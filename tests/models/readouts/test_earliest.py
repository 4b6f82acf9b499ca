"""The answer of the output that fires first."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.models.readouts import create_readout
from asnn.tasks.classification import Classification

INF = math.inf


def readout(**options):
    return create_readout("earliest", 3, 3, steps=1, scaled=True, tau=0.5, loss_cap=2.0, **options)


def outputs(*times):
    """Return what the readout gives for times [B][K]."""
    return readout()(torch.tensor(times, dtype=torch.float64)[None, ..., None])


def test_outputs_are_negative_times_and_the_first_wins():
    found = outputs([3.0, 1.0, INF], [INF, INF, INF])
    assert found.tolist() == [[[-6.0, -2.0, -INF], [-INF, -INF, -INF]]]
    decision = readout().decide(found)
    assert decision.decided.tolist() == [True, False]
    assert int(decision.scores[0].argmax()) == 1 and decision.scores.isfinite().all()
    assert readout().decision_times(found).tolist() == [1.0, INF]


def test_behind_the_cap_the_first_still_wins():
    """Both are behind the cap of the loss, and a silent output is before none of them."""
    assert int(readout().decide(outputs([INF, 9.0, 8.0])).scores.argmax()) == 2


def test_the_loss_caps_times_and_keeps_their_gradient():
    times = torch.tensor([[0.5, 5.0, INF]], dtype=torch.float64, requires_grad=True)
    layer = readout()
    answer = layer.answer(layer(times[None, ..., None]))
    assert answer.tolist() == [[-1.0, -4.0, -4.0]]
    cross_entropy(answer, torch.tensor([0])).backward()
    p = torch.tensor([-1.0, -4.0, -4.0], dtype=torch.float64).softmax(0)
    expected = [(1 - float(p[0])) / 0.5, -float(p[1]) / 0.5, 0.0]  # ∂L/∂t = (y - p)/τ
    assert times.grad.tolist() == [pytest.approx(expected)]


def test_a_silent_sample_is_wrong_and_reported():
    task = Classification.of(3)
    task.use_readout(readout())
    meter = task.meter(1)
    labels = torch.tensor([0, 0, 1, 2])
    found = outputs([1.0, 2.0, INF], [INF, INF, INF], [INF, 4.0, INF], [1.5, INF, 1.6])
    meter.add(found, labels)
    result = meter.result(lambda value: value, lambda value: value)
    assert result.values["accuracy"] == 0.5 and result.values["undecided"] == 0.25
    assert result.values["accuracy_of_each_step"] == [0.5]
    assert result.values["confusion"] == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert result.values["mean_time"] == pytest.approx((1.0 + 4.0 + 1.5) / 3)
    assert "mean_step" not in result.values
    capped = readout().answer(found)
    assert result.values["loss"] == pytest.approx(float(cross_entropy(capped, labels)))
    assert result.outcomes.top_k_accuracy(3) == 0.75
    grid = result.values["accuracy_over_time"]
    assert len(grid) == 20 and grid[-1] == {"time": 4.0, "decided": 0.75, "accuracy": 0.5}
    for point in grid:
        t = point["time"]
        assert point["accuracy"] == 0.25 * ((t >= 1.0) + (t >= 4.0))
        assert point["decided"] == 0.25 * ((t >= 1.0) + (t >= 1.5) + (t >= 4.0))


def test_where_nothing_is_decided_there_is_no_time():
    task = Classification.of(3)
    task.use_readout(readout())
    meter = task.meter(1)
    meter.add(outputs([INF, INF, INF]), torch.tensor([0]))
    values = meter.result(lambda value: value, lambda value: value).values
    assert values["mean_time"] is None and values["accuracy_over_time"] == []
    assert values["accuracy"] == 0 and values["undecided"] == 1


def test_the_task_trains_it():
    task = Classification.of(3)
    task.use_readout(readout())
    labels = torch.tensor([1])
    targets = Targets(labels, labels, 1.0)
    found = outputs([1.0, 0.5, INF])
    expected = cross_entropy(torch.tensor([[-2.0, -1.0, -4.0]]), labels)
    torch.testing.assert_close(task.loss(found, targets), expected)
    assert task.tracked == ("accuracy", "mean_time", "undecided")


@pytest.mark.parametrize("key", ["tau", "loss_cap"])
@pytest.mark.parametrize("value", [0.0, -1.0, INF])
def test_options_out_of_range(key, value):
    with pytest.raises(ConfigError, match=f"{key} must be above 0"):
        create_readout("earliest", 3, 3, steps=1, scaled=True, **{key: value})


def test_it_has_no_weights():
    with pytest.raises(ConfigError, match="has 3 outputs, the layer before it 5"):
        create_readout("earliest", 5, 3, steps=1, scaled=True)
