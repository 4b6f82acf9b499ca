"""Neurons of NIR in torch: their equations, gradients, and what the export graph has of them."""

import math

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.exporters import source_of
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Cell
from asnn.exporters.nir.interpreter import run_nir
from asnn.models.nir.neuron import FIELDS, NirNeuron
from asnn.models.nir.semantics import SEMANTICS, semantics_of
from tests.support.nir_files import graph_of_nodes, network

DT = 0.25
# Values with which all arithmetic of few steps is exact in float32, so that no rounding flips.
TAUS, LEVELS = st.sampled_from([0.25, 0.5, 1.0]), st.sampled_from([-0.5, 0.0, 0.25, 0.5])
VALUES = {
    **dict.fromkeys(("tau", "tau_mem", "tau_syn"), TAUS),
    **dict.fromkeys(("v_leak", "v_reset"), LEVELS),
    "r": st.sampled_from([0.5, 1.0, 2.0]),
    "w_in": st.sampled_from([1.0, 2.0]),
    "v_threshold": st.sampled_from([0.25, 0.5, 1.0]),
}


@st.composite
def neurons(draw):
    """A graph of one layer of three neurons."""
    kind = draw(st.sampled_from(list(FIELDS)))
    arrays = {
        field: np.array([draw(VALUES[field]) for _ in range(3)], np.float32)
        for field in FIELDS[kind]
    }
    return graph_of_nodes([3], 3, "input>n>output", n=getattr(nir, kind)(**arrays))


def steps(seed, count=6):
    values = np.random.default_rng(seed).integers(-2, 5, (count, 4, 3))
    return torch.from_numpy(values.astype(np.float32) / 2)


@settings(max_examples=60, deadline=None)
@given(graph=neurons(), seed=st.integers(0, 99))
def test_the_equations_are_those_of_the_interpreter_in_numpy(graph, seed):
    x = steps(seed)
    found = network(graph, steps=len(x), dt=DT).run(x)
    expected = run_nir(graph, x.numpy(), DT)["output"]
    np.testing.assert_array_equal(found.numpy(), expected)


def by_hand(x, p, rule, looped=False):
    """The spikes of a LIF or CubaLIF neuron in float64, step by step, as the simulators say."""
    v = {"zero": 0.0, "v_reset": p["v_reset"], "v_leak": p["v_leak"]}[rule.start]
    times = DT * DT if rule.scaled_times else DT
    leak = times / p.get("tau", p.get("tau_mem"))
    if rule.exponential:
        leak = 1 - math.exp(-leak)
    i = s = 0.0
    found = []
    for each in x:
        if "tau_syn" in p:
            share = times / p["tau_syn"]
            if rule.exponential:
                share = 1 - math.exp(-share)
            i = (1 - share) * i + p["w_in"] * (1 if rule.unit_input else share) * each
            if rule.decays_input:
                i += (1 - share) * each - p["w_in"] * share * each
            each = i
        v = (1 - leak) * v + leak * (p["v_leak"] + p["r"] * each)
        if rule.decays_input:
            v += each - leak * p["r"] * each
        if rule.reset == "subtract":
            v -= s * p["v_threshold"]
        if rule.several:
            s = float(max(math.floor(v / p["v_threshold"]), 0))
            v -= s * p["v_threshold"]
            found.append(s)
            continue
        late_zero = rule.reset == "zero" and (looped or "tau_syn" in p)
        if late_zero:
            v *= 1 - s
        above = v >= p["v_threshold"] if rule.fires_at_threshold else v > p["v_threshold"]
        s = float(above)
        if not late_zero and rule.reset != "subtract" and s:
            v = p["v_reset"]
        found.append(s)
    return found


@pytest.mark.parametrize("name", SEMANTICS)
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_semantics_are_those_of_the_simulators(name, kind):
    if (name, kind) == ("sinabs", "CubaLIF"):
        return  # it writes none
    values = {"tau": 0.5, "tau_mem": 0.5, "tau_syn": 0.5, "r": 2.0, "v_leak": 0.25}
    values |= {"v_threshold": 0.5, "v_reset": 0.25, "w_in": 2.0}
    p = {field: values[field] for field in FIELDS[kind]}
    rule, x = semantics_of(name), steps(3, count=12)
    neuron = NirNeuron(kind, dict.fromkeys(p, (1,)), dt=DT, semantics=rule)
    for field, value in p.items():
        getattr(neuron, field).fill_(value)
    found = neuron(x)
    for sample in range(x.shape[1]):
        for feature in range(x.shape[2]):
            expected = by_hand(x[:, sample, feature].tolist(), p, rule)
            assert found[:, sample, feature].tolist() == expected
    assert (float(found.max()) > 1) == rule.several
    assert 0 < float((found == 0).float().mean()) < 1


def test_a_step_at_a_time_is_the_same():
    graph = graph_of_nodes([3], 3, "input>n>output", n=nir.LIF(*np.full((5, 3), 0.5, np.float32)))
    model, x = network(graph, steps=6, dt=DT), steps(1)
    step = model.body.network.stepper()
    assert torch.equal(torch.stack([step(each) for each in x]), model.run(x))


