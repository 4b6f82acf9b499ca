"""Affine layer, batch norm and represented neurons as one function: its gradients are those of the
layers one after the other, and what it keeps does not grow with the number of steps."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from asnn.core import ConfigError
from asnn.models import create_model, use_kernels
from asnn.models.layers import represented
from asnn.models.layers.chain import in_turn
from asnn.models.layers.convolution import SpikeConv2d
from asnn.models.layers.norm import create_norm
from asnn.models.layers.spiking import SpikingLayer, layer_outputs, used_kernels
from asnn.models.layers.time import OverTime
from asnn.models.neurons.integrate import Integrate

LEAKS = [1.0, 0.8]


def neuron(channels, steps=5, *, leak=1.0, granularity="channel", gradient="representation"):
    return Integrate(
        steps, channels, amplitude=0.8, fraction=0.5, learn_amplitude=True, leak=leak, gain=0.9,
        granularity=granularity, gradient=gradient,
    )  # fmt: skip


def norm(channels, form="folded", *, image=False, steps=5):
    made = create_norm(form, channels, steps=steps, image=image) if form else None
    if made is not None:
        for part in made.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 2)
                nn.init.uniform_(part.bias, 0.0, 1)
    return made


@torch.no_grad()
def lively(layers, form):
    """Without norms, let larger weights keep the neurons from being silent."""
    for layer in layers if form is None else []:
        if isinstance(layer, OverTime) and hasattr(layer.layer, "weight"):
            weight = layer.layer.weight
            weight.normal_(std=3 * weight[0].numel() ** -0.5)
    return layers


def linear_layers(form="folded", *, bias=True, **options):
    layers, size = [], 7
    for out in (9, 8, 6):
        layers.append(OverTime(nn.Linear(size, out, bias=bias)))
        layers.append(SpikingLayer(norm(out, form), neuron(out, **options)))
        size = out
    return lively(nn.Sequential(*layers), form)


def conv_layers(form="folded", *, bias=True, pool=None, **options):
    """Convolutions with a mean pool of their own and one after them; a linear layer."""
    kinds = [nn.Conv2d(2, 16, 3, padding=1, bias=bias), SpikeConv2d(16, 16, 3, bias=bias)]
    first = SpikingLayer(norm(16, form, image=True), neuron(16, **options), pool or nn.AvgPool2d(2))
    second = SpikingLayer(norm(16, form, image=True), neuron(16, **options))
    pooled = [OverTime(nn.AvgPool2d((2, 1), stride=1, padding=(1, 0))), nn.Flatten(2)]
    last = SpikingLayer(norm(5, form), neuron(5, **options))
    layers = nn.Sequential(
        OverTime(kinds[0]), first, OverTime(kinds[1]), second, *pooled,
        OverTime(nn.Linear(16 * 3 * 2, 5, bias=bias)), last,
    )  # fmt: skip
    return lively(layers, form)


def samples(layers, steps=5, dtype=torch.float64):
    image = isinstance(layers[0].layer, nn.Conv2d)
    shape = (4, 2, 8, 8) if image else (12, 7)
    generator = torch.Generator().manual_seed(steps)
    return 2 * torch.randn(steps, *shape, generator=generator, dtype=dtype)


def gradients(layers, x):
    """Output, gradients of the parameters and buffers after two steps, for a weighted sum."""
    layers.zero_grad()
    for _ in range(2):
        out = in_turn(layers, x)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
        (out * (1 + weights)).mean(1).sum().backward()
    found = {name: value.grad for name, value in layers.named_parameters()}
    return out.detach(), found, dict(layers.named_buffers())


def assert_equal_training(layers, x, tolerance=1e-10):
    """The layers together and one after the other."""
    torch.manual_seed(0)
    alone = copy.deepcopy(layers)
    use_kernels(alone, "reference")
    out, found, buffers = gradients(layers, x)
    expected_out, expected, expected_buffers = gradients(alone, x)
    assert (used_kernels(layers), used_kernels(alone)) == ("fused", "reference")
    assert torch.equal(out, expected_out) and 0.05 < float((out > 0).float().mean()) < 0.95
    for name, grad in expected.items():
        scale = float(grad.abs().max())
        assert scale > 1e-3 or name.endswith("bias"), name  # a norm subtracts the bias before it
        torch.testing.assert_close(found[name], grad, rtol=0, atol=tolerance * max(scale, 1))
    for name, buffer in expected_buffers.items():
        torch.testing.assert_close(buffers[name], buffer, rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("granularity", ["layer", "channel"])
@pytest.mark.parametrize("form, bias", [(None, True), (None, False), ("folded", True)])
@pytest.mark.parametrize("make", [linear_layers, conv_layers])
def test_gradients_are_those_of_the_layers_one_after_the_other(make, form, bias, granularity, leak):
    layers = make(form, bias=bias, leak=leak, granularity=granularity).double()
    assert_equal_training(layers, samples(layers))


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("form", [None, "folded"])
@pytest.mark.parametrize("make", [linear_layers, conv_layers])
def test_in_single_precision_to_rounding(make, form, leak):
    """By the kernels."""
    layers = make(form, leak=leak)
    assert_equal_training(layers, samples(layers, dtype=torch.float32), 2e-5)


@pytest.mark.parametrize("make", [linear_layers, conv_layers])
def test_a_norm_in_evaluation(make):
    """It does not depend on the batch; the mode may change before the backward pass."""
    layers = make().double()
    gradients(layers, samples(layers))
    for part in layers.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.eval()
    assert_equal_training(layers, samples(layers))


@pytest.mark.parametrize("make", [linear_layers, conv_layers])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_covariance_left_out_fails(make, dtype, monkeypatch):
    """Negative control: without C = Σ x̂ sᵀ."""
    monkeypatch.setattr(
        represented.affine, "covariance", lambda layer, *_: torch.zeros_like(layer.weight)
    )
    layers = make().to(dtype)
    with pytest.raises(AssertionError, match="not close"):
        assert_equal_training(layers, samples(layers, dtype=dtype), 1e-4)


@pytest.mark.parametrize("make", [linear_layers, conv_layers])
def test_the_plain_mean_for_that_of_a_leak_fails(make, monkeypatch):
    """Negative control: Σ_t w_t x̂_t is not the mean of x̂."""
    whole = represented.normed_neurons
    monkeypatch.setattr(
        represented,
        "normed_neurons",
        lambda *args, **options: whole(*args, **options)._replace(weighted=None),
    )
    layers = make(leak=0.8).double()
    with pytest.raises(AssertionError, match="not close"):
        assert_equal_training(layers, samples(layers), 1e-4)


@pytest.mark.parametrize("steps", [1, 3, 9])
def test_any_number_of_steps(steps):
    layers = linear_layers().double()
    assert_equal_training(layers, samples(layers, steps))


@pytest.mark.parametrize("coding", ["direct", "rate"])
@pytest.mark.parametrize("name, options", [
    ("mlp", {"features": [12, 10]}),
    ("vgg", {"variant": "vggsnn", "width": 16, "hidden": [8]}),
])  # fmt: skip
def test_whole_networks(name, options, coding):
    model = create_model(
        name, in_shape=(2, 8, 8), classes=3, steps=4, coding=coding, neuron="integrate",
        neuron_options={"gradient": "representation", "fraction": 0.5, "learn_amplitude": True},
        **options,
    ).double()  # fmt: skip
    alone = copy.deepcopy(model)
    use_kernels(alone, "reference")
    use_kernels(model, "fused")
    x, labels = torch.rand(5, 2, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    for network in (model, alone):
        torch.manual_seed(7)  # of the rate code
        cross_entropy(network.mean_logits(x), labels).backward()
        cross_entropy(network(x)[1], labels).backward()
    assert used_kernels(model) == "fused" and used_kernels(alone) == "reference"
    for (key, value), other in zip(model.named_parameters(), alone.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(value.grad, other.grad, rtol=0, atol=1e-10, msg=key)
    if coding == "direct":
        for network in (model, alone):
            network.load_state_dict(alone.state_dict())
        assert torch.equal(model.eval().predict(x), alone.eval().predict(x))


def saved_bytes(layers, steps):
    """Bytes that the forward pass keeps for the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = samples(layers, steps, torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        in_turn(layers, x)
    return sum(kept.values())


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("make", [linear_layers, conv_layers])
def test_what_is_kept_does_not_grow_with_the_steps(make, leak):
    layers = make(leak=leak)
    found = [saved_bytes(layers, steps) for steps in (4, 16, 64)]
    assert found[0] == found[1] == found[2] > 0
    # Negative control: the layers one after the other keep their inputs of all steps.
    use_kernels(layers, "reference")
    grown = [saved_bytes(layers, steps) for steps in (4, 16, 64)]
    assert grown[2] > 6 * grown[0] and grown[0] > found[0]


def input_gradient(layers, x, kernels):
    use_kernels(layers, kernels)
    x = x.clone().requires_grad_()
    layers.zero_grad()
    out = in_turn(layers, x)
    (out * torch.arange(1.0, len(out) + 1).view(-1, *[1] * (out.dim() - 1))).sum().backward()
    return x.grad


@pytest.mark.parametrize("make", [linear_layers, conv_layers])
def test_an_input_that_no_such_neurons_sent_gets_the_gradient_of_each_step(make):
    layers = make().double()
    x = samples(layers)
    found = input_gradient(layers, x, "auto")
    assert used_kernels(layers) == "mixed"  # all but the first layer
    expected = input_gradient(layers, x, "reference")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert float((expected[0] - expected[1]).abs().max()) > 1e-3


def swap(layers, index, part):
    layers[index] = part
    return layers


WATCHED = nn.Linear(7, 9)
WATCHED.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("layers, why", [
    (conv_layers(pool=nn.MaxPool2d(2)), r"not what neurons .*sent, at most flattened or pooled"),
    (swap(linear_layers(), 1, SpikingLayer(norm(9), neuron(9, gradient="surrogate"))),
     r"no fused kernel for Integrate|not what neurons .*sent"),
    (linear_layers("per-step"), r"batch norms of their own.*differs between them"),
    (swap(linear_layers(), 0, OverTime(WATCHED)), r"a hook observes"),
    (swap(linear_layers(), 2, OverTime(nn.Sequential(nn.Linear(9, 8)))), r"Sequential is not an"),
    (swap(linear_layers(), 2, nn.Linear(9, 8)), r"Linear is not an affine layer of all steps"),
    (swap(linear_layers(), 1, SpikingLayer(norm(9), neuron(8))), r"another number of channels"),
])  # fmt: skip
def test_what_is_not_computed_together(layers, why):
    """`fused` refuses it, and says why; `auto` computes one layer after the other."""
    x = samples(layers, dtype=torch.float32)
    use_kernels(layers, "fused")
    with pytest.raises(ConfigError, match="cannot compute this layer") as caught:
        in_turn(layers, x)
    assert re.search(why, caught.value.why), caught.value.why
    if "channels" in why:
        return
    found = [
        gradients(copy.deepcopy(layers), x)[1]
        for kernels in ("auto", "reference")
        if use_kernels(layers, kernels) is None
    ]
    for name, grad in found[1].items():
        torch.testing.assert_close(found[0][name], grad, rtol=0, atol=2e-4)


def test_without_gradients_nothing_is_summed(monkeypatch):
    layers = linear_layers().eval()
    use_kernels(layers, "fused")
    monkeypatch.setattr(represented.affine, "covariance", None)
    with torch.no_grad():
        out = in_turn(layers, samples(layers, dtype=torch.float32))
        use_kernels(layers, "reference")
        assert torch.equal(out, in_turn(layers, samples(layers, dtype=torch.float32)))


def test_observers_and_taps():
    """Spikes are counted before the pool; a loss may read the output of any layer."""
    layers = conv_layers()
    x, found = samples(layers, dtype=torch.float32), []
    for kernels in ("fused", "reference"):
        each = copy.deepcopy(layers)
        use_kernels(each, kernels)
        counts = []
        each[1].spike_observers.append(lambda *count, counts=counts: counts.append(count))
        each[1].count_observers.append(lambda count, counts=counts: counts.append(count))
        with layer_outputs(each) as outputs:
            out = in_turn(each, x)
        (outputs["1"].square().sum() + out.sum()).backward()
        found.append((counts, each[0].layer.weight.grad, outputs["1"].shape))
    assert found[0][2] == found[1][2] == (5, 4, 16, 4, 4)
    assert torch.equal(found[0][0][0][0], found[1][0][0][0])
    assert found[0][0][0][1] == found[1][0][0][1] == 4 * 16 * 8 * 8
    assert torch.equal(found[0][0][1], found[1][0][1])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-3)


