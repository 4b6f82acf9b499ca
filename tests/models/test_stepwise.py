"""Networks step by step: the outputs of `forward`, and no step more than is asked for."""

import pytest
import torch
from torch import nn

from asnn.coding.draws import drawing, sample_keys
from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.layers.spiking import SpikingLayer
from asnn.models.layers.time import OverTime
from asnn.models.network import SpikingNetwork
from asnn.models.readouts.decision import first_crossing
from asnn.models.stepwise import NotStepwise, stepper, until_decided
from tests.support.exported_networks import ARCHITECTURES, SHAPE, network

STEPS, BATCH = 4, 12
CASES = {
    "lenet": ("lenet", {}),
    "direct": ("lenet", {"coding": "direct"}),
    "temporal": ("mlp", {"coding": "temporal"}),
    "per-step": ("mlp", {"norm": "per-step"}),
    "integrate": ("mlp", {"neuron": "integrate", "neuron_options": {"most": 3}}),
    "once": ("mlp", {"neuron_options": {"once": True}}),
    "noise": ("mlp", {"neuron_options": {"noise": "logistic"}}),
    "channels": ("lenet", {"neuron_options": {"granularity": "channel"}}),
    "exp": ("mlp", {"synapse": "exp"}),
    "dual-exp": ("lenet", {"synapse": "dual-exp"}),
    "last": ("mlp", {"readout": "last"}),
    "membrane": ("mlp", {"readout": "membrane", "readout_options": {"leak": 0.8}}),
    "learned": (
        "mlp",
        {
            "readout": "membrane",
            "readout_options": {"leak": 0.8, "learn_leak": True, "learn_start": True},
        },
    ),
    "psp": (
        "mlp",
        {
            "readout": "first-crossing",
            "readout_options": {"quantity": "potential", "level": 3.0, "psp": [2.0, 0.5]},
        },
    ),
    "ms-resnet": ARCHITECTURES["ms"],
    "sew-iand": ARCHITECTURES["sew-iand"],
    "vgg": ARCHITECTURES["vgg-11"],
}


SLOW = ("ms-resnet", "sew-iand")  # kernels of sums are compiled


def recurrent(name, **options):
    torch.manual_seed(0)
    return create_model(
        name, in_shape=(3,), classes=4, features=[9], coding="given", steps=STEPS,
        sample=series(), **options,
    ).eval()  # fmt: skip


def series():
    from asnn.coding.samples import SampleSpec

    return SampleSpec("series", (3,), steps=STEPS)


