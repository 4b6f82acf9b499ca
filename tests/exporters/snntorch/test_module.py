"""Networks of snnTorch, imported and compared with snnTorch itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, random_samples, verify
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Add, Cell, ChannelScale, Linear, Neuron, Readout
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.verification.margins import MARGIN, margin_of
from tests.support.snn_modules import (
    Explicit,
    Looped,
    LoopedOverInput,
    images,
    leaky,
    samples_of,
)

PAGE = Path(__file__).parents[3] / "docs" / "export-snntorch.md"


def snntorch_spikes(net, neurons, x, steps):
    """The spikes of every neuron in snnTorch's own modules, `[T, B, ...]`, by recording them."""
    recorded = {name: [] for name in neurons}
    hooks = []
    for name in neurons:

        def hook(module, given, result, name=name):
            recorded[name].append(result[0] if isinstance(result, tuple) else result)

        hooks.append(net.get_submodule(name).register_forward_hook(hook))
    for part in net.modules():
        if isinstance(part, snn.SpikingNeuron):
            part.reset_mem()
    with torch.no_grad():
        for _ in range(steps):
            net(x)
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(spikes).numpy() for name, spikes in recorded.items()}


def assert_same(source, x):
    """Assert that graph and network agree, and that all neurons fire, but not always."""
    code = source.encode(samples_of(source, x))
    trace = run(source.graph, code)
    for node in source.graph.neurons:
        assert 0.02 < trace.values[node.name].mean() < 0.99
    again = source.eager(torch.from_numpy(code)).logits.numpy()
    np.testing.assert_allclose(trace.logits, again, atol=2e-6)
    return trace


BETA = {"number": 0.9, "zero": 0.0, "one": 1.0, "each": torch.linspace(0.0, 1.0, 12)}


@pytest.mark.slow
@pytest.mark.parametrize("beta", BETA)
@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_a_neuron_fires_as_in_snntorch(reset, delay, scale, beta):
    torch.manual_seed(3)
    options = {"threshold": 0.4, "reset_mechanism": reset, "reset_delay": delay}
    neuron = snn.Leaky(beta=BETA[beta], init_hidden=True, **options)
    net = nn.Sequential(nn.Linear(8, 12), neuron).eval()
    x = images((8,), 40, scale=scale)
    for steps in range(1, 7):
        source = source_of_module(net, in_shape=(8,), steps=steps)
        trace = run(source.graph, source.encode(x.numpy()))
        found = trace.values["leaky1"]
        expected = snntorch_spikes(net, ["1"], x, steps)["1"]
        assert 0.02 < expected.mean() < 0.95
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(trace.logits, expected)
        np.testing.assert_array_equal(
            source.eager(source.coding.encode(x)).logits.numpy(), expected
        )


def test_some_membranes_stay_above_the_threshold():
    # Otherwise the test above could not tell a delayed reset from an immediate one.
    torch.manual_seed(3)
    neuron = snn.Leaky(beta=0.9, threshold=0.4, init_hidden=True)
    net = nn.Sequential(nn.Linear(8, 12), neuron).eval()
    spikes = snntorch_spikes(net, ["1"], images((8,), 40, scale=4.0), 6)["1"]
    trace = run(
        source_of_module(net, in_shape=(8,), steps=6).graph,
        np.repeat(images((8,), 40, scale=4.0).numpy()[None], 6, 0),
    )
    above = trace.distances["leaky1"] > 0.4  # more than a reset subtracts
    assert above.mean() > 0.1
    assert (spikes[:-1] * spikes[1:]).mean() > 0.1


