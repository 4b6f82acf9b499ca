"""The QT database: small files in its layout, invalid ones, and the published files."""

import numpy as np
import pytest
import torch
from scipy.io import savemat

from asnn.core import DataError
from asnn.datasets import load_dataset
from asnn.datasets.sources.series.qtdb import load_qtdb

STEPS = 7


def arrays(count=3, seed=0, **changes):
    random = np.random.default_rng(seed)
    labels = random.integers(-1, 6, (count, STEPS))
    y = (labels[..., None] == np.arange(6)).astype(np.uint8)
    x = random.integers(-1, 2, (count, STEPS, 4)).astype(np.int16)
    return {key: value for key, value in ({"x": x, "y": y} | changes).items() if value is not None}


def saved(folder, train=None, test=None):
    savemat(folder / "QTDB_train.mat", arrays() if train is None else train, do_compression=True)
    savemat(folder / "QTDB_test.mat", arrays(2, 1) if test is None else test)
    return str(folder)


def test_rises_and_falls_are_channels_of_spikes(tmp_path):
    source = load_qtdb(path=saved(tmp_path))
    x, y = arrays()["x"], arrays()["y"]
    assert source.classes == ["P", "PQ", "QR", "RS", "ST", "TP"]
    document = {"kind": "series", "shape": [8], "steps": STEPS, "binary": True}
    assert source.spec.document() == document
    spikes = source.train.inputs.numpy()
    assert spikes.dtype == np.float32 and spikes.shape == (3, STEPS, 8)
    assert set(np.unique(spikes)) == {0, 1}
    np.testing.assert_array_equal(spikes[..., :4] - spikes[..., 4:], x)
    assert (spikes[..., :4] * spikes[..., 4:] == 0).all()
    labels = source.train.targets
    assert labels.dtype == torch.int64 and labels.shape == (3, STEPS)
    for n in range(3):
        for t in range(STEPS):
            rows = np.flatnonzero(y[n, t]).tolist()
            assert [labels[n, t]] == (rows or [-1])
    assert source.test.inputs.shape == (2, STEPS, 8)


def one_value(name, value, dtype):
    array = arrays()[name].astype(dtype)
    array[1, 2, 3] = value
    return arrays(**{name: array})


CELLS = np.empty((3, STEPS, 6), object)
for index in np.ndindex(CELLS.shape):
    CELLS[index] = np.arange(3)


@pytest.mark.parametrize(
    ("train", "why"),
    [
        (arrays(y=None), "it has no array y"),
        (arrays(x=None), "it has no array x"),
        (arrays(x=arrays()["x"][..., 0]), "x has the shape [3, 7], y [3, 7, 6]"),
        (arrays(x=arrays()["x"][:2]), "x has the shape [2, 7, 4], y [3, 7, 6]"),
        (arrays(y=arrays()["y"][..., :5]), "y [3, 7, 5]"),
        (one_value("x", 2, "i2"), "other values than -1, 0 and 1"),
        (one_value("x", np.nan, "f8"), "other values than -1, 0 and 1"),
        (one_value("x", 1j, "c16"), "other values than -1, 0 and 1"),
        (one_value("y", 2, "u1"), "neither one-hot nor zero"),
        (arrays(y=np.ones((3, STEPS, 6))), "neither one-hot nor zero"),
        (arrays(y=CELLS), "it holds a cell in place of numbers"),
        (arrays(x=np.zeros((0, STEPS, 4)), y=np.zeros((0, STEPS, 6))), "other values than"),
    ],
)
def test_invalid_arrays(tmp_path, train, why):
    with pytest.raises(DataError, match=r"QTDB_train\.mat is not a file of the QT") as caught:
        load_qtdb(path=saved(tmp_path, train))
    assert why in caught.value.why and "again" in caught.value.remedy


def test_parts_of_different_lengths(tmp_path):
    test = arrays(2, x=np.zeros((2, 4, 4)), y=np.zeros((2, 4, 6)))
    with pytest.raises(DataError, match="do not belong together") as caught:
        load_qtdb(path=saved(tmp_path, test=test))
    assert "(7, 8) and (4, 8)" in caught.value.why


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_cut_file(tmp_path, part, share):
    path = saved(tmp_path)
    file = tmp_path / f"QTDB_{part}.mat"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=rf"QTDB_{part}\.mat is not a file of the QT database"):
        load_qtdb(path=path)


def test_files_that_are_no_mat(tmp_path):
    path = saved(tmp_path)
    (tmp_path / "QTDB_test.mat").write_bytes(b"<html>not found</html>" * 20)
    with pytest.raises(DataError, match="is not a file of the QT database"):
        load_qtdb(path=path)
    (tmp_path / "QTDB_test.mat").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        load_qtdb(path=path)
    (tmp_path / "QTDB_test.mat").unlink()
    with pytest.raises(DataError, match=r"there is no .*QTDB_test\.mat") as caught:
        load_qtdb(path=path)
    assert "Efficient-spiking-networks" in caught.value.remedy


@pytest.mark.slow
def test_the_published_files(needs):
    """Counts and shares are those of the description of the data."""
    path = str(needs("qtdb_ecg") / "qtdb_ecg")
    data = load_dataset("qtdb", path=path, validation=0.1)
    assert len(data.train) + len(data.validation) == 618 and len(data.test) == 141
    assert data.spec.shape == (8,) and data.spec.steps == 1301 and data.spec.binary
    trained = torch.cat([data.train.targets, data.validation.targets])
    assert float((trained < 0).double().mean()) == pytest.approx(0.082, abs=5e-4)
    tested = data.test.targets
    shares = [float((tested == label).double().mean()) for label in range(6)]
    assert shares == pytest.approx([0.132, 0.055, 0.054, 0.049, 0.305, 0.301], abs=5e-4)
    labelled = tested[tested >= 0]
    majority = trained[trained >= 0].bincount().argmax()
    # "Majority 34.0 %" of the labelled test steps is ST; TP, the majority of training, has 33.6 %.
    assert float(labelled.bincount().max() / len(labelled)) == pytest.approx(0.340, abs=5e-4)
    assert majority == 5
    spikes = torch.cat([data.train.inputs, data.validation.inputs])
    active = (spikes[..., :4] + spikes[..., 4:]).mean((0, 1))
    assert float(active.min()) > 0.065 and float(active.max()) < 0.095  # 7 to 9 %


@pytest.mark.parametrize(
    ("x", "why"),
    [
        (np.zeros((2, 7, 4), object), "it holds a cell in place of numbers"),
        (np.array([(1, 2)], [("a", "O"), ("b", "O")]), "it holds a struct in place of numbers"),
        (np.array(["text"]), "it holds a char in place of numbers"),
    ],
)
def test_values_of_other_kinds_are_not_read(tmp_path, x, why):
    with pytest.raises(DataError, match=why):
        load_qtdb(path=saved(tmp_path, train=arrays() | {"x": x}))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    from asnn.datasets.sources.series import qtdb

    path = saved(tmp_path, train={"x": np.zeros((40, 7, 400), np.int8), "y": arrays()["y"]})
    monkeypatch.setattr(qtdb, "MAX_UNPACKED", 8 * 40 * 7 * 400)
    with pytest.raises(DataError, match="its arrays would take 89[0-9],[0-9]{3} bytes"):
        load_qtdb(path=path)
    monkeypatch.setattr(qtdb, "MAX_UNPACKED", 1 << 30)
    with pytest.raises(DataError, match="x has the shape"):  # control: it is unpacked
        load_qtdb(path=path)
