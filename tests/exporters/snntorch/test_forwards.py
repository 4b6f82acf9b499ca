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
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import Samples, export_nir, export_onnx
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import ChannelScale, Concat, Filter, Neuron, Shift
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.tracing import varying
from asnn.exporters.verification.runtimes import EagerNetwork
from tests.support.forwards import FORWARDS, Net, T, frames, in_layout, one_step, two_layers


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
