"""Loops over the steps, against the forward itself: what is fed back, and what is not the same."""

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Dynamics, Neuron
from asnn.exporters.snntorch.module import source_of_module

pytestmark = pytest.mark.slow
T = 6


class Net(nn.Module):
    """12 features or images [2, 4, 4], 8 or [4, 4, 4] neurons, 3 classes."""

    def __init__(self, forward):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.rec, self.out = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.joined = nn.Linear(21, 8)
        self.conv, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(64, 3)
        self.dilated = nn.Conv2d(4, 4, (3, 1), padding=(2, 0), dilation=(2, 1))
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.lif = snn.Leaky(beta=0.9, threshold=0.3)
        self.bias, self.by_class = nn.Parameter(torch.rand(8)), nn.Parameter(torch.rand(3) + 0.5)
        self.by_row = nn.Parameter(torch.rand(4, 1) + 0.5)
        self.by_channel = nn.Parameter(torch.rand(4, 1, 1) - 0.5)
        self.register_buffer("count", torch.zeros(1))
        self.of = forward

    def forward(self, x):
        return self.of(self, x)


def compared(forward, in_shape):
    """Return the graph of a forward, after a comparison on frames that change over time."""
    net = Net(forward).eval()
    source = source_of_module(net, in_shape=in_shape)
    frames = torch.rand(T, 40, *in_shape, generator=torch.Generator().manual_seed(3)) * 2
    trace = run(source.graph, frames.numpy())
    answer = source.graph.answer.of(trace.logits)
    with torch.no_grad():
        wanted = net(frames)
    wanted = wanted.mean(0) if wanted.ndim == 3 else wanted
    np.testing.assert_allclose(answer, wanted.numpy(), atol=1e-5)
    fired = [trace.values[node.name].mean() for node in source.graph.neurons]
    assert all(0.02 < rate < 0.98 for rate in fired)
    return source.graph


def fed_back(current, size=(8,)):
    """Return a forward whose neurons read `current(net, x_t, spk)`."""

    def forward(net, x):
        mem, spk, found = net.lif.reset_mem(), torch.zeros(x.shape[1], *size), []
        for t in range(T):
            spk, mem = net.lif(current(net, x[t], spk), mem)
            found.append(net.out(spk) if size == (8,) else net.head(spk.flatten(1)))
        return torch.stack(found)

    return forward


@pytest.mark.parametrize(
    "current",
    [
        lambda net, x, spk: net.fc(x) + net.rec(spk) + net.bias,
        lambda net, x, spk: net.fc(x) + net.rec(spk) - net.bias,
        lambda net, x, spk: net.fc(x) - (net.bias - net.rec(spk)),
        lambda net, x, spk: net.bias * spk + 0.5 * net.fc(x) - spk,
    ],
)
def test_spikes_beside_constants(current):
    graph = compared(fed_back(current), (12,))
    assert [node.recurrent is not None for node in graph.neurons] == [True]


@pytest.mark.parametrize(
    "current",
    [
        lambda net, x, spk: net.conv(x) + net.dilated(spk),
        lambda net, x, spk: net.conv(x) + net.grouped(spk),
        lambda net, x, spk: net.conv(x) - 0.5 * spk,
        lambda net, x, spk: net.conv(x) + net.by_channel * spk,
    ],
)
def test_spikes_of_images(current):
    graph = compared(fed_back(current, (4, 4, 4)), (2, 4, 4))
    (neuron,) = (node for node in graph.nodes if isinstance(node, Neuron))
    assert neuron.recurrent.shape[:2] == (4, 4)


def test_other_recurrent_weights_are_found_on_noise(monkeypatch):
    """Also where the answer are spikes, of which few differ."""

    def forward(net, x):
        mem, last, found = net.lif.reset_mem(), net.last.reset_mem(), []
        spk = torch.zeros(x.shape[1], 4, 4, 4)
        for t in range(T):
            spk, mem = net.lif(net.conv(x[t]) + net.dilated(spk), mem)
            answer, last = net.last(net.head(spk.flatten(1)), last)
            found.append(answer)
        return torch.stack(found)

    net = Net(forward)
    net.last = snn.Leaky(beta=0.8, threshold=0.1)
    source_of_module(net, in_shape=(2, 4, 4))
    wrong = "asnn.exporters.tracing.operators._of_own_spikes"
    monkeypatch.setattr(wrong, lambda weight, bias, **_: (weight, bias))
    with pytest.raises(VerificationError, match="differ"):
        source_of_module(net, in_shape=(2, 4, 4))


