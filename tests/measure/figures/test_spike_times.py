"""Figures of exact times show every spike, and count those that they do not show."""

import math

import pytest
import torch
from matplotlib.figure import Figure

from asnn.coding import create_coding
from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError
from asnn.measure.encoding.times import times_of
from asnn.measure.figures import spike_times
from asnn.measure.figures.spike_times import counted, draw_raster, draw_times, facts, times_figure
from tests.support.samples import recording

INF = math.inf


def axes():
    return Figure().subplots()


def dashes(axes):
    """Return time and row of each dash of a raster."""
    (line,) = axes.lines
    x, y = line.get_data()
    return [(float(t), float(low + high) / 2) for t, low, high in zip(x[::3], y[::3], y[1::3])]  # noqa: B905


def test_each_spike_has_a_dash_in_the_row_of_its_neuron():
    times = torch.tensor([[0.5, 2.0], [INF, INF], [1.0, INF]])
    drawn = axes()
    shown = draw_raster(drawn, times)
    assert shown.tolist() == [0, 2] and counted(times, shown) == "2 firing, 1 silent"
    assert dashes(drawn) == [(0.5, 1.0), (2.0, 1.0), (1.0, 2.0)]
    every = axes()
    assert draw_raster(every, times, every=True).tolist() == [0, 1, 2]
    assert dashes(every) == [(0.5, 1.0), (2.0, 1.0), (1.0, 3.0)]


def test_large_layers_show_evenly_spaced_neurons(monkeypatch):
    times = torch.rand(1000, 2).sort(1).values
    shown = draw_raster(axes(), times)
    assert len(shown) == 160 and shown[0] == 0 and shown[-1] == 999
    assert counted(times, shown) == "160 of 1,000 firing, 0 silent"
    monkeypatch.setattr(spike_times, "MAX_SPIKES", 100)
    drawn = axes()
    assert len(draw_raster(drawn, times)) == 50 and len(dashes(drawn)) == 100


def test_nothing_fires():
    drawn = axes()
    shown = draw_raster(drawn, torch.full((4, 2), INF))
    assert len(shown) == 0 and counted(torch.full((4, 2), INF), shown) == "0 firing, 4 silent"
    assert drawn.get_xlim() == (-0.02, 1.02)


def encoded(shape, kind="image"):
    code = create_coding("times", steps=1)
    code.bind(SampleSpec(kind, shape, duration=1_000 if kind == "events" else None))
    sample = torch.rand(shape) if kind == "image" else EventBatch.of(
        [recording(60, shape)], shape, 1_000
    )  # fmt: skip
    return times_of(code, sample)


@pytest.mark.parametrize(
    ("shape", "kind", "titles"),
    [
        ((1, 4, 4), "image", ["image", "first spike"]),
        ((3, 1, 5), "image", ["image", "first spike"]),
        ((2, 4, 4), "events", ["first spike", "spikes"]),
        ((1, 1, 40), "events", []),
    ],
)
def test_the_panels_of_a_figure(shape, kind, titles):
    one = encoded(shape, kind)
    figure = times_figure(one)
    found = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert found == [*titles, "spikes over real time"]
    assert figure.get_suptitle() == f"times: {', '.join(facts(one))}"


def test_the_facts_of_a_sample():
    image = encoded((1, 2, 2))
    said = facts(image)
    assert said[0] == "4 spikes of 4 addresses" and said[-1] == "decoded exactly"
    of_recording = facts(encoded((1, 2, 2), "events"))
    assert of_recording[:2] == ["60 events in", "60 spikes of 4 addresses"]


@pytest.mark.slow
def test_files_of_figures(tmp_path):
    draw_times(tmp_path / "a.svg", encoded((1, 4, 4)))
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(ConfigError, match="a picture cannot be written to"):
        draw_times(tmp_path / "a.txt", encoded((1, 4, 4)))
