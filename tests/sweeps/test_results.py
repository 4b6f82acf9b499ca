"""Results derived from records: values by hand, the page, the figure."""

import json
import statistics

import pytest
from PIL import Image

from asnn.sweeps import Definition, parse_axis
from asnn.sweeps.figure import draw_results
from asnn.sweeps.folder import make_folder
from asnn.sweeps.plan import Member, Plan
from asnn.sweeps.pool import Failure
from asnn.sweeps.results import summarise, write_results
from asnn.sweeps.results_page import page, plus_minus, results_table, short_names

ACCURACY = {
    ("direct", 2): [0.90, 0.92, 0.91],
    ("direct", 4): [0.93, 0.95, 0.97],
    ("hybrid", 2): [0.91, 0.90, 0.92],
    ("hybrid", 4): [0.95, 0.96, 0.97],
}


class Recipe:
    def __init__(self, seed):
        self.train = type("Train", (), {"seed": seed})


def record(accuracy, seed, steps):
    return {
        "split": "test",
        "data": "digits",
        "fingerprint": "0123456789abcdef",
        "steps": steps,
        "seed": seed,
        "epochs": 3,
        "samples": 1000,
        "accuracy": accuracy,
        "accuracy_per_step": [accuracy - 0.1] * (steps - 1) + [accuracy],
        "loss": 0.3,
        "spike_rate": 0.1,
        "spikes_per_sample": 1000.0 * steps + seed,
        "samples_per_second": 99.0,
        "training_seconds": 12.0 + seed,
        "validation_accuracy": 0.9,
        "parameters": 1234,
        "machine": {"device": "cpu", "processor": "P", "cores": 2, "threads": 1, "torch": "2"},
    }


@pytest.fixture
def sweep(tmp_path):
    """Write the records of the members except `missing`; return definition, plan and folder."""

    def make(*grid, missing=()):
        axes = tuple(parse_axis(text) for text in grid)
        definition = Definition("digits", {"name": "digits"}, axes=axes, seeds=(0, 1, 2))
        folder = make_folder(definition, tmp_path / "sweep")
        plan, index = Plan(), 0
        from asnn.sweeps.grid import expand

        for index, point in enumerate(expand(axes)):
            settings = dict(point)
            code = settings.get("coding.name", "direct")
            steps = settings.get("coding.steps", 4)
            for seed in range(3):
                name = f"{index}-{seed}"
                plan.members.append(Member(name, index, point, Recipe(seed)))
                if name not in missing:
                    (folder.path / name).mkdir()
                    content = record(ACCURACY[code, steps][seed], seed, steps)
                    (folder.path / name / "evaluation.json").write_text(json.dumps(content))
        return definition, plan, folder

    return make


GRID = ("coding.name=direct,hybrid", "coding.steps=2,4")


def test_means_and_deviations(sweep):
    results = summarise(*sweep(*GRID), {})
    assert [each["n"] for each in results["points"]] == [3] * 4
    for each in results["points"]:
        values = ACCURACY[each["settings"]["coding.name"], each["settings"]["coding.steps"]]
        assert each["accuracy"]["mean"] == pytest.approx(sum(values) / 3)
        # The sample deviation, over n - 1.
        mean = sum(values) / 3
        squares = sum((value - mean) ** 2 for value in values)
        assert each["accuracy"]["deviation"] == pytest.approx((squares / 2) ** 0.5)
    four = results["points"][1]
    assert four["spikes_per_sample"] == {"mean": 4001.0, "deviation": 1.0}
    assert four["accuracy_per_step"] == pytest.approx([0.85, 0.85, 0.85, 0.95])
    assert (results["total"], results["missing"], results["failed"]) == (12, [], [])
    assert len(results["comparisons"]["single"]) == 4
    json.dumps(results, allow_nan=False)


