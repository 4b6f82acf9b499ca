"""The published systems in a network of another package: trained, evaluated, exported, resumed."""

import json

import pytest

from asnn.datasets.load import dataset_registry
from asnn.models.factory import model_registry
from tests.support.installed_package import BARS, findable, install

NETWORK = '''
    """A convolution with stride 2, a linear layer, and synapses where they are asked for."""

    from torch import nn

    from asnn.models import BuildContext, SpikingNetwork, blocks
    from asnn.models.layers import SpikeConv2d, SpikingLayer


    def strided_net(ctx: BuildContext, *, width: int = 8) -> SpikingNetwork:
        """Build stem with stride 2 → neuron, mean pool, linear → neuron, readout."""
        channels, height, side = ctx.in_shape

        def first() -> nn.Module:
            return SpikeConv2d(channels, width, 3, stride=2, padding=1, bias=False)

        stem, norm = blocks.stem(ctx, first, width, "folded")
        features = width * blocks.downsampled_size(height) * blocks.downsampled_size(side)
        body = blocks.sequence(
            stem=stem,
            spikes1=SpikingLayer(norm, ctx.make_neuron(width)),
            flatten=nn.Flatten(2),
            **ctx.synapse("synapse2", features),
            linear2=blocks.linear(features, 12),
            spikes2=blocks.normed_neuron(ctx, 12, "folded", image=False),
            **ctx.synapse("synapse3", 12),
            readout=ctx.make_readout(12),
        )
        return SpikingNetwork(ctx.coding, body)
'''

ENTRY_POINTS = """\
    [asnn.models]
    strided-net = third.strided_net:strided_net

    [asnn.datasets]
    bars = third.data:bars
"""

COMMON = {
    "data.name": "bars",
    "model.name": "strided-net",
    "coding.name": "direct",
    "coding.steps": "4",
    "augment.crop": "0",
    "train.lr": "0.02",
    "train.batch_size": "20",
    "train.epochs": "8",
    "train.loss": "mean",
}
FIRST = {"readout.name": "first-crossing", "model.output_scale": "false"}
INTEGRATE = {"model.neuron": "integrate", "model.output_scale": "false"}
START = {**INTEGRATE, "train.init": "ann", "train.ann_epochs": "6"}
SYSTEMS = {
    "burst": {
        **START,
        **FIRST,
        "neuron.most": "5",
        "neuron.gradient": "straight-through",
        "readout.quantity": "potential",
        "readout.psp": "[2.0, 0.5]",
        "method.name": "ltl",
        "method.readout_epochs": "3",
    },
    "first-spike": {
        **FIRST,
        "neuron.noise": "logistic",
        "readout.quantity": "drawn",
        "train.loss": "first-spike",
    },
    "dsr": {
        **INTEGRATE,
        "neuron.gradient": "representation",
        "neuron.fraction": "0.5",
        "neuron.learn_amplitude": "true",
    },
    "single-spike": {"neuron.once": "true", "coding.name": "hybrid"},
    "tandem": {
        **START,
        "coding.name": "impulse",
        "neuron.gradient": "none",
        "method.name": "tandem",
        "method.stage_epochs": "[3, 5]",
        "train.calibrate": "quantile",
    },
    "hsd": {
        **START,
        "neuron.fraction": "0.5",
        "method.name": "distillation",
        "method.mode": "add",
        "train.ann_neuron": "qcfs",
        "train.ann_levels": "4",
    },
    "iir": {"synapse.name": "dual-exp"},
    "rank": {
        **FIRST,
        "readout.quantity": "probability",
        "readout.level": "0.8",
        "train.loss": "rank",
    },
}
ONLY_WITHOUT_NOISE = {"first-spike"}  # a file draws nothing


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install(folder, "third", {"strided_net": NETWORK, "data": BARS}, ENTRY_POINTS)
    return folder


@pytest.fixture
def package(installed):
    with findable(installed, "third", model_registry, dataset_registry):
        yield


def options(name: str) -> list[str]:
    keys = {**COMMON, **SYSTEMS[name]}
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_works_in_the_network_of_another_package(cli, package, name):
    trained = cli("train", *options(name), "--out", "run", "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["finished"]
    found = json.loads(cli("eval", "run", "--energy", "--json").out)
    assert found["accuracy"] > 0.85  # a bar in noise is easily seen
    assert found["energy"]["reason"] is None and found["energy"]["uncounted"] == []
    assert cli("inspect", "run").code == 0
    noise = ["--noise", "off"] if name in ONLY_WITHOUT_NOISE else []
    exported = cli("export", "run", "--format", "onnx", *noise, "--json")
    assert exported.code == 0, exported.err
    assert json.loads(exported.out)["verified"] is True
    exported = cli("export", "run", "--format", "nir", *noise, "--json")
    assert exported.code == 0, exported.err
    assert json.loads(exported.out)["verified"] is True
