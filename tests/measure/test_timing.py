"""Timing with a clock that the test controls."""

import gc
from types import SimpleNamespace

import pytest

from asnn.measure import timing
from asnn.measure.timing import Disturbance, Rounds, Spread, WarmUp, interleave, warm_up


class Clock:
    """A clock that advances only by the calls."""

    def __init__(self):
        self.now = 0.0
        self.calls = []
        self.collecting = []

    def takes(self, name, seconds):
        def call():
            self.now += next(seconds) if hasattr(seconds, "__next__") else seconds
            self.calls.append(name)
            self.collecting.append(gc.isenabled())

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    fake = SimpleNamespace(perf_counter=lambda: clock.now, process_time=lambda: 0.0)
    monkeypatch.setattr(timing, "time", fake)
    monkeypatch.setattr(timing, "_busy_seconds", lambda: None)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # 0.3 s each with all of torch loaded
    return clock


def test_quartiles():
    assert Spread.of([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(3, 2, 4)
    assert Spread.of([7.0]) == Spread(7, 7, 7)


def test_warm_up_separates_the_first_call(clock):
    seconds = iter([9.0, 2.0, 1.0])
    assert warm_up(clock.takes("a", seconds)) == WarmUp(first=9, steady=1)


def test_medians_and_ratios(clock):
    calls = {"a": clock.takes("a", 1.0), "b": clock.takes("b", 3.0)}
    warm = {name: WarmUp(0, 1) for name in calls}
    found = interleave(calls, warm, rounds=5, visit=0)
    assert found.spread("a") == Spread(1, 1, 1)
    assert found.ratio("b", "a") == Spread(3, 3, 3)
    assert (found.made, found.quiet) == (5, None)


def test_a_ratio_is_taken_within_each_round():
    """A slow round changes the ratio of medians, but not the ratio within rounds."""
    found = Rounds({"a": [1.0, 10.0, 1.0], "b": [2.0, 20.0, 20.0]}, 3, None)
    assert found.ratio("b", "a").median == 2
    assert found.spread("b").median / found.spread("a").median == 20


def test_each_round_visits_every_call_once_in_a_shuffled_order(clock):
    calls = {name: clock.takes(name, 1.0) for name in "abcd"}
    warm = {name: WarmUp(0, 1) for name in calls}
    interleave(calls, warm, rounds=6, visit=0, seed=3)
    visits = clock.calls[::2]  # one untimed run, one timed run
    rounds = [visits[i : i + 4] for i in range(0, 24, 4)]
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert len({tuple(order) for order in rounds}) > 2
    before, clock.calls = clock.calls, []
    interleave(calls, warm, rounds=6, visit=0, seed=3)
    assert clock.calls == before


def test_short_calls_are_repeated_and_the_first_of_a_visit_is_not_timed(clock):
    def seconds():
        while True:
            yield 100.0  # cold caches
            for _ in range(5):
                yield 0.1

    calls = {"a": clock.takes("a", seconds())}
    found = interleave(calls, {"a": WarmUp(0, 0.1)}, rounds=2, visit=0.5)
    assert found.seconds["a"] == pytest.approx([0.1, 0.1])
    assert len(clock.calls) == 2 * (1 + 5)


def test_garbage_collector_is_off_while_timing(clock):
    interleave({"a": clock.takes("a", 1.0)}, {"a": WarmUp(0, 1)}, rounds=1, visit=0)
    assert clock.collecting == [True, False]
    assert gc.isenabled()


def test_garbage_collector_is_on_again_after_a_failure(clock):
    def fails():
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        warm_up(fails)
    assert gc.isenabled()


def test_disturbed_rounds_are_repeated(clock, monkeypatch):
    verdicts = iter([True, False, True, False, True])
    monkeypatch.setattr(Disturbance, "was_quiet", lambda self: next(verdicts))
    seconds = iter([0, 1.0, 0, 50.0, 0, 2.0, 0, 50.0, 0, 3.0])
    calls = {"a": clock.takes("a", seconds)}
    found = interleave(calls, {"a": WarmUp(0, 1)}, rounds=3, visit=0)
    assert found.seconds["a"] == [1, 2, 3]
    assert (found.made, found.quiet) == (5, 3)


def test_all_rounds_count_if_none_is_quiet(clock, monkeypatch):
    monkeypatch.setattr(Disturbance, "was_quiet", lambda self: False)
    found = interleave({"a": clock.takes("a", 1.0)}, {"a": WarmUp(0, 1)}, rounds=3, visit=0)
    assert len(found.seconds["a"]) == found.made == 6
    assert found.quiet == 0


@pytest.mark.parametrize(("others", "quiet"), [(0.0, True), (0.3, True), (3.0, False)])
def test_disturbance(clock, monkeypatch, others, quiet):
    """Ten seconds on two processors, twelve seconds of them used by this process."""
    busy, own = iter([100.0, 112.0 + others]), iter([5.0, 17.0])
    monkeypatch.setattr(timing, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(timing.time, "process_time", lambda: next(own))
    monkeypatch.setattr(timing.os, "cpu_count", lambda: 2)
    disturbance = Disturbance()
    clock.now += 10
    assert disturbance.was_quiet() is quiet


def test_busy_seconds_are_read_from_proc_stat(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 200 300 9999 9999 10 20 30 5 5\ncpu0 1 2 3\n")
    monkeypatch.setattr(timing, "STAT", stat)
    monkeypatch.setattr(timing.os, "sysconf", lambda name: 100)
    # without idle and iowait; guest time is part of user time
    assert timing._busy_seconds() == pytest.approx((100 + 200 + 300 + 10 + 20 + 30) / 100)
    monkeypatch.setattr(timing, "STAT", tmp_path / "none")
    assert timing._busy_seconds() is None
    assert Disturbance().was_quiet() is None
