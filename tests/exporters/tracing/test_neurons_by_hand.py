"""Neurons that users write in their forward, against the forward itself on input that changes."""

import numpy as np
import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Cell, Dynamics, Neuron
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.source import Samples
from asnn.exporters.tracing.by_hand import equations

pytestmark = pytest.mark.slow
T, N = 6, 40


class Spike(torch.autograd.Function):
    """A step with the derivative of a fast sigmoid."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad / (1 + 10 * x.abs()) ** 2


class Net(nn.Module):
    """12 features, 8 neurons, 3 classes; `step(net, current, state) -> (spikes, state)`."""

    def __init__(self, step, state):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.rec, self.out = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.beta = nn.Parameter(torch.rand(8) * 0.3 + 0.6)
        self.threshold = nn.Parameter(torch.rand(8) * 0.2 + 0.2)
        self.step, self.state = step, state

    def forward(self, x):
        state, found = self.state, []
        if state == ():
            state = torch.zeros(x.shape[1], 8)
        for t in range(len(x)):
            spk, state = self.step(self, self.fc(x[t]), state)
            found.append(self.out(spk))
        return torch.stack(found)


def soft(net, x, v):
    v = net.beta * v + x
    spk = (v > net.threshold).float()
    return spk, v - spk * net.threshold


def by_function(net, x, v):
    v = 0.9 * v + x
    spk = Spike.apply(v - 0.3)
    return spk, torch.where(spk.bool(), torch.zeros_like(v), v)


def at_threshold(net, x, v):
    v = v + (x - v) / 3.0
    spk = (v >= 0.1).to(x.dtype)
    return spk, v * (1 - spk)


def of_the_step_before(net, x, state):
    v, spk = state
    v = 0.9 * v * (1 - spk) + x
    spk = (v > 0.3).float()
    return spk, (v, spk)


def delayed(net, x, state):
    v, spk = state
    v = net.beta * v + x - 0.3 * spk
    return (spk := torch.heaviside(v - 0.3, torch.tensor(0.0))), (v, spk)


def current(net, x, state):
    i, v = state
    i = 0.7 * i + x
    v = 0.9 * v + i
    spk = (v > 0.5).float()
    return spk, (i, v.masked_fill(spk > 0, 0.0))


def two_currents(net, x, state):
    """Both begin alike, with the same input."""
    a, b, v = state
    a, b = 0.8 * a + x, 0.5 * b + x
    v = 0.9 * v + a - b
    spk = (v > 0.1).float()
    return spk, (a, b, v - 0.1 * spk)


def adaptive(net, x, state):
    v, b = state
    v, threshold = 0.9 * v + x, 0.2 + 0.5 * b
    spk = (v - threshold > 0).float()
    return spk, (v - spk * threshold, 0.8 * b + spk)


def from_another_value(net, x, state):
    """The threshold and the membrane begin at values of their own."""
    v, threshold = state
    v = v + (x - (v + 0.2)) / 2
    spk = (v > threshold).float()
    return spk, (torch.where(spk > 0, -0.2, v), threshold + 0.1 * (0.2 - threshold) + spk * 0.3)


def refractory(net, x, state):
    v, wait = state
    free = wait <= 0
    v = torch.where(free, 0.9 * v + x, v)
    spk = ((v > 0.2) & free).float()
    return spk, (v * ~spk.bool(), torch.where(spk == 1, 2.0, (wait - 1).clamp(min=0)))


def with_a_delay(net, x, state):
    v, once, twice = state
    v = 0.9 * v + x - 0.3 * twice
    spk = (v > 0.2).float()
    return spk, (v, spk, once)


def recurrent(net, x, state):
    v, spk = state
    v = 0.9 * v * (1 - spk) + x + net.rec(spk)
    spk = (v > 0.3).float()
    return spk, (v, spk)


def recurrent_and_soft(net, x, state):
    v, spk = state
    v = net.beta * v + x + net.rec(spk)
    return (spk := (v > 0.3).float()), (v - 0.3 * spk, spk)


def recurrent_and_delayed(net, x, state):
    v, spk = state
    v = net.beta * v + x + net.rec(spk) - 0.3 * spk
    return (spk := (v > 0.3).float()), (v, spk)


def zeros(number):
    return (torch.zeros(1, 8),) * number


ADAPTING = (-0.2 * torch.ones(1, 8), 0.2 * torch.ones(1, 8))
# The step, its states at first, and whether it is leaky integrate-and-fire, bit by bit.
NEURONS = {
    "soft": (soft, (), True),
    "a number at first": (soft, 0.0, True),
    "an autograd function": (by_function, (), True),
    "at the threshold": (at_threshold, (), False),
    "of the step before": (of_the_step_before, (0.0, 0.0), True),
    "delayed": (delayed, zeros(2), False),
    "current": (current, zeros(2), True),
    "two currents": (two_currents, zeros(3), False),
    "adaptive": (adaptive, zeros(2), False),
    "from another value": (from_another_value, ADAPTING, False),
    "refractory": (refractory, zeros(2), False),
    "with a delay": (with_a_delay, zeros(3), False),
    "recurrent": (recurrent, zeros(2), True),
    "recurrent and delayed": (recurrent_and_delayed, zeros(2), False),
}


def frames(shape=(12,)):
    return 2 * torch.rand(T, N, *shape, generator=torch.Generator().manual_seed(3))


def compared(source, wanted, x):
    """Return the nodes of a graph, after a comparison with what a network answers."""
    trace = run(source.graph, x.numpy())
    np.testing.assert_allclose(trace.logits, wanted.detach().numpy(), atol=1e-5)
    assert all(0.02 < trace.values[node.name].mean() < 0.98 for node in source.graph.neurons)
    return source.graph.neurons


@pytest.mark.parametrize("name", NEURONS)
def test_it_is_one_node_that_fires_like_the_forward(name):
    step, state, known = NEURONS[name]
    net = Net(step, state).eval()
    source = source_of_module(net, in_shape=(12,), steps=T)
    (node,) = compared(source, net(frames()), frames())
    assert type(node) is (Neuron if known else Cell)


@pytest.mark.parametrize("name", ["from another value", "recurrent and delayed"])
def test_all_forms_of_onnx_have_its_spikes(name, tmp_path):
    step, state, _ = NEURONS[name]
    source = source_of_module(Net(step, state), in_shape=(12,), steps=T)
    samples = Samples(frames().transpose(0, 1).numpy(), None, "noise")
    for form in ("sequence", "scan", "stream"):
        report = export_onnx(source, tmp_path / form, samples=samples, form=form).report
        assert report.verified and not report.quiet
        for parity in report.parities:
            assert not any(counts.any() for counts in parity.spike_mismatches.values())
            assert parity.explained == 0


def test_leaky_integrate_and_fire_goes_to_nir_and_others_are_refused(tmp_path):
    samples = Samples(frames().transpose(0, 1).numpy(), None, "noise")
    source = source_of_module(Net(recurrent_and_soft, zeros(2)), in_shape=(12,), steps=T)
    report = export_nir(source, tmp_path / "a.nir", samples=samples).report
    assert report.verified and all(parity.explained == 0 for parity in report.parities)
    source = source_of_module(Net(adaptive, zeros(2)), in_shape=(12,), steps=T)
    with pytest.raises(ConfigError, match="a neuron with equations of its own"):
        export_nir(source, tmp_path / "b.nir", samples=samples)


@pytest.mark.parametrize("field", ["leak", "threshold", "size"])
def test_negative_control_another_neuron_is_found(field, monkeypatch):
    genuine = equations.known_neuron

    def changed(cell):
        neuron = genuine(cell)
        values = {**vars(neuron), field: getattr(neuron, field) * np.float32(0.95)}
        return Neuron(**values)

    monkeypatch.setattr(equations, "known_neuron", changed)
    with pytest.raises(VerificationError, match="spikes differ in a sample"):
        source_of_module(Net(soft, ()), in_shape=(12,), steps=T)


class Lif(nn.Module):
    """A layer that keeps its membrane in itself, as `attribute`, a buffer or an argument."""

    def __init__(self, kind, threshold=0.3):
        super().__init__()
        self.kind, self.threshold = kind, threshold
        self.beta = nn.Parameter(torch.tensor(0.9))
        if kind == "buffer":
            self.register_buffer("mem", torch.zeros(1))
        elif kind == "attribute":
            self.mem = None

    def forward(self, x, mem=None):
        if self.kind != "argument":
            mem = torch.zeros_like(x) if self.mem is None else self.mem
        mem = self.beta * mem + x
        spk = (mem > self.threshold).float()
        mem = mem - self.threshold * spk
        if self.kind == "argument":
            return spk, mem
        self.mem = mem
        return spk


class OneStep(nn.Module):
    """A network that makes one step in a call."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif, self.out = nn.Linear(12, 8), Lif(kind), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.lif(self.fc(x)))


