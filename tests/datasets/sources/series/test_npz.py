"""Series in an .npz file: exact values, the four kinds of targets, and each refusal."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asnn.core import DataError
from asnn.datasets import load_dataset
from asnn.datasets.sources.series.npz import load_series_npz

SAMPLES, STEPS = 12, 5


def altered(**changes) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    arrays = {
        "x_train": random.normal(size=(SAMPLES, STEPS, 2)),
        "y_train": np.arange(SAMPLES) % 3,
        "x_test": random.normal(size=(6, STEPS, 2)),
        "y_test": np.arange(6) % 3,
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def load(**arrays):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.npz"
        file = io.BytesIO()
        np.savez(file, **arrays)
        path.write_bytes(file.getvalue())
        return load_series_npz(path=str(path))


shapes = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
)


@given(shapes, st.sampled_from(["?", "u1", "i2", "i8", "f2", "<f4", ">f4", "f8"]), st.data())
@settings(max_examples=60, deadline=None)
def test_series_are_read_exactly(shape, dtype, data):
    values = {"?": st.booleans(), "u": st.integers(0, 255), "i": st.integers(-999, 999)}
    elements = values.get(dtype[0], st.floats(-1e3, 1e3, width=16))
    x = data.draw(hnp.arrays(np.dtype(dtype), (4, *shape), elements=elements))
    x = np.asarray(x, order=data.draw(st.sampled_from("CF")))
    source = load(x_train=x, y_train=np.array([0, 1, 0, 1], np.uint8))
    assert source.train.inputs.dtype == torch.float32
    np.testing.assert_array_equal(source.train.inputs.numpy(), x.astype(np.float32))
    assert source.spec.shape == shape[1:] and source.spec.steps == shape[0]
    assert source.spec.kind == "series"
    assert source.spec.binary == bool(np.isin(x, (0, 1)).all())
    assert source.train.targets.tolist() == [0, 1, 0, 1]
    assert source.classes == ["0", "1"] and source.test is None


def test_spikes_are_spikes_in_all_parts():
    """One other value, in the test part, makes all parts values."""
    spikes = {f"x_{part}": np.ones((6, STEPS, 2), np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(6) % 3 for part in ("train", "test")}
    assert load(**spikes, **labels).spec.binary
    spikes["x_test"][5, 4, 1] = 2
    assert not load(**spikes, **labels).spec.binary


def step_labels(count=SAMPLES):
    labels = np.arange(count * STEPS).reshape(count, STEPS) % 3
    labels[0] = -1
    return labels


@pytest.mark.parametrize(
    "y",
    [
        np.linspace(-1, 1, SAMPLES),
        np.random.default_rng(1).normal(size=(SAMPLES, 3)).astype(np.float32),
        np.random.default_rng(1).normal(size=(SAMPLES, STEPS)),
        np.random.default_rng(1).normal(size=(SAMPLES, STEPS, 4)).astype(np.float16),
    ],
    ids=["[N]", "[N, K]", "[N, T]", "[N, T, K]"],
)
def test_real_values(y):
    source = load(**altered(y_train=y, y_test=y[:6]))
    assert source.classes == []
    assert source.train.targets.dtype == torch.float32
    np.testing.assert_array_equal(source.train.targets.numpy(), y.astype(np.float32))
    assert source.test.targets.shape == (6, *y.shape[1:])


def test_classes_of_steps():
    names = np.array(["rise", "rest", "fall"])
    source = load(**altered(y_train=step_labels(), y_test=step_labels(6), classes=names))
    assert source.classes == ["rise", "rest", "fall"]
    assert source.train.targets.dtype == torch.int64
    np.testing.assert_array_equal(source.train.targets.numpy(), step_labels())


@pytest.mark.parametrize(
    "y", [np.arange(40) % 2, np.zeros((40, STEPS)), np.eye(STEPS, dtype=int)[:4]]
)
def test_a_data_set_with_three_splits(tmp_path, y):
    if len(y) == 4:  # labels of steps
        y = np.tile(y, (10, 1))
    x = np.arange(40.0).reshape(40, 1, 1) + np.zeros((40, STEPS, 2))
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y)
    data = load_dataset("series-npz", path=str(tmp_path / "a.npz"), validation=0.25, test=0.25)
    assert [len(each) for each in (data.train, data.validation, data.test)] == [22, 8, 10]
    assert data.in_shape == (2,)
    seen = torch.cat([each.inputs[:, 0, 0] for each in (data.train, data.validation, data.test)])
    assert sorted(seen.tolist()) == list(range(40))
    mean, deviation = data.moments()
    train = data.train.inputs[:, 0, 0].double()
    assert mean == pytest.approx([float(train.mean())] * 2)
    assert deviation == pytest.approx([float(train.std(correction=0))] * 2)


def test_a_validation_part(tmp_path):
    extra = {"x_validation": altered()["x_test"][:3], "y_validation": np.array([2, 1, 0])}
    np.savez(tmp_path / "a.npz", **altered(**extra))
    data = load_dataset("series-npz", path=str(tmp_path / "a.npz"))
    assert data.validation.targets.tolist() == [2, 1, 0]
    assert (len(data.train), len(data.test)) == (12, 6)


def at(index, value, shape=(SAMPLES, STEPS, 2)):
    array = np.full(shape, 0.5)
    array[(index, *[1] * (len(shape) - 1))] = value
    return array


INVALID = [
    (altered(x_train=at(7, np.nan)), "has NaN in x_train", "1 values, the first in series 7"),
    (altered(x_test=at(3, -np.inf)), "has infinite values in x_test", "first in series 3"),
    (altered(x_train=at(2, 1e39)), "has values beyond float32 in x_train", "1e+39"),
    (altered(x_train=np.zeros((12, 5))), "x_train of shape [12, 5]", "series are [N, T, F] or"),
    (altered(x_train=np.zeros((12, 5, 3, 3))), "x_train of shape [12, 5, 3, 3]", "[N, T, C, H, W]"),
    (altered(x_train=np.zeros((12, 0, 2))), "an empty x_train", "[12, 0, 2]"),
    (altered(x_train=np.zeros((12, 5, 2), complex)), "x_train of type complex128", "floats"),
    (altered(x_train=np.full((12, 5, 2), "a")), "x_train of type <U1", "floats"),
    (altered(y_train=None), "has no array y_train", "found: x_train"),
    (altered(x_validation=np.zeros((1, 5, 2))), "has no array y_validation", "found: "),
    (altered(y_train=np.zeros(11, int)), "of different lengths", "12 series, 11 labels"),
    (altered(y_train=np.full((12, 5), "a")), "y_train of type <U1", "integers [N] are classes"),
    (altered(y_train=np.ones((12, 5), bool)), "y_train of type bool", "integers [N] are classes"),
    (altered(y_train=np.zeros((12, 5, 2), int)), "y_train of shape [12, 5, 2]", "classes of steps"),
    (altered(y_train=np.zeros((12, 5, 2, 2))), "y_train of shape [12, 5, 2, 2]", "real values"),
    (altered(y_train=np.zeros((12, 4), int)), "y_train of other steps than", "have 5 steps"),
    (altered(y_train=np.zeros((12, 4, 2))), "y_train of other steps than", "have 5 steps"),
    (altered(y_train=np.zeros((12, 0))), "has an empty y_train", "[12, 0]"),
    (altered(y_train=at(4, np.nan, (12, 3))), "has NaN in y_train", "the first in series 4"),
    (altered(y_train=np.arange(12) - 1), "out of range in y_train", "label -1 at index 0"),
    (altered(y_train=step_labels() - 1), "out of range in y_train", "label -2 at index 0"),
    (altered(y_train=np.full((12, 5), -1)), "no labels in y_train", "all are -1"),
    (altered(y_train=np.repeat([0, 2], 6)), "no training sample of class 1", "2 of them are used"),
    (altered(y_train=2 * step_labels().clip(0)), "no training sample of class 1", "up to 4"),
    (altered(y_train=np.zeros(12, int)), "only one class", "always 0"),
    (altered(y_test=np.full(6, 3)), "wrong label range in y_test", "label 3, but y_train has 0..2"),
    (altered(x_test=np.zeros((6, 5, 3))), "another size in x_test", "x_train are [5, 2]"),
    (altered(x_test=np.zeros((6, 4, 2))), "another size in x_test", "x_train are [5, 2]"),
    (
        altered(y_test=np.zeros(6)),
        "other targets in y_test",
        "real values [N], those in y_train are",
    ),
    (altered(y_test=step_labels(6)), "other targets in y_test", "integers [N, 5]"),
    (
        altered(y_train=np.zeros((12, 3)), y_test=np.zeros((6, 4))),
        "other targets in y_test",
        "real values [N, 4], those in y_train are real values [N, 3]",
    ),
    (
        altered(y_train=np.zeros(12), y_test=np.zeros(6), classes=np.array(["a", "b"])),
        "has classes, and real values in y_train",
        "float64",
    ),
    (altered(classes=np.array(["a", "b"])), "too few names in classes", "labels go up to 2"),
    (altered(x_train=np.array([{}] * 12)), "holds an object array", "they can run code"),
]


@pytest.mark.parametrize(("arrays", "what", "why"), INVALID, ids=[case[1] for case in INVALID])
def test_invalid_arrays_are_refused_by_name(arrays, what, why):
    with pytest.raises(DataError) as caught:
        load(**arrays)
    assert what in caught.value.what and "mine.npz" in caught.value.what
    assert why in caught.value.why
    assert caught.value.remedy


def test_the_remedy_adds_the_missing_axis():
    """The remedy for [N, T] and [N, T, H, W], done, is read."""
    for x in (np.ones((12, 5)), np.ones((12, 5, 3, 4))):
        with pytest.raises(DataError) as caught:
            load(**altered(x_train=x, x_test=None, y_test=None))
        expression = caught.value.remedy.partition(": ")[2]
        repaired = eval(expression, {"x_train": x})
        spec = load(**altered(x_train=repaired, x_test=None, y_test=None)).spec
        assert spec.shape == (1, *x.shape[2:])


def test_files_that_are_not_npz(tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"one\.npy has no labels"):
        load_series_npz(path=str(tmp_path / "one.npy"))
    with pytest.raises(DataError, match="could not be read: No such file"):
        load_series_npz(path=str(tmp_path / "none.npz"))
