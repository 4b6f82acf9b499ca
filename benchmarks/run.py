"""Measurement of a case: checks of equal work, times and memory of each baseline."""

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
from .work import CallKind, create_call

PACKAGES = ("asnn", "torch", "numpy", "numba", "spikingjelly", "snntorch", "norse")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One case to measure.

    Attributes:
        case: the network, code and batch.
        names: of the baselines.
        what: `train`, `inference`, or both.
        memory: names of the baselines whose peak memory and first call are measured.
    """

    case: Case
    names: tuple[str, ...]
    what: tuple[CallKind, ...]
    memory: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimingOptions:
    """How calls are timed.

    Attributes:
        rounds: interleaved rounds for each case and call.
        threads: of torch.
        base: name of the baseline with which the others are compared.
        seed: of the order within a round.
        visit: seconds that a visit of one baseline should last at least.
    """

    rounds: int = 7
    threads: int = 1
    base: str = "asnn"
    seed: int = 0
    visit: float = VISIT_SECONDS


def run_job(job: Job, options: TimingOptions, progress: Progress) -> dict[str, Any]:
    """Measure one case.

    Returns:
        Plain values for JSON: `case`; `contestants`, the baselines, each with `what` (its
        description), `work`, and `train`, `inference` and `memory` if measured; `not_measured`
        with the reasons.
    """
    result: dict[str, Any] = {"case": job.case.as_dict(), "contestants": {}, "not_measured": []}

    def not_measured(name: str, part: str, why: str) -> None:
        result["not_measured"].append({"contestant": name, "part": part, "why": why})

    with threads(options.threads):
        networks: dict[str, Network] = {}
        progress(f"{job.case}: comparing the work of {len(job.names)}")
        for name in job.names:
            baseline = BASELINES[name]
            reason = unavailable(baseline, job.case)
            if reason:
                not_measured(name, "all", reason)
                continue
            try:
                network = build(baseline, job.case)
                work = examine(baseline, network, job.case)
            except Exception as error:
                if baseline.ours:
                    raise
                not_measured(name, "all", _first_line(error))
                continue
            if work.faults:
                not_measured(name, "all", f"it does not do equal work: {'; '.join(work.faults)}")
                result["unequal_work"] = True
                continue
            networks[name] = network
            result["contestants"][name] = {"what": baseline.description, "work": asdict(work)}
        for what in job.what:
            _time(job.case, what, networks, options, result, not_measured, progress)
        networks.clear()
        for name in job.memory:
            if name in result["contestants"]:
                progress(f"{job.case}: memory and first call of {name}")
                try:
                    found = footprint(BASELINES[name], job.case, threads=options.threads)
                except AsnnError as error:
                    not_measured(name, "memory", str(error))
                    continue
                result["contestants"][name]["memory"] = asdict(found)
    return result


def _time(
    case: Case,
    what: CallKind,
    networks: dict[str, Network],
    options: TimingOptions,
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
            # Another library may refuse a shape or need a compiler; asnn's own baselines may not.
            if BASELINES[name].ours and not _is_single_value(error):
                raise
            not_measured(name, what, _first_line(error))
            continue
        calls[name] = call
    if not calls:
        return
    progress(f"{case}: {what}, {options.rounds} rounds of {len(calls)} baselines")
    rounds = interleave(calls, warm, rounds=options.rounds, seed=options.seed, visit=options.visit)
    for name in calls:
        timing = _timing(rounds, name, options.base if options.base in calls else None, case.batch)
        timing["first_call_s"] = warm[name].first
        result["contestants"][name][what] = timing


def _timing(rounds: Rounds, name: str, base: str | None, batch: int) -> dict[str, Any]:
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
    """Return how many times longer `name` takes than `base`, or None if one was not timed."""
    timed = [case["contestants"].get(each, {}).get(what) for each in (name, base)]
    if None in timed:
        return None
    seconds = {each: timing["rounds_s"] for each, timing in zip((name, base), timed, strict=True)}
    return Rounds(seconds, 0, None).ratio(name, base)


def environment(names: Iterable[str]) -> dict[str, Any]:
    """Return the machine and the package versions of a result."""
    packages = {BASELINES[name].package for name in names} | {"asnn", "torch", "numpy"}
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {name: package_version(name) for name in PACKAGES if name in packages},
    }


@contextmanager
def threads(number: int):
    """Set the number of torch's threads, and restore it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_single_value(error: Exception) -> bool:
    """Return whether batch norm had a single value per channel: a limit of the case, not a bug."""
    return "more than 1 value per channel" in str(error)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
