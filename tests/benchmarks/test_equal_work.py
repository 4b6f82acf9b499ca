"""All baselines do equal work, and unequal work is found."""

import pytest
import torch
from torch.nn import functional

from asnn.benchmarks.baselines import BASELINES, build, unavailable
from asnn.benchmarks.baselines.ann import AnnCounterpart
from asnn.benchmarks.baselines.own import AsnnNetwork
from asnn.benchmarks.baselines.relu import Relu
from asnn.benchmarks.baselines.step_loop import StepLoop
from asnn.benchmarks.case import Case
from asnn.benchmarks.equal_work import _draw_weights, _parts, examine, expected_weights
from asnn.benchmarks.work import create_call

SMALL = Case(in_shape=(2, 8, 8), classes=5, steps=3, batch=3)
CASES = [
    SMALL,
    Case(in_shape=(1, 8, 6), classes=5, coding="hybrid", steps=3, batch=2),
    Case(in_shape=(1, 8, 8), classes=5, coding="rate", steps=2, batch=2),
    Case(model="mlp", in_shape=(1, 4, 4), classes=3, coding="hybrid", steps=4, batch=2),
]
CONNECTED = [  # networks that are not sequential
    Case("ms-resnet18-16", (2, 8, 8), 5, "direct", 3, 2),
    Case("ms-resnet18-16", (1, 9, 8), 5, "hybrid", 2, 2),
    Case("spikformer", (2, 8, 8), 5, "direct", 3, 2),
    Case("spikformer", (1, 9, 6), 5, "hybrid", 2, 2),
]
BUILDERS = ("asnn", "asnn-reference", "relu", "spikingjelly", "spikingjelly-compiled")


def baseline_of(name):
    baseline = BASELINES[name]
    if baseline.package:
        pytest.importorskip(baseline.package)
    return baseline


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("name", BASELINES)
def test_sequential_networks_do_equal_work(name, case):
    baseline = baseline_of(name)
    work = examine(baseline, build(baseline, case), case)
    assert work.faults == []
    assert work.output_shape == [4, case.classes]
    weights = (
        case.layers[-1].outputs * case.classes
        + case.classes
        + sum(
            layer.inputs * layer.outputs * (9 if layer.kind == "conv" else 1)
            for layer in case.layers
        )
    )
    assert work.parameters["weights"] == weights
    assert work.parameters["norms"] == 2 * sum(layer.outputs for layer in case.layers)
    if name in ("asnn-reference", "relu"):
        assert work.same_loss is None and work.reason
    else:
        assert work.same_loss is True
        assert work.loss_difference <= 1e-4 and work.logits_difference <= 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("case", CONNECTED, ids=str)
@pytest.mark.parametrize("name", BUILDERS)
def test_other_networks_do_equal_work(name, case):
    baseline = baseline_of(name)
    work = examine(baseline, build(baseline, case), case)
    assert work.faults == []
    assert work.output_shape == [4, case.classes]
    stem = 16 * (9 * case.in_shape[0] + 2)  # 3×3 convolution and its norm
    twice = case.stems == 2 and "spikingjelly" not in name
    assert work.parameters["second_stem"] == (stem if twice else 0)
    if name in ("asnn-reference", "relu"):
        assert work.same_loss is None and work.reason
    else:
        assert work.same_loss is True
        assert work.loss_difference <= 1e-4 and work.logits_difference <= 1e-3


@pytest.mark.parametrize("case", CONNECTED, ids=str)
def test_unsupported_networks_have_a_reason(case):
    reasons = {name: unavailable(each, case) for name, each in BASELINES.items()}
    refusing = {name for name, why in reasons.items() if why == f"it does not build {case.model}"}
    assert refusing == set(BASELINES) - set(BUILDERS)


def test_the_weights_of_ms_resnet18():
    """Stem, a stage of two blocks, three stages with a 1×1 shortcut in front, readout."""

    def stage(inputs, outputs):
        first = [f"{outputs}×{inputs}×3×3", f"{outputs}×{outputs}×3×3"]
        shortcut = [f"{outputs}×{inputs}"] if inputs != outputs else []
        return [*first, *shortcut, *[f"{outputs}×{outputs}×3×3"] * 2]

    expected = expected_weights(Case("ms-resnet18", coding="hybrid"))
    assert expected.shapes == [
        "64×3×3×3",
        *(each for i in range(4) for each in stage(64 * 2 ** max(i - 1, 0), 64 * 2**i)),
        "100×512 + bias",
    ]
    assert expected.channels == [64] * 5 + [128] * 5 + [256] * 5 + [512] * 5


def test_the_weights_of_spikformer():
    expected = expected_weights(Case("spikformer"))
    block = ["384×128 + bias", "128×128 + bias", "512×128 + bias", "128×512 + bias"]
    stem = ["16×3×3×3", "32×16×3×3", "64×32×3×3", "128×64×3×3", "128×128×3×3"]
    assert expected.shapes == [*stem, *block, *block, "100×128 + bias"]
    assert expected.channels == [16, 32, 64, 128, 128] + [384, 128, 512, 128] * 2


