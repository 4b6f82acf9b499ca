"""NIR graphs in torch: order, loops, shapes, names, what is exported of them."""

import os

import nir
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError, DataError
from asnn.exporters import source_of
from asnn.exporters.graph.interpreter import run
from asnn.exporters.nir.given import given_graph
from asnn.exporters.nir.interpreter import run_nir
from asnn.formats.execution_order import flattened
from asnn.measure.cost.layer_graph import LayerGraph
from asnn.measure.cost.operations import Operations
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from asnn.models.nir.graph import graph_of
from asnn.models.nir.reading import describe
from studies.random_nir import nir_graphs
from tests.support.nir_files import (
    chain,
    graph_of_nodes,
    lif,
    network,
    recurrent,
    two_populations,
    weights,
)

DT = 1e-4
RANDOM_GRAPHS = 10_000 if os.environ.get("ASNN_LONG") else 20
LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


def inputs(*shape, seed=0, steps=10, batch=3):
    values = np.random.default_rng(seed).random((steps, batch, *shape), np.float32)
    return torch.from_numpy(2 * values)


def same_as_numpy(graph, x, dt=DT):
    """Compare the outputs in torch with those of the interpreter in numpy; return them."""
    found = network(graph, steps=len(x), dt=dt).run(x.flatten(2) if x.dim() == 4 else x)
    expected = run_nir(graph, x.numpy(), dt)["output"]
    expected = expected.reshape(*expected.shape[:2], -1)
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5)
    return found


@pytest.mark.parametrize("make", [chain, recurrent, two_populations])
def test_graphs_with_and_without_loops_are_those_of_numpy(make):
    graph = make()
    size = int(graph.nodes["input"].input_type["input"][0])
    found = same_as_numpy(graph, inputs(size))
    assert found.abs().sum() > 0


def test_convolutions_pools_and_flatten():
    graph = graph_of_nodes(
        [2, 8, 8],
        5,
        "input>conv>lif>sum>scale>mean>flat>fc>output",
        conv=nir.Conv2d(None, weights(0, 4, 1, 3, 3), 1, 1, 1, 2, weights(1, 4)),
        lif=nir.LIF(*(np.full((4, 8, 8), v, np.float32) for v in (1e-3, 10, 0.1, 1, 0))),
        sum=nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        scale=nir.Scale(np.broadcast_to(weights(2, 4, 1, 1), (4, 4, 4)).copy()),
        mean=nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        flat=nir.Flatten({"input": np.array([4, 2, 2])}, 0, -1),
        fc=nir.Affine(weights(3, 5, 16), weights(4, 5)),
    )
    x = inputs(2, 8, 8)
    same_as_numpy(graph, x)
    model = network(graph, steps=len(x))
    source = source_of(model)
    np.testing.assert_allclose(
        run(source.graph, x.numpy()).logits, model.run(x).detach().numpy(), atol=1e-6
    )


def test_convolutions_of_sequences_and_parameters_of_each_value():
    graph = graph_of_nodes(
        [2, 9],
        8,
        "input>conv>wait>scale>leak>fire>flat>fc>output",
        conv=nir.Conv1d(9, weights(0, 3, 2, 3), 2, 1, 1, 1, weights(1, 3)),
        wait=nir.Delay(np.full((3, 5), 2 * DT)),
        scale=nir.Scale(weights(2, 3, 5)),
        leak=nir.LI(np.full((3, 5), 1e-3), np.abs(weights(3, 3, 5)), weights(4, 3, 5)),
        fire=nir.Threshold(np.abs(weights(5, 3, 5, scale=0.1))),
        flat=nir.Flatten({"input": np.array([3, 5])}, 0, -1),
        fc=nir.Linear(weights(6, 8, 15)),
    )
    x = inputs(2, 9)
    found = same_as_numpy(graph, x)
    assert bool((found != 0).any())
    source = source_of(network(graph, steps=len(x)))
    lowered = run(source.graph, x.flatten(2).numpy()).logits
    np.testing.assert_allclose(lowered, found.detach().numpy(), atol=1e-5)


