"""What the files of a run tell, also where some of them are missing or damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..core.documents import finite_number, plain, read_json, read_toml
from ..core.metric import Metric
from ..core.reading import MAX_DOCUMENT, MAX_LINES, MAX_TOML, read_regular, why_unreadable
from .edits import Edits, find_edits, trained_tables
from .exports import ExportState, export_states
from .layout import Run

Document = dict[str, Any]

BEST = ("validation_loss", "epoch", "spike_rate")  # figures of an epoch beside the metric
WHOLE = ("seconds", "parameters")  # figures of a run
WITHOUT_SPIKES = ("relu", "qcfs")  # neurons that send values


@dataclass
class RunRecord:
    """A run, read without its weights; what could not be read is empty, and `faults` says why.

    Attributes:
        run: its folder.
        config: tables of config.toml, with the values of the training where it was edited since.
        environment: versions, machine, data; empty where the run has none.
        summary: best and last result; empty before the first epoch's is written.
        history: metrics by epoch.
        statistics: norms of gradients, weights and updates by epoch, if the training kept them.
        faults: what is missing or damaged.
        edits: of config.toml since the training.
    """

    run: Run
    config: Document = field(default_factory=dict)
    environment: Document = field(default_factory=dict)
    summary: Document = field(default_factory=dict)
    history: list[Document] = field(default_factory=list)
    statistics: list[Document] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    edits: Edits = field(default_factory=Edits)

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
        """Whether the network has spikes: an ANN has none, and a network without any spiking layer
        has no kernels either."""
        without = "kernels" in self.summary and self.summary["kernels"] is None
        return not without and self.setting("model", "neuron") not in WITHOUT_SPIKES

    @cached_property
    def exports(self) -> dict[str, ExportState]:
        """Whether the verification of each export still holds, by its folder."""
        return export_states(self.run, read_exports(self.run))

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
            "edited": {
                key: {"trained": then, "now": now} for key, (then, now) in self.edits.keys.items()
            },
            "began": _iso(self.run.began),
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
            "exports": {name: each.state for name, each in self.exports.items()},
            self.metric_key: self.metric_by_epoch,
        }


def _iso(moment: float) -> str | None:
    """Return a time in UTC; None where a file claims to be of a year that no calendar has."""
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None


def read_record(run: Run) -> RunRecord:
    """Read what a run tells; nothing in its files is an error."""
    record = RunRecord(run)

    def read(path: Path, parse: Callable[[bytes], Any], max_size: int = MAX_DOCUMENT) -> Any:
        """Return the parsed content; None, and a fault, if it is missing or damaged."""
        try:
            if not os.path.lexists(path):
                raise ValueError("it is missing")
            return parse(read_regular(path, max_size=max_size))
        except (OSError, ValueError) as error:
            record.faults.append(f"{path.name}: {why_unreadable(error)}")
            return None

    content = read(run.config, _toml, MAX_TOML)
    if os.path.lexists(run.summary):  # it is written after the metrics
        record.summary = read(run.summary, _summary) or {}
    if content is not None:
        text, tables = content
        record.edits = find_edits(text, tables, record.summary)
        record.config = trained_tables(tables, record.edits)
    if os.path.lexists(run.metrics) or os.path.lexists(run.summary):
        parse = partial(_history, metric=record.metric)
        record.history = read(run.metrics, parse, MAX_LINES) or []
    if os.path.lexists(run.statistics):
        record.statistics = read(run.statistics, _statistics, MAX_LINES) or []
    if os.path.lexists(run.environment):
        record.environment = read(run.environment, read_json) or {}
    if record.state == "finished" and not run.model.is_file():
        record.faults.append(f"{run.model.name}: it is missing")
    return record


def read_exports(run: Run) -> dict[str, Document]:
    """Return `parity.json` of each export of a run, by its folder; empty where it is damaged.

    Hidden folders, such as `.git` or those of a killed write, are no exports.
    """
    found = {}
    for parity in sorted(run.path.glob("export/[!.]*/parity.json")):
        try:
            found[parity.parent.name] = read_json(read_regular(parity))
        except (OSError, ValueError):
            found[parity.parent.name] = {}
    return found


def _toml(content: bytes) -> tuple[bytes, Document]:
    return content, read_toml(content.decode())


def _summary(text: bytes) -> Document:
    found = read_json(text)
    if isinstance(found.get("imported"), dict):  # a network that was not trained here
        return found
    if not isinstance(found.get("best"), dict):
        raise ValueError("it has no best epoch")
    _require_metric(found["best"], Metric.from_document(found.get("metric")), "the best epoch")
    return found


def _history(text: bytes, metric: Metric) -> list[Document]:
    lines = [read_json(line) for line in text.splitlines()]
    for i, line in enumerate(lines, 1):
        _require_metric(line, metric, f"line {i}")
    return lines


def _statistics(text: bytes) -> list[Document]:
    lines = [read_json(line) for line in text.splitlines()]
    for i, line in enumerate(lines, 1):
        layers = line.get("layers")
        if not isinstance(layers, dict) or not all(isinstance(v, dict) for v in layers.values()):
            raise ValueError(f"line {i} has no layers")
    return lines


def _require_metric(metrics: Document, metric: Metric, where: str) -> None:
    if finite_number(metrics.get(f"validation_{metric.name}")) is None:
        raise ValueError(f"{where} has no validation {metric.title}")
