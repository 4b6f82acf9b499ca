"""Figures of codes: each panel shows its values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.coding import create_coding
from asnn.measure.encoding.images import code_of
from asnn.measure.figures.codes import (
    MAX_MARKS,
    MAX_PIXELS,
    MAX_STEPS,
    PANELS_PER_ROW,
    code_figure,
    codes_figure,
    draw_code,
    draw_codes,
    facts,
)


def image(channels=1, height=9, width=7):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(channels, height, width, generator=generator)


def encoded(name, channels=1, steps=4, **options):
    torch.manual_seed(1)  # differs from the seed of the image
    return code_of(create_coding(name, steps=steps, **options), image(channels))


def panels(figure):
    """Every array of a figure by title, in the order of drawing."""
    found = {}
    for axes in figure.axes:
        for drawn in axes.images:
            found.setdefault(axes.get_title(), []).append(np.asarray(drawn.get_array()))
    return found


def marks(figure):
    """(step, row) of the marks of each raster."""
    rasters = [axes for axes in figure.axes if axes.get_title() == "spikes by step"]
    return [axes.collections[0].get_offsets().data for axes in rasters]


def test_panels_hold_the_values():
    made = encoded("temporal")
    shown = panels(code_figure(made))
    assert list(shown) == [
        "image", *(f"t = {t}" for t in (1, 2, 3, 4)), "decoded", "error", "spikes per pixel"
    ]  # fmt: skip
    assert np.array_equal(shown["image"][0], made.image[0])
    for t in range(4):
        assert np.array_equal(shown[f"t = {t + 1}"][0], made.steps[t, 0])
    assert np.array_equal(shown["decoded"][0], made.decoded[0])
    assert np.allclose(shown["error"][0], np.abs(made.decoded[0].numpy() - made.image[0].numpy()))
    assert np.array_equal(shown["spikes per pixel"][0], made.steps.sum(0)[0])


@pytest.mark.slow
def test_the_raster_marks_every_spike():
    made = encoded("delta", steps=6)
    (found,) = marks(code_figure(made))
    expected = [
        (t + 1, pixel) for pixel, values in enumerate(made.steps.flatten(1).T.tolist())
        for t, value in enumerate(values) if value
    ]  # fmt: skip
    assert sorted(map(tuple, found.tolist())) == sorted(expected)
    # The analog step has no marks; later steps keep their numbers.
    (found,) = marks(code_figure(encoded("hybrid", steps=4)))
    assert set(found[:, 0]) == {2, 3, 4}


def test_analog_values_in_colour_and_spikes_as_means_over_channels():
    made = encoded("hybrid", channels=3)
    shown = panels(code_figure(made))
    for title in ("image", "t = 1, analog", "decoded"):
        assert np.array_equal(shown[title][0], made.image.permute(1, 2, 0))
    assert np.allclose(shown["t = 2"][0], made.steps[1].mean(0))
    assert np.allclose(shown["spikes per value"][0], made.steps[1:].sum(0).mean(0))
    assert not shown["error"][0].any()


def test_many_steps_are_evenly_spaced():
    figure = code_figure(encoded("rate", steps=46))
    shown = [title for title in panels(figure) if title.startswith("t = ")]
    assert shown == [f"t = {1 + 3 * i}" for i in range(MAX_STEPS)]
    assert {t for t, _ in marks(figure)[0].tolist()} == set(range(1, 47))  # the raster shows all


@pytest.mark.slow
def test_rasters_have_a_limit():
    """A mark for each of a million spikes would make a large, unreadable file."""
    everywhere = create_coding("rate", steps=1000)
    made = code_of(everywhere, torch.ones(1, 32, 32))
    (found,) = marks(code_figure(made))
    assert 0 < len(found) <= MAX_MARKS


@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_downsampled(channels):
    picture = image(channels, 3, 2 * MAX_PIXELS + 1)
    made = code_of(create_coding("hybrid", steps=2), picture)
    shown = panels(code_figure(made))
    for (drawn,) in shown.values():
        assert drawn.shape[:2] == (1, MAX_PIXELS * 2 // 3 + 1)
    expected = picture.permute(1, 2, 0).squeeze(-1)[::3, ::3]
    assert np.array_equal(shown["image"][0], expected)


@pytest.mark.slow
def test_several_codes_have_a_row_each_and_common_scales():
    codes = [encoded(name, steps=6) for name in ("direct", "temporal", "rate", "hybrid")]
    figure = codes_figure(codes)
    shown = panels(figure)
    for title, values in (("error", [made.error() for made in codes]),
                          ("spikes per pixel", [made.spikes() for made in codes])):  # fmt: skip
        for drawn, value in zip(shown[title], values, strict=True):
            assert np.array_equal(drawn, value[0])
        limits = {axes.images[0].get_clim() for axes in figure.axes if axes.get_title() == title}
        assert limits == {(0, max(float(value.max()) for value in values))}
    said = {text.get_text() for axes in figure.axes for text in axes.texts}
    for made in codes:
        assert made.coding.name in said and "\n".join(facts(made)) in said
    rows = codes_figure([encoded("rate", steps=50)]).axes
    assert sum(axes.get_title().startswith("t = ") for axes in rows) == PANELS_PER_ROW


def black():
    return code_of(create_coding("temporal", steps=2), torch.zeros(1, 1, 1))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (encoded("direct"), ["no spikes", "decoded exactly"]),
        (black(), ["no spikes", "decoded exactly"]),
        (encoded("embedding", variant="published"), ["cannot be decoded"]),
    ],
    ids=["direct", "black", "published"],
)
def test_facts_of_silent_exact_and_undecodable_codes(made, said):
    found = facts(made)
    assert found[-len(said) :] == said
    figure = code_figure(made)
    assert found[-1] in figure.texts[0].get_text()
    assert ("decoded" in panels(figure)) == (made.decoded is not None)


def test_facts_are_figures():
    """0.9 and 0.3 lie in (1/2, 1] and (0, 1/2]: one spike each, decoded as 3/4 and 1/4."""
    made = code_of(create_coding("temporal", steps=2), torch.tensor([[[0.9, 0.3, 0.0]]]))
    rmse = ((0.15**2 + 0.05**2) / 3) ** 0.5
    assert facts(made) == [
        "0.67 spikes per pixel",
        "mean first spike: step 1.5",
        f"RMSE {rmse:.4f}",
        f"PSNR {-20 * np.log10(rmse):.1f} dB",
    ]


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    steps=st.integers(2, 20),
    name=st.sampled_from(["hybrid", "rate", "latency"]),
)
def test_images_of_any_shape_and_number_of_steps_can_be_drawn(tmp_path_factory, shape, steps, name):
    made = code_of(create_coding(name, steps=steps), torch.rand(shape))
    path = tmp_path_factory.mktemp("drawn") / "a.png"
    draw_code(path, made)
    draw_codes(path, [made, made])
    assert path.read_bytes().startswith(b"\x89PNG")
