"""All baselines do equal work, and unequal work is found."""

import pytest
import torch

from asnn.benchmarks.baselines import BASELINES, build, unavailable
from asnn.benchmarks.baselines.own import AsnnNetwork
from asnn.benchmarks.baselines.relu import Relu
from asnn.benchmarks.baselines.step_loop import StepLoop
from asnn.benchmarks.case import Case
from asnn.benchmarks.equal_work import examine, expected_weights
from tests.support.benchmark_cases import BUILDERS, CASES, CONNECTED, SMALL, baseline_of


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
    if name == "relu" or baseline.reference == name or name == "asnn-reference":
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
    if name == "relu" or baseline.reference == name or name == "asnn-reference":
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


@pytest.mark.slow
@pytest.mark.parametrize("case", CONNECTED[::2], ids=str)
def test_another_neuron_is_found_in_deep_networks(enter, case):
    """Negative control: spikes reach the readout, so the comparison depends on the neurons."""
    other = {"leak": 0.49, "gain": 0.5, "reset": "subtract"}
    baseline = enter("other", lambda case, matched: AsnnNetwork(case, "reference"), neuron=other)
    work = examine(baseline, build(baseline, case), case)
    assert work.same_loss is False


@pytest.mark.slow
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
