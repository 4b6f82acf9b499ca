"""Arrays of any layout: one sample or many, in files or in memory; refused with what to do."""

import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding.samples import SampleSpec
from asnn.core import DataError
from asnn.measure.prediction.inputs.given import samples_given
from asnn.measure.prediction.inputs.images import ImageReader
from asnn.measure.prediction.inputs.reader import read_all, reader_of
from asnn.measure.prediction.inputs.sample import Source, Unreadable

GREY, COLOUR = SampleSpec("image", (1, 4, 5)), SampleSpec("image", (3, 4, 5))
SERIES = SampleSpec("series", (2,), steps=6)


def given_to(spec, array, labels=("a", "b")):
    return list(samples_given(reader_of(spec, list(labels)), array))


def values_of(found):
    return torch.stack([each.value for each in found])


@given(st.integers(1, 130), st.sampled_from(["uint8", "float32", "float64", "uint16"]), st.data())
@settings(max_examples=25, deadline=None)
def test_images_of_all_layouts(count, dtype, data):
    spec = data.draw(st.sampled_from([GREY, COLOUR]))
    rng = np.random.default_rng(count)
    x = rng.random((count, *spec.shape))
    scale = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    x = np.round(x * scale).astype(dtype) if scale > 1 else x.astype(dtype)
    layouts = [x]
    if spec is GREY:
        layouts.append(x[:, 0])
    if count == 1:
        layouts.append(x[0])
        layouts += [x[0, 0]] if spec is GREY else []
    for layout in layouts:
        found = given_to(spec, layout)
        expected = x if dtype == "uint8" else (x / scale).astype(np.float32)
        assert np.allclose(values_of(found).numpy(), expected, atol=1e-7)
        assert values_of(found).dtype == (torch.uint8 if dtype == "uint8" else torch.float32)
        one = layout.ndim < 4 and len(found) == 1
        assert [each.source for each in found] == (
            ["array"] if one else [f"array[{i}]" for i in range(count)]
        )


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize("on_disk", [True, False])
def test_files_are_as_arrays_in_memory(tmp_path, suffix, on_disk):
    x = np.random.default_rng(0).integers(0, 256, (70, 1, 4, 5), dtype=np.uint8)
    path = tmp_path / f"x.{suffix}"
    np.save(path, x) if suffix == "npy" else np.savez(path, x=x, y=np.arange(70) % 3)
    source = Source(str(path), path.read_bytes, path if on_disk else None)
    found = list(read_all(reader_of(GREY, ["a", "b"]), [source]))
    assert np.array_equal(values_of(found).numpy(), x)
    classes = ["a", "b", None] * 24 if suffix == "npz" else [None] * 70
    assert [each.expected for each in found] == classes[:70]
    assert found[69].source == f"{path}[69]"


def test_channels_last_are_taken_where_the_shape_says_so():
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), dtype=np.uint8)
    last = np.moveaxis(x, 1, -1)
    assert np.array_equal(values_of(given_to(COLOUR, last)).numpy(), x)
    (found,) = given_to(COLOUR, last[1])
    assert found.source == "array" and np.array_equal(found.value.numpy(), x[1])
    square = np.random.default_rng(0).random((3, 3, 3, 3), np.float32)  # as it is: [N, C, H, W]
    spec = SampleSpec("image", (3, 3, 3))
    assert np.array_equal(values_of(given_to(spec, square)).numpy(), square)


def test_labels_of_another_length_state_nothing(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 5), np.uint8), y=np.arange(4))
    (found,) = given_to(GREY, tmp_path / "x.npz")
    assert found.expected is None
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 5), np.uint8), y=1)
    (found,) = given_to(GREY, tmp_path / "x.npz")
    assert found.expected == "b"


def test_a_tensor_on_its_way_to_training_and_a_list_are_taken():
    x = torch.rand(2, 1, 4, 5, requires_grad=True)
    found = given_to(GREY, [x, x[0], np.zeros((4, 5))])
    assert [each.source for each in found] == [
        "inputs[0][0]",
        "inputs[0][1]",
        "inputs[1]",
        "inputs[2]",
    ]
    assert torch.equal(found[0].value, x[0].detach())


