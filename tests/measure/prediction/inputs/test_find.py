"""Files of folders and zips, in order; what is no sample is counted."""

import os
import zipfile

import pytest

from asnn.measure.prediction.inputs.find import Finder
from asnn.measure.prediction.inputs.sample import Source, Unreadable


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.png", "b/10.PNG", "a.png", "c/deep/x.jpg", ".hidden/y.png", ".z.png"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / name).write_bytes(name.encode())
    (tmp_path / "pictures/notes.txt").write_text("text")
    (tmp_path / "pictures/c/clip.gif").write_bytes(b"GIF8")
    return tmp_path / "pictures"


def names(found, root):
    return [os.path.relpath(each.name, root) for each in found]


def test_a_folder_gives_its_files_in_order_and_counts_the_others(folder):
    finder = Finder({".png", ".jpg"}, "image")
    found = list(finder.find([folder]))
    assert names(found, folder) == ["a.png", "b/10.PNG", "b/2.png", "c/deep/x.jpg"]
    assert found[0].load() == b"a.png"
    assert finder.described_others() == "1 .txt, 1 .gif (a GIF image)"


def test_a_named_file_may_have_any_suffix(folder):
    (found,) = Finder({".png"}, "image").find([folder / "notes.txt"])
    assert isinstance(found, Source) and found.load() == b"text"


def test_a_zip_is_read_as_its_folder(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name in ("b/2.png", "a.png", ".z.png", "notes.txt"):
            archive.write(folder / name, name)
    finder = Finder({".png"}, "image")
    found = list(finder.find([tmp_path / "p.zip"]))
    assert names(found, tmp_path / "p.zip") == ["a.png", "b/2.png"]
    assert found[1].load() == b"b/2.png" and finder.others == {".txt": 1}


def test_links_in_a_circle_end(folder):
    os.symlink(folder, folder / "b" / "again")
    assert len(list(Finder({".png", ".jpg"}, "image").find([folder]))) == 4


@pytest.mark.parametrize(
    ("files", "why"),
    [([], "it is empty"), (["a.txt", "b.txt"], "not read: 2 .txt"), ([".a.png"], "it is empty")],
)
def test_a_folder_without_samples_is_named(tmp_path, files, why):
    (tmp_path / "none").mkdir()
    for name in files:
        (tmp_path / "none" / name).write_text("x")
    (found,) = Finder({".png"}, "image").find([tmp_path / "none"])
    assert isinstance(found, Unreadable)
    assert found.error.what == f"{tmp_path / 'none'} holds no images" and found.error.why == why


def test_what_the_network_does_not_take_leads_to_what_it_takes(tmp_path):
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech/a.wav").write_bytes(b"RIFF")
    (tmp_path / "labels.csv").write_text("path,label")
    folder, table = Finder({".npy"}, "series").find([tmp_path / "speech", tmp_path / "labels.csv"])
    assert folder.error.what == f"{tmp_path / 'speech'} holds no series"
    assert folder.error.remedy == "the network takes series: name a folder with .npy files"
    assert table.error.what == f"{tmp_path / 'labels.csv'} is a table, and series are answered"
    assert f"asnn predict RUN {tmp_path}" in table.error.remedy


def test_what_is_missing_or_no_file_is_an_error_when_it_is_read(tmp_path):
    from asnn.core import DataError

    os.mkfifo(tmp_path / "pipe.png")
    os.symlink(tmp_path / "nothing", tmp_path / "broken.png")
    for name, says in (
        ("no.png", "is missing"),
        ("broken.png", "leads nowhere"),
        ("pipe.png", "cannot be read"),
    ):
        (source,) = Finder({".png"}, "image").find([tmp_path / name])
        with pytest.raises(DataError, match=says):
            source.load()


def test_the_class_is_the_folder_if_it_has_the_name_of_one(tmp_path, monkeypatch):
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant/x.png").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "ant")
    (found,) = Finder({".png"}, "image").find(["x.png"])
    assert found.expected(["ant", "bee"]) == "ant" and found.expected(["bee"]) is None