def test_missing_and_failed_members(sweep):
    made = sweep(*GRID, missing=["0-1", "0-2", "3-0", "3-1", "3-2"])
    made[1].impossible.append(((("coding.steps", 1),), ["needs 2 steps"]))
    results = summarise(*made, {"0-1": Failure("it broke", "because", "mend it")})
    assert [each["n"] for each in results["points"]] == [1, 3, 3, 0]
    assert results["points"][0]["accuracy"] == {"mean": 0.90, "deviation": None}
    assert results["points"][3]["accuracy"] == {"mean": None, "deviation": None}
    assert results["missing"] == ["0-2", "3-0", "3-1", "3-2"]
    assert results["failed"] == [
        {"name": "0-1", "what": "it broke", "why": "because", "remedy": "mend it"}
    ]
    text = page(results)
    assert "4 members are not trained yet" in text
    assert "Failed: 0-1: it broke." in text
    assert "- coding.steps=1: needs 2 steps" in text
    assert "| hybrid | 4 | 0 | – | – | – |" in text
    assert "fewer than 2 pairs" in text
    json.dumps(results, allow_nan=False)
    draw_results(made[2].figure, results)


def test_records_of_another_split_are_not_used(sweep):
    definition, plan, folder = sweep(*GRID)
    path = folder.path / "0-0/evaluation.json"
    path.write_text(path.read_text().replace('"test"', '"train"'))
    (folder.path / "0-1/evaluation.json").write_text("{damaged")
    results = summarise(definition, plan, folder, {})
    assert results["missing"] == ["0-0", "0-1"] and results["points"][0]["n"] == 1


def test_page_lists_the_conditions(sweep):
    definition, plan, folder = sweep(*GRID)
    write_results(summarise(definition, plan, folder, {}), folder)
    text = folder.report.read_text()
    deviation = 100 * statistics.stdev(ACCURACY["direct", 4])
    assert f"| direct | 4 | 3 | 95.00 ± {deviation:.2f} | 4,001 ± 1 | 13 |" in text
    for row in (
        "| data | digits |",
        "| fingerprint | 0123456789ab |",
        "| evaluated on | test, 1000 samples |",
        "| seeds | 0, 1, 2 |",
        "| steps T | 2, 4 |",
        "| epochs | 3 |",
        "| processor | P; 2 cores |",
    ):
        assert row in text
    assert definition.command() in text
    assert "| coding.name direct → hybrid | 2 | 3 | +0.00 |" in text  # 1, -2 and 1 points
    assert json.loads(folder.results.read_text())["command"] == definition.command()


def test_tables_fit_a_terminal(sweep):
    heads, rows = results_table(summarise(*sweep(*GRID), {}))
    assert heads == ["coding.name", "steps", "n", "accuracy, %", "spikes", "training, s"]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    assert sum(widths) + 2 * len(widths) <= 80


@pytest.mark.parametrize(
    "grid", [GRID, ("coding.name=direct,hybrid",), ("coding.steps=2,4;train.lr=1,2",), ()]
)
def test_figure_of_every_kind_of_grid(sweep, grid):
    definition, plan, folder = sweep(*grid)
    results = summarise(definition, plan, folder, {})
    draw_results(folder.figure, results)
    with Image.open(folder.figure) as image:
        assert image.format == "PNG" and image.width > 600
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert (0, 0x72, 0xB2) in colours  # the first of the palette
    assert ((0xD5, 0x5E, 0) in colours) == ("coding.name=direct,hybrid" in grid)


def test_short_names_and_figures():
    assert short_names(["coding.name", "model.name", "train.lr"]) == [
        "coding.name",
        "model.name",
        "lr",
    ]
    assert plus_minus({"mean": 0.975, "deviation": 0.0031}, 100, 2) == "97.50 ± 0.31"
    assert plus_minus({"mean": 0.975, "deviation": None}, 100, 2) == "97.50"
    assert plus_minus({"mean": None, "deviation": None}, 100, 2) == "–"


def test_equal_results_of_one_number_of_steps_do_not_hide_each_other(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(
        "asnn.sweeps.figure.save_figure", lambda path, figure: figures.append(figure)
    )
    points = [
        {
            "n": 1,
            "settings": {"coding.steps": 4, "coding.name": name},
            "accuracy": {"mean": 0.5, "deviation": None},
        }
        for name in ("direct", "rate")
    ]
    keys = ["coding.steps", "coding.name"]
    results = {"recipe": "digits", "split": "validation", "seeds": [0], "points": points}
    draw_results(tmp_path / "a.png", results | {"keys": keys, "axes": [[key] for key in keys]})
    places = [tuple(line.get_xdata()) for line in figures[0].axes[0].lines if line.get_label()]
    assert len(set(places)) > 1
