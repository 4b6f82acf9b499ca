"""A small run, and reports of untrained networks."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from markupsafe import Markup

from asnn.cli.app import run
from asnn.coding.samples import SampleSpec
from asnn.datasets.base import DataSet, Split
from asnn.measure.cost.tables import read_cost_table
from asnn.models import create_model
from asnn.records.layout import Run
from asnn.records.record import RunRecord
from asnn.reports.collect import collect


@pytest.fixture(scope="session")
def report_of():
    """Return a function that makes the report of an untrained network on random images."""

    def make(
        *,
        path="runs/a",
        classes=("a", "b", "c"),
        samples=24,
        shape=(1, 6, 6),
        table="45nm-fp32",
        record=None,
        sample=None,
        coding="hybrid",
        steps=3,
        seed=0,
        weight=4,
        **options,
    ):
        torch.manual_seed(seed)
        labels = torch.arange(samples) % len(classes)
        split = Split(torch.randint(0, 256, (samples, *shape), dtype=torch.uint8), labels)
        data = DataSet(
            "random",
            split,
            split,
            split,
            list(classes),
            255.0,
            "f" * 64,
            SampleSpec("image", shape),
        )
        model = create_model(
            "mlp",
            in_shape=shape,
            classes=len(classes),
            coding=coding,
            steps=steps,
            features=[20, 10],
            **options,
        ).eval()
        with torch.no_grad():  # so that neurons fire
            for module in model.modules():
                if isinstance(module, torch.nn.Linear):
                    module.weight *= weight
        record = dataclasses.replace(RunRecord(Run(path)), **(record or {}))
        costs = read_cost_table(table)
        return collect(record, model, data, split="test", table=costs, sample=sample)

    return make


@pytest.fixture
def stub_figures(monkeypatch):
    """Replace each figure of a page by an empty SVG with its text alternative.

    Rendering takes three quarters of the time of a page.
    """

    def inline(drawing, name):
        return Markup('<svg role="img" aria-label="{}"></svg>').format(drawing.alt)

    monkeypatch.setattr("asnn.reports.view.inline", inline)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The folder of a small finished run with a verified export."""
    folder = tmp_path_factory.mktemp("reported")
    former = os.getcwd()
    os.chdir(folder)
    try:
        small = ("train.epochs=2", "data.limit=200", "model.widths=[4,8]", "model.hidden=16")
        assert run(["train", *(w for s in small for w in ("--set", s)), "--out", "runs/a"]) == 0
        assert run(["export", "runs/a", "--format", "onnx"]) == 0
    finally:
        os.chdir(former)
    return folder / "runs" / "a"


@pytest.fixture(scope="session")
def written(trained) -> Path:
    """The page of that run, as the command writes it."""
    assert run(["report", str(trained)]) == 0
    return trained / "report.html"
