"""`asnn encode` of folders and runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asnn.coding import create_coding, load_spikes
from tests.support.command_line import TINY


def pictures(folder: Path, count: int, *, height: int = 6) -> np.ndarray:
    """Write grey pictures, and return them in the order of their names."""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, 8), dtype=np.uint8)
    for i, each in enumerate(pixels):
        Image.fromarray(each).save(folder / f"{i}.png")
    return pixels


def test_pictures_without_classes_in_the_order_of_their_names(cli, tmp_path):
    pixels = pictures(tmp_path / "flat", 3)
    assert cli("encode", "flat", "--coding", "temporal").code == 0
    file = load_spikes(Path("flat.temporal.npz"))
    code = create_coding("temporal", steps=4).encode(torch.from_numpy(pixels[:, None]) / 255)
    assert np.array_equal(file.code, code.numpy())
    with np.load("flat.temporal.npz") as archive:
        assert "labels" not in archive.files  # there are no classes


def test_pictures_in_class_folders_all_or_a_split(cli, tmp_path):
    pixels = [pictures(tmp_path / "own" / name, 5) for name in ("cat", "dog")]
    found = json.loads(cli("encode", "own", "-o", "own.npz", "--json").out)
    assert found["shape"][1] == 10
    direct = load_spikes(Path("own.npz")).code[0, :, 0]
    assert np.array_equal((direct * 255).round(), np.concatenate(pixels))
    with np.load("own.npz") as archive:
        assert archive["labels"].tolist() == [0] * 5 + [1] * 5
    part = json.loads(cli("encode", "own", "--split", "test", "-o", "b.npz", "--json").out)
    assert part["shape"][1] == 2  # a fifth
    assert part["source"] == "own/test"


def test_pictures_of_several_sizes_need_one(cli, tmp_path):
    pictures(tmp_path / "a/x", 2)
    pictures(tmp_path / "a/y", 2, height=9)
    refused = cli("encode", "a", "-o", "a.npz")
    assert refused.code == 4
    assert "resize them with --set data.size=[6,8]" in refused.err
    found = json.loads(cli("encode", "a", "--set", "data.size=4", "-o", "a.npz", "--json").out)
    assert found["shape"][2:] == [1, 4, 4]


@pytest.mark.slow
def test_run_is_encoded_with_its_data_and_its_code(cli):
    assert cli("train", *TINY, "--set", "coding.steps=3", "--out", "run").code == 0
    result = cli("encode", "run", "-o", "run.npz", "--json")
    found = json.loads(result.out)
    assert (found["coding"], found["steps"], found["source"]) == ("hybrid", 3, "run/test")
    assert "the code of the run: hybrid, T = 3" in result.err
    other = cli("encode", "run", "--steps", "2", "--coding", "latency", "-o", "b.npz", "--json")
    assert [json.loads(other.out)[key] for key in ("coding", "steps")] == ["latency", 2]
    assert "the code of the run" not in other.err


def test_name_of_a_data_set_leads_to_the_option(cli):
    refused = cli("encode", "digits")
    assert refused.code == 4
    assert "asnn encode --dataset digits" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("empty",), "holds no samples that are read"),
        (("flat", "--path", "x"), "--path goes with --dataset only"),
        (("flat", "--set", "data.sizes=3"), "did you mean 'size'?"),
    ],
)
def test_refusals(cli, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    pictures(tmp_path / "flat", 1)
    refused = cli("encode", *arguments, "-o", "o.npz")
    assert refused.code in (2, 4)
    assert said in refused.err
    assert not Path("o.npz").exists()
