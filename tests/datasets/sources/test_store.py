"""Zips of samples: names that occur twice, zips in a zip, links; nothing outside is opened."""

import io
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from asnn.core import DataError
from asnn.datasets.sources.store import open_store

NAMES = [f"{name}/{i}.png" for name in "ab" for i in range(3)]


def picture(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def packed(path, *more) -> str:
    """Write a zip of images, and more members: a name or a `ZipInfo`, and its content."""
    with zipfile.ZipFile(path, "w") as made:
        for i, name in enumerate(NAMES):
            made.writestr(name, picture(i))
        for name, content in more:
            made.writestr(name, content)
    return str(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice(tmp_path):
    assert sorted(open_store(packed(tmp_path / "good.zip")).sizes) == NAMES
    with pytest.raises(DataError, match="two files of the name a/0.png: only one"):
        open_store(packed(tmp_path / "bad.zip", ("a/0.png", picture(9))))


def test_a_zip_in_a_zip_is_counted_and_not_opened(tmp_path):
    packed(tmp_path / "inner.zip")
    inner = (tmp_path / "inner.zip").read_bytes()
    store = open_store(packed(tmp_path / "outer.zip", ("a/inner.zip", inner)))
    assert sorted(store.sizes) == NAMES and store.others == {".zip": 1}


def test_a_link_in_a_zip_is_text(tmp_path):
    (tmp_path / "secret").write_bytes(picture(77))
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    store = open_store(packed(tmp_path / "a.zip", (link, str(tmp_path / "secret"))))
    assert store.read("a/link.png") == str(tmp_path / "secret").encode()
