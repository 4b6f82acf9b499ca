"""safetensors files: the tensors that were saved; invalid and hostile files are refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from asnn.formats.safetensors import read_weights
from tests.support.format_files import WEIGHTS
from tests.support.hostile_formats import HOSTILE, check_refused

CASES = [case for case in HOSTILE if case[1] == ".safetensors"]


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_hostile_files_are_refused_in_one_line(case, tmp_path):
    check_refused(case, tmp_path)


def test_tensors_and_metadata(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(WEIGHTS)
    weights = read_weights(tmp_path / "w.safetensors")
    assert weights.metadata == {"made by": "hand"}
    assert weights.array("a").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert weights.array("b").tolist() == [6, 7]


def test_bfloat16_is_read_as_float32(tmp_path):
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"a": values, "b": torch.ones(2, dtype=torch.float16)}, tmp_path / "w.safetensors")
    weights = read_weights(tmp_path / "w.safetensors")
    assert np.array_equal(weights.array("a"), values.float().numpy())
    assert weights.array("b").tolist() == [1, 1]
