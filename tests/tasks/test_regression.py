"""Real values, against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from asnn.coding import create_coding
from asnn.coding.samples import SampleSpec
from asnn.core import ConfigError, DataError
from asnn.datasets import Split
from asnn.datasets.base import DataSet
from asnn.datasets.transforms.mixing import Targets
from asnn.tasks import create_task

N, T = 11, 5


def bound(targets, **options):
    task, code = create_task("regression", **options), create_coding("given", steps=T)
    spec = SampleSpec("series", (2,), steps=T)
    code.bind(spec)
    split = Split(torch.zeros(len(targets), T, 2), targets)
    task.bind(DataSet("d", split, split, split, [], 255.0, "", spec), code)
    return task


def one(value):
    return value


def measured(task, outputs, targets):
    meter = task.meter(T)
    for part in (slice(0, 4), slice(4, N)):
        meter.add(outputs[:, part], targets[part])
    return meter.result(one, one).values


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("at", ["end", "steps"])
def test_metrics_equal_those_of_scikit_learn(at, outputs):
    shape = (N,) if at == "end" else (N, T)
    y = random(*shape, outputs, seed=1)
    y = y.squeeze(-1) if outputs == 1 else y
    task = bound(y, at=at)
    assert task.outputs == outputs
    found = random(T, N, outputs)
    answer = found.mean(0) if at == "end" else found.transpose(0, 1)
    true, guess = y.reshape(-1, outputs).numpy(), answer.reshape(-1, outputs).numpy()
    values = measured(task, found, y)
    assert values["mse"] == pytest.approx(mean_squared_error(true, guess), rel=1e-5)
    assert values["mae"] == pytest.approx(mean_absolute_error(true, guess), rel=1e-5)
    assert values["r2"] == pytest.approx(r2_score(true, guess), rel=1e-5)
    assert values["loss"] == pytest.approx(values["mse"], rel=1e-6)
    targets = Targets(y, y, 1.0)
    assert float(task.loss(found, targets)) == pytest.approx(values["mse"], rel=1e-5)
    assert task.score(found, targets) / N == pytest.approx(values["mse"], rel=1e-5)


def test_values_that_are_not_known_count_nowhere():
    y, found = random(N, T, seed=1), random(T, N, 1)
    hole = torch.rand(N, T, generator=torch.Generator().manual_seed(2)) < 0.4
    y[hole] = float("nan")
    task = bound(y, at="steps")
    values = measured(task, found, y)
    known = ~hole.numpy()
    guess = found[..., 0].T.numpy()
    assert values["mse"] == pytest.approx(mean_squared_error(y.numpy()[known], guess[known]), 1e-5)
    outputs = found.clone().requires_grad_()
    task.loss(outputs, Targets(y, y, 1.0)).backward()
    assert outputs.grad.isfinite().all()
    assert bool((outputs.grad[..., 0].T[hole] == 0).all())


def test_constant_targets_have_no_r2():
    y = torch.full((N,), 3.0)
    assert measured(bound(y), random(T, N, 1), y)["r2"] is None


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_losses(loss):
    y, found = random(N, seed=1), 3 * random(T, N, 1)
    error = (found.mean(0)[:, 0] - y).numpy()
    small = np.abs(error) <= 1
    expected = np.abs(error)
    if loss == "huber":
        expected = np.where(small, error**2 / 2, np.abs(error) - 0.5)
        assert not small.all()
    task = bound(y, loss=loss)
    assert float(task.loss(found, Targets(y, y, 1.0))) == pytest.approx(expected.mean(), rel=1e-5)
    assert measured(task, found, y)["loss"] == pytest.approx(expected.mean(), rel=1e-5)


def test_the_smaller_error_is_better():
    metric = create_task("regression").primary
    assert metric.rank(0.1) > metric.rank(0.2)
    assert metric.text(0.12345) == "0.1235"


def test_refusals():
    with pytest.raises(ConfigError, match="unknown at 'middle'"):
        create_task("regression", at="middle")
    with pytest.raises(DataError, match="targets of d have the shape") as refused:
        bound(random(N), at="steps")
    assert refused.value.remedy == "set task.at=end"
    with pytest.raises(DataError, match="the task regression needs real values"):
        bound(torch.zeros(N, dtype=torch.int64))
    with pytest.raises(ConfigError, match="unknown task 'regresion'") as unknown:
        create_task("regresion")
    assert "regression" in unknown.value.remedy


def test_an_evaluation_takes_what_the_readout_decides():
    from asnn.models.readouts import create_readout

    task = create_task("regression")
    task.outputs = 1
    options = {"quantity": "potential", "level": 0.5}
    task.use_readout(create_readout("first-crossing", 2, 1, steps=3, scaled=False, **options))
    outputs = torch.tensor([1.0, 5.0, 9.0]).view(3, 1, 1)
    meter = task.meter(3)
    meter.add(outputs, torch.tensor([1.0]))
    found = meter.result(lambda x: x, lambda x: x).values
    assert found["mse"] == 0.0  # the first step crosses, with 1
    last = create_task("regression")
    last.outputs = 1
    last.use_readout(create_readout("last", 2, 1, steps=3, scaled=False))
    meter = last.meter(3)
    meter.add(outputs, torch.tensor([1.0]))
    assert meter.result(lambda x: x, lambda x: x).values["mse"] == 64.0
