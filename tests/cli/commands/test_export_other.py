"""`asnn export --check` of files of other tools, and `--weights-from`."""

import json

import nir
import numpy as np
import pytest

from asnn.cli.commands.export.limited import INSIDE

NETS = """
import torch, snntorch as snn
from torch import nn

def make():
    torch.manual_seed(0)
    lif = [snn.Leaky(beta=0.5, threshold=0.3, reset_mechanism="zero", init_hidden=True)
           for _ in range(2)]
    return nn.Sequential(nn.Linear(6, 5), lif[0], nn.Linear(5, 3), lif[1]).eval(), (6,)
"""
MAKE = ("export", "--from", "nets_of_others:make", "--steps", "8")


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A NIR file of the network, without metadata; its neurons are those of `tau` and `r`."""
    (tmp_path / "nets_of_others.py").write_text(NETS)
    names = {}
    exec(NETS, names)
    network, _ = names["make"]()
    first, last = (network[i] for i in (0, 2))

    def write(tau=2e-3, r=2.0, threshold=0.3):
        def lif(number):
            ones = np.ones(number, np.float32)
            return nir.LIF(
                tau=tau * ones, r=r * ones, v_leak=0 * ones, v_threshold=threshold * ones
            )

        def affine(layer):
            return nir.Affine(layer.weight.detach().numpy(), layer.bias.detach().numpy())

        nodes = {"input": nir.Input({"input": np.array([6])}), "a": affine(first), "b": lif(5)}
        nodes |= {"c": affine(last), "d": lif(3), "output": nir.Output({"output": np.array([3])})}
        edges = [*zip([*nodes][:-1], [*nodes][1:], strict=True)]
        nir.write(tmp_path / "theirs.nir", nir.NIRGraph(nodes, edges))
        return tmp_path / "theirs.nir"

    return write


@pytest.mark.slow
def test_a_file_that_computes_the_same(theirs, cli):
    done = cli(*MAKE, "--check", theirs(), "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["verified"] and found["structure"] is None
    assert "0.001 s, with which its neurons add their input as it is" in found["notes"][0]
    numpy = found["runtimes"][1]
    assert numpy["dt"] == 0.001 and [*numpy["layers"].values()] == ["b", "d"]
    assert all(each["network"] == each["file"] > 0 for each in numpy["spikes"].values())


@pytest.mark.slow
def test_a_file_that_computes_something_else(theirs, cli):
    done = cli(*MAKE, "--check", theirs(threshold=0.35))
    assert done.code == 3
    assert "spikes in numpy, from the file" in done.err and "first step" in done.err
    assert "theirs.nir does not compute what the network does" in done.err
    assert "spikes differ in a sample" in done.err


@pytest.mark.slow
def test_the_step_is_asked_for(theirs, cli):
    path = theirs(tau=2e-4, r=1.0)  # with dt = 1e-4: v ← v / 2 + x / 2
    done = cli(*MAKE, "--check", path)
    assert done.code == 2 and "the length of a step of" in done.err and "give --dt" in done.err
    done = cli(*MAKE, "--check", path, "--dt", "1e-4", "--json")
    assert done.code == 3 and json.loads(done.out)["runtimes"][1]["dt"] == 1e-4


@pytest.mark.slow
def test_weights_from_a_file(theirs, cli, tmp_path):
    import torch

    names = {}
    exec(NETS, names)
    network, _ = names["make"]()
    with torch.no_grad():
        network[0].weight.mul_(1.5)
    torch.save({"model_state_dict": network.state_dict()}, tmp_path / "trained.pt")
    path = theirs()
    done = cli(*MAKE, "--weights-from", "trained.pt", "--check", path)
    assert done.code == 3 and "the weights are 'model_state_dict' in trained.pt" in done.err
    assert cli(*MAKE, "--check", path).code == 0
    torch.save({"0.weight": torch.ones(5, 6)}, tmp_path / "trained.pt")
    done = cli(*MAKE, "--weights-from", "trained.pt", "--check", path)
    assert done.code == 2 and "it lacks 0.bias" in done.err


def test_weights_go_with_from(cli):
    done = cli("export", "--format", "onnx", "--weights-from", "trained.pt")
    assert done.code == 2 and "--weights-from goes with --from" in done.err


@pytest.mark.slow
def test_a_file_against_another(theirs, cli, tmp_path):
    first = tmp_path / "first.nir"
    theirs().rename(first)
    line = ("export", "--against", first, "--steps", "8", "--check")
    same = cli(*line, theirs(), "--json")
    assert same.code == 0, same.err
    spikes = json.loads(same.out)["runtimes"][1]["spikes"]
    assert len(spikes) == 2
    assert all(each["network"] == each["file"] > 0 for each in spikes.values())
    assert cli(*line, theirs(threshold=0.35)).code == 3


def test_what_goes_with_another_file(theirs, cli, tmp_path):
    path, other = theirs(), tmp_path / "other.onnx"
    other.write_bytes(b"")
    pair = ("--check", path, "--against")
    for options, code, said in (
        (("--against", path, "-f", "onnx"), 2, "--against goes with --check"),
        ((*pair, "a.onnx"), 4, "there is no file a.onnx"),
        ((*pair, "a.pt"), 2, "--from MODULE:FUNCTION --weights-from a.pt"),
        ((*pair, path, "--from", "a:b"), 2, "--from does not go with --against"),
        ((*pair, path, "--split", "test"), 2, "--split does not go with --against"),
        ((*pair, other, "--in-shape", "6"), 2, "a .nir file states the shape of its input"),
        (("--check", other, "--against", other, "--dt", "1"), 2, "--dt does not go with --against"),
        (("--check", path, "--against-dt", "1"), 2, "--against-dt goes with --against"),
        (("--check", "weights.txt"), 2, "is neither a .nir nor an .onnx file by its name"),
    ):
        done = cli("export", *options)
        assert (done.code, said in done.err) == (code, True), done.err


def test_two_files_in_this_process(theirs, cli, tmp_path, monkeypatch):
    """As in the process with limits, which takes seconds to begin."""
    monkeypatch.setenv(INSIDE, "1")
    first = tmp_path / "first.nir"
    theirs().rename(first)
    line = ("export", "--against", first, "--steps", "4", "--samples", "8", "--json", "--check")
    done = cli(*line, theirs())
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["against"], found["verified"]) == (str(first), True)
    done = cli(*line, theirs(threshold=0.2))
    assert done.code == 3 and f"does not compute what {first} does" in done.err
    assert cli(*line, first).code == 2
    done = cli(*line, theirs(), "--against-semantics", "norse", "--against-dt", "0.001")
    assert done.code == 3


def test_a_form_is_refused_before_the_network_is_read(cli):
    for format, form in (("nir", "sequence"), ("onnx", "lif")):
        done = cli("export", "--from", "nowhere:make", "-f", format, "--form", form)
        assert done.code == 2 and f"unknown --form of {format} {form!r}" in done.err


def test_weights_are_no_network(cli, tmp_path):
    (tmp_path / "w.pt").write_bytes(b"")
    imported, predicted = cli("import", "w.pt"), cli("predict", "w.pt", "x.npy")
    for done in (imported, predicted):
        assert done.code == 2
        assert "asnn export --from MODULE:FUNCTION --weights-from w.pt" in done.err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dequantised_weights_are_noted(cli, tmp_path):
    change = """
def quantised():
    net, shape = make()
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}), shape
"""
    (tmp_path / "nets_quantised.py").write_text(NETS + change)
    line = ("export", "--from", "nets_quantised:quantised", "--steps", "4", "-f", "onnx", "--json")
    done = cli(*line)
    assert done.code == 0, done.err
    assert "note: the weights of 0, 2 are dequantised" in done.err
    import onnx

    about = {
        p.key: p.value for p in onnx.load(next(iter(json.loads(done.out)["files"]))).metadata_props
    }
    assert about["dequantised"] == "0, 2"


def test_semantics_go_with_files_of_other_tools(cli):
    done = cli("export", "-f", "onnx", "--semantics", "snntorch")
    assert done.code == 2 and "--semantics goes with --check" in done.err
