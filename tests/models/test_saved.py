"""Model files: weights are restored bit for bit, and damage is reported."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from asnn.coding import create_coding
from asnn.core import AsnnError, ConfigError, DataError
from asnn.models import SpikingNetwork, create_model, load_run, save_model
from asnn.models.saved import load_model, read_labels


def network(**options):
    torch.manual_seed(0)
    model = create_model(
        "lenet",
        **{
            "in_shape": (2, 6, 5),
            "classes": 3,
            "steps": 3,
            "widths": [3, 4],
            "hidden": 5,
            "mean": [0.1, 0.2],
            "std": [0.5, 0.6],
            **options,
        },
    )
    for _ in range(3):  # statistics of batch norm other than those of a new network
        model(torch.rand(4, *model.config["in_shape"]))
    return model.eval()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    model = network()
    save_model(path, model, labels=["a", "b", "c"])
    return path, model


VARIANTS = [
    {},
    {"coding": "temporal", "neuron": "fixed", "norm": "per-step"},
    {"coding": "embedding", "coding_options": {"thresholds": "quantile"}},
    {"coding": "direct", "neuron_options": {"granularity": "channel", "learn_reset_size": True}},
    {"coding": "hybrid", "output_scale": False},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_round_trip_bit_for_bit(options, tmp_path):
    model = network(**options)
    path = tmp_path / "model.safetensors"
    save_model(path, model)
    loaded = load_model(path)
    assert not loaded.training
    assert loaded.config == json.loads(json.dumps(model.config))
    assert loaded.config["in_shape"] == [2, 6, 5]
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    x = torch.rand(4, 2, 6, 5)
    assert torch.equal(loaded(x), model(x))
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_labels(saved, tmp_path):
    assert read_labels(saved[0]) == ["a", "b", "c"]
    save_model(tmp_path / "other.safetensors", saved[1])
    assert read_labels(tmp_path / "other.safetensors") == []


def test_a_folder_that_is_missing_cannot_be_written_to(tmp_path):
    with pytest.raises(AsnnError, match=r"could not write .*model\.safetensors: No such file"):
        save_model(tmp_path / "missing" / "model.safetensors", network())


def run(folder, seed, age):
    """A finished run's folder, as old as `age` seconds."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("")
    torch.manual_seed(seed)
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3], steps=2).eval()
    save_model(folder / "model.safetensors", model)
    os.utime(folder / "config.toml", (1e9 - age, 1e9 - age))
    return model


def test_load_run_by_folder_by_latest_and_by_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = run(tmp_path / "runs" / "z-old", 1, age=100)
    new = run(tmp_path / "runs" / "a-new", 2, age=0)
    x = torch.rand(5, 1, 2, 2)
    expected = {model: model(x) for model in (old, new)}

    def loaded(path=None):
        return load_run(path)(x)

    for path in (None, "runs/latest", tmp_path / "runs" / "latest", "runs/a-new"):
        torch.testing.assert_close(loaded(path), expected[new], rtol=0, atol=0)
    for path in ("runs/z-old", "runs/z-old/model.safetensors"):
        torch.testing.assert_close(loaded(path), expected[old], rtol=0, atol=0)
    # A run that has begun but has no weights is not the latest trained one.
    (tmp_path / "runs" / "newest").mkdir()
    (tmp_path / "runs" / "newest" / "config.toml").write_text("")
    torch.testing.assert_close(loaded(), expected[new], rtol=0, atol=0)


def refused(path) -> DataError:
    with pytest.raises(DataError) as caught:
        load_run(path)
    return caught.value


def test_missing_runs(tmp_path):
    error = refused(tmp_path / "latest")
    assert error.what == f"there is no trained run in {tmp_path}/"
    assert "asnn train" in error.remedy
    error = refused(tmp_path / "gone")
    assert (error.what, error.why) == (f"{tmp_path / 'gone'} is not a run", "it is missing")
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty").why == "it holds no config.toml"
    run(tmp_path / "good", 0, 0)
    assert refused(tmp_path / "gone").remedy == f"give the path of a run, such as {tmp_path}/good"


