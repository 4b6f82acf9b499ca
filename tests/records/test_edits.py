"""Edits of a configuration as text."""

from asnn.records.edits import MAX_TEXT, describe


def test_values_are_shown_as_they_are_or_shortened():
    assert describe({"train.lr": (0.1, None)}) == "train.lr is not set, in the training 0.1"
    shown = describe({"a.b": ([1] * 100_000, "x" * MAX_TEXT)})
    assert shown.count("…") == 2 and len(shown) < 3 * MAX_TEXT
    assert "…" not in describe({"a.b": ("x" * (MAX_TEXT - 2), 1)})
