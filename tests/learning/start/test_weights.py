"""Weights by name: what goes over from a trained network, what stays, what is refused."""

import contextlib

import pytest
import torch

from asnn.core import ConfigError
from asnn.learning.start.weights import plan_transfer
from asnn.models import create_model

SHAPE = {"in_shape": (1, 8, 8), "classes": 10}
LENET = {"widths": [3, 4], "hidden": 6}


def randomise_norms(model):
    """Give every batch norm weights and statistics of its own."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                torch.nn.init.uniform_(value, 0.5, 1.5)


def ann(name="lenet", **options):
    """An ANN counterpart whose every tensor differs from every other."""
    options = {**(LENET if name == "lenet" else {}), **options}
    model = create_model(
        name, **SHAPE, coding="direct", steps=1, neuron="relu", output_scale=False, **options
    )
    randomise_norms(model)
    return model.eval()


def spiking(name="lenet", coding="direct", **options):
    options = {**(LENET if name == "lenet" else {}), **options}
    return create_model(name, **SHAPE, coding=coding, steps=3, **options)


def started(source, target):
    transfer = plan_transfer(source, target, "run")
    transfer.apply(target)
    return target.state_dict(), source.state_dict(), transfer


@pytest.mark.parametrize("name", ["lenet", "mlp", "ms-resnet", "sew-resnet", "vgg", "spikformer"])
def test_every_weight_and_norm_goes_over(name):
    small = {"ms-resnet": {"width": 4}, "sew-resnet": {"width": 4}, "spikformer": {"size": "1-32"}}
    options = small.get(name, {})
    new, old, transfer = started(ann(name, **options), spiking(name, **options))
    assert old.keys() <= new.keys()
    assert all(torch.equal(new[key], value) for key, value in old.items())
    own = new.keys() - old.keys()
    assert own == set(transfer.kept)
    assert all(".neuron." in key or key == "body.readout.scale" for key in own)


def test_a_network_of_the_same_kind_computes_the_same():
    torch.manual_seed(0)
    source, target = (spiking(coding="hybrid").eval() for _ in range(2))
    randomise_norms(source)
    with torch.no_grad():
        for neuron in (source.body.spikes1.neuron, source.body.spikes2.neuron):
            neuron.leak.uniform_()
            neuron.gain.fill_(3.0)
        source.body.readout.scale.uniform_()
    x = torch.rand(5, 1, 8, 8)
    assert not torch.equal(source(x), target(x)), "the negative control"
    _, _, transfer = started(source, target)
    assert transfer.kept == [] and torch.equal(source(x), target(x))
    assert bool(source.body[:2](source.coding.encode(x)).any()), "it spikes"


def test_a_dual_stem_gets_the_stem_twice():
    new, old, _ = started(ann(), spiking(coding="hybrid"))
    stem = old["body.conv1.analog.weight"]
    assert torch.equal(new["body.conv1.analog.weight"], stem)
    assert torch.equal(new["body.conv1.spikes.weight"], stem)
    for half in ("first", "others"):
        for part in ("weight", "bias", "running_mean", "running_var"):
            source = old[f"body.spikes1.norm.norm.{part}"]
            assert torch.equal(new[f"body.spikes1.norm.{half}.norm.{part}"], source)


def test_a_stem_of_spikes_gets_that_of_values():
    new, old, _ = started(ann(), spiking(coding="temporal"))
    assert torch.equal(new["body.conv1.spikes.weight"], old["body.conv1.analog.weight"])
    back, _, _ = started(spiking(coding="temporal"), spiking())
    assert back["body.conv1.analog.weight"].shape == old["body.conv1.analog.weight"].shape


@pytest.mark.parametrize("form", ["per-step", "shared"])
def test_every_step_gets_the_statistics_of_the_ann(form):
    with pytest.warns(UserWarning) if form == "shared" else contextlib.nullcontext():
        new, old, _ = started(ann(norm=form), spiking(norm=form, coding="hybrid"))
    found = [key for key in new if key.startswith("body.spikes2.norm") and "running_mean" in key]
    (single,) = (key for key in old if key.startswith("body.spikes2.norm") and "_mean" in key)
    assert len(found) == {"per-step": 3, "shared": 1}[form]
    assert all(torch.equal(new[key], old[single]) for key in found)


def test_neurons_of_another_kind_keep_their_own():
    """Learned leaks are not written over the fixed ones, which have the same names."""
    source, target = spiking(), spiking(neuron="fixed")
    with torch.no_grad():
        source.body.spikes1.neuron.leak.fill_(0.9)
    new, _, transfer = started(source, target)
    assert new["body.spikes1.neuron.leak"].tolist() == [0.5] * 3
    assert "body.spikes1.neuron.leak" in transfer.kept
    new, _, transfer = started(source, spiking())
    assert new["body.spikes1.neuron.leak"].tolist() == pytest.approx([0.9] * 3)


def test_recurrent_weights_go_over_between_neurons_of_another_kind():
    source, target = (spiking("rsnn", neuron=kind, features=[4]) for kind in ("adaptive", "fixed"))
    new, old, transfer = started(source, target)
    assert torch.equal(new["body.spikes1.neuron.weight"], old["body.spikes1.neuron.weight"])
    assert transfer.kept == [f"body.spikes1.neuron.neuron.{key}" for key in
                             ("leak", "gain", "threshold")]  # fmt: skip


def test_schedules_of_other_steps_stay():
    longer = create_model("mlp", **SHAPE, coding="direct", steps=5)
    _, _, transfer = started(longer, spiking("mlp"))
    assert {key.rpartition(".")[2] for key in transfer.kept} == {"leak", "gain", "scale"}


def refusal(source, target):
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ConfigError, match="runs/a cannot be the start of this network") as caught:
        plan_transfer(source, target, "runs/a")
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())
    assert "train.init" in caught.value.remedy
    return caught.value.why


def test_what_does_not_fit_is_refused():
    assert "it is a mlp, not a lenet" in refusal(ann("mlp"), spiking())
    why = refusal(ann(widths=[3, 5]), spiking())
    assert "body.conv2.layer.weight has the shape [5, 3, 3, 3], not [4, 3, 3, 3]" in why
    assert "more" in why
    shorter = refusal(ann("mlp", features=[8]), spiking("mlp", features=[8, 8]))
    assert "it has no body.linear2.layer.weight" in shorter
    longer = refusal(ann("mlp", features=[8, 8]), spiking("mlp", features=[8]))
    assert "this network has no body.linear2.layer.weight" in longer


def test_statistics_of_several_kinds_of_steps_do_not_become_one():
    assert "it has no body.spikes1.norm.norm.weight" in refusal(spiking(coding="hybrid"), spiking())


def test_synapses_go_over():
    synapse = {"synapse": "exp", "synapse_options": {"tau": 3.0}}
    new, old, _ = started(ann("mlp", **synapse), spiking("mlp", synapse="exp"))
    names = [key for key in old if ".synapse" in key]
    assert names and all(torch.equal(new[key], old[key]) for key in names)
    assert "this network has no body.synapse2" in refusal(ann("mlp", **synapse), spiking("mlp"))
