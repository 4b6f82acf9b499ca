"""NIR files compute the same as the graph, in our interpreter and in other simulators."""

import itertools
from dataclasses import replace
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters import export_nir
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Add, Graph, Neuron, Pool, Readout
from asnn.exporters.graph.network import lower_network
from asnn.exporters.nir.file import write_golden, write_nir
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.lif import approximated, build_lif, inexact_layers
from asnn.exporters.nir.nodes import DT, NirBuilder, ungrouped
from asnn.exporters.nir.targets import TARGETS, check_target, problems
from asnn.exporters.nir.unrolled import OUTPUT, input_of, step_name, unroll
from asnn.exporters.verification.simulators import SIMULATORS
from tests.support.exported_networks import (
    CODES,
    CONSTANT_SCHEDULE,
    images,
    make_source,
    network,
    samples,
    spikes_of,
)


def simulator(name):
    found = SIMULATORS[name]
    if found.version is None:
        pytest.skip(f"{found.package} is not installed")
    return found


def traced(source):
    code = source.encode(images().numpy())
    trace = run(source.graph, code)
    spikes_of(trace, source.graph)
    return code, trace


@pytest.mark.slow
@pytest.mark.parametrize("style", ["pure", "portable"])
@pytest.mark.parametrize(
    "options",
    [{}, {"granularity": "channel", "learn_reset_size": True}, {"reset": "none"}],
    ids=["layer", "channel", "no-reset"],
)
@pytest.mark.parametrize("coding", CODES)
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_unrolled_networks_equal_the_graph(tmp_path, name, coding, options, style):
    source = make_source(name, coding=coding, neuron_options=options)
    code, trace = traced(source)
    unrolled = unroll(source.graph, style, {})
    if coding in ("direct", "hybrid"):  # the nodes of the other codes are those of hybrid
        write_nir(tmp_path / "model.nir", unrolled)
        unrolled = nir.read(tmp_path / "model.nir")
    found = run_nir(unrolled, input_of(source.graph, code)[None])
    np.testing.assert_allclose(found[OUTPUT][0], trace.logits.mean(0), atol=1e-5)
    for node in source.graph.neurons:
        for t in range(source.graph.steps):
            spikes = found[step_name(source.graph, node.name, t)][0]
            np.testing.assert_array_equal(spikes, trace.values[node.name][t])


@pytest.mark.slow
@pytest.mark.parametrize("importer", ["snntorch", "spikingjelly"])
@pytest.mark.parametrize("norm", ["folded", "per-step"])
@pytest.mark.parametrize("name", ["lenet", "mlp"])
@pytest.mark.parametrize("coding", ["direct", "hybrid"])
def test_portable_files_are_exact_in_other_simulators(tmp_path, name, norm, coding, importer):
    source = make_source(name, coding=coding, norm=norm)
    code, trace = traced(source)
    path = tmp_path / "model.nir"
    write_nir(path, unroll(source.graph, "portable", {}))
    net = simulator(importer).open(path)
    steps = input_of(source.graph, code)[None]
    expected = trace.logits.mean(0)
    for part in (slice(None), slice(0, 2)):  # the second call starts from rest again
        found = net.run(steps[:, part])[0]
        np.testing.assert_allclose(found, expected[part], atol=1e-5)
        np.testing.assert_array_equal(found.argmax(1), expected[part].argmax(1))


@pytest.mark.slow
@pytest.mark.parametrize("importer", [None, "snntorch", "spikingjelly", "norse"])
@pytest.mark.parametrize("name", ["lenet", "mlp"])
@pytest.mark.parametrize("coding", ["direct", "temporal"])
def test_a_constant_schedule_is_one_lif_node_a_layer(tmp_path, coding, name, importer):
    source = make_source(name, **{**CONSTANT_SCHEDULE, "coding": coding})
    code, trace = traced(source)
    path = tmp_path / "model.nir"
    graph = build_lif(source.graph, {})
    assert sum(isinstance(node, nir.LIF) for node in graph.nodes.values()) <= 5
    write_nir(path, graph)
    if importer is None:
        found = run_nir(nir.read(path), code)[OUTPUT]
    else:
        if problems(graph, TARGETS[importer]):
            pytest.skip(f"{importer} does not read all of its nodes")
        found = simulator(importer).open(path).run(code)
    np.testing.assert_allclose(found, trace.logits, atol=1e-5)


