"""Search: ranges from options, and trials of Optuna, without training."""

import json
import os
import re

import pytest

from asnn.cli.recipe_files import recipe_file
from asnn.core import ConfigError, DataError
from asnn.core.metric import ACCURACY, Metric
from asnn.learning import read_document
from asnn.sweeps import Definition, read_definition
from asnn.sweeps.folder import make_folder
from asnn.sweeps.pool import Failure
from asnn.sweeps.ranges import parse_range
from asnn.sweeps.search import Search, require_optuna
from tests.support.evaluations import evaluation

DIGITS = read_document(recipe_file("digits"))


@pytest.mark.parametrize(
    ("text", "low", "high", "log"),
    [
        ("train.lr=1e-4..1e-2:log", 1e-4, 1e-2, True),
        ("model.hidden=64..512", 64, 512, False),
        ("model.hidden = 64 .. 512 :log", 64, 512, True),
        ("neuron.leak=-.5..1", -0.5, 1.0, False),
        ("train.lr=1...5e1", 1.0, 50.0, False),
    ],
)
def test_ranges(text, low, high, log):
    found = parse_range(text)
    assert (found.low, found.high, found.log, found.choices) == (low, high, log, ())
    # The interval is one of integers if both bounds are integers.
    assert (type(found.low), type(found.high)) == (type(low), type(high))


def test_choices():
    assert parse_range("coding.name=direct,hybrid").choices == ("direct", "hybrid")
    assert parse_range("model.widths=[4,8],[16]").choices == ([4, 8], [16])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train.lr", "is neither a range nor choices"),
        ("lr=1..2", "is neither a range nor choices"),
        ("train.=1..2", "is neither a range nor choices"),
        ("train.lr=2..1", "is empty: 2 is not less than 1"),
        ("train.lr=1..1", "is empty"),
        ("train.lr=0..1:log", "begins at 0"),
        ("a.b=1,2;c.d=3,4", "has several keys"),
    ],
)
def test_invalid_ranges(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_range(text)


def define(*searches, trials=6):
    return Definition(
        "digits",
        DIGITS,
        split="validation",
        ranges=tuple(parse_range(text) for text in searches),
        trials=trials,
    )


SEARCHES = ("train.lr=1e-4..1e-2:log", "model.hidden=8..32", "model.widths=[4,8],[16]")


def test_definition_file_round_trip(tmp_path):
    made = define(*SEARCHES)
    (tmp_path / "sweep.toml").write_text(made.toml())
    assert read_definition(tmp_path / "sweep.toml") == made
    assert "--search train.lr=1e-4..1e-2:log" in made.command()
    assert "--trials 6" in made.command() and "--split" not in made.command()
    with pytest.raises(ConfigError, match="train.seed is not a key for --search"):
        define("train.seed=1..5")


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError, match="needs Optuna") as caught:
        require_optuna()
    assert "pip install 'asnn[search]'" in caught.value.remedy


def finish(folder, member, value, metric=ACCURACY):
    run = folder.path / member.name
    run.mkdir()
    figures = {metric.name: 0.0, f"validation_{metric.name}": value}
    record = evaluation(split="validation", metric=metric.document(), **figures)
    (run / "evaluation.json").write_text(json.dumps(record))


def searched(tmp_path, **options):
    pytest.importorskip("optuna")
    definition = define(*SEARCHES, **options)
    folder = make_folder(definition, tmp_path / "s")
    return Search(definition, folder), folder


def score(member):
    """The nearer to a learning rate of 1e-3, the better."""
    import math

    return 1 - abs(math.log10(member.recipe.train.lr) + 3) / 2


def test_trials_lie_in_their_ranges_and_the_best_comes_first(tmp_path):
    search, folder = searched(tmp_path)
    members = []
    for member in search.members():
        members.append(member)
        finish(folder, member, score(member))
        search.tell(member, None)
    assert [member.name for member in members] == [f"trial-{i:04d}" for i in range(6)]
    for member in members:
        assert 1e-4 <= member.recipe.train.lr <= 1e-2
        assert member.recipe.model.options()["hidden"] in range(8, 33)
        assert member.recipe.model.options()["widths"] in ([4, 8], [16])
        assert member.seed == 0
    results = search.results()
    best = max(members, key=score)
    assert results[0]["name"] == best.name
    assert results[0]["validation_accuracy"] == pytest.approx(score(best))
    assert results[0]["settings"] == dict(best.point)
    assert search.failures == {}


MSE = Metric("mse", greater_is_better=False, percent=False)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [MSE, Metric("gain", percent=False)])
def test_the_objective_has_the_direction_of_the_metric(tmp_path, metric):
    """The sampler seeks the least error, and the greatest gain, of the same learning rates."""
    pytest.importorskip("optuna")
    definition = define("train.lr=1e-4..1e-2:log", trials=20)
    folder = make_folder(definition, tmp_path / "s")
    search, rates = Search(definition, folder, metric=metric), []
    for member in search.members():
        rates.append(member.recipe.train.lr)
        finish(folder, member, 1 - score(member), metric)
        search.tell(member, None)
    found = search.results()
    values = [each[f"validation_{metric.name}"] for each in found]
    assert values == sorted(values, reverse=metric.greater_is_better)
    # After ten random trials it stays near 1e-3 for the least error, away from it for the greatest.
    near = sum(3e-4 < rate < 3e-3 for rate in rates[10:])
    assert near >= 7 if metric == MSE else near <= 3


