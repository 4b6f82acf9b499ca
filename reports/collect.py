"""The content of a page about one run, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.errors import ConfigError
from ..core.metric import Metric
from ..datasets.base import DataSet, fingerprint
from ..measure.cost.ann_comparison import dense_ann_report
from ..measure.cost.energy import energy_of_samples, energy_report
from ..measure.cost.operations import Counts
from ..measure.cost.tables import CostTable
from ..measure.early_exit import ExitRule, decision, tradeoff
from ..measure.evaluation import Evaluation, evaluate
from ..measure.schedules import schedules
from ..models.network import SpikingNetwork
from ..records.exports import ExportState, export_states
from ..records.record import RunRecord, read_exports
from ..tasks.base import Task
from ..tasks.classification import Classification
from ..tasks.outcomes import Calibration, calibration
from .answers import ShownAnswers, shown_answers
from .confusions import Confusion, worst_confusions
from .sample_trace import SampleTrace, TimesTrace
from .traced_sample import TracedOutputs, TracedSample, traced_outputs, traced_sample

CONFIDENCE_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)  # for early exit

Document = dict[str, Any]


@dataclass(frozen=True)
class RunReport:
    """The content of a page about a run.

    Attributes:
        record: of the run's files.
        network: the arguments of `create_model`.
        data: the data set.
        split: which part of it was evaluated.
        samples: fingerprint of that split.
        task: what the network is asked.
        result: of the evaluation, with counted operations.
        energy: of `energy_report`.
        dense_ann: of `dense_ann_report`.
        tradeoff: of fixed steps and of confidence levels; empty if the task has not one class a
            sample.
        decision: the same at the decisions of a readout that decides by itself; None of others.
        calibration: of the last step; None likewise.
        schedules: by layer.
        traced: the sample that is traced.
        outputs: of that sample; None if the task has one class a sample, or answers with places.
        answers: pictures of answers with places; None of others.
        confusions: the most frequent ones; empty likewise.
        exports: the content of `parity.json` of each export, by folder.
        export_states: whether it still holds, by folder.
    """

    record: RunRecord
    network: Document
    data: DataSet
    split: str
    samples: str
    task: Task
    result: Evaluation
    energy: Document
    dense_ann: Document
    tradeoff: list[Document]
    decision: Document | None
    calibration: Calibration | None
    schedules: dict[str, dict[str, list[float]]]
    traced: TracedSample
    outputs: TracedOutputs | None
    answers: ShownAnswers | None
    confusions: list[Confusion]
    exports: dict[str, Document]
    export_states: dict[str, ExportState]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.record.run.path

    @property
    def counts(self) -> Counts:
        """The counted operations."""
        assert self.result.counts is not None
        return self.result.counts

    @property
    def steps(self) -> int:
        """Number of time steps T; 1 of a network of exact times."""
        return 1 if isinstance(self.trace, TimesTrace) else len(self.trace.encoded.steps)

    @property
    def output_steps(self) -> list[int]:
        """The steps after which an output is known: all, or the ends of windows."""
        outputs = 1 if isinstance(self.trace, TimesTrace) else len(self.trace.answers)
        every = self.steps // outputs
        return list(range(every, self.steps + 1, every))

    @property
    def has_times(self) -> bool:
        """Whether the network has exact times instead of time steps."""
        return isinstance(self.trace, TimesTrace)

    @property
    def over_time(self) -> list[Document]:
        """The accuracy of the answers by a real time; empty of time steps, of a readout without
        times of decisions, and if no sample is decided."""
        return self.result.values.get("accuracy_over_time") or []

    @property
    def sample(self) -> tuple[int, str]:
        """Index of the traced sample, and the reason for its choice."""
        return self.traced.index, self.traced.why

    @property
    def trace(self) -> SampleTrace | TimesTrace:
        """Code, spikes and predictions of the traced sample."""
        return self.traced.trace

    @property
    def metric(self) -> Metric:
        """The primary metric of the task."""
        return self.task.primary

    @property
    def has_classes(self) -> bool:
        """Whether the answer for a sample is one class."""
        return self.result.outcomes is not None

    @property
    def confusion(self) -> list[list[int]] | None:
        """Counts by true class and prediction; None if the task gives none."""
        classes, outcomes = len(self.data.classes), self.result.outcomes
        if outcomes is not None:
            return outcomes.confusion(classes)
        counts = self.result.values.get("confusion")
        return counts if counts and len(counts) == classes and any(map(sum, counts)) else None

    def per_step(self) -> dict[str, list[float]]:
        """Return the metrics that have a value after each of `output_steps`, by their names."""
        return {
            name.removesuffix("_per_step"): values
            for name, values in self.result.values.items()
            if name.endswith("_per_step") and len(values) == len(self.output_steps)
        }

    def other_metrics(self) -> dict[str, float | None]:
        """Return the metrics that are one number, but the primary and the loss."""
        return {
            name: value
            for name, value in self.result.values.items()
            if name not in (self.metric.name, "loss")
            and (value is None or isinstance(value, int | float))
        }

    def figures(self) -> Document:
        """Return the main figures for JSON; None if unknown or not finite."""
        metric = self.metric.name
        found = {
            metric: self.result.values[metric],
            "loss": self.result.loss,
            f"best_validation_{metric}": self.record.best(f"validation_{metric}"),
            "best_epoch": self.record.best("epoch"),
            **self.other_metrics(),
            "spikes_per_sample": self.result.spikes_per_sample if self.result.spike_rates else None,
            "spikes_to_decision": self.result.spikes_to_decision,
            "picojoules_per_sample": self.energy["picojoules_per_sample"],
            "ann_twin_picojoules": self.dense_ann["picojoules_per_sample"],
            "accumulates": self.energy["accumulates"],
            "multiply_accumulates": self.energy["multiply_accumulates"],
            "parameters": self.record.figure("parameters") or self.energy["parameters"],
            "steps": self.steps,
            "samples": self.result.samples,
        }
        return {
            key: None if value is not None and not math.isfinite(value) else value
            for key, value in found.items()
        }


def collect(
    record: RunRecord,
    model: SpikingNetwork,
    data: DataSet,
    *,
    split: str,
    table: CostTable,
    task: Task | None = None,
    sample: int | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> RunReport:
    """Evaluate a run and return the content of its page.

    Args:
        record: of the run's files.
        model: its network, on `device`.
        data: its data.
        split: the part to evaluate.
        table: of costs.
        task: of the network; classification by default.
        sample: index of the sample to trace; by default see `traced_sample`.
        batch_size: samples per batch.
        device: of the network.

    Raises:
        ConfigError: the split or the sample does not exist.
    """
    part = data.split(split)
    if sample is not None and not 0 <= sample < len(part):
        raise ConfigError(
            f"there is no sample {sample}",
            why=f"the {split} split of {data.name} has {len(part):,}, counted from 0",
        )
    if task is None:
        task = Classification.of(len(data.classes))
        task.use_readout(model.readout)
    result = evaluate(
        model,
        part,
        task=task,
        full_scale=data.full_scale,
        batch_size=batch_size,
        device=device,
        count=True,
        graded=table.graded,
    )
    assert result.counts is not None
    outcomes = result.outcomes
    traced = traced_sample(model, part, data.full_scale, outcomes, sample)
    rules = [ExitRule("confidence", level) for level in CONFIDENCE_LEVELS]
    spent = energy_of_samples(result.counts, table)
    exports = read_exports(record.run)
    return RunReport(
        record=record,
        network=model.config,
        data=data,
        split=split,
        samples=fingerprint(part),
        task=task,
        result=result,
        energy=energy_report(result.counts, table),
        dense_ann=dense_ann_report(model, table),
        tradeoff=[] if outcomes is None else tradeoff(outcomes, rules, spent, result.sample_spikes),
        decision=decision(result, table),
        calibration=None if outcomes is None else calibration(outcomes),
        schedules=schedules(model),
        traced=traced,
        outputs=traced_outputs(model, part, traced, device) if outcomes is None else None,
        answers=shown_answers(task, model, data, split, result, device),
        confusions=[]
        if outcomes is None
        else worst_confusions(outcomes, len(data.classes), part, data.full_scale),
        exports=exports,
        export_states=export_states(record.run, exports),
    )
