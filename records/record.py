"""What the files of a run tell, also where some of them are missing or damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..core.documents import finite_number, read_json, read_toml
from ..core.metric import Metric
from .layout import Run

Document = dict[str, Any]

MAX_BYTES = 1 << 28  # of one file beside the weights

BEST = ("validation_loss", "epoch", "spike_rate")  # figures of an epoch beside the metric
WHOLE = ("seconds", "parameters")  # figures of a run


@dataclass
class RunRecord:
    """A run, read without its weights; what could not be read is empty, and `faults` says why.

    Attributes:
        run: its folder.
        config: tables of config.toml.
        environment: versions, machine, data; empty where the run has none.
        summary: best and last result; empty before the first epoch's is written.
        history: metrics by epoch.
        faults: what is missing or damaged.
    """

    run: Run
    config: Document = field(default_factory=dict)
    environment: Document = field(default_factory=dict)
    summary: Document = field(default_factory=dict)
    history: list[Document] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def state(self) -> str:
        """`finished`, `unfinished` or `damaged`."""
        if self.faults:
            return "damaged"
        return "finished" if self.summary.get("finished") is True else "unfinished"

    @property
    def epochs(self) -> int:
        """The epochs that are wanted; 0 where that is not known."""
        epochs = self.setting("train", "epochs")
        return epochs if isinstance(epochs, int) else 0

    @property
    def metric(self) -> Metric:
        """The primary metric of the task."""
        return Metric.from_document(self.summary.get("metric"))

    @property
    def metric_key(self) -> str:
        """The key of the metric of validation data in the figures of an epoch."""
        return f"validation_{self.metric.name}"

    @property
    def trained(self) -> list[Document]:
        """The figures of all epochs, without those of the weights that the training started from,
        which are epoch 0."""
        return [epoch for epoch in self.history if epoch.get("epoch") != 0]

    @property
    def metric_by_epoch(self) -> list[float]:
        """The metric of validation data by epoch."""
        return [epoch[self.metric_key] for epoch in self.trained]

    @property
    def has_spikes(self) -> bool:
        """Whether the network has spikes: ReLU has none, and a network without any spiking layer
        has no kernels either."""
        without = "kernels" in self.summary and self.summary["kernels"] is None
        return not without and self.setting("model", "neuron") != "relu"

    def setting(self, section: str, key: str) -> Any:
        """Return the value of a key of the configuration; None where it is not set."""
        table = self.config.get(section)
        return plain(table.get(key)) if isinstance(table, dict) else None

    def best(self, name: str) -> int | float | None:
        """Return a figure of the best epoch; None where it is not known, or where there is none."""
        if name == "spike_rate" and not self.has_spikes:
            return None
        return finite_number(self.summary.get("best", {}).get(name))

    def figure(self, name: str) -> int | float | None:
        """Return a figure of the whole run; None where it is not known."""
        return finite_number(self.summary.get(name))

    def as_dict(self) -> Document:
        """Return what a list of runs tells."""
        return {
            "run": str(self.run.path),
            "state": self.state,
            "faults": self.faults,
            "began": datetime.fromtimestamp(self.run.began, UTC).isoformat(timespec="seconds"),
            "recipe": plain(self.config.get("name")),
            "seed": self.setting("train", "seed"),
            "data": self.setting("data", "name"),
            "coding": self.setting("coding", "name"),
            "steps": self.setting("coding", "steps"),
            "neuron": self.setting("model", "neuron"),
            "model": self.setting("model", "name"),
            "epoch": len(self.trained),
            "epochs": self.epochs,
            "best": {name: self.best(name) for name in (self.metric_key, *BEST)},
            **{name: self.figure(name) for name in WHOLE},
            self.metric_key: self.metric_by_epoch,
        }


def read_record(run: Run) -> RunRecord:
    """Read what a run tells; nothing in its files is an error."""
    record = RunRecord(run)

    def read(path: Path, parse: Callable[[bytes], Any], empty: Any) -> Any:
        try:
            if not path.is_file():
                raise ValueError("it is missing")
            return parse(_read_bounded(path))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            record.faults.append(f"{path.name}: {why}")
            return empty

    record.config = read(run.config, lambda text: read_toml(text.decode()), {})
    if run.summary.exists():  # it is written after the metrics
        record.summary = read(run.summary, _summary, {})
    if run.metrics.exists() or run.summary.exists():
        record.history = read(run.metrics, lambda text: _history(text, record.metric), [])
    if run.environment.exists():
        record.environment = read(run.environment, read_json, {})
    if record.state == "finished" and not run.model.is_file():
        record.faults.append(f"{run.model.name}: it is missing")
    return record


def read_exports(run: Run) -> dict[str, Document]:
    """Return `parity.json` of each export of a run, by its folder; empty where it is damaged."""
    found = {}
    for parity in sorted(run.path.glob("export/*/parity.json")):
        try:
            found[parity.parent.name] = read_json(_read_bounded(parity))
        except (OSError, ValueError):
            found[parity.parent.name] = {}
    return found


def _read_bounded(path: Path) -> bytes:
    """Return the content of a file that is no larger than any such file can be."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes, at most {MAX_BYTES:,} are read")
    return path.read_bytes()


def plain(value: Any) -> Any:
    """Return a value of a document as it is, or as text where JSON does not know it."""
    try:
        json.dumps(value, allow_nan=False)
        return value
    except (TypeError, ValueError):  # a date, or a number that is none
        return str(value)


def _summary(text: bytes) -> Document:
    found = read_json(text)
    if not isinstance(found.get("best"), dict):
        raise ValueError("it has no best epoch")
    _require_metric(found["best"], Metric.from_document(found.get("metric")), "the best epoch")
    return found


def _history(text: bytes, metric: Metric) -> list[Document]:
    lines = [read_json(line) for line in text.splitlines()]
    for i, line in enumerate(lines, 1):
        _require_metric(line, metric, f"line {i}")
    return lines


def _require_metric(metrics: Document, metric: Metric, where: str) -> None:
    if finite_number(metrics.get(f"validation_{metric.name}")) is None:
        raise ValueError(f"{where} has no validation {metric.title}")
