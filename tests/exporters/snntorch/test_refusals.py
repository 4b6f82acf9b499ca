"""Networks that the importer refuses, with what, why and what to do."""

import re

import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import utils
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.snntorch.module import source_of_module
from tests.support.snn_modules import Explicit, Looped, leaky


def sequence(*layers, last=None):
    return nn.Sequential(*layers, nn.Linear(8, 3), last or leaky())


def forward(function, **parts):
    """A module with a given forward."""

    class Made(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = nn.Linear(8, 3), leaky()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x):
            return function(self, x)

    return Made()


def changed_later():
    net = sequence()
    net[-1].reset_mechanism = "zero"
    return net


def looped_badly(net, x):
    spikes, mem = [], net.out.reset_mem()
    for step in range(3):
        spk, new = net.out(net.fc(x), mem)
        mem = new if step else mem
        spikes.append(spk)
    return torch.stack(spikes)


def reset_each_time(net, x):
    utils.reset(net)
    return net.lif(net.fc(x))


def reset_in_each_step(net, x):
    spikes = []
    for _ in range(3):
        utils.reset(net)
        spikes.append(net.lif(net.fc(x)))
    return torch.stack(spikes)


def branching(net, x):
    return net.lif(net.fc(x if x.sum() > 0 else -x))


def recurrent(net, x):
    first = net.lif(net.fc(x))
    return torch.stack([first, net.lif(net.fc(x) + first)])


def from_the_last_layer(net, x):
    """Spikes of the second neuron go to the first one, a step later."""
    mem1, mem2, spk2, spikes = net.a.reset_mem(), net.b.reset_mem(), torch.zeros(1, 3), []
    for _ in range(3):
        spk1, mem1 = net.a(net.fc(x) + spk2, mem1)
        spk2, mem2 = net.b(net.back(spk1), mem2)
        spikes.append(spk2)
    return torch.stack(spikes)


def every_second_step(net, x):
    return torch.stack([net.lif(net.fc(x[t])) for t in (0, 2)])


REFUSED = {
    "no neuron": (nn.Sequential(nn.Linear(8, 3)), "has no neuron of snnTorch"),
    "a neuron alone": (leaky(), "a neuron, not a network"),
    "inhibition": (sequence(last=leaky(inhibition=True)), "inhibition"),
    "quantised": (sequence(last=leaky(state_quant=lambda x: x)), "state_quant"),
    "no spikes": (sequence(last=leaky(spike_grad=torch.sigmoid)), "spike_grad"),
    "changed later": (changed_later(), "later changed to 'zero'"),
    "below zero": (sequence(last=leaky(threshold=-1.0)), "its threshold is -1"),
    "beta of others": (sequence(last=leaky(beta=torch.rand(5))), "match the size of tensor b (3)"),
    "a branch": (forward(branching), "cannot be traced"),
    "a pair": (sequence(last=nn.Sequential(snn.Leaky(0.9), nn.Linear(3, 3))), "spikes and memb"),
    "a sample": (forward(lambda m, x: m.lif(m.fc(x))[:1]), "selects samples of the batch"),
    "random": (
        forward(lambda m, x: m.lif(m.fc(F.dropout(x)))),
        "it is random in evaluation mode too, with training=True",
    ),
    "a loop through two neurons": (
        forward(from_the_last_layer, a=snn.Leaky(0.9), b=snn.Leaky(0.9), back=nn.Linear(3, 3)),
        "a loop over the steps: add",
    ),
    "every second step": (forward(every_second_step), "does not repeat the first one"),
    "two outputs of different forms": (
        forward(
            lambda m, x: (m.two(m.lif(m.fc(x))), m.image(x.view(-1, 1, 2, 4))),
            two=nn.Linear(3, 2),
            image=nn.Conv2d(1, 1, 1),
        ),
        "several outputs of different forms",
    ),
    "feedback": (forward(recurrent), "does not repeat the first one"),
    "another state": (
        forward(looped_badly, out=snn.Leaky(0.9)),
        "is not the membrane",
    ),
    "anew": (forward(reset_each_time), "starts from rest in each call"),
    "anew in each step": (
        # By noise alone it would pass: nothing fires with this threshold.
        forward(reset_in_each_step, lif=leaky(threshold=50.0)),
        "resets a Leaky after it has been called",
    ),
    "statistics": (
        sequence(nn.BatchNorm1d(8, track_running_stats=False)),
        "no running statistics",
    ),
    "double": (sequence().double(), "float64"),
    "another shape": (sequence(nn.Linear(9, 8)), "cannot be multiplied (5x8 and 9x8)"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_networks_that_are_refused(case):
    net, text = REFUSED[case]
    with pytest.raises(ConfigError, match=re.escape(text)):
        source_of_module(net, in_shape=(8,), steps=3)


def test_a_refusal_has_a_remedy():
    with pytest.raises(ConfigError) as caught:
        source_of_module(sequence(last=leaky(inhibition=True)), in_shape=(8,), steps=3)
    assert caught.value.what == "layer '1' (Leaky) cannot be exported"
    assert caught.value.remedy == "use snn.Leaky without it"


def test_an_output_of_too_many_values():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), leaky())
    with pytest.raises(ConfigError, match=r"output of the network has the shape \[2, 50, 50\]"):
        source_of_module(net, in_shape=(1, 50, 50), steps=2)


def test_other_steps_than_those_of_a_loop_are_refused():
    with pytest.raises(ConfigError, match="makes 6 steps by itself, not 4"):
        source_of_module(Looped(), in_shape=(8,), steps=4)
    with pytest.raises(ConfigError, match="number of time steps is missing"):
        source_of_module(Explicit(), in_shape=(8,))
