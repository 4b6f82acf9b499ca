"""Networks that snnTorch alone made, against what snnTorch itself computes of them."""

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import utils
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx, random_samples, verify
from asnn.exporters.graph.interpreter import run
from asnn.exporters.graph.ir import Add, ChannelScale, Linear, Neuron, Readout
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.verification.parity import MARGIN, margin_of

pytestmark = pytest.mark.slow  # all of it together; one of them takes a moment

PAGE = Path(__file__).parents[3] / "docs" / "export-snntorch.md"


def images(shape, number=16, seed=0, scale=1.0):
    return scale * torch.rand(number, *shape, generator=torch.Generator().manual_seed(seed))


def snntorch_spikes(net, neurons, x, steps):
    """The spikes of every neuron in snnTorch's own modules, `[T, B, ...]`, by recording them."""
    told = {name: [] for name in neurons}
    hooks = []
    for name in neurons:

        def hook(module, given, result, name=name):
            told[name].append(result[0] if isinstance(result, tuple) else result)

        hooks.append(net.get_submodule(name).register_forward_hook(hook))
    for part in net.modules():
        if isinstance(part, snn.SpikingNeuron):
            part.reset_mem()
    with torch.no_grad():
        for _ in range(steps):
            net(x)
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(spikes).numpy() for name, spikes in told.items()}


def assert_same(subject, x):
    """The graph computes the network's answers; both fire, and not always."""
    trace = run(subject.graph, subject.encode(x.numpy()))
    for node in subject.graph.neurons:
        assert 0.02 < trace.values[node.name].mean() < 0.99
    np.testing.assert_allclose(
        trace.logits, subject.eager(subject.coding.encode(x)).logits.numpy(), atol=2e-6
    )
    return trace


BETA = {"number": 0.9, "zero": 0.0, "one": 1.0, "each": torch.linspace(0.0, 1.0, 12)}


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
        subject = source_of_module(net, in_shape=(8,), steps=steps)
        trace = run(subject.graph, subject.encode(x.numpy()))
        found = trace.values["leaky1"]
        expected = snntorch_spikes(net, ["1"], x, steps)["1"]
        assert 0.02 < expected.mean() < 0.95
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(trace.logits, expected)
        np.testing.assert_array_equal(
            subject.eager(subject.coding.encode(x)).logits.numpy(), expected
        )


def test_membranes_do_stay_above_the_threshold():
    # Without that, the test above would not see what is special about a delayed reset.
    torch.manual_seed(3)
    neuron = snn.Leaky(beta=0.9, threshold=0.4, init_hidden=True)
    net = nn.Sequential(nn.Linear(8, 12), neuron).eval()
    spikes = snntorch_spikes(net, ["1"], images((8,), 40, scale=4.0), 6)["1"]
    trace = run(
        source_of_module(net, in_shape=(8,), steps=6).graph,
        np.repeat(images((8,), 40, scale=4.0).numpy()[None], 6, 0),
    )
    above = trace.distances["leaky1"] > 0.4  # more than a reset takes off
    assert above.mean() > 0.1
    assert (spikes[:-1] * spikes[1:]).mean() > 0.1


def test_at_once_by_subtraction_differs_as_described():
    """β = 1, θ = 1, x = 2.5, -0.3: snnTorch is left with 1.5, compares 0.2 instead of 1.2."""
    neuron = snn.Leaky(beta=1.0, init_hidden=True, reset_delay=False)
    assert [float(neuron(torch.tensor([[x]]))) for x in (2.5, -0.3)] == [1.0, 0.0]
    assert float(neuron.mem) == pytest.approx(1.2)  # above 1, and it did not fire
    delayed = snn.Leaky(beta=1.0, init_hidden=True)
    assert [float(delayed(torch.tensor([[x]]))) for x in (2.5, -0.3)] == [1.0, 1.0]