def test_a_lif_file_that_would_not_be_exact_is_refused():
    with pytest.raises(ConfigError) as refused:
        build_lif(make_source().graph, {})
    assert refused.value.what == "one LIF node cannot express layer 'normalise' exactly"
    for text in ("conv1: its weights differ", "spikes1: its reset is 'subtract'"):
        assert text in refused.value.why
    for text in ("neuron.schedule=shared", "--form portable", "--allow-approximate"):
        assert text in refused.value.remedy


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"leak": np.full((3, 1), 1.5, np.float32)}, "is not a decay"),
        ({"leak": np.full((3, 1), -0.1, np.float32)}, "is not a decay"),
        ({"leak": np.array([[9], [0.5], [0.6]], np.float32)}, "differs from step to step"),
        ({"threshold": np.zeros((3, 1), np.float32)}, "not above 0"),
        ({"leak": np.tile(np.float32([0.4, 0.5]), (3, 1))}, "differs between channels"),
    ],
)
def test_reasons_why_a_neuron_is_inexact(change, why):
    ones = np.ones((3, 1), np.float32)
    fields = {"leak": ones / 2, "gain": ones, "threshold": ones, "size": ones} | change
    node = Neuron(name="n", inputs=("input",), reset="zero", **fields)
    assert any(why in each.why for each in inexact_layers(Graph((node,), (2, 1, 1), 3)))


def test_the_first_leak_has_no_effect():
    ones = np.ones((3, 1), np.float32)
    leak = np.array([[9], [0.5], [0.5]], np.float32)
    node = Neuron(
        name="n", inputs=("input",), leak=leak, gain=ones, threshold=ones, size=ones, reset="zero"
    )
    assert inexact_layers(Graph((node,), (2, 1, 1), 3)) == []


def test_an_approximation_can_be_written():
    graph = approximated(make_source(coding="temporal").graph)
    assert inexact_layers(graph) == []
    assert isinstance(build_lif(graph, {}), nir.NIRGraph)


def test_max_pools_of_values_are_refused():
    source = make_source()
    pool = next(node for node in source.graph.nodes if isinstance(node, Pool))
    early = Pool(**{**vars(pool), "inputs": ("conv1",)})
    with pytest.raises(ConfigError, match="maximum of values that are not spikes"):
        unroll(source.graph.with_nodes({pool.name: early}), "portable", {})


def test_a_reset_to_zero_cannot_be_unrolled():
    with pytest.raises(ConfigError, match="product of two signals"):
        unroll(make_source(neuron_options={"reset": "zero"}).graph, "portable", {})


