"""MNIST's layout: existing, missing and truncated files, and failed downloads."""

import gzip
import shutil
from urllib.error import URLError

import numpy as np
import pytest
import torch

from asnn.core.errors import DataError
from asnn.datasets import load_dataset
from asnn.datasets.sources.images.mnist import load_fashion_mnist, load_kmnist, load_mnist
from asnn.datasets.sources.images.torchvision_import import torchvision
from tests.support.idx import idx_bytes


@pytest.fixture
def offline(monkeypatch):
    """torchvision's data sets without network; the list of attempted downloads."""
    attempts = []

    def refuse(root, **options):
        attempts.append((root, options))
        raise URLError("Name or service not known")

    for name in ("MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "SVHN"):
        monkeypatch.setattr(torchvision().datasets, name, refuse)
    return attempts


def test_reads_gz_and_plain_files_without_network(mnist_like, offline):
    root, folder, arrays = mnist_like
    plain = "t10k-images-idx3-ubyte"
    (folder / f"{plain}.gz").unlink()
    (folder / plain).write_bytes(idx_bytes(arrays[plain]))
    source = load_mnist(dir=str(root))
    np.testing.assert_array_equal(
        source.train.inputs.numpy()[:, 0], arrays["train-images-idx3-ubyte"]
    )
    np.testing.assert_array_equal(source.test.inputs.numpy()[:, 0], arrays[plain])
    assert source.train.inputs.dtype == torch.uint8
    assert source.test.targets.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()
    assert source.full_scale == 255
    assert offline == []


@pytest.mark.parametrize(
    ("loader", "folder"),
    [(load_mnist, "MNIST"), (load_fashion_mnist, "FashionMNIST"), (load_kmnist, "KMNIST")],
)
def test_without_network_the_error_says_where_to_put_the_files(tmp_path, offline, loader, folder):
    root = tmp_path / "data"
    with pytest.raises(DataError, match=f"could not download {folder}") as caught:
        loader(dir=str(root))
    assert "Name or service not known" in caught.value.why
    assert "train-images-idx3-ubyte.gz" in caught.value.remedy
    assert str(root / folder / "raw") in caught.value.remedy
    assert len(offline) == 1
    assert not root.exists(), "a failed download leaves nothing behind"


def test_the_network_is_not_used_if_downloads_are_not_allowed(tmp_path, offline):
    with pytest.raises(DataError, match="MNIST is not in .*: data.download is false") as caught:
        load_mnist(dir=str(tmp_path), download=False)
    assert (
        "--data-dir" in caught.value.remedy and str(tmp_path / "MNIST/raw") in caught.value.remedy
    )
    assert offline == []


def test_missing_files_are_downloaded_and_existing_ones_kept(mnist_like, monkeypatch):
    root, folder, _ = mnist_like
    published = root.parent / "published"
    shutil.copytree(folder, published)
    kept = folder / "train-labels-idx1-ubyte.gz"
    time = kept.stat().st_mtime_ns
    (folder / "t10k-images-idx3-ubyte.gz").unlink()

    def fetch(folder, *, download):
        assert download
        shutil.copytree(published, f"{folder}/MNIST/raw")

    monkeypatch.setattr(torchvision().datasets, "MNIST", fetch)
    assert len(load_mnist(dir=str(root)).test) == 20
    assert kept.stat().st_mtime_ns == time
    assert sorted(path.name for path in root.iterdir()) == ["MNIST"]


def test_an_interrupted_download_leaves_no_partial_file(mnist_like, monkeypatch):
    root, folder, _ = mnist_like
    for path in folder.iterdir():
        path.unlink()

    def stop(folder, *, download):
        with open(f"{folder}/part", "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torchvision().datasets, "MNIST", stop)
    with pytest.raises(KeyboardInterrupt):
        load_mnist(dir=str(root))
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_truncated_and_corrupt_gzip_have_different_errors(mnist_like):
    root, folder, _ = mnist_like
    path = folder / "train-images-idx3-ubyte.gz"
    valid = path.read_bytes()
    path.write_bytes(valid[: len(valid) // 2])
    with pytest.raises(DataError, match="ends too early") as early:
        load_mnist(dir=str(root))
    assert str(path) in early.value.what
    damaged = bytearray(valid)
    damaged[-5] ^= 0xFF  # the checksum
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="corrupt") as corrupt:
        load_mnist(dir=str(root))
    assert str(path) in corrupt.value.what


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(59), "59 labels for 60 images"),
        ("t10k-labels-idx1-ubyte", np.full(20, 10), "label 10, but there are 10 classes"),
        ("train-images-idx3-ubyte", np.zeros((60, 5, 5)), "do not fit together"),
    ],
)
def test_inconsistent_files(mnist_like, file, array, message):
    root, folder, _ = mnist_like
    (folder / f"{file}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    with pytest.raises(DataError, match=message):
        load_mnist(dir=str(root))


def test_no_images(mnist_like):
    root, folder, _ = mnist_like
    for file, shape in (("images-idx3", (0, 6, 5)), ("labels-idx1", (0,))):
        content = gzip.compress(idx_bytes(np.zeros(shape)))
        (folder / f"train-{file}-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match="holds no images"):
        load_mnist(dir=str(root))


@pytest.mark.slow
def test_published_mnist(needs):
    root = needs("MNIST/raw/train-images-idx3-ubyte.gz")
    source = load_mnist(dir=str(root))
    assert source.train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert source.train.inputs.shape == (60_000, 1, 28, 28)
    # Published class counts (LeCun et al.).
    assert source.train.targets.bincount().tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
    assert source.test.targets.bincount().tolist() == [
        *(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
    ]
    data = load_dataset("mnist", dir=str(root), limit=500)
    assert (len(data.train), len(data.validation), len(data.test)) == (500, 6000, 10_000)


@pytest.mark.slow
def test_published_fashion_mnist(needs):
    root = needs("FashionMNIST/raw/train-images-idx3-ubyte.gz")
    source = load_fashion_mnist(dir=str(root))
    assert source.train.targets.bincount().tolist() == [6000] * 10
    assert source.test.targets.bincount().tolist() == [1000] * 10
    assert source.classes[int(source.train.targets[0])] == "Ankle boot"
    # Mean and deviation as commonly published for the full training part.
    values = source.train.inputs.double() / 255
    assert values.mean().item() == pytest.approx(0.2860, abs=5e-5)
    assert values.std().item() == pytest.approx(0.3530, abs=5e-5)
