"""Frozen networks: they predict as the network in evaluation mode, never from older weights.

Folding rounds differently, which may move a membrane across the threshold. In float64 this does
not happen in practice, and all logits are compared. In float32 only those samples are compared in
which no membrane of a float64 forward pass comes within `MARGIN` of the threshold.
"""

import copy
import warnings

import pytest
import torch
from torch import nn

from asnn.core.errors import ConfigError
from asnn.measure.spikes import SpikeRates
from asnn.models import create_model, use_kernels
from asnn.models.frozen import freeze
from asnn.models.layers.norm import FoldedNorm, SplitNorm
from asnn.models.layers.spiking import SpikingLayer, used_kernels
from asnn.models.layers.time import OverTime
from asnn.models.network import SpikingNetwork
from asnn.models.neurons.leaky import AdaptiveLeaky

MARGIN = 2e-5
SIZES = {"lenet": {"widths": [16, 16], "hidden": 12}, "mlp": {"features": [14, 11]}}


def network(name="mlp", *, coding="hybrid", norm="folded", steps=3, **options):
    """A network in evaluation mode, with random statistics and parameters."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "norm 'shared'")
        model = create_model(
            name, in_shape=(2, 6, 6), classes=4, coding=coding, steps=steps, norm=norm,
            mean=[0.4, 0.5], std=[0.3, 0.2], **SIZES[name], **options,
        )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.is_floating_point() and not key.endswith((".mean", ".std")):
                drawn = torch.rand(value.shape, generator=generator)
                if key.endswith(("norm.weight", "running_var", "gain", "leak", "scale")):
                    value.copy_(0.4 + drawn)
                elif key.endswith(("norm.bias", "running_mean")):
                    value.copy_(drawn - 0.4)
                else:
                    value.mul_(1 + drawn)
        for key, value in model.named_parameters():
            if key.endswith("gain"):
                value.mul_(2)
    return model.eval()


def image(number=12, seed=0):
    return torch.rand(number, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def code_of(model, x):
    torch.manual_seed(5)  # for a random code
    return model.coding.encode(x)


def distance_to_threshold(model, code):
    """Return the least distance of a membrane to its threshold in float64, for each sample."""
    exact = copy.deepcopy(model).double()
    use_kernels(exact, "reference")
    found = []

    def record(neuron, args, out):
        x, p = args[0], neuron.step_parameters()
        v = torch.zeros_like(x[0])
        for t in range(len(x)):
            v = p.leak[t] * v + p.gain[t] * x[t]
            found.append((v - p.threshold).abs().flatten(1).amin(1))
            v = v - p.threshold * out[t]

    for layer in exact.modules():
        if isinstance(layer, SpikingLayer):
            layer.neuron.register_forward_hook(record)
    with torch.no_grad():
        exact.run(code.double())
    return torch.stack(found).amin(0)


CASES = [
    (name, coding, norm)
    for name in SIZES
    for coding in ("direct", "hybrid", "rate", "temporal")
    for norm in ("folded", "per-step", "shared")
]


@pytest.mark.parametrize(("name", "coding", "norm"), CASES)
@pytest.mark.parametrize("steps", [3, 2, 1])
def test_in_float64_the_logits_equal_those_of_evaluation_mode(name, coding, norm, steps):
    model = network(name, coding=coding, norm=norm).double()
    code = code_of(model, image().double())[:steps]
    with torch.no_grad():
        expected = model.run(code)
    assert expected.std(1).min() > 1e-3  # the logits of the samples differ: there are spikes
    torch.testing.assert_close(model.frozen().run(code), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "coding", "norm"), CASES)
@pytest.mark.parametrize("kernels", ["fused", "reference"])
def test_in_float32_they_are_equal_where_no_membrane_is_near_the_threshold(
    name, coding, norm, kernels
):
    if kernels == "fused":
        pytest.importorskip("numba", reason="the CPU kernels are compiled by numba")
    model = network(name, coding=coding, norm=norm)
    use_kernels(model, kernels)
    code = code_of(model, image(24))
    clear = distance_to_threshold(model, code) > MARGIN
    assert clear.sum() >= 12
    with torch.no_grad():
        expected = model.run(code)
        found = model.frozen().run(code)
    torch.testing.assert_close(found[:, clear], expected[:, clear], rtol=1e-4, atol=1e-4)
    assert used_kernels(model) == used_kernels(model.frozen()) == kernels


def test_other_statistics_give_other_logits():
    """The negative control of the tests above."""
    model, other = network().double(), network().double()
    other.body.spikes1.norm.others.norm.running_var.mul_(1.2)
    code = code_of(model, image().double())
    with pytest.raises(AssertionError):
        torch.testing.assert_close(other.frozen().run(code), model.run(code).detach())


def test_folding_is_the_formula():
    model = network("lenet")
    frozen, norms = model.frozen().body, model.body.spikes1.norm
    assert isinstance(norms, SplitNorm)
    pairs = [
        (model.body.conv1.analog, norms.first.norm, frozen.conv1.analog),
        (model.body.conv1.spikes, norms.others.norm, frozen.conv1.spikes),
        (model.body.conv2.layer, model.body.spikes2.norm.norm, frozen.conv2.layer),
        (model.body.linear.layer, model.body.spikes3.norm.norm, frozen.linear.layer),
    ]
    for affine, norm, folded in pairs:
        for k in range(len(affine.weight)):
            mean, variance, weight, bias = (
                value[k].item()
                for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            )
            factor = weight / (variance + norm.eps) ** 0.5
            torch.testing.assert_close(folded.weight[k], affine.weight[k] * factor)
            bias -= mean * factor
            assert folded.bias[k].item() == pytest.approx(bias, rel=1e-5, abs=1e-6)
    assert frozen.spikes1.norm is frozen.spikes2.norm is frozen.spikes3.norm is None


def test_a_bias_before_the_norm_is_folded_too():
    norm = nn.BatchNorm1d(2)
    body = nn.Sequential(
        OverTime(nn.Linear(3, 2)), SpikingLayer(FoldedNorm(norm), AdaptiveLeaky(1))
    )
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
        norm.running_var.copy_(torch.tensor([4.0, 0.25]) - norm.eps)
        norm.weight.copy_(torch.tensor([3.0, 5.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.25]))
        body[0].layer.bias.copy_(torch.tensor([2.0, -1.0]))
    # (2 - 1) · 3 / 2 + 0.5 and (-1 - 2) · 5 / 0.5 + 0.25
    torch.testing.assert_close(freeze(body)[0].layer.bias, torch.tensor([2.0, -29.75]))
    weight = body[0].layer.weight * torch.tensor([[1.5], [10.0]])
    torch.testing.assert_close(freeze(body)[0].layer.weight, weight)


def test_per_step_norms_are_not_folded():
    model = network(norm="per-step", coding="temporal")
    assert model.frozen().body.spikes1.norm is not None
    assert torch.equal(model.frozen().body.linear1.spikes[-1].weight,
                       model.body.linear1.spikes[-1].weight)  # fmt: skip


def replace(model):
    old = model.body.linear2.layer.weight
    model.body.linear2.layer.weight = nn.Parameter(old.detach() * 2)


def replace_after_deleting(model):
    """The new weight may have the memory address of the old one."""
    value = model.body.linear2.layer.weight.detach() * 2
    del model.body.linear2.layer.weight
    model.body.linear2.layer.weight = nn.Parameter(value)


def assign(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["body.linear2.layer.weight"] *= 2
    model.load_state_dict(state, assign=True)


def load(model):
    state = model.state_dict()
    name = "body.linear2.layer.weight"
    model.load_state_dict({**state, name: 2 * state[name]})


def step_of(kind, *, fused):
    def step(model):
        optimizer = kind(model.parameters(), lr=0.1, fused=fused)
        model.mean_logits(image()).square().sum().backward()
        optimizer.step()

    return step


def in_place(of):
    def change(model):
        with torch.no_grad():
            of(model).mul_(2)

    return change


def new_layer(model):
    torch.manual_seed(9)
    model.body.linear2.layer = nn.Linear(14, 11, bias=False)


def no_norm(model):
    model.body.spikes2.norm = None


def batch(model):
    model.train()(image(seed=3))
    model.eval()


CHANGES = {
    "weight": in_place(lambda m: m.body.linear2.layer.weight),
    "bias": in_place(lambda m: m.body.readout.linear.bias),
    "data, which torch does not count": lambda m: (
        m.body.linear2.layer.weight.data.mul_(2),
        m.eval(),
    ),
    "statistic": in_place(lambda m: m.body.spikes2.norm.norm.running_var),
    "leak": in_place(lambda m: m.body.spikes1.neuron.leak),
    "threshold": in_place(lambda m: m.body.spikes1.neuron.threshold),
    "mean of the images": in_place(lambda m: m.body.linear1.mean),
    "a batch in training mode": batch,
    "step": step_of(torch.optim.Adam, fused=False),
    "fused step of adam": step_of(torch.optim.Adam, fused=True),
    "fused step of sgd": step_of(torch.optim.SGD, fused=True),
    "replaced parameter": replace,
    "deleted and set": replace_after_deleting,
    "assigned": assign,
    "loaded": load,
    "replaced layer": new_layer,
    "removed norm": no_norm,
    "double": lambda m: m.double(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_frozen_copy_is_renewed_when_the_network_changes(change):
    model = network()
    x = image()
    former, before = model.frozen(), model.predict(x)
    change(model)
    x = x.to(model.body.readout.linear.weight.dtype)
    after = model.predict(x)
    expected = freeze(model.body)(model.coding.encode(x)).mean(0)
    assert not torch.equal(expected, before.to(expected.dtype))
    torch.testing.assert_close(after, expected)
    assert model.frozen() is not former


def test_the_frozen_copy_is_renewed_when_the_kernels_change():
    model = network("lenet")
    former = model.frozen()
    use_kernels(model, "reference")
    now = model.frozen()
    assert now is not former
    assert {m.kernels for m in now.modules() if hasattr(m, "kernels")} == {"reference"}


def test_the_frozen_copy_is_kept_while_nothing_changes():
    model = network("lenet")
    frozen = model.frozen()
    model.predict(image())
    with torch.no_grad():
        model(image())
    model.predict(image(3), 2)
    copy.deepcopy(model)
    model.state_dict()
    assert model.frozen() is frozen


def test_a_deep_copy_has_its_own_frozen_copy():
    model = network()
    model.frozen()
    other = copy.deepcopy(model)
    in_place(lambda m: m.body.linear2.layer.weight)(other)
    assert not torch.equal(other.predict(image()), model.predict(image()))


def test_freezing_does_not_change_the_network():
    model = network("lenet")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    names = [name for name, _ in model.named_modules()]
    frozen = model.frozen()
    frozen.predict(image())
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [name for name, _ in model.named_modules()] == names
    assert all(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in frozen.parameters())
    mine = {p.data_ptr() for p in model.parameters()}
    assert mine.isdisjoint(p.data_ptr() for p in frozen.parameters())
    assert frozen.config == model.config and not frozen.training
    training = network("lenet").train()
    training.frozen()
    assert all(module.training for module in training.modules())


def test_predict_in_training_mode_uses_the_statistics_of_the_batch():
    model, x = network().train(), image()
    other, evaluating = copy.deepcopy(model), copy.deepcopy(model).eval()
    found = model.predict(x)
    torch.testing.assert_close(found, other(x).mean(0).detach(), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, evaluating.predict(x), atol=1e-3)
    statistics = model.body.spikes1.norm.first.norm.running_mean
    torch.testing.assert_close(statistics, other.body.spikes1.norm.first.norm.running_mean)
    assert not torch.equal(statistics, evaluating.body.spikes1.norm.first.norm.running_mean)


@pytest.mark.parametrize("name", list(SIZES))
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
@pytest.mark.parametrize("steps", [None, 3, 2, 1])
def test_mean_logits_are_the_mean_of_the_logits(name, scaled, steps):
    model, x = network(name, output_scale=scaled).double(), image().double()
    assert (model.body.readout.scale is not None) == scaled
    expected = model(x, steps)
    torch.testing.assert_close(model.mean_logits(x, steps), expected.mean(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.predict(x, steps), expected.mean(0).detach())
    if steps != 1:  # the negative control: the steps differ
        assert not torch.allclose(expected[0], expected.mean(0))


@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_gradients_of_mean_logits_are_those_of_the_mean(scaled):
    model, x = network(output_scale=scaled).double().train(), image().double()
    other = copy.deepcopy(model)
    model.mean_logits(x).square().sum().backward()
    other(x).mean(0).square().sum().backward()
    expected = dict(other.named_parameters())
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[key].grad, rtol=1e-8, atol=1e-10)


def test_without_a_readout_at_the_end_the_logits_are_averaged():
    model = network()
    model.body.append(nn.Identity())
    torch.testing.assert_close(model.mean_logits(image()), model(image()).mean(0))


def test_hooks_are_called_in_predict():
    model, seen = network(), []
    model.predict(image())  # makes the frozen copy
    model.body.spikes2.register_forward_hook(lambda *_: seen.append("layer"))
    model.predict(image())
    assert seen == ["layer"]


def test_a_step_of_a_fused_optimizer_is_noticed_in_evaluation_mode():
    model, x = network(), image()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=True)
    model(x).square().sum().backward()
    before = model.predict(x)
    optimizer.step()
    after = model.predict(x)
    optimizer.zero_grad()
    assert not torch.equal(before, after)
    assert torch.equal(model.predict(x), after)


def test_frozen_networks_can_be_copied_and_frozen_again():
    model, x = network("lenet"), image()
    expected = model.predict(x)
    assert torch.equal(copy.deepcopy(model).predict(x), expected)
    frozen = copy.deepcopy(model.frozen())
    assert frozen.frozen() is frozen
    assert torch.equal(frozen.predict(x), expected)


def test_spike_observers_are_notified_by_predict():
    model, x = network("lenet"), image()
    model.predict(x)
    with SpikeRates(model) as rates:
        model.predict(x)
    first = rates.by_layer()
    assert first and rates.mean() > 0
    model.predict(x)
    assert rates.by_layer() == first


def test_a_network_built_by_hand_predicts():
    made = network()
    assert SpikingNetwork(made.coding, made.body).eval().predict(image()).shape[0] == len(image())


@pytest.mark.slow
def test_torch_export_gives_the_same_logits():
    model, x = network("lenet"), image()
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-4)


def test_hooks_on_the_readout_see_the_logits_of_the_mean():
    model, x, seen = network("lenet"), image(), []
    expected = model.mean_logits(x)
    model.body.readout.register_forward_hook(lambda module, inputs, out: seen.append(out))
    torch.testing.assert_close(model.mean_logits(x), expected)
    assert len(seen) == 1 and seen[0].dim() == 3


@pytest.mark.parametrize("write", ["data", "numpy"])
def test_refresh_after_a_change_that_torch_does_not_count(write):
    torch.manual_seed(0)
    model = create_model("mlp", in_shape=(1, 4, 4), classes=3, steps=3, features=[6]).eval()
    x = torch.rand(5, 1, 4, 4)
    before = model.predict(x)
    bias = model.body.readout.linear.bias
    if write == "data":
        bias.data.add_(1)
    else:
        bias.detach().numpy()[:] += 1
    assert torch.equal(model.predict(x), before)  # as documented: it is not counted
    model.refresh()
    torch.testing.assert_close(model.predict(x), model(x).mean(0))
    assert not torch.equal(model.predict(x), before)


def test_a_pruned_network_says_what_to_do():
    from torch.nn.utils import prune

    model = create_model("mlp", in_shape=(1, 4, 4), classes=3, steps=3, features=[6]).eval()
    linear = model.body.readout.linear
    prune.l1_unstructured(linear, "weight", 0.5)
    x = torch.rand(5, 1, 4, 4)
    with pytest.raises(ConfigError, match="cannot be copied for inference") as refused:
        model.predict(x)
    assert "prune.remove" in refused.value.remedy
    prune.remove(linear, "weight")
    torch.testing.assert_close(model.predict(x), model(x).mean(0))