@pytest.mark.parametrize("importer", [None, "snntorch", "spikingjelly"])
def test_sums_are_edges(tmp_path, importer):
    """A residual: the input of a neuron is the sum of two layers."""
    graph = make_source("mlp", coding="temporal").graph
    nodes = []
    for node in graph.nodes:
        if node.name == "spikes2":
            nodes.append(Add(name="sum", inputs=("linear2", "more")))
            node = Neuron(**{**vars(node), "inputs": ("sum",)})
        nodes.append(node)
        if node.name == "linear2":
            nodes.append(type(node)(**{**vars(node), "name": "more"}))
    graph = Graph(tuple(nodes), graph.in_shape, graph.steps)
    code = make_source("mlp", coding="temporal").encode(images().numpy())
    expected = run(graph, code).logits.mean(0)
    path = tmp_path / "model.nir"
    write_nir(path, unroll(graph, "portable", {}))
    steps = input_of(graph, code)[None]
    if importer is None:
        found = run_nir(nir.read(path), steps)[OUTPUT][0]
    else:
        found = simulator(importer).open(path).run(steps)[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_equal_arrays_are_stored_once(tmp_path):
    graph = unroll(make_source().graph, "portable", {"dt": DT})
    linked, plain = tmp_path / "linked.nir", tmp_path / "plain.nir"
    write_nir(linked, graph)
    nir.write(plain, graph)
    assert linked.stat().st_size < 0.7 * plain.stat().st_size
    found = nir.read(linked).nodes
    for name, node in nir.read(plain).nodes.items():
        for key, value in vars(found[name]).items():
            np.testing.assert_equal(value, vars(node)[key])
    with h5py.File(linked) as file:
        nodes = file["node/nodes"]
        assert nodes["conv2_t0/weight"] == nodes["conv2_t2/weight"]
        assert file["node/metadata/dt"][()] == DT


def test_files_for_older_readers_have_no_v_reset(tmp_path):
    path = tmp_path / "model.nir"
    write_nir(path, unroll(make_source().graph, "portable", {}), compat="1.0.4")
    with h5py.File(path) as file:
        assert file["version"][()] == b"1.0.4"
        kinds = {node["type"][()] for node in file["node/nodes"].values()}
        assert b"LIF" in kinds
        assert not any("v_reset" in node for node in file["node/nodes"].values())
    assert (nir.read(path).nodes["spikes1_t0"].v_reset == 0).all()


def test_flatten_keeps_the_batch_axis():
    graph = unroll(make_source().graph, "portable", {})
    flats = [node for node in graph.nodes.values() if isinstance(node, nir.Flatten)]
    assert flats
    assert all(node.start_dim < 0 for node in flats)


def test_golden_data(tmp_path):
    path = Path(tmp_path / "golden.nir")
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    write_golden(path, {"input": values})
    read = nir.read_data(path).nodes["input"].observables["output"]
    np.testing.assert_array_equal(read.data, values.reshape(2, 3, 4))
    assert read.dt == DT


def test_grouped_convolutions_as_convolutions_without_groups():
    weight = np.arange(8, dtype=np.float32).reshape(4, 1, 1, 2) + 1
    full = ungrouped(weight, 2)
    assert full.shape == (4, 2, 1, 2)
    np.testing.assert_array_equal(full[:2, :1], weight[:2])
    np.testing.assert_array_equal(full[2:, 1:], weight[2:])
    assert not full[:2, 1].any()
    assert not full[2:, 0].any()


def lif(**changes):
    one = np.ones(2, np.float32)
    fields = {"tau": one * 2 * DT, "r": one, "v_leak": one * 0, "v_threshold": one}
    return nir.LIF(**{**fields, **changes})


def chain(*nodes):
    named = {"input": nir.Input({"input": np.array([2])})}
    named |= {f"n{i}": node for i, node in enumerate(nodes)}
    named["output"] = nir.Output({"output": np.array([2])})
    names = list(named)
    return nir.NIRGraph(named, list(itertools.pairwise(names)), type_check=False)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (lif(), [[0.75, 0], [1.125, 1], [0.75, 0]]),
        (nir.LI(tau=np.full(2, 2 * DT), r=np.ones(2), v_leak=np.zeros(2)), None),
        (nir.IF(r=np.full(2, 1 / DT), v_threshold=np.full(2, 2.0)), None),
        (
            nir.CubaLIF(
                tau_syn=np.full(2, 2 * DT),
                tau_mem=np.full(2, 2 * DT),
                r=np.full(2, 2.0),
                v_leak=np.zeros(2),
                v_threshold=np.ones(2),
                w_in=np.full(2, 2.0),
            ),
            None,
        ),
    ],
    ids=["LIF", "LI", "IF", "CubaLIF"],
)
def test_stateful_nodes_follow_their_equations(node, expected):
    x = np.full((3, 1, 2), 1.5, np.float32)
    found = run_nir(chain(node), x)[OUTPUT][:, 0, 0]
    v = current = 0.0
    for t in range(3):
        if isinstance(node, nir.IF):
            v = v + 1.5
            spikes = v > 2
            expected_value = float(spikes)
            v = 0.0 if spikes else v
        elif isinstance(node, nir.CubaLIF):
            current = current + 0.5 * (2 * 1.5 - current)
            v = v + 0.5 * (2 * current - v)
            spikes = v > 1
            expected_value = float(spikes)
            v = 0.0 if spikes else v
        else:
            v = v + 0.5 * (1.5 - v)
            expected_value = v
            if isinstance(node, nir.LIF):
                expected_value = float(v > 1)
                assert [v, expected_value] == expected[t]
                v = 0.0 if v > 1 else v
        assert found[t] == pytest.approx(expected_value)


