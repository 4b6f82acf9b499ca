"""What forwards compute of all steps: extrema, some of the steps, layers behind the loop."""

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import nn

from asnn.core.errors import ConfigError, VerificationError
from asnn.exporters import Samples, export_onnx
from asnn.exporters.graph.interpreter import run
from asnn.exporters.snntorch.module import source_of_module
from asnn.exporters.tracing.operators import OPERATORS

T = 5


class Net(nn.Module):
    """Two layers of neurons in a loop, and what a forward returns of their steps."""

    def __init__(self, readout):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.out, self.head = nn.Linear(12, 8), nn.Linear(8, 4), nn.Linear(4, 3)
        self.heads = nn.ModuleList(nn.Linear(4, 3) for _ in range(T))
        self.hidden, self.norm = nn.Linear(4, 6), nn.LayerNorm(4)
        self.lif1 = snn.Leaky(beta=0.9, threshold=0.3)
        self.lif2 = snn.Leaky(beta=0.9, threshold=0.1)
        self.readout = readout

    def forward(self, x):
        mem1, mem2, spikes, membranes = self.lif1.reset_mem(), self.lif2.reset_mem(), [], []
        for t in range(T):
            spk, mem1 = self.lif1(self.fc(x[t]), mem1)
            spk, mem2 = self.lif2(self.out(spk), mem2)
            spikes.append(spk)
            membranes.append(mem2)
        return self.readout(self, torch.stack(spikes), torch.stack(membranes))


def frames(number=20):
    return torch.rand(T, number, 12, generator=torch.Generator().manual_seed(1)) * 1.5


READOUTS = {
    "the largest": ("last", lambda net, spk, mem: mem.max(0)[0]),
    "the smallest": ("last", lambda net, spk, mem: mem.amin(0)),
    "a layer of the largest": ("last", lambda net, spk, mem: net.head(mem.max(0).values)),
    "the last three": ("mean", lambda net, spk, mem: mem[-3:].mean(0)),
    "three of a list": (
        "mean", lambda net, spk, mem: torch.stack(list(spk.unbind(0))[1:4]).sum(0)
    ),
    "a layer of some": ("mean", lambda net, spk, mem: net.head(spk[2:].mean(0))),
    "softmax": ("last", lambda net, spk, mem: F.softmax(spk.sum(0), 1)),
    "log softmax": ("last", lambda net, spk, mem: F.log_softmax(mem[1:].mean(0), -1)),
    "softmax of each step": ("mean", lambda net, spk, mem: F.softmax(mem, -1).sum(0)),
    "a layer of the sum": ("mean", lambda net, spk, mem: net.head(spk.sum(0) / 2)),
    "two layers of the mean": (
        "last", lambda net, spk, mem: net.head(F.relu(net.norm(spk.mean(0))))
    ),
    "shares": ("last", lambda net, spk, mem: spk.sum(0) / (spk.sum((0, 2))[:, None] + 1)),
    "populations": ("mean", lambda net, spk, mem: spk.sum(0).view(-1, 2, 2).sum(2)),
    "the mean and the last": ("last", lambda net, spk, mem: spk.mean(0) + mem[-1]),
    "whether there were spikes": ("last", lambda net, spk, mem: spk.sum(0).bool().float()),
    "a constant beside the sum": (
        "last", lambda net, spk, mem: torch.cat([spk.sum(0), torch.ones_like(spk[0])], 1)
    ),
    "one place of some": ("mean", lambda net, spk, mem: mem[-3:, :, 0].mean(0)[:, None]),
    "places of some": ("mean", lambda net, spk, mem: mem[-3:, :, :2].mean(0)),
    "all places of some": ("mean", lambda net, spk, mem: mem[-3:, :].mean(0)),
    "the variance": ("last", lambda net, spk, mem: (mem * mem).mean(0) - mem.mean(0) ** 2),
    "repeated places": ("mean", lambda net, spk, mem: mem.repeat_interleave(2, dim=2).mean(0)),
    "rolled by more": ("last", lambda net, spk, mem: mem.sum(0).roll(-5, 1)),
    "a padded series, transposed": (
        "last",
        lambda net, spk, mem: (
            F.pad(mem.sum(0).view(-1, 2, 2).transpose(1, 2), (0, 0, 1, 2)).flatten(1)
        ),
    ),
    "a layer for each step": (
        "mean", lambda net, spk, mem: torch.stack([net.heads[t](spk[t]) for t in range(T)])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READOUTS)
def test_a_readout_of_all_steps(name):
    kind, readout = READOUTS[name]
    net, x = Net(readout).eval(), frames()
    source = source_of_module(net, in_shape=(12,))
    assert source.graph.answer.kind == kind
    trace = run(source.graph, x.numpy())
    with torch.no_grad():
        wanted = net(x).numpy()
    found = trace.logits if wanted.ndim == 3 else source.graph.answer.of(trace.logits)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert np.std(found) > 0.01
    other = source.graph.answer.of(run(source.graph, x.flip(0).numpy()).logits)
    assert not np.allclose(other, source.graph.answer.of(trace.logits))  # steps are told apart


@pytest.mark.slow
@pytest.mark.parametrize("name", ["the largest", "the last three", "two layers of the mean"])
@pytest.mark.parametrize("form", ["sequence", "stream", "scan"])
def test_readouts_in_files(tmp_path, name, form):
    source = source_of_module(Net(READOUTS[name][1]), in_shape=(12,))
    samples = Samples(np.swapaxes(frames().numpy(), 0, 1).copy(), None, "frames")
    assert export_onnx(source, tmp_path, samples=samples, form=form).report.verified


@pytest.mark.parametrize(
    "readout, why, remedy",
    [
        (lambda net, spk, mem: mem[-2:].amax(0), "maximum of some", "over all steps"),
        (lambda net, spk, mem: torch.relu(mem[-2:]), "reads some of the steps", "mean or sum"),
        (
            lambda net, spk, mem: ((mem - mem.mean(0)) ** 2).mean(0),
            "each step beside a value of all", "(x * x).mean(0) - x.mean(0) ** 2",
        ),
        (
            lambda net, spk, mem: F.group_norm(mem.permute(1, 0, 2), 1).mean(1),
            "channels are not those of a sample", "norm [B, C, ...]",
        ),
        (
            lambda net, spk, mem: (torch.ones(T, T) @ mem.permute(1, 0, 2)).mean(1),
            "over steps or samples", "permute",
        ),
        (
            lambda net, spk, mem: mem.repeat_interleave(2, dim=1).mean(0),
            "over steps or samples", "dim=-1",
        ),
        (
            lambda net, spk, mem: torch.stack([torch.ones_like(mem), mem], -1).flatten(2).mean(0),
            "does not stack the values of one layer", "one layer",
        ),
        (lambda net, spk, mem: spk.sum(0).argmax(1), "the answer is chosen from", "the values"),
    ],
)  # fmt: skip
def test_readouts_that_are_refused(readout, why, remedy):
    with pytest.raises(ConfigError) as error:
        source_of_module(Net(readout), in_shape=(12,))
    assert why in error.value.why and remedy in error.value.remedy


def test_the_output_is_named_where_it_is_not_the_first_value():
    notes = []
    for readout in (lambda net, spk, mem: (mem, spk), lambda net, spk, mem: (spk, mem)):
        source_of_module(Net(readout), in_shape=(12,), notify=notes.append)
    assert notes == ["the output is value number 2 that the forward returns, of lif2"]


def test_spikes_at_the_threshold_do_not_excuse_every_sample(monkeypatch):
    class AtThreshold(nn.Module):
        def forward(self, x):
            return torch.stack([((x[t] > 0.5).float() >= 1).float() for t in range(T)])

    source_of_module(AtThreshold(), in_shape=(12,))
    monkeypatch.setitem(OPERATORS, "ge", OPERATORS["gt"])  # which differ at the threshold alone
    with pytest.raises(VerificationError) as error:
        source_of_module(AtThreshold(), in_shape=(12,))
    assert "too many for chance" in error.value.why


class Images(nn.Module):
    """A network whose values are images `[2, 4, 4]`, and what a forward returns of their steps."""

    def __init__(self, readout):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.other = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 3, 3, padding=1)
        self.lif = snn.Leaky(beta=0.9, threshold=0.3)
        self.readout = readout

    def forward(self, x):
        mem, spikes, others = self.lif.reset_mem(), [], []
        for t in range(T):
            spk, mem = self.lif(self.conv(x[t]), mem)
            spikes.append(spk)
            others.append(self.other(x[t]))
        return self.readout(torch.stack(spikes), torch.stack(others))


