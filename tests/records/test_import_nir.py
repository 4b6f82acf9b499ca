"""Runs of NIR files: the spikes are those of the simulators that wrote them."""

import json

import nir
import numpy as np
import pytest
import torch
from torch import nn

from asnn.core import ConfigError, DataError
from asnn.records.import_nir import import_nir
from asnn.records.open_run import open_run
from asnn.records.record import read_record
from tests.support.nir_files import (
    BATCH,
    STEPS,
    chain,
    full,
    graph_of_nodes,
    lif,
    norse_file,
    snntorch_file,
    spikingjelly_file,
    weights,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def spikes(path, x, **options):
    """The spikes of an imported file."""
    with torch.no_grad():
        return import_nir(path, steps=STEPS, **options).model.run(x)


def layer(kind, count, **options):
    """A layer of snnTorch whose parameters have a value for each neuron, as NIR wants them."""
    import snntorch as snn

    for name in ("alpha", "beta", "threshold"):
        if name in options and "R" not in kind:
            options[name] = full(count, options[name])
    if "R" in kind:
        options["linear_features"] = count
    return getattr(snn, kind)(init_hidden=True, **options)


SNNTORCH = {
    "leaky": ("Leaky", {"beta": 0.9, "threshold": 1.0}),
    "synaptic": ("Synaptic", {"alpha": 0.6, "beta": 0.9, "threshold": 1.0}),
    "recurrent": ("RLeaky", {"beta": 0.9}),
    "recurrent synaptic": ("RSynaptic", {"alpha": 0.6, "beta": 0.8}),
}


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("name", SNNTORCH)
def test_snntorch(tmp_path, name, reset):
    pytest.importorskip("snntorch")
    kind, options = SNNTORCH[name]
    last = layer("Leaky", 5, beta=0.8, threshold=0.5, reset_mechanism=reset, output=True)
    net = nn.Sequential(
        nn.Linear(12, 20),
        layer(kind, 20, **options, reset_mechanism=reset),
        nn.Linear(20, 5),
        last,
    )
    x, expected = snntorch_file(tmp_path / "net.nir", net)
    ours = "snntorch" if reset == "subtract" else "snntorch-zero"
    other = "snntorch-zero" if reset == "subtract" else "snntorch"
    assert 0.01 < expected.mean() < 0.9
    found = spikes(tmp_path / "net.nir", x, semantics=ours)
    assert int((found != expected).sum()) == 0
    # A file does not say how its neurons are reset: with the other rule the spikes are others.
    assert (spikes(tmp_path / "net.nir", x, semantics=other) != expected).any()
    if reset == "subtract":
        assert (spikes(tmp_path / "net.nir", x) != expected).any()


@pytest.mark.slow
def test_spikingjelly(tmp_path):
    """Weights of quarters, so that membranes are at the threshold exactly, which it counts."""
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import layer, neuron

    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1),
        neuron.IFNode(v_reset=-0.5),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(64, 20),
        neuron.LIFNode(tau=2.0, v_threshold=0.25),
        layer.Linear(20, 5),
        neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75),
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randint(-2, 3, parameter.shape) / 4)
    x = torch.randint(0, 2, (STEPS, BATCH, 2, 8, 8)).float()
    expected = spikingjelly_file(tmp_path / "net.nir", net, x)
    assert 0.02 < expected.mean() < 0.98
    found = import_nir(tmp_path / "net.nir", steps=STEPS, semantics="spikingjelly")
    assert found.notes == ["dt is 0.0001 s, 1 / r of all IF, as spikingjelly writes it"]
    with torch.no_grad():
        assert int((found.model.run(x) != expected).sum()) == 0
    assert (spikes(tmp_path / "net.nir", x, dt=1e-4) != expected).any()


