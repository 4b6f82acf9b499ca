"""Peak memory and first calls."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asnn.benchmarks import probe
from asnn.benchmarks.baselines import BASELINES
from asnn.benchmarks.case import Case
from asnn.benchmarks.memory import footprint
from asnn.core.errors import AsnnError

SMALL = Case(in_shape=(1, 8, 8), classes=5, steps=2, batch=3)


class Allocates:
    """A step that allocates and frees a number of bytes."""

    def __init__(self, size):
        self.size = size
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])

    def __call__(self):
        torch.ones(self.size, dtype=torch.uint8)


@pytest.mark.slow
def test_peak_growth_equals_the_allocation():
    growth, reason = probe.peak_growth(Allocates(200_000_000), 2)  # type: ignore[arg-type]
    if growth is None:
        pytest.skip(reason)
    assert 195_000_000 < growth < 260_000_000
    small, _ = probe.peak_growth(Allocates(1_000_000), 2)  # type: ignore[arg-type]
    assert small is not None and small < 50_000_000  # the earlier peak is reset


@pytest.mark.slow
def test_unknown_peak_is_none_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "PROC", tmp_path / "none")
    growth, reason = probe.peak_growth(Allocates(10), 1)  # type: ignore[arg-type]
    assert growth is None and reason.startswith("the system does not report a peak")


@pytest.mark.slow  # starts two processes that load torch
def test_footprint_of_real_processes():
    baseline = replace(BASELINES["relu"], compiles=True)
    found = footprint(baseline, SMALL, threads=1, steps=1)
    assert found.first_call_seconds > 0 and found.build_seconds > 0
    assert found.warm_first_call_seconds > 0
    assert found.peak_growth is None or found.peak_growth >= 0


@pytest.fixture
def probes(monkeypatch):
    """Replace the processes of the probe; return (steps, cache exists, threads) of each start."""
    seen = []

    def run(command, *, env, **options):
        cache = env["NUMBA_CACHE_DIR"]
        request = json.loads(command[-1])
        seen.append((request["steps"], Path(cache).exists(), env["OMP_NUM_THREADS"]))
        if request["baseline"] == "nobody":
            error = "Traceback (most recent call last):\nKeyError: 'nobody'\n"
            return subprocess.CompletedProcess(command, 1, "", error)
        Path(cache).mkdir(exist_ok=True)
        result = {"peak_growth": 1, "reason": "", "build_seconds": 1, "first_call_seconds": 2}
        return subprocess.CompletedProcess(command, 0, "said by a library\n" + json.dumps(result))

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_second_start_keeps_the_cache_of_the_first(probes):
    found = footprint(BASELINES["asnn"], SMALL, threads=3)
    assert probes == [(3, False, "3"), (0, True, "3")]
    assert found.warm_first_call_seconds == 2


def test_baseline_that_does_not_compile_is_started_once(probes):
    found = footprint(replace(BASELINES["relu"], compiles=False), SMALL, threads=1, steps=1)
    assert probes == [(1, False, "1")]
    assert found.warm_first_call_seconds is None


def test_failed_process_gives_its_last_line(probes):
    with pytest.raises(AsnnError) as failed:
        footprint(replace(BASELINES["relu"], name="nobody"), SMALL, threads=1)
    assert failed.value.what == "nobody failed in a separate process"
    assert failed.value.why == "KeyError: 'nobody'"
