"""Recurrent weights and synaptic currents in NIR: loops of LIF and CubaLIF nodes, or unrolled."""

from dataclasses import replace

import nir
import numpy as np
import pytest

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Conv, Filter, Flatten, Graph, Linear, Neuron, Readout
from asnn.exporters.nir import export as nir_export
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.lif import build_lif, inexact_layers
from asnn.exporters.nir.rewrites import with_synapses
from asnn.exporters.nir.targets import TARGETS, problems
from asnn.exporters.nir.unrolled import input_of, step_name, unroll
from asnn.formats.execution_order import execution_order
from tests.support.recurrent_networks import recurrent_source

STEPS = 12


def weights(seed, *shape, size=1.0):
    return (size * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def column(*values):
    return np.broadcast_to(np.array(values, np.float32), (STEPS, len(values))).copy()


def neuron(name, source, *, reset, recurrent=None, alpha=None, threshold=(0.5,), **changes):
    fields = {
        "leak": column(0.8),
        "gain": column(1.5),
        "threshold": column(*threshold),
        "size": column(*threshold),
        "synapse": None if alpha is None else np.array([alpha], np.float32),
    }
    return Neuron(
        name=name, inputs=(source,), reset=reset, recurrent=recurrent, **{**fields, **changes}
    )


def linear(name, source, weight):
    none = np.zeros(len(weight), np.float32)
    step = (0,) * STEPS
    return Linear(name=name, inputs=(source,), weights=(weight,), biases=(none,), of_step=step)


def network(reset, alpha=None, recurrent=True, **changes):
    """Two recurrent layers."""
    u = [weights(i, n, n, size=0.7) if recurrent else None for i, n in ((1, 6), (2, 5))]
    nodes = (
        linear("fc1", "input", weights(3, 6, 4)),
        neuron("lif1", "fc1", reset=reset, recurrent=u[0], alpha=alpha, **changes),
        linear("fc2", "lif1", weights(4, 5, 6)),
        neuron("lif2", "fc2", reset=reset, recurrent=u[1], alpha=alpha),
        Readout(
            name="out",
            inputs=("lif2",),
            weight=weights(5, 3, 5),
            bias=weights(6, 3),
            scale=np.ones(STEPS, np.float32),
        ),
    )
    return Graph(nodes, (4,), STEPS)


CODE = weights(7, STEPS, 8, 4, size=1.5)


def spikes_equal(graph, found):
    """Whether the spikes of all neurons are those of the graph, neither rare nor constant."""
    expected = run(graph, CODE).values
    for node in graph.neurons:
        assert 0.05 < expected[node.name].mean() < 0.95
    return all((found[node.name] == expected[node.name]).all() for node in graph.neurons)


@pytest.mark.parametrize("alpha", [None, 0.6])
def test_a_recurrent_layer_is_a_loop(alpha):
    graph = network("zero", alpha)
    made = build_lif(graph, {})
    kinds = {name: type(node).__name__ for name, node in made.nodes.items()}
    assert kinds["lif1"] == ("LIF" if alpha is None else "CubaLIF")
    loops = {("lif1_recurrent", "lif1"), ("lif2_recurrent", "lif2")}
    assert execution_order(kinds, made.edges).delayed == loops
    assert spikes_equal(graph, run_nir(made, CODE))
    other = network("zero", alpha, recurrent=False)
    assert not spikes_equal(other, run_nir(made, CODE))  # negative control
    assert not problems(made, TARGETS["spikingjelly"])
    assert not problems(made, TARGETS["norse"])
    (first, *_) = problems(made, TARGETS["snntorch"])
    assert first == "it is wrong for the loop from 'lif1_recurrent' to 'lif1'"


def test_thresholds_of_channels_scale_what_is_fed_back():
    graph = network("zero", threshold=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8))
    made = build_lif(graph, {})
    assert np.unique(made.nodes["lif1"].v_threshold).size == 1
    assert spikes_equal(graph, run_nir(made, CODE))


@pytest.mark.parametrize("style", ["pure", "portable"])
@pytest.mark.parametrize("alpha", [None, 0.6])
def test_a_reset_by_subtraction_is_unrolled(style, alpha):
    graph = network("subtract", alpha)
    made = unroll(graph, style, {})
    found = run_nir(made, input_of(graph, CODE)[None])
    values = {
        node.name: np.stack([found[step_name(graph, node.name, t)][0] for t in range(STEPS)])
        for node in graph.neurons
    }
    assert spikes_equal(graph, values)
    assert not spikes_equal(network("subtract", alpha, recurrent=False), values)


def with_filter(start=None):
    first, hidden, *rest = network("zero", recurrent=False).nodes
    pole, gain = np.array([[0.6]], np.float32), np.array([0.9], np.float32)
    current = Filter(name="current", inputs=("fc1",), poles=pole, gain=gain, start=start)
    return Graph((first, current, replace(hidden, inputs=("current",)), *rest), (4,), STEPS)


def test_a_filter_before_a_neuron_is_a_synaptic_current():
    graph = with_filter()
    made = build_lif(graph, {})
    assert "current" not in made.nodes
    assert isinstance(made.nodes["lif1"], nir.CubaLIF)
    assert isinstance(made.nodes["lif2"], nir.LIF)
    assert spikes_equal(graph, run_nir(made, CODE))
    assert not any(problems(made, target) for target in TARGETS.values())