@pytest.mark.parametrize(
    "current",
    [
        lambda net, x, spk: net.fc(x) * spk,
        lambda net, x, spk: net.fc(x) + net.bias * net.fc(x) * spk,
    ],
)
def test_spikes_that_gate_are_refused(current):
    with pytest.raises(ConfigError, match="feeds values back") as error:
        source_of_module(Net(fed_back(current)), in_shape=(12,))
    assert "through one linear layer" in error.value.remedy


def test_a_constant_joined_with_spikes_is_refused():
    def current(net, x, spk):
        return net.joined(torch.cat([x, spk, torch.ones(len(x), 1)], 1))

    with pytest.raises(ConfigError, match="'cat'.* cannot be exported") as error:
        source_of_module(Net(fed_back(current)), in_shape=(12,))
    assert error.value.why == "it joins a constant"


def outputs(net, x):
    mem, found = net.lif.reset_mem(), []
    for t in range(T):
        spk, mem = net.lif(net.fc(x[t]), mem)
        found.append(net.out(spk))
    return found


def test_a_sum_that_begins_later():
    def forward(net, x):
        total = 0
        for t, value in enumerate(outputs(net, x)):
            total = total + value if t > 1 else total
        return total

    compared(forward, (12,))


def test_a_zero_that_stays_is_not_the_step_before():
    def forward(net, x):
        zero, spk, mem, found = torch.zeros(x.shape[1], 8), torch.zeros(x.shape[1], 8), None, []
        mem = net.lif.reset_mem()
        for t in range(T):
            current = net.fc(x[t])
            found.append(net.out(current + zero))
            spk, mem = net.lif(current + spk, mem)
        return torch.stack(found) + 0 * net.out(spk)

    with pytest.raises(ConfigError):
        source_of_module(Net(forward), in_shape=(12,))


def test_an_answer_is_divided_by_a_number_for_each_class():
    compared(lambda net, x: torch.stack(outputs(net, x)).mean(0) / net.by_class, (12,))


def test_steps_are_collected_in_an_empty_tensor():
    def forward(net, x):
        found = torch.empty(T, x.shape[1], 3)
        for t, value in enumerate(outputs(net, x)):
            found[t] = value
        return found

    compared(forward, (12,))


def test_a_constant_beside_axes_in_another_order():
    def current(net, x, spk):
        return (net.conv(x).permute(0, 3, 2, 1) * net.by_row).permute(0, 3, 2, 1)

    compared(fed_back(current, (4, 4, 4)), (2, 4, 4))


def test_poles_along_a_row_are_not_those_of_channels():
    def forward(net, x):
        mem, y, found = net.lif.reset_mem(), torch.zeros(x.shape[1], 4, 4, 4), []
        for t in range(T):
            y = net.by_row * y + net.conv(x[t])
            spk, mem = net.lif(y, mem)
            found.append(net.head(spk.flatten(1)))
        return torch.stack(found)

    graph = compared(forward, (2, 4, 4))
    assert any(isinstance(node, Dynamics) for node in graph.nodes)


def test_a_buffer_that_the_forward_changes_is_refused():
    def forward(net, x):
        net.count += 1
        return torch.stack(outputs(net, x))

    with pytest.raises(ConfigError, match="changes 'count'") as error:
        source_of_module(Net(forward), in_shape=(12,))
    assert error.value.remedy == "change it in training only: if self.training"


def test_a_sum_in_whole_numbers_is_refused():
    def forward(net, x):
        return torch.stack(outputs(net, x)).sum(0, dtype=torch.int32)

    with pytest.raises(ConfigError, match="sum in the forward cannot be exported") as error:
        source_of_module(Net(forward), in_shape=(12,))
    assert "torch.int32" in error.value.why


def test_a_first_membrane_that_depends_on_the_input_is_refused():
    def forward(net, x):
        first, found = torch.stack([net.fc(x[t]) for t in range(T)]).mean(0), []
        mem = first
        for t in range(T):
            spk, mem = net.lif(net.fc(x[t]), mem)
            found.append(net.out(spk))
        return torch.stack(found)

    with pytest.raises(ConfigError, match="'lif'.* cannot be exported") as error:
        source_of_module(Net(forward), in_shape=(12,))
    assert error.value.why == "its membrane argument is not the membrane that it returned last"
