"""Names of tests, and what none of them leaves to others."""

import sys

import pytest


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument.

    The bytes of an archive hold the time, and all processes must collect the same names.
    """
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def _neurons_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `snntorch.utils.reset` reset neurons of this test alone.

    It resets all of the process, and fails on one whose constructor has failed.
    """
    module = sys.modules.get("snntorch")
    if module is not None:
        monkeypatch.setattr(module.SpikingNeuron, "instances", [])
