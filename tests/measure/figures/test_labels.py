"""Labels of points cover neither each other, nor points, nor lines."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.measure.figures.labels import place_labels
from asnn.measure.figures.style import line, panel, style


def boxes(axes):
    """The boxes of the labels, in pixels."""
    axes.figure.draw_without_rendering()
    return [text.get_window_extent() for text in axes.texts]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
@pytest.mark.slow
def test_labels_cover_nothing(points):
    with style():
        _, axes = panel((4.7, 2.9))
        axes.plot(*zip(*points, strict=True), **line(0), label="points")
        axes.margins(0.14)
        labels = [(f"t = {i}", point) for i, point in enumerate(points)]
        written = place_labels(axes, labels)
    found = boxes(axes)
    assert len(found) == len(written)
    at = axes.transData.transform(points)
    for i, box in enumerate(found):
        assert not any(box.overlaps(other) for other in found[:i])
        assert not any(box.contains(*point) for point in at)


@pytest.mark.slow
def test_labels_of_points_far_apart_are_all_written_and_of_equal_points_one():
    with style():
        _, axes = panel((4.7, 2.9))
        axes.plot([0, 1], [0, 1], **line(0))
        axes.margins(0.2)
        assert place_labels(axes, [("a", (0, 0)), ("b", (1, 1))]) == ["a", "b"]
        _, axes = panel((1.0, 0.9))
        axes.plot([0, 0], [0, 0], **line(0))
        many = [(f"label {i}", (0.0, 0.0)) for i in range(20)]
        written = place_labels(axes, many)
    assert len(written) < 20  # there is no place for all
    assert [f"label {i}" for i in range(20) if f"label {i}" in written] == written


@pytest.mark.slow
def test_label_avoids_the_line_that_goes_through_its_first_place():
    """The first place is right below: a line that falls to the right goes through it."""
    with style():
        _, axes = panel((4.7, 2.9))
        axes.set_xlim(-1, 3)
        axes.set_ylim(-3, 1)
        place_labels(axes, [("t = 1", (0, 0))])
        (free,) = boxes(axes)
        axes.texts[0].remove()
        axes.plot([0, 2], [0, -1], **line(0))
        assert axes.lines[0].get_path().transformed(axes.transData).intersects_bbox(free)
        place_labels(axes, [("t = 1", (0, 0))])
        (placed,) = boxes(axes)
        path = axes.lines[0].get_path().transformed(axes.transData)
    assert not path.intersects_bbox(placed, filled=False)
