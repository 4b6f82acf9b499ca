"""Headers of NumPy files; pickles, invalid and hostile archives are refused."""

import numpy as np
import pytest

from asnn.formats.array_headers import read_array_headers
from tests.support.format_files import npz_bytes
from tests.support.hostile_formats import HOSTILE, check_refused


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in HOSTILE if case[1] == ".bin"], ids=" ".join)
def test_hostile_files_are_refused_in_one_line(case, tmp_path):
    check_refused(case, tmp_path)


def test_names_types_and_shapes(tmp_path):
    (tmp_path / "a.npz").write_bytes(npz_bytes())
    found = {
        array.name: (str(array.dtype), array.shape)
        for array in read_array_headers(tmp_path / "a.npz")
    }
    assert found == {"x": ("float64", (6,)), "y": ("int64", (2, 3))}
    np.save(tmp_path / "a.npy", np.asfortranarray(np.ones((3, 2), "f4")))
    assert [array.shape for array in read_array_headers(tmp_path / "a.npy")] == [(3, 2)]
