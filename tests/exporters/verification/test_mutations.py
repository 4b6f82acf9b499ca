"""Random single changes of exported files: each is found, or the file is the same."""

import numpy as np
import pytest

from asnn.exporters.nir import export
from studies.mutations import setups


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
