"""What lies at a path, and the command that a refusal leads to."""

import re
import zipfile

import numpy as np
import pytest

from asnn.core.errors import AsnnError, DataError
from asnn.datasets.detect import detect, shares_to_cut
from tests.support.annotated_images import write_coco, write_voc
from tests.support.pictures import class_folders, picture


def names_of(path, **asked):
    found = detect(str(path), asked)
    return found.name, found.options


def test_class_folders_of_images_with_what_lies_around_them(tmp_path):
    class_folders(tmp_path / "a")
    for name in ("a/Thumbs.db", "a/ant/Thumbs.db", "a/ant/.DS_Store", "a/desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    assert names_of(tmp_path / "a") == ("folder", {"path": str(tmp_path / "a")})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in (tmp_path / "a").rglob("*.png"):
            archive.write(file, file.relative_to(tmp_path).as_posix())
    assert names_of(tmp_path / "a.zip")[0] == "folder"


def test_the_kind_of_most_files_is_read_and_the_others_are_told(tmp_path):
    class_folders(tmp_path, count=4)
    (tmp_path / "ant" / "a.wav").write_bytes(b"")
    found = detect(str(tmp_path))
    assert found.name == "folder" and found.notes == ("1 WAV file is left out",)


def test_recordings_and_audio(tmp_path):
    for kind, suffix in (("events", ".bin"), ("audio", ".wav")):
        for name in ("a", "b"):
            for index in range(2):
                path = tmp_path / kind / name / f"{index}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
                flat = tmp_path / "flat" / f"{name}_{index}.wav"
                flat.parent.mkdir(exist_ok=True)
                flat.write_bytes(b"")
    assert names_of(tmp_path / "events")[0] == "events-folder"
    assert names_of(tmp_path / "audio")[0] == "wav-folder"
    found = detect(str(tmp_path / "flat"))
    assert found.options["labels"] == "prefix" and "up to the first `_`" in found.notes[0]


def test_tables_alone_and_beside_their_files(tmp_path):
    class_folders(tmp_path / "a")
    rows = "".join(f"a/{name}/{i}.png,{name}\n" for name in ("ant", "bee") for i in range(12))
    table = tmp_path / "t.csv"
    table.write_text(f"path,label\n{rows}")
    assert names_of(table) == ("folder", {"path": str(table)})
    flat = tmp_path / "flat"
    for index in range(4):
        picture(flat / "images" / f"{index}.png")
    (flat / "labels.csv").write_text("file,class\nimages/0.png,a\n")
    found = detect(str(flat))
    assert found.options == {"path": str(flat / "labels.csv")}
    assert "lists the files and their labels" in found.notes[0]
    table.write_text("where,label\na.wav,1\n")
    assert names_of(table, path_column="where")[0] == "wav-folder"


X = np.zeros((6, 4, 4), np.uint8)
Y = np.arange(6) % 2
ARRAYS = {
    "npz": [{"x": X}, {"images": X[:, None]}, {"x_train": X / 2.0}, {"x": np.zeros((6, 4, 4, 3))}],
    "series-npz": [{"x": np.full((6, 4, 2), 1.5)}, {"data": np.zeros((6, 3, 1, 4, 4))}],
    "events-npz": [{name: np.zeros(3, int) for name in "txyp"}],
}


@pytest.mark.parametrize(("name", "cases"), ARRAYS.items(), ids=ARRAYS)
def test_arrays_by_their_shape_and_values(tmp_path, name, cases):
    for arrays in cases:
        np.savez(tmp_path / "a.npz", **arrays, labels=Y)
        assert names_of(tmp_path / "a.npz")[0] == name
    assert names_of(tmp_path)[0] == name  # the only file of arrays in the folder


def test_floats_that_can_be_images_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", x=X / 255, y=Y)
    assert "--set data.name=series-npz" in detect(str(tmp_path / "a.npz")).notes[0]
    np.savez(tmp_path / "a.npz", x=X + 200.0, y=Y)  # whole numbers: pixels that are not scaled
    assert names_of(tmp_path / "a.npz")[0] == "npz"
    np.savez(tmp_path / "a.npz", x=X - 1.0, y=Y)
    assert names_of(tmp_path / "a.npz")[0] == "series-npz"


def lay(root, *files):
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(path) if name.endswith(".png") else path.write_bytes(b"x")


LEADS = {
    "unlabelled": (["1.png", "2.png"], "the 2 images in .* have no classes", "asnn predict RUN"),
    "parts without classes": (["train/1.png", "test/1.png"], "have no classes", "labels.csv"),
    "test without classes": (
        ["train/a/1.png", "train/b/1.png", "test/1.png"],
        "images in .*/test have no classes",
        "train on .*/train alone; .* asnn predict RUN .*/test",
    ),
    "nested": (
        [f"{top}/{label}/1.png" for top in ("A", "B") for label in ("x", "y")],
        "lie one level too deep",
        "/A, or call them train",
    ),
    "gif": (["a/1.gif", "b/1.gif"], "holds no samples", "convert it, e.g. to PNG"),
    "recipe inside": (["mine.toml"], "holds no samples", "asnn train .*/NAME.toml"),
    "nothing": ([".hidden/1.png"], "holds no samples", "data are class folders"),
    "a run": (["config.toml", "metrics.jsonl"], "is a run, not data", "asnn train .*config.toml"),
    "runs": (
        ["x/config.toml", "x/metrics.jsonl", "x/curves.png"],
        "is a folder of runs, not data",
        "asnn runs list .*asnn train .*/x/config.toml",
    ),
    "published": (["MNIST/raw/x.gz"], "a published data set", "asnn train mnist --data-dir"),
}


@pytest.mark.parametrize(("files", "what", "remedy"), LEADS.values(), ids=LEADS)
def test_other_folders_lead_to_what_works(tmp_path, files, what, remedy):
    root = tmp_path / "data"
    root.mkdir()
    lay(root, *files)
    with pytest.raises(AsnnError, match=what) as caught:
        detect(str(root))
    assert re.search(remedy, caught.value.remedy)


FILES = {
    "1.png": ("is one image", "asnn predict RUN"),
    "1.wav": ("is one WAV file", "asnn predict RUN"),
    "a.tar.gz": ("neither a recipe nor data", "unpack it"),
    "a.xyz": ("neither a recipe nor data", "data are class folders"),
}


@pytest.mark.parametrize(("name", "words"), FILES.items(), ids=FILES)
def test_single_files_lead_to_what_works(tmp_path, name, words):
    lay(tmp_path, name)
    with pytest.raises(DataError, match=words[0]) as caught:
        detect(str(tmp_path / name))
    assert words[1] in caught.value.remedy


def test_flat_arrays_name_their_shape(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 784)), y=Y)
    with pytest.raises(DataError, match=r"samples of shape \[784\]") as caught:
        detect(str(tmp_path / "a.npz"))
    reshaped = eval(caught.value.remedy.rpartition(": ")[2], {"x": np.zeros((6, 784))})
    assert reshaped.shape == (6, 28, 28)


def test_deeper_folders_are_told_where_they_are_not_the_same(tmp_path):
    lay(tmp_path, "cat/persian/1.png", "cat/siam/1.png", "dog/boxer/1.png")
    assert "deeper folders are not told apart" in detect(str(tmp_path)).notes[0]


def test_parts_are_cut_from_what_lacks_them():
    assert shares_to_cut({"train": 300}) == {"test": 0.2, "validation": 0.2}
    assert shares_to_cut({"train": 5_000, "test": 1}) == {"validation": 0.1}
    assert shares_to_cut({"train": 5_000, "test": 1, "validation": 1}) == {}


def test_a_missing_path_is_told(tmp_path):
    with pytest.raises(DataError, match="there is no file or folder"):
        detect(str(tmp_path / "none"))


def test_folders_with_boxes(tmp_path):
    write_coco(tmp_path / "coco", parts=("train2017",))
    (tmp_path / "voc").mkdir()
    write_voc(tmp_path / "voc")
    for name in ("coco", "voc"):
        assert names_of(tmp_path / name) == (name, {"path": str(tmp_path / name)})