class WithArgument(OneStep):
    def __init__(self):
        super().__init__("argument")

    def forward(self, x, mem):
        spk, mem = self.lif(self.fc(x), mem)
        return self.out(spk), mem


class WithTwo(WithArgument):
    """Two states, returned in another order than they are taken."""

    def forward(self, x, mem=None, spk=None):
        if mem is None:
            mem = spk = torch.zeros(len(x), 8)
        mem = 0.9 * mem * (1 - spk) + self.fc(x)
        spk = (mem > 0.3).float()
        return self.out(spk), spk, mem


STEPPED = {
    "attribute": lambda: OneStep("attribute"),
    "buffer": lambda: OneStep("buffer"),
    "argument": WithArgument,
    "two arguments": WithTwo,
}


@pytest.mark.parametrize("of_frames", [True, False])
@pytest.mark.parametrize("kind", STEPPED)
def test_networks_of_one_step_keep_their_states(kind, of_frames):
    net = STEPPED[kind]().eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    source = source_of_module(net, in_shape=(12,), steps=T, frames=of_frames)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert source.graph.static is not of_frames
    x = frames() if of_frames else frames()[:1].repeat(T, 1, 1)
    states, wanted = [torch.zeros(N, 8)] if kind == "argument" else [], []
    for x_t in x:
        returned = net(x_t, *states)
        output, *states = returned if isinstance(returned, tuple) else (returned,)
        states = states[::-1]
        wanted.append(output)
    (node,) = compared(source, torch.stack(wanted), x)
    assert node.name == ("neuron" if kind == "two arguments" else "lif")


