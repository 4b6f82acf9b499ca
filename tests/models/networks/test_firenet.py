"""FireNet: its layers, its costs, what it refuses."""

import pytest
import torch

from asnn.coding.samples import EventBatch, SampleSpec
from asnn.core import ConfigError
from asnn.measure.cost.ann import ann_config
from asnn.measure.cost.operations import Operations
from asnn.measure.spikes import SpikeRates
from asnn.models import create_model

SPEC = SampleSpec("events", (2, 5, 6), duration=1000)
STEPS = 3


def network(neuron="lif", **options):
    torch.manual_seed(0)
    given = {"in_shape": SPEC.shape, "classes": 2, "sample": SPEC, "coding": "frames"}
    given |= {"coding_options": {"value": "count"}, "steps": STEPS, "width": 4, **options}
    return create_model("firenet", neuron=neuron, **given)


def events(size=2, count=400):
    draw = torch.manual_seed(3)
    t = torch.randint(1000, (count,), generator=draw).sort().values
    columns = [torch.randint(n, (count,), generator=draw) for n in (6, 5, 2)]
    sample = torch.arange(count) * size // count
    return EventBatch(t, *columns, sample, size, SPEC.shape, 1000)


@pytest.mark.parametrize("neuron", ["lif", "alif", "plif", "xlif", "relu"])
def test_it_answers_with_a_flow_of_each_pixel_within_its_limit(neuron):
    model = network(neuron, limit=2.0)
    flow = model(events())
    assert flow.shape == (STEPS, 2, 2, 5, 6)
    assert float(flow.detach().abs().max()) <= 2
    flow.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    assert torch.allclose(model.predict(events()), flow.mean(0), atol=1e-5)


def test_its_layers_and_parameters_are_those_of_the_paper():
    model = network(width=32)
    names = [name for name, _ in model.body.named_children()]
    assert names == ["head", "g1", "r1a", "r1b", "g2", "r2a", "r2b", "readout"]
    head, conv, recurrent = 2 * 9 * 32 + 32, 32 * 9 * 32 + 32, 32 * 9 * 32
    neurons, readout = 7 * 2 * 32, 32 * 2 + 2
    assert sum(p.numel() for p in model.parameters()) == (
        head + 6 * conv + 2 * recurrent + neurons + readout
    )


@pytest.mark.slow
def test_operations_are_those_of_events_and_spikes():
    model, x = network().eval(), events()
    with torch.no_grad(), Operations(model) as operations, SpikeRates(model) as rates:
        model(x)
        code = model.coding.encode(x)
    counts = operations.counts()
    layers = {layer.name: layer for layer in counts.layers}
    assert list(layers) == [
        *("head.conv.analog", "g1.conv", "g1.recurrent", "r1a.conv", "r1b.conv", "g2.conv"),
        *("g2.recurrent", "r2a.conv", "r2b.conv", "readout"),
    ]
    assert layers["head.conv.analog"].operation == "mac"
    assert all(each.operation == "ac" for name, each in layers.items() if name[:4] != "head")
    assert counts.uncounted == []
    # Each input pixel reaches the pixels around it in each of 4 channels.
    reach = torch.ones(5, 6)
    reach = torch.nn.functional.conv2d(reach[None, None], torch.ones(1, 1, 3, 3), padding=1)[0, 0]
    expected = (code.ne(0) * reach * 4).sum((1, 2, 3, 4))
    assert torch.equal(layers["head.conv.analog"].effective, expected.double())
    spikes = torch.tensor(rates.by_layer()["g1"]) * 2 * 4 * 5 * 6
    assert torch.allclose(layers["r1a.conv"].events, spikes.double(), atol=1e-3)
    assert layers["g1.recurrent"].events[0] == 0
    assert torch.allclose(layers["g1.recurrent"].events[1:], spikes[:-1].double(), atol=1e-3)
    assert {each.name: each.neurons for each in counts.neurons}["g1"] == 4 * 5 * 6


def test_the_ann_counterpart_has_its_weights_and_its_steps():
    config = ann_config(network())
    assert (config["neuron"], config["steps"]) == ("relu", STEPS)
    ann = create_model(config.pop("name"), **config)
    assert {n: p.shape for n, p in ann.named_parameters()} == {
        n: p.shape for n, p in network().named_parameters() if "neuron" not in n
    }


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width": 0}, "width must be positive, not 0"),
        ({"limit": 0.0}, "limit must be above 0 and finite, not 0.0"),
        ({"gain": float("nan")}, "gain must be above 0 and finite, not nan"),
        ({"classes": 10}, "firenet has two outputs at each pixel, the flow, not 10"),
        ({"readout": "last"}, "firenet has a readout of its own, not last"),
        ({"neuron": "adaptive"}, "this network cannot use neurons AdaptiveLeaky"),
    ],
)
def test_what_it_cannot_be_built_of_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        network(**options)
