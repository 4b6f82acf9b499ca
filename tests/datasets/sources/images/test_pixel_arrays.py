"""Arrays as pixels, by type: nothing is lost, and no remedy loses anything."""

import re

import numpy as np
import pytest

from asnn.core.errors import DataError
from asnn.datasets.sources.images.pixel_arrays import OUTSIDE, pixels_of


def refuse(what, why, remedy):
    return DataError(what, why=why, remedy=remedy)


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_all_65536_levels_of_uint16_are_kept(dtype):
    levels = np.arange(65536).astype(dtype)
    found = pixels_of(levels, "x", refuse)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.round(found.astype(np.float64) * 65535), levels)
    assert len(np.unique(found)) == 65536
    assert len(np.unique(pixels_of(levels.astype(np.uint8), "x", refuse))) == 256  # the control


def test_rounding_errors_are_clipped_and_others_refused():
    found = pixels_of(np.array([-1e-7, 0.25, 1 + 1e-7]), "x", refuse)
    assert found.tolist() == [0.0, 0.25, 1.0]
    for wrong, text in ((1.00001, "0.5 to 1.00001"), (-0.00001, "-1e-05 to 0.5")):
        with pytest.raises(DataError) as caught:
            pixels_of(np.array([0.5, wrong]), "x", refuse)
        assert (caught.value.what, caught.value.why) == (OUTSIDE, f"they go from {text}")


CASES = [
    (np.array([True, False]), "of type bool", "uint16"),
    (np.array([0, 200]), "of type int64", "the values go from 0 to 200"),
    (np.array([0, 60000], np.uint32), "of type uint32", "the values go from 0 to 60000"),
    (np.array([0, 2**40]), "of type int64", "the values go from 0 to 1099511627776"),
    (np.array([-5, 100], np.int8), "of type int8", "the values go from -5 to 100"),
    (np.array([1 + 2j, 3j]), "of type complex128", "complex numbers have no order"),
    (np.array(["a.png", "b.png"]), "of type <U5", "this is text"),
    (np.array([b"ab"]), "of type |S2", "this is text"),
    (np.zeros(4, "M8[s]"), "of type datetime64[s]", "uint8 (0..255)"),
]


@pytest.mark.parametrize(("array", "what", "why"), CASES, ids=[case[1] for case in CASES])
def test_each_type_has_its_own_message(array, what, why):
    with pytest.raises(DataError) as caught:
        pixels_of(array, "x", refuse)
    assert caught.value.what == what
    assert why in caught.value.why
    assert caught.value.remedy


@pytest.mark.parametrize("array", [case[0] for case in CASES[:6]], ids=[c[1] for c in CASES[:6]])
def test_the_remedy_gives_pixels_that_keep_the_values_apart(array):
    with pytest.raises(DataError) as caught:
        pixels_of(array, "x", refuse)
    remedy = re.sub(r"^.*?(?=\(x|numpy\.|x[ .])", "", caught.value.remedy).removesuffix(
        " keeps each value"
    )
    found = pixels_of(eval(remedy, {"numpy": np, "x": array}), "x", refuse)
    assert len(np.unique(found)) == len(
        np.unique(np.abs(array) if array.dtype.kind == "c" else array)
    )
    with pytest.raises(AssertionError):  # what 0.1.0 advised wraps
        np.testing.assert_array_equal(np.array([300]).astype(np.uint8), [300])
