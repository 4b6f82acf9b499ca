"""GLM: outputs against logistic regression, hidden neurons against an enumeration of all spikes."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from asnn.coding.draws import drawing, sample_keys
from asnn.core import ConfigError
from asnn.learning.methods import create_method
from asnn.learning.methods.online import three_factor
from asnn.learning.methods.online.three_factor import Baseline, log_likelihood, log_ratio
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs
from tests.support.online_trainings import CLASSES, STEPS, prepared, spike_file


@pytest.fixture
def training(tmp_path):
    def make(**options):
        return prepared(spike_file(tmp_path / "a.npz"), tmp_path / "run", "glm", **options)

    return make


def a_batch(batch=5):
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(batch, STEPS, 4, generator=g) < 0.4).double()
    y = torch.randint(0, CLASSES, (STEPS, batch), generator=g)
    y[:2] = -1
    return x, y


def run(made, x, y, share=1.0):
    made.model.double()
    for baseline in made.method.baselines.values():
        baseline.squares, baseline.products = baseline.squares.double(), baseline.products.double()
    rule = made.method.start(made, len(x))
    return [rule(x[:, t], y[t], share) for t in range(y.shape[0])]


def test_outputs_have_the_gradient_of_their_likelihood(training):
    made = training(model__features=[])
    x, y = a_batch()
    found = run(made, x, y)
    readout = made.model.readout.linear
    gradients = [readout.weight.grad.clone(), readout.bias.grad.clone()]
    logits = made.model.run(x.transpose(0, 1))
    target = one_hot(y.clamp(min=0), CLASSES).double()
    each = binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = (each * (y >= 0).unsqueeze(2)).sum() / len(x)
    expected = torch.autograd.grad(loss, [readout.weight, readout.bias])
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other)
        assert other.abs().min() > 1e-6
    assert float(sum(each.loss for each in found)) == pytest.approx(float(loss.detach()))


def test_the_rule_draws_the_spikes_of_the_network(training):
    """Given the keys of the samples, training steps and the network send the same spikes."""
    made = training(model__features=[6, 4], neuron__reset="subtract")
    x, y = a_batch()
    keys = sample_keys(torch.arange(len(x)), 3)
    with drawing(keys):
        found = torch.stack([each.outputs for each in run(made, x, y, 0.0)])
    with drawing(keys), torch.no_grad(), layer_outputs(made.model) as outputs:
        torch.testing.assert_close(found, made.model.run(x.transpose(0, 1)))
    assert 0.1 < float(outputs["spikes1"].mean()) < 0.9


def test_eligibility_is_the_derivative_of_the_likelihood(training):
    """Of the log-likelihood of all spikes so far, by autograd, with the spikes given."""
    made = training(model__features=[3], neuron__reset="subtract", method__decay=1.0)
    made.model.double()
    x, _ = a_batch()
    layers = next(iter(made.method.blocks.hidden.values()))
    layer = three_factor.HiddenLayer(layers[:-2], layers[-2].layer, layers[-1], 1.0, len(x))
    with torch.no_grad():
        steps = [layer.step(x[:, t]) for t in range(STEPS)]
    spikes = torch.stack([each[0] for each in steps])
    linear, neuron = layers[-2].layer, layers[-1].neuron
    traces = made.model.body.synapse1(x.transpose(0, 1))
    v, total = torch.zeros_like(spikes[0]), 0
    leak, gain, theta = (
        float(p.flatten()[0]) for p in (neuron.leak, neuron.gain, neuron.threshold)
    )
    for t in range(STEPS):
        v = leak * v + gain * linear(traces[t])
        total = total + log_likelihood(2.0 * (v - theta), spikes[t])
        torch.testing.assert_close(steps[t][1], (2.0 * (v - theta)).detach())
        v = v - theta * spikes[t]
    for b in range(len(x)):
        weight, bias = torch.autograd.grad(
            total[b].sum(), [linear.weight, linear.bias], retain_graph=True
        )
        torch.testing.assert_close(layer.state.weight[b], weight)
        torch.testing.assert_close(layer.state.bias[b], bias)
    assert layer.state.weight.abs().max() > 0.1


def enumerated(made, x, y, gamma, rate):
    """Return the exact gradient of E[log-likelihood] - γ KL of a layer, by all spike patterns, and
    the mean over them of what the rule gives; and both without weighting by probability."""
    body, steps = made.model.double().body, len(y)
    patterns = [
        torch.tensor(each, dtype=torch.float64).view(steps, 1, 3)
        for each in product([0.0, 1.0], repeat=3 * steps)
    ]
    weight = body.linear1.layer.weight
    objective, of_rule = 0, 0
    traces = body.synapse1(x.transpose(0, 1)[:steps])
    for pattern in patterns:
        logits = body.readout(body.synapse(pattern))
        target = one_hot(y, CLASSES).double()
        visible = log_likelihood(logits, target).sum()
        u = 2.0 * (body.linear1.layer(traces) - 0.1)
        probability = log_likelihood(u, pattern).sum().exp()
        ratio = log_ratio(u, pattern, rate).sum()
        objective = objective + probability * (visible - gamma * ratio)
        yield_spikes = iter(pattern)
        original = three_factor.drawn_spike
        three_factor.drawn_spike = lambda v, *_, spikes=yield_spikes: next(spikes).expand_as(v)
        weight.grad = None
        try:
            run(made, x, y)
        finally:
            three_factor.drawn_spike = original
        of_rule = of_rule + probability.detach() * weight.grad
    return torch.autograd.grad(objective, weight)[0], -of_rule


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_the_score_function_is_that_of_an_enumeration(training, gamma):
    """Three hidden neurons, two steps: 64 patterns of spikes."""
    options = {
        "method__decay": 1.0, "method__signal_decay": 0.0, "method__divergence": gamma,
        "neuron__leak": 0.0,
    }  # fmt: skip
    made = training(**options)
    for baseline in made.method.baselines.values():
        baseline.rate = 0.0  # none: it would depend on the spikes of the first step
    x = torch.tensor([[[1, 0, 1, 1], [0, 1, 1, 0]]], dtype=torch.float64)
    y = torch.tensor([[1], [2]])
    exact, found = enumerated(made, x, y, gamma, 0.2)
    torch.testing.assert_close(found, exact)
    assert exact.abs().max() > 1e-3 and float((exact.abs() > 1e-5).double().mean()) > 0.5
    # Negative control: eligibilities that forget have another mean.
    made.method.decay = 0.2
    assert not torch.allclose(enumerated(made, x, y, gamma, 0.2)[1], exact, rtol=1e-3)


@pytest.mark.slow
def test_a_baseline_leaves_the_mean_and_lowers_the_variance():
    g = torch.Generator().manual_seed(0)
    e = torch.randn(4000, 1, 2, 3, generator=g, dtype=torch.float64)
    signal = 5 + e[:, :, :, 0] + 0.1 * torch.randn(4000, 1, 2, generator=g, dtype=torch.float64)
    baseline = Baseline(torch.zeros(2, 3, dtype=torch.float64), 0.05)
    found = torch.stack(
        [baseline.gradient(*each) for each in zip(e, signal, strict=True)]
    )[500:]  # fmt: skip
    plain = (signal.unsqueeze(3) * e)[500:, 0]
    error = 4 * plain.std(0) / len(plain) ** 0.5
    assert bool(((found.mean(0) - plain.mean(0)).abs() < error).all())
    assert bool((found.var(0) < 0.3 * plain.var(0)).all())


def test_the_log_ratio_has_the_divergence_as_its_mean():
    odds = torch.tensor([-2.0, 0.3, 1.5], dtype=torch.float64)
    p, r = odds.sigmoid(), 0.2
    mean = p * log_ratio(odds, torch.ones(3), r) + (1 - p) * log_ratio(odds, torch.zeros(3), r)
    expected = p * (p / r).log() + (1 - p) * ((1 - p) / (1 - r)).log()
    torch.testing.assert_close(mean, expected)


@pytest.mark.slow
def test_outputs_become_those_of_logistic_regression(tmp_path):
    """Online with a small learning rate, against a regression of each class on the same traces."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    path = spike_file(tmp_path / "a.npz", count=240)
    made = prepared(path, tmp_path / "run", "glm", model__features=[])
    data = made.data.train
    x, y = torch.as_tensor(data.inputs).float(), data.targets
    with torch.no_grad():
        traces = made.model.body.synapse(x.transpose(0, 1)).transpose(0, 1).flatten(0, 1).numpy()
    labels, known = y.flatten().numpy(), (y.flatten() >= 0).numpy()
    theirs = linear_model.LogisticRegression(C=1e6, max_iter=2000)
    scores = np.stack(
        [
            theirs.fit(traces[known], labels[known] == k).decision_function(traces[known])
            for k in range(CLASSES)
        ]
    )
    expected = (scores.argmax(0) == labels[known]).mean()
    generator = torch.Generator().manual_seed(0)
    for lr in [2.0] * 25 + [0.5] * 15 + [0.1] * 10:
        order = torch.randperm(len(x), generator=generator)
        for batch in order.split(36):
            rule = made.method.start(made, len(batch))
            for t in range(STEPS):
                made.model.zero_grad()
                rule(x[batch, t], y[batch, t], 1.0)
                with torch.no_grad():
                    for parameter in made.model.readout.parameters():
                        parameter -= lr * parameter.grad
    with torch.no_grad():
        found = made.model.run(x.transpose(0, 1)).transpose(0, 1).flatten(0, 1)[known]
    accuracy = float((found.argmax(1).numpy() == labels[known]).mean())
    assert 0.75 < expected < 0.99
    assert accuracy == pytest.approx(expected, abs=0.01)


