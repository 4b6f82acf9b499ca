"""Versions, machine, data and teacher of a training; whether a resumed one has the same."""

from __future__ import annotations

import warnings
from typing import Any

from ..core.documents import read_json
from ..core.errors import DataError
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
        **data_and_teacher(training),
    }


def data_and_teacher(training: Training) -> dict[str, Any]:
    """Return the fingerprints of the data and of the teacher."""
    found: dict[str, Any] = {"data": _describe(training.data)}
    return found if training.teacher is None else {**found, "teacher": training.teacher.fingerprint}


def require_same_data_and_teacher(training: Training, former: dict[str, Any]) -> None:
    """Refuse to resume with other data or another teacher.

    Args:
        training: the resumed training.
        former: a document with the former `data_and_teacher`.

    Raises:
        DataError: data or teacher have changed.
    """
    run, now = training.run, data_and_teacher(training)
    if former.get("data") != now["data"]:
        raise DataError(
            f"the data are not those that {run.path} began with",
            why=f"then {former.get('data')}, now {now['data']}",
            remedy="restore the data, or train anew without --resume",
        )
    if former.get("teacher") != now.get("teacher"):
        raise DataError(
            f"the teacher is not the one that {run.path} began with",
            why=f"the weights in {training.recipe.train.teacher} have changed",
            remedy="restore the teacher's run, or train anew without --resume",
        )


def warn_if_environment_changed(training: Training) -> None:
    """Warn if versions or machine have changed, so that the weights may differ in some bits.

    Raises:
        DataError: data or teacher have changed, or `environment.json` cannot be read.
    """
    path = training.run.environment
    try:
        former = read_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", why=str(error)) from error
    now = environment(training)
    require_same_data_and_teacher(training, former)
    former = {"processes": 1, "processor": now["processor"]} | former  # format 1 has neither
    keys = ("packages", "python", "threads", "device", "device_name", "processor", "processes")
    changed = [key for key in keys if former.get(key) != now[key]]
    if changed:
        warnings.warn(
            f"{', '.join(changed)} differ from when the run began: the weights will not be bit for "
            "bit those of a run that was never interrupted",
            stacklevel=3,
        )


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
