"""Versions, machine, data and other inputs of a training; whether a resumed one has the same."""

from __future__ import annotations

import warnings
from typing import Any

from ..core.documents import read_json
from ..core.errors import DataError
from ..core.reading import read_regular, why_unreadable
from ..datasets import DataSet
from ..records.layout import FORMAT
from .device import versions_and_machine
from .training import Training


def environment(training: Training) -> dict[str, Any]:
    """Return the content of `environment.json`."""
    return {
        "format": FORMAT,
        **versions_and_machine(training.device),
        "processes": training.processes.count,
        **inputs(training),
    }


def inputs(training: Training) -> dict[str, Any]:
    """Return the fingerprints of the data and of what the method and the start read."""
    found = {"data": _describe(training.data), **training.method.fingerprints()}
    return found if training.start is None else {**found, "start": training.start}


def require_same_inputs(training: Training, former: dict[str, Any]) -> None:
    """Refuse to resume with other data, or if the method reads another file, such as a teacher.

    Args:
        training: the resumed training.
        former: a document with the former `inputs`.

    Raises:
        DataError: something has changed.
    """
    run, now = training.run, inputs(training)
    if former.get("data") != now["data"]:
        raise DataError(
            f"the data are not those that {run.path} began with",
            why=f"then {former.get('data')}, now {now['data']}",
            remedy="restore the data, or train anew without --resume",
        )
    for name, fingerprint in training.method.fingerprints().items():
        if former.get(name) != fingerprint:
            raise DataError(
                f"the {name} is not the one that {run.path} began with",
                why="its weights have changed",
                remedy=f"restore the run of the {name}, or train anew without --resume",
            )


def warn_if_environment_changed(training: Training) -> None:
    """Warn if versions or machine have changed, so that the weights may differ in some bits.

    Raises:
        DataError: the data or other inputs have changed, or `environment.json` cannot be read.
    """
    former = read_environment(training)
    now = environment(training)
    require_same_inputs(training, former)
    former = {"processes": 1, "processor": now["processor"]} | former  # format 1 has neither
    keys = ("packages", "python", "threads", "device", "device_name", "processor", "processes")
    changed = [key for key in keys if former.get(key) != now[key]]
    if changed:
        warnings.warn(
            f"{', '.join(changed)} differ from when the run began: the weights will not be bit for "
            "bit those of a run that was never interrupted",
            stacklevel=3,
        )


def read_environment(training: Training) -> dict[str, Any]:
    """Return the content of `environment.json`.

    Raises:
        DataError: it cannot be read.
    """
    path = training.run.environment
    try:
        return read_json(read_regular(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", why=why_unreadable(error)) from error


def _describe(data: DataSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "fingerprint": data.fingerprint,
        "train": len(data.train),
        "validation": len(data.validation),
        "test": len(data.test),
        "shape": list(data.in_shape),
        "classes": len(data.classes),
    }