def test_half_precision():
    """Under autocast the products are of bfloat16, norm and neurons of float32."""
    layers = linear_layers(None)
    x, found = samples(layers, dtype=torch.float32), []
    for kernels in ("fused", "reference"):
        each = copy.deepcopy(layers)
        use_kernels(each, kernels)
        with torch.autocast("cpu", torch.bfloat16):
            out = in_turn(each, x)
        out.float().mean(1).sum().backward()
        found.append((out.detach(), each[2].layer.weight.grad, each[0].layer.bias.grad))
        assert out.dtype == torch.bfloat16 and found[-1][1].dtype == torch.float32
    assert torch.equal(found[0][0], found[1][0])
    for mine, other in zip(found[0][1:], found[1][1:], strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0.02 * float(other.abs().max()))


@torch.no_grad()
def test_norms_of_half_precision():
    """The kernels read the norm's values as float32; a network of bfloat16 keeps off them."""
    layers = conv_layers().bfloat16().eval()
    for norm in layers.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.bias.uniform_(-1, 1)
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)
    x = samples(layers, dtype=torch.bfloat16)
    found = []
    for kernels in ("auto", "reference"):
        use_kernels(layers, kernels)
        found.append(in_turn(layers, x).float())
    assert 0 < (found[0] > 0).float().mean() < 1
    assert (found[0] != found[1]).float().mean() < 0.02  # sums are rounded in another order


@pytest.mark.parametrize("shape", [(0, 12, 7), (5, 0, 7)])
def test_nothing_to_compute(shape):
    layers = linear_layers(None)
    out = in_turn(layers, torch.zeros(shape))
    assert out.shape == (*shape[:2], 6)
    out.sum().backward()


def test_a_single_value_is_refused_by_its_norm():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        in_turn(linear_layers(), torch.zeros(1, 1, 7))


@pytest.mark.slow
def test_compiled_networks_compute_the_layers_one_after_the_other():
    layers = linear_layers()
    x, found = samples(layers, dtype=torch.float32), []
    for run in (in_turn, torch.compile(in_turn, backend="aot_eager")):
        each = copy.deepcopy(layers)
        run(each, x).mean(1).sum().backward()
        found.append({name: value.grad for name, value in each.named_parameters()})
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, rtol=0, atol=1e-5)