def test_a_delay_beyond_the_last_step():
    graph = graph_of_nodes([3], 3, "input>wait>output", wait=nir.Delay(np.full(3, 1e12 * DT)))
    assert not same_as_numpy(graph, inputs(3)).any()
    source = source_of(network(graph, steps=10))
    assert len(source.graph.nodes) <= 12
    assert not run(source.graph, inputs(3).numpy()).logits.any()


def test_delays_that_differ_have_no_form_in_the_export_graph():
    wait = nir.Delay(np.array([0, DT, 3 * DT]))
    graph = graph_of_nodes([3], 3, "input>wait>output", wait=wait)
    same_as_numpy(graph, inputs(3))
    with pytest.raises(ConfigError, match="'network.wait'.*cannot be exported: its delays differ"):
        source_of(network(graph)).require_graph()


@pytest.mark.slow
@settings(max_examples=RANDOM_GRAPHS, deadline=None)
@given(graph=nir_graphs(), seed=st.integers(0, 99))
def test_random_graphs_are_those_of_numpy_and_of_their_export(graph, seed):
    """Loops, sums, nested graphs and all types of nodes."""
    shape = np.ravel(graph.nodes["input"].input_type["input"]).astype(int).tolist()
    x = inputs(*shape, seed=seed, steps=6, batch=2) - 1
    model = network(graph, steps=len(x))
    steps = x.flatten(2) if len(shape) == 2 else x
    with torch.no_grad():
        found = model.run(steps).numpy()
    expected = run_nir(flattened(graph), x.numpy(), DT)["output"]
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-4, atol=1e-4)
    source = source_of(model)
    if source.refusal is None:
        lowered = run(source.graph, steps.numpy()).logits
        np.testing.assert_allclose(lowered, found, rtol=1e-4, atol=1e-4)
    else:
        assert "has no form in the export graph" in source.refusal.what
    with torch.no_grad():
        again = network(given_graph(model), steps=len(x)).run(steps).numpy()
    np.testing.assert_array_equal(again, found)


def test_paths_that_part_and_meet_are_summed():
    graph = graph_of_nodes(
        [4],
        4,
        "input>a>n>b>output, n>output",
        a=nir.Linear(weights(0, 4, 4)),
        n=lif(4),
        b=nir.Linear(weights(1, 4, 4)),
    )
    x = inputs(4)
    model = network(graph, steps=len(x))
    same_as_numpy(graph, x)
    np.testing.assert_array_equal(
        run(source_of(model).graph, x.numpy()).logits, model.run(x).detach().numpy()
    )


@pytest.mark.parametrize("semantics", ["nir", "snntorch", "snntorch-zero"])
def test_a_recurrent_layer_is_one_node_of_the_export_graph(semantics):
    x = inputs(6)
    model = network(recurrent(), steps=len(x), semantics=semantics)
    source = source_of(model)
    assert [
        node.name for node in source.graph.nodes if getattr(node, "recurrent", None) is not None
    ]
    found = run(source.graph, x.numpy())
    np.testing.assert_allclose(found.logits, model.run(x).detach().numpy(), atol=1e-6)
    assert 0 < found.values["network.lif"].mean() < 1


def test_the_bias_of_a_loop_is_late_or_there_from_the_start():
    """Nothing but the bias of the weights reaches the neurons: 0.6 a step, from step 2 or 1 on."""
    graph = graph_of_nodes(
        [2],
        2,
        "input>n>output, n>own>n",
        n=lif(2, v_threshold=0.5),
        own=nir.Affine(np.zeros((2, 2), np.float32), np.full(2, 0.6, np.float32)),
    )
    x = torch.zeros(3, 1, 2)
    late = network(graph, steps=3).run(x)[:, 0, 0]
    early = network(graph, steps=3, semantics="snntorch-zero").run(x)[:, 0, 0]
    assert (late.tolist(), early.tolist()) == ([0, 1, 1], [1, 0, 1])


def test_a_loop_of_two_layers_has_no_form_in_the_export_graph():
    source = source_of(network(two_populations()))
    with pytest.raises(ConfigError, match="the loop of e, ei, i, ie has no form") as caught:
        source.require_graph()
    assert "--form given" in caught.value.remedy


