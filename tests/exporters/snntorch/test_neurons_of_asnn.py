"""Torch modules of the user with neurons of asnn: traced in every form, exported and verified."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import (
    Samples,
    export_nir,
    export_onnx,
    random_samples,
    source_of,
    source_of_module,
)
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Cell, Filter, Neuron, Readout
from asnn.models import AdaptiveLeaky, create_model, spike
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.neurons.integrate import Integrate
from asnn.models.neurons.leaky import FixedLeaky, LeakyState
from asnn.models.neurons.snntorch import Leaky, Synaptic
from asnn.models.readouts.last import LastReadout
from tests.support.asnn_modules import FORMS, AllSteps, Looped, Parts, Step, T, WithSnnTorch
from tests.support.snn_modules import images, samples_of

SHAPE = (1, 8, 8)


def noise(source):
    return random_samples(source.sample_shape, 40)


def expected(x):
    """Spikes of the network, by the neurons of asnn over all steps."""
    with torch.no_grad():
        return AllSteps().eval()(x.expand(T, *x.shape)).numpy()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_graph(form):
    source = source_of_module(FORMS[form](), in_shape=SHAPE)
    assert source.graph.steps == T
    kinds = [type(node).__name__ for node in source.graph.nodes]
    assert kinds == ["Conv", "Neuron", "Pool", "Flatten", "Linear", "Neuron", "Readout"]
    x = images(SHAPE, 20)
    code = source.encode(samples_of(source, x))
    trace = run(source.graph, code)
    assert 0.1 < trace.values["lif1"].mean() < 0.9 and 0.1 < trace.logits.mean() < 0.9
    np.testing.assert_array_equal(trace.logits, expected(x))
    np.testing.assert_array_equal(source.eager(torch.from_numpy(code)).logits.numpy(), expected(x))


@pytest.mark.parametrize("form", FORMS)
def test_the_file_takes_what_the_forward_takes(form):
    source = source_of_module(FORMS[form](), in_shape=SHAPE)
    by_step = form in ("AllSteps", "Views", "OverTime")
    assert source.takes_images is not by_step and source.graph.static is not by_step
    assert source.sample_shape == ((T, *SHAPE) if by_step else SHAPE)


@pytest.mark.slow
def test_steps_that_differ(tmp_path):
    source = source_of_module(AllSteps(), in_shape=SHAPE)
    x = torch.rand(T, 40, *SHAPE, generator=torch.Generator().manual_seed(5))
    wanted = AllSteps().eval()(x).detach().numpy()
    assert not np.array_equal(wanted, AllSteps().eval()(x.flip(0)).detach().numpy())
    np.testing.assert_array_equal(run(source.graph, x.numpy()).logits, wanted)
    samples = Samples(x.transpose(0, 1).contiguous().numpy(), None, "steps")
    done = export_onnx(source, tmp_path, samples=samples)
    assert done.report.verified and not done.report.quiet
    with pytest.raises(ConfigError, match="image"):
        export_onnx(source, tmp_path, samples=samples, input="image")


def test_the_neuron_is_that_of_a_trained_network():
    neuron = AllSteps().lif1
    node = source_of_module(AllSteps(), in_shape=SHAPE).graph.neurons[0]
    fields = neuron.neuron_fields()
    for name in ("leak", "gain", "threshold", "size"):
        wanted = fields[name].detach().numpy()
        np.testing.assert_array_equal(getattr(node, name), wanted)
    assert node.reset == "zero"


@pytest.mark.slow
@pytest.mark.parametrize("net", [AllSteps, Step, WithSnnTorch])
def test_files_are_verified(tmp_path, net):
    source = source_of_module(net(), in_shape=SHAPE)
    samples = noise(source)
    for form in ("sequence", "stream", "scan"):
        done = export_onnx(source, tmp_path / form, samples=samples, form=form)
        assert done.report.verified and not done.report.quiet


def subtracting(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(2), nn.Linear(64, 20), *layers).eval()


def widely(features=20, outputs=20):
    layer = nn.Linear(features, outputs)
    nn.init.normal_(layer.weight, std=0.5)
    return layer


NEURONS = {
    "adaptive": lambda: subtracting(AdaptiveLeaky(T, threshold=0.3), nn.Linear(20, 5)),
    "fixed": lambda: subtracting(FixedLeaky(T, threshold=0.2), widely(), FixedLeaky(T)),
    "integrate": lambda: subtracting(
        Integrate(T, amplitude=0.3, most=2), widely(), Integrate(T, 20, granularity="channel")
    ),
    "snntorch by name": lambda: subtracting(
        Synaptic(T, threshold=0.3), widely(), Leaky(T, threshold=0.4)
    ),
    "a layer": lambda: subtracting(
        SpikingLayer(None, AdaptiveLeaky(T, threshold=0.3)), nn.Linear(20, 5)
    ),
    "a readout": lambda: subtracting(
        AdaptiveLeaky(T, threshold=0.3), LastReadout(20, 5, steps=T, scaled=True)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NEURONS)
def test_neurons_by_kind(tmp_path, name):
    source = source_of_module(NEURONS[name](), in_shape=SHAPE)
    samples = noise(source)
    for export in (export_onnx, export_nir):
        report = export(source, tmp_path / export.__name__, samples=samples).report
        assert report.verified and not report.quiet
    kinds = {type(node) for node in source.graph.nodes}
    assert Neuron in kinds and (Filter in kinds) == (name == "snntorch by name")
    assert type(source.graph.nodes[-1]) is Readout
    assert source.graph.answer.kind == ("last" if name == "a readout" else "mean")


REDUCED = {
    "mean": (lambda out: out.mean(0), lambda out: out.mean(0)),
    "sum": (lambda out: torch.sum(out, 0), lambda out: out.sum(0)),
    "last": (lambda out: out[-1], lambda out: out[-1]),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", REDUCED)
@pytest.mark.parametrize("net", [AllSteps, Looped])
def test_the_output_may_be_the_mean_the_sum_or_the_last_of_the_steps(tmp_path, net, kind):
    reduce, wanted = REDUCED[kind]

    class Reduced(net):
        def forward(self, x):
            out = super().forward(x)
            return reduce(out[0] if isinstance(out, tuple) else out)

    source, x = source_of_module(Reduced(), in_shape=SHAPE), images(SHAPE, 40)
    samples = Samples(samples_of(source, x), None, "images")
    answer = source.graph.answer.of(run(source.graph, source.encode(samples.images)).logits)
    np.testing.assert_allclose(answer, wanted(expected(x)), atol=1e-6)
    assert source.graph.answer.kind == ("last" if kind == "last" else "mean")
    done = export_onnx(source, tmp_path, samples=samples, form="stream")
    assert done.report.verified and done.report.parities[0].samples == 40


def test_fewer_steps_than_the_neurons_have():
    source = source_of_module(AllSteps(), in_shape=SHAPE, steps=2)
    assert source.graph.steps == 2 and source.graph.neurons[0].leak.shape == (2, 6)
    x = images(SHAPE, 20)
    trace = run(source.graph, source.encode(samples_of(source, x)))
    np.testing.assert_array_equal(trace.logits, expected(x)[:2])


def test_a_network_of_asnn_is_its_own_source():
    model = create_model("mlp", in_shape=SHAPE, classes=3, steps=3, features=[5], coding="hybrid")
    source = source_of_module(model, in_shape=SHAPE)
    assert source.graph.about["network"]["coding"] == "hybrid" and source.graph.steps == 3
    with pytest.raises(ConfigError, match="the network makes 3 steps, not 5"):
        source_of_module(model, in_shape=SHAPE, steps=5)


class Other(nn.Module):
    """A neuron of the user's own, with or without equations."""

    def step(self, x, v):
        v = v + 0.3 * v * v + x
        s = spike(v - 0.4)
        return s, v * (1 - s)

    def forward(self, x):
        v, spikes = torch.zeros_like(x[0]), []
        for t in range(T):
            s, v = self.step(x[t], v)
            spikes.append(s)
        return torch.stack(spikes)


