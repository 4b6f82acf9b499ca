"""Forwards as people write them: each is lowered, and its graph compared with the forward itself.

The reference is the network, called by the test on an input of its own layout.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import utils
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import Samples, export_nir, export_onnx
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import ChannelScale, Concat, Filter, Neuron, Shift
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.tracing import varying
from asnn.exporters.verification.runtimes import EagerNetwork

T = 6


class Net(nn.Module):
    """Layers for the forwards below: 12 features, 8 hidden neurons, 4 classes."""

    def __init__(self, forward, **options):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.rec, self.out = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.joined, self.mixer = nn.Linear(20, 8), nn.Linear(4, 4)
        self.lif1 = snn.Leaky(beta=0.9, threshold=0.3, **options)
        self.lif2 = snn.Leaky(beta=0.8, threshold=0.1, **options)
        self.by_neuron = nn.Parameter(torch.rand(8) - 0.5)
        self.other, self.norms = nn.Linear(12, 8), nn.ModuleList(_norms())
        self.by_step = nn.Parameter(torch.rand(T, 8))
        self.of = forward

    def forward(self, x, *states, **named):
        return self.of(self, x, *states, **named)


def _norms():
    for _ in range(T):
        norm = nn.BatchNorm1d(8)
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        norm.running_mean.normal_(std=0.3)
        yield norm


FORWARDS = {}


def forward(layout="TB", steps=None, **options):
    """Register a forward, with the layout of its input."""

    def register(function):
        FORWARDS[function.__name__] = (function, layout, steps, options)
        return function

    return register


def two_layers(net, frames):
    mem1, mem2, spikes, mems = net.lif1.reset_mem(), net.lif2.reset_mem(), [], []
    for frame in frames:
        spk, mem1 = net.lif1(net.fc(frame), mem1)
        spk, mem2 = net.lif2(net.out(spk), mem2)
        spikes.append(spk)
        mems.append(mem2)
    return spikes, mems


@forward()
def steps_of_a_number(net, x):
    return torch.stack(two_layers(net, [x[t] for t in range(T)])[0])


@forward(steps=T)
def as_many_as_the_input_has(net, x):
    return torch.stack(two_layers(net, [x[t] for t in range(x.size(0))])[0])


@forward("BT")
def batch_first(net, x):
    return torch.stack(two_layers(net, [x[:, t] for t in range(T)])[0], 1)


@forward("BT", steps=T)
def batch_first_permuted(net, x):
    return torch.stack(two_layers(net, x.permute(1, 0, 2))[0])


@forward("BFT", steps=T)
def steps_last(net, x):
    return torch.stack(two_layers(net, x.unbind(-1))[0], -1).sum(-1)


@forward(steps=T)
def unbound(net, x):
    return torch.stack(two_layers(net, x.unbind(0))[0]).mean(0)


@forward()
def to_a_device(net, x):
    x = x.to("cpu")
    return torch.stack(two_layers(net, [x[t] for t in range(T)])[0])


@forward()
def the_last(net, x):
    return two_layers(net, [x[t] for t in range(T)])[0][-1]


@forward()
def spikes_and_membranes(net, x):
    spikes, mems = two_layers(net, [x[t] for t in range(T)])
    return torch.stack(spikes), torch.stack(mems)


@forward()
def the_last_membrane(net, x):
    return two_layers(net, [x[t] for t in range(T)])[1][-1]


@forward()
def all_membranes(net, x):
    return torch.stack(two_layers(net, [x[t] for t in range(T)])[1])


@forward()
def set_by_index(net, x):
    found = torch.zeros(T, x.size(1), 4)
    for t, spk in enumerate(two_layers(net, [x[t] for t in range(T)])[0]):
        found[t] = spk
    return found


@forward()
def joined_by_cat(net, x):
    return torch.cat([s.unsqueeze(0) for s in two_layers(net, [x[t] for t in range(T)])[0]])


@forward()
def a_running_sum(net, x):
    total = 0
    for spk in two_layers(net, [x[t] for t in range(T)])[0]:
        total = total + net.mixer(spk)
    return total / T


@forward()
def a_running_sum_in_place(net, x):
    total = torch.zeros(x.size(1), 4)
    for spk in two_layers(net, [x[t] for t in range(T)])[0]:
        total += net.mixer(spk)
    return total


@forward()
def divided_by_the_steps_of_the_input(net, x):
    return sum(two_layers(net, [x[t] for t in range(T)])[0]) / x.shape[0]


@forward()
def a_leaky_readout(net, x):
    mem, v, found = net.lif1.reset_mem(), torch.zeros(x.size(1), 4), []
    for t in range(T):
        spk, mem = net.lif1(net.fc(x[t]), mem)
        v = 0.9 * v + net.out(spk)
        found.append(v)
    return torch.stack(found)


def recurrent(net, x, current):
    mem1, mem2, found = net.lif1.reset_mem(), net.lif2.reset_mem(), []
    spk = torch.zeros(x.size(1), 8)
    for t in range(T):
        spk, mem1 = net.lif1(current(x[t], spk), mem1)
        out, mem2 = net.lif2(net.out(spk), mem2)
        found.append(out)
    return torch.stack(found)


@forward()
def fed_back(net, x):
    return recurrent(net, x, lambda x_t, spk: net.fc(x_t) + net.rec(spk))


@forward()
def fed_back_as_inhibition(net, x):
    return recurrent(net, x, lambda x_t, spk: net.fc(x_t) - (net.rec(spk) - 0.1 * net.fc(x_t)))


@forward()
def fed_back_joined(net, x):
    return recurrent(net, x, lambda x_t, spk: net.joined(torch.cat([x_t, spk], 1)))


@forward()
def fed_back_by_neuron(net, x):
    return recurrent(net, x, lambda x_t, spk: net.fc(x_t) + net.by_neuron * spk)


@forward()
def a_value_of_the_step_before(net, x):
    mem1, mem2, found = net.lif1.reset_mem(), net.lif2.reset_mem(), []
    before = torch.zeros(x.size(1), 8)
    for t in range(T):
        spk, mem1 = net.lif1(net.fc(x[t]), mem1)
        out, mem2 = net.lif2(net.out(spk - before), mem2)
        before = spk
        found.append(out)
    return torch.stack(found)


@forward(steps=T)
def layers_over_all_steps(net, x):
    steps, batch = x.shape[:2]
    current = net.fc(x.reshape(steps * batch, -1)).view(steps, batch, -1)
    mem, found = net.lif1.reset_mem(), []
    for t in range(steps):
        spk, mem = net.lif1(current[t], mem)
        found.append(spk)
    return net.out(torch.stack(found)).mean(0)


@forward("BT", steps=T)
def a_readout_of_the_mean(net, x):
    mem, found = None, []
    for t in range(x.size(1)):
        spk, mem = net.lif1(net.fc(x[:, t]), mem)
        found.append(spk)
    return net.out(torch.stack(found, dim=1).mean(1))


@forward()
def a_readout_of_the_sum(net, x):
    mem, found = None, []
    for t in range(T):
        spk, mem = net.lif1(net.fc(x[t]), mem)
        found.append(spk)
    return net.out(torch.stack(found).sum(0))


@forward(init_hidden=True)
def reset_by_utils(net, x):
    utils.reset(net)
    return torch.stack([net.lif2(net.out(net.lif1(net.fc(x[t])))) for t in range(T)])


@forward()
def a_norm_for_each_step(net, x):
    mem, found = net.lif1.reset_mem(), []
    for t in range(T):
        spk, mem = net.lif1(net.norms[t](net.fc(x[t])), mem)
        found.append(net.out(spk))
    return torch.stack(found)


@forward()
def a_threshold_of_each_step(net, x):
    mem, found = net.lif1.reset_mem(), []
    for t in range(T):
        spk, mem = net.lif1(net.fc(x[t]) / (1 + net.by_step[t]), mem)
        found.append(net.out(spk))
    return torch.stack(found)


@forward()
def weights_of_each_step(net, x):
    mem, found = net.lif1.reset_mem(), []
    for t in range(T):
        layer = net.fc if t % 2 else net.other
        spk, mem = net.lif1(layer(x[t]) * 0.9**t + 0.1 * t, mem)
        found.append(net.out(spk) * (t + 1))
    return torch.stack(found).mean(0)


@forward()
def two_heads(net, x):
    mem, first, second = net.lif1.reset_mem(), [], []
    for t in range(T):
        spk, mem = net.lif1(net.fc(x[t]), mem)
        first.append(net.rec(spk))
        second.append(net.out(spk))
    return torch.stack(first), torch.stack(second)


@forward()
def parts_of_features(net, x):
    mem, found = net.lif2.reset_mem(), []
    for t in range(T):
        first, second = net.rec(net.fc(x[t])).chunk(2, 1)
        spk, mem = net.lif2(net.mixer(first) - second * 2 + 0.1, mem)
        found.append(spk)
    return torch.stack(found)


def one_step(net, x, mem1, mem2):
    spk, mem1 = net.lif1(net.fc(x), mem1)
    spk, mem2 = net.lif2(net.out(spk), mem2)
    return spk, mem1, mem2


def frames(number=30, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(T, number, 12, generator=generator) < 0.4).float() * 2


def in_layout(x, layout):
    """`[T, B, F]` as the forward takes it."""
    return {"TB": x, "BT": x.transpose(0, 1), "BFT": x.permute(1, 2, 0)}[layout]


@pytest.mark.parametrize("name", FORWARDS)
def test_a_forward_and_its_graph_give_the_same(name):
    function, layout, steps, options = FORWARDS[name]
    net, x = Net(function, **options).eval(), frames()
    source = source_of_module(net, in_shape=(12,), steps=steps)
    assert source.graph.steps == T and not source.graph.static
    trace = run(source.graph, x.numpy())
    for node in source.graph.neurons:
        assert 0.02 < trace.values[node.name].mean() < 0.98
    for part in net.modules():
        if isinstance(part, snn.Leaky):
            part.reset_mem()
    with torch.no_grad():
        returned = net(in_layout(x, layout))
    if name == "two_heads":
        returned = torch.cat(returned, -1)
    wanted = returned[0] if isinstance(returned, tuple) else returned
    found = trace.logits if wanted.ndim == 3 else source.graph.answer.of(trace.logits)
    wanted = in_layout(wanted, layout) if wanted.ndim == 3 and name == "batch_first" else wanted
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-5)
    assert np.std(found) > 0.01
    # With the steps in another order the network gives something else.
    other = run(source.graph, x.flip(0).numpy())
    assert not np.allclose(
        source.graph.answer.of(other.logits), source.graph.answer.of(trace.logits)
    )


def test_an_axis_of_size_one_is_not_taken_for_the_steps():
    class Flattening(Net):
        def forward(self, x):  # [B, T, 1, F]
            frames = [x[:, t].flatten(1) for t in range(x.shape[1])]
            return torch.stack(two_layers(self, frames)[0], 1)

    net, x = Flattening(None).eval(), frames()
    source = source_of_module(net, in_shape=(1, 12), steps=T)
    trace = run(source.graph, x[:, :, None].numpy())
    with torch.no_grad():
        wanted = net(x.transpose(0, 1)[:, :, None]).transpose(0, 1)
    np.testing.assert_array_equal(trace.logits, wanted.numpy())
    with pytest.raises(ConfigError, match="the number of time steps is missing"):
        source_of_module(net, in_shape=(1, 12))
    with pytest.raises(ConfigError, match="makes 6 steps by itself, not 4"):
        source_of_module(Net(FORWARDS["fed_back"][0]), in_shape=(12,), steps=4)


def nodes_of(name):
    function, _, steps, options = FORWARDS[name]
    return source_of_module(Net(function, **options), in_shape=(12,), steps=steps).graph.nodes


def test_recurrent_weights_are_those_of_the_neuron():
    net = Net(FORWARDS["fed_back"][0])
    for name, weight in (
        ("fed_back", net.rec.weight),
        ("fed_back_joined", net.joined.weight[:, 12:]),
        ("fed_back_by_neuron", torch.diag(net.by_neuron)),
    ):
        (node,) = [n for n in nodes_of(name) if isinstance(n, Neuron) and n.recurrent is not None]
        np.testing.assert_array_equal(node.recurrent, weight.detach().numpy())


def test_loops_without_neurons_are_filters_and_shifts():
    assert [float(n.poles[0, 0]) for n in nodes_of("a_running_sum") if isinstance(n, Filter)] == [1]
    (filtered,) = [n for n in nodes_of("a_leaky_readout") if isinstance(n, Filter)]
    assert filtered.poles == np.float32(0.9)
    assert any(isinstance(n, Shift) for n in nodes_of("a_value_of_the_step_before"))
    assert any(isinstance(n, Concat) for n in nodes_of("two_heads"))


@pytest.mark.parametrize(
    "name, text",
    [
        ("as_many_as_the_input_has", "the number of time steps is missing"),
        ("unbound", "the number of time steps is missing"),
    ],
)
def test_the_steps_of_the_input_are_asked_for(name, text):
    with pytest.raises(ConfigError, match=text) as error:
        source_of_module(Net(FORWARDS[name][0]), in_shape=(12,))
    assert error.value.remedy == "give --steps"


class Arguments(Net):
    def forward(self, x, mem1, mem2):
        return one_step(self, x, mem1, mem2)


class MaybeNone(Net):
    def forward(self, x, mem1=None, mem2=None):
        mem1 = self.lif1.reset_mem() if mem1 is None else mem1
        mem2 = self.lif2.reset_mem() if mem2 is None else mem2
        return one_step(self, x, mem1, mem2)


class Listed(Net):
    def forward(self, x, mems):
        mem1, mem2 = mems
        spk, mem1, mem2 = one_step(self, x, mem1, mem2)
        return spk, [mem1, mem2]


class ByName(Net):
    def forward(self, x, mems):
        spk, mem1, mem2 = one_step(self, x, mems["one"], mems["two"])
        return spk, {"one": mem1, "two": mem2}


@pytest.mark.parametrize("kind", [Arguments, MaybeNone, Listed, ByName])
def test_states_as_arguments(kind):
    net = kind(None).eval()
    source = source_of_module(net, in_shape=(12,), steps=T)
    assert source.graph.static and source.takes_images
    x = frames()[0]
    trace = run(source.graph, np.repeat(x[None].numpy(), T, 0))
    mem1, mem2, wanted = torch.zeros(0), torch.zeros(0), []
    with torch.no_grad():
        for _ in range(T):
            spk, mem1, mem2 = one_step(net, x, mem1, mem2)
            wanted.append(spk)
    np.testing.assert_array_equal(trace.logits, torch.stack(wanted).numpy())
    assert 0.05 < trace.logits.mean() < 0.95


def test_a_state_that_is_not_returned_is_refused():
    class Forgets(Net):
        def forward(self, x, mem1, mem2):
            spk, mem1, _ = one_step(self, x, mem1, mem2)
            return spk, mem1

    with pytest.raises(ConfigError, match="takes 'mem2' and does not return it"):
        source_of_module(Forgets(None), in_shape=(12,), steps=T)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_wrapped_networks(wrap):
    torch.manual_seed(0)
    parts = [snn.Leaky(beta=0.9, threshold=0.2, init_hidden=True) for _ in range(2)]
    net = nn.Sequential(nn.Linear(12, 8), parts[0], nn.Linear(8, 4), parts[1]).eval()
    source = source_of_module(wrap(net), in_shape=(12,), steps=T)
    again = source_of_module(net, in_shape=(12,), steps=T)
    x = np.repeat(frames()[:1].numpy(), T, 0)
    np.testing.assert_array_equal(run(source.graph, x).logits, run(again.graph, x).logits)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a_norm_for_each_step", "weights_of_each_step"])
@pytest.mark.parametrize("form", ["sequence", "stream", "scan", "portable"])
def test_numbers_of_each_step_in_files(tmp_path, name, form):
    source = source_of_module(Net(FORWARDS[name][0]).eval(), in_shape=(12,))
    samples = Samples(np.swapaxes(frames().numpy(), 0, 1), None, "frames")
    export = export_nir if form == "portable" else export_onnx
    report = export(source, tmp_path, samples=samples, form=form).report
    assert report.verified and not report.quiet
    for parity in report.parities:
        assert not any(counts.any() for counts in parity.spike_mismatches.values())


def test_numbers_of_wrong_steps_are_found(monkeypatch):
    def reversed_steps(where, of_steps, source):
        return varying.over_steps_of(where, of_steps[::-1], source)

    net = Net(FORWARDS["a_norm_for_each_step"][0]).eval()
    source_of_module(net, in_shape=(12,))
    monkeypatch.setattr("asnn.exporters.tracing.recurrence.over_steps_of", reversed_steps)
    with pytest.raises(VerificationError, match="Net and the graph lowered from it differ"):
        source_of_module(net, in_shape=(12,))


def test_the_line_of_the_forward_is_named():
    class Squashed(Net):
        def forward(self, x):
            return torch.stack([self.lif1(torch.sin(self.fc(x[t])))[0] for t in range(T)])

    with pytest.raises(ConfigError, match="sin in the forward cannot be exported") as error:
        source_of_module(Squashed(None), in_shape=(12,))
    assert re.search(r"line \d+ of test_forwards.py: .*torch\.sin", error.value.why)


def test_functions_of_torch():
    def functional(net, x):
        found, mem = [], net.lif1.reset_mem()
        for t in range(T):
            current = F.linear(F.relu(x[t]), net.fc.weight * 0.5, net.fc.bias)
            spk, mem = net.lif1(F.dropout(current, 0.5, net.training), mem)
            gate = torch.sigmoid(current) * torch.maximum(spk, current.clamp(-1, 1))
            gate = (gate.abs() + 1) / (1 + current * current) - self_mask(current)
            found.append(F.layer_norm(spk + gate, (8,)))
        return torch.stack(found)

    def self_mask(x):
        return x * torch.linspace(0, 1, 8)

    net, x = Net(functional).eval(), frames()
    trace = run(source_of_module(net, in_shape=(12,)).graph, x.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(trace.logits, net(x).numpy(), atol=1e-5)


def test_norms_of_each_step_of_an_image():
    """The image is the same at every step; what is made of it is not."""

    def of_image(net, x):
        mem, found, current = net.lif1.reset_mem(), [], net.fc(x)
        for t in range(T):
            spk, mem = net.lif1(torch.relu(net.norms[t](current)), mem)
            found.append(net.out(spk))
        return torch.stack(found)

    net, x = Net(of_image).eval(), frames()[0]
    source = source_of_module(net, in_shape=(12,))
    (scale,) = [n for n in source.graph.nodes if isinstance(n, ChannelScale)]
    assert source.graph.static and scale.factor.shape == (T, 8)
    trace = run(source.graph, np.repeat(x[None].numpy(), T, 0))
    with torch.no_grad():
        np.testing.assert_allclose(trace.logits, net(x).numpy(), atol=1e-5)
    assert 0.05 < trace.values["lif1"].mean() < 0.95


def test_hidden_spikes_are_compared_too():
    """The answer says nothing here: all weights behind the hidden neurons are 0."""
    net = Net(FORWARDS["fed_back"][0]).eval()
    nn.init.zeros_(net.out.weight)
    source = source_of_module(net, in_shape=(12,))
    code = frames()
    spikes = source.eager(code).spikes
    trace = run(source.graph, code.numpy())
    assert set(spikes) == {"lif1", "lif2"} and 0.05 < spikes["lif1"].mean() < 0.95
    np.testing.assert_array_equal(spikes["lif1"].numpy(), trace.values["lif1"])
    (node,) = [n for n in source.graph.neurons if n.name == "lif1"]
    wrong = source.graph.with_nodes({"lif1": replace(node, recurrent=node.recurrent[::-1].copy())})
    other = run(wrong, code.numpy())
    np.testing.assert_array_equal(other.logits, trace.logits)
    network = EagerNetwork(wrong, source.with_graph(wrong))
    network.add(np.swapaxes(code.numpy(), 0, 1), code.numpy(), other)
    assert network.parity.first_mismatch.layer == "lif1"
