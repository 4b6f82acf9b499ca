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
    """A step that takes so many bytes, and gives them back."""

    def __init__(self, size):
        self.size = size
        self.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))])

    def __call__(self):
        torch.ones(self.size, dtype=torch.uint8)


def test_peak_growth_is_what_a_step_takes():
    growth, reason = probe.peak_growth(Allocates(200_000_000), 2)  # type: ignore[arg-type]
    if growth is None:
        pytest.skip(reason)
    assert 195_000_000 < growth < 260_000_000
    small, _ = probe.peak_growth(Allocates(1_000_000), 2)  # type: ignore[arg-type]
    assert small is not None and small < 50_000_000  # the former peak is forgotten


def test_no_peak_is_guessed_where_the_system_tells_none(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "OWN", tmp_path / "none")
    growth, reason = probe.peak_growth(Allocates(10), 1)  # type: ignore[arg-type]
    assert growth is None and reason.startswith("the system does not tell a peak")


@pytest.mark.slow  # starts processes that load torch
@pytest.mark.parametrize("compiles", [False, True])
def test_footprint(monkeypatch, compiles):
    contestant = replace(BASELINES["relu"], compiles=compiles)
    found = footprint(contestant, SMALL, threads=1, steps=1)
    assert found.first_call_seconds > 0 and found.build_seconds > 0
    assert (found.warm_first_call_seconds is None) is (not compiles)
    assert found.peak_growth is None or found.peak_growth >= 0


def test_the_cache_is_empty_first_and_kept_for_the_second_start(monkeypatch):
    seen = []

    def run(command, *, env, **options):
        cache = env["NUMBA_CACHE_DIR"]
        order = json.loads(command[-1])
        seen.append((order["steps"], Path(cache).exists(), env["OMP_NUM_THREADS"]))
        Path(cache).mkdir(exist_ok=True)
        answer = {"peak_growth": 1, "reason": "", "build_seconds": 1, "first_call_seconds": 2}
        return subprocess.CompletedProcess(command, 0, "said by a library\n" + json.dumps(answer))

    monkeypatch.setattr(subprocess, "run", run)
    footprint(BASELINES["asnn"], SMALL, threads=3)
    assert seen == [(3, False, "3"), (0, True, "3")]


@pytest.mark.slow
def test_a_failure_says_why():
    with pytest.raises(AsnnError) as failed:
        footprint(replace(BASELINES["relu"], name="nobody"), SMALL, threads=1)
    assert failed.value.what == "nobody failed in a process of its own"
    assert failed.value.why == "KeyError: 'nobody'"
