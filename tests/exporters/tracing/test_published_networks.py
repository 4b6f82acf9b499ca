"""Networks as they were published, written anew with random weights, each in its own loop style.

They are exported and compared with themselves by the export, in onnxruntime and, where NIR can say
them, in the importers of simulators; here the spikes of the file's graph are compared with a run of
the network by its own loop.
"""

from dataclasses import replace

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate, utils
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import export_nir, export_onnx
from asnn.exporters.onnx import export as onnx_export
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.source import Samples

N = 100
pytestmark = pytest.mark.slow


class Tutorial3(nn.Module):
    """A feed-forward network on steps of spikes, as in tutorial 3 of snnTorch."""

    def __init__(self, inputs=98, hidden=60, outputs=10):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.lif1 = snn.Leaky(beta=0.9)
        self.fc2 = nn.Linear(hidden, outputs)
        self.lif2 = snn.Leaky(beta=0.9)

    def forward(self, spk_in):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        mem2_rec, spk1_rec, spk2_rec = [], [], []
        for step in range(spk_in.size(0)):
            cur1 = self.fc1(spk_in[step])
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            mem2_rec.append(mem2)
            spk1_rec.append(spk1)
            spk2_rec.append(spk2)
        return torch.stack(spk2_rec)


class Tutorial5(nn.Module):
    """The network of tutorial 5: the same image at every step, spikes and membranes recorded."""

    num_steps = 12

    def __init__(self, inputs=98, hidden=60, outputs=10):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.lif1 = snn.Leaky(beta=0.95)
        self.fc2 = nn.Linear(hidden, outputs)
        self.lif2 = snn.Leaky(beta=0.95)

    def forward(self, x):
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(self.num_steps):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def tutorial6():
    """The convolutional network of tutorial 6: hidden states, max-pools before the neurons."""
    options = {"beta": 0.5, "spike_grad": surrogate.fast_sigmoid(slope=25), "init_hidden": True}
    return nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), snn.Leaky(**options),
        nn.Conv2d(4, 8, 3), nn.MaxPool2d(2), snn.Leaky(**options),
        nn.Flatten(), nn.Linear(8 * 2 * 2, 10), snn.Leaky(**options, output=True),
    )  # fmt: skip


class Tutorial7(nn.Module):
    """The network of tutorial 7 on events, with the loop of its forward pass."""

    def __init__(self):
        super().__init__()
        options = {"beta": 0.5, "spike_grad": surrogate.atan(), "init_hidden": True}
        self.net = nn.Sequential(
            nn.Conv2d(2, 4, 5), nn.MaxPool2d(2), snn.Leaky(**options),
            nn.Conv2d(4, 8, 3), nn.MaxPool2d(2), snn.Leaky(**options),
            nn.Flatten(), nn.Linear(8 * 2 * 2, 10), snn.Leaky(**options, output=True),
        )  # fmt: skip

    def forward(self, data):
        spk_rec = []
        utils.reset(self.net)
        for step in range(data.size(0)):
            spk_out, _ = self.net(data[step])
            spk_rec.append(spk_out)
        return torch.stack(spk_rec)


