"""NIR in numpy: each node against its formula or torch, loops against a loop written by hand and
the importers of SpikingJelly and Norse."""

import itertools

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from asnn.core.errors import DataError
from asnn.exporters.nir.file import write_nir
from asnn.exporters.nir.interpreter import run_nir
from asnn.exporters.nir.nodes import DT
from asnn.exporters.nir.unrolled import OUTPUT
from asnn.exporters.verification.simulators import SIMULATORS

RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def full(value, *shape):
    return np.full(shape or (3,), value, np.float32)


def lif(tau=2.0, size=3, **changes):
    fields = {"tau": tau * DT, "r": 1, "v_leak": 0, "v_threshold": 0.4, "v_reset": 0}
    return nir.LIF(**{key: full(each, size) for key, each in {**fields, **changes}.items()})


def cuba(size=3):
    fields = {"tau_syn": 2 * DT, "tau_mem": 4 * DT, "r": 4, "v_leak": 0, "v_threshold": 1.5}
    return nir.CubaLIF(**{k: full(v, size) for k, v in {**fields, "w_in": 2, "v_reset": 0}.items()})


def graph(shape, nodes, edges, out=None):
    ends = {
        "input": nir.Input({"input": np.array(shape)}),
        "output": nir.Output({"output": np.array(out or shape)}),
    }
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


def of_one(node, x):
    """Run one node alone."""
    edges = [("input", "node"), ("node", "output")]
    return run_nir(graph(x.shape[2:], {"node": node}, edges), x)[OUTPUT]


