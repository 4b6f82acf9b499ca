"""Targets of deep networks, with invented results."""

from asnn.benchmarks.architectures import CASES, jobs, targets
from asnn.benchmarks.presets import PRESETS


def result_of(case, seconds, missing=()):
    """A result with constant times."""
    baselines = {name: {"train": {"rounds_s": [each, each]}} for name, each in seconds.items()}
    why = [{"contestant": name, "part": "all", "why": "it is not installed"} for name in missing]
    return {"case": case.as_dict(), "contestants": baselines, "not_measured": why}


def test_verdicts():
    kept, broken, nothing, *_ = CASES
    found = targets(
        [
            result_of(kept, {"asnn": 2.0, "spikingjelly": 5.0}),
            result_of(broken, {"asnn": 2.0, "spikingjelly": 4.8}),
            result_of(nothing, {"asnn": 2.0}, missing=["spikingjelly"]),
        ]
    )
    assert [target.met for target in found] == [True, False, None]
    assert [target.measured for target in found] == [2.5, 2.4, None]
    assert all(target.promised == 2.5 for target in found)
    assert found[2].note == "it is not installed"
    assert found[0].what == f"{kept.model} {kept.coding}: spikingjelly / asnn"


def test_the_jobs_are_a_training_step_of_each_network():
    assert [job.case for job in jobs()] == CASES
    assert {case.model for case in CASES} == {"ms-resnet18", "ms-resnet18-16", "spikformer"}
    for job in jobs():
        assert job.what == ("train",) and {"asnn", "spikingjelly"} <= set(job.names)
        assert (job.case.in_shape, job.case.classes) == ((3, 32, 32), 10)
        assert (job.case.steps, job.case.batch) == (4, 32)


def test_presets():
    assert list(PRESETS) == ["paper", "architectures", "temporal"]
    assert PRESETS["paper"].rounds == 7 and PRESETS["architectures"].rounds == 3
