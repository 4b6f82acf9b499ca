"""A contestant that is built in a test."""

import sys
import types

import pytest

from asnn.benchmarks.baselines import BASELINES, Baseline


@pytest.fixture
def enter(monkeypatch):
    """Let `make(case, matched=...)` take part under a name."""

    def enter(name: str, make, **options) -> Baseline:
        module = types.ModuleType("contestant_of_a_test")
        module.make = make  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "contestant_of_a_test", module)
        contestant = Baseline(name, "of a test", "contestant_of_a_test:make", **options)
        monkeypatch.setitem(BASELINES, name, contestant)
        return contestant

    return enter
