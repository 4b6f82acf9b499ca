"""Small cases of the benchmarks."""

import pytest

from asnn.benchmarks.baselines import BASELINES
from asnn.benchmarks.case import Case

SMALL = Case(in_shape=(2, 8, 8), classes=5, steps=3, batch=3)
CASES = [
    SMALL,
    Case(in_shape=(1, 8, 6), classes=5, coding="hybrid", steps=3, batch=2),
    Case(in_shape=(1, 8, 8), classes=5, coding="rate", steps=2, batch=2),
    Case(model="lenet-16-32", in_shape=(1, 8, 8), classes=5, steps=2, batch=2),
    Case(in_shape=(1, 8, 8), classes=5, coding="impulse", steps=3, batch=2),
    Case(model="mlp", in_shape=(1, 4, 4), classes=3, coding="hybrid", steps=4, batch=2),
]
CONNECTED = [  # networks that are not sequential
    Case("ms-resnet18-16", (2, 8, 8), 5, "direct", 3, 2),
    Case("ms-resnet18-16", (1, 9, 8), 5, "hybrid", 2, 2),
    Case("spikformer", (2, 8, 8), 5, "direct", 3, 2),
    Case("spikformer", (1, 9, 6), 5, "hybrid", 2, 2),
]
BUILDERS = (
    "asnn", "asnn-reference", "asnn-dsr", "relu", "spikingjelly", "spikingjelly-compiled",
    "asnn-integrate", "asnn-integrate-reference", "asnn-burst", "asnn-burst-reference",
    "asnn-once", "asnn-once-reference",
)  # fmt: skip


def baseline_of(name):
    baseline = BASELINES[name]
    if baseline.package:
        pytest.importorskip(baseline.package)
    return baseline