def test_immediate_subtraction_differs_as_described():
    """β = 1, θ = 1, x = 2.5, -0.3: snnTorch is left with 1.5, compares 0.2 instead of 1.2."""
    neuron = snn.Leaky(beta=1.0, init_hidden=True, reset_delay=False)
    assert [float(neuron(torch.tensor([[x]]))) for x in (2.5, -0.3)] == [1.0, 0.0]
    assert float(neuron.mem) == pytest.approx(1.2)  # above 1, and it did not fire
    delayed = snn.Leaky(beta=1.0, init_hidden=True)
    assert [float(delayed(torch.tensor([[x]]))) for x in (2.5, -0.3)] == [1.0, 1.0]


def test_immediate_subtraction_is_accepted_under_a_condition():
    torch.manual_seed(0)
    second = nn.Linear(12, 12)
    nn.init.normal_(second.weight, std=1.5)
    neurons = [leaky(threshold=0.4), leaky(beta=0.5, threshold=0.4, reset_delay=False)]
    net = nn.Sequential(nn.Linear(8, 12), neurons[0], second, neurons[1]).eval()
    source = source_of_module(net, in_shape=(8,), steps=6)
    assert "membrane of 3 " in source.graph.about["holds_while"]
    kept = broken = 0
    for x in images((8,), 40):
        trace = run(source.graph, source.encode(x[None].numpy()))
        expected = snntorch_spikes(net, ["3"], x[None], 6)["3"]
        try:
            np.testing.assert_array_equal(
                source.eager(source.coding.encode(x[None])).logits.numpy(), expected
            )
        except VerificationError as error:
            assert "layer '3' does not fire like" in str(error)
            assert not np.array_equal(trace.logits, expected)
            broken += 1
        else:
            np.testing.assert_array_equal(trace.logits, expected)
            kept += 1
    assert kept > 3 and broken > 3
    assert not [m for m in net.modules() if m._forward_pre_hooks]


class Conv(nn.Module):
    """Convolution, norm, pools and a residual sum; one step in a call."""

    def __init__(self, *, norm_last=False, **options):
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.lif1 = snn.Leaky(0.9, threshold=0.3, init_hidden=True, **options)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 6, 3, padding="same")
        self.lif2 = snn.Leaky(0.7, threshold=0.1, init_hidden=True, **options)
        self.drop = nn.Dropout(0.5)
        self.norm2 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(24, 5)
        for norm in (self.norm, self.norm2):
            nn.init.uniform_(norm.weight, 0.5, 2.0)
            nn.init.normal_(norm.bias, std=0.2)
            norm.running_mean.normal_(std=0.2)
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        early = self.pool(self.lif1(self.norm(self.conv(x))))
        late = self.lif2(self.conv2(early))
        pooled = F.avg_pool2d(self.norm2(torch.add(early, late)), 2)
        return self.fc(self.drop(pooled.view(x.size(0), -1)))


def test_convolutions_norms_pools_and_a_sum():
    net = Conv().eval()
    source = source_of_module(net, in_shape=(2, 8, 8), steps=5)
    kinds = [type(node) for node in source.graph.nodes]
    assert kinds.count(ChannelScale) == 1  # a norm after a sum is not folded
    assert Add in kinds and kinds[-1] is Readout and Linear not in kinds
    x = images((2, 8, 8))
    trace = assert_same(source, x)
    expected = snntorch_spikes(net, ["lif1", "lif2"], x, 5)
    for name, spikes in expected.items():
        np.testing.assert_array_equal(trace.values[name], spikes)


def in_sequence():
    net = Explicit()
    for neuron in (net.lif1, net.lif2):
        neuron.init_hidden = True
    net.lif2.output = True
    return nn.Sequential(nn.Sequential(net.fc1, net.lif1), nn.Identity(), net.fc2, net.lif2)


def run_in_snntorch(x, steps):
    """The output of the network of these classes, run step by step in snnTorch."""
    net = Explicit()
    mem1, mem2 = net.lif1.reset_mem(), net.lif2.reset_mem()
    found = []
    with torch.no_grad():
        for _ in range(steps):
            mem1, _, mem2, spk2 = net(x, mem1, None, mem2)
            found.append(spk2)
    return torch.stack(found).numpy()


