"""Small idx files and image trees, and the published data if present."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.idx import idx_bytes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the published files of MNIST and others."""
    return Path(os.environ.get("ASNN_TEST_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def needs(real_data):
    """Skip a test if one of the given files of the published data is missing."""

    def check(*names: str) -> Path:
        for name in names:
            if not (real_data / name).exists():
                pytest.skip(f"no {name} in {real_data} (set ASNN_TEST_DATA to where it is)")
        return real_data

    return check


@pytest.fixture
def mnist_like(tmp_path):
    """A small data set in MNIST's layout: (root, folder, the four arrays)."""
    random = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": random.integers(0, 256, (60, 6, 5)),
        "train-labels-idx1-ubyte": np.arange(60) % 10,
        "t10k-images-idx3-ubyte": random.integers(0, 256, (20, 6, 5)),
        "t10k-labels-idx1-ubyte": np.arange(20) % 10,
    }
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    return tmp_path, folder, arrays


@pytest.fixture
def tree(tmp_path):
    """Twelve colour images `train/<class>/<i>.png` of 5x4 and four to test: (root, pixels)."""
    random = np.random.default_rng(1)
    pixels = {}
    for part, count in (("train", 6), ("test", 2)):
        for label in ("bird", "ant"):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for index in range(count):
                image = random.integers(0, 256, (5, 4, 3), dtype=np.uint8)
                pixels[f"{part}/{label}/{index}.png"] = image
                Image.fromarray(image).save(folder / f"{index}.png")
    return tmp_path / "images", pixels
