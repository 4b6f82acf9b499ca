"""The van Rossum loss against scipy, a closed form, and what refuses it."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from asnn.core import ConfigError
from asnn.datasets.transforms.mixing import Targets
from asnn.learning import check_recipe
from asnn.models.readouts import create_readout
from asnn.tasks import create_task
from asnn.tasks.classification import Classification
from asnn.tasks.losses import Loss
from asnn.tasks.van_rossum import van_rossum_errors

T, B, K = 12, 5, 3
P, Q = math.exp(-1 / 4), math.exp(-1)
RISE_AND_FALL = [P - Q], [1.0, -(P + Q), P * Q]


def trains(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(T, B, K, generator=generator) < 0.4).double()


def both(targets):
    return Targets(targets, targets, 1.0)


def test_the_mean_square_of_both_trains_behind_scipys_filter():
    outputs, target = trains(), trains(1)
    filtered = [lfilter(*RISE_AND_FALL, each.numpy(), axis=0) for each in (outputs, target)]
    expected = (filtered[0] - filtered[1]) ** 2
    np.testing.assert_allclose(van_rossum_errors(outputs, target), expected, atol=1e-12)
    # Negative controls: trains as they are, and one of them a step late.
    plain, late = (outputs - target) ** 2, van_rossum_errors(outputs, target.roll(1, 0))
    assert not np.allclose(plain, expected) and not np.allclose(late, expected)


@pytest.mark.parametrize("delay", [0, 1, 3, 10])
def test_two_single_spikes_have_van_rossums_distance(delay):
    """Σ_t (h_t - h_{t-d})² = 2 (C_0 - C_d), C_d = Σ_n h_n h_{n+d}, h_n = p^{n+1} - q^{n+1}."""
    steps = 200
    one, other = torch.zeros(2, steps, 1, 1, dtype=torch.float64)
    one[2], other[2 + delay] = 1, 1

    def correlation(d):
        slow, fast = P**2 / (1 - P**2), Q**2 / (1 - Q**2)
        return P**d * slow + Q**d * fast - (P**d + Q**d) * P * Q / (1 - P * Q)

    found = float(van_rossum_errors(one, other).sum())
    assert found == pytest.approx(2 * (correlation(0) - correlation(delay)), rel=1e-10, abs=1e-12)
    # The negative control: without the filter the distance of two spikes is 2 for any delay.
    assert delay == 0 or abs(found - 2) > 0.1


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_of_classes(smoothing):
    """The class of the target is to fire at every step."""
    outputs, y = trains(), torch.tensor([0, 2, 1, 1, 0])
    target = torch.full((T, B, K), smoothing / K, dtype=torch.float64)
    target[:, torch.arange(B), y] += 1 - smoothing
    expected = float(van_rossum_errors(outputs, target).mean())
    found = Loss("van-rossum", smoothing)(outputs, both(y))
    assert float(found) == pytest.approx(expected, rel=1e-5)
    weights = torch.tensor([1.0, 0.0, 2.0])
    weighed = Loss("van-rossum", smoothing, class_weights=weights)(outputs, both(y))
    by_sample = van_rossum_errors(outputs, target).mean((0, 2))
    assert float(weighed) == pytest.approx(float((weights[y] * by_sample).mean()), rel=1e-5)


def regression():
    task = create_task("regression", at="steps", loss="van-rossum")
    task.outputs = K
    return task


def test_of_trains_of_spikes_as_targets():
    task, outputs, target = regression(), trains(), trains(1).transpose(0, 1)
    expected = float(van_rossum_errors(outputs, target.transpose(0, 1)).mean())
    assert float(task.loss(outputs, both(target))) == pytest.approx(expected, rel=1e-5)
    meter = task.meter(T)
    meter.add(outputs, target)
    found = meter.result(lambda t: t, lambda t: t).values
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["mse"] == pytest.approx(float((outputs - trains(1)).square().mean()))
    # What is not known is no error.
    unknown = target.clone()
    unknown[:, :, 1] = math.nan
    errors = van_rossum_errors(outputs, trains(1))[:, :, [0, 2]]
    assert float(task.loss(outputs, both(unknown))) == pytest.approx(float(errors.mean()), rel=1e-5)


def test_readouts_that_send_values_are_refused():
    spikes, mean = (create_readout(n, 4, K, steps=T, scaled=False) for n in ("spikes", "mean"))
    for task, key in ((Classification.of(K), "train.loss"), (regression(), "task.loss")):
        if key == "train.loss":
            task.use_loss(Loss("van-rossum"))
        task.use_readout(spikes)
        with pytest.raises(ConfigError) as caught:
            task.use_readout(mean)
        assert str(caught.value) == (
            "the loss van-rossum needs a readout whose outputs are spikes: it compares spike trains"
        )
        assert caught.value.remedy == f"set readout.name=spikes, or another {key}"
    with pytest.raises(ConfigError, match="the targets are values at the end"):
        create_task("regression", loss="van-rossum")


def test_in_a_recipe():
    tables = {"train": {"loss": "van-rossum"}, "readout": {"name": "spikes"}}
    assert check_recipe(tables).train.loss == "van-rossum"
    with pytest.raises(ConfigError) as caught:
        check_recipe({"train": {"loss": "van-rossum"}})
    assert "train.loss: the loss van-rossum needs a readout whose outputs" in caught.value.why
