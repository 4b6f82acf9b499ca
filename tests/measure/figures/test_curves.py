"""Figures are files of a sensible size and are written atomically."""

import os
import struct

import numpy as np
import pytest
from PIL import Image

from asnn.core import AsnnError, ConfigError
from asnn.measure import schedules
from asnn.measure.figures import curves
from asnn.measure.figures.curves import _stages, curves_of, draw_curves
from asnn.measure.figures.schedules import draw_schedules
from asnn.models import create_model

SCHEDULES = {
    "spikes1": {"leak": [0.5, 0.6, 0.7], "gain": [0.4, 0.5, 0.9], "threshold": [1.0]},
    "readout": {"scale": [1.0, 1.1, 1.2]},
}


def size_of_png(path) -> tuple[int, int]:
    """Width and height from the header of the PNG specification."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[12:16] == b"IHDR"
    assert content[-8:-4] == b"IEND"  # the last chunk
    return struct.unpack(">II", content[16:24])


def inked(path) -> float:
    """Share of the figure that is not white."""
    return float((np.asarray(Image.open(path).convert("L")) < 250).mean())


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "start"),
    [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF"), ("a", b"\x89PNG")],
)
def test_suffix_selects_the_format(tmp_path, name, start):
    draw_schedules(tmp_path / name, SCHEDULES)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="its name must end in .png, .svg or .pdf"):
        draw_schedules(tmp_path / "a.jpg", SCHEDULES)
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw",
    [
        lambda path: draw_schedules(path, SCHEDULES),
        lambda path: draw_curves(path, []),
    ],
    ids=["schedules", "curves"],
)
def test_missing_folder_is_an_error_and_nothing_is_written(tmp_path, draw):
    with pytest.raises(AsnnError) as caught:
        draw(tmp_path / "missing" / "picture.png")
    assert caught.value.what == f"could not write {tmp_path / 'missing' / 'picture.png'}"
    assert caught.value.why == "No such file or directory"
    assert "choose another path" in caught.value.remedy
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_failed_drawing_keeps_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / "schedules.png"
    draw_schedules(path, SCHEDULES)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(AsnnError, match=r"could not write .*: No space left on device"):
        draw_schedules(path, SCHEDULES)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["schedules.png"]


def test_stages_are_marked_where_they_begin():
    history = [{"epoch": e, "stage": s} for e, s in ((1, "a"), (2, "a"), (3, "b"), (4, "b"))]
    assert _stages(history) == [(1, "a"), (3, "b")]
    assert _stages([{"epoch": 1}, {"epoch": 2}]) == []


def test_names_of_stages_stay_clear_of_the_titles(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "save_figure", lambda path, figure: drawn.append(figure))
    history = [{**each, "stage": s} for each, s in zip(epochs_of(0.5, 0.9), "ab", strict=True)]
    draw_curves(tmp_path / "a.png", history)
    figure = drawn[0]
    figure.canvas.draw()
    for axes in figure.axes:
        names = [text for text in axes.texts if text.get_text() in ("a", "b")]
        assert [text.get_text() for text in names] == ["a", "b"]
        for text in names:
            box, title = text.get_window_extent(), axes._left_title.get_window_extent()
            assert not box.overlaps(title) and axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1


def epochs_of(*accuracies: float) -> list[dict]:
    return [
        {
            "epoch": i,
            "train_loss": 1 / i,
            "validation_loss": 1 / i,
            "train_accuracy": value,
            "validation_accuracy": value,
            "spike_rate": 0.1,
        }
        for i, value in enumerate(accuracies, 1)
    ]


def test_curves_have_title_percent_and_the_best_epoch(tmp_path):
    draw_curves(tmp_path / "a.svg", epochs_of(0.5, 0.9, 0.8), title="my run", best=2)
    text = (tmp_path / "a.svg").read_text()
    for said in ("my run", "Loss", "Accuracy, %", "Spike rate", "best: epoch 2"):
        assert f">{said}<" in text
    curve = next(each for each in curves_of(epochs_of(0.5, 0.9)) if each.is_primary)
    assert curve.lines["validation"] == [50, 90]


def test_network_without_spikes_has_no_spike_rate(tmp_path):
    draw_curves(tmp_path / "a.svg", epochs_of(0.5), spikes=False)
    assert "Spike rate" not in (tmp_path / "a.svg").read_text()


def test_best_epoch_that_is_not_drawn_is_not_marked(tmp_path):
    draw_curves(tmp_path / "a.svg", epochs_of(0.5), best=7)  # a start, or a damaged summary
    assert "best" not in (tmp_path / "a.svg").read_text()


def test_an_epoch_without_a_value_is_a_gap():
    """One epoch without a metric hides neither the metric nor the others."""
    history = epochs_of(0.5, 0.9, 0.7)
    history[1]["validation_accuracy"] = None
    loss, accuracy, _ = curves_of(history)
    assert np.isfinite(loss.lines["validation"]).all()
    np.testing.assert_array_equal(accuracy.lines["validation"], [50, np.nan, 70])
    for metrics in history:
        metrics["validation_accuracy"] = float("nan")
    assert "validation" not in curves_of(history)[1].lines
