"""Damaged files of a data set: the error for the first says how to find the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...core.errors import DataError
from ...core.text import shell

DAMAGED = ("could not decode", "could not read")


@contextmanager
def pointing_to_survey(path: str) -> Iterator[None]:
    """Add to errors for damaged files that `asnn data info` lists all of them.

    Args:
        path: of the data set.
    """
    try:
        yield
    except DataError as error:
        if error.what.startswith(DAMAGED):
            hint = f"`asnn data info {shell(path)}` lists all damaged files"
            error.remedy = f"{error.remedy}; {hint}" if error.remedy else hint
        raise
