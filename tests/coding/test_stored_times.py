"""Exact spike times in files: every code is restored, and damaged files are refused."""

import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from asnn.coding import SpikeFile, load_spikes, save_spikes
from asnn.coding.stored_times import StoredTimes
from asnn.core import DataError

META = {"coding": "times", "steps": 1, "gives_times": True}


@st.composite
def codes(draw):
    """Times `[1, B, N, S]` as a code gives them: ascending, +inf behind the last."""
    shape = draw(npst.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4))
    times = st.one_of(st.floats(0, 9), st.sampled_from([0.0, 1.0, np.inf]))
    return np.sort(draw(npst.arrays(np.float64, shape, elements=times)), axis=-1)[np.newaxis]


def saved(code, labels=None, **meta) -> bytes:
    stream = io.BytesIO()
    save_spikes(stream, SpikeFile(code, {**META, **meta}, labels))
    return stream.getvalue()


@pytest.mark.slow
@given(codes())
def test_a_code_is_restored(code):
    stored = StoredTimes.of(code)
    assert stored.shape == code.shape and len(stored.times) == np.isfinite(code).sum()
    np.testing.assert_array_equal(stored.dense(), code)
    for b, expected in enumerate(code[0]):
        np.testing.assert_array_equal(stored.sample(b), expected)
        own = stored.times[slice(*stored.offsets[b : b + 2])]
        assert (np.diff(own) >= 0).all() and len(own) == np.isfinite(expected).sum()
    counts = np.isfinite(code).sum(-1)
    assert sorted(stored.counts()) == sorted(counts[counts > 0])
    stream = io.BytesIO()
    stored.write_npy(stream)
    np.testing.assert_array_equal(np.load(io.BytesIO(stream.getvalue())), code)


@pytest.mark.slow
@given(codes())
def test_a_saved_file_is_restored(code):
    labels = np.arange(code.shape[1])
    found = load_spikes(saved(code, labels))
    np.testing.assert_array_equal(found.code, code)
    assert found.code.dtype == np.float64 and found.meta == {**META, "format": 2}
    np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.slow
@given(codes(), st.integers(1, 3))
def test_parts_are_joined(code, size):
    parts = [StoredTimes.of(code[:, b : b + size]) for b in range(0, code.shape[1], size)]
    np.testing.assert_array_equal(StoredTimes.joined(parts).dense(), code)


def test_simultaneous_spikes_are_in_the_order_of_addresses():
    stored = StoredTimes.of(np.array([[[[1.0], [0.5], [1.0], [np.inf], [0.5]]]]))
    assert stored.times.tolist() == [0.5, 0.5, 1.0, 1.0]
    assert stored.address.tolist() == [1, 4, 0, 2] and stored.offsets.tolist() == [0, 4]


def archive(**arrays) -> bytes:
    """Return two samples of three addresses with three spikes, with some arrays replaced."""
    valid = {
        "times": np.array([0.5, 1.0, 0.25]),
        "address": np.array([2, 2, 0]),
        "offsets": np.array([0, 2, 3]),
        "shape": np.array([1, 2, 3, 2]),
        "meta": np.asarray(json.dumps({"format": 2})),
    }
    stream = io.BytesIO()
    present = {key: value for key, value in {**valid, **arrays}.items() if value is not None}
    np.savez(stream, **present)
    return stream.getvalue()


def test_the_file_format():
    inf = np.inf
    code = [[[inf, inf], [inf, inf], [0.5, 1.0]], [[0.25, inf], [inf, inf], [inf, inf]]]
    assert load_spikes(archive()).code.tolist() == [code]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"times": None}, "times"),
        ({"times": np.array([1.0, 0.5, 0.25])}, "not in the order of time"),
        ({"times": np.array([0.5, np.inf, 0.25])}, "not finite"),
        ({"times": np.array([0.5, np.nan, 0.25])}, "not finite"),
        ({"times": np.array([1, 2, 3])}, "times is int64 [3]"),
        ({"address": np.array([2, 3, 0])}, "an address is outside of 0 to 2"),
        ({"address": np.array([-1, 2, 0])}, "an address is outside of 0 to 2"),
        ({"address": np.array([2, 2])}, "the offsets do not divide 3 spikes into 2 samples"),
        ({"offsets": np.array([0, 2])}, "the offsets do not divide 3 spikes into 2 samples"),
        ({"offsets": np.array([0, 4, 3])}, "the offsets do not divide 3 spikes into 2 samples"),
        ({"offsets": np.array([1, 2, 3])}, "the offsets do not divide 3 spikes into 2 samples"),
        ({"shape": np.array([1, 2, 3, 1])}, "an address has 2 spikes, the shape 1"),
        ({"shape": np.array([2, 2, 3, 2])}, "a shape (1, samples, ..., spikes)"),
        ({"shape": np.array([1, 2, 3, 10**9])}, "takes too much memory"),
        ({"labels": np.array([1])}, "labels [1] for the code [1, 2, 3, 2]"),
    ],
)
def test_damaged_files_are_refused(wrong, why):
    with pytest.raises(DataError) as caught:
        load_spikes(archive(**wrong))
    assert caught.value.what == "spike file is not a readable spike file"
    assert why in caught.value.why
