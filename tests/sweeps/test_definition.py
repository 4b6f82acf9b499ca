"""Definitions as files and commands; plans with checked members."""

import shlex

import numpy as np
import pytest

from asnn.cli.recipe_files import recipe_file
from asnn.core import ConfigError, DataError
from asnn.learning import read_document
from asnn.sweeps import Definition, SweepFolder, find_sweep, parse_axis, read_definition
from asnn.sweeps.definition import differences
from asnn.sweeps.folder import make_folder
from asnn.sweeps.member import require_same_recipe
from asnn.sweeps.plan import make_plan

DIGITS = read_document(recipe_file("digits"))


def define(*grid, changes=(), **options):
    axes = tuple(parse_axis(text) for text in grid)
    return Definition("digits", DIGITS, changes=tuple(changes), axes=axes, **options)


def test_definition_file_round_trip(tmp_path):
    made = define(
        "model.widths=[4,8],[8]",
        "coding.steps=2,4;train.lr=1e-3,0.1",
        "augment.flip=true,false",
        changes=[("data.path", "a, b.npz"), ("train.epochs", 3)],
        seeds=(0, 7),
        split="validation",
        skip_impossible=True,
    )
    (tmp_path / "sweep.toml").write_text(made.toml())
    found = read_definition(tmp_path / "sweep.toml")
    assert found == made and differences(found, made) == []


def test_command_contains_the_definition():
    made = define(
        "model.widths=[4,8],[8]",
        "coding.steps=2,4;train.lr=1e-3,0.1",
        changes=[("data.path", "it's, here.npz"), ("train.epochs", 3)],
        seeds=(0, 7),
        split="validation",
        skip_impossible=True,
    )
    assert shlex.split(made.command()) == [
        *("asnn", "sweep", "digits", "--grid", "model.widths=[4,8],[8]"),
        *("--grid", "coding.steps=2,4;train.lr=0.001,0.1", "--set", "data.path=it's, here.npz"),
        *("--set", "train.epochs=3", "--seeds", "0,7,", "--split", "validation"),
        "--skip-impossible",
    ]
    assert define(seeds=(0, 1, 2)).command().endswith("--seeds 3")


def test_differences_are_named():
    one, other = define("coding.steps=2,4", seeds=(0,)), define("coding.steps=2,5", seeds=(0, 1))
    lines = differences(one, other)
    assert len(lines) == 2
    assert lines[0] == "seeds differs: then [0], now [0, 1]"
    assert lines[1].startswith("grid differs")


@pytest.mark.parametrize(
    ("grid", "options", "says"),
    [
        (["coding.steps=2,3", "coding.steps=4,5"], {}, "is in two --grid options"),
        (["coding.steps=2,3"], {"changes": [("coding.steps", 4)]}, "is in --grid and in --set"),
        (["train.seed=1,2"], {}, "use --seeds"),
        (["train.device=cpu,cuda"], {}, "use --device"),
        ([], {"split": "tests"}, "did you mean 'test'"),
    ],
)
def test_invalid_definitions(grid, options, says):
    with pytest.raises(ConfigError) as caught:
        define(*grid, **options)
    assert says in f"{caught.value} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("format = 1\n", "does not define a sweep"),
        ("format = 99\n", "has format 99"),
        ("x: 1", "does not define a sweep"),
    ],
)
def test_damaged_definition_files(tmp_path, content, says):
    (tmp_path / "sweep.toml").write_text(content)
    with pytest.raises(DataError, match=says):
        read_definition(tmp_path / "sweep.toml")


def test_members_and_their_recipes():
    plan = make_plan(define("coding.name=direct,hybrid", "coding.steps=2,3", seeds=(0, 4)))
    assert [member.name for member in plan.members][:5] == [
        "coding.name=direct,coding.steps=2,seed=0",
        "coding.name=direct,coding.steps=3,seed=0",
        "coding.name=hybrid,coding.steps=2,seed=0",
        "coding.name=hybrid,coding.steps=3,seed=0",
        "coding.name=direct,coding.steps=2,seed=4",
    ]
    last = plan.members[-1]
    assert (last.recipe.coding.name, last.recipe.coding.steps, last.seed) == ("hybrid", 3, 4)
    assert last.recipe.model.options()["widths"] == [32, 64]
    assert len(plan.points()) == 4


