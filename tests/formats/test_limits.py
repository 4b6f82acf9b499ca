"""What hostile and damaged files may cost: bounded time and memory, and never another error."""

import sys

import pytest
from hypothesis import given, settings

from asnn.core import DataError
from asnn.inspection import inspect
from tests.support import damage
from tests.support.forked import measure_command
from tests.support.format_files import VALID
from tests.support.hostile_formats import HOSTILE

COSTLY = [
    ("hard link cycle", ".nir"),
    ("1 TiB, contiguous", ".nir"),
    ("compressed zeros", ".nir"),
    ("billion laughs", ".nir"),
    ("a million empty nodes", ".onnx"),
    ("packed varints", ".onnx"),
    ("header of 20 MB", ".safetensors"),
    ("zip bomb", ".bin"),
]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc exists on Linux only")
@pytest.mark.parametrize("case", COSTLY, ids=" ".join)
def test_the_costliest_files_take_little_time_and_memory(case, tmp_path):
    path = tmp_path / f"file{case[1]}"
    HOSTILE[case][0](path)
    result = measure_command("inspect", str(path))
    assert result.code == 4 and "Traceback" not in result.stderr
    assert not result.loads_torch
    assert result.seconds < 4  # 1.6 where it was measured
    assert result.kilobytes < 500_000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "safetensors", "npz"])
@settings(damage.SETTINGS, max_examples=300)
@given(flips=damage.BIT_FLIPS, keep=damage.KEPT_SHARE)
def test_damage_is_refused_or_harmless(kind, flips, keep, tmp_path_factory):
    name, write = VALID[kind]
    path = tmp_path_factory.getbasetemp() / f"fuzz-{name}"
    write(path)
    path.write_bytes(damage.damaged(path.read_bytes(), flips, keep))
    try:
        inspect(path)
    except DataError as error:
        assert str(error).isprintable()
