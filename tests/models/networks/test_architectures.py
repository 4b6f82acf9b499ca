"""ResNets, VGGs and Spikformers: their numbers of parameters compared with published ones, their
logits with those of SpikingJelly's networks and of loops over steps."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, linear, max_pool2d

from asnn.core import ConfigError
from asnn.datasets.sources.images.torchvision_import import torchvision
from asnn.models import create_model
from asnn.models.layers.attention import SelfAttention
from asnn.models.layers.residual import Residual
from asnn.models.layers.spiking import used_kernels
from tests.support.architectures import SMALL, calibrated, images, rates, small
from tests.support.samples import CODES, batch_of, spec_for

IMAGENET = {"in_shape": (3, 224, 224), "classes": 1000, "stem": "imagenet"}
CIFAR = {"in_shape": (3, 32, 32), "classes": 10}


def parameters_of(name, **options):
    with torch.device("meta"):
        model = create_model(name, coding="direct", neuron="fixed", **options)
    return sum(p.numel() for p in model.parameters())


# In millions, cut off after the second digit as in the papers.
PUBLISHED = [
    # Hu et al., arXiv 2112.08954, table of results on ImageNet
    ("ms-resnet", {"depth": 18, **IMAGENET}, 11.69),
    ("ms-resnet", {"depth": 34, **IMAGENET}, 21.80),
    # Fang et al., NeurIPS 2021: the weights of torchvision's ResNets, 11,689,512 and 21,797,672
    ("sew-resnet", {"depth": 18, **IMAGENET}, 11.689512),
    ("sew-resnet", {"depth": 34, **IMAGENET}, 21.797672),
    ("sew-resnet", {"depth": 34, "connect": "iand", **IMAGENET}, 21.797672),
    # torchvision's documentation of vgg11_bn: num_params 132,868,840
    (
        "vgg",
        {"in_shape": (3, 224, 224), "classes": 1000, "hidden": [4096, 4096]},
        132.868840,
    ),
    # Zhou et al., ICLR 2023, tables of results on CIFAR-10 and on ImageNet
    ("spikformer", {"size": "4-384", **CIFAR}, 9.32),
    ("spikformer", {"size": "4-256", **CIFAR}, 4.15),
    ("spikformer", {"size": "2-384", **CIFAR}, 5.76),
    ("spikformer", {"size": "8-384", **IMAGENET}, 16.81),
    ("spikformer", {"size": "8-512", **IMAGENET}, 29.68),
]


@pytest.mark.parametrize(("name", "options", "millions"), PUBLISHED)
def test_as_many_parameters_as_published(name, options, millions):
    digits = len(str(millions).split(".")[1])
    count = parameters_of(name, **options)
    assert int(count / 1e6 * 10**digits + 1e-6) == round(millions * 10**digits), count


def conv_weights(*layers):
    """Weights and biases of convolutions (in, out, kernel, biased), each with a batch norm."""
    return sum(i * o * k * k + biased * o + 2 * o for i, o, k, biased in layers)


def test_parameters_of_depth_104_as_its_code_builds_it():
    """The 77.28 M of the paper are those of the 7×7 stem of the other depths; its code has three
    convolutions with biases in the stem and one norm after them."""
    stages = zip((3, 8, 32, 8), (64, 64, 128, 256), (64, 128, 256, 512), strict=True)
    body = sum(
        conv_weights((i, o, 3, 0), (o, o, 3, 0), (i, o, 1, 0))
        + (count - 1) * conv_weights((o, o, 3, 0), (o, o, 3, 0))
        for count, i, o in stages
    )
    head = 512 * 1000 + 1000
    stem = 3 * 64 * 9 + 64 + 2 * (64 * 64 * 9 + 64) + 2 * 64
    assert parameters_of("ms-resnet", depth=104, **IMAGENET) == stem + body + head
    assert round((conv_weights((3, 64, 7, 0)) + body + head) / 1e6, 2) == 77.28


def test_parameters_of_the_wide_resnet19():
    """tdBN's ResNet-19 by its table of layers: 12.70 M with 256 features before the readout; the
    12.63 M in Spikformer's table 3 are those of 128 features."""
    stages = zip((3, 3, 2), (128, 128, 256), (128, 256, 512), strict=True)
    body = sum(
        conv_weights((i, o, 3, 0), (o, o, 3, 0))
        + (conv_weights((i, o, 1, 0)) if i != o else 0)
        + (count - 1) * conv_weights((o, o, 3, 0), (o, o, 3, 0))
        for count, i, o in stages
    )
    stem = conv_weights((3, 128, 3, 0))
    found = parameters_of("ms-resnet", depth=19, **CIFAR)
    assert found == stem + body + (512 * 256 + 256) + (256 * 10 + 10)
    assert int((stem + body + (512 * 128 + 128) + (128 * 10 + 10)) / 1e4) / 100 == 12.63


