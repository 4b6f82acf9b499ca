"""The figure of accuracy against energy: its points, and the words that stand for it."""

from asnn.reports.cost_figures import tradeoff_figure

ROWS = [
    {"exit": None, "steps": 1.0, "accuracy": 0.5, "picojoules": 1e6},
    {"exit": None, "steps": 2.0, "accuracy": 0.9, "picojoules": 2e6},
    {"exit": "confidence=0.9", "steps": 1.5, "accuracy": 0.8, "picojoules": 1.5e6},
]
DECISION = {"steps": 1.25, "accuracy": 0.75, "picojoules": 1.2e6}


def lines(drawing):
    (axes,) = drawing.figure.axes
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_the_decision_of_a_readout_is_a_point_of_its_own():
    drawn = tradeoff_figure(ROWS, "series", DECISION)
    assert lines(drawn)["decision of the readout"] == [[1.2, 75.0]]
    assert lines(drawn)["early exit by confidence"] == [[1.5, 80.0]]
    said = drawn.alt.replace("\xa0", " ")
    assert said.endswith("The readout decides after 1.25 steps on average: 75.0 % for 1.20 µJ.")


def test_without_decisions_there_is_no_such_point():
    drawn = tradeoff_figure(ROWS)
    assert list(lines(drawn)) == ["fixed number of steps", "early exit by confidence"]
    assert "decides" not in drawn.alt
