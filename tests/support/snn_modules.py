"""Networks of snnTorch, for the tests of the importer."""

import snntorch as snn
import torch
from torch import nn


def images(shape, number=16, seed=0, scale=1.0):
    return scale * torch.rand(number, *shape, generator=torch.Generator().manual_seed(seed))


def samples_of(source, x):
    """Images as samples of a source: repeated over the steps if it takes all steps."""
    x = x if source.takes_images else x.unsqueeze(1).repeat_interleave(source.graph.steps, 1)
    return x.numpy()


def leaky(**options):
    return snn.Leaky(**{"beta": 0.9, "init_hidden": True, **options})


class Explicit(nn.Module):
    """One step; membranes are arguments and return values, as in the documentation of snnTorch."""

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


class LoopedOverInput(Explicit):
    """All steps in a loop whose length is the size of the input `[T, B, ...]`."""

    def __init__(self, steps_of):
        super().__init__()
        self.steps_of = steps_of

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes = []
        for x_t in self.steps_of(x):
            spk1, mem1 = self.lif1(self.fc1(x_t), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)
