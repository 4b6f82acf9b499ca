"""Sweeps of strangers: damaged evaluations are made again, and no text becomes markup."""

import json
import re
import shlex

import pytest
from markdown_it import MarkdownIt

from asnn.core import ConfigError, DataError
from asnn.sweeps import Definition, parse_axis, read_definition
from asnn.sweeps.evaluation import require_evaluation
from asnn.sweeps.figure import draw_results
from asnn.sweeps.folder import make_folder
from asnn.sweeps.grid import expand
from asnn.sweeps.plan import Member, Plan
from asnn.sweeps.pool import Failure
from asnn.sweeps.results import summarise, write_results
from tests.support.evaluations import evaluation

EVIL = "a|b\n<script>`x`*y* [l](http://e) \x1b[31m\u202e ```\n# h $\\nothing$"


class Recipe:
    train = type("Train", (), {"seed": 0})


def made(tmp_path, grid: str, records: list[dict], name: str = "digits"):
    """Write the evaluations of a sweep with one seed; return definition, plan and folder."""
    axes = (parse_axis(grid),)
    definition = Definition(name, {"name": name}, axes=axes, seeds=(0,))
    folder, plan = make_folder(definition, tmp_path / "sweep"), Plan()
    for index, (point, record) in enumerate(zip(expand(axes), records, strict=True)):
        plan.members.append(Member(f"{index}-0", index, point, Recipe()))
        (folder.path / f"{index}-0").mkdir()
        (folder.path / f"{index}-0" / "evaluation.json").write_text(json.dumps(record))
    return definition, plan, folder


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"accuracy": None}, "accuracy is not a number"),
        ({"accuracy": True}, "accuracy is not a number"),
        ({"accuracy": 10**301}, "accuracy is not a number"),
        ({"loss": "x"}, "loss is not a number"),
        ({"steps": {}}, "steps is not a whole number"),
        ({"parameters": [1]}, "parameters is not a whole number"),
        ({"data": 3}, "data is not text"),
        ({"tracked": [{}]}, "tracked is not a list of names"),
        ({"tracked": ["f1"], "f1": "high"}, "f1 is not a number"),
        ({"accuracy_per_step": True}, "accuracy_per_step is not a list"),
        ({"accuracy_per_step": ["x"]}, "accuracy_per_step is not a list"),
        ({"machine": None}, "machine does not name device"),
        ({"machine": {"device": "cpu"}}, "machine does not name device"),
        ({"split": "train"}, "it is of the train split"),
    ],
)
def test_a_damaged_evaluation_is_none(tmp_path, changes, why):
    good = evaluation()
    assert require_evaluation(good, "test") is good
    with pytest.raises(ValueError, match=why):
        require_evaluation(evaluation(**changes), "test")
    definition, plan, folder = made(tmp_path, "coding.steps=2,4", [good, evaluation(**changes)])
    results = summarise(definition, plan, folder, {})
    assert results["missing"] == ["1-0"]
    write_results(results, folder)


def test_evaluations_of_two_metrics_and_of_other_lengths(tmp_path):
    other = evaluation(
        metric={"name": "f1", "greater_is_better": True, "percent": False}, f1=0.3, loss=None
    )
    definition, plan, folder = made(tmp_path, "coding.steps=2,4", [evaluation(), other])
    assert summarise(definition, plan, folder, {})["missing"] == ["1-0"]


@pytest.mark.slow
@pytest.mark.filterwarnings("error")  # of glyphs that a font does not have
def test_no_text_of_a_sweep_becomes_markup(tmp_path):
    records = [evaluation(data=EVIL, machine=dict.fromkeys(evaluation()["machine"], EVIL))] * 2
    grid = f"coding.variant={json.dumps(EVIL, ensure_ascii=False)},plain"
    definition, plan, folder = made(tmp_path, grid, records, name=EVIL)
    plan.impossible.append(((("coding.variant", EVIL),), [EVIL]))
    results = summarise(definition, plan, folder, {"1-0": Failure(EVIL, "", "")})
    write_results(results, folder)
    draw_results(folder.figure, results)
    page = folder.report.read_text("utf-8")
    assert all(c.isprintable() or c == "\n" for c in page)
    shown = MarkdownIt("commonmark").enable("table").render(page)
    assert set(re.findall(r"<(\w+)", shown)) <= {
        *("h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "pre", "code"),
    }
    assert shown.count("<h1>") == 1 and shown.count("<code>") == 1
    assert shown.count("&lt;script&gt;") >= 8
    # Control: the same texts without escapes are markup.
    raw = MarkdownIt("commonmark").enable("table").render(f"# x\n\n{EVIL}\n")
    assert "<script>" in raw


def test_the_command_of_a_usual_sweep_can_be_copied(tmp_path):
    definition, plan, folder = made(tmp_path, "coding.steps=2,4", [evaluation(), evaluation()])
    write_results(summarise(definition, plan, folder, {}), folder)
    block = folder.report.read_text("utf-8").split("```")[1]
    assert shlex.split(block)[:3] == ["asnn", "sweep", "digits"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "1.5"),
        ("source", "[1]"),
        ("split", "{}"),
        ("seeds", "[]"),
        ("seeds", "[0, 0]"),
        ("seeds", "[true]"),
        ("seeds", "3"),
        ("skip_impossible", "'yes'"),
        ("trials", "-1"),
        ("search", "[1]"),
        ("set", "[{key = 3, value = 4}]"),
        ("set", "[{key = 'train.lr'}]"),
        ("grid", "[{keys = ['train.lr'], values = []}]"),
        ("grid", "[{keys = ['train.lr'], values = [[1, 2]]}]"),
        ("grid", "[{keys = ['train.lr'], values = [1]}]"),
        ("grid", "[{keys = [1], values = [[1]]}]"),
        ("grid", "[[]]"),
        ("recipe", "'digits'"),
    ],
)
def test_a_definition_with_values_of_other_types(tmp_path, key, value):
    tables = {
        "format": "1",
        "source": "'digits'",
        "split": "'test'",
        "seeds": "[0]",
        "skip_impossible": "false",
        "set": "[{key = 'train.epochs', value = 1}]",
        "grid": "[{keys = ['train.lr'], values = [[0.1]]}]",
        "recipe": "{name = 'digits'}",
    }
    path = tmp_path / "sweep.toml"
    path.write_text("\n".join(f"{name} = {text}" for name, text in tables.items()))
    assert read_definition(path).keys == ["train.lr"]
    path.write_text("\n".join(f"{k} = {v}" for k, v in {**tables, key: value}.items()))
    with pytest.raises(DataError, match="does not define a sweep") as caught:
        read_definition(path)
    assert "is not that of a sweep" in caught.value.why


def test_a_grid_has_a_limit():
    axis = parse_axis("train.lr=" + ",".join(map(str, range(1, 22))))
    assert len(expand([axis, axis, axis])) == 21**3
    with pytest.raises(ConfigError, match=r"the grid has 194,481 combinations: at most 10,000"):
        expand([axis] * 4)
