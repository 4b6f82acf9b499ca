"""The trained ANN counterpart of a run, to compare its energy with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..measure.cost.ann import ann_config
from ..models.layers.neurons import has_spikes
from ..models.network import SpikingNetwork
from ..records.open_run import OpenRun, open_run
from .trained import ann_counterpart_run

FREE = ("mean", "std", "output_scale")  # arguments that change no count of operations


def find_ann(run: OpenRun, path: Path | None) -> SpikingNetwork | None:
    """Return the trained ANN counterpart: the run at `path`, or the run's own teacher.

    Args:
        run: the run of the spiking network.
        path: the folder of the counterpart; for None the one that it was trained with, as teacher
            or start, or None if it has none.

    Raises:
        DataError: there is no such run.
        ConfigError: it is a spiking network, has another architecture, or other classes.
    """
    if path is None:
        teacher = ann_counterpart_run(run.files)
        return open_run(teacher).load_model() if teacher.model.is_file() else None
    other = open_run(path)
    ann = other.load_model()
    faults = [
        f"its {key} is {ann.config.get(key)!r}, not {value!r}"
        for key, value in _expected(run.model, ann).items()
        if key not in FREE and _given(ann.config.get(key)) != _given(value)
    ]
    if other.labels != run.labels:
        faults.append("it has other classes")
    if faults:
        raise ConfigError(
            f"--ann {path} is not the ANN counterpart of {run.path}",
            why="; ".join(faults),
            remedy=f"train one with the same recipe and {_settings(run.model)}",
        )
    return ann


def _settings(model: SpikingNetwork) -> str:
    """Return the settings that make the recipe of a network that of its counterpart."""
    of_both = []
    for config in (ann_config(model), model.config):
        of_both.append(
            {
                "model.neuron": config["neuron"],
                "coding.name": config["coding"],
                "coding.steps": config["steps"],
                "coding.value": config["coding_options"].get("value"),
                "model.windows": config.get("windows"),
            }
        )
    counterpart, own = of_both
    changed = {key: each for key, each in counterpart.items() if each not in (own[key], None)}
    return " ".join(f"--set {key}={each}" for key, each in changed.items())


def _given(value: Any) -> Any:
    """Return options without those that are None, as files of before an option are."""
    if not isinstance(value, dict):
        return value
    return {key: each for key, each in value.items() if each is not None}


def _is_of_counts(ann: SpikingNetwork) -> bool:
    return ann.config["coding_options"].get("value") in ("count", "log-count")


def _expected(model: SpikingNetwork, ann: SpikingNetwork) -> dict[str, Any]:
    """Return the configuration of the counterpart, with the neuron of `ann` if that has no spikes,
    with its counts or their logarithms if it has a frame a window, and with all frames of a
    recording if `ann` has them."""
    config = ann_config(model)
    if model.steps_per_output > 1 and _is_of_counts(ann):
        config["coding_options"] |= {"value": ann.config["coding_options"]["value"]}
    if not has_spikes(ann):
        config |= {key: ann.config[key] for key in ("neuron", "neuron_options")}
    whole = model.coding.whole()
    if whole and ann.config["steps"] == whole["steps"]:
        config["steps"] = whole.pop("steps")
        config["coding_options"] = {**config["coding_options"], **whole}
    return config
