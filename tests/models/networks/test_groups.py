"""Networks of the group p4: the same answer, and turned spikes, for turned images."""

import pytest
import torch

from asnn.core import ConfigError
from asnn.models import create_model
from asnn.models.layers.spiking import layer_outputs, use_kernels, used_kernels
from tests.support.turned import dyadic, turned, turned_back

NETWORKS = {
    "lenet": ("lenet", {"widths": [4, 6], "hidden": 10}, (1, 12, 12)),
    "lenet-mean": ("lenet", {"widths": [4, 6], "hidden": 10, "pool": "mean"}, (1, 8, 8)),
    "vgg": ("vgg", {"width": 4, "hidden": [6, 5]}, (2, 16, 16)),
    "vggsnn": ("vgg", {"width": 4, "variant": "vggsnn"}, (2, 16, 16)),
    "ms-resnet": ("ms-resnet", {"width": 2}, (1, 14, 14)),  # sides 14, 7, 4, 2
    "ms-resnet19": ("ms-resnet", {"width": 2, "depth": 19}, (3, 8, 8)),
}


def network(case, *, group="p4", granularity="channel", coding="hybrid", **options):
    name, own, shape = NETWORKS[case]
    torch.manual_seed(0)
    return create_model(
        name,
        in_shape=shape,
        classes=5,
        steps=3,
        coding=coding,
        neuron_options={"granularity": granularity, "gain": 1.5, **options},
        group=group,
        **own,
    )


def trained(case, **options):
    """In float64, with statistics and parameters that differ from channel to channel."""
    model = network(case, **options).double()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() < 2 or name.endswith(("leak", "gain")):
                value.add_(0.2 * torch.rand_like(value))
        for _ in range(3):
            model(torch.rand(8, *model.config["in_shape"], dtype=torch.float64))
    return model.eval()


@torch.no_grad()
def outputs_of_code(model, code):
    with layer_outputs(model) as outputs:
        logits = model.run(code)
    return logits, dict(outputs)


def outputs_of(model, x):
    return outputs_of_code(model, model.coding.encode(x))


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["auto", "reference"])
@pytest.mark.parametrize("case", NETWORKS)
def test_spikes_turn_with_the_image_and_answers_stay(case, kernels):
    """In float64 no membrane is so near its threshold that the order of a sum decides."""
    model = trained(case)
    use_kernels(model, kernels)
    x = torch.rand(3, *model.config["in_shape"], dtype=torch.float64)
    logits, outputs = outputs_of(model, x)
    spikes = sum(float(each.sum()) for each in outputs.values())
    for quarters in (1, 2, 3):
        found, of_turned = outputs_of(model, turned(x, quarters))
        assert torch.allclose(found, logits, atol=1e-9)
        differing = 0
        for name, each in of_turned.items():
            if each.dim() == 3:
                assert torch.equal(each, outputs[name])  # behind the pool of the group
                continue
            assert torch.equal(turned_back(each, quarters), outputs[name]), name
            differing += int(turned_back(each, quarters, rolls=False).ne(outputs[name]).sum())
        assert differing > 0.05 * spikes


@pytest.mark.slow
@pytest.mark.parametrize("case", NETWORKS)
def test_a_plain_network_has_other_answers_for_turned_images(case):
    model = trained(case, group="none")
    x = torch.rand(3, *model.config["in_shape"], dtype=torch.float64)
    logits, _ = outputs_of(model, x)
    found, _ = outputs_of(model, turned(x))
    assert not torch.allclose(found, logits, atol=1e-3)


