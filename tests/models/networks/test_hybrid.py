"""The hybrid network: its two parts, the ends of the comparison, and what does not fit."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, linear

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.stepwise import stepper

SHAPE, STEPS = (2, 13, 9), 6


def network(**options):
    torch.manual_seed(0)
    defaults = {
        "in_shape": SHAPE, "classes": 3, "coding": "frames", "steps": STEPS,
        "sample": {"kind": "events", "shape": list(SHAPE), "duration": 60_000},
        "neuron": "fixed", "neuron_options": {"gain": 1.0}, "output_scale": False,
        "backbone": [4, 5], "windows": 3, "convs": [6], "hidden": [7],
    }  # fmt: skip
    return create_model("hybrid", **{**defaults, **options})


def code(steps=STEPS, rate=0.2):
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(steps, 4, *SHAPE, generator=generator) < rate).float()


def parameters(model):
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


def leaky(x, leak=0.5, threshold=1.0):
    """v_t = leak v_{t-1} + x_t, a spike above the threshold, which it subtracts."""
    v, spikes = torch.zeros_like(x[0]), []
    for each in x:
        v = leak * v + each
        spikes.append((v > threshold).float())
        v = v - threshold * spikes[-1]
    return torch.stack(spikes)


def folded(conv, norm, x):
    """Conv and batch norm in evaluation mode, of `[T, B, C, H, W]`."""
    y = conv2d(x.flatten(0, 1), conv.weight, None, stride=2, padding=1)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).view(-1, 1, 1)
    y = (y - norm.running_mean.view(-1, 1, 1)) * scale + norm.bias.view(-1, 1, 1)
    return y.unflatten(0, x.shape[:2])


@pytest.mark.slow
@torch.no_grad()
def test_it_computes_spikes_then_their_sums_then_values():
    model = network()
    model.train().run(code())  # statistics other than 0 and 1
    model.eval()
    body, x = model.body, code()

    s = leaky(folded(body.conv1.spikes, body.spikes1.norm.norm, x))
    s = leaky(folded(body.conv2.layer, body.spikes2.norm.norm, s))
    sums = s.view(3, 2, *s.shape[1:]).sum(1)
    y = folded(body.head_conv1.layer, body.head_norm1.norm, sums).relu()
    y = linear(y.flatten(2), body.head_linear1.layer.weight, body.head_linear1.layer.bias).relu()
    expected = linear(y, body.readout.linear.weight, body.readout.linear.bias)

    assert s.any() and sums.max() > 1  # otherwise windows would not be seen
    assert model.run(x).shape == (3, 4, 3)
    assert torch.allclose(model.run(x), expected, atol=1e-5)
    assert torch.allclose(model.frozen().run(x), expected, atol=1e-5)
    shuffled = x[torch.tensor([1, 2, 3, 4, 5, 0])]
    assert not torch.allclose(model.run(shuffled), expected, atol=1e-2)


@pytest.mark.slow
@torch.no_grad()
def test_the_backbone_is_that_of_spikingjelly():
    nodes = pytest.importorskip("spikingjelly.activation_based.neuron")
    model = network()
    model.train().run(code())
    model.eval()
    x = code()

    for conv, layer in ((model.body.conv1.spikes, 1), (model.body.conv2.layer, 2)):
        lif = nodes.LIFNode(
            tau=2.0, decay_input=False, v_threshold=1.0, v_reset=None, step_mode="m"
        )
        x = lif(folded(conv, getattr(model.body, f"spikes{layer}").norm.norm, x))
    sums = x.view(3, 2, *x.shape[1:]).sum(1)

    found = []
    model.body.accumulate.register_forward_hook(lambda _, __, y: found.append(y))
    model.run(code())
    assert torch.equal(found[0], sums) and sums.any()


def test_both_ends_of_the_comparison_have_the_same_weights():
    hybrid = network()
    spiking = network(windows=STEPS, units="neurons")
    analog = network(neuron="relu", neuron_options={}, steps=3, coding_options={"value": "count"})

    sizes = [sorted(parameters(each).values()) for each in (hybrid, spiking, analog)]
    assert sizes[0] == sizes[1] == sizes[2]
    assert [len(each.output_steps) for each in (hybrid, spiking, analog)] == [3, STEPS, 3]


def test_a_window_of_one_step_with_an_identity_in_between_is_the_plain_network():
    hybrid, plain = network(windows=STEPS), network(windows=STEPS)
    plain.body.accumulate = nn.Identity()

    assert torch.allclose(hybrid.run(code()), plain.run(code()), atol=1e-6)
    by_window = network(windows=3).run(code())[[0, 0, 1, 1, 2, 2]]
    assert not torch.allclose(hybrid.run(code()), by_window, atol=1e-3)


@torch.no_grad()
def test_step_by_step_it_answers_once_a_window():
    model = network().eval()
    step, expected = stepper(model.body), model.run(code())

    found = [step(each) for each in code()]

    assert [each is None for each in found] == [True, False] * 3
    assert torch.allclose(torch.stack(found[1::2]), expected, atol=1e-5)


def test_outputs_are_known_at_the_ends_of_windows():
    model = network().eval()
    assert (model.steps_per_output, model.output_steps) == (2, (2, 4, 6))
    assert [model.whole_outputs(steps) for steps in (2, 3, 4, 5, 6, None)] == [2, 2, 4, 4, 6, 6]
    with pytest.raises(ConfigError, match="steps must be from 2 to 6, not 1: an output is known"):
        model.whole_outputs(1)


def test_a_step_of_training_reaches_all_weights():
    model = network()
    model.run(code()).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_norms_of_the_head_see_window_sums():
    model = network().train()
    sums = []
    model.body.accumulate.register_forward_hook(lambda _, __, y: sums.append(y))
    model.run(code(rate=0.6))

    x = conv2d(sums[0].flatten(0, 1), model.body.head_conv1.layer.weight, None, 2, 1)
    norm = model.body.head_norm1.norm
    assert torch.allclose(norm.running_mean, x.mean((0, 2, 3)), atol=1e-5)


def test_detection_answers_in_each_cell_of_each_window():
    model = network(head="detection", hidden=None, classes=8)
    assert model.readout.grids == ((8, 2, 2),)
    assert model.run(code()).shape == (3, 4, 8, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"windows": 4}, "4 windows do not divide 6 steps"),
        ({"windows": 0}, "backbone, convs, hidden and windows must be positive"),
        ({"backbone": []}, "the backbone not empty"),
        ({"units": "neurons"}, "units=neurons reads the spikes of each step, and windows is 3"),
        ({"units": "rely"}, "rely"),
        ({"head": "boxes"}, "boxes"),
        ({"head": "detection"}, "head=detection has no linear layers"),
        ({"head": "detection", "hidden": [], "readout": "last"}, "is a readout itself"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        network(**options)
