"""The Spiking Heidelberg Digits: small files in their layout, and invalid ones."""

import gzip
import shutil

import pytest
import torch

from asnn.coding import coding_registry
from asnn.core import ConfigError, DataError
from asnn.datasets import Batches, load_dataset
from asnn.datasets.sources.events.shd import load_shd
from tests.formats.events import encoders

# HDF5 is read by a child process.
pytestmark = pytest.mark.slow

KEYS = [b"zero", "f\u00fcnf".encode()]
SPIKES = [[(0.5, 3), (0.25, 699)], [], [(1.0, 0)], [(0.125, 5), (0.125, 4)]]
LABELS = [1, 0, 1, 0]


def saved(folder, *, test=SPIKES, labels=LABELS, keys=KEYS, test_labels=LABELS, test_keys=KEYS):
    folder.mkdir(exist_ok=True)
    encoders.shd(folder / "shd_train.h5", SPIKES, labels, keys, dtype="f2")
    encoders.shd(folder / "shd_test.h5", test, test_labels, test_keys, dtype="f2")
    return str(folder)


def test_spikes_of_700_units_in_a_row(tmp_path):
    source = load_shd(path=saved(tmp_path / "shd", test=SPIKES[:2], test_labels=[0, 1]))
    assert source.classes == ["zero", "f\u00fcnf"]
    document = {"kind": "events", "shape": [1, 1, 700], "duration": 1_400_000}
    assert source.spec.document() == document
    assert source.train.targets.tolist() == LABELS and source.test.targets.tolist() == [0, 1]
    batch = source.train.inputs.batch(torch.arange(4))
    assert batch.t.tolist() == [250_000, 500_000, 1_000_000, 125_000, 125_000]
    assert batch.x.tolist() == [699, 3, 0, 5, 4]
    assert batch.counts().tolist() == [2, 0, 1, 2]
    assert batch.y.tolist() == [0] * 5 and batch.p.tolist() == [1] * 5


def test_frames_of_spikes(tmp_path):
    """The window of a spike is ⌊T time / duration⌋, its place its unit."""
    data = load_dataset("shd", path=saved(tmp_path / "shd"), validation=0.5)
    coding = coding_registry.get("frames")(steps=14)
    coding.bind(data.spec)
    ((x, _),) = Batches(data.test, batch_size=9, full_scale=255.0)
    code = coding.encode(x)
    assert code.shape == (14, 4, 1, 1, 700)
    expected = torch.zeros(14, 4, 700)
    for sample, spikes in enumerate(SPIKES):
        for seconds, unit in spikes:
            expected[int(14 * seconds / 1.4), sample, unit] = 1
    assert torch.equal(code.flatten(2), expected)


def test_a_file_that_is_missing_or_packed(tmp_path):
    path = saved(tmp_path / "shd")
    packed = tmp_path / "shd/shd_test.h5.gz"
    with open(tmp_path / "shd/shd_test.h5", "rb") as file, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(file, target)
    (tmp_path / "shd/shd_test.h5").unlink()
    with pytest.raises(DataError, match=r"no shd_test\.h5 in .*shd_test\.h5\.gz is there") as e:
        load_shd(path=path)
    assert e.value.remedy == f"unpack it: gunzip {packed}"
    packed.unlink()
    with pytest.raises(DataError, match=r"there is no shd_test\.h5") as e:
        load_shd(path=path)
    assert "zenkelab.org" in e.value.remedy


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"test": [*SPIKES[:3], [(0.5, 700)]]}, "recording 3 of .*shd_test.h5 has events outside"),
        ({"test": [*SPIKES[:3], [(-0.5, 7)]]}, "recording 3 of .*before the beginning"),
        ({"labels": [1, 1, 1, 1]}, "recordings of 1 classes"),
        (
            {"test_keys": [b"zero", b"five"]},
            "name different classes: zero, f\u00fcnf and zero, five",
        ),
        ({"test_labels": [0, 1, 2, 0]}, "label 2, and there are 2 names"),
    ],
)
def test_invalid_files(tmp_path, changes, text):
    with pytest.raises(DataError, match=text):
        load_shd(path=saved(tmp_path / "shd", **changes))


def test_a_damaged_file(tmp_path):
    path = saved(tmp_path / "shd")
    file = tmp_path / "shd/shd_train.h5"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"shd_train\.h5 is not a readable HDF5 file"):
        load_shd(path=path)


def test_wrong_duration():
    with pytest.raises(ConfigError, match="duration is -1 ms"):
        load_shd(path="none", duration=-1)