def test_convolutions_over_one_axis_equal_torch():
    x = weights(2, 5, 4, 9)
    for stride, padding, dilation, groups in ((1, 0, 1, 1), (2, 3, 2, 2), (1, "same", 2, 1)):
        weight, bias = weights(6, 4 // groups, 4), weights(6)
        node = nir.Conv1d(9, weight, stride, padding, dilation, groups, bias)
        tensors = (torch.from_numpy(each) for each in (x[0], weight, bias))
        expected = F.conv1d(*tensors, stride, padding, dilation, groups)
        assert np.allclose(of_one(node, x)[0], expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding")
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name_equals_torch(padding):
    x, weight, bias = weights(1, 2, 3, 6, 7), weights(2, 3, 4, 3), weights(2)
    node = nir.Conv2d((6, 7), weight, 1, padding, (1, 2), 1, bias)
    tensors = (torch.from_numpy(each) for each in (x[0], weight, bias))
    expected = F.conv2d(*tensors, 1, padding, (1, 2))
    assert np.allclose(of_one(node, x)[0], expected, atol=1e-5)


def test_a_delay_gives_the_value_of_an_earlier_step():
    x = np.arange(1.0, 7)[:, None, None] * np.array([1, 10, 100], np.float32)
    found = of_one(nir.Delay(np.array([0, 1.4, 3]) * DT), x)[:, 0]
    assert found[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert found[:, 1].tolist() == [0, 10, 20, 30, 40, 50]
    assert found[:, 2].tolist() == [0, 0, 0, 100, 200, 300]
    assert (of_one(nir.Delay(full(0)), x) == x).all()
    assert not of_one(nir.Delay(full(1e12 * DT)), x).any()  # later than the last step


def test_parameters_of_channels_equal_those_of_all_values():
    x = 2 * np.abs(weights(6, 2, 3, 4, 5))
    by_channel = {"tau": np.array([2, 3, 4]) * DT, "r": full(1), "v_leak": np.array([0, 0.1, 0.2])}
    by_channel |= {"v_threshold": np.array([0.5, 1, 1.5]), "v_reset": full(-0.1)}
    everywhere = {k: np.broadcast_to(v[:, None, None], (3, 4, 5)) for k, v in by_channel.items()}
    found, expected = (of_one(nir.LIF(**each), x) for each in (by_channel, everywhere))
    assert (found == expected).all()
    assert 0.1 < found.mean() < 0.9


def by_hand(x, step, recurrent, bias=0.0):
    """Return spikes where x_t + U s_{t-1} + bias takes the place of x_t; no bias at first."""
    spikes, state, before = [], None, 0.0
    for x_t in x:
        s, state = step(x_t + before, state)
        spikes.append(s)
        before = s @ recurrent.T + bias
    return np.stack(spikes)


def lif_step(x, v):
    v = np.zeros_like(x) if v is None else v
    v = v + np.float32(0.5) * (x - v)
    return (v > 0.4).astype(np.float32), np.where(v > 0.4, np.float32(0), v)


def cuba_step(x, state):
    i, v = (np.zeros_like(x),) * 2 if state is None else state
    i = np.float32(0.5) * i + x
    v = np.float32(0.75) * v + i
    return (v > 1.5).astype(np.float32), (i, np.where(v > 1.5, np.float32(0), v))


RECURRENT = [("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")]


@pytest.mark.parametrize("of_file", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
@pytest.mark.parametrize(("neuron", "step"), [(lif(), lif_step), (cuba(), cuba_step)])
def test_a_loop_takes_one_step(neuron, step, of_file):
    """In any order of the nodes; a loop without delay or with two steps has other spikes."""
    x, w = 1.2 * weights(30, 4, 3) + 0.4, 1.5 * weights(3, 3)
    nodes = {"lif": neuron, "w": nir.Linear(w)}
    nodes = dict([*nodes.items()][:: -1 if of_file[0] else 1])
    edges = [RECURRENT[i] for i in (*of_file, 3)]
    found = run_nir(graph((3,), nodes, edges), x)[OUTPUT]
    assert (found == by_hand(x, step, w)).all()
    assert 0.1 < found.mean() < 0.9
    later = {**nodes, "delay": nir.Delay(full(DT))}  # a Delay comes on top of the step
    edges = [("input", "lif"), ("lif", "w"), ("w", "delay"), ("delay", "lif"), ("lif", "output")]
    two_steps = run_nir(graph((3,), later, edges), x)[OUTPUT]
    assert (two_steps != found).any()
    assert (two_steps[:2] == by_hand(x[:2], step, 0 * w)).all()


def test_the_bias_of_recurrent_weights_begins_in_the_second_step():
    x, w, bias = weights(20, 4, 3), weights(3, 3), full(0.7)
    nodes = {"lif": lif(), "w": nir.Affine(w, bias)}
    found = run_nir(graph((3,), nodes, RECURRENT), x)[OUTPUT]
    assert (found == by_hand(x, lif_step, w, bias)).all()


def test_nested_graphs_run_in_their_place():
    x, w = 1.2 * weights(30, 4, 3) + 0.4, 1.5 * weights(3, 3)
    inner = graph((3,), {"lif": cuba(), "w": nir.Linear(w)}, RECURRENT)
    outer = graph((3,), {"rnn": inner}, [("input", "rnn"), ("rnn", "output")])
    found = run_nir(outer, x)
    assert (found[OUTPUT] == by_hand(x, cuba_step, w)).all()
    assert set(found) == {"input", "rnn.lif", "rnn.w", "output"}


def two_layers(neuron):
    """Two recurrent layers, with feedback from the second to the first."""
    nodes = {
        "a": nir.Affine(1.5 * weights(4, 3), full(0.3, 4)),
        "lif1": neuron(size=4),
        "w1": nir.Linear(weights(4, 4)),
        "b": nir.Affine(2 * weights(5, 4), full(0.2, 5)),
        "lif2": neuron(size=5),
        "w2": nir.Linear(weights(5, 5)),
        "back": nir.Linear(0.7 * weights(4, 5)),
        "c": nir.Linear(weights(2, 5)),
    }
    edges = [("input", "a"), ("a", "lif1"), ("lif1", "w1"), ("w1", "lif1"), ("lif1", "b")]
    edges += [("b", "lif2"), ("lif2", "w2"), ("w2", "lif2"), ("lif2", "back"), ("back", "lif1")]
    return graph((3,), nodes, [*edges, ("lif2", "c"), ("c", "output")], out=(2,))


@pytest.mark.slow
@pytest.mark.parametrize("neuron", [lif, cuba])
@pytest.mark.parametrize("importer", ["spikingjelly", "norse"])
def test_loops_equal_those_of_other_simulators(tmp_path, neuron, importer):
    made, x = two_layers(neuron), 1.5 * weights(40, 6, 3)
    write_nir(tmp_path / "a.nir", made)
    found = SIMULATORS[importer].open(tmp_path / "a.nir").run(x)
    expected = run_nir(made, x)
    assert np.allclose(found, expected[OUTPUT], atol=1e-5)
    assert all(0.05 < expected[name].mean() < 0.95 for name in ("lif1", "lif2"))
    cut = graph((3,), made.nodes, [e for e in made.edges if e[0] != "back"])
    assert not np.allclose(found, run_nir(cut, x)[OUTPUT], atol=1e-2)  # negative control


def test_what_cannot_be_run_is_refused():
    x = weights(2, 1, 3)
    edges = [("input", "node"), ("node", "output")]
    with pytest.raises(DataError, match=r"'node' \(Linear\) of the NIR graph cannot take values"):
        run_nir(graph((3,), {"node": nir.Linear(weights(2, 4))}, edges), x)
    with pytest.raises(DataError, match="cannot take values") as error:
        of_one(lif(size=2), x)
    assert "its parameters have the shape [2]" in error.value.why
    nodes = {"a": nir.Linear(weights(2, 3)), "b": nir.Linear(weights(3, 3))}
    both = [*itertools.product(["input"], nodes), *itertools.product(nodes, ["output"])]
    with pytest.raises(DataError, match=r"'output' .* adds values of the shapes \[2\] and \[3\]"):
        run_nir(graph((3,), nodes, both), x)
    with pytest.raises(DataError, match="has 2 inputs"):
        run_nir(graph((3,), {"more": nir.Input({"input": np.array([3])})}, edges[:0]), x)
    with pytest.raises(DataError, match="'lif' of the NIR graph has no input in the first step"):
        loop = {"lif": lif(), "w": nir.Linear(weights(3, 3))}
        run_nir(graph((3,), loop, [("lif", "w"), ("w", "lif"), ("input", "output")]), x)
