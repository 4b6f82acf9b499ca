"""One run on the page: sentences for missing parts, warnings, energy."""

import dataclasses
import itertools
import math
import re

import pytest

from asnn.measure.cost.energy import energy_of_samples, energy_report
from asnn.measure.cost.tables import read_cost_table
from asnn.measure.early_exit import tradeoff
from asnn.reports.metrics_view import scores_by_class, statistics_by_layer
from asnn.reports.page import page
from asnn.reports.view import view
from asnn.reports.wording import number, percent
from tests.support.html import faults, read_page

HOSTILE = "<script>alert(1)</script>"


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_schedules_that_change_with_the_step_are_drawn(report_of):
    report = report_of()
    schedules = {"spikes1": {"leak": [0.5, 0.7, 0.9], "gain": [0.5] * 3}}
    found = read_page(page([dataclasses.replace(report, schedules=schedules)], command=""))
    said = [tag.attributes["aria-label"] for tag in found.all("svg")]
    assert "Leak: spikes1 from 0.50 at step 1 to 0.90 at step 3." in said
    assert not any(s.startswith("Gain") for s in said)


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "The run holds no metrics of its epochs."),
        ({}, "The run has no verified export yet."),
        ({}, "The run holds no configuration."),
        ({"neuron": "relu", "coding": "direct"}, "No layer of this network has spikes."),
        ({"neuron": "relu", "coding": "direct"}, "there is no raster"),
        ({"neuron": "fixed"}, "it has no learned schedules"),
        ({"coding": "direct", "steps": 1}, "The network has a single step"),
        ({"classes": tuple(map(str, range(21))), "samples": 42}, "only the worst confusions"),
        ({"record": {"faults": ["metrics.jsonl: it is missing"]}}, "Damaged: metrics.jsonl"),
        ({"sample": 5}, "Sample 5 of the test split, as requested"),
        ({"table": "45nm-fp32-memory"}, "9.2 pJ per neuron update"),
        ({"shape": (3, 6, 6)}, "spikes per value"),
        ({"shape": (2, 6, 6), "coding": "rate"}, "in the code rate of 3 steps"),
    ],
)
def test_missing_part_leaves_a_sentence(report_of, options, sentence):
    found = read_page(page([report_of(**options)], command="asnn report"))
    assert faults(found) == []
    said = found.text + " ".join(tag.attributes["aria-label"] for tag in found.all("svg"))
    assert sentence in said


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_no_misclassified_sample_leaves_a_sentence(report_of):
    found = dataclasses.replace(report_of(), confusions=[])
    assert "No sample is misclassified." in read_page(page([found], command="")).text


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_metrics_that_are_not_numbers_are_omitted(report_of):
    history = [{"validation_accuracy": 0.5, "train_loss": "much", "spike_rate": float("nan")}]
    found = read_page(page([report_of(record={"history": history})], command=""))
    said = [tag.attributes["aria-label"] for tag in found.all("svg")]
    assert "Accuracy after one epoch: from 50 to 50." in said
    assert not any(s.startswith(("Loss", "Spike rate")) for s in said)


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_damaged_parity_file_is_reported(report_of, tmp_path):
    folder = tmp_path / "export" / "onnx"
    folder.mkdir(parents=True)
    for text in ("{", '{"runtimes": [{}]}', '{"runtimes": 3}'):
        (folder / "parity.json").write_text(text)
        found = read_page(page([report_of(path=tmp_path)], command=""))
        assert "unknown: damaged file" in found.text


