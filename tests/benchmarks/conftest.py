"""A contestant that is built in a test."""

import sys
import types

import pytest

from asnn.benchmarks.baselines import CONTESTANTS, Contestant


@pytest.fixture
def enter(monkeypatch):
    """Let `make(case, matched=...)` take part under a name."""

    def enter(name: str, make, **options) -> Contestant:
        module = types.ModuleType("contestant_of_a_test")
        module.make = make  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "contestant_of_a_test", module)
        contestant = Contestant(name, "of a test", "contestant_of_a_test:make", **options)
        monkeypatch.setitem(CONTESTANTS, name, contestant)
        return contestant

    return enter
