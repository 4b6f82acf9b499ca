"""How a call is timed: interleaved rounds, medians, and ratios within a round.

A shared machine changes its speed from second to second, by more than the differences that we are
after. Timing one contestant after another would charge such a change to one of them. Therefore:

- Each contestant is warmed up first; its first call is timed apart, since it may compile code.
- Then come rounds. In each, every contestant is visited once, in an order that is shuffled anew
  (from a fixed seed), so that nobody always follows the same neighbour. A visit makes one call
  untimed, which brings caches and thread pools back from the neighbour, then `repeats` calls in
  one stretch; its result is their mean. `repeats` fills `VISIT_SECONDS`, since a single call of a
  millisecond says little.
- What is told is the median over rounds and the quartiles. A ratio is taken within each round,
  from calls made within seconds of each other, and then summarised the same way: it is steadier
  than a ratio of medians, and its quartiles are its own.
- A round in which others took more than `MOST_DISTURBANCE` of the processors is made again, as
  far as the system tells it (Linux: /proc/stat) and up to twice the rounds asked for. If that does
  not give enough quiet rounds, all rounds count and the result says so.
- The garbage collector does not run while the clock does.

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
MOST_REPEATS = 100
MOST_DISTURBANCE = 0.05
TICKS = 0.03  # s; the system counts in ticks of 10 ms
STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise one value or more."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)


@dataclass(frozen=True)
class WarmUp:
    """What the first calls took, in seconds.

    Attributes:
        first: the first call of all.
        steady: the fastest of the calls after it.
    """

    first: float
    steady: float


@dataclass(frozen=True)
class Rounds:
    """What the rounds gave.

    Attributes:
        seconds: of one call, by contestant and round.
        made: number of rounds made.
        quiet: number of rounds that nobody disturbed, or None where the system does not tell.
    """

    seconds: dict[str, list[float]]
    made: int
    quiet: int | None

    def spread(self, name: str) -> Spread:
        """Return the time of one call, in seconds."""
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, base: str) -> Spread:
        """Return how many times longer `name` takes than `base`."""
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        return Spread.of([mine / other for mine, other in pairs])


def warm_up(call: Call, calls: int = 2) -> WarmUp:
    """Make the first call and `calls` further ones."""
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
    """Time calls that are warm, against each other.

    Args:
        calls: what to call, by name.
        warm: what `warm_up` returned for each.
        rounds: how many rounds to make; disturbed ones are made again.
        seed: of the order within each round.
        visit: seconds that a visit should last at least, as far as `MOST_REPEATS` reaches.
    """
    repeats = {
        name: min(max(round(visit / max(warm[name].steady, 1e-9)), 1), MOST_REPEATS)
        for name in calls
    }
    order = list(calls)
    shuffled = random.Random(seed)
    made: list[tuple[dict[str, float], bool | None]] = []
    while len(made) < 2 * rounds:
        shuffled.shuffle(order)
        gc.collect()
        watch = Disturbance()
        made.append(
            ({name: _visit(calls[name], repeats[name]) for name in order}, watch.was_quiet())
        )
        if sum(quiet is not False for _, quiet in made) == rounds:
            break
    kept = [seconds for seconds, quiet in made if quiet is not False]
    if len(kept) < rounds:
        kept = [seconds for seconds, _ in made]
    told = made[0][1] is not None
    return Rounds(
        {name: [seconds[name] for seconds in kept] for name in calls},
        len(made),
        sum(bool(quiet) for _, quiet in made) if told else None,
    )


def _visit(call: Call, repeats: int) -> float:
    call()
    return _seconds(call, repeats)


def _seconds(call: Call, repeats: int) -> float:
    """Return the mean time of `repeats` calls in one stretch, without the garbage collector."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        begin = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - begin) / repeats
    finally:
        if collecting:
            gc.enable()


class Disturbance:
    """What other processes, and other guests of the machine, compute from now on."""

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.all = _busy_seconds()
        self.own = time.process_time()

    def was_quiet(self) -> bool | None:
        """Return whether they took little, or None where the system does not tell."""
        now = _busy_seconds()
        if self.all is None or now is None:
            return None
        others = (now - self.all) - (time.process_time() - self.own)
        processors = (time.perf_counter() - self.begin) * (os.cpu_count() or 1)
        return others <= max(MOST_DISTURBANCE * processors, TICKS)


def _busy_seconds() -> float | None:
    """Return how long all processors have computed, for anyone, since the machine started."""
    try:
        fields = [int(text) for text in STAT.read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _idle, _waiting, irq, softirq, steal = fields
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
