"""CIFAR and SVHN by torchvision: complete, missing, truncated, damaged."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from urllib.error import URLError

import numpy as np
import pytest
import torch

from asnn.core.errors import DataError
from asnn.datasets import load_dataset
from asnn.datasets.sources.images.torchvision_import import torchvision

COUNT = 20


def cifar_files(fine: bool) -> tuple[dict[str, bytes], np.ndarray]:
    """Return batch files in the published format, pickled rows of 3,072 bytes, with few rows."""
    random = np.random.default_rng(3)
    names = ["train", "test"] if fine else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    rows = random.integers(0, 256, (len(names), COUNT, 3072), dtype=np.uint8)
    key, classes = ("fine_labels", 100) if fine else ("labels", 10)
    labels = [int(i) for i in np.arange(COUNT) % classes]
    files = {
        name: pickle.dumps({"data": data, key: labels})
        for name, data in zip(names, rows, strict=True)
    }
    titles = [f"class {i}" for i in range(classes)]
    meta = ("meta", "fine_label_names") if fine else ("batches.meta", "label_names")
    files[meta[0]] = pickle.dumps({meta[1]: titles})
    return files, rows.reshape(len(names), COUNT, 3, 32, 32)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture(params=["cifar10", "cifar100"])
def cifar(request, monkeypatch, tmp_path):
    """A small CIFAR with its checksums in torchvision: (name, root, archive, folder, rows)."""
    files, rows = cifar_files(fine=request.param == "cifar100")
    cls = getattr(torchvision().datasets, request.param.upper())
    sums = {name: md5(content) for name, content in files.items()}
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(cls, part, [[name, sums[name]] for name, _ in getattr(cls, part)])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": sums[cls.meta["filename"]]})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{cls.base_folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    monkeypatch.setattr(cls, "tgz_md5", md5(packed.getvalue()))
    archive = tmp_path / cls.filename
    archive.write_bytes(packed.getvalue())

    def refuse(*args, **kwargs):
        raise URLError("unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    return request.param, tmp_path, archive, tmp_path / cls.base_folder, rows


def load(name, root, **options):
    from asnn.datasets import dataset_registry

    return dataset_registry.get(name)(dir=str(root), **options)


def test_cifar_from_its_archive_and_then_its_folder(cifar):
    name, root, archive, _, rows = cifar
    source = load(name, root)
    assert source.train.inputs.dtype == torch.uint8
    np.testing.assert_array_equal(source.train.inputs.numpy(), rows[:-1].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(source.test.inputs.numpy(), rows[-1])
    assert source.test.targets.tolist() == [i % len(source.classes) for i in range(COUNT)]
    assert source.classes[1] == "class 1"
    archive.unlink()
    assert torch.equal(load(name, root, download=False).test.inputs, source.test.inputs)


def test_cifar_archive_truncated_or_damaged(cifar):
    name, root, archive, _, _ = cifar
    valid = archive.read_bytes()
    archive.write_bytes(valid[: len(valid) // 2])
    with pytest.raises(DataError, match="ends too early") as caught:
        load(name, root)
    assert str(archive) in caught.value.what
    assert "interrupted download" in caught.value.why
    archive.write_bytes(valid[:-8] + bytes(4) + valid[-4:])
    with pytest.raises(DataError, match="corrupt or not the archive of CIFAR"):
        load(name, root)
    archive.write_bytes(gzip.compress(b"another archive"))
    with pytest.raises(DataError, match="corrupt or not the archive of CIFAR") as other:
        load(name, root)
    assert "checksum" in other.value.why


def test_cifar_batches_damaged_or_incomplete(cifar):
    name, root, archive, folder, _ = cifar
    load(name, root)
    archive.unlink()
    batch = next(path for path in sorted(folder.iterdir()) if "meta" not in path.name)
    content = batch.read_bytes()
    batch.write_bytes(content[:-1] + b"!")
    with pytest.raises(DataError, match="are corrupt") as corrupt:
        load(name, root)
    assert "checksum" in corrupt.value.why
    assert str(folder) in corrupt.value.remedy
    batch.unlink()
    with pytest.raises(DataError, match="is incomplete") as incomplete:
        load(name, root)
    assert "interrupted extraction" in incomplete.value.why


def test_cifar_that_cannot_be_unpacked(cifar):
    name, root, _, folder, _ = cifar
    folder.write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match="could not read CIFAR") as caught:
        load(name, root)
    assert str(folder) in caught.value.remedy


def test_cifar_without_network(cifar):
    name, root, archive, folder, _ = cifar
    archive.unlink()
    with pytest.raises(DataError, match="could not download CIFAR-10") as caught:
        load(name, root)
    assert "unreachable" in caught.value.why
    assert folder.name in caught.value.remedy
    assert list(root.iterdir()) == []


@pytest.fixture
def svhn(monkeypatch, tmp_path):
    """A small SVHN with its checksums in torchvision: (root, images `[H, W, C, N]`)."""
    from scipy.io import savemat

    random = np.random.default_rng(4)
    images = random.integers(0, 256, (32, 32, 3, 40), dtype=np.uint8)
    labels = (np.arange(40) % 10 + 1).astype(np.uint8)[:, None]
    cls = torchvision().datasets.SVHN
    entries = dict(cls.split_list)
    for part in ("train", "test"):
        path = tmp_path / f"{part}_32x32.mat"
        savemat(path, {"X": images, "y": labels}, do_compression=True)
        entries[part] = [*cls.split_list[part][:2], md5(path.read_bytes())]
    monkeypatch.setattr(cls, "split_list", entries)
    return tmp_path, images


def test_svhn_label_10_is_class_0(svhn):
    root, images = svhn
    source = load("svhn", root)
    np.testing.assert_array_equal(source.train.inputs[7].permute(1, 2, 0), images[..., 7])
    assert source.train.targets[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    data = load_dataset("svhn", dir=str(root), validation=0.25)
    assert data.validation.targets.bincount().tolist() == [1] * 10


def test_svhn_truncated_damaged_or_missing(svhn, monkeypatch):
    root, _ = svhn
    path = root / "test_32x32.mat"
    valid = path.read_bytes()
    for length in (50, 130, len(valid) // 2, len(valid) - 1):
        path.write_bytes(valid[:length])
        with pytest.raises(DataError, match="ends too early") as caught:
            load("svhn", root)
        assert str(path) in caught.value.what
    damaged = bytearray(valid)
    damaged[len(valid) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="corrupt or not the file of SVHN"):
        load("svhn", root)
    path.write_bytes(b"<html>" + struct.pack("<20I", *range(20)))
    with pytest.raises(DataError, match="corrupt or not the file of SVHN"):
        load("svhn", root)
    path.unlink()

    def refuse(*args, **kwargs):
        raise URLError("unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(DataError, match=r"could not download SVHN \(test\)"):
        load("svhn", root)
