"""Networks by hand that make one step in a call: which of their values are states."""

import numpy as np
import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.graph.interpreter import run
from asnn.exporters.snntorch.module import source_of_module

T = 4


class Net(nn.Module):
    """A layer of neurons by hand."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(6, 5)

    def step(self, x, mem):
        mem = 0.9 * (torch.zeros(x.size(0), 5) if mem is None else mem) + self.fc(x)
        spk = (mem > 0.3).float()
        return spk, mem - 0.3 * spk


class SpikesFirst(Net):
    def forward(self, x, mem=None):
        spk, mem = self.step(x, mem)
        return spk, mem


class StateFirst(Net):
    def forward(self, x, mem=None):
        spk, mem = self.step(x, mem)
        return mem, spk


class Required(Net):
    def forward(self, x, mem):
        spk, mem = self.step(x, mem)
        return mem, spk


class AnotherArgument(Net):
    def forward(self, x, mem=None, mask=None):
        spk, mem = self.step(x if mask is None else x * mask, mem)
        return spk, mem


class InDict(Net):
    def forward(self, x, mem=None):
        spk, mem = self.step(x, mem)
        return {"mem": mem, "out": spk}


class OwnDict(Net):
    def forward(self, x, mem=None, mask=None):
        spk, mem = self.step(x, mem)
        return spk, {"mem": mem}


class NoNames(Net):
    def forward(self, x, mem=None):
        return self.step(x, mem)


class Attribute(Net):
    def forward(self, x):
        if not hasattr(self, "mem"):
            self.mem = torch.zeros(x.size(0), 5)
        spk, self.mem = self.step(x, self.mem)
        return spk


class FrameBefore(Net):
    mem = before = None

    def forward(self, x):
        before = torch.zeros_like(x) if self.before is None else self.before
        spk, self.mem = self.step(x - before, self.mem)
        self.before = x
        return spk


KINDS = [SpikesFirst, StateFirst, Required, AnotherArgument, InDict, OwnDict, NoNames, Attribute]


def frames(steps=T, number=20):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(steps, number, 6, generator=generator) * 3 - 1


def spikes_of(x, kind=None):
    net, mem, found, before = Net().eval(), None, [], torch.zeros_like(x[0])
    for frame in x:
        spk, mem = net.step(frame - before if kind is FrameBefore else frame, mem)
        found.append(spk)
        before = frame
    return torch.stack(found).detach().numpy()


@pytest.mark.parametrize("kind", [*KINDS, FrameBefore])
def test_states_are_found_by_name(kind):
    notes, x = [], frames()
    net = kind().eval()
    source = source_of_module(net, in_shape=(6,), steps=T, frames=True, notify=notes.append)
    np.testing.assert_array_equal(run(source.graph, x.numpy()).logits, spikes_of(x, kind))
    by_position = any("are its states: mem" in note for note in notes)
    assert by_position is (kind is NoNames)
    assert not hasattr(net, "mem") or net.mem is None


def test_one_step_of_frames():
    source = source_of_module(SpikesFirst().eval(), in_shape=(6,), steps=1, frames=True)
    x = frames(1)
    np.testing.assert_array_equal(run(source.graph, x.numpy()).logits, spikes_of(x))


class Lost(Net):
    def forward(self, x, mem=None):
        return self.step(x, mem)[1]


class OtherKeys(Net):
    def forward(self, x, mem=None):
        spk, mem = self.step(x, mem)
        return {"out": spk, "v": mem}


@pytest.mark.parametrize("kind", [Lost, OtherKeys])
def test_states_that_are_not_told_apart_are_refused(kind):
    with pytest.raises(ConfigError, match="takes mem and does not return it"):
        source_of_module(kind().eval(), in_shape=(6,), steps=T, frames=True)


def test_a_state_that_a_call_has_left_is_refused():
    net = Attribute().eval()
    net(torch.ones(1, 6))
    with pytest.raises(ConfigError, match="the state 'mem' is not 0 before the first step"):
        source_of_module(net, in_shape=(6,), steps=T, frames=True)


def in_place(net, x):
    return torch.stack([(net.fc(x_t) > 0).float() for x_t in x.clamp_(0, 1)])


def before_the_input(net, x):
    mem, found = torch.zeros(x.size(1), 5), []
    for x_t in x:
        spk = (mem > 0.3).float()
        mem = 0.9 * mem * (1 - spk) + net.fc(x_t)
        found.append(spk)
    return torch.stack(found)


class Looped(Net):
    def __init__(self, of):
        super().__init__()
        self.of = of

    def forward(self, x):
        return self.of(self, x)


@pytest.mark.parametrize(
    ("of", "text"),
    [(in_place, "changes its input"), (before_the_input, "do not depend on the input")],
)
def test_loops_that_are_refused(of, text):
    with pytest.raises(ConfigError, match=text):
        source_of_module(Looped(of).eval(), in_shape=(6,), steps=T)


def either(net, x):
    m = n = torch.zeros(x.size(1), 5)
    found = []
    for x_t in x:
        m, n = 0.9 * m + net.fc(x_t), 0.8 * n - net.fc(x_t)
        a, b = m > 0.2, n > -0.1
        m, n = m - 0.2 * a, n * ~b
        found.append((a + b).float())
    return torch.stack(found)


def test_a_sum_of_booleans_is_one_where_either_holds():
    net, x = Looped(either).eval(), frames()
    source = source_of_module(net, in_shape=(6,), steps=T)
    with torch.no_grad():
        np.testing.assert_array_equal(run(source.graph, x.numpy()).logits, net(x).numpy())
