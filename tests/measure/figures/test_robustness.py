"""What the figure of robustness shows."""

import pytest

from asnn.measure.figures import robustness
from asnn.measure.figures.robustness import draw_robustness


@pytest.mark.parametrize("number", [2, 12])
def test_legend_of_many_networks_is_within_the_figure(monkeypatch, tmp_path, number):
    figures = []
    monkeypatch.setattr(robustness, "save_figure", lambda path, figure: figures.append(figure))
    rows = [{"corruption": "noise", "severity": s, "accuracy": 0.9 - s} for s in (0, 0.1)]
    draw_robustness(tmp_path / "a.png", {f"a network {i}": rows for i in range(number)})
    (figure,) = figures
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == number
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
