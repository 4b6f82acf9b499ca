"""Layers that people use, in networks that make one step: each is compared with torch itself."""

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import utils
from torch import nn

from asnn.core.errors import ConfigError
from asnn.exporters.graph import ir as g
from asnn.exporters.graph.interpreter import run
from asnn.exporters.snntorch.module import source_of_module

T = 3


class Step(nn.Module):
    """A forward of one step, with layers of its own."""

    def __init__(self, forward, **parts):
        super().__init__()
        torch.manual_seed(0)
        self.of = forward
        for name, make in parts.items():
            setattr(self, name, make())

    def forward(self, x):
        return self.of(self, x)


def lif(threshold=0.1, **options):
    return snn.Leaky(**{"beta": 0.9, "threshold": threshold, "init_hidden": True} | options)


def compared(net, in_shape):
    """The graph of a network, after it has been compared with torch on frames that change."""
    source = source_of_module(net, in_shape=in_shape, steps=T, frames=True)
    frames = torch.rand(T, 12, *in_shape, generator=torch.Generator().manual_seed(3)) * 2 - 0.5
    trace = run(source.graph, frames.numpy())
    utils.reset(net)
    net.eval()
    with torch.no_grad():
        wanted = torch.stack([net(frame) for frame in frames]).numpy()
    np.testing.assert_allclose(trace.logits, wanted, atol=1e-5)
    for node in source.graph.neurons:
        assert 0.02 < trace.values[node.name].mean() < 0.98
    return source.graph


IMAGE, SERIES, FEATURES = (2, 6, 6), (3, 8), (8,)


def before_neurons(layer, features, in_shape=IMAGE, out=4):
    """A convolution or linear layer, what `layer` makes of it, neurons and a readout."""

    def forward(net, x):
        return net.fc(net.lif(layer(net, net.first(x))).flatten(1))

    first = {
        IMAGE: lambda: nn.Conv2d(2, out, 3, padding=1),
        SERIES: lambda: nn.Conv1d(3, out, 3, padding=1),
        FEATURES: lambda: nn.Linear(8, out),
    }[in_shape]
    parts = {"first": first, "lif": lif, "fc": lambda: nn.Linear(features, 3)}
    return forward, parts, in_shape


def excited(net, x):
    weights = torch.sigmoid(net.other(x.mean((2, 3))))
    return x * weights[:, :, None, None]


def looking_at_places(net, x):
    seen = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
    return x * torch.sigmoid(net.other(seen))


def with_coordinates(net, x):
    places = torch.linspace(0, 1, 6).view(1, 1, 1, 6).expand(len(x), 1, 6, 6)
    return torch.cat([x, places], 1)


def shuffled(net, x):
    return x.view(-1, 2, 2, 6, 6).transpose(1, 2).reshape(-1, 4, 6, 6)


def other(layer, features, make, in_shape=IMAGE, out=4):
    forward, parts, shape = before_neurons(layer, features, in_shape, out)
    return forward, {**parts, "other": make}, shape


def applied(make, features, in_shape=IMAGE, out=4):
    return other(lambda net, x: net.other(x), features, make, in_shape, out)


