"""`asnn data info`: its JSON object, its table, its contact sheet and its exit codes."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from asnn.learning import parse_override
from tests.support.pictures import class_folders, picture


def test_the_json_object_and_an_empty_stdout_without_it(cli, tmp_path):
    class_folders(tmp_path / "a")
    found = json.loads(cli("data", "info", "a", "--json").out)
    assert found["data_set"] == "folder" and found["samples"] == 24 and found["many"] == "images"
    assert list(found["classes"]) == ["ant", "bee"] and found["train"] == "asnn train a"
    result = cli("data", "info", "a")
    assert (result.code, result.out) == (0, "")
    for words in ("a: 24 images, 2 classes", "sizes (height x width): 10x12", "next: asnn train a"):
        assert words in result.err


def test_copies_imbalance_and_damage_are_told(cli, tmp_path):
    folder = class_folders(tmp_path / "a")
    for index in range(30):
        shutil.copy(folder / "ant" / "0.png", folder / "ant" / f"copy{index}.png")
    (folder / "bee" / "0.png").write_bytes(b"")
    result = cli("data", "info", "a")
    assert result.code == 0
    for words in (
        "unbalanced: ant has 3.5 times the samples of bee",
        "copies, byte for byte: 30",
        "between train and test: the accuracy on test is too good",
        "damaged: 1; a training stops at the first",
        "a/bee/0.png: is empty",
    ):
        assert words in result.err


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_contact_sheet_is_drawn_by_suffix(cli, tmp_path, suffix):
    class_folders(tmp_path / "a")
    result = cli("data", "info", "a", "--plot", f"sheet.{suffix}", "--json")
    assert json.loads(result.out)["plot"] == f"sheet.{suffix}"
    content = Path(f"sheet.{suffix}").read_bytes()
    assert content[:4] == {"png": b"\x89PNG", "svg": b"<?xm", "pdf": b"%PDF"}[suffix]
    if suffix == "png":
        assert Image.open(f"sheet.{suffix}").width > 600  # a label and eight pictures


def test_nothing_readable_is_bad_data(cli, tmp_path):
    for path in class_folders(tmp_path / "a").rglob("*.png"):
        path.write_bytes(b"nothing")
    result = cli("data", "info", "a")
    assert result.code == 4 and "no sample of a can be read" in result.err


def test_refusals(cli, tmp_path):
    class_folders(tmp_path / "a")
    result = cli("data", "info", "a", "--plot", "a.gif")
    assert result.code == 2 and "must end in .png, .svg or .pdf" in result.err
    result = cli("data", "info", "a", "--set", "train.lr=1")
    assert result.code == 2 and "is no key of data" in result.err
    result = cli("data", "info", "digitz")
    assert result.code == 4 and "did you mean 'digits'?" in result.err


def test_a_part_that_would_be_empty_is_told(cli, tmp_path):
    class_folders(tmp_path / "a", count=1)
    result = cli("data", "info", "a")
    assert "too few samples: a training refuses an empty part (test, validation)" in result.err
    assert cli("train", "a").code == 4


@pytest.mark.slow
def test_shares_are_those_that_are_set(cli, tmp_path):
    class_folders(tmp_path / "a")
    for source in ("a", "digits"):
        result = cli("data", "info", source, "--set", "data.validation=0.5", "--json")
        parts = json.loads(result.out)["parts"]
        assert abs(parts["validation"] - parts["train"]) < 10
    for change, what in (("data.limit=3", "is of a training"), ("data.siez=3", "siez")):
        result = cli("data", "info", "a", "--set", change)
        assert result.code == 2 and what in result.err


def test_options_of_the_data_set_go_into_the_command(cli, tmp_path):
    folder = class_folders(tmp_path / "a")
    rows = [f"a/{path.relative_to(folder)},{path.parent.name}" for path in folder.rglob("*.png")]
    Path("t.csv").write_text("\n".join(["path,breed", *rows]))
    assert cli("data", "info", "t.csv").code == 4
    result = cli("data", "info", "t.csv", "--set", "data.label_column=breed", "--json")
    assert json.loads(result.out)["train"] == "asnn train t.csv --set data.label_column=breed"


def test_options_of_the_objects_are_set_one_by_one(cli, tmp_path):
    folder = class_folders(tmp_path / "a")
    picture(folder / "bee" / "large.png", size=(30, 20))
    asked = ["--set", 'data.of={name="folder", path="a"}', "--set", "data.samples=5"]
    refused = cli("data", "info", "scatter", *asked)
    assert refused.code == 4 and "resize them with --set data.of.size=[10,12]" in refused.err
    found = cli("data", "info", "scatter", *asked, "--set", "data.of.size=[10,12]", "--json")
    content = json.loads(found.out)
    assert content["parts"]["train"] == 5
    _, recipe, *settings = shlex.split(content["train"])[1:]
    assert recipe == "detect-digits"
    changes = [parse_override(text) for text in settings if text != "--set"]
    assert (["data", "of"], {"name": "folder", "path": "a", "size": [10, 12]}) in changes


@pytest.mark.slow
def test_objects_are_counted_where_targets_are_boxes(cli):
    settings = ["samples=5", "validation_samples=4", "test_samples=3", "objects=2"]
    changes = [part for each in settings for part in ("--set", f"data.{each}")]
    shown = cli("data", "info", "scatter", *changes)
    assert shown.code == 0, shown.err
    assert "objects by class and part" in shown.out + shown.err
    assert "asnn train detect-digits" in shown.out + shown.err
    assert "class_weights" not in shown.out + shown.err
    found = json.loads(cli("data", "info", "scatter", *changes, "--json").out)
    assert found["counted"] == "objects"
    assert found["parts"] == {"train": 5, "validation": 4, "test": 3}
    of_parts = [sum(by[part] for by in found["classes"].values()) for part in found["parts"]]
    assert all(n <= each <= 2 * n for n, each in zip((5, 4, 3), of_parts, strict=True))
    digits = json.loads(cli("data", "info", "digits", "--json").out)
    assert digits["counted"] == "samples"
