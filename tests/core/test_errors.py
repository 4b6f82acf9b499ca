"""Checks whose faults are reported together."""

import pytest

from asnn.core.errors import ConfigError, DataError, check_all


def fault(what, **more):
    def check():
        raise ConfigError(what, **more)

    return check


def test_one_fault_is_itself_and_several_are_listed():
    check_all(lambda: None, lambda: 5)
    one = fault("one", why="because", remedy="set a=1")
    with pytest.raises(ConfigError) as caught:
        check_all(lambda: None, one)
    assert (caught.value.what, caught.value.why) == ("one", "because")
    with pytest.raises(ConfigError) as caught:
        check_all(one, lambda: None, fault("two"))
    assert caught.value.what == "2 settings cannot be combined"
    assert caught.value.why == "one: because (set a=1)\ntwo"


def test_other_errors_end_at_once():
    def missing():
        raise DataError("no such run")

    with pytest.raises(DataError, match="no such run"):
        check_all(fault("one"), missing, fault("two"))