def test_at_once_by_subtraction_is_taken_on_its_condition():
    torch.manual_seed(0)
    second = nn.Linear(12, 12)
    nn.init.normal_(second.weight, std=1.5)
    neurons = [leaky(threshold=0.4), leaky(beta=0.5, threshold=0.4, reset_delay=False)]
    net = nn.Sequential(nn.Linear(8, 12), neurons[0], second, neurons[1]).eval()
    subject = source_of_module(net, in_shape=(8,), steps=6)
    assert "membrane of 3 " in subject.graph.about["holds_while"]
    kept = broken = 0
    for x in images((8,), 40):
        trace = run(subject.graph, subject.encode(x[None].numpy()))
        expected = snntorch_spikes(net, ["3"], x[None], 6)["3"]
        try:
            np.testing.assert_array_equal(
                subject.eager(subject.coding.encode(x[None])).logits.numpy(), expected
            )
        except VerificationError as error:
            assert "layer '3' fires otherwise" in str(error)
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
    net = Conv()
    subject = source_of_module(net, in_shape=(2, 8, 8), steps=5)
    kinds = [type(node) for node in subject.graph.nodes]
    assert kinds.count(ChannelScale) == 1  # behind a sum there is nothing to fold into
    assert Add in kinds and kinds[-1] is Readout and Linear not in kinds
    x = images((2, 8, 8))
    trace = assert_same(subject, x)
    expected = snntorch_spikes(net, ["lif1", "lif2"], x, 5)
    for name, spikes in expected.items():
        np.testing.assert_array_equal(trace.values[name], spikes)


