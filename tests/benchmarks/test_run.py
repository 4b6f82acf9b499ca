"""The results of a measurement; no time is asserted."""

import json

import pytest
import torch

from asnn.benchmarks import run as running
from asnn.benchmarks.baselines import BASELINES, base
from asnn.benchmarks.baselines.relu import Relu
from asnn.benchmarks.case import Case
from asnn.benchmarks.figure import draw_costs, panels_of
from asnn.benchmarks.run import Job, TimingOptions, environment, ratio, run_job
from asnn.core.errors import ConfigError

SMALL = Case(in_shape=(1, 8, 8), classes=5, steps=2, batch=3)
OPTIONS = TimingOptions(rounds=2, threads=1, base="relu", visit=0)


@pytest.fixture(scope="module")
def result():
    job = Job(SMALL, ("relu", "step-loop", "asnn-reference"), ("train", "inference"))
    return run_job(job, OPTIONS, lambda text: None)


@pytest.mark.slow
def test_structure(result):
    json.dumps(result, allow_nan=False)
    assert result["case"] == SMALL.as_dict()
    assert list(result["contestants"]) == ["relu", "step-loop", "asnn-reference"]
    assert result["not_measured"] == [] and "unequal_work" not in result
    for baseline in result["contestants"].values():
        for what in ("train", "inference"):
            timing = baseline[what]
            seconds = timing["seconds"]
            assert 0 < seconds["low"] <= seconds["median"] <= seconds["high"]
            assert timing["samples_per_second"] == pytest.approx(3 / seconds["median"])
            assert timing["first_call_s"] > 0
            assert len(timing["rounds_s"]) >= 2
        assert baseline["work"]["faults"] == []
    base_ratio = result["contestants"]["relu"]["train"]["ratio"]
    assert base_ratio == {"median": 1, "low": 1, "high": 1}


def test_ratios_are_taken_within_rounds(result):
    loop, relu = (result["contestants"][n]["train"] for n in ("step-loop", "relu"))
    pairs = [a / b for a, b in zip(loop["rounds_s"], relu["rounds_s"], strict=True)]
    assert min(pairs) <= loop["ratio"]["median"] <= max(pairs)
    assert ratio(result, "train", "step-loop", "relu").median == loop["ratio"]["median"]
    assert ratio(result, "train", "norse", "relu") is None


def test_number_of_threads_is_restored():
    before = torch.get_num_threads()
    with running.threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_missing_library_has_a_reason(monkeypatch):
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    found = run_job(Job(SMALL, ("relu", "norse"), ("inference",)), OPTIONS, lambda text: None)
    assert list(found["contestants"]) == ["relu"]
    assert found["not_measured"] == [
        {
            "contestant": "norse",
            "part": "all",
            "why": "norse is not installed (pip install 'asnn[bench]')",
        }
    ]


@pytest.mark.slow
def test_failing_library_has_a_reason_and_others_are_measured(enter):
    def broken(case, matched):
        raise ImportError("No module named 'what_it_needs'")

    enter("broken", broken, package="torch")
    found = run_job(Job(SMALL, ("relu", "broken"), ("inference",)), OPTIONS, lambda text: None)
    assert found["not_measured"][0]["why"] == "ImportError: No module named 'what_it_needs'"
    assert "inference" in found["contestants"]["relu"]


def test_failure_of_asnn_is_raised(enter):
    def broken(case, matched):
        raise RuntimeError("boom")

    enter("broken", broken)
    with pytest.raises(RuntimeError, match="boom"):
        run_job(Job(SMALL, ("broken",), ("train",)), OPTIONS, lambda text: None)


@pytest.mark.slow
def test_unequal_work_is_not_measured(enter):
    def other(case, matched):
        network = Relu(case)
        network.readout = torch.nn.Linear(network.readout.in_features, case.classes + 1)
        return network

    enter("other", other, no_reference="for the test")
    found = run_job(Job(SMALL, ("relu", "other"), ("train",)), OPTIONS, lambda text: None)
    assert found["unequal_work"] is True
    assert list(found["contestants"]) == ["relu"]
    assert found["not_measured"][0]["why"].startswith("it does not do equal work: its weights")


def test_batch_norm_of_a_single_value_has_a_reason():
    case = Case(model="mlp", in_shape=(1, 4, 4), classes=5, steps=1, batch=1)
    found = run_job(Job(case, ("relu", "step-loop"), ("train",)), OPTIONS, lambda text: None)
    assert [(each["contestant"], each["part"]) for each in found["not_measured"]] == [
        ("relu", "train"),
        ("step-loop", "train"),
    ]
    assert "more than 1 value per channel" in found["not_measured"][0]["why"]


@pytest.mark.slow
def test_no_ratios_without_the_base():
    options = TimingOptions(rounds=1, threads=1, base="asnn", visit=0)
    found = run_job(Job(SMALL, ("relu",), ("inference",)), options, lambda text: None)
    assert found["contestants"]["relu"]["inference"]["ratio"] is None


def test_memory_of_the_requested_baselines(monkeypatch):
    from asnn.benchmarks.memory import Footprint
    from asnn.core.errors import AsnnError

    def footprint(baseline, case, *, threads):
        if baseline.name == "step-loop":
            raise AsnnError("step-loop failed", why="boom")
        return Footprint(1000, "", 1.0, 2.0, None)

    monkeypatch.setattr(running, "footprint", footprint)
    job = Job(SMALL, ("relu", "step-loop", "asnn-reference"), (), ("relu", "step-loop", "norse"))
    found = run_job(job, OPTIONS, lambda text: None)
    assert found["contestants"]["relu"]["memory"]["peak_growth"] == 1000
    assert "memory" not in found["contestants"]["asnn-reference"]
    assert found["not_measured"] == [
        {"contestant": "step-loop", "part": "memory", "why": "step-loop failed: boom"}
    ]


def test_environment():
    found = environment(["relu", "norse"])
    assert set(found["machine"]) == {"processor", "cores", "platform", "python"}
    assert list(found["versions"]) == ["asnn", "torch", "numpy", "norse"]
    # `+cu126` and the like are not in the metadata of all builds.
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]


@pytest.mark.slow
def test_figure(result, tmp_path):
    panels = panels_of([result])
    assert list(panels) == [
        "lenet, direct, batch 3: training step",
        "lenet, direct, batch 3: inference",
    ]
    (steps, ms, low, high) = panels["lenet, direct, batch 3: inference"]["relu"][0]
    assert steps == 2 and low <= ms <= high
    draw_costs(tmp_path / "cost.png", [result])
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_figure_of_no_results(tmp_path):
    with pytest.raises(ConfigError, match="there is nothing to draw"):
        draw_costs(tmp_path / "cost.png", [{"case": SMALL.as_dict(), "contestants": {}}])


def test_every_baseline_has_a_description():
    for name, baseline in BASELINES.items():
        assert baseline.name == name and baseline.description
        assert baseline.reference in BASELINES
        assert not (baseline.no_reference and baseline.neuron)
