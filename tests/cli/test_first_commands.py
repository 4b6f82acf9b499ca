"""The first things that somebody types, wrong ones among them: each works or leads to what does."""

import shlex

import numpy as np
import pytest
from PIL import Image

FIRST = [
    # command, exit code, what is said
    ("asnn", 2, "Commands:"),
    ("asnn help", 2, "Type asnn -h"),
    ("asnn --version", 0, "asnn 0."),
    ("asnn doctor", 0, "No problems found."),
    ("asnn predict pictures/cats/0.png", 4, "train one with `asnn train`"),
    ("asnn eval", 4, "train one with `asnn train`"),
    ("asnn data pictures", 2, "asnn data info pictures"),
    ("asnn data info pictures", 0, "next: asnn train pictures"),
    ("asnn train picture", 2, "did you mean pictures"),
    ("asnn train pictures/cats", 4, "put the images of each class into a folder named after it"),
    ("asnn train pictures/cats/0.png", 4, "give the folder with its class folders"),
    ("asnn train --data-dir pictures", 2, "for your own data: asnn train pictures"),
    ("asnn train pictures --dry-run", 0, "the recipe is valid"),
    ("asnn train pictures --epoch 2", 2, "--epochs"),
    ("asnn train pictures --set epochs=2", 2, "--set train.epochs=2"),
    ("asnn train pictures --set train.epoch=2", 2, "did you mean train.epochs"),
    ("asnn train pictures --epochs 2 --out runs/mine", 0, "next: asnn eval runs/mine"),
    ("asnn train pictures --epochs 2 --out runs/mine", 2, "runs/mine"),
    ("asnn test", 2, "asnn eval"),
    ("asnn eval mine", 4, "runs/mine"),
    ("asnn eval", 0, "accuracy"),
    ("asnn predict", 2, "asnn predict cat.png"),
    ("asnn predict pictures/cats/0.png", 0, "cats"),
    ("asnn predict pictures", 0, "by class"),
    ("asnn encode digits", 4, "asnn encode --dataset digits"),
    ("asnn encode pictures/cats/0.png --plot steps.svg", 0, "wrote steps.svg"),
    ("asnn export", 2, "choose from onnx, nir"),
    ("asnn export --format tflite", 2, "choose from onnx, nir"),
    ("asnn export --format onnx", 0, "model.onnx"),
    ("asnn predict runs/mine/export/onnx/model.onnx pictures/dogs", 0, "dogs"),
    ("asnn inspect runs/mine/export/onnx/model.onnx", 0, "onnx"),
    ("asnn report", 0, "report.html"),
    ("asnn runs", 0, "mine"),
    ("asnn train data.npz --epochs 1 --dry-run", 0, "reads x as x_train"),
    ("asnn train --resume", 4, "there is no unfinished run"),
    ("asnn train runs", 2, "to list them: asnn runs list runs"),
    ("asnn predict data.npz", 4, "pictures (PNG, JPEG) are resized"),
    ("asnn sweep", 2, "--seeds 3"),
    ("asnn recipes", 0, "digits"),
]


def make_pictures(folder) -> None:
    """Write 20 pictures each of three classes, which differ in colour and place of a square."""
    random = np.random.default_rng(0)
    for c, name in enumerate(("cats", "dogs", "birds")):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, 90, (20, 24, 3))
            pixels[4 * c : 4 * c + 8, :, c] += 150
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")


@pytest.mark.slow
def test_first_commands(cli, tmp_path):
    make_pictures(tmp_path / "pictures")
    images = np.random.default_rng(0).random((60, 1, 16, 16), np.float32)
    np.savez("data.npz", x=images, y=np.arange(60) % 3)
    assert len(FIRST) >= 30
    for command, code, said in FIRST:
        result = cli(*shlex.split(command)[1:])
        shown = " ".join((result.out + result.err).split())
        assert result.code == code, f"{command}: {shown}"
        assert said in shown, f"{command}: {shown}"
        assert "Traceback" not in shown
