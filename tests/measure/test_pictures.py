"""Pictures are PNG files of a sensible size, and appear whole or not at all."""

import os
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from asnn.coding import create_coding
from asnn.core import AsnnError
from asnn.measure import schedules
from asnn.measure.pictures import draw_code, draw_schedules
from asnn.models import create_model

SCHEDULES = {
    "spikes1": {"leak": [0.5, 0.6, 0.7], "gain": [0.4, 0.5, 0.9], "threshold": [1.0]},
    "readout": {"scale": [1.0, 1.1, 1.2]},
}


def size_of_png(path) -> tuple[int, int]:
    """Width and height from the header, as the PNG specification lays it down."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[12:16] == b"IHDR"
    assert content[-8:-4] == b"IEND"  # whole to its last chunk
    return struct.unpack(">II", content[16:24])


def inked(path) -> float:
    """Share of the picture that is not white."""
    return float((np.asarray(Image.open(path).convert("L")) < 250).mean())


def test_schedules_get_a_panel_for_each_kind(tmp_path):
    widths = {}
    for kinds in (1, 2, 3):
        path = tmp_path / f"{kinds}.png"
        kept = {f"kind{i}": [0.5, 0.6, 0.7] for i in range(kinds)}
        draw_schedules(path, {"spikes1": kept})
        widths[kinds], height = size_of_png(path)
        assert height > 200
        assert inked(path) > 0.01
    assert widths[1] < widths[2] < widths[3]


def test_schedules_of_a_network_can_be_drawn(tmp_path):
    path = tmp_path / "schedules.png"
    for options in ({}, {"neuron": "fixed"}, {"steps": 1, "coding": "temporal"}):
        model = create_model(
            "mlp", in_shape=(1, 2, 2), classes=2, features=[3] * 9, **{"steps": 3, **options}
        )
        draw_schedules(path, schedules(model))
        assert size_of_png(path)[0] > 300
    draw_schedules(path, {})
    size_of_png(path)
    assert os.listdir(tmp_path) == ["schedules.png"]


@pytest.mark.parametrize(
    ("name", "channels"), [("direct", 1), ("hybrid", 3), ("temporal", 2), ("rate", 1)]
)
def test_code_of_an_image(tmp_path, name, channels):
    path = tmp_path / "code.png"
    coding = create_coding(name, steps=4)
    x = torch.rand(1, channels, 9, 7, generator=torch.Generator().manual_seed(0))
    code = coding.encode(x)
    draw_code(path, x[0], code[:, 0], coding.analog_steps, coding.decode(code)[0])
    width, height = size_of_png(path)
    assert (width, height) > (400, 300)
    assert inked(path) > 0.01
    # Without the decoded image there is a panel less.
    draw_code(path, x[0], code[:, 0], coding.analog_steps, None)
    assert size_of_png(path)[0] < width


def test_silent_and_large_codes_can_be_drawn(tmp_path):
    path = tmp_path / "code.png"
    draw_code(path, torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, 1), 0, None)
    size_of_png(path)
    # More pixels than a raster has rows.
    draw_code(path, torch.ones(3, 32, 32), torch.ones(2, 3, 32, 32), 1, None)
    size_of_png(path)


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: draw_schedules(path, SCHEDULES),
        lambda path: draw_code(path, torch.zeros(1, 2, 2), torch.zeros(2, 1, 2, 2), 0, None),
    ],
    ids=["schedules", "code"],
)
def test_a_missing_folder_is_told_and_nothing_is_written(tmp_path, draw):
    with pytest.raises(AsnnError) as caught:
        draw(tmp_path / "missing" / "picture.png")
    assert caught.value.what == f"could not write {tmp_path / 'missing' / 'picture.png'}"
    assert caught.value.why == "No such file or directory"
    assert "choose another place" in caught.value.remedy
    assert os.listdir(tmp_path) == []


def test_a_drawing_that_fails_keeps_the_former_picture(tmp_path, monkeypatch):
    path = tmp_path / "schedules.png"
    draw_schedules(path, SCHEDULES)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(AsnnError, match=r"could not write .*: No space left on device"):
        draw_schedules(path, SCHEDULES)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["schedules.png"]