def test_parameters_of_vggsnn():
    convolutions = [(2, 64), (64, 128), (128, 256), (256, 256), (256, 512), *[(512, 512)] * 3]
    wanted = conv_weights(*((i, o, 3, 1) for i, o in convolutions)) + 512 * 3 * 3 * 10 + 10
    assert parameters_of("vgg", variant="vggsnn", in_shape=(2, 48, 48), classes=10) == wanted


@pytest.mark.slow
def test_adaptive_neurons_add_two_schedules_a_layer_and_the_scale():
    for case, (name, own) in SMALL.items():
        model = small(case, steps=3)
        layers = len(rates(model, images(1).float()))
        with torch.device("meta"):
            fixed = parameters_of(name, in_shape=(3, 16, 16), classes=5, steps=3, **own)
        assert sum(p.numel() for p in model.parameters()) == fixed + 2 * 3 * layers + 3


@pytest.mark.slow
@pytest.mark.parametrize("coding", CODES)
@pytest.mark.parametrize("case", ["ms-resnet19", "sew-iand", "vgg11", "spikformer"])
def test_every_code_trains_every_kind_of_network(case, coding):
    spec = spec_for(coding, (2, 8, 8), steps=3)
    model = small(case, coding=coding, in_shape=spec.shape, sample=spec)
    logits = model(batch_of(spec, 2))
    assert logits.shape == (3, 2, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("case", SMALL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 16, 32)], ids=str)
def test_other_shapes(case, shape):
    model = small(case, in_shape=shape, coding="hybrid")
    x = images(2, shape).float()
    assert model(x).shape == (3, 2, 5)
    assert model.eval()(x[:0]).shape == (3, 0, 5)


@pytest.mark.slow
@pytest.mark.parametrize("case", SMALL)
def test_all_layers_spike_and_the_frozen_network_predicts_the_same(case):
    model = calibrated(small(case, coding="hybrid", in_shape=(3, 32, 32)))
    x = images(4, (3, 32, 32))
    assert min(rates(model, x).values()) > 0, rates(model, x)
    with torch.no_grad():
        logits = model(x).mean(0)
    torch.testing.assert_close(model.predict(x), logits, rtol=1e-9, atol=1e-9)
    norms = [m for m in model.frozen().modules() if isinstance(m, nn.BatchNorm2d)]
    assert not norms
    with torch.no_grad():  # the negative control
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean += 0.3
    assert not torch.allclose(model.predict(x), logits)


@pytest.mark.parametrize("case", SMALL)
def test_fused_layers_compute_all_neurons(case):
    model = small(case, coding="hybrid")
    model(images(2).float())
    assert used_kernels(model) == "fused"


# SpikingJelly's neuron with τ = 2 is that of asnn with leak = gain = 0.5.


def spikingjelly_neuron():
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    surrogate = pytest.importorskip("spikingjelly.activation_based.surrogate")
    return neuron.ParametricLIFNode, {
        "init_tau": 2.0,
        "decay_input": True,
        "v_threshold": 1.0,
        "v_reset": None,
        "surrogate_function": surrogate.Sigmoid(alpha=4.0),
        "detach_reset": False,
        "step_mode": "m",
    }


