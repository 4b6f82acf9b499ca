"""The check of `evaluation.json`, the last file of a member, before its values are used."""

from __future__ import annotations

from typing import Any

from ..core.documents import finite_number
from ..core.metric import Metric

COUNTS = ("seed", "steps", "epochs", "samples", "parameters")
TEXTS = ("split", "data", "fingerprint")
# Networks without spikes, and 0.1.0, leave some of them out.
FIGURES = ("loss", "spike_rate", "spikes_per_sample", "training_seconds", "samples_per_second")
MACHINE = ("device", "processor", "cores", "threads", "torch")


def require_evaluation(document: dict[str, Any], split: str) -> dict[str, Any]:
    """Return an evaluation on a split whose values have the types that tables and figures need.

    Raises:
        ValueError: with the first value that does not.
    """
    metric = Metric.from_document(document.get("metric"))
    tracked = document.get("tracked", [])
    if not isinstance(tracked, list) or not all(isinstance(name, str) for name in tracked):
        raise ValueError("tracked is not a list of names")
    if finite_number(document.get(metric.name)) is None:
        raise ValueError(f"{metric.name} is not a number")
    for name in COUNTS:
        if type(document.get(name)) is not int:
            raise ValueError(f"{name} is not a whole number")
    for name in TEXTS:
        if not isinstance(document.get(name), str):
            raise ValueError(f"{name} is not text")
    for name in (*FIGURES, *tracked, f"validation_{metric.name}"):
        value = document.get(name)
        if value is not None and finite_number(value) is None:
            raise ValueError(f"{name} is not a number")
    by_step = document.get(f"{metric.name}_per_step", [])
    if not isinstance(by_step, list) or not all(
        value is None or finite_number(value) is not None for value in by_step
    ):
        raise ValueError(f"{metric.name}_per_step is not a list of numbers")
    machine = document.get("machine")
    if not isinstance(machine, dict) or not set(MACHINE) <= set(machine):
        raise ValueError(f"machine does not name {', '.join(MACHINE)}")
    if document["split"] != split:
        raise ValueError(f"it is of the {document['split']} split")
    return document
