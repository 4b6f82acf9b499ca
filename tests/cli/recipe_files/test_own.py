"""The recipe that is made for own data: what is chosen, printed, overridden and repeated."""

import io
import tomllib
import wave
from pathlib import Path

import numpy as np
import pytest

import asnn
from asnn.cli.recipe_files import own_choices
from asnn.cli.recipe_files.own import own_recipe, run_name
from asnn.core.errors import DataError
from asnn.learning import check_recipe
from tests.support.pictures import class_folders, picture


def chosen(path, **asked):
    own = own_recipe(str(path), {key.replace("__", "."): value for key, value in asked.items()})
    return check_recipe(own.document), own


def test_images_of_one_small_size_keep_it_and_others_are_resized(tmp_path):
    folder = class_folders(tmp_path / "a")
    assert chosen(folder)[0].data.options()["size"] == [10, 12]
    picture(folder / "ant" / "other.png", size=(40, 200))
    recipe, own = chosen(folder)
    assert recipe.data.options()["size"] == [32, 32]
    assert "differ in size" in own.reasons["data.size"]
    assert own.about == "25 images in 2 classes, of 10x12 to 40x200 pixels (height x width)"
    picture(folder / "ant" / "upright.png", size=(12, 10))
    (folder / "ant" / "other.png").unlink()
    assert "of 10x12 to 12x10 pixels" in chosen(folder)[1].about
    large = class_folders(tmp_path / "b", count=2, size=(60, 80))
    assert chosen(large)[0].data.options()["size"] == [32, 32]


def test_a_size_that_the_user_sets_is_taken_into_account(tmp_path):
    folder = class_folders(tmp_path / "a")
    recipe, own = chosen(folder, data__size=64)
    assert recipe.augment.options()["crop"] == 8 and "data.size" not in own.reasons


@pytest.mark.parametrize(
    ("count", "batch", "epochs"), [(300, 16, 30), (3_000, 64, 30), (20_000, 64, 9)]
)
def test_batches_and_epochs_by_the_number_of_samples(tmp_path, count, batch, epochs):
    """Of 28x28 pixels, an epoch draws count x 0.8 x 0.8 (0.9) samples of 0.77 times 32x32."""
    x, y = np.zeros((count, 28, 28), np.uint8), np.arange(count) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y)
    train = chosen(tmp_path / "a.npz")[0].train
    assert (train.batch_size, train.epochs) == (batch, epochs)


def wav(path: Path, seconds: float, rate: int = 8_000) -> None:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        samples = np.random.default_rng(len(path.name)).normal(size=round(seconds * rate))
        file.writeframes((3_000 * samples).clip(-32_767, 32_767).astype("<i2").tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())


def test_audio_by_its_rate_and_length(tmp_path):
    for name in ("yes", "no"):
        for index in range(4):
            wav(tmp_path / name / f"{index}.wav", 0.3)
    recipe = chosen(tmp_path)[0]
    options = recipe.data.options()
    assert (recipe.data.name, options["rate"], options["steps"]) == ("wav-folder", 8_000, 21)
    assert recipe.coding.steps == 21 and recipe.model.name == "rsnn"
    asked = chosen(tmp_path, coding__steps=12)[0]
    assert asked.data.options()["steps"] == asked.coding.steps == 12


SERIES = {
    "classes": (np.arange(20) % 2, 30, "classification", "exact"),
    "classes of long series": (np.arange(20) % 2, 400, "classification", "mean"),
    "classes of steps": (np.arange(600).reshape(20, 30) % 2, 30, "step-classification", "exact"),
    "real values": (np.linspace(0, 1, 20), 30, "regression", "exact"),
    "real values of steps": (np.linspace(0, 1, 600).reshape(20, 30), 30, "regression", "exact"),
}


@pytest.mark.parametrize(("y", "steps", "task", "fit"), SERIES.values(), ids=SERIES)
def test_series_by_their_targets(tmp_path, y, steps, task, fit):
    x = np.random.default_rng(0).normal(size=(20, steps, 3))
    np.savez(tmp_path / "s.npz", x=x, y=y)
    recipe = chosen(tmp_path / "s.npz")[0]
    assert (recipe.task.name, recipe.coding.options()["fit"]) == (task, fit)
    assert recipe.coding.steps == min(steps, 50)
    if task == "regression":
        assert recipe.task.options()["at"] == ("steps" if y.ndim > 1 else "end")


def test_events_of_large_sensors_are_joined(tmp_path):
    t, p = np.arange(40), np.ones(40, int)
    x, y = np.full(40, 127), np.full(40, 99)
    offsets, labels = np.arange(0, 41, 4), np.arange(10) % 2
    np.savez(tmp_path / "e.npz", t=t, x=x, y=y, p=p, offsets=offsets, labels=labels)
    coding = chosen(tmp_path / "e.npz")[0].coding.options()
    assert (coding["downsample"], coding["value"]) == (4, "log-count")
    assert chosen(tmp_path / "e.npz")[0].augment.options()["shift"] == 4


def test_the_data_set_that_the_user_names_goes_before_what_is_detected(tmp_path):
    """The note on floats in [0, 1] offers series: that command works."""
    np.savez(tmp_path / "a.npz", x=np.full((20, 6, 5), 0.5), y=np.arange(20) % 2)
    recipe, own = chosen(tmp_path / "a.npz")
    assert recipe.data.name == "npz" and "--set data.name=series-npz" in own.reasons["data.name"]
    recipe = chosen(tmp_path / "a.npz", data__name="series-npz")[0]
    assert (recipe.data.name, recipe.coding.name, recipe.coding.steps) == ("series-npz", "given", 6)


