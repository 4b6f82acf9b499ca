"""Norms and neurons that the four rotations share."""

import copy
import pickle

import pytest
import torch
from torch import nn

from asnn.core import ConfigError
from asnn.models import AdaptiveLeaky, use_kernels
from asnn.models.layers import SpikingLayer
from asnn.models.layers.norm import create_norm
from asnn.models.layers.p4 import GroupPool, P4SpikingLayer, Shared
from asnn.models.layers.p4.sharing import side_by_side, stacked
from asnn.models.stepwise import stepper
from asnn.models.synapses import create_synapse


def adaptive(channels, **options):
    return AdaptiveLeaky(3, channels, granularity="channel", gain=1.5, **options)


def norm(channels, form="folded"):
    return create_norm(form, channels, steps=3, image=True)


def layer(pool=None, form="folded"):
    torch.manual_seed(0)
    made = P4SpikingLayer(lambda channels: norm(channels, form), adaptive, 2, pool)
    with torch.no_grad():
        for part in made.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.uniform_(0.5, 2)
                part.bias.uniform_(-1, 1)
        made.neuron.leak.uniform_(0.2, 0.8)
    return made


def loop(layer, x):
    """The four rotations one after the other, by the norm of all of them together."""
    rotations = x.unflatten(2, (4, -1))
    one = torch.cat(list(rotations.unbind(2)), 3)  # [T, B, C, 4 H, W]: below each other
    spikes = layer.neuron(layer.norm(one))
    parts = spikes.chunk(4, 3)
    return torch.stack(parts, 2).flatten(2, 3)


def test_rotations_side_by_side_are_a_view_of_channels_last_images():
    x = torch.randn(3, 2, 8, 5, 4).flatten(0, 1).contiguous(memory_format=torch.channels_last)
    x = x.unflatten(0, (3, 2))
    wide = side_by_side(x)
    assert wide.shape == (3, 2, 2, 5, 16) and wide.data_ptr() == x.data_ptr()
    assert wide.permute(0, 1, 3, 4, 2).is_contiguous()  # as the kernels read it
    assert torch.equal(stacked(wide), x)
    assert torch.equal(wide[:, :, 1, 2, 3 * 4 + 3], x[:, :, 3 * 2 + 1, 2, 3])  # r C + c


@pytest.mark.parametrize("form", ["folded", "per-step"])
@pytest.mark.parametrize("kernels", ["reference", "fused"])
@pytest.mark.parametrize("pool", [None, nn.MaxPool2d(2), nn.AvgPool2d(2)])
def test_it_is_the_loop_over_rotations_in_both_kernels(kernels, pool, form):
    made = layer(pool, form)
    use_kernels(made, kernels)
    x = torch.randn(3, 2, 8, 4, 4)
    wanted = loop(copy.deepcopy(made), x)
    if pool is not None:
        wanted = pool(wanted.flatten(0, 1)).unflatten(0, (3, 2))
    found = made(x)
    assert made.used == kernels and torch.equal(found, wanted) and 0 < found.mean() < 1


def test_the_expanded_layer_computes_the_same_in_evaluation():
    made = layer(nn.MaxPool2d(2))
    for _ in range(3):
        made(torch.randn(3, 4, 8, 4, 4))
    made.eval()
    plain = made.expanded()
    assert type(plain) is SpikingLayer and plain.rotations == 4
    assert plain.neuron.leak.shape == (3, 8) and plain.norm.norm.num_features == 8
    x = torch.randn(3, 2, 8, 4, 4)
    with torch.no_grad():
        assert torch.equal(plain(x), made(x))
        made.neuron.leak[:, 1] = 0  # of the four channels 1, 3, 5, 7
        changed = made.expanded()(x).ne(plain(x)).flatten(3).any(3).any(0).any(0)
    assert changed.nonzero().flatten().tolist() == [1, 3, 5, 7]


def test_statistics_and_gradients_are_of_all_rotations():
    made = layer()
    x = torch.randn(3, 4, 8, 2, 2)
    made(x).sum().backward()
    by_channel = x.unflatten(2, (4, 2)).movedim(3, 0).flatten(1)
    assert torch.allclose(made.norm.norm.running_mean, by_channel.mean(1), atol=1e-6)
    assert made.norm.norm.weight.grad.shape == made.neuron.gain.grad.shape[1:] == (2,)


def test_observers_see_every_spike_and_the_output():
    made = layer(nn.MaxPool2d(2)).eval()
    counts, samples, outputs = [], [], []
    x = torch.randn(3, 2, 8, 4, 4)
    bare = layer().eval()(x)
    made.spike_observers.append(lambda count, neurons: counts.append((count, neurons)))
    made.count_observers.append(samples.append)
    made.taps.append(outputs.append)
    with torch.no_grad():
        y = made(x)
    ((count, neurons),) = counts
    assert torch.equal(count, bare.flatten(1).sum(1).double()) and neurons == 2 * 8 * 16
    assert torch.equal(samples[0], bare)
    assert outputs[0] is y and y.shape == (3, 2, 8, 2, 2)


def test_steps_one_after_another_are_those_of_all():
    parts = nn.Sequential(
        layer(nn.MaxPool2d(2)),
        Shared(lambda channels: create_synapse("exp", channels, steps=3), 2),
        Shared(norm, 2),
        GroupPool(2),
    ).eval()
    x = torch.randn(3, 2, 8, 4, 4)
    with torch.no_grad():
        step = stepper(parts)
        found = torch.stack([step(x_t) for x_t in x])
        assert torch.allclose(found, parts(x), atol=1e-6)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
def test_copies_share_nothing(copied):
    made = Shared(norm, 2)
    other = copied(made)
    with torch.no_grad():
        other.layer.norm.bias.fill_(3.0)
    assert not made.expanded().norm.bias.any()
    assert other.expanded().norm.bias.tolist() == [3.0] * 8


def test_neurons_that_draw_or_are_connected_are_refused():
    with pytest.raises(ConfigError) as error:
        P4SpikingLayer(None, lambda channels: adaptive(channels, noise="logistic"), 2)
    assert error.value.what == "neurons that draw their spikes do not go with group p4"
    assert "neuron.noise=off" in error.value.remedy

    class Connected(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.recurrent = nn.Linear(channels, channels)

    with pytest.raises(ConfigError, match="connected with each other"):
        P4SpikingLayer(None, Connected, 2)