AFFINE_AND_NORMS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def copy_weights(model, peer):
    """Copy weights and statistics in the order of the layers; both must have the same layers."""
    mine, theirs = (
        [module for module in net.modules() if isinstance(module, AFFINE_AND_NORMS)]
        for net in (model, peer)
    )
    assert len(mine) == len(theirs)
    for ours, other in zip(mine, theirs, strict=True):
        other.load_state_dict(ours.state_dict())


def gradients(net, call, x, labels):
    net.zero_grad()
    nn.functional.cross_entropy(call(x), labels).backward()
    return [
        parameter.grad.clone()
        for module in net.modules()
        if isinstance(module, AFFINE_AND_NORMS)
        for parameter in module.parameters()
    ]


def assert_same_network(model, peer, call, x):
    """Compare logits in evaluation mode, and the gradients of a training step."""
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    copy_weights(model, peer)
    assert min(rates(model, x).values()) > 0
    for net in (model, peer):
        net.eval()
    with torch.no_grad():
        wanted = call(x)
        functional.reset_net(peer)
        torch.testing.assert_close(model.mean_logits(x), wanted, rtol=1e-9, atol=1e-9)
    for net in (model, peer):
        net.train()
    labels = torch.arange(len(x)) % 5
    mine = gradients(model, model.mean_logits, x, labels)
    functional.reset_net(peer)
    theirs = gradients(peer, call, x, labels)
    for ours, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("connect", ["add", "and", "iand"])
def test_sew_resnet_is_that_of_spikingjelly(connect):
    torchvision()  # imported by SpikingJelly's file
    peers = pytest.importorskip("spikingjelly.activation_based.model.sew_resnet")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    neuron, options = spikingjelly_neuron()
    peer = peers.sew_resnet18(
        spiking_neuron=neuron, cnf=connect.upper(), num_classes=5, **options
    ).double()
    functional.set_step_mode(peer, "m")
    torch.manual_seed(0)
    model = create_model(
        "sew-resnet", in_shape=(3, 16, 16), classes=5, steps=3, coding="direct", neuron="fixed",
        stem="imagenet", connect=connect,
    )  # fmt: skip
    x = images(3, (3, 16, 16))
    assert_same_network(
        calibrated(model, bias=3.0), peer, lambda x: peer(x.expand(3, *x.shape)).mean(0), x
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "layers", "stem"),
    [(18, (2, 2, 2, 2), "cifar"), (18, (2, 2, 2, 2), "imagenet"), (34, (3, 4, 6, 3), "imagenet")],
)
def test_ms_resnet_is_that_of_spikingjelly(depth, layers, stem):
    peers = pytest.importorskip("spikingjelly.activation_based.model.ms_resnet")
    neuron, options = spikingjelly_neuron()

    class Peer(peers.MSResNet):
        _first_stage_stride = 2 if stem == "imagenet" else 1

    size = {"stem_kernel_size": 3, "stem_stride": 1} if stem == "cifar" else {}
    peer = Peer(
        T=3, num_classes=5, layers=layers, base_channels=4, spiking_neuron=neuron, **size, **options
    ).double()
    torch.manual_seed(0)
    model = create_model(
        "ms-resnet", in_shape=(3, 32, 32), classes=5, steps=3, coding="direct", neuron="fixed",
        depth=depth, width=4, stem=stem,
    )  # fmt: skip
    assert_same_network(calibrated(model), peer, peer, images(3, (3, 32, 32)))


class Loop:
    """A network in evaluation mode, computed step by step from its state_dict alone."""

    def __init__(self, model):
        self.state = model.state_dict()
        self.steps = model.coding.steps

    def affine(self, name, x, **options):
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        if weight.dim() == 2:
            return torch.stack([linear(step, weight, bias) for step in x])
        return torch.stack([conv2d(step, weight, bias, **options) for step in x])

    def norm(self, name, x):
        keys = ("running_mean", "running_var", "weight", "bias")
        values = [self.state[f"{name}.{key}"] for key in keys]
        return torch.stack([batch_norm(step, *values) for step in x])

    def neuron(self, name, x, threshold=1.0):
        leak, gain = self.state[f"{name}.leak"], self.state[f"{name}.gain"]
        v, out = torch.zeros_like(x[0]), []
        for t in range(self.steps):
            v = leak[t] * v + gain[t] * x[t]
            spikes = (v > threshold).to(x)
            v = v - threshold * spikes
            out.append(spikes)
        return torch.stack(out)

    def normed(self, name, x, inner="norm.norm"):
        return self.neuron(f"{name}.neuron", self.norm(f"{name}.{inner}", x))

    def prediction(self, spikes):
        logits = self.affine("body.readout.linear", spikes)
        return (logits * self.state["body.readout.scale"].view(-1, 1, 1)).mean(0)