def case(name):
    """The network, and the code of a batch."""
    generator = torch.Generator().manual_seed(5)
    if name in ("lstm", "rsnn"):
        model = recurrent(name)
        return model, 9 * torch.randn(BATCH, STEPS, 3, generator=generator)
    kind, options = CASES[name]
    shape = options.get("shape", SHAPE)
    return network(kind, steps=STEPS, **options), torch.rand(BATCH, *shape, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in (*CASES, "lstm", "rsnn")
    ],
)
def test_the_steps_are_those_of_forward(name, frozen):
    model, x = case(name)
    model = model.frozen() if frozen else model
    keys = sample_keys(torch.arange(BATCH), 0)
    with drawing(keys):
        expected = model(x)
        step = stepper(model.body)
        found = torch.stack([step(each) for each in model.coding.encode(x)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert bool((expected[0] != expected[-1]).any())


class Counts(nn.Module):
    """A layer of one step that counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x):
        self.calls.append(len(x))
        return x


def counting(model):
    """Return a network whose first layer counts the steps it computes, and the counter."""
    counts = Counts()
    body = nn.Sequential(OverTime(counts), *model.body)
    found = SpikingNetwork(model.coding, body).eval()
    return found, counts


@torch.no_grad()
@pytest.mark.parametrize("readout", ["first-crossing", "mean"])
def test_no_step_is_computed_after_all_samples_are_decided(readout):
    options = {"readout_options": {"quantity": "potential", "level": 0.5}}
    model = recurrent("lstm", readout=readout, **(options if readout != "mean" else {}))
    model.readout.linear.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.3]))
    network, counts = counting(model)
    x = torch.randn(BATCH, STEPS, 3, generator=torch.Generator().manual_seed(1))
    outputs, confidence = model(x), None
    if readout == "mean":  # that all samples reach within two steps
        by_step = model.readout.so_far(outputs).softmax(2).amax(2)
        confidence = float(by_step[:2].amax(0).min())
        assert float(by_step[0].min()) < confidence
    if confidence is None:
        expected = model.readout.decide(outputs)
    else:
        so_far = model.readout.so_far(outputs)
        step, decided = first_crossing(so_far.softmax(2).amax(2) >= confidence)
        expected = so_far[step, torch.arange(BATCH)], step, decided
    last = int(expected[1].max())
    assert 0 < last < STEPS - 1 and bool(expected[2].all())
    network = network.frozen()
    counts = network.body[0].layer
    found = network.decide(x, confidence=confidence)
    assert counts.calls == [BATCH] * (last + 1)
    for value, of_all in zip(found, expected, strict=True):
        torch.testing.assert_close(value, of_all)
    # Negative control: one sample that is never decided runs all steps.
    counts.calls.clear()
    network.readout.level = 99.0
    network.decide(x, confidence=confidence and 0.999)
    assert counts.calls == [BATCH] * STEPS


@torch.no_grad()
def test_each_sample_alone_stops_at_its_own_step():
    options = {"quantity": "potential", "level": 0.2}
    model = recurrent("lstm", readout="first-crossing", readout_options=options)
    x = 2 * torch.randn(BATCH, STEPS, 3, generator=torch.Generator().manual_seed(1))
    network, _ = counting(model)
    network = network.frozen()
    counts = network.body[0].layer
    steps = model.readout.decide(model(x)).step
    assert len(set(steps.tolist())) > 1
    for b in range(BATCH):
        counts.calls.clear()
        decision = network.decide(x[b : b + 1])
        assert len(counts.calls) == int(decision.step) + 1 == int(steps[b]) + 1


def test_outputs_are_taken_one_by_one():
    taken = []

    def outputs():
        for t in range(9):
            taken.append(t)
            yield torch.full((2, 1), float(t))

    found = until_decided(outputs(), lambda so_far: so_far[-1, :, 0] >= 3)
    assert taken == [0, 1, 2, 3] and found.shape == (4, 2, 1)


@torch.no_grad()
def test_a_network_that_cannot_stop_computes_all_steps():
    model = network("mlp", steps=STEPS, neuron="snntorch.Leaky", readout="first-crossing")
    with pytest.raises(NotStepwise, match="cannot be run step by step"):
        stepper(model.body)
    x = torch.rand(BATCH, *SHAPE)
    expected = model.readout.decide(model(x))
    for value, of_all in zip(model.decide(x), expected, strict=True):
        torch.testing.assert_close(value, of_all, rtol=1e-4, atol=1e-5)


class Sum(nn.Module):
    """A neuron of another package: the sum so far."""

    def forward(self, x):
        return x.cumsum(0)

    def stepper(self):
        total = 0

        def step(x):
            nonlocal total
            total = total + x
            return total

        return step


def test_a_neuron_of_another_package_has_a_stepper_of_its_own():
    layer, x = SpikingLayer(None, Sum()), torch.rand(STEPS, BATCH, 3)
    step = stepper(layer)
    torch.testing.assert_close(torch.stack([step(each) for each in x]), layer(x))


def test_hooks_see_all_steps():
    model = recurrent("lstm")
    model.body[1].register_forward_hook(lambda *_: None)
    with pytest.raises(NotStepwise, match="has hooks"):
        stepper(model.body)


def test_a_layer_with_another_forward_has_no_step():
    class Doubled(OverTime):
        def forward(self, x):
            return 2 * super().forward(x)

    with pytest.raises(ConfigError, match="Doubled cannot be run step by step"):
        stepper(Doubled(nn.Identity()))
