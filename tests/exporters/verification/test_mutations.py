"""Random single changes of exported files: each is found, or the file is the same."""

import numpy as np
import pytest

from asnn.exporters import export_onnx, source_of
from asnn.exporters.nir import export
from studies.mutations import setups, trial_of_onnx
from tests.support.exported_networks import network


@pytest.mark.slow
def test_every_change_is_found_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_NODES", 0)  # simulators take seconds each
    rng = np.random.default_rng(1)
    trials = setups(tmp_path)
    found = [trials[i % len(trials)][3](*trials[i % len(trials)][1:3], rng) for i in range(48)]
    missed = [each for each in found if not each.same and each.verdict is None]
    assert missed == []
    assert len({each.change for each in found}) >= 8
    # A negative control: running alone does not see names, metadata and unused values.
    assert sum(each.by_running for each in found) < len(found)


@pytest.mark.slow
def test_every_change_of_a_file_that_takes_random_numbers_is_found(tmp_path):
    model = network(
        "lenet", readout="first-crossing", neuron_options={"noise": "logistic"},
        readout_options={"quantity": "drawn", "level": 0.5, "kappa": 3.0},
    )  # fmt: skip
    source, rng = source_of(model, noise=True), np.random.default_rng(0)
    found = []
    for form in ("sequence", "stream", "scan"):
        export_onnx(source, tmp_path / form, samples=None, form=form)
        found += [trial_of_onnx(source, tmp_path / form, rng) for _ in range(10)]
    assert [each for each in found if not each.same and each.verdict is None] == []
    assert 10 < sum(each.by_running for each in found) < len(found)
