"""numba's cache, filled by several processes: each kernel that is loaded is the right one."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")

COMPILE = "from asnn.kernels.cpu.tasks import address_of; address_of({name!r})"
COMPARE = """
import torch
from asnn.models.layers import SpikingLayer, use_kernels
from asnn.models.neurons import AdaptiveLeaky
x = torch.randn(3, 50, 28, generator=torch.Generator().manual_seed(0))  # 16 and 12 channels
found = []
for kernels in ("reference", "fused"):
    layer = SpikingLayer(None, AdaptiveLeaky(3, 28), None)
    use_kernels(layer, kernels)
    leaf = x.clone().requires_grad_()
    out = layer(leaf)
    (out * x).sum().backward()
    found.append((out.detach(), leaf.grad))
(a, da), (b, db) = found
assert torch.equal(a, b), "spikes differ"
torch.testing.assert_close(da, db)
"""


def python(code, cache):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.slow
def test_kernels_of_different_processes_are_not_confused(tmp_path):
    """Each process numbers its functions from one: without the name that `compiled` adds, two of
    them give the same name to different functions, and a third crashed."""
    for lanes in (16, 8, 1):  # which two are used depends on the machine
        for way in ("forward", "backward"):
            done = python(COMPILE.format(name=f"{way}_{lanes}"), tmp_path)
            assert done.returncode == 0, done.stderr
    filled = {path.name for path in tmp_path.rglob("*.nbc")}
    done = python(COMPARE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.rglob("*.nbc")} == filled, "nothing came from the cache"
