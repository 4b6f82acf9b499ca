"""Figures of recordings: frames show the code's values, and no more events than the maximum."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.measure.encoding.samples import EncodedSample
from asnn.measure.figures import recordings
from asnn.measure.figures.recordings import OFF, ON, draw_recording, facts, recording_figure
from tests.support.samples import recording


def encoded(name, shape=(2, 6, 9), count=200, steps=4, **options):
    spec = SampleSpec("events", shape, duration=1_000)
    batch = EventBatch.of([recording(count, shape)], shape, 1_000)
    coding = create_coding(name, steps=steps, **options)
    coding.bind(spec)
    return EncodedSample(coding, batch, coding.encode(batch)[:, 0])


def frames(figure):
    """Arrays by title, in the order of drawing."""
    return [
        (axes.get_title(), np.asarray(drawn.get_array()))
        for axes in every_axes(figure)
        for drawn in axes.images
    ]


def every_axes(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def test_binary_frames_have_the_colours_of_off_on_and_both():
    made = encoded("frames")
    shown = frames(recording_figure({"frames": made}))
    assert [title for title, _ in shown] == ["t = 1", "t = 2", "t = 3", "t = 4"]
    both = np.clip(np.array(to_rgb(OFF)) + np.array(to_rgb(ON)) - 1, 0, 1)
    colours = {(0, 0): (1, 1, 1), (1, 0): to_rgb(OFF), (0, 1): to_rgb(ON), (1, 1): both}
    seen = set()
    for (_, image), step in zip(shown, made.steps.int().tolist(), strict=True):
        for y in range(6):
            for x in range(9):
                pair = (step[0][y][x], step[1][y][x])
                seen.add(pair)
                np.testing.assert_allclose(image[y, x], colours[pair], atol=1e-6)
    assert seen == set(colours)


def test_signed_frames_hold_the_values_on_a_scale_around_0():
    made = encoded("voxel")
    figure = recording_figure({"voxel": made})
    for (_, image), step in zip(frames(figure), made.steps, strict=True):
        np.testing.assert_allclose(image, step[0])
    low, high = next(axes.images[0] for axes in every_axes(figure) if axes.images).get_clim()
    sizes = made.steps[made.steps != 0].abs().numpy()
    assert -low == high == pytest.approx(np.quantile(sizes, 0.99))


@pytest.mark.slow
def test_events_are_drawn_by_polarity_and_not_more_than_the_maximum(monkeypatch):
    made = encoded("frames", count=500)
    for limit, title in ((1_000, "500 events"), (50, "50 of 500 events, equally spaced")):
        monkeypatch.setattr(recordings, "MAX_EVENTS", limit)
        axes = every_axes(recording_figure({"frames": made}))[0]
        assert axes.get_title() == title
        off, on = axes.collections
        points = [np.array(each._offsets3d) for each in (off, on)]
        assert sum(each.shape[1] for each in points) == min(limit, 500)
        kept = np.linspace(0, 499, min(limit, 500)).round().astype(int)
        for polarity, each in enumerate(points):
            chosen = kept[made.sample.p.numpy()[kept] == polarity]
            expected = [made.sample.t.numpy()[chosen] / 1000]
            expected += [getattr(made.sample, name).numpy()[chosen] for name in "xy"]
            np.testing.assert_allclose(each, expected)


def test_many_steps_are_equally_spaced():
    shown = frames(recording_figure({"frames": encoded("frames", steps=40)}))
    steps = [int(title.removeprefix("t = ")) for title, _ in shown]
    assert len(steps) == 18 and (steps[0], steps[-1]) == (1, 40)
    assert set(np.diff(steps)) == {2, 3}


@pytest.mark.slow
def test_several_codes_have_a_row_each(tmp_path):
    codes = {name: encoded(name, steps=8) for name in ("frames", "voxel", "time-surface")}
    figure = recording_figure(codes)
    assert len(frames(figure)) == 3 * 6
    texts = [part.get_suptitle() for part in figure.subfigs[1].subfigs]
    assert texts == [facts(name, one) for name, one in codes.items()]
    for suffix, begin in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        draw_recording(tmp_path / f"a{suffix}", codes)
        assert (tmp_path / f"a{suffix}").read_bytes().startswith(begin)


def test_a_sensor_of_one_row_is_drawn_as_units_over_time():
    made = encoded("frames", shape=(1, 1, 30), value="count")
    figure = recording_figure({"frames": made})
    points = np.concatenate([np.asarray(c.get_offsets()) for c in figure.axes[0].collections])
    assert len(points) == 200
    (_, image), = frames(figure)  # fmt: skip
    np.testing.assert_allclose(image, made.steps[:, 0, 0].T)


@pytest.mark.parametrize("name", ["frames", "voxel", "time-surface"])
@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 3, 2), (2, 1, 50), (2, 900, 2), (2, 2, 900)])
@pytest.mark.slow
def test_every_shape_is_drawn(name, shape, tmp_path):
    for count in (0, 1, 30):
        draw_recording(tmp_path / "a.png", {name: encoded(name, shape, count)})


def test_large_frames_keep_every_event():
    step = torch.zeros(1, 900, 1000)
    step[0, 13, 999], step[0, 899, 1] = 2.0, -3.0
    small = recordings._largest_of_blocks(step, (3, 3))
    assert small.shape == (1, 300, 334)
    assert small[0, 4, 333] == 2 and small[0, 299, 0] == -3 and (small != 0).sum() == 2


def test_facts():
    said = facts("frames", encoded("frames"))
    assert said.startswith("frames, T = 4: 200 events in, ") and "spikes out" in said
    assert "sum 200.0 out" in facts("frames", encoded("frames", value="count"))