class Image(nn.Module):
    """A loop over one image: two neurons, the first of a threshold for each channel."""

    def __init__(self, count=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 36, 3)
        self.threshold = nn.Parameter(torch.rand(4, 1, 1) + 0.2)
        self.count = count

    def forward(self, x):
        mem1, mem2, total, found = 0.0, torch.zeros(x.shape[0], 3), 0, []
        for _ in range(T):
            mem1 = 0.9 * mem1 + self.conv(x)
            spk1 = Spike.apply(mem1 - self.threshold)
            mem1 = mem1 * (1 - spk1)
            mem2 = 0.8 * mem2 + self.fc(spk1.flatten(1))
            spk2 = (mem2 > 0.1).float()
            mem2 = mem2 - 0.1 * spk2
            total = total + spk2
            found.append(spk2)
        return total if self.count else torch.stack(found)


@pytest.mark.parametrize("count", [True, False])
def test_a_loop_over_one_image_has_steps(count):
    net = Image(count).eval()
    source = source_of_module(net, in_shape=(1, 8, 8))
    assert source.graph.static and source.graph.steps == T
    x = frames((1, 8, 8))[:1].repeat(T, 1, 1, 1, 1)
    trace = run(source.graph, x.numpy())
    answer, wanted = source.graph.answer.of(trace.logits), net(x[0])
    np.testing.assert_allclose(answer, wanted if count else wanted.mean(0), atol=1e-5)
    rates = [trace.values[node.name].mean() for node in source.graph.neurons]
    assert len(rates) == 2 and all(0.02 < rate < 0.98 for rate in rates)


def of_spikingjelly():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    lif, parametric = neuron.LIFNode(v_threshold=0.1), neuron.ParametricLIFNode(v_threshold=0.1)
    return nn.Sequential(nn.Linear(12, 8), lif, nn.Linear(8, 3), parametric)