@pytest.mark.parametrize(
    "net, steps",
    [
        (Explicit(), 6),
        (Looped(), None),
        (Looped(), 6),
        (Looped(by_step=True), None),
        (in_sequence(), 6),
    ],
)
def test_every_form_of_a_network_gives_the_same_graph(net, steps):
    source = source_of_module(net, in_shape=(8,), steps=steps)
    assert source.graph.steps == 6 and source.graph.in_shape == (8,)
    assert len(source.graph.nodes) == 5
    x = images((8,), 60)
    trace = assert_same(source, x)
    np.testing.assert_array_equal(trace.logits, run_in_snntorch(x, 6))
    again = source.eager(torch.from_numpy(source.encode(samples_of(source, x))))
    np.testing.assert_array_equal(again.logits.numpy(), run_in_snntorch(x, 6))  # from rest again


LOOPS = {
    "size": lambda x: [x[t] for t in range(x.size(0))],
    "shape": lambda x: [x[t] for t in range(x.shape[0])],
    "slice of the shape": lambda x: [x[t] for t in range(x.shape[:2][0])],
    "items": lambda x: x,
    "enumerate": lambda x: [x_t for _, x_t in enumerate(x)],
    "unbind": lambda x: x.unbind(0),
    "torch.unbind": torch.unbind,
}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_over_the_steps_of_the_input(loop):
    net, x = LoopedOverInput(LOOPS[loop]), images((8,), 60)
    source = source_of_module(net, in_shape=(8,), steps=6)
    trace = assert_same(source, x)
    np.testing.assert_array_equal(trace.logits, run_in_snntorch(x, 6))
    with pytest.raises(ConfigError, match="number of time steps is missing") as refused:
        source_of_module(net, in_shape=(8,))
    assert refused.value.why == "the forward makes as many as its input has"
    assert refused.value.remedy == "give --steps"


@pytest.mark.parametrize(
    "size, text", [(1, "a step for each sample of the batch"), (2, "makes 8 steps by itself, not")]
)
def test_a_loop_over_another_axis_is_refused(size, text):
    net = LoopedOverInput(lambda x: [x[t] for t in range(x.size(size))])
    with pytest.raises(ConfigError, match=text):
        source_of_module(net, in_shape=(8,), steps=6)


def test_a_changed_beta_is_seen():
    source = source_of_module(Explicit(), in_shape=(8,), steps=6)
    node = next(n for n in source.graph.nodes if isinstance(n, Neuron) and n.name == "lif1")
    wrong = replace(node, leak=node.leak * np.float32(0.95))
    x = images((8,), 60)
    trace = run(source.graph.with_nodes({"lif1": wrong}), source.encode(x.numpy()))
    assert not np.array_equal(trace.logits, run_in_snntorch(x, 6))


def test_a_trained_network_is_not_changed():
    net = nn.Sequential(nn.Linear(8, 3), snn.Leaky(beta=0.9, learn_beta=True, init_hidden=True))
    net(images((8,))).sum().backward()  # the membrane has a history, which cannot be copied
    before = {key: value.clone() for key, value in net.state_dict().items()}
    mem = net[1].mem
    source_of_module(net, in_shape=(8,), steps=2)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net[1].mem.shape[1:] == mem.shape[1:]
    assert "reset_mem" not in vars(net[1])


