"""Importers in another Python: what they put out is compared here, and why they put out nothing."""

import sys

import numpy as np

from asnn.exporters.importers.probes import Probe, chain, full, lif
from studies.pinned import environment
from studies.pinned.environment import measure_pinned

RUN = """
import json, sys, numpy as np
from pathlib import Path
folder = Path(sys.argv[1])
assert sorted(p.name for p in folder.glob("*.n*")) == ["0.nir", "0.npy", "1.nir", "1.npy"]
np.save(folder / "a-0.npy", np.load(folder / "0.npy"))
np.save(folder / "b-0.npy", np.load(folder / "0.npy") + 1)
np.save(folder / "a-1.npy", np.zeros((2, 1, 3), "f4"))
failed = {"a": {}, "b": {"1": "refused (E)"}}
done = {"versions": {"a": "1", "b": "2", "nir": "1.0.4"}, "failed": failed}
(folder / "done.json").write_text(json.dumps(done))
"""


def test_outputs_of_another_python_are_compared(tmp_path, monkeypatch):
    """Of an importer `a` that passes its input on, and `b`, which adds 1 and refuses neurons."""
    (tmp_path / "run.py").write_text(RUN)
    monkeypatch.setattr(environment, "RUNNER", tmp_path / "run.py")
    import nir

    x = np.ones((2, 1, 4), np.float32)
    probes = [
        Probe("Scale", chain((4,), nir.Scale(full(1.0))), x),
        Probe("LIF", chain((4,), lif()), x),
    ]
    found = measure_pinned(sys.executable, probes)
    assert found["a"].outcomes == ["exact", "wrong shape (1, 3)"]
    assert found["b"].outcomes == ["wrong by 1", "refused (E)"]
    assert (found["b"].version, found["b"].nir) == ("2", "1.0.4")
