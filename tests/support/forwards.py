"""Forwards as people write them, of a network of two layers of neurons, with their layouts."""

from __future__ import annotations

import snntorch as snn
import torch
from snntorch import utils
from torch import nn

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