def test_neurons_that_read_their_own_spikes_as_they_are_too():
    graph = graph_of_nodes(
        [3], 3, "input>n>output, n>n, n>own>n", n=lif(3), own=nir.Linear(weights(0, 3, 3))
    )
    same_as_numpy(graph, inputs(3))
    with pytest.raises(ConfigError, match="the loop of n, own has no form in the export graph"):
        source_of(network(graph)).require_graph()


def test_gradients_flow_through_loops():
    model = network(two_populations(), steps=10).train()
    model.run(inputs(6)).sum().backward()
    for name in ("fc", "ei", "ie", "out"):
        assert model.body.network.arrays(name)["weight"].grad.abs().sum() > 0


@pytest.mark.parametrize("make", [chain, recurrent, two_populations])
def test_one_step_after_another_is_the_same(make):
    graph = make()
    x = inputs(int(graph.nodes["input"].input_type["input"][0]))
    model = network(graph, steps=len(x))
    step = model.body.network.stepper()
    with torch.no_grad():
        torch.testing.assert_close(torch.stack([step(each) for each in x]), model.run(x))


def test_the_spikes_of_loops_are_observed():
    model, x = network(recurrent(), steps=10), inputs(6)
    with layer_outputs(model) as found:
        out = model.run(x)
    weight = model.body.network.arrays("out")["weight"]
    torch.testing.assert_close(found["network.lif"] @ weight.T, out)


@settings(max_examples=25, deadline=None)
@given(names=st.lists(st.text(LETTERS, max_size=6), min_size=4, max_size=4, unique=True))
@example(names=["", "forward", "a.b", "a/b"])
def test_nodes_may_have_any_name(names):
    """Also those of attributes of modules, and dots, which names of modules do not have."""
    first, second, begin, end = names
    nodes = {
        begin: {"type": "Input", "shape": [3]},
        first: {"type": "Linear", "weight": [4, 3]},
        second: {"type": "Linear", "weight": [2, 4]},
        end: {"type": "Output"},
    }
    edges = [[begin, first], [first, second], [second, end]]
    model = _create(nodes, edges)
    assert model.run(torch.rand(2, 1, 3)).shape == (2, 1, 2)
    assert len(model.state_dict()) == 2


@pytest.mark.parametrize("name", ["training", "forward", "a.b", "values", "T_destination", "0"])
def test_names_of_attributes_of_modules(name):
    nodes = {
        "input": {"type": "Input", "shape": [3]},
        name: {"type": "Linear", "weight": [2, 3]},
        "output": {"type": "Output"},
    }
    model = _create(nodes, [["input", name], [name, "output"]])
    assert model.run(torch.rand(2, 1, 3)).shape == (2, 1, 2)


def _create(nodes, edges, **options):
    options = {"dt": DT, **options}
    return create_model(
        "nir",
        in_shape=(3,),
        classes=2,
        sample={"kind": "series", "shape": [3], "steps": 2},
        coding="given",
        steps=2,
        nodes=nodes,
        edges=edges,
        **options,
    )


NODES = {
    "input": {"type": "Input", "shape": [3]},
    "fc": {"type": "Linear", "weight": [2, 3]},
    "output": {"type": "Output"},
}
EDGES = [["input", "fc"], ["fc", "output"]]