def test_trials_of_a_task_with_another_metric_fail(tmp_path):
    pytest.importorskip("optuna")
    definition = define("task.name=classification,regression", trials=8)
    search = Search(definition, make_folder(definition, tmp_path / "s"))
    members = [member.recipe.task.name for member in search.members()]
    failed = [each for each in search.results() if each["state"] == "fail"]
    assert set(members) == {"classification"} and failed
    for each in failed:
        assert each["settings"] == {"task.name": "regression"}
        assert each["why"] == (
            "task regression has mse (lower is better), "
            "the search compares accuracy (higher is better)"
        )


@pytest.mark.slow
def test_interrupted_search_is_resumed(tmp_path):
    search, folder = searched(tmp_path)
    coming = search.members()
    first, second, third = (next(coming) for _ in range(3))
    finish(folder, first, 0.5)
    search.tell(first, None)
    finish(folder, second, 0.7)  # killed before the study had the result
    again, _ = searched(tmp_path)
    members = []
    for member in again.members():
        members.append(member)
        finish(folder, member, 0.1)
        again.tell(member, None)
    assert members[0].name == third.name and members[0].point == third.point
    assert [member.name for member in members[1:]] == ["trial-0003", "trial-0004", "trial-0005"]
    assert [each["validation_accuracy"] for each in again.results()][:3] == [0.7, 0.5, 0.1]
    assert list(searched(tmp_path)[0].members()) == []


def points_of(search, folder, limit=99):
    points = []
    for member, _ in zip(search.members(), range(limit), strict=False):
        finish(folder, member, score(member))
        search.tell(member, None)
        points.append(member.point)
    return points


@pytest.mark.slow
def test_interrupted_search_suggests_the_same_trials(tmp_path):
    """Beyond the ten random trials, up to those that depend on earlier ones."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    uninterrupted = points_of(*searched(tmp_path / "a", trials=14))
    parts = [
        point for _ in range(3) for point in points_of(*searched(tmp_path / "b", trials=14), 5)
    ]
    assert uninterrupted == parts
    assert len({str(point) for point in uninterrupted}) == 14


def test_failed_trial_stays_failed_and_the_search_continues(tmp_path):
    search, folder = searched(tmp_path, trials=3)
    for member in search.members():
        if member.name == "trial-0001":
            search.tell(member, Failure("the loss is nan"))
        elif member.name == "trial-0002":
            search.tell(member, None)  # finished without a record
        else:
            finish(folder, member, 0.3)
            search.tell(member, None)
    states = {each["name"]: (each["state"], each["why"]) for each in search.results()}
    assert states == {
        "trial-0000": ("complete", None),
        "trial-0001": ("fail", "the loss is nan"),
        "trial-0002": ("fail", "its evaluation is missing"),
    }


def test_impossible_settings_are_failed_trials(tmp_path):
    pytest.importorskip("optuna")
    definition = define("coding.name=hybrid,direct", "coding.steps=1..2", trials=12)
    search = Search(definition, make_folder(definition, tmp_path / "s"))
    members = list(search.members())
    failed = [each for each in search.results() if each["state"] == "fail"]
    assert len(members) + len(failed) == 12 and failed and members
    for each in failed:
        assert each["settings"] == {"coding.name": "hybrid", "coding.steps": 1}
        assert "needs 2 steps or more" in each["why"]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda content: content + b"{\n", "Expecting"),
        (lambda content: content + b"[" * 100_000 + b"\n", "nested too deeply"),
        (lambda content: content + b'{"op_code": NaN}\n', "the number NaN"),
        (lambda content: content + b"[1]\n", "not a JSON object"),
        (lambda content: content + b'{"op_code": 99}\n', "Error"),
        (lambda content: content.replace(b"train.lr", b"train.xx"), "train.lr"),
    ],
)
def test_a_damaged_journal_is_refused(tmp_path, damage, why):
    search, folder = searched(tmp_path, trials=3)
    next(search.members())
    path = folder.path / "search.journal"
    content = path.read_bytes()
    path.write_bytes(content + b'{"cut o')  # as a kill during a write leaves it
    assert len(Search(search.definition, folder).results()) == 1
    path.write_bytes(damage(content))
    with pytest.raises(DataError, match="search.journal is damaged") as caught:
        Search(search.definition, folder)
    assert re.search(why, caught.value.why), caught.value.why


def test_a_pipe_in_place_of_the_journal(tmp_path):
    search, folder = searched(tmp_path)
    (folder.path / "search.journal").unlink(missing_ok=True)
    os.mkfifo(folder.path / "search.journal")
    with pytest.raises(DataError, match="it is not a regular file"):
        Search(search.definition, folder)


def test_trials_of_a_task_whose_data_decide_on_the_metric_are_taken(tmp_path):
    pytest.importorskip("optuna")
    flow = read_document(recipe_file("flow-nmnist"))
    ranges = (parse_range("task.smooth=0.001,0.01"),)
    definition = Definition("flow-nmnist", flow, split="validation", ranges=ranges, trials=2)
    metric = Metric("aee", greater_is_better=False, percent=False)
    search = Search(definition, make_folder(definition, tmp_path / "s"), metric=metric)
    assert len(list(search.members())) == 2
    assert not [each for each in search.results() if each["state"] == "fail"]