@pytest.mark.slow
def test_norse(tmp_path):
    norse = pytest.importorskip("norse.torch")
    box = {"v_leak": full(20, 0.05), "v_th": full(20, 0.2), "v_reset": full(20, 0)}
    cuba = {"v_leak": full(5, 0), "v_th": full(5, 0.1), "v_reset": full(5, 0)}
    net = norse.SequentialState(
        nn.Linear(12, 20),
        norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=full(20, 100), **box)),
        nn.Linear(20, 5),
        norse.LIFCell(
            norse.LIFParameters(tau_syn_inv=full(5, 200), tau_mem_inv=full(5, 100), **cuba)
        ),
    )
    x = 3 * torch.rand(STEPS, BATCH, 12)
    expected = norse_file(tmp_path / "net.nir", net, x)
    assert 0.02 < expected.mean() < 0.98
    found = import_nir(tmp_path / "net.nir", steps=STEPS, semantics="norse", dt=1e-3)
    assert found.notes == ["the shape [1, 12] of 'input' begins with a batch of 1, left out"]
    with torch.no_grad():
        assert int((found.model.run(x) != expected).sum()) == 0
    with pytest.raises(ConfigError, match="no stable step of 0.001 s") as caught:
        import_nir(tmp_path / "net.nir", steps=STEPS, dt=1e-3)
    assert "Norse writes tau times dt: --semantics norse" in caught.value.remedy


def test_files_that_are_no_network(tmp_path):
    path = tmp_path / "net.nir"
    nir.write(path, graph_of_nodes([3], 3, "input>output"))
    with pytest.raises(DataError, match="net.nir has no layers"):
        import_nir(path, steps=STEPS)
    nir.write(path, graph_of_nodes([3], 3, "input>lif>output", lif=lif(3, v_threshold=0.0)))
    assert import_nir(path, steps=STEPS, dt=1e-4).model is not None
    with pytest.raises(ConfigError, match="v_threshold of the LIF 'lif'.*not above 0") as error:
        import_nir(path, steps=STEPS, semantics="sinabs")
    assert error.value.remedy.startswith("leave --semantics out")


@pytest.mark.slow
def test_sinabs(tmp_path):
    """It needs a package that pins another nir: PYTHONPATH of a folder with sinabs and pbr."""
    layers = pytest.importorskip("sinabs.layers")
    from sinabs.nir import to_nir

    net = nn.Sequential(
        nn.Linear(12, 20),
        layers.IAFSqueeze(batch_size=BATCH, spike_threshold=torch.tensor(1.0)),
        nn.Linear(20, 5),
        layers.LIFSqueeze(tau_mem=full(5, 8), spike_threshold=full(5, 0.1), batch_size=BATCH),
    )
    x = 4 * torch.rand(BATCH * STEPS, 12)
    with torch.no_grad():
        expected = net(x).unflatten(0, (BATCH, STEPS)).transpose(0, 1)
    nir.write(tmp_path / "net.nir", to_nir(net, x))
    steps = x.unflatten(0, (BATCH, STEPS)).transpose(0, 1)
    assert expected.max() > 1
    found = spikes(tmp_path / "net.nir", steps, semantics="sinabs")
    assert int((found != expected).sum()) == 0
    assert (spikes(tmp_path / "net.nir", steps, dt=1.0) != expected).any()


@pytest.mark.slow
def test_rockpool(tmp_path):
    """It needs a package that pins another nir: PYTHONPATH of a folder with rockpool."""
    modules = pytest.importorskip("rockpool.nn.modules.torch")
    from rockpool.nn.combinators import Sequential
    from rockpool.nn.modules.torch.nir import to_nir

    taus = {"tau_mem": full(20, 0.02), "tau_syn": full(20, 0.01), "bias": full(20, 0)}
    net = Sequential(
        modules.LinearTorch((12, 20)),
        modules.LIFTorch(20, dt=1e-3, threshold=full(20, 4), **taus),
        modules.LinearTorch((20, 5)),
        modules.LIFNeuronTorch(5, tau_mem=full(5, 0.01), dt=1e-3, bias=full(5, 0)),
    )
    x = 2 * torch.rand(BATCH, STEPS, 12)
    with torch.no_grad():
        expected = net(x)[0].transpose(0, 1)
    graph = to_nir(net, x[:1, 0])
    for node in graph.nodes.values():
        for name, value in vars(node).items():
            setattr(node, name, value.detach().numpy() if hasattr(value, "detach") else value)
    nir.write(tmp_path / "net.nir", graph)
    steps = x.transpose(0, 1)
    assert expected.max() > 1
    found = spikes(tmp_path / "net.nir", steps, semantics="rockpool", dt=1e-3)
    assert int((found != expected).sum()) == 0
    assert (spikes(tmp_path / "net.nir", steps, dt=1e-3) != expected).any()


