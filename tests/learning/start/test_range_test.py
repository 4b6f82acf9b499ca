"""The learning rate range test: its steps, its rule, its end, and that nothing is written."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.learning import check_recipe
from asnn.learning.start.range_test import range_test, suggest
from asnn.learning.training import prepare, training_batches
from asnn.records.layout import Run

SMALL = {
    "data": {"limit": 100},
    "coding": {"name": "temporal", "steps": 3},
    "model": {"name": "mlp", "features": [6]},
    "train": {"batch_size": 40, "optimizer": "sgd", "momentum": 0.0, "device": "cpu",
              "checkpoint_steps": 1},
}  # fmt: skip


def prepared(tmp_path, **train):
    document = {**SMALL, "train": {**SMALL["train"], **train}}
    return prepare(check_recipe(document), Run(tmp_path / "run"))


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=30))
def test_the_suggestion_is_a_tenth_of_the_rate_of_the_least_loss(smoothed):
    rates = [10.0 ** (i / 3 - 5) for i in range(len(smoothed))]
    found, why = suggest(rates, smoothed)
    first_of_least = smoothed.index(min(smoothed))
    if first_of_least:
        assert (found, why) == (rates[first_of_least] / 10, "")
    else:
        assert (found, why) == (None, "the loss never falls below that of the lowest rate")


@pytest.mark.slow
def test_the_steps_are_those_of_a_loop_written_out(tmp_path):
    """Two batches of 40 and one of 20 in an epoch; the rate rises by the same factor each step."""
    found = range_test(prepared(tmp_path), lowest=1e-4, highest=1.0, steps=20)
    mine = prepared(tmp_path)
    optimizer = torch.optim.SGD(mine.model.parameters(), 1.0, fused=True)
    mine.model.train()
    losses, step = [], 0
    while step < len(found.losses):
        for x, targets in training_batches(mine):
            if step == len(found.losses):
                break
            rate = 1e-4 * (1.0 / 1e-4) ** (step / 19)
            assert found.rates[step] == pytest.approx(rate)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(mine.model.mean_logits(x), targets.first)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
        mine.progress.epoch += 1
    assert len(losses) > 3
    assert found.losses == pytest.approx(losses, rel=1e-4)
    for i, smoothed in enumerate(found.smoothed):  # one to either side: 20 steps / 20
        around = found.losses[max(i - 1, 0) : i + 2]
        assert smoothed == pytest.approx(sum(around) / len(around))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_batches_of_a_step_are_one_loss(tmp_path):
    """With accumulation, the first steps, whose rate is too small to matter, see the same data."""
    options = {"lowest": 1e-12, "highest": 1e-11, "steps": 20}
    whole = range_test(prepared(tmp_path, batch_size=100), **options)
    parts = range_test(prepared(tmp_path, batch_size=25, accumulate=4), **options)
    # Each epoch is one step; batch norm sees other batches.
    assert len(parts.losses) == len(whole.losses) == 20
    assert parts.losses[0] == pytest.approx(whole.losses[0], rel=0.1)


@pytest.mark.slow
def test_it_ends_where_the_loss_diverges(tmp_path):
    found = range_test(prepared(tmp_path), lowest=1e-3, highest=1e6, steps=60)
    assert len(found.losses) < 60 and len(found.rates) == len(found.smoothed) == len(found.losses)
    assert all(map(math.isfinite, found.smoothed))
    assert found.suggested is not None and found.suggested < found.rates[-1]


@pytest.mark.parametrize(
    ("options", "train", "message"),
    [
        ({"lowest": 1.0, "highest": 0.1}, {}, "the rates go from 1 to 0.1: give 0 < lowest"),
        ({"lowest": 0.0}, {}, "the rates go from 0 to 1"),
        ({"highest": math.inf}, {}, "the rates go from 1e-06 to inf"),
        ({"steps": 19}, {}, "a range test needs 20 steps or more, not 19"),
        ({}, {"init": "ann"}, "does not train the ANN counterpart that the recipe begins with"),
    ],
)
def test_refusals(tmp_path, options, train, message):
    with pytest.raises(ConfigError, match=message):
        range_test(prepared(tmp_path, **train), **options)