def test_a_run_without_weights(tmp_path):
    (tmp_path / "config.toml").write_text("")
    error = refused(tmp_path)
    assert error.what == f"{tmp_path / 'model.safetensors'} is missing"
    assert "train it" in error.remedy


def test_every_truncation_is_damage(saved):
    path, _ = saved
    content = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        error = refused(path)
        assert error.what == f"{path} is damaged"
        assert error.why
        assert error.remedy == "train the run again, or restore the file"


@pytest.mark.parametrize("content", [b"\xff" * 64, b"PK\x03\x04" + bytes(60), b"{}" * 40])
def test_other_bytes_are_damage(saved, content):
    saved[0].write_bytes(content)
    assert refused(saved[0]).what == f"{saved[0]} is damaged"


def header(**changes) -> dict[str, str]:
    return {"asnn": json.dumps({"format": 1, "model": network().config, "labels": [], **changes})}


def test_safetensors_of_other_programs(saved):
    path, model = saved
    for metadata in (None, {"format": "pt"}):
        save_file(model.state_dict(), path, metadata=metadata)
        error = refused(path)
        assert error.what == f"{path} was not written by asnn"
        assert error.why == "its header does not describe a network"


def test_newer_format(saved):
    path, model = saved
    save_file(model.state_dict(), path, metadata=header(format=2))
    error = refused(path)
    assert error.what == f"{path} has format 2"
    assert error.why == "this asnn reads formats up to 1"
    assert error.remedy == "install a newer asnn"
    save_file(model.state_dict(), path, metadata=header())
    load_run(path)  # the control: the same file with format 1


def test_values_that_are_not_finite(saved):
    path, model = saved
    for value in (float("nan"), float("inf")):
        state = {name: v.clone() for name, v in model.state_dict().items()}
        state["body.readout.scale"][1] = value
        save_file(state, path, metadata=header())
        error = refused(path)
        assert error.what == f"{path} holds values that are not finite"
        assert error.why == "body.readout.scale"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"classes": 4}, "body.readout.linear.weight has the shape"),
        ({"steps": 5}, "body.spikes1.neuron.leak has the shape"),
        ({"coding": "temporal"}, "unexpected: "),
        ({"coding": "hybird"}, "unknown coding 'hybird'"),
        ({"widths": [3, 0]}, "widths and hidden must be positive"),
        ({"depth": 3}, "unknown option of model lenet 'depth'"),
        ({"name": None}, "unknown model None"),
    ],
)
def test_weights_that_do_not_fit_the_network(saved, changes, why):
    path, model = saved
    save_file(model.state_dict(), path, metadata=header(model={**model.config, **changes}))
    error = refused(path)
    assert error.what == f"{path} does not fit the network in its header"
    assert why in error.why


def test_missing_weights(saved):
    path, model = saved
    state = model.state_dict()
    del state["body.readout.linear.bias"]
    save_file(state, path, metadata=header())
    assert "body.readout.linear.bias" in refused(path).why


def test_a_network_built_by_hand_is_refused_with_what_to_do(tmp_path):
    built = network()
    model = SpikingNetwork(create_coding("hybrid", steps=3), built.body)
    with pytest.raises(ConfigError) as caught:
        save_model(tmp_path / "model.safetensors", model)
    assert caught.value.what == "this network was not built by create_model"
    assert "entry point of `asnn.models`" in caught.value.remedy
    assert os.listdir(tmp_path) == []
    model.config = built.config  # the control
    save_model(tmp_path / "model.safetensors", model)
    assert load_model(tmp_path / "model.safetensors").config["name"] == "lenet"


def test_an_interrupted_save_keeps_the_former_file(saved, monkeypatch):
    path, _ = saved
    before = path.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(AsnnError, match=r"could not write .*: No space left on device"):
        save_model(path, network(coding="temporal"))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
