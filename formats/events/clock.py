"""The time of words in a stream that states the high part of a clock now and then."""

from __future__ import annotations

import numpy as np


def unwrap(values: np.ndarray, period: int) -> np.ndarray:
    """Return a counter without its wraps, int64.

    A clock may step back a little, also across a wrap: a step is back if it is at most 1/16 of the
    period, and else goes on.

        u[0] = v[0],  u[i] - u[i - 1] = (v[i] - v[i - 1] + period/16) mod period - period/16

    >>> unwrap(np.array([4094, 4095, 0, 4095]), 4096)
    array([4094, 4095, 4096, 4095])
    """
    values = values.astype(np.int64)
    if len(values) > 1:
        steps = (np.diff(values) + period // 16) % period - period // 16
        np.cumsum(steps, out=steps)
        values[1:] = values[0] + steps
    return values


def latest(is_update: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return for each word of the mask `at` the index of the update before it, -1 where none."""
    return np.cumsum(is_update, dtype=np.int32)[at] - 1
