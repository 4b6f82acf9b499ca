"""Figures of series: each panel shows its values."""

import numpy as np
import pytest
import torch

from asnn.coding import create_coding
from asnn.coding.samples import SampleSpec
from asnn.measure.encoding.samples import EncodedSample
from asnn.measure.figures.series import MAX_ROWS, draw_series, series_figure


def encoded(series, steps=None, **options):
    binary = bool(((series == 0) | (series == 1)).all())
    spec = SampleSpec("series", tuple(series.shape[1:]), steps=len(series), binary=binary)
    coding = create_coding("given", steps=steps or len(series), **options)
    coding.bind(spec)
    return EncodedSample(coding, series[None], coding.encode(series[None])[:, 0])


def values(steps=10, *shape):
    return torch.randn(steps, *(shape or (3,)), generator=torch.Generator().manual_seed(0))


def test_values_are_a_heat_map():
    series = values()
    (axes, _) = series_figure(encoded(series)).axes
    np.testing.assert_allclose(axes.images[0].get_array(), series.T)
    assert "10 steps of 3 values" in axes.get_title()


def test_a_code_that_joins_steps_is_drawn_below_the_series():
    made = encoded(values(), 5, fit="sum")
    panels = [axes for axes in series_figure(made).axes if axes.images and axes.get_title()]
    np.testing.assert_allclose(panels[0].images[0].get_array(), made.sample[0].T)
    np.testing.assert_allclose(panels[1].images[0].get_array(), made.steps.T)


def test_spikes_are_a_raster():
    series = (values(20) > 0).float()
    (axes,) = series_figure(encoded(series)).axes
    (lines,) = axes.collections
    found = {(x, round((y0 + y1) / 2)) for (x, y0), (_, y1) in lines.get_segments()}
    assert found == {(t + 1, i) for t, i in series.nonzero().tolist()}
    assert f"{int(series.sum())} spikes" in axes.get_title()


def test_many_values_are_evenly_spaced():
    (axes, _) = series_figure(encoded(values(4, 2 * MAX_ROWS))).axes
    assert axes.images[0].get_array().shape == (MAX_ROWS, 4)
    assert "512 of them drawn" in axes.get_title()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (300, 1), (5, 2, 3, 4), (5, 120)])
def test_every_shape_is_drawn(shape, tmp_path):
    for series in (torch.zeros(shape), torch.ones(shape), values(*shape), -values(*shape).abs()):
        draw_series(tmp_path / "a.svg", encoded(series))