def test_gradients_flow_through_the_membrane():
    shapes = dict.fromkeys(FIELDS["LIF"], ())
    neuron = NirNeuron("LIF", shapes, dt=0.5, semantics=SEMANTICS["nir"])
    x = torch.full((3, 1, 1), 0.4, requires_grad=True)
    neuron(x)[-1].sum().backward()
    assert (x.grad != 0).all()


@settings(max_examples=30, deadline=None)
@given(graph=neurons(), seed=st.integers(0, 99), name=st.sampled_from([*SEMANTICS]))
def test_the_export_graph_computes_the_same(graph, seed, name):
    x = steps(seed)
    written = SEMANTICS[name].writes
    if written is not None and type(graph.nodes["n"]).__name__ not in written:
        return
    model = network(graph, steps=len(x), dt=DT, semantics=name)
    source = source_of(model)
    if source.refusal is not None:
        assert SEMANTICS[name].several and "spikes a step" in source.refusal.why
        return
    found, expected = run(source.graph, x.numpy()).logits, model.run(x).numpy()
    if isinstance(graph.nodes["n"], nir.LI | nir.CubaLI | nir.I):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, expected)


PLAIN = [
    ("nir", {}, ["Neuron zero"]),
    ("nir", {"v_leak": 0.1}, ["ChannelScale", "Neuron zero"]),
    ("nir", {"v_reset": 0.25}, ["ChannelScale", "Neuron zero"]),
    ("snntorch", {}, ["Neuron subtract"]),
    ("spikingjelly", {"v_reset": -0.5, "v_leak": -0.5}, ["Neuron zero"]),
    ("norse", {"v_leak": 0.25}, ["ChannelScale", "Neuron zero"]),
]


@pytest.mark.parametrize(("semantics", "changed", "kinds"), PLAIN)
def test_leaky_neurons_are_neurons_of_the_graph(semantics, changed, kinds):
    """u = v - v_reset is 0 after a reset, and what moves it otherwise is added to the input."""
    values = {"tau": 1.0, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, **changed}
    node = nir.LIF(**{name: np.full(3, value, np.float32) for name, value in values.items()})
    graph = graph_of_nodes([3], 3, "input>n>output", n=node)
    x = steps(5, count=9)
    model = network(graph, steps=len(x), dt=DT, semantics=semantics)
    lowered = source_of(model).graph
    found = [f"{type(n).__name__} {getattr(n, 'reset', '')}".strip() for n in lowered.nodes]
    assert found == kinds
    spikes = run(lowered, x.numpy()).logits
    np.testing.assert_array_equal(spikes, model.run(x).numpy())
    assert 0 < spikes.mean() < 1


def test_a_membrane_at_its_threshold_fires_where_the_simulator_says_so():
    """v = 1 = v_threshold in the first step, exactly."""
    node = nir.IF(*(np.full(1, value, np.float32) for value in (1 / DT, 1.0, 0.0)))
    graph, x = graph_of_nodes([1], 1, "input>n>output", n=node), np.ones((1, 1, 1), np.float32)
    found = [
        run(source_of(network(graph, steps=1, dt=DT, semantics=name)).graph, x).logits.item()
        for name in ("spikingjelly", "nir")
    ]
    assert found == [1, 0]


@pytest.mark.parametrize(
    ("semantics", "changed"),
    [("snntorch-zero", {}), ("nir", {"v_leak": 0.1})],
    ids=["the next step discards its input", "an offset would pass the current"],
)
def test_other_neurons_are_equations(semantics, changed):
    values = {"tau_mem": 1.0, "tau_syn": 1.0, "r": 2.0, "w_in": 1.0, "v_threshold": 1.0, **changed}
    values = {"v_leak": 0.0, "v_reset": 0.0, **values}
    node = nir.CubaLIF(**{name: np.full(3, value, np.float32) for name, value in values.items()})
    model = network(graph_of_nodes([3], 3, "input>n>output", n=node), dt=DT, semantics=semantics)
    (found,) = source_of(model).graph.nodes
    assert type(found) is Cell


def test_other_semantics_are_refused():
    with pytest.raises(ConfigError, match="unknown semantics 'snntorc'") as caught:
        semantics_of("snntorc")
    assert caught.value.remedy == "did you mean 'snntorch'?"
    for name, kind in (("sinabs", "CubaLIF"), ("rockpool", "IF")):
        shapes = dict.fromkeys(FIELDS[kind], ())
        with pytest.raises(ConfigError, match=f"with these semantics there is no {kind}") as caught:
            NirNeuron(kind, shapes, dt=1.0, semantics=SEMANTICS[name])
        assert caught.value.why.startswith("their simulator writes ")


def test_several_spikes_have_the_gradient_of_a_line():
    """n = ⌊v / θ⌋ has the derivative 1 / θ where v is above 0."""
    neuron = NirNeuron("IF", dict.fromkeys(FIELDS["IF"], ()), dt=1.0, semantics=SEMANTICS["sinabs"])
    neuron.v_threshold.fill_(0.5)
    x = torch.tensor([[[1.7, -1.0]]], requires_grad=True)
    found = neuron(x)
    found.sum().backward()
    assert (found.tolist(), x.grad.tolist()) == ([[[3.0, 0.0]]], [[[2.0, 0.0]]])
