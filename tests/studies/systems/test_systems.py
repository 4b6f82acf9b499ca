"""The comparison of all systems: its rows are recipes, and its table is that of the figures."""

import tomllib
from pathlib import Path

import pytest

from asnn.learning.recipe import parse_override
from asnn.learning.recipe.checking import check_recipe
from asnn.sweeps.comparison import paired
from studies.systems.rows import DATA, systems_of
from studies.systems.table import HEADS, table

ROWS = [(data, system) for data in DATA.values() for system in systems_of(data)]


@pytest.mark.parametrize(("data", "system"), ROWS, ids=lambda each: each.name)
def test_rows_are_recipes_with_one_budget(data, system):
    document = tomllib.loads(data.recipe(Path("data")))
    for change in system.changes(data):
        (section, key), value = parse_override(change)
        document.setdefault(section, {})[key] = value
    recipe = check_recipe(document)
    starts = recipe.train.init == "ann" or system.name == "distillation"
    of_ann = (recipe.train.ann_epochs or 0) if starts else 0
    assert recipe.train.epochs + of_ann == data.epochs
    assert (recipe.model.name, recipe.coding.steps) == ("lenet", 8)


def test_names_of_rows_are_unique():
    for data in DATA.values():
        names = [system.name for system in systems_of(data)]
        assert len(set(names)) == len(names)


def figures(accuracy: float, **more) -> dict:
    return {
        "accuracy": accuracy,
        "steps": 4.0,
        "accuracy_then": accuracy - 0.01,
        "spikes_then": 1234.0,
        "picojoules_then": 2e6,
        "cpu_seconds": 10.0,
        "peak_mib": 500.0,
        **more,
    }


def test_the_table_compares_with_its_first_row():
    first = {0: figures(0.80), 1: figures(0.82), 2: figures(0.81)}
    other = {0: figures(0.85), 1: figures(0.86), 2: figures(0.87, spikes_then=None)}
    head, _, base, row = table({"a": first, "b": other, "c": {}}).splitlines()
    assert head == f"| {' | '.join(HEADS)} |"
    assert base == "| a | 81.00 ± 1.00 |  |  | 4.00 | 80.00 | 1,234 | 2.00 | 10 | 500 |"
    test = paired([5.0, 4.0, 6.0], size=100.0)
    assert row == (
        f"| b | 86.00 ± 1.00 | +5.00 ({test['low']:+.1f} to {test['high']:+.1f}) | "
        f"{test['p']:.3f} | 4.00 | 85.00 | – | 2.00 | 10 | 500 |"
    )


def test_p_is_corrected_over_the_rows():
    first = {0: figures(0.80), 1: figures(0.82), 2: figures(0.81)}
    other = {0: figures(0.85), 1: figures(0.86), 2: figures(0.87)}
    alone = table({"a": first, "b": other}).splitlines()[-1].split(" | ")[3]
    beside = table({"a": first, "b": other, "c": other}).splitlines()[-1].split(" | ")[3]
    assert float(beside) == pytest.approx(2 * float(alone), abs=0.001)


def test_nothing_is_finished():
    assert table({"a": {}}) == "nothing is finished\n"