@pytest.mark.slow
def test_of_a_million_spikes_none_differs_where_sums_are_exact():
    """Weights that are multiples of 2⁻⁶, inputs 0 or 1: every sum is exact in float32, in every
    order. Without the roll of the rotations many differ."""
    torch.manual_seed(0)
    model = create_model(
        "lenet",
        in_shape=(1, 28, 28),
        classes=5,
        steps=8,
        coding="rate",
        coding_options={"seed": 0},
        widths=[16, 24],
        hidden=32,
        neuron_options={"granularity": "channel"},
        group="p4",
    )
    model = dyadic(model, torch.Generator().manual_seed(1)).eval()
    code = (torch.rand(8, 64, 1, 28, 28) < 0.4).float()
    for network in (model, model.frozen()):
        answers, outputs = outputs_of_code(network, code)
        found, of_turned = outputs_of_code(network, turned(code))
        assert torch.equal(found, answers)
        spikes = differing = without_roll = 0
        for name, each in of_turned.items():
            assert 0.01 < outputs[name].mean() < 0.99
            spikes += int(outputs[name].sum())
            differing += int(turned_back(each).ne(outputs[name]).sum())
            without_roll += int(turned_back(each, rolls=False).ne(outputs[name]).sum())
        assert spikes > 10**6 and differing == 0
        assert without_roll > 10**5


@pytest.mark.parametrize("case", ["lenet", "vgg", "ms-resnet"])
def test_it_has_the_parameters_of_its_layers_and_learns_all_of_them(case):
    model = network(case, coding="direct")
    plain = network(case, coding="direct", group="none")
    convolutions = {name: p for name, p in model.named_parameters() if p.dim() == 5}
    for name, weight in convolutions.items():
        of_input = 1 if name.startswith(("body.conv1.", "body.stem.")) else 4
        assert weight.shape[2] == of_input
        other = dict(plain.named_parameters())[name]
        if other.dim() == 4:
            assert weight.numel() == of_input * other.numel()
    neurons = [p for name, p in model.named_parameters() if name.endswith(("leak", "gain"))]
    others = [p for name, p in plain.named_parameters() if name.endswith(("leak", "gain"))]
    assert [p.shape for p in neurons] == [p.shape for p in others]
    model(torch.rand(4, *model.config["in_shape"])).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_evaluation_is_by_plain_layers_and_fused_kernels():
    model = network("lenet")
    x = torch.rand(8, 1, 12, 12)
    for _ in range(3):
        model(x)
    assert used_kernels(model) == "fused"
    model.eval()
    frozen = model.frozen()
    logits, outputs = outputs_of(model, x)
    found, of_frozen = outputs_of(frozen, x)
    assert used_kernels(frozen) == "fused"
    assert torch.allclose(found, logits, atol=1e-5)
    assert {name: each.shape for name, each in of_frozen.items()} == {
        name: each.shape for name, each in outputs.items()
    }
    assert frozen.body.conv2.layer.weight.shape == (4 * 6, 4 * 4, 3, 3)
    assert frozen.body.spikes1.norm is None and frozen.body.spikes1.rotations == 4


REFUSED = [
    ("lenet", {}, (1, 8, 12), "group p4 turns images by 90°, those of 8×12 are not square"),
    ("lenet", {}, (1, 28, 28), "pool 3 of 7×7 pixels is not for group p4"),
    ("vgg", {"width": 4}, (1, 28, 28), "pool 4 of 7×7 pixels is not for group p4"),
    ("ms-resnet", {"width": 2, "stem": "imagenet"}, (3, 32, 32), "the stem of 32×32 pixels is not"),
]


@pytest.mark.parametrize(("name", "options", "shape", "what"), REFUSED)
def test_windows_that_do_not_map_the_image_onto_itself_are_refused(name, options, shape, what):
    with pytest.raises(ConfigError) as error:
        create_model(name, in_shape=shape, classes=5, group="p4", **options)
    assert error.value.what.startswith(what)
    assert "model.group=none" in error.value.remedy
    create_model(name, in_shape=shape, classes=5, **options)


def test_an_unknown_group_names_those_there_are():
    with pytest.raises(ConfigError) as error:
        create_model("lenet", in_shape=(1, 8, 8), classes=5, group="p4m")
    assert "p4m" in error.value.what and "none" in f"{error.value.why} {error.value.remedy}"
