"""What the figure of learned schedules says."""

import math

from matplotlib.figure import Figure

from asnn.measure.figures.schedules import (
    draw_schedule,
    draw_schedules,
    ends_of,
    kinds_of,
    most_steps,
)


def test_axis_includes_zero_so_that_a_change_is_seen_as_the_share_that_it_is():
    for values, low, high in (
        ([1.0, 1.01, 0.99], 0.0, 1.01),
        ([-0.5, -0.51], -0.51, 0.0),
        ([-1.0, 1.0], -1.0, 1.0),
        ([0.0, 0.0], 0.0, 0.0),
    ):
        axes = Figure().subplots()
        draw_schedule(axes, {"spikes1": values}, ["spikes1"])
        bottom, top = axes.get_ylim()
        assert bottom <= low
        assert top >= high
        assert bottom < top
        # A change by 1 % is drawn as 1 % of the height, within the margin.
        assert top - bottom >= high - low


def test_layer_has_the_same_line_in_each_panel(tmp_path):
    schedules = {"a": {"leak": [0.5, 0.6]}, "b": {"leak": [0.5, 0.7], "gain": [0.5, 0.7]}}
    kinds = kinds_of(schedules)
    assert kinds == {"gain": {"b": [0.5, 0.7]}, "leak": {"a": [0.5, 0.6], "b": [0.5, 0.7]}}
    colours = set()
    for layers in kinds.values():
        axes = Figure().subplots()
        draw_schedule(axes, layers, list(schedules))
        colours.add(axes.lines[-1].get_color())
    assert len(colours) == 1
    draw_schedules(tmp_path / "a.svg", schedules, "my run")
    text = (tmp_path / "a.svg").read_text()
    for said in ("my run", "Gain by step", "Leak by step", ">a<", ">b<"):
        assert said in text


def test_names_of_layers_and_runs_are_shown_as_they_are(tmp_path):
    draw_schedules(tmp_path / "a.svg", {"_x": {"leak": [0.5, 0.6]}}, "_run $y$")
    text = (tmp_path / "a.svg").read_text()
    assert ">_x<" in text
    assert ">_run $y$<" in text
    assert "u200b" not in text


def test_values_that_are_not_finite_leave_the_scale_to_the_others():
    axes = Figure().subplots()
    draw_schedule(axes, {"a": [0.5, math.inf], "b": [math.nan, 0.8]}, ["a", "b"])
    bottom, top = axes.get_ylim()
    assert bottom == 0
    assert 0.8 < top < 1


def test_points_of_many_steps_are_not_all_marked():
    axes = Figure().subplots()
    draw_schedule(axes, {"a": [0.5] * 500, "b": [0.5] * 4}, ["a", "b"])
    assert [500 // line.get_markevery() for line in axes.lines] == [16, 500]


def test_values_behind_an_accumulator_are_at_the_ends_of_their_windows():
    assert list(ends_of([0.1, 0.2, 0.3], 12)) == [4, 8, 12]
    assert list(ends_of([0.1, 0.2, 0.3], 3)) == [1, 2, 3]
    assert list(ends_of([0.1, 0.2], 3)) == [1, 2]  # no windows of equal length
    assert most_steps({"a": {"leak": [0.5] * 4}, "b": {"scale": [1.0, 1.0]}}) == 4
