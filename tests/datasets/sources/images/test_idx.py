"""The idx reader on files written from the specification, valid and damaged."""

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asnn.core.errors import DataError
from asnn.datasets.sources.images.idx import read_idx
from tests.support.idx import idx_bytes

arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


def read(content: bytes, dimensions: int, suffix: str = "") -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"some-idx{suffix}"
        path.write_bytes(content)
        return read_idx(path, dimensions)


@given(arrays, st.booleans())
@settings(max_examples=60, deadline=None)
def test_files_of_the_specification_are_read(array, zipped):
    content = idx_bytes(array)
    content, suffix = (gzip.compress(content), ".gz") if zipped else (content, "")
    found = read(content, array.ndim, suffix)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


@pytest.mark.slow
@given(arrays, st.data(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_every_truncation_is_reported_as_such(array, data, zipped):
    content = idx_bytes(array)
    content, suffix = (gzip.compress(content), ".gz") if zipped else (content, "")
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match=r"some-idx(\.gz)? ends too early") as caught:
        read(content[:cut], array.ndim, suffix)
    assert "interrupted download" in caught.value.why
    assert caught.value.remedy == "delete it and run again"


@given(st.integers(0, 10**6), st.integers(0, 7))
@settings(max_examples=80, deadline=None)
def test_a_flipped_bit_is_never_read_as_other_values(position, bit):
    array = np.random.default_rng(2).integers(0, 256, (20, 8, 8))
    content = bytearray(gzip.compress(idx_bytes(array), mtime=0))
    content[position % len(content)] ^= 1 << bit
    try:
        # The header's time and system name carry no data: a flip there changes nothing.
        np.testing.assert_array_equal(read(bytes(content), 3, ".gz"), array)
    except DataError as error:
        assert "some-idx.gz" in error.what
        assert "corrupt" in error.what or "ends too early" in error.what


def test_a_flipped_bit_in_the_values_is_reported_as_corruption():
    array = np.random.default_rng(2).integers(0, 256, (20, 8, 8))
    content = bytearray(gzip.compress(idx_bytes(array)))
    content[-4 - 200] ^= 1
    with pytest.raises(DataError, match=r"some-idx\.gz is corrupt or not an idx file") as caught:
        read(bytes(content), 3, ".gz")
    assert "CRC" in caught.value.why or "invalid" in caught.value.why


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "begins with 8950"),
        (bytes([0, 0, 13, 3]) + bytes(30), "type 0x0d, expected 0x08"),
        (bytes([0, 0, 8, 1]) + bytes(30), "1 dimensions, expected 3"),
        (idx_bytes(np.zeros((2, 3, 4))) + b"\0", "states 40 bytes, the file has 41"),
    ],
)
def test_invalid_headers_are_refused(content, why):
    with pytest.raises(DataError, match="corrupt or not an idx file") as caught:
        read(content, 3)
    assert why in caught.value.why


def test_a_file_without_gzip():
    with pytest.raises(DataError, match="corrupt or not an idx file"):
        read(b"<html>404</html>", 3, ".gz")


def test_a_count_that_overflows_32_bits():
    huge = bytes([0, 0, 8, 3]) + (2**31).to_bytes(4, "big") * 3
    with pytest.raises(DataError, match="ends too early"):
        read(huge, 3)


def test_an_unreadable_file(tmp_path):
    with pytest.raises(DataError, match="could not read"):
        read_idx(tmp_path, 3)
