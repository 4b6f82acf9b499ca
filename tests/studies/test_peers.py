"""What the studies beside other packages do without them."""

import time

import numpy as np
import pytest
import torch

from studies.peers import exact_times
from studies.peers.timing import interleaved


def test_ways_take_turns_and_their_median_is_that_of_the_rounds(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    costs = {"one": [9.0, 1.0, 3.0, 2.0], "two": [9.0, 4.0, 4.0, 40.0]}  # the first one compiles

    def way(name):
        def run():
            calls.append(name)
            clock[0] += costs[name].pop(0)
            return f"{name}{len(calls)}"

        return run

    found = interleaved({"one": way("one"), "two": way("two")}, rounds=3)
    assert calls == ["one", "two"] * 4
    assert found == {"one": (2000.0, "one7"), "two": (4000.0, "two8")}


def test_differences_of_times_and_gradients():
    inf = np.inf
    mine = exact_times.Pass(np.array([[1.0, inf, 2.0]]), np.array([[1.0, -4.0]]), None)
    theirs = exact_times.Pass(np.array([[1.5, 3.0, 2.0]]), np.array([[1.0, -2.0]]), None)
    assert exact_times.difference(mine, mine) == ("0e+00", "0e+00")
    assert exact_times.difference(mine, theirs) == ("5e-01, 1 fire elsewhere", "5e-01")


@pytest.mark.slow
def test_the_layer_fires_while_inputs_arrive():
    times, weight = exact_times.layer(2, 40, 8)
    found = exact_times.own(times, weight)
    fired = np.isfinite(found.times)
    assert fired.mean() > 0.5 and (found.times[fired] > 0).all()
    assert found.of_weight.shape == (8, 40) and found.of_times.shape == (2, 40)
    # A time moves earlier with a weight of an input before it.
    assert (found.of_weight[np.abs(found.of_weight) > 0] < 0).all()
    assert torch.equal(times, exact_times.layer(2, 40, 8)[0])
