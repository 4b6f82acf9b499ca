"""Trainings with a file of figures each, so that a study goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from .one import Failed


class Work(NamedTuple):
    """One network that is trained and evaluated.

    Attributes:
        name: in what is printed.
        record: the file with its figures; the run is the folder beside it of the same name.
        measure: trains into the folder of the run, and returns the figures, `seconds` among them.
    """

    name: str
    record: Path
    measure: Callable[[Path], dict[str, Any]]


def finish(works: Iterable[Work], jobs: int) -> list[str]:
    """Do the works that have no record, `jobs` at a time; return what failed."""
    waiting = [work for work in works if not work.record.exists()]
    with ThreadPoolExecutor(jobs) as pool:
        return [line for line in pool.map(_one, waiting) if line]


def chosen(parser: argparse.ArgumentParser, text: str, known: Iterable[str]) -> set[str]:
    """Return the names of a list with commas, all known ones if it is empty."""
    names, known = {name for name in text.split(",") if name}, set(known)
    if unknown := names - known:
        parser.error(
            f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(sorted(known))}"
        )
    return names or known


def _one(work: Work) -> str | None:
    run = work.record.with_suffix("")
    run.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(run, ignore_errors=True)  # of a training that was killed: its time is not known
    try:
        found = work.measure(run)
    except Failed as error:
        return f"{work.name}: {error}"
    work.record.write_text(json.dumps(found, indent=2) + "\n")
    print(f"{work.name}: {found['seconds']:.0f} s", file=sys.stderr)
    return None