@pytest.mark.parametrize(
    ("nodes", "edges", "says"),
    [
        ({"fc": {"type": "Lineer"}}, EDGES, "unknown type of the node 'fc' 'Lineer'"),
        ({"fc": {"type": "Linear"}}, EDGES, "the Linear 'fc' has the fields "),
        ({"fc": {"type": "Linear", "weight": [2, 4]}}, EDGES, "the Linear 'fc' takes 4 features"),
        ({"fc": {"type": "Linear", "weight": "big"}}, EDGES, "weight of the Linear 'fc' is 'big'"),
        ({"fc": {"type": "Linear", "weight": [2, -3]}}, EDGES, r"weight of the Linear 'fc' is \[2"),
        ({"input": {"type": "Input", "shape": 3}}, EDGES, "shape of the Input 'input' is 3"),
        ({"input": {"type": "Input", "shape": []}}, EDGES, r"shape of the Input 'input' is \[\]"),
        (
            {"p": {"type": "SumPool2d", "kernel_size": 0, "stride": 1, "padding": 0}},
            EDGES,
            "kernel_size of the SumPool2d 'p' is 0",
        ),
        ({"fc": {"type": "Linear", "weight": [2]}}, EDGES, "the weight of the Linear 'fc' has the"),
        ({"fc": {"type": "Linear", "weight": [5, 3]}}, EDGES, "the network has 5 outputs, and 2"),
        ({}, [*EDGES, ["fc", "lost"]], r"\['fc', 'lost'\] is no edge"),
        ({}, [["input", "fc"]], "the node 'output' reads no node"),
        ({"more": {"type": "Output"}}, EDGES, "has 2 nodes of the type Output"),
        ({"input": {"type": "Input", "shape": [4]}}, EDGES, r"takes samples of the shape \[4\]"),
        (
            {"wait": {"type": "Delay", "delay": [7]}},
            [["input", "wait"], ["wait", "fc"], ["fc", "output"]],
            r"delay of the Delay 'wait' has the shape \[7\]",
        ),
        (
            {"conv": {"type": "AvgPool2d", "kernel_size": 2, "stride": 2, "padding": 0}},
            [["input", "conv"], ["conv", "fc"], ["fc", "output"]],
            "the AvgPool2d 'conv' takes images",
        ),
    ],
)
def test_what_is_no_network_is_refused(nodes, edges, says):
    with pytest.raises(ConfigError, match=says):
        _create({**NODES, **nodes}, edges)


def test_a_name_that_stands_for_the_input_is_refused():
    with pytest.raises(ConfigError, match="a node cannot be called"):
        _create({**NODES, "\0": {"type": "Linear", "weight": [2, 2]}}, EDGES)


def test_other_numbers_are_refused():
    with pytest.raises(ConfigError, match=r"dt is 0\.0"):
        _create(NODES, EDGES, dt=0.0)
    with pytest.raises(ConfigError, match="unknown readout of the network nir 'membrane'"):
        _create(NODES, EDGES, readout="membrane")


def test_a_loop_without_a_state_is_refused():
    nodes = {**NODES, "own": {"type": "Linear", "weight": [2, 2]}}
    with pytest.raises(DataError, match="a loop without a neuron"):
        _create(nodes, [*EDGES, ["fc", "own"], ["own", "fc"]])


@pytest.mark.parametrize(("semantics", "late"), [("nir", 0), ("snntorch", 1)])
def test_operations_of_loops_are_counted_at_their_steps(semantics, late):
    """Each spike costs an accumulate for each of the 8 weights that read it: as `nir` in its own
    step, for the next one, and where the loop reads the spikes of the step before in that."""
    model, x = network(recurrent(), steps=10, semantics=semantics), inputs(6)
    with torch.no_grad(), layer_outputs(model) as found, Operations(model) as operations:
        model(x.transpose(0, 1))
    counts = {each.name: each for each in operations.counts().layers}
    spikes = found["network.lif"].sum((1, 2)).double()
    expected = torch.cat([torch.zeros(late).double(), spikes])[:10]
    assert counts["network.own"].effective.tolist() == (8 * expected).tolist()
    assert spikes.sum() > 0
    products = (x != 0).sum((1, 2)) * 8
    assert counts["network.fc"].effective.tolist() == products.tolist()


def test_operations_of_layers():
    layers = LayerGraph.of(network(chain()).body).layers
    assert [(each.name, each.operation) for each in layers if each.kind == "linear"] == [
        ("network.fc1", "mac"),
        ("network.fc2", "ac"),
    ]
    kinds = {each.name: each.operation for each in LayerGraph.of(network(recurrent()).body).layers}
    assert (kinds["network.fc"], kinds["network.own"]) == ("mac", "ac")


def test_a_batch_of_one_in_the_shape_of_the_input_is_left_out():
    graph = chain()
    graph.nodes["input"] = nir.Input(np.array([1, 64]))
    found = describe(graph)
    assert (found.in_shape, len(found.notes)) == ((64,), 1)


def test_a_network_of_another_kind_has_no_graph():
    model = create_model("mlp", in_shape=(1, 2, 2), classes=2, features=[3])
    assert graph_of(model) is None
