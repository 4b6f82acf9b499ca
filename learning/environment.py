"""What a training ran on, with which data; and whether that is still so when it goes on."""

from __future__ import annotations

import warnings
from typing import Any

from ..core.documents import read_json
from ..core.errors import DataError
from ..datasets import DataSet
from ..records.layout import FORMAT
from .device import environment
from .training import Training


def surroundings(training: Training) -> dict[str, Any]:
    """Return what `environment.json` holds: versions, machine, data and the teacher's weights."""
    return {
        "format": FORMAT,
        **environment(training.device),
        "processes": training.processes.count,
        **material(training),
    }


def material(training: Training) -> dict[str, Any]:
    """Return what tells which data and which teacher a training has."""
    found: dict[str, Any] = {"data": _describe(training.data)}
    return found if training.teacher is None else {**found, "teacher": training.teacher.fingerprint}


def require_same_material(training: Training, former: dict[str, Any]) -> None:
    """Refuse to go on with other data or another teacher.

    Args:
        training: as it is now.
        former: what holds the former `material`.

    Raises:
        DataError: data or teacher are others.
    """
    run, now = training.run, material(training)
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
    """Refuse to go on with other data or another teacher; warn where the promise of equal weights
    ends.

    Raises:
        DataError: data or teacher are others, or the run does not tell which it had.
    """
    path = training.run.environment
    try:
        former = read_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", why=str(error)) from error
    now = surroundings(training)
    require_same_material(training, former)
    former = {"processes": 1, "processor": now["processor"]} | former  # format 1 knew neither
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