@pytest.mark.parametrize("case", CONNECTED[::2], ids=str)
def test_another_neuron_is_found_in_deep_networks(enter, case):
    """Negative control: spikes reach the readout, so the comparison depends on the neurons."""
    other = {"leak": 0.49, "gain": 0.5, "reset": "subtract"}
    baseline = enter("other", lambda case, matched: AsnnNetwork(case, "reference"), neuron=other)
    work = examine(baseline, build(baseline, case), case)
    assert work.same_loss is False


@pytest.mark.parametrize("change", ["pools", "scale", "biases"])
def test_spikformer_as_spikingjelly_ships_it_does_other_work(enter, change):
    """Negative control: each change that the baseline makes is needed."""
    pytest.importorskip("spikingjelly")

    def make(case, matched):
        network = build(BASELINES["spikingjelly"], case, matched=matched)
        for stage in network.net.patch_embed.stages:
            if change == "pools" and isinstance(stage, torch.nn.Sequential):
                stage[0].conv_bn.block.append(torch.nn.MaxPool2d(3, 2, 1))
                stage[1] = torch.nn.Identity()
        for block in network.net.blocks:
            if change == "scale":
                block.attn.scale = 0.125
            for layer in block.modules():
                if change == "biases" and isinstance(layer, torch.nn.Conv1d):
                    layer.bias = None
        return network

    case = CONNECTED[2]
    baseline = enter("shipped", make, neuron=BASELINES["spikingjelly"].neuron)
    work = examine(baseline, build(baseline, case), case)
    assert len(work.faults) == 1
    assert ("its weights have the shapes" in work.faults[0]) is (change == "biases")
    assert work.same_loss is (None if change == "biases" else False)


def test_second_stem_is_counted_separately():
    case = CASES[1]
    loop = examine(BASELINES["step-loop"], StepLoop(case), case)
    # Another 3×3 convolution of one channel to 32, and its norm.
    assert loop.parameters["second_stem"] == 9 * 32 + 2 * 32
    relu = examine(BASELINES["relu"], Relu(case), case)
    assert relu.parameters["second_stem"] == 0 and relu.parameters["neurons"] == 0
    # leak and gain of four layers at three steps, and three scales of the readout
    assert loop.parameters["neurons"] == 2 * 4 * 3 + 3


class Wider(Case):
    """A case whose second layer is one channel wider than it should be."""

    @property
    def layers(self):
        first, second, third, *rest = super().layers
        wide = vars(second) | {"outputs": second.outputs + 1}
        return [
            first,
            type(second)(**wide),
            type(third)(**(vars(third) | {"inputs": second.outputs + 1})),
            *rest,
        ]


def test_wrong_width_is_found(enter):
    wide = enter(
        "wide", lambda case, matched: Relu(Wider(**vars_of(case))), no_reference="for the test"
    )
    work = examine(wide, build(wide, SMALL), SMALL)
    assert any("its weights have the shapes" in fault and "49" in fault for fault in work.faults)
    assert any("its batch norms have [32, 49, 64, 256] channels" in fault for fault in work.faults)


def vars_of(case):
    return {**case.as_dict(), "in_shape": case.in_shape}


def test_additional_bias_is_found(enter):
    def biased(case, matched):
        network = Relu(case)
        network.blocks[0][1].bias = torch.nn.Parameter(torch.zeros(32))
        return network

    baseline = enter("biased", biased, no_reference="for the test")
    work = examine(baseline, build(baseline, SMALL), SMALL)
    assert [fault.split(",")[0] for fault in work.faults] == [
        "its weights have the shapes 32×2×3×3 + bias"
    ]


@pytest.mark.parametrize(
    "neuron",
    [
        {"leak": 0.49, "gain": 0.5, "reset": "subtract"},
        {"leak": 0.5, "gain": 1.0, "reset": "subtract"},
        {"leak": 0.5, "gain": 1.0, "reset": "zero"},
    ],
)
def test_another_neuron_is_found(enter, neuron):
    baseline = enter(
        "other",
        lambda case, matched: AsnnNetwork(case, "reference"),
        neuron=neuron,
    )
    case = Case(in_shape=(2, 8, 8), classes=5, steps=6)
    work = examine(baseline, build(baseline, case), case)
    assert work.same_loss is False
    assert "with equal weights its loss differs" in work.faults[0]


def test_another_order_of_norm_and_pool_is_found(enter):
    """The pool before the neuron: same weights, same shapes, another function."""

    class PoolFirst(StepLoop):
        def __init__(self, case, *, matched=False):
            super().__init__(case)
            for i, pool in enumerate(self.pools):
                self.neurons[i].register_forward_pre_hook(
                    lambda _, inputs, pool=pool: (pool(inputs[0]), *inputs[1:])
                )
                self.pools[i] = torch.nn.Identity()

    baseline = enter("pool-first", PoolFirst, neuron={"leak": 0.5, "gain": 0.5})
    work = examine(baseline, build(baseline, SMALL), SMALL)
    # The maximum of spikes differs from the spikes of maxima.
    assert work.same_loss is False


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("step-loop", SMALL),
        ("spikingjelly", SMALL),
        ("spikingjelly", CONNECTED[0]),
        ("spikingjelly", CONNECTED[2]),
    ],
    ids=str,
)
def test_gradients_agree_with_the_same_surrogate(name, case):
    """The backward pass: leak = gain = 0.5, soft reset, sigmoid with α = 4 in all three."""
    baseline = baseline_of(name)
    gradients = []
    for each in (baseline, BASELINES["asnn-reference"]):
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
