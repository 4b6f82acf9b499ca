"""Measuring: who takes part in a case, what each does, and what it costs."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..core.errors import AsnnError
from ..learning.device import processor
from ..measure.timing import VISIT_SECONDS, Call, Rounds, Spread, WarmUp, interleave, warm_up
from .baselines import BASELINES, Network, build, unavailable
from .baselines.base import package_version
from .case import Case
from .equal_work import examine
from .memory import footprint
from .work import What, create_call

PACKAGES = ("asnn", "torch", "numpy", "numba", "spikingjelly", "snntorch", "norse")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One case to measure.

    Attributes:
        case: the network.
        names: who takes part.
        what: `train`, `inference`, or both.
        memory: whose peak memory and first call are measured.
    """

    case: Case
    names: tuple[str, ...]
    what: tuple[What, ...]
    memory: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimingOptions:
    """How it is measured.

    Attributes:
        rounds: interleaved rounds for each case and call.
        threads: of torch.
        base: whom the others are compared with.
        seed: of the order within a round.
        visit: seconds that one visit of a contestant should last at least.
    """

    rounds: int = 7
    threads: int = 1
    base: str = "asnn"
    seed: int = 0
    visit: float = VISIT_SECONDS


def run_job(job: Job, manner: TimingOptions, progress: Progress) -> dict[str, Any]:
    """Measure one case.

    Returns:
        What JSON holds: `case`; `contestants`, each with `what`, `work`, and as far as measured
        `train`, `inference` and `memory`; `not_measured`, each with its reason.
    """
    result: dict[str, Any] = {"case": job.case.as_dict(), "contestants": {}, "not_measured": []}

    def not_measured(name: str, part: str, why: str) -> None:
        result["not_measured"].append({"contestant": name, "part": part, "why": why})

    with threads(manner.threads):
        networks: dict[str, Network] = {}
        progress(f"{job.case}: comparing the work of {len(job.names)}")
        for name in job.names:
            contestant = BASELINES[name]
            reason = unavailable(contestant, job.case)
            if reason:
                not_measured(name, "all", reason)
                continue
            try:
                network = build(contestant, job.case)
                work = examine(contestant, network, job.case)
            except Exception as error:
                if contestant.ours:
                    raise
                not_measured(name, "all", _first_line(error))
                continue
            if work.faults:
                not_measured(name, "all", f"it does not do equal work: {'; '.join(work.faults)}")
                result["unequal_work"] = True
                continue
            networks[name] = network
            result["contestants"][name] = {"what": contestant.what, "work": asdict(work)}
        for what in job.what:
            _time(job.case, what, networks, manner, result, not_measured, progress)
        networks.clear()
        for name in job.memory:
            if name in result["contestants"]:
                progress(f"{job.case}: memory and first call of {name}")
                try:
                    found = footprint(BASELINES[name], job.case, threads=manner.threads)
                except AsnnError as error:
                    not_measured(name, "memory", str(error))
                    continue
                result["contestants"][name]["memory"] = asdict(found)
    return result


def _time(
    case: Case,
    what: What,
    networks: dict[str, Network],
    manner: TimingOptions,
    result: dict[str, Any],
    not_measured: Callable[[str, str, str], None],
    progress: Progress,
) -> None:
    """Time one call of every network, and add it to the result."""
    calls: dict[str, Call] = {}
    warm: dict[str, WarmUp] = {}
    for name, network in networks.items():
        if BASELINES[name].slow_start:
            progress(f"{case}: {what}, {name} compiles for a minute or so")
        call = create_call(what, network, case)
        try:
            warm[name] = warm_up(call)
        except Exception as error:
            # A peer may refuse a shape, or want a compiler that is not here; ours may not.
            if BASELINES[name].ours and not _too_few(error):
                raise
            not_measured(name, what, _first_line(error))
            continue
        calls[name] = call
    if not calls:
        return
    progress(f"{case}: {what}, {manner.rounds} rounds of {len(calls)} contestants")
    rounds = interleave(calls, warm, rounds=manner.rounds, seed=manner.seed, visit=manner.visit)
    for name in calls:
        told = _told(rounds, name, manner.base if manner.base in calls else None, case.batch)
        told["first_call_s"] = warm[name].first
        result["contestants"][name][what] = told


def _told(rounds: Rounds, name: str, base: str | None, batch: int) -> dict[str, Any]:
    spread = rounds.spread(name)
    return {
        "seconds": asdict(spread),
        "samples_per_second": batch / spread.median,
        "ratio": asdict(rounds.ratio(name, base)) if base else None,
        "rounds_s": rounds.seconds[name],
        "rounds_made": rounds.made,
        "rounds_quiet": rounds.quiet,
    }


def ratio(case: dict[str, Any], what: str, name: str, base: str) -> Spread | None:
    """Return how many times longer `name` takes than `base` in a result, or None."""
    timed = [case["contestants"].get(each, {}).get(what) for each in (name, base)]
    if None in timed:
        return None
    seconds = {each: told["rounds_s"] for each, told in zip((name, base), timed, strict=True)}
    return Rounds(seconds, 0, None).ratio(name, base)


def surroundings(names: Iterable[str]) -> dict[str, Any]:
    """Return the machine and the versions that a result depends on."""
    wanted = {BASELINES[name].package for name in names} | {"asnn", "torch", "numpy"}
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {name: package_version(name) for name in PACKAGES if name in wanted},
    }


@contextmanager
def threads(number: int):
    """Let torch compute with `number` threads, and as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _too_few(error: Exception) -> bool:
    """Return whether batch norm had a single value to train with: that is the case, not a bug."""
    return "more than 1 value per channel" in str(error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
