"""Objects on canvases, on the command line: trained, resumed, evaluated; folders with boxes."""

import json

import numpy as np
import pytest
from PIL import Image

from asnn.cli.recipe_files import FOLDER
from asnn.learning import check_recipe, read_document, train
from asnn.records.layout import Run
from tests.support.annotated_images import write_coco, write_voc
from tests.support.trainings import KeepTraining, StopAfter

KEYS = [
    "data.samples=48", "data.validation_samples=12", "data.test_samples=20", "data.size=32",
    "data.objects=2", "coding.steps=2", "model.widths=[4,8,8,8]", "train.epochs=2",
]  # fmt: skip


def settings(*keys):
    return [part for key in keys for part in ("--set", key)]


def boxes_of(cli, network, picture):
    """The class and the corners of each box that `asnn predict` finds."""
    (line,) = cli("predict", network, str(picture), "--score", "0.02", "--json").out.splitlines()
    return [(each["class"], each["box"]) for each in json.loads(line)["boxes"]]


@pytest.mark.slow
def test_from_training_to_figures(cli, tmp_path):
    run = str(tmp_path / "run")
    changes = settings(*KEYS, "augment.flip=true", "augment.crop=3", "model.causal=true")
    assert cli("train", "detect-digits", *changes, "--out", run).code == 0
    found = json.loads(cli("eval", run, "--json").out)
    assert found["metric"] == {"name": "ap50", "greater_is_better": True, "percent": True}
    assert 0 <= found["map"] <= found["ap50"] <= 1
    assert len(found["ap50_per_step"]) == 2
    assert len(found["ap50_per_class"]) == 10
    assert len(found["precision_recall"]) == 101
    shown = cli("eval", run).err
    assert "ap50 so far, %" in shown
    assert "recall at 10" in shown
    first = json.loads(cli("eval", run, "--steps", "1", "--json").out)
    assert first["ap50"] == pytest.approx(found["ap50_per_step"][0])

    refused = cli("eval", run, "--equivariance", "flip")
    assert refused.code == 2
    assert "--equivariance is not for the task detection" in refused.err

    exported = json.loads(cli("export", run, "--format", "onnx", "--nms", "--json").out)
    assert exported["verified"]
    (file,) = exported["files"]
    assert "/onnx-nms/" in file
    assert cli("export", run, "--check", file).code == 0
    # The run and its files find the same boxes in a picture of another size.
    assert cli("export", run, "--format", "nir").code == 0
    picture = tmp_path / "x.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 64), np.uint8)).save(picture)
    expected = boxes_of(cli, run, picture)
    assert expected
    assert all(0 <= x1 < x2 <= 64 and 0 <= y1 < y2 <= 40 for _, (x1, y1, x2, y2) in expected)
    for which in (file, f"{run}/export/nir/model.nir"):
        found = boxes_of(cli, which, picture)
        assert [name for name, _ in found] == [name for name, _ in expected]
        for (_, ours), (_, theirs) in zip(found, expected, strict=True):
            assert ours == pytest.approx(theirs, abs=0.01)

    refused = cli("export", run, "--format", "nir", "--nms")
    assert refused.code == 2
    assert "--nms is for the export of a run to ONNX" in refused.err


def test_a_start_that_does_not_fit_is_refused_before_it_is_trained(cli, tmp_path):
    run = tmp_path / "run"
    changes = settings(*KEYS, "train.init=ann", "model.neuron=integrate")
    refused = cli("train", "detect-digits", *changes, "--out", str(run))
    assert refused.code == 2
    assert "the ANN counterpart cannot be the start of this network" in refused.err
    assert not run.exists()


@pytest.mark.slow
@pytest.mark.parametrize("call", [2, 8])
def test_a_training_stopped_anywhere_ends_with_the_same_bytes(tmp_path, call):
    document = read_document(FOLDER / "detect-digits.toml")
    document["data"] |= {"samples": 48, "validation_samples": 12, "test_samples": 8, "size": 32}
    document["model"]["widths"] = [4, 8, 8, 8]
    document["augment"] = {"flip": True, "crop": 3}
    document["train"] |= {"epochs": 3, "checkpoint_steps": 1, "device": "cpu"}
    recipe = check_recipe(document)
    whole, stopped = (Run(tmp_path / name) for name in ("whole", "stopped"))
    for run in (whole, stopped):
        run.path.mkdir()
    train(recipe, whole, KeepTraining())
    assert train(recipe, stopped, KeepTraining(), stop=StopAfter(call)) is None
    train(recipe, stopped, KeepTraining(), resume=True)
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "stopped" / file).read_bytes() == (
            tmp_path / "whole" / file
        ).read_bytes()


@pytest.mark.slow
def test_what_does_not_go_with_boxes_is_refused(cli, tmp_path):
    out = ["--out", str(tmp_path / "run")]
    for changes, message in (
        (["augment.mixup=true"], "augment.mixup would leave the boxes of the images wrong"),
        (["model.name=lenet", "model.widths=[4,8]"], "needs a network with a grid of cells"),
        (["task.name=classification"], "set task.name=detection"),
        (["train.sampling=balanced"], "train.sampling=balanced is for one class a sample"),
        (["train.class_weights=balanced"], "does not weigh classes"),
    ):
        refused = cli("train", "detect-digits", *settings(*KEYS[:5], *changes), *out)
        assert refused.code in (2, 4), refused.err
        assert message in refused.err
    digits = cli("train", "digits", *settings("task.name=detection"), *out)
    assert digits.code == 2
    assert "needs a network with a grid of cells" in digits.err


@pytest.mark.slow
@pytest.mark.parametrize(("name", "write"), [("coco", write_coco), ("voc", write_voc)])
def test_a_folder_with_boxes_is_trained(cli, tmp_path, name, write):
    folder = tmp_path / "data"
    folder.mkdir()
    path = write(folder)
    assert f'name = "{name}"' in cli("train", path, "--dry-run").out
    info = cli("data", "info", path)
    assert info.code == 0, info.err
    changes = settings("train.epochs=1", "model.widths=[4,4,4]", "coding.steps=2", "data.size=32")
    changes += settings("train.batch_size=2", "data.validation=0.5", "train.workers=0")
    trained = cli("train", path, *changes, "--out", str(tmp_path / "run"))
    assert trained.code == 0, trained.err
    assert cli("eval", str(tmp_path / "run")).code == 0
