"""One spike a neuron: level for level the activations of the quantised ANN."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asnn.core import ConfigError
from asnn.measure import SpikeRates
from asnn.measure.cost.operations import Operations
from asnn.measure.spikes import SampleSpikes
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from asnn.models.neurons.qcfs import Qcfs
from asnn.models.neurons.ttfs import Ttfs
from tests.support import windows
from tests.support.windows import affine_layers, ann_and_network, on_one_clock, spiking

NETWORKS = [
    ("mlp", (1, 4, 4), {"features": [12, 9]}),
    ("lenet", (1, 8, 8), {"widths": [4, 6], "hidden": 12}),
    ("lenet", (1, 8, 8), {"widths": [4, 6], "hidden": 12, "pool": "mean"}),
]


def images(count, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=generator) / 255


@torch.no_grad()
def differing(ann, network, x):
    """Return the number of neurons whose levels differ, and of all neurons."""
    with layer_outputs(ann) as theirs, layer_outputs(network) as mine:
        ann(x), network(x)
    pairs = [(mine[name].mean(0), theirs[name][0]) for name in mine]
    smallest = min(float(layer.neuron.amplitude) for layer in spiking(network))
    bound = smallest / network.coding.steps / 8  # of a mean of four levels half of a quarter
    return sum(int(((a - b).abs() > bound).sum()) for a, b in pairs), sum(
        a.numel() for a, _ in pairs
    )


@settings(deadline=None, max_examples=40)
@given(
    steps=st.integers(1, 12),
    scale=st.sampled_from([0.5, 1.0, 2.0, 4.0]),
    values=st.lists(st.integers(-200, 400), min_size=1, max_size=6),
    shape=st.sampled_from([(1, -1), (-1, 1), (1, 1, -1, 1)]),
)
def test_it_fires_once_where_the_falling_threshold_meets_the_membrane(steps, scale, values, shape):
    """The first t with V ≥ s (T - t - 1/2), compared number by number, in float64."""
    x = torch.zeros(steps, len(values), dtype=torch.float64)
    x[-1] = torch.tensor(values) / 16
    out = Ttfs(steps, scale=scale).double()(x.view(steps, *shape)).view(steps, -1)
    for v, held in zip(x.sum(0).tolist(), out.T.tolist(), strict=True):
        fires = [t for t in range(steps) if v >= scale * (steps - t - 0.5)]
        first = fires[0] if fires else steps
        assert held == [0.0] * first + [scale] * (steps - first)


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_mean_and_gradients_are_those_of_the_activation(granularity):
    options = {"scale": 2.0, "granularity": granularity}
    mine = Ttfs(4, 3, **options).double()
    theirs = Qcfs(1, 3, levels=4, **options).double()
    x = 4 * torch.rand(4, 5, 3, 2, 2, dtype=torch.float64) - 1
    weight = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = mine(a).mean(0)
    expected = theirs(b.mean(0, keepdim=True))[0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mine.raw_scale.grad, theirs.raw_scale.grad, rtol=1e-12, atol=1e-12)
    assert int((b.grad != 0).sum()) > 50 and (theirs.raw_scale.grad != 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "shape", "options"), NETWORKS, ids=["mlp", "max", "mean"])
def test_no_level_differs_on_a_grid_of_powers_of_two(name, shape, options, dtype):
    ann, network = (each.to(dtype) for each in ann_and_network(name, shape, 16, **options))
    x = images(40, shape).to(dtype)
    x[0] = 1.0
    different, neurons = differing(ann, network, x)
    assert different == 0 and neurons > 800
    with torch.no_grad():
        assert torch.equal(network(x).mean(0), ann(x)[0])
        rates = [float(layer.neuron(torch.zeros(16, 1, 1)).mean()) for layer in spiking(network)]
    assert rates == [0.0] * len(rates)


def test_negative_control_a_threshold_without_the_half(monkeypatch):
    """It rounds down: levels differ in a tenth of the neurons and more."""
    ann, network = ann_and_network("mlp", (1, 4, 4), 16, features=[12, 9])
    real = Ttfs.forward
    monkeypatch.setattr(
        Ttfs, "forward", lambda self, x: real(self, x - self.amplitude / (2 * self.levels))
    )
    different, neurons = differing(ann, network, images(40, (1, 4, 4)))
    assert different > neurons / 10


@pytest.mark.parametrize("steps", [2, 4, 7])
def test_the_network_is_that_of_single_spikes_on_one_clock(steps):
    """Spikes at the same steps of a clock, layer l from l T on; outputs at the end of the last."""
    _, network = ann_and_network("mlp", (1, 3, 3), steps, features=[7, 6])
    network.double()
    spikes = 0
    for x in images(6, (1, 3, 3)).double():
        with torch.no_grad(), layer_outputs(network) as outputs:
            logits = network(x[None])
        times, potentials = on_one_clock(network, x)
        for window, (name, expected) in enumerate(zip(outputs, times, strict=True), start=1):
            held = outputs[name][:, 0] > 0
            first = (~held).sum(0) + window * steps
            fired = held[-1].tolist()
            assert [t < 10**9 for t in expected] == fired
            assert [t for t in expected if t < 10**9] == first[held[-1]].tolist()
            spikes += sum(fired)
        assert logits.mean(0)[0].tolist() == pytest.approx(potentials, abs=1e-12)
    assert spikes > 8


def test_negative_control_the_clock_of_another_half(monkeypatch):
    """The simulation without the half fires at other steps."""
    _, network = ann_and_network("mlp", (1, 3, 3), 7, features=[7, 6])
    (x,) = images(1, (1, 3, 3))
    expected, _ = on_one_clock(network, x)
    monkeypatch.setattr(windows, "HALF", 0.0)
    assert on_one_clock(network, x)[0] != expected


def test_a_neuron_has_at_most_one_spike_and_an_operation_each_weight():
    _, network = ann_and_network("mlp", (1, 4, 4), 16, features=[12, 9])
    x = images(20, (1, 4, 4))
    with (
        torch.no_grad(),
        layer_outputs(network) as outputs,
        SpikeRates(network) as rates,
        Operations(network) as operations,
        SampleSpikes(network) as spikes,
    ):
        network(x)
    fired = {name: (held[-1] > 0).sum() for name, held in outputs.items()}
    assert {name: round(sum(each) * held.shape[2] * 20) for (name, each), held in zip(
        rates.by_layer().items(), outputs.values(), strict=True)} == fired  # fmt: skip
    assert 0 < rates.total() <= 20 * 21
    counts = operations.counts()
    widths = [len(layer.weight) for layer in affine_layers(network)]
    code = network.coding.encode(x)
    sent = [code.sum(), *fired.values()]
    zeros = any(bool((layer.weight == 0).any()) for layer in affine_layers(network))
    for layer, width, number in zip(counts.layers, widths, sent, strict=True):
        assert layer.operation == "ac" and float(layer.events.sum()) == number
        assert zeros or float(layer.effective.sum()) == width * number
    assert [float(n.updates.sum()) for n in counts.neurons] == [16 * 20 * 12, 16 * 20 * 9]
    # All but the spikes of the last window is spent before its first step.
    by_sample = spikes.take()
    assert float(by_sample[0].sum()) >= fired["spikes1"]
    assert float(by_sample.sum()) == sum(fired.values())
    assert [float(layer.events[1:].sum()) for layer in counts.layers[:2]] == [0, 0]
    assert float(counts.layers[2].events[1:].sum()) > 0


def test_mean_pools_count_each_spike_of_their_window():
    _, network = ann_and_network("lenet", (1, 8, 8), 8, widths=[4], hidden=6, pool="mean")
    sent = []
    network.body.spikes1.neuron.register_forward_hook(lambda _, x, y: sent.append(y))
    with torch.no_grad(), Operations(network) as operations:
        network(images(5, (1, 8, 8)))
    fired = int((sent[0][-1] > 0).sum())
    pool, linear = operations.counts().layers[1:3]
    assert pool.kind == "pool" and linear.given == "counts"
    assert float(pool.events.sum()) == float(linear.events.sum()) == fired
    assert int((sent[0] > 0).sum()) > 1.5 * fired  # which are shown at several steps


def test_windows_are_whole():
    network = create_model("mlp", in_shape=(1, 2, 2), classes=2, steps=4, coding="ttfs",
                           neuron="ttfs", features=[3])  # fmt: skip
    with pytest.raises(ConfigError, match="read windows of 4 steps, not of 3") as caught:
        network(torch.rand(1, 1, 2, 2), steps=3)
    assert "coding.steps is their number" in caught.value.remedy


@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_calibration_sets_the_scale(granularity):
    neuron = Ttfs(4, 2, granularity=granularity)
    neuron.calibrate(torch.zeros(1, 3, 2), "max")
    assert neuron.amplitude.flatten().unique().tolist() == [4.0]
    neuron.calibrate(torch.tensor([[[1.0, 3.0], [2.0, 0.5]]]), "max")
    assert neuron.amplitude.tolist() == (3.0 if granularity == "layer" else [2.0, 3.0])
    if granularity == "layer":
        with pytest.raises(ConfigError, match="a greatest activation of each channel"):
            neuron.use_limit(torch.ones(2))


@pytest.mark.parametrize(
    "options, message",
    [({"scale": 0.0}, "scale must be"), ({"granularity": "step"}, "granularity")],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        Ttfs(4, **options)
