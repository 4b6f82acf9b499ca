"""Forwards as people write them that return several values, print, or have no graph.

Of those without one, the refusal names the layer, argument or step, and the edit.
"""

import re

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import spikegen
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.graph.interpreter import run
from asnn.exporters.snntorch.module import source_of_module

T = 5


class Net(nn.Module):
    """A layer of 12 features and 4 neurons, and what some forwards need beside."""

    def __init__(self, forward):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.again = nn.Linear(12, 4), nn.Linear(4, 4)
        self.norms = nn.ModuleList(nn.BatchNorm1d(4) for _ in range(T))
        self.lif = snn.Leaky(beta=0.9, threshold=0.3)
        self.lstm, self.thresholds = nn.LSTM(12, 4), nn.Parameter(torch.linspace(0.5, 1, T))
        self.of = forward

    def forward(self, x):
        return self.of(self, x)


def steps(net, x, current=lambda net, x_t, t: net.fc(x_t)):
    mem, spikes, mems = net.lif.reset_mem(), [], []
    for t in range(T):
        spk, mem = net.lif(current(net, x[t], t), mem)
        spikes.append(spk)
        mems.append(mem)
    return torch.stack(spikes), torch.stack(mems)


def frames(number=20):
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(T, number, 12, generator=generator) < 0.4).float() * 2


def sum_then_steps(net, x):
    spikes, mems = steps(net, x)
    return {"logits": spikes.sum(0), "spikes": spikes, "membranes": mems}


def steps_then_sum(net, x):
    spikes, _ = steps(net, x)
    return spikes, spikes.sum(0)


@pytest.mark.parametrize("forward, first", [(sum_then_steps, "logits"), (steps_then_sum, 0)])
def test_of_several_forms_of_one_value_the_first_is_the_output(forward, first):
    net, x = Net(forward).eval(), frames()
    source = source_of_module(net, in_shape=(12,))
    with torch.no_grad():
        returned = net(x)
    trace = run(source.graph, x.numpy())
    found = trace.logits if first == 0 else source.graph.answer.of(trace.logits)
    np.testing.assert_array_equal(found, returned[first].numpy())
    assert 0.05 < (trace.logits > 0).mean() < 0.95
    mean = source.graph.answer.of(trace.logits)
    if first == 0:  # the answer of steps is their mean, not the sum behind them
        np.testing.assert_allclose(mean, returned[1].numpy() / T, rtol=1e-6)


def test_what_a_forward_prints_does_not_reach_stdout(capsys):
    def printing(net, x):
        print("of the user")
        return steps(net, x)[0]

    source = source_of_module(Net(printing).eval(), in_shape=(12,))
    capsys.readouterr()
    source.eager(frames())
    captured = capsys.readouterr()
    assert captured.out == "" and "of the user" in captured.err


def function_of_each_step(net, x):
    functions = (torch.relu, torch.tanh)
    return steps(net, x, lambda net, x_t, t: functions[t % 2](net.fc(x_t)))[0]


def called_twice_a_step(net, x):
    mem, spikes = net.lif.reset_mem(), []
    for t in range(T):
        spk, mem = net.lif(net.fc(x[t]), mem)
        spk, mem = net.lif(net.again(spk), mem)
        spikes.append(spk)
    return torch.stack(spikes)


def in_reverse(net, x):
    return steps(net, x.unbind(0)[::-1])[0]


def drawn_from_rates(net, x):
    return steps(net, spikegen.rate(x.clamp(0, 1), num_steps=T))[0]


def in_a_class_of_the_user(net, x):
    return type("Output", (), {"spikes": steps(net, x)[0]})()


def recurrent_layer_of_torch(net, x):
    return steps(net, net.lstm(x)[0], lambda net, x_t, t: x_t)[0]


SAME = "use the same layers and constants in every step"


@pytest.mark.parametrize(
    "forward, why, remedy",
    [
        (function_of_each_step, "call number 2 does not repeat .* reads 'tanh', not 'relu'", SAME),
        (called_twice_a_step, "reads 'again', not 'fc'", "give every neuron its own layer"),
        (in_reverse, "call number 1 .* it reads 'fc' of step 5", "in their order"),
        (drawn_from_rates, "it is random in evaluation mode", "spikes before the"),
        (in_a_class_of_the_user, "no value of a layer", "tuple, list or dict"),
        (recurrent_layer_of_torch, "the graph has no such layer", "lower"),
    ],
)
def test_a_refusal_says_what_differs_and_what_to_do(forward, why, remedy):
    with pytest.raises(ConfigError) as error:
        source_of_module(Net(forward).eval(), in_shape=(12,))
    assert re.search(why, error.value.why) and remedy in error.value.remedy


def test_a_number_of_steps_as_argument_needs_a_value():
    class Asking(Net):
        def forward(self, x, num_steps):
            mem, spikes = self.lif.reset_mem(), []
            for _ in range(num_steps):
                spk, mem = self.lif(self.fc(x), mem)
                spikes.append(spk)
            return torch.stack(spikes)

    with pytest.raises(ConfigError, match="takes 'num_steps' without a value") as error:
        source_of_module(Asking(None).eval(), in_shape=(12,), steps=T)
    assert error.value.remedy == "give it a value in the forward, such as num_steps=25"


def test_a_membrane_that_a_module_keeps_itself():
    class Keeping(Net):
        def forward(self, x):
            spk, self.mem = self.lif(self.fc(x), self.mem)
            return spk

    net = Keeping(None).eval()
    net.mem = net.lif.reset_mem()
    with pytest.raises(ConfigError, match="cannot be exported") as error:
        source_of_module(net, in_shape=(12,), steps=T)
    assert "kept from call to call" in error.value.why and "init_hidden" in error.value.remedy


def test_neurons_that_exports_lack_are_refused_before_the_network_runs():
    class Convolving(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = snn.SConv2dLSTM(1, 2, 3)

        def forward(self, x):
            raise AssertionError("it takes minutes with as many steps as the tracer tries")

    with pytest.raises(ConfigError, match=r"layer 'lif' \(SConv2dLSTM\) cannot be exported"):
        source_of_module(Convolving(), in_shape=(1, 8, 8))


def test_scripts_of_torch_are_refused():
    net = Net(lambda net, x: steps(net, x)[0]).eval()
    net.fc = torch.jit.script(net.fc)
    with pytest.raises(ConfigError, match="layer 'fc' is a script of torch.jit") as error:
        source_of_module(net, in_shape=(12,))
    assert "torch.jit.script was called with" in error.value.remedy