def test_many_recordings_get_what_reading_them_at_access_needs(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            t = np.array([0, 5_000])
            columns = {"t": t, "x": np.array([0, 9]), "y": np.array([0, 7]), "p": np.array([0, 1])}
            np.savez(tmp_path / name / f"{index}.npz", **columns)
    assert chosen(tmp_path)[0].data.options()["duration"] is None
    monkeypatch.setattr(own_choices, "MAX_IN_MEMORY", 10)
    options = chosen(tmp_path)[0].data.options()
    assert options["duration"] == 5.0 and options["size"] == [8, 10]


@pytest.mark.parametrize(
    "change", ["data.size=ab", "data.size=[1,2,3]", "data.size=0", "coding.steps=x", "data.name=7"]
)
def test_values_of_the_user_that_fit_nothing_are_reported(cli, tmp_path, change):
    class_folders(tmp_path / "a")
    result = cli("train", "a", "--set", change, "--dry-run")
    assert result.code == 2, result.err
    assert change.partition("=")[0] in result.err or "size is" in result.err


def test_names_of_runs(tmp_path):
    (tmp_path / "my pictures é").mkdir()
    assert run_name(str(tmp_path / "my pictures é")) == "my-pictures-é"
    assert run_name("a/b/data.npz") == "data" and run_name("/") == "own"


def test_every_choice_is_printed_but_what_the_user_sets(tmp_path):
    _, own = chosen(class_folders(tmp_path / "a"))
    lines = "\n".join(own.lines("a", {"train.epochs"}))
    assert "own data: 24 images in 2 classes" in lines
    assert "train.batch_size = 16" in lines and "train.epochs" not in lines
    assert "asnn train a --dry-run > a.toml" in lines


@pytest.mark.slow
def test_a_dry_run_prints_the_recipe_that_repeats(cli, tmp_path):
    class_folders(tmp_path / "pictures")
    result = cli("train", "pictures", "--dry-run", "--epochs", "3")
    assert result.code == 0 and "without a recipe, this one is made" in result.err
    document = tomllib.loads(result.out)
    assert document["data"]["path"] == "pictures" and document["train"]["epochs"] == 3
    Path("own.toml").write_text(result.out)
    again = cli("train", "own.toml", "--dry-run")
    assert tomllib.loads(again.out) == document and "this one is made" not in again.err


@pytest.mark.slow
def test_a_run_repeats_from_its_config_without_looking_again(cli, tmp_path, monkeypatch):
    class_folders(tmp_path / "pictures")
    small = ("--set", "model.widths=[2]", "--set", "model.hidden=4")
    result = cli("train", "./pictures/", "--epochs", "1", *small, "--out", "a")
    assert result.code == 0, result.err
    monkeypatch.setattr("asnn.cli.recipe_files.own.own_recipe", None)
    assert cli("train", "a/config.toml", "--out", "b").code == 0
    assert Path("a/model.safetensors").read_bytes() == Path("b/model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_recipe_goes_before_a_folder_of_its_name(cli, tmp_path):
    class_folders(tmp_path / "digits")
    result = cli("train", "digits", "--dry-run")
    assert tomllib.loads(result.out)["data"]["name"] == "digits"
    assert "for the folder of this name: asnn train ./digits" in result.err
    assert tomllib.loads(cli("train", "./digits", "--dry-run").out)["data"]["name"] == "folder"


@pytest.mark.parametrize("command", ["sweep", "recipes show"])
def test_other_commands_lead_from_data_to_a_recipe(cli, tmp_path, command):
    class_folders(tmp_path / "pictures")
    result = cli(*command.split(), "pictures")
    assert result.code == 2 and "pictures is data, not a recipe" in result.err
    assert "asnn train pictures --dry-run > pictures.toml" in result.err


def test_typos_of_recipes_and_of_paths(cli, tmp_path):
    class_folders(tmp_path / "pictures")
    assert "did you mean 'digits'?" in cli("train", "digitz").err
    assert "did you mean pictures" in cli("train", "picturs").err
    result = cli("train", "x/picturs")
    assert result.code == 2 and "there is no recipe, file or folder x/picturs" in result.err


@pytest.mark.slow
def test_the_python_front_trains_on_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "pictures")
    changes = {"train.epochs": 1, "model.widths": [2], "model.hidden": 4, "data.size": 8}
    run = asnn.train("pictures", changes=changes)
    assert run.data.in_shape == (3, 8, 8) and run.files.path.name.startswith("pictures-")


def test_a_damaged_file_leads_to_the_survey(tmp_path):
    folder = class_folders(tmp_path / "a")
    (folder / "ant" / "0.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        own_recipe(str(folder), {})
    assert "`asnn data info " in caught.value.remedy


@pytest.mark.slow
def test_three_hundred_pictures_are_above_chance_after_one_epoch(tmp_path, monkeypatch):
    """Three classes that differ in their brightest channel: 1/3 is chance."""
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "pictures", ("ant", "bee", "cat"), 100, size=(20, 20))
    run = asnn.train("pictures", changes={"train.epochs": 1})
    assert run.evaluate("test").accuracy > 0.8