@pytest.mark.parametrize(
    ("spec", "shape", "why"),
    [
        (GREY, (2, 3, 4, 5), "images [B, 1, 4, 5] are expected, not [2, 3, 4, 5]"),
        (COLOUR, (2, 5, 4, 3), "images [B, 3, 4, 5] are expected, not [2, 5, 4, 3]"),
        (COLOUR, (4, 5), "images [B, 3, 4, 5] are expected, not [4, 5]"),
        (GREY, (), "images [B, 1, 4, 5] are expected, not []"),
        (SERIES, (2, 5, 2), "its series have 5 steps, those of the training 6"),
        (SERIES, (2, 6, 3), "series [B, 6, 2] are expected, not [2, 6, 3]"),
    ],
)
def test_other_shapes_are_refused(spec, shape, why):
    (found,) = given_to(spec, np.zeros(shape, np.float32))
    assert found.error.what == "array does not fit the network" and why in found.error.why


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((2, 4, 5), 7.0), "array holds values outside [0, 1]"),
        (np.full((2, 4, 5), np.nan), "array holds NaN or infinite values"),
        (np.zeros((2, 4, 5), np.int64), "array is of type int64"),
        (np.zeros((2, 4, 5), bool), "array is of type bool"),
        (np.zeros((0, 1, 4, 5), np.uint8), "array holds no samples"),
    ],
)
def test_other_values_are_refused(array, says):
    (found,) = given_to(GREY, array)
    assert isinstance(found, Unreadable) and found.error.what == says


def test_bad_values_in_a_later_part_do_not_lose_the_earlier():
    x = np.zeros((200, 1, 4, 5), np.float32)
    x[150] = 2
    found = given_to(GREY, x)
    assert len(found) == 129 and isinstance(found[-1], Unreadable)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"spikes": np.zeros(3), "meta": np.zeros(3)}, "is a spike file"),
        (dict.fromkeys([*"txyp", "labels"], np.zeros(3)), "holds recordings of events"),
        ({"weight": np.zeros(3), "bias": np.zeros(3)}, "has no array x"),
    ],
)
def test_archives_of_something_else_are_refused(tmp_path, arrays, says):
    np.savez(tmp_path / "x.npz", **arrays)
    (found,) = given_to(GREY, tmp_path / "x.npz")
    assert says in found.error.what


def test_python_objects_and_cut_files_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "cut.npy", np.zeros((9, 1, 4, 5)))
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-100])
    for name in ("objects.npy", "cut.npy"):
        (found,) = given_to(GREY, tmp_path / name)
        assert "cannot be read" in found.error.what, name


def test_other_inputs_are_refused():
    for wrong in (3, [[1.0]], [io.BytesIO()]):
        with pytest.raises(DataError, match="an input is of type"):
            given_to(GREY, wrong)


def test_dark_bytes_are_said_to_be_dark():
    x = np.full((3, 1, 4, 5), 16, np.uint8)
    with pytest.warns(UserWarning, match=r"go up to 16 of 255; if 16 is white"):
        given_to(GREY, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given_to(GREY, x * 8)
        given_to(GREY, x * 0)


def test_series_are_float32_and_spikes_stay_spikes():
    x = np.random.default_rng(0).integers(0, 2, (3, 6, 2))
    binary = SampleSpec("series", (2,), steps=6, binary=True)
    assert np.array_equal(values_of(given_to(binary, x)).numpy(), x)
    (refused,) = given_to(binary, x * 0.5)
    assert refused.error.what == "array holds other values than 0 and 1"
    (refused,) = given_to(SERIES, np.full((1, 6, 2), 1e300))
    assert refused.error.what == "array holds values that are not finite in float32"
    assert given_to(SERIES, np.zeros((6, 2)))[0].source == "array"


def test_images_are_read_by_the_reader_of_images():
    assert isinstance(reader_of(GREY, []), ImageReader)
