"""Runs of NIR files: the spikes are those of the simulators that wrote them."""

import json
from dataclasses import replace

import nir
import numpy as np
import pytest
import torch

from asnn.core import ConfigError, DataError
from asnn.records.import_nir import import_nir
from asnn.records.open_run import open_run
from asnn.records.record import read_record
from studies.imports import INSTALLED, PINNED, differences
from tests.support.nir_files import (
    STEPS,
    chain,
    graph_of_nodes,
    lif,
    weights,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


ANY = [*INSTALLED, *PINNED.values()]


@pytest.mark.slow
@pytest.mark.parametrize("network", ANY, ids=lambda each: f"{each.layers}")
def test_the_spikes_are_those_of_the_simulator_that_wrote_the_file(network, tmp_path):
    """sinabs and rockpool need an environment of their own: PYTHONPATH of a folder with them."""
    modules = {"rockpool": "rockpool.nn.modules.torch", "sinabs": "sinabs.layers"}
    pytest.importorskip(modules.get(network.simulator, network.simulator))
    with torch.no_grad():
        x, expected = network.write(tmp_path / "net.nir")
    assert 0.01 < (expected > 0).float().mean() < 0.98
    found = differences(network, tmp_path / "net.nir", x, expected)
    assert found.own == 0
    # With the equations of the format they are others, except those of a LIF with a reset to zero.
    assert (found.nir == 0) == (network.layers == "Leaky, Leaky, reset zero")
    assert (found.nir is None) == (network.simulator == "norse")


@pytest.mark.slow
def test_a_file_does_not_say_how_snntorch_resets(tmp_path):
    pytest.importorskip("snntorch")
    for network, other in zip(INSTALLED[:8:2], INSTALLED[1:8:2], strict=True):
        x, expected = network.write(tmp_path / "net.nir")
        wrong = replace(network, semantics=other.semantics)
        assert differences(wrong, tmp_path / "net.nir", x, expected).own > 0


@pytest.mark.slow
def test_the_step_of_spikingjelly_and_that_of_norse(tmp_path):
    for name, semantics in (("spikingjelly", "spikingjelly"), ("norse", "norse")):
        pytest.importorskip(name)
        network = next(each for each in INSTALLED if each.simulator == name)
        network.write(tmp_path / f"{name}.nir")
        found = import_nir(
            tmp_path / f"{name}.nir", steps=STEPS, semantics=semantics, **network.options
        )
        assert (
            found.notes
            == {
                "spikingjelly": ["dt is 0.0001 s, 1 / r of all IF, as spikingjelly writes it"],
                "norse": ["the shape [1, 12] of 'input' begins with a batch of 1, left out"],
            }[name]
        )
    with pytest.raises(ConfigError, match="no stable step of 0.001 s") as caught:
        import_nir(tmp_path / "norse.nir", steps=STEPS, dt=1e-3)
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