class Explicit(nn.Module):
    """One step; membranes go in and out, in the order of snnTorch's own documentation."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.fc1 = nn.Linear(8, 20)
        self.lif1 = snn.Leaky(beta=0.9, threshold=0.3)
        self.fc2 = nn.Linear(20, 4)
        self.lif2 = snn.Leaky(beta=torch.tensor([0.5, 0.6, 0.7, 0.8]), threshold=0.1)

    def forward(self, x, mem1, spk1, mem2):
        spk1, mem1 = self.lif1(self.fc1(x), mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return mem1, spk1, mem2, spk2


class Looped(Explicit):
    """All steps in a loop, as in snnTorch's tutorials."""

    def __init__(self, *, by_step=False):
        super().__init__()
        self.by_step = by_step

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.reset_mem()
        spikes, membranes = [], []
        for step in range(6):
            spk1, mem1 = self.lif1(self.fc1(x[step] if self.by_step else x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(membranes)


def in_sequence():
    net = Explicit()
    for neuron in (net.lif1, net.lif2):
        neuron.init_hidden = True
    net.lif2.output = True
    return nn.Sequential(nn.Sequential(net.fc1, net.lif1), nn.Identity(), net.fc2, net.lif2)


def by_hand(x, steps):
    """The network of these classes, as a person would run it in snnTorch."""
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
def test_every_form_of_a_network_is_read_as_the_same(net, steps):
    subject = source_of_module(net, in_shape=(8,), steps=steps)
    assert subject.graph.steps == 6 and subject.graph.in_shape == (8,)
    assert len(subject.graph.nodes) == 5
    x = images((8,), 60)
    trace = assert_same(subject, x)
    np.testing.assert_array_equal(trace.logits, by_hand(x, 6))
    np.testing.assert_array_equal(
        subject.eager(subject.coding.encode(x)).logits.numpy(), by_hand(x, 6)
    )  # and from rest again


def test_a_changed_beta_is_seen():
    subject = source_of_module(Explicit(), in_shape=(8,), steps=6)
    node = next(n for n in subject.graph.nodes if isinstance(n, Neuron) and n.name == "lif1")
    wrong = replace(node, leak=node.leak * np.float32(0.95))
    x = images((8,), 60)
    trace = run(subject.graph.with_nodes({"lif1": wrong}), subject.encode(x.numpy()))
    assert not np.array_equal(trace.logits, by_hand(x, 6))


def test_a_trained_network_stays_as_it_is():
    net = nn.Sequential(nn.Linear(8, 3), snn.Leaky(beta=0.9, learn_beta=True, init_hidden=True))
    net(images((8,))).sum().backward()  # the membrane has a history, which cannot be copied
    before = {key: value.clone() for key, value in net.state_dict().items()}
    mem = net[1].mem
    source_of_module(net, in_shape=(8,), steps=2)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net[1].mem.shape[1:] == mem.shape[1:]
    assert "reset_mem" not in vars(net[1])


def sequence(*layers, last=None):
    return nn.Sequential(*layers, nn.Linear(8, 3), last or leaky())


def leaky(**options):
    return snn.Leaky(**{"beta": 0.9, "init_hidden": True, **options})


def forward(function, **parts):
    """A module with that forward."""

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


def last_only(net, x):
    for _ in range(3):
        spk = net.lif(net.fc(x))
    return spk


def reset_each_time(net, x):
    utils.reset(net)
    return net.lif(net.fc(x))


def of_membrane(net, x):
    return net.out(net.fc(x))[1]


def branching(net, x):
    return net.lif(net.fc(x if x.sum() > 0 else -x))


def recurrent(net, x):
    first = net.lif(net.fc(x))
    return torch.stack([first, net.lif(net.fc(x) + first)])


REFUSED = {
    "no neuron": (nn.Sequential(nn.Linear(8, 3)), "holds no neuron of snnTorch"),
    "a neuron alone": (leaky(), "a neuron and no network"),
    "synaptic": (sequence(last=snn.Synaptic(0.9, 0.8, init_hidden=True)), "no synaptic current"),
    "recurrent": (
        sequence(last=snn.RLeaky(0.9, linear_features=3, init_hidden=True)),
        "no recurrent connections",
    ),
    "lapicque": (sequence(last=snn.Lapicque(0.9, init_hidden=True)), "the graph knows Leaky"),
    "inhibition": (sequence(last=leaky(inhibition=True)), "inhibition"),
    "quantised": (sequence(last=leaky(state_quant=lambda x: x)), "state_quant"),
    "graded": (sequence(last=leaky(graded_spikes_factor=2.0)), "graded_spikes_factor"),
    "no spikes": (sequence(last=leaky(spike_grad=torch.sigmoid)), "spike_grad"),
    "changed later": (changed_later(), "changed to 'zero' later"),
    "below zero": (sequence(last=leaky(threshold=-1.0)), "its threshold is -1"),
    "beta of others": (sequence(last=leaky(beta=torch.rand(5))), "its beta has the shape"),
    "relu": (sequence(nn.ReLU()), "layer '0' (ReLU)"),
    "relu function": (forward(lambda m, x: m.lif(F.relu(m.fc(x)))), "relu in the forward"),
    "a factor": (forward(lambda m, x: m.lif(m.fc(x) * 2)), "mul in the forward"),
    "a constant": (forward(lambda m, x: m.lif(m.fc(x) + 1)), "adds the values of two layers"),
    "a branch": (forward(branching), "cannot be traced"),
    "a pair": (sequence(last=nn.Sequential(snn.Leaky(0.9), nn.Linear(3, 3))), "spikes and memb"),
    "a membrane": (forward(of_membrane, out=snn.Leaky(0.9)), "returns no answer"),
    "two answers": (forward(lambda m, x: (m.lif(m.fc(x)), m.two(x)), two=nn.Linear(8, 2)), "two"),
    "the last step": (forward(last_only), "does not return all of them"),
    "feedback": (forward(recurrent), "does not do what the first one did"),
    "another state": (forward(looped_badly, out=snn.Leaky(0.9)), "is not the one that it left"),
    "anew": (forward(reset_each_time), "begins at rest each time"),
    "statistics": (
        sequence(nn.BatchNorm1d(8, track_running_stats=False)),
        "no running statistics",
    ),
    "double": (sequence().double(), "float64"),
    "another shape": (sequence(nn.Linear(9, 8)), "wants 9 features"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    net, text = REFUSED[case]
    with pytest.raises(ConfigError, match=re.escape(text)):
        source_of_module(net, in_shape=(8,), steps=3)


def test_a_refusal_says_what_to_do():
    with pytest.raises(ConfigError) as caught:
        source_of_module(sequence(last=leaky(inhibition=True)), in_shape=(8,), steps=3)
    assert caught.value.what == "layer '1' (Leaky) cannot be exported"
    assert caught.value.remedy == "use snn.Leaky without it"


def test_an_answer_is_one_value_for_each_class():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), leaky())
    with pytest.raises(ConfigError, match=r"answers with the shape \[2, 6, 6\]"):
        source_of_module(net, in_shape=(1, 8, 8), steps=2)


def test_beta_of_places_is_refused_and_of_channels_taken():
    def net(beta):
        return nn.Sequential(nn.Conv2d(1, 4, 5), leaky(beta=beta), nn.Flatten(), nn.Linear(64, 2))

    # As the last axis, the four values are columns of the image.
    with pytest.raises(ConfigError, match="differs between places of one channel"):
        source_of_module(net(torch.rand(4)), in_shape=(1, 8, 8), steps=2)
    torch.manual_seed(0)
    taken = net(torch.rand(4, 1, 1))
    subject = source_of_module(taken, in_shape=(1, 8, 8), steps=5)
    assert subject.graph.neurons[0].leak.shape == (5, 4)
    x = images((1, 8, 8), scale=4.0)
    np.testing.assert_array_equal(
        assert_same(subject, x).values["leaky1"], snntorch_spikes(taken, ["1"], x, 5)["1"]
    )


def test_steps_of_its_own_are_not_others():
    with pytest.raises(ConfigError, match="makes 6 steps by itself, not 4"):
        source_of_module(Looped(), in_shape=(8,), steps=4)
    with pytest.raises(ConfigError, match="number of time steps is missing"):
        source_of_module(Explicit(), in_shape=(8,))


@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_onnx_of_a_flat_network_verifies(tmp_path, form):
    subject = source_of_module(Explicit(), in_shape=(8,), steps=4)
    done = export_onnx(subject, tmp_path, samples=random_samples((8,), 32), form=form)
    assert done.report is not None and done.report.fault is None
    found = {parity.runtime: parity for parity in done.report.parities}
    assert {"torch", "onnxruntime"} <= found.keys()
    assert not any(sum(steps).any() for steps in found["onnxruntime"].mismatches.values())
    model = onnx.load(next(iter(done.files)))
    assert "[N, 8]" in model.graph.doc_string or form == "stream"


def test_many_steps_of_a_slow_leak_verify(tmp_path):
    # The size of snnTorch's tutorials: what rounding does to the input, 25 steps add up.
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 1000), leaky(beta=0.95), nn.Linear(1000, 10), leaky(beta=0.95)
    )
    subject = source_of_module(net, in_shape=(1, 28, 28), steps=25)
    done = export_onnx(subject, tmp_path, samples=random_samples((1, 28, 28), 128))
    assert done.report is not None and done.report.fault is None
    for parity in done.report.parities:
        flips = sum(int(np.sum(steps)) for steps in parity.mismatches.values())
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


