"""`asnn recipes` and `asnn doctor`."""

import json
import tomllib

import pytest

from asnn.cli import doctor
from asnn.cli.recipes import FOLDER, recipe_names
from asnn.learning import check_recipe, read_document


def test_the_list_begins_with_the_default(cli):
    lines = cli("recipes", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "digits", "cifar10", "cifar100", "fashion-mnist", "mnist",
    ]  # fmt: skip
    assert json.loads(cli("recipes", "list", "--json").out).keys() == set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_sound_commented_and_named_as_its_file(name):
    document = read_document(FOLDER / f"{name}.toml")
    recipe = check_recipe(document)
    assert recipe.name == name and recipe.description
    assert " # " in (FOLDER / f"{name}.toml").read_text()
    assert check_recipe(tomllib.loads(recipe.toml())).document() == recipe.document()


def test_cifar100_is_the_papers_recipe():
    """arXiv 2408.12407 and its published code."""
    recipe = check_recipe(read_document(FOLDER / "cifar100.toml"))
    train, augment = recipe.train, recipe.augment.options()
    assert (train.epochs, train.batch_size, train.optimizer) == (200, 128, "adam")
    assert (train.lr, train.final_lr, train.schedule) == (5e-3, 1e-5, "cosine")
    assert augment["mixup"] and augment["mixup_off_epoch"] == 145 and augment["flip"]
    assert (augment["rotation"], augment["crop"]) == (25, 5)


def test_show_and_copy(cli, tmp_path):
    shown = cli("recipes", "show", "digits")
    assert shown.out == (FOLDER / "digits.toml").read_text()
    everything = tomllib.loads(cli("recipes", "show", "digits", "--all").out)
    assert everything["train"]["optimizer"] == "adam"
    assert cli("recipes", "copy", "digits", "mine.toml").code == 0
    assert tomllib.loads((tmp_path / "mine.toml").read_text())["name"] == "mine"
    again = cli("recipes", "copy", "digits", "mine.toml")
    assert again.code == 2 and "mine.toml exists already" in again.err
    unknown = cli("recipes", "show", "digit")
    assert unknown.code == 2 and "did you mean 'digits'?" in unknown.err


def test_doctor_finds_nothing_wrong(cli):
    result = cli("doctor", "--json")
    found = json.loads(result.out)
    assert (result.code, found["problems"]) == (0, [])
    assert found["packages"]["torch"] and found["packages"]["onnxruntime"]
    assert "nothing is wrong" in cli("doctor").err


def test_doctor_tells_what_is_wrong_and_the_remedy(cli, monkeypatch):
    monkeypatch.setitem(doctor.PACKAGES, "nir", "no_such_module")
    result = cli("doctor")
    assert result.code == 1
    assert "problem: nir cannot be imported" in result.err
    assert "pip install --force-reinstall -c constraints.txt nir" in result.err
    monkeypatch.setattr(
        "importlib.metadata.distributions",
        lambda: [type("D", (), {"metadata": {"Name": name}}) for name in
                 ("onnxruntime", "onnxruntime-gpu")],
    )  # fmt: skip
    assert "are both installed" in cli("doctor").err


def test_version_and_bare_command(cli):
    assert cli("--version").out.startswith("asnn 0.")
    bare = cli()
    assert bare.code == 2 and "Usage" in bare.out + bare.err