CASES = {
    "circular": applied(lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular"), 72),
    "reflect": applied(lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"), 72),
    "replicate": applied(
        lambda: nn.Conv1d(4, 2, 5, padding=2, padding_mode="replicate"), 16, SERIES
    ),
    "zeros": applied(lambda: nn.ZeroPad2d((1, 0, -1, 2)), 4 * 7 * 7),
    "causal": applied(lambda: nn.ConstantPad1d((2, 0), 0.0), 40, SERIES),
    "constant": applied(lambda: nn.ConstantPad2d(1, 0.5), 256),
    "nearest": applied(lambda: nn.Upsample(scale_factor=2), 576),
    "bilinear": before_neurons(
        lambda net, x: F.interpolate(x, size=(5, 7), mode="bilinear"), 4 * 35
    ),
    "linear": before_neurons(
        lambda net, x: F.interpolate(x, scale_factor=1.5, mode="linear"), 48, SERIES
    ),
    "pixel shuffle": applied(lambda: nn.PixelShuffle(2), 144),
    "pixel unshuffle": applied(lambda: nn.PixelUnshuffle(2), 144),
    "windows of any size": applied(lambda: nn.AdaptiveAvgPool2d(4), 64),
    "largest": other(lambda net, x: net.other(x) - 0.7, 16, lambda: nn.AdaptiveMaxPool2d(2)),
    "depthwise": applied(lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), 144),
    "instance norm": applied(lambda: nn.InstanceNorm2d(4), 144),
    "rms norm": applied(lambda: nn.RMSNorm(6), 6, FEATURES, 6),
    "gate": applied(lambda: nn.GLU(1), 4, FEATURES, 8),
    "prelu": applied(lambda: nn.PReLU(4), 144),
    "gelu": applied(nn.GELU, 6, FEATURES, 6),
    "gelu by tanh": applied(lambda: nn.GELU("tanh"), 6, FEATURES, 6),
    "squeeze and excite": other(excited, 144, lambda: nn.Linear(4, 4)),
    "attention to places": other(looking_at_places, 144, lambda: nn.Conv2d(2, 1, 3, padding=1)),
    "a constant joined": before_neurons(with_coordinates, 180),
    "a bias joined": before_neurons(
        lambda net, x: torch.cat([torch.ones(len(x), 1), x], 1), 7, FEATURES, 6
    ),
    "channel shuffle": before_neurons(shuffled, 144),
    "a part": before_neurons(lambda net, x: x[:, 1:3, ::2, 1:], 2 * 3 * 5),
    "mirrored": before_neurons(lambda net, x: x - torch.roll(x.flip(3), 1, 2), 144),
    "less their mean": before_neurons(lambda net, x: x - x.mean(1, keepdim=True), 6, FEATURES, 6),
    "unit length": before_neurons(lambda net, x: F.normalize(x, dim=1), 6, FEATURES, 6),
    "means of rows": before_neurons(lambda net, x: x.mean(3).sum(1) - 0.2, 6),
    "largest of all": before_neurons(lambda net, x: x.amax((2, 3)) - 0.9, 4),
    "maxout": before_neurons(lambda net, x: x.view(-1, 4, 2).max(2)[0], 4, FEATURES, 8),
    "patches": before_neurons(lambda net, x: F.unfold(x, 3, stride=3), 144),
    "channels last": before_neurons(lambda net, x: x.permute(0, 2, 3, 1), 144),
    "softmax": before_neurons(lambda net, x: 4 * F.softmax(x, 1) - 1, 144),
}


@pytest.mark.parametrize("name", CASES)
def test_layers_between(name):
    forward, parts, in_shape = CASES[name]
    compared(Step(forward, **parts), in_shape)


def heads(x, number=2):
    return x.unflatten(2, (number, -1)).transpose(1, 2)


def spiking_attention(net, x):
    """Q Kᵀ V of spikes in two heads, without softmax, as in Spikformer."""
    q, k, v = (heads(each(x)) for each in (net.q, net.k, net.v))
    mixed = (q @ k.transpose(-2, -1)) @ v * 0.25
    return net.out(net.after(mixed.transpose(1, 2).flatten(2))).mean(1)


def attention_by_einsum(net, x):
    q, k, v = net.q(x), net.k(x), net.v(x)
    scores = torch.softmax(torch.einsum("bid,bjd->bij", q, k), -1)
    return net.out(net.after(torch.einsum("bij,bjd->bid", scores, v))).mean(1)


def attention_of_torch(net, x):
    mixed = F.scaled_dot_product_attention(net.q(x), net.k(x), net.v(x), is_causal=True)
    return net.out(net.after(mixed)).mean(1)


def mixing_tokens(net, x):
    y = net.q(x)
    y = y + net.k(net.tokens(y.transpose(1, 2)).transpose(1, 2))
    return net.out(net.after(net.norm(y))).mean(1)


def normed_by_channel(net, x):
    return net.out(net.after(net.batch_norm(net.q(x).transpose(1, 2)).transpose(1, 2))).mean(1)


def with_a_class_token(net, x):
    joined = torch.cat([net.token.expand(len(x), -1, -1), x], 1)
    return net.out(net.k(joined)[:, 0] + net.v(joined).amax(1))


def linear_and_lif():
    return nn.Sequential(nn.Linear(8, 8), lif())


TOKENS = {
    **dict.fromkeys(("q", "k", "v"), linear_and_lif),
    "after": lif,
    "out": lambda: nn.Linear(8, 3),
    "tokens": lambda: nn.Linear(5, 5),
    "norm": lambda: nn.LayerNorm(8),
    "batch_norm": lambda: nn.BatchNorm1d(8),
    "token": lambda: nn.Parameter(torch.rand(1, 1, 8)),
}


@pytest.mark.parametrize(
    "forward",
    [
        spiking_attention, attention_by_einsum, attention_of_torch, mixing_tokens,
        normed_by_channel, with_a_class_token,
    ],
)  # fmt: skip
def test_layers_over_tokens(forward):
    """Samples are `[L, F]`, and linear layers are over F."""
    graph = compared(Step(forward, **TOKENS), (5, 8))
    products = sum(isinstance(node, g.MatMul) for node in graph.nodes)
    assert products == (2 if "attention" in forward.__name__ else 0)


def test_parameters_of_neurons_over_tokens_are_those_of_features():
    def forward(net, x):
        return net.fc(net.lif(net.first(x)).flatten(1))

    betas = torch.linspace(0.1, 0.9, 6)
    parts = {"first": lambda: nn.Linear(8, 6), "lif": lambda: lif(beta=betas)}
    net = Step(forward, **parts, fc=lambda: nn.Linear(30, 3))
    compared(net, (5, 8))
    wrong = source_of_module(net, in_shape=(5, 8), steps=T).graph
    net.lif.beta = betas.flip(0)
    other = source_of_module(net, in_shape=(5, 8), steps=T).graph
    x = np.random.default_rng(0).random((T, 4, 5, 8), np.float32)
    assert np.abs(run(wrong, x).logits - run(other, x).logits).max() > 0.01


@pytest.mark.parametrize(
    "layer, why, remedy",
    [
        (lambda: nn.Conv3d(1, 1, 1), "no such layer", "lower"),
        (lambda: nn.AdaptiveMaxPool2d(4), "windows of unequal size", "or take averages"),
    ],
)
def test_layers_that_are_refused(layer, why, remedy):
    def forward(net, x):
        y = net.other(x[:, None])[:, 0] if isinstance(net.other, nn.Conv3d) else net.other(x)
        return net.fc(net.lif(y).flatten(1)[:, :8])

    net = Step(forward, other=layer, lif=lif, fc=lambda: nn.Linear(8, 3))
    with pytest.raises(ConfigError) as error:
        source_of_module(net, in_shape=IMAGE, steps=T)
    assert why in error.value.why and remedy in error.value.remedy


def test_classes_as_input_are_refused():
    def forward(net, x):
        return net.fc(net.lif(net.words(x.long()).flatten(1)))

    parts = {"words": lambda: nn.Embedding(10, 4), "fc": lambda: nn.Linear(24, 3)}
    with pytest.raises(ConfigError, match="cannot be exported") as error:
        source_of_module(Step(forward, **parts, lif=lif), in_shape=(6,), steps=T)
    assert "F.one_hot" in error.value.remedy


def test_a_module_in_training_stays_so():
    net = nn.Sequential(nn.Linear(8, 4), nn.Dropout(), lif(), nn.Linear(4, 3)).train()
    net[0].eval()
    source = source_of_module(net, in_shape=(8,), steps=T)
    x = torch.rand(T, 5, 8)
    first, again = source.eager(x).logits, source.eager(x).logits
    assert torch.equal(first, again)  # the dropout is off in it
    assert [part.training for part in net] == [False, True, True, True] and net.training


class Series(nn.Module):
    """Layers of one axis, `[B, C, L]`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.pool = nn.Conv1d(6, 8, 3, padding="same"), nn.MaxPool1d(2)
        self.norm, self.mean = nn.BatchNorm1d(8), nn.AvgPool1d(3, 2, 1)
        self.layer_norm, self.fc = nn.LayerNorm(16), nn.Linear(64, 4)
        self.lif1 = snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True)
        self.lif2 = snn.Leaky(beta=0.9, threshold=0.1, init_hidden=True)

    def forward(self, x):
        x = self.layer_norm(self.pool(self.norm(self.conv(x))))
        return self.lif2(self.fc(self.mean(self.lif1(x)).flatten(1)))


class Images(nn.Module):
    """Layers of images with less common options."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(2, 8, 4, padding="same"), nn.GroupNorm(2, 8)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, output_padding=1)
        self.mean = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.lif = snn.Leaky(beta=0.9, threshold=0.3, init_hidden=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.up(self.norm(self.pool(self.conv(x)))))
        return self.fc(self.mean(self.lif(x)).mean((2, 3)))


class Generating(nn.Module):
    """Features become images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.up = nn.Linear(12, 16), nn.ConvTranspose2d(1, 2, 2, 2)
        self.lif, self.out = snn.Leaky(0.9, threshold=0.3, init_hidden=True), nn.Linear(128, 3)

    def forward(self, x):
        image = self.up(self.fc(x).view(-1, 1, 4, 4))
        return self.out(self.lif(torch.tanh(4 * image + 1)).flatten(1))


@pytest.mark.parametrize(
    "kind, in_shape, given",
    [
        (Series, (6, 32), (6, 32)),
        (Series, (6, 1, 32), (6, 32)),
        (Images, (2, 9, 9), (2, 9, 9)),
        (Generating, (12,), (12,)),
    ],
)
def test_layers_that_people_use(kind, in_shape, given):
    net = kind().eval()
    source = source_of_module(net, in_shape=in_shape, steps=4)
    x = torch.rand(20, *given, generator=torch.Generator().manual_seed(2)) * 3
    code = np.repeat(x.reshape(20, *in_shape)[None].numpy(), 4, 0)
    trace = run(source.graph, code)
    utils.reset(net)
    with torch.no_grad():
        wanted = torch.stack([net(x) for _ in range(4)]).numpy()
    np.testing.assert_allclose(trace.logits, wanted, atol=1e-5)
    for node in source.graph.neurons:
        assert 0.02 < trace.values[node.name].mean() < 0.98