@pytest.mark.parametrize(
    "form, reset, beta",
    [("portable", "subtract", 0.9), ("pure", "none", 0.5), ("lif", "zero", 0.8)],
)
def test_nir_with_a_residual_sum_verifies(tmp_path, form, reset, beta):
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

    subject = source_of_module(Residual(), in_shape=(1, 4, 4), steps=3)
    samples = random_samples((1, 4, 4), 32)
    assert_same(subject, torch.from_numpy(samples.images))
    done = export_nir(subject, tmp_path, samples=samples, form=form)
    assert done.report is not None and done.report.fault is None
    assert all(parity.agrees for parity in done.report.parities)
    path = next(path for path in done.files if path.name == "model.nir")
    assert verify(subject, path, samples).fault is None
    other = source_of_module(Residual().apply(_shift), in_shape=(1, 4, 4), steps=3)
    assert verify(other, path, samples).fault is not None  # the file of another network


def _shift(part):
    if isinstance(part, nn.Conv2d):
        part.weight.data += 0.05


OTHERS = """

def number():
    return 3


def fails():
    raise KeyError('weights')


def flat():
    print('loading')
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 3), snn.Leaky(0.9, init_hidden=True))


def careless():
    torch.manual_seed(0)
    options = {'init_hidden': True, 'threshold': 0.7}
    second = nn.Linear(9, 9)
    nn.init.normal_(second.weight)
    return nn.Sequential(
        nn.Linear(8, 9), snn.Leaky(0.9, **options),
        second, snn.Leaky(0.9, reset_delay=False, **options),
    )
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run `asnn export ARGUMENTS` in a folder with the networks of the page; code and output."""
    from asnn.cli.app import run as asnn

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("nets", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "nets.py").write_text(block("python") + OTHERS)
    (tmp_path / "broken.py").write_text("import not_there\n")

    def asnn_export(*arguments):
        capsys.readouterr()
        code = asnn(["export", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield asnn_export
    for name in ("nets", "broken"):
        sys.modules.pop(name, None)


def block(language):
    """The code of the page in that language."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_the_example_of_the_page_runs(call, tmp_path):
    for line in block("sh").splitlines():
        command, what, *arguments = shlex.split(line)
        assert (command, what) == ("asnn", "export")
        code, out, err = call(*arguments)
        assert (code, out) == (0, ""), err
    assert {path.name for path in (tmp_path / "export/onnx").iterdir()} == {
        *("model.onnx", "parity.json")
    }
    assert {path.name for path in (tmp_path / "export/nir").iterdir()} == {
        *("model.nir", "model.golden.nir", "parity.json")
    }


def test_samples_of_a_file(call, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.random((9, 8), np.float32)
    np.savez(tmp_path / "samples.npz", images=x, labels=np.arange(9) % 3)
    np.save(tmp_path / "samples.npy", x)
    flat = ("--from", "nets:flat", "--in-shape", "8", "--steps", "3", "-f", "onnx")
    code, out, err = call(*flat, "--samples-from", "samples.npz", "--json")
    assert code == 0 and '"number": 9' in out and '"from": "9 samples of samples.npz"' in out
    assert out.startswith("{") and "loading" in err
    code, _, err = call(*flat, "--samples-from", "samples.npy", "--samples", "5")
    assert code == 0 and "5 samples of samples.npy" in err
    assert call(*flat[:-2], "--check", "export/onnx/model.onnx")[0] == 0
    for name, array, text in (
        ("bytes.npy", (x * 255).astype(np.uint8), "images of type uint8"),
        ("wide.npy", rng.random((9, 7), np.float32), "images of the shape [9, 7]"),
        ("nan.npy", x * np.float32(np.nan), "not finite"),
    ):
        np.save(tmp_path / name, array)
        code, _, err = call(*flat, "--samples-from", name)
        assert code == 4 and text in err
    np.savez(tmp_path / "other.npz", x=x)
    assert call(*flat, "--samples-from", "other.npz")[0] == 4
    (tmp_path / "text.npz").write_text("no archive")
    code, _, err = call(*flat, "--samples-from", "text.npz")
    assert code == 4 and "could not be read" in err


def test_samples_that_break_the_condition_end_with_code_3(call, tmp_path):
    np.save(tmp_path / "large.npy", 6 * np.random.default_rng(0).random((40, 8), np.float32))
    careless = ("--from", "nets:careless", "--in-shape", "8", "--steps", "5", "-f", "onnx")
    code, _, err = call(*careless, "--samples-from", "large.npy")
    assert code == 3 and "fires otherwise than the exported neuron" in err
    assert "note: exact while no membrane of 3" in err
    assert not (tmp_path / "export/onnx/model.onnx").exists()


@pytest.mark.parametrize(
    "arguments, text",
    [
        ("--from nets -f onnx", "names no function"),
        ("--from nets:nothing -f onnx", "has no function 'nothing'"),
        ("--from elsewhere:make -f onnx", "could not import 'elsewhere'"),
        ("--from broken:make -f onnx", "No module named 'not_there'"),
        ("--from nets:number -f onnx", "returns int, not a torch module"),
        ("--from nets:fails -f onnx", "KeyError: 'weights' (nets.py, line"),
        ("--from nets:flat -f onnx --steps 2", "shape of the input is missing"),
        ("--from nets:flat -f onnx --in-shape 8", "number of time steps is missing"),
        ("--from nets:flat -f onnx --in-shape 8x8 --steps 2", "takes CxHxW or F"),
        ("--from nets:make -f onnx --in-shape 1x9x9", "is not the shape that nets:make returns"),
        ("--from nets:make -f onnx --steps 5", "makes 8 steps by itself"),
        ("runs/x --from nets:make -f onnx", "RUN does not go with --from"),
        ("--from nets:make -f onnx --split train", "--split does not go with --from"),
        ("-f onnx --steps 3", "--steps goes with --from"),
        ("-f onnx --samples-from x.npy", "--samples-from goes with --from"),
        ("--from nets:make -f nir --form lif", "its reset is 'subtract'"),
    ],
)
def test_what_the_command_refuses(call, tmp_path, arguments, text):
    code, out, err = call(*arguments.split())
    assert (code, out) == (2, "") and text in err and "Traceback" not in err
    assert not (tmp_path / "export").exists()