class Braille(nn.Module):
    """The recurrent network of the NIR paper for Braille letters, in its version for snnTorch."""

    def __init__(self, reset="zero"):
        super().__init__()
        self.fc1 = nn.Linear(12, 38)
        self.lif1 = snn.RSynaptic(
            alpha=0.45, beta=0.9, linear_features=38, reset_mechanism=reset, threshold=0.4
        )
        self.fc2 = nn.Linear(38, 7)
        self.lif2 = snn.Synaptic(
            alpha=0.6, beta=0.8, reset_mechanism=reset, threshold=0.4,
            reset_delay=reset != "zero",
        )  # fmt: skip

    def forward(self, x):  # [B, T, 12]
        spk1, syn1, mem1 = self.lif1.reset_mem()
        syn2, mem2 = self.lif2.reset_mem()
        spk_rec = []
        for step in range(x.shape[1]):
            spk1, syn1, mem1 = self.lif1(self.fc1(x[:, step, :]), spk1, syn1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            spk_rec.append(spk2)
        return torch.stack(spk_rec, dim=1)


class Keywords(nn.Module):
    """The network of NeuroBench for speech commands: a deep Sequential with hidden states."""

    def __init__(self):
        super().__init__()
        options = {"spike_grad": surrogate.fast_sigmoid(), "init_hidden": True}
        parts = [nn.Flatten(), nn.Linear(20, 64), snn.Leaky(beta=0.9, threshold=0.3, **options)]
        for _ in range(2):
            parts += [nn.Linear(64, 64), snn.Leaky(beta=0.9, threshold=0.3, **options)]
        parts += [nn.Linear(64, 35), snn.Leaky(beta=0.9, threshold=0.3, **options, output=True)]
        self.net = nn.Sequential(*parts)

    def forward(self, data):  # [B, T, 20]
        utils.reset(self.net)
        spikes = []
        for step in range(data.shape[1]):
            spk_out, _ = self.net(data[:, step, ...])
            spikes.append(spk_out)
        return torch.stack(spikes, dim=1)


class Gestures(nn.Module):
    """The network of NeuroBench for gestures: membranes by hand, padding `same`, pools first."""

    def __init__(self):
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(2, 4, 5, padding="same"), snn.Leaky(0.7, threshold=0.2)
        self.conv2, self.lif2 = nn.Conv2d(4, 8, 5, padding="same"), snn.Leaky(0.7, threshold=0.2)
        self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout(0.3)
        self.fc, self.lif3 = nn.Linear(8 * 4 * 4, 11), snn.Leaky(0.7, threshold=0.2)

    def forward(self, x):  # [T, B, 2, 16, 16]
        mem1, mem2, mem3 = (each.init_leaky() for each in (self.lif1, self.lif2, self.lif3))
        out = []
        for frame in x:
            cur1 = self.pool(self.conv1(frame))
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.pool(self.conv2(spk1))
            spk2, mem2 = self.lif2(cur2, mem2)
            cur3 = self.fc(self.dropout(spk2.flatten(1)))
            spk3, mem3 = self.lif3(cur3, mem3)
            out.append(spk3)
        return torch.stack(out)


class Digits(nn.Module):
    """A network for SHD: a recurrent layer with currents, and membranes as the output."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(70, 40)
        self.lif1 = snn.RSynaptic(alpha=0.9, beta=0.9, linear_features=40, threshold=0.5)
        self.fc2 = nn.Linear(40, 20)
        self.readout = snn.Leaky(beta=0.95, reset_mechanism="none")

    def forward(self, x):  # [T, B, 70]
        spk, syn, mem = self.lif1.init_rsynaptic()
        mem2 = self.readout.init_leaky()
        membranes = []
        for t in range(x.shape[0]):
            spk, syn, mem = self.lif1(self.fc1(x[t]), spk, syn, mem)
            _, mem2 = self.readout(self.fc2(spk), mem2)
            membranes.append(mem2)
        return torch.stack(membranes).mean(0)


# The network, the shape of a step, the steps, the rate of its input (None for images), its weights'
# size, and the forms of NIR that say it, or why none does.
NETWORKS = {
    "tutorial 3": (Tutorial3, (98,), 15, 0.2, 2.0, "portable"),
    "tutorial 5": (Tutorial5, (98,), 12, None, 1.0, "portable"),
    "tutorial 6": (tutorial6, (1, 16, 16), 6, None, 4.0, "takes the maximum of values"),
    "tutorial 7": (Tutorial7, (2, 16, 16), 8, 0.2, 4.0, "takes the maximum of values"),
    "braille": (Braille, (12,), 20, 0.3, 2.0, "equations of its own"),
    "braille, subtract": (
        lambda: Braille("subtract"), (12,), 12, 0.3, 2.0, "portable",
    ),
    "keywords": (Keywords, (20,), 15, 0.5, 2.0, "portable"),
    "gestures": (Gestures, (2, 16, 16), 8, 0.2, 2.0, "takes the maximum of values"),
    "digits": (Digits, (70,), 20, 0.1, 2.0, "portable"),
}  # fmt: skip


def made(name):
    """A published network with its source, and samples that change over time."""
    build, shape, steps, rate, size, nir = NETWORKS[name]
    torch.manual_seed(0)
    net = build().eval()
    with torch.no_grad():
        for key, weight in net.named_parameters():
            if weight.ndim > 1 and "recurrent" not in key:
                weight.mul_(size)
    random = np.random.default_rng(0)
    if rate is None:
        images = random.random((N, *shape), np.float32)
    else:
        images = (random.random((N, steps, *shape)) < rate).astype(np.float32)
    source = source_of_module(net, in_shape=shape, steps=steps)
    return net, source, Samples(images, None, "random spikes"), nir


@pytest.mark.parametrize("name", NETWORKS)
def test_it_goes_to_onnx_without_one_other_spike(tmp_path, name):
    _, source, samples, _ = made(name)
    report = export_onnx(source, tmp_path, samples=samples).report
    assert report.verified and not report.quiet
    for parity in report.parities:
        assert not any(counts.any() for counts in parity.spike_mismatches.values())
        assert parity.explained == 0 and parity.logit_difference <= 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_it_goes_to_nir_or_the_refusal_says_why(tmp_path, name):
    _, source, samples, nir = made(name)
    if nir not in ("portable", "lif"):
        with pytest.raises(ConfigError, match=nir):
            export_nir(source, tmp_path / "a.nir", samples=samples)
        return
    report = export_nir(source, tmp_path / "a.nir", samples=samples, form=nir).report
    assert report.verified
    importers = [each for each in report.parities if each.runtime not in ("torch", "asnn")]
    assert len(importers) >= 2 and all(each.agrees for each in importers)


@pytest.mark.parametrize("name", NETWORKS)
def test_negative_control_a_changed_threshold_is_found(tmp_path, monkeypatch, name):
    _, source, samples, _ = made(name)
    genuine = onnx_export.build_models

    def changed(graph, *given, **options):
        node = graph.neurons[0]
        if hasattr(node, "threshold"):
            other = replace(node, threshold=node.threshold * np.float32(0.9))
        else:
            constants = tuple(each * np.float32(0.9) for each in node.constants)
            other = replace(node, constants=constants)
        return genuine(graph.with_nodes({node.name: other}), *given, **options)

    monkeypatch.setattr(onnx_export, "build_models", changed)
    with pytest.raises(VerificationError):
        export_onnx(source, tmp_path, samples=samples)
