"""Tables of files and labels: what is read, and the line that a refusal names."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core.errors import AsnnError, ConfigError, DataError
from asnn.datasets import load_dataset
from asnn.datasets.sources import tables
from asnn.datasets.sources.class_folders import read_layout
from asnn.datasets.sources.tables import Columns, class_order, read_table_layout
from tests.support.pictures import class_folders, picture

SUFFIXES = {".png"}


@pytest.fixture
def folder(tmp_path):
    """Pictures `ant/0.png` to `bee/3.png`."""
    return class_folders(tmp_path, count=4)


def write(folder, text, name="table.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def read(path, columns=None):
    return read_table_layout(path, columns or Columns(), suffixes=SUFFIXES, noun="image")


ROWS = [f"{name}/{i}.png,{name}" for name in ("ant", "bee") for i in range(4)]


def test_files_labels_and_parts(folder):
    parts = ["train", "Train", "val", "TEST"] * 2
    rows = [f"{row},{part}" for row, part in zip(ROWS, parts, strict=True)]
    found = read(write(folder, "\n".join(["path,label,split", *rows])))
    assert found.classes == ["ant", "bee"]
    assert {part: each.names for part, each in found.parts.items()} == {
        "train": ["ant/0.png", "ant/1.png", "bee/0.png", "bee/1.png"],
        "validation": ["ant/2.png", "bee/2.png"],
        "test": ["ant/3.png", "bee/3.png"],
    }
    assert found.parts["test"].targets.tolist() == [0, 1]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [("Filename", "CLASS"), ("image_path", "category")])
def test_common_names_and_delimiters(folder, delimiter, header):
    lines = [delimiter.join(header), *(row.replace(",", delimiter) for row in ROWS)]
    found = read(write(folder, "\ufeff" + "\r\n".join(lines) + "\r\n\r\n"))
    assert len(found.train.names) == 8


def test_columns_are_chosen_by_options(folder):
    path = write(folder, "\n".join(["id,where,breed", *(f"7,{row}" for row in ROWS)]))
    data = load_dataset("folder", path=path, path_column="WHERE", label_column="breed")
    assert data.classes == ["ant", "bee"] and data.in_shape == (3, 10, 12)
    with pytest.raises(ConfigError, match="has no column breeds") as caught:
        load_dataset("folder", path=path, path_column="where", label_column="breeds")
    assert "there are id, where, breed" in caught.value.why
    assert caught.value.remedy == "did you mean 'breed'?"


def test_a_table_gives_the_images_of_the_same_folders(folder):
    path = write(folder, "\n".join(["path,label", *ROWS]))
    one, two = load_dataset("folder", path=path), load_dataset("folder", path=str(folder))
    assert one.fingerprint == two.fingerprint


def test_paths_of_windows_are_read(folder):
    rows = [row.replace("/", "\\") for row in ROWS]
    assert len(read(write(folder, "\n".join(["path,label", *rows]))).train.names) == 8


REFUSED = {
    "no path column": ("pth,label\na,b\n", "no column with the path", "path_column=pth"),
    "no label column": ("path,lable\na,b\n", "no column with the label", "label_column=lable"),
    "no header": ("ant/0.png,ant\nbee/0.png,bee\n", "no column with the path", "first line"),
    "missing file": (
        "path,label\nant/0.png,ant\nbee/9.png,bee\n",
        "line 3 of",
        "relative to the folder of the table",
    ),
    "empty cell": ("path,label\nant/0.png,\n", "line 2 of", "has no label"),
    "short row": ("path,label\nant/0.png\n", "line 2 of", "has no label"),
    "other file": ("path,label\nant/0.txt,ant\n", "line 2 of", "names no image"),
    "listed twice": ("path,label\nant/0.png,ant\nant/0.png,bee\n", "line 3 of", "in line 2"),
    "unknown part": ("path,label,split\nant/0.png,ant,holdout\n", "line 2 of", "'holdout' is none"),
    "no training": ("path,label,split\nant/0.png,ant,test\n", "no rows of the part train", "test"),
    "one class": ("path,label\nant/0.png,ant\n", "only one class, ant", "two classes"),
    "class in test alone": (
        "path,label,split\nant/0.png,ant,train\nant/1.png,b,train\nbee/0.png,bee,test\n",
        "a class without training samples",
        "bee is only in the part test",
    ),
    "real values": (
        "path,label\n" + "".join(f"ant/{i}.png,0.{i}1\n" for i in range(1, 13)),
        "are no classes",
        "12 different ones in 12 rows, such as 0.",
    ),
    "empty": ("", "has no rows", ""),
    "header alone": ("path,label\n", "has no rows", ""),
}


@pytest.mark.parametrize(("text", "what", "rest"), REFUSED.values(), ids=REFUSED)
def test_refusals_name_the_line_and_what_to_do(folder, text, what, rest):
    with pytest.raises(DataError, match=what) as caught:
        read(write(folder, text))
    assert rest in f"{caught.value.what} {caught.value.why} {caught.value.remedy}"


def test_files_that_are_no_tables(folder, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read(str(tmp_path / "a.csv"))
    with pytest.raises(DataError, match="there is no"):
        read(str(tmp_path / "none.csv"))


def test_options_of_tables_and_folders_do_not_mix(folder):
    path = write(folder, "\n".join(["path,label", *ROWS]))
    with pytest.raises(ConfigError, match="data.test_path goes with folders"):
        read_layout(path, str(folder), suffixes=SUFFIXES, noun="image")
    with pytest.raises(ConfigError, match="columns are of a table"):
        load_dataset("folder", path=str(folder), label_column="breed")


def test_parquet_is_read_as_csv(folder, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = list(zip(*(row.split(",") for row in ROWS), strict=True))
    table = pyarrow.table({"Path": list(columns[0]), "Label": list(columns[1])})
    parquet.write_table(table, folder / "a.parquet")
    found = read(str(folder / "a.parquet"))
    same = read(write(folder, "\n".join(["path,label", *ROWS])))
    assert found.train.names == same.train.names
    (folder / "b.parquet").write_bytes(b"PAR1nothing")
    with pytest.raises(DataError, match=r"b\.parquet cannot be read"):
        read(str(folder / "b.parquet"))
    monkeypatch.setattr(tables, "MAX_UNPACKED", 100)
    with pytest.raises(DataError, match=r"it unpacks to [\d,]+ bytes; at most 100"):
        read(str(folder / "a.parquet"))


def test_parquet_without_its_reader_says_what_to_install(folder, monkeypatch):
    from asnn.core import packages

    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(AsnnError, match="pyarrow is missing") as caught:
        read(str(folder / "a.parquet"))
    assert "or save the table as CSV" in caught.value.remedy


names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@given(st.lists(names, min_size=2, max_size=5, unique=True), st.data())
@settings(max_examples=30, deadline=None)
def test_any_names_of_classes_survive(tmp_path_factory, classes, data):
    folder = tmp_path_factory.mktemp("table")
    labels = classes + data.draw(st.lists(st.sampled_from(classes), max_size=5))
    for number in range(len(labels)):
        picture(folder / f"{number}.png", size=(1, 1))
    with open(folder / "t.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows([f"{number}.png", label] for number, label in enumerate(labels))
    found = read(str(folder / "t.csv"))
    assert found.classes == class_order(set(classes))
    by_name = dict(zip(found.train.names, found.train.targets.tolist(), strict=True))
    assert [found.classes[by_name[f"{i}.png"]] for i in range(len(labels))] == labels


def test_numbers_as_names_are_in_their_order():
    assert class_order({"10", "9", "1"}) == ["1", "9", "10"]
    assert np.all(class_order({"10", "9", "a"}) == np.array(["10", "9", "a"]))


@pytest.mark.parametrize("name", ["no.csv", "no.parquet"])
def test_a_table_that_is_missing_says_from_where_its_path_counts(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match=rf"there is no .*{name}") as caught:
        read(str(tmp_path / name))
    assert "relative to the folder in which the command runs" in caught.value.remedy
