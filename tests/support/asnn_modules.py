"""Torch modules with neurons of asnn, in every form that is exported; all compute the same."""

import snntorch as snn
import torch
from torch import nn

from asnn.models import AdaptiveLeaky
from asnn.models.layers.time import over_time

T = 4


class Parts(nn.Module):
    """The layers; `[T, B, 1, 8, 8] -> [T, B, 5]`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.norm.running_mean.normal_(std=0.1)
        self.lif1 = AdaptiveLeaky(T, 6, granularity="channel", threshold=0.05, reset="zero")
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(6 * 16, 5)
        self.lif2 = AdaptiveLeaky(T, threshold=0.02)
        with torch.no_grad():
            self.lif1.leak.uniform_(0.2, 0.9)
            self.lif2.gain.copy_(torch.linspace(0.5, 1.0, T))


class AllSteps(Parts):
    def forward(self, x):
        steps, batch = x.shape[:2]
        x = self.norm(self.conv(x.flatten(0, 1))).unflatten(0, (steps, batch))
        x = self.pool(self.lif1(x).flatten(0, 1)).unflatten(0, (steps, -1))
        return self.lif2(self.fc(x.flatten(2)))


class Views(Parts):
    def forward(self, x):
        steps, batch = x.size(0), x.size(1)
        x = self.norm(self.conv(x.view(steps * batch, *x.shape[2:])))
        x = self.lif1(x.view(steps, batch, 6, 8, 8)).reshape(-1, 6, 8, 8)
        return self.lif2(self.fc(self.pool(x).reshape(steps, batch, -1)))


class OverTime(Parts):
    def forward(self, x):
        x = over_time(self.pool, self.lif1(over_time(self.norm, over_time(self.conv, x))))
        return self.lif2(self.fc(x.flatten(2)))


class Repeated(Parts):
    """Takes an image, and repeats what depends on it alone."""

    def forward(self, x):
        x = self.lif1(self.norm(self.conv(x)).unsqueeze(0).repeat(T, 1, 1, 1, 1))
        return self.lif2(self.fc(over_time(self.pool, x).flatten(2)))


class Expanded(AllSteps):
    def forward(self, x):
        return super().forward(x.expand(T, *x.shape))


class Indexed(AllSteps):
    def forward(self, x):
        return super().forward(x[None].expand(T, -1, -1, -1, -1))


class Stacked(AllSteps):
    def forward(self, x):
        return super().forward(torch.stack([x] * T))


class Looped(Parts):
    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for _ in range(T):
            spk, mem1 = self.lif1(self.norm(self.conv(x)), mem1)
            spk, mem2 = self.lif2(self.fc(self.pool(spk).flatten(1)), mem2)
            spikes.append(spk)
            membranes.append(mem2.v)
        return torch.stack(spikes), torch.stack(membranes)


class Step(Parts):
    def forward(self, x, mem1=None, mem2=None):
        spk, mem1 = self.lif1(self.norm(self.conv(x)), mem1)
        spk, mem2 = self.lif2(self.fc(self.pool(spk).flatten(1)), mem2)
        return spk, mem1, mem2


class WithSnnTorch(Looped):
    """A neuron of asnn over all steps, then one of snnTorch step by step."""

    def __init__(self):
        super().__init__()
        self.lif2 = snn.Leaky(beta=0.8, threshold=0.1)

    def forward(self, x):
        x = over_time(self.pool, self.lif1(torch.stack([self.norm(self.conv(x))] * T)))
        spikes, mem = [], self.lif2.init_leaky()
        for t in range(T):
            spk, mem = self.lif2(self.fc(x[t].flatten(1)), mem)
            spikes.append(spk)
        return torch.stack(spikes)


FORMS = {
    kind.__name__: kind
    for kind in (AllSteps, Views, OverTime, Repeated, Expanded, Indexed, Stacked, Looped, Step)
}
