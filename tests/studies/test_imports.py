"""The table of imported files: outputs that differ are counted, also of files of another Python."""

import sys

import nir
import numpy as np
import pytest
import torch

from studies import imports
from studies.writers import pinned
from tests.support.nir_files import graph_of_nodes

WRITE = """
import json, shutil, sys
from pathlib import Path
folder = Path(sys.argv[1])
for each in Path(__file__).parent.glob("rockpool.*"):
    shutil.copy(each, folder)
done = {"versions": {"rockpool": "3", "nir": "1.0.4"}, "failed": {"sinabs": "E: no layers"}}
(folder / "done.json").write_text(json.dumps(done))
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A LI of rockpool, v_t = a (v_{t-1} + x_t) with a = exp(-dt/τ), in a file with its outputs."""
    (tmp_path / "write.py").write_text(WRITE)
    monkeypatch.setattr(pinned, "__file__", str(tmp_path / "write.py"))
    monkeypatch.setattr(imports, "INSTALLED", [])
    ones = np.ones(2, np.float32)
    node = nir.LI(tau=0.002 * ones, r=ones, v_leak=0 * ones)
    nir.write(tmp_path / "rockpool.nir", graph_of_nodes([2], 2, "input>n>output", n=node))
    x, v, found = np.ones((3, 1, 2), np.float32), np.zeros((1, 2), np.float32), []
    decay = np.exp(-1e-3 / np.float64(np.float32(0.002))).astype(np.float32)
    for each in x:
        v = decay * v + decay * each
        found.append(v)

    def write(change):
        y = np.array(found, np.float32)
        y[2, 0, 1] += change
        np.savez(tmp_path / "rockpool.npz", x=x, y=y)

    return write


@pytest.mark.parametrize("change", [0, 1])
def test_files_of_another_python_are_compared(written, change, capfd, monkeypatch):
    written(change)
    monkeypatch.setattr(sys, "argv", ["imports", "--python", sys.executable])
    imports.main()
    shown = capfd.readouterr()
    *_, row = shown.out.splitlines()
    assert row.startswith("| rockpool 3 | LIFTorch, LIFNeuronTorch | `rockpool` | 6 |")
    own, of_nir = (int(cell) for cell in row.strip("| ").split(" | ")[-2:])
    assert (own, of_nir) == (change, 6)
    assert "sinabs writes no file: E: no layers" in shown.err


def test_a_refused_import_is_not_counted(tmp_path):
    network = imports.Network("norse", "a", "norse", lambda path: (None, None))
    (tmp_path / "a.nir").write_bytes(b"")
    x = torch.zeros(2, 1, 3)
    assert imports.differences(network, tmp_path / "a.nir", x, x) == (6, None, None)
