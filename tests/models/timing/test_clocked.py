"""Networks of many exact times on a clock."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.timing.clocked import on_clock
from asnn.models.timing.layer import timing_layers


def network(readout="earliest", *, name="timing-mlp", coding_options=None, **neuron):
    """Return a network of 36 pixels, whose code lasts 0.1."""
    torch.manual_seed(0)
    options = {"threshold": 0.25, "output_threshold": 0.3, "window": 0.2, "output_window": 0.3}
    sizes = {"features": [12]} if name == "timing-mlp" else {"widths": [4], "kernel": 3}
    return create_model(
        name,
        in_shape=(1, 6, 6),
        classes=4,
        coding="times",
        steps=1,
        coding_options={"window": 0.1, **(coding_options or {})},
        neuron="multi-spike",
        neuron_options={**options, "most": 4, **neuron},
        readout=readout,
        weight_mean=[18.0, 7.0],
        weight_std=[4.0, 1.0],
        **sizes,
    ).eval()


def images():
    return torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def mean_error(model, dt):
    """Return the mean difference of the first spikes of the first layer, and how many agree."""
    clocked, x = on_clock(model, dt), images()
    exact = timing_layers(model)["timing1"](model.coding.encode(x))[0, ..., 0].flatten(1)
    code = clocked.coding.encode(x)
    for part in clocked.body.named_children():
        code = part[1](code)
        if part[0] == "timing1":
            break
    train = code.flatten(2) > 0
    first = torch.where(train.any(0), train.int().argmax(0) * dt, float("inf"))
    both = exact.isfinite() & first.isfinite()
    assert both.sum() >= 50
    agree = (exact.isfinite() == first.isfinite()).double().mean()
    return (exact - first)[both].abs().mean().item(), agree.item()


def test_times_come_closer_with_the_step():
    model = network()
    coarse, agree = mean_error(model, 0.005)
    fine, agree_finely = mean_error(model, 0.00125)
    assert coarse < 2 * 0.005
    assert fine < coarse / 2
    assert agree > 0.9
    assert agree_finely >= agree


@pytest.mark.slow
def test_convolutions_have_a_clock():
    model = network(name="timing-conv")
    coarse, _ = mean_error(model, 0.005)
    fine, _ = mean_error(model, 0.00125)
    assert fine < coarse / 2


def test_no_neuron_fires_more_often_than_it_may_or_after_its_window():
    clocked = on_clock(network(most=2, window=0.1), 0.005)
    x = clocked.coding.encode(images())
    for name, part in clocked.body.named_children():
        x = part(x)
        if name == "timing1":
            break
    assert x.sum(0).max() == 2
    assert not x[21:].any()
    assert x[:21].any()


@pytest.mark.parametrize("readout", ["earliest", "spike-count"])
@torch.no_grad()
def test_answers_are_those_of_the_readout(readout):
    model, dt = network(readout), 0.0025
    clocked = on_clock(model, dt)
    outputs, scores = model(images())[0], clocked(images()).mean(0)
    if readout == "spike-count":
        assert (scores.round() == outputs).double().mean() > 0.9
        return
    times = -outputs * model.readout.tau
    fires = (scores > 0) & times.isfinite()
    assert fires.sum() >= 8
    on_grid = len(clocked.readout.scale) * dt - scores * model.readout.tau
    assert (on_grid - times)[fires].abs().mean() < 3 * dt


@pytest.mark.parametrize(
    ("dt", "changes", "text"),
    [
        (0.003, {}, "a step of 0.003 does not divide the window 0.1"),
        (0.00005, {}, "a step of 5e-05 makes 6,001 steps, at most 5,000 are computed"),
        (0.0, {}, "must be above 0 and finite, not 0.0"),
        (float("nan"), {}, "must be above 0 and finite, not nan"),
        (0.005, {"coding_options": {"black": "late"}}, "coding.black=late"),
    ],
)
def test_what_has_no_clock_is_refused(dt, changes, text):
    with pytest.raises(ConfigError, match=text):
        on_clock(network(**changes), dt)
