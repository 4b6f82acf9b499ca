"""Targets, with invented results."""

import json
from dataclasses import replace

import pytest

from asnn.benchmarks.baselines import BASELINES
from asnn.benchmarks.case import Case
from asnn.benchmarks.targets import HYBRID, LONG, PAPER, SHORT, SINGLE, jobs, kept_bytes, targets


def result_of(case, *, train=None, inference=None, peak=None, missing=()):
    """A result with constant times."""
    timed = {"train": train or {}, "inference": inference or {}}
    baselines = {"asnn": {}}
    for what, seconds in timed.items():
        for name, each in seconds.items():
            baselines.setdefault(name, {})[what] = {"rounds_s": [each, each]}
    if peak is not None:
        baselines["asnn"]["memory"] = {"peak_growth": peak, "reason": ""}
    why = [{"contestant": name, "part": "all", "why": "it is not installed"} for name in missing]
    return {"case": case.as_dict(), "contestants": baselines, "not_measured": why}


def results(**changes):
    direct = {"asnn": 1.0, "step-loop": 4.5, "spikingjelly": 4.4, "relu": 1.1}
    return [
        result_of(
            PAPER,
            train=direct | changes.get("direct", {}),
            inference={"asnn": 1.0, "spikingjelly": 6.0},
            peak=110e6,
            missing=["spikingjelly-compiled"],
        ),
        result_of(HYBRID, train={"asnn": 1.0, "spikingjelly": 3.0, "relu": 1.5}, peak=260e6),
        result_of(SINGLE, inference={"asnn": 1.0, "relu": 0.9}),
        result_of(SHORT, peak=100e6),
        result_of(LONG, peak=400e6),
    ]


def test_verdicts():
    found = {target.what: target for target in targets(results())}
    verdicts = {what: target.met for what, target in found.items()}
    assert verdicts == {
        "train direct: step-loop / asnn": True,  # 4.5 of 4
        "train direct: spikingjelly / asnn": False,  # 4.4 of 4.5
        "train direct: spikingjelly-compiled / asnn": None,
        "train direct: asnn / relu": True,  # 0.91 of 0.95
        "train hybrid: spikingjelly / asnn": True,  # 3 of 3
        "train hybrid: spikingjelly-compiled / asnn": None,
        "train hybrid: asnn / relu": True,  # 0.67 of 0.75
        "peak growth direct": True,
        "peak growth hybrid": False,
        "peak growth T 8 to 32": False,  # 300 MB
        "infer direct: spikingjelly / asnn": True,
        "infer direct: spikingjelly-compiled / asnn": None,
        "infer batch 1: asnn / relu": False,  # 1.11 of 1
    }
    assert found["train direct: asnn / relu"].measured == pytest.approx(1 / 1.1)
    assert found["peak growth T 8 to 32"].measured == pytest.approx(300)
    assert found["train direct: spikingjelly-compiled / asnn"].note == "it is not installed"
    json.dumps([target.as_dict() for target in targets(results())], allow_nan=False)


def test_targets_without_measurements_are_none():
    empty = [result_of(case) for case in (PAPER, HYBRID, SINGLE, SHORT, LONG)]
    assert {target.met for target in targets(empty)} == {None}
    assert all(target.note for target in targets(empty))


def test_the_jobs_are_those_of_the_paper():
    assert [job.case for job in jobs()] == [PAPER, HYBRID, SINGLE, SHORT, LONG]
    assert (PAPER.in_shape, PAPER.classes, PAPER.steps, PAPER.batch) == ((3, 32, 32), 100, 7, 64)
    for job in jobs():
        assert job.names[0] == "asnn"
        assert {*job.names, *job.memory} <= set(BASELINES)


def test_kept_bytes_by_hand():
    """2 images of 3 values, layers of 256 and 256 features, T = 5."""
    case = Case(model="mlp", in_shape=(3, 1, 1), classes=2, coding="direct", steps=5, batch=2)
    image = 2 * 3 * 4
    first_output, second_output = 2 * 256 * 4, 5 * 2 * 256 * 4
    first_spikes, mean_spikes = 5 * 2 * 256 * 4, 2 * 256 * 4
    assert kept_bytes(case) == image + first_output + second_output + first_spikes + mean_spikes
    assert kept_bytes(case, 1) == kept_bytes(case) - first_spikes * 3 // 4
    hybrid = replace(case, coding="hybrid")
    assert kept_bytes(hybrid) == kept_bytes(case) + 4 * (image + first_output)
    pooled = Case(in_shape=(1, 4, 4), classes=2, coding="rate", steps=1, batch=1)
    outputs = 16 * 32 + 4 * 48 + 64 + 256
    inputs = 16 + 4 * 32 + 48 + 64 + 256
    assert kept_bytes(pooled) == 4 * (outputs + inputs)
