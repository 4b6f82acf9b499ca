"""Processor time of several ways to compute one thing, interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def interleaved(ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, tuple[float, T]]:
    """Return the median processor time of each way in ms, and its last result.

    One way after the other is called in each round, so that what else the machine does meets all
    of them; a call before the rounds compiles what is to be compiled.
    """
    results = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.process_time()
            results[name] = way()
            seconds[name].append(time.process_time() - begin)
    return {name: (1000 * statistics.median(seconds[name]), results[name]) for name in ways}
