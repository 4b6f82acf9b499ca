"""Reports of untrained networks whose task is not classification of images."""

import dataclasses
from typing import ClassVar

import numpy as np
import torch

from asnn.coding.samples import SampleSpec
from asnn.core.metric import Metric
from asnn.datasets.base import DataSet, Split
from asnn.datasets.events import Events
from asnn.measure.cost.tables import read_cost_table
from asnn.models import create_model
from asnn.records.layout import Run
from asnn.records.record import RunRecord
from asnn.reports.collect import collect
from asnn.tasks import Meter, Result, Task, create_task

SAMPLES, FEATURES = 20, 4


class Share(Task):
    """A task of one's own: the share of ones, by its error after each step."""

    name = "share"
    primary = Metric("error", greater_is_better=False, percent=False)
    tracked: ClassVar = ("error", "bias")
    outputs = 1
    classes: ClassVar = []

    def meter(self, steps):
        return ShareMeter(self, steps)


class ShareMeter(Meter):
    def __init__(self, task, steps):
        self.task, self.sums, self.count = task, torch.zeros(steps), 0

    def add(self, outputs, targets):
        so_far = outputs.cumsum(0) / torch.arange(1, len(outputs) + 1).view(-1, 1, 1)
        self.sums += (so_far[..., 0] - targets).abs().sum(1)
        self.count += len(targets)

    def result(self, total, gather):
        errors = (self.sums / self.count).tolist()
        values = {"error": errors[-1], "error_per_step": errors, "loss": 0.5, "bias": None}
        return Result(self.count, values)


def series(targets, steps, classes=()):
    spec = SampleSpec("series", (FEATURES,), steps=steps)
    x = torch.rand(SAMPLES, steps, FEATURES, generator=torch.Generator().manual_seed(0))
    split = Split(x, targets)
    return DataSet("random", split, split, split, list(classes), 1.0, "f" * 64, spec)


def report_of_task(
    task, data, *, coding="given", seed=0, path="runs/a", record=None, name="mlp", **more
):
    """Return the report of an untrained network."""
    steps = more.pop("steps", None) or data.spec.steps
    torch.manual_seed(seed)
    model = create_model(
        name,
        in_shape=data.in_shape,
        classes=max(len(data.classes), 1),
        coding=coding,
        steps=steps,
        sample=data.spec,
        features=[12],
        **more,
    ).eval()
    with torch.no_grad():  # so that neurons fire
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight *= 4
    if isinstance(task, str):
        task = create_task(task)
        task.bind(data, model.coding)
    task.use_readout(model.readout)
    record = dataclasses.replace(RunRecord(Run(path)), **(record or {}))
    return collect(record, model, data, split="test", table=read_cost_table(), task=task)


def recordings(height, width=6):
    """Return recordings of a sensor with classes."""
    random = np.random.default_rng(0)
    shape, count = (2, height, width), 30 * SAMPLES
    t = np.sort(random.integers(0, 900, (SAMPLES, 30)), 1).reshape(-1)
    x, y = random.integers(0, width, count), random.integers(0, height, count)
    p = random.integers(0, 2, count)
    offsets, sizes = np.arange(SAMPLES) * 30, np.full(SAMPLES, 30)
    split = Split(Events(t, x, y, p, offsets, sizes, shape, 900), torch.arange(SAMPLES) % 2)
    spec = SampleSpec("events", shape, duration=900)
    return DataSet("random", split, split, split, ["a", "b"], 1.0, "f" * 64, spec)
