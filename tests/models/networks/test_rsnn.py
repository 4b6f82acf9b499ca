"""The recurrent network: against a loop over steps, and a training step in every kind of sample."""

import pytest
import torch
from torch.nn.functional import batch_norm, cross_entropy, linear

from asnn.core import ConfigError
from asnn.learning.optimizer import make_optimizer
from asnn.learning.recipe.schema import TrainSection
from asnn.models import create_model, use_kernels
from tests.support.samples import CODES, batch_of, spec_for

STEPS, CLASSES = 4, 3


def network(coding="temporal", *, name="rsnn", shape=(2, 4, 3), seed=0, **options):
    spec = spec_for(coding, shape, STEPS)
    torch.manual_seed(seed)
    model = create_model(
        name, in_shape=spec.shape, classes=CLASSES, sample=spec, coding=coding, steps=STEPS,
        **{"features": [7, 5], **options},
    )  # fmt: skip
    return model, spec


def lively(model, gain=1.5):
    """The network with gains at which it spikes, and recurrent weights that matter."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            value += 0.1 * torch.randn_like(value)
            if name.endswith("gain"):
                value += gain
            elif name.endswith("neuron.weight"):
                value += torch.randn_like(value)
    return model


def by_step(model, code, *, recurrent=1.0):
    """The network from its weights alone, one step at a time."""
    w = dict(model.state_dict())
    before, membrane, logits = [0.0, 0.0], [0.0, 0.0], []
    for t, x in enumerate(code):
        x = x.flatten(1)
        for i, stem in enumerate((".spikes.1", ".layer")):
            at = f"body.spikes{i + 1}"
            x = linear(x, w[f"body.linear{i + 1}{stem}.weight"])
            x = batch_norm(x, *(w[f"{at}.norm.norm.{key}"] for key in
                                ("running_mean", "running_var", "weight", "bias")))  # fmt: skip
            if t:
                x = x + recurrent * before[i] @ w[f"{at}.neuron.weight"].T
            leak, gain = (w[f"{at}.neuron.neuron.{key}"][t] for key in ("leak", "gain"))
            v = leak * membrane[i] + gain * x
            x = before[i] = (v > 1).to(v.dtype)
            membrane[i] = v - x
        rows = linear(x, w["body.readout.linear.weight"], w["body.readout.linear.bias"])
        logits.append(w["body.readout.scale"][t] * rows)
    return torch.stack(logits)


def test_logits_equal_a_loop_over_steps():
    model, spec = network()
    model = lively(model).double().train()
    for seed in range(5):
        model(batch_of(spec, 16, seed).double())  # running statistics
    x = batch_of(spec, 9, 7).double()
    model.eval()
    with torch.no_grad():
        found = model(x)
        code = model.coding.encode(x)
        torch.testing.assert_close(found, by_step(model, code), rtol=0, atol=1e-12)
        # Negative control: a recurrence of half the weights is found.
        assert (found - by_step(model, code, recurrent=0.5)).abs().max() > 0.01
        torch.testing.assert_close(model.frozen()(x), found, rtol=0, atol=1e-9)


def test_without_recurrent_weights_it_is_the_mlp_bit_for_bit():
    model, spec = network()
    plain, _ = network(name="mlp")
    for each in (model, plain):
        use_kernels(each, "reference")
    lively(model)
    weights = model.state_dict()
    plain.load_state_dict(
        {
            key.replace("neuron.neuron.", "neuron."): value
            for key, value in weights.items()
            if not key.endswith("neuron.weight")
        }
    )
    x = batch_of(spec, 16)
    model.eval(), plain.eval()
    assert not torch.equal(model(x), plain(x))  # negative control
    with torch.no_grad():
        for layer in (model.body.spikes1, model.body.spikes2):
            layer.neuron.weight.zero_()
    assert torch.equal(model(x), plain(x))


@pytest.mark.parametrize("norm", ["folded", "per-step", None])
@pytest.mark.parametrize("coding", CODES)
def test_a_training_step_in_every_kind_of_sample(coding, norm):
    model, spec = network(coding, norm=norm)
    lively(model, gain=6.0)  # latency codes have few spikes
    train = TrainSection(lr=0.01, weight_decay=0.1)
    optimizer = make_optimizer(train, model)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    x, labels = batch_of(spec, 8), torch.arange(8) % CLASSES
    cross_entropy(model(x).mean(0), labels).backward()
    optimizer.step()
    for name, value in model.named_parameters():
        assert value.grad is not None and value.grad.isfinite().all(), name
        assert value.isfinite().all()
        assert torch.equal(value, before[name]) == (not value.grad.any()), name
    for layer in (model.body.spikes1, model.body.spikes2):
        assert layer.neuron.weight.grad.any()
    assert model.eval()(batch_of(spec, 0)).shape == (STEPS, 0, CLASSES)


def test_weight_decay_reaches_the_recurrent_weights():
    model, _ = network()
    train = TrainSection(optimizer="sgd", lr=0.1, weight_decay=0.5)
    before = model.body.spikes1.neuron.weight.detach().clone()
    leak = model.body.spikes1.neuron.neuron.leak.detach().clone()
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    make_optimizer(train, model).step()
    torch.testing.assert_close(model.body.spikes1.neuron.weight.detach(), 0.95 * before)
    assert torch.equal(model.body.spikes1.neuron.neuron.leak.detach(), leak)


def test_number_of_parameters():
    model, _ = network()  # steps of 24 values
    layers = 24 * 7 + 7 * 5 + (5 * CLASSES + CLASSES)
    recurrent, norms, schedules = 7**2 + 5**2, 2 * (7 + 5), 2 * 2 * STEPS + STEPS
    assert sum(p.numel() for p in model.parameters()) == layers + recurrent + norms + schedules


@pytest.mark.parametrize("features", [[], [0], [4, -1]])
def test_features_must_be_positive(features):
    with pytest.raises(ConfigError, match="features must be positive, not"):
        network(features=features)


def test_neurons_without_spikes_are_refused():
    with pytest.raises(ConfigError) as caught:
        network(neuron="relu")
    assert caught.value.what == "rsnn is a network of leaky neurons, not of Relu"
    assert caught.value.remedy == "set model.neuron to adaptive or fixed"
