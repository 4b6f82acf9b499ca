"""`asnn import`: a run of a NIR file, on which the other commands work."""

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from tests.support.nir_files import chain, graph_of_nodes, lif, recurrent, two_populations, weights


@pytest.fixture
def imported(cli):
    """Import a graph as `run`, and return the result."""

    def call(graph, *arguments):
        nir.write("net.nir", graph)
        return cli("import", "net.nir", "-o", "run", *arguments)

    return call


@pytest.mark.slow
def test_a_run_without_data(cli, imported):
    result = imported(chain(), "--steps", 6, "--json")
    assert result.code == 0
    found = json.loads(result.out)
    expected = {"run": "run", "semantics": "nir", "steps": 6, "coding": "given", "data": None}
    expected |= {"in_shape": [64], "outputs": 10, "parameters": 30 * 64 + 30 + 300}
    assert {key: found[key] for key in expected} == expected
    assert found["notes"] == [
        "dt is 0.0001 s, tau / r of all neurons: each adds its input as it is",
        "its neurons are reset as the file says; snnTorch writes the same for its default, a reset "
        "by subtraction: if it wrote the file, its semantics are `snntorch`",
    ]
    assert "next: asnn export run --format onnx" in result.err
    Path("net.nir").unlink()

    result = cli("inspect", "run", "--json")
    assert (result.code, json.loads(result.out)["model"]["name"]) == (0, "nir")
    layers = {each["name"]: each["parameters"] for each in json.loads(result.out)["layers"]}
    assert layers == {
        "network.fc1": 30 * 64 + 30,
        "network.fc2": 300,
        "network.lif1": 0,
        "network.lif2": 0,
    }
    assert (json.loads(result.out)["schedules"], json.loads(result.out)["neuron"]) == ({}, {})
    result = cli("inspect", "run")
    assert "by step" not in result.err and "edges 5" in " ".join(result.err.split())
    result = cli("eval", "run")
    assert (result.code, result.out) == (2, "")
    assert "error: this run has no data" in result.err
    assert "→ name them: --set data.name=NAME" in result.err
    assert "in `asnn import`, which makes a run for them" in " ".join(result.err.split())
    result = cli("eval", "run", "--set", "data.name=digits")
    assert result.code == 4
    assert "→ import it for these data: asnn import FILE.nir --set data.name=digits" in result.err