def test_spikformer_by_its_definition():
    """Separate queries, keys and values, (Q Kᵀ) V / 8, then a threshold of 1/2."""
    model = calibrated(small("spikformer", in_shape=(3, 16, 16)))
    x = images(3)
    assert min(rates(model, x).values()) > 0
    net = Loop(model)
    out = x.expand(3, *x.shape)
    for i in range(1, 5):
        layer = "body.conv1.analog" if i == 1 else f"body.conv{i}.layer"
        out = net.normed(f"body.spikes{i}", net.affine(layer, out, padding=1))
        if i > 2:
            out = torch.stack([max_pool2d(step, 3, 2, 1) for step in out])
    position = "body.position.main"
    out = out + net.normed(
        f"{position}.spikes", net.affine(f"{position}.conv.layer", out, padding=1)
    )
    for i in (1, 2):
        path = f"body.attention{i}.main"
        qkv = net.normed(f"{path}.spikes_qkv", net.affine(f"{path}.qkv.layer", out))
        q, k, v = (
            part.flatten(3).unflatten(2, (4, 8)).transpose(-1, -2) for part in qkv.split(32, 2)
        )
        product = ((q @ k.transpose(-1, -2)) * 0.125) @ v
        product = product.transpose(-1, -2).flatten(2, 3).unflatten(-1, (4, 4))
        fired = net.neuron(f"{path}.spikes_attention.neuron", product, threshold=0.5)
        out = out + net.normed(
            f"{path}.spikes_projection", net.affine(f"{path}.projection.layer", fired)
        )
        path = f"body.mlp{i}.main"
        hidden = net.normed(f"{path}.spikes1", net.affine(f"{path}.linear1.layer", out))
        out = out + net.normed(f"{path}.spikes2", net.affine(f"{path}.linear2.layer", hidden))
    wanted = net.prediction(out.mean((-1, -2)))
    with torch.no_grad():
        torch.testing.assert_close(model.mean_logits(x), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", ["11", "vggsnn"])
def test_vgg_by_its_definition(variant):
    case = "vgg11" if variant == "11" else "vggsnn"
    model = calibrated(small(case, in_shape=(3, 32, 32)))
    x = images(3, (3, 32, 32))
    assert min(rates(model, x).values()) > 0
    net = Loop(model)
    pooled = {"11": (1, 2, 4, 6, 8), "vggsnn": (2, 4, 6, 8)}[variant]
    pool = max_pool2d if variant == "11" else avg_pool2d
    out = x.expand(3, *x.shape)
    for i in range(1, 9):
        layer = "body.conv1.analog" if i == 1 else f"body.conv{i}.layer"
        out = net.normed(f"body.spikes{i}", net.affine(layer, out, padding=1))
        if i in pooled:
            out = torch.stack([pool(step, 2) for step in out])
    out = out.flatten(2)
    if variant == "11":
        out = net.neuron("body.spikes_linear1.neuron", net.affine("body.linear1.layer", out))
    with torch.no_grad():
        torch.testing.assert_close(model.mean_logits(x), net.prediction(out), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_depth_104_has_three_convolutions_in_its_stem_and_pools_its_shortcuts():
    model = calibrated(small("ms-resnet104", in_shape=(3, 32, 32)))
    x, net = images(2, (3, 32, 32)), Loop(model)
    out = x.expand(3, *x.shape)
    for i, stride in enumerate((2, 1, 1)):
        out = net.affine(f"body.stem.analog.{i}", out, stride=stride, padding=1)
    out = net.norm("body.norm.norm", out)
    path = "body.block1.main"
    main = net.neuron(f"{path}.spikes1.neuron", out)
    main = net.affine(f"{path}.conv1.layer", main, stride=2, padding=1)
    main = net.normed(f"{path}.spikes2", main)
    main = net.norm(f"{path}.norm.norm", net.affine(f"{path}.conv2.layer", main, padding=1))
    shortcut = torch.stack([avg_pool2d(step, 2) for step in out])
    shortcut = net.affine("body.block1.shortcut.conv.layer", shortcut)
    wanted = main + net.norm("body.block1.shortcut.norm.norm", shortcut)
    seen = []
    model.body.block1.register_forward_hook(lambda *args: seen.append(args[-1]))
    with torch.no_grad():
        model(x)
    torch.testing.assert_close(seen[0], wanted, rtol=1e-9, atol=1e-9)


def test_a_membrane_block_starts_as_its_shortcut():
    block = small("ms-resnet18").body.block1
    x = torch.randn(3, 2, 4, 8, 8)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(("heads", "channels"), [(1, 4), (2, 6), (4, 4)])
def test_attention_is_exact_in_either_order(heads, channels):
    generator = torch.Generator().manual_seed(0)
    qkv = (torch.rand(2, 3, 3 * channels, 4, 5, generator=generator) < 0.5).float()
    found = SelfAttention(heads, 0.25)(qkv)
    q, k, v = (part.unflatten(2, (heads, -1)).flatten(4) for part in qkv.split(channels, 2))
    wanted = torch.zeros(2, 3, heads, channels // heads, 20)
    for i in range(20):
        for j in range(20):
            weight = (q[..., i] * k[..., j]).sum(-1, keepdim=True)
            wanted[..., i] += 0.25 * weight * v[..., j]
    assert torch.equal(found, wanted.flatten(2, 3).unflatten(-1, (4, 5)))


def test_residual_joins():
    a, b = torch.tensor([0.0, 0, 1, 1]), torch.tensor([0.0, 1, 0, 1])

    def joined(join):
        main = nn.Sequential()
        block = Residual(main, nn.Sequential(), join)
        block.main, block.shortcut = nn.Sequential(_Give(a)), nn.Sequential(_Give(b))
        return block(torch.zeros(4)).tolist()

    assert joined("add") == [0, 1, 1, 2]
    assert joined("and") == [0, 0, 0, 1]
    assert joined("iand") == [0, 1, 0, 0]


class _Give(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return self.value


def test_copies_and_states_carry_over():
    model = calibrated(small("spikformer", coding="hybrid"))
    other = create_model(**{**copy.deepcopy(model.config), "in_shape": (3, 16, 16)}).double()
    other.load_state_dict(model.state_dict())
    x = images(2)
    assert torch.equal(other.eval().predict(x), model.predict(x))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("ms-resnet", {"depth": 20}, "depth must be 18, 19, 34 or 104, not 20"),
        ("ms-resnet", {"width": 0}, "width must be positive, not 0"),
        ("sew-resnet", {"depth": 104}, "depth must be 18 or 34, not 104"),
        ("sew-resnet", {"connect": "or"}, "unknown join 'or'"),
        ("sew-resnet", {"width": -1}, "width must be positive, not -1"),
        ("vgg", {"variant": "16"}, "variant must be '11' or 'vggsnn', not '16'"),
        ("vgg", {"hidden": [0]}, "width and hidden must be positive"),
        ("spikformer", {"size": "4x384"}, "size must be DEPTH-DIM, not '4x384'"),
        ("spikformer", {"size": "0-32"}, "size must be DEPTH-DIM, not '0-32'"),
        ("spikformer", {"size": "2-36"}, "36 channels cannot be divided"),
        ("spikformer", {"size": "2-32", "heads": 5}, "into 5 heads"),
        ("spikformer", {"ratio": 0}, "ratio must be at least 1, not 0"),
    ],
)
def test_refusals(name, options, says):
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        create_model(name, in_shape=(3, 16, 16), classes=4, **options)


def test_depth_104_refuses_sides_that_cannot_be_halved():
    with pytest.raises(ConfigError, match="depth 104 halves its images"):
        small("ms-resnet104", in_shape=(3, 36, 36))
