"""The contact sheet: a row for each class, a picture for each sample."""

import numpy as np

from asnn.measure.figures.contact_sheet import MAX_NAME, contact_sheet, draw_contact_sheet


def test_a_row_for_each_class_with_its_pictures():
    grey, colour = np.zeros((4, 6), np.uint8), np.full((5, 5, 3), 200, np.uint8)
    figure = contact_sheet("data: 3 samples", {"ant": [grey, colour], "b" * 30: [grey]})
    assert len(figure.axes) == 3
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert [each.shape for each in shown] == [(4, 6), (5, 5, 3), (4, 6)]
    assert (np.asarray(shown[1]) == 200).all()
    texts = [text.get_text() for text in figure.texts]
    assert "ant" in texts and "b" * (MAX_NAME - 1) + "…" in texts


def test_names_of_classes_are_no_formulas_and_no_control_characters(tmp_path):
    draw_contact_sheet(tmp_path / "a.svg", "$x$", {"\x1b[31m$y^2$": [np.zeros((2, 2), np.uint8)]})
    text = (tmp_path / "a.svg").read_text()
    assert "\x1b" not in text and "$y^2$" in text
