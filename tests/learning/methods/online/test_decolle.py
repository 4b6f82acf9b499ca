"""DECOLLE: its gradient, against one worked out by hand and against another implementation."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, smooth_l1_loss

from asnn.core import ConfigError
from asnn.learning.methods import create_method
from asnn.models.layers.spiking import layer_outputs
from tests.support.online_trainings import CLASSES, STEPS, prepared, spike_file

RHO, THETA, ALPHA, TAUS = np.exp(-1 / 2.0), 0.2, 10.0, [1.5, 4.0]
HIDDEN = ["linear1", "linear2"]


@pytest.fixture
def training(tmp_path):
    def make(**options):
        options = {"model__bias": 0.15, **options}
        return prepared(spike_file(tmp_path / "a.npz"), tmp_path / "run", "decolle", **options)

    return make


def a_batch(batch=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = (torch.rand(batch, STEPS, 4, generator=g) < 0.5).double()
    y = torch.randint(0, CLASSES, (STEPS, batch), generator=g)
    y[:2] = -1
    return x, y


def run(training, x, y, share):
    """Run the rule over a batch, and return losses and outputs."""
    training.model.double()
    method = training.method
    method.readouts = [each.double() for each in method.readouts]
    rule = method.start(training, len(x))
    return [rule(x[:, t], y[t], share) for t in range(STEPS)]


def by_hand(training, x, y, rate_cost=0.0, rate=0.1):
    """Return the gradients by layer and the loss, by the equations, with NumPy alone."""
    w = {k.removeprefix("body."): v.detach().numpy() for k, v in training.model.named_parameters()}
    readouts = [each.numpy() for each in training.method.readouts]
    readouts.append(w["readout.linear.weight"])
    poles = np.exp(-1 / np.array(TAUS))
    batch, total, gradients, sent = len(x), 0.0, {}, []
    p = [[np.zeros((batch, n)) for _ in poles] for n in (4, 7)]
    r = [np.zeros((batch, 7)), np.zeros((batch, 5))]
    for t in range(STEPS):
        value = x[:, t].numpy()
        known = y[t].numpy() >= 0
        for i, name in enumerate(HIDDEN):
            p[i] = [a * f + (1 - a) * value for a, f in zip(poles, p[i], strict=True)]
            features = np.concatenate(p[i], 1)
            u = features @ w[f"{name}.layer.weight"].T + w[f"{name}.layer.bias"] - r[i] - THETA
            s = (u > 0).astype(float)
            logits = s @ readouts[i].T
            softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            label = np.eye(CLASSES)[y[t].numpy() % CLASSES]
            total -= (np.log((softmax * label).sum(1)) * known).sum() / batch
            error = (softmax - label) * known[:, None] / batch @ readouts[i]
            above = max(s.mean() - rate, 0)
            total += rate_cost * above**2
            error = error + rate_cost * 2 * above / s.size
            local = error / (ALPHA * np.abs(u) + 1) ** 2
            for key, each in (("weight", local.T @ features), ("bias", local.sum(0))):
                gradients[f"{name}.layer.{key}"] = gradients.get(f"{name}.layer.{key}", 0) + each
            r[i] = RHO * r[i] + THETA * s
            value = s
            sent.append(s.mean())
    return gradients, total, sent


@pytest.mark.parametrize("cost", [0.0, 3.0])
def test_its_gradient_is_that_by_hand(training, cost):
    made = training(method__rate_cost=cost, method__rate=0.2)
    x, y = a_batch()
    found = run(made, x, y, 1.0)
    expected, loss, sent = by_hand(made, x, y, rate_cost=cost, rate=0.2)
    assert 0.1 < np.mean(sent) < 0.9  # spikes, or the check passes by itself
    assert float(sum(each.loss for each in found)) == pytest.approx(loss, rel=1e-6)
    for name, value in expected.items():
        gradient = made.model.body.get_parameter(name).grad.numpy()
        np.testing.assert_allclose(gradient, value, rtol=1e-5, atol=1e-8)
        assert (np.abs(value) > 1e-6).mean() > 0.5
    if cost:
        without = by_hand(made, x, y)[0]
        assert not np.allclose(without["linear1.layer.weight"], expected["linear1.layer.weight"])


def test_autograd_without_cuts_is_another_gradient(training):
    """Negative control: the same losses, differentiated through time and layers."""
    made = training()
    x, y = a_batch()
    run(made, x, y, 1.0)
    local = {k: p.grad.clone() for k, p in made.model.named_parameters() if p.grad is not None}
    made.model.zero_grad()
    with layer_outputs(made.model) as outputs:
        logits = made.model.run(x.transpose(0, 1))
    hidden = outputs["spikes1"] @ made.method.readouts[0].T
    loss = sum(
        cross_entropy(each.flatten(0, 1), y.flatten(), ignore_index=-1, reduction="sum") / len(x)
        for each in (hidden, logits)
    )
    assert loss.item() == pytest.approx(by_hand(made, x, y)[1], rel=1e-6)
    loss.backward()
    for name, value in local.items():
        assert not torch.allclose(value, made.model.get_parameter(name).grad, rtol=1e-3), name


def test_the_rule_runs_the_network_itself(training):
    made = training()
    x, y = a_batch()
    found = torch.stack([each.outputs for each in run(made, x, y, 0.0)])
    torch.testing.assert_close(found, made.model.run(x.transpose(0, 1)).detach())
    assert all(p.grad is None for p in made.model.parameters())  # a share of 0 teaches nothing


@pytest.mark.slow
def test_a_layer_learns_from_its_own_loss_alone(training):
    """Another local readout of the first layer changes the gradient of that layer only."""
    gradients = []
    for factor in (1, -2):
        made = training()
        made.method.readouts[0] *= factor
        run(made, *a_batch(), 1.0)
        gradients.append([made.model.body.get_parameter(f"{n}.layer.weight").grad for n in HIDDEN])
    (first, second), (other, same) = gradients
    assert not torch.allclose(first, other)
    torch.testing.assert_close(second, same, rtol=0, atol=0)


def test_smooth_l1_is_that_of_torch(training):
    made = training(method__loss="smooth-l1")
    x, y = a_batch()
    found = run(made, x, y, 0.0)
    with layer_outputs(made.model) as outputs, torch.no_grad():
        logits = made.model.run(x.transpose(0, 1))
    for t, each in enumerate(found):
        target = torch.eye(CLASSES, dtype=torch.float64)[y[t]]
        hidden = outputs["spikes1"][t] @ made.method.readouts[0].T
        expected = sum(smooth_l1_loss(out, target) for out in (hidden, logits[t]))
        expected = 0.0 if t < 2 else float(expected)  # steps without labels
        assert float(each.loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_readouts_are_random_fixed_and_of_the_seed(training):
    one, same, other = training(), training(), training(train__seed=1)
    readout = one.model.readout.linear
    assert not readout.weight.requires_grad and not readout.bias.any()
    for made, equal in ((same, True), (other, False)):
        for a, b in zip(
            [*one.method.readouts, readout.weight],
            [*made.method.readouts, made.model.readout.linear.weight],
            strict=True,
        ):
            assert torch.equal(a, b) == equal
    bound = 2 / np.sqrt(7)
    assert 0.5 * bound < one.method.readouts[0].abs().max() <= bound


def test_readouts_are_in_checkpoints(training):
    one, other = training(), training(train__seed=1)
    other.method.restore(one.method.state())
    assert torch.equal(one.method.readouts[0], other.method.readouts[0])
    with pytest.raises(ValueError, match="those of another network"):
        other.method.restore({"readouts": [torch.zeros(3, 9)]})


def test_refusals(training):
    for option, message in (
        ({"burn_in": -1}, "burn_in must be 0 or more, not -1"),
        ({"every": 0}, "every must be 1 or more, not 0"),
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"readout_scale": 0}, "readout_scale must be above 0, not 0"),
        ({"rate_cost": -1}, "rate_cost must be 0 or more, not -1"),
        ({"rate": 2}, "rate must be from 0 to 1, not 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            create_method("decolle", **option)
    with pytest.raises(ConfigError, match="teaches layers of neurons, and this network has none"):
        training(model__features=[], model__readout_synapse=True)
    with pytest.raises(ConfigError, match="no gradient reaches the weights of spikes1"):
        training(model__neuron="integrate", neuron={"gradient": "none"})