def write(path, graph):
    nir.write(path, graph)
    return path


def test_the_run_is_independent_of_the_file(tmp_path):
    path = write(tmp_path / "my net.nir", chain())
    found = import_nir(path, steps=5, dt=1e-4)
    run = found.write(tmp_path / "run")
    path.unlink()
    opened = open_run(run.path)
    x = torch.rand(2, 5, 64)
    with torch.no_grad():
        assert torch.equal(opened.model(x), found.model(x))
    assert opened.labels == [str(i) for i in range(10)]
    assert (opened.recipe.name, opened.recipe.coding.name) == ("my-net", "given")
    assert opened.recipe.train.init == str(run.path)
    record = read_record(run)
    assert (record.state, record.faults, record.metric_by_epoch) == ("finished", [], [])
    summary = json.loads(run.summary.read_text())["imported"]
    assert (summary["file"], summary["dt"], summary["semantics"]) == ("my net.nir", 1e-4, "nir")


@pytest.mark.slow
def test_from_python(tmp_path):
    import asnn

    path = write(tmp_path / "a.nir", chain())
    changes = {"data.name": "digits"}
    run = asnn.import_nir(path, out=tmp_path / "a", steps=4, dt=1e-4, changes=changes)
    assert run.evaluate("validation").samples == 145
    exported = asnn.export_nir(run, tmp_path / "out", samples=16)
    assert exported.report.verified
    with torch.no_grad():
        again = import_nir(tmp_path / "out/model.nir").model
        x = torch.rand(4, 2, 64)
        assert torch.equal(again.run(x), run.model.run(x.unflatten(2, (1, 8, 8))))
    with pytest.raises(ConfigError, match="is not empty"):
        asnn.import_nir(path, out=tmp_path / "a", steps=4, dt=1e-4)


def test_a_changed_weight_is_noticed(tmp_path):
    """The summary states the checksum of the weights, as that of a training does."""
    run = import_nir(write(tmp_path / "a.nir", chain()), steps=5, dt=1e-4).write(tmp_path / "a")
    changed = bytearray(run.model.read_bytes())
    changed[-1] ^= 1
    run.model.write_bytes(changed)
    with pytest.raises(DataError, match="has changed since it was trained"):
        open_run(run.path).load()


def test_the_length_of_a_step(tmp_path):
    graph = graph_of_nodes([4], 4, "input>n>output", n=lif(4, r=2.0, tau=0.01))
    graph.nodes["n"].r[0] = 3
    path = write(tmp_path / "n.nir", graph)
    with pytest.raises(ConfigError) as caught:
        import_nir(path, steps=5)
    assert caught.value.what == f"{path} does not say how long a time step is"
    assert caught.value.why == (
        "NIR has no field for it, and its nodes (LIF) compute something else with another one"
    )
    assert caught.value.remedy.startswith("give --dt SECONDS, that of the simulator")
    assert import_nir(path, steps=5, dt=0.002).about["dt"] == 0.002
    assert import_nir(path, steps=5, semantics="snntorch").about["dt"] == 1e-4

    graph.metadata["dt"] = 0.001
    found = import_nir(write(path, graph), steps=5)
    assert (found.about["dt"], found.notes) == (
        0.001,
        ["dt is 0.001 s, as the metadata of the file state"],
    )

    graph.metadata.clear()
    graph.nodes["n"].r[:] = 10  # every neuron adds its input as it is at dt = tau / r
    found = import_nir(write(path, graph), steps=5)
    assert found.about["dt"] == pytest.approx(0.001)
    assert "tau / r of all neurons" in found.notes[0]

    stateless = graph_of_nodes([4], 2, "input>fc>output", fc=nir.Linear(weights(0, 2, 4)))
    assert import_nir(write(path, stateless), steps=5).notes == []


