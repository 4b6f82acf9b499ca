"""A baseline that is defined in a test."""

import sys
import types

import pytest

from asnn.benchmarks.baselines import BASELINES, Baseline


@pytest.fixture
def enter(monkeypatch):
    """Register `make(case, matched=...)` as a baseline."""

    def enter(name: str, make, **options) -> Baseline:
        module = types.ModuleType("baseline_of_a_test")
        module.make = make  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "baseline_of_a_test", module)
        baseline = Baseline(name, "of a test", "baseline_of_a_test:make", **options)
        monkeypatch.setitem(BASELINES, name, baseline)
        return baseline

    return enter