def test_other_filters_stay():
    """One that starts from a value, that another layer reads too, or before a recurrence that does
    not pass it."""
    started = with_filter(np.ones(1, np.float32))
    assert with_synapses(started) == started
    graph = with_filter()
    twice = replace(graph, nodes=(*graph.nodes[:-1], linear("o", "current", weights(0, 2, 6))))
    assert with_synapses(twice) == twice
    recurrent = replace(graph.nodes[2], recurrent=weights(1, 6, 6))
    own = graph.with_nodes({"lif1": recurrent})
    assert with_synapses(own) == own
    made = build_lif(own, {})
    assert isinstance(made.nodes["current"], nir.LI)
    assert spikes_equal(own, run_nir(made, CODE))


@pytest.mark.parametrize(
    ("reset", "kernel"), [("zero", (3, 3)), ("zero", (1, 3)), ("subtract", (3, 3))]
)
def test_convolutions_feed_back_too(reset, kernel):
    image = (2, 4, 5)
    size = {"biases": (np.zeros(3, np.float32),), "of_step": (0,) * STEPS, "padding": (1, 1)}
    nodes = (
        Conv(name="conv", inputs=("input",), weights=(weights(1, 3, 2, 3, 3, size=0.5),), **size),
        neuron("lif", "conv", reset=reset, recurrent=weights(2, 3, 3, *kernel, size=0.4)),
        Flatten(name="flat", inputs=("lif",)),
        linear("out", "flat", weights(3, 2, 60)),
    )
    graph = Graph(nodes, image, STEPS)
    code = weights(4, STEPS, 5, *image)
    expected = run(graph, code).values["lif"]
    assert 0.05 < expected.mean() < 0.95
    if reset == "zero":
        found = run_nir(build_lif(graph, {}), code)["lif"]
    else:
        values = run_nir(unroll(graph, "portable", {}), input_of(graph, code)[None])
        found = np.stack([values[f"lif_t{t}"][0] for t in range(STEPS)])
    assert (found == expected).all()


def test_synapses_that_no_node_has_are_named():
    graph = network("zero", alpha=0.6)
    hidden = graph.nodes[1]
    for synapse, why in (
        ([0.5, 0.6, 0.5, 0.5, 0.5, 0.5], "its synapse differs between channels"),
        ([1.0], "its synapse 1 is not a decay: it must be 0 or more, and below 1"),
    ):
        changed = replace(hidden, synapse=np.array(synapse, np.float32))
        (found,) = inexact_layers(graph.with_nodes({"lif1": changed}))
        assert (found.layer, found.why.partition(",")[0]) == ("lif1", why.partition(",")[0])
    with pytest.raises(ConfigError, match="resets its membrane to zero, which NIR") as refused:
        unroll(graph, "portable", {})
    assert refused.value.remedy.endswith("train with a reset by subtraction: neuron.reset=subtract")


def test_neurons_without_leak_are_if_nodes():
    graph = network("zero", leak=column(1.0))
    made = build_lif(graph, {})
    assert isinstance(made.nodes["lif1"], nir.IF)
    assert spikes_equal(graph, run_nir(made, CODE))
    assert not problems(made, TARGETS["spikingjelly"])
    graph = with_filter()
    integrating = graph.with_nodes({"lif1": replace(graph.nodes[2], leak=column(1.0))})
    kinds = [type(node) for node in build_lif(integrating, {}).nodes.values()]
    assert nir.LI in kinds and nir.IF in kinds and nir.CubaLIF not in kinds


CONSTANT = {"schedule": "shared", "reset": "zero"}


@pytest.mark.slow
@pytest.mark.parametrize(("form", "options"), [("lif", CONSTANT), ("portable", {}), ("pure", {})])
def test_recurrent_networks_of_asnn_are_verified(tmp_path, form, options):
    coding = {"coding": "temporal", "output_scale": False} if form == "lif" else {}
    source, samples = recurrent_source(neuron_options=options, **coding)
    report = export_nir(source, tmp_path, samples=samples, form=form).report
    assert report.verified and all(report.spikes.values())
    others = {"lif": {"spikingjelly", "norse"}, "portable": {"snntorch", "spikingjelly"}}
    ours = {"torch", "numpy, from the file"}
    assert {parity.runtime for parity in report.parities} == ours | others.get(form, set())


@pytest.mark.slow
def test_changed_recurrent_weights_are_not_verified(tmp_path, monkeypatch):
    """Negative control: the same network with another recurrence in the file."""
    source, samples = recurrent_source(
        neuron_options=CONSTANT, coding="temporal", output_scale=False
    )
    write = nir_export.write_nir

    def wrong(path, graph, **options):
        nodes = dict(graph.nodes)
        name = next(each for each in nodes if each.endswith("_recurrent"))
        nodes[name] = nir.Linear(nodes[name].weight + np.float32(0.3))
        write(path, nir.NIRGraph(nodes, graph.edges, graph.metadata, type_check=False), **options)

    monkeypatch.setattr(nir_export, "write_nir", wrong)
    with pytest.raises(VerificationError):
        export_nir(source, tmp_path, samples=samples, form="lif")