def test_running_averages_are_in_checkpoints(training):
    one, other = training(), training()
    run(one, *a_batch())
    saved = one.method.state()
    assert saved["spikes1.weight"]["squares"].abs().max() > 0
    other.method.restore(saved)
    for name, baseline in other.method.baselines.items():
        assert torch.equal(baseline.products, one.method.baselines[name].products.float())
    with pytest.raises(ValueError, match="those of another network"):
        other.method.restore({})


def test_refusals(training):
    for option, message in (
        ({"decay": 1.5}, "decay must be from 0 to 1, not 1.5"),
        ({"signal_decay": 1.0}, "signal_decay must be from 0 to below 1"),
        ({"divergence": -1.0}, "divergence must be 0 or more"),
        ({"rate": 0.0}, "rate must be above 0 and below 1"),
        ({"baseline": 0.0}, "baseline must be above 0 and at most 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            create_method("glm", **option)
    for options, message, remedy in (
        ({"neuron": {}}, "glm is not for the neurons of spikes1", "neuron.noise=logistic"),
        ({"model__neuron": "adaptive"}, "does not learn leak, gain and threshold", "fixed"),
        ({"neuron__reset": "zero"}, "is not for the reset of spikes1", "neuron.reset=subtract"),
    ):
        with pytest.raises(ConfigError, match=message) as refused:
            training(**options)
        assert remedy in refused.value.remedy


def test_networks_of_drawn_neurons_predict_without_noise():
    """What is trained is a network like any other."""
    model = create_model(
        "trace-mlp", in_shape=(1, 3, 3), classes=2, coding="rate", steps=4, features=[3],
        synapse="traces", neuron="fixed", neuron_options={"noise": "logistic"},
    )  # fmt: skip
    assert model.eval().predict(torch.rand(2, 1, 3, 3)).shape == (2, 2)
