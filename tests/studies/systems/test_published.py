"""The table of published systems: its rows are recipes, and its cells those of the records."""

from statistics import fmean, stdev

import pytest

from asnn.cli.recipe_files import recipe_document
from asnn.learning.recipe import override, parse_override
from asnn.learning.recipe.checking import check_recipe
from studies.systems.published import HEADS, ROWS, Row, at, corrupted, mean, table, turned


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_are_recipes(row):
    document, _ = recipe_document(row.recipe, {})
    changed, _ = override(document, [parse_override(change) for change in row.changes])
    recipe = check_recipe(changed)
    epochs = max(recipe.train.epochs, recipe.train.ann_epochs or 0)
    assert f" {epochs} epochs" in row.data
    if recipe.data.name == "mnist":
        assert f"{recipe.data.limit:,} images" in row.data


def test_names_of_rows_are_unique():
    assert len({row.name for row in ROWS}) == len(ROWS)


def record(accuracy, **found):
    values = {"accuracy": accuracy, "spikes_per_sample": 1000.0, **found}
    values["metric"] = {"name": "accuracy", "percent": True}
    values["energy"] = {"picojoules_per_sample": 2e6}
    return {"cpu_seconds": 10.0, "peak_mib": 500.0, "found": values}


def test_the_table_has_means_and_deviations():
    rows = [Row("a", "A", "digits", "digits", beside=corrupted("shuffled")), Row("b", "B", "", "")]
    found = {
        "a": [record(v, corruption=[{}, {"accuracy": v / 2}]) for v in (0.8, 0.9)],
        "b": [],
    }
    head, _, line = table(rows, found).splitlines()
    assert head == f"| {' | '.join(HEADS)} |"
    assert line == (
        f"| A | digits | accuracy 85.00 ± {stdev([80, 90]):.2f} % | "
        f"shuffled: 42.50 ± {stdev([40, 45]):.2f} % | 1,000 | 2 | 10 | 500 |"
    )


def test_what_a_network_that_decides_does_later_does_not_count():
    decided = record(0.8, decision={"spikes": 100.0, "picojoules": 1e6})
    line = table([Row("a", "A", "", "")], {"a": [decided]}).splitlines()[-1]
    assert "| 100 | 1 |" in line and "1,000" not in line


def test_turns_are_averaged_over_their_angles():
    turns = [{"accuracy": a, "equal_answers": b} for a, b in ((0.8, 1), (0.6, 0.9), (0.1, 0.8))]
    assert turned([record(0.9, equivariance=turns)]) == (
        f"turned: {100 * fmean([0.8, 0.6, 0.1]):.2f} %; equal answers: 90.00 %"
    )


def test_one_seed_has_no_deviation():
    assert mean([0.0205], ".3g") == "0.0205"
    assert at([{"a": [1, {"b": 2}]}], "a.1.b") == [2]