@pytest.mark.parametrize(
    ("node", "target", "why"),
    [
        (nir.Scale(np.ones(2)), "snntorch", "it does not read Scale"),
        (
            lif(tau=np.array([2, 3]) * DT),
            "snntorch",
            "it is wrong for LIF 'n0' with several τ",
        ),
        (
            lif(v_threshold=np.array([1.0, 2.0])),
            "spikingjelly",
            "it refuses LIF 'n0' with several thresholds",
        ),
        (lif(r=np.full(2, 2.0)), "norse", "with r = τ/dt"),
        (lif(v_leak=np.full(2, 0.2)), "norse", "with v_leak other than 0"),
        (lif(tau=np.full(2, DT)), "spikingjelly", "with τ = dt"),
        (
            nir.Flatten(input_type={"input": np.array([2])}, start_dim=0, end_dim=-1),
            "snntorch",
            "Flatten 'n0' with axes from the front",
        ),
    ],
)
def test_targets_refuse_files_that_they_would_misread(node, target, why):
    with pytest.raises(ConfigError, match="would not run this file exactly") as refused:
        check_target(chain(node), target)
    assert why in refused.value.why


def test_targets_accept_files_that_they_run():
    for target in TARGETS:
        check_target(chain(lif()), target)
    with pytest.raises(ConfigError, match="did you mean|choose from snntorch"):
        check_target(chain(lif()), "snntorh")


def test_norse_would_misread_unrolled_graphs():
    graph = unroll(make_source("mlp").graph, "portable", {})
    assert any(
        "where paths part and meet again" in why for why in problems(graph, TARGETS["norse"])
    )


def test_average_pools(tmp_path):
    model = network("lenet", coding="temporal")
    model.body.spikes1.pool = nn.AvgPool2d(2)
    graph = lower_network(model)
    code = model.coding.encode(images()).numpy()
    path = tmp_path / "model.nir"
    write_nir(path, unroll(graph, "pure", {}))
    found = run_nir(nir.read(path), input_of(graph, code)[None])[OUTPUT][0]
    np.testing.assert_allclose(found, run(graph, code).logits.mean(0), atol=1e-5)


def test_names_in_a_builder_are_unique():
    builder = NirBuilder("pure")
    builder.scale("a", np.ones(1, np.float32), (2,))
    with pytest.raises(AssertionError, match="a"):
        builder.scale("a", np.ones(1, np.float32), (2,))


def test_the_readout_is_last():
    assert isinstance(make_source().graph.nodes[-1], Readout)


@pytest.mark.slow
def test_a_simulator_with_missing_packages_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(
        SIMULATORS, "snntorch", replace(SIMULATORS["snntorch"], needs=("no-such-package",))
    )
    result = export_nir(make_source("mlp"), tmp_path, samples=samples())
    note = "snntorch could run it and is left out: pip install no-such-package"
    assert note in result.notes
    assert "snntorch" not in [parity.runtime for parity in result.report.parities]