@pytest.mark.slow
def test_series_are_evaluated_later(cli, imported):
    assert imported(chain(), "--steps", 6).code == 0
    random = np.random.default_rng(0)
    series = random.random((40, 6, 64), np.float32)
    np.savez("data.npz", x_train=series, y_train=np.arange(40) % 10)
    data = ["--set", "data.name=series-npz", "--set", "data.path=data.npz"]
    result = cli("eval", "run", *data, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["samples"] > 0


@pytest.mark.slow
def test_predict(cli, imported):
    assert imported(chain(), "--steps", 6).code == 0
    np.save("one.npy", np.random.default_rng(0).random((6, 64), np.float32))
    result = cli("predict", "run", "one.npy", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out.splitlines()[0])["class"] in map(str, range(10))


@pytest.mark.slow
def test_train_from_it(cli, imported):
    """Fine-tuning begins with the weights of the file, and lowers the loss."""
    assert imported(chain(), "--steps", 6, "--set", "data.name=digits").code == 0
    before = json.loads(cli("eval", "run", "--split", "validation", "--json").out)
    options = ["--epochs", 2, "--lr", 0.005, "--out", "tuned", "--json"]
    result = cli("train", "run/config.toml", *options)
    assert result.code == 0, result.err
    assert "start: the weights of run" in result.err
    history = [json.loads(line) for line in Path("tuned/metrics.jsonl").read_text().splitlines()]
    assert history[0]["epoch"] == 0
    assert history[0]["validation_loss"] == pytest.approx(before["loss"], abs=1e-5)
    assert history[-1]["validation_loss"] < history[0]["validation_loss"] - 0.1
    result = cli("export", "tuned", "--format", "nir", "--json")
    assert json.loads(result.out)["verified"]
    read = nir.read("tuned/export/nir/model.nir").nodes
    first = chain().nodes["fc1"].weight
    assert read["fc1"].weight.shape == first.shape
    assert not np.allclose(read["fc1"].weight, first)
    np.testing.assert_array_equal(read["lif1"].tau, chain().nodes["lif1"].tau.astype(np.float32))


@pytest.mark.slow
def test_what_eval_measures(cli, imported):
    """Loops are counted and run step by step, as other layers."""
    own = nir.Linear(weights(5, 30, 30, scale=0.1))
    graph = chain()
    graph = nir.NIRGraph(
        {**graph.nodes, "own": own}, [*graph.edges, ("lif1", "own"), ("own", "lif1")]
    )
    assert imported(graph, "--steps", 4, "--set", "data.name=digits").code == 0
    result = cli("eval", "run", "--energy", "--exit", "confidence=0.2", "--latency", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    layers = {each["name"]: each for each in found["energy"]["layers"]}
    assert set(layers) >= {"network.fc1", "network.own", "network.fc2"}
    assert list(found["spike_rates"]) == ["network.lif1", "network.lif2"]
    assert len(found["spike_rates"]["network.lif1"]) == 4
    assert found["exits"] and found["latency"]


@pytest.mark.slow
@pytest.mark.parametrize("init", ["none", "ann"])
def test_a_training_does_not_begin_without_the_file(cli, imported, init):
    assert imported(chain(), "--steps", 4, "--set", "data.name=digits").code == 0
    result = cli("train", "run/config.toml", "--set", f"train.init={init}", "--out", "new")
    assert (result.code, Path("new").exists()) == (2, False)
    says = " ".join(result.err.split())
    assert "the network of a NIR file has to begin with the values of the file" in says
    assert "→ set train.init to the folder of the run that `asnn import` made" in says


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_onnx_of_convolutions_of_sequences(cli, imported, form):
    graph = graph_of_nodes(
        [2, 9],
        4,
        "input>conv>leak>flat>fc>output",
        conv=nir.Conv1d(9, weights(0, 3, 2, 3), 2, 1, 1, 1, weights(1, 3)),
        leak=nir.LI(np.full((3, 5), 1e-3), np.abs(weights(3, 3, 5)), weights(4, 3, 5)),
        flat=nir.Flatten({"input": np.array([3, 5])}, 0, -1),
        fc=nir.Linear(weights(6, 4, 15)),
    )
    assert imported(graph, "--steps", 6, "--dt", 1e-4).code == 0
    result = cli("export", "run", "--format", "onnx", "--form", form, "--samples", 16, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["verified"]


@pytest.mark.slow
@pytest.mark.parametrize("semantics", ["nir", "snntorch", "snntorch-zero", "spikingjelly"])
def test_onnx_of_it(cli, imported, semantics):
    assert imported(recurrent(), "--steps", 8, "--dt", 1e-4, "--semantics", semantics).code == 0
    result = cli("export", "run", "--format", "onnx", "--samples", 32, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["verified"] and found["samples"]["from"] == "uniform noise (seed 0)"
    runtimes = {each["runtime"]: each for each in found["runtimes"]}
    assert sum(map(sum, runtimes["onnxruntime"]["spike_mismatches"].values())) == 0


@pytest.mark.slow
def test_a_general_loop_is_written_to_nir_and_not_to_onnx(cli, imported):
    assert imported(two_populations(), "--steps", 8).code == 0
    result = cli("export", "run", "--format", "onnx")
    assert (result.code, result.out) == (2, "")
    assert "error: the loop of e, ei, i, ie has no form in the export graph" in result.err
    assert "→ export it to NIR with --form given" in result.err
    result = cli("export", "run", "--format", "nir", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["verified"]
    read, first = nir.read("run/export/nir/model.nir"), two_populations()
    assert set(read.nodes) == set(first.nodes) and set(read.edges) == set(first.edges)
    for name in ("fc", "ei", "ie", "out"):
        np.testing.assert_array_equal(read.nodes[name].weight, first.nodes[name].weight)
    # Imported again, it states its step.
    assert json.loads(cli("import", "run/export/nir/model.nir", "--json").out)["dt"] == 1e-4


@pytest.mark.slow
def test_a_file_with_another_weight_does_not_check(cli, imported):
    assert imported(two_populations(), "--steps", 8).code == 0
    assert cli("export", "run", "--format", "nir", "-o", "out").code == 0
    assert cli("export", "run", "--check", "out/model.nir").code == 0
    graph = nir.read("out/model.nir")
    graph.nodes["ei"].weight = graph.nodes["ei"].weight * 1.5
    nir.write("out/model.nir", graph)
    result = cli("export", "run", "--check", "out/model.nir")
    assert result.code == 3
    assert "torch, from the file: layer outputs" in result.err


@pytest.mark.slow
def test_an_exported_file_states_its_steps_and_semantics(cli, imported):
    digits = ("--set", "data.name=digits")
    assert imported(chain(), "--steps", 6, "--semantics", "snntorch", *digits).code == 0
    assert cli("export", "run", "--format", "nir", "-o", "out", "--samples", 16).code == 0
    again = json.loads(cli("import", "out/model.nir", "-o", "again", *digits, "--json").out)
    assert again["steps"] == 6
    assert again["semantics"] == "snntorch"
    assert "semantics are those of snntorch, as the metadata of the file state" in again["notes"]
    other = ("import", "out/model.nir", "-o", "other", "--semantics", "nir", "--json")
    assert json.loads(cli(*other).out)["semantics"] == "nir"


@pytest.mark.slow
def test_a_nir_file_is_predicted_by_its_run(cli, imported):
    np.save("x.npy", np.zeros((1, 8, 8), np.float32))
    assert imported(chain(), "--steps", 4).code == 0
    assert cli("export", "run", "--format", "nir", "-o", "out", "--samples", 16).code == 0
    for file, what in (
        ("net", "does not say how it is run"),
        ("out/model", "nodes of an imported"),
    ):
        result = cli("predict", f"{file}.nir", "x.npy")
        assert (result.code, result.out) == (4, "")
        assert what in result.err and f"asnn import {file}.nir" in result.err


def test_form_given_is_of_imported_networks(cli, imported, trained):
    result = cli("export", trained, "--format", "nir", "--form", "given", "--no-verify")
    assert result.code == 2
    assert "form given is for networks that were imported from a NIR file" in result.err
    assert imported(chain(), "--steps", 4).code == 0
    result = cli("export", "run", "--format", "nir", "--target", "norse")
    assert result.code == 2
    assert "form given writes the nodes of the network as they are" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--dt", 1e-4], 2, "the number of time steps is not known"),
        (["--steps", 4, "--dt", 0], 2, "--dt is 0.0 it is the length of a step in seconds"),
        (["--steps", 4, "--semantics", "norsk"], 2, "unknown semantics 'norsk'"),
        (["--steps", 4, "--semantics", "rockpool"], 2, "does not say how long a time step is"),
        (["--steps", 4, "--answer", "median"], 2, "unknown --answer 'median'"),
        (["--steps", 4, "--set", "data.name=nothing"], 2, "unknown dataset 'nothing'"),
        (["--steps", 4, "--set", "train.epoch=3"], 2, "train.epoch"),
    ],
)
def test_options_that_are_refused(imported, arguments, code, says):
    result = imported(chain(), *arguments)
    assert (result.code, result.out) == (code, "")
    assert says in " ".join(result.err.split())
    assert not Path("run").exists()


def test_files_that_are_refused(cli):
    result = cli("import", "missing.nir", "--steps", 4)
    assert (result.code, result.out) == (4, "")
    assert "missing.nir" in result.err
    Path("half.nir").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert cli("import", "half.nir", "--steps", 4).code == 4
    result = cli("import", "model.onnx", "--steps", 4)
    assert result.code == 2
    assert "model.onnx is not a NIR file by its name" in result.err
    assert "`asnn export --check` compares it with a network" in " ".join(result.err.split())


def test_a_folder_that_is_not_empty_is_kept(cli, imported):
    Path("run").mkdir()
    Path("run/mine").write_text("mine")
    result = imported(chain(), "--steps", 4)
    assert result.code == 2
    assert "run is not empty" in result.err
    assert [path.name for path in Path("run").iterdir()] == ["mine"]


def test_nodes_that_do_not_fit_are_refused(imported):
    nodes = {"a": nir.Linear(weights(0, 4, 3)), "b": nir.Linear(weights(1, 3, 5))}
    result = imported(graph_of_nodes([3], 3, "input>a>b>output", **nodes), "--steps", 4)
    assert (result.code, result.out) == (4, "")
    says = "net.nir is no network the Linear 'b' takes 5 features: its samples have the shape [4]"
    assert says in " ".join(result.err.split())


def test_a_loop_without_neurons_is_refused(imported):
    nodes = {"a": nir.Linear(weights(0, 3, 3)), "b": nir.Linear(weights(1, 3, 3)), "n": lif(3)}
    result = imported(graph_of_nodes([3], 3, "input>a>b>n>output, b>a", **nodes), "--steps", 4)
    assert result.code == 4
    assert "a loop without a neuron" in result.err
