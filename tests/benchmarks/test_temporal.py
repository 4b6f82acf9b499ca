"""Targets of convolutions over time, with invented results; and the work of both networks."""

from dataclasses import replace

import pytest

from asnn.benchmarks.baselines import BASELINES, build
from asnn.benchmarks.equal_work import examine
from asnn.benchmarks.temporal import CASE, NAMES, jobs, targets

SMALL = replace(CASE, in_shape=(1, 16, 16), batch=2)


def _result(seconds=(2.0, 5.0), growth=(100, 300), reason=""):
    found = {
        name: {
            "train": {"rounds_s": [second, second]},
            "memory": {"peak_growth": bytes_, "reason": reason},
        }
        for name, second, bytes_ in zip(NAMES, seconds, growth, strict=True)
    }
    return [{"case": CASE.as_dict(), "contestants": found, "not_measured": []}]


def test_verdicts():
    assert [target.met for target in targets(_result())] == [True, True]
    speed, memory = targets(_result((2.0, 3.9), (300, 200)))
    assert (speed.measured, speed.met) == (1.95, False)
    assert (memory.measured, memory.met) == (1.5, False)
    _, unknown = targets(_result(growth=(None, 3), reason="no record"))
    assert (unknown.met, unknown.note) == (None, "no record")


def test_the_job_is_a_training_step_and_its_memory():
    (job,) = jobs()
    assert (job.what, job.memory) == (("train",), ("asnn", "spikingjelly"))
    assert (job.case.model, job.case.steps) == ("spiking-yolo", 4)


@pytest.mark.slow
def test_both_networks_compute_the_same():
    pytest.importorskip("spikingjelly")
    baseline = BASELINES["spikingjelly"]
    work = examine(baseline, build(baseline, SMALL), SMALL)
    assert work.faults == []
    assert work.same_loss
    assert work.parameters["weights"] == 27 * (16 + 16 * 32 + 32 * 64 + 64 * 64) + 64 * 15 + 15
