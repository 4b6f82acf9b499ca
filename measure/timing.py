"""Timing of calls: interleaved rounds, medians, and ratios within a round.

The speed of a shared machine changes from second to second, by more than the differences to be
measured. Timing one call after another would attribute such a change to one of them. Therefore:

- Each call is warmed up first. Its first run is timed separately, because it may compile code.
- Then come rounds. Each round visits every call once, in an order that is shuffled for each round
  (from a fixed seed), so that no call always follows the same one. A visit makes one untimed run,
  which refills caches and thread pools, then `repeats` timed runs; its result is their mean.
  `repeats` fills `VISIT_SECONDS`, since a single run of a millisecond is too noisy.
- The result is the median over rounds with its quartiles. A ratio is taken within each round, from
  runs made within seconds of each other, and summarised in the same way: it is steadier than a
  ratio of medians, and has quartiles of its own.
- A round in which other processes used more than `MAX_DISTURBANCE` of the processors is repeated,
  if the system reports it (Linux: /proc/stat), up to twice the requested number of rounds. If that
  does not give enough quiet rounds, all rounds count and `Rounds.quiet` shows it.
- The garbage collector is off during timed runs.

The clock is `time.perf_counter`; the calls are synchronous, as everything on a CPU is.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

Call = Callable[[], object]

VISIT_SECONDS = 0.25
MAX_REPEATS = 100
MAX_DISTURBANCE = 0.05
TICKS = 0.03  # seconds; /proc/stat counts in ticks of 10 ms
STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of one or more values."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)


@dataclass(frozen=True)
class WarmUp:
    """Times of the warm-up, in seconds.

    Attributes:
        first: of the first run.
        steady: of the fastest later run.
    """

    first: float
    steady: float


@dataclass(frozen=True)
class Rounds:
    """Results of interleaved rounds.

    Attributes:
        seconds: of one run, by name and round.
        made: number of rounds made.
        quiet: number of undisturbed rounds, or None if the system does not report it.
    """

    seconds: dict[str, list[float]]
    made: int
    quiet: int | None

    def spread(self, name: str) -> Spread:
        """Return the time of one run, in seconds."""
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, base: str) -> Spread:
        """Return how many times longer `name` takes than `base`."""
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        return Spread.of([numerator / denominator for numerator, denominator in pairs])


def warm_up(call: Call, calls: int = 2) -> WarmUp:
    """Run `call` once and then `calls` more times."""
    first = _seconds(call, 1)
    return WarmUp(first, min(_seconds(call, 1) for _ in range(calls)))


def interleave(
    calls: Mapping[str, Call],
    warm: Mapping[str, WarmUp],
    *,
    rounds: int,
    seed: int = 0,
    visit: float = VISIT_SECONDS,
) -> Rounds:
    """Time warmed-up calls in interleaved rounds.

    Args:
        calls: by name.
        warm: the result of `warm_up` for each.
        rounds: how many rounds to make; disturbed ones are repeated.
        seed: of the order within each round.
        visit: seconds that a visit should last at least, limited by `MAX_REPEATS`.
    """
    repeats = {
        name: min(max(round(visit / max(warm[name].steady, 1e-9)), 1), MAX_REPEATS)
        for name in calls
    }
    order = list(calls)
    shuffled = random.Random(seed)
    made: list[tuple[dict[str, float], bool | None]] = []
    while len(made) < 2 * rounds:
        shuffled.shuffle(order)
        gc.collect()
        disturbance = Disturbance()
        made.append(
            ({name: _visit(calls[name], repeats[name]) for name in order}, disturbance.was_quiet())
        )
        if sum(quiet is not False for _, quiet in made) == rounds:
            break
    kept = [seconds for seconds, quiet in made if quiet is not False]
    if len(kept) < rounds:
        kept = [seconds for seconds, _ in made]
    reported = made[0][1] is not None
    return Rounds(
        {name: [seconds[name] for seconds in kept] for name in calls},
        len(made),
        sum(bool(quiet) for _, quiet in made) if reported else None,
    )


def _visit(call: Call, repeats: int) -> float:
    call()
    return _seconds(call, repeats)


def _seconds(call: Call, repeats: int) -> float:
    """Return the mean time of `repeats` consecutive runs, with the garbage collector off."""
    gc_enabled = gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - begin) / repeats
    finally:
        if gc_enabled:
            gc.enable()


class Disturbance:
    """Processor time used by other processes, and by other guests of the machine, from now on."""

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.all = _busy_seconds()
        self.own = time.process_time()

    def was_quiet(self) -> bool | None:
        """Return whether it was small, or None if the system does not report it."""
        now = _busy_seconds()
        if self.all is None or now is None:
            return None
        others = (now - self.all) - (time.process_time() - self.own)
        processors = (time.perf_counter() - self.begin) * (os.cpu_count() or 1)
        return others <= max(MAX_DISTURBANCE * processors, TICKS)


def _busy_seconds() -> float | None:
    """Return the busy time of all processors since the machine started."""
    try:
        fields = [int(text) for text in STAT.read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _idle, _waiting, irq, softirq, steal = fields
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
