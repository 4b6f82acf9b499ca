"""What forwards compute of all steps: extrema, some of the steps, layers behind the loop."""

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters import Samples, export_onnx
from asnn.exporters.graph.interpreter import run
from asnn.exporters.snntorch.module import source_of_module

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
        (lambda net, spk, mem: spk.sum(0).argmax(1), "the answer is chosen from", "the values"),
    ],
)
def test_readouts_that_are_refused(readout, why, remedy):
    with pytest.raises(ConfigError) as error:
        source_of_module(Net(readout), in_shape=(12,))
    assert why in error.value.why and remedy in error.value.remedy


def test_the_output_is_named_where_it_is_not_the_first_value():
    notes = []
    for readout in (lambda net, spk, mem: (mem, spk), lambda net, spk, mem: (spk, mem)):
        source_of_module(Net(readout), in_shape=(12,), notify=notes.append)
    assert notes == ["the output is value number 2 that the forward returns, of lif2"]