@pytest.mark.parametrize(
    "readout",
    [
        lambda spk, other: spk,
        lambda spk, other: spk.mean(0),
        lambda spk, other: other[-1].permute(0, 2, 3, 1),
        lambda spk, other: spk.permute(1, 0, 3, 2, 4),
    ],
    ids=["steps", "mean", "channels last", "rows first"],
)
def test_an_image_as_the_output_is_a_row_channel_by_channel(readout):
    net, notes = Images(readout).eval(), []
    source = source_of_module(net, in_shape=(1, 4, 4), notify=notes.append)
    x = torch.rand(T, 20, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 1.5
    trace = run(source.graph, x.numpy())
    with torch.no_grad():
        plain = Images(lambda spk, other: (spk, other)).eval()(x)
    wanted = plain[int(source.graph.classes == 48)].flatten(2).numpy()
    np.testing.assert_allclose(trace.logits, wanted, atol=2e-6)
    values = source.graph.classes
    assert notes[-1].endswith(f"is flattened to {values} values, channel by channel")


def test_images_of_two_heads_are_side_by_side():
    net = Images(lambda spk, other: (spk, other)).eval()
    source = source_of_module(net, in_shape=(1, 4, 4))
    x = torch.rand(T, 20, 1, 4, 4, generator=torch.Generator().manual_seed(1)) * 1.5
    trace = run(source.graph, x.numpy())
    with torch.no_grad():
        wanted = torch.cat([each.flatten(2) for each in net(x)], 2).numpy()
    np.testing.assert_allclose(trace.logits, wanted, atol=2e-6)
    assert list(source.graph.about["heads"].values()) == [32, 48]


@pytest.mark.parametrize("readout", [lambda net, spk, mem: net.one(mem.mean(0)).squeeze(1),
                                     lambda net, spk, mem: mem[..., 0].mean(0)])  # fmt: skip
def test_one_value_as_the_output(readout):
    net, x = Net(readout).eval(), frames()
    net.one = nn.Linear(4, 1).eval()
    source = source_of_module(net, in_shape=(12,))
    with torch.no_grad():
        wanted = net(x).numpy()[:, None]
    found = source.graph.answer.of(run(source.graph, x.numpy()).logits)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