def of_norse():
    norse = pytest.importorskip("norse.torch")

    class OfNorse(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif, self.out = nn.Linear(12, 8), norse.LIFCell(), nn.Linear(8, 3)

        def forward(self, x, state=None):
            spk, state = self.lif(50 * self.fc(x), state)
            return self.out(spk), state

    return OfNorse()


@pytest.mark.parametrize("make", [of_spikingjelly, of_norse])
def test_single_steps_of_simulators_are_neurons_by_hand(make):
    torch.manual_seed(0)
    net = make().eval()
    source = source_of_module(net, in_shape=(12,), steps=T, frames=True)
    wanted, states = [], ()
    for x_t in frames():
        returned = net(x_t, *states)
        output, *states = returned if isinstance(returned, tuple) else (returned,)
        wanted.append(output)
    trace = run(source.graph, frames().numpy())
    np.testing.assert_allclose(trace.logits, torch.stack(wanted).detach().numpy(), atol=1e-5)
    assert 0.02 < trace.values[source.graph.neurons[0].name].mean() < 0.98


def looped(forward, **parts):
    net = Net(None, ())
    for name, part in parts.items():
        setattr(net, name, part)
    net.__class__ = type("Made", (Net,), {"forward": forward})
    return net


def test_a_membrane_is_the_output_beside_its_spikes():
    def forward(net, x):
        mem, found = torch.zeros(x.shape[1], 8), []
        for x_t in x:
            spk, mem = soft(net, net.fc(x_t), mem)
            found.append(net.out(spk + 0.1 * mem))
        return torch.stack(found)

    net = looped(forward).eval()
    source = source_of_module(net, in_shape=(12,), steps=T)
    compared(source, net(frames()), frames())
    assert [type(node) for node in source.graph.nodes if isinstance(node, Neuron | Dynamics)] == [
        Neuron,
        Dynamics,
    ]


def of_each_other(net, x):
    a, b, spk_a, spk_b, found = *zeros(4), []
    for x_t in x:
        a = 0.9 * a + net.fc(x_t) + net.rec(spk_b)
        b = 0.8 * b + net.back(spk_a)
        spk_a, spk_b = (a > 0.3).float(), (b > 0.3).float()
        found.append(net.out(spk_a))
    return torch.stack(found)


def one_population(net, x):
    """The edit of the refusal: both neurons as one, with the weights of both in one layer."""
    v, spk, found = torch.zeros(1, 16), torch.zeros(1, 16), []
    for x_t in x:
        y = net.fc(x_t)
        v = 0.9 * v + torch.cat([y, 0 * y], 1) + net.all(spk)
        spk = (v > 0.3).float()
        found.append(net.out(spk[:, :8]))
    return torch.stack(found)


def test_neurons_that_feed_each_other_are_refused_with_an_edit_that_works():
    with pytest.raises(ConfigError) as refused:
        source_of_module(looped(of_each_other, back=nn.Linear(8, 8)), in_shape=(12,), steps=T)
    assert "torch.cat([a, b], 1)" in refused.value.remedy
    net = looped(one_population, all=nn.Linear(16, 16)).eval()
    compared(source_of_module(net, in_shape=(12,), steps=T), net(frames()), frames())


def test_the_number_of_steps_is_asked_for():
    with pytest.raises(ConfigError, match="the number of time steps is missing"):
        source_of_module(Net(soft, ()), in_shape=(12,))
    with pytest.raises(ConfigError, match="the number of time steps is missing"):
        source_of_module(OneStep("attribute"), in_shape=(12,))


def test_states_that_are_not_returned_are_refused():
    class Lost(WithArgument):
        def forward(self, x, mem):
            return super().forward(x, mem)[0]

    with pytest.raises(ConfigError) as refused:
        source_of_module(Lost(), in_shape=(12,), steps=T)
    assert refused.value.what == "the forward takes mem and does not return it"


def without_a_state(net, x):
    mem, found = None, []
    for x_t in x:
        mem = net.fc(x_t) if mem is None else 0.9 * mem + net.fc(x_t)
        spk = (mem > 0.3).float()
        mem = mem - 0.3 * spk
        found.append(net.out(spk))
    return torch.stack(found)


def of_other_thresholds(net, x):
    mem, found = torch.zeros(1, 8), []
    for t, x_t in enumerate(x):
        mem = 0.9 * mem + net.fc(x_t)
        spk = (mem > 0.3 + 0.1 * t).float()
        mem = mem - 0.3 * spk
        found.append(net.out(spk))
    return torch.stack(found)


def of_an_argument(net, x, mem):
    found = []
    for x_t in x:
        spk, mem = soft(net, net.fc(x_t), mem)
        found.append(net.out(spk))
    return torch.stack(found), mem


def of_an_argument_or_zeros(net, x, mem=None):
    """The edit of the refusal."""
    return of_an_argument(net, x, torch.zeros(x.shape[1], 8) if mem is None else mem)


REFUSED = {
    "without a state": (without_a_state, "states begin as zeros, mem = torch.zeros_like(x)"),
    "other thresholds": (of_other_thresholds, "use the same numbers in every step"),
    "an argument": (of_an_argument, "give the argument the value None, and begin with zeros"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_loops_are_refused_with_an_edit(case):
    forward, remedy = REFUSED[case]
    with pytest.raises(ConfigError) as refused:
        source_of_module(looped(forward), in_shape=(12,), steps=T)
    assert remedy in refused.value.remedy


def test_an_argument_that_may_be_none_begins_at_zeros():
    net = looped(of_an_argument_or_zeros).eval()
    compared(source_of_module(net, in_shape=(12,), steps=T), net(frames())[0], frames())