@pytest.mark.parametrize("by", ["channel", "pixel"])
def test_beta_by_channel_and_by_pixel(by):
    torch.manual_seed(0)
    # As the last axis, the four values are columns of the image.
    beta = torch.rand(4, 1, 1) if by == "channel" else torch.rand(4)
    parts = nn.Conv2d(1, 4, 5), leaky(beta=beta), nn.Flatten(), nn.Linear(64, 2)
    net = nn.Sequential(*parts)
    source = source_of_module(net, in_shape=(1, 8, 8), steps=5)
    neuron = source.graph.neurons[0]
    assert isinstance(neuron, Neuron if by == "channel" else Cell)
    assert by == "pixel" or neuron.leak.shape == (5, 4)
    x = images((1, 8, 8), scale=4.0)
    np.testing.assert_array_equal(
        assert_same(source, x).values["leaky1"], snntorch_spikes(net, ["1"], x, 5)["1"]
    )


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_onnx_of_a_flat_network_is_verified(tmp_path, form):
    source = source_of_module(Explicit(), in_shape=(8,), steps=4)
    done = export_onnx(source, tmp_path, samples=random_samples((8,), 32), form=form)
    assert done.report is not None and done.report.verified
    found = {parity.runtime: parity for parity in done.report.parities}
    assert {"torch", "onnxruntime"} <= found.keys()
    assert not any(sum(steps).any() for steps in found["onnxruntime"].spike_mismatches.values())
    model = onnx.load(next(iter(done.files)))
    assert "[N, 8]" in model.graph.doc_string or form == "stream"


@pytest.mark.slow
def test_many_steps_of_a_slow_leak_are_verified(tmp_path):
    # The size of snnTorch's tutorials: 25 steps add up the rounding of the input.
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 1000), leaky(beta=0.95), nn.Linear(1000, 10), leaky(beta=0.95)
    )
    source = source_of_module(net, in_shape=(1, 28, 28), steps=25)
    done = export_onnx(source, tmp_path, samples=random_samples((1, 28, 28), 128))
    assert done.report is not None and done.report.verified
    for parity in done.report.parities:
        flips = sum(int(np.sum(steps)) for steps in parity.spike_mismatches.values())
        assert flips <= 100  # of 3.2 million
        assert parity.logit_difference == 0


def test_margins_grow_with_the_leak():
    def margin(beta, steps):
        net = nn.Sequential(nn.Linear(8, 3), leaky(beta=beta))
        node = source_of_module(net, in_shape=(8,), steps=steps).graph.neurons[0]
        return margin_of(node, np.zeros((steps, 1, 3), np.float32))

    assert margin(0.95, 1) == pytest.approx(MARGIN)
    assert margin(0.0, 25) == pytest.approx(MARGIN)
    assert margin(0.5, 3) == pytest.approx(MARGIN * (1 + 0.5 + 0.25))
    assert margin(1.0, 25) == pytest.approx(MARGIN * 25)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form, reset, beta",
    [("portable", "subtract", 0.9), ("pure", "none", 0.5), ("lif", "zero", 0.8)],
)
def test_nir_with_a_residual_sum_is_verified(tmp_path, form, reset, beta):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            options = {"threshold": 0.2, "reset_mechanism": reset}
            self.conv, self.lif1 = nn.Conv2d(1, 4, 3, padding=1), leaky(beta=beta, **options)
            self.conv2, self.lif2 = nn.Conv2d(4, 4, 3, padding=1), leaky(beta=beta, **options)
            self.pool, self.fc = nn.AvgPool2d(2), nn.Linear(16, 3)

        def forward(self, x):
            early = self.lif1(self.conv(x))
            return self.fc(self.pool(early + self.lif2(self.conv2(early))).flatten(1))

    source = source_of_module(Residual(), in_shape=(1, 4, 4), steps=3)
    samples = random_samples((1, 4, 4), 32)
    assert_same(source, torch.from_numpy(samples.images))
    done = export_nir(source, tmp_path, samples=samples, form=form)
    assert done.report is not None and done.report.verified
    assert all(parity.agrees for parity in done.report.parities)
    path = next(path for path in done.files if path.name == "model.nir")
    assert verify(source, path, samples).verified
    other = source_of_module(Residual().apply(_shift), in_shape=(1, 4, 4), steps=3)
    assert not verify(other, path, samples).verified  # the file of another network


def _shift(part):
    if isinstance(part, nn.Conv2d):
        part.weight.data += 0.05