def warnings(found) -> list[str]:
    return [tag.text for tag in found.all("p") if tag.attributes.get("class") == "fault"]


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, False),
        ({"data": "damaged"}, False),
        ({"data": {"fingerprint": "f" * 64}}, False),
        ({"data": {"fingerprint": "e" * 64}}, True),
        ({"data": {"fingerprint": [HOSTILE]}}, True),
    ],
)
def test_other_data_than_in_training_are_a_warning(report_of, environment, said):
    found = read_page(page([report_of(record={"environment": environment})], command=""))
    assert faults(found) == []
    assert [t.partition(":")[0] for t in warnings(found)] == said * [
        "The data are not those of the training"
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_uncounted_layers_are_a_warning(report_of):
    report = report_of()
    report.counts.uncounted.extend(["a\x1b", "b"])
    spent = energy_of_samples(report.counts, read_cost_table())
    unknown = dataclasses.replace(
        report,
        energy=energy_report(report.counts, read_cost_table()),
        tradeoff=tradeoff(report.result.class_outcomes, [], spent),
    )
    found = read_page(page([unknown], command=""))
    assert len(warnings(found)) == 1 and "\x1b" not in found.source
    assert warnings(found)[0].endswith("layers of unknown type: a\\x1b and b.")
    figures = found.figures()
    assert figures["picojoules_per_sample"] == figures["accumulates"] == ""
    assert figures["ann_twin_picojoules"] != ""  # the counterpart has no such layer
    assert "an unknown energy an image" in found.text
    for other in (report_of(path="runs/b"), unknown):  # beside a known one, and all unknown
        assert faults(read_page(page([unknown, other], command=""))) == []


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_a_network_without_ann_counterpart_says_so(report_of):
    report = report_of()
    reason = "no counterpart\x1b"
    dense = {**report.dense_ann, "picojoules_per_sample": None, "reason": reason}
    found = read_page(page([dataclasses.replace(report, dense_ann=dense)], command=""))
    assert "The energy of an ANN counterpart is unknown: no counterpart\\x1b." in found.text
    assert found.figures()["ann_twin_picojoules"] == ""
    known = read_page(page([report], command=""))
    assert "is unknown" not in known.text and "would need" in known.text


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_a_readout_that_decides_and_bursts_are_shown(report_of):
    options = {
        "coding": "direct", "neuron": "integrate", "neuron_options": {"most": 3, "amplitude": 0.1},
        "readout": "first-crossing", "readout_options": {"quantity": "probability", "level": 0.7},
    }  # fmt: skip
    report = report_of(**options)
    values, shown = report.result.values, view(report, "r-")
    rows = {row["key"]: row["text"] for row in shown["figures"]}
    assert rows["undecided"] == percent(values["undecided"])
    assert rows["spikes_to_decision"] == number(report.result.spikes_to_decision)
    row = shown["early_exit"][-1]
    assert (row["rule"], row["steps"]) == ("its own decision", f"{values['mean_step']:.2f}")
    assert row["accuracy"] == percent(report.result.accuracy)
    everything = report.energy["picojoules_per_sample"]
    assert 0 < report.decision["picojoules"] <= everything
    share = report.result.burst_shares["spikes1"]
    assert share > 0 and f"{percent(share, 1)} in spikes1" in shown["bursts"]
    # Negative control: the mean of single spikes decides nothing by itself.
    shown = view(report_of(coding="direct"), "r-")
    assert "its own decision" not in {row["rule"] for row in shown["early_exit"]}
    assert shown["bursts"] == "" and "undecided" not in {row["key"] for row in shown["figures"]}


@pytest.mark.slow
def test_nonfinite_loss_is_a_warning(report_of):
    found = read_page(page([report_of(weight=math.nan)], command=""))
    assert warnings(found)[0].startswith("The loss is not a finite number")
    assert not re.search(r"\bnan\b", found.text)
    assert found.figures()["loss"] == found.figures()["calibration_error"] == ""
    beside = read_page(page([report_of(), report_of(path="runs/b", weight=math.nan)], command=""))
    assert len(warnings(beside)) == 1 and not re.search(r"\bnan\b", beside.text)


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
@pytest.mark.parametrize(("coding", "random"), [("rate", True), ("hybrid", False)])
def test_random_code_is_reported(report_of, coding, random):
    found = read_page(page([report_of(coding=coding)], command=""))
    assert ("Its code is random: this is one draw" in found.text) == random


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_energy_follows_from_the_columns(report_of):
    table = read_cost_table("45nm-fp32-memory")
    report = report_of(table=table.name, samples=1)  # counts of one sample are integers
    found = read_page(page([report], command=""))
    start = next(
        i for i, t in enumerate(found.tags) if t.text.startswith("Operations and energy of")
    )
    cells = [
        t.text
        for t in itertools.takewhile(lambda t: t.name != "h2", found.tags[start:])
        if t.name in ("th", "td")
    ]
    heads, *rows = [cells[i : i + 10] for i in range(0, len(cells), 10)]
    number = [{h: _number(c) for h, c in zip(heads, row, strict=True)} for row in rows]
    *layers, total = number
    cost = table.picojoules
    for row in (*layers, total):
        energy = (
            cost.mac * row["MAC"]
            + cost.ac * row["AC"]
            + cost.neuron_update * row["updates"]
            + cost.memory_byte * row["bytes"]
        )
        assert row["energy"] == pytest.approx(energy, rel=0.01)
    for head in ("weights", "AC", "MAC", "if dense", "updates", "bytes"):
        assert sum(row[head] for row in layers) == total[head] > 0
    kinds = {row[0]: row[1:] for row in rows}
    assert [k[0] for k in kinds.values()].count("neurons") == 2
    assert {"linear, spikes", "linear, values"} & {k[0] for k in kinds.values()}
    assert all(row[6] == "–" for row in rows if row[1] == "neurons")
    parts = re.search(r"By part: synapses (.*?), neurons (.*?) and memory (.*?);", found.text)
    assert sum(map(_number, parts.groups())) == pytest.approx(total["energy"], rel=0.01)
    assert f"{total['bytes']:,.0f} bytes are moved" in found.text


def _number(text: str) -> float:
    """Return the number of a cell, energy in pJ; 0 if it has none."""
    found = re.fullmatch(r"([\d.,]+)(?:\s(.?)J)?", text)
    if found is None:
        return 0
    return float(found[1].replace(",", "")) * {"p": 1, "n": 1e3, "µ": 1e6, None: 1}[found[2]]


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
@pytest.mark.parametrize(("classes", "rows"), [(4, 4), (21, 0)])
def test_scores_of_few_classes_have_a_row_each_and_means_always(report_of, classes, rows):
    report = report_of(classes=tuple(f"class {k}" for k in range(classes)), samples=2 * classes)
    found = scores_by_class(report, 20)
    assert len(found) == rows + 2
    assert [row["name"] for row in found[-2:]] == ["mean", "mean weighted by support"]
    recall = found[-1]["cells"][1]  # weighted by support, it is the accuracy
    assert recall == f"{100 * report.result.accuracy:.1f}\N{NO-BREAK SPACE}%"
    page_of = read_page(page([report], command=""))
    assert "Precision, recall and F1 by class" in page_of.text


@pytest.mark.slow
@pytest.mark.usefixtures("stub_figures")
def test_statistics_of_the_last_epoch_have_a_row_for_each_layer(report_of):
    rows = [
        {"epoch": 1, "layers": {"conv1": {"gradient": 9.0, "weight": 9.0, "update": 9.0}}},
        {"epoch": 2, "layers": {"conv1": {"gradient": 0.01234, "weight": 3.0, "update": None}}},
    ]
    found = report_of(record={"statistics": rows})
    expected = [{"name": "conv1", "cells": ["0.0123", "3", "–"]}]
    assert statistics_by_layer(found) == expected
    assert "Norms in the last epoch, by layer" in read_page(page([found], command="")).text
    assert "Norms in the last" not in read_page(page([report_of()], command="")).text