def test_a_step_that_is_longer_than_tau_gives_a_note(tmp_path):
    graph = graph_of_nodes([4], 4, "input>n>output", n=lif(4))
    (note,) = import_nir(write(tmp_path / "n.nir", graph), steps=5, dt=1.5e-3).notes
    assert note == (
        "dt is more than tau of the LIF 'n': its state changes its sign at every step; is --dt "
        "right?"
    )


def test_the_number_of_steps(tmp_path):
    path = write(tmp_path / "n.nir", chain())
    with pytest.raises(ConfigError, match="the number of time steps is not known") as caught:
        import_nir(path, dt=1e-4)
    assert caught.value.remedy == "give --steps T"
    graph = chain()
    graph.metadata["steps"] = 7
    assert import_nir(write(path, graph), dt=1e-4).recipe.coding.steps == 7
    graph.metadata["runs"] = "once, on all steps as channels"
    assert import_nir(write(path, graph), dt=1e-4).recipe.coding.steps == 1


def test_nodes_that_no_layer_has_are_refused(tmp_path):
    conv = nir.Conv2d((4, 4), weights(0, 1, 1, 2, 2), 1, "same", 1, 1, weights(1, 1))
    graph = graph_of_nodes([1, 4, 4], 16, "input>c>output", c=conv)
    with pytest.raises(DataError, match="the padding of Conv2d 'c' is 'same'"):
        import_nir(write(tmp_path / "c.nir", graph), steps=2)


@pytest.mark.slow
def test_data_give_kind_and_classes(tmp_path):
    path = write(tmp_path / "n.nir", chain())
    found = import_nir(path, steps=4, dt=1e-4, changes=[(["data", "name"], "digits")])
    assert found.recipe.coding.name == "direct"
    assert found.data.classes == [str(i) for i in range(10)]
    run = found.write(tmp_path / "run")
    assert open_run(run.path).evaluate("test").samples == 359


def test_data_of_other_classes_are_refused(tmp_path):
    path = write(tmp_path / "n.nir", graph_of_nodes([64], 64, "input>n>output", n=lif(64)))
    with pytest.raises(ConfigError, match="the network has 64 outputs, the data 10 classes"):
        import_nir(path, steps=4, dt=1e-4, changes=[(["data", "name"], "digits")])


def test_a_code_whose_samples_are_not_known_is_refused(tmp_path):
    path = write(tmp_path / "n.nir", chain())
    with pytest.raises(ConfigError, match="the code direct takes images, whose shape is not known"):
        import_nir(path, steps=4, dt=1e-4, changes=[(["coding", "name"], "direct")])


def test_values_beyond_float32_are_refused(tmp_path):
    graph = graph_of_nodes([2], 2, "input>n>output", n=lif(2))
    graph.nodes["n"].tau = np.full(2, 1e-60)
    with pytest.raises(DataError, match="tau of the node 'n' is too small"):
        import_nir(write(tmp_path / "n.nir", graph), steps=2, dt=1e-4)


def test_nested_graphs_are_put_in_line(tmp_path):
    inner = graph_of_nodes(
        [4], 4, "input>n>output, n>w>n", n=lif(4), w=nir.Linear(weights(0, 4, 4))
    )
    graph = graph_of_nodes(
        [3], 4, "input>fc>rec>output", fc=nir.Linear(weights(1, 4, 3)), rec=inner
    )
    found = import_nir(write(tmp_path / "n.nir", graph), steps=4, dt=1e-4)
    assert {"rec.n", "rec.w"} < set(found.model.config["nodes"])
