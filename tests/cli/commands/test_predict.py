"""`asnn predict`: answers as data and as a table; wrong command lines lead to right ones."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asnn.cli.commands.predict.show import Table
from asnn.datasets import load_dataset
from asnn.measure.prediction.answers.classes import ClassAnswers
from asnn.measure.prediction.prediction import Prediction
from asnn.models import create_model
from asnn.tasks import create_task


@pytest.fixture(scope="module")
def images():
    """The test images of the run `trained`, float32 in [0, 1]."""
    data = load_dataset("digits", limit=200)
    return (data.test.inputs.float() / data.full_scale).numpy()


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    for name in ("7/a.png", "7/b.png", "3/c.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name)
    return folder


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_json_is_a_line_for_each_input_and_agrees_with_eval(cli, trained, images):
    np.save("test.npy", images)
    result = cli("predict", trained, "test.npy", "--json", "--top", "2", "--batch-size", "100")
    assert (result.code, result.err) == (0, "")
    found = lines(result.out)
    evaluated = json.loads(cli("eval", trained, "--json").out)
    counts = [sum(row[k] for row in evaluated["confusion"]) for k in range(10)]
    assert [sum(each["index"] == k for each in found) for k in range(10)] == counts
    mean = sum(each["spikes"] for each in found) / len(found)
    assert mean == pytest.approx(evaluated["spikes_per_sample"])
    assert set(found[0]) == {
        "input",
        "class",
        "index",
        "confidence",
        "top",
        "step",
        "decided",
        "spikes",
        "expected",
        "changes",
    }
    assert found[3]["input"] == "test.npy[3]" and len(found[0]["top"]) == 2
    assert found[0]["top"][0] == {key: found[0][key] for key in ("class", "index", "confidence")}


@pytest.mark.slow
def test_onnxruntime_and_exported_files_give_the_same_answers(cli, trained, images):
    np.save("test.npy", images)
    expected = lines(cli("predict", trained, "test.npy", "--json").out)
    cli("export", trained, "--format", "onnx", "-o", "m.onnx", "--no-verify")
    cli("export", trained, "--format", "nir", "-o", "m.nir", "--no-verify")
    for arguments in ((trained, "--runtime", "onnxruntime"), ("m.onnx",), ("m.nir",)):
        result = cli("predict", arguments[0], "test.npy", *arguments[1:], "--json")
        found = lines(result.out)
        assert result.code == 0 and len(found) == len(expected)
        for mine, other in zip(found, expected, strict=True):
            assert mine["class"] == other["class"] and mine["input"] == other["input"]
            assert mine["confidence"] == pytest.approx(other["confidence"], abs=1e-5)
            assert mine["spikes"] is None and "does not give" in mine["reasons"]["spikes"]


def test_the_table_goes_to_stderr_with_what_was_changed(cli, trained, pictures):
    result = cli("predict", trained, pictures)
    assert (result.code, result.out) == (0, "")
    assert "pictures/3/c.png" in result.err and "spikes" in result.err
    changes = "of 3 inputs: 3 resized to 8x8, 3 stretched to other proportions, 3 made grey"
    assert changes in result.err
    assert "of 3 whose class is known" in result.err
    assert max(map(len, result.err.splitlines())) <= 120


def test_a_long_table_is_cut_and_counted(cli, trained, images):
    np.save("test.npy", images[:50])
    result = cli("predict", trained, "test.npy", "--exit", "confidence=0.2", "--energy")
    assert "test.npy[19]" in result.err and "test.npy[20]" not in result.err
    assert "and 30 more: --csv FILE or --json gives all" in result.err
    assert "by class: " in result.err and "step" in result.err and "nJ" in result.err


def test_the_newest_run_is_named(cli, trained, pictures):
    shutil.copytree(trained, "runs/mine")
    result = cli("predict", pictures, "--json")
    assert result.code == 0 and "the newest run: runs/mine" in result.err
    assert len(lines(result.out)) == 3


def test_a_damaged_file_is_a_line_and_the_others_are_answered(cli, trained, pictures):
    (pictures / "7/bad.png").write_bytes((pictures / "7/a.png").read_bytes()[:100])
    (pictures / "notes.txt").write_text("text")
    result = cli("predict", trained, pictures, "--json")
    assert result.code == 4
    found = lines(result.out)
    assert [Path(each["input"]).name for each in found] == ["c.png", "a.png", "b.png", "bad.png"]
    assert "could not decode" in found[3]["error"]["what"] and found[3]["error"]["remedy"]
    for text in ("error: could not decode", "3 answered, 1 not", "not read: 1 .txt"):
        assert text in result.err


@pytest.mark.parametrize("target", ["a.csv", "-"])
def test_csv_has_a_row_for_each_input(cli, trained, pictures, target):
    (pictures / "z.png").write_text("text")
    result = cli("predict", trained, pictures, "--csv", target, "--top", "2", "--energy")
    assert result.code == 4
    text = result.out if target == "-" else Path(target).read_text()
    assert ("wrote a.csv" in result.err) == (target == "a.csv")
    assert result.out == "" or target == "-"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4 and rows[-1]["expected"] == "7"
    assert "could not decode" in rows[0]["error"] and rows[0]["class"] == ""
    expected = lines(cli("predict", trained, pictures, "--json", "--top", "2", "--energy").out)
    for row, each in zip(rows[1:], expected[1:], strict=True):
        assert row["class"] == each["class"] and row["class_2"] == each["top"][1]["class"]
        assert float(row["confidence_2"]) == each["top"][1]["confidence"]
        assert int(row["spikes"]) == each["spikes"]
        assert float(row["picojoules"]) == each["picojoules"]


def test_stdin_and_pipes_are_inputs(cli, trained, pictures, monkeypatch):
    content = (pictures / "3/c.png").read_bytes()
    expected = lines(cli("predict", trained, pictures / "3", "--json").out)[0]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    (found,) = lines(cli("predict", trained, "-", "--json").out)
    assert found == {**expected, "input": "stdin", "expected": None}
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(content))
    writer.start()
    (found,) = lines(cli("predict", trained, "pipe", "--json").out)
    writer.join()
    assert found["class"] == expected["class"]


@pytest.mark.slow
def test_a_picture_of_the_first_answers(cli, trained, pictures):
    result = cli("predict", trained, pictures, "--plot", "a.svg")
    assert result.code == 0 and "drawn: a.svg" in result.err
    assert "c.png" in Path("a.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, ["there is nothing to predict", "asnn predict cat.png"]),
        (["x.npy"], 4, ["there is no trained run in runs/", "asnn train"]),
        (["digits", "x.npy"], 4, ["there is no digits", "`asnn train digits`", "predict x.npy"]),
        (["nothing", "x.npy"], 4, ["there is no nothing", "the folder of a run"]),
        (["RUN"], 2, ["there is no input for", "INPUT...", "asnn eval"]),
        (["RUN", "no.png", "x.npy"], 4, ["there is no no.png", "check the path"]),
        (["x.npy", "RUN"], 2, ["is a network, not an input", "it comes first"]),
        (["m.onnx", "x.npy"], 4, ["there is no m.onnx"]),
        (["m.onnx.unverified", "x.npy"], 4, ["was not verified", "export the run again"]),
        (["RUN/model.safetensors", "x.npy"], 2, ["holds weights", "give the folder of its run"]),
        (["RUN", "x.npy", "--exit", "confidence=2"], 2, ["--exit cannot be read"]),
        (["RUN", "x.npy", "--exit", "confidence=0.5,0.9"], 2, ["gives 2 thresholds"]),
        (["RUN", "x.npy", "--steps", "9"], 2, ["--steps must be from 1 to 4"]),
        (["RUN", "x.npy", "--runtime", "onnx"], 2, ["did you mean 'onnxruntime'"]),
        (["RUN", "x.npy", "--runtime", "onnxruntime", "--energy"], 2, ["is for runs in torch"]),
        (["RUN", "x.npy", "--runtime", "onnxruntime", "--device", "cuda"], 2, ["is for torch"]),
        (["RUN", "x.npy", "--json", "--csv", "-"], 2, ["both want stdout"]),
        (["RUN", "x.npy", "--plot", "x.bmp"], 2, [".png, .svg or .pdf"]),
        (["RUN", "x.npy", "--top", "0"], 2, ["--top"]),
        (["RUN", "empty"], 4, ["empty holds no images", "it is empty"]),
        (["RUN", "notes.txt"], 4, ["could not decode notes.txt", "it is text"]),
        (["RUN", "big.npy"], 4, ["does not fit the network", "[B, 1, 8, 8] are expected"]),
        (["runs", "x.npy"], 4, ["runs is not a run"]),
    ],
)
def test_what_is_wrong_leads_to_what_is_right(cli, trained, arguments, code, says):
    np.save("x.npy", np.zeros((8, 8), np.uint8))
    np.save("big.npy", np.zeros((2, 28, 28), np.uint8))
    Path("notes.txt").write_text("text")
    os.makedirs("empty")
    if arguments and arguments[0] == "runs":
        os.makedirs("runs")
    result = cli("predict", *(text.replace("RUN", str(trained)) for text in arguments))
    assert (result.code, result.out) == (code, "")
    for text in says:
        assert text in result.err


def test_a_run_by_its_name_alone_is_told_its_path(cli, trained):
    shutil.copytree(trained, "runs/mine")
    np.save("x.npy", np.zeros((8, 8), np.uint8))
    result = cli("predict", "mine", "x.npy")
    assert result.code == 4 and "asnn predict runs/mine x.npy" in result.err
    shutil.copytree(trained, "runs/other")
    result = cli("predict", "runs", "x.npy")
    assert result.code == 4 and "give the path of a run, such as runs/" in result.err


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_ends_it(trained, tmp_path):
    np.save(tmp_path / "many.npy", np.zeros((40_000, 8, 8), np.uint8))
    command = f"{sys.executable} -m asnn.cli predict {trained} many.npy --json | head -1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 141 and done.stdout.count(b"\n") == 1 and done.stderr == b""


@pytest.mark.parametrize("decided", [True, False])
def test_one_undecided_answer_is_marked(capsys, decided):
    readout = create_model(
        "mlp", in_shape=(1, 1, 2), classes=2, steps=4, features=[3], readout="first-crossing"
    ).readout
    table = Table(ClassAnswers(create_task("classification"), ["a", "b"], 2, readout))
    table.add(Prediction("x.png", "a", 0, 0.5, step=4, decided=decided))
    table.show()
    shown = capsys.readouterr().err
    assert ("4*" in shown and "* undecided: the last step" in shown) is not decided
