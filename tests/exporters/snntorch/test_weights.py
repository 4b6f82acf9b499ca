"""Weights of files in a module: the same names and shapes, or a refusal that lists them."""

from __future__ import annotations

import pickle

import pytest
import snntorch as snn
import torch
from safetensors.torch import save_file
from torch import nn

from asnn.core.errors import ConfigError, DataError
from asnn.exporters.snntorch.weights import load_weights


def net(seed: int = 0, hidden: int = 5) -> nn.Sequential:
    torch.manual_seed(seed)
    lif = snn.Leaky(beta=0.9 - seed / 10, init_hidden=True)
    return nn.Sequential(nn.Linear(6, hidden), lif, nn.Linear(hidden, 3))


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors"])
def test_all_kinds_of_files(name, tmp_path) -> None:
    state = net(1).state_dict()
    (save_file if name.endswith("s") else torch.save)(state, tmp_path / name)
    module = net(0)
    assert not same(module, net(1))
    assert load_weights(module, tmp_path / name) == []
    assert same(module, net(1))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_checkpoints(key, tmp_path) -> None:
    path, module = tmp_path / "w.pt", net(0)
    torch.save({key: net(1).state_dict(), "epoch": 3, "optimizer": {"state": {}}}, path)
    assert load_weights(module, path) == [f"the weights are {key!r} in {path}"]
    assert same(module, net(1))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.net."])
def test_a_prefix_of_all_names_is_left_out(prefix, tmp_path) -> None:
    path, module = tmp_path / "w.pt", net(0)
    torch.save({f"{prefix}{key}": value for key, value in net(1).state_dict().items()}, path)
    note = f"the names in {path} begin with {prefix!r}, which is left out"
    assert load_weights(module, path) == [note]
    assert same(module, net(1))


def refused(state: object, tmp_path, kind: type[Exception] = ConfigError) -> Exception:
    path, module = tmp_path / "w.pt", net(0)
    torch.save(state, path)
    with pytest.raises(kind) as found:
        load_weights(module, path)
    assert same(module, net(0))  # nothing is half loaded
    return found.value


def test_missing_and_unexpected_names_are_listed(tmp_path) -> None:
    state = net(1).state_dict()
    state["2.wieght"] = state.pop("2.weight")
    error = refused(state, tmp_path)
    assert error.what == f"the names in {tmp_path / 'w.pt'} are not those of the network"
    assert error.why == "it lacks 2.weight; it has 2.wieght, which the network has not"
    assert error.remedy.startswith("2.weight may be 2.wieght")

    part = {f"encoder.{key}": value for key, value in net(1).state_dict().items()}
    error = refused({**part, "head.weight": torch.ones(2)}, tmp_path)
    assert "it lacks 0.weight, 0.bias" in error.why and "more; it has encoder.0.weight" in error.why
    assert "probably begin with 'encoder.'" in error.remedy


def test_other_shapes_are_listed(tmp_path) -> None:
    error = refused(net(1, hidden=4).state_dict(), tmp_path)
    assert error.why == (
        "0.weight is [4, 6], not [5, 6]; 0.bias is [4], not [5]; 2.weight is [3, 4], not [3, 5]"
    )


def test_files_of_something_else(tmp_path) -> None:
    error = refused([1, 2], tmp_path, DataError)
    assert error.why == "it is a list"
    error = refused({"epoch": 3}, tmp_path, DataError)
    assert error.why == "it is a dict of epoch"
    error = refused(nn.Linear(6, 5), tmp_path, DataError)
    assert "holds more than tensors and plain values" in error.what
    assert "torch.save(net.state_dict()" in error.remedy


class Runs:
    def __reduce__(self):
        return (open, ("ran", "w"))


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"a": Runs()}))
    with pytest.raises(DataError):
        load_weights(net(), tmp_path / "w.pt")
    torch.save({"a": Runs()}, tmp_path / "w.pt")
    with pytest.raises(DataError, match="holds more than tensors"):
        load_weights(net(), tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello, world", b"PK\x03\x04" + bytes(40)])
def test_damaged_files(content, tmp_path) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(DataError):
        load_weights(net(), tmp_path / "w.pt")
