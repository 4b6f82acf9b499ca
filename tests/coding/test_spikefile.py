"""Spike files: every code is restored exactly, and other files are refused."""

import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from asnn.coding import SpikeFile, create_coding, load_spikes, save_spikes
from asnn.coding.spikefile import targets_by_name
from asnn.core import DataError

CODES = [
    "direct",
    "temporal",
    "hybrid",
    "embedding",
    "hybrid-embedding",
    "rate",
    "latency",
    "delta",
]


def saved(file: SpikeFile) -> bytes:
    stream = io.BytesIO()
    save_spikes(stream, file)
    return stream.getvalue()


def sample(name: str = "hybrid", steps: int = 3) -> SpikeFile:
    coding = create_coding(name, steps=steps)
    x = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    meta = {"code": name, "analog_steps": coding.analog_steps, "static": coding.static}
    return SpikeFile(coding.encode(x).numpy(), meta, np.array([3, 1]))


def archive(**arrays) -> bytes:
    """Return a NumPy archive with the arrays of a spike file, some of them replaced."""
    valid = {
        "spikes": np.packbits(np.array([1, 0, 1, 1], np.uint8)),
        "shape": np.array([2, 2]),
        "meta": np.asarray(json.dumps({"analog_steps": 0, "format": 1})),
    }
    stream = io.BytesIO()
    present = {key: value for key, value in {**valid, **arrays}.items() if value is not None}
    np.savez(stream, **present)
    return stream.getvalue()


@pytest.mark.slow
@given(
    st.sampled_from(CODES),
    st.integers(2, 6),
    npst.arrays(
        np.float32,
        npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4),
        elements=st.floats(0, 1, width=32),
    ),
    st.booleans(),
)
def test_a_saved_file_is_restored(name, steps, x, labelled):
    coding = create_coding(name, steps=steps)
    code = coding.encode(torch.from_numpy(x)).numpy()
    labels = np.arange(len(x)) if labelled else None
    meta = {
        "code": name,
        "steps": steps,
        "analog_steps": coding.analog_steps,
        "static": coding.static,
    }
    found = load_spikes(saved(SpikeFile(code, meta, labels)))
    np.testing.assert_array_equal(found.code, code)
    assert found.code.shape == code.shape
    assert found.code.dtype == (np.float32 if coding.analog_steps else np.uint8)
    assert found.meta == {**meta, "format": 1}
    if labels is None:
        assert found.labels is None
    else:
        np.testing.assert_array_equal(found.labels, labels)


def test_the_file_format(tmp_path):
    path = tmp_path / "spikes.npz"
    path.write_bytes(saved(sample()))
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["analog", "labels", "meta", "shape", "spikes"]
        assert arrays["shape"].tolist() == [3, 2, 1, 3, 3]
        # Two spike steps of 18 values are 36 bits, which fill 5 bytes.
        assert (arrays["spikes"].dtype, arrays["spikes"].size) == (np.uint8, 5)
        bits = np.unpackbits(arrays["spikes"])[:36].reshape(2, 2, 1, 3, 3)
        np.testing.assert_array_equal(bits, sample().code[1:])
        assert (arrays["analog"].dtype, arrays["analog"].shape) == (np.float32, (1, 2, 1, 3, 3))
    np.testing.assert_array_equal(load_spikes(path).code, sample().code)
    np.testing.assert_array_equal(load_spikes(str(path)).code, sample().code)


def test_a_static_code_is_stored_once():
    small, large = (len(saved(sample("direct", steps))) for steps in (2, 200))
    assert large - small < 10  # the digits of the number of steps


def test_counts_are_refused():
    coding = create_coding("embedding", steps=4, variant="published")
    code = coding.encode(torch.rand(1, 1, 4, 4)).numpy()
    stream = io.BytesIO()
    with pytest.raises(DataError) as caught:
        save_spikes(stream, SpikeFile(code, {"analog_steps": 0}))
    assert caught.value.what == (
        "the code holds values other than 0 and 1, which packed bits cannot store"
    )
    assert "counts spikes" in caught.value.why
    assert caught.value.remedy == "write .npy instead"
    assert stream.getvalue() == b""


def refused(content) -> DataError:
    with pytest.raises(DataError) as caught:
        load_spikes(content)
    return caught.value


def test_every_truncation_is_refused():
    valid = saved(sample())
    for length in range(0, len(valid), 7):
        error = refused(valid[:length])
    assert error.what == "spike file is not a readable spike file"
    assert error.why
    assert error.remedy == "make it again with `asnn encode`"


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(content):
    refused(content)
    refused(b"PK\x03\x04" + content)
    refused(b"\x93NUMPY\x01\x00" + content)


@pytest.mark.parametrize(
    "arrays",
    [
        {"spikes": None},
        {"shape": None},
        {"meta": None},
        {"meta": np.asarray("{")},
        {"meta": np.asarray("[]")},
        {"meta": np.asarray("{}")},
        {"meta": np.asarray('{"analog_steps": null}')},
        {"meta": np.asarray('{"analog_steps": 1}')},
        {"meta": np.asarray('{"analog_steps": 3}')},
        {"meta": np.asarray('{"analog_steps": -1}')},
        {"shape": np.array([2, 9])},
        {"shape": np.array([2, -2])},
        {"shape": np.array(4)},
        {"shape": np.array([2**40, 2**24])},
        {"spikes": np.zeros(2, np.uint8)},
        {"spikes": np.zeros(1, np.float32)},
        {"spikes": np.array([{}], dtype=object)},
    ],
    ids=str,
)
def test_inconsistent_arrays_are_refused(arrays):
    assert load_spikes(archive()).code.tolist() == [[1, 0], [1, 1]]
    refused(archive(**arrays))


def test_other_files_are_refused(tmp_path):
    missing = tmp_path / "missing.npz"
    assert refused(missing).what == f"{missing} is not a readable spike file"
    refused(tmp_path)
    array = tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    refused(array)
    other = tmp_path / "other.npz"
    np.savez(other, x_train=np.zeros(3))
    assert "meta" in refused(other).why


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("labels", np.array([3, 1])),
        ("step_labels", np.array([[0, -1, 2], [1, 1, -1]])),
        ("values", np.array([[0.5], [-2]], np.float32)),
        ("values", np.array([0.5, -2], np.float32)),
    ],
)
def test_targets_of_each_kind_are_restored(name, targets):
    assert list(targets_by_name(targets)) == [name]
    file = SpikeFile(sample().code, sample().meta, **targets_by_name(targets))
    found = load_spikes(saved(file))
    for each in ("labels", "step_labels", "values"):
        if each == name:
            np.testing.assert_array_equal(getattr(found, each), targets)
        else:
            assert getattr(found, each) is None
    assert targets_by_name(None) == {}
    assert load_spikes(saved(sample())).labels.tolist() == [3, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": np.zeros(3, int)},
        {"labels": np.zeros((2, 1), int)},
        {"step_labels": np.zeros((2, 3), int)},
        {"step_labels": np.zeros(2, int)},
        {"values": np.zeros((3, 2), "f4")},
    ],
)
def test_targets_that_do_not_fit_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(DataError, match=f"{name} .* for the code"):
        load_spikes(archive(**wrong))
