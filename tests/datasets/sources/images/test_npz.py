"""Arrays in an .npz file: exact values, and the message of each refusal."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asnn.core.errors import DataError
from asnn.datasets import load_dataset
from asnn.datasets.sources.images.npz import load_npz


def altered(**changes) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = {
        "x_train": random.integers(0, 256, (12, 1, 3, 4), dtype=np.uint8),
        "y_train": np.arange(12) % 3,
        "x_test": random.integers(0, 256, (6, 1, 3, 4), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    arrays |= changes
    return {name: array for name, array in arrays.items() if array is not None}


def load(content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.npz"
        path.write_bytes(content)
        return load_npz(path=str(path))


def packed(compressed: bool = False, **arrays) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


shapes = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=5),
    st.tuples(st.sampled_from([1, 3]), st.integers(1, 5), st.integers(1, 5)),
)


@pytest.mark.slow
@given(
    shapes,
    st.sampled_from(["u1", "f2", "<f4", ">f4", "f8"]),
    st.booleans(),
    st.sampled_from(["C", "F"]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_images_and_labels_are_read_exactly(shape, dtype, compressed, order, data):
    unit = st.integers(0, 255) if dtype == "u1" else st.floats(0, 1, width=16)
    images = data.draw(hnp.arrays(np.dtype(dtype), (6, *shape), elements=unit))
    labels = np.arange(6, dtype=data.draw(st.sampled_from(["u1", "i4", "i8"]))) % 3
    arrays = {"x_train": np.asarray(images, order=order), "y_train": labels}
    source = load(packed(compressed, **arrays))
    expected = images if dtype == "u1" else images.astype(np.float32)
    if len(shape) == 2:
        expected = expected[:, None]
    assert source.train.inputs.dtype == (torch.uint8 if dtype == "u1" else torch.float32)
    np.testing.assert_array_equal(source.train.inputs.numpy(), expected)
    assert source.train.targets.dtype == torch.int64
    assert source.train.targets.tolist() == labels.tolist()
    assert source.test is None
    assert source.classes == ["0", "1", "2"]


@given(st.data(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_truncation_is_refused(data, compressed):
    content = packed(compressed, **altered())
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match=r"mine\.npz (ends too early|is not an \.npz)"):
        load(content[:cut])


@pytest.mark.slow
@given(st.data(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_is_never_read_as_other_values(data, compressed):
    content = bytearray(packed(compressed, **altered()))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        source = load(bytes(content))
    except DataError as error:
        assert "mine.npz" in error.what
        return
    # A flip in a date or an unused name changes no value.
    np.testing.assert_array_equal(source.train.inputs.numpy(), altered()["x_train"])


def test_class_names_and_a_validation_part(tmp_path):
    names = np.array(["ant", "bee", "cat"])
    extra = {"x_validation": altered()["x_test"][:3], "y_validation": np.array([2, 1, 0])}
    np.savez(tmp_path / "all.npz", **altered(classes=names, **extra))
    data = load_dataset("npz", path=str(tmp_path / "all.npz"))
    assert data.classes == ["ant", "bee", "cat"]
    assert len(data.train) == 12
    assert data.validation.targets.tolist() == [2, 1, 0]
    assert len(data.test) == 6


def at(index, value):
    array = np.full((12, 3, 4), 0.5)
    array[index, 1, 1] = value
    return array


INVALID = [
    (altered(y_train=None), "has no array y_train", "found: x_train, x_test, y_test"),
    (
        altered(x_train=None, y_train=None),
        "has no array x_train and no y_train",
        "x_test, y_test",
    ),
    (altered(y_test=None), "has no array y_test", "found: x_train, y_train, x_test"),
    (altered(x_validation=np.zeros((1, 3, 4))), "has no array y_validation", "found: "),
    (altered(x_train=at(7, np.nan)), "has NaN in x_train", "1 values, the first in image 7"),
    (altered(x_train=at(3, np.inf)), "has infinite values in x_train", "the first in image 3"),
    (
        altered(x_train=at(0, 1.5)),
        r"has values outside \[0, 1\] in x_train",
        "from 0.5 to 1.5",
    ),
    (altered(x_train=at(0, -2)), r"has values outside \[0, 1\] in x_train", "from -2 to 0.5"),
    (
        altered(y_train=np.zeros(11, int)),
        "x_train and y_train of different lengths",
        "12 images, 11",
    ),
    (
        altered(y_train=np.arange(12) % 3 + 0.5),
        "labels in y_train that are not whole numbers",
        "0.5 at index 0",
    ),
    (
        altered(y_train=np.arange(12) - 1),
        "labels out of range in y_train",
        "label -1 at index 0",
    ),
    (
        altered(y_train=np.full(12, 2**63, "u8")),
        "labels out of range in y_train",
        "9223372036854",
    ),
    (altered(y_train=np.zeros((12, 3), int)), "is not one label per image", r"[12, 3]"),
    (
        altered(y_test=np.full(6, 3)),
        "wrong label range in y_test",
        "label 3, but y_train has 0..2",
    ),
    (
        altered(y_train=np.repeat([0, 2], 6)),
        "no training sample of class 1",
        "go up to 2, 2 of",
    ),
    (
        altered(y_train=np.full(12, 10**9)),
        "no training sample of class 0",
        "go up to 1000000000",
    ),
    (
        altered(y_train=np.zeros(12, int), y_test=np.zeros(6, int)),
        "only one class",
        "always 0",
    ),
    (
        altered(x_train=np.zeros((12, 9))),
        r"x_train of shape \[12, 9\]",
        "images are [N, H, W]",
    ),
    (altered(x_train=np.zeros((0, 3, 4))), "an empty x_train", "[0, 3, 4]"),
    (
        altered(x_train=np.zeros((12, 3, 4), int)),
        "x_train of type int64",
        "uint16 (0..65535) or floats",
    ),
    (
        altered(x_test=np.zeros((6, 1, 3, 5), "u1")),
        "another size in x_test",
        "x_train are [1, 3, 4]",
    ),
    (altered(classes=np.array(["a", "b"])), "too few names in classes", "labels go up to 2"),
    (
        altered(classes=np.array(["a", "b", "c", "d"])),
        r"no training sample of class 3 \(d\)",
        "go up to 2",
    ),
    (altered(x_train=np.array([{}] * 12)), "holds an object array", "they can run code"),
]


@pytest.mark.parametrize(("arrays", "what", "why"), INVALID, ids=[case[1] for case in INVALID])
def test_invalid_arrays_are_refused_by_name(arrays, what, why):
    with pytest.raises(DataError, match=what) as caught:
        load(packed(**arrays))
    assert "mine.npz" in caught.value.what
    assert why in caught.value.why
    assert caught.value.remedy


def test_channels_last_are_transposed_where_nothing_else_can_be_meant():
    images = np.random.default_rng(2).integers(0, 256, (12, 3, 5, 4), dtype=np.uint8)
    last = images.transpose(0, 2, 3, 1)
    source = load(packed(x=last, y=np.arange(12) % 2))
    np.testing.assert_array_equal(source.train.inputs.numpy(), images)
    assert "images [N, H, W, C] have the channels last, and are transposed" in source.notes
    # [N, 3, H, 3] can be either, and stays.
    assert load(packed(x=images[:, :, :, :3], y=np.arange(12) % 2)).train.inputs.shape[1:] == (
        3,
        5,
        3,
    )


def test_files_that_are_not_npz(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"one\.npy has no labels") as caught:
        load_npz(path=str(tmp_path / "one.npy"))
    assert "np.savez('one.npz', x=np.load('one.npy'), y=...)" in caught.value.remedy
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(DataError, match=r"text\.npz is not an \.npz file") as caught:
        load_npz(path=str(tmp_path / "text.npz"))
    assert "np.savez(path, x_train=..., y_train=...)" in caught.value.remedy
    with pytest.raises(DataError, match="could not be read: No such file"):
        load_npz(path=str(tmp_path / "none.npz"))
    with pytest.raises(DataError, match=r"has no array x_train and no y_train: found: one"):
        load_npz(path=str(tmp_path))
    (tmp_path / "one.npy").unlink()
    with pytest.raises(DataError, match=r"holds no \.npy files"):
        load_npz(path=str(tmp_path))


def test_a_folder_of_npy_files_is_read_as_one_file(tmp_path):
    arrays = altered()
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    source = load_npz(path=str(tmp_path))
    np.testing.assert_array_equal(source.train.inputs.numpy(), arrays["x_train"])
    assert source.test is not None and source.test.targets.tolist() == arrays["y_test"].tolist()
    content = bytearray((tmp_path / "x_test.npy").read_bytes())
    (tmp_path / "x_test.npy").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"x_test\.npy could not be read"):
        load_npz(path=str(tmp_path))


def test_a_damaged_value_is_reported_as_corruption():
    content = bytearray(packed(**altered()))
    content[content.index(altered()["x_train"].tobytes()) + 20] ^= 1
    with pytest.raises(DataError, match=r"mine\.npz is corrupt") as caught:
        load(bytes(content))
    assert "CRC" in caught.value.why
