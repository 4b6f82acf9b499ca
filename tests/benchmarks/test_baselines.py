"""Baselines: gradients, training steps, and the state of other libraries."""

import pytest
import torch
from torch.nn import functional

from asnn.benchmarks.baselines import BASELINES, build
from asnn.benchmarks.baselines.ann import AnnCounterpart
from asnn.benchmarks.equal_work import _draw_weights, _parts
from asnn.benchmarks.work import create_call
from tests.support.benchmark_cases import CONNECTED, SMALL, baseline_of


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("step-loop", SMALL),
        ("spikingjelly", SMALL),
        ("spikingjelly", CONNECTED[0]),
        ("spikingjelly", CONNECTED[2]),
        ("spikingjelly-dsr", SMALL),
    ],
    ids=str,
)
def test_gradients_agree_with_the_same_surrogate(name, case):
    """The backward pass: leak = gain = 0.5, soft reset, sigmoid with α = 4 in all three; that of
    the spike representation in `dsr`."""
    baseline = baseline_of(name)
    gradients = []
    for each in (baseline, BASELINES[baseline.reference]):
        network = build(each, case, matched=True).eval()
        _draw_weights(network, case, seed=3)
        functional.cross_entropy(network(case.images()), case.labels()).backward()
        # A convolution over tokens has one spatial axis less than one over images.
        gradients.append([layer.weight.grad.flatten(1) for layer in _parts(network)[0]])
    for mine, expected in zip(*gradients, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(
            mine, expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item()
        )


def test_both_relu_networks_train_alike():
    grads = []
    for name in ("relu", "relu-every-step"):
        network = build(BASELINES[name], SMALL, seed=1)
        create_call("train", network, SMALL)()
        # Gradients of the first step: Adam would amplify rounding.
        grads.append({key: value.grad for key, value in network.named_parameters()})
    for key, value in grads[0].items():
        scale = float(value.abs().max())
        torch.testing.assert_close(value, grads[1][key], rtol=1e-3, atol=1e-4 * scale)
    assert any(value.abs().max() > 1e-3 for value in grads[0].values())


@pytest.mark.parametrize("name", [n for n, each in BASELINES.items() if not each.slow_start])
def test_a_training_step_learns_and_leaves_no_state(name):
    baseline = baseline_of(name)
    network = build(baseline, SMALL)
    before = {key: value.clone() for key, value in network.named_parameters()}
    step = create_call("train", network, SMALL)
    step()
    step()  # fails if the first step left a graph behind
    weights = [key for key, value in before.items() if value.dim() > 1]
    after = dict(network.named_parameters())
    assert all(not torch.equal(before[key], after[key]) for key in weights)
    create_call("inference", network, SMALL)()
    first = network.predict(SMALL.images())
    torch.testing.assert_close(network.predict(SMALL.images()), first)
    assert not first.requires_grad and first.shape == (3, 5)


@pytest.mark.parametrize("case", CONNECTED, ids=str)
def test_ann_counterpart_has_no_spiking_neurons(case):
    network = AnnCounterpart(case)
    kinds = {type(module).__name__ for module in network.modules()}
    assert not kinds & {"SpikingLayer", "AdaptiveLeaky"}
    code = case.encoder.encode(case.images())
    create_call("train", network, case)()
    body = network.eval().model.body
    # The readout of the mean equals the mean of the logits.
    torch.testing.assert_close(network(case.images()), body(code).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_spikingjelly_is_compiled_only_for_the_timing():
    baseline = baseline_of("spikingjelly-compiled")
    timed, matched = build(baseline, SMALL), build(baseline, SMALL, matched=True)
    assert type(timed._run).__name__ == "OptimizedModule"
    assert matched._run is matched.net


def test_snntorch_does_not_keep_the_neurons():
    snntorch = pytest.importorskip("snntorch")
    before = list(snntorch.SpikingNeuron.instances)
    build(BASELINES["snntorch"], SMALL)
    assert snntorch.SpikingNeuron.instances == before
