"""Keys of 0.1.0 that have another place now: recipes, `--set` and runs may have them."""

from __future__ import annotations

from typing import Any

DISTILLATION = "distillation"
TEACHER = {  # keys of `train`, and those of the method
    "teacher": "teacher",
    "teacher_weight": "weight",
    "teacher_temperature": "temperature",
}


def replace_former_keys(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the tables of a recipe with the keys of today, and faults.

    `train.teacher`, `train.teacher_weight` and `train.teacher_temperature` are options of the
    method `distillation`; a teacher means that method. Without a teacher the other two have no
    effect, as in 0.1.0, unless the method is `distillation` already.
    """
    train, method = document.get("train"), document.get("method", {})
    if not isinstance(train, dict) or not isinstance(method, dict):
        return document, []  # refused with the other faults
    former = {key: train[key] for key in TEACHER if train.get(key) is not None}
    if not TEACHER.keys() & train.keys():
        return document, []
    changed = {**document, "train": {key: train[key] for key in train if key not in TEACHER}}
    name = method.get("name", "bptt")
    if "teacher" not in former and name != DISTILLATION:
        return changed, _unused_faults(former)
    if name not in ("bptt", DISTILLATION):
        fault = f"train.teacher: a teacher is of the method {DISTILLATION}, not of {name!r}"
        return changed, [f"{fault} (leave it out, or set method.name={DISTILLATION})"]
    faults = []
    method = {**method, "name": DISTILLATION}
    for key, value in former.items():
        own = TEACHER[key]
        if method.setdefault(own, value) != value:
            faults.append(f"train.{key}: method.{own} is {method[own]!r} (leave train.{key} out)")
    return {**changed, "method": method}, faults


def _unused_faults(former: dict[str, Any]) -> list[str]:
    """Return the faults of keys that have no effect, which are checked all the same."""
    faults = []
    for key, value in former.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if key == "teacher_weight" and not (is_number and 0 <= value <= 1):
            faults.append(f"train.{key}: must be from 0 to 1, not {value!r}")
        if key == "teacher_temperature" and not (is_number and 0 < value < float("inf")):
            faults.append(f"train.{key}: must be above 0, not {value!r}")
    return faults