class Sorting(nn.Module):
    def forward(self, x):
        return torch.stack([x_t.sort(1).values for x_t in x])


class Lowered(Other):
    def lower(self, graph, name):
        graph.cell(name, self.step, states=["v"])

    forward = Other.forward


class Liar(Lowered):
    def lower(self, graph, name):
        graph.cell(name, lambda x, v: self.step(1.5 * x, v), states=["v"])

    forward = Other.forward


def test_a_neuron_of_the_user_with_equations(tmp_path):
    source = source_of_module(subtracting(Lowered()), in_shape=SHAPE, steps=T)
    done = export_onnx(source, tmp_path, samples=noise(source))
    assert done.report.verified and done.report.driven.neurons["lowered2"] == (1.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("before", [(), (AdaptiveLeaky(T),)])
def test_a_neuron_of_the_user_without_equations_is_one_by_hand(before):
    source = source_of_module(subtracting(*before, Other()), in_shape=SHAPE)
    node = source.graph.neurons[-1]
    assert isinstance(node, Cell) and node.name == f"neuron{2 + len(before)}"


def test_other_equations_are_found_before_anything_is_written():
    with pytest.raises(VerificationError, match="Liar computes something else than it says") as e:
        source_of_module(subtracting(Liar()), in_shape=SHAPE, steps=T)
    assert "layer liar2, step 1, given random input" in e.value.why
    assert "neuron_fields say what its forward computes" in e.value.remedy


class Resetting(nn.Module):
    """A neuron that says of itself what `said` computes, over all steps or one step in a call."""

    def __init__(self, threshold=1.0, leak=0.9, said="step", loops=False):
        super().__init__()
        self.threshold, self.leak, self.said, self.loops = threshold, leak, said, loops

    def step(self, x, v):
        v = self.leak * v + x
        s = spike(v - self.threshold)
        return s, v - s * self.threshold

    def to_zero(self, x, v):
        v = self.leak * v + x
        s = spike(v - self.threshold)
        return s, v * (1 - s)

    def forward(self, x, mem=None):
        if mem is not None:
            return self.step(x, mem)
        v, spikes = torch.zeros_like(x[0]), []
        for x_t in x:
            s, v = self.step(x_t, v)
            spikes.append(s)
        return torch.stack(spikes)

    def lower(self, graph, name):
        graph.cell(name, getattr(self, self.said), states=["v"])


class WrongLeak(nn.Module):
    """A leaky neuron of leak 0.9 and threshold 5 that says another leak."""

    def __init__(self, leak):
        super().__init__()
        self.leak = leak

    def forward(self, x):
        return Resetting(5.0)(x)

    def neuron_fields(self):
        ones = torch.ones(T, 1)
        sizes = {"threshold": 5 * ones, "size": 5 * ones}
        return {"leak": self.leak * ones, "gain": ones, **sizes, "reset": "subtract"}


class LoopedOnce(nn.Module):
    def __init__(self, neuron):
        super().__init__()
        self.fc1, self.neuron, self.fc2 = nn.Linear(64, 20), neuron, nn.Linear(20, 5)

    def forward(self, x):
        x = self.fc1(x.flatten(1))
        mem, out = torch.zeros_like(x), []
        for _ in range(T):
            spk, mem = self.neuron(x, mem)
            out.append(self.fc2(spk))
        return torch.stack(out)


@pytest.mark.parametrize("threshold", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("net", [subtracting, LoopedOnce])
def test_a_neuron_that_noise_leaves_silent_is_compared_by_itself(net, threshold):
    right, wrong = (net(Resetting(threshold, said=said)) for said in ("step", "to_zero"))
    graph = source_of_module(right, in_shape=SHAPE, steps=T).graph
    assert isinstance(graph.neurons[0], Cell)
    with pytest.raises(VerificationError, match="Resetting computes something else than it says"):
        source_of_module(wrong, in_shape=SHAPE, steps=T)


def test_a_neuron_of_a_trained_network_is_compared_by_itself():
    assert in_a_trained_network(Resetting(30.0)).graph.steps == T
    with pytest.raises(VerificationError, match="Resetting computes something else than it says"):
        in_a_trained_network(Resetting(30.0, said="to_zero"))


def test_wrong_fields_of_a_neuron_are_found():
    assert source_of_module(subtracting(WrongLeak(0.9)), in_shape=SHAPE, steps=T).graph.steps == T
    with pytest.raises(VerificationError, match="WrongLeak computes something else than it says"):
        source_of_module(subtracting(WrongLeak(0.88)), in_shape=SHAPE, steps=T)


class FromStepTwo(LoopedOnce):
    """Begins with the schedules of the third step, which the graph does not know."""

    def forward(self, x):
        mem, out = LeakyState(None, 2), []
        for _ in range(T - 2):
            spk, mem = self.neuron(self.fc1(x.flatten(1)), mem)
            out.append(self.fc2(spk))
        return torch.stack(out)


def test_a_forward_whose_neurons_noise_leaves_silent_is_compared_too(monkeypatch):
    neuron = AdaptiveLeaky(T, threshold=20.0)
    neuron.leak.data, neuron.gain.data = torch.linspace(0.1, 0.9, T), torch.linspace(0.5, 2, T)
    with pytest.raises(VerificationError, match="FromStepTwo and the graph lowered from it differ"):
        source_of_module(FromStepTwo(neuron), in_shape=SHAPE)
    monkeypatch.setattr("asnn.exporters.snntorch.module.NOISE_SCALES", (1.0,))
    source_of_module(FromStepTwo(neuron), in_shape=SHAPE)  # nothing fires


ONES = torch.ones(T, 1)
FIELDS = {"leak": ONES, "gain": ONES, "threshold": ONES, "size": ONES, "reset": "zero"}
MALFORMED = {
    "a field is missing": ({k: v for k, v in FIELDS.items() if k != "size"}, "KeyError: 'size'"),
    "another field": ({**FIELDS, "tau": ONES}, "unexpected keyword argument 'tau'"),
    "a number": ({**FIELDS, "leak": 0.5}, r"its leak has the shape \[\], not \[T, C\] or \[T, 1\]"),
    "by pixel": ({**FIELDS, "gain": ONES[..., None]}, "its gain has the shape"),
    "a reset": ({**FIELDS, "reset": "soft"}, "unknown reset 'soft': choose from subtract, zero"),
    "nothing": (None, "its equations cannot be read: TypeError"),
    "steps": ({**FIELDS, "leak": torch.ones(2, 1)}, "parameters for 2 steps, the network makes"),
}


def in_a_module(neuron):
    return source_of_module(subtracting(neuron), in_shape=SHAPE, steps=T)


def in_a_trained_network(neuron):
    model = create_model("mlp", in_shape=(1, 8, 8), classes=5, steps=T, features=[20])
    model.body.spikes1.neuron = neuron
    return source_of(model)


@pytest.mark.parametrize("export", [in_a_module, in_a_trained_network])
@pytest.mark.parametrize("case", MALFORMED)
def test_fields_that_are_none_of_a_neuron_are_refused(case, export):
    fields, text = MALFORMED[case]
    neuron = WrongLeak(0.9)
    neuron.neuron_fields = lambda: fields
    with pytest.raises(ConfigError, match=text):
        export(neuron)


class Named(Resetting):
    def forward(self, x):
        return Resetting.forward(self, x)

    def lower(self, graph, name):
        graph.cell(f"{name}_", self.step, states=["v"])


@pytest.mark.parametrize("export", [in_a_module, in_a_trained_network])
def test_a_node_of_another_name_is_refused(export):
    with pytest.raises(ConfigError, match="its method lower adds no node '(named2|spikes1)'"):
        export(Named())


def test_a_threshold_of_another_shape_is_refused():
    neuron = AdaptiveLeaky(T, threshold=0.3)
    neuron.threshold = torch.full((20,), 0.3)
    with pytest.raises(
        ConfigError, match=r"layer '2' \(AdaptiveLeaky\) cannot be exported: its eq"
    ):
        in_a_module(neuron)


def test_a_neuron_called_with_more_than_its_membrane_is_refused():
    class Modulated(LoopedOnce):
        def forward(self, x):
            x = self.fc1(x.flatten(1))
            spk, _ = self.neuron(x, torch.zeros_like(x), x)
            return torch.stack([self.fc2(spk)])

    with pytest.raises(ConfigError) as e:
        source_of_module(Modulated(Resetting()), in_shape=SHAPE, steps=1)
    assert "takes from 2 to 3 positional arguments but 4 were given" in e.value.why


def forward(function, *parts):
    """A module with a given forward."""

    class Made(Parts):
        def forward(self, x):
            return function(self, x)

    made = Made()
    for name, part in parts:
        setattr(made, name, part)
    return made


def one_step(net, x):
    spk, _ = net.lif2(net.fc(x.flatten(1)), net.lif2.init_leaky())
    return spk


def running_sum(net, x):
    mem, total = net.lif2.init_leaky(), 0
    for _ in range(T):
        spk, mem = net.lif2(net.fc(x.flatten(1)), mem)
        total = total + spk
    return total


def sum_over_t(net, x):
    return net.lif2(net.fc(x.flatten(2))).sum(0) / T


@pytest.mark.parametrize("function", [running_sum, sum_over_t])
def test_sums_over_the_steps_by_other_words(function):
    net, x = forward(function, ("fc", nn.Linear(64, 5))).eval(), images(SHAPE, 20)
    source = source_of_module(net, in_shape=SHAPE)
    samples = samples_of(source, x)
    found = source.graph.answer.of(run(source.graph, source.encode(samples)).logits)
    with torch.no_grad():
        wanted = net(x if source.takes_images else torch.from_numpy(samples.swapaxes(0, 1)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.std() > 0.01


REFUSED = {
    "no equations": (
        subtracting(AdaptiveLeaky(T), Sorting()),
        "sort in the forward cannot be exported",
        "or give the module that computes it a method lower(graph, name)",
    ),
    "a neuron alone": (AdaptiveLeaky(T), "is a neuron, not a network", "nn.Sequential"),
    "an axis that is not there": (
        forward(lambda net, x: net.lif2(net.fc(x.view(x.size(7), -1)))),
        "Made fails on an input of the shape [4, 3, 1, 8, 8]: IndexError: Dimension out of range",
        "give the shape of a sample, --in-shape, without the batch and the steps; or give a module",
    ),
    "steps before the last": (
        forward(lambda net, x: net.lif2(net.fc(x.flatten(2)))[-2], ("fc", nn.Linear(64, 5))),
        "does not return all of them",
        "return torch.stack of the last layer's spikes",
    ),
    "one of the steps": (
        forward(lambda net, x: net.lif2(net.fc(x.flatten(2)))[0], ("fc", nn.Linear(64, 5))),
        "does not return all of them",
        "return torch.stack of the last layer's spikes",
    ),
    "a convolution of all steps": (
        forward(lambda net, x: net.lif1(net.conv(x))),
        "layer 'lif1' (AdaptiveLeaky) cannot be exported: it takes [T, B, ...], and its input is",
        "after a convolution y = conv(x.flatten(0, 1)).unflatten(0, (T, -1))",
    ),
    "a norm of all steps": (
        forward(
            lambda net, x: net.lif2(net.norm(net.fc(x.flatten(2)))),
            ("fc", nn.Linear(64, 5)),
            ("norm", nn.BatchNorm1d(5)),
        ),
        "Made fails on an input of the shape [4, 3, 1, 8, 8]: RuntimeError: running_mean should",
        "call layers of [B, ...] with x.flatten(0, 1), and continue with y.unflatten(0, (T, -1))",
    ),
    "steps in the batch": (
        forward(
            lambda net, x: net.lif2(net.fc(x.flatten(0, 1).flatten(1))), ("fc", nn.Linear(64, 5))
        ),
        "the input has 12 steps or more, the neuron has parameters for 4",
        "",
    ),
    "rest in each call": (
        forward(one_step, ("fc", nn.Linear(64, 5))),
        "makes one step and starts from rest in each call",
        "take the membranes and return them",
    ),
    "steps that differ": (
        subtracting(AdaptiveLeaky(4), widely(), AdaptiveLeaky(6)),
        "the number of time steps is missing: its layers have parameters for 4 and 6 steps",
        "give --steps",
    ),
    "features of all steps": (
        subtracting(nn.Flatten(1), AdaptiveLeaky(T)),
        "layer '2' (Flatten) cannot be exported: view(4, 60) mixes steps or samples of the batch",
        "flatten(2)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_modules_that_are_refused(case):
    net, text, remedy = REFUSED[case]
    with pytest.raises(ConfigError) as found:
        source_of_module(net, in_shape=SHAPE)
    assert text in str(found.value)
    assert remedy in found.value.remedy


def test_more_steps_than_a_neuron_has():
    with pytest.raises(ConfigError, match="layer 'lif1' has parameters for 4 steps, the network"):
        source_of_module(Step(), in_shape=SHAPE, steps=6)


@pytest.mark.slow
def test_snntorch_is_not_needed():
    """A process in which snnTorch cannot be imported exports a network of asnn's neurons."""
    code = (
        "import sys; sys.modules['snntorch'] = None\n"
        "import torch; from torch import nn\n"
        "from asnn.models import AdaptiveLeaky; from asnn.exporters import source_of_module\n"
        "net = nn.Sequential(nn.Linear(4, 3), AdaptiveLeaky(2, threshold=0.1))\n"
        "print(source_of_module(net, in_shape=(4,)).graph.steps)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "2\n", done.stderr


def test_a_changed_leak_is_seen():
    source = source_of_module(Looped(), in_shape=SHAPE)
    node = source.graph.neurons[0]
    wrong = source.graph.with_nodes({"lif1": replace(node, leak=node.leak * np.float32(0.9))})
    x = images(SHAPE, 20)
    assert not np.array_equal(run(wrong, source.encode(samples_of(source, x))).logits, expected(x))