def test_all_impossible_points_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        make_plan(define("coding.name=direct,hybrid", "coding.steps=1,2", "train.lr=1e-3,-1"))
    assert str(caught.value).startswith("5 of 8 combinations cannot be trained")
    assert "the code 'hybrid' needs 2 steps or more, not 1" in caught.value.why
    assert "train.lr=-1 and 1 more: train.lr: must be greater than 0" in caught.value.why
    assert caught.value.remedy == "--skip-impossible leaves them out"


def test_impossible_points_can_be_skipped():
    grid = ["coding.name=direct,hybrid", "coding.steps=1,2"]
    plan = make_plan(define(*grid, skip_impossible=True))
    assert [dict(point) for point, _ in plan.impossible] == [
        {"coding.name": "hybrid", "coding.steps": 1}
    ]
    assert len(plan.members) == 3
    with pytest.raises(ConfigError, match="2 of 2 combinations cannot be trained"):
        make_plan(define("coding.nme=a,b", skip_impossible=True))


@pytest.mark.slow
def test_networks_are_checked_with_their_data(tmp_path):
    """MS-ResNet-104 halves its images, and only the data set shows that they are 12x12."""
    images = np.zeros((60, 1, 12, 12), np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.arange(60) % 3)
    data = {"data.name": "npz", "data.path": str(tmp_path / "x.npz"), "augment.crop": 0}
    changes = {"model.name": "ms-resnet", **data}.items()
    made = define("model.depth=18,104", changes=changes, skip_impossible=True)
    plan = make_plan(made, device="cpu")
    assert [member.name for member in plan.members] == ["model.depth=18,seed=0"]
    ((point, faults),) = plan.impossible
    assert dict(point) == {"model.depth": 104}
    assert faults == ["model: depth 104 halves its images, which cannot be done with (3, 3)"]


def test_finished_members_do_not_need_their_data():
    made = define(changes=[("data.name", "npz"), ("data.path", "none.npz")])
    with pytest.raises(DataError, match="none.npz"):
        make_plan(made)
    assert len(make_plan(made, finished=lambda name: name == "seed=0").members) == 1


def test_folder_holds_a_single_sweep(tmp_path):
    made = define("coding.steps=2,3")
    folder = make_folder(made, tmp_path / "a")
    assert make_folder(made, tmp_path / "a").path == folder.path
    with pytest.raises(ConfigError, match="holds another sweep: grid differs"):
        make_folder(define("coding.steps=2,4"), tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/file").write_text("")
    with pytest.raises(ConfigError, match="is not empty and holds no sweep"):
        make_folder(made, tmp_path / "b")


def test_newest_sweep_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="there is no sweep in runs/"):
        find_sweep()
    monkeypatch.setattr("time.strftime", lambda form: "20260101-000000")
    for name in ("sweep-digits-20260101-000000", "sweep-digits-20260101-000000-2"):
        assert make_folder(define(), None).path.name == name
        assert find_sweep().path.name == name
    with pytest.raises(DataError, match="it holds no sweep.toml"):
        find_sweep("runs")


def test_folder_with_another_training_is_refused(tmp_path):
    member = make_plan(define("coding.steps=2,3")).members[0]
    folder = SweepFolder(tmp_path)
    run = folder.run(member.name)
    require_same_recipe(member.recipe, run)  # the folder is missing
    run.path.mkdir()
    run.config.write_text(member.recipe.toml())
    require_same_recipe(member.recipe, run)
    run.config.write_text(member.recipe.toml().replace("lr = 0.003", "lr = 0.004"))
    with pytest.raises(ConfigError, match="train.lr: there 0.004, in the sweep 0.003"):
        require_same_recipe(member.recipe, run)
