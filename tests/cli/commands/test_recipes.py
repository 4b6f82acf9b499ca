"""`asnn recipes` and `asnn doctor`."""

import json
import tomllib

import pytest
import torch

from asnn.cli.commands import doctor
from asnn.cli.recipe_files import FOLDER, recipe_names
from asnn.learning import check_recipe, override, read_document
from asnn.models import create_model


def test_the_list_begins_with_the_default(cli):
    lines = cli("recipes", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "digits", "burst", "cifar10", "cifar10-resnet-small", "cifar10-resnet19",
        "cifar10-spikformer", "cifar10-spikformer-small", "cifar100", "cifar100-resnet19",
        "cifar100-spikformer", "decolle", "detect-digits", "detect-events", "dsr", "ecg",
        "fashion-mnist", "fashion-mnist-resnet-small", "first-spike", "flow-nmnist", "fsdd",
        "glm", "hsd", "hybrid-nmnist", "iir", "lorenz", "mnist",
        "multi-spike", "nmnist", "nmnist-small", "p4", "rank", "rank-mnist", "rel-psp",
        "rel-psp-nmnist", "shd", "single-spike", "tandem", "vdib", "vdib-nmnist", "yin-yang",
        "yoso",
    ]  # fmt: skip
    assert json.loads(cli("recipes", "list", "--json").out).keys() == set(recipe_names())


def test_without_a_command_it_lists(cli):
    for options in ([], ["--json"]):
        bare, listed = cli("recipes", *options), cli("recipes", "list", *options)
        assert (bare.code, bare.out, bare.err) == (0, listed.out, "")
    assert "Usage" in cli("recipes", "--help").out
    unknown = cli("recipes", "digits")
    assert unknown.code == 2 and "No such command 'digits'" in unknown.err


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid_commented_and_named_as_its_file(name):
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


def recipe_of(name):
    return check_recipe(read_document(FOLDER / f"{name}.toml"))


def parameters_of(name, classes):
    with torch.device("meta"):
        model = create_model(
            **recipe_of(name).model_arguments(), in_shape=(3, 32, 32), classes=classes
        )
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("data", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_the_recipes_of_the_literature(data, classes):
    """Sizes and settings as published: arXiv 2209.15425 and its code, arXiv 2202.11946."""
    # Spikformer-4-384 has 9.32 M parameters, ResNet-19 12.63 M; ours has other shortcuts.
    assert parameters_of(f"{data}-spikformer", classes) == pytest.approx(9.32e6, rel=0.01)
    assert parameters_of(f"{data}-resnet19", classes) == pytest.approx(12.63e6, rel=0.05)
    spikformer, resnet = recipe_of(f"{data}-spikformer"), recipe_of(f"{data}-resnet19")
    for recipe in (spikformer, resnet):
        assert recipe.data.name == data and recipe.coding.name == "direct"
        assert (recipe.train.epochs, recipe.train.batch_size, recipe.coding.steps) == (300, 128, 4)
    train, augment = spikformer.train, spikformer.augment.options()
    assert (train.optimizer, train.lr, train.final_lr) == ("adamw", 5e-4, 1e-5)
    assert (train.weight_decay, train.warmup_epochs, train.label_smoothing) == (0.06, 20, 0.1)
    assert (augment["randaugment"], augment["randaugment_magnitude"]) == (1, 9)
    assert augment["erasing"] == 0.25 and not augment["cutmix"] and augment["mixup"]
    assert (augment["mixup_alpha"], augment["mixup_off_epoch"]) == (0.5, 200)
    train = resnet.train
    assert (train.optimizer, train.lr, train.final_lr) == ("adam", 1e-3, 0.0)
    assert (train.loss, train.tet_lambda, train.tet_phi) == ("tet", 0.05, 1.0)
    # v ← v + (x - v)/2 with tau = 2 in Spikformer, v ← v/2 + x in TET; both reset to 0.
    assert spikformer.neuron.options() | {"leak": 0.5, "gain": 0.5, "reset": "zero"} == (
        spikformer.neuron.options()
    )
    assert resnet.neuron.options() | {"leak": 0.5, "gain": 1.0, "reset": "zero"} == (
        resnet.neuron.options()
    )


@pytest.mark.parametrize(
    "name", [name for name in recipe_names() if name.startswith(("cifar", "fashion"))]
)
def test_adaptive_neurons_and_the_hybrid_code_fit_in(name):
    document = read_document(FOLDER / f"{name}.toml")
    changes = [(["coding", "name"], "hybrid"), (["model", "neuron"], "adaptive")]
    assert check_recipe(override(document, changes)[0]).model.neuron == "adaptive"


def test_show_and_copy(cli, tmp_path):
    shown = cli("recipes", "show", "digits")
    assert shown.out == (FOLDER / "digits.toml").read_text()
    everything = tomllib.loads(cli("recipes", "show", "digits", "--all").out)
    assert everything["train"]["optimizer"] == "adam"
    assert cli("recipes", "copy", "digits", "mine.toml").code == 0
    assert tomllib.loads((tmp_path / "mine.toml").read_text())["name"] == "mine"
    again = cli("recipes", "copy", "digits", "mine.toml")
    assert again.code == 2 and "mine.toml exists already" in again.err
    (tmp_path / "evil.toml").write_bytes("# \x1b[31m\u202e\tä\r\n".encode())
    assert cli("recipes", "show", "evil.toml").out == "# \\x1b[31m\\u202e\tä\r\n"
    unknown = cli("recipes", "show", "digit")
    assert unknown.code == 2 and "did you mean 'digits'?" in unknown.err


def test_doctor_finds_nothing_wrong(cli):
    result = cli("doctor", "--json")
    found = json.loads(result.out)
    assert (result.code, found["problems"]) == (0, [])
    assert found["packages"]["torch"] and found["packages"]["onnxruntime"]
    assert "No problems found." in cli("doctor").err


def test_doctor_shows_problems_and_remedies(cli, monkeypatch):
    monkeypatch.setitem(doctor.PACKAGES, "nir", "no_such_module")
    result = cli("doctor")
    assert result.code == 1
    assert "problem: nir cannot be imported" in result.err
    assert "pip install --force-reinstall nir" in result.err
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
